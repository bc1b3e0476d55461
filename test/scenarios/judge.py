"""What must hold after a run, judged by the stand-in's ledger.

An action is the row of an outbox; its lineage is what the ledger has of the action
that it replays, under whatever ids.  No action is lost: each has ended, or is held
where everybody can see it.  None is called delivered with effect done that had no
effect, and what is called known not executed had none.  None takes effect twice, but
what was sent again unproven, is marked so, and whose earlier effect the ledger shows
as cut (the client had gone) or without a record.
"""

import collections
import json

ACTIONS = """
SELECT o.id, o.batch_id, o.action_id::text, o.original_action_id, d.state, d.outcome, d.effect, coalesce(d.unproven, s.unproven, false) AS unproven,
	coalesce(d.resend, s.resend, 0) AS resend,
	ARRAY(SELECT acteon_replay_id(o.original_action_id, o.generation, n)::text FROM generate_series(0, coalesce(d.resend, s.resend, 0)) AS n) AS ids, s.held, s.doubt, s.doubt_since IS NOT NULL AS in_doubt, d.known_by, d.error
FROM acteon_dispatch_outbox AS o LEFT JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id
	LEFT JOIN acteon_dispatch_segment AS s ON d.outbox_id IS NULL AND o.id BETWEEN s.first_id AND s.last_id
WHERE o.batch_id = ANY (%s)
ORDER BY o.id"""

# What acteon_replay_proof may not say of an action that had an effect, and of one that had none.
NEVER_OF_EFFECT = {"no effect", "not sent", "decided", "later"}
NEVER_OF_NONE = {"proven"}


class Verdict:
    """What was found, and what of it must not be."""

    def __init__(self):
        self.faults = []
        self.counts = collections.Counter()

    def fault(self, text):
        """Something that must not be; the first few are told."""
        if len(self.faults) < 5:
            self.faults.append(text)


def unfinished(connection, batches):
    """How many actions have not ended, and are not held."""
    return connection.execute("""
        SELECT count(*) FROM acteon_dispatch_outbox AS o LEFT JOIN acteon_dispatch_delivery AS d ON d.outbox_id = o.id
            LEFT JOIN acteon_dispatch_segment AS s ON d.outbox_id IS NULL AND o.id BETWEEN s.first_id AND s.last_id
        WHERE o.batch_id = ANY (%s) AND d.outbox_id IS NULL AND s.held IS NULL""", (batches,)).fetchone()[0]


def next_attempt(connection, batches):
    """In how many seconds an action that waits for another attempt is due next; 0 if none does."""
    return connection.execute("""
        SELECT coalesce(extract(epoch FROM min(due_at) - clock_timestamp()), 0)::float8 FROM acteon_dispatch_segment
        WHERE batch_id = ANY (%s) AND lease_token IS NULL AND doubt_since IS NULL AND due_at > clock_timestamp() AND due_at < 'infinity'""",
                              (batches,)).fetchone()[0]


def outcome_records(connection):
    """The ids of actions of which there is an outcome record now."""
    return {name for name, in connection.execute("SELECT DISTINCT action_id FROM acteon_audit WHERE outcome <> 'pending'").fetchall()}


def judge(connection, batches, ledger, options, lost_by_failover=False):
    """Judge the actions of batches."""
    verdict = Verdict()
    cursor = connection.execute(ACTIONS, (batches,))
    names = [column.name for column in cursor.description]
    rows = [dict(zip(names, row)) for row in cursor.fetchall()]
    recorded = outcome_records(connection) if lost_by_failover else None
    lineages = collections.defaultdict(list)
    for action_id, found in ledger["ids"].items():
        lineages[found["root"]].append((action_id, found))
    by_root = collections.defaultdict(list)
    for row in rows:
        by_root[row["original_action_id"]].append(row)
    verdict.counts["actions"] = len(rows)
    for root, replays in by_root.items():
        judge_lineage(verdict, replays, lineages[root], options, recorded)
    for row in connection.execute("SELECT * FROM acteon_outbox_check()").fetchall():
        verdict.fault(f"acteon_outbox_check: {row}")
    judge_proof(verdict, connection, batches, ledger)
    return verdict


