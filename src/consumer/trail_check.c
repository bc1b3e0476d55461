/*
 * trail_check.c
 *		Comparing what is there with the links of the chain; what acteon_outbox_check and
 *		acteon_replay_verify share.  What batches say of their rows is in trail_batches.c.
 *
 * Rows of the outbox and deliveries are compared range by range of their ids, together
 * with the links of their blocks.  Without a range, the entries of the log, batches and
 * removals are compared as well, one by one with their links, and the chain is computed
 * again from its beginning.
 *
 * Everything is read by the snapshot of the calling statement, but for the removals: a
 * part of the outbox that a purge has emptied is empty for older snapshots, too, which do
 * not show yet that it was.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/damaged.h"
#include "base/partition.h"
#include "consumer/trail_reader.h"

/* Outbox ids that are checked at once. */
#define TRAIL_RANGE (16 * 1024)

/* %1$s is the extension's schema; see redrive.c about the search path. */
#define NEXT_ID \
	"SELECT least((SELECT id FROM %1$s.acteon_dispatch_outbox WHERE id BETWEEN $1 AND $2" \
	"		ORDER BY id LIMIT 1)," \
	"	(SELECT greatest(reference, $1) FROM %1$s.acteon_replay_trail WHERE kind = '" TRAIL_ROWS \
	"'		AND reference > $1 - " SQL_SEGMENT_ACTIONS " AND reference <= $2" \
	"		ORDER BY kind, reference LIMIT 1)," \
	"	(SELECT greatest(reference, $1) FROM %1$s.acteon_replay_trail WHERE kind = '" TRAIL_DELIVERIES \
	"'		AND reference > $1 - " SQL_SEGMENT_ACTIONS " AND reference <= $2" \
	"		ORDER BY kind, reference LIMIT 1)," \
	"	(SELECT outbox_id FROM %1$s.acteon_dispatch_delivery WHERE outbox_id BETWEEN $1 AND $2" \
	"		ORDER BY outbox_id LIMIT 1))"
#define LINKS_OF_RANGE \
	"SELECT reference, offsets, hashes, position FROM %1$s.acteon_replay_trail" \
	"	WHERE kind = $3 AND reference > $1 - " SQL_SEGMENT_ACTIONS " AND reference <= $2" \
	"	ORDER BY reference, position"
#define ROWS_OF_RANGE \
	"SELECT " HASHED_COLUMNS ", hash" \
	"	FROM %1$s.acteon_dispatch_outbox WHERE id BETWEEN $1 AND $2 ORDER BY id"
#define DELIVERIES_OF_RANGE \
	"SELECT " DELIVERY_COLUMNS " FROM %1$s.acteon_dispatch_delivery AS d" \
	"	WHERE d.outbox_id BETWEEN $1 AND $2 ORDER BY d.outbox_id"
#define REMOVALS_OF_RANGE \
	"SELECT m.first_id, m.last_id, m.part, m.ids, m.hashes FROM %1$s.acteon_replay_removal AS m" \
	"	WHERE m.first_id <= $2 AND m.last_id >= $1 AND m.event <> '" REMOVAL_PROBES "'"
#define NUMBERED(columns, table, alias) \
	"SELECT " columns " FROM %1$s." table " AS " alias " ORDER BY " alias ".id"
#define LINKS_OF_KIND \
	"SELECT reference, hashes, position FROM %1$s.acteon_replay_trail WHERE kind = $1" \
	"	AND (kind <> '" TRAIL_BATCH "' OR reference NOT IN (SELECT unnest(m.ids)" \
	"		FROM %1$s.acteon_replay_removal AS m WHERE m.event = '" REMOVAL_PROBES "'))" \
	"	ORDER BY reference, position"
#define CHAIN \
	"SELECT position, linked_at, kind, reference, batch_id, offsets, hashes, hash" \
	"	FROM %1$s.acteon_replay_trail ORDER BY position"
#define MARKS_OF_CHAIN \
	"SELECT position, hashes FROM %1$s.acteon_replay_trail WHERE kind = '" TRAIL_SETTLED "'" \
	"	ORDER BY position"

/* A hash that is linked. */
typedef struct Linked
{
	int64 id;
	int64 position; /* of the link; 0: of a removal */
	uint8 hash[ROW_HASH_BYTES];
} Linked;

/* What a link says is settled. */
typedef struct SettledAt
{
	int64 position;
	TrailMarks marks;
} SettledAt;

