/*
 * proof.c
 *		acteon_replay_proof and acteon_replay_proof_items: what the audit
 *		table says about the actions of a batch, compared with what
 *		consumers reported.
 *
 * The actions are read in the order of the outbox, and looked up in groups by
 * all ids that they were sent under.  Nothing is written, so the functions work
 * on a standby, too.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "audit/audit_table.h"
#include "audit/audit_lookup.h"
#include "base/catalog.h"
#include "base/installation.h"
#include "base/message.h"
#include "base/settings.h"
#include "base/text.h"
#include "base/replay_id.h"
#include "batch/batch_list.h"
#include "batch/batch_row.h"
#include "query/stored_query.h"
#include "queue/action_state.h"
#include "queue/batch_flags.h"
#include "queue/delivery.h"
#include "queue/outcome_type.h"
#include "queue/segment.h"

/* What the audit table says of an action. */
typedef enum Verdict
{
	VERDICT_PROVEN,        /* it had its effect */
	VERDICT_NO_EFFECT,     /* it had none */
	VERDICT_LATER,         /* the gateway goes on with it */
	VERDICT_DECIDED,       /* the gateway chose not to execute it */
	VERDICT_UNKNOWN,       /* the record does not tell */
	VERDICT_IN_DOUBT,      /* the gateway was about to begin; nothing tells how that ended */
	VERDICT_EXPIRED,       /* a record would be older than all that the table keeps */
	VERDICT_ANSWERED,      /* the gateway has answered and not recorded */
	VERDICT_NO_RECORD,     /* it was handed out, and there is no record */
	VERDICT_NOT_SENT,      /* it was never handed out */
	VERDICT_CONTRADICTION, /* two ids had an effect, or the record says the opposite */
	NUM_VERDICTS
} Verdict;

static const char *const verdict_names[NUM_VERDICTS] = {
	[VERDICT_PROVEN] = "proven",
	[VERDICT_NO_EFFECT] = "no effect",
	[VERDICT_LATER] = EFFECT_NAME_LATER,
	[VERDICT_DECIDED] = EFFECT_NAME_DECIDED,
	[VERDICT_UNKNOWN] = EFFECT_NAME_UNKNOWN,
	[VERDICT_IN_DOUBT] = "in doubt",
	[VERDICT_EXPIRED] = STATE_EXPIRED,
	[VERDICT_ANSWERED] = "answered, no outcome record",
	[VERDICT_NO_RECORD] = "no record",
	[VERDICT_NOT_SENT] = "not sent",
	[VERDICT_CONTRADICTION] = "contradiction",
};

/*
 * What this database was told of an action: the effect of what was delivered,
 * numbered as in Effect, or how far it has come.
 */
typedef enum Told
{
	TOLD_SETTLED = NUM_EFFECTS, /* a person said that it was delivered */
	TOLD_DEAD,
	TOLD_CANCELLED,
	TOLD_EXPIRED,
	TOLD_WAITING,
	TOLD_IN_FLIGHT,
	TOLD_IN_DOUBT,
	NUM_TOLD
} Told;

/* The names of those that are no effects. */
static const char *const told_names[NUM_TOLD - NUM_EFFECTS] = {
	KNOWN_BY_PERSON_NAME, STATE_DEAD,  STATE_CANCELLED, STATE_EXPIRED,
	STATE_WAITING,        "in_flight", STATE_IN_DOUBT,
};

/* New ids of an action that are looked for at most. */
#define MAX_RESENDS 1000

/*
 * The actions of batch $1 behind $2.  %s is the extension's schema, as in all
 * statements that run as the tables' owner.
 */
#define READ_ACTIONS \
	"SELECT o.id, o.original_action_id, o.generation, o.namespace, o.tenant, o.provider," \
	"	o.action_type, o.dedup_key, o.created_at " \
	"FROM %1$s.acteon_replay_batch AS b" \
	"	JOIN %1$s.acteon_dispatch_outbox AS o" \
	"		ON o.id BETWEEN b.first_outbox_id AND b.last_outbox_id AND o.batch_id = b.id " \
	"WHERE b.id = $1 AND o.id > $2 ORDER BY o.id"

