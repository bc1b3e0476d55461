/*
 * query_options.c
 *		The table of what a replay can be asked (options.def), as the extension has it.
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/json.h"

#include "query/query.h"

/* Those that are no part of a query come last. */
StaticAssertDecl(OPTION_ORDER < 64, "a query notes in 64 bits what was given");

#define PARAMETER OPTION_ENTRY
const ReplayOption ReplayOptions[NUM_OPTIONS] = {
#include "query/options.def"
};

/* Where in a query the value of an option is; of what is no part of one, nowhere. */
#define OPTION(id, field, ...) [OPTION_##id] = offsetof(ReplayQuery, field),
static const size_t offsets[NUM_OPTIONS] = {
#include "query/options.def"
};

#define FILTER(id, name, ...) [FILTER_##id] = name,
const char *const TextFilterNames[NUM_TEXT_FILTERS] = {
#include "query/options.def"
};

/* Names of the calls, in the order of their bits. */
static const char *const call_names[] = {
	"acteon_replay",
	"acteon_replay_bulk",
	"acteon_replay_preview",
	"acteon_replay_all",
	"query",
	"POST /v1/audit/{action_id}/replay",
	"POST /v1/audit/replay",
	"POST /v1/replay/batches/{batch_id}",
	"GET /v1/replay/batches",
	"acteon_replay_causes",
	"GET /v1/replay/batches/{batch_id}/items",
	"GET /v1/replay/causes",
	"acteon_replay_timeline",
	"GET /v1/replay/timeline",
};

/* Types in SQL. */
static const char *const kind_types[] = {
	[KIND_TEXT] = "text",       [KIND_TIME] = "timestamp with time zone",
	[KIND_INTEGER] = "integer", [KIND_BOOLEAN] = "boolean",
	[KIND_NUMBER] = "numeric",  [KIND_BATCH] = "bigint",
	[KIND_PLACE] = "bigint",    [KIND_TEXTS] = "text[]",
	[KIND_JSON] = "jsonb",      [KIND_INTERVAL] = "interval",
};

PG_FUNCTION_INFO_V1(acteon_replay_options);

/*
 * The field of a query that an option sets; the option must have one.
 */
void *
OptionField(const ReplayQuery *query, OptionId id)
{
	return unconstify(char *, (const char *) query) + offsets[id];
}

/*
 * A number that the table has as a text.
 */
double
OptionNumber(const char *text)
{
	return strtod(text, NULL);
}

/*
 * How many options a call takes as arguments.
 */
int
CountOptions(CallSet call)
{
	int count = 0;

	for (OptionId id = 0; id < NUM_OPTIONS; id++)
		count += (ReplayOptions[id].calls & call) != 0;
	return count;
}

/*
 * The place of an option among those that a call takes, from 0.
 */
int
OptionPlace(CallSet call, OptionId option)
{
	int place = 0;

	for (OptionId id = 0; id < option; id++)
		place += (ReplayOptions[id].calls & call) != 0;
	return place;
}

/*
 * The name by which the caller knows an option: that of its argument, or its key
 * if the query came in the wire form.
 */
const char *
OptionName(const ReplayQuery *query, OptionId id)
{
	const ReplayOption *option = &ReplayOptions[id];

	return query->wire_form && option->key != NULL ? option->key : option->argument;
}

/*
 * Whether a query has a value for an option, other than that of the option being
 * left out.
 */
static bool
is_set(const ReplayQuery *query, OptionId id)
{
	const void *field = OptionField(query, id);

	switch (ReplayOptions[id].kind)
	{
		case KIND_TEXT:
			return *(char *const *) field != NULL;
		case KIND_TIME:
			return ((const OptionalTime *) field)->given;
		case KIND_BOOLEAN:
			return *(const bool *) field;
		case KIND_NUMBER:
			return *(const Numeric *) field != NULL;
		case KIND_TEXTS: /* an empty one finds nothing */
			return ((const TextList *) field)->given;
		case KIND_JSON:
			return *(Jsonb *const *) field != NULL;
		case KIND_INTERVAL:
			return *(Interval *const *) field != NULL;
		case KIND_INTEGER:
		case KIND_BATCH:
		case KIND_PLACE:
			break;
	}
	return OPTION_GIVEN(query, id);
}

/*
 * Whether a query says which records it is about: it has at least one filter.  A
 * filter with an empty text is one: it finds the records that have an empty text.
 */
