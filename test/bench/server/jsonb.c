/*
 * jsonb.c
 *		What a replay makes of jsonb for each action, written by jsonb_writer.c and by the
 *		server's builders: a module for test/bench/jsonb.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/memutils.h"

#include "base/jsonb_writer.h"

#include "cpu.h"

PG_FUNCTION_INFO_V1(bench_jsonb);

/* The labels of an action, with the one that a replay adds. */
static const JsonPair labels[] = {
	{"team", "orders", 4, 6, JENTRY_ISSTRING},
	{"source", "checkout", 6, 8, JENTRY_ISSTRING},
	{"priority", "3", 8, 1, JENTRY_ISSTRING},
	{"__trace_id", "c4ca4238a0b923820dcc509a6f75849b", 10, 32, JENTRY_ISSTRING},
	{"replayed_from", "0b5a1f0e-4c1d-4a53-9f0e-1f7a3f6f4d10", 13, 36, JENTRY_ISSTRING},
};

/* Its entry in the results. */
static const JsonPair result[] = {
	{"error", NULL, 5, 0, JENTRY_ISNULL},
	{"success", NULL, 7, 0, JENTRY_ISBOOL_TRUE},
	{"new_action_id", "6a2f41a3-c54c-5ce8-8d5e-2b7c1a9e4f11", 13, 36, JENTRY_ISSTRING},
	{"original_action_id", "0b5a1f0e-4c1d-4a53-9f0e-1f7a3f6f4d10", 18, 36, JENTRY_ISSTRING},
};

/*
 * Push an object as the server's own functions do.
 */
static JsonbValue *
push_object(JsonbParseState **state, const JsonPair *pairs, int count)
{
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < count; i++)
	{
		JsonbValue value;

		value.type = jbvString;
		value.val.string.val = unconstify(char *, pairs[i].key);
		value.val.string.len = pairs[i].key_len;
		pushJsonbValue(state, WJB_KEY, &value);
		value.val.string.val = unconstify(char *, pairs[i].value);
		value.val.string.len = pairs[i].value_len;
		if (pairs[i].type == JENTRY_ISNULL)
			value.type = jbvNull;
		else if (pairs[i].type != JENTRY_ISSTRING)
		{
			value.type = jbvBool;
			value.val.boolean = pairs[i].type == JENTRY_ISBOOL_TRUE;
		}
		pushJsonbValue(state, WJB_VALUE, &value);
	}
	return pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/*
 * Make it for some actions with jsonb_writer.c.
 */
static Jsonb *
write_all(int actions)
{
	JsonArray results;

	JsonArrayInit(&results);
	for (int i = 0; i < actions; i++)
	{
		pfree(JsonObject(labels, lengthof(labels)));
		JsonArrayAdd(&results, result, lengthof(result));
	}
	return JsonArrayFinish(&results);
}

/*
 * The same with the server's builders.
 */
static Jsonb *
build_all(int actions)
{
	JsonbParseState *results = NULL;
	MemoryContext scratch =
		AllocSetContextCreate(CurrentMemoryContext, "labels", ALLOCSET_DEFAULT_SIZES);

	pushJsonbValue(&results, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < actions; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(scratch);
		JsonbParseState *state = NULL;

		(void) JsonbValueToJsonb(push_object(&state, labels, lengthof(labels)));
		MemoryContextSwitchTo(old);
		MemoryContextReset(scratch);
		push_object(&results, result, lengthof(result));
	}
	return JsonbValueToJsonb(pushJsonbValue(&results, WJB_END_ARRAY, NULL));
}

/*
 * bench_jsonb(builders boolean, actions integer) → double precision: the microseconds
 * of processor time that it takes for so many actions.
 */
Datum
bench_jsonb(PG_FUNCTION_ARGS)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "bench", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	double begin = CpuTime();
	double took;

	if (PG_GETARG_BOOL(0))
		(void) build_all(PG_GETARG_INT32(1));
	else
		(void) write_all(PG_GETARG_INT32(1));
	took = CpuTime() - begin;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	PG_RETURN_FLOAT8(took);
}
