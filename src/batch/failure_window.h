/*
 * failure_window.h
 *		The window of a circuit breaker: how many of the last deliveries failed.
 */
#ifndef ACTEON_FAILURE_WINDOW_H
#define ACTEON_FAILURE_WINDOW_H

#include "queue/tally.h"

/* The window of a circuit breaker and what is in it. */
typedef struct FailureWindow
{
	int64 size;   /* deliveries that it holds */
	double share; /* of these that may fail, as a fraction */
	int64 ended;
	int64 failed;
} FailureWindow;

/* Whether a row of the tally counts, given the argument of FillWindow. */
typedef bool (*CountsRow)(void *argument, const TallyRow *row);

extern void FillWindow(FailureWindow *window, TallyScan *scan, CountsRow counts, void *argument);
extern bool WindowIsBad(const FailureWindow *window);
extern char *WindowText(const FailureWindow *window);

#endif /* ACTEON_FAILURE_WINDOW_H */
