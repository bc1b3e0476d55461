/*
 * rfc3339.c
 *		Proof of the reader of times, src/base/rfc3339.c.
 *
 * Bounds: texts of up to 28 bytes.
 *
 * Unwind: 30
 *
 * Breaks: src/base/rfc3339.c s/in->end - in->at < digits/in->end - in->at < digits - 1/
 * Breaks: src/base/rfc3339.c s/tm.tm_mon > MONTHS_PER_YEAR/tm.tm_mon > MONTHS_PER_YEAR + 1/
 * Breaks: src/base/rfc3339.c s/digits++ < 6/digits++ < 7/
 */
#include "base/rfc3339.c"

#define TEXT_MAX 28

/* A text that ends where it ends: reading on is an error. */
static char *
any_text(size_t *len)
{
	char *text;

	*len = nondet_uint64();
	ASSUME(*len >= 1 && *len <= TEXT_MAX);
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
	char *text = any_text(&len);
	bool any_form = nondet_bool();
	TimestampTz time;
	bool is_exact = false;

	if (!ParseRfc3339(text, len, any_form, &time, &is_exact))
		return;
	PROVE(len >= 20);
	PROVE(text[4] == '-' && text[7] == '-' && text[13] == ':' && text[16] == ':');
	PROVE(!is_exact || IsRfc3339Time(time));
}
