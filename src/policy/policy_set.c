/*
 * policy_set.c
 *		acteon_replay_policy_set and acteon_replay_policy_drop.
 *
 * A policy replays as the role that has set it, with the grants that this role has when
 * it replays.  Only this role, its members and superusers may change or drop it: with
 * another query it would replay something else in that role's name.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "access/grants.h"
#include "base/catalog.h"
#include "base/identity.h"
#include "base/one_owner.h"
#include "base/table_access.h"
#include "batch/control_log.h"
#include "batch/reason.h"
#include "policy/policy_provider_row.h"
#include "query/query.h"

/* Bounds of probe_every and max_age. */
#define LEAST_PROBE_EVERY (1 * USECS_PER_SEC)
#define MOST_PROBE_EVERY (1 * USECS_PER_HOUR)
#define LEAST_MAX_AGE (1 * USECS_PER_MINUTE)
#define MOST_MAX_AGE (366 * USECS_PER_DAY)

/* Arguments of acteon_replay_policy_set. */
enum
{
	SET_NAME,
	SET_FILTERS,
	SET_RATE,
	SET_CANARY,
	SET_QUIET_FROM,
	SET_QUIET_TO,
	SET_TIME_ZONE,
	SET_MAX_A_DAY,
	SET_PROBE_EVERY,
	SET_MAX_AGE,
	SET_REASON,
	SET_ARGUMENTS
};

/* A call that sets or drops a policy. */
typedef struct PolicyCall
{
	Oid schema;
	Oid caller;
	text *name;
	const char *reason; /* NULL: none given */
	Identity saved;
} PolicyCall;

PG_FUNCTION_INFO_V1(acteon_replay_policy_set);
PG_FUNCTION_INFO_V1(acteon_replay_policy_drop);

/* $1 is the name.  %1$s is the extension's schema; see redrive.c about the search path. */
#define HOLD_POLICY \
	"SELECT p.role_oid::oid FROM %1$s.acteon_replay_policy AS p WHERE p.name = $1 FOR UPDATE"

/*
 * The arguments from the first on, the caller, its name, the time, and whether the policy is
 * locked: one that another transaction has set meanwhile may be another role's.
 */
#define WRITE_POLICY \
	"INSERT INTO %1$s.acteon_replay_policy AS p (name, query, rate, canary, quiet_from, quiet_to," \
	"	time_zone, max_a_day, probe_every, max_age, reason, role_oid, role_name, set_at) " \
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::oid, $13, $14) " \
	"ON CONFLICT (name) DO UPDATE SET query = excluded.query, rate = excluded.rate," \
	"	canary = excluded.canary, quiet_from = excluded.quiet_from, quiet_to = excluded.quiet_to," \
	"	time_zone = excluded.time_zone, max_a_day = excluded.max_a_day," \
	"	probe_every = excluded.probe_every, max_age = excluded.max_age, reason = excluded.reason," \
	"	role_oid = excluded.role_oid, role_name = excluded.role_name, set_at = excluded.set_at," \
	"	look_at = NULL, disabled = NULL, error = NULL, retry_at = NULL WHERE $15"

#define DROP_POLICY "DELETE FROM %1$s.acteon_replay_policy WHERE name = $1"

/*
 * Begin a call: check that the server can write, the name and the reason.
 */
static void
begin_call(PolicyCall *call, FunctionCallInfo fcinfo, const char *function, int reason_argument)
{
	int bytes = PG_ARGISNULL(0) ? 0 : VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(0));

	PreventCommandDuringRecovery(function);
	PreventCommandIfReadOnly(function);
	if (bytes < 1 || bytes > MAX_POLICY_NAME)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("name must have 1 to %d bytes", MAX_POLICY_NAME),
						errhint("Name the policy after what it replays.")));
	call->name = PG_GETARG_TEXT_PP(0);
	call->reason = ReasonArgument(fcinfo, reason_argument);
	call->schema = CalledSchema(fcinfo);
	call->caller = GetUserId();
}

/*
 * Refuse a caller who may not replay anything: nor could the policy.
 */
static void
check_may_replay(const PolicyCall *call)
{
	if (GrantsMayReplay(LoadGrants(call->caller, call->schema)))
		return;
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					errmsg("insufficient permissions: a policy requires admin or operator role"),
					errdetail("Role \"%s\" has no such grant in acteon_grants.",
							  GetUserNameFromId(call->caller, false)),
					errhint("A policy replays with the grants of the role that sets it.")));
}

