/*
 * parameters.c
 *		What stands in a path and a query string.
 *
 * A query string is application/x-www-form-urlencoded (the URL Standard of the
 * WHATWG): + is a blank.  Whoever writes the + of a time zone as it is means a
 * plus all the same, and in a time there is no blank behind the hours.  What
 * nobody takes is not looked at, as in the gateway.
 *
 * Values are only made sure to be of the form that the extension's query wants;
 * whether they make sense is for the extension to say.
 */
#include "http/parameters.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"

/* The gateway's own bounds, and the default. */
#define MIN_LIMIT 1
#define MAX_LIMIT 1000
#define DEFAULT_LIMIT "50"

typedef enum Kind
{
	KIND_TEXT,
	KIND_LIST, /* of texts: may be given several times */
	KIND_TIME,
	KIND_SWITCH,
	KIND_NUMBER,
	KIND_WHOLE, /* not negative */
	KIND_SMALL, /* the same for an integer of the database */
	KIND_BATCH, /* the number of one */
	KIND_STATE, /* of one */
	KIND_LIMIT
} Kind;

typedef struct Rule
{
	const char *name;
	Kind kind;
	unsigned taken_by;
	bool in_query; /* goes to acteon_replay_bulk and acteon_replay_preview */
} Rule;

static const Rule rules[PARAMETERS] = {
	[PARAMETER_NAMESPACE] = {"namespace", KIND_TEXT, TAKEN_BY_BULK, true},
	[PARAMETER_TENANT] = {"tenant", KIND_TEXT, TAKEN_BY_BULK, true},
	[PARAMETER_PROVIDER] = {"provider", KIND_TEXT, TAKEN_BY_BULK, true},
	[PARAMETER_ACTION_TYPE] = {"action_type", KIND_TEXT, TAKEN_BY_BULK, true},
	[PARAMETER_OUTCOME] = {"outcome", KIND_LIST, TAKEN_BY_BULK, true},
	[PARAMETER_VERDICT] = {"verdict", KIND_TEXT, TAKEN_BY_BULK, true},
	[PARAMETER_MATCHED_RULE] = {"matched_rule", KIND_TEXT, TAKEN_BY_BULK, true},
	[PARAMETER_FROM] = {"from", KIND_TIME, TAKEN_BY_BULK, true},
	[PARAMETER_TO] = {"to", KIND_TIME, TAKEN_BY_BULK, true},
	[PARAMETER_LIMIT] = {"limit", KIND_LIMIT, TAKEN_BY_BULK | TAKEN_BY_BATCHES, true},
	[PARAMETER_CALLER_ID] = {"caller_id", KIND_TEXT, TAKEN_BY_BULK, true},
	[PARAMETER_CHAIN_ID] = {"chain_id", KIND_TEXT, TAKEN_BY_BULK, true},
	[PARAMETER_INCLUDE_REPLAYED] = {"include_replayed", KIND_SWITCH, TAKEN_BY_BULK, true},
	[PARAMETER_ALLOW_REDACTED] = {"allow_redacted", KIND_SWITCH, TAKEN_BY_BULK | TAKEN_BY_REPLAY,
								  true},
	[PARAMETER_NEWEST_FIRST] = {"newest_first", KIND_SWITCH, TAKEN_BY_BULK, true},
	[PARAMETER_CURSOR] = {"cursor", KIND_TEXT, TAKEN_BY_BULK, true},
	[PARAMETER_RATE] = {"rate", KIND_NUMBER, TAKEN_BY_BULK, true},
	[PARAMETER_START_AT] = {"start_at", KIND_TIME, TAKEN_BY_BULK, true},
	[PARAMETER_REASON] = {"reason", KIND_TEXT, TAKEN_BY_BULK | TAKEN_BY_REPLAY | TAKEN_BY_STEERING,
						  true},
	[PARAMETER_ALLOW_PARTIAL] = {"allow_partial", KIND_SWITCH, TAKEN_BY_BULK | TAKEN_BY_REPLAY,
								 true},
	[PARAMETER_DEDUP] = {"dedup", KIND_TEXT, TAKEN_BY_BULK | TAKEN_BY_REPLAY, true},
	[PARAMETER_PROVIDER_OVERRIDE] = {"provider_override", KIND_TEXT,
									 TAKEN_BY_BULK | TAKEN_BY_REPLAY, true},
	[PARAMETER_MAX_GENERATION] = {"max_generation", KIND_WHOLE, TAKEN_BY_BULK, true},
	[PARAMETER_MAX_DEPTH] = {"max_depth", KIND_WHOLE, TAKEN_BY_BULK, true},
	[PARAMETER_BREAKER_WINDOW] = {"breaker_window", KIND_WHOLE, TAKEN_BY_BULK, true},
	[PARAMETER_BREAKER_SHARE] = {"breaker_share", KIND_NUMBER, TAKEN_BY_BULK, true},
	[PARAMETER_RAMP] = {"ramp", KIND_SWITCH, TAKEN_BY_BULK, true},
	[PARAMETER_LOST] = {"lost", KIND_SWITCH, TAKEN_BY_BULK, true},
	[PARAMETER_CERTAIN] = {"certain", KIND_SWITCH, TAKEN_BY_BULK, true},
	[PARAMETER_ALLOW_EFFECTIVE] = {"allow_effective", KIND_SWITCH, TAKEN_BY_BULK, true},
	[PARAMETER_ALLOW_UNPROVEN] = {"allow_unproven", KIND_SWITCH, TAKEN_BY_BULK | TAKEN_BY_REPLAY,
								  true},
	[PARAMETER_ON_DOUBT] = {"on_doubt", KIND_TEXT, TAKEN_BY_BULK | TAKEN_BY_REPLAY, true},
	[PARAMETER_DRY_RUN] = {"dry_run", KIND_SWITCH, TAKEN_BY_BULK | TAKEN_BY_REPLAY, false},
	[PARAMETER_SAMPLE] = {"sample", KIND_SMALL, TAKEN_BY_BULK, false},
	[PARAMETER_WAIT] = {"wait", KIND_NUMBER, TAKEN_BY_BULK | TAKEN_BY_REPLAY, false},
	[PARAMETER_BEFORE] = {"before", KIND_BATCH, TAKEN_BY_BATCHES, false},
	[PARAMETER_STATE] = {"state", KIND_STATE, TAKEN_BY_BATCHES, false},
};

