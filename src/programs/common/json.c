/*
 * json.c
 *		JSON as RFC 8259 has it, and text that is safe to store.
 *
 * These programs do not take JSON apart: they only have to know whether an answer
 * is JSON, to find the text of an error in one, and to write strings.
 */
#include "common/json.h"

#include <stdint.h>
#include <string.h>

/* Deeper nesting is refused: far more than an answer needs, far less than harms. */
#define MAX_DEPTH 512

/* What is left to read. */
typedef struct Reader
{
	const char *at;
	const char *end;
} Reader;

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
 * Append a character as UTF-8.
 */
static void
append_utf8(Buffer *buffer, uint32_t c)
{
	if (c < 0x80)
		BufferAppendChar(buffer, (char) c);
	else if (c < 0x800)
	{
		BufferAppendChar(buffer, (char) (0xC0 | c >> 6));
		BufferAppendChar(buffer, (char) (0x80 | (c & 0x3F)));
	}
	else if (c < 0x10000)
	{
		BufferAppendChar(buffer, (char) (0xE0 | c >> 12));
		BufferAppendChar(buffer, (char) (0x80 | (c >> 6 & 0x3F)));
		BufferAppendChar(buffer, (char) (0x80 | (c & 0x3F)));
	}
	else
	{
		BufferAppendChar(buffer, (char) (0xF0 | c >> 18));
		BufferAppendChar(buffer, (char) (0x80 | (c >> 12 & 0x3F)));
		BufferAppendChar(buffer, (char) (0x80 | (c >> 6 & 0x3F)));
		BufferAppendChar(buffer, (char) (0x80 | (c & 0x3F)));
	}
}

/*
 * Skip white space.
 */
static void
skip_blanks(Reader *in)
{
	while (in->at < in->end &&
		   (*in->at == ' ' || *in->at == '\t' || *in->at == '\n' || *in->at == '\r'))
		in->at++;
}

/*
 * Read one given character.
 */
static bool
read_char(Reader *in, char c)
{
	if (in->at == in->end || *in->at != c)
		return false;
	in->at++;
	return true;
}

/*
 * Read at least one digit.
 */
static bool
read_digits(Reader *in)
{
	const char *start = in->at;

	while (in->at < in->end && *in->at >= '0' && *in->at <= '9')
		in->at++;
	return in->at > start;
}

/*
 * Read a number.
 */
static bool
read_number(Reader *in)
{
	read_char(in, '-');
	if (!read_char(in, '0') && !read_digits(in))
		return false;
	if (read_char(in, '.') && !read_digits(in))
		return false;
	if (read_char(in, 'e') || read_char(in, 'E'))
	{
		if (!read_char(in, '+'))
			read_char(in, '-');
		return read_digits(in);
	}
	return true;
}

/*
 * Read the four digits of \uXXXX.
 */
