#!/usr/bin/env python3
"""Nonsense for the HTTP server.

    fuzz.py PORT SEED SECONDS KEY

Sends requests that are right, nearly right and not at all, over several connections
at once, with KEY as the API key of most.  Every complete answer must be HTTP, of a
status that the interface has, and, if it is the server's own and not the library's,
JSON.  Says in the end, in JSON, how often which status came; ends with 1, and says
what was sent, if an answer was wrong.
"""

import collections
import json
import os
import random
import re
import socket
import sys
import threading
import time
import urllib.request

import wire

CLIENTS = 6
# How long nothing has come when no more is waited for, and after which a request that
# was right is given up.
QUIET = 0.15
PATIENCE = 60

# Of the interface, then of the library.
STATUSES = {200, 400, 401, 403, 404, 405, 413, 422, 501, 503, 504}
LIBRARY_STATUSES = {400, 413, 414, 431, 505}

ROUTES = [
    ("POST", "/v1/audit/replay"), ("POST", "/v1/audit/replay"), ("POST", "/v1/audit/replay"),
    ("POST", "/v1/audit/fuzz-%d/replay"), ("POST", "/v1/audit/fuzz-%d/replay"), ("POST", "/v1/audit/fuzz-%d/replay"),
    ("GET", "/v1/audit"), ("GET", "/v1/audit/fuzz-%d"), ("POST", "/v1/dispatch"),
    ("GET", "/v1/replay/batches"), ("GET", "/v1/replay/batches/%d"),
    ("POST", "/v1/replay/batches/%d/pause"), ("POST", "/v1/replay/batches/%d/resume"), ("POST", "/v1/replay/batches/%d/cancel"),
    ("GET", "/health"), ("GET", "/metrics"), ("GET", "/openapi.json"),
]
METHODS = ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "get", "", "POST\t", "G\x00T", "M" * 300]
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "src", "query", "options.def"), encoding="utf-8") as table:
    PARAMETERS = re.findall(r'"([a-z_]+)",(?: [A-Z]+, CALL|$)', table.read(), re.MULTILINE) + ["batch_id", "x", ""]
