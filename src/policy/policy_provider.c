/*
 * policy_provider.c
 *		What a policy does for each provider.
 *
 * When something that a provider lost can be replayed, the policy probes: it replays one
 * action.  As long as probes fail, the provider does not work, and the next one follows
 * after probe_every.  An action that takes effect shows that it works again; then the rest
 * is replayed, batch by batch, the next one when the one before has ended.  So a policy has
 * never more than one batch at a time for a provider, which is at most BATCH_SECONDS long.
 *
 * If more than half of a batch fails, or it pauses itself, the provider has failed again:
 * the batch is cancelled, and the next probe follows after a back-off that doubles until a
 * batch succeeds.
 *
 * Failed probes make replays of replays.  At most MAX_PROBED actions serve as probes, in
 * turn, and after a recovery they are replayed last, without the limits max_depth and
 * max_generation; so an outage of whatever length costs no action.  A probe that the
 * provider rejected for good (the gateway's answer says that trying again is useless) says
 * nothing about the provider: another action is tried, and the limits hold.
 *
 * What a person has paused is waited for, and what a person has cancelled is left alone:
 * later batches have only records that are newer than that.  It is the same if that was a
 * part of a batch only: the rest of it goes on, but nothing else is replayed that could
 * belong to the same part.  A batch that was handed over is not steered any more.
 *
 * State is in the table acteon_replay_policy_provider.  Its rows are read and written as the
 * owner of the tables; batches are made and steered as the policy's role.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "access/grants.h"
#include "base/jsonb_build.h"
#include "base/settings.h"
#include "batch/limit_set.h"
#include "batch/probes.h"
#include "policy/policy.h"
#include "query/query.h"
#include "queue/batch_flags.h"

/* How long a batch takes at the policy's rate, at most. */
#define BATCH_SECONDS 60

/* Without a rate, or if it is short, a batch has so many records that are read at most. */
#define BATCH_RECORDS MAX_RECORDS_LIMIT

/* Windows of records with nothing that can be replayed that one run gets past. */
#define MAX_WINDOWS 20

/* Actions that serve as probes. */
#define MAX_PROBED 10

/* Of how many actions one is drawn as a probe, and among how many records these are first looked for. */
#define PROBE_SAMPLE 100
#define PROBE_RECORDS 1000

/* The window of the circuit breaker of its batches, unless the filters say otherwise. */
#define POLICY_BREAKER_WINDOW 10

/* How long nothing is tried after a batch has failed: at first, and at most. */
#define FIRST_BACKOFF (10 * USECS_PER_SEC)
#define LONGEST_BACKOFF (10 * USECS_PER_MINUTE)

/* A probe may be early by one part in so many of probe_every. */
#define EARLY_PARTS 10

/* How long a step waits for another transaction at most, in milliseconds. */
#define MOST_LOCK_WAIT 1000

/* Why the policy pauses and cancels its batches; a person's reason is another one. */
#define QUIET_HOURS "quiet hours"
#define FAILED_AGAIN "the provider failed again"

/* A look at everything that is lost may take one part in so many of the time. */
#define LOOK_PARTS 20

/* What is done for a provider, and the batch that was made last, if it has not been judged. */
typedef struct Provider
{
	const char *name;
	const char *state; /* PROVIDER_… */
	int64 batch_id;    /* 0: none */
	bool is_probe;
	bool is_ours;              /* the policy has paused or cancelled it */
	TimestampTz failing_since; /* 0: it works, as far as is known */
	TimestampTz try_at;        /* of the next probe; 0: at once */
	int failures;              /* batches that failed in a row */
	const char *cursor;        /* where the next batch continues; NULL: at the beginning */
	bool at_end;               /* there is no next batch */
	List *probed;              /* ids of failed probes, char * */
	TimestampTz floor_at;      /* only later records; 0: all */
	TimestampTz sweep_from;    /* since the recovery, records from this time */
	TimestampTz sweep_to;      /* up to this one */
	/* What is read of the batch. */
	bool is_paused;
	bool is_cancelled;
	bool by_person; /* a role has stopped it, not its circuit breaker or canary */
	const char *stop_reason;
	int64 ended;      /* actions of it, without what was cancelled or expired */
	bool has_waiting; /* something of it waits or is out */
	bool is_out;      /* something of it is out, or in doubt */
	int64 failed;
	int64 done;                    /* took effect, or will */
	bool is_rejected;              /* a probe: the provider will never take it */
	const char *probe_id;          /* id of its action */
	bool breaker_is_open;          /* the circuit breaker of the provider that its actions go to */
	bool is_handed_over;           /* the batch, to another role */
	TimestampTz part_cancelled_at; /* when a person last cancelled a part of it; 0: none */
} Provider;

/*
 * %1$s is the extension's schema; see redrive.c about the search path.  $1 is the policy, $2 the
 * provider that takes the place of all others, if there is one.
 */
