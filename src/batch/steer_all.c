/*
 * steer_all.c
 *		acteon_replay_pause_all and acteon_replay_resume_all: every batch that the caller
 *		may steer.
 *
 * What one call has paused is found again by the log: the details of its entries have, as
 * "all", the time at which the call paused its batches, which their rows have as stopped_at.
 * A batch that was resumed since, or paused in another way, has another time there.
 *
 * Batches are locked in the order of their numbers, so that calls which overlap wait for
 * each other and do not deadlock.  Resuming also locks the batches against claims, and
 * everybody who does that has locked the batch's row before; so all rows come first.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/error_reason.h"
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

/* A batch that was found. */
typedef struct Candidate
{
	int64 id;
	OptionalTime stopped_at;
	bool is_chosen;
} Candidate;

/* Batches that are steered in one call. */
typedef struct SteeredBatches
{
	Candidate *candidates;
	uint64 count;
	int chosen;
	int refused; /* those that the caller may not steer */
} SteeredBatches;

PG_FUNCTION_INFO_V1(acteon_replay_pause_all);
PG_FUNCTION_INFO_V1(acteon_replay_resume_all);

/*
 * Find batches, by a statement that is run as the tables' owner.
 */
static void
find_batches(ControlCall *call, const char *statement, SteeredBatches *batches)
{
	const char *schema = quote_identifier(get_namespace_name(call->schema));

	memset(batches, 0, sizeof(*batches));
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
		found->is_chosen = false;
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
 * Lock the rows of those batches that the caller may steer in this way and that are as they
 * were found, and do something with each (NULL: nothing).
 */
static void
choose(ControlCall *call, SteeredBatches *batches, Steering steering,
	   void (*act)(ControlCall *call))
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "one of many batches", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	for (uint64 i = 0; i < batches->count; i++)
	{
		Candidate *found = &batches->candidates[i];

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(context);
		if (MayBeSteered(call->schema, found->id, call->caller, call->grants) < steering)
		{
			batches->refused++;
			continue;
		}
		if (!HoldOneOfMany(call, found->id, steering))
			continue;
		found->is_chosen = is_as_found(call, found);
		if (found->is_chosen)
		{
			batches->chosen++;
			if (act != NULL)
				act(call);
		}
		ReleaseBatch(&call->held);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/*
 * Tell the caller how many batches were left as they are because it may not steer them: an
 * error if it may steer none, otherwise a NOTICE.  There is also one if there was nothing to do.
 */
static void
tell_refused(ControlCall *call, const SteeredBatches *batches, const char *done, const char *none,
			 const char *hint)
{
	const char *role = GetUserNameFromId(call->caller, false);

	if (batches->chosen == 0 && (batches->refused > 0 || !GrantsMayReplay(call->grants)))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errreason(CODE_MAY_NOT_STEER),
						errmsg("insufficient permissions: no batch was %s", done),
						errdetail("Role \"%s\" may not do it.", role), errhint("%s", hint)));
	else if (batches->refused > 0)
		ereport(NOTICE, (errmsg_plural("%d batch was not %s", "%d batches were not %s",
									   batches->refused, batches->refused, done),
						 errdetail("Role \"%s\" may not do it.", role), errhint("%s", hint)));
	else if (batches->chosen == 0)
		ereport(NOTICE, (errmsg("%s", none)));
}

/*
 * Return the batches that were steered, as (batch_id, waiting, in_flight), as they are then.
 */
static void
return_batches(ControlCall *call, FunctionCallInfo fcinfo, const SteeredBatches *batches)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	CommandCounterIncrement();
	for (uint64 i = 0; i < batches->count; i++)
	{
		BatchRow row;
		BatchQueue queue;
		QueueCounts counts;
		Datum values[3];
		bool nulls[3] = {false};

		CHECK_FOR_INTERRUPTS();
		if (!batches->candidates[i].is_chosen ||
			!ReadBatch(call->schema, batches->candidates[i].id, &row))
			continue;
		queue = QueueOfBatch(call->schema, &row, call->now);
		counts = CountQueue(&queue);
		values[0] = Int64GetDatum(row.id);
		values[1] = Int64GetDatum(counts.waiting);
		values[2] = Int64GetDatum(counts.in_flight);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
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
 * acteon_replay_pause_all(reason text) → setof (batch_id, waiting, in_flight)
 *
 * Pauses all batches of which something may still go out, except notifications, as far as the
 * caller may pause them; returns them.  A NOTICE tells how many others there are.  Raises
 * insufficient_privilege (it may pause none of them) and invalid_parameter_value.
 */
Datum
acteon_replay_pause_all(PG_FUNCTION_ARGS)
{
	ControlCall call = {0};
	SteeredBatches batches;

	InitMaterializedSRF(fcinfo, 0);
	BeginControlOfMany(&call, fcinfo, "acteon_replay_pause_all()", 0);
	find_batches(&call, FIND_RUNNING, &batches);
	choose(&call, &batches, STEER_RESTRAIN, pause_one);
	return_batches(&call, fcinfo, &batches);
	EndControlOfMany(&call);
	tell_refused(&call, &batches, "paused", "there is no running batch to pause",
				 "A batch can be paused by the role that started it, and by admins and operators "
				 "of all of it.");
	return (Datum) 0;
}

/*
 * Order batches by their locks.
 */
static int
compare_locks(const void *left, const void *right)
{
	uint32 a = BatchLockOf(((const Candidate *) left)->id);
	uint32 b = BatchLockOf(((const Candidate *) right)->id);

	return a < b ? -1 : a > b;
}

/*
 * Lock the batches that were chosen against claims, in the order of these locks.
 */
static void
lock_chosen(ControlCall *call, const SteeredBatches *batches)
{
	Candidate *sorted = palloc(mul_size(Max(batches->count, 1), sizeof(Candidate)));

	memcpy(sorted, batches->candidates, batches->count * sizeof(Candidate));
	qsort(sorted, batches->count, sizeof(Candidate), compare_locks);
	for (uint64 i = 0; i < batches->count; i++)
	{
		if (sorted[i].is_chosen)
			(void) LockBatch(call->schema, sorted[i].id, ExclusiveLock, true);
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
 * acteon_replay_resume_all(reason text) → setof (batch_id, waiting, in_flight)
 *
 * Resumes all batches that acteon_replay_pause_all paused and that are paused since, as far as
 * the caller may resume them; returns them.  A NOTICE tells how many others there are.  Raises
 * insufficient_privilege (it may resume none of them) and invalid_parameter_value.
 */
Datum
acteon_replay_resume_all(PG_FUNCTION_ARGS)
{
	ControlCall call = {0};
	SteeredBatches batches;

	InitMaterializedSRF(fcinfo, 0);
	BeginControlOfMany(&call, fcinfo, "acteon_replay_resume_all()", 0);
	find_batches(&call, FIND_PAUSED, &batches);
	choose(&call, &batches, STEER_FREELY, NULL);
	lock_chosen(&call, &batches);
	batches.chosen = 0;
	batches.refused = 0;
	choose(&call, &batches, STEER_FREELY, resume_one);
	return_batches(&call, fcinfo, &batches);
	EndControlOfMany(&call);
	tell_refused(&call, &batches, "resumed", "no batch is paused by acteon_replay_pause_all",
				 "A batch can be resumed by the role that started it, and by admins of all of it.");
	return (Datum) 0;
}
