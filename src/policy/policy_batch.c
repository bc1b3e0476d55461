/*
 * policy_batch.c
 *		The batches of a policy: what it looks for, replays and steers as its role.
 *
 * All of that are calls of the functions that everybody has, with the policy's query and
 * what is added to it.  Needs an SPI connection.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "executor/spi.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "base/identity.h"
#include "base/jsonb_build.h"
#include "base/settings.h"
#include "batch/probes.h"
#include "policy/policy_batch.h"
#include "query/query.h"

/* Of how many actions one is drawn as a probe, and among how many records these are first looked for. */
#define PROBE_SAMPLE 100
#define PROBE_RECORDS 1000

/* The window of the circuit breaker of its batches, unless the filters say otherwise. */
#define POLICY_BREAKER_WINDOW 10

/* How long a step waits for another transaction at most, in milliseconds. */
#define MOST_LOCK_WAIT 1000

/* Run as the policy's role: $1 is its query, $2 what is added, $3 the number of samples. */
#define PREVIEW "SELECT %1$s.acteon_replay_preview($1 || $2, $3)"
#define REPLAY "SELECT %1$s.acteon_replay_bulk($1 || $2)"

/* Run as the policy's role: $1 is the batch, $2 the reason; %2$s is the function. */
#define STEER "SELECT FROM %1$s.%2$s($1, $2)"

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
bool
PolicyStoppedIt(const Policy *policy, const Provider *provider, const char *why)
{
	return provider->is_ours && provider->stop_reason != NULL &&
		   strcmp(provider->stop_reason, steering_reason(policy, why)) == 0;
}

/*
 * Pause, resume or cancel the batch.
 */
void
SteerPolicyBatch(const Policy *policy, const Provider *provider, const char *function,
				 const char *why)
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
static int64
number_in(JsonbContainer *answer, const char *name)
{
	JsonbValue value;

	if (!find_member(answer, name, &value))
		elog(ERROR, "no \"%s\" in an answer", name);
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(value.val.numeric)));
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

	PushString(&state, "reason",
			   policy->reason != NULL ? policy->reason : psprintf("policy %s", policy->name));
	answer = call_with_query(policy, REPLAY, end_query(state), -1);
	provider->cursor = text_in(&answer->root, "next_cursor");
	if (number_in(&answer->root, "replayed") == 0)
		return false;
	provider->batch_id = number_in(&answer->root, "batch_id");
	if (is_probe)
		MarkProbe(policy->schema, provider->batch_id, policy->name);
	provider->is_probe = is_probe;
	provider->is_ours = false;
	policy->day_actions += number_in(&answer->root, "replayed");
	return true;
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
 * Choose an action of the provider that can be replayed and is no failed probe, at random;
 * NULL if there is none.
 */
char *
DrawPolicyProbe(const Policy *policy, const Provider *provider)
{
	char *id = draw_action(policy, provider, PROBE_RECORDS);

	return id != NULL ? id : draw_action(policy, provider, 0);
}

/*
 * Replay one action as a probe; again, if it was one before.  Returns false if it was replayed
 * otherwise meanwhile.
 */
bool
MakePolicyProbe(Policy *policy, Provider *provider, char *id, bool again)
{
	JsonbParseState *state = begin_query(policy, provider);

	push_ids(&state, list_make1(id));
	if (again)
		lift_limits(&state);
	PushString(&state, "canary", CANARY_OFF);
	PushNumber(&state, "breaker_window", 0);
	return make_batch(policy, provider, state, true);
}

/*
 * Add what every batch but a probe has: its size, the rate, and the circuit breaker unless
 * the filters have one.
 */
static void
push_pace(JsonbParseState **state, const Policy *policy, int limit)
{
	PushNumber(state, "limit", limit);
	if (policy->rate != NULL)
		PushNumeric(state, "rate", policy->rate);
	if (!policy->has_breaker)
		PushNumber(state, "breaker_window", POLICY_BREAKER_WINDOW);
}

/*
 * Replay actions that were probes.
 */
void
ReplayPolicyProbed(Policy *policy, Provider *provider, List *ids)
{
	JsonbParseState *state = begin_query(policy, provider);

	push_ids(&state, ids);
	lift_limits(&state);
	push_pace(&state, policy, list_length(ids));
	PushString(&state, "canary", CANARY_OFF);
	(void) make_batch(policy, provider, state, false);
}

/*
 * Replay the next records of the sweep, so many at most; returns whether there is a batch now.
 * The provider's cursor is moved behind them; it is NULL at the end.
 */
bool
ReplayPolicyRecords(Policy *policy, Provider *provider, int limit)
{
	JsonbParseState *state = begin_query(policy, provider);
	bool is_first = provider->cursor == NULL;

	push_pace(&state, policy, limit);
	PushString(&state, "cursor", provider->cursor);
	PushString(&state, "canary", is_first && policy->canary ? CANARY_AUTO : CANARY_OFF);
	return make_batch(policy, provider, state, false);
}

/*
 * Whether anything of a provider can be replayed, without what begin_query leaves out.
 */
bool
AnyReplayable(const Policy *policy, const Provider *provider)
{
	Jsonb *answer = call_with_query(policy, PREVIEW, end_query(begin_query(policy, provider)), 0);

	return number_in(&answer->root, "replayable") > 0;
}

/*
 * The names of the providers of which something was lost that can be replayed.
 */
List *
ListProvidersWithLosses(const Policy *policy)
{
	Jsonb *answer = call_with_query(policy, PREVIEW, end_query(begin_query(policy, NULL)), 0);
	List *providers = NIL;
	JsonbValue by;
	JsonbValue names;
	JsonbValue name;
	JsonbIterator *it;

	if (!find_member(&answer->root, "by", &by) ||
		!find_member(by.val.binary.data, "provider", &names))
		return NIL;
	it = JsonbIteratorInit(names.val.binary.data);
	(void) JsonbIteratorNext(&it, &name, true); /* the object itself */
	while (JsonbIteratorNext(&it, &name, true) == WJB_KEY)
	{
		JsonbValue counts;

		(void) JsonbIteratorNext(&it, &counts, true);
		if (number_in(counts.val.binary.data, "replayable") > 0)
			providers = lappend(providers, pnstrdup(name.val.string.val, name.val.string.len));
	}
	return providers;
}
