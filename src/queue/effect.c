/*
 * effect.c
 *		The effects of outcomes.
 *
 * One table of outcomes serves records of the audit table and answers of the
 * gateway.  The same outcome has a different name in each, and slightly
 * different details: RecordAsAnswer turns a record into an answer.
 *
 * Two rules hold for everything here.  EFFECT_NONE is never returned for an
 * action that may have had an effect, and EFFECT_DONE never for one that may
 * have had none.  Everything that is not certain, and every outcome that a later
 * version of the gateway may introduce, is EFFECT_UNKNOWN.  There are two
 * exceptions.  Providers of the type "log" execute everything with success and
 * do nothing, and nothing in a record distinguishes them.  And a provider that
 * has answered with an error status counts as not having done what was asked.
 */
#include "postgres.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/numeric.h"

#include "base/jsonb_build.h"
#include "base/text.h"
#include "queue/effect.h"

const char *const EffectNames[NUM_EFFECTS] = {
	[EFFECT_DONE] = EFFECT_NAME_DONE,       [EFFECT_NONE] = EFFECT_NAME_NONE,
	[EFFECT_LATER] = EFFECT_NAME_LATER,     [EFFECT_DECIDED] = EFFECT_NAME_DECIDED,
	[EFFECT_UNKNOWN] = EFFECT_NAME_UNKNOWN,
};

/* What the effect of an outcome may depend on, besides its name. */
typedef struct Evidence
{
	JsonbContainer *details; /* NULL: none, or no object */
	const char *provider;    /* NULL: unknown */
	bool has_duration;
	int64 duration_ms;
} Evidence;

/* An outcome that the gateway is known to produce. */
typedef struct OutcomeRule
{
	const char *record; /* its name in records */
	const char *answer; /* its name in answers */
	Effect effect;      /* unless it depends on the details */
	Effect (*depends)(const Evidence *evidence);
	AnswerClass kind;
} OutcomeRule;

static Effect effect_of_execution(const Evidence *evidence);
static Effect effect_of_reroute(const Evidence *evidence);
static Effect effect_of_failure(const Evidence *evidence);

/*
 * Outcomes that are not listed here are EFFECT_UNKNOWN.  On purpose, these
 * include: pending, which only shows that the gateway was about to begin;
 * everything that a chain records after its start; and state_changed and
 * recurring_created, which the gateway defines but does not produce.
 */
static const OutcomeRule rules[] = {
	{EXECUTED_OUTCOME, "Executed", EFFECT_UNKNOWN, effect_of_execution, ANSWER_FINAL},
	{FAILED_OUTCOME, FAILED_ANSWER, EFFECT_UNKNOWN, effect_of_failure, ANSWER_FINAL},
	{CIRCUIT_OPEN_OUTCOME, CIRCUIT_OPEN_ANSWER, EFFECT_NONE, NULL, ANSWER_FINAL},
	{SUPPRESSED_OUTCOME, "Suppressed", EFFECT_DECIDED, NULL, ANSWER_FINAL},
	{SILENCED_OUTCOME, "Silenced", EFFECT_DECIDED, NULL, ANSWER_FINAL},
	{MUTED_OUTCOME, "Muted", EFFECT_DECIDED, NULL, ANSWER_FINAL},
	{REROUTED_OUTCOME, "Rerouted", EFFECT_UNKNOWN, effect_of_reroute, ANSWER_FINAL},
	{THROTTLED_OUTCOME, "Throttled", EFFECT_NONE, NULL, ANSWER_DEFERRED},
	{QUOTA_EXCEEDED_OUTCOME, "QuotaExceeded", EFFECT_NONE, NULL, ANSWER_DEFERRED},
	{DEDUPLICATED_OUTCOME, "Deduplicated", EFFECT_UNKNOWN, NULL, ANSWER_DEDUPLICATED},
	{SCHEDULED_OUTCOME, "Scheduled", EFFECT_LATER, NULL, ANSWER_FINAL},
	{GROUPED_OUTCOME, "Grouped", EFFECT_LATER, NULL, ANSWER_FINAL},
	{PENDING_APPROVAL_OUTCOME, "PendingApproval", EFFECT_LATER, NULL, ANSWER_FINAL},
	{CHAIN_ORIGIN_OUTCOME, "ChainStarted", EFFECT_LATER, NULL, ANSWER_FINAL},
	{DRY_RUN_OUTCOME, "DryRun", EFFECT_NONE, NULL, ANSWER_FINAL},
	/* Not the gateway's: what a consumer makes of the status 409. */
	{NULL, "AlreadyDispatched", EFFECT_UNKNOWN, NULL, ANSWER_DUPLICATE},
	/* Nor this: it was put into a stream, and whoever reads that goes on with it. */
	{NULL, "Published", EFFECT_LATER, NULL, ANSWER_FINAL},
};

