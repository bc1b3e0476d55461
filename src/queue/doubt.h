/*
 * doubt.h
 *		What being in doubt is: a segment that may have been sent and has no answer.
 */
#ifndef ACTEON_DOUBT_H
#define ACTEON_DOUBT_H

#include "queue/segment.h"

/* Why a doubt is held whose action has expired. */
#define HELD_EXPIRED "it has expired, and is not sent again"

extern void MakeDoubt(Segment *segment, TimestampTz since, const char *why, TimestampTz look_at);
extern void HoldDoubt(Segment *segment, const char *why);
extern void RenewId(Segment *segment, TimestampTz due);
extern void DeferAction(Segment *segment, TimestampTz due, TimestampTz now);
extern bool NeedsLook(const Segment *segment, TimestampTz now);

#endif /* ACTEON_DOUBT_H */
