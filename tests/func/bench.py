#!/usr/bin/env python3
"""turnpike-bench itself, beside a server that is silent, or falls silent: what is not answered is lost, and told."""
import json
import os
import socket
import subprocess
import threading

from lib import daemon, stun, tap
from lib.tap import check, equal

if not os.access(daemon.BENCH, os.X_OK):
    tap.skip_all(f"{daemon.BENCH} is not built")

ENDED_S = 30  # more than its duration of a second and the two that it waits for answers


@tap.group
def servers():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        yield s


def bench(s, mode, *options):
    """Exit status, result, and what standard error says."""
    command = [daemon.BENCH, mode, "--server", f"127.0.0.1:{s.getsockname()[1]}", "--user", daemon.USER, "--duration", "1", "--json", *options]
    env = {**os.environ, "TURNPIKE_BENCH_PASSWORD": daemon.PASSWORD}
    p = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=ENDED_S, check=False)
    return p.returncode, json.loads(p.stdout), p.stderr


@servers.case("turnpike-bench: from a silent server nothing is received, all is lost, and the status is 1", seconds=60)
def _(s):
    for mode in ("binding", "allocate"):
        for options in ((), ("--max-loss", "100"), ("--pid", str(os.getpid()))):
            status, r, said = bench(s, mode, "--sessions", "3", *options)
            equal((status, r["sent"], r["received"], r["lost"], r["loss_percent"]), (1, 3, 0, 3, 100), f"what {mode} shows")
            check("nothing was received" in said, f"it says {said}")
            equal(r.get("cpu_us_each"), None, "its cost")


@servers.case("turnpike-bench: a server that falls silent has lost what it did not answer", seconds=60)
def _(s):
    def answer():
        answered = set()
        while True:
            raw, client = s.recvfrom(1500)
            answered.add(raw[8:20])  # one that is asked again is no other one
            if len(answered) > 9:
                return
            s.sendto(stun.encode(stun.BINDING, stun.SUCCESS, txid=raw[8:20]), client)

    for options, wanted in (((), 0), (("--max-loss", "11"), 0), (("--max-loss", "9"), 1)):
        s.setblocking(False)
        try:
            while s.recv(1500):  # what the last load has sent again
                pass
        except BlockingIOError:
            s.settimeout(tap.PATIENCE_S)
        thread = threading.Thread(target=answer)
        thread.start()
        status, r, _ = bench(s, "binding", "--sessions", "1", *options)
        thread.join()
        equal((status, r["sent"], r["received"], r["lost"]), (wanted, 10, 9, 1), f"what it shows with {options}")


@servers.case("turnpike-bench: --credentials without a password, empty or missing are wrong usage, and no password is shown (S24)")
def _(s):
    with daemon.Directory() as d:
        for path in (d.file("none", "alice\n"), d.file("half", "alice zzsecret\nbob \n"), d.file("empty", ""), d.file("missing")):
            command = [daemon.BENCH, "allocate", "--server", f"127.0.0.1:{s.getsockname()[1]}", "--credentials", path]
            p = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=ENDED_S, check=False)
            equal((p.returncode, "--credentials" in p.stderr, "zz" in p.stdout + p.stderr), (2, True, False), f"what {path} gives")


tap.main()
