/*
 * shadow.c
 *		acteon_replay_shadow: the results of one batch beside those of another.
 *
 * What production has done, or is to do, is tried elsewhere: the same actions are replayed
 * to two targets, and the results are compared action by action.  A replay is found by its
 * original action, through the ids of that one's replays to the other target
 * (generations.c), so a page costs what is on it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "access/visibility.h"
#include "base/catalog.h"
#include "base/target.h"
#include "base/text.h"
#include "batch/batch_list.h"
#include "batch/batch_row.h"
#include "query/stored_query.h"
#include "queue/action_state.h"
#include "queue/effect.h"
#include "queue/outbox_row.h"
#include "queue/outcome_type.h"
#include "replay/generations.h"

/* Outbox ids that are read at once: at first, and at most. */
#define FIRST_RANGE 128
#define LONGEST_RANGE (16 * 1024)

/* Rows that are fetched at once. */
#define FETCH_ROWS 1000

/* Columns of the statement below. */
enum
{
	OURS_ID = 1,
	OURS_ORIGINAL,
	OURS_NAMESPACE, /* with the three behind it: whose it is */
	OURS_TENANT,
	OURS_PROVIDER,
	OURS_ACTION_TYPE,
	OURS_STATE,
	OURS_EFFECT,
	OURS_OUTCOME
};

/* The actions of batch $1 with outbox ids from $2 to $3.  %1$s is the extension's schema. */
#define READ_ACTIONS \
	"SELECT o.id, o.original_action_id, o.namespace, o.tenant, o.provider, o.action_type," \
	"	d.state, d.effect, d.outcome::jsonb " \
	"FROM %1$s.acteon_dispatch_outbox AS o LEFT JOIN %1$s.acteon_dispatch_delivery AS d" \
	"	ON d.outbox_id = o.id AND d.outbox_id BETWEEN $2 AND $3 " \
	"WHERE o.batch_id = $1 AND o.id BETWEEN $2 AND $3 ORDER BY o.id"

/* The first id of an action from $2 to $3: a batch may go on far away.  $1 is not used. */
#define NEXT_ACTION \
	"SELECT id FROM %1$s.acteon_dispatch_outbox " \
	"WHERE id BETWEEN $2 AND $3 AND $1 IS NOT NULL ORDER BY id LIMIT 1"

/* Columns of the result. */
enum
{
	SHADOW_OUTBOX_ID,
	SHADOW_ORIGINAL,
	SHADOW_STATE,
	SHADOW_EFFECT,
	SHADOW_OUTCOME,
	SHADOW_OTHER_OUTBOX_ID,
	SHADOW_OTHER_STATE,
	SHADOW_OTHER_EFFECT,
	SHADOW_OTHER_OUTCOME,
	SHADOW_SAME,
	NUM_SHADOW_COLUMNS
};

/* How a replay ended. */
typedef struct ShadowResult
{
	bool ended;
	text *state;
	text *effect;   /* NULL: none */
	Jsonb *outcome; /* NULL: none */
} ShadowResult;

/* A comparison under way. */
typedef struct Shadow
{
	ReturnSetInfo *result;
	Viewer viewer;
	Snapshot snapshot;
	MemoryContext context; /* for one row */
	int64 batch_id;
	int64 other_batch_id; /* 0: any; the latest replay to the target counts */
	ChainReader chains;   /* of the other target */
	TableFinder deliveries;
	SPIPlanPtr actions;
	SPIPlanPtr next;
	int64 wanted; /* so many more */
} Shadow;

PG_FUNCTION_INFO_V1(acteon_replay_shadow);

/*
 * Find the replay of an action with which another one is compared; its row is then in the
 * outbox of the chains.  Returns its outbox id; 0 if there is none that the viewer sees.
 */
