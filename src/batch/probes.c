/*
 * probes.c
 *		Batches that only find out whether a provider works.
 *
 * The row of a batch stays when its actions are purged.  A probe is a batch of one action,
 * and while a provider is down a policy makes one every few seconds; so its row, and its
 * counts, go with its action.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "batch/probes.h"

/* %1$s is the extension's schema; the search path is pinned to pg_catalog. */
#define MARK_PROBE "UPDATE %1$s.acteon_replay_batch SET probe_of = $2 WHERE id = $1"

/*
 * Deletes at most $2 probes from before $1 whose action is gone, and its patched copy.  The last batch stays:
 * where the sequence is behind the table, the table has the last number (numbers.c).
 */
#define PURGE_PROBES \
	"WITH gone AS (DELETE FROM %1$s.acteon_replay_batch AS b USING (" \
	"	SELECT p.id FROM %1$s.acteon_replay_batch AS p" \
	"	WHERE p.probe_of IS NOT NULL AND p.created_at < $1" \
	"		AND p.id < (SELECT max(id) FROM %1$s.acteon_replay_batch)" \
	"		AND NOT EXISTS (SELECT FROM %1$s.acteon_dispatch_outbox AS o" \
	"			WHERE o.id IN (p.first_outbox_id, p.last_outbox_id))" \
	"	ORDER BY p.id LIMIT $2 FOR UPDATE OF p SKIP LOCKED) AS old " \
	"	WHERE b.id = old.id RETURNING b.id), " \
	"counts AS (DELETE FROM %1$s.acteon_replay_tally AS t USING gone WHERE t.batch_id = gone.id) " \
	"SELECT id FROM gone"

/*
 * Note that a batch of one action, which the caller's transaction has made, is a probe of a
 * policy.  Acts as the current user, who must own the tables.  Needs an SPI connection.
 */
void
MarkProbe(Oid schema, int64 batch_id, const char *policy)
{
	Oid types[] = {INT8OID, TEXTOID};
	Datum values[] = {Int64GetDatum(batch_id), CStringGetTextDatum(policy)};

	if (SPI_execute_with_args(psprintf(MARK_PROBE, quote_identifier(get_namespace_name(schema))),
							  lengthof(types), types, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not mark a probe: %s", SPI_result_code_string(SPI_result));
}

/*
 * Delete probes from before a time whose actions have been purged, so many at most.  Acts
 * as the current user, who must own the tables.  Needs an SPI connection.  Returns how many
 * were deleted, and their numbers.
 */
int
PurgeProbes(Oid schema, TimestampTz before, int64 most, Datum **numbers)
{
	Oid types[] = {TIMESTAMPTZOID, INT8OID};
	Datum values[] = {TimestampTzGetDatum(before), Int64GetDatum(most)};
	int count;
	bool isnull;

	if (SPI_execute_with_args(psprintf(PURGE_PROBES, quote_identifier(get_namespace_name(schema))),
							  lengthof(types), types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not purge probes: %s", SPI_result_code_string(SPI_result));
	count = (int) SPI_processed;
	*numbers = palloc(Max(count, 1) * sizeof(Datum));
	for (int row = 0; row < count; row++)
		(*numbers)[row] = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 1, &isnull);
	SPI_freetuptable(SPI_tuptable);
	return count;
}
