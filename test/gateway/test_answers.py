#!/usr/bin/env python3
"""The stand-in against what the gateway has answered and written: python3 test/gateway/test_answers.py

Every line of dispatch_answers.jsonl is asked again of a stand-in that is configured as
the gateway was in that run, and answered alike: status, headers, body.  With a database
(PGHOST is set, and Python has psycopg), what it writes is compared with the lines of
audit_records.jsonl, column by column.  No request is changed but for what the file
says in words, and no answer depends on a case's name.

What is compared as a kind only, not by its value: ids, times and links that are made
anew for each answer; where in a text a fault is, and the JSON parser's own words; how
many seconds a window still has, and how many requests; what a database error is about.
"""

import collections
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import unittest
import urllib.parse

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from signing import CAN_VERIFY

try:
    import psycopg
except ImportError:
    psycopg = None

FIXTURES = f"{HERE}/../fixtures"
KEYS = {"X-API-Key: admin key, grant on everything": {"X-API-Key": "admin"},
        "X-API-Key: viewer key, grant on everything": {"X-API-Key": "viewer"},
        "X-API-Key: operator key, grant tenant acme / namespace prod / provider email only": {"X-API-Key": "narrow"},
        "X-API-Key: unknown key": {"X-API-Key": "unknown"},
        "Authorization: Bearer nonsense": {"Authorization": "Bearer nonsense"},
        "Authorization: Bearer <api key>": {"Authorization": "Bearer admin"},
        "none": {}}
PLAIN = {"namespace": "prod", "tenant": "acme", "provider": "email", "action_type": "send_email",
         "payload": {"to": "u1@example.org", "n": 1}, "created_at": "2026-11-26T23:59:05Z"}
REFUSING = {"refuse": True, "url": "http://127.0.0.1:38873/x"}
PROVIDERS = {
    **{name: {} for name in ("email", "sms", "slack", "почта")}, "plain": {"text": "fine"}, "logp": {"type": "log"},
    "bad500": {"status": 500, "body": {"error": "down"}}, "bad404": {"status": 404, "body": {"error": "nope"}},
    "teams": {"type": "native", "status": 500, "body": {"error": "down"}}, "down": REFUSING, "hang": {"hang": True},
    "reset": {"reset": True, "url": "http://127.0.0.1:38871/reset/reset"}, "slow1": {"delay_ms": 1000}}
MARKED = {"payload._scheduled_dispatch": True}
VERDICTS = [
    {"name": f"r-{name}", "match": {"action_type": kind}, "verdict": verdict, **more} for name, kind, verdict, more in (
        ("allow", "allow_me", "allow", {}), ("suppress", "suppress_me", "suppress", {}), ("deny", "deny_me", "deny", {}),
        ("reroute", "reroute_me", "reroute", {"target": "sms"}), ("reroute500", "reroute_500", "reroute", {"target": "bad500"}),
        ("reroute-down", "reroute_down", "reroute", {"target": "down"}), ("reroute-none", "reroute_none", "reroute", {"target": "nosuch"}),
        ("throttle", "throttle_me", "throttle", {"max_count": 1, "window_seconds": 60}), ("dedup", "dedup_me", "deduplicate", {}),
        ("modify", "modify_me", "modify", {}), ("group", "group_me", "group", {"group_by": ["payload.service"]}),
        ("group-scoped", "group_scoped", "group", {"group_by": ["namespace", "tenant", "provider", "payload.service"]}),
        ("state", "state_me", "state_machine", {"state_machine": "ticket"}), ("schedule", "schedule_me", "schedule", {"unless": MARKED}), ("schedule-always", "schedule_always", "schedule", {}),
        ("approval", "approve_me", "request_approval", {}),
        ("chain", "run_chain", "chain", {"chain_name": "pipeline", "steps": ["one", "two"]}),
        ("chain-fail", "run_chain_fail", "chain", {"chain_name": "pipefail", "steps": ["one", "two"]}),
        ("chain-500", "run_chain_500", "chain", {"chain_name": "pipe500", "steps": ["one"]}))]
