/*
 * nearest.c
 *		Which of several names one that is mistyped may stand for.
 *
 * Near is what can be reached with few edits: an edit inserts, deletes or replaces
 * a character, or swaps two that are adjacent.  At most half of the characters that
 * were typed may be wrong, and never more than a few: a name that has little to do
 * with what was typed is no help.  Case does not count.
 */
#include "common/nearest.h"

#include <ctype.h>
#include <limits.h>
#include <string.h>

/* Longer names are near to none; that bounds the work. */
#define LONGEST_NAME 64

/* So many edits at most. */
#define MOST_EDITS 4

static int
least(int a, int b)
{
	return a < b ? a : b;
}

/*
 * The number of edits that turn one name into the other, in which no part is edited
 * twice (the distance of optimal string alignment).  INT_MAX if one is too long.
 */
int
EditDistance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int rows[3][LONGEST_NAME + 1]; /* the one before the last, the last, this one */
	int *before = rows[0], *last = rows[1], *row = rows[2];

	if (a_len > LONGEST_NAME || b_len > LONGEST_NAME)
		return INT_MAX;
	for (size_t j = 0; j <= b_len; j++)
		last[j] = (int) j;
	for (size_t i = 1; i <= a_len; i++)
	{
		int *next = before;
		int c = tolower((unsigned char) a[i - 1]);

		row[0] = (int) i;
		for (size_t j = 1; j <= b_len; j++)
		{
			int d = tolower((unsigned char) b[j - 1]);

			row[j] = least(least(last[j], row[j - 1]) + 1, last[j - 1] + (c != d));
			if (i > 1 && j > 1 && c == tolower((unsigned char) b[j - 2]) &&
				d == tolower((unsigned char) a[i - 2]))
				row[j] = least(row[j], before[j - 2] + 1);
		}
		before = last;
		last = row;
		row = next;
	}
	return last[b_len];
}

/*
 * Begin a search for the name that is nearest to the one given, which must live as
 * long as the search.
 */
void
NearestStart(Nearest *nearest, const char *given, size_t len)
{
	*nearest = (Nearest){.given = given, .given_len = len, .distance = INT_MAX};
}

/*
 * Consider a name, which must live as long as the search.  Of two that are equally
 * near the first counts.
 */
void
NearestTry(Nearest *nearest, const char *name)
{
	int distance = EditDistance(nearest->given, nearest->given_len, name, strlen(name));

	if (distance > MOST_EDITS || (size_t) distance * 2 > nearest->given_len ||
		distance >= nearest->distance)
		return;
	nearest->name = name;
	nearest->distance = distance;
}
