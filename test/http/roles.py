#!/usr/bin/env python3
"""Requests of several API keys, mixed over the same connections: each must get the
answer of its own key.

    roles.py PORT SEED COUNT KEYS

KEYS is a file of JSON: by name, an object of key and role.  "acme" and "globex" are
of operators of these tenants, "viewer" of one who may not replay, "leaver" of an
operator of acme, "expired" and "unknown" open nothing.  Half-way it says "half" and
waits for a line, before which the key of "leaver" must be revoked.  An Idempotency-Key
"held" makes a request wait until it is cancelled.  Says in the end, in JSON, how
many requests got which status, and ends with 1 if an answer was wrong.
"""

import asyncio
import collections
import json
import random
import sys

import wire

CONNECTIONS = 16
MOST_PIPELINED = 4

# What may come of any request on a busy machine: nothing was done.
PASSING = (503, 504)


class Load:
    def __init__(self, port, seed, count, keys):
        self.port = port
        self.random = random.Random(seed)
        self.count = count
        self.keys = keys
        self.begun = 0
        self.is_revoked = False  # for sure; until then, from half on, perhaps
        self.is_half = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self.statuses = collections.Counter()
        self.wrong = []
        self.batches = {"acme": [], "globex": []}
        self.nothing = 0  # bulk replays that came at the same moment as another one
        self.holding = asyncio.Lock()

    def headers(self, who, idempotency_key=None):
        key = self.keys[who]["key"]
        headers = [("X-API-Key", key) if self.random.random() < 0.5 else ("Authorization", f"Bearer {key}")]
        if idempotency_key is not None:
            headers.append(("Idempotency-Key", idempotency_key))
        return headers

    def replay(self, who, action, idempotency_key=None):
        path = f"/v1/audit/{action}/replay?reason={self.keys[who]['role']}"
        return wire.request("POST", path, self.headers(who, idempotency_key))

    def choose(self):
        """A request, and what checks its answer: returns None, or what is wrong."""
        number = self.begun
        self.begun += 1
        who = self.random.choice(("acme", "globex"))
        other = "globex" if who == "acme" else "acme"
        kind = self.random.randrange(16)

        def error(status, text):
            return lambda answer: answer.status == status and answer.json()["error"] == text

        def done(action):
            return lambda answer: answer.status == 200 and answer.json()["original_action_id"] == action

        if kind == 0:
            return self.replay(who, f"{other}-{number}"), error(403, "no grant covers this audit record")
        if kind == 1:
            return self.replay(who, f"missing-{number}"), error(404, f"no audit record found for action: missing-{number}")
        if kind == 2:
            return (self.replay(who, f"{who}-nothing"),
                    error(422, "audit record has no stored payload (privacy mode was enabled)"))
        if kind == 3:
            return (self.replay("viewer", f"{who}-{number}"),
                    error(403, "insufficient permissions: replay requires admin or operator role"))
        if kind == 4:
            key = self.random.choice(("unknown", "expired"))
            return self.replay(key, f"{who}-{number}"), lambda answer: answer.status == 401
        if kind == 5:
            revoked = self.is_revoked
            half = self.is_half.is_set()
            action = f"leaver-{number}"

            def left(answer):
                if revoked:
                    return answer.status == 401
                return (answer.status == 401 and (half or self.is_half.is_set())) or done(action)(answer)

            return self.replay("leaver", action), left
        if kind == 6:
            return self.bulk(who, number)
        if kind == 7:
            return (wire.request("POST", f"/v1/audit/replay?tenant={other}&limit=5&reason={self.keys[who]['role']}", self.headers(who)),
                    lambda answer: answer.status == 200 and answer.json()["replayed"] == 0 and answer.json()["results"] == [])
        if kind == 8:
            return (wire.request("GET", "/v1/replay/batches?limit=3", self.headers(who)),
                    lambda answer: answer.status == 200 and all(batch["requested_by"] in self.may_see(who) for batch in answer.json()["batches"]))
        if kind == 9 and self.batches[other]:
            batch = self.random.choice(self.batches[other])
            return wire.request("GET", f"/v1/replay/batches/{batch}", self.headers(who)), error(404, f"batch {batch} does not exist")
        if kind == 10:
            # Both use the same ones, and each gets the answer to its own.
            return self.replay(who, f"{who}-same", f"same-{number % 50}"), done(f"{who}-same")
        if kind in (11, 12):
            return self.replay(who, f"{who}-{number}", f"once-{number}"), done(f"{who}-{number}")
        return self.replay(who, f"{who}-{number}"), done(f"{who}-{number}")

    def may_see(self, who):
        """Roles whose batches a key's role may see: those of its own tenant."""
        return {self.keys[name]["role"] for name in ((who, "leaver") if who == "acme" else (who,))}

    def bulk(self, who, number):
        """A bulk replay, of whatever is there of its own tenant: always the same records, so
        one that has waited for another one may find that all of them were just replayed."""
        path = f"/v1/audit/replay?limit=2&include_replayed=true&tenant={who}&reason={self.keys[who]['role']}"

        def check(answer):
            if answer.status != 200:
                return False
            items = answer.json()["results"]
            if items == []:
                self.nothing += 1
                return "acteon-batch-id" not in answer.headers
            self.batches[who].append(answer.headers["acteon-batch-id"])
            return all(item["original_action_id"].split("-")[0] in (who, "leaver" if who == "acme" else who) for item in items)

        return wire.request("POST", path, self.headers(who)), check

    def judge(self, data, check, answer):
        self.statuses[answer.status] += 1
        try:
            good = answer.status in PASSING or check(answer)
        except (wire.Malformed, KeyError, TypeError) as problem:
            good, answer = False, f"{answer}: {problem!r}"
        if not good:
            self.wrong.append(f"{data.decode()}{answer}")

    async def half(self):
        """Half-way a key is revoked."""
        self.is_half.set()
        print("half", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        self.is_revoked = True
        self.may_go_on.set()

    async def client(self):
        """One connection, over which all keys make requests, some at once."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        data = b""
        while self.begun < self.count and len(self.wrong) < 10:
            asked = [self.choose() for _ in range(self.random.randint(1, MOST_PIPELINED))]
            if self.begun >= self.count // 2 and not self.is_half.is_set():
                await self.half()
            writer.write(b"".join(request for request, _ in asked))
            for request, check in asked:
                while (found := wire.parse_answer(data, "POST")) is None:
                    more = await reader.read(65536)
                    if not more:
                        self.wrong.append(f"{request.decode()}no answer")
                        return
                    data += more
                answer, data = found
                self.judge(request, check, answer)
        writer.close()

    async def leave(self):
        """Clients that go away in the middle, and requests that take too long."""
        number = 0
        while self.begun < self.count and len(self.wrong) < 10:
            number += 1
            who = self.random.choice(("acme", "globex"))
            held = number % 4 == 0
            async with self.holding:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.write(self.replay(who, f"{who}-left{number % 100}", "held" if held else None))
                if number % 40 == 0:
                    # Until the statement's time-out.
                    answer = wire.parse_answer(await reader.readuntil(b"}"), "POST")
                    self.judge(b"held: ", lambda answer: False, answer[0])
                else:
                    await asyncio.sleep(self.random.random() * 0.005)
                writer.close()
            await asyncio.sleep(0.005)

    async def run(self):
        await asyncio.gather(self.leave(), self.leave(), *(self.client() for _ in range(CONNECTIONS)))
        print(json.dumps({str(status): count for status, count in sorted(self.statuses.items())}), flush=True)
        if self.nothing > sum(map(len, self.batches.values())) / 2:
            self.wrong.append(f"{self.nothing} bulk replays have found nothing")
        for wrong in self.wrong[:5]:
            print(wrong, file=sys.stderr)
        return 1 if self.wrong else 0


async def main():
    port, seed, count, keys = sys.argv[1:]
    with open(keys, encoding="utf-8") as file:
        load = Load(int(port), int(seed), int(count), json.load(file))
    return await load.run()


sys.exit(asyncio.run(main()))
