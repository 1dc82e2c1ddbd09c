#!/usr/bin/env python3
"""turnpike-probe at both ends, and the bridge as one of them, in the most restrictive case: each behind its own firewall, which passes the five rules and nothing else."""
import contextlib
import json
import os
import subprocess

import picture
import fakeservice  # behind the one that knows where lib is
from picture import APP, CONNECT, RELAY

from lib import daemon, pbx, tap
from lib.tap import check, equal, within

picture.need_picture()
daemon.need_daemon()

BRIDGE = os.environ.get("TURNPIKE_BRIDGE", os.path.join(daemon.BUILDDIR, "turnpike-bridge"))
PROBE = os.environ.get("TURNPIKE_PROBE", os.path.join(daemon.BUILDDIR, "turnpike-probe"))
CTL = os.path.join(daemon.BUILDDIR, "turnpikectl")
for program in (BRIDGE, PROBE):
    if not os.access(program, os.X_OK):
        tap.skip_all(f"{program} is not built")

RUN_S = 20 * (4 if tap.SANITIZER else 1)  # a quick run of both ends, when all is well
USER = ("probe", "relay word")  # at the relay, where nothing is handed out
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
            "user": ":".join(USER),
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


# ---- The bridge proves the rules of its own place. ----


@both_ends.case("turnpikectl bridge check, at the relay: the office's bridge proves rules 1 and 4; with rule 4 shut it says so, and which line opens it", seconds=5 * RUN_S)
def _(w):
    def check_rules(status):
        """What is found of each rule."""
        with w.net.internet.popen([CTL, "--config", w.daemon.config_path, "bridge", "check", "--quick", "-o", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
            out, err = p.communicate(timeout=5 * RUN_S)
        equal(p.returncode, status, f"the status ({out}{err})")
        return [(r["number"], r["verdict"], r["code"], r["add"]) for r in json.loads(out)["report"]["rules"]]

    with contextlib.ExitStack() as stack:
        with open(w.tokens["server"], encoding="ascii") as f:
            token = f.read().strip()
        board = stack.enter_context(pbx.Pbx(w.net.office))
        settings = {"connect-url": f"wss://{CONNECT}/connect", "connect-ca": w.ca, "token": token, "sip-registrar": board.address, "line": ["30::word:alice"]}
        bridge = stack.enter_context(daemon.Daemon(w.net.office, settings, plain=True, program=BRIDGE))
        bridge.wait_log("event=ice_servers ")
        equal(check_rules(0), [(1, "PASS", None, None), (4, "PASS", None, None)], "the rules")
        w.net.office_firewall.remove(4)
        shut = f"allow out udp office -> {RELAY}:{picture.TURN_PORT}"
        equal(check_rules(2), [(1, "PASS", None, None), (4, "FAIL", "udp_timeout", shut)], "the rules, one of which is shut")
        w.net.restore()


class Asked:
    """A bridge in the office whose connect service is the test."""

    def __init__(self, w, stack):
        self.net = w.net
        self.ice = [{"urls": [f"turn:{RELAY}:{picture.TURN_PORT}?transport=udp"], "username": USER[0], "credential": USER[1]}]
        self.service = stack.enter_context(fakeservice.Service(w.net.office, self.ice))
        board = stack.enter_context(pbx.Pbx(w.net.office))
        settings = {"connect-url": self.service.connect, "token": ":".join(fakeservice.TOKEN.values()), "sip-registrar": board.address, "line": ["30::word:alice"]}
        self.bridge = stack.enter_context(daemon.Daemon(w.net.office, settings, plain=True, program=BRIDGE))

    def done(self, probe):
        """What the bridge says at last, after its progress."""
        told = self.service.expect("probe.done", RUN_S)
        equal(told["probe"], probe, "the probe")
        if "report" in told:
            equal(self.service.expect("probe.progress"), {"probe": probe, "done": 2, "of": 2}, "the progress: a rule that is skipped is done")
        return told


@contextlib.contextmanager
def asked(w):
    with contextlib.ExitStack() as stack:
        yield Asked(w, stack)


@both_ends.case("the bridge, when it is asked: rule 4 over its own relay, progress after each rule, one probe at a time; what is malformed, or can't be, does no harm")
def _(w):
    with asked(w) as a:
        for wrong in ({}, {"probe": ""}, {"probe": 7}, {"probe": "p" * 65}, {"probe": None, "quick": "yes"}):
            a.service.tell("probe.start", **wrong)
        a.service.tell("probe.start", probe="p1", quick=True)
        a.service.tell("probe.start", probe="p1", quick=True)  # said twice, it is one
        a.service.tell("probe.start", probe="p2", quick=True)
        refused = a.service.expect("probe.done")
        equal((refused["probe"], "already" in refused["error"]), ("p2", True), f"a second one: {refused}")
        told = a.done("p1")
        rules = told["report"]["rules"]
        equal([(r["number"], r["verdict"], r["code"]) for r in rules], [(1, "SKIP", None), (4, "PASS", None)], f"the rules: {rules}")
        check("ws://" in rules[0]["evidence"], rules[0]["evidence"])
        within(rules[1]["measures"]["stream"]["loss_percent"], 0, 2, "the loss")
        w.net.office_firewall.remove(4)
        a.service.tell("probe.start", probe="p3", quick=True)
        told = a.done("p3")
        equal([(r["code"], r["add"]) for r in told["report"]["rules"][1:]], [("udp_timeout", f"allow out udp office -> {RELAY}:{picture.TURN_PORT}")], "rule 4 is shut")
        w.net.restore()
        a.service.ice = {"iceServers": [], "ttl": 3600}
        a.service.cut()
        tap.wait_until(lambda: a.bridge.log().count("event=ice_servers ") == 2, "the bridge is back")
        a.service.tell("probe.start", probe="p4", quick=True)
        check("no relay" in a.done("p4")["error"], "without a relay")
        a.service.ice = {"iceServers": a.ice, "ttl": 3600}
        a.service.cut()
        tap.wait_until(lambda: a.bridge.log().count("event=ice_servers ") == 3, "the bridge is back")
        a.service.tell("probe.start", probe="p5")
        a.bridge.wait_log("event=probe_started probe=p5")  # and the bridge ends, without a leak


tap.main()
