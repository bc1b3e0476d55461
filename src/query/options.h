/*
 * options.h
 *		What a replay can be asked: the shape of the table in options.def.
 *
 * The extension and the programs include it, so it needs none of the server's
 * headers.  Each of them makes the table ReplayOptions for itself: query_options.c
 * there, parameters.c here.
 */
#ifndef ACTEON_OPTIONS_H
#define ACTEON_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/target_name.h"
#include "query/states.h"

/* A number as a text, for the bounds and defaults in the table. */
#define NUMBER_TEXT_(number) #number
#define NUMBER_TEXT(number) NUMBER_TEXT_(number)

/* Records that a bulk replay attempts at most, and unless told otherwise. */
#define MAX_RECORDS_LIMIT 1000
#define MAX_RECORDS_DEFAULT 50

/* Records of a chain that a request over HTTP checks at most. */
#define MAX_CHAIN_LIMIT 1000000

/* … and findings that its answer has at most. */
#define MAX_FINDINGS 100

/* The circuit breaker, unless told otherwise; a window of 0 is none. */
#define BREAKER_WINDOW_DEFAULT 50
#define BREAKER_SHARE_DEFAULT 0.5

/* The largest integer of the database. */
#define LARGEST_INTEGER 2147483647

/* What to do if it cannot be determined whether an action was executed. */
#define ON_DOUBT_RESEND "resend"
#define ON_DOUBT_HOLD "hold"

/* How a batch begins; see batch/canary.c. */
#define CANARY_OFF "off"
#define CANARY_AUTO "auto"
#define CANARY_HOLD "hold"

/* Batches of more actions begin with a canary, unless told otherwise. */
#define CANARY_ABOVE 100

/* What to do with dedup keys. */
#define DEDUP_KEEP "keep"
#define DEDUP_DROP "drop"

/* Whether records must fit into the gateway's chain of hashes. */
#define VERIFY_OFF "off"
#define VERIFY_REQUIRED "required"

/* Which records come first. */
#define ORDER_OLDEST "oldest"
#define ORDER_NEWEST "newest"

/* The rows of the table, by what they are about. */
typedef enum OptionId
{
#define PARAMETER(id, ...) OPTION_##id,
#include "query/options.def"
	NUM_OPTIONS
} OptionId;

/* Filters that compare a column of the audit table with a text. */
typedef enum TextFilter
{
#define FILTER(id, ...) FILTER_##id,
#include "query/options.def"
	NUM_TEXT_FILTERS
} TextFilter;

/* What a value is. */
typedef enum OptionKind
{
	KIND_TEXT,
	KIND_TIME,
	KIND_INTEGER, /* of 32 bits */
	KIND_BOOLEAN,
	KIND_NUMBER, /* of any precision */
	KIND_BATCH,  /* the number of a batch */
	KIND_PLACE,  /* a place in a chain */
	KIND_TEXTS,  /* a list of texts */
	KIND_JSON,   /* any JSON but null; with takes_null, null, too */
	KIND_INTERVAL
} OptionKind;

/* Calls that take an option, as bits. */
typedef uint64_t CallSet;

#define CALL_NONE UINT64_C(0x000)
#define CALL_SINGLE UINT64_C(0x001)      /* acteon_replay */
#define CALL_BULK UINT64_C(0x002)        /* acteon_replay_bulk */
#define CALL_PREVIEW UINT64_C(0x004)     /* acteon_replay_preview */
#define CALL_ALL UINT64_C(0x008)         /* acteon_replay_all */
#define CALL_QUERY UINT64_C(0x010)       /* each of the last three with a query in the wire form */
#define CALL_HTTP_SINGLE UINT64_C(0x020) /* POST /v1/audit/{action_id}/replay */
#define CALL_HTTP_BULK UINT64_C(0x040)   /* POST /v1/audit/replay */
#define CALL_HTTP_STEERING \
	UINT64_C(0x080) /* POST /v1/replay/batches/{batch_id}/pause and its like */
#define CALL_HTTP_BATCHES UINT64_C(0x100)   /* GET /v1/replay/batches */
#define CALL_CAUSES UINT64_C(0x200)         /* acteon_replay_causes */
#define CALL_HTTP_ITEMS UINT64_C(0x400)     /* GET /v1/replay/batches/{batch_id}/items */
#define CALL_HTTP_CAUSES UINT64_C(0x800)    /* GET /v1/replay/causes */
#define CALL_HTTP_RECORDS UINT64_C(0x4000)  /* GET /v1/audit */
#define CALL_TIMELINE UINT64_C(0x1000)      /* acteon_replay_timeline */
#define CALL_HTTP_TIMELINE UINT64_C(0x2000) /* GET /v1/replay/timeline */
#define CALL_HTTP_OF_ALL UINT64_C(0x8000)   /* POST /v1/replay/pause_all and …/resume_all */

