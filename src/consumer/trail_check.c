/*
 * trail_check.c
 *		Comparing what is there with the links of the chain; what acteon_outbox_check and
 *		acteon_replay_verify share.
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
#include "consumer/trail.h"

/* Outbox ids that are checked at once. */
#define TRAIL_RANGE (16 * 1024)

/* Rows that are fetched at once. */
#define FETCH_ROWS 1000

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
#define ROWS_OF_BATCHES \
	"SELECT b.id, t.reference, t.offsets, t.hashes, b.rows_hash, b.replayed, b.first_outbox_id," \
	"	b.last_outbox_id FROM %1$s.acteon_replay_batch AS b" \
	"	JOIN %1$s.acteon_replay_trail AS t ON t.batch_id = b.id AND t.kind = '" TRAIL_ROWS "'" \
	"	ORDER BY b.id, t.reference, t.position"
/* Rows of batch $1 that are not linked yet; from $2 on there may be such. */
#define UNLINKED_OF_BATCH \
	"SELECT count(*), max(o.id) FROM %1$s.acteon_dispatch_outbox AS o" \
	"	WHERE o.id > $2 AND o.batch_id = $1 AND NOT EXISTS (SELECT FROM %1$s.acteon_replay_trail AS t" \
	"		WHERE t.kind = '" TRAIL_ROWS \
	"' AND t.reference = " SQL_BLOCK_OF_ID("o.id") " OFFSET 0)"
/* Whom a batch was handed over to changes, and each change has an entry in the log. */
#define OWNED_BATCHES \
	"SELECT b.id FROM %1$s.acteon_replay_batch AS b WHERE b.owner_oid IS NOT NULL AND NOT EXISTS" \
	"	(SELECT FROM %1$s.acteon_replay_log AS l WHERE l.batch_id = b.id AND l.event = 'hand_over')" \
	"	ORDER BY b.id"

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

/* A check under way. */
typedef struct TrailCheck
{
	const TrailObserver *observer;
	const char *schema;
	TrailSeen *seen;
	Digest digest;
	SettledAt *settled; /* by position */
	int settled_count;
	MemoryContext range_context;
	MemoryContext row_context;
	int64 first_id; /* of the range */
	int64 last_id;
	Linked *linked; /* in the range, by id */
	int count;
	int allocated;
	Removal *removals; /* of the range; NULL: not read yet */
	uint64 removal_count;
} TrailCheck;

/* ----------------------------------------------------------------
 * Findings
 * ----------------------------------------------------------------
 */

/*
 * Tell of a violation; id 0: of no action; number: what it is about, 0: nothing that has one.
 */
static void
report(TrailCheck *check, const char *violation, int64 id, int64 number, const char *detail)
{
	TrailFinding finding = {.violation = violation,
							.outbox_id = id,
							.number = number,
							.detail = detail};

	check->observer->found(check->observer->argument, &finding);
}

/*
 * Return a violation of a thing that has a number.
 */
static void
report_numbered(TrailCheck *check, const char *what, const char *how, int64 number,
				const char *because)
{
	StringInfoData detail;

	initStringInfo(&detail);
	appendStringInfo(&detail, "%s " INT64_FORMAT " %s.", what, number, because);
	detail.data[0] = pg_toupper((unsigned char) detail.data[0]);
	report(check, psprintf("%s %s", what, how), 0, number, detail.data);
	pfree(detail.data);
}

/* ----------------------------------------------------------------
 * Reading
 * ----------------------------------------------------------------
 */

/* The rows that a statement finds, one after the other. */
typedef struct Reader
{
	MemoryContext context; /* of a row */
	Portal portal;
	SPITupleTable *fetched;
	uint64 count;
	uint64 at;
} Reader;

/*
 * Begin to read what a statement finds: about the range ($1 and $2) and with a text ($3), if
 * there are that many values, or with a text alone ($1).
 */
