/*
 * queue_check.c
 *		acteon_outbox_check, acteon_outbox_stats and acteon_outbox_audit_tells: looking at
 *		the queue, and at what it relies on.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "audit/lookup.h"
#include "base/identity.h"
#include "base/settings.h"
#include "consumer/call.h"
#include "queue/action_state.h"
#include "queue/batch_flags.h"

/*
 * Everything that must be true of the outbox between transactions, each with
 * what it is called when it is not.  %1$s is the extension's schema; see
 * redrive.c about the search path.
 */
#define CHECK_OUTBOX \
	"WITH covered AS (" \
	"	SELECT id, count(*) AS times, min(s.batch_id) AS batch_id, min(s.lane) AS lane" \
	"	FROM %1$s.acteon_dispatch_segment AS s, generate_series(s.first_id, s.last_id) AS id" \
	"	GROUP BY id), " \
	"action AS (" \
	"	SELECT coalesce(o.id, c.id, d.outbox_id) AS id, o.id IS NOT NULL AS exists," \
	"		d.outbox_id IS NOT NULL AS finished, coalesce(c.times, 0) AS times," \
	"		o.batch_id, c.batch_id AS segment_batch_id, c.lane," \
	"		%1$s.acteon_dispatch_lane(o.tenant, o.fingerprint) AS right_lane" \
	"	FROM %1$s.acteon_dispatch_outbox AS o" \
	"	FULL JOIN covered AS c ON c.id = o.id" \
	"	FULL JOIN %1$s.acteon_dispatch_delivery AS d ON d.outbox_id = coalesce(o.id, c.id)) " \
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
	"UNION ALL SELECT 'lane leased twice', max(first_id)," \
	"		format('%%s leases are live in lane %%s.', count(*), lane)" \
	"	FROM %1$s.acteon_dispatch_segment AS s" \
	"	WHERE lane IS NOT NULL AND " SEGMENT_IS_LEASED( \
		"s", \
		"clock_timestamp()") "	GROUP BY lane HAVING count(*) > 1 " \
							 "UNION ALL SELECT 'wrong attempt', first_id," \
							 "		format('The segment is %%s and has %%s attempts.'," \
							 "			CASE WHEN lease_token IS NULL THEN 'waiting' ELSE 'leased' END, attempt)" \
							 "	FROM %1$s.acteon_dispatch_segment" \
							 "	WHERE attempt < CASE WHEN lease_token IS NULL THEN 0 ELSE 1 END " \
							 "UNION ALL SELECT 'no batch', o.id, format('Batch %%s does not exist.', o.batch_id)" \
							 "	FROM %1$s.acteon_dispatch_outbox AS o" \
							 "	WHERE NOT EXISTS (SELECT FROM %1$s.acteon_replay_batch AS b WHERE b.id = o.batch_id) " \
							 "UNION ALL SELECT 'gap in generations', o.id," \
							 "		format('Replay %%s of action %%s is there, replay %%s is not.', o.generation," \
							 "			left(o.original_action_id, 100), o.generation - 1)" \
							 "	FROM %1$s.acteon_dispatch_outbox AS o" \
							 "	WHERE o.generation > 1 AND NOT EXISTS (SELECT FROM %1$s.acteon_dispatch_outbox AS p" \
							 "		WHERE p.original_action_id = o.original_action_id" \
							 "			AND p.generation = o.generation - 1)" \
							 "		AND NOT EXISTS (SELECT FROM %1$s.acteon_dispatch_reached AS r" \
							 "			WHERE r.generation = o.generation - 1" \
							 "				AND r.first_action_id = %1$s.acteon_replay_id(o.original_action_id, 1)) " \
							 "UNION ALL SELECT 'ended in doubt', d.outbox_id," \
							 "		format('The action ended %%s, and an earlier id of it may have been executed.', d.state)" \
							 "	FROM %1$s.acteon_dispatch_delivery AS d WHERE d.unproven AND d.state <> 'delivered' " \
							 "UNION ALL SELECT 'cannot be handed out', d.outbox_id, d.error" \
							 "	FROM %1$s.acteon_dispatch_delivery AS d" \
							 "	WHERE d.state = 'dead' AND d.error LIKE 'action %% " CANNOT_BE_HANDED_OUT \
							 ":%%' " \
							 "UNION ALL SELECT 'queued twice', a.id, format('Replays %%s and %%s of action %%s both wait.'," \
							 "			o.generation, p.generation, left(o.original_action_id, 100))" \
							 "	FROM action AS a JOIN %1$s.acteon_dispatch_outbox AS o ON o.id = a.id" \
							 "	JOIN %1$s.acteon_dispatch_outbox AS p ON p.original_action_id = o.original_action_id" \
							 "		AND p.tenant = o.tenant AND p.namespace = o.namespace AND p.generation > o.generation" \
							 "	JOIN action AS b ON b.id = p.id" \
							 "	JOIN %1$s.acteon_replay_batch AS c ON c.id = p.batch_id" \
							 "	JOIN %1$s.acteon_replay_batch AS e ON e.id = o.batch_id" \
							 "	WHERE NOT a.finished AND NOT b.finished AND NOT c.query ? 'action_id'" \
							 "		AND (" IS_CANCELLED("c") ") IS NOT TRUE AND (" IS_CANCELLED( \
								 "e") ") IS NOT TRUE" \
									  "		AND c.query -> 'include_replayed' IS DISTINCT FROM 'true' " \
									  "UNION ALL SELECT 'wrong tally', NULL, format('Batch %%s has %%s actions, of which %%s ended" \
									  " and %%s are in the queue.', b.id, b.replayed, coalesce(t.ended, 0), coalesce(s.queued, 0))" \
									  "	FROM %1$s.acteon_replay_batch AS b" \
									  "	LEFT JOIN (SELECT batch_id, sum(actions) AS ended FROM %1$s.acteon_replay_tally" \
									  "		WHERE state <> 'in_doubt' GROUP BY batch_id) AS t ON t.batch_id = b.id" \
									  "	LEFT JOIN (SELECT batch_id, sum(last_id - first_id + 1) AS queued" \
									  "		FROM %1$s.acteon_dispatch_segment GROUP BY batch_id) AS s ON s.batch_id = b.id" \
									  "	WHERE b.replayed <> coalesce(t.ended, 0) + coalesce(s.queued, 0) " \
									  "UNION ALL SELECT 'outside its batch', o.id, format('Batch %%s says that its actions are %%s" \
									  " to %%s.', b.id, coalesce(b.first_outbox_id::text, 'none'), coalesce(b.last_outbox_id::text, 'none'))" \
									  "	FROM %1$s.acteon_dispatch_outbox AS o" \
									  "	JOIN %1$s.acteon_replay_batch AS b ON b.id = o.batch_id" \
									  "	WHERE (o.id BETWEEN b.first_outbox_id AND b.last_outbox_id) IS NOT TRUE " \
									  "ORDER BY 2, 1"

