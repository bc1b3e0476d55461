/*
 * policy.h
 *		Policies: replays of what providers lost, when they work again.
 */
#ifndef ACTEON_POLICY_H
#define ACTEON_POLICY_H

#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "base/identity.h"
#include "base/optional_time.h"
#include "policy/quiet_hours.h"

/* Bytes of a name, as the table has it. */
#define MAX_POLICY_NAME 200

/* A run may come so much later: what would be quiet by then counts as quiet. */
#define RUN_SECONDS 15

/* Something that a policy did. */
typedef struct PolicyNote
{
	const char *provider; /* NULL: it is about the whole policy */
	int64 batch_id;       /* 0: it is about none */
	const char *what;
} PolicyNote;

/* A policy, and a run of it; see policy_run.c. */
typedef struct Policy
{
	Oid schema;
	const char *quoted_schema;
	char *name;
	Oid role; /* as which it replays */
	Jsonb *query;
	OptionalTime from;    /* of the query, or the oldest that may be replayed, if that is later */
	const char *provider; /* the only one that the filters permit; NULL: any */
	const char *override; /* provider that takes the place of all others; NULL: none */
	bool has_breaker;     /* the filters say which circuit breaker its batches have */
	Numeric rate;         /* NULL: no limit */
	bool canary;          /* whether the first batch after a recovery begins with one */
	QuietHours quiet;
	int max_a_day;     /* 0: any number */
	int64 probe_every; /* microseconds, as the next one */
	int64 max_age;
	char *reason;        /* NULL: none */
	TimestampTz look_at; /* when to look next for what is lost */
	int day_actions;     /* replayed today */
	TimestampTz now;
	bool is_quiet;
	int plan_above; /* of the role's own settings; -1: off, or not set */
	int approval_above;
	List *notes; /* what the run did, as PolicyNote */
} Policy;

extern void NotePolicy(Policy *policy, const char *provider, int64 batch_id, const char *what);
extern void RunPolicyProviders(Policy *policy);

#endif /* ACTEON_POLICY_H */
