/*
 * replay_all.c
 *		acteon_replay_all, _run, _open, _continue and _continue_step: any number of actions.
 *
 * A call inserts its batch and commits; then the batch is processed chunk by
 * chunk (run_batch.c), by this call or, if that is interrupted, by
 * acteon_replay_continue, which every role that may steer the batch can call.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/snapmgr.h"

#include "audit/audit_count.h"
#include "audit/closest_values.h"
#include "base/catalog.h"
#include "base/compat.h"
#include "base/error_reason.h"
#include "base/message.h"
#include "base/result.h"
#include "base/settings.h"
#include "base/table_access.h"
#include "batch/canary.h"
#include "batch/approval.h"
#include "batch/may_steer.h"
#include "batch/batch_state.h"
#include "batch/control_log.h"
#include "query/query.h"
#include "replay/asked.h"
#include "replay/plan.h"
#include "replay/replay_many.h"
#include "replay/replay_call.h"
#include "replay/run_batch.h"

/* Results of acteon_replay_all, which are arguments as well. */
#define ALL_RESULTS 4

PG_FUNCTION_INFO_V1(acteon_replay_all);
PG_FUNCTION_INFO_V1(acteon_replay_all_jsonb);
PG_FUNCTION_INFO_V1(acteon_replay_run);
PG_FUNCTION_INFO_V1(acteon_replay_open);
PG_FUNCTION_INFO_V1(acteon_replay_continue);
PG_FUNCTION_INFO_V1(acteon_replay_continue_step);

/*
 * Begin a call that commits; refuse it where it cannot.  The memory context
 * stays that of the caller.
 */
static void
begin_committing(FunctionCallInfo fcinfo, const char *procedure)
{
	CallContext *context = (CallContext *) fcinfo->context;
	MemoryContext old = CurrentMemoryContext;

	if (context == NULL || !IsA(context, CallContext) || context->atomic || IsSubTransaction())
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
			 errmsg("%s cannot be called inside a transaction block", procedure),
			 errdetail("It commits after each chunk."),
			 errhint(
				 "CALL it as a statement of its own, with AUTOCOMMIT on. Inside a transaction, acteon_replay_bulk() replays up to %d records.",
				 MAX_RECORDS_LIMIT)));
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	MemoryContextSwitchTo(old);
}

/*
 * How many records a chunk has: what an argument says, or the default.
 */
static int
chunk_argument(FunctionCallInfo fcinfo, int argument)
{
	return ReadIntegerArgument(fcinfo, argument, OPTION_CHUNK,
							   (int) OptionNumber(ReplayOptions[OPTION_CHUNK].initial));
}

/*
 * The results: (batch_id, replayed, failed, skipped).
 */
static Datum
make_result(TupleDesc desc, int64 batch_id, const BatchCounts *counts)
{
	Datum values[4];
	bool nulls[4] = {batch_id == 0};

	values[0] = Int64GetDatum(batch_id);
	values[1] = Int64GetDatum(counts->replayed);
	values[2] = Int64GetDatum(counts->failed);
	values[3] = Int64GetDatum(counts->skipped);
	return HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
}

/*
 * Plan a batch that has to be approved and has no plan: what is approved must not
 * change.
 */
static void
plan_batch(ReplayCall *call, ReplayQuery *query, PlanCounts *counts, BatchRow *batch)
{
	uint64 completed;

	CountRecords(call, query, counts);
	completed = CompleteQuery(query, counts);
	batch->matched = counts->matched;
	batch->plan =
		PlanDigest(MakePlan(call->schema, query, completed, counts, call->caller, call->now));
}

/*
 * Write a batch down for what matches a query, with nothing looked at yet.  Its number
 * stays 0 if nothing matches, and so it is not there.  *waits says whether it has to be
 * approved before anything else; otherwise, with hold, HoldEnqueuing was called.
 *
 * The query is closed at this moment: if the replays of the batch fail again,
 * their own records would match for ever.
 */
