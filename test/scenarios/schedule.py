#!/usr/bin/env python3
"""What a seed is: records, how gateway and relays are, and a list of steps.

It follows from the number of the seed and from nothing else.  A step is done when
what it waits for has happened, which is never a moment of a clock: so many effects,
the end of the step before it, or a session that has come to a place in the code
(src/base/fault_point.h).  A schedule is plain data, so that it can be printed,
compared, and run again.

    schedule.py SEED        prints it
"""

import json
import random
import sys

TENANTS = ("acme", "acme.eu", "globex")
PROVIDERS = ("mail", "sms", "hook", "desk")
# Outcomes of the records, by what they say of the effect (gateway.md, section 4).
LOST = ("failed", "failed", "failed", "circuit_open", "throttled", "quota_exceeded")
SESSIONS = 3
LEASE = 30              # seconds, of the relays
PATIENCE = 300          # seconds, of the server
# What passes while something is stopped: longer than a lease, and so much shorter than the
# patience that what MAX_PASSED of them come to, with a lease, is less than that.
PASS = 40
MAX_PASSED = 4
SCALE = 100             # by what the gateway's times are divided

# The places where sessions are stopped, and what has to be called to get there; None: what relays do.
HOOKS = {
    "claim-lease": None, "claim-end": None, "answer-delivery": None, "answer-end": None, "doubt-decide": None,
    "enqueue-rows": ("replay", "bulk", "all"), "enqueue-ids": ("bulk", "all"), "enqueue-segments": ("replay", "bulk", "all"),
    "chunk-next": ("all",), "purge-rows": ("purge",), "cancel-sweep": ("cancel",),
}
AT_HOOK = ("kill backend", "kill backend", "kill postmaster", "terminate", "cancel", "kill relay", "kill gateway", "pass", "call", "call", "release")


