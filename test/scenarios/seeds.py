#!/usr/bin/env python3
"""Runs schedules (schedule.py) against private servers, and has each judged by auditor.py: see test/faults --seeds.

Time is the driver's: a lease, a retry or the patience with the gateway ends when the
driver lets time pass (disturb.c), which it does only while the gateway has nothing to do
and nothing to write.  So a slow machine is no fault, and no seed waits for a clock.
"""

import argparse
import collections
import json
import multiprocessing
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import psycopg

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import auditor
import disturb
import schedule
from servers import KEY, Cluster, Gateway, Late, Relay, Trouble, wait_until

FAULT_POINT_CLASS = 20260       # of src/base/fault_point.h
IDLE = 0.25                     # seconds without an effect after which a step does not wait for more of them
HOOK_WAIT = 1.0                 # seconds for a session to come to a place
STEP = 100                      # seconds that pass at once at the end: a third of the patience
MOST_STEPS = 150
CLOSED = "local all postgres trust\nlocal replication postgres trust\n"
OPEN = "local all all trust\nlocal replication all trust\n"
# What can be done as well if no session has come to a place.
NEEDS_NO_SESSION = ("kill postmaster", "kill relay", "kill gateway", "pass", "call")
SETTINGS = f"""
acteon_replay.trace_actions = on
acteon_replay.gateway_patience = {schedule.PATIENCE}
acteon_replay.intent_grace = 1
restart_after_crash = off
autovacuum = off
checkpoint_timeout = 1h
log_checkpoints = off
jit = off
max_connections = 60
dynamic_shared_memory_type = mmap
shared_buffers = 24MB
"""


def place_key(name):
    """The number of a place, as src/base/fault_point.h has it."""
    key = 2166136261
    for byte in name.encode():
        key = (key ^ byte) * 16777619 & 0xFFFFFFFF
    return key & 0x7FFFFFFF


class Server(Cluster):
    """A server that asks after each start what became of the transactions before, and lets the others in afterwards.

    It has to be asked before, because a number that was not written to the WAL can be given again.
    """

    def __init__(self, bindir, work, control, places):
        super().__init__(bindir, work, SETTINGS)
        self.control = control
        self.places = places
        self.environment = control.environment(disturb.SERVER, self.data)
        self.trace = auditor.Trace(f"{self.data}.log", Cluster.serial)

    def make(self):
        super().make()
        self.run("CREATE ROLE gateway LOGIN; CREATE ROLE caller LOGIN SUPERUSER; CREATE ROLE heir LOGIN")
        self.run("""GRANT SELECT, INSERT ON acteon_audit TO gateway;
            INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('heir', 'operator', '{*}', '{*}', '{*}')""", "scenario")
        if self.places:
            # The one with the places where sessions are stopped.
            self.run(f"UPDATE pg_proc SET probin = '{self.places}' WHERE probin = '$libdir/acteon_replay'", "scenario")
        return self

    def let_in(self, lines):
        """Who may connect from now on."""
        with open(f"{self.data}/pg_hba.conf", "w", encoding="utf-8") as file:
            file.write(lines)

    def start(self):
        self.let_in(CLOSED)
        super().start()
        self.read_trace()
        self.let_in(OPEN)
        self.child.send_signal(signal.SIGHUP)

    def read_trace(self):
        """Take note of what has been written, and ask what became of it."""
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            self.trace.read(connection)

    def start_alone(self):
        """Start it, once more, only to ask it, and end it."""
        self.let_in(CLOSED)
        super().start()
        self.read_trace()
        self.stop(signal.SIGQUIT)

    def another(self):
        return Server(self.bindir, self.work, self.control, self.places)

    def is_up(self):
        return self.child is not None and self.child.poll() is None


class Session(threading.Thread):
    """A caller: one call after the other, each noted with its answer."""

    def __init__(self, run):
        super().__init__(daemon=True)
        self.run_of = run
        self.calls = queue.Queue()
        self.connection = None
        self.busy = threading.Event()
        self.open = 0
        self.lock = threading.Lock()
        self.start()

    def give(self, call):
        """Have it call something."""
        with self.lock:
            self.open += 1
        self.calls.put(call)

    def is_idle(self):
        with self.lock:
            return self.open == 0

    def run(self):
        while True:
            call = self.calls.get()
            if call is None:
                break
            try:
                self.make(call)
            except Exception as error:
                call.update(state="lost", error=f"{type(error).__name__}: {error}")
            call["answered_at"], call["ledger_at"] = self.run_of.log_position(), self.run_of.ledger_position()
            with self.lock:
                self.open -= 1
        if self.connection is not None:
            self.connection.close()

    def make(self, call):
        """Make a call."""
        sql, values = self.run_of.statement(call)
        if sql is None:
            call.update(state="skipped", error="there is no such batch")
            return
        for _ in range(20):
            try:
                if self.connection is None or self.connection.closed:
                    self.connection = psycopg.connect(self.run_of.dsn("caller"), autocommit=True)
                break
            except psycopg.Error as error:
                self.connection = None
                said = str(error)
                time.sleep(0.1)
        else:
            call.update(state="failed", error=said)
            return
        call["begun_at"] = self.run_of.log_position()
        try:
            cursor = self.connection.execute(sql, values)
            rows = cursor.fetchall() if cursor.description else []
            names = [column.name for column in cursor.description or ()]
            call.update(state="committed", rows=[dict(zip(names, row)) for row in rows[:50]])
        except psycopg.OperationalError as error:
            # An error of the server's, or no answer: then nobody knows.
            known = error.sqlstate is not None and not self.connection.closed
            call.update(state="failed" if known else "lost", error=str(error).strip()[:200], sqlstate=error.sqlstate)
        except psycopg.Error as error:
            call.update(state="failed", error=str(error).strip()[:200], sqlstate=error.sqlstate)
        if self.connection.closed:
            self.connection = None


