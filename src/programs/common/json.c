/*
 * json.c
 *		JSON as RFC 8259 has it, and text that is safe to store.
 *
 * These programs do not take JSON apart: they only have to know whether an answer
 * is JSON, to find a member in one, and to write strings.  What is JSON is kept and
 * sent on byte by byte as it came.  So what reads it must take all that jsonb takes,
 * numbers of any size among it, and leave to the database what that refuses, such as
 * \u0000; and it must not build anything, since a payload can have 100 MB.  yajl does
 * that: it tells what it reads as it goes, and numbers as they are written.
 */
#include "common/json.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <yajl/yajl_parse.h>

/* Deeper nesting is refused: far more than an answer needs, far less than harms. */
#define MAX_DEPTH 512

/* What is looked for while a text is read, and what was found. */
typedef struct Reader
{
	int depth;
	int members;     /* of the outermost object, so far */
	const char *key; /* of the member that is looked for */
	bool is_number;  /* that is a number, of any object; else a string of the outermost */
	bool is_next;    /* its value comes next, if it is one */
	bool found;
	Buffer *value; /* where what is found goes, NULL if nowhere */
} Reader;

/* Before memory of yajl's. */
typedef union Size
{
	size_t size;
	max_align_t alignment;
} Size;

/*
 * The length of the UTF-8 character at the start of some bytes; 0 if there is
 * none: cut off, too long an encoding, a surrogate, or past U+10FFFF.
 */
static size_t
utf8_length(const char *text, size_t len)
{
	const unsigned char *c = (const unsigned char *) text;
	size_t need;
	unsigned char low = 0x80, high = 0xBF; /* bounds of the second byte */

	if (len == 0)
		return 0;
	if (c[0] < 0x80)
		return 1;
	if (c[0] < 0xC2 || c[0] > 0xF4)
		return 0;
	need = c[0] < 0xE0 ? 2 : c[0] < 0xF0 ? 3 : 4;
	if (c[0] == 0xE0)
		low = 0xA0;
	else if (c[0] == 0xED)
		high = 0x9F;
	else if (c[0] == 0xF0)
		low = 0x90;
	else if (c[0] == 0xF4)
		high = 0x8F;
	if (len < need || c[1] < low || c[1] > high)
		return 0;
	for (size_t i = 2; i < need; i++)
	{
		if ((c[i] & 0xC0) != 0x80)
			return 0;
	}
	return need;
}

/*
 * Memory for yajl.  In it may be what was sealed elsewhere, so it is overwritten when
 * it is given back.
 */
static void *
allocate(void *context, size_t size)
{
	Size *memory = Allocate(sizeof(Size) + size);

	(void) context;
	memory->size = size;
	return memory + 1;
}

static void
release(void *context, void *pointer)
{
	Size *memory = pointer;

	(void) context;
	if (pointer == NULL)
		return;
	memory--;
	OPENSSL_cleanse(pointer, memory->size);
	free(memory);
}

static void *
reallocate(void *context, void *pointer, size_t size)
{
	void *larger = allocate(context, size);
	size_t had = pointer != NULL ? ((Size *) pointer - 1)->size : 0;

	if (had > 0)
		memcpy(larger, pointer, had < size ? had : size);
	release(context, pointer);
	return larger;
}

/*
 * Append what a string says.  yajl makes of half a surrogate pair what may be no UTF-8.
 */
static void
append_string(Buffer *buffer, const unsigned char *text, size_t len)
{
	if (IsUtf8((const char *) text, len))
		BufferAppend(buffer, text, len);
	else
		AppendCleanText(buffer, (const char *) text, len, SIZE_MAX);
}

/*
 * An array or an object begins.  Like the other functions that yajl calls this returns
 * 0 to end the reading.
 */
static int
begin_nesting(void *context)
{
	Reader *reader = context;

	reader->is_next = false;
	return ++reader->depth <= MAX_DEPTH;
}

/*
 * One ends.
 */
static int
end_nesting(void *context)
{
	((Reader *) context)->depth--;
	return 1;
}

/*
 * A key: is it the one that is looked for?
 */
static int
take_key(void *context, const unsigned char *text, size_t len)
{
	Reader *reader = context;

	reader->members += reader->depth == 1;
	reader->is_next = !reader->found && (reader->depth == 1 || reader->is_number) &&
					  strlen(reader->key) == len && memcmp(reader->key, text, len) == 0;
	return 1;
}

/*
 * A string: is it the value that is looked for?
 */
