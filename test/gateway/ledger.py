"""What the stand-in has seen and done: requests and effects of each action, and violations.

The truth about effects is here and nowhere else: an effect is counted when a
provider that does what it is asked has got the request, whatever becomes of the
answer.  With a file, every event is appended to it at once, so that a stand-in
that is killed knows again what its providers did, though it forgets which ids it
has claimed.
"""

import hashlib
import json
import os
import time
from collections import Counter

EXAMPLES = 20                   # violations that are kept word by word

# What ends a line in the middle of which a stand-in was killed; no line of JSON has a tab.
TORN = b"\ttorn\n"


def read_events(path):
    """The events of a file, each with its place in it.  Nothing has come of one that was not written to its end."""
    at = 0
    with open(path, "rb") as file:
        for line in file:
            if line.endswith(b"\n") and not line.endswith(TORN):
                yield at, json.loads(line)
            at += len(line)


def payload_digest(payload):
    """A hash of what a payload means: without blanks, order of keys, notation."""
    text = json.dumps(json.loads(json.dumps(payload), parse_int=float), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class Entry:
    """One action id."""

    __slots__ = ("requests", "effects", "digest", "payload_digest", "source",
                 "lane", "outcome", "open", "log", "tries", "cut", "recorded", "lost", "traces")

    def __init__(self, digest, source, lane):
        self.requests = 0
        self.effects = 0        # dispatches that had an effect
        self.digest = digest
        self.payload_digest = None
        self.source = source    # the action that it replays
        self.lane = lane        # "tenant fingerprint", None without one
        self.outcome = None     # what the last answer that was final called it
        self.open = 0           # requests under way
        self.log = []           # [begun, finished, status] of each request
        self.tries = 0          # requests that a provider got
        self.cut = 0            # of these, whose client went away before they ended
        self.recorded = 0       # outcome records that were written
        self.lost = 0           # … that could not be
        self.traces = []        # [traceparent, tracestate] of each request that has the first


class Request:
    """One request under way."""

    __slots__ = ("action_id", "entry", "begun", "attempt", "number", "had_effect", "ledger")

    def __init__(self, ledger, action_id, entry, number, attempt):
        self.ledger = ledger
        self.action_id = action_id
        self.entry = entry
        self.begun = time.time()
        self.attempt = attempt
        self.number = number
        self.had_effect = False


class Ledger:
    """Everything since the last reset."""

    def __init__(self, digest_payloads=False, path=None, bodies=False):
        self.digest_payloads = digest_payloads
        self.path = path
        self.bodies = bodies            # the file has them, too
        self.file = None
        self.entries = {}
        self.asked = Counter()          # by the action that is replayed: requests, whatever their ids
        self.requests = 0
        self.answers = Counter()        # by status; "none" where there was none
        self.connections = 0
        self.violations = Counter()     # by kind
        self.examples = []
        self.unauthorized = 0
        self.lanes_open = Counter()
        self.lane_effects = {}          # lane: what is replayed, in the order of its first effect
        self.open = 0
        self.most_open = 0
        self.id_overlaps = 0
        if path is not None:
            self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            size = os.fstat(self.file).st_size
            if size > 0 and os.pread(self.file, 1, size - 1) != b"\n":
                os.write(self.file, TORN)
            self.recall()

    def renewed(self):
        """A ledger that knows nothing, on the same file."""
        if self.path is not None:
            os.close(self.file)
            os.truncate(self.path, 0)
        return Ledger(self.digest_payloads, self.path, self.bodies)

    def recall(self):
        """Read what an earlier stand-in has written."""
        for _, (event, action_id, *more) in read_events(self.path):
            if event == "asked":
                entry = self.entries.setdefault(action_id, Entry(more[0], more[1], more[2]))
                entry.requests += 1
                self.requests += 1
                self.asked[action_id if more[1] is None else more[1]] += 1
            else:
                # What the gateway itself has dispatched was not asked for.
                self.count(self.entries.setdefault(action_id, Entry(None, None, None)), event)

    def count(self, entry, event):
        """One event of an id."""
        setattr(entry, event, getattr(entry, event) + 1)

    def note(self, event, action_id, *more):
        """Append an event to the file; it is there when this returns."""
        data = json.dumps([event, action_id, *more]).encode() + b"\n"
        while self.file is not None and data:
            data = data[os.write(self.file, data):]

    def violation(self, kind, detail):
        """Remember that something is wrong."""
        self.violations[kind] += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(f"{kind}: {detail}"[:500])

    def begin(self, action, body):
        """A request for an action has come in."""
        action_id = action["id"]
        # The signature may be another one at each attempt, or new.
        signature = body.rfind(b', "signature": ') if action["signature"] is not None else -1
        digest = hashlib.sha256(body if signature < 0 else body[:signature] + b"}").hexdigest()
        entry = self.entries.get(action_id)
        source = action["metadata"].get("replayed_from")
        if entry is None:
            lane = None
            if action["fingerprint"] is not None:
                lane = f"{action['tenant']} {action['fingerprint']}"
            entry = self.entries[action_id] = Entry(digest, source, lane)
            if self.digest_payloads:
                entry.payload_digest = payload_digest(action["payload"])
        elif entry.digest != digest:
            self.violation("body", f"{action_id} came with another body before")
        if entry.open:
            self.id_overlaps += 1
        if entry.lane is not None:
            if self.lanes_open[entry.lane]:
                self.violation("lane", f"two requests of {entry.lane} overlap at {action_id}")
            self.lanes_open[entry.lane] += 1
        entry.requests += 1
        entry.open += 1
        self.requests += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        replayed = source if source is not None else action_id
        self.asked[replayed] += 1
        if self.file is not None:
            self.note("asked", action_id, digest, source, entry.lane, *([body.decode("utf-8", "replace")] if self.bodies else []))
        return Request(self, action_id, entry, self.requests, self.asked[replayed])

    def inner(self, action):
        """A dispatch of the gateway's own, which nobody asked for over HTTP."""
        entry = self.entries.setdefault(action["id"], Entry(None, action["metadata"].get("replayed_from"), None))
        return Request(self, action["id"], entry, self.requests, 0)

    def tried(self, request, effect):
        """A provider gets a request for it, which takes effect or not."""
        request.entry.tries += 1
        self.note("tries", request.action_id)
        if effect and not request.had_effect:
            self.effect(request)

    def effect(self, request):
        """The action does what it is for."""
        entry = request.entry
        request.had_effect = True
        entry.effects += 1
        self.note("effects", request.action_id)
        if entry.lane is not None:
            order = self.lane_effects.setdefault(entry.lane, {})
            order.setdefault(request.action_id if entry.source is None else entry.source)

    def happened(self, request, event):
        """A request was cut, its record was written (recorded) or could not be (lost)."""
        self.count(request.entry, event)
        self.note(event, request.action_id)

    def end(self, request, status, outcome=None):
        """The request was answered with a status, or not at all: None; and with an outcome."""
        entry = request.entry
        entry.outcome = outcome or entry.outcome
        entry.open -= 1
        entry.log.append([request.begun, time.time(), status])
        if entry.lane is not None:
            self.lanes_open[entry.lane] -= 1
        self.open -= 1
        self.answers["none" if status is None else str(status)] += 1

    def stats(self):
        """Counts of everything, as JSON."""
        effects = [entry.effects for entry in self.entries.values()]
        return {
            "requests": self.requests,
            "ids": len(self.entries),
            "duplicates": self.requests - len(self.entries),
            "effects": sum(effects),
            "ids_with_effect": sum(1 for n in effects if n > 0),
            "ids_with_effects": sum(1 for n in effects if n > 1),
            "answers": self.answers,
            "outcomes": Counter(entry.outcome for entry in self.entries.values() if entry.outcome),
            "unauthorized": self.unauthorized,
            "violations": sum(self.violations.values()),
            "violations_by_kind": self.violations,
            "examples": self.examples,
            "id_overlaps": self.id_overlaps,
            "open": self.open,
            "most_open": self.most_open,
            "connections": self.connections,
            "now": time.time(),
        }

    def actions(self):
        """Each action's history, as JSON."""
        return {action_id: {"requests": entry.requests, "effects": entry.effects,
                            "digest": entry.digest, "payload_digest": entry.payload_digest,
                            "source": entry.source, "lane": entry.lane,
                            "outcome": entry.outcome, "log": entry.log, "traces": entry.traces}
                for action_id, entry in self.entries.items()}

    def root(self, action_id):
        """The action that a lineage of replays began with."""
        seen = set()
        while action_id not in seen:
            seen.add(action_id)
            entry = self.entries.get(action_id)
            if entry is None or entry.source is None:
                break
            action_id = entry.source
        return action_id

    def truth(self):
        """What became of each id and of each lineage in truth, as JSON."""
        ids, lineages = {}, {}
        for action_id, entry in self.entries.items():
            found = {"root": self.root(action_id), "requests": entry.requests, "tries": entry.tries,
                     "effects": entry.effects, "cut": entry.cut, "recorded": entry.recorded, "lost": entry.lost}
            ids[action_id] = found
            line = lineages.setdefault(found["root"], Counter())
            for key in ("requests", "tries", "effects", "cut", "recorded", "lost"):
                line[key] += found[key]
            line["ids"] += 1
        return {"ids": ids, "lineages": lineages}
