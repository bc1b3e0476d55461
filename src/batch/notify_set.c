/*
 * notify_set.c
 *		acteon_replay_notify_set and acteon_replay_notify_drop.
 *
 * notification.c says what a notification is, and who tells.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "access/grants.h"
#include "base/catalog.h"
#include "base/identity.h"
#include "base/table_access.h"
#include "base/text.h"
#include "batch/batch_state.h"
#include "batch/control_log.h"
#include "batch/notification.h"
#include "batch/notify_payload.h"
#include "batch/reason.h"
#include "queue/wake.h"

/* Maximum length of a name and of a payload, in bytes. */
#define NAME_MAXLEN 200
#define PAYLOAD_MAXLEN (64 * 1024)

/* The payload if none is given: what a chat's webhook shows, and what a program reads. */
#define DEFAULT_PAYLOAD \
	"{\"text\": \"{{summary}}\", \"event\": \"{{event}}\", \"batch_id\": \"{{batch_id}}\"," \
	" \"state\": \"{{state}}\", \"reason\": \"{{reason}}\", \"requested_by\": \"{{requested_by}}\"," \
	" \"stop_reason\": \"{{stop_reason}}\", \"what_to_do\": \"{{what_to_do}}\"," \
	" \"replayed\": \"{{replayed}}\", \"done\": \"{{done}}\", \"dead\": \"{{dead}}\"," \
	" \"held\": \"{{held}}\", \"refused\": \"{{refused}}\"}"

/* Arguments of acteon_replay_notify_set, and parameters of SET_NOTIFICATION. */
enum
{
	SET_NAME,
	SET_PROVIDER,
	SET_ACTION_TYPE,
	SET_NAMESPACE,
	SET_TENANT,
	SET_PAYLOAD,
	SET_EVENTS,
	SET_TENANTS,
	SET_NAMESPACES,
	SET_MIN_ACTIONS,
	SET_REASON,
	SET_BY, /* these two: only of the statement */
	SET_AT,
	NUM_SET_PARAMETERS
};

/* %1$s is the extension's schema; see redrive.c about the search path. */
#define SET_NOTIFICATION \
	"INSERT INTO %1$s.acteon_replay_notify AS n (name, provider, action_type, namespace, tenant," \
	"	payload, events, tenants, namespaces, min_actions, reason, set_by, set_at) " \
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) " \
	"ON CONFLICT (name) DO UPDATE SET provider = $2, action_type = $3, namespace = $4, tenant = $5," \
	"	payload = $6, events = $7, tenants = $8, namespaces = $9, min_actions = $10, reason = $11," \
	"	set_by = $12, set_at = $13"

#define DROP_NOTIFICATION "DELETE FROM %1$s.acteon_replay_notify WHERE name = $1"

/* Watch the batches that are under way. */
#define WATCH_BATCHES \
	"UPDATE %1$s.acteon_replay_batch AS b SET told = '{}' " \
	"WHERE told IS NULL AND NOT query ? 'notify'" \
	"	AND (NOT is_complete AND (" IS_CANCELLED("b") ") IS NOT TRUE AND " IS_APPROVABLE( \
		"b") "		OR EXISTS (SELECT FROM %1$s.acteon_dispatch_segment AS s WHERE s.batch_id = b.id" \
			 "			AND s.first_id BETWEEN b.first_outbox_id AND b.last_outbox_id))"

/* Watch nothing, if nothing is to be told any more. */
#define WATCH_NOTHING \
	"UPDATE %1$s.acteon_replay_batch SET told = NULL " \
	"WHERE told IS NOT NULL AND NOT EXISTS (SELECT FROM %1$s.acteon_replay_notify)"

/* A call that changes a notification. */
typedef struct NotifyCall
{
	Oid schema;
	Oid caller;
	Grants *grants;
	Identity saved;
	const char *reason; /* NULL: none given */
} NotifyCall;

PG_FUNCTION_INFO_V1(acteon_replay_notify_set);
PG_FUNCTION_INFO_V1(acteon_replay_notify_drop);

/* ----------------------------------------------------------------
 * Who may
 * ----------------------------------------------------------------
 */

/*
 * The texts of an array that has no NULLs; of NULL, "*", which only a grant for
 * everything covers.
 */
static Datum *
listed_or_any(ArrayType *list, int *count)
{
	Datum *texts;
	bool *nulls;

	if (list != NULL)
		deconstruct_array(list, TEXTOID, -1, false, TYPALIGN_INT, &texts, &nulls, count);
	else
	{
		*count = 1;
		texts = palloc(sizeof(Datum));
		texts[0] = CStringGetTextDatum("*");
	}
	return texts;
}

