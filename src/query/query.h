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

#include "base/optional_time.h"

/* Records that one call attempts at most, and unless told otherwise. */
#define MAX_RECORDS_LIMIT 1000
#define MAX_RECORDS_DEFAULT 50

/* No limit, for calls that take any number. */
#define ANY_NUMBER PG_INT32_MIN

/* What ends loops of replays that fail, unless told otherwise. */
#define MAX_GENERATION_DEFAULT 3
#define MAX_DEPTH_DEFAULT 3

/* The circuit breaker, unless told otherwise; a window of 0 is none. */
#define BREAKER_WINDOW_DEFAULT 50
#define BREAKER_WINDOW_LIMIT 100000
#define BREAKER_SHARE_DEFAULT 0.5

/* Outcomes that one filter names at most; the gateway has fewer. */
#define MAX_OUTCOMES 32

/* What becomes of an action of which nobody can tell whether it was executed. */
#define ON_DOUBT_RESEND "resend"
#define ON_DOUBT_HOLD "hold"

/* Filters that compare a column of the audit table with a text. */
typedef enum TextFilter
{
	FILTER_NAMESPACE,
	FILTER_TENANT,
	FILTER_PROVIDER,
	FILTER_ACTION_TYPE,
	FILTER_OUTCOME,
	FILTER_VERDICT,
	FILTER_MATCHED_RULE,
	FILTER_CALLER_ID,
	FILTER_CHAIN_ID,
	NUM_TEXT_FILTERS
} TextFilter;

/* Name of each as argument, key and column. */
extern const char *const TextFilterNames[NUM_TEXT_FILTERS];

/* A place in the ordered records; see query.c. */
typedef struct ReplayCursor
{
	TimestampTz dispatched_at;
	char *id;
} ReplayCursor;

typedef struct ReplayQuery
{
	bool wire_form;                  /* came as jsonb: some arguments have other names */
	bool any_number;                 /* of records: the call works in chunks, or does not write */
	char *filters[NUM_TEXT_FILTERS]; /* NULL: any value */
	OptionalTime from;               /* inclusive, both */
	OptionalTime to;
	int max_records; /* ANY_NUMBER: all */
	bool include_replayed;
	bool allow_redacted;
	bool newest_first;
	char *cursor_text;   /* NULL: from the start */
	ReplayCursor cursor; /* what cursor_text says */
	Numeric rate;        /* actions a second; NULL: no limit */
	double rate_value;   /* the same; 0: no limit */
	OptionalTime start_at;
	char *reason;
	bool allow_partial;      /* without attachments that are lost */
	char *dedup;             /* keep or drop */
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
	bool allow_unproven;  /* also intents of which nobody knows how they ended */
	char *on_doubt;       /* resend or hold */
	bool holds_doubts;    /* the same */
	char **outcomes;      /* what the filter on outcome names, one by one; see CheckReplayQuery */
	int outcome_count;    /* 0: any */
} ReplayQuery;

/* What the type of an option is. */
typedef enum OptionType
{
	OPTION_TEXT,
	OPTION_TIME,
	OPTION_INTEGER,
	OPTION_BOOLEAN,
	OPTION_NUMBER
} OptionType;

/* Something that a replay can be told; see query_options.c. */
typedef struct QueryOption
{
	const char *argument; /* its name as an argument in SQL */
	const char *key;      /* and in the gateway's wire form */
	OptionType type;
	size_t offset; /* of its field in a ReplayQuery */
	/* Only of an integer. */
	int otherwise; /* what it is when nobody says anything */
	int least;
	int most;
	const char *hint; /* where it is out of these bounds; NULL: none */
} QueryOption;

/* Options, which are the first arguments of the functions; what a function has besides follows. */
#define NUM_REPLAY_OPTIONS 32

extern const QueryOption ReplayOptions[NUM_REPLAY_OPTIONS];

/* The field of a query that an option sets, as a pointer to its type. */
#define OPTION_FIELD(query, option, type) ((type *) ((char *) (query) + (option)->offset))

extern void InitReplayQuery(ReplayQuery *query, bool any_number);
extern void CheckArgumentCount(FunctionCallInfo fcinfo, int count);
extern void
ReadReplayArguments(ReplayQuery *query, FunctionCallInfo fcinfo, bool any_number, int further);
extern void ReadQueryArgument(ReplayQuery *query, FunctionCallInfo fcinfo, bool any_number);
extern void NoticeNamespace(const ReplayQuery *query, const char *function);
extern const char *ArgumentName(const ReplayQuery *query, const char *argument);
extern void ReadReplayQuery(ReplayQuery *query, Jsonb *json, bool any_number);
extern double RateValue(Numeric rate);
extern void CheckReplayQuery(ReplayQuery *query);
extern bool AsksForOutcome(const ReplayQuery *query, const char *outcome);
extern void EndQueryAt(ReplayQuery *query, TimestampTz now);
extern Jsonb *QueryToJsonb(const ReplayQuery *query);
extern char *MakeCursor(const ReplayQuery *query, TimestampTz dispatched_at, const text *id);

#endif /* ACTEON_QUERY_H */