static bool
read_hex4(Reader *in, uint32_t *value)
{
	*value = 0;
	if (in->end - in->at < 4)
		return false;
	for (int i = 0; i < 4; i++)
	{
		char c = *in->at++;

		if (c >= '0' && c <= '9')
			*value = *value << 4 | (uint32_t) (c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			*value = *value << 4 | (uint32_t) ((c | 0x20) - 'a' + 10);
		else
			return false;
	}
	return true;
}

/*
 * Read what follows a backslash, and append the character it stands for.  Half
 * a surrogate pair is valid JSON; it is read as U+FFFD.
 */
static bool
read_escape(Reader *in, Buffer *value)
{
	static const char from[] = "\"\\/bfnrt";
	static const char to[] = "\"\\/\b\f\n\r\t";
	const char *known;
	uint32_t c, low;

	if (in->at == in->end)
		return false;
	if (!read_char(in, 'u'))
	{
		known = memchr(from, *in->at++, sizeof(from) - 1);
		if (known != NULL && value != NULL)
			BufferAppendChar(value, to[known - from]);
		return known != NULL;
	}
	if (!read_hex4(in, &c))
		return false;
	if (c >= 0xD800 && c <= 0xDFFF)
	{
		Reader pair = {in->at, in->end};

		if (c <= 0xDBFF && read_char(&pair, '\\') && read_char(&pair, 'u') &&
			read_hex4(&pair, &low) && low >= 0xDC00 && low <= 0xDFFF)
		{
			c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
			*in = pair;
		}
		else
			c = 0xFFFD;
	}
	if (value != NULL)
		append_utf8(value, c);
	return true;
}

/*
 * Read a string, and append what it says to value, unless that is NULL.
 */
static bool
read_string(Reader *in, Buffer *value)
{
	if (!read_char(in, '"'))
		return false;
	while (in->at < in->end)
	{
		const char *start = in->at;
		size_t len;

		while (in->at < in->end && (unsigned char) *in->at >= ' ' &&
			   (unsigned char) *in->at < 0x80 && *in->at != '"' && *in->at != '\\')
			in->at++;
		if (value != NULL)
			BufferAppend(value, start, in->at - start);
		if (read_char(in, '"'))
			return true;
		if (read_char(in, '\\'))
		{
			if (!read_escape(in, value))
				return false;
			continue;
		}
		if (in->at == in->end || (unsigned char) *in->at < ' ')
			return false;
		len = utf8_length(in->at, in->end - in->at);
		if (len == 0)
			return false;
		if (value != NULL)
			BufferAppend(value, in->at, len);
		in->at += len;
	}
	return false;
}

/*
 * Read one of the three words.
 */
static bool
read_word(Reader *in, const char *word)
{
	size_t len = strlen(word);

	if ((size_t) (in->end - in->at) < len || memcmp(in->at, word, len) != 0)
		return false;
	in->at += len;
	return true;
}

/*
 * Read a value that is neither an array nor an object.
 */
static bool
read_scalar(Reader *in)
{
	if (in->at == in->end)
		return false;
	switch (*in->at)
	{
		case '"':
			return read_string(in, NULL);
		case 't':
			return read_word(in, "true");
		case 'f':
			return read_word(in, "false");
		case 'n':
			return read_word(in, "null");
		default:
			return read_number(in);
	}
}

/*
 * Read a key and its colon.
 */
static bool
read_key(Reader *in, Buffer *key)
{
	skip_blanks(in);
	if (!read_string(in, key))
		return false;
	skip_blanks(in);
	return read_char(in, ':');
}

/*
 * Read any value, and the blanks around it.  Keeps its own stack: the input
 * must not decide how deep ours goes.
 */
static bool
read_value(Reader *in)
{
	char closing[MAX_DEPTH];
	int depth = 0;

	for (;;)
	{
		char open;

		/* A value begins here. */
		skip_blanks(in);
		open = in->at < in->end ? *in->at : '\0';
		if (open == '[' || open == '{')
		{
			in->at++;
			if (depth == MAX_DEPTH)
				return false;
			closing[depth++] = open == '[' ? ']' : '}';
			skip_blanks(in);
			if (in->at == in->end || *in->at != closing[depth - 1])
			{
				if (open == '{' && !read_key(in, NULL))
					return false;
				continue;
			}
		}
		else if (!read_scalar(in))
			return false;

		/* A value has ended, or an empty array or object is about to. */
		skip_blanks(in);
		while (depth > 0 && read_char(in, closing[depth - 1]))
		{
			depth--;
			skip_blanks(in);
		}
		if (depth == 0)
			return true;
		if (!read_char(in, ','))
			return false;
		if (closing[depth - 1] == '}' && !read_key(in, NULL))
			return false;
	}
}

/*
 * Is this exactly one JSON value, in valid UTF-8?
 */
bool
JsonIsValid(const char *text, size_t len)
{
	Reader in = {text, text + len};

	return read_value(&in) && in.at == in.end;
}

/*
 * Append the string that an object has under a key.  False if the text is no
 * object, or has no string there.
 */
bool
JsonGetString(const char *text, size_t len, const char *key, Buffer *value)
{
	Reader in = {text, text + len};
	Buffer name = {0};
	bool found = false;

	if (!JsonIsValid(text, len))
		return false;
	skip_blanks(&in);
	if (!read_char(&in, '{'))
		return false;
	while (!found && read_key(&in, &name))
	{
		skip_blanks(&in);
		if (strcmp(BufferText(&name), key) == 0 && in.at < in.end && *in.at == '"')
			found = read_string(&in, value);
		else if (!read_value(&in) || !read_char(&in, ','))
			break;
		BufferClear(&name);
	}
	BufferFree(&name);
	return found;
}

/*
 * Is a text an object with this member, which is a string, and no other?
 */
bool
JsonIsOnlyString(const char *text, size_t len, const char *key)
{
	Reader in = {text, text + len};
	Buffer name = {0};
	bool good;

	skip_blanks(&in);
	good = read_char(&in, '{') && read_key(&in, &name) && strcmp(BufferText(&name), key) == 0;
	BufferFree(&name);
	if (!good)
		return false;
	skip_blanks(&in);
	if (!read_string(&in, NULL))
		return false;
	skip_blanks(&in);
	if (!read_char(&in, '}'))
		return false;
	skip_blanks(&in);
	return in.at == in.end;
}

/*
 * Append the tag of a value that is externally tagged: a string is its own tag,
 * an object's is its first key.  False if the text, which must be valid, is
 * neither.
 */
bool
JsonGetTag(const char *text, size_t len, Buffer *tag)
{
	Reader in = {text, text + len};

	skip_blanks(&in);
	if (in.at < in.end && *in.at == '"')
		return read_string(&in, tag);
	return read_char(&in, '{') && read_key(&in, tag);
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
