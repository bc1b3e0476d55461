#!/usr/bin/env python3
"""Live traffic: dispatches to the gateway at a steady rate, whatever it answers.

    live.py --port N --key KEY --rate R --seconds S --settle T

Dispatches are evenly spaced, each on a kept-alive connection that is free.  Prints
how many there were after the first T seconds, the median and the 99th percentile of
their times in milliseconds, and the 99th percentile of those before; ends with 1 if
one was not executed.
"""

import argparse
import asyncio
import json
import time
import uuid


class Client:
    """Connections to the gateway, used again and again."""

    def __init__(self, port, key):
        self.port = port
        self.head = f"POST /v1/dispatch HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n" \
                    f"Authorization: Bearer {key}\r\n"
        self.free = []
        self.counts_from = 0
        self.times = []
        self.early_times = []
        self.failures = []

    async def dispatch(self):
        """One dispatch; its time counts."""
        action = {"id": str(uuid.uuid4()), "namespace": "prod", "tenant": "live", "provider": "email",
                  "action_type": "send_email", "payload": {"to": "somebody@example.com"}, "metadata": {},
                  "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        body = json.dumps(action)
        if not self.free:
            self.free.append(await asyncio.open_connection("127.0.0.1", self.port))
        reader, writer = self.free.pop()
        began = time.monotonic()
        writer.write(f"{self.head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        answer = await reader.readexactly(int(length.split(b":")[1]))
        times = self.times if began >= self.counts_from else self.early_times
        times.append((time.monotonic() - began) * 1000)
        if b" 200 " not in head.split(b"\r\n")[0] or not answer.startswith(b'{"Executed"'):
            self.failures.append(answer)
        self.free.append((reader, writer))


async def run(options):
    """Dispatch, evenly spaced, and wait for the last answer."""
    client = Client(options.port, options.key)
    tasks = []
    began = time.monotonic()
    client.counts_from = began + options.settle
    for n in range(int(options.rate * (options.settle + options.seconds))):
        await asyncio.sleep(max(0, began + n / options.rate - time.monotonic()))
        tasks.append(asyncio.create_task(client.dispatch()))
    await asyncio.gather(*tasks)
    return client


def percentile(times, part):
    """What a part of the times does not exceed."""
    return sorted(times)[int(part * (len(times) - 1))]


def main():
    parser = argparse.ArgumentParser(description="Live traffic: dispatches at a steady rate.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--rate", type=float, default=30)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--settle", type=float, default=5)
    client = asyncio.run(run(parser.parse_args()))
    print(len(client.times), *(round(percentile(*of), 2) for of in
                               ((client.times, 0.5), (client.times, 0.99), (client.early_times, 0.99))))
    if client.failures:
        raise SystemExit(f"{len(client.failures)} were not executed, for example {client.failures[0]!r}")


if __name__ == "__main__":
    main()
