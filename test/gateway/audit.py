"""The audit trail: what the gateway writes about an action, and when.

From facts.md, sections 5, 6 and 9, and audit_records.jsonl.  Without compliance
mode a record is written in the background after the execution, whatever the client
does: what cannot be written then (the database is away, a U+0000) is lost and not
tried again, and what is still to be written is lost with the process.  In compliance
mode an intent is written before the execution, and an action whose intent cannot be
is not executed; the outcome is written before the answer, and if it cannot be the
action was executed all the same.  One record is one statement; many that wait are
sent together, and each still fails alone.

    "audit": {"compliance": true, "late_ms": n, "never": true, "fail": true,
              "fail_intents": p, "fail_outcomes": p, "hash_chain": true,
              "store_payload": false, "ttl_seconds": n, "redact": ["field", …], "placeholder": "…"}

"never" loses records silently, "fail" makes every write fail, p is a probability.
"""

import asyncio
import base64
import datetime
import hashlib
import json
import os
import re
import time
from collections import deque

from request_check import utc_text
from signing import canonical_hash

KEYS = {"compliance", "late_ms", "never", "fail", "fail_intents", "fail_outcomes", "hash_chain", "store_payload",
        "ttl_seconds", "redact", "placeholder"}
COLUMNS = {
    "id": "text", "action_id": "text", "namespace": "text", "tenant": "text", "provider": "text", "action_type": "text",
    "verdict": "text", "matched_rule": "text", "outcome": "text", "action_payload": "jsonb", "verdict_details": "jsonb",
    "outcome_details": "jsonb", "metadata": "jsonb", "dispatched_at": "timestamptz", "completed_at": "timestamptz",
    "duration_ms": "bigint", "expires_at": "timestamptz", "caller_id": "text", "auth_method": "text", "chain_id": "text",
    "record_hash": "text", "previous_hash": "text", "sequence_number": "bigint", "attachment_metadata": "jsonb",
    "signature": "text", "signer_id": "text", "canonical_hash": "text", "kid": "text"}
SYSTEM_KEYS = {"dedup_key": "__dedup_key", "fingerprint": "__fingerprint", "status": "__status"}
HASHED = sorted(["action_id", "action_type", "dispatched_at", "id", "namespace", "outcome", "previous_hash", "provider",
                 "tenant", "verdict"])
MOST_AT_ONCE = 100
WORD = re.compile(r"(?<!^)(?=[A-Z])")


class WriteFailed(Exception):
    """A record that could not be written."""


def uuid7():
    """A UUIDv7 as text."""
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    number = number & ~(0xF << 76) | 7 << 76
    number = number & ~(3 << 62) | 2 << 62
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def moment(seconds):
    """A time as a column has it."""
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).isoformat()


def offset_form(text):
    """A time of an outcome as its details have it."""
    return text.removesuffix("Z") + "+00:00"


def outcome_of(outcome):
    """The name and the details of an outcome, as a record has them."""
    name = outcome if isinstance(outcome, str) else next(iter(outcome))
    found = {} if isinstance(outcome, str) else outcome[name]
    if name == "Executed":
        found = {"status": "Success" if found["status"] == "success" else "Failure"}
    elif name == "Rerouted":
        found = {key: found[key] for key in ("new_provider", "original_provider")}
    elif name == "Throttled":
        found = {"retry_after_secs": found["retry_after"]["secs"]}
    elif name == "Grouped":
        found = {**found, "notify_at": offset_form(found["notify_at"])}
    elif name == "Scheduled":
        found = {**found, "scheduled_for": offset_form(found["scheduled_for"])}
    elif name == "PendingApproval":
        found = {"approval_id": found["approval_id"], "expires_at": offset_form(found["expires_at"]),
                 "notification_sent": found["notification_sent"]}
    return WORD.sub("_", name).lower(), found


def labels_of(action):
    """The metadata of a record: the labels, and over them the system keys of the fields that are set."""
    metadata = dict(action["metadata"])
    for field, key in SYSTEM_KEYS.items():
        if action[field] is not None:
            metadata[key] = action[field]
    for field in ("starts_at", "ends_at"):
        if action[field] is not None:
            metadata[f"__{field}"] = utc_text(action[field])
    return metadata


