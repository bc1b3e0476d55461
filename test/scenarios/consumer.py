#!/usr/bin/env python3
"""A consumer of the outbox, as simple as can be: what the SQL side promises, without a relay's cleverness.

    consumer.py --database DSN --gateway-url URL --api-key-file FILE --consumer NAME
                [--request-timeout S] [--lease S] [--concurrency N]

It claims, sends, and says what came of it: an outcome is acknowledged, a 409 as
AlreadyDispatched, 429 and the gateway's own 500 are known not executed, what cannot be
sent was not, and everything else is in doubt.
"""

import argparse
import asyncio
import json
import signal
import sys
import urllib.parse

import psycopg


class Consumer:
    """One consumer."""

    def __init__(self, options):
        self.options = options
        url = urllib.parse.urlsplit(options.gateway_url)
        self.host, self.port = url.hostname, url.port
        with open(options.api_key_file, encoding="utf-8") as file:
            self.key = file.read().strip()
        self.over = False
        self.free = asyncio.Semaphore(options.concurrency)
        self.connection = None
        self.leases = {}        # token: actions that are still out
        self.said = []          # what is to be recorded
        self.wake = asyncio.Event()

    async def connect(self):
        """The connection to the database, a new one if it is gone."""
        while self.connection is None or self.connection.closed:
            try:
                self.connection = await psycopg.AsyncConnection.connect(self.options.database, autocommit=True)
                await self.connection.execute("SET statement_timeout = '5s'")
            except psycopg.Error as error:
                print(f"cannot connect: {error}", file=sys.stderr, flush=True)
                await asyncio.sleep(0.2)
        return self.connection

    async def query(self, sql, *values):
        """Run a statement; None if it fails."""
        try:
            connection = await self.connect()
            cursor = await connection.execute(sql, values)
            return await cursor.fetchall()
        except psycopg.Error as error:
            print(f"failed: {error}", file=sys.stderr, flush=True)
            if self.connection is not None and self.connection.broken:
                await self.connection.close()
            return None

    async def post(self, action):
        """Send an action: status, headers, body; or "unsent", or "cut"."""
        sent = False
        try:
            reader, writer = await asyncio.open_connection(self.host, self.port)
        except OSError as error:
            return "unsent", {}, str(error).encode()
        try:
            body = action.encode()
            writer.write(f"POST /v1/dispatch HTTP/1.1\r\nHost: {self.host}\r\nContent-Type: application/json\r\n"
                         f"Authorization: Bearer {self.key}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
            sent = True
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
            return int(lines[0].split()[1]), headers, await reader.readexactly(int(headers["content-length"]))
        except (OSError, asyncio.IncompleteReadError, ValueError, KeyError) as error:
            return "cut" if sent else "unsent", {}, str(error).encode()
        finally:
            writer.close()

    async def deliver(self, row):
        """Send an action, and note what came of it."""
        outbox_id, token, action_id, action = row
        try:
            status, headers, body = await asyncio.wait_for(self.post(action), self.options.request_timeout)
        except asyncio.TimeoutError:
            status, headers, body = "cut", {}, b"timed out"
        finally:
            self.free.release()
        try:
            found = json.loads(body)
        except ValueError:
            found = None
        said = f"{status}: {body[:200].decode('utf-8', 'replace')}".replace("\0", "")
        own = isinstance(found, dict) and "error" in found
        if status == 200 and isinstance(found, (dict, str)):
            self.note("ack", row, json.dumps(found))
        elif status == 409:
            self.note("ack", row, json.dumps({"AlreadyDispatched": found}))
        elif status == 429:
            self.note("wait", row, None, f"{headers.get('retry-after', '1')} s")
        elif status == 500 and own:
            self.note("nack", row, said)
        elif status == "unsent":
            self.note("unsent", row, None, "0.3 s")
        elif status in (400, 413, 415, 422):
            self.note("reject", row, said)
        else:
            self.note("doubt", row, said)

    def note(self, what, row, text, after=None):
        """Something is to be recorded."""
        self.said.append((what, row[0], row[1], str(row[2]), text, after))
        self.wake.set()

    async def record(self):
        """Record what is noted."""
        said, self.said = self.said, []
        kinds = {}
        for one in said:
            kinds.setdefault(one[0], []).append(one)
        for what, ones in kinds.items():
            columns = [list(column) for column in zip(*ones)]
            _, ids, tokens, actions, texts, afters = columns
            while True:
                if what == "ack":
                    done = await self.query("SELECT acteon_outbox_ack(%s::bigint[], %s::bigint[], %s::jsonb[], %s::uuid[])", ids, tokens, texts, actions)
                elif what in ("doubt", "reject"):
                    done = await self.query(f"SELECT acteon_outbox_{what}(%s::bigint[], %s::bigint[], %s::text[], %s::uuid[])", ids, tokens, texts, actions)
                else:
                    seen = [None] * len(ids) if what == "unsent" else actions
                    done = await self.query("SELECT * FROM acteon_outbox_nack(%s::bigint[], %s::bigint[], %s::text[], %s::interval[], %s::uuid[])",
                                            ids, tokens, texts, afters, seen)
                if done is not None or self.over:
                    break
                await asyncio.sleep(0.2)
            for token in tokens:
                self.leases[token] -= 1
                if self.leases[token] == 0:
                    del self.leases[token]

    async def heartbeat(self):
        """Prolong what is held."""
        while not self.over:
            await asyncio.sleep(self.options.lease / 4)
            if self.leases:
                await self.serial("SELECT acteon_outbox_extend(%s::bigint[], %s::interval)", list(self.leases), f"{self.options.lease} s")

    async def serial(self, sql, *values):
        """A statement on a connection of its own."""
        try:
            async with await psycopg.AsyncConnection.connect(self.options.database, autocommit=True) as connection:
                await connection.execute(sql, values)
        except psycopg.Error as error:
            print(f"failed: {error}", file=sys.stderr, flush=True)

    async def run(self):
        """Work until it is told to end."""
        beats = asyncio.create_task(self.heartbeat())
        tasks = set()
        while not self.over or tasks:
            if not self.over:
                rows = await self.query("SELECT outbox_id, lease_token, action_id, action::text FROM acteon_outbox_claim(%s, %s, %s::interval)",
                                        self.options.consumer, 50, f"{self.options.lease} s") or []
                for row in rows:
                    self.leases[row[1]] = self.leases.get(row[1], 0) + 1
                for row in rows:
                    await self.free.acquire()
                    task = asyncio.create_task(self.deliver(row))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                    if self.said:
                        await self.record()
            if self.said:
                await self.record()
            elif self.over or not rows:
                try:
                    await asyncio.wait_for(self.wake.wait(), 0.1)
                except asyncio.TimeoutError:
                    pass
            self.wake.clear()
        await self.record()
        beats.cancel()


async def main():
    parser = argparse.ArgumentParser(description="A consumer of the outbox, as simple as can be.")
    for name in ("--database", "--gateway-url", "--api-key-file", "--consumer"):
        parser.add_argument(name, required=True)
    seconds = lambda text: float(text.removesuffix("s"))
    parser.add_argument("--request-timeout", type=seconds, default=15)
    parser.add_argument("--lease", type=seconds, default=3)
    parser.add_argument("--concurrency", type=int, default=16)
    consumer = Consumer(parser.parse_args())

    def end():
        consumer.over = True
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)
    await consumer.run()


if __name__ == "__main__":
    asyncio.run(main())
