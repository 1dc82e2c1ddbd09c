#!/usr/bin/env python3
"""turnpike-bridge between a connect service and a PBX: what it is told, its lines, every way that a call goes and ends, metrics, the end.

Browsers are sockets here that speak the connect protocol and have no media, so that no path is ever found: real media are tests/e2e's."""
import json
import os
import re
import resource
import socket
import subprocess
import sys
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import admin, ctl, daemon, net, pbx, tap, websocket  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tap import check, equal  # noqa: E402 # pylint: disable=wrong-import-position

BRIDGE = os.path.join(daemon.BUILDDIR, "turnpike-bridge")
L = "127.0.0.1"
LINES = ["30:auth30:pass30:alice", "31::pass31:bob"]
OFFER = ("v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 8 0 126\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n"
         "a=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=ice-options:trickle\r\na=fingerprint:sha-256 " + ":".join(["AB"] * 32) + "\r\na=setup:actpass\r\na=mid:0\r\na={direction}\r\n"
         "a=rtcp-mux\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:126 telephone-event/8000\r\n")

if not os.access(BRIDGE, os.X_OK):
    tap.skip_all("turnpike-bridge is not built (--with-bridge)")
tap.need("unshare", "mount")
net.need_namespaces()
daemon.need_daemon()
admin.need_jsonschema()


def offer(direction="sendrecv"):
    return OFFER.replace("{direction}", direction)


# ---- By itself. ----


@tap.group
def command_line():
    with daemon.Directory() as d:
        yield d


def run(*args, env=None):
    p = subprocess.run([BRIDGE, *args], capture_output=True, text=True, timeout=tap.PATIENCE_S, env=daemon.clean_environment(env), check=False, stdin=subprocess.DEVNULL)
    daemon.check_log(p.stdout + p.stderr)
    return p.returncode, p.stdout, p.stderr


GOOD = "connect-url=wss://connect.example/connect\nsip-registrar=pbx.example\ntoken=t1:hush\nline=30::hush:alice\n"


@command_line.case("--help names keys and variables, --version the version, whatever the file says")
def _(d):
    bad = d.file("bad.conf", "nonsense\n")
    status, out, _ = run("--config", bad, "--help")
    equal(status, 0, "the status")
    check("--connect-url" in out and "TURNPIKE_BRIDGE_TOKEN" in out, out)
    status, out, _ = run("--config", bad, "--version")
    check(status == 0 and out.startswith("turnpike-bridge "), out)


@command_line.case("--check-config: a good file is status 0, a bad one 2 with file and line, and no secret is told")
def _(d):
    status, out, err = run("--config", d.file("good.conf", GOOD), "--check-config")
    equal((status, "fine" in out), (0, True), f"the word ({err})")
    status, _, err = run("--config", d.file("bad.conf", GOOD + "sip-registar=x\n"), "--check-config")
    equal(status, 2, "the status")
    check("bad.conf:5" in err and "sip-registrar" in err, err)
    status, _, err = run("--config", d.file("bad.conf", GOOD + "line=hush\n"), "--check-config")
    check(status == 2 and "hush" not in err, err)
    status, _, err = run("--config", d.file("good.conf", GOOD), "--token=a:b")
    check(status == 2 and "a:b" not in err, err)


@command_line.case("a PBX that nobody knows, and a port that is taken, are faults: status 1")
def _(d):
    status, _, err = run("--config", d.file("good.conf", GOOD.replace("pbx.example", "pbx.invalid")))
    check(status == 1 and "pbx.invalid" in err, f"{status} {err}")


