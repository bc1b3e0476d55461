/*
 * jsonb_build.c
 *		Members of a jsonb object that is being built.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "base/jsonb_build.h"
#include "base/rfc3339.h"

/*
 * Push a string as a key or as a value.
 */
static void
push_string(JsonbParseState **state, JsonbIteratorToken token, const char *string)
{
	JsonbValue value;

	value.type = jbvString;
	value.val.string.val = unconstify(char *, string);
	value.val.string.len = strlen(string);
	pushJsonbValue(state, token, &value);
}

/*
 * Push a key, whose value is to follow.
 */
void
PushKey(JsonbParseState **state, const char *name)
{
	push_string(state, WJB_KEY, name);
}

/*
 * Push a member without a value.
 */
void
PushNull(JsonbParseState **state, const char *name)
{
	JsonbValue value;

	value.type = jbvNull;
	PushKey(state, name);
	pushJsonbValue(state, WJB_VALUE, &value);
}

/*
 * Push a member that is an integer.
 */
void
PushNumber(JsonbParseState **state, const char *name, int64 number)
{
	PushNumeric(state, name, int64_to_numeric(number));
}

/*
 * Push a member that is a numeric.
 */
void
PushNumeric(JsonbParseState **state, const char *name, Numeric number)
{
	JsonbValue value;

	value.type = jbvNumeric;
	value.val.numeric = number;
	PushKey(state, name);
	pushJsonbValue(state, WJB_VALUE, &value);
}

/*
 * Push a member that is a string, or null.
 */
void
PushString(JsonbParseState **state, const char *name, const char *string)
{
	if (string == NULL)
	{
		PushNull(state, name);
		return;
	}
	PushKey(state, name);
	push_string(state, WJB_VALUE, string);
}

/*
 * Push a member that is a time as the gateway writes it (infinity as the server
 * writes it), or null.
 */
void
PushTime(JsonbParseState **state, const char *name, const OptionalTime *time)
{
	char text[RFC3339_MAXLEN];

	if (time->given && TIMESTAMP_NOT_FINITE(time->time))
		snprintf(text, sizeof(text), "%sinfinity", TIMESTAMP_IS_NOBEGIN(time->time) ? "-" : "");
	else if (time->given)
		FormatRfc3339(text, time->time);
	PushString(state, name, time->given ? pstrdup(text) : NULL);
}

/*
 * Push a member that is a jsonb value.
 */
void
PushJsonb(JsonbParseState **state, const char *name, Jsonb *json)
{
	JsonbValue value;

	value.type = jbvBinary;
	value.val.binary.data = &json->root;
	value.val.binary.len = VARSIZE_ANY_EXHDR(json);
	PushKey(state, name);
	pushJsonbValue(state, WJB_VALUE, &value);
}
