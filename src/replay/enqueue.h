/*
 * enqueue.h
 *		What the gateway will see: enqueueing.
 */
#ifndef ACTEON_ENQUEUE_H
#define ACTEON_ENQUEUE_H

#include "replay/eligibility.h"
#include "replay/outbox.h"

extern void EnqueueItems(Outbox *outbox, ReplayItem *items, int count);

#endif /* ACTEON_ENQUEUE_H */