/* What a purge or redrive has removed in the range. */
typedef struct Removal
{
	int64 first_id;
	int64 last_id;
	int part;
	bool is_of_part; /* what it has are the actions of the part that were kept */
	bool is_redrive; /* what it has are deliveries, with their hashes; otherwise actions */
	Linked *removed;
	int count;
} Removal;

/* ----------------------------------------------------------------
 * What is settled
 * ----------------------------------------------------------------
 */

/*
 * Read what the links say is settled.  Those that say nothing that can be read do not fit
 * into the chain.
 */
static void
read_settled(TrailCheck *check)
{
	TrailReader reader;
	HeapTuple row;
	int allocated = 64;
	MemoryContext context = MemoryContextGetParent(check->range_context);

	check->settled = MemoryContextAlloc(context, allocated * sizeof(SettledAt));
	OpenTrailReader(check, &reader, MARKS_OF_CHAIN, 0, NULL);
	while ((row = NextTrailRow(&reader)) != NULL)
	{
		bool isnull;
		bytea *hashes = DatumGetByteaP(SPI_getbinval(row, reader.fetched->tupdesc, 2, &isnull));

		if (check->settled_count == allocated)
		{
			allocated *= 2;
			check->settled = repalloc_huge(check->settled, allocated * sizeof(SettledAt));
		}
		check->settled[check->settled_count].position = TrailRowNumber(&reader, row);
		if (UnpackMarks(&check->settled[check->settled_count].marks, (uint8 *) VARDATA(hashes),
						VARSIZE(hashes) - VARHDRSZ))
			check->settled_count++;
	}
	CloseTrailReader(&reader);
}

/*
 * What was settled already when a link was written; nothing, if there was none before.
 */
static const TrailMarks *
settled_before(const TrailCheck *check, int64 position)
{
	static const TrailMarks nothing = {.finished_at = DT_NOBEGIN};
	int low = 0;
	int high = check->settled_count;

	while (low < high)
	{
		int middle = low + (high - low) / 2;

		if (check->settled[middle].position < position)
			low = middle + 1;
		else
			high = middle;
	}
	return low == 0 ? &nothing : &check->settled[low - 1].marks;
}

/* ----------------------------------------------------------------
 * Removals
 * ----------------------------------------------------------------
 */

/*
 * Add what of the ids of a removal, and of the hashes of deliveries if there are any, is in
 * the range.
 */
static void
add_removed(const TrailCheck *check, Removal *removal, ArrayType *ids, bytea *hashes)
{
	int count;
	const int64 *values = StoredNumbers(ids, &count);

	removal->count = 0;
	removal->is_redrive = hashes != NULL;
	if (hashes != NULL)
		count = Min(count, (int) ((VARSIZE(hashes) - VARHDRSZ) / ROW_HASH_BYTES));
	removal->removed = MemoryContextAllocHuge(CurrentMemoryContext, Max(count, 1) * sizeof(Linked));
	for (int i = 0; i < count; i++)
	{
		Linked *removed = &removal->removed[removal->count];

		if (values[i] < check->first_id || values[i] > check->last_id)
			continue;
		removed->id = values[i];
		removed->position = 0;
		if (hashes != NULL)
			memcpy(removed->hash, VARDATA(hashes) + i * ROW_HASH_BYTES, ROW_HASH_BYTES);
		removal->count++;
	}
	removal->removed = repalloc_huge(removal->removed, Max(removal->count, 1) * sizeof(Linked));
}

/*
 * Read a removal.
 */
static void
read_removal(const TrailCheck *check, Removal *removal, HeapTuple row, TupleDesc desc)
{
	bool isnull;
	Datum ids, hashes;
	ArrayType *array;
	bytea *bytes;

	removal->first_id = DatumGetInt64(SPI_getbinval(row, desc, 1, &isnull));
	removal->last_id = DatumGetInt64(SPI_getbinval(row, desc, 2, &isnull));
	removal->part = DatumGetInt32(SPI_getbinval(row, desc, 3, &isnull));
	removal->is_of_part = !isnull;
	ids = SPI_getbinval(row, desc, 4, &isnull);
	array = DatumGetArrayTypeP(ids);
	hashes = SPI_getbinval(row, desc, 5, &isnull);
	bytes = isnull ? NULL : DatumGetByteaP(hashes);
	add_removed(check, removal, array, bytes);
	if ((Pointer) array != DatumGetPointer(ids))
		pfree(array);
	if (bytes != NULL && (Pointer) bytes != DatumGetPointer(hashes))
		pfree(bytes);
}

