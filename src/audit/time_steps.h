/*
 * time_steps.h
 *		The steps in which a table that is partitioned by time is searched.
 */
#ifndef ACTEON_TIME_STEPS_H
#define ACTEON_TIME_STEPS_H

#include "audit/audit_table.h"
#include "base/optional_time.h"
#include "query/query.h"

/* A search from partitions to older or newer ones; see BeginTimeSteps. */
typedef struct TimeSteps
{
	TimestampTz *cuts; /* bounds of partitions, in ascending order; NULL: there are none */
	int count;         /* number of them */
	int left;          /* of them, to be passed */
	int stride;        /* bounds that the next step passes */
	TimestampTz from;  /* of the whole search, both inclusive */
	TimestampTz to;
	bool is_rest; /* the step covers whatever is left, and that is much */
	bool ended;
} TimeSteps;

extern bool IsPartitionedByTime(const AuditTable *table);
extern void BeginTimeSteps(TimeSteps *steps, const AuditTable *table, const OptionalTime *from,
						   const OptionalTime *to);
extern void BeginTimeStepsUp(TimeSteps *steps, const AuditTable *table, const OptionalTime *from,
							 const OptionalTime *to);
extern bool NextTimeStepUp(TimeSteps *steps, TimestampTz *from, TimestampTz *to);
extern bool NextTimeStep(TimeSteps *steps, TimestampTz *from, TimestampTz *to);
extern void BeginQuerySteps(TimeSteps *steps, const AuditTable *table, const ReplayQuery *query);
extern bool
NextQueryStep(TimeSteps *steps, const ReplayQuery *query, OptionalTime *first, OptionalTime *last);

#endif /* ACTEON_TIME_STEPS_H */
