#!/usr/bin/env python3
"""A stand-in of the gateway, for tests.

    stub_gateway.py [--port N] [--key KEY] [--prefix /path] [--control FILE]
                    [--stats-file FILE] [--cert FILE [--client-ca FILE]]
                    [--database DSN [--table NAME]] [--ledger FILE [--bodies]]
                    [--replay-protection on|off]

It does what the gateway does and nothing kinder, and knows what it has done in
truth.  Loopback only.  It prints "listening on PORT" when it is ready, and with
--cert "control on PORT" for a second port without TLS; it ends on SIGTERM or SIGINT,
when it has written what was to be written, and SIGKILL ends it as it ends the gateway.

    POST /_control   {"rules": […], "replay_protection": true, "key": …,
                     "prefix": …, "seed": n, "digest_payloads": true,
                     "audit": {…}, "gateway": {…}}; what is not named stays, and
                     a "gateway" that is named begins with an empty memory
    POST /_providers other providers (executor.py), while everything else goes on
    POST /_reset     forgets what was seen, and the ids; not what to answer
    GET  /_stats     counts
    GET  /_actions   the history of each action
    GET  /_lanes     of each tenant and fingerprint, what is replayed in order of effect
    GET  /_ledger    what became in truth of each id and of each lineage: requests,
                     tries (requests to a provider), effects, cut, recorded, lost

What it rests on (facts.md beside it unless said otherwise), and where it is:

    order of checks, what a 409 means       1, 2; gateway.md 2      pipeline.py
    what it reads, words of refusals        1 (3); gateway.md 2     request_check.py
    limits, claimed ids, locks              1 (2, 7-9, 11), 2       limits.py
    clients that go away                    3                       here, executor.py
    slots, tries, pauses, providers         4, 6                    executor.py
    when and whether there is a record      5; gateway.md 2         audit.py
    what a record holds                     6, 7, 9, hash_chain.md  audit.py
    rules, quotas, silences, schedules      6, 7                    verdicts.py
    signatures                              10                      signing.py

Not there: encryption at rest, the steps of chains, flushes of groups, recurring
actions, the state store's own faults, the gateway's own replay and audit queries.

"gateway" is its configuration, all of it optional: scale (all its times, and those of
providers and records, are divided by it; limits say at least one second),
replay_ttl_seconds, auth, keys (key: name, role, grants), tenant_limit (tenant or "*":
limit, window_seconds), caller_limit, max_concurrent_dispatch, executor (max_concurrent,
timeout_seconds, max_retries), providers and circuit_breaker (executor.py), signing
(signing.py), verdicts, quotas, silences, mutes, templates (verdicts.py), background.
"audit" is in audit.py.  Rules are what comes between: rules.py.
"""

import argparse
import asyncio
import functools
import json
import os
import random
import signal
import socket
import ssl
import struct
import sys

sys.dont_write_bytecode = True
import rules as answers
from audit import Trail, uuid7
from ledger import Ledger
from limits import Clock
from pipeline import ALLOW, Answer, Pipeline, split_batch
from request_check import Refused

LONGEST_HEAD = 64 * 1024
LONGEST_BODY = 1024 * 1024 * 1024
CONTROL_KEYS = {"rules", "replay_protection", "key", "prefix", "seed", "digest_payloads", "audit", "gateway"}
PLAIN_TEXT = {"Content-Type": "text/plain; charset=utf-8"}
SHUTDOWN_SECONDS = 30


