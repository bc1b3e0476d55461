/*
 * run_batch.c
 *		Processing a batch of acteon_replay_all, chunk by chunk.
 *
 * Each chunk is a transaction.  It locks the batch's row, continues reading at
 * the cursor that it finds there, enqueues, and records its progress.  Cursor
 * and actions are committed together, so a crash, a cancelled statement or a
 * second runner of the same batch neither duplicates nor loses anything; two
 * runners take turns.  For each chunk, the row determines how fast to proceed
 * and whether to continue at all.
 *
 * With a rate a batch stays at most LEAD_SECONDS ahead of its deliveries, so
 * that what is cancelled or slowed down later has not been enqueued yet.  While
 * it waits no transaction is open that holds a snapshot or a row lock.
 */
#include "postgres.h"

#include <math.h>

#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/error_reason.h"
#include "base/fault_point.h"
#include "base/table_access.h"
#include "batch/batch_pace.h"
#include "batch/batch_state.h"
#include "batch/breaker.h"
#include "batch/canary.h"
#include "batch/steer_part.h"
#include "queue/pace.h"
#include "queue/tally.h"
#include "queue/untaken.h"
#include "replay/replay_many.h"
#include "replay/run_batch.h"

/* How far ahead of its deliveries a batch with a rate is enqueued. */
#define LEAD_SECONDS 60

/* A chunk is worth a transaction if at least this part of the lead is free: 1 in so many. */
#define LEAD_PARTS 4

/*
 * How often, in milliseconds, a waiting batch is checked, its caller is told how far it has
 * come, and what it waits for if that is its start.
 */
#define LOOK_INTERVAL 500
#define PROGRESS_INTERVAL 5000
#define START_INTERVAL 30000

/* How long, in milliseconds, actions are due before the caller is told that nobody takes them. */
#define UNTAKEN_AFTER 5000

/* What is to be done with a batch. */
typedef enum Course
{
	COURSE_CHUNK,  /* replay a chunk */
	COURSE_WAIT,   /* until the deliveries have followed */
	COURSE_PAUSED, /* until it is resumed */
	COURSE_END,    /* nothing any more */
	COURSE_GONE    /* the same: it was left with nothing in it, and taken away */
} Course;

/* A batch that is being processed. */
typedef struct Runner
{
	MemoryContext context;       /* of one transaction and what is told about it */
	MemoryContext scope_context; /* of the scope and the query */
	ReplayQuery *query;          /* of the batch, which does not change; NULL: not read yet */
	Scope *scope;                /* of the batch, as this call has read and written it last */
	KeysAhead *ahead;            /* of the next chunks */
	Oid schema;
	int64 batch_id;
	int chunk;               /* 0: what the batch's row says */
	bool begins;             /* this call has written the batch down */
	bool was_paused;         /* the caller knows */
	int64 effective;         /* records passed over because their actions took effect */
	int64 expired;           /* and because they had expired */
	int64 finished;          /* actions of the batch that had ended when that was last looked at */
	TimestampTz finished_at; /* when others had */
	TimestampTz told_at;
	bool told_start; /* that it waits for its start, and what can be done about that */
} Runner;

/*
 * How far a batch has come.
 */
void
CountBatch(BatchCounts *counts, const BatchRow *batch)
{
	counts->matched = batch->matched;
	counts->replayed = batch->replayed;
	counts->failed = batch->failed;
	counts->skipped = batch->skipped;
	counts->passed_over = batch->passed_over;
}

/*
 * The query of a batch, which is read once: it may have a great many ids.
 */
static const ReplayQuery *
batch_query(Runner *runner, const BatchRow *batch)
{
	MemoryContext old = MemoryContextSwitchTo(runner->scope_context);

	if (runner->query == NULL)
	{
		ReplayQuery *query = palloc(sizeof(ReplayQuery));

		/* It points into the jsonb. */
		ReadReplayQuery(query, DatumGetJsonbPCopy(JsonbPGetDatum(batch->query)), true);
		CheckReplayQuery(query);
		runner->query = query;
	}
	MemoryContextSwitchTo(old);
	return runner->query;
}

