/*
 * tell.c
 *		Telling of what happens to batches, by actions.
 *
 * A notification is an action of its own (batch/notification.c).  Claims look at the
 * batches that are watched, and enqueue an action for each event that was not told
 * yet.  So it is delivered by the same relays as everything else, and survives
 * whatever the outbox survives; when the gateway is down, it is delivered late.
 *
 * Each event is told once: the batch is locked, what has been told is noted in its row,
 * and the action is enqueued, in one transaction.  The id of the action follows from the
 * batch, the event, the notification, and how often the event was told before, as if it
 * were the n-th replay of an action of that name.  So after a failover that lost the
 * transaction, the event is told again under the same id.
 *
 * An action that tells is a batch of its own, which is not watched: notifications are
 * never told about.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/tableam.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/jsonb_build.h"
#include "base/own_table.h"
#include "base/subtransaction.h"
#include "base/table_access.h"
#include "batch/batch_events.h"
#include "batch/notify_payload.h"
#include "queue/batch_flags.h"
#include "replay/earlier_replays.h"
#include "replay/enqueue.h"
#include "replay/tell.h"

/* How often a busy session looks. */
#define LOOK_INTERVAL (1 * USECS_PER_SEC)

/*
 * A look that has read more segments than this, and has found nothing, is followed by the
 * next one after so many times the time that it took, within these bounds.
 */
#define CHEAP_LOOK 1000
#define LOOK_SHARE 10
#define MAX_LOOK_INTERVAL (10 * USECS_PER_SEC)

/* Batches that are looked at at once; with more, the next look goes on behind them. */
#define MAX_WATCHED 100

/* How soon a session tries again to tell of a batch after an error. */
#define AFTER_ERROR (10 * USECS_PER_SEC)

/* How long a session that sees that something is to be told has others claim for it. */
#define SEEN_TIME (2 * LOOK_INTERVAL)

/* Batches of which a session remembers something; the newest of those at one place. */
#define MAX_REMEMBERED 1024

/* What was seen of a batch: events that could not be told, or that were to be told. */
typedef struct Remembered
{
	int64 batch_id;
	uint32 events;
	TimestampTz since;
} Remembered;

static Remembered failed[MAX_REMEMBERED];
static Remembered seen[MAX_REMEMBERED];

/* An event of a batch that is to be told, by a notification. */
typedef struct Telling
{
	Oid schema;
	TimestampTz now;
	Holding *holding;
	const Notification *notifications;
	int count;
	int64 batch_id;
	uint32 failed; /* events of the batch of which nothing could be told */
	uint32 events; /* that were to be told */
} Telling;

/* The same, to be told in a subtransaction of its own. */
typedef struct OneTelling
{
	const Telling *telling;
	const Notification *notification;
	const BatchRow *about;
	BatchEvent event;
} OneTelling;

/* ----------------------------------------------------------------
 * What a session remembers
 * ----------------------------------------------------------------
 */

static Remembered *
place_of(Remembered *remembered, int64 batch_id)
{
	return &remembered[batch_id % MAX_REMEMBERED];
}

/*
 * Whether the same was noted of a batch within a time before now.
 */
static bool
is_recent(Remembered *remembered, int64 batch_id, uint32 events, TimestampTz now, int64 time)
{
	const Remembered *place = place_of(remembered, batch_id);

	return place->batch_id == batch_id && place->events == events && now >= place->since &&
		   now - place->since < time;
}

static void
remember(Remembered *remembered, int64 batch_id, uint32 events, TimestampTz now)
{
	*place_of(remembered, batch_id) = (Remembered){batch_id, events, now};
}

/* ----------------------------------------------------------------
 * The action
 * ----------------------------------------------------------------
 */

/*
 * The labels of an action that tells.
 */
static Jsonb *
labels_of(const Notification *notification, const BatchRow *batch, BatchEvent event)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	PushString(&state, NOTIFY_LABEL, notification->name);
	PushString(&state, "acteon_batch_id", psprintf(INT64_FORMAT, batch->id));
	PushString(&state, "acteon_event", BatchEventNames[event]);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/*
 * The query of the batch of an action that tells; see IsNotificationQuery.
 */
static Jsonb *
query_of(const Notification *notification, const BatchRow *batch, BatchEvent event)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	PushString(&state, "notify", notification->name);
	PushNumber(&state, "batch_id", batch->id);
	PushString(&state, "event", BatchEventNames[event]);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/*
 * Whose the batch of an action that tells is: the role that has set the notification, or
 * the tables' owner if it was dropped.
 */