#define READ_PROVIDERS \
	"SELECT r.provider, r.state, r.batch_id, r.is_probe, r.is_ours, r.failing_since, r.try_at," \
	"	r.failures, r.cursor, r.at_end, r.probed, r.floor_at, r.sweep_from," \
	"	r.sweep_to, coalesce(" IS_PAUSED( \
		"b") ", false)," \
			 "	coalesce(" IS_CANCELLED( \
				 "b") ", false), b.stopped_by IS NOT NULL, b.stop_reason," \
					  "	coalesce(t.ended, 0)::bigint," \
					  "	EXISTS (SELECT FROM %1$s.acteon_dispatch_segment AS s" \
					  "		WHERE s.first_id BETWEEN b.first_outbox_id AND b.last_outbox_id AND s.batch_id = b.id)," \
					  "	EXISTS (SELECT FROM %1$s.acteon_dispatch_segment AS s" \
					  "		WHERE s.first_id BETWEEN b.first_outbox_id AND b.last_outbox_id AND s.batch_id = b.id" \
					  "			AND (s.lease_token IS NOT NULL OR s.doubt_since IS NOT NULL))," \
					  "	coalesce(t.failed, 0)::bigint, coalesce(t.done, 0)::bigint," \
					  "	coalesce(d.rejected, false), d.action_id," \
					  "	EXISTS (SELECT FROM %1$s.acteon_replay_limit AS l WHERE l.kind = 'provider'" \
					  "		AND l.name = coalesce($2, r.provider) AND l.opened_at IS NOT NULL)," \
					  "	coalesce(b.owner_oid::oid <> b.requested_by_oid::oid, false)," \
					  "	CASE WHEN t.cancelled > 0 THEN (SELECT max(l.logged_at) FROM %1$s.acteon_replay_log AS l" \
					  "		WHERE l.batch_id = b.id AND l.event = 'cancel'" \
					  "			AND l.details ?| '{tenant,provider,action_ids}') END " \
					  "FROM %1$s.acteon_replay_policy_provider AS r " \
					  "LEFT JOIN %1$s.acteon_replay_batch AS b ON b.id = r.batch_id " \
					  "LEFT JOIN LATERAL (SELECT" \
					  "		sum(y.actions) FILTER (WHERE %1$s.acteon_is_failure(y.state, y.outcome, y.effect)) AS failed," \
					  "		sum(y.actions) FILTER (WHERE y.effect IN ('done', 'later')) AS done," \
					  "		sum(y.actions) FILTER (WHERE y.state = 'cancelled') AS cancelled," \
					  "		sum(y.actions) FILTER (WHERE y.state NOT IN ('cancelled', 'expired')) AS ended" \
					  "	FROM %1$s.acteon_replay_tally AS y" \
					  "	WHERE y.batch_id = b.id AND y.state <> 'in_doubt') AS t ON true " \
					  "LEFT JOIN LATERAL (SELECT o.action_id::text AS action_id," \
					  "		e.outcome::jsonb -> 'Failed' ->> 'retryable' = 'false' AS rejected" \
					  "	FROM %1$s.acteon_dispatch_outbox AS o" \
					  "	LEFT JOIN %1$s.acteon_dispatch_delivery AS e ON e.outbox_id = o.id" \
					  "	WHERE r.is_probe AND o.id = b.last_outbox_id) AS d ON true " \
					  "WHERE r.policy = $1 ORDER BY r.provider"

/* $1 is the provider, $2 a time; what another transaction has locked changes anyway. */
#define HASTEN_TRIAL \
	"UPDATE %1$s.acteon_replay_limit SET retry_at = $2 WHERE key = (" \
	"	SELECT l.key FROM %1$s.acteon_replay_limit AS l WHERE l.kind = 'provider' AND l.name = $1" \
	"		AND l.opened_at IS NOT NULL AND l.trial_id IS NULL AND l.retry_at > $2" \
	"	FOR UPDATE SKIP LOCKED)"

#define WRITE_PROVIDER \
	"INSERT INTO %1$s.acteon_replay_policy_provider (policy, provider, state, batch_id, is_probe," \
	"	is_ours, failing_since, try_at, failures, cursor, at_end, probed, floor_at," \
	"	sweep_from, sweep_to) " \
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) " \
	"ON CONFLICT (policy, provider) DO UPDATE SET state = excluded.state," \
	"	batch_id = excluded.batch_id, is_probe = excluded.is_probe, is_ours = excluded.is_ours," \
	"	failing_since = excluded.failing_since, try_at = excluded.try_at," \
	"	failures = excluded.failures, cursor = excluded.cursor, at_end = excluded.at_end," \
	"	probed = excluded.probed, floor_at = excluded.floor_at," \
	"	sweep_from = excluded.sweep_from, sweep_to = excluded.sweep_to"

