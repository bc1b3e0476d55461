"""All changes of a file in one library: each changed function is there once more for each
of its changes, and numbers in a file say which of them are called, of each function one at
most.

So a file is compiled once, and not for each of its changes.  The file with the numbers is
named by the variable ACTEON_MUTATION of the server's environment, and read when the library
is loaded, as each session does.
"""
import re

from changes import functions, masked

SELECTION = """
#include <stdio.h>
#include <stdlib.h>
%(variables)s
__attribute__((constructor)) static void
select_variants(void)
{
	const char *path = getenv("ACTEON_MUTATION");
	FILE *file = path == NULL ? NULL : fopen(path, "r");
	int number;

	if (file == NULL)
		return;
	while (fscanf(file, "%%d", &number) == 1)
		switch (number)
		{
%(cases)s
		}
	fclose(file);
}
"""


def parameters(code):
    """The names of a function's parameters, by what stands between its parentheses."""
    if code.strip() == "PG_FUNCTION_ARGS":
        return ["fcinfo"]
    if code.strip() == "void":
        return []
    return [re.search(r"(\w+)(\[\w*\])?\s*$", parameter).group(1) for parameter in code.split(",")]


def with_variants(text, changes):
    """The text of a file with all the given changes of it, which count from one; and which lines of it are
    which change's."""
    code = masked(text)
    made = []
    lines = {}
    at = 0

    def add(part):
        made.append(part)

    for name, _, body, end in functions(code):
        own = [(number, change) for number, change in changes if change.key[1] == name]
        if not own:
            continue
        begin = code.rindex("\n" + name + "(", 0, body) + 1
        start = code.rindex("\n", 0, begin - 1) + 1
        kind = text[start:begin].strip()
        arguments = text[begin + len(name):body].strip()
        passed = ", ".join(parameters(code[begin + len(name):body].strip()[1:-1]))
        if at == 0:
            # Behind the headers, of which the last is before the first function.
            last = max(match.end() for match in re.finditer(r"^#include[^\n]*\n", text[:start], flags=re.M))
            names = sorted({change.key[1] for _, change in changes})
            add(text[:last] + SELECTION %
                {"variables": "\n".join("static int selected_%s = 0;" % name for name in names),
                 "cases": "\n".join("case %d: selected_%s = %d; break;" % (number, change.key[1], number)
                                    for number, change in changes)})
            at = last
        add(text[at:start])
        add("%s %s%s;\n" % (kind, name, arguments))
        plain = kind.replace("static ", "")
        calls = []
        for number, change in [(0, None), *own]:
            changed = text[body:end] if change is None else change.text[body:len(change.text) - len(text) + end]
            first = "".join(made).count("\n") + 1 if number else 0
            add("static %s %s_v%d%s%s\n" % (plain, name, number, arguments, changed))
            if number:
                lines.update(dict.fromkeys(range(first, first + changed.count("\n") + 2), number))
            calls.append("%s return %s_v%d(%s);\n" % ("case %d:" % number if number else "default:", name, number, passed))
        add("%s %s%s\n{\nswitch (selected_%s)\n{\n%s}\n}" % (kind, name, arguments, name, "".join(calls[1:] + calls[:1])))
        at = end
    add(text[at:])
    return "".join(made), lines