class Gateway:
    """What the stand-in has been told, and what it has seen."""

    def __init__(self, options):
        self.key = options.key
        self.prefix = options.prefix
        self.rules = []
        self.chance = random.Random(1)
        self.ledger = Ledger(path=options.ledger, bodies=options.bodies)
        self.clock = Clock()
        self.trail = Trail(options.database, options.table, self.clock, self.chance)
        self.told = {}
        self.replay_protection = options.replay_protection == "on"
        self.pipeline = self.begin()

    def begin(self):
        """A gateway that has just started."""
        self.clock.scale = self.told.get("scale", 1)
        return Pipeline(self.told, self.key, self.trail, self.replay_protection)

    def control(self, told):
        """Take instructions."""
        answers.known_keys("instruction", told, CONTROL_KEYS)
        if "rules" in told:
            self.rules = [answers.Rule(rule) for rule in told["rules"]]
        if "seed" in told:
            self.chance.seed(told["seed"])
        self.trail.control(told.get("audit", {}))
        self.ledger.digest_payloads = told.get("digest_payloads", self.ledger.digest_payloads)
        self.prefix = told.get("prefix", self.prefix)
        self.replay_protection = bool(told.get("replay_protection", self.replay_protection))
        self.pipeline.replay_protection = self.replay_protection
        if "gateway" in told or told.get("key", self.key) != self.key:
            self.key = told.get("key", self.key)
            self.told = told.get("gateway", self.told)
            self.pipeline = self.begin()

    def rule(self, when, facts=None):
        """What a rule says to a connection, a head, or a whole request."""
        for rule in self.rules:
            if rule.fits(when, facts, self.chance):
                return rule.answer
        return None

    def reset(self):
        """Forget what was seen."""
        self.ledger = self.ledger.renewed()
        self.pipeline.ids.until.clear()

    def asked(self, method, path, body):
        """The answer to a question about the stand-in itself, or None."""
        if (method, path) in (("POST", "/_control"), ("POST", "/_providers")):
            try:
                (self.control if path == "/_control" else self.pipeline.executor.change)(json.loads(body))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                return answers.error_answer(400, str(error))
            found = {}
        elif (method, path) == ("POST", "/_reset"):
            self.reset()
            found = {}
        elif (method, path) == ("GET", "/_stats"):
            found = self.ledger.stats()
            found["rules"] = [rule.applied for rule in self.rules]
            found["audit"] = {"waiting": len(self.trail.waiting) + self.trail.late, "failures": self.trail.failures,
                              "last_failure": self.trail.last_failure}
        elif (method, path) == ("GET", "/_actions"):
            found = self.ledger.actions()
        elif (method, path) == ("GET", "/_lanes"):
            found = {lane: list(order) for lane, order in self.ledger.lane_effects.items()}
        elif (method, path) == ("GET", "/_ledger"):
            found = self.ledger.truth()
        else:
            return None
        return answers.json_answer(200, found)


@functools.lru_cache(maxsize=4096)
def parse_head(head):
    """Method, path, headers and length of the body; None if it is not HTTP/1.1."""
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or words[2] != "HTTP/1.1":
        return None
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            return None
        headers[name.lower()] = value.strip()
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > LONGEST_BODY:
        return None
    return words[0], words[1], headers, int(length)


