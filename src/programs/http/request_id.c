/*
 * request_id.c
 *		The id of a request, by which it is found in logs.
 *
 * It is the client's, if it sends one in X-Request-Id that can go into a header, a log and
 * application_name as it is, or else made here.
 */
#include "http/request_id.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <openssl/rand.h>

#include "common/clock.h"

/*
 * Make an id of 16 hexadecimal digits; id has room for MAX_REQUEST_ID + 1 bytes.
 */
void
RequestIdMake(char *id)
{
	uint64_t number;

	if (RAND_bytes((unsigned char *) &number, sizeof(number)) != 1)
		number = (uint64_t) ClockNow();
	snprintf(id, MAX_REQUEST_ID + 1, "%016llx", (unsigned long long) number);
}

/*
 * Take the id that a client has sent, if it is short and consists of printable ASCII
 * without blanks, quotes and backslashes; NULL is none.  Else leave the one that there is.
 */
void
RequestIdTake(char *id, const char *given)
{
	size_t len = given != NULL ? strlen(given) : 0;

	if (len == 0 || len > MAX_REQUEST_ID)
		return;
	for (size_t i = 0; i < len; i++)
	{
		if (given[i] <= ' ' || given[i] > '~' || strchr("\"'\\", given[i]) != NULL)
			return;
	}
	memcpy(id, given, len + 1);
}
