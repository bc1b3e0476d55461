/*
 * problem.c
 *		Answers that are errors.
 *
 * "error" is the gateway's member and has its wording; "type", "title" and "detail" are those of
 * RFC 9457.  The media type stays that of the gateway, because its SDKs know no other.
 */
#include "http/problem.h"

#include <stdlib.h>
#include <string.h>

#include "common/json.h"

#define TYPE "urn:acteon-replay:error:"

/*
 * Append a member of the error; text may be anything, NULL is none.
 */
static void
append_member(Buffer *json, const char *name, const char *text)
{
	if (text == NULL || *text == '\0')
		return;
	BufferPrint(json, "%s\"%s\": ", json->len > 1 ? ", " : "", name);
	JsonAppendString(json, text, strlen(text));
}

/*
 * What an argument of the SQL functions is called over HTTP, NULL if it is not known: the
 * name ends with the text, which is len bytes long.  *name_len gets its length.
 */
static const char *
parameter_of(const char *text, size_t len, size_t *name_len)
{
	*name_len = 0;
	while (*name_len < len &&
		   strchr("abcdefghijklmnopqrstuvwxyz_0123456789", text[len - *name_len - 1]) != NULL)
		++*name_len;
	for (int id = 0; id<NUM_OPTIONS && * name_len> 0; id++)
	{
		const ReplayOption *option = &ReplayOptions[id];

		if ((option->calls & CALLS_HTTP) != 0 && option->argument != NULL && option->key != NULL &&
			strlen(option->argument) == *name_len &&
			memcmp(option->argument, text + len - *name_len, *name_len) == 0)
			return option->key;
	}
	return NULL;
}

/*
 * Write arguments in a hint of the database, as in "lost => true", as parameters: "lost=true".
 */
static void
write_parameters(Buffer *written, const char *hint)
{
	const char *arrow;

	while ((arrow = strstr(hint, " => ")) != NULL)
	{
		size_t len = (size_t) (arrow - hint), name_len;
		const char *key = parameter_of(hint, len, &name_len);

		if (key != NULL)
		{
			BufferAppend(written, hint, len - name_len);
			BufferPrint(written, "%s=", key);
		}
		else
			BufferAppend(written, hint, len + 4);
		hint = arrow + 4;
	}
	BufferAppendText(written, hint);
}

/*
 * The answer is an error, and nothing of one that there was before.  Detail and hint are
 * the database's, or NULL.
 */
void
AnswerProblem(Request *request, ErrorCode code, const char *text, const char *detail,
			  const char *hint)
{
	Answer *answer = &request->answer;
	const Fault *fault = &faults[code];
	char *type = Format(TYPE "%s", fault->code);
	Buffer written = {0};

	free(answer->batch_id);
	free(answer->next_cursor);
	free(answer->next_page);
	answer->batch_id = answer->next_cursor = answer->next_page = NULL;
	answer->media_type = NULL;
	answer->status = fault->status;
	answer->retry_after = fault->retry_after;
	answer->code = fault->code;
	if (fault->hint != NULL)
		BufferAppendText(&written, fault->hint);
	else if (hint != NULL)
		write_parameters(&written, hint);
	BufferClear(&answer->body);
	BufferAppendChar(&answer->body, '{');
	append_member(&answer->body, "error", text);
	append_member(&answer->body, "code", fault->code);
	append_member(&answer->body, "type", type);
	append_member(&answer->body, "title", fault->title);
	append_member(&answer->body, "detail", detail);
	append_member(&answer->body, "hint", BufferText(&written));
	append_member(&answer->body, "request_id", request->id);
	BufferAppendChar(&answer->body, '}');
	BufferFree(&written);
	free(type);
}

/*
 * The answer is an error whose text is always the same.
 */
void
AnswerCode(Request *request, ErrorCode code)
{
	AnswerProblem(request, code, faults[code].text, NULL, NULL);
}
