/*
 * policy_run.c
 *		acteon_replay_policy_run: what is due for the policies.
 *
 * A run looks at each policy and takes the next step, if one is due; it waits for
 * nothing, and another call continues.  So pg_cron can call it every few seconds.  A policy
 * that another run is looking at is left to that one.  What a policy replays is replayed by
 * acteon_replay_bulk, as the role that has set the policy (policy_provider.c).
 *
 * An error in one policy stops this policy for a while, and no other one.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/one_owner.h"
#include "base/subtransaction.h"
#include "base/table_access.h"
#include "policy/policy.h"
#include "query/query.h"

/* How long a policy does nothing after an error. */
#define AFTER_ERROR (1 * USECS_PER_MINUTE)

PG_FUNCTION_INFO_V1(acteon_replay_policy_run);

/*
 * %1$s is the extension's schema; see redrive.c about the search path.  $1 is a name,
 * NULL for all.
 */
#define LIST_POLICIES \
	"SELECT p.name, p.role_oid::oid FROM %1$s.acteon_replay_policy AS p " \
	"WHERE ($1 IS NULL OR p.name = $1) ORDER BY p.name"

/* A policy that no other run is looking at.  Nothing in it can fail. */
#define TAKE_POLICY \
	"SELECT p.role_oid::oid, p.disabled, p.retry_at " \
	"FROM %1$s.acteon_replay_policy AS p WHERE p.name = $1 FOR NO KEY UPDATE SKIP LOCKED"

/* What the role itself has set with ALTER ROLE, in this database or in all; NULL: nothing. */
#define ROLE_SETTING(name) \
	"(SELECT substr(c, length(name) + 2) FROM pg_db_role_setting AS d, unnest(d.setconfig) AS c," \
	"	lower(split_part(c, '=', 1)) AS name " \
	"WHERE d.setrole = p.role_oid::oid AND name = '" name "' AND d.setdatabase IN (0," \
	"	(SELECT t.oid FROM pg_database AS t WHERE t.datname = current_database())) " \
	"ORDER BY d.setdatabase DESC LIMIT 1)"

/*
 * What it is, with its time zone's day; what was replayed on an earlier day and has not ended
 * counts for this one.  The time zone may be gone.
 */
#define READ_POLICY \
	"SELECT p.query, p.rate, p.canary, p.quiet_from, p.quiet_to, p.time_zone," \
	"	coalesce(p.max_a_day, 0), (extract(epoch FROM p.probe_every) * 1000000)::bigint," \
	"	(extract(epoch FROM p.max_age) * 1000000)::bigint, p.reason, p.look_at," \
	"	(pg_catalog.timezone(p.time_zone, $2))::date," \
	"	CASE WHEN p.day = (pg_catalog.timezone(p.time_zone, $2))::date THEN p.day_actions" \
	"		ELSE (SELECT coalesce(sum(b.replayed), 0) FROM %1$s.acteon_replay_policy_provider AS r" \
	"			JOIN %1$s.acteon_replay_batch AS b ON b.id = r.batch_id WHERE r.policy = p.name)::integer END," ROLE_SETTING( \
		"acteon_replay.plan_above") "," ROLE_SETTING("acteon_replay.approval_above") " FROM %1$s.acteon_replay_policy AS p WHERE p.name = $1"

/* $1 name, $2 now, $3 look_at, $4 day, $5 day_actions */
#define LEAVE_POLICY \
	"UPDATE %1$s.acteon_replay_policy SET last_run_at = $2, look_at = $3, day = $4," \
	"	day_actions = $5, error = NULL, retry_at = NULL WHERE name = $1"

/* $1 name, $2 now, $3 disabled, $4 error, $5 retry_at */
#define STOP_POLICY \
	"UPDATE %1$s.acteon_replay_policy SET last_run_at = $2, disabled = $3, error = $4," \
	"	retry_at = $5 WHERE name = $1"

/* Columns of TAKE_POLICY. */
enum
{
	TAKE_ROLE = 1,
	TAKE_DISABLED,
	TAKE_RETRY_AT
};