/*
 * Run a statement about the policy; returns the number of rows.
 */
static uint64
execute(const PolicyCall *call, const char *statement, int expected)
{
	const char *schema = quote_identifier(get_namespace_name(call->schema));
	Oid type = TEXTOID;
	Datum name = PointerGetDatum(call->name);

	if (SPI_execute_with_args(psprintf(statement, schema), 1, &type, &name, NULL, false, 0) !=
		expected)
		elog(ERROR, "could not access a policy: %s", SPI_result_code_string(SPI_result));
	return SPI_processed;
}

/*
 * Act as the tables' owner until end_call.
 */
static void
act_as_owner(PolicyCall *call)
{
	SwitchIdentity(&call->saved, TableOwner(OwnTable(call->schema, POLICY_TABLE)));
	RequireOneOwner(call->schema);
	LockForWriting(call->schema, WRITES_OF_POLICIES);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

/*
 * Lock the policy if it is there; returns whether it is.  Only the role of a policy, its
 * members and superusers may change it; that of a dropped role, only superusers.
 */
static bool
hold_policy(PolicyCall *call)
{
	bool isnull;
	Oid role;

	if (execute(call, HOLD_POLICY, SPI_OK_SELECT) == 0)
		return false;
	role =
		DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	if (!has_privs_of_role(call->caller, role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("insufficient permissions: policy \"%s\" belongs to another role",
						text_to_cstring(call->name)),
				 errdetail("Role \"%s\" is not that role, and does not inherit its privileges.",
						   GetUserNameFromId(call->caller, false)),
				 errhint("Choose another name, or SET ROLE to the role that set it.")));
	return true;
}

/*
 * End a call: be the caller again.
 */
static void
end_call(PolicyCall *call)
{
	SPI_finish();
	CommandCounterIncrement();
	RestoreIdentity(&call->saved);
}

/*
 * Refuse an option that a policy has no use for.
 */
static void
refuse_option(const ReplayQuery *query, OptionId id, const char *hint)
{
	if (!OPTION_GIVEN(query, id))
		return;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("filters of a policy must not contain \"%s\"", ReplayOptions[id].key),
					errhint("%s", hint)));
}

/*
 * Check the filters: a query in the wire form, without what a policy determines itself.
 */
static void
check_filters(FunctionCallInfo fcinfo)
{
	static const struct
	{
		OptionId id;
		const char *hint;
	} refused[] = {
		{OPTION_OUTCOME, "A policy replays what was lost, whatever its outcome."},
		{OPTION_ACTION_IDS, "A policy is for actions that are not known yet."},
		{OPTION_TO, "A policy is for actions that are not known yet."},
		{OPTION_MAX_RECORDS, "Use max_a_day."},
		{OPTION_FILL_LIMIT, "Use max_a_day."},
		{OPTION_INCLUDE_REPLAYED, "A policy replays what was lost."},
		{OPTION_ALLOW_EFFECTIVE, "A policy replays what was lost."},
		{OPTION_NEWEST_FIRST, "A policy replays the oldest actions first."},
		{OPTION_ORDER, "A policy replays the oldest actions first."},
		{OPTION_CURSOR, "A policy always begins with the oldest actions."},
		{OPTION_RATE, "Use the argument rate."},
		{OPTION_RAMP, "Use the argument canary."},
		{OPTION_START_AT, "Use quiet_from and quiet_to."},
		{OPTION_REASON, "Use the argument reason."},
		{OPTION_CANARY, "Use the argument canary."},
		{OPTION_PLAN, "A plan holds for an hour."},
		{OPTION_TARGET, "A policy replays what production lost."},
	};
	ReplayQuery query;

	if (PG_ARGISNULL(SET_FILTERS))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("filters must not be null"),
				 errhint("Leave it out for everything that was lost.")));
	ReadReplayQuery(&query, PG_GETARG_JSONB_P(SET_FILTERS), false);
	for (int i = 0; i < lengthof(refused); i++)
		refuse_option(&query, refused[i].id, refused[i].hint);
	query.lost = true;
	CheckReplayQuery(&query);
}

/*
 * Check a length of time.
 */
static void
check_interval(FunctionCallInfo fcinfo, int argument, const char *name, int64 least, int64 most,
			   const char *bounds)
{
	Interval *interval = PG_ARGISNULL(argument) ? NULL : PG_GETARG_INTERVAL_P(argument);
	int64 usecs = interval == NULL || interval->month != 0 ? 0 : interval->time;

	if (interval != NULL && interval->month == 0 && interval->day <= MOST_MAX_AGE / USECS_PER_DAY &&
		interval->day >= 0)
		usecs += interval->day * USECS_PER_DAY;
	if (usecs < least || usecs > most)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s must be %s", name, bounds),
				 errhint("Write it without months and years.")));
}

