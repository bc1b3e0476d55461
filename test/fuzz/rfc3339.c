/*
 * rfc3339.c
 *		Times: what is read is written again as the same time, and exactly, where the reader
 *		says so.
 *
 * Server: base/rfc3339.c
 */
#include "fuzz.h"
#include "server.h"

#include "base/rfc3339.h"

/* A time that RFC 3339 has a form for is written so that it is read as the same. */
static void
write_and_read(TimestampTz time)
{
	char text[RFC3339_MAXLEN];
	TimestampTz again;
	bool is_exact;

	FormatRfc3339(text, time);
	CHECK(strlen(text) == strlen("2026-01-15T12:00:00.000000Z"));
	CHECK(ParseRfc3339(text, strlen(text), false, &again, &is_exact));
	CHECK(again == time && is_exact);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *) data;
	TimestampTz strict, lax;
	bool strict_exact, lax_exact;
	bool is_strict = ParseRfc3339(text, size, false, &strict, &strict_exact);
	bool is_lax = ParseRfc3339(text, size, true, &lax, &lax_exact);

	CHECK(!is_strict || (is_lax && strict == lax && strict_exact == lax_exact));
	if (is_lax && IsRfc3339Time(lax))
		write_and_read(lax);
	CHECK(!is_lax || !lax_exact || IsRfc3339Time(lax));
	if (size >= sizeof(lax))
	{
		memcpy(&lax, data, sizeof(lax));
		if (IsRfc3339Time(lax))
			write_and_read(lax);
	}
	return 0;
}