static void
write_down(FunctionCallInfo fcinfo, ReplayQuery *query, const char *procedure, bool hold,
		   Oid *schema, BatchRow *batch, bool *waits)
{
	ReplayPlan *plan;
	PlanCounts counts;
	ReplayCall call;
	Identity saved;

	CheckReplayQuery(query);
	plan = TakePlan(query, CalledSchema(fcinfo));
	BeginCall(&call, fcinfo, procedure, query->reason);
	CheckMayPatch(&call, query);
	CheckAsked(&call.audit, query);
	*schema = call.schema;
	EndQueryAt(query, call.now);
	batch->matched = plan != NULL ? plan->counts.matched : AuditCount(&call.audit, query);
	if (plan != NULL)
	{
		CheckPlan(&call, plan, &counts);
		CountAllForLimit(query, &counts);
		batch->plan = plan->digest;
	}
	else
		RequirePlan(query, "CALL acteon_replay_all", batch->matched);
	/* What comes later does not make it larger than what was counted. */
	if ((PlanAbove >= 0 || ApprovalAbove >= 0) && !query->is_limited && batch->matched > 0)
		SetInteger(query, OPTION_MAX_RECORDS, (int) Min(batch->matched, PG_INT32_MAX));
	*waits = NeedsApproval(call.schema, call.caller, batch->matched);
	if (*waits && plan == NULL)
		plan_batch(&call, query, &counts, batch);
	NoticeLeftOut(&call.audit, query);
	if (batch->matched == 0 && query->cursor_text == NULL)
		NoticeClosestValues(&call.audit, query, call.grants);
	if (batch->matched > 0)
	{
		batch->reason = query->reason;
		batch->query = QueryToJsonb(query);
		batch->scope = *waits ? counts.scope : NewScope(query->provider_override);
		batch->awaits_until = (OptionalTime){*waits, call.now + APPROVAL_HOURS * USECS_PER_HOUR};
		SwitchIdentity(&saved, TableOwner(OwnTable(call.schema, BATCH_TABLE)));
		batch->id = NextBatchId(call.schema);
		BeginCanary(&batch->canary, CanaryMode(query->canary, batch->matched));
		if (hold && !*waits)
			HoldEnqueuing(call.schema, batch->id);
		WriteBatch(&call, query, batch);
		if (plan != NULL)
			LogPlan(&call, plan, batch->id, batch->reason);
		if (*waits)
			LogAwaited(call.schema, call.caller, batch, counts.replayable);
		RestoreIdentity(&saved);
	}
	CloseAuditTable(&call.audit);
}

/*
 * Write a batch down in this transaction, and commit it; see write_down.
 */
static int64
start_batch(FunctionCallInfo fcinfo, ReplayQuery *query, int chunk, const char *procedure,
			Oid *schema, bool *waits)
{
	Failures failures = {0};
	BatchRow batch = {.failures = &failures, .chunk = chunk};

	PushActiveSnapshot(GetTransactionSnapshot());
	write_down(fcinfo, query, procedure, true, schema, &batch, waits);
	PopActiveSnapshot();
	SPI_commit();
	if (batch.matched > 0)
		ereport(NOTICE, (errmsg("batch " INT64_FORMAT ": " INT64_FORMAT " records match", batch.id,
								batch.matched)));
	else
		ereport(NOTICE, (errmsg("no records match")));
	if (*waits && batch.matched > 0)
		ereport(NOTICE, (errmsg("batch " INT64_FORMAT " is awaiting approval", batch.id),
						 errdetail("Nothing of it is replayed before. Its plan is %s.", batch.plan),
						 errhint("A second person can approve it within %d hours: SELECT "
								 "acteon_replay_approve(" INT64_FORMAT
								 ", '%s', reason => '…'). Afterwards, CALL "
								 "acteon_replay_continue(" INT64_FORMAT ").",
								 APPROVAL_HOURS, batch.id, batch.plan, batch.id)));
	return batch.id;
}

