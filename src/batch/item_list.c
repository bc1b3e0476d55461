/*
 * item_list.c
 *		acteon_replay_items: the single actions of a batch.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/message.h"
#include "batch/batch_list.h"
#include "queue/action_state.h"
#include "queue/batch_flags.h"

/* Rows that are fetched at once. */
#define FETCH_ROWS 1000

/* Attributes of the type acteon_replay_item that are looked at here. */
enum
{
	ITEM_NAMESPACE = 4,
	ITEM_TENANT,
	ITEM_PROVIDER,
	ITEM_ACTION_TYPE
};

/* The state of segment g at the time $2. */
#define STATE_OF_SEGMENT SEGMENT_STATE("g", "$2")

/*
 * The actions of batch $1 at the time $2.  What has no delivery is covered by
 * the segment that begins last before it; the bound keeps the search from
 * walking through the remains of finished ones.  %1$s is the extension's
 * schema, %2$s a condition.
 */
#define READ_ITEMS \
	"SELECT o.id, CASE WHEN i.resend > 0" \
	"		THEN %1$s.acteon_replay_id(o.original_action_id, o.generation, i.resend)" \
	"		ELSE o.action_id END, o.original_action_id, o.namespace, o.tenant, o.provider," \
	"	o.action_type, o.generation, i.state, coalesce(d.attempts, s.attempt)," \
	"	CASE WHEN i.state = 'waiting' AND isfinite(s.due_at) THEN s.due_at END," \
	"	d.finished_at, d.outcome, d.error, d.effect, i.resend," \
	"	coalesce(d.unproven, s.unproven, false), d.known_by, s.doubt, s.held " \
	"FROM %1$s.acteon_replay_batch AS b" \
	"	JOIN %1$s.acteon_dispatch_outbox AS o" \
	"		ON o.id BETWEEN b.first_outbox_id AND b.last_outbox_id AND o.batch_id = b.id" \
	"	LEFT JOIN %1$s.acteon_dispatch_delivery AS d ON d.outbox_id = o.id" \
	"	LEFT JOIN LATERAL (SELECT due_at, attempt, resend, unproven, doubt, held," \
	"			" STATE_OF_SEGMENT " AS state" \
	"		FROM %1$s.acteon_dispatch_segment AS g" \
	"		WHERE d.outbox_id IS NULL AND first_id > o.id - 100 AND first_id <= o.id" \
	"		ORDER BY first_id DESC LIMIT 1) AS s ON true" \
	"	CROSS JOIN LATERAL (SELECT coalesce(d.resend, s.resend, 0) AS resend," \
	"		CASE WHEN d.outbox_id IS NOT NULL THEN d.state" \
	"		WHEN s.state <> 'waiting' THEN s.state" \
	"		WHEN " IS_CANCELLED("b") " THEN '" STATE_CANCELLED "'" \
									 "		ELSE '" STATE_WAITING "' END AS state) AS i " \
									 "WHERE b.id = $1 AND %2$s ORDER BY o.id"

/*
 * What can be asked for, and how it is found: by the fewest rows, where an
 * index has them.
 */
typedef struct ItemState
{
	const char *name;
	const char *condition; /* %1$s is the extension's schema */
} ItemState;

/* What segments of the batch in a state cover. */
#define NOT_FINISHED_IN(state) \
	"d.outbox_id IS NULL AND i.state = '" state "' AND o.id IN" \
	"	(SELECT generate_series(first_id, last_id) FROM %1$s.acteon_dispatch_segment AS g" \
	"	WHERE batch_id = $1 AND (" STATE_OF_SEGMENT ") = '" state "')"

static const ItemState all_states = {NULL, "true"};

static const ItemState item_states[] = {
	{STATE_WAITING, "d.outbox_id IS NULL AND i.state = 'waiting'"},
	{STATE_RUNNING, NOT_FINISHED_IN(STATE_RUNNING)},
	{STATE_DELIVERED, "d.state = '" STATE_DELIVERED "'"},
	{STATE_DEAD, "d.state = '" STATE_DEAD "'"},
	{STATE_CANCELLED, "i.state = '" STATE_CANCELLED "'"},
	{STATE_IN_DOUBT, NOT_FINISHED_IN(STATE_IN_DOUBT)},
	{"held", "d.outbox_id IS NULL AND o.id IN"
			 "	(SELECT generate_series(first_id, last_id) FROM %1$s.acteon_dispatch_segment"
			 "	WHERE batch_id = $1 AND doubt_since IS NOT NULL AND held IS NOT NULL)"},
	{"failed", "%1$s.acteon_is_failure(d.state, " OUTCOME_NAME ", d.effect)"},
};

PG_FUNCTION_INFO_V1(acteon_replay_items);

/*
 * Find the state of a name; all of them, if it is NULL.
 */
static const ItemState *
find_state(const char *name)
{
	if (name == NULL)
		return &all_states;
	for (int i = 0; i < lengthof(item_states); i++)
	{
		if (strcmp(name, item_states[i].name) == 0)
			return &item_states[i];
	}
	ereport(
		ERROR,
		(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		 errmsg("unknown state \"%s\"", ClipForMessage(name, strlen(name))),
		 errhint(
			 "Use waiting, running, in_doubt, held, delivered, dead, cancelled, or failed (dead, or delivered without effect or as Failed).")));
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
 * Return the actions of a batch that a condition finds and the viewer may read.
 */
static void
return_items(ReturnSetInfo *result, Viewer *viewer, int64 batch_id, const char *condition)
{
	Oid types[] = {INT8OID, TIMESTAMPTZOID};
	Datum values[] = {Int64GetDatum(batch_id), TimestampTzGetDatum(GetCurrentTimestamp())};
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay items", ALLOCSET_DEFAULT_SIZES);
	Portal portal = SPI_cursor_open_with_args(NULL, psprintf(READ_ITEMS, viewer->schema, condition),
											  2, types, values, NULL, true, 0);

	for (;;)
	{
		MemoryContext old;

		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		if (SPI_processed == 0)
			break;
		old = MemoryContextSwitchTo(context);
		for (uint64 row = 0; row < SPI_processed; row++)
		{
			HeapTuple tuple = SPI_tuptable->vals[row];

			if (is_covered(viewer, tuple, SPI_tuptable->tupdesc))
				tuplestore_puttuple(result->setResult, tuple);
		}
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	MemoryContextDelete(context);
}

/*
 * acteon_replay_items(batch_id bigint, state text) → setof acteon_replay_item
 *
 * The actions of a batch, in the order of the outbox: those that a grant of the
 * current role for reading covers, whichever role started the batch.  Reads only.
 * Raises no_data_found for a batch that is not there or of which the role sees
 * nothing, and invalid_parameter_value.
 */
Datum
acteon_replay_items(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	const char *state = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	const ItemState *wanted = find_state(state);
	int64 batch_id = BatchArgument(fcinfo, 0);
	Viewer viewer;

	InitMaterializedSRF(fcinfo, 0);
	BeginSight(&viewer, fcinfo);
	SetLocally("jit", "off");
	if (!SeesBatch(&viewer, batch_id))
		ReportUnknownBatch(batch_id);
	return_items(result, &viewer, batch_id, psprintf(wanted->condition, viewer.schema));
	EndSight(&viewer);
	return (Datum) 0;
}
