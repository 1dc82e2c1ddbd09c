#!/usr/bin/env python3
"""F1 to F8 under load: while Redis fails, what turnpiked relays is lost and delayed no more than without the fault.

Two nodes relay the same load at the same time, one of them with Redis and one without any. Whatever else the machine does is done to both, so
what one is slower by is the fault's work. `redisload.py --soak` restarts Redis a thousand times.
"""
import contextlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import daemon, net, redis, tap  # noqa: E402 # pylint: disable=wrong-import-position
from lib.call import cpu_s, descriptors  # noqa: E402 # pylint: disable=wrong-import-position
from lib.redissets import SENTINEL_URL, Sentinels  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tap import check  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tokens import Fleet  # noqa: E402 # pylint: disable=wrong-import-position

SOAK = "--soak" in sys.argv
if SOAK:
    sys.argv.remove("--soak")

tap.need("redis-server", "redis-sentinel", "nft")
net.need_namespaces()
daemon.need_daemon()
if not os.access(daemon.BENCH, os.X_OK):
    tap.skip_all(f"{daemon.BENCH} is not built")

S = net.Standard
HERE, PEERS = "198.51.100.10", "203.0.113.10"
MAX_LOSS = 0.01  # per cent
MORE, MORE_US = 1.2, 1000  # p99 with the fault: at most so many times, or so many microseconds above, that without
SESSIONS = 50 if tap.SANITIZER else 500
RATE = 860  # packets a second in all: from one to the next turnpike-bench sleeps for its millisecond and does not turn
WINDOW_S = 10 if SOAK else 4  # two look-ups of a stranger and their deadlines
WINDOWS = (1, 1) if tap.SANITIZER else (3, 9) if SOAK else (1, 9)  # the median of so many; of so many at most, while a busy machine speaks louder than the fault
BUSY = 0.2  # of a core, more than the other node's: above it somebody turns in a circle
KNOCKERS, PAUSE_S = 16, 0.02
LOOKUP_S = 2.0  # a look-up's deadline
DELAY_S = 5.0
CONNECTIONS = 9  # of node 0 to Redis: two workers, events, the fleet, usage, the realm's options, rules, limits, and what the admin plane asks
SERVES_S = 30.0  # until a new token serves after a fault
DROPS, RESTARTS = (1000, 1000) if SOAK else (300, 5)  # of connections, of servers
MEMORY = 3 << 20 if not tap.SANITIZER else 1 << 30  # bytes: what two workers remember of strangers (1 MB each, auth/cache.h) and a third; a sanitizer keeps books of its own


class Generator(net.Net):
    """Clients and peers are one process, so they share a host; the server stands between its two networks."""

    def __init__(self):
        super().__init__("gen", "srv")
        self.cli = self.peer = self.gen
        self.link(self.gen, "eth0", [f"{HERE}/24"], self.srv, "cli0", [f"{S.SERVER}/24"])
        self.link(self.gen, "eth1", [f"{PEERS}/24"], self.srv, "peer0", [f"{S.RELAY}/24"])

    @staticmethod
    def client_ip(_):
        return HERE

    def relayed(self):
        """Packets that have gone to the peers."""
        with self.srv.inside(), open("/proc/thread-self/net/dev", encoding="ascii") as f:
            return next(int(line.split(":")[1].split()[9]) for line in f if line.strip().startswith("peer0:"))


def hurry(pid):
    """Before what else runs on this machine, where that is allowed."""
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            os.sched_setscheduler(int(task), os.SCHED_RR, os.sched_param(1))


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def connections(pid, port=6379):
    """How many of its descriptors are TCP connections to this port."""
    with open(f"/proc/{pid}/net/tcp", encoding="ascii") as f:
        rows = [line.split() for line in f.readlines()[1:]]
    inodes = {f"socket:[{row[9]}]" for row in rows if int(row[2].split(":")[1], 16) == port}
    held = 0
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            held += os.readlink(f"/proc/{pid}/fd/{fd}") in inodes
    return held


