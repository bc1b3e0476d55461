"""Judges a seed by what the gateway's providers did, and by nothing that the extension says of itself.

It reads the gateway's ledger, the gateway's audit table, the lines that
acteon_replay.trace_actions has left in the server's log, of which the server says which
were committed, and the driver's list of its calls.  It uses no table, view or function of
the extension.

The rules, by their names:

lost            What a call says it has replayed is enqueued; what is enqueued has ended, or is held, or
                waits in its lane for one that is held.
nowhere         What reaches the gateway was handed out by a claim that was committed, is a
                row that was enqueued by a transaction that was, and a call that did not fail asked for it.
double          A row takes effect once.
delivered       What is delivered with effect done took effect, and what is delivered with one that is not
                known has at least reached a provider, or the gateway has written, or tried to write, a
                record of it, or was killed before it could.
ended           What is dead, cancelled, or delivered without effect took none.
body            What is sent is the record's action, under each id always the same.
cancelled       Nothing of a batch, or of a part of it, is handed out after its cancel was answered, but for
                what was dead then in a batch that is finished; and no more of it reaches the gateway for the
                first time after that than the answer has called in flight, but for what was handed out before
                time has passed: its lease may look over, and then it is in doubt, which the answer does not
                count.
lane            In a lane, nothing is handed out while what comes before it has not ended.
id              An id belongs to one row, also after a purge.
check           acteon_outbox_check finds nothing, whenever it is called, but deliveries that were added
                after the server's clock was set back: they are not linked, as doc/limits.md says.
crash           No process of the server ends by a signal but those that the driver kills, and those that
                cannot write the WAL while the disk is full.

What took effect twice is let pass for one of these reasons, and none else.  Each needs
that the row was marked unproven before it was handed out again, unless the row itself was
forgotten; and each but "forgotten" that it took effect twice and not more often, under two
ids, and that its batch sends doubts again:

unrecorded      The earlier effect has no outcome record (its client had gone, or the gateway was
                killed or could not write): gateway.md, section 2, "When the audit record appears".
settled         A person had it sent again.
jumped          The server's clock was set forward after the earlier id was handed out, and before
                its record was written: patience is measured with that clock (gateway_patience).
forgotten       The server was promoted without the commit that handed the earlier id out, or
                without its record; the enqueueing, if an id took effect twice.
"""

import collections
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "gateway"))
from ledger import read_events

TRACED = b"acteon_replay action: "
ENDED = re.compile(rb"was terminated by signal (\d+)|(TRAP: .*)")
KILLED, ABORTED = b"9", b"6"
NO_EFFECT = ("none", "decided")
MAKES = ("replay", "bulk", "all")


class Trace:
    """The lines of a server's log about the actions of one database."""

    def __init__(self, path, serial):
        self.path = path
        self.serial = serial        # of the server: a standby comes after its primary
        self.at = 0
        self.database = None
        self.lines = []
        self.crashes = []           # (signal, what the log says)

    def begin(self, database):
        """Begin with another database."""
        self.database = database
        self.lines = []
        self.crashes = []

    def read(self, connection):
        """Read on, and ask the server what became of the transactions."""
        with open(self.path, "rb") as file:
            file.seek(self.at)
            found = file.read()
        end = found.rfind(b"\n") + 1
        at = self.at
        self.at += end
        for line in found[:end].splitlines(keepends=True):
            _, traced, said = line.partition(TRACED)
            ended = None if traced else ENDED.search(line)
            if ended and ended.group(1) != KILLED:
                self.crashes.append((ended.group(1), line.decode("utf-8", "replace").strip()))
            if traced and said.endswith(b"}\n"):
                event = json.loads(said)
                if event["database"] == self.database:
                    self.lines.append({**event, "at": [self.serial, at], "committed": None, "forgotten": False})
            at += len(line)
        for line, status in self.ask(connection, [line for line in self.lines if line["committed"] is None]):
            if status in ("committed", "aborted"):
                line["committed"] = status == "committed"

    @staticmethod
    def ask(connection, lines):
        """What became of the transactions of some lines; what the server does not know, it has not committed."""
        told = dict(connection.execute("""
            SELECT xid, CASE WHEN xid::xid8 < pg_snapshot_xmax(pg_current_snapshot()) THEN pg_xact_status(xid::xid8)
                ELSE 'aborted' END FROM unnest(%s::text[]) AS xid""", (sorted({line["xid"] for line in lines}),)).fetchall())
        return [(line, told[line["xid"]]) for line in lines]

    def ask_survivor(self, connection):
        """Ask the standby that takes over which of them it knows."""
        for line, status in self.ask(connection, [line for line in self.lines if line["committed"]]):
            line["forgotten"] = status != "committed"