/*
 * Whether admin grants cover everything that a notification may tell about.
 */
static bool
covers_subject(Grants *grants, ArrayType *tenants, ArrayType *namespaces)
{
	const text *any = cstring_to_text("*");
	int tenant_count, namespace_count;
	Datum *tenant = listed_or_any(tenants, &tenant_count);
	Datum *namespace = listed_or_any(namespaces, &namespace_count);

	for (int i = 0; i < tenant_count * namespace_count; i++)
	{
		GrantTarget target = {.tenant = DatumGetTextPP(tenant[i / namespace_count]),
							  .namespace = DatumGetTextPP(namespace[i % namespace_count]),
							  .provider = any,
							  .action_type = any};

		CHECK_FOR_INTERRUPTS();
		if (!GrantsCover(grants, GRANT_STEER, &target))
			return false;
	}
	return true;
}

/*
 * Whether grants permit a notification about all batches, whatever its action.
 */
bool
MayNotifyOfAll(Grants *grants)
{
	return covers_subject(grants, NULL, NULL);
}

/*
 * Refuse a caller who may not set, change or drop a notification.  Permitted are roles
 * with admin grants for the action that tells, because it is sent without a check of
 * anybody's grants, and for everything of the tenants and namespaces that it tells about,
 * because the payload shows what their batches do; and superusers.
 */
static void
check_may_notify(const NotifyCall *call, const Notification *notification)
{
	GrantTarget action = {.tenant = notification->tenant,
						  .namespace = notification->namespace,
						  .provider = notification->provider,
						  .action_type = notification->action_type};

	if (GrantsEverything(call->grants))
		return;
	if (!GrantsCover(call->grants, GRANT_STEER, &action))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("insufficient permissions: a notification requires admin role"),
				 errdetail("Role \"%s\" has no admin grant that covers the action of notification "
						   "\"%s\".",
						   GetUserNameFromId(call->caller, false), notification->name),
				 errhint("acteon_grants shows the grants that there are.")));
	if (!covers_subject(call->grants, notification->tenants, notification->namespaces))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("insufficient permissions: a notification requires admin role for all "
						"that it tells about"),
				 errdetail("Role \"%s\" has no admin grants that cover everything of the tenants "
						   "and namespaces of notification \"%s\".",
						   GetUserNameFromId(call->caller, false), notification->name),
				 errhint("Limit it with tenants and namespaces.")));
}

/* ----------------------------------------------------------------
 * Arguments
 * ----------------------------------------------------------------
 */

/*
 * A text argument that must be there and not be empty.
 */
static text *
text_argument(FunctionCallInfo fcinfo, int argument, const char *name)
{
	text *value = PG_ARGISNULL(argument) ? NULL : PG_GETARG_TEXT_PP(argument);

	if (value == NULL || VARSIZE_ANY_EXHDR(value) == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must not be null or empty", name)));
	return value;
}

/*
 * The name of a notification, by the first argument.
 */
static char *
name_argument(FunctionCallInfo fcinfo)
{
	text *name = text_argument(fcinfo, SET_NAME, "name");

	if (VARSIZE_ANY_EXHDR(name) > NAME_MAXLEN)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("name must have 1 to %d bytes", NAME_MAXLEN)));
	return text_to_cstring(name);
}

/*
 * A list of tenants or namespaces; NULL: any.
 */
static ArrayType *
list_argument(FunctionCallInfo fcinfo, int argument, const char *name)
{
	ArrayType *list = PG_ARGISNULL(argument) ? NULL : PG_GETARG_ARRAYTYPE_P(argument);
	Datum *texts;
	bool *nulls;
	int count;

	if (list == NULL)
		return NULL;
	deconstruct_array(list, TEXTOID, -1, false, TYPALIGN_INT, &texts, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		if (nulls[i] || VARSIZE_ANY_EXHDR(DatumGetTextPP(texts[i])) == 0 ||
			TextIs(DatumGetTextPP(texts[i]), "*"))
			count = 0;
	}
	if (count == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be null, or a list of names", name),
						errhint("NULL stands for all of them.")));
	return list;
}

/*
 * The template of the payload, which is the default one if none is given.
 */
