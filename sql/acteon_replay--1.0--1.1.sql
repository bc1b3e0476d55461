\echo Use "ALTER EXTENSION acteon_replay UPDATE TO '1.1'" to load this file. \quit

/*
 * Version 1.1: the results of actions are looked up in the audit table instead
 * of being assumed.  As in the script of 1.0, everything in an expression is
 * schema-qualified, and has arguments of exactly its types.
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
	ADD COLUMN provider text,
	ADD COLUMN provider_limit bigint,
	ADD COLUMN tenant_limit bigint,
	ADD COLUMN parked_at timestamptz,
	ADD COLUMN expires_at timestamptz,
	ADD COLUMN stopped text,
	ADD COLUMN pace integer,
	ADD COLUMN target text,
	ADD COLUMN relay integer,
	ADD CONSTRAINT acteon_dispatch_segment_target_check
		CHECK (target COLLATE pg_catalog."C" OPERATOR(pg_catalog.~) '^[a-z][a-z0-9_-]{0,62}$'::text AND target OPERATOR(pg_catalog.<>) 'production'::text),
	ADD CONSTRAINT acteon_dispatch_segment_stopped_check
		CHECK (stopped OPERATOR(pg_catalog.=) ANY ('{paused,cancelled}'::text[])),
	ADD CONSTRAINT acteon_dispatch_segment_resend_check CHECK (resend OPERATOR(pg_catalog.>=) 0),
	ADD CONSTRAINT acteon_dispatch_segment_doubt_check
		CHECK ((doubt_since IS NULL) OPERATOR(pg_catalog.=) (doubt IS NULL)
			AND (doubt_since IS NULL OR lease_token IS NULL)
			AND (held IS NULL OR doubt_since IS NOT NULL));

COMMENT ON COLUMN acteon_dispatch_segment.resend IS 'How often its actions have been given a new id: 0 for the id in the outbox.';
COMMENT ON COLUMN acteon_dispatch_segment.sent_at IS 'When it was first handed out under its present id; ids that were only throttled count as the same. NULL: never.';
COMMENT ON COLUMN acteon_dispatch_segment.id_refused IS 'Whether the gateway has seen the present id but is known not to have executed it. The gateway may answer 409 to such an id.';
COMMENT ON COLUMN acteon_dispatch_segment.unproven IS 'Whether an earlier id was given up without proof that it had no effect. Such an action never becomes dead or cancelled by itself.';
COMMENT ON COLUMN acteon_dispatch_segment.doubt_since IS 'Since when the actions have been in doubt; NULL: they are not in doubt. While they are, due_at is the time of the next look-up in the audit table, infinity if there is none, as for actions of other targets that are held.';
COMMENT ON COLUMN acteon_dispatch_segment.doubt IS 'Why the actions are in doubt.';
COMMENT ON COLUMN acteon_dispatch_segment.held IS 'Why the actions wait for a person (acteon_replay_settle) or for a record; NULL: the doubt can still be resolved automatically.';
COMMENT ON COLUMN acteon_dispatch_segment.provider IS 'Provider of all its actions; NULL: they were enqueued by version 1.0, and may have several.';
COMMENT ON COLUMN acteon_dispatch_segment.provider_limit IS 'Key of the provider''s row in acteon_replay_limit: the limit that counts the segment while it is leased, or that it waits for while it is parked (due_at is infinity).';
COMMENT ON COLUMN acteon_dispatch_segment.tenant_limit IS 'The same for the row of a tenant.';
COMMENT ON COLUMN acteon_dispatch_segment.parked_at IS 'Since when it waits for a limit; NULL: it does not.';
COMMENT ON COLUMN acteon_dispatch_segment.stopped IS 'Whether its actions are stopped on their own, apart from their batch: paused or cancelled; NULL: they are not.';
COMMENT ON COLUMN acteon_dispatch_segment.pace IS 'Number of the part in acteon_replay_batch.parts whose rate it keeps; NULL: the rate of its batch.';

COMMENT ON COLUMN acteon_dispatch_segment.expires_at IS 'None of its actions expires earlier; NULL: none expires, or a person has decided to send them nevertheless.';
COMMENT ON COLUMN acteon_dispatch_segment.target IS 'Where its actions are delivered to; NULL: production.';
COMMENT ON COLUMN acteon_dispatch_segment.relay IS 'Number of the consumer that has leased it last, in acteon_dispatch_relay; NULL: none has, or it is unknown.';

ALTER TABLE acteon_dispatch_outbox
	ADD COLUMN expires_at timestamptz,
	ADD COLUMN target text,
	ADD CONSTRAINT acteon_dispatch_outbox_target_check
		CHECK (target COLLATE pg_catalog."C" OPERATOR(pg_catalog.~) '^[a-z][a-z0-9_-]{0,62}$'::text AND target OPERATOR(pg_catalog.<>) 'production'::text);

COMMENT ON COLUMN acteon_dispatch_outbox.expires_at IS 'When the action expires: it is not sent at this time or later. The earlier one of dispatched_at of its record plus expire_after of the batch, and of ends_at, unless that is not later than dispatched_at or the batch has allow_ended. NULL: never.';
COMMENT ON COLUMN acteon_dispatch_outbox.target IS 'Where the action is delivered to; NULL: production.';

-- In a lane, leased segments come first, then those in doubt, then those that wait.
DROP INDEX acteon_dispatch_segment_lane_idx;
CREATE INDEX acteon_dispatch_segment_lane_idx ON acteon_dispatch_segment (lane, lease_token, doubt_since, first_id)
	WHERE lane IS NOT NULL;

-- Claims and look-ups each have an index of their own, so that neither scans the other's rows, however many are held;
-- and a claim for one target scans no rows of another.
DROP INDEX acteon_dispatch_segment_due_idx;
CREATE INDEX acteon_dispatch_segment_due_idx ON acteon_dispatch_segment (target, due_at, first_id) WHERE doubt_since IS NULL;
CREATE INDEX acteon_dispatch_segment_doubt_idx ON acteon_dispatch_segment (target, due_at, doubt_since) WHERE doubt_since IS NOT NULL;

-- For each limit, what is leased first, then what waits for it. Without limits they are empty.
CREATE INDEX acteon_dispatch_segment_provider_limit_idx ON acteon_dispatch_segment (provider_limit, lease_token, first_id)
	WHERE provider_limit IS NOT NULL;
CREATE INDEX acteon_dispatch_segment_tenant_limit_idx ON acteon_dispatch_segment (tenant_limit, lease_token, first_id)
	WHERE tenant_limit IS NOT NULL;

COMMENT ON TABLE acteon_dispatch_segment IS
	'Runs of at most 100 consecutive outbox rows that wait, are leased or are in doubt together. An unfinished outbox row is covered by exactly one segment, a finished one by none.';
COMMENT ON COLUMN acteon_dispatch_outbox.labels IS
	'Metadata of the action: string values only, with replayed_from and, if a patch changed the payload, replay_patch: the first 16 digits of the patch''s SHA-256. A key __starts_at or __ends_at is not sent as a label: it is that time as the gateway wrote it, where timestamptz cannot hold it (nanoseconds, leap seconds).';
COMMENT ON COLUMN acteon_dispatch_outbox.action_id IS 'First id of the new action: UUIDv5 of the installation''s namespace and "<original action id>/<generation>", for a target other than production followed by "@<target>". For new ids ".1", ".2" and so on is appended, see acteon_dispatch_segment.resend and acteon_dispatch_delivery.resend.';

-- Rows of before have no hash.
ALTER TABLE acteon_dispatch_outbox ADD COLUMN hash bytea;
COMMENT ON COLUMN acteon_dispatch_outbox.hash IS 'Hash of the row, made when it was enqueued: the first 16 bytes of a SHA-256. A row that does not fit to it is not sent. NULL: it was enqueued by version 1.0.';

-- Who may replay may not necessarily change what is replayed.
ALTER TABLE acteon_grants
	ADD COLUMN may_patch boolean NOT NULL DEFAULT false,
	ADD CONSTRAINT acteon_grants_may_patch_check
		CHECK (NOT may_patch OR role OPERATOR(pg_catalog.=) ANY ('{admin,operator}'::text[]));

COMMENT ON COLUMN acteon_grants.may_patch IS 'Whether an operator may also patch payloads while replaying them (the arguments patch and patch_path). An admin may in any case.';
COMMENT ON COLUMN acteon_dispatch_outbox.payload IS 'Payload as stored in the audit record, after the patch of the batch if it has one.';

/*
 * Outcomes are jsonb, and are stored in fewer bytes.  What is there already is read as
 * it is: the column is not rewritten.
 */

CREATE TYPE acteon_outcome;

CREATE FUNCTION acteon_outcome_in(value cstring)
RETURNS acteon_outcome
AS 'MODULE_PATHNAME'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION acteon_outcome_out(outcome acteon_outcome)
RETURNS cstring
AS 'MODULE_PATHNAME'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION acteon_outcome_recv(message internal)
RETURNS acteon_outcome
AS 'MODULE_PATHNAME'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION acteon_outcome_send(outcome acteon_outcome)
RETURNS bytea
AS 'MODULE_PATHNAME'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE TYPE acteon_outcome (
	INPUT = acteon_outcome_in,
	OUTPUT = acteon_outcome_out,
	RECEIVE = acteon_outcome_recv,
	SEND = acteon_outcome_send,
	LIKE = pg_catalog.jsonb
);

CREATE FUNCTION acteon_outcome_jsonb(outcome acteon_outcome)
RETURNS jsonb
AS 'MODULE_PATHNAME'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION acteon_outcome_json(outcome acteon_outcome)
RETURNS json
AS 'MODULE_PATHNAME'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE CAST (acteon_outcome AS jsonb) WITH FUNCTION acteon_outcome_jsonb(acteon_outcome) AS IMPLICIT;
CREATE CAST (acteon_outcome AS json) WITH FUNCTION acteon_outcome_json(acteon_outcome);
CREATE CAST (jsonb AS acteon_outcome) WITHOUT FUNCTION AS ASSIGNMENT;

CREATE FUNCTION acteon_outcome_eq(a acteon_outcome, b acteon_outcome)
RETURNS boolean
AS 'MODULE_PATHNAME'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION acteon_outcome_lt(a acteon_outcome, b acteon_outcome)
RETURNS boolean
AS 'MODULE_PATHNAME'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION acteon_outcome_le(a acteon_outcome, b acteon_outcome)
RETURNS boolean
AS 'MODULE_PATHNAME'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION acteon_outcome_gt(a acteon_outcome, b acteon_outcome)
RETURNS boolean
AS 'MODULE_PATHNAME'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION acteon_outcome_ge(a acteon_outcome, b acteon_outcome)
RETURNS boolean
AS 'MODULE_PATHNAME'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION acteon_outcome_cmp(a acteon_outcome, b acteon_outcome)
RETURNS integer
AS 'MODULE_PATHNAME'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION acteon_outcome_hash(outcome acteon_outcome)
RETURNS integer
AS 'MODULE_PATHNAME'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE OPERATOR = (LEFTARG = acteon_outcome, RIGHTARG = acteon_outcome, FUNCTION = acteon_outcome_eq, COMMUTATOR = =,
	RESTRICT = pg_catalog.eqsel, JOIN = pg_catalog.eqjoinsel, HASHES, MERGES);
CREATE OPERATOR < (LEFTARG = acteon_outcome, RIGHTARG = acteon_outcome, FUNCTION = acteon_outcome_lt, COMMUTATOR = >, NEGATOR = >=,
	RESTRICT = pg_catalog.scalarltsel, JOIN = pg_catalog.scalarltjoinsel);
CREATE OPERATOR <= (LEFTARG = acteon_outcome, RIGHTARG = acteon_outcome, FUNCTION = acteon_outcome_le, COMMUTATOR = >=, NEGATOR = >,
	RESTRICT = pg_catalog.scalarlesel, JOIN = pg_catalog.scalarlejoinsel);
CREATE OPERATOR > (LEFTARG = acteon_outcome, RIGHTARG = acteon_outcome, FUNCTION = acteon_outcome_gt, COMMUTATOR = <, NEGATOR = <=,
	RESTRICT = pg_catalog.scalargtsel, JOIN = pg_catalog.scalargtjoinsel);
CREATE OPERATOR >= (LEFTARG = acteon_outcome, RIGHTARG = acteon_outcome, FUNCTION = acteon_outcome_ge, COMMUTATOR = <=, NEGATOR = <,
	RESTRICT = pg_catalog.scalargesel, JOIN = pg_catalog.scalargejoinsel);
CREATE OPERATOR CLASS acteon_outcome_ops DEFAULT FOR TYPE acteon_outcome USING btree AS
	OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
	FUNCTION 1 acteon_outcome_cmp(acteon_outcome, acteon_outcome);
CREATE OPERATOR CLASS acteon_outcome_hash_ops DEFAULT FOR TYPE acteon_outcome USING hash AS
	OPERATOR 1 =, FUNCTION 1 acteon_outcome_hash(acteon_outcome);

COMMENT ON TYPE acteon_outcome IS
	'A jsonb that is stored in fewer bytes. It is read and written like jsonb, and is cast to it implicitly.';
COMMENT ON FUNCTION acteon_outcome_in(cstring) IS 'Input function of acteon_outcome.';
COMMENT ON FUNCTION acteon_outcome_out(acteon_outcome) IS 'Output function of acteon_outcome.';
COMMENT ON FUNCTION acteon_outcome_recv(internal) IS 'Binary input function of acteon_outcome.';
COMMENT ON FUNCTION acteon_outcome_send(acteon_outcome) IS 'Binary output function of acteon_outcome.';
COMMENT ON FUNCTION acteon_outcome_jsonb(acteon_outcome) IS 'Returns an outcome as jsonb; the implicit cast.';
COMMENT ON FUNCTION acteon_outcome_json(acteon_outcome) IS 'Returns an outcome as json; the cast that to_jsonb, row_to_json and similar functions use.';
COMMENT ON FUNCTION acteon_outcome_eq(acteon_outcome, acteon_outcome) IS 'Operator = of acteon_outcome, as for jsonb.';
COMMENT ON FUNCTION acteon_outcome_lt(acteon_outcome, acteon_outcome) IS 'Operator < of acteon_outcome, as for jsonb.';
COMMENT ON FUNCTION acteon_outcome_le(acteon_outcome, acteon_outcome) IS 'Operator <= of acteon_outcome, as for jsonb.';
COMMENT ON FUNCTION acteon_outcome_gt(acteon_outcome, acteon_outcome) IS 'Operator > of acteon_outcome, as for jsonb.';
COMMENT ON FUNCTION acteon_outcome_ge(acteon_outcome, acteon_outcome) IS 'Operator >= of acteon_outcome, as for jsonb.';
COMMENT ON FUNCTION acteon_outcome_cmp(acteon_outcome, acteon_outcome) IS 'Comparison of acteon_outcome for indexes and sorting, as for jsonb.';
COMMENT ON FUNCTION acteon_outcome_hash(acteon_outcome) IS 'Hash of acteon_outcome, as for jsonb.';

-- Nobody is helped by statistics of whole answers, which take long to sort.
ALTER TABLE acteon_dispatch_delivery
	ALTER COLUMN outcome TYPE acteon_outcome,
	ALTER COLUMN outcome SET STATISTICS 0;

ALTER TABLE acteon_dispatch_delivery
	ADD COLUMN effect text,
	ADD COLUMN resend integer NOT NULL DEFAULT 0,
	ADD COLUMN unproven boolean NOT NULL DEFAULT false,
	ADD COLUMN known_by text,
	DROP CONSTRAINT acteon_dispatch_delivery_state_check,
	ADD CONSTRAINT acteon_dispatch_delivery_state_check
		CHECK (state OPERATOR(pg_catalog.=) ANY ('{delivered,dead,cancelled,expired}'::text[])),
	ADD COLUMN relay integer,
	ADD CONSTRAINT acteon_dispatch_delivery_effect_check
		CHECK (effect OPERATOR(pg_catalog.=) ANY ('{done,none,later,decided,unknown}'::text[])),
	ADD CONSTRAINT acteon_dispatch_delivery_known_by_check
		CHECK (known_by OPERATOR(pg_catalog.=) ANY ('{record,settled}'::text[]));

-- acteon_outbox_read_stats counts the dead ones by target, without reading their rows.
DROP INDEX acteon_dispatch_delivery_dead_idx;
CREATE INDEX acteon_dispatch_delivery_dead_idx ON acteon_dispatch_delivery (outbox_id) INCLUDE (relay)
	WHERE state OPERATOR(pg_catalog.=) 'dead'::text;

COMMENT ON COLUMN acteon_dispatch_delivery.state IS 'delivered: its outcome is known. dead: it will not be retried. cancelled: cancelled before it was sent, or by a person who settled a doubt. expired: it was not sent, because acteon_dispatch_outbox.expires_at had passed.';
COMMENT ON COLUMN acteon_dispatch_delivery.outcome IS 'The gateway''s answer, or the outcome in its record in the same form. Reads like jsonb; outcome::jsonb is one, for subscripts, for tables of your own, and for drivers that convert by type.';
COMMENT ON COLUMN acteon_dispatch_delivery.effect IS 'Effect of the outcome: done, none, later, decided or unknown. NULL for what was not delivered, and for deliveries of version 1.0.';
COMMENT ON COLUMN acteon_dispatch_delivery.resend IS 'Under which of its ids the action was finished: 0 for the id in the outbox, n for the n-th new id.';
COMMENT ON COLUMN acteon_dispatch_delivery.unproven IS 'Whether it was sent again under a new id without proof that the earlier one had no effect.';
COMMENT ON COLUMN acteon_dispatch_delivery.known_by IS 'How the outcome is known: record (found in the audit table) or settled (a person decided). NULL: by the answer of the gateway.';
COMMENT ON COLUMN acteon_dispatch_delivery.relay IS 'Number of the consumer that has brought the answer, or had the action last, in acteon_dispatch_relay. NULL: unknown, as for answers that came after the lease, or none had it.';

ALTER TABLE acteon_replay_batch
	ADD COLUMN on_doubt text NOT NULL DEFAULT 'resend',
	ADD COLUMN canary text,
	ADD COLUMN canary_step integer,
	ADD COLUMN canary_first_id bigint,
	ADD COLUMN canary_last_id bigint,
	ADD COLUMN canary_actions bigint,
	ADD COLUMN canary_held boolean NOT NULL DEFAULT false,
	ADD COLUMN canary_unrecorded bigint NOT NULL DEFAULT 0,
	ADD COLUMN plan text,
	ADD COLUMN awaits_until timestamptz,
	ADD COLUMN approved_at timestamptz,
	ADD COLUMN approved_by name,
	ADD CONSTRAINT acteon_replay_batch_on_doubt_check
		CHECK (on_doubt OPERATOR(pg_catalog.=) ANY ('{resend,hold}'::text[])),
	ADD CONSTRAINT acteon_replay_batch_canary_check
		CHECK (canary OPERATOR(pg_catalog.=) ANY ('{auto,hold}'::text[])
			AND (canary_step IS NULL) OPERATOR(pg_catalog.=) (canary_first_id IS NULL)
			AND (canary_step IS NULL) OPERATOR(pg_catalog.=) (canary_last_id IS NULL)
			AND (canary_step IS NOT NULL OR NOT canary_held));

-- Consumers look at the batches whose canary is open, which are few.
CREATE INDEX acteon_replay_batch_canary_idx ON acteon_replay_batch (canary_step) WHERE canary_step IS NOT NULL;

COMMENT ON COLUMN acteon_replay_batch.passed_over IS 'Records whose action already has a replay, took effect, had expired, or, with lost, was not lost.';
COMMENT ON COLUMN acteon_replay_batch.stopped_by IS 'Role that stopped it; NULL: its circuit breaker or its canary.';
COMMENT ON COLUMN acteon_replay_batch.canary IS 'How it begins: auto (the next step begins when one is good) or hold (a person begins it). NULL: all actions at once.';
COMMENT ON COLUMN acteon_replay_batch.canary_step IS 'Open step of the canary, from 1; NULL: there is no canary, or it is over.';
COMMENT ON COLUMN acteon_replay_batch.canary_first_id IS 'The actions of the open step have outbox ids from this one to canary_last_id.';
COMMENT ON COLUMN acteon_replay_batch.canary_last_id IS 'Last outbox id that has been released; later ones are held back.';
COMMENT ON COLUMN acteon_replay_batch.canary_actions IS 'Actions that the steps of the canary have released.';
COMMENT ON COLUMN acteon_replay_batch.canary_held IS 'Whether the batch is paused because of the judgement of the open step; acteon_replay_resume begins the next one.';
COMMENT ON COLUMN acteon_replay_batch.canary_unrecorded IS 'Actions that the canary has judged by their answers, because they had no audit records.';
COMMENT ON COLUMN acteon_replay_batch.awaits_until IS 'Until then it waits for approval, and nothing of it is enqueued; afterwards it is cancelled. NULL: it does not wait.';
COMMENT ON COLUMN acteon_replay_batch.approved_at IS 'When it was approved; NULL: it was not.';
COMMENT ON COLUMN acteon_replay_batch.approved_by IS 'Role that approved it.';
COMMENT ON COLUMN acteon_replay_batch.plan IS 'Digest of the plan of a preview by which it was made, as in the log; NULL: it was made without a plan.';
COMMENT ON COLUMN acteon_replay_batch.on_doubt IS 'What to do if it cannot be determined whether an action was executed: resend (once, under a new id) or hold (a person decides).';

-- The key takes the place of the index, and is no number: calls that finish actions must not share a sequence.
DROP INDEX acteon_replay_tally_batch_idx;
ALTER TABLE acteon_replay_tally
	ADD COLUMN effect text,
	ADD COLUMN id uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
	ADD COLUMN provider text,
	ADD PRIMARY KEY (batch_id, finished_at, id),
	DROP CONSTRAINT acteon_replay_tally_state_check,
	ADD CONSTRAINT acteon_replay_tally_state_check
		CHECK (state OPERATOR(pg_catalog.=) ANY ('{delivered,dead,cancelled,expired,in_doubt}'::text[]));

CREATE INDEX acteon_replay_tally_provider_idx ON acteon_replay_tally (provider, finished_at) WHERE provider IS NOT NULL;

COMMENT ON COLUMN acteon_replay_tally.provider IS 'Provider of the actions, for its circuit breaker; NULL: unknown, or the row is old and was made of several.';
COMMENT ON COLUMN acteon_replay_tally.state IS 'How the actions ended, as in acteon_dispatch_delivery; or in_doubt, for actions that were reported to be in doubt, which have not ended and count only for circuit breakers.';
COMMENT ON COLUMN acteon_replay_tally.id IS 'Random; makes the key of the row, which publications need.';
COMMENT ON COLUMN acteon_replay_tally.effect IS 'Effect of the outcome, as in acteon_dispatch_delivery.';

ALTER TABLE acteon_replay_log
	DROP CONSTRAINT acteon_replay_log_event_check,
	ADD CONSTRAINT acteon_replay_log_event_check
		CHECK (event OPERATOR(pg_catalog.=) ANY
			('{pause,resume,cancel,set_rate,continue,redrive,purge,breaker,api_key_create,api_key_revoke,settle,contradiction,failover,canary,limit_set,breaker_close,plan,await_approval,approve,notify_set,notify_drop,set_start,hand_over,policy_set,policy_drop,policy,patch,start,grant}'::text[])),
	ADD COLUMN api_key text;

-- The entries of a batch, the newest first.
CREATE INDEX acteon_replay_log_batch_idx ON acteon_replay_log (batch_id, id) WHERE batch_id IS NOT NULL;

COMMENT ON COLUMN acteon_replay_log.api_key IS 'Name of the API key with which it was done over HTTP; NULL: it was done otherwise.';

COMMENT ON TABLE acteon_replay_log IS
	'Log of control operations: one row for each pause, resume, cancel, change of rate, patch, continuation, redrive, purge, settled doubt, for each circuit breaker that opened, of a batch or of a provider, for each step of a canary that paused its batch, for each change of a limit or of a notification, for each circuit breaker of a provider that closed, for each API key that was created or revoked, for each contradiction and failover that was detected, for each batch that was made by a plan or has to be approved, for each approval, for each batch that began, whose start was moved or that was handed over, for policies that were set or dropped, and their decisions, and for each change of acteon_grants. Append-only. A role sees its own entries and those of the batches that it sees as a whole; roles with a gateway grant, or with an admin grant for everything, see all.';
COMMENT ON COLUMN acteon_replay_log.event IS 'What was done: pause, resume, cancel, set_rate, continue, redrive, purge, breaker, api_key_create, api_key_revoke, settle, contradiction (two ids of one action had an effect), failover (the database continues after a promotion or a restore), canary (a batch was paused after a step of its canary), limit_set, breaker_close (the circuit breaker of a provider closed, by itself or by hand), plan (a batch was made by a plan, whose digest the details have), await_approval (a batch was made that must be approved), approve, notify_set, notify_drop, set_start, hand_over, policy_set, policy_drop, policy (what a policy found out about a provider), patch (what waits of a batch was patched; the details have the patch and how many actions it changed), start (a batch began), grant (a row of acteon_grants was inserted, updated or deleted; the details have the old and the new row). The details of pause, resume, cancel and set_rate name the part of the batch, if it was not all of it; those of pause have "all", the time of the call, if it was one of acteon_replay_pause_all.';

