/*
 * untaken.c
 *		Whether any consumer takes what is due.
 *
 * Nothing says which consumers there are.  One that works holds a lease nearly all the
 * time as long as something is due, and one that has nothing to do sleeps (wake.c).  So
 * if actions are due, nothing is leased and nobody sleeps, no consumer is there, or it
 * has stopped claiming.  Between two claims of a consumer the same is seen for a moment;
 * callers look at what has been due for a while, or at whether anything has ended.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/identity.h"
#include "base/own_table.h"
#include "queue/segment.h"
#include "queue/untaken.h"
#include "queue/wake.h"

/*
 * Since when the action for target $2 has been due at $1 that is due first, unless something
 * for it is leased.  A lease that has run out waits for a claim as well.
 * What a stopped batch, a limit or a canary holds back is not due, or is put out of the
 * way by the next claim.  %1$s is the extension's schema; the search path is pinned to
 * pg_catalog.
 */
#define FIND_UNTAKEN \
	"SELECT min(s.due_at) FROM %1$s.acteon_dispatch_segment AS s" \
	"	JOIN %1$s.acteon_replay_batch AS b ON b.id = s.batch_id" \
	"	WHERE s.target IS NOT DISTINCT FROM $2 AND s.doubt_since IS NULL AND s.due_at <= $1" \
	"		AND b.stopped IS NULL AND s.first_id > b.canary_last_id IS NOT TRUE" \
	"		AND NOT EXISTS (SELECT FROM %1$s.acteon_dispatch_segment AS l" \
	"			WHERE l.target IS NOT DISTINCT FROM $2 AND " SEGMENT_IS_LEASED("l", "$1") ")"

/*
 * Since when an action for a target (NULL is production) has been due that no consumer takes;
 * not given if none is due, or a consumer holds a lease, or, for production, sleeps.  What
 * consumers that sleep deliver to is not known, and most deliver to production.  Only reads,
 * as the tables' owner.
 */
OptionalTime
FindUntaken(Oid schema, const char *target, TimestampTz now)
{
	OptionalTime since = {false};
	MemoryContext old = CurrentMemoryContext;
	Oid types[] = {TIMESTAMPTZOID, TEXTOID};
	Datum values[] = {TimestampTzGetDatum(now),
					  target == NULL ? (Datum) 0 : CStringGetTextDatum(target)};
	const char nulls[] = {' ', target == NULL ? 'n' : ' '};
	Identity saved;
	bool isnull;

	if (target == NULL && IsAnyAsleep(schema))
		return since;
	SwitchIdentity(&saved, TableOwner(OwnTable(schema, SEGMENT_TABLE)));
	SetLocally("jit", "off");
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(psprintf(FIND_UNTAKEN, quote_identifier(get_namespace_name(schema))),
							  lengthof(types), types, values, nulls, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the segments: %s", SPI_result_code_string(SPI_result));
	since.time = DatumGetTimestampTz(
		SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	since.given = !isnull;
	SPI_finish();
	RestoreIdentity(&saved);
	MemoryContextSwitchTo(old);
	return since;
}
