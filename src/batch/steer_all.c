/*
 * steer_all.c
 *		acteon_replay_pause_all and acteon_replay_resume_all: every batch that the caller
 *		may steer.
 *
 * What one call has paused is found again by the log: the details of its entries have, as
 * "all", the time at which the call paused its batches, which their rows have as stopped_at.
 * A batch that was resumed since, or paused in another way, has another time there.
 *
 * Stopping everything must not wait for who holds a single batch: what is free is taken
 * first, and then what others hold, each for a moment only (wait_for).  What they still hold
 * then is left alone and named.  Two calls that wait for each other end in the same way, so no
 * order of the rows is needed.
 *
 * Resuming also locks the batches against claims, and everybody who does that has locked the
 * batch's row before; so all rows come first.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/error_reason.h"
#include "base/subtransaction.h"
#include "batch/batch_pace.h"
#include "batch/control_log.h"
#include "batch/may_steer.h"
#include "batch/steer.h"
#include "queue/batch_flags.h"
#include "queue/schedule.h"

/* The member of the details of a log entry that says it is one of all batches. */
#define DETAIL_ALL "all"

/*
 * The batches of which something may still go out: id and when it was stopped.  Notifications
 * are not among them.  %1$s is the extension's schema.
 */
#define FIND_RUNNING \
	"SELECT b.id, b.stopped_at FROM %1$s.acteon_replay_batch AS b " \
	"WHERE b.stopped IS NULL AND b.awaits_until IS NULL AND NOT b.query ? 'notify' AND b.id IN" \
	"	(SELECT i.id FROM %1$s.acteon_replay_batch AS i WHERE NOT i.is_complete" \
	"		UNION SELECT s.batch_id FROM %1$s.acteon_dispatch_segment AS s) " \
	"ORDER BY b.id"

/*
 * Those that are paused since a call paused all.  OFFSET 0 has the log looked up by its index
 * for each: as a join, without statistics it may be read as a whole for each.
 */
#define FIND_PAUSED \
	"SELECT b.id, b.stopped_at FROM %1$s.acteon_replay_batch AS b " \
	"WHERE " IS_PAUSED("b") " AND EXISTS (SELECT FROM %1$s.acteon_replay_log AS l" \
							"	WHERE l.batch_id = b.id AND l.event = 'pause'" \
							"		AND (l.details ->> '" DETAIL_ALL \
							"')::timestamptz = b.stopped_at OFFSET 0) " \
							"ORDER BY b.id"

/* How long one batch that another session holds is waited for, unless lock_timeout is set, and
 * all of them. */
#define WAIT_FOR_ONE_MS 1000
#define WAIT_FOR_ALL_MS 5000

/* How many batches a message names at most. */
#define MAX_NAMED_BATCHES 10

/* What became of a batch that was found. */
typedef enum Fate
{
	FATE_OPEN, /* nothing yet */
	FATE_LEFT, /* there is nothing to do with it any more */
	FATE_STEERED,
	FATE_BUSY,    /* another session holds it */
	FATE_REFUSED, /* the caller may not steer it */
	FATE_UNSEEN   /* and does not see it either */
} Fate;

/* A batch that was found. */
typedef struct Candidate
{
	int64 id;
	OptionalTime stopped_at;
	Fate fate;
} Candidate;

/* Batches that are steered in one call. */
typedef struct SteeredBatches
{
	const char *done; /* what it is called, in the past */
	Steering steering;
	Candidate *candidates;
	uint64 count;
	TimestampTz wait_until; /* 0: nothing was waited for yet */
} SteeredBatches;

/* One of them, while it is waited for. */
typedef struct Wait
{
	ControlCall *call;
	const SteeredBatches *batches;
	Candidate *found;
	void (*act)(ControlCall *call);
	int milliseconds;
} Wait;

/* What is done with all batches. */
typedef struct SteeringOfAll
{
	const char *function;
	const char *find; /* the statement that finds them */
	const char *done; /* what it is called, in the past */
	Steering steering;
	void (*steer)(ControlCall *call, SteeredBatches *batches);
	const char *none; /* the NOTICE if there are none */
	const char *hint; /* who could */
} SteeringOfAll;

PG_FUNCTION_INFO_V1(acteon_replay_pause_all);
PG_FUNCTION_INFO_V1(acteon_replay_resume_all);

/*
 * Find batches, by a statement that is run as the tables' owner.
 */