/*
 * The value of a hexadecimal digit, or -1.
 */
static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/*
 * Undo percent-encoding; what is none is left as it is.  NULL if the text holds
 * a zero byte or is not UTF-8: no text of the database is such.
 */
static char *
decode(const char *text, size_t len, bool plus_is_blank)
{
	char *decoded = Allocate(len + 1);
	size_t out = 0;

	for (size_t i = 0; i < len; i++)
	{
		int high = text[i] == '%' && i + 2 < len ? hex_digit(text[i + 1]) : -1;
		int low = high >= 0 ? hex_digit(text[i + 2]) : -1;

		if (low >= 0)
		{
			decoded[out++] = (char) (high << 4 | low);
			i += 2;
		}
		else
			decoded[out++] = plus_is_blank && text[i] == '+' ? ' ' : text[i];
	}
	decoded[out] = '\0';
	if (memchr(decoded, '\0', out) == NULL && IsUtf8(decoded, out))
		return decoded;
	free(decoded);
	return NULL;
}

/*
 * Decode a name in a path.  NULL if it cannot be one.
 */
char *
DecodeName(const char *text, size_t len)
{
	return decode(text, len, false);
}

/*
 * Is it a number as JSON has it, or, with whole, one without a fraction?
 */
static bool
is_number(const char *text, bool whole)
{
	size_t len = strlen(text);

	if (len == 0 || len > 30 || strspn(text, whole ? "0123456789" : "0123456789.-") != len)
		return false;
	return JsonIsValid(text, len);
}

/*
 * The gateway clamps the limit: replace it by what that gives.  False if it is no
 * whole number.
 */
static bool
clamp_limit(char **value)
{
	const char *digits = *value + (**value == '-' || **value == '+' ? 1 : 0);
	long limit;

	if (*digits == '\0' || digits[strspn(digits, "0123456789")] != '\0')
		return false;
	/* What is too large for a long comes as the largest. */
	limit = strtol(*value, NULL, 10);
	limit = limit < MIN_LIMIT ? MIN_LIMIT : limit > MAX_LIMIT ? MAX_LIMIT : limit;
	free(*value);
	*value = Format("%ld", limit);
	return true;
}

/*
 * A switch becomes "true" or "false".  One without a value is neither.
 */
static bool
read_switch(char **value)
{
	bool on = strcmp(*value, "true") == 0 || strcmp(*value, "1") == 0;

	if (!on && strcmp(*value, "false") != 0 && strcmp(*value, "0") != 0)
		return false;
	free(*value);
	*value = DuplicateText(on ? "true" : "false");
	return true;
}

/*
 * Is it a state of a batch, as acteon_replay_batches has them?
 */
static bool
is_state(const char *text)
{
	static const char *const states[] = {"enqueuing", "running", "paused", "cancelled", "finished"};

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
	{
		if (strcmp(text, states[i]) == 0)
			return true;
	}
	return false;
}

/*
 * Bring a value into its form.  Returns NULL, or what was expected.
 */