/* Its columns. */
enum
{
	ACTION_ID = 1,
	ACTION_ORIGINAL,
	ACTION_GENERATION,
	ACTION_NAMESPACE,
	ACTION_TENANT,
	ACTION_PROVIDER,
	ACTION_TYPE,
	ACTION_DEDUP_KEY,
	ACTION_CREATED_AT
};

/* An action of the batch. */
typedef struct ProvenAction
{
	int64 outbox_id;
	Told told;
	bool answered;           /* by the gateway */
	bool handed_out;         /* ever */
	int resend;              /* which of its ids is the last one */
	TimestampTz recorded_at; /* the record would not be older */
} ProvenAction;

/* A call of one of the functions. */
typedef struct ProofCall
{
	ReturnSetInfo *result;
	Viewer viewer;
	int64 batch_id;
	int64 after;
	int64 most; /* actions, or items, that are taken at most */
	bool wants_items;
	int wanted_verdict; /* of the items; -1: any */
	pg_uuid_t namespace;
	bool is_cancelled; /* the batch */
	Snapshot snapshot;
	TimestampTz now;
	TableFinder deliveries;
	TableFinder segments;
	Lookup *lookup;
	MemoryContext context; /* of the actions that are looked up at once */
	ProvenAction *actions;
	LookupKey *keys;
	int count;
	int64 taken;
	int64 tally[NUM_VERDICTS][NUM_TOLD];
} ProofCall;

PG_FUNCTION_INFO_V1(acteon_replay_proof);
PG_FUNCTION_INFO_V1(acteon_replay_proof_items);

/*
 * What was told, in words.
 */
static const char *
told_name(Told told)
{
	int place = (int) told;

	return place < NUM_EFFECTS ? EffectNames[place] : told_names[place - NUM_EFFECTS];
}

/*
 * Find a verdict by its name.
 */
static int
find_verdict(const char *name)
{
	for (int i = 0; i < NUM_VERDICTS; i++)
	{
		if (strcmp(name, verdict_names[i]) == 0)
			return i;
	}
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("unknown verdict \"%s\"", ClipForMessage(name, strlen(name))),
					errhint("Use %s.", ListNames(verdict_names, NUM_VERDICTS))));
}

/*
 * Refuse a number that is below what makes sense.
 */
static int64
check_number(const char *name, int64 value, int64 least)
{
	if (value < least)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be at least " INT64_FORMAT, name, least),
						errdetail("It is " INT64_FORMAT ".", value),
						errhint("Leave it out to begin at the first action, or to get all.")));
	return value;
}

/*
 * A column of the row that was found last in one of our tables; false, and 0,
 * if it is NULL.
 */
static bool
get_found(TableFinder *finder, AttrNumber column, Datum *value)
{
	bool isnull;

	*value = FoundColumn(finder, column, &isnull);
	return !isnull;
}

/*
 * Whether a column of the delivery that was found last is a given text.
 */
static bool
delivery_says(ProofCall *call, AttrNumber column, const char *string)
{
	Datum value;

	return get_found(&call->deliveries, column, &value) && TextIs(DatumGetTextPP(value), string);
}

/*
 * The effect of what was delivered.  Version 1.0 has not stored it.
 */
static Effect
delivered_effect(ProofCall *call)
{
	AnswerReading reading;
	Datum value;

	if (get_found(&call->deliveries, Anum_delivery_effect, &value))
		return EffectByName(DatumGetTextPP(value));
	if (!get_found(&call->deliveries, Anum_delivery_outcome, &value))
		return EFFECT_UNKNOWN;
	ReadAnswer(UnpackOutcome(value), &reading);
	return reading.effect;
}

/*
 * Read what is known of a finished action: how it ended.
 */
