"""What the gateway makes of POST /v1/dispatch, in the order in which it does it.

The order of the checks is that of facts.md, section 1; what a refusal costs is in
its section 2 (a claimed id is never given back), what a client that goes away leaves
behind in its section 3.  Nothing here is kinder than they are.
"""

import asyncio
import json
import time
import uuid

import verdicts
from audit import WriteFailed, uuid7
from executor import Executor, rerouted
from limits import Clock, Locks, Remembered, Slots, Window
from request_check import Refused, read_action
from signing import Signing

JSON_TYPE = "Expected request with `Content-Type: application/json`"
ROLES = {"admin", "operator", "viewer"}
EVERYTHING = {"tenants": ["*"], "namespaces": ["*"], "providers": ["*"], "actions": ["*"]}
SETTINGS = {"scale", "replay_ttl_seconds", "auth", "keys", "tenant_limit", "caller_limit", "max_concurrent_dispatch",
            "executor", "providers", "circuit_breaker", "signing", "verdicts", "quotas", "silences", "mutes", "templates",
            "background"}


class Caller:
    """Who asks: a key's name, its role, what its grants cover."""

    def __init__(self, name, method="api_key", role="admin", grants=None):
        if role not in ROLES:
            raise ValueError(f"unknown role: {role}")
        self.name = name
        self.method = method
        self.role = role
        self.grants = [{**EVERYTHING, **grant} for grant in ([{}] if grants is None else grants)]
        self.unlimited = self.role != "viewer" and EVERYTHING in self.grants

    def covers(self, action):
        """Whether one of the grants covers an action: tenants with what is below them, the rest exactly."""
        return any(
            (any(tenant in ("*", action["tenant"]) or action["tenant"].startswith(tenant + ".") for tenant in grant["tenants"]))
            and all({"*", action[field]} & set(grant[names]) for names, field in
                    (("namespaces", "namespace"), ("providers", "provider"), ("actions", "action_type")))
            for grant in self.grants)


NOBODY = Caller("", "anonymous")
INTERNAL = Caller("", "")


class Answer(Exception):
    """An answer that ends a dispatch before its outcome: status, what the body says, headers."""

    def __init__(self, status, found, headers=None):
        super().__init__(str(found))
        self.status = status
        self.found = found
        self.headers = headers or {}


def limited(seconds):
    """The refusal of a limit within the handler."""
    return Answer(429, {"error": "rate limit exceeded", "retry_after": seconds}, {"Retry-After": seconds})