static void
find_batches(ControlCall *call, const char *statement, SteeredBatches *batches)
{
	const char *schema = quote_identifier(get_namespace_name(call->schema));

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute(psprintf(statement, schema), true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not find the batches: %s", SPI_result_code_string(SPI_result));
	batches->count = SPI_processed;
	batches->candidates = SPI_palloc(mul_size(Max(SPI_processed, 1), sizeof(Candidate)));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple tuple = SPI_tuptable->vals[i];
		Candidate *found = &batches->candidates[i];
		bool isnull;
		Datum value = SPI_getbinval(tuple, SPI_tuptable->tupdesc, 2, &isnull);

		found->stopped_at = (OptionalTime){!isnull, isnull ? 0 : DatumGetTimestampTz(value)};
		value = SPI_getbinval(tuple, SPI_tuptable->tupdesc, 1, &isnull);
		found->id = DatumGetInt64(value);
		found->fate = FATE_OPEN;
	}
	SPI_finish();
}

/*
 * Whether the batch whose row is locked is stopped since the time at which it was when it was
 * found, or not at all, as it was then.
 */
static bool
is_as_found(ControlCall *call, const Candidate *found)
{
	bool isnull;
	Datum stopped_at = FoundColumn(&call->held.finder, Anum_batch_stopped_at, &isnull);

	if (isnull || !found->stopped_at.given)
		return isnull && !found->stopped_at.given;
	return DatumGetTimestampTz(stopped_at) == found->stopped_at.time;
}

/*
 * Lock the row of a batch if the caller may steer it and it is as it was found, and do
 * something with it (NULL: nothing).  Returns what became of it.
 */
static Fate
take(ControlCall *call, const Candidate *found, Steering steering, void (*act)(ControlCall *call),
	 bool wait)
{
	Fate fate = FATE_LEFT;

	switch (HoldOneOfMany(call, found->id, steering, wait))
	{
		case HOLD_BUSY:
			return FATE_BUSY;
		case HOLD_REFUSED:
			return SeesRefused(call) ? FATE_REFUSED : FATE_UNSEEN;
		case HOLD_GONE:
			return FATE_LEFT;
		case HOLD_HELD:
			break;
	}
	/* Meanwhile the last of it may have been completed. */
	if (is_as_found(call, found) && (found->stopped_at.given || !IsFinished(call)))
	{
		fate = FATE_STEERED;
		if (act != NULL)
			act(call);
	}
	ReleaseBatch(&call->held);
	return fate;
}

/*
 * Wait for one thing that another session holds, in a subtransaction, at most as long as
 * lock_timeout says, or a second, and no longer than is left for all.  Returns false if it is
 * held still, or if that session waits for this one.
 */
static bool
wait_for(SteeredBatches *batches, Wait *wait, SubtransactionWork work)
{
	TimestampTz now = GetCurrentTimestamp();
	ErrorData *error;

	if (batches->wait_until == 0)
		batches->wait_until = TimestampTzPlusMilliseconds(now, WAIT_FOR_ALL_MS);
	if (now >= batches->wait_until)
		return false;
	wait->milliseconds =
		Max(1, Min(LockTimeout > 0 ? LockTimeout : WAIT_FOR_ONE_MS,
				   (int) TimestampDifferenceMilliseconds(now, batches->wait_until)));
	error = TryInSubtransaction(work, wait, CurrentMemoryContext);
	if (error == NULL)
		return true;
	if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE &&
		error->sqlerrcode != ERRCODE_T_R_DEADLOCK_DETECTED)
		ReThrowError(error);
	return false;
}

/*
 * Take a batch, waiting for its row.
 */
static bool
take_waiting(void *argument)
{
	Wait *wait = argument;

	SetLocally("lock_timeout", psprintf("%d", wait->milliseconds));
	wait->found->fate = take(wait->call, wait->found, wait->batches->steering, wait->act, true);
	return true;
}

/*
 * Take all batches: at first all that are free, then those that others hold.
 */
static void
take_all(ControlCall *call, SteeredBatches *batches, void (*act)(ControlCall *call))
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "one of many batches", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	for (uint64 i = 0; i < batches->count; i++)
	{
		Candidate *found = &batches->candidates[i];

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(context);
		found->fate = take(call, found, batches->steering, act, false);
	}
	for (uint64 i = 0; i < batches->count; i++)
	{
		Wait wait = {.call = call,
					 .batches = batches,
					 .found = &batches->candidates[i],
					 .act = act};

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(context);
		if (wait.found->fate == FATE_BUSY && !wait_for(batches, &wait, take_waiting))
			wait.found->fate = FATE_BUSY;
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/*
 * How many batches something became of.
 */
static int
count_fate(const SteeredBatches *batches, Fate fate)
{
	int count = 0;

	for (uint64 i = 0; i < batches->count; i++)
		count += batches->candidates[i].fate == fate;
	return count;
}

/*
 * The first batches that others hold, for a message.
 */
static char *
list_busy(const SteeredBatches *batches)
{
	StringInfoData list;
	int count = 0;

	initStringInfo(&list);
	for (uint64 i = 0; i < batches->count; i++)
	{
		if (batches->candidates[i].fate != FATE_BUSY)
			continue;
		if (count == MAX_NAMED_BATCHES)
		{
			appendStringInfoString(&list, ", …");
			break;
		}
		appendStringInfo(&list, "%s" INT64_FORMAT, count++ > 0 ? ", " : "",
						 batches->candidates[i].id);
	}
	return list.data;
}

/*
 * Refuse a caller who may steer no batch whatever.
 */
static void
refuse_who_may_nothing(ControlCall *call, const SteeredBatches *batches, const char *hint)
{
	if (!GrantsMayReplay(call->grants))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errreason(CODE_MAY_NOT_STEER),
				 errmsg("insufficient permissions: no batch was %s", batches->done),
				 errdetail("Role \"%s\" may not do it.", GetUserNameFromId(call->caller, false)),
				 errhint("%s", hint)));
}

