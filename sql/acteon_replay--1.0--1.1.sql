\echo Use "ALTER EXTENSION acteon_replay UPDATE TO '1.1'" to load this file. \quit

/*
 * Version 1.1: what became of an action is looked up in the audit table, and
 * is not believed.  As in the script of 1.0, everything in an expression is
 * named with its schema, and with arguments of exactly its types.
 */

/*
 * The tables
 */

ALTER TABLE acteon_dispatch_segment
	ADD COLUMN resend integer NOT NULL DEFAULT 0,
	ADD COLUMN sent_at timestamptz,
	ADD COLUMN id_refused boolean NOT NULL DEFAULT false,
	ADD COLUMN unproven boolean NOT NULL DEFAULT false,
	ADD COLUMN doubt_since timestamptz,
	ADD COLUMN doubt text,
	ADD COLUMN held text,
	ADD CONSTRAINT acteon_dispatch_segment_resend_check CHECK (resend OPERATOR(pg_catalog.>=) 0),
	ADD CONSTRAINT acteon_dispatch_segment_doubt_check
		CHECK ((doubt_since IS NULL) OPERATOR(pg_catalog.=) (doubt IS NULL)
			AND (doubt_since IS NULL OR lease_token IS NULL)
			AND (held IS NULL OR doubt_since IS NOT NULL));

COMMENT ON COLUMN acteon_dispatch_segment.resend IS 'How often its actions have been given a new id: 0 for the id in the outbox.';
COMMENT ON COLUMN acteon_dispatch_segment.sent_at IS 'When it was handed out for the first time since it was given a new id; ids that the gateway has put off count as one. NULL: never.';
COMMENT ON COLUMN acteon_dispatch_segment.id_refused IS 'Whether the gateway has seen the present id and is known not to have executed it, so that it may answer 409 to it.';
COMMENT ON COLUMN acteon_dispatch_segment.unproven IS 'Whether an earlier id was given up without proof that it had no effect. Such an action never ends dead or cancelled.';
COMMENT ON COLUMN acteon_dispatch_segment.doubt_since IS 'Since when it is in doubt whether the actions were executed; NULL: they are not in doubt. While they are, due_at is when the audit table is asked next.';
COMMENT ON COLUMN acteon_dispatch_segment.doubt IS 'Why it is in doubt.';
COMMENT ON COLUMN acteon_dispatch_segment.held IS 'Why it waits for a person (acteon_replay_settle) or for a record; NULL: it may still end by itself.';

-- In a lane, what is leased stands first, then what is in doubt, then what waits.
DROP INDEX acteon_dispatch_segment_lane_idx;
CREATE INDEX acteon_dispatch_segment_lane_idx ON acteon_dispatch_segment (lane, lease_token, doubt_since, first_id)
	WHERE lane IS NOT NULL;

-- What is claimed, and what is looked up: neither walks past the other, however many are held.
DROP INDEX acteon_dispatch_segment_due_idx;
CREATE INDEX acteon_dispatch_segment_due_idx ON acteon_dispatch_segment (due_at, first_id) WHERE doubt_since IS NULL;
CREATE INDEX acteon_dispatch_segment_doubt_idx ON acteon_dispatch_segment (due_at, doubt_since) WHERE doubt_since IS NOT NULL;

COMMENT ON TABLE acteon_dispatch_segment IS
	'Runs of at most 100 consecutive outbox rows that wait, are leased or are in doubt as one. An unfinished outbox row is covered by exactly one segment, a finished one by none.';
COMMENT ON COLUMN acteon_dispatch_outbox.action_id IS 'First id of the new action: UUIDv5 of the installation''s namespace and "<original action id>/<generation>". Behind that a new id has ".1", ".2" and so on, see acteon_dispatch_segment.resend and acteon_dispatch_delivery.resend.';

ALTER TABLE acteon_dispatch_delivery
	ADD COLUMN effect text,
	ADD COLUMN resend integer NOT NULL DEFAULT 0,
	ADD COLUMN unproven boolean NOT NULL DEFAULT false,
	ADD COLUMN known_by text,
	ADD CONSTRAINT acteon_dispatch_delivery_effect_check
		CHECK (effect OPERATOR(pg_catalog.=) ANY ('{done,none,later,decided,unknown}'::text[])),
	ADD CONSTRAINT acteon_dispatch_delivery_known_by_check
		CHECK (known_by OPERATOR(pg_catalog.=) ANY ('{record,settled}'::text[]));

COMMENT ON COLUMN acteon_dispatch_delivery.state IS 'delivered: its outcome is known. dead: it will not be tried again. cancelled: taken back before it was sent, or by a person who settled a doubt.';
COMMENT ON COLUMN acteon_dispatch_delivery.outcome IS 'Answer of the gateway, or what its record says in that form.';
COMMENT ON COLUMN acteon_dispatch_delivery.effect IS 'Effect of the outcome: done, none, later, decided or unknown. NULL for what was not delivered, and for deliveries of version 1.0.';
COMMENT ON COLUMN acteon_dispatch_delivery.resend IS 'Which of the action''s ids ended it: 0 for the one in the outbox, n for the n-th new one.';
COMMENT ON COLUMN acteon_dispatch_delivery.unproven IS 'Whether it was sent again under a new id without proof that the earlier one had no effect.';
COMMENT ON COLUMN acteon_dispatch_delivery.known_by IS 'How the outcome is known: record (found in the audit table) or settled (a person decided). NULL: by the answer of the gateway.';

ALTER TABLE acteon_replay_batch
	ADD COLUMN on_doubt text NOT NULL DEFAULT 'resend',
	ADD CONSTRAINT acteon_replay_batch_on_doubt_check
		CHECK (on_doubt OPERATOR(pg_catalog.=) ANY ('{resend,hold}'::text[]));