ALTER TABLE acteon_replay_installation
	ADD COLUMN server text,
	ADD COLUMN database oid,
	ADD COLUMN folded_batch bigint;

COMMENT ON COLUMN acteon_replay_installation.folded_batch IS 'Last batch up to which a purge has folded acteon_replay_tally for good.';
COMMENT ON COLUMN acteon_replay_installation.server IS 'System identifier and timeline of the server that last wrote here. If they change, the server was promoted or restored, and the most recent commits may be lost.';
COMMENT ON COLUMN acteon_replay_installation.database IS 'OID of the database that was last written here, which changes when a dump is restored into another database of the same server.';

CREATE TABLE acteon_replay_limit (
	key bigint PRIMARY KEY CHECK (key OPERATOR(pg_catalog.<>) 0::bigint),
	kind text NOT NULL CHECK (kind OPERATOR(pg_catalog.=) ANY ('{provider,tenant}'::text[])),
	name text NOT NULL,
	rate numeric CHECK (rate OPERATOR(pg_catalog.>) 0::numeric),
	concurrency integer CHECK (concurrency OPERATOR(pg_catalog.>=) 0),
	tokens double precision NOT NULL DEFAULT 0,
	refilled_at timestamptz,
	breaker_window integer CHECK (breaker_window OPERATOR(pg_catalog.>=) 0),
	breaker_share numeric CHECK (breaker_share OPERATOR(pg_catalog.>=) 0::numeric AND breaker_share OPERATOR(pg_catalog.<) 1::numeric),
	breaker_since timestamptz,
	opened_at timestamptz,
	open_reason text,
	retry_at timestamptz,
	backoff integer,
	trial_id bigint,
	released_at timestamptz,
	set_by name,
	set_at timestamptz,
	reason text,
	UNIQUE (kind, name)
);

COMMENT ON TABLE acteon_replay_limit IS
	'What all batches together keep for a provider or a tenant: its rate and concurrency, and, for a provider, its circuit breaker. One row for each for which acteon_replay_limit_set was called or whose circuit breaker has opened. The view acteon_replay_limits shows it.';
COMMENT ON COLUMN acteon_replay_limit.key IS 'Hash of kind and name; segments note it.';
COMMENT ON COLUMN acteon_replay_limit.kind IS 'provider or tenant.';
COMMENT ON COLUMN acteon_replay_limit.name IS 'Name of the provider or tenant.';
COMMENT ON COLUMN acteon_replay_limit.rate IS 'Actions per second; NULL: no limit.';
COMMENT ON COLUMN acteon_replay_limit.concurrency IS 'Actions that may be leased at a time; NULL: no limit.';
COMMENT ON COLUMN acteon_replay_limit.tokens IS 'Actions that could be handed out at refilled_at.';
COMMENT ON COLUMN acteon_replay_limit.refilled_at IS 'Time to which tokens refers; NULL: as many as possible can be handed out.';
COMMENT ON COLUMN acteon_replay_limit.breaker_window IS 'Window of the circuit breaker, in deliveries; 0: there is none; NULL: 50.';
COMMENT ON COLUMN acteon_replay_limit.breaker_share IS 'Share of the window that may fail; NULL: 0.5.';
COMMENT ON COLUMN acteon_replay_limit.breaker_since IS 'When the circuit breaker was last closed: only later endings count, for it and for those of batches.';
COMMENT ON COLUMN acteon_replay_limit.opened_at IS 'When the circuit breaker opened; NULL: it is closed.';
COMMENT ON COLUMN acteon_replay_limit.open_reason IS 'Why it opened.';
COMMENT ON COLUMN acteon_replay_limit.retry_at IS 'When it next hands out one action as a trial.';
COMMENT ON COLUMN acteon_replay_limit.backoff IS 'Seconds from the last failure to retry_at.';
COMMENT ON COLUMN acteon_replay_limit.trial_id IS 'Outbox id of the trial that is out; NULL: none is.';
COMMENT ON COLUMN acteon_replay_limit.released_at IS 'When the limit was last changed or the circuit breaker closed: what a batch with a rate had waiting for it since before gets new due times.';
COMMENT ON COLUMN acteon_replay_limit.set_by IS 'Role that called acteon_replay_limit_set last; NULL: none did.';
COMMENT ON COLUMN acteon_replay_limit.set_at IS 'When it did.';
COMMENT ON COLUMN acteon_replay_limit.reason IS 'Its reason; NULL: none was given.';

ALTER TABLE acteon_replay_limit ENABLE ROW LEVEL SECURITY;
CREATE POLICY acteon_replay_limit_backup ON acteon_replay_limit FOR SELECT TO pg_read_all_data USING (true);
SELECT pg_catalog.pg_extension_config_dump('acteon_replay_limit', '');

CREATE FUNCTION acteon_replay_limit_refuse()
RETURNS trigger
AS 'MODULE_PATHNAME'
LANGUAGE C;

COMMENT ON FUNCTION acteon_replay_limit_refuse() IS
	'Trigger of acteon_replay_limit: refuses to delete rows.';

CREATE TRIGGER acteon_replay_limit_kept
	AFTER DELETE ON acteon_replay_limit
	FOR EACH ROW EXECUTE FUNCTION acteon_replay_limit_refuse();

CREATE TABLE acteon_replay_notify (
	name text COLLATE pg_catalog."C" PRIMARY KEY,
	provider text NOT NULL,
	action_type text NOT NULL,
	namespace text NOT NULL,
	tenant text NOT NULL,
	payload jsonb NOT NULL,
	events text[] NOT NULL
		CHECK (events OPERATOR(pg_catalog.<@) '{finished,cancelled,paused,canary,approval,interrupted,held}'::text[]),
	tenants text[],
	namespaces text[],
	min_actions integer NOT NULL CHECK (min_actions OPERATOR(pg_catalog.>) 0),
	set_by regrole NOT NULL,
	set_at timestamptz NOT NULL,
	reason text
);

COMMENT ON TABLE acteon_replay_notify IS
	'Notifications: which actions are enqueued when batches end, pause themselves or need a person. Written by acteon_replay_notify_set and acteon_replay_notify_drop. A role sees those whose action its grants cover.';
COMMENT ON COLUMN acteon_replay_notify.name IS 'Name of the notification.';
COMMENT ON COLUMN acteon_replay_notify.provider IS 'Provider of the action that is enqueued.';
COMMENT ON COLUMN acteon_replay_notify.action_type IS 'Type of the action.';
COMMENT ON COLUMN acteon_replay_notify.namespace IS 'Namespace of the action.';
COMMENT ON COLUMN acteon_replay_notify.tenant IS 'Tenant of the action.';
COMMENT ON COLUMN acteon_replay_notify.payload IS 'Template of its payload, with placeholders such as {{batch_id}}.';
COMMENT ON COLUMN acteon_replay_notify.events IS 'The events that are told.';
COMMENT ON COLUMN acteon_replay_notify.tenants IS 'Tells only about batches all of whose actions are of these tenants, or of tenants below them; NULL: any.';
COMMENT ON COLUMN acteon_replay_notify.namespaces IS 'Tells only about batches all of whose actions are of these namespaces; NULL: any.';
COMMENT ON COLUMN acteon_replay_notify.min_actions IS 'Tells of the end of a batch only if it has at least so many actions, or matched so many records.';
COMMENT ON COLUMN acteon_replay_notify.set_by IS 'Role that set it, to which the batches of its actions belong.';
COMMENT ON COLUMN acteon_replay_notify.set_at IS 'When it did.';
COMMENT ON COLUMN acteon_replay_notify.reason IS 'Its reason; NULL: none was given.';

ALTER TABLE acteon_replay_notify ENABLE ROW LEVEL SECURITY;
CREATE POLICY acteon_replay_notify_backup ON acteon_replay_notify FOR SELECT TO pg_read_all_data USING (true);
CREATE POLICY acteon_replay_notify_authorized ON acteon_replay_notify FOR SELECT
	USING (acteon_authorized(tenant, namespace, provider, action_type));
GRANT SELECT ON acteon_replay_notify TO PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('acteon_replay_notify', '');

CREATE TABLE acteon_dispatch_relay (
	id integer PRIMARY KEY,
	name text NOT NULL,
	target text NOT NULL
		CHECK (target COLLATE pg_catalog."C" OPERATOR(pg_catalog.~) '^[a-z][a-z0-9_-]{0,62}$'::text),
	gateway text,
	first_claim_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);

COMMENT ON TABLE acteon_dispatch_relay IS
	'The consumers that have been handed out actions: one row for each name, target and address. Insert-only; acteon_outbox_purge deletes those of which nothing else is left, once there are more than 1,000 that are old.';
COMMENT ON COLUMN acteon_dispatch_relay.id IS 'A hash of the following columns, or the next number that was free.';
COMMENT ON COLUMN acteon_dispatch_relay.name IS 'Name of the consumer, as it calls itself.';
COMMENT ON COLUMN acteon_dispatch_relay.target IS 'Target that it delivers to.';
COMMENT ON COLUMN acteon_dispatch_relay.gateway IS 'Address that it delivers to; NULL: it does not tell.';
COMMENT ON COLUMN acteon_dispatch_relay.first_claim_at IS 'When it was first handed out something.';

ALTER TABLE acteon_dispatch_relay ENABLE ROW LEVEL SECURITY;
CREATE POLICY acteon_dispatch_relay_backup ON acteon_dispatch_relay FOR SELECT TO pg_read_all_data USING (true);
SELECT pg_catalog.pg_extension_config_dump('acteon_dispatch_relay', '');

CREATE TABLE acteon_replay_begun (
	singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
	begun_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);

COMMENT ON TABLE acteon_replay_begun IS
	'Since when there are replays. It has a row as soon as acteon_replay_installation has one, and no row-level security, so that a dump cannot leave it out silently: where it has a row and acteon_replay_installation has none, replays and claims are refused.';
COMMENT ON COLUMN acteon_replay_begun.singleton IS 'Always true: there is at most one row.';
COMMENT ON COLUMN acteon_replay_begun.begun_at IS 'Time of the first replay, or of the first call of version 1.1.';

SELECT pg_catalog.pg_extension_config_dump('acteon_replay_begun', '');
INSERT INTO acteon_replay_begun (singleton) SELECT true FROM acteon_replay_installation;