static void
read_delivery(ProofCall *call, ProvenAction *action)
{
	Datum value;
	ActionState state;

	(void) get_found(&call->deliveries, Anum_delivery_state, &value);
	state = FinishedState(TextDatumGetCString(value));
	(void) get_found(&call->deliveries, Anum_delivery_resend, &value);
	action->resend = DatumGetInt32(value);
	(void) get_found(&call->deliveries, Anum_delivery_attempts, &value);
	action->handed_out =
		state == ACTION_DELIVERED || DatumGetInt32(value) > 0 || action->resend > 0;
	if (get_found(&call->deliveries, Anum_delivery_finished_at, &value))
		action->recorded_at =
			Max(action->recorded_at, TimestampTzPlusMilliseconds(DatumGetTimestampTz(value),
																 -(int64) GatewayPatience * 1000));
	if (state == ACTION_DEAD)
		action->told = TOLD_DEAD;
	else if (state == ACTION_CANCELLED)
		action->told = TOLD_CANCELLED;
	else if (state == ACTION_EXPIRED)
		action->told = TOLD_EXPIRED;
	else if (delivery_says(call, Anum_delivery_known_by, KNOWN_BY_PERSON_NAME))
		action->told = TOLD_SETTLED;
	else
	{
		action->told = (Told) delivered_effect(call);
		action->answered = !delivery_says(call, Anum_delivery_known_by, KNOWN_BY_RECORD_NAME);
	}
}

/*
 * Read what is known of an unfinished action: the segment that covers it.
 */
static void
read_segment(ProofCall *call, ProvenAction *action)
{
	Datum value;

	action->told = call->is_cancelled ? TOLD_CANCELLED : TOLD_WAITING;
	if (!FindLastRow(&call->segments, action->outbox_id - SEGMENT_ACTIONS, action->outbox_id,
					 call->snapshot) ||
		!get_found(&call->segments, Anum_segment_last_id, &value) ||
		DatumGetInt64(value) < action->outbox_id)
		return;
	(void) get_found(&call->segments, Anum_segment_resend, &value);
	action->resend = DatumGetInt32(value);
	action->handed_out = get_found(&call->segments, Anum_segment_sent_at, &value);
	if (action->handed_out)
		action->recorded_at = DatumGetTimestampTz(value);
	switch (SegmentRowState(&call->segments, call->now))
	{
		case ACTION_RUNNING:
			action->told = TOLD_IN_FLIGHT;
			break;
		case ACTION_IN_DOUBT:
			action->told = TOLD_IN_DOUBT;
			break;
		case ACTION_CANCELLED:
			action->told = TOLD_CANCELLED;
			break;
		default:
			break;
	}
}

/*
 * Make the ids under which an action may have been sent.
 */
static void
make_ids(ProofCall *call, LookupKey *key, const ProvenAction *action, const text *original,
		 int generation)
{
	int count = Min(action->resend, MAX_RESENDS) + 1;
	pg_uuid_t *ids = palloc(count * sizeof(pg_uuid_t));

	for (int i = 0; i < count; i++)
		ResendId(&ids[i], &call->namespace, VARDATA_ANY(original), VARSIZE_ANY_EXHDR(original),
				 NULL, generation, i);
	key->ids = ids;
	key->id_count = count;
}

/*
 * Add a fetched action to those that are looked up at once.
 */
static void
add_action(ProofCall *call, HeapTuple tuple, TupleDesc desc)
{
	ProvenAction *action = &call->actions[call->count];
	LookupKey *key = &call->keys[call->count];
	bool isnull;

	memset(action, 0, sizeof(*action));
	action->outbox_id = DatumGetInt64(SPI_getbinval(tuple, desc, ACTION_ID, &isnull));
	action->recorded_at =
		DatumGetTimestampTz(SPI_getbinval(tuple, desc, ACTION_CREATED_AT, &isnull));
	if (FindRow(&call->deliveries, F_INT8EQ, Int64GetDatum(action->outbox_id), call->snapshot))
		read_delivery(call, action);
	else
		read_segment(call, action);
	make_ids(call, key, action, FetchedText(tuple, desc, ACTION_ORIGINAL),
			 DatumGetInt32(SPI_getbinval(tuple, desc, ACTION_GENERATION, &isnull)));
	key->namespace = FetchedText(tuple, desc, ACTION_NAMESPACE);
	key->tenant = FetchedText(tuple, desc, ACTION_TENANT);
	key->dedup_key = FetchedText(tuple, desc, ACTION_DEDUP_KEY);
	call->count++;
}