COMMENT ON COLUMN acteon_replay_batch.passed_over IS 'Records whose action has a replay already, took effect, or, where lost is asked for, was not lost.';
COMMENT ON COLUMN acteon_replay_batch.on_doubt IS 'What becomes of an action of which nobody can tell whether it was executed: resend (once, under a new id) or hold (a person decides).';

ALTER TABLE acteon_replay_tally
	ADD COLUMN effect text,
	DROP CONSTRAINT acteon_replay_tally_state_check,
	ADD CONSTRAINT acteon_replay_tally_state_check
		CHECK (state OPERATOR(pg_catalog.=) ANY ('{delivered,dead,cancelled,in_doubt}'::text[]));

COMMENT ON COLUMN acteon_replay_tally.state IS 'How they ended, as in acteon_dispatch_delivery; or in_doubt, for actions that came in doubt, which have not ended and count for circuit breakers only.';
COMMENT ON COLUMN acteon_replay_tally.effect IS 'Effect of the outcome, as in acteon_dispatch_delivery.';

ALTER TABLE acteon_replay_log
	DROP CONSTRAINT acteon_replay_log_event_check,
	ADD CONSTRAINT acteon_replay_log_event_check
		CHECK (event OPERATOR(pg_catalog.=) ANY
			('{pause,resume,cancel,set_rate,continue,redrive,purge,breaker,api_key_create,api_key_revoke,settle,contradiction,failover}'::text[]));

COMMENT ON TABLE acteon_replay_log IS
	'Who has steered what: one row for each pause, resume, cancel, change of rate, continuation, redrive, purge, settled doubt, for each circuit breaker that opened, for each API key that was made or revoked, and for each contradiction and failover that was noticed. Append-only.';
COMMENT ON COLUMN acteon_replay_log.event IS 'What was done: pause, resume, cancel, set_rate, continue, redrive, purge, breaker, api_key_create, api_key_revoke, settle, contradiction (two ids of one action had an effect), failover (the database goes on after a promotion or a restore).';

ALTER TABLE acteon_replay_installation
	ADD COLUMN server text;

COMMENT ON COLUMN acteon_replay_installation.server IS 'System identifier and timeline of the server that wrote here last. Another one means a promotion or a restore: the newest commits may be lost.';

CREATE TABLE acteon_dispatch_reached (
	first_action_id uuid PRIMARY KEY,
	generation integer NOT NULL,
	CONSTRAINT acteon_dispatch_reached_generation_check CHECK (generation OPERATOR(pg_catalog.>) 0)
);

COMMENT ON TABLE acteon_dispatch_reached IS
	'For actions whose replays were purged, the last generation: no later replay gets an id that was used before.';
COMMENT ON COLUMN acteon_dispatch_reached.first_action_id IS 'Id of the action''s first replay.';
COMMENT ON COLUMN acteon_dispatch_reached.generation IS 'Its last generation.';

ALTER TABLE acteon_dispatch_reached ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('acteon_dispatch_reached', '');

-- What 1.0 has handed out may have been sent, whatever became of it: the audit table is asked first.
UPDATE acteon_dispatch_segment AS s
	SET sent_at = (SELECT b.created_at FROM acteon_replay_batch AS b WHERE b.id OPERATOR(pg_catalog.=) s.batch_id),
		doubt_since = CASE WHEN s.lease_token IS NULL THEN pg_catalog.clock_timestamp() END,
		doubt = CASE WHEN s.lease_token IS NULL THEN 'it was handed out by version 1.0' END
	WHERE s.was_claimed;

/*
 * What gets other arguments or another result is made anew.  The functions of 1.0
 * step aside until the end, where they hand over their owners and grants.
 */

ALTER FUNCTION acteon_replay(uuid, text, boolean, boolean, text, text) RENAME TO acteon_replay_1_0;
ALTER FUNCTION acteon_replay(text, text, boolean, boolean, text, text) RENAME TO acteon_replay_1_0;
ALTER FUNCTION acteon_replay_bulk(text, text, text, text, text, text, text, timestamptz, timestamptz, integer, text, text, boolean, boolean, boolean, text, numeric, timestamptz, text, boolean, text, text, integer, integer, integer, numeric, boolean) RENAME TO acteon_replay_bulk_1_0;
ALTER FUNCTION acteon_replay_preview(text, text, text, text, text, text, text, timestamptz, timestamptz, integer, text, text, boolean, boolean, boolean, text, numeric, timestamptz, text, boolean, text, text, integer, integer, integer, numeric, boolean, integer) RENAME TO acteon_replay_preview_1_0;
ALTER PROCEDURE acteon_replay_all(text, text, text, text, text, text, text, timestamptz, timestamptz, integer, text, text, boolean, boolean, boolean, text, numeric, timestamptz, text, boolean, text, text, integer, integer, integer, numeric, boolean, integer, bigint, bigint, bigint, bigint) RENAME TO acteon_replay_all_1_0;
ALTER FUNCTION acteon_outbox_claim(text, integer, interval) RENAME TO acteon_outbox_claim_1_0;
ALTER FUNCTION acteon_outbox_ack(bigint[], bigint[], jsonb[]) RENAME TO acteon_outbox_ack_1_0;
ALTER FUNCTION acteon_outbox_nack(bigint[], bigint[], text[], interval[]) RENAME TO acteon_outbox_nack_1_0;
ALTER FUNCTION acteon_outbox_reject(bigint[], bigint[], text[]) RENAME TO acteon_outbox_reject_1_0;
ALTER FUNCTION acteon_outbox_read_stats() RENAME TO acteon_outbox_read_stats_1_0;
ALTER FUNCTION acteon_replay_read_batches(bigint, bigint, bigint) RENAME TO acteon_replay_read_batches_1_0;

