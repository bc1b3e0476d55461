"""Changes the sources in small ways, and looks whether a test fails.

Run by test/mutate, in a built copy of the checkout, with a running server for which the
extension is installed (PGHOST, PGPORT and PGUSER say where it listens).

What is changed, within functions only:

  relation    < and <=, > and >=, == and != are exchanged, and each order is reversed
  logic       && and || are exchanged, ! is left out, the condition of an if is negated
  arithmetic  + and -, * and /, += and -=, | and & are exchanged
  constant    a number becomes one more; true and false are exchanged
  result      what a function of type bool returns is negated
  statement   a call, an assignment, break, continue or return is left out

Left as they are: what releases memory, checks for interrupts or asserts, which no test of
results can notice, and texts.  A change that does not compile, or compiles to the same
code as none or as one before it, is not counted.

The score of a file is the share of changes that make one of its tests fail, hang or crash
the server, among those that are not in the list of equivalent ones.
"""
import argparse
import hashlib
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time

# Which tests are run for which file, the regression tests and the isolation specs.
FILES = {
    "src/access/grants.c": (
        ["grants", "preview", "grants_many", "patch", "queue"],
        ["grants_kept", "grants_seen"]),
    "src/replay/eligibility.c": (
        ["single", "replayed", "lineage", "preview", "judge", "bulk", "action", "effective", "lost", "notify", "patch",
         "expire"],
        []),
    "src/replay/earlier_replays.c": (
        ["single", "replayed", "lineage", "bulk", "judge", "effective", "redrive", "expire"],
        ["lost_race", "single_race", "race", "redrive_race"]),
    "src/consumer/claim.c": (
        ["outcome", "lanes", "limits", "queue", "doubts", "target", "expire", "canary", "notify"],
        ["lease", "lane", "wake"]),
    "src/consumer/answer.c": (
        ["outcome", "effect", "queue", "doubts", "lanes", "canary", "bad_input"],
        ["lease", "wake"]),
    "src/batch/breaker.c": (
        ["batches", "replay_all", "limits", "doubts", "canary"],
        ["pace_race"]),
    "src/batch/failure_window.c": (
        ["batches", "limits", "doubts", "expire", "policy"],
        []),
    "src/api/api_keys.c": (
        ["api_keys"],
        ["api_key", "api_begin"]),
}

# What is not left out, as only the server's resources depend on it.
KEPT = re.compile(
    r"(\(void\) )?(CHECK_FOR_INTERRUPTS|Assert|AssertMacro|pfree|MemoryContext\w*|ExecClearTuple|hash_destroy|"
    r"ExecDropSingleTupleTableSlot|UnregisterSnapshot|Close\w+|table_close|index_endscan|table_endscan|elog)\(|old = ")
KEYWORDS = re.compile(r"(if|else|for|while|do|switch|case|default|return|goto|break|continue)\b")
DECLARATION = re.compile(r"(const|static|struct|unsigned|volatile)\b|[A-Za-z_]\w* \**[A-Za-z_]\w*( =|;|,|\[|\()")
EXCHANGED = {
    "<": ["<=", ">="], "<=": ["<", ">"], ">": [">=", "<="], ">=": [">", "<"], "==": ["!="], "!=": ["=="],
    "&&": ["||"], "||": ["&&"], "+": ["-"], "-": ["+"], "*": ["/"], "/": ["*"], "|": ["&"], "&": ["|"],
    "+=": ["-="], "-=": ["+="],
}
KINDS = {"<": "relation", ">": "relation", "=": "relation", "!": "relation"}
DROP_DATABASES = ["DROP DATABASE IF EXISTS mutation_%s WITH (FORCE)" % name for name in ("begin", "test", "spec")]
LEFT_ROLES = "SELECT quote_ident(rolname) FROM pg_roles WHERE rolname LIKE 'regress%'"
# How many seconds a test may take that has not been run without a change.
LIMIT = 300


