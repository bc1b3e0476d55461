/*
 * query_json.c
 *		Queries in the gateway's wire form.
 *
 * A query may come as jsonb, an object with the gateway's keys and the further
 * arguments by name.  A batch keeps its query in this form, so that it can be
 * asked again.
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/jsonb_build.h"
#include "base/message.h"
#include "base/rfc3339.h"
#include "query/query.h"

/*
 * What is being read, for messages.
 */
static const char *
object_name(const ReplayQuery *query)
{
	return query->is_exclusion ? ReplayOptions[OPTION_EXCLUDE].key : "replay query";
}

/*
 * The option of a key.  Raises an error that names an unknown one.
 */
static OptionId
find_key(const ReplayQuery *query, const char *name, int len)
{
	StringInfoData known;

	initStringInfo(&known);
	for (OptionId id = 0; id < NUM_OPTIONS; id++)
	{
		const ReplayOption *option = &ReplayOptions[id];

		if ((option->calls & CALL_QUERY) == 0 || (query->is_exclusion && !option->is_condition))
			continue;
		if (strlen(option->key) == len && memcmp(option->key, name, len) == 0)
			return id;
		appendStringInfo(&known, "%s%s", known.len == 0 ? "" : ", ", option->key);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown key \"%s\" in %s", ClipForMessage(name, len), object_name(query)),
			 errhint("Known keys are %s.", known.data)));
}

/*
 * Raise the error of a value of another type.
 */
ACTEON_NORETURN static void
report_key_type(const ReplayQuery *query, OptionId id, const char *wanted, const char *example)
{
	const char *key = ReplayOptions[id].key;

	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("key \"%s\" in %s must be %s", key, object_name(query), wanted),
					errhint("Write it as in {\"%s\": %s}.", key, example)));
}

/*
 * Set an integer option to a JSON number.  More records than an integer can count
 * are as many as it can where the number is cut anyway.
 */
static void
read_integer(ReplayQuery *query, OptionId id, const JsonbValue *value)
{
	const ReplayOption *option = &ReplayOptions[id];
	Datum number;
	double size;

	if (value->type != jbvNumeric)
		report_key_type(query, id, "an integer", option->initial);
	number = NumericGetDatum(value->val.numeric);
	if (DatumGetBool(
			DirectFunctionCall2(numeric_ne, number, DirectFunctionCall1(numeric_floor, number))))
		report_key_type(query, id, "an integer", option->initial);
	size = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, number));
	if (size > PG_INT32_MAX && option->is_limit && !query->any_number)
		size = PG_INT32_MAX;
	if (size < PG_INT32_MIN || size > PG_INT32_MAX)
		ReportBounds(option->key, id, size < 0);
	SetInteger(query, id, (int) size);
}

/*
 * A time out of a JSON string in RFC 3339, zone included.
 */
static OptionalTime
read_time(const ReplayQuery *query, OptionId id, const JsonbValue *value)
{
	OptionalTime result = {true, 0};
	bool is_exact; /* beyond microseconds, records are not told apart */

	if (value->type != jbvString)
		report_key_type(query, id, "a string", "\"2026-01-31T12:00:00Z\"");
	if (!ParseRfc3339(value->val.string.val, value->val.string.len, true, &result.time, &is_exact))
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("key \"%s\" in %s is not an RFC 3339 time: \"%s\"", ReplayOptions[id].key,
					object_name(query),
					ClipForMessage(value->val.string.val, value->val.string.len)),
			 errhint(
				 "Write date, time and zone, as in \"2026-01-31T12:00:00Z\" or \"2026-01-31T13:00:00+01:00\".")));
	return result;
}

/*
 * An interval out of a JSON string: an ISO 8601 duration, or what the server reads as one.
 */