/*
 * Whether a record says the opposite of what was told: one that there was an
 * effect, the other that there was none.  What was told of one id is not
 * contradicted by a record of another one that had no effect.
 */
static bool
is_opposite(const ProvenAction *action, const Finding *finding)
{
	switch ((int) action->told)
	{
		case EFFECT_DONE:
			return finding->id == action->resend &&
				   (finding->effect == EFFECT_NONE || finding->effect == EFFECT_DECIDED);
		case EFFECT_NONE:
		case EFFECT_DECIDED:
		case TOLD_DEAD:
		case TOLD_CANCELLED:
		case TOLD_EXPIRED:
			return finding->effect == EFFECT_DONE;
		default:
			return false;
	}
}

/*
 * Whether the id that matters has no record, although an earlier one has: the id
 * that was answered, or that is out, unless the earlier one may have had an
 * effect.
 */
static bool
is_about_earlier_id(const ProvenAction *action, const Finding *finding)
{
	if (finding->id == action->resend || finding->effect == EFFECT_DONE)
		return false;
	if (action->answered)
		return true;
	return (action->told == TOLD_IN_DOUBT || action->told == TOLD_IN_FLIGHT) &&
		   (finding->effect == EFFECT_NONE || finding->effect == EFFECT_DECIDED);
}

/*
 * What an action without a record is.  One that is in doubt may have been sent
 * though nothing says so here: by the primary, whose last commits a failover has lost.
 */
static Verdict
judge_missing(ProofCall *call, const ProvenAction *action)
{
	if (!action->handed_out && action->told != TOLD_IN_DOUBT)
		return VERDICT_NOT_SENT;
	if (!AuditIsKept(call->lookup, action->recorded_at))
		return VERDICT_EXPIRED;
	return action->answered ? VERDICT_ANSWERED : VERDICT_NO_RECORD;
}

/*
 * What the audit table says of an action.
 */
static Verdict
judge(ProofCall *call, const ProvenAction *action, const Finding *finding)
{
	static const Verdict by_effect[NUM_EFFECTS] = {
		[EFFECT_DONE] = VERDICT_PROVEN,     [EFFECT_NONE] = VERDICT_NO_EFFECT,
		[EFFECT_LATER] = VERDICT_LATER,     [EFFECT_DECIDED] = VERDICT_DECIDED,
		[EFFECT_UNKNOWN] = VERDICT_UNKNOWN,
	};

	if (!finding->has_outcome && !finding->has_intent)
		return judge_missing(call, action);
	if (!finding->has_outcome)
		return action->answered ? VERDICT_ANSWERED : VERDICT_IN_DOUBT;
	if (finding->done_ids > 1 || is_opposite(action, finding))
		return VERDICT_CONTRADICTION;
	if (is_about_earlier_id(action, finding))
		return judge_missing(call, action);
	return by_effect[finding->effect];
}

/*
 * Return an action as a row.
 */
static void
return_item(ProofCall *call, int place, const Finding *finding, Verdict verdict)
{
	const ProvenAction *action = &call->actions[place];
	const LookupKey *key = &call->keys[place];
	bool is_recorded = finding->answer != NULL;
	Datum *ids = palloc(key->id_count * sizeof(Datum));
	Datum *record_ids = palloc(key->id_count * sizeof(Datum));
	int record_count = 0;
	Datum values[8];
	bool nulls[8] = {false};

	for (int i = 0; i < key->id_count; i++)
	{
		ids[i] = UUIDPGetDatum(&key->ids[i]);
		if (is_recorded && finding->record_ids[i] != 0)
			record_ids[record_count++] = finding->record_ids[i];
	}
	values[0] = Int64GetDatum(action->outbox_id);
	values[1] = PointerGetDatum(
		construct_array(ids, key->id_count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	values[2] = CStringGetTextDatum(verdict_names[verdict]);
	values[3] = CStringGetTextDatum(told_name(action->told));
	nulls[4] = nulls[5] = nulls[6] = nulls[7] = !is_recorded;
	if (is_recorded)
	{
		values[4] = CStringGetTextDatum(EffectNames[finding->effect]);
		values[5] = JsonbPGetDatum(finding->answer);
		values[6] = PointerGetDatum(
			construct_array(record_ids, record_count, TEXTOID, -1, false, TYPALIGN_INT));
		values[7] = TimestampTzGetDatum(finding->dispatched_at);
	}
	tuplestore_putvalues(call->result->setResult, call->result->setDesc, values, nulls);
}

/*
 * Look the actions up that have been added, and count or return them.
 */
static void
judge_actions(ProofCall *call)
{
	Finding *findings = palloc(Max(call->count, 1) * sizeof(Finding));

	LookUpActions(call->lookup, call->keys, call->count, findings);
	if (!AuditIsReadable(call->lookup))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("audit table cannot be read"),
						errhint("Check that its owner can read it, and that it is not locked.")));
	for (int i = 0; i < call->count && call->taken < call->most; i++)
	{
		Verdict verdict = judge(call, &call->actions[i], &findings[i]);

		call->after = call->actions[i].outbox_id;
		if (!call->wants_items)
			call->tally[verdict][call->actions[i].told]++;
		else if (call->wanted_verdict < 0 || call->wanted_verdict == (int) verdict)
			return_item(call, i, &findings[i], verdict);
		else
			continue;
		call->taken++;
	}
	call->count = 0;
}

