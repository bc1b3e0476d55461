"""The processes of a run: PostgreSQL servers, the stand-in of the gateway, relays."""

import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

import psycopg

HERE = os.path.dirname(os.path.abspath(__file__))
STAND_IN = f"{HERE}/../gateway/stub_gateway.py"
FIXTURES = f"{HERE}/../fixtures"
KEY = "scenario-key"


ENDING = threading.Event()      # all is to end


class Trouble(Exception):
    """The run cannot go on: something that it needs does not work."""


class Late(Trouble):
    """What was waited for did not happen."""


def wait_until(condition, what, seconds=60):
    """Wait until a condition holds; its last value is said if it never does."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found is True:
            return
        if ENDING.is_set():
            raise Trouble("it was told to end")
        if time.monotonic() > deadline:
            raise Late(f"{what}: not after {seconds} s, last seen: {found}")
        time.sleep(0.05)


class Cluster:
    """A private PostgreSQL server: a socket in a directory of its own, no TCP."""

    serial = 0

    def __init__(self, bindir, work, settings):
        Cluster.serial += 1
        self.bindir = bindir
        self.work = work
        self.port = 55000 + Cluster.serial
        self.data = f"{work}/data-{self.port}"
        self.settings = settings
        self.environment = None     # of the server, if not ours
        self.child = None
        self.databases = 0
        self.lock = threading.Lock()

    def tool(self, name, *arguments):
        """Run a program of the server's; what it says if it fails."""
        found = subprocess.run([f"{self.bindir}/{name}", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if found.returncode != 0:
            raise Trouble(f"{name}: {found.stdout[-2000:]}")
        return found.stdout

    def make(self):
        """Make it from nothing, with a template database of what each run begins with."""
        self.tool("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
        self.configure()
        self.start()
        self.run("CREATE DATABASE scenario")
        self.run("CREATE ROLE relay LOGIN")
        self.run("CREATE EXTENSION acteon_replay", "scenario")
        for name in ("audit_table", "audit_indexes", "helpers"):
            with open(f"{FIXTURES}/{name}.sql", encoding="utf-8") as file:
                self.run(file.read(), "scenario")
        self.run("INSERT INTO acteon_grants (grantee, role, tenants, namespaces, actions) VALUES ('relay', 'gateway', '{*}', '{*}', '{*}')", "scenario")
        return self

    def configure(self):
        """Write what is particular to it."""
        with open(f"{self.data}/postgresql.conf", "a", encoding="utf-8") as file:
            file.write(f"listen_addresses = ''\nunix_socket_directories = '{self.work}'\nport = {self.port}\n"
                       "fsync = off\nmax_connections = 200\nwal_level = replica\nmax_wal_senders = 4\nhot_standby = on\n"
                       "shared_buffers = 64MB\nautovacuum_naptime = 10s\n" + self.settings)

    def another(self):
        """One of the same kind, not made yet."""
        return Cluster(self.bindir, self.work, self.settings)

    def copy(self):
        """Another server that begins as this one is now, which is stopped meanwhile."""
        other = self.another()
        self.stop()
        shutil.copytree(self.data, other.data)
        self.start()
        other.configure()
        other.start()
        return other

    def standby(self):
        """A server that follows this one, asynchronously."""
        other = self.another()
        self.tool("pg_basebackup", "-D", other.data, "-R", "-X", "stream", "-c", "fast", "--no-sync",
                  "-d", f"host={self.work} port={self.port} user=postgres")
        other.configure()
        other.start()
        return other

    def start(self):
        """Start it and wait until it takes connections."""
        with open(f"{self.data}.log", "a", encoding="utf-8") as log:
            self.child = subprocess.Popen([f"{self.bindir}/postgres", "-D", self.data], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                          env=self.environment)

        def answers():
            if self.child.poll() is not None:
                raise Trouble(f"the server has ended, see {self.data}.log")
            try:
                psycopg.connect(self.dsn("postgres")).close()
                return True
            except psycopg.Error as error:
                return str(error)
        wait_until(answers, "the server takes connections", 120)

    def stop(self, number=signal.SIGINT):
        """Stop it in good order."""
        self.child.send_signal(number)
        self.child.wait()

    def kill(self):
        """End it, and all its children, as if its machine had gone."""
        # It starts no more of them meanwhile.
        self.child.send_signal(signal.SIGSTOP)
        children = [int(child) for child in subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.child.pid)], stdout=subprocess.PIPE, text=True).stdout.split()]
        self.child.kill()
        self.child.wait()
        for child in children:
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait_until(lambda: not any(is_alive(child) for child in children), "the server is gone")

    def remove(self):
        """Stop it, if it runs, and delete it."""
        if self.child is not None and self.child.poll() is None:
            self.stop(signal.SIGQUIT)
        shutil.rmtree(self.data, ignore_errors=True)

    def run(self, sql, database="postgres"):
        """Run statements as the superuser."""
        with psycopg.connect(self.dsn(database), autocommit=True) as connection:
            connection.execute(sql)

    def dsn(self, database, user="postgres"):
        """Where a database of it is."""
        return f"host={self.work} port={self.port} dbname={database} user={user}"

    def new_database(self):
        """A database for a run."""
        with self.lock:
            self.databases += 1
            name = f"run_{self.databases}"
            self.run(f"CREATE DATABASE {name} TEMPLATE scenario STRATEGY file_copy")
        return name


