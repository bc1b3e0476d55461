/*
 * text.c
 *		Texts of cursors and of JSON strings in the server: what was encoded is decoded as it
 *		was, and strings are escaped as the server's own function does.
 *
 * Server: base/base64url.c base/json_text.c
 */
#include "fuzz.h"
#include "server.h"

#include "base/base64url.h"
#include "base/json_text.h"

/* The string as JSON, one character after the other. */
static void
append_plainly(StringInfo json, const char *text, size_t len)
{
	static const char special[] = "\b\f\n\r\t\"\\", letters[] = "bfnrt\"\\";

	appendStringInfoChar(json, '"');
	for (size_t i = 0; i < len; i++)
	{
		const char *found = text[i] != '\0' ? strchr(special, text[i]) : NULL;

		if (found != NULL)
			appendStringInfo(json, "\\%c", letters[found - special]);
		else if ((unsigned char) text[i] < ' ')
			appendStringInfo(json, "\\u%04x", text[i]);
		else
			appendStringInfoChar(json, text[i]);
	}
	appendStringInfoChar(json, '"');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *) data;
	StringInfoData json, plain;
	char *encoded, *decoded;

	BeginMemory();
	decoded = Base64UrlDecode(text, size);
	CHECK(decoded == NULL || strlen(decoded) <= size / 4 * 3 + 3);
	encoded = Base64UrlEncode(text, size);
	CHECK(strpbrk(encoded, "+/=") == NULL);
	decoded = Base64UrlDecode(encoded, strlen(encoded));
	CHECK(decoded != NULL && memcmp(decoded, text, strnlen(text, size)) == 0);

	initStringInfo(&json);
	initStringInfo(&plain);
	AppendJsonString(&json, text, size);
	append_plainly(&plain, text, size);
	CHECK(json.len == plain.len && memcmp(json.data, plain.data, json.len + 1) == 0);
	EndMemory();
	return 0;
}
