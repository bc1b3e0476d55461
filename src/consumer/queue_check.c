/*
 * queue_check.c
 *		acteon_outbox_check, acteon_outbox_stats, acteon_outbox_audit_tells and
 *		acteon_outbox_other_target: looking at the queue, and at what it relies on.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "audit/audit_lookup.h"
#include "base/catalog.h"
#include "base/identity.h"
#include "base/settings.h"
#include "base/target.h"
#include "consumer/call.h"
#include "consumer/trail.h"
#include "queue/action_state.h"
#include "queue/batch_flags.h"
#include "queue/relay.h"

/* Outbox ids that are checked at once. */
#define CHECK_RANGE (16 * 1024)

/* Ids after which progress is reported, without holes. */
#define CHECK_REPORT 1000000

/*
 * The next id from $1 on, up to $2, that there is something about, and NULL if there is
 * none.  A segment that begins before may reach it.  %1$s is the extension's schema;
 * see redrive.c about the search path.
 */
#define NEXT_TO_CHECK \
	"SELECT least((SELECT id FROM %1$s.acteon_dispatch_outbox WHERE id BETWEEN $1 AND $2" \
	"		ORDER BY id LIMIT 1)," \
	"	(SELECT greatest(first_id, $1) FROM %1$s.acteon_dispatch_segment" \
	"		WHERE first_id > $1 - " SQL_SEGMENT_ACTIONS \
	" AND first_id <= $2 AND last_id >= $1 ORDER BY first_id LIMIT 1)," \
	"	(SELECT outbox_id FROM %1$s.acteon_dispatch_delivery WHERE outbox_id BETWEEN $1 AND $2" \
	"		ORDER BY outbox_id LIMIT 1))"

/* Whether segment s is cancelled, apart from the rest of its batch. */
#define IS_CANCELLED_APART "(" SEGMENT_STATE("s", "clock_timestamp()") ") = " SQL_CANCELLED

/* The actions with ids from $1 to $2, and what there is about them. */
#define CHECKED_ACTIONS \
	"WITH covered AS (" \
	"	SELECT id, count(*) AS times, min(s.batch_id) AS batch_id, min(s.lane) AS lane," \
	"		min(s.expires_at) AS expires_at," \
	"		min(s.target) AS target, bool_or(" IS_CANCELLED_APART ") AS is_cancelled" \
	"	FROM %1$s.acteon_dispatch_segment AS s," \
	"		generate_series(greatest(s.first_id, $1), least(s.last_id, $2)) AS id" \
	"	WHERE s.first_id > $1 - " SQL_SEGMENT_ACTIONS " AND s.first_id <= $2 AND s.last_id >= $1" \
	"	GROUP BY id), " \
	"stored AS (SELECT id, batch_id, generation, original_action_id, tenant, namespace, expires_at, target," \
	"		%1$s.acteon_dispatch_lane(tenant, fingerprint, coalesce(target, '" PRODUCTION \
	"')) AS lane" \
	"	FROM %1$s.acteon_dispatch_outbox WHERE id BETWEEN $1 AND $2), " \
	"delivery AS (SELECT * FROM %1$s.acteon_dispatch_delivery WHERE outbox_id BETWEEN $1 AND $2), " \
	"action AS MATERIALIZED (" \
	"	SELECT coalesce(o.id, c.id, d.outbox_id) AS id, o.id IS NOT NULL AS exists," \
	"		d.outbox_id IS NOT NULL AS finished, coalesce(c.times, 0) AS times," \
	"		coalesce(c.is_cancelled, false) AS is_cancelled," \
	"		o.batch_id, c.batch_id AS segment_batch_id, c.lane, o.lane AS right_lane," \
	"		o.expires_at < c.expires_at AS is_late," \
	"		coalesce(o.target, '" PRODUCTION "') AS target," \
	"		coalesce(c.target, '" PRODUCTION "') AS segment_target," \
	"		o.generation," \
	"		CASE WHEN o.generation > 1 THEN o.original_action_id END AS original_action_id," \
	"		CASE WHEN o.generation > 1 THEN o.tenant END AS tenant," \
	"		CASE WHEN o.generation > 1 THEN o.namespace END AS namespace," \
	"		CASE WHEN d.state <> " SQL_DELIVERED \
	" AND d.unproven THEN d.state END AS unproven_end," \
	"		CASE WHEN d.state = " SQL_DEAD " AND d.error LIKE 'action %% " CANNOT_BE_HANDED_OUT \
	":%%'" \
	"			THEN d.error END AS not_handed_out" \
	"	FROM stored AS o FULL JOIN covered AS c ON c.id = o.id" \
	"	FULL JOIN delivery AS d ON d.outbox_id = coalesce(o.id, c.id)), " \
	"batch AS (SELECT id, first_outbox_id, last_outbox_id, stopped, query" \
	"	FROM %1$s.acteon_replay_batch AS b" \
	"	WHERE b.id BETWEEN (SELECT min(batch_id) FROM action) AND (SELECT max(batch_id) FROM action)) "

