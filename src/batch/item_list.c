/*
 * item_list.c
 *		acteon_replay_items: the single actions of a batch, and its refused records.
 *
 * Actions are read in ranges of outbox ids, page by page.  Between two ranges, the next id
 * is looked for that can be meant: by the segments or deliveries if a state is asked for
 * that shows there, else by the filter that was given.  So a page costs what is on it, and
 * for what a filter passes over a walk along one index.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/message.h"
#include "base/target.h"
#include "base/text.h"
#include "batch/batch_list.h"
#include "query/patch.h"
#include "queue/action_state.h"
#include "queue/batch_flags.h"
#include "queue/effect.h"

/* Rows that are fetched at once. */
#define FETCH_ROWS 1000

/* Outbox ids that are read at once: at first, and at most. */
#define FIRST_RANGE 128
#define LONGEST_RANGE (64 * 1024)

/* Attribute of the type acteon_replay_item that is looked at here, with the three behind it. */
#define ITEM_NAMESPACE 4

/* Parameters of the statements. */
enum
{
	ITEMS_BATCH_ID,  /* $1 */
	ITEMS_NOW,       /* $2 */
	ITEMS_FROM_ID,   /* $3: the range of outbox ids */
	ITEMS_TO_ID,     /* $4 */
	ITEMS_TENANT,    /* $5: filters, NULL if not given */
	ITEMS_PROVIDER,  /* $6 */
	ITEMS_FROM_TIME, /* $7 */
	ITEMS_TO_TIME,   /* $8: exclusive */
	ITEMS_EFFECT,    /* $9 */
	ITEMS_PATCHES,   /* $10: labels of what the batch's patches have changed; NULL: it has none */
	NUM_ITEMS_PARAMETERS
};

/* A filter: the conditions on the outbox, or else on the delivery; refused records have the same. */
typedef struct ItemFilter
{
	int argument;  /* of the function */
	int parameter; /* of the statements */
	const char *outbox;
	const char *delivery;
} ItemFilter;

