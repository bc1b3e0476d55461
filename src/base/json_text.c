/*
 * json_text.c
 *		JSON as text, the same bytes as jsonb_out and escape_json make.
 *
 * Claims spend most of their time here, so a jsonb is walked as it lies in
 * memory (jsonb.h tells how), without an iterator, and strings are copied in
 * runs from one character that needs an escape to the next.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "base/json_text.h"

static void append_container(StringInfo json, const JsonbContainer *container);

/*
 * The letter that stands behind the backslash in the short escape of a
 * character, or 0 if it has none.
 */
static char
short_escape(char c)
{
	switch (c)
	{
		case '"':
		case '\\':
			return c;
		case '\b':
			return 'b';
		case '\f':
			return 'f';
		case '\n':
			return 'n';
		case '\r':
			return 'r';
		case '\t':
			return 't';
		default:
			return 0;
	}
}

/* A word of eight bytes that are all the same. */
#define EIGHT(byte) (UINT64CONST(0x0101010101010101) * (byte))

/* Whether one of the bytes of a word is zero, or less than a number up to 128. */
#define HAS_BYTE_BELOW(word, n) ((((word) -EIGHT(n)) & ~(word) &EIGHT(0x80)) != 0)
#define HAS_ZERO_BYTE(word) HAS_BYTE_BELOW(word, 1)

/*
 * Whether none of eight bytes needs an escape.
 */
static inline bool
is_plain_word(uint64 word)
{
	return !HAS_BYTE_BELOW(word, ' ') && !HAS_ZERO_BYTE(word ^ EIGHT('"')) &&
		   !HAS_ZERO_BYTE(word ^ EIGHT('\\'));
}

/*
 * The same of the eight bytes at a place.
 */
static inline bool
are_plain(const char *bytes)
{
	uint64 word;

	memcpy(&word, bytes, sizeof(word));
	return is_plain_word(word);
}

/*
 * Whether none of some bytes needs an escape.  The last words overlap, so that no byte
 * is looked at alone.
 */
static inline bool
is_plain(const char *text, int len)
{
	if (len >= 8)
	{
		const char *last = text + len - 8;

		for (; text < last; text += 8)
		{
			if (!are_plain(text))
				return false;
		}
		return are_plain(last);
	}
	if (len >= 4)
	{
		uint32 halves[2];
		uint64 word;

		memcpy(&halves[0], text, 4);
		memcpy(&halves[1], text + len - 4, 4);
		memcpy(&word, halves, sizeof(word));
		return is_plain_word(word);
	}
	for (int i = 0; i < len; i++)
	{
		if ((unsigned char) text[i] < ' ' || text[i] == '"' || text[i] == '\\')
			return false;
	}
	return true;
}

/*
 * Append a text that needs escapes, without the quotes.
 */
static void
append_escaped(StringInfo json, const char *text, int len)
{
	const char *run = text;
	const char *end = text + len;

	for (const char *at = text; at < end; at++)
	{
		while (end - at > 8 && are_plain(at))
			at += 8;
		if (likely((unsigned char) *at >= ' ' && *at != '"' && *at != '\\'))
			continue;
		AppendBytes(json, run, at - run);
		run = at + 1;
		if (short_escape(*at) != 0)
		{
			appendStringInfoCharMacro(json, '\\');
			appendStringInfoCharMacro(json, short_escape(*at));
		}
		else
			appendStringInfo(json, "\\u%04x", (unsigned char) *at);
	}
	AppendBytes(json, run, end - run);
}

/*
 * Append a text as a JSON string.
 */
void
AppendJsonString(StringInfo json, const char *text, int len)
{
	if (likely(is_plain(text, len)))
	{
		if (unlikely(json->len + len + 2 >= json->maxlen))
			enlargeStringInfo(json, len + 2);
		json->data[json->len++] = '"';
		memcpy(json->data + json->len, text, len);
		json->len += len;
		json->data[json->len++] = '"';
		json->data[json->len] = '\0';
		return;
	}
	AppendBytes(json, "\"", 1);
	append_escaped(json, text, len);
	AppendBytes(json, "\"", 1);
}

/*
 * Append one value of a container, which lies at base + offset.
 */
