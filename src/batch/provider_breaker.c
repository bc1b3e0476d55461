/*
 * provider_breaker.c
 *		The circuit breakers of providers.
 *
 * A provider's circuit breaker opens when more than a given share of the last
 * deliveries to the provider failed, in all batches together (failure_window.c).  Then
 * claims hand out none of its actions, in whatever batch, and go on with the others
 * (queue/limit.c).  After a while they hand out one action as a trial: if it took
 * effect, the circuit breaker closes, else the next trial comes after twice the time.
 * How a trial ended is read from the tables, not told by a call, so it does not matter
 * who records it, and nothing is lost in a crash: a trial whose lease has ended makes
 * room for another one.  It is out as long as its lease is extended.
 *
 * Batches without a circuit breaker count for none: whoever turned it off wants them
 * to go on.  While a provider's circuit breaker is open, and for what ended before it
 * closed, its deliveries do not count for those of the batches.
 *
 * A circuit breaker has a row in the table of limits from the first time it opens.
 * Recording a failure waits for no other transaction: the next failure opens the
 * circuit breaker if the row is locked.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/text.h"
#include "batch/batch_row.h"
#include "batch/control_log.h"
#include "batch/failure_window.h"
#include "batch/provider_breaker.h"
#include "queue/failure.h"
#include "queue/outcome_type.h"
#include "queue/wake.h"

/* Seconds until the first trial, and until later ones at most. */
#define FIRST_BACKOFF 30
#define LONGEST_BACKOFF 600

/* How a trial ended. */
typedef enum TrialResult
{
	TRIAL_RUNS,
	TRIAL_SUCCEEDED,
	TRIAL_FAILED,
	TRIAL_TELLS_NOTHING
} TrialResult;

/*
 * Whether a row of the tally is left to the circuit breaker of its provider, and counts
 * for no batch: the breaker is open, or has been closed since.
 */
bool
IsLeftToProvider(LimitSet *limits, const TallyRow *row)
{
	SharedLimit *limit =
		row->provider == NULL ? NULL : FindLimit(limits, LIMIT_PROVIDER, row->provider);

	return limit != NULL && (limit->opened_at != 0 || row->finished_at <= limit->breaker_since);
}

/*
 * Write an entry about the circuit breaker of a provider into the log.
 */
static void
log_breaker(Oid schema, Oid role, const char *event, const text *provider, const char *reason,
			int64 trial_id)
{
	LogDetails details;

	BeginDetails(&details);
	AddTextDetail(&details, "provider", text_to_cstring(provider));
	if (trial_id != 0)
		AddNumberDetail(&details, "trial", trial_id);
	LogControl(schema, role, event, 0, reason, EndDetails(&details));
}

/*
 * Insert the row of a provider or tenant that has none; the caller has locked the
 * limits (LockLimits).  Values has the columns, of which those that identify the row
 * are filled here.
 */
void
InsertLimit(Oid schema, LimitKind kind, const text *name, const Datum *values, const bool *nulls)
{
	Datum row[Natts_limit];
	bool row_nulls[Natts_limit];
	TableWriter writer;

	memcpy(row, values, sizeof(row));
	memcpy(row_nulls, nulls, sizeof(row_nulls));
	row[Anum_limit_key - 1] = Int64GetDatum(LimitKey(kind, name));
	row[Anum_limit_kind - 1] = CStringGetTextDatum(LimitKindNames[kind]);
	row[Anum_limit_name - 1] = PointerGetDatum(name);
	row[Anum_limit_tokens - 1] = Float8GetDatum(0);
	row_nulls[Anum_limit_key - 1] = row_nulls[Anum_limit_kind - 1] = false;
	row_nulls[Anum_limit_name - 1] = row_nulls[Anum_limit_tokens - 1] = false;
	OpenWriter(&writer, OwnTable(schema, LIMIT_TABLE), false);
	InsertRow(&writer, row, row_nulls, Natts_limit);
	CloseWriter(&writer);
}

/*
 * Open the circuit breaker of a provider, and log it for the role that recorded the
 * last failure.  Does nothing if another transaction has locked what is needed.
 */
