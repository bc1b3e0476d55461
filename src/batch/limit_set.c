/*
 * limit_set.c
 *		acteon_replay_limit_set, acteon_replay_breaker_close and acteon_replay_limits.
 *
 * How limits work is in queue/limit.c, circuit breakers of providers are in
 * provider_breaker.c.  A change is one row, which the next claim reads.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "access/grants.h"
#include "access/visibility.h"
#include "base/catalog.h"
#include "base/identity.h"
#include "base/table_access.h"
#include "base/text.h"
#include "batch/control_log.h"
#include "batch/limit_set.h"
#include "batch/provider_breaker.h"
#include "batch/reason.h"
#include "query/query.h"
#include "queue/limit.h"
#include "queue/wake.h"

/* The largest window of a circuit breaker. */
#define MAX_BREAKER_WINDOW 100000

/* Arguments of acteon_replay_limit_set. */
enum
{
	SET_PROVIDER,
	SET_TENANT,
	SET_RATE,
	SET_CONCURRENCY,
	SET_REASON,
	SET_BREAKER_WINDOW,
	SET_BREAKER_SHARE
};

/* A call that changes a limit. */
typedef struct LimitCall
{
	Oid schema;
	Oid caller;
	Identity saved;
	LimitKind kind;
	text *name;
	const char *reason; /* NULL: none given */
	LimitSet limits;
	SharedLimit *limit; /* NULL: there is no row */
} LimitCall;

PG_FUNCTION_INFO_V1(acteon_replay_limit_refuse);
PG_FUNCTION_INFO_V1(acteon_replay_limit_set);
PG_FUNCTION_INFO_V1(acteon_replay_breaker_close);
PG_FUNCTION_INFO_V1(acteon_replay_read_limits);

/*
 * What a grant must cover to concern everything of a provider or tenant.
 */
static GrantTarget
everything_of(LimitKind kind, const text *name)
{
	const text *any = cstring_to_text("*");
	GrantTarget target = {.tenant = any, .namespace = any, .provider = any, .action_type = any};

	if (kind == LIMIT_PROVIDER)
		target.provider = name;
	else
		target.tenant = name;
	return target;
}

/*
 * Whether a role with these grants may limit a provider or tenant.  Permitted are roles with
 * an admin grant that covers everything of it, and superusers: a limit concerns the batches
 * of all roles.
 */
bool
MayLimit(Grants *grants, LimitKind kind, const text *name)
{
	GrantTarget target = everything_of(kind, name);

	return GrantsEverything(grants) || GrantsCover(grants, GRANT_STEER, &target);
}

/*
 * Refuse a caller who may not limit a provider or tenant.
 */
static void
check_may_limit(const LimitCall *call, Grants *grants)
{
	if (MayLimit(grants, call->kind, call->name))
		return;
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					errmsg("insufficient permissions: %s \"%s\" can be limited by admins",
						   LimitKindNames[call->kind], text_to_cstring(call->name)),
					errdetail("Role \"%s\" has no admin grant that covers everything of it.",
							  GetUserNameFromId(call->caller, false)),
					errhint("acteon_grants shows the grants that there are.")));
}

/*
 * Begin a call: check that the server can write, and the caller's rights; act as the
 * tables' owner until end_call; lock the limits, and read them.
 */
static void
begin_call(LimitCall *call, FunctionCallInfo fcinfo, const char *function, LimitKind kind,
		   text *name, int reason_argument)
{
	Grants *grants;

	PreventCommandDuringRecovery(function);
	PreventCommandIfReadOnly(function);
	call->kind = kind;
	call->name = name;
	call->reason = ReasonArgument(fcinfo, reason_argument);
	call->schema = CalledSchema(fcinfo);
	call->caller = GetUserId();
	grants = LoadGrants(call->caller, call->schema);
	check_may_limit(call, grants);
	SwitchIdentity(&call->saved, TableOwner(OwnTable(call->schema, LIMIT_TABLE)));
	LockForWriting(call->schema, WRITES_LIMITS);
	(void) LockLimits(call->schema, true);
	ReadLimits(&call->limits, call->schema, GetCurrentTimestamp());
	call->limit = FindLimit(&call->limits, kind, name);
}

/*
 * Read the limits again, as another transaction has changed the one at hand.
 */
static void
read_again(LimitCall *call)
{
	CHECK_FOR_INTERRUPTS();
	CloseLimits(&call->limits);
	ReadLimits(&call->limits, call->schema, GetCurrentTimestamp());
	call->limit = FindLimit(&call->limits, call->kind, call->name);
}

/*
 * End a call: be the caller again.
 */
