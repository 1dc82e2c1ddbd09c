"""Tokens, and nodes that share them: what turnpikectl makes and revokes, and calls that a revocation ends."""
import base64
import collections
import contextlib
import glob
import hashlib
import hmac
import itertools
import json
import os
import subprocess
import threading
import time

from . import daemon, net, stun, tap, world
from .tap import check, equal

S = net.Standard
CTL = os.path.join(daemon.BUILDDIR, "turnpikectl")
MARK = b"mark"
REVOKED_S = 1.0 if not tap.SANITIZER else 5.0  # from the end of the command to the last packet
TRY_S = 0.05  # between two tries of one credential


def rest(name, secret):
    """A time-limited name and its password, as coturn's REST API makes them."""
    return name, base64.b64encode(hmac.new(secret.encode(), name.encode(), hashlib.sha1).digest()).decode()


def each_try(first=0):
    """Clients' numbers, another one for each try of one credential: an address that has tried ten times is a guesser's (S15)."""
    for i in itertools.count(first):
        yield i % S.CLIENTS
        time.sleep(TRY_S)


class Watch:
    """How long something takes from now on; the time for which these daemons, and we, waited for a processor is a busy machine's."""

    def __init__(self, *daemons):
        self.pids = [d.pid for d in daemons] + [os.getpid()]
        self.before, self.start = self._waits(), time.monotonic()

    def _waits(self):
        """Nanoseconds by thread; none where the kernel does not tell."""
        found = {}
        for pid in self.pids:
            for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
                with contextlib.suppress(OSError), open(path, encoding="ascii") as f:
                    found[path] = int(f.read().split()[1])
        return found

    @classmethod
    def of_its_life(cls, d):
        """Seconds that this daemon has waited since it was started."""
        watch = cls(d)
        watch.before = {path: ns for path, ns in watch.before.items() if not path.startswith(f"/proc/{d.pid}/")}
        return watch.waited()

    def waited(self):
        """Seconds; of each process the thread that has waited longest, as what is timed is one thread's after the other."""
        longest = collections.Counter()
        for path, ns in self._waits().items():
            pid = path.split("/")[2]
            longest[pid] = max(longest[pid], ns - self.before.get(path, 0))
        return sum(longest.values()) / 1e9

    def within(self, seconds, what, end=None):
        took, waited = (time.monotonic() if end is None else end) - self.start, self.waited()
        check(took < seconds + waited, f"{what} took {took:.2f} s, {waited:.2f} s of waiting for a processor among them")