class Connection(asyncio.Protocol):
    """One connection: requests one after the other."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.transport = None
        self.buffer = bytearray()
        self.head = None        # of the request that is being read
        self.request = None     # the dispatch under way
        self.limits = None      # headers of the caller's limit for its answer
        self.closes = False     # whether the client wants no more than this answer
        self.task = None        # what takes its time to answer

    def connection_made(self, transport):
        self.transport = transport
        self.gateway.ledger.connections += 1
        if self.gateway.rule("connect") is not None:
            self.reset()

    def connection_lost(self, exc):
        if self.task is not None:
            self.task.cancel()
        self.finish(None)

    def data_received(self, data):
        self.buffer += data
        while self.task is None and not self.transport.is_closing() and self.read_request():
            if self.closes and self.task is None:
                self.transport.close()

    def read_request(self):
        """Take one request out of the buffer and answer it; false if it is not all there."""
        if self.head is None:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self.buffer) > LONGEST_HEAD:
                    self.not_http()
                return False
            self.head = parse_head(bytes(self.buffer[:end]))
            del self.buffer[:end + 4]
            if self.head is None:
                self.not_http()
                return False
            method, path, headers, _ = self.head
            if self.gateway.rules and "/v1/dispatch" in path and self.gateway.rule("head") is not None:
                self.reset()
                return False
            if headers.get("expect", "").lower() == "100-continue":
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        method, path, headers, length = self.head
        if len(self.buffer) < length:
            return False
        body = bytes(self.buffer[:length])
        del self.buffer[:length]
        self.head = None
        self.closes = headers.get("connection", "").lower() == "close"
        bare, _, query = path.partition("?")
        if method == "POST" and bare == f"{self.gateway.prefix}/v1/dispatch":
            self.dispatch(query, headers, body)
            return True
        found = self.gateway.asked(method, path, body)
        if found is None:
            found = self.other(method, path, headers, body)
            if asyncio.iscoroutine(found):
                self.task = asyncio.get_running_loop().create_task(self.tell(found))
                return True
            # What a relay that checks its key may ask as well.
            if bare.removeprefix(self.gateway.prefix) not in ("/health", "/v1/audit"):
                self.gateway.ledger.violation("path", f"{method} {path}")
        self.transport.write(found)
        return True

    def not_http(self):
        """What came is no request."""
        self.gateway.ledger.violation("http", "this is not HTTP/1.1")
        self.transport.write(answers.error_answer(400, "not HTTP/1.1"))
        self.transport.close()

    def other(self, method, path, headers, body):
        """Everything that is not the dispatch of one action."""
        gateway = self.gateway
        path, _, _ = path.partition("?")
        inner = path.removeprefix(gateway.prefix) if path.startswith(gateway.prefix) else ""
        # It needs no key, and a wrong one does not matter.
        if (method, inner) == ("GET", "/health"):
            return answers.json_answer(200, {"status": "ok", "metrics": {}})
        parts = inner.split("/")
        if method == "POST" and parts[:3] == ["", "v1", "approvals"] and len(parts) == 7 and parts[5] in gateway.pipeline.approvals:
            return gateway.pipeline.approve(gateway.ledger, parts[5], parts[6])
        if inner == "/v1/dispatch":
            return b"".join(answers.head_and_body(405, b"", {"Content-Type": None, "Allow": "POST"}))
        if (method, inner) not in (("POST", "/v1/dispatch/batch"), ("GET", "/v1/audit")):
            return b"".join(answers.head_and_body(404, b"", {"Content-Type": None}))
        try:
            caller = gateway.pipeline.caller(headers)
            if method == "POST":
                return gateway.pipeline.batch(gateway.ledger, caller, split_batch(body))
            return answers.json_answer(200, {"records": [], "total": 0, "limit": 50, "offset": 0, "next_cursor": None})
        except Answer as answer:
            return answers.json_answer(answer.status, answer.found, answer.headers)
        except Refused as refused:
            return b"".join(answers.head_and_body(refused.status, refused.text.encode(), PLAIN_TEXT))

    async def tell(self, work):
        """Answer what takes its time and is no dispatch."""
        try:
            found = answers.json_answer(200, await work)
        except Answer as answer:
            found = answers.json_answer(answer.status, answer.found)
        self.task = None
        self.transport.write(found)
        self.go_on()

    def go_on(self):
        """Read what has come meanwhile."""
        if self.closes:
            self.transport.close()
        elif self.buffer:
            self.data_received(b"")

    def dispatch(self, query, headers, body):
        """Check a dispatch, as far as that takes no time, and answer it or begin to."""
        gateway, pipeline = self.gateway, self.gateway.pipeline
        ledger = gateway.ledger
        limits = None
        try:
            for kind, wrong in (("host", "host" not in headers), ("length", "content-length" not in headers)):
                if wrong:
                    ledger.violation(kind, "it is missing")
            caller = pipeline.caller(headers)
            limits = pipeline.limit_caller(caller)
            dry_run, action, odd = pipeline.read(query, headers, body)
            if odd is not None:
                ledger.violation(*odd)
        except Refused as refused:
            ledger.violation({415: "content-type", 413: "length", 422: "type"}.get(refused.status, "json"), refused.text)
            self.transport.write(b"".join(answers.head_and_body(refused.status, refused.text.encode(), {**PLAIN_TEXT, **(limits or {})})))
            return
        except Answer as answer:
            ledger.unauthorized += answer.status == 401
            self.transport.write(answers.json_answer(answer.status, answer.found, {**answer.headers, **(limits or {})}))
            return
        request = self.request = ledger.begin(action, body)
        if "traceparent" in headers:
            request.entry.traces.append([headers["traceparent"], headers.get("tracestate")])
        self.limits = limits
        rule = None
        if gateway.rules:
            rule = gateway.rule("body", {**action, "attempt": request.attempt, "nth": request.number})
        if rule is not None:
            self.answer_by_rule(rule, action, caller)
            return
        try:
            pipeline.admit(caller, action)
            pipeline.claim(action)
            pipeline.limit(action, dry_run)
        except Answer as answer:
            self.refuse(answer)
            return
        provider = None if dry_run else pipeline.at_once(ledger, request, action, caller)
        if provider is None:
            self.task = asyncio.get_running_loop().create_task(self.run(action, caller, dry_run))
            return
        if limits is None:
            if provider.told is None:
                provider.told = answers.json_answer(200, provider.outcome)
            self.write_and_finish(200, provider.told, "Executed")
        else:
            self.write_and_finish(200, answers.json_answer(200, provider.outcome, limits), "Executed")

    def refuse(self, answer):
        """Answer a dispatch that has not got into the pipeline, or not through it."""
        self.write_and_finish(answer.status, answers.json_answer(answer.status, answer.found, {**answer.headers, **(self.limits or {})}),
                              "AlreadyDispatched" if answer.status == 409 else None)

    async def run(self, action, caller, dry_run=False):
        """Run a dispatch that takes its time."""
        request = self.request
        try:
            outcome = await self.gateway.pipeline.run(request.ledger, request, action, caller, dry_run)
        except Answer as answer:
            self.refuse(answer)
        except Exception:
            # A fault of the stand-in: nobody shall wait for an answer.
            self.transport.abort()
            raise
        else:
            self.write_and_finish(200, answers.json_answer(200, outcome, self.limits), answers.tag(outcome))
        self.go_on()

    def answer_by_rule(self, rule, action, caller):
        """Answer a dispatch as a rule says, after what the gateway does with it."""
        pipeline = self.gateway.pipeline
        reaches, has_effect = answers.claims(rule), answers.takes_effect(rule)
        if reaches:
            try:
                pipeline.admit(caller, action)
                pipeline.claim(action)
            except Answer as answer:
                if answers.is_own(rule):
                    self.refuse(answer)
                    return
                reaches = False
        through = reaches and (not answers.is_canned(rule) or (has_effect and not ("body" in rule and answers.is_own(rule))))
        if reaches and not through:
            self.canned(rule, action, caller, has_effect)
        self.task = asyncio.get_running_loop().create_task(self.answer(rule, action, caller, through))

    def canned(self, rule, action, caller, has_effect):
        """The gateway has made of an action what a rule says."""
        ledger, trail = self.request.ledger, self.gateway.trail
        if has_effect:
            ledger.tried(self.request, True)
        outcome = rule.get("body")
        if trail.dsn is None or rule.get("status", 200) != 200:
            return
        try:
            record = trail.record(uuid7(), action, ALLOW, outcome, self.request.begun, caller)
        except (KeyError, TypeError, StopIteration):
            # No outcome that the gateway has.
            return
        trail.background(record, self.request)

    async def through(self, action, caller):
        """Run an action through the pipeline, for a rule; returns its outcome, or the gateway's refusal."""
        pipeline, request = self.gateway.pipeline, self.request
        provider = pipeline.at_once(request.ledger, request, action, caller)
        if provider is not None:
            return provider.outcome
        try:
            return await pipeline.run(request.ledger, request, action, caller)
        except Answer as refusal:
            return refusal

    async def answer(self, answer, action, caller, through):
        """Answer as a rule says, however long that takes."""
        waits = through and answer.get("effect") is False
        found = await self.through(action, caller) if through and not waits else None
        if "delay_ms" in answer:
            await asyncio.sleep(answer["delay_ms"] / 1000)
        if waits:
            found = await self.through(action, caller)
        if isinstance(found, Answer):
            # A rule that has no answer of its own has that one.
            if not answers.is_canned(answer):
                self.refuse(found)
                if "hang_up" in answer:
                    self.transport.close()
                else:
                    self.go_on()
                return
            found = None
        if "reset" in answer:
            self.finish(None)
            self.reset()
            return
        if "raw" in answer:
            self.write_and_finish(None, answer["raw"].encode("latin-1"))
            self.transport.close()
            return
        status, head, body = answers.build(answer, found)
        outcome = answers.outcome_name(answer) if answers.is_canned(answer) or found is None else answers.tag(found)
        if "drip_ms" in answer:
            self.transport.write(head)
            for byte in body:
                await asyncio.sleep(answer["drip_ms"] / 1000)
                self.transport.write(bytes([byte]))
            self.write_and_finish(status, b"", outcome)
        else:
            self.write_and_finish(None if "half" in answer else status, head + body, outcome)
        if "half" in answer or "hang_up" in answer or \
                answer.get("headers", {}).get("Connection", "").lower() == "close":
            self.transport.close()
        else:
            self.go_on()

    def write_and_finish(self, status, data, outcome=None):
        """The end of an answer."""
        self.transport.write(data)
        self.finish(status, outcome)

    def finish(self, status, outcome=None):
        """The dispatch under way, if there is one, is over."""
        self.task = None
        if self.request is not None:
            self.request.ledger.end(self.request, status, outcome)
            self.request = None

    def reset(self):
        """End the connection with an RST."""
        self.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