static void
end_call(LimitCall *call)
{
	CloseLimits(&call->limits);
	NotifyConsumers(call->schema);
	CommandCounterIncrement();
	RestoreIdentity(&call->saved);
}

/*
 * Whose limit acteon_replay_limit_set is about, by its first arguments.
 */
static text *
read_subject(FunctionCallInfo fcinfo, LimitKind *kind)
{
	if (PG_ARGISNULL(SET_PROVIDER) == PG_ARGISNULL(SET_TENANT))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("exactly one of provider and tenant must be given"),
						errhint("For example, provider => 'email', rate => 5.")));
	*kind = PG_ARGISNULL(SET_PROVIDER) ? LIMIT_TENANT : LIMIT_PROVIDER;
	return PG_GETARG_TEXT_PP(*kind == LIMIT_PROVIDER ? SET_PROVIDER : SET_TENANT);
}

/*
 * Check the numbers that acteon_replay_limit_set is given.
 */
static void
check_numbers(FunctionCallInfo fcinfo, LimitKind kind)
{
	if (!PG_ARGISNULL(SET_RATE))
		(void) RateValue(PG_GETARG_NUMERIC(SET_RATE));
	if (!PG_ARGISNULL(SET_CONCURRENCY) && PG_GETARG_INT32(SET_CONCURRENCY) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("concurrency must be at least 0"),
				 errhint("With 0 none of the actions is handed out; NULL is no limit.")));
	if (kind == LIMIT_TENANT &&
		(!PG_ARGISNULL(SET_BREAKER_WINDOW) || !PG_ARGISNULL(SET_BREAKER_SHARE)))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("a tenant has no circuit breaker"),
						errhint("Pass breaker_window and breaker_share for a provider only.")));
	if (!PG_ARGISNULL(SET_BREAKER_WINDOW) &&
		(PG_GETARG_INT32(SET_BREAKER_WINDOW) < 0 ||
		 PG_GETARG_INT32(SET_BREAKER_WINDOW) > MAX_BREAKER_WINDOW))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("breaker_window must be between 0 and %d", MAX_BREAKER_WINDOW),
						errhint("0 turns the circuit breaker off.")));
	if (!PG_ARGISNULL(SET_BREAKER_SHARE))
	{
		Numeric given = PG_GETARG_NUMERIC(SET_BREAKER_SHARE);
		double share =
			DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(given)));

		if (numeric_is_nan(given) || !(share >= 0 && share < 1))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("breaker_share must be at least 0 and below 1"),
							errhint("0.5 opens the circuit breaker when more than half failed.")));
	}
}

/*
 * Log what was set.
 */
static void
log_limit(const LimitCall *call, FunctionCallInfo fcinfo)
{
	LogDetails details;

	BeginDetails(&details);
	AddTextDetail(&details, LimitKindNames[call->kind], text_to_cstring(call->name));
	AddNumericDetail(&details, "rate", PG_ARGISNULL(SET_RATE) ? NULL : PG_GETARG_NUMERIC(SET_RATE));
	AddNumericDetail(&details, "concurrency",
					 PG_ARGISNULL(SET_CONCURRENCY)
						 ? NULL
						 : int64_to_numeric(PG_GETARG_INT32(SET_CONCURRENCY)));
	if (!PG_ARGISNULL(SET_BREAKER_WINDOW))
		AddNumberDetail(&details, "breaker_window", PG_GETARG_INT32(SET_BREAKER_WINDOW));
	if (!PG_ARGISNULL(SET_BREAKER_SHARE))
		AddNumericDetail(&details, "breaker_share", PG_GETARG_NUMERIC(SET_BREAKER_SHARE));
	LogControl(call->schema, call->caller, "limit_set", 0, call->reason, EndDetails(&details));
}

/*
 * Fill the columns of a limit's row that a call sets.
 */
