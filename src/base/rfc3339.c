/*
 * rfc3339.c
 *		Times as the gateway writes them: RFC 3339, section 5.6.
 *
 * The server's own timestamptz input takes far more (no zone, "yesterday",
 * session-dependent formats), so it cannot tell whether a string is a time to
 * the gateway.
 */
#include "postgres.h"

#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "base/rfc3339.h"

/* The years 1 to 9999, in UTC. */
#define FIRST_TIME (INT64CONST(-730119) * USECS_PER_DAY)
#define LAST_TIME (INT64CONST(2921940) * USECS_PER_DAY)

/* What is left to read. */
typedef struct Reader
{
	const char *at;
	const char *end;
} Reader;

/*
 * Read exactly the given number of digits.
 */
static bool
read_digits(Reader *in, int digits, int *value)
{
	*value = 0;
	if (in->end - in->at < digits)
		return false;
	while (digits-- > 0)
	{
		if (*in->at < '0' || *in->at > '9')
			return false;
		*value = *value * 10 + (*in->at++ - '0');
	}
	return true;
}

/*
 * Read one character out of a set.
 */
static bool
read_one_of(Reader *in, const char *set)
{
	if (in->at == in->end || *in->at == '\0' || strchr(set, *in->at) == NULL)
		return false;
	in->at++;
	return true;
}

/*
 * Read an optional fraction of a second.  Digits past the microsecond are cut
 * off, as the gateway does when it stores a time; *is_exact tells whether they are
 * zeros.
 */
static bool
read_fraction(Reader *in, fsec_t *fsec, bool *is_exact)
{
	int digits = 0;

	*fsec = 0;
	*is_exact = true;
	if (!read_one_of(in, "."))
		return true;
	for (; in->at < in->end && *in->at >= '0' && *in->at <= '9'; in->at++)
	{
		if (digits++ < 6)
			*fsec = *fsec * 10 + (*in->at - '0');
		else if (*in->at != '0')
			*is_exact = false;
	}
	for (int i = digits; i < 6; i++)
		*fsec *= 10;
	return digits > 0;
}

/*
 * Read "Z" or an offset, as seconds east of UTC.  With any_form its colon may be missing.
 */
static bool
read_offset(Reader *in, bool any_form, int *seconds)
{
	int hours, minutes;
	bool west;

	*seconds = 0;
	if (read_one_of(in, "Zz"))
		return true;
	west = in->at < in->end && *in->at == '-';
	if (!read_one_of(in, "+-") || !read_digits(in, 2, &hours) || hours > 23)
		return false;
	if ((!read_one_of(in, ":") && !any_form) || !read_digits(in, 2, &minutes) || minutes > 59)
		return false;
	*seconds = hours * SECS_PER_HOUR + minutes * SECS_PER_MINUTE;
	if (west)
		*seconds = -*seconds;
	return true;
}

/*
 * Whether a time is finite and in the years 1 to 9999, for which RFC 3339 has a form
 * without doubt.
 */
bool
IsRfc3339Time(TimestampTz time)
{
	return time >= FIRST_TIME && time < LAST_TIME;
}

/*
 * Parse a date-time of RFC 3339; with any_form, also one whose offset has no colon, as
 * strftime writes it and the gateway reads it in a query.  Returns false if the text is anything else,
 * or a time that timestamptz cannot hold; never raises an error.  A leap
 * second is the first second after it.  Sets *is_exact to whether FormatRfc3339
 * writes the same time again: it does not know leap seconds, nanoseconds, and what
 * in UTC is not in the years 1 to 9999.
 */
bool
ParseRfc3339(const char *text, size_t len, bool any_form, TimestampTz *result, bool *is_exact)
{
	Reader in = {text, text + len};
	struct pg_tm tm = {0};
	fsec_t fsec;
	int offset;

	if (!read_digits(&in, 4, &tm.tm_year) || !read_one_of(&in, "-") ||
		!read_digits(&in, 2, &tm.tm_mon) || !read_one_of(&in, "-") ||
		!read_digits(&in, 2, &tm.tm_mday) || !read_one_of(&in, "Tt ") ||
		!read_digits(&in, 2, &tm.tm_hour) || !read_one_of(&in, ":") ||
		!read_digits(&in, 2, &tm.tm_min) || !read_one_of(&in, ":") ||
		!read_digits(&in, 2, &tm.tm_sec) || !read_fraction(&in, &fsec, is_exact) ||
		!read_offset(&in, any_form, &offset) || in.at != in.end)
		return false;
	if (tm.tm_year < 1 || tm.tm_mon < 1 || tm.tm_mon > MONTHS_PER_YEAR || tm.tm_mday < 1 ||
		tm.tm_mday > day_tab[isleap(tm.tm_year)][tm.tm_mon - 1] || tm.tm_hour > 23 ||
		tm.tm_min > 59 || tm.tm_sec > 60)
		return false;
	offset = -offset; /* tm2timestamp counts seconds west */
	*is_exact &= tm.tm_sec < SECS_PER_MINUTE;
	if (tm2timestamp(&tm, fsec, &offset, result) != 0)
		return false;
	*is_exact &= IsRfc3339Time(*result);
	return true;
}

/*
 * Write a finite time to dst in UTC, with microseconds, RFC3339_MAXLEN bytes
 * at most.  Years that RFC 3339 cannot express are written with as many digits
 * as they need.
 */
void
FormatRfc3339(char *dst, TimestampTz time)
{
	struct pg_tm tm;
	fsec_t fsec;

	if (timestamp2tm(time, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
	snprintf(dst, RFC3339_MAXLEN, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", tm.tm_year, tm.tm_mon,
			 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int) fsec);
}