bool
HasFilter(const ReplayQuery *query)
{
	for (OptionId id = 0; id < NUM_OPTIONS; id++)
	{
		if (ReplayOptions[id].is_filter && is_set(query, id))
			return true;
	}
	return false;
}

/*
 * The names of all filters, as the caller knows them, with commas between them.
 */
char *
FilterNames(const ReplayQuery *query)
{
	StringInfoData names;

	initStringInfo(&names);
	for (OptionId id = 0; id < NUM_OPTIONS; id++)
	{
		if (ReplayOptions[id].is_filter)
			appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "", OptionName(query, id));
	}
	return names.data;
}

/*
 * Append a member of a JSON object that is a string, or null.
 */
static void
append_member(StringInfo json, const char *name, const char *value)
{
	appendStringInfo(json, "\"%s\": ", name);
	if (value != NULL)
		escape_json(json, value);
	else
		appendStringInfoString(json, "null");
	appendStringInfoString(json, ", ");
}

/*
 * Set an integer option of a query, which may be the number of records.
 */
void
SetInteger(ReplayQuery *query, OptionId id, int value)
{
	*(int *) OptionField(query, id) = value;
	if (ReplayOptions[id].is_limit)
		query->is_limited = true;
}

/*
 * Set a query to its defaults: everything, the oldest 50 records, or all if the
 * call takes any number.
 */
void
InitReplayQuery(ReplayQuery *query, bool any_number)
{
	memset(query, 0, sizeof(*query));
	query->any_number = any_number;
	for (OptionId id = 0; id < NUM_OPTIONS; id++)
	{
		const ReplayOption *option = &ReplayOptions[id];

		if (option->kind == KIND_INTEGER && (option->calls & CALL_QUERY) != 0 &&
			!(option->is_limit && any_number))
			SetInteger(query, id, (int) OptionNumber(option->initial));
	}
}

/*
 * Raise the error of a number that is out of the bounds of its option, which the
 * caller knows by this name.
 */
void
ReportBounds(const char *name, OptionId id, bool too_small)
{
	const ReplayOption *option = &ReplayOptions[id];
	bool has_end = !option->is_limit && OptionNumber(option->most) < LARGEST_INTEGER;

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 has_end     ? errmsg("%s must be between %s and %s", name, option->least, option->most)
			 : too_small ? errmsg("%s must be at least %s", name, option->least)
						 : errmsg("%s must be at most %d", name, LARGEST_INTEGER),
			 errhint("%s", option->hint)));
}

/*
 * acteon_replay_options() → json
 *
 * The table as an array of objects.  No script declares it: the test of the
 * signatures does, and what makes the reference may.
 */
Datum
acteon_replay_options(PG_FUNCTION_ARGS)
{
	StringInfoData json;

	initStringInfo(&json);
	for (OptionId id = 0; id < NUM_OPTIONS; id++)
	{
		const ReplayOption *option = &ReplayOptions[id];
		const char *separator = "";

		appendStringInfo(&json, "%s{\"place\": %d, ", id == 0 ? "[" : ",\n", id);
		append_member(&json, "argument", option->argument);
		append_member(&json, "key", option->key);
		append_member(&json, "type",
					  option->type != NULL ? option->type : kind_types[option->kind]);
		append_member(&json, "default", option->initial);
		append_member(&json, "least", option->least);
		append_member(&json, "most", option->most);
		append_member(&json, "below", option->below);
		append_member(&json, "hint", option->hint);
		append_member(&json, "help", option->help);
		append_member(&json, "in_sql", option->in_sql);
		append_member(&json, "over_http", option->over_http);
		appendStringInfo(&json,
						 "\"is_limit\": %s, \"is_filter\": %s, \"not_empty\": %s, \"choices\": [",
						 option->is_limit ? "true" : "false", option->is_filter ? "true" : "false",
						 option->not_empty ? "true" : "false");
		for (int i = 0; option->choices != NULL && option->choices[i] != NULL; i++)
		{
			appendStringInfoString(&json, i > 0 ? ", " : "");
			escape_json(&json, option->choices[i]);
		}
		appendStringInfoString(&json, "], \"calls\": [");
		for (int i = 0; i < lengthof(call_names); i++)
		{
			if ((option->calls & (1u << i)) == 0)
				continue;
			appendStringInfoString(&json, separator);
			escape_json(&json, call_names[i]);
			separator = ", ";
		}
		appendStringInfoString(&json, "]}");
	}
	appendStringInfoChar(&json, ']');
	PG_RETURN_TEXT_P(cstring_to_text_with_len(json.data, json.len));
}
