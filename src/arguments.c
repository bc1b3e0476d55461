/*
 * arguments.c
 *		The arguments that acteon_replay_bulk, acteon_replay_preview and
 *		acteon_replay_all share.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "query.h"

/* A walk along the arguments of a call. */
typedef struct Arguments
{
	FunctionCallInfo fcinfo;
	int next;
} Arguments;

/*
 * The next argument, a text, as a string, or NULL.
 */
static char *
next_text(Arguments *arguments)
{
	int i = arguments->next++;
	FunctionCallInfo fcinfo = arguments->fcinfo;

	return PG_ARGISNULL(i) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(i));
}

static OptionalTime
next_time(Arguments *arguments)
{
	int i = arguments->next++;
	FunctionCallInfo fcinfo = arguments->fcinfo;
	OptionalTime result = {!PG_ARGISNULL(i), 0};

	if (result.given)
		result.time = PG_GETARG_TIMESTAMPTZ(i);
	return result;
}

static bool
next_bool(Arguments *arguments)
{
	int i = arguments->next++;
	FunctionCallInfo fcinfo = arguments->fcinfo;

	return !PG_ARGISNULL(i) && PG_GETARG_BOOL(i);
}

/*
 * The next argument, an integer; NULL is as good as the default.
 */
static int
next_integer(Arguments *arguments, int otherwise)
{
	int i = arguments->next++;
	FunctionCallInfo fcinfo = arguments->fcinfo;

	return PG_ARGISNULL(i) ? otherwise : PG_GETARG_INT32(i);
}

static Numeric
next_numeric(Arguments *arguments)
{
	int i = arguments->next++;
	FunctionCallInfo fcinfo = arguments->fcinfo;

	return PG_ARGISNULL(i) ? NULL : PG_GETARG_NUMERIC(i);
}

/*
 * How many records at most: NULL means all, where any number is possible.
 */
static int
next_max_records(Arguments *arguments, bool any_number)
{
	int i = arguments->next++;
	FunctionCallInfo fcinfo = arguments->fcinfo;

	if (!PG_ARGISNULL(i))
		return PG_GETARG_INT32(i);
	if (!any_number)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("max_records must not be null"),
				 errhint("Leave it out for the default of %d.", MAX_RECORDS_DEFAULT)));
	return ANY_NUMBER;
}

/*
 * Read the arguments that the three functions have in common, which are their
 * first ones, in the order in which they are declared.
 */
void
ReadReplayArguments(ReplayQuery *query, FunctionCallInfo fcinfo, bool any_number)
{
	Arguments arguments = {fcinfo, 0};

	InitReplayQuery(query, any_number);
	for (int i = FILTER_NAMESPACE; i <= FILTER_MATCHED_RULE; i++)
		query->filters[i] = next_text(&arguments);
	query->from = next_time(&arguments);
	query->to = next_time(&arguments);
	query->max_records = next_max_records(&arguments, any_number);
	query->filters[FILTER_CALLER_ID] = next_text(&arguments);
	query->filters[FILTER_CHAIN_ID] = next_text(&arguments);
	query->include_replayed = next_bool(&arguments);
	query->allow_redacted = next_bool(&arguments);
	query->newest_first = next_bool(&arguments);
	query->cursor_text = next_text(&arguments);
	query->rate = next_numeric(&arguments);
	query->start_at = next_time(&arguments);
	query->reason = next_text(&arguments);
	query->allow_partial = next_bool(&arguments);
	query->dedup = next_text(&arguments);
	query->provider_override = next_text(&arguments);
	query->max_generation = next_integer(&arguments, MAX_GENERATION_DEFAULT);
	query->max_depth = next_integer(&arguments, MAX_DEPTH_DEFAULT);
	query->breaker_window = next_integer(&arguments, BREAKER_WINDOW_DEFAULT);
	query->breaker_share = next_numeric(&arguments);
	query->ramp = next_bool(&arguments);
	Assert(arguments.next == NUM_REPLAY_ARGUMENTS);
}

/*
 * Read a query in the wire form, which is the first argument.
 */
void
ReadQueryArgument(ReplayQuery *query, FunctionCallInfo fcinfo, bool any_number)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("replay query must not be null"),
				 errhint("Pass '{}' for a query without filters.")));
	ReadReplayQuery(query, PG_GETARG_JSONB_P(0), any_number);
}
