/*
 * trail_link.c
 *		acteon_replay_trail_link: linking what was committed to the chain.
 *
 * What is linked is what the present snapshot shows and has no link yet.  As transactions
 * commit in another order than they draw numbers, a number alone does not say whether it
 * is to come still.  So each call that finds the last one's settled notes the highest
 * numbers drawn, and the next transaction id.  As soon as nobody is at work any more who
 * may have begun before, everything up to those numbers is there or never will be: after
 * it was linked, it is never looked at again, and what appears there later was added by
 * somebody else.  The chain itself says so, too, in links of their own: who sets the numbers
 * back to have something linked that was added would have to change the chain.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/transam.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/steady_plan.h"
#include "base/table_access.h"
#include "consumer/call.h"
#include "consumer/trail.h"

/* Lets one session link at a time; see batch_flags.c for the others. */
#define TRAIL_LOCK_CLASS 11

/* Rows that are fetched at once. */
#define FETCH_ROWS 1000

/* What there is to link, from $1 on.  %1$s is the extension's schema; see redrive.c. */
#define NOT_LINKED(kind, reference) \
	"NOT EXISTS (SELECT FROM %1$s.acteon_replay_trail AS t" \
	"	WHERE t.kind = '" kind "' AND t.reference = " reference " OFFSET 0)"
#define LOG_TO_LINK \
	"SELECT " LOG_COLUMNS " FROM %1$s.acteon_replay_log AS l" \
	"	WHERE l.id > $1 AND " NOT_LINKED(TRAIL_LOG, "l.id") " ORDER BY l.id"
/* A batch in which nothing was found may still be dropped. */
#define HAS_BEGUN "(b.replayed + b.failed + b.skipped > 0)"
#define BATCHES_TO_LINK \
	"SELECT " BATCH_COLUMNS " FROM %1$s.acteon_replay_batch AS b" \
	"	WHERE b.id > $1 AND " HAS_BEGUN " AND " NOT_LINKED(TRAIL_BATCH, "b.id") " ORDER BY b.id"
#define REMOVALS_TO_LINK \
	"SELECT " REMOVAL_COLUMNS " FROM %1$s.acteon_replay_removal AS m" \
	"	WHERE m.id > $1 AND " NOT_LINKED(TRAIL_REMOVAL, "m.id") " ORDER BY m.id"
#define ROWS_TO_LINK \
	"SELECT o.id, o.batch_id, o.hash FROM %1$s.acteon_dispatch_outbox AS o" \
	"	WHERE o.id > $1 AND o.hash IS NOT NULL AND " NOT_LINKED(TRAIL_ROWS, \
																SQL_BLOCK_OF_ID( \
																	"o.id")) "	ORDER BY o.id"
#define DELIVERIES_TO_LINK \
	"SELECT " DELIVERY_COLUMNS " FROM %1$s.acteon_dispatch_delivery AS d WHERE d.finished_at >= $1"
#define LINKED_DELIVERIES \
	"SELECT t.hashes FROM %1$s.acteon_replay_trail AS t" \
	"	WHERE t.kind = '" TRAIL_DELIVERIES "' AND t.reference = $1"
#define FIRST_NOT_BEGUN \
	"SELECT min(b.id) FROM %1$s.acteon_replay_batch AS b WHERE b.id > $1 AND NOT " HAS_BEGUN

/* How many of the last two links, of which the last one is $1, say what is settled. */
#define LAST_SETTLED \
	"SELECT count(*) FROM %1$s.acteon_replay_trail" \
	"	WHERE position > $1 - 2 AND position <= $1 AND kind = '" TRAIL_SETTLED "'"

/* The numbers that were noted; NULL: none are. */
#define READ_NOTED \
	"SELECT next_xid, next_log_id, next_batch_id, next_removal_id, next_outbox_id," \
	"	next_finished_at FROM %1$s.acteon_replay_trail_head"