/*
 * Replay all that matches a query; what all forms do.  Sets *counts to what was done;
 * returns the number of the batch, 0 if there is none.
 */
static int64
replay_all(FunctionCallInfo fcinfo, ReplayQuery *query, int chunk, const char *procedure,
		   BatchCounts *counts)
{
	int64 batch_id;
	Oid schema;
	bool waits;

	memset(counts, 0, sizeof(*counts));
	begin_committing(fcinfo, procedure);
	batch_id = start_batch(fcinfo, query, chunk, procedure, &schema, &waits);
	if (batch_id != 0 && !waits)
	{
		bool is_kept = RunBatch(schema, batch_id, 0, true, counts);

		ReleaseEnqueuing(schema, batch_id);
		if (!is_kept)
			batch_id = 0;
	}
	SPI_finish();
	return batch_id;
}

/*
 * Read the arguments of the forms that take a query in the wire form: query, rate,
 * start_at and reason, of which those beside the query stand before those in it.
 */
static void
read_wire_arguments(ReplayQuery *query, FunctionCallInfo fcinfo)
{
	ReadQueryArgument(query, fcinfo, true);
	if (!PG_ARGISNULL(1))
	{
		query->rate = PG_GETARG_NUMERIC(1);
		NOTE_GIVEN(query, OPTION_RATE);
	}
	if (!PG_ARGISNULL(2))
	{
		query->start_at = (OptionalTime){true, PG_GETARG_TIMESTAMPTZ(2)};
		NOTE_GIVEN(query, OPTION_START_AT);
	}
	if (!PG_ARGISNULL(3))
		query->reason = text_to_cstring(PG_GETARG_TEXT_PP(3));
}

/*
 * acteon_replay_all(namespace text, … on_doubt text, chunk integer,
 * INOUT batch_id, replayed, failed, skipped bigint)
 *
 * Replays everything that matches, in committed chunks; batch_id is NULL if
 * nothing was replayed, failed or skipped.  Raises invalid_parameter_value,
 * insufficient_privilege, undefined_table, invalid_transaction_termination
 * (inside a transaction block), and for a table of another shape what
 * acteon_replay_bulk raises.
 */
Datum
acteon_replay_all(PG_FUNCTION_ARGS)
{
	TupleDesc desc = ResultRowType(fcinfo);
	BatchCounts counts;
	int64 batch_id;
	ReplayQuery query;
	const char *namespace;

	ReadReplayArguments(&query, fcinfo, CALL_ALL, ALL_RESULTS);
	namespace = query.filters[FILTER_NAMESPACE];
	/* An untyped literal as the first argument is taken for the namespace. */
	if (namespace != NULL && namespace[0] == '{')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("namespace looks like a replay query: %s",
							   ClipForMessage(namespace, strlen(namespace))),
						errhint("To pass a query as JSON, write acteon_replay_all('…'::jsonb).")));
	batch_id =
		replay_all(fcinfo, &query, chunk_argument(fcinfo, OptionPlace(CALL_ALL, OPTION_CHUNK)),
				   "acteon_replay_all()", &counts);
	return make_result(desc, batch_id, &counts);
}

/*
 * acteon_replay_all(query jsonb, rate numeric, start_at timestamptz, reason text,
 * chunk integer, INOUT batch_id, replayed, failed, skipped bigint)
 *
 * The same for a query in the wire form; the arguments beside it, if given,
 * stand before those in it.  Raises the same errors.
 */
Datum
acteon_replay_all_jsonb(PG_FUNCTION_ARGS)
{
	TupleDesc desc = ResultRowType(fcinfo);
	BatchCounts counts;
	int64 batch_id;
	ReplayQuery query;

	read_wire_arguments(&query, fcinfo);
	batch_id =
		replay_all(fcinfo, &query, chunk_argument(fcinfo, 4), "acteon_replay_all()", &counts);
	return make_result(desc, batch_id, &counts);
}