def attachments_of(action):
    """What a record keeps of the attachments: never the bytes; base64 that is none has no bytes."""
    kept = []
    for attachment in action.get("attachments") or []:
        try:
            size = len(base64.b64decode(attachment.get("data_base64", ""), validate=True))
        except ValueError:
            size = 0
        kept.append({**{key: attachment.get(key) for key in ("id", "name", "filename", "content_type")}, "size_bytes": size})
    return kept


def redacted(value, names, placeholder):
    """A payload without the values of some fields, at any depth: names and dotted paths, in any case of letters."""
    def cover(value, path):
        if isinstance(value, list):
            return [cover(item, path) for item in value]
        if not isinstance(value, dict):
            return value
        covered = {}
        for key, item in value.items():
            here = f"{path}.{key}".lower() if path else key.lower()
            hit = any(here == name or ("." not in name and key.lower() == name) for name in names)
            covered[key] = placeholder if hit else cover(item, here)
        return covered
    return cover(value, "")


class Trail:
    """Where records go."""

    def __init__(self, dsn, table, clock, chance):
        self.dsn = dsn
        self.table = table
        self.clock = clock
        self.chance = chance
        self.told = {}
        self.waiting = deque()          # of (record, future)
        self.late = 0                   # records that are not due yet
        self.wake = asyncio.Event()
        self.connection = None
        self.insert = None
        self.tips = {}                  # (namespace, tenant): number and hash of the newest record of a chain
        self.task = None
        self.busy = False
        self.failures = 0
        self.last_failure = None

    def control(self, told):
        """Take what "audit" says; what is not named stays."""
        if not set(told) <= KEYS:
            raise ValueError(f"unknown key of audit: {sorted(set(told) - KEYS)}")
        self.told.update(told)

    @property
    def compliance(self):
        """Whether records are written before execution and before the answer."""
        return bool(self.told.get("compliance"))

    def start(self):
        """Begin to write."""
        if self.dsn is not None:
            self.task = asyncio.get_running_loop().create_task(self.write_all())

    def record(self, event_id, action, verdict, outcome, dispatched_at, caller):
        """A record: of an outcome, or of the intent if there is none."""
        name, details = ("pending", {"phase": "intent"}) if outcome is None else outcome_of(outcome)
        now = dispatched_at if outcome is None else time.time()
        ttl = self.told.get("ttl_seconds")
        record = {
            "id": event_id if outcome is not None else f"{event_id}-intent",
            "action_id": action["id"], "namespace": action["namespace"], "tenant": action["tenant"],
            "provider": action["provider"], "action_type": action["action_type"],
            "verdict": verdict["verdict"], "matched_rule": verdict["matched_rule"],
            "outcome": name, "verdict_details": {"verdict": verdict["verdict"]}, "outcome_details": details,
            "metadata": labels_of(action), "dispatched_at": moment(dispatched_at), "completed_at": moment(now),
            "duration_ms": int((now - dispatched_at) * 1000),
            "expires_at": None if ttl is None else moment(dispatched_at + ttl / self.clock.scale),
            "caller_id": caller.name, "auth_method": caller.method,
            "chain_id": outcome["ChainStarted"]["chain_id"] if name == "chain_started" else None,
            "attachment_metadata": [] if outcome is None else attachments_of(action),
            "signature": action["signature"], "signer_id": action["signer_id"],
            "canonical_hash": canonical_hash(action) if action["signature"] is not None else None, "kid": action["kid"]}
        if self.told.get("store_payload", True):
            payload = action["payload"]
            if self.told.get("redact"):
                payload = redacted(payload, [name.lower() for name in self.told["redact"]],
                                   self.told.get("placeholder", "[REDACTED]"))
            record["action_payload"] = payload
        return record

    async def write(self, record, chance=None):
        """Write a record now, or raise WriteFailed."""
        if self.told.get("fail") or (chance and self.chance.random() < self.told.get(chance, 0)):
            raise WriteFailed("error returned from database: told to fail")
        if self.dsn is None:
            return
        done = asyncio.get_running_loop().create_future()
        self.waiting.append((record, done))
        self.wake.set()
        await done

    def background(self, record, request):
        """Write a record when it is due, without anybody waiting for it."""
        if self.dsn is None:
            return
        delay = self.told.get("late_ms", 0) / 1000 / self.clock.scale
        loop = asyncio.get_running_loop()
        if self.told.get("never"):
            request.ledger.happened(request, "lost")
        elif delay:
            self.late += 1
            loop.call_later(delay, self.due, record, request)
        else:
            self.begin(record, request)

    def due(self, record, request):
        """A record that was late is not any more."""
        self.late -= 1
        self.begin(record, request)

    def begin(self, record, request):
        """Hand a record to the writer."""
        if self.told.get("fail"):
            request.ledger.happened(request, "lost")
            return
        done = asyncio.get_running_loop().create_future()
        done.add_done_callback(lambda done: self.written(done, request))
        self.waiting.append((record, done))
        self.wake.set()

    @staticmethod
    def written(done, request):
        """A record was written, or could not be."""
        lost = done.cancelled() or done.exception() is not None
        request.ledger.happened(request, "lost" if lost else "recorded")

    async def write_all(self):
        """The writer."""
        while True:
            await self.wake.wait()
            self.wake.clear()
            while self.waiting:
                batch = [self.waiting.popleft() for _ in range(min(len(self.waiting), MOST_AT_ONCE))]
                self.busy = True
                # Whoever has gone away meanwhile has cancelled the write.
                await self.write_batch([(record, done) for record, done in batch if not done.done()])
                self.busy = False

    async def write_batch(self, batch):
        """Write records together; if that fails, one by one."""
        if not batch:
            return
        error = await self.write_rows([record for record, _ in batch])
        if error is not None and len(batch) > 1 and self.connection is not None:
            for one in batch:
                await self.write_batch([one])
            return
        for _, done in batch:
            if done.done():
                continue
            if error is None:
                done.set_result(None)
            else:
                self.failures += 1
                self.last_failure = error
                done.set_exception(WriteFailed(f"error returned from database: {error}"))

    async def write_rows(self, rows):
        """Insert rows; returns what went wrong, or None."""
        import psycopg

        try:
            if self.connection is None:
                await self.connect(psycopg)
            if self.told.get("hash_chain", self.compliance):
                for row in rows:
                    await self.link(row)
            await self.connection.execute(self.insert, (json.dumps(rows),))
            return None
        except psycopg.Error as error:
            self.tips.clear()
            if self.connection is not None and self.connection.closed:
                self.connection = None
            return (error.diag.message_primary if error.diag else None) or str(error) or type(error).__name__

    async def connect(self, psycopg):
        """Connect, and find out which columns there are."""
        connection = await psycopg.AsyncConnection.connect(self.dsn, autocommit=True, connect_timeout=5,
                                                           prepare_threshold=1)
        cursor = await connection.execute(
            "SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
            (self.table,))
        there = {name for name, in await cursor.fetchall()}
        if not there:
            raise psycopg.errors.UndefinedTable(f'relation "{self.table}" does not exist')
        columns = {name: kind for name, kind in COLUMNS.items() if name in there}
        values = ", ".join(f"r->'{name}'" if kind == "jsonb" else f"(r->>'{name}')::{kind}" for name, kind in columns.items())
        self.insert = f"INSERT INTO {self.table} ({', '.join(columns)}) SELECT {values} FROM pg_catalog.jsonb_array_elements(%s::jsonb) AS r"
        self.connection = connection

    async def link(self, row):
        """Give a record its place in the chain of its tenant."""
        key = (row["namespace"], row["tenant"])
        if key not in self.tips:
            cursor = await self.connection.execute(
                f"SELECT sequence_number, record_hash FROM {self.table} WHERE namespace = %s AND tenant = %s"
                " AND sequence_number IS NOT NULL ORDER BY sequence_number DESC LIMIT 1", key)
            self.tips[key] = await cursor.fetchone() or (-1, None)
        number, previous = self.tips[key]
        row["previous_hash"], row["sequence_number"] = previous, number + 1
        # The clock has nanoseconds, the column microseconds: what is hashed is not what is stored.
        at = row["dispatched_at"]
        text = {**row, "dispatched_at": at.replace("+00:00", "001+00:00") if "." in at else at}
        row["record_hash"] = hashlib.sha256(json.dumps(
            {name: text[name] for name in HASHED}, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")).hexdigest()
        self.tips[key] = (number + 1, row["record_hash"])

    async def flush(self, seconds):
        """Let what is to be written be written, as far as there is time."""
        until = time.monotonic() + seconds
        while (self.waiting or self.late or self.busy) and time.monotonic() < until:
            await asyncio.sleep(0.01)
        if self.task is not None:
            self.task.cancel()
        if self.connection is not None:
            await self.connection.close()
