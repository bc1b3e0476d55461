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
	'Who has steered what: one row for each pause, resume, cancel, change of rate, continuation, redrive, purge, settled doubt, for each circuit breaker that opened, for each API key that was made or revoked, and for each contradiction and failover that was noticed. Append-only. A role sees its own entries and those of the batches that it sees as a whole; roles with a gateway grant, or with an admin grant for everything, see all.';
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

DROP FUNCTION acteon_replay(uuid, text, boolean, boolean, text, text);
DROP FUNCTION acteon_replay(text, text, boolean, boolean, text, text);
DROP FUNCTION acteon_replay_bulk(text, text, text, text, text, text, text, timestamptz, timestamptz, integer, text, text, boolean, boolean, boolean, text, numeric, timestamptz, text, boolean, text, text, integer, integer, integer, numeric, boolean);
DROP FUNCTION acteon_replay_preview(text, text, text, text, text, text, text, timestamptz, timestamptz, integer, text, text, boolean, boolean, boolean, text, numeric, timestamptz, text, boolean, text, text, integer, integer, integer, numeric, boolean, integer);
DROP PROCEDURE acteon_replay_all(text, text, text, text, text, text, text, timestamptz, timestamptz, integer, text, text, boolean, boolean, boolean, text, numeric, timestamptz, text, boolean, text, text, integer, integer, integer, numeric, boolean, integer, bigint, bigint, bigint, bigint);

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
'Replays one action: reads its latest audit record, checks the caller''s grants, reconstructs the action and puts it into the outbox under a new id. The uuid form stands for the lower-case text of the id.

Of several records the one with the greatest dispatched_at counts, and an outcome before an intent of the same time. If that is the record of a step or of the end of a chain, the record of the chain''s beginning (chain_started) counts, because it holds what the client sent.

The action is replayed even if it was replayed before, which a NOTICE tells, or took effect, which a WARNING tells: the caller named it. The one exception is a race: if another session is replaying the same action at that moment, the call waits for it and makes no second replay; success is then false, and new_action_id is the replay that the other session made. A statement that names an action twice gets the same answer. Everything else that goes wrong is an error.

An intent, the record of an action of which nobody knows how it ended, needs allow_unproven, and usually allow_partial as well, since it does not tell whether the action had attachments. An intent younger than acteon_replay.intent_grace, measured against the newest record of the table, is replayed with a WARNING: the gateway may still be executing it. Where acteon_replay.audit_is_live is off, intents are refused.

Refused as well are the gateway''s own records (notifications of groups, transitions of A2A tasks, the management of recurring actions), a step or the end of a chain whose beginning has no record, and a record that cannot be read because its row or TOAST data is damaged or its JSON is too deep; the error names the record''s id.

The checks are made in the order role, audit table, record, grant, payload. max_generation and max_depth of acteon_replay_bulk do not apply to an action that the caller names.

Arguments:
action_id: the action''s id, as the audit table has it
reason, allow_redacted, allow_partial, dedup, provider_override, allow_unproven, on_doubt: as for acteon_replay_bulk

Returns:
original_action_id: the id that was given
new_action_id: the id of the replay
success: true if this call made the replay
error: why it did not

Errors: 42501 role or grant, 42P01 no audit table, P0002 no record, 55000 no payload, redacted payload, lost attachments, an intent, a record of the gateway''s own or one that cannot be read, 22023 bad argument.';
COMMENT ON FUNCTION acteon_replay(text, text, boolean, boolean, text, text, boolean, text) IS
	'Replays one action whose id may be any string; otherwise as acteon_replay(uuid). A plain literal takes this form.';

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
'Replays the actions whose audit records match every given filter, oldest first, in one transaction. At least one filter is needed; from_time, to_time and lost => true count as one.

