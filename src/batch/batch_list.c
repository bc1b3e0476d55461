/*
 * batch_list.c
 *		acteon_replay_batches: how the batches are going.
 *
 * Two statements, whatever the number of batches.  The first reads who may see
 * what (visibility.c).  The second counts: what has ended from the tally, what has
 * not from the segments, a few thousand rows for a batch of a million.  Who
 * sees a part of a batch only gets that part counted, action by action.  What
 * follows from the counts is not in the statement: the state (batch_state.c), the
 * circuit breaker (breaker.c), the canary (canary.c), what is left of a ramp
 * (batch_pace.c), the time left.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "access/visibility.h"
#include "base/target.h"
#include "batch/batch_list.h"
#include "batch/batch_pace.h"
#include "batch/batch_state.h"
#include "batch/breaker.h"
#include "batch/canary.h"
#include "queue/action_state.h"
#include "queue/pace.h"

/* In seconds: the longest time that is shown as left. */
#define CENTURY 3155760000.0

/* Rows that are fetched at once. */
#define FETCH_ROWS 1000

/* Columns of the first statement. */
enum
{
	BATCH_ID = 1,
	BATCH_REQUESTED_BY,
	BATCH_SCOPE,
	BATCH_FIRST_OUTBOX_ID,
	BATCH_LAST_OUTBOX_ID
};

/* Its parameters; NULL is any. */
enum
{
	SCOPES_BATCH_ID, /* $1: this batch */
	SCOPES_BEFORE,   /* $2: with lower numbers than this */
	SCOPES_KINDS,    /* $3: of these kinds */
	NUM_SCOPES_PARAMETERS
};

/* And the arguments of the function that these and others are. */
enum
{
	ARGUMENT_BATCH_ID,
	ARGUMENT_BEFORE,
	ARGUMENT_NEWEST,
	ARGUMENT_KINDS,
	ARGUMENT_TENANT
};

/*
 * What a batch is.
 */
#define KIND \
	"CASE WHEN probe_of IS NOT NULL THEN '" BATCH_KIND_PROBE "'" \
	"	WHEN query ? 'notify' THEN '" BATCH_KIND_NOTIFICATION "'" \
	"	WHEN query ? 'action_id' THEN '" BATCH_KIND_SINGLE "'" \
	"	WHEN chunk IS NOT NULL THEN '" BATCH_KIND_ALL "' ELSE '" BATCH_KIND_BULK "' END"

/*
 * The newest first.  %1$s is the extension's schema; the search path is pinned to
 * pg_catalog, as in all statements that run as the tables' owner.
 */
#define READ_SCOPES \
	"SELECT id, requested_by_oid::oid, scope, first_outbox_id, last_outbox_id " \
	"FROM %1$s.acteon_replay_batch WHERE ($1 IS NULL OR id = $1) AND ($2 IS NULL OR id < $2)" \
	"	AND ($3 IS NULL OR " KIND " = ANY ($3)) " \
	"ORDER BY id DESC"

/* Parameters of the second statement. */
enum
{
	COUNT_BATCHES,  /* $1: batches to show; NULL: all */
	COUNT_NOW,      /* $2 */
	COUNT_FIRST_ID, /* $3: the lowest outbox id of them */
	COUNT_LAST_ID,  /* $4: the highest */
	COUNT_PART,     /* $5: batches that are shown in part */
	COUNT_COVERED,  /* $6 to $9: what is covered of these */
	NUM_COUNT_PARAMETERS = COUNT_COVERED + SCOPE_PARTS
};

/*
 * The batches to show.
 */
#define CHOSEN \
	"chosen AS MATERIALIZED (SELECT *, id = ANY ($5) AS in_part, " KIND " AS kind," \
	"		coalesce(" IS_CANCELLED( \
		"b") ", false) AS is_cancelled," \
			 "		replayed + failed + skipped + passed_over AS looked_at" \
			 "	FROM %1$s.acteon_replay_batch AS b WHERE $1 IS NULL OR id = ANY ($1)), "

/*
 * What has ended of them, and how.  A redrive has taken some back: a negative
 * row.  What was cancelled says nothing about the speed.
 */