/*
 * The query of a batch for its next chunk: from the cursor on, at the
 * rate that the batch has now.
 */
static void
read_query(Runner *runner, ReplayQuery *query, const BatchRow *batch)
{
	*query = *batch_query(runner, batch);
	if (batch->cursor != NULL)
		query->cursor_text = batch->cursor;
	query->rate = batch->rate;
	/* When the rate is removed, so is the ramp. */
	query->ramp = query->ramp && batch->rate != NULL;
	query->start_at = batch->start_at;
	CheckReplayQuery(query);
}

/*
 * How many records may still be attempted or skipped; with fill_limit, be replayed.
 */
static int64
records_left(const ReplayQuery *query, const BatchRow *batch)
{
	if (!query->is_limited)
		return PG_INT64_MAX;
	return query->max_records -
		   (batch->replayed + (query->fill_limit ? 0 : batch->failed + batch->skipped));
}

/*
 * How many actions may be enqueued now.  Without a rate, any number.  With one,
 * as many as keep the batch LEAD_SECONDS ahead: of the clock, by their due times,
 * and of the consumers, by what they have not finished.  A few are not worth a
 * transaction; then there is no room yet.
 */
static int64
find_room(Runner *runner, const BatchRow *batch)
{
	TimestampTz now = GetCurrentTimestamp();
	ReplayQuery query;
	double rate;
	double lead;
	double room;
	double in_time; /* the room before consumers are looked at */

	read_query(runner, &query, batch);
	rate = query.rate_value;
	if (rate == 0)
		return PG_INT64_MAX;
	if (query.ramp && batch->replayed < RampLength(batch->matched))
		rate /= RAMP_FACTOR;
	lead = Max(ceil(rate * LEAD_SECONDS), 1);
	room = lead;
	if (batch->start_at.given)
		now = Max(now, batch->start_at.time);
	if (batch->paced_until.given && batch->paced_until.time > now)
	{
		double ahead = (double) (batch->paced_until.time - now) / USECS_PER_SEC;

		room = ahead < LEAD_SECONDS ? lead - floor(ahead * rate) : 0;
	}
	in_time = room;
	if (room * LEAD_PARTS >= lead)
		room =
			Min(room, lead - (batch->replayed - CountFinished(runner->schema, runner->batch_id)));
	/* What is paused, or has a rate of its own, keeps nothing else from going on. */
	if (room * LEAD_PARTS < lead && in_time * LEAD_PARTS >= lead)
	{
		BatchQueue queue = QueueOfBatch(runner->schema, batch, now);
		QueueCounts counts = CountQueue(&queue);

		if (counts.apart > 0)
			room = Min(in_time,
					   lead - (counts.waiting + counts.in_flight + counts.in_doubt - counts.apart));
	}
	if (room * LEAD_PARTS < lead)
		return 0;
	return (int64) Min(Max(room, 1), PG_INT32_MAX);
}

/*
 * Whether a batch is paused because each step of its canary is to wait for a person.
 * Then it is enqueued meanwhile.
 */
static bool
is_held_by_choice(const BatchRow *batch)
{
	return batch->canary.is_held && strcmp(batch->canary.mode, CANARY_HOLD) == 0;
}

/*
 * What to do with a batch, according to its row.
 */
static Course
find_course(Runner *runner, const BatchRow *batch, int64 *room)
{
	*room = 0;
	if (batch->is_complete || batch->stop == BATCH_CANCELLED || ApprovalOf(batch) != APPROVAL_NONE)
		return COURSE_END;
	if (batch->stop == BATCH_PAUSED && !is_held_by_choice(batch))
		return COURSE_PAUSED;
	*room = find_room(runner, batch);
	if (batch->stop == BATCH_PAUSED && *room == 0)
		return COURSE_PAUSED;
	return *room > 0 ? COURSE_CHUNK : COURSE_WAIT;
}

