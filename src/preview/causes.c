/*
 * causes.c
 *		acteon_replay_causes: what is lost, and why.
 *
 * The records that are selected (selected.c) are counted by causes (cause_counts.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "preview/cause_counts.h"
#include "preview/selected.h"

/* Attributes of the type acteon_replay_cause. */
#define NUM_CAUSE_COLUMNS 9

PG_FUNCTION_INFO_V1(acteon_replay_causes);

/*
 * Count a record by its cause; see selected.h.
 */
static void
count_record(void *arg, const AuditRecord *record, Reason reason)
{
	CountCause(arg, record, reason);
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
	CauseCounts *counts;
	Cause **causes;
	int count, most;

	InitMaterializedSRF(fcinfo, 0);
	ReadReplayArguments(&query, fcinfo, CALL_CAUSES, 0);
	SelectLostByDefault(&query);
	most =
		ReadIntegerArgument(fcinfo, OptionPlace(CALL_CAUSES, OPTION_MAX_CAUSES), OPTION_MAX_CAUSES,
							(int) OptionNumber(ReplayOptions[OPTION_MAX_CAUSES].initial));
	counts = MakeCauseCounts(&query);
	SeeSelected(fcinfo, &query, count_record, counts);
	count = TopCauses(counts, &causes);
	for (int i = 0; i < Min(count, most); i++)
		put_cause(result, causes[i]);
	if (count > most || UncountedCauses(counts) > 0)
		ereport(NOTICE, (errmsg("there are more causes than these"),
						 errhint("Use a greater max_causes, or more filters.")));
	return (Datum) 0;
}