Arguments:
namespace: only records whose namespace is exactly this
tenant: only records whose tenant is exactly this: acme does not mean acme.eu-west here
provider: only records whose provider is exactly this
action_type: only records whose action type is exactly this
outcome: only records with this outcome, or with one of several that have commas between them, as in ''failed,circuit_open''. Intents (pending) are left out unless it names them
verdict: only records whose verdict is exactly this
matched_rule: only records that this rule has matched
from_time: only records that were dispatched at this time or later
to_time: only records that were dispatched at this time or earlier
max_records: how many records to attempt or skip, 1 to 1000. acteon_replay_bulk cuts a number above 1000 to 1000, with a NOTICE. acteon_replay_all and acteon_replay_preview take any number, and all records without one
caller_id: only records of this caller, where the gateway''s version records it
chain_id: only records of this chain, where the gateway''s version records it
include_replayed: also actions that have a replay which is waiting, running, in doubt or delivered
allow_redacted: also payloads that hold the redaction placeholder, which is then sent
newest_first: the newest records first; normally effects replay in the order in which they were meant
cursor: continue after the last record that an earlier call looked at. The filters, lost, the times and newest_first must be the same; the rest may change. It is next_cursor of that call
rate: actions per second, at least 0.001: spreads the times at which the actions are due. Without it there is no limit
start_at: no action is due before this time
reason: why; kept with the batch, or in the log. acteon_replay.require_reason makes it mandatory
allow_partial: also actions that had attachments, which are not in the audit table, and intents, which do not tell; they go out without attachments
dedup: whether to keep the actions'' dedup keys, or to drop them so that the gateway cannot answer Deduplicated
provider_override: send the actions to this provider instead of the record''s; a grant must cover both
max_generation: an action that has been replayed so often fails instead; cancelled replays do not count
max_depth: an action that is itself the replay of a replay, and so on, so deep fails instead
breaker_window: circuit breaker: the batch pauses itself when more than breaker_share of its last so many deliveries failed: ended without effect, whatever the outcome is called, as Failed, whatever its effect, or dead; each doubt counts as one that failed, once. 0 turns the circuit breaker off
breaker_share: share of the last breaker_window deliveries that may fail before the batch pauses itself, at least 0 and below 1
ramp: with a rate, send the first tenth of the actions at a tenth of the rate and the rest at the rate. What is left of that tenth stays slow after a pause, after a change of the rate, and after a time in which nobody claimed
lost: only what was lost, whatever its outcome is called: what had no effect, and what failed, unless something else became of the action since. Cannot be combined with outcome
certain: of what lost finds, only what had no effect for certain: no time-outs and resets
allow_effective: also what took effect, or will. Without it this is passed over, and a call for nothing else (outcome executed) is refused
allow_unproven: also intents of which nobody knows how they ended. Without it a call for these (outcome pending) is refused
on_doubt: what becomes of an action of which nobody can tell whether it was executed: resend (it goes out once more, under a new id) or hold (a person decides)

Returns:
batch_id: number of the batch; NULL if nothing was replayed, failed or skipped
replayed: actions put into the outbox
failed: records that could not be replayed for a reason of their own; they do not stop the others
skipped: records that no grant of the caller covers, or that have no stored payload
results: for each replayed or failed record {"original_action_id", "new_action_id", "success", "error"}
next_cursor: pass it as cursor to continue; NULL at the end

Errors: 22023 bad argument, no filter, nothing but what took effect without allow_effective, or intents without allow_unproven, 42501 role, 42P01 no audit table, 55000 intents of a copy.';
COMMENT ON FUNCTION acteon_replay_bulk(jsonb) IS
	'The same in the gateway''s wire form: one object whose keys are the arguments by name, but for from, to and limit in place of from_time, to_time and max_records. order (oldest or newest) may stand in place of newest_first. Times are in RFC 3339 with a zone; null counts as a key that is not there; an unknown key is an error. Returns {"replayed", "failed", "skipped", "results", "batch_id", "next_cursor", "effective"}; the last is how many records were passed over because their actions took effect. Write the cast, acteon_replay_bulk(''{…}''::jsonb): a literal without it is taken for the namespace of the other form. Errors: as the other form.';

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
'What a replay with the same arguments would do, without doing it; also in a read-only transaction and on a standby, and without waiting for anybody. The code that replays records also judges them here, so the numbers are those of the replay if nothing happens in between. Unlike a replay it may be asked for anything, also without a filter; max_records is all unless it is given. Only tenants, providers and so on that the caller''s grants cover are named.

