/*
 * jsonb_places.c
 *		Places in jsonb values that a path selects, to be given another value.
 *
 * The server evaluates an SQL/JSON path to values and does not tell where they are.  So a
 * path is read into steps here, from the text that the server writes of it, and a value is
 * walked by them: at each place there is a set of steps that may come next, as in an
 * automaton.  Paths have keys (.key, .*), elements ([*], [2], [last - 1], [0 to 3]), all
 * levels (.**), and filters, which the server evaluates, for each place by itself.  They
 * select what the server's functions select: in the lax mode, keys and filters are also
 * applied to the elements of an array, one level deep, and elements to what is no array;
 * in the strict mode they are not.  Errors in the evaluation select nothing.
 *
 * A value is written straight in its binary form (jsonb_parts.c); what no step leads into
 * is copied as it is.  Of two places that lie in each other, the outer one is set.
 */
#include "postgres.h"

#include "common/string.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonpath.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "base/json_text.h"
#include "base/jsonb_parts.h"
#include "base/jsonb_places.h"
#include "base/message.h"

/* Steps of a path; a set of them is a word. */
#define MAX_STEPS 31

typedef enum StepKind
{
	STEP_KEY,         /* .key */
	STEP_ANY_KEY,     /* .* */
	STEP_ELEMENTS,    /* [2], [last], [0 to 3, 7] */
	STEP_ANY_ELEMENT, /* [*] */
	STEP_ANY_LEVEL,   /* .** */
	STEP_FILTER       /* ?(...) */
} StepKind;

/* A number of an element. */
typedef struct Bound
{
	bool from_last; /* so many before the last one */
	int number;
} Bound;

/* Numbers of elements, both ends inclusive. */
typedef struct Range
{
	Bound first;
	Bound last;
} Range;

typedef struct Step
{
	StepKind kind;
	char *key; /* of STEP_KEY */
	uint32 key_len;
	Range *ranges; /* of STEP_ELEMENTS */
	int range_count;
	Datum filter; /* of STEP_FILTER: a path that finds something if the filter holds */
} Step;

struct JsonbPlaces
{
	bool is_strict;
	int count;
	Step steps[MAX_STEPS];
	Datum variables; /* of filters: an object without members */
};

/* A path that is being read. */
typedef struct PathReader
{
	const char *name; /* by which the caller knows it */
	const char *at;   /* what is left of it, as the server writes it */
	JsonbPlaces *places;
} PathReader;

/*
 * The steps that may come next at a place.  Those that came into an array by themselves,
 * for its elements, do not do so again.
 */
typedef struct StepSet
{
	uint32 plain;
	uint32 unwrapped;
} StepSet;

/* A value that is being set at places. */
typedef struct Setter
{
	const JsonbPlaces *places;
	JsonbPart value;
	int levels; /* of that */
	StringInfoData out;
	Size most; /* bytes of it */
	bool failed;
	MemoryContext scratch; /* of filters; NULL until there is one to be evaluated */
} Setter;

#define STEP_BIT(i) ((uint32) 1 << (i))

PG_FUNCTION_INFO_V1(acteon_set_places);

/* ----------------------------------------------------------------
 * Reading paths
 * ----------------------------------------------------------------
 */

/*
 * Raise the error of a path that has more than places.
 */
ACTEON_NORETURN static void
report_unsupported(const PathReader *reader)
{
	ereport(
		ERROR,
		(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		 errmsg("%s has a step that does not lead to places: %s", reader->name,
				ClipForMessage(reader->at, strlen(reader->at))),
		 errhint(
			 "It begins with $ and can have keys (.key, .*), elements ([*], [2], [last], [0 to 3]), all levels (.**), and filters about @.")));
}

/*
 * The end of a quoted string, behind its second quote.
 */
static const char *
string_end(const char *at)
{
	for (at++; *at != '"' && *at != '\0'; at++)
	{
		if (*at == '\\' && at[1] != '\0')
			at++;
	}
	return *at == '"' ? at + 1 : at;
}

/*
 * Read a quoted key.
 */
static void
read_key(PathReader *reader, Step *step)
{
	const char *end = string_end(reader->at);
	char *quoted = pnstrdup(reader->at, end - reader->at);
	Jsonb *json = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(quoted)));
	JsonbValue value;

	if (!JsonbExtractScalar(&json->root, &value) || value.type != jbvString)
		report_unsupported(reader);
	step->kind = STEP_KEY;
	step->key = value.val.string.val;
	step->key_len = value.val.string.len;
	reader->at = end;
}

/*
 * Read the number of an element: 2, last or last - 1.
 */