/*
 * Codes of failures that come before anything is sent to the provider.  They
 * are those of the last attempt.
 */
static const char *const harmless_codes[] = {
	"PROVIDER_NOT_FOUND", "ATTACHMENT_ERROR", "NOT_FOUND",
	"RATE_LIMITED",       "SERIALIZATION",    "CONFIGURATION",
};

/*
 * How the message of a failed connection begins if the provider is of the
 * generic type "webhook".  That type reports a connection as failed only if it
 * was never made, so that nothing can have been sent; what breaks afterwards is
 * EXECUTION_FAILED.  The native types (slack, teams, …) report as a failed
 * connection whatever broke at any time, and a status 5xx of the provider.  They leave
 * the URL out: it may hold a secret.
 */
#define REFUSED_BEGIN "connection error: error sending request for url (http"

/*
 * Names of native types, which are the names of their providers too.  Versions
 * of the gateway from before June 2026 did not leave the URL out.
 */
static const char *const native_types[] = {
	"slack",    "teams",    "discord", "opsgenie", "pagerduty", "victorops",
	"pushover", "telegram", "wechat",  "twilio",   "swarm",
};
static const char *const native_prefixes[] = {"aws-", "azure-", "gcp-"};

/*
 * The gateway's pauses between the attempts of an action, in milliseconds, and
 * what an attempt that timed out takes at least, less some slack: the time-out
 * is a whole number of seconds.
 */
static const int pauses_ms[] = {100, 220, 480, 1040, 2240, 4800};

#define SHORTEST_TIMEOUT_MS 900

PG_FUNCTION_INFO_V1(acteon_effect);
PG_FUNCTION_INFO_V1(acteon_answer_effect);
PG_FUNCTION_INFO_V1(acteon_answer_name);

/*
 * The effect with a name.
 */
Effect
EffectByName(const text *name)
{
	for (Effect effect = EFFECT_DONE; effect < NUM_EFFECTS; effect++)
	{
		if (TextIs(name, EffectNames[effect]))
			return effect;
	}
	return EFFECT_UNKNOWN;
}

/*
 * Get a member of an object.  Returns false if there is none, or no object.
 */
static bool
get_member(JsonbContainer *object, const char *key, JsonbValue *value)
{
	return object != NULL && getKeyJsonValueFromContainer(object, key, strlen(key), value) != NULL;
}

/*
 * A value as an object; NULL if it is something else.
 */
static JsonbContainer *
as_object(const JsonbValue *value)
{
	if (value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data))
		return value->val.binary.data;
	return NULL;
}

/*
 * Get a member that is an integer.  Returns false if it is not one.
 */
static bool
get_integer(JsonbContainer *object, const char *key, int32 *number)
{
	JsonbValue value;
	bool failed = false;

	if (!get_member(object, key, &value) || value.type != jbvNumeric)
		return false;
	*number = numeric_int4_opt_error(value.val.numeric, &failed);
	return !failed;
}

/*
 * Whether a member is a given string, in whatever case: records have "Success"
 * where answers have "success".
 */
static bool
member_is(JsonbContainer *object, const char *key, const char *string)
{
	JsonbValue value;

	return get_member(object, key, &value) && value.type == jbvString &&
		   value.val.string.len == strlen(string) &&
		   pg_strncasecmp(value.val.string.val, string, value.val.string.len) == 0;
}

/*
 * Effect of what the provider has answered.
 */
static Effect
effect_of_status(JsonbContainer *response)
{
	if (member_is(response, "status", "success"))
		return EFFECT_DONE;
	if (member_is(response, "status", "failure"))
		return EFFECT_NONE;
	return EFFECT_UNKNOWN;
}

static Effect
effect_of_execution(const Evidence *evidence)
{
	return effect_of_status(evidence->details);
}

/*
 * Another provider was asked.  The answer holds what that one has answered, the
 * record does not.
 */
