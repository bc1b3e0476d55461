/*
 * preview_json.c
 *		acteon_replay_preview for programs: one object.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "audit/closest_values.h"
#include "base/jsonb_build.h"
#include "batch/canary.h"
#include "preview/preview.h"
#include "query/patch.h"

static const char *const left_out_names[NUM_LEFT_OUT] = {
	[LEFT_OUT_INTENT] = "intent", [LEFT_OUT_YOUNG] = "young",   [LEFT_OUT_FINISHED] = "finished",
	[LEFT_OUT_STEP] = "step",     [LEFT_OUT_FUTURE] = "future", [LEFT_OUT_NO_PLACE] = "no_place",
};

static const char *const beware_names[NUM_BEWARE] = {
	[BEWARE_SEALED] = "sealed",
	[BEWARE_DEDUP_KEY] = "dedup_key",
	[BEWARE_REPLAYED] = "replayed_before",
	[BEWARE_EXECUTED] = "executed",
	[BEWARE_UNCERTAIN] = "uncertain",
	[BEWARE_EFFECTIVE] = "effective",
	[BEWARE_REPLACED] = "replaced",
	[BEWARE_EXPIRES] = "will_expire",
	[BEWARE_UNCHAINED] = "unchained",
};

static const char *const breakdown_names[NUM_BREAKDOWNS] = {
	[BY_PROVIDER] = "provider",
	[BY_ACTION_TYPE] = "action_type",
	[BY_OUTCOME] = "outcome",
	[BY_TENANT] = "tenant",
};

PG_FUNCTION_INFO_V1(acteon_replay_preview_jsonb);

/*
 * Push an object, whose members are to follow, as a member.
 */
static void
begin_object(JsonbParseState **state, const char *name)
{
	PushKey(state, name);
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
}

/*
 * Push counts under their names, as an object that has those that are not zero.
 */