Arguments:
sample: how many of the records that would be replayed are shown, 0 to 1000

Returns:
section: see below
item: what the row is about
matched: how many records match
replayable: how many of these would be replayed
note: the rest

Sections:
total, time: how many records match and how many would be replayed, from when to when; how long that takes at the rate
not replayed: each reason with its count: no grant, cannot be read, of the gateway''s own, of a step or the end of a chain, took effect, not lost, lost but not for certain, an intent, no stored payload, redacted, attachments lost or perhaps lost, already replayed (waiting, running, in doubt, delivered), another record of the same action, a later record of it or its replays, replayed too often, too deep; and the argument that lets the records through
left out: intents that the filters match but that are no candidates: not asked for, younger than acteon_replay.intent_grace, with an outcome, or of a step of a chain
beware: of what would be replayed: sealed payloads, dedup keys, actions whose effect is unknown (with lost), actions with a later executed record (looked for with the first 20,000 records), actions that were replayed before, without effect, dead or cancelled
provider, action type, outcome, tenant: the twenty most frequent of each
sample: some of what would be replayed
query: the query with absolute times, for acteon_replay_all(jsonb) and acteon_replay_bulk(jsonb)

Errors: otherwise as acteon_replay_bulk.';

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
'Replays everything that matches, however many records, in committed chunks, oldest first. It takes the arguments of acteon_replay_bulk; max_records is all unless it is given. It cannot run inside a transaction block. A NOTICE tells the progress every five seconds.

A to_time in the future, or none, becomes the time of the call, so the call does not replay the records of its own replays. With a rate the call stays at most a minute ahead of the deliveries and waits for them, so that there is little to cancel, and a new rate counts from the next chunk on; without a rate it enqueues at once. While the batch is paused the call waits; when the batch is cancelled it ends. The cursor and the actions of a chunk are committed together: whatever ends the call, acteon_replay_continue goes on. A call that finds only what is passed over, because it has a replay already or took effect, leaves no batch behind, so a job that runs every five minutes fills no table. Memory does not grow with the number of records, no transaction lasts longer than a chunk, and none is open while the call waits.

Arguments:
chunk: how many records one transaction looks at, 1 to 10000

Returns:
batch_id: number of the batch; NULL if nothing was replayed, failed or skipped
replayed, failed, skipped: as acteon_replay_bulk

Errors: as acteon_replay_bulk; 2D000 inside a transaction block.';

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
'Leases up to max_actions due actions to a consumer, oldest first. Looks up before in the audit table what is in doubt and due. Returns fewer when their JSON is larger than 16 MB together, but at least one. Of the actions of one tenant with the same fingerprint one comes at a time.

Arguments:
consumer: its name, 1 to 200 bytes, which the queue shows
max_actions: how many at most
lease: for how long, a day at the most

Returns:
outbox_id: position in the outbox
lease_token: what the answer has to name
attempt: 1 for the first attempt
action: the body for POST /v1/dispatch, the same at every attempt but for its id
action_id: that id

Errors: 42501 no gateway grant, 22023 bad argument.';

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
	'Records the outcomes with which the gateway answered 200; returns how many deliveries this call has recorded. Throttled and QuotaExceeded go out again when the gateway says, under a new id, not counted, for a day at the most. A 409 is acknowledged as {"AlreadyDispatched": <body>} and looked up in the audit table. After the lease was lost an answer counts only with the action_id that was sent. Errors: 42501 no gateway grant, 22023 arrays of different lengths or with NULL ids.';

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
'Gives actions back that are known not to have been executed (a 429, a 500 with the gateway''s own body, nothing was sent), for a later attempt. What may have been executed is for acteon_outbox_doubt. Changes nothing where the lease is lost.