-- Its rows are not dumped: a restored database has a secret of its own, and plans of before are not valid there.
CREATE TABLE acteon_replay_secret (
	id uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
	key bytea NOT NULL DEFAULT pg_catalog.sha256(pg_catalog.uuid_send(pg_catalog.gen_random_uuid()) OPERATOR(pg_catalog.||) pg_catalog.uuid_send(pg_catalog.gen_random_uuid())
		OPERATOR(pg_catalog.||) pg_catalog.uuid_send(pg_catalog.gen_random_uuid())),
	made_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
INSERT INTO acteon_replay_secret DEFAULT VALUES;

COMMENT ON TABLE acteon_replay_secret IS
	'The secret with which plans are sealed. Only its owner can read it. A new row (INSERT INTO acteon_replay_secret DEFAULT VALUES) and the deletion of the old one replace it; plans of before are not valid then. Its rows are not dumped.';
COMMENT ON COLUMN acteon_replay_secret.id IS 'Random; makes the key of the row, which publications need.';
COMMENT ON COLUMN acteon_replay_secret.key IS 'The secret: 32 random bytes.';
COMMENT ON COLUMN acteon_replay_secret.made_at IS 'Since when there is this secret.';

REVOKE ALL ON acteon_replay_secret FROM PUBLIC;
ALTER TABLE acteon_replay_secret ENABLE ROW LEVEL SECURITY;

-- What a session that was still at work has committed must be seen, too: its ids would be missing, and used twice.
DO $$
BEGIN
	IF pg_catalog.current_setting('transaction_isolation'::text) OPERATOR(pg_catalog.=) ANY ('{repeatable read,serializable}'::text[])
		AND pg_catalog.pg_relation_size('acteon_dispatch_outbox'::regclass) OPERATOR(pg_catalog.>) 0::bigint THEN
		RAISE EXCEPTION 'extension acteon_replay cannot be updated in a transaction that is %', pg_catalog.upper(pg_catalog.current_setting('transaction_isolation'::text))
			USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Use READ COMMITTED.';
	END IF;
END
$$;

-- Its index is made afterwards, which is faster, and replaces the one that is dropped.
CREATE TABLE acteon_dispatch_action (
	action_id uuid NOT NULL,
	outbox_id bigint NOT NULL
);
INSERT INTO acteon_dispatch_action (action_id, outbox_id) SELECT o.action_id, o.id FROM acteon_dispatch_outbox AS o;
ALTER TABLE acteon_dispatch_action ADD PRIMARY KEY (action_id);
ALTER TABLE acteon_dispatch_outbox DROP CONSTRAINT acteon_dispatch_outbox_action_id_key;

COMMENT ON TABLE acteon_dispatch_action IS
	'The ids of all replays. Rows stay when the replays are purged, so that no later replay gets an id that was used before.';
COMMENT ON COLUMN acteon_dispatch_action.action_id IS 'Id of the replay, as in acteon_dispatch_outbox.';
COMMENT ON COLUMN acteon_dispatch_action.outbox_id IS 'Its position in the outbox, where its row is unless it was purged.';

ALTER TABLE acteon_dispatch_action ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('acteon_dispatch_action', '');

-- Who may read an action may find it by its id.
CREATE POLICY acteon_dispatch_action_authorized ON acteon_dispatch_action FOR SELECT
	USING (EXISTS (SELECT FROM acteon_dispatch_outbox AS o WHERE o.id OPERATOR(pg_catalog.=) outbox_id));
GRANT SELECT ON acteon_dispatch_action TO PUBLIC;

CREATE TABLE acteon_replay_refused (
	batch_id bigint,
	number bigint,
	action_id text,
	namespace text,
	tenant text,
	provider text,
	action_type text,
	reason text NOT NULL,
	error text NOT NULL,
	PRIMARY KEY (batch_id, number)
);

COMMENT ON TABLE acteon_replay_refused IS
	'The records of a batch that could not be replayed, and why; acteon_replay_items(batch_id, ''refused'') lists them. Insert-only. Batches of version 1.0 and single replays have none. They are purged when their batch has been enqueued, or cancelled, for as long as acteon_outbox_purge is told to keep actions.';
COMMENT ON COLUMN acteon_replay_refused.batch_id IS 'The batch, in acteon_replay_batch.';
COMMENT ON COLUMN acteon_replay_refused.number IS 'Number of the record among the refused ones of its batch, from 1 on.';
COMMENT ON COLUMN acteon_replay_refused.action_id IS 'action_id of the audit record. NULL, like the following columns, if the record has none.';
COMMENT ON COLUMN acteon_replay_refused.namespace IS 'Namespace of the record.';
COMMENT ON COLUMN acteon_replay_refused.tenant IS 'Tenant of the record.';
COMMENT ON COLUMN acteon_replay_refused.provider IS 'Provider of the record, also if the batch sends its actions to another one.';
COMMENT ON COLUMN acteon_replay_refused.action_type IS 'Type of the action.';
COMMENT ON COLUMN acteon_replay_refused.reason IS 'Why it was refused, for programs: one of the reasons in not_replayed of acteon_replay_preview.';
COMMENT ON COLUMN acteon_replay_refused.error IS 'The same in words.';

ALTER TABLE acteon_replay_refused ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('acteon_replay_refused', '');
CREATE POLICY acteon_replay_refused_authorized ON acteon_replay_refused FOR SELECT
	USING (acteon_authorized(tenant, namespace, provider, action_type));
GRANT SELECT ON acteon_replay_refused TO PUBLIC;

/*
 * The trail: a chain of hashes of what was done, which acteon_outbox_check and
 * acteon_replay_verify compare with what is there.
 */

CREATE TABLE acteon_replay_trail (
	position bigint PRIMARY KEY CHECK (position OPERATOR(pg_catalog.>) 0::bigint),
	linked_at timestamptz NOT NULL,
	kind text NOT NULL CHECK (kind OPERATOR(pg_catalog.=) ANY ('{log,batch,removal,rows,deliveries,settled}'::text[])),
	reference bigint NOT NULL,
	batch_id bigint,
	offsets bytea NOT NULL,
	hashes bytea NOT NULL,
	hash bytea NOT NULL
);

CREATE INDEX acteon_replay_trail_reference_idx ON acteon_replay_trail (kind, reference);

COMMENT ON TABLE acteon_replay_trail IS
	'The chain of hashes of rows of the outbox, deliveries, batches, entries of the log, and removals, linked by acteon_replay_trail_link after they were committed. acteon_outbox_check and acteon_replay_verify compare them with what is there. Append-only; rows stay when what they are about is purged.';
COMMENT ON COLUMN acteon_replay_trail.position IS 'Position in the chain, from 1 on without gaps.';
COMMENT ON COLUMN acteon_replay_trail.linked_at IS 'When it was linked.';
COMMENT ON COLUMN acteon_replay_trail.kind IS 'What was linked: log (an entry of acteon_replay_log), batch (the columns of acteon_replay_batch that never change), removal (a row of acteon_replay_removal), rows (rows of acteon_dispatch_outbox), deliveries (rows of acteon_dispatch_delivery) or settled (the numbers up to which everything is linked).';
COMMENT ON COLUMN acteon_replay_trail.reference IS 'Number of the entry, batch or removal; for rows and deliveries, the first id of their block of 100 outbox ids; for settled, the position.';
COMMENT ON COLUMN acteon_replay_trail.batch_id IS 'Batch of the rows; NULL for other kinds.';
COMMENT ON COLUMN acteon_replay_trail.offsets IS 'One byte for each thing that was linked: how far its outbox id is behind reference.';
COMMENT ON COLUMN acteon_replay_trail.hashes IS 'The hash of each thing that was linked, 16 bytes each, in the same order. For settled, instead of hashes, hashed_from, log_id, batch_id, removal_id, outbox_id and finished_at of acteon_replay_trail_head, 8 bytes each (finished_at in microseconds since 2000), the most significant byte first.';
COMMENT ON COLUMN acteon_replay_trail.hash IS 'SHA-256 over the hash of the row before and the other columns of this one.';

CREATE TABLE acteon_replay_trail_head (
	singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
	hashed_from bigint NOT NULL DEFAULT 1,
	position bigint NOT NULL DEFAULT 0,
	hash bytea NOT NULL DEFAULT pg_catalog.decode(pg_catalog.repeat('0'::text, 64), 'hex'::text),
	log_id bigint NOT NULL DEFAULT 0,
	batch_id bigint NOT NULL DEFAULT 0,
	removal_id bigint NOT NULL DEFAULT 0,
	outbox_id bigint NOT NULL DEFAULT 0,
	finished_at timestamptz NOT NULL DEFAULT '-infinity',
	next_xid bigint NOT NULL DEFAULT 0,
	next_log_id bigint NOT NULL DEFAULT 0,
	next_batch_id bigint NOT NULL DEFAULT 0,
	next_removal_id bigint NOT NULL DEFAULT 0,
	next_outbox_id bigint NOT NULL DEFAULT 0,
	next_finished_at timestamptz NOT NULL DEFAULT '-infinity'
);

COMMENT ON TABLE acteon_replay_trail_head IS
	'How far the trail has come. It has one row as soon as something was linked or the extension was updated with actions of version 1.0.';
COMMENT ON COLUMN acteon_replay_trail_head.singleton IS 'Always true: there is at most one row.';
COMMENT ON COLUMN acteon_replay_trail_head.hashed_from IS 'Outbox id from which on all rows have a hash.';
COMMENT ON COLUMN acteon_replay_trail_head.position IS 'Position of the last link.';
COMMENT ON COLUMN acteon_replay_trail_head.hash IS 'Hash of the last link.';
COMMENT ON COLUMN acteon_replay_trail_head.log_id IS 'Entries of the log are linked up to this one, and none with a lower number is to come.';
COMMENT ON COLUMN acteon_replay_trail_head.batch_id IS 'The same for batches.';
COMMENT ON COLUMN acteon_replay_trail_head.removal_id IS 'The same for removals.';
COMMENT ON COLUMN acteon_replay_trail_head.outbox_id IS 'The same for rows of the outbox.';
COMMENT ON COLUMN acteon_replay_trail_head.finished_at IS 'The same for deliveries, by their times.';
COMMENT ON COLUMN acteon_replay_trail_head.next_xid IS 'As soon as all transactions with a lower id are over, the following columns take the place of the previous ones; 0: nothing is noted.';
COMMENT ON COLUMN acteon_replay_trail_head.next_log_id IS 'Highest number of an entry of the log that was drawn when next_xid was noted.';
COMMENT ON COLUMN acteon_replay_trail_head.next_batch_id IS 'The same for batches.';
COMMENT ON COLUMN acteon_replay_trail_head.next_removal_id IS 'The same for removals.';
COMMENT ON COLUMN acteon_replay_trail_head.next_outbox_id IS 'The same for rows of the outbox.';
COMMENT ON COLUMN acteon_replay_trail_head.next_finished_at IS 'When next_xid was noted.';

-- What was enqueued by version 1.0 has no hashes.
INSERT INTO acteon_replay_trail_head (hashed_from)
SELECT (o.last OPERATOR(pg_catalog.-) 1::bigint) OPERATOR(pg_catalog./) 100::bigint OPERATOR(pg_catalog.*) 100::bigint OPERATOR(pg_catalog.+) 101::bigint
FROM (SELECT pg_catalog.max(id) AS last FROM acteon_dispatch_outbox) AS o WHERE o.last IS NOT NULL;

CREATE TABLE acteon_replay_removal (
	id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
	removed_at timestamptz NOT NULL,
	event text NOT NULL CHECK (event OPERATOR(pg_catalog.=) ANY ('{purge,redrive,probes}'::text[])),
	first_id bigint NOT NULL,
	last_id bigint NOT NULL,
	part integer,
	ids bigint[] NOT NULL,
	hashes bytea
);

COMMENT ON TABLE acteon_replay_removal IS
	'What acteon_outbox_purge has removed from the outbox, the deliveries and, of probes of policies, from the batches, and acteon_outbox_redrive from the deliveries. Append-only.';
COMMENT ON COLUMN acteon_replay_removal.id IS 'Number of the removal.';
COMMENT ON COLUMN acteon_replay_removal.removed_at IS 'When it was removed.';
COMMENT ON COLUMN acteon_replay_removal.event IS 'purge, redrive, or probes (what a purge has removed from the batches; the ids are those of batches).';
COMMENT ON COLUMN acteon_replay_removal.first_id IS 'Lowest outbox id that is concerned.';
COMMENT ON COLUMN acteon_replay_removal.last_id IS 'Highest outbox id that is concerned.';
COMMENT ON COLUMN acteon_replay_removal.part IS 'Part of the outbox that was emptied between these ids; NULL: the actions in ids were removed.';
COMMENT ON COLUMN acteon_replay_removal.ids IS 'Outbox ids of the actions that were removed; of a part, of those that were kept.';
COMMENT ON COLUMN acteon_replay_removal.hashes IS 'Hashes of the deliveries that a redrive has removed, 16 bytes each; NULL for a purge.';

CREATE TRIGGER acteon_replay_trail_append_only
	BEFORE UPDATE OR DELETE OR TRUNCATE ON acteon_replay_trail
	FOR EACH STATEMENT EXECUTE FUNCTION acteon_replay_log_refuse();
CREATE TRIGGER acteon_replay_removal_append_only
	BEFORE UPDATE OR DELETE OR TRUNCATE ON acteon_replay_removal
	FOR EACH STATEMENT EXECUTE FUNCTION acteon_replay_log_refuse();
-- Also where a session plays the replica.
ALTER TABLE acteon_replay_trail ENABLE ALWAYS TRIGGER acteon_replay_trail_append_only;
ALTER TABLE acteon_replay_removal ENABLE ALWAYS TRIGGER acteon_replay_removal_append_only;

ALTER TABLE acteon_replay_trail ENABLE ROW LEVEL SECURITY;
ALTER TABLE acteon_replay_trail_head ENABLE ROW LEVEL SECURITY;
ALTER TABLE acteon_replay_removal ENABLE ROW LEVEL SECURITY;
CREATE POLICY acteon_replay_trail_backup ON acteon_replay_trail FOR SELECT TO pg_read_all_data USING (true);
CREATE POLICY acteon_replay_trail_head_backup ON acteon_replay_trail_head FOR SELECT TO pg_read_all_data USING (true);
CREATE POLICY acteon_replay_removal_backup ON acteon_replay_removal FOR SELECT TO pg_read_all_data USING (true);
SELECT pg_catalog.pg_extension_config_dump('acteon_replay_trail', '');
SELECT pg_catalog.pg_extension_config_dump('acteon_replay_trail_head', '');
SELECT pg_catalog.pg_extension_config_dump('acteon_replay_removal', '');
SELECT pg_catalog.pg_extension_config_dump('acteon_replay_removal_id_seq', '');

CREATE FUNCTION acteon_replay_trail_link(max_rows bigint DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'acteon_replay_trail_link'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_replay_trail_link(bigint) IS
'Links what was committed since the last call to the trail: rows of the outbox, deliveries, batches, entries of the log and removals. Returns how many links that are, not counting those of kind settled.

It looks at max_rows rows, or some more; NULL: at all. Nobody waits for it. If another session is linking at the moment, it does nothing, which a NOTICE tells. acteon_outbox_purge links everything before it removes something, so that it need not be called; what was not linked yet is not covered, so a job may call it every minute.

Errors: 42501 no gateway grant, 22023 bad argument.';

CREATE FUNCTION acteon_grants_logged()
RETURNS trigger
AS 'MODULE_PATHNAME'
LANGUAGE C;

COMMENT ON FUNCTION acteon_grants_logged() IS
	'Trigger of acteon_grants: logs a change with the old and the new row. Nothing is logged with check_function_bodies off, as when a dump is restored, and where a session plays the replica.';

CREATE TRIGGER acteon_grants_logged
	AFTER INSERT OR UPDATE OR DELETE ON acteon_grants
	FOR EACH ROW EXECUTE FUNCTION acteon_grants_logged();
CREATE TRIGGER acteon_grants_truncated
	AFTER TRUNCATE ON acteon_grants
	FOR EACH STATEMENT EXECUTE FUNCTION acteon_grants_logged();

-- What there is stays where it is: it is the first part.
DO $$
BEGIN
	FOR part IN 1 .. 15 LOOP
		EXECUTE pg_catalog.format('CREATE TABLE acteon_dispatch_outbox_%1$s (PRIMARY KEY (id)) INHERITS (acteon_dispatch_outbox)', part::text);
		EXECUTE pg_catalog.format('CREATE TABLE acteon_dispatch_delivery_%1$s (PRIMARY KEY (outbox_id)) INHERITS (acteon_dispatch_delivery)', part::text);
		EXECUTE pg_catalog.format('ALTER TABLE acteon_dispatch_delivery_%1$s ALTER COLUMN outcome SET STATISTICS 0', part::text);
		EXECUTE pg_catalog.format('CREATE INDEX acteon_dispatch_delivery_%1$s_finished_idx ON acteon_dispatch_delivery_%1$s USING brin (finished_at) WITH (pages_per_range = 32, autosummarize = on)', part::text);
		EXECUTE pg_catalog.format('CREATE INDEX acteon_dispatch_delivery_%1$s_dead_idx ON acteon_dispatch_delivery_%1$s (outbox_id) INCLUDE (relay) WHERE state OPERATOR(pg_catalog.=) ''dead''::text', part::text);
		EXECUTE pg_catalog.format('COMMENT ON TABLE acteon_dispatch_outbox_%1$s IS ''Part %1$s of acteon_dispatch_outbox, which shows its rows.''', part::text);
		EXECUTE pg_catalog.format('COMMENT ON TABLE acteon_dispatch_delivery_%1$s IS ''Part %1$s of acteon_dispatch_delivery, which shows its rows.''', part::text);
		-- Who reads them reads the whole table, whose policies apply.
		EXECUTE pg_catalog.format('ALTER TABLE acteon_dispatch_outbox_%1$s ENABLE ROW LEVEL SECURITY', part::text);
		EXECUTE pg_catalog.format('ALTER TABLE acteon_dispatch_delivery_%1$s ENABLE ROW LEVEL SECURITY', part::text);
		EXECUTE pg_catalog.format('CREATE POLICY acteon_dispatch_outbox_%1$s_backup ON acteon_dispatch_outbox_%1$s FOR SELECT TO pg_read_all_data USING (true)', part::text);
		EXECUTE pg_catalog.format('CREATE POLICY acteon_dispatch_delivery_%1$s_backup ON acteon_dispatch_delivery_%1$s FOR SELECT TO pg_read_all_data USING (true)', part::text);
		PERFORM pg_catalog.pg_extension_config_dump(pg_catalog.format('acteon_dispatch_outbox_%s', part::text)::regclass, '');
		PERFORM pg_catalog.pg_extension_config_dump(pg_catalog.format('acteon_dispatch_delivery_%s', part::text)::regclass, '');
		-- Else the planner takes an empty part for one of some hundred rows, and reads whole tables.
		EXECUTE pg_catalog.format('ANALYZE acteon_dispatch_outbox_%1$s, acteon_dispatch_delivery_%1$s', part::text);
	END LOOP;
END
$$;

/*
 * Sessions keep the grants that they have read until this trigger announces a change.
 */

CREATE FUNCTION acteon_grants_changed()
RETURNS trigger
AS 'MODULE_PATHNAME'
LANGUAGE C;

COMMENT ON FUNCTION acteon_grants_changed() IS
	'Trigger of acteon_grants: announces a change, so that sessions read the grants again. While it is missing or disabled, they read them at each call.';

CREATE TRIGGER acteon_grants_changed
	AFTER INSERT OR UPDATE OR DELETE ON acteon_grants
	FOR EACH ROW EXECUTE FUNCTION acteon_grants_changed();
-- Also where a session plays the replica.
ALTER TABLE acteon_grants ENABLE ALWAYS TRIGGER acteon_grants_changed;

/*
 * Roles are kept by OID, so that they follow ALTER ROLE ... RENAME, and dumped by
 * name, so that a dump can be restored where they have other OIDs, or do not exist.
 */

CREATE TYPE acteon_role;

CREATE FUNCTION acteon_role_in(name cstring)
RETURNS acteon_role
AS 'MODULE_PATHNAME'
LANGUAGE C STABLE STRICT PARALLEL SAFE;

CREATE FUNCTION acteon_role_out(role acteon_role)
RETURNS cstring
AS 'MODULE_PATHNAME'
LANGUAGE C STABLE STRICT PARALLEL SAFE;

CREATE FUNCTION acteon_role_recv(message internal)
RETURNS acteon_role
AS 'MODULE_PATHNAME'
LANGUAGE C STABLE STRICT PARALLEL SAFE;

CREATE FUNCTION acteon_role_send(role acteon_role)
RETURNS bytea
AS 'MODULE_PATHNAME'
LANGUAGE C STABLE STRICT PARALLEL SAFE;

CREATE TYPE acteon_role (
	INPUT = acteon_role_in,
	OUTPUT = acteon_role_out,
	RECEIVE = acteon_role_recv,
	SEND = acteon_role_send,
	LIKE = pg_catalog.oid
);

CREATE CAST (acteon_role AS oid) WITHOUT FUNCTION AS IMPLICIT;
CREATE CAST (oid AS acteon_role) WITHOUT FUNCTION AS ASSIGNMENT;
CREATE CAST (integer AS acteon_role) WITHOUT FUNCTION AS ASSIGNMENT;

COMMENT ON TYPE acteon_role IS
	'A role that may have been dropped: its OID, like regrole. As text it is the present name, empty if there is no such role; reading an unknown name gives no role.';
COMMENT ON FUNCTION acteon_role_in(cstring) IS 'Input function of acteon_role.';
COMMENT ON FUNCTION acteon_role_out(acteon_role) IS 'Output function of acteon_role.';
COMMENT ON FUNCTION acteon_role_recv(internal) IS 'Binary input function of acteon_role.';
COMMENT ON FUNCTION acteon_role_send(acteon_role) IS 'Binary output function of acteon_role.';

-- In 1.0 name and OID together say who it was: where they do not fit, nobody.
CREATE FUNCTION acteon_role_of_1_0(name, oid)
RETURNS oid
LANGUAGE sql STABLE STRICT
AS $$
	SELECT coalesce((SELECT r.oid FROM pg_catalog.pg_roles AS r
					 WHERE r.oid OPERATOR(pg_catalog.=) $2 AND r.rolname OPERATOR(pg_catalog.=) $1), 0::oid)
$$;

DROP POLICY acteon_replay_batch_authorized ON acteon_replay_batch;
DROP POLICY acteon_replay_log_authorized ON acteon_replay_log;
ALTER TABLE acteon_replay_batch
	ALTER COLUMN requested_by_oid TYPE acteon_role USING acteon_role_of_1_0(requested_by, requested_by_oid)::acteon_role,
	ADD COLUMN session_role_oid acteon_role,
	ADD COLUMN parts jsonb,
	ADD COLUMN owner_oid acteon_role,
	ADD COLUMN api_key text,
	ADD COLUMN rows_hash bytea,
	ADD CONSTRAINT acteon_replay_batch_parts_check
		CHECK (pg_catalog.jsonb_typeof(parts) OPERATOR(pg_catalog.=) 'array'::text);
ALTER TABLE acteon_replay_log
	ALTER COLUMN role_oid TYPE acteon_role USING acteon_role_of_1_0(role_name, role_oid)::acteon_role;
DROP FUNCTION acteon_role_of_1_0(name, oid);

COMMENT ON COLUMN acteon_replay_batch.api_key IS 'Name of the API key with which the call was made over HTTP; NULL: it was made otherwise.';
COMMENT ON COLUMN acteon_replay_batch.rows_hash IS 'Hash of the hashes of its rows in the outbox, in their order; NULL: it has none, or some rows were enqueued by version 1.0.';
-- Behind all others: the library has them in this order.
ALTER TABLE acteon_replay_batch
	ADD COLUMN told text[]
		CHECK (told OPERATOR(pg_catalog.<@) '{finished,cancelled,paused,canary,approval,interrupted,held}'::text[]),
	ADD COLUMN probe_of text,
	ADD COLUMN patches jsonb;

-- Purges look at the probes.
CREATE INDEX acteon_replay_batch_probe_idx ON acteon_replay_batch (id) WHERE probe_of IS NOT NULL;

-- Claims look at the batches that are watched, which are few.
CREATE INDEX acteon_replay_batch_told_idx ON acteon_replay_batch (id) WHERE told IS NOT NULL;

COMMENT ON COLUMN acteon_replay_batch.patches IS 'Patches that acteon_replay_patch has applied to what waited, an array: merge patches, and objects with patch_path and patch_value. That of the replay itself is in query. NULL: none.';
COMMENT ON COLUMN acteon_replay_batch.told IS 'The events that notifications were told and that still hold (acteon_replay_notify); NULL: there are no notifications, its end was told, or it is itself a notification.';
COMMENT ON COLUMN acteon_replay_batch.probe_of IS 'Policy whose probe it is: acteon_outbox_purge deletes it when its action is gone. NULL: it is no probe.';
COMMENT ON COLUMN acteon_replay_batch.session_role_oid IS 'OID of session_role, which follows ALTER ROLE ... RENAME; over HTTP, that of the role of the API key. NULL for batches of version 1.0.';
COMMENT ON COLUMN acteon_replay_batch.parts IS 'Parts that are steered on their own: an array of objects with tenant or provider, or the number of named action_ids; the state (paused, cancelled or running), or the rate and its number (pace); who has set it, when and why. The last one that an action belongs to holds. NULL: none.';
COMMENT ON COLUMN acteon_replay_batch.owner_oid IS 'Role that the batch was handed over to, which steers it in place of requested_by; NULL: it was not handed over.';

CREATE POLICY acteon_replay_batch_authorized ON acteon_replay_batch FOR SELECT
	USING (EXISTS (SELECT FROM pg_catalog.pg_roles AS r
				   WHERE r.rolname OPERATOR(pg_catalog.=) current_user
					   AND r.oid OPERATOR(pg_catalog.=) requested_by_oid::oid)
		   OR (scope OPERATOR(pg_catalog.<>) '[]'::jsonb
			   AND NOT EXISTS (SELECT FROM pg_catalog.jsonb_array_elements(scope) AS s (element)
							   WHERE NOT acteon_authorized(element OPERATOR(pg_catalog.->>) 0, element OPERATOR(pg_catalog.->>) 1,
								   element OPERATOR(pg_catalog.->>) 2, element OPERATOR(pg_catalog.->>) 3))));
CREATE POLICY acteon_replay_log_authorized ON acteon_replay_log FOR SELECT
	USING (EXISTS (SELECT FROM acteon_grants AS g
				   WHERE g.role OPERATOR(pg_catalog.=) 'gateway'::text
					   OR (g.role OPERATOR(pg_catalog.=) 'admin'::text
						   AND '*'::text OPERATOR(pg_catalog.=) ANY (g.tenants) AND '*'::text OPERATOR(pg_catalog.=) ANY (g.namespaces)
						   AND '*'::text OPERATOR(pg_catalog.=) ANY (g.providers) AND '*'::text OPERATOR(pg_catalog.=) ANY (g.actions)))
		   OR EXISTS (SELECT FROM pg_catalog.pg_roles AS r
					  WHERE r.rolname OPERATOR(pg_catalog.=) current_user
						  AND r.oid OPERATOR(pg_catalog.=) role_oid::oid)
		   OR EXISTS (SELECT FROM acteon_replay_batch AS b WHERE b.id OPERATOR(pg_catalog.=) batch_id));

/*
 * Backups.  A member of pg_read_all_data dumps everything, with --enable-row-security or,
 * if it has BYPASSRLS, without: a dump that lacks rows would have replays made again where
 * it is restored.
 */

CREATE POLICY acteon_grants_backup ON acteon_grants FOR SELECT TO pg_read_all_data USING (true);
CREATE POLICY acteon_replay_installation_backup ON acteon_replay_installation FOR SELECT TO pg_read_all_data USING (true);
CREATE POLICY acteon_replay_batch_backup ON acteon_replay_batch FOR SELECT TO pg_read_all_data USING (true);
CREATE POLICY acteon_dispatch_outbox_backup ON acteon_dispatch_outbox FOR SELECT TO pg_read_all_data USING (true);
CREATE POLICY acteon_dispatch_segment_backup ON acteon_dispatch_segment FOR SELECT TO pg_read_all_data USING (true);
CREATE POLICY acteon_dispatch_delivery_backup ON acteon_dispatch_delivery FOR SELECT TO pg_read_all_data USING (true);
CREATE POLICY acteon_dispatch_action_backup ON acteon_dispatch_action FOR SELECT TO pg_read_all_data USING (true);
CREATE POLICY acteon_replay_refused_backup ON acteon_replay_refused FOR SELECT TO pg_read_all_data USING (true);
CREATE POLICY acteon_replay_tally_backup ON acteon_replay_tally FOR SELECT TO pg_read_all_data USING (true);
CREATE POLICY acteon_replay_log_backup ON acteon_replay_log FOR SELECT TO pg_read_all_data USING (true);
CREATE POLICY acteon_api_keys_backup ON acteon_api_keys FOR SELECT TO pg_read_all_data USING (true);
CREATE POLICY acteon_api_answers_backup ON acteon_api_answers FOR SELECT TO pg_read_all_data USING (true);

-- pg_dump turns row-level security off unless it is told otherwise, which the server refuses to such roles.
DO $$
DECLARE
	backup text;
BEGIN
	SELECT pg_catalog.string_agg(pg_catalog.quote_ident(r.rolname), ', '::text ORDER BY r.rolname) INTO backup
	FROM pg_catalog.pg_roles AS r
	WHERE r.rolcanlogin AND NOT r.rolsuper AND NOT r.rolbypassrls
		AND pg_catalog.pg_has_role(r.oid, 'pg_read_all_data'::name, 'USAGE'::text);
	IF backup IS NOT NULL THEN
		RAISE WARNING 'pg_dump of this database will fail for these members of pg_read_all_data: %', backup
			USING HINT = 'If they make backups, give them BYPASSRLS (ALTER ROLE ... BYPASSRLS), or use pg_dump --enable-row-security.';
	END IF;
END
$$;

-- What 1.0 has handed out may have been sent, so it is looked up in the audit table first.
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
ALTER FUNCTION acteon_replay_items(bigint, text) RENAME TO acteon_replay_items_1_0;
ALTER FUNCTION acteon_outbox_check() RENAME TO acteon_outbox_check_1_0;
ALTER FUNCTION acteon_replay_lineage(text) RENAME TO acteon_replay_lineage_1_0;
ALTER FUNCTION acteon_replay_pause(bigint, text) RENAME TO acteon_replay_pause_1_0;
ALTER FUNCTION acteon_replay_resume(bigint, text) RENAME TO acteon_replay_resume_1_0;
ALTER FUNCTION acteon_replay_cancel(bigint, text) RENAME TO acteon_replay_cancel_1_0;
ALTER FUNCTION acteon_replay_set_rate(bigint, numeric, text) RENAME TO acteon_replay_set_rate_1_0;
ALTER FUNCTION acteon_dispatch_lane(text, text) RENAME TO acteon_dispatch_lane_1_0;

/*
 * Effects
 */

CREATE FUNCTION acteon_effect(outcome text, details jsonb DEFAULT NULL, provider text DEFAULT NULL, action_type text DEFAULT NULL,
	duration_ms bigint DEFAULT NULL)
RETURNS text
LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';

COMMENT ON FUNCTION acteon_effect(text, jsonb, text, text, bigint) IS
	'Returns the effect of an audit record, given its columns outcome, outcome_details, provider, action_type and duration_ms: done, none, later (the gateway will continue with it), decided (the gateway chose not to execute it) or unknown. If an argument is NULL the result may be unknown, but is never wrong.';

CREATE FUNCTION acteon_answer_effect(answer jsonb)
RETURNS text
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';

COMMENT ON FUNCTION acteon_answer_effect(jsonb) IS
	'Returns the effect of an answer of the gateway to POST /v1/dispatch, such as {"Executed": {"status": "success"}}: done, none, later, decided or unknown, as for acteon_effect.';

CREATE FUNCTION acteon_answer_name(answer jsonb)
RETURNS text
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';

COMMENT ON FUNCTION acteon_answer_name(jsonb) IS
	'Returns the name of the outcome in an answer of the gateway to POST /v1/dispatch: Executed for {"Executed": {"status": "success"}}, NULL if there is none.';

/*
 * How a batch begins.  It is a text, which may also be given as a boolean.
 */

CREATE TYPE acteon_canary;

CREATE FUNCTION acteon_canary_in(value cstring)
RETURNS acteon_canary
AS 'textin'
LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION acteon_canary_out(value acteon_canary)
RETURNS cstring
AS 'textout'
LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION acteon_canary_recv(message internal)
RETURNS acteon_canary
AS 'textrecv'
LANGUAGE internal STABLE STRICT PARALLEL SAFE;

CREATE FUNCTION acteon_canary_send(value acteon_canary)
RETURNS bytea
AS 'textsend'
LANGUAGE internal STABLE STRICT PARALLEL SAFE;

CREATE TYPE acteon_canary (
	INPUT = acteon_canary_in,
	OUTPUT = acteon_canary_out,
	RECEIVE = acteon_canary_recv,
	SEND = acteon_canary_send,
	LIKE = pg_catalog.text
);

CREATE FUNCTION acteon_canary(value boolean)
RETURNS acteon_canary
AS 'booltext'
LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE;

CREATE CAST (boolean AS acteon_canary) WITH FUNCTION acteon_canary(boolean) AS IMPLICIT;
CREATE CAST (text AS acteon_canary) WITHOUT FUNCTION AS IMPLICIT;

COMMENT ON TYPE acteon_canary IS
	'How a batch begins: off, auto or hold; true and false are the same as hold and off. It is text to which booleans are cast implicitly.';
COMMENT ON FUNCTION acteon_canary_in(cstring) IS 'Input function of acteon_canary.';
COMMENT ON FUNCTION acteon_canary_out(acteon_canary) IS 'Output function of acteon_canary.';
COMMENT ON FUNCTION acteon_canary_recv(internal) IS 'Binary input function of acteon_canary.';
COMMENT ON FUNCTION acteon_canary_send(acteon_canary) IS 'Binary output function of acteon_canary.';
COMMENT ON FUNCTION acteon_canary(boolean) IS 'Casts a boolean to acteon_canary.';

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
	patch jsonb DEFAULT NULL,
	expire_after interval DEFAULT NULL,
	allow_ended boolean DEFAULT false,
	target text DEFAULT 'production',
	patch_path text DEFAULT NULL,
	patch_value jsonb DEFAULT NULL,
	verify text DEFAULT 'off',
	from_time timestamptz DEFAULT NULL,
	to_time timestamptz DEFAULT NULL,
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
	patch jsonb DEFAULT NULL,
	expire_after interval DEFAULT NULL,
	allow_ended boolean DEFAULT false,
	target text DEFAULT 'production',
	patch_path text DEFAULT NULL,
	patch_value jsonb DEFAULT NULL,
	verify text DEFAULT 'off',
	from_time timestamptz DEFAULT NULL,
	to_time timestamptz DEFAULT NULL,
	OUT original_action_id text,
	OUT new_action_id uuid,
	OUT success boolean,
	OUT error text)
RETURNS record
AS 'MODULE_PATHNAME', 'acteon_replay_text'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_replay(uuid, text, boolean, boolean, text, text, boolean, text, jsonb, interval, boolean, text, text, jsonb, text, timestamptz, timestamptz) IS
'Replays one action: reads its latest audit record, checks the caller''s grants, reconstructs the action and puts it into the outbox under a new id. The uuid form is equivalent to the lower-case text of the id.

If the action has several records, the one with the latest dispatched_at is used, and an outcome rather than an intent with the same time. If that is the record of a step or of the end of a chain, the record of the chain''s start (chain_started) is used instead, because it contains what the client sent.

Because the caller named the action, it is replayed even if it was replayed before, which raises a NOTICE, or took effect, itself or by an earlier replay, which raises a WARNING with the time. The only exception is a race: if another session is replaying the same action at the same time, the call waits for it and makes no second replay; success is then false, and new_action_id is the replay that the other session made. If one statement calls the function twice for an action, the second call gets the same answer. All other problems are errors.

An intent (the record of an action whose outcome is unknown) needs allow_unproven, and usually allow_partial as well, because it does not show whether the action had attachments. An intent younger than acteon_replay.intent_grace, measured against the newest record of the table, is replayed with a WARNING: the gateway may still be executing it. If acteon_replay.audit_is_live is off, intents are refused.

Also refused are the gateway''s own records (notifications of groups, transitions of A2A tasks, the management of recurring actions), a step or the end of a chain whose start has no record, and a record that cannot be read because its row or TOAST data is damaged or its JSON is nested too deeply; the error names the record''s id.

A table that is partitioned by dispatched_at is searched from its newest partitions on, and the search stops at the first record. from_time and to_time limit it to a range of times, both inclusive: the latest record in the range is used. The record of a chain''s start may be older than from_time.

The checks are made in the order role, audit table, record, grant, payload. max_generation and max_depth of acteon_replay_bulk do not apply to an action that the caller names.

Arguments:
action_id: the action''s id, as in the audit table
reason, allow_redacted, allow_partial, dedup, provider_override, allow_unproven, on_doubt, patch, expire_after, allow_ended, target, patch_path, patch_value, verify, from_time, to_time: as for acteon_replay_bulk

Returns:
original_action_id: the given id
new_action_id: the id of the replay
success: true if this call made the replay
error: why this call did not make the replay

Errors: 42501 role or grant, 42P01 no audit table, P0002 no record, 55000 no payload, redacted payload, lost attachments, an intent, a record of the gateway''s own or one that cannot be read, an expired action, with verify a record that does not fit into the hash chain, 22023 bad argument.';
COMMENT ON FUNCTION acteon_replay(text, text, boolean, boolean, text, text, boolean, text, jsonb, interval, boolean, text, text, jsonb, text, timestamptz, timestamptz) IS
	'Replays one action whose id may be any string; otherwise the same as acteon_replay(uuid). An untyped literal selects this form.';

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
	signature text DEFAULT NULL,
	signature_rules text DEFAULT NULL,
	action_ids text[] DEFAULT NULL,
	exclude_ids text[] DEFAULT NULL,
	exclude jsonb DEFAULT NULL,
	tenant_tree text DEFAULT NULL,
	error_like text DEFAULT NULL,
	payload jsonb DEFAULT NULL,
	payload_path text DEFAULT NULL,
	canary acteon_canary DEFAULT NULL,
	patch jsonb DEFAULT NULL,
	expire_after interval DEFAULT NULL,
	allow_ended boolean DEFAULT false,
	target text DEFAULT 'production',
	patch_path text DEFAULT NULL,
	patch_value jsonb DEFAULT NULL,
	verify text DEFAULT 'off',
	plan text DEFAULT NULL,
	OUT batch_id bigint,
	OUT replayed integer,
	OUT failed integer,
	OUT skipped integer,
	OUT results jsonb,
	OUT next_cursor text)
RETURNS record
AS 'MODULE_PATHNAME', 'acteon_replay_bulk'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_replay_bulk(text, text, text, text, text, text, text, timestamptz, timestamptz, integer, text, text, boolean, boolean, boolean, text, numeric, timestamptz, text, boolean, text, text, integer, integer, integer, numeric, boolean, boolean, boolean, boolean, boolean, text, text, text, text[], text[], jsonb, text, text, jsonb, text, acteon_canary, jsonb, interval, boolean, text, text, jsonb, text, text) IS
'Replays the actions whose audit records match every given filter, oldest first, in one transaction. At least one filter is required; from_time, to_time and lost => true each count as a filter, and so does an empty text, which finds only records with an empty text. exclude and exclude_ids do not. A NOTICE names ids of action_ids and exclude_ids that have no record. If no record matches, a NOTICE for each text that no record was found with names up to three of the closest values that exist in records that the caller''s grants cover for reading; a bounded number of records is read for that. A NOTICE also tells if more records match than max_records allows by default.

