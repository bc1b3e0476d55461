/*
 * trail.c
 *		The trail: the chain of hashes of what was done.
 *
 * Everything that must not change afterwards gets a hash: rows of the outbox, deliveries,
 * batches (what of them never changes), entries of the log, and what purges and redrives
 * have removed.  The hashes become links of a chain, each of which has the hash of the one
 * before it (acteon_replay_trail), so that who changes, removes or inserts something
 * behind our back would have to compute the rest of the chain again.  The data flows so:
 *
 *	enqueueing	A row of the outbox carries its hash (queue/row_hash.c), and the batch one of
 *				all its rows.  A claim sends no row whose hash is wrong.
 *	linking		acteon_replay_trail_link (trail_link.c) links what was committed since and
 *				is not linked yet: called by a purge, by pg_cron, or by hand.  It holds one
 *				lock, which nobody else takes, and writes nothing but the chain.  The chain
 *				also says up to which numbers everything is linked: what appears there
 *				later was inserted behind our back, even if it is linked.
 *	removing	A purge and a redrive write down what they remove (acteon_replay_removal),
 *				in their own transaction: NoteRemoved.  The links of what went stay.
 *	checking	acteon_outbox_check and acteon_replay_verify (trail_check.c) compare what is
 *				there with the links.
 *	witnesses	acteon_replay_witness (trail_witness.c) makes a line of the end of the
 *				chain, to be kept elsewhere, with which acteon_replay_verify compares the
 *				link of that position.
 *
 * What was not linked yet is not covered, nor is anything that somebody with the rights of
 * a superuser computes again up to the end of the chain, unless there is a witness of it.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/numbers.h"
#include "base/partition.h"
#include "base/table_access.h"
#include "consumer/trail.h"
#include "queue/outcome_type.h"

/* %1$s is the extension's schema; see redrive.c about the search path. */
#define READ_HEAD \
	"SELECT hashed_from, position, hash, log_id, batch_id, removal_id, outbox_id, finished_at" \
	" FROM %1$s.acteon_replay_trail_head"
#define READ_DELIVERIES \
	"SELECT " DELIVERY_COLUMNS " FROM %1$s.acteon_dispatch_delivery AS d" \
	" WHERE d.outbox_id = ANY ($1) ORDER BY d.outbox_id"
#define READ_ENDS "SELECT min(id), max(id) FROM ONLY %1$s.%2$s"

/* Removed ids that are written down in one row. */
#define REMOVED_AT_ONCE 1000

/*
 * The hash of a row of a kind, of the first columns of those that were selected; outcome is
 * the one that is of a type of ours, or 0.
 */
static void
hash_columns(Digest *digest, const char *kind, HeapTuple row, TupleDesc desc, int count,
			 int outcome, uint8 *hash)
{
	BeginDigest(digest, kind);
	for (int column = 1; column <= count; column++)
	{
		bool isnull;
		Datum value = SPI_getbinval(row, desc, column, &isnull);
		Oid type = SPI_gettypeid(desc, column);

		if (column == outcome)
		{
			type = JSONBOID;
			if (!isnull)
				value = JsonbPGetDatum(UnpackOutcome(value));
		}
		AddToDigest(digest, type, value, isnull);
	}
	EndDigest(digest, hash, ROW_HASH_BYTES);
}

/*
 * The hash of a row of a kind, of the columns that were selected.
 */
void
HashRow(Digest *digest, const char *kind, HeapTuple row, TupleDesc desc, uint8 *hash)
{
	hash_columns(digest, kind, row, desc, desc->natts, 0, hash);
}

/*
 * The hash of a row of the outbox, of which HASHED_COLUMNS were selected, and its own hash.
 * It is the one that row_hash.c computes.
 */
void
HashOutboxRow(Digest *digest, HeapTuple row, TupleDesc desc, uint8 *hash)
{
	hash_columns(digest, ROW_KIND, row, desc, desc->natts - 1, 0, hash);
}

/*
 * The hash of a delivery, of which DELIVERY_COLUMNS were selected.
 */
void
HashDelivery(Digest *digest, HeapTuple row, TupleDesc desc, uint8 *hash)
{
	hash_columns(digest, "delivery", row, desc, desc->natts, DELIVERY_OUTCOME, hash);
}

/*
 * Make the hash of a link out of that of the one before it.
 */