static void
read_bound(PathReader *reader, Bound *bound)
{
	const char *at = reader->at;
	char *end;

	*bound = (Bound){false, 0};
	if (strncmp(at, "last", 4) == 0)
	{
		bound->from_last = true;
		at += 4;
		if (strncmp(at, " - ", 3) != 0)
		{
			reader->at = at;
			return;
		}
		at += 3;
	}
	if (*at < '0' || *at > '9')
		report_unsupported(reader);
	errno = 0;
	bound->number = strtoint(at, &end, 10);
	if (errno != 0 || (*end != ',' && *end != ']' && strncmp(end, " to ", 4) != 0))
		report_unsupported(reader);
	reader->at = end;
}

/*
 * Read the numbers of elements, up to the bracket behind them.
 */
static void
read_elements(PathReader *reader, Step *step)
{
	int room = 1;

	for (const char *at = reader->at; *at != ']' && *at != '\0'; at++)
		room += *at == ',';
	step->kind = STEP_ELEMENTS;
	step->ranges = palloc(room * sizeof(Range));
	for (;;)
	{
		Range *range = &step->ranges[step->range_count++];

		read_bound(reader, &range->first);
		range->last = range->first;
		if (strncmp(reader->at, " to ", 4) == 0)
		{
			reader->at += 4;
			read_bound(reader, &range->last);
		}
		if (*reader->at != ',' || step->range_count == room)
			break;
		reader->at++;
	}
	if (*reader->at != ']')
		report_unsupported(reader);
	reader->at++;
}

/*
 * Read a filter, from its parenthesis on.  It becomes a path of its own, which is applied
 * to what is at a place; so it cannot speak of the whole ($).
 */
static void
read_filter(PathReader *reader, Step *step)
{
	const char *at = reader->at;
	int depth = 0;
	char *text;

	do
	{
		if (*at == '$' || *at == '\0')
		{
			reader->at = at;
			report_unsupported(reader);
		}
		depth += (*at == '(') - (*at == ')');
		at = *at == '"' ? string_end(at) : at + 1;
	} while (depth > 0);
	text = psprintf("%s$?%.*s", reader->places->is_strict ? "strict " : "", (int) (at - reader->at),
					reader->at);
	step->kind = STEP_FILTER;
	step->filter = DirectFunctionCall1(jsonpath_in, CStringGetDatum(text));
	reader->at = at;
}

/*
 * Whether a text comes next, which is read then.
 */
static bool
accept(PathReader *reader, const char *text)
{
	if (strncmp(reader->at, text, strlen(text)) != 0)
		return false;
	reader->at += strlen(text);
	return true;
}

/*
 * Read the next step.
 */
static void
read_step(PathReader *reader, Step *step)
{
	const char *begin = reader->at;

	memset(step, 0, sizeof(*step));
	if (accept(reader, ".**"))
		step->kind = STEP_ANY_LEVEL;
	else if (accept(reader, ".*"))
		step->kind = STEP_ANY_KEY;
	else if (accept(reader, "[*]"))
		step->kind = STEP_ANY_ELEMENT;
	else if (strncmp(begin, ".\"", 2) == 0 && accept(reader, "."))
		read_key(reader, step);
	else if (accept(reader, "["))
		read_elements(reader, step);
	else if (strncmp(begin, "?(", 2) == 0 && accept(reader, "?"))
		read_filter(reader, step);
	else
		report_unsupported(reader);
	/* As in .**{2}, or [0].size(). */
	if (*reader->at == '{')
	{
		reader->at = begin;
		report_unsupported(reader);
	}
}

/*
 * Read the steps of a path, a jsonpath, which the caller knows by this name, in the current
 * memory context.  Raises feature_not_supported for one with anything else than steps to
 * places, and invalid_parameter_value for one without a step.
 */
JsonbPlaces *
ReadPlaces(const char *name, Datum path)
{
	PathReader reader = {.name = name};

	reader.at = DatumGetCString(DirectFunctionCall1(jsonpath_out, path));
	reader.places = palloc0(sizeof(JsonbPlaces));
	reader.places->variables = DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"));
	reader.places->is_strict = accept(&reader, "strict ");
	if (!accept(&reader, "$"))
		report_unsupported(&reader);
	if (*reader.at == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s selects the payload as a whole", name),
						errhint("Write a path to what is to be set, such as $.template_id.")));
	while (*reader.at != '\0')
	{
		if (reader.places->count == MAX_STEPS)
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							errmsg("%s has more than %d steps", name, MAX_STEPS)));
		read_step(&reader, &reader.places->steps[reader.places->count++]);
	}
	return reader.places;
}

/* ----------------------------------------------------------------
 * Setting values
 * ----------------------------------------------------------------
 */

/*
 * Make a jsonb of a part, for a filter.  An array becomes the element of another one if the
 * filter would otherwise be applied to its elements.
 */