Arguments:
error: what went wrong. The last attempt (acteon_replay.max_attempts) ends dead with it. NULL says that the action was not attempted or is not at fault: the attempt is not counted, and the action is due at once or after retry_after
retry_after: when it is due again, a day at the most; NULL: after a back-off of 1 second to 10 minutes that doubles with each attempt, at random in its upper half
action_id: the id to which the gateway has answered, NULL where nothing reached it

Errors: 42501 no gateway grant, 22023 bad argument.';

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
	'Ends actions dead now, because the gateway will never take them (400, 413, 415, 422); returns how many. An action of which an earlier id was given up without proof is held instead. Changes nothing where the lease is lost. Errors: 42501 no gateway grant, 22023 bad argument.';

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
	'Puts dead actions that match every given filter back into the queue, with all their attempts, up to max_actions; rate is in actions per second. Each is looked up in the audit table before it goes out, and goes out under a new id. Skips, and counts, what has been replayed again (the later replay stands for it) and what belongs to a cancelled batch; what belongs to a paused batch waits until that is resumed, as a NOTICE says. Errors: 42501 no gateway grant, 22023 bad argument.';

COMMENT ON FUNCTION acteon_outbox_purge(interval, bigint, text) IS
	'Deletes the outbox and delivery rows of actions whose every replay has been finished for longer than older_than, until max_actions have gone, up to 1,000 more; returns how many. A purged action counts as never replayed, so keep at least what the audit table keeps; its next replay gets an id that was not used before. Batches are kept, and doubts. Less than the 24 hours for which the gateway remembers ids brings a WARNING. Errors: 42501 no gateway grant, 22023 bad argument.';

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
'Ends doubts of a batch by a person''s decision, held or not, of all actions or of those named; returns how many. For the role that started the batch and for admins whose grants cover all of it. Each decision is logged in acteon_replay_log.

Arguments:
decision: resend sends them once more, under a new id and with all their attempts; delivered says that they had their effect; cancel says that they had none and will have none, so that they are free to be replayed
reason: required
outbox_id: the actions; NULL for all that are in doubt

Errors: P0002 no such batch, 42501 not the caller''s to steer, 22023 bad argument.';

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
'What the audit table says of the actions of a batch, beside what this database was told. Looks the actions up by their ids, reads only, and shows only actions that the caller''s grants cover.

Arguments:
after: only actions behind this outbox id
max_actions: at most so many actions

Returns:
verdict: see below
told: what this database was told: done, none, later, decided or unknown (the effect of what was delivered), settled, dead, cancelled, waiting, in_flight, in_doubt
actions: how many
next: what to pass as after to go on, NULL at the end

Verdicts:
proven: a record with effect done
no effect, later, decided: a record with that effect
unknown: the record does not tell
in doubt: only an intent
expired: a record would be older than what the table keeps
answered, no outcome record: the gateway answered, and the table has no outcome
no record: nothing, although it was sent
not sent: nothing was sent
contradiction: two ids of one action had their effect, or the record says the opposite of what was told

Errors: P0002 no such batch, or nothing of it is covered, 42P01 no audit table, 22023 bad argument.';

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

COMMENT ON COLUMN acteon_replay_batches.passed_over IS 'Records whose action has a replay already, took effect, or, where lost is asked for, was not lost.';
COMMENT ON COLUMN acteon_replay_batches.delivered IS 'Actions whose outcome is known; done tells how many of these had their effect.';
COMMENT ON COLUMN acteon_replay_batches.cancelled IS 'Actions that were cancelled before they were sent, or by a person who settled a doubt.';
COMMENT ON COLUMN acteon_replay_batches.breaker IS
	'What its circuit breaker sees, and when it opens: with "3 of the last 50 failed, opens above 50 %" when more than 25 of the last 50 deliveries have failed; with "3 of 20 failed, opens above 50 % of 50" there were only 20 deliveries yet, and it opens at the 26th failure, also before the 50 are full; off: there is none. Without effect, Failed, dead and in doubt count as failed.';
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
'The actions of a batch, in the order of the outbox; only those in a state, if one is given. Only actions that the caller''s grants cover. Also on a standby.

