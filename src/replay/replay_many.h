/*
 * replay_many.h
 *		Many records in one transaction: gathered, then enqueued.
 */
#ifndef ACTEON_REPLAY_MANY_H
#define ACTEON_REPLAY_MANY_H

#include "replay/replay_call.h"

/*
 * What is gathered for a call: the items that it will attempt, with copies of
 * their records, and where it has got to.
 */
typedef struct Gathered
{
	ReplayItem *items;
	int count;
	int failed; /* of these */
	int skipped;
	int64 passed_over;
	int64 effective; /* of these, because their actions took effect */
	int64 expired;   /* and because they had expired */
	int64 looked_at;
	ReplayCursor last; /* the last record that was looked at; see note_last */
} Gathered;

extern bool
GatherRecords(ReplayCall *call, const ReplayQuery *query, int64 look_at, Gathered *gathered);
extern void NoticeLeftOut(const AuditTable *table, const ReplayQuery *query);
extern void NoticeEffective(int64 count);
extern void NoticeExpired(int64 count);
extern void EnqueueGathered(ReplayCall *call, Gathered *gathered, BatchRow *batch);

#endif /* ACTEON_REPLAY_MANY_H */