static Effect
effect_of_reroute(const Evidence *evidence)
{
	JsonbValue response;

	if (!get_member(evidence->details, "response", &response))
		return EFFECT_UNKNOWN;
	return effect_of_status(as_object(&response));
}

/*
 * Whether a provider of this name may be of a native type.
 */
static bool
may_be_native(const char *provider)
{
	for (int i = 0; i < lengthof(native_types); i++)
	{
		if (strcmp(provider, native_types[i]) == 0)
			return true;
	}
	for (int i = 0; i < lengthof(native_prefixes); i++)
	{
		if (strncmp(provider, native_prefixes[i], strlen(native_prefixes[i])) == 0)
			return true;
	}
	return false;
}

/*
 * Whether a connection to a webhook could not be made, in the last attempt.
 */
static bool
is_refused_webhook(const Evidence *evidence)
{
	JsonbValue message;

	if (evidence->provider != NULL && may_be_native(evidence->provider))
		return false;
	return get_member(evidence->details, "message", &message) && message.type == jbvString &&
		   message.val.string.len > strlen(REFUSED_BEGIN) &&
		   memcmp(message.val.string.val, REFUSED_BEGIN, strlen(REFUSED_BEGIN)) == 0 &&
		   message.val.string.val[message.val.string.len - 1] == ')';
}

/*
 * Whether none of several attempts can have timed out, because all of them
 * together did not take long enough.
 */
static bool
had_no_timeout(const Evidence *evidence, int32 attempts)
{
	int64 limit = SHORTEST_TIMEOUT_MS;

	if (!evidence->has_duration)
		return false;
	for (int i = 0; i < Min(attempts - 1, (int32) lengthof(pauses_ms)); i++)
		limit += pauses_ms[i];
	return evidence->duration_ms >= 0 && evidence->duration_ms < limit;
}

/*
 * Effect of a failure.  The details are those of the last attempt.  The results
 * of earlier attempts are not known: one may have been a timeout of something
 * that the provider nevertheless did.  A webhook that fails in any other way is
 * not retried.
 */
static Effect
effect_of_failure(const Evidence *evidence)
{
	int32 attempts;

	if (!get_integer(evidence->details, "attempts", &attempts))
		return EFFECT_UNKNOWN;
	if (attempts <= 1)
	{
		for (int i = 0; i < lengthof(harmless_codes); i++)
		{
			if (member_is(evidence->details, "code", harmless_codes[i]))
				return EFFECT_NONE;
		}
	}
	if (member_is(evidence->details, "code", "CONNECTION") && is_refused_webhook(evidence) &&
		(attempts <= 1 || had_no_timeout(evidence, attempts)))
		return EFFECT_NONE;
	return EFFECT_UNKNOWN;
}

/*
 * Find what is known of an outcome, by its name in records; NULL if nothing is.
 */
static const OutcomeRule *
find_record_rule(const char *outcome)
{
	for (int i = 0; i < lengthof(rules); i++)
	{
		if (rules[i].record != NULL && strcmp(rules[i].record, outcome) == 0)
			return &rules[i];
	}
	return NULL;
}

/*
 * The same by its name in answers.
 */
static const OutcomeRule *
find_answer_rule(const char *name)
{
	for (int i = 0; i < lengthof(rules); i++)
	{
		if (strcmp(rules[i].answer, name) == 0)
			return &rules[i];
	}
	return NULL;
}

/*
 * Effect by a rule, if there is one.
 */
static Effect
apply_rule(const OutcomeRule *rule, const Evidence *evidence)
{
	if (rule == NULL)
		return EFFECT_UNKNOWN;
	return rule->depends == NULL ? rule->effect : rule->depends(evidence);
}

/*
 * Whether a record is of something that the gateway did for itself, so that it
 * is no client's action and is never replayed: the management of recurring
 * actions, transitions of A2A tasks, ends and parallel steps of chains,
 * notifications of groups.
 */
bool
IsInternalRecord(const char *provider, const char *action_type)
{
	if (action_type != NULL && strcmp(action_type, "group_notification") == 0)
		return true;
	if (provider == NULL)
		return false;
	if (strcmp(provider, "chain") == 0 || strcmp(provider, "parallel") == 0)
		return true;
	if (action_type == NULL)
		return false;
	return (strcmp(provider, "system") == 0 &&
			strncmp(action_type, "recurring.", strlen("recurring.")) == 0) ||
		   (strcmp(provider, "a2a") == 0 && strcmp(action_type, "a2a.task.transition") == 0);
}