static Jsonb *
make_jsonb(const JsonbPart *part, bool unwraps)
{
	const JsonbContainer *container = PartContainer(part);
	StringInfoData out;

	initStringInfo(&out);
	out.len = VARHDRSZ;
	if (container != NULL && !(unwraps && JsonContainerIsArray(container)))
		AppendPart(&out, part);
	else
	{
		uint32 scalar = container == NULL ? JB_FSCALAR : 0;
		JsonbFrame frame = BeginContainer(&out, 1 | JB_FARRAY | scalar, 1);
		int start = out.len;

		AppendPart(&out, part);
		EndPart(&out, &frame, part->type, 0, start);
	}
	SET_VARSIZE(out.data, out.len);
	return (Jsonb *) out.data;
}

/*
 * Whether a filter holds for a part.
 */
static bool
filter_holds(Setter *setter, const Step *step, const JsonbPart *part)
{
	LOCAL_FCINFO(fcinfo, 4);
	MemoryContext old;
	bool holds;

	if (setter->scratch == NULL)
		setter->scratch = AllocSetContextCreate(CurrentMemoryContext, "acteon_replay filter",
												ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(setter->scratch);
	InitFunctionCallInfoData(*fcinfo, NULL, 4, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = JsonbPGetDatum(make_jsonb(part, !setter->places->is_strict));
	fcinfo->args[1].value = step->filter;
	fcinfo->args[2].value = setter->places->variables;
	fcinfo->args[3].value = BoolGetDatum(true); /* silently */
	for (int i = 0; i < 4; i++)
		fcinfo->args[i].isnull = false;
	holds = DatumGetBool(jsonb_path_exists(fcinfo)) && !fcinfo->isnull;
	MemoryContextSwitchTo(old);
	MemoryContextReset(setter->scratch);
	return holds;
}

/*
 * Whether a number is among those of a step.
 */
static bool
has_element(const JsonbPlaces *places, const Step *step, int64 number, int64 count)
{
	for (int i = 0; i < step->range_count; i++)
	{
		const Bound *ends[] = {&step->ranges[i].first, &step->ranges[i].last};
		int64 at[2];

		for (int end = 0; end < 2; end++)
			at[end] = ends[end]->from_last ? count - 1 - ends[end]->number : ends[end]->number;
		/* In the strict mode, a range that leaves the array is an error. */
		if (places->is_strict && (at[0] < 0 || at[1] >= count))
			continue;
		if (number >= at[0] && number <= at[1])
			return true;
	}
	return false;
}

/*
 * Add the steps that come behind those which stay at this place.  Returns whether it is
 * selected itself.
 */
static bool
follow_here(Setter *setter, StepSet *set, const JsonbPart *part)
{
	const JsonbPlaces *places = setter->places;
	const JsonbContainer *container = PartContainer(part);
	bool is_array = container != NULL && JsonContainerIsArray(container);

	for (int i = 0; i < places->count; i++)
	{
		const Step *step = &places->steps[i];
		bool plain = (set->plain & STEP_BIT(i)) != 0;
		bool unwrapped = (set->unwrapped & STEP_BIT(i)) != 0;
		bool stays = false;

		if (!plain && !unwrapped)
			continue;
		switch (step->kind)
		{
			case STEP_KEY:
			case STEP_ANY_KEY:
				break;
			case STEP_ANY_LEVEL:
				stays = true;
				break;
			case STEP_ELEMENTS:
				stays = !places->is_strict && !is_array && has_element(places, step, 0, 1);
				break;
			case STEP_ANY_ELEMENT:
				stays = !places->is_strict && !is_array;
				break;
			case STEP_FILTER:
				stays = (unwrapped || places->is_strict || !is_array) &&
						filter_holds(setter, step, part);
				break;
		}
		if (stays)
			set->plain |= STEP_BIT(i + 1);
	}
	return (set->plain & STEP_BIT(places->count)) != 0;
}

/*
 * The steps that may come next at the value of a key.
 */
static StepSet
follow_key(const JsonbPlaces *places, const StepSet *set, const JsonbPart *key)
{
	StepSet next = {0, 0};

	for (int i = 0; i < places->count; i++)
	{
		const Step *step = &places->steps[i];

		if (((set->plain | set->unwrapped) & STEP_BIT(i)) == 0)
			continue;
		if (step->kind == STEP_ANY_KEY || (step->kind == STEP_KEY && step->key_len == key->len &&
										   memcmp(step->key, key->data, key->len) == 0))
			next.plain |= STEP_BIT(i + 1);
		else if (step->kind == STEP_ANY_LEVEL)
			next.plain |= STEP_BIT(i);
	}
	return next;
}

/*
 * The steps that may come next at the element of an array.
 */
static StepSet
follow_element(const JsonbPlaces *places, const StepSet *set, int64 number, int64 count)
{
	StepSet next = {0, 0};

	for (int i = 0; i < places->count; i++)
	{
		const Step *step = &places->steps[i];

		if (((set->plain | set->unwrapped) & STEP_BIT(i)) == 0)
			continue;
		if (step->kind == STEP_ANY_ELEMENT ||
			(step->kind == STEP_ELEMENTS && has_element(places, step, number, count)))
			next.plain |= STEP_BIT(i + 1);
		else if (step->kind == STEP_ANY_LEVEL)
			next.plain |= STEP_BIT(i);
		else if (step->kind != STEP_ELEMENTS && !places->is_strict &&
				 (set->plain & STEP_BIT(i)) != 0)
			next.unwrapped |= STEP_BIT(i);
	}
	return next;
}

static void
write_container(Setter *setter, const JsonbContainer *container, const StepSet *set, int level);

/*
 * Append a part, on a level, at which these steps may come next, with the value at the
 * places that they select.  Returns the type of what it has become.
 */
static uint32
write_part(Setter *setter, const JsonbPart *part, StepSet set, int level)
{
	const JsonbContainer *container = PartContainer(part);
	bool leads_on = (set.plain | set.unwrapped) != 0;

	if (leads_on && follow_here(setter, &set, part))
	{
		if (setter->out.len + setter->value.len > setter->most ||
			level + setter->levels > MAX_JSON_LEVELS)
			setter->failed = true;
		else
			AppendPart(&setter->out, &setter->value);
		return setter->value.type;
	}
	if (leads_on && container != NULL && level < MAX_JSON_LEVELS && !setter->failed)
		write_container(setter, container, &set, level);
	else
		AppendPart(&setter->out, part);
	return part->type;
}

/*
 * Append a container, on a level, with the value at the places in it.
 */
static void
write_container(Setter *setter, const JsonbContainer *container, const StepSet *set, int level)
{
	uint32 count = JsonContainerSize(container);
	uint32 keys = JsonContainerIsObject(container) ? count : 0;
	StringInfo out = &setter->out;
	JsonbFrame frame = BeginContainer(out, container->header, keys + count);
	JsonbReader reader, key_reader;
	JsonbPart part, key;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	BeginParts(&reader, container, 0);
	key_reader = reader;
	for (uint32 i = 0; i < keys; i++)
	{
		int start = out->len;

		ReadJsonbPart(&reader, &key);
		AppendPart(out, &key);
		EndPart(out, &frame, key.type, i, start);
	}
	for (uint32 i = 0; i < count; i++)
	{
		int start = out->len;
		StepSet next;
		uint32 type;

		ReadJsonbPart(&reader, &part);
		if (keys > 0)
		{
			ReadJsonbPart(&key_reader, &key);
			next = follow_key(setter->places, set, &key);
		}
		else
			next = follow_element(setter->places, set, i, count);
		type = write_part(setter, &part, next, level + 1);
		EndPart(out, &frame, type, keys + i, start);
	}
}

/*
 * Set a value at all places of a jsonb, but not as the whole.  Returns the result in the
 * current memory context, perhaps the target; NULL if it would be larger than so many
 * bytes, which are less than a jsonb can have, or nested deeper than JSON may be.
 */
Jsonb *
SetPlaces(Jsonb *target, const JsonbPlaces *places, const Jsonb *value, Size most)
{
	Setter setter = {.places = places, .most = most};
	StepSet set = {STEP_BIT(0), 0};
	JsonbPart whole;

	if (JB_ROOT_IS_SCALAR(target))
		return target;
	PartOfJsonb(&setter.value, value);
	setter.levels = JsonbLevels(value);
	PartOfJsonb(&whole, target);
	initStringInfo(&setter.out);
	enlargeStringInfo(&setter.out, VARSIZE(target) + VARSIZE(value));
	setter.out.len = VARHDRSZ;
	(void) follow_here(&setter, &set, &whole);
	write_container(&setter, &target->root, &set, 1);
	if (setter.scratch != NULL)
		MemoryContextDelete(setter.scratch);
	if (setter.failed)
	{
		pfree(setter.out.data);
		return NULL;
	}
	SET_VARSIZE(setter.out.data, setter.out.len);
	return (Jsonb *) setter.out.data;
}

/*
 * acteon_set_places(target jsonb, path jsonpath, value jsonb) → jsonb
 *
 * Sets a value at all places.  No script declares it: its test does.
 */
Datum
acteon_set_places(PG_FUNCTION_ARGS)
{
	JsonbPlaces *places = ReadPlaces("path", PG_GETARG_DATUM(1));
	Jsonb *result =
		SetPlaces(PG_GETARG_JSONB_P(0), places, PG_GETARG_JSONB_P(2), JENTRY_OFFLENMASK / 2);

	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(result);
}