static void
open_breaker(LimitSet *limits, SharedLimit *limit, const text *provider, Oid role,
			 const char *reason)
{
	static const AttrNumber columns[] = {Anum_limit_opened_at, Anum_limit_open_reason,
										 Anum_limit_retry_at, Anum_limit_backoff,
										 Anum_limit_trial_id};
	TimestampTz now = GetCurrentTimestamp();
	Datum values[] = {TimestampTzGetDatum(now), CStringGetTextDatum(reason),
					  TimestampTzGetDatum(now + FIRST_BACKOFF * USECS_PER_SEC),
					  Int32GetDatum(FIRST_BACKOFF), (Datum) 0};
	bool nulls[] = {false, false, false, false, true};

	if (limit == NULL)
	{
		Datum row[Natts_limit] = {0};
		bool row_nulls[Natts_limit];
		LimitSet present;
		bool exists;

		if (!LockLimits(limits->schema, false))
			return;
		ReadLimits(&present, limits->schema, now);
		exists = FindLimit(&present, LIMIT_PROVIDER, provider) != NULL;
		CloseLimits(&present);
		if (exists)
			return;
		memset(row_nulls, true, sizeof(row_nulls));
		for (int i = 0; i < lengthof(columns); i++)
		{
			row[columns[i] - 1] = values[i];
			row_nulls[columns[i] - 1] = nulls[i];
		}
		InsertLimit(limits->schema, LIMIT_PROVIDER, provider, row, row_nulls);
	}
	else if (!ChangeLimit(limits, limit, lengthof(columns), columns, values, nulls, false))
		return;
	log_breaker(limits->schema, role, "breaker", provider, reason, 0);
}

/* What is known of the batch of a row of the tally. */
typedef struct KnownBatch
{
	Oid schema;
	int64 id;
	bool counts;
} KnownBatch;

/*
 * Whether a row of the tally counts for its provider: its batch has a circuit breaker.
 */
static bool
counts_for_provider(void *argument, const TallyRow *row)
{
	KnownBatch *known = argument;
	BatchRow batch;

	if (known->id != row->batch_id)
	{
		known->id = row->batch_id;
		known->counts = ReadBatch(known->schema, row->batch_id, &batch) && batch.breaker_window > 0;
	}
	return known->counts;
}

/*
 * Look at the circuit breaker of a provider, an action of which has failed.
 */
static void
check_provider(LimitSet *limits, const text *provider, Oid role)
{
	SharedLimit *limit = FindLimit(limits, LIMIT_PROVIDER, provider);
	KnownBatch known = {.schema = limits->schema};
	FailureWindow window = {.size = DEFAULT_BREAKER_WINDOW, .share = DEFAULT_BREAKER_SHARE};
	TallyScan scan;

	if (limit != NULL && (limit->opened_at != 0 || limit->breaker_window == 0))
		return;
	if (limit != NULL)
	{
		window.size = limit->breaker_window;
		window.share = limit->breaker_share;
	}
	BeginProviderTallyScan(&scan, limits->schema, provider,
						   limit == NULL || limit->breaker_since == 0 ? DT_NOBEGIN
																	  : limit->breaker_since);
	FillWindow(&window, &scan, counts_for_provider, &known);
	EndTallyScan(&scan);
	if (WindowIsBad(&window))
		open_breaker(limits, limit, provider, role, WindowText(&window));
}

/*
 * How a trial has ended whose delivery was found.
 */
static TrialResult
delivered_result(TableFinder *deliveries)
{
	bool isnull;
	ActionState state =
		FinishedState(TextDatumGetCString(FoundColumn(deliveries, Anum_delivery_state, &isnull)));
	Datum outcome = FoundColumn(deliveries, Anum_delivery_outcome, &isnull);
	AnswerReading answer = {.effect = EFFECT_UNKNOWN};
	Datum stored;

	if (state == ACTION_DELIVERED && !isnull)
		ReadAnswer(UnpackOutcome(outcome), &answer);
	stored = FoundColumn(deliveries, Anum_delivery_effect, &isnull);
	if (!isnull)
		answer.effect = EffectByName(DatumGetTextPP(stored));
	if (state == ACTION_DELIVERED &&
		(answer.effect == EFFECT_DONE || answer.effect == EFFECT_LATER))
		return TRIAL_SUCCEEDED;
	return IsFailure(state, answer.name, answer.effect) ? TRIAL_FAILED : TRIAL_TELLS_NOTHING;
}

/*
 * How the trial of a circuit breaker has ended, if it has.
 */
static TrialResult
trial_result(LimitSet *limits, const SharedLimit *limit)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TrialResult result = TRIAL_RUNS;
	TableFinder deliveries;

	OpenPartedFinder(&deliveries, limits->schema, DELIVERY_TABLE, Anum_delivery_outbox_id);
	if (FindRow(&deliveries, F_INT8EQ, Int64GetDatum(limit->trial_id), snapshot))
		result = delivered_result(&deliveries);
	else
	{
		SegmentTable segments;
		Segment segment;

		OpenSegments(&segments, limits->schema);
		if (!FindSegment(&segments, limit->trial_id, &segment))
			result = TRIAL_TELLS_NOTHING;
		else if (segment.doubt_since != 0)
			result = TRIAL_FAILED;
		else if (!SegmentIsLeased(&segment, limits->now))
			result = TRIAL_TELLS_NOTHING;
		CloseSegments(&segments);
	}
	CloseFinder(&deliveries);
	UnregisterSnapshot(snapshot);
	return result;
}

