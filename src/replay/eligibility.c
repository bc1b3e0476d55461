/*
 * eligibility.c
 *		Which records are replayed, and why the others are not.
 *
 * Every call judges in the same order.  First the record alone: is it covered
 * by a grant, does it have a payload and all its columns (BeginItems).  Then its
 * action: has it occurred before, is a replay of it in the way (earlier_replays.c
 * finds that out for a replay, forecast.c for a preview; JudgeEarlier decides).
 * Then the limits that end loops of failing replays, and whatever would be replayed
 * wrongly (JudgeActions); at last, if that is asked for, whether it fits into the gateway's
 * chain of hashes (chain_link.c).  The first reason found is the one that counts.
 *
 * A record without a grant or a payload is skipped, as in the gateway; one
 * whose action has a replay already is passed over; one with a reason of its
 * own has failed.
 *
 * The depth of a record is the number of replays between its action and the
 * original: the replay of a replay of an original is two deep.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "base/catalog.h"
#include "base/damaged.h"
#include "base/replay_id.h"
#include "queue/outbox_row.h"
#include "replay/eligibility.h"
#include "replay/expiry.h"
#include "replay/generations.h"

/* What is known about a reason. */
typedef struct ReasonEntry
{
	const char *name; /* for programs */
	ItemStatus status;
	const char *text; /* for people; %s is a column */
} ReasonEntry;

static const ReasonEntry reasons[NUM_REASONS] = {
	[REASON_NONE] = {"none", ITEM_PENDING, NULL},
	[REASON_NO_GRANT] = {"no_grant", ITEM_SKIPPED,
						 gettext_noop("no grant covers this audit record")},
	[REASON_NO_PATCH_GRANT] = {"no_patch_grant", ITEM_SKIPPED,
							   gettext_noop(
								   "no grant permits to patch the payload of this audit record")},
	[REASON_UNREADABLE] = {"unreadable", ITEM_FAILED, gettext_noop("audit record cannot be read")},
	[REASON_INTERNAL] = {"internal", ITEM_FAILED,
						 gettext_noop("audit record is the gateway's own")},
	[REASON_CHAIN] =
		{"chain", ITEM_FAILED,
		 gettext_noop("audit record is of a chain's step or end: replay its chain_started record")},
	[REASON_EFFECTIVE] = {"effective", ITEM_PASSED_OVER,
						  gettext_noop("action took effect, or will")},
	[REASON_NOT_LOST] = {"not_lost", ITEM_PASSED_OVER, gettext_noop("action was not lost")},
	[REASON_UNCERTAIN] = {"uncertain", ITEM_PASSED_OVER,
						  gettext_noop("action may have had an effect")},
	[REASON_UNPROVEN] = {"unproven", ITEM_FAILED,
						 gettext_noop("audit record is an intent: it is not known how it ended")},
	[REASON_EXPIRED] = {STATE_EXPIRED, ITEM_PASSED_OVER, gettext_noop("action has expired")},
	[REASON_NO_PAYLOAD] = {"no_payload", ITEM_SKIPPED,
						   gettext_noop(
							   "audit record has no stored payload (privacy mode was enabled)")},
	[REASON_COLUMN_MISSING] = {"missing", ITEM_FAILED, gettext_noop("audit record has no %s")},
	[REASON_SAME_ACTION] = {"same_action", ITEM_PASSED_OVER,
							gettext_noop("another record of the same action comes before it")},
	[REASON_WAITING] = {STATE_WAITING, ITEM_PASSED_OVER,
						gettext_noop("a replay of the action is waiting")},
	[REASON_RUNNING] = {STATE_RUNNING, ITEM_PASSED_OVER,
						gettext_noop("a replay of the action is running")},
	[REASON_IN_DOUBT] = {STATE_IN_DOUBT, ITEM_PASSED_OVER,
						 gettext_noop("a replay of the action is in doubt")},
	[REASON_NEWER] = {"newer", ITEM_PASSED_OVER,
					  gettext_noop("a later record of the action or its replays is taken")},
	[REASON_DELIVERED] = {STATE_DELIVERED, ITEM_PASSED_OVER,
						  gettext_noop("a replay of the action was delivered")},
	[REASON_SAME_MOMENT] = {"same_moment", ITEM_PASSED_OVER,
							gettext_noop(
								"action was replayed at the same moment, as new_action_id")},
	[REASON_GENERATION] = {"max_generation", ITEM_FAILED, NULL},
	[REASON_DEPTH] = {"max_depth", ITEM_FAILED, NULL},
	[REASON_REDACTED] = {"redacted", ITEM_FAILED, gettext_noop("payload is redacted")},
	[REASON_ATTACHMENTS] = {"attachments", ITEM_FAILED, gettext_noop("attachments are lost")},
	[REASON_MAYBE_ATTACHMENTS] = {"maybe_attachments", ITEM_FAILED,
								  gettext_noop("attachments may be lost")},
	[REASON_NOTIFICATION] = {BATCH_KIND_NOTIFICATION, ITEM_PASSED_OVER,
							 gettext_noop("action is a notification about a batch")},
	[REASON_NO_HASH] = {"no_hash", ITEM_FAILED, gettext_noop("audit record has no hash")},
	[REASON_HASH_MISMATCH] = {"hash_mismatch", ITEM_FAILED,
							  gettext_noop(
								  "audit record does not have the hash of its hashed columns")},
	[REASON_LINK_BROKEN] = {"link_broken", ITEM_FAILED,
							gettext_noop("audit record is not linked to the one before it")},
	[REASON_SEALED] = {"sealed", ITEM_FAILED,
					   gettext_noop("payload is encrypted: it cannot be patched")},
	[REASON_TOO_LARGE] = {"too_large", ITEM_FAILED,
						  gettext_noop("patched payload is larger than the gateway accepts")},
	[REASON_LABELS] = {"labels", ITEM_FAILED, gettext_noop("labels are too large")},
};

