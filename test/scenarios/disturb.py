"""What disturbs a run: clocks and disks (disturb.c), and connections that stand still."""

import mmap
import os
import selectors
import socket
import struct
import threading

SERVER, RELAY, GATEWAY = range(3)
ROLES = 8
BYTES = 8 * (2 + ROLES)
SECOND = 10**9
HAS_ROOM, FULL_FOR_LARGER, FULL_FOR_WAL = range(3)


class Control:
    """The file that disturb.c maps."""

    def __init__(self, path, preload):
        self.path = path
        self.preload = preload
        with open(path, "wb") as file:
            file.write(bytes(BYTES))
        self.file = os.open(path, os.O_RDWR)
        self.mapped = mmap.mmap(self.file, BYTES)

    def environment(self, role, data=None):
        """The environment of a process that is to be disturbed."""
        found = {**os.environ, "LD_PRELOAD": self.preload, "ACTEON_DISTURB": self.path, "ACTEON_DISTURB_ROLE": str(role)}
        if role == RELAY:
            found["ACTEON_DISTURB_TIMERS"] = "on"
        if data is not None:
            found["ACTEON_DISTURB_DATA"] = data
        return found

    def add(self, place, value):
        """Add to one of the numbers."""
        found, = struct.unpack_from("<q", self.mapped, 8 * place)
        struct.pack_into("<q", self.mapped, 8 * place, found + value)

    def let_pass(self, seconds):
        """Time passes, for all."""
        self.add(0, int(seconds * SECOND))

    def jump(self, role, seconds):
        """The clock of those of a role is set."""
        self.add(2 + role, int(seconds * SECOND))

    def fill(self, how):
        """The disk of the server is full, or has room again."""
        struct.pack_into("<q", self.mapped, 8, how)

    def settle(self):
        """There is room, and all have the same time again: the latest of them, so that it goes back for nobody."""
        self.fill(HAS_ROOM)
        jumps = struct.unpack_from(f"<{ROLES}q", self.mapped, 16)
        self.add(0, max(jumps))
        struct.pack_into(f"<{ROLES}q", self.mapped, 16, *([0] * ROLES))

    def close(self):
        self.mapped.close()
        os.close(self.file)


class Link(threading.Thread):
    """Between a relay and what it is connected to: forwards, or stands still without closing anything."""

    def __init__(self, listen, to):
        """Both are addresses: a path, or (host, port)."""
        super().__init__(daemon=True)
        self.to = to
        self.listener = self.socket_for(listen)
        self.listener.bind(listen)
        self.listener.listen(64)
        self.address = self.listener.getsockname()
        self.stalled = threading.Event()
        self.wants_reset = threading.Event()
        self.over = threading.Event()
        self.peers = {}         # each socket: the one on the other side
        self.wake_end, self.wake_begin = socket.socketpair()
        self.start()

    @staticmethod
    def socket_for(address):
        return socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET, socket.SOCK_STREAM)

    def tell(self):
        """Have the thread look."""
        self.wake_begin.send(b".")

    def stall(self):
        self.stalled.set()
        self.tell()

    def resume(self):
        self.stalled.clear()
        self.tell()

    def reset(self):
        """End all connections with a reset, and go on."""
        self.wants_reset.set()
        self.stalled.clear()
        self.tell()

    def close(self):
        self.over.set()
        self.tell()
        self.join()

    def run(self):
        while not self.over.is_set():
            with selectors.DefaultSelector() as selector:
                selector.register(self.wake_end, selectors.EVENT_READ)
                if not self.stalled.is_set():
                    selector.register(self.listener, selectors.EVENT_READ)
                    for one in self.peers:
                        selector.register(one, selectors.EVENT_READ)
                for key, _ in selector.select():
                    self.handle(key.fileobj)
            if self.wants_reset.is_set():
                self.wants_reset.clear()
                for one in list(self.peers):
                    self.drop(one, True)
        for one in list(self.peers):
            self.drop(one)
        self.listener.close()

    def handle(self, ready):
        """Something can be read."""
        if ready is self.wake_end:
            ready.recv(64)
        elif ready is self.listener:
            self.accept()
        elif ready in self.peers:
            try:
                found = ready.recv(65536)
                if found:
                    self.peers[ready].sendall(found)
                    return
            except OSError:
                pass
            self.drop(ready)

    def accept(self):
        one, _ = self.listener.accept()
        other = self.socket_for(self.to)
        try:
            other.connect(self.to)
        except OSError:
            one.close()
            other.close()
            return
        self.peers[one] = other
        self.peers[other] = one

    def drop(self, one, reset=False):
        """Close a connection on both sides."""
        other = self.peers.pop(one, None)
        if other is None:
            return
        self.peers.pop(other, None)
        for end in (one, other):
            if reset and end.family == socket.AF_INET:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.close()
