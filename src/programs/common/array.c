/*
 * array.c
 *		Arrays as parameters of statements, in the server's binary form.
 *
 * It needs no quoting, and neither side has to parse a text of megabytes.
 */
#include "common/array.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static const char hex_digits[] = "0123456789abcdef";

/*
 * Append four bytes in network order.
 */
static void
add_int32(Array *array, uint32_t value)
{
	value = htonl(value);
	BufferAppend(array, &value, sizeof(value));
}

/*
 * Append eight bytes in network order.
 */
static void
add_int64(Array *array, int64_t value)
{
	add_int32(array, (uint32_t) ((uint64_t) value >> 32));
	add_int32(array, (uint32_t) value);
}

/*
 * Begin an array with the given number of elements, at least one.
 */
void
ArrayStart(Array *array, uint32_t type, int count)
{
	BufferClear(array);
	add_int32(array, 1); /* dimensions */
	add_int32(array, 1); /* may have NULLs */
	add_int32(array, type);
	add_int32(array, (uint32_t) count);
	add_int32(array, 1); /* the first subscript */
}

/*
 * Add a bigint.
 */
void
ArrayAddNumber(Array *array, int64_t value)
{
	add_int32(array, 8);
	add_int64(array, value);
}

/*
 * Add a text.
 */
void
ArrayAddText(Array *array, const char *text, size_t len)
{
	add_int32(array, (uint32_t) len);
	BufferAppend(array, text, len);
}

/*
 * Add a jsonb: its version, and the text.
 */
void
ArrayAddJson(Array *array, const char *text, size_t len)
{
	add_int32(array, (uint32_t) len + 1);
	BufferAppendChar(array, 1);
	BufferAppend(array, text, len);
}

/*
 * Add an interval: microseconds, days, months.
 */
void
ArrayAddInterval(Array *array, int64_t duration)
{
	add_int32(array, 16);
	add_int64(array, duration);
	add_int32(array, 0);
	add_int32(array, 0);
}

/*
 * Add a uuid, written as the server writes it; NULL for any other text.
 */
void
ArrayAddUuid(Array *array, const char *text)
{
	unsigned char uuid[16];
	int digits = 0;

	for (; *text != '\0'; text++)
	{
		const char *digit = strchr(hex_digits, *text);

		if (*text == '-')
			continue;
		if (digit == NULL || digits == 32)
			break;
		if (digits % 2 == 0)
			uuid[digits / 2] = (unsigned char) ((digit - hex_digits) << 4);
		else
			uuid[digits / 2] |= (unsigned char) (digit - hex_digits);
		digits++;
	}
	if (*text != '\0' || digits != 32)
	{
		ArrayAddNull(array);
		return;
	}
	add_int32(array, sizeof(uuid));
	BufferAppend(array, uuid, sizeof(uuid));
}

/*
 * Add a NULL.
 */
void
ArrayAddNull(Array *array)
{
	add_int32(array, UINT32_MAX);
}

/*
 * A number that the server has written.
 */
int64_t
TextToNumber(const char *text)
{
	return strtoll(text, NULL, 10);
}
