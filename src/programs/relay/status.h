/*
 * status.h
 *		The relay over HTTP: its metrics, and whether it can work.
 */
#ifndef STATUS_H
#define STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/socket.h"

/* Whether the relay can work, and if not, why. */
typedef struct RelayHealth
{
	const char *database; /* NULL: it can be used */
	const char *gateway;  /* NULL: it takes actions */
	bool stopping;
} RelayHealth;

/* What the relay is asked for an answer; the owner is the relay. */
typedef struct StatusSource
{
	void *owner;
	RelayHealth (*health)(void *owner);
	void (*metrics)(void *owner, Buffer *out);
} StatusSource;

extern bool StatusStart(const Address *address, StatusSource source);
extern void StatusAdvance(int64_t now, int64_t *wake);
extern void StatusEnd(void);

#endif
