"""What the gateway accepts: POST /v1/dispatch with one action."""

import datetime
import json
import re

KEYS = ["id", "namespace", "tenant", "provider", "action_type", "payload",
        "metadata", "dedup_key", "status", "fingerprint", "starts_at",
        "ends_at", "created_at"]
REQUIRED_STRINGS = ["id", "namespace", "tenant", "provider", "action_type"]
OPTIONAL_STRINGS = ["dedup_key", "status", "fingerprint"]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|\+00:00)\Z",
                  re.ASCII)


class BadRequest(Exception):
    """A request that the gateway would refuse: kind for counting, detail to read."""

    def __init__(self, kind, detail, status=400):
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail
        self.status = status


def no_duplicates(pairs):
    """A JSON object, which must not have a key twice."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key occurs twice")
    return members


def no_constants(name):
    """Refuse NaN and Infinity, which Python reads though they are not JSON."""
    raise ValueError(f"{name} is not JSON")


# Numbers are only looked at to be told from strings, and may be of any length.
DECODER = json.JSONDecoder(object_pairs_hook=no_duplicates, parse_int=float,
                           parse_constant=no_constants)


def check_time(action, key, required):
    """An RFC 3339 time in UTC that exists in the calendar."""
    value = action[key]
    if value is None and not required:
        return
    if not isinstance(value, str) or not TIME.match(value):
        raise BadRequest("time", f"{key} is {value!r}")
    try:
        datetime.datetime.strptime(value[:19], "%Y-%m-%dT%H:%M:%S")
    except ValueError as error:
        raise BadRequest("time", f"{key} is {value!r}: {error}") from error


def check_action(body):
    """The action that a body holds, if it is exactly what section 2 says."""
    try:
        text = body.decode("utf-8")
        action, end = DECODER.raw_decode(text)
        if end != len(text):
            raise ValueError("something follows the JSON")
    except (ValueError, RecursionError) as error:
        raise BadRequest("json", str(error)) from error
    if not isinstance(action, dict):
        raise BadRequest("keys", "the body is not an object")
    if list(action) != KEYS:
        raise BadRequest("keys", f"keys are {list(action)}")
    for key in REQUIRED_STRINGS:
        if not isinstance(action[key], str) or not action[key]:
            raise BadRequest("type", f"{key} is {action[key]!r}")
    for key in OPTIONAL_STRINGS:
        if action[key] is not None and not isinstance(action[key], str):
            raise BadRequest("type", f"{key} is {action[key]!r}")
    labels = action["metadata"]
    if not isinstance(labels, dict):
        raise BadRequest("metadata", f"metadata is {labels!r}")
    for label, value in labels.items():
        if not isinstance(value, str):
            raise BadRequest("metadata", f"label {label} is {value!r}")
        if label.startswith("__"):
            raise BadRequest("metadata", f"{label} is a system key")
    if "replayed_from" not in labels:
        raise BadRequest("metadata", "replayed_from is missing")
    check_time(action, "starts_at", False)
    check_time(action, "ends_at", False)
    check_time(action, "created_at", True)
    return action


def check_head(method, path, headers, prefix, key):
    """Everything about a dispatch that stands before its body."""
    if path != f"{prefix}/v1/dispatch":
        raise BadRequest("path", path, 404)
    if method != "POST":
        raise BadRequest("method", method, 405)
    if headers.get("content-type", "").split(";")[0].strip() != "application/json":
        raise BadRequest("content-type", headers.get("content-type"))
    if "host" not in headers:
        raise BadRequest("host", "there is no Host")
    if "content-length" not in headers or "transfer-encoding" in headers:
        raise BadRequest("length", "Content-Length is missing", 411)
    if headers.get("authorization") != f"Bearer {key}":
        raise BadRequest("unauthorized", "bad credentials", 401)
