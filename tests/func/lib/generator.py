"""turnpike-bench on one host, the server beside it between the clients' network and the peers'."""
import contextlib
import json
import os
import subprocess

from . import daemon, net, tap, world
from .call import descriptors
from .tap import check

S = net.Standard
CLIENTS, PEERS = "198.51.100.10", "203.0.113.10"


def need():
    if not os.access(daemon.BENCH, os.X_OK):
        tap.skip_all(f"{daemon.BENCH} is not built")


@contextlib.contextmanager
def beside(workers, **more):
    """Clients and peers are one process, so they share a host; the server stands between its two networks."""
    with net.Net("gen", "srv") as n:
        n.link(n.gen, "eth0", [f"{CLIENTS}/24", "2001:db8:1::10/64"], n.srv, "cli0", [f"{S.SERVER}/24", f"{S.SERVER6}/64"])
        n.link(n.gen, "eth1", [f"{PEERS}/24", "2001:db8:2::10/64"], n.srv, "peer0", [f"{S.RELAY}/24", f"{S.RELAY6}/64"])
        settings = {
            "workers": workers,
            "listening-ip": [S.SERVER, S.SERVER6],
            "listening-port": 0,
            "relay-ip": [S.RELAY, S.RELAY6],
            "allowed-peer-ip": list(S.PEER_NETS),
            **more,
        }
        with daemon.Daemon(n.srv, settings) as d:
            yield world.World(n, d)


class Load:
    """A run of turnpike-bench, from the making of this object on."""

    def __init__(self, w, mode, *options, seconds, sessions, v6=False):
        server = f"[{w.server6}]:{w.daemon.port()}" if v6 else f"{w.server}:{w.daemon.port()}"
        ips = ["--client-ip", "2001:db8:1::10" if v6 else CLIENTS] + (["--peer-ip", "2001:db8:2::10" if v6 else PEERS] if mode in ("up", "down") else [])
        command = [daemon.BENCH, mode, "--server", server, "--user", daemon.USER, *ips, "--sessions", str(sessions)]
        command += ["--duration", str(seconds), "--pid", str(w.daemon.pid), "--json", *options]
        env = {**os.environ, "TURNPIKE_BENCH_PASSWORD": daemon.PASSWORD}
        self.world, self.seconds, self.what = w, seconds, f"{mode} {' '.join(options)}"
        self.process = w.net.gen.popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def result(self):
        """What it says, when it has ended."""
        out, err = self.process.communicate(timeout=self.seconds + 60 * (4 if tap.SANITIZER else 1))
        check(self.process.returncode == 0, f"turnpike-bench ended with {self.process.returncode}: {err}{out}\n{self.world.daemon.tail()}")
        result = json.loads(out)
        keys = ("sent", "received", "lost", "loss_percent", "duplicates", "crosstalk", "seconds", "rate", "cpu_us_each")
        print(f"# {self.what}: {', '.join(f'{k} {result.get(k)}' for k in keys)}", flush=True)
        return result


def run(w, mode, *options, **kw):
    """Runs turnpike-bench and returns what it says; what the load took from the daemon is given back."""
    most = descriptors(w.daemon.pid)
    with Load(w, mode, *options, **kw) as load:
        result = load.result()
    tap.wait_until(lambda: descriptors(w.daemon.pid) <= most, lambda: f"at most {most} descriptors, {descriptors(w.daemon.pid)} now")
    return result
