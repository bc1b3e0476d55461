#!/usr/bin/env python3
"""Many clients of an HTTP server, which keep their connections.

    crowd.py PORT COUNT

Opens COUNT connections, makes a request over each, says "there" and waits for a
line.  Makes a request over each again, and says how many of them were answered.
Ends, with all its connections, at the next line.
"""

import resource
import sys

import wire

REQUEST = wire.request("GET", "/openapi.json")


def ask(connection):
    """Make a request; is it answered?"""
    connection.send(REQUEST)
    answer = connection.answer()
    return answer is not None and answer.status == 200


def main():
    port, count = int(sys.argv[1]), int(sys.argv[2])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count + 50:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count + 50, hard))
    connections = [wire.Connection(port) for _ in range(count)]
    print("there" if all([ask(connection) for connection in connections]) else "refused", flush=True)
    sys.stdin.readline()
    print(sum([ask(connection) for connection in connections]), flush=True)
    sys.stdin.readline()


main()