/*
 * Check the quiet hours.
 */
static void
check_quiet_hours(FunctionCallInfo fcinfo, text *time_zone)
{
	TimeADT times[] = {0, 0};

	if (!IsTimeZone(time_zone))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("time zone \"%s\" not recognized", text_to_cstring(time_zone)),
						errhint("pg_timezone_names lists the names; abbreviations are not "
								"permitted.")));
	if (PG_ARGISNULL(SET_QUIET_FROM) != PG_ARGISNULL(SET_QUIET_TO))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("quiet_from and quiet_to must be given together"),
						errhint("For example, quiet_from => '22:00', quiet_to => '06:00'.")));
	if (PG_ARGISNULL(SET_QUIET_FROM))
		return;
	for (int i = 0; i < lengthof(times); i++)
	{
		times[i] = PG_GETARG_TIMEADT(SET_QUIET_FROM + i);
		if (times[i] % USECS_PER_MINUTE != 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("quiet_from and quiet_to must be whole minutes"),
							errhint("For example, quiet_from => '22:00', quiet_to => '06:00'.")));
	}
	if (times[0] % USECS_PER_DAY == times[1] % USECS_PER_DAY)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("quiet_from and quiet_to must differ"),
						errhint("To end a policy, use acteon_replay_policy_drop().")));
}

/*
 * How the first batch after a recovery begins: CANARY_AUTO or CANARY_OFF.
 */
static const char *
canary_argument(FunctionCallInfo fcinfo)
{
	const char *given =
		PG_ARGISNULL(SET_CANARY) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(SET_CANARY));

	if (strcmp(given, CANARY_AUTO) == 0)
		return CANARY_AUTO;
	if (strcmp(given, CANARY_OFF) == 0 || strcmp(given, "false") == 0)
		return CANARY_OFF;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("canary of a policy must be \"%s\" or \"%s\"", CANARY_AUTO, CANARY_OFF),
					errhint("A policy begins each step by itself.")));
}

/*
 * Check the rest of the arguments.
 */
static void
check_numbers(FunctionCallInfo fcinfo)
{
	if (!PG_ARGISNULL(SET_RATE))
		(void) RateValue(PG_GETARG_NUMERIC(SET_RATE));
	if (!PG_ARGISNULL(SET_MAX_A_DAY) && PG_GETARG_INT32(SET_MAX_A_DAY) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("max_a_day must be at least 1"),
				 errhint("Leave it out for any number of actions.")));
	check_interval(fcinfo, SET_PROBE_EVERY, "probe_every", LEAST_PROBE_EVERY, MOST_PROBE_EVERY,
				   "from 1 second to 1 hour");
	check_interval(fcinfo, SET_MAX_AGE, "max_age", LEAST_MAX_AGE, MOST_MAX_AGE,
				   "from 1 minute to 366 days");
}

/*
 * Write the policy down, in place of the one that is there if that is held.  Returns false
 * if there is one now that is not.
 */
