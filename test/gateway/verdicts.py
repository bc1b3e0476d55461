"""The gateway's own rules, quotas, silences: what decides before a provider is asked.

    "verdicts": [{"name": "r-suppress", "match": {"action_type": "suppress_me"}, "verdict": "suppress", …}]

verdict is allow, suppress, deny, reroute (target), throttle (max_count, window_seconds),
deduplicate (ttl_seconds), modify, group (group_by, wait_seconds), request_approval
(timeout_seconds), chain (chain_name, steps), schedule (delay_seconds), state_machine (there are none).  A match names
fields of the action, and what is in them as "metadata.<label>" and "payload.<key>"; the
first rule that fits decides, unless what its "unless" says fits as well.

    "quotas": [{"tenant": …, "limit": n, "behavior": "block" | "warn" | "degrade:<provider>"}]
    "silences": [{"match": {…}, "id": "…"}],  "mutes": [{"match": {…}, "interval": "…"}]

From facts.md, sections 1, 6 and 7, and the recorded answers.
"""

import datetime
import hashlib
import json
import uuid

RULE_KEYS = {"name", "match", "unless", "verdict", "target", "max_count", "window_seconds", "ttl_seconds", "group_by",
             "wait_seconds", "timeout_seconds", "chain_name", "steps", "delay_seconds", "state_machine"}
VERDICTS = {"allow", "suppress", "deny", "reroute", "throttle", "deduplicate", "modify", "group", "request_approval",
            "chain", "schedule", "state_machine"}
# Payloads with one of these are not counted against quotas, whoever sends them.
MARKERS = ("_scheduled_dispatch", "_recurring_dispatch", "_group_dispatch")
NO_RULE = {"name": None, "match": {}, "verdict": "allow"}


class Fault(Exception):
    """What ends a dispatch with 500 and no outcome."""


def checked(rules):
    """Rules, if they are such."""
    for rule in rules:
        if not set(rule) <= RULE_KEYS or rule["verdict"] not in VERDICTS:
            raise ValueError(f"not a rule of the gateway: {rule}")
    return rules


def fits(match, action):
    """Whether an action has what a match names."""
    for key, wanted in match.items():
        field, _, inner = key.partition(".")
        value = action[field]
        if inner:
            value = value.get(inner) if isinstance(value, dict) else None
        if value not in (wanted if isinstance(wanted, list) else [wanted]):
            return False
    return True


def matched_rule(rule):
    """The rule's name as records have it: none for verdicts that let an action pass as it is."""
    return None if rule["verdict"] in ("allow", "deduplicate") else rule["name"]


