/*
 * patch_waiting.c
 *		acteon_replay_patch: another payload for actions that wait.
 *
 * Rows of the outbox never change.  So an action that is patched is cancelled, and a copy
 * of it with the new payload is enqueued in the same batch, as its next generation.  It is
 * due when the original was, expires when that does, goes to the same target, and belongs
 * to the same part of the batch, if that is paused or has a rate of its own.  Both happen
 * in one transaction, or neither does.
 *
 * Only what was never handed out is patched.  The batch is locked against claims meanwhile
 * (batch_stop.c): what they have taken by then stays as it is, and afterwards they find
 * the copies.  A concurrent replay of an action holds its row in the outbox
 * (earlier_replays.c); such an action is left alone, and so is one that was replayed again.
 *
 * The copy comes behind all that is enqueued already.  An action with a fingerprint must
 * not be overtaken by others of its lane: it is patched only if all that wait behind it in
 * its lane are patched as well.  So the lanes are gone through first.
 *
 * What a canary has released goes back to what it holds back: the copy is released like
 * what is enqueued later.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/tableam.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "access/visibility.h"
#include "base/catalog.h"
#include "base/damaged.h"
#include "base/error_reason.h"
#include "base/jsonb_build.h"
#include "base/result.h"
#include "base/subtransaction.h"
#include "base/text.h"
#include "batch/approval.h"
#include "batch/batch_pace.h"
#include "batch/canary.h"
#include "batch/control_log.h"
#include "batch/may_steer.h"
#include "batch/steer_part.h"
#include "query/stored_query.h"
#include "queue/batch_scan.h"
#include "queue/delivery.h"
#include "queue/outbox_row.h"
#include "queue/wake.h"
#include "replay/enqueue.h"
#include "replay/generations.h"
#include "replay/outbox_int.h"
#include "replay/patch_payload.h"

/* Arguments of the function. */
enum
{
	PATCH_BATCH_ID,
	PATCH_MERGE,
	PATCH_PATH,
	PATCH_VALUE,
	PATCH_REASON,
	PATCH_TENANT /* and PATCH_PROVIDER, PATCH_ACTION_IDS; see ReadPart */
};

/* What becomes of an action of the batch. */
typedef enum Verdict
{
	VERDICT_PATCHED,
	VERDICT_UNCHANGED, /* the patch changes nothing */
	VERDICT_REFUSED,   /* its payload cannot be patched, or not be read */
	VERDICT_SENT,      /* it was handed out, and has not ended */
	VERDICT_PASSED_OVER, /* it is being replayed again, or was, has expired, or may not be overtaken */
	VERDICT_OTHER,       /* it is not meant */
	NUM_VERDICTS
} Verdict;

/* How many of these are returned. */
#define NUM_RESULTS VERDICT_OTHER

/* An action that waits. */
typedef struct WaitingAction
{
	Verdict verdict;
	CopiedRow row; /* in the outbox; of a copy, once it is patched */
	ItemPointerData tid;
	AuditRecord record; /* what enqueueing has to know of it */
	ReplayItem item;    /* the copy */
} WaitingAction;

/* A lane, and the last action in it that cannot be patched. */
typedef struct PatchedLane
{
	int64 lane;
	int64 last_kept; /* outbox id; 0: none */
} PatchedLane;

/* A call. */
typedef struct PatchCall
{
	ControlCall control;
	PartFilter part;   /* what is meant */
	bool has_part;     /* not all of the batch */
	ReplayQuery query; /* that has the patch */
	char *label;
	Outbox *outbox;
	SegmentTable segments;
	DeliveryWriter deliveries;
	TableFinder rows;
	ChainReader chains;
	HTAB *lanes;
	int64 counts[NUM_VERDICTS];
	int64 taken_back;   /* from what the canary has released */
	int64 last_id;      /* of the copies */
	RowsHash rows_hash; /* of the batch, with the copies */
	/* The segment at hand. */
	bool is_untouched;
	WaitingAction actions[SEGMENT_ACTIONS];
	WaitingAction *reading;
	int64 reading_id;
} PatchCall;