static int
take_string(void *context, const unsigned char *text, size_t len)
{
	Reader *reader = context;

	if (reader->is_next && !reader->is_number)
	{
		reader->found = true;
		if (reader->value != NULL)
			append_string(reader->value, text, len);
	}
	reader->is_next = false;
	return 1;
}

/*
 * The same for a number.
 */
static int
take_number(void *context, const char *text, size_t len)
{
	Reader *reader = context;

	if (reader->is_next && reader->is_number)
	{
		reader->found = true;
		BufferAppend(reader->value, text, len);
	}
	reader->is_next = false;
	return 1;
}

/*
 * A key: is it the first of the outermost object?
 */
static int
take_first_key(void *context, const unsigned char *text, size_t len)
{
	Reader *reader = context;

	if (reader->depth == 1 && reader->members++ == 0)
		append_string(reader->value, text, len);
	return 1;
}

/*
 * A string: is it all there is?
 */
static int
take_only_string(void *context, const unsigned char *text, size_t len)
{
	Reader *reader = context;

	if (reader->depth == 0)
		append_string(reader->value, text, len);
	return 1;
}

/*
 * Is there nothing that yajl takes and JSON does not have: wrong UTF-8, about which
 * it is laxer than we are, and two more blanks?
 */
static bool
is_clean(const char *text, size_t len)
{
	return len > 0 && IsUtf8(text, len) && memchr(text, '\v', len) == NULL &&
		   memchr(text, '\f', len) == NULL;
}

/*
 * Read a text, and call these functions of yajl's, each with the context.  False if it is
 * not exactly one JSON value, in valid UTF-8, or if one of the functions returns 0.
 * Numbers come as they are written; half a surrogate pair may come as what is no UTF-8.
 * What yajl keeps meanwhile is overwritten.
 */
bool
JsonParse(const char *text, size_t len, const yajl_callbacks *callbacks, void *context)
{
	yajl_alloc_funcs memory = {allocate, reallocate, release, NULL};
	yajl_handle handle;
	bool good;

	if (!is_clean(text, len))
		return false;
	handle = yajl_alloc(callbacks, &memory, context);
	/* The line feed is an error in a string that is not finished, which yajl overlooks
	 * behind a value. */
	yajl_config(handle, yajl_dont_validate_strings, 1);
	good = yajl_parse(handle, (const unsigned char *) text, len) == yajl_status_ok &&
		   yajl_parse(handle, (const unsigned char *) "\n", 1) == yajl_status_ok &&
		   yajl_complete_parse(handle) == yajl_status_ok;
	yajl_free(handle);
	return good;
}

/*
 * The code unit that an escape at the start of some bytes stands for; -1 if there is none.
 */
static int
escaped_unit(const char *text, size_t len)
{
	int unit = 0;

	if (len < 6 || text[0] != '\\' || text[1] != 'u')
		return -1;
	for (size_t i = 2; i < 6; i++)
	{
		static const char digits[] = "0123456789abcdef0123456789ABCDEF";
		const char *digit = text[i] != '\0' ? strchr(digits, text[i]) : NULL;

		if (digit == NULL)
			return -1;
		unit = unit << 4 | (int) ((digit - digits) & 0xF);
	}
	return unit;
}

/*
 * Does an escape in a JSON text stand for half a surrogate pair?  yajl makes of a high half, and
 * of what follows it, another character.
 */
bool
JsonHasHalfPair(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		int unit = escaped_unit(text + i, len - i);

		if (unit >= 0xD800 && unit <= 0xDBFF)
		{
			i += 6;
			unit = escaped_unit(text + i, len - i);
			if (unit < 0xDC00 || unit > 0xDFFF)
				return true;
			i += 5;
		}
		else if (unit >= 0xDC00 && unit <= 0xDFFF)
			return true;
		else if (text[i] == '\\')
			i++; /* what is escaped begins no escape */
	}
	return false;
}

/*
 * Is this exactly one JSON value, in valid UTF-8?
 */
bool
JsonIsValid(const char *text, size_t len)
{
	static const yajl_callbacks callbacks = {.yajl_start_map = begin_nesting,
											 .yajl_end_map = end_nesting,
											 .yajl_start_array = begin_nesting,
											 .yajl_end_array = end_nesting};
	Reader reader = {0};

	return JsonParse(text, len, &callbacks, &reader);
}

/*
 * Look for a member.  False if the text is no JSON, or has none such.
 */