#define ENDED \
	"ended AS (SELECT batch_id, sum(n) FILTER (WHERE state = " SQL_DELIVERED ") AS delivered," \
	"		sum(n) FILTER (WHERE state = " SQL_DEAD ") AS dead," \
	"		sum(n) FILTER (WHERE state = " SQL_CANCELLED ") AS cancelled," \
	"		sum(n) FILTER (WHERE state = " SQL_EXPIRED ") AS expired, sum(done) AS done," \
	"		jsonb_object_agg(outcome, n) FILTER (WHERE state = " SQL_DELIVERED ")" \
	"			AS delivered_by," \
	"		sum(lately) FILTER (WHERE state IN (" SQL_DELIVERED ", " SQL_DEAD ")) AS lately" \
	"	FROM (SELECT batch_id, state, coalesce(outcome, '?') AS outcome, sum(actions) AS n," \
	"			sum(actions) FILTER (WHERE effect = '" EFFECT_NAME_DONE "') AS done," \
	"			sum(actions) FILTER (WHERE actions > 0 AND finished_at > $2 - interval '1 min')" \
	"				AS lately" \
	"		FROM %1$s.acteon_replay_tally WHERE $1 IS NULL OR batch_id = ANY ($1)" \
	"		GROUP BY 1, 2, 3) AS kind" \
	"	GROUP BY 1), "

/*
 * What has not ended.
 */
#define QUEUED \
	"queued AS (SELECT batch_id, sum(n) FILTER (WHERE state = " SQL_RUNNING ") AS in_flight," \
	"		sum(n) FILTER (WHERE state = " SQL_WAITING ") AS idle," \
	"		sum(n) FILTER (WHERE state = " SQL_CANCELLED ") AS cancelled," \
	"		sum(n) FILTER (WHERE state = " SQL_IN_DOUBT ") AS in_doubt," \
	"		sum(n) FILTER (WHERE held IS NOT NULL) AS held," \
	"		sum(n) FILTER (WHERE state = " SQL_WAITING " AND stopped = '" STOPPED_PAUSED \
	"') AS paused" \
	"	FROM (SELECT batch_id, (last_id - first_id + 1)::integer AS n, held, stopped," \
	"			" SEGMENT_STATE( \
		"s", \
		"$2") " AS state" \
			  "		FROM %1$s.acteon_dispatch_segment AS s" \
			  "		WHERE first_id BETWEEN $3 AND $4 AND ($1 IS NULL OR batch_id = ANY ($1))) AS segment" \
			  "	GROUP BY 1) "

/*
 * The counts of batch c, as far as it is shown.  Of a whole one they have been
 * made above; of another one only the actions are counted whose element of the
 * scope is covered.  IS TRUE makes the planner look the elements up in a hash
 * table: there may be many.
 */
#define COUNTS \
	"SELECT c.replayed AS actions, q.in_flight, q.idle, q.in_doubt, q.held, e.delivered, e.done," \
	"	e.dead, coalesce(e.cancelled, 0) + coalesce(q.cancelled, 0) AS cancelled, e.expired," \
	"	e.delivered_by, e.lately WHERE NOT c.in_part " \
	"UNION ALL SELECT coalesce(sum(n), 0), sum(n) FILTER (WHERE state = " SQL_RUNNING ")," \
	"	sum(n) FILTER (WHERE state = " SQL_WAITING "), sum(n) FILTER (WHERE state = " SQL_IN_DOUBT \
	")," \
	"	sum(held), sum(n) FILTER (WHERE state = " SQL_DELIVERED "), sum(done)," \
	"	sum(n) FILTER (WHERE state = " SQL_DEAD "), sum(n) FILTER (WHERE state = " SQL_CANCELLED \
	"), sum(n) FILTER (WHERE state = " SQL_EXPIRED ")," \
	"	jsonb_object_agg(outcome, n) FILTER (WHERE state = " SQL_DELIVERED ")," \
	"	sum(lately) FILTER (WHERE state IN (" SQL_DELIVERED ", " SQL_DEAD "))" \
	"	FROM (SELECT coalesce(d.state, l.state, " SQL_WAITING ") AS state," \
	"			CASE WHEN d.state = " SQL_DELIVERED \
	" THEN coalesce(%1$s.acteon_answer_name(d.outcome::jsonb), '?') END" \
	"				AS outcome," \
	"			count(*) AS n, count(*) FILTER (WHERE d.effect = '" EFFECT_NAME_DONE "') AS done," \
	"			count(*) FILTER (WHERE l.held IS NOT NULL) AS held," \
	"			count(*) FILTER (WHERE d.finished_at > $2 - interval '1 min') AS lately" \
	"		FROM %1$s.acteon_dispatch_outbox AS o" \
	"		LEFT JOIN %1$s.acteon_dispatch_delivery AS d ON d.outbox_id = o.id" \
	"			AND d.outbox_id BETWEEN c.first_outbox_id AND c.last_outbox_id" \
	"		LEFT JOIN (SELECT generate_series(first_id, last_id) AS id, held," \
	"				" SEGMENT_STATE( \
		"s", \
		"$2") " AS state" \
			  "			FROM %1$s.acteon_dispatch_segment AS s" \
			  "			WHERE batch_id = c.id AND " SEGMENT_STATE( \
				  "s", \
				  "$2") " <> " SQL_WAITING ") AS l" \
						"			ON l.id = o.id" \
						"		WHERE c.in_part AND o.id BETWEEN c.first_outbox_id AND c.last_outbox_id" \
						"			AND o.batch_id = c.id" \
						"			AND ((o.batch_id, o.tenant, o.namespace, o.provider, o.action_type) IN" \
						"				(SELECT * FROM unnest($5, $6, $7, $8, $9))) IS TRUE" \
						"		GROUP BY 1, 2) AS kind" \
						"	HAVING c.in_part"