class Pipeline:
    """One configuration of the gateway, and its memory, which a restart loses."""

    def __init__(self, told, key, trail, replay_protection):
        if not set(told) <= SETTINGS:
            raise ValueError(f"unknown setting: {sorted(set(told) - SETTINGS)}")
        self.trail = trail
        self.clock = trail.clock
        self.replay_protection = replay_protection
        self.ids = Remembered(self.clock, told.get("replay_ttl_seconds", 86400))
        self.auth = told.get("auth", True)
        self.own_key = key
        self.callers = {name: Caller(**{"name": "client", **spec}) for name, spec in told.get("keys", {key: {}}).items()}
        self.tenant_limits = {name: self.window(spec) for name, spec in told.get("tenant_limit", {}).items()}
        self.caller_limit = self.window(told["caller_limit"]) if "caller_limit" in told else None
        self.permits = told.get("max_concurrent_dispatch", 5000)
        self.running = 0
        self.locks = Locks(self.clock)
        self.rules = verdicts.Rules(self.clock, told)
        self.signing = Signing(told["signing"]) if "signing" in told else None
        self.executor = Executor(self.clock, told.get("executor", {}), told.get("providers", {"*": {}}),
                                 told.get("circuit_breaker"))
        self.background = told.get("background", True)
        self.approvals = {}
        self.later = set()

    def window(self, spec):
        """A limit of so many requests in so many seconds."""
        return Window(self.clock, spec["limit"], spec["window_seconds"])

    # Steps 1 to 6: nothing of these claims the id.

    def caller(self, headers):
        """Who asks, or a refusal.  A bad Bearer is final, whatever stands beside it."""
        if not self.auth:
            return NOBODY
        bearer = headers.get("authorization")
        if bearer is not None and bearer.startswith("Bearer "):
            caller = self.callers.get(bearer[7:])
            if caller is None:
                raise Answer(401, {"error": "invalid token: InvalidToken"})
            return caller
        if "x-api-key" not in headers:
            raise Answer(401, {"error": "missing authentication credentials"})
        caller = self.callers.get(headers["x-api-key"])
        if caller is None:
            raise Answer(401, {"error": "invalid API key"})
        return caller

    def limit_caller(self, caller):
        """The headers of a caller's limit, or the refusal."""
        if self.caller_limit is None:
            return None
        limit = self.caller_limit.limit
        passes, remaining, reset = self.caller_limit.take(caller.name or "anonymous")
        seconds = self.clock.retry_after(reset)
        if not passes:
            raise Answer(429, {"error": "rate limit exceeded", "limit": limit, "retry_after": seconds},
                         {"Retry-After": seconds, "X-RateLimit-Limit": limit, "X-RateLimit-Remaining": 0})
        return {"X-RateLimit-Limit": limit, "X-RateLimit-Remaining": remaining, "X-RateLimit-Reset": seconds}

    @staticmethod
    def read(query, headers, body):
        """Whether it is a dry run, the action, and what is odd in it."""
        dry_run = False
        for part in query.split("&") if query else []:
            name, _, value = part.partition("=")
            if name == "dry_run":
                if value not in ("true", "false"):
                    raise Refused(400, "Failed to deserialize query string: dry_run: provided string was not `true` or `false`")
                dry_run = value == "true"
        kind = headers.get("content-type", "").split(";")[0].strip().lower()
        if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
            raise Refused(415, JSON_TYPE)
        return (dry_run, *read_action(body))

    def admit(self, caller, action):
        """Role, grant, signature."""
        if not caller.unlimited:
            if caller.role == "viewer":
                raise Answer(403, {"error": "insufficient permissions: dispatch requires admin or operator role"})
            if not caller.covers(action):
                raise Answer(403, {"error": "forbidden: no grant covers tenant={tenant}, namespace={namespace}, "
                                            "provider={provider}, action={action_type}".format(**action)})
        if self.signing is not None:
            refusal = self.signing.refusal(action)
            if refusal is not None:
                raise Answer(400, {"error": refusal})

    # Steps 7 to 9: from here on the id is burnt, whatever follows.

    def claim(self, action):
        """Take the id, if it has not been seen before."""
        if self.replay_protection and not self.ids.claim((action["namespace"], action["tenant"], action["id"])):
            raise Answer(409, {"error": f"replay rejected: action ID '{action['id']}' has already been dispatched"})

    def limit(self, action, dry_run):
        """The limit of the tenant, and that of dispatches at once."""
        if self.tenant_limits and not dry_run:
            window = self.tenant_limits.get(action["tenant"]) or self.tenant_limits.get("*")
            if window is not None:
                passes, _, reset = window.take(action["tenant"])
                if not passes:
                    raise limited(self.clock.retry_after(reset))
        if self.running >= self.permits:
            raise limited(1)

    # The rest.

    def at_once(self, ledger, request, action, caller):
        """The provider that has executed an action if nothing of it takes time; None if something does."""
        if not self.rules.plain or self.trail.compliance or action["template"] is not None:
            return None
        provider = self.executor.at_once(action["provider"])
        name = (action["namespace"], action["tenant"], action["id"])
        if provider is None or name in self.locks.held:
            return None
        ledger.tried(request, provider.effect)
        if self.trail.dsn is not None:
            self.trail.background(self.trail.record(uuid7(), action, ALLOW, provider.outcome, time.time(), caller), request)
        return provider

    async def run(self, ledger, request, action, caller, dry_run=False, lock_seconds=5):
        """The outcome of an action, or an Answer.  Whoever is cancelled gives back all but the id."""
        name = (action["namespace"], action["tenant"], action["id"])
        action = dict(action)
        self.running += 1
        try:
            if dry_run:
                return self.dry(action)
            owner = await self.locks.take(name, lock_seconds)
            if owner is None:
                raise Answer(500, {"error": f"lock acquisition failed: operation timed out after {lock_seconds}s"})
            try:
                return await self.decide(ledger, request, action, caller)
            finally:
                self.locks.give(name, owner)
        except verdicts.Fault as fault:
            raise Answer(500, {"error": str(fault)}) from fault
        finally:
            self.running -= 1

    def dry(self, action):
        """What the rules say, and nothing else."""
        self.rules.render(action)
        rule = self.rules.rule(action)
        return {"DryRun": {"verdict": rule["verdict"], "matched_rule": verdicts.matched_rule(rule),
                           "would_be_provider": rule.get("target", action["provider"])}}

    async def decide(self, ledger, request, action, caller):
        """Steps 12 to 22."""
        dispatched_at, event_id = time.time(), uuid7()
        outcome = self.rules.quota(action)
        if outcome is not None:
            return await self.recorded(request, action, ALLOW, outcome, (event_id, dispatched_at, caller))
        self.rules.render(action)
        rule = self.rules.rule(action)
        verdict = {"verdict": rule["verdict"], "matched_rule": verdicts.matched_rule(rule)}
        outcome = self.rules.quiet(action, rule)
        if outcome is not None:
            return await self.recorded(request, action, verdict, outcome, (event_id, dispatched_at, caller))
        if self.trail.compliance:
            intent = self.trail.record(event_id, action, verdict, None, dispatched_at, caller)
            try:
                await self.trail.write(intent, "fail_intents")
            except WriteFailed as failure:
                raise Answer(500, {"error": "intent audit write failed; action not executed (compliance fail-closed): "
                                            f"storage error: {failure}"}) from failure
        outcome = await self.execute(ledger, request, action, rule)
        return await self.recorded(request, action, verdict, outcome, (event_id, dispatched_at, caller))

    async def recorded(self, request, action, verdict, outcome, about):
        """Write the record of an outcome, or leave it to the background; return the outcome."""
        if self.trail.dsn is None:
            return outcome
        event_id, dispatched_at, caller = about
        record = self.trail.record(event_id, action, verdict, outcome, dispatched_at, caller)
        if not self.trail.compliance:
            self.trail.background(record, request)
            return outcome
        try:
            await self.trail.write(record, "fail_outcomes")
        except (WriteFailed, asyncio.CancelledError) as failure:
            request.ledger.happened(request, "lost")
            if isinstance(failure, asyncio.CancelledError):
                raise
        else:
            request.ledger.happened(request, "recorded")
        return outcome

    async def execute(self, ledger, request, action, rule):
        """The verdict's outcome."""
        verdict = rule["verdict"]
        outcome = None
        if verdict in ("suppress", "deny"):
            return {"Suppressed": {"rule": rule["name"]}}
        if verdict == "throttle":
            outcome = self.rules.throttles(rule, action)
        elif verdict == "deduplicate" and self.rules.known(rule, action):
            return "Deduplicated"
        elif verdict == "group":
            return self.rules.group(rule, action)
        elif verdict == "request_approval":
            outcome = self.rules.approval(rule, action)
            self.approvals[outcome["PendingApproval"]["approval_id"]] = (action, rule)
        elif verdict == "state_machine":
            raise verdicts.Fault(f"configuration error: state machine not found: {rule['state_machine']}")
        elif verdict == "schedule":
            outcome = self.schedule(ledger, rule, action)
        elif verdict == "chain":
            return {"ChainStarted": {"chain_id": str(uuid.uuid4()), "chain_name": rule["chain_name"],
                                     "first_step": rule["steps"][0], "total_steps": len(rule["steps"])}}
        elif verdict == "reroute":
            target = self.executor.provider(rule["target"])
            if target is None:
                raise verdicts.Fault(f"provider not found: {rule['target']}")
            return rerouted(action["provider"], rule["target"], await self.executor.execute(ledger, request, target))
        if outcome is not None:
            return outcome
        return await self.executor.run(ledger, request, action["provider"])

    def schedule(self, ledger, rule, action):
        """Plan an action for later; a rule that plans it again is a fault."""
        payload = action["payload"]
        if isinstance(payload, dict) and payload.get("_scheduled_dispatch") is True:
            raise verdicts.Fault("configuration error: cannot re-schedule an already-scheduled action")
        seconds = rule.get("delay_seconds", 1)
        when = time.time() + seconds / self.clock.scale
        if self.background:
            # What cannot be marked is planned anew for ever, if the rule still fits.
            marked = {**payload, "_scheduled_dispatch": True} if isinstance(payload, dict) else payload
            self.in_background(self.run_later(ledger, {**action, "payload": marked}, seconds))
        return {"Scheduled": {"action_id": str(uuid.uuid4()), "scheduled_for": verdicts.nanoseconds(when)}}

    def in_background(self, work):
        """Do something that nobody waits for."""
        task = asyncio.get_running_loop().create_task(work)
        self.later.add(task)
        task.add_done_callback(self.later.discard)

    async def run_later(self, ledger, action, seconds):
        """The run of a scheduled action: the same id, nobody's request; an error ends it without a record."""
        await self.clock.sleep(seconds)
        try:
            await self.run(ledger, ledger.inner(action), action, INTERNAL)
        except Answer:
            pass

    async def approve(self, ledger, approval, decision):
        """What becomes of an action that waited for approval: a second record if it is approved, none if not."""
        action, rule = self.approvals.pop(approval)
        outcome = None
        if decision == "approve":
            verdict = {"verdict": rule["verdict"], "matched_rule": rule["name"]}
            event_id, dispatched_at = uuid7(), time.time()
            request = ledger.inner(action)
            if self.trail.compliance:
                await self.trail.write(self.trail.record(uuid7(), action, verdict, None, dispatched_at, INTERNAL))
            outcome = await self.executor.run(ledger, request, action["provider"])
            await self.recorded(request, action, verdict, outcome, (event_id, dispatched_at, INTERNAL))
        return {"id": approval, "status": f"{decision}d" if decision == "approve" else "rejected", "outcome": outcome}

    async def batch(self, ledger, caller, actions):
        """POST /v1/dispatch/batch: no id is asked for or claimed, and it is all done whatever came before."""
        answers = []
        for action in actions:
            self.admit(caller, action)
        for action in actions:
            try:
                answers.append(await self.run(ledger, ledger.inner(action), action, caller))
            except Answer as answer:
                answers.append(answer.found)
        return answers


ALLOW = {"verdict": "allow", "matched_rule": None}


def split_batch(body):
    """The actions of a batch, each with its own text."""
    found = json.loads(body)
    if not isinstance(found, list):
        raise Refused(422, "Failed to deserialize the JSON body into the target type: invalid type, expected a sequence")
    if len(found) > 1000:
        raise Answer(400, [{"error": f"batch size {len(found)} exceeds maximum of 1000"}])
    return [read_action(json.dumps(item).encode())[0] for item in found]