PG_FUNCTION_INFO_V1(acteon_replay_patch);

/*
 * Refuse a caller who may not patch all of the batch: that takes grants that permit to
 * patch, an admin's or an operator's with may_patch, for everything in it.
 */
static void
check_may_patch(ControlCall *call, Grants *grants)
{
	text *parts[SCOPE_PARTS];

	if (!FindUncoveredOfBatch(call, grants, GRANT_PATCH, parts))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errreason(CODE_NO_PATCH_GRANT),
			 errmsg("insufficient permissions: batch " INT64_FORMAT
					" can be patched by roles with admin grants, or may_patch, for all of it",
					call->batch_id),
			 errdetail("Role \"%s\" has no such grants.", GetUserNameFromId(call->caller, false)),
			 errhint("The owner of acteon_grants can set may_patch in an operator's grant.")));
}

/*
 * Refuse a batch that cannot be patched.
 */
static void
check_batch(const BatchRow *batch)
{
	const char *problem = NULL;
	const char *hint = NULL;
	ErrorCode code = CODE_NONE;

	RefuseUnapproved(batch);
	if (batch->stop == BATCH_CANCELLED)
	{
		code = CODE_BATCH_CANCELLED;
		problem = "is cancelled";
		hint = "Its actions can be replayed again, in a new batch, with the patch.";
	}
	else if (!batch->is_complete)
	{
		code = CODE_BATCH_INCOMPLETE;
		problem = "is not completely enqueued: what is enqueued later would not be patched";
		hint = "Wait for it, or cancel the batch and replay its actions with the patch.";
	}
	else if (batch->approved_at.given)
	{
		code = CODE_BATCH_APPROVED;
		problem = "was approved as it is";
		hint = "Cancel it and replay its actions with the patch, which is to be approved as well.";
	}
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errreason(code),
				 errmsg("batch " INT64_FORMAT " %s", batch->id, problem), errhint("%s", hint)));
}

/* ----------------------------------------------------------------
 * Looking at actions
 * ----------------------------------------------------------------
 */

/*
 * A column of a copied row that is never NULL.
 */
static Datum
column(const CopiedRow *row, AttrNumber number)
{
	return row->values[number - 1];
}

static text *
text_column(const CopiedRow *row, AttrNumber number)
{
	return DatumGetTextPP(column(row, number));
}

/*
 * Copy the row that was found.
 */
static void
copy_row(TableFinder *found, CopiedRow *row)
{
	TupleDesc desc = RelationGetDescr(found->rel);
	HeapTuple tuple = ExecCopySlotHeapTuple(found->slot);
	Datum *values = palloc(desc->natts * sizeof(Datum));
	bool *nulls = palloc(desc->natts * sizeof(bool));

	heap_deform_tuple(tuple, desc, values, nulls);
	for (AttrNumber number = 1; number <= Natts_outbox; number++)
	{
		AttrNumber place = ColumnPlace(found->columns, number);

		row->values[number - 1] = values[place - 1];
		row->nulls[number - 1] = nulls[place - 1];
	}
}

/*
 * Whether an action has expired: it is not sent any more, and ends as soon as a claim meets
 * it.
 */
static bool
has_expired(const PatchCall *call, const CopiedRow *row)
{
	return !row->nulls[Anum_outbox_expires_at - 1] &&
		   DatumGetTimestampTz(column(row, Anum_outbox_expires_at)) <= call->control.now;
}

/*
 * The labels of an action, with that of the patch.
 */
static Datum
label_action(const PatchCall *call, Datum labels)
{
	JsonbParseState *state = NULL;
	Jsonb *label;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	PushString(&state, PATCH_LABEL, call->label);
	label = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
	return DirectFunctionCall2(jsonb_concat, labels, JsonbPGetDatum(label));
}

/*
 * Patch the payload of an action's copy, and label it, unless the patch cannot be applied or
 * changes nothing.
 */
