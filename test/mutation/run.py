"""Changes the sources in small ways, and looks whether a test fails.

Run by test/mutate, in a built copy of the checkout.  What is changed is said in changes.py,
where that is built and tested in bench.py.

Before, each test is run with a library that counts, for the lines that it runs; for a
change, only those tests are run that run its line, as no other can notice it, first those
that have noticed most in the shortest time.  What the first tests do not notice is tried
with the others in groups, of changes of different functions, and those that a test notices
one by one.  A change that does not compile, or compiles to the same code as none, is not
counted.

The score of a file is the share of changes that make one of its tests fail, hang or crash
the server, among those that are not in the list of equivalent ones.
"""
import argparse
import collections
import hashlib
import json
import os
import queue
import random
import signal
import sys
import threading

from bench import Bench, in_threads, taken_from
from changes import changes_of, read_equivalent

# Which tests are run for which file, the regression tests and the isolation specs.
FILES = {
    "src/access/grants.c": (
        ["grants", "preview", "grants_many", "patch", "queue", "audit_records", "help", "approval"],
        ["grants_kept", "grants_seen"]),
    "src/replay/eligibility.c": (
        ["single", "replayed", "lineage", "preview", "judge", "bulk", "action", "effective", "lost", "notify", "patch",
         "expire", "replay_all"],
        ["single_race"]),
    "src/replay/earlier_replays.c": (
        ["single", "replayed", "lineage", "bulk", "judge", "effective", "redrive", "expire"],
        ["lost_race", "single_race", "race", "redrive_race", "pace_race"]),
    "src/consumer/claim.c": (
        ["outcome", "lanes", "limits", "queue", "doubts", "target", "expire", "canary"],
        ["lease", "lane", "wake"]),
    "src/consumer/answer.c": (
        ["outcome", "effect", "queue", "doubts", "lanes", "canary", "bad_input", "target", "limits"],
        ["lease", "wake"]),
    "src/batch/breaker.c": (
        ["batches", "replay_all", "limits", "doubts", "canary"],
        ["pace_race", "limits"]),
    "src/batch/failure_window.c": (
        ["batches", "limits", "doubts", "expire", "policy"],
        []),
    "src/api/api_keys.c": (
        ["api_keys"],
        ["api_key", "api_begin"]),
}

NOTICED, NOT_NOTICED, NOT_RUN = "noticed", "not noticed", "run by no test"
NO_CODE, SAME_CODE = "does not compile", "the same code"


class Results:
    """What is known of changes, by name; in a file, if there is one to go on with."""

    def __init__(self, path):
        self.known = {}
        self.file = None
        if path is None:
            return
        if os.path.exists(path):
            with open(path, encoding="utf-8") as lines:
                for line in lines:
                    result = json.loads(line)
                    self.known[tuple(result["change"])] = result
        self.file = open(path, "a", encoding="utf-8")  # pylint: disable=consider-using-with

    def add(self, change, **result):
        self.known[change.name] = {"change": change.name, **result}
        if self.file is not None:
            self.file.write(json.dumps(self.known[change.name]) + "\n")
            self.file.flush()

    def of(self, change):
        return self.known.get(change.name, {})


