#!/usr/bin/env python3
"""Load, without loss, duplicates or cross-talk: one worker and two, up, down and relay-relay, UDP and TCP.

`make check` runs a short form. `load.py --soak` is the long one: 1000 sessions at 50 packets a second for a minute, and 30,000 packets a
second relay-relay.
"""
import re
import resource
import sys

from lib import daemon, flood, generator, net, tap
from lib.call import MEMORY, resident
from lib.generator import CLIENTS
from lib.tap import check, equal

SOAK = "--soak" in sys.argv
if SOAK:
    sys.argv.remove("--soak")

net.need_namespaces()
daemon.need_daemon()
generator.need()

S = net.Standard
MAX_LOSS = 0.01  # per cent
SECONDS = 60 if SOAK else 3
SESSIONS = 1000 if SOAK else 20 if tap.SANITIZER else 200
RATE = 50  # packets a second of a session
SENT = 0.95 if SOAK else 0.5  # of the rate: a busy machine makes the generator skip, which is no fault of the server
RELAY_RELAY_RATE = 30000 if SOAK else SESSIONS * RATE  # in all


def one_generator(workers, **more):
    def enter():
        with generator.beside(workers, **more) as w:
            yield w

    enter.__name__ = f"load, {workers} worker{'s' if workers > 1 else ''}"
    return tap.group(enter)


def bench(w, mode, *options, v6=False, sessions=SESSIONS):
    return generator.run(w, mode, *options, v6=v6, sessions=sessions, seconds=SECONDS)


def no_loss(w, mode, *options, rate, **kw):
    r = bench(w, mode, *options, **kw)
    check(r["sent"] >= SENT * rate * SECONDS, f"only {r['sent']} packets were sent in {SECONDS} s, not {rate} a second")
    check(r["loss_percent"] <= MAX_LOSS, f"{r['lost']} of {r['sent']} were lost, {r['loss_percent']} per cent")
    equal((r["duplicates"], r["crosstalk"]), (0, 0), "duplicates and cross-talk")
    return r