/*
 * Everything that must be true of these actions between transactions, each with what
 * it is called when it is not.  Earlier replays of an action are looked up by their
 * ids, one by one, which OFFSET 0 keeps the planner from turning into a join with
 * everything.
 */
#define CHECK_ACTIONS \
	"SELECT 'lost', id, 'The action is neither finished nor covered by a segment.'" \
	"	FROM action WHERE exists AND NOT finished AND times = 0 " \
	"UNION ALL SELECT 'covered twice', id, format('%%s segments cover the action.', times)" \
	"	FROM action WHERE times > 1 " \
	"UNION ALL SELECT 'finished and waiting', id," \
	"		'The action has a delivery and is covered by a segment.'" \
	"	FROM action WHERE finished AND times > 0 " \
	"UNION ALL SELECT 'unknown action', id," \
	"		'A segment or a delivery is about an action that is not in the outbox.'" \
	"	FROM action WHERE NOT exists " \
	"UNION ALL SELECT 'wrong batch', id," \
	"		format('The action is of batch %%s, its segment of batch %%s.', batch_id," \
	"			segment_batch_id)" \
	"	FROM action WHERE exists AND times > 0 AND batch_id <> segment_batch_id " \
	"UNION ALL SELECT 'wrong lane', id," \
	"		format('The action is of lane %%s, its segment of lane %%s.'," \
	"			coalesce(right_lane::text, 'none'), coalesce(lane::text, 'none'))" \
	"	FROM action WHERE exists AND times > 0 AND right_lane IS DISTINCT FROM lane " \
	"UNION ALL SELECT 'expires too late', id," \
	"		'The action expires before its segment does, so it could be sent too late.'" \
	"	FROM action WHERE is_late " \
	"UNION ALL SELECT 'wrong target', id," \
	"		format('The action is for target %%s, its segment for target %%s.', target," \
	"			segment_target)" \
	"	FROM action WHERE exists AND times > 0 AND target <> segment_target " \
	"UNION ALL SELECT 'no batch', id, format('Batch %%s does not exist.', batch_id)" \
	"	FROM action" \
	"	WHERE exists AND NOT EXISTS (SELECT FROM batch WHERE batch.id = action.batch_id) " \
	"UNION ALL SELECT 'outside its batch', o.id, format('Batch %%s says that its actions are %%s" \
	" to %%s.', b.id, coalesce(b.first_outbox_id::text, 'none')," \
	"		coalesce(b.last_outbox_id::text, 'none'))" \
	"	FROM action AS o JOIN batch AS b ON b.id = o.batch_id" \
	"	WHERE o.exists AND (o.id BETWEEN b.first_outbox_id AND b.last_outbox_id) IS NOT TRUE " \
	"UNION ALL SELECT 'ended in doubt', id," \
	"		format('The action ended %%s, and an earlier id of it may have been executed.'," \
	"			unproven_end)" \
	"	FROM action WHERE unproven_end IS NOT NULL " \
	"UNION ALL SELECT 'cannot be handed out', id, not_handed_out" \
	"	FROM action WHERE not_handed_out IS NOT NULL " \
	"UNION ALL SELECT 'gap in generations', o.id," \
	"		format('Replay %%s of action %%s is there, replay %%s is not.', o.generation," \
	"			left(o.original_action_id, 100), o.generation - 1)" \
	"	FROM action AS o" \
	"	WHERE o.generation > 1 AND NOT EXISTS (SELECT FROM %1$s.acteon_dispatch_action AS p" \
	"		WHERE p.action_id = %1$s.acteon_replay_id(o.original_action_id, o.generation - 1, 0," \
	"			o.target) OFFSET 0) " \
	"UNION ALL SELECT 'id not kept', o.id," \
	"		'The id of the action is not in acteon_dispatch_action, so it could be replayed twice.'" \
	"	FROM %1$s.acteon_dispatch_outbox AS o" \
	"	WHERE o.id BETWEEN $1 AND $2 AND NOT EXISTS (SELECT FROM %1$s.acteon_dispatch_action AS k" \
	"		WHERE k.action_id = o.action_id AND k.outbox_id = o.id OFFSET 0) " \
	"UNION ALL SELECT 'queued twice', o.id, format('Replays %%s and %%s of action %%s both wait.'," \
	"		o.generation, p.generation, left(p.original_action_id, 100))" \
	"	FROM action AS p CROSS JOIN LATERAL generate_series(1, p.generation - 1) AS g" \
	"	CROSS JOIN LATERAL (SELECT e.id, e.generation, e.batch_id FROM %1$s.acteon_dispatch_outbox AS e" \
	"		WHERE e.id = (SELECT k.outbox_id FROM %1$s.acteon_dispatch_action AS k" \
	"				WHERE k.action_id = %1$s.acteon_replay_id(p.original_action_id, g, 0, p.target))" \
	"			AND e.original_action_id = p.original_action_id" \
	"			AND e.tenant = p.tenant AND e.namespace = p.namespace" \
	"			AND e.generation < p.generation" \
	"			AND NOT EXISTS (SELECT FROM %1$s.acteon_dispatch_delivery AS d" \
	"				WHERE d.outbox_id = e.id OFFSET 0)" \
	"			AND NOT EXISTS (SELECT FROM %1$s.acteon_dispatch_segment AS s" \
	"				WHERE s.first_id > e.id - " SQL_SEGMENT_ACTIONS \
	" AND s.first_id <= e.id AND s.last_id >= e.id" \
	"					AND " IS_CANCELLED_APART " OFFSET 0)" \
	"			AND EXISTS (SELECT FROM %1$s.acteon_replay_batch AS b" \
	"				WHERE b.id = e.batch_id AND (" IS_CANCELLED( \
		"b") ") IS NOT TRUE OFFSET 0) OFFSET 0) AS o" \
			 "	JOIN batch AS c ON c.id = p.batch_id" \
			 "	WHERE p.exists AND NOT p.finished AND NOT p.is_cancelled AND NOT c.query ? 'action_id' AND NOT c.query ? 'notify'" \
			 "		AND (" IS_CANCELLED( \
				 "c") ") IS NOT TRUE AND c.query -> 'include_replayed' IS DISTINCT FROM 'true' "

