/*
 * statements.c
 *		What the server asks of the database.
 *
 * Every text is a constant in which $s stands for the extension's schema, quoted,
 * $options for the options of a single replay, from $2 on, and $causes and $timeline for
 * those of the functions of these names, from $1 on: nothing of a request is ever part of
 * one.  Everything is named with its schema.  They are prepared on each connection under their names here.
 */
#include "http/statements.h"

#include <stdlib.h>
#include <string.h>

/* Which request a session works for, and for whom, shows in pg_stat_activity and in the server's
 * log.  The id comes first, as a long name is cut. */
#define BECOME(role) "pg_catalog.set_config('role'::pg_catalog.text, " role ", true)"
#define SHOW(id, name) \
	"pg_catalog.set_config('application_name'::pg_catalog.text, " \
	"pg_catalog.concat('acteon-replay-http ', " id "::pg_catalog.text, ' ', " name "), true)"

/* The trace that a transaction is a part of; NULL is none. */
#define TRACE(parent, state) \
	"pg_catalog.set_config('acteon_replay.traceparent'::pg_catalog.text, " parent \
	"::pg_catalog.text, true), " \
	"pg_catalog.set_config('acteon_replay.tracestate'::pg_catalog.text, " state \
	"::pg_catalog.text, true)"

/* The parts of an answer that was kept.  json keeps a text as it is. */
#define KEPT \
	"(b.answer::pg_catalog.json OPERATOR(pg_catalog.->) 'body'::pg_catalog.text)::pg_catalog.text, " \
	"b.answer::pg_catalog.json OPERATOR(pg_catalog.->>) 'batch_id'::pg_catalog.text, " \
	"b.answer::pg_catalog.json OPERATOR(pg_catalog.->>) 'next_cursor'::pg_catalog.text"

/* A batch, with its columns as the view names them. */
#define BATCH \
	"(pg_catalog.to_jsonb(b) OPERATOR(pg_catalog.-) 'id'::pg_catalog.text) " \
	"OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_object('batch_id', b.id)"

/* The texts of a list that comes as a JSON array, or NULL.  What is no string in it becomes
 * NULL, which is refused. */
#define TEXTS(parameter) \
	"CASE WHEN " parameter "::pg_catalog.text IS NOT NULL THEN ARRAY(SELECT CASE " \
	"WHEN pg_catalog.jsonb_typeof(e.value) OPERATOR(pg_catalog.=) 'string'::pg_catalog.text " \
	"THEN e.value OPERATOR(pg_catalog.#>>) '{}'::pg_catalog.text[] END " \
	"FROM pg_catalog.jsonb_array_elements(" parameter \
	"::pg_catalog.text::pg_catalog.jsonb) AS e (value)) END"

/* The query of a bulk replay.  The SDKs have no cursor, so what their caller cannot replay must
 * not fill the limit again with each call.  A plan says by itself whether it was made so, and a
 * replay of any number of records has no limit. */
#define FILLING(query) \
	"CASE WHEN " query "::pg_catalog.jsonb OPERATOR(pg_catalog.?) 'plan'::pg_catalog.text OR " \
	"NOT " query "::pg_catalog.jsonb OPERATOR(pg_catalog.?) 'limit'::pg_catalog.text " \
	"THEN " query "::pg_catalog.jsonb ELSE " query "::pg_catalog.jsonb OPERATOR(pg_catalog.||) " \
	"'{\"fill_limit\": true}'::pg_catalog.jsonb END"

/* Steering a batch: a call that tells its new state. */
#define STEERED(call) \
	"SELECT pg_catalog.json_build_object('batch_id', $1::pg_catalog.int8, 'state', s.state, " \
	"'waiting', s.waiting, 'in_flight', s.in_flight, 'cancelled', s.cancelled)::pg_catalog.text, " \
	"$1::pg_catalog.int8, NULL FROM $s." call " AS s"

/* The arguments of all that steers a batch, and of what steers a part of it. */
#define STEERING "batch_id => $1::pg_catalog.int8, reason => $2::pg_catalog.text"
#define PART \
	"tenant => $3::pg_catalog.text, provider => $4::pg_catalog.text, action_ids => " TEXTS("$5")
#define STEER(function, more) STEERED(function "(" STEERING ", " PART more ")")

/* Steering all batches: which ones it was, which others hold, and how many others there are that
 * the key's role sees, and whether there are more. */
#define OF_ALL_ARE(outcome) \
	"FILTER (WHERE b.outcome OPERATOR(pg_catalog.=) '" outcome "'::pg_catalog.text"
#define OF_ALL(name, function) \
	"SELECT pg_catalog.json_build_object('" name "', COALESCE(pg_catalog.json_agg(" \
	"pg_catalog.json_build_object('batch_id', b.batch_id, 'waiting', b.waiting, 'in_flight', " \
	"b.in_flight) ORDER BY b.batch_id) " OF_ALL_ARE( \
		name) "), '[]'::pg_catalog.json), 'busy', " \
			  "COALESCE(pg_catalog.json_agg(b.batch_id ORDER BY b.batch_id) " OF_ALL_ARE("busy") "), '[]'::pg_catalog.json), 'others', pg_catalog.count(b.batch_id) " OF_ALL_ARE( \
				  "refused") "), 'unseen', pg_catalog.count(*) " OF_ALL_ARE("refused") " AND b.batch_id IS NULL) OPERATOR(pg_catalog.>) 0::pg_catalog.int8)::pg_catalog.text, NULL, " \
																					   "NULL FROM $s." function \
																					   "(reason => $1::pg_catalog.text) AS b"

/* The numbers of a list that comes with commas, or NULL. */
#define NUMBERS(parameter) \
	"pg_catalog.string_to_array(" parameter \
	"::pg_catalog.text, ','::pg_catalog.text)::pg_catalog.int8[]"

/* The rows of a subquery as a list under a name, newest first, and where the next page begins
 * if this one is full. */
