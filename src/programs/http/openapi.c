/*
 * openapi.c
 *		The description of the interface, which follows OpenAPI 3.1.
 *
 * It is openapi.json beside this file, which is part of the program, with the
 * parameters of the table of options in their places: "@bulk" among the parameters
 * of an operation, and the like, stands for those that such a call takes, and "@codes" for the
 * codes of errors.
 */
#include "http/openapi.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "common/json.h"
#include "http/embed.h"
#include "http/parameters.h"
#include "http/status_map.h"

EMBED(openapi, "src/programs/http/openapi.json");

/* What stands for the parameters of a call. */
static const struct
{
	const char *text;
	CallSet call;
} places[] = {
	{"\"@single\"", CALL_HTTP_SINGLE},
	{"\"@bulk\"", CALL_HTTP_BULK},
	{"\"@all\"", CALL_HTTP_ALL},
	{"\"@steering\"", CALL_HTTP_STEERING},
	{"\"@batches\"", CALL_HTTP_BATCHES},
	{"\"@items\"", CALL_HTTP_ITEMS},
	{"\"@causes\"", CALL_HTTP_CAUSES},
	{"\"@resume\"", CALL_HTTP_STEERING | CALL_HTTP_RESUME},
	{"\"@log\"", CALL_HTTP_LOG},
	{"\"@rate\"", CALL_HTTP_RATE},
	{"\"@start\"", CALL_HTTP_START},
	{"\"@settle\"", CALL_HTTP_SETTLE},
	{"\"@approve\"", CALL_HTTP_APPROVE},
	{"\"@hand_over\"", CALL_HTTP_HAND_OVER},
	{"\"@continue\"", CALL_HTTP_CONTINUE},
	{"\"@patch\"", CALL_HTTP_PATCH},
	{"\"@lineage\"", CALL_HTTP_LINEAGE},
	{"\"@dead_letters\"", CALL_HTTP_DEAD_LETTERS},
	{"\"@redrive\"", CALL_HTTP_REDRIVE},
	{"\"@records\"", CALL_HTTP_RECORDS},
	{"\"@timeline\"", CALL_HTTP_TIMELINE},
	{"\"@limit_set\"", CALL_HTTP_LIMIT_SET},
	{"\"@limit_remove\"", CALL_HTTP_LIMIT_REMOVE},
	{"\"@of_all\"", CALL_HTTP_OF_ALL},
	{"\"@limits\"", CALL_HTTP_LIMITS},
	{"\"@chain\"", CALL_HTTP_CHAIN},
	{"\"@trail\"", CALL_HTTP_TRAIL},
};

/* What stands for the codes of errors. */
#define CODES "\"@codes\""

/* Types of JSON Schema, and formats. */
static const struct
{
	const char *type;
	const char *format;
} kinds[] = {
	[KIND_TEXT] = {"string", NULL},      [KIND_TIME] = {"string", "date-time"},
	[KIND_INTEGER] = {"integer", NULL},  [KIND_BOOLEAN] = {"boolean", NULL},
	[KIND_NUMBER] = {"number", NULL},    [KIND_BATCH] = {"integer", "int64"},
	[KIND_PLACE] = {"integer", "int64"}, [KIND_TEXTS] = {"array", NULL},
	[KIND_JSON] = {NULL, NULL},          [KIND_INTERVAL] = {"string", NULL},
};

/*
 * Is it an array?  A text that is a list of a few names is one, too.
 */
static bool
is_array(const ReplayOption *option)
{
	return option->kind == KIND_TEXTS || (option->is_list && option->choices != NULL);
}

/*
 * Append a value of an option as JSON; of an array, one of its elements.
 */
static void
append_value(Buffer *json, const ReplayOption *option, const char *value)
{
	if (option->kind == KIND_TEXT || option->kind == KIND_TIME || option->kind == KIND_TEXTS ||
		option->kind == KIND_INTERVAL)
		JsonAppendExactString(json, value);
	else
		BufferAppendText(json, value);
}

/*
 * Append a member of a schema whose value is one of the option's, if there is one.
 */
static void
append_member(Buffer *json, const ReplayOption *option, const char *name, const char *value)
{
	if (value == NULL)
		return;
	BufferPrint(json, ", \"%s\": %s", name, is_array(option) ? "[" : "");
	append_value(json, option, value);
	BufferAppendText(json, is_array(option) ? "]" : "");
}

/*
 * Append the values that there are.
 */
