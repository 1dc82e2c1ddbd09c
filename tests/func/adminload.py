#!/usr/bin/env python3
"""The admin plane beside a load: what pollers cost the data path, and how long a page of many allocations takes.

`make check` runs a short form. `adminload.py --soak` (make bench-admin) is the long one: 20,000 packets a second beside 50 pollers, and
10,000 allocations.
"""
import os
import resource
import statistics
import sys
import threading
import time

from lib import admin, daemon, generator, net, tap
from lib.tap import check, equal

SOAK = "--soak" in sys.argv
if SOAK:
    sys.argv.remove("--soak")

net.need_namespaces()
daemon.need_daemon()
generator.need()

# The generator stands for other machines: it turns without a pause, and has a processor of its own. Relay and pollers share the others.
MINE, GENERATORS = sorted(os.sched_getaffinity(0))[1:], sorted(os.sched_getaffinity(0))[:1]
if SOAK and MINE:
    os.sched_setaffinity(0, MINE)

V = "/api/v1"
SECONDS = 20 if SOAK else 2
RATE = 20000 if SOAK else 2000 if not tap.SANITIZER else 500  # packets a second in all
SESSIONS = 400 if SOAK else 40
POLLERS = 50 if SOAK else 10
PAIRS = 5  # of runs, without pollers and beside them
PERIOD_S = 1.0  # in which each asks for both
MAX_LOSS = 0.01  # per cent
P99_TIMES, P99_US = 1.2, 1000.0  # of the delay without pollers, or more than it
MANY = 10000 if SOAK else 1000 if not tap.SANITIZER else 200
PAGE_S, METRICS_S = (0.050, 0.020) if SOAK else (0.5, 0.25) if not tap.SANITIZER else (2.0, 1.0)


class Pollers:
    """So many clients, each on a connection of its own, that ask for a page of allocations and for the metrics in turn."""

    def __init__(self, w, count):
        self.client = admin.Client(path=w.daemon.settings["admin-socket"])
        self.ending, self.took, self.failures = threading.Event(), {f"{V}/allocations": [], "/metrics": []}, []
        self.threads = [threading.Thread(target=self._poll, args=(i * PERIOD_S / count,), daemon=True) for i in range(count)]

    def _poll(self, late):
        c = self.client.connection()
        try:
            while not self.ending.wait(late):
                late = PERIOD_S
                for path, took in self.took.items():
                    start = time.monotonic()
                    self.client.get(path, connection=c)
                    took.append(time.monotonic() - start)
        except Exception as e:  # pylint: disable=broad-exception-caught
            self.failures.append(e)
        finally:
            c.close()

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        for t in self.threads:
            t.join()


def told(what, took):
    took = sorted(took)
    print(f"# {what}: {len(took)} answers, p50 {took[len(took) // 2] * 1e3:.1f} ms, p99 {took[len(took) * 99 // 100] * 1e3:.1f} ms, "
          f"max {took[-1] * 1e3:.1f} ms", flush=True)
    return took


@tap.group
def beside_a_load():
    with generator.beside(1) as w:
        yield w


@beside_a_load.case(f"{POLLERS} pollers of /allocations and /metrics beside {RATE} packets/s: no loss, and the delay stays", seconds=PAIRS * 3 * SECONDS + 120)
def _(w):
    def load():
        with generator.Load(w, "up", "--total-rate", str(RATE), seconds=SECONDS, sessions=SESSIONS) as l:
            if SOAK:
                os.sched_setaffinity(l.process.pid, GENERATORS)
            return l.result()

    def with_pollers():
        with Pollers(w, POLLERS) as pollers:
            beside = load()
        equal(pollers.failures, [], "what went wrong")
        for path, took in pollers.took.items():
            told(path, took)
            check(len(took) > POLLERS * SECONDS / PERIOD_S / 2, f"only {len(took)} answers to {path}")
        check(beside["loss_percent"] <= MAX_LOSS, f"{beside['lost']} of {beside['sent']} were lost, {beside['loss_percent']} per cent")
        return beside

    if not SOAK:
        with_pollers()
        return
    pairs = [(load(), with_pollers()) for _ in range(PAIRS)]
    for alone, beside in pairs:
        print(f"# p99 of the packets' delay: {alone['delay_us']['p99']:.0f} us alone, {beside['delay_us']['p99']:.0f} us beside the pollers; "
              f"CPU a packet {alone['cpu_us_each']:.1f} and {beside['cpu_us_each']:.1f} us", flush=True)
    alone, beside = (statistics.median(r["delay_us"]["p99"] for r in runs) for runs in zip(*pairs))
    text = f"p99, the median of {PAIRS} runs: {alone:.0f} us alone, {beside:.0f} us beside the pollers"
    print(f"# {text}", flush=True)
    check(beside <= max(P99_TIMES * alone, alone + P99_US), text)


@tap.group
def many_allocations():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with generator.beside(2) as w:
            yield w
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@many_allocations.case(f"with {MANY} allocations a page of /allocations takes {PAGE_S * 1e3:.0f} ms at most, /metrics {METRICS_S * 1e3:.0f} ms", seconds=300)
def _(w):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < MANY + 100:
        raise tap.Skip(f"the hard limit of descriptors is {hard}")
    c = admin.Client(path=w.daemon.settings["admin-socket"])
    kept = c.connection()
    pages, metrics = [], []
    with generator.Load(w, "up", "--rate", "0.2", seconds=600, sessions=MANY) as load:
        tap.wait_until(
            lambda: c.get(f"{V}/status").json["allocations"]["active"] == MANY, f"there are {MANY} allocations", 120 * (4 if tap.SANITIZER else 1), load.process
        )
        seen, cursor = set(), None
        while True:
            start = time.monotonic()
            a = c.get(f"{V}/allocations?limit=100{f'&cursor={admin.quoted(cursor)}' if cursor else ''}", connection=kept)
            pages.append(time.monotonic() - start)
            seen.update(x["id"] for x in a.json["items"])
            start = time.monotonic()
            c.get("/metrics", connection=kept)
            metrics.append(time.monotonic() - start)
            cursor = a.json["next"]
            if cursor is None:
                break
    equal(len(seen), MANY, "allocations in all pages")
    for what, took, most in (("a page of 100", pages, PAGE_S), ("/metrics", metrics, METRICS_S)):
        took = told(what, took)
        p99 = took[(len(took) - 1) * 99 // 100]  # of a few, the slowest but one: a machine may stand still once
        check(p99 < most, f"{what} took {p99 * 1e3:.1f} ms at p99")
    kept.close()


tap.main(alone=True)