#define PAGE(name, row, key, limit) \
	"SELECT pg_catalog.jsonb_build_object('" name "', COALESCE(pg_catalog.jsonb_agg(" row \
	" ORDER BY " key " DESC), '[]'::pg_catalog.jsonb))::pg_catalog.text, NULL, " \
	"CASE WHEN pg_catalog.count(*) OPERATOR(pg_catalog.=) " limit \
	"::pg_catalog.int8 THEN pg_catalog.min(" key ") END::pg_catalog.text "

/* A text as a cursor, which is a header, too: in the order of the texts, or one as short as
 * it may be long. */
#define BYTES(value) "pg_catalog.convert_to(" value ", 'UTF8'::pg_catalog.name)"
#define KEY_OF(value) "pg_catalog.encode(" BYTES(value) ", 'hex'::pg_catalog.text)"
#define SHORT_KEY_OF(value) \
	"pg_catalog.encode(pg_catalog.sha256(" BYTES(value) "), 'hex'::pg_catalog.text)"

/* Entries of the log, with an own condition; before is $1 and limit $2. */
#define LOG(condition) \
	PAGE("log", "pg_catalog.to_jsonb(l)", "l.id", "$2") \
	"FROM (SELECT e.id, e.logged_at, e.event, e.batch_id, e.role_name, e.session_role, " \
	"e.api_key, e.reason, e.details FROM $s.acteon_replay_log AS e " \
	"WHERE ($1::pg_catalog.int8 IS NULL OR e.id OPERATOR(pg_catalog.<) $1::pg_catalog.int8)" condition \
	" ORDER BY e.id DESC LIMIT $2::pg_catalog.int8) AS l"

/* Setting the limit of the provider $1 or the tenant $2: a call that tells what it is then. */
#define LIMIT_RATE "NULLIF($4::pg_catalog.text, 'none'::pg_catalog.text)::pg_catalog.numeric"
#define SET_LIMIT(rate, concurrency, more) \
	"SELECT pg_catalog.json_build_object('kind', CASE WHEN $1::pg_catalog.text IS NULL " \
	"THEN 'tenant' ELSE 'provider' END, 'name', COALESCE($1::pg_catalog.text, " \
	"$2::pg_catalog.text), 'rate', " rate ", 'concurrency', " concurrency \
	")::pg_catalog.text, NULL, NULL FROM $s.acteon_replay_limit_set(" \
	"provider => $1::pg_catalog.text, tenant => $2::pg_catalog.text, rate => " rate \
	", concurrency => " concurrency ", reason => $3::pg_catalog.text" more ") AS s"

/* A setting that is a number, of which -1 is none. */
#define LIMIT_SETTING(name) \
	"NULLIF(pg_catalog.current_setting('acteon_replay." name \
	"'::pg_catalog.text, true), '-1'::pg_catalog.text)::pg_catalog.int4"

/* A value in CSV, quoted as RFC 4180 has it; NULL is nothing, not even quotes. */
#define CSV(value) \
	"COALESCE('\"'::pg_catalog.text OPERATOR(pg_catalog.||) pg_catalog.replace(" value \
	", '\"', '\"\"') OPERATOR(pg_catalog.||) '\"'::pg_catalog.text, ''::pg_catalog.text)"

/* A row of CSV with the names, or the values, of an item's columns, in their order. */
#define CSV_ROW(item, column) \
	"(SELECT pg_catalog.string_agg(" CSV( \
		"e." column) ", ','::pg_catalog.text ORDER BY e.place) " \
					 "FROM pg_catalog.json_each_text(pg_catalog.row_to_json(" item ")) " \
					 "WITH ORDINALITY AS e (name, value, place))"
#define CSV_LINE_END "pg_catalog.chr(13) OPERATOR(pg_catalog.||) pg_catalog.chr(10)"

_Static_assert(STATEMENTS <= MAX_STATEMENTS, "they are prepared together");

