"""The changes that test/mutate tries, and the list of those that cannot be noticed.

What is changed, within functions only:

  relation    < and <=, > and >=, == and != are exchanged, and each order is reversed
  logic       && and || are exchanged, ! is left out, the condition of an if is negated
  arithmetic  + and -, * and /, += and -=, | and & are exchanged
  constant    a number becomes one more; true and false are exchanged
  result      what a function of type bool returns is negated
  statement   a call, an assignment, break, continue or return is left out

Left as they are: what releases memory, checks for interrupts or asserts, which no test of
results can notice, and texts.
"""
import collections
import os
import re

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
    changes = [Change(file, text, name, *change) for name, kind, start, end in functions(code)
               for change in changes_of_function(text, code, kind, start, end)]
    # The same change of the same line may occur more than once in a function.
    count = collections.Counter()
    for change in changes:
        count[change.key] += 1
        change.name = (*change.key, count[change.key])
    return changes


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