ACTEON_NORETURN static void
report_no_batch(const Runner *runner)
{
	ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND), errreason(CODE_NO_BATCH),
					errmsg("batch " INT64_FORMAT " no longer exists", runner->batch_id),
					errdetail("It was deleted, or there was nothing to replay in it.")));
}

/*
 * Gather and enqueue the next records of a locked batch, and note in it their
 * results and where the chunk ended.  The current grants of the caller apply.
 */
static void
add_records(Runner *runner, BatchRow *batch, int64 room)
{
	int chunk = runner->chunk > 0 ? runner->chunk : batch->chunk;
	Gathered gathered = {0};
	ReplayQuery query;
	ReplayCall call;
	Identity saved;
	bool more;

	OpenCall(&call, runner->schema);
	call.batch = batch;
	call.ahead = runner->ahead;
	read_query(runner, &query, batch);
	CheckMayPatch(&call, &query);
	SetInteger(&query, OPTION_MAX_RECORDS,
			   (int) Min(Min(chunk, room), records_left(&query, batch)));
	more = GatherRecords(&call, &query, chunk, &gathered);
	runner->effective += gathered.effective;
	runner->expired += gathered.expired;
	if (call.outbox != NULL)
	{
		UseOutbox(&call, &query, &saved);
		EnqueueGathered(&call, &gathered, batch);
		CloseBatchOutbox(&call, batch);
		RestoreIdentity(&saved);
	}
	batch->last_chunk_at = call.now;
	batch->is_complete = !more || records_left(batch_query(runner, batch), batch) <= 0;
	batch->cursor =
		batch->is_complete ? NULL : MakeCursor(batch_query(runner, batch), &gathered.last);
	CloseAuditTable(&call.audit);
}

/*
 * Whether a batch has nothing to show: everything that matched was passed over.
 * Jobs that run every few minutes would leave one such batch each time.  A call
 * that continues a batch keeps it.
 */
static bool
leaves_nothing(const Runner *runner, const BatchRow *batch)
{
	return runner->begins && batch->is_complete &&
		   batch->replayed + batch->failed + batch->skipped == 0;
}

/*
 * The scope of a locked batch, which is read again only if another session has
 * added to it.
 */
static Scope *
find_scope(Runner *runner, HeldBatch *held)
{
	MemoryContext old = MemoryContextSwitchTo(runner->scope_context);
	Scope *scope = HeldScope(held, runner->scope);

	MemoryContextSwitchTo(old);
	runner->scope = scope;
	return scope;
}

/*
 * Replay a chunk, unless the batch, once it is locked, turns out to be in another
 * state.  Returns the course that was taken.
 */
static Course
replay_chunk(Runner *runner, BatchRow *batch)
{
	Oid owner = TableOwner(OwnTable(runner->schema, BATCH_TABLE));
	Oid caller = GetUserId();
	HeldBatch held;
	Identity saved;
	Course course;
	int64 room;

	SwitchIdentity(&saved, owner);
	if (!HoldBatch(&held, runner->schema, runner->batch_id, true))
		report_no_batch(runner);
	*batch = held.row;
	course = find_course(runner, batch, &room);
	if (course == COURSE_CHUNK)
		batch->scope = find_scope(runner, &held);
	RestoreIdentity(&saved);
	if (course == COURSE_CHUNK)
	{
		/* A new snapshot: the previous holder of the lock has committed. */
		PushActiveSnapshot(GetLatestSnapshot());
		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		MemoryContextSwitchTo(runner->context);
		add_records(runner, batch, room);
		SPI_finish();
		MemoryContextSwitchTo(runner->context);
	}
	SwitchIdentity(&saved, owner);
	if (course == COURSE_CHUNK)
	{
		if (leaves_nothing(runner, batch))
		{
			DropBatch(&held);
			course = COURSE_GONE;
		}
		else
		{
			BatchRow before = held.row;

			UpdateBatch(&held, batch);
			ApplyParts(&held, runner->schema, &before, GetCurrentTimestamp());
			(void) AdvanceCanary(&held, runner->schema, caller, GetCurrentTimestamp());
		}
		PopActiveSnapshot();
	}
	ReleaseBatch(&held);
	RestoreIdentity(&saved);
	return course;
}

