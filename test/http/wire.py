"""HTTP/1.1 as the tests of the server need it: requests as bytes, and a parser of
answers that takes nothing which is not well-formed."""

import json
import re
import socket

STATUS_LINE = re.compile(rb"HTTP/1\.1 (\d{3}) [\x20-\x7e]+\Z")
HEADER_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\x20-\x7e\x80-\xff]*)\Z")


class Malformed(Exception):
    """Something that is no answer of HTTP."""


class Answer:
    """An answer: status, headers by their names in lower case, body."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def json(self):
        """The body, decoded; it must be JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise Malformed(f"no JSON: {self.body[:200]!r}") from None

    def is_last(self):
        """Will the connection be closed after it?"""
        return self.headers.get("connection", "").lower() == "close"

    def __repr__(self):
        return f"{self.status} {self.body[:300]!r}"


def parse_answer(data, method):
    """The first answer in some bytes and what is left of them; None while it is not complete."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    first, *lines = data[:end].split(b"\r\n")
    match = STATUS_LINE.match(first)
    if match is None:
        raise Malformed(f"no status line: {first[:200]!r}")
    status = int(match[1])
    headers = {}
    for line in lines:
        match = HEADER_LINE.match(line)
        if match is None:
            raise Malformed(f"no header: {line[:200]!r}")
        name = match[1].decode().lower()
        if name in headers:
            raise Malformed(f"header twice: {line[:200]!r}")
        headers[name] = match[2].decode("latin-1").strip()
    rest = data[end + 4:]
    if status == 100:
        return Answer(status, headers, b""), rest
    if not headers.get("content-length", "").isdigit():
        raise Malformed(f"no length: {data[:300]!r}")
    length = 0 if method == "HEAD" else int(headers["content-length"])
    if len(rest) < length:
        return None
    return Answer(status, headers, rest[:length]), rest[length:]


def request(method, path, headers=(), body=None):
    """A request as bytes."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers)]
    if body is not None or method == "POST":
        lines.append(f"Content-Length: {len(body or b'')}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")


class Connection:
    """A connection that waits for what it reads."""

    def __init__(self, port, timeout=120):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.data = b""

    def send(self, data):
        self.socket.sendall(data)

    def answer(self, method="GET"):
        """The next answer; None if there is none to the end of the connection."""
        while (found := parse_answer(self.data, method)) is None:
            more = self.socket.recv(65536)
            if not more:
                return None
            self.data += more
        answer, self.data = found
        return answer if answer.status != 100 else self.answer(method)

    def close(self):
        self.socket.close()
