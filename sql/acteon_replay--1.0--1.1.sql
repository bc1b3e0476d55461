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
COMMENT ON COLUMN acteon_dispatch_segment.sent_at IS 'When it was handed out for the first time: none of its ids can have been sent earlier. NULL: never.';
COMMENT ON COLUMN acteon_dispatch_segment.id_refused IS 'Whether the gateway has seen the present id and is known not to have executed it, so that it may answer 409 to it.';
COMMENT ON COLUMN acteon_dispatch_segment.unproven IS 'Whether an earlier id was given up without proof that it had no effect. Such an action never ends dead or cancelled.';
COMMENT ON COLUMN acteon_dispatch_segment.doubt_since IS 'Since when it is in doubt whether the actions were executed; NULL: they are not in doubt. While they are, due_at is when the audit table is asked next.';
COMMENT ON COLUMN acteon_dispatch_segment.doubt IS 'Why it is in doubt.';
COMMENT ON COLUMN acteon_dispatch_segment.held IS 'Why it waits for a person (acteon_replay_settle) or for a record; NULL: it may still end by itself.';

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

/*
 * Doubts: what became of a batch, and settling
 */

/*
 * Seeing
 */
