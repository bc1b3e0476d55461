/*
 * row_hash.c
 *		The hash of a row of the outbox.
 *
 * A row carries the hash of everything else in it from the moment it is enqueued.  A
 * claim computes it again, so that a row that was changed meanwhile is not sent.  Of the
 * rows of a batch, whose hashes follow each other in the order of the ids, another hash
 * is kept with the batch (FoldBlock), and the hashes become part of the chain afterwards
 * (consumer/trail.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/tuptable.h"

#include "base/compat.h"
#include "queue/row_hash.h"

/* The columns that are hashed: all but the hash, those of HASHED_COLUMNS. */
static const struct
{
	AttrNumber column;
	Oid type;
} hashed[] = {{Anum_outbox_id, INT8OID},
			  {Anum_outbox_batch_id, INT8OID},
			  {Anum_outbox_created_at, TIMESTAMPTZOID},
			  {Anum_outbox_action_id, UUIDOID},
			  {Anum_outbox_generation, INT4OID},
			  {Anum_outbox_original_action_id, TEXTOID},
			  {Anum_outbox_namespace, TEXTOID},
			  {Anum_outbox_tenant, TEXTOID},
			  {Anum_outbox_provider, TEXTOID},
			  {Anum_outbox_action_type, TEXTOID},
			  {Anum_outbox_payload, JSONBOID},
			  {Anum_outbox_labels, JSONBOID},
			  {Anum_outbox_dedup_key, TEXTOID},
			  {Anum_outbox_status, TEXTOID},
			  {Anum_outbox_fingerprint, TEXTOID},
			  {Anum_outbox_starts_at, TIMESTAMPTZOID},
			  {Anum_outbox_ends_at, TIMESTAMPTZOID},
			  {Anum_outbox_expires_at, TIMESTAMPTZOID},
			  {Anum_outbox_target, TEXTOID}};

StaticAssertDecl(lengthof(hashed) == Natts_outbox - 1, "a column of the outbox has no hash");

/*
 * Compute the hash of the row in a slot of the outbox.
 */
static void
hash_slot(Digest *digest, TupleTableSlot *row, OwnColumns columns, uint8 *hash)
{
	BeginDigest(digest, ROW_KIND);
	for (int i = 0; i < lengthof(hashed); i++)
	{
		bool isnull;
		Datum value = slot_getattr(row, ColumnPlace(columns, hashed[i].column), &isnull);

		AddToDigest(digest, hashed[i].type, value, isnull);
	}
	EndDigest(digest, hash, ROW_HASH_BYTES);
}

/*
 * Put its hash into the row in a slot, whose other values are there, and which is to be
 * inserted; stored must last as long.
 */
void
StoreHash(Digest *digest, TupleTableSlot *row, OwnColumns columns, StoredHash *stored, uint8 *hash)
{
	AttrNumber place = ColumnPlace(columns, Anum_outbox_hash);

	hash_slot(digest, row, columns, hash);
	SET_VARSIZE(stored->bytes, sizeof(stored->bytes));
	memcpy(VARDATA(stored->bytes), hash, ROW_HASH_BYTES);
	row->tts_values[place - 1] = PointerGetDatum(stored->bytes);
	row->tts_isnull[place - 1] = false;
}

/*
 * Whether the row in a slot of the outbox is what was enqueued, by its hash.
 */
RowTrust
CheckRowHash(Digest *digest, TupleTableSlot *row, OwnColumns columns)
{
	uint8 hash[ROW_HASH_BYTES];
	bool isnull;
	Datum value = slot_getattr(row, ColumnPlace(columns, Anum_outbox_hash), &isnull);
	struct varlena *stored;

	if (isnull)
		return ROW_WITHOUT_HASH;
	stored = PG_DETOAST_DATUM_PACKED(value);
	hash_slot(digest, row, columns, hash);
	return VARSIZE_ANY_EXHDR(stored) == ROW_HASH_BYTES &&
				   memcmp(VARDATA_ANY(stored), hash, ROW_HASH_BYTES) == 0
			   ? ROW_AS_ENQUEUED
			   : ROW_CHANGED;
}

/*
 * Continue the hash of the rows of a batch, LINK_HASH_BYTES which are 0 at first, with the
 * hashes of the rows of a block of ids, in the order of the ids.
 */
void
FoldBlock(Digest *digest, uint8 *fold, const uint8 *hashes, int count)
{
	BeginDigest(digest, "rows");
	AddBytesToDigest(digest, fold, LINK_HASH_BYTES);
	AddBytesToDigest(digest, hashes, count * ROW_HASH_BYTES);
	EndDigest(digest, fold, LINK_HASH_BYTES);
}