TEXTS = [
    "", "acme", "prod", "failed", "executed", "pending", "true", "false", "1", "0", "TRUE", "yes", "keep", "drop", "hold", "failed,circuit_open", "-1", "-0", "+5", "1e3", "1E+1", "2.0", "25e-1", "1e999", "-1e-999",
    "NaN", "Infinity", "0x10", "00", "1.", ".5", "0.5", "2147483647", "2147483648", "9223372036854775807", "9223372036854775808", "9" * 30, "9" * 400,
    "2026-01-01T00:00:00Z", "2026-01-01T00:00:00+02:00", "2026-01-01T00:00:00+0200", "2026-01-01T00:00:00-02", "2026-01-01 00:00:00 02:00", "2026-13-45T99:99:99Z", "0000-00-00T00:00:00Z", "294277-01-01T00:00:00Z",
    "infinity", "-infinity", "now", "epoch", "2026-06-30T23:59:60Z", "2026-01-01T00:00:00.123456789123Z",
    "'; DROP TABLE acteon_audit; --", "$1", "$$", "\\", "\\'", '"', "{}", '{"a": ', "[]", '["fuzz-1", "fuzz-2"]', "fuzz-1,fuzz-2", '[1, null]', '{"provider": "email"}', '{"exclude": {}}', "[" * 2000, "$.a ? (@ == 7)", "$[", "$.a.datetime() < \"2026-01-01T00:00:00Z\".datetime()", "%time\\", "%time%", "null", "%", "%%", "%s%n%x", "\u00e4\u20ac\U0001f600", "\ufeff", "\u202e", "a" * 5000,
    "\n", "\r\nX-Split: 1", "\t", "\x7f", "\x01",
]
ENCODED = ["%00", "%ff", "%c0%80", "%ed%a0%80", "%f4%90%80%80", "%2f", "%2F..%2f", "%zz", "%", "%4", "%25", "+", "%0d%0a", "%20", "%u1234", "\xff", "\xc3\xa9", "%e2%82%ac", "&", "=", ";", "#", "?", "/../", "//"]
HEADERS = [
    "Accept: */*", "Accept-Encoding: gzip, br", "Connection: close", "Connection: keep-alive", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "Expect: 100-continue", "Expect: 200-ok",
    "Content-Type: application/json", "Content-Encoding: gzip", "Range: bytes=0-1", "Cookie: a=b; c", "Cookie: " + "a=b;" * 300, "X-Forwarded-For: 127.0.0.1", "TE: trailers", "Host: b",
    "Content-Length: 0", "Content-Length: 5", "Content-Length: -1", "Content-Length: 99999999999999999999999", "Content-Length: 0x5", "Content-Length: 5, 5", "Content-Length:", "Content-Length : 5",
    "Transfer-Encoding: chunked", "Transfer-Encoding: gzip", "Transfer-Encoding: chunked, chunked", "Transfer-Encoding: CHUNKED", "Transfer-Encoding:\tchunked",
    "no colon", ": no name", " folded: line", "\tfolded", "X: " + "y" * 9000, "X\x00Y: z", "X: a\x00b", "X: a\rb", "\xff: \xff", "X-Method-Override: DELETE", "Host", "If-None-Match: *",
]
JUNK = [b"\x00", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b":", b"/", b"?", b"%", b"\xff", b"\x80", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/9.9", b"HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00", b"0\r\n\r\n", b"ffffffffffffffff\r\n"]


def described(port):
    """Names of the parameters of each operation that the server describes, by its method and path."""
    with urllib.request.urlopen("http://127.0.0.1:%d/openapi.json" % port, timeout=PATIENCE) as answer:
        document = json.load(answer)
    return {(method.upper(), re.sub(r"\{\w+\}", "*", path)): [parameter["name"] for parameter in operation.get("parameters", []) if parameter.get("in") == "query"]
            for path, item in document["paths"].items() for method, operation in item.items() if method in ("get", "post")}


class Wrong(Exception):
    """An answer that must not be."""


class Client(threading.Thread):
    """Makes things up and sends them until it is time."""

    def __init__(self, port, parameters, seed, until, key):
        super().__init__(daemon=True)
        self.port = port
        self.parameters = parameters
        self.random = random.Random(seed)
        self.until = until
        self.key = key
        self.statuses = collections.Counter()
        self.connections = 0
        self.wrong = None
        self.sent = b""

    def chance(self, share):
        return self.random.random() < share

    def pick(self, values):
        return self.random.choice(values)

    def encode(self, text):
        """Percent-encode a text as a client does, or not quite."""
        if self.chance(0.1):
            return text
        return "".join(c if c.isascii() and c.isalnum() else "".join(f"%{byte:02X}" for byte in c.encode("utf-8", "surrogatepass")) for c in text)

    def bytes_of(self, length):
        return bytes(self.random.randrange(256) for _ in range(length))

    def query(self, known):
        """A query string: of parameters that are known, since one that is not spoils it, or of any."""
        names = known if known and self.chance(0.8) else PARAMETERS
        pairs = []
        for _ in range(self.random.choice((0, 1, 1, 2, 2, 3, 5, 40 if self.chance(0.1) else 4))):
            name = self.pick(names)
            # Few shall wait, and nobody for long.
            value = self.pick(("0", "0.02", "0.1", "-1", "61", "x", "")) if name == "wait" else self.pick(TEXTS)
            pairs.append(self.encode(name) + self.pick(("=", "=", "=", "", "==")) + (self.encode(value) if self.chance(0.9) else self.pick(ENCODED)))
        return ("?" + self.pick(("&", "&", "&", "&&", ";")).join(pairs)) if pairs or self.chance(0.1) else ""

    def target(self):
        method, path = self.pick(ROUTES)
        known = self.parameters.get((method, re.sub(r"(fuzz-)?%d", "*", path)))
        if "%d" in path:
            path = path.replace("%d", str(self.random.randrange(1, 400)) if self.chance(0.9) else self.encode(self.pick(TEXTS)))
        if self.chance(0.1):
            place = self.random.randrange(len(path) + 1)
            path = path[:place] + self.pick(ENCODED) + path[place:]
        if self.chance(0.02):
            path = self.pick(("*", "http://127.0.0.1/health", "//health", "/", "", "/" + "a" * self.random.randrange(40000), "/v1/audit//replay", "/v1/audit/replay/replay"))
        if self.chance(0.08):
            method = self.pick(METHODS)
        return method, path + (self.query(known) if self.chance(0.7) else "")

    def credentials(self):
        roll = self.random.random()
        if roll < 0.45:
            return [f"Authorization: Bearer {self.key}"]
        if roll < 0.9:
            return [f"X-API-Key: {self.key}"]
        return self.pick(([], ["Authorization: Bearer"], ["Authorization: Basic YTpi"], [f"authorization:bearer   {self.key}"], ["X-API-Key:"], ["X-API-Key: wrong"],
                          [f"X-API-Key: {self.key}", "X-API-Key: other"], ["Authorization: Bearer " + "k" * 9000], [f"Authorization: Bearer {self.key}\x00"]))

    def body(self):
        """A body and the headers that go with it, mostly."""
        if self.chance(0.5):
            return ["Content-Length: 0"], b""
        # Only a body that says nothing is taken.
        data = self.pick((b"{}", b" { }\r\n", b" " * 100, self.bytes_of(1), self.bytes_of(10), self.bytes_of(200))) if self.chance(0.97) else b"z" * self.random.choice((4096, 4097, 9000, 70000))
        if self.chance(0.5):
            return [f"Content-Length: {len(data) + (self.pick((-1, 1, 50)) if self.chance(0.1) else 0)}"], data
        chunks = b""
        rest = data
        while rest:
            size = self.random.randint(1, len(rest))
            extension = self.pick((b"", b"", b";a=b", b";\x00", b" ")) if self.chance(0.2) else b""
            chunks += b"%x" % size + extension + b"\r\n" + rest[:size] + self.pick((b"\r\n",) * 30 + (b"\n", b"", b"\r"))
            rest = rest[size:]
        return ["Transfer-Encoding: chunked"], chunks + self.pick((b"0\r\n\r\n",) * 10 + (b"0\r\nTrailer: x\r\n\r\n", b"0\r\n", b"00000\r\n\r\n", b"-1\r\n\r\n", b"zz\r\n", b""))

    def request(self):
        """A request; and whether it is one that must be answered, by its method then."""
        method, target = self.target()
        lines = ["Host: 127.0.0.1", *self.credentials()]
        body = b""
        if method in ("POST", "PUT", "PATCH") or self.chance(0.05):
            headers, body = self.body()
            lines += headers
        if self.chance(0.25):
            key = self.pick((f"key-{self.random.randrange(500)}", f'"quoted-{self.random.randrange(50)}"', "k" * 255, "k" * 256, "", '"', '""', "\xff\xfe", "\x01", "a\x00b", self.pick(TEXTS)))
            lines.append(f"Idempotency-Key: {key}")
        for _ in range(self.random.choice((0, 0, 0, 1, 2))):
            lines.append(self.pick(HEADERS))
        if self.chance(0.05):
            self.random.shuffle(lines)
        version = self.pick(("HTTP/1.1",) * 30 + ("HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.1 ", "HTTP", ""))
        end = "\n" if self.chance(0.02) else "\r\n"
        text = end.join([f"{method} {target} {version}", *lines]) + end + end
        data = text.encode("latin-1", "surrogateescape") if all(ord(c) < 256 for c in text) else text.encode("utf-8", "surrogatepass")
        return data + body, method

    def mutate(self, data):
        """Change some bytes."""
        data = bytearray(data)
        for _ in range(self.random.choice((1, 1, 2, 8))):
            place = self.random.randrange(len(data) + 1)
            what = self.random.randrange(5)
            if what == 0 and place < len(data):
                data[place] = self.random.randrange(256)
            elif what == 1:
                del data[place:place + self.random.randint(1, 20)]
            elif what == 2:
                data[place:place] = self.pick(JUNK)
            elif what == 3:
                data[place:place] = data[place:place + self.random.randint(1, 200)]
            else:
                del data[place:]
        return bytes(data)

    def check(self, answer):
        """An answer that is complete."""
        self.statuses[answer.status] += 1
        if answer.status == 100:
            return
        kind = answer.headers.get("content-type")
        if kind is None:
            # The library's.
            if answer.status not in LIBRARY_STATUSES or not answer.is_last():
                raise Wrong(f"not ours: {answer}")
            return
        if answer.status not in STATUSES and answer.status != 431:
            raise Wrong(f"no status of ours: {answer}")
        if answer.body and kind == "application/json":
            content = answer.json()
            if answer.status not in (200, 503) and (list(content)[:4] != ["error", "code", "type", "title"]
                    or not all(isinstance(value, str) for value in content.values())
                    or content["request_id"] != answer.headers.get("x-request-id")):
                raise Wrong(f"no error: {answer}")
        elif answer.body and not (answer.status == 200 and kind.startswith(("text/plain", "text/html"))):
            raise Wrong(f"neither JSON, nor metrics, nor the page: {answer}")

    def read(self, connection, methods):
        """Take answers until nothing comes any more."""
        data = b""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            found = wire.parse_answer(data, methods[0] if methods else "GET")
            if found is not None:
                answer, data = found
                self.check(answer)
                if answer.status != 100 and methods:
                    methods.pop(0)
                # After its last one the library may say its head twice.
                if answer.is_last() or (not methods and not data and self.chance(0.9)):
                    return
                continue
            try:
                more = connection.recv(65536)
            except TimeoutError:
                return
            except ConnectionError:
                return
            if not more:
                return
            data += more

    def converse(self):
        """One connection."""
        requests = [self.request() for _ in range(self.random.choice((1, 1, 1, 2, 3, 8)))]
        data = b"".join(request for request, _ in requests)
        is_sure = len(requests) == 1
        if self.chance(0.3):
            data = self.mutate(data)
            is_sure = False
        if self.chance(0.02):
            data = self.bytes_of(self.random.randrange(2000))
        self.sent = data
        self.connections += 1
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as connection:
            try:
                while data:
                    size = len(data) if self.chance(0.8) else self.random.randint(1, len(data))
                    connection.sendall(data[:size])
                    data = data[size:]
                if self.chance(0.1):
                    return
                if self.chance(0.1):
                    connection.shutdown(socket.SHUT_WR)
            except OSError:
                # It was let go: what it was told may be lost, or not.
                pass
            connection.settimeout(QUIET)
            try:
                self.read(connection, [method for _, method in requests])
            except wire.Malformed:
                # Whoever has sent nonsense may not know which answer is the one without a body: a HEAD may have come of
                # it, or what was a HEAD is none any more.
                if is_sure or (b"HEAD" not in self.sent and all(method != "HEAD" for _, method in requests)):
                    raise

    def run(self):
        try:
            while time.monotonic() < self.until:
                self.converse()
        except (Wrong, wire.Malformed, OSError) as problem:
            self.wrong = f"{problem!r}\nafter {self.sent!r:.8000}"


def main():
    port, seed, seconds, key = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    until = time.monotonic() + seconds
    parameters = described(port)
    clients = [Client(port, parameters, seed * CLIENTS + number, until, key) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    statuses = sum((client.statuses for client in clients), collections.Counter())
    print(json.dumps({"connections": sum(client.connections for client in clients), "statuses": {str(status): count for status, count in sorted(statuses.items())}}))
    wrong = [client.wrong for client in clients if client.wrong is not None]
    for text in wrong:
        print(text, file=sys.stderr)
    return 1 if wrong else 0


sys.exit(main())
