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

#include "base/target_name.h"
#include "query/states.h"

/* A number as a text, for the bounds and defaults in the table. */
#define NUMBER_TEXT_(number) #number
#define NUMBER_TEXT(number) NUMBER_TEXT_(number)

/* Records that a bulk replay attempts at most, and unless told otherwise. */
#define MAX_RECORDS_LIMIT 1000
#define MAX_RECORDS_DEFAULT 50

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
	KIND_TEXTS,  /* a list of texts */
	KIND_JSON,   /* any JSON but null; with takes_null, null, too */
	KIND_INTERVAL
} OptionKind;

/* Calls that take an option. */
#define CALL_NONE 0x000u
#define CALL_SINGLE 0x001u         /* acteon_replay */
#define CALL_BULK 0x002u           /* acteon_replay_bulk */
#define CALL_PREVIEW 0x004u        /* acteon_replay_preview */
#define CALL_ALL 0x008u            /* acteon_replay_all */
#define CALL_QUERY 0x010u          /* each of the last three with a query in the wire form */
#define CALL_HTTP_SINGLE 0x020u    /* POST /v1/audit/{action_id}/replay */
#define CALL_HTTP_BULK 0x040u      /* POST /v1/audit/replay */
#define CALL_HTTP_STEERING 0x080u  /* POST /v1/replay/batches/{batch_id}/pause and its like */
#define CALL_HTTP_BATCHES 0x100u   /* GET /v1/replay/batches */
#define CALL_CAUSES 0x200u         /* acteon_replay_causes */
#define CALL_HTTP_ITEMS 0x400u     /* GET /v1/replay/batches/{batch_id}/items */
#define CALL_HTTP_CAUSES 0x800u    /* GET /v1/replay/causes */
#define CALL_HTTP_RECORDS 0x4000u  /* GET /v1/audit */
#define CALL_TIMELINE 0x1000u      /* acteon_replay_timeline */
#define CALL_HTTP_TIMELINE 0x2000u /* GET /v1/replay/timeline */
#define CALL_HTTP_OF_ALL 0x8000u   /* POST /v1/replay/pause_all and …/resume_all */

/* Further ones, most of them POST /v1/replay/batches/{batch_id}/…; see http/operations.c. */
#define CALL_HTTP_LOG 0x10000u
#define CALL_HTTP_RATE 0x20000u
#define CALL_HTTP_START 0x40000u
#define CALL_HTTP_SETTLE 0x80000u
#define CALL_HTTP_APPROVE 0x100000u
#define CALL_HTTP_HAND_OVER 0x200000u
#define CALL_HTTP_CONTINUE 0x400000u
#define CALL_HTTP_PATCH 0x800000u
#define CALL_HTTP_LINEAGE 0x1000000u
#define CALL_HTTP_DEAD_LETTERS 0x2000000u
#define CALL_HTTP_REDRIVE 0x4000000u
#define CALL_HTTP_LIMITS 0x8000000u
#define CALL_HTTP_LIMIT_SET 0x10000000u    /* POST /v1/replay/limits */
#define CALL_HTTP_LIMIT_REMOVE 0x80000000u /* DELETE /v1/replay/limits */
#define CALL_HTTP_RESUME 0x20000000u       /* what resuming takes in addition to steering */
#define CALL_HTTP_ALL 0x40000000u          /* POST /v1/replay/all */

/* Those that take a filter; those of HTTP; those that only count what matches; those that
 * take what a single replay does. */
#define CALLS_MANY \
	(CALL_BULK | CALL_PREVIEW | CALL_ALL | CALL_QUERY | CALL_HTTP_BULK | CALL_HTTP_ALL)
#define CALLS_HTTP \
	(CALL_HTTP_SINGLE | CALL_HTTP_BULK | CALL_HTTP_ALL | CALL_HTTP_STEERING | CALL_HTTP_BATCHES | \
	 CALL_HTTP_ITEMS | CALL_HTTP_CAUSES | CALL_HTTP_TIMELINE | CALL_HTTP_RECORDS | \
	 CALLS_HTTP_CHANGES | CALLS_HTTP_LISTS)

/* Those that change a batch, dead actions or a limit; those of a part of a batch; lists with pages. */
#define CALLS_HTTP_CHANGES \
	(CALL_HTTP_STEERING | CALL_HTTP_RATE | CALL_HTTP_START | CALL_HTTP_SETTLE | \
	 CALL_HTTP_APPROVE | CALL_HTTP_HAND_OVER | CALL_HTTP_CONTINUE | CALL_HTTP_PATCH | \
	 CALL_HTTP_REDRIVE | CALL_HTTP_RESUME | CALL_HTTP_OF_ALL | CALLS_HTTP_LIMIT)
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
	unsigned calls;
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
