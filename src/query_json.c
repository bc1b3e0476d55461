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

#include "compat.h"
#include "message.h"
#include "query.h"
#include "rfc3339.h"

/* What the value of a key in the wire form is. */
typedef enum KeyType
{
	KEY_TEXT,
	KEY_TIME,
	KEY_INTEGER,
	KEY_BOOLEAN,
	KEY_NUMBER
} KeyType;

/* A key of the wire form, the argument it stands for, and its field. */
typedef struct QueryKey
{
	const char *name;
	const char *argument;
	KeyType type;
	size_t offset;
} QueryKey;

#define FILTER_KEY(name, filter) \
	{ \
		name, name, KEY_TEXT, offsetof(ReplayQuery, filters) + (filter) * sizeof(char *) \
	}

static const QueryKey query_keys[] = {
	FILTER_KEY("namespace", FILTER_NAMESPACE),
	FILTER_KEY("tenant", FILTER_TENANT),
	FILTER_KEY("provider", FILTER_PROVIDER),
	FILTER_KEY("action_type", FILTER_ACTION_TYPE),
	FILTER_KEY("outcome", FILTER_OUTCOME),
	FILTER_KEY("verdict", FILTER_VERDICT),
	FILTER_KEY("matched_rule", FILTER_MATCHED_RULE),
	{"from", "from_time", KEY_TIME, offsetof(ReplayQuery, from)},
	{"to", "to_time", KEY_TIME, offsetof(ReplayQuery, to)},
	{"limit", "max_records", KEY_INTEGER, offsetof(ReplayQuery, max_records)},
	FILTER_KEY("caller_id", FILTER_CALLER_ID),
	FILTER_KEY("chain_id", FILTER_CHAIN_ID),
	{"include_replayed", "include_replayed", KEY_BOOLEAN, offsetof(ReplayQuery, include_replayed)},
	{"allow_redacted", "allow_redacted", KEY_BOOLEAN, offsetof(ReplayQuery, allow_redacted)},
	{"newest_first", "newest_first", KEY_BOOLEAN, offsetof(ReplayQuery, newest_first)},
	{"cursor", "cursor", KEY_TEXT, offsetof(ReplayQuery, cursor_text)},
	{"rate", "rate", KEY_NUMBER, offsetof(ReplayQuery, rate)},
	{"start_at", "start_at", KEY_TIME, offsetof(ReplayQuery, start_at)},
	{"reason", "reason", KEY_TEXT, offsetof(ReplayQuery, reason)},
	{"allow_partial", "allow_partial", KEY_BOOLEAN, offsetof(ReplayQuery, allow_partial)},
	{"dedup", "dedup", KEY_TEXT, offsetof(ReplayQuery, dedup)},
	{"provider_override", "provider_override", KEY_TEXT, offsetof(ReplayQuery, provider_override)},
	{"max_generation", "max_generation", KEY_INTEGER, offsetof(ReplayQuery, max_generation)},
	{"max_depth", "max_depth", KEY_INTEGER, offsetof(ReplayQuery, max_depth)},
	{"breaker_window", "breaker_window", KEY_INTEGER, offsetof(ReplayQuery, breaker_window)},
	{"breaker_share", "breaker_share", KEY_NUMBER, offsetof(ReplayQuery, breaker_share)},
	{"ramp", "ramp", KEY_BOOLEAN, offsetof(ReplayQuery, ramp)},
};

/* The field of a query that a key sets, as a pointer to its type. */
#define KEY_FIELD(query, key, type) ((type *) ((char *) (query) + (key)->offset))

/*
 * The name by which the caller knows an argument.
 */
const char *
ArgumentName(const ReplayQuery *query, const char *argument)
{
	if (query->wire_form)
	{
		for (int i = 0; i < lengthof(query_keys); i++)
		{
			if (strcmp(query_keys[i].argument, argument) == 0)
				return query_keys[i].name;
		}
	}
	return argument;
}

/*
 * The key of a name.  Raises an error that names an unknown one.
 */
static const QueryKey *
find_key(const char *name, int len)
{
	StringInfoData known;

	for (int i = 0; i < lengthof(query_keys); i++)
	{
		if (strlen(query_keys[i].name) == len && memcmp(query_keys[i].name, name, len) == 0)
			return &query_keys[i];
	}
	initStringInfo(&known);
	for (int i = 0; i < lengthof(query_keys); i++)
		appendStringInfo(&known, "%s%s", i == 0 ? "" : ", ", query_keys[i].name);
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("unknown key \"%s\" in replay query", ClipForMessage(name, len)),
					errhint("Known keys are %s.", known.data)));
}