/*
 * Effects
 */

CREATE FUNCTION acteon_effect(outcome text, details jsonb DEFAULT NULL, provider text DEFAULT NULL, action_type text DEFAULT NULL,
	duration_ms bigint DEFAULT NULL)
RETURNS text
LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';

COMMENT ON FUNCTION acteon_effect(text, jsonb, text, text, bigint) IS
	'The effect of a record of the audit table, by its columns outcome, outcome_details, provider, action_type and duration_ms: done, none, later (the gateway goes on with it), decided (the gateway chose not to execute it) or unknown. NULL for what is not known makes the answer less certain, never wrong.';

CREATE FUNCTION acteon_answer_effect(answer jsonb)
RETURNS text
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';

COMMENT ON FUNCTION acteon_answer_effect(jsonb) IS
	'The effect of an answer of the gateway to POST /v1/dispatch, such as {"Executed": {"status": "success"}}: done, none, later, decided or unknown, as acteon_effect has it.';

/*
 * Picking records: what the replay functions take
 */

CREATE FUNCTION acteon_replay(
	action_id uuid,
	reason text DEFAULT NULL,
	allow_redacted boolean DEFAULT false,
	allow_partial boolean DEFAULT false,
	dedup text DEFAULT 'keep',
	provider_override text DEFAULT NULL,
	allow_unproven boolean DEFAULT false,
	on_doubt text DEFAULT 'resend',
	OUT original_action_id text,
	OUT new_action_id uuid,
	OUT success boolean,
	OUT error text)
RETURNS record
AS 'MODULE_PATHNAME', 'acteon_replay_uuid'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

CREATE FUNCTION acteon_replay(
	action_id text,
	reason text DEFAULT NULL,
	allow_redacted boolean DEFAULT false,
	allow_partial boolean DEFAULT false,
	dedup text DEFAULT 'keep',
	provider_override text DEFAULT NULL,
	allow_unproven boolean DEFAULT false,
	on_doubt text DEFAULT 'resend',
	OUT original_action_id text,
	OUT new_action_id uuid,
	OUT success boolean,
	OUT error text)
RETURNS record
AS 'MODULE_PATHNAME', 'acteon_replay_text'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_replay(uuid, text, boolean, boolean, text, text, boolean, text) IS
	'Replays one action: reads its latest audit record, of a chain the one of its beginning, checks the caller''s grants and puts a new action into the outbox. Warns if it took effect. dedup => ''drop'' leaves its dedup key out; provider_override sends it to another provider, which a grant must cover, too; allow_unproven takes an intent of which nobody knows how it ended; on_doubt is resend or hold. Errors: 42501 role or grant, 42P01 no audit table, P0002 no record, 55000 no payload, redacted payload, lost attachments, an intent or an internal record, 22023 bad argument.';
COMMENT ON FUNCTION acteon_replay(text, text, boolean, boolean, text, text, boolean, text) IS
	'Replays one action whose id may be any string; otherwise as acteon_replay(uuid).';

CREATE FUNCTION acteon_replay_bulk(
	namespace text DEFAULT NULL,
	tenant text DEFAULT NULL,
	provider text DEFAULT NULL,
	action_type text DEFAULT NULL,
	outcome text DEFAULT NULL,
	verdict text DEFAULT NULL,
	matched_rule text DEFAULT NULL,
	from_time timestamptz DEFAULT NULL,
	to_time timestamptz DEFAULT NULL,
	max_records integer DEFAULT 50,
	caller_id text DEFAULT NULL,
	chain_id text DEFAULT NULL,
	include_replayed boolean DEFAULT false,
	allow_redacted boolean DEFAULT false,
	newest_first boolean DEFAULT false,
	cursor text DEFAULT NULL,
	rate numeric DEFAULT NULL,
	start_at timestamptz DEFAULT NULL,
	reason text DEFAULT NULL,
	allow_partial boolean DEFAULT false,
	dedup text DEFAULT 'keep',
	provider_override text DEFAULT NULL,
	max_generation integer DEFAULT 3,
	max_depth integer DEFAULT 3,
	breaker_window integer DEFAULT 50,
	breaker_share numeric DEFAULT 0.5,
	ramp boolean DEFAULT false,
	lost boolean DEFAULT false,
	certain boolean DEFAULT false,
	allow_effective boolean DEFAULT false,
	allow_unproven boolean DEFAULT false,
	on_doubt text DEFAULT 'resend',
	OUT batch_id bigint,
	OUT replayed integer,
	OUT failed integer,
	OUT skipped integer,
	OUT results jsonb,
	OUT next_cursor text)
RETURNS record
AS 'MODULE_PATHNAME', 'acteon_replay_bulk'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_replay_bulk(text, text, text, text, text, text, text, timestamptz, timestamptz, integer, text, text, boolean, boolean, boolean, text, numeric, timestamptz, text, boolean, text, text, integer, integer, integer, numeric, boolean, boolean, boolean, boolean, boolean, text) IS
	'Replays up to max_records (1 to 1000) actions whose audit records match every given filter, oldest first; at least one is needed. outcome may name several, with commas between them. lost finds what had no effect and what failed, whatever the outcome is called, unless something else became of the action since; certain leaves out what may have had an effect. What took effect is passed over without allow_effective; outcome => ''pending'' needs allow_unproven. from_time and to_time are inclusive, rate is in actions per second. next_cursor continues where the call ended, NULL at the end. dedup is keep or drop; provider_override needs a grant as well; max_generation and max_depth end loops of failing replays; the batch pauses itself when more than breaker_share of its last breaker_window deliveries failed (0: never); ramp, which needs a rate, sends the first tenth at a tenth of it; on_doubt tells what becomes of an action of which nobody can tell whether it was executed: resend or hold. Errors: 22023 bad argument, 42501 role, 42P01 no audit table, 55000 intents of a copy.';
