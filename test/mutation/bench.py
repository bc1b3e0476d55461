"""Where changed sources are built and tested: a copy of the sources, of the server and of
its libraries, with a cluster, so that several work side by side.
"""
import glob
import hashlib
import json
import os
import queue
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time

from variants import with_variants

DROP_DATABASES = ["DROP DATABASE IF EXISTS mutation_%s WITH (FORCE)" % name for name in ("test", "spec")]
DROP_ROLES = """
DO $$
DECLARE
	role name;
BEGIN
	FOR role IN SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_' AND rolname <> current_user LOOP
		EXECUTE format('DROP ROLE %I', role);
	END LOOP;
END
$$"""
# How many seconds a test may print nothing that has not been run without a change.
LIMIT = 600
# Bytes that must be free in memory for a cluster there.
ROOM = 4 << 30
SETTINGS = """
listen_addresses = ''
port = 54329
fsync = off
full_page_writes = off
autovacuum = off
restart_after_crash = on
"""


class Bench:
    """One copy, in a directory of its own."""

    def __init__(self, options, number, first=None):
        self.pg_config = options.pg_config
        self.owner = {"user": options.user, "group": options.user, "extra_groups": []} if os.getuid() == 0 else {}
        self.home = os.path.join(options.work, "bench%d" % number)
        self.tree = os.path.join(self.home, "src")
        self.root = os.path.join(self.home, "server")
        self.pgxs = os.path.dirname(os.path.dirname(self.ask("--pgxs")))
        self.bindir = self.root + self.ask("--bindir")
        self.libdir = self.root + self.ask("--pkglibdir")
        memory = os.path.join("/dev/shm", "%s.%d" % (os.path.basename(options.work), number))
        self.data = memory if has_room("/dev/shm") else os.path.join(self.home, "data")
        self.selection = os.path.join(self.home, "variant")
        self.environment = {**os.environ, "ACTEON_MUTATION": self.selection}
        self.output = ""
        # How long tests take, and may print nothing: the same for all.
        self.times = first.times if first else {}
        self.limits = first.limits if first else {}
        # Roles that the test of grants begins with, which the tests after it use.
        with open(os.path.join(options.tree, "sql/grants.sql"), encoding="utf-8") as test:
            head = test.read().split("\n\n")[0]
        self.roles = re.findall("^CREATE ROLE [^;]*", head, flags=re.M)

    def ask(self, what):
        return subprocess.run([self.pg_config, what], check=True, capture_output=True, text=True).stdout.strip()

    def run(self, command):
        """Run a command as the tests' user, in the copy of the sources; whether it succeeded."""
        process = subprocess.run(command, cwd=self.tree, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, check=False, env=self.environment, **self.owner)
        self.output = process.stdout.decode(errors="replace")
        return process.returncode == 0

    def must(self, command):
        if not self.run(command):
            sys.exit("error: %s\n%s" % (shlex.join(command), self.output))

    # ---- the server

    def open(self, tree):
        """Make the copies, and start the server with a database that tests are begun with."""
        os.mkdir(self.home)
        if self.owner:
            shutil.chown(self.home, self.owner["user"], self.owner["user"])
        os.environ.pop("PGDATABASE", None)
        subprocess.run(["cp", "-a", tree, self.tree], check=True)
        for folder in (self.ask("--bindir"), self.ask("--pkglibdir"), self.ask("--sharedir")):
            os.makedirs(self.root + folder, exist_ok=True)
            subprocess.run(["cp", "-a", folder + "/.", self.root + folder], check=True)
        if self.owner:
            subprocess.run(["chown", "-R", self.owner["user"], self.root], check=True)
        self.must(["make", "-s", "install", "with_llvm=no", "PG_CONFIG=" + self.pg_config, "DESTDIR=" + self.root])
        self.must([self.bindir + "/initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8",
                   "--locale=C.UTF-8"])
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="utf-8") as settings:
            settings.write(SETTINGS + "unix_socket_directories = '%s'\n" % self.home)
        self.control("start")
        self.must(self.regress("mutation_begin", "install", False))
        self.must(self.client("ALTER DATABASE mutation_begin IS_TEMPLATE true"))

    def close(self):
        """Stop the server; the directories go away with the caller's."""
        self.control("stop")
        shutil.rmtree(self.data, ignore_errors=True)

    def control(self, what):
        if what == "stop" and not os.path.exists(os.path.join(self.data, "postmaster.pid")):
            return
        self.run([self.bindir + "/pg_ctl", "-D", self.data, "-m", "immediate", "-w", what,
                  "-l", os.path.join(self.home, "server.log")])

    def client(self, *statements):
        command = [self.bindir + "/psql", "-X", "-q", "-A", "-t", "-h", self.home, "-p", "54329", "-U", "postgres",
                   "-d", "postgres", "-v", "ON_ERROR_STOP=1"]
        for statement in ("SET client_min_messages = error", *statements):
            command += ["-c", statement]
        return command

    # ---- building

    def commands(self, file):
        """The commands that compile a file and link the library."""
        target = file[:-2] + ".o"
        make = ["make", "-n", "-s", "with_llvm=no", "PG_CONFIG=" + self.pg_config, "-W", file]
        self.must(make + [target])
        compiles = [line for line in self.output.splitlines() if " -o %s " % target in line][-1]
        self.must(make + ["acteon_replay.so"])
        links = [line for line in self.output.splitlines() if "-o acteon_replay.so" in line][-1]
        return compiles + " -g0 -w", links

    def compile(self, command, file):
        """Compile a file; the hash of the code, or None if it does not compile."""
        if not self.run(["sh", "-c", command]):
            return None
        with open(os.path.join(self.tree, file[:-2] + ".o"), "rb") as code:
            return hashlib.sha256(code.read()).hexdigest()

    def link(self, command):
        """Link the library, and put it in its place."""
        self.must(["sh", "-c", command])
        self.put(self.tree)

    def put(self, tree):
        """Put a tree's library in its place, at once, as sessions may have it loaded."""
        new = os.path.join(self.libdir, "acteon_replay.so.new")
        shutil.copy(os.path.join(tree, "acteon_replay.so"), new)
        os.rename(new, os.path.join(self.libdir, "acteon_replay.so"))

    def select(self, numbers):
        """Select some of the variants in the library; without any, it is the code as it is."""
        with open(self.selection, "w", encoding="utf-8") as file:
            file.write("".join("%d\n" % number for number in numbers))

    def code_of(self, file, text):
        """The hash of the code that a text makes in the place of a file; the file is then as it was."""
        path = os.path.join(self.tree, file)
        with open(path, encoding="utf-8") as source:
            original = source.read()
        try:
            with open(path, "w", encoding="utf-8") as source:
                source.write(text)
            return self.compile(self.commands(file)[0], file)
        finally:
            with open(path, "w", encoding="utf-8") as source:
                source.write(original)

    def build_variants(self, file, changes):
        """Make a library with the given changes of a file, which have numbers.  Returns the numbers of those
        that do not compile."""
        compiles, links = self.commands(file)
        variants = file[:-2] + "_variants.c"
        with open(os.path.join(self.tree, file), encoding="utf-8") as source:
            original = source.read()
        broken = set()
        while True:
            text, lines = with_variants(original, [change for change in changes if change[0] not in broken])
            with open(os.path.join(self.tree, variants), "w", encoding="utf-8") as source:
                source.write(text)
            code = self.compile(compiles.replace(file, variants) + " -O1 -fmax-errors=0", file)
            # It would be one of the library's sources.
            os.unlink(os.path.join(self.tree, variants))
            if code is not None:
                break
            named = re.findall(r"^[^:\n]*_variants\.c:(\d+):\d+: (?:error|note: in expansion)", self.output, flags=re.M)
            found = {lines[int(line)] for line in named if int(line) in lines}
            if not found:
                sys.exit("error: %s does not compile with its changes\n%s" % (file, self.output))
            broken |= found
        self.link(links)
        return broken

    def count_lines(self, files, tests, lines):
        """Note which lines of files tests run, which are taken out of a queue: lines has tests by (file, line),
        none for a line that no test runs.  Leaves the library as it was."""
        commands = {file: self.commands(file) for file in files}
        for file, (compiles, links) in commands.items():
            counts = re.sub(r" -ffile-prefix-map=\S+", "", compiles) + " -O0 --coverage"
            if self.compile(counts, file) is None:
                sys.exit("error: %s does not compile\n%s" % (file, self.output))
        self.link(links + " --coverage")
        for test in taken_from(tests):
            self.forget_counts()
            if not self.passes(test):
                sys.exit("error: %s fails without any change\n%s" % (test, self.output))
            self.clean([])
            for place, count in self.counted(files):
                ran = lines.setdefault(place, set())
                if count > 0:
                    ran.add(test)
        for file, (compiles, links) in commands.items():
            self.compile(compiles, file)
        self.link(links)

    def forget_counts(self):
        for path in glob.glob(self.tree + "/src/**/*.gcda", recursive=True):
            os.unlink(path)

    def counted(self, files):
        notes = [file[:-2] + ".gcno" for file in files]
        self.must(["gcov", "--json-format", "--stdout", *notes])
        for line in self.output.splitlines():
            for file in json.loads(line)["files"] if line.startswith("{") else []:
                for counted in file["lines"]:
                    yield (os.path.normpath(file["file"]), counted["line_number"]), counted["count"]

    # ---- testing

    @staticmethod
    def is_spec(test):
        return test.startswith("spec ")

    def regress(self, database, test, exists):
        return [self.pgxs + "/test/regress/pg_regress" if not self.is_spec(test) else
                self.pgxs + "/test/isolation/pg_isolation_regress",
                "--host=" + self.home, "--port=54329", "--user=postgres",
                "--bindir=" + self.bindir, "--inputdir=" + ("test" if self.is_spec(test) else "."),
                "--outputdir=test/output", "--dbname=" + database, *(["--use-existing"] if exists else []),
                test.split(" ")[-1]]

    def clean(self, roles):
        """Make the test's database anew, and drop all roles of tests; make those that the given statements
        make.  If the server recovers from a crash, wait for it; if something hangs, start it anew."""
        for attempt in range(60):
            if self.run(self.client(*DROP_DATABASES, DROP_ROLES, *roles,
                                    "CREATE DATABASE mutation_test TEMPLATE mutation_begin")):
                return
            if attempt % 10 == 9:
                self.control("restart")
            time.sleep(1)
        sys.exit("error: could not make a database without traces of earlier tests\n" + self.output)

    def passes(self, test):
        """Whether a test passes, in a database of its own.  It has failed as soon as it has printed what it
        should not, or prints nothing for long."""
        self.clean([] if test == "grants" or self.is_spec(test) else self.roles)
        name = test.split(" ")[-1]
        printed = os.path.join(self.tree, "test/output/results", name + ".out")
        expected = os.path.join(self.tree, "test" if self.is_spec(test) else ".", "expected", name + ".out")
        if os.path.exists(printed):
            os.unlink(printed)
        command = self.regress("mutation_spec" if self.is_spec(test) else "mutation_test", test, not self.is_spec(test))
        begun = last = time.monotonic()
        silence = 0.0
        good = True
        with open(expected, "rb") as file:
            wanted = file.read()
        with open(os.path.join(self.home, "regress.log"), "w+b") as log:
            with subprocess.Popen(command, cwd=self.tree, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                  start_new_session=True, **self.owner) as process:
                at = 0
                while good and process.poll() is None:
                    time.sleep(0.02)
                    got = read_from(printed, at)
                    good = wanted.startswith(got, at) and time.monotonic() - last < self.limits.get(test, LIMIT)
                    if got:
                        silence = max(silence, time.monotonic() - last)
                        last = time.monotonic()
                        at += len(got)
                if not good:
                    os.killpg(process.pid, signal.SIGKILL)
            good = good and process.returncode == 0
            log.seek(0)
            self.output = log.read().decode(errors="replace")
        if test not in self.limits:
            self.limits[test] = 20 + 5 * max(silence, time.monotonic() - last)
            self.times[test] = time.monotonic() - begun
        return good


def has_room(folder):
    """Whether there is enough room in a folder that is memory."""
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        return False
    room = os.statvfs(folder)
    return room.f_bavail * room.f_frsize > ROOM


def read_from(path, at):
    """What a file has from a place on; nothing, if it is not there yet."""
    try:
        with open(path, "rb") as file:
            file.seek(at)
            return file.read()
    except FileNotFoundError:
        return b""


def taken_from(left):
    """What is in a queue, as long as there is anything."""
    try:
        while True:
            yield left.get_nowait()
    except queue.Empty:
        pass


def in_threads(benches, work, left):
    """Have all benches do some work, and wait for them.  Raises what the first one raised that failed; the others
    then end with what they have in hand."""
    failures = []

    def run(bench):
        try:
            work(bench)
        except BaseException as failure:  # pylint: disable=broad-except
            failures.append(failure)
            for _ in taken_from(left):
                pass
    threads = [threading.Thread(target=run, args=(bench,), daemon=True) for bench in benches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