ACTEON_NORETURN static void
report_key_type(const QueryKey *key, const char *wanted)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("key \"%s\" in replay query must be %s", key->name, wanted)));
}

/*
 * An integer out of a JSON number; too large a one is as good as the largest.
 */
static int
read_integer(const QueryKey *key, const JsonbValue *value)
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
read_time(const QueryKey *key, const JsonbValue *value)
{
	OptionalTime result = {true, 0};

	if (value->type != jbvString)
		report_key_type(key, "a string");
	if (!ParseRfc3339(value->val.string.val, value->val.string.len, &result.time))
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("key \"%s\" in replay query is not an RFC 3339 time: \"%s\"", key->name,
					ClipForMessage(value->val.string.val, value->val.string.len)),
			 errhint(
				 "Write date, time and zone, as in \"2026-01-31T12:00:00Z\" or \"2026-01-31T13:00:00+01:00\".")));
	return result;
}

/*
 * Set the field of a key.  A JSON null is as good as no key.
 */
static void
read_key(ReplayQuery *query, const QueryKey *key, const JsonbValue *value)
{
	if (value->type == jbvNull)
		return;
	switch (key->type)
	{
		case KEY_TEXT:
			if (value->type != jbvString)
				report_key_type(key, "a string");
			*KEY_FIELD(query, key, char *) = pnstrdup(value->val.string.val, value->val.string.len);
			break;
		case KEY_TIME:
			*KEY_FIELD(query, key, OptionalTime) = read_time(key, value);
			break;
		case KEY_INTEGER:
			*KEY_FIELD(query, key, int) = read_integer(key, value);
			break;
		case KEY_BOOLEAN:
			if (value->type != jbvBool)
				report_key_type(key, "true or false");
			*KEY_FIELD(query, key, bool) = value->val.boolean;
			break;
		case KEY_NUMBER:
			if (value->type != jbvNumeric)
				report_key_type(key, "a number");
			*KEY_FIELD(query, key, Numeric) = value->val.numeric;
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
	const QueryKey *key = NULL;

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
is_default(const QueryKey *key, int value)
{
	ReplayQuery defaults;

	InitReplayQuery(&defaults, false);
	if (key->offset == offsetof(ReplayQuery, max_records))
		return value == ANY_NUMBER;
	return value == *KEY_FIELD(&defaults, key, int);
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
	for (int i = 0; i < lengthof(query_keys); i++)
	{
		const QueryKey *key = &query_keys[i];
		JsonbValue name;

		value.type = jbvNull;
		switch (key->type)
		{
			case KEY_TEXT:
				if (*KEY_FIELD(query, key, char *) != NULL)
				{
					value.type = jbvString;
					value.val.string.val = *KEY_FIELD(query, key, char *);
					value.val.string.len = strlen(value.val.string.val);
				}
				break;
			case KEY_TIME:
				if (KEY_FIELD(query, key, OptionalTime)->given)
				{
					value.type = jbvString;
					value.val.string.val = palloc(RFC3339_MAXLEN);
					FormatRfc3339(value.val.string.val, KEY_FIELD(query, key, OptionalTime)->time);
					value.val.string.len = strlen(value.val.string.val);
				}
				break;
			case KEY_INTEGER:
				if (!is_default(key, *KEY_FIELD(query, key, int)))
				{
					value.type = jbvNumeric;
					value.val.numeric = int64_to_numeric(*KEY_FIELD(query, key, int));
				}
				break;
			case KEY_BOOLEAN:
				if (*KEY_FIELD(query, key, bool))
				{
					value.type = jbvBool;
					value.val.boolean = true;
				}
				break;
			case KEY_NUMBER:
				if (*KEY_FIELD(query, key, Numeric) != NULL)
				{
					value.type = jbvNumeric;
					value.val.numeric = *KEY_FIELD(query, key, Numeric);
				}
				break;
		}
		if (value.type == jbvNull)
			continue;
		name.type = jbvString;
		name.val.string.val = unconstify(char *, key->name);
		name.val.string.len = strlen(key->name);
		pushJsonbValue(&state, WJB_KEY, &name);
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}