def masked(text):
    """The text with comments, literals and lines of the preprocessor blanked."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group())
    text = re.sub(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])'", blank, text, flags=re.S)
    return re.sub(r"^#(?:[^\n]*\\\n)*[^\n]*", blank, text, flags=re.M)


def functions(text):
    """The functions of a masked text: name, type, and where the body begins and ends."""
    for match in re.finditer(r"^([\w ]+\**)\n(\w+)\([^{};]*\)\n\{\n.*?^\}", text, flags=re.M | re.S):
        body = match.start() + match.group().index("\n{\n")
        yield match.group(2), match.group(1), body, match.end()


def closing(text, opening):
    """Where the parenthesis closes that opens at a place."""
    depth = 0
    for at in range(opening, len(text)):
        depth += (text[at] == "(") - (text[at] == ")")
        if depth == 0:
            return at
    return -1


def changes_of_function(text, code, kind, start, end):
    """All changes within a function: kind of change, begin, end, what stands there instead."""
    for match in re.compile(r"(?<= )(<=|>=|==|!=|<|>|&&|\|\||\+=|-=|\+|-|\*|/|\||&)(?=[ \n])").finditer(code, start, end):
        sign = match.group()
        # A sign at the beginning of an operand is none.
        if sign in "+-*/|&" and not re.search(r"[\w)\]]\s*$", code[start:match.start()]):
            continue
        name = "logic" if sign in ("&&", "||") else KINDS.get(sign[0], "arithmetic")
        for other in EXCHANGED[sign]:
            yield name, match.start(), match.end(), other
    for match in re.compile(r"!(?=[\w(])").finditer(code, start, end):
        yield "logic", match.start(), match.end(), ""
    for match in re.compile(r"\bif (\()").finditer(code, start, end):
        close = closing(code, match.start(1))
        yield "logic", match.start(1), close + 1, "(!" + text[match.start(1):close + 1] + ")"
    for match in re.compile(r"(?<![\w.\[])\d+(?![\w.])").finditer(code, start, end):
        yield "constant", match.start(), match.end(), str(int(match.group()) + 1)
    for match in re.compile(r"\b(true|false)\b").finditer(code, start, end):
        yield "constant", match.start(), match.end(), "false" if match.group() == "true" else "true"
    if re.search(r"\bbool$", kind):
        for match in re.compile(r"\breturn ([^;]+);").finditer(code, start, end):
            if match.group(1) not in ("true", "false"):
                yield "result", match.start(1), match.end(1), "!(" + text[match.start(1):match.end(1)] + ")"
    for match in re.compile(r"^\t+(?=[A-Za-z_*(+-])", flags=re.M).finditer(code, start, end):
        first = match.end()
        last = code.index(";", first) + 1
        statement = code[first:last]
        before = code[start:first].rstrip()
        if not (before[-1] in ";{}:)" or re.search(r"\b(else|do)$", before)) or KEPT.match(statement) or "{" in statement:
            continue
        if KEYWORDS.match(statement) and statement not in ("break;", "continue;", "return;"):
            continue
        if DECLARATION.match(statement) and not KEYWORDS.match(statement):
            continue
        if statement.count("(") != statement.count(")"):
            continue
        yield "statement", first, last, ";" + "\n" * statement.count("\n")


class Change:
    """One change of a file, and what it is called in the list of equivalent ones."""

    def __init__(self, file, text, function, kind, start, end, instead):
        self.file = file
        self.kind = kind
        self.text = text[:start] + instead + text[end:]
        self.line = text.count("\n", 0, start) + 1
        first = text.rindex("\n", 0, start) + 1
        last = text.index("\n", end)
        self.key = (file, function, " ".join(text[first:last].split()),
                    " ".join((text[first:start] + instead + text[end:last]).split()))

    def __str__(self):
        return "%s:%d %s (%s)\n- %s\n+ %s" % (self.file, self.line, self.key[1], self.kind, self.key[2], self.key[3])


def changes_of(tree, file):
    """All changes of a file."""
    with open(os.path.join(tree, file), encoding="utf-8") as source:
        text = source.read()
    code = masked(text)
    return [Change(file, text, name, *change) for name, kind, start, end in functions(code)
            for change in changes_of_function(text, code, kind, start, end)]


def read_equivalent(path):
    """The list of equivalent changes: a file and a function, a line of now, the line instead, why."""
    listed = set()
    place = before = after = None
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            line = line.rstrip("\n")
            if line.startswith("- "):
                before = line[2:]
            elif line.startswith("+ "):
                after = line[2:]
            elif line.startswith("= "):
                listed.add((*place, before, after))
            elif line and not line.startswith(("#", "\t")):
                place = tuple(line.split(" ", 1))
    return listed


class Bench:
    """Where changed sources are built and tested."""

    def __init__(self, options):
        self.tree = options.tree
        self.user = options.user
        self.pg_config = options.pg_config
        self.libdir = self.ask("--pkglibdir")
        self.pgxs = os.path.dirname(os.path.dirname(self.ask("--pgxs")))
        self.bindir = self.ask("--bindir")
        self.database = 0
        self.noticed_by = {}
        self.limits = {}
        # Roles that the test of grants begins with, which the tests after it use.
        with open(os.path.join(self.tree, "sql/grants.sql"), encoding="utf-8") as test:
            head = test.read().split("\n\n")[0]
        self.roles = re.findall("^CREATE ROLE [^;]*", head, flags=re.M)

    def ask(self, what):
        return subprocess.run([self.pg_config, what], check=True, capture_output=True, text=True).stdout.strip()

    def run(self, command, limit=None):
        """Run a command as the tests' user, in the tree; whether it succeeded."""
        if os.getuid() == 0:
            command = ["runuser", "-u", self.user, "--", *command]
        process = subprocess.Popen(command, cwd=self.tree, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, start_new_session=True)
        try:
            self.output = process.communicate(timeout=limit)[0].decode(errors="replace")
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.communicate()
            self.restart()
            return False
        return process.returncode == 0

    def must(self, command):
        if not self.run(command):
            sys.exit("error: %s\n%s" % (shlex.join(command), self.output))

    def restart(self):
        """Start the server anew, as something hangs."""
        data = self.sql("SHOW data_directory") or os.path.join(os.environ["PGHOST"], "data")
        subprocess.run(["runuser", "-u", self.user, "--"] * (os.getuid() == 0) +
                       [self.bindir + "/pg_ctl", "-D", data, "-m", "immediate", "-w", "restart",
                        "-l", os.path.join(os.path.dirname(data), "server.log")],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)

    def sql(self, *statements):
        """Run statements; what the last one printed, or None."""
        command = [self.bindir + "/psql", "-X", "-q", "-A", "-t", "-d", "postgres", "-v", "ON_ERROR_STOP=1"]
        for statement in statements:
            command += ["-c", statement]
        result = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
        return result.stdout.strip() if result.returncode == 0 else None

    def commands(self, file):
        """The commands that compile a file and link the library."""
        target = file[:-2] + ".o"
        make = ["make", "-n", "-s", "with_llvm=no", "PG_CONFIG=" + self.pg_config, "-W", file]
        self.must(make + [target])
        compiles = [line for line in self.output.splitlines() if " -o %s " % target in line][-1]
        self.must(make + ["acteon_replay.so"])
        links = [line for line in self.output.splitlines() if "-o acteon_replay.so" in line][-1]
        return compiles + " -g0 -w", links

    def build(self, commands):
        return all(self.run(["sh", "-c", command]) for command in commands)

    @staticmethod
    def digest(built):
        """The hash of compiled code."""
        with open(built, "rb") as code:
            return hashlib.sha256(code.read()).digest()

    def install(self):
        """Put the library in its place, at once, as sessions may have it loaded."""
        new = os.path.join(self.libdir, "acteon_replay.so.new")
        subprocess.run(["install", "-m", "755", os.path.join(self.tree, "acteon_replay.so"), new], check=True)
        os.rename(new, os.path.join(self.libdir, "acteon_replay.so"))

    def prepare(self):
        """Make the database that tests are begun with, without traces of an earlier run."""
        left = self.sql(*DROP_DATABASES, LEFT_ROLES)
        self.sql(*("DROP ROLE " + role for role in left.split()), "SELECT 1")
        self.must(self.regress("mutation_begin", "install", False))

    def regress(self, database, test, exists):
        return [self.pgxs + "/test/regress/pg_regress" if not self.is_spec(test) else
                self.pgxs + "/test/isolation/pg_isolation_regress",
                "--bindir=" + self.bindir, "--inputdir=" + ("test" if self.is_spec(test) else "."),
                "--outputdir=test/output", "--dbname=" + database, *(["--use-existing"] if exists else []),
                test.split(" ")[-1]]

    @staticmethod
    def is_spec(test):
        return test.startswith("spec ")

    def clean(self, roles):
        """Make the test's database anew, and drop all roles of tests; make those that the given statements
        make.  If the server recovers from a crash, wait for it."""
        for _ in range(60):
            left = self.sql(*DROP_DATABASES[1:], "CREATE DATABASE mutation_test TEMPLATE mutation_begin", LEFT_ROLES)
            if left is not None and self.sql(*("DROP ROLE " + role for role in left.split()), *roles) is not None:
                return
            time.sleep(1)
        sys.exit("error: could not make a database without traces of earlier tests")

    def passes(self, test):
        """Whether a test passes, in a database of its own."""
        self.clean([] if test == "grants" or self.is_spec(test) else self.roles)
        if self.is_spec(test):
            return self.run(self.regress("mutation_spec", test, False), self.limits.get(test, LIMIT))
        return self.run(self.regress("mutation_test", test, True), self.limits.get(test, LIMIT))

    def failing(self, tests):
        """The first of the tests that fails, those first that have noticed most; None if none does."""
        for test in sorted(tests, key=lambda test: -self.noticed_by.get(test, 0)):
            if not self.passes(test):
                self.noticed_by[test] = self.noticed_by.get(test, 0) + 1
                return test
        return None


