/*
 * tally.h
 *		Reading the counts of finished actions by batch, and keeping them few.
 */
#ifndef ACTEON_TALLY_H
#define ACTEON_TALLY_H

#include "base/table_access.h"
#include "queue/action_state.h"
#include "queue/effect.h"

/* A row of the tally. */
typedef struct TallyRow
{
	int64 batch_id;
	text *provider; /* in the current memory context; NULL: unknown */
	TimestampTz finished_at;
	ActionState state;
	char outcome[NAMEDATALEN]; /* empty: none given */
	Effect effect;             /* unknown for those of version 1.0 */
	int64 actions;             /* negative: taken back by a redrive */
} TallyRow;

/* A scan of rows, newest first; see BeginTallyScan and BeginProviderTallyScan. */
typedef struct TallyScan
{
	TableReader table;
	Snapshot snapshot;
} TallyScan;

extern void
BeginTallyScan(TallyScan *scan, Oid schema, int64 batch_id, TimestampTz since, Snapshot snapshot);
extern void
BeginProviderTallyScan(TallyScan *scan, Oid schema, const text *provider, TimestampTz since);
extern bool NextTallyRow(TallyScan *scan, TallyRow *row);
extern void EndTallyScan(TallyScan *scan);
extern void FoldTally(Oid schema, int64 batch_id, TimestampTz now);
extern void FoldOldTally(Oid schema, TimestampTz before);
extern int64 CountFinished(Oid schema, int64 batch_id);
extern int64 CountCancelled(Oid schema, int64 batch_id);

#endif /* ACTEON_TALLY_H */
