/*
 * turn.h
 *		Going on to the next part of the outbox.
 */
#ifndef ACTEON_TURN_H
#define ACTEON_TURN_H

#include "utils/relcache.h"

/* A part of the outbox with fewer pages is small: 128 MB. */
#define LARGE_PAGES (INT64CONST(128) * 1024 * 1024 / BLCKSZ)

/* Of a part that another session is emptying. */
#define PAGES_UNKNOWN (-1)

extern int64 PagesOfPart(Oid schema, const char *table, int partition);
extern bool IsServed(Oid schema, int partition);
extern bool TurnOutbox(Oid schema, int64 range, bool wait);
extern void TurnIfLarge(Oid schema, Relation part, int64 outbox_id);

#endif /* ACTEON_TURN_H */
