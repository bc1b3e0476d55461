/*
 * item_list.c
 *		acteon_replay_items: the single actions of a batch.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/message.h"
#include "batch/batch_list.h"
#include "queue/action_state.h"
#include "queue/batch_flags.h"
#include "queue/effect.h"

/* Rows that are fetched at once. */
#define FETCH_ROWS 1000

/* Outbox ids that are read at once: at first, and at most. */
#define FIRST_RANGE 128
#define LONGEST_RANGE (64 * 1024)

/* Attributes of the type acteon_replay_item that are looked at here. */
enum
{
	ITEM_NAMESPACE = 4,
	ITEM_TENANT,
	ITEM_PROVIDER,
	ITEM_ACTION_TYPE
};

/* Parameters of the statements. */
enum
{
	ITEMS_BATCH_ID, /* $1 */
	ITEMS_NOW,      /* $2 */
	ITEMS_FROM_ID,  /* $3: the range of outbox ids */
	ITEMS_TO_ID,    /* $4 */
	NUM_ITEMS_PARAMETERS
};

/* The state of segment g at the time $2. */
#define STATE_OF_SEGMENT SEGMENT_STATE("g", "$2")

/*
 * The actions of batch $1 in the range, at the time $2.  What has no delivery is
 * covered by the segment that begins last before it; the bound keeps the search from
 * walking through the remains of finished ones.  %1$s is the extension's schema,
 * %2$s a condition.
 */
#define READ_ITEMS \
	"SELECT o.id, CASE WHEN i.resend > 0" \
	"		THEN %1$s.acteon_replay_id(o.original_action_id, o.generation, i.resend)" \
	"		ELSE o.action_id END, o.original_action_id, o.namespace, o.tenant, o.provider," \
	"	o.action_type, o.generation, i.state, coalesce(d.attempts, s.attempt)," \
	"	CASE WHEN i.state = " SQL_WAITING " AND isfinite(s.due_at) THEN s.due_at END," \
	"	d.finished_at, d.outcome::jsonb, d.error, d.effect, i.resend," \
	"	coalesce(d.unproven, s.unproven, false), d.known_by, s.doubt, s.held " \
	"FROM %1$s.acteon_replay_batch AS b" \
	"	JOIN %1$s.acteon_dispatch_outbox AS o ON o.batch_id = b.id AND o.id BETWEEN $3 AND $4" \
	"	LEFT JOIN %1$s.acteon_dispatch_delivery AS d" \
	"		ON d.outbox_id = o.id AND d.outbox_id BETWEEN $3 AND $4" \
	"	LEFT JOIN LATERAL (SELECT due_at, attempt, resend, unproven, doubt, held," \
	"			" STATE_OF_SEGMENT " AS state" \
	"		FROM %1$s.acteon_dispatch_segment AS g" \
	"		WHERE d.outbox_id IS NULL AND first_id > o.id - " SQL_SEGMENT_ACTIONS \
	" AND first_id <= o.id" \
	"		ORDER BY first_id DESC LIMIT 1) AS s ON true" \
	"	CROSS JOIN LATERAL (SELECT coalesce(d.resend, s.resend, 0) AS resend," \
	"		CASE WHEN d.outbox_id IS NOT NULL THEN d.state" \
	"		WHEN s.state <> " SQL_WAITING " THEN s.state" \
	"		WHEN " IS_CANCELLED("b") " THEN " SQL_CANCELLED "		ELSE " SQL_WAITING \
									 " END AS state) AS i " \
									 "WHERE b.id = $1 AND %2$s ORDER BY o.id"

/*
 * Where the range of outbox ids begins in which something of a state can be: at a
 * segment of the batch with a condition, or at a finished action with one.
 */
#define FIRST_IN_SEGMENT(condition) \
	"SELECT greatest(first_id, $3) FROM %1$s.acteon_dispatch_segment AS g " \
	"WHERE first_id > $3 - " SQL_SEGMENT_ACTIONS \
	" AND first_id <= $4 AND last_id >= $3 AND batch_id = $1" \
	"	AND $2 IS NOT NULL AND " condition " ORDER BY first_id LIMIT 1"

#define FIRST_FINISHED(condition) \
	"SELECT outbox_id FROM %1$s.acteon_dispatch_delivery " \
	"WHERE outbox_id BETWEEN $3 AND $4 AND $1 IS NOT NULL AND $2 IS NOT NULL" \
	"	AND " condition " ORDER BY outbox_id LIMIT 1"

/* Any action: a batch may have gone on to another part of the outbox, far away. */
#define FIRST_ACTION \
	"SELECT id FROM %1$s.acteon_dispatch_outbox " \
	"WHERE id BETWEEN $3 AND $4 AND $1 IS NOT NULL AND $2 IS NOT NULL ORDER BY id LIMIT 1"

#define IS_DONE "effect = '" EFFECT_NAME_DONE "'"
#define IS_DEAD "state = " SQL_DEAD

/*
 * What can be asked for, and how it is found.
 */
