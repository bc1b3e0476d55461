/*
 * numbers.c
 *		Numbers among the parameters.
 *
 * All of them are read in the same way: as JSON writes numbers, also with an exponent
 * (1e3), as many languages print large ones by themselves.  A whole number may be
 * written so, too, and goes on to the database as digits.
 */
#include "http/numbers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/json.h"

/* Digits of the longest number; those of the largest one in double precision are 309. */
#define LONGEST_NUMBER 400

#define DIGITS "0123456789"

/*
 * Is it a number as JSON has it, which is neither too large nor too small for a number in
 * double precision?  The + of an exponent that was not escaped has become a blank: it
 * becomes a plus again.
 */
bool
NumberRead(char *text)
{
	size_t len = strlen(text);
	char *exponent = strpbrk(text, "eE");
	double value;

	if (exponent != NULL && exponent[1] == ' ')
		exponent[1] = '+';
	if (len == 0 || len > LONGEST_NUMBER || strspn(text, DIGITS ".-+eE") != len ||
		!JsonIsValid(text, len))
		return false;
	value = strtod(text, NULL);
	return isfinite(value) && (value != 0 || strcspn(text, "123456789eE") == strcspn(text, "eE"));
}

/*
 * A whole number as digits, perhaps with a minus before them, for the caller to free; the
 * text is one that NumberRead has read.  NULL if it has a fraction.
 */
char *
NumberWhole(const char *text)
{
	bool negative = *text == '-';
	const char *number = text + negative;
	size_t before = strspn(number, DIGITS);
	size_t after = number[before] == '.' ? strspn(number + before + 1, DIGITS) : 0;
	const char *exponent = strpbrk(number, "eE");
	char *digits = Format("%.*s%.*s", (int) before, number, (int) after, number + before + 1);
	long count = (long) strlen(digits);
	long first = (long) strspn(digits, "0");
	long point; /* the number has so many digits before its point, with the exponent applied */
	Buffer whole = {0};

	if (first == count)
	{
		/* Zero is whole, whatever its exponent. */
		free(digits);
		return DuplicateText("0");
	}
	point = (long) before + (exponent != NULL ? strtol(exponent + 1, NULL, 10) : 0);
	while (count > 0 && digits[count - 1] == '0')
		count--;
	if (count > point)
	{
		free(digits);
		return NULL;
	}
	if (negative)
		BufferAppendChar(&whole, '-');
	for (long i = first; i < point; i++)
		BufferAppendChar(&whole, i < count ? digits[i] : '0');
	free(digits);
	return whole.data;
}
