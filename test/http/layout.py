"""Lays a JSON file out for people, always in the same way: what fits on a line is
on one, the rest has a line a member, indented by two blanks.

    python3 layout.py file.json

The order of the members stays.  openapi_check.py wants openapi.json to be so.
"""

import json
import sys

WIDTH = 120


def layout(value, indent=0, taken=0):
    """The text of a value that begins after so many characters of its line."""
    line = json.dumps(value, ensure_ascii=False)
    # One more for the comma.
    if not value or not isinstance(value, (dict, list)) or indent + taken + len(line) < WIDTH:
        return line
    blanks = " " * (indent + 2)
    if isinstance(value, dict):
        names = [json.dumps(name, ensure_ascii=False) + ": " for name in value]
        members = [name + layout(member, indent + 2, len(name)) for name, member in zip(names, value.values())]
        return "{\n" + ",\n".join(blanks + member for member in members) + "\n" + " " * indent + "}"
    members = [layout(member, indent + 2) for member in value]
    return "[\n" + ",\n".join(blanks + member for member in members) + "\n" + " " * indent + "]"


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        document = json.load(file)
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        file.write(layout(document) + "\n")
