/*
 * rfc3339.c
 *		Proof of the reader and the writer of times, src/base/rfc3339.c.
 *
 * Bounds: texts of up to 22 bytes; fractions of seconds, in texts of up to 9; times to write of
 * the years 1 to 9999.
 *
 * Unwind: 24
 * Solver: bitwuzla
 *
 * Breaks: src/base/rfc3339.c s/in->end - in->at < digits/in->end - in->at < digits - 1/
 * Breaks: src/base/rfc3339.c s/tm.tm_hour > 23/tm.tm_hour > 24/
 * Breaks: src/base/rfc3339.c s/digits++ < 6/digits++ < 7/
 * Breaks: src/base/rfc3339.c s/%02d.%06dZ/%02d.%05dZ/
 * Breaks: src/base/rfc3339.c s/tm.tm_mday, tm.tm_hour, tm.tm_min/tm.tm_mday, tm.tm_min, tm.tm_hour/
 * Breaks: src/base/rfc3339.c s/%02dT%02d/%02d %02d/
 * Breaks: src/base/rfc3339.c s/timestamp2tm(time, NULL,/timestamp2tm(time, (int[1]){0},/
 */
#define PRINTED_BY_WIDTH
#include "base/rfc3339.c"

#define TEXT_MAX 22
#define FRACTION_MAX 9
#define WRITTEN_LEN 27

/* A text that ends where it ends: reading on is an error. */
static char *
any_text(size_t most, size_t *len)
{
	char *text;

	*len = nondet_uint64();
	ASSUME(*len >= 1 && *len <= most);
	text = malloc(*len);
	ASSUME(text != NULL);
	for (size_t i = 0; i < *len; i++)
		text[i] = nondet_char();
	return text;
}

/*
 * Whatever is read, nothing else is; the server is given what is in its calendar only; and
 * what is taken begins with a date and has a time behind it.
 */
void
prove_reader(void)
{
	size_t len;
	char *text = any_text(TEXT_MAX, &len);
	bool any_form = nondet_bool();
	TimestampTz time;
	bool is_exact = false;

	if (!ParseRfc3339(text, len, any_form, &time, &is_exact))
		return;
	PROVE(len >= 20);
	PROVE(text[4] == '-' && text[7] == '-' && text[13] == ':' && text[16] == ':');
	PROVE(!is_exact || IsRfc3339Time(time));
}

/* A fraction is less than a second, whatever its digits, and ends where the text ends. */
void
prove_fraction(void)
{
	size_t len;
	char *text = any_text(FRACTION_MAX, &len);
	Reader in = {text, text + len};
	fsec_t fsec;
	bool is_exact;

	if (!read_fraction(&in, &fsec, &is_exact))
		return;
	PROVE(fsec >= 0 && fsec < USECS_PER_SEC);
	PROVE(in.at >= text && in.at <= in.end);
}

/*
 * Times are written within their room, as texts that are read as the same ones.
 */
void
prove_writer(void)
{
	char text[RFC3339_MAXLEN];
	TimestampTz again;
	bool is_exact;
	bool was_read;

	FormatRfc3339(text, nondet_int64());
	PROVE(text[WRITTEN_LEN] == '\0');
	/* The reader takes other characters here, too. */
	PROVE(text[10] == 'T' && text[WRITTEN_LEN - 1] == 'Z');
	was_read = ParseRfc3339(text, WRITTEN_LEN, false, &again, &is_exact);
	PROVE(given_tm.tm_year == returned_tm.tm_year && given_tm.tm_mon == returned_tm.tm_mon &&
		  given_tm.tm_mday == returned_tm.tm_mday);
	PROVE(given_tm.tm_hour == returned_tm.tm_hour && given_tm.tm_min == returned_tm.tm_min &&
		  given_tm.tm_sec == returned_tm.tm_sec && given_fsec == returned_fsec);
	PROVE(given_west == 0);
	PROVE(!was_read || !IsRfc3339Time(again) || is_exact);
}
