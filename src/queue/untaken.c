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
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/identity.h"
#include "base/own_table.h"
#include "base/target.h"
#include "queue/segment.h"
#include "queue/untaken.h"
#include "queue/wake.h"

/* The target of a segment. */
#define TARGET_OF(segment) "coalesce(" segment ".target, '" PRODUCTION "')"

/*
 * Since when the action has been due at $1 that is due first, and its target, unless
 * something for that target is leased: for target $2, or for any if it is NULL.  With $3,
 * consumers sleep, which are taken for those of production.  A lease that has run out waits
 * for a claim as well.  What a stopped batch, a limit or a canary holds back is not due, or is
 * put out of the way by the next claim.  %1$s is the extension's schema; the search path is
 * pinned to pg_catalog.
 */
#define FIND_UNTAKEN \
	"SELECT min(s.due_at), " TARGET_OF( \
		"s") " FROM %1$s.acteon_dispatch_segment AS s" \
			 "	JOIN %1$s.acteon_replay_batch AS b ON b.id = s.batch_id" \
			 "	WHERE s.doubt_since IS NULL AND s.due_at <= $1" \
			 "		AND b.stopped IS NULL AND s.first_id > b.canary_last_id IS NOT TRUE" \
			 "		AND NOT EXISTS (SELECT FROM %1$s.acteon_dispatch_segment AS l" \
			 "			WHERE " TARGET_OF("l") " = " TARGET_OF("s") " AND " SEGMENT_IS_LEASED( \
				 "l", "$1") ")" \
							"		AND ($2 IS NULL OR " TARGET_OF( \
								"s") " = $2)" \
									 "		AND NOT ($3 AND s.target IS NULL) " \
									 "GROUP BY 2 ORDER BY 1 LIMIT 1"

/*
 * Find an action that is due and that no consumer takes: for a target, or for any if it is
 * NULL.  Sets since when, which is not given if there is none or if consumers are at work,
 * that is, one for its target holds a lease or, for production, one sleeps; and the target,
 * in the current memory context.  Only reads, as the tables' owner.
 */
void
FindUntaken(Untaken *untaken, Oid schema, const char *target, TimestampTz now)
{
	MemoryContext old = CurrentMemoryContext;
	Oid types[] = {TIMESTAMPTZOID, TEXTOID, BOOLOID};
	Datum values[] = {TimestampTzGetDatum(now),
					  target == NULL ? (Datum) 0 : CStringGetTextDatum(target),
					  BoolGetDatum(IsAnyAsleep(schema))};
	char nulls[] = {' ', target == NULL ? 'n' : ' ', ' '};
	Identity saved;
	bool isnull;

	memset(untaken, 0, sizeof(*untaken));
	SwitchIdentity(&saved, TableOwner(OwnTable(schema, SEGMENT_TABLE)));
	SetLocally("jit", "off");
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(psprintf(FIND_UNTAKEN, quote_identifier(get_namespace_name(schema))),
							  lengthof(types), types, values, nulls, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the segments: %s", SPI_result_code_string(SPI_result));
	if (SPI_processed > 0)
	{
		HeapTuple tuple = SPI_tuptable->vals[0];
		TupleDesc desc = SPI_tuptable->tupdesc;

		untaken->since.given = true;
		untaken->since.time = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 1, &isnull));
		untaken->target = MemoryContextStrdup(old, SPI_getvalue(tuple, desc, 2));
	}
	SPI_finish();
	RestoreIdentity(&saved);
	MemoryContextSwitchTo(old);
}

/*
 * The options with which a relay for a target is started: those behind its name.
 */
const char *
RelayOptions(const char *target)
{
	return strcmp(target, PRODUCTION) == 0 ? "" : psprintf(" --target %s", target);
}
