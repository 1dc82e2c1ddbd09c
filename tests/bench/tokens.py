#!/usr/bin/env python3
"""What a token costs: 20,000 Allocates by as many tokens in Redis, beside the same with users of the configuration.

Each client is new: it is challenged, allocates and gives back, and the next one has the next credential, until each has had its turn. The
server has one core; the load and Redis share the other.
"""
import argparse
import contextlib
import hashlib
import json
import os
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "func"))
from lib import daemon, net, redis, tap  # noqa: E402  pylint: disable=wrong-import-position
from lib.call import cpu_s  # noqa: E402  pylint: disable=wrong-import-position

S = net.Standard
CLIENTS = "198.51.100.10"
PORT = 3478
SERVER_CORE, LOAD_CORE = 1, 0
SETTLE_S = 60.0
PAGE = 500  # commands written to Redis at once


def pin(pid, core):
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(task), {core})


def names(count):
    return [(f"t{i:023d}", f"password-{i}") for i in range(count)]


def fill(server, credentials):
    """Tokens as turnpikectl writes them (auth/token.c token_write)."""
    with server.link() as link:
        for i in range(0, len(credentials), PAGE):
            page = credentials[i : i + PAGE]
            out = []
            for name, password in page:
                text = f"{name}:{daemon.REALM}:{password}".encode()
                words = ["HSET", f"tp:token:{{{name}}}", "owner", "acme", "realm", daemon.REALM, "issued_at", "1700000000", "scope", "turn",
                         "md5", hashlib.md5(text).hexdigest(), "sha256", hashlib.sha256(text).hexdigest()]
                out.append(f"*{len(words)}\r\n" + "".join(f"${len(w)}\r\n{w}\r\n" for w in words))
            link.socket.sendall("".join(out).encode())
            for _ in page:
                link.file.readline()


class Bench:
    def __init__(self, n, directory, count, sessions):
        self.n, self.directory, self.sessions = n, directory, sessions
        self.credentials = names(count)
        self.file = directory.file("credentials", "".join(f"{name} {password}\n" for name, password in self.credentials))
        self.one = directory.file("one", f"{daemon.USER} {daemon.PASSWORD.replace(' ', '-')}\n" * count)

    def run(self, file, server=None, **settings):
        """One load on a fresh server: requests a second, and microseconds of the server's and of Redis' CPU for each."""
        usual = {"workers": 1, "listening-ip": S.SERVER, "listening-port": PORT, "relay-ip": S.RELAY, "log-level": "warning"}
        with daemon.Daemon(self.n.srv, {**usual, **settings}) as d:
            pin(d.pid, SERVER_CORE)
            command = ["taskset", "-c", str(LOAD_CORE), daemon.BENCH, "allocate", "--server", f"{S.SERVER}:{PORT}", "--credentials", file]
            command += ["--client-ip", CLIENTS, "--sessions", str(self.sessions), "--duration", "60", "--pid", str(d.pid), "--json"]
            before = cpu_s(server.process.pid) if server else 0
            with self.n.gen.popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
                try:
                    out, err = p.communicate(timeout=60 + SETTLE_S)
                except BaseException:
                    p.kill()
                    raise
            tap.check(p.returncode == 0, f"turnpike-bench: {err.strip()}{out}\n{d.tail()}")
            store = (cpu_s(server.process.pid) - before) if server else 0
        r = json.loads(out)
        tap.check(r["received"] == len(self.credentials) and not r["lost"], f"{r['received']} of {len(self.credentials)}, {r['lost']} lost")
        return r["received"] / r["seconds"], 1e6 * r["cpu_seconds"] / r["received"], 1e6 * store / r["received"], r["delay_us"]["p50"]

    def one_user(self):
        return self.run(self.one, user=f"{daemon.USER}:{daemon.PASSWORD.replace(' ', '-')}")

    def users(self):
        return self.run(self.file, user=[f"{name}:{password}" for name, password in self.credentials])

    def tokens(self):
        with redis.Server(self.n.srv) as server:
            pin(server.process.pid, LOAD_CORE)
            fill(server, self.credentials)
            return self.run(self.file, server, user=None, redis="redis://127.0.0.1:6379")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each line (default 3); the median counts")
    parser.add_argument("--count", type=int, default=20000, help="Allocates, and tokens (default 20000)")
    parser.add_argument("--sessions", type=int, default=100, help="clients at the same time (default 100)")
    parser.add_argument("--output", help="where the figures go as JSON")
    o = parser.parse_args()
    tap.need("redis-server", "taskset")
    if os.cpu_count() < 2:
        parser.error("one core is for the server and another for the load: this machine has one")
    net.need_namespaces()
    found = {}
    with net.Net("gen", "srv") as n, daemon.Directory() as directory:
        n.link(n.gen, "eth0", [f"{CLIENTS}/24"], n.srv, "cli0", [f"{S.SERVER}/24"])
        n.srv.ip(f"addr add {S.RELAY}/32 dev lo")
        bench = Bench(n, directory, o.count, o.sessions)
        lines = (("one user of the configuration", bench.one_user), (f"{o.count} users of the configuration", bench.users),
                 (f"{o.count} tokens in Redis", bench.tokens))
        for i in range(o.rounds):
            for what, method in lines:
                found.setdefault(what, []).append(method())
                print(f"  round {i + 1} of {o.rounds}, {what}: {found[what][-1][0]:.0f}/s, {found[what][-1][1]:.1f} us", file=sys.stderr, flush=True)
    medians = {what: [statistics.median(column) for column in zip(*runs)] for what, runs in found.items()}
    base = next(iter(medians.values()))
    print(f"{'challenge + Allocate + Refresh 0; median of ' + str(o.rounds):<48} {'a second':>9} {'CPU us':>8} {'Redis us':>9} {'p50 us':>8} {'CPU ratio':>10}")
    for what, (rate, cpu, store, p50) in medians.items():
        print(f"{what:<48} {rate:9.0f} {cpu:8.1f} {store:9.1f} {p50:8.0f} {cpu / base[1]:10.2f}")
    if o.output:
        with open(o.output, "w", encoding="utf-8") as f:
            json.dump({what: dict(zip(("rate", "cpu_us", "redis_cpu_us", "p50_us"), row)) for what, row in medians.items()}, f, indent=1)
            f.write("\n")


main()