static Interval *
read_interval(const ReplayQuery *query, OptionId id, const JsonbValue *value)
{
	Interval *result = palloc(sizeof(Interval));
	char buffer[MAXDATELEN + 1];
	char *fields[MAXDATEFIELDS];
	int types[MAXDATEFIELDS];
	struct pg_itm_in parts = {0};
	char *text;
	int count;
	int type;
	int error;

	if (value->type != jbvString)
		report_key_type(query, id, "a string", "\"PT6H\"");
	text = pnstrdup(value->val.string.val, value->val.string.len);
	error = ParseDateTime(text, buffer, sizeof(buffer), fields, types, MAXDATEFIELDS, &count);
	if (error == 0)
		error = DecodeInterval(fields, types, count, INTERVAL_FULL_RANGE, &type, &parts);
	if (error == DTERR_BAD_FORMAT)
		error = DecodeISO8601Interval(text, &type, &parts);
	if (error != 0 || type != DTK_DELTA || itmin2interval(&parts, result) != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("key \"%s\" in %s is not an interval: \"%s\"", ReplayOptions[id].key,
							   object_name(query), ClipForMessage(text, strlen(text))),
						errhint("%s", ReplayOptions[id].hint)));
	return result;
}

/*
 * An interval as an ISO 8601 duration, whatever the session's IntervalStyle is.
 */
static char *
write_interval(const Interval *interval)
{
	struct pg_itm parts;
	char *text = palloc(MAXDATELEN + 1);

	interval2itm(*interval, &parts);
	EncodeInterval(&parts, INTSTYLE_ISO_8601, text);
	return text;
}

/*
 * Set the field of an option.  A JSON null counts as no key, unless it is a value.
 */
static void
read_key(ReplayQuery *query, OptionId id, const JsonbValue *value)
{
	const ReplayOption *option = &ReplayOptions[id];
	void *field = OptionField(query, id);

	if (value->type == jbvNull && !option->takes_null)
		return;
	NOTE_GIVEN(query, id);
	switch (option->kind)
	{
		case KIND_TEXT:
			if (value->type == jbvBool && option->type != NULL)
			{
				*(char **) field = pstrdup(value->val.boolean ? "true" : "false");
				break;
			}
			if (value->type != jbvString)
				report_key_type(query, id,
								option->type != NULL ? "a string, true or false" : "a string",
								psprintf("\"%s\"",
										 option->example != NULL ? option->example : "text"));
			*(char **) field = pnstrdup(value->val.string.val, value->val.string.len);
			break;
		case KIND_TIME:
			*(OptionalTime *) field = read_time(query, id, value);
			break;
		case KIND_INTEGER:
			read_integer(query, id, value);
			break;
		case KIND_BOOLEAN:
			if (value->type != jbvBool)
				report_key_type(query, id, "true or false", "true");
			*(bool *) field = value->val.boolean;
			break;
		case KIND_NUMBER:
			if (value->type != jbvNumeric)
				report_key_type(query, id, "a number", "0.5");
			*(Numeric *) field = value->val.numeric;
			break;
		case KIND_TEXTS:
			if (!TextListFromJson(field, option->key, value))
				report_key_type(query, id, "an array of strings",
								psprintf("[\"%s\"]", option->example));
			break;
		case KIND_JSON:
			*(Jsonb **) field = JsonbValueToJsonb(unconstify(JsonbValue *, value));
			break;
		case KIND_INTERVAL:
			*(Interval **) field = read_interval(query, id, value);
			break;
		case KIND_BATCH:
		case KIND_PLACE:
			elog(ERROR, "option \"%s\" is no part of a query", option->key);
	}
}

/*
 * Set the fields of a query to the members of an object.
 */
static void
read_members(ReplayQuery *query, Jsonb *json)
{
	JsonbIterator *it;
	JsonbValue value;
	JsonbIteratorToken token;
	OptionId key = NUM_OPTIONS;

	it = JsonbIteratorInit(&json->root);
	(void) JsonbIteratorNext(&it, &value, true); /* the object itself */
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			key = find_key(query, value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE)
			read_key(query, key, &value);
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
	InitReplayQuery(query, any_number);
	query->wire_form = true;
	if (!JB_ROOT_IS_OBJECT(json))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("replay query must be a JSON object"),
						errhint("Pass one such as {\"lost\": true}.")));
	read_members(query, json);
}

/*
 * Read the conditions that leave records out, which are a query of their own.  Raises the
 * same error, also for an object without a condition: every record would match it.
 */
void
ReadExclusion(ReplayQuery *query, Jsonb *json)
{
	InitReplayQuery(query, true);
	query->wire_form = true;
	query->is_exclusion = true;
	if (JB_ROOT_IS_OBJECT(json))
		read_members(query, json);
	if (query->given == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("exclude must be a JSON object with at least one filter"),
						errhint("Pass one such as %s.", ReplayOptions[OPTION_EXCLUDE].example)));
}