/* Columns of READ_POLICY. */
enum
{
	READ_QUERY = 1,
	READ_RATE,
	READ_CANARY,
	READ_QUIET_FROM,
	READ_QUIET_TO,
	READ_TIME_ZONE,
	READ_MAX_A_DAY,
	READ_PROBE_EVERY,
	READ_MAX_AGE,
	READ_REASON,
	READ_LOOK_AT,
	READ_DAY,
	READ_DAY_ACTIONS,
	READ_PLAN_ABOVE,
	READ_APPROVAL_ABOVE
};

/* What is to be done with a policy that was taken. */
typedef struct Taken
{
	Policy policy;
	bool is_disabled;
	TimestampTz retry_at; /* 0: at once */
	Datum day;
} Taken;

/*
 * A column of the row that was fetched, copied into the current memory context.
 */
static Datum
fetched(int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, isnull);
}

/*
 * The same as a text; NULL if it is null.
 */
static char *
fetched_text(int column)
{
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column);
}

/*
 * Read the query of a policy, and the time from which its records are.
 */
static void
read_query(Policy *policy, Jsonb *json)
{
	ReplayQuery query;

	policy->query = json;
	ReadReplayQuery(&query, json, false);
	policy->provider = query.filters[FILTER_PROVIDER];
	policy->override = query.provider_override;
	policy->has_breaker = OPTION_GIVEN(&query, OPTION_BREAKER_WINDOW);
	policy->from = (OptionalTime){true, policy->now - policy->max_age};
	if (query.from.given && query.from.time > policy->from.time)
		policy->from = query.from;
}

/*
 * Read the quiet hours of the fetched policy, and whether they are on, or are before
 * another run may come.
 */
static void
read_quiet_hours(Policy *policy)
{
	bool isnull;

	policy->quiet.time_zone = cstring_to_text(fetched_text(READ_TIME_ZONE));
	policy->quiet.from = DatumGetTimeADT(fetched(READ_QUIET_FROM, &isnull));
	policy->quiet.given = !isnull;
	policy->quiet.to = DatumGetTimeADT(fetched(READ_QUIET_TO, &isnull));
	policy->is_quiet = IsQuiet(&policy->quiet, policy->now) ||
					   IsQuiet(&policy->quiet, policy->now + RUN_SECONDS * USECS_PER_SEC);
}

/*
 * Lock a policy; returns false if it is gone, or another run has it.
 */
