#!/usr/bin/env python3
"""Tests of schedules and of the auditor: a seed is always the same, and each rule finds what it is for."""

import copy
import json
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, __file__.rpartition("/")[0] or ".")
import auditor
import schedule


class Schedules(unittest.TestCase):
    """What a seed is."""

    def test_same(self):
        """A seed has the same schedule each time, whatever was made before."""
        for seed in range(1, 60):
            first = schedule.text(schedule.make(seed))
            schedule.make(seed + 1)
            self.assertEqual(first, schedule.text(schedule.make(seed)))

    def test_different(self):
        self.assertEqual(200, len({schedule.text(schedule.make(seed)).partition(":")[2] for seed in range(200)}))

    def test_plain(self):
        """A schedule is data, which can be written down and run from that."""
        found = schedule.make(17)
        self.assertEqual(found, json.loads(json.dumps(found)))

    def test_all(self):
        """Each kind of step, of call, of place and of what is done there comes up among a hundred seeds."""
        steps = [step for seed in range(1, 101) for step in schedule.make(seed)["steps"]]
        self.assertEqual({step["place"] for step in steps if "place" in step}, set(schedule.HOOKS))
        self.assertEqual({step["act"] for step in steps if "act" in step}, set(schedule.AT_HOOK))
        for name in ("replay", "bulk", "all", "preview", "check", "limit", "purge", "pause all", "resume all", "pause", "resume", "cancel",
                     "cancel part", "rate", "redrive", "settle", "hand over", "continue"):
            self.assertTrue(any(step.get("call") == name for step in steps), name)

    def test_time(self):
        """What passes while something may be out is not longer than the patience."""
        self.assertLess(schedule.MAX_PASSED * schedule.PASS + schedule.LEASE, schedule.PATIENCE)


class World:
    """A seed in which nothing is wrong: a is delivered; b is sent again unproven, as its record was lost; c is cancelled; d and e are a lane."""

    def __init__(self):
        self.records, self.lines, self.ledger, self.audit, self.calls = [], [], [], [], []
        for name, lane in (("a", None), ("b", None), ("c", None), ("d", "f1"), ("e", "f1")):
            self.records.append({"action_id": name, "tenant": "acme", "provider": "mail", "outcome": "failed", "done": False, "fingerprint": lane,
                                 "payload": {"n": 1}, "labels": {"kind": name, "flag": [1, {"b": 1, "a": 2}]}})
        self.call("bulk", {"filters": {"lost": True}, "on_doubt": "resend"}, [{"batch_id": 1, "replayed": 5}])
        for number, name in enumerate("abcde", 1):
            self.line("enqueued", id=number, batch=1, generation=1, action_id=f"{name}1", original=name)
        self.calls[0]["answered_at"] = self.now()
        self.segment(1, 5)
        for number, name in ((1, "a"), (4, "d"), (5, "e")):
            self.hand_out(number, f"{name}1")
            self.send(name, f"{name}1", recorded=True)
            self.deliver(number)
        self.hand_out(2, "b1")
        self.send("b", "b1")
        self.segment(2, 2, doubt=True)
        self.segment(2, 2, resend=1, unproven=True)
        self.hand_out(2, "b2", resend=1, unproven=True)
        self.send("b", "b2", recorded=True)
        self.deliver(2, resend=1, unproven=True)
        self.deliver(3, state="cancelled", effect="")
        self.call("cancel", {"batch": 1}, [])
        self.call("check", {}, [])
        self.jumps = []
        self.kills = []
        self.passes = []
        self.crashes = []
        self.wal_was_full = False
        self.failover = False

    def now(self):
        return [1, 10 * len(self.lines) + 5]

    def call(self, kind, told, rows):
        self.calls.append({"call": kind, "number": len(self.calls), "state": "committed", "rows": rows, "begun_at": self.now(), "answered_at": self.now(), **told})

    def line(self, event, **told):
        self.lines.append({"event": event, "at": [1, 10 * (len(self.lines) + 1)], "committed": True, "forgotten": False, **told})
        return self.lines[-1]

    def segment(self, first, last, **told):
        return self.line("segment", first_id=first, last_id=last, **{"attempt": 0, "resend": 0, "lease_token": 0, "doubt": False, "held": False,
                                                                   "refused": False, "unproven": False, **told})

    def hand_out(self, number, action_id, **told):
        self.segment(number, number, lease_token=7, **told)
        return self.line("handed out", id=number, action_id=action_id, lease_token=7)

    def deliver(self, number, **told):
        return self.line("delivery", id=number, **{"state": "delivered", "effect": "done", "known_by": "answer", "resend": 0, "unproven": False, **told})

    def event(self, event, action_id, **told):
        self.ledger.append({"event": event, "id": action_id, "at": 10 * (len(self.ledger) + 1), **told})

    def send(self, name, action_id, recorded=False, effect=True):
        record = next(record for record in self.records if record["action_id"] == name)
        self.event("asked", action_id, source=name, body={
            "id": action_id, "namespace": "prod", "tenant": "acme", "provider": "mail", "action_type": "send_email", "payload": copy.deepcopy(record["payload"]),
            "metadata": {"kind": name, "flag": '[1,{"a":2,"b":1}]', "replayed_from": name}, "fingerprint": record["fingerprint"]})
        self.event("tries", action_id)
        if effect:
            self.event("effects", action_id)
        if recorded:
            self.event("recorded", action_id)
            self.audit.append({"action_id": action_id, "outcome": "executed"})

    def find(self, event, **told):
        """A line of the log."""
        return next(line for line in self.lines if line["event"] == event and all(line.get(key) == value for key, value in told.items()))

    def judge(self):
        return auditor.judge(auditor.Evidence(self.ledger, self.audit, self.lines, self.calls, self.records, self.jumps, self.kills, self.passes, self.crashes, self.wal_was_full, self.failover))

    def rules(self):
        return sorted({rule for rule, _ in self.judge().findings})


