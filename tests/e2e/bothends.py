#!/usr/bin/env python3
"""turnpike-probe at both ends, and the bridge as one of them, in the most restrictive case: each behind its own firewall, which passes the five rules and nothing else."""
import contextlib
import json
import os
import re
import socket
import subprocess

import picture
import fakeservice  # behind the one that knows where lib is
from picture import APP, CONNECT, RELAY

from lib import daemon, pbx, tap, websocket
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
RULES = {"browser": (2, 3, 5), "server": (1, 4)}
PAIRS = ("well", "near", "far")  # tenants with a probe at each end
LOSSY = f"""
table ip lossy {{
    chain forward {{
        type filter hook forward priority -10; policy accept;
        iifname {picture.firewall.WAN} meta length {20 + 8 + 4 + 172} numgen inc mod 20 0 drop
    }}
}}
"""  # of the stream's packets to the office


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
        self.wrong = ["--user", USER[0], "--password-file", directory.file("wrong", "not it\n")]
        self.words = {t: {role: self._token(t, scope) for role, scope in SCOPES.items()} for t in (*PAIRS, "office")}
        self.tokens = {t: {role: directory.file(f"{t}-{role}", word) for role, word in words.items()} for t, words in self.words.items()}
        self.pbx = stack.enter_context(pbx.Pbx(n.office))
        self.bridge = self._bridge(stack, self.words["office"]["server"], f"wss://{CONNECT}/connect", {"connect-ca": self.ca})
        self.silent = stack.enter_context(n.office.socket(socket.AF_INET, socket.SOCK_DGRAM))  # as a relay behind a rule that is shut
        self.silent.bind(("127.0.0.1", 0))
        self.service = stack.enter_context(fakeservice.Service(n.office, [turn(USER[1], *self.silent.getsockname())]))
        self.asked = self._bridge(stack, ":".join(fakeservice.TOKEN.values()), self.service.connect, {"force-relay": "yes"})

    def _token(self, tenant, scope):
        words = ["token", "issue", "--json", "--scope", scope, "--owner", "check", "--tenant", tenant]
        made = json.loads(self.net.internet.run([CTL, "--config", self.daemon.config_path, *words]))
        return f"{made['username']}:{made['password']}"

    def _bridge(self, stack, token, url, more):
        settings = {"connect-url": url, "token": token, "sip-registrar": self.pbx.address, "line": ["30::word:alice"], **more}
        return stack.enter_context(daemon.Daemon(self.net.office, settings, plain=True, program=BRIDGE))

    def start(self, role, tenant, *more):
        where = ["--relay", RELAY, "--connect", CONNECT, "--app", APP, "--ca", self.ca]
        words = [PROBE, "--role", role, *where, "--token-file", self.tokens[tenant][role], "--both", "--quick", "-o", "json", *more]
        return self.places[role].popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=daemon.clean_environment())

    def check_bridge(self):
        """The bridge in the office is asked at the relay to prove its rules."""
        session = self.bridge.wait_log(r"event=connected session=(\S+)")[1]
        words = [CTL, "--config", self.daemon.config_path, "bridge", "check", "--quick", "--bridge", session, "-o", "json"]
        return self.net.internet.popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def give(self, *servers):
        """The bridge that is asked comes back, and is handed out these."""
        before = self.asked.log().count("event=ice_servers ")
        self.service.ice = {"iceServers": servers, "ttl": 3600}
        self.service.cut()
        tap.wait_until(lambda: self.asked.log().count("event=ice_servers ") > before, "the bridge is back")

    def phone(self):
        """Somebody of the bridge's tenant."""
        p = websocket.WebSocket(websocket.connect((CONNECT, picture.TLS_PORT), self.net.home, websocket.tls_context(self.ca)), host=CONNECT)
        username, _, password = self.words["office"]["browser"].partition(":")
        p.call("hello", token={"username": username, "password": password}, role="phone", name="test")
        return p


def turn(word, host=RELAY, port=picture.TURN_PORT):
    return {"urls": [f"turn:{host}:{port}?transport=udp"], "username": USER[0], "credential": word}


def report_of(process):
    out, _ = process.communicate(timeout=5 * RUN_S)
    daemon.check_log(out)
    return json.loads(out)


def all_hold(report, role):
    """The rules of a role hold, the last of them with the other end."""
    rules = report["rules"]
    equal([(r["number"], r["verdict"], r["code"]) for r in rules], [(n, "PASS", None) for n in RULES[role]], f"what the {role}'s says: {rules}")
    stream = rules[-1]["measures"]["stream"]
    check("to the other end loss" in rules[-1]["evidence"], f"the {role}'s evidence is {rules[-1]['evidence']!r}")
    equal(stream["sent"], 300, "the packets of both ends")
    within(stream["loss_percent"], 0, 2, "the loss")
    check(stream["rtt_ms"] > 0 and stream["jitter_ms"] is not None, f"what was measured: {stream}")
    within(report["took_ms"], 0, RUN_S * 1000, "how long it took")


