"""What comes between a relay and the gateway: rules made of a match and an answer.

    {"match": {"provider": …, "tenant": …, "action_type": …, "id": …,
               "attempt": n,        the nth request for what it replays, whatever its ids
               "nth": n,            the nth request of all
               "after": n},         any request after so many
     "probability": 0.2, "limit": 5,
     "answer": {
         "status": 503, "headers": {…}, "body": <JSON>, "text": "not JSON",
         "retry_after": 3,          seconds
         "retry_after_date": 3,     the same as a date
         "effect": true,            the action takes effect, whatever the answer
         "claim": true,             the gateway has seen the request, and its id is burnt
         "delay_ms": 1500,          before the answer; with "effect": false before the execution,
                                    which does not happen if the client is gone by then
         "reset": "connect"|"head"|"body",  RST: at once, before or after reading
         "half": "head"|"body",     end the connection in the middle
         "raw": "…",                these bytes instead of an answer
         "size": 2097152,           a JSON string of this length as body
         "drip_ms": 100,            one byte of the body at a time
         "chunked": true,           no Content-Length
         "hang_up": true}}          end the connection after the answer, unannounced

The first rule that fits answers.  A match value may be a list of values.

What is answered in the gateway's words (200, 429, and 500 with a body that is JSON) is
the gateway's answer: it has claimed the id first, and says 409 if it is taken.  What is
not was said by somebody in between, and the gateway has seen the request only if it took
effect, or if "claim" says so.  A 200 without a body of its own is what the gateway
makes of the action; every other one takes effect unless "effect" says it does not.
"""

import email.utils
import json
import time

MATCH_KEYS = {"provider", "tenant", "action_type", "id", "attempt", "nth", "after"}
RULE_KEYS = {"match", "probability", "limit", "answer"}
ANSWER_KEYS = {"status", "headers", "body", "text", "retry_after", "retry_after_date",
               "effect", "claim", "delay_ms", "reset", "half", "raw", "size", "drip_ms",
               "chunked", "hang_up"}
REASONS = {200: "OK", 302: "Found", 307: "Temporary Redirect", 308: "Permanent Redirect",
           400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
           405: "Method Not Allowed", 409: "Conflict", 413: "Content Too Large",
           415: "Unsupported Media Type",
           422: "Unprocessable Content", 429: "Too Many Requests",
           500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable"}


def head_and_body(status, body, headers=None, chunked=False):
    """The bytes of an answer, head and body apart."""
    fields = {"Content-Type": "application/json"}
    if chunked:
        fields["Transfer-Encoding"] = "chunked"
    else:
        fields["Content-Length"] = str(len(body))
    fields.update(headers or {})
    fields = {name: value for name, value in fields.items() if value is not None}
    head = f"HTTP/1.1 {status} {REASONS.get(status, 'Odd')}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    if chunked:
        half = len(body) // 2
        body = b"".join(b"%x\r\n%s\r\n" % (len(part), part)
                        for part in (body[:half], body[half:]) if part) + b"0\r\n\r\n"
    return f"{head}\r\n".encode("latin-1"), body


def error_answer(status, message):
    """A refusal, as the gateway words it."""
    return b"".join(head_and_body(status, json.dumps({"error": message}).encode()))


def json_answer(status, found, headers=None):
    """An answer with a JSON body."""
    return b"".join(head_and_body(status, json.dumps(found).encode(), headers))


EXECUTED = {"Executed": {"status": "success", "body": {"accepted": True}, "headers": {}}}


def known_keys(what, given, known):
    """Refuse a misspelt key, which would make a test test nothing."""
    if not set(given) <= known:
        raise ValueError(f"unknown {what}: {sorted(set(given) - known)}")


class Rule:
    """One rule, and how often it has answered."""

    def __init__(self, spec):
        known_keys("rule key", spec, RULE_KEYS)
        self.match = spec.get("match", {})
        self.answer = spec["answer"]
        self.probability = spec.get("probability", 1)
        self.limit = spec.get("limit")
        self.applied = 0
        known_keys("match key", self.match, MATCH_KEYS)
        known_keys("answer key", self.answer, ANSWER_KEYS)
        self.when = self.answer.get("reset") if self.answer.get("reset") in ("connect", "head") else "body"
        if self.when != "body" and self.match:
            raise ValueError("nothing is known of a request that is not read")

    def fits(self, when, facts, chance):
        """Whether this rule answers, which is then counted."""
        if self.when != when or (self.limit is not None and self.applied >= self.limit):
            return False
        for key, wanted in self.match.items():
            if key == "after":
                if facts["nth"] <= wanted:
                    return False
            elif facts[key] not in (wanted if isinstance(wanted, list) else [wanted]):
                return False
        if self.probability < 1 and chance.random() >= self.probability:
            return False
        self.applied += 1
        return True


def is_own(answer):
    """Whether the gateway itself says this."""
    whole = not any(key in answer for key in ("reset", "half", "raw"))
    status = answer.get("status", 200)
    return whole and (status in (200, 429) or (status == 500 and "text" not in answer))


def is_canned(answer):
    """Whether it says itself what the gateway's answer is, of whatever status."""
    return answer.get("status", 200) != 200 or any(
        key in answer for key in ("reset", "half", "raw", "text", "size", "body"))


def takes_effect(answer):
    """Whether an action that is answered like this has done what it is for."""
    plain = answer.get("status", 200) == 200 and not any(
        key in answer for key in ("reset", "half", "raw", "text", "size"))
    return answer.get("effect", plain)


def claims(answer):
    """Whether the gateway has seen a request that is answered like this."""
    return answer.get("claim", takes_effect(answer) or is_own(answer))


def tag(outcome):
    """What an outcome is called."""
    return outcome if isinstance(outcome, str) else next(iter(outcome))


def outcome_name(answer):
    """What a consumer would call an answer that is final, as the gateway tags it; else None."""
    if answer.get("status", 200) == 409:
        return "AlreadyDispatched"
    if answer.get("status", 200) != 200 or any(key in answer for key in ("reset", "half", "raw", "text", "size")):
        return None
    return tag(answer.get("body", EXECUTED))


def build(answer, outcome=None):
    """An answer's status, head and body; with what the gateway has made of the action."""
    status = answer.get("status", 200)
    if "size" in answer:
        body = json.dumps("x" * (answer["size"] - 2)).encode()
    elif "text" in answer:
        body = answer["text"].encode()
    else:
        body = json.dumps(answer.get("body", (outcome or EXECUTED) if status == 200 else
                                     {"error": f"told to answer {status}"})).encode()
    headers = dict(answer.get("headers", {}))
    if "retry_after" in answer:
        headers["Retry-After"] = answer["retry_after"]
    if "retry_after_date" in answer:
        headers["Retry-After"] = email.utils.formatdate(
            time.time() + answer["retry_after_date"], usegmt=True)
    head, body = head_and_body(status, body, headers, answer.get("chunked", False))
    if answer.get("half") == "head":
        head, body = head[:len(head) // 2], b""
    elif answer.get("half") == "body":
        body = body[:len(body) // 2]
    return status, head, body