def read_ledger(path):
    """The events of a ledger's file, each with its place in it."""
    return [{"event": event, "id": action_id, "at": at, "source": more[1] if len(more) > 1 else None,
             "body": json.loads(more[3]) if len(more) > 3 else None}
            for at, (event, action_id, *more) in read_events(path)]


class Evidence:
    """All that the auditor reads."""

    def __init__(self, ledger, audit, lines, calls, records, jumps=(), gateway_kills=(), passes=(), crashes=(), wal_was_full=False, failover=False):
        self.ledger = ledger
        self.audit = audit
        self.lines = lines
        self.calls = calls
        self.records = {record["action_id"]: record for record in records}
        self.jumps = list(jumps)
        self.gateway_kills = list(gateway_kills)        # places in the ledger
        self.passes = list(passes)          # places in the log
        self.crashes = list(crashes)
        self.wal_was_full = wal_was_full
        self.failover = failover


class Row:
    """What is known of an action that was enqueued."""

    def __init__(self, line):
        self.id = line["id"]
        self.batch = line["batch"]
        self.original = line["original"]
        self.generation = line["generation"]
        self.action_id = line["action_id"]
        self.at = line["at"]
        self.forgotten = line["forgotten"]
        self.ids = {}               # each id that it was handed out under: the lines that say so
        self.states = []            # lines of its segments and deliveries
        self.effects = []           # (place in the ledger, id)

    def __str__(self):
        return f"{self.original} (row {self.id}, batch {self.batch}, generation {self.generation})"

    def last(self):
        """What is known of it at the end."""
        known = [line for line in self.states if not line["forgotten"]]
        return known[-1] if known else None

    def ended_before(self, place):
        """Whether it had ended, once, before a place in the log."""
        return any(line["event"] == "delivery" and line["at"] < place for line in self.states)

    def was_dead(self, place):
        """Whether it was dead at a place in the log: a redrive takes that up again."""
        ends = [line for line in self.states if line["event"] == "delivery" and line["at"] < place]
        return bool(ends) and ends[-1]["state"] == "dead"


class Verdict:
    """What was found."""

    def __init__(self):
        self.findings = []          # (rule, text)
        self.counts = collections.Counter()

    def find(self, rule, text):
        self.findings.append((rule, text))


