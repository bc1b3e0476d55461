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

/* Digits of a number at most. */
#define PRINTED_DIGITS 6

/* What is written, of which as much is kept as there is room for. */
typedef struct Printed
{
	char *dst;
	size_t room;
	size_t at;
} Printed;

static inline void
print_char(Printed *out, char c)
{
	if (out->at + 1 < out->room)
		out->dst[out->at] = c;
	out->at++;
}

static inline void
print_number(Printed *out, int64 value, int width)
{
	int64 sum = 0;
	int count = 1;

	PROVE(value > -1000000 && value < 1000000);
	if (value < 0)
		print_char(out, '-');
	width -= value < 0;
	value = value < 0 ? -value : value;
	for (int64 bound = 10; bound <= value && count < PRINTED_DIGITS; bound *= 10)
		count++;
	count = Max(count, width);
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

static inline size_t
print(char *dst, size_t room, const char *format, va_list args)
{
	Printed out = {dst, room, 0};

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
	if (room > 0)
		dst[out.at < room ? out.at : room - 1] = '\0';
	return out.at;
}

static inline int
snprintf_(char *dst, size_t room, const char *format, ...)
{
	size_t len;
	va_list args;

	va_start(args, format);
	len = print(dst, room, format, args);
	va_end(args);
	return (int) len;
}

#define snprintf snprintf_

/* Room for all that proofs write. */
#define PSPRINTF_ROOM 64

static inline char *
psprintf(const char *format, ...)
{
	char *text = palloc(PSPRINTF_ROOM);
	va_list args;

	va_start(args, format);
	PROVE(print(text, PSPRINTF_ROOM, format, args) < PSPRINTF_ROOM);
	va_end(args);
	return text;
}

/* A number of decimal digits, as strtol reads it. */
static inline int64
strtoi64(const char *text, char **end, int base)
{
	const char *at = text;
	bool negative = *at == '-';
	bool is_large = false;
	int64 value = 0;

	PROVE(base == 10);
	*end = (char *) text;
	at += negative;
	for (; *at >= '0' && *at <= '9'; at++)
	{
		int digit = *at - '0';

		is_large |= value < (INT64_MIN + digit) / 10;
		value = is_large ? 0 : value * 10 - digit;
		*end = (char *) at + 1;
	}
	is_large |= !negative && value == INT64_MIN;
	if (is_large)
	{
		errno = ERANGE;
		return negative ? INT64_MIN : INT64_MAX;
	}
	return negative ? value : -value;
}

#endif
