"""The executor, the providers behind it and their circuit breakers.

From facts.md: section 4 (slots for the whole process, a queue without a limit,
seconds a try, tries and pauses, which errors are tried again), section 6 (webhooks
that are answered 4xx or 5xx are executed with a failure, never tried again and no
failure to the breaker; native types fail; what counts for a breaker; reroute
targets bypass it; an open circuit with a fallback is a reroute), section 3 (whose
client goes away gives back its slot at once; the provider has the request then).

A provider is told what to do:

    {"type": "webhook" | "native" | "log", "delay_ms": n,
     "status": 200, "body": <JSON> | "text": "not JSON",
     "refuse": true | "reset": true | "hang": true,
     "effect": true, "url": "http://…", "after": n, "then": {…}}

The provider "*" is what all are like that are not named; naming it again forgets all.
"effect" is whether it does what it is for, which is so by default if it answers
2xx; it does it as soon as it has the request, whoever waits for the answer.  After
so many requests it is what "then" says.
"""

import asyncio
import json
from http import HTTPStatus

from limits import Slots

PROVIDER_KEYS = {"type", "delay_ms", "status", "body", "text", "refuse", "reset", "hang", "effect", "url",
                 "after", "then"}
ACCEPTED = {"accepted": True}


class Failure(Exception):
    """An error of a provider: code, message, whether it is tried again."""

    def __init__(self, code, message, retryable):
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable


def duration(seconds):
    """A time-out as the gateway words it."""
    return f"{seconds:g}s" if seconds >= 1 else f"{seconds * 1000:g}ms"


def executed(status, body):
    """The outcome of an action that a provider has answered."""
    return {"Executed": {"status": status, "body": body, "headers": {}}}


class Provider:
    """One provider, and what it does with requests."""

    def __init__(self, name, spec):
        if not set(spec) <= PROVIDER_KEYS:
            raise ValueError(f"unknown provider key: {sorted(set(spec) - PROVIDER_KEYS)}")
        self.name = name
        self.type = spec.get("type", "webhook")
        if self.type not in ("webhook", "native", "log"):
            raise ValueError(f"unknown type of provider: {self.type}")
        self.delay = spec.get("delay_ms", 0) / 1000
        self.status = spec.get("status", 200)
        self.refuses = spec.get("refuse", False)
        self.resets = spec.get("reset", False)
        self.hangs = spec.get("hang", False)
        self.well = 200 <= self.status < 300 and not (self.refuses or self.resets or self.hangs)
        self.effect = spec.get("effect", self.well and self.type != "log")
        self.url = spec.get("url", f"http://127.0.0.1:9/{name}")
        self.body = {"status_code": self.status} if "text" in spec else spec.get("body", ACCEPTED if self.well else {"error": "down"})
        self.text = spec.get("text")
        self.left = spec.get("after")
        self.then = Provider(name, spec["then"]) if "then" in spec else None
        self.instant = self.delay == 0 and self.well and self.left is None and self.type != "log"
        self.outcome = executed("success" if self.well else "failure", self.body)
        self.told = None        # the answer with this outcome, as it is written

    def present(self):
        """What it is for the next request, which counts."""
        if self.left is None:
            return self
        if self.left > 0:
            self.left -= 1
            return self
        return self.then.present()

    def answer(self):
        """What comes of a request that was not in vain."""
        if self.type == "log":
            return executed("success", {"logged": True, "provider": self.name})
        if self.resets:
            raise Failure("EXECUTION_FAILED", f"execution failed: error sending request for url ({self.url})", False)
        if self.type == "webhook" or self.well:
            return self.outcome
        if self.status == 429:
            raise Failure("RATE_LIMITED", "rate limited", True)
        said = self.text if self.text is not None else json.dumps(self.body, separators=(",", ":"))
        reason = f"HTTP {self.status} {HTTPStatus(self.status).phrase}: {said}"
        if self.status >= 500:
            raise Failure("CONNECTION", f"connection error: {reason}", True)
        raise Failure("EXECUTION_FAILED", f"execution failed: {reason}", False)

    async def request(self, clock, ledger, request, seconds):
        """One try, of so many seconds at the most.  Whoever is cancelled has cut it."""
        if self.refuses:
            raise Failure("CONNECTION", f"connection error: error sending request for url ({self.url})", True)
        # A log provider reaches nobody.
        if self.type != "log":
            ledger.tried(request, self.effect)
        try:
            if self.hangs or self.delay > seconds:
                await clock.sleep(seconds)
                raise Failure("TIMEOUT", f"timeout after {duration(seconds)}", True)
            if self.delay:
                await clock.sleep(self.delay)
        except asyncio.CancelledError:
            ledger.happened(request, "cut")
            raise
        return self.answer()