@command_line.case("SIGTERM while a name server is silent ends the start: status 1")
def _(d):
    with net.Net("host") as n, n.host.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((L, 53))
        silent.settimeout(tap.PATIENCE_S)
        servers = d.file("resolv.conf", f"nameserver {L}\noptions timeout:1 attempts:1\n")
        program = [BRIDGE, "--config", d.file("good.conf", GOOD)]
        with n.host.popen(["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', servers, *program], env=daemon.clean_environment(), stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as p:
            check(b"pbx" in silent.recv(512), "the question")
            p.terminate()
            _, err = p.communicate(timeout=tap.PATIENCE_S)
    daemon.check_log(err)
    check(p.returncode == 1 and "pbx.example" in err, f"{p.returncode} {err}")


@command_line.case("an address that is not this host's ends the start with its key: status 2")
def _(d):
    for key in ("rtp-ip", "ice-ip"):
        status, _, err = run("--config", d.file("good.conf", GOOD.replace("pbx.example", "127.0.0.1")), f"--{key}=192.0.2.77")
        check(status == 2 and f"{key}=192.0.2.77" in err and "address of this host" in err, f"{status} {err}")


# ---- With a service, a PBX and a phone. ----


class World:
    def __init__(self, ns, relay, board, bridge):
        self.ns, self.relay, self.pbx, self.bridge = ns, relay, board, bridge
        self.tokens = {owner: token(relay, "phone", owner) for owner in ("bob", "carol")}

    def phone(self, owner="bob"):
        """A phone of this user."""
        return self.signed_in(owner, "phone")

    def signed_in(self, owner, role):
        """A token is known a moment after it was made."""
        sources = websocket.sources()
        return tap.wait_until(lambda: Phone.open(self, owner, role, next(sources)), "the token is known")


def token(relay, scope, owner, *more):
    made = json.loads(ctl.ended(0, "--config", relay.config_path, "token", "issue", "--scope", scope, "--owner", owner, *more, "-o", "json"))
    return {"username": made["username"], "password": made["password"]}


class Phone(websocket.WebSocket):
    """A phone, after its hello."""

    @staticmethod
    def open(w, owner, role, source):
        connect = w.relay.ready["connect"]
        p = Phone(websocket.connect((connect["address"], connect["port"]), w.ns, source=source), host=f"{connect['address']}:{connect['port']}")
        if "result" in p.answer(p.ask("hello", token=w.tokens[owner], role=role, name="test")):
            return p
        p.sock.close()
        return None

    def __exit__(self, *a):
        self.notify("bye")
        super().__exit__(*a)

    def dial(self, to, direction="sendrecv"):
        """Starts a call, has its answer; returns its id."""
        call = self.call("call.start", to=to, sdp=offer(direction))["call"]
        answer = self.expect("call.answer")
        equal(answer["call"], call, "the call that is answered")
        check("a=setup:active" in answer["sdp"] and "PCMA" in answer["sdp"], answer["sdp"])
        return call

    def ended(self, call):
        """How this call has ended: (reason, text, by)."""
        m = self.expect("call.ended")
        equal(m["call"], call, "the call that ended")
        return m["reason"], m.get("text", ""), m["by"]


def bridge_settings(relay, board, **more):
    t, connect = token(relay, "bridge", "office"), relay.ready["connect"]
    settings = {
        "connect-url": f"ws://{connect['address']}:{connect['port']}/connect",
        "token": f"{t['username']}:{t['password']}",
        "sip-registrar": board.address,
        "line": LINES,
        "rtp-ports": "20000-20099",
        "metrics-listen": f"{L}:0",
        "log-level": "debug",
    }
    settings.update(more)
    return settings


@tap.group
def bridged():
    relay_settings = {"listening-ip": L, "listening-port": 0, "connect-listen": f"{L}:0"}
    with net.Net("alone") as n, daemon.Daemon(n.alone, relay_settings) as relay, pbx.Pbx(n.alone) as board:
        with daemon.Daemon(n.alone, bridge_settings(relay, board), plain=True, program=BRIDGE) as bridge:
            yield World(n.alone, relay, board, bridge)


def metrics(w):
    with w.ns.inside(), urllib.request.urlopen(f"http://{L}:{w.bridge.ready['metrics']['port']}/metrics", timeout=tap.PATIENCE_S) as answer:
        text = answer.read().decode()
    return {k: float(v) for k, v in re.findall(r"^(turnpike_\S+) (\S+)$", text, re.M)}


@bridged.case("the ready file has lines and addresses; each line is registered, and metrics say so")
def _(w):
    equal([(x["line"], x["registered"]) for x in w.bridge.ready["lines"]], [("30", True), ("31", True)], "the lines")
    equal(sorted(w.pbx.contacts), ["30", "31"], "the registrations")
    m = metrics(w)
    equal(m['turnpike_bridge_registered{line="30"}'], 1, "the line's metric")
    equal(m["turnpike_bridge_connected"], 1, "the service's metric")


@bridged.case("turnpikectl bridge status: the lines at the PBX, and a call while it is there; the ids of the calls are those of the logs")
def _(w):
    def told():
        (one,) = json.loads(ctl.ended(0, "--config", w.relay.config_path, "bridge", "status", "-o", "json"))
        return one["status"]

    def until(what, wanted):
        return tap.wait_until(lambda: (s := told()) and wanted(s) and s, lambda: f"{what}: {told()}")

    pbx_state = until("the lines are registered", lambda s: s["pbx"]["state"] == "registered")["pbx"]
    equal((pbx_state["lines"], pbx_state["registered"]), (2, 2), "the lines")
    with w.phone() as p:
        call = p.dial("4711")
        w.pbx.reply(w.pbx.next("INVITE"), 180)
        (c,) = until("the call is there", lambda s: s["calls"])["calls"]
        equal((c["call"], c["from"], c["state"]), (call, "phone", "ringing"), "the call")
        p.notify("call.hangup", call=call, reason="cancelled")
        w.pbx.next("CANCEL")
    status = until("it has ended", lambda s: not s["calls"])
    equal((status["calls_now"], status["ended"]), (0, {"cancelled": 1}), "what has ended")
    for log in (w.bridge, w.relay):
        log.wait_log(f"event=call_ended call={call} reason=cancelled")


def descriptors(w):
    return len(os.listdir(f"/proc/{w.bridge.pid}/fd"))


def ask_metrics(w):
    """A connection that has asked for metrics, and waits for them."""
    s = silent(w)
    s.sendall(b"GET /metrics HTTP/1.1\r\nHost: bridge\r\n\r\n")
    return s


def silent(w):
    s = w.ns.socket(socket.AF_INET, socket.SOCK_STREAM)
    s.settimeout(tap.PATIENCE_S)
    s.connect((L, w.bridge.ready["metrics"]["port"]))
    return s


def whole(s):
    with s.makefile("rb") as f:
        return f.read()


@bridged.case("metrics: other paths and methods, a head without an end, and HEAD, each with its answer and the end of the connection")
def _(w):
    for asked, status in ((b"GET / HTTP/1.1\r\nHost: b\r\n\r\n", 404), (b"POST /metrics HTTP/1.1\r\nHost: b\r\n\r\n", 405), (b"x\r\n\r\n", 400),
                          (b"GET /metrics HTTP/1.1\r\nx: ".ljust(8192, b"y"), 431), (b"HEAD /metrics HTTP/1.1\r\nHost: b\r\n\r\n", 200)):
        with silent(w) as s:
            s.sendall(asked)
            got = whole(s)
            check(got.startswith(b"HTTP/1.1 %d " % status) and got.endswith(b"\r\n\r\n"), f"{asked[:40]}: {got[:200]}")
    with silent(w) as s:
        s.sendall(b"GET /metrics HTTP/1.1\r\nHost: b\r\nAccept: application/openmetrics-text\r\n\r\n")
        check(whole(s).endswith(b"# EOF\n"), "OpenMetrics")


@bridged.case("metrics: sixteen silent connections keep others waiting, not the bridge; who says nothing is closed")
def _(w):
    before = descriptors(w)
    held = [silent(w) for _i in range(20)]
    tap.wait_until(lambda: descriptors(w) >= before + 16, "sixteen are taken")
    with ask_metrics(w) as s:
        equal(descriptors(w), before + 16, "descriptors with 21 connections")
        for h in held:
            h.close()
        check(whole(s).startswith(b"HTTP/1.1 200 "), "an answer, once there is room")
    tap.wait_until(lambda: descriptors(w) == before, "all are closed")
    with silent(w) as s:
        s.settimeout(3 * tap.PATIENCE_S)
        equal(whole(s), b"", "what a silent connection gets, 10 s later")


@bridged.case("metrics: without descriptors connections wait, the bridge does not spin, and they are answered later")
def _(w):
    old = resource.prlimit(w.bridge.pid, resource.RLIMIT_NOFILE)
    used = {int(n) for n in os.listdir(f"/proc/{w.bridge.pid}/fd")}
    resource.prlimit(w.bridge.pid, resource.RLIMIT_NOFILE, (min(set(range(len(used) + 1)) - used), old[1]))  # not one more
    try:
        with ask_metrics(w) as s:
            with w.phone() as p:  # the bridge goes on
                p.call("call.start", to="4711", sdp=offer())
                p.expect("call.ended")
            check("accept" not in w.bridge.log(), "libevent says at each turn of the loop that it can't accept: it turns all the time")
            resource.prlimit(w.bridge.pid, resource.RLIMIT_NOFILE, old)
            check(whole(s).startswith(b"HTTP/1.1 200 "), "an answer, once there are descriptors")
    finally:
        resource.prlimit(w.bridge.pid, resource.RLIMIT_NOFILE, old)


@bridged.case("a phone calls: INVITE with PCMA, ringing, answered, INFO digits, hung up by the PBX")
def _(w):
    with w.phone() as p:
        call = p.dial("4711")
        invite = w.pbx.next("INVITE")
        equal((invite.user, re.search("sip:([^@]*)@", invite.get("From"))[1]), ("4711", "31"), "whom, and from which line")
        check("m=audio 2" in invite.body and " 8" in invite.body and "SAVPF" not in invite.body, invite.body)
        w.pbx.reply(invite, 180)
        equal(p.expect("call.ringing")["call"], call, "the call that rings")
        dialog = w.pbx.reply(invite, 200, pbx.sdp())
        equal(p.expect("call.answered")["call"], call, "the call that is answered")
        w.pbx.next("ACK")
        dialog.request("INFO", "Signal=7\r\nDuration=160\r\n", "application/dtmf-relay")
        equal(p.expect("call.dtmf")["digits"], "7", "the digit")
        dialog.bye()
        equal(p.ended(call)[::2], ("hangup", "bridge"), "how it ended")
    w.bridge.wait_log(f"event=call_ended call={call} reason=hangup by=pbx")


@bridged.case("hold: the phone's is a re-INVITE with sendonly, the PBX's is told to the phone; what can't be agreed on is refused, and the call goes on")
def _(w):
    with w.phone() as p:
        call = p.dial("4711")
        invite = w.pbx.next("INVITE")
        dialog = w.pbx.reply(invite, 200, pbx.sdp())
        p.expect("call.answered")
        w.pbx.next("ACK")
        p.notify("call.offer", call=call, sdp=offer("inactive"))
        p.expect("call.answer")
        again = w.pbx.next("INVITE")
        check("a=sendonly" in again.body or "a=inactive" in again.body, again.body)
        w.pbx.reply(again, 200, pbx.sdp(direction="recvonly"))
        w.pbx.next("ACK")
        dialog.request("INVITE", pbx.sdp(direction="sendonly"))
        check(w.pbx.answer("INVITE", 200).body, "an answer without a description")
        dialog.request("ACK", cseq=dialog.cseq)
        equal(p.expect("call.hold")["on"], True, "the hold")
        dialog.request("INVITE", pbx.sdp())
        w.pbx.answer("INVITE", 200)
        dialog.request("ACK", cseq=dialog.cseq)
        equal(p.expect("call.hold")["on"], False, "the hold's end")
        dialog.request("INVITE", pbx.sdp().replace("m=audio", "m=image"))
        w.pbx.answer("INVITE", 488)  # a fax; the call goes on
        dialog.request("ACK", cseq=dialog.cseq)
        p.notify("call.hangup", call=call, reason="hangup")
        w.pbx.next("BYE")


@bridged.case("busy, declined, unknown number and errors of the PBX reach the phone with their reason")
def _(w):
    with w.phone() as p:
        for status, reason in ((486, "busy"), (603, "declined"), (404, "unknown_number"), (480, "no_answer"), (503, "pbx_down"), (403, "pbx_error")):
            call = p.dial("4711")
            w.pbx.reply(w.pbx.next("INVITE"), status)
            got = p.ended(call)
            equal(got[::2], (reason, "bridge"), f"what {status} becomes ({got})")


@bridged.case("the phone gives up: CANCEL; a user without a line is declined, with a text")
def _(w):
    with w.phone() as p:
        call = p.dial("4711")
        invite = w.pbx.next("INVITE")
        w.pbx.reply(invite, 180)
        p.expect("call.ringing")
        p.notify("call.hangup", call=call, reason="cancelled")
        cancel = w.pbx.next("CANCEL")
        w.pbx.reply(cancel, 200)
        w.pbx.reply(invite, 487)
    with w.phone("carol") as p:
        call = p.call("call.start", to="4711", sdp=offer())["call"]
        reason, text, _ = p.ended(call)
        check(reason == "declined" and "carol" in text, f"{reason} {text}")


@bridged.case("the PBX calls: the phones of the line's user ring; declined is 603, busy 486")
def _(w):
    with w.phone() as p:
        for reason, status in (("declined", 603), ("busy", 486)):
            out = w.pbx.call("31")
            m = p.expect("call.incoming")
            equal((m["from"], m.get("name")), ("0301234", "Carol"), "who calls")
            p.notify("call.ringing", call=m["call"])
            out.next(180)
            p.notify("call.hangup", call=m["call"], reason=reason)
            out.next(status)


@bridged.case("the PBX gives up: the phone hears cancelled; without a phone it hears 480")
def _(w):
    with w.phone() as p:
        out = w.pbx.call("31")
        call = p.expect("call.incoming")["call"]
        p.notify("call.ringing", call=call)
        out.next(180)
        out.cancel()
        equal(p.ended(call)[::2], ("cancelled", "bridge"), "how it ended")
        out.next(487)
    w.pbx.call("30").next(480)


@bridged.case("no path: after 8 s both sides are told, the phone with the firewall's rule")
def _(w):
    with w.phone() as p:
        out = w.pbx.call("31")
        call = p.expect("call.incoming")["call"]
        p.notify("call.accept", call=call, sdp=offer())
        p.expect("call.answer")
        p.sock.settimeout(3 * tap.PATIENCE_S)  # 9 s of silence, on a machine that does much else
        reason, text, by = p.ended(call)
        equal((reason, by), ("media_failed", "bridge"), text)
        check("firewall rule 4" in text and "rule 5" in text, text)  # neither side gathers on loopback
        out.next(480)


@bridged.case("the bridge's last calls: SIGTERM ends them at both ends, with shutdown")
def _(w):
    with w.phone() as p:
        call = p.dial("4711")
        invite = w.pbx.next("INVITE")
        w.pbx.reply(invite, 200, pbx.sdp())
        p.expect("call.answered")
        w.pbx.next("ACK")
        w.bridge.stop()
        equal(p.ended(call)[::2], ("shutdown", "bridge"), "how it ended")
        w.pbx.next("BYE")


# ---- What goes wrong around it. ----


@tap.group
def faults():
    with net.Net("alone") as n, daemon.Daemon(n.alone, {"listening-ip": L, "listening-port": 0, "connect-listen": f"{L}:0"}) as relay:
        yield World(n.alone, relay, None, None)


CALL = {"call": "c0123456789abcdef", "since": 1800000000, "from": "phone", "state": "talking", "path": "relayed", "local": "relay", "remote": "srflx", "received": 5, "lost": 1, "rtt_ms": 42, "jitter_ms": 3}
STATUS = {
    "version": "0.1.0",
    "since": 1800000000,
    "pbx": {"state": "failing", "since": 1800000000, "reason": "line 30: 403 Forbidden", "lines": 2, "registered": 1},
    "calls_now": 1,
    "calls_max": 256,
    "ended": {"hangup": 7},
    "calls": [CALL],
}


@faults.case("bridges: what one tells is in GET /bridges by tenant, as the document says, and in turnpikectl's tables; what is refused changes nothing; a bye ends it")
def _(w):
    client, operation = admin.Client(path=w.relay.settings["admin-socket"]), admin.Document.of_tree().by_name["listBridges"]
    command = ["--config", w.relay.config_path, "bridge", "status", "--tenant", "west"]

    def bridges(query="?tenant=west"):
        return operation.judge(client.get("/api/v1/bridges" + query)).json["items"]

    check("start turnpike-bridge" in ctl.ended(0, *command[:-2]), "what is said where nobody is")
    check("No bridge of the tenant west is connected" in ctl.ended(0, *command), "and of a tenant")
    w.tokens["west"] = token(w.relay, "bridge", "alice", "--tenant", "west")
    with w.signed_in("west", "bridge") as bridge:
        (one,) = bridges()
        equal((one["tenant"], one["user"], one["connected"], one["status"], one["status_at"]), ("west", "alice", True, None, None), "a bridge that has told nothing")
        check("never" in ctl.ended(0, *command), "its table")
        bridge.call("bridge.status", **STATUS, beyond=[1])
        equal(bridge.error("bridge.status", **{**STATUS, "calls": [{**CALL, "remote": "\x1b[2J"}]}), "params", "S20: the reason of what is no text")
        equal(bridges()[0]["status"], STATUS, "the status")
        check(bridges()[0] in bridges("?limit=1000") and not bridges("?tenant=wes"), "the tenants")
        table = ctl.ended(0, *command)
        check(re.search(r"^BRIDGE .*\ntest +west +s\w+ .* failing 1/2: line 30: 403 Forbidden$", table, re.M), table)
        check(re.search(r"^c0123456789abcdef +test +phone .* talking +relayed \(relay, srflx\) +5 +1 +42 +3$", table, re.M), table)
        equal(json.loads(ctl.ended(0, *command, "-o", "json")), bridges(), "the JSON")
    tap.wait_until(lambda: not bridges(), "it is gone after its bye")


@faults.case("a line that the PBX refuses: the reason in the ready file, pbx_down for its calls")
def _(w):
    with pbx.Pbx(w.ns, register=403) as board:
        with daemon.Daemon(w.ns, bridge_settings(w.relay, board), plain=True, program=BRIDGE) as bridge:
            line = bridge.ready["lines"][1]
            check(not line["registered"] and "403" in line["reason"], str(line))
            with w.phone() as p:
                call = p.call("call.start", to="1", sdp=offer())["call"]
                reason, text, _ = p.ended(call)
                check(reason == "pbx_down" and "403" in text, f"{reason} {text}")


@faults.case("a token without the scope is refused, and the log says so; no password is in it")
def _(w):
    with pbx.Pbx(w.ns) as board, daemon.Directory() as d:
        t = token(w.relay, "phone", "office")
        settings = bridge_settings(w.relay, board, token=f"{t['username']}:{t['password']}")
        log = d.file("log", "")
        with w.ns.popen([BRIDGE, "--config", d.file("bridge.conf", daemon.config_text(settings)), "--log-file", log], env=daemon.clean_environment()) as process:
            try:
                with open(log, encoding="utf-8") as f:
                    # what it says first may be that the service does not know the token: it was made a moment ago
                    tap.wait_until(lambda: f.seek(0) or re.search("event=not_connected .*(forbidden|scope)", f.read()), "the log says so", process=process)
                with open(log, encoding="utf-8") as f:
                    check(t["password"] not in f.read() and "pass31" not in f.read(), "S24: a password is in the log")
            finally:
                process.terminate()
                process.wait()


tap.main()
