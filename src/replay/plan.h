/*
 * plan.h
 *		Plans: what a preview has shown, to be replayed exactly so.
 */
#ifndef ACTEON_PLAN_H
#define ACTEON_PLAN_H

#include "base/optional_time.h"
#include "base/replay_id.h"
#include "query/query.h"
#include "replay/eligibility.h"
#include "replay/replay_call.h"

/* How long a plan holds. */
#define PLAN_HOURS 1

/* A record at one end of those that match. */
typedef struct PlanEnd
{
	OptionalTime dispatched_at;
	char *id; /* in the context of the counts */
} PlanEnd;

/* What is known of the records that a replay would look at; see CountForPlan. */
typedef struct PlanCounts
{
	MemoryContext context;
	int64 matched;
	int64 replayable;
	int64 reasons[NUM_REASONS]; /* of those that would not be replayed */
	PlanEnd first;
	PlanEnd last;
	uint64 digest; /* of which ones would be replayed, in any order */
	Scope *scope;  /* of those that would be attempted; NULL: it is not wanted */
} PlanCounts;

/* A plan. */
typedef struct ReplayPlan
{
	ReplayQuery query; /* with absolute times and a number of records */
	uint64 completed;  /* bits of the options that the preview has added to it */
	PlanCounts counts;
	Oid caller;
	Oid database;
	uint64 system;
	TimestampTz expires_at;
	char digest[QUERY_DIGEST_LEN + 1]; /* names the plan in the batch and in the log */
} ReplayPlan;

extern void InitPlanCounts(PlanCounts *counts);
extern void CountForPlan(PlanCounts *counts, const ReplayItem *items, int count);
extern char *MakePlan(Oid schema, const ReplayQuery *query, uint64 completed,
					  const PlanCounts *counts, Oid caller, TimestampTz now);
extern void CountAllForLimit(ReplayQuery *query, const PlanCounts *counts);
extern ReplayPlan *TakePlan(ReplayQuery *query, Oid schema);
extern void CountRecords(ReplayCall *call, const ReplayQuery *query, PlanCounts *counts);
extern uint64 CompleteQuery(ReplayQuery *query, const PlanCounts *counts);
extern const char *PlanDigest(const char *plan);
extern void CheckPlan(ReplayCall *call, const ReplayPlan *plan, PlanCounts *now);
extern void CheckPlanIsKept(const ReplayPlan *plan, const ReplayItem *items, int count);
extern void RequirePlan(const ReplayQuery *query, const char *function, int64 count);
extern void
LogPlan(const ReplayCall *call, const ReplayPlan *plan, int64 batch_id, const char *reason);

#endif /* ACTEON_PLAN_H */
