#!/usr/bin/env python3
"""Tests of the stub gateway: python3 test/gateway/test_stub.py"""

import json
import os
import signal
import socket
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
ACTION = {"id": "a", "namespace": "n", "tenant": "t", "provider": "p", "action_type": "x",
          "payload": None, "metadata": {"replayed_from": "r"}, "dedup_key": None,
          "status": None, "fingerprint": None, "starts_at": None, "ends_at": None,
          "created_at": "2026-01-15T12:00:00.5Z"}
HEADERS = {"Host": "h", "Content-Type": "application/json", "Authorization": "Bearer test-key"}


class StubTest(unittest.TestCase):
    """Each test has a stub of its own."""

    def setUp(self):
        self.stub = subprocess.Popen([sys.executable, f"{HERE}/stub_gateway.py"],
                                     stdout=subprocess.PIPE, text=True)
        self.port = int(self.stub.stdout.readline().split()[-1])

    def tearDown(self):
        self.stub.send_signal(signal.SIGTERM)
        self.assertEqual(self.stub.wait(10), 0)
        self.stub.stdout.close()

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def raw(self, method, path, body=b"", headers=None):
        """Send a request and read to the end of the connection."""
        fields = {**HEADERS, "Content-Length": len(body), **(headers or {})}
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in fields.items() if value is not None)
        with self.connect() as connection:
            connection.sendall(head.encode() + b"\r\n" + body)
            connection.shutdown(socket.SHUT_WR)
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

    def test_replay_protection(self):
        self.assertEqual([self.status(), self.status()], [200, 409])
        self.ask("/_control", {"replay_protection": False})
        self.assertEqual(self.status(), 200)
        stats = self.ask("/_stats")
        self.assertEqual((stats["requests"], stats["ids"], stats["ids_with_effects"]), (3, 1, 1))
        self.assertEqual(stats["violations"], 0)

    def test_bad_requests_are_violations(self):
        upside_down = dict(reversed(ACTION.items()))
        without = {key: value for key, value in ACTION.items() if key != "status"}
        bad = [{**ACTION, "more": 1}, without, upside_down, {**ACTION, "id": 1},
               {**ACTION, "tenant": ""}, {**ACTION, "dedup_key": 1}, {**ACTION, "metadata": {}},
               {**ACTION, "metadata": {"replayed_from": "r", "n": 1}},
               {**ACTION, "metadata": {"replayed_from": "r", "__x": "y"}},
               {**ACTION, "created_at": None}, {**ACTION, "created_at": "2026-01-15 12:00:00Z"},
               {**ACTION, "starts_at": "2026-02-30T12:00:00Z"},
               {**ACTION, "ends_at": "2026-01-15T12:00:00+01:00"}]
        for number, action in enumerate(bad, 1):
            self.assertEqual(self.status(action), 400, action)
            self.assertEqual(self.ask("/_stats")["violations"], number, action)
        for text in ("", "{}", "[]", json.dumps(ACTION) + "x", json.dumps(ACTION)[:-1],
                     json.dumps(ACTION).replace('"payload": null', '"payload": NaN'),
                     json.dumps(ACTION).replace('"payload": null', '"payload": {"a": 1, "a": 2}')):
            self.assertEqual(self.status(text=text), 400, text)
        for headers in ({"Content-Type": "text/plain"}, {"Content-Type": None}, {"Host": None}):
            self.assertEqual(self.status(headers=headers), 400, headers)
        self.assertEqual(self.status(path="/v2/dispatch"), 404)
        self.assertEqual(self.ask("/_stats")["violations"], len(bad) + 11)
        self.assertEqual(self.status(headers={"Authorization": "Bearer other"}), 401)
        stats = self.ask("/_stats")
        self.assertEqual((stats["unauthorized"], stats["violations"]), (1, len(bad) + 11))
        self.assertEqual(stats["effects"], 0)

    def test_other_body_is_a_violation(self):
        self.status()
        self.status({**ACTION, "payload": 1})
        self.assertEqual(self.ask("/_stats")["violations_by_kind"], {"body": 1})

    def test_overlap_in_a_lane_is_a_violation(self):
        self.ask("/_control", {"rules": [{"answer": {"delay_ms": 60000}}]})
        open_connections = []
        for name, tenant, expected in (("a", "t", 0), ("b", "u", 0), ("c", "t", 1)):
            body = json.dumps({**ACTION, "id": name, "tenant": tenant, "fingerprint": "f"}).encode()
            connection = self.connect()
            connection.sendall(b"POST /v1/dispatch HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
                               b"Authorization: Bearer test-key\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            open_connections.append(connection)
            while self.ask("/_stats")["open"] < len(open_connections):
                pass
            self.assertEqual(self.ask("/_stats")["violations"], expected)
        for connection in open_connections:
            connection.close()
        while self.ask("/_stats")["open"]:
            pass
        self.assertEqual(self.ask("/_lanes"), {"t f": ["a", "c"], "u f": ["b"]})

    def test_effect_without_an_answer(self):
        self.ask("/_control", {"rules": [{"limit": 1, "answer": {"reset": "body", "effect": True}}]})
        with self.assertRaises(ConnectionResetError):
            self.status()
        self.assertEqual(self.status(), 409)
        self.assertEqual(self.ask("/_stats")["effects"], 1)

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


if __name__ == "__main__":
    unittest.main()
