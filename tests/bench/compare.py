#!/usr/bin/env python3
"""turnpiked beside coturn: the same load on both in turn, in the same network namespaces, and the ratio of what it costs.

The server has one core and the load another; every server is started for its run and ended after it. A figure from a run with less than
20 ms of server CPU, or with more than 0.01 % of loss, is void, taken once more, and never counted. Figures move with the machine: only the
ratios mean something, and only on a machine that does nothing else.
"""
import argparse
import contextlib
import json
import os
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "func"))
from lib import daemon, net, stun, tap  # noqa: E402  pylint: disable=wrong-import-position

S = net.Standard
CLIENTS, PEERS = "198.51.100.10", "203.0.113.10"
PORT = 3478
SERVER_CORE, LOAD_CORE = 1, 0
SETTLE_S = 60.0  # for the set-up of a load and its end
MANY = 10000  # allocations held at once
SEARCH = (10000, 15000, 20000, 30000, 40000, 50000)  # packets/s that are tried until coturn loses some
SENT = 0.95  # of the rate asked for: below it the generator was the limit

TURNSERVER = [
    "turnserver", "-n", "--lt-cred-mech", f"--user={daemon.USER}:{daemon.PASSWORD}", f"--realm={daemon.REALM}", f"--listening-ip={S.SERVER}",
    f"--relay-ip={S.RELAY}", f"--listening-port={PORT}", "--relay-threads=1", "--no-tls", "--no-dtls", "--no-cli", "--no-multicast-peers",
    "--log-file=/dev/null", "--simple-log", "--no-stdout-log", "--min-port=49152", "--max-port=65535",
]  # fmt: skip


class Void(Exception):
    """A run whose figure means nothing, and why."""


