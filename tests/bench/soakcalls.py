#!/usr/bin/env python3
"""Many calls at once through turnpike-bridge and turnpiked, for minutes: loss both ways, delay, memory, and CPU of both.

Both are the real programs, in namespaces joined by veth: a home, the internet with relay and connect service, an office with the bridge, and
its PBX. At home a program calls as many browsers would (ICE, DTLS-SRTP, an allocation of its own each), relay candidates only on both sides; in
the PBX another one speaks for the telephones. Each call has 50 packets of G.711 a second each way, and each packet is numbered and tells when
it was sent. Delay is from one end's send to the other end's receive, so it has the kernel's way and the wait for a processor in it: the load
generators share the machine. It fails when more than 0.1 % are lost, when a call ends, or when one of the two programs has grown by more than
stated between the moment at which all calls are up and the end.
"""
import argparse
import contextlib
import json
import os
import queue
import re
import resource
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "func"), os.path.join(HERE, "..", "e2e")]
import picture  # noqa: E402  pylint: disable=wrong-import-position
from lib import ctl, daemon, net, pbx, tap  # noqa: E402  pylint: disable=wrong-import-position
from lib.call import cpu_s, resident  # noqa: E402  pylint: disable=wrong-import-position

BRIDGE = os.path.join(daemon.BUILDDIR, "turnpike-bridge")
CALLERS, TELEPHONES = (os.path.join(daemon.BUILDDIR, "tests", "bench", name) for name in ("callers", "telephones"))
HOME, OFFICE, PBX = "192.0.2.10", "192.0.2.20", "10.20.0.2"
RTP = 30000  # the first call's port at the PBX; each has two
PHONES_OF_USER = 32  # the service's limit of phones of one user
MAX_LOSS = 0.1  # per cent
PACKETS_S = 50  # of a call, each way
LEAST_SENT = 95.0  # per cent of what should be sent: below it the generators had no processor, and the run shows nothing
SAMPLE_S = 1.0
SETTLE_S = 1.0  # for what is under way when the count ends
END_S = 20.0


class Board(pbx.Pbx):
    """Takes every call at once: the n-th telephone's port is in the number."""

    def _take(self, m):
        if m.status is None and m.method == "INVITE" and m.user.isdigit():
            self.counts["INVITE"] += 1
            self.reply(m, 200, pbx.sdp(PBX, RTP + 2 * int(m.user)))
        elif m.status is None and m.method in ("REGISTER", "OPTIONS", "BYE"):
            super()._take(m)