Arguments:
namespace: only records with exactly this namespace
tenant: only records with exactly this tenant; acme does not include acme.eu-west here
provider: only records with exactly this provider
action_type: only records with exactly this action type
outcome: only records with this outcome, or with one of several, separated by commas, as in ''failed,circuit_open''. Intents (pending) are left out unless they are named
verdict: only records with exactly this verdict
matched_rule: only records that this rule matched
from_time: only records dispatched at this time or later
to_time: only records dispatched at this time or earlier
max_records: how many records to attempt or skip, 1 to 1000. acteon_replay_bulk reduces a larger number to 1000, with a NOTICE. acteon_replay_all and acteon_replay_preview accept any number; their default is all records
caller_id: only records of this caller, if the gateway''s version records it
chain_id: only records of this chain, if the gateway''s version records it
include_replayed: also actions that already have a replay which is waiting, running, in doubt or delivered
allow_redacted: also payloads that contain the redaction placeholder, which is then sent
newest_first: the newest records first. By default the oldest come first, so that the effects occur in their original order
cursor: continue after the last record that an earlier call examined. The filters, exclusions, lost, the times and newest_first must be the same; the rest may change. Pass next_cursor of that call
rate: actions per second, at least 0.001: determines when each action is due. Without it there is no limit
start_at: no action is due before this time
reason: the reason, which is stored with the batch or in the log. acteon_replay.require_reason makes it mandatory
allow_partial: also actions that had attachments, which are not in the audit table, and intents, which do not show whether there were any; they are sent without attachments
dedup: whether to keep the actions'' dedup keys, or to drop them so that the gateway cannot answer Deduplicated
provider_override: send the actions to this provider instead of the record''s; a grant must cover both
max_generation: an action that has already been replayed this many times fails; cancelled and expired replays do not count
max_depth: an action that is already this many replays away from its original fails
breaker_window: circuit breaker: the batch pauses itself when more than breaker_share of its last breaker_window deliveries failed. The following count as failed: actions without effect, whatever their outcome; Failed ones, whatever their effect; dead ones; and each action in doubt, once. 0 turns the circuit breaker off
breaker_share: share of the last breaker_window deliveries that may fail before the batch pauses itself, at least 0 and below 1
ramp: with a rate, send the first tenth of the actions at a tenth of the rate and the rest at the full rate. What is left of that tenth stays slow after a pause, after a change of the rate, and after a time in which no consumer claimed actions
lost: only actions that were lost, whatever their outcome: those that had no effect, and those that failed, unless a later record shows another result. Cannot be combined with outcome
certain: of the actions that lost selects, only those that certainly had no effect: no timeouts or connection resets
allow_effective: also actions that took effect or will take effect. Without it they are passed over, and a call that selects nothing else (outcome executed) is refused
allow_unproven: also intents, whose outcome is unknown. Without it a call for these (outcome pending) is refused
on_doubt: what to do if it cannot be determined whether an action was executed: resend (it is sent once more, under a new id) or hold (a person decides)
signature: only records whose error has this signature, which acteon_replay_causes shows; an error text can be given as it is. With lost it is the error of the last record of an action that counts
signature_rules: what to replace in errors to get their signatures, separated by commas: url, email, uuid, time, ip, host, quoted, hex, id, number. By default all of these
action_ids: only records of these actions, at most 100000. Ids without a record are counted and reported. An empty list selects nothing. Use ARRAY(SELECT ...) for the result of a query: array_agg returns NULL for no rows, which is the same as no filter
exclude_ids: no records of these actions, at most 100000. It does not count as a filter
exclude: no records that match all keys of this object, which are filters in the wire form, as in {"provider": "email", "tenant": "acme"}. It does not count as a filter
tenant_tree: only records of this tenant and of those below it: acme includes acme.eu-west, but not acmecorp
error_like: only records whose error, from which acteon_replay_causes makes signatures, matches this pattern of LIKE, in which % stands for any text and _ for one character; upper and lower case differ. With lost it is the error of the last record of an action that counts
payload: only records whose payload contains this JSON, as the operator @> of jsonb determines. Payloads that are missing or encrypted, or contain the redaction placeholder, never match
payload_path: only records in whose payload this SQL/JSON path finds something, as the operator @? of jsonb determines. Errors in the evaluation, and payloads that payload never matches, count as nothing found
canary: send the first 1, 2, 5, 20, 100, 1000 and 10000 actions before the others, and judge each of these steps by the audit records of its actions. auto: the next step begins when the actions have taken effect, otherwise the batch is paused; hold, or true: the batch is paused after each step until acteon_replay_resume begins the next one; off, or false: all actions at once. By default, batches of more than 100 actions begin with auto
patch: a merge patch (RFC 7396) for the payloads: an object whose members replace those of a payload, in objects within objects, too; a member that is null is removed. The audit records are not changed. Every record needs an admin grant, or one with may_patch
expire_after: how old an action may be when it is sent, counted from the dispatched_at of its record: records that are older already are passed over, and what could only be sent later ends expired and is not sent. A day is 24 hours, a month 30 days
allow_ended: disregard the actions'' own ends_at. Without it, an action is not sent at its ends_at or later, as with expire_after; an ends_at that had passed when the record was dispatched does not count
target: where the actions are delivered to: only consumers of this target are handed them out (acteon-relay --target). Replays to one target are no replays for another. Targets other than production must be listed in acteon_replay.targets; their actions in doubt are held, whatever on_doubt is, because their gateways keep their records elsewhere
patch_path: an SQL/JSON path to places of the payloads, which are given the value of patch_value: keys, elements ([*], [2], [last]), all levels (.**), and filters about @. What it does not find in a payload is not added. It takes the place of patch, and needs the same grants
patch_value: the value for the places that patch_path finds; it may be the JSON null
verify: whether records must fit into the hash chain that the gateway writes in its compliance mode. With required, each must have the hash of its hashed columns, and the record with the sequence_number before it must be there and have the hash that it names; others fail, those without a hash among them. The rest of the chain is not checked (see acteon_audit_verify), and payload and metadata are not hashed: that they are unchanged is not shown
plan: replay exactly what a preview has shown: the plan that it returned. It contains the query, so no other argument is needed; if others are given, they must be those of the preview, except for the reason. If anything has changed since, the call is refused and says what; nothing is replayed then

Returns:
batch_id: number of the batch; NULL if nothing was replayed, failed or skipped
replayed: actions put into the outbox
failed: records that could not be replayed, for reasons that results shows; the others are replayed nevertheless
skipped: records that no grant of the caller covers, or that have no stored payload
results: for each replayed or failed record {"original_action_id", "new_action_id", "success", "error"}
next_cursor: pass it as cursor to continue; NULL at the end

Errors: 22023 bad argument, a plan that this installation has not made, no filter, only actions that took effect without allow_effective, or intents without allow_unproven, 22025 error_like ends with an escape character, 42501 role, 42P01 no audit table, 55000 intents of a copy, a plan that no longer holds, more records than acteon_replay.plan_above without a plan, or than acteon_replay.approval_above.';
COMMENT ON FUNCTION acteon_replay_bulk(jsonb) IS
	'The same in the gateway''s wire form: takes an object whose keys are the names of the arguments, except from, to and limit instead of from_time, to_time and max_records; order (oldest or newest) can be used instead of newest_first. With fill_limit (true) the limit counts only what is replayed, so that records that are skipped or fail do not keep a caller without a cursor from those behind them: as many failures as the limit are returned, further ones count as skipped, and the call reads until there is something to replay, and then 10000 more records at most. Times are in RFC 3339 format with a time zone; a null value is the same as a missing key; an unknown key is an error. Returns {"replayed", "failed", "skipped", "results", "batch_id", "next_cursor", "effective", "expired"}; effective is the number of records that were passed over because their actions took effect, and expired of those whose actions had expired. Always write the cast, acteon_replay_bulk(''{...}''::jsonb): a literal without it is taken for the namespace argument of the other form. Errors: as for the other form.';

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
	signature text DEFAULT NULL,
	signature_rules text DEFAULT NULL,
	action_ids text[] DEFAULT NULL,
	exclude_ids text[] DEFAULT NULL,
	exclude jsonb DEFAULT NULL,
	tenant_tree text DEFAULT NULL,
	error_like text DEFAULT NULL,
	payload jsonb DEFAULT NULL,
	payload_path text DEFAULT NULL,
	canary acteon_canary DEFAULT NULL,
	patch jsonb DEFAULT NULL,
	expire_after interval DEFAULT NULL,
	allow_ended boolean DEFAULT false,
	target text DEFAULT 'production',
	patch_path text DEFAULT NULL,
	patch_value jsonb DEFAULT NULL,
	verify text DEFAULT 'off',
	sample integer DEFAULT 5,
	OUT section text,
	OUT item text,
	OUT matched bigint,
	OUT replayable bigint,
	OUT note text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'acteon_replay_preview'
LANGUAGE C VOLATILE CALLED ON NULL INPUT ROWS 50;

COMMENT ON FUNCTION acteon_replay_preview(text, text, text, text, text, text, text, timestamptz, timestamptz, integer, text, text, boolean, boolean, boolean, text, numeric, timestamptz, text, boolean, text, text, integer, integer, integer, numeric, boolean, boolean, boolean, boolean, boolean, text, text, text, text[], text[], jsonb, text, text, jsonb, text, acteon_canary, jsonb, interval, boolean, text, text, jsonb, text, integer) IS
'Shows what a replay with the same arguments would do, without doing it. It works in read-only transactions and on a standby, and waits for no locks of other replays. Records are judged by the same code as in a replay, so the counts are exact if nothing changes in between. Unlike a replay it does not require a filter, but shows that a replay is refused; max_records defaults to all records. Only tenants, providers and so on that the caller''s grants cover are named.

Arguments:
sample: how many of the records that would be replayed to show, 0 to 1000

Returns:
section: see below
item: what the row is about
matched: how many records match
replayable: how many of these would be replayed
note: further information

Sections:
total, time: how many records match and how many would be replayed, and their first and last times; how long the replay takes at the rate
not found: how many of action_ids have no record, and the first of them; if nothing matches, each filter whose value no record was found with, and the closest values that exist
not replayed: each reason with its count: no grant, no grant that permits a patch, cannot be read, of the gateway''s own, of a step or the end of a chain, took effect, not lost, lost but not for certain, an intent, expired, no stored payload, redacted, encrypted or too large with a patch, attachments lost or perhaps lost, already replayed (waiting, running, in doubt, delivered), another record of the same action, a later record of it or its replays, replayed too often, too deep, with verify no hash, another hash than that of the hashed columns, or no link to the record before; and the argument that permits such records
left out: records that match the filters but are not selected: intents that are not asked for, younger than acteon_replay.intent_grace, with an outcome, or of a step of a chain; what is dated in the future; what has no id or no time
beware: that a replay with these arguments is refused, and why; how many records took effect, or will: passed over, or repeated with allow_effective; of the records that would be replayed: payloads that a patch replaces as a whole, because they are no objects, sealed payloads, dedup keys, actions whose effect is unknown (with lost), actions with a later executed record (checked for the first 20,000 records), actions whose earlier replays had no effect or are dead, cancelled or expired, actions that will expire before they are due at this rate (an estimate), records of the gateway''s hash chain whose hash or link does not fit (without verify, checked for the first 1,000 records)
patch: with a patch, how many of the payloads that would be replayed it changes, and its SHA-256
cause: the five most frequent causes: the signature of the error, with provider and outcome as the note; see acteon_replay_causes
provider, action type, outcome, tenant: the twenty most frequent of each
sample: some of the records that would be replayed; with a patch, the payload of each before and after it, up to 8 kB
query: the query with absolute times, for acteon_replay_all(jsonb) and acteon_replay_bulk(jsonb)
plan: the plan, for the argument plan of acteon_replay_all and acteon_replay_bulk, and until when it holds, an hour; none if nothing matches or a replay would be refused

Errors: otherwise as for acteon_replay_bulk.';

/*
 * Causes
 */

CREATE FUNCTION acteon_error_signature(error text, rules text DEFAULT 'url,email,uuid,time,ip,host,quoted,hex,id,number')
RETURNS text
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';

COMMENT ON FUNCTION acteon_error_signature(text, text) IS
'Returns the signature of an error: its text with the details replaced by words such as <number>, at most 512 bytes. Errors with the same cause usually have the same signature. The signature of a signature is itself. Blank space of any kind becomes one space. At each place of the text the rules are tried in the order below, whatever the order in which they are named; the first that applies replaces as much as it can.

Rules:
url: in a URL, who logs in (<user>) and what follows the path (<query>)
email: an e-mail address (<email>)
uuid: a UUID (<uuid>)
time: a date, a time of day, both, or a duration such as 1m30s (<time>)
ip: an IP address, with its port (<ip>)
host: a host name with a port (<host>)
quoted: what is between quotation marks (<value>), but not the keys of JSON objects, nor the values of error, message, reason, detail, details, title, status, type, code, error_description and errors
hex: a hexadecimal number (<hex>): one that begins with 0x, or in which letters and digits alternate at least three times
id: another word in which letters and digits alternate at least three times (<id>)
number: a number, with a fraction or of several parts (<number>)

Arguments:
error: the text
rules: names of the rules to apply, separated by commas

Errors: 22023 unknown rule.';

CREATE TYPE acteon_replay_cause AS (
	provider text,
	outcome text,
	signature text,
	records bigint,
	first_at timestamptz,
	last_at timestamptz,
	tenants bigint,
	some_tenants text[],
	sample_action_id text);

COMMENT ON TYPE acteon_replay_cause IS 'A row of acteon_replay_causes: one cause.';
COMMENT ON COLUMN acteon_replay_cause.provider IS 'Provider of the records.';
COMMENT ON COLUMN acteon_replay_cause.outcome IS 'Outcome of the records.';
COMMENT ON COLUMN acteon_replay_cause.signature IS 'Signature of their errors (acteon_error_signature), or the name of the rule, silence or interval that kept them from being executed. Pass it as signature to select them.';
COMMENT ON COLUMN acteon_replay_cause.records IS 'How many records there are.';
COMMENT ON COLUMN acteon_replay_cause.first_at IS 'When the first of them was dispatched.';
COMMENT ON COLUMN acteon_replay_cause.last_at IS 'When the last of them was dispatched.';
COMMENT ON COLUMN acteon_replay_cause.tenants IS 'How many tenants they have.';
COMMENT ON COLUMN acteon_replay_cause.some_tenants IS 'Up to three of these tenants.';
COMMENT ON COLUMN acteon_replay_cause.sample_action_id IS 'Action id of the last of them.';

CREATE FUNCTION acteon_replay_causes(
	namespace text DEFAULT NULL,
	tenant text DEFAULT NULL,
	provider text DEFAULT NULL,
	action_type text DEFAULT NULL,
	outcome text DEFAULT NULL,
	verdict text DEFAULT NULL,
	matched_rule text DEFAULT NULL,
	from_time timestamptz DEFAULT NULL,
	to_time timestamptz DEFAULT NULL,
	caller_id text DEFAULT NULL,
	chain_id text DEFAULT NULL,
	lost boolean DEFAULT false,
	certain boolean DEFAULT false,
	signature text DEFAULT NULL,
	signature_rules text DEFAULT NULL,
	action_ids text[] DEFAULT NULL,
	exclude_ids text[] DEFAULT NULL,
	exclude jsonb DEFAULT NULL,
	tenant_tree text DEFAULT NULL,
	error_like text DEFAULT NULL,
	payload jsonb DEFAULT NULL,
	payload_path text DEFAULT NULL,
	max_causes integer DEFAULT 100)
RETURNS SETOF acteon_replay_cause
AS 'MODULE_PATHNAME', 'acteon_replay_causes'
LANGUAGE C VOLATILE CALLED ON NULL INPUT ROWS 100;

COMMENT ON FUNCTION acteon_replay_causes(text, text, text, text, text, text, text, timestamptz, timestamptz, text, text, boolean, boolean, text, text, text[], text[], jsonb, text, text, jsonb, text, integer) IS
'Shows why actions were not executed: the matching records with an error, grouped by provider, outcome and signature of the error, the most frequent cause first. Without a filter it shows what was lost, as with lost => true. Only records that the caller''s grants cover count. It only reads; earlier replays are not taken into account. The arguments are those of acteon_replay_bulk; the same arguments with a cause''s provider, outcome (unless lost is used) and signature select the same records there.

Arguments:
max_causes: how many causes to return at most, 1 to 10000

Errors: as for acteon_replay_preview.';

CREATE FUNCTION acteon_replay_timeline(
	namespace text DEFAULT NULL,
	tenant text DEFAULT NULL,
	provider text DEFAULT NULL,
	action_type text DEFAULT NULL,
	outcome text DEFAULT NULL,
	verdict text DEFAULT NULL,
	matched_rule text DEFAULT NULL,
	from_time timestamptz DEFAULT NULL,
	to_time timestamptz DEFAULT NULL,
	caller_id text DEFAULT NULL,
	chain_id text DEFAULT NULL,
	lost boolean DEFAULT false,
	certain boolean DEFAULT false,
	signature text DEFAULT NULL,
	signature_rules text DEFAULT NULL,
	action_ids text[] DEFAULT NULL,
	exclude_ids text[] DEFAULT NULL,
	exclude jsonb DEFAULT NULL,
	tenant_tree text DEFAULT NULL,
	error_like text DEFAULT NULL,
	payload jsonb DEFAULT NULL,
	payload_path text DEFAULT NULL,
	buckets integer DEFAULT 60)
RETURNS TABLE (bucket_from timestamptz, bucket_to timestamptz, records bigint)
AS 'MODULE_PATHNAME', 'acteon_replay_timeline'
LANGUAGE C VOLATILE CALLED ON NULL INPUT ROWS 60;

COMMENT ON FUNCTION acteon_replay_timeline(text, text, text, text, text, text, text, timestamptz, timestamptz, text, text, boolean, boolean, text, text, text[], text[], jsonb, text, text, jsonb, text, integer) IS
'Counts the matching records over time, in intervals of the same length, the earliest first; those without records are not left out. Without a filter it counts what was lost, as with lost => true. Only records that the caller''s grants cover count. It only reads; earlier replays are not taken into account. The arguments are those of acteon_replay_bulk.

The intervals reach from from_time to to_time, or, where these are not given, from the first to the last record that is counted; if both are given they are returned even if nothing matches. They are a round number of seconds, minutes, hours, days or weeks long, as short as buckets permits and at least 1 second, and begin at whole multiples of that, days and weeks (from Monday) in UTC; so the first one may begin before from_time, and the last one end after to_time.

Arguments:
buckets: how many rows to return at most, 2 to 1000

Returns:
bucket_from: begin of the interval
bucket_to: its end, which is not part of it
records: how many records were dispatched in it

Errors: as for acteon_replay_preview.';

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
	signature text DEFAULT NULL,
	signature_rules text DEFAULT NULL,
	action_ids text[] DEFAULT NULL,
	exclude_ids text[] DEFAULT NULL,
	exclude jsonb DEFAULT NULL,
	tenant_tree text DEFAULT NULL,
	error_like text DEFAULT NULL,
	payload jsonb DEFAULT NULL,
	payload_path text DEFAULT NULL,
	canary acteon_canary DEFAULT NULL,
	patch jsonb DEFAULT NULL,
	expire_after interval DEFAULT NULL,
	allow_ended boolean DEFAULT false,
	target text DEFAULT 'production',
	patch_path text DEFAULT NULL,
	patch_value jsonb DEFAULT NULL,
	verify text DEFAULT 'off',
	plan text DEFAULT NULL,
	chunk integer DEFAULT 1000,
	INOUT batch_id bigint DEFAULT NULL,
	INOUT replayed bigint DEFAULT NULL,
	INOUT failed bigint DEFAULT NULL,
	INOUT skipped bigint DEFAULT NULL)
AS 'MODULE_PATHNAME', 'acteon_replay_all'
LANGUAGE C;

COMMENT ON PROCEDURE acteon_replay_all(text, text, text, text, text, text, text, timestamptz, timestamptz, integer, text, text, boolean, boolean, boolean, text, numeric, timestamptz, text, boolean, text, text, integer, integer, integer, numeric, boolean, boolean, boolean, boolean, boolean, text, text, text, text[], text[], jsonb, text, text, jsonb, text, acteon_canary, jsonb, interval, boolean, text, text, jsonb, text, text, integer, bigint, bigint, bigint, bigint) IS
'Replays all matching records, any number of them, in committed chunks, oldest first. It takes the arguments of acteon_replay_bulk; max_records defaults to all records. It cannot run inside a transaction block. A NOTICE reports the progress every five seconds. While the call waits for deliveries, it also reports how many actions are finished, and whether actions are due that no relay claims.

If to_time is omitted or in the future, the time of the call is used, so that the call does not replay the records of its own replays. With a rate the call stays at most a minute ahead of the deliveries and waits for them, so that few actions have to be cancelled if the need arises, and a new rate takes effect with the next chunk; before its start_at it waits for that, which a NOTICE reports. Without a rate it enqueues everything at once, and acteon_replay_set_rate can set one afterwards. While the batch is paused the call waits; when the batch is cancelled the call ends. The cursor and the actions of a chunk are committed together, so if the call is interrupted, acteon_replay_continue can continue it. A call that finds only records that are passed over, because their actions already have a replay or took effect, leaves no batch behind, so a job that runs every five minutes does not fill the table. Memory use does not grow with the number of records, no transaction lasts longer than a chunk, and none is open while the call waits.

With more records than acteon_replay.approval_above the call only writes the batch down, and returns: it is awaiting approval (acteon_replay_approve). Afterwards acteon_replay_continue replays it.

Arguments:
chunk: how many records one transaction examines, 1 to 10000

Returns:
batch_id: number of the batch; NULL if nothing was replayed, failed or skipped
replayed, failed, skipped: as for acteon_replay_bulk

Errors: as for acteon_replay_bulk; 2D000 inside a transaction block.';

CREATE PROCEDURE acteon_replay_run(
	query jsonb,
	rate numeric DEFAULT NULL,
	start_at timestamptz DEFAULT NULL,
	reason text DEFAULT NULL,
	chunk integer DEFAULT 1000)
AS 'MODULE_PATHNAME', 'acteon_replay_run'
LANGUAGE C;

COMMENT ON PROCEDURE acteon_replay_run(jsonb, numeric, timestamptz, text, integer) IS
	'The same as acteon_replay_all with a query in the wire form, without results, for PL/pgSQL, where a CALL of acteon_replay_all needs a variable for each of its four: CALL acteon_replay_run(jsonb_build_object(''lost'', true, ''from'', now() - interval ''1 h'')). NOTICEs and acteon_replay_batches tell what was done. A procedure or DO block that calls it must not run inside a transaction block, and must not have an EXCEPTION clause around the call. Errors: as for acteon_replay_all.';

/*
 * The queue
 */

CREATE FUNCTION acteon_outbox_claim(
	consumer text,
	max_actions integer DEFAULT 100,
	lease interval DEFAULT '30 seconds',
	target text DEFAULT 'production',
	gateway text DEFAULT NULL,
	OUT outbox_id bigint,
	OUT lease_token bigint,
	OUT attempt integer,
	OUT action json,
	OUT action_id uuid,
	OUT expires_at timestamptz)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'acteon_outbox_claim'
LANGUAGE C VOLATILE CALLED ON NULL INPUT ROWS 100;

COMMENT ON FUNCTION acteon_outbox_claim(text, integer, interval, text, text) IS
'Leases up to max_actions due actions for a target to a consumer, oldest first. Before that, it looks up actions in doubt whose look-up is due in the audit table. Returns fewer actions if their JSON would exceed 16 MB in total, but at least one. Actions of one tenant with the same fingerprint are returned one at a time. Due actions that have expired are not returned but end expired; if there are a great many, some of them are left to the next claims, and NOTIFY wakes the consumers up.

Arguments:
consumer: name of the consumer, 1 to 200 bytes, which is shown in the queue
max_actions: maximum number of actions
lease: duration of the lease, at most a day
target: what the consumer delivers to; actions for other targets are not returned
gateway: the address that it delivers to, without secrets, which is shown with the deliveries; of a longer one the first 500 bytes are kept. A WARNING is raised, once in a session, if consumers for another target have delivered to it

Returns:
outbox_id: position in the outbox
lease_token: token to pass when the result is recorded
attempt: 1 for the first attempt
action: the body for POST /v1/dispatch, the same at every attempt except for its id
action_id: that id
expires_at: when the action expires; NULL: never. A consumer that has not sent it by then should not send it, but give it back (acteon_outbox_nack with a NULL error): it then ends expired

Errors: 42501 no gateway grant, 22023 bad argument.';