/*
 * How far a batch has come, in words.
 */
static char *
progress_text(const BatchRow *batch)
{
	int64 looked_at = batch->replayed + batch->failed + batch->skipped + batch->passed_over;
	int64 matched = Max(batch->matched, looked_at);
	char *text =
		psprintf(_("batch " INT64_FORMAT ": " INT64_FORMAT " of " INT64_FORMAT
				   " records examined (%d %%), " INT64_FORMAT " replayed, " INT64_FORMAT
				   " refused, " INT64_FORMAT " skipped"),
				 batch->id, looked_at, matched, (int) (100.0 * looked_at / Max(matched, 1)),
				 batch->replayed, batch->failed, batch->skipped);

	if (batch->passed_over > 0)
		text = psprintf(_("%s, " INT64_FORMAT " passed over"), text, batch->passed_over);
	return text;
}

/*
 * Report the progress of the batch to the caller.
 */
static void
tell_progress(Runner *runner, const BatchRow *batch)
{
	ereport(NOTICE, (errmsg_internal("%s", progress_text(batch))));
	runner->told_at = GetCurrentTimestamp();
}

/*
 * Report the progress of a batch that waits for its deliveries, and whether no consumer
 * takes what is due.
 */
static void
tell_deliveries(Runner *runner, const BatchRow *batch, TimestampTz now)
{
	int64 finished = CountFinished(runner->schema, batch->id);
	OptionalTime since = {false};

	if (finished != runner->finished)
	{
		runner->finished = finished;
		runner->finished_at = now;
	}
	else
		since = FindUntaken(runner->schema, TargetOf(runner->query), now);
	/* It may have been due before, while the batch was held back. */
	since.time = Max(since.time, runner->finished_at);
	if (!since.given || !TimestampDifferenceExceeds(since.time, now, UNTAKEN_AFTER))
		ereport(NOTICE, (errmsg("%s; " INT64_FORMAT " finished", progress_text(batch), finished)));
	else
		ereport(
			NOTICE,
			(errmsg("%s; " INT64_FORMAT " finished", progress_text(batch), finished),
			 errdetail("Actions have been due for " INT64_FORMAT " s, and no relay claims them.",
					   (int64) ((now - since.time) / USECS_PER_SEC)),
			 errhint(
				 "Start acteon-relay%s%s; with --check it tells what it lacks. The statement can be cancelled meanwhile; acteon_replay_continue() continues the batch later.",
				 TargetOf(runner->query) == NULL ? "" : " --target=",
				 TargetOf(runner->query) == NULL ? "" : TargetOf(runner->query))));
	runner->told_at = now;
}

/*
 * Report to the caller, now and then, how far a batch has come that waits for its
 * deliveries or for its start; of the latter at once, for it may be far off.
 */
static void
tell_waiting(Runner *runner, const BatchRow *batch)
{
	TimestampTz now = GetCurrentTimestamp();
	bool starts_later = batch->start_at.given && batch->start_at.time > now;
	bool tells_start = starts_later && !runner->told_start;

	if (!tells_start &&
		!TimestampDifferenceExceeds(runner->told_at, now,
									starts_later ? START_INTERVAL : PROGRESS_INTERVAL))
		return;
	if (!starts_later)
		tell_deliveries(runner, batch, now);
	else
	{
		ereport(
			NOTICE,
			(errmsg("batch " INT64_FORMAT " waits for its start at %s", batch->id,
					timestamptz_to_str(batch->start_at.time)),
			 tells_start
				 ? errhint(
					   "With a rate, the call lasts until everything is enqueued. The statement can be cancelled meanwhile; acteon_replay_continue() continues the batch later. Without one, everything is enqueued at once, and acteon_replay_set_rate() can set the rate afterwards.")
				 : 0));
		runner->told_at = now;
		runner->told_start = true;
	}
}

