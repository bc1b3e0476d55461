#!/usr/bin/env python3
"""Runs what can go wrong, and judges by what the gateway's providers did: see test/faults."""

import argparse
import concurrent.futures
import dataclasses
import itertools
import json
import os
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
import judge
from scenarios import ALL
from servers import ENDING, Cluster, Gateway, Late, Relay, Trouble, random_moments, wait_until

PATIENCE = 300          # seconds, of the gateway


@dataclasses.dataclass(frozen=True)
class Options:
    """What a run is like."""

    protection: bool
    late: bool
    killed: bool
    on_doubt: str
    count: int
    scale: float
    lease: float
    timeout: float
    seed: int

    def __str__(self):
        return (f"protection={'on' if self.protection else 'off'} audit={'late' if self.late else 'at-once'} "
                f"relay={'killed' if self.killed else 'lives'} on_doubt={self.on_doubt}")


class Run:
    """One run of a scenario."""

    def __init__(self, scenario, options, cluster, work, relay, traces):
        self.scenario = scenario
        self.traces = traces
        self.options = options
        self.count = scenario.actions or options.count
        self.work = work
        self.relay_program = relay
        self.shared = cluster
        self.cluster = cluster
        self.hosts = []
        self.standby = None
        self.gateway = None
        self.relays = []
        self.batches = []
        self.database = None
        self.first_effects = 0
        self.begun = time.monotonic()
        self.over = threading.Event()
        self.late_by = self.begun + scenario.seconds

    # What scenarios use.

    def connect(self):
        """The database, as the superuser."""
        return psycopg.connect(self.cluster.dsn(self.database), autocommit=True)

    def is_late(self):
        """Whether the run should be over."""
        return time.monotonic() > self.late_by

    def moments(self, count):
        """Shares of the effects at which something happens."""
        return random_moments(f"{self.options.seed} {self.scenario.name} {self.options}", count)

    def wait_for_effects(self, share):
        """Wait until so many have taken effect, or nothing goes on any more: all that is left may wait for what is held."""
        goal = self.first_effects + share * self.count
        last = [-1, 0]
        longest = 2 * self.options.lease + PATIENCE / self.options.scale

        def done():
            self.look_after_relays()
            found = self.gateway.effects()
            if found != last[0]:
                last[:] = found, time.monotonic()
            stalls = time.monotonic() - last[1] > longest
            return True if found >= goal or stalls or self.left() == 0 else found
        wait_until(done, f"{share:.2f} have taken effect", max(1, self.late_by - time.monotonic()))

    def look_after_relays(self):
        """Whoever has ended, and was not told to, is trouble."""
        for relay in self.relays:
            if relay.child.poll() not in (None, -signal.SIGKILL):
                raise Trouble(f"a relay has ended: {relay.said()[-1000:]}")

    def left(self):
        """How many have not ended, and are not held; more than none if it cannot be asked."""
        try:
            with self.connect() as connection:
                return judge.unfinished(connection, self.batches)
        except psycopg.Error:
            return -1

    def next_attempt(self):
        """In how many seconds an action that failed is tried again; 0 if none is, or it cannot be asked."""
        try:
            with self.connect() as connection:
                return judge.next_attempt(connection, self.batches)
        except psycopg.Error:
            return 0

    def wait_until_ended(self):
        """Wait until nothing is left that can end by itself; not longer than doubts and leases last once nothing moves or is
        to be tried again."""
        last = [None, 0]
        longest = 2 * (self.options.lease + PATIENCE / self.options.scale) + 60

        def done():
            self.look_after_relays()
            found = self.left(), self.gateway.ask("GET", "/_stats")["requests"]
            if found != last[0] or (found[0] > 0 and self.next_attempt() > 0):
                last[:] = found, time.monotonic()
            if found[0] != 0 and time.monotonic() - last[1] > longest:
                raise Late("nothing moves any more")
            return True if found[0] == 0 else f"{found[0]} left"
        wait_until(done, "all have ended", max(5, self.late_by - time.monotonic()))

    def settle_down(self):
        """Wait until the gateway has nothing to do and nothing to write any more."""
        def done():
            stats = self.gateway.ask("GET", "/_stats")
            return True if stats["open"] == 0 and stats["audit"]["waiting"] == 0 else str(stats["audit"])
        wait_until(done, "the gateway has written its records", 60)

    def make_records(self, name, count):
        """Records of actions that were lost."""
        arguments = "".join(f", {key} => {value}" for key, value in self.scenario.record.items())
        with self.connect() as connection:
            connection.execute(f"""
                SELECT count(make_record('{name}-' || n, caller_id => '{name}', at => now() - interval '1 hour' + n * interval '1 ms'{arguments}))
                FROM generate_series(1, {count}) AS n WHERE NOT EXISTS (SELECT FROM acteon_audit AS a WHERE a.action_id = '{name}-' || n)""")

    def replay(self, name="lost", **more):
        """Replay them; adds its batches."""
        arguments = "".join(f", {key} => {value}" for key, value in more.items())
        with self.connect() as connection:
            page, last = None, None
            while True:
                batch, replayed, page = connection.execute(f"""
                    SELECT batch_id, replayed, next_cursor FROM acteon_replay_bulk(outcome => 'failed', caller_id => %s, max_records => 1000, canary => 'off',
                        cursor => %s, breaker_window => 0, on_doubt => %s{arguments})""", (name, page, self.options.on_doubt)).fetchone()
                if replayed:
                    self.batches.append(batch)
                if page is None:
                    break

    # How it goes.

    def dsn(self, user):
        """Where relays and gateway find the database, also when it has moved."""
        hosts = self.hosts or [self.cluster]
        return (f"host={','.join(host.work for host in hosts)} port={','.join(str(host.port) for host in hosts)} "
                f"dbname={self.database} user={user}" + (" target_session_attrs=read-write" if len(hosts) > 1 else ""))

    def prepare(self):
        """Everything that is there before the first delivery."""
        if self.scenario.own_cluster:
            self.cluster = COPIES.take(self.shared)
        self.database = self.cluster.new_database()
        self.scenario.before(self)
        told = {"gateway": {"scale": self.options.scale, **self.scenario.gateway}, "rules": self.scenario.rules, "seed": self.options.seed,
                "audit": {**self.scenario.audit, **({"late_ms": PATIENCE * 500} if self.options.late else {})}}
        self.gateway = Gateway(self.work, f"{self.scenario.name}-{self.database}-{self.cluster.port}", self.dsn("postgres"),
                               self.options.protection, told)
        # Known before it starts, so that it is ended also if it does not.
        self.gateway.start()
        self.make_records("lost", self.count)
        self.replay()
        for _ in range(self.scenario.relays):
            self.relays.append(Relay(self.work, self.relay_program, self.dsn("relay"), self.gateway, [
                f"--request-timeout={self.options.timeout:g}s", f"--lease={self.options.lease:g}s"]))
            self.relays[-1].start()

    def kill_relays(self):
        """Kill relays at random moments, and start them again."""
        for number, share in enumerate(self.moments(3)):
            while not self.over.wait(0.02):
                try:
                    if self.gateway.effects() - self.first_effects >= share * self.count:
                        break
                except (OSError, Trouble):
                    pass
            if self.over.is_set():
                return
            relay = self.relays[number % len(self.relays)]
            relay.kill()
            relay.start()

    def go(self):
        """Run it; the verdict."""
        killer = threading.Thread(target=self.kill_relays)
        try:
            self.prepare()
            if self.options.killed:
                killer.start()
            self.scenario.meanwhile(self)
            try:
                self.wait_until_ended()
            except Late:
                # The judge says what has not ended.
                pass
            self.over.set()
            if killer.is_alive():
                killer.join()
            for relay in self.relays:
                relay.stop()
            self.settle_down()
            ledger = self.gateway.ask("GET", "/_ledger")
            violations = self.gateway.ask("GET", "/_stats")
            with self.connect() as connection:
                verdict = judge.judge(connection, self.batches, ledger, self.options, self.scenario.lost_by_failover)
            objections = violations["violations_by_kind"]
            if self.scenario.lost_by_failover:
                # What is replayed again has the id of the lost replay, and another time of creation.
                objections.pop("body", None)
            if objections:
                verdict.fault(f"the gateway objects: {objections} {violations['examples'][:3]}")
            return verdict
        finally:
            self.over.set()
            for process in [*self.relays, *([self.gateway] if self.gateway else [])]:
                if process.child is not None:
                    process.kill()
            self.clean_up()

    def clean_up(self):
        """Leave nothing behind but logs, and what became of each action, if it is wanted."""
        if self.traces and self.database is not None:
            write_traces(self, f"{self.traces}/{self.scenario.name}-{self.cluster.port}-{self.database}.json")
        if self.standby is not None:
            for cluster in self.hosts:
                cluster.remove()
        elif self.scenario.own_cluster:
            self.cluster.remove()
        elif self.database is not None:
            self.cluster.run(f"DROP DATABASE {self.database} WITH (FORCE)")