static void
fill_row(const LimitCall *call, FunctionCallInfo fcinfo, Datum *row, bool *nulls)
{
	static const struct
	{
		int argument;
		AttrNumber column;
	} given[] = {{SET_RATE, Anum_limit_rate},
				 {SET_CONCURRENCY, Anum_limit_concurrency},
				 {SET_BREAKER_WINDOW, Anum_limit_breaker_window},
				 {SET_BREAKER_SHARE, Anum_limit_breaker_share}};
	TimestampTz now = GetCurrentTimestamp();

	memset(row, 0, Natts_limit * sizeof(Datum));
	memset(nulls, true, Natts_limit * sizeof(bool));
	for (int i = 0; i < lengthof(given); i++)
	{
		row[given[i].column - 1] = PG_GETARG_DATUM(given[i].argument);
		nulls[given[i].column - 1] = PG_ARGISNULL(given[i].argument);
	}
	/* The bucket begins empty: a change must not let a burst through. */
	row[Anum_limit_tokens - 1] = Float8GetDatum(0);
	row[Anum_limit_refilled_at - 1] = TimestampTzGetDatum(now);
	row[Anum_limit_set_by - 1] = RoleName(call->caller);
	row[Anum_limit_set_at - 1] = row[Anum_limit_released_at - 1] = TimestampTzGetDatum(now);
	nulls[Anum_limit_tokens - 1] = nulls[Anum_limit_refilled_at - 1] = false;
	nulls[Anum_limit_set_by - 1] = false;
	nulls[Anum_limit_set_at - 1] = nulls[Anum_limit_released_at - 1] = false;
	if (call->reason != NULL)
		row[Anum_limit_reason - 1] = CStringGetTextDatum(call->reason);
	nulls[Anum_limit_reason - 1] = call->reason == NULL;
}

/*
 * Change the row of a limit to what a call sets.  What it is not given of the circuit
 * breaker stays.
 */
static void
change_row(LimitCall *call, const Datum *row, const bool *nulls)
{
	static const AttrNumber columns[] = {Anum_limit_rate,           Anum_limit_concurrency,
										 Anum_limit_tokens,         Anum_limit_refilled_at,
										 Anum_limit_set_by,         Anum_limit_set_at,
										 Anum_limit_reason,         Anum_limit_released_at,
										 Anum_limit_breaker_window, Anum_limit_breaker_share};
	AttrNumber changed[lengthof(columns)];
	Datum values[lengthof(columns)];
	bool value_nulls[lengthof(columns)];
	int count = 0;

	for (int i = 0; i < lengthof(columns); i++)
	{
		AttrNumber column = columns[i];

		if (nulls[column - 1] &&
			(column == Anum_limit_breaker_window || column == Anum_limit_breaker_share))
			continue;
		changed[count] = column;
		values[count] = row[column - 1];
		value_nulls[count++] = nulls[column - 1];
	}
	while (!ChangeLimit(&call->limits, call->limit, count, changed, values, value_nulls, true))
		read_again(call);
}

/*
 * Close an open circuit breaker that is turned off: nobody would try again.
 */
static void
close_if_off(LimitCall *call, FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(SET_BREAKER_WINDOW) || PG_GETARG_INT32(SET_BREAKER_WINDOW) != 0 ||
		call->limit == NULL || call->limit->opened_at == 0)
		return;
	while (call->limit != NULL && call->limit->opened_at != 0 &&
		   !CloseBreaker(&call->limits, call->limit, call->caller, call->reason, true))
		read_again(call);
	/* The row is changed once more. */
	CommandCounterIncrement();
	read_again(call);
}

/*
 * acteon_replay_limit_set(provider text, tenant text, rate numeric, concurrency integer,
 * reason text, breaker_window integer, breaker_share numeric) → void
 *
 * Limits the actions of a provider or a tenant: to a rate in actions per second, and to
 * a number that may be in flight; NULL is no limit.  Raises insufficient_privilege and
 * invalid_parameter_value.
 */
Datum
acteon_replay_limit_set(PG_FUNCTION_ARGS)
{
	Datum row[Natts_limit];
	bool nulls[Natts_limit];
	LimitCall call;
	LimitKind kind;
	text *name = read_subject(fcinfo, &kind);

	check_numbers(fcinfo, kind);
	begin_call(&call, fcinfo, "acteon_replay_limit_set()", kind, name, SET_REASON);
	close_if_off(&call, fcinfo);
	fill_row(&call, fcinfo, row, nulls);
	if (call.limit == NULL)
		InsertLimit(call.schema, kind, name, row, nulls);
	else
		change_row(&call, row, nulls);
	log_limit(&call, fcinfo);
	end_call(&call);
	PG_RETURN_VOID();
}

/*
 * acteon_replay_breaker_close(provider text, reason text) → boolean
 *
 * Closes the circuit breaker of a provider; returns whether it was open.  Raises
 * insufficient_privilege and invalid_parameter_value.
 */