class Maker:
    """Draws a schedule."""

    def __init__(self, seed):
        self.seed = seed
        self.chance = random.Random(f"acteon_replay seed {seed}")
        self.calls = 0          # numbers of calls
        self.batches = []       # calls that make batches
        self.effects = 0
        self.passed = 0
        self.crashes = 0
        self.records = []
        self.late_records = 0

    def draw(self, share):
        """True so often."""
        return self.chance.random() < share

    def make(self):
        """The schedule."""
        chance = self.chance
        options = {
            "relays": chance.choice((1, 1, 2)), "protection": self.draw(0.6), "compliance": self.draw(0.25), "late": self.draw(0.3),
            "standby": self.seed % 10 == 7, "end": chance.choice(("resume", "resume", "cancel")),
            "held": chance.choice(("leave", "leave", "resend", "delivered", "cancel")),
        }
        options["links"] = not options["standby"] and self.draw(0.3)
        options["gateway"] = self.gateway()
        options["rules"] = [self.rule() for _ in range(chance.choice((0, 1, 2, 3)))]
        self.options = options
        self.make_records(chance.randint(20, 80))
        count = len(self.records)
        steps = [self.call_step(chance.choice(("bulk", "bulk", "all"))), {"do": "start relays"}]
        if self.draw(0.4):
            steps.reverse()
        for _ in range(chance.randint(7, 15)):
            steps += self.more()
        if options["standby"]:
            steps += self.failover()
        return {"seed": self.seed, "options": options, "records": self.records, "count": count, "steps": steps}

    # What there is.

    def gateway(self):
        """The gateway's configuration."""
        chance = self.chance
        kinds = ({}, {"delay_ms": 500}, {"delay_ms": 3000}, {"refuse": True}, {"status": 503, "type": "native"}, {"status": 500},
                 {"hang": True}, {"delay_ms": 40000})
        providers = {"*": {"delay_ms": chance.choice((0, 500, 2000))}}
        for name in PROVIDERS:
            if self.draw(0.4):
                kind = dict(chance.choice(kinds))
                if self.draw(0.7):
                    kind.update(after=chance.randint(1, 12), then={"delay_ms": 500})
                providers[name] = kind
        told = {"providers": providers}
        if self.draw(0.15):
            told["tenant_limit"] = {"*": {"limit": chance.randint(3, 10), "window_seconds": 60}}
        if self.draw(0.15):
            told["max_concurrent_dispatch"] = chance.randint(2, 6)
        if self.draw(0.2):
            told["executor"] = {"max_retries": chance.choice((0, 1))}
        if self.draw(0.15):
            told["circuit_breaker"] = {"failure_threshold": 3, "recovery_timeout_seconds": 60}
        return told

    def rule(self):
        """What comes between relay and gateway, some times."""
        chance = self.chance
        answer = chance.choice((
            {"status": 502, "text": "<html>Bad Gateway</html>", "effect": True}, {"status": 502, "text": "<html>Bad Gateway</html>"},
            {"reset": "body", "effect": True}, {"reset": "body"}, {"half": "body", "effect": True}, {"half": "head", "effect": True},
            {"status": 500, "body": {"error": "lock acquisition failed"}}, {"status": 429, "retry_after": 1}, {"status": 400, "body": {"error": "no"}},
            {"hang_up": True}))
        match = chance.choice(({}, {"tenant": chance.choice(TENANTS)}, {"provider": chance.choice(PROVIDERS)}))
        if self.draw(0.7):
            match = {**match, "attempt": 1}
        return {"match": match, "limit": chance.randint(1, 6), "answer": answer}

    def make_records(self, count, late=False):
        """Records of what was lost, and some of what was not."""
        chance = self.chance
        made = []
        lanes = self.draw(0.5)
        for _ in range(count):
            number = len(self.records) + 1
            executed = self.draw(0.08)
            made.append({
                "action_id": f"s{self.seed}-{number}", "tenant": chance.choice(TENANTS), "provider": chance.choice(PROVIDERS),
                "outcome": "executed" if executed else chance.choice(LOST), "done": executed,
                "fingerprint": f"f{chance.randint(0, 4)}" if lanes and self.draw(0.5) else None,
                "payload": {"n": number, "text": chance.choice(("", "ü€😀", "a\"b\\c", "x" * 300)), "deep": [1, {"a": None}, 2.5]},
                "labels": {"kind": chance.choice(("a", "b")), "flag": chance.choice((True, 7, {"b": 1, "a": [1, 2]}))},
            })
            self.records.append(made[-1])
        return made

    # Steps.

    def trigger(self):
        """What a step waits for: most wait for some effects."""
        if self.draw(0.35):
            return {"after": "previous"}
        self.effects += self.chance.randint(1, 8)
        return {"effects": self.effects}

    def more(self):
        """A step, or some that belong together."""
        chance = self.chance
        kind = chance.choices(
            ("call", "hook", "steered claim", "kill", "pass", "jump", "disk", "link", "stop", "gateway", "records", "join"),
            (40, 20, 3, 13, 4, 5, 4, 8 if self.options["links"] else 0, 4, 7, 3, 4))[0]
        steps = getattr(self, f"{kind.replace(' ', '_')}_steps")()
        steps[0].setdefault("when", self.trigger())
        return steps

    def call_steps(self):
        kinds = ["replay", "bulk", "all", "preview", "check", "limit", "purge", "pause all", "resume all"]
        if self.batches:
            kinds += ["pause", "resume", "cancel", "rate", "redrive", "settle", "hand over", "continue", "cancel part", "pause", "resume", "cancel"]
        return [self.call_step(self.chance.choice(kinds))]

    def call_step(self, kind):
        """A call in one of the sessions, which is not waited for."""
        return {"do": "call", "session": self.chance.randrange(SESSIONS), **self.call(kind)}

    def call(self, kind):
        """A call and its arguments."""
        chance, batches = self.chance, self.batches
        self.calls += 1
        call = {"call": kind, "number": self.calls}
        if kind == "replay":
            call["action_id"] = chance.choice(self.records)["action_id"]
            call["on_doubt"] = chance.choice(("resend", "resend", "hold"))
        elif kind in ("bulk", "all", "preview"):
            filters = chance.choice(({"lost": True}, {"lost": True}, {"outcome": "failed"}, {"lost": True, "tenant": chance.choice(TENANTS)},
                                     {"lost": True, "provider": chance.choice(PROVIDERS)}, {"outcome": "failed,circuit_open", "newest_first": True}))
            call["filters"] = dict(filters)
            call["on_doubt"] = chance.choice(("resend", "resend", "hold"))
            if self.draw(0.15):
                call["filters"]["include_replayed"] = True
            if self.draw(0.25):
                call["filters"]["max_records"] = chance.randint(1, 30)
            if kind != "preview":
                if self.draw(0.12):
                    call["filters"]["rate"] = chance.choice((5, 20, 100))
                if self.draw(0.8):
                    call["filters"]["breaker_window"] = 0
                batches.append(self.calls)
            if kind == "all":
                call["chunk"] = chance.choice((3, 7, 20))
        elif kind in ("pause", "resume", "cancel", "redrive", "settle", "hand over", "continue", "rate", "cancel part"):
            call["of"] = chance.choice(batches)
            if kind == "settle":
                call["decision"] = chance.choice(("resend", "resend", "delivered", "cancel"))
            if kind == "rate":
                call["rate"] = chance.choice((10, 50, None))
            if kind == "cancel part":
                call["tenant"] = chance.choice(TENANTS)
        elif kind == "limit":
            call["provider"] = chance.choice(PROVIDERS)
            call["rate"], call["concurrency"] = chance.choice(((20, None), (None, 2), (None, None)))
        return call

    def hook_steps(self):
        """A session is stopped at a place, and something is done meanwhile."""
        chance = self.chance
        places = [name for name, calls in HOOKS.items() if calls is None or self.batches or calls[0] not in ("cancel",)]
        name = chance.choice(places)
        step = {"do": "hook", "place": name, "skip": chance.choice((0, 0, 0, 1, 2)), "act": self.act()}
        calls = HOOKS[name]
        if calls is not None:
            step["begin"] = {"session": chance.randrange(SESSIONS), **self.call(chance.choice(calls))}
        if step["act"] == "call":
            kinds = ["replay", "bulk", "purge", "check", "pause all", "resume all"] + (["cancel", "cancel", "pause", "redrive", "settle"] if self.batches else [])
            kind = chance.choice(kinds)
            # A cancel must not overlook a claim that is under way.
            if name.startswith("claim") and self.batches and self.draw(0.5):
                kind = "cancel"
            step["call"] = {"session": chance.randrange(SESSIONS), **self.call(kind)}
            if kind == "cancel" and self.draw(0.7):
                step["call"]["of"] = self.batches[-1]
            # The session that stands at the place cannot do it.
            if "begin" in step and step["call"]["session"] == step["begin"]["session"]:
                step["call"]["session"] = (step["call"]["session"] + 1) % SESSIONS
        elif step["act"] == "kill relay":
            step["relay"] = chance.randrange(self.options["relays"])
        return [step]

    def steered_claim_steps(self):
        """A batch is steered while a claim of it is under way."""
        chance = self.chance
        begin = {"session": 0, **self.call("bulk")}
        begin["filters"] = {**begin["filters"], "include_replayed": True, "breaker_window": 0}
        begin["filters"].pop("rate", None)
        call = {"session": 1, **self.call(chance.choice(("cancel", "cancel", "cancel part", "pause")))}
        call["of"] = begin["number"]
        return [{"do": "hook", "place": chance.choice(("claim-lease", "claim-end")), "skip": 0, "act": "call", "begin": begin, "call": call}]

    def act(self):
        """What is done while a session is stopped."""
        act = self.chance.choice(AT_HOOK)
        if act in ("kill backend", "kill postmaster"):
            self.crashes += 1
            if self.crashes > 3:
                return "terminate"
        if act == "pass" and not self.may_pass():
            return "release"
        return act

    def may_pass(self):
        """Whether more time may pass while something may be out."""
        self.passed += 1
        return self.passed <= MAX_PASSED

    def kill_steps(self):
        chance = self.chance
        what = chance.choice(("backend", "postmaster", "relay", "relay", "gateway", "gateway"))
        if what in ("backend", "postmaster"):
            self.crashes += 1
            if self.crashes > 3:
                what = "relay"
        step = {"do": "kill", "what": what}
        if what == "backend":
            step["session"] = chance.randrange(SESSIONS)
        elif what == "relay":
            step["relay"] = chance.randrange(self.options["relays"])
        return [step]

    def pass_steps(self):
        return [{"do": "pass", "seconds": PASS}] if self.may_pass() else self.join_steps()

    def jump_steps(self):
        """A clock that is set, of one of those that have one."""
        chance = self.chance
        who = chance.choice(("server", "server", "relay", "gateway"))
        return [{"do": "jump", "who": who, "seconds": chance.choice((LEASE + 5, PATIENCE + LEASE + 10, 1800, -60, -600))}]

    def disk_steps(self):
        how = self.chance.choice(("larger", "larger", "wal"))
        if how == "wal":
            self.crashes += 1
            if self.crashes > 3:
                how = "larger"
        call = self.call_step(self.chance.choice(("bulk", "replay", "purge")))
        return [{"do": "disk", "full": how}, call, {"do": "disk", "full": None, "when": {"join": call["session"]}}]

    def link_steps(self):
        """A connection that is half open, and goes on or is reset."""
        which = self.chance.choice(("gateway", "database"))
        return [{"do": "link", "which": which, "state": "stall"}, *self.more_within(),
                {"do": "link", "which": which, "state": self.chance.choice(("resume", "reset"))}]

    def stop_steps(self):
        """A relay, or the gateway, that is stopped and goes on."""
        chance = self.chance
        who = chance.choice(("relay", "relay", "gateway"))
        step = {"do": "stop", "who": who, "relay": chance.randrange(self.options["relays"])}
        within = [{"do": "pass", "seconds": PASS}] if self.may_pass() else []
        return [step, *within, *self.more_within(), {**step, "do": "continue"}]

    def more_within(self):
        """A call or a kill while something stands still, or nothing."""
        kind = self.chance.choice(("call", "kill", None))
        steps = [] if kind is None else getattr(self, f"{kind}_steps")()
        # What was stopped has to be there to go on.
        return [step for step in steps if step.get("what") not in ("relay", "gateway")]

    def gateway_steps(self):
        """The gateway is told to be another."""
        chance = self.chance
        told = chance.choice(("protection", "compliance", "audit fails", "audit works", "providers work", "intents fail", "outcomes fail"))
        return [{"do": "tell", "told": told, "on": self.draw(0.5)}]

    def records_steps(self):
        """Records that come late."""
        if self.late_records > 2:
            return self.join_steps()
        self.late_records += 1
        return [{"do": "records", "records": self.make_records(self.chance.randint(3, 10))}]

    def join_steps(self):
        return [{"do": "join", "session": self.chance.randrange(SESSIONS)}]

    def failover(self):
        """The standby learns nothing more, some things are done, and it takes over."""
        steps = [{"do": "cut off", "when": self.trigger()}, self.call_step(self.chance.choice(("bulk", "replay", "all")))]
        for _ in range(self.chance.randint(0, 2)):
            steps += self.call_steps()
        self.effects += self.chance.randint(3, 15)
        steps.append({"do": "promote", "when": {"effects": self.effects}, "hook": self.draw(0.4)})
        for _ in range(self.chance.randint(1, 3)):
            steps += [{**step, "when": self.trigger()} for step in self.call_steps()]
        return steps


def make(seed):
    """The schedule of a seed."""
    found = Maker(seed).make()
    count = found.pop("count")
    # Those that come late are in their steps.
    found["records"] = found["records"][:count]
    return found


def text(schedule):
    """A schedule, to be read and compared."""
    lines = [f"seed {schedule['seed']}: {json.dumps(schedule['options'], sort_keys=True)}"]
    lines += [f"  record {json.dumps(record, sort_keys=True)}" for record in schedule["records"]]
    lines += [f"  {number}. {json.dumps(step, sort_keys=True)}" for number, step in enumerate(schedule["steps"], 1)]
    return "\n".join(lines)


if __name__ == "__main__":
    print(text(make(int(sys.argv[1]))))