BASE = {
    "keys": {"admin": {"name": "client"}, "viewer": {"name": "viewer", "role": "viewer"},
             "narrow": {"name": "narrow", "role": "operator",
                        "grants": [{"tenants": ["acme"], "namespaces": ["prod"], "providers": ["email"]}]}},
    "providers": PROVIDERS, "verdicts": VERDICTS, "executor": {"max_retries": 0, "timeout_seconds": 2},
    "silences": [{"match": {"metadata.sev": "low"}, "id": "01a21a4c-696e-7b91-b4a6-3b015f74131c"}],
    "mutes": [{"match": {"action_type": "mute_me"}, "interval": "always"}],
    "quotas": [{"tenant": "q-block", "limit": 1, "behavior": "block"}, {"tenant": "q-warn", "limit": 1, "behavior": "warn"},
               {"tenant": "q-degr", "limit": 1, "behavior": "degrade:sms"}, {"tenant": "q2", "limit": 1, "behavior": "block"}],
    "templates": {"welcome": {"subject": "Hello {{who}}"}}}
SIGNING = {"reject_unsigned": True, "keyring": [
    {"signer_id": "ci-bot", "kid": "k0", "public_key": "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="},
    {"signer_id": "ops-bot", "kid": "k2", "public_key": "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=", "tenants": ["acme"], "namespaces": ["prod"]}]}
SOC2 = {"compliance": True}

# The runs of dispatch_answers.jsonl, in its order: how many lines, the run of
# audit_records.jsonl, the gateway's configuration, and the rest of what it is told.
RUNS = [
    (113, "base", {}, {}),
    (5, "retry", {"scale": 10, "executor": {"max_retries": 2, "timeout_seconds": 1}}, {"audit": {"ttl_seconds": 3600}}),
    (1, "noauth", {"auth": False}, {}),
    (12, "cb", {"scale": 10, "executor": {"max_retries": 0, "timeout_seconds": 1}, "circuit_breaker": {
        "failure_threshold": 3, "providers": {"hang": {"fallback_provider": "sms"}}}}, {}),
    (41, "signing", {"signing": SIGNING, "templates": {"welcome2": {"subject": "Hello"}}}, {"replay_protection": True}),
    (16, "prot", {}, {"replay_protection": True}),
    (3, "ttl", {"replay_ttl_seconds": 1}, {"replay_protection": True}),
    (11, "soc2", {}, {"audit": SOC2}),
    (1, "soc2_race", {}, {"audit": {**SOC2, "fail_intents": 1}}),
    (2, "soc2b", {}, {"audit": SOC2}),
    (1, "lost", {}, {"audit": {"fail": True}}),
    (1, "soc2_nochain", {}, {"audit": {**SOC2, "hash_chain": False}}),
    (1, "hipaa", {}, {"audit": SOC2}),
    (3, "chains", {}, {}),
    (10, "enc", {}, {}),
    (3, "red", {}, {"audit": {"redact": ["to", "nested.a", "password"]}}),
    (1, "red2", {}, {"audit": {"redact": ["to"], "placeholder": "***"}}),
    (1, "redenc", {}, {}),
    (2, "nopay", {}, {"audit": {"store_payload": False}}),
    (6, "rl", {"tenant_limit": {"t429": {"limit": 1, "window_seconds": 1}},
               "caller_limit": {"limit": 1000, "window_seconds": 60}}, {"replay_protection": True}),
    (3, "rl2", {"caller_limit": {"limit": 4, "window_seconds": 1}}, {"replay_protection": True}),
    (2, "sem", {"max_concurrent_dispatch": 1}, {"replay_protection": True}),
    (6, "soc2later", {}, {"audit": SOC2}),
    (1, "lock", {"scale": 20, "executor": {"timeout_seconds": 30, "max_retries": 0}}, {}),
    (5, "last", {}, {}),
]

# Lines that are not asked again, and why.
LEFT_OUT = {"signed_all_optional_fields": "the file has only the beginning of its request"}
# Records of the file that the stand-in writes otherwise, and why.
SEALED = "the stand-in has no encryption at rest: the record has the payload as it is"
RECORDS_LEFT_OUT = {"enc": SEALED, "enc2": SEALED, "encsoc": SEALED, "redenc": SEALED,
                    "soc2_race": "which of many racing records is lost is not for one request to show"}