/*
 * Read the removals of the range.  They are there until the range is done.
 */
static void
read_removals(TrailCheck *check)
{
	Oid types[] = {INT8OID, INT8OID};
	Datum values[] = {Int64GetDatum(check->first_id), Int64GetDatum(check->last_id)};
	SPIPlanPtr plan = SPI_prepare(psprintf(REMOVALS_OF_RANGE, check->schema), 2, types);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

	if (plan == NULL || SPI_execute_snapshot(plan, values, NULL, snapshot, InvalidSnapshot, true,
											 false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read removals: %s", SPI_result_code_string(SPI_result));
	UnregisterSnapshot(snapshot);
	MemoryContextSwitchTo(check->range_context);
	check->removal_count = SPI_processed;
	check->removals = palloc(Max(check->removal_count, 1) * sizeof(Removal));
	for (uint64 row = 0; row < check->removal_count; row++)
	{
		CHECK_FOR_INTERRUPTS();
		read_removal(check, &check->removals[row], SPI_tuptable->vals[row], SPI_tuptable->tupdesc);
	}
	SPI_freetuptable(SPI_tuptable);
	SPI_freeplan(plan);
}

/*
 * Whether a removal has an action, or, of a redrive, the delivery.
 */
static bool
has_linked(const Removal *removal, const Linked *linked)
{
	for (int i = 0; i < removal->count; i++)
	{
		if (removal->removed[i].id == linked->id &&
			(!removal->is_redrive ||
			 memcmp(removal->removed[i].hash, linked->hash, ROW_HASH_BYTES) == 0))
			return true;
	}
	return false;
}

/*
 * Whether what is linked was removed by a purge, or, if it is a delivery, by a redrive.
 */
static bool
was_removed(TrailCheck *check, const Linked *linked, bool is_delivery)
{
	MemoryContext old = CurrentMemoryContext;

	if (check->removals == NULL)
		read_removals(check);
	MemoryContextSwitchTo(old);
	for (uint64 i = 0; i < check->removal_count; i++)
	{
		const Removal *removal = &check->removals[i];

		if (linked->id < removal->first_id || linked->id > removal->last_id)
			continue;
		if (removal->is_of_part)
		{
			if (PartitionOfId(linked->id) == removal->part && !has_linked(removal, linked))
				return true;
		}
		else if ((is_delivery || !removal->is_redrive) && has_linked(removal, linked))
			return true;
	}
	return false;
}

/* ----------------------------------------------------------------
 * Rows and deliveries
 * ----------------------------------------------------------------
 */

/*
 * Add what a link has in the range.
 */
static void
add_links(TrailCheck *check, HeapTuple tuple, TupleDesc desc)
{
	bool isnull;
	int64 reference = DatumGetInt64(SPI_getbinval(tuple, desc, 1, &isnull));
	bytea *offsets = DatumGetByteaP(SPI_getbinval(tuple, desc, 2, &isnull));
	bytea *hashes = DatumGetByteaP(SPI_getbinval(tuple, desc, 3, &isnull));
	int count = Min(VARSIZE(offsets) - VARHDRSZ, (VARSIZE(hashes) - VARHDRSZ) / ROW_HASH_BYTES);

	for (int i = 0; i < count; i++)
	{
		int64 id = reference + ((uint8 *) VARDATA(offsets))[i];
		Linked *linked;

		if (id < check->first_id || id > check->last_id)
			continue;
		if (check->count == check->allocated)
		{
			check->allocated *= 2;
			check->linked = repalloc_huge(check->linked, check->allocated * sizeof(Linked));
		}
		linked = &check->linked[check->count++];
		linked->id = id;
		linked->position = DatumGetInt64(SPI_getbinval(tuple, desc, 4, &isnull));
		memcpy(linked->hash, VARDATA(hashes) + i * ROW_HASH_BYTES, ROW_HASH_BYTES);
	}
}

static int
compare_linked(const void *a, const void *b)
{
	int64 ia = ((const Linked *) a)->id;
	int64 ib = ((const Linked *) b)->id;

	return ia < ib ? -1 : ia > ib;
}

/*
 * Read what is linked in the range, of a kind.
 */
static void
read_links(TrailCheck *check, const char *kind)
{
	Datum values[] = {Int64GetDatum(check->first_id), Int64GetDatum(check->last_id),
					  CStringGetTextDatum(kind)};
	TrailReader links;
	HeapTuple link;

	check->count = 0;
	OpenTrailReader(check, &links, LINKS_OF_RANGE, 3, values);
	while ((link = NextTrailRow(&links)) != NULL)
		add_links(check, link, links.fetched->tupdesc);
	CloseTrailReader(&links);
	qsort(check->linked, check->count, sizeof(Linked), compare_linked);
}

/* A row that is hashed, guarded. */
typedef struct Hashing
{
	TrailCheck *check;
	HeapTuple tuple;
	TupleDesc desc;
	bool is_delivery;
	uint8 hash[ROW_HASH_BYTES];
} Hashing;

/*
 * Hash a row of the outbox, without its own hash, or a delivery.
 */
static void
hash_row(void *argument)
{
	Hashing *hashing = argument;
	Digest *digest = &hashing->check->digest;

	if (hashing->is_delivery)
		HashDelivery(digest, hashing->tuple, hashing->desc, hashing->hash);
	else
		HashOutboxRow(digest, hashing->tuple, hashing->desc, hashing->hash);
}

/*
 * Whether reading a row may fail: a value is stored out of line, or so compressed that it
 * may be nested deeply.
 */
static bool
may_fail(HeapTuple tuple, TupleDesc desc)
{
	for (int column = 1; column <= desc->natts; column++)
	{
		bool isnull;
		Datum value;

		if (TupleDescAttr(desc, column - 1)->attlen != -1)
			continue;
		value = SPI_getbinval(tuple, desc, column, &isnull);
		if (!isnull && (VARATT_IS_EXTERNAL(DatumGetPointer(value)) ||
						VARATT_IS_COMPRESSED(DatumGetPointer(value))))
			return true;
	}
	return false;
}

/*
 * The hash of a row as it is now.  Returns what is wrong if it cannot be read, or NULL.
 */
static char *
hash_now(Hashing *hashing)
{
	if (may_fail(hashing->tuple, hashing->desc))
		return RunGuarded(hash_row, hashing);
	hash_row(hashing);
	return NULL;
}

/*
 * The hash that a row of the outbox carries; false: none, or not one of ours.
 */
static bool
stored_hash(HeapTuple tuple, TupleDesc desc, uint8 *hash)
{
	bool isnull;
	Datum value = SPI_getbinval(tuple, desc, desc->natts, &isnull);
	bytea *stored = isnull ? NULL : DatumGetByteaPP(value);

	if (isnull || VARSIZE_ANY_EXHDR(stored) != ROW_HASH_BYTES)
		return false;
	memcpy(hash, VARDATA_ANY(stored), ROW_HASH_BYTES);
	return true;
}

/*
 * Compare a row of the outbox with its hash and with what is linked of it, if anything is.
 */
static void
compare_row(TrailCheck *check, HeapTuple tuple, TupleDesc desc, int64 id, const Linked *linked)
{
	Hashing hashing = {.check = check, .tuple = tuple, .desc = desc};
	uint8 stored[ROW_HASH_BYTES];
	char *error;

	check->seen->rows.there++;
	check->seen->rows.last = id;
	if (!stored_hash(tuple, desc, stored))
	{
		if (linked != NULL || id >= check->seen->head.marks.hashed_from)
			ReportTrail(check, "row changed", id, id, "The row has lost its hash.");
		else
			check->seen->unhashed++;
		return;
	}
	error = hash_now(&hashing);
	if (error != NULL)
		ReportTrail(check, "row changed", id, id, psprintf("The row cannot be read: %s", error));
	else if (memcmp(hashing.hash, stored, ROW_HASH_BYTES) != 0)
		ReportTrail(check, "row changed", id, id, "The row was changed after it was enqueued.");
	else if (linked != NULL && memcmp(linked->hash, stored, ROW_HASH_BYTES) != 0)
		ReportTrail(check, "row changed", id, id,
					"The row and its hash are not what they were when they were linked.");
	else if (linked == NULL && id <= check->seen->head.marks.outbox_id)
		ReportTrail(check, "row added", id, id,
					"The row was not there when the rows around it were linked.");
	else if (linked != NULL && id <= settled_before(check, linked->position)->outbox_id)
		ReportTrail(check, "row added", id, id,
					"The row was linked when the rows around it had long been.");
	else if (linked == NULL)
		check->seen->rows.unlinked++;
}

/*
 * What is linked up to an id, exclusively, is not there.
 */
static void
report_missing_rows(TrailCheck *check, int *next, int64 before)
{
	for (; *next < check->count && check->linked[*next].id < before; (*next)++)
	{
		if (was_removed(check, &check->linked[*next], false))
			check->seen->removed++;
		else
			ReportTrail(check, "row missing", check->linked[*next].id, check->linked[*next].id,
						"The row was linked, and no purge has removed it.");
	}
}

/*
 * Check the rows of the outbox in the range.
 */
static void
check_rows(TrailCheck *check)
{
	Datum values[] = {Int64GetDatum(check->first_id), Int64GetDatum(check->last_id)};
	TrailReader rows;
	HeapTuple row;
	int next = 0;

	read_links(check, TRAIL_ROWS);
	OpenTrailReader(check, &rows, ROWS_OF_RANGE, 2, values);
	while ((row = NextTrailRow(&rows)) != NULL)
	{
		int64 id = TrailRowNumber(&rows, row);
		const Linked *linked = NULL;

		report_missing_rows(check, &next, id);
		while (next < check->count && check->linked[next].id == id)
			linked = &check->linked[next++];
		compare_row(check, row, rows.fetched->tupdesc, id, linked);
	}
	CloseTrailReader(&rows);
	report_missing_rows(check, &next, PG_INT64_MAX);
}

/*
 * Compare the deliveries of an action that are linked with the one that is there, if one
 * is.
 */
static void
compare_delivery(TrailCheck *check, const Linked *linked, int count, HeapTuple tuple,
				 TupleDesc desc, int64 id)
{
	Hashing hashing = {.check = check, .tuple = tuple, .desc = desc, .is_delivery = true};
	const Linked *found = NULL;
	bool missing = false;
	TimestampTz finished_at = 0;

	if (tuple != NULL)
	{
		bool isnull;
		char *error = hash_now(&hashing);

		check->seen->deliveries.there++;
		finished_at =
			DatumGetTimestampTz(SPI_getbinval(tuple, desc, DELIVERY_FINISHED_AT, &isnull));

		if (error != NULL)
		{
			ReportTrail(check, "delivery changed", id, id,
						psprintf("The delivery cannot be read: %s", error));
			return;
		}
	}
	for (int i = 0; i < count; i++)
	{
		if (tuple != NULL && memcmp(linked[i].hash, hashing.hash, ROW_HASH_BYTES) == 0)
			found = &linked[i];
		else if (!was_removed(check, &linked[i], true))
			missing = true;
	}
	if (missing && tuple == NULL)
		ReportTrail(check, "delivery missing", id, id,
					"The delivery was linked, and neither a purge nor a redrive has removed it.");
	else if (missing)
		ReportTrail(check, "delivery changed", id, id,
					"The delivery is not what it was when it was linked.");
	else if (tuple != NULL && found == NULL && finished_at < check->seen->head.marks.finished_at)
		ReportTrail(
			check, "delivery added", id, id,
			"The delivery was not there when those of its time were linked, or the clock was set back.");
	else if (found != NULL && finished_at < settled_before(check, found->position)->finished_at)
		ReportTrail(
			check, "delivery added", id, id,
			"The delivery was linked when those of its time had long been, or the clock was set back.");
	else if (tuple != NULL && found == NULL)
		check->seen->deliveries.unlinked++;
}

/*
 * Compare the deliveries of actions that have none, up to an id, exclusively.
 */
static void
compare_missing_deliveries(TrailCheck *check, int *next, int64 before)
{
	while (*next < check->count && check->linked[*next].id < before)
	{
		int first = *next;

		while (*next < check->count && check->linked[*next].id == check->linked[first].id)
			(*next)++;
		compare_delivery(check, &check->linked[first], *next - first, NULL, NULL,
						 check->linked[first].id);
	}
}

/*
 * Check the deliveries in the range.
 */
static void
check_deliveries(TrailCheck *check)
{
	Datum values[] = {Int64GetDatum(check->first_id), Int64GetDatum(check->last_id)};
	TrailReader rows;
	HeapTuple row;
	int next = 0;

	read_links(check, TRAIL_DELIVERIES);
	OpenTrailReader(check, &rows, DELIVERIES_OF_RANGE, 2, values);
	while ((row = NextTrailRow(&rows)) != NULL)
	{
		int64 id = TrailRowNumber(&rows, row);
		int first;

		compare_missing_deliveries(check, &next, id);
		for (first = next; next < check->count && check->linked[next].id == id; next++)
			;
		compare_delivery(check, &check->linked[first], next - first, row, rows.fetched->tupdesc,
						 id);
	}
	CloseTrailReader(&rows);
	compare_missing_deliveries(check, &next, PG_INT64_MAX);
}

/*
 * Check rows and deliveries, range by range of their ids.
 */
static void
check_ids(TrailCheck *check, int64 from_id, int64 to_id)
{
	Oid types[] = {INT8OID, INT8OID};
	SPIPlanPtr next_id = SPI_prepare(psprintf(NEXT_ID, check->schema), 2, types);

	if (next_id == NULL)
		elog(ERROR, "could not prepare a statement: %s", SPI_result_code_string(SPI_result));
	for (;;)
	{
		Datum rest[] = {Int64GetDatum(from_id), Int64GetDatum(to_id)};
		bool isnull;

		CHECK_FOR_INTERRUPTS();
		if (SPI_execute_plan(next_id, rest, NULL, true, 0) != SPI_OK_SELECT || SPI_processed != 1)
			elog(ERROR, "could not read the trail: %s", SPI_result_code_string(SPI_result));
		check->first_id =
			DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
		SPI_freetuptable(SPI_tuptable);
		if (isnull)
			break;
		check->last_id = (uint64) to_id - (uint64) check->first_id < TRAIL_RANGE
							 ? to_id
							 : check->first_id + TRAIL_RANGE - 1;
		MemoryContextSwitchTo(check->range_context);
		check_rows(check);
		MemoryContextSwitchTo(check->range_context);
		check_deliveries(check);
		check->removals = NULL;
		MemoryContextReset(check->range_context);
		if (check->last_id == to_id)
			break;
		from_id = check->last_id + 1;
	}
	SPI_freeplan(next_id);
}

/* ----------------------------------------------------------------
 * Everything else
 * ----------------------------------------------------------------
 */

/*
 * Whether a row has the hash that a link says.
 */
static bool
is_as_linked(TrailCheck *check, const char *kind, const TrailReader *rows, HeapTuple row,
			 const TrailReader *links, HeapTuple link)
{
	uint8 hash[ROW_HASH_BYTES];
	bool isnull;
	bytea *linked = DatumGetByteaP(SPI_getbinval(link, links->fetched->tupdesc, 2, &isnull));

	HashRow(&check->digest, kind, row, rows->fetched->tupdesc, hash);
	return VARSIZE(linked) - VARHDRSZ == ROW_HASH_BYTES &&
		   memcmp(VARDATA(linked), hash, ROW_HASH_BYTES) == 0;
}

/* Rows that have a number each and, once they are linked, never change or go. */
typedef struct Numbered
{
	const char *statement;
	const char *kind;
	const char *what; /* they are called */
	Size mark;        /* offset in TrailMarks of the number up to which they are settled */
	TrailCount *count;
} Numbered;

static int64
mark_of(const Numbered *numbered, const TrailMarks *marks)
{
	return *(const int64 *) ((const char *) marks + numbered->mark);
}

/*
 * Compare a row with its link.
 */
static void
compare_numbered(TrailCheck *check, const Numbered *numbered, const TrailReader *rows,
				 HeapTuple row, const TrailReader *links, HeapTuple link)
{
	int64 number = TrailRowNumber(rows, row);
	bool isnull;
	int64 position = DatumGetInt64(SPI_getbinval(link, links->fetched->tupdesc, 3, &isnull));

	if (!is_as_linked(check, numbered->kind, rows, row, links, link))
		ReportTrailNumber(check, numbered->what, "changed", number,
						  "is not what it was when it was linked");
	else if (number <= mark_of(numbered, settled_before(check, position)))
		ReportTrailNumber(check, numbered->what, "added", number,
						  "was linked when those around it had long been");
}

/*
 * Check rows that have numbers.
 */
static void
check_numbered(TrailCheck *check, const Numbered *numbered)
{
	const char *what = numbered->what;
	Datum value = CStringGetTextDatum(numbered->kind);
	TrailReader rows, links;
	HeapTuple row, link;

	OpenTrailReader(check, &rows, numbered->statement, 0, NULL);
	OpenTrailReader(check, &links, LINKS_OF_KIND, 1, &value);
	row = NextTrailRow(&rows);
	link = NextTrailRow(&links);
	while (row != NULL || link != NULL)
	{
		int64 number = row == NULL ? 0 : TrailRowNumber(&rows, row);
		int64 linked = link == NULL ? 0 : TrailRowNumber(&links, link);

		if (row != NULL && link != NULL && number == linked)
		{
			numbered->count->there++;
			numbered->count->last = number;
			compare_numbered(check, numbered, &rows, row, &links, link);
			row = NextTrailRow(&rows);
			link = NextTrailRow(&links);
		}
		else if (row == NULL || (link != NULL && linked < number))
		{
			ReportTrailNumber(check, what, "missing", linked, "was linked and is not there");
			link = NextTrailRow(&links);
		}
		else
		{
			numbered->count->there++;
			numbered->count->last = number;
			if (number <= mark_of(numbered, &check->seen->head.marks))
				ReportTrailNumber(check, what, "added", number,
								  "was not there when those around it were linked");
			else
				numbered->count->unlinked++;
			row = NextTrailRow(&rows);
		}
	}
	CloseTrailReader(&rows);
	CloseTrailReader(&links);
}

/*
 * Read a link of the chain.  Returns false if it is none of ours, whatever its hash is.
 */
static bool
read_link(TrailLink *link, uint8 *hash, HeapTuple row, TupleDesc desc)
{
	bool isnull;
	bytea *offsets = DatumGetByteaP(SPI_getbinval(row, desc, Anum_trail_offsets, &isnull));
	bytea *hashes = DatumGetByteaP(SPI_getbinval(row, desc, Anum_trail_hashes, &isnull));
	bytea *stored = DatumGetByteaP(SPI_getbinval(row, desc, Anum_trail_hash, &isnull));

	memset(link, 0, sizeof(*link));
	memset(hash, 0, LINK_HASH_BYTES);
	link->position = DatumGetInt64(SPI_getbinval(row, desc, Anum_trail_position, &isnull));
	link->linked_at = DatumGetTimestampTz(SPI_getbinval(row, desc, Anum_trail_linked_at, &isnull));
	link->kind = TextDatumGetCString(SPI_getbinval(row, desc, Anum_trail_kind, &isnull));
	link->reference = DatumGetInt64(SPI_getbinval(row, desc, Anum_trail_reference, &isnull));
	link->batch_id = DatumGetInt64(SPI_getbinval(row, desc, Anum_trail_batch_id, &isnull));
	if (VARSIZE(stored) - VARHDRSZ != LINK_HASH_BYTES)
		return false;
	memcpy(hash, VARDATA(stored), LINK_HASH_BYTES);
	/* The hash of a link has 0 for none. */
	if (!isnull && link->batch_id == 0)
		return false;
	if (isnull)
		link->batch_id = 0;
	if (VARSIZE(offsets) - VARHDRSZ > SEGMENT_ACTIONS ||
		VARSIZE(hashes) - VARHDRSZ != (VARSIZE(offsets) - VARHDRSZ) * ROW_HASH_BYTES)
		return false;
	link->count = VARSIZE(offsets) - VARHDRSZ;
	memcpy(link->offsets, VARDATA(offsets), link->count);
	memcpy(link->hashes, VARDATA(hashes), link->count * ROW_HASH_BYTES);
	return true;
}

/*
 * Check the chain, from its beginning to its head.  Each link is compared with the hash
 * that the one before it has, so that every place where the chain is broken is told, and
 * no others.
 */
static void
check_chain(TrailCheck *check)
{
	uint8 expected[LINK_HASH_BYTES] = {0};
	uint8 stored[LINK_HASH_BYTES];
	int64 position = 0;
	TrailReader reader;
	HeapTuple row;

	OpenTrailReader(check, &reader, CHAIN, 0, NULL);
	while ((row = NextTrailRow(&reader)) != NULL)
	{
		TrailLink link;
		bool is_ours = read_link(&link, stored, row, reader.fetched->tupdesc);

		HashLink(&check->digest, &link, expected);
		if (check->observer->linked != NULL)
			check->observer->linked(check->observer->argument, &link, stored);
		if (link.position != position + 1)
			ReportTrail(check, "chain broken", 0, link.position,
						psprintf("Link " INT64_FORMAT " follows link " INT64_FORMAT ".",
								 link.position, position));
		else if (!is_ours || memcmp(expected, stored, LINK_HASH_BYTES) != 0)
			ReportTrail(check, "chain broken", 0, link.position,
						psprintf("Link " INT64_FORMAT " does not fit to the one before it.",
								 link.position));
		memcpy(expected, stored, LINK_HASH_BYTES);
		position = link.position;
	}
	CloseTrailReader(&reader);
	if (position != check->seen->head.position ||
		memcmp(expected, check->seen->head.hash, LINK_HASH_BYTES) != 0)
		ReportTrail(check, "chain broken", 0, check->seen->head.position,
					psprintf("The chain ends with link " INT64_FORMAT
							 ", and its head is link " INT64_FORMAT ".",
							 position, check->seen->head.position));
}

/*
 * Check that what the head says is settled is what the last link says that is about that.
 */
static void
check_marks(TrailCheck *check)
{
	const TrailMarks *head = &check->seen->head.marks;
	const TrailMarks *last;

	if (check->settled_count == 0)
	{
		if (head->log_id == 0 && head->batch_id == 0 && head->removal_id == 0 &&
			head->outbox_id == 0 && head->finished_at == DT_NOBEGIN)
			return;
		ReportTrail(
			check, "chain broken", 0, 0,
			"The head of the chain says up to where everything is linked, and no link does.");
		return;
	}
	last = &check->settled[check->settled_count - 1].marks;
	if (head->hashed_from != last->hashed_from || head->log_id != last->log_id ||
		head->batch_id != last->batch_id || head->removal_id != last->removal_id ||
		head->outbox_id != last->outbox_id || head->finished_at != last->finished_at)
		ReportTrail(check, "chain broken", 0, check->settled[check->settled_count - 1].position,
					psprintf("The head of the chain says otherwise up to where everything is linked"
							 " than link " INT64_FORMAT " does.",
							 check->settled[check->settled_count - 1].position));
}

/*
 * Check everything but rows and deliveries.
 */
static void
check_everything_else(TrailCheck *check)
{
	TrailSeen *seen = check->seen;
	const Numbered kinds[] = {{NUMBERED(LOG_COLUMNS, "acteon_replay_log", "l"), TRAIL_LOG,
							   "log entry", offsetof(TrailMarks, log_id), &seen->log},
							  {NUMBERED(BATCH_COLUMNS, "acteon_replay_batch", "b"), TRAIL_BATCH,
							   "batch", offsetof(TrailMarks, batch_id), &seen->batches},
							  {NUMBERED(REMOVAL_COLUMNS, "acteon_replay_removal", "m"),
							   TRAIL_REMOVAL, "removal", offsetof(TrailMarks, removal_id),
							   &seen->removals}};

	for (int i = 0; i < lengthof(kinds); i++)
		check_numbered(check, &kinds[i]);
	CheckTrailBatches(check);
	check_chain(check);
	check_marks(check);
}

/*
 * Check rows and deliveries in a range of ids, and, if it is to be everything, all else
 * that is linked; as the owner of the tables, whom the caller must have become.  Tells an
 * observer of violations, and, if it is to be everything, of each link of the chain, in
 * their order; *seen becomes what was looked at.  Needs an SPI connection.
 */
void
CheckTrail(const TrailObserver *observer, Oid schema, int64 from_id, int64 to_id, bool everything,
		   TrailSeen *seen)
{
	TrailCheck check = {.observer = observer, .seen = seen};
	MemoryContext old = CurrentMemoryContext;
	MemoryContext context;

	memset(seen, 0, sizeof(*seen));
	check.schema = quote_identifier(get_namespace_name(schema));
	context = AllocSetContextCreate(old, "acteon_replay trail check", ALLOCSET_DEFAULT_SIZES);
	check.range_context =
		AllocSetContextCreate(context, "acteon_replay trail range", ALLOCSET_DEFAULT_SIZES);
	check.row_context =
		AllocSetContextCreate(context, "acteon_replay trail row", ALLOCSET_DEFAULT_SIZES);
	ReadHead(check.schema, &seen->head);
	MemoryContextSwitchTo(context);
	check.allocated = TRAIL_RANGE;
	check.linked = palloc(check.allocated * sizeof(Linked));
	OpenDigest(&check.digest);
	read_settled(&check);
	MemoryContextSwitchTo(context);
	check_ids(&check, from_id, to_id);
	if (everything)
		check_everything_else(&check);
	CloseDigest(&check.digest);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}