static const ItemFilter filters[] = {
	{4, ITEMS_TENANT, "tenant = $5", NULL},          {5, ITEMS_PROVIDER, "provider = $6", NULL},
	{6, ITEMS_FROM_TIME, NULL, "finished_at >= $7"}, {7, ITEMS_TO_TIME, NULL, "finished_at < $8"},
	{8, ITEMS_EFFECT, NULL, "effect = $9"},
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
	"		THEN %1$s.acteon_replay_id(o.original_action_id, o.generation, i.resend," \
	"			coalesce(o.target, '" PRODUCTION "'))" \
	"		ELSE o.action_id END, o.original_action_id, o.namespace, o.tenant, o.provider," \
	"	o.action_type, o.generation, i.state, coalesce(d.attempts, s.attempt)," \
	"	CASE WHEN i.state = " SQL_WAITING " AND isfinite(s.due_at) THEN s.due_at END," \
	"	d.finished_at, d.outcome::jsonb, d.error, d.effect, i.resend," \
	"	coalesce(d.unproven, s.unproven, false), d.known_by, s.doubt, s.held, NULL::text, o.id," \
	"	$10 IS NOT NULL AND coalesce(o.labels ->> '" PATCH_LABEL \
	"' = ANY ($10), false), o.expires_at," \
	"	i.state = " SQL_WAITING " AND (s.stopped = '" STOPPED_PAUSED "' OR " IS_PAUSED( \
		"b") ") IS TRUE," \
			 "	coalesce(o.target, '" PRODUCTION "'), r.name, r.gateway " \
			 "FROM %1$s.acteon_replay_batch AS b" \
			 "	JOIN %1$s.acteon_dispatch_outbox AS o ON o.batch_id = b.id AND o.id BETWEEN $3 AND $4" \
			 "	LEFT JOIN %1$s.acteon_dispatch_delivery AS d" \
			 "		ON d.outbox_id = o.id AND d.outbox_id BETWEEN $3 AND $4" \
			 "	LEFT JOIN LATERAL (SELECT due_at, attempt, resend, unproven, doubt, held, stopped, relay," \
			 "			" STATE_OF_SEGMENT " AS state" \
			 "		FROM %1$s.acteon_dispatch_segment AS g" \
			 "		WHERE d.outbox_id IS NULL AND first_id > o.id - " SQL_SEGMENT_ACTIONS \
			 " AND first_id <= o.id" \
			 "		ORDER BY first_id DESC LIMIT 1) AS s ON true" \
			 "	CROSS JOIN LATERAL (SELECT coalesce(d.resend, s.resend, 0) AS resend," \
			 "		CASE WHEN d.outbox_id IS NOT NULL THEN d.state" \
			 "		WHEN s.state <> " SQL_WAITING " THEN s.state" \
			 "		WHEN " IS_CANCELLED( \
				 "b") " THEN " SQL_CANCELLED "		ELSE " SQL_WAITING " END AS state) AS i" \
					  "	LEFT JOIN %1$s.acteon_dispatch_relay AS r" \
					  "		ON r.id = CASE WHEN d.outbox_id IS NULL THEN s.relay ELSE d.relay END " \
					  "WHERE b.id = $1 AND %2$s ORDER BY o.id"

/*
 * The refused records of batch $1 whose numbers come after $3; %2$s is a condition.
 */
#define READ_REFUSED \
	"SELECT NULL::bigint, NULL::uuid, action_id, namespace, tenant, provider, action_type," \
	"	NULL::integer, '" STATE_REFUSED "', NULL::integer, NULL::timestamptz, NULL::timestamptz," \
	"	NULL::jsonb, error, NULL, NULL::integer, NULL::boolean, NULL, NULL, NULL, reason, number, NULL::boolean," \
	"	NULL::timestamptz, NULL::boolean, NULL, NULL, NULL " \
	"FROM %1$s.acteon_replay_refused WHERE batch_id = $1 AND number > $3 AND $4 IS NOT NULL" \
	"	AND $2 IS NOT NULL AND %2$s ORDER BY number"

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

/*
 * Any action, with a condition: a batch may have gone on to another part of the outbox,
 * far away.
 */
#define FIRST_ACTION(condition) \
	"SELECT id FROM %1$s.acteon_dispatch_outbox " \
	"WHERE id BETWEEN $3 AND $4 AND $1 IS NOT NULL AND $2 IS NOT NULL AND " condition \
	" ORDER BY id LIMIT 1"

#define IS_DONE "effect = '" EFFECT_NAME_DONE "'"
#define IS_DEAD "state = " SQL_DEAD

/*
 * What can be asked for, and how it is found.
 */
typedef struct ItemState
{
	const char *name;
	const char *condition; /* %1$s is the extension's schema */
	const char *first;     /* statement for the first id that may be of it; NULL: any */
} ItemState;

/* What is not finished, and is in a state because its segment is. */
#define NOT_FINISHED_IN(state) \
	{ \
		state, "d.outbox_id IS NULL AND i.state = '" state "'", \
			FIRST_IN_SEGMENT("(" STATE_OF_SEGMENT ") = '" state "'") \
	}

static const ItemState all_states = {NULL, "true", NULL};

/* The last one is explained where an unknown state is refused. */
static const ItemState item_states[] = {
	NOT_FINISHED_IN(STATE_WAITING),
	NOT_FINISHED_IN(STATE_RUNNING),
	NOT_FINISHED_IN(STATE_IN_DOUBT),
	{STATE_HELD, "d.outbox_id IS NULL AND s.held IS NOT NULL",
	 FIRST_IN_SEGMENT("doubt_since IS NOT NULL AND held IS NOT NULL")},
	{STATE_DELIVERED, "d.state = " SQL_DELIVERED, NULL},
	{STATE_DEAD, "d." IS_DEAD, FIRST_FINISHED(IS_DEAD)},
	{STATE_CANCELLED, "i.state = " SQL_CANCELLED, NULL},
	{STATE_EXPIRED, "d.state = " SQL_EXPIRED, NULL},
	{STATE_REFUSED, "true", NULL}, /* no actions: see return_refused */
	/* What was done is none (IsFailure): seen without calling the function for each. */
	{STATE_FAILED,
	 "(d." IS_DONE ") IS NOT TRUE"
	 " AND %1$s.acteon_is_failure(d.state, %1$s.acteon_answer_name(d.outcome::jsonb), d.effect)",
	 FIRST_FINISHED("(" IS_DONE ") IS NOT TRUE")},
};

/* A call, and how far it is. */
typedef struct ItemCall
{
	ReturnSetInfo *result;
	Viewer viewer;
	MemoryContext context; /* for one row */
	Datum parameters[NUM_ITEMS_PARAMETERS];
	char nulls[NUM_ITEMS_PARAMETERS];
	const char *outbox_filter; /* conditions that the filters make; NULL: none */
	const char *delivery_filter;
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
 * Refuse an effect that there is not.
 */
static void
check_effect(const text *effect)
{
	for (int i = 0; i < NUM_EFFECTS; i++)
	{
		if (TextIs(effect, EffectNames[i]))
			return;
	}
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("unknown effect \"%s\"",
						   ClipForMessage(VARDATA_ANY(effect), VARSIZE_ANY_EXHDR(effect))),
					errhint("Use %s.", ListNames(EffectNames, NUM_EFFECTS))));
}