CASES_LEFT_OUT = {
    "grouped_flush_notification": "the flush of a group is an action of its own, which the stand-in does not make",
    "recurring_create": "recurring actions are not dispatched over HTTP",
    "batch_item": "the file has no requests of batches", "batch_not_protected": "the file has no requests of batches",
    "chain_step_or_intent": "the steps of chains are not played"}
# Steps and ends of chains, which are not played.
PLAYED_NOT = ("chain_step_", "chain_completed", "chain_failed")

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")


def kind(value, known=""):
    """A value in which what is made anew each time is replaced by what it is; not if the request has it."""
    if isinstance(value, dict):
        return {key: kind(item, known) for key, item in value.items()}
    if isinstance(value, list):
        return [kind(item, known) for item in value]
    if not isinstance(value, str):
        return value
    value = re.sub(r"http://127\.0\.0\.1(:\d+)?/v1/approvals/\S+/(approve|reject)\?sig=[0-9a-f]{64}&expires_at=\d+&kid=k0", r"<link to \2>", value)
    value = UUID.sub(lambda found: found.group() if found.group() in known else "<uuid>", value)
    value = TIME.sub(lambda found: found.group() if found.group() in known else "<time>", value)
    value = re.sub(r" at line \d+ column \d+$", "", value)
    value = re.sub(r"(as JSON): .*", r"\1: <why>", value)
    return re.sub(r"storage error: .*", "storage error: <which>", value)