def judge_lineage(verdict, replays, ids, options, recorded):
    """Judge the replays of one action."""
    counts, last = verdict.counts, replays[-1]
    effects = sum(found["effects"] for _, found in ids)
    name = f"{last['original_action_id']} (outbox {last['id']})"
    counts["effects"] += effects
    for row in replays:
        state = row["state"] or ("held" if row["held"] else "in doubt" if row["in_doubt"] else "unfinished")
        counts[state] += 1
        if state in ("in doubt", "unfinished"):
            counts["lost"] += 1
            verdict.fault(f"{name}: has not ended, is {state}: {row['doubt']}")
    if last["state"] == "delivered" and last["effect"] == "done" and effects == 0:
        counts["lost"] += 1
        verdict.fault(f"{name}: is called done and was not: {json.dumps(last['outcome'])[:200]}")
    if last["state"] == "delivered" and last["effect"] is None:
        verdict.fault(f"{name}: delivered with no effect said: {json.dumps(last['outcome'])[:200]}")
    if last["state"] == "delivered" and last["effect"] == "none" and effects > 0:
        verdict.fault(f"{name}: is called without effect and had one: {json.dumps(last['outcome'])[:200]}")
    if last["state"] in ("dead", "cancelled") and effects > 0:
        verdict.fault(f"{name}: {last['state']} though it took effect: {last['error']}")
    if effects > 1:
        judge_double(verdict, name, replays, ids, options, recorded)


def judge_double(verdict, name, replays, ids, options, recorded):
    """An action that took effect more than once: whether that is one that could not be known."""
    verdict.counts["doubles"] += 1
    done = [(action_id, found) for action_id, found in ids if found["effects"] > 0]
    unseen = [action_id for action_id, found in done
              if found["cut"] or not found["recorded"] or (recorded is not None and action_id not in recorded)]
    marked = any(row["unproven"] for row in replays)
    # The primary that was lost had sent it again, under an id that it alone knew, and its mark went with it.
    known = {action_id for row in replays for action_id in row["ids"]}
    forgotten = recorded is not None and any(action_id not in known for action_id, _ in done)
    if options.on_doubt == "hold":
        verdict.fault(f"{name}: took effect {len(done)} times, though doubts are held: {done}")
    elif not unseen:
        verdict.fault(f"{name}: took effect again though there was a record of it: {done}")
    elif not marked and forgotten:
        verdict.counts["forgotten"] += 1
    elif not marked:
        told = [{key: row[key] for key in ("id", "action_id", "state", "resend", "unproven", "known_by", "doubt")} for row in replays]
        verdict.fault(f"{name}: took effect again and is not marked unproven: {told}, {done}")
    else:
        verdict.counts["allowed"] += 1


def judge_proof(verdict, connection, batches, ledger):
    """What acteon_replay_proof_items says does not contradict the ledger."""
    for batch in batches:
        for outbox_id, ids, said, told in connection.execute(
                "SELECT outbox_id, action_ids::text[], verdict, told FROM acteon_replay_proof_items(%s, max_items => NULL)", (batch,)).fetchall():
            done = [name for name in ids if ledger["ids"].get(name, {"effects": 0})["effects"] > 0]
            verdict.counts[f"proof: {said}"] += 1
            wrong = said in (NEVER_OF_EFFECT if done else NEVER_OF_NONE) or (told == "done" and not done)
            # Two ids had an effect, or the record says another thing than the answer: both are there to see.
            if said == "contradiction":
                wrong = len(done) < 2
            if wrong:
                verdict.fault(f"outbox {outbox_id}: the proof says {said}, told was {told}, the ledger has effects of {done or 'none'} of {ids}")