static Oid
owner_of(const Notification *notification, Oid schema)
{
	if (SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(notification->set_by)))
		return notification->set_by;
	return TableOwner(OwnTable(schema, BATCH_TABLE));
}

/*
 * Enqueue an action that tells of an event of a batch, as a batch of its own.
 */
static void
enqueue(const Telling *telling, const Notification *notification, const BatchRow *about,
		BatchEvent event)
{
	Jsonb *payload = FillTemplate(notification, telling->schema, about, event, telling->now);
	Jsonb *labels = labels_of(notification, about, event);
	AuditRecord record = {.action_id = cstring_to_text(
							  psprintf("acteon_replay/" INT64_FORMAT "/%s/%s", about->id,
									   BatchEventNames[event], notification->name)),
						  .namespace = notification->namespace,
						  .tenant = notification->tenant,
						  .provider = notification->provider,
						  .action_type = notification->action_type,
						  .payload = JsonbPGetDatum(payload),
						  .has_payload = true,
						  .metadata = JsonbPGetDatum(labels),
						  .has_metadata = true,
						  .is_notification = true};
	ReplayItem item = {.record = &record};
	Failures failures = {0};
	BatchRow batch = {.is_notification = true,
					  .requested_by = owner_of(notification, telling->schema),
					  .created_at = telling->now,
					  .reason =
						  psprintf("batch " INT64_FORMAT ": %s", about->id, BatchEventNames[event]),
					  .query = query_of(notification, about, event),
					  .replayed = 1,
					  .failures = &failures,
					  .matched = -1,
					  .is_complete = true};
	ReplayQuery query;
	Outbox *outbox;

	InitReplayQuery(&query, false);
	query.include_replayed = true; /* the same event may have been told before */
	outbox = OpenOutbox(telling->schema, &query, telling->now);
	/* A redrive of what told of it before may wait for the batch. */
	WaitForNoRow(outbox);
	ResolveItems(outbox, &item, 1);
	EnqueueItems(outbox, &item, 1);
	if (item.status == ITEM_ENQUEUED)
	{
		batch.id = OutboxBatchId(outbox);
		batch.scope = NewScope(NULL);
		AddToScope(batch.scope, &record);
		OutboxRange(outbox, &batch.first_outbox_id, &batch.last_outbox_id);
		batch.rows_hash = OutboxRowsHash(outbox);
		CloseOutbox(outbox);
		InsertBatch(telling->schema, &batch);
	}
	else
		CloseOutbox(outbox);
}

/* ----------------------------------------------------------------
 * The events of a batch
 * ----------------------------------------------------------------
 */

/*
 * Whether a notification tells of an event of a batch.  Small batches that end are of
 * interest to nobody, but for what needs a person.
 */
static bool
tells(const Notification *notification, HeldBatch *held, BatchEvent event)
{
	const BatchRow *batch = &held->row;
	bool isnull;

	if ((notification->events & EVENT_BIT(event)) == 0 ||
		((ENDING_EVENTS & EVENT_BIT(event)) != 0 &&
		 Max(batch->replayed, batch->matched) < notification->min_actions))
		return false;
	return NotificationConcerns(notification,
								DatumGetJsonbP(
									FoundColumn(&held->finder, Anum_batch_scope, &isnull)),
								batch->query);
}

/*
 * Whether an error is about the server or the session, so that what comes next would fail
 * as well, or about other transactions.
 */
static bool
is_about_server(const ErrorData *error)
{
	int category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return category == ERRCODE_TRANSACTION_ROLLBACK || category == ERRCODE_INSUFFICIENT_RESOURCES ||
		   category == ERRCODE_OPERATOR_INTERVENTION || category == ERRCODE_SYSTEM_ERROR;
}

/*
 * Whether an error is a lock that was not waited for: what is told of a batch has to wait.
 */
static bool
is_busy(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE;
}

static bool
tell_one(void *argument)
{
	const OneTelling *one = argument;

	enqueue(one->telling, one->notification, one->about, one->event);
	return true;
}

/*
 * Enqueue one action that tells, in a subtransaction: what prevents it, such as a constraint
 * or a trigger of somebody's, prevents neither the others nor the claim.  Returns false if it
 * was prevented.  If it is only too early, the error goes on: nothing of the batch is told now,
 * and nothing is lost.
 */