States:
waiting, running: not finished
in_doubt: may have been sent and has no answer
held: in doubt, and waiting for a person or a record
delivered, dead, cancelled: finished
failed: dead, or delivered without effect or as Failed

Errors: P0002 no such batch, or nothing of it is covered, 22023 bad argument.';

COMMENT ON FUNCTION acteon_replay_lineage(text) IS
	'The chain of replays that an action is part of, from any of its actions: the original first, then each replay behind its source, one row an action: id, source (the action that it replays), generation, depth, batch, who asked, when, why, and state (original, waiting, running, in_doubt, delivered, dead, cancelled). It takes text, since original ids may be any string: acteon_replay_lineage(new_action_id::text). Only actions that the caller''s grants cover; no rows for an action that was never replayed. Needs no audit table.';

/*
 * What version 1.0 made: comments that say what doc/reference.md says, which is made from them
 */

COMMENT ON FUNCTION acteon_replay_preview(jsonb, integer) IS
	'The same for programs: takes the wire form and returns one object, with the query under "query".';

COMMENT ON PROCEDURE acteon_replay_all(jsonb, numeric, timestamptz, text, integer, bigint, bigint, bigint, bigint) IS
	'The same for a query as acteon_replay_preview returns it. rate, start_at and reason, if given, replace those of the query.';

COMMENT ON PROCEDURE acteon_replay_continue(bigint, integer, text, bigint, bigint, bigint) IS
	'Goes on with a batch whose acteon_replay_all was ended by a crash, a cancelled statement or a failover: nothing twice, nothing left out. The grants of the role that calls it count; two calls at once take turns. Changes nothing if the batch is complete. For the roles that may pause the batch. Errors: P0002 no such batch, 42501 not the caller''s to steer, 55000 not a batch of acteon_replay_all or cancelled, 2D000 inside a transaction block.';

COMMENT ON FUNCTION acteon_replay_pause(bigint, text) IS
	'Pauses a batch: from the commit on nothing of it is handed out until it is resumed, however many actions wait. What a consumer holds at that moment runs to its end. A circuit breaker that opens does the same. For the role that started the batch, as long as it may replay at all, for roles whose admin grants cover everything in it (while it is being enqueued: all that its query asks for), and for superusers. Returns how the batch is then. Errors: P0002 no such batch, 42501 not the caller''s to steer, 55000 the batch is cancelled, 22023 bad argument.';

COMMENT ON FUNCTION acteon_replay_resume(bigint, text) IS
	'Resumes a paused batch, at its rate from now on, so that what fell due meanwhile does not come as a flood. Its circuit breaker begins anew; a start_at in the future stays. For the roles that may pause it. Returns how the batch is then. Errors: P0002 no such batch, 42501 not the caller''s to steer, 55000 the batch is cancelled, 22023 bad argument.';

COMMENT ON FUNCTION acteon_replay_cancel(bigint, text) IS
	'Cancels a batch for good: from the commit on nothing of it is handed out, however many actions wait. What waits ends cancelled and is free to be replayed again, as a new batch; what is in flight ends as it ends, and is cancelled if it comes back. The call waits for claims that are being made, so the numbers that it returns are final. Of a large batch the call itself writes down a part (100,000 actions), and the claims and purges that follow the rest; no result shows the difference. For the roles that may pause it. Returns how the batch is then. Errors: P0002 no such batch, 42501 not the caller''s to steer, 55000 the batch is cancelled, 22023 bad argument.';

COMMENT ON FUNCTION acteon_replay_set_rate(bigint, numeric, text) IS
	'Spreads what waits of a batch, and what acteon_replay_all has still to enqueue, at another rate in actions per second from now on; NULL: no limit. Retries are not due before their time. For the roles that may pause it. Returns how the batch is then. Errors: P0002 no such batch, 42501 not the caller''s to steer, 55000 the batch is cancelled, 22023 bad argument.';

