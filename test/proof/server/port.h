/*
 * port.h
 *		The server's functions for texts of numbers, as far as they are used: %s, %d, and %ld, with
 *		a width and zeros before it.  Digits are chosen so that they have the number's value, as the
 *		model checker can do that better than dividing.
 */
#ifndef PORT_H
#define PORT_H

#include <errno.h>
#include <limits.h>
#include <stdarg.h>

#define INT64_FORMAT "%ld"

/* Digits of a number that is written or read, at most. */
#ifndef PRINTED_DIGITS
#define PRINTED_DIGITS 6
#endif
#define READ_DIGITS 6

/* What is written, and how far. */
typedef struct Printed
{
	char *dst;
	size_t room;
	size_t at;
} Printed;

static inline void
print_char(Printed *out, char c)
{
	PROVE(out->at < out->room);
	out->dst[out->at++] = c;
}

#ifdef PRINTED_BY_WIDTH
static inline int64
power_of_ten(int exponent)
{
	int64 power = 1;

	while (exponent-- > 0)
		power *= 10;
	return power;
}
#endif

static inline void
print_number(Printed *out, int64 value, int width)
{
	int64 sum = 0;
	int count = 1;

	if (value < 0)
		print_char(out, '-');
	width -= value < 0;
	value = value < 0 ? -value : value;
#ifdef PRINTED_BY_WIDTH
	/* Each has the digits of its width, so that it is known where each digit stands. */
	PROVE(value < power_of_ten(width));
	count = width;
#else
	for (int64 bound = 10; bound <= value && count < PRINTED_DIGITS; bound *= 10)
		count++;
	count = Max(count, width);
#endif
	PROVE(count <= PRINTED_DIGITS);
	for (int i = 0; i < PRINTED_DIGITS && i < count; i++)
	{
		int digit = nondet_int();

		ASSUME(digit >= 0 && digit <= 9);
		sum = sum * 10 + digit;
		print_char(out, (char) ('0' + digit));
	}
	ASSUME(sum == value);
}

/* What is written ends within its room, and nothing is cut off. */
static inline int
print(char *dst, size_t room, const char *format, ...)
{
	Printed out = {dst, room, 0};
	va_list args;

	va_start(args, format);
	for (const char *at = format; *at != '\0'; at++)
	{
		int width = 0;

		if (*at != '%')
		{
			print_char(&out, *at);
			continue;
		}
		at++;
		if (*at == '0')
		{
			width = at[1] - '0';
			at += 2;
		}
		if (*at == 's')
		{
			for (const char *text = va_arg(args, const char *); *text != '\0'; text++)
				print_char(&out, *text);
		}
		else if (*at == 'l')
		{
			print_number(&out, va_arg(args, int64), width);
			at++;
		}
		else
			print_number(&out, va_arg(args, int), width);
	}
	va_end(args);
	print_char(&out, '\0');
	return (int) out.at - 1;
}

#define snprintf(dst, room, ...) print(dst, room, __VA_ARGS__)

/* Room for all that proofs write. */
#define PSPRINTF_ROOM 64
static char *psprintf_dst;
#define psprintf(...)                                                                              \
	(psprintf_dst = palloc(PSPRINTF_ROOM), print(psprintf_dst, PSPRINTF_ROOM, __VA_ARGS__),        \
	 psprintf_dst)

/* A number of decimal digits, as strtol reads it; what has all digits may be too large. */
static inline int64
strtoi64(const char *text, char **end, int base)
{
	const char *at = text;
	bool negative = *at == '-';
	int64 value = 0;
	int count = 0;

	PROVE(base == 10);
	at += negative;
	for (; count < READ_DIGITS && *at >= '0' && *at <= '9'; at++, count++)
		value = value * 10 + (*at - '0');
	PROVE(count < READ_DIGITS || *at < '0' || *at > '9');
	*end = (char *) (count > 0 ? at : text);
	if (count == READ_DIGITS && nondet_bool())
	{
		errno = ERANGE;
		return negative ? INT64_MIN : INT64_MAX;
	}
	return negative ? -value : value;
}

#endif