def lines(name):
    """The lines of a file of the fixtures."""
    with open(f"{FIXTURES}/gateway/{name}.jsonl", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def merged(base, more):
    """A configuration with some of its parts replaced."""
    return {**base, **more}


class Database:
    """An audit table of our own."""

    def __init__(self):
        self.connection = psycopg.connect("", autocommit=True)
        self.connection.execute("DROP SCHEMA IF EXISTS stand_in CASCADE; CREATE SCHEMA stand_in; SET search_path = stand_in")
        with open(f"{FIXTURES}/audit_table.sql", encoding="utf-8") as file:
            self.connection.execute(file.read())

    def close(self):
        self.connection.execute("DROP SCHEMA stand_in CASCADE")
        self.connection.close()

    def empty(self):
        self.connection.execute("TRUNCATE stand_in.acteon_audit")

    def records(self):
        """All records, as the file has them."""
        rows = self.connection.execute("SELECT row_to_json(a)::text, action_payload IS NULL FROM stand_in.acteon_audit AS a").fetchall()
        return [{**json.loads(text), **({"_action_payload_is_sql_null": True} if absent else {})} for text, absent in rows]


class AnswersTest(unittest.TestCase):
    """Each run has a stand-in of its own."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.database = Database() if psycopg is not None and os.environ.get("PGHOST") else None

    @classmethod
    def tearDownClass(cls):
        if cls.database is not None:
            cls.database.close()

    def start(self, gateway, told):
        """Start a stand-in with a configuration."""
        command = [sys.executable, f"{HERE}/stub_gateway.py"]
        if self.database is not None:
            self.database.empty()
            command += ["--database", "", "--table", "stand_in.acteon_audit"]
        self.stub = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.stop)
        self.port = int(self.stub.stdout.readline().split()[-1])
        self.links = []
        status, _, body = self.ask("POST", "/_control", json.dumps({
            "replay_protection": False, **told, "gateway": merged(BASE, gateway)}), {})
        self.assertEqual((status, body), (200, {}))

    def stop(self):
        """It ends in good order, with all its records written."""
        if self.stub.poll() is None:
            self.stub.send_signal(signal.SIGTERM)
        self.assertEqual(self.stub.wait(20), 0)
        self.stub.stdout.close()

    def ask(self, method, path, body, headers):
        """One request: status, headers, and the body, read as JSON if it is such."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, body if body is None else body.encode(), headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, found, json.loads(text) if found.get("content-type") == "application/json" else text

    def text_of(self, request):
        """The body of a recorded request; what the file has in words is made."""
        body = request.get("body_text")
        if body is not None or "body" not in request:
            return body
        body = request["body"]
        if body == "three actions: plain, suppressed by rule, rule error":
            body = [{**PLAIN, "id": "b1"}, {**PLAIN, "id": "b2", "action_type": "suppress_me"},
                    {**PLAIN, "id": "b3", "action_type": "reroute_none"}]
        elif body == "the same two actions again":
            body = [{**PLAIN, "id": "b1"}, {**PLAIN, "id": "b2"}]
        elif isinstance(body, str):
            body = {**PLAIN, "id": "big", "payload": {"x": "y" * 2_200_000}}
        return json.dumps(body)

    def id_of(self, request):
        """The id of the action that a request dispatches, None if it does not."""
        try:
            return json.loads(self.text_of(request))["id"] if request["path"].startswith("/v1/dispatch") else None
        except (ValueError, TypeError, KeyError):
            return None

    def repeat(self, line):
        """Ask what a line asked; returns the answer."""
        request = line["request"]
        headers = dict(KEYS[request.get("auth", "none")])
        path = request["path"]
        if path.startswith("/v1/approvals/"):
            pair = self.links.pop(0)
            path = urllib.parse.urlsplit(pair["approve_url" if "/approve?" in path else "reject_url"])
            path = f"{path.path}?{path.query}"
        text = self.text_of(request)
        # That it had none is what the line is about: its answer says so.
        if text is not None and line["status"] != 415:
            headers["Content-Type"] = "application/json"
        answer = self.ask(request["method"], path, text, headers)
        if isinstance(answer[2], dict) and "PendingApproval" in answer[2]:
            self.links.append(answer[2]["PendingApproval"])
        return answer

    def compare(self, line):
        """Ask what a line asked, and compare the answers."""
        status, headers, body = self.repeat(line)
        known = json.dumps(line["request"], ensure_ascii=False)
        with self.subTest(case=line["_case"]):
            expected = line["body"]
            if line["request"]["path"] == "/health":
                # The file has an excerpt of it.
                body = {key: "..." if key == "metrics" else body[key] for key in expected}
            if status == 429:
                self.assertEqual(int(headers["retry-after"]), body["retry_after"])
                self.assertGreaterEqual(body["retry_after"], 1)
                body["retry_after"] = expected.get("retry_after")
            self.assertEqual((status, kind(body, known)), (line["status"], kind(expected, known)))
            for name, value in line["headers"].items():
                if name in ("retry-after", "x-ratelimit-remaining", "x-ratelimit-reset"):
                    self.assertRegex(headers[name], r"^\d+$", name)
                else:
                    self.assertEqual(headers.get(name), value, name)
            for name in ("retry-after", "x-ratelimit-limit"):
                self.assertEqual(name in headers, name in line["headers"], name)

    def plain(self, action_id, **more):
        """An action that the file does not have."""
        return self.ask("POST", "/v1/dispatch", json.dumps({**PLAIN, "id": action_id, **more}),
                        {"X-API-Key": "admin", "Content-Type": "application/json"})

    def before(self, run, number):
        """What happened at the gateway before a line of a run, which the file does not have."""
        if (run, number) in (("rl", 4), ("rl2", 2)):
            # The window is over, and so much of the next one that it has forgotten the last.
            time.sleep(2.1)
        elif (run, number) == ("rl2", 1):
            while time.time() % 1 > 0.5:
                time.sleep(0.01)
            while self.plain("more")[0] != 429:
                pass
        elif (run, number) == ("rl", 0):
            while time.time() % 1 > 0.5:
                time.sleep(0.01)
        elif (run, number) == ("ttl", 2):
            time.sleep(1.1)
        elif (run, number) in (("sem", 0), ("lock", 0)):
            own = {"tenant": "lock", "provider": "hang", "id": self.lines[0]["request"]["body"]["id"]} if run == "lock" else \
                {"provider": "slow1", "id": "holder"}
            holder = threading.Thread(target=lambda: self.plain(own.pop("id"), **own))
            holder.start()
            self.addCleanup(holder.join)
            while self.ask("GET", "/_stats", None, {})[2]["open"] < 1:
                pass
        elif (run, number) == ("last", 2):
            self.plain("first", tenant="q2")
        elif run == "soc2b" and self.database is not None:
            names = ("acteon_audit", "away") if number == 0 else ("away", "acteon_audit")
            self.database.connection.execute("ALTER TABLE stand_in.{} RENAME TO {}".format(*names))
        elif (run, number) == ("soc2b", 0):
            self.skipTest("there is no database")

    def play(self, run, gateway, told, asked):
        """Ask everything of a run, then compare its records."""
        self.start(gateway, told)
        self.lines = asked
        for number, line in enumerate(asked):
            self.before(run, number)
            if line["_case"] in LEFT_OUT or (self.database is None and line["_case"] == "soc2_payload_nul_500"):
                continue
            self.compare(line)
        for pair in self.links:
            if run == "soc2later":
                link = urllib.parse.urlsplit(pair["approve_url"])
                self.assertEqual(self.ask("POST", f"{link.path}?{link.query}", None, {})[0], 200)
        if self.database is not None and run not in RECORDS_LEFT_OUT:
            self.compare_records(run, asked)

    def compare_records(self, run, asked):
        """What was written is what the file has, kind by kind."""
        asked_for = {self.id_of(line["request"]) for line in asked} - {None}
        done = {self.id_of(line["request"]) for line in asked if line["status"] == 200}
        expected = [record for record in RECORDS if record["_run"] == run and record["action_id"] in asked_for
                    and record["_case"] not in CASES_LEFT_OUT and not record["outcome"].startswith(PLAYED_NOT)]
        # The file has no record of some actions that repeat others.
        wanted = {record["action_id"] for record in expected}
        deadline = time.monotonic() + 10
        while True:
            written = self.database.records()
            found = [record for record in written if record["action_id"] in wanted]
            if len(found) >= len(expected) or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        known = json.dumps([line["request"] for line in asked], ensure_ascii=False)
        for record in found:
            self.assertGreaterEqual(record["completed_at"], record["dispatched_at"])
        found, expected = ([json.dumps(shape(record, known), sort_keys=True, ensure_ascii=False) for record in records]
                           for records in (found, expected))
        self.assertEqual([record["action_id"] for record in written if record["outcome"] != "pending"
                          and record["action_id"] in asked_for - done], [], "records of what was refused")
        missing, more = collections.Counter(expected), collections.Counter(found)
        for text in missing.keys() & more.keys():
            # It is scheduled anew every second.
            if '"action_payload": "text"' in text and '"auth_method": ""' in text:
                missing[text] = more[text] = 1
        self.assertEqual(([], []), (list((missing - more).elements()), list((more - missing).elements())),
                         "records that are missing, and records that are not in the file")


def shape(record, known):
    """A record with what differs from run to run replaced by what it is."""
    record = {key: value for key, value in record.items() if not key.startswith("_") or key == "_action_payload_is_sql_null"}
    record["_action_payload_is_sql_null"] = bool(record.get("_action_payload_is_sql_null"))
    record["id"] = "<uuid>-intent" if record["id"].endswith("-intent") else UUID.sub("<uuid>", record["id"])
    record["verdict_details"], record["outcome_details"] = kind(record["verdict_details"]), kind(record["outcome_details"], known)
    for name in ("dispatched_at", "completed_at", "expires_at", "chain_id", "record_hash", "previous_hash", "sequence_number", "duration_ms"):
        value = record[name]
        if name == "previous_hash" and record["record_hash"]:
            value = "first or not"
        elif isinstance(value, str):
            value = "<hash>" if re.fullmatch("[0-9a-f]{64}", value) else kind(value)
        elif isinstance(value, int):
            value = "<number>"
        record[name] = value
    return record


ANSWERS, RECORDS = lines("dispatch_answers"), lines("audit_records")


def add_tests():
    """One test for each run."""
    at = 0
    for count, run, gateway, told in RUNS:
        def test(self, run=run, gateway=gateway, told=told, asked=ANSWERS[at:at + count]):
            if run == "signing" and not CAN_VERIFY:
                self.skipTest("Python's cryptography is not installed: no signature can be verified")
            self.play(run, gateway, told, asked)
        setattr(AnswersTest, f"test_run_{run}", test)
        at += count
    assert at == len(ANSWERS), f"the runs have {at} lines, the file {len(ANSWERS)}"


add_tests()
if __name__ == "__main__":
    unittest.main()