/*
 * Tell the caller what was left as it is: what others hold, in a WARNING, and what it may not
 * steer, of which only what it sees is counted.  There is also a NOTICE if there was nothing
 * to do.
 */
static void
tell_left(ControlCall *call, const SteeredBatches *batches, const char *none, const char *hint)
{
	const char *role = GetUserNameFromId(call->caller, false);
	int busy = count_fate(batches, FATE_BUSY);
	int refused = count_fate(batches, FATE_REFUSED);
	bool unseen = count_fate(batches, FATE_UNSEEN) > 0;

	if (busy > 0)
		ereport(WARNING, (errmsg_plural("%d batch was not %s: another session has locked it",
										"%d batches were not %s: other sessions have locked them",
										busy, busy, batches->done),
						  errdetail_plural("Batch %s.", "Batches %s.", busy, list_busy(batches)),
						  errhint("Call the function again.")));
	if (refused > 0)
		ereport(NOTICE, (errmsg_plural("%d batch was not %s", "%d batches were not %s", refused,
									   refused, batches->done),
						 errdetail("Role \"%s\" may not do it.", role), errhint("%s", hint)));
	if (unseen)
		ereport(NOTICE,
				(errmsg("batches that role \"%s\" may not see were not %s", role, batches->done),
				 errhint("%s", hint)));
	if (busy == 0 && refused == 0 && !unseen && count_fate(batches, FATE_STEERED) == 0)
		ereport(NOTICE, (errmsg("%s", none)));
}

/*
 * Return a batch as (batch_id, waiting, in_flight, outcome), or, with no id, all that are not
 * shown to the caller.
 */
static void
return_batch(ControlCall *call, ReturnSetInfo *result, const int64 *id, const char *outcome,
			 bool with_counts)
{
	BatchRow row;
	Datum values[4];
	bool nulls[4] = {true, true, true, false};

	if (id != NULL)
	{
		values[0] = Int64GetDatum(*id);
		nulls[0] = false;
	}
	if (with_counts && ReadBatch(call->schema, *id, &row))
	{
		BatchQueue queue = QueueOfBatch(call->schema, &row, call->now);
		QueueCounts counts = CountQueue(&queue);

		values[1] = Int64GetDatum(counts.waiting);
		values[2] = Int64GetDatum(counts.in_flight);
		nulls[1] = nulls[2] = false;
	}
	values[3] = CStringGetTextDatum(outcome);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * Return the batches that were steered, as they are then, and those that were not.
 */
static void
return_batches(ControlCall *call, FunctionCallInfo fcinfo, const SteeredBatches *batches)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	CommandCounterIncrement();
	for (uint64 i = 0; i < batches->count; i++)
	{
		const Candidate *found = &batches->candidates[i];

		CHECK_FOR_INTERRUPTS();
		if (found->fate == FATE_STEERED)
			return_batch(call, result, &found->id, batches->done, true);
		else if (found->fate == FATE_BUSY)
			return_batch(call, result, &found->id, "busy", true);
		else if (found->fate == FATE_REFUSED)
			return_batch(call, result, &found->id, "refused", false);
	}
	if (count_fate(batches, FATE_UNSEEN) > 0)
		return_batch(call, result, NULL, "refused", false);
}

/*
 * Pause one of the batches.
 */
static void
pause_one(ControlCall *call)
{
	LogDetails details;

	BeginDetails(&details);
	AddTimeDetail(&details, DETAIL_ALL, &(OptionalTime){true, call->now});
	PauseWhole(call, EndDetails(&details));
}

/*
 * Pause all that can be paused.
 */
static void
pause_batches(ControlCall *call, SteeredBatches *batches)
{
	take_all(call, batches, pause_one);
}

/*
 * Steer all batches: find them, take them, return them, and tell of those that were left.
 */
