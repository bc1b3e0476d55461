/*
 * notification.c
 *		The notifications that are set, and what they are about.
 *
 * A notification says which action is enqueued when something happens to a batch:
 * it ends, pauses itself, or needs a person.  notify_set.c sets them, batch_events.c
 * says what has happened, notify_payload.c fills in the payload, and replay/tell.c
 * enqueues the action.
 *
 * A batch is watched if a notification was set when it was made, or since then, until
 * its end was told: acteon_replay_batch.told has the events that are told and still
 * hold.  Without notifications nothing is watched.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "access/visibility.h"
#include "base/catalog.h"
#include "base/message.h"
#include "base/table_access.h"
#include "base/text.h"
#include "batch/notification.h"
#include "query/stored_query.h"

const char *const BatchEventNames[NUM_BATCH_EVENTS] = {
	[EVENT_FINISHED] = BATCH_STATE_FINISHED,
	[EVENT_CANCELLED] = BATCH_STATE_CANCELLED,
	[EVENT_PAUSED] = BATCH_STATE_PAUSED,
	[EVENT_CANARY] = EVENT_NAME_CANARY,
	[EVENT_APPROVAL] = EVENT_NAME_APPROVAL,
	[EVENT_INTERRUPTED] = BATCH_STATE_INTERRUPTED,
	[EVENT_HELD] = STATE_HELD,
};

/* ----------------------------------------------------------------
 * Events as an array of their names
 * ----------------------------------------------------------------
 */

/*
 * The events that an array names.  Raises invalid_parameter_value for an unknown one.
 */
uint32
EventsFromArray(ArrayType *array)
{
	Datum *names;
	bool *nulls;
	int count;
	uint32 events = 0;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &names, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		int event = 0;

		while (!nulls[i] && event < NUM_BATCH_EVENTS &&
			   !TextIs(DatumGetTextPP(names[i]), BatchEventNames[event]))
			event++;
		if (nulls[i] || event == NUM_BATCH_EVENTS)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 nulls[i] ? errmsg("events must not contain nulls")
							  : errmsg("event \"%s\" does not exist",
									   ShowText(DatumGetTextPP(names[i]))),
					 errhint("Events are %s.", ListNames(BatchEventNames, NUM_BATCH_EVENTS))));
		events |= EVENT_BIT(event);
	}
	return events;
}

/*
 * Events as an array of their names, always in the same order.
 */
ArrayType *
EventsToArray(uint32 events)
{
	Datum names[NUM_BATCH_EVENTS];
	int count = 0;

	for (int event = 0; event < NUM_BATCH_EVENTS; event++)
	{
		if ((events & EVENT_BIT(event)) != 0)
			names[count++] = CStringGetTextDatum(BatchEventNames[event]);
	}
	return construct_array(names, count, TEXTOID, -1, false, TYPALIGN_INT);
}

/* ----------------------------------------------------------------
 * Reading
 * ----------------------------------------------------------------
 */

/* What is done with the row of a notification.  Returns whether to go on. */
typedef bool (*RowWork)(TupleTableSlot *row, void *argument);

/*
 * Go through the notifications as they are now.  Without any, which is the rule, this
 * reads nothing.
 */
static void
walk_rows(Oid schema, RowWork work, void *argument)
{
	Relation rel = table_open(OwnTable(schema, NOTIFY_TABLE), AccessShareLock);

	if (RelationGetNumberOfBlocks(rel) > 0)
	{
		Snapshot now = RegisterSnapshot(GetLatestSnapshot());
		TableScanDesc scan = table_beginscan(rel, now, 0, NULL);
		TupleTableSlot *row = table_slot_create(rel, NULL);
		bool goes_on = true;

		while (goes_on && table_scan_getnextslot(scan, ForwardScanDirection, row))
		{
			CHECK_FOR_INTERRUPTS();
			goes_on = work(row, argument);
		}
		ExecDropSingleTupleTableSlot(row);
		table_endscan(scan);
		UnregisterSnapshot(now);
	}
	table_close(rel, AccessShareLock);
}

static bool
note_any(TupleTableSlot *row, void *argument)
{
	*(bool *) argument = true;
	return false;
}

/*
 * Whether a notification is set.
 */
bool
AnyNotification(Oid schema)
{
	bool any = false;

	walk_rows(schema, note_any, &any);
	return any;
}

/* Notifications that are being read. */
typedef struct Readings
{
	Notification *notifications;
	int count;
	int allocated;
} Readings;