static const struct
{
	const char *name;
	const char *text;
} statements[STATEMENTS] = {
	[STATEMENT_LOGIN] =
		{"login",
		 "SELECT l.key_id, l.key_name, " BECOME("l.role::pg_catalog.text") ", " SHOW(
			 "$2",
			 "l.key_name") ", " TRACE("$3",
									  "$4") " FROM $s.acteon_api_login($1::pg_catalog.bytea) AS l"},
	[STATEMENT_ANONYMOUS] = {"anonymous",
							 "SELECT 0, 'anonymous', " BECOME("$1::pg_catalog.text") ", " SHOW(
								 "$2", "'anonymous'") ", " TRACE("$3", "$4")},
	[STATEMENT_LOGIN_BEGIN] =
		{"login_begin",
		 "SELECT l.key_id, l.key_name, l.role, " KEPT ", " SHOW(
			 "$2",
			 "l.key_name") " FROM $s.acteon_api_login($1::pg_catalog.bytea) AS l "
						   "LEFT JOIN LATERAL $s.acteon_api_begin(l.key_id, $3::pg_catalog.text, $4::pg_catalog.bytea) AS b ON true"},
	[STATEMENT_ANONYMOUS_BEGIN] =
		{"anonymous_begin",
		 "SELECT 0, 'anonymous', $1::pg_catalog.text, " KEPT ", " SHOW(
			 "$2",
			 "'anonymous'") " FROM (SELECT) AS l "
							"LEFT JOIN LATERAL $s.acteon_api_begin(0, $3::pg_catalog.text, $4::pg_catalog.bytea) AS b ON true"},
	[STATEMENT_RESIGN] = {"resign", "SELECT " BECOME("'none'::pg_catalog.text")},
	[STATEMENT_FINISH] =
		{"finish",
		 "SELECT $s.acteon_api_finish($1::pg_catalog.int8, $2::pg_catalog.text, 200, "
		 "pg_catalog.json_build_object('body', $3::pg_catalog.json, 'batch_id', $4::pg_catalog.int8, "
		 "'next_cursor', $5::pg_catalog.text)::pg_catalog.text)"},

	[STATEMENT_REPLAY] =
		{"replay",
		 "SELECT pg_catalog.json_build_object('original_action_id', r.original_action_id, "
		 "'new_action_id', r.new_action_id, 'success', r.success, 'error', r.error)::pg_catalog.text, "
		 "NULL, NULL "
		 "FROM $s.acteon_replay(action_id => $1::pg_catalog.text$options) AS r"},
	/*
	 * The SDKs know four keys, and a new id that is a text: one that was not made is empty.
	 * What was passed over because it took effect, or had expired, is among the skipped.
	 */
	[STATEMENT_BULK] =
		{"bulk",
		 "SELECT CASE WHEN a.answer OPERATOR(pg_catalog.->>) 'failed'::pg_catalog.text "
		 "OPERATOR(pg_catalog.=) '0'::pg_catalog.text "
		 "THEN a.answer OPERATOR(pg_catalog.-) '{batch_id,next_cursor}'::pg_catalog.text[] "
		 "ELSE (a.answer OPERATOR(pg_catalog.-) '{batch_id,next_cursor}'::pg_catalog.text[]) "
		 "OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_object('results', "
		 "(SELECT pg_catalog.jsonb_agg("
		 "pg_catalog.jsonb_build_object('new_action_id', ''::pg_catalog.text) "
		 "OPERATOR(pg_catalog.||) pg_catalog.jsonb_strip_nulls(r.item) "
		 "OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_object('error', "
		 "r.item OPERATOR(pg_catalog.->) 'error'::pg_catalog.text) ORDER BY r.place) "
		 "FROM pg_catalog.jsonb_array_elements(a.answer OPERATOR(pg_catalog.->) 'results'::pg_catalog.text) "
		 "WITH ORDINALITY AS r (item, place))) "
		 "END::pg_catalog.text, "
		 "a.answer OPERATOR(pg_catalog.->>) 'batch_id'::pg_catalog.text, "
		 "a.answer OPERATOR(pg_catalog.->>) 'next_cursor'::pg_catalog.text "
		 "FROM (SELECT (b.answer OPERATOR(pg_catalog.-) '{effective,expired}'::pg_catalog.text[]) "
		 "OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_object('skipped', "
		 "(b.answer OPERATOR(pg_catalog.->>) 'skipped'::pg_catalog.text)::pg_catalog.int8 OPERATOR(pg_catalog.+) "
		 "(b.answer OPERATOR(pg_catalog.->>) 'effective'::pg_catalog.text)::pg_catalog.int8 OPERATOR(pg_catalog.+) "
		 "(b.answer OPERATOR(pg_catalog.->>) 'expired'::pg_catalog.text)::pg_catalog.int8) AS answer "
		 "FROM $s.acteon_replay_bulk(" FILLING("$1") ") AS b (answer) OFFSET 0) AS a"},
	[STATEMENT_RECORD] = {"record", "SELECT $s.acteon_audit_record(action_id => "
									"$1::pg_catalog.text)::pg_catalog.text, NULL, NULL"},
	[STATEMENT_RECORDS] =
		{"records",
		 "SELECT a.page::pg_catalog.text, NULL, "
		 "a.page OPERATOR(pg_catalog.->>) 'next_cursor'::pg_catalog.text "
		 "FROM $s.acteon_audit_records(namespace => $1::pg_catalog.text, "
		 "tenant => $2::pg_catalog.text, provider => $3::pg_catalog.text, "
		 "action_type => $4::pg_catalog.text, outcome => $5::pg_catalog.text, "
		 "verdict => $6::pg_catalog.text, matched_rule => $7::pg_catalog.text, "
		 "caller_id => $8::pg_catalog.text, chain_id => $9::pg_catalog.text, "
		 "signer_id => $10::pg_catalog.text, kid => $11::pg_catalog.text, "
		 "from_time => $12::pg_catalog.timestamptz, to_time => $13::pg_catalog.timestamptz, "
		 "max_records => $14::pg_catalog.int4, skip => $15::pg_catalog.int4, "
		 "cursor => $16::pg_catalog.text) AS a (page)"},
	[STATEMENT_PREVIEW] =
		{"preview",
		 "SELECT p.answer::pg_catalog.text, NULL, NULL FROM $s.acteon_replay_preview(" FILLING(
			 "$1") ", $2::pg_catalog.int4) AS p (answer)"},
	[STATEMENT_CAUSES] =
		{"causes", "SELECT pg_catalog.jsonb_build_object('causes', COALESCE(pg_catalog.jsonb_agg("
				   "pg_catalog.to_jsonb(c) OPERATOR(pg_catalog.-) 'ordinality'::pg_catalog.text "
				   "ORDER BY c.ordinality), '[]'::pg_catalog.jsonb))::pg_catalog.text, NULL, NULL "
				   "FROM $s.acteon_replay_causes($causes) WITH ORDINALITY AS c"},
	/* The buckets are of the same length. */
	[STATEMENT_TIMELINE] =
		{"timeline",
		 "SELECT pg_catalog.jsonb_build_object('from', pg_catalog.min(t.bucket_from), "
		 "'to', pg_catalog.max(t.bucket_to), 'bucket_seconds', "
		 "pg_catalog.max(EXTRACT(epoch FROM t.bucket_to OPERATOR(pg_catalog.-) t.bucket_from)::pg_catalog.int8), "
		 "'buckets', COALESCE(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object("
		 "'from', t.bucket_from, 'count', t.records) ORDER BY t.bucket_from), "
		 "'[]'::pg_catalog.jsonb))::pg_catalog.text, NULL, NULL "
		 "FROM $s.acteon_replay_timeline($timeline) AS t"},
	/* What the view shows, without looking at all batches.  The state of one is not known
	 * before it is looked at. */
	[STATEMENT_BATCHES] =
		{"batches",
		 PAGE(
			 "batches", BATCH, "b.id",
			 "$3") "FROM (SELECT v.* FROM $s.acteon_replay_read_batches(before => $1::pg_catalog.int8, "
				   "newest => CASE WHEN $2::pg_catalog.text IS NULL THEN $3::pg_catalog.int8 END, "
				   "kinds => pg_catalog.string_to_array($4::pg_catalog.text, ','::pg_catalog.text), "
				   "tenant => $5::pg_catalog.text) AS v "
				   "WHERE $2::pg_catalog.text IS NULL OR v.state OPERATOR(pg_catalog.=) $2::pg_catalog.text "
				   "ORDER BY v.id DESC LIMIT $3::pg_catalog.int8) AS b"},
	[STATEMENT_BATCH] =
		{"batch", "SELECT (" BATCH ")::pg_catalog.text, b.id, NULL "
				  "FROM $s.acteon_replay_read_batches(batch_id => $1::pg_catalog.int8) AS b"},
	/* The cursor is there if the page is full.  The answer is as long as the page. */
	[STATEMENT_ITEMS] =
		{"items",
		 "WITH page AS MATERIALIZED (SELECT i AS item, i.page_key "
		 "FROM $s.acteon_replay_items($1::pg_catalog.int8, $2::pg_catalog.text, "
		 "$3::pg_catalog.int8, $4::pg_catalog.int8, $5::pg_catalog.text, $6::pg_catalog.text, "
		 "$7::pg_catalog.timestamptz, $8::pg_catalog.timestamptz, $9::pg_catalog.text) AS i), "
		 "last AS (SELECT CASE WHEN pg_catalog.count(*) OPERATOR(pg_catalog.=) $4::pg_catalog.int8 "
		 "THEN pg_catalog.max(p.page_key) END::pg_catalog.text AS key FROM page AS p) "
		 "SELECT CASE $10::pg_catalog.text "
		 "WHEN '" ITEM_FORMAT_CSV "'::pg_catalog.text THEN " CSV_ROW(
			 "pg_catalog.json_populate_record(NULL::$s.acteon_replay_item, '{}'::pg_catalog.json)",
			 "name") " OPERATOR(pg_catalog.||) " CSV_LINE_END
					 " OPERATOR(pg_catalog.||) COALESCE((SELECT pg_catalog.string_agg(" CSV_ROW(
						 "p.item",
						 "value") " OPERATOR(pg_catalog.||) " CSV_LINE_END
								  ", ''::pg_catalog.text ORDER BY p.page_key) FROM page AS p), "
								  "''::pg_catalog.text) "
								  "WHEN '" ITEM_FORMAT_LINES
								  "'::pg_catalog.text THEN COALESCE((SELECT pg_catalog.string_agg("
								  "pg_catalog.row_to_json(p.item)::pg_catalog.text "
								  "OPERATOR(pg_catalog.||) pg_catalog.chr(10), "
								  "''::pg_catalog.text ORDER BY p.page_key) FROM page AS p), "
								  "''::pg_catalog.text) "
								  "ELSE pg_catalog.json_build_object('items', "
								  "(SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(p.item) "
								  "ORDER BY p.page_key), '[]'::pg_catalog.json) FROM page AS p), "
								  "'next_cursor', l.key)::pg_catalog.text END, "
								  "$1::pg_catalog.text, l.key FROM last AS l"},
	[STATEMENT_PAUSE] = {"pause", STEER("acteon_replay_pause", "")},
	[STATEMENT_RESUME] = {"resume", STEER("acteon_replay_resume",
										  ", parts => COALESCE($6::pg_catalog.bool, false)")},
	[STATEMENT_CANCEL] = {"cancel", STEER("acteon_replay_cancel", "")},
	[STATEMENT_PAUSE_ALL] = {"pause_all", OF_ALL("paused", "acteon_replay_pause_all")},
	[STATEMENT_RESUME_ALL] = {"resume_all", OF_ALL("resumed", "acteon_replay_resume_all")},
	[STATEMENT_RATE] = {"rate", STEER("acteon_replay_set_rate",
									  ", rate => NULLIF($6::pg_catalog.text, "
									  "'none'::pg_catalog.text)::pg_catalog.numeric")},
	[STATEMENT_START] = {"start", STEERED("acteon_replay_set_start(" STEERING
										  ", start_at => $3::pg_catalog.timestamptz)")},
	[STATEMENT_SETTLE] =
		{"settle",
		 "SELECT pg_catalog.json_build_object('batch_id', $1::pg_catalog.int8, 'settled', s.actions)"
		 "::pg_catalog.text, $1::pg_catalog.int8, NULL FROM $s.acteon_replay_settle(" STEERING
		 ", decision => $3::pg_catalog.text, outbox_id => " NUMBERS("$4") ") AS s (actions)"},
	[STATEMENT_APPROVE] =
		{"approve",
		 "SELECT pg_catalog.json_build_object('batch_id', $1::pg_catalog.int8, 'approved', true)"
		 "::pg_catalog.text, $1::pg_catalog.int8, NULL FROM $s.acteon_replay_approve(" STEERING
		 ", plan => $3::pg_catalog.text) AS s"},
	/* The name is that of a role as it is: no part of it is quoted, or folded to lower case. */
	[STATEMENT_HAND_OVER] =
		{"hand_over",
		 "SELECT pg_catalog.json_build_object('batch_id', $1::pg_catalog.int8, 'handed_to', "
		 "$3::pg_catalog.text)::pg_catalog.text, $1::pg_catalog.int8, NULL "
		 "FROM $s.acteon_replay_hand_over(" STEERING
		 ", role => pg_catalog.quote_ident($3::pg_catalog.text)::pg_catalog.regrole) AS s"},
	[STATEMENT_CONTINUE] =
		{"continue",
		 "SELECT pg_catalog.json_build_object('batch_id', $1::pg_catalog.int8, 'replayed', "
		 "c.replayed, 'failed', c.failed, 'skipped', c.skipped, 'is_complete', c.is_complete)"
		 "::pg_catalog.text, $1::pg_catalog.int8, NULL FROM $s.acteon_replay_continue_step(" STEERING
		 ", chunk => $3::pg_catalog.int4) AS c"},
	[STATEMENT_PATCH] =
		{"patch",
		 "SELECT pg_catalog.json_build_object('batch_id', $1::pg_catalog.int8, 'patched', "
		 "s.patched, 'unchanged', s.unchanged, 'refused', s.refused, 'sent', s.sent, "
		 "'passed_over', s.passed_over)::pg_catalog.text, $1::pg_catalog.int8, NULL "
		 "FROM $s.acteon_replay_patch(" STEERING ", " PART ", patch => $6::pg_catalog.jsonb, "
		 "patch_path => $7::pg_catalog.text, patch_value => $8::pg_catalog.jsonb) AS s"},
	/* The log of a batch that is not seen does not exist, whoever wrote entries of it. */
	[STATEMENT_BATCH_LOG] =
		{"batch_log",
		 LOG(" AND e.batch_id OPERATOR(pg_catalog.=) $3::pg_catalog.int8") " HAVING EXISTS (SELECT FROM $s.acteon_replay_read_batches("
																		   "batch_id => $3::pg_catalog.int8))"},
	[STATEMENT_LOG] = {"log", LOG("")},
	/* The order is that of the chain, so the next page begins behind the last action of this
	 * one, or, if that was purged meanwhile, at the beginning. */
	[STATEMENT_LINEAGE] =
		{"lineage",
		 "WITH chain AS MATERIALIZED (SELECT a.* FROM $s.acteon_replay_lineage(action_id => "
		 "$1::pg_catalog.text, target => $2::pg_catalog.text) WITH ORDINALITY AS a), "
		 "page AS MATERIALIZED (SELECT c.* FROM chain AS c WHERE c.ordinality OPERATOR(pg_catalog.>) "
		 "COALESCE((SELECT b.ordinality FROM chain AS b WHERE $4::pg_catalog.text "
		 "OPERATOR(pg_catalog.=) " SHORT_KEY_OF(
			 "b.id") "), 0) ORDER BY c.ordinality LIMIT $3::pg_catalog.int8) "
					 "SELECT pg_catalog.json_build_object('lineage', COALESCE(pg_catalog.json_agg("
					 "pg_catalog.json_build_object('id', a.id, 'source', a.source, 'generation', "
					 "a.generation, 'depth', a.depth, 'batch_id', a.batch_id, 'requested_by', "
					 "a.requested_by, 'requested_at', a.requested_at, 'reason', a.reason, 'state', a.state, "
					 "'patch_sha256', a.patch_sha256, 'delivered_to', a.delivered_to, 'signer_id', "
					 "a.signer_id) ORDER BY a.ordinality), "
					 "'[]'::pg_catalog.json))::pg_catalog.text, NULL, "
					 "CASE WHEN pg_catalog.count(*) OPERATOR(pg_catalog.=) $3::pg_catalog.int8 THEN (SELECT " SHORT_KEY_OF(
						 "e.id") " FROM page AS e ORDER BY e.ordinality DESC LIMIT 1) END FROM page AS a"},
	[STATEMENT_DEAD_LETTERS] =
		{"dead_letters",
		 PAGE(
			 "dead_letters", "pg_catalog.to_jsonb(d)", "d.outbox_id",
			 "$2") "FROM (SELECT v.* FROM $s.acteon_dead_letters AS v "
				   "WHERE ($1::pg_catalog.int8 IS NULL OR v.outbox_id OPERATOR(pg_catalog.<) $1::pg_catalog.int8) "
				   "AND ($3::pg_catalog.int8 IS NULL OR v.batch_id OPERATOR(pg_catalog.=) $3::pg_catalog.int8) "
				   "AND ($4::pg_catalog.text IS NULL OR v.tenant OPERATOR(pg_catalog.=) $4::pg_catalog.text) "
				   "AND ($5::pg_catalog.text IS NULL OR v.provider OPERATOR(pg_catalog.=) $5::pg_catalog.text) "
				   "ORDER BY v.outbox_id DESC LIMIT $2::pg_catalog.int8) AS d"},
	[STATEMENT_REDRIVE] =
		{"redrive",
		 "SELECT pg_catalog.json_build_object('redriven', r.redriven, 'skipped', r.skipped)"
		 "::pg_catalog.text, NULL, NULL FROM $s.acteon_outbox_redrive(outbox_id => " NUMBERS(
			 "$1") ", batch_id => $2::pg_catalog.int8, tenant => $3::pg_catalog.text, "
				   "provider => $4::pg_catalog.text, max_actions => COALESCE($5::pg_catalog.int4, 1000), "
				   "rate => $6::pg_catalog.numeric, reason => $7::pg_catalog.text) AS r"},
	[STATEMENT_ALL] =
		{"all",
		 "SELECT pg_catalog.json_build_object('batch_id', o.batch_id, 'matched', o.matched, "
		 "'awaits_approval', o.awaits_approval, 'plan', o.plan)::pg_catalog.text, o.batch_id, "
		 "NULL FROM $s.acteon_replay_open(query => $1::pg_catalog.jsonb) AS o"},
	[STATEMENT_MAY] = {"may", "SELECT pg_catalog.json_build_object('may', $s.acteon_replay_may("
							  "batch_id => $1::pg_catalog.int8))::pg_catalog.text, NULL, NULL "
							  "WHERE EXISTS (SELECT FROM $s.acteon_replay_read_batches("
							  "batch_id => $1::pg_catalog.int8))"},
	[STATEMENT_LIMITS] =
		{"limits",
		 "SELECT pg_catalog.json_build_object('limits', COALESCE(pg_catalog.json_agg("
		 "pg_catalog.to_jsonb(p) OPERATOR(pg_catalog.-) 'key'::pg_catalog.text ORDER BY p.key), "
		 "'[]'::pg_catalog.json))::pg_catalog.text, NULL, CASE WHEN pg_catalog.count(*) "
		 "OPERATOR(pg_catalog.=) $1::pg_catalog.int8 THEN pg_catalog.max(p.key) END "
		 "FROM (SELECT * FROM (SELECT l.*, " KEY_OF(
			 "pg_catalog.concat(l.kind, ' ', l.name)") " COLLATE pg_catalog.\"C\" AS key FROM $s.acteon_replay_read_limits() AS l) AS k "
													   "WHERE $2::pg_catalog.text IS NULL OR k.key OPERATOR(pg_catalog.>) "
													   "$2::pg_catalog.text ORDER BY k.key LIMIT $1::pg_catalog.int8) AS p"},
	[STATEMENT_LIMIT_SET] = {"limit_set", SET_LIMIT(LIMIT_RATE, "$5::pg_catalog.int4",
													", breaker_window => $6::pg_catalog.int4, "
													"breaker_share => $7::pg_catalog.numeric")},
	[STATEMENT_LIMIT_REMOVE] = {"limit_remove",
								SET_LIMIT("NULL::pg_catalog.numeric", "NULL::pg_catalog.int4", "")},
	/*
	 * The gateway's answer has the first five members, of which those without a value are left
	 * out.  "valid" claims no more than was found out: every record that was asked for was
	 * looked at, there is at least one, or one that was known is as it was, all of them fit, and
	 * none is outside of the chain.  What takes longer than half of the time that there is ends
	 * before its end, so that there is an answer.  Only what is without a finding, and without a
	 * record outside of the chain, so far is continued, so that who follows "next" to its end
	 * has all of it.
	 */
	[STATEMENT_CHAIN] =
		{"chain",
		 "WITH found AS MATERIALIZED (SELECT v.* FROM $s.acteon_audit_verify("
		 "namespace => $1::pg_catalog.text, tenant => $2::pg_catalog.text, "
		 "from_time => $3::pg_catalog.timestamptz, to_time => $4::pg_catalog.timestamptz, "
		 "after_sequence => $5::pg_catalog.int8, after_hash => $6::pg_catalog.text, "
		 "max_records => $7::pg_catalog.int8, max_time => NULLIF(pg_catalog.current_setting("
		 "'statement_timeout'::pg_catalog.text), '0'::pg_catalog.text)::pg_catalog.interval "
		 "OPERATOR(pg_catalog./) 2::pg_catalog.float8) WITH ORDINALITY AS v), "
		 "told AS (SELECT l.*, l.ordinality OPERATOR(pg_catalog.-) 1::pg_catalog.int8 AS findings, "
		 "CASE WHEN l.ordinality OPERATOR(pg_catalog.>) 1::pg_catalog.int8 THEN 'broken' "
		 "WHEN l.unchained OPERATOR(pg_catalog.>) 0::pg_catalog.int8 THEN 'unknown' "
		 "WHEN l.finding OPERATOR(pg_catalog.<>) 'checked'::pg_catalog.text THEN 'incomplete' "
		 "WHEN l.records OPERATOR(pg_catalog.>) 0::pg_catalog.int8 OR $6::pg_catalog.text IS NOT NULL "
		 "THEN 'valid' "
		 "ELSE 'unknown' END AS state FROM found AS l ORDER BY l.ordinality DESC LIMIT 1) "
		 "SELECT pg_catalog.json_strip_nulls(pg_catalog.json_build_object("
		 "'valid', t.state OPERATOR(pg_catalog.=) 'valid'::pg_catalog.text, "
		 "'records_checked', t.records, "
		 "'first_broken_at', (SELECT f.broken_at FROM found AS f WHERE f.ordinality "
		 "OPERATOR(pg_catalog.=) 1::pg_catalog.int8), "
		 "'first_record_id', t.first_record_id, "
		 "'last_record_id', CASE WHEN t.records OPERATOR(pg_catalog.>) 0::pg_catalog.int8 "
		 "THEN t.record_id END, "
		 "'state', t.state, 'last_sequence', t.sequence_number, 'last_hash', t.record_hash, "
		 "'unchained', t.unchained, 'findings', t.findings, "
		 "'first_findings', COALESCE((SELECT pg_catalog.json_agg(pg_catalog.json_build_object("
		 "'finding', f.finding, 'sequence_number', f.sequence_number, 'record_id', f.record_id, "
		 "'action_id', f.action_id, 'dispatched_at', f.dispatched_at, 'record_hash', f.record_hash, "
		 "'records', f.records, 'broken_at', f.broken_at, 'detail', f.detail) ORDER BY f.ordinality) "
		 "FROM found AS f WHERE f.ordinality OPERATOR(pg_catalog.<=) t.findings AND f.ordinality "
		 "OPERATOR(pg_catalog.<=) " NUMBER_TEXT(
			 MAX_FINDINGS) "::pg_catalog.int8), '[]'::pg_catalog.json), "
						   "'next', CASE WHEN t.state OPERATOR(pg_catalog.=) 'incomplete'::pg_catalog.text THEN "
						   "pg_catalog.json_build_object('after_sequence', t.sequence_number, 'after_hash', "
						   "t.record_hash) END, "
						   "'detail', t.detail))::pg_catalog.text, NULL, NULL FROM told AS t"},
	/* Of a chain of which something is not known, nothing is claimed. */
	[STATEMENT_TRAIL] =
		{"trail",
		 "WITH found AS MATERIALIZED (SELECT v.*, v.verdict OPERATOR(pg_catalog.=) "
		 "'violation'::pg_catalog.text AS is_violation FROM $s.acteon_replay_verify(witness => "
		 "$1::pg_catalog.text) WITH ORDINALITY AS v) "
		 "SELECT pg_catalog.json_build_object("
		 "'verified', pg_catalog.bool_and(c.verdict OPERATOR(pg_catalog.=) 'checked'::pg_catalog.text), "
		 "'violations', pg_catalog.count(*) FILTER (WHERE c.is_violation), "
		 "'unknown', pg_catalog.count(*) FILTER (WHERE c.verdict OPERATOR(pg_catalog.=) "
		 "'unknown'::pg_catalog.text), "
		 "'findings', (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('verdict', f.verdict, "
		 "'subject', f.subject, 'reference', f.reference, 'detail', f.detail) ORDER BY f.ordinality) "
		 "FROM (SELECT r.*, pg_catalog.count(*) FILTER (WHERE r.is_violation) OVER (ORDER BY "
		 "r.ordinality) AS place FROM found AS r) AS f WHERE NOT f.is_violation OR f.place "
		 "OPERATOR(pg_catalog.<=) " NUMBER_TEXT(
			 MAX_FINDINGS) "::pg_catalog.int8))::pg_catalog.text, "
						   "NULL, NULL FROM found AS c"},
	[STATEMENT_WITNESS] = {"witness", "SELECT pg_catalog.json_build_object('witness', "
									  "$s.acteon_replay_witness())::pg_catalog.text, NULL, NULL"},
	/* A reader of everything sees the grants of others, too. */
	[STATEMENT_ME] =
		{"me",
		 "SELECT pg_catalog.json_build_object('role', CURRENT_USER, 'key', "
		 "$s.acteon_api_current_key(), 'grants', COALESCE((SELECT pg_catalog.json_agg("
		 "pg_catalog.json_build_object('grantee', pg_catalog.pg_get_userbyid(g.grantee::pg_catalog.oid), "
		 "'role', g.role, 'tenants', g.tenants, 'namespaces', g.namespaces, 'providers', "
		 "g.providers, 'actions', g.actions, 'may_patch', g.may_patch) ORDER BY g.id) "
		 "FROM $s.acteon_grants AS g WHERE pg_catalog.pg_has_role(g.grantee::pg_catalog.oid, "
		 "'USAGE'::pg_catalog.text)), '[]'::pg_catalog.json), 'settings', "
		 "pg_catalog.json_build_object('plan_above', " LIMIT_SETTING("plan_above") ", 'approval_above', " LIMIT_SETTING(
			 "approval_above") ", 'require_reason', "
							   "pg_catalog.current_setting('acteon_replay.require_reason'::pg_catalog.text, true)"
							   "::pg_catalog.bool))::pg_catalog.text, NULL, NULL"},

	/*
	 * An answer of a replay, single or bulk, with what has become of its actions by
	 * now.  An action that is not over counts as what it was: enqueued.  How many are not
	 * over, and how many microseconds ago the last one was.  Each is looked up by its id,
	 * which OFFSET 0 keeps the planner from turning into a join with everything; a
	 * conversion in a condition would come after row-level security.
	 */
	[STATEMENT_OUTCOMES] =
		{"outcomes",
		 "WITH given AS (SELECT $1::pg_catalog.jsonb AS answer), "
		 "items AS MATERIALIZED ("
		 "SELECT r.place, r.item, o.id, d.state, d.outcome, d.error, d.finished_at, "
		 "d.state OPERATOR(pg_catalog.=) '" STATE_DELIVERED "'::pg_catalog.text "
		 "AND NOT $s.acteon_is_failure(d.state, $s.acteon_answer_name(d.outcome::pg_catalog.jsonb), d.effect) AS good "
		 "FROM (SELECT e.place, e.item, "
		 "NULLIF(e.item OPERATOR(pg_catalog.->>) 'new_action_id'::pg_catalog.text, '')::pg_catalog.uuid AS id "
		 "FROM given CROSS JOIN LATERAL pg_catalog.jsonb_array_elements(CASE "
		 "WHEN given.answer OPERATOR(pg_catalog.?) 'results'::pg_catalog.text "
		 "THEN given.answer OPERATOR(pg_catalog.->) 'results'::pg_catalog.text "
		 "ELSE pg_catalog.jsonb_build_array(given.answer) END) WITH ORDINALITY AS e (item, place) OFFSET 0) AS r "
		 "LEFT JOIN LATERAL (SELECT a.id FROM $s.acteon_dispatch_outbox AS a WHERE a.id OPERATOR(pg_catalog.=) "
		 "(SELECT k.outbox_id FROM $s.acteon_dispatch_action AS k "
		 "WHERE k.action_id OPERATOR(pg_catalog.=) r.id) OFFSET 0) AS o ON true "
		 "LEFT JOIN LATERAL (SELECT f.state, f.outcome, f.error, f.effect, f.finished_at FROM $s.acteon_dispatch_delivery AS f "
		 "WHERE f.outbox_id OPERATOR(pg_catalog.=) o.id OFFSET 0) AS d ON true), "
		 "told AS (SELECT i.place, COALESCE(i.good, i.item OPERATOR(pg_catalog.->>) 'success'::pg_catalog.text "
		 "OPERATOR(pg_catalog.=) 'true'::pg_catalog.text) AS good, "
		 "i.id IS NOT NULL AND i.state IS NULL AS is_open, "
		 "i.item OPERATOR(pg_catalog.||) CASE WHEN i.id IS NULL THEN '{}'::pg_catalog.jsonb "
		 "WHEN i.state IS NULL THEN '{\"state\": \"" STATE_WAITING "\"}'::pg_catalog.jsonb "
		 "ELSE pg_catalog.jsonb_build_object('state', i.state, 'outcome', i.outcome, 'success', i.good, "
		 "'error', CASE WHEN i.good THEN NULL ELSE COALESCE(i.error, "
		 "i.outcome OPERATOR(pg_catalog.#>>) '{Failed,message}'::pg_catalog.text[], i.outcome::pg_catalog.text, "
		 "i.state) END) END AS item FROM items AS i) "
		 "SELECT (CASE WHEN g.answer OPERATOR(pg_catalog.?) 'results'::pg_catalog.text "
		 "THEN g.answer OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_object("
		 "'replayed', (SELECT pg_catalog.count(*) FROM told AS t WHERE t.good), "
		 "'failed', (SELECT pg_catalog.count(*) FROM told AS t WHERE NOT t.good), "
		 "'results', (SELECT COALESCE(pg_catalog.jsonb_agg(t.item ORDER BY t.place), '[]'::pg_catalog.jsonb) "
		 "FROM told AS t)) "
		 "ELSE (SELECT t.item FROM told AS t) END)::pg_catalog.text, "
		 "(SELECT pg_catalog.count(*) FROM told AS t WHERE t.is_open), "
		 "(SELECT (EXTRACT(epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) "
		 "pg_catalog.max(i.finished_at)) OPERATOR(pg_catalog.*) 1000000)::pg_catalog.int8 FROM items AS i) "
		 "FROM given AS g"},
	[STATEMENT_HOUSEKEEPING] =
		{"housekeeping",
		 "SELECT $s.acteon_api_housekeeping($1::pg_catalog.int8[], $2::pg_catalog.timestamptz[])"},
	[STATEMENT_HEALTH] =
		{"health", "SELECT e.extversion FROM pg_catalog.pg_extension AS e "
				   "WHERE e.extname OPERATOR(pg_catalog.=) 'acteon_replay'::pg_catalog.name"},
};