static bool
enqueue_guarded(const Telling *telling, const Notification *notification, const BatchRow *about,
				BatchEvent event)
{
	OneTelling one = {telling, notification, about, event};
	ErrorData *error = TryInSubtransaction(tell_one, &one, CurrentMemoryContext);

	if (error == NULL)
		return true;
	if (is_about_server(error) || is_busy(error))
		ReThrowError(error);
	ereport(LOG, (errmsg("notification \"%s\" of event \"%s\" of batch " INT64_FORMAT
						 " could not be enqueued: %s",
						 notification->name, BatchEventNames[event], about->id, error->message)));
	FreeErrorData(error);
	return false;
}

/*
 * Tell of an event of a batch that is held.  Returns false if nothing could be told of it, so
 * that it is to be told later.  A notification that could not be enqueued, while another one
 * about the same event could, is lost: else the other one would be told again and again.
 */
static bool
tell_of_event(const Telling *telling, HeldBatch *held, BatchEvent event)
{
	bool any_failed = false;
	bool any_told = false;

	for (int i = 0; i < telling->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!tells(&telling->notifications[i], held, event))
			continue;
		if (enqueue_guarded(telling, &telling->notifications[i], &held->row, event))
			any_told = true;
		else
			any_failed = true;
	}
	return any_told || !any_failed;
}

/*
 * Tell of the events of a batch that is held, and note them in its row, but for those of
 * which nothing could be told.  Of its end nothing is told while claims, or a redrive,
 * which may add to it, have locked the batch: it will be looked at again.
 */
static void
tell_of_held(Telling *telling, HeldBatch *held)
{
	uint32 events = BatchEvents(telling->schema, &held->row, telling->holding, telling->now);
	uint32 fresh;

	if ((events & ENDING_EVENTS) != 0)
	{
		if (!LockBatch(telling->schema, held->row.id, ExclusiveLock, false))
			return;
		events = BatchEvents(telling->schema, &held->row, telling->holding, telling->now);
	}
	fresh = events & ~held->row.told;
	telling->events = events;
	for (int event = 0; event < NUM_BATCH_EVENTS; event++)
	{
		if ((fresh & EVENT_BIT(event)) != 0 && !tell_of_event(telling, held, event))
			telling->failed |= EVENT_BIT(event);
	}
	if ((events & ~telling->failed & ENDING_EVENTS) != 0)
		SetTold(held, false, 0);
	else if ((events & ~telling->failed) != held->row.told)
		SetTold(held, true, events & ~telling->failed);
}

/*
 * Tell of a batch, unless another session has locked it: it will be looked at again.
 */
static bool
tell(void *argument)
{
	Telling *telling = argument;
	HeldBatch held;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (HoldBatch(&held, telling->schema, telling->batch_id, false))
	{
		if (held.row.is_watched)
			tell_of_held(telling, &held);
		ReleaseBatch(&held);
	}
	SPI_finish();
	return true;
}

/*
 * The same in a subtransaction: what is damaged in one batch stops no consumer.  What could
 * not be told is tried again by this session after a while.
 */
static void
tell_guarded(Telling *telling, int64 batch_id, uint32 events)
{
	ErrorData *error;

	telling->batch_id = batch_id;
	telling->events = events;
	telling->failed = 0;
	error = TryInSubtransaction(tell, telling, CurrentMemoryContext);
	if (error == NULL)
	{
		if (telling->failed != 0)
			remember(failed, batch_id, telling->events, telling->now);
		return;
	}
	if (is_about_server(error))
		ReThrowError(error);
	remember(failed, batch_id, telling->events, telling->now);
	ereport(LOG, (errmsg("notifications about batch " INT64_FORMAT " could not be enqueued: %s",
						 batch_id, error->message)));
	FreeErrorData(error);
}

/* ----------------------------------------------------------------
 * Looking at all of them
 * ----------------------------------------------------------------
 */

/*
 * List batches that are watched, into an array of MAX_WATCHED: what of their rows says
 * which events hold.  Returns how many.  Where there are more, each call goes on behind
 * those of the last one: *passed is kept between calls.
 */
