"""What the gateway reads, and what a relay of ours must send.

read_action() takes what the gateway takes and refuses what it refuses, with its
status and words (facts.md, section 1, step 3; gateway.md, section 2).  It is not
told where in the text a fault is: " at line 1 column 173" is left out.

oddities() is stricter: a relay sends exactly the thirteen keys of gateway.md,
section 2, in their order, and behind them those of a signature if it signs, with
replayed_from, or acteon_notify, and no system key among the labels.
What differs is a violation, whatever the gateway answers to it.
"""

import datetime
import functools
import json
import re

KEYS = ["id", "namespace", "tenant", "provider", "action_type", "payload",
        "metadata", "dedup_key", "status", "fingerprint", "starts_at",
        "ends_at", "created_at"]
# What a relay that signs sends besides.
SIGNATURE = ["signature", "signer_id"]
REQUIRED = ["id", "namespace", "tenant", "provider", "action_type", "payload", "created_at"]
REQUIRED_STRINGS = ["id", "namespace", "tenant", "provider", "action_type"]
OPTIONAL_STRINGS = ["dedup_key", "status", "fingerprint", "template", "signature", "signer_id", "kid"]
# What a relay sends.
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|\+00:00)\Z",
                  re.ASCII)
# What the gateway reads: RFC 3339 with all its freedoms, and years of more digits.
ANY_TIME = re.compile(r"([+-]\d{5,}|\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))\Z",
                      re.ASCII)
FLOAT = re.compile(r"-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?\Z")
INFINITE = float("inf")
LONGEST_BODY = 2 * 1024 * 1024
WRONG_TYPE = "Failed to deserialize the JSON body into the target type: "
TYPES = {type(None): "null", bool: "boolean", int: "integer", float: "floating point", str: "string",
         list: "sequence", dict: "map"}


class Refused(Exception):
    """A request that the gateway refuses: status, and a text that is not JSON unless error is given."""

    def __init__(self, status, text="", error=None, headers=None):
        super().__init__(text or error)
        self.status = status
        self.text = text
        self.error = error
        self.headers = headers or {}


class Duplicate(ValueError):
    """A key that an object has twice, which the gateway reads and a relay never sends."""


def no_duplicates(pairs):
    """A JSON object, which must not have a key twice."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Duplicate("a key occurs twice")
    return members


def no_constants(name):
    """Refuse NaN and Infinity, which Python reads though they are not JSON."""
    raise ValueError(f"{name} is not JSON")


def as_integer(digits):
    """A number without a fraction: what does not fit 64 bits is a double, as the gateway reads it."""
    if len(digits) < 19:
        return int(digits) if digits != "-0" else -0.0
    if len(digits) > 20 or not -2**63 <= int(digits) < 2**64:
        return as_double(digits)
    return int(digits)


def as_double(text):
    """A number with a fraction as the gateway's parser reads it, which may be one unit off (facts.md, section 9).

    The digits are one integer, which is multiplied or divided by a power of ten, both rounded.  Few digits
    come out as everywhere.  One that no double can hold is refused.
    """
    match = FLOAT.match(text)
    if len(text) < 16 and match.group(3) is None:
        return float(text)
    digits = match.group(1) + (match.group(2) or "")
    exponent = int(match.group(3) or 0) - len(match.group(2) or "")
    while int(digits) >= 2**64:
        digits, exponent = digits[:-1], exponent + 1
    value = float(int(digits))
    while exponent < -308 and value:
        value, exponent = value / 1e308, exponent + 308
    if value and exponent > 308:
        raise ValueError("number out of range")
    if value:
        value = value * float(10**exponent) if exponent >= 0 else value / float(10**-exponent)
    if value == INFINITE:
        raise ValueError("number out of range")
    return -value if text.startswith("-") else value


class Members(dict):
    """A JSON object that knows which keys came twice."""

    def __init__(self, pairs):
        super().__init__(pairs)
        self.twice = None
        if len(self) != len(pairs):
            names = [name for name, _ in pairs]
            self.twice = next(name for name in names if names.count(name) > 1)


DECODER = json.JSONDecoder(object_pairs_hook=no_duplicates, parse_int=as_integer, parse_float=as_double,
                           parse_constant=no_constants)
LENIENT = json.JSONDecoder(object_pairs_hook=Members, parse_int=as_integer, parse_float=as_double,
                           parse_constant=no_constants)


def decode(body):
    """The JSON of a body, and what a relay would not send in it (or None)."""
    try:
        text = body.decode("utf-8")
        if text[:1] in " \t\r\n":
            text = text.lstrip(" \t\r\n")
        try:
            found, end = DECODER.raw_decode(text)
            odd = None
        except Duplicate as error:
            found, end = LENIENT.raw_decode(text)
            odd = str(error)
        if end != len(text) and text[end:].strip(" \t\r\n"):
            raise ValueError("trailing characters")
        if "\\ud" in text or "\\uD" in text:
            # Half of a pair is no character.
            json.dumps(found, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"Failed to parse the request body as JSON: {error}") from error
    # Within the payload the last one counts; a field of the action itself is there once.
    if odd is not None and isinstance(found, Members) and found.twice is not None:
        raise Refused(422, f"{WRONG_TYPE}duplicate field `{found.twice}`")
    return found, odd


def described(value):
    """A value as the gateway's refusals name it."""
    name = TYPES[type(value)]
    if isinstance(value, bool):
        return f"{name} `{str(value).lower()}`"
    if isinstance(value, (int, float)):
        return f"{name} `{value}`"
    if isinstance(value, str):
        return f"{name} {json.dumps(value, ensure_ascii=False)}"
    return name