class Pair(Fleet):
    """Node 0 with Redis, node 1 without."""

    def __init__(self, stack, n, server, url):
        super().__init__(stack, n, server, url)
        self.user = daemon.USER, daemon.PASSWORD  # of the load on node 0
        for w in self.nodes:
            hurry(w.daemon.pid)

    def settings(self, i):
        return {**super().settings(i), **({} if i == 0 else {"redis": None})}

    def load(self, node, user):
        w = self.nodes[node]
        command = [daemon.BENCH, "up", "--server", f"{w.server}:{w.daemon.port()}", "--user", user[0], "--client-ip", HERE, "--peer-ip", PEERS]
        command += ["--sessions", str(SESSIONS), "--total-rate", str(RATE), "--duration", str(WINDOW_S), "--json"]
        env = {**os.environ, "TURNPIKE_BENCH_PASSWORD": user[1]}
        p = self.net.gen.popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        hurry(p.pid)
        return p

    def window(self, fault):
        """The load on both nodes, with the fault from when packets flow until it is over: what turnpike-bench says of each, and the share of a
        core that node 0 took more than node 1."""
        held = descriptors(self.nodes[0].daemon.pid) + SESSIONS
        with self.load(0, self.user) as a, self.load(1, (daemon.USER, daemon.PASSWORD)) as b:
            try:
                tap.wait_until(lambda: a.poll() is not None or descriptors(self.nodes[0].daemon.pid) >= held, "the load has its allocations")
                flowing = self.net.relayed() + SESSIONS
                tap.wait_until(lambda: a.poll() is not None or self.net.relayed() >= flowing, "packets flow")
                start, before = time.monotonic(), [cpu_s(w.daemon.pid) for w in self.nodes]
                with fault():
                    said = [p.communicate(timeout=WINDOW_S + 60 * (4 if tap.SANITIZER else 1)) for p in (a, b)]
                    after = [cpu_s(w.daemon.pid) for w in self.nodes]
            finally:
                a.kill()
                b.kill()
        for p, (out, err) in zip((a, b), said):
            check(p.returncode == 0, f"turnpike-bench ended with {p.returncode}: {err}{out}\n{self.nodes[0].daemon.tail()}")
        busy = (after[0] - before[0] - after[1] + before[1]) / (time.monotonic() - start)
        return json.loads(said[0][0]), json.loads(said[1][0]), busy


class Knockers:
    """Strangers with names that nobody has seen before: each makes the node ask Redis."""

    numbers = itertools.count()

    def __init__(self, pair):
        self.errors, self.longest, self.failure, self.ending = {}, 0.0, None, threading.Event()
        self.clients = [pair.client(("nobody", "x")) for _ in range(KNOCKERS)]
        self.threads = [threading.Thread(target=self._knock, args=(c,), daemon=True) for c in self.clients]

    def _knock(self, c):
        try:
            while not self.ending.wait(PAUSE_S):
                c.user = f"t{next(self.numbers):021d}"
                start = time.monotonic()
                error = c.refuse_allocate()
                self.longest = max(self.longest, time.monotonic() - start)
                self.errors[error] = self.errors.get(error, 0) + 1
        except Exception as e:  # pylint: disable=broad-exception-caught
            self.failure = e

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        for t in self.threads:
            t.join()
        for c in self.clients:
            c.close()


class Tally:
    """What windows have shown together."""

    def __init__(self, pair, fault, busy):
        self.pair, self.fault, self.most = pair, fault, busy
        self.mine, self.other, self.busy = [], [], []  # by window
        self.sent = self.lost = 0
        self.errors, self.longest = {}, 0.0  # of the strangers

    @contextlib.contextmanager
    def knocked(self):
        with self.fault(), Knockers(self.pair) as k:
            yield
        check(not k.failure, f"a stranger has no answer: {k.failure}")
        self.longest = max(self.longest, k.longest)
        for error, n in k.errors.items():
            self.errors[error] = self.errors.get(error, 0) + n

    def window(self):
        a, b, busy = self.pair.window(self.knocked)
        self.mine.append(a["delay_us"]["p99"])
        self.other.append(b["delay_us"]["p99"])
        self.busy.append(busy)
        self.sent, self.lost = self.sent + a["sent"], self.lost + a["lost"]
        check((a["duplicates"], a["crosstalk"]) == (0, 0), f"{a['duplicates']} duplicates, {a['crosstalk']} of cross-talk")

    def fine(self):
        mine, other = statistics.median(self.mine), statistics.median(self.other)
        return tap.SANITIZER or mine <= max(MORE * other, other + MORE_US)

    def calm(self):
        return tap.SANITIZER or statistics.median(self.busy) < self.most

    def enough(self):
        return len(self.mine) >= WINDOWS[0] and ((self.fine() and self.calm()) or len(self.mine) >= WINDOWS[1])

    def judge(self, refused):
        delays = f"p99 {statistics.median(self.mine):.0f} us with the fault, {statistics.median(self.other):.0f} us without"
        share = statistics.median(self.busy)
        print(f"# {delays}, {len(self.mine)} windows; {self.lost} of {self.sent} lost; {share:.3f} of a core more; "
              f"strangers: {self.errors}, {self.longest:.2f} s at most", flush=True)
        check(100 * self.lost <= MAX_LOSS * self.sent, f"{self.lost} of {self.sent} were lost")
        check(self.sent >= RATE * WINDOW_S * len(self.mine) / 2, f"only {self.sent} packets were sent")
        check(self.fine(), f"{delays}: {self.mine} and {self.other}")
        check(self.calm(), f"{self.busy} of a core more than the other node: a busy loop")
        check(set(refused) <= set(self.errors) <= {401, 500}, f"the strangers' errors: {self.errors}")
        check(self.longest < LOOKUP_S + tap.PATIENCE_S / 2, f"a stranger waited for {self.longest:.1f} s")