static const char *
shape(const Rule *rule, char **value)
{
	char *blank;

	switch (rule->kind)
	{
		case KIND_TEXT:
		case KIND_LIST:
			return NULL;
		case KIND_TIME:
			/* Ten characters are the date; RFC 3339 allows a blank behind them. */
			blank = strlen(*value) > 11 ? strchr(*value + 11, ' ') : NULL;
			if (blank != NULL)
				*blank = '+';
			return NULL;
		case KIND_SWITCH:
			return read_switch(value) ? NULL : "true or false";
		case KIND_NUMBER:
			return is_number(*value, false) ? NULL : "a number";
		case KIND_WHOLE:
			return is_number(*value, true) ? NULL : "a whole number";
		case KIND_SMALL:
			return is_number(*value, true) && strlen(*value) <= 9
					   ? NULL
					   : "a whole number of at most 9 digits";
		case KIND_BATCH:
			return is_number(*value, true) && strlen(*value) <= 18 ? NULL : "the number of a batch";
		case KIND_STATE:
			return is_state(*value) ? NULL : "enqueuing, running, paused, cancelled or finished";
		case KIND_LIMIT:
			return clamp_limit(value) ? NULL : "a whole number";
	}
	return NULL;
}

/*
 * Set a value, or add it to a list, as the extension writes lists: with commas.  Keeps
 * what is given.
 */
static void
add_value(char **value, char *given)
{
	char *before = *value;

	*value = before == NULL ? given : Format("%s,%s", before, given);
	if (before == NULL)
		return;
	free(before);
	free(given);
}

/*
 * Take one name=value.  Returns NULL, or what is wrong, for the caller to free.
 */
static char *
take_pair(Parameters *parameters, const char *pair, size_t len, unsigned takes)
{
	const char *equals = memchr(pair, '=', len);
	size_t name_len = equals != NULL ? (size_t) (equals - pair) : len;
	char *name = decode(pair, name_len, true);
	const Rule *rule = rules;
	const char *expected;
	char *given;
	char **value;

	while (rule < rules + PARAMETERS && (name == NULL || strcmp(rule->name, name) != 0))
		rule++;
	free(name);
	if (rule == rules + PARAMETERS)
		return NULL;
	/* Whoever gives it to a single action would think that it counts. */
	if ((rule->taken_by & takes) == 0 && takes == TAKEN_BY_REPLAY)
		return Format("%s is not for the replay of a single action", rule->name);
	if ((rule->taken_by & takes) == 0)
		return NULL;
	value = &parameters->values[rule - rules];
	if (*value != NULL && rule->kind != KIND_LIST)
		return Format("%s is given twice", rule->name);
	given =
		decode(equals != NULL ? equals + 1 : "", len - name_len - (equals != NULL ? 1 : 0), true);
	if (given == NULL)
		return Format("%s is no text in UTF-8", rule->name);
	add_value(value, given);
	expected = shape(rule, value);
	return expected != NULL ? Format("%s: expected %s", rule->name, expected) : NULL;
}

/*
 * Read a query string, NULL for none: the parameters that somebody takes.
 * Returns NULL, or what is wrong, for the caller to free.
 */
char *
ParametersRead(Parameters *parameters, const char *query, unsigned takes)
{
	char *wrong = NULL;

	while (query != NULL && *query != '\0' && wrong == NULL)
	{
		size_t len = strcspn(query, "&");

		wrong = len > 0 ? take_pair(parameters, query, len, takes) : NULL;
		query += len + (query[len] == '&' ? 1 : 0);
	}
	if ((takes & (TAKEN_BY_BULK | TAKEN_BY_BATCHES)) != 0 &&
		parameters->values[PARAMETER_LIMIT] == NULL)
		parameters->values[PARAMETER_LIMIT] = DuplicateText(DEFAULT_LIMIT);
	return wrong;
}

/*
 * Give the values back.
 */
void
ParametersFree(Parameters *parameters)
{
	for (int id = 0; id < PARAMETERS; id++)
	{
		free(parameters->values[id]);
		parameters->values[id] = NULL;
	}
}

/*
 * Is a switch on?
 */
bool
ParameterIsTrue(const Parameters *parameters, ParameterId id)
{
	return parameters->values[id] != NULL && strcmp(parameters->values[id], "true") == 0;
}

/*
 * Write the query for acteon_replay_bulk(jsonb): what was given and belongs there.
 */
void
ParametersToQuery(const Parameters *parameters, Buffer *json)
{
	BufferAppendChar(json, '{');
	for (int id = 0; id < PARAMETERS; id++)
	{
		const char *value = parameters->values[id];

		if (value == NULL || !rules[id].in_query)
			continue;
		BufferPrint(json, "%s\"%s\": ", json->len > 1 ? ", " : "", rules[id].name);
		if (rules[id].kind == KIND_TEXT || rules[id].kind == KIND_LIST ||
			rules[id].kind == KIND_TIME)
			JsonAppendExactString(json, value);
		else
			BufferAppendText(json, value);
	}
	BufferAppendChar(json, '}');
}