static void
push_counts(JsonbParseState **state, const char *name, int count, const char *const *names,
			const int64 *counts)
{
	begin_object(state, name);
	for (int i = 0; i < count; i++)
	{
		if (counts[i] > 0)
			PushNumber(state, names[i], counts[i]);
	}
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/*
 * Push the reasons, each with its number of records.
 */
static void
push_reasons(JsonbParseState **state, const Preview *preview)
{
	const char *names[NUM_REASONS];

	for (Reason reason = REASON_NONE; reason < NUM_REASONS; reason++)
		names[reason] = ReasonName(reason);
	push_counts(state, "not_replayed", NUM_REASONS - 1, names + 1, preview->reasons + 1);
}

/*
 * Push the number of ids of a list without a record, and the first of them.
 */
static void
push_missing(JsonbParseState **state, const char *name, const MissingIds *missing)
{
	begin_object(state, name);
	PushNumber(state, "count", missing->count);
	PushKey(state, "first");
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < NAMED_MISSING && missing->first[i] != NULL; i++)
	{
		JsonbValue id = {.type = jbvString};

		id.val.string.val = missing->first[i];
		id.val.string.len = strlen(missing->first[i]);
		pushJsonbValue(state, WJB_ELEM, &id);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/*
 * Push the time that it takes, null without a rate.
 */
static void
push_seconds(JsonbParseState **state, const Preview *preview)
{
	JsonbValue value;

	if (preview->query->rate_value == 0)
	{
		PushNull(state, "seconds");
		return;
	}
	value.type = jbvNumeric;
	value.val.numeric =
		DatumGetNumeric(DirectFunctionCall1(float8_numeric, Float8GetDatum(preview->seconds)));
	PushKey(state, "seconds");
	pushJsonbValue(state, WJB_VALUE, &value);
}

/*
 * Push how many records have a value, under a name.
 */
static void
push_value(JsonbParseState **state, const char *name, const ValueCount *count)
{
	begin_object(state, name);
	PushNumber(state, "matched", count->matched);
	PushNumber(state, "replayable", count->replayable);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/*
 * Push the breakdowns, and what they do not name: further values of a column,
 * and what the caller may not read.
 */
static void
push_breakdowns(JsonbParseState **state, Preview *preview)
{
	ValueCount others[NUM_BREAKDOWNS];
	int other_values[NUM_BREAKDOWNS];

	begin_object(state, "by");
	for (int by = 0; by < NUM_BREAKDOWNS; by++)
	{
		ValueCount *top;
		int shown = TopValues(&preview->by[by], SHOWN_VALUES, &top, &others[by], &other_values[by]);

		begin_object(state, breakdown_names[by]);
		for (int i = 0; i < shown; i++)
		{
			/* What lacks a column is shown in the reasons. */
			if (top[i].value != NULL)
				push_value(state, text_to_cstring(top[i].value), &top[i]);
		}
		pushJsonbValue(state, WJB_END_OBJECT, NULL);
	}
	pushJsonbValue(state, WJB_END_OBJECT, NULL);

	begin_object(state, "others");
	for (int by = 0; by < NUM_BREAKDOWNS; by++)
	{
		if (other_values[by] > 0)
			push_value(state, breakdown_names[by], &others[by]);
	}
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
	PushNumber(state, "not_covered", preview->not_covered);
}

/*
 * Push the filters whose value no record was found with.
 */
static void
push_not_found(JsonbParseState **state, const Preview *preview)
{
	ListCell *lc;

	PushKey(state, "not_found");
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	foreach (lc, preview->not_found)
	{
		const NotFound *found = lfirst(lc);

		pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
		PushString(state, "filter", TextFilterNames[found->filter]);
		PushString(state, "value", found->value);
		PushKey(state, "closest");
		pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
		for (int i = 0; i < found->count; i++)
		{
			JsonbValue value = {.type = jbvString};

			value.val.string.val = found->closest[i].value;
			value.val.string.len = strlen(found->closest[i].value);
			pushJsonbValue(state, WJB_ELEM, &value);
		}
		pushJsonbValue(state, WJB_END_ARRAY, NULL);
		pushJsonbValue(state, WJB_END_OBJECT, NULL);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

/*
 * Push the causes that are shown.
 */
static void
push_causes(JsonbParseState **state, Preview *preview)
{
	Cause **causes;
	int count = TopCauses(preview->causes, &causes);

	PushKey(state, "causes");
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < Min(count, SHOWN_CAUSES); i++)
	{
		pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
		PushString(state, "provider", text_to_cstring(causes[i]->provider));
		PushString(state, "outcome", text_to_cstring(causes[i]->outcome));
		PushString(state, "signature", causes[i]->signature);
		PushNumber(state, "matched", causes[i]->matched);
		PushNumber(state, "replayable", causes[i]->replayable);
		pushJsonbValue(state, WJB_END_OBJECT, NULL);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

/*
 * Push what a patch does, if there is one: how many payloads it changes, and by what it is
 * known.
 */
static void
push_patch(JsonbParseState **state, const Preview *preview)
{
	if (preview->query->change == NULL)
		return;
	begin_object(state, "patch");
	PushNumber(state, "changed", preview->patched);
	PushNumber(state, "unchanged", preview->replayable - preview->patched);
	PushString(state, "sha256", PatchHash(preview->query->change->written));
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/*
 * Push the payload of a sample before and after its patch; null if it is too large.
 */
static void
push_payloads(JsonbParseState **state, const PreviewSample *sample)
{
	if (sample->before == NULL)
	{
		PushNull(state, "before");
		PushNull(state, "after");
		return;
	}
	PushJsonb(state, "before", sample->before);
	PushJsonb(state, "after", sample->after);
}

/*
 * Push the samples.
 */
static void
push_samples(JsonbParseState **state, const Preview *preview)
{
	PushKey(state, "sample");
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < preview->sample_count; i++)
	{
		const PreviewSample *sample = &preview->samples[i];

		pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
		PushString(state, "action_id", sample->action_id);
		PushString(state, "namespace", sample->namespace);
		PushString(state, "tenant", sample->tenant);
		PushString(state, "provider", sample->provider);
		PushString(state, "action_type", sample->action_type);
		PushString(state, "outcome", sample->outcome);
		PushTime(state, "dispatched_at", &sample->dispatched_at);
		if (sample->signer_id != NULL)
			PushString(state, "signer_id", sample->signer_id);
		if (preview->query->change != NULL)
			push_payloads(state, sample);
		pushJsonbValue(state, WJB_END_OBJECT, NULL);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

/*
 * acteon_replay_preview(query jsonb, sample integer) → jsonb
 *
 * What a replay of the query would do, with the same errors.  Reasons and the
 * like that no record has are left out.
 */
Datum
acteon_replay_preview_jsonb(PG_FUNCTION_ARGS)
{
	ReplayQuery query;
	Preview preview;
	JsonbParseState *state = NULL;

	ReadQueryArgument(&query, fcinfo, true);
	MakePreview(&preview, fcinfo, &query, 1);

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	PushNumber(&state, "matched", preview.matched);
	PushNumber(&state, "replayable", preview.replayable);
	PushTime(&state, "oldest", &preview.oldest);
	PushTime(&state, "newest", &preview.newest);
	push_seconds(&state, &preview);
	PushString(&state, "canary", CanaryMode(query.canary, preview.replayable));
	push_reasons(&state, &preview);
	push_counts(&state, "left_out", NUM_LEFT_OUT, left_out_names, preview.left_out);
	if (query.action_ids.given)
		push_missing(&state, "missing_ids", &preview.missing_ids);
	if (query.exclude_ids.given)
		push_missing(&state, "missing_exclude_ids", &preview.missing_exclude_ids);
	push_counts(&state, "beware", NUM_BEWARE, beware_names, preview.beware);
	PushNumber(&state, "searched", preview.searched);
	push_patch(&state, &preview);
	PushString(&state, "refused", preview.is_refused ? preview.refusal.message : NULL);
	push_not_found(&state, &preview);
	push_breakdowns(&state, &preview);
	push_causes(&state, &preview);
	push_samples(&state, &preview);
	PushJsonb(&state, "query", QueryToJsonb(preview.query));
	PushString(&state, "plan", preview.plan);
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}
