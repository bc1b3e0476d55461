/*
 * numbers.c
 *		Drawing numbers for the rows of our tables.
 *
 * A sequence can fall behind its table: logical replication carries rows and no
 * sequences, and so do restores of data alone.  Then it would give numbers out
 * twice, and every insert would fail.  So who draws a number looks whether rows
 * with higher ones are there, which is a matter of one look into the index, and
 * moves the sequence past them where they cannot have come from it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "base/catalog.h"
#include "base/numbers.h"
#include "base/partition.h"
#include "base/table_access.h"

/* The number is the first column of all our tables. */
#define NUMBER_COLUMN 1

/*
 * The highest number in a table between two, inclusive; 0 if there is none.
 */
static int64
highest_number(Oid relid, int64 from, int64 to)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableFinder finder;
	int64 number = 0;
	bool isnull;

	OpenFinder(&finder, relid, NUMBER_COLUMN);
	if (FindLastRow(&finder, from - 1, to, snapshot))
		number = DatumGetInt64(FoundColumn(&finder, NUMBER_COLUMN, &isnull));
	CloseFinder(&finder);
	UnregisterSnapshot(snapshot);
	return number;
}

/*
 * Move a sequence past the highest number of its table, if that did not come from
 * it; step is how many numbers each of its values stands for.  Returns whether it
 * had to.
 */
static bool
move_forward(Oid sequence, Oid table, int64 step)
{
	LOCKTAG tag;
	int64 last, highest, target;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, sequence, 0, NUMBERS_LOCK_CLASS);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
	last = DatumGetInt64(DirectFunctionCall1(pg_sequence_last_value, ObjectIdGetDatum(sequence)));
	highest = highest_number(table, 1, PG_INT64_MAX);
	if (highest < last + step)
	{
		(void) LockRelease(&tag, ExclusiveLock, false);
		return false;
	}
	target = last + (highest - last + step) / step * step;
	(void) DirectFunctionCall2(setval_oid, ObjectIdGetDatum(sequence),
							   Int64GetDatum(target - step));
	(void) LockRelease(&tag, ExclusiveLock, false);
	ereport(WARNING, (errmsg("sequence of table \"%s\" was behind its rows and has been advanced",
							 get_rel_name(table)),
					  errdetail("Its next value was " INT64_FORMAT
								", the highest value in use is " INT64_FORMAT ".",
								last, highest)));
	return true;
}

/*
 * Draw a number for a row of a table from its sequence.  Acts as the current user,
 * who must own both.
 */
int64
NextNumber(Oid schema, const char *sequence, const char *table)
{
	Oid sequence_id = OwnTable(schema, sequence);
	bool parted = strcmp(sequence, OUTBOX_SEQUENCE) == 0;
	int64 step = parted ? SEGMENT_ACTIONS : 1;
	int64 number = nextval_internal(sequence_id, false);
	Oid table_id = PartitionTable(schema, table, parted ? PartitionOfId(number) : 0);

	/* Later numbers alone prove nothing: others may be quicker than we are. */
	while (highest_number(table_id, number, PG_INT64_MAX) != 0 &&
		   (move_forward(sequence_id, table_id, step) ||
			highest_number(table_id, number, number + step - 1) != 0))
	{
		CHECK_FOR_INTERRUPTS();
		number = nextval_internal(sequence_id, false);
		if (parted)
			table_id = PartitionTable(schema, table, PartitionOfId(number));
	}
	return number;
}