/*
 * Whether an option of a call over HTTP that has a place in a statement is an argument of
 * the function behind it.
 */
static bool
is_argument(const ReplayOption *option, CallSet call)
{
	CallSet function = call == CALL_HTTP_SINGLE     ? CALL_SINGLE
					   : call == CALL_HTTP_TIMELINE ? CALL_TIMELINE
													: CALL_CAUSES;

	return (option->calls & call) != 0 && (option->calls & function) != 0;
}

/*
 * Append the options of a call as arguments, of which the first has this number, in the
 * order in which StatementAddOptions adds their values.  NULL stands for the default.
 */
static void
append_options(Buffer *buffer, CallSet call, int number)
{
	static const char *const types[] = {
		[KIND_TEXT] = "text",    [KIND_TIME] = "timestamptz", [KIND_INTEGER] = "int4",
		[KIND_BOOLEAN] = "bool", [KIND_NUMBER] = "numeric",   [KIND_BATCH] = "int8",
		[KIND_PLACE] = "int8",   [KIND_JSON] = "jsonb",       [KIND_INTERVAL] = "interval",
	};

	for (int id = 0; id < NUM_OPTIONS; id++)
	{
		const ReplayOption *option = &ReplayOptions[id];

		if (!is_argument(option, call))
			continue;
		BufferPrint(buffer, "%s%s => ", number > 1 ? ", " : "", option->argument);
		if (option->kind == KIND_TEXTS)
			BufferPrint(buffer, TEXTS("$%1$d"), number);
		else
			BufferPrint(buffer, "$%d::pg_catalog.%s", number, types[option->kind]);
		number++;
	}
}