static Verdict
patch_row(const PatchCall *call, CopiedRow *row)
{
	Jsonb *before, *after;

	if (has_expired(call, row))
		return VERDICT_PASSED_OVER;
	if (PatchPayload(column(row, Anum_outbox_payload), call->query.change,
					 call->query.allow_redacted, &before, &after) != REASON_NONE)
		return VERDICT_REFUSED;
	if (before == after)
		return VERDICT_UNCHANGED;
	row->values[Anum_outbox_payload - 1] = JsonbPGetDatum(after);
	row->values[Anum_outbox_labels - 1] = label_action(call, column(row, Anum_outbox_labels));
	return VERDICT_PATCHED;
}

/*
 * Read the action at hand, and patch its copy, if it is meant and was never handed out.
 */
static bool
read_action(void *argument)
{
	PatchCall *call = argument;
	WaitingAction *action = call->reading;
	Snapshot now = RegisterSnapshot(GetLatestSnapshot());
	bool found = FindRow(&call->rows, F_INT8EQ, Int64GetDatum(call->reading_id), now);

	UnregisterSnapshot(now);
	action->verdict = VERDICT_OTHER;
	if (!found)
		return true;
	if (IsInPart(&call->part, call->rows.slot))
	{
		action->verdict = VERDICT_SENT;
		if (call->is_untouched)
		{
			copy_row(&call->rows, &action->row);
			action->tid = call->rows.slot->tts_tid;
			action->verdict = patch_row(call, &action->row);
		}
	}
	ExecClearTuple(call->rows.slot);
	return true;
}

/*
 * Lock the row of an action, so that no other replay of it is made meanwhile.  Returns
 * false if one is being made.
 */
static bool
lock_action(PatchCall *call, const WaitingAction *action)
{
	TupleTableSlot *slot = table_slot_create(call->rows.rel, NULL);
	ItemPointerData tid = action->tid;
	TM_FailureData failure;
	TM_Result result;

	LockRelation(call->rows.rel, RowShareLock);
	result = table_tuple_lock(call->rows.rel, &tid, SnapshotAny, slot, GetCurrentCommandId(false),
							  LockTupleExclusive, LockWaitSkip, 0, &failure);
	ExecDropSingleTupleTableSlot(slot);
	return result == TM_Ok;
}

/*
 * Give the copy of an action its generation and its id.  Returns false if there is another
 * replay, a later one, which has taken the action's place.
 */
static bool
number_copy(PatchCall *call, WaitingAction *action)
{
	ChainReader *chains = &call->chains;
	const text *original = action->record.action_id;
	int generation = DatumGetInt32(column(&action->row, Anum_outbox_generation));
	Snapshot now = RegisterSnapshot(GetLatestSnapshot());
	ActionFound found;
	bool is_last = true;

	chains->target = CopiedTarget(&action->row);
	do
	{
		CHECK_FOR_INTERRUPTS();
		SetChainId(chains, &action->item.action_id, original, ++generation);
		found = FindAction(&chains->actions, &action->item.action_id, now);
		if (found == ACTION_FOUND)
			is_last = !OutboxRowIsOf(chains->actions.outbox.slot, action->record.namespace,
									 action->record.tenant);
	} while (is_last && found != ACTION_UNUSED);
	UnregisterSnapshot(now);
	action->item.generation = generation;
	return is_last;
}

/*
 * Complete an action that can be patched: keep others from replaying it, and make the item
 * that is its copy.
 */
static void
prepare_copy(PatchCall *call, WaitingAction *action)
{
	CopiedRow *row = &action->row;
	ReplayItem *item = &action->item;

	memset(&action->record, 0, sizeof(AuditRecord));
	action->record.action_id = text_column(row, Anum_outbox_original_action_id);
	action->record.namespace = text_column(row, Anum_outbox_namespace);
	action->record.tenant = text_column(row, Anum_outbox_tenant);
	action->record.provider = text_column(row, Anum_outbox_provider);
	memset(item, 0, sizeof(ReplayItem));
	item->record = &action->record;
	item->status = ITEM_PENDING;
	item->copy = row;
	if (!lock_action(call, action) || !number_copy(call, action))
		action->verdict = VERDICT_PASSED_OVER;
}

/*
 * Whether the actions of a segment were never handed out.
 */
