/*
 * time_buckets.c
 *		Counts over time, whose extent is not known beforehand.
 *
 * Times are counted as they come, in cells that are several times narrower than the
 * buckets will be.  When there is no room for another cell, the cells are made wider by
 * joining neighbours, so the memory follows the number of buckets, and the times are read
 * once.  Widths are such as people use: seconds, minutes, hours, days, weeks.  Cells and
 * buckets begin at whole multiples of them, counted from a Monday, in UTC.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "preview/time_buckets.h"

/* So many cells a bucket, so that every bucket that can become necessary is one of cells. */
#define CELLS_OF_BUCKET 8

/* Monday, 3 January 2000, 00:00 UTC. */
#define FIRST_MONDAY (2 * USECS_PER_DAY)

struct TimeBuckets
{
	int most;      /* buckets */
	int room;      /* for cells */
	int step;      /* of the widths of cells */
	int64 width;   /* of a cell */
	int64 first;   /* number of the first cell, the one from FIRST_MONDAY on being 0 */
	int64 last;    /* and of the last one; less than the first: there is none */
	int64 counted; /* times */
	int64 *cells;  /* each at its number, modulo the room; zero where there is none */
	int64 *joined; /* as much room again */
};

/* Widths of cells in seconds, each a multiple of the one before; then each the double. */
static const int64 cell_seconds[] = {
	1,
	5,
	15,
	SECS_PER_MINUTE,
	5 * SECS_PER_MINUTE,
	15 * SECS_PER_MINUTE,
	SECS_PER_HOUR,
	6 * SECS_PER_HOUR,
	SECS_PER_DAY,
	7 * SECS_PER_DAY,
	28 * SECS_PER_DAY,
};

/* Widths of buckets in seconds; then each the double. */
static const int64 bucket_seconds[] = {
	1,
	2,
	5,
	10,
	15,
	30,
	SECS_PER_MINUTE,
	2 * SECS_PER_MINUTE,
	5 * SECS_PER_MINUTE,
	10 * SECS_PER_MINUTE,
	15 * SECS_PER_MINUTE,
	30 * SECS_PER_MINUTE,
	SECS_PER_HOUR,
	2 * SECS_PER_HOUR,
	3 * SECS_PER_HOUR,
	6 * SECS_PER_HOUR,
	12 * SECS_PER_HOUR,
	SECS_PER_DAY,
	2 * SECS_PER_DAY,
	7 * SECS_PER_DAY,
	14 * SECS_PER_DAY,
	28 * SECS_PER_DAY,
};

/*
 * A width of a list.
 */
static int64
width_of_step(const int64 *seconds, int count, int step)
{
	int64 width = seconds[Min(step, count - 1)] * USECS_PER_SEC;

	for (int i = count; i <= step; i++)
		width *= 2;
	return width;
}

/*
 * Divide a number, rounding down.
 */
static int64
divide_down(int64 number, int64 by)
{
	return number / by - (number % by < 0 ? 1 : 0);
}

/*
 * The place of a cell.
 */
static int64 *
cell_at(int64 *cells, int room, int64 number)
{
	int64 place = number % room;

	return &cells[place < 0 ? place + room : place];
}

/*
 * Make empty counts for at most so many buckets, two or more, in the current memory
 * context.
 */
TimeBuckets *
MakeTimeBuckets(int most)
{
	TimeBuckets *buckets = palloc0(sizeof(TimeBuckets));

	Assert(most >= 2);
	buckets->most = most;
	buckets->room = most * CELLS_OF_BUCKET;
	buckets->width = width_of_step(cell_seconds, lengthof(cell_seconds), 0);
	buckets->last = -1;
	buckets->cells = palloc0(buckets->room * sizeof(int64));
	buckets->joined = palloc0(buckets->room * sizeof(int64));
	return buckets;
}

/*
 * Make the cells wider by a step.
 */
static void
widen(TimeBuckets *buckets)
{
	int64 width = width_of_step(cell_seconds, lengthof(cell_seconds), ++buckets->step);
	int64 ratio = width / buckets->width;
	int64 *joined = buckets->joined;

	memset(joined, 0, buckets->room * sizeof(int64));
	for (int64 number = buckets->first; number <= buckets->last; number++)
		*cell_at(joined, buckets->room, divide_down(number, ratio)) +=
			*cell_at(buckets->cells, buckets->room, number);
	buckets->joined = buckets->cells;
	buckets->cells = joined;
	if (buckets->last >= buckets->first)
	{
		buckets->first = divide_down(buckets->first, ratio);
		buckets->last = divide_down(buckets->last, ratio);
	}
	buckets->width = width;
}

/*
 * The number of the cell of a finite time, for which there is room now.
 */
static int64
find_cell(TimeBuckets *buckets, TimestampTz time)
{
	for (;;)
	{
		int64 number = divide_down(time - FIRST_MONDAY, buckets->width);
		bool is_empty = buckets->last < buckets->first;
		int64 first = is_empty ? number : Min(buckets->first, number);
		int64 last = is_empty ? number : Max(buckets->last, number);

		if (last - first < buckets->room)
		{
			buckets->first = first;
			buckets->last = last;
			return number;
		}
		widen(buckets);
	}
}

/*
 * Let the buckets reach to a time, whether anything is counted there or not.
 */
void
CoverTime(TimeBuckets *buckets, TimestampTz time)
{
	if (!TIMESTAMP_NOT_FINITE(time))
		(void) find_cell(buckets, time);
}

/*
 * Count a time.  One that is infinite is in no bucket.
 */
void
CountTime(TimeBuckets *buckets, TimestampTz time)
{
	int64 number;

	if (TIMESTAMP_NOT_FINITE(time))
		return;
	number = find_cell(buckets, time);
	(*cell_at(buckets->cells, buckets->room, number))++;
	buckets->counted++;
}

/*
 * How many times were counted.
 */
int64
CountedTimes(const TimeBuckets *buckets)
{
	return buckets->counted;
}

/*
 * The least width of buckets of which there are not more than wanted.
 */
static int64
bucket_width(const TimeBuckets *buckets)
{
	for (int step = 0;; step++)
	{
		int64 width = width_of_step(bucket_seconds, lengthof(bucket_seconds), step);
		int64 ratio = width / buckets->width;

		if (width % buckets->width == 0 &&
			divide_down(buckets->last, ratio) - divide_down(buckets->first, ratio) < buckets->most)
			return width;
	}
}

/*
 * Where a bucket begins; a time that there is.
 */
static TimestampTz
begin_of(int64 number, int64 width)
{
	return Max(number * width + FIRST_MONDAY, MIN_TIMESTAMP);
}

/*
 * Make buckets, all of the same width, of what was counted: the first is the earliest, and
 * none is left out in between.  Returns how many there are; they are made in the current
 * memory context.
 */
int
EndTimeBuckets(TimeBuckets *buckets, TimeBucket **result)
{
	int64 width, ratio, first;
	int count;

	if (buckets->last < buckets->first)
		return 0;
	width = bucket_width(buckets);
	ratio = width / buckets->width;
	first = divide_down(buckets->first, ratio);
	count = (int) (divide_down(buckets->last, ratio) - first + 1);
	*result = palloc0(count * sizeof(TimeBucket));
	for (int i = 0; i < count; i++)
	{
		(*result)[i].from = begin_of(first + i, width);
		(*result)[i].to = begin_of(first + i + 1, width);
	}
	for (int64 number = buckets->first; number <= buckets->last; number++)
		(*result)[divide_down(number, ratio) - first].count +=
			*cell_at(buckets->cells, buckets->room, number);
	return count;
}