static bool
take_policy(Taken *taken, Datum name)
{
	Policy *policy = &taken->policy;
	Oid type = TEXTOID;
	Datum value;
	bool isnull;

	if (SPI_execute_with_args(psprintf(TAKE_POLICY, policy->quoted_schema), 1, &type, &name, NULL,
							  false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read a policy: %s", SPI_result_code_string(SPI_result));
	if (SPI_processed == 0)
		return false;
	policy->role = DatumGetObjectId(fetched(TAKE_ROLE, &isnull));
	taken->is_disabled = fetched_text(TAKE_DISABLED) != NULL;
	value = fetched(TAKE_RETRY_AT, &isnull);
	taken->retry_at = isnull ? 0 : DatumGetTimestampTz(value);
	return true;
}

/*
 * A number of the role's own settings; -1 if it has not set it.
 */
static int
role_setting(int column)
{
	char *text = fetched_text(column);
	int number;

	return text != NULL && parse_int(text, &number, 0, NULL) ? number : -1;
}

/*
 * Read the policy that was taken.
 */
static void
read_policy(Taken *taken)
{
	Policy *policy = &taken->policy;
	Oid types[] = {TEXTOID, TIMESTAMPTZOID};
	Datum values[] = {CStringGetTextDatum(policy->name), TimestampTzGetDatum(policy->now)};
	Datum value;
	bool isnull;

	if (SPI_execute_with_args(psprintf(READ_POLICY, policy->quoted_schema), 2, types, values, NULL,
							  false, 0) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not read a policy: %s", SPI_result_code_string(SPI_result));
	value = fetched(READ_RATE, &isnull);
	policy->rate = isnull ? NULL : DatumGetNumericCopy(value);
	policy->canary = strcmp(fetched_text(READ_CANARY), CANARY_AUTO) == 0;
	policy->max_a_day = DatumGetInt32(fetched(READ_MAX_A_DAY, &isnull));
	policy->probe_every = DatumGetInt64(fetched(READ_PROBE_EVERY, &isnull));
	policy->max_age = DatumGetInt64(fetched(READ_MAX_AGE, &isnull));
	policy->reason = fetched_text(READ_REASON);
	value = fetched(READ_LOOK_AT, &isnull);
	policy->look_at = isnull ? 0 : DatumGetTimestampTz(value);
	taken->day = fetched(READ_DAY, &isnull);
	policy->day_actions = DatumGetInt32(fetched(READ_DAY_ACTIONS, &isnull));
	policy->plan_above = role_setting(READ_PLAN_ABOVE);
	policy->approval_above = role_setting(READ_APPROVAL_ABOVE);
	read_quiet_hours(policy);
	read_query(policy, DatumGetJsonbPCopy(fetched(READ_QUERY, &isnull)));
}

/*
 * Note in the policy's row that a run of it has succeeded.
 */
static void
leave_policy(const Taken *taken)
{
	const Policy *policy = &taken->policy;
	Oid types[] = {TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, DATEOID, INT4OID};
	Datum values[] = {CStringGetTextDatum(policy->name), TimestampTzGetDatum(policy->now),
					  TimestampTzGetDatum(policy->look_at), taken->day,
					  Int32GetDatum(policy->day_actions)};
	char nulls[] = {' ', ' ', policy->look_at == 0 ? 'n' : ' ', ' ', ' '};

	if (SPI_execute_with_args(psprintf(LEAVE_POLICY, policy->quoted_schema), lengthof(types), types,
							  values, nulls, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not change a policy: %s", SPI_result_code_string(SPI_result));
}

/*
 * Note in the policy's row why it is disabled, or which error stops it for a while; needs
 * nothing of it but its name.
 */
static void
stop_policy(const Policy *policy, const char *disabled, const char *error)
{
	Oid types[] = {TEXTOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TIMESTAMPTZOID};
	Datum values[] = {CStringGetTextDatum(policy->name), TimestampTzGetDatum(policy->now),
					  disabled == NULL ? (Datum) 0 : CStringGetTextDatum(disabled),
					  error == NULL ? (Datum) 0 : CStringGetTextDatum(error),
					  TimestampTzGetDatum(policy->now + AFTER_ERROR)};
	char nulls[] = {' ', ' ', disabled == NULL ? 'n' : ' ', error == NULL ? 'n' : ' ',
					error == NULL ? 'n' : ' '};

	if (SPI_execute_with_args(psprintf(STOP_POLICY, policy->quoted_schema), lengthof(types), types,
							  values, nulls, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not change a policy: %s", SPI_result_code_string(SPI_result));
}

/*
 * Return what was noted of a policy.
 */
static void
return_notes(const Policy *policy, ReturnSetInfo *result)
{
	ListCell *lc;

	foreach (lc, policy->notes)
	{
		const PolicyNote *note = lfirst(lc);
		Datum values[] = {CStringGetTextDatum(policy->name),
						  note->provider == NULL ? (Datum) 0 : CStringGetTextDatum(note->provider),
						  Int64GetDatum(note->batch_id), CStringGetTextDatum(note->what)};
		bool nulls[] = {false, note->provider == NULL, note->batch_id == 0, false};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/*
 * Take the steps of a policy that are due; what TryInSubtransaction calls.
 */
static bool
run_policy(void *argument)
{
	Taken *taken = argument;

	read_policy(taken);
	RunPolicyProviders(&taken->policy);
	leave_policy(taken);
	return true;
}

/*
 * Disable a policy whose role was dropped: nobody's grants are left to replay with, and a
 * later role of the same name is another one.
 */
static void
disable_policy(Taken *taken)
{
	static const char *const why = "the role that set it was dropped";

	ereport(WARNING, (errmsg("policy \"%s\" is disabled: %s", taken->policy.name, why),
					  errhint("Another role can set it again after a superuser has dropped it.")));
	NotePolicy(&taken->policy, NULL, 0, "disabled, as its role was dropped");
	stop_policy(&taken->policy, why, NULL);
}

/*
 * Run a policy, unless another run has it.  An error is kept in its row, and raised again
 * only if the call has to end.
 */
static void
run_one(Taken *taken, Datum name)
{
	Policy *policy = &taken->policy;
	MemoryContext context = CurrentMemoryContext;
	ErrorData *error;

	policy->now = GetCurrentTimestamp();
	policy->name = TextDatumGetCString(name);
	policy->notes = NIL;
	if (!take_policy(taken, name) || taken->is_disabled || taken->retry_at > policy->now)
		return;
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(policy->role)))
	{
		disable_policy(taken);
		return;
	}
	error = TryInSubtransaction(run_policy, taken, context);
	if (error == NULL)
		return;
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
		ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_TRANSACTION_ROLLBACK)
		ReThrowError(error);
	/* Nothing that it did is left. */
	policy->notes = NIL;
	ereport(WARNING,
			(errcode(error->sqlerrcode), errmsg("policy \"%s\": %s", policy->name, error->message),
			 error->detail != NULL ? errdetail("%s", error->detail) : 0,
			 error->hint != NULL ? errhint("%s", error->hint) : 0));
	stop_policy(policy, NULL, error->message);
}

/*
 * The names of the policies that the caller may run, or of the one that is named: those of
 * its own, and of roles whose privileges it inherits.  Superusers may run all.  Raises
 * no_data_found if the one that is named is not among them.
 */
static List *
list_policies(const Policy *policy, Oid caller, Datum name, bool all)
{
	Oid type = TEXTOID;
	char null = all ? 'n' : ' ';
	List *names = NIL;

	if (SPI_execute_with_args(psprintf(LIST_POLICIES, policy->quoted_schema), 1, &type, &name,
							  &null, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the policies: %s", SPI_result_code_string(SPI_result));
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		HeapTuple tuple = SPI_tuptable->vals[row];
		bool isnull;

		if (has_privs_of_role(caller, DatumGetObjectId(
										  SPI_getbinval(tuple, SPI_tuptable->tupdesc, 2, &isnull))))
			names = lappend(names, cstring_to_text(SPI_getvalue(tuple, SPI_tuptable->tupdesc, 1)));
	}
	if (names == NIL && !all)
		ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND),
						errmsg("policy \"%s\" does not exist", TextDatumGetCString(name)),
						errhint("acteon_replay_policies lists the policies that you may see.")));
	return names;
}

/*
 * acteon_replay_policy_run(name text)
 * → setof (policy text, provider text, batch_id bigint, what text)
 *
 * Takes the steps of policies that are due, and returns what it did.  Raises no_data_found.
 */
Datum
acteon_replay_policy_run(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid caller = GetUserId();
	Taken taken = {0};
	Identity saved;
	List *names;
	ListCell *lc;

	PreventCommandDuringRecovery("acteon_replay_policy_run()");
	PreventCommandIfReadOnly("acteon_replay_policy_run()");
	InitMaterializedSRF(fcinfo, 0);
	taken.policy.schema = CalledSchema(fcinfo);
	taken.policy.quoted_schema = quote_identifier(get_namespace_name(taken.policy.schema));
	SwitchIdentity(&saved, TableOwner(OwnTable(taken.policy.schema, POLICY_TABLE)));
	RequireOneOwner(taken.policy.schema);
	LockForWriting(taken.policy.schema, WRITES_OF_POLICIES);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	names = list_policies(&taken.policy, caller, PG_ARGISNULL(0) ? (Datum) 0 : PG_GETARG_DATUM(0),
						  PG_ARGISNULL(0));
	foreach (lc, names)
	{
		CHECK_FOR_INTERRUPTS();
		run_one(&taken, PointerGetDatum(lfirst(lc)));
		return_notes(&taken.policy, result);
	}
	SPI_finish();
	RestoreIdentity(&saved);
	return (Datum) 0;
}