static void
append_entry(StringInfo json, JEntry entry, const char *base, uint32 offset, uint32 end)
{
	if (JBE_ISSTRING(entry))
		AppendJsonString(json, base + offset, end - offset);
	else if (JBE_ISNUMERIC(entry))
		appendStringInfoString(json, DatumGetCString(DirectFunctionCall1(
										 numeric_out, PointerGetDatum(base + INTALIGN(offset)))));
	else if (JBE_ISBOOL_TRUE(entry))
		AppendBytes(json, "true", 4);
	else if (JBE_ISBOOL_FALSE(entry))
		AppendBytes(json, "false", 5);
	else if (JBE_ISNULL(entry))
		AppendBytes(json, "null", 4);
	else
		append_container(json, (const JsonbContainer *) (base + INTALIGN(offset)));
}

/*
 * Append the elements of an array, in brackets unless it only stands for the
 * scalar in it.
 */
static void
append_array(StringInfo json, const JsonbContainer *array)
{
	int count = JsonContainerSize(array);
	const char *base = (const char *) &array->children[count];
	bool scalar = JsonContainerIsScalar(array);
	uint32 offset = 0;

	if (!scalar)
		appendStringInfoCharMacro(json, '[');
	for (int i = 0; i < count; i++)
	{
		uint32 end = JsonbEntryEnd(array->children[i], offset);

		if (i > 0)
			AppendBytes(json, ", ", 2);
		append_entry(json, array->children[i], base, offset, end);
		offset = end;
	}
	if (!scalar)
		appendStringInfoCharMacro(json, ']');
}

/*
 * Append an object: its keys come first in memory, then its values.
 */
static void
append_object(StringInfo json, const JsonbContainer *object)
{
	int count = JsonContainerSize(object);
	const JEntry *values = object->children + count;
	const char *base = (const char *) &object->children[2 * count];
	uint32 key_offset = 0;
	uint32 offset = getJsonbOffset(object, count);

	appendStringInfoCharMacro(json, '{');
	for (int i = 0; i < count; i++)
	{
		uint32 key_end = JsonbEntryEnd(object->children[i], key_offset);
		uint32 end = JsonbEntryEnd(values[i], offset);

		if (i > 0)
			AppendBytes(json, ", ", 2);
		AppendJsonString(json, base + key_offset, key_end - key_offset);
		AppendBytes(json, ": ", 2);
		append_entry(json, values[i], base, offset, end);
		key_offset = key_end;
		offset = end;
	}
	appendStringInfoCharMacro(json, '}');
}

/*
 * Append an array or an object, however deep.
 */
static void
append_container(StringInfo json, const JsonbContainer *container)
{
	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	if (JsonContainerIsObject(container))
		append_object(json, container);
	else
		append_array(json, container);
}

/*
 * Append a jsonb as text.
 */
void
AppendJsonb(StringInfo json, const Jsonb *value)
{
	append_container(json, &value->root);
}

/*
 * How many levels of nesting a container has; those beyond most are not counted.
 */
static int
count_levels(const JsonbContainer *container, int most)
{
	int count = JsonContainerSize(container);
	int entries = JsonContainerIsObject(container) ? 2 * count : count;
	const char *base = (const char *) &container->children[entries];
	uint32 offset = 0;
	int below = 0;

	if (most == 0)
		return 0;
	for (int i = 0; i < entries && below < most; i++)
	{
		JEntry entry = container->children[i];

		/* Max may evaluate an argument twice, which would double the work at each level. */
		if (JBE_ISCONTAINER(entry))
		{
			int levels =
				1 + count_levels((const JsonbContainer *) (base + INTALIGN(offset)), most - 1);

			below = Max(below, levels);
		}
		offset = JsonbEntryEnd(entry, offset);
	}
	return Max(below, 1);
}

/*
 * How many levels of nesting a jsonb has: none, if it is a scalar.  If there are more than
 * MAX_JSON_LEVELS, it does not say how many.
 */
int
JsonbLevels(const Jsonb *value)
{
	return JB_ROOT_IS_SCALAR(value) ? 0 : count_levels(&value->root, MAX_JSON_LEVELS + 1);
}

/*
 * Raise statement_too_complex for a jsonb that AppendJsonb may have no stack for.
 */
void
CheckJsonbDepth(const Jsonb *value)
{
	if (JsonbLevels(value) > MAX_JSON_LEVELS)
		ereport(ERROR, (errcode(ERRCODE_STATEMENT_TOO_COMPLEX),
						errmsg("JSON is nested deeper than %d levels", MAX_JSON_LEVELS)));
}