typedef struct ItemState
{
	const char *name;
	const char *condition; /* %1$s is the extension's schema */
	const char *first;     /* statement for the first id that may be of it */
} ItemState;

/* What is not finished, and is in a state because its segment is. */
#define NOT_FINISHED_IN(state) \
	{ \
		state, "d.outbox_id IS NULL AND i.state = '" state "'", \
			FIRST_IN_SEGMENT("(" STATE_OF_SEGMENT ") = '" state "'") \
	}

static const ItemState all_states = {NULL, "true", FIRST_ACTION};

/* The last one is explained where an unknown state is refused. */
static const ItemState item_states[] = {
	NOT_FINISHED_IN(STATE_WAITING),
	NOT_FINISHED_IN(STATE_RUNNING),
	NOT_FINISHED_IN(STATE_IN_DOUBT),
	{"held", "d.outbox_id IS NULL AND s.held IS NOT NULL",
	 FIRST_IN_SEGMENT("doubt_since IS NOT NULL AND held IS NOT NULL")},
	{STATE_DELIVERED, "d.state = " SQL_DELIVERED, FIRST_ACTION},
	{STATE_DEAD, "d." IS_DEAD, FIRST_FINISHED(IS_DEAD)},
	{STATE_CANCELLED, "i.state = " SQL_CANCELLED, FIRST_ACTION},
	/* What was done is none (IsFailure): seen without calling the function for each. */
	{"failed",
	 "(d." IS_DONE ") IS NOT TRUE"
	 " AND %1$s.acteon_is_failure(d.state, %1$s.acteon_answer_name(d.outcome), d.effect)",
	 FIRST_FINISHED("(" IS_DONE ") IS NOT TRUE")},
};

/* A call, and how far it is. */
typedef struct ItemCall
{
	ReturnSetInfo *result;
	Viewer viewer;
	MemoryContext context; /* for one row */
	Datum parameters[NUM_ITEMS_PARAMETERS];
	SPIPlanPtr items;
	SPIPlanPtr first;
	int64 last_id; /* of the batch */
	int64 wanted;  /* so many more; PG_INT64_MAX: any number */
} ItemCall;

PG_FUNCTION_INFO_V1(acteon_replay_items);

/*
 * Find the state of a name; all of them, if it is NULL.
 */
static const ItemState *
find_state(const char *name)
{
	const char *names[lengthof(item_states)];

	if (name == NULL)
		return &all_states;
	for (int i = 0; i < lengthof(item_states); i++)
	{
		if (strcmp(name, item_states[i].name) == 0)
			return &item_states[i];
	}
	for (int i = 0; i < lengthof(item_states); i++)
		names[i] = item_states[i].name;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("unknown state \"%s\"", ClipForMessage(name, strlen(name))),
					errhint("Use %s (dead, or delivered without effect or as Failed).",
							ListNames(names, lengthof(names)))));
}

/*
 * Whether a grant of the viewer for reading covers a fetched action.
 */
static bool
is_covered(Viewer *viewer, HeapTuple tuple, TupleDesc desc)
{
	bool isnull;
	GrantTarget target = {
		.tenant = DatumGetTextPP(SPI_getbinval(tuple, desc, ITEM_TENANT, &isnull)),
		.namespace = DatumGetTextPP(SPI_getbinval(tuple, desc, ITEM_NAMESPACE, &isnull)),
		.provider = DatumGetTextPP(SPI_getbinval(tuple, desc, ITEM_PROVIDER, &isnull)),
		.action_type = DatumGetTextPP(SPI_getbinval(tuple, desc, ITEM_ACTION_TYPE, &isnull))};

	return GrantsCover(viewer->grants, GRANT_READ, &target);
}

/*
 * Prepare a statement, of which only the schema is open, or also a condition.
 */
static SPIPlanPtr
prepare(const ItemCall *call, const char *statement, const char *condition)
{
	Oid types[NUM_ITEMS_PARAMETERS] = {INT8OID, TIMESTAMPTZOID, INT8OID, INT8OID};
	char *sql = psprintf(statement, call->viewer.schema, condition);
	SPIPlanPtr plan = SPI_prepare(sql, NUM_ITEMS_PARAMETERS, types);

	if (plan == NULL)
		elog(ERROR, "could not prepare a statement: %s", SPI_result_code_string(SPI_result));
	return plan;
}

/*
 * The range of outbox ids in which the batch's actions are; false, if it has none.
 */
static bool
read_range(ItemCall *call, int64 *from_id)
{
	Oid type = INT8OID;
	bool isnull;
	char *sql = psprintf("SELECT first_outbox_id, last_outbox_id FROM %s.acteon_replay_batch "
						 "WHERE id = $1 AND first_outbox_id IS NOT NULL",
						 call->viewer.schema);

	if (SPI_execute_with_args(sql, 1, &type, &call->parameters[ITEMS_BATCH_ID], NULL, true, 0) !=
		SPI_OK_SELECT)
		elog(ERROR, "could not read a batch: %s", SPI_result_code_string(SPI_result));
	if (SPI_processed == 0)
		return false;
	*from_id =
		DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	call->last_id =
		DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	return true;
}