/*
 * What must be true of the segments that begin there.
 */
#define CHECK_SEGMENTS \
	"UNION ALL SELECT 'lane leased twice', max(first_id)," \
	"		format('%%s leases are live in lane %%s.', count(*), lane)" \
	"	FROM %1$s.acteon_dispatch_segment AS s" \
	"	WHERE lane IS NOT NULL AND " SEGMENT_IS_LEASED( \
		"s", \
		"clock_timestamp()") "	GROUP BY lane HAVING count(*) > 1 AND max(first_id) BETWEEN $1 AND $2 " \
							 "UNION ALL SELECT 'never due', first_id," \
							 "		format('Neither batch %%s nor a limit holds the segment back, which has no due time.', batch_id)" \
							 "	FROM %1$s.acteon_dispatch_segment AS s" \
							 "	WHERE first_id BETWEEN $1 AND $2 AND due_at = 'infinity'" \
							 "		AND (s.held IS NOT NULL AND s.target IS NOT NULL) IS NOT TRUE" \
							 "		AND (parked_at IS NULL OR NOT EXISTS (SELECT FROM %1$s.acteon_replay_limit AS l" \
							 "			WHERE l.key IN (s.provider_limit, s.tenant_limit) OFFSET 0))" \
							 "		AND s.stopped IS DISTINCT FROM '" STOPPED_PAUSED "'" \
							 "		AND EXISTS (SELECT FROM %1$s.acteon_replay_batch AS b WHERE b.id = s.batch_id" \
							 "			AND b.stopped IS NULL AND s.first_id > b.canary_last_id IS NOT TRUE OFFSET 0) " \
							 "UNION ALL SELECT 'handed out too early', first_id," \
							 "		format('The canary of batch %%s holds actions back behind %%s.', s.batch_id," \
							 "			b.canary_last_id)" \
							 "	FROM %1$s.acteon_dispatch_segment AS s" \
							 "	JOIN %1$s.acteon_replay_batch AS b ON b.id = s.batch_id AND b.canary_step IS NOT NULL" \
							 "	WHERE first_id BETWEEN $1 AND $2 AND lease_token IS NOT NULL" \
							 "		AND last_id > b.canary_last_id " \
							 "UNION ALL SELECT 'wrong attempt', first_id," \
							 "		format('The segment is %%s and has %%s attempts.'," \
							 "			CASE WHEN lease_token IS NULL THEN " SQL_WAITING \
							 " ELSE 'leased' END, attempt)" \
							 "	FROM %1$s.acteon_dispatch_segment" \
							 "	WHERE first_id BETWEEN $1 AND $2" \
							 "		AND attempt < CASE WHEN lease_token IS NULL THEN 0 ELSE 1 END "