class SeedRun:
    """One seed."""

    def __init__(self, worker, told):
        self.worker = worker
        self.told = told
        self.options = told["options"]
        self.control = worker.control
        self.server = worker.server
        self.hosts = [self.server]
        self.standby = None
        self.database = None
        self.gateway = None
        self.relays = []
        self.sessions = []
        self.links = {}
        self.calls = {}
        self.given = {}             # what sessions were given: the call, and what the schedule says of it
        self.history = []
        self.jumps = []
        self.gateway_kills = []
        self.passes = []
        self.counts = collections.Counter()
        self.ledger_read = 0
        self.effects_seen = 0
        self.relays_run = False
        self.records = []
        self.cut_off_at = None
        self.lost_to = None
        self.stopped = []
        self.lock = threading.Lock()
        self.cancel_marks = {}

    # What is there.

    def dsn(self, user):
        hosts = [host for host in self.hosts if host is not None]
        return (f"host={','.join(host.work for host in hosts)} port={','.join(str(host.port) for host in hosts)} "
                f"dbname={self.database} user={user} connect_timeout=5" + (" target_session_attrs=read-write" if len(hosts) > 1 else ""))

    def connect(self):
        return psycopg.connect(self.server.dsn(self.database), autocommit=True)

    def log_position(self):
        """Where the log of the server is now: what is written later comes after it."""
        server = self.server
        try:
            return [server.trace.serial, os.path.getsize(server.trace.path)]
        except OSError:
            return [server.trace.serial, 0]

    def ledger_position(self):
        return os.path.getsize(self.gateway.ledger_file) if os.path.exists(self.gateway.ledger_file) else 0

    def effects(self):
        """How many effects there were, as the ledger's file has them."""
        try:
            with open(self.gateway.ledger_file, "rb") as file:
                file.seek(self.ledger_read)
                found = file.read()
        except OSError:
            return 0
        end = found.rfind(b"\n") + 1
        self.ledger_read += end
        self.effects_seen += found[:end].count(b'["effects", ')
        return self.effects_seen

    def prepare(self):
        """Everything that is there before the first step."""
        if self.options["standby"]:
            self.standby = self.server.standby()
            self.hosts.append(self.standby)
        self.database = self.server.new_database()
        self.involved = list(self.hosts)
        with self.connect() as connection:
            oid, = connection.execute("SELECT oid::bigint FROM pg_database WHERE datname = current_database()").fetchone()
        for host in self.hosts:
            host.trace.begin(oid)
        self.make_records(self.told["records"])
        compliance = self.options["compliance"]
        told = {"gateway": {"scale": schedule.SCALE, **self.options["gateway"]}, "rules": self.options["rules"], "seed": self.told["seed"],
                "audit": {"compliance": compliance, **({"late_ms": 30000} if self.options["late"] and not compliance else {})}}
        self.gateway = Gateway(self.worker.work, f"{self.database}-{self.server.port}", self.dsn("gateway"), self.options["protection"], told)
        self.gateway.base.insert(2, "--bodies")
        self.gateway.environment = self.control.environment(disturb.GATEWAY)
        self.gateway.start()
        address = ("127.0.0.1", self.gateway.port)
        relay_dsn = self.dsn("relay")
        to_gateway = self.gateway
        if self.options["links"]:
            self.links["gateway"] = disturb.Link(("127.0.0.1", 0), address)
            to_gateway = argparse.Namespace(port=self.links["gateway"].address[1])
            directory = f"{self.worker.work}/l{self.server.databases}"
            os.makedirs(directory, exist_ok=True)
            self.links["database"] = disturb.Link(f"{directory}/.s.PGSQL.{self.server.port}", f"{self.server.work}/.s.PGSQL.{self.server.port}")
            relay_dsn = f"host={directory} port={self.server.port} dbname={self.database} user=relay connect_timeout=5"
        for _ in range(self.options["relays"]):
            relay = Relay(self.worker.work, [self.worker.relay], relay_dsn, to_gateway, [
                "--request-timeout=60s", f"--lease={schedule.LEASE}s", "--grace=3s", "--batch-size=20"])
            relay.environment = self.control.environment(disturb.RELAY)
            self.relays.append(relay)
        self.sessions = [Session(self) for _ in range(schedule.SESSIONS)]

    def make_records(self, records):
        """Records of actions, which are an hour old."""
        rows = [{**record, "metadata": {**record["labels"], **({"__fingerprint": record["fingerprint"]} if record["fingerprint"] else {})},
                 "details": {"status": "Success"} if record["done"] else {}} for record in records]
        with self.connect() as connection:
            connection.execute("""
                SELECT count(make_record(r->>'action_id', tenant => r->>'tenant', provider => r->>'provider', outcome => r->>'outcome', payload => r->'payload',
                    metadata => r->'metadata', details => r->'details', at => clock_timestamp() - interval '1 hour' + n * interval '1 ms'))
                FROM jsonb_array_elements(%s::jsonb) WITH ORDINALITY AS x (r, n)""", (json.dumps(rows),))
        self.records += records

    # Calls.

    def batch_of(self, number):
        """The batch that a call has made, if it is known."""
        call = self.calls.get(number, {})
        for row in call.get("rows") or ():
            if row.get("batch_id") is not None:
                return row["batch_id"]
        return None

    def statement(self, call):
        """A call as SQL, with its values."""
        kind = call["call"]
        batch = None
        if "of" in call:
            batch = call["batch"] = self.batch_of(call["of"])
            if batch is None:
                return None, None
        filters = call.get("filters", {})
        given = "".join(f", {name} => %s" for name in filters)
        values = list(filters.values())
        if kind == "replay":
            return "SELECT * FROM acteon_replay(%s::text, on_doubt => %s, reason => 'seed')", [call["action_id"], call["on_doubt"]]
        if kind == "bulk":
            return f"SELECT * FROM acteon_replay_bulk(on_doubt => %s{given})", [call["on_doubt"], *values]
        if kind == "all":
            return f"CALL acteon_replay_all(on_doubt => %s, chunk => %s{given})", [call["on_doubt"], call["chunk"], *values]
        if kind == "preview":
            return f"SELECT count(*) FROM acteon_replay_preview(on_doubt => %s{given})", [call["on_doubt"], *values]
        return {
            "check": ("SELECT * FROM acteon_outbox_check()", []),
            "purge": ("SELECT acteon_outbox_purge('0 s', reason => 'seed') AS purged", []),
            "limit": ("SELECT acteon_replay_limit_set(provider => %s, rate => %s, concurrency => %s, reason => 'seed')",
                      [call.get("provider"), call.get("rate"), call.get("concurrency")]),
            "pause all": ("SELECT * FROM acteon_replay_pause_all('seed')", []),
            "resume all": ("SELECT * FROM acteon_replay_resume_all('seed')", []),
            "pause": ("SELECT * FROM acteon_replay_pause(%s, 'seed')", [batch]),
            "resume": ("SELECT * FROM acteon_replay_resume(%s, 'seed')", [batch]),
            "cancel": ("SELECT * FROM acteon_replay_cancel(%s, 'seed')", [batch]),
            "cancel part": ("SELECT * FROM acteon_replay_cancel(%s, 'seed', tenant => %s)", [batch, call.get("tenant")]),
            "rate": ("SELECT * FROM acteon_replay_set_rate(%s, %s, 'seed')", [batch, call.get("rate")]),
            "redrive": ("SELECT * FROM acteon_outbox_redrive(batch_id => %s, reason => 'seed')", [batch]),
            "settle": ("SELECT acteon_replay_settle(%s, %s, 'seed') AS settled", [batch, call.get("decision")]),
            "hand over": ("SELECT acteon_replay_hand_over(%s, 'heir', 'seed')", [batch]),
            "continue": ("CALL acteon_replay_continue(%s)", [batch]),
        }[kind]

    def call(self, told):
        """Give a call to its session."""
        call = dict(told)
        with self.lock:
            self.calls[call["number"]] = call
            self.given[call["number"]] = call, told
        call.update(state="given", rows=None)
        self.counts[f"call {call['call']}"] += 1
        self.sessions[told["session"]].give(call)

    # Steps.

    def ensure_server(self):
        """Start the server if it has ended, after there is room again."""
        if self.server.is_up():
            return
        self.control.fill(disturb.HAS_ROOM)
        self.counts["server restarts"] += 1
        self.server.start()

    def ensure_others(self):
        """Whoever has ended and was not told to is trouble; whoever was killed is started."""
        if self.gateway.child.poll() is not None:
            self.gateway.start()
        for relay in self.relays if self.relays_run else ():
            code = relay.child.poll() if relay.child is not None else -signal.SIGKILL
            if code is None:
                continue
            if code != -signal.SIGKILL:
                raise Trouble(f"a relay has ended with {code}: {relay.said()[-1000:]}")
            relay.start()

    def wait_for(self, when):
        """Wait for what a step waits for."""
        self.ensure_server()
        if "join" in when:
            self.join(when["join"])
        if "effects" not in when:
            return
        last, since = -1, time.monotonic()
        while True:
            found = self.effects()
            if found >= when["effects"]:
                return
            if found != last:
                last, since = found, time.monotonic()
            if time.monotonic() - since > IDLE:
                self.counts["did not wait longer"] += 1
                return
            self.ensure_server()
            time.sleep(0.01)

    def join(self, number, seconds=10):
        """Wait until a session has nothing to do; what waits for what does not come is cancelled."""
        session = self.sessions[number]
        until = time.monotonic() + seconds
        told = until
        while not session.is_idle():
            self.ensure_server()
            if time.monotonic() > told:
                self.counts["calls cancelled"] += 1
                told += 1
                try:
                    with psycopg.connect(self.server.dsn("postgres"), autocommit=True) as connection:
                        connection.execute("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = %s AND usename = 'caller'", (self.database,))
                except psycopg.Error:
                    pass
            if time.monotonic() > until + 60:
                raise Late(f"session {number} does not end")
            time.sleep(0.01)

    def go(self):
        """Run it; the findings."""
        try:
            self.prepare()
            for number, step in enumerate(self.told["steps"], 1):
                if self.worker.ending.is_set():
                    raise Trouble("it was told to end")
                self.wait_for(step.get("when", {}))
                note = getattr(self, "do_" + step["do"].replace(" ", "_"))(step)
                self.counts[f"step {step['do']}"] += 1
                self.history.append((number, step, note))
            self.end()
            return self.audit()
        finally:
            self.clean_up()

    def do_start_relays(self, _):
        self.relays_run = True
        for relay in self.relays:
            relay.start()

    def do_call(self, step):
        self.call({key: value for key, value in step.items() if key not in ("do", "when")})

    def do_join(self, step):
        self.join(step["session"])

    def do_records(self, step):
        self.try_until_up(lambda: self.make_records(step["records"]))

    def try_until_up(self, work):
        """Do something in the database that works as soon as the server does."""
        for _ in range(20):
            self.ensure_server()
            try:
                return work()
            except psycopg.Error as error:
                said = error
                self.control.fill(disturb.HAS_ROOM)
                time.sleep(0.1)
        raise Trouble(f"the database does not work: {said}")

    def do_pass(self, step):
        self.let_pass(step["seconds"])

    def let_pass(self, seconds):
        """Let time pass; noted before it does, as calls may be under way."""
        self.passes.append(self.log_position())
        self.control.let_pass(seconds)

    def do_jump(self, step):
        role = {"server": disturb.SERVER, "relay": disturb.RELAY, "gateway": disturb.GATEWAY}[step["who"]]
        self.jumps.append({"who": step["who"], "seconds": step["seconds"], "log": self.log_position(), "ledger": self.ledger_position()})
        self.control.jump(role, step["seconds"])

    def do_disk(self, step):
        self.control.fill({None: disturb.HAS_ROOM, "larger": disturb.FULL_FOR_LARGER, "wal": disturb.FULL_FOR_WAL}[step["full"]])
        if step["full"] is None:
            self.ensure_server()

    def do_link(self, step):
        getattr(self.links[step["which"]], step["state"])()

    def do_tell(self, step):
        told, on = step["told"], step["on"]
        if self.gateway in self.stopped or self.gateway.child.poll() is not None:
            return "it does not run"
        if told == "protection":
            self.gateway.tell(replay_protection=on)
        elif told == "providers work":
            self.gateway.providers({"*": {"delay_ms": 500}})
        else:
            self.gateway.tell(audit={"compliance": {"compliance": on}, "audit fails": {"fail": True}, "audit works": {"fail": False},
                                     "intents fail": {"fail_intents": 0.3 if on else 0}, "outcomes fail": {"fail_outcomes": 0.3 if on else 0}}[told])
        return None

    def stopped_one(self, step):
        return self.gateway if step["who"] == "gateway" else self.relays[step["relay"]]

    def do_stop(self, step):
        one = self.stopped_one(step)
        if one.child is None or one.child.poll() is not None:
            return "it does not run"
        one.signal(signal.SIGSTOP)
        self.stopped.append(one)
        return None

    def do_continue(self, step):
        one = self.stopped_one(step)
        if one in self.stopped:
            self.stopped.remove(one)
            one.signal(signal.SIGCONT)

    def do_kill(self, step):
        what = step["what"]
        self.counts[f"kill {what}"] += 1
        return getattr(self, f"kill_{what}")(step)

    def kill_backend(self, step):
        """Kill the server process of a session, which ends the server."""
        connection = self.sessions[step["session"]].connection
        pid = connection.info.backend_pid if connection is not None and not connection.closed else None
        if pid is None:
            return "it is not connected"
        return self.kill_process(pid)

    def kill_process(self, pid):
        """Kill a process of the server, and wait until that has ended for it."""
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return "it is gone"
        try:
            self.server.child.wait(5)
        except subprocess.TimeoutExpired:
            # It was one that had ended already.
            return "the server lives"
        self.ensure_server()
        return None

    def kill_postmaster(self, _):
        self.server.kill()
        self.ensure_server()

    def kill_relay(self, step):
        relay = self.relays[step["relay"]]
        if not self.relays_run or relay in self.stopped:
            return "it does not run"
        relay.kill()
        relay.start()
        return None

    def kill_gateway(self, _):
        if self.gateway in self.stopped:
            self.stopped.remove(self.gateway)
        self.gateway.kill()
        self.gateway_kills.append(self.ledger_position())
        self.gateway.start()

    # Places.

    def do_hook(self, step):
        """Stop a session at a place, and do something meanwhile.

        What does not need that session is done also if none has come: a seed does the same each time.
        """
        note, acted = self.stop_at(step)
        if not acted and step["act"] in NEEDS_NO_SESSION:
            again = getattr(self, "act_" + step["act"].replace(" ", "_"))(step, None, None)
            note = f"{note}; {again}" if again else note
        return note

    def stop_at(self, step):
        """What do_hook does if a session comes: a note, and whether it did."""
        begun = "begin" not in step
        holder = None
        try:
            if self.worker.arguments.places:
                holder = self.connect()
                holder.execute("SELECT pg_advisory_lock(%s, %s)", (FAULT_POINT_CLASS, place_key(step["place"])))
            if not begun:
                begun = True
                self.call(step["begin"])
            if holder is None:
                return "there are no places in this build", False
            pid = self.session_at(holder, step["place"])
            for _ in range(step["skip"] if pid is not None else 0):
                holder.execute("SELECT pg_advisory_unlock(%s, %s)", (FAULT_POINT_CLASS, place_key(step["place"])))
                holder.execute("SELECT pg_advisory_lock(%s, %s)", (FAULT_POINT_CLASS, place_key(step["place"])))
                pid = self.session_at(holder, step["place"])
                if pid is None:
                    break
            if pid is None:
                return "nobody has come there, or not so often", False
            self.counts[f"at {step['place']}"] += 1
            self.counts[f"act {step['act']}"] += 1
        except psycopg.Error as error:
            if not begun:
                self.call(step["begin"])
            if holder is not None:
                holder.close()
            self.ensure_server()
            return f"{type(error).__name__}: {error}", False
        else:
            try:
                return getattr(self, "act_" + step["act"].replace(" ", "_"))(step, pid, holder), True
            except psycopg.Error as error:
                return f"{type(error).__name__}: {error}", True
        finally:
            if holder is not None:
                holder.close()
            self.ensure_server()

    def session_at(self, holder, place):
        """The process that waits at a place, as soon as there is one; None if there is none for a while."""
        until = time.monotonic() + HOOK_WAIT
        while time.monotonic() < until:
            found = holder.execute("""SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = %s AND objid = %s AND NOT granted
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY waitstart LIMIT 1""",
                                   (FAULT_POINT_CLASS, place_key(place))).fetchone()
            if found is not None:
                return found[0]
            time.sleep(0.01)
        return None

    def act_kill_backend(self, _, pid, __):
        return self.kill_process(pid)

    def act_kill_postmaster(self, *_):
        return self.kill_postmaster(None)

    def act_terminate(self, _, pid, holder):
        holder.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))

    def act_cancel(self, _, pid, holder):
        holder.execute("SELECT pg_cancel_backend(%s)", (pid,))

    def act_kill_relay(self, step, *_):
        return self.kill_relay(step)

    def act_kill_gateway(self, step, *_):
        return self.kill_gateway(step)

    def act_pass(self, *_):
        self.let_pass(schedule.PASS)

    def act_call(self, step, *_):
        """Another session calls something; it may have to wait for the one that stands here."""
        self.call(step["call"])
        session = self.sessions[step["call"]["session"]]
        until = time.monotonic() + 0.3
        while not session.is_idle() and time.monotonic() < until:
            time.sleep(0.01)
        return None if session.is_idle() else "it waits"

    def act_release(self, *_):
        return None

    # A standby.

    def do_cut_off(self, _):
        """From now on the standby learns nothing more."""
        with psycopg.connect(self.standby.dsn("postgres"), autocommit=True) as connection:
            def receivers():
                return [status for status, in connection.execute("SELECT status FROM pg_stat_wal_receiver").fetchall()]

            def follows():
                self.ensure_server()
                return True if receivers() == ["streaming"] else receivers()
            wait_until(follows, "the standby follows")
            connection.execute("ALTER SYSTEM SET primary_conninfo = ''")
            connection.execute("SELECT pg_reload_conf()")
            wait_until(lambda: True if receivers() == [] else receivers(), "the standby does not follow any more")
        self.cut_off_at = self.log_position()

    def do_promote(self, step):
        """The primary is gone, and the standby takes over, without what it does not know."""
        self.ensure_server()
        old, new = self.server, self.standby
        old.kill()
        # What the old one has committed, by itself, and what of it the new one knows.
        old.start_alone()
        with psycopg.connect(new.dsn("postgres"), autocommit=True) as connection:
            seen = []

            def has_replayed():
                # A record of which it has only the beginning is never replayed.
                replayed, received = connection.execute("SELECT pg_last_wal_replay_lsn(), pg_last_wal_receive_lsn()").fetchone()
                seen.append(replayed)
                return True if replayed == received or seen[-20:] == [replayed] * 20 else f"{replayed} of {received}"
            wait_until(has_replayed, "the standby has replayed what it has")
            old.trace.ask_survivor(connection)
        self.server = self.worker.server = new
        holder = None
        new.tool("pg_ctl", "-D", new.data, "-w", "-t", "120", "promote")
        if step["hook"]:
            holder = self.connect()
            holder.execute("SELECT pg_advisory_lock(%s, %s)", (FAULT_POINT_CLASS, place_key("failover-doubt")))
        old.remove()
        self.hosts = [new]
        if holder is not None:
            try:
                pid = self.session_at(holder, "failover-doubt")
                if pid is not None:
                    self.counts["at failover-doubt"] += 1
                    self.kill_process(pid)
            finally:
                holder.close()

    # The end.

    def end(self):
        """Nothing is disturbed any more; wait until nothing is left that can end by itself."""
        self.control.fill(disturb.HAS_ROOM)
        for link in self.links.values():
            link.resume()
        for one in self.stopped:
            one.signal(signal.SIGCONT)
        self.stopped = []
        self.ensure_server()
        if not self.relays_run:
            self.do_start_relays(None)
        self.ensure_others()
        self.gateway.providers({"*": {"delay_ms": 0}})
        self.gateway.tell(audit={"fail": False, "fail_intents": 0, "fail_outcomes": 0, "late_ms": 0}, rules=[])
        self.steer_what_is_stopped()
        for number in range(len(self.sessions)):
            self.join(number, 3)
        if self.jumps:
            self.same_time()
        self.finish()
        if self.options["held"] != "leave":
            self.settle_held()
            self.finish()
        for relay in self.relays:
            relay.stop(20)
        self.wait_for_gateway()

    def same_time(self):
        """Clocks agree again, while nothing is out."""
        for relay in self.relays:
            relay.stop(20)
        self.wait_for_gateway()
        self.control.settle()
        for relay in self.relays:
            relay.start()

    def steer_what_is_stopped(self):
        """What is paused goes on, or is cancelled, as the schedule says; and what has a rate has none, as it falls behind whenever time passes."""
        def steer():
            with self.connect() as connection:
                for batch, in connection.execute("SELECT id FROM acteon_replay_batch WHERE rate IS NOT NULL AND stopped IS NULL").fetchall():
                    connection.execute("SELECT acteon_replay_set_rate(%s, NULL, 'end of the seed')", (batch,))
                if self.options["end"] == "cancel":
                    for batch, in connection.execute("SELECT id FROM acteon_replay_batch WHERE stopped = 'paused'").fetchall():
                        self.admin_call("cancel", batch, connection, "SELECT * FROM acteon_replay_cancel(%s, 'end of the seed')")
                for batch, in connection.execute("SELECT id FROM acteon_replay_batch WHERE stopped = 'paused'").fetchall():
                    self.admin_call("resume", batch, connection, "SELECT * FROM acteon_replay_resume(%s, 'end of the seed', parts => true)")
        self.try_until_up(steer)

    def admin_call(self, kind, batch, connection, sql):
        """A call of the driver's own, at the end."""
        number = -len(self.calls) - 1
        call = {"call": kind, "number": number, "batch": batch, "state": "committed", "rows": [], "begun_at": self.log_position()}
        self.calls[number] = call
        connection.execute(sql, (batch,))
        call["answered_at"], call["ledger_at"] = self.log_position(), self.ledger_position()

    def settle_held(self):
        """A person decides what is held, as the schedule says."""
        def settle():
            with self.connect() as connection:
                for batch, in connection.execute("SELECT DISTINCT batch_id FROM acteon_dispatch_segment WHERE held IS NOT NULL").fetchall():
                    number = -len(self.calls) - 1
                    self.calls[number] = {"call": "settle", "number": number, "batch": batch, "decision": self.options["held"], "state": "committed", "rows": []}
                    connection.execute("SELECT acteon_replay_settle(%s, %s, 'end of the seed')", (batch, self.options["held"]))
        self.try_until_up(settle)

    def left(self):
        """How many actions have not ended and are not held, nor wait for one that is, and how many segments are leased now."""
        with self.connect() as connection:
            return connection.execute("""
                SELECT coalesce(sum(last_id - first_id + 1) FILTER (WHERE held IS NULL AND NOT EXISTS (
                        SELECT FROM acteon_dispatch_segment AS h WHERE h.lane = s.lane AND h.held IS NOT NULL)), 0)::bigint,
                    count(*) FILTER (WHERE lease_token IS NOT NULL AND due_at > clock_timestamp()) FROM acteon_dispatch_segment AS s""").fetchone()

    def wait_for_gateway(self):
        """Wait until the gateway has nothing to do and nothing to write."""
        def done():
            stats = self.gateway.ask("GET", "/_stats")
            return True if stats["open"] == 0 and stats["audit"]["waiting"] == 0 else f"{stats['open']} open, {stats['audit']}"
        wait_until(done, "the gateway has nothing to do", 60)

    def finish(self):
        """Let time pass until nothing is left."""
        for step in range(MOST_STEPS):
            self.ensure_server()
            self.ensure_others()
            if step % 5 == 4:
                self.steer_what_is_stopped()
            # Whoever has leased something is given time to say what came of it.
            until = time.monotonic() + (0.6 if step else 0.3)
            while True:
                left, leased = self.try_until_up(self.left)
                if left == 0 and leased == 0:
                    return
                if leased == 0 or time.monotonic() > until:
                    break
                time.sleep(0.02)
            self.wait_for_gateway()
            self.let_pass(STEP)
            self.counts["passed"] += 1
            time.sleep(0.1)

    def audit(self):
        """What the auditor finds."""
        self.server.read_trace()
        with self.connect() as connection:
            cursor = connection.execute("SELECT action_id, outcome, outcome_details, action_payload, metadata, namespace, tenant, provider, action_type FROM acteon_audit")
            names = [column.name for column in cursor.description]
            audit = [dict(zip(names, row)) for row in cursor.fetchall()]
        evidence = auditor.Evidence(
            ledger=auditor.read_ledger(self.gateway.ledger_file), audit=audit,
            lines=[line for host in self.involved for line in host.trace.lines], calls=list(self.calls.values()), records=self.records,
            jumps=self.jumps, gateway_kills=self.gateway_kills, passes=self.passes,
            crashes=[crash for host in self.involved for crash in host.trace.crashes],
            wal_was_full=any(step.get("full") == "wal" for step in self.told["steps"]), failover=self.standby is not None)
        self.evidence = evidence
        verdict = auditor.judge(evidence)
        if verdict.findings:
            self.tables = self.look_at_tables()
        return verdict

    def look_at_tables(self):
        """What the extension's tables have: nothing that is judged, but what helps to understand a finding."""
        with self.connect() as connection:
            return {table: [row for row, in connection.execute(f"SELECT to_jsonb(t) FROM {table} AS t").fetchall()]
                    for table in ("acteon_dispatch_segment", "acteon_replay_batch", "acteon_replay_log")}

    def clean_up(self):
        """Leave nothing that disturbs the next seed."""
        for session in self.sessions:
            session.calls.put(None)
        for process in [*self.relays, *([self.gateway] if self.gateway else [])]:
            if process.child is not None:
                process.kill()
        for link in self.links.values():
            link.close()
        self.control.settle()
        for host in self.hosts:
            if host is not self.server:
                host.remove()
        for session in self.sessions:
            session.join(5)
        try:
            self.ensure_server()
            if self.database is not None:
                self.server.run(f"DROP DATABASE {self.database} WITH (FORCE)")
        except (psycopg.Error, Trouble):
            pass


