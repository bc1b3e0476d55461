/*
 * refused.c
 *		The records of a batch that could not be replayed.
 *
 * A record is refused for a reason of its own (eligibility.c): redacted, damaged, replayed
 * too often.  Each gets a row in acteon_replay_refused, in the transaction that counts it
 * in its batch, so that its batch can say later which records were refused and why.  The
 * number of a row is the batch's count of refused records with it: the rows of a batch are
 * numbered from 1, which is their key and pages through them.  What no grant covers or has
 * no payload is skipped, and not kept; a single replay that is refused raises an error.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "batch/refused.h"
#include "queue/batch_flags.h"

/*
 * Deletes at most $2 rows, of batches that have not refused anything since $1 and will
 * not, or that were deleted themselves.  The batches that have rows are found one after
 * the other by the primary key.  %1$s is the extension's schema; the search path is pinned
 * to pg_catalog.
 */
#define PURGE_REFUSED \
	"WITH RECURSIVE present (batch_id) AS (" \
	"	(SELECT batch_id FROM %1$s.acteon_replay_refused ORDER BY batch_id LIMIT 1)" \
	"	UNION ALL SELECT (SELECT r.batch_id FROM %1$s.acteon_replay_refused AS r" \
	"		WHERE r.batch_id > p.batch_id ORDER BY r.batch_id LIMIT 1)" \
	"	FROM present AS p WHERE p.batch_id IS NOT NULL)," \
	"old AS (SELECT p.batch_id FROM present AS p" \
	"	LEFT JOIN %1$s.acteon_replay_batch AS b ON b.id = p.batch_id" \
	"	WHERE p.batch_id IS NOT NULL AND (b.id IS NULL OR (b.is_complete OR " IS_CANCELLED( \
		"b") ")" \
			 "		AND coalesce(b.last_chunk_at, b.created_at) < $1))" \
			 "DELETE FROM %1$s.acteon_replay_refused AS r USING (SELECT k.batch_id, k.number" \
			 "	FROM old, LATERAL (SELECT e.batch_id, e.number FROM %1$s.acteon_replay_refused AS e" \
			 "		WHERE e.batch_id = old.batch_id) AS k LIMIT $2) AS gone " \
			 "WHERE r.batch_id = gone.batch_id AND r.number = gone.number"

/*
 * Get ready to add refused records.
 */
void
OpenRefused(RefusedWriter *refused, Oid schema)
{
	memset(refused, 0, sizeof(*refused));
	refused->schema = schema;
}

/*
 * Set a text that may be missing.
 */
static void
set_text(Datum *values, bool *nulls, AttrNumber column, const text *value)
{
	values[column - 1] = PointerGetDatum(value);
	nulls[column - 1] = value == NULL;
}

/*
 * Add a record of a batch, with its number in the batch, the name of the reason and the
 * reason in words.  All of it must stay where it is until CloseRefused.
 */
void
AddRefused(RefusedWriter *refused, int64 batch_id, int64 number, const AuditRecord *record,
		   const char *reason, const char *error)
{
	Datum values[Natts_refused];
	bool nulls[Natts_refused] = {false};
	TupleTableSlot **slot;

	if (!refused->is_open)
		OpenWriter(&refused->writer, OwnTable(refused->schema, REFUSED_TABLE), false);
	refused->is_open = true;
	if (refused->count == REFUSED_ROWS)
	{
		InsertSlots(&refused->writer, refused->slots, refused->count);
		refused->count = 0;
	}
	slot = &refused->slots[refused->count++];
	if (*slot == NULL)
		*slot = table_slot_create(refused->writer.rel, NULL);
	values[Anum_refused_batch_id - 1] = Int64GetDatum(batch_id);
	values[Anum_refused_number - 1] = Int64GetDatum(number);
	set_text(values, nulls, Anum_refused_action_id, record->action_id);
	set_text(values, nulls, Anum_refused_namespace, record->namespace);
	set_text(values, nulls, Anum_refused_tenant, record->tenant);
	set_text(values, nulls, Anum_refused_provider, record->provider);
	set_text(values, nulls, Anum_refused_action_type, record->action_type);
	values[Anum_refused_reason - 1] = CStringGetTextDatum(reason);
	values[Anum_refused_error - 1] = CStringGetTextDatum(error);
	FillSlot(&refused->writer, *slot, values, nulls, Natts_refused);
	CheckRow(&refused->writer, *slot);
}

/*
 * Write the remaining rows, and close the table.
 */
void
CloseRefused(RefusedWriter *refused)
{
	if (!refused->is_open)
		return;
	InsertSlots(&refused->writer, refused->slots, refused->count);
	for (int i = 0; i < REFUSED_ROWS && refused->slots[i] != NULL; i++)
		ExecDropSingleTupleTableSlot(refused->slots[i]);
	CloseWriter(&refused->writer);
	refused->is_open = false;
}

/*
 * Delete the refused records of batches whose enqueueing ended before a time, so many at
 * most.  Acts as the current user, who must own the tables.  Needs an SPI connection.
 */
void
PurgeRefused(Oid schema, TimestampTz before, int64 most)
{
	Oid types[] = {TIMESTAMPTZOID, INT8OID};
	Datum values[] = {TimestampTzGetDatum(before), Int64GetDatum(most)};

	if (SPI_execute_with_args(psprintf(PURGE_REFUSED, quote_identifier(get_namespace_name(schema))),
							  lengthof(types), types, values, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not purge refused records: %s", SPI_result_code_string(SPI_result));
}