def nanoseconds(moment):
    """A moment as outcomes print it."""
    text = datetime.datetime.fromtimestamp(moment, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return f"{text}{int(moment * 1e9) % 1000:03d}Z"


class Rules:
    """Rules, quotas and silences, and what they remember."""

    def __init__(self, clock, told):
        self.clock = clock
        self.rules = checked(told.get("verdicts", []))
        self.quotas = told.get("quotas", [])
        self.silences = told.get("silences", [])
        self.mutes = told.get("mutes", [])
        self.templates = told.get("templates", {})
        self.used = {}
        self.throttled = {}
        self.deduplicated = {}
        self.groups = {}
        self.plain = not (self.rules or self.quotas or self.silences or self.mutes)

    def quota(self, action):
        """Count an action: its provider may be swapped, or the outcome is returned."""
        payload = action["payload"]
        if isinstance(payload, dict) and any(payload.get(key) is True for key in MARKERS):
            return None
        for number, quota in enumerate(self.quotas):
            if not fits(quota.get("match", {"tenant": quota["tenant"]}), action):
                continue
            used = self.used[number] = self.used.get(number, 0) + 1
            if used <= quota["limit"] or quota["behavior"] == "warn":
                continue
            if quota["behavior"] == "block":
                self.used[number] -= 1
                return {"QuotaExceeded": {"tenant": action["tenant"], "limit": quota["limit"], "used": used,
                                          "overage_behavior": "block"}}
            action["provider"] = quota["behavior"].split(":", 1)[1]
        return None

    def render(self, action):
        """The payload of an action that names a template; one that does not exist is a fault."""
        if action["template"] is None:
            return
        rendered = self.templates.get(action["template"])
        if rendered is None:
            raise Fault(f"template render error: template profile not found: {action['template']}")
        action["payload"] = {**action["payload"], **{
            key: text.replace("{{who}}", str(action["payload"].get("who", ""))) for key, text in rendered.items()}}

    def rule(self, action):
        """The rule that decides."""
        for rule in self.rules:
            if fits(rule.get("match", {}), action) and not ("unless" in rule and fits(rule["unless"], action)):
                return rule
        return NO_RULE

    def quiet(self, action, rule):
        """The outcome if the action is silenced or muted."""
        for silence in self.silences:
            if fits(silence["match"], action):
                return {"Silenced": {"silence_id": silence["id"], "matched_rule": matched_rule(rule)}}
        for mute in self.mutes:
            if fits(mute["match"], action):
                return {"Muted": {"interval": mute["interval"], "reason": "mute_time_interval",
                                  "matched_rule": matched_rule(rule)}}
        return None

    def throttles(self, rule, action):
        """The outcome of a throttle that does not let an action pass."""
        now = self.clock.now()
        key = (action["namespace"], action["tenant"], rule["name"])
        until, count = self.throttled.get(key, (0, 0))
        if until <= now:
            until, count = now + rule["window_seconds"], 0
        self.throttled[key] = (until, count + 1)
        if count < rule["max_count"]:
            return None
        seconds = rule["window_seconds"] / self.clock.scale
        return {"Throttled": {"retry_after": {"secs": int(seconds), "nanos": int(seconds % 1 * 1e9)}}}

    def known(self, rule, action):
        """Whether a dedup key was claimed before, by an action that has failed or not; it is claimed now."""
        now = self.clock.now()
        key = (action["namespace"], action["tenant"], action["dedup_key"] or action["id"])
        if self.deduplicated.get(key, 0) > now:
            return True
        self.deduplicated[key] = now + (rule.get("ttl_seconds") or 86400)
        return False

    def group(self, rule, action):
        """The outcome of an action that waits for others."""
        def value(field):
            at = action
            for part in field.split("."):
                at = at.get(part) if isinstance(at, dict) else None
            return at
        key = hashlib.sha256(json.dumps([rule["name"], [value(field) for field in rule.get("group_by", [])]]).encode()).hexdigest()
        now = self.clock.now()
        group = self.groups.get(key)
        if group is None or group["until"] <= now:
            wait = rule.get("wait_seconds", 1)
            group = self.groups[key] = {"id": str(uuid.uuid4()), "until": now + wait, "size": 0,
                                        "notify_at": nanoseconds(now / self.clock.scale + wait / self.clock.scale)}
        group["size"] += 1
        return {"Grouped": {"group_id": group["id"], "group_size": group["size"], "notify_at": group["notify_at"]}}

    def approval(self, rule, action):
        """The outcome of an action that somebody must approve, and its id."""
        approval = str(uuid.uuid4())
        until = self.clock.now() / self.clock.scale + rule.get("timeout_seconds", 600) / self.clock.scale
        path = f"http://127.0.0.1/v1/approvals/{action['namespace']}/{action['tenant']}/{approval}"
        sealed = f"sig={hashlib.sha256(path.encode()).hexdigest()}&expires_at={int(until)}&kid=k0"
        return {"PendingApproval": {
            "approval_id": approval, "expires_at": nanoseconds(until), "notification_sent": True,
            "approve_url": f"{path}/approve?{sealed}", "reject_url": f"{path}/reject?{sealed}"}}