/*
 * Make the JSON value of an option of a query.  False if there is nothing to say:
 * it was not given, or has its default.  The limit is always written: it is the
 * gateway's, whose default could change.
 */
static bool
make_value(const ReplayQuery *query, OptionId id, JsonbValue *value)
{
	const ReplayOption *option = &ReplayOptions[id];
	const void *field = OptionField(query, id);

	switch (option->kind)
	{
		case KIND_TEXT:
			value->type = jbvString;
			value->val.string.val = *(char *const *) field;
			if (value->val.string.val == NULL)
				return false;
			value->val.string.len = strlen(value->val.string.val);
			return true;
		case KIND_TIME:
			value->type = jbvString;
			if (!((const OptionalTime *) field)->given)
				return false;
			value->val.string.val = palloc(RFC3339_MAXLEN);
			FormatRfc3339(value->val.string.val, ((const OptionalTime *) field)->time);
			value->val.string.len = strlen(value->val.string.val);
			return true;
		case KIND_INTEGER:
			if (option->is_limit ? !query->is_limited
								 : *(const int *) field == OptionNumber(option->initial))
				return false;
			value->type = jbvNumeric;
			value->val.numeric = int64_to_numeric(*(const int *) field);
			return true;
		case KIND_BOOLEAN:
			value->type = jbvBool;
			value->val.boolean = *(const bool *) field;
			return value->val.boolean;
		case KIND_NUMBER:
			value->type = jbvNumeric;
			value->val.numeric = *(const Numeric *) field;
			return value->val.numeric != NULL;
		case KIND_INTERVAL:
			value->type = jbvString;
			if (*(Interval *const *) field == NULL)
				return false;
			value->val.string.val = write_interval(*(Interval *const *) field);
			value->val.string.len = strlen(value->val.string.val);
			return true;
		case KIND_TEXTS: /* these two are no values of one piece */
		case KIND_JSON:
		case KIND_BATCH:
		case KIND_PLACE:
			break;
	}
	return false;
}

/*
 * Push what an option of a query says, if that is anything.
 */
static void
push_option(JsonbParseState **state, const ReplayQuery *query, OptionId id)
{
	const ReplayOption *option = &ReplayOptions[id];
	const void *field = OptionField(query, id);
	JsonbValue value;

	if (option->kind == KIND_TEXTS)
	{
		if (((const TextList *) field)->given)
			PushTextList(state, option->key, field);
		return;
	}
	if (option->kind == KIND_JSON)
	{
		if (*(Jsonb *const *) field != NULL)
			PushJsonb(state, option->key, *(Jsonb *const *) field);
		return;
	}
	if (!make_value(query, id, &value))
		return;
	PushKey(state, option->key);
	pushJsonbValue(state, WJB_VALUE, &value);
}

/*
 * Whether an option says the same in two queries.
 */
bool
SameOption(const ReplayQuery *a, const ReplayQuery *b, OptionId id)
{
	const ReplayQuery *const both[] = {a, b};
	Jsonb *said[2];

	for (int i = 0; i < 2; i++)
	{
		JsonbParseState *state = NULL;

		pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
		push_option(&state, both[i], id);
		said[i] = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
	}
	return compareJsonbContainers(&said[0]->root, &said[1]->root) == 0;
}

/*
 * The query in the wire form: what was given, and the limit.
 */
Jsonb *
QueryToJsonb(const ReplayQuery *query)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (OptionId id = 0; id < NUM_OPTIONS; id++)
	{
		if ((ReplayOptions[id].calls & CALL_QUERY) != 0)
			push_option(&state, query, id);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/*
 * What a batch of one keeps as its query: the action, and what is not the default.
 * The reason stands beside it.
 */
Jsonb *
SingleQueryToJsonb(const ReplayQuery *query, const char *action_id)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	PushString(&state, "action_id", action_id);
	for (OptionId id = 0; id < NUM_OPTIONS; id++)
	{
		if ((ReplayOptions[id].calls & CALL_SINGLE) != 0 && id != OPTION_REASON)
			push_option(&state, query, id);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}
