/*
 * parameters.c
 *		The parameters in a path and a query string.
 *
 * A query string is application/x-www-form-urlencoded (the URL Standard of the
 * WHATWG): + is a blank.  A client that writes the + of a time zone unescaped
 * nevertheless means a plus, and a time contains no blank after the hours.
 * Unknown parameters are refused, unlike in the gateway: a filter that is misspelled
 * would select more than was meant, and an id with a ? in it would be cut off there.
 *
 * The table of options (options.def) defines the parameters.  Values are only
 * checked to have the form that the extension's query requires; whether they
 * make sense is decided by the extension, except for those that are not part of
 * a query.
 */
#include "http/parameters.h"

#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/nearest.h"
#include "http/numbers.h"

/* Bytes of the name of an unknown parameter that an error shows. */
#define SHOWN_NAME 64

/* Digits of a whole number, which no bound exceeds. */
#define MOST_DIGITS 30

#define PARAMETER OPTION_ENTRY
const ReplayOption ReplayOptions[NUM_OPTIONS] = {
#include "query/options.def"
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
 * Percent-encode a text, so that it can stand in a URL and in a header as it is.
 */
char *
EncodeText(const char *text)
{
	Buffer encoded = {0};

	for (; *text != '\0'; text++)
	{
		if ((*text >= '0' && *text <= '9') || (*text >= 'a' && *text <= 'z') ||
			(*text >= 'A' && *text <= 'Z') || strchr("-._~", *text) != NULL)
			BufferAppendChar(&encoded, *text);
		else
			BufferPrint(&encoded, "%%%02X", (unsigned char) *text);
	}
	return encoded.data != NULL ? encoded.data : DuplicateText("");
}

/*
 * Put a text in the place of another one, which is given back.
 */
static void
replace_text(char **text, char *other)
{
	free(*text);
	*text = other;
}

/*
 * The gateway clamps the limit: replace it by what that gives, and note in the
 * parameters that it has.  False if it is no whole number, or has a sign other than +.
 */
static bool
clamp_limit(Parameters *parameters, const ReplayOption *option, char **value)
{
	char *digits = *value + (**value == '+' ? 1 : 0);
	double limit;

	/* What the gateway reads as well, and JSON does not have. */
	while (digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9')
		digits++;
	if (*digits == '-' || !NumberRead(digits) || (digits = NumberWhole(digits)) == NULL)
		return false;
	replace_text(value, digits);
	limit = strtod(*value, NULL);
	if (limit >= strtod(option->least, NULL) && limit <= strtod(option->most, NULL))
		return true;
	replace_text(value,
				 DuplicateText(limit < strtod(option->least, NULL) ? option->least : option->most));
	parameters->clamped = *value;
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
	replace_text(value, DuplicateText(on ? "true" : "false"));
	return true;
}

/*
 * What a number has to be, for the caller to free.
 */
static char *
expect_number(const ReplayOption *option)
{
	const char *what = option->kind == KIND_INTEGER ? "a whole number" : "a number";

	if ((option->calls & CALL_QUERY) != 0 || option->most == NULL)
		return DuplicateText(what);
	return Format("%s from %s to %s", what, option->least, option->most);
}

/*
 * Make a whole number digits, at most so many.  False if it is none.
 */
static bool
shape_whole(char **value, size_t most_digits)
{
	char *digits = NumberRead(*value) ? NumberWhole(*value) : NULL;

	if (digits == NULL)
		return false;
	replace_text(value, digits);
	return strspn(digits + (*digits == '-' ? 1 : 0), "0123456789") <= most_digits;
}

/*
 * Bring a number into its form.  Returns NULL, or what was expected, for the caller
 * to free.
 */
static char *
shape_number(const ReplayOption *option, char **value)
{
	double number;

	if (option->kind == KIND_INTEGER ? !shape_whole(value, MOST_DIGITS) : !NumberRead(*value))
		return expect_number(option);
	number = strtod(*value, NULL);
	/* What is part of a query is for the extension to judge. */
	if ((option->calls & CALL_QUERY) == 0 && option->most != NULL &&
		(number < strtod(option->least, NULL) || number > strtod(option->most, NULL)))
		return expect_number(option);
	return NULL;
}

/*
 * Bring the number of a batch, or a place in a chain, into its form.  False if it is none.
 */
static bool
shape_batch(const ReplayOption *option, char **value)
{
	const char *most = option->most != NULL ? option->most : "9223372036854775807";

	if (!shape_whole(value, strlen(most)) || **value == '-')
		return false;
	return strlen(*value) < strlen(most) || strcmp(*value, most) <= 0;
}

/*
 * Is a text one of those that an option allows?
 */
static bool
is_choice(const ReplayOption *option, const char *text, size_t len)
{
	for (const char *const *choice = option->choices; *choice != NULL; choice++)
	{
		if (strlen(*choice) == len && memcmp(*choice, text, len) == 0)
			return true;
	}
	return false;
}

/*
 * Is each element of a list with commas one of those?
 */
static bool
are_choices(const ReplayOption *option, const char *text)
{
	for (;;)
	{
		size_t len = strcspn(text, ",");

		if (!is_choice(option, text, len))
			return false;
		if (text[len] == '\0')
			return true;
		text += len + 1;
	}
}

/*
 * Check a text that is one of few, or may not be empty, where that is not for the
 * extension to judge.  Returns NULL, or what was expected, for the caller to free.
 */
static char *
check_choice(const ReplayOption *option, const char *value)
{
	Buffer expected = {0};

	if ((option->calls & CALL_QUERY) != 0)
		return NULL;
	if (option->not_empty && *value == '\0')
		return DuplicateText("a text that is not empty");
	if (option->choices == NULL)
		return NULL;
	if (option->is_list ? are_choices(option, value) : is_choice(option, value, strlen(value)))
		return NULL;
	for (const char *const *choice = option->choices; *choice != NULL; choice++)
	{
		if (choice > option->choices)
			BufferAppendText(&expected, choice[1] != NULL ? ", " : " or ");
		BufferAppendText(&expected, *choice);
	}
	return expected.data;
}

/*
 * Has a text the form of a time in RFC 3339?
 */
static bool
is_time(const char *text)
{
	static const char form[] = "0000-00-00T00:00:00";
	const char *zone = text + sizeof(form) - 1;

	if (strlen(text) < sizeof(form))
		return false;
	for (size_t i = 0; form[i] != '\0'; i++)
	{
		bool fits = form[i] == '0'   ? text[i] >= '0' && text[i] <= '9'
					: form[i] == 'T' ? strchr("Tt ", text[i]) != NULL
									 : text[i] == form[i];

		if (!fits)
			return false;
	}
	if (zone[0] == '.' && zone[1] >= '0' && zone[1] <= '9')
		zone += 1 + strspn(zone + 1, "0123456789");
	if (strcmp(zone, "Z") == 0 || strcmp(zone, "z") == 0)
		return true;
	/* The gateway takes an offset without its colon. */
	if ((zone[0] != '+' && zone[0] != '-') || strspn(zone + 1, "0123456789") < 2)
		return false;
	zone += zone[3] == ':' ? 4 : 3;
	return strlen(zone) == 2 && strspn(zone, "0123456789") == 2;
}

/*
 * Append an id of a list of texts, without the blanks around it, to an array.  Returns
 * whether there is one.
 */
static bool
append_element(Buffer *array, const char *text, size_t len)
{
	char *element;

	while (len > 0 && *text == ' ')
	{
		text++;
		len--;
	}
	while (len > 0 && text[len - 1] == ' ')
		len--;
	if (len == 0)
		return false;
	element = Allocate(len + 1);
	memcpy(element, text, len);
	element[len] = '\0';
	BufferAppendText(array, array->len > 0 ? ", " : "");
	JsonAppendExactString(array, element);
	free(element);
	return true;
}

/*
 * Append the elements of a list to an array, of which its brackets are left out: those of
 * a JSON array as they are, which is for the extension to judge, or texts with commas
 * between them.  Returns whether it is one of these.
 */
static bool
append_list(Buffer *array, const char *text)
{
	size_t len = strlen(text);

	if (*text == '[')
	{
		size_t inner;

		while (len > 1 && strchr(" \t\n\r", text[len - 1]) != NULL)
			len--;
		if (!JsonIsValid(text, len))
			return false;
		inner = strspn(text + 1, " \t\n\r");
		if (inner == len - 2)
			return true; /* an empty one */
		BufferAppendText(array, array->len > 0 ? ", " : "");
		BufferAppend(array, text + 1, len - 2);
		return true;
	}
	for (;;)
	{
		size_t element = strcspn(text, ",");

		if (!append_element(array, text, element))
			return false;
		if (text[element] == '\0')
			return true;
		text += element + 1;
	}
}

/*
 * Make a list a JSON array, together with the one before, if there is one.  Keeps both.
 * Returns NULL if it is no list.
 */
static char *
join_lists(char *before, char *given)
{
	Buffer elements = {0};
	Buffer array = {0};
	bool good;

	if (before != NULL)
		BufferAppend(&elements, before + 1, strlen(before) - 2);
	good = append_list(&elements, given);
	free(before);
	free(given);
	if (good)
	{
		BufferAppendChar(&array, '[');
		if (elements.len > 0)
			BufferAppend(&array, elements.data, elements.len);
		BufferAppendChar(&array, ']');
	}
	BufferFree(&elements);
	return array.data;
}

/*
 * Is it JSON, and more than null, which in a query is the same as nothing, unless it is a
 * value of the option?
 */
static bool
is_json(const ReplayOption *option, const char *text)
{
	size_t len = strlen(text);
	size_t blanks = strspn(text, " \t\n\r");

	return JsonIsValid(text, len) && (option->takes_null || strncmp(text + blanks, "null", 4) != 0);
}

/*
 * Bring a value into its form.  Returns NULL, or what was expected, for the caller
 * to free.
 */
static char *
shape(Parameters *parameters, const ReplayOption *option, char **value, CallSet call)
{
	char *blank;

	switch (option->kind)
	{
		case KIND_TEXT:
			return check_choice(option, *value);
		case KIND_TIME:
			/* Ten characters are the date; RFC 3339 allows a blank behind them. */
			blank = strlen(*value) > 11 ? strchr(*value + 11, ' ') : NULL;
			if (blank != NULL)
				*blank = '+';
			/* What becomes a query in the wire form is for the extension to judge. */
			return call == CALL_HTTP_BULK || call == CALL_HTTP_ALL || is_time(*value)
					   ? NULL
					   : DuplicateText("a time in the form of RFC 3339");
		case KIND_BOOLEAN:
			return read_switch(value) ? NULL : DuplicateText("true or false");
		case KIND_INTEGER:
			if (option->is_limit)
				return clamp_limit(parameters, option, value)
						   ? NULL
						   : DuplicateText("a whole number, 0 or more");
			return shape_number(option, value);
		case KIND_NUMBER:
			return shape_number(option, value);
		case KIND_TEXTS: /* add_value has done so */
			return *value != NULL ? NULL
								  : DuplicateText("ids, separated by commas, or a JSON array");
		case KIND_INTERVAL: /* the extension reads it */
			return NULL;
		case KIND_JSON:
			if (is_json(option, *value))
				return NULL;
			return DuplicateText(option->takes_null ? "JSON" : "JSON other than null");
		case KIND_BATCH:
			return shape_batch(option, value) ? NULL : DuplicateText("the number of a batch");
		case KIND_PLACE:
			return shape_batch(option, value)
					   ? NULL
					   : Format("a whole number from %s to %s", option->least, option->most);
	}
	return NULL;
}

/*
 * Find the option of this name that one of these calls takes.  NULL if there is
 * none.
 */
static const ReplayOption *
find_option(const char *name, CallSet calls)
{
	for (const ReplayOption *option = ReplayOptions; option < ReplayOptions + NUM_OPTIONS; option++)
	{
		if ((option->calls & calls) != 0 && option->key != NULL && strcmp(option->key, name) == 0)
			return option;
	}
	return NULL;
}

/*
 * Set a value, or add it to a list, as the extension writes lists: with commas, or as an
 * array.  Keeps what is given.  The value is NULL if it should be an array and is none.
 */
static void
add_value(const ReplayOption *option, char **value, char *given)
{
	char *before = *value;

	if (option->kind == KIND_TEXTS)
	{
		*value = join_lists(before, given);
		return;
	}
	*value = before == NULL ? given : Format("%s,%s", before, given);
	if (before == NULL)
		return;
	free(before);
	free(given);
}

/*
 * A parameter is given twice: what is wrong, for the caller to free.
 */
static char *
report_twice(Parameters *parameters, const ReplayOption *option)
{
	parameters->fault = CODE_REPEATED_PARAMETER;
	return Format("%s is given twice", option->key);
}

/*
 * Take the value of an option, which is kept; NULL: it could not be decoded.  Returns NULL, or
 * what is wrong, for the caller to free.
 */
static char *
take_value(Parameters *parameters, const ReplayOption *option, char *given, CallSet call)
{
	char **value = &parameters->values[option - ReplayOptions];
	char *expected, *wrong = NULL;

	if (*value != NULL && !option->is_list)
	{
		free(given);
		return report_twice(parameters, option);
	}
	if (given == NULL)
		return Format("%s is not text in UTF-8", option->key);
	add_value(option, value, given);
	expected = shape(parameters, option, value, call);
	if (expected != NULL)
		wrong = Format("%s: expected %s", option->key, expected);
	free(expected);
	return wrong;
}

/*
 * The option of these calls whose name is nearest to the one given; NULL: none is near.
 * *is_named tells whether it has this name as an argument in SQL.
 */
static const char *
nearest_option(const char *name, CallSet calls, bool *is_named)
{
	Nearest nearest;

	*is_named = false;
	NearestStart(&nearest, name, strlen(name));
	for (const ReplayOption *option = ReplayOptions; option < ReplayOptions + NUM_OPTIONS; option++)
	{
		if ((option->calls & calls) == 0 || option->key == NULL)
			continue;
		*is_named = option->argument != NULL && strcmp(option->argument, name) == 0;
		if (*is_named)
			return option->key;
		NearestTry(&nearest, option->key);
	}
	return nearest.name;
}

/*
 * What is wrong with a parameter that nobody knows, for the caller to free.  One that has
 * the name of an argument in SQL is called otherwise here.
 */
static char *
report_unknown(const char *name, CallSet call)
{
	const char *other;
	bool is_named;

	if (name == NULL || *name == '\0' || strlen(name) > SHOWN_NAME)
		return DuplicateText("unknown parameter");
	other = nearest_option(name, call, &is_named);
	if (other == NULL)
		return Format("unknown parameter: %s", name);
	return Format(is_named ? "unknown parameter: %s (it is called %s here)"
						   : "unknown parameter: %s (perhaps you meant %s)",
				  name, other);
}

/*
 * Take one name=value.  Returns NULL, or what is wrong, for the caller to free.
 */
static char *
take_pair(Parameters *parameters, const char *pair, size_t len, CallSet call)
{
	const char *equals = memchr(pair, '=', len);
	size_t name_len = equals != NULL ? (size_t) (equals - pair) : len;
	char *name = decode(pair, name_len, true);
	const ReplayOption *option = name != NULL ? find_option(name, call) : NULL;
	char *wrong = NULL;

	if (option != NULL && equals != NULL)
		wrong = take_value(parameters, option, decode(equals + 1, len - name_len - 1, true), call);
	else if (option != NULL)
		wrong = take_value(parameters, option, DuplicateText(""), call);
	/* Whoever gives it to a single action would think that it counts. */
	else if (name != NULL && call == CALL_HTTP_SINGLE && find_option(name, CALLS_HTTP) != NULL)
	{
		parameters->fault = CODE_MISPLACED_PARAMETER;
		wrong = Format("%s is not for the replay of a single action", name);
	}
	else if (option == NULL)
	{
		parameters->fault = CODE_UNKNOWN_PARAMETER;
		wrong = report_unknown(name, call);
	}
	free(name);
	return wrong;
}

/*
 * Is anything missing that the call cannot do without?  Returns NULL, or what is wrong, for
 * the caller to free.
 */
static char *
check_together(const Parameters *parameters, CallSet call)
{
	for (int id = 0; id < NUM_OPTIONS; id++)
	{
		if (ReplayOptions[id].is_required && (ReplayOptions[id].calls & call) != 0 &&
			parameters->values[id] == NULL)
			return Format("%s is required", ReplayOptions[id].key);
	}
	if ((call & CALL_HTTP_REDRIVE) != 0 && parameters->values[OPTION_DEAD_IDS] == NULL &&
		parameters->values[OPTION_DEAD_BATCH] == NULL &&
		parameters->values[OPTION_DEAD_TENANT] == NULL &&
		parameters->values[OPTION_DEAD_PROVIDER] == NULL)
		return DuplicateText("a redrive needs outbox_id, batch_id, tenant or provider");
	if ((call & CALL_HTTP_LIMIT_SET) != 0 && parameters->values[OPTION_LIMIT_RATE] == NULL &&
		parameters->values[OPTION_LIMIT_CONCURRENCY] == NULL)
		return DuplicateText("a limit needs a rate or a concurrency");
	if ((parameters->values[OPTION_CHAIN_AFTER_SEQUENCE] == NULL) !=
		(parameters->values[OPTION_CHAIN_AFTER_HASH] == NULL))
		return DuplicateText("after_sequence and after_hash need each other");
	return NULL;
}

/*
 * Find the option that a member of a JSON object is, which may not stand there twice, whatever
 * its values are.  NULL: *wrong is what is wrong, for the caller to free.
 */
static const ReplayOption *
find_member(Parameters *parameters, const char *name, CallSet call, char **wrong)
{
	const ReplayOption *option = find_option(name, call);

	if (option == NULL)
	{
		parameters->fault = CODE_UNKNOWN_PARAMETER;
		*wrong = report_unknown(name, call);
	}
	else if (parameters->are_members[option - ReplayOptions])
	{
		*wrong = report_twice(parameters, option);
		option = NULL;
	}
	else
		parameters->are_members[option - ReplayOptions] = true;
	return option;
}

/*
 * Take a member of a JSON object as a parameter: its name and its value, which is a string
 * or, as it is written, a number; both are kept.  Returns NULL, or what is wrong, for the caller
 * to free.
 */
char *
ParametersTake(Parameters *parameters, char *name, char *value, bool is_number, CallSet call)
{
	char *wrong = NULL;
	const ReplayOption *option = find_member(parameters, name, call, &wrong);

	if (option == NULL)
		free(value);
	else if (is_number && option->kind != KIND_INTEGER && option->kind != KIND_PLACE)
	{
		wrong = Format("%s: expected a string", option->key);
		free(value);
	}
	else
		wrong = take_value(parameters, option, value, call);
	free(name);
	return wrong;
}

/*
 * Take a member that is null, which is the same as one that is not there, except that it may not
 * stand beside another value.  Its name is kept.  Returns NULL, or what is wrong, for the caller
 * to free.
 */
char *
ParametersTakeNull(Parameters *parameters, char *name, CallSet call)
{
	char *wrong = NULL;
	const ReplayOption *option = find_member(parameters, name, call, &wrong);

	if (option != NULL && parameters->values[option - ReplayOptions] != NULL)
		wrong = report_twice(parameters, option);
	free(name);
	return wrong;
}

/*
 * Read a query string, NULL for none: the parameters that the call takes.  Returns NULL, or what
 * is wrong, for the caller to free.  ParametersComplete has to follow.
 */
char *
ParametersRead(Parameters *parameters, const char *query, CallSet call)
{
	char *wrong = NULL;

	while (query != NULL && *query != '\0' && wrong == NULL)
	{
		size_t len = strcspn(query, "&");

		wrong = len > 0 ? take_pair(parameters, query, len, call) : NULL;
		query += len + (query[len] == '&' ? 1 : 0);
	}
	return wrong;
}

/*
 * All parameters were read.  A limit that is not there gets its default, unless a plan says it.
 * Returns NULL, or what is missing, for the caller to free.
 */
char *
ParametersComplete(Parameters *parameters, CallSet call)
{
	for (int id = 0; id < NUM_OPTIONS; id++)
	{
		if (ReplayOptions[id].is_limit && (ReplayOptions[id].calls & call) != 0 &&
			parameters->values[id] == NULL && parameters->values[OPTION_PLAN] == NULL)
			parameters->values[id] = DuplicateText(ReplayOptions[id].initial);
	}
	return check_together(parameters, call);
}

/*
 * The parameter with which a list is continued, or NULL if the call has no pages.
 */
const char *
ParametersPage(CallSet call)
{
	CallSet lists = call & (CALL_HTTP_BATCHES | CALL_HTTP_ITEMS | CALLS_HTTP_LISTS);

	if (find_option("before", lists) != NULL)
		return "before";
	return find_option("cursor", lists) != NULL ? "cursor" : NULL;
}

/*
 * The query string of the next page: that of this one, NULL or from its ? on, but with
 * another value of the parameter of this name.
 */
char *
ParametersNextPage(const char *query, const char *name, const char *value)
{
	char *encoded = EncodeText(value);
	Buffer next = {0};

	query = query != NULL ? query + 1 : "";
	while (*query != '\0')
	{
		size_t len = strcspn(query, "&");
		char *given = decode(query, strcspn(query, "=&"), true);

		if (len > 0 && (given == NULL || strcmp(given, name) != 0))
		{
			/* What would end the link is encoded. */
			for (size_t i = 0; i < len; i++)
			{
				if (query[i] > ' ' && query[i] < 0x7f && strchr("<>\"", query[i]) == NULL)
					BufferAppendChar(&next, query[i]);
				else
					BufferPrint(&next, "%%%02X", (unsigned char) query[i]);
			}
			BufferAppendChar(&next, '&');
		}
		free(given);
		query += len + (query[len] == '&' ? 1 : 0);
	}
	BufferPrint(&next, "%s=%s", name, encoded);
	free(encoded);
	return next.data;
}

/*
 * Give the values back.
 */
void
ParametersFree(Parameters *parameters)
{
	for (int id = 0; id < NUM_OPTIONS; id++)
	{
		free(parameters->values[id]);
		parameters->values[id] = NULL;
	}
	parameters->clamped = NULL;
}

/*
 * Is a switch on?
 */
bool
ParameterIsTrue(const Parameters *parameters, OptionId id)
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
	for (int id = 0; id < NUM_OPTIONS; id++)
	{
		const char *value = parameters->values[id];

		if (value == NULL || (ReplayOptions[id].calls & CALL_QUERY) == 0)
			continue;
		BufferPrint(json, "%s\"%s\": ", json->len > 1 ? ", " : "", ReplayOptions[id].key);
		if (ReplayOptions[id].kind == KIND_TEXT || ReplayOptions[id].kind == KIND_TIME ||
			ReplayOptions[id].kind == KIND_INTERVAL)
			JsonAppendExactString(json, value);
		else
			BufferAppendText(json, value);
	}
	BufferAppendChar(json, '}');
}