def write_traces(run, path):
    """Write down what the servers of a run have said of its actions, as far as it was committed."""
    with psycopg.connect(run.cluster.dsn("postgres"), autocommit=True) as connection:
        database, = connection.execute("SELECT oid::bigint FROM pg_database WHERE datname = %s", (run.database,)).fetchone()
        events = []
        for host in run.hosts or [run.cluster]:
            found = [event for event in said_of_actions(f"{host.data}.log") if event["database"] == database]
            if host is run.cluster:
                ended = dict(connection.execute(
                    "SELECT xid, pg_xact_status(xid::xid8) FROM unnest(%s::text[]) AS xid", ([*{event["xid"] for event in found}],)).fetchall())
                found = [event for event in found if ended[event["xid"]] == "committed"]
            events += found
    told = {"scenario": run.scenario.name, "protection": run.options.protection, "compliance": bool(run.scenario.audit.get("compliance")),
            "on_doubt": run.options.on_doubt}
    with open(path, "w", encoding="utf-8") as file:
        json.dump({**told, "events": events}, file)


def said_of_actions(log):
    """The lines of acteon_replay.trace_actions in a server's log."""
    with open(log, encoding="utf-8", errors="replace") as file:
        for line in file:
            _, found, said = line.partition("acteon_replay action: ")
            if found and said.endswith("}\n"):
                yield json.loads(said)