/*
 * Report to the caller that the batch has been paused, or continues, once each.
 */
static void
tell_pause(Runner *runner, const BatchRow *batch, bool is_paused)
{
	if (is_paused == runner->was_paused)
		return;
	runner->was_paused = is_paused;
	if (!is_paused)
		ereport(NOTICE, (errmsg("batch " INT64_FORMAT " continues", batch->id)));
	else
		ereport(
			NOTICE,
			(errmsg("batch " INT64_FORMAT " is paused", batch->id),
			 batch->stop_reason == NULL ? 0 : errdetail("Reason: %s", batch->stop_reason),
			 errhint(
				 "acteon_replay_resume() resumes it. The statement can be cancelled meanwhile; acteon_replay_continue() continues the batch later.")));
}

/*
 * Report to the caller whatever is new after a look at the batch.
 */
static void
tell(Runner *runner, const BatchRow *batch, Course course)
{
	if (batch->stop != BATCH_CANCELLED)
		tell_pause(runner, batch, course == COURSE_PAUSED);
	switch (course)
	{
		case COURSE_CHUNK:
			if (!batch->is_complete &&
				TimestampDifferenceExceeds(runner->told_at, GetCurrentTimestamp(),
										   PROGRESS_INTERVAL))
				tell_progress(runner, batch);
			break;
		case COURSE_WAIT:
			tell_waiting(runner, batch);
			break;
		case COURSE_PAUSED:
			break;
		case COURSE_END:
			tell_progress(runner, batch);
			if (!batch->is_complete)
				ereport(NOTICE, (errmsg("batch " INT64_FORMAT " is cancelled", batch->id)));
			break;
		case COURSE_GONE:
			tell_progress(runner, batch);
			ereport(NOTICE,
					(errmsg("batch " INT64_FORMAT " is not kept: there was nothing to replay",
							batch->id)));
			break;
	}
}

/*
 * Check the batch's circuit breaker and its canary, which sessions that recorded
 * answers may not have been able to look after while a chunk was in progress.  It
 * is a transaction of its own: the rows of batches that it has locked must not be
 * held by who waits for a batch in the queue of LockSteering.
 */
static void
look_after(Runner *runner)
{
	Oid caller = GetUserId();
	Identity saved;

	PushActiveSnapshot(GetLatestSnapshot());
	LockForWriting(runner->schema, WRITES_OF_REPLAY);
	SwitchIdentity(&saved, TableOwner(OwnTable(runner->schema, BATCH_TABLE)));
	CheckBreaker(runner->schema, caller, runner->batch_id);
	(void) AdvanceCanaries(runner->schema, caller, GetCurrentTimestamp());
	RestoreIdentity(&saved);
	PopActiveSnapshot();
	SPI_commit();
}

/*
 * Look at the batch, do what has to be done, and commit.  Returns what it was.
 */
static Course
take_step(Runner *runner, BatchCounts *counts)
{
	MemoryContext old = MemoryContextSwitchTo(runner->context);
	BatchRow batch;
	Course course;
	int64 room;
	bool in_chunk;

	look_after(runner);
	/* The row's query and scope may be stored apart, where only a snapshot reaches. */
	PushActiveSnapshot(GetLatestSnapshot());
	LockForWriting(runner->schema, WRITES_OF_REPLAY);
	if (!ReadBatch(runner->schema, runner->batch_id, &batch))
		report_no_batch(runner);
	course = find_course(runner, &batch, &room);
	if (course == COURSE_CHUNK)
		course = replay_chunk(runner, &batch);
	CountBatch(counts, &batch);
	/* A chunk is reported when it is committed; the rest while the tables may be read. */
	in_chunk = course == COURSE_CHUNK || course == COURSE_GONE;
	if (!in_chunk)
		tell(runner, &batch, course);
	PopActiveSnapshot();
	SPI_commit();
	if (in_chunk)
		tell(runner, &batch, course);
	MemoryContextSwitchTo(old);
	MemoryContextReset(runner->context);
	return course;
}