Datum
acteon_replay_breaker_close(PG_FUNCTION_ARGS)
{
	LimitCall call;
	bool was_open;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("provider must not be null"),
				 errhint("acteon_replay_limits shows the circuit breakers.")));
	begin_call(&call, fcinfo, "acteon_replay_breaker_close()", LIMIT_PROVIDER, PG_GETARG_TEXT_PP(0),
			   1);
	for (;;)
	{
		was_open = call.limit != NULL && call.limit->opened_at != 0;
		if (!was_open || CloseBreaker(&call.limits, call.limit, call.caller, call.reason, true))
			break;
		read_again(&call);
	}
	if (!was_open)
		ereport(NOTICE, (errmsg("the circuit breaker of provider \"%s\" is not open",
								text_to_cstring(call.name))));
	end_call(&call);
	PG_RETURN_BOOL(was_open);
}

/*
 * The limits, and what they count at $1.  %1$s is the extension's schema; see redrive.c
 * about the search path.
 */
#define READ_LIMITS \
	"SELECT l.kind, l.name, l.rate, l.concurrency, coalesce(s.in_flight, 0)::bigint," \
	"	coalesce(s.held, 0)::bigint," \
	"	CASE WHEN l.kind = '" LIMIT_TENANT_NAME \
	"' THEN NULL WHEN l.opened_at IS NOT NULL AND l.trial_id IS NOT NULL" \
	"		THEN 'trial' WHEN l.opened_at IS NOT NULL THEN 'open'" \
	"		WHEN l.breaker_window = 0 THEN 'off' ELSE 'closed' END," \
	"	l.opened_at, l.retry_at, l.open_reason, l.set_by, l.set_at, l.reason " \
	"FROM %1$s.acteon_replay_limit AS l " \
	"LEFT JOIN (SELECT limit_key, sum(n) FILTER (WHERE leased) AS in_flight," \
	"		sum(n) FILTER (WHERE parked_at IS NOT NULL) AS held" \
	"	FROM (SELECT provider_limit AS limit_key, last_id - first_id + 1 AS n, parked_at," \
	"			" SEGMENT_IS_LEASED( \
		"p", \
		"$1") " AS leased" \
			  "		FROM %1$s.acteon_dispatch_segment AS p WHERE provider_limit IS NOT NULL" \
			  "		UNION ALL SELECT tenant_limit, last_id - first_id + 1, parked_at," \
			  "			" SEGMENT_IS_LEASED( \
				  "t", \
				  "$1") "		FROM %1$s.acteon_dispatch_segment AS t WHERE tenant_limit IS NOT NULL) AS segment" \
						"	GROUP BY 1) AS s ON s.limit_key = l.key " \
						"ORDER BY l.kind, l.name"

/*
 * Whether the viewer may see the limit in a row: a limit of a provider or a tenant of
 * which a grant covers everything, or, with a gateway grant or as a superuser, any.
 */
static bool
sees_limit(Viewer *viewer, HeapTuple row, TupleDesc desc)
{
	GrantTarget target;
	bool isnull;
	text *kind = DatumGetTextPP(SPI_getbinval(row, desc, 1, &isnull));
	text *name = DatumGetTextPP(SPI_getbinval(row, desc, 2, &isnull));

	if (SeesAllBatches(viewer))
		return true;
	target =
		everything_of(TextIs(kind, LimitKindNames[LIMIT_TENANT]) ? LIMIT_TENANT : LIMIT_PROVIDER,
					  name);
	return GrantsCover(viewer->grants, GRANT_READ, &target);
}

/*
 * acteon_replay_read_limits() → setof (kind, name, …)
 *
 * The rows of the view acteon_replay_limits that the current role may see.  Reads only.
 * Raises no errors of its own.
 */
Datum
acteon_replay_read_limits(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid type = TIMESTAMPTZOID;
	Datum now = TimestampTzGetDatum(GetCurrentTimestamp());
	Viewer viewer;

	InitMaterializedSRF(fcinfo, 0);
	BeginSight(&viewer, fcinfo);
	if (SPI_execute_with_args(psprintf(READ_LIMITS, viewer.schema), 1, &type, &now, NULL, true,
							  0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the limits: %s", SPI_result_code_string(SPI_result));
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		if (sees_limit(&viewer, SPI_tuptable->vals[row], SPI_tuptable->tupdesc))
			tuplestore_puttuple(result->setResult, SPI_tuptable->vals[row]);
	}
	EndSight(&viewer);
	return (Datum) 0;
}

/*
 * acteon_replay_limit_refuse() → trigger
 *
 * Refuses to delete a limit's row, for all roles: actions that are parked under it would
 * be due no more.
 */
Datum
acteon_replay_limit_refuse(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("acteon_replay_limit_refuse() can only be called as a trigger")));
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("rows of acteon_replay_limit cannot be deleted"),
					errdetail("Actions may be waiting for the limit."),
					errhint("A limit ends with acteon_replay_limit_set, without a rate and a "
							"concurrency.")));
}