def steady(pair, fault, refused=(500,), until=lambda: True, over=lambda: None, busy=BUSY):
    """Window after window with the fault: no loss, p99 as without, and strangers are refused in time; when it is over, Redis serves again."""
    tally = Tally(pair, fault, busy)
    while not (tally.enough() and until()):
        tally.window()
    over()
    tally.judge(refused)
    pair.serves(SERVES_S)


def between(begin, end):
    @contextlib.contextmanager
    def fault():
        begin()
        try:
            yield
        finally:
            end()

    return fault


@tap.group
def no_server():
    with contextlib.ExitStack() as stack:
        n = stack.enter_context(Generator())
        yield Pair(stack, n, stack.enter_context(redis.Server(n.srv, up=False)), "redis://127.0.0.1:6379")


@no_server.case("F1 Redis is not there at the start: the load flows, strangers have 500; it serves when it comes", seconds=200)
def _(f):
    f.nodes[0].daemon.wait_log('event=redis_unavailable reason="127.0.0.1:6379: cannot connect: Connection refused"')
    steady(f, contextlib.nullcontext, over=f.redis.start)


@tap.group
def one_server():
    with contextlib.ExitStack() as stack:
        n = stack.enter_context(Generator())
        settings = ["appendonly yes", "appendfsync always", "requirepass zzright"]
        server = stack.enter_context(redis.Server(n.srv, settings=settings, admin=["zzright"]))
        f = Pair(stack, n, server, "redis://:zzright@127.0.0.1:6379")
        f.user = f.token()
        yield f


@one_server.case("F2 Redis dies: the load of a token flows and ends, strangers have 500", seconds=200)
def _(f):
    steady(f, between(f.redis.kill, f.redis.start))


@one_server.case("F4 Redis has become a replica (READONLY): the load flows", seconds=200)
def _(f):
    steady(f, between(lambda: f.redis.call("REPLICAOF", "127.0.0.1", "1"), lambda: f.redis.call("REPLICAOF", "NO", "ONE")), refused=())


class Flapping:
    """Restarts the server as often as it can be done in half a window, then drops every connection as soon as there is one."""

    def __init__(self, f):
        self.fleet, self.drops, self.restarts, self.failure = f, 0, 0, None

    def _drop(self, ending):
        try:
            with self.fleet.redis.link() as link:
                while not ending.wait(0.005):
                    self.drops += link.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        except Exception as e:  # pylint: disable=broad-exception-caught
            self.failure = e

    @contextlib.contextmanager
    def fault(self):
        ending, half = threading.Event(), time.monotonic() + WINDOW_S / 2
        thread = threading.Thread(target=self._drop, args=(ending,), daemon=True)
        while time.monotonic() < half and self.restarts < RESTARTS:
            self.fleet.redis.kill()
            self.fleet.redis.start()
            self.restarts += 1
        thread.start()
        try:
            yield
        finally:
            ending.set()
            thread.join()
        check(not self.failure, f"what drops connections has failed: {self.failure}")


