#!/usr/bin/env python3
"""Tests of the stand-in of the gateway: python3 test/gateway/test_stub.py

What is written into a database is tested if PGHOST is set and Python has psycopg.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
ACTION = {"id": "a", "namespace": "n", "tenant": "t", "provider": "p", "action_type": "x",
          "payload": None, "metadata": {"replayed_from": "r"}, "dedup_key": None,
          "status": None, "fingerprint": None, "starts_at": None, "ends_at": None,
          "created_at": "2026-01-15T12:00:00.5Z"}
HEADERS = {"Host": "h", "Content-Type": "application/json", "Authorization": "Bearer test-key"}


def find_driver():
    """Whether there is a driver for the database."""
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return False
    return True


class Stub(unittest.TestCase):
    """Each test has a stand-in of its own."""

    def setUp(self):
        self.start()

    def start(self, *arguments):
        self.stub = subprocess.Popen([sys.executable, f"{HERE}/stub_gateway.py", *arguments],
                                     stdout=subprocess.PIPE, text=True)
        self.port = int(self.stub.stdout.readline().split()[-1])

    def stop(self, number=signal.SIGTERM, expected=0):
        self.stub.send_signal(number)
        self.assertEqual(self.stub.wait(10), expected)
        self.stub.stdout.close()

    def tearDown(self):
        self.stop()

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def raw(self, method, path, body=b"", headers=None):
        """Send a request and read to the end of the connection."""
        fields = {**HEADERS, "Content-Length": len(body), "Connection": "close", **(headers or {})}
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in fields.items() if value is not None)
        with self.connect() as connection:
            connection.sendall(head.encode() + b"\r\n" + body)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def ask(self, path, told=None):
        answer = self.raw("GET" if told is None else "POST", path,
                          b"" if told is None else json.dumps(told).encode())
        self.assertIn(b" 200 ", answer[:20], answer)
        return json.loads(answer.split(b"\r\n\r\n", 1)[1])

    def status(self, action=None, text=None, **request):
        body = (json.dumps(action or ACTION) if text is None else text).encode()
        return int(self.raw("POST", request.get("path", "/v1/dispatch"), body,
                            request.get("headers"))[9:12])

    def gateway(self, more=None, **told):
        """Configure it; a new configuration has an empty memory."""
        self.ask("/_control", {"gateway": told, **(more or {})})

    def outcome(self, action_id, **more):
        """Dispatch an action; its outcome, or its status."""
        answer = self.raw("POST", "/v1/dispatch", json.dumps({**ACTION, "id": action_id, **more}).encode())
        return json.loads(answer.split(b"\r\n\r\n", 1)[1]) if b" 200 " in answer[:20] else int(answer[9:12])

    def begin(self, action_id, **more):
        """Dispatch an action without waiting for its answer."""
        body = json.dumps({**ACTION, "id": action_id, **more}).encode()
        connection = self.connect()
        connection.sendall(b"POST /v1/dispatch HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
                           b"Authorization: Bearer test-key\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        return connection

    def until(self, condition, seconds=10):
        """Wait until a condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), deadline, "it never came true")

    def truth(self, action_id):
        """What became of an id in truth."""
        return self.ask("/_ledger")["ids"][action_id]