/*
 * The batches with their counts.  In a batch, or a part of one, that is cancelled, actions
 * that no consumer holds count as cancelled, whether they have been swept yet or not.
 */
#define FIGURES \
	"SELECT c.*, n.actions::bigint, coalesce(n.in_flight, 0)::bigint AS in_flight," \
	"	CASE WHEN c.is_cancelled THEN 0 ELSE coalesce(n.idle, 0)::bigint END AS waiting," \
	"	coalesce(n.in_doubt, 0)::bigint AS in_doubt, coalesce(n.held, 0)::bigint AS held," \
	"	coalesce(n.delivered, 0)::bigint AS delivered, coalesce(n.done, 0)::bigint AS done," \
	"	coalesce(n.dead, 0)::bigint AS dead," \
	"	(coalesce(n.cancelled, 0) + CASE WHEN c.is_cancelled THEN coalesce(n.idle, 0) ELSE 0 END)" \
	"		::bigint AS cancelled, coalesce(n.expired, 0)::bigint AS expired," \
	"	coalesce(n.delivered_by, '{}') AS delivered_by," \
	"	(coalesce(q.idle, 0) + coalesce(q.cancelled, 0))::bigint AS all_waiting, coalesce(q.in_flight, 0)::bigint AS all_in_flight," \
	"	coalesce(q.in_doubt, 0)::bigint AS all_in_doubt, coalesce(q.paused, 0)::bigint AS all_paused," \
	"	round(coalesce(n.lately, 0) / least(greatest(extract(epoch FROM $2 - greatest(" \
	"		c.created_at, CASE WHEN c.start_at < $2 THEN c.start_at END)), 1), 60), 1) AS speed " \
	"FROM chosen AS c LEFT JOIN ended AS e ON e.batch_id = c.id" \
	"	LEFT JOIN queued AS q ON q.batch_id = c.id CROSS JOIN LATERAL (" COUNTS ") AS n"

/*
 * Progress of a batch, in percent.  While it is being enqueued, it is measured
 * by records, which roles that see only a part do not see; otherwise by
 * actions.  It is truncated, not rounded, so that an unfinished batch is never
 * at 100.
 */
#define PROGRESS \
	"CASE WHEN c.is_complete AND c.actions = 0 THEN 100.0" \
	"	WHEN c.is_complete THEN trunc(100.0 * (c.delivered + c.dead + c.cancelled + c.expired) / c.actions, 1)" \
	"	WHEN NOT c.in_part THEN coalesce(trunc(100.0 * (c.looked_at - c.waiting - c.in_flight" \
	"		- c.in_doubt)" \
	"		/ nullif(greatest(c.matched, c.looked_at), 0), 1), 0.0) END"

/*
 * What tells how far the canary of batch c is (canary.c), and behind it, whether actions of
 * the open step are out.
 */
#define CANARY \
	"c.canary, c.canary_step, c.canary_actions, c.canary_held, c.canary_unrecorded," \
	"	c.canary_step IS NOT NULL AND EXISTS (SELECT FROM %1$s.acteon_dispatch_segment AS s" \
	"		WHERE s.batch_id = c.id AND s.first_id BETWEEN c.canary_first_id AND c.canary_last_id)"

/*
 * The rows of the view, without what is derived from them, and behind them what that
 * takes (enum below).  w is what tells of a whole batch.
 */
