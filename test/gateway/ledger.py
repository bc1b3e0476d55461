"""What the stub has seen: requests and effects of each action, and violations."""

import hashlib
import json
import time
from collections import Counter

EXAMPLES = 20                   # violations that are kept word by word


def payload_digest(payload):
    """A hash of what a payload means: without blanks, order of keys, notation."""
    return hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()


class Entry:
    """One action id."""

    __slots__ = ("requests", "effects", "digest", "payload_digest", "source",
                 "lane", "outcome", "open", "log")

    def __init__(self, digest, source, lane):
        self.requests = 0
        self.effects = 0
        self.digest = digest
        self.payload_digest = None
        self.source = source    # the action that it replays
        self.lane = lane        # "tenant fingerprint", None without one
        self.outcome = None     # what the last answer that was final called it
        self.open = 0           # requests under way
        self.log = []           # [begun, finished, status] of each request


class Request:
    """One request under way."""

    __slots__ = ("action_id", "entry", "begun", "attempt", "number")

    def __init__(self, action_id, entry, number):
        self.action_id = action_id
        self.entry = entry
        self.begun = time.time()
        self.attempt = entry.requests
        self.number = number


class Ledger:
    """Everything since the last reset."""

    def __init__(self, digest_payloads=False):
        self.digest_payloads = digest_payloads
        self.entries = {}
        self.requests = 0
        self.answers = Counter()        # by status; "none" where there was none
        self.connections = 0
        self.violations = Counter()     # by kind
        self.examples = []
        self.unauthorized = 0
        self.lanes_open = Counter()
        self.lane_effects = {}          # lane: ids in the order of their first effect
        self.open = 0
        self.most_open = 0
        self.id_overlaps = 0

    def violation(self, kind, detail):
        """Remember that something is wrong."""
        self.violations[kind] += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(f"{kind}: {detail}"[:500])

    def begin(self, action, body):
        """A request for an action has come in."""
        action_id = action["id"]
        digest = hashlib.sha256(body).hexdigest()
        entry = self.entries.get(action_id)
        if entry is None:
            lane = None
            if action["fingerprint"] is not None:
                lane = f"{action['tenant']} {action['fingerprint']}"
            entry = self.entries[action_id] = Entry(digest, action["metadata"].get("replayed_from"), lane)
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
        return Request(action_id, entry, self.requests)

    def effect(self, request):
        """The action does what it is for."""
        entry = request.entry
        entry.effects += 1
        if entry.lane is not None and entry.effects == 1:
            self.lane_effects.setdefault(entry.lane, []).append(request.action_id)

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
                            "outcome": entry.outcome, "log": entry.log}
                for action_id, entry in self.entries.items()}