class Breaker:
    """The circuit breaker of a provider."""

    def __init__(self, clock, spec):
        known = {"failure_threshold", "success_threshold", "recovery_timeout_seconds", "fallback_provider"}
        if not set(spec) <= known:
            raise ValueError(f"unknown key of a circuit breaker: {sorted(set(spec) - known)}")
        self.clock = clock
        self.threshold = spec.get("failure_threshold", 5)
        self.successes_wanted = spec.get("success_threshold", 2)
        self.recovery = spec.get("recovery_timeout_seconds", 60)
        self.fallback = spec.get("fallback_provider")
        self.state = "closed"
        self.failures = 0
        self.successes = 0
        self.failed_at = 0
        self.probing = False

    def lets(self):
        """Whether a request may go to the provider; a half-open circuit lets one at a time."""
        if self.state == "open" and self.clock.now() - self.failed_at >= self.recovery:
            self.state, self.successes, self.probing = "half-open", 0, False
        if self.state == "half-open" and not self.probing:
            self.probing = True
            return True
        return self.state == "closed"

    def learn(self, outcome):
        """Count an outcome: only what would be tried again is a failure, and what was executed a success."""
        failed = outcome.get("Failed") if isinstance(outcome, dict) else None
        if failed is not None and failed["retryable"]:
            self.failures += 1
            self.failed_at = self.clock.now()
            if self.state == "half-open" or self.failures >= self.threshold:
                self.state = "open"
        elif failed is None:
            self.failures = 0
            self.probing = False
            if self.state == "half-open":
                self.successes += 1
                if self.successes >= self.successes_wanted:
                    self.state = "closed"


class Executor:
    """Runs dispatches at providers."""

    def __init__(self, clock, told, providers, breaker):
        known = {"max_concurrent", "timeout_seconds", "max_retries"}
        if not set(told) <= known:
            raise ValueError(f"unknown key of the executor: {sorted(set(told) - known)}")
        self.clock = clock
        self.slots = Slots(told.get("max_concurrent", 10))
        self.timeout = told.get("timeout_seconds", 30)
        self.tries = told.get("max_retries", 3) + 1
        self.others = None
        self.providers = {}
        self.change(providers)
        self.breaker = breaker          # what every provider's breaker is like, None without any
        self.breakers = {}

    def change(self, providers):
        """Other providers; what is at work goes on as it was."""
        made = {name: Provider(name, spec) for name, spec in providers.items()}
        if "*" in made:
            self.others = providers["*"]
            self.providers = {}
        self.providers.update(made)

    def provider(self, name):
        """A provider by its name, None if there is none; "*" is what all are like that are not named."""
        found = self.providers.get(name)
        if found is None and self.others is not None:
            found = self.providers[name] = Provider(name, self.others)
        return found

    def breaker_of(self, name):
        """The circuit breaker of a provider, None if it has none."""
        if self.breaker is None:
            return None
        if name not in self.breakers:
            spec = {key: value for key, value in self.breaker.items() if key != "providers"}
            spec.update(self.breaker.get("providers", {}).get(name, {}))
            self.breakers[name] = Breaker(self.clock, spec)
        return self.breakers[name]

    def at_once(self, name):
        """The provider, if it would take no time to execute an action there now; else None."""
        found = self.providers.get(name) or self.provider(name)
        if found is not None and found.instant and self.breaker is None and self.slots.free and not self.slots.waiting:
            return found
        return None

    async def execute(self, ledger, request, provider):
        """Run an action at a provider: wait for a slot, then try."""
        await self.slots.take()
        try:
            for attempt in range(self.tries):
                try:
                    return await provider.present().request(self.clock, ledger, request, self.timeout)
                except Failure as failure:
                    last = failure
                if not last.retryable or attempt + 1 == self.tries:
                    break
                await self.clock.sleep(0.1 * 2**attempt * (1 + 0.1 * attempt))
            return {"Failed": {"code": last.code, "message": last.message, "retryable": last.retryable,
                               "attempts": attempt + 1}}
        finally:
            self.slots.give()

    async def run(self, ledger, request, name):
        """The outcome of an action of a provider, with its circuit breaker."""
        breaker = self.breaker_of(name)
        if breaker is not None and not breaker.lets():
            return await self.fall_back(ledger, request, name)
        provider = self.provider(name)
        if provider is None:
            return {"Failed": {"code": "PROVIDER_NOT_FOUND", "message": f"provider not found: {name}",
                               "retryable": False, "attempts": 0}}
        outcome = await self.execute(ledger, request, provider)
        if breaker is not None:
            breaker.learn(outcome)
        return outcome

    async def fall_back(self, ledger, request, name):
        """The circuit of a provider is open: another one, or none."""
        chain, at = [], name
        while True:
            at = self.breaker_of(at).fallback
            if at is None or at in chain or at == name:
                break
            chain.append(at)
            if self.provider(at) is None:
                break
            if self.breaker_of(at).lets():
                outcome = await self.execute(ledger, request, self.provider(at))
                self.breaker_of(at).learn(outcome)
                return rerouted(name, at, outcome)
        return {"CircuitOpen": {"provider": name, "fallback_chain": chain}}


def rerouted(name, to, outcome):
    """The outcome of an action that another provider has executed; a failure stays what it is."""
    if "Executed" not in outcome:
        return outcome
    return {"Rerouted": {"original_provider": name, "new_provider": to, "response": outcome["Executed"]}}