/* Further ones, most of them POST /v1/replay/batches/{batch_id}/…; see http/operations.c. */
#define CALL_HTTP_LOG UINT64_C(0x10000)
#define CALL_HTTP_RATE UINT64_C(0x20000)
#define CALL_HTTP_START UINT64_C(0x40000)
#define CALL_HTTP_SETTLE UINT64_C(0x80000)
#define CALL_HTTP_APPROVE UINT64_C(0x100000)
#define CALL_HTTP_HAND_OVER UINT64_C(0x200000)
#define CALL_HTTP_CONTINUE UINT64_C(0x400000)
#define CALL_HTTP_PATCH UINT64_C(0x800000)
#define CALL_HTTP_LINEAGE UINT64_C(0x1000000)
#define CALL_HTTP_DEAD_LETTERS UINT64_C(0x2000000)
#define CALL_HTTP_REDRIVE UINT64_C(0x4000000)
#define CALL_HTTP_LIMITS UINT64_C(0x8000000)
#define CALL_HTTP_LIMIT_SET UINT64_C(0x10000000)    /* POST /v1/replay/limits */
#define CALL_HTTP_LIMIT_REMOVE UINT64_C(0x80000000) /* DELETE /v1/replay/limits */
#define CALL_HTTP_RESUME UINT64_C(0x20000000) /* what resuming takes in addition to steering */
#define CALL_HTTP_ALL UINT64_C(0x40000000)    /* POST /v1/replay/all */
#define CALL_HTTP_CHAIN UINT64_C(0x100000000) /* POST /v1/audit/verify */
#define CALL_HTTP_TRAIL UINT64_C(0x200000000) /* POST /v1/replay/verify */

/* Those that take a filter; those of HTTP; those that only count what matches; those that
 * take what a single replay does. */
#define CALLS_MANY \
	(CALL_BULK | CALL_PREVIEW | CALL_ALL | CALL_QUERY | CALL_HTTP_BULK | CALL_HTTP_ALL)
#define CALLS_HTTP \
	(CALL_HTTP_SINGLE | CALL_HTTP_BULK | CALL_HTTP_ALL | CALL_HTTP_STEERING | CALL_HTTP_BATCHES | \
	 CALL_HTTP_ITEMS | CALL_HTTP_CAUSES | CALL_HTTP_TIMELINE | CALL_HTTP_RECORDS | \
	 CALLS_HTTP_CHANGES | CALLS_HTTP_LISTS | CALLS_HTTP_VERIFY)

/* Those that change a batch, dead actions or a limit; those of a part of a batch; lists with pages. */
#define CALLS_HTTP_CHANGES \
	(CALL_HTTP_STEERING | CALL_HTTP_RATE | CALL_HTTP_START | CALL_HTTP_SETTLE | \
	 CALL_HTTP_APPROVE | CALL_HTTP_HAND_OVER | CALL_HTTP_CONTINUE | CALL_HTTP_PATCH | \
	 CALL_HTTP_REDRIVE | CALL_HTTP_RESUME | CALL_HTTP_OF_ALL | CALLS_HTTP_LIMIT)

/* Those of POST that change nothing, and whose parameters may also stand in the body. */
#define CALLS_HTTP_VERIFY (CALL_HTTP_CHAIN | CALL_HTTP_TRAIL)

#define CALLS_HTTP_LIMIT (CALL_HTTP_LIMIT_SET | CALL_HTTP_LIMIT_REMOVE)
#define CALLS_HTTP_PART (CALL_HTTP_STEERING | CALL_HTTP_RATE | CALL_HTTP_PATCH)
#define CALLS_HTTP_LISTS \
	(CALL_HTTP_LOG | CALL_HTTP_LINEAGE | CALL_HTTP_DEAD_LETTERS | CALL_HTTP_LIMITS)

#define CALLS_TIMELINE (CALL_TIMELINE | CALL_HTTP_TIMELINE)
#define CALLS_CAUSES (CALL_CAUSES | CALL_HTTP_CAUSES | CALLS_TIMELINE)
#define CALLS_REPLAY (CALLS_MANY | CALL_SINGLE | CALL_HTTP_SINGLE)

/*
 * An option.  Defaults and bounds are texts, numbers among them as JSON writes
 * them; NULL is none.
 */
typedef struct ReplayOption
{
	const char *argument; /* its name in SQL; NULL: no argument */
	const char *key;      /* its name in the wire form and over HTTP; NULL: in neither */
	OptionKind kind;
	/*
	 * Its type in SQL; NULL: that of its kind.  A text with a type of its own may also be
	 * given as a boolean, which is the text "true" or "false".
	 */
	const char *type;
	CallSet calls;
	const char *initial; /* its default */
	const char *least;
	const char *most;
	const char *below;          /* in place of most: this is too much */
	const char *const *choices; /* the only values that there are, NULL behind the last */
	/*
	 * A number of records: more than most is cut to most, but in calls that take
	 * any number.  These have no default either.
	 */
	bool is_limit;
	/*
	 * It says which records a replay is about: a replay of many needs at least one
	 * such option.  One that only leaves records out is none.
	 */
	bool is_filter;
	bool takes_null;       /* KIND_JSON: null is a value like others */
	bool is_list;          /* over HTTP it may be given several times */
	bool is_condition;     /* each record meets it or not, by itself: exclude takes it */
	bool not_empty;        /* the empty text, or list, is refused */
	bool is_required;      /* over HTTP it must be given */
	const char *help;      /* what it means, in half a sentence that begins small */
	const char *in_sql;    /* more sentences for the functions, and for the HTTP interface; */
	const char *over_http; /* none of these texts ends with a full stop */
	const char *hint;      /* for those whose value is refused */
	const char *example;   /* a value */
} ReplayOption;

/* An entry of the table, as options.def has it, in the array ReplayOptions. */
#define OPTION_ENTRY(id, argument_name, key_name, value_kind, taken_by, ...) \
	[OPTION_##id] = {.argument = argument_name, \
					 .key = key_name, \
					 .kind = KIND_##value_kind, \
					 .calls = taken_by, \
					 __VA_ARGS__},

extern const ReplayOption ReplayOptions[NUM_OPTIONS];

#endif /* ACTEON_OPTIONS_H */
