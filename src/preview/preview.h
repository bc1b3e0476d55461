/*
 * preview.h
 *		What a replay would do.
 */
#ifndef ACTEON_PREVIEW_H
#define ACTEON_PREVIEW_H

#include "fmgr.h"
#include "lib/hyperloglog.h"

#include "audit/audit_count.h"
#include "base/optional_time.h"
#include "base/value_counts.h"
#include "preview/cause_counts.h"
#include "query/query.h"
#include "replay/asked.h"
#include "replay/eligibility.h"
#include "replay/plan.h"

/* What one should know of records that would be replayed, or nearly. */
typedef enum Beware
{
	BEWARE_SEALED,    /* encrypted payload */
	BEWARE_DEDUP_KEY, /* that is sent along */
	BEWARE_REPLAYED,  /* before, and it is done again */
	BEWARE_EXECUTED,  /* says another record of the action */
	BEWARE_UNCERTAIN, /* lost, but it may have had an effect */
	BEWARE_EFFECTIVE, /* it took effect, or will: passed over, or repeated if that is allowed */
	BEWARE_REPLACED,  /* its payload is no object: a patch replaces it as a whole */
	BEWARE_EXPIRES,   /* it expires before its turn, by the rate and start_at */
	BEWARE_UNCHAINED  /* it has a place in the gateway's chain, into which it does not fit */
} Beware;

#define NUM_BEWARE (BEWARE_UNCHAINED + 1)

/* By which columns records are counted. */
typedef enum Breakdown
{
	BY_PROVIDER,
	BY_ACTION_TYPE,
	BY_OUTCOME,
	BY_TENANT
} Breakdown;

#define NUM_BREAKDOWNS (BY_TENANT + 1)

/* Records of which it is found out whether they fit into the chain, unless verify wants all. */
#define CHAIN_LINK_LIMIT 1000

/* Values of a column that are shown; the others are counted together. */
#define SHOWN_VALUES 20

/* Causes that are shown. */
#define SHOWN_CAUSES 5

/* A record that would be replayed. */
typedef struct PreviewSample
{
	OptionalTime dispatched_at;
	char *action_id;
	char *namespace;
	char *tenant;
	char *provider;
	char *action_type;
	char *outcome;
	char *signer_id; /* NULL: it was not signed */
	Jsonb *before;   /* with a patch: the payload, and what it becomes; NULL: not shown */
	Jsonb *after;
	bool is_patched; /* they differ */
} PreviewSample;

/* What a replay would do; see MakePreview. */
typedef struct Preview
{
	ReplayQuery *query; /* at the end: what the preview holds for */
	char *plan;         /* to replay exactly that; NULL: there is nothing to replay */
	TimestampTz plan_expires_at;
	int64 matched;
	int64 replayable;
	int64 not_covered;   /* that the caller may not even read */
	OptionalTime oldest; /* of those that the caller may read */
	OptionalTime newest;
	double seconds; /* with a rate: what it takes */
	int64 reasons[NUM_REASONS];
	int64 missing[NUM_RECORD_COLUMNS]; /* of these, which column */
	int64 left_out[NUM_LEFT_OUT];
	MissingIds missing_ids; /* hand-picked ids without a record */
	MissingIds missing_exclude_ids;
	int64 beware[NUM_BEWARE];
	TimestampTz begins_at; /* when a replay would begin at the earliest */
	int64 patched;         /* with a patch: payloads that it changes */
	bool is_refused;       /* a replay refuses the query: */
	Refusal refusal;
	List *not_found;  /* of NotFound, if nothing matched */
	bool finds_links; /* records before others are found quickly */
	int linked;       /* records of which it was found out whether they fit into the chain */
	int searched;     /* records for which it was found out whether another one says executed */
	hyperLogLogState dedup_keys;
	ValueCounts by[NUM_BREAKDOWNS]; /* of what the caller may read */
	CauseCounts *causes;            /* of the same */
	PreviewSample *samples;
	int sample_count;
	int wanted_samples;
	PlanCounts counts; /* for the plan */
} Preview;

extern void
MakePreview(Preview *preview, FunctionCallInfo fcinfo, ReplayQuery *query, int sample_argument);
extern int64 DifferentDedupKeys(Preview *preview);

#endif /* ACTEON_PREVIEW_H */