/*
 * acteon_replay_run(query jsonb, rate numeric, start_at timestamptz, reason text,
 * chunk integer)
 *
 * The same without results, which PL/pgSQL wants variables for: it is told in NOTICEs
 * what was done.  Raises the same errors.
 */
Datum
acteon_replay_run(PG_FUNCTION_ARGS)
{
	BatchCounts counts;
	ReplayQuery query;

	read_wire_arguments(&query, fcinfo);
	(void) replay_all(fcinfo, &query, chunk_argument(fcinfo, 4), "acteon_replay_run()", &counts);
	PG_RETURN_VOID();
}

/*
 * acteon_replay_open(query jsonb, reason text, OUT batch_id, matched bigint, plan text,
 * awaits_approval boolean)
 *
 * Writes a batch down in the transaction of the caller and enqueues nothing: that is left
 * to acteon_replay_continue and acteon_replay_continue_step.  batch_id is NULL if nothing
 * matches.  Raises the errors of acteon_replay_all.
 */
Datum
acteon_replay_open(PG_FUNCTION_ARGS)
{
	TupleDesc desc = ResultRowType(fcinfo);
	MemoryContext old = CurrentMemoryContext;
	Failures failures = {0};
	BatchRow batch = {.failures = &failures,
					  .chunk = (int) OptionNumber(ReplayOptions[OPTION_CHUNK].initial)};
	ReplayQuery query;
	Datum values[4];
	bool nulls[4];
	bool waits;
	Oid schema;

	ReadQueryArgument(&query, fcinfo, true);
	if (!PG_ARGISNULL(1))
		query.reason = text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	MemoryContextSwitchTo(old);
	write_down(fcinfo, &query, "acteon_replay_open()", false, &schema, &batch, &waits);
	SPI_finish();
	values[0] = Int64GetDatum(batch.id);
	nulls[0] = batch.id == 0;
	values[1] = Int64GetDatum(batch.matched);
	nulls[1] = false;
	nulls[2] = batch.id == 0 || batch.plan == NULL;
	values[2] = nulls[2] ? (Datum) 0 : CStringGetTextDatum(batch.plan);
	values[3] = BoolGetDatum(waits && batch.id != 0);
	nulls[3] = false;
	return HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
}

/*
 * Refuse to continue a batch that was enqueued at once, or is cancelled.
 */
static void
check_continuable(const BatchRow *batch)
{
	if (batch->chunk == 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errreason(CODE_CANNOT_CONTINUE),
			 errmsg("batch " INT64_FORMAT " is not one of acteon_replay_all", batch->id),
			 errhint(
				 "A bulk replay is enqueued at once; to continue it, call it again with its next_cursor.")));
	if (batch->stop == BATCH_CANCELLED)
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errreason(CODE_BATCH_CANCELLED),
			 errmsg("batch " INT64_FORMAT " is cancelled", batch->id),
			 errhint(
				 "Its actions can be replayed again: CALL acteon_replay_all() with its query.")));
}

/*
 * Begin to continue the batch that is the first argument: lock it, and check that the caller
 * may continue it.  Returns whether there is anything to continue, and what log_continuing is
 * to write of it.  The caller ends the call.
 */
static bool
begin_continuing(ControlCall *call, FunctionCallInfo fcinfo, const char *function, int chunk,
				 Jsonb **logged)
{
	const BatchRow *batch = &call->held.row;
	LogDetails details;

	*logged = NULL;
	BeginControl(call, fcinfo, function, 0, 2);
	check_continuable(batch);
	RefuseUnapproved(batch);
	CheckMayReplayApproved(batch, call->caller);
	if (batch->is_complete)
		return false;
	BeginDetails(&details);
	AddNumberDetail(&details, "chunk", chunk > 0 ? chunk : batch->chunk);
	AddTextDetail(&details, "cursor", batch->cursor);
	*logged = EndDetails(&details);
	return true;
}

/*
 * Log that a batch was continued.
 */
static void
log_continuing(const ControlCall *call, Jsonb *logged)
{
	LogControl(call->schema, call->caller, "continue", call->batch_id, call->reason, logged);
}