void
HashLink(Digest *digest, const TrailLink *link, uint8 *hash)
{
	BeginDigest(digest, "link");
	AddBytesToDigest(digest, hash, LINK_HASH_BYTES);
	AddNumberToDigest(digest, link->position);
	AddNumberToDigest(digest, link->linked_at);
	AddBytesToDigest(digest, link->kind, strlen(link->kind) + 1);
	AddNumberToDigest(digest, link->reference);
	AddNumberToDigest(digest, link->batch_id);
	AddNumberToDigest(digest, link->count);
	AddBytesToDigest(digest, link->offsets, link->count);
	AddBytesToDigest(digest, link->hashes, link->count * ROW_HASH_BYTES);
	EndDigest(digest, hash, LINK_HASH_BYTES);
}

/*
 * A number of the row that a statement has returned.
 */
static int64
number(int column)
{
	bool isnull;
	Datum value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

/*
 * Read how far the chain has come.  Needs an SPI connection.
 */
void
ReadHead(const char *schema, TrailHead *head)
{
	bool isnull;

	memset(head, 0, sizeof(*head));
	head->marks.hashed_from = 1;
	head->marks.finished_at = DT_NOBEGIN;
	if (SPI_execute(psprintf(READ_HEAD, schema), true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the trail: %s", SPI_result_code_string(SPI_result));
	head->exists = SPI_processed > 0;
	if (head->exists)
	{
		bytea *hash = DatumGetByteaPP(
			SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3, &isnull));

		head->marks.hashed_from = number(1);
		head->position = number(2);
		/* Of another length, it is none of ours, and no link has it. */
		if (VARSIZE_ANY_EXHDR(hash) == LINK_HASH_BYTES)
			memcpy(head->hash, VARDATA_ANY(hash), LINK_HASH_BYTES);
		else
			memset(head->hash, 0xFF, LINK_HASH_BYTES);
		head->marks.log_id = number(4);
		head->marks.batch_id = number(5);
		head->marks.removal_id = number(6);
		head->marks.outbox_id = number(7);
		head->marks.finished_at = (TimestampTz) number(8);
	}
	SPI_freetuptable(SPI_tuptable);
}

/* Marks as numbers, as many as fill the hashes of a link. */
#define MARKS 6
#define MARK_HASHES (MARKS * (int) sizeof(int64) / ROW_HASH_BYTES)

/*
 * Make a link, but for its position and time, out of marks.
 */
void
PackMarks(const TrailMarks *marks, TrailLink *link)
{
	uint64 words[MARKS] = {marks->hashed_from, marks->log_id,    marks->batch_id,
						   marks->removal_id,  marks->outbox_id, marks->finished_at};

	for (int i = 0; i < MARKS; i++)
		words[i] = pg_hton64(words[i]);
	link->kind = TRAIL_SETTLED;
	link->batch_id = 0;
	link->count = MARK_HASHES;
	memset(link->offsets, 0, MARK_HASHES);
	memcpy(link->hashes, words, sizeof(words));
}

/*
 * Read the marks of a link out of its hashes.  Returns false if they are none.
 */
bool
UnpackMarks(TrailMarks *marks, const uint8 *hashes, int len)
{
	uint64 words[MARKS];

	if (len != sizeof(words))
		return false;
	memcpy(words, hashes, sizeof(words));
	for (int i = 0; i < MARKS; i++)
		words[i] = pg_ntoh64(words[i]);
	marks->hashed_from = words[0];
	marks->log_id = words[1];
	marks->batch_id = words[2];
	marks->removal_id = words[3];
	marks->outbox_id = words[4];
	marks->finished_at = words[5];
	return true;
}

/*
 * Ids as a bigint[].
 */
static Datum
ids_datum(const Datum *ids, int count)
{
	return PointerGetDatum(construct_array(unconstify(Datum *, ids), count, INT8OID, sizeof(int64),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/*
 * Write down that rows were removed: their ids, or, of a part that was emptied, those of
 * the rows that were kept; hashes, unless NULL, are those of deliveries that went.
 */
static void
insert_removal(Oid schema, const char *event, int64 first_id, int64 last_id, int part,
			   const Datum *ids, int count, bytea *hashes)
{
	TableWriter writer;
	Datum values[Natts_removal];
	bool nulls[Natts_removal] = {false};

	values[Anum_removal_id - 1] =
		Int64GetDatum(NextNumber(schema, REMOVAL_SEQUENCE, REMOVAL_TABLE));
	values[Anum_removal_removed_at - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[Anum_removal_event - 1] = CStringGetTextDatum(event);
	values[Anum_removal_first_id - 1] = Int64GetDatum(first_id);
	values[Anum_removal_last_id - 1] = Int64GetDatum(last_id);
	values[Anum_removal_part - 1] = Int32GetDatum(part);
	nulls[Anum_removal_part - 1] = part < 0;
	values[Anum_removal_ids - 1] = ids_datum(ids, count);
	values[Anum_removal_hashes - 1] = PointerGetDatum(hashes);
	nulls[Anum_removal_hashes - 1] = hashes == NULL;
	OpenWriter(&writer, OwnTable(schema, REMOVAL_TABLE), false);
	InsertRow(&writer, values, nulls, Natts_removal);
	CloseWriter(&writer);
}

/*
 * The hashes of the deliveries of some actions, which all have one, in the order of their
 * ids.
 */
static bytea *
hash_deliveries(Oid schema, const Datum *ids, int count)
{
	MemoryContext context = CurrentMemoryContext;
	Oid type = INT8ARRAYOID;
	Datum array = ids_datum(ids, count);
	bytea *hashes = palloc0(VARHDRSZ + count * ROW_HASH_BYTES);
	Digest digest;

	OpenDigest(&digest);
	if (SPI_execute_with_args(psprintf(READ_DELIVERIES,
									   quote_identifier(get_namespace_name(schema))),
							  1, &type, &array, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read deliveries: %s", SPI_result_code_string(SPI_result));
	MemoryContextSwitchTo(context);
	for (int row = 0; row < Min(SPI_processed, count); row++)
		HashDelivery(&digest, SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
					 (uint8 *) VARDATA(hashes) + row * ROW_HASH_BYTES);
	SPI_freetuptable(SPI_tuptable);
	CloseDigest(&digest);
	SET_VARSIZE(hashes, VARHDRSZ + count * ROW_HASH_BYTES);
	return hashes;
}

static int
compare_ids(const void *a, const void *b)
{
	int64 ia = DatumGetInt64(*(const Datum *) a);
	int64 ib = DatumGetInt64(*(const Datum *) b);

	return ia < ib ? -1 : ia > ib;
}

/*
 * Write down, before they go, that the rows of some actions are removed: by a purge from
 * the outbox and the deliveries, by a redrive from the deliveries.  Needs an SPI
 * connection.
 */
void
NoteRemoved(Oid schema, const char *event, const Datum *ids, int count)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "acteon_replay removal",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Datum *sorted = MemoryContextAllocHuge(old, Max(count, 1) * sizeof(Datum));

	memcpy(sorted, ids, count * sizeof(Datum));
	qsort(sorted, count, sizeof(Datum), compare_ids);
	for (int first = 0; first < count; first += REMOVED_AT_ONCE)
	{
		int n = Min(count - first, REMOVED_AT_ONCE);

		CHECK_FOR_INTERRUPTS();
		insert_removal(schema, event, DatumGetInt64(sorted[first]),
					   DatumGetInt64(sorted[first + n - 1]), -1, sorted + first, n,
					   strcmp(event, REMOVAL_REDRIVE) == 0
						   ? hash_deliveries(schema, sorted + first, n)
						   : NULL);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	pfree(sorted);
}

/*
 * The same for a part of the outbox that is emptied by a purge, but for some rows.  Needs
 * an SPI connection.
 */
void
NotePartRemoved(Oid schema, int part, const int64 *kept, int count)
{
	Datum *ids = palloc(Max(count, 1) * sizeof(Datum));
	MemoryContext old = CurrentMemoryContext;

	for (int i = 0; i < count; i++)
		ids[i] = Int64GetDatum(kept[i]);
	if (SPI_execute(psprintf(READ_ENDS, quote_identifier(get_namespace_name(schema)),
							 PartitionName(OUTBOX_TABLE, part)),
					false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the outbox: %s", SPI_result_code_string(SPI_result));
	MemoryContextSwitchTo(old);
	if (number(2) != 0)
		insert_removal(schema, REMOVAL_PURGE, number(1), number(2), part, ids, count, NULL);
	SPI_freetuptable(SPI_tuptable);
	pfree(ids);
}