static int64
find_other(Shadow *shadow, const text *original, const text *namespace, const text *tenant)
{
	TableFinder *outbox = &shadow->chains.actions.outbox;
	int64 found = 0;
	int generation = 0;
	bool isnull;

	while ((generation = NextInChain(&shadow->chains, original, generation, shadow->snapshot)) != 0)
	{
		GrantTarget whose;

		CHECK_FOR_INTERRUPTS();
		if (!OutboxRowIsOf(outbox->slot, namespace, tenant) ||
			(shadow->other_batch_id != 0 &&
			 DatumGetInt64(FoundColumn(outbox, Anum_outbox_batch_id, &isnull)) !=
				 shadow->other_batch_id))
			continue;
		whose = (GrantTarget){
			.tenant = unconstify(text *, tenant),
			.namespace = unconstify(text *, namespace),
			.provider = DatumGetTextPP(FoundColumn(outbox, Anum_outbox_provider, &isnull)),
			.action_type = DatumGetTextPP(FoundColumn(outbox, Anum_outbox_action_type, &isnull))};
		if (GrantsCover(shadow->viewer.grants, GRANT_READ, &whose))
			found = DatumGetInt64(FoundColumn(outbox, Anum_outbox_id, &isnull));
	}
	return found;
}

/*
 * Read how the other replay ended.
 */
static void
read_other(Shadow *shadow, int64 outbox_id, ShadowResult *result)
{
	bool isnull;
	Datum value;

	memset(result, 0, sizeof(*result));
	if (outbox_id == 0 ||
		!FindRow(&shadow->deliveries, F_INT8EQ, Int64GetDatum(outbox_id), shadow->snapshot))
		return;
	result->ended = true;
	result->state =
		DatumGetTextPCopy(FoundColumn(&shadow->deliveries, Anum_delivery_state, &isnull));
	value = FoundColumn(&shadow->deliveries, Anum_delivery_effect, &isnull);
	if (!isnull)
		result->effect = DatumGetTextPCopy(value);
	value = FoundColumn(&shadow->deliveries, Anum_delivery_outcome, &isnull);
	if (!isnull)
		result->outcome = UnpackOutcome(value);
}

/*
 * Read how the action of a fetched row ended.
 */
static void
read_ours(HeapTuple tuple, TupleDesc desc, ShadowResult *result)
{
	bool isnull;
	Datum value = SPI_getbinval(tuple, desc, OURS_OUTCOME, &isnull);

	memset(result, 0, sizeof(*result));
	if (!isnull)
		result->outcome = DatumGetJsonbP(value);
	result->state = FetchedText(tuple, desc, OURS_STATE);
	result->effect = FetchedText(tuple, desc, OURS_EFFECT);
	result->ended = result->state != NULL;
}

/*
 * Whether a replay has ended in a way that tells something about its action: it was
 * answered, or given up.
 */
static bool
tells_result(const ShadowResult *result)
{
	return result->ended && (TextIs(result->state, ActionStateNames[ACTION_DELIVERED]) ||
							 TextIs(result->state, ActionStateNames[ACTION_DEAD]));
}

/*
 * The name of an outcome; empty if there is none.
 */
static const char *
outcome_name(const ShadowResult *result)
{
	AnswerReading reading;

	if (result->outcome == NULL)
		return "";
	ReadAnswer(result->outcome, &reading);
	return pstrdup(reading.name);
}

/*
 * Whether two replays ended in the same way: with the same effect, and an outcome of the
 * same name.  What is in it differs always.
 */
static bool
ended_alike(const ShadowResult *a, const ShadowResult *b)
{
	return SameText(a->state, b->state) && SameOptionalText(a->effect, b->effect) &&
		   strcmp(outcome_name(a), outcome_name(b)) == 0;
}

/*
 * Set a column of the result that may be NULL.
 */
static void
set_pointer(Datum *values, bool *nulls, int column, const void *value)
{
	values[column] = PointerGetDatum(value);
	nulls[column] = value == NULL;
}

/*
 * Put out the action of a fetched row, if the viewer sees it.
 */
