/*
 * gateway_json.c
 *		Numbers and times as the gateway prints them in its answers.
 *
 * The gateway reads the number of a jsonb, which has no exponent, into 64 bits: an integer
 * if it is one and fits, else a double.  The digits of a double are read into 64 bits, too,
 * those that do not fit are dropped, and a power of ten is multiplied or divided by: the
 * result is not always the double next to the number, and the same steps are taken here.
 * It prints the shortest digits that are read as the same double, with an exponent
 * where the point would be far from them.
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "base/gateway_json.h"
#include "base/rfc3339.h"

/* Powers of ten that a double has. */
#define MAX_POWER 308

/* Digits that a double needs at most. */
#define MAX_DIGITS 17

/* The decimal point is at most so far behind, or before, the first digit. */
#define MAX_POINT 16
#define MIN_POINT (-5)

/* Room for a double in the form "d.ddde+ddd". */
#define DOUBLE_LEN 40

/* The digits of a number as the gateway takes them in. */
typedef struct Digits
{
	uint64 significand;
	int exponent;
	bool is_whole; /* all of them, and no fraction */
} Digits;

/*
 * Take in a digit.  Returns false if there is no room for it.
 */
static bool
take_digit(Digits *digits, char digit)
{
	uint64 value = digit - '0';

	if (digits->significand > (PG_UINT64_MAX - value) / 10)
		return false;
	digits->significand = digits->significand * 10 + value;
	return true;
}

/*
 * Take in the digits of a number without its sign.
 */
static Digits
take_digits(const char *text)
{
	Digits digits = {.is_whole = true};

	for (; *text >= '0' && *text <= '9'; text++)
	{
		if (digits.exponent > 0 || !take_digit(&digits, *text))
			digits.exponent++;
	}
	digits.is_whole = digits.exponent == 0 && *text == '\0';
	if (*text == '.')
		text++;
	for (; *text != '\0' && take_digit(&digits, *text); text++)
		digits.exponent--;
	return digits;
}

/*
 * The double that the gateway makes of digits; infinity if there is none.
 */
static double
make_double(const Digits *digits)
{
	double value = (double) digits->significand;
	int exponent = digits->exponent;
	char power[DOUBLE_LEN];

	while (exponent < -MAX_POWER && value != 0)
	{
		value /= 1e308;
		exponent += MAX_POWER;
	}
	if (value == 0)
		return 0;
	if (exponent > MAX_POWER)
		return INFINITY;
	/* strtod makes the double next to the power. */
	snprintf(power, sizeof(power), "1e%d", abs(exponent));
	return exponent < 0 ? value / strtod(power, NULL) : value * strtod(power, NULL);
}

/*
 * Append the digits of a double, of which one is before the point of its exponent.
 */
static void
append_digits(StringInfo out, const char *digits, int count, int exponent)
{
	int point = exponent + 1; /* digits before the decimal point */

	if (point > MAX_POINT || point <= MIN_POINT)
	{
		appendStringInfoChar(out, digits[0]);
		if (count > 1)
			appendStringInfo(out, ".%.*s", count - 1, digits + 1);
		appendStringInfo(out, "e%+d", exponent);
	}
	else if (point <= 0)
		appendStringInfo(out, "0.%.*s%.*s", -point, "0000", count, digits);
	else if (point >= count)
	{
		appendBinaryStringInfo(out, digits, count);
		appendStringInfoSpaces(out, point - count);
		memset(out->data + out->len - (point - count), '0', point - count);
		appendStringInfoString(out, ".0");
	}
	else
		appendStringInfo(out, "%.*s.%.*s", point, digits, count - point, digits + point);
}

/*
 * Append a double that is not negative.
 */
static void
append_double(StringInfo out, double value)
{
	char text[DOUBLE_LEN];
	char digits[MAX_DIGITS + 1];
	int count = 0;

	if (value == 0)
	{
		appendStringInfoString(out, "0.0");
		return;
	}
	for (int precision = 0; precision < MAX_DIGITS; precision++)
	{
		snprintf(text, sizeof(text), "%.*e", precision, value);
		if (strtod(text, NULL) == value)
			break;
	}
	for (const char *at = text; *at != 'e'; at++)
	{
		if (*at != '.')
			digits[count++] = *at;
	}
	append_digits(out, digits, count, atoi(strchr(text, 'e') + 1));
}

/*
 * Append a number.  One that the gateway cannot read, being too large for a double, is
 * appended as the server stores it.
 */
void
AppendGatewayNumber(StringInfo out, Numeric number)
{
	char *text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number)));
	bool negative = text[0] == '-';
	Digits digits = take_digits(text + negative);
	double value;

	/* The least integer is one further from zero than the greatest. */
	if (digits.is_whole && (!negative || digits.significand <= UINT64CONST(0x8000000000000000)))
		appendStringInfoString(out, text);
	else if (isinf(value = make_double(&digits)))
		appendStringInfoString(out, text);
	else
	{
		appendStringInfoString(out, negative ? "-" : "");
		append_double(out, value);
	}
	pfree(text);
}

/*
 * Append a time as a JSON string: in UTC, with no fraction, or three or six digits of it,
 * as few as it takes.  The ends of time, which the gateway does not have, are null.
 */
void
AppendGatewayTime(StringInfo out, TimestampTz time)
{
	char text[RFC3339_MAXLEN];
	int64 fraction = time % USECS_PER_SEC;
	int cut = fraction == 0 ? 7 : fraction % 1000 == 0 ? 3 : 0;

	if (TIMESTAMP_NOT_FINITE(time))
	{
		appendStringInfoString(out, "null");
		return;
	}
	FormatRfc3339(text, time);
	appendStringInfo(out, "\"%.*sZ\"", (int) strlen(text) - 1 - cut, text);
}