class Copies:
    """Servers of their own for runs that kill them."""

    def __init__(self):
        self.lock = threading.Lock()

    def take(self, pattern):
        """A copy of a server that is not used for anything else."""
        with self.lock:
            return pattern.copy()


COPIES = Copies()


def describe(number, run, verdict, seconds):
    """The line of a run, as TAP."""
    counts = verdict.counts
    text = (f"{'not ok' if verdict.faults else 'ok'} {number} - {run.scenario.name} {run.options}: {counts['actions']} actions, "
            f"{counts['effects']} effects, {counts['doubles']} doubles ({counts['allowed']} allowed and marked, {counts['forgotten']} forgotten by a failover), {counts['held']} held, "
            f"{counts['dead']} dead, {counts['cancelled']} cancelled, {counts['lost']} lost, {seconds:.0f} s")
    return "\n".join([text, *(f"#   {fault}" for fault in verdict.faults)])


def all_options(arguments):
    """Every combination, or for the short form a few that have each value at least once."""
    switches = [("protection", [True, False]), ("late", [False, True]), ("killed", [False, True]), ("on_doubt", ["resend", "hold"])]
    found = list(itertools.product(*(values for _, values in switches)))
    if arguments.short:
        found = [(True, False, True, "resend"), (False, True, False, "hold")]
    for name, values in switches:
        wanted = getattr(arguments, name)
        if wanted is not None:
            at = [name for name, _ in switches].index(name)
            found = [combination for combination in found if str(combination[at]).lower() == wanted]
    return [Options(*combination, arguments.actions, arguments.scale, arguments.lease, arguments.request_timeout, arguments.seed)
            for combination in found]