class Judge:
    """Judges the changes of one file, on several benches."""

    def __init__(self, file, tree, lines, results, alone):
        self.file = file
        self.alone = alone
        self.tree = tree
        self.lines = lines
        self.known_lines = sorted(line for other, line in lines if other == file)
        self.results = results
        self.lock = threading.Lock()
        self.code = None
        self.pending = {}
        self.runs = collections.Counter()
        self.noticed = collections.Counter()

    def tests_of(self, change):
        """The tests that run the line of a change; of a line that the compiler does not know, those that run
        the lines around it."""
        if (self.file, change.line) in self.lines:
            return self.lines[self.file, change.line]
        before = [line for line in self.known_lines if line < change.line][-1:]
        after = [line for line in self.known_lines if line > change.line][:1]
        return set().union(*(self.lines[self.file, line] for line in before + after))

    def tests(self):
        """All tests that run anything of the file."""
        return set().union(*self.lines.values())

    @staticmethod
    def check_unchanged(bench, test):
        """A test passes if nothing is changed, before, and after it has noticed changes: it has failed of nothing
        else."""
        bench.select([])
        if not bench.passes(test):
            sys.exit("error: %s fails without any change\n%s" % (test, bench.output))

    def in_order(self, bench, change, tests):
        """Tests, those first that are most likely to notice a change in a short time."""
        def chance(place):
            return (self.noticed[place] + 0.5) / (self.runs[place] + 1)

        def worth(test):
            return (chance((test, change.key[1])) + chance((test, None))) / (bench.times[test] + 0.5)
        return sorted(tests, key=worth, reverse=True)

    def add(self, change, **result):
        with self.lock:
            self.results.add(change, **result)

    def note(self, test, change, passed):
        with self.lock:
            for place in ((test, change.key[1]), (test, None)):
                self.runs[place] += 1
                self.noticed[place] += not passed

    def digest(self, test):
        """The hash of a test: of what it does, and of what it should print."""
        folder, kind = ("test/specs", "spec") if Bench.is_spec(test) else ("sql", "sql")
        name = test.split(" ")[-1]
        digest = hashlib.sha256()
        for path in ("%s/%s.%s" % (folder, name, kind),
                     "%s/%s.out" % ("test/expected" if kind == "spec" else "expected", name)):
            with open(os.path.join(self.tree, path), "rb") as file:
                digest.update(file.read())
        return digest.hexdigest()[:16]

    def judge(self, bench, number, change):
        """Try a change, with the first tests."""
        bench.select([number])
        tests = self.tests_of(change)
        # A test that has not noticed it before does not now.
        passed = {test: digest for test, digest in self.results.of(change).get("passed", {}).items()
                  if test in tests and digest == self.digest(test)}
        compared = bool(passed)
        for test in self.in_order(bench, change, tests - set(passed))[:max(self.alone - len(passed), 0)]:
            good = bench.passes(test)
            self.note(test, change, good)
            if not good:
                self.add(change, result=NOTICED, by=test)
                return
            passed[test] = self.digest(test)
        # Most are noticed by then, so it is not compiled on its own before.
        if not compared and bench.code_of(self.file, change.text) == self.code:
            self.add(change, result=SAME_CODE)
            return
        self.add(change, result=NOT_NOTICED if tests else NOT_RUN, passed=passed)
        with self.lock:
            self.pending[number] = (change, passed)

    def groups(self, tests):
        """What is to be tried still, in groups: a test, and changes of different functions."""
        for test in tests:
            groups = []
            for number, (change, passed) in sorted(self.pending.items()):
                if test not in self.tests_of(change) or test in passed:
                    continue
                for group in groups:
                    if change.key[1] not in group:
                        break
                else:
                    group = {}
                    groups.append(group)
                group[change.key[1]] = number
            for group in groups:
                yield test, list(group.values())

    def judge_group(self, bench, test, numbers):
        """Try several changes at once with a test; if it fails, the halves of them."""
        with self.lock:
            numbers = [number for number in numbers if number in self.pending]
        if not numbers:
            return
        bench.select(numbers)
        good = bench.passes(test)
        if good:
            for number in numbers:
                with self.lock:
                    change, passed = self.pending.get(number, (None, None))
                    if change is not None:
                        passed[test] = self.digest(test)
                        self.results.add(change, result=NOT_NOTICED, passed=passed)
        elif len(numbers) == 1:
            with self.lock:
                change, _ = self.pending.pop(numbers[0], (None, None))
                if change is not None:
                    self.results.add(change, result=NOTICED, by=test)
        else:
            half = len(numbers) // 2
            self.judge_group(bench, test, numbers[:half])
            self.judge_group(bench, test, numbers[half:])

    def judge_all(self, benches, changes):
        numbered = list(enumerate(changes, 1))
        with open(os.path.join(self.tree, self.file), encoding="utf-8") as source:
            original = source.read()
        self.code = benches[0].code_of(self.file, original)
        broken = benches[0].build_variants(self.file, numbered)
        left = queue.Queue()
        for number, change in numbered:
            known = self.results.of(change)
            if known.get("result") == NOTICED:
                self.note(known["by"], change, False)
            elif number in broken:
                self.add(change, result=NO_CODE)
            elif known.get("result") not in (NO_CODE, SAME_CODE):
                left.put((number, change))

        def work(bench):
            bench.put(benches[0].tree)
            self.check_unchanged(bench, min(self.tests(), key=bench.times.get))
            for number, change in taken_from(left):
                self.judge(bench, number, change)
        in_threads(benches, work, left)
        for group in self.groups(sorted(self.tests(), key=benches[0].times.get)):
            left.put(group)

        def work_on_groups(bench):
            for group in taken_from(left):
                self.judge_group(bench, *group)
        in_threads(benches, work_on_groups, left)
        self.check_unchanged(benches[0], max(self.tests(), key=lambda test: self.noticed[test, None]))
        # The library with the variants of another file is linked with this file's object.
        benches[0].code_of(self.file, original)


