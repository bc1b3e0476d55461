/*
 * timeline.c
 *		acteon_replay_timeline: how many records were lost when.
 *
 * The records that are selected (selected.c) are counted over time (time_buckets.c).
 */
#include "postgres.h"

#include "funcapi.h"
#include "utils/timestamp.h"

#include "preview/selected.h"
#include "preview/time_buckets.h"

/* Columns of the result. */
#define NUM_TIMELINE_COLUMNS 3

/* What is being counted, and of which query. */
typedef struct Timeline
{
	const ReplayQuery *query;
	TimeBuckets *buckets;
} Timeline;

PG_FUNCTION_INFO_V1(acteon_replay_timeline);

/*
 * Count a record by its time; see selected.h.
 */
static void
count_record(void *arg, const AuditRecord *record, Reason reason)
{
	Timeline *timeline = arg;

	if (IsAskedFor(timeline->query, reason))
		CountTime(timeline->buckets, record->dispatched_at);
}

/*
 * Let the buckets reach to the ends that the caller gave.  A record of the very last moment
 * makes another bucket, but the moment alone does not.
 */
static void
cover_ends(TimeBuckets *buckets, const OptionalTime *from, const OptionalTime *to)
{
	if (from->given)
		CoverTime(buckets, from->time);
	if (to->given && (!from->given || to->time > from->time))
		CoverTime(buckets, to->time - 1);
}

/*
 * acteon_replay_timeline(namespace text, … buckets integer)
 * → table (bucket_from timestamptz, bucket_to timestamptz, records bigint)
 *
 * How many records the arguments select, or were lost if these select nothing, in each of
 * several intervals of the same length.  Only records that the caller's grants cover count.
 * Raises the errors of acteon_replay_preview.
 */
Datum
acteon_replay_timeline(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ReplayQuery query;
	OptionalTime to;
	Timeline timeline = {.query = &query};
	TimeBucket *buckets;
	int count;

	InitMaterializedSRF(fcinfo, 0);
	ReadReplayArguments(&query, fcinfo, CALL_TIMELINE, 0);
	SelectLostByDefault(&query);
	timeline.buckets = MakeTimeBuckets(
		ReadIntegerArgument(fcinfo, OptionPlace(CALL_TIMELINE, OPTION_BUCKETS), OPTION_BUCKETS,
							(int) OptionNumber(ReplayOptions[OPTION_BUCKETS].initial)));
	to = query.to;
	SeeSelected(fcinfo, &query, count_record, &timeline);
	if (CountedTimes(timeline.buckets) == 0 && !(query.from.given && to.given))
		return (Datum) 0;
	to.time = Min(to.time, query.to.time); /* nothing is counted in the future */
	cover_ends(timeline.buckets, &query.from, &to);
	count = EndTimeBuckets(timeline.buckets, &buckets);
	for (int i = 0; i < count; i++)
	{
		Datum values[NUM_TIMELINE_COLUMNS] = {TimestampTzGetDatum(buckets[i].from),
											  TimestampTzGetDatum(buckets[i].to),
											  Int64GetDatum(buckets[i].count)};
		bool nulls[NUM_TIMELINE_COLUMNS] = {0};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