#define CHECK_IDS CHECKED_ACTIONS CHECK_ACTIONS CHECK_SEGMENTS "ORDER BY 2, 1"

/*
 * What must be true of the batches, whatever the ids of their actions.
 */
#define CHECK_BATCHES \
	"SELECT 'wrong tally', NULL::bigint, format('Batch %%s has %%s actions, of which %%s ended" \
	" and %%s are in the queue.', b.id, b.replayed, coalesce(t.ended, 0), coalesce(s.queued, 0))" \
	"	FROM %1$s.acteon_replay_batch AS b" \
	"	LEFT JOIN (SELECT batch_id, sum(actions) AS ended FROM %1$s.acteon_replay_tally" \
	"		WHERE state <> " SQL_IN_DOUBT " GROUP BY batch_id) AS t ON t.batch_id = b.id" \
	"	LEFT JOIN (SELECT batch_id, sum(last_id - first_id + 1) AS queued" \
	"		FROM %1$s.acteon_dispatch_segment GROUP BY batch_id) AS s ON s.batch_id = b.id" \
	"	WHERE b.replayed <> coalesce(t.ended, 0) + coalesce(s.queued, 0) ORDER BY b.id"

/* Whether segment s is in doubt at the time of the call. */
#define IS_DOUBT "(" SEGMENT_STATE("s", "$1") ") = " SQL_IN_DOUBT

/*
 * Batches whose canary goes on by itself: it does not wait for a time that is to come, nor
 * for a person.
 */
#define CANARIES \
	"SELECT id, canary_last_id FROM %1$s.acteon_replay_batch AS b" \
	"	WHERE canary_step IS NOT NULL AND stopped IS NULL" \
	"		AND NOT EXISTS (SELECT FROM %1$s.acteon_dispatch_segment AS s" \
	"			WHERE s.batch_id = b.id AND s.first_id BETWEEN b.canary_first_id AND b.canary_last_id" \
	"				AND (s.held IS NOT NULL OR s.due_at > $1 AND s.lease_token IS NULL" \
	"					AND s.parked_at IS NULL" \
	"					AND s.doubt_since IS NULL AND NOT s.was_claimed))"

/*
 * Whether a delivery is of an action for target $2: the consumer that was handed it out
 * tells.  What no consumer is known of counts as production's.
 */
#define OF_TARGET(delivery) \
	"coalesce(" delivery ".relay IN (SELECT r.id FROM %1$s.acteon_dispatch_relay AS r" \
	"	WHERE r.target <> '" PRODUCTION "' AND $2 IN ('" PRODUCTION "', r.target)), false)" \
	" <> ($2 = '" PRODUCTION "')"

/*
 * The row of target $2: the segments are read, the last deliveries by the index on
 * their times, the dead ones by theirs.
 */
