/*
 * replay_many.c
 *		Many records in one transaction: gathered, then enqueued.
 *
 * Records are looked at window by window (window.c).  Those that the call will attempt,
 * at most max_records, are kept without their toasted parts and then enqueued all
 * at once.  So memory follows neither the size of payloads nor the number of
 * records that are passed over, and the call holds nothing while it waits for
 * another one.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "audit/audit_count.h"
#include "audit/audit_scan.h"
#include "base/error_reason.h"
#include "base/text.h"
#include "batch/refused.h"
#include "replay/enqueue.h"
#include "replay/replay_many.h"
#include "replay/window.h"

/*
 * Keep an item, with copies of its record and error in the current memory
 * context.
 */
static void
keep_item(Gathered *gathered, const ReplayItem *item)
{
	ReplayItem *kept = &gathered->items[gathered->count++];
	AuditRecord *record = palloc(sizeof(AuditRecord));

	CopyAuditRecord(record, item->record);
	*kept = *item;
	kept->record = record;
	if (item->error != NULL)
		kept->error = pstrdup(item->error);
}

/*
 * Note the last records that were looked at, and how many there were of their time
 * and id: those before the call's cursor count as well.
 */
static void
note_last(Gathered *gathered, const ReplayQuery *query, const AuditRecord *records, int count)
{
	const AuditRecord *record = &records[count - 1];
	ReplayCursor last = {.dispatched_at = record->dispatched_at};
	int first = count;

	while (first > 0 && records[first - 1].dispatched_at == record->dispatched_at &&
		   SameText(records[first - 1].id, record->id))
		first--;
	last.alike = count - first;
	if (first == 0)
	{
		const ReplayCursor *before = gathered->last.id != NULL ? &gathered->last : &query->cursor;

		if (before->id != NULL && before->dispatched_at == record->dispatched_at &&
			TextIs(record->id, before->id))
			last.alike += before->alike;
	}
	last.id = text_to_cstring(record->id);
	gathered->last = last;
}

/*
 * So many failures are kept beside what is replayed, if they take no place of theirs: as
 * many as a chunk can have, or as the caller asks records for.
 */
static int64
room_for_failures(const ReplayQuery *query, int64 look_at)
{
	return !query->fill_limit ? 0 : look_at < PG_INT64_MAX ? look_at : query->max_records;
}

/*
 * Judge a window of records and keep those that are to be attempted.  A record
 * that cannot be replayed does not affect the others.
 */
static void
gather_window(ReplayCall *call, const ReplayQuery *query, Windows *windows,
			  const AuditRecord *records, int count, Gathered *gathered)
{
	ReplayItem *items = palloc(count * sizeof(ReplayItem));
	int64 room = room_for_failures(query, windows->look_at);
	MemoryContext old;

	JudgeWindow(call, query, items, records, count);
	CountWindow(windows, items, count);
	old = MemoryContextSwitchTo(call->context);
	for (int i = 0; i < count; i++)
	{
		bool has_failed = items[i].status == ITEM_FAILED;

		if (items[i].status == ITEM_SKIPPED ||
			(has_failed && query->fill_limit && gathered->failed == room))
			gathered->skipped++;
		else if (items[i].status == ITEM_PASSED_OVER)
		{
			gathered->passed_over++;
			gathered->effective += items[i].reason == REASON_EFFECTIVE;
			gathered->expired += items[i].reason == REASON_EXPIRED;
		}
		else
		{
			gathered->failed += has_failed;
			keep_item(gathered, &items[i]);
		}
	}
	gathered->looked_at += count;
	note_last(gathered, query, records, count);
	MemoryContextSwitchTo(old);
}

/*
 * Read records, window by window, until there is no place for more, or the given number
 * has been read, or there are no more.  Returns whether there are more.  Needs an SPI connection.
 */
