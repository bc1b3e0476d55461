/*
 * body.c
 *		Parameters in the body of a request.
 *
 * The gateway's SDKs send what they ask about a chain as a JSON object.  Its members are
 * parameters like those of a query string: strings, not encoded, or numbers.  A null is the
 * same as a parameter that is not there.  No member may stand there twice, of which other readers
 * take the last.
 */
#include "http/body.h"

#include <stdlib.h>
#include <string.h>

#include "common/json.h"

/* An object that is being read. */
typedef struct Reader
{
	Parameters *parameters;
	CallSet takes;
	bool is_open; /* the object has begun */
	char *name;   /* of the member whose value comes next */
	char *wrong;
} Reader;

/*
 * Something is wrong, which is kept.  Like the other functions that yajl calls this returns
 * 0 to end the reading.
 */
static int
refuse(Reader *reader, char *wrong)
{
	if (reader->wrong == NULL)
		reader->wrong = wrong;
	else
		free(wrong);
	return 0;
}

/*
 * A value that no parameter has.
 */
static int
refuse_value(Reader *reader)
{
	return refuse(reader, reader->name != NULL
							  ? Format("%s: expected a string or a number", reader->name)
							  : DuplicateText("the body is not a JSON object"));
}

/*
 * The object begins, or another one in it.
 */
static int
begin_object(void *context)
{
	Reader *reader = context;

	if (reader->is_open)
		return refuse_value(reader);
	reader->is_open = true;
	return 1;
}

static int
begin_array(void *context)
{
	return refuse_value(context);
}

/*
 * A text without zero bytes in valid UTF-8; NULL: it is none.
 */
static char *
keep_text(const void *text, size_t len)
{
	return IsUtf8(text, len) && memchr(text, '\0', len) == NULL ? Duplicate(text, len) : NULL;
}

static int
take_name(void *context, const unsigned char *text, size_t len)
{
	Reader *reader = context;

	free(reader->name);
	reader->name = keep_text(text, len);
	return reader->name != NULL || refuse(reader, DuplicateText("the body is not text in UTF-8"));
}

/*
 * A value, which is kept; NULL is no text in UTF-8.
 */
static int
take_value(Reader *reader, char *value, bool is_number)
{
	char *name = reader->name;
	char *wrong;

	if (name == NULL)
	{
		free(value);
		return refuse_value(reader);
	}
	reader->name = NULL;
	wrong = ParametersTake(reader->parameters, name, value, is_number, reader->takes);
	return wrong == NULL || refuse(reader, wrong);
}

static int
take_string(void *context, const unsigned char *text, size_t len)
{
	return take_value(context, keep_text(text, len), false);
}

static int
take_number(void *context, const char *text, size_t len)
{
	return take_value(context, Duplicate(text, len), true);
}

static int
take_boolean(void *context, int value)
{
	(void) value;
	return refuse_value(context);
}

static int
take_null(void *context)
{
	Reader *reader = context;
	char *name = reader->name;
	char *wrong;

	if (name == NULL)
		return refuse_value(reader);
	reader->name = NULL;
	wrong = ParametersTakeNull(reader->parameters, name, reader->takes);
	return wrong == NULL || refuse(reader, wrong);
}

/*
 * Read a body, of which an empty one has no parameters: those that the call takes.  Returns
 * NULL, or what is wrong, for the caller to free.
 */
char *
BodyRead(Parameters *parameters, const Buffer *body, CallSet takes)
{
	static const yajl_callbacks callbacks = {.yajl_null = take_null,
											 .yajl_boolean = take_boolean,
											 .yajl_number = take_number,
											 .yajl_string = take_string,
											 .yajl_start_map = begin_object,
											 .yajl_map_key = take_name,
											 .yajl_start_array = begin_array};
	Reader reader = {.parameters = parameters, .takes = takes};
	const char *text = BufferText(body);

	if (strspn(text, " \t\r\n") == body->len)
		return NULL;
	if (JsonHasHalfPair(text, body->len))
		return DuplicateText("the body has half a surrogate pair");
	if (!JsonParse(text, body->len, &callbacks, &reader))
		(void) refuse(&reader, DuplicateText("the body is not a JSON object"));
	free(reader.name);
	return reader.wrong;
}