#define READ_STATS \
	"WITH open AS MATERIALIZED (" CANARIES ") " \
	"SELECT s.depth, s.due, s.retrying, s.scheduled, s.leased," \
	"	(SELECT count(*) FROM %1$s.acteon_dispatch_delivery AS d WHERE state = " SQL_DEAD \
	" AND " OF_TARGET( \
		"d") ")," \
			 "	s.oldest_due_age, d.delivered_1m, d.delivered_5m, d.dead_5m, s.paused, s.in_doubt, s.held, s.canary " \
			 "FROM (SELECT coalesce(sum(n), 0)::bigint AS depth," \
			 "		coalesce(sum(n) FILTER (WHERE due_at <= now AND is_clean), 0)::bigint AS due," \
			 "		coalesce(sum(n) FILTER (WHERE due_at > now AND was_claimed AND is_clean)," \
			 "			0)::bigint AS retrying," \
			 "		coalesce(sum(n) FILTER (WHERE due_at > now AND NOT was_claimed AND is_clean)," \
			 "			0)::bigint AS scheduled," \
			 "		coalesce(sum(n) FILTER (WHERE " SEGMENT_IS_LEASED( \
				 "segment", \
				 "now") "), 0)::bigint AS leased," \
						"		coalesce(sum(n) FILTER (WHERE is_paused AND NOT is_doubt), 0)::bigint AS paused," \
						"		min(now) FILTER (WHERE due_at <= now AND is_clean)" \
						"			- min(due_at) FILTER (WHERE due_at <= now AND is_clean) AS oldest_due_age," \
						"		coalesce(sum(n) FILTER (WHERE is_doubt), 0)::bigint AS in_doubt," \
						"		coalesce(sum(n) FILTER (WHERE held IS NOT NULL), 0)::bigint AS held," \
						"		coalesce(sum(n) FILTER (WHERE is_canary), 0)::bigint AS canary" \
						"	FROM (SELECT s.due_at, s.lease_token, s.was_claimed, s.last_id - s.first_id + 1 AS n, s.held," \
						"			$1 AS now, (b.stopped IS NOT NULL OR s.stopped = '" STOPPED_PAUSED \
						"')" \
						"				AND s.lease_token IS NULL AS is_paused, " \
						"			s.first_id > k.canary_last_id IS TRUE AND s.doubt_since IS NULL AS is_canary," \
						"			" IS_DOUBT \
						" AS is_doubt, b.stopped IS NULL AND s.stopped IS NULL" \
						"				AND (" SEGMENT_STATE( \
							"s", \
							"$1") ") = " SQL_WAITING " AS is_clean" \
								  "		FROM %1$s.acteon_dispatch_segment AS s" \
								  "		LEFT JOIN %1$s.acteon_replay_batch AS b ON b.id = s.batch_id AND b.stopped IS NOT NULL" \
								  "		LEFT JOIN open AS k ON k.id = s.batch_id" \
								  "		WHERE ((" IS_CANCELLED( \
									  "b") ") IS NOT TRUE" \
										   "			OR s.lease_token IS NOT NULL OR " IS_DOUBT \
										   ") AND NOT " IS_CANCELLED_APART \
										   " AND coalesce(s.target, '" PRODUCTION \
										   "') = $2) AS segment) AS s, " \
										   "	(SELECT count(*) FILTER (WHERE state = " SQL_DELIVERED \
										   " AND finished_at >= $1 - interval '1 min')" \
										   "			AS delivered_1m," \
										   "		count(*) FILTER (WHERE state = " SQL_DELIVERED \
										   ") AS delivered_5m," \
										   "		count(*) FILTER (WHERE state = " SQL_DEAD \
										   ") AS dead_5m" \
										   "	FROM %1$s.acteon_dispatch_delivery AS d WHERE finished_at >= $1 - interval '5 min'" \
										   "		AND " OF_TARGET("d") ") AS d"

PG_FUNCTION_INFO_V1(acteon_outbox_check);
PG_FUNCTION_INFO_V1(acteon_outbox_read_stats);
PG_FUNCTION_INFO_V1(acteon_outbox_audit_tells);
PG_FUNCTION_INFO_V1(acteon_outbox_other_target);

/*
 * Begin a call that looks at the queue, and connect to SPI.
 */