/*
 * Write a text with the schema and the options in their places.
 */
static char *
complete(const char *text, const char *schema)
{
	Buffer buffer = {0};

	for (const char *place; (place = strchr(text, '$')) != NULL;)
	{
		BufferAppend(&buffer, text, (size_t) (place - text));
		text = place;
		if (strncmp(place, "$s.", 3) == 0)
		{
			BufferAppendText(&buffer, schema);
			text += 2;
		}
		else if (strncmp(place, "$options", 8) == 0)
		{
			append_options(&buffer, CALL_HTTP_SINGLE, 2);
			text += 8;
		}
		else if (strncmp(place, "$causes", 7) == 0)
		{
			append_options(&buffer, CALL_HTTP_CAUSES, 1);
			text += 7;
		}
		else if (strncmp(place, "$timeline", 9) == 0)
		{
			append_options(&buffer, CALL_HTTP_TIMELINE, 1);
			text += 9;
		}
		else
			BufferAppendChar(&buffer, *text++);
	}
	BufferAppendText(&buffer, text);
	return buffer.data;
}

/*
 * Write the statements that prepare all others.  False if libpq cannot quote the
 * schema's name.
 */
bool
PreparationMake(Preparation *preparation, PGconn *conn, const char *schema)
{
	char *quoted = PQescapeIdentifier(conn, schema, strlen(schema));

	memset(preparation, 0, sizeof(*preparation));
	if (quoted == NULL)
		return false;
	for (int id = 0; id < STATEMENTS; id++)
	{
		preparation->texts[id] = complete(statements[id].text, quoted);
		preparation->statements[id].sql = preparation->texts[id];
		preparation->statements[id].name = statements[id].name;
		preparation->statements[id].prepare = true;
	}
	PQfreemem(quoted);
	return true;
}

/*
 * Give the texts back.
 */
void
PreparationFree(Preparation *preparation)
{
	for (int id = 0; id < STATEMENTS; id++)
		free(preparation->texts[id]);
	memset(preparation, 0, sizeof(*preparation));
}

/*
 * A prepared statement, without its parameters.
 */
Statement
StatementUse(StatementId id)
{
	Statement statement = {.name = statements[id].name};

	return statement;
}

/*
 * Add a parameter that is a text, or NULL.
 */
void
StatementAddText(Statement *statement, const char *value)
{
	statement->values[statement->count++] = value;
}

/*
 * Add the options of a call that has a place in a statement.
 */
void
StatementAddOptions(Statement *statement, const Parameters *parameters, CallSet call)
{
	for (int id = 0; id < NUM_OPTIONS; id++)
	{
		if (is_argument(&ReplayOptions[id], call))
			StatementAddText(statement, parameters->values[id]);
	}
}

/*
 * Add a parameter that is bytes.
 */
void
StatementAddBytes(Statement *statement, const void *bytes, int len)
{
	statement->values[statement->count] = bytes;
	statement->lengths[statement->count] = len;
	statement->formats[statement->count++] = 1;
}