static void
open_reader(TrailCheck *check, Reader *reader, const char *statement, int count, Datum *values)
{
	Oid types[] = {INT8OID, INT8OID, TEXTOID};

	memset(reader, 0, sizeof(*reader));
	reader->context = check->row_context;
	reader->portal =
		SPI_cursor_open_with_args(NULL, psprintf(statement, check->schema), count,
								  count == 1 ? &types[2] : types, values, NULL, true, 0);
}

/*
 * The next row; NULL at the end, after which there must be no other call.  Leaves the
 * context of a row current, in which there is nothing any more of the row before.
 */
static HeapTuple
next_row(Reader *reader)
{
	CHECK_FOR_INTERRUPTS();
	if (reader->at == reader->count)
	{
		if (reader->fetched != NULL)
			SPI_freetuptable(reader->fetched);
		SPI_cursor_fetch(reader->portal, true, FETCH_ROWS);
		reader->fetched = SPI_tuptable;
		reader->count = SPI_processed;
		reader->at = 0;
	}
	MemoryContextSwitchTo(reader->context);
	MemoryContextReset(reader->context);
	return reader->count == 0 ? NULL : reader->fetched->vals[reader->at++];
}

static void
close_reader(Reader *reader)
{
	if (reader->fetched != NULL)
		SPI_freetuptable(reader->fetched);
	SPI_cursor_close(reader->portal);
}

/*
 * The number in the first column of a row that a reader has read.
 */