static void
begin_looking(ConsumerCall *call, FunctionCallInfo fcinfo, const char *function)
{
	InitMaterializedSRF(fcinfo, 0);
	BeginConsumerCall(call, fcinfo, function, false);
	SetLocally("jit", "off"); /* compiling takes longer than what it speeds up */
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

/*
 * End the call.
 */
static void
end_looking(ConsumerCall *call)
{
	SPI_finish();
	EndConsumerCall(call);
}

/*
 * Return the rows that a statement has found.
 */
static void
return_found(ReturnSetInfo *result, int code)
{
	if (code != SPI_OK_SELECT)
		elog(ERROR, "could not read the outbox: %s", SPI_result_code_string(code));
	for (uint64 row = 0; row < SPI_processed; row++)
		tuplestore_puttuple(result->setResult, SPI_tuptable->vals[row]);
	SPI_freetuptable(SPI_tuptable);
}

/*
 * Prepare a statement about a range of ids, $1 to $2.
 */
static SPIPlanPtr
prepare_range(const char *statement, const char *schema)
{
	Oid types[] = {INT8OID, INT8OID};
	SPIPlanPtr plan = SPI_prepare(psprintf(statement, schema), lengthof(types), types);

	if (plan == NULL)
		elog(ERROR, "could not prepare a statement: %s", SPI_result_code_string(SPI_result));
	return plan;
}

/*
 * Move the beginning of a range to the first id that there is something about; false,
 * if there is none.
 */
static bool
find_next(SPIPlanPtr plan, Datum *range)
{
	bool isnull;

	if (SPI_execute_plan(plan, range, NULL, true, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not read the outbox: %s", SPI_result_code_string(SPI_result));
	range[0] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	SPI_freetuptable(SPI_tuptable);
	return !isnull;
}

/*
 * Check the ids of a range, part by part, all by the snapshot of the calling statement.
 * Says now and then how far it is.
 */
static void
check_range(ReturnSetInfo *result, const char *schema, int64 from_id, int64 to_id)
{
	SPIPlanPtr next = prepare_range(NEXT_TO_CHECK, schema);
	SPIPlanPtr check = prepare_range(CHECK_IDS, schema);
	Datum rest[] = {Int64GetDatum(from_id), Int64GetDatum(to_id)};
	int64 unreported = 0;

	while (find_next(next, rest))
	{
		int64 first = DatumGetInt64(rest[0]);
		int64 last =
			(uint64) to_id - (uint64) first < CHECK_RANGE ? to_id : first + CHECK_RANGE - 1;
		Datum part[] = {rest[0], Int64GetDatum(last)};

		CHECK_FOR_INTERRUPTS();
		return_found(result, SPI_execute_plan(check, part, NULL, true, 0));
		if (last == to_id)
			break;
		unreported += CHECK_RANGE;
		if (unreported >= CHECK_REPORT)
		{
			ereport(NOTICE, (errmsg("the outbox is checked up to id " INT64_FORMAT, last)));
			unreported = 0;
		}
		rest[0] = Int64GetDatum(last + 1);
	}
}

/*
 * Return what the check of the trail has found.
 */
static void
return_finding(void *argument, const TrailFinding *finding)
{
	ReturnSetInfo *result = argument;
	Datum values[] = {CStringGetTextDatum(finding->violation), Int64GetDatum(finding->outbox_id),
					  CStringGetTextDatum(finding->detail)};
	bool nulls[] = {false, finding->outbox_id == 0, false};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * acteon_outbox_check(from_id bigint, to_id bigint)
 * → setof (violation, outbox_id, detail)
 *
 * Checks everything that must be true of the outbox, and that it is what was linked in
 * the trail (trail_check.c), and returns a row for each thing that is not: of all of it, or
 * of the actions with ids in a range.  Raises insufficient_privilege.
 */
Datum
acteon_outbox_check(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	/* Version 1.0 has no arguments. */
	bool has_first = PG_NARGS() > 0 && !PG_ARGISNULL(0);
	bool has_last = PG_NARGS() > 1 && !PG_ARGISNULL(1);
	/* With room below for a segment's length. */
	int64 from_id = Max(has_first ? PG_GETARG_INT64(0) : PG_INT64_MIN, PG_INT64_MIN + 100);
	int64 to_id = has_last ? PG_GETARG_INT64(1) : PG_INT64_MAX;
	TrailObserver observer = {.argument = result, .found = return_finding};
	TrailSeen seen;
	ConsumerCall call;
	const char *schema;

	begin_looking(&call, fcinfo, "acteon_outbox_check()");
	/* A nested loop over all of a range would be wrong as long as there are no statistics. */
	SetLocally("enable_nestloop", "off");
	SetLocally("enable_seqscan", "off");
	schema = quote_identifier(get_namespace_name(call.schema));
	if (from_id <= to_id)
	{
		check_range(result, schema, from_id, to_id);
		CheckTrail(&observer, call.schema, from_id, to_id, !has_first && !has_last, &seen);
	}
	if (!has_first && !has_last)
	{
		SetLocally("enable_seqscan", "on");
		return_found(result, SPI_execute(psprintf(CHECK_BATCHES, schema), true, 0));
	}
	end_looking(&call);
	return (Datum) 0;
}

/*
 * acteon_outbox_read_stats(target text) → setof (depth, due, …)
 *
 * How the queue of a target is; the row of the view acteon_outbox_stats is that of
 * production.  Raises insufficient_privilege and invalid_parameter_value.
 */
Datum
acteon_outbox_read_stats(PG_FUNCTION_ARGS)
{
	ConsumerCall call;
	Oid types[] = {TIMESTAMPTZOID, TEXTOID};
	Datum values[2];
	const char *target = PRODUCTION;
	char *sql;

	/* Version 1.0 has no argument. */
	if (PG_NARGS() > 0)
	{
		if (PG_ARGISNULL(0))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("target must not be NULL"),
					 errhint("Leave it out for %s.", PRODUCTION)));
		target = text_to_cstring(PG_GETARG_TEXT_PP(0));
		(void) CheckTarget(target);
	}
	begin_looking(&call, fcinfo, "acteon_outbox_stats");
	values[0] = TimestampTzGetDatum(call.now);
	values[1] = CStringGetTextDatum(target);
	sql = psprintf(READ_STATS, quote_identifier(get_namespace_name(call.schema)));
	return_found((ReturnSetInfo *) fcinfo->resultinfo,
				 SPI_execute_with_args(sql, lengthof(types), types, values, NULL, false, 0));
	end_looking(&call);
	return (Datum) 0;
}

/*
 * acteon_outbox_audit_tells(sent_at timestamptz, later_than timestamptz) → text
 *
 * Why the absence from the audit table of a record proves nothing, for an
 * action that was sent at one time and must be recorded before anything that
 * was sent after another; NULL if it does prove something.  The defaults are
 * those of an action for which acteon_replay.gateway_patience has just passed.
 * Reads only.  Raises insufficient_privilege.
 */
Datum
acteon_outbox_audit_tells(PG_FUNCTION_ARGS)
{
	ConsumerCall call;
	Lookup *lookup;
	TimestampTz sent_at, later_than;
	AuditTells tells;

	BeginConsumerCall(&call, fcinfo, "acteon_outbox_audit_tells()", false);
	sent_at = PG_ARGISNULL(0)
				  ? TimestampTzPlusMilliseconds(call.now, -(int64) GatewayPatience * 1000)
				  : PG_GETARG_TIMESTAMPTZ(0);
	later_than = PG_ARGISNULL(1) ? sent_at : PG_GETARG_TIMESTAMPTZ(1);
	lookup = OpenLookup(call.schema);
	tells = WhatAuditTells(lookup, sent_at, later_than);
	CloseLookup(lookup);
	EndConsumerCall(&call);
	if (tells == AUDIT_TELLS)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(AuditTellsText(tells)));
}

/*
 * acteon_outbox_other_target(gateway text, target text) → text
 *
 * Another target than the given one for which consumers that deliver to an address have
 * been handed out actions, the latest; NULL if there is none.  Reads only.  Raises
 * insufficient_privilege and invalid_parameter_value.
 */
Datum
acteon_outbox_other_target(PG_FUNCTION_ARGS)
{
	ConsumerCall call;
	char *other;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("gateway and target must not be NULL"),
						errhint("Pass the address that a consumer delivers to.")));
	BeginConsumerCall(&call, fcinfo, "acteon_outbox_other_target()", false);
	other = OtherTarget(call.schema, CheckTarget(text_to_cstring(PG_GETARG_TEXT_PP(1))),
						ClipGateway(PG_GETARG_TEXT_PP(0)));
	EndConsumerCall(&call);
	if (other == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(other));
}