static bool
find_member(const char *text, size_t len, Reader *reader)
{
	static const yajl_callbacks callbacks = {.yajl_start_map = begin_nesting,
											 .yajl_map_key = take_key,
											 .yajl_end_map = end_nesting,
											 .yajl_start_array = begin_nesting,
											 .yajl_end_array = end_nesting,
											 .yajl_string = take_string,
											 .yajl_number = take_number};

	return JsonParse(text, len, &callbacks, reader) && reader->found;
}

/*
 * Append the string that an object has under a key, the first if there are several.
 * False if the text is no object, or has no string there.
 */
bool
JsonGetString(const char *text, size_t len, const char *key, Buffer *value)
{
	Buffer string = {0};
	Reader reader = {.key = key, .value = &string};
	bool found = find_member(text, len, &reader);

	if (found)
		BufferAppend(value, string.data, string.len);
	BufferFree(&string);
	return found;
}

/*
 * The number that any object in a text has under a key, the first if there are several,
 * without its fraction.  0 if there is none.
 */
int64_t
JsonGetNumber(const char *text, size_t len, const char *key)
{
	Buffer number = {0};
	Reader reader = {.key = key, .is_number = true, .value = &number};
	int64_t value = find_member(text, len, &reader) ? strtoll(number.data, NULL, 10) : 0;

	BufferFree(&number);
	return value;
}

/*
 * Is a text an object with this member, which is a string, and no other?
 */
bool
JsonIsOnlyString(const char *text, size_t len, const char *key)
{
	Reader reader = {.key = key};

	return find_member(text, len, &reader) && reader.members == 1;
}

/*
 * Is this JSON?  Puts the tag of the value, which is externally tagged, into a
 * buffer: a string is its own tag, an object's is its first key, others have none.
 */
bool
JsonReadTag(const char *text, size_t len, Buffer *tag)
{
	static const yajl_callbacks callbacks = {.yajl_start_map = begin_nesting,
											 .yajl_map_key = take_first_key,
											 .yajl_end_map = end_nesting,
											 .yajl_start_array = begin_nesting,
											 .yajl_end_array = end_nesting,
											 .yajl_string = take_only_string};
	Reader reader = {.value = tag};

	BufferClear(tag);
	if (JsonParse(text, len, &callbacks, &reader))
		return true;
	BufferClear(tag);
	return false;
}

/*
 * Append a text as a JSON string.  What is not valid UTF-8 or is a control
 * character is cleaned first.
 */
void
JsonAppendString(Buffer *buffer, const char *text, size_t len)
{
	Buffer clean = {0};

	AppendCleanText(&clean, text, len, SIZE_MAX);
	BufferAppendChar(buffer, '"');
	for (size_t i = 0; i < clean.len; i++)
	{
		if (clean.data[i] == '"' || clean.data[i] == '\\')
			BufferAppendChar(buffer, '\\');
		BufferAppendChar(buffer, clean.data[i]);
	}
	BufferAppendChar(buffer, '"');
	BufferFree(&clean);
}

/*
 * Append a text as a JSON string that means exactly this text, which must be
 * UTF-8.
 */
void
JsonAppendExactString(Buffer *buffer, const char *text)
{
	BufferAppendChar(buffer, '"');
	for (; *text != '\0'; text++)
	{
		if ((unsigned char) *text < ' ')
		{
			BufferPrint(buffer, "\\u%04x", (unsigned char) *text);
			continue;
		}
		if (*text == '"' || *text == '\\')
			BufferAppendChar(buffer, '\\');
		BufferAppendChar(buffer, *text);
	}
	BufferAppendChar(buffer, '"');
}

/*
 * Is this UTF-8?
 */
bool
IsUtf8(const char *text, size_t len)
{
	for (size_t i = 0, size; i < len; i += size)
	{
		size = utf8_length(text + i, len - i);
		if (size == 0)
			return false;
	}
	return true;
}

/*
 * Append a text, cut at a number of bytes, with a question mark for each byte
 * that is not UTF-8 and a blank for each control character.
 */
void
AppendCleanText(Buffer *buffer, const char *text, size_t len, size_t most)
{
	size_t room = most;

	for (size_t i = 0; i < len;)
	{
		size_t size = utf8_length(text + i, len - i);

		if ((size > 0 ? size : 1) > room)
			break;
		if (size == 0)
			BufferAppendChar(buffer, '?');
		else if ((unsigned char) text[i] < ' ' || text[i] == '\177')
			BufferAppendChar(buffer, ' ');
		else
			BufferAppend(buffer, text + i, size);
		room -= size > 0 ? size : 1;
		i += size > 0 ? size : 1;
	}
}