/*
 * Whether a record is of something that never reaches a provider and has
 * nothing to do with an action, even if its id is the same.  Not every internal
 * record is: the notification of a group reaches a provider, and the end of a
 * chain covers steps that have reached one.
 */
bool
IsRecordOfNoAction(const char *provider, const char *action_type)
{
	return provider != NULL && (strcmp(provider, "system") == 0 || strcmp(provider, "a2a") == 0) &&
		   IsInternalRecord(provider, action_type);
}

/*
 * Whether an outcome is of a step or of the end of a chain, which are recorded
 * under the id of the action that has started it.  The start is none of these.
 */
bool
IsChainOutcome(const char *outcome)
{
	return strncmp(outcome, "chain_", strlen("chain_")) == 0 &&
		   strcmp(outcome, CHAIN_ORIGIN_OUTCOME) != 0;
}

/*
 * Whether the gateway took the action of a record for one that it had seen, so
 * that the effect is that of the other one.
 */
bool
IsDeduplicated(const char *outcome)
{
	return strcmp(outcome, DEDUPLICATED_OUTCOME) == 0;
}

/*
 * Whether the gateway is known to write records with this outcome.
 */
bool
IsKnownOutcome(const char *outcome)
{
	return find_record_rule(outcome) != NULL || strcmp(outcome, INTENT_OUTCOME) == 0;
}

/*
 * The effect of a record of the audit table.  A deduplicated one is unknown
 * here; audit_lookup.c looks for the other record.
 */
Effect
EffectOfRecord(const RecordOutcome *record)
{
	Evidence evidence = {.provider = record->provider,
						 .has_duration = record->has_duration,
						 .duration_ms = record->duration_ms};

	if (IsRecordOfNoAction(record->provider, record->action_type))
		return EFFECT_NONE;
	if (record->details != NULL && JB_ROOT_IS_OBJECT(record->details))
		evidence.details = &record->details->root;
	return apply_rule(find_record_rule(record->outcome), &evidence);
}

/*
 * Get the name of the outcome in an answer, and what comes with it: a bare
 * string is the name alone, an object has it as its first key.  The name is
 * empty if it is neither.
 */
static void
take_apart(Jsonb *answer, char *name, JsonbValue *details)
{
	JsonbIterator *it = JsonbIteratorInit(&answer->root);
	JsonbValue value;
	JsonbIteratorToken token;

	name[0] = '\0';
	details->type = jbvNull;
	/* The first token is the object, or the array that a scalar is wrapped into. */
	token = JsonbIteratorNext(&it, &value, true);
	if (token == WJB_BEGIN_OBJECT || value.val.array.rawScalar)
		token = JsonbIteratorNext(&it, &value, true);
	if ((token == WJB_KEY || token == WJB_ELEM) && value.type == jbvString)
	{
		int len = pg_mbcliplen(value.val.string.val, value.val.string.len, NAMEDATALEN - 1);

		memcpy(name, value.val.string.val, len);
		name[len] = '\0';
		if (token == WJB_KEY)
			(void) JsonbIteratorNext(&it, details, true);
	}
}

/*
 * How long an answer asks to wait, in microseconds; -1 if it does not.
 */
static int64
read_retry_after(JsonbContainer *details)
{
	JsonbValue value;
	JsonbContainer *retry_after;
	int32 seconds, nanoseconds;

	if (!get_member(details, "retry_after", &value))
		return -1;
	retry_after = as_object(&value);
	if (!get_integer(retry_after, "secs", &seconds) || seconds < 0)
		return -1;
	if (!get_integer(retry_after, "nanos", &nanoseconds) || nanoseconds < 0)
		nanoseconds = 0;
	return seconds * INT64CONST(1000000) + nanoseconds / 1000;
}

/*
 * Read an answer of the gateway, or what a consumer makes of one, whatever it
 * is: an answer that is not understood has EFFECT_UNKNOWN.
 */