/*
 * Prepare a statement, of which only the schema is open, or also a condition.
 */
static SPIPlanPtr
prepare(const ItemCall *call, const char *statement, const char *condition)
{
	Oid types[NUM_ITEMS_PARAMETERS] = {INT8OID, TIMESTAMPTZOID, INT8OID,        INT8OID,
									   TEXTOID, TEXTOID,        TIMESTAMPTZOID, TIMESTAMPTZOID,
									   TEXTOID, TEXTARRAYOID};
	char *sql = psprintf(statement, call->viewer.schema, condition);
	SPIPlanPtr plan = SPI_prepare(sql, NUM_ITEMS_PARAMETERS, types);

	if (plan == NULL)
		elog(ERROR, "could not prepare a statement: %s", SPI_result_code_string(SPI_result));
	return plan;
}

/*
 * Note the labels of the batch's patches, if it has any.
 */
static void
note_patches(ItemCall *call, List *patches)
{
	Datum *labels = palloc((list_length(patches) + 1) * sizeof(Datum));
	int count = 0;
	ListCell *lc;

	foreach (lc, patches)
		labels[count++] = CStringGetTextDatum(PatchLabel(lfirst(lc)));
	call->nulls[ITEMS_PATCHES] = count == 0 ? 'n' : ' ';
	call->parameters[ITEMS_PATCHES] =
		PointerGetDatum(construct_array(labels, count, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * The range of outbox ids in which the batch's actions are; false, if it has none.  Notes
 * the labels of its patches.
 */
static bool
read_range(ItemCall *call, int64 *from_id)
{
	Oid type = INT8OID;
	bool isnull;
	Jsonb *query;
	Datum patches;
	char *sql = psprintf("SELECT first_outbox_id, last_outbox_id, query, patches "
						 "FROM %s.acteon_replay_batch "
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
	query = DatumGetJsonbP(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3, &isnull));
	patches = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 4, &isnull);
	note_patches(call, StoredPatches(query, isnull ? NULL : DatumGetJsonbP(patches)));
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
	if (SPI_execute_plan(call->first, call->parameters, call->nulls, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the queue: %s", SPI_result_code_string(SPI_result));
	if (SPI_processed == 0)
		return false;
	*id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_freetuptable(SPI_tuptable);
	return true;
}

/*
 * Return what the statement finds in a range of ids and the viewer may read, as much as
 * is wanted.
 */
static void
return_range(ItemCall *call, int64 from_id, int64 to_id)
{
	Portal portal;

	call->parameters[ITEMS_FROM_ID] = Int64GetDatum(from_id);
	call->parameters[ITEMS_TO_ID] = Int64GetDatum(to_id);
	portal = SPI_cursor_open(NULL, call->items, call->parameters, call->nulls, true);
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

			if (!SeesFetchedRow(&call->viewer, tuple, SPI_tuptable->tupdesc, ITEM_NAMESPACE))
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
 * Add a condition to others; NULL: there are none yet.
 */
static const char *
both(const char *before, const char *condition)
{
	return before == NULL ? condition : psprintf("%s AND %s", before, condition);
}

/*
 * Read the filters that are given, and make conditions of them.
 */
static void
read_filters(ItemCall *call, FunctionCallInfo fcinfo)
{
	memset(call->nulls, ' ', sizeof(call->nulls));
	for (int i = 0; i < lengthof(filters); i++)
	{
		const ItemFilter *filter = &filters[i];

		if (PG_NARGS() <= filter->argument || PG_ARGISNULL(filter->argument))
		{
			call->nulls[filter->parameter] = 'n';
			continue;
		}
		call->parameters[filter->parameter] = PG_GETARG_DATUM(filter->argument);
		if (filter->outbox != NULL)
			call->outbox_filter = both(call->outbox_filter, filter->outbox);
		else
			call->delivery_filter = both(call->delivery_filter, filter->delivery);
	}
	if (call->nulls[ITEMS_EFFECT] == ' ')
		check_effect(DatumGetTextPP(call->parameters[ITEMS_EFFECT]));
}

/*
 * What an action must be to be returned.
 */
static char *
item_condition(const ItemCall *call, const ItemState *state)
{
	StringInfoData condition;

	initStringInfo(&condition);
	appendStringInfo(&condition, state->condition, call->viewer.schema);
	for (int i = 0; i < lengthof(filters); i++)
	{
		if (call->nulls[filters[i].parameter] == ' ')
			appendStringInfo(&condition, " AND %s%s", filters[i].outbox != NULL ? "o." : "d.",
							 filters[i].outbox != NULL ? filters[i].outbox : filters[i].delivery);
	}
	return condition.data;
}

/*
 * The statement for the first id that may be meant: the state says more than a filter, and
 * what is asked of the action more than what is asked of its end.
 */
static const char *
first_statement(const ItemCall *call, const ItemState *state)
{
	if (state->first != NULL)
		return state->first;
	if (call->outbox_filter != NULL)
		return psprintf(FIRST_ACTION("%2$s"), "%1$s", call->outbox_filter);
	if (call->delivery_filter != NULL)
		return psprintf(FIRST_FINISHED("%2$s"), "%1$s", call->delivery_filter);
	return FIRST_ACTION("true");
}

/*
 * Return the refused records of a batch whose numbers come after one.  They have not been
 * delivered, so nothing is asked of their end.
 */
static void
return_refused(ItemCall *call, int64 after)
{
	if (call->delivery_filter != NULL)
		return;
	call->items =
		prepare(call, READ_REFUSED, call->outbox_filter != NULL ? call->outbox_filter : "true");
	return_range(call, after, PG_INT64_MAX);
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
	call->items = prepare(call, READ_ITEMS, item_condition(call, state));
	call->first = prepare(call, first_statement(call, state), NULL);
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
 * acteon_replay_items(batch_id bigint, state text, after_id bigint, max_items bigint,
 * tenant text, provider text, from_time timestamptz, to_time timestamptz, effect text)
 * → setof acteon_replay_item
 *
 * The actions of a batch, in the order of the outbox, or its refused records: those that a
 * grant of the current role for reading covers, whichever role started the batch; at most
 * max_items, and only those whose page_key is greater than after_id.  Reads only.
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
	read_filters(&call, fcinfo);
	InitMaterializedSRF(fcinfo, 0);
	call.result = (ReturnSetInfo *) fcinfo->resultinfo;
	BeginSight(&call.viewer, fcinfo);
	SetLocally("jit", "off");
	SetLocally("enable_seqscan", "off");
	if (!SeesBatch(&call.viewer, batch_id))
		ReportUnknownBatch(batch_id);
	call.context =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay items", ALLOCSET_DEFAULT_SIZES);
	call.nulls[ITEMS_PATCHES] = 'n';
	call.parameters[ITEMS_BATCH_ID] = Int64GetDatum(batch_id);
	call.parameters[ITEMS_NOW] = TimestampTzGetDatum(GetCurrentTimestamp());
	if (wanted->name != NULL && strcmp(wanted->name, STATE_REFUSED) == 0)
		return_refused(&call, after_id);
	else
		return_items(&call, wanted, after_id);
	EndSight(&call.viewer);
	return (Datum) 0;
}
