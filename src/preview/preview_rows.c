/*
 * preview_rows.c
 *		acteon_replay_preview for people: one row for each thing to know.
 */
#include "postgres.h"

#include <math.h>

#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "audit/closest_values.h"
#include "audit/executed_since.h"
#include "base/message.h"
#include "batch/canary.h"
#include "preview/preview.h"
#include "query/patch.h"

/* What to show of a reason: an item (NULL: its text), and what can be done. */
typedef struct ReasonWords
{
	const char *item;
	const char *note;
} ReasonWords;

#define INCLUDE_REPLAYED_NOTE "include_replayed => true replays it once more"

static const ReasonWords reason_words[NUM_REASONS] = {
	[REASON_NO_GRANT] =
		{"no grant covers it",
		 "needs an admin or operator grant for its tenant, namespace, provider, type"},
	[REASON_NO_PATCH_GRANT] = {"no grant permits to patch it",
							   "needs an admin grant, or an operator's with may_patch"},
	[REASON_UNREADABLE] = {NULL, "acteon_replay_bulk names the record, and what is damaged"},
	[REASON_INTERNAL] = {NULL, "it is not a client's action"},
	[REASON_CHAIN] = {NULL, "replay the record of the chain's beginning instead"},
	[REASON_EFFECTIVE] = {"took effect, or will", "allow_effective => true repeats it"},
	[REASON_NOT_LOST] = {"not lost", "its action had, or may have had, an effect"},
	[REASON_UNCERTAIN] = {"lost, but not for certain", "without certain it is replayed"},
	[REASON_UNPROVEN] = {NULL, "allow_unproven => true replays it"},
	[REASON_EXPIRED] = {"expired", "too old for expire_after, or its ends_at has passed"},
	[REASON_NO_PAYLOAD] = {"no stored payload", "its client has to dispatch it again"},
	[REASON_COLUMN_MISSING] = {NULL, "the gateway has not written this record"},
	[REASON_SAME_ACTION] = {"another record of the same action", "each action is replayed once"},
	[REASON_WAITING] = {"already replayed: waiting", INCLUDE_REPLAYED_NOTE},
	[REASON_RUNNING] = {"already replayed: running", INCLUDE_REPLAYED_NOTE},
	[REASON_IN_DOUBT] = {"already replayed: in doubt", INCLUDE_REPLAYED_NOTE},
	[REASON_DELIVERED] = {"already replayed: delivered", INCLUDE_REPLAYED_NOTE},
	[REASON_NEWER] = {"a later record of it is taken", "each action is replayed once"},
	[REASON_GENERATION] = {NULL, "a greater max_generation allows more"},
	[REASON_DEPTH] = {NULL, "a greater max_depth allows more"},
	[REASON_REDACTED] = {NULL, "allow_redacted => true sends the placeholder"},
	[REASON_SEALED] = {NULL, "without a patch the relay opens it with the key"},
	[REASON_TOO_LARGE] = {NULL, "the gateway accepts 2 MB"},
	[REASON_ATTACHMENTS] = {NULL, "allow_partial => true sends it without them"},
	[REASON_MAYBE_ATTACHMENTS] = {NULL,
								  "an intent does not show it; allow_partial => true sends it"},
	[REASON_NO_HASH] = {NULL, "it was written outside the gateway's compliance mode"},
	[REASON_HASH_MISMATCH] = {NULL, "acteon_audit_verify shows where the chain does not hold"},
	[REASON_LINK_BROKEN] = {NULL, "that is missing, or has another hash: acteon_audit_verify"},
	[REASON_NOTIFICATION] = {"notification about a batch", "acteon_replay(action_id) replays it"},
};

static const ReasonWords left_out_words[NUM_LEFT_OUT] = {
	[LEFT_OUT_INTENT] = {"intent records",
						 "outcome => '" INTENT_OUTCOME "' finds those without an outcome"},
	[LEFT_OUT_YOUNG] = {"younger than intent_grace", "the gateway may still be executing it"},
	[LEFT_OUT_FINISHED] = {"intent with an outcome", "its other record tells how it ended"},
	[LEFT_OUT_STEP] = {"intent of a chain's step", "its outcome has the id of the chain's action"},
	[LEFT_OUT_FUTURE] = {"dated in the future", "acteon_replay(action_id) replays it"},
	[LEFT_OUT_NO_PLACE] = {"no id or no time", "the gateway has not written this record"},
};

static const char *const breakdown_names[NUM_BREAKDOWNS] = {
	[BY_PROVIDER] = "provider",
	[BY_ACTION_TYPE] = "action type",
	[BY_OUTCOME] = "outcome",
	[BY_TENANT] = "tenant",
};

/* Where rows go. */
typedef struct Sheet
{
	ReturnSetInfo *result;
	const char *section;
} Sheet;

