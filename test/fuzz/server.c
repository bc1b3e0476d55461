/*
 * server.c
 *		As much of the server as its parts need that are fuzzed outside of it: memory, times,
 *		and characters in UTF-8.  Strings that grow, and base64, are the server's own, from the
 *		libraries that it ships for programs.  An error ends the run.
 */
#include "fuzz.h"
#include "server.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

const int day_tab[2][13] = {{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 0},
							{31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 0}};

/* ----------------------------------------------------------------
 * Memory: each piece is one of malloc's, so the sanitizer sees where it ends.
 * ----------------------------------------------------------------
 */

typedef struct Piece
{
	struct Piece *before;
	struct Piece *after;
	max_align_t bytes[];
} Piece;

static Piece pieces = {&pieces, &pieces};

static Piece *
piece_of(void *pointer)
{
	return (Piece *) ((char *) pointer - offsetof(Piece, bytes));
}

void *
palloc(Size size)
{
	Piece *piece = malloc(sizeof(Piece) + size);

	CHECK(piece != NULL);
	piece->before = &pieces;
	piece->after = pieces.after;
	pieces.after->before = piece;
	pieces.after = piece;
	return piece->bytes;
}

void
pfree(void *pointer)
{
	Piece *piece = piece_of(pointer);

	piece->before->after = piece->after;
	piece->after->before = piece->before;
	free(piece);
}

void *
repalloc(void *pointer, Size size)
{
	Piece *piece = piece_of(pointer);
	Piece *moved = realloc(piece, sizeof(Piece) + size);

	CHECK(moved != NULL);
	moved->before->after = moved;
	moved->after->before = moved;
	return moved->bytes;
}

void *
palloc0(Size size)
{
	return memset(palloc(size), 0, size);
}

void
BeginMemory(void)
{
	CHECK(pieces.after == &pieces);
}

void
EndMemory(void)
{
	while (pieces.after != &pieces)
		pfree(pieces.after->bytes);
}

/* ----------------------------------------------------------------
 * Times: days since 1970 of a date, and the other way round, by the rules of the
 * Gregorian calendar alone.
 * ----------------------------------------------------------------
 */

static int64
days_of(int year, int month, int day)
{
	int64 days = (int64) (year - 1) * 365 + (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400;

	for (int i = 1; i < month; i++)
		days += day_tab[isleap(year)][i - 1];
	return days + day - 1 - 730119; /* from year 1 to 2000 */
}

int
tm2timestamp(struct pg_tm *tm, fsec_t fsec, int *west, Timestamp *result)
{
	CHECK(tm->tm_year >= 1 && tm->tm_year <= 9999 && tm->tm_mon >= 1 && tm->tm_mon <= 12);
	CHECK(tm->tm_mday >= 1 && tm->tm_mday <= day_tab[isleap(tm->tm_year)][tm->tm_mon - 1]);
	CHECK(tm->tm_hour >= 0 && tm->tm_hour <= 23 && tm->tm_min >= 0 && tm->tm_min <= 59);
	CHECK(tm->tm_sec >= 0 && tm->tm_sec <= 60 && fsec >= 0 && fsec < USECS_PER_SEC);
	*result = (days_of(tm->tm_year, tm->tm_mon, tm->tm_mday) * SECS_PER_DAY +
			   tm->tm_hour * SECS_PER_HOUR + tm->tm_min * SECS_PER_MINUTE + tm->tm_sec + *west) *
				  USECS_PER_SEC +
			  fsec;
	return 0;
}

int
timestamp2tm(Timestamp time, int *west, struct pg_tm *tm, fsec_t *fsec, const char **zone,
			 pg_tz *tz)
{
	int64 days = time / USECS_PER_DAY - (time % USECS_PER_DAY < 0 ? 1 : 0);
	int64 left = time - days * USECS_PER_DAY;

	CHECK(west == NULL && zone == NULL && tz == NULL);
	for (tm->tm_year = 1; days_of(tm->tm_year + 1, 1, 1) <= days;)
		tm->tm_year++;
	for (tm->tm_mon = 1; tm->tm_mon < 12 && days_of(tm->tm_year, tm->tm_mon + 1, 1) <= days;)
		tm->tm_mon++;
	tm->tm_mday = days - days_of(tm->tm_year, tm->tm_mon, 1) + 1;
	tm->tm_hour = left / USECS_PER_HOUR;
	tm->tm_min = left / USECS_PER_MINUTE % 60;
	tm->tm_sec = left / USECS_PER_SEC % 60;
	*fsec = left % USECS_PER_SEC;
	return 0;
}

/* ----------------------------------------------------------------
 * Characters
 * ----------------------------------------------------------------
 */

int
pg_mblen(const char *text)
{
	return pg_encoding_mblen(PG_UTF8, text);
}

int
pg_mbcliplen(const char *text, int len, int limit)
{
	int clipped = 0;

	while (clipped < len && text[clipped] != '\0')
	{
		int next = pg_mblen(text + clipped);

		if (clipped + next > limit || clipped + next > len)
			break;
		clipped += next;
	}
	return clipped;
}

/* ----------------------------------------------------------------
 * What inputs must not come to.
 * ----------------------------------------------------------------
 */

bool
errstart(int level, const char *domain)
{
	(void) level, (void) domain;
	CHECK(!"an error of the server");
	return false;
}

bool
errstart_cold(int level, const char *domain)
{
	return errstart(level, domain);
}