#define WRITE_HEAD \
	"INSERT INTO %1$s.acteon_replay_trail_head AS h (position, hash, log_id, batch_id, removal_id," \
	"	outbox_id, finished_at, next_xid, next_log_id, next_batch_id, next_removal_id, next_outbox_id," \
	"	next_finished_at) " \
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) " \
	"ON CONFLICT (singleton) DO UPDATE SET position = excluded.position, hash = excluded.hash," \
	"	log_id = excluded.log_id, batch_id = excluded.batch_id, removal_id = excluded.removal_id," \
	"	outbox_id = excluded.outbox_id, finished_at = excluded.finished_at," \
	"	next_xid = excluded.next_xid, next_log_id = excluded.next_log_id," \
	"	next_batch_id = excluded.next_batch_id, next_removal_id = excluded.next_removal_id," \
	"	next_outbox_id = excluded.next_outbox_id, next_finished_at = excluded.next_finished_at"

/* Numbers up to which something is settled as soon as all transactions before one are over. */
typedef struct Noted
{
	int64 xid; /* 0: nothing is noted */
	int64 log_id;
	int64 batch_id;
	int64 removal_id;
	int64 outbox_id;
	TimestampTz finished_at;
} Noted;

/* Linking under way. */
typedef struct Linking
{
	Oid schema;
	const char *schema_name;
	TrailHead head;
	Digest digest;
	TableWriter writer;
	MemoryContext context; /* of one link */
	TimestampTz now;
	TrailLink link; /* being made */
	SPIPlanPtr linked_deliveries;
	bool was_empty; /* there was no link before */
	int64 most;     /* rows to look at */
	int64 rows;     /* that were */
} Linking;

PG_FUNCTION_INFO_V1(acteon_replay_trail_link);

/* ----------------------------------------------------------------
 * Links
 * ----------------------------------------------------------------
 */

/*
 * Begin the next link.
 */
static void
begin_link(Linking *linking, const char *kind, int64 reference, int64 batch_id)
{
	TrailLink *link = &linking->link;

	link->kind = kind;
	link->reference = reference;
	link->batch_id = batch_id;
	link->count = 0;
}

/*
 * Some bytes as a bytea.
 */
static Datum
bytes_datum(const void *bytes, int len)
{
	bytea *result = palloc(VARHDRSZ + len);

	SET_VARSIZE(result, VARHDRSZ + len);
	memcpy(VARDATA(result), bytes, len);
	return PointerGetDatum(result);
}

/*
 * Write the link, unless it has no hashes.
 */
static void
end_link(Linking *linking)
{
	TrailLink *link = &linking->link;
	MemoryContext old;
	Datum values[Natts_trail];
	bool nulls[Natts_trail] = {false};

	if (link->count == 0)
		return;
	old = MemoryContextSwitchTo(linking->context);
	link->position = ++linking->head.position;
	link->linked_at = linking->now;
	HashLink(&linking->digest, link, linking->head.hash);
	values[Anum_trail_position - 1] = Int64GetDatum(link->position);
	values[Anum_trail_linked_at - 1] = TimestampTzGetDatum(link->linked_at);
	values[Anum_trail_kind - 1] = CStringGetTextDatum(link->kind);
	values[Anum_trail_reference - 1] = Int64GetDatum(link->reference);
	values[Anum_trail_batch_id - 1] = Int64GetDatum(link->batch_id);
	nulls[Anum_trail_batch_id - 1] = link->batch_id == 0;
	values[Anum_trail_offsets - 1] = bytes_datum(link->offsets, link->count);
	values[Anum_trail_hashes - 1] = bytes_datum(link->hashes, link->count * ROW_HASH_BYTES);
	values[Anum_trail_hash - 1] = bytes_datum(linking->head.hash, LINK_HASH_BYTES);
	InsertRow(&linking->writer, values, nulls, Natts_trail);
	link->count = 0;
	MemoryContextSwitchTo(old);
	MemoryContextReset(linking->context);
}

/* ----------------------------------------------------------------
 * What is linked
 * ----------------------------------------------------------------
 */

/*
 * Open a cursor over what a statement with one number finds.
 */
static Portal
open_cursor(Linking *linking, const char *statement, Oid type, Datum from)
{
	return SPI_cursor_open_with_args(NULL, psprintf(statement, linking->schema_name), 1, &type,
									 &from, NULL, true, 0);
}

/*
 * Link things that have a number each: one link for each.  Returns false if there are more
 * than the call is to look at.
 */