/* No number in a row. */
#define BLANK INT64CONST(-1)

PG_FUNCTION_INFO_V1(acteon_replay_preview);

/*
 * Put out a row.
 */
static void
put_row(Sheet *sheet, const char *item, int64 matched, int64 replayable, const char *note)
{
	Datum values[5] = {0};
	bool nulls[5];

	values[0] = CStringGetTextDatum(sheet->section);
	nulls[0] = false;
	nulls[1] = item == NULL;
	if (item != NULL)
		values[1] = CStringGetTextDatum(item);
	values[2] = Int64GetDatum(matched);
	nulls[2] = matched == BLANK;
	values[3] = Int64GetDatum(replayable);
	nulls[3] = replayable == BLANK;
	nulls[4] = note == NULL;
	if (note != NULL)
		values[4] = CStringGetTextDatum(note);
	tuplestore_putvalues(sheet->result->setResult, sheet->result->setDesc, values, nulls);
}

/*
 * A time as the session shows times.
 */
static char *
show_time(const OptionalTime *time)
{
	return DatumGetCString(DirectFunctionCall1(timestamptz_out, TimestampTzGetDatum(time->time)));
}

/*
 * A duration in its two largest units, rounded up to seconds.
 */
static char *
show_duration(double seconds)
{
	static const struct
	{
		int64 seconds;
		const char *name;
	} units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
	int64 left = (int64) ceil(seconds);
	StringInfoData text;
	int shown = 0;

	initStringInfo(&text);
	for (int i = 0; i < lengthof(units) && shown < 2; i++)
	{
		int64 count = left / units[i].seconds;

		left -= count * units[i].seconds;
		if (count == 0 && shown == 0 && i < lengthof(units) - 1)
			continue;
		if (count > 0 || shown == 0)
			appendStringInfo(&text, "%s" INT64_FORMAT " %s", shown == 0 ? "" : " ", count,
							 units[i].name);
		shown++;
	}
	return text.data;
}

/*
 * How the batch begins, if not with all of its actions.
 */
static void
put_canary(Sheet *sheet, const Preview *preview)
{
	const char *mode = CanaryMode(preview->query->canary, preview->replayable);

	if (mode == NULL || preview->replayable < 2)
		return;
	sheet->section = "canary";
	put_row(sheet, mode, BLANK, BLANK,
			strcmp(mode, CANARY_HOLD) == 0
				? "begins with 1, 2, 5, 20, ... actions, and is paused after each step"
				: "begins with 1, 2, 5, 20, ... actions, and is paused when a step fails");
}

/*
 * What there is in all, and how long it takes.
 */
static void
put_totals(Sheet *sheet, const Preview *preview)
{
	const ReplayQuery *query = preview->query;
	StringInfoData note;
	char *item = pstrdup("no rate");

	sheet->section = "total";
	put_row(sheet, "records", preview->matched, preview->replayable,
			preview->oldest.given
				? psprintf("%s to %s", show_time(&preview->oldest), show_time(&preview->newest))
				: NULL);

	sheet->section = "time";
	initStringInfo(&note);
	if (query->rate_value == 0)
		appendStringInfoString(&note, "as fast as the gateway takes them");
	else
	{
		item = psprintf("%s a second",
						DatumGetCString(
							DirectFunctionCall1(numeric_out, NumericGetDatum(query->rate))));
		appendStringInfoString(&note, show_duration(preview->seconds));
		if (query->ramp)
			appendStringInfoString(&note, ", the first tenth at a tenth of the rate");
	}
	if (query->start_at.given)
		appendStringInfo(&note, ", from %s on", show_time(&query->start_at));
	put_row(sheet, item, BLANK, BLANK, note.data);
	put_canary(sheet, preview);
}

/*
 * Why what is not replayed is not.
 */
static void
put_reasons(Sheet *sheet, const Preview *preview)
{
	sheet->section = "not replayed";
	for (Reason reason = REASON_NONE + 1; reason < NUM_REASONS; reason++)
	{
		const ReasonWords *words = &reason_words[reason];

		if (preview->reasons[reason] == 0)
			continue;
		if (reason != REASON_COLUMN_MISSING)
		{
			put_row(sheet,
					words->item != NULL ? words->item : ReasonText(reason, NULL, preview->query),
					preview->reasons[reason], BLANK, words->note);
			continue;
		}
		for (int i = 0; i < NUM_RECORD_COLUMNS; i++)
		{
			AuditRecord record = {.missing = RecordColumnNames[i]};

			if (preview->missing[i] > 0)
				put_row(sheet, ReasonText(reason, &record, preview->query), preview->missing[i],
						BLANK, words->note);
		}
	}

	sheet->section = "left out";
	for (int i = 0; i < NUM_LEFT_OUT; i++)
	{
		if (preview->left_out[i] > 0)
			put_row(sheet, left_out_words[i].item, preview->left_out[i], BLANK,
					left_out_words[i].note);
	}
}