static text *
text_column(TupleTableSlot *row, AttrNumber column)
{
	bool isnull;

	return DatumGetTextPCopy(slot_getattr(row, column, &isnull));
}

static ArrayType *
array_column(TupleTableSlot *row, AttrNumber column)
{
	bool isnull;
	Datum value = slot_getattr(row, column, &isnull);

	return isnull ? NULL : DatumGetArrayTypePCopy(value);
}

static bool
read_row(TupleTableSlot *row, void *argument)
{
	Readings *readings = argument;
	Notification *read;
	ArrayType *events = array_column(row, Anum_notify_events);
	bool isnull;

	if (readings->count == readings->allocated)
	{
		readings->allocated = Max(readings->allocated * 2, 4);
		readings->notifications =
			readings->notifications == NULL
				? palloc(readings->allocated * sizeof(Notification))
				: repalloc(readings->notifications, readings->allocated * sizeof(Notification));
	}
	read = &readings->notifications[readings->count++];
	read->name = text_to_cstring(text_column(row, Anum_notify_name));
	read->provider = text_column(row, Anum_notify_provider);
	read->action_type = text_column(row, Anum_notify_action_type);
	read->namespace = text_column(row, Anum_notify_namespace);
	read->tenant = text_column(row, Anum_notify_tenant);
	read->payload = DatumGetJsonbPCopy(slot_getattr(row, Anum_notify_payload, &isnull));
	read->events = events == NULL ? ALL_EVENTS : EventsFromArray(events);
	read->tenants = array_column(row, Anum_notify_tenants);
	read->namespaces = array_column(row, Anum_notify_namespaces);
	read->min_actions = DatumGetInt32(slot_getattr(row, Anum_notify_min_actions, &isnull));
	read->set_by = DatumGetObjectId(slot_getattr(row, Anum_notify_set_by, &isnull));
	return true;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(((const Notification *) a)->name, ((const Notification *) b)->name);
}

/*
 * Read the notifications, in the order of their names, into the current memory context.
 */
Notification *
ReadNotifications(Oid schema, int *count)
{
	Readings readings = {0};

	walk_rows(schema, read_row, &readings);
	if (readings.count > 1)
		qsort(readings.notifications, readings.count, sizeof(Notification), compare_names);
	*count = readings.count;
	return readings.notifications;
}

/* ----------------------------------------------------------------
 * What they are about
 * ----------------------------------------------------------------
 */

/*
 * Whether a list, of which NULL is any, has a value; of tenants, also what is below one
 * of the list.
 */
static bool
is_listed(ArrayType *list, const text *value, bool below)
{
	Datum *entries;
	bool *nulls;
	int count;

	if (list == NULL)
		return true;
	deconstruct_array(list, TEXTOID, -1, false, TYPALIGN_INT, &entries, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		const text *entry = nulls[i] ? NULL : DatumGetTextPP(entries[i]);
		int len = entry == NULL ? 0 : VARSIZE_ANY_EXHDR(entry);

		if (entry == NULL)
			continue;
		if (SameText(entry, value))
			return true;
		if (below && (int) VARSIZE_ANY_EXHDR(value) > len + 1 && VARDATA_ANY(value)[len] == '.' &&
			memcmp(VARDATA_ANY(value), VARDATA_ANY(entry), len) == 0)
			return true;
	}
	return false;
}

/*
 * Whether a notification is about a batch, given its scope and its query: all of the
 * batch is of the tenants and namespaces that the notification is limited to.  Of a
 * batch that has enqueued nothing yet the filters decide.
 */
bool
NotificationConcerns(const Notification *notification, Jsonb *scope, Jsonb *query)
{
	JsonbIterator *it = JsonbIteratorInit(&scope->root);
	text *parts[SCOPE_PARTS];

	if (notification->tenants == NULL && notification->namespaces == NULL)
		return true;
	if (JB_ROOT_COUNT(scope) == 0)
		return is_listed(notification->tenants, StoredFilter(query, OPTION_TENANT), true) &&
			   is_listed(notification->namespaces, StoredFilter(query, OPTION_NAMESPACE), false);
	while (NextScopeElement(&it, parts))
	{
		if (!is_listed(notification->tenants, parts[0], true) ||
			!is_listed(notification->namespaces, parts[1], false))
			return false;
	}
	return true;
}

/*
 * Whether a batch, whose query this is, is itself a notification about another one.
 */
bool
IsNotificationQuery(Jsonb *query)
{
	JsonbValue value;

	return getKeyJsonValueFromContainer(&query->root, "notify", strlen("notify"), &value) != NULL;
}
