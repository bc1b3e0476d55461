/*
 * redrive.c
 *		acteon_outbox_redrive: putting dead actions back into the queue.
 *
 * A dead action is known not to have been executed.  It is nevertheless looked
 * up before it is sent, as the consumer that reported it may have been wrong;
 * then it is sent under a new id, as the gateway may refuse the one that it has
 * seen.  Its delivery row is deleted, and a segment is inserted, which is in
 * doubt until its due time.  A concurrent replay of the action holds the outbox
 * row (hold_found in earlier_replays.c), and such rows are skipped: either the
 * old replay is sent, or a new one.
 *
 * What is fetched stays locked, and others wait for it while they have rows of batches, or
 * locks that those who steer a batch wait for.  So a redrive waits for no batch, nor its row.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/invariant.h"
#include "base/result.h"
#include "base/text.h"
#include "batch/batch_row.h"
#include "batch/control_log.h"
#include "batch/notification.h"
#include "batch/parts.h"
#include "batch/reason.h"
#include "consumer/call.h"
#include "consumer/trail.h"
#include "query/query.h"
#include "queue/batch_flags.h"
#include "queue/delivery.h"
#include "queue/doubt.h"
#include "queue/outbox_row.h"
#include "queue/pace.h"
#include "queue/segment.h"
#include "queue/wake.h"
#include "replay/generations.h"

/* Rows that are fetched at once. */
#define FETCH_ROWS 1000

/* Columns of the statement below. */
enum
{
	DEAD_ID = 1,
	DEAD_BATCH_ID,
	DEAD_NAMESPACE,
	DEAD_TENANT,
	DEAD_FINGERPRINT,
	DEAD_ORIGINAL_ACTION_ID,
	DEAD_GENERATION,
	DEAD_RESEND,
	DEAD_CREATED_AT,
	DEAD_PROVIDER,
	DEAD_EXPIRES_AT,
	DEAD_TARGET
};

/*
 * %1$s is the extension's schema.  The search path is pinned to pg_catalog
 * while it runs, as in all statements that run as the tables' owner.
 */
#define DEAD_ACTIONS \
	"SELECT o.id, o.batch_id, o.namespace, o.tenant, o.fingerprint, o.original_action_id, " \
	"o.generation, d.resend, o.created_at, o.provider, o.expires_at, o.target " \
	"FROM %1$s.acteon_dispatch_delivery AS d " \
	"JOIN %1$s.acteon_dispatch_outbox AS o ON o.id = d.outbox_id " \
	"JOIN %1$s.acteon_replay_batch AS b ON b.id = o.batch_id " \
	"WHERE d.state = " SQL_DEAD " AND ($1 IS NULL OR d.outbox_id = ANY ($1)) " \
	"AND ($2 IS NULL OR o.batch_id = $2) AND ($3 IS NULL OR o.tenant = $3) " \
	"AND ($4 IS NULL OR o.provider = $4) " \
	"ORDER BY d.outbox_id FOR UPDATE OF d, o SKIP LOCKED"

/* Filters, the first arguments. */
#define FILTERS 4

/* A redrive under way. */
typedef struct Redrive
{
	Pacer pacer;
	TimestampTz now;
	int wanted; /* actions that may still be redriven */
	int skipped;
	int paused;         /* actions of paused batches among what is redriven */
	int64 paused_batch; /* one of these */
	bool paused_several;
	int paused_parts; /* actions of parts that are paused in batches that are not */
	int busy;         /* skipped, as another session has locked the batch or its row */
	bool notifies;    /* notifications are set */
	Oid schema;
	TableFinder batches; /* has the one of the last action */
	int64 batch_id;      /* of it; 0: none yet */
	BatchStop batch_stop;
	bool batch_is_busy;
	List *parts; /* of the same */
	ChainReader chains;
	Datum *ids; /* of what is redriven */
	int count;
	int allocated;
	Segment *segments;
	int segment_count;
	int segments_allocated;
} Redrive;

PG_FUNCTION_INFO_V1(acteon_outbox_redrive);

/*
 * A column of a fetched row.
 */