class Fleet:
    """Redis and some nodes beside each other on the middle host; each reaches Redis by an address of its own.
    `redis_url` names another Redis for all, `more` are settings of all."""

    def __init__(self, stack, n, server, redis_url=None, count=2, **more):
        self.net, self.redis, self.nodes, self.url = n, server, [], redis_url
        for i in range(count):
            d = stack.enter_context(daemon.Daemon(n.srv, {**self.settings(i), **more}))
            w = world.World(n, d)
            stack.callback(w.close)
            self.nodes.append(w)

    def settings(self, i):
        return {
            "listening-ip": S.SERVER,
            "listening-port": 3478 + i,
            "relay-ip": S.RELAY,
            "min-port": 20000 + 10000 * i,
            "max-port": 29999 + 10000 * i,
            "allowed-peer-ip": list(S.PEER_NETS),
            "redis": self.url or f"redis://127.0.0.{1 + i}:6379",
            "workers": 2,
        }

    def watch(self):
        return Watch(*(w.daemon for w in self.nodes))

    def soon(self, condition, what, seconds):
        """What this condition comes to, within so many seconds and what a busy machine adds."""
        watch = self.watch()
        got = tap.wait_until(condition, what, seconds + tap.PATIENCE_S)
        watch.within(seconds, f"until {what}")
        return got

    def heard(self, event, user):
        """Wait until each node has told all its workers; who has seen what came of it at one of them knows nothing of the others."""
        for w in self.nodes:
            w.daemon.wait_log(f"event={event} user={user}\\s")

    def run_ctl(self, *words):
        """turnpikectl's status and output."""
        command = [CTL, "--config", self.nodes[0].daemon.config_path, *words]
        with self.net.srv.popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
            out, err = p.communicate(timeout=tap.PATIENCE_S)
        daemon.check_log(out + err)
        return p.returncode, out, err

    def ctl(self, *words, status=0):
        got, out, err = self.run_ctl(*words)
        equal(got, status, f"the status of {' '.join(words)} ({out}{err})")
        return out if status == 0 else err

    def token(self, *options, owner="acme"):
        made = json.loads(self.ctl("token", "issue", "--json", "--owner", owner, *options))
        return made["id"], made["password"]

    def serves(self, seconds, nodes=(0,)):
        """Wait until turnpikectl issues tokens and the nodes serve them. Each try is another one: a node forgets a name that it did not find only
        after a while, and does not listen to a name that has failed often."""

        def served(node):
            status, out, _ = self.run_ctl("token", "issue", "--json", "--owner", "acme")
            if status:
                return False
            made = json.loads(out)
            with self.client((made["id"], made["password"]), node) as c:
                if c.request(stun.ALLOCATE, (stun.REQUESTED_TRANSPORT, stun.UDP)).cls != stun.SUCCESS:
                    return False
                c.refresh(0)
                return True

        for node in nodes:
            tap.wait_until(lambda n=node: served(n), f"a new token serves on node {node}", seconds)

    def client(self, credentials, node=0, i=0, transport="udp"):
        return self.nodes[node].client(i, transport, user=credentials[0], password=credentials[1])

    @contextlib.contextmanager
    def cut(self, i):
        """Node i's packets to and from Redis vanish."""
        where = f"127.0.0.{1 + i}"
        self.net.srv.run(
            ["nft", "-f", "-"],
            f"table ip cut {{\n chain c {{\n  type filter hook input priority 0;\n  ip daddr {where} tcp dport 6379 drop\n  ip saddr {where} tcp sport 6379 drop\n }}\n}}\n",
        )
        try:
            yield
        finally:
            self.net.srv.run(["nft", "delete", "table", "ip", "cut"])


class Stream:
    """Packets from a client to a peer, every few milliseconds, and when the last one came."""

    def __init__(self, w, c):
        self.client, self.peer, self.last, self.count, self.marks, self.ending = c, w.peer(), 0.0, 0, 0, threading.Event()
        c.allocate()
        c.bind(0x4000, self.peer.address)
        self.threads = [threading.Thread(target=t, daemon=True) for t in (self._send, self._receive)]

    def _send(self):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # a stream is closed when its allocation has gone
            while not self.ending.wait(0.005):
                self.client.send_channel(0x4000, b"x")

    def _receive(self):
        while not self.ending.is_set():
            with contextlib.suppress(tap.Failure):
                if self.peer.receive(seconds=0.2).data == MARK:
                    self.marks += 1
                else:
                    self.last, self.count = time.monotonic(), self.count + 1

    def read_up(self):
        """Wait until what has come to the peer is counted."""
        before = self.marks
        self.peer.send(MARK, self.peer.address)
        tap.wait_until(lambda: self.marks > before, "the peer reads what has come")

    def __enter__(self):
        for t in self.threads:
            t.start()
        tap.wait_until(lambda: self.count > 5, "packets come")
        return self

    def __exit__(self, *_):
        self.ending.set()
        for t in self.threads:
            t.join()

    def ended(self, w):
        """Wait until the daemon says that its allocation is gone, and nothing comes any more."""
        w.daemon.wait_log(f'event=allocation_deleted user={self.client.user} .*reason="credential revoked"')
        self.read_up()
        before = self.count
        if self.client.transport == "udp":
            self.client.exchange(stun.encode(stun.BINDING, stun.REQUEST))  # what was sent before it has been read
        self.read_up()
        check(self.count - before <= 1, f"{self.count - before} packets still came")
