/*
 * compact_json.c
 *		JSON as text without blanks, the keys of objects in the order of their bytes.
 *
 * The gateway writes JSON so.  Numbers are written by a function that the caller passes:
 * as the server stores them, or as the gateway prints them (gateway_json.c).
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"

#include "base/compact_json.h"
#include "base/json_text.h"

/* A member of an object that is being written. */
typedef struct Member
{
	JsonbValue key;
	JsonbValue value;
} Member;

static void write_container(StringInfo out, JsonbContainer *container, NumberWriter number);

/*
 * Append a number as the server stores it.
 */
void
AppendStoredNumber(StringInfo out, Numeric number)
{
	appendStringInfoString(out, DatumGetCString(
									DirectFunctionCall1(numeric_out, NumericGetDatum(number))));
}

/*
 * Append a string, quoted and escaped.
 */
static void
write_string(StringInfo out, const JsonbValue *value)
{
	AppendJsonString(out, value->val.string.val, value->val.string.len);
}

/*
 * Append any value without blanks, object keys in the order of their bytes.
 */
void
AppendCompactJson(StringInfo out, const JsonbValue *value, NumberWriter number)
{
	switch (value->type)
	{
		case jbvNull:
			appendStringInfoString(out, "null");
			break;
		case jbvBool:
			appendStringInfoString(out, value->val.boolean ? "true" : "false");
			break;
		case jbvNumeric:
			number(out, value->val.numeric);
			break;
		case jbvString:
			write_string(out, value);
			break;
		case jbvBinary:
			write_container(out, value->val.binary.data, number);
			break;
		default:
			elog(ERROR, "unexpected jsonb value type %d", (int) value->type);
	}
}

/*
 * Order of object members: by the bytes of their keys, a shorter one first.
 */
static int
compare_members(const void *a, const void *b)
{
	const JsonbValue *ka = &((const Member *) a)->key;
	const JsonbValue *kb = &((const Member *) b)->key;
	int order =
		memcmp(ka->val.string.val, kb->val.string.val, Min(ka->val.string.len, kb->val.string.len));

	return order != 0 ? order : ka->val.string.len - kb->val.string.len;
}

static void
write_object(StringInfo out, JsonbContainer *container, NumberWriter number)
{
	int count = JsonContainerSize(container);
	Member *members = palloc(Max(count, 1) * sizeof(Member));
	JsonbIterator *it = JsonbIteratorInit(container);
	JsonbIteratorToken token;
	JsonbValue value;
	int n = 0;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			members[n].key = value;
		else if (token == WJB_VALUE)
			members[n++].value = value;
	}
	qsort(members, n, sizeof(Member), compare_members);

	appendStringInfoChar(out, '{');
	for (int i = 0; i < n; i++)
	{
		if (i > 0)
			appendStringInfoChar(out, ',');
		write_string(out, &members[i].key);
		appendStringInfoChar(out, ':');
		AppendCompactJson(out, &members[i].value, number);
	}
	appendStringInfoChar(out, '}');
	pfree(members);
}

static void
write_array(StringInfo out, JsonbContainer *container, NumberWriter number)
{
	JsonbIterator *it = JsonbIteratorInit(container);
	JsonbIteratorToken token;
	JsonbValue value;
	bool first = true;

	appendStringInfoChar(out, '[');
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		if (!first)
			appendStringInfoChar(out, ',');
		first = false;
		AppendCompactJson(out, &value, number);
	}
	appendStringInfoChar(out, ']');
}

static void
write_container(StringInfo out, JsonbContainer *container, NumberWriter number)
{
	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	if (JsonContainerIsObject(container))
		write_object(out, container, number);
	else
		write_array(out, container, number);
}

/*
 * Append a jsonb so.
 */
void
AppendCompactJsonb(StringInfo out, Jsonb *value, NumberWriter number)
{
	JsonbValue root;

	if (JB_ROOT_IS_SCALAR(value))
		(void) JsonbExtractScalar(&value->root, &root);
	else
		JsonbToJsonbValue(value, &root);
	AppendCompactJson(out, &root, number);
}