static bool
is_untouched(const Segment *segment)
{
	return !segment->was_claimed && segment->attempt == 0 && segment->lease_token == NO_LEASE &&
		   segment->doubt_since == 0 && segment->resend == 0 && segment->sent_at == 0 &&
		   !segment->unproven;
}

/*
 * Look at the actions of a segment.  What cannot be read is refused, or was sent, and stops
 * nothing.
 */
static void
look_at_actions(PatchCall *call, const Segment *segment)
{
	call->is_untouched = is_untouched(segment);
	for (int i = 0; i < SegmentLength(segment); i++)
	{
		WaitingAction *action = &call->actions[i];
		ErrorData *error;

		CHECK_FOR_INTERRUPTS();
		call->reading = action;
		call->reading_id = segment->first_id + i;
		TurnFinder(&call->rows, call->reading_id);
		error = TryInSubtransaction(read_action, call, CurrentMemoryContext);
		if (error != NULL && !IsAboutValue(error))
			ReThrowError(error);
		if (error != NULL)
			action->verdict = call->is_untouched ? VERDICT_REFUSED : VERDICT_SENT;
		else if (action->verdict == VERDICT_PATCHED)
			prepare_copy(call, action);
	}
}

/* ----------------------------------------------------------------
 * Lanes
 * ----------------------------------------------------------------
 */

/*
 * Note of each action in a segment of a lane whether it stays where it is.
 */
static void
note_lane(PatchCall *call, const Segment *segment)
{
	PatchedLane *lane;
	bool found;

	lane = hash_search(call->lanes, &segment->lane, HASH_ENTER, &found);
	if (!found)
		lane->last_kept = LastInLane(&call->segments, segment->lane, call->control.batch_id);
	if (!is_untouched(segment))
	{
		lane->last_kept = Max(lane->last_kept, segment->last_id);
		return;
	}
	look_at_actions(call, segment);
	for (int i = 0; i < SegmentLength(segment); i++)
	{
		if (call->actions[i].verdict != VERDICT_PATCHED)
			lane->last_kept = Max(lane->last_kept, segment->first_id + i);
	}
}

/*
 * Leave alone what others in a lane would overtake.
 */
static void
keep_order(PatchCall *call, const Segment *segment)
{
	const PatchedLane *lane = hash_search(call->lanes, &segment->lane, HASH_FIND, NULL);

	for (int i = 0; i < SegmentLength(segment); i++)
	{
		if (call->actions[i].verdict == VERDICT_PATCHED &&
			(lane == NULL || segment->first_id + i < lane->last_kept))
			call->actions[i].verdict = VERDICT_PASSED_OVER;
	}
}

/* ----------------------------------------------------------------
 * Patching
 * ----------------------------------------------------------------
 */

/*
 * Take the actions that are patched out of their segment, and write that they are
 * cancelled.
 */
static void
cancel_actions(PatchCall *call, const Segment *segment)
{
	Delivery delivery = {.batch_id = segment->batch_id,
						 .state = ACTION_CANCELLED,
						 .outcome = {.isnull = true},
						 .error = {.isnull = true}};
	Segment runs[SEGMENT_ACTIONS];
	int groups[SEGMENT_ACTIONS];
	int count, left = 0;

	for (int i = 0; i < SegmentLength(segment); i++)
		groups[i] = call->actions[i].verdict == VERDICT_PATCHED;
	count = CutSegment(segment, groups, runs);
	for (int i = 0; i < count; i++)
	{
		if (groups[runs[i].first_id - segment->first_id] == 0)
			runs[left++] = runs[i];
	}
	if (!HoldSegment(&call->segments, segment, true) ||
		!ReplaceSegment(&call->segments, segment, runs, left))
		ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
						errmsg("a waiting action was changed by another session"),
						errhint("Nothing was patched. Try again.")));
	for (int i = 0; i < SegmentLength(segment); i++)
	{
		if (groups[i] == 0)
			continue;
		delivery.outbox_id = segment->first_id + i;
		AddDelivery(&call->deliveries, &delivery);
	}
}

/*
 * Whether a canary holds back what is enqueued now.
 */