/* ----------------------------------------------------------------
 * Reasons
 * ----------------------------------------------------------------
 */

/*
 * The name of a reason, for programs.
 */
const char *
ReasonName(Reason reason)
{
	return reasons[reason].name;
}

/*
 * What becomes of a record for a reason.
 */
ItemStatus
ReasonStatus(Reason reason)
{
	return reasons[reason].status;
}

/*
 * A reason as text, perhaps allocated in the current memory context.  If it is a
 * limit of the query, the text contains the limit, not by how much the record
 * exceeds it, so that there are only as many texts as there are reasons.
 */
const char *
ReasonText(Reason reason, const AuditRecord *record, const ReplayQuery *query)
{
	switch (reason)
	{
		case REASON_COLUMN_MISSING:
			return psprintf(_(reasons[reason].text), record->missing);
		case REASON_UNREADABLE:
			if (record == NULL || record->damage == NULL)
				break;
			return psprintf(_("audit record %s cannot be read: %s"), text_to_cstring(record->id),
							record->damage);
		case REASON_GENERATION:
			return psprintf(ngettext("action was replayed once already",
									 "action was replayed %d times already", query->max_generation),
							query->max_generation);
		case REASON_DEPTH:
			return psprintf(ngettext("action is a replay itself",
									 "action is a replay of a replay, %d deep", query->max_depth),
							query->max_depth);
		default:
			break;
	}
	return _(reasons[reason].text);
}

/*
 * Give an item the reason for which it is not replayed.
 */
void
SetReason(ReplayItem *item, Reason reason, const ReplayQuery *query)
{
	item->reason = reason;
	item->status = reasons[reason].status;
	if (item->status == ITEM_FAILED)
		item->error = ReasonText(reason, item->record, query);
}

/* ----------------------------------------------------------------
 * The record alone
 * ----------------------------------------------------------------
 */

/*
 * Make a judge of a query, in the current memory context, who sees what the
 * calling statement sees.
 */
void
InitJudge(Judge *judge, Oid schema, Grants *grants, const ReplayQuery *query)
{
	judge->context = CurrentMemoryContext;
	judge->schema = schema;
	judge->query = query;
	judge->grants = grants;
	judge->purpose = PreviewPurpose(grants);
	judge->provider_override =
		query->provider_override == NULL ? NULL : cstring_to_text(query->provider_override);
	judge->snapshot = GetActiveSnapshot();
	judge->is_open = false;
}

/*
 * Done with judging.
 */
void
CloseJudge(Judge *judge)
{
	if (judge->is_open)
		CloseActions(&judge->actions);
	judge->is_open = false;
}

/*
 * Whether the caller may replay a record, or patch it.  A grant for that purpose must cover
 * it; and if it is to be sent to another provider, one must cover it with that
 * provider, too.  No grant covers a record that lacks one of its columns.
 */
static bool
may_replay(Judge *judge, GrantPurpose purpose, const AuditRecord *record)
{
	GrantTarget target = RecordTarget(record);

	if (!GrantsCoverRecord(judge->grants, purpose, record))
		return false;
	if (judge->provider_override == NULL)
		return true;
	target.provider = judge->provider_override;
	return GrantsCover(judge->grants, purpose, &target);
}

/*
 * Judge a record by the effect of its action.  Sets *effect where lost is asked
 * for.
 */
static Reason
judge_effect(const ReplayQuery *query, const AuditRecord *record, Effect *effect)
{
	if (query->lost)
	{
		if (!IsLost(record, effect))
			return REASON_NOT_LOST;
		return query->certain && *effect != EFFECT_NONE ? REASON_UNCERTAIN : REASON_NONE;
	}
	if (!query->allow_effective && TookEffect(record))
		return REASON_EFFECTIVE;
	return record->is_intent && !query->allow_unproven ? REASON_UNPROVEN : REASON_NONE;
}

