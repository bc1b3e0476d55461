/*
 * parts.h
 *		The parts of a batch that are steered on their own, as its row has them.
 */
#ifndef ACTEON_PARTS_H
#define ACTEON_PARTS_H

#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "base/optional_time.h"
#include "queue/batch_flags.h"
#include "queue/segment.h"

/* A part that is stopped, or was, or that has a rate of its own. */
typedef struct BatchPart
{
	text *tenant;             /* NULL: any */
	text *provider;           /* NULL: any */
	int64 action_ids;         /* how many are named; 0: none, all are meant */
	BatchStop stop;           /* if it has no pace */
	int pace;                 /* by which its segments note it; NO_PACE: it is about the stop */
	Numeric rate;             /* with a pace; NULL: that of the batch */
	OptionalTime paced_until; /* with a rate: when its next action would be due */
	char *reason;             /* NULL: none */
	char *by;                 /* role */
	TimestampTz at;
} BatchPart;

extern List *ReadParts(Jsonb *json);
extern Jsonb *WriteParts(List *parts);
extern List *SetPart(List *parts, BatchPart *part, bool keep);
extern bool MayOverlap(const BatchPart *part, const text *tenant, const text *provider);
extern int NumPaces(const List *parts);
extern BatchStop StopOfParts(const List *parts, const text *tenant, const text *provider);

#endif /* ACTEON_PARTS_H */