#define READ_BATCHES \
	"WITH " CHOSEN ENDED QUEUED \
	"SELECT c.id, c.created_at, w.requested_by, w.session_role, w.reason, NULL," \
	"	" PROGRESS ", w.matched, c.actions, w.failed, w.skipped, w.passed_over," \
	"	c.waiting, c.in_flight, c.delivered, c.delivered_by, c.dead, c.cancelled," \
	"	c.rate, c.speed, NULL, c.start_at, NULL," \
	"	w.stop_reason, w.stopped_by, c.stopped_at, w.failures, w.last_chunk_at, w.query," \
	"	c.in_doubt, c.held, c.done, c.on_doubt, NULL, w.failed," \
	"	w.plan, c.awaits_until, w.approved_by, c.expired," \
	"	CASE WHEN c.is_cancelled THEN 0 WHEN NOT c.in_part THEN c.all_paused END, w.parts," \
	"	(SELECT r.rolname FROM pg_roles AS r WHERE r.oid = w.owner_oid::oid)," \
	"	coalesce(c.query ->> 'target', '" PRODUCTION "'), c.kind," \
	"	c.in_part, c.stopped, c.is_complete, c.all_waiting, c.all_in_flight, c.all_in_doubt," \
	"	c.breaker_window, c.breaker_share," \
	"	c.breaker_since, " CANARY " " \
	"FROM (" FIGURES ") AS c LEFT JOIN chosen AS w ON w.id = c.id AND NOT c.in_part " \
	"ORDER BY c.id"

/* Their columns: those of the function first. */
enum
{
	LIST_ID,
	LIST_CREATED_AT,
	LIST_REQUESTED_BY,
	LIST_SESSION_ROLE,
	LIST_REASON,
	LIST_STATE, /* derived */
	LIST_PROGRESS,
	LIST_MATCHED,
	LIST_REPLAYED,
	LIST_FAILED,
	LIST_SKIPPED,
	LIST_PASSED_OVER,
	LIST_WAITING,
	LIST_IN_FLIGHT,
	LIST_DELIVERED,
	LIST_DELIVERED_BY,
	LIST_DEAD,
	LIST_CANCELLED,
	LIST_RATE, /* derived from the batch's own rate, which the statement has here */
	LIST_SPEED,
	LIST_TIME_LEFT, /* derived */
	LIST_START_AT,
	LIST_BREAKER, /* derived */
	LIST_STOP_REASON,
	LIST_STOPPED_BY,
	LIST_STOPPED_AT,
	LIST_FAILURES,
	LIST_LAST_CHUNK_AT,
	LIST_QUERY,
	LIST_IN_DOUBT,
	LIST_HELD,
	LIST_DONE,
	LIST_ON_DOUBT,
	LIST_CANARY,  /* derived */
	LIST_REFUSED, /* the same as LIST_FAILED */
	LIST_PLAN,
	LIST_AWAITS_UNTIL,
	LIST_APPROVED_BY,
	LIST_EXPIRED,
	LIST_PAUSED,
	LIST_PARTS,
	LIST_HANDED_TO,
	LIST_TARGET,
	LIST_KIND,
	LIST_IN_PART,
	LIST_STOPPED,
	LIST_IS_COMPLETE,
	LIST_ALL_WAITING, /* these three: of the whole batch, where a part of it is shown, too */
	LIST_ALL_IN_FLIGHT,
	LIST_ALL_IN_DOUBT,
	LIST_BREAKER_WINDOW,
	LIST_BREAKER_SHARE,
	LIST_BREAKER_SINCE,
	LIST_CANARY_MODE,
	LIST_CANARY_STEP,
	LIST_CANARY_ACTIONS,
	LIST_CANARY_HELD,
	LIST_CANARY_UNRECORDED,
	LIST_CANARY_IS_OUT,
	NUM_LIST_COLUMNS
};

/* What is asked for: the arguments of acteon_replay_read_batches. */
typedef struct Wanted
{
	NullableDatum scopes[NUM_SCOPES_PARAMETERS];
	int64 newest; /* so many at the most; PG_INT64_MAX: any number */
	text *tenant; /* with something of this tenant that the viewer sees; NULL: any */
} Wanted;

/* What is to be shown. */
typedef struct Choice
{
	bool everything; /* all batches there are, as a whole */
	Datum *batch_ids;
	int count;
	int allocated;
	int64 first_outbox_id;
	int64 last_outbox_id;
	CoveredScope covered; /* of the batches that are shown in part */
} Choice;

PG_FUNCTION_INFO_V1(acteon_replay_read_batches);

/*
 * A column of a fetched row.
 */