/*
 * Go through the actions of the batch, as far as the viewer may see them.
 * Returns whether there are more than were taken.
 */
static bool
walk_actions(ProofCall *call)
{
	Oid types[] = {INT8OID, INT8OID};
	Datum values[] = {Int64GetDatum(call->batch_id), Int64GetDatum(call->after)};
	Portal portal = SPI_cursor_open_with_args(NULL, psprintf(READ_ACTIONS, call->viewer.schema), 2,
											  types, values, NULL, true, 0);
	bool has_more = false;

	for (;;)
	{
		MemoryContext old;

		SPI_cursor_fetch(portal, true, LOOKUP_KEYS);
		if (SPI_processed == 0)
			break;
		CHECK_FOR_INTERRUPTS();
		old = MemoryContextSwitchTo(call->context);
		for (uint64 row = 0; row < SPI_processed && !has_more; row++)
		{
			HeapTuple tuple = SPI_tuptable->vals[row];

			if (!SeesFetchedRow(&call->viewer, tuple, SPI_tuptable->tupdesc, ACTION_NAMESPACE))
				continue;
			if (!call->wants_items && call->taken + call->count == call->most)
				has_more = true;
			else
				add_action(call, tuple, SPI_tuptable->tupdesc);
		}
		judge_actions(call);
		MemoryContextSwitchTo(old);
		MemoryContextReset(call->context);
		SPI_freetuptable(SPI_tuptable);
		if (has_more || (call->wants_items && call->taken == call->most))
			break;
	}
	SPI_cursor_close(portal);
	return has_more;
}

/*
 * Refuse a batch that went to another target than production: its gateway writes its
 * records elsewhere.
 */
static void
refuse_elsewhere(Oid schema, int64 batch_id)
{
	BatchRow batch;
	const char *target;

	if (!ReadBatch(schema, batch_id, &batch))
		return;
	target = StoredTarget(batch.query);
	if (target != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the audit table proves nothing about batch " INT64_FORMAT, batch_id),
				 errdetail("It goes to target \"%s\", which keeps its records elsewhere.", target),
				 errhint("acteon_replay_shadow() compares its results with those in production.")));
}

/*
 * Begin a call: see that the batch may be seen and that there is an audit
 * table, which has to be locked before anything is looked up.
 */
