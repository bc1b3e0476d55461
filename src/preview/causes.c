/*
 * causes.c
 *		acteon_replay_causes: what is lost, and why.
 *
 * The audit table is read once, without what is in the actions, and counted by
 * causes (cause_counts.c).  Earlier replays are not looked at: what is counted is
 * what the gateway has recorded.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "audit/audit_scan.h"
#include "base/table_access.h"
#include "preview/cause_counts.h"
#include "replay/replay_call.h"

/* Attributes of the type acteon_replay_cause. */
#define NUM_CAUSE_COLUMNS 9

PG_FUNCTION_INFO_V1(acteon_replay_causes);

/*
 * Count the records of a window that the caller may read.
 */
static void
count_window(CauseCounts *counts, ReplayCall *call, const ReplayQuery *query,
			 const AuditRecord *records, int count)
{
	for (int i = 0; i < count; i++)
	{
		const AuditRecord *record = &records[i];
		Effect effect;

		if (record->missing == NULL && GrantsCoverRecord(call->grants, GRANT_READ, record))
			CountCause(counts, record, JudgeColumns(query, record, &effect));
	}
}

/*
 * Count all records that a query selects.  Needs an SPI connection.
 */
static void
count_records(CauseCounts *counts, ReplayCall *call, const ReplayQuery *query)
{
	MemoryContext window =
		AllocSetContextCreate(call->context, "acteon_replay window", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;
	AuditScan scan;
	AuditRecord *records;
	int count;

	AuditScanBeginOutcomes(&scan, &call->audit, query);
	old = MemoryContextSwitchTo(window);
	while ((count = AuditScanTake(&scan, MAX_RECORDS_LIMIT, &records)) > 0)
	{
		CHECK_FOR_INTERRUPTS();
		count_window(counts, call, query, records, count);
		MemoryContextReset(window);
	}
	MemoryContextSwitchTo(old);
	AuditScanEnd(&scan);
	MemoryContextDelete(window);
}

/*
 * Put out a cause.
 */
static void
put_cause(ReturnSetInfo *result, const Cause *cause)
{
	Datum values[NUM_CAUSE_COLUMNS];
	bool nulls[NUM_CAUSE_COLUMNS] = {0};
	Datum named[NAMED_TENANTS];
	int count = 0;

	while (count < NAMED_TENANTS && cause->named[count] != NULL)
	{
		named[count] = PointerGetDatum(cause->named[count]);
		count++;
	}
	values[0] = PointerGetDatum(cause->provider);
	values[1] = PointerGetDatum(cause->outcome);
	values[2] = CStringGetTextDatum(cause->signature);
	values[3] = Int64GetDatum(cause->matched);
	values[4] = TimestampTzGetDatum(cause->first);
	values[5] = TimestampTzGetDatum(cause->last);
	values[6] = Int64GetDatum(cause->tenants);
	values[7] = PointerGetDatum(construct_array(named, count, TEXTOID, -1, false, TYPALIGN_INT));
	values[8] = PointerGetDatum(cause->sample);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * acteon_replay_causes(namespace text, … max_causes integer) → setof acteon_replay_cause
 *
 * The records with an error that the arguments select, or those that were lost if these
 * select nothing, by provider, outcome and signature of the error; the most frequent
 * first.  Only records that the caller's grants cover count.  Raises the errors of acteon_replay_preview.
 */
Datum
acteon_replay_causes(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ReplayQuery query;
	ReplayCall call;
	CauseCounts *counts;
	Cause **causes;
	int count, most;

	InitMaterializedSRF(fcinfo, 0);
	ReadReplayArguments(&query, fcinfo, CALL_CAUSES, 0);
	if (!HasFilter(&query))
		query.lost = true;
	CheckReplayQuery(&query);
	most =
		ReadIntegerArgument(fcinfo, OptionPlace(CALL_CAUSES, OPTION_MAX_CAUSES), OPTION_MAX_CAUSES,
							(int) OptionNumber(ReplayOptions[OPTION_MAX_CAUSES].initial));
	OpenShowingCall(&call, CalledSchema(fcinfo));
	EndQueryAt(&query, call.now);
	counts = MakeCauseCounts(&query);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	MemoryContextSwitchTo(call.context);
	count_records(counts, &call, &query);
	SPI_finish();
	MemoryContextSwitchTo(call.context);
	CloseAuditTable(&call.audit);
	count = TopCauses(counts, &causes);
	for (int i = 0; i < Min(count, most); i++)
		put_cause(result, causes[i]);
	if (count > most || UncountedCauses(counts) > 0)
		ereport(NOTICE, (errmsg("there are more causes than these"),
						 errhint("Use a greater max_causes, or more filters.")));
	return (Datum) 0;
}