/*
 * Wait a little, in a transaction that has done nothing yet.
 */
static void
wait_a_little(void)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LOOK_INTERVAL,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/*
 * Add to an error how to continue after it.
 */
static void
add_context(void *arg)
{
	const Runner *runner = arg;

	if (geterrcode() != 0)
		errcontext("batch " INT64_FORMAT ", which CALL acteon_replay_continue(" INT64_FORMAT
				   ") goes on with",
				   runner->batch_id, runner->batch_id);
}

/*
 * End the session if its client has gone, which the server itself notices only when it
 * has something to send.
 */
static void
check_client(void)
{
	if (MyProcPort == NULL || !WaitEventSetCanReportClosed() || pq_check_connection())
		return;
	ClientConnectionLost = true;
	InterruptPending = true;
	CHECK_FOR_INTERRUPTS();
}

/*
 * Begin to process a batch, in memory of its own.
 */
static void
begin_runner(Runner *runner)
{
	runner->context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay chunk", ALLOCSET_DEFAULT_SIZES);
	runner->scope_context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay scope", ALLOCSET_DEFAULT_SIZES);
	runner->ahead = MakeKeysAhead(runner->scope_context);
	runner->told_at = runner->finished_at = GetCurrentTimestamp();
}

/*
 * Done with a batch, completely or not: report what was passed over.
 */
static void
end_runner(Runner *runner)
{
	NoticeEffective(runner->effective);
	NoticeExpired(runner->expired);
	MemoryContextDelete(runner->scope_context);
	MemoryContextDelete(runner->context);
}

/*
 * Process one chunk of a batch in the transaction that is open, if the batch can go on now:
 * if it is not paused, and not far enough ahead of its deliveries.  The chunk has the given
 * number of records; 0: that in the batch's row.  The caller must have called LockForWriting
 * with WRITES_OF_REPLAY before it locked the batch.  Returns the progress of the batch, and
 * whether it is complete.
 */
bool
RunChunk(Oid schema, int64 batch_id, int chunk, BatchCounts *counts)
{
	Runner runner = {.schema = schema, .batch_id = batch_id, .chunk = chunk};
	MemoryContext old;
	BatchRow batch;

	begin_runner(&runner);
	old = MemoryContextSwitchTo(runner.context);
	(void) replay_chunk(&runner, &batch);
	CountBatch(counts, &batch);
	MemoryContextSwitchTo(old);
	end_runner(&runner);
	return batch.is_complete;
}

/*
 * Process a batch, chunk by chunk, until it is complete or cancelled; waits
 * while it is paused, and for its deliveries if it has a rate.  Chunks have the
 * given number of records; 0: that in the batch's row.  Needs an SPI connection
 * that may commit.  Returns the progress of the batch.  A batch that the call
 * begins is deleted if nothing was replayed, failed or skipped; returns whether
 * it still exists.
 */
bool
RunBatch(Oid schema, int64 batch_id, int chunk, bool begins, BatchCounts *counts)
{
	Runner runner = {.schema = schema, .batch_id = batch_id, .chunk = chunk, .begins = begins};
	ErrorContextCallback callback;
	Course course;

	begin_runner(&runner);
	callback.callback = add_context;
	callback.arg = &runner;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		check_client();
		course = take_step(&runner, counts);
		if (course == COURSE_END || course == COURSE_GONE)
			break;
		FAULT_POINT("chunk-next");
		if (course != COURSE_CHUNK)
			wait_a_little();
	}
	error_context_stack = callback.previous;
	end_runner(&runner);
	return course != COURSE_GONE;
}
