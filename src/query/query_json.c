/*
 * query_json.c
 *		Queries in the gateway's wire form.
 *
 * A query may come as jsonb, an object with the gateway's keys and the further
 * arguments by name.  A batch keeps its query in this form, so that it can be
 * asked again.
 */
#include "postgres.h"

#include <limits.h>
#include <math.h>

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "base/compat.h"
#include "base/message.h"
#include "base/rfc3339.h"
#include "query/query.h"

/*
 * The key of a name.  Raises an error that names an unknown one.
 */
static const QueryOption *
find_key(const char *name, int len)
{
	StringInfoData known;

	for (int i = 0; i < NUM_REPLAY_OPTIONS; i++)
	{
		if (strlen(ReplayOptions[i].key) == len && memcmp(ReplayOptions[i].key, name, len) == 0)
			return &ReplayOptions[i];
	}
	initStringInfo(&known);
	for (int i = 0; i < NUM_REPLAY_OPTIONS; i++)
		appendStringInfo(&known, "%s%s", i == 0 ? "" : ", ", ReplayOptions[i].key);
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("unknown key \"%s\" in replay query", ClipForMessage(name, len)),
					errhint("Known keys are %s.", known.data)));
}

ACTEON_NORETURN static void
report_key_type(const QueryOption *key, const char *wanted)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("key \"%s\" in replay query must be %s", key->key, wanted)));
}

/*
 * An integer out of a JSON number; too large a one is as good as the largest.
 */
static int
read_integer(const QueryOption *key, const JsonbValue *value)
{
	double number;

	if (value->type != jbvNumeric)
		report_key_type(key, "an integer");
	number = DatumGetFloat8(
		DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(value->val.numeric)));
	if (number != floor(number))
		report_key_type(key, "an integer");
	return (int) Max(Min(number, (double) INT_MAX), (double) INT_MIN);
}

/*
 * A time out of a JSON string in RFC 3339, zone included.
 */
static OptionalTime
read_time(const QueryOption *key, const JsonbValue *value)
{
	OptionalTime result = {true, 0};

	if (value->type != jbvString)
		report_key_type(key, "a string");
	if (!ParseRfc3339(value->val.string.val, value->val.string.len, &result.time))
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("key \"%s\" in replay query is not an RFC 3339 time: \"%s\"", key->key,
					ClipForMessage(value->val.string.val, value->val.string.len)),
			 errhint(
				 "Write date, time and zone, as in \"2026-01-31T12:00:00Z\" or \"2026-01-31T13:00:00+01:00\".")));
	return result;
}

/*
 * Set the field of a key.  A JSON null is as good as no key.
 */
static void
read_key(ReplayQuery *query, const QueryOption *key, const JsonbValue *value)
{
	if (value->type == jbvNull)
		return;
	switch (key->type)
	{
		case OPTION_TEXT:
			if (value->type != jbvString)
				report_key_type(key, "a string");
			*OPTION_FIELD(query, key, char *) =
				pnstrdup(value->val.string.val, value->val.string.len);
			break;
		case OPTION_TIME:
			*OPTION_FIELD(query, key, OptionalTime) = read_time(key, value);
			break;
		case OPTION_INTEGER:
			*OPTION_FIELD(query, key, int) = read_integer(key, value);
			break;
		case OPTION_BOOLEAN:
			if (value->type != jbvBool)
				report_key_type(key, "true or false");
			*OPTION_FIELD(query, key, bool) = value->val.boolean;
			break;
		case OPTION_NUMBER:
			if (value->type != jbvNumeric)
				report_key_type(key, "a number");
			*OPTION_FIELD(query, key, Numeric) = value->val.numeric;
			break;
	}
}

/*
 * Read a query in the wire form.  Raises invalid_parameter_value, and names
 * what is wrong, for anything but an object of known keys with values of their
 * types.  The query points into the jsonb.
 */
void
ReadReplayQuery(ReplayQuery *query, Jsonb *json, bool any_number)
{
	JsonbIterator *it;
	JsonbValue value;
	JsonbIteratorToken token;
	const QueryOption *key = NULL;

	InitReplayQuery(query, any_number);
	query->wire_form = true;
	if (!JB_ROOT_IS_OBJECT(json))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("replay query must be a JSON object")));

	it = JsonbIteratorInit(&json->root);
	(void) JsonbIteratorNext(&it, &value, true); /* the object itself */
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			key = find_key(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE)
			read_key(query, key, &value);
	}
}

/*
 * Whether an integer of a query is what it is when nobody says anything.  The
 * limit is always written: it is the gateway's, whose default could change.
 */
static bool
is_default(const QueryOption *key, int value)
{
	if (key->offset == offsetof(ReplayQuery, max_records))
		return value == ANY_NUMBER;
	return value == key->otherwise;
}

/*
 * The query in the wire form: what was given, and the limit.
 */
Jsonb *
QueryToJsonb(const ReplayQuery *query)
{
	JsonbParseState *state = NULL;
	JsonbValue value;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < NUM_REPLAY_OPTIONS; i++)
	{
		const QueryOption *key = &ReplayOptions[i];
		JsonbValue name;

		value.type = jbvNull;
		switch (key->type)
		{
			case OPTION_TEXT:
				if (*OPTION_FIELD(query, key, char *) != NULL)
				{
					value.type = jbvString;
					value.val.string.val = *OPTION_FIELD(query, key, char *);
					value.val.string.len = strlen(value.val.string.val);
				}
				break;
			case OPTION_TIME:
				if (OPTION_FIELD(query, key, OptionalTime)->given)
				{
					value.type = jbvString;
					value.val.string.val = palloc(RFC3339_MAXLEN);
					FormatRfc3339(value.val.string.val,
								  OPTION_FIELD(query, key, OptionalTime)->time);
					value.val.string.len = strlen(value.val.string.val);
				}
				break;
			case OPTION_INTEGER:
				if (!is_default(key, *OPTION_FIELD(query, key, int)))
				{
					value.type = jbvNumeric;
					value.val.numeric = int64_to_numeric(*OPTION_FIELD(query, key, int));
				}
				break;
			case OPTION_BOOLEAN:
				if (*OPTION_FIELD(query, key, bool))
				{
					value.type = jbvBool;
					value.val.boolean = true;
				}
				break;
			case OPTION_NUMBER:
				if (*OPTION_FIELD(query, key, Numeric) != NULL)
				{
					value.type = jbvNumeric;
					value.val.numeric = *OPTION_FIELD(query, key, Numeric);
				}
				break;
		}
		if (value.type == jbvNull)
			continue;
		name.type = jbvString;
		name.val.string.val = unconstify(char *, key->key);
		name.val.string.len = strlen(key->key);
		pushJsonbValue(&state, WJB_KEY, &name);
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}