static int64
row_number(const Reader *reader, HeapTuple row)
{
	bool isnull;

	return DatumGetInt64(SPI_getbinval(row, reader->fetched->tupdesc, 1, &isnull));
}

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
	Reader reader;
	HeapTuple row;
	int allocated = 64;
	MemoryContext context = MemoryContextGetParent(check->range_context);

	check->settled = MemoryContextAlloc(context, allocated * sizeof(SettledAt));
	open_reader(check, &reader, MARKS_OF_CHAIN, 0, NULL);
	while ((row = next_row(&reader)) != NULL)
	{
		bool isnull;
		bytea *hashes = DatumGetByteaP(SPI_getbinval(row, reader.fetched->tupdesc, 2, &isnull));

		if (check->settled_count == allocated)
		{
			allocated *= 2;
			check->settled = repalloc_huge(check->settled, allocated * sizeof(SettledAt));
		}
		check->settled[check->settled_count].position = row_number(&reader, row);
		if (UnpackMarks(&check->settled[check->settled_count].marks, (uint8 *) VARDATA(hashes),
						VARSIZE(hashes) - VARHDRSZ))
			check->settled_count++;
	}
	close_reader(&reader);
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
	Reader links;
	HeapTuple link;

	check->count = 0;
	open_reader(check, &links, LINKS_OF_RANGE, 3, values);
	while ((link = next_row(&links)) != NULL)
		add_links(check, link, links.fetched->tupdesc);
	close_reader(&links);
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
			report(check, "row changed", id, id, "The row has lost its hash.");
		else
			check->seen->unhashed++;
		return;
	}
	error = hash_now(&hashing);
	if (error != NULL)
		report(check, "row changed", id, id, psprintf("The row cannot be read: %s", error));
	else if (memcmp(hashing.hash, stored, ROW_HASH_BYTES) != 0)
		report(check, "row changed", id, id, "The row was changed after it was enqueued.");
	else if (linked != NULL && memcmp(linked->hash, stored, ROW_HASH_BYTES) != 0)
		report(check, "row changed", id, id,
			   "The row and its hash are not what they were when they were linked.");
	else if (linked == NULL && id <= check->seen->head.marks.outbox_id)
		report(check, "row added", id, id,
			   "The row was not there when the rows around it were linked.");
	else if (linked != NULL && id <= settled_before(check, linked->position)->outbox_id)
		report(check, "row added", id, id,
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
			report(check, "row missing", check->linked[*next].id, check->linked[*next].id,
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
	Reader rows;
	HeapTuple row;
	int next = 0;

	read_links(check, TRAIL_ROWS);
	open_reader(check, &rows, ROWS_OF_RANGE, 2, values);
	while ((row = next_row(&rows)) != NULL)
	{
		int64 id = row_number(&rows, row);
		const Linked *linked = NULL;

		report_missing_rows(check, &next, id);
		while (next < check->count && check->linked[next].id == id)
			linked = &check->linked[next++];
		compare_row(check, row, rows.fetched->tupdesc, id, linked);
	}
	close_reader(&rows);
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
			report(check, "delivery changed", id, id,
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
		report(check, "delivery missing", id, id,
			   "The delivery was linked, and neither a purge nor a redrive has removed it.");
	else if (missing)
		report(check, "delivery changed", id, id,
			   "The delivery is not what it was when it was linked.");
	else if (tuple != NULL && found == NULL && finished_at < check->seen->head.marks.finished_at)
		report(check, "delivery added", id, id,
			   "The delivery was not there when those of its time were linked.");
	else if (found != NULL && finished_at < settled_before(check, found->position)->finished_at)
		report(check, "delivery added", id, id,
			   "The delivery was linked when those of its time had long been.");
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
	Reader rows;
	HeapTuple row;
	int next = 0;

	read_links(check, TRAIL_DELIVERIES);
	open_reader(check, &rows, DELIVERIES_OF_RANGE, 2, values);
	while ((row = next_row(&rows)) != NULL)
	{
		int64 id = row_number(&rows, row);
		int first;

		compare_missing_deliveries(check, &next, id);
		for (first = next; next < check->count && check->linked[next].id == id; next++)
			;
		compare_delivery(check, &check->linked[first], next - first, row, rows.fetched->tupdesc,
						 id);
	}
	close_reader(&rows);
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
is_as_linked(TrailCheck *check, const char *kind, const Reader *rows, HeapTuple row,
			 const Reader *links, HeapTuple link)
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
compare_numbered(TrailCheck *check, const Numbered *numbered, const Reader *rows, HeapTuple row,
				 const Reader *links, HeapTuple link)
{
	int64 number = row_number(rows, row);
	bool isnull;
	int64 position = DatumGetInt64(SPI_getbinval(link, links->fetched->tupdesc, 3, &isnull));

	if (!is_as_linked(check, numbered->kind, rows, row, links, link))
		report_numbered(check, numbered->what, "changed", number,
						"is not what it was when it was linked");
	else if (number <= mark_of(numbered, settled_before(check, position)))
		report_numbered(check, numbered->what, "added", number,
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
	Reader rows, links;
	HeapTuple row, link;

	open_reader(check, &rows, numbered->statement, 0, NULL);
	open_reader(check, &links, LINKS_OF_KIND, 1, &value);
	row = next_row(&rows);
	link = next_row(&links);
	while (row != NULL || link != NULL)
	{
		int64 number = row == NULL ? 0 : row_number(&rows, row);
		int64 linked = link == NULL ? 0 : row_number(&links, link);

		if (row != NULL && link != NULL && number == linked)
		{
			numbered->count->there++;
			numbered->count->last = number;
			compare_numbered(check, numbered, &rows, row, &links, link);
			row = next_row(&rows);
			link = next_row(&links);
		}
		else if (row == NULL || (link != NULL && linked < number))
		{
			report_numbered(check, what, "missing", linked, "was linked and is not there");
			link = next_row(&links);
		}
		else
		{
			numbered->count->there++;
			numbered->count->last = number;
			if (number <= mark_of(numbered, &check->seen->head.marks))
				report_numbered(check, what, "added", number,
								"was not there when those around it were linked");
			else
				numbered->count->unlinked++;
			row = next_row(&rows);
		}
	}
	close_reader(&rows);
	close_reader(&links);
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
	Reader reader;
	HeapTuple row;

	open_reader(check, &reader, CHAIN, 0, NULL);
	while ((row = next_row(&reader)) != NULL)
	{
		TrailLink link;
		bool is_ours = read_link(&link, stored, row, reader.fetched->tupdesc);

		HashLink(&check->digest, &link, expected);
		if (check->observer->linked != NULL)
			check->observer->linked(check->observer->argument, &link, stored);
		if (link.position != position + 1)
			report(check, "chain broken", 0, link.position,
				   psprintf("Link " INT64_FORMAT " follows link " INT64_FORMAT ".", link.position,
							position));
		else if (!is_ours || memcmp(expected, stored, LINK_HASH_BYTES) != 0)
			report(check, "chain broken", 0, link.position,
				   psprintf("Link " INT64_FORMAT " does not fit to the one before it.",
							link.position));
		memcpy(expected, stored, LINK_HASH_BYTES);
		position = link.position;
	}
	close_reader(&reader);
	if (position != check->seen->head.position ||
		memcmp(expected, check->seen->head.hash, LINK_HASH_BYTES) != 0)
		report(check, "chain broken", 0, check->seen->head.position,
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
		report(check, "chain broken", 0, 0,
			   "The head of the chain says up to where everything is linked, and no link does.");
		return;
	}
	last = &check->settled[check->settled_count - 1].marks;
	if (head->hashed_from != last->hashed_from || head->log_id != last->log_id ||
		head->batch_id != last->batch_id || head->removal_id != last->removal_id ||
		head->outbox_id != last->outbox_id || head->finished_at != last->finished_at)
		report(check, "chain broken", 0, check->settled[check->settled_count - 1].position,
			   psprintf("The head of the chain says otherwise up to where everything is linked"
						" than link " INT64_FORMAT " does.",
						check->settled[check->settled_count - 1].position));
}

/* The rows of a batch, as they are linked. */
typedef struct BatchRows
{
	int64 id; /* 0: none yet */
	uint8 fold[LINK_HASH_BYTES];
	int64 linked;
	int64 first_linked;
	int64 last_linked;
	/* What the batch itself says. */
	bool has_hash;
	uint8 hash[LINK_HASH_BYTES];
	int64 replayed;
	int64 first_id;
	int64 last_id;
} BatchRows;

/*
 * A number in a row that a reader has read; 0 if it is NULL.
 */
static int64
number_in(const Reader *reader, HeapTuple row, int column)
{
	bool isnull;
	Datum value = SPI_getbinval(row, reader->fetched->tupdesc, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

/*
 * Begin with a batch, of which a row has been read.
 */
static void
begin_batch(BatchRows *batch, const Reader *reader, HeapTuple row)
{
	bool isnull;
	Datum value = SPI_getbinval(row, reader->fetched->tupdesc, 5, &isnull);
	bytea *hash = isnull ? NULL : DatumGetByteaP(value);

	memset(batch, 0, sizeof(*batch));
	batch->id = row_number(reader, row);
	batch->has_hash = hash != NULL;
	if (hash != NULL && VARSIZE(hash) - VARHDRSZ == LINK_HASH_BYTES)
		memcpy(batch->hash, VARDATA(hash), LINK_HASH_BYTES);
	batch->replayed = number_in(reader, row, 6);
	batch->first_id = number_in(reader, row, 7);
	batch->last_id = number_in(reader, row, 8);
}

/*
 * Add a link to the rows of a batch.
 */
static void
add_batch_rows(TrailCheck *check, BatchRows *batch, const Reader *reader, HeapTuple row)
{
	bool isnull;
	TupleDesc desc = reader->fetched->tupdesc;
	bytea *offsets = DatumGetByteaP(SPI_getbinval(row, desc, 3, &isnull));
	bytea *hashes = DatumGetByteaP(SPI_getbinval(row, desc, 4, &isnull));
	int count = Min(VARSIZE(offsets) - VARHDRSZ, (VARSIZE(hashes) - VARHDRSZ) / ROW_HASH_BYTES);
	int64 reference = number_in(reader, row, 2);

	FoldBlock(&check->digest, batch->fold, (uint8 *) VARDATA(hashes),
			  (VARSIZE(hashes) - VARHDRSZ) / ROW_HASH_BYTES);
	for (int i = 0; i < count; i++)
	{
		int64 id = reference + ((uint8 *) VARDATA(offsets))[i];

		if (batch->linked++ == 0)
			batch->first_linked = id;
		batch->last_linked = id;
	}
}

/*
 * Count the rows of a batch that are not linked yet; *last_id becomes the last one's id, if
 * there are any.
 */
static int64
count_unlinked(TrailCheck *check, int64 batch_id, int64 *last_id)
{
	Oid types[] = {INT8OID, INT8OID};
	Datum values[] = {Int64GetDatum(batch_id), Int64GetDatum(check->seen->head.marks.outbox_id)};
	bool isnull;
	int64 count;

	if (SPI_execute_with_args(psprintf(UNLINKED_OF_BATCH, check->schema), lengthof(types), types,
							  values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the outbox: %s", SPI_result_code_string(SPI_result));
	count = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	if (count > 0)
		*last_id =
			DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	SPI_freetuptable(SPI_tuptable);
	return count;
}

/*
 * Compare the rows of a batch that are linked with what it says of them.
 */
static void
end_batch(TrailCheck *check, const BatchRows *batch)
{
	int64 last_id = batch->last_linked;
	int64 unlinked = 0;

	if (batch->id == 0)
		return;
	/* Of a batch that version 1.0 has begun, there are rows without hashes. */
	if (!batch->has_hash && batch->first_id != 0 &&
		batch->first_id < check->seen->head.marks.hashed_from)
		return;
	if (batch->linked != batch->replayed)
		unlinked = count_unlinked(check, batch->id, &last_id);
	if (batch->linked + unlinked != batch->replayed || batch->first_id != batch->first_linked ||
		batch->last_id != last_id)
		report(check, "wrong rows", 0, batch->id,
			   psprintf("Batch " INT64_FORMAT " says that it has enqueued " INT64_FORMAT
						" rows, " INT64_FORMAT " to " INT64_FORMAT ", and it has " INT64_FORMAT
						", " INT64_FORMAT " to " INT64_FORMAT ".",
						batch->id, batch->replayed, batch->first_id, batch->last_id,
						batch->linked + unlinked, batch->first_linked, last_id));
	else if (unlinked == 0 &&
			 (!batch->has_hash || memcmp(batch->hash, batch->fold, LINK_HASH_BYTES) != 0))
		report(check, "wrong rows", 0, batch->id,
			   psprintf("The rows of batch " INT64_FORMAT " are not those that it has enqueued.",
						batch->id));
}

/*
 * Check that the rows of batches are those that they have enqueued.
 */
static void
check_batch_rows(TrailCheck *check)
{
	Reader reader;
	HeapTuple row;
	BatchRows batch = {0};

	open_reader(check, &reader, ROWS_OF_BATCHES, 0, NULL);
	while ((row = next_row(&reader)) != NULL)
	{
		if (row_number(&reader, row) != batch.id)
		{
			end_batch(check, &batch);
			begin_batch(&batch, &reader, row);
		}
		add_batch_rows(check, &batch, &reader, row);
	}
	close_reader(&reader);
	end_batch(check, &batch);
}

/*
 * Check that batches that belong to another role than the one that has started them were
 * handed over.
 */
static void
check_owners(TrailCheck *check)
{
	Reader reader;
	HeapTuple row;

	open_reader(check, &reader, OWNED_BATCHES, 0, NULL);
	while ((row = next_row(&reader)) != NULL)
		report_numbered(check, "batch", "changed", row_number(&reader, row),
						"has another owner, and was not handed over");
	close_reader(&reader);
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
	check_owners(check);
	check_batch_rows(check);
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
