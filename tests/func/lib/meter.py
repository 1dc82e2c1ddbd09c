"""Clients that count what they have relayed, for tests that compare it with what is kept of it."""
import collections
import random
import time

from . import tap

BUCKET = 66  # packets of 1000 bytes that pass at once: the largest datagram, of 65,535 bytes, always fits the bucket


def passed_most(start, each_s=10):
    """Packets of 1000 bytes that a limit of so many in each second can have let pass since then, rounded up."""
    return BUCKET + each_s * (time.monotonic() - start) + 1


class Meter:
    """A client that counts what it has relayed."""

    def __init__(self, f, credentials, node=0, i=0, transport="udp"):
        self.client, self.peer = f.client(credentials, node, i, transport), f.nodes[node].peer()
        self.client.allocate()
        self.used = collections.Counter(allocations=1)
        self.random = random.Random(i)

    def bind(self, address=None):
        self.client.bind(0x4000, address or self.peer.address)
        return self

    def up(self, n=1, to=None):
        for _ in range(n):
            data = bytes(self.random.randrange(0, 1200))
            self.client.send_channel(0x4000, data)
            self.used.update(bytes_up=len(data), packets_up=1)
            if to:
                to.client.expect_channel(0x4000, data)
                to.used.update(bytes_down=len(data), packets_down=1)
            else:
                self.peer.expect(data)

    def down(self, n=1):
        for _ in range(n):
            data = bytes(self.random.randrange(0, 1200))
            self.peer.send(data, self.client.relayed[0])
            self.client.expect_channel(0x4000, data)
            self.used.update(bytes_down=len(data), packets_down=1)

    def end(self):
        self.client.refresh(0)
        return self


class Flood:
    """A client that sends until its allocation is gone."""

    def __init__(self, f, token, node, i):
        self.meter = Meter(f, token, node, i).bind()
        self.daemon = f.nodes[node].daemon

    def gone(self):
        return f"event=allocation_deleted user={self.meter.client.user} " in self.daemon.log()


def without_time(counter):
    return {k: v for k, v in counter.items() if v and k not in ("ms", "seconds", "peak")}


def settle(read, want, what, seconds=None):
    """Wait for what must come; it must not become more afterwards, which the next flush would show."""
    tap.wait_until(lambda: without_time(read()) == without_time(want), lambda: f"{what}: {without_time(read())} instead of {without_time(want)}", seconds)