class Auditor:
    """Puts the evidence in order, and applies the rules."""

    def __init__(self, evidence):
        self.evidence = evidence
        self.verdict = Verdict()
        self.rows = []
        self.of_id = {}             # id that is sent: row
        self.asked = collections.defaultdict(list)      # id: requests
        self.happened = {}          # (event, id): place in the ledger of the first
        self.effects = collections.Counter()
        self.read_lines()
        self.read_events()

    def read_lines(self):
        """Make rows of the lines of the log."""
        rows = {}
        for line in sorted(self.evidence.lines, key=lambda line: line["at"]):
            if not line["committed"]:
                continue
            if line["event"] == "enqueued":
                row = rows[line["id"]] = Row(line)
                self.rows.append(row)
                self.own(row, row.action_id)
            elif line["event"] == "segment":
                for number in range(line["first_id"], line["last_id"] + 1):
                    if number in rows:
                        rows[number].states.append(line)
                    elif not line["forgotten"]:
                        self.verdict.find("nowhere", f"a segment covers {number}, which was not enqueued: {line}")
            elif line["event"] == "delivery" and line["id"] in rows:
                rows[line["id"]].states.append(line)
            elif line["event"] == "handed out" and line["id"] in rows:
                row = rows[line["id"]]
                row.ids.setdefault(line["action_id"], []).append(line)
                self.own(row, line["action_id"])

    def own(self, row, action_id):
        """An id is of a row."""
        before = self.of_id.get(action_id)
        if before is not None and before is not row and not before.forgotten:
            self.verdict.find("id", f"{action_id} is of {before} and of {row}")
        if before is not None and before is not row:
            # What it has done before, it has done.
            row.ids = {**before.ids, **row.ids}
        self.of_id[action_id] = row

    def read_events(self):
        """What has happened at the gateway."""
        for event in self.evidence.ledger:
            self.happened.setdefault((event["event"], event["id"]), event["at"])
            if event["event"] == "asked":
                self.asked[event["id"]].append(event)
            elif event["event"] == "effects":
                self.verdict.counts["effects"] += 1
                row = self.of_id.get(event["id"])
                if row is not None:
                    row.effects.append((event["at"], event["id"]))
        self.outcomes = {record["action_id"] for record in self.evidence.audit if record["outcome"] != "pending"}

    def record(self, row):
        """The record that a row was made of, in the end: the replay of a replay has that of the first one."""
        seen, original = set(), row.original
        while original not in self.evidence.records and original in self.of_id and original not in seen:
            seen.add(original)
            original = self.of_id[original].original
        return self.evidence.records.get(original)

    def recorded_at(self, action_id):
        """From which place in the ledger on there was an outcome record of an id; None: never."""
        found = self.happened.get(("recorded", action_id))
        if found is None and action_id in self.outcomes:
            # Whoever wrote it was not told that it was written.
            found = self.happened.get(("lost", action_id))
        return found

    def judge(self):
        """Apply all rules."""
        for row in self.rows:
            self.verdict.counts["rows"] += 1
            self.judge_end(row)
            self.judge_effects(row)
        self.judge_requests()
        self.judge_calls()
        self.judge_lanes()
        for number, said in self.evidence.crashes:
            if number != ABORTED or not self.evidence.wal_was_full:
                self.verdict.find("crash", said)
        return self.verdict

    # lost, delivered, ended

    def judge_end(self, row):
        last = row.last()
        if row.forgotten:
            self.verdict.counts["rows forgotten"] += 1
        elif last is None:
            self.verdict.find("lost", f"{row}: no segment has covered it")
        elif last["event"] == "segment":
            if not last["held"] and not self.waits_for_held(row):
                self.verdict.find("lost", f"{row}: has not ended and is not held: {last}")
            self.verdict.counts["held" if last["held"] else "behind a held one"] += 1
        else:
            self.verdict.counts[last["state"]] += 1
            self.judge_delivery(row, last)

    def lane(self, row):
        """The lane of a row; None if it is in none."""
        record = self.record(row)
        return None if record is None or record["fingerprint"] is None else (record["tenant"], record["fingerprint"])

    def waits_for_held(self, row):
        """Whether another one in its lane is held, which is everybody's to see."""
        return self.lane(row) is not None and any(
            self.lane(other) == self.lane(row) and other.last() is not None and other.last().get("held") for other in self.rows)

    def judge_delivery(self, row, last):
        if last["known_by"] == "settled":
            return
        if last["state"] == "delivered" and last["effect"] == "done" and not row.effects:
            self.verdict.find("delivered", f"{row}: is called done, and took no effect: {last}")
        if last["state"] == "delivered" and last["effect"] == "unknown" and not any(self.was_decided(action_id) for action_id in row.ids):
            self.verdict.find("delivered", f"{row}: is called delivered, and reached no provider: {last}")
        if (last["state"] != "delivered" or last["effect"] in NO_EFFECT) and row.effects:
            self.verdict.find("ended", f"{row}: is {last['state']} {last['effect']}, and took effect: {row.effects}, {last}")

    def was_decided(self, action_id):
        """Whether the gateway has made something of an id, as far as that can be known."""
        asked = self.asked.get(action_id)
        return any((event, action_id) in self.happened for event in ("tries", "recorded", "lost")) or action_id in self.outcomes or \
            (asked is not None and any(place > asked[0]["at"] for place in self.evidence.gateway_kills))

    # double

    def judge_effects(self, row):
        if len(row.effects) < 2:
            return
        self.verdict.counts["doubles"] += 1
        ids = [action_id for _, action_id in row.effects]
        reasons = [self.reason(row, ids[i], ids[i + 1]) for i in range(len(ids) - 1)]
        wrong = [reason for reason in reasons if reason not in ("unrecorded", "settled", "jumped", "forgotten")]
        if not wrong and len(ids) > 2 and all(reason == "unrecorded" for reason in reasons):
            wrong = [f"it took effect {len(ids)} times"]
        if wrong:
            self.verdict.find("double", f"{row}: took effect under {ids}: {'; '.join(wrong)}; it is {row.last()}")
        else:
            for reason in reasons:
                self.verdict.counts[f"excused: {reason}"] += 1

    def reason(self, row, earlier, later):
        """Why an effect may have followed another one; or what is wrong with that."""
        if any(self.is_forgotten(row, action_id) for action_id in (earlier, later)):
            return self.reason_forgotten(row, earlier, later)
        if earlier == later:
            return f"{earlier} took effect twice"
        # Which one was given up is not always the one that took effect first.
        first, second = sorted((earlier, later), key=lambda action_id: self.handed_out(row, action_id))
        sent_again = self.handed_out(row, second)
        if not self.is_marked(row, sent_again):
            return f"{second} was handed out without being marked unproven"
        if any(call["call"] == "settle" and call["decision"] == "resend" and call.get("batch") == row.batch and call["state"] != "failed"
               for call in self.evidence.calls):
            return "settled"
        if self.on_doubt(row) == "hold":
            return f"{second} was handed out although doubts of the batch are held"
        recorded = self.recorded_at(first)
        for jump in self.evidence.jumps:
            if jump["who"] == "server" and jump["seconds"] > 0 and self.handed_out(row, first) < jump["log"] < sent_again and \
                    (recorded is None or recorded > jump["ledger"]):
                return "jumped"
        if recorded is None:
            return "unrecorded"
        return f"{second} was sent although there was a record of {first}"

    @staticmethod
    def is_marked(row, place):
        """Whether a row was marked as unproven before a place in the log."""
        return any(line["event"] == "segment" and line["unproven"] and line["at"] < place for line in row.states)

    def reason_forgotten(self, row, earlier, later):
        """The same for what a promotion has forgotten: who takes over knows that it may have, and marks what it sends."""
        last = max((line["at"] for action_id in (earlier, later) for line in row.ids.get(action_id, ())), default=[0, 0])
        if row.forgotten or self.has_forgotten_row(earlier) or self.has_forgotten_row(later) or self.is_marked(row, last):
            return "forgotten"
        return f"{later} was handed out after a promotion without being marked unproven"

    def has_forgotten_row(self, action_id):
        """Whether a promotion has lost an enqueueing of an id."""
        return any(row.forgotten and row.action_id == action_id for row in self.rows)

    @staticmethod
    def handed_out(row, action_id):
        """Where the log first says that an id was handed out."""
        return min((line["at"] for line in row.ids.get(action_id, ())), default=[0, 0])

    def is_forgotten(self, row, action_id):
        """Whether a promotion has lost that an id was handed out, or its record, or the row."""
        if not self.evidence.failover:
            return False
        lost = any(line["forgotten"] for line in row.ids.get(action_id, ()))
        unrecorded = self.happened.get(("recorded", action_id)) is not None and action_id not in self.outcomes
        return lost or unrecorded or row.forgotten or self.has_forgotten_row(action_id)

    def on_doubt(self, row):
        """What the call that made a row says of doubts; None if its batch is not known."""
        for call in self.evidence.calls:
            if call["call"] in MAKES and any(found.get("batch_id") == row.batch for found in call.get("rows") or ()):
                return call["on_doubt"]
            if call["call"] == "replay" and any(str(found.get("new_action_id")) == row.action_id for found in call.get("rows") or ()):
                return call["on_doubt"]
        return None

    # nowhere, body

    def judge_requests(self):
        for action_id, requests in self.asked.items():
            row = self.of_id.get(action_id)
            if row is None or (action_id not in row.ids):
                self.verdict.find("nowhere", f"{action_id}, for {requests[0]['source']}, reached the gateway, and was never handed out")
                continue
            bodies = {json.dumps(request["body"], sort_keys=True) for request in requests}
            if len(bodies) > 1 and not self.is_forgotten(row, action_id):
                self.verdict.find("body", f"{row}: {action_id} was sent with other bodies: {sorted(bodies)[:2]}")
            for request in requests:
                self.judge_body(row, action_id, request["body"])
        for row in self.rows:
            if not any(self.covers(call, row) for call in self.evidence.calls):
                self.verdict.find("nowhere", f"{row}: is enqueued, and no call has asked for it")

    def judge_body(self, row, action_id, body):
        record = self.record(row)
        if record is None:
            self.verdict.find("nowhere", f"{row}: there is no such record")
            return
        labels = {name: value if isinstance(value, str) else compact(value) for name, value in record["labels"].items()}
        wanted = {"id": action_id, "namespace": "prod", "tenant": record["tenant"], "provider": record["provider"], "action_type": "send_email",
                  "payload": record["payload"], "metadata": {**labels, "replayed_from": row.original}, "fingerprint": record["fingerprint"]}
        wrong = {name: (body.get(name), value) for name, value in wanted.items() if body.get(name) != value}
        if wrong:
            self.verdict.find("body", f"{row}: was sent with {wrong}")

    def covers(self, call, row):
        """Whether a call may have asked for a row."""
        record = self.record(row)
        if call["call"] not in MAKES or record is None or call["state"] in ("skipped", "given") or (call["state"] == "failed" and call["call"] != "all"):
            return False
        if call["call"] == "replay":
            return call["action_id"] == row.original
        filters = call["filters"]
        if row.original in self.evidence.records and record["done"]:
            return False
        if filters.get("tenant", record["tenant"]) != record["tenant"] or filters.get("provider", record["provider"]) != record["provider"]:
            return False
        # A replay has records of its own.
        outcomes = {found["outcome"] for found in self.evidence.audit if found["action_id"] == row.original} | {record["outcome"]}
        return bool(filters.get("lost") or outcomes & set(filters["outcome"].split(",")))

    # lost, cancelled, check

    def judge_calls(self):
        by_batch = collections.Counter(row.batch for row in self.rows)
        enqueued = {row.action_id for row in self.rows}
        for call in self.evidence.calls:
            if call["state"] != "committed":
                continue
            rows = call.get("rows") or ()
            if call["call"] == "replay":
                for found in rows:
                    if found["success"] and str(found["new_action_id"]) not in enqueued:
                        self.verdict.find("lost", f"{call['action_id']}: a call says that it is replayed as {found['new_action_id']}, which was not enqueued")
            elif call["call"] in ("bulk", "all"):
                for found in rows:
                    if found["batch_id"] is not None and by_batch[found["batch_id"]] < found["replayed"]:
                        self.verdict.find("lost", f"batch {found['batch_id']}: a call says that {found['replayed']} are replayed, "
                                                  f"and {by_batch[found['batch_id']]} are enqueued")
            elif call["call"] == "check":
                set_back = any(jump["who"] == "server" and jump["seconds"] < 0 and jump["log"] < call["answered_at"] for jump in self.evidence.jumps)
                for found in rows:
                    if not (set_back and found["violation"] == "delivery added"):
                        self.verdict.find("check", f"acteon_outbox_check: {found}")
            elif call["call"] in ("cancel", "cancel part"):
                self.judge_cancel(call)

    def judge_cancel(self, call):
        # A batch may also be finished by it: nothing but the part was left.
        finished = any(row.get("state") == "finished" for row in call.get("rows") or ())
        for row in self.rows:
            record = self.record(row)
            if row.batch != call["batch"] or (call["call"] == "cancel part" and record["tenant"] != call["tenant"]):
                continue
            if finished and row.was_dead(call["answered_at"]):
                continue
            for action_id, lines in row.ids.items():
                for line in lines:
                    # A promotion may have forgotten the cancel.
                    if line["at"] > call["answered_at"] and line["at"][0] == call["answered_at"][0] and line["id"] == row.id:
                        self.verdict.find("cancelled", f"{row}: {action_id} was handed out after its batch was cancelled: {line}")

        if call["call"] == "cancel" and not finished:
            self.judge_in_flight(call)

    def judge_in_flight(self, call):
        """Whether more of a batch has come than was said to be on its way."""
        told = [row["in_flight"] for row in call.get("rows") or () if row.get("in_flight") is not None]
        # A lease that looks over, and is not, counts as in doubt.
        if not told or any(jump["who"] == "server" and jump["seconds"] > 0 and jump["log"] < call["answered_at"] for jump in self.evidence.jumps):
            return
        late = [row for row in self.rows if row.batch == call["batch"] and not row.forgotten and not self.may_be_over(row, call["answered_at"]) and
                any(self.asked[action_id] and self.asked[action_id][0]["at"] >= call["ledger_at"] for action_id in row.ids if self.of_id[action_id] is row)]
        if len(late) > told[0] and not (self.evidence.failover and any(line["at"][0] != call["answered_at"][0] for line in self.evidence.lines)):
            self.verdict.find("cancelled", f"batch {call['batch']}: {told[0]} were said to be in flight when it was cancelled, and {len(late)} came: "
                                           f"{', '.join(map(str, late[:3]))}")

    def may_be_over(self, row, place):
        """Whether time has passed between a hand-out of a row and a place in the log."""
        first = min((line["at"] for lines in row.ids.values() for line in lines), default=place)
        return any(first <= passed <= place for passed in self.evidence.passes)

    # lane

    def judge_lanes(self):
        lanes = collections.defaultdict(list)
        for row in self.rows:
            if self.lane(row) is not None and not row.forgotten:
                lanes[self.lane(row)].append(row)
        known = {}
        for call in self.evidence.calls:
            for found in call.get("rows") or ():
                if call["call"] in ("bulk", "all") and found.get("batch_id") is not None and call["state"] == "committed":
                    known[found["batch_id"]] = call["answered_at"]
        for rows in lanes.values():
            rows.sort(key=lambda row: row.id)
            for number, later in enumerate(rows):
                for line in (line for lines in later.ids.values() for line in lines if line["id"] == later.id):
                    for earlier in rows[:number]:
                        since = known.get(earlier.batch)
                        if since is not None and since < line["at"] and since[0] == line["at"][0] and not line["forgotten"] and \
                                not earlier.ended_before(line["at"]):
                            self.verdict.find("lane", f"{later} was handed out before {earlier} had ended: {line}")


def compact(value):
    """A value as the gateway has it in labels (gateway.md, section 3)."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def judge(evidence):
    """The verdict about a seed."""
    return Auditor(evidence).judge()