CREATE FUNCTION acteon_outbox_describe(
	outbox_ids bigint[],
	OUT outbox_id bigint,
	OUT batch_id bigint,
	OUT original_action_id text,
	OUT generation integer,
	OUT namespace text,
	OUT tenant text,
	OUT provider text,
	OUT action_type text,
	OUT fingerprint text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'acteon_outbox_describe'
LANGUAGE C STABLE CALLED ON NULL INPUT ROWS 100;

COMMENT ON FUNCTION acteon_outbox_describe(bigint[]) IS
'Returns what the outbox contains about actions besides their body, for a consumer that routes them: one row for each, in the order given. Ids that are not in the outbox are left out.

Returns:
outbox_id: position in the outbox
batch_id: number of the batch
original_action_id: id of the action that is replayed, which the label replayed_from contains as well
generation: 1 for the first replay of the original action, and so on; the same pair of original_action_id and generation is the same replay, whatever id it was sent under
namespace, tenant, provider, action_type: as in the body
fingerprint: what the order of delivery is kept by, with the tenant; NULL if it has none

Errors: 42501 no gateway grant, 22023 bad argument.';

CREATE FUNCTION acteon_outbox_ack(
	outbox_id bigint[],
	lease_token bigint[],
	outcome jsonb[],
	action_id uuid[] DEFAULT NULL)
RETURNS integer
AS 'MODULE_PATHNAME', 'acteon_outbox_ack'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_outbox_ack(bigint[], bigint[], jsonb[], uuid[]) IS
	'Records the outcomes that the gateway returned with status 200; returns how many deliveries this call has recorded. Actions with Throttled and QuotaExceeded are sent again at the time that the gateway gives, under a new id, without counting the attempt, for at most a day. A 409 is acknowledged as {"AlreadyDispatched": <body>} and looked up in the audit table. After the lease has been lost, an answer is accepted only with the action_id that was sent. Errors: 42501 no gateway grant, 22023 arrays of different lengths or with NULL ids.';

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
'Gives back actions that are known not to have been executed (a 429, a 500 with the gateway''s own body, or a request that was never sent), for a later attempt. For actions that may have been executed, use acteon_outbox_doubt. Does nothing for actions whose lease has been lost.

Arguments:
error: what went wrong. After the last attempt (acteon_replay.max_attempts) the action becomes dead with this error. NULL means that the action was not attempted or is not at fault: the attempt is not counted, and the action is due at once or after retry_after
retry_after: when it is due again, at most a day; NULL: after a back-off of 1 second to 10 minutes that doubles with each attempt, chosen at random in its upper half
action_id: the id about which the gateway has answered; NULL if nothing reached the gateway

Errors: 42501 no gateway grant, 22023 bad argument.';

CREATE FUNCTION acteon_outbox_reject(
	outbox_id bigint[],
	lease_token bigint[],
	error text[],
	action_id uuid[] DEFAULT NULL)
RETURNS integer
AS 'MODULE_PATHNAME', 'acteon_outbox_reject'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_outbox_reject(bigint[], bigint[], text[], uuid[]) IS
	'Makes actions dead at once, because the gateway will never accept them (400, 413, 415, 422); returns how many. An action that was resent without proof that an earlier id had no effect is held instead. Does nothing for actions whose lease has been lost. Errors: 42501 no gateway grant, 22023 bad argument.';

CREATE FUNCTION acteon_outbox_doubt(
	outbox_id bigint[],
	lease_token bigint[],
	error text[],
	action_id uuid[] DEFAULT NULL)
RETURNS integer
AS 'MODULE_PATHNAME', 'acteon_outbox_doubt'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_outbox_doubt(bigint[], bigint[], text[], uuid[]) IS
	'Puts actions in doubt that may have been sent and have no answer, with the reason; returns how many. They are looked up in the audit table at growing intervals; after acteon_replay.gateway_patience they are sent once more under a new id, or held, depending on on_doubt of the batch. Does nothing for actions whose lease has been lost: they are in doubt already. Errors: 42501 no gateway grant, 22023 bad argument.';

CREATE FUNCTION acteon_outbox_sleep(asleep boolean)
RETURNS boolean
AS 'MODULE_PATHNAME', 'acteon_outbox_sleep'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_outbox_sleep(boolean) IS
	'Registers a consumer that listens on acteon_dispatch_outbox in this session as sleeping, until the function is called with false or the session ends; with acteon_replay.notify set to smart, a NOTIFY is sent only if a consumer is sleeping. Call it before the claim that decides whether to sleep. Returns whether the consumer may sleep long; if not, a transaction is in progress that may commit without a NOTIFY, so claim again after some milliseconds. Error: 42501 no gateway grant.';

COMMENT ON FUNCTION acteon_outbox_redrive(bigint[], bigint, text, text, integer, numeric, text) IS
	'Puts dead actions that match every given filter back into the queue, with all their attempts, up to max_actions; rate is in actions per second. Each is looked up in the audit table before it is sent, and is sent under a new id. Actions that have expired, those that have been replayed again and those of cancelled batches are skipped, and counted. So are those of a batch that another session is resuming, cancelling or giving another pace, and, where notifications are set, those of a batch whose end was told and that another session is changing; a NOTICE reports them, and another call redrives them. Those of a paused batch wait until it is resumed, which a NOTICE reports. Errors: 42501 no gateway grant, 22023 bad argument.';

COMMENT ON FUNCTION acteon_outbox_purge(interval, bigint, text) IS
	'Deletes the outbox and delivery rows of actions that have been finished for longer than older_than; returns how many. A large outbox is kept in parts, and a part that is not in use any more is truncated once all its actions are old, except a few that stay: those that are not finished, and up to 1,000 that are younger. In the part in use, and in one with many unfinished actions, rows are deleted one by one, those of an action when all its replays are old, until max_actions are deleted, or up to 1,000 more. A part that another session uses, or that has changed since a transaction began that still has its snapshot, is left for the next purge, which a NOTICE reports. One purge runs at a time; another one does nothing and returns 0, with a NOTICE. A purged action counts as never replayed, so keep actions at least as long as the audit table keeps its records; its next replay gets an id that was not used before. Batches are kept, except probes of policies, and so are actions in doubt. An older_than of less than 24 hours, the time for which the gateway remembers ids, raises a WARNING. Errors: 42501 no gateway grant, 22023 bad argument.';

CREATE FUNCTION acteon_outbox_read_stats(
	target text DEFAULT 'production',
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
	OUT held bigint,
	OUT canary bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'acteon_outbox_read_stats'
LANGUAGE C VOLATILE CALLED ON NULL INPUT ROWS 1;

COMMENT ON FUNCTION acteon_outbox_read_stats(text) IS
	'Returns the state of the queue of one target, with the columns of the view acteon_outbox_stats, which shows that of production. Answers of which it is unknown who has brought them count for production. Errors: 42501 no gateway grant, 22023 not the name of a target.';

CREATE OR REPLACE VIEW acteon_outbox_stats AS
	SELECT s.depth, s.due, s.retrying, s.scheduled, s.leased, s.dead, s.oldest_due_age,
		s.delivered_1m, s.delivered_5m, s.dead_5m, s.paused, s.in_doubt, s.held, s.canary
	FROM acteon_outbox_read_stats() AS s;

COMMENT ON COLUMN acteon_outbox_stats.due IS 'Actions that are due now: new ones and retries. Some may wait for an earlier action with their fingerprint.';
COMMENT ON COLUMN acteon_outbox_stats.in_doubt IS 'Actions that may have been executed and have no answer, including those whose lease has expired; they count in depth and held, and in no other column.';
COMMENT ON COLUMN acteon_outbox_stats.canary IS 'Of the scheduled actions, those that canaries hold back and release by themselves when the open step is good.';
COMMENT ON COLUMN acteon_outbox_stats.held IS 'Of these, the ones that wait for a person (acteon_replay_settle) or for a record.';

CREATE OR REPLACE VIEW acteon_dead_letters WITH (security_invoker = true) AS
	SELECT o.id AS outbox_id, o.batch_id, o.action_id, o.original_action_id, o.namespace, o.tenant, o.provider,
		o.action_type, o.generation, d.attempts, d.error, d.finished_at AS dead_at, coalesce(o.target, 'production'::text) AS target
	FROM acteon_dispatch_delivery AS d
	JOIN acteon_dispatch_outbox AS o ON o.id OPERATOR(pg_catalog.=) d.outbox_id
	WHERE d.state OPERATOR(pg_catalog.=) 'dead'::text;

COMMENT ON COLUMN acteon_dead_letters.target IS 'Where it was to be delivered to: production, or another target.';

/*
 * Limits of providers and tenants
 */

CREATE FUNCTION acteon_replay_limit_set(
	provider text DEFAULT NULL,
	tenant text DEFAULT NULL,
	rate numeric DEFAULT NULL,
	concurrency integer DEFAULT NULL,
	reason text DEFAULT NULL,
	breaker_window integer DEFAULT NULL,
	breaker_share numeric DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'acteon_replay_limit_set'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_replay_limit_set(text, text, numeric, integer, text, integer, numeric) IS
'Limits how fast the actions of one provider, or of one tenant, are handed out: all batches and all consumers together keep the limit, in addition to the rates of the batches. It applies to the next claim. Actions beyond it wait; those of others do not. The caller needs an admin grant for everything of the provider or of the tenant. The view acteon_replay_limits shows the limits.

Arguments:
provider, tenant: whose actions; exactly one of the two
rate: actions per second, at least 0.001; up to two seconds'' worth go out at once. NULL: no limit
concurrency: how many actions consumers may hold at a time; 0: none is handed out. NULL: no limit. If both are NULL, the limit is removed
reason: the reason, which is logged
breaker_window: how many of the provider''s last deliveries its circuit breaker looks at, 0 to 100000; 0 turns it off. NULL: as before; in the beginning 50
breaker_share: share of these that may fail before it opens, at least 0 and below 1. NULL: as before; in the beginning 0.5

Errors: 42501 no such grant, 22023 bad argument.';

CREATE FUNCTION acteon_replay_notify_set(
	name text,
	provider text,
	action_type text,
	namespace text,
	tenant text,
	payload jsonb DEFAULT NULL,
	events text[] DEFAULT NULL,
	tenants text[] DEFAULT NULL,
	namespaces text[] DEFAULT NULL,
	min_actions integer DEFAULT NULL,
	reason text DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'acteon_replay_notify_set'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_replay_notify_set(text, text, text, text, text, jsonb, text[], text[], text[], integer, text) IS
'Sets a notification, or replaces the one of this name: an action that is enqueued when a batch ends, pauses itself or needs a person, and that the relays deliver to the gateway like any other. Each event is told once. It is found by the next claim of a consumer, so nothing is told while no consumer claims, and what is told arrives late while the gateway is down. An event that ends and occurs again, such as a second pause, is told again.

An action that tells is a batch of its own (query: {"notify": name, "batch_id": ..., "event": ...}), belongs to the role that set the notification, is not counted in the batch that it tells about, and is never told about. It has the labels acteon_notify, acteon_batch_id and acteon_event. Replays by filters pass over its records.

Batches that are under way when a notification is set are included, and what holds already, such as a pause, is told, unless another notification has told it. Replays in transactions that are open at that moment are not.

The caller needs an admin grant for the action, and admin grants for everything of the tenants and namespaces that are told about.

Arguments:
name: name of the notification, 1 to 200 bytes
provider, action_type, namespace, tenant: of the action
payload: template of its payload, at most 64 kB; in strings, {{name}} is replaced. A string that consists only of the placeholder of a number becomes a number, or null where there is no value. NULL: an object with "text" and the most important facts
events: finished, cancelled, paused (by its circuit breaker), canary (paused by its canary), approval (it is awaiting approval), interrupted (the call that enqueued it has ended before everything was enqueued), held (actions of it are in doubt and wait for a person). NULL: all
tenants: tells only about batches all of whose actions are of these tenants, or of tenants below them; NULL: any
namespaces: the same for namespaces
min_actions: tells of finished and cancelled batches only if they have at least so many actions, or matched so many records; NULL: 1
reason: the reason, which is logged

Placeholders: notification, event, summary (a sentence), what_to_do (a statement, or null), batch_id, state, reason, requested_by, created_at, at (the time of the event), stop_reason, replayed, refused, skipped, passed_over, waiting, in_flight, in_doubt, held, delivered, done, dead, cancelled, expired, database, target; the counts are those of acteon_replay_batches.

Errors: 42501 no such grants, 22023 bad argument.';

CREATE FUNCTION acteon_replay_notify_drop(
	name text,
	reason text DEFAULT NULL)
RETURNS boolean
AS 'MODULE_PATHNAME', 'acteon_replay_notify_drop'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_replay_notify_drop(text, text) IS
'Drops a notification; returns whether there was one of this name. What it has enqueued is still delivered. The caller needs the grants that acteon_replay_notify_set requires.

Errors: 42501 no such grants, 22023 bad argument.';

CREATE FUNCTION acteon_replay_breaker_close(
	provider text,
	reason text DEFAULT NULL)
RETURNS boolean
AS 'MODULE_PATHNAME', 'acteon_replay_breaker_close'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_replay_breaker_close(text, text) IS
'Closes the circuit breaker of a provider, so that its actions are handed out again; returns whether it was open. Only later deliveries count for it. The caller needs an admin grant for everything of the provider.

The circuit breaker of a provider opens when more than half of the last 50 deliveries to the provider failed, in all batches together that have a circuit breaker; acteon_replay_limit_set changes these numbers. While it is open, no action of the provider is handed out, in whatever batch; other actions go on. After 30 seconds one action is handed out as a trial: if it takes effect, the circuit breaker closes; else the next trial comes after twice the time, at most 10 minutes.

Errors: 42501 no such grant, 22023 bad argument.';

CREATE FUNCTION acteon_replay_read_limits(
	OUT kind text,
	OUT name text,
	OUT rate numeric,
	OUT concurrency integer,
	OUT in_flight bigint,
	OUT held bigint,
	OUT breaker text,
	OUT opened_at timestamptz,
	OUT retry_at timestamptz,
	OUT open_reason text,
	OUT set_by name,
	OUT set_at timestamptz,
	OUT reason text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'acteon_replay_read_limits'
LANGUAGE C VOLATILE CALLED ON NULL INPUT ROWS 10;

COMMENT ON FUNCTION acteon_replay_read_limits() IS
	'Returns the rows of the view acteon_replay_limits.';

CREATE VIEW acteon_replay_limits AS
	SELECT l.kind, l.name, l.rate, l.concurrency, l.in_flight, l.held, l.breaker, l.opened_at, l.retry_at,
		l.open_reason, l.set_by, l.set_at, l.reason
	FROM acteon_replay_read_limits() AS l;
GRANT SELECT ON acteon_replay_limits TO PUBLIC;

COMMENT ON VIEW acteon_replay_limits IS
	'Limits of providers and tenants, and circuit breakers of providers that have opened. Superusers and roles with a gateway grant see all; others see those of providers and tenants of which a grant covers everything.';
COMMENT ON COLUMN acteon_replay_limits.kind IS 'provider or tenant.';
COMMENT ON COLUMN acteon_replay_limits.rate IS 'Actions per second; NULL: no limit.';
COMMENT ON COLUMN acteon_replay_limits.concurrency IS 'Actions that consumers may hold at a time; NULL: no limit.';
COMMENT ON COLUMN acteon_replay_limits.in_flight IS 'Actions that consumers hold and that this limit counts: not those that were handed out before there was a limit.';
COMMENT ON COLUMN acteon_replay_limits.held IS 'Actions that are due and wait for this limit or circuit breaker. A claim that meets a due action that must wait counts it here.';
COMMENT ON COLUMN acteon_replay_limits.breaker IS 'Of a provider: closed, open, trial (open, and one action is out as a trial) or off; NULL for a tenant.';
COMMENT ON COLUMN acteon_replay_limits.opened_at IS 'When the circuit breaker opened; NULL: it is closed.';
COMMENT ON COLUMN acteon_replay_limits.retry_at IS 'When the next trial can be handed out; NULL: it is closed.';
COMMENT ON COLUMN acteon_replay_limits.open_reason IS 'Why the circuit breaker opened.';
COMMENT ON COLUMN acteon_replay_limits.name IS 'Name of the provider or tenant.';
COMMENT ON COLUMN acteon_replay_limits.set_by IS 'Role that set the limit; NULL: the row is there because the circuit breaker opened.';
COMMENT ON COLUMN acteon_replay_limits.set_at IS 'When it did.';
COMMENT ON COLUMN acteon_replay_limits.reason IS 'Its reason; NULL: none was given.';

CREATE FUNCTION acteon_replay_id(action_id text, generation integer, resend integer DEFAULT 0, target text DEFAULT 'production')
RETURNS uuid
AS 'MODULE_PATHNAME', 'acteon_replay_id'
LANGUAGE C STABLE STRICT;

-- A role that knows the id of a replay beforehand can make the gateway refuse it.
REVOKE EXECUTE ON FUNCTION acteon_replay_id(text, integer, integer, text) FROM PUBLIC;

COMMENT ON FUNCTION acteon_replay_id(text, integer, integer, text) IS
	'Returns the id of an action''s replay of the given generation to a target, after it was given a new id resend times; NULL if nothing was ever replayed in this database. Errors: 22023 generation below 1, resend below 0, or not the name of a target.';

/*
 * Doubts: settling them, and the proof
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
'Resolves doubts of a batch by a person''s decision, for all actions in doubt or for the given ones, held or not; returns how many. The role that started the batch, or that it was handed over to, can do this, as long as it may replay at all, and so can members of this role that inherit its rights, roles with admin grants that cover everything in the batch, and superusers. Each decision is logged in acteon_replay_log.

Arguments:
decision: resend: send the actions once more, under a new id and with all their attempts; delivered: the actions took effect; cancel: the actions had no effect and will have none, so that they can be replayed again
reason: required
outbox_id: the actions; NULL for all that are in doubt

Errors: P0002 no such batch, 42501 the caller may not steer it, 22023 bad argument.';

CREATE FUNCTION acteon_outbox_other_target(gateway text, target text DEFAULT 'production')
RETURNS text
LANGUAGE C VOLATILE CALLED ON NULL INPUT AS 'MODULE_PATHNAME';

COMMENT ON FUNCTION acteon_outbox_other_target(text, text) IS
	'Returns another target than the given one for which consumers that deliver to an address have been handed out actions, the latest; NULL if there is none. A consumer that is started for production with the address of another target may have been started by mistake; acteon_outbox_claim raises a WARNING then, and acteon-relay --check fails. Errors: 42501 no gateway grant, 22023 bad argument.';

CREATE FUNCTION acteon_outbox_audit_tells(
	sent_at timestamptz DEFAULT NULL,
	later_than timestamptz DEFAULT NULL)
RETURNS text
LANGUAGE C VOLATILE CALLED ON NULL INPUT AS 'MODULE_PATHNAME';

COMMENT ON FUNCTION acteon_outbox_audit_tells(timestamptz, timestamptz) IS
	'Returns why the absence of an action''s record from the audit table proves nothing: the table is a copy or acteon_replay.audit_is_live is off, it has no record of anything that was sent after later_than (default: sent_at), no records are left from the time of sending, or it cannot be read. Returns NULL if a missing record means that the action was not recorded. sent_at is the time at which the action was sent (default: acteon_replay.gateway_patience ago). Errors: 42501 no gateway grant.';

CREATE FUNCTION acteon_replay_proof(
	batch_id bigint,
	after bigint DEFAULT NULL,
	max_actions bigint DEFAULT NULL)
RETURNS TABLE (verdict text, told text, actions bigint, next bigint)
LANGUAGE C VOLATILE CALLED ON NULL INPUT ROWS 10 AS 'MODULE_PATHNAME';

COMMENT ON FUNCTION acteon_replay_proof(bigint, bigint, bigint) IS
'Compares what the audit table says about the actions of a batch with what this database was told. The actions are looked up by their ids; nothing is written. Only actions that the caller''s grants cover are counted.

Arguments:
after: only actions after this outbox id
max_actions: maximum number of actions to look up

Returns:
verdict: see below
told: what this database was told: done, none, later, decided or unknown (the effect of what was delivered), settled, dead, cancelled, expired, waiting, in_flight, in_doubt
actions: number of actions
next: pass it as after to continue; NULL at the end

Verdicts:
proven: there is a record with effect done
no effect, later, decided: there is a record with that effect
unknown: the record does not show the effect
in doubt: there is only an intent
expired: a record would be older than the records that the table keeps
answered, no outcome record: the gateway answered, but the table has no outcome record
no record: the action was sent, but has no record
not sent: the action was not sent
contradiction: two ids of one action took effect, or the record says the opposite of what was told

Errors: P0002 no such batch, or none of its actions is covered, 42P01 no audit table, 55000 a batch for another target than production, 22023 bad argument.';

CREATE TYPE acteon_replay_proof_item AS (
	outbox_id bigint,
	action_ids uuid[],
	verdict text,
	told text,
	effect text,
	outcome jsonb,
	record_ids text[],
	dispatched_at timestamptz);

COMMENT ON TYPE acteon_replay_proof_item IS 'A row of acteon_replay_proof_items: what the audit table says about one action of a batch.';
COMMENT ON COLUMN acteon_replay_proof_item.outbox_id IS 'Position in the outbox.';
COMMENT ON COLUMN acteon_replay_proof_item.action_ids IS 'All ids under which it may have been sent, in order.';
COMMENT ON COLUMN acteon_replay_proof_item.verdict IS 'What the audit table says, as in acteon_replay_proof.';
COMMENT ON COLUMN acteon_replay_proof_item.told IS 'What this database was told, as in acteon_replay_proof.';
COMMENT ON COLUMN acteon_replay_proof_item.effect IS 'Effect according to its records: done, none, later, decided or unknown; NULL without records.';
COMMENT ON COLUMN acteon_replay_proof_item.outcome IS 'Outcome in the decisive record, in the form of an answer of the gateway.';
COMMENT ON COLUMN acteon_replay_proof_item.record_ids IS 'For each of its ids that has records, the id of the decisive record.';
COMMENT ON COLUMN acteon_replay_proof_item.dispatched_at IS 'When the gateway received it, according to the decisive record.';

CREATE FUNCTION acteon_replay_proof_items(
	batch_id bigint,
	verdict text DEFAULT NULL,
	after bigint DEFAULT NULL,
	max_items integer DEFAULT 1000)
RETURNS SETOF acteon_replay_proof_item
LANGUAGE C VOLATILE CALLED ON NULL INPUT ROWS 1000 AS 'MODULE_PATHNAME';

COMMENT ON FUNCTION acteon_replay_proof_items(bigint, text, bigint, integer) IS
	'Lists the actions that acteon_replay_proof counts, in the order of the outbox, with their ids, records, effect and outcome; only those with the given verdict, if one is given; only those after the outbox id after, if given; at most max_items, NULL for all. Privileges and errors are those of acteon_replay_proof.';

/*
 * Two targets side by side
 */

CREATE FUNCTION acteon_replay_shadow(
	batch_id bigint,
	other_batch_id bigint DEFAULT NULL,
	other_target text DEFAULT NULL,
	after_id bigint DEFAULT NULL,
	max_rows bigint DEFAULT NULL,
	OUT outbox_id bigint,
	OUT original_action_id text,
	OUT state text,
	OUT effect text,
	OUT outcome jsonb,
	OUT other_outbox_id bigint,
	OUT other_state text,
	OUT other_effect text,
	OUT other_outcome jsonb,
	OUT same boolean)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'acteon_replay_shadow'
LANGUAGE C VOLATILE CALLED ON NULL INPUT ROWS 1000;

COMMENT ON FUNCTION acteon_replay_shadow(bigint, bigint, text, bigint, bigint) IS
'Shows the results of a batch beside the results of the same actions elsewhere: in another batch, or in the latest replay of each action to another target. A batch that went to staging is compared with what production did, for example. Only actions that the caller''s grants cover are shown, in the order of the outbox.

Arguments:
batch_id: the batch
other_batch_id: the batch to compare it with
other_target: instead, the target to compare it with, another one than the batch''s own; by default production
after_id: only actions after this outbox id: for the next page, the last one of the page before
max_rows: how many actions to return at most; NULL: all

Returns:
outbox_id, original_action_id: the action in the batch, and the action that was replayed
state, effect, outcome: how it ended: state delivered, dead, cancelled or expired, the effect of the outcome, and the gateway''s answer; NULL as long as it has not ended
other_outbox_id, other_state, other_effect, other_outcome: the same elsewhere; NULL if it was not replayed there
same: whether state, effect and the name of the outcome are the same; NULL unless both were delivered or are dead

Errors: P0002 no such batch, or none of its actions is covered, 22023 bad argument, also if the other side is the batch itself or its own target.';

CREATE FUNCTION acteon_replay_shadow_counts(
	batch_id bigint,
	other_batch_id bigint DEFAULT NULL,
	other_target text DEFAULT NULL)
RETURNS TABLE (same boolean, state text, effect text, outcome text, other_state text, other_effect text, other_outcome text, actions bigint)
LANGUAGE sql VOLATILE CALLED ON NULL INPUT ROWS 20
BEGIN ATOMIC
	SELECT s.same, s.state, s.effect, acteon_answer_name(s.outcome), s.other_state, s.other_effect, acteon_answer_name(s.other_outcome),
		pg_catalog.count(*)
	FROM acteon_replay_shadow(batch_id, other_batch_id, other_target) AS s
	GROUP BY 1, 2, 3, 4, 5, 6, 7
	ORDER BY s.same NULLS LAST, pg_catalog.count(*) DESC, s.state, s.effect, acteon_answer_name(s.outcome), s.other_state, s.other_effect,
		acteon_answer_name(s.other_outcome);
END;

COMMENT ON FUNCTION acteon_replay_shadow_counts(bigint, bigint, text) IS
	'Counts what acteon_replay_shadow returns: one row for each pair of results, those that differ first, with the names of the outcomes. Arguments and errors are those of acteon_replay_shadow.';

/*
 * Monitoring
 */

CREATE FUNCTION acteon_is_failure(state text, outcome text, effect text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'acteon_is_failure'
LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE;

COMMENT ON FUNCTION acteon_is_failure(text, text, text) IS
	'Returns whether an action that ended in this way, or is in doubt, counts as failed for circuit breakers: dead, in doubt, without effect, or Failed. Errors: 22023 not a state.';

CREATE FUNCTION acteon_replay_read_batches(
	batch_id bigint DEFAULT NULL,
	before bigint DEFAULT NULL,
	newest bigint DEFAULT NULL,
	kinds text[] DEFAULT NULL,
	tenant text DEFAULT NULL,
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
	OUT on_doubt text,
	OUT canary text,
	OUT refused bigint,
	OUT plan text,
	OUT awaits_until timestamptz,
	OUT approved_by name,
	OUT expired bigint,
	OUT paused bigint,
	OUT parts jsonb,
	OUT handed_to name,
	OUT target text,
	OUT kind text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'acteon_replay_read_batches'
LANGUAGE C VOLATILE CALLED ON NULL INPUT ROWS 100;

COMMENT ON FUNCTION acteon_replay_read_batches(bigint, bigint, bigint, text[], text) IS
	'Returns the rows of the view acteon_replay_batches: for all batches, or only for one batch, for those before a number, for those of some kinds, for those with actions of a tenant, or for a number of the newest of these, without counting the others.';

CREATE OR REPLACE VIEW acteon_replay_batches AS
	SELECT b.id AS batch_id, b.created_at, b.requested_by, b.session_role, b.reason, b.state, b.progress, b.matched,
		b.replayed, b.failed, b.skipped, b.passed_over, b.waiting, b.in_flight, b.delivered,
		b.delivered_by, b.dead, b.cancelled, b.rate, b.speed, b.time_left, b.start_at,
		b.breaker, b.stop_reason, b.stopped_by, b.stopped_at, b.failures, b.last_chunk_at,
		b.query, b.in_doubt, b.held, b.done, b.on_doubt, b.canary, b.refused, b.plan, b.awaits_until, b.approved_by,
		b.expired,
		b.paused, b.parts, b.handed_to, b.target, b.kind
	FROM acteon_replay_read_batches() AS b;

COMMENT ON COLUMN acteon_replay_batches.passed_over IS 'Records whose action already has a replay, took effect, had expired, or, with lost, was not lost.';
COMMENT ON COLUMN acteon_replay_batches.delivered IS 'Actions whose outcome is known; done is the number of these that took effect.';
COMMENT ON COLUMN acteon_replay_batches.cancelled IS 'Actions that were cancelled before they were sent, or by a person who settled a doubt.';
COMMENT ON COLUMN acteon_replay_batches.breaker IS
	'State of the circuit breaker, and when it opens. "3 of the last 50 failed, opens above 50 %": it opens when more than 25 of the last 50 deliveries have failed. "3 of 20 failed, opens above 50 % of 50": there have been only 20 deliveries so far, and it opens at the 26th failure, even before there are 50. "off": there is none. Actions without effect, Failed, dead and in doubt count as failed. What ended while the circuit breaker of its provider was open, or before it was last closed, does not count (acteon_replay_limits).';
COMMENT ON COLUMN acteon_replay_batches.in_doubt IS 'Actions that may have been executed and have no answer.';
COMMENT ON COLUMN acteon_replay_batches.held IS 'Of these, the ones that wait for a person (acteon_replay_settle) or for a record.';
COMMENT ON COLUMN acteon_replay_batches.done IS 'Of the delivered ones, how many were executed with success.';
COMMENT ON COLUMN acteon_replay_batches.refused IS 'Records that could not be replayed; the reasons are in failures, the records in acteon_replay_items(batch_id, ''refused'').';
COMMENT ON COLUMN acteon_replay_batches.on_doubt IS 'What to do with actions in doubt: resend or hold.';
COMMENT ON COLUMN acteon_replay_batches.stopped_by IS 'Role that stopped it; NULL: its circuit breaker or its canary.';
COMMENT ON COLUMN acteon_replay_batches.plan IS 'Digest of its plan, if it has one: acteon_replay_approve takes it.';
COMMENT ON COLUMN acteon_replay_batches.awaits_until IS 'Until when it waits for approval; NULL: it does not. Afterwards it is cancelled.';
COMMENT ON COLUMN acteon_replay_batches.approved_by IS 'Role that approved it.';
COMMENT ON COLUMN acteon_replay_batches.expired IS 'Actions that were not sent because they expired first (expire_after, ends_at).';
COMMENT ON COLUMN acteon_replay_batches.paused IS 'Of the waiting actions, those that were paused on their own (acteon_replay_pause with a tenant, a provider or action_ids): they wait even if the batch is running.';
COMMENT ON COLUMN acteon_replay_batches.parts IS 'Tenants and providers that are paused or cancelled apart from the rest of the batch, or parts that have a rate of their own, with the role, the time and the reason; NULL: none. The last one that an action belongs to holds. Of actions that were paused or cancelled by their ids, only the log tells.';
COMMENT ON COLUMN acteon_replay_batches.handed_to IS 'Role that the batch was handed over to (acteon_replay_hand_over), which steers it in place of requested_by; NULL: it was not handed over.';
COMMENT ON COLUMN acteon_replay_batches.target IS 'Where its actions are delivered to: production, or another target.';
COMMENT ON COLUMN acteon_replay_batches.kind IS 'What it is: single (acteon_replay), bulk (acteon_replay_bulk), all (acteon_replay_all), notification (an action that tells about another batch) or probe (an action with which a policy tries a provider).';
COMMENT ON COLUMN acteon_replay_batches.canary IS
	'How far the canary is: the open step, how many actions it and the steps before have released, and what it waits for: answers, records or a person. "passed": all steps have been released. It also says how many actions were judged by their answers because they had no audit records. NULL: the batch has none.';

ALTER TYPE acteon_replay_item ADD ATTRIBUTE effect text;
ALTER TYPE acteon_replay_item ADD ATTRIBUTE resends integer;
ALTER TYPE acteon_replay_item ADD ATTRIBUTE unproven boolean;
ALTER TYPE acteon_replay_item ADD ATTRIBUTE known_by text;
ALTER TYPE acteon_replay_item ADD ATTRIBUTE doubt text;
ALTER TYPE acteon_replay_item ADD ATTRIBUTE held text;

COMMENT ON COLUMN acteon_replay_item.new_action_id IS 'Id under which it was last sent, or will be sent.';
COMMENT ON COLUMN acteon_replay_item.state IS 'waiting, running, in_doubt, delivered, dead, cancelled or expired.';
COMMENT ON COLUMN acteon_replay_item.effect IS 'Effect of the outcome: done, none, later, decided or unknown; NULL for what was not delivered, and for deliveries of version 1.0.';
COMMENT ON COLUMN acteon_replay_item.resends IS 'How often it was given a new id.';
COMMENT ON COLUMN acteon_replay_item.unproven IS 'Whether it was sent again without proof that an earlier id had no effect.';
COMMENT ON COLUMN acteon_replay_item.known_by IS 'How the outcome is known: record (found in the audit table) or settled (a person decided). NULL: by the answer of the gateway.';
COMMENT ON COLUMN acteon_replay_item.doubt IS 'Why it is in doubt.';
COMMENT ON COLUMN acteon_replay_item.held IS 'Why it waits for a person or for a record.';

ALTER TYPE acteon_replay_item ADD ATTRIBUTE reason text;
ALTER TYPE acteon_replay_item ADD ATTRIBUTE page_key bigint;
ALTER TYPE acteon_replay_item ADD ATTRIBUTE patched boolean;
ALTER TYPE acteon_replay_item ADD ATTRIBUTE expires_at timestamptz;
ALTER TYPE acteon_replay_item ADD ATTRIBUTE paused boolean;
ALTER TYPE acteon_replay_item ADD ATTRIBUTE target text;
ALTER TYPE acteon_replay_item ADD ATTRIBUTE relay text;
ALTER TYPE acteon_replay_item ADD ATTRIBUTE gateway text;

COMMENT ON COLUMN acteon_replay_item.reason IS 'Why a record was refused, for programs; error has it in words. NULL for actions.';
COMMENT ON COLUMN acteon_replay_item.page_key IS 'For the next page, pass the last one as after_id: outbox_id, or of a refused record its number in the batch.';
COMMENT ON COLUMN acteon_replay_item.expires_at IS 'When it expires, or did; NULL: never.';
COMMENT ON COLUMN acteon_replay_item.paused IS 'Whether it waits because its batch is paused, or because it was paused on its own, alone or with its tenant or provider. NULL for refused records.';
COMMENT ON COLUMN acteon_replay_item.patched IS 'Whether its payload was changed by the patch of its batch, or by acteon_replay_patch. False as well if the patch changed nothing in it; true if an earlier replay with the same patch had changed it.';
COMMENT ON COLUMN acteon_replay_item.target IS 'Where it is delivered to: production, or another target.';
COMMENT ON COLUMN acteon_replay_item.relay IS 'Name of the consumer that has delivered it, or had it last; NULL: none had it, or it is unknown.';
COMMENT ON COLUMN acteon_replay_item.gateway IS 'Address to which that consumer delivers; NULL: it does not tell.';

CREATE FUNCTION acteon_replay_items(
	batch_id bigint,
	state text DEFAULT NULL,
	after_id bigint DEFAULT NULL,
	max_items bigint DEFAULT NULL,
	tenant text DEFAULT NULL,
	provider text DEFAULT NULL,
	from_time timestamptz DEFAULT NULL,
	to_time timestamptz DEFAULT NULL,
	effect text DEFAULT NULL)
RETURNS SETOF acteon_replay_item
AS 'MODULE_PATHNAME', 'acteon_replay_items'
LANGUAGE C VOLATILE CALLED ON NULL INPUT ROWS 1000;

COMMENT ON FUNCTION acteon_replay_items(bigint, text, bigint, bigint, text, text, timestamptz, timestamptz, text) IS
'Lists the actions of a batch that the caller''s grants cover, in the order of the outbox; or, with the state refused, the records that could not be replayed, with their reasons. It works on a standby, too.

Only those of the given state, tenant, provider and effect (done, none, later, decided or unknown), and only those that ended at from_time or later and before to_time, if these are given. Actions that have not ended have no effect and no time, and refused records have neither.

To read a large batch page by page, pass max_items, the size of a page, and as after_id the last page_key of the page before; a page reads no more of the batch than it has to. An export in psql: \copy (SELECT * FROM acteon_replay_items(7, tenant => ''acme'', effect => ''done'')) TO ''items.csv'' CSV HEADER

States:
waiting, running: not finished
in_doubt: may have been sent and has no answer
held: in doubt, and waiting for a person or a record
delivered, dead, cancelled, expired: finished
failed: dead, or delivered without effect or as Failed
refused: not replayed; only with this state, never among the others

Errors: P0002 no such batch, or none of its actions is covered, 22023 bad argument.';

CREATE FUNCTION acteon_replay_lineage(
	action_id text,
	target text DEFAULT NULL,
	OUT id text,
	OUT source text,
	OUT generation integer,
	OUT depth integer,
	OUT batch_id bigint,
	OUT requested_by name,
	OUT requested_at timestamptz,
	OUT reason text,
	OUT state text,
	OUT patch_sha256 text,
	OUT delivered_to text,
	OUT signer_id text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'acteon_replay_lineage'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_replay_lineage(text, text) IS
	'Returns the whole chain of replays to which an action belongs, given any action of it: the original first, then each replay after its source, one row for each action: id, source (the action that it replays), generation, depth, batch, who started it, when, why, state (original, waiting, running, in_doubt, delivered, dead, cancelled, expired), the SHA-256 of the patch that changed its payload, if one did, the target that it is delivered to, and who has signed it (signer_id of its newest record). Besides the replays to production, those to the given target are shown, or, without one, those to all targets of acteon_replay.targets, and in any case those to the target of the action itself. The patch itself is in the query of the batch, or in its patches. The argument is text, because original ids can be any string: acteon_replay_lineage(new_action_id::text). Only actions that the caller''s grants cover are returned; no rows for an action that was never replayed. Does not need the audit table; signer_id is NULL where the record is gone, cannot be found by an index on action ids, or is on another server.';

/*
 * A second person
 */

CREATE FUNCTION acteon_replay_approve(batch_id bigint, plan text, reason text DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_replay_approve(bigint, text, text) IS
'Approves a batch that is awaiting approval: one of acteon_replay_all with more records than acteon_replay.approval_above. Before that nothing of it is enqueued, and it cannot be resumed, continued or given another rate, only cancelled. Afterwards acteon_replay_continue, called by the role that started it, replays it. A batch that is not approved within 24 hours is cancelled.

The caller needs admin grants for all that the batch would replay, and must be a second person: neither its role nor the role of its session may be the role that started the batch or the role of the session in which that was done, or be a member of one of these, or have one of these as a member. This holds for superusers, too. Over HTTP, the role of the API key takes the place of the role of the session.

Arguments:
batch_id: the batch
plan: the digest of its plan, as acteon_replay_batches shows it
reason: the reason, which is stored in the log

Errors: P0002 no such batch, 42501 no admin grant for all of it, or not a second person, 22023 another plan, 55000 it is not awaiting approval, or not any more.';

/*
 * Steering, also of a part of a batch
 */

CREATE FUNCTION acteon_replay_pause(
	batch_id bigint,
	reason text DEFAULT NULL,
	tenant text DEFAULT NULL,
	provider text DEFAULT NULL,
	action_ids text[] DEFAULT NULL,
	OUT state text,
	OUT waiting bigint,
	OUT in_flight bigint,
	OUT cancelled bigint)
RETURNS record
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_replay_pause(bigint, text, text, text, text[]) IS
'Pauses a batch: once the call is committed, none of its actions is handed out until it is resumed, however many are waiting. Actions that a consumer holds at that moment are completed. A circuit breaker that opens does the same.

With a tenant, a provider or action_ids, pauses only the actions of the batch that meet all of these. They stay paused when the whole batch is paused and resumed, until they are resumed in the same way or with parts => true. While the batch is still being enqueued, this holds for later actions of the tenant or provider, too. The call waits for claims in progress and reads the batch once.

The role that started the batch, or that it was handed over to, can call it, as long as it may replay at all, and so can members of this role that inherit its rights, roles whose grants as admins or operators cover everything in the batch (while it is being enqueued: everything that its query selects), and superusers.

Arguments:
batch_id: the batch
reason: the reason, which is stored in the log
tenant: only the actions of this tenant, not of those below it
provider: only the actions of this provider
action_ids: only these actions, by their original or their new ids, at most 100,000

Returns the new state of the whole batch.

Errors: P0002 no such batch, or it has nothing of this tenant or provider, 42501 the caller may not steer it, 55000 the batch is cancelled, 54000 too many parts, 22023 bad argument.';

CREATE FUNCTION acteon_replay_resume(
	batch_id bigint,
	reason text DEFAULT NULL,
	tenant text DEFAULT NULL,
	provider text DEFAULT NULL,
	action_ids text[] DEFAULT NULL,
	parts boolean DEFAULT false,
	OUT state text,
	OUT waiting bigint,
	OUT in_flight bigint,
	OUT cancelled bigint)
RETURNS record
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_replay_resume(bigint, text, text, text, text[], boolean) IS
'Resumes a paused batch. It continues at its rate, so that actions that became due meanwhile are not sent in a burst. Its circuit breaker starts anew; a start_at in the future is kept. What was paused on its own stays paused, which a NOTICE reports.

With a tenant, a provider or action_ids, resumes only what of these was paused on its own. If the whole batch is paused, they wait for that. What the canary has passed by can be resumed only when the canary is over.

The role that started the batch, or that it was handed over to, can call it, as long as it may replay at all, and so can members of this role that inherit its rights, roles with admin grants that cover everything in the batch, and superusers.

Arguments:
batch_id: the batch
reason: the reason, which is stored in the log
tenant, provider, action_ids: only these actions, as in acteon_replay_pause
parts: with true, the batch and everything in it that was paused on its own

Returns the new state of the whole batch.

Errors: P0002 no such batch, or it has nothing of this tenant or provider, 42501 the caller may not steer it, 55000 the batch is cancelled, or its canary has passed the part by, 54000 too many parts, 22023 bad argument.';

CREATE FUNCTION acteon_replay_pause_all(
	reason text DEFAULT NULL,
	OUT batch_id bigint,
	OUT waiting bigint,
	OUT in_flight bigint,
	OUT outcome text)
RETURNS SETOF record
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_replay_pause_all(text) IS
'Pauses all batches of which something may still be sent, as acteon_replay_pause does each of them, in one transaction, and returns them. Once the call is committed, none of their actions is handed out until they are resumed. Not paused are batches that the caller may not pause, which a NOTICE reports; notifications, which tell people what happens; and batches that start afterwards, including those of calls that are not committed yet. Batches that are awaiting approval have nothing to send.

Batches that other transactions are steering or enqueueing are paused last. Each of them is waited for at most as long as lock_timeout says, or for one second if it is 0, and all of them for at most five seconds. Batches that are still locked then are not paused; a WARNING names them, and another call pauses them.

Each batch has an entry of its own in the log, with the reason. acteon_replay_resume_all resumes what was paused in this way; acteon_replay_resume resumes a single batch.

Arguments:
reason: the reason, which is stored in the log

Returns:
batch_id: the batch; NULL: all batches that the caller may neither pause nor see
waiting: how many of its actions wait; NULL: the caller may not pause it
in_flight: how many a consumer holds; these are completed; NULL: the caller may not pause it
outcome: paused, busy (another transaction has locked it: call the function again) or refused (the caller may not pause it)

Errors: 42501 the caller has no grant to replay anything, 22023 bad argument.';

CREATE FUNCTION acteon_replay_resume_all(
	reason text DEFAULT NULL,
	OUT batch_id bigint,
	OUT waiting bigint,
	OUT in_flight bigint,
	OUT outcome text)
RETURNS SETOF record
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_replay_resume_all(text) IS
'Resumes all batches that calls of acteon_replay_pause_all paused, by whichever role, as acteon_replay_resume does each of them, in one transaction, and returns them. Batches that were paused in another way stay paused, and so do those that were resumed and paused again since. A NOTICE reports batches that the caller may not resume. Batches that other transactions are steering, or of which actions are being claimed, are waited for as by acteon_replay_pause_all; a WARNING names those that are still locked then.

Arguments:
reason: the reason, which is stored in the log

Returns:
batch_id: the batch; NULL: all batches that the caller may neither resume nor see
waiting: how many of its actions wait; NULL: the caller may not resume it
in_flight: how many a consumer holds; NULL: the caller may not resume it
outcome: resumed, busy (another transaction has locked it: call the function again) or refused (the caller may not resume it)

Errors: 42501 the caller has no grant to replay anything, 22023 bad argument.';

CREATE FUNCTION acteon_replay_cancel(
	batch_id bigint,
	reason text DEFAULT NULL,
	tenant text DEFAULT NULL,
	provider text DEFAULT NULL,
	action_ids text[] DEFAULT NULL,
	OUT state text,
	OUT waiting bigint,
	OUT in_flight bigint,
	OUT cancelled bigint)
RETURNS record
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_replay_cancel(bigint, text, text, text, text[]) IS
'Cancels a batch permanently: once the call is committed, none of its actions is handed out, however many are waiting. Waiting actions become cancelled and can be replayed again, in a new batch; actions in flight are completed, and are cancelled if they are given back. The call waits for claims in progress, so the numbers that it returns are final. In a large batch the call itself records only a part of the cancelled actions (100,000), and later claims and purges the rest; no result shows the difference.

With a tenant, a provider or action_ids, cancels only the actions of the batch that meet all of these, and the batch goes on with the others. The call reads the batch once, and records all of them itself.

The roles that may pause the batch can call it.

Arguments:
batch_id: the batch
reason: the reason, which is stored in the log
tenant, provider, action_ids: only these actions, as in acteon_replay_pause

Returns the new state of the whole batch.

Errors: P0002 no such batch, or it has nothing of this tenant or provider, 42501 the caller may not steer it, 55000 it is awaiting approval and a part was given, 54000 too many parts, 22023 bad argument.';

CREATE FUNCTION acteon_replay_set_rate(
	batch_id bigint,
	rate numeric,
	reason text DEFAULT NULL,
	tenant text DEFAULT NULL,
	provider text DEFAULT NULL,
	action_ids text[] DEFAULT NULL,
	OUT state text,
	OUT waiting bigint,
	OUT in_flight bigint,
	OUT cancelled bigint)
RETURNS record
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_replay_set_rate(bigint, numeric, text, text, text, text[]) IS
'Changes the rate of a batch, in actions per second, for its waiting actions and for those that acteon_replay_all has still to enqueue; NULL: no limit. Retries do not become due earlier.

With a tenant, a provider or action_ids, gives only these actions a rate, which they keep beside that of the batch; NULL: they go at the rate of the batch again.

The roles that may resume the batch can call it. Those that may only pause it can slow it down: to a rate that is not above that of the batch, and for a part not above that of any other part.

Arguments:
batch_id: the batch
rate: actions per second
reason: the reason, which is stored in the log
tenant, provider, action_ids: only these actions, as in acteon_replay_pause

Returns the new state of the whole batch.

Errors: P0002 no such batch, or it has nothing of this tenant or provider, 42501 the caller may not steer it, 55000 the batch is cancelled, 54000 too many parts, 22023 bad argument.';

CREATE FUNCTION acteon_replay_set_start(
	batch_id bigint,
	start_at timestamptz,
	reason text DEFAULT NULL,
	OUT state text,
	OUT waiting bigint,
	OUT in_flight bigint,
	OUT cancelled bigint)
RETURNS record
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_replay_set_start(bigint, timestamptz, text) IS
'Changes the time before which nothing of a batch is handed out, in either direction; NULL: it begins, or goes on, at once. Its waiting actions become due from then on, at the rate of the batch; retries do not become due earlier. What a consumer holds is completed, also if the batch had begun.

The roles that may resume the batch can call it. Those that may only pause it can postpone it.

Arguments:
batch_id: the batch
start_at: the time
reason: the reason, which is stored in the log

Returns the new state of the batch.

Errors: P0002 no such batch, 42501 the caller may not steer it, 55000 the batch is cancelled, 22023 bad argument, such as infinity.';

CREATE FUNCTION acteon_replay_hand_over(batch_id bigint, role regrole, reason text DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_replay_hand_over(bigint, regrole, text) IS
'Hands a batch over to another role, which from then on steers it in place of the role that started it; that one stays recorded as requested_by. The other role needs grants as admin or operator for everything in the batch (while it is being enqueued: for everything that its query selects); otherwise the error says what is missing. It cannot continue a batch that was approved for the role that started it. A NOTICE tells if the batch is finished or cancelled, so that little is left to steer. Logged with both roles.

The roles that may resume the batch can call it.

Arguments:
batch_id: the batch
role: the role that it is handed over to
reason: the reason, which is stored in the log

Errors: P0002 no such batch, 42501 the caller may not steer it, or the other role has no grants for all of it, 42704 no such role, 55000 it is awaiting approval, 22023 bad argument.';

CREATE FUNCTION acteon_replay_may(batch_id bigint)
RETURNS text[]
AS 'MODULE_PATHNAME'
LANGUAGE C STABLE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_replay_may(bigint) IS
'What the calling role may do with a batch, by the names of the functions without acteon_replay_: pause and cancel; resume, set_rate, set_start, settle, hand_over and continue; and approve, if the batch is awaiting approval. It is about rights and not about what the state of the batch permits. Roles that may only pause and cancel may slow it down with acteon_replay_set_rate, too. Empty if there is no such batch. For programs that offer only what would not be refused. Works in read-only transactions and on a standby.

Arguments:
batch_id: the batch

Errors: 22023 bad argument.';

/*
 * Policies
 */

CREATE TABLE acteon_replay_policy (
	name text COLLATE pg_catalog."C" PRIMARY KEY
		CHECK (pg_catalog.octet_length(name) OPERATOR(pg_catalog.>=) 1 AND pg_catalog.octet_length(name) OPERATOR(pg_catalog.<=) 200),
	role_oid acteon_role NOT NULL,
	role_name name NOT NULL,
	query jsonb NOT NULL,
	rate numeric CHECK (rate OPERATOR(pg_catalog.>) 0::numeric),
	canary text NOT NULL CHECK (canary OPERATOR(pg_catalog.=) ANY ('{auto,off}'::text[])),
	quiet_from time,
	quiet_to time,
	time_zone text NOT NULL,
	max_a_day integer CHECK (max_a_day OPERATOR(pg_catalog.>) 0),
	probe_every interval NOT NULL,
	max_age interval NOT NULL,
	reason text,
	set_at timestamptz NOT NULL,
	last_run_at timestamptz,
	look_at timestamptz,
	day date,
	day_actions integer NOT NULL DEFAULT 0,
	disabled text,
	error text,
	retry_at timestamptz,
	CONSTRAINT acteon_replay_policy_quiet_check
		CHECK ((quiet_from IS NULL) OPERATOR(pg_catalog.=) (quiet_to IS NULL)
			AND (quiet_from IS NULL OR quiet_from OPERATOR(pg_catalog.<>) quiet_to))
);

COMMENT ON TABLE acteon_replay_policy IS
	'Policies, which acteon_replay_policy_run runs. The view acteon_replay_policies shows them.';
COMMENT ON COLUMN acteon_replay_policy.name IS 'Name of the policy.';
COMMENT ON COLUMN acteon_replay_policy.role_oid IS 'OID of the role that set it, as which it replays.';
COMMENT ON COLUMN acteon_replay_policy.role_name IS 'Name that the role had then.';
COMMENT ON COLUMN acteon_replay_policy.query IS 'Filters, in the wire form.';
COMMENT ON COLUMN acteon_replay_policy.rate IS 'Actions per second and provider; NULL: no limit.';
COMMENT ON COLUMN acteon_replay_policy.canary IS 'Whether the first batch after a recovery begins with a canary: auto or off.';
COMMENT ON COLUMN acteon_replay_policy.quiet_from IS 'Beginning of the quiet hours, in the time zone; NULL: there are none.';
COMMENT ON COLUMN acteon_replay_policy.quiet_to IS 'Their end, on the next day if it is earlier than the beginning.';
COMMENT ON COLUMN acteon_replay_policy.time_zone IS 'Time zone of the quiet hours and of max_a_day.';
COMMENT ON COLUMN acteon_replay_policy.max_a_day IS 'Actions that it replays on one day of the time zone; NULL: any number.';
COMMENT ON COLUMN acteon_replay_policy.probe_every IS 'Time from one probe to the next one.';
COMMENT ON COLUMN acteon_replay_policy.max_age IS 'Older records are not replayed.';
COMMENT ON COLUMN acteon_replay_policy.reason IS 'Reason of its batches; NULL: they name the policy.';
COMMENT ON COLUMN acteon_replay_policy.set_at IS 'When it was set.';
COMMENT ON COLUMN acteon_replay_policy.last_run_at IS 'When acteon_replay_policy_run last looked at it.';
COMMENT ON COLUMN acteon_replay_policy.look_at IS 'When to look next for what was lost; NULL: in the next run.';
COMMENT ON COLUMN acteon_replay_policy.day IS 'The day to which day_actions refers.';
COMMENT ON COLUMN acteon_replay_policy.day_actions IS 'Actions that it has replayed on that day, including those of earlier days that had not ended.';
COMMENT ON COLUMN acteon_replay_policy.disabled IS 'Why it is disabled; NULL: it is not.';
COMMENT ON COLUMN acteon_replay_policy.error IS 'Error of the last run; NULL: there was none.';
COMMENT ON COLUMN acteon_replay_policy.retry_at IS 'When it is run again after an error.';

CREATE TABLE acteon_replay_policy_provider (
	policy text COLLATE pg_catalog."C",
	provider text COLLATE pg_catalog."C",
	state text NOT NULL CHECK (state OPERATOR(pg_catalog.=) ANY ('{idle,probing,replaying}'::text[])),
	batch_id bigint,
	is_probe boolean NOT NULL,
	is_ours boolean NOT NULL,
	failing_since timestamptz,
	try_at timestamptz,
	failures integer NOT NULL,
	cursor text,
	at_end boolean NOT NULL,
	probed text[] NOT NULL,
	floor_at timestamptz,
	sweep_from timestamptz,
	sweep_to timestamptz,
	PRIMARY KEY (policy, provider)
);

COMMENT ON TABLE acteon_replay_policy_provider IS
	'What policies do for providers: one row for each policy and each provider that has lost something since the policy was set.';
COMMENT ON COLUMN acteon_replay_policy_provider.policy IS 'The policy, in acteon_replay_policy.';
COMMENT ON COLUMN acteon_replay_policy_provider.provider IS 'Name of the provider.';
COMMENT ON COLUMN acteon_replay_policy_provider.state IS 'idle, probing (it finds out whether the provider works) or replaying.';
COMMENT ON COLUMN acteon_replay_policy_provider.batch_id IS 'Its batch, until that has ended.';
COMMENT ON COLUMN acteon_replay_policy_provider.is_probe IS 'Whether that batch is a probe: a single action.';
COMMENT ON COLUMN acteon_replay_policy_provider.is_ours IS 'Whether the policy itself has paused or cancelled that batch.';
COMMENT ON COLUMN acteon_replay_policy_provider.failing_since IS 'When the first of the probes failed, or the last batch; NULL: the provider works, as far as is known.';
COMMENT ON COLUMN acteon_replay_policy_provider.try_at IS 'When the next probe is due; NULL: at once.';
COMMENT ON COLUMN acteon_replay_policy_provider.failures IS 'Batches in a row that failed, which determines the back-off.';
COMMENT ON COLUMN acteon_replay_policy_provider.cursor IS 'Where the next batch continues; NULL: at the beginning.';
COMMENT ON COLUMN acteon_replay_policy_provider.at_end IS 'Whether there is no next batch.';
COMMENT ON COLUMN acteon_replay_policy_provider.probed IS 'Ids of failed probes, which are tried again.';
COMMENT ON COLUMN acteon_replay_policy_provider.floor_at IS 'When a person has cancelled a batch of it, or a part of one: only later records are replayed.';
COMMENT ON COLUMN acteon_replay_policy_provider.sweep_from IS 'Replays since the recovery have records from this time.';
COMMENT ON COLUMN acteon_replay_policy_provider.sweep_to IS 'They have records up to this time, which is that of the recovery.';

ALTER TABLE acteon_replay_policy ENABLE ROW LEVEL SECURITY;
ALTER TABLE acteon_replay_policy_provider ENABLE ROW LEVEL SECURITY;
CREATE POLICY acteon_replay_policy_backup ON acteon_replay_policy FOR SELECT TO pg_read_all_data USING (true);
CREATE POLICY acteon_replay_policy_provider_backup ON acteon_replay_policy_provider FOR SELECT TO pg_read_all_data USING (true);
SELECT pg_catalog.pg_extension_config_dump('acteon_replay_policy', '');
SELECT pg_catalog.pg_extension_config_dump('acteon_replay_policy_provider', '');

CREATE FUNCTION acteon_quiet_until(at timestamptz, quiet_from time, quiet_to time, time_zone text)
RETURNS timestamptz
AS 'MODULE_PATHNAME'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION acteon_quiet_until(timestamptz, time, time, text) IS
	'Returns until when the quiet hours last, to the minute, if a time is within them, otherwise NULL. They begin when the clocks of the time zone show quiet_from, and end when they next show quiet_to. Of an hour that is shown twice, both times count; where the clocks skip quiet_from or quiet_to, the quiet hours begin or end at once. Error: 22023 unknown time zone.';

CREATE FUNCTION acteon_known_time_zone(name text)
RETURNS text
AS 'MODULE_PATHNAME'
LANGUAGE C STABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION acteon_known_time_zone(text) IS
	'Returns the name of a time zone, or NULL if there is none of this name. Abbreviations are no names. Raises no errors of its own.';

CREATE FUNCTION acteon_replay_policy_set(
	name text,
	filters jsonb DEFAULT '{}',
	rate numeric DEFAULT NULL,
	canary acteon_canary DEFAULT 'auto',
	quiet_from time DEFAULT NULL,
	quiet_to time DEFAULT NULL,
	time_zone text DEFAULT NULL,
	max_a_day integer DEFAULT NULL,
	probe_every interval DEFAULT '5 seconds',
	max_age interval DEFAULT '1 day',
	reason text DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_replay_policy_set(text, jsonb, numeric, acteon_canary, time, time, text, integer, interval, interval, text) IS
'Sets a policy, in place of the one of this name, if there is one: what providers lose is replayed by itself as soon as they work again. acteon_replay_policy_run does that; pg_cron can call it every few seconds. It replays as the role that calls this function, with the grants that the role has then. Only this role, roles that inherit its privileges, and superusers can change the policy.

When something that a provider lost can be replayed, the policy replays a single action as a probe, and another one after probe_every as long as these fail. When one takes effect, it replays the rest, oldest first, in batches of at most a minute and 1,000 records, one after the other. If more than half of a batch fails, or its circuit breaker (of 10 deliveries, unless filters has another breaker_window) pauses it, the policy cancels the batch and probes again, after 10 seconds at first, and at most 10 minutes.

It waits while a batch of its own, or a part of it, is paused by a person, and leaves alone what a person has cancelled, a batch or a part: then it replays only records that are dispatched later. It does not steer a batch that was handed over.

Arguments:
name: name of the policy, 1 to 200 bytes
filters: which actions, as for acteon_replay_bulk(jsonb); lost is always true. Not permitted are the keys that the policy determines itself: outcome, action_ids, to, limit, cursor, rate, start_at, canary and the like
rate: actions per second, for each provider, at least 0.001. NULL: no limit
canary: auto: the first batch after a recovery begins with a canary; off: it does not
quiet_from, quiet_to: hours of the day in which nothing is replayed; batches are paused meanwhile. They may include midnight. Nothing begins in the last quarter of a minute before
time_zone: time zone of the quiet hours and of max_a_day, by its full name. NULL: that of the session
max_a_day: how many actions it replays on one day, probes included. NULL: any number
probe_every: how long after a probe the next one follows, if it failed, 1 second to 1 hour
max_age: older records are not replayed, 1 minute to 366 days; after so much time without a successful probe it gives up, until there are new records
reason: the reason of its batches, which is logged

Errors: 42501 no grant as admin or operator, or the policy of another role, 22023 bad argument.';

CREATE FUNCTION acteon_replay_policy_drop(name text, reason text DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_replay_policy_drop(text, text) IS
	'Drops a policy. Its batches are not changed: what they have enqueued goes out, unless it is cancelled. Errors: P0002 no such policy, 42501 the policy of another role, 22023 bad argument.';

CREATE FUNCTION acteon_replay_policy_run(
	name text DEFAULT NULL,
	OUT policy text,
	OUT provider text,
	OUT batch_id bigint,
	OUT what text)
RETURNS SETOF record
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE CALLED ON NULL INPUT ROWS 10;

COMMENT ON FUNCTION acteon_replay_policy_run(text) IS
'Takes the steps of policies that are due, and returns what it found out or decided, which is logged as well; mostly that is no row. It does not wait for what is not due yet, and for locks of other transactions at most one second, so it is called again and again, for example by pg_cron every 5 seconds. What the role of a policy has set itself (ALTER ROLE) for acteon_replay.plan_above and acteon_replay.approval_above holds for it as well as what the calling session has; other settings are those of the session. Runs of one policy exclude each other: a policy that another call is running is passed over.

Only policies of the calling role, and of roles whose privileges it inherits, are run; those of all roles if a superuser calls. An error stops only the policy that raised it, for a minute; it is reported as a WARNING, and acteon_replay_policies shows it. A policy whose role was dropped is disabled.

Arguments:
name: which policy. NULL: all

Errors: P0002 no such policy.';

CREATE VIEW acteon_replay_policies WITH (security_barrier) AS
	SELECT p.name, r.provider, s.state,
		CASE
			WHEN s.state OPERATOR(pg_catalog.=) 'disabled'::text THEN p.disabled
			WHEN s.state OPERATOR(pg_catalog.=) 'error'::text THEN p.error
			WHEN s.state OPERATOR(pg_catalog.=) 'quiet'::text THEN 'the end of the quiet hours'::text
			WHEN s.state OPERATOR(pg_catalog.=) 'day limit'::text THEN 'the next day'::text
			WHEN s.state OPERATOR(pg_catalog.=) 'held'::text AND b.state OPERATOR(pg_catalog.=) 'paused'::text AND b.stopped_by IS NOT NULL AND NOT r.is_ours
				THEN pg_catalog.format('batch %s, which %s has paused'::text, b.id::text, b.stopped_by::text)
			WHEN s.state OPERATOR(pg_catalog.=) 'held'::text THEN pg_catalog.format('batch %s, of which a part is paused'::text, b.id::text)
			WHEN r.batch_id IS NOT NULL AND r.is_probe THEN pg_catalog.format('the result of a probe, batch %s'::text, r.batch_id::text)
			WHEN r.batch_id IS NOT NULL THEN pg_catalog.format('the end of batch %s'::text, r.batch_id::text)
			WHEN s.state OPERATOR(pg_catalog.=) 'probing'::text AND r.failing_since IS NOT NULL THEN 'the next probe, as the provider fails'::text
			WHEN s.state OPERATOR(pg_catalog.=) 'probing'::text THEN 'the next probe'::text
			WHEN s.state OPERATOR(pg_catalog.=) 'replaying'::text THEN 'the next run'::text
			ELSE 'something to be lost'::text
		END AS waits_for,
		CASE
			WHEN s.state OPERATOR(pg_catalog.=) 'disabled'::text THEN NULL
			WHEN s.state OPERATOR(pg_catalog.=) 'error'::text THEN p.retry_at
			WHEN s.state OPERATOR(pg_catalog.=) 'quiet'::text THEN q.quiet_until
			WHEN s.state OPERATOR(pg_catalog.=) 'day limit'::text
				THEN pg_catalog.timezone(z.time_zone, (q.today OPERATOR(pg_catalog.+) 1)::timestamp)
			WHEN r.batch_id IS NOT NULL THEN NULL
			WHEN s.state OPERATOR(pg_catalog.=) 'probing'::text THEN r.try_at
			WHEN s.state OPERATOR(pg_catalog.=) 'replaying'::text THEN NULL
			ELSE p.look_at
		END AS next_try,
		p.last_run_at, r.batch_id, r.failing_since, p.role_name AS set_by, p.set_at,
		p.query AS filters, p.rate, p.canary, p.quiet_from, p.quiet_to, p.time_zone,
		CASE WHEN p.day OPERATOR(pg_catalog.=) q.today THEN p.day_actions ELSE 0 END AS replayed_today, p.max_a_day,
		p.probe_every, p.max_age, p.reason
	FROM acteon_replay_policy AS p
		CROSS JOIN LATERAL (SELECT acteon_known_time_zone(p.time_zone) AS time_zone) AS z
		CROSS JOIN LATERAL (SELECT acteon_quiet_until(pg_catalog.now(), p.quiet_from, p.quiet_to, z.time_zone) AS quiet_until,
			pg_catalog.timezone(z.time_zone, pg_catalog.now())::date AS today) AS q
		LEFT JOIN acteon_replay_policy_provider AS r ON r.policy OPERATOR(pg_catalog.=) p.name
		LEFT JOIN LATERAL acteon_replay_read_batches(r.batch_id) AS b ON r.batch_id IS NOT NULL
		CROSS JOIN LATERAL (SELECT CASE
				WHEN p.disabled IS NOT NULL THEN 'disabled'::text
				WHEN p.error IS NOT NULL THEN 'error'::text
				WHEN q.quiet_until IS NOT NULL THEN 'quiet'::text
				WHEN p.day OPERATOR(pg_catalog.=) q.today AND p.day_actions OPERATOR(pg_catalog.>=) p.max_a_day THEN 'day limit'::text
				WHEN b.state OPERATOR(pg_catalog.=) 'paused'::text AND b.stopped_by IS NOT NULL AND NOT r.is_ours THEN 'held'::text
				WHEN b.paused OPERATOR(pg_catalog.>) 0 THEN 'held'::text
				ELSE coalesce(r.state, 'idle'::text)
			END AS state) AS s
	WHERE pg_catalog.pg_has_role(p.role_oid::oid, 'USAGE'::text);
GRANT SELECT ON acteon_replay_policies TO PUBLIC;

COMMENT ON VIEW acteon_replay_policies IS
	'Policies, with a row for each provider that has lost something since. A role sees its own policies and those of roles whose privileges it inherits; superusers see all.';
COMMENT ON COLUMN acteon_replay_policies.provider IS 'NULL: nothing has been lost yet.';
COMMENT ON COLUMN acteon_replay_policies.state IS 'idle: nothing that was lost can be replayed; probing: it finds out whether the provider works, with one action at a time; replaying; held: a person has paused its batch, or a part of it, if the reader may see that; quiet: quiet hours; day limit: max_a_day is reached; error: the last run failed; disabled: its role was dropped.';
COMMENT ON COLUMN acteon_replay_policies.waits_for IS 'What it waits for, or why it does nothing.';
COMMENT ON COLUMN acteon_replay_policies.next_try IS 'When it can go on; NULL: when what it waits for happens, or in the next run.';
COMMENT ON COLUMN acteon_replay_policies.last_run_at IS 'When acteon_replay_policy_run last looked at it; NULL: never. If this is long ago, nobody calls the function.';
COMMENT ON COLUMN acteon_replay_policies.batch_id IS 'Its batch that has not ended.';
COMMENT ON COLUMN acteon_replay_policies.failing_since IS 'Since when the provider has failed; NULL: it works, as far as is known.';
COMMENT ON COLUMN acteon_replay_policies.name IS 'Name of the policy.';
COMMENT ON COLUMN acteon_replay_policies.set_at IS 'When it was set.';
COMMENT ON COLUMN acteon_replay_policies.filters IS 'Which actions, as for acteon_replay_bulk(jsonb).';
COMMENT ON COLUMN acteon_replay_policies.rate IS 'Actions per second, for each provider; NULL: no limit.';
COMMENT ON COLUMN acteon_replay_policies.canary IS 'Whether the first batch after a recovery begins with a canary: auto or off.';
COMMENT ON COLUMN acteon_replay_policies.quiet_from IS 'Beginning of the quiet hours; NULL: there are none.';
COMMENT ON COLUMN acteon_replay_policies.quiet_to IS 'Their end.';
COMMENT ON COLUMN acteon_replay_policies.time_zone IS 'Time zone of the quiet hours and of max_a_day.';
COMMENT ON COLUMN acteon_replay_policies.max_a_day IS 'Actions that it replays on one day at most; NULL: any number.';
COMMENT ON COLUMN acteon_replay_policies.probe_every IS 'Time from one probe to the next one.';
COMMENT ON COLUMN acteon_replay_policies.max_age IS 'Older records are not replayed.';
COMMENT ON COLUMN acteon_replay_policies.reason IS 'Reason of its batches; NULL: they name the policy.';
COMMENT ON COLUMN acteon_replay_policies.set_by IS 'Role that set it, by the name that it had then.';
COMMENT ON COLUMN acteon_replay_policies.replayed_today IS 'Actions that it has replayed today, in its time zone, including those of yesterday that had not ended.';

/*
 * Another payload for what waits
 */

CREATE FUNCTION acteon_replay_patch(
	batch_id bigint,
	patch jsonb DEFAULT NULL,
	patch_path text DEFAULT NULL,
	patch_value jsonb DEFAULT NULL,
	reason text DEFAULT NULL,
	tenant text DEFAULT NULL,
	provider text DEFAULT NULL,
	action_ids text[] DEFAULT NULL,
	OUT patched bigint,
	OUT unchanged bigint,
	OUT refused bigint,
	OUT sent bigint,
	OUT passed_over bigint)
RETURNS record
AS 'MODULE_PATHNAME', 'acteon_replay_patch'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_replay_patch(bigint, jsonb, text, jsonb, text, text, text, text[]) IS
'Patches payloads of actions of a batch that wait and were never handed out, all of them or those of a tenant, of a provider or with some ids. Each action that is patched is cancelled, and its copy with the new payload is enqueued in the same batch, as the next replay of the action and with the same due time; it expires when the original does, and what is paused on its own, or has a rate of its own, remains so. All of that is done in one transaction. So the batch counts it once more among replayed, and the original among cancelled. Consumers cannot claim actions of the batch meanwhile. While the canary of the batch is open, copies are held back like what is enqueued later.

The caller needs an admin grant, or one with may_patch, for everything in the batch. Each call is logged in acteon_replay_log, with the patch and its SHA-256. A batch that acteon_replay_all has not enqueued completely, and one that was approved by a second person, cannot be patched.

Arguments:
batch_id: the batch
patch, patch_path, patch_value: as for acteon_replay_bulk
reason: the reason, which is stored in the log
tenant, provider, action_ids: only these actions, as in acteon_replay_pause

Returns:
patched: actions that were patched
unchanged: actions in which the patch changes nothing; they stay as they are
refused: actions that stay as they are because their payload is encrypted, or cannot be read, or would be redacted or too large with the patch
sent: actions that were handed out before and have not ended; they are not patched
passed_over: actions that are not patched because they have expired, because they were, or are being, replayed again, or because others with the same fingerprint that are not patched would overtake them

Errors: P0002 no such batch, 42501 no grant to patch all of it, 55000 the batch is cancelled, not completely enqueued, awaiting approval or approved, 22023 bad argument, 0A000 a path to something else than places.';

/*
 * Comments on objects of version 1.0; doc/reference.md is made from them
 */

COMMENT ON FUNCTION acteon_replay_preview(jsonb, integer) IS
	'The same for programs: takes the wire form and returns one object, with the query under "query".';

COMMENT ON PROCEDURE acteon_replay_all(jsonb, numeric, timestamptz, text, integer, bigint, bigint, bigint, bigint) IS
	'The same for a query in the form that acteon_replay_preview returns. rate, start_at and reason, if given, replace those of the query.';

COMMENT ON PROCEDURE acteon_replay_continue(bigint, integer, text, bigint, bigint, bigint) IS
	'Continues a batch whose acteon_replay_all was interrupted by a crash, a cancelled statement or a failover; nothing is replayed twice or left out. The grants of the calling role apply; two concurrent calls take turns. Does nothing if the batch is complete. The roles that may resume the batch can call it. Errors: P0002 no such batch, 42501 the caller may not steer it, 55000 not a batch of acteon_replay_all or cancelled, 2D000 inside a transaction block.';

CREATE FUNCTION acteon_replay_open(
	query jsonb,
	reason text DEFAULT NULL,
	OUT batch_id bigint,
	OUT matched bigint,
	OUT plan text,
	OUT awaits_approval boolean)
RETURNS record
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_replay_open(jsonb, text) IS
'Writes down the batch of an acteon_replay_all with this query, in the transaction of the caller, and enqueues nothing: acteon_replay_continue or acteon_replay_continue_step do that, after acteon_replay_approve if it is awaiting approval. Until then the batch is shown as interrupted, or as awaiting approval. For functions and for the HTTP server, where acteon_replay_all cannot be called.

Arguments:
query: the query, in the wire form
reason: the reason, which is stored with the batch

Columns:
batch_id: number of the batch; NULL if nothing matches: then there is none
matched: how many records match
plan: digest of its plan, if it has one
awaits_approval: whether it must be approved before anything of it is enqueued

Errors: those of acteon_replay_all.';

CREATE FUNCTION acteon_replay_continue_step(
	batch_id bigint,
	chunk integer DEFAULT NULL,
	reason text DEFAULT NULL,
	OUT replayed bigint,
	OUT failed bigint,
	OUT skipped bigint,
	OUT is_complete boolean)
RETURNS record
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_replay_continue_step(bigint, integer, text) IS
'Continues a batch of acteon_replay_all by one chunk, in the transaction of the caller, where acteon_replay_continue cannot be called: in functions and by the HTTP server. Call it again until is_complete. It does not wait: while the batch is paused, or, with a rate, is a minute ahead of its deliveries, it examines nothing, and writes nothing into the log. Between the calls the batch is shown as interrupted.

The grants of the calling role apply, and it must be allowed to continue the batch as with acteon_replay_continue.

Arguments:
batch_id: the batch
chunk: how many records to examine, 1 to 10000; NULL: the chunk of the batch
reason: the reason, which is stored in the log

Returns the progress of the whole batch.

Errors: P0002 no such batch, 42501 the caller may not steer it, 55000 not a batch of acteon_replay_all, awaiting approval or cancelled, 22023 bad argument.';

COMMENT ON FUNCTION acteon_authorized(text, text, text, text) IS
	'Returns whether an admin, operator or viewer grant of the current role covers this tenant, namespace, provider and action type; false if one of them is NULL. The extension''s row-level security policies use it, and other policies can use it, too: grants are read once for each query.';

COMMENT ON FUNCTION acteon_outbox_extend(bigint[], interval) IS
	'Extends leases, so that they end the given time from now, unless they end later already. Returns the tokens under which actions are still leased; the consumer must not send the actions that the other tokens covered. An expired lease cannot be extended. Errors: 42501 no gateway grant, 22023 bad argument.';

-- It looks at the keys as they are at the moment, whatever the statement's snapshot.
ALTER FUNCTION acteon_api_login(bytea) VOLATILE;

CREATE FUNCTION acteon_api_current_key()
RETURNS text
AS 'MODULE_PATHNAME', 'acteon_api_current_key'
LANGUAGE C STABLE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_api_current_key() IS
	'Returns the name of the API key with which acteon_api_login was called in this transaction, whatever its role is now; NULL if there is none.';

COMMENT ON FUNCTION acteon_api_key_create(text, regrole, timestamptz) IS
	'Creates an API key for the HTTP server, whose requests with this key act as the role, and returns it: acteon_ and 43 characters, which encode 32 random bytes. Only the SHA-256 is stored, so the key cannot be shown again. The name has 1 to 200 bytes and cannot be reused, even after the key is revoked. The caller must be able to SET ROLE to the role, which must not be a superuser, because grants do not limit superusers. Logged in acteon_replay_log, without the key. Errors: 42501 not the caller''s role, 22023 bad argument or a superuser, 42704 no such role, 42710 the name is in use, even if by a revoked key.';

COMMENT ON FUNCTION acteon_api_key_revoke(text) IS
	'Revokes an API key permanently, from the commit on; returns when it was revoked, which is the earlier time if it was revoked before. The caller must be able to SET ROLE to the key''s role; if that role was dropped, the caller must be a superuser. Logged in acteon_replay_log. Errors: P0002 no such key, 42501 not the caller''s role, 22023 bad argument.';

COMMENT ON FUNCTION acteon_api_begin(bigint, text, bytea) IS
	'Begins a request with an Idempotency-Key (1 to 255 bytes; key_id 0 for anonymous requests). It must be called first in the transaction. Returns no row if the request must be processed, and the first answer if it was processed in the last 24 hours. If another transaction is processing it, waits for that to end; if that is rolled back, the request must be processed. Errors: 42710 the Idempotency-Key was used for another request (nothing else here raises this error); 55000 it was begun and committed without an answer, or begun twice in one transaction; 22023 bad argument; in REPEATABLE READ also 40001, the answer is newer than the snapshot.';

COMMENT ON VIEW acteon_replay_batches IS
'All batches and their progress, one row for each. Finished actions are counted from acteon_replay_tally and unfinished ones from acteon_dispatch_segment, so reading a batch of a million actions takes as long as reading one of a thousand. replayed is the sum of waiting, in_flight, in_doubt, delivered, dead and cancelled. The view works on a standby, too.

A role sees all of a batch that it started, or whose whole scope its grants cover. Of a batch that its grants cover in part, it sees the state, the rate and the counts for that part, and NULL in columns that would show the rest; these counts are made action by action, which takes seconds for a large batch, and do not include purged actions. Superusers and roles with a gateway grant see all batches.';

COMMENT ON COLUMN acteon_replay_batches.progress IS
	'Percentage of its actions that have ended (delivered, dead, cancelled or expired), with one decimal; while it is enqueuing, percentage of the matching records that have been examined and have no waiting or in-flight action.';

COMMENT ON COLUMN acteon_replay_batches.delivered_by IS
	'Number of delivered actions by name of the gateway''s outcome, such as {"Failed": 3, "Executed": 12000}; ? stands for none.';

COMMENT ON TABLE acteon_dispatch_outbox IS
	'The replayed actions, as they are sent to the gateway. Insert-only: the state of an action is in acteon_dispatch_segment and acteon_dispatch_delivery.';

COMMENT ON COLUMN acteon_replay_item.outcome IS
	'The gateway''s answer, or the outcome in its record in the same form.';

COMMENT ON TABLE acteon_grants IS
	'Which roles may replay or read which records. A row applies to its role and to members that inherit its privileges; one row that covers a record is enough. Superusers need no row.';
COMMENT ON COLUMN acteon_grants.grantee IS
	'PostgreSQL role that holds the grant. Follows ALTER ROLE ... RENAME; a row of a dropped role has no effect.';
COMMENT ON COLUMN acteon_grants.role IS
	'admin and operator may replay and read, viewer may read, gateway may claim actions from the outbox and record their results.';

COMMENT ON TABLE acteon_replay_batch IS
	'One row for each call of a replay function that found something: who called it, when, why, with what query, its progress and its end. The view acteon_replay_batches adds the results of the actions.';
COMMENT ON COLUMN acteon_replay_batch.requested_by IS 'Name that the role had that made the call (current_user), whose grants were checked.';
COMMENT ON COLUMN acteon_replay_batch.requested_by_oid IS 'The role itself, which may steer the batch unless it was handed over: also after it was renamed, and after a restore. Empty if it was dropped; a later role of the same name is another role.';
COMMENT ON COLUMN acteon_replay_batch.query IS 'The query, in the form that acteon_replay_bulk(jsonb) takes; {"action_id": ...} for a single replay.';
COMMENT ON COLUMN acteon_replay_batch.failed IS 'Records that could not be replayed, which are called refused elsewhere; the reasons are in failures, the records in acteon_replay_refused.';
COMMENT ON COLUMN acteon_replay_batch.cursor IS 'Position that acteon_replay_all has reached; NULL at the beginning and at the end.';
COMMENT ON COLUMN acteon_replay_batch.is_complete IS 'Whether all matching records have been examined. acteon_replay_continue continues a batch that is not complete.';
COMMENT ON COLUMN acteon_replay_batch.start_at IS 'None of its actions is due earlier; NULL: at once.';

COMMENT ON COLUMN acteon_dispatch_segment.was_claimed IS 'Whether it has ever been claimed, so that an ack may still arrive.';

COMMENT ON TABLE acteon_replay_tally IS
	'Counts of finished actions by batch, a few rows for each call that finished some; progress and circuit breakers are computed from it. For each batch, these counts and the actions in its segments add up to acteon_replay_batch.replayed, even after actions have been purged.';
COMMENT ON COLUMN acteon_replay_tally.actions IS 'Number of actions; negative if a redrive put dead ones back into the queue.';

COMMENT ON COLUMN acteon_replay_log.role_name IS 'Name that the role had that did it (current_user); for a circuit breaker, the consumer whose answer opened it.';
COMMENT ON COLUMN acteon_replay_log.role_oid IS 'The role itself: also after it was renamed, and after a restore. Empty if it was dropped; a later role of the same name is another role.';

COMMENT ON TABLE acteon_api_keys IS
	'The API keys of the HTTP server, of which only a hash is stored, and the roles as which they act. Written by acteon_api_key_create and acteon_api_key_revoke. Revoked keys stay in the table, so that their names cannot be reused.';
COMMENT ON COLUMN acteon_api_keys.name IS 'Name of the key; 1 to 200 bytes.';
COMMENT ON COLUMN acteon_api_keys.key_sha256 IS 'SHA-256 of the key. The key itself is 32 random bytes, shown once, when it is created.';
COMMENT ON COLUMN acteon_api_keys.role IS 'Role as which requests with this key act; its grants apply. Follows ALTER ROLE ... RENAME; a key of a dropped role is not accepted.';
COMMENT ON COLUMN acteon_api_keys.last_used_at IS 'When it was last used, as far as the servers have reported.';
COMMENT ON COLUMN acteon_api_keys.expires_at IS 'When it expires; NULL: never.';

COMMENT ON TABLE acteon_api_answers IS
	'Answers of the HTTP server to requests with an Idempotency-Key, kept for 24 hours: a repeated request gets the first answer. A row is committed together with the effects of its request.';
COMMENT ON COLUMN acteon_api_answers.request_sha256 IS 'SHA-256 of the request, which distinguishes a repeated request from another one with the same key.';

COMMENT ON COLUMN acteon_replay_batches.requested_by IS 'Role that made the call (current_user).';
COMMENT ON COLUMN acteon_replay_batches.state IS 'awaiting approval; enqueuing: a call of acteon_replay_all or acteon_replay_continue is at work on it; interrupted: that call ended, in whichever way, before everything was enqueued; scheduled: everything is enqueued, and due at start_at; running; in doubt: all actions that are left are in doubt; paused; cancelled; finished. On a standby, interrupted batches are shown as enqueuing.';
COMMENT ON COLUMN acteon_replay_batches.failed IS 'The same as refused, by the name that version 1.0 and the gateway have for it. Actions that were sent and had no effect are not among them: acteon_replay_items(batch_id, ''failed'').';
COMMENT ON COLUMN acteon_replay_batches.waiting IS 'Actions that are waiting, due or not, paused or not.';
COMMENT ON COLUMN acteon_replay_batches.dead IS 'Dead actions that were not redriven.';
COMMENT ON COLUMN acteon_replay_batches.speed IS 'Actions per second that were delivered or became dead in the last minute, or since the start.';
COMMENT ON COLUMN acteon_replay_batches.time_left IS 'Estimated time until everything is delivered, including actions that are still to be enqueued, at its rate or, if it has none, at its speed; NULL if that is unknown, nothing is left, or it does not go on by itself.';
COMMENT ON COLUMN acteon_replay_batches.start_at IS 'None of its actions is due earlier; NULL: at once.';
COMMENT ON COLUMN acteon_replay_batches.query IS 'The query, in the form that acteon_replay_bulk(jsonb) takes; {"action_id": ...} for a single replay.';

COMMENT ON COLUMN acteon_replay_item.due_at IS 'When it can be claimed; NULL if it is not waiting, its batch is paused, or it waits for a limit or a circuit breaker of its provider or tenant (acteon_replay_limits).';
COMMENT ON COLUMN acteon_replay_item.error IS 'Last error of a dead action.';

COMMENT ON VIEW acteon_dead_letters IS
	'Dead actions that were not redriven, as far as the reader''s grants cover them.';

COMMENT ON VIEW acteon_outbox_stats IS
	'The state of the queue of production in one row, for roles with a gateway grant; acteon_outbox_read_stats returns that of another target. Reads the segments and the most recent deliveries, not the outbox.';
COMMENT ON COLUMN acteon_outbox_stats.dead IS 'Dead actions that were not redriven.';
COMMENT ON COLUMN acteon_outbox_stats.dead_5m IS 'Actions that became dead in the last five minutes.';
COMMENT ON COLUMN acteon_outbox_stats.oldest_due_age IS 'How long the action that became due first has been due; NULL if none is due.';
COMMENT ON COLUMN acteon_outbox_stats.paused IS 'Actions of paused batches that no consumer holds; they count in depth and in no other column.';

/*
 * Help
 */

CREATE FUNCTION acteon_replay_help(
	topic text DEFAULT NULL,
	OUT topic text,
	OUT statement text,
	OUT why text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'acteon_replay_help'
LANGUAGE C VOLATILE CALLED ON NULL INPUT ROWS 10;

COMMENT ON FUNCTION acteon_replay_help(text) IS
'Returns what the caller can do now, a row for each: what batches wait for (an approval, a decision, resuming, continuing), parts of batches that are paused, dead and expired actions, refused records, actions that no relay claims, open circuit breakers, what was lost in the last day, and how to set a notification while there is none. It depends on what the caller''s grants allow and cover; a caller without a grant is told whom to ask for one. It only reads, and works on a standby.

It looks at the 100 newest batches, and at a bounded number of the newest records of the audit table, in the day before the newest one; dead actions are shown for 7 days, refused records and expired actions for one.

Arguments:
topic: return short help on the functions, views, settings and arguments of replays with this name instead, or, if there are none, on those with this in their names, or else in their descriptions: pause, dead_letters, approval

Returns:
topic: what the row is about, which can be passed as topic
statement: a statement to copy; in short help, how it is called
why: what it is for

Errors: none of its own.';

CREATE FUNCTION acteon_outbox_check(
	from_id bigint DEFAULT NULL,
	to_id bigint DEFAULT NULL,
	OUT violation text,
	OUT outbox_id bigint,
	OUT detail text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'acteon_outbox_check'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_outbox_check(bigint, bigint) IS
	'Checks the consistency of the outbox, or only of the actions with outbox ids from from_id to to_id: every action is either finished or covered by one segment, which belongs to its batch and lane; no lane is leased twice, no action is queued twice, and no replay is missing; and compares rows and deliveries with what is linked in the trail. Returns one row for each violation, so normally none. It reads all rows, and raises a NOTICE after each million ids. The counts of the batches, the log, and the trail itself are checked only if no range is given. Error: 42501 no gateway grant.';

CREATE FUNCTION acteon_replay_verify(
	witness text DEFAULT NULL,
	OUT verdict text,
	OUT subject text,
	OUT reference bigint,
	OUT detail text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'acteon_replay_verify'
LANGUAGE C VOLATILE CALLED ON NULL INPUT;

COMMENT ON FUNCTION acteon_replay_verify(text) IS
'Verifies that the outbox, the deliveries, the batches, the log and the removals are what they were when they were linked in the trail, that no link was changed, and that the chain has the links of witnesses that were kept elsewhere. It returns a row for each violation, and then rows that say what was checked and what cannot be known. It only reads, so it works on a standby, too. It reads all rows.

Arguments:
witness: a line of acteon_replay_witness, or several, each on a line of its own. Something else may stand before a witness on a line, as in a log, but only another witness behind it

Returns:
verdict: violation, checked or unknown
subject: what the row is about; of a violation, its name: those that acteon_outbox_check reports about the trail, witness differs (the chain was computed again), witness missing (it has lost its end) or witness of another installation
reference: outbox id, number of the batch, entry or removal, or position of the link
detail: what differs, what was checked, or what cannot be known

Errors: 42501 no gateway grant and no grant of an admin, operator or viewer for everything, 22023 not a witness.';

CREATE FUNCTION acteon_replay_witness()
RETURNS text
AS 'MODULE_PATHNAME', 'acteon_replay_witness'
LANGUAGE C VOLATILE;

COMMENT ON FUNCTION acteon_replay_witness() IS
'Returns a line about the last link of the trail, to be kept where nobody who can change the database can change it, for acteon_replay_verify: acteon-witness 1, the installation, the position and the hash of the link, when it was linked, and a check against mistakes in copying. It contains no data and no secrets. It only reads, so it works on a standby, too, and links nothing; call acteon_replay_trail_link before, in a transaction of its own.

Errors: 42501 no gateway grant and no grant of an admin, operator or viewer for everything, 55000 nothing is linked yet, 25001 this transaction has written the last links, XX001 the trail is damaged.';

CREATE FUNCTION acteon_dispatch_lane(tenant text, fingerprint text, target text DEFAULT 'production')
RETURNS bigint
AS 'MODULE_PATHNAME', 'acteon_dispatch_lane'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION acteon_dispatch_lane(text, text, text) IS
	'Returns the lane of a tenant''s actions with a fingerprint that go to a target, as in acteon_dispatch_segment; NULL without a fingerprint. Error: 22023 not the name of a target.';
COMMENT ON FUNCTION acteon_api_login(bytea) IS
	'Returns the API key with this SHA-256 and the role as which it acts. It does not change the role, and works on a standby. Error: 28000 if the key is unknown, expired or revoked, or its role was dropped or is a superuser; the message is the same in all these cases.';
COMMENT ON FUNCTION acteon_api_finish(bigint, text, integer, text) IS
	'Stores the answer to a request that acteon_api_begin has begun in this transaction. It must be called as the role that began the request, so after SET LOCAL ROLE NONE. Errors: 55000 no request was begun in this transaction, or it already has its answer, 22023 bad argument.';
COMMENT ON FUNCTION acteon_api_housekeeping(bigint[], timestamptz[]) IS
	'Records when API keys were last used, never an earlier time than before, and deletes up to 10,000 answers that are older than 24 hours; returns how many, so after 10,000 there may be more. Rows that another transaction has locked are left for the next call. Error: 22023 bad argument.';

COMMENT ON EXTENSION acteon_replay IS
	'replay actions of the Acteon gateway from its audit table into a dispatch outbox; see README.md and doc/handbook.md';

/*
 * Audit records in the form of the gateway's interface
 */

CREATE FUNCTION acteon_audit_record(action_id text)
RETURNS json
LANGUAGE C STABLE AS 'MODULE_PATHNAME';

COMMENT ON FUNCTION acteon_audit_record(text) IS
'Returns the audit record of an action as the gateway''s GET /v1/audit/{action_id} does. If there are several, it is the one with the greatest dispatched_at, and of an intent and its outcome the outcome. For a chain that is often the record of a step, whereas acteon_replay replays the chain. A grant of an admin, operator or viewer must cover it. Payloads are returned as they are stored, encrypted ones encrypted. It works on a standby, too.

Errors: P0002 no such record, 42501 no grant covers it, or no grant to read at all, 42P01 no audit table, 22023 no action id.';

CREATE FUNCTION acteon_audit_records(
	namespace text DEFAULT NULL,
	tenant text DEFAULT NULL,
	provider text DEFAULT NULL,
	action_type text DEFAULT NULL,
	outcome text DEFAULT NULL,
	verdict text DEFAULT NULL,
	matched_rule text DEFAULT NULL,
	caller_id text DEFAULT NULL,
	chain_id text DEFAULT NULL,
	signer_id text DEFAULT NULL,
	kid text DEFAULT NULL,
	from_time timestamptz DEFAULT NULL,
	to_time timestamptz DEFAULT NULL,
	max_records integer DEFAULT 50,
	skip integer DEFAULT 0,
	cursor text DEFAULT NULL)
RETURNS json
LANGUAGE C STABLE AS 'MODULE_PATHNAME';

COMMENT ON FUNCTION acteon_audit_records(text, text, text, text, text, text, text, text, text, text, text, timestamptz, timestamptz, integer, integer, text) IS
'Returns audit records, the newest first, as the gateway''s GET /v1/audit does: {"limit", "next_cursor", "offset", "records", "total"}. Only records that a grant of an admin, operator or viewer covers are listed and counted. Intents are listed like other records. It works on a standby, too.

Arguments:
namespace, tenant, provider, action_type, verdict, matched_rule, caller_id, chain_id, signer_id, kid: only records with exactly this value
outcome: only records with this outcome, or with one of several, separated by commas; an empty text matches nothing
from_time, to_time: only records dispatched between these times, both inclusive
max_records: how many records a page has at most, 1 to 1000
skip: how many records to leave out first. A large number takes long; pass a cursor instead
cursor: continue where a page ended: pass its next_cursor. skip is ignored then

Returns:
limit, offset: max_records and skip
next_cursor: pass it as cursor for the next page; left out on the last one
records: the records; what has no value is null, but attachment_metadata is left out if it is empty
total: how many records match; left out with a cursor. They are counted each time, which takes long if there are many

Errors: 22023 bad argument, 42501 no grant covers the tenant, or no grant to read at all, 42P01 no audit table.';

CREATE FUNCTION acteon_audit_verify(
	namespace text,
	tenant text,
	from_time timestamptz DEFAULT NULL,
	to_time timestamptz DEFAULT NULL,
	after_sequence bigint DEFAULT NULL,
	after_hash text DEFAULT NULL,
	max_records bigint DEFAULT NULL,
	max_time interval DEFAULT NULL,
	OUT finding text,
	OUT sequence_number bigint,
	OUT record_id text,
	OUT action_id text,
	OUT dispatched_at timestamptz,
	OUT record_hash text,
	OUT records bigint,
	OUT detail text,
	OUT broken_at text,
	OUT first_record_id text,
	OUT unchained bigint)
RETURNS SETOF record
LANGUAGE C STABLE ROWS 10 AS 'MODULE_PATHNAME';

COMMENT ON FUNCTION acteon_audit_verify(text, text, timestamptz, timestamptz, bigint, text, bigint, interval) IS
'Checks the hash chain that the gateway writes in its compliance mode for a tenant in a namespace, and returns a row for each finding, in the order of the chain, and one more at the end. It checks whether each record has the hash of the columns that are hashed (id, action_id, namespace, tenant, provider, action_type, verdict, outcome, dispatched_at, previous_hash), and names the hash of the record before it. The gateway hashes nanoseconds and the table keeps microseconds, so up to 1,000 times are tried for each record.

It does not show changes of other columns (payload, metadata, the details of verdict and outcome, caller, rule, chain_id, attachments, signature, completed_at, expires_at), records that were removed from the end of the chain, or as a whole, or records that somebody who can write the table has hashed anew, from one of them to the last. To find out about these, keep sequence_number and record_hash of the last row outside of the database and pass them as after_sequence and after_hash later: the record must still be there with this hash, unless it has expired.

A grant of an admin, operator or viewer must cover all providers and action types of the tenant in the namespace. Works on a standby, too. Memory use does not grow with the number of records.

Arguments:
namespace, tenant: whose chain; tenants below it have chains of their own
from_time, to_time: only the part of the chain from the first to the last record dispatched between these times, both inclusive. Records are not numbered in the order of their times, so it may contain others
after_sequence: begin after the record with this sequence_number; from_time then only counts for records without a hash. Pass sequence_number of the last row of an earlier call to continue after it
after_hash: the record_hash that the record with after_sequence is supposed to have: record_hash of that row
max_records: how many records to check at most, besides one more that has the number of the last one, too, and as many with numbers below 0. By default all
max_time: for how long to check at most, from the beginning of the call: when it is over, the check ends behind the record that it is at, but not before the first one. Finding the first and the last record of a time, and records without a hash, is not interrupted by it

Returns:
finding: content (the hash is not that of the columns), link (previous_hash is not the hash of the record before it), gap (records between others are missing), beginning (the first records are missing, as they are after they have expired), duplicate (two records have the same number), number (it is negative, or missing although the record has a hash), witness (the record with after_sequence has another hash than after_hash; its content is checked, too), end (neither this record is there nor any after it). The last row has checked, or more if max_records or max_time was reached
sequence_number: number of the record, or of the first missing one; in the last row, of the last record that was checked
record_id, action_id, dispatched_at, record_hash: of the record; NULL for missing ones
records: how many records the finding is about; 0 if it is not known. In the last row, how many were checked
detail: what was found; in the last row, what was checked and what that does not show
broken_at: id of the record where the chain breaks: this one, or the first one behind missing ones; NULL in the last row, and where there is none
first_record_id: in the last row, id of the first record that was checked
unchained: in the last row, how many records of the tenant have no hash: nothing is known of them. They are counted by their times: those after the record with after_sequence and, if finding is more, not after the last one. At least one is counted if there are any; if max_time is over, not all may be

Errors: 22023 bad argument, 42501 no grant covers the tenant, or no grant to read at all, 42P01 no audit table, 42703 the audit table has no hash chain.';

/*
 * What is for everybody
 *
 * Where ALTER DEFAULT PRIVILEGES has taken EXECUTE or USAGE from PUBLIC, the script
 * grants them on what everybody is meant to use: the grants in acteon_grants decide
 * what a call may do. This concerns only what was created just now, by this update
 * or with the whole extension; of what was there before, the administrator decides.
 * Where PUBLIC has the privilege by default, nothing is granted, as that would become
 * part of the extension.
 */

DO $$
DECLARE
	object text;
BEGIN
	FOR object IN
		WITH made AS (
			SELECT d.classid, d.objid
			FROM pg_catalog.pg_extension AS x
				JOIN pg_catalog.pg_depend AS d ON d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass::oid
					AND d.refobjid OPERATOR(pg_catalog.=) x.oid AND d.deptype OPERATOR(pg_catalog.=) 'e'::"char"
			WHERE x.extname OPERATOR(pg_catalog.=) 'acteon_replay'::name AND d.xmin OPERATOR(pg_catalog.=) x.xmin)
		SELECT pg_catalog.format('EXECUTE ON ROUTINE %s', p.oid::pg_catalog.regprocedure)
		FROM made AS m
			JOIN pg_catalog.pg_proc AS p ON m.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass::oid
				AND p.oid OPERATOR(pg_catalog.=) m.objid
		WHERE pg_catalog.regexp_replace(p.proname::text, '_1_0$'::text, ''::text) OPERATOR(pg_catalog.=) ANY ('{
				acteon_answer_effect,acteon_answer_name,acteon_api_current_key,acteon_audit_record,acteon_audit_records,acteon_audit_verify,acteon_authorized,acteon_canary,acteon_canary_in,acteon_canary_out,acteon_canary_recv,
				acteon_canary_send,acteon_dispatch_lane,acteon_effect,acteon_error_signature,acteon_is_failure,
				acteon_outbox_ack,acteon_outbox_audit_tells,acteon_outbox_check,acteon_outbox_claim,acteon_outbox_describe,acteon_outbox_doubt,
				acteon_outbox_extend,acteon_outbox_nack,acteon_outbox_other_target,acteon_outbox_purge,acteon_outbox_read_stats,acteon_outbox_redrive,
				acteon_outbox_reject,acteon_outbox_sleep,acteon_replay,acteon_replay_all,acteon_replay_bulk,
				acteon_replay_breaker_close,acteon_replay_approve,acteon_replay_hand_over,acteon_replay_set_start,acteon_replay_cancel,acteon_replay_causes,acteon_replay_continue,acteon_replay_continue_step,acteon_replay_help,acteon_replay_items,acteon_replay_limit_set,acteon_replay_may,acteon_replay_open,acteon_replay_lineage,acteon_replay_timeline,acteon_replay_notify_drop,acteon_replay_notify_set,acteon_replay_patch,acteon_replay_pause,acteon_replay_pause_all,acteon_replay_resume_all,
				acteon_known_time_zone,acteon_quiet_until,acteon_replay_policy_drop,acteon_replay_policy_run,acteon_replay_policy_set,acteon_replay_preview,acteon_replay_proof,acteon_replay_proof_items,acteon_replay_read_batches,acteon_replay_read_limits,
				acteon_replay_resume,acteon_replay_run,acteon_replay_trail_link,acteon_replay_verify,acteon_replay_witness,acteon_replay_set_rate,acteon_replay_settle,acteon_replay_shadow,acteon_replay_shadow_counts,
				acteon_outcome_cmp,acteon_outcome_eq,acteon_outcome_ge,acteon_outcome_gt,acteon_outcome_hash,acteon_outcome_in,
				acteon_outcome_json,acteon_outcome_jsonb,acteon_outcome_le,acteon_outcome_lt,acteon_outcome_out,
				acteon_outcome_recv,acteon_outcome_send,
				acteon_role_in,acteon_role_out,acteon_role_recv,acteon_role_send}'::text[])
			AND NOT pg_catalog.has_function_privilege('public'::name, p.oid, 'EXECUTE'::text)
		UNION ALL
		SELECT pg_catalog.format('USAGE ON TYPE %s', t.oid::pg_catalog.regtype)
		FROM made AS m
			JOIN pg_catalog.pg_type AS t ON m.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_type'::pg_catalog.regclass::oid
				AND t.oid OPERATOR(pg_catalog.=) m.objid
		WHERE t.typname::text OPERATOR(pg_catalog.=) ANY ('{acteon_canary,acteon_outcome,acteon_replay_cause,acteon_replay_item,acteon_replay_proof_item,acteon_role}'::text[])
			AND NOT pg_catalog.has_type_privilege('public'::name, t.oid, 'USAGE'::text)
	LOOP
		EXECUTE 'GRANT ' OPERATOR(pg_catalog.||) object OPERATOR(pg_catalog.||) ' TO PUBLIC';
	END LOOP;
END
$$;

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
				AND (old.first_type OPERATOR(pg_catalog.=) new.first_type OR old.first_type IS NULL)),
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
DROP FUNCTION acteon_replay_items_1_0(bigint, text);
DROP FUNCTION acteon_outbox_check_1_0();
DROP FUNCTION acteon_replay_lineage_1_0(text);
DROP FUNCTION acteon_replay_pause_1_0(bigint, text);
DROP FUNCTION acteon_replay_resume_1_0(bigint, text);
DROP FUNCTION acteon_replay_cancel_1_0(bigint, text);
DROP FUNCTION acteon_replay_set_rate_1_0(bigint, numeric, text);
DROP FUNCTION acteon_dispatch_lane_1_0(text, text);