class Worker:
    """Runs seeds one after the other, on a server of its own."""

    def __init__(self, arguments, work, ending):
        self.arguments = arguments
        self.work = work
        self.ending = ending
        self.relay = f"{arguments.bindir}/acteon-relay"
        self.control = disturb.Control(f"{work}/control", arguments.disturb)
        self.server = None

    def ready(self):
        """Its server, a new one if the last one could not be kept."""
        if self.server is None:
            self.server = Server(self.arguments.bindir, self.work, self.control, self.arguments.places)
            self.server.make()

    def run(self, seed):
        """Run a seed: what main() reports."""
        told = schedule.make(seed)
        begun, used = time.monotonic(), os.times()
        self.ready()
        run = SeedRun(self, told)
        findings = []
        counts = collections.Counter()
        try:
            verdict = run.go()
            findings, counts = verdict.findings, verdict.counts
        except Exception as error:
            if self.ending.is_set():
                return None
            findings = [("trouble", f"{type(error).__name__}: {error}" if isinstance(error, Trouble) else traceback.format_exc())]
        if findings:
            self.keep(seed, run)
        if findings and findings[0][0] == "trouble":
            self.throw_away()
        counts.update(run.counts)
        after = os.times()
        return {"seed": seed, "findings": findings, "counts": dict(counts), "seconds": time.monotonic() - begun, "text": told_text(run) if findings or self.arguments.verbose else "",
                "did": [[number, step] for number, step, _ in run.history],
                "calls": sorted([number, {key: call.get(key) for key in told}] for number, (call, told) in run.given.items()),
                "cpu": sum(after[:4]) - sum(used[:4])}

    def throw_away(self):
        """Begin with another server."""
        try:
            self.server.remove()
        except (Trouble, OSError):
            pass
        self.server = None

    def keep(self, seed, run):
        """Keep what the programs have said of a seed."""
        if self.arguments.keep is None:
            return
        to = f"{self.arguments.keep}/seed-{seed}"
        os.makedirs(to, exist_ok=True)
        logs = [f"{host.data}.log" for host in getattr(run, "involved", [])] + [relay.log for relay in run.relays]
        logs += [run.gateway.log, run.gateway.ledger_file] if run.gateway else []
        for path in logs:
            if os.path.exists(path):
                shutil.copy(path, to)
        with open(f"{to}/calls.json", "w", encoding="utf-8") as file:
            json.dump({"calls": list(run.calls.values()), "jumps": run.jumps,
                       "lines": getattr(run, "evidence", None) and run.evidence.lines, "audit": getattr(run, "evidence", None) and run.evidence.audit, "tables": getattr(run, "tables", None)}, file, indent=1, default=str)

    def close(self):
        if self.server is not None:
            self.throw_away()
        self.control.close()