def judge_file(bench, file, changes, equivalent, sample):
    """Try changes of a file: how many were noticed, are equivalent, were not noticed."""
    tests = FILES[file][0] + ["spec " + spec for spec in FILES[file][1]]
    path = os.path.join(bench.tree, file)
    built = path[:-2] + ".o"
    with open(path, encoding="utf-8") as source:
        original = source.read()
    commands = bench.commands(file)
    if not bench.build(commands):
        sys.exit("error: %s does not compile\n%s" % (file, bench.output))
    seen = {bench.digest(built)}
    bench.install()
    for test in tests:
        if test in bench.limits:
            continue
        begun = time.monotonic()
        if not bench.passes(test):
            sys.exit("error: %s fails without any change\n%s" % (test, bench.output))
        bench.limits[test] = 20 + 5 * (time.monotonic() - begun)
    counts = {"noticed": 0, "equivalent": 0, "not noticed": 0}
    try:
        for change in changes:
            if sample and sum(counts.values()) >= sample:
                break
            if change.key in equivalent:
                counts["equivalent"] += 1
                continue
            with open(path, "w", encoding="utf-8") as source:
                source.write(change.text)
            if not bench.build(commands):
                continue
            code = bench.digest(built)
            if code in seen:
                continue
            seen.add(code)
            bench.install()
            test = bench.failing(tests)
            counts["noticed" if test else "not noticed"] += 1
            if test is None:
                print("not noticed: %s" % change, flush=True)
    finally:
        with open(path, "w", encoding="utf-8") as source:
            source.write(original)
        bench.build(commands)
        bench.install()
    # A test that has noticed changes passes again without them: it has failed of nothing else.
    test = max(tests, key=lambda test: bench.noticed_by.get(test, 0))
    if not bench.passes(test):
        sys.exit("error: %s fails without any change, after others\n%s" % (test, bench.output))
    return counts