static Datum
fetched(int row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

/*
 * The target of a fetched dead action; NULL: production.
 */
static char *
target_of(int row)
{
	bool isnull;
	Datum target = fetched(row, DEAD_TARGET, &isnull);

	return isnull ? NULL : TextDatumGetCString(target);
}

/*
 * Whether a fetched dead action has a later replay, in whatever state: that one
 * replaces this one, and sending both would do the same thing twice (NoneQueuedTwice).
 */
static bool
has_later_replay(Redrive *redrive, int row)
{
	ChainReader *chains = &redrive->chains;
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	bool isnull;
	text *action_id = DatumGetTextPP(fetched(row, DEAD_ORIGINAL_ACTION_ID, &isnull));
	int generation = DatumGetInt32(fetched(row, DEAD_GENERATION, &isnull));
	text *namespace = DatumGetTextPP(fetched(row, DEAD_NAMESPACE, &isnull));
	text *tenant = DatumGetTextPP(fetched(row, DEAD_TENANT, &isnull));
	bool found = false;

	chains->target = target_of(row);
	while (!found && (generation = NextInChain(chains, action_id, generation, snapshot)) != 0)
		found = OutboxRowIsOf(chains->actions.outbox.slot, namespace, tenant);
	UnregisterSnapshot(snapshot);
	return found;
}

/*
 * When a fetched dead action expires.
 */
static OptionalTime
fetched_expiry(int row)
{
	bool isnull;
	Datum value = fetched(row, DEAD_EXPIRES_AT, &isnull);
	OptionalTime expiry = {.given = !isnull};

	if (!isnull)
		expiry.time = DatumGetTimestampTz(value);
	return expiry;
}

/*
 * Whether a fetched dead action has expired: it would not be sent.
 */
static bool
has_expired(const Redrive *redrive, int row)
{
	OptionalTime expiry = fetched_expiry(row);

	return expiry.given && expiry.time <= redrive->now;
}

/*
 * Note that a fetched action goes back into the queue of a paused batch.
 */
static void
note_paused(Redrive *redrive, int row)
{
	bool isnull;
	int64 batch_id = DatumGetInt64(fetched(row, DEAD_BATCH_ID, &isnull));

	redrive->paused_several |= redrive->paused > 0 && batch_id != redrive->paused_batch;
	redrive->paused_batch = batch_id;
	redrive->paused++;
}

/*
 * Hold the row of the batch that was just found, and locked as by a claim, if it will have to
 * be watched (watch_batches).  One that is watched stays so while it is locked (tell.c).
 * Returns false if another session has the row: it may wait for the caller.
 */
static bool
hold_unwatched(Redrive *redrive)
{
	TableFinder *found = &redrive->batches;
	HeldBatch held;
	bool isnull;

	if (!redrive->notifies || TTS_EMPTY(found->slot))
		return true;
	(void) FoundColumn(found, Anum_batch_told, &isnull);
	if (!isnull ||
		IsNotificationQuery(DatumGetJsonbP(FoundColumn(found, Anum_batch_query, &isnull))))
		return true;
	if (!HoldBatch(&held, redrive->schema, redrive->batch_id, false))
		return false;
	ReleaseBatch(&held);
	return true;
}

/*
 * Find out whether the batch of a fetched action, and which parts of it, are stopped.  It
 * is locked as by a claim: who steers it later finds what is put back into its queue.  Like a
 * claim, this does not wait for who steers it: several of these locks are held, in the order of
 * actions, and so may others hold several, in theirs.
 */
static void
find_batch(Redrive *redrive, int row)
{
	bool isnull;
	int64 batch_id = DatumGetInt64(fetched(row, DEAD_BATCH_ID, &isnull));
	Snapshot snapshot;
	Datum parts;
	bool is_locked;

	if (batch_id == redrive->batch_id)
		return;
	is_locked = LockBatch(redrive->schema, batch_id, ShareLock, false);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	redrive->batch_id = batch_id;
	redrive->batch_stop = StopOfBatch(&redrive->batches, batch_id, snapshot);
	redrive->parts = NIL;
	isnull = true;
	if (!TTS_EMPTY(redrive->batches.slot))
	{
		parts = FoundColumn(&redrive->batches, Anum_batch_parts, &isnull);
		if (!isnull)
			redrive->parts = ReadParts(DatumGetJsonbPCopy(parts));
	}
	redrive->batch_is_busy = !is_locked || !hold_unwatched(redrive);
	UnregisterSnapshot(snapshot);
}

/*
 * Whether a fetched action, whose batch was found, is of a part that is stopped on its own.
 */
static BatchStop
stop_of_part(const Redrive *redrive, int row)
{
	bool isnull;

	return StopOfParts(redrive->parts, DatumGetTextPP(fetched(row, DEAD_TENANT, &isnull)),
					   DatumGetTextPP(fetched(row, DEAD_PROVIDER, &isnull)));
}

/*
 * Add a fetched action to the segments: to the last one, if it is the next in
 * it.  With a rate, each is due in its turn.
 */
static void
add_to_segments(Redrive *redrive, int row, BatchStop stop)
{
	bool isnull;
	int64 id = DatumGetInt64(fetched(row, DEAD_ID, &isnull));
	int64 batch_id = DatumGetInt64(fetched(row, DEAD_BATCH_ID, &isnull));
	Datum fingerprint = fetched(row, DEAD_FINGERPRINT, &isnull);
	bool in_lane = !isnull;
	int32 resend = DatumGetInt32(fetched(row, DEAD_RESEND, &isnull));
	TimestampTz sent_at = DatumGetTimestampTz(fetched(row, DEAD_CREATED_AT, &isnull));
	text *provider = DatumGetTextPP(fetched(row, DEAD_PROVIDER, &isnull));
	const char *target = target_of(row);
	Segment *last =
		redrive->segment_count > 0 ? &redrive->segments[redrive->segment_count - 1] : NULL;
	Segment *segment;

	if (last != NULL && !in_lane && !last->in_lane && redrive->pacer.rate == 0 &&
		last->last_id + 1 == id && last->batch_id == batch_id && last->resend == resend &&
		last->sent_at == sent_at && SameText(last->provider, provider) && last->stopped == stop &&
		SegmentLength(last) < SEGMENT_ACTIONS)
	{
		last->last_id = id;
		AddExpiry(last, fetched_expiry(row));
		return;
	}
	if (redrive->segment_count == redrive->segments_allocated)
	{
		redrive->segments_allocated *= 2;
		redrive->segments =
			repalloc_huge(redrive->segments, redrive->segments_allocated * sizeof(Segment));
	}
	segment = &redrive->segments[redrive->segment_count++];
	memset(segment, 0, sizeof(*segment));
	segment->first_id = segment->last_id = id;
	segment->batch_id = batch_id;
	segment->due_at = NextDueTime(&redrive->pacer, 1);
	segment->was_claimed = true;
	segment->resend = resend;
	segment->sent_at = sent_at;
	segment->provider = DatumGetTextPCopy(PointerGetDatum(provider));
	if (target != NULL)
		segment->target = cstring_to_text(target);
	MakeDoubt(segment, redrive->now, "redriven", segment->due_at);
	segment->id_refused = true;
	AddExpiry(segment, fetched_expiry(row));
	segment->stopped = stop;
	segment->in_lane = in_lane;
	if (in_lane)
		segment->lane = ActionLane(DatumGetTextPP(fetched(row, DEAD_TENANT, &isnull)),
								   DatumGetTextPP(fingerprint), target);
}

/*
 * Take what has been fetched, in the given memory context, as long as more is
 * wanted.
 */
static void
take_fetched(Redrive *redrive, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);

	for (int row = 0; row < SPI_processed && redrive->wanted > 0; row++)
	{
		BatchStop stop;
		bool isnull;

		CHECK_FOR_INTERRUPTS();
		find_batch(redrive, row);
		stop = stop_of_part(redrive, row);
		/* In a cancelled batch it would be cancelled at once. */
		if (redrive->batch_stop == BATCH_CANCELLED || stop == BATCH_CANCELLED ||
			has_expired(redrive, row) || has_later_replay(redrive, row))
		{
			redrive->skipped++;
			continue;
		}
		if (redrive->batch_is_busy)
		{
			redrive->skipped++;
			redrive->busy++;
			continue;
		}
		if (redrive->count == redrive->allocated)
		{
			redrive->allocated *= 2;
			redrive->ids = repalloc_huge(redrive->ids, redrive->allocated * sizeof(Datum));
		}
		if (redrive->batch_stop == BATCH_PAUSED)
			note_paused(redrive, row);
		else if (stop == BATCH_PAUSED)
			redrive->paused_parts++;
		AssertInvariant(NoneQueuedTwice, !has_later_replay(redrive, row));
		add_to_segments(redrive, row, stop);
		redrive->ids[redrive->count++] = fetched(row, DEAD_ID, &isnull);
		redrive->wanted--;
	}
	MemoryContextSwitchTo(old);
}