class Failed(Exception):
    """A run that gave no figure at all, and why."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def pin(pid, core):
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(task), {core})


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def answers(n):
    """Does a Binding request get its answer?"""
    with n.gen.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect((S.SERVER, PORT))
        with contextlib.suppress(OSError):
            s.send(stun.encode(stun.BINDING, stun.REQUEST))
            return bool(select.select([s], [], [], 0.1)[0] and s.recv(1500))
    return False


@contextlib.contextmanager
def turnpiked(n, workers=1):
    settings = {
        "workers": workers,
        "listening-ip": S.SERVER,
        "listening-port": PORT,
        "relay-ip": S.RELAY,
        "allowed-peer-ip": list(S.PEER_NETS),
        "log-level": "warning",
    }
    with daemon.Daemon(n.srv, settings) as d:
        pin(d.pid, SERVER_CORE)
        yield d.pid


@contextlib.contextmanager
def coturn(n):
    with daemon.Directory() as d:
        command = [*TURNSERVER, f"--pidfile={d.file('pid')}", f"--userdb={d.file('db')}"]
        with n.srv.popen(command, cwd=d.path, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as p:
            try:
                tap.wait_until(lambda: answers(n), "coturn answers", process=p)
                pin(p.pid, SERVER_CORE)
                yield p.pid
            finally:
                p.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    p.wait(5)
                p.kill()


class Bench:
    def __init__(self, n, seconds, rounds):
        self.n, self.seconds, self.rounds = n, seconds, rounds

    def start(self, pid, mode, *options):
        command = ["taskset", "-c", str(LOAD_CORE), daemon.BENCH, mode, "--server", f"{S.SERVER}:{PORT}", "--user", daemon.USER]
        command += ["--client-ip", CLIENTS, "--duration", str(self.seconds), "--pid", str(pid), "--json", *options]
        command += ["--peer-ip", PEERS] if mode in ("up", "down") else []
        env = {**os.environ, "TURNPIKE_BENCH_PASSWORD": daemon.PASSWORD}
        return self.n.gen.popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def load(self, server, mode, *options):
        """One run on a fresh server: what turnpike-bench says."""
        with server(self.n) as pid, self.start(pid, mode, *options) as p:
            try:
                out, err = p.communicate(timeout=self.seconds + SETTLE_S)
            except BaseException:
                p.kill()
                raise
        if p.returncode != 0:
            raise Failed(f"turnpike-bench {mode}: {err.strip()}")
        return json.loads(out)

    def cpu(self, server, mode, *options):
        """Microseconds of the server's CPU for each packet or request; a void run is repeated once."""
        for _ in range(2):
            r = self.load(server, mode, *options)
            if not r["void"]:
                return r["cpu_us_each"]
            say(f"  void: {r['void']} ({mode} {' '.join(options)}: {r['lost']} of {r['sent']} lost)")
        raise Void(r["void"])

    def pairs(self, what, ours, theirs):
        """Both sides of a line, round by round."""
        a, b = [], []
        for i in range(self.rounds):
            a.append(ours())
            b.append(theirs())
            say(f"  round {i + 1} of {self.rounds}, {what}: {a[-1]:.2f} and {b[-1]:.2f}")
        return a, b

    # ---- The lines. Each gives (ours, theirs): lists of figures, lower is better. ----

    def one_way(self, server):
        return (self.cpu(server, "up", "--sessions", "1000", "--rate", "50") + self.cpu(server, "down", "--sessions", "1000", "--rate", "50")) / 2

    def p1(self):
        return self.pairs("us a packet", lambda: self.one_way(turnpiked), lambda: self.one_way(coturn))

    def p2(self):
        options = ("relay-relay", "--sessions", "1000", "--total-rate", "30000")
        return self.pairs("us a packet", lambda: self.cpu(turnpiked, *options), lambda: self.cpu(coturn, *options))

    def p4(self):
        options = ("allocate", "--sessions", "100")
        return self.pairs("us a request", lambda: self.cpu(turnpiked, *options), lambda: self.cpu(coturn, *options))

    def memory(self, server):
        """Bytes an allocation, with so many held at once by idle sessions."""
        with server(self.n) as pid:
            before = resident(pid)
            with self.start(pid, "up", "--sessions", str(MANY), "--rate", "0.5") as p:
                try:
                    tap.wait_until(lambda: len(os.listdir(f"/proc/{pid}/fd")) > MANY, f"{MANY} allocations", seconds=SETTLE_S, process=p)
                    out, err = p.communicate(timeout=self.seconds + SETTLE_S)  # its memory does not shrink when they end
                except BaseException:
                    p.kill()
                    raise
            after = resident(pid)
        if p.returncode != 0:
            raise Failed(f"turnpike-bench: {err.strip()}{out}")
        say(f"  {MANY} allocations at once: {after / 2**20:.1f} MiB resident in all, {before / 2**20:.1f} before")
        return (after - before) / MANY

    def p5(self):
        return [self.memory(turnpiked)], [self.memory(coturn)]

    def p6(self):
        many = ("up", "--sessions", str(MANY), "--rate", "2")
        few = ("up", "--sessions", "100", "--rate", "200")
        return self.pairs("us a packet", lambda: self.cpu(turnpiked, *many), lambda: self.cpu(turnpiked, *few))

    def p99(self, server, rate):
        return self.load(server, "up", "--sessions", "1000", "--total-rate", str(rate))["delay_us"]["p99"]

    def p7(self):
        passed = 0
        for rate in SEARCH:
            r = self.load(coturn, "up", "--sessions", "1000", "--total-rate", str(rate))
            say(f"  coturn at {rate}/s: {r['rate']:.0f}/s sent, {r['loss_percent']} % lost")
            if r["loss_percent"] > 0.01 or r["rate"] < SENT * rate:
                break
            passed = rate
        if not passed:
            raise Void("coturn loses packets at the lowest rate")
        half = passed // 2
        return self.pairs(f"us at p99, {half}/s", lambda: self.p99(turnpiked, half), lambda: self.p99(coturn, half))

    def p8(self):
        options = ("binding", "--sessions", "200")
        return self.pairs("us a request", lambda: self.cpu(turnpiked, *options), lambda: self.cpu(coturn, *options))

    def p10(self):
        def two(n):
            return turnpiked(n, workers=2)

        return self.pairs("us a packet", lambda: self.one_way(two), lambda: self.one_way(turnpiked))


