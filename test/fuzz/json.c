/*
 * json.c
 *		JSON as the programs read and write it: whatever comes, what is found in it is UTF-8,
 *		and what is written is JSON that says the same.
 *
 * Sources: common/json.c common/buffer.c
 */
#include "fuzz.h"

#include <string.h>

#include "common/json.h"

/* What is written is read as the same. */
static void
write_and_read(const char *text, size_t len)
{
	Buffer json = {0}, again = {0};
	char *ended = Duplicate(text, len);

	JsonAppendString(&json, text, len);
	CHECK(JsonIsValid(json.data, json.len));
	BufferClear(&json);
	if (IsUtf8(text, len) && memchr(text, '\0', len) == NULL)
	{
		JsonAppendExactString(&json, ended);
		CHECK(JsonReadTag(json.data, json.len, &again));
		CHECK(again.len == len && memcmp(BufferText(&again), text, len) == 0);
	}
	BufferFree(&json);
	BufferFree(&again);
	free(ended);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *) data;
	bool valid = JsonIsValid(text, size);
	Buffer found = {0};

	CHECK(!valid || IsUtf8(text, size));
	CHECK(JsonReadTag(text, size, &found) == valid);
	CHECK(IsUtf8(BufferText(&found), found.len));
	BufferClear(&found);
	if (JsonGetString(text, size, "error", &found))
		CHECK(valid && IsUtf8(BufferText(&found), found.len));
	else
		CHECK(found.len == 0 && !JsonIsOnlyString(text, size, "error"));
	CHECK(valid || JsonGetNumber(text, size, "secs") == 0);
	BufferClear(&found);
	AppendCleanText(&found, text, size, size / 2);
	CHECK(found.len <= size / 2 && IsUtf8(BufferText(&found), found.len));
	BufferFree(&found);
	write_and_read(text, size);
	return 0;
}