/*
 * Close the circuit breaker of a provider, and log it for a role.  Returns false if
 * another transaction has changed it or, without wait, is about to.
 */
bool
CloseBreaker(LimitSet *limits, SharedLimit *limit, Oid role, const char *reason, bool wait)
{
	static const AttrNumber columns[] = {Anum_limit_opened_at,  Anum_limit_open_reason,
										 Anum_limit_retry_at,   Anum_limit_backoff,
										 Anum_limit_trial_id,   Anum_limit_breaker_since,
										 Anum_limit_released_at};
	TimestampTz now = GetCurrentTimestamp();
	Datum values[lengthof(columns)] = {
		[5] = TimestampTzGetDatum(now), [6] = TimestampTzGetDatum(now)};
	bool nulls[lengthof(columns)] = {true, true, true, true, true, false, false};

	if (!ChangeLimit(limits, limit, lengthof(columns), columns, values, nulls, wait))
		return false;
	log_breaker(limits->schema, role, "breaker_close", limit->name, reason, limit->trial_id);
	NotifyConsumers(limits->schema);
	return true;
}

/*
 * Leave a circuit breaker open after its trial: with twice the back-off if the trial has
 * failed, else so that another trial can follow in a second.
 */
static bool
await_next_trial(LimitSet *limits, SharedLimit *limit, bool failed)
{
	static const AttrNumber columns[] = {Anum_limit_retry_at, Anum_limit_backoff,
										 Anum_limit_trial_id};
	int backoff = failed ? Min(limit->backoff * 2, LONGEST_BACKOFF) : limit->backoff;
	TimestampTz retry_at = limits->now + (failed ? backoff : 1) * USECS_PER_SEC;
	Datum values[] = {TimestampTzGetDatum(retry_at), Int32GetDatum(backoff), (Datum) 0};
	bool nulls[] = {false, false, true};

	return ChangeLimit(limits, limit, lengthof(columns), columns, values, nulls, false);
}

/*
 * Let an open circuit breaker hand out its next trial at a time, if that is sooner and none is
 * out.  Does nothing if another transaction has locked it: then it changes anyway.  Acts as the
 * current user, who must own the tables.
 */
void
HastenTrial(Oid schema, const text *provider, TimestampTz at)
{
	static const AttrNumber columns[] = {Anum_limit_retry_at};
	Datum values[] = {TimestampTzGetDatum(at)};
	bool nulls[] = {false};
	LimitSet limits;
	SharedLimit *limit;

	ReadLimits(&limits, schema, GetCurrentTimestamp());
	limit = FindLimit(&limits, LIMIT_PROVIDER, provider);
	if (limit != NULL && limit->opened_at != 0 && limit->trial_id == 0 && limit->retry_at > at)
		(void) ChangeLimit(&limits, limit, lengthof(columns), columns, values, nulls, false);
	CloseLimits(&limits);
}

/*
 * Judge the trials of open circuit breakers that have ended, for the role whose call
 * this is.  Returns whether a limit has changed; then the limits must be read again.
 */
bool
JudgeTrials(LimitSet *limits, Oid role)
{
	bool changed = false;

	for (int i = 0; i < limits->count; i++)
	{
		SharedLimit *limit = &limits->limits[i];
		TrialResult result;

		if (limit->opened_at == 0 || limit->trial_id == 0)
			continue;
		result = trial_result(limits, limit);
		if (result == TRIAL_SUCCEEDED)
			changed |=
				CloseBreaker(limits, limit, role, "circuit breaker: the trial succeeded", false);
		else if (result != TRIAL_RUNS)
			changed |= await_next_trial(limits, limit, result == TRIAL_FAILED);
	}
	if (changed)
		CommandCounterIncrement();
	return changed;
}

/*
 * Look at the circuit breakers of the providers of which actions have ended in a call,
 * after its deliveries were written and made visible to it.  The role is the call's.
 */
void
CheckProviders(Oid schema, Oid role, const DeliveryWriter *deliveries)
{
	LimitSet limits;

	ReadLimits(&limits, schema, GetCurrentTimestamp());
	if (limits.count > 0 && deliveries->failing_count == 0)
		CommandCounterIncrement();
	for (int i = 0; i < deliveries->failing_provider_count; i++)
		check_provider(&limits, deliveries->failing_providers[i], role);
	(void) JudgeTrials(&limits, role);
	CloseLimits(&limits);
	if (deliveries->failing_provider_count > 0)
		CommandCounterIncrement();
}