LINES = (  # id, what, target (the ratio, at most), method
    ("P1", "one way, CPU a packet, 1000 sessions of 50/s", 0.85, Bench.p1),
    ("P2", "relay-relay, CPU a packet, 30,000/s", 0.45, Bench.p2),
    ("P4", "challenge + Allocate + Refresh 0, CPU", 0.30, Bench.p4),
    ("P5", f"resident bytes an allocation at {MANY}", 0.15, Bench.p5),
    ("P6", f"CPU a packet at {MANY} sessions to that at 100 (own)", 1.25, Bench.p6),
    ("P7", "p99 delay at half of what coturn passes", 0.80, Bench.p7),
    ("P8", "STUN Binding, CPU each", 0.70, Bench.p8),
    ("P10", "CPU a packet, two workers to one (own)", 1.10, Bench.p10),
)


def measure(bench, line):
    number, what, target, method = line
    result = {"id": number, "what": what, "ours": None, "theirs": None, "ratio": None, "target": target, "ok": False}
    try:
        ours, theirs = method(bench)
    except (Void, Failed, tap.Failure) as e:
        return {**result, "void": str(e)}
    result["ours"], result["theirs"] = statistics.median(ours), statistics.median(theirs)
    result["ratio"] = result["ours"] / result["theirs"]
    result["ok"] = result["ratio"] <= target
    return {**result, "spread": {"ours": [min(ours), max(ours)], "theirs": [min(theirs), max(theirs)]}}


def row(r):
    if "void" in r:
        return f"{r['id']:<4} {r['what']:<54} void: {r['void']}"
    spread = " ".join(f"{a:.2f}-{b:.2f}" for a, b in r["spread"].values())
    return f"{r['id']:<4} {r['what']:<54} {r['ours']:9.2f} {r['theirs']:9.2f} {r['ratio']:6.2f} {r['target']:6.2f}  {'ok' if r['ok'] else 'above':<6} {spread}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each side (default 3); the median counts")
    parser.add_argument("--seconds", type=int, default=5, help="of each run (default 5)")
    parser.add_argument("--only", help="lines to measure: P1,P4")
    parser.add_argument("--output", default="bench.json", help="where the figures go (default bench.json)")
    o = parser.parse_args()
    wanted = o.only.split(",") if o.only else [line[0] for line in LINES]
    lines = [line for line in LINES if line[0] in wanted]
    unknown = set(wanted) - {line[0] for line in LINES}
    if unknown:
        parser.error(f"no such line: {', '.join(sorted(unknown))}; there are {', '.join(line[0] for line in LINES)}")
    for tool, package in (("turnserver", "coturn"), ("taskset", "util-linux"), ("ip", "iproute2")):
        if not shutil.which(tool):
            parser.error(f"{tool} is not installed (Debian: apt-get install {package}; ./quickstart deps test installs all)")
    if os.cpu_count() < 2:
        parser.error("one core is for the server and another for the load: this machine has one")
    net.need_namespaces()
    results = []
    with net.Net("gen", "srv") as n:
        n.link(n.gen, "eth0", [f"{CLIENTS}/24"], n.srv, "cli0", [f"{S.SERVER}/24"])
        n.link(n.gen, "eth1", [f"{PEERS}/24"], n.srv, "peer0", [f"{S.RELAY}/24"])
        for i, line in enumerate(lines):
            say(f"{line[0]} ({i + 1} of {len(lines)}): {line[1]}")
            results.append(measure(Bench(n, o.seconds, o.rounds), line))
    print(f"{'':<4} {'lower is better; median of ' + str(o.rounds) + ' runs of ' + str(o.seconds) + ' s':<54} {'turnpike':>9} {'coturn':>9} {'ratio':>6} target")
    for r in results:
        print(row(r))
    with open(o.output, "w", encoding="utf-8") as f:
        json.dump(results, f, indent=1)
        f.write("\n")
    print(f"written to {o.output}; coturn ran as: {' '.join(x for x in TURNSERVER if 'user' not in x)}")
    sys.exit(0 if all(r["ok"] for r in results) else 1)


main()