def parts_of_time(value):
    """Year, the rest as in datetime's arguments, digits of the fraction, minutes east of UTC; None if it is no time."""
    match = ANY_TIME.match(value)
    if not match:
        return None
    year, *numbers = (int(part) for part in match.groups()[:6])
    month, day, hour, minute, second = numbers
    offset = 0
    if match.group(8):
        offset = (int(match.group(9)) * 60 + int(match.group(10))) * (-1 if match.group(8) == "-" else 1)
    try:
        # Leap seconds are times; a year beyond what Python knows has the months of one that it does.
        datetime.datetime(year if 1 <= year <= 9999 else 2000 + year % 400, month, day, hour, minute, min(second, 59))
    except ValueError:
        return None
    return None if second > 60 else (year, (month, day, hour, minute, second), (match.group(7) or "")[:9], offset)


def utc_text(value):
    """A time as the gateway prints it: UTC with Z and the fewest of 0, 3, 6 or 9 digits (facts.md, section 10)."""
    year, (month, day, hour, minute, second), digits, offset = parts_of_time(value)
    digits = digits.ljust(9, "0")
    while digits and digits.endswith("000"):
        digits = digits[:-3]
    known = year if 1 < year < 9999 else 2000 + year % 400
    moment = datetime.datetime(known, month, day, hour, minute) - datetime.timedelta(minutes=offset)
    year += moment.year - known
    shown = f"{year:04d}" if 0 <= year <= 9999 else f"{year:+05d}"
    return f"{shown}-{moment:%m-%dT%H:%M}:{second:02d}{'.' if digits else ''}{digits}Z"