static bool
write_policy(const PolicyCall *call, FunctionCallInfo fcinfo, text *time_zone, bool is_held)
{
	Oid types[] = {TEXTOID, JSONBOID, NUMERICOID, TEXTOID,        TIMEOID,
				   TIMEOID, TEXTOID,  INT4OID,    INTERVALOID,    INTERVALOID,
				   TEXTOID, OIDOID,   NAMEOID,    TIMESTAMPTZOID, BOOLOID};
	const char *schema = quote_identifier(get_namespace_name(call->schema));
	Datum values[lengthof(types)];
	char nulls[lengthof(types)];

	for (int i = 0; i < SET_ARGUMENTS; i++)
	{
		values[i] = PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	values[SET_CANARY] = CStringGetTextDatum(canary_argument(fcinfo));
	values[SET_TIME_ZONE] = PointerGetDatum(time_zone);
	nulls[SET_TIME_ZONE] = ' ';
	values[SET_ARGUMENTS] = ObjectIdGetDatum(call->caller);
	values[SET_ARGUMENTS + 1] = RoleName(call->caller);
	values[SET_ARGUMENTS + 2] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[SET_ARGUMENTS + 3] = BoolGetDatum(is_held);
	memset(nulls + SET_ARGUMENTS, ' ', 4);
	if (SPI_execute_with_args(psprintf(WRITE_POLICY, schema), lengthof(types), types, values, nulls,
							  false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write a policy: %s", SPI_result_code_string(SPI_result));
	return SPI_processed > 0;
}

/*
 * Log what was set or dropped.
 */
static void
log_policy(const PolicyCall *call, const char *event, const char *time_zone,
		   FunctionCallInfo fcinfo)
{
	LogDetails details;

	BeginDetails(&details);
	AddTextDetail(&details, "policy", text_to_cstring(call->name));
	if (time_zone != NULL)
	{
		Jsonb *filters = PG_GETARG_JSONB_P(SET_FILTERS);

		AddTextDetail(&details, "filters", JsonbToCString(NULL, &filters->root, VARSIZE(filters)));
		AddNumericDetail(&details, "rate",
						 PG_ARGISNULL(SET_RATE) ? NULL : PG_GETARG_NUMERIC(SET_RATE));
		AddTextDetail(&details, "canary", canary_argument(fcinfo));
		if (!PG_ARGISNULL(SET_QUIET_FROM))
		{
			AddTextDetail(&details, "quiet_from",
						  DatumGetCString(
							  DirectFunctionCall1(time_out, PG_GETARG_DATUM(SET_QUIET_FROM))));
			AddTextDetail(&details, "quiet_to",
						  DatumGetCString(
							  DirectFunctionCall1(time_out, PG_GETARG_DATUM(SET_QUIET_TO))));
		}
		AddTextDetail(&details, "time_zone", time_zone);
		if (!PG_ARGISNULL(SET_MAX_A_DAY))
			AddNumberDetail(&details, "max_a_day", PG_GETARG_INT32(SET_MAX_A_DAY));
		AddIntervalDetail(&details, "probe_every", PG_GETARG_INTERVAL_P(SET_PROBE_EVERY));
		AddIntervalDetail(&details, "max_age", PG_GETARG_INTERVAL_P(SET_MAX_AGE));
	}
	LogControl(call->schema, call->caller, event, 0, call->reason, EndDetails(&details));
}

/*
 * acteon_replay_policy_set(name text, filters jsonb, rate numeric, canary acteon_canary,
 * quiet_from time, quiet_to time, time_zone text, max_a_day integer, probe_every interval,
 * max_age interval, reason text) → void
 *
 * Sets a policy, in place of one of the same name.  Raises invalid_parameter_value and
 * insufficient_privilege.
 */
Datum
acteon_replay_policy_set(PG_FUNCTION_ARGS)
{
	PolicyCall call;
	text *time_zone = PG_ARGISNULL(SET_TIME_ZONE)
						  ? cstring_to_text(pg_get_timezone_name(session_timezone))
						  : PG_GETARG_TEXT_PP(SET_TIME_ZONE);

	begin_call(&call, fcinfo, "acteon_replay_policy_set()", SET_REASON);
	check_may_replay(&call);
	check_filters(fcinfo);
	check_quiet_hours(fcinfo, time_zone);
	check_numbers(fcinfo);
	(void) canary_argument(fcinfo);
	act_as_owner(&call);
	for (;;)
	{
		bool is_held = hold_policy(&call);

		if (is_held)
			ForgetPolicyProviders(call.schema, call.name, PG_GETARG_JSONB_P(SET_FILTERS));
		if (write_policy(&call, fcinfo, time_zone, is_held))
			break;
		CHECK_FOR_INTERRUPTS();
	}
	log_policy(&call, "policy_set", text_to_cstring(time_zone), fcinfo);
	end_call(&call);
	PG_RETURN_VOID();
}

/*
 * acteon_replay_policy_drop(name text, reason text) → void
 *
 * Drops a policy; its batches go on.  Raises no_data_found, insufficient_privilege and
 * invalid_parameter_value.
 */
Datum
acteon_replay_policy_drop(PG_FUNCTION_ARGS)
{
	PolicyCall call;

	begin_call(&call, fcinfo, "acteon_replay_policy_drop()", 1);
	act_as_owner(&call);
	if (!hold_policy(&call))
		ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND),
						errmsg("policy \"%s\" does not exist", text_to_cstring(call.name)),
						errhint("acteon_replay_policies lists the policies that you may see.")));
	(void) execute(&call, DROP_POLICY, SPI_OK_DELETE);
	DropPolicyProviders(call.schema, call.name);
	log_policy(&call, "policy_drop", NULL, fcinfo);
	end_call(&call);
	PG_RETURN_VOID();
}
