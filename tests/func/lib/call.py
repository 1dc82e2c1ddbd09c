"""A call that goes on while a test does something to the daemon, and what the daemon takes of the machine meanwhile."""
import os
import threading

from . import tap
from .tap import check

PACE_S = 0.005  # between two packets of a call: a load that notices a stall, and leaves the machine to the fault


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def cpu_s(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Call:
    """A call that goes on: each packet is sent when the one before it has arrived, up and down in turn. The first loss ends it."""

    def __init__(self, w, client=None):
        self.client, self.peer = client or w.client(19), w.peer()
        self.client.allocate()
        self.client.bind(0x4000, self.peer.address)
        self.count, self.failure, self.stop = 0, None, threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            while not self.stop.wait(PACE_S):
                data = b"%d" % self.count
                self.client.send_channel(0x4000, data)
                self.peer.expect(data, self.client.relayed[0])
                self.peer.send(data, self.client.relayed[0])
                self.client.expect_channel(0x4000, data)
                self.count += 1
        except Exception as e:  # pylint: disable=broad-exception-caught
            self.failure = e

    def go_on(self, packets=20):
        """Wait until so many more have passed."""
        until = self.count + packets
        tap.wait_until(lambda: self.failure or self.count >= until, "the call goes on")
        check(not self.failure, f"the call lost packet {self.count}: {self.failure}")

    def __enter__(self):
        self.thread.start()
        self.go_on()
        return self

    def hang_up(self):
        self.stop.set()
        self.thread.join()
        check(not self.failure, f"the call lost packet {self.count}: {self.failure}")
        self.client.refresh(0)

    def __exit__(self, kind, *_):
        if kind is None and not self.stop.is_set():
            self.hang_up()
        self.stop.set()
        self.thread.join()