static void
append_choices(Buffer *json, const ReplayOption *option)
{
	if (option->choices[1] == NULL)
	{
		append_member(json, option, "const", option->choices[0]);
		return;
	}
	BufferAppendText(json, ", \"enum\": [");
	for (const char *const *choice = option->choices; *choice != NULL; choice++)
	{
		BufferAppendText(json, choice > option->choices ? ", " : "");
		append_value(json, option, *choice);
	}
	BufferAppendChar(json, ']');
}

/*
 * Append the schema of an option.
 */
static void
append_schema(Buffer *json, const ReplayOption *option)
{
	if (option->kind == KIND_JSON)
	{
		BufferAppendText(json, option->takes_null ? "{}" : "{\"not\": {\"type\": \"null\"}}");
		return;
	}
	if (is_array(option) && option->choices != NULL)
	{
		BufferAppendText(json, "{\"type\": \"array\", \"items\": {\"type\": \"string\"");
		append_choices(json, option);
		BufferAppendText(json, "}}");
		return;
	}
	BufferPrint(json, "{\"type\": \"%s\"", kinds[option->kind].type);
	if (option->kind == KIND_TEXTS)
		BufferAppendText(json, ", \"items\": {\"type\": \"string\"}");
	if (kinds[option->kind].format != NULL)
		BufferPrint(json, ", \"format\": \"%s\"", kinds[option->kind].format);
	if (option->choices != NULL)
		append_choices(json, option);
	append_member(json, option, "default", option->initial);
	/* What exceeds a limit is clamped; only what is negative is refused. */
	append_member(json, option, "minimum", option->is_limit ? "0" : option->least);
	append_member(json, option, "maximum", option->is_limit ? NULL : option->most);
	append_member(json, option, "exclusiveMaximum", option->below);
	if (option->not_empty)
		BufferPrint(json, ", \"%s\": 1", option->kind == KIND_TEXTS ? "minItems" : "minLength");
	BufferAppendChar(json, '}');
}

/*
 * Append an option as a parameter.
 */
static void
append_parameter(Buffer *json, const ReplayOption *option)
{
	Buffer description = {0};

	BufferAppendChar(&description, (char) toupper((unsigned char) *option->help));
	BufferPrint(&description, "%s.", option->help + 1);
	if (option->over_http != NULL)
		BufferPrint(&description, " %s.", option->over_http);
	BufferPrint(json, "{\"name\": \"%s\", \"in\": \"query\", %s\"description\": ", option->key,
				option->is_required ? "\"required\": true, " : "");
	JsonAppendExactString(json, description.data);
	/* What is JSON in the parameter is described as such. */
	if (option->kind == KIND_JSON)
		BufferAppendText(json, ", \"content\": {\"application/json\": {\"schema\": ");
	else
		BufferAppendText(json, ", \"schema\": ");
	append_schema(json, option);
	append_member(json, option, "example", option->example);
	BufferAppendText(json, option->kind == KIND_JSON ? "}}}" : "}");
	BufferFree(&description);
}

/*
 * Append the parameters of a call.
 */
static void
append_parameters(Buffer *json, CallSet call)
{
	const char *separator = "";

	for (int id = 0; id < NUM_OPTIONS; id++)
	{
		if ((ReplayOptions[id].calls & call) == 0)
			continue;
		BufferAppendText(json, separator);
		append_parameter(json, &ReplayOptions[id]);
		separator = ",\n          ";
	}
}

/*
 * Append the codes of errors, of which the first takes the place of what stands for them.
 */
static void
append_codes(Buffer *json)
{
	for (int code = CODE_NONE + 1; code < NUM_ERROR_CODES; code++)
		BufferPrint(json, "%s\"%s\"", code > CODE_NONE + 1 ? ", " : "", faults[code].code);
}

/*
 * Write the document.
 */
static void
write_document(Buffer *json)
{
	const char *text = openapi_text;

	for (const char *place; (place = strstr(text, "\"@")) != NULL;)
	{
		size_t i = 0;

		while (i < sizeof(places) / sizeof(places[0]) &&
			   strncmp(place, places[i].text, strlen(places[i].text)) != 0)
			i++;
		BufferAppend(json, text, (size_t) (place - text));
		text = place;
		if (i < sizeof(places) / sizeof(places[0]))
		{
			append_parameters(json, places[i].call);
			text += strlen(places[i].text);
		}
		else if (strncmp(place, CODES, strlen(CODES)) == 0)
		{
			append_codes(json);
			text += strlen(CODES);
		}
		else
			BufferAppendChar(json, *text++);
	}
	BufferAppend(json, text, (size_t) ((uintptr_t) openapi_end - (uintptr_t) text));
}

/*
 * The document, which lives as long as the program.
 */
const Buffer *
OpenapiDocument(void)
{
	static Buffer document;

	if (document.data == NULL)
		write_document(&document);
	return &document;
}
