/*
 * gateway_number.h
 *		Numbers of JSON as the gateway reads and prints them.
 *
 * The gateway reads an integer that fits into 64 bits, with or without a sign, as it is,
 * and every other number as a double.  The digits of a double are read into 64 bits, those
 * that do not fit are dropped, and a power of ten is multiplied or divided by: the result
 * is not always the double next to the number, and the same steps are taken here.  It
 * prints the shortest digits that are read as the same double, with an exponent where the
 * point would be far from them.
 *
 * The extension and the programs include it, so it needs none of the server's headers.
 */
#ifndef ACTEON_GATEWAY_NUMBER_H
#define ACTEON_GATEWAY_NUMBER_H

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Powers of ten that a double has. */
#define GATEWAY_MAX_POWER 308

/* Digits that a double needs at most, and those that no two doubles share. */
#define GATEWAY_MAX_DIGITS 17
#define GATEWAY_SAFE_DIGITS DBL_DIG

/* The decimal point is at most so far behind, or before, the first digit. */
#define GATEWAY_MAX_POINT 16
#define GATEWAY_MIN_POINT (-5)

/* Room for a double as it is printed. */
#define GATEWAY_DOUBLE_LEN 40

/* A number that was read. */
typedef struct GatewayNumber
{
	bool is_integer; /* it is printed as it was written */
	double value;    /* else; infinite: the gateway cannot read it */
} GatewayNumber;

/*
 * Take in a digit.  Returns false if there is no room for it.
 */
static inline bool
TakeGatewayDigit(uint64_t *significand, char digit)
{
	uint64_t value = (uint64_t) (digit - '0');

	if (*significand > (UINT64_MAX - value) / 10)
		return false;
	*significand = *significand * 10 + value;
	return true;
}

/*
 * The double that the gateway makes of digits and a power of ten; infinity if there is
 * none.
 */
static inline double
MakeGatewayDouble(uint64_t significand, int64_t exponent)
{
	double value = (double) significand;
	char power[GATEWAY_DOUBLE_LEN];

	while (exponent < -GATEWAY_MAX_POWER && value != 0)
	{
		value /= 1e308;
		exponent += GATEWAY_MAX_POWER;
	}
	if (value == 0)
		return 0;
	if (exponent > GATEWAY_MAX_POWER)
		return INFINITY;
	/* strtod makes the double next to the power. */
	snprintf(power, sizeof(power), "1e%d", abs((int) exponent));
	return exponent < 0 ? value / strtod(power, NULL) : value * strtod(power, NULL);
}

/*
 * Read a number, which must be one of JSON: so many bytes of a text.
 */
static inline GatewayNumber
ReadGatewayNumber(const char *text, size_t len)
{
	const char *end = text + len;
	bool negative = len > 0 && *text == '-';
	bool is_positive_power = true;
	uint64_t significand = 0;
	int64_t exponent = 0, power = 0;
	double value;

	text += negative ? 1 : 0;
	for (; text < end && *text >= '0' && *text <= '9'; text++)
	{
		if (exponent > 0 || !TakeGatewayDigit(&significand, *text))
			exponent++;
	}
	/* The least integer is one further from zero than the greatest; minus zero is none. */
	if (text == end && exponent == 0 &&
		(!negative || (significand > 0 && significand <= UINT64_C(0x8000000000000000))))
		return (GatewayNumber){.is_integer = true};
	if (text < end && *text == '.')
	{
		for (text++; text < end && *text >= '0' && *text <= '9'; text++)
		{
			if (!TakeGatewayDigit(&significand, *text))
				break;
			exponent--;
		}
		while (text < end && *text >= '0' && *text <= '9')
			text++;
	}
	if (text < end && (*text == 'e' || *text == 'E'))
	{
		text++;
		if (text < end && (*text == '+' || *text == '-'))
			is_positive_power = *text++ == '+';
		/* Beyond 32 bits nothing changes any more. */
		for (; text < end && power <= INT32_MAX; text++)
			power = power * 10 + (*text - '0');
	}
	exponent += is_positive_power ? power : -power;
	value = MakeGatewayDouble(significand, exponent);
	return (GatewayNumber){.value = negative ? -value : value};
}

/*
 * Add one to the last digit of a number as printf prints it with an exponent; one that
 * has only nines stays.
 */
static inline void
AddToLastDigit(char *text)
{
	char *at = strchr(text, 'e') - 1;

	while (at > text && *at == '9')
		at -= at[-1] == '.' ? 2 : 1;
	if (*at == '9')
		return;
	for (++*at; *++at != 'e';)
	{
		if (*at != '.')
			*at = '0';
	}
}

/*
 * The digits of a positive double, without zeros at the end, and the exponent of the first
 * one.  Returns how many there are.
 */
static inline int
GatewayDigits(double value, char digits[GATEWAY_MAX_DIGITS + 1], int *exponent)
{
	/* The shortest number that is read as a double has at most the safe digits only if
	 * these are its own, but for doubles so small that they have fewer bits. */
	int precision = value < DBL_MIN ? 0 : GATEWAY_SAFE_DIGITS - 1;
	char text[GATEWAY_DOUBLE_LEN];
	int count = 0;

	for (; precision < GATEWAY_MAX_DIGITS; precision++)
	{
		snprintf(text, sizeof(text), "%.*e", precision, value);
		if (strtod(text, NULL) == value)
			break;
		/* A power of two is further from the doubles above it than from those below: there may
		 * be digits above where the nearest ones, below it, are those of another double. */
		AddToLastDigit(text);
		if (strtod(text, NULL) == value)
			break;
	}
	for (const char *at = text; *at != 'e'; at++)
	{
		if (*at != '.')
			digits[count++] = *at;
	}
	while (count > 1 && digits[count - 1] == '0')
		count--;
	digits[count] = '\0';
	*exponent = atoi(strchr(text, 'e') + 1);
	return count;
}

/*
 * Print a finite double.
 */
static inline void
PrintGatewayDouble(char out[GATEWAY_DOUBLE_LEN], double value)
{
	char digits[GATEWAY_MAX_DIGITS + 1];
	const char *sign = signbit(value) ? "-" : "";
	int exponent = 0;
	int count, point;

	if (value == 0)
	{
		snprintf(out, GATEWAY_DOUBLE_LEN, "%s0.0", sign);
		return;
	}
	count = GatewayDigits(fabs(value), digits, &exponent);
	point = exponent + 1; /* digits before the decimal point */
	if (point > GATEWAY_MAX_POINT || point <= GATEWAY_MIN_POINT)
		snprintf(out, GATEWAY_DOUBLE_LEN, "%s%c%s%se%+d", sign, digits[0], count > 1 ? "." : "",
				 digits + 1, exponent);
	else if (point <= 0)
		snprintf(out, GATEWAY_DOUBLE_LEN, "%s0.%.*s%s", sign, -point, "0000", digits);
	else if (point >= count)
		snprintf(out, GATEWAY_DOUBLE_LEN, "%s%s%.*s.0", sign, digits, point - count,
				 "0000000000000000");
	else
		snprintf(out, GATEWAY_DOUBLE_LEN, "%s%.*s.%s", sign, point, digits, digits + point);
}

#endif /* ACTEON_GATEWAY_NUMBER_H */