COMMENT ON FUNCTION acteon_replay_bulk(jsonb) IS
	'The same in the gateway''s wire form: keys namespace, tenant, provider, action_type, outcome, verdict, matched_rule, from, to (RFC 3339), limit, and the further arguments by name. Returns {"replayed", "failed", "skipped", "results", "batch_id", "next_cursor", "effective"}; the last is how many were passed over because they took effect. An unknown key is error 22023.';

CREATE FUNCTION acteon_replay_preview(
	namespace text DEFAULT NULL,
	tenant text DEFAULT NULL,
	provider text DEFAULT NULL,
	action_type text DEFAULT NULL,
	outcome text DEFAULT NULL,
	verdict text DEFAULT NULL,
	matched_rule text DEFAULT NULL,
	from_time timestamptz DEFAULT NULL,
	to_time timestamptz DEFAULT NULL,
	max_records integer DEFAULT NULL,
	caller_id text DEFAULT NULL,
	chain_id text DEFAULT NULL,
	include_replayed boolean DEFAULT false,
	allow_redacted boolean DEFAULT false,
	newest_first boolean DEFAULT false,
	cursor text DEFAULT NULL,
	rate numeric DEFAULT NULL,
	start_at timestamptz DEFAULT NULL,
	reason text DEFAULT NULL,
	allow_partial boolean DEFAULT false,
	dedup text DEFAULT 'keep',
	provider_override text DEFAULT NULL,
	max_generation integer DEFAULT 3,
	max_depth integer DEFAULT 3,
	breaker_window integer DEFAULT 50,
	breaker_share numeric DEFAULT 0.5,
	ramp boolean DEFAULT false,
	lost boolean DEFAULT false,
	certain boolean DEFAULT false,
	allow_effective boolean DEFAULT false,
	allow_unproven boolean DEFAULT false,
	on_doubt text DEFAULT 'resend',
	sample integer DEFAULT 5,
	OUT section text,
	OUT item text,
	OUT matched bigint,
	OUT replayable bigint,
	OUT note text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'acteon_replay_preview'
LANGUAGE C VOLATILE CALLED ON NULL INPUT ROWS 50;

COMMENT ON FUNCTION acteon_replay_preview(text, text, text, text, text, text, text, timestamptz, timestamptz, integer, text, text, boolean, boolean, boolean, text, numeric, timestamptz, text, boolean, text, text, integer, integer, integer, numeric, boolean, boolean, boolean, boolean, boolean, text, integer) IS
	'What a replay with the same arguments would do, without doing it: exact counts of the records that match and of those that would be replayed, the reasons for not, a breakdown, the time it takes, a sample. The last row''s note is the query, with absolute times, for acteon_replay_all(jsonb) and acteon_replay_bulk(jsonb). Tenants that no grant covers are not named. It may be asked for anything, also without a filter. Errors: otherwise as acteon_replay_bulk.';

CREATE PROCEDURE acteon_replay_all(
	namespace text DEFAULT NULL,
	tenant text DEFAULT NULL,
	provider text DEFAULT NULL,
	action_type text DEFAULT NULL,
	outcome text DEFAULT NULL,
	verdict text DEFAULT NULL,
	matched_rule text DEFAULT NULL,
	from_time timestamptz DEFAULT NULL,
	to_time timestamptz DEFAULT NULL,
	max_records integer DEFAULT NULL,
	caller_id text DEFAULT NULL,
	chain_id text DEFAULT NULL,
	include_replayed boolean DEFAULT false,
	allow_redacted boolean DEFAULT false,
	newest_first boolean DEFAULT false,
	cursor text DEFAULT NULL,
	rate numeric DEFAULT NULL,
	start_at timestamptz DEFAULT NULL,
	reason text DEFAULT NULL,
	allow_partial boolean DEFAULT false,
	dedup text DEFAULT 'keep',
	provider_override text DEFAULT NULL,
	max_generation integer DEFAULT 3,
	max_depth integer DEFAULT 3,
	breaker_window integer DEFAULT 50,
	breaker_share numeric DEFAULT 0.5,
	ramp boolean DEFAULT false,
	lost boolean DEFAULT false,
	certain boolean DEFAULT false,
	allow_effective boolean DEFAULT false,
	allow_unproven boolean DEFAULT false,
	on_doubt text DEFAULT 'resend',
	chunk integer DEFAULT 1000,
	INOUT batch_id bigint DEFAULT NULL,
	INOUT replayed bigint DEFAULT NULL,
	INOUT failed bigint DEFAULT NULL,
	INOUT skipped bigint DEFAULT NULL)
AS 'MODULE_PATHNAME', 'acteon_replay_all'
LANGUAGE C;

COMMENT ON PROCEDURE acteon_replay_all(text, text, text, text, text, text, text, timestamptz, timestamptz, integer, text, text, boolean, boolean, boolean, text, numeric, timestamptz, text, boolean, text, text, integer, integer, integer, numeric, boolean, boolean, boolean, boolean, boolean, text, integer, bigint, bigint, bigint, bigint) IS
	'Replays everything that matches, in committed chunks of so many records (1 to 10000), oldest first; which those are, see acteon_replay_bulk. With a rate it stays at most a minute ahead of the deliveries. Whatever ends it, acteon_replay_continue goes on. The last four arguments are results; batch_id is NULL, and no batch is kept, if nothing was replayed, failed or skipped. Errors: as acteon_replay_bulk; 2D000 inside a transaction block.';

/*
 * The queue
 */

CREATE FUNCTION acteon_outbox_claim(
	consumer text,
	max_actions integer DEFAULT 100,
	lease interval DEFAULT '30 seconds',
	OUT outbox_id bigint,
	OUT lease_token bigint,
	OUT attempt integer,
	OUT action json,
	OUT action_id uuid)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'acteon_outbox_claim'
LANGUAGE C VOLATILE CALLED ON NULL INPUT ROWS 100;

COMMENT ON FUNCTION acteon_outbox_claim(text, integer, interval) IS
	'Leases up to max_actions due actions to a consumer for the given time (at most a day), oldest first, and returns them as the gateway takes them, with the id that is sent. Fewer come when their JSON is larger than 16 MB together. Of the actions of one tenant with the same fingerprint one comes at a time. What is in doubt and due is looked up in the audit table before. Errors: 42501 no gateway grant, 22023 bad argument.';

CREATE FUNCTION acteon_outbox_ack(
	outbox_id bigint[],
	lease_token bigint[],
	outcome jsonb[],
	action_id uuid[] DEFAULT NULL)
RETURNS integer
AS 'MODULE_PATHNAME', 'acteon_outbox_ack'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_outbox_ack(bigint[], bigint[], jsonb[], uuid[]) IS
	'Records the outcomes with which the gateway answered 200, and {"AlreadyDispatched": …} for a 409; returns how many deliveries this call has recorded. Throttled and QuotaExceeded go out again when the gateway says, under a new id; AlreadyDispatched is looked up in the audit table first. After the lease was lost an answer counts only with the action_id that was sent. Errors: 42501 no gateway grant, 22023 arrays of different lengths or with NULL ids.';

CREATE FUNCTION acteon_outbox_nack(
	outbox_id bigint[],
	lease_token bigint[],
	error text[],
	retry_after interval[] DEFAULT NULL,
	action_id uuid[] DEFAULT NULL,
	OUT given_back integer,
	OUT dead integer)
RETURNS record
AS 'MODULE_PATHNAME', 'acteon_outbox_nack'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_outbox_nack(bigint[], bigint[], text[], interval[], uuid[]) IS
	'Gives actions back that are known not to have been executed, for a later attempt: after retry_after (at most a day), or after a back-off of 1 second to 10 minutes that grows with the attempts. The last attempt (acteon_replay.max_attempts) ends dead with its error. An error of NULL says that the action was not attempted or not at fault: the attempt is not counted. action_id is the id to which the gateway has answered, NULL where nothing reached it. What may have been executed is for acteon_outbox_doubt. Changes nothing where the lease is lost. Errors: 42501 no gateway grant, 22023 bad argument.';

CREATE FUNCTION acteon_outbox_reject(
	outbox_id bigint[],
	lease_token bigint[],
	error text[],
	action_id uuid[] DEFAULT NULL)
RETURNS integer
AS 'MODULE_PATHNAME', 'acteon_outbox_reject'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_outbox_reject(bigint[], bigint[], text[], uuid[]) IS
	'Ends actions dead now, because the gateway will never take them; returns how many. One of which an earlier id is in doubt is held instead. Changes nothing where the lease is lost. Errors: 42501 no gateway grant, 22023 bad argument.';

CREATE FUNCTION acteon_outbox_doubt(
	outbox_id bigint[],
	lease_token bigint[],
	error text[],
	action_id uuid[] DEFAULT NULL)
RETURNS integer
AS 'MODULE_PATHNAME', 'acteon_outbox_doubt'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_outbox_doubt(bigint[], bigint[], text[], uuid[]) IS
	'Puts actions in doubt that may have been sent and have no answer, with the reason; returns how many. They are looked up in the audit table, at growing intervals; when acteon_replay.gateway_patience is over they go out once more under a new id, or are held, as the batch''s on_doubt says. Changes nothing where the lease is lost: what it covered is in doubt then. Errors: 42501 no gateway grant, 22023 bad argument.';

CREATE FUNCTION acteon_outbox_sleep(asleep boolean)
RETURNS boolean
AS 'MODULE_PATHNAME', 'acteon_outbox_sleep'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_outbox_sleep(boolean) IS
	'For a consumer that listens on acteon_dispatch_outbox, in that session: tells that it sleeps, until it is called with false or the session ends; with acteon_replay.notify at smart nobody is notified otherwise. Call it before the claim that decides whether to sleep. Returns whether the consumer may sleep long; if not, a transaction is under way that may commit without a NOTIFY, so look again in some milliseconds. Error: 42501 no gateway grant.';

COMMENT ON FUNCTION acteon_outbox_redrive(bigint[], bigint, text, text, integer, numeric, text) IS
	'Puts dead actions that match every given filter back into the queue, with all their attempts, up to max_actions; rate is in actions per second. Each is looked up in the audit table before it goes out, and goes under a new id. Skips, and counts, what has been replayed again (the later replay stands for it) and what belongs to a cancelled batch; what belongs to a paused one waits until that is resumed, as a NOTICE says. Errors: 42501 no gateway grant, 22023 bad argument.';

COMMENT ON FUNCTION acteon_outbox_purge(interval, bigint, text) IS
	'Deletes the outbox and delivery rows of actions whose every replay has been finished for longer than older_than, about max_actions of them; returns how many. A purged action counts as never replayed, so keep at least what the audit table keeps; its next replay gets an id that was not used before. Less than the 24 hours for which the gateway remembers ids brings a WARNING. Errors: 42501 no gateway grant, 22023 bad argument.';

CREATE FUNCTION acteon_outbox_read_stats(
	OUT depth bigint,
	OUT due bigint,
	OUT retrying bigint,
	OUT scheduled bigint,
	OUT leased bigint,
	OUT dead bigint,
	OUT oldest_due_age interval,
	OUT delivered_1m bigint,
	OUT delivered_5m bigint,
	OUT dead_5m bigint,
	OUT paused bigint,
	OUT in_doubt bigint,
	OUT held bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'acteon_outbox_read_stats'
LANGUAGE C VOLATILE CALLED ON NULL INPUT ROWS 1;

COMMENT ON FUNCTION acteon_outbox_read_stats() IS
	'What the view acteon_outbox_stats shows. Error: 42501 no gateway grant.';

CREATE OR REPLACE VIEW acteon_outbox_stats AS
	SELECT s.depth, s.due, s.retrying, s.scheduled, s.leased, s.dead, s.oldest_due_age,
		s.delivered_1m, s.delivered_5m, s.dead_5m, s.paused, s.in_doubt, s.held
	FROM acteon_outbox_read_stats() AS s;

COMMENT ON COLUMN acteon_outbox_stats.due IS 'Actions whose time has come: new ones and retries. Some may wait for an earlier action of their fingerprint.';
COMMENT ON COLUMN acteon_outbox_stats.in_doubt IS 'Actions that may have been executed and have no answer, also those whose lease ran out; they count in depth, and in no other column but held.';
COMMENT ON COLUMN acteon_outbox_stats.held IS 'Of these, the ones that wait for a person (acteon_replay_settle) or for a record.';

CREATE FUNCTION acteon_replay_id(action_id text, generation integer, resend integer DEFAULT 0)
RETURNS uuid
AS 'MODULE_PATHNAME', 'acteon_replay_id'
LANGUAGE C STABLE STRICT;

-- Who knows the id of a replay beforehand can have the gateway refuse it.
REVOKE EXECUTE ON FUNCTION acteon_replay_id(text, integer, integer) FROM PUBLIC;

COMMENT ON FUNCTION acteon_replay_id(text, integer, integer) IS
	'The id of an action''s replay of a generation, after it was given a new one so many times; NULL if nothing was ever replayed here. Errors: 22023 generation below 1 or resend below 0.';

/*
 * Doubts: what became of a batch, and settling
 */

CREATE FUNCTION acteon_replay_settle(
	batch_id bigint,
	decision text,
	reason text,
	outbox_id bigint[] DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'acteon_replay_settle'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_replay_settle(bigint, text, text, bigint[]) IS
	'Decides what became of the actions of a batch that are in doubt, of all or of those named; returns how many. resend sends them once more, under a new id and with all their attempts; delivered says that they had their effect; cancel ends them as cancelled, so that they are free to be replayed. The reason is required, and logged. For the role that started the batch and for admins whose grants cover all of it. Errors: P0002 no such batch, 42501 not the caller''s to steer, 22023 bad argument.';

CREATE FUNCTION acteon_outbox_audit_tells(
	sent_at timestamptz DEFAULT NULL,
	later_than timestamptz DEFAULT NULL)
RETURNS text
LANGUAGE C VOLATILE CALLED ON NULL INPUT AS 'MODULE_PATHNAME';

COMMENT ON FUNCTION acteon_outbox_audit_tells(timestamptz, timestamptz) IS
	'Why the audit table tells nothing of an action that has no record in it: the table is a copy or acteon_replay.audit_is_live is off, it has no record of anything that was sent after later_than (sent_at, unless given), none is left from the time of sending, or it cannot be read. NULL if a missing record means that the action was not recorded. sent_at is when it was sent: acteon_replay.gateway_patience ago, unless given. Errors: 42501 no gateway grant.';

CREATE FUNCTION acteon_replay_proof(
	batch_id bigint,
	after bigint DEFAULT NULL,
	max_actions bigint DEFAULT NULL)
RETURNS TABLE (verdict text, told text, actions bigint, next bigint)
LANGUAGE C VOLATILE CALLED ON NULL INPUT ROWS 10 AS 'MODULE_PATHNAME';

COMMENT ON FUNCTION acteon_replay_proof(bigint, bigint, bigint) IS
	'What the audit table says of the actions of a batch, beside what this database was told. Verdicts: proven (a record with an effect), no effect, later, decided, unknown (the record does not tell), in doubt (only an intent), expired (a record would be older than what the table keeps), answered, no outcome record, no record, not sent, contradiction (two ids of an action had an effect, or the record says the opposite of what was told). Told: done, none, later, decided or unknown (the effect of what was delivered), settled, dead, cancelled, waiting, in_flight, in_doubt. Only actions behind the outbox id after, at most max_actions; next is what to go on after, NULL at the end. Only actions that the caller''s grants cover. Reads only. Errors: P0002 no such batch, or nothing of it is covered, 42P01 no audit table, 22023 bad argument.';

CREATE TYPE acteon_replay_proof_item AS (
	outbox_id bigint,
	action_ids uuid[],
	verdict text,
	told text,
	effect text,
	outcome jsonb,
	record_ids text[],
	dispatched_at timestamptz);

COMMENT ON TYPE acteon_replay_proof_item IS 'A row of acteon_replay_proof_items: what the audit table says of one action of a batch.';
COMMENT ON COLUMN acteon_replay_proof_item.outbox_id IS 'Position in the outbox.';
COMMENT ON COLUMN acteon_replay_proof_item.action_ids IS 'All ids that it may have been sent under, the first one first.';
COMMENT ON COLUMN acteon_replay_proof_item.verdict IS 'What the audit table says, as in acteon_replay_proof.';
COMMENT ON COLUMN acteon_replay_proof_item.told IS 'What this database was told, as in acteon_replay_proof.';
COMMENT ON COLUMN acteon_replay_proof_item.effect IS 'Effect by its records: done, none, later, decided or unknown; NULL without one.';
COMMENT ON COLUMN acteon_replay_proof_item.outcome IS 'The record that decides, in the form of an answer of the gateway.';
COMMENT ON COLUMN acteon_replay_proof_item.record_ids IS 'For each of its ids that has records, the id of the one that counts.';
COMMENT ON COLUMN acteon_replay_proof_item.dispatched_at IS 'When the gateway took it, by the record that decides.';

CREATE FUNCTION acteon_replay_proof_items(
	batch_id bigint,
	verdict text DEFAULT NULL,
	after bigint DEFAULT NULL,
	max_items integer DEFAULT 1000)
RETURNS SETOF acteon_replay_proof_item
LANGUAGE C VOLATILE CALLED ON NULL INPUT ROWS 1000 AS 'MODULE_PATHNAME';

COMMENT ON FUNCTION acteon_replay_proof_items(bigint, text, bigint, integer) IS
	'The single actions that acteon_replay_proof counts, in the order of the outbox: all ids that an action was sent under, the effect and the outcome by the record that decides, in the form of an answer of the gateway, that record''s dispatched_at, and for each id that has records the one that counts. Of one verdict, if one is given; behind the outbox id after; at most max_items, NULL for all. The same rights and errors as acteon_replay_proof.';

/*
 * Seeing
 */

CREATE FUNCTION acteon_is_failure(state text, outcome text, effect text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'acteon_is_failure'
LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE;

COMMENT ON FUNCTION acteon_is_failure(text, text, text) IS
	'Whether an action that ended so, or came in doubt, counts as failed: dead, in doubt, without effect, or Failed. What circuit breakers count.';

CREATE FUNCTION acteon_replay_read_batches(
	batch_id bigint DEFAULT NULL,
	before bigint DEFAULT NULL,
	newest bigint DEFAULT NULL,
	OUT id bigint,
	OUT created_at timestamptz,
	OUT requested_by name,
	OUT session_role name,
	OUT reason text,
	OUT state text,
	OUT progress numeric,
	OUT matched bigint,
	OUT replayed bigint,
	OUT failed bigint,
	OUT skipped bigint,
	OUT passed_over bigint,
	OUT waiting bigint,
	OUT in_flight bigint,
	OUT delivered bigint,
	OUT delivered_by jsonb,
	OUT dead bigint,
	OUT cancelled bigint,
	OUT rate numeric,
	OUT speed numeric,
	OUT time_left interval,
	OUT start_at timestamptz,
	OUT breaker text,
	OUT stop_reason text,
	OUT stopped_by name,
	OUT stopped_at timestamptz,
	OUT failures jsonb,
	OUT last_chunk_at timestamptz,
	OUT query jsonb,
	OUT in_doubt bigint,
	OUT held bigint,
	OUT done bigint,
	OUT on_doubt text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'acteon_replay_read_batches'
LANGUAGE C VOLATILE CALLED ON NULL INPUT ROWS 100;

COMMENT ON FUNCTION acteon_replay_read_batches(bigint, bigint, bigint) IS
	'What the view acteon_replay_batches shows, of all batches; or of one, of those before one, of so many of the newest, without looking at the others.';

CREATE OR REPLACE VIEW acteon_replay_batches AS
	SELECT b.id AS batch_id, b.created_at, b.requested_by, b.session_role, b.reason, b.state, b.progress, b.matched,
		b.replayed, b.failed, b.skipped, b.passed_over, b.waiting, b.in_flight, b.delivered,
		b.delivered_by, b.dead, b.cancelled, b.rate, b.speed, b.time_left, b.start_at,
		b.breaker, b.stop_reason, b.stopped_by, b.stopped_at, b.failures, b.last_chunk_at,
		b.query, b.in_doubt, b.held, b.done, b.on_doubt
	FROM acteon_replay_read_batches() AS b;

COMMENT ON COLUMN acteon_replay_batches.passed_over IS 'Records whose action has a replay already, took effect, or, where lost is asked for, was not lost.';
COMMENT ON COLUMN acteon_replay_batches.delivered IS 'Actions whose outcome is known; done tells how many of these had their effect.';
COMMENT ON COLUMN acteon_replay_batches.cancelled IS 'Actions that were cancelled before they were sent, or by a person who settled a doubt.';
COMMENT ON COLUMN acteon_replay_batches.breaker IS 'What its circuit breaker sees, and when it opens; off: there is none. Without effect, Failed, dead and in doubt count as failed.';
COMMENT ON COLUMN acteon_replay_batches.in_doubt IS 'Actions that may have been executed and have no answer.';
COMMENT ON COLUMN acteon_replay_batches.held IS 'Of these, the ones that wait for a person (acteon_replay_settle) or for a record.';
COMMENT ON COLUMN acteon_replay_batches.done IS 'Of the delivered ones, how many were executed with success.';
COMMENT ON COLUMN acteon_replay_batches.on_doubt IS 'What becomes of doubts: resend or hold.';

ALTER TYPE acteon_replay_item ADD ATTRIBUTE effect text;
ALTER TYPE acteon_replay_item ADD ATTRIBUTE resends integer;
ALTER TYPE acteon_replay_item ADD ATTRIBUTE unproven boolean;
ALTER TYPE acteon_replay_item ADD ATTRIBUTE known_by text;
ALTER TYPE acteon_replay_item ADD ATTRIBUTE doubt text;
ALTER TYPE acteon_replay_item ADD ATTRIBUTE held text;

COMMENT ON COLUMN acteon_replay_item.new_action_id IS 'Id under which it was sent last, or will be sent.';
COMMENT ON COLUMN acteon_replay_item.state IS 'waiting, running, in_doubt, delivered, dead or cancelled.';
COMMENT ON COLUMN acteon_replay_item.effect IS 'Effect of the outcome: done, none, later, decided or unknown; NULL for what was not delivered, and for deliveries of version 1.0.';
COMMENT ON COLUMN acteon_replay_item.resends IS 'How often it was given a new id.';
COMMENT ON COLUMN acteon_replay_item.unproven IS 'Whether it was sent again without proof that an earlier id had no effect.';
COMMENT ON COLUMN acteon_replay_item.known_by IS 'How the outcome is known: record (found in the audit table) or settled (a person decided). NULL: by the answer of the gateway.';
COMMENT ON COLUMN acteon_replay_item.doubt IS 'Why it is in doubt.';
COMMENT ON COLUMN acteon_replay_item.held IS 'Why it waits for a person or for a record.';

COMMENT ON FUNCTION acteon_replay_items(bigint, text) IS
	'The actions of a batch, in the order of the outbox; of a state only, if one is given: waiting, running, in_doubt, held (in doubt, and waiting for a person or a record), delivered, dead, cancelled, or failed (dead, or delivered without effect or as Failed). Only actions that the caller''s grants cover. Errors: P0002 no such batch, or nothing of it is covered, 22023 bad argument.';

COMMENT ON FUNCTION acteon_replay_lineage(text) IS
	'The chain of replays that an action is part of, from its first ancestor down, one row an action: id, source (the action it replays), generation, depth, batch, who asked, when, why, and state (original, waiting, running, in_doubt, delivered, dead, cancelled). Only actions that the caller''s grants cover; no rows for an action that was never replayed.';

/*
 * The functions of 1.0 hand over and go
 *
 * Owners and grants are moved in the catalogue, as contrib's update scripts do.
 * GRANT would make the administrator's grants part of the extension, which
 * pg_dump leaves out, and would forget who gave them.
 */

WITH
	-- only the extension's own: a function that somebody put beside them must not get their owner
	member AS MATERIALIZED (
		SELECT p.oid, p.proname, p.proargtypes[0] AS first_type, p.proowner, p.proacl
		FROM pg_catalog.pg_extension AS x
			JOIN pg_catalog.pg_depend AS d ON d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass::oid
				AND d.refobjid OPERATOR(pg_catalog.=) x.oid AND d.deptype OPERATOR(pg_catalog.=) 'e'::"char"
				AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass::oid
			JOIN pg_catalog.pg_proc AS p ON p.oid OPERATOR(pg_catalog.=) d.objid
		WHERE x.extname OPERATOR(pg_catalog.=) 'acteon_replay'::name),
	replaced AS MATERIALIZED (
		SELECT old.oid AS old, new.oid AS new, old.proowner, old.proacl
		FROM member AS old
			JOIN member AS new ON old.proname OPERATOR(pg_catalog.=) (new.proname::text OPERATOR(pg_catalog.||) '_1_0'::text)::name
				AND old.first_type IS NOT DISTINCT FROM new.first_type),
	moved AS (
		UPDATE pg_catalog.pg_proc AS p SET proowner = r.proowner, proacl = r.proacl
		FROM replaced AS r WHERE p.oid OPERATOR(pg_catalog.=) r.new),
	forgotten AS (
		DELETE FROM pg_catalog.pg_shdepend AS d USING replaced AS r
		WHERE d.objid OPERATOR(pg_catalog.=) r.new AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass::oid
			AND d.dbid OPERATOR(pg_catalog.=) (SELECT b.oid FROM pg_catalog.pg_database AS b WHERE b.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()))
UPDATE pg_catalog.pg_shdepend AS d SET objid = r.new
FROM replaced AS r
WHERE d.objid OPERATOR(pg_catalog.=) r.old AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass::oid
	AND d.dbid OPERATOR(pg_catalog.=) (SELECT b.oid FROM pg_catalog.pg_database AS b WHERE b.datname OPERATOR(pg_catalog.=) pg_catalog.current_database());

DROP FUNCTION acteon_replay_1_0(uuid, text, boolean, boolean, text, text);
DROP FUNCTION acteon_replay_1_0(text, text, boolean, boolean, text, text);
DROP FUNCTION acteon_replay_bulk_1_0(text, text, text, text, text, text, text, timestamptz, timestamptz, integer, text, text, boolean, boolean, boolean, text, numeric, timestamptz, text, boolean, text, text, integer, integer, integer, numeric, boolean);
DROP FUNCTION acteon_replay_preview_1_0(text, text, text, text, text, text, text, timestamptz, timestamptz, integer, text, text, boolean, boolean, boolean, text, numeric, timestamptz, text, boolean, text, text, integer, integer, integer, numeric, boolean, integer);
DROP PROCEDURE acteon_replay_all_1_0(text, text, text, text, text, text, text, timestamptz, timestamptz, integer, text, text, boolean, boolean, boolean, text, numeric, timestamptz, text, boolean, text, text, integer, integer, integer, numeric, boolean, integer, bigint, bigint, bigint, bigint);
DROP FUNCTION acteon_outbox_claim_1_0(text, integer, interval);
DROP FUNCTION acteon_outbox_ack_1_0(bigint[], bigint[], jsonb[]);
DROP FUNCTION acteon_outbox_nack_1_0(bigint[], bigint[], text[], interval[]);
DROP FUNCTION acteon_outbox_reject_1_0(bigint[], bigint[], text[]);
DROP FUNCTION acteon_outbox_read_stats_1_0();
DROP FUNCTION acteon_replay_read_batches_1_0(bigint, bigint, bigint);