def tls_context(options):
    """TLS as the options want it, None for none."""
    if options.cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.cert)
    if options.client_ca is not None:
        context.load_verify_locations(options.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def serve(options):
    """Listen until a signal ends it."""
    gateway = Gateway(options)
    gateway.trail.start()
    if options.control is not None:
        with open(options.control, encoding="utf-8") as file:
            gateway.control(json.load(file))
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    tls = tls_context(options)
    server = await loop.create_server(lambda: Connection(gateway), "127.0.0.1", options.port,
                                      ssl=tls, backlog=1024)
    print(f"listening on {server.sockets[0].getsockname()[1]}", flush=True)
    if tls is not None:
        control = await loop.create_server(lambda: Connection(gateway), "127.0.0.1", 0)
        print(f"control on {control.sockets[0].getsockname()[1]}", flush=True)
    await over.wait()
    server.close()
    await gateway.trail.flush(SHUTDOWN_SECONDS / gateway.clock.scale)
    if options.stats_file is not None:
        with open(options.stats_file, "w", encoding="utf-8") as file:
            json.dump(gateway.ledger.stats(), file)


def with_driver():
    """Go on under Debian's Python if only that one has the driver for the database."""
    try:
        import psycopg  # noqa: F401
    except ImportError:
        if sys.executable == "/usr/bin/python3" or not os.path.exists("/usr/bin/python3"):
            sys.exit("stub_gateway.py: --database needs python3-psycopg")
        os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])


def main():
    parser = argparse.ArgumentParser(description="A stand-in of the gateway, for tests.")
    parser.add_argument("--port", type=int, default=0, help="port on loopback (default: a free one)")
    parser.add_argument("--key", default="test-key", help="API key to ask for")
    parser.add_argument("--prefix", default="", help="path before /v1/dispatch")
    parser.add_argument("--control", help="file with instructions, as for /_control")
    parser.add_argument("--stats-file", help="file to write the counts to at the end")
    parser.add_argument("--cert", help="PEM file with certificate and key: speak TLS")
    parser.add_argument("--client-ca", help="PEM file: ask clients for a certificate of this authority")
    parser.add_argument("--replay-protection", choices=["on", "off"], default="on", help="what it begins with")
    parser.add_argument("--database", help="where to write audit records: a connection string of libpq")
    parser.add_argument("--table", default="acteon_audit", help="the audit table there (default: acteon_audit)")
    parser.add_argument("--ledger", help="file to append what happens to, and to know it from again")
    parser.add_argument("--bodies", action="store_true", help="append what is asked for to that file as well")
    options = parser.parse_args()
    if options.database is not None:
        with_driver()
    asyncio.run(serve(options))


if __name__ == "__main__":
    main()
