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
 * Check that a function was declared with so many arguments.  One of an earlier
 * version of the extension may not be: the library is newer than the catalogue
 * until somebody updates that.
 */
void
CheckArgumentCount(FunctionCallInfo fcinfo, int count)
{
	if (PG_NARGS() != count)
		RefuseOlderObjects();
}

/*
 * Set the field of an option to the argument of its place, which is given.
 */
static void
read_argument(ReplayQuery *query, const QueryOption *option, FunctionCallInfo fcinfo, int i)
{
	switch (option->type)
	{
		case OPTION_TEXT:
			*OPTION_FIELD(query, option, char *) = text_to_cstring(PG_GETARG_TEXT_PP(i));
			break;
		case OPTION_TIME:
			*OPTION_FIELD(query, option, OptionalTime) =
				(OptionalTime){true, PG_GETARG_TIMESTAMPTZ(i)};
			break;
		case OPTION_INTEGER:
			*OPTION_FIELD(query, option, int) = PG_GETARG_INT32(i);
			break;
		case OPTION_BOOLEAN:
			*OPTION_FIELD(query, option, bool) = PG_GETARG_BOOL(i);
			break;
		case OPTION_NUMBER:
			*OPTION_FIELD(query, option, Numeric) = PG_GETARG_NUMERIC(i);
			break;
	}
}

/*
 * Read the arguments that the three functions have in common, which are their
 * first ones, in the order of the options; so many further ones follow.  NULL is
 * as good as the default; but for the number of records it means all, where any
 * number is possible, and is refused elsewhere.
 */
void
ReadReplayArguments(ReplayQuery *query, FunctionCallInfo fcinfo, bool any_number, int further)
{
	CheckArgumentCount(fcinfo, NUM_REPLAY_OPTIONS + further);
	InitReplayQuery(query, any_number);
	for (int i = 0; i < NUM_REPLAY_OPTIONS; i++)
	{
		const QueryOption *option = &ReplayOptions[i];

		if (!PG_ARGISNULL(i))
			read_argument(query, option, fcinfo, i);
		else if (option->offset == offsetof(ReplayQuery, max_records) && !any_number)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("max_records must not be null"),
							errhint("Leave it out for the default of %d.", MAX_RECORDS_DEFAULT)));
	}
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