/*
 * Go through the dead actions that match the filters, which are the call's
 * first arguments.
 */
static void
take_matching(Redrive *redrive, FunctionCallInfo fcinfo, const char *schema, MemoryContext context)
{
	Oid types[FILTERS] = {INT8ARRAYOID, INT8OID, TEXTOID, TEXTOID};
	Datum values[FILTERS];
	char nulls[FILTERS];
	Portal portal;

	for (int i = 0; i < FILTERS; i++)
	{
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
		values[i] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
	}
	portal = SPI_cursor_open_with_args(NULL, psprintf(DEAD_ACTIONS, schema), FILTERS, types, values,
									   nulls, false, 0);
	while (redrive->wanted > 0)
	{
		SPI_cursor_fetch(portal, true, Min(redrive->wanted, FETCH_ROWS));
		if (SPI_processed == 0)
			break;
		take_fetched(redrive, context);
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
}

static int
compare_ids(const void *a, const void *b)
{
	int64 ia = *(const int64 *) a;
	int64 ib = *(const int64 *) b;

	return ia < ib ? -1 : ia > ib;
}

/*
 * Watch a batch of which actions were redriven, so that what happens to it is told again.
 * The caller holds it if it is not watched, so nothing is waited for.
 */
static void
watch_batch(Oid schema, int64 batch_id)
{
	BatchRow batch;
	HeldBatch held;

	if (!ReadBatch(schema, batch_id, &batch) || batch.is_watched ||
		IsNotificationQuery(batch.query))
		return;
	if (!HoldBatch(&held, schema, batch_id, false))
		return;
	if (!held.row.is_watched)
		SetTold(&held, true, 0);
	ReleaseBatch(&held);
}

/*
 * Watch the batches of what was redriven, if a notification is set: their ends were told, and
 * are to come once more.
 */
static void
watch_batches(const Redrive *redrive, Oid schema)
{
	int64 *ids;

	if (!redrive->notifies)
		return;
	ids = palloc_extended(redrive->segment_count * sizeof(int64), MCXT_ALLOC_HUGE);
	for (int i = 0; i < redrive->segment_count; i++)
		ids[i] = redrive->segments[i].batch_id;
	qsort(ids, redrive->segment_count, sizeof(int64), compare_ids);
	for (int i = 0; i < redrive->segment_count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (i == 0 || ids[i] != ids[i - 1])
			watch_batch(schema, ids[i]);
	}
}

/*
 * Put what was taken back into the queue.
 */
static void
requeue(Redrive *redrive, const ConsumerCall *call)
{
	SegmentTable segments;
	DeliveryWriter deliveries;

	NoteRemoved(call->schema, REMOVAL_REDRIVE, redrive->ids, redrive->count);
	AssertInvariant(NoneEndedAndWaiting,
					PiecesLength(redrive->segments, redrive->segment_count) == redrive->count);
	DeleteRows(call->schema, DELIVERY_TABLE, "outbox_id", redrive->ids, redrive->count);
	OpenSegments(&segments, call->schema);
	OpenDeliveries(&deliveries, call->schema, call->now);
	for (int i = 0; i < redrive->segment_count; i++)
	{
		const Segment *segment = &redrive->segments[i];

		CHECK_FOR_INTERRUPTS();
		InsertSegment(&segments, segment);
		AddToTally(&deliveries, segment->batch_id, NULL, ACTION_DEAD, "", EFFECT_UNKNOWN,
				   -SegmentLength(segment));
	}
	CloseDeliveries(&deliveries);
	CloseSegments(&segments);
	watch_batches(redrive, call->schema);
	NotifyConsumers(call->schema);
}

/*
 * Log who has redriven what.
 */
static void
log_redrive(const ConsumerCall *call, FunctionCallInfo fcinfo, const Redrive *redrive,
			const char *reason)
{
	LogDetails details;

	BeginDetails(&details);
	/* Of the ids that were named, only their number: there may be thousands. */
	if (!PG_ARGISNULL(0))
		AddNumberDetail(&details, "named",
						ArrayGetNItems(ARR_NDIM(PG_GETARG_ARRAYTYPE_P(0)),
									   ARR_DIMS(PG_GETARG_ARRAYTYPE_P(0))));
	if (!PG_ARGISNULL(2))
		AddTextDetail(&details, "tenant", text_to_cstring(PG_GETARG_TEXT_PP(2)));
	if (!PG_ARGISNULL(3))
		AddTextDetail(&details, "provider", text_to_cstring(PG_GETARG_TEXT_PP(3)));
	if (!PG_ARGISNULL(FILTERS + 1))
		AddNumericDetail(&details, "rate", PG_GETARG_NUMERIC(FILTERS + 1));
	AddNumberDetail(&details, "redriven", redrive->count);
	AddNumberDetail(&details, "skipped", redrive->skipped);
	LogControl(call->schema, call->caller.user, "redrive", PG_ARGISNULL(1) ? 0 : PG_GETARG_INT64(1),
			   reason, EndDetails(&details));
}

/*
 * Say so if something was left alone that another call can redrive.
 */
static void
notice_busy(const Redrive *redrive)
{
	if (redrive->busy > 0)
		ereport(NOTICE,
				(errmsg_plural(
					 "%d of the actions was skipped: its batch is locked by another session",
					 "%d of the actions were skipped: their batches are locked by other sessions",
					 redrive->busy, redrive->busy),
				 errhint("Call acteon_outbox_redrive() again.")));
}

/*
 * Say so if some of what was redriven will not go out, as its batch is paused.
 */
static void
notice_paused(const Redrive *redrive)
{
	if (redrive->paused_parts > 0)
		ereport(
			NOTICE,
			(errmsg_plural("%d of the actions waits: its part of the batch is paused",
						   "%d of the actions wait: their parts of the batches are paused",
						   redrive->paused_parts, redrive->paused_parts),
			 errhint(
				 "acteon_replay_resume() resumes a part; acteon_replay_batches shows which are paused.")));
	if (redrive->paused == 0)
		return;
	if (redrive->paused_several)
		ereport(
			NOTICE,
			(errmsg("%d of the actions wait: their batches are paused", redrive->paused),
			 errhint(
				 "acteon_replay_resume() resumes a batch; acteon_replay_batches shows which are paused.")));
	else
		ereport(NOTICE, (errmsg_plural("%d of the actions waits: batch " INT64_FORMAT " is paused",
									   "%d of the actions wait: batch " INT64_FORMAT " is paused",
									   redrive->paused, redrive->paused, redrive->paused_batch),
						 errhint("acteon_replay_resume(" INT64_FORMAT ") resumes it.",
								 redrive->paused_batch)));
}

/*
 * Read the arguments behind the filters.
 */
static void
read_limits(FunctionCallInfo fcinfo, Redrive *redrive, TimestampTz now)
{
	redrive->wanted = PositiveInteger(fcinfo, FILTERS, "max_actions");
	BeginPace(&redrive->pacer, now,
			  RateValue(PG_ARGISNULL(FILTERS + 1) ? NULL : PG_GETARG_NUMERIC(FILTERS + 1)), 0);
}

/*
 * acteon_outbox_redrive(outbox_id bigint[], batch_id bigint, tenant text,
 * provider text, max_actions integer, rate numeric, reason text)
 * → (redriven integer, skipped integer)
 *
 * Puts dead actions that match every given filter back into the queue, oldest
 * first, rate a second.  Skips those that have expired, those that have been replayed
 * again, those of cancelled batches, those of batches that another session is steering, and,
 * where notifications are set, those of batches of which the end was told and whose row another
 * session has locked.  NOTICEs report how many these are, and how many wait because their
 * batches are paused.
 * Raises insufficient_privilege and invalid_parameter_value.
 */
Datum
acteon_outbox_redrive(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	ConsumerCall call;
	Redrive redrive = {0};
	TupleDesc desc;
	Datum values[2];
	bool nulls[2] = {false};
	char *schema;
	const char *reason;

	desc = ResultRowType(fcinfo);
	BeginConsumerCall(&call, fcinfo, "acteon_outbox_redrive()", true);
	LockForWriting(call.schema, WRITES_OF_QUEUE | WRITES_ALL_PARTS);
	redrive.now = call.now;
	read_limits(fcinfo, &redrive, call.now);
	reason = ReasonArgument(fcinfo, FILTERS + 2);
	schema = unconstify(char *, quote_identifier(get_namespace_name(call.schema)));
	redrive.allocated = redrive.segments_allocated = 64;
	redrive.ids = palloc(redrive.allocated * sizeof(Datum));
	redrive.segments = palloc(redrive.segments_allocated * sizeof(Segment));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	MemoryContextSwitchTo(context);
	if (OpenChains(&redrive.chains, call.schema))
	{
		redrive.schema = call.schema;
		redrive.notifies = AnyNotification(call.schema);
		OpenFinder(&redrive.batches, OwnTable(call.schema, BATCH_TABLE), Anum_batch_id);
		take_matching(&redrive, fcinfo, schema, context);
		MemoryContextSwitchTo(context);
		CloseFinder(&redrive.batches);
		CloseChains(&redrive.chains);
	}
	if (redrive.count > 0)
		requeue(&redrive, &call);
	SPI_finish();
	MemoryContextSwitchTo(context);
	log_redrive(&call, fcinfo, &redrive, reason);
	EndConsumerCall(&call);
	notice_busy(&redrive);
	notice_paused(&redrive);
	values[0] = Int32GetDatum(redrive.count);
	values[1] = Int32GetDatum(redrive.skipped);
	return HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
}