@tap.group
def both_ends():
    """Each case has the ends of a tenant of its own, and they are started together: most of their time is waiting."""
    with contextlib.ExitStack() as stack:
        w = World(stack)
        w.bridge.wait_log("event=connected ")  # with the token that was made last: the relay knows them all
        w.started = {
            ("well", "browser"): w.start("browser", "well"),
            ("well", "server"): w.start("server", "well"),
            ("near", "browser"): w.start("browser", "near", *w.wrong),
            ("near", "server"): w.start("server", "near"),
            ("far", "browser"): w.start("browser", "far"),
            ("far", "server"): w.start("server", "far", *w.wrong),
            ("office", "browser"): w.start("browser", "office"),
            "check": w.check_bridge(),
        }
        stack.callback(lambda: [p.kill() or p.wait() for p in w.started.values()])
        yield w


# What goes by itself is looked at later, and the bridge meanwhile.


def mark(packets="150", ip=RELAY, port="50000", head="v=0"):
    return f"{head}\r\na=x-turnpike-probe:{packets}\r\na=candidate:1 1 udp 1 {ip} {port} typ relay\r\n"


@both_ends.case("the bridge as the other end: one probe at a time, a second one hears busy; a description that is malformed is declined; a call without the mark is a call")
def _(w):
    with w.phone() as p:
        tap.wait_until(lambda: "event=probe_call_started" in w.bridge.log(), "a probe calls the bridge", RUN_S, w.bridge.process)

        def ended(sdp, to="probe"):
            call = p.call("call.start", to=to, sdp=sdp)["call"]
            m = p.expect("call.ended")
            equal((m["call"], m["by"]), (call, "bridge"), "which call has ended")
            return m["reason"]

        equal(ended(mark()), "busy", "a second one")
        all_hold(report_of(w.started["office", "browser"]), "browser")
        w.bridge.wait_log("event=probe_call_ended .*verdict=PASS .*to the other end loss")
        call = p.call("call.start", to="probe", sdp=mark(port="9"))["call"]
        check("typ host" in p.expect("call.answer")["sdp"], "without force-relay it tells its own address")
        m = p.expect("call.ended")
        equal((m["call"], m["reason"], "403" in m["text"]), (call, "media_failed", True), f"the end of a call to a port that the relay lends to nobody: {m}")
        for sdp in (mark("501"), mark("0"), mark("-1"), mark("x"), mark(ip="no"), mark(ip="0.0.0.0"), mark(ip="9" * 200), mark(port="0"), mark(port="65536"), mark()[:30], mark() + "a=x-turnpike-probe-failed:\x01\r\n"):
            equal(ended(sdp), "declined", f"what becomes of {sdp!r}")
        equal(ended("v=0\r\ns=" + mark("150", head="")[2:], "4711"), "declined", "a call of a user without a line")
        w.bridge.wait_log("event=call_started .*to=4711")
        equal(w.bridge.log().count("event=call_started"), 1, "telephones' calls")
    equal(w.pbx.counts["INVITE"], 0, "calls at the PBX")


def incoming(w, call):
    """A probe, not a quick one, calls the bridge that is asked."""
    w.service.tell("call.incoming", call=call, **{"from": "alice"}, to="probe", sdp=mark("500"))


def started(w, call):
    incoming(w, call)
    w.asked.wait_log(f"event=probe_call_started call={call} ")


def hung_up(w, call, reason):
    """The next call that the bridge ends is this one."""
    told = w.service.expect("call.hangup")
    equal((told["call"], told["reason"]), (call, reason), "what the bridge has ended")


def done(w, probe):
    told = w.service.expect("probe.done", RUN_S)
    equal(told["probe"], probe, f"the probe: {told}")
    if "report" in told:
        equal(w.service.expect("probe.progress"), {"probe": probe, "done": 2, "of": 2}, "the progress: a rule that is skipped is done")
    return told


@both_ends.case("a probe's call at the bridge, whose relay is silent: one who hangs up frees it at once; it outlives a lost connection, and ends with the session")
def _(w):
    service = w.service
    started(w, "c1")
    incoming(w, "c2")
    hung_up(w, "c2", "busy")
    service.tell("call.ended", call="c1", reason="cancelled", by="phone")
    started(w, "c3")
    w.asked.wait_log("event=probe_call_ended call=c1 verdict=none text=cancelled")
    service.calls = [{"call": call, "state": "offered"} for call in ("c3", "c4")]
    w.give(turn("not it"))
    hung_up(w, "c4", "pbx_error")  # which it does not know, and c3 goes on
    incoming(w, "c5")
    hung_up(w, "c5", "busy")
    service.tell("probe.start", probe="p1", quick=True)
    equal(done(w, "p1")["report"]["rules"][1]["code"], "turn_401", "with credentials that have ended")
    service.ice, service.calls, service.refusal = {"iceServers": [], "ttl": 3600}, [], (-32004, "no_session")
    service.cut()
    w.asked.wait_log("event=probe_call_ended call=c3 verdict=none text=.*session")
    before = w.asked.log().count("event=connected ")
    service.refusal = None
    tap.wait_until(lambda: w.asked.log().count("event=connected ") > before, "the bridge has a new session")
    service.tell("probe.start", probe="p2", quick=True)
    check("no relay" in done(w, "p2")["error"], "without a relay")