static bool
is_in_canary(const PatchCall *call)
{
	return call->control.held.row.canary.step > 0;
}

/*
 * Enqueue the copies of actions that were in a segment, as segments that are due when it
 * was.
 */
static void
enqueue_copies(PatchCall *call, const Segment *segment)
{
	ReplayItem *items[SEGMENT_ACTIONS];
	int count = 0;
	int made;
	const Segment *copies;

	for (int i = 0; i < SegmentLength(segment); i++)
	{
		if (call->actions[i].verdict == VERDICT_PATCHED)
			items[count++] = &call->actions[i].item;
	}
	copies = EnqueueCopies(call->outbox, items, count, &made);
	for (int i = 0; i < made; i++)
	{
		Segment copy = *segment;

		copy.first_id = copies[i].first_id;
		copy.last_id = copies[i].last_id;
		copy.provider = copies[i].provider;
		if (is_in_canary(call))
		{
			copy.due_at = DT_NOEND;
			copy.provider_limit = copy.tenant_limit = NO_LIMIT;
			copy.parked_at = 0;
		}
		InsertSegment(&call->segments, &copy);
		call->last_id = Max(call->last_id, copy.last_id);
	}
	/* What is paused on its own was passed by, and is not counted. */
	if (is_in_canary(call) && segment->stopped == BATCH_RUNS &&
		segment->last_id <= call->control.held.row.canary.last_id)
		call->taken_back += count;
}

/*
 * Patch what a segment has that can be patched.
 */
static void
patch_segment(PatchCall *call, const Segment *segment)
{
	int64 patched = call->counts[VERDICT_PATCHED];

	if (!is_untouched(segment) && !call->has_part)
	{
		call->counts[VERDICT_SENT] += SegmentLength(segment);
		return;
	}
	look_at_actions(call, segment);
	if (segment->in_lane)
		keep_order(call, segment);
	for (int i = 0; i < SegmentLength(segment); i++)
		call->counts[call->actions[i].verdict]++;
	if (call->counts[VERDICT_PATCHED] == patched)
		return;
	cancel_actions(call, segment);
	enqueue_copies(call, segment);
}

/*
 * Have the segments of the batch visited, in the order of their ids, as they are now.
 */
static void
walk_batch(PatchCall *call, void (*visit)(PatchCall *call, const Segment *segment), bool in_lanes)
{
	const BatchRow *batch = &call->control.held.row;
	BatchScan scan;
	Segment segment;

	BeginBatchScan(&scan, &call->segments, batch->id, batch->first_outbox_id,
				   batch->last_outbox_id);
	while (NextOfBatch(&scan, &segment))
	{
		if (segment.in_lane || !in_lanes)
			visit(call, &segment);
	}
	EndBatchScan(&scan);
}

/*
 * Patch what can be patched of the batch, which is locked.
 */