class StubTest(Stub):
    """What is answered and done."""

    def test_replay_protection(self):
        self.assertEqual([self.status(), self.status()], [200, 409])
        self.ask("/_control", {"replay_protection": False})
        self.assertEqual(self.status(), 200)
        stats = self.ask("/_stats")
        self.assertEqual((stats["requests"], stats["ids"], stats["ids_with_effects"]), (3, 1, 1))
        self.assertEqual(stats["violations"], 0)

    def test_rules_without_an_answer_leave_it_to_the_gateway(self):
        """Also when that refuses: what was not executed is not called so."""
        self.ask("/_control", {"audit": {"compliance": True, "fail_intents": 1}, "rules": [{"answer": {"hang_up": True}}]})
        self.assertEqual(self.outcome("r1"), 500)
        self.assertEqual(self.truth("r1")["effects"], 0)

    def test_violations_are_counted_and_answered_as_the_gateway_does(self):
        upside_down = dict(reversed(ACTION.items()))
        without = {key: value for key, value in ACTION.items() if key != "status"}
        odd = [({**ACTION, "more": 1}, 200), (without, 200), (upside_down, 200), ({**ACTION, "id": 1}, 422),
               ({**ACTION, "tenant": ""}, 200), ({**ACTION, "dedup_key": 1}, 422), ({**ACTION, "metadata": {}}, 200),
               ({**ACTION, "metadata": {"replayed_from": "r", "n": 1}}, 422),
               ({**ACTION, "metadata": {"replayed_from": "r", "__x": "y"}}, 200),
               ({**ACTION, "created_at": None}, 422), ({**ACTION, "created_at": "2026-01-15 12:00:00Z"}, 200),
               ({**ACTION, "starts_at": "2026-02-30T12:00:00Z"}, 422),
               ({**ACTION, "ends_at": "2026-01-15T12:00:00+01:00"}, 200)]
        for number, (action, expected) in enumerate(odd, 1):
            self.assertEqual(self.status({**action, "id": action["id"] and number or 1} if expected == 422 else {**action, "id": f"o{number}"}), expected, action)
            self.assertEqual(self.ask("/_stats")["violations"], number, action)
        texts = [("", 400), ("{}", 422), ("[]", 422), (json.dumps(ACTION) + "x", 400), (json.dumps(ACTION)[:-1], 400),
                 (json.dumps(ACTION).replace('"payload": null', '"payload": NaN'), 400),
                 (json.dumps(ACTION).replace('"payload": null', '"payload": {"a": 1, "a": 2}'), 200),
                 (json.dumps(ACTION).replace('"payload": null', '"payload": 1, "payload": 2'), 422)]
        for text, expected in texts:
            self.assertEqual(self.status(text=text), expected, text)
        for headers in ({"Content-Type": "text/plain"}, {"Content-Type": None}):
            self.assertEqual(self.status(headers=headers), 415, headers)
        self.assertEqual(self.status(path="/v2/dispatch"), 404)
        self.assertEqual(self.ask("/_stats")["violations"], len(odd) + len(texts) + 3)
        self.assertEqual(self.status(headers={"Authorization": "Bearer other"}), 401)
        stats = self.ask("/_stats")
        self.assertEqual((stats["unauthorized"], stats["violations"]), (1, len(odd) + len(texts) + 3))

    def test_what_is_refused_before_the_claim_leaves_the_id_free(self):
        for refused in ({"headers": {"Authorization": "Bearer other"}}, {"headers": {"Content-Type": "text/plain"}},
                        {"text": "{"}, {"action": {**ACTION, "payload": 1, "id": 2}}):
            self.assertGreaterEqual(self.status(**refused), 400)
        self.assertEqual(self.status(), 200)

    def test_limits_burn_the_id(self):
        self.gateway(tenant_limit={"t": {"limit": 1, "window_seconds": 3600}}, max_concurrent_dispatch=1,
                     providers={"*": {}, "slow": {"delay_ms": 60000}})
        self.assertEqual([self.outcome("a").get("Executed") is not None, self.outcome("b"), self.outcome("b")], [True, 429, 409])
        with self.begin("c", tenant="u", provider="slow"):
            self.until(lambda: self.ask("/_stats")["open"] == 1)
            self.assertEqual([self.outcome("d", tenant="u"), self.outcome("d", tenant="u")], [429, 409])
        self.until(lambda: self.ask("/_stats")["open"] == 0)
        self.assertIn("Executed", self.outcome("e", tenant="u"))
        self.assertEqual(self.ask("/_ledger")["lineages"]["r"]["effects"], 3)

    def test_ids_are_free_again_after_their_time(self):
        self.gateway(scale=100, replay_ttl_seconds=30)
        self.assertEqual([self.status(), self.status()], [200, 409])
        self.until(lambda: self.status() == 200)
        self.assertEqual(self.truth("a")["effects"], 2)

    def test_executor_runs_ten_and_the_others_in_their_order(self):
        self.gateway(providers={"*": {"delay_ms": 60000}})
        running = [self.begin(f"a{n}", fingerprint=f"f{n}") for n in range(10)]
        self.until(lambda: self.ask("/_stats")["effects"] == 10)
        waiting = []
        for n in range(3):
            waiting.append(self.begin(f"b{n}"))
            self.until(lambda: self.ask("/_stats")["open"] == 11 + n)
        self.assertEqual(self.ask("/_stats")["effects"], 10)
        # Who goes away while it waits is never executed, and its id is burnt.
        waiting[0].close()
        self.until(lambda: self.ask("/_stats")["open"] == 12)
        running[4].close()
        self.until(lambda: self.truth("b1")["tries"] == 1)
        self.assertEqual([self.truth(name)["tries"] for name in ("b0", "b2")], [0, 0])
        self.assertEqual((self.truth("a4")["cut"], self.truth("a4")["effects"]), (1, 1))
        self.assertEqual([self.outcome("b0"), self.outcome("a4")], [409, 409])
        for connection in running + waiting:
            connection.close()
        self.until(lambda: self.ask("/_stats")["open"] == 0)

    def test_tries_and_who_goes_away_between_them(self):
        self.gateway(scale=20, providers={"*": {}, "down": {"refuse": True}, "hang": {"hang": True, "effect": True}})
        begun = time.monotonic()
        failed = self.outcome("a", provider="hang")["Failed"]
        self.assertEqual((failed["code"], failed["attempts"], self.truth("a")["tries"]), ("TIMEOUT", 4, 4))
        self.assertEqual(self.truth("a")["effects"], 1)
        self.assertGreaterEqual(time.monotonic() - begun, 120 / 20)
        self.assertEqual(self.outcome("b", provider="down")["Failed"]["attempts"], 4)
        with self.begin("c", provider="hang"):
            self.until(lambda: self.truth("c")["tries"] == 1)
        self.until(lambda: self.ask("/_stats")["open"] == 0)
        self.assertEqual((self.truth("c")["tries"], self.truth("c")["cut"]), (1, 1))

    def test_circuit_breaker(self):
        self.gateway(scale=20, circuit_breaker={}, providers={"*": {"refuse": True, "after": 20, "then": {}}},
                     executor={"max_retries": 3})
        outcomes = [next(iter(self.outcome(f"a{n}"))) for n in range(7)]
        self.assertEqual(outcomes, ["Failed"] * 5 + ["CircuitOpen"] * 2)
        # It recovers after a minute, and closes after two that went well.
        self.until(lambda: "Executed" in self.outcome(f"b{time.monotonic()}"))
        self.assertEqual([next(iter(self.outcome(f"c{n}"))) for n in range(3)], ["Executed"] * 3)

    def test_same_id_waits_for_the_lock(self):
        self.ask("/_control", {"replay_protection": False})
        self.gateway(scale=20, providers={"*": {}, "slow": {"delay_ms": 20000}})
        with self.begin("a", provider="slow"):
            self.until(lambda: self.ask("/_stats")["open"] == 1)
            self.assertEqual(self.outcome("a", provider="slow"), 500)
        self.until(lambda: self.ask("/_stats")["open"] == 0)
        self.assertIn("Executed", self.outcome("a"))

    def test_a_lock_is_lost_after_its_time(self):
        self.ask("/_control", {"replay_protection": False})
        self.gateway(scale=20, providers={"*": {"delay_ms": 100000, "after": 1, "then": {}}}, executor={"timeout_seconds": 200})
        with self.begin("a"):
            self.until(lambda: self.ask("/_stats")["open"] == 1)
            self.until(lambda: self.outcome("a") != 500)
            self.assertEqual(self.ask("/_stats")["open"], 1)
        self.assertEqual(self.truth("a")["effects"], 2)

    def test_a_dry_run_does_nothing_and_burns_the_id(self):
        self.gateway(tenant_limit={"*": {"limit": 0, "window_seconds": 60}})
        self.assertEqual([self.status(path="/v1/dispatch?dry_run=true"), self.status()], [200, 409])
        self.assertEqual(self.ask("/_stats")["effects"], 0)

    def test_killed_it_forgets_its_ids_and_not_its_effects(self):
        with tempfile.TemporaryDirectory() as directory:
            for expected in ("effects", "more"):
                self.stop()
                self.start("--ledger", f"{directory}/ledger")
                self.assertEqual([self.status(), self.status()], [200, 409])
                if expected == "effects":
                    self.gateway(providers={"*": {"delay_ms": 60000}})
                    with self.begin("b"):
                        self.until(lambda: self.truth("b")["tries"] == 1)
                        self.stop(signal.SIGKILL, -signal.SIGKILL)
                    self.start("--ledger", f"{directory}/ledger")
            self.assertEqual({name: (entry["effects"], entry["root"]) for name, entry in self.ask("/_ledger")["ids"].items()},
                             {"a": (2, "r"), "b": (1, "r")})
            self.assertEqual(self.ask("/_ledger")["lineages"]["r"]["effects"], 3)

    def test_killed_while_it_writes(self):
        """What was not written to its end has not happened, and spoils nothing behind it."""
        with tempfile.TemporaryDirectory() as directory:
            for _ in range(2):
                self.stop()
                self.start("--ledger", f"{directory}/ledger")
                self.assertEqual(self.status(), 200)
                with open(f"{directory}/ledger", "a", encoding="utf-8") as file:
                    file.write('["effects", "of its own"]\n["effects", "a')
            self.stop()
            self.start("--ledger", f"{directory}/ledger")
            self.assertEqual([self.truth(name)["effects"] for name in ("a", "of its own")], [2, 2])

    def test_health_asks_for_no_key(self):
        for headers in ({}, {"Authorization": "Bearer other"}, {"Authorization": None}):
            self.assertIn(b" 200 ", self.raw("GET", "/health", headers=headers)[:20])
        self.assertEqual([self.raw("GET", "/v1/audit?limit=1", headers=headers)[9:12] for headers in ({}, {"Authorization": "Bearer other"})],
                         [b"200", b"401"])

    def test_other_body_is_a_violation(self):
        self.status()
        self.status({**ACTION, "payload": 1})
        self.assertEqual(self.ask("/_stats")["violations_by_kind"], {"body": 1})

    def test_overlap_in_a_lane_is_a_violation(self):
        self.ask("/_control", {"rules": [{"answer": {"delay_ms": 60000}}]})
        open_connections = []
        for name, tenant, expected in (("a", "t", 0), ("b", "u", 0), ("c", "t", 1)):
            open_connections.append(self.begin(name, tenant=tenant, fingerprint="f", metadata={"replayed_from": f"r{name}"}))
            while self.ask("/_stats")["open"] < len(open_connections):
                pass
            self.assertEqual(self.ask("/_stats")["violations"], expected)
        for connection in open_connections:
            connection.close()
        while self.ask("/_stats")["open"]:
            pass
        self.assertEqual(self.ask("/_lanes"), {"t f": ["ra", "rc"], "u f": ["rb"]})

    def test_effect_without_an_answer(self):
        self.ask("/_control", {"rules": [{"limit": 1, "answer": {"reset": "body", "effect": True}}]})
        with self.assertRaises(ConnectionResetError):
            self.status()
        self.assertEqual(self.status(), 409)
        self.assertEqual(self.ask("/_stats")["effects"], 1)

    def test_what_comes_between_and_what_the_gateway_says(self):
        for answer, first, second, effects in (
                ({"status": 502, "text": "<html>", "effect": True}, 502, 409, 1), ({"status": 502}, 502, 200, 1),
                ({"status": 429}, 429, 409, 0), ({"status": 500}, 500, 409, 0), ({"status": 500, "text": "<html>"}, 500, 200, 1),
                ({"status": 503, "claim": True}, 503, 409, 0), ({"status": 422}, 422, 200, 1)):
            self.ask("/_reset", {})
            self.ask("/_control", {"rules": [{"limit": 1, "answer": answer}]})
            self.assertEqual([self.status(), self.status()], [first, second], answer)
            self.assertEqual(self.ask("/_stats")["effects"], effects, answer)

    def test_who_is_gone_before_its_turn_is_not_executed(self):
        self.ask("/_control", {"rules": [{"answer": {"delay_ms": 60000, "effect": False}}]})
        with self.begin("a"):
            self.until(lambda: self.ask("/_stats")["open"] == 1)
        self.until(lambda: self.ask("/_stats")["open"] == 0)
        self.assertEqual((self.truth("a")["tries"], self.status()), (0, 409))

    def test_attempts_are_of_what_is_replayed(self):
        self.ask("/_control", {"rules": [{"match": {"attempt": [1, 2]}, "answer": {"status": 429}}]})
        self.assertEqual([self.status({**ACTION, "id": name}) for name in "abc"], [429, 429, 200])

    def test_outcomes_and_sources(self):
        self.ask("/_control", {"rules": [
            {"match": {"id": "b"}, "answer": {"effect": False, "body": {"Failed": {"code": "550"}}}},
            {"match": {"id": "c"}, "answer": {"body": "Deduplicated"}},
            {"match": {"id": "d", "after": 3}, "answer": {"status": 503}}]})
        for name in "abcda":
            self.status({**ACTION, "id": name})
        self.assertEqual(self.ask("/_stats")["outcomes"],
                         {"AlreadyDispatched": 1, "Failed": 1, "Deduplicated": 1})
        self.assertEqual({name: (entry["source"], entry["outcome"], entry["effects"])
                          for name, entry in self.ask("/_actions").items()},
                         {"a": ("r", "AlreadyDispatched", 1), "b": ("r", "Failed", 0),
                          "c": ("r", "Deduplicated", 1), "d": ("r", None, 0)})