def is_alive(pid):
    """Whether a process is one that runs, and no zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Process:
    """A program in the background, with its output in a file."""

    def __init__(self, log, command):
        self.log = log
        self.command = command
        self.environment = None     # if not ours
        self.child = None

    def start(self):
        """Start it, again if it has ended."""
        with open(self.log, "a", encoding="utf-8") as log:
            self.child = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment)
        return self

    def said(self):
        """All that it has said."""
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def signal(self, number):
        """Send it a signal, if it is still there."""
        if self.child.poll() is None:
            self.child.send_signal(number)

    def kill(self):
        """End it as if its machine had gone, if it has not ended."""
        self.signal(signal.SIGKILL)
        self.child.wait()

    def stop(self, seconds=60):
        """End it in good order; its exit code."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return None


class Gateway(Process):
    """The stand-in of the gateway."""

    def __init__(self, work, name, dsn, protection, told):
        self.ledger_file = f"{work}/{name}.ledger"
        self.told = {**told, "replay_protection": protection}
        self.port = 0
        self.base = [sys.executable, STAND_IN, "--key", KEY, "--database", dsn, "--ledger", self.ledger_file, "--port"]
        super().__init__(f"{work}/{name}.gateway.log", [*self.base, "0"])

    def start(self):
        """Start it, on the port that it had, and tell it what it is like."""
        before = os.path.getsize(self.log) if os.path.exists(self.log) else 0
        self.command = [*self.base, str(self.port)]
        super().start()

        def listens():
            if self.child.poll() is not None:
                raise Trouble(f"the stand-in has ended: {self.said()[-2000:]}")
            line = self.said()[before:]
            return "listening on" in line or line
        wait_until(listens, "the stand-in listens")
        self.port = int(self.said()[before:].split("listening on ")[1].split()[0])
        self.ask("POST", "/_control", self.told)
        return self

    def tell(self, **told):
        """Tell it something, which a restart remembers."""
        self.told = {**self.told, **told}
        self.ask("POST", "/_control", told)

    def providers(self, providers):
        """Change its providers."""
        self.told = {**self.told, "gateway": {**self.told["gateway"], "providers": providers}}
        self.ask("POST", "/_providers", providers)

    def ask(self, method, path, told=None):
        """Ask it about itself."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, None if told is None else json.dumps(told))
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status != 200:
            raise Trouble(f"{method} {path}: {answer.status} {text[:500]}")
        return json.loads(text)

    def effects(self):
        """How many effects there were so far."""
        return self.ask("GET", "/_stats")["effects"]


class Relay(Process):
    """A relay, which may be killed and started again."""

    serial = 0

    def __init__(self, work, program, dsn, gateway, options):
        Relay.serial += 1
        name = f"relay-{Relay.serial}"
        key = f"{work}/{name}.key"
        with open(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(KEY + "\n")
        super().__init__(f"{work}/{name}.log", [
            *program, "--database", dsn, "--gateway-url", f"http://127.0.0.1:{gateway.port}", "--api-key-file", key,
            "--consumer", name, *options])


def random_moments(seed, count):
    """So many shares of a whole, in their order."""
    chance = random.Random(seed)
    return sorted(chance.uniform(0.05, 0.9) for _ in range(count))
