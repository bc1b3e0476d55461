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

-- Few: for counting doubts and for settling them.
CREATE INDEX acteon_dispatch_segment_doubt_idx ON acteon_dispatch_segment (doubt_since) WHERE doubt_since IS NOT NULL;

ALTER TABLE acteon_dispatch_delivery
	ADD COLUMN effect text,
	ADD COLUMN resend integer NOT NULL DEFAULT 0,
	ADD COLUMN unproven boolean NOT NULL DEFAULT false,
	ADD COLUMN known_by text,
	ADD CONSTRAINT acteon_dispatch_delivery_effect_check
		CHECK (effect OPERATOR(pg_catalog.=) ANY ('{done,none,later,decided,unknown}'::text[])),
	ADD CONSTRAINT acteon_dispatch_delivery_known_by_check
		CHECK (known_by OPERATOR(pg_catalog.=) ANY ('{record,settled}'::text[]));

COMMENT ON COLUMN acteon_dispatch_delivery.effect IS 'Effect of the outcome: done, none, later, decided or unknown. NULL for what was not delivered, and for deliveries of version 1.0.';
COMMENT ON COLUMN acteon_dispatch_delivery.resend IS 'Which of the action''s ids ended it: 0 for the one in the outbox, n for the n-th new one.';
COMMENT ON COLUMN acteon_dispatch_delivery.unproven IS 'Whether it was sent again under a new id without proof that the earlier one had no effect.';
COMMENT ON COLUMN acteon_dispatch_delivery.known_by IS 'How the outcome is known: record (found in the audit table) or settled (a person decided). NULL: by the answer of the gateway.';

ALTER TABLE acteon_replay_batch
	ADD COLUMN on_doubt text NOT NULL DEFAULT 'resend',
	ADD CONSTRAINT acteon_replay_batch_on_doubt_check
		CHECK (on_doubt OPERATOR(pg_catalog.=) ANY ('{resend,hold}'::text[]));

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

/*
 * The queue
 */

DROP FUNCTION acteon_outbox_claim(text, integer, interval);
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

DROP FUNCTION acteon_outbox_ack(bigint[], bigint[], jsonb[]);
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

DROP FUNCTION acteon_outbox_nack(bigint[], bigint[], text[], interval[]);
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

DROP FUNCTION acteon_outbox_reject(bigint[], bigint[], text[]);
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

-- A function whose result grows is made beside the old one, so that the view and what depends on it stay.
CREATE FUNCTION acteon_outbox_read_figures(
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

COMMENT ON FUNCTION acteon_outbox_read_figures() IS
	'What the view acteon_outbox_stats shows. Error: 42501 no gateway grant.';

CREATE OR REPLACE VIEW acteon_outbox_stats AS
	SELECT s.depth, s.due, s.retrying, s.scheduled, s.leased, s.dead, s.oldest_due_age,
		s.delivered_1m, s.delivered_5m, s.dead_5m, s.paused, s.in_doubt, s.held
	FROM acteon_outbox_read_figures() AS s;
DROP FUNCTION acteon_outbox_read_stats();
ALTER FUNCTION acteon_outbox_read_figures() RENAME TO acteon_outbox_read_stats;

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

/*
 * Seeing
 */

CREATE FUNCTION acteon_is_failure(state text, outcome text, effect text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'acteon_is_failure'
LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE;

COMMENT ON FUNCTION acteon_is_failure(text, text, text) IS
	'Whether an action that ended so, or came in doubt, counts as failed: dead, in doubt, without effect, or Failed. What circuit breakers count.';

CREATE FUNCTION acteon_replay_list_batches(
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

COMMENT ON FUNCTION acteon_replay_list_batches(bigint, bigint, bigint) IS
	'What the view acteon_replay_batches shows, of all batches; or of one, of those before one, of so many of the newest, without looking at the others.';

CREATE OR REPLACE VIEW acteon_replay_batches AS
	SELECT b.id AS batch_id, b.created_at, b.requested_by, b.session_role, b.reason, b.state, b.progress, b.matched,
		b.replayed, b.failed, b.skipped, b.passed_over, b.waiting, b.in_flight, b.delivered,
		b.delivered_by, b.dead, b.cancelled, b.rate, b.speed, b.time_left, b.start_at,
		b.breaker, b.stop_reason, b.stopped_by, b.stopped_at, b.failures, b.last_chunk_at,
		b.query, b.in_doubt, b.held, b.done, b.on_doubt
	FROM acteon_replay_list_batches() AS b;
DROP FUNCTION acteon_replay_read_batches(bigint, bigint, bigint);
ALTER FUNCTION acteon_replay_list_batches(bigint, bigint, bigint) RENAME TO acteon_replay_read_batches;

COMMENT ON COLUMN acteon_replay_batches.delivered IS 'Actions that the gateway answered with an outcome; done tells how many of these had their effect.';
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