static Jsonb *
payload_argument(FunctionCallInfo fcinfo)
{
	Jsonb *payload =
		PG_ARGISNULL(SET_PAYLOAD)
			? DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(DEFAULT_PAYLOAD)))
			: PG_GETARG_JSONB_P(SET_PAYLOAD);

	if (VARSIZE(payload) > PAYLOAD_MAXLEN)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("payload must not be larger than %d bytes", PAYLOAD_MAXLEN)));
	CheckTemplate(payload);
	return payload;
}

/*
 * Read the arguments of acteon_replay_notify_set.
 */
static void
read_arguments(FunctionCallInfo fcinfo, Notification *notification)
{
	notification->name = name_argument(fcinfo);
	notification->provider = text_argument(fcinfo, SET_PROVIDER, "provider");
	notification->action_type = text_argument(fcinfo, SET_ACTION_TYPE, "action_type");
	notification->namespace = text_argument(fcinfo, SET_NAMESPACE, "namespace");
	notification->tenant = text_argument(fcinfo, SET_TENANT, "tenant");
	notification->payload = payload_argument(fcinfo);
	notification->events =
		PG_ARGISNULL(SET_EVENTS) ? ALL_EVENTS : EventsFromArray(PG_GETARG_ARRAYTYPE_P(SET_EVENTS));
	if (notification->events == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("events must not be empty"),
				 errhint("NULL stands for all of them.")));
	notification->tenants = list_argument(fcinfo, SET_TENANTS, "tenants");
	notification->namespaces = list_argument(fcinfo, SET_NAMESPACES, "namespaces");
	notification->min_actions =
		PG_ARGISNULL(SET_MIN_ACTIONS) ? 1 : PG_GETARG_INT32(SET_MIN_ACTIONS);
	if (notification->min_actions < 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("min_actions must be at least 1")));
}

/* ----------------------------------------------------------------
 * The calls
 * ----------------------------------------------------------------
 */

/*
 * Begin a call: check that the server can write; act as the tables' owner until
 * end_call.
 */