static void
put_out(Shadow *shadow, HeapTuple tuple, TupleDesc desc)
{
	Datum values[NUM_SHADOW_COLUMNS] = {0};
	bool nulls[NUM_SHADOW_COLUMNS] = {false};
	text *original = FetchedText(tuple, desc, OURS_ORIGINAL);
	ShadowResult ours, other;
	int64 other_id;

	if (!SeesFetchedRow(&shadow->viewer, tuple, desc, OURS_NAMESPACE))
		return;
	read_ours(tuple, desc, &ours);
	other_id = find_other(shadow, original, FetchedText(tuple, desc, OURS_NAMESPACE),
						  FetchedText(tuple, desc, OURS_TENANT));
	read_other(shadow, other_id, &other);
	values[SHADOW_OUTBOX_ID] = SPI_getbinval(tuple, desc, OURS_ID, &nulls[SHADOW_OUTBOX_ID]);
	set_pointer(values, nulls, SHADOW_ORIGINAL, original);
	set_pointer(values, nulls, SHADOW_STATE, ours.state);
	set_pointer(values, nulls, SHADOW_EFFECT, ours.effect);
	set_pointer(values, nulls, SHADOW_OUTCOME, ours.outcome);
	values[SHADOW_OTHER_OUTBOX_ID] = Int64GetDatum(other_id);
	nulls[SHADOW_OTHER_OUTBOX_ID] = other_id == 0;
	set_pointer(values, nulls, SHADOW_OTHER_STATE, other.state);
	set_pointer(values, nulls, SHADOW_OTHER_EFFECT, other.effect);
	set_pointer(values, nulls, SHADOW_OTHER_OUTCOME, other.outcome);
	nulls[SHADOW_SAME] = !tells_result(&ours) || !tells_result(&other);
	if (!nulls[SHADOW_SAME])
		values[SHADOW_SAME] = BoolGetDatum(ended_alike(&ours, &other));
	tuplestore_putvalues(shadow->result->setResult, shadow->result->setDesc, values, nulls);
	shadow->wanted -= shadow->wanted == PG_INT64_MAX ? 0 : 1;
}

/*
 * Put out the actions of the batch in a range of ids, as many as are wanted.
 */
static void
put_out_range(Shadow *shadow, int64 from_id, int64 to_id)
{
	Datum values[] = {Int64GetDatum(shadow->batch_id), Int64GetDatum(from_id),
					  Int64GetDatum(to_id)};
	Portal portal = SPI_cursor_open(NULL, shadow->actions, values, NULL, true);

	while (shadow->wanted > 0)
	{
		SPI_cursor_fetch(portal, true, (long) Min(FETCH_ROWS, shadow->wanted));
		if (SPI_processed == 0)
			break;
		for (uint64 row = 0; row < SPI_processed && shadow->wanted > 0; row++)
		{
			MemoryContext old = MemoryContextSwitchTo(shadow->context);

			CHECK_FOR_INTERRUPTS();
			put_out(shadow, SPI_tuptable->vals[row], SPI_tuptable->tupdesc);
			MemoryContextSwitchTo(old);
			MemoryContextReset(shadow->context);
		}
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
}

/*
 * The first id of an action, from *id up to another; false, if there is none.
 */
static bool
skip_to_action(Shadow *shadow, int64 *id, int64 last_id)
{
	Datum values[] = {Int64GetDatum(shadow->batch_id), Int64GetDatum(*id), Int64GetDatum(last_id)};
	bool isnull;

	if (SPI_execute_plan(shadow->next, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the outbox: %s", SPI_result_code_string(SPI_result));
	if (SPI_processed == 0)
		return false;
	*id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_freetuptable(SPI_tuptable);
	return true;
}

/*
 * Prepare a statement about a batch and a range of ids.
 */
static SPIPlanPtr
prepare(const Shadow *shadow, const char *statement)
{
	Oid types[] = {INT8OID, INT8OID, INT8OID};
	SPIPlanPtr plan =
		SPI_prepare(psprintf(statement, shadow->viewer.schema), lengthof(types), types);

	if (plan == NULL)
		elog(ERROR, "could not prepare a statement: %s", SPI_result_code_string(SPI_result));
	return plan;
}

/*
 * Put out the actions of the batch whose ids come after one, in ranges that begin short, as
 * those of acteon_replay_items do.
 */
static void
put_out_batch(Shadow *shadow, const BatchRow *batch, int64 after_id)
{
	int64 range = FIRST_RANGE;
	int64 id = batch->first_outbox_id;

	if (id == 0 || after_id >= batch->last_outbox_id)
		return;
	id = Max(id, after_id + 1);
	shadow->actions = prepare(shadow, READ_ACTIONS);
	shadow->next = prepare(shadow, NEXT_ACTION);
	while (shadow->wanted > 0 && id <= batch->last_outbox_id &&
		   skip_to_action(shadow, &id, batch->last_outbox_id))
	{
		int64 to_id = batch->last_outbox_id - id < range ? batch->last_outbox_id : id + range - 1;

		CHECK_FOR_INTERRUPTS();
		put_out_range(shadow, id, to_id);
		id = to_id + 1;
		range = Min(2 * range, LONGEST_RANGE);
	}
}

/*
 * Read the row of a batch of which the viewer sees something.
 */
static void
read_seen_batch(Shadow *shadow, Oid schema, int64 batch_id, BatchRow *batch)
{
	if (!SeesBatch(&shadow->viewer, batch_id) || !ReadBatch(schema, batch_id, batch))
		ReportUnknownBatch(batch_id);
}

/*
 * Read what the batch is compared with: another batch, or what was replayed to a target.
 * Returns the target; NULL for production.  Compared with itself, a batch would always be
 * the same.
 */
static const char *
read_other_side(Shadow *shadow, FunctionCallInfo fcinfo, Oid schema, const BatchRow *batch)
{
	BatchRow other;

	if (PG_ARGISNULL(1))
	{
		const char *target =
			PG_ARGISNULL(2) ? NULL : CheckTarget(text_to_cstring(PG_GETARG_TEXT_PP(2)));
		const char *own = StoredTarget(batch->query);

		if (strcmp(NameOfTarget(target), NameOfTarget(own)) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("batch " INT64_FORMAT " cannot be compared with its own target, \"%s\"",
							batch->id, NameOfTarget(target)),
					 errhint("Pass other_target, or the other batch: other_batch_id.")));
		return target;
	}
	if (!PG_ARGISNULL(2))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("other_batch_id and other_target cannot be used together"),
						errhint("Leave one of the two out.")));
	shadow->other_batch_id = BatchArgument(fcinfo, 1);
	if (shadow->other_batch_id == batch->id)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("batch " INT64_FORMAT " cannot be compared with itself", batch->id),
						errhint("Pass another batch, or other_target.")));
	read_seen_batch(shadow, schema, shadow->other_batch_id, &other);
	return StoredTarget(other.query);
}