def judge_file(benches, judge, changes, equivalent):
    """Judge changes of a file, and print what was not noticed and the score."""
    listed = [change for change in changes if change.key in equivalent]
    changes = [change for change in changes if change.key not in equivalent]
    judge.judge_all(benches, changes)
    counts = collections.Counter()
    for change in sorted(changes, key=lambda change: change.line):
        result = judge.results.of(change)["result"]
        counts[result] += 1
        if result in (NOT_NOTICED, NOT_RUN):
            print("%s: %s" % (result, change))
    judged = counts[NOTICED] + counts[NOT_NOTICED] + counts[NOT_RUN]
    print("%s: %d changes tried, %d equivalent, %d noticed: %d %%" %
          (judge.file, judged + len(listed), len(listed), counts[NOTICED], 100 * counts[NOTICED] // max(judged, 1)),
          flush=True)
    return counts[NOTICED], judged - counts[NOTICED]


def main():
    parser = argparse.ArgumentParser(prog="test/mutate")
    parser.add_argument("--tree", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--pg-config", default="pg_config", help=argparse.SUPPRESS)
    parser.add_argument("--user", default="postgres", help=argparse.SUPPRESS)
    parser.add_argument("--sample", type=int, default=25, help="changes of each file; 0: all")
    parser.add_argument("--seed", default="1", help="decides which are drawn")
    parser.add_argument("--jobs", type=int, default=1, help="changes that are tried at a time")
    parser.add_argument("--alone", type=int, default=3,
                        help="with how many tests each change is tried on its own; in a group, one may hide another")
    parser.add_argument("--resume", help="a file of results, which are kept there, and not found out again")
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
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    results = Results(options.resume)
    tests = {file: FILES[file][0] + ["spec " + spec for spec in FILES[file][1]] for file in options.file}
    benches = [Bench(options, 0)]
    benches += [Bench(options, number, benches[0]) for number in range(1, options.jobs)]
    noticed = missed = 0
    try:
        left = queue.Queue()
        for test in dict.fromkeys(test for file in options.file for test in tests[file]):
            left.put(test)
        lines = {}

        def prepare(bench):
            bench.open(options.tree)
            bench.count_lines(options.file, left, lines)
        in_threads(benches, prepare, left)
        for file in options.file:
            changes = changes_of(options.tree, file)
            random.Random("%s %s" % (options.seed, file)).shuffle(changes)
            wanted = {place: run & set(tests[file]) for place, run in lines.items() if place[0] == file}
            judge = Judge(file, options.tree, wanted, results, options.alone)
            counts = judge_file(benches, judge, changes[:options.sample or None], equivalent)
            noticed += counts[0]
            missed += counts[1]
    finally:
        for bench in benches:
            bench.close()
    print("%d noticed, %d not noticed" % (noticed, missed))


if __name__ == "__main__":
    main()