def told_text(run):
    """A schedule with what has happened."""
    lines = [line for line in schedule.text(run.told).splitlines() if not line.startswith("  record ")]
    notes = {number: note for number, _, note in run.history}
    done = len(run.history)
    for number in range(len(run.told["steps"])):
        at = len(lines) - len(run.told["steps"]) + number
        lines[at] += "   → not reached" if number >= done else f"   → {notes[number + 1]}" if notes[number + 1] else ""
    for call in run.calls.values():
        rows = [{key: value for key, value in row.items() if key != "results"} for row in call.get("rows") or ()]
        lines.append(f"  call {call['number']} {call['call']}: {call['state']} {call.get('error') or ''} {json.dumps(rows, default=str)[:300]}")
    return "\n".join(lines)


def work(arguments, number, seeds, results, ending):
    """A process that runs seeds."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    directory = tempfile.mkdtemp(prefix=f"w{number}.", dir=arguments.work)
    worker = Worker(arguments, directory, ending)
    try:
        while not ending.is_set():
            try:
                seed = seeds.get(timeout=0.5)
            except queue.Empty:
                continue
            if seed is None:
                break
            results.put(worker.run(seed))
    except Exception:
        results.put({"seed": None, "findings": [("trouble", traceback.format_exc())], "counts": {}, "text": "", "did": [], "calls": [], "seconds": 0, "cpu": 0})
    finally:
        worker.close()
        results.put(number)


class Report:
    """What main() prints."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.counts = collections.Counter()
        self.passed = self.failed = 0
        self.cpu = 0
        self.begun = time.monotonic()
        self.did = {}

    def add(self, result):
        self.compare(result)
        self.counts.update(result["counts"])
        self.cpu += result["cpu"]
        self.passed, self.failed = self.passed + (not result["findings"]), self.failed + bool(result["findings"])
        if result["findings"]:
            print(f"not ok {self.passed + self.failed} - seed {result['seed']}: {len(result['findings'])} findings, {result['seconds']:.1f} s")
            for rule, text in result["findings"][:8]:
                print("#   " + f"{rule}: {text}".replace("\n", "\n#     ")[:3000])
            print("# " + result["text"].replace("\n", "\n# "))
            print(f"# again: test/faults --seeds {result['seed']}-{result['seed']}", flush=True)
        elif self.arguments.verbose or self.arguments.short:
            print(f"ok {self.passed + self.failed} - seed {result['seed']}: {result['counts'].get('effects', 0)} effects, {result['seconds']:.1f} s", flush=True)
            if self.arguments.verbose:
                print("# " + result["text"].replace("\n", "\n# "), flush=True)
        done = self.passed + self.failed
        if done % 50 == 0:
            print(f"# {done} seeds, {self.failed} with findings, {self.counts['effects']} effects, {time.monotonic() - self.begun:.0f} s, "
                  f"{self.cpu / done:.2f} s of the driver's and the programs' a seed", flush=True)

    def compare(self, result):
        """A seed that is run again does the same steps and calls, in the same order."""
        did = json.dumps([result["did"], result["calls"]])
        if self.did.setdefault(result["seed"], did) != did and not any(rule == "trouble" for rule, _ in result["findings"]):
            result["findings"].append(("again", "it did not do the same as before"))

    def end(self):
        seconds = time.monotonic() - self.begun
        for title, prefix in (("steps", "step "), ("calls", "call "), ("killed", "kill "), ("sessions stopped", "at "), ("done there", "act "),
                              ("allowed doubles", "excused: ")):
            found = {name[len(prefix):]: count for name, count in sorted(self.counts.items()) if name.startswith(prefix)}
            print(f"# {title}: " + ", ".join(f"{name} {count}" for name, count in found.items()))
        rest = {name: count for name, count in sorted(self.counts.items()) if not name.startswith(("step ", "call ", "kill ", "at ", "act ", "excused: "))}
        print("# " + ", ".join(f"{name} {count}" for name, count in rest.items()))
        print(f"# {self.passed + self.failed} seeds in {seconds:.0f} s")
        print(f"{self.passed} passed, {self.failed} failed", flush=True)


