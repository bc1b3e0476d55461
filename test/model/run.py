#!/usr/bin/env python3
"""Lets TLC check the models, and that each invariant falls without what keeps it: see test/model/check."""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))

TROUBLES = ("lease ends", "given back", "steered", "settled", "redriven", "unacceptable", "not read", "refused", "deferred", "record lost",
            "provider fails", "no answer", "relay dies", "gateway dies", "pruned", "failover")
# All of them, as the models' files have them.
INVARIANTS = {
    "ActionReplay": ("NoneTwice", "NoIdTwice", "DeliveredHasEffect", "EndedHasNoEffect", "NoneLost", "NoneQueuedTwice"),
    "OutboxLease": ("NoneLost", "CoveredOnce", "NoneEndedAndWaiting", "EndsOnce", "LaneLeasedOnce", "LaneInOrder", "NoneAfterCancel", "IdsKept"),
}
CONSTANTS = {
    "ActionReplay": {"Rows": 2, "MaxResend": 2, "MaxAttempts": 2, "MaxItems": 2, "MaxTrouble": 2, "Troubles": TROUBLES,
                     "Protection": False, "Compliance": False, "OnDoubt": "resend", "Without": ()},
    "OutboxLease": {"Rows": 3, "Lane": (2, 3), "MaxHandedOut": 3, "MaxTrouble": 2, "Without": ()},
}
# What holds: model, what is checked, constants that differ.  The big ones are left out of the short form.
SHORT = [
    ("ActionReplay", "all", {"MaxTrouble": 1}),
    ("ActionReplay", "all", {"MaxTrouble": 1, "Protection": True, "Compliance": True, "OnDoubt": "hold"}),
    ("ActionReplay", "EventuallyEndsOrHeld", {"Rows": 1, "MaxTrouble": 1, "Protection": True}),
    ("OutboxLease", "all", {"Lane": (3,), "MaxTrouble": 0}),
]
BIG = [
    ("ActionReplay", "all", {"MaxTrouble": 4}),
    ("ActionReplay", "all", {"MaxTrouble": 4, "Protection": True}),
    ("ActionReplay", "all", {"MaxTrouble": 3, "Compliance": True}),
    ("ActionReplay", "all", {"MaxTrouble": 3, "Protection": True, "Compliance": True, "OnDoubt": "hold"}),
    ("ActionReplay", "EventuallyEndsOrHeld", {"Rows": 1, "MaxTrouble": 2, "Protection": True}),
    ("ActionReplay", "EventuallyEndsOrHeld", {"Rows": 1, "MaxTrouble": 2, "Compliance": True, "OnDoubt": "hold"}),
    ("OutboxLease", "all", {}),
    ("OutboxLease", "all", {"Rows": 4, "Lane": (3, 4), "MaxTrouble": 1}),
    ("OutboxLease", "EventuallyEndsOrHeld", {"Rows": 2, "Lane": (1, 2), "MaxTrouble": 1}),
]
# What must not hold: model, mechanism that is taken out, invariant that falls, constants that differ.
NEGATIVE = [
    ("ActionReplay", "lease token", "NoneTwice", {"Rows": 1, "MaxTrouble": 3, "Troubles": ("lease ends", "refused", "record lost")}),
    # What is looked up before a resend would find it as well, so both are taken out.
    ("ActionReplay", ("look-up", "look before resend"), "NoneTwice", {"Rows": 1, "Troubles": ("relay dies",)}),
    ("ActionReplay", "patience", "NoneTwice", {"Rows": 1, "Troubles": ("lease ends", "no answer")}),
    ("ActionReplay", "alive", "NoneTwice", {"Rows": 1, "Troubles": ("lease ends", "no answer")}),
    ("ActionReplay", "kept", "NoneTwice", {"Rows": 1, "Troubles": ("no answer", "pruned")}),
    ("ActionReplay", "intent held", "NoneTwice", {"Rows": 1, "Compliance": True, "Troubles": ("no answer", "record lost")}),
    ("ActionReplay", "second doubt held", "NoneTwice", {"Rows": 1, "MaxTrouble": 3, "Troubles": ("no answer", "record lost"), "MaxAttempts": 3}),
    ("ActionReplay", "on_doubt", "NoneTwice", {"Rows": 1, "OnDoubt": "hold", "Troubles": ("no answer", "record lost")}),
    ("ActionReplay", "mark", "NoneTwice", {"Rows": 1, "Troubles": ("no answer", "record lost")}),
    ("ActionReplay", "new id", "NoIdTwice", {"Rows": 1, "Troubles": ("no answer", "record lost")}),
    ("ActionReplay", "relay's leases", "NoneTwice", {"Rows": 1, "Troubles": ("lease ends",)}),
    ("ActionReplay", "unique ids", "NoneTwice", {"Troubles": ()}),
    ("ActionReplay", "unique ids", "NoneQueuedTwice", {"Troubles": ()}),
    ("ActionReplay", "later replay", "NoneQueuedTwice", {"Troubles": ("unacceptable", "redriven")}),
    ("ActionReplay", "hold found", "NoneQueuedTwice", {"Troubles": ("unacceptable", "redriven")}),
    ("ActionReplay", "failover notice", "NoneTwice", {"Rows": 1, "Troubles": ("failover",)}),
    ("ActionReplay", "409 is doubt", "DeliveredHasEffect", {"Rows": 1, "Protection": True, "Troubles": ("refused",)}),
    ("ActionReplay", "never dead in doubt", "EndedHasNoEffect", {"Rows": 1, "MaxTrouble": 3, "Troubles": ("no answer", "record lost", "unacceptable")}),
    ("ActionReplay", "never cancelled in doubt", "EndedHasNoEffect", {"Rows": 1, "Troubles": ("no answer", "steered")}),
    ("ActionReplay", "effect of unproven", "EndedHasNoEffect", {"Rows": 1, "MaxTrouble": 3, "Troubles": ("no answer", "record lost", "provider fails")}),
    ("ActionReplay", "one transaction", "NoneLost", {"Rows": 1, "Troubles": ("relay dies",)}),
    ("ActionReplay", "lease end", "EventuallyEndsOrHeld", {"Rows": 1, "MaxTrouble": 1, "Troubles": ("relay dies",)}),
    ("OutboxLease", "hold segment", "CoveredOnce", {"MaxTrouble": 0}),
    ("OutboxLease", "lane look", "LaneLeasedOnce", {"MaxTrouble": 0}),
    ("OutboxLease", "doubt holds lane", "LaneInOrder", {"MaxTrouble": 1}),
    ("OutboxLease", "batch lock", "NoneAfterCancel", {"MaxTrouble": 1}),
    ("OutboxLease", "replace all", "NoneLost", {"Lane": (3,), "MaxTrouble": 0}),
    ("OutboxLease", "answer as read", "EndsOnce", {"MaxTrouble": 0}),
    ("OutboxLease", "purge finished", "NoneEndedAndWaiting", {"MaxTrouble": 1}),
    ("OutboxLease", "ids kept", "IdsKept", {"MaxTrouble": 1}),
    ("OutboxLease", "lease end", "EventuallyEndsOrHeld", {"Rows": 2, "Lane": (2,), "MaxTrouble": 1}),
]
TEMPORAL = ("EventuallyEndsOrHeld",)


