"""A call that goes on while a test does something to the daemon, and what the daemon takes of the machine meanwhile."""
import contextlib
import os
import threading

from . import daemon, net, tap
from .tap import check, equal

FIRST_PORT = 50000
MEMORY = 1 << 20 if not tap.SANITIZER else 1 << 30  # bytes that may be more resident; a sanitizer keeps books of its own
BUSY_PACE_S = 0.1  # of a call on a machine that does much else
CPU_S = 0.001 if not tap.SANITIZER else 0.004  # of the daemon for each packet of a call, up and down: ten times what it takes
PACE_S = 0.005  # between two packets of a call: a load that notices a stall, and leaves the machine to the fault


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def cpu_s(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def countable(n):
    """Settings with so many ports, all of which one user may have: whether they are free can be told from outside."""
    return {"user-quota": n, "min-port": FIRST_PORT, "max-port": FIRST_PORT + n - 1, "relay-ip": net.Standard.RELAY}


def all_is_served(w):
    """With such settings, and no allocation: each user gets all his quota and not one more, and each port can be had."""
    n = w.daemon.settings["user-quota"]
    for user, password in ((daemon.USER, daemon.PASSWORD), (daemon.USER_2, daemon.PASSWORD_2)):
        clients = [w.client(i % w.net.CLIENTS, user=user, password=password) for i in range(n + 1)]
        for c in clients[:-1]:
            c.allocate()
        equal(clients[-1].refuse_allocate(), 486, "the error of an Allocate beyond the quota")
        for c in clients[:-1]:
            c.refresh(0)
        for c in clients:
            c.close()


@contextlib.contextmanager
def given_back(w):
    """Around a fault, with such settings: afterwards descriptors, memory, ports and quotas are as before."""
    pid = w.daemon.pid
    all_is_served(w)  # and what is made only once is made
    before, memory = descriptors(pid), resident(pid)
    yield
    tap.wait_until(lambda: descriptors(pid) <= before, lambda: f"at most {before} descriptors, {descriptors(pid)} now")
    all_is_served(w)
    tap.wait_until(lambda: descriptors(pid) <= before, lambda: f"at most {before} descriptors again, {descriptors(pid)} now")
    check(resident(pid) - memory < MEMORY, f"{resident(pid) - memory} bytes more are resident")


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
        seconds = tap.PATIENCE_S + packets * BUSY_PACE_S
        tap.wait_until(lambda: self.failure or self.count >= until, "the call goes on", seconds)
        check(not self.failure, f"the call lost packet {self.count}: {self.failure}")

    def go_on_calmly(self, pid, packets=200):
        """And the daemon does nothing beside it. What each packet costs tells one that spins, however busy the machine is."""
        cpu, count = cpu_s(pid), self.count
        self.go_on(packets)
        cpu, count = cpu_s(pid) - cpu, self.count - count
        check(cpu < CPU_S * count, f"{cpu:.2f} s of CPU for {count} packets: it spins")

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