/*
 * Judge a record by its columns, whoever asks.  Sets *effect if lost is requested.
 * Records that are not a client's action, and actions that took effect, are recognized
 * before it is checked whether the record is complete enough for a replay.
 */
Reason
JudgeColumns(const ReplayQuery *query, const AuditRecord *record, Effect *effect)
{
	Reason reason;

	if (record->damage != NULL)
		return REASON_UNREADABLE;
	if (record->missing != NULL)
		return record->has_payload ? REASON_COLUMN_MISSING : REASON_NO_PAYLOAD;
	if (IsChainPart(record))
		return REASON_CHAIN;
	if (IsInternal(record))
		return REASON_INTERNAL;
	reason = judge_effect(query, record, effect);
	if (reason == REASON_NONE && IsTooOld(query, record))
		return REASON_EXPIRED;
	if (reason == REASON_NONE && !record->has_payload)
		return REASON_NO_PAYLOAD;
	return reason;
}

/*
 * Judge a record by the caller's grants and by its columns.  Sets *effect if lost is
 * requested.
 */
Reason
JudgeRecord(Judge *judge, const AuditRecord *record, Effect *effect)
{
	if (!may_replay(judge, judge->purpose, record))
		return REASON_NO_GRANT;
	if (judge->query->change != NULL && !may_replay(judge, GRANT_PATCH, record))
		return REASON_NO_PATCH_GRANT;
	return JudgeColumns(judge->query, record, effect);
}

/*
 * Judge a record by what is in it, which takes longer: payloads may have to be
 * fetched.  Sets *payload if it has looked into that.  A payload that is to be patched is
 * looked into when that is done (patch_payload.c).
 */
Reason
JudgeContents(Judge *judge, const AuditRecord *record, PayloadKind *payload)
{
	if (HasExpired(judge->query, record))
		return REASON_EXPIRED;
	if (!judge->query->allow_redacted && judge->query->change == NULL)
	{
		*payload = InspectPayload(record->payload);
		if (*payload == PAYLOAD_REDACTED)
			return REASON_REDACTED;
	}
	if (judge->query->allow_partial)
		return REASON_NONE;
	if (record->had_attachments)
		return REASON_ATTACHMENTS;
	return record->may_have_had ? REASON_MAYBE_ATTACHMENTS : REASON_NONE;
}

/*
 * Make items of records, each pending or with a reason that its columns give.
 */
void
BeginItems(Judge *judge, ReplayItem *items, const AuditRecord *records, int count)
{
	for (int i = 0; i < count; i++)
	{
		Reason reason;

		memset(&items[i], 0, sizeof(items[i]));
		items[i].record = &records[i];
		reason = JudgeRecord(judge, &records[i], &items[i].effect);
		if (reason != REASON_NONE)
			SetReason(&items[i], reason, judge->query);
	}
}

/* ----------------------------------------------------------------
 * Its action
 * ----------------------------------------------------------------
 */

/*
 * Order of items: by new id; records of one action as they came.
 */
int
CompareItems(const void *a, const void *b)
{
	const ReplayItem *ia = *(ReplayItem *const *) a;
	const ReplayItem *ib = *(ReplayItem *const *) b;
	int order = memcmp(&ia->action_id, &ib->action_id, sizeof(pg_uuid_t));

	return order != 0 ? order : (ia < ib ? -1 : ia > ib);
}

/*
 * Why an action with a replay in the given state is not replayed.
 */
Reason
StateReason(ActionState state)
{
	static const Reason by_state[] = {
		[ACTION_WAITING] = REASON_WAITING,   [ACTION_RUNNING] = REASON_RUNNING,
		[ACTION_IN_DOUBT] = REASON_IN_DOUBT, [ACTION_DELIVERED] = REASON_DELIVERED,
		[ACTION_DEAD] = REASON_NONE,         [ACTION_CANCELLED] = REASON_NONE,
		[ACTION_EXPIRED] = REASON_NONE,
	};

	return by_state[state];
}

/*
 * Judge an item by the latest replay of its action, which has been noted in it.
 * Returns whether that prevents another one.
 *
 * An action that has a replay which is waiting, running, in doubt or delivered
 * is passed over, unless the query includes those; one whose replays are
 * cancelled, expired or dead can be replayed again, and with lost, one whose replay had
 * no effect.  A replay that the calling statement cannot see was made at the
 * same moment, by another session or by the same statement: a second one cannot
 * have been intended, so the action is passed over in any case.  The same holds
 * if the same batch has replayed it, in an earlier transaction.
 */