@unittest.skipUnless(os.environ.get("PGHOST") and find_driver(), "there is no database, or no driver for it")
class AuditTest(Stub):
    """When there is a record, and when there is none."""

    def setUp(self):
        import psycopg

        self.database = psycopg.connect("", autocommit=True)
        self.addCleanup(self.database.close)
        self.database.execute("DROP SCHEMA IF EXISTS stub CASCADE; CREATE SCHEMA stub; SET search_path = stub")
        with open(f"{HERE}/../fixtures/audit_table.sql", encoding="utf-8") as file:
            self.database.execute(file.read())
        self.start("--database", "", "--table", "stub.acteon_audit")

    def tearDown(self):
        super().tearDown()
        self.database.execute("DROP SCHEMA stub CASCADE")

    def records(self, action_id="a"):
        return [outcome for outcome, in self.database.execute(
            "SELECT outcome FROM acteon_audit WHERE action_id = %s ORDER BY id", (action_id,)).fetchall()]

    def test_a_record_comes_after_the_answer(self):
        self.ask("/_control", {"audit": {"late_ms": 300}})
        self.status()
        self.assertEqual(self.records(), [])
        self.until(lambda: self.records() == ["executed"])
        self.assertEqual((self.truth("a")["recorded"], self.truth("a")["lost"]), (1, 0))

    def test_what_is_not_written_when_it_is_killed_is_lost(self):
        self.ask("/_control", {"audit": {"late_ms": 60000}})
        self.status()
        self.stop(signal.SIGKILL, -signal.SIGKILL)
        self.start("--database", "", "--table", "stub.acteon_audit")
        self.assertEqual(self.records(), [])

    def test_what_cannot_be_written_is_lost(self):
        self.assertEqual([self.status({**ACTION, "id": name, "payload": {"text": text}}) for name, text in (("a", "x\0"), ("b", "x"))], [200, 200])
        self.until(lambda: self.records("b") == ["executed"] and self.truth("a")["lost"] == 1)
        self.database.execute("ALTER TABLE acteon_audit RENAME TO away")
        self.status({**ACTION, "id": "c"})
        self.until(lambda: self.truth("c")["lost"] == 1)
        self.database.execute("ALTER TABLE away RENAME TO acteon_audit")
        self.status({**ACTION, "id": "d"})
        self.until(lambda: self.records("d") == ["executed"])
        self.assertEqual((self.records("a"), self.records("c")), ([], []))
        self.assertEqual(self.ask("/_stats")["effects"], 4)

    def test_compliance_writes_before_it_does_and_before_it_answers(self):
        self.ask("/_control", {"audit": {"compliance": True, "fail_intents": 1}, "replay_protection": False})
        self.assertEqual((self.status(), self.records(), self.truth("a")["tries"]), (500, [], 0))
        self.ask("/_control", {"audit": {"fail_intents": 0}})
        self.assertEqual((self.status(), self.records()), (200, ["executed", "pending"]))
        self.ask("/_control", {"audit": {"fail_outcomes": 1}})
        self.assertEqual((self.status({**ACTION, "id": "b"}), self.records("b"), self.truth("b")["effects"]), (200, ["pending"], 1))
        # Who goes away leaves the intent alone, whether it was executed or not.
        self.gateway(providers={"*": {"delay_ms": 60000}})
        with self.begin("c"):
            self.until(lambda: self.ask("/_ledger")["ids"].get("c", {}).get("tries") == 1)
        self.until(lambda: self.truth("c")["cut"] == 1)
        self.assertEqual(self.records("c"), ["pending"])


if __name__ == "__main__":
    unittest.main()