static void
begin_proof(ProofCall *call, FunctionCallInfo fcinfo)
{
	Oid schema = CalledSchema(fcinfo);
	AuditTable table;
	TableFinder batches;

	call->result = (ReturnSetInfo *) fcinfo->resultinfo;
	call->batch_id = BatchArgument(fcinfo, 0);
	InitMaterializedSRF(fcinfo, 0);
	call->context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay proof", ALLOCSET_DEFAULT_SIZES);
	call->actions = palloc(LOOKUP_KEYS * sizeof(ProvenAction));
	call->keys = palloc(LOOKUP_KEYS * sizeof(LookupKey));
	call->lookup = OpenLookup(schema);
	(void) ReadNamespace(schema, &call->namespace);
	call->now = GetCurrentTimestamp();
	BeginSight(&call->viewer, fcinfo);
	if (!SeesBatch(&call->viewer, call->batch_id))
		ReportUnknownBatch(call->batch_id);
	refuse_elsewhere(schema, call->batch_id);
	OpenAuditTable(&table, schema);
	CheckAuditColumn(&table, "outcome_details", JSONBOID);
	CloseAuditTable(&table);
	call->snapshot = RegisterSnapshot(GetLatestSnapshot());
	OpenFinder(&batches, OwnTable(schema, BATCH_TABLE), Anum_batch_id);
	call->is_cancelled = StopOfBatch(&batches, call->batch_id, call->snapshot) == BATCH_CANCELLED;
	CloseFinder(&batches);
	OpenPartedFinder(&call->deliveries, schema, DELIVERY_TABLE, Anum_delivery_outbox_id);
	KeepScan(&call->deliveries, call->snapshot);
	OpenFinder(&call->segments, OwnTable(schema, SEGMENT_TABLE), Anum_segment_first_id);
}

/*
 * End a call.
 */
static void
end_proof(ProofCall *call)
{
	CloseFinder(&call->deliveries);
	CloseFinder(&call->segments);
	UnregisterSnapshot(call->snapshot);
	CloseLookup(call->lookup);
	EndSight(&call->viewer);
	MemoryContextDelete(call->context);
}

/*
 * acteon_replay_proof(batch_id, after, max_actions bigint) → setof (verdict,
 * told text, actions, next bigint)
 *
 * Number of actions of a batch, of those that a grant of the current role for
 * reading covers, by what the audit table says about them and what was
 * reported.  Only actions after an outbox id, and at most the given number: next
 * is where to continue, NULL if there are no more.  Reads only.  Raises
 * no_data_found for a batch that does not exist or of which the role sees
 * nothing, undefined_table without an audit table, and invalid_parameter_value.
 */
Datum
acteon_replay_proof(PG_FUNCTION_ARGS)
{
	ProofCall call = {0};
	bool has_more;

	call.after = check_number("after", PG_ARGISNULL(1) ? 0 : PG_GETARG_INT64(1), 0);
	call.most = check_number("max_actions", PG_ARGISNULL(2) ? PG_INT64_MAX : PG_GETARG_INT64(2), 1);
	begin_proof(&call, fcinfo);
	has_more = walk_actions(&call);
	for (int i = 0; i < NUM_VERDICTS; i++)
	{
		for (int j = 0; j < NUM_TOLD; j++)
		{
			Datum values[] = {CStringGetTextDatum(verdict_names[i]),
							  CStringGetTextDatum(told_name(j)), Int64GetDatum(call.tally[i][j]),
							  Int64GetDatum(call.after)};
			bool nulls[] = {false, false, false, !has_more};

			if (call.tally[i][j] > 0)
				tuplestore_putvalues(call.result->setResult, call.result->setDesc, values, nulls);
		}
	}
	end_proof(&call);
	return (Datum) 0;
}

/*
 * acteon_replay_proof_items(batch_id bigint, verdict text, after bigint,
 * max_items integer) → setof (outbox_id, action_ids, verdict, told, effect,
 * outcome, record_ids, dispatched_at)
 *
 * The single actions, in the order of the outbox, of one verdict or of all:
 * those behind an outbox id, and no more than are asked for.  The same rights
 * and errors as acteon_replay_proof.
 */
Datum
acteon_replay_proof_items(PG_FUNCTION_ARGS)
{
	ProofCall call = {.wants_items = true, .wanted_verdict = -1};

	if (!PG_ARGISNULL(1))
		call.wanted_verdict = find_verdict(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	call.after = check_number("after", PG_ARGISNULL(2) ? 0 : PG_GETARG_INT64(2), 0);
	call.most = check_number("max_items", PG_ARGISNULL(3) ? PG_INT64_MAX : PG_GETARG_INT32(3), 1);
	begin_proof(&call, fcinfo);
	(void) walk_actions(&call);
	end_proof(&call);
	return (Datum) 0;
}
