/*
 * trail_batches.c
 *		Whether batches have the rows that they say they have enqueued, and the owner that
 *		the log tells of: what the links do not say of one thing alone.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "base/catalog.h"
#include "consumer/trail_reader.h"

/* %1$s is the extension's schema; see redrive.c about the search path. */
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
number_in(const TrailReader *reader, HeapTuple row, int column)
{
	bool isnull;
	Datum value = SPI_getbinval(row, reader->fetched->tupdesc, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

/*
 * Begin with a batch, of which a row has been read.
 */
static void
begin_batch(BatchRows *batch, const TrailReader *reader, HeapTuple row)
{
	bool isnull;
	Datum value = SPI_getbinval(row, reader->fetched->tupdesc, 5, &isnull);
	bytea *hash = isnull ? NULL : DatumGetByteaP(value);

	memset(batch, 0, sizeof(*batch));
	batch->id = TrailRowNumber(reader, row);
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
add_batch_rows(TrailCheck *check, BatchRows *batch, const TrailReader *reader, HeapTuple row)
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
		ReportTrail(check, "wrong rows", 0, batch->id,
					psprintf("Batch " INT64_FORMAT " says that it has enqueued " INT64_FORMAT
							 " rows, " INT64_FORMAT " to " INT64_FORMAT ", and it has " INT64_FORMAT
							 ", " INT64_FORMAT " to " INT64_FORMAT ".",
							 batch->id, batch->replayed, batch->first_id, batch->last_id,
							 batch->linked + unlinked, batch->first_linked, last_id));
	else if (unlinked == 0 &&
			 (!batch->has_hash || memcmp(batch->hash, batch->fold, LINK_HASH_BYTES) != 0))
		ReportTrail(check, "wrong rows", 0, batch->id,
					psprintf("The rows of batch " INT64_FORMAT
							 " are not those that it has enqueued.",
							 batch->id));
}

/*
 * Check that the rows of batches are those that they have enqueued.
 */
static void
check_rows(TrailCheck *check)
{
	TrailReader reader;
	HeapTuple row;
	BatchRows batch = {0};

	OpenTrailReader(check, &reader, ROWS_OF_BATCHES, 0, NULL);
	while ((row = NextTrailRow(&reader)) != NULL)
	{
		if (TrailRowNumber(&reader, row) != batch.id)
		{
			end_batch(check, &batch);
			begin_batch(&batch, &reader, row);
		}
		add_batch_rows(check, &batch, &reader, row);
	}
	CloseTrailReader(&reader);
	end_batch(check, &batch);
}

/*
 * Check that batches that belong to another role than the one that has started them were
 * handed over.
 */
static void
check_owners(TrailCheck *check)
{
	TrailReader reader;
	HeapTuple row;

	OpenTrailReader(check, &reader, OWNED_BATCHES, 0, NULL);
	while ((row = NextTrailRow(&reader)) != NULL)
		ReportTrailNumber(check, "batch", "changed", TrailRowNumber(&reader, row),
						  "has another owner, and was not handed over");
	CloseTrailReader(&reader);
}

/*
 * Check what batches say of what belongs to them: their rows, and who may steer them.  As
 * the owner of the tables; needs an SPI connection.
 */
void
CheckTrailBatches(TrailCheck *check)
{
	check_owners(check);
	check_rows(check);
}