def as_tla(value):
    """A constant, as TLC's configurations have it."""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return "{" + ", ".join(as_tla(one) for one in value) + "}"
    return str(value)


def configuration(model, checked, constants):
    """A configuration of TLC."""
    told = {**CONSTANTS[model], **constants}
    lines = ["CONSTANTS", *(f"    {name} = {as_tla(value)}" for name, value in told.items()), "CHECK_DEADLOCK FALSE"]
    if checked in TEMPORAL:
        lines += ["SPECIFICATION Spec", f"PROPERTY {checked}"]
    else:
        lines += ["INIT Init", "NEXT Next", "INVARIANTS " + " ".join(INVARIANTS[model] if checked == "all" else [checked])]
    return "\n".join(lines) + "\n"


class Checker:
    """TLC."""

    def __init__(self, jars, memory):
        self.jars = jars
        self.memory = memory
        self.work = tempfile.mkdtemp(prefix="acteon-model.")

    def run(self, module, text):
        """What it says of a module, with a configuration."""
        for name in os.listdir(HERE):
            if name.endswith(".tla"):
                shutil.copy(f"{HERE}/{name}", self.work)
        with open(f"{self.work}/checked.cfg", "w", encoding="utf-8") as file:
            file.write(text)
        # It unpacks its own modules where temporary files are.
        found = subprocess.run(["java", f"-Djava.io.tmpdir={self.work}", f"-Xmx{self.memory}", "-XX:+UseSerialGC", "-cp", f"{self.jars}/*", "tlc2.TLC",
                                "-workers", "1", "-metadir", "states", "-config", "checked.cfg", f"{module}.tla"],
                               cwd=self.work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        shutil.rmtree(f"{self.work}/states", ignore_errors=True)
        return found.stdout

    def close(self):
        shutil.rmtree(self.work, ignore_errors=True)


def states(said):
    """How many states were generated."""
    found = re.findall(r"^(\d+) states generated", said, re.MULTILINE)
    return int(found[-1]) if found else 0


def fallen(said):
    """The invariant that was violated; None if all hold, "?" if TLC says neither."""
    found = re.search(r"Invariant (\w+) is violated", said)
    if found:
        return found.group(1)
    if "Temporal properties were violated" in said:
        return "temporal"
    return None if "No error has been found" in said else "?"


def describe(constants):
    return "".join(f", {name} {as_tla(value)}" for name, value in constants.items() if name != "Troubles")


class Report:
    """Lines of TAP."""

    def __init__(self):
        self.passed = self.failed = 0
        self.generated = 0

    def line(self, good, text, said):
        self.passed, self.failed = self.passed + good, self.failed + (not good)
        print(f"{'ok' if good else 'not ok'} {self.passed + self.failed} - {text}", flush=True)
        if not good:
            print("\n".join(f"# {line}" for line in said.splitlines()[-60:]), flush=True)


def check(checker, report, arguments):
    for model, checked, constants in SHORT if arguments.short else BIG:
        if arguments.model not in (None, model):
            continue
        begun = time.monotonic()
        said = checker.run(model, configuration(model, checked, constants))
        report.generated += states(said)
        report.line(fallen(said) is None, f"{model}: {checked}{describe(constants)}: {states(said)} states, {time.monotonic() - begun:.0f} s", said)


def check_negative(checker, report, arguments):
    for model, mechanism, invariant, constants in NEGATIVE:
        if arguments.model not in (None, model):
            continue
        mechanisms = mechanism if isinstance(mechanism, tuple) else (mechanism,)
        said = checker.run(model, configuration(model, invariant, {**constants, "Without": mechanisms}))
        found = fallen(said)
        good = found == ("temporal" if invariant in TEMPORAL else invariant)
        report.line(good, f"{model}: without {', '.join(mechanisms)}: {invariant} falls: {states(said)} states", said)


# ----------------------------------------------------------------
# Traces: what test/scenarios has written down with --traces
# ----------------------------------------------------------------

CALLS = {"acteon_outbox_claim()": "claim", "acteon_outbox_ack()": "ack", "acteon_outbox_nack()": "nack", "acteon_outbox_reject()": "reject",
         "acteon_outbox_doubt()": "doubt", "acteon_outbox_redrive()": "redrive"}
KNOWN_BY = {"answer": "answer", "record": "record", "settled": "person"}
STATES = {"dead": "dead", "delivered": "delivered", "cancelled": "cancelled"}
# What can have gone wrong in a scenario, besides a promotion; what nobody does in any is left out.
TRACED = ("lease ends", "given back", "unacceptable", "not read", "refused", "deferred", "record lost", "provider fails", "no answer",
          "relay dies", "gateway dies")
MORE = {"retention": ("pruned",), "steering": ("steered",)}
TRACES_AT_ONCE = 25


def steps_of(events):
    """The steps of each action that is replayed: (name, steps), each a record as ActionTrace.tla has them."""
    rows, traces, now = {}, {}, {}
    for event in events:
        if event["event"] == "failover":
            for steps in traces.values():
                steps.append({"call": "failover"})
            # What the standby knew is not said.
            now.clear()
        elif event["event"] == "enqueued":
            steps = traces.setdefault(event["original"], [])
            rows[event["id"]] = event["original"], len({one["row"] for one in steps if "row" in one}) + 1
        elif event["event"] == "segment":
            at = "leased" if event["lease_token"] else "doubt" if event["doubt"] else "waiting"
            for outbox_id in range(event["first_id"], event["last_id"] + 1):
                name, row = rows[outbox_id]
                state = {"row": row, "at": at, **{key: event[key] for key in ("attempt", "resend", "refused", "unproven", "held")}}
                if now.get(outbox_id) != (state, event["lease_token"]):
                    is_new = not any(one.get("row") == row for one in traces[name])
                    traces[name].append({"call": "enqueue" if is_new else CALLS.get(event["call"], "other"), **state})
                    now[outbox_id] = state, event["lease_token"]
        elif event["event"] == "delivery":
            name, row = rows[event["id"]]
            traces[name].append({"call": CALLS.get(event["call"], "other"), "row": row, "at": "ended", "state": event["state"],
                                 "effect": event["effect"] or "none", "by": "none" if event["state"] == "cancelled" and event["known_by"] == "answer" else KNOWN_BY[event["known_by"]],
                                 "resend": event["resend"], "unproven": event["unproven"]})
            now.pop(event["id"], None)
    return traces


def step_as_tla(step):
    return "[" + ", ".join(f"{key} |-> {as_tla(value)}" for key, value in step.items()) + "]"


def check_traces(checker, steps, told):
    """Whether each of some traces is a behaviour of the model: the numbers of those that are, and what TLC has said."""
    rows = max(step.get("row", 1) for trace in steps for step in trace)
    resends = max(step.get("resend", 0) for trace in steps for step in trace)
    failover = any(step["call"] == "failover" for trace in steps for step in trace)
    constants = {**CONSTANTS["ActionReplay"], "Rows": rows, "MaxResend": resends, "MaxAttempts": 10, "MaxTrouble": 1000,
                 "Troubles": (*(one for one in TRACED if one not in told.get("never", ())), *MORE.get(told["scenario"], ()), *(("failover",) if failover else ())),
                 "Protection": told["protection"], "Compliance": told["compliance"], "OnDoubt": told["on_doubt"]}
    with open(f"{checker.work}/TraceData.tla", "w", encoding="utf-8") as file:
        file.write("---- MODULE TraceData ----\nTraces == <<\n" +
                   ",\n".join("<<" + ", ".join(map(step_as_tla, trace)) + ">>" for trace in steps) + "\n>>\n====\n")
    said = checker.run("ActionTrace", "\n".join([
        "CONSTANTS", *(f"    {name} = {as_tla(value)}" for name, value in constants.items()), "CHECK_DEADLOCK FALSE", "INIT TraceInit", "NEXT TraceNext",
        "CONSTRAINT Unaccepted", "INVARIANTS " + " ".join(INVARIANTS["ActionReplay"])]) + "\n")
    return {int(number) - 1 for number in re.findall(r'<<"accepted", (\d+)>>', said)} if fallen(said) is None else set(), said


def check_directory(checker, report, directory):
    """Check all traces in a directory; actions that had the same life are checked once."""
    actions = 0
    for name in sorted(os.listdir(directory)):
        with open(f"{directory}/{name}", encoding="utf-8") as file:
            told = json.load(file)
        lives = {}
        for original, steps in steps_of(told["events"]).items():
            lives.setdefault(json.dumps(steps), []).append(original)
        texts = sorted(lives, key=lambda text: (text.count('"row"'), text))
        begun, refused, said_of_refused = time.monotonic(), [], ""
        for first in range(0, len(texts), TRACES_AT_ONCE):
            some = texts[first:first + TRACES_AT_ONCE]
            accepted, said = check_traces(checker, [json.loads(text) for text in some], told)
            report.generated += states(said)
            refused += [text for number, text in enumerate(some) if number not in accepted]
            if len(accepted) < len(some):
                said_of_refused = said
        count = sum(map(len, lives.values()))
        actions += count
        example = "\n".join([said_of_refused, *(f"{lives[text][0]}: " + "\n    ".join(step_as_tla(step) for step in json.loads(text)) for text in refused[:3])])
        report.line(not refused, f"{name}: {count} traces of {len(lives)} kinds are behaviours of the model, {len(refused)} kinds are not, "
                                 f"{time.monotonic() - begun:.0f} s", example)
    print(f"# {actions} traces")


# Lives that can be, and lives that must be refused: an answer without a lease, an effect of which
# there is no record, and so on.  The gateway puts nothing off in them: that would explain why an
# action is sent again without a mark.
EXAMPLE = {"scenario": "example", "protection": False, "compliance": False, "on_doubt": "resend", "never": ("deferred",)}


def example(*steps):
    """Steps by name, and what differs in them from a first attempt."""
    state = {"row": 1, "at": "waiting", "attempt": 0, "resend": 0, "refused": False, "unproven": False, "held": False}
    made = []
    for call, change in steps:
        state = {**state, **change}
        if state["at"] == "ended":
            kept = {key: state[key] for key in ("row", "at", "resend", "unproven")}
            made.append({"call": call, **kept, "state": "delivered", "effect": "done", "by": "answer", **{key: change[key] for key in ("state", "effect", "by") if key in change}})
        else:
            made.append({"call": call, **{key: state[key] for key in ("row", "at", "attempt", "resend", "refused", "unproven", "held")}})
    return made


ENQUEUED, CLAIMED = ("enqueue", {}), ("claim", {"at": "leased", "attempt": 1})
IN_DOUBT = ("doubt", {"at": "doubt"})
GOOD = [
    example(ENQUEUED, CLAIMED, ("ack", {"at": "ended"})),
    example(ENQUEUED, CLAIMED, IN_DOUBT, ("claim", {"at": "waiting", "resend": 1, "unproven": True}), ("claim", {"at": "leased", "attempt": 2}),
            ("ack", {"at": "ended", "effect": "unknown"})),
    example(ENQUEUED, CLAIMED, ("nack", {"at": "waiting", "attempt": 0, "refused": True}), CLAIMED, IN_DOUBT[:1] + ({"at": "doubt", "refused": False, "held": False},),
            ("claim", {"at": "ended", "by": "record"})),
]
BAD = [
    ("an answer without a lease", example(ENQUEUED, ("ack", {"at": "ended"}))),
    ("an effect that is known of no record", example(ENQUEUED, ("claim", {"at": "ended", "by": "record"}))),
    ("the same id again after a doubt", example(ENQUEUED, CLAIMED, IN_DOUBT, ("claim", {"at": "waiting", "unproven": True}))),
    ("sent again without a mark", example(ENQUEUED, CLAIMED, IN_DOUBT, ("claim", {"at": "waiting", "resend": 1}))),
    ("dead while an id is in doubt", example(ENQUEUED, CLAIMED, IN_DOUBT, ("claim", {"at": "waiting", "resend": 1, "unproven": True}),
                                             ("claim", {"at": "leased", "attempt": 2}), ("reject", {"at": "ended", "state": "dead", "effect": "none"}))),
    ("no effect while an id is in doubt", example(ENQUEUED, CLAIMED, IN_DOUBT, ("claim", {"at": "waiting", "resend": 1, "unproven": True}),
                                                  ("claim", {"at": "leased", "attempt": 2}), ("ack", {"at": "ended", "effect": "none"}))),
    ("a second claim under a lease", example(ENQUEUED, CLAIMED, ("claim", {"at": "leased", "attempt": 2}))),
    ("two endings", example(ENQUEUED, CLAIMED, ("ack", {"at": "ended"}), ("ack", {"at": "ended"}))),
    ("a second doubt that is sent again", example(ENQUEUED, CLAIMED, IN_DOUBT, ("claim", {"at": "waiting", "resend": 1, "unproven": True}),
                                                  ("claim", {"at": "leased", "attempt": 2}), IN_DOUBT, ("claim", {"at": "waiting", "resend": 2}))),
]


def check_examples(checker, report):
    """Traces that are behaviours are accepted, and all others refused."""
    accepted, said = check_traces(checker, GOOD + [trace for _, trace in BAD], EXAMPLE)
    report.line(accepted >= set(range(len(GOOD))), f"{len(GOOD)} lives that can be are accepted", said)
    for number, (name, _) in enumerate(BAD, len(GOOD)):
        report.line(bool(accepted) and number not in accepted, f"refused: {name}", said)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jars", required=True, help="the directory with TLC")
    parser.add_argument("--short", action="store_true", help="the part of it that is a test of every day")
    parser.add_argument("--model", choices=list(CONSTANTS), help="only this one")
    parser.add_argument("--only", choices=["holds", "falls", "traces"], help="only what holds, what must not, or traces")
    parser.add_argument("--traces", help="a directory that test/faults --traces has filled: all of it must be behaviours of the model")
    parser.add_argument("--memory", default="2g", help="of the Java machine (default: 2g)")
    arguments = parser.parse_args()
    checker = Checker(arguments.jars, arguments.memory)
    report = Report()
    try:
        if arguments.only in (None, "holds"):
            check(checker, report, arguments)
        if arguments.only == "falls" or (arguments.only is None and not arguments.short):
            check_negative(checker, report, arguments)
        if arguments.only in (None, "traces"):
            check_examples(checker, report)
            if arguments.traces:
                check_directory(checker, report, arguments.traces)
    finally:
        checker.close()
    print(f"# {report.generated} states")
    print(f"{report.passed} passed, {report.failed} failed")
    sys.exit(report.failed > 0)


if __name__ == "__main__":
    main()