class Generator:
    """A load's end: its last state, and its report."""

    def __init__(self, ns, *command):
        self.process = ns.popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.name, self.state, self.reports = os.path.basename(command[0]), {"up": 0, "ended": 0, "why": ""}, queue.Queue()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            told = json.loads(line)
            if told["event"] == "report":
                self.reports.put(told)
            else:
                self.state.update(told)

    def __enter__(self):
        return self

    def order(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def report(self):
        self.order("report")
        return self.reports.get(timeout=tap.PATIENCE_S)

    def end(self):
        """It hangs up what it has; fails if it had ended before."""
        early = self.process.poll()
        tap.check(early is None, f"{self.name} had ended by itself with status {early}")
        self.process.stdin.close()
        tap.equal(self.process.wait(END_S), 0, f"the status of {self.name}")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def note(text):
    print(f"  {text}", file=sys.stderr, flush=True)


class World:
    """Everything but the load, in `stack`."""

    def __init__(self, stack, calls):
        self.calls = calls
        self.directory = d = stack.enter_context(daemon.Directory())
        self.net = n = stack.enter_context(net.Net("home", "internet", "office", "pbx"))
        for ns, name, ip in ((n.home, "home0", HOME), (n.office, "office0", OFFICE)):
            net.Net.link(ns, "eth0", [f"{ip}/32"], n.internet, name, [])
            n.internet.ip(f"route add {ip}/32 dev {name}")
            ns.ip("route add default dev eth0")
        n.internet.ip(*[f"addr add {ip}/32 dev lo" for ip in (picture.RELAY, picture.CONNECT)])
        net.Net.link(n.office, "eth1", ["10.20.0.3/24"], n.pbx, "eth0", [f"{PBX}/24"])
        cert, key, self.ca = picture.authority(d)
        self.board = stack.enter_context(Board(n.pbx, PBX))
        self.relay = stack.enter_context(daemon.Daemon(n.internet, self._relay(cert, key)))
        self.users = [f"user{i}" for i in range(-(-calls // PHONES_OF_USER))]
        self.bridge = stack.enter_context(daemon.Daemon(n.office, self._bridge(), plain=True, program=BRIDGE))
        self.tokens = d.file("tokens", "".join(" ".join(self._token("phone", user)) + "\n" for user in self.users))

    @staticmethod
    def _relay(cert, key):
        return {
            "listening-ip": picture.RELAY,
            "listening-port": picture.TURN_PORT,
            "connect-listen": f"{picture.CONNECT}:{picture.TLS_PORT}",
            "cert": cert,
            "pkey": key,
        }

    def _token(self, scope, owner):
        made = json.loads(ctl.ended(0, "--config", self.relay.config_path, "token", "issue", "--scope", scope, "--owner", owner, "--tenant", "acme", "-o", "json"))
        return made["username"], made["password"]

    def _bridge(self):
        return {
            "connect-url": f"wss://{picture.CONNECT}/connect",
            "connect-ca": self.ca,
            "token": ":".join(self._token("bridge", "office")),
            "force-relay": "yes",
            "ice-ip": OFFICE,
            "sip-registrar": self.board.address,
            "line": [f"{100 + i}:::{user}" for i, user in enumerate(self.users)],
            "rtp-ports": "20000-20999",
        }

    def load(self, stack, rate):
        """Callers and telephones, all up, in state and word."""
        telephones = stack.enter_context(Generator(self.net.pbx, TELEPHONES, PBX, RTP, self.calls))
        words = [f"wss://{picture.CONNECT}/connect", self.ca, HOME, picture.RELAY, picture.TURN_PORT, self.calls, rate, self.tokens]
        callers = stack.enter_context(Generator(self.net.home, CALLERS, *words))
        deadline = time.monotonic() + self.calls / rate + 30
        while min(callers.state["up"], telephones.state["up"]) < self.calls:
            tap.check(callers.state["ended"] == 0, f"a call has ended while others began: {callers.state['why']}")
            tap.check(time.monotonic() < deadline, f"only {callers.state['up']} of {self.calls} calls came up")
            for g in (callers, telephones):
                tap.check(g.process.poll() is None, f"{g.name} has ended with status {g.process.returncode}")
            note(f"{callers.state['up']} of {self.calls} calls are up")
            time.sleep(SAMPLE_S)
        return callers, telephones


class Watch:
    """Memory and CPU of the two programs, and of the generators."""

    def __init__(self, **pids):
        self.pids = pids
        self.began, self.cpu = time.monotonic(), {name: cpu_s(pid) for name, pid in pids.items()}
        self.memory = {name: [] for name in pids}
        self.look()

    def look(self):
        for name, pid in self.pids.items():
            self.memory[name].append(resident(pid))

    def result(self):
        seconds = time.monotonic() - self.began
        found = {}
        for name, pid in self.pids.items():
            m = self.memory[name]
            found[name] = {"cpu_percent": 100 * (cpu_s(pid) - self.cpu[name]) / seconds, "begin": m[0], "middle": m[len(m) // 2], "end": m[-1], "most": max(m)}
        return found


def measure(o, stack):
    """Calls, counts, and what came of it; all that was started ends with the stack."""
    w = World(stack, o.calls)
    began = time.monotonic()
    callers, telephones = w.load(stack, o.rate)
    setup_s = time.monotonic() - began
    note(f"{o.calls} calls are up after {setup_s:.0f} s; now {o.seconds} s")
    ends = (callers, telephones)
    watch = Watch(bridge=w.bridge.pid, turnpiked=w.relay.pid, callers=callers.process.pid, telephones=telephones.process.pid)
    for g in ends:
        g.order("go")
    over, told = time.monotonic() + o.seconds, time.monotonic()
    while time.monotonic() < over:
        time.sleep(min(SAMPLE_S, max(over - time.monotonic(), 0)))
        watch.look()
        tap.check(callers.state["ended"] == 0, f"a call has ended: {callers.state['why']}")
        if time.monotonic() - told >= 10:
            told = time.monotonic()
            note(f"{over - told:.0f} s to go; bridge {watch.memory['bridge'][-1] / 1e6:.1f} MB, turnpiked {watch.memory['turnpiked'][-1] / 1e6:.1f} MB")
    for g in ends:
        g.order("stop")
    plan = o.calls * PACKETS_S * (time.monotonic() - watch.began)  # on a busy machine longer than was asked for
    usage = watch.result()
    time.sleep(SETTLE_S)
    up, down = callers.report(), telephones.report()
    for g in ends:
        g.end()
    pairs = re.findall(r"event=call_media .*local=(\w*) remote=(\w*)", w.bridge.log())
    tap.check(set(pairs) == {("relay", "relay")}, f"pairs of the bridge: {set(pairs)}")
    return {"calls": o.calls, "seconds": o.seconds, "setup_seconds": setup_s, "to_pbx": way(plan, up, down), "to_browser": way(plan, down, up), "processes": usage}


def run(o):
    """The result, and in it whatever did not end as it should: that takes nothing away from the figures."""
    r = {}
    try:
        with contextlib.ExitStack() as stack:
            r = measure(o, stack)
            r["faults"] = faults(r, o.growth)
    except tap.Failure as e:
        if not r:
            raise
        r["faults"].append(str(e).splitlines()[0])
    return r


def way(plan, sender, hearer):
    """One direction: what the one end has sent, and the other heard."""
    sent, received = sum(sender["sent"]), sum(hearer["received"])
    worst = max(100 * (s - r) / s if s else 100.0 for s, r in zip(sender["sent"], hearer["received"]))
    return {"sent": sent, "of_plan_percent": 100 * sent / plan, "received": received, "unsent": sender["unsent"],
            "loss_percent": 100 * (sent - received) / sent if sent else 100.0, "worst_call_percent": worst,
            **{k: hearer[k] for k in ("duplicates", "reordered", "crosstalk", "foreign", "delay_ms")}}


def faults(r, growth_kb):
    """What is not as it should be, a sentence each."""
    found = []
    for name in ("to_pbx", "to_browser"):
        d = r[name]
        if d["loss_percent"] > MAX_LOSS:
            found.append(f"{name}: {d['loss_percent']:.3f} % lost, more than {MAX_LOSS} %")
        if d["of_plan_percent"] < LEAST_SENT:
            found.append(f"{name}: only {d['of_plan_percent']:.1f} % of what should be was sent: this machine is too slow for the load, or busy")
        if d["crosstalk"] or d["duplicates"] or d["foreign"]:
            found.append(f"{name}: {d['crosstalk']} packets in another call, {d['duplicates']} twice, {d['foreign']} changed")
    for name in ("bridge", "turnpiked"):
        grown = (r["processes"][name]["end"] - r["processes"][name]["begin"]) / 1024
        if grown > growth_kb:
            found.append(f"{name} has grown by {grown:.0f} KB, more than {growth_kb} KB")
    return found


def table(r):
    print(f"{r['calls']} calls for {r['seconds']} s, relay to relay, 50 packets/s each way; up after {r['setup_seconds']:.0f} s")
    print(f"{'':<12} {'sent':>9} {'of plan %':>10} {'received':>9} {'loss %':>8} {'worst call %':>13} {'p50 ms':>8} {'p99 ms':>8} {'p99.9 ms':>9} {'max ms':>8}")
    for name in ("to_pbx", "to_browser"):
        d = r[name]
        print(f"{name:<12} {d['sent']:9d} {d['of_plan_percent']:10.1f} {d['received']:9d} {d['loss_percent']:8.4f} {d['worst_call_percent']:13.4f} " +
              " ".join(f"{d['delay_ms'][k]:{n}.2f}" for k, n in (("p50", 8), ("p99", 8), ("p999", 9), ("max", 8))))
    print(f"{'':<12} {'CPU %':>9} {'MB begin':>9} {'middle':>8} {'end':>8} {'most':>8}")
    for name, p in r["processes"].items():
        print(f"{name:<12} {p['cpu_percent']:9.1f} " + " ".join(f"{p[k] / 1e6:{n}.1f}" for k, n in (("begin", 9), ("middle", 8), ("end", 8), ("most", 8))))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200, help="at the same time, 1 to 250 (default 200)")
    parser.add_argument("--seconds", type=int, default=300, help="that are counted, once all calls are up, 1 to 3600 (default 300)")
    parser.add_argument("--rate", type=int, default=10, help="calls a second that begin, 2 to 50 (default 10)")
    parser.add_argument("--growth", type=int, default=2048, metavar="KB", help="that each of the two may have grown at the end (default 2048)")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table", help="how the result is printed (default table)")
    o = parser.parse_args()
    for name, low, high in (("calls", 1, 250), ("seconds", 1, 3600), ("rate", 2, 50)):
        if not low <= getattr(o, name) <= high:
            parser.error(f"--{name} is from {low} to {high}")
    for program in (BRIDGE, CALLERS, TELEPHONES):
        if not os.access(program, os.X_OK):
            parser.error(f"{program} is not built (--with-bridge, and make check_PROGRAMS)")
    net.need_namespaces()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        r = run(o)
    except tap.Failure as e:
        print(f"soak-calls: {e}", file=sys.stderr)
        sys.exit(1)
    if o.output == "json":
        print(json.dumps(r, indent=1))
    else:
        table(r)
        print("\n".join(r["faults"]) if r["faults"] else f"all well: loss at most {MAX_LOSS} %, memory within {o.growth} KB")
    sys.exit(1 if r["faults"] else 0)


main()