class Rules(unittest.TestCase):
    """Each rule finds what it is for, and nothing else does."""

    def setUp(self):
        self.world = World()

    def found(self, *rules):
        self.assertEqual(list(rules), self.world.rules(), self.world.judge().findings)

    def test_nothing(self):
        self.found()
        self.assertEqual(1, self.world.judge().counts["excused: unrecorded"])

    def test_lost_row(self):
        """The last that is said of a row is that it waits."""
        self.world.lines.remove(self.world.find("delivery", id=1))
        self.found("lost")

    def test_held_is_not_lost(self):
        self.world.lines.remove(self.world.find("delivery", id=3))
        self.world.segment(3, 3, doubt=True, held=True)
        self.found()

    def test_lost_transaction(self):
        """What ended it was not committed."""
        self.world.find("delivery", id=1)["committed"] = False
        self.found("lost")

    def test_lost_call(self):
        """A call says that it has replayed more than is enqueued."""
        self.world.calls[0]["rows"][0]["replayed"] = 6
        self.found("lost")

    def test_lost_single(self):
        self.world.call("replay", {"action_id": "a", "on_doubt": "resend"}, [{"new_action_id": "a9", "success": True}])
        self.found("lost")

    def test_nowhere(self):
        """What is sent was never handed out, or not by a claim that was committed."""
        self.world.send("a", "a7", effect=False)
        self.found("nowhere")

    def test_nowhere_uncommitted(self):
        self.world.find("handed out", action_id="a1")["committed"] = False
        self.found("nowhere")

    def test_nowhere_call(self):
        """The call that asked for it failed."""
        self.world.calls[0].update(state="failed", rows=None)
        self.found("nowhere")

    def test_double_recorded(self):
        """There was a record of what was sent again."""
        place = next(event["at"] for event in self.world.ledger if event["id"] == "b2")
        self.world.ledger.append({"event": "recorded", "id": "b1", "at": place - 1})
        self.found("double")

    def test_double_lost_but_written(self):
        """Whoever wrote its record believed that it was not written, and it was."""
        place = next(event["at"] for event in self.world.ledger if event["id"] == "b2")
        self.world.ledger.append({"event": "lost", "id": "b1", "at": place - 1})
        self.world.audit.append({"action_id": "b1", "outcome": "executed"})
        self.found("double")

    def test_double_unmarked(self):
        for line in self.world.lines:
            line["unproven"] = False
        self.found("double")

    def test_double_held(self):
        self.world.calls[0]["on_doubt"] = "hold"
        self.found("double")

    def test_double_settled(self):
        """… but if a person has had it sent again."""
        self.world.calls[0]["on_doubt"] = "hold"
        self.world.call("settle", {"batch": 1, "decision": "resend"}, [])
        self.found()

    def test_double_same_id(self):
        self.world.event("effects", "a1")
        self.found("double")

    def test_three_times(self):
        lines = self.world.lines
        end = lines.pop(lines.index(self.world.find("delivery", id=2)))
        self.world.segment(2, 2, resend=2, unproven=True)
        self.world.hand_out(2, "b3", resend=2, unproven=True)
        self.world.calls[1]["answered_at"] = self.world.now()
        self.world.ledger = [event for event in self.world.ledger if (event["event"], event["id"]) != ("recorded", "b2")]
        self.world.audit = [record for record in self.world.audit if record["action_id"] != "b2"]
        self.world.send("b", "b3", recorded=True)
        lines.append({**end, "at": [1, 10 ** 6]})
        self.found("double")

    def test_jump(self):
        """The clock was set forward before there was a record; and not if there was one by then."""
        place = next(event["at"] for event in self.world.ledger if event["id"] == "b2")
        self.world.ledger.append({"event": "recorded", "id": "b1", "at": place - 1})
        between = [1, self.world.find("handed out", action_id="b1")["at"][1] + 1]
        self.world.jumps = [{"who": "server", "seconds": 1800, "log": between, "ledger": place - 2}]
        self.found()
        self.world.jumps[0]["ledger"] = place
        self.found("double")
        self.world.jumps = [{"who": "server", "seconds": -1800, "log": between, "ledger": place - 2}]
        self.found("double")

    def test_forgotten(self):
        """A promotion has lost that it was handed out; and is no excuse if it has not."""
        self.world.event("effects", "a1")
        self.world.failover = True
        self.found("double")
        line = self.world.find("handed out", action_id="a1")
        line["forgotten"] = True
        # … and is not put in doubt by the one that takes over.
        self.found("double")
        place = self.world.lines.index(line)
        self.world.lines.insert(place, {**self.world.find("segment", first_id=1, last_id=1), "unproven": True, "at": [1, line["at"][1] - 1]})
        self.found()

    def test_forgotten_row(self):
        """A promotion has lost that it was enqueued: it is asked for again, under the same id."""
        self.world.event("effects", "a1")
        self.world.failover = True
        self.world.find("enqueued", action_id="a1")["forgotten"] = True
        self.found()

    def test_delivered(self):
        self.world.ledger = [event for event in self.world.ledger if (event["event"], event["id"]) != ("effects", "a1")]
        self.found("delivered")

    def test_delivered_unknown(self):
        """What has reached nobody is not delivered."""
        self.world.find("delivery", id=1)["effect"] = "unknown"
        self.found()
        self.world.ledger = [event for event in self.world.ledger if event["id"] != "a1" or event["event"] == "asked"]
        self.found()
        self.world.audit = [record for record in self.world.audit if record["action_id"] != "a1"]
        self.found("delivered")
        self.world.kills = [10 ** 6]
        self.found()

    def test_delivered_by_person(self):
        self.world.ledger = [event for event in self.world.ledger if (event["event"], event["id"]) != ("effects", "a1")]
        self.world.find("delivery", id=1)["known_by"] = "settled"
        self.found()

    def test_ended(self):
        for state, effect in (("dead", ""), ("delivered", "none"), ("delivered", "decided"), ("cancelled", "")):
            self.world.find("delivery", id=1).update(state=state, effect=effect)
            self.found("ended")

    def test_body(self):
        for key, value in (("payload", {"n": 2}), ("tenant", "globex"), ("namespace", "test"), ("metadata", {}), ("fingerprint", "f2"), ("id", "x")):
            with self.subTest(key):
                self.world = World()
                self.world.ledger[0]["body"][key] = value
                self.found("body")

    def test_body_changes(self):
        """An id that is sent again, with another body."""
        self.world.ledger.append({**copy.deepcopy(self.world.ledger[0]), "at": 10 ** 6})
        self.world.ledger[-1]["body"]["created_at"] = "2026-01-01T00:00:00Z"
        self.found("body")

    def test_cancelled(self):
        line = self.world.hand_out(3, "c1")
        self.world.lines.append({**self.world.find("delivery", id=3), "at": [1, line["at"][1] + 10]})
        self.found("cancelled")

    def test_cancelled_when_finished(self):
        """It was too late for a cancel, and what is redriven goes out; what the cancel of a part has finished does not."""
        line = self.world.hand_out(3, "c1")
        self.world.lines.append({**self.world.find("delivery", id=3), "at": [1, line["at"][1] + 10]})
        self.world.calls[1].update(call="cancel part", tenant="acme", rows=[{"state": "finished", "in_flight": 0}])
        self.found("cancelled")
        self.world.find("delivery", id=3)["state"] = "dead"
        self.found()
        self.world.calls[1].update(call="cancel", ledger_at=10 ** 6)
        self.found()
        self.world.calls[1].update(rows=[{"state": "cancelled", "in_flight": 0}])
        self.found("cancelled")

    def test_cancelled_in_flight(self):
        """More comes than was said to be on its way."""
        self.world.calls[1].update(rows=[{"in_flight": 1}], ledger_at=0)
        self.found("cancelled")
        # Those whose leases may have looked over were in doubt, and not in flight; later time does not matter.
        self.world.passes = [[1, 10 ** 6]]
        self.found("cancelled")
        self.world.passes = [self.world.calls[1]["answered_at"]]
        self.found()
        self.world.passes = []
        self.world.calls[1].update(rows=[{"in_flight": 4}])
        self.found()
        self.world.calls[1].update(rows=[{"in_flight": 0}], ledger_at=10 ** 6)
        self.found()

    def test_cancelled_part(self):
        self.world.calls[1].update(call="cancel part", tenant="globex")
        line = self.world.hand_out(3, "c1")
        self.world.lines.append({**self.world.find("delivery", id=3), "at": [1, line["at"][1] + 10]})
        self.found()
        self.world.calls[1]["tenant"] = "acme"
        self.found("cancelled")

    def test_lane(self):
        """The later one is handed out while the earlier one has not ended."""
        self.world.find("delivery", id=4)["at"] = [1, 10 ** 6]
        self.found("lane")

    def test_lane_behind_held(self):
        """What waits behind one that is held is not lost, and elsewhere it is."""
        self.world.lines.remove(self.world.find("delivery", id=5))
        self.world.lines.remove(self.world.find("handed out", id=5))
        self.world.ledger = [event for event in self.world.ledger if event["id"] != "e1"]
        self.found("lost")
        self.world.lines.remove(self.world.find("delivery", id=4))
        self.world.segment(4, 4, doubt=True, held=True)
        self.found()

    def test_id(self):
        """An id that was purged comes again."""
        self.world.line("enqueued", id=9, batch=1, generation=2, action_id="a1", original="a")
        self.world.segment(9, 9)
        self.world.deliver(9, state="dead", effect="")
        self.world.calls[0]["rows"][0]["replayed"] = 6
        self.assertIn("id", self.world.rules())

    def test_check(self):
        self.world.calls[2]["rows"] = [{"violation": "lost", "outbox_id": 3, "detail": ""}]
        self.found("check")

    def test_check_after_the_clock_was_set_back(self):
        check = self.world.calls[2]
        check["rows"] = [{"violation": "delivery added", "outbox_id": 3, "detail": ""}]
        self.found("check")
        jump = {"who": "server", "seconds": -600, "log": [check["answered_at"][0], 0], "ledger": 0}
        self.world.jumps = [jump]
        self.found()
        self.world.jumps = [{**jump, "seconds": 600}]
        self.found("check")
        self.world.jumps = [jump]
        check["rows"][0]["violation"] = "row added"
        self.found("check")

    def test_crash(self):
        """A server that has ended by itself is not just started again."""
        self.world.crashes = [(b"11", "server process (PID 5) was terminated by signal 11: Segmentation fault")]
        self.found("crash")
        self.world.wal_was_full = True
        self.found("crash")
        self.world.crashes = [(b"6", "server process (PID 5) was terminated by signal 6: Aborted")]
        self.found()
        self.world.wal_was_full = False
        self.found("crash")