def parse():
    parser = argparse.ArgumentParser(description="Random schedules of calls, kills and disturbances.")
    parser.add_argument("--seeds", default="1-10", metavar="FROM-TO", help="which ones, and others after commas (default: 1-10)")
    parser.add_argument("--short", action="store_true", help="the part of it that is a test of every day: the first ten, and one of them again")
    parser.add_argument("--pg-config", default="pg_config")
    parser.add_argument("--places", help="the extension's library with places to stop at (make FAULT_POINTS=1), without .so; without it these are not reached")
    parser.add_argument("--jobs", type=int, default=6, help="seeds at once (default: 6)")
    parser.add_argument("--keep", help="a directory for what the programs have said of seeds with findings")
    parser.add_argument("--stop", action="store_true", help="stop at the first finding")
    parser.add_argument("--verbose", action="store_true", help="say of each seed what has happened")
    return parser.parse_args()


def make_preload(directory):
    """Compile disturb.c; where it is."""
    path = f"{directory}/disturb.so"
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", path, f"{HERE}/disturb.c", "-ldl"], check=True)
    return path


def main():
    arguments = parse()
    wanted = [seed for part in arguments.seeds.split(",") for first, _, last in [part.partition("-")] for seed in range(int(first), int(last or first) + 1)]
    arguments.bindir = subprocess.run([arguments.pg_config, "--bindir"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    fast = "/dev/shm"
    arguments.work = tempfile.mkdtemp(prefix="acteon-seeds.", dir=fast if os.access(fast, os.W_OK) else None)
    arguments.disturb = make_preload(arguments.work)
    if arguments.keep:
        os.makedirs(arguments.keep, exist_ok=True)
    wanted = [*wanted, *(wanted[1:2] if arguments.short else [])]
    seeds, results, ending = multiprocessing.Queue(), multiprocessing.Queue(), multiprocessing.Event()
    # Told to end, nobody takes what is left.
    seeds.cancel_join_thread()
    for seed in wanted:
        seeds.put(seed)
    jobs = min(arguments.jobs, len(wanted))
    workers = [multiprocessing.Process(target=work, args=(arguments, number, seeds, results, ending)) for number in range(jobs)]
    report = Report(arguments)
    for _ in workers:
        seeds.put(None)
    for worker in workers:
        worker.start()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    signal.signal(signal.SIGINT, lambda *_: ending.set())
    left = jobs
    try:
        while left > 0:
            found = results.get()
            if isinstance(found, int):
                left -= 1
            elif found is not None:
                report.add(found)
                if arguments.stop and report.failed:
                    ending.set()
    finally:
        ending.set()
        for worker in workers:
            worker.join(60)
        shutil.rmtree(arguments.work, ignore_errors=True)
    report.end()
    sys.exit(report.failed > 0 or report.passed + report.failed < len(wanted))


if __name__ == "__main__":
    main()