/*
 * acteon_replay_shadow(batch_id, other_batch_id bigint, other_target text, after_id,
 * max_rows bigint) → setof (outbox_id, original_action_id, state, effect, outcome,
 * other_outbox_id, other_state, other_effect, other_outcome, same)
 *
 * The results of a batch's actions beside those of the same actions in another batch, or of
 * their latest replays to a target: those actions that grants of the current role for
 * reading cover, in the order of the outbox; at most max_rows, and only those whose outbox
 * ids are greater than after_id.  Reads only.  Raises no_data_found for a batch that is not
 * there or of which the role sees nothing, and invalid_parameter_value.
 */
Datum
acteon_replay_shadow(PG_FUNCTION_ARGS)
{
	Oid schema = CalledSchema(fcinfo);
	Shadow shadow = {.wanted = PG_INT64_MAX};
	int64 after_id = PG_ARGISNULL(3) ? PG_INT64_MIN : PG_GETARG_INT64(3);
	BatchRow batch;
	const char *target;

	shadow.batch_id = BatchArgument(fcinfo, 0);
	if (!PG_ARGISNULL(4))
		shadow.wanted = PG_GETARG_INT64(4);
	if (shadow.wanted < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("max_rows must not be negative"),
				 errhint("Leave it out for all of them.")));
	InitMaterializedSRF(fcinfo, 0);
	shadow.result = (ReturnSetInfo *) fcinfo->resultinfo;
	shadow.context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay shadow", ALLOCSET_DEFAULT_SIZES);
	BeginSight(&shadow.viewer, fcinfo);
	SetLocally("enable_seqscan", "off");
	read_seen_batch(&shadow, schema, shadow.batch_id, &batch);
	target = read_other_side(&shadow, fcinfo, schema, &batch);
	shadow.snapshot = RegisterSnapshot(GetActiveSnapshot());
	if (OpenChains(&shadow.chains, schema))
	{
		shadow.chains.target = target;
		KeepActionScans(&shadow.chains.actions, shadow.snapshot);
		OpenPartedFinder(&shadow.deliveries, schema, DELIVERY_TABLE, Anum_delivery_outbox_id);
		KeepScan(&shadow.deliveries, shadow.snapshot);
		put_out_batch(&shadow, &batch, after_id);
		CloseFinder(&shadow.deliveries);
		CloseChains(&shadow.chains);
	}
	UnregisterSnapshot(shadow.snapshot);
	EndSight(&shadow.viewer);
	return (Datum) 0;
}
