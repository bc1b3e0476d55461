"""Signatures of actions: the bytes that are signed, and who may sign (facts.md, section 10).

    "signing": {"reject_unsigned": true,
                "keyring": [{"signer_id": …, "kid": "k0", "public_key": base64, "tenants": ["*"], "namespaces": ["*"]}]}

The bytes are the action as the gateway reads it.  Verifying needs Python's
cryptography package; without it every signature of a known signer is taken for good.
"""

import base64
import hashlib
import json
import math

from request_check import utc_text

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    CAN_VERIFY = True
except ImportError:
    CAN_VERIFY = False

UNSIGNED = "unsigned action rejected: signing.reject_unsigned is enabled; provide both 'signature' and 'signer_id' fields"
SIGNED = ["action_type", "created_at", "dedup_key", "ends_at", "fingerprint", "id", "metadata", "namespace", "payload",
          "provider", "starts_at", "status", "template", "tenant", "trace_context"]
ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


def print_double(value):
    """A double as the gateway prints it: shortest digits, e+16 and e-6 and beyond with an exponent."""
    if value == 0:
        return "-0.0" if math.copysign(1, value) < 0 else "0.0"
    sign = "-" if value < 0 else ""
    mantissa, exponent = f"{abs(value)!r}".lower().split("e") if "e" in repr(value) else (repr(abs(value)), "0")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0") or "0"
    point = len(whole) + int(exponent) - (len(whole + fraction) - len((whole + fraction).lstrip("0")))
    digits = digits.rstrip("0") or "0"
    if 0 < point <= 16:
        text = digits.ljust(point, "0")
        return f"{sign}{text[:point]}.{text[point:] or '0'}"
    if -5 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    rest = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{rest}e{point - 1:+d}"


def quoted(text):
    """A JSON string with as few escapes as the gateway has."""
    return '"' + "".join(ESCAPES.get(char) or (f"\\u{ord(char):04x}" if char < " " else char) for char in text) + '"'


def canonical(value):
    """Compact JSON with the keys of every object in the order of their bytes."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{quoted(key)}:{canonical(value[key])}" for key in sorted(value, key=lambda key: key.encode())) + "}"
    if isinstance(value, list):
        return "[" + ",".join(canonical(item) for item in value) + "]"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, float):
        return print_double(value)
    return json.dumps(value)


def signed_bytes(action):
    """What the signature of an action is of."""
    kept = {key: action[key] for key in SIGNED}
    for key in ("created_at", "starts_at", "ends_at"):
        if kept[key] is not None:
            kept[key] = utc_text(kept[key])
    if action["attachments"]:
        kept["attachments"] = action["attachments"]
    return canonical(kept).encode()


def canonical_hash(action):
    """The hash that a record keeps: of the action as it is when it is executed, whose trace is the gateway's own."""
    return hashlib.sha256(signed_bytes({**action, "trace_context": {}})).hexdigest()


class Signing:
    """What is asked of signatures."""

    def __init__(self, told):
        if not set(told) <= {"reject_unsigned", "keyring"}:
            raise ValueError(f"unknown key of signing: {sorted(told)}")
        self.reject_unsigned = told.get("reject_unsigned", True)
        self.keyring = told.get("keyring", [])

    def refusal(self, action):
        """Why an action is not accepted, or None."""
        signer = action["signer_id"]
        if action["signature"] is None or signer is None:
            return UNSIGNED if self.reject_unsigned else None
        keys = [key for key in self.keyring if key["signer_id"] == signer
                and action["kid"] in (None, key.get("kid", "k0"))]
        signed = signed_bytes(action)
        for key in keys:
            if self.verifies(key, action["signature"], signed):
                break
        else:
            return f"signature verification failed for signer '{signer}'"
        for scope, value in (("tenants", action["tenant"]), ("namespaces", action["namespace"])):
            if not {"*", value} & set(key.get(scope, ["*"])):
                return f"signer '{signer}' is not authorized for tenant={action['tenant']} namespace={action['namespace']}"
        return None

    @staticmethod
    def verifies(key, signature, signed):
        """Whether a key's owner has signed these bytes."""
        try:
            raw = base64.b64decode(signature, validate=True)
        except ValueError:
            return False
        if not CAN_VERIFY:
            return len(raw) == 64
        try:
            Ed25519PublicKey.from_public_bytes(base64.b64decode(key["public_key"])).verify(raw, signed)
        except (InvalidSignature, ValueError):
            return False
        return True