class Log(unittest.TestCase):
    """How lines are read."""

    def test_restart(self):
        """A number that is given again after a crash is asked for in both lives of the server."""
        import os
        import tempfile

        class Connection:
            """A server that knows what became of a transaction."""

            def __init__(self, status):
                self.status = status

            def execute(self, _, values):
                told = [(xid, self.status) for xid in values[0]]
                return type("Cursor", (), {"fetchall": lambda self: told})()
        with tempfile.NamedTemporaryFile(delete=False) as file:
            trace = auditor.Trace(file.name, 1)
            trace.begin(5)
            line = b'2026 LOG:  acteon_replay action: {"database": 5, "xid": "700", "event": "enqueued"}\n'
            file.write(line + b"LOG:  server process (PID 1) was terminated by signal 9: Killed\n"
                       b"LOG:  server process (PID 2) was terminated by signal 11: Segmentation fault\n" + line.replace(b": 5", b": 6"))
            file.flush()
            trace.read(Connection("aborted"))
            file.write(line + line[:30])
            file.flush()
            trace.read(Connection("committed"))
        os.unlink(file.name)
        self.assertEqual([False, True], [one["committed"] for one in trace.lines])
        self.assertEqual([b"11"], [number for number, _ in trace.crashes])


if __name__ == "__main__":
    unittest.main(testRunner=unittest.TextTestRunner(descriptions=False, verbosity=2))