/*
 * Filters whose value no record was found with, and the closest values that there are.
 */
static void
put_not_found(Sheet *sheet, const Preview *preview)
{
	ListCell *lc;

	sheet->section = "not found";
	if (preview->missing_ids.count > 0)
		put_row(sheet, "action_ids", preview->missing_ids.count, BLANK,
				psprintf("no record has them: %s", NameMissing(&preview->missing_ids)));
	if (preview->missing_exclude_ids.count > 0)
		put_row(sheet, "exclude_ids", preview->missing_exclude_ids.count, BLANK,
				psprintf("no record has them, so they leave nothing out: %s",
						 NameMissing(&preview->missing_exclude_ids)));
	foreach (lc, preview->not_found)
	{
		const NotFound *found = lfirst(lc);

		put_row(sheet, FilterAndValue(found), BLANK, BLANK,
				psprintf("closest existing values: %s", ListClosest(found)));
	}
}

/*
 * What one should know of what is replayed, and of a replay.
 */
static void
put_beware(Sheet *sheet, Preview *preview)
{
	const int64 *counts = preview->beware;
	bool repeats = preview->query->allow_effective;

	sheet->section = "beware";
	if (preview->is_refused)
		put_row(sheet, "a replay is refused", BLANK, BLANK, preview->refusal.message);
	if (counts[BEWARE_EFFECTIVE] > 0)
		put_row(sheet, "took effect, or will", repeats ? BLANK : counts[BEWARE_EFFECTIVE],
				repeats ? counts[BEWARE_EFFECTIVE] : 0,
				repeats ? "allow_effective: it happens once more"
						: "the filters select it as well; it is passed over");
	if (counts[BEWARE_REPLACED] > 0)
		put_row(sheet, "payload is no object", BLANK, counts[BEWARE_REPLACED],
				"the patch replaces it as a whole");
	if (counts[BEWARE_EXPIRES] > 0)
		put_row(sheet, "will expire", BLANK, counts[BEWARE_EXPIRES],
				"estimated: before its turn, at this rate and start_at; it is not sent then");
	if (counts[BEWARE_UNCHAINED] > 0)
		put_row(sheet, "hash or link does not fit", BLANK, counts[BEWARE_UNCHAINED],
				psprintf("%sverify => 'required' leaves it out; acteon_audit_verify shows where",
						 preview->linked < CHAIN_LINK_LIMIT
							 ? ""
							 : psprintf("of the first %d: ", CHAIN_LINK_LIMIT)));
	if (counts[BEWARE_SEALED] > 0)
		put_row(sheet, "sealed payload", BLANK, counts[BEWARE_SEALED],
				"encrypted: the relay needs the key");
	if (counts[BEWARE_DEDUP_KEY] > 0)
		put_row(sheet, "dedup key", BLANK, counts[BEWARE_DEDUP_KEY],
				psprintf("about " INT64_FORMAT
						 " different: the gateway may answer Deduplicated; dedup => 'drop'",
						 DifferentDedupKeys(preview)));
	if (counts[BEWARE_REPLAYED] > 0)
		put_row(sheet, "replayed before", BLANK, counts[BEWARE_REPLAYED],
				preview->query->include_replayed ? "it is replayed once more"
				: preview->query->lost           ? "its replay had no effect, or was not delivered"
												 : "its replay was not delivered");
	if (counts[BEWARE_UNCERTAIN] > 0)
		put_row(sheet, "effect unknown", BLANK, counts[BEWARE_UNCERTAIN],
				"the error does not rule out that it happened; certain => true leaves it out");
	if (counts[BEWARE_EXECUTED] > 0)
		put_row(sheet, "another record executed", BLANK, counts[BEWARE_EXECUTED],
				preview->searched < EXECUTED_SEARCH_LIMIT
					? "the action may have happened already"
					: psprintf("of the first %d: the action may have happened already",
							   EXECUTED_SEARCH_LIMIT));
}

/*
 * Which providers, action types, outcomes and tenants there are.
 */
static void
put_breakdowns(Sheet *sheet, Preview *preview)
{
	for (int by = 0; by < NUM_BREAKDOWNS; by++)
	{
		ValueCount *top;
		ValueCount others;
		int other_values;
		int shown = TopValues(&preview->by[by], SHOWN_VALUES, &top, &others, &other_values);

		sheet->section = breakdown_names[by];
		for (int i = 0; i < shown; i++)
		{
			const text *value = top[i].value;

			put_row(sheet, value == NULL ? "(none)" : ShowText(value), top[i].matched,
					top[i].replayable, NULL);
		}
		if (other_values > 0)
			put_row(sheet, psprintf("%d others", other_values), others.matched, others.replayable,
					NULL);
	}
	if (preview->not_covered > 0)
		put_row(sheet, "(not covered by your grants)", preview->not_covered, 0, NULL);
}