def add_cases(g):
    patience = 3 * SECONDS + 120

    for mode in ("up", "down"):

        @g.case(f"load {mode}: {SESSIONS} sessions, {RATE}/s each, {SECONDS} s", seconds=patience)
        def _(w, mode=mode):
            no_loss(w, mode, "--rate", str(RATE), rate=SESSIONS * RATE)

    @g.case(f"load relay-relay: {SESSIONS} sessions, {RELAY_RELAY_RATE}/s in all, {SECONDS} s", seconds=patience)
    def _(w):
        no_loss(w, "relay-relay", "--total-rate", str(RELAY_RELAY_RATE), rate=RELAY_RELAY_RATE)

    few = max(SESSIONS // 5, 10)

    @g.case(f"load over TCP: {few} sessions up, down and relay-relay, {RATE}/s each, {SECONDS} s", seconds=3 * patience)
    def _(w):
        for mode in ("up", "down", "relay-relay"):
            no_loss(w, mode, "--transport", "tcp", "--rate", str(RATE), rate=few * RATE, sessions=few)

    @g.case(f"load with Send and Data, and over IPv6: {few} sessions up and down, {RATE}/s each, {SECONDS} s", seconds=4 * patience)
    def _(w):
        for mode in ("up", "down"):
            no_loss(w, mode, "--method", "send", "--rate", str(RATE), rate=few * RATE, sessions=few)
            no_loss(w, mode, "--rate", str(RATE), rate=few * RATE, sessions=few, v6=True)

    @g.case(f"churn: challenge and Allocate as fast as answers come, {SECONDS} s; no descriptor stays behind", seconds=patience)
    def _(w):
        r = bench(w, "allocate")
        check(r["received"] > 0 and r["loss_percent"] <= MAX_LOSS, f"{r['lost']} of {r['sent']} were not answered")

    @g.case(f"Binding as fast as answers come, {SECONDS} s", seconds=patience)
    def _(w):
        r = bench(w, "binding")
        check(r["received"] > 0 and r["loss_percent"] <= MAX_LOSS, f"{r['lost']} of {r['sent']} were not answered")

    @g.case("turnpike-bench --credentials: each client takes the next, and allocate ends when each has had its turn", seconds=patience)
    def _(w):
        with daemon.Directory() as d:
            before = len(w.daemon.events("allocation_deleted"))
            lines = f"{daemon.USER} {daemon.PASSWORD}\n{daemon.USER_2} {daemon.PASSWORD_2}\n" * 25
            r = bench(w, "allocate", "--credentials", d.file("good", lines), sessions=7)
            equal((r["received"], r["lost"]), (50, 0), "requests answered and lost")
            tap.wait_until(lambda: len(w.daemon.events("allocation_deleted")) >= before + 50, "the log tells of their ends")
            users = [e["user"] for e in w.daemon.events("allocation_deleted")[before:]]
            equal((users.count(daemon.USER), users.count(daemon.USER_2)), (25, 25), "allocations of each")
            check(r["seconds"] < SECONDS, f"it went on for {r['seconds']} s")

    @g.case("every worker took part in the load")
    def _(w):
        w.daemon.stop()
        for name in ("requests", "packets_up", "packets_down"):
            counts = [s[name] for s in w.daemon.worker_stats()]
            check(min(counts) > 0, f"{name} of the workers: {counts}")


for number in (1, 2):
    add_cases(one_generator(number))

FLOOD_RATE = 50000 if SOAK else 2000
FLOOD_SECONDS = 30 if SOAK else 5
STRANGERS = "198.18.0.0/15"


strangers = one_generator(1, **{"unauthenticated-rate": 200})


@strangers.case(f"S19 {FLOOD_RATE} requests/s of strangers for {FLOOD_SECONDS} s: the load loses nothing, memory stays", seconds=FLOOD_SECONDS + 120)
def _(w):
    w.net.srv.ip(f"route add {STRANGERS} via {CLIENTS}")
    what = flood.packets(STRANGERS, S.SERVER, w.daemon.port(), 8192)
    no_loss(w, "up", "--rate", "10", rate=SESSIONS * 10)  # what the load itself takes is taken
    before = resident(w.daemon.pid)
    with flood.Flood(w.net.gen, what, S.SERVER, FLOOD_RATE, FLOOD_SECONDS) as f:
        no_loss(w, "up", "--rate", "10", "--duration", str(FLOOD_SECONDS - 2), rate=SESSIONS * 10 * (FLOOD_SECONDS - 2) / SECONDS)
    after = resident(w.daemon.pid)
    print(f"# {f.sent} packets of strangers in {FLOOD_SECONDS} s; resident {before} bytes before, {after} after", flush=True)
    check(f.sent >= SENT * FLOOD_RATE * FLOOD_SECONDS, f"only {f.sent} packets of strangers in {FLOOD_SECONDS} s")
    check(after - before < MEMORY, f"{after - before} bytes more are resident")


MANY = 10000 if not tap.SANITIZER else 500
MANY_BYTES = 60 << 20 if not tap.SANITIZER else 1 << 40
many = one_generator(1)


def most_resident(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"VmHWM:\s*(\d+) kB", f.read()).group(1)) << 10


@many.case(f"P5 {MANY} allocations held at once in {MANY_BYTES >> 20} MB resident, and as many again take no more", seconds=SECONDS * 2 + 240)
def _(w):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < MANY + 100:
        raise tap.Skip(f"the hard limit of descriptors is {hard}")
    peaks = []
    for _ in range(2):  # turnpike-bench has all of them before it sends the first packet
        r = no_loss(w, "up", "--rate", "0.5", rate=MANY * 0.5, sessions=MANY)
        equal(r["sessions"], MANY, "the number of sessions")
        peaks.append(most_resident(w.daemon.pid))
    print(f"# {MANY} allocations: {peaks[0]} bytes resident at the most, {peaks[1]} the second time", flush=True)
    check(peaks[0] <= MANY_BYTES, f"{peaks[0]} bytes were resident")
    check(peaks[1] - peaks[0] < MEMORY, f"{peaks[1] - peaks[0]} bytes more were resident the second time")


tap.main(alone=True)