static void
steer_all(FunctionCallInfo fcinfo, const SteeringOfAll *what)
{
	ControlCall call = {0};
	SteeredBatches batches = {.done = what->done, .steering = what->steering};

	InitMaterializedSRF(fcinfo, 0);
	BeginControlOfMany(&call, fcinfo, what->function, 0);
	refuse_who_may_nothing(&call, &batches, what->hint);
	find_batches(&call, what->find, &batches);
	what->steer(&call, &batches);
	return_batches(&call, fcinfo, &batches);
	EndControlOfMany(&call);
	tell_left(&call, &batches, what->none, what->hint);
}

/*
 * acteon_replay_pause_all(reason text) → setof (batch_id, waiting, in_flight, outcome)
 *
 * Pauses all batches of which something may still go out, except notifications, as far as the
 * caller may pause them and nobody else holds them; returns all of them.  A WARNING names
 * those that others hold, a NOTICE tells that there are others.  Raises insufficient_privilege
 * (the caller may steer no batch) and invalid_parameter_value.
 */
Datum
acteon_replay_pause_all(PG_FUNCTION_ARGS)
{
	static const SteeringOfAll pause = {
		.function = "acteon_replay_pause_all()",
		.find = FIND_RUNNING,
		.done = "paused",
		.steering = STEER_RESTRAIN,
		.steer = pause_batches,
		.none = "there is no running batch to pause",
		.hint = "A batch can be paused by the role that started it, and by admins and operators "
				"of all of it."};

	steer_all(fcinfo, &pause);
	return (Datum) 0;
}

/*
 * Order batches by their locks.
 */
static int
compare_locks(const void *left, const void *right)
{
	uint32 a = BatchLockOf((*(Candidate *const *) left)->id);
	uint32 b = BatchLockOf((*(Candidate *const *) right)->id);

	return a < b ? -1 : a > b;
}

/*
 * Lock a batch against claims, waiting for those under way.
 */
static bool
lock_waiting(void *argument)
{
	Wait *wait = argument;

	SetLocally("lock_timeout", psprintf("%d", wait->milliseconds));
	return LockBatch(wait->call->schema, wait->found->id, ExclusiveLock, true);
}

/*
 * Lock the batches whose rows were taken against claims, in the order of these locks.  Those
 * of which claims do not end are busy.
 */
static void
lock_taken(ControlCall *call, SteeredBatches *batches)
{
	Candidate **sorted = palloc(mul_size(Max(batches->count, 1), sizeof(Candidate *)));
	uint64 count = 0;

	for (uint64 i = 0; i < batches->count; i++)
	{
		if (batches->candidates[i].fate == FATE_STEERED)
			sorted[count++] = &batches->candidates[i];
	}
	qsort(sorted, count, sizeof(Candidate *), compare_locks);
	for (uint64 i = 0; i < count; i++)
	{
		Wait wait = {.call = call, .batches = batches, .found = sorted[i]};

		CHECK_FOR_INTERRUPTS();
		if (!LockBatch(call->schema, sorted[i]->id, ExclusiveLock, false) &&
			!wait_for(batches, &wait, lock_waiting))
			sorted[i]->fate = FATE_BUSY;
	}
	pfree(sorted);
}

/*
 * Resume one of the batches.
 */
static void
resume_one(ControlCall *call)
{
	ResumeWhole(call, false);
}

/*
 * Resume those whose rows, and themselves, are locked.
 */
static void
resume_taken(ControlCall *call, SteeredBatches *batches)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "one of many batches", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	for (uint64 i = 0; i < batches->count; i++)
	{
		Candidate *found = &batches->candidates[i];

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(context);
		if (found->fate == FATE_STEERED)
			found->fate = take(call, found, batches->steering, resume_one, false);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/*
 * Resume all that can be resumed.
 */
static void
resume_batches(ControlCall *call, SteeredBatches *batches)
{
	take_all(call, batches, NULL);
	lock_taken(call, batches);
	resume_taken(call, batches);
}

/*
 * acteon_replay_resume_all(reason text) → setof (batch_id, waiting, in_flight, outcome)
 *
 * Resumes all batches that acteon_replay_pause_all paused and that are paused since, as far as
 * the caller may resume them and nobody else holds them; returns all of them.  Tells of the
 * others, and raises, what acteon_replay_pause_all does.
 */
Datum
acteon_replay_resume_all(PG_FUNCTION_ARGS)
{
	static const SteeringOfAll resume = {
		.function = "acteon_replay_resume_all()",
		.find = FIND_PAUSED,
		.done = "resumed",
		.steering = STEER_FREELY,
		.steer = resume_batches,
		.none = "no batch is paused by acteon_replay_pause_all",
		.hint = "A batch can be resumed by the role that started it, and by admins of all of it."};

	steer_all(fcinfo, &resume);
	return (Datum) 0;
}
