#!/usr/bin/env python3
"""Many clients of an HTTP server, which keep their connections.

    crowd.py PORT COUNT

Opens COUNT connections, makes a request over each, says "there" and waits for a
line.  Makes a request over each again, and says how many of them were answered.
Ends, with all its connections, at the next line.
"""

import resource
import socket
import sys

REQUEST = b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def ask(connection):
    """Make a request; is it answered, in whole?"""
    connection.sendall(REQUEST)
    got = b""
    while b"\r\n\r\n" not in got:
        more = connection.recv(65536)
        if not more:
            return False
        got += more
    head, body = got.split(b"\r\n\r\n", 1)
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    while len(body) < length:
        more = connection.recv(65536)
        if not more:
            return False
        body += more
    return head.startswith(b"HTTP/1.1 200 ")


def main():
    port, count = int(sys.argv[1]), int(sys.argv[2])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count + 50:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY and hard < count + 50 else count + 50, hard))
    connections = [socket.create_connection(("127.0.0.1", port), timeout=120) for _ in range(count)]
    print("there" if all([ask(connection) for connection in connections]) else "refused", flush=True)
    sys.stdin.readline()
    print(sum([ask(connection) for connection in connections]), flush=True)
    sys.stdin.readline()


main()