static void
begin_call(NotifyCall *call, FunctionCallInfo fcinfo, const char *function, int reason_argument)
{
	PreventCommandDuringRecovery(function);
	PreventCommandIfReadOnly(function);
	call->reason = ReasonArgument(fcinfo, reason_argument);
	call->schema = CalledSchema(fcinfo);
	call->caller = GetUserId();
	call->grants = LoadGrants(call->caller, call->schema);
	SwitchIdentity(&call->saved, TableOwner(OwnTable(call->schema, NOTIFY_TABLE)));
	/* Calls take turns; who tells only reads. */
	LockRelationOid(OwnTable(call->schema, NOTIFY_TABLE), ShareRowExclusiveLock);
	LockForWriting(call->schema, WRITES_BATCHES | WRITES_NOTIFICATIONS);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

/*
 * End a call: have consumers look at what is to be told; be the caller again.
 */
static void
end_call(NotifyCall *call)
{
	SPI_finish();
	NotifyConsumers(call->schema);
	CommandCounterIncrement();
	RestoreIdentity(&call->saved);
}

/*
 * Check that the caller may change the notification of a name, if there is one.  Returns
 * whether there is.
 */
static bool
check_present(const NotifyCall *call, const char *name)
{
	int count;
	Notification *notifications = ReadNotifications(call->schema, &count);

	for (int i = 0; i < count; i++)
	{
		if (strcmp(notifications[i].name, name) != 0)
			continue;
		check_may_notify(call, &notifications[i]);
		return true;
	}
	return false;
}

/*
 * Execute a statement.
 */
static void
execute(const NotifyCall *call, const char *sql, int count, Oid *types, Datum *values,
		const char *nulls, int expected)
{
	char *statement = psprintf(sql, quote_identifier(get_namespace_name(call->schema)));

	if (SPI_execute_with_args(statement, count, types, values, nulls, false, 0) != expected)
		elog(ERROR, "could not change the notifications: %s", SPI_result_code_string(SPI_result));
}

/*
 * Write a notification down.
 */
static void
write_row(const NotifyCall *call, const Notification *notification)
{
	Oid types[NUM_SET_PARAMETERS] = {TEXTOID,  TEXTOID,      TEXTOID,       TEXTOID,      TEXTOID,
									 JSONBOID, TEXTARRAYOID, TEXTARRAYOID,  TEXTARRAYOID, INT4OID,
									 TEXTOID,  REGROLEOID,   TIMESTAMPTZOID};
	char nulls[NUM_SET_PARAMETERS];
	Datum values[NUM_SET_PARAMETERS] = {
		[SET_NAME] = CStringGetTextDatum(notification->name),
		[SET_PROVIDER] = PointerGetDatum(notification->provider),
		[SET_ACTION_TYPE] = PointerGetDatum(notification->action_type),
		[SET_NAMESPACE] = PointerGetDatum(notification->namespace),
		[SET_TENANT] = PointerGetDatum(notification->tenant),
		[SET_PAYLOAD] = JsonbPGetDatum(notification->payload),
		[SET_EVENTS] = PointerGetDatum(EventsToArray(notification->events)),
		[SET_TENANTS] = PointerGetDatum(notification->tenants),
		[SET_NAMESPACES] = PointerGetDatum(notification->namespaces),
		[SET_MIN_ACTIONS] = Int32GetDatum(notification->min_actions),
		[SET_BY] = ObjectIdGetDatum(call->caller),
		[SET_AT] = TimestampTzGetDatum(GetCurrentTimestamp())};

	if (call->reason != NULL)
		values[SET_REASON] = CStringGetTextDatum(call->reason);
	for (int i = 0; i < NUM_SET_PARAMETERS; i++)
		nulls[i] = DatumGetPointer(values[i]) == NULL ? 'n' : ' ';
	execute(call, SET_NOTIFICATION, NUM_SET_PARAMETERS, types, values, nulls, SPI_OK_INSERT);
}

/*
 * Log what was set.
 */
static void
log_set(const NotifyCall *call, const Notification *notification)
{
	ArrayType *events = EventsToArray(notification->events);
	LogDetails details;
	Datum *names;
	bool *nulls;
	int count;
	StringInfoData list;

	deconstruct_array(events, TEXTOID, -1, false, TYPALIGN_INT, &names, &nulls, &count);
	initStringInfo(&list);
	for (int i = 0; i < count; i++)
		appendStringInfo(&list, i > 0 ? ", %s" : "%s", TextDatumGetCString(names[i]));
	BeginDetails(&details);
	AddTextDetail(&details, "name", notification->name);
	AddTextDetail(&details, "provider", text_to_cstring(notification->provider));
	AddTextDetail(&details, "action_type", text_to_cstring(notification->action_type));
	AddTextDetail(&details, "namespace", text_to_cstring(notification->namespace));
	AddTextDetail(&details, "tenant", text_to_cstring(notification->tenant));
	AddTextDetail(&details, "events", list.data);
	LogControl(call->schema, call->caller, "notify_set", 0, call->reason, EndDetails(&details));
}

/*
 * acteon_replay_notify_set(name, provider, action_type, namespace, tenant text, payload
 * jsonb, events, tenants, namespaces text[], min_actions integer, reason text) → void
 *
 * Sets or replaces a notification.  Raises insufficient_privilege and
 * invalid_parameter_value.
 */
Datum
acteon_replay_notify_set(PG_FUNCTION_ARGS)
{
	NotifyCall call;
	Notification notification = {0};

	read_arguments(fcinfo, &notification);
	begin_call(&call, fcinfo, "acteon_replay_notify_set()", SET_REASON);
	check_may_notify(&call, &notification);
	(void) check_present(&call, notification.name);
	write_row(&call, &notification);
	execute(&call, WATCH_BATCHES, 0, NULL, NULL, NULL, SPI_OK_UPDATE);
	log_set(&call, &notification);
	end_call(&call);
	PG_RETURN_VOID();
}

/*
 * acteon_replay_notify_drop(name text, reason text) → boolean
 *
 * Drops a notification; returns whether there was one.  What it has enqueued is still
 * delivered.  Raises insufficient_privilege and invalid_parameter_value.
 */
Datum
acteon_replay_notify_drop(PG_FUNCTION_ARGS)
{
	NotifyCall call;
	char *name = name_argument(fcinfo);
	Oid type = TEXTOID;
	Datum value = CStringGetTextDatum(name);
	LogDetails details;
	bool present;

	begin_call(&call, fcinfo, "acteon_replay_notify_drop()", 1);
	present = check_present(&call, name);
	if (present)
	{
		execute(&call, DROP_NOTIFICATION, 1, &type, &value, NULL, SPI_OK_DELETE);
		execute(&call, WATCH_NOTHING, 0, NULL, NULL, NULL, SPI_OK_UPDATE);
		BeginDetails(&details);
		AddTextDetail(&details, "name", name);
		LogControl(call.schema, call.caller, "notify_drop", 0, call.reason, EndDetails(&details));
	}
	else
		ereport(NOTICE, (errmsg("notification \"%s\" does not exist", name)));
	end_call(&call);
	PG_RETURN_BOOL(present);
}