/*
 * The first id, from the given one on, that may be of an action in the state that is
 * asked for; false, if there is none.
 */
static bool
skip_others(ItemCall *call, int64 *id)
{
	bool isnull;

	call->parameters[ITEMS_FROM_ID] = Int64GetDatum(*id);
	call->parameters[ITEMS_TO_ID] = Int64GetDatum(call->last_id);
	if (SPI_execute_plan(call->first, call->parameters, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the queue: %s", SPI_result_code_string(SPI_result));
	if (SPI_processed == 0)
		return false;
	*id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_freetuptable(SPI_tuptable);
	return true;
}

/*
 * Return the actions of a range of ids that the viewer may read, as many as are
 * wanted.
 */
static void
return_range(ItemCall *call, int64 from_id, int64 to_id)
{
	Portal portal;

	call->parameters[ITEMS_FROM_ID] = Int64GetDatum(from_id);
	call->parameters[ITEMS_TO_ID] = Int64GetDatum(to_id);
	portal = SPI_cursor_open(NULL, call->items, call->parameters, NULL, true);
	while (call->wanted > 0)
	{
		MemoryContext old;

		SPI_cursor_fetch(portal, true, (long) Min(FETCH_ROWS, call->wanted));
		if (SPI_processed == 0)
			break;
		old = MemoryContextSwitchTo(call->context);
		for (uint64 row = 0; row < SPI_processed && call->wanted > 0; row++)
		{
			HeapTuple tuple = SPI_tuptable->vals[row];

			if (!is_covered(&call->viewer, tuple, SPI_tuptable->tupdesc))
				continue;
			tuplestore_puttuple(call->result->setResult, tuple);
			call->wanted -= call->wanted == PG_INT64_MAX ? 0 : 1;
		}
		MemoryContextSwitchTo(old);
		MemoryContextReset(call->context);
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
}

/*
 * Return the actions of a batch in a state whose ids come after one.  They are read
 * in ranges of ids, which begin short: so the first ones cost the same whatever the
 * size of the batch, and no plan depends on statistics.
 */
static void
return_items(ItemCall *call, const ItemState *state, int64 after_id)
{
	int64 range = FIRST_RANGE;
	int64 id;

	if (!read_range(call, &id) || after_id >= call->last_id)
		return;
	id = Max(id, after_id + 1);
	call->items = prepare(call, READ_ITEMS, psprintf(state->condition, call->viewer.schema));
	call->first = prepare(call, state->first, NULL);
	while (call->wanted > 0 && id <= call->last_id && skip_others(call, &id))
	{
		int64 to_id = call->last_id - id < range ? call->last_id : id + range - 1;

		CHECK_FOR_INTERRUPTS();
		return_range(call, id, to_id);
		id = to_id + 1;
		range = Min(2 * range, LONGEST_RANGE);
	}
}

/*
 * acteon_replay_items(batch_id bigint, state text, after_id bigint,
 * max_items bigint) → setof acteon_replay_item
 *
 * The actions of a batch, in the order of the outbox: those that a grant of the
 * current role for reading covers, whichever role started the batch; at most
 * max_items, and only those whose outbox_id is greater than after_id.  Reads only.
 * Raises no_data_found for a batch that is not there or of which the role sees
 * nothing, and invalid_parameter_value.
 */
Datum
acteon_replay_items(PG_FUNCTION_ARGS)
{
	const char *state = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	const ItemState *wanted = find_state(state);
	int64 batch_id = BatchArgument(fcinfo, 0);
	ItemCall call = {.wanted = PG_INT64_MAX};
	int64 after_id = PG_INT64_MIN;

	/* Version 1.0 has two arguments. */
	if (PG_NARGS() > 2 && !PG_ARGISNULL(2))
		after_id = PG_GETARG_INT64(2);
	if (PG_NARGS() > 3 && !PG_ARGISNULL(3))
		call.wanted = PG_GETARG_INT64(3);
	if (call.wanted < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("max_items must not be negative"),
				 errhint("Leave it out for all of them.")));
	InitMaterializedSRF(fcinfo, 0);
	call.result = (ReturnSetInfo *) fcinfo->resultinfo;
	BeginSight(&call.viewer, fcinfo);
	SetLocally("jit", "off");
	SetLocally("enable_seqscan", "off");
	if (!SeesBatch(&call.viewer, batch_id))
		ReportUnknownBatch(batch_id);
	call.context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay items", ALLOCSET_DEFAULT_SIZES);
	call.parameters[ITEMS_BATCH_ID] = Int64GetDatum(batch_id);
	call.parameters[ITEMS_NOW] = TimestampTzGetDatum(GetCurrentTimestamp());
	return_items(&call, wanted, after_id);
	EndSight(&call.viewer);
	return (Datum) 0;
}