/*
 * Why records were lost.
 */
static void
put_causes(Sheet *sheet, Preview *preview)
{
	Cause **causes;
	int count = TopCauses(preview->causes, &causes);
	int64 matched = UncountedCauses(preview->causes);
	int64 replayable = 0;

	sheet->section = "cause";
	for (int i = 0; i < count; i++)
	{
		if (i < SHOWN_CAUSES)
			put_row(sheet, causes[i]->signature, causes[i]->matched, causes[i]->replayable,
					psprintf("%s %s", ShowText(causes[i]->provider), ShowText(causes[i]->outcome)));
		else
		{
			matched += causes[i]->matched;
			replayable += causes[i]->replayable;
		}
	}
	if (matched > 0)
		put_row(sheet, "others", matched, replayable, "acteon_replay_causes shows them");
}

/*
 * What a patch does, and by what it is known.
 */
static void
put_patch(Sheet *sheet, const Preview *preview)
{
	if (preview->query->change == NULL)
		return;
	sheet->section = "patch";
	put_row(sheet, "changes the payload", BLANK, preview->patched,
			psprintf("sha256 %s", PatchHash(preview->query->change->written)));
	put_row(sheet, "changes nothing", BLANK, preview->replayable - preview->patched,
			"replayed as it is");
}

/*
 * Show a payload, cut if it is long.
 */
static char *
show_payload(Jsonb *payload)
{
	char *text = JsonbToCString(NULL, &payload->root, VARSIZE(payload));

	return ClipForMessage(text, strlen(text));
}

/*
 * The payload of a sample before and after its patch.
 */
static void
put_payloads(Sheet *sheet, const PreviewSample *sample)
{
	if (sample->before == NULL)
		put_row(sheet, "payload", BLANK, BLANK, "too large to be shown");
	else if (!sample->is_patched)
		put_row(sheet, "unchanged", BLANK, BLANK, show_payload(sample->before));
	else
	{
		put_row(sheet, "before", BLANK, BLANK, show_payload(sample->before));
		put_row(sheet, "after", BLANK, BLANK, show_payload(sample->after));
	}
}

/*
 * The samples, the query and the plan.
 */
static void
put_samples(Sheet *sheet, const Preview *preview)
{
	Jsonb *query = QueryToJsonb(preview->query);

	sheet->section = "sample";
	for (int i = 0; i < preview->sample_count; i++)
	{
		const PreviewSample *sample = &preview->samples[i];

		put_row(sheet, ClipForMessage(sample->action_id, strlen(sample->action_id)), BLANK, BLANK,
				psprintf("%s %s %s %s %s%s%s", show_time(&sample->dispatched_at), sample->tenant,
						 sample->provider, sample->action_type, sample->outcome,
						 sample->signer_id != NULL ? ", signed by " : "",
						 sample->signer_id != NULL ? sample->signer_id : ""));
		if (preview->query->change != NULL)
			put_payloads(sheet, sample);
	}
	sheet->section = "query";
	put_row(sheet, NULL, BLANK, BLANK, JsonbToCString(NULL, &query->root, VARSIZE(query)));
	sheet->section = "plan";
	if (preview->plan != NULL)
	{
		OptionalTime expires_at = {true, preview->plan_expires_at};

		put_row(sheet, psprintf("until %s", show_time(&expires_at)), BLANK, BLANK, preview->plan);
	}
}

/*
 * acteon_replay_preview(namespace text, … on_doubt text, sample integer) → setof
 * (section, item, matched, replayable, note)
 *
 * What a replay with the same arguments would do.  Raises the errors of
 * acteon_replay_bulk that are about the arguments, the role and the audit table.
 */
Datum
acteon_replay_preview(PG_FUNCTION_ARGS)
{
	ReplayQuery query;
	Preview preview;
	Sheet sheet = {0};

	InitMaterializedSRF(fcinfo, 0);
	sheet.result = (ReturnSetInfo *) fcinfo->resultinfo;
	ReadReplayArguments(&query, fcinfo, CALL_PREVIEW, 0);
	MakePreview(&preview, fcinfo, &query, OptionPlace(CALL_PREVIEW, OPTION_SAMPLE));
	if (preview.matched == 0)
		NoticeNamespace(&query, "acteon_replay_preview");
	put_totals(&sheet, &preview);
	put_not_found(&sheet, &preview);
	put_reasons(&sheet, &preview);
	put_beware(&sheet, &preview);
	put_patch(&sheet, &preview);
	put_causes(&sheet, &preview);
	put_breakdowns(&sheet, &preview);
	put_samples(&sheet, &preview);
	return (Datum) 0;
}