static Datum
fetched(int row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

/*
 * Whether the viewer sees something of a tenant in a batch: of what is covered from the
 * given element on, if a part of the batch is seen, else of its scope.
 */
static bool
sees_tenant(const Choice *choice, BatchSight sight, int before, Jsonb *scope, const text *tenant)
{
	const char *wanted = VARDATA_ANY(tenant);
	size_t len = VARSIZE_ANY_EXHDR(tenant);
	JsonbIterator *it = JsonbIteratorInit(&scope->root);
	text *parts[SCOPE_PARTS];

	if (sight == SEES_PART)
	{
		for (int i = before; i < choice->covered.count; i++)
		{
			text *covered = DatumGetTextPP(choice->covered.parts[0][i]);

			if (VARSIZE_ANY_EXHDR(covered) == len && memcmp(VARDATA_ANY(covered), wanted, len) == 0)
				return true;
		}
		return false;
	}
	while (NextScopeElement(&it, parts))
	{
		if (parts[0] != NULL && VARSIZE_ANY_EXHDR(parts[0]) == len &&
			memcmp(VARDATA_ANY(parts[0]), wanted, len) == 0)
			return true;
	}
	return false;
}

/*
 * Choose a fetched batch, if the viewer sees something of it, and of the tenant, if there is
 * one.
 */
static void
choose_fetched(Choice *choice, Viewer *viewer, const Wanted *wanted, int row)
{
	int before = choice->covered.count;
	BatchSight sight;
	bool isnull;
	Datum id = fetched(row, BATCH_ID, &isnull);
	Oid requested_by = DatumGetObjectId(fetched(row, BATCH_REQUESTED_BY, &isnull));
	Jsonb *scope = DatumGetJsonbP(fetched(row, BATCH_SCOPE, &isnull));
	Datum outbox_id;

	sight = SightOfBatch(viewer, DatumGetInt64(id), requested_by, scope, &choice->covered);
	if (sight == SEES_NOTHING)
		return;
	if (wanted->tenant != NULL && !sees_tenant(choice, sight, before, scope, wanted->tenant))
	{
		choice->covered.count = before;
		return;
	}
	if (choice->count == choice->allocated)
	{
		choice->allocated *= 2;
		choice->batch_ids = repalloc_huge(choice->batch_ids, choice->allocated * sizeof(Datum));
	}
	choice->batch_ids[choice->count++] = id;
	outbox_id = fetched(row, BATCH_FIRST_OUTBOX_ID, &isnull);
	if (isnull)
		return;
	choice->first_outbox_id = Min(choice->first_outbox_id, DatumGetInt64(outbox_id));
	outbox_id = fetched(row, BATCH_LAST_OUTBOX_ID, &isnull);
	choice->last_outbox_id = Max(choice->last_outbox_id, DatumGetInt64(outbox_id));
}

/*
 * Open a cursor on the batches that are asked for.
 */
static Portal
open_scopes(const Wanted *wanted, const char *schema)
{
	Oid types[NUM_SCOPES_PARAMETERS] = {INT8OID, INT8OID, TEXTARRAYOID};
	Datum values[NUM_SCOPES_PARAMETERS];
	char nulls[NUM_SCOPES_PARAMETERS];

	for (int i = 0; i < NUM_SCOPES_PARAMETERS; i++)
	{
		values[i] = wanted->scopes[i].value;
		nulls[i] = wanted->scopes[i].isnull ? 'n' : ' ';
	}
	return SPI_cursor_open_with_args(NULL, psprintf(READ_SCOPES, schema), NUM_SCOPES_PARAMETERS,
									 types, values, nulls, true, 0);
}

/*
 * Determine which of the requested batches are to be shown, in the given memory
 * context.  If the caller sees all batches and wants all of them, the batches
 * are not checked one by one.
 */
static void
choose_batches(Choice *choice, Viewer *viewer, const Wanted *wanted, MemoryContext context)
{
	MemoryContext scratch;
	Portal portal;

	memset(choice, 0, sizeof(*choice));
	choice->covered.context = context;
	choice->first_outbox_id = PG_INT64_MIN;
	choice->last_outbox_id = PG_INT64_MAX;
	choice->everything = wanted->scopes[SCOPES_BATCH_ID].isnull &&
						 wanted->scopes[SCOPES_BEFORE].isnull &&
						 wanted->scopes[SCOPES_KINDS].isnull && wanted->tenant == NULL &&
						 wanted->newest == PG_INT64_MAX && SeesAllBatches(viewer);
	if (choice->everything)
		return;
	choice->first_outbox_id = PG_INT64_MAX;
	choice->last_outbox_id = PG_INT64_MIN;
	choice->allocated = 64;
	choice->batch_ids = MemoryContextAlloc(context, choice->allocated * sizeof(Datum));
	scratch =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay scopes", ALLOCSET_SMALL_SIZES);
	portal = open_scopes(wanted, viewer->schema);
	while (choice->count < wanted->newest)
	{
		SPI_cursor_fetch(portal, true, (long) Min(FETCH_ROWS, wanted->newest));
		if (SPI_processed == 0)
			break;
		for (uint64 row = 0; row < SPI_processed && choice->count < wanted->newest; row++)
		{
			MemoryContext old = MemoryContextSwitchTo(scratch);

			choose_fetched(choice, viewer, wanted, (int) row);
			MemoryContextSwitchTo(old);
			MemoryContextReset(scratch);
		}
		SPI_freetuptable(SPI_tuptable);
	}
	MemoryContextDelete(scratch);
	SPI_cursor_close(portal);
}

/*
 * An array of texts or bigints.
 */
static Datum
make_array(Datum *values, int count, Oid type)
{
	if (type == INT8OID)
		return PointerGetDatum(construct_array(values, count, INT8OID, sizeof(int64),
											   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	return PointerGetDatum(construct_array(values, count, TEXTOID, -1, false, TYPALIGN_INT));
}

/* A row of the list that is being made. */
typedef struct ListRow
{
	Datum values[NUM_LIST_COLUMNS];
	bool nulls[NUM_LIST_COLUMNS];
	BatchRow batch; /* as far as what is derived needs it */
	BatchQueueContents queue;
	const char *state;
	bool in_part; /* the viewer sees a part of the batch */
} ListRow;

/*
 * A number in a row; 0 if it is NULL.
 */
static int64
list_number(const ListRow *row, int column)
{
	return row->nulls[column] ? 0 : DatumGetInt64(row->values[column]);
}

/*
 * A time in a row.
 */
static OptionalTime
list_time(const ListRow *row, int column)
{
	OptionalTime time = {.given = !row->nulls[column]};

	if (time.given)
		time.time = DatumGetTimestampTz(row->values[column]);
	return time;
}

/*
 * Take a fetched row apart.
 */
static void
read_list_row(ListRow *row, HeapTuple tuple, TupleDesc desc)
{
	BatchRow *batch = &row->batch;

	heap_deform_tuple(tuple, desc, row->values, row->nulls);
	memset(batch, 0, sizeof(*batch));
	batch->id = DatumGetInt64(row->values[LIST_ID]);
	batch->matched = row->nulls[LIST_MATCHED] ? -1 : DatumGetInt64(row->values[LIST_MATCHED]);
	batch->replayed = list_number(row, LIST_REPLAYED);
	batch->stop = StopOfValue(row->values[LIST_STOPPED], row->nulls[LIST_STOPPED]);
	batch->is_complete = DatumGetBool(row->values[LIST_IS_COMPLETE]);
	batch->start_at = list_time(row, LIST_START_AT);
	batch->awaits_until = list_time(row, LIST_AWAITS_UNTIL);
	if (!row->nulls[LIST_QUERY])
		batch->query = DatumGetJsonbP(row->values[LIST_QUERY]);
	if (!row->nulls[LIST_RATE])
		batch->rate = DatumGetNumeric(row->values[LIST_RATE]);
	if (!row->nulls[LIST_BREAKER_WINDOW])
	{
		batch->breaker_window = DatumGetInt32(row->values[LIST_BREAKER_WINDOW]);
		batch->breaker_share = DatumGetNumeric(row->values[LIST_BREAKER_SHARE]);
		batch->breaker_since = list_time(row, LIST_BREAKER_SINCE);
	}
	if (!row->nulls[LIST_CANARY_MODE])
	{
		batch->canary.mode = TextDatumGetCString(row->values[LIST_CANARY_MODE]);
		batch->canary.step =
			row->nulls[LIST_CANARY_STEP] ? 0 : DatumGetInt32(row->values[LIST_CANARY_STEP]);
		batch->canary.actions = list_number(row, LIST_CANARY_ACTIONS);
		batch->canary.is_held = DatumGetBool(row->values[LIST_CANARY_HELD]);
		batch->canary.unrecorded = list_number(row, LIST_CANARY_UNRECORDED);
	}
	row->queue =
		QueueContents(list_number(row, LIST_ALL_WAITING), list_number(row, LIST_ALL_IN_FLIGHT),
					  list_number(row, LIST_ALL_IN_DOUBT));
	row->in_part = DatumGetBool(row->values[LIST_IN_PART]);
}

/*
 * How many actions of a batch have still to be sent at a tenth of its rate: unknown,
 * and taken for none, where only a part of it is seen.
 */
static int64
list_ramp_left(const ListRow *row)
{
	if (row->in_part || row->batch.rate == NULL || !HasRamp(&row->batch))
		return 0;
	return RampLeft(&row->batch, list_number(row, LIST_DELIVERED) + list_number(row, LIST_DEAD) +
									 list_number(row, LIST_CANCELLED) +
									 list_number(row, LIST_EXPIRED));
}

/*
 * The rate at which a batch with a ramp begins.
 */
static Datum
ramp_rate(Numeric rate)
{
	Datum slow = DirectFunctionCall2(numeric_div, NumericGetDatum(rate),
									 NumericGetDatum(int64_to_numeric(RAMP_FACTOR)));

	return DirectFunctionCall1(numeric_trim_scale, slow);
}

/*
 * Time until everything has ended, at the batch's rate or else at its present speed:
 * at most a century, beyond which an interval is of no use.  Returns false if it is not
 * known.
 */
static bool
list_time_left(const ListRow *row, int64 ramp, TimestampTz now, Datum *result)
{
	const BatchRow *batch = &row->batch;
	Datum pace = batch->rate != NULL ? NumericGetDatum(batch->rate) : row->values[LIST_SPEED];
	double speed = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, pace));
	double left = list_number(row, LIST_WAITING) + list_number(row, LIST_IN_FLIGHT);
	Interval *time = palloc0(sizeof(Interval));

	if (row->in_part || !BatchGoesOn(row->state) || speed <= 0)
		return false;
	if (!batch->is_complete)
		left += Max(batch->matched - batch->replayed - list_number(row, LIST_FAILED) -
						list_number(row, LIST_SKIPPED) - list_number(row, LIST_PASSED_OVER),
					0);
	left += (double) (RAMP_FACTOR - 1) * ramp;
	time->time = (int64) Min(round(left / speed), CENTURY) * USECS_PER_SEC;
	*result = IntervalPGetDatum(time);
	if (batch->start_at.given && batch->start_at.time > now)
	{
		Datum wait = DirectFunctionCall2(timestamp_mi, TimestampTzGetDatum(batch->start_at.time),
										 TimestampTzGetDatum(now));

		wait = DirectFunctionCall2(interval_trunc, CStringGetTextDatum("second"), wait);
		*result = DirectFunctionCall2(interval_pl, *result, wait);
	}
	return true;
}

/*
 * Fill in a column of a row.
 */
static void
set_list_value(ListRow *row, int column, Datum value)
{
	row->values[column] = value;
	row->nulls[column] = false;
}

/*
 * Add what is derived to a row.
 */
static void
derive_list_row(ListRow *row, Oid schema, TimestampTz now)
{
	int64 ramp = list_ramp_left(row);
	Datum time_left;

	row->state = BatchState(schema, &row->batch, row->queue, now);
	set_list_value(row, LIST_STATE, CStringGetTextDatum(row->state));
	if (ApprovalOf(&row->batch) == APPROVAL_EXPIRED && row->batch.stop == BATCH_RUNS)
	{
		if (!row->in_part)
			set_list_value(row, LIST_STOP_REASON, CStringGetTextDatum(APPROVAL_EXPIRED_REASON));
		set_list_value(row, LIST_STOPPED_AT, row->values[LIST_AWAITS_UNTIL]);
	}
	if (list_time_left(row, ramp, now, &time_left))
		set_list_value(row, LIST_TIME_LEFT, time_left);
	if (ramp > 0)
		set_list_value(row, LIST_RATE, ramp_rate(row->batch.rate));
	if (!row->in_part && row->batch.canary.mode != NULL)
		set_list_value(row, LIST_CANARY,
					   CStringGetTextDatum(
						   CanaryText(&row->batch, DatumGetBool(row->values[LIST_CANARY_IS_OUT]))));
	if (!row->in_part)
		set_list_value(row, LIST_BREAKER,
					   CStringGetTextDatum(BreakerText(&row->batch, schema, GetActiveSnapshot())));
}

/*
 * Return the rows of what was chosen.
 */
static void
return_batches(ReturnSetInfo *result, const Choice *choice, const char *schema, Oid schema_id)
{
	TimestampTz now = GetCurrentTimestamp();
	MemoryContext scratch =
		AllocSetContextCreate(CurrentMemoryContext, "acteon_replay batches", ALLOCSET_SMALL_SIZES);
	const CoveredScope *covered = &choice->covered;
	Oid types[NUM_COUNT_PARAMETERS] = {INT8ARRAYOID, TIMESTAMPTZOID, INT8OID,
									   INT8OID,      INT8ARRAYOID,   TEXTARRAYOID,
									   TEXTARRAYOID, TEXTARRAYOID,   TEXTARRAYOID};
	Datum values[NUM_COUNT_PARAMETERS] = {0};
	char nulls[NUM_COUNT_PARAMETERS];
	Portal portal;

	memset(nulls, ' ', sizeof(nulls));
	if (choice->everything)
		nulls[COUNT_BATCHES] = 'n';
	else
		values[COUNT_BATCHES] = make_array(choice->batch_ids, choice->count, INT8OID);
	values[COUNT_NOW] = TimestampTzGetDatum(now);
	values[COUNT_FIRST_ID] = Int64GetDatum(choice->first_outbox_id);
	values[COUNT_LAST_ID] = Int64GetDatum(choice->last_outbox_id);
	values[COUNT_PART] = make_array(covered->batch_ids, covered->count, INT8OID);
	for (int i = 0; i < SCOPE_PARTS; i++)
		values[COUNT_COVERED + i] = make_array(covered->parts[i], covered->count, TEXTOID);
	/* The number of running batches cannot be estimated, so a nested loop over them must be avoided. */
	SetLocally("enable_nestloop", "off");
	SetLocally("jit", "off");
	portal = SPI_cursor_open_with_args(NULL, psprintf(READ_BATCHES, schema), NUM_COUNT_PARAMETERS,
									   types, values, nulls, true, 0);
	for (;;)
	{
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		if (SPI_processed == 0)
			break;
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			MemoryContext old = MemoryContextSwitchTo(scratch);
			ListRow row;

			read_list_row(&row, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
			derive_list_row(&row, schema_id, now);
			tuplestore_putvalues(result->setResult, result->setDesc, row.values, row.nulls);
			MemoryContextSwitchTo(old);
			MemoryContextReset(scratch);
		}
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	MemoryContextDelete(scratch);
}

/*
 * Whether the viewer would see a row of a batch in acteon_replay_batches.
 */
bool
SeesBatch(Viewer *viewer, int64 batch_id)
{
	Wanted wanted = {.newest = PG_INT64_MAX};
	Choice choice;

	wanted.scopes[SCOPES_BATCH_ID].value = Int64GetDatum(batch_id);
	wanted.scopes[SCOPES_BEFORE].isnull = wanted.scopes[SCOPES_KINDS].isnull = true;
	choose_batches(&choice, viewer, &wanted, CurrentMemoryContext);
	return choice.count > 0;
}

/*
 * acteon_replay_read_batches(batch_id, before, newest bigint, kinds text[], tenant text)
 * → setof (id, …)
 *
 * The rows of the view acteon_replay_batches: of one batch, of those with lower
 * numbers than another, of the newest, of those of some kinds, of those that have
 * something of a tenant, or of all.  What the current role may not
 * see is left out, or NULL; see visibility.c.  Reads only.  Raises no errors of its
 * own.
 */
Datum
acteon_replay_read_batches(PG_FUNCTION_ARGS)
{
	static const int arguments[NUM_SCOPES_PARAMETERS] = {ARGUMENT_BATCH_ID, ARGUMENT_BEFORE,
														 ARGUMENT_KINDS};
	MemoryContext context = CurrentMemoryContext;
	Wanted wanted = {.newest = PG_INT64_MAX};
	Viewer viewer;
	Choice choice;

	/* Objects of an older version, whose function has fewer arguments, end here. */
	InitMaterializedSRF(fcinfo, 0);
	BeginSight(&viewer, fcinfo);
	for (int i = 0; i < NUM_SCOPES_PARAMETERS; i++)
	{
		wanted.scopes[i].isnull = PG_ARGISNULL(arguments[i]);
		if (!wanted.scopes[i].isnull)
			wanted.scopes[i].value = PG_GETARG_DATUM(arguments[i]);
	}
	if (!PG_ARGISNULL(ARGUMENT_NEWEST))
		wanted.newest = PG_GETARG_INT64(ARGUMENT_NEWEST);
	if (!PG_ARGISNULL(ARGUMENT_TENANT))
		wanted.tenant = PG_GETARG_TEXT_PP(ARGUMENT_TENANT);
	if (wanted.newest < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("newest must not be negative"),
				 errhint("Leave it out for all of them.")));
	choose_batches(&choice, &viewer, &wanted, context);
	if (choice.everything || choice.count > 0)
		return_batches((ReturnSetInfo *) fcinfo->resultinfo, &choice, viewer.schema,
					   CalledSchema(fcinfo));
	EndSight(&viewer);
	return (Datum) 0;
}