def main():
    parser = argparse.ArgumentParser(prog="test/mutate")
    parser.add_argument("--tree", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--pg-config", default="pg_config", help=argparse.SUPPRESS)
    parser.add_argument("--user", default="postgres", help=argparse.SUPPRESS)
    parser.add_argument("--sample", type=int, default=25, help="changes of each file; 0: all")
    parser.add_argument("--seed", default="1", help="decides which are drawn")
    parser.add_argument("--list", action="store_true", help="print all changes, and try none")
    parser.add_argument("file", nargs="*", default=list(FILES), help="of " + ", ".join(FILES))
    options = parser.parse_args()
    if not set(options.file) <= set(FILES):
        parser.error("the files are " + ", ".join(FILES))
    equivalent = read_equivalent(os.path.join(options.tree, "test/mutation/equivalent"))
    known = {change.key for file in FILES for change in changes_of(options.tree, file)}
    for key in sorted(equivalent - known):
        sys.exit("error: not a change, in the list of equivalent ones: %s %s\n- %s\n+ %s" % key)
    if options.list:
        for file in options.file:
            for change in changes_of(options.tree, file):
                print(change)
        return
    # However it ends, the source is as it was.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    bench = Bench(options)
    bench.prepare()
    noticed = missed = 0
    for file in options.file:
        changes = changes_of(options.tree, file)
        random.Random("%s %s" % (options.seed, file)).shuffle(changes)
        counts = judge_file(bench, file, changes, equivalent, options.sample)
        judged = counts["noticed"] + counts["not noticed"]
        print("%s: %d changes tried, %d equivalent, %d noticed: %d %%" %
              (file, judged + counts["equivalent"], counts["equivalent"], counts["noticed"],
               100 * counts["noticed"] // max(judged, 1)), flush=True)
        noticed += counts["noticed"]
        missed += counts["not noticed"]
    print("%d noticed, %d not noticed" % (noticed, missed))


if __name__ == "__main__":
    main()