static bool
link_numbered(Linking *linking, const char *statement, const char *kind, int64 from)
{
	Portal portal = open_cursor(linking, statement, INT8OID, Int64GetDatum(from));
	bool more = true;

	while (more && linking->rows < linking->most)
	{
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		more = SPI_processed == FETCH_ROWS;
		for (uint64 row = 0; row < SPI_processed; row++)
		{
			HeapTuple tuple = SPI_tuptable->vals[row];
			TupleDesc desc = SPI_tuptable->tupdesc;
			bool isnull;

			CHECK_FOR_INTERRUPTS();
			MemoryContextSwitchTo(linking->context);
			begin_link(linking, kind, DatumGetInt64(SPI_getbinval(tuple, desc, 1, &isnull)), 0);
			linking->link.offsets[0] = 0;
			HashRow(&linking->digest, kind, tuple, desc, linking->link.hashes[0]);
			linking->link.count = 1;
			end_link(linking);
		}
		linking->rows += SPI_processed;
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	return !more;
}

/*
 * Add the row of an action to the link of its block, which is begun if it is another one,
 * or if it is full: ids that somebody has inserted into another part are there twice.
 */
static void
add_row(Linking *linking, HeapTuple tuple, TupleDesc desc)
{
	TrailLink *link = &linking->link;
	bool isnull;
	int64 id = DatumGetInt64(SPI_getbinval(tuple, desc, 1, &isnull));
	bytea *hash = DatumGetByteaPP(SPI_getbinval(tuple, desc, 3, &isnull));

	if (link->count == 0 || link->count == SEGMENT_ACTIONS || link->reference != BlockOfId(id))
	{
		end_link(linking);
		begin_link(linking, TRAIL_ROWS, BlockOfId(id),
				   DatumGetInt64(SPI_getbinval(tuple, desc, 2, &isnull)));
	}
	link->offsets[link->count] = (uint8) (id - link->reference);
	memset(link->hashes[link->count], 0, ROW_HASH_BYTES);
	memcpy(link->hashes[link->count], VARDATA_ANY(hash),
		   Min(VARSIZE_ANY_EXHDR(hash), ROW_HASH_BYTES));
	link->count++;
}

/*
 * Link the rows of the outbox, those of a block of ids together.  Returns false if there
 * are more than the call is to look at.
 */
static bool
link_rows(Linking *linking)
{
	Portal portal =
		open_cursor(linking, ROWS_TO_LINK, INT8OID, Int64GetDatum(linking->head.marks.outbox_id));
	bool more = true;

	linking->link.count = 0;
	while (more && linking->rows < linking->most)
	{
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		more = SPI_processed == FETCH_ROWS;
		for (uint64 row = 0; row < SPI_processed; row++)
		{
			CHECK_FOR_INTERRUPTS();
			MemoryContextSwitchTo(linking->context);
			add_row(linking, SPI_tuptable->vals[row], SPI_tuptable->tupdesc);
		}
		linking->rows += SPI_processed;
		SPI_freetuptable(SPI_tuptable);
	}
	/* A block that may have more rows waits for the next call. */
	if (more)
		linking->link.count = 0;
	end_link(linking);
	SPI_cursor_close(portal);
	return !more;
}

/*
 * Leave out of the link what is linked already, and write it.
 */
static void
end_deliveries(Linking *linking)
{
	TrailLink *link = &linking->link;
	Datum block = Int64GetDatum(link->reference);
	int kept = 0;

	if (link->count == 0)
		return;
	if (linking->was_empty)
	{
		end_link(linking);
		return;
	}
	if (SPI_execute_plan(linking->linked_deliveries, &block, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the trail: %s", SPI_result_code_string(SPI_result));
	MemoryContextSwitchTo(linking->context);
	for (int i = 0; i < link->count; i++)
	{
		bool found = false;

		for (uint64 row = 0; row < SPI_processed && !found; row++)
		{
			bool isnull;
			bytea *hashes = DatumGetByteaP(
				SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 1, &isnull));

			for (int n = 0; n < (VARSIZE(hashes) - VARHDRSZ) / ROW_HASH_BYTES && !found; n++)
				found = memcmp(VARDATA(hashes) + n * ROW_HASH_BYTES, link->hashes[i],
							   ROW_HASH_BYTES) == 0;
		}
		if (found)
			continue;
		link->offsets[kept] = link->offsets[i];
		memmove(link->hashes[kept++], link->hashes[i], ROW_HASH_BYTES);
	}
	SPI_freetuptable(SPI_tuptable);
	link->count = kept;
	end_link(linking);
}

/*
 * Add a delivery to the link of its block, which is begun if it is another one.
 */
static void
add_delivery(Linking *linking, HeapTuple tuple, TupleDesc desc)
{
	TrailLink *link = &linking->link;
	bool isnull;
	int64 id = DatumGetInt64(SPI_getbinval(tuple, desc, DELIVERY_ID, &isnull));

	if (link->count == SEGMENT_ACTIONS || (link->count > 0 && link->reference != BlockOfId(id)))
		end_deliveries(linking);
	if (link->count == 0)
		begin_link(linking, TRAIL_DELIVERIES, BlockOfId(id), 0);
	link->offsets[link->count] = (uint8) (id - link->reference);
	HashDelivery(&linking->digest, tuple, desc, link->hashes[link->count++]);
}

/*
 * Link the deliveries, those of a block that lie together in one.  They are read in the
 * order of the table, which is about that of their times.  Returns false if there are
 * more than the call is to look at.
 */
static bool
link_deliveries(Linking *linking)
{
	Portal portal = open_cursor(linking, DELIVERIES_TO_LINK, TIMESTAMPTZOID,
								TimestampTzGetDatum(linking->head.marks.finished_at));
	Oid type = INT8OID;
	bool more = true;

	linking->link.count = 0;
	linking->linked_deliveries =
		SPI_prepare(psprintf(LINKED_DELIVERIES, linking->schema_name), 1, &type);
	if (linking->linked_deliveries == NULL)
		elog(ERROR, "could not prepare a statement: %s", SPI_result_code_string(SPI_result));
	while (more && linking->rows < linking->most)
	{
		SPITupleTable *fetched;
		uint64 count;

		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		fetched = SPI_tuptable;
		count = SPI_processed;
		more = count == FETCH_ROWS;
		for (uint64 row = 0; row < count; row++)
		{
			CHECK_FOR_INTERRUPTS();
			MemoryContextSwitchTo(linking->context);
			add_delivery(linking, fetched->vals[row], fetched->tupdesc);
		}
		linking->rows += count;
		SPI_freetuptable(fetched);
	}
	end_deliveries(linking);
	SPI_cursor_close(portal);
	return !more;
}

/* ----------------------------------------------------------------
 * What is settled
 * ----------------------------------------------------------------
 */

/*
 * A transaction id that does not wrap around.
 */
static int64
full_xid(TransactionId xid, FullTransactionId next)
{
	return (int64) U64FromFullTransactionId(next) - (int32) (XidFromFullTransactionId(next) - xid);
}

/*
 * The highest number that was drawn from a sequence; 0 if none was.
 */
static int64
last_number(Oid schema, const char *sequence)
{
	LOCAL_FCINFO(fcinfo, 1);
	Datum value;

	InitFunctionCallInfoData(*fcinfo, NULL, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = ObjectIdGetDatum(OwnTable(schema, sequence));
	fcinfo->args[0].isnull = false;
	value = pg_sequence_last_value(fcinfo);
	return fcinfo->isnull ? 0 : DatumGetInt64(value);
}

/*
 * Note what has been drawn.
 */
static void
note_numbers(Oid schema, Noted *noted)
{
	noted->log_id = last_number(schema, LOG_SEQUENCE);
	noted->batch_id = last_number(schema, BATCH_SEQUENCE);
	noted->removal_id = last_number(schema, REMOVAL_SEQUENCE);
	noted->outbox_id = last_number(schema, OUTBOX_SEQUENCE);
	if (noted->outbox_id > 0)
		noted->outbox_id += SEGMENT_ACTIONS - 1;
	noted->finished_at = GetCurrentTimestamp();
	noted->xid = (int64) U64FromFullTransactionId(ReadNextFullTransactionId());
}

/*
 * Read what the last calls have noted, and whether it is settled: no transaction that may
 * have drawn one of the numbers is at work.  Who draws a number has a snapshot before, or
 * a transaction id.  In another cluster, where a dump was restored, nothing is noted.
 */
static bool
read_noted(Linking *linking, Noted *noted)
{
	Relation rel = table_open(OwnTable(linking->schema, LOG_TABLE), AccessShareLock);
	FullTransactionId next = ReadNextFullTransactionId();
	int64 oldest = full_xid(GetOldestNonRemovableTransactionId(rel), next);
	bool isnull;
	Datum values[6] = {0};

	table_close(rel, AccessShareLock);
	memset(noted, 0, sizeof(*noted));
	if (SPI_execute(psprintf(READ_NOTED, linking->schema_name), true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the trail: %s", SPI_result_code_string(SPI_result));
	if (SPI_processed > 0)
	{
		for (int i = 0; i < lengthof(values); i++)
			values[i] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1, &isnull);
		noted->xid = DatumGetInt64(values[0]);
		noted->log_id = DatumGetInt64(values[1]);
		noted->batch_id = DatumGetInt64(values[2]);
		noted->removal_id = DatumGetInt64(values[3]);
		noted->outbox_id = DatumGetInt64(values[4]);
		noted->finished_at = DatumGetTimestampTz(values[5]);
	}
	SPI_freetuptable(SPI_tuptable);
	if (noted->xid > (int64) U64FromFullTransactionId(next))
		noted->xid = 0;
	return noted->xid > 0 && oldest > noted->xid;
}

/*
 * Up to which batch all are linked, if everything is up to the given one: a batch in which
 * nothing was found yet has no link.
 */
static int64
batches_linked(Linking *linking, int64 up_to)
{
	Oid type = INT8OID;
	Datum from = Int64GetDatum(linking->head.marks.batch_id);
	bool isnull;
	Datum first;

	if (SPI_execute_with_args(psprintf(FIRST_NOT_BEGUN, linking->schema_name), 1, &type, &from,
							  NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read batches: %s", SPI_result_code_string(SPI_result));
	first = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	SPI_freetuptable(SPI_tuptable);
	return isnull ? up_to : Min(up_to, DatumGetInt64(first) - 1);
}

/*
 * Whether the last two links say what is settled.  So many follow what was linked: the time
 * that the first one has may have been noted before.
 */
static bool
is_at_rest(Linking *linking)
{
	Oid type = INT8OID;
	Datum position = Int64GetDatum(linking->head.position);
	bool isnull;
	int64 count;

	if (SPI_execute_with_args(psprintf(LAST_SETTLED, linking->schema_name), 1, &type, &position,
							  NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the trail: %s", SPI_result_code_string(SPI_result));
	count = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_freetuptable(SPI_tuptable);
	return count == 2;
}

/*
 * Everything is linked up to the numbers that were noted: say so in the head and in a link,
 * unless nothing was linked since that was said last.  linked tells whether this call has
 * written a link.  Returns how many links it has added.
 */
static int
settle(Linking *linking, const Noted *noted, bool linked)
{
	TrailMarks marks = {.hashed_from = linking->head.marks.hashed_from,
						.log_id = noted->log_id,
						.batch_id = batches_linked(linking, noted->batch_id),
						.removal_id = noted->removal_id,
						.outbox_id = noted->outbox_id,
						.finished_at = noted->finished_at};
	const TrailMarks *before = &linking->head.marks;

	if (linking->head.position == 0 ||
		(!linked && marks.log_id == before->log_id && marks.batch_id == before->batch_id &&
		 marks.removal_id == before->removal_id && marks.outbox_id == before->outbox_id &&
		 is_at_rest(linking)))
		return 0;
	linking->head.marks = marks;
	PackMarks(&marks, &linking->link);
	linking->link.reference = linking->head.position + 1;
	end_link(linking);
	return 1;
}

/*
 * Write how far the chain has come.
 */
static void
write_head(Linking *linking, const Noted *noted)
{
	const TrailHead *head = &linking->head;
	Oid types[] = {INT8OID, BYTEAOID, INT8OID, INT8OID, INT8OID, INT8OID,       TIMESTAMPTZOID,
				   INT8OID, INT8OID,  INT8OID, INT8OID, INT8OID, TIMESTAMPTZOID};
	Datum values[] = {Int64GetDatum(head->position),
					  bytes_datum(head->hash, LINK_HASH_BYTES),
					  Int64GetDatum(head->marks.log_id),
					  Int64GetDatum(head->marks.batch_id),
					  Int64GetDatum(head->marks.removal_id),
					  Int64GetDatum(head->marks.outbox_id),
					  TimestampTzGetDatum(head->marks.finished_at),
					  Int64GetDatum(noted->xid),
					  Int64GetDatum(noted->log_id),
					  Int64GetDatum(noted->batch_id),
					  Int64GetDatum(noted->removal_id),
					  Int64GetDatum(noted->outbox_id),
					  TimestampTzGetDatum(noted->finished_at)};

	if (SPI_execute_with_args(psprintf(WRITE_HEAD, linking->schema_name), lengthof(types), types,
							  values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write the trail: %s", SPI_result_code_string(SPI_result));
}

/*
 * Link everything that is not linked yet, as a new snapshot shows it.  Returns whether
 * that is all, rather than as much as the call is to look at.
 */
static bool
link_all(Linking *linking)
{
	bool all;

	PushActiveSnapshot(GetLatestSnapshot());
	all = link_numbered(linking, LOG_TO_LINK, TRAIL_LOG, linking->head.marks.log_id);
	all &= link_numbered(linking, BATCHES_TO_LINK, TRAIL_BATCH, linking->head.marks.batch_id);
	all &= link_numbered(linking, REMOVALS_TO_LINK, TRAIL_REMOVAL, linking->head.marks.removal_id);
	all &= link_rows(linking);
	all &= link_deliveries(linking);
	PopActiveSnapshot();
	return all;
}

/*
 * Link what is not linked yet, up to about so many rows, as the owner of the tables, whom
 * the caller must have become.  Returns how many links were written, without those that say
 * what is settled; -1 if another session is linking.  Needs an SPI connection, and the locks of WRITES_OF_TRAIL: pg_repack puts
 * rows into the place of others which a snapshot from before it does not show, or shows as
 * they were a moment ago.
 */
int64
LinkTrail(Oid schema, int64 most)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay trail", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Linking *linking = palloc0(sizeof(Linking));
	int64 position_before;
	Noted noted, noted_now;
	LOCKTAG tag;
	bool settled;
	int marks = 0;
	int nesting;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, OwnTable(schema, OUTBOX_TABLE), 0, TRAIL_LOCK_CLASS);
	if (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
	{
		MemoryContextSwitchTo(old);
		MemoryContextDelete(context);
		return -1;
	}
	linking->schema = schema;
	linking->schema_name = quote_identifier(get_namespace_name(schema));
	linking->most = most;
	linking->now = GetCurrentTimestamp();
	linking->context = AllocSetContextCreate(context, "acteon_replay link", ALLOCSET_SMALL_SIZES);
	nesting = DenyPlans(DENY_SEQSCAN);
	PushActiveSnapshot(GetLatestSnapshot());
	ReadHead(linking->schema_name, &linking->head);
	settled = read_noted(linking, &noted);
	PopActiveSnapshot();
	MemoryContextSwitchTo(context);
	position_before = linking->head.position;
	linking->was_empty = position_before == 0;
	note_numbers(schema, &noted_now);

	OpenDigest(&linking->digest);
	OpenWriter(&linking->writer, OwnTable(schema, TRAIL_TABLE), false);
	if (link_all(linking) && settled)
	{
		marks = settle(linking, &noted, linking->head.position > position_before);
		noted.xid = 0;
	}
	CloseWriter(&linking->writer);
	CloseDigest(&linking->digest);
	write_head(linking, noted.xid == 0 ? &noted_now : &noted);
	AllowPlans(nesting);
	CommandCounterIncrement();
	position_before = linking->head.position - position_before - marks;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return position_before;
}

/*
 * acteon_replay_trail_link(max_rows bigint) → bigint
 *
 * Links what was committed since the last call to the chain, about max_rows rows at most;
 * returns how many links that are.  A NOTICE tells that another session is linking, and
 * this call has done nothing.  Raises insufficient_privilege and invalid_parameter_value.
 */
Datum
acteon_replay_trail_link(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	ConsumerCall call;
	int64 most = PG_ARGISNULL(0) ? PG_INT64_MAX : PG_GETARG_INT64(0);
	int64 links;

	BeginConsumerCall(&call, fcinfo, "acteon_replay_trail_link()", true);
	if (most < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("max_rows must be at least 1"),
				 errhint("Leave it out to link everything.")));
	LockForWriting(call.schema, WRITES_OF_TRAIL);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	MemoryContextSwitchTo(context);
	links = LinkTrail(call.schema, most);
	SPI_finish();
	MemoryContextSwitchTo(context);
	EndConsumerCall(&call);
	if (links < 0)
		ereport(NOTICE, (errmsg("another session is linking the trail"),
						 errdetail("This call has done nothing.")));
	PG_RETURN_INT64(Max(links, 0));
}