@both_ends.case("two probes: the five rules hold, and a call's packets go from end to end over a relay-relay pair", seconds=5 * RUN_S)
def _(w):
    for role in SCOPES:
        all_hold(report_of(w.started["well", role]), role)


@both_ends.case("an end whose own rule fails tells the other one, which says so, and why")
def _(w):
    for tenant, role, other, number in (("near", "browser", "server", 5), ("far", "server", "browser", 4)):
        failed, met = report_of(w.started[tenant, role])["rules"][-1], report_of(w.started[tenant, other])["rules"][-1]
        equal((failed["number"], failed["code"], failed["stage"]), (number, "turn_401", "auth"), f"what has failed: {failed}")
        equal((met["verdict"], met["code"]), ("WARN", "other_end_missing"), f"what the {other}'s end says: {met}")
        check(f"rule {number} fails with turn_401" in met["evidence"], met["evidence"])


@both_ends.case("5 % of the packets to the bridge are lost: loss_high, with the figure", seconds=10 * RUN_S)
def _(w):
    w.started["check"].wait(5 * RUN_S)  # the last of what goes by itself: its packets would be lost as well
    nft = w.net.office_firewall.nft
    nft.run(LOSSY)
    try:
        rule = report_of(w.start("browser", "office"))["rules"][-1]
    finally:
        nft.run("delete table ip lossy")
    equal((rule["verdict"], rule["code"], rule["stage"]), ("FAIL", "loss_high", "quality"), f"the rule: {rule}")
    check("to the other end are lost" in rule["evidence"], rule["evidence"])
    within(float(rule["evidence"].split(" %")[0]), 4, 6, "the loss on the way there")


@both_ends.case("the bridge, when it is asked: rule 4 over its own relay, progress, one probe at a time; what is malformed does no harm; with force-relay a call hears of no address but the relay's")
def _(w):
    service = w.service
    w.give(turn(USER[1]))
    for wrong in ({}, {"probe": ""}, {"probe": 7}, {"probe": "p" * 65}, {"probe": None, "quick": "yes"}):
        service.tell("probe.start", **wrong)
    service.tell("probe.start", probe="p3", quick=True)
    service.tell("probe.start", probe="p3", quick=True)  # said twice, it is one
    service.tell("probe.start", probe="p4", quick=True)
    check("already" in done(w, "p4")["error"], "a second one")
    started(w, "c6")
    lines = service.expect("call.answer")["sdp"]
    check("typ relay" in lines and not re.search("typ host|typ srflx|x-turnpike-direct", lines), f"the answer: {lines}")
    service.tell("call.ended", call="c6", reason="cancelled", by="phone")
    rules = done(w, "p3")["report"]["rules"]
    equal([(r["number"], r["verdict"], r["code"]) for r in rules], [(1, "SKIP", None), (4, "PASS", None)], f"the rules: {rules}")
    check("ws://" in rules[0]["evidence"], rules[0]["evidence"])
    within(rules[1]["measures"]["stream"]["loss_percent"], 0, 2, "the loss")
    service.tell("probe.start", probe="p5")
    w.asked.wait_log("event=probe_started probe=p5")  # and the bridge ends, without a leak


@both_ends.case("turnpikectl bridge check, at the relay: the office's bridge proves rules 1 and 4; with rule 4 shut it says so, and which line opens it", seconds=5 * RUN_S)
def _(w):
    def found(process, status):
        """What is found of each rule."""
        out, err = process.communicate(timeout=5 * RUN_S)
        equal(process.returncode, status, f"the status ({out}{err})")
        return json.loads(out)["report"]["rules"]

    rules = found(w.started["check"], 0)
    equal([(r["number"], r["verdict"], r["code"], r["add"]) for r in rules], [(1, "PASS", None, None), (4, "PASS", None, None)], "the rules")
    check("the bridge's own WebSocket has been up for" in rules[0]["evidence"], rules[0]["evidence"])
    w.net.office_firewall.remove(4)
    try:
        with w.check_bridge() as process:
            rules = found(process, 6)
    finally:
        w.net.restore()
    shut = f"allow out udp office -> {RELAY}:{picture.TURN_PORT}"
    equal([(r["number"], r["verdict"], r["code"], r["add"]) for r in rules], [(1, "PASS", None, None), (4, "FAIL", "udp_timeout", shut)], "the rules, one of which is shut")


@both_ends.case("nothing but UDP 3478 and TCP 443 has passed, at both firewalls and at the relay's host")
def _(w):
    w.net.nothing_else_passed()
    equal(w.net.host_firewall.counts()["else"], 0, "what else came to the host")


tap.main()