bool
JudgeEarlier(ReplayItem *item, bool include_replayed, bool lost)
{
	Reason reason = include_replayed ? REASON_NONE : StateReason(item->earlier_state);

	if (lost && item->earlier_had_none)
		reason = REASON_NONE;

	if (item->in_same_batch)
		reason = REASON_SAME_ACTION;
	else if (item->at_same_moment)
		reason = REASON_SAME_MOMENT;
	if (reason == REASON_NONE)
		return false;
	SetReason(item, reason, NULL);
	return true;
}

/*
 * Count the latest replay of an item's action, which is not in the way; one that
 * was cancelled, or has expired, counts as if it had never been made.
 */
void
CountEarlier(ReplayItem *item)
{
	if (item->earlier_state != ACTION_CANCELLED && item->earlier_state != ACTION_EXPIRED)
		item->replays++;
}

/*
 * Open the outbox for following replays back, if it is not open yet.
 */
static void
open_outbox(Judge *judge)
{
	MemoryContext old;

	if (judge->is_open)
		return;
	old = MemoryContextSwitchTo(judge->context);
	OpenActions(&judge->actions, judge->schema);
	judge->is_open = true;
	MemoryContextSwitchTo(old);
}

/*
 * Find the replay with an action id that belongs to the namespace and the tenant
 * of a record: others may use the same id.
 */
static bool
find_replay(Judge *judge, const text *action_id, const AuditRecord *record)
{
	pg_uuid_t id;

	return TextToUuid(VARDATA_ANY(action_id), VARSIZE_ANY_EXHDR(action_id), &id) &&
		   FindAction(&judge->actions, &id, judge->snapshot) == ACTION_FOUND &&
		   OutboxRowIsOf(judge->actions.outbox.slot, record->namespace, record->tenant);
}

/*
 * Whether a record is so deep that it is not replayed.  Only one that carries
 * the label of a replay can be, so the outbox is searched only for these.  A
 * replay that the outbox does not know, because it was purged or because the
 * gateway made it itself, is at least one deep.
 */
static bool
is_too_deep(Judge *judge, const ReplayItem *item)
{
	const text *action_id = item->record->action_id;
	int depth = 0;

	if (!item->is_labelled)
		return false;
	open_outbox(judge);
	while (depth < judge->query->max_depth && find_replay(judge, action_id, item->record))
	{
		bool isnull;

		CHECK_FOR_INTERRUPTS();
		action_id = DatumGetTextPCopy(
			FoundColumn(&judge->actions.outbox, Anum_outbox_original_action_id, &isnull));
		depth++;
	}
	return Max(depth, 1) >= judge->query->max_depth;
}

/* Items whose records are being read. */
typedef struct ContentsReader
{
	Judge *judge;
	ReplayItem *items;
	int count;
	int at; /* the one that is being read */
} ContentsReader;

/*
 * Read all of the records that is needed later, of those items that are pending.
 */
static void
read_contents(void *argument)
{
	ContentsReader *reader = argument;

	for (; reader->at < reader->count; reader->at++)
	{
		ReplayItem *item = &reader->items[reader->at];

		if (item->status != ITEM_PENDING)
			continue;
		CheckReadable(item->record);
		item->is_labelled = IsLabelledReplay(item->record);
		/* Replaying these by a filter would make batches about which others tell, for ever. */
		item->contents = IsLabelledNotification(item->record)
							 ? REASON_NOTIFICATION
							 : JudgeContents(reader->judge, item->record, &item->payload);
	}
}

/*
 * Fail an item whose record is damaged.
 */
static void
fail_damaged(ReplayItem *item, char *damage)
{
	AuditRecord *record = palloc(sizeof(AuditRecord));

	*record = *item->record;
	record->damage = damage;
	item->record = record;
	SetReason(item, REASON_UNREADABLE, NULL);
}

/*
 * Judge the items that are still pending, whose earlier replays have been
 * counted, by the query's limits and by what is in their records.  One that cannot
 * be read fails alone.
 */
void
JudgeActions(Judge *judge, ReplayItem *items, int count)
{
	ContentsReader reader = {judge, items, count, 0};
	char *damage;

	while ((damage = RunGuarded(read_contents, &reader)) != NULL)
		fail_damaged(&items[reader.at++], damage);
	for (int i = 0; i < count; i++)
	{
		ReplayItem *item = &items[i];
		Reason reason;

		if (item->status != ITEM_PENDING)
			continue;
		if (item->contents == REASON_EXPIRED)
			reason = REASON_EXPIRED;
		else if (item->replays >= judge->query->max_generation)
			reason = REASON_GENERATION;
		else if (is_too_deep(judge, item))
			reason = REASON_DEPTH;
		else
			reason = item->contents;
		if (reason != REASON_NONE)
			SetReason(item, reason, judge->query);
	}
}
