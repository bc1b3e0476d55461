"""Prints how much of the sources was run, from what gcov counted.

    test/coverage.py TREE LEAST

TREE is a checkout that was built with --coverage and has been used.  Fails if less than
LEAST per cent of the lines were run.  Run by test/check.
"""
import json
import os
import subprocess
import sys


def counted(tree):
    """What gcov knows about each file of each object: its lines and functions."""
    notes = [os.path.join(folder, name) for folder, _, names in os.walk(tree) for name in names if name.endswith(".gcno")]
    for first in range(0, len(notes), 50):
        said = subprocess.run(["gcov", "--json-format", "--stdout", *notes[first:first + 50]], cwd=tree, check=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        for line in said.splitlines():
            if line.strip():
                yield from json.loads(line)["files"]


def percent(runs):
    """How many per cent of the counts are not zero."""
    return 100 * sum(count > 0 for count in runs) / max(len(runs), 1)


def main():
    tree = os.path.realpath(sys.argv[1])
    lines, functions = {}, {}
    # A file is compiled more than once: for a program, and for its unit tests.
    for file in counted(tree):
        name = os.path.relpath(os.path.join(tree, file["file"]), tree)
        if not name.startswith("src/"):
            continue
        room = os.path.dirname(name)
        for line in file["lines"]:
            place = (name, line["line_number"])
            lines.setdefault(room, {})[place] = lines.get(room, {}).get(place, 0) + line["count"]
        for function in file["functions"]:
            place = (name, function["name"])
            functions.setdefault(room, {})[place] = functions.get(room, {}).get(place, 0) + function["execution_count"]
    for room in sorted(lines):
        print("   %-24s %6.1f %% of %5d lines, %6.1f %% of %4d functions" %
              (room, percent(lines[room].values()), len(lines[room]),
               percent(functions.get(room, {}).values()), len(functions.get(room, {}))))
    run = [percent([count for room in table.values() for count in room.values()]) for table in (lines, functions)]
    print("%.1f %% of lines, %.1f %% of functions" % tuple(run))
    if run[0] < float(sys.argv[2]):
        sys.exit("error: less than %s %% of the lines were run" % sys.argv[2])


if __name__ == "__main__":
    main()
