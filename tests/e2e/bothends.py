#!/usr/bin/env python3
"""turnpike-probe at both ends, in the most restrictive case: each behind its own firewall, which passes the five rules and nothing else."""
import contextlib
import json
import os
import subprocess

import picture
from picture import APP, CONNECT, RELAY

from lib import daemon, tap
from lib.tap import check, equal, within

picture.need_picture()
daemon.need_daemon()

PROBE = os.environ.get("TURNPIKE_PROBE", os.path.join(daemon.BUILDDIR, "turnpike-probe"))
CTL = os.path.join(daemon.BUILDDIR, "turnpikectl")
if not os.access(PROBE, os.X_OK):
    tap.skip_all(f"{PROBE} is not built")

RUN_S = 20 * (4 if tap.SANITIZER else 1)  # a quick run of both ends, when all is well
SCOPES = {"browser": "phone", "server": "bridge"}


class World:
    def __init__(self, stack):
        directory = stack.enter_context(daemon.Directory())
        self.net = n = stack.enter_context(picture.Picture())
        self.places = {"browser": n.home, "server": n.office}
        cert, key, self.ca = picture.authority(directory)
        settings = {
            "listening-ip": RELAY,
            "listening-port": picture.TURN_PORT,
            "connect-listen": f"{CONNECT}:{picture.TLS_PORT}",
            "app-listen": f"{APP}:{picture.TLS_PORT}",
            "connect-origin": f"https://{APP}",
            "cert": cert,
            "pkey": key,
            "workers": 2,
        }
        self.daemon = stack.enter_context(daemon.Daemon(n.internet, settings))
        n.host_firewall.shut()
        self.tokens = {role: directory.file(role, self._token(scope)) for role, scope in SCOPES.items()}

    def _token(self, scope):
        words = ["token", "issue", "--json", "--scope", scope, "--owner", "check", "--tenant", "check"]
        made = json.loads(self.net.internet.run([CTL, "--config", self.daemon.config_path, *words]))
        return f"{made['id']}:{made['password']}\n"

    def run(self):
        """What each end reports."""
        where = ["--relay", RELAY, "--connect", CONNECT, "--app", APP, "--ca", self.ca]
        started, reports = {}, {}
        for role, ns in self.places.items():
            words = [PROBE, "--role", role, *where, "--token-file", self.tokens[role], "--both", "--quick", "-o", "json"]
            started[role] = ns.popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=daemon.clean_environment())
        for role, p in started.items():
            out, _ = p.communicate(timeout=5 * RUN_S)
            daemon.check_log(out)
            reports[role] = json.loads(out)
        return reports


@tap.group
def both_ends():
    with contextlib.ExitStack() as stack:
        yield World(stack)


@both_ends.case("the five rules hold, and a call's packets go from end to end over a relay-relay pair", seconds=5 * RUN_S)
def _(w):
    reports = w.run()
    for role, numbers in (("browser", (2, 3, 5)), ("server", (1, 4))):
        rules = reports[role]["rules"]
        equal([(r["number"], r["verdict"], r["code"]) for r in rules], [(n, "PASS", None) for n in numbers], f"what the {role}'s says: {rules}")
        stream = rules[-1]["measures"]["stream"]
        check("to the other end loss" in rules[-1]["evidence"], f"the {role}'s evidence is {rules[-1]['evidence']!r}")
        equal(stream["sent"], 300, "the packets of both ends")
        within(stream["loss_percent"], 0, 2, "the loss")
        check(stream["rtt_ms"] > 0 and stream["jitter_ms"] is not None, f"what was measured: {stream}")
        within(reports[role]["took_ms"], 0, RUN_S * 1000, "how long it took")


@both_ends.case("nothing but UDP 3478 and TCP 443 has passed, at both firewalls and at the relay's host")
def _(w):
    w.net.nothing_else_passed()
    equal(w.net.host_firewall.counts()["else"], 0, "what else came to the host")


tap.main()
