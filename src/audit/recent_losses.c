/*
 * recent_losses.c
 *		Actions that were lost lately.
 *
 * The last day of the table is looked at, by the gateway's index on the outcome and the
 * time: of each outcome of lost actions some of the newest records are read, and some of
 * the newest executed ones, whose details tell whether they had an effect.  So the cost
 * does not depend on the size of the table or of the day; without the index, nothing is
 * read.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "audit/audit_lookup.h"
#include "audit/audit_sql.h"
#include "audit/audit_value.h"
#include "audit/recent_losses.h"
#include "base/identity.h"
#include "base/text.h"

/* Records of each outcome that are read. */
#define READ_RECORDS 200

/* Actions that are returned. */
#define MOST_LOSSES 500

/* The columns of the statement. */
enum
{
	LOSS_ACTION_ID = 1,
	LOSS_TENANT,
	LOSS_NAMESPACE,
	LOSS_PROVIDER,
	LOSS_ACTION_TYPE,
	LOSS_OUTCOME,
	LOSS_IS_LOST
};

/*
 * Build the statement that selects the newest records of such outcomes between $1 and $2,
 * outcome by outcome, and whether they say that their actions were lost.
 */
static char *
losses_sql(const AuditTable *table)
{
	static const char *const outcomes[] = {FAILED_OUTCOME, CIRCUIT_OPEN_OUTCOME, THROTTLED_OUTCOME,
										   QUOTA_EXCEEDED_OUTCOME, EXECUTED_OUTCOME};
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < lengthof(outcomes); i++)
	{
		appendStringInfoString(&sql, i == 0 ? "" : " UNION ALL ");
		appendStringInfo(
			&sql,
			"SELECT a.action_id, a.tenant, a.namespace, a.provider, a.action_type, a.outcome, %s"
			" FROM (SELECT a.* FROM %s AS a WHERE %s AND a.dispatched_at" GE
			"$1 AND a.dispatched_at" LE "$2 ORDER BY a.dispatched_at DESC LIMIT %d) AS a",
			LostTest(table, "a"), table->quoted_name, OutcomeTest(table, "a", outcomes[i]),
			READ_RECORDS);
	}
	return sql.data;
}

/*
 * Take the records that the statement has found whose actions were lost, and that the
 * grants let the caller preview.
 */
static void
take_found(RecentLosses *losses, Grants *grants)
{
	TupleDesc desc = SPI_tuptable->tupdesc;
	ArrayBuildState *ids = NULL;
	text *last_outcome = NULL;
	int of_outcome = 0;
	int count = 0;

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple tuple = SPI_tuptable->vals[i];
		text *columns[LOSS_OUTCOME + 1];
		GrantTarget target;
		bool is_whole = true;
		bool isnull;
		Datum is_lost;

		for (int column = LOSS_ACTION_ID; column <= LOSS_OUTCOME; column++)
		{
			Datum value = SPI_getbinval(tuple, desc, column, &isnull);

			is_whole = is_whole && !isnull;
			columns[column] = isnull ? NULL : DatumGetTextPP(value);
		}
		if (last_outcome == NULL || !SameText(last_outcome, columns[LOSS_OUTCOME]))
			of_outcome = 0;
		last_outcome = columns[LOSS_OUTCOME];
		if (++of_outcome == READ_RECORDS)
			losses->has_more = true;
		is_lost = SPI_getbinval(tuple, desc, LOSS_IS_LOST, &isnull);
		if (!is_whole || isnull || !DatumGetBool(is_lost))
			continue;
		target = (GrantTarget){.tenant = columns[LOSS_TENANT],
							   .namespace = columns[LOSS_NAMESPACE],
							   .provider = columns[LOSS_PROVIDER],
							   .action_type = columns[LOSS_ACTION_TYPE]};
		if (!GrantsCover(grants, PreviewPurpose(grants), &target))
			continue;
		if (count == MOST_LOSSES)
		{
			losses->has_more = true;
			break;
		}
		ids = accumArrayResult(ids, PointerGetDatum(columns[LOSS_ACTION_ID]), false, TEXTOID,
							   CurrentMemoryContext);
		count++;
	}
	if (ids != NULL)
		losses->action_ids = DatumGetArrayTypeP(makeArrayResult(ids, CurrentMemoryContext));
}

/*
 * Find the actions of the last day that were lost and that the grants let the caller
 * preview: ids of some of the newest ones.  The day ends with the newest record, if that
 * is before the given time.  Returns false if that cannot be told cheaply: the table is on
 * another server, has children, which may lack the index, or has no records.  Needs
 * an SPI connection.
 */
bool
FindRecentLosses(const AuditTable *table, Grants *grants, TimestampTz now, RecentLosses *losses)
{
	Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[2];
	MemoryContext old = CurrentMemoryContext;
	Identity caller;

	memset(losses, 0, sizeof(*losses));
	if (AuditTableIsRemote(table) || !HasOutcomesByTime(table) ||
		(table->rel->rd_rel->relkind == RELKIND_RELATION && table->rel->rd_rel->relhassubclass))
		return false;
	losses->newest = Min(AuditNewest(table), now);
	if (TIMESTAMP_NOT_FINITE(losses->newest))
		return false;
	/* From the beginning of a minute on. */
	losses->from = losses->newest - USECS_PER_DAY;
	losses->from -= losses->from % USECS_PER_MINUTE;
	values[0] = TimestampTzGetDatum(losses->from);
	values[1] = TimestampTzGetDatum(losses->newest);
	SwitchIdentity(&caller, table->owner);
	SetLocally("enable_seqscan", "off");
	SetLocally("enable_bitmapscan", "off");
	SetLocally("enable_sort", "off");
	SetLocally("jit", "off");
	if (SPI_execute_with_args(losses_sql(table), lengthof(types), types, values, NULL, true, 0) !=
		SPI_OK_SELECT)
		elog(ERROR, "could not read audit table: %s", SPI_result_code_string(SPI_result));
	RestoreIdentity(&caller);
	MemoryContextSwitchTo(old); /* SPI leaves its own one behind */
	take_found(losses, grants);
	SPI_freetuptable(SPI_tuptable);
	return true;
}