COMMENT ON FUNCTION acteon_authorized(text, text, text, text) IS
	'Whether an admin, operator or viewer grant of the current role covers this tenant, namespace, provider and action type. False if one of them is NULL. The extension''s own row-level security uses it, and other policies can: grants are read once a query.';

COMMENT ON FUNCTION acteon_outbox_extend(bigint[], interval) IS
	'Prolongs leases: they end the given time from now, unless they end later anyway. Returns the tokens under which something is still leased; a consumer sends no more of what the others covered. A lease that has run out is not revived. Errors: 42501 no gateway grant, 22023 bad argument.';

COMMENT ON FUNCTION acteon_api_key_create(text, regrole, timestamptz) IS
	'Makes an API key for the HTTP server, whose requests then act as the role, and returns it: acteon_ and 43 characters, 32 random bytes, of which only the SHA-256 is kept. It cannot be shown again. The name has 1 to 200 bytes and is not used again, also when the key is revoked. The caller must be able to SET ROLE to the role, which must not be a superuser, as no grant would limit it. Logged in acteon_replay_log, without the key. Errors: 42501 not the caller''s role, 22023 bad argument or a superuser, 42704 no such role, 42710 the name is in use, also by a revoked key.';

COMMENT ON FUNCTION acteon_api_key_revoke(text) IS
	'Revokes an API key, from the commit on and for good; returns when it was revoked, which for one that was revoked before is that time. The caller must be able to SET ROLE to the key''s role; if that was dropped, to be a superuser. Logged in acteon_replay_log. Errors: P0002 no such key, 42501 not the caller''s role, 22023 bad argument.';

COMMENT ON FUNCTION acteon_api_begin(bigint, text, bytea) IS
	'Begins a request with an Idempotency-Key (1 to 255 bytes; key_id 0 for anonymous requests), first of all in its transaction: returns no row if the request is to be made, and the first answer if it was made in the last 24 hours. While another transaction is making it, waits for that to end; if that is rolled back, the request is to be made. Errors: 42710, and nothing else raises that here, the Idempotency-Key was used for another request; 55000 it was begun and committed without an answer, or begun twice in one transaction; 22023 bad argument; in REPEATABLE READ also 40001, the answer is newer than the snapshot.';

COMMENT ON VIEW acteon_replay_batches IS
'The batches, and how they are going, one row each. What has ended is counted from acteon_replay_tally and what has not from acteon_dispatch_segment, so a batch of a million takes as long as one of a thousand. replayed is the sum of waiting, in_flight, in_doubt, delivered, dead and cancelled. Also on a standby.

A role sees as a whole the batches that it asked for and those whose whole scope its grants cover. Of a batch that they cover in part, it sees the state, the rate and the counts of that part, and NULL where a column tells of the rest; these counts are made action by action, which takes seconds for a large batch, and purged actions are missing. Superusers and roles with a gateway grant see all batches.';

COMMENT ON COLUMN acteon_replay_batches.progress IS
	'Percent, with one decimal: of its actions, how many have ended (delivered, dead or cancelled); while it is enqueuing, of the records that match, how many have been looked at and have no action that waits or is in flight.';

COMMENT ON COLUMN acteon_replay_batches.delivered_by IS
	'Of the delivered ones, how many by the name of the gateway''s outcome, such as {"Failed": 3, "Executed": 12000}; ? where it gave none.';

COMMENT ON TABLE acteon_dispatch_outbox IS
	'The replayed actions, as the gateway is to get them. Insert-only: what becomes of an action stands in acteon_dispatch_segment and acteon_dispatch_delivery.';

COMMENT ON COLUMN acteon_replay_item.outcome IS
	'Answer of the gateway, or what its record says in that form.';

COMMENT ON EXTENSION acteon_replay IS
	'replay actions of the Acteon gateway from its audit table into a dispatch outbox; see README.md and doc/handbook.md';