void
ReadAnswer(Jsonb *answer, AnswerReading *reading)
{
	Evidence evidence = {0};
	const OutcomeRule *rule;
	JsonbValue details;

	take_apart(answer, reading->name, &details);
	evidence.details = as_object(&details);
	rule = find_answer_rule(reading->name);
	reading->effect = apply_rule(rule, &evidence);
	reading->kind = rule == NULL ? ANSWER_FINAL : rule->kind;
	reading->retry_after =
		reading->kind == ANSWER_DEFERRED ? read_retry_after(evidence.details) : -1;
}

/*
 * Name of an outcome in answers.  The name of one that is not known follows the
 * gateway's rule: chain_step_failed is ChainStepFailed.
 */
static char *
answer_name(const char *outcome)
{
	const OutcomeRule *rule = find_record_rule(outcome);
	char *name, *to;
	bool begins_word = true;

	if (rule != NULL)
		return pstrdup(rule->answer);
	to = name = palloc(strlen(outcome) + 1);
	for (const char *from = outcome; *from != '\0'; from++)
	{
		if (*from != '_')
			*to++ = begins_word ? pg_toupper((unsigned char) *from) : *from;
		begins_word = *from == '_';
	}
	*to = '\0';
	return name;
}

/*
 * Push the details of a record as an answer has them: a status in small letters,
 * a duration as an object.  All others are the same.
 */
static void
push_details(JsonbParseState **state, const char *name, Jsonb *details)
{
	JsonbValue value;
	int32 seconds;

	if (strcmp(name, "Executed") == 0 && get_member(&details->root, "status", &value) &&
		value.type == jbvString)
	{
		PushKey(state, name);
		pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
		PushString(state, "status", asc_tolower(value.val.string.val, value.val.string.len));
		pushJsonbValue(state, WJB_END_OBJECT, NULL);
		return;
	}
	if (strcmp(name, "Throttled") == 0 && get_integer(&details->root, "retry_after_secs", &seconds))
	{
		PushKey(state, name);
		pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
		PushKey(state, "retry_after");
		pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
		PushNumber(state, "secs", seconds);
		PushNumber(state, "nanos", 0);
		pushJsonbValue(state, WJB_END_OBJECT, NULL);
		pushJsonbValue(state, WJB_END_OBJECT, NULL);
		return;
	}
	PushJsonb(state, name, details);
}

/*
 * Make an answer of a record, in the current memory context: what the gateway
 * has answered, as far as it is recorded.
 */
Jsonb *
RecordAsAnswer(const RecordOutcome *record)
{
	JsonbParseState *state = NULL;
	char *name = answer_name(record->outcome);

	if (IsDeduplicated(record->outcome) || record->details == NULL ||
		!JB_ROOT_IS_OBJECT(record->details))
	{
		JsonbValue bare;

		bare.type = jbvString;
		bare.val.string.val = name;
		bare.val.string.len = strlen(name);
		return JsonbValueToJsonb(&bare);
	}
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_details(&state, name, record->details);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/*
 * acteon_effect(outcome text, details jsonb, provider text, action_type text,
 * duration_ms bigint) → text
 *
 * The effect of a record; NULL without an outcome.
 */
Datum
acteon_effect(PG_FUNCTION_ARGS)
{
	RecordOutcome record = {0};

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	record.outcome = text_to_cstring(PG_GETARG_TEXT_PP(0));
	record.details = PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1);
	record.provider = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	record.action_type = PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3));
	record.has_duration = !PG_ARGISNULL(4);
	record.duration_ms = PG_ARGISNULL(4) ? 0 : PG_GETARG_INT64(4);
	PG_RETURN_TEXT_P(cstring_to_text(EffectNames[EffectOfRecord(&record)]));
}

/*
 * acteon_answer_effect(answer jsonb) → text
 *
 * The effect of an answer of the gateway.
 */
Datum
acteon_answer_effect(PG_FUNCTION_ARGS)
{
	AnswerReading reading;

	ReadAnswer(PG_GETARG_JSONB_P(0), &reading);
	PG_RETURN_TEXT_P(cstring_to_text(EffectNames[reading.effect]));
}

/*
 * acteon_answer_name(answer jsonb) → text
 *
 * The name of the outcome in an answer of the gateway, as ReadAnswer finds it; NULL if
 * there is none.
 */
Datum
acteon_answer_name(PG_FUNCTION_ARGS)
{
	AnswerReading reading;

	ReadAnswer(PG_GETARG_JSONB_P(0), &reading);
	if (reading.name[0] == '\0')
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(reading.name));
}