def check_fields(action):
    """Refuse what does not become an action; the keys that are not there are added."""
    for key in REQUIRED:
        if key not in action:
            raise Refused(422, f"{WRONG_TYPE}missing field `{key}`")
    for key in REQUIRED_STRINGS:
        if not isinstance(action[key], str):
            raise Refused(422, f"{WRONG_TYPE}{key}: invalid type: {described(action[key])}, expected a string")
    for key in OPTIONAL_STRINGS:
        if action.setdefault(key, None) is not None and not isinstance(action[key], str):
            raise Refused(422, f"{WRONG_TYPE}{key}: invalid type: {described(action[key])}, expected a string")
    labels = action.setdefault("metadata", {})
    if not isinstance(labels, dict):
        raise Refused(422, f"{WRONG_TYPE}metadata: invalid type: {described(labels)}, expected struct ActionMetadata")
    for value in labels.values():
        if not isinstance(value, str):
            raise Refused(422, f"{WRONG_TYPE}metadata: invalid type: {described(value)}, expected a string")
    if not isinstance(action.setdefault("trace_context", {}), dict):
        raise Refused(422, f"{WRONG_TYPE}trace_context: invalid type: {described(action['trace_context'])}, expected a map")
    if not isinstance(action.setdefault("attachments", []), list):
        raise Refused(422, f"{WRONG_TYPE}attachments: invalid type: {described(action['attachments'])}, expected a sequence")
    for key in ("starts_at", "ends_at", "created_at"):
        value = action.setdefault(key, None)
        if value is None and key != "created_at":
            continue
        if not isinstance(value, str):
            raise Refused(422, f"{WRONG_TYPE}{key}: invalid type: {described(value)}, expected an RFC 3339 formatted date and time string")
        if not TIME.match(value) and parts_of_time(value) is None:
            raise Refused(422, f"{WRONG_TYPE}{key}: input contains invalid characters")


def read_action(body):
    """The action that a body holds, and what is odd in it for a relay of ours: (kind, detail) or None."""
    if len(body) > LONGEST_BODY:
        raise Refused(413, "Failed to buffer the request body: length limit exceeded")
    action, odd = decode(body)
    if not isinstance(action, dict):
        raise Refused(422, f"{WRONG_TYPE}invalid type: {described(action)}, expected struct Action")
    found = oddities(action)
    if found is None:
        # What a relay sends needs no second look; these it may leave out.
        for key in ("template", "signature", "signer_id", "kid"):
            action.setdefault(key, None)
        action.setdefault("trace_context", {})
        action.setdefault("attachments", [])
    else:
        check_fields(action)
    return action, ("json", odd) if odd else found


@functools.lru_cache(maxsize=4096)
def wrong_time(value):
    """What is wrong with an RFC 3339 time in UTC that must exist in the calendar; None if nothing is."""
    if not isinstance(value, str) or not TIME.match(value):
        return repr(value)
    try:
        datetime.datetime.strptime(value[:19], "%Y-%m-%dT%H:%M:%S")
    except ValueError as error:
        return f"{value!r}: {error}"
    return None


def check_time(action, key):
    """What is wrong with a time of an action; None if nothing is."""
    value = action[key]
    wrong = wrong_time(value) if value.__hash__ else repr(value)
    return f"{key} is {wrong}" if wrong else None


def oddities(action):
    """What a relay would not have sent like this: (kind, detail), or None."""
    keys = list(action)
    for signed in (SIGNATURE + ["kid"], SIGNATURE):
        if keys[-len(signed):] == signed:
            keys = keys[:-len(signed)]
            if not all(isinstance(action[key], str) and action[key] for key in signed):
                return "type", f"of {signed} one is no text"
            break
    if keys not in (KEYS, KEYS[:-1] + ["trace_context"] + KEYS[-1:]):
        return "keys", f"keys are {list(action)}"
    for key in REQUIRED_STRINGS:
        if not isinstance(action[key], str) or not action[key]:
            return "type", f"{key} is {action[key]!r}"
    for key in ("dedup_key", "status", "fingerprint"):
        if action[key] is not None and not isinstance(action[key], str):
            return "type", f"{key} is {action[key]!r}"
    labels = action["metadata"]
    if not isinstance(labels, dict):
        return "metadata", f"metadata is {labels!r}"
    for label, value in labels.items():
        if not isinstance(value, str):
            return "metadata", f"label {label} is {value!r}"
        if label.startswith("__"):
            return "metadata", f"{label} is a system key"
    if "replayed_from" not in labels and "acteon_notify" not in labels:
        return "metadata", "replayed_from is missing"
    for key in ("starts_at", "ends_at", "created_at"):
        if action[key] is not None or key == "created_at":
            wrong = check_time(action, key)
            if wrong is not None:
                return "time", wrong
    return None