/* Run as the policy's role: $1 is its query, $2 what is added, $3 the number of samples. */
#define PREVIEW "SELECT %1$s.acteon_replay_preview($1 || $2, $3)"
#define REPLAY "SELECT %1$s.acteon_replay_bulk($1 || $2)"

/* Run as the policy's role: $1 is the batch, $2 the reason; %2$s is the function. */
#define STEER "SELECT FROM %1$s.%2$s($1, $2)"

/*
 * A column of a fetched row, which moves to the next one.
 */
static Datum
next_column(uint64 row, int *column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, ++*column, isnull);
}

static char *
next_text(uint64 row, int *column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, ++*column);
}

static int64
next_number(uint64 row, int *column)
{
	bool isnull;
	Datum value = next_column(row, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

static bool
next_flag(uint64 row, int *column)
{
	bool isnull;

	return DatumGetBool(next_column(row, column, &isnull));
}

/*
 * A list of the texts in the next column.
 */
static List *
next_texts(uint64 row, int *column)
{
	bool isnull;
	Datum array = next_column(row, column, &isnull);
	Datum *texts;
	int count;
	List *list = NIL;

	if (isnull)
		return NIL;
	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &texts, NULL,
					  &count);
	for (int i = 0; i < count; i++)
		list = lappend(list, TextDatumGetCString(texts[i]));
	return list;
}

/*
 * Read a provider from a row of READ_PROVIDERS.
 */
static Provider *
read_provider(uint64 row)
{
	Provider *provider = palloc0(sizeof(Provider));
	int column = 0;
	bool isnull;

	provider->name = next_text(row, &column);
	provider->state = next_text(row, &column);
	provider->batch_id = next_number(row, &column);
	provider->is_probe = next_flag(row, &column);
	provider->is_ours = next_flag(row, &column);
	provider->failing_since = next_number(row, &column);
	provider->try_at = next_number(row, &column);
	provider->failures = DatumGetInt32(next_column(row, &column, &isnull));
	provider->cursor = next_text(row, &column);
	provider->at_end = next_flag(row, &column);
	provider->probed = next_texts(row, &column);
	provider->floor_at = next_number(row, &column);
	provider->sweep_from = next_number(row, &column);
	provider->sweep_to = next_number(row, &column);
	provider->is_paused = next_flag(row, &column);
	provider->is_cancelled = next_flag(row, &column);
	provider->by_person = next_flag(row, &column);
	provider->stop_reason = next_text(row, &column);
	provider->ended = next_number(row, &column);
	provider->has_waiting = next_flag(row, &column);
	provider->is_out = next_flag(row, &column);
	provider->failed = next_number(row, &column);
	provider->done = next_number(row, &column);
	provider->is_rejected = next_flag(row, &column);
	provider->probe_id = next_text(row, &column);
	provider->breaker_is_open = next_flag(row, &column);
	provider->is_handed_over = next_flag(row, &column);
	provider->part_cancelled_at = next_number(row, &column);
	return provider;
}

/*
 * The providers that the policy knows.
 */
static List *
read_providers(const Policy *policy)
{
	Oid types[] = {TEXTOID, TEXTOID};
	Datum values[] = {CStringGetTextDatum(policy->name),
					  policy->override == NULL ? (Datum) 0 : CStringGetTextDatum(policy->override)};
	char nulls[] = {' ', policy->override == NULL ? 'n' : ' '};
	List *providers = NIL;

	if (SPI_execute_with_args(psprintf(READ_PROVIDERS, policy->quoted_schema), 2, types, values,
							  nulls, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read a policy: %s", SPI_result_code_string(SPI_result));
	for (uint64 row = 0; row < SPI_processed; row++)
		providers = lappend(providers, read_provider(row));
	SPI_freetuptable(SPI_tuptable);
	return providers;
}

/*
 * Texts as an array.
 */
static Datum
text_array(List *list)
{
	Datum *texts = palloc(Max(list_length(list), 1) * sizeof(Datum));
	ListCell *lc;

	foreach (lc, list)
		texts[foreach_current_index(lc)] = CStringGetTextDatum((char *) lfirst(lc));
	return PointerGetDatum(
		construct_array(texts, list_length(list), TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * Write down how it is with a provider.
 */
static void
write_provider(const Policy *policy, const Provider *provider)
{
	Oid types[] = {TEXTOID, TEXTOID,        TEXTOID,        INT8OID,        BOOLOID,
				   BOOLOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID,        TEXTOID,
				   BOOLOID, TEXTARRAYOID,   TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[] = {CStringGetTextDatum(policy->name),
					  CStringGetTextDatum(provider->name),
					  CStringGetTextDatum(provider->state),
					  Int64GetDatum(provider->batch_id),
					  BoolGetDatum(provider->is_probe),
					  BoolGetDatum(provider->is_ours),
					  TimestampTzGetDatum(provider->failing_since),
					  TimestampTzGetDatum(provider->try_at),
					  Int32GetDatum(provider->failures),
					  provider->cursor == NULL ? (Datum) 0 : CStringGetTextDatum(provider->cursor),
					  BoolGetDatum(provider->at_end),
					  text_array(provider->probed),
					  TimestampTzGetDatum(provider->floor_at),
					  TimestampTzGetDatum(provider->sweep_from),
					  TimestampTzGetDatum(provider->sweep_to)};
	char nulls[lengthof(values)];

	memset(nulls, ' ', sizeof(nulls));
	nulls[3] = provider->batch_id == 0 ? 'n' : ' ';
	nulls[6] = provider->failing_since == 0 ? 'n' : ' ';
	nulls[7] = provider->try_at == 0 ? 'n' : ' ';
	nulls[9] = provider->cursor == NULL ? 'n' : ' ';
	nulls[12] = provider->floor_at == 0 ? 'n' : ' ';
	nulls[13] = nulls[14] = provider->sweep_to == 0 ? 'n' : ' ';
	if (SPI_execute_with_args(psprintf(WRITE_PROVIDER, policy->quoted_schema), lengthof(types),
							  types, values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write a policy: %s", SPI_result_code_string(SPI_result));
}

/*
 * The stricter one of two bounds, of which -1 is none.
 */
static int
stricter(int one, int other)
{
	return one < 0 || other < 0 ? Max(one, other) : Min(one, other);
}

/*
 * Give a setting of superusers a value until RestoreIdentity.
 */
static void
bound_locally(const char *name, int value)
{
	(void) set_config_option(name, psprintf("%d", value), PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
}

/*
 * Run a statement as the policy's role, within the bounds that this role has as well as the
 * session, and without waiting long for other transactions.  NOTICEs are for people who call.
 */
static void
execute_as_role(const Policy *policy, const char *sql, int count, Oid *types, Datum *values)
{
	Identity saved;

	SwitchIdentity(&saved, policy->role);
	SetLocally("client_min_messages", "warning");
	if (LockTimeout == 0 || LockTimeout > MOST_LOCK_WAIT)
		SetLocally("lock_timeout", psprintf("%d", MOST_LOCK_WAIT));
	bound_locally("acteon_replay.plan_above", stricter(PlanAbove, policy->plan_above));
	bound_locally("acteon_replay.approval_above", stricter(ApprovalAbove, policy->approval_above));
	if (SPI_execute_with_args(sql, count, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run a policy: %s", SPI_result_code_string(SPI_result));
	RestoreIdentity(&saved);
}

/*
 * The reason with which the policy steers a batch.
 */
static char *
steering_reason(const Policy *policy, const char *why)
{
	return psprintf("policy %s: %s", policy->name, why);
}

/*
 * Whether the policy has stopped the batch for a reason, and nobody has stopped it in
 * another way since.
 */
static bool
stopped_it(const Policy *policy, const Provider *provider, const char *why)
{
	return provider->is_ours && provider->stop_reason != NULL &&
		   strcmp(provider->stop_reason, steering_reason(policy, why)) == 0;
}

/*
 * Pause, resume or cancel the batch.
 */
static void
steer(const Policy *policy, const Provider *provider, const char *function, const char *why)
{
	Oid types[] = {INT8OID, TEXTOID};
	Datum values[] = {Int64GetDatum(provider->batch_id),
					  CStringGetTextDatum(steering_reason(policy, why))};

	execute_as_role(policy, psprintf(STEER, policy->quoted_schema, function), 2, types, values);
}

/*
 * Run PREVIEW or REPLAY with what is added to the policy's query; returns the answer.
 */
static Jsonb *
call_with_query(const Policy *policy, const char *statement, Jsonb *added, int sample)
{
	Oid types[] = {JSONBOID, JSONBOID, INT4OID};
	Datum values[] = {JsonbPGetDatum(policy->query), JsonbPGetDatum(added), Int32GetDatum(sample)};
	bool isnull;

	execute_as_role(policy, psprintf(statement, policy->quoted_schema), sample < 0 ? 2 : 3, types,
					values);
	return DatumGetJsonbPCopy(
		SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

/*
 * A member of an object; false if there is none, or it is null.
 */
static bool
find_member(JsonbContainer *object, const char *name, JsonbValue *value)
{
	JsonbValue *found = getKeyJsonValueFromContainer(object, name, strlen(name), value);

	return found != NULL && found->type != jbvNull;
}

/*
 * A number in the answer of a call.
 */
static int
number_in(Jsonb *answer, const char *name)
{
	JsonbValue value;

	if (!find_member(&answer->root, name, &value))
		elog(ERROR, "no \"%s\" in an answer", name);
	return DatumGetInt32(DirectFunctionCall1(numeric_int4, NumericGetDatum(value.val.numeric)));
}

/*
 * A text in the answer of a call; NULL if there is none.
 */
static char *
text_in(JsonbContainer *answer, const char *name)
{
	JsonbValue value;

	if (!find_member(answer, name, &value))
		return NULL;
	return pnstrdup(value.val.string.val, value.val.string.len);
}

/*
 * Begin what is added to the policy's query: what was lost, by this provider if one is
 * given, and not too long ago.  A sweep keeps its times, as its cursor is for these.
 */
static JsonbParseState *
begin_query(const Policy *policy, const Provider *provider)
{
	JsonbParseState *state = NULL;
	OptionalTime from = policy->from;
	OptionalTime to = {false, 0};
	JsonbValue lost = {.type = jbvBool, .val.boolean = true};

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	PushKey(&state, "lost");
	pushJsonbValue(&state, WJB_VALUE, &lost);
	if (provider != NULL)
	{
		PushString(&state, "provider", provider->name);
		from.time = Max(from.time, provider->floor_at);
		if (provider->sweep_to != 0)
		{
			from.time = provider->sweep_from;
			to = (OptionalTime){true, provider->sweep_to};
		}
	}
	PushTime(&state, "from", &from);
	if (to.given)
		PushTime(&state, "to", &to);
	return state;
}

static Jsonb *
end_query(JsonbParseState *state)
{
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/*
 * Add ids of actions.
 */
static void
push_ids(JsonbParseState **state, List *ids)
{
	ListCell *lc;

	PushKey(state, "action_ids");
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	foreach (lc, ids)
	{
		JsonbValue id = {.type = jbvString};

		id.val.string.val = lfirst(lc);
		id.val.string.len = strlen(lfirst(lc));
		pushJsonbValue(state, WJB_ELEM, &id);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

/*
 * Add that it does not matter how often actions were replayed: that was the policy's doing.
 */
static void
lift_limits(JsonbParseState **state)
{
	PushNumber(state, "max_generation", LARGEST_INTEGER);
	PushNumber(state, "max_depth", LARGEST_INTEGER);
}

/*
 * Make a batch of what is added to the policy's query; returns whether it has an action.
 */
static bool
make_batch(Policy *policy, Provider *provider, JsonbParseState *state, bool is_probe)
{
	Jsonb *answer;
	JsonbValue value;

	PushString(&state, "reason",
			   policy->reason != NULL ? policy->reason : psprintf("policy %s", policy->name));
	answer = call_with_query(policy, REPLAY, end_query(state), -1);
	provider->cursor = text_in(&answer->root, "next_cursor");
	if (number_in(answer, "replayed") == 0)
		return false;
	if (!find_member(&answer->root, "batch_id", &value))
		elog(ERROR, "no batch in an answer");
	provider->batch_id =
		DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(value.val.numeric)));
	if (is_probe)
		MarkProbe(policy->schema, provider->batch_id, policy->name);
	provider->is_probe = is_probe;
	provider->is_ours = false;
	policy->day_actions += number_in(answer, "replayed");
	return true;
}

/*
 * How many actions the policy may replay at the moment: for so long as a batch lasts, and
 * until the hours become quiet, at its rate; and up to its number a day.
 */
static int
allowance(const Policy *policy)
{
	int seconds = 0;
	double most = BATCH_RECORDS;

	if (policy->is_quiet)
		return 0;
	/* A step is as long as the margin that is_quiet has. */
	while (seconds < BATCH_SECONDS &&
		   !IsQuiet(&policy->quiet, policy->now + (seconds + 30) * USECS_PER_SEC))
		seconds += 15;
	seconds = Max(seconds, 1);
	if (policy->rate != NULL)
		most = Min(most, Max(1, RateValue(policy->rate) * seconds));
	if (policy->max_a_day > 0)
		most = Min(most, policy->max_a_day - policy->day_actions);
	return (int) Max(most, 0);
}

/*
 * Whether an id is among those of failed probes.
 */
static bool
was_probed(const Provider *provider, const char *id)
{
	ListCell *lc;

	foreach (lc, provider->probed)
	{
		if (strcmp(lfirst(lc), id) == 0)
			return true;
	}
	return false;
}

/*
 * Draw an action of the provider that can be replayed and is no failed probe, at random: the
 * oldest may be one that no provider would take.  NULL if there is none among a
 * number of records; 0: among all.
 */
static char *
draw_action(const Policy *policy, const Provider *provider, int records)
{
	JsonbParseState *state = begin_query(policy, provider);
	JsonbValue samples;
	JsonbIterator *it;
	JsonbValue sample;
	Jsonb *answer;
	char *drawn = NULL;
	int seen = 0;

	if (records > 0)
		PushNumber(&state, "limit", records);
	answer = call_with_query(policy, PREVIEW, end_query(state), PROBE_SAMPLE);
	if (!find_member(&answer->root, "sample", &samples))
		return NULL;
	it = JsonbIteratorInit(samples.val.binary.data);
	(void) JsonbIteratorNext(&it, &sample, true); /* the array itself */
	while (JsonbIteratorNext(&it, &sample, true) == WJB_ELEM)
	{
		char *id = text_in(sample.val.binary.data, "action_id");

		if (!was_probed(provider, id) &&
			pg_prng_uint64_range(&pg_global_prng_state, 0, seen++) == 0)
			drawn = id;
	}
	return drawn;
}

/*
 * Nothing is left to do for a provider.
 */
static void
become_idle(Provider *provider)
{
	provider->state = PROVIDER_IDLE;
	provider->failing_since = provider->try_at = 0;
	provider->cursor = NULL;
	provider->at_end = false;
	provider->probed = NIL;
	provider->sweep_from = provider->sweep_to = 0;
}

/*
 * Probe: replay one action.  The first times a new one each, then those in turn.
 */
static void
probe(Policy *policy, Provider *provider)
{
	JsonbParseState *state = begin_query(policy, provider);
	char *id = NULL;
	bool again;

	if (list_length(provider->probed) < MAX_PROBED)
	{
		id = draw_action(policy, provider, PROBE_RECORDS);
		if (id == NULL)
			id = draw_action(policy, provider, 0);
	}
	again = id == NULL && provider->probed != NIL;
	if (again)
	{
		id = linitial(provider->probed);
		provider->probed = list_delete_first(provider->probed);
	}
	if (id == NULL)
	{
		become_idle(provider);
		return;
	}
	push_ids(&state, list_make1(id));
	if (again)
		lift_limits(&state);
	PushString(&state, "canary", CANARY_OFF);
	PushNumber(&state, "breaker_window", 0);
	/* If it was replayed otherwise meanwhile, the next run tries another one. */
	provider->try_at =
		make_batch(policy, provider, state, true) ? policy->now + policy->probe_every : 0;
	provider->cursor = NULL;
}

/*
 * Add what every batch but a probe has: its size, the rate, and the circuit breaker unless
 * the filters have one.
 */
static void
push_pace(JsonbParseState **state, const Policy *policy, int limit)
{
	ReplayQuery query;

	PushNumber(state, "limit", limit);
	if (policy->rate != NULL)
	{
		JsonbValue rate = {.type = jbvNumeric};

		rate.val.numeric = policy->rate;
		PushKey(state, "rate");
		pushJsonbValue(state, WJB_VALUE, &rate);
	}
	ReadReplayQuery(&query, policy->query, false);
	if (!OPTION_GIVEN(&query, OPTION_BREAKER_WINDOW))
		PushNumber(state, "breaker_window", POLICY_BREAKER_WINDOW);
}

/*
 * Replay the actions that were probes, as many as may be, once, when all others have been
 * replayed: if there is one among them that always fails, it must not stop the others.
 */
static void
replay_probed(Policy *policy, Provider *provider)
{
	int count = Min(allowance(policy), list_length(provider->probed));
	JsonbParseState *state = begin_query(policy, provider);
	List *ids = NIL;

	for (; count > 0; count--)
	{
		ids = lappend(ids, linitial(provider->probed));
		provider->probed = list_delete_first(provider->probed);
	}
	push_ids(&state, ids);
	lift_limits(&state);
	push_pace(&state, policy, list_length(ids));
	PushString(&state, "canary", CANARY_OFF);
	(void) make_batch(policy, provider, state, false);
	provider->cursor = NULL;
}

/*
 * Replay the next records of the sweep; returns whether there is a batch now.
 */
static bool
replay_records(Policy *policy, Provider *provider)
{
	JsonbParseState *state = begin_query(policy, provider);
	bool is_first = provider->cursor == NULL;
	bool made;

	push_pace(&state, policy, allowance(policy));
	PushString(&state, "cursor", provider->cursor);
	PushString(&state, "canary", is_first && policy->canary ? CANARY_AUTO : CANARY_OFF);
	made = make_batch(policy, provider, state, false);
	provider->at_end = provider->cursor == NULL;
	return made;
}

/*
 * Replay the next batch.
 */
static void
replay_next(Policy *policy, Provider *provider)
{
	for (int window = 0; window < MAX_WINDOWS && !provider->at_end; window++)
	{
		if (replay_records(policy, provider))
			return;
	}
	if (!provider->at_end)
		return;
	if (provider->probed != NIL)
		replay_probed(policy, provider);
	if (provider->batch_id == 0 && provider->probed == NIL)
	{
		become_idle(provider);
		policy->look_at = 0;
	}
}

/*
 * The provider has failed again: try later, the longer the more often in a row.
 */
static void
fail_again(Policy *policy, Provider *provider, const char *why)
{
	int64 backoff = FIRST_BACKOFF;

	for (int i = 0; i < provider->failures && backoff < LONGEST_BACKOFF; i++)
		backoff *= 2;
	provider->failures++;
	provider->state = PROVIDER_PROBING;
	provider->failing_since = policy->now;
	provider->try_at = policy->now + Min(backoff, LONGEST_BACKOFF);
	provider->cursor = NULL;
	provider->at_end = false;
	provider->sweep_from = provider->sweep_to = 0;
	NotePolicy(policy, provider->name, provider->batch_id,
			   psprintf("stopped, as the provider failed again: %s", why));
}

/*
 * Judge a probe that has ended.
 */
static void
judge_probe(Policy *policy, Provider *provider)
{
	/* The policy has got other filters since. */
	if (strcmp(provider->state, PROVIDER_IDLE) == 0)
		return;
	if (provider->done > 0)
	{
		provider->state = PROVIDER_REPLAYING;
		provider->try_at = 0;
		provider->failing_since = 0;
		provider->sweep_from = Max(policy->from.time, provider->floor_at);
		provider->sweep_to = policy->now;
		NotePolicy(policy, provider->name, provider->batch_id, "a probe took effect: replaying");
		return;
	}
	if (provider->failed == 0 || provider->is_rejected)
		return;
	if (provider->probe_id != NULL)
		provider->probed = lappend(provider->probed, unconstify(char *, provider->probe_id));
	if (provider->failing_since == 0)
	{
		provider->failing_since = policy->now;
		NotePolicy(policy, provider->name, provider->batch_id, "a probe failed: probing");
	}
	else if (provider->failing_since < policy->now - policy->max_age)
	{
		become_idle(provider);
		NotePolicy(policy, provider->name, provider->batch_id,
				   "gave up, as probes have failed for longer than max_age");
	}
}

/*
 * Judge a batch that has ended.
 */
static void
judge_batch(Policy *policy, Provider *provider)
{
	if (provider->failed > 0 && provider->failed * 2 > provider->ended)
		fail_again(policy, provider,
				   psprintf(INT64_FORMAT " of " INT64_FORMAT " actions failed", provider->failed,
							provider->ended));
	else
		provider->failures = 0;
}

/*
 * Let the open circuit breaker of a provider, which holds the probe, hand out its next
 * trial as soon as a probe would have followed: what it hands out is a probe as well.  It
 * holds the batches of all roles, so only a policy whose role may limit the provider does so.
 */
static void
hasten_trial(const Policy *policy, const Provider *provider)
{
	Oid types[] = {TEXTOID, TIMESTAMPTZOID};
	Datum values[] = {CStringGetTextDatum(policy->override != NULL ? policy->override
																   : provider->name),
					  TimestampTzGetDatum(policy->now + policy->probe_every)};

	if (!MayLimit(LoadGrants(policy->role, policy->schema), LIMIT_PROVIDER,
				  DatumGetTextPP(values[0])))
		return;
	if (SPI_execute_with_args(psprintf(HASTEN_TRIAL, policy->quoted_schema), 2, types, values, NULL,
							  false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not change a limit: %s", SPI_result_code_string(SPI_result));
}

/*
 * Stop the batch for good, as the provider has failed again.
 */
static void
give_batch_up(Policy *policy, Provider *provider, const char *why)
{
	fail_again(policy, provider, why);
	steer(policy, provider, "acteon_replay_cancel", FAILED_AGAIN);
	provider->is_ours = true;
}

/*
 * Leave alone what a person has cancelled, at the given time: it is not replayed again.
 */
static void
leave_alone(Policy *policy, Provider *provider, TimestampTz cancelled_at, const char *what)
{
	become_idle(provider);
	provider->floor_at = Max(provider->floor_at, cancelled_at);
	NotePolicy(policy, provider->name, provider->batch_id, what);
}

/*
 * The same for a part of the batch.
 */
static void
leave_part_alone(Policy *policy, Provider *provider)
{
	leave_alone(policy, provider, provider->part_cancelled_at,
				"a part of its batch was cancelled: only later records are replayed");
}

/*
 * Look at the batch that is under way.  Returns whether it is over, and the next step can
 * follow.
 */
static bool
end_batch(Policy *policy, Provider *provider)
{
	if (provider->is_handed_over && !provider->is_cancelled &&
		(provider->is_paused || provider->has_waiting))
	{
		provider->is_ours = false;
		return false;
	}
	if (provider->is_paused)
	{
		if (!provider->by_person)
			give_batch_up(policy, provider,
						  provider->stop_reason != NULL ? provider->stop_reason
														: "its batch paused");
		else if (!stopped_it(policy, provider, QUIET_HOURS))
			provider->is_ours = false;
		else if (!policy->is_quiet)
		{
			steer(policy, provider, "acteon_replay_resume", "quiet hours are over");
			provider->is_ours = false;
		}
		return false;
	}
	if (provider->is_cancelled)
	{
		if (provider->is_out)
			return false;
		if (!stopped_it(policy, provider, FAILED_AGAIN))
			leave_alone(policy, provider, policy->now,
						"its batch was cancelled: only later records are replayed");
		else if (provider->part_cancelled_at != 0)
			leave_part_alone(policy, provider);
	}
	else if (provider->has_waiting)
	{
		if (!policy->is_quiet)
			provider->is_ours = false;
		else if (!provider->is_ours)
		{
			steer(policy, provider, "acteon_replay_pause", QUIET_HOURS);
			provider->is_ours = true;
			return false;
		}
		if (provider->breaker_is_open && provider->is_probe)
			hasten_trial(policy, provider);
		else if (provider->breaker_is_open)
			give_batch_up(policy, provider, "the circuit breaker of the provider opened");
		return false;
	}
	else if (provider->part_cancelled_at != 0)
		leave_part_alone(policy, provider);
	else if (provider->is_probe)
		judge_probe(policy, provider);
	else
		judge_batch(policy, provider);
	provider->batch_id = 0;
	provider->is_ours = false;
	return true;
}

/*
 * Take the next step for a provider, if it is due.
 */
static void
take_step(Policy *policy, Provider *provider)
{
	if (provider->batch_id != 0 && !end_batch(policy, provider))
		return;
	if (policy->provider != NULL && strcmp(policy->provider, provider->name) != 0)
	{
		/* Of earlier filters: nothing more of it is replayed. */
		become_idle(provider);
		return;
	}
	if (allowance(policy) < 1)
		return;
	/* Runs do not come exactly in time: one that is early must not cost another interval. */
	if (strcmp(provider->state, PROVIDER_PROBING) == 0 &&
		provider->try_at <= policy->now + policy->probe_every / EARLY_PARTS)
		probe(policy, provider);
	else if (strcmp(provider->state, PROVIDER_REPLAYING) == 0)
		replay_next(policy, provider);
}

/*
 * Find a provider by its name; a new one if the policy does not know it yet.
 */
static Provider *
find_provider(List **providers, const char *name)
{
	Provider *provider;
	ListCell *lc;

	foreach (lc, *providers)
	{
		provider = lfirst(lc);
		if (strcmp(provider->name, name) == 0)
			return provider;
	}
	provider = palloc0(sizeof(Provider));
	provider->name = name;
	provider->state = PROVIDER_IDLE;
	*providers = lappend(*providers, provider);
	return provider;
}

/*
 * Whether anything of a provider can be replayed since what a person has cancelled.
 */
static bool
has_more(const Policy *policy, const Provider *provider)
{
	if (provider->floor_at == 0 || provider->floor_at < policy->from.time)
		return true;
	return number_in(call_with_query(policy, PREVIEW, end_query(begin_query(policy, provider)), 0),
					 "replayable") > 0;
}

/*
 * Look at everything that is lost, and begin to probe the providers of what can be
 * replayed.
 */
static void
look_for_lost(Policy *policy, List **providers)
{
	Jsonb *answer = call_with_query(policy, PREVIEW, end_query(begin_query(policy, NULL)), 0);
	JsonbValue by;
	JsonbValue names;
	JsonbIterator *it;
	JsonbValue name;

	if (find_member(&answer->root, "by", &by) &&
		find_member(by.val.binary.data, "provider", &names))
	{
		it = JsonbIteratorInit(names.val.binary.data);
		(void) JsonbIteratorNext(&it, &name, true); /* the object itself */
		while (JsonbIteratorNext(&it, &name, true) == WJB_KEY)
		{
			char *key = pnstrdup(name.val.string.val, name.val.string.len);
			JsonbValue counts;
			JsonbValue replayable;
			Provider *provider;

			(void) JsonbIteratorNext(&it, &counts, true);
			if (!find_member(counts.val.binary.data, "replayable", &replayable) ||
				!DatumGetBool(DirectFunctionCall2(numeric_gt,
												  NumericGetDatum(replayable.val.numeric),
												  NumericGetDatum(int64_to_numeric(0)))))
				continue;
			provider = find_provider(providers, key);
			if (strcmp(provider->state, PROVIDER_IDLE) == 0 && provider->batch_id == 0 &&
				has_more(policy, provider))
				provider->state = PROVIDER_PROBING;
		}
	}
	policy->look_at =
		policy->now + Max(policy->probe_every, LOOK_PARTS * (GetCurrentTimestamp() - policy->now));
}

/*
 * Take the steps of a policy that are due.
 */
void
RunPolicyProviders(Policy *policy)
{
	List *providers = read_providers(policy);
	ListCell *lc;

	foreach (lc, providers)
		take_step(policy, lfirst(lc));
	if (policy->look_at <= policy->now && allowance(policy) > 0)
	{
		look_for_lost(policy, &providers);
		foreach (lc, providers)
		{
			Provider *provider = lfirst(lc);

			if (strcmp(provider->state, PROVIDER_PROBING) == 0 && provider->batch_id == 0)
				take_step(policy, provider);
		}
	}
	foreach (lc, providers)
		write_provider(policy, lfirst(lc));
}
