#!/usr/bin/env python3
"""A stub of the gateway, for tests.

It checks every request against what the gateway accepts, remembers what
happened to each action, and answers what it is told to: well, badly or not at
all.  Loopback only.

    stub_gateway.py [--port N] [--key KEY] [--prefix /path] [--control FILE]
                    [--stats-file FILE] [--cert FILE [--client-ca FILE]]

It prints "listening on PORT" when it is ready, and with --cert "control on PORT"
for a second port without TLS; it ends on SIGTERM or SIGINT.

    POST /_control   {"rules": […], "replay_protection": true, "key": …,
                     "prefix": …, "seed": n, "digest_payloads": true}; what is
                     not named stays
    POST /_reset     forgets what was seen, not what to answer
    GET  /_stats     counts
    GET  /_actions   the history of each action
    GET  /_lanes     of each tenant and fingerprint, the ids in order of effect
    GET  /health     200, or 401 for a wrong key

The rules are described in rules.py.
"""

import argparse
import asyncio
import functools
import json
import random
import signal
import socket
import ssl
import struct
import sys

sys.dont_write_bytecode = True
import rules as answers
from ledger import Ledger
from request_check import BadRequest, check_action, check_head

LONGEST_HEAD = 64 * 1024
LONGEST_BODY = 1024 * 1024 * 1024
CONTROL_KEYS = {"rules", "replay_protection", "key", "prefix", "seed", "digest_payloads"}


class Gateway:
    """What the stub has been told, and what it has seen."""

    def __init__(self, key, prefix):
        self.key = key
        self.prefix = prefix
        self.rules = []
        self.replay_protection = True
        self.chance = random.Random(1)
        self.ledger = Ledger()

    def control(self, told):
        """Take instructions."""
        answers.known_keys("instruction", told, CONTROL_KEYS)
        if "rules" in told:
            self.rules = [answers.Rule(rule) for rule in told["rules"]]
        if "seed" in told:
            self.chance = random.Random(told["seed"])
        self.replay_protection = told.get("replay_protection", self.replay_protection)
        self.ledger.digest_payloads = told.get("digest_payloads", self.ledger.digest_payloads)
        self.key = told.get("key", self.key)
        self.prefix = told.get("prefix", self.prefix)

    def rule(self, when, facts=None):
        """What a rule says to a connection, a head, or a whole request."""
        for rule in self.rules:
            if rule.fits(when, facts, self.chance):
                return rule.answer
        return None

    def asked(self, method, path, headers, body):
        """The answer to everything that is not a dispatch, or None."""
        if (method, path) == ("GET", f"{self.prefix}/health"):
            if headers.get("authorization", f"Bearer {self.key}") != f"Bearer {self.key}":
                return answers.error_answer(401, "bad credentials")
            found = {"status": "ok"}
        elif (method, path) == ("POST", "/_control"):
            try:
                self.control(json.loads(body))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                return answers.error_answer(400, str(error))
            found = {}
        elif (method, path) == ("POST", "/_reset"):
            self.ledger = Ledger(self.ledger.digest_payloads)
            found = {}
        elif (method, path) == ("GET", "/_stats"):
            found = self.ledger.stats()
            found["rules"] = [rule.applied for rule in self.rules]
        elif (method, path) == ("GET", "/_actions"):
            found = self.ledger.actions()
        elif (method, path) == ("GET", "/_lanes"):
            found = self.ledger.lane_effects
        else:
            return None
        return b"".join(answers.head_and_body(200, json.dumps(found).encode()))


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
        self.ledger = None      # the one that knows of the request
        self.request = None     # the dispatch under way
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
        while self.request is None and not self.transport.is_closing() and self.read_request():
            pass

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
            if path.endswith("/v1/dispatch") and self.gateway.rule("head") is not None:
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
        other = self.gateway.asked(method, path, headers, body)
        if other is not None:
            self.transport.write(other)
        else:
            self.dispatch(method, path, headers, body)
        return True

    def not_http(self):
        """What came is no request."""
        self.gateway.ledger.violation("http", "this is not HTTP/1.1")
        self.transport.write(answers.error_answer(400, "not HTTP/1.1"))
        self.transport.close()

    def dispatch(self, method, path, headers, body):
        """Check a dispatch and answer it."""
        gateway = self.gateway
        self.ledger = gateway.ledger
        try:
            check_head(method, path, headers, gateway.prefix, gateway.key)
            action = check_action(body)
        except BadRequest as bad:
            if bad.kind == "unauthorized":
                self.ledger.unauthorized += 1
            else:
                self.ledger.violation(bad.kind, bad.detail)
            self.transport.write(answers.error_answer(bad.status, str(bad)))
            return
        self.request = self.ledger.begin(action, body)
        action["attempt"] = self.request.attempt
        action["nth"] = self.request.number
        answer = gateway.rule("body", action)
        known = gateway.replay_protection and self.request.entry.effects > 0
        if answer is not None:
            if answers.takes_effect(answer) and not known:
                self.ledger.effect(self.request)
            self.task = asyncio.get_running_loop().create_task(self.answer(answer))
        elif known:
            self.write_and_finish(409, answers.error_answer(409, "this action was dispatched before"),
                                  "AlreadyDispatched")
        else:
            self.ledger.effect(self.request)
            self.write_and_finish(200, answers.SUCCESS, "Executed")

    async def answer(self, answer):
        """Answer as a rule says, however long that takes."""
        if "delay_ms" in answer:
            await asyncio.sleep(answer["delay_ms"] / 1000)
        if "reset" in answer:
            self.finish(None)
            self.reset()
            return
        if "raw" in answer:
            self.write_and_finish(None, answer["raw"].encode("latin-1"))
            self.transport.close()
            return
        status, head, body = answers.build(answer)
        outcome = answers.outcome_name(answer)
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
        elif self.buffer:
            self.data_received(b"")

    def write_and_finish(self, status, data, outcome=None):
        """The end of an answer."""
        self.transport.write(data)
        self.finish(status, outcome)

    def finish(self, status, outcome=None):
        """The dispatch under way, if there is one, is over."""
        if self.request is not None:
            self.ledger.end(self.request, status, outcome)
            self.request = None
            self.task = None

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
    gateway = Gateway(options.key, options.prefix)
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
    if options.stats_file is not None:
        with open(options.stats_file, "w", encoding="utf-8") as file:
            json.dump(gateway.ledger.stats(), file)


def main():
    parser = argparse.ArgumentParser(description="A stub of the gateway, for tests.")
    parser.add_argument("--port", type=int, default=0, help="port on loopback (default: a free one)")
    parser.add_argument("--key", default="test-key", help="API key to ask for")
    parser.add_argument("--prefix", default="", help="path before /v1/dispatch")
    parser.add_argument("--control", help="file with instructions, as for /_control")
    parser.add_argument("--stats-file", help="file to write the counts to at the end")
    parser.add_argument("--cert", help="PEM file with certificate and key: speak TLS")
    parser.add_argument("--client-ca", help="PEM file: ask clients for a certificate of this authority")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