/* Whether segment s is in doubt at the time of the call. */
#define IS_DOUBT "(" SEGMENT_STATE("s", "$1") ") = 'in_doubt'"

/*
 * The view's row: the segments are read, the last deliveries by the index on
 * their times, the dead ones by theirs.
 */
#define READ_STATS \
	"SELECT s.depth, s.due, s.retrying, s.scheduled, s.leased," \
	"	(SELECT count(*) FROM %1$s.acteon_dispatch_delivery WHERE state = 'dead')," \
	"	s.oldest_due_age, d.delivered_1m, d.delivered_5m, d.dead_5m, s.paused, s.in_doubt, s.held " \
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
			   "		coalesce(sum(n) FILTER (WHERE held IS NOT NULL), 0)::bigint AS held" \
			   "	FROM (SELECT s.due_at, s.lease_token, s.was_claimed, s.last_id - s.first_id + 1 AS n, s.held," \
			   "			$1 AS now, b.stopped IS NOT NULL AND s.lease_token IS NULL AS is_paused, " \
			   "			" IS_DOUBT " AS is_doubt, b.stopped IS NULL" \
			   "				AND (" SEGMENT_STATE( \
				   "s", \
				   "$1") ") = 'waiting' AS is_clean" \
						 "		FROM %1$s.acteon_dispatch_segment AS s" \
						 "		LEFT JOIN %1$s.acteon_replay_batch AS b ON b.id = s.batch_id AND b.stopped IS NOT NULL" \
						 "		WHERE (" IS_CANCELLED( \
							 "b") ") IS NOT TRUE" \
								  "			OR s.lease_token IS NOT NULL OR " IS_DOUBT \
								  ") AS segment) AS s, " \
								  "	(SELECT count(*) FILTER (WHERE state = 'delivered' AND finished_at >= $1 - interval '1 min')" \
								  "			AS delivered_1m," \
								  "		count(*) FILTER (WHERE state = 'delivered') AS delivered_5m," \
								  "		count(*) FILTER (WHERE state = 'dead') AS dead_5m" \
								  "	FROM %1$s.acteon_dispatch_delivery WHERE finished_at >= $1 - interval '5 min') AS d"

PG_FUNCTION_INFO_V1(acteon_outbox_check);
PG_FUNCTION_INFO_V1(acteon_outbox_read_stats);
PG_FUNCTION_INFO_V1(acteon_outbox_audit_tells);

/*
 * Return the rows of a statement, whose parameter is the time of the call.  One
 * that reads everything must not loop over it for each row, which the planner has
 * it do as long as it takes a table that was filled a moment ago for a small one.
 */
static void
return_rows(FunctionCallInfo fcinfo, const char *function, const char *statement,
			bool reads_everything)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ConsumerCall call;
	Oid type = TIMESTAMPTZOID;
	Datum now;
	char *sql;

	InitMaterializedSRF(fcinfo, 0);
	BeginConsumerCall(&call, fcinfo, function, false);
	now = TimestampTzGetDatum(call.now);
	sql = psprintf(statement, quote_identifier(get_namespace_name(call.schema)));
	SetLocally("jit", "off"); /* compiling takes longer than what it speeds up */
	if (reads_everything)
		SetLocally("enable_nestloop", "off");
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(sql, 1, &type, &now, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the outbox: %s", SPI_result_code_string(SPI_result));
	for (uint64 row = 0; row < SPI_processed; row++)
		tuplestore_puttuple(result->setResult, SPI_tuptable->vals[row]);
	SPI_finish();
	EndConsumerCall(&call);
}

/*
 * acteon_outbox_check() → setof (violation, outbox_id, detail)
 *
 * Checks everything that must be true of the outbox and returns a row for each
 * thing that is not.  Raises insufficient_privilege.
 */
Datum
acteon_outbox_check(PG_FUNCTION_ARGS)
{
	return_rows(fcinfo, "acteon_outbox_check()", CHECK_OUTBOX, true);
	return (Datum) 0;
}

/*
 * acteon_outbox_read_stats() → setof (depth, due, …)
 *
 * The row of the view acteon_outbox_stats.  Raises insufficient_privilege.
 */
Datum
acteon_outbox_read_stats(PG_FUNCTION_ARGS)
{
	return_rows(fcinfo, "acteon_outbox_stats", READ_STATS, false);
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
