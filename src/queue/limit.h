/*
 * limit.h
 *		Limits of providers and tenants, which all batches keep together.
 */
#ifndef ACTEON_LIMIT_H
#define ACTEON_LIMIT_H

#include "queue/segment.h"

/* The circuit breaker of a provider, where nothing else was set. */
#define DEFAULT_BREAKER_WINDOW 50
#define DEFAULT_BREAKER_SHARE 0.5

/* Kinds of limits, as in acteon_replay_limit.kind. */
#define LIMIT_PROVIDER_NAME "provider"
#define LIMIT_TENANT_NAME "tenant"

/* Whether a call has a limit's row. */
typedef enum LimitHold
{
	LIMIT_UNTRIED,
	LIMIT_HELD, /* locked until the transaction ends */
	LIMIT_BUSY  /* another transaction has it */
} LimitHold;

/* A row of the table of limits, and what a call has found out about it. */
typedef struct SharedLimit
{
	int64 key;
	LimitKind kind;
	text *name;
	double rate; /* actions per second; 0: no limit */
	bool has_concurrency;
	int concurrency;
	double tokens; /* actions that could be handed out at refilled_at */
	TimestampTz refilled_at;
	int breaker_window; /* 0: no circuit breaker */
	double breaker_share;
	TimestampTz breaker_since; /* 0: it was never closed */
	TimestampTz opened_at;     /* 0: it is closed */
	TimestampTz retry_at;      /* when the next trial can be handed out */
	int backoff;               /* seconds */
	int64 trial_id;            /* outbox id of the trial that is out; 0: none is */
	TimestampTz released_at;   /* 0: never */
	TupleTableSlot *row;       /* as it was read */
	LimitHold hold;
	bool is_counted; /* in_flight is known */
	int64 in_flight;
	bool is_changed; /* what SpendLimit changes */
} SharedLimit;

/* The limits there are, as a call has read them; see ReadLimits. */
typedef struct LimitSet
{
	Oid schema;
	TimestampTz now;
	MemoryContext context;
	TableWriter writer; /* open if there are any, and the server is no standby */
	TupleTableSlot *scratch;
	SharedLimit *limits;
	int count;
	bool has_tenants; /* some are about tenants */
} LimitSet;

extern const char *const LimitKindNames[NUM_LIMIT_KINDS];

extern int64 LimitKey(LimitKind kind, const text *name);
extern bool LockLimits(Oid schema, bool wait);
extern void ReadLimits(LimitSet *set, Oid schema, TimestampTz now);
extern void CloseLimits(LimitSet *set);
extern SharedLimit *FindLimit(LimitSet *set, LimitKind kind, const text *name);
extern SharedLimit *LimitByKey(LimitSet *set, LimitKind kind, int64 key);
extern bool ChangeLimit(LimitSet *set, SharedLimit *limit, int count, const AttrNumber *columns,
						const Datum *values, const bool *nulls, bool wait);
extern int LimitAllows(LimitSet *set, SegmentTable *segments, SharedLimit *limit);
extern void SpendLimit(LimitSet *set, SharedLimit *limit, int actions, int64 first_id);
extern void WriteSpent(LimitSet *set);
extern void ParkSegment(Segment *segment, const SharedLimit *limit, TimestampTz now);

#endif /* ACTEON_LIMIT_H */
