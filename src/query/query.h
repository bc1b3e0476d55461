/*
 * query.h
 *		What a bulk replay is asked for.
 */
#ifndef ACTEON_QUERY_H
#define ACTEON_QUERY_H

#include "datatype/timestamp.h"
#include "fmgr.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "base/compat.h"
#include "base/error_signature.h"
#include "base/optional_time.h"
#include "query/cursor.h"
#include "query/options.h"
#include "query/patch.h"
#include "query/text_list.h"

/* Outcomes that one filter names at most; the gateway has fewer. */
#define MAX_OUTCOMES 32

/* Name of each filter as argument, key and column. */
extern const char *const TextFilterNames[NUM_TEXT_FILTERS];

typedef struct ReplayQuery
{
	bool wire_form;                  /* came as jsonb: some arguments have other names */
	bool any_number;                 /* of records: the call works in chunks, or does not write */
	uint64 given;                    /* bits of the options that the caller gave a value for */
	char *filters[NUM_TEXT_FILTERS]; /* NULL: any value */
	OptionalTime from;               /* inclusive, both */
	OptionalTime to;
	bool is_cut; /* EndQueryAt has made it end now, instead of: */
	OptionalTime uncut_to;
	bool is_limited; /* to so many records: */
	int max_records;
	bool include_replayed;
	bool allow_redacted;
	bool newest_first;
	char *order;         /* the same, as ORDER_OLDEST or ORDER_NEWEST; NULL once it is checked */
	char *cursor_text;   /* NULL: from the start */
	ReplayCursor cursor; /* what cursor_text says */
	Numeric rate;        /* actions a second; NULL: no limit */
	double rate_value;   /* the same; 0: no limit */
	OptionalTime start_at;
	char *reason;
	bool allow_partial;      /* without attachments that are lost */
	char *dedup;             /* DEDUP_KEEP or DEDUP_DROP */
	bool drops_dedup;        /* the same */
	char *provider_override; /* NULL: the record's own */
	int max_generation;      /* replays of an action, without cancelled ones */
	int max_depth;           /* replays of replays */
	int breaker_window;      /* deliveries; 0: no circuit breaker */
	Numeric breaker_share;
	bool ramp;            /* the first tenth at a tenth of the rate */
	bool lost;            /* what had no effect, whatever its outcome is called */
	bool certain;         /* of that, without what may have had one */
	bool allow_effective; /* also what took effect, or will */
	bool allow_unproven;  /* also intents, whose outcome is unknown */
	char *on_doubt;       /* ON_DOUBT_RESEND or ON_DOUBT_HOLD */
	bool holds_doubts;    /* the same */
	char *canary;         /* CANARY_OFF and so on; NULL: by the number of actions */
	char **outcomes;      /* what the filter on outcome names, one by one; see CheckReplayQuery */
	int outcome_count;    /* 0: any */
	char *signature;      /* of the error; NULL: any */
	char
		*signature_made; /* the signature of that, if it is an error itself; see CheckReplayQuery */
	char *signature_rules;
	SignatureRules rules; /* the same */
	TextList action_ids;
	TextList exclude_ids;
	Jsonb *exclude;               /* NULL: nothing */
	struct ReplayQuery *excluded; /* the same; see CheckReplayQuery */
	bool is_exclusion;            /* this is such a query */
	char *tenant_tree;
	char *error_like;
	Jsonb *payload;
	char *payload_path;
	Datum path;               /* the same, 0 if there is none; see CheckReplayQuery */
	Jsonb *patch;             /* of payloads, an object; NULL: none */
	Interval *expire_after;   /* NULL: never */
	int64 expire_after_value; /* the same, in microseconds; 0: never */
	bool allow_ended;         /* disregard what actions say of their end */
	TimestampTz checked_at;   /* when the query was checked: what has expired then is not wanted */
	char *target;             /* name of where the actions go; see TargetOf */
	char *patch_path;         /* or a value for these places of payloads; NULL: none */
	Jsonb *patch_value;
	char *verify;        /* VERIFY_OFF or VERIFY_REQUIRED */
	bool requires_chain; /* the same */
	Patch *change;       /* what these three say; NULL: nothing; see CheckReplayQuery */
	char *plan;          /* that says what to replay; see replay/plan.c */
	bool fill_limit;     /* max_records counts only what is replayed; see replay/window.c */
} ReplayQuery;

/* Whether the caller gave a value for an option. */
#define OPTION_BIT(id) (UINT64CONST(1) << (id))
#define OPTION_GIVEN(query, id) (((query)->given & OPTION_BIT(id)) != 0)
#define NOTE_GIVEN(query, id) ((query)->given |= OPTION_BIT(id))

extern const char *TargetOf(const ReplayQuery *query);
extern void *OptionField(const ReplayQuery *query, OptionId id);
extern int CountOptions(CallSet call);
extern bool HasFilter(const ReplayQuery *query);
extern char *FilterNames(const ReplayQuery *query);
extern int OptionPlace(CallSet call, OptionId option);
extern const char *OptionName(const ReplayQuery *query, OptionId id);
extern void InitReplayQuery(ReplayQuery *query, bool any_number);
extern double OptionNumber(const char *text);
extern void SetInteger(ReplayQuery *query, OptionId id, int value);
ACTEON_NORETURN extern void ReportBounds(const char *name, OptionId id, bool too_small);
extern void CheckArgumentCount(FunctionCallInfo fcinfo, int count);
extern void
ReadReplayArguments(ReplayQuery *query, FunctionCallInfo fcinfo, CallSet call, int results);
extern void ReadSingleArguments(ReplayQuery *query, FunctionCallInfo fcinfo);
extern int ReadIntegerArgument(FunctionCallInfo fcinfo, int argument, OptionId id, int otherwise);
extern void ReadQueryArgument(ReplayQuery *query, FunctionCallInfo fcinfo, bool any_number);
extern void NoticeNamespace(const ReplayQuery *query, const char *function);
extern void ReadReplayQuery(ReplayQuery *query, Jsonb *json, bool any_number);
extern void ReadExclusion(ReplayQuery *query, Jsonb *json);
extern double RateValue(Numeric rate);
extern void CheckQueryTime(const char *name, const OptionalTime *time);
extern void CheckReplayQuery(ReplayQuery *query);
extern bool AsksForOutcome(const ReplayQuery *query, const char *outcome);
extern void EndQueryAt(ReplayQuery *query, TimestampTz now);
extern bool SameOption(const ReplayQuery *a, const ReplayQuery *b, OptionId id);
extern Jsonb *QueryToJsonb(const ReplayQuery *query);
extern Jsonb *SingleQueryToJsonb(const ReplayQuery *query, const char *action_id);
extern char *MakeCursor(const ReplayQuery *query, const ReplayCursor *place);

#endif /* ACTEON_QUERY_H */
