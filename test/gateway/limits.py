"""Limits of the gateway, and the ids that it remembers."""

import asyncio
import math
import time
from collections import deque


class Clock:
    """The gateway's time, which may run faster than ours."""

    def __init__(self, scale=1.0):
        self.scale = scale

    def now(self):
        """Seconds of the gateway."""
        return time.time() * self.scale

    async def sleep(self, seconds):
        """Let so many seconds of the gateway pass."""
        await asyncio.sleep(seconds / self.scale)

    def retry_after(self, seconds):
        """Seconds of the gateway in whole seconds of a client, at least one."""
        return max(1, math.ceil(seconds / self.scale))


class Window:
    """So many requests in a window, by name: a sliding window of which the last one counts in part.

    Windows begin at whole multiples of their length; what the last window had counts
    by the share of it that is not over yet (the gateway's source; recorded are only the
    answers: facts.md, section 1).
    """

    def __init__(self, clock, limit, window):
        self.clock = clock
        self.limit = limit
        self.window = window
        self.counts = {}

    def take(self, name):
        """Whether it passes, how many more would, and in how many seconds the window ends."""
        now = int(self.clock.now())
        elapsed = now % self.window
        number = now // self.window
        number_before, before, current = self.counts.get(name, (number, 0, 0))
        if number_before != number:
            before, current = (current if number_before == number - 1 else 0), 0
        left = self.window - elapsed
        used = int(before * left / self.window) + current
        if used < self.limit:
            current += 1
        self.counts[name] = (number, before, current)
        return used < self.limit, max(0, self.limit - used - 1), left


class Remembered:
    """Ids that were seen, for a time."""

    def __init__(self, clock, ttl):
        self.clock = clock
        self.ttl = ttl
        self.until = {}

    def claim(self, key):
        """Take an id that nobody has; false if it is taken.  It is never given back."""
        now = self.clock.now()
        if self.until.get(key, 0) > now:
            return False
        self.until[key] = now + self.ttl
        return True


class Slots:
    """So many at once, the others wait in their order, without a limit."""

    def __init__(self, count):
        self.free = count
        self.waiting = deque()

    def take_now(self):
        """Take one if nobody has to wait; whether it was taken."""
        if self.free > 0 and not self.waiting:
            self.free -= 1
            return True
        return False

    async def take(self):
        """Wait for one.  Whoever is cancelled while waiting has none."""
        if self.take_now():
            return
        turn = asyncio.get_running_loop().create_future()
        self.waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give()
            elif turn in self.waiting:
                self.waiting.remove(turn)
            raise

    def give(self):
        """Give one back: to who has waited longest."""
        while self.waiting:
            turn = self.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.free += 1


class Locks:
    """One at a time for each name, for 30 seconds: a lock is not extended, and who holds it longer has lost it."""

    LAST = 30

    def __init__(self, clock):
        self.clock = clock
        self.held = {}          # name: owner, and until when

    def take_now(self, name):
        """Take one that nobody has; the owner, None if it was not taken."""
        now = self.clock.now()
        if self.held.get(name, (None, 0))[1] > now:
            return None
        owner = object()
        self.held[name] = (owner, now + self.LAST)
        return owner

    async def take(self, name, seconds):
        """Wait so many seconds for one; the owner, None if it is still somebody else's."""
        until = self.clock.now() + seconds
        owner = self.take_now(name)
        while owner is None and self.clock.now() < until:
            await asyncio.sleep(0.005)
            owner = self.take_now(name)
        return owner

    def give(self, name, owner):
        """Let others have it, if it is still the owner's."""
        if self.held.get(name, (None, 0))[0] is owner:
            del self.held[name]