/*
 * Do so in a transaction of its own.  Returns whether there is anything to continue; then
 * HoldEnqueuing was called.
 */
static bool
take_up_batch(FunctionCallInfo fcinfo, int chunk, Oid *schema, BatchCounts *counts)
{
	ControlCall call;
	Jsonb *logged;
	bool more;

	PushActiveSnapshot(GetTransactionSnapshot());
	more = begin_continuing(&call, fcinfo, "acteon_replay_continue()", chunk, &logged);
	if (more)
	{
		log_continuing(&call, logged);
		HoldEnqueuing(call.schema, call.batch_id);
	}
	*schema = call.schema;
	CountBatch(counts, &call.held.row);
	EndControl(&call);
	PopActiveSnapshot();
	SPI_commit();
	return more;
}

/*
 * acteon_replay_continue(INOUT batch_id bigint, chunk integer, reason text,
 * INOUT replayed, failed, skipped bigint)
 *
 * Continues a batch of acteon_replay_all that is not complete.  Raises
 * no_data_found, insufficient_privilege, object_not_in_prerequisite_state,
 * invalid_parameter_value, invalid_transaction_termination, and the errors of
 * acteon_replay_all.
 */
Datum
acteon_replay_continue(PG_FUNCTION_ARGS)
{
	TupleDesc desc = ResultRowType(fcinfo);
	int chunk = ReadIntegerArgument(fcinfo, 1, OPTION_CHUNK, 0);
	BatchCounts counts;
	Oid schema;

	begin_committing(fcinfo, "acteon_replay_continue()");
	if (take_up_batch(fcinfo, chunk, &schema, &counts))
	{
		(void) RunBatch(schema, PG_GETARG_INT64(0), chunk, false, &counts);
		ReleaseEnqueuing(schema, PG_GETARG_INT64(0));
	}
	else
		ereport(NOTICE, (errmsg("batch " INT64_FORMAT " is complete", PG_GETARG_INT64(0))));
	SPI_finish();
	return make_result(desc, PG_GETARG_INT64(0), &counts);
}

/*
 * acteon_replay_continue_step(batch_id bigint, chunk integer, reason text)
 * → (replayed, failed, skipped bigint, is_complete boolean)
 *
 * Continues a batch by one chunk, in the transaction of the caller.  A call that cannot
 * examine anything now writes no entry into the log.  Raises no_data_found,
 * insufficient_privilege, object_not_in_prerequisite_state, invalid_parameter_value, and the
 * errors of acteon_replay_bulk.
 */
Datum
acteon_replay_continue_step(PG_FUNCTION_ARGS)
{
	TupleDesc desc = ResultRowType(fcinfo);
	int chunk = ReadIntegerArgument(fcinfo, 1, OPTION_CHUNK, 0);
	bool nulls[4] = {false};
	BatchCounts before;
	BatchCounts counts;
	ControlCall call;
	Datum values[4];
	Jsonb *logged;
	bool is_complete;

	/* In this order; the batch is locked with fewer tables. */
	LockForWriting(CalledSchema(fcinfo), WRITES_OF_REPLAY);
	is_complete = !begin_continuing(&call, fcinfo, "acteon_replay_continue_step()", chunk, &logged);
	CountBatch(&before, &call.held.row);
	EndControl(&call);
	counts = before;
	if (!is_complete)
	{
		is_complete = RunChunk(call.schema, call.batch_id, chunk, &counts);
		if (is_complete || memcmp(&counts, &before, sizeof(counts)) != 0)
		{
			SwitchIdentity(&call.saved, TableOwner(OwnTable(call.schema, BATCH_TABLE)));
			log_continuing(&call, logged);
			RestoreIdentity(&call.saved);
		}
	}
	values[0] = Int64GetDatum(counts.replayed);
	values[1] = Int64GetDatum(counts.failed);
	values[2] = Int64GetDatum(counts.skipped);
	values[3] = BoolGetDatum(is_complete);
	return HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
}