static int
list_watched(Oid schema, BatchRow *watched, int64 *passed)
{
	static const AttrNumber id[] = {Anum_batch_id};
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableReader batches;
	ScanKeyData key;
	int count = 0;

	OpenReader(&batches, OwnTable(schema, BATCH_TABLE), RowsWith(Anum_batch_told), 1, id);
	ScanKeyInit(&key, 1, BTGreaterStrategyNumber, F_INT8GT, Int64GetDatum(*passed));
	BeginReading(&batches, snapshot, &key, 1);
	while (count < MAX_WATCHED &&
		   index_getnext_slot(batches.scan, ForwardScanDirection, batches.slot))
		ReadWatchedRow(&batches, &watched[count++]);
	*passed = count == MAX_WATCHED ? watched[count - 1].id : 0;
	CloseReader(&batches);
	UnregisterSnapshot(snapshot);
	return count;
}

/*
 * Whether something has happened to a watched batch, of which list_watched has read what
 * matters, that is to be told or noted, and that this session has not just failed to tell;
 * sets the events of the batch.
 */
static bool
has_news(Oid schema, const BatchRow *batch, Holding *holding, TimestampTz now, uint32 *events)
{
	*events = BatchEvents(schema, batch, holding, now);
	return (*events != batch->told || (*events & ENDING_EVENTS) != 0) &&
		   !is_recent(failed, batch->id, *events, now, AFTER_ERROR);
}

/*
 * Whether something is to be told, so that a consumer should claim again soon.  What is still
 * there after a while cannot be told, as whoever claims has found out; then consumers are
 * only now and then asked to try again.
 */
bool
TellingWaits(Oid schema)
{
	static int64 passed = 0;
	TimestampTz now = GetCurrentTimestamp();
	BatchRow *watched;
	Holding holding = {0};
	bool waits = false;
	int count;

	if (!AnyNotification(schema))
		return false;
	watched = palloc(MAX_WATCHED * sizeof(BatchRow));
	count = list_watched(schema, watched, &passed);
	if (count > 0)
		ReadHolding(&holding, schema);
	for (int i = 0; i < count && !waits; i++)
	{
		int64 id = watched[i].id;
		uint32 events;

		if (!has_news(schema, &watched[i], &holding, now, &events))
			continue;
		if (!is_recent(seen, id, events, now, AFTER_ERROR))
			remember(seen, id, events, now);
		waits = is_recent(seen, id, events, now, SEEN_TIME);
	}
	return waits;
}

/*
 * How long a session does not look again, whoever asks, after a look of a duration that has
 * read so many segments and has found nothing.
 */
static int64
rest_after(int64 read, int64 duration)
{
	if (read <= CHEAP_LOOK)
		return 0;
	return Min(Max(LOOK_SHARE * Max(duration, 0), LOOK_INTERVAL), MAX_LOOK_INTERVAL);
}

/*
 * Look at the watched batches, and enqueue actions that tell of what has happened to them
 * since the last look.  A session does so at most once a second, but for at_once if that
 * takes little.  The current user must be the owner of our tables.
 */
void
TellOfBatches(Oid schema, TimestampTz now, bool at_once)
{
	static TimestampTz looked_at = 0;
	static int64 rest = 0; /* from then on */
	TimestampTz start = GetCurrentTimestamp();
	bool found = false;
	static int64 passed = 0;
	Telling telling = {.schema = schema, .now = now};
	MemoryContext context;
	MemoryContext old;
	BatchRow *watched;
	Holding holding = {0};
	int count;

	if (now >= looked_at && now - looked_at < (at_once ? rest : Max(rest, LOOK_INTERVAL)))
		return;
	looked_at = now;
	context = AllocSetContextCreate(CurrentMemoryContext, "acteon_replay notifications",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	watched = palloc(MAX_WATCHED * sizeof(BatchRow));
	count = list_watched(schema, watched, &passed);
	if (count > 0)
	{
		telling.notifications = ReadNotifications(schema, &telling.count);
		ReadHolding(&holding, schema);
		telling.holding = &holding;
	}
	for (int i = 0; i < count; i++)
	{
		uint32 events;

		CHECK_FOR_INTERRUPTS();
		if (!has_news(schema, &watched[i], &holding, now, &events))
			continue;
		found = true;
		tell_guarded(&telling, watched[i].id, events);
	}
	rest = found ? 0 : rest_after(holding.read, GetCurrentTimestamp() - start);
	/* So that the claim meets what was enqueued. */
	CommandCounterIncrement();
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}
