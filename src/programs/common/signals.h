/*
 * signals.h
 *		Signals, as flags for the loop.
 */
#ifndef SIGNALS_H
#define SIGNALS_H

#include <stdbool.h>

/* What signals have asked for since the start; whoever obeys takes it back. */
typedef struct SignalFlags
{
	int stop;    /* how many times: the second one means now */
	bool reload; /* read the key files again */
} SignalFlags;

extern SignalFlags signal_flags;

extern void SignalsStart(void);
extern void SignalsEnd(void);

#endif