def parse():
    """What is asked for."""
    parser = argparse.ArgumentParser(description="What can go wrong between outbox and gateway.")
    parser.add_argument("--pg-config", default="pg_config")
    parser.add_argument("--actions", type=int, help="actions of each run (default: 2000; short: 300)")
    parser.add_argument("--scenario", action="append", choices=[scenario.name for scenario in ALL], help="this one, and others that are named")
    parser.add_argument("--short", action="store_true", help="the part of it that is a test of every day")
    parser.add_argument("--jobs", type=int, default=8, help="runs at once (default: 8)")
    parser.add_argument("--scale", type=float, default=20, help="by what the gateway's times are divided (default: 20)")
    parser.add_argument("--lease", type=float, default=16, help="seconds of a lease (default: 16)")
    parser.add_argument("--request-timeout", type=float, default=8, help="seconds of a request (default: 8, longer than the gateway takes)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--relay", help="the relay (default: acteon-relay that is installed); consumer: the one of these tests")
    for name, values in (("protection", ["true", "false"]), ("late", ["true", "false"]), ("killed", ["true", "false"]), ("on_doubt", ["resend", "hold"])):
        parser.add_argument(f"--{name.replace('_', '-')}", choices=values, help="only runs that are so")
    parser.add_argument("--traces", help="a directory for what became of each action, which test/model/check compares with the model")
    parser.add_argument("--keep", action="store_true", help="keep what the programs have said")
    arguments = parser.parse_args()
    arguments.actions = arguments.actions or (300 if arguments.short else 2000)
    return arguments


def end(*_):
    """Told to end: no run begins any more, and those that are under way stop."""
    ENDING.set()


def main():
    arguments = parse()
    bindir = subprocess.run([arguments.pg_config, "--bindir"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    relay = [sys.executable, f"{HERE}/consumer.py"] if arguments.relay == "consumer" else [arguments.relay or f"{bindir}/acteon-relay"]
    work = tempfile.mkdtemp(prefix="acteon-faults.")
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    scenarios = [scenario() for scenario in ALL if arguments.scenario is None or scenario.name in arguments.scenario]
    patience = max(1, int(PATIENCE / arguments.scale))
    settings = f"acteon_replay.gateway_patience = {patience}\nacteon_replay.intent_grace = 1\n"
    if arguments.traces:
        os.makedirs(arguments.traces, exist_ok=True)
        settings += "acteon_replay.trace_actions = on\n"
    clusters = []
    passed = failed = 0
    try:
        clusters.append(Cluster(bindir, work, settings).make())
        # It is only copied.
        pattern = clusters[0].copy()
        clusters.append(pattern)
        runs = [Run(scenario, options, pattern if scenario.own_cluster else clusters[0], work, relay, arguments.traces)
                for options in all_options(arguments) for scenario in scenarios]

        def one(run):
            if ENDING.is_set():
                return None
            run.begun = time.monotonic()
            run.late_by = run.begun + run.scenario.seconds
            try:
                verdict = run.go()
            except Exception as error:
                if ENDING.is_set():
                    return None
                verdict = judge.Verdict()
                verdict.fault(f"{type(error).__name__}: {error}" if isinstance(error, Trouble) else traceback.format_exc().replace("\n", "\n#   "))
            return run, verdict, time.monotonic() - run.begun
        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
            for number, future in enumerate(concurrent.futures.as_completed([pool.submit(one, run) for run in runs]), 1):
                if future.result() is None:
                    continue
                run, verdict, seconds = future.result()
                print(describe(number, run, verdict, seconds), flush=True)
                passed, failed = passed + (not verdict.faults), failed + bool(verdict.faults)
    finally:
        for cluster in clusters:
            cluster.remove()
        if arguments.keep:
            print(f"# logs are in {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0 or ENDING.is_set())


if __name__ == "__main__":
    main()