@one_server.case(f"F5 Redis restarts {RESTARTS} times and drops {DROPS} connections: the load flows, descriptors and memory stay", seconds=3600 if SOAK else 300)
def _(f):
    flapping, pid = Flapping(f), f.nodes[0].daemon.pid
    f.token()  # the last of its connections is made for the first question
    tap.wait_until(lambda: connections(pid) == CONNECTIONS, lambda: f"node 0 has {CONNECTIONS} connections to Redis: {connections(pid)} now")
    held, sizes = descriptors(pid), []

    def until():
        sizes.append(resident(pid))
        return flapping.drops >= DROPS and flapping.restarts >= RESTARTS

    steady(f, flapping.fault, refused=(), until=until, busy=1)
    text = f"resident bytes {sizes[0]} after the first window, {sizes[-1]} at the end"
    print(f"# {flapping.drops} connections dropped, {flapping.restarts} restarts; {held} descriptors; {text}", flush=True)
    tap.wait_until(lambda: descriptors(pid) <= held, lambda: f"at most {held} descriptors, {descriptors(pid)} now")
    check(sizes[-1] - sizes[0] < MEMORY, text)


@one_server.case("F6 what goes to Redis and comes from it vanishes: the load flows, strangers have 500, nobody turns in a circle", seconds=200)
def _(f):
    hole = "table ip hole {\n chain c {\n  type filter hook input priority 0;\n  tcp dport 6379 drop\n  tcp sport 6379 drop\n }\n}\n"
    steady(f, between(lambda: f.net.srv.run(["nft", "-f", "-"], hole), lambda: f.net.srv.run(["nft", "delete", "table", "ip", "hole"])))


@one_server.case("F7 the password is not taken any more: the load flows, strangers have 500, the log says why (S24)", seconds=200)
def _(f):
    def change(password):
        f.redis.call("CONFIG", "SET", "requirepass", password)
        f.redis.admin = [password]
        f.redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    steady(f, between(lambda: change("zzother"), lambda: change("zzright")))
    f.nodes[0].daemon.wait_log("event=redis_unavailable .*refuses the user's name or password .WRONGPASS")
    check("zz" not in f.nodes[0].daemon.log(), "a password is in the log")


@one_server.case("F8 S23 a server answers with what is no protocol, too large, too deep or not asked for: the load flows, strangers have 500", seconds=200)
def _(f):
    big = b"x" * (3 << 20)
    lies = itertools.cycle((b"HTTP/1.1 400 Bad Request\r\n\r\n", b"$3145728\r\n" + big + b"\r\n", b"$99999999999999999999\r\n", b"*2147483647\r\n",
                            b"*60000\r\n*60000\r\n" + b":1\r\n" * 70000, b"*1\r\n" * 20, b":1\r\n:2\r\n", b"+" + big))

    @contextlib.contextmanager
    def lying():
        f.redis.kill()
        with redis.Fake(f.net.srv, lambda words: next(lies)):
            yield
        f.redis.start()

    steady(f, lying, busy=1)


@tap.group
def behind_a_proxy():
    with contextlib.ExitStack() as stack:
        n = stack.enter_context(Generator())
        server = stack.enter_context(redis.Server(n.srv))
        f = Pair(stack, n, server, "redis://127.0.0.3:6379")
        f.proxy = stack.enter_context(redis.Proxy(n.srv, server))
        f.user = tap.wait_until(lambda: f.run_ctl("token", "list")[0] == 0 and f.token(), "the proxy passes")
        yield f


@behind_a_proxy.case(f"F3 Redis answers after {DELAY_S:.0f} s: the load flows, strangers have 500 at the deadline", seconds=200)
def _(f):
    def delay(seconds):
        f.proxy.delay = seconds

    steady(f, between(lambda: delay(DELAY_S), lambda: delay(0.0)))


@tap.group
def sentinels():
    with contextlib.ExitStack() as stack:
        n = stack.enter_context(Generator())
        f = Pair(stack, n, Sentinels(n.srv, stack), SENTINEL_URL)
        f.user = f.token()
        yield f


@sentinels.case("F4 the sentinels switch the master, again and again: the load flows", seconds=300)
def _(f):
    @contextlib.contextmanager
    def switch():
        before = f.redis.master()
        f.redis.switch()
        yield
        tap.wait_until(lambda: f.redis.master() not in (None, before) and f.redis.is_replica(before), "another master", SERVES_S)
        f.redis.settle()

    steady(f, switch, refused=())


tap.main(alone=True)
