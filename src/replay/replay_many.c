/*
 * replay_many.c
 *		Many records in one transaction: gathered, then enqueued.
 *
 * Records are looked at window by window.  Those that the call will attempt, at
 * most max_records, are kept without their toasted parts and then enqueued all
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
 * Read a window of records and keep those that are to be attempted.  A record
 * that cannot be replayed does not affect the others.
 */
static void
gather_window(ReplayCall *call, const ReplayQuery *query, const AuditRecord *records, int count,
			  Gathered *gathered)
{
	ReplayItem *items = palloc(count * sizeof(ReplayItem));
	MemoryContext old;

	JudgeWindow(call, query, items, records, count);
	old = MemoryContextSwitchTo(call->context);
	for (int i = 0; i < count; i++)
	{
		if (items[i].status == ITEM_SKIPPED)
			gathered->skipped++;
		else if (items[i].status == ITEM_PASSED_OVER)
		{
			gathered->passed_over++;
			gathered->effective += items[i].reason == REASON_EFFECTIVE;
			gathered->expired += items[i].reason == REASON_EXPIRED;
		}
		else
			keep_item(gathered, &items[i]);
	}
	gathered->looked_at += count;
	note_last(gathered, query, records, count);
	MemoryContextSwitchTo(old);
}

/*
 * Read records, window by window, until max_records of them are to be attempted
 * or are skipped, or the given number has been read, or there are no more.
 * Returns whether there are more.  Needs an SPI connection.
 */
bool
GatherRecords(ReplayCall *call, const ReplayQuery *query, int64 look_at, Gathered *gathered)
{
	MemoryContext window =
		AllocSetContextCreate(call->context, "acteon_replay window", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(window);
	AuditScan scan;
	AuditRecord *records;
	int count;
	bool more;

	gathered->items =
		MemoryContextAllocHuge(call->context, query->max_records * sizeof(ReplayItem));
	AuditScanBegin(&scan, &call->audit, query, look_at, call->ahead);
	for (;;)
	{
		int64 wanted = Min(query->max_records - (gathered->count + gathered->skipped),
						   look_at - gathered->looked_at);

		CHECK_FOR_INTERRUPTS();
		if (wanted == 0 || (count = AuditScanTake(&scan, wanted, &records)) == 0)
			break;
		gather_window(call, query, records, count, gathered);
		MemoryContextReset(window);
	}
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
 * them.
 */
static void
notice_missing(const AuditTable *table, const ReplayQuery *query)
{
	MissingIds missing;

	AuditFindMissing(table, query, &missing);
	if (missing.count > 0)
		ereport(NOTICE, (errmsg_plural(INT64_FORMAT " of the action ids has no audit record: %s",
									   INT64_FORMAT " of the action ids have no audit record: %s",
									   (unsigned long) missing.count, missing.count,
									   NameMissing(&missing))));
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