static void
patch_batch(PatchCall *call)
{
	HASHCTL control = {.keysize = sizeof(int64),
					   .entrysize = sizeof(PatchedLane),
					   .hcxt = CurrentMemoryContext};
	Oid schema = call->control.schema;

	call->lanes =
		hash_create("acteon_replay lanes", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	call->outbox = OpenOutbox(schema, &call->query, call->control.now);
	JoinBatch(call->outbox, &call->control.held.row);
	OpenSegments(&call->segments, schema);
	OpenDeliveries(&call->deliveries, schema, call->control.now);
	OpenPartedFinder(&call->rows, schema, OUTBOX_TABLE, Anum_outbox_id);
	if (OpenChains(&call->chains, schema))
	{
		walk_batch(call, note_lane, true);
		walk_batch(call, patch_segment, false);
		CloseChains(&call->chains);
	}
	CloseFinder(&call->rows);
	CloseDeliveries(&call->deliveries);
	CloseSegments(&call->segments);
	call->rows_hash = OutboxRowsHash(call->outbox);
	CloseOutbox(call->outbox);
	CommandCounterIncrement();
}

/*
 * Write down what was done: in the row of the batch, and in the log.
 */
static void
note_patch(PatchCall *call)
{
	static const char *const names[NUM_RESULTS] = {"patched", "unchanged", "refused", "sent",
												   "passed_over"};
	ControlCall *control = &call->control;
	CanaryState canary = control->held.row.canary;
	Jsonb *written = call->query.change->written;
	LogDetails details;

	BeginDetails(&details);
	AddJsonbDetail(&details, "patch", written);
	AddTextDetail(&details, "sha256", PatchHash(written));
	AddPartDetails(&details, &call->part);
	for (int i = 0; i < NUM_RESULTS; i++)
		AddNumberDetail(&details, names[i], call->counts[i]);
	LogControl(control->schema, control->caller, "patch", control->batch_id, control->reason,
			   EndDetails(&details));
	if (call->counts[VERDICT_PATCHED] == 0)
		return;
	NotePatch(&control->held, written, call->counts[VERDICT_PATCHED], call->last_id,
			  &call->rows_hash);
	if (is_in_canary(call))
	{
		canary.actions -= call->taken_back;
		SetCanary(&control->held, &canary);
		(void) AdvanceCanary(&control->held, control->schema, control->caller, control->now);
	}
	NotifyConsumers(control->schema);
}

/*
 * Read the arguments but for the batch and the reason.
 */
static void
read_arguments(PatchCall *call, FunctionCallInfo fcinfo)
{
	ReplayQuery *query = &call->query;

	InitReplayQuery(query, true);
	if (!PG_ARGISNULL(PATCH_MERGE))
		query->patch = PG_GETARG_JSONB_P(PATCH_MERGE);
	if (!PG_ARGISNULL(PATCH_PATH))
		query->patch_path = text_to_cstring(PG_GETARG_TEXT_PP(PATCH_PATH));
	if (!PG_ARGISNULL(PATCH_VALUE))
		query->patch_value = PG_GETARG_JSONB_P(PATCH_VALUE);
	CheckReplayQuery(query);
	if (query->change == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("there is no patch"),
						errhint("Specify patch, or patch_path and patch_value.")));
	call->label = PatchLabel(query->change->written);
	call->has_part = ReadPart(&call->part, fcinfo, PATCH_TENANT);
}

/*
 * acteon_replay_patch(batch_id bigint, patch jsonb, patch_path text, patch_value jsonb,
 * reason text, tenant text, provider text, action_ids text[])
 * → (patched, unchanged, refused, sent, passed_over)
 *
 * Patches what waits of a batch and was never handed out, or what of that has the tenant,
 * the provider and one of the ids, original or new, that are given.  Raises no_data_found,
 * insufficient_privilege, object_not_in_prerequisite_state, invalid_parameter_value and
 * feature_not_supported.
 */
Datum
acteon_replay_patch(PG_FUNCTION_ARGS)
{
	const char *function = "acteon_replay_patch()";
	TupleDesc desc = ResultRowType(fcinfo);
	PatchCall *call = palloc0(sizeof(PatchCall));
	ControlCall *control = &call->control;
	MemoryContext context = CurrentMemoryContext;
	Datum values[NUM_RESULTS];
	bool nulls[NUM_RESULTS] = {false};

	read_arguments(call, fcinfo);
	PreventCommandDuringRecovery(function);
	PreventCommandIfReadOnly(function);
	LockForWriting(CalledSchema(fcinfo), WRITES_OF_REPLAY | WRITES_OF_QUEUE | WRITES_ALL_PARTS);
	BeginControlBy(control, fcinfo, function, PATCH_BATCH_ID, PATCH_REASON, check_may_patch);
	check_batch(&control->held.row);
	call->query.allow_redacted = StoredFlag(control->held.row.query, OPTION_ALLOW_REDACTED);
	(void) LockBatch(control->schema, control->batch_id, ExclusiveLock, true);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	MemoryContextSwitchTo(context);
	if (control->held.row.first_outbox_id != 0)
		patch_batch(call);
	note_patch(call);
	SPI_finish();
	MemoryContextSwitchTo(context);
	EndControl(control);
	for (int i = 0; i < NUM_RESULTS; i++)
		values[i] = Int64GetDatum(call->counts[i]);
	return HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
}
