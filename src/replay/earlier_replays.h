/*
 * earlier_replays.h
 *		Whether an action may be replayed again, and with which generation.
 */
#ifndef ACTEON_EARLIER_REPLAYS_H
#define ACTEON_EARLIER_REPLAYS_H

#include "replay/eligibility.h"
#include "replay/outbox.h"

extern void ResolveItems(Outbox *outbox, ReplayItem *items, int count);
extern void ResolveAgain(Outbox *outbox, ReplayItem *items, int count);
extern void SeparateTenants(Outbox *outbox, ReplayItem *items, int count);

#endif /* ACTEON_EARLIER_REPLAYS_H */
