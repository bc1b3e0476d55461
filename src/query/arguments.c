/*
 * arguments.c
 *		The arguments that acteon_replay_bulk, acteon_replay_preview and
 *		acteon_replay_all share.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "base/table_access.h"
#include "query/query.h"

/*
 * Check that a function was declared with the given number of arguments.  One of
 * an earlier version of the extension may have another number: the library is
 * newer than the catalogue until ALTER EXTENSION UPDATE is run.
 */
void
CheckArgumentCount(FunctionCallInfo fcinfo, int count)
{
	if (PG_NARGS() != count)
		RefuseOlderObjects();
}

/*
 * Set the field of an option to an argument, if that is given.  NULL means the
 * default, except for the number of records, for which it means all where any
 * number is permitted, and is refused elsewhere.
 */
static void
read_argument(ReplayQuery *query, OptionId id, FunctionCallInfo fcinfo, int i)
{
	void *field = OptionField(query, id);

	if (PG_ARGISNULL(i))
	{
		if (ReplayOptions[id].is_limit && !query->any_number)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("%s must not be null", ReplayOptions[id].argument),
					 errhint("Leave it out for the default of %s.", ReplayOptions[id].initial)));
		return;
	}
	NOTE_GIVEN(query, id);
	switch (ReplayOptions[id].kind)
	{
		case KIND_TEXT:
			*(char **) field = text_to_cstring(PG_GETARG_TEXT_PP(i));
			break;
		case KIND_TIME:
			*(OptionalTime *) field = (OptionalTime){true, PG_GETARG_TIMESTAMPTZ(i)};
			break;
		case KIND_INTEGER:
			SetInteger(query, id, PG_GETARG_INT32(i));
			break;
		case KIND_BOOLEAN:
			*(bool *) field = PG_GETARG_BOOL(i);
			break;
		case KIND_NUMBER:
			*(Numeric *) field = PG_GETARG_NUMERIC(i);
			break;
		case KIND_TEXTS:
			TextListFromArray(field, ReplayOptions[id].argument, PG_GETARG_ARRAYTYPE_P(i));
			break;
		case KIND_JSON:
			*(Jsonb **) field = PG_GETARG_JSONB_P(i);
			break;
		case KIND_INTERVAL:
			*(Interval **) field = PG_GETARG_INTERVAL_P(i);
			break;
		case KIND_BATCH:
		case KIND_PLACE:
			elog(ERROR, "option \"%s\" is no part of a query", ReplayOptions[id].argument);
	}
}

/*
 * Read the arguments of one of the functions that replay many records, which
 * are the options of this call in the order of the table; those that are not
 * part of a query are read by the function itself.  After them come arguments
 * for the given number of results.
 */
void
ReadReplayArguments(ReplayQuery *query, FunctionCallInfo fcinfo, CallSet call, int results)
{
	int place = 0;

	CheckArgumentCount(fcinfo, CountOptions(call) + results);
	InitReplayQuery(query, call != CALL_BULK);
	for (OptionId id = 0; id < NUM_OPTIONS; id++)
	{
		if ((ReplayOptions[id].calls & call) == 0)
			continue;
		if ((ReplayOptions[id].calls & CALL_BULK) != 0)
			read_argument(query, id, fcinfo, place);
		place++;
	}
}

/*
 * Read the arguments behind the action's id: reason is the first, and the times are
 * the last; the others are in the order of the table.
 */
void
ReadSingleArguments(ReplayQuery *query, FunctionCallInfo fcinfo)
{
	int place = 1;

	CheckArgumentCount(fcinfo, CountOptions(CALL_SINGLE) + 1);
	InitReplayQuery(query, false);
	read_argument(query, OPTION_REASON, fcinfo, place++);
	for (OptionId id = 0; id < NUM_OPTIONS; id++)
	{
		if ((ReplayOptions[id].calls & CALL_SINGLE) != 0 && id != OPTION_REASON &&
			id != OPTION_FROM && id != OPTION_TO)
			read_argument(query, id, fcinfo, place++);
	}
	read_argument(query, OPTION_FROM, fcinfo, place++);
	read_argument(query, OPTION_TO, fcinfo, place++);
}

/*
 * The value of an integer option that is not part of a query, from an argument;
 * for NULL, the value that is passed for it.  Raises invalid_parameter_value if
 * it is out of its bounds.
 */
int
ReadIntegerArgument(FunctionCallInfo fcinfo, int argument, OptionId id, int otherwise)
{
	const ReplayOption *option = &ReplayOptions[id];
	int value;

	if (PG_ARGISNULL(argument))
		return otherwise;
	value = PG_GETARG_INT32(argument);
	if (value < OptionNumber(option->least) || value > OptionNumber(option->most))
		ReportBounds(option->argument, id, value < OptionNumber(option->least));
	return value;
}

/*
 * Say so if nothing was found because a query in the wire form was taken for the
 * namespace, as an untyped literal is.
 */
void
NoticeNamespace(const ReplayQuery *query, const char *function)
{
	const char *namespace = query->filters[FILTER_NAMESPACE];

	if (namespace != NULL && namespace[0] == '{')
		ereport(NOTICE, (errmsg("no records in namespace \"%s\"", namespace),
						 errhint("To pass a query as JSON, write %s('…'::jsonb).", function)));
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
				 errhint("Pass a JSON object, {\"lost\": true} for example.")));
	ReadReplayQuery(query, PG_GETARG_JSONB_P(0), any_number);
}