bool
GatherRecords(ReplayCall *call, const ReplayQuery *query, int64 look_at, Gathered *gathered)
{
	MemoryContext window =
		AllocSetContextCreate(call->context, "acteon_replay window", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = CurrentMemoryContext;
	int64 room = query->max_records + room_for_failures(query, look_at);
	Judge judge;
	Windows windows;
	AuditScan scan;
	AuditRecord *records;
	int count;
	bool more;

	gathered->items = MemoryContextAllocHuge(call->context, room * sizeof(ReplayItem));
	AuditScanBegin(&scan, &call->audit, query, look_at, call->ahead);
	InitJudge(&judge, call->schema, call->grants, query);
	BeginWindows(&windows, &scan, &judge, query, look_at);
	MemoryContextSwitchTo(window);
	while ((count = NextWindow(&windows, &records)) > 0)
	{
		CHECK_FOR_INTERRUPTS();
		gather_window(call, query, &windows, records, count, gathered);
		MemoryContextReset(window);
	}
	CloseJudge(&judge);
	more = AuditScanHasMore(&scan);
	AuditScanEnd(&scan);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(window);
	return more;
}

/*
 * Raise a NOTICE with the number of records that were passed over because their
 * actions took effect, or will.
 */
void
NoticeEffective(int64 count)
{
	if (count > 0)
		ereport(NOTICE,
				(errmsg_plural(INT64_FORMAT
							   " record was passed over: its action took effect, or will",
							   INT64_FORMAT
							   " records were passed over: their actions took effect, or will",
							   (unsigned long) count, count),
				 errhint("allow_effective => true replays them, too.")));
}

/*
 * Raise a NOTICE with the number of records that were passed over because their
 * actions had expired.
 */
void
NoticeExpired(int64 count)
{
	if (count > 0)
		ereport(
			NOTICE,
			(errmsg_plural(INT64_FORMAT " record was passed over: its action has expired",
						   INT64_FORMAT " records were passed over: their actions have expired",
						   (unsigned long) count, count),
			 errhint(
				 "A longer expire_after replays those that are too old for it, allow_ended => true those whose ends_at has passed.")));
}

/*
 * Raise a NOTICE with the number of hand-picked ids that have no record, and the first of
 * them; and another one with those of the excluded ids: who has mistyped one would replay
 * what was to be left out.
 */
static void
notice_missing(const AuditTable *table, const ReplayQuery *query)
{
	MissingIds missing;

	AuditFindMissing(table, &query->action_ids, &missing);
	if (missing.count > 0)
		ereport(NOTICE, (errmsg_plural(INT64_FORMAT " of the action ids has no audit record: %s",
									   INT64_FORMAT " of the action ids have no audit record: %s",
									   (unsigned long) missing.count, missing.count,
									   NameMissing(&missing))));
	AuditFindMissing(table, &query->exclude_ids, &missing);
	if (missing.count > 0)
		ereport(NOTICE,
				(errmsg_plural(INT64_FORMAT " of the ids to leave out has no audit record: %s",
							   INT64_FORMAT " of the ids to leave out have no audit record: %s",
							   (unsigned long) missing.count, missing.count, NameMissing(&missing)),
				 errhint("They leave nothing out. Ids are compared exactly.")));
}

/*
 * Raise a NOTICE with the number of records that match a query and that a call, which
 * begins, leaves out: those that have no place in its order, and those that it does
 * not reach; and with that of the ids for which there is none.  Needs an SPI connection.
 */
void
NoticeLeftOut(const AuditTable *table, const ReplayQuery *query)
{
	int64 count;

	if (query->cursor_text != NULL)
		return;
	notice_missing(table, query);
	count = AuditCountLeftOut(table, query, LEFT_OUT_NO_PLACE);
	if (count > 0)
		ereport(NOTICE,
				(errmsg_plural(INT64_FORMAT
							   " record was left out: it has no id or no dispatched_at",
							   INT64_FORMAT
							   " records were left out: they have no id or no dispatched_at",
							   (unsigned long) count, count),
				 errhint("Every record that the gateway writes has both.")));
	count = AuditCountLeftOut(table, query, LEFT_OUT_FUTURE);
	if (count > 0)
		ereport(NOTICE,
				(errmsg_plural(INT64_FORMAT " record was left out: it is dated in the future",
							   INT64_FORMAT " records were left out: they are dated in the future",
							   (unsigned long) count, count),
				 errhint("acteon_replay() replays an action whenever its record is dated.")));
}

/*
 * What was passed over when a batch was approved may be free since, and about something
 * that the one who approved it is no admin of.
 */
static void
refuse_beyond_approval(const AuditRecord *record, int64 batch_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errreason(CODE_NOT_APPROVED),
			 errmsg("batch " INT64_FORMAT
					" was not approved for actions of tenant \"%s\", namespace \"%s\", provider "
					"\"%s\", action type \"%s\"",
					batch_id, text_to_cstring(record->tenant), text_to_cstring(record->namespace),
					text_to_cstring(record->provider), text_to_cstring(record->action_type)),
			 errdetail(
				 "Records of them were passed over when it was planned, and would be replayed "
				 "now."),
			 errhint("Cancel it, and replay what it has not enqueued with another call.")));
}

/*
 * Enqueue the gathered items, as the owner of the outbox, and add their results
 * to the batch: its counts, failures and scope.
 */
void
EnqueueGathered(ReplayCall *call, Gathered *gathered, BatchRow *batch)
{
	RefusedWriter refused;

	EnqueueItems(call->outbox, gathered->items, gathered->count);
	OpenRefused(&refused, call->schema);
	for (int i = 0; i < gathered->count; i++)
	{
		const ReplayItem *item = &gathered->items[i];

		if (item->status == ITEM_PASSED_OVER)
		{
			batch->passed_over++; /* lost a race for it */
			continue;
		}
		if (item->status == ITEM_ENQUEUED)
			batch->replayed++;
		else
		{
			batch->failed++;
			AddFailure(batch->failures, item->error, 1);
			AddRefused(&refused, OutboxBatchId(call->outbox), batch->failed, item->record,
					   ReasonName(item->reason), item->error);
		}
		if (item->record->missing == NULL && AddToScope(batch->scope, item->record) &&
			item->status == ITEM_ENQUEUED && batch->approved_at.given)
			refuse_beyond_approval(item->record, OutboxBatchId(call->outbox));
	}
	CloseRefused(&refused);
	batch->skipped += gathered->skipped;
	batch->passed_over += gathered->passed_over;
}
