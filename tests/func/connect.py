#!/usr/bin/env python3
"""Phones and bridges at the connect service, with tokens of turnpikectl: calls, ICE servers that serve, and tokens that end; on both stores."""
import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import admin, daemon, net, redis, stun, tap, websocket, world  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tap import check, equal  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tokens import CTL, Fleet  # noqa: E402 # pylint: disable=wrong-import-position

tap.need("redis-server")
net.need_namespaces()
daemon.need_daemon()

S = net.Standard
HOST = "127.0.0.1"
UDP = (stun.REQUESTED_TRANSPORT, stun.UDP)
UNAUTHORIZED, POLICY = 4001, 1008
COMMAND_S = 5.0  # that a command of the store may take
END_S = COMMAND_S + (daemon.STOP_S if tap.SANITIZER else 0)  # a sanitizer looks for leaks before the process ends
ENDED_S = 2.0 if not tap.SANITIZER else 10.0  # from the command to the last word
EXPIRES_S = 5 if not tap.SANITIZER else 8  # a token that is to end in a call


class Service(Fleet):
    """A daemon with a connect service on loopback, without TLS."""

    def __init__(self, stack, n, server=None):
        self.net, self.redis, self.url, self.stack = n, server, None, stack
        self.config = {**self.settings(0), "connect-listen": f"{HOST}:0"}
        if not server:
            self.config["redis"] = None
        d = stack.enter_context(daemon.Daemon(n.srv, self.config))
        w = world.World(n, d)
        stack.callback(w.close)
        self.nodes = [w]

    @property
    def daemon(self):
        return self.nodes[0].daemon

    def connect(self, source=HOST):
        port = self.daemon.ready["connect"]["port"]
        return websocket.WebSocket(websocket.connect((HOST, port), self.net.srv, source=source), f"{HOST}:{port}")

    @staticmethod
    def hello(token, role, **more):
        return {"token": {"username": token[0], "password": token[1]}, "role": role, **more}

    @contextlib.contextmanager
    def signed_in(self, token, role, **more):
        """A client behind its hello, whose answer it has. A token is known a moment after it was made."""
        sources = websocket.sources()

        def known():
            ws = self.connect(next(sources))
            a = ws.answer(ws.ask("hello", **self.hello(token, role, **more)))
            if "result" in a:
                ws.welcome = a["result"]
                return ws
            ws.sock.close()
            equal(a["error"]["data"]["reason"], "unauthorized", "the reason of a refusal")
            return None

        with tap.wait_until(known, f"{token[0]} is known") as ws:
            yield ws

    def pair(self, stack, tenant, phone=(), owner="alice"):
        """A phone's token, the phone and a bridge, which knows of it."""
        b = stack.enter_context(self.signed_in(self.token("--scope", "bridge", "--tenant", tenant, owner="office"), "bridge"))
        token = self.token("--scope", "phone", "--tenant", tenant, *phone, owner=owner)  # the last, for it may not be good for long
        p = stack.enter_context(self.signed_in(token, "phone"))
        return token, p, b

    def call(self, p, b):
        """The id of a call that both sides have answered."""
        call = p.call("call.start", to="12", sdp="offer")["call"]
        equal(b.expect("call.incoming")["call"], call, "the call that the bridge hears of")
        b.notify("call.answer", call=call, sdp="answer")
        b.notify("call.answered", call=call)
        equal(p.expect("call.answer"), {"call": call, "sdp": "answer"}, "the answer")
        equal(p.expect("call.answered"), {"call": call}, "that it is answered")
        return call

    def served(self, ice, i=0):
        """A client of the relay with the ICE servers of a hello."""
        turn = ice["iceServers"][1]
        c = self.nodes[0].client(i, user=turn["username"], password=turn["credential"])

        def served():
            return c.request(stun.ALLOCATE, UDP).cls == stun.SUCCESS

        tap.wait_until(served, f"{turn['username']} is served")
        return c


@tap.group
def embedded():
    with contextlib.ExitStack() as stack:
        yield Service(stack, stack.enter_context(S()))


@tap.group
def shared():
    with contextlib.ExitStack() as stack:
        n = stack.enter_context(S())
        yield Service(stack, n, stack.enter_context(redis.Server(n.srv)))


def both(title):
    """A case on each store."""

    def decorate(run):
        embedded.case(f"{title} (embedded)")(run)
        shared.case(f"{title} (redis)")(run)
        return run

    return decorate


@both("a phone and a bridge of a tenant sign in, see each other, and have a call; the ICE servers that they are given serve")
def _(w):
    with contextlib.ExitStack() as stack:
        _, p, b = w.pair(stack, "north")
        equal((p.welcome["tenant"], p.welcome["user"], p.welcome["bridges"]), ("north", "alice", 1), "what the hello says")
        tap.wait_until(lambda: [x["user"] for x in b.expect("presence")["phones"]] == ["alice"], "the bridge hears of the phone")
        call = w.call(p, b)
        p.notify("call.hangup", call=call, reason="hangup")
        ended = b.expect("call.ended")
        equal((ended["call"], ended["reason"], ended["by"]), (call, "hangup", "phone"), "the end")
        w.daemon.wait_log(f"event=call_ended call={call} reason=hangup by=phone answered=true")
        stun_urls, turn = p.welcome["ice"]["iceServers"]
        check(stun_urls["urls"][0].startswith("stun:") and len(turn["urls"]) == 2, f"the servers are {p.welcome['ice']}")
        tap.within(p.call("ice.servers")["ttl"], 3500, 3600, "the time that is left")
        with w.served(p.welcome["ice"]):
            w.daemon.wait_log(f"event=allocation_created user={turn['username']}")


@both("each token is for its scope: a phone's is none of the relay's or a bridge's, the relay's is no phone's")
def _(w):
    phone, turn = w.token("--scope", "phone"), w.token()
    with w.signed_in(phone, "phone"):
        pass
    with w.connect() as ws:
        equal(ws.error("hello", **w.hello(phone, "bridge")), "forbidden", "the reason")
        equal(ws.closed()[0], UNAUTHORIZED, "the code")

    sources = websocket.sources()

    def forbidden():
        with w.connect(next(sources)) as ws:
            return ws.error("hello", **w.hello(turn, "phone")) == "forbidden"

    tap.wait_until(forbidden, "the relay's token is known and forbidden")
    with w.client(phone) as c:
        equal(c.request(stun.ALLOCATE, UDP).error, 401, "an Allocate with a phone's token")
    with w.client(turn, i=1) as c:
        c.allocate()


@embedded.case("one call's id is in the lines of the service and of the relay, and of nobody else's allocation")
def _(w):
    def candidate(address):
        return "candidate:1 1 udp 1 {} {} typ relay raddr 0.0.0.0 rport 0".format(*address.rsplit(":", 1))

    def relayed(c):
        return w.daemon.wait_log(rf"event=allocation_created .*client={re.escape('%s:%s' % c.address[:2])} .*relayed=(\S+) ")[1]

    with contextlib.ExitStack() as stack:
        _, p, b = w.pair(stack, "logs")
        phone, bridge = stack.enter_context(w.served(p.welcome["ice"])), stack.enter_context(w.served(b.welcome["ice"], i=1))
        call = w.call(p, b)
        p.notify("call.candidate", call=call, candidate=candidate(relayed(bridge)))  # of whom it is not
        p.notify("call.candidate", call=call, candidate=candidate(relayed(phone)))
        w.daemon.wait_log(f"event=call_relayed call={call} of=phone relayed={relayed(phone)}")
        w.daemon.wait_log(f"event=allocation_call call={call} user={phone.user} ")
        for c in (phone, bridge):
            c.refresh(0)
        w.daemon.wait_log(f"event=allocation_deleted user={phone.user} .* call={call} ")
        w.daemon.wait_log(f'event=allocation_deleted user={bridge.user} .* call="" ')
        p.notify("call.hangup", call=call, reason="hangup")
        equal(b.expect("call.ended")["call"], call, "the call that ends")


@both("a token that is revoked during a call ends it on both sides within moments, and the TURN credential that it was given")
def _(w):
    with contextlib.ExitStack() as stack:
        token, p, b = w.pair(stack, "revoked")
        with w.served(p.welcome["ice"]) as c:
            call = w.call(p, b)
            w.ctl("token", "revoke", token[0])
            begun = time.monotonic()
            for side in (p, b):
                ended = side.expect("call.ended")
                equal((ended["call"], ended["reason"], ended["by"]), (call, "token_ended", "service"), "the end")
            equal(p.closed()[0], UNAUTHORIZED, "the code")
            tap.within(time.monotonic() - begun, 0, ENDED_S, "seconds from the command to the end")
            w.daemon.wait_log(f'event=allocation_deleted user={c.user} .*reason="credential revoked"')
        with w.connect() as ws:
            equal(ws.error("hello", **w.hello(token, "phone")), "unauthorized", "the reason")
        equal(b.call("ice.servers")["iceServers"][1]["username"], b.welcome["ice"]["iceServers"][1]["username"], "the bridge's servers")


@both("a token whose time is over during a call ends it on both sides; what it was given was to end with it")
def _(w):
    with contextlib.ExitStack() as stack:
        _, p, b = w.pair(stack, "over", phone=("--expires", f"{EXPIRES_S}s"))
        tap.within(p.welcome["ice"]["ttl"], 0, EXPIRES_S, "the time of the ICE servers")
        call = w.call(p, b)
        for side in (p, b):
            ended = side.expect("call.ended")
            equal((ended["call"], ended["reason"]), (call, "token_ended"), "the end")
        equal(p.closed()[0], UNAUTHORIZED, "the code")


@both("a connection that is lost is resumed with its call, and hears what it has missed")
def _(w):
    with contextlib.ExitStack() as stack:
        token, p, b = w.pair(stack, "lost")
        call = w.call(p, b)
        p.sock.close()
        tap.wait_until(lambda: not b.expect("presence")["phones"], "the bridge hears that the phone is away")
        b.notify("call.hold", call=call, on=True)
        equal(b.answer(b.ask("call.hold", call=call, on=False))["result"], {}, "the answer")
        resume = {k: p.welcome[k] for k in ("session", "secret")}
        with w.signed_in(token, "phone", resume=resume) as again:
            equal(again.welcome["calls"], [{"call": call, "state": "answered"}], "its calls")
            equal(again.welcome["ice"]["iceServers"], p.welcome["ice"]["iceServers"], "its ICE servers")
            equal([again.expect("call.hold")["on"] for _ in range(2)], [True, False], "what it has missed")
            again.notify("bye")
            equal(b.expect("call.ended")["reason"], "hangup", "the reason of the end")
            equal(again.closed()[0], 1000, "the code")
        with w.connect() as ws:
            equal(ws.error("hello", **w.hello(token, "phone", resume=resume)), "no_session", "the reason behind a bye")


@both("nobody calls or hears of anybody of another tenant")
def _(w):
    with contextlib.ExitStack() as stack:
        _, p, _b = w.pair(stack, "east")
        other = stack.enter_context(w.signed_in(w.token("--scope", "bridge", "--tenant", "west", owner="office"), "bridge"))
        equal(other.error("call.start", user="alice", **{"from": "1"}), "no_phone", "the reason")
        equal(other.expect("presence")["phones"], [], "whom it hears of")
        stranger = stack.enter_context(w.signed_in(w.token("--scope", "phone", "--tenant", "nowhere", owner="alice"), "phone"))
        equal(stranger.error("call.start", to="1", sdp="x"), "no_bridge", "the reason")
        call = p.call("call.start", to="12", sdp="offer")["call"]
        equal(other.error("call.hangup", call=call, reason="hangup"), "no_call", "the reason")


@both("S15 ten wrong passwords silence the user for this source, and nobody else")
def _(w):
    token = w.token("--scope", "phone", owner="mallory")
    with w.signed_in(token, "phone"):
        pass
    for _ in range(10):
        with w.connect() as ws:
            equal(ws.error("hello", **w.hello((token[0], "wrong"), "phone")), "unauthorized", "the reason")
            equal(ws.closed()[0], UNAUTHORIZED, "the code")
    with w.connect() as ws:
        equal(ws.error("hello", **w.hello(token, "phone")), "limit", "the reason")
        equal(ws.closed()[0], POLICY, "the code")
    with w.signed_in(w.token("--scope", "phone"), "phone"):
        pass


@shared.case("F1 while Redis is away who is not known is told to try again, and a call goes on; then it is as before")
def _(w):
    with contextlib.ExitStack() as stack:
        token, fresh = w.token("--scope", "phone"), w.token("--scope", "phone", owner="bob")
        _, p, b = w.pair(stack, "away")
        call = w.call(p, b)
        w.redis.pause()
        with w.connect() as ws:
            equal(ws.error("hello", **w.hello(token, "phone")), "unavailable", "the reason")
            p.notify("call.dtmf", call=call, digits="1")
            equal(b.expect("call.dtmf"), {"call": call, "digits": "1"}, "what goes on")
            w.redis.go_on()
            tap.wait_until(lambda: "result" in ws.answer(ws.ask("hello", **w.hello(token, "phone"))), "the hello is good")
        with w.signed_in(fresh, "phone"):
            pass


@shared.case("F6 a server that stops while a revocation waits for a black-holed Redis does so in time")
def _(w):
    with w.signed_in(w.token("--scope", "phone", owner="carol"), "phone") as p:
        w.redis.pause()
        p.notify("bye")
        equal(p.closed()[0], 1000, "the code")
        start = time.monotonic()
        w.daemon.stopped = True
        w.daemon.kill(signal.SIGTERM)
        equal(w.daemon.process.wait(tap.PATIENCE_S), 0, "the status")
        check(time.monotonic() - start < END_S, "it has waited for Redis")
        w.redis.go_on()


# ---- Bridges that check the firewall's rules of their place, asked by the admin plane. ----

PROBES = "/api/v1/probes"
PASSES = {
    "number": 1, "text": "signalling", "source": "server", "destination": "connect", "protocol": "tcp", "port": 443, "host": "connect.example",
    "address": "192.0.2.1:443", "verdict": "PASS", "stage": "protocol", "code": None, "evidence": "TLS 1.3", "cure": None, "add": None,
    "measures": {"connect_ms": 1.5, "open_ms": 41, "idle_s": None, "mapped": None, "relayed": None, "stream": None, "mtu": None, "udp_idle_s": None, "nat": None, "nat_filter": None},
}
FAILS = {**PASSES, "number": 4, "destination": "relay", "protocol": "udp", "port": 3478, "verdict": "FAIL", "stage": "reach", "code": "udp_timeout",
         "evidence": "no answer to 7 requests in 7.9 s", "cure": "open the rule", "add": "allow out udp office -> 192.0.2.1:3478"}
REPORT = {"role": "server", "quick": True, "began_at": "2026-01-01T00:00:00Z", "took_ms": 8000, "verdict": "FAIL", "rules": [PASSES, FAILS]}


class Plane(admin.Client):
    """What the admin plane says of checks, held against its description."""

    def __init__(self, w):
        super().__init__(path=w.daemon.settings["admin-socket"])
        self.document = admin.Document.of_tree()

    def judged(self, name, path, body=None, status=200, **headers):
        op = self.document.by_name[name]
        a = op.judge(self.call(op.method, path, body, headers=headers))
        equal(a.status, status, f"the status of {op.method} {path} with {body} ({a.body[:300]!r})")
        return a

    def start(self, status=202, **body):
        return self.judged("startProbe", PROBES, body, status)

    def probe(self, number):
        return self.judged("getProbe", f"{PROBES}/{number}").json

    def list(self):
        return self.judged("listProbes", PROBES).json["items"]


def office(w, stack, tenant, name=""):
    return stack.enter_context(w.signed_in(w.token("--scope", "bridge", "--tenant", tenant, owner="office"), "bridge", name=name))


@embedded.case("a bridge is asked to check its rules, tells how far it is and what it has found; those who watch hear of each")
def _(w):
    plane = Plane(w)
    tap.wait_until(lambda: not any(b["connected"] for b in plane.get("/api/v1/bridges").json["items"]), "those of other cases are gone")
    equal(plane.start(409).detail.split(":")[0], "no bridge is connected", "why not")
    with contextlib.ExitStack() as stack:
        b = office(w, stack, "t", "office")
        events = stack.enter_context(plane.events("?type=probe"))
        begun = plane.start(quick=True)
        probe = begun.json
        equal(begun.headers["location"], f"{PROBES}/{probe['id']}", "Location")
        equal(b.expect("probe.start"), {"probe": probe["id"], "quick": True}, "what the bridge is asked")
        want = {"bridge": b.welcome["session"], "tenant": "t", "name": "office", "quick": True, "state": "running", "done": 0, "of": 0, "ended": None, "verdict": None, "error": None, "report": None}
        equal({k: probe[k] for k in want}, want, "what has begun")
        equal(plane.start(409, bridge=b.welcome["session"]).detail.split(":")[0], "this bridge checks its rules already", "why not a second one")
        b.call("probe.progress", probe=probe["id"], done=1, of=2)
        equal([plane.probe(probe["id"])[k] for k in ("state", "done", "of")], ["running", 1, 2], "how far it is")
        told = [e for e in (events.next() for _ in range(2)) if e[1] == "probe"]
        equal([[e[2][k] for k in ("what", "id", "state", "done", "of")] for e in told], [["started", probe["id"], "running", 0, 0], ["progress", probe["id"], "running", 1, 2]], "what is told first")
        b.call("probe.done", probe=probe["id"], report={**REPORT, "beyond": "<b>"})
        got = plane.probe(probe["id"])
        equal([got[k] for k in ("state", "done", "of", "verdict", "report")], ["done", 2, 2, "FAIL", REPORT], "what has come of it")
        check(got["ended"] >= got["began"], f"its times: {got}")
        last = events.next()[2]
        equal({k: last[k] for k in ("what", "id", "bridge", "state", "done", "of", "verdict", "error")},
              {"what": "done", "id": probe["id"], "bridge": b.welcome["session"], "state": "done", "done": 2, "of": 2, "verdict": "FAIL", "error": None}, "what is told last")
        check("report" not in last, "a report in an event")
        check("report" not in plane.list()[0] and plane.list()[0]["id"] == probe["id"], f"the list: {plane.list()}")
        equal(plane.probe(plane.start().json["id"])["quick"], False, "the next one, which may take its time")


# a name that is cut within a character, and a time that no int has
LONG = {**REPORT, "took_ms": 2**33, "rules": [PASSES, FAILS, {**PASSES, "number": 6, "destination": "b" + 20 * "ü"}]}
TABLE = """\
PASS    1  office -> connect tcp/443       TLS 1.3
FAIL    4  office -> relay udp/3478        no answer to 7 requests in 7.9 s
           reach: udp_timeout: nothing answers by UDP: a firewall drops it
           add: allow out udp office -> 192.0.2.1:3478
PASS    6  office -> büüüüüüüüüüüüüü? tcp/443  TLS 1.3
3 rules at the bridge in 8589934.5 s: 2 pass, 0 warn, 1 fail, 0 not tried. Quick: short waits, and no idle time-outs.
"""


@embedded.case("turnpikectl bridge check tells how far the bridge is, prints what it has found as turnpike-probe does, and tells by its status whether the rules hold")
def _(w):
    @contextlib.contextmanager
    def ctl(status, *words):
        """turnpikectl on a terminal of its own, whose master it has; then its output."""
        terminal, end = pty.openpty()
        out = []
        with w.net.srv.popen([CTL, "--config", w.daemon.config_path, "bridge", "check", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=end, encoding="utf-8") as p:
            try:
                os.close(end)
                yield terminal, out
                out.append(p.communicate(timeout=tap.PATIENCE_S)[0])
                equal(p.returncode, status, f"the status ({out})")
            finally:
                p.kill()
                os.close(terminal)

    with contextlib.ExitStack() as stack:
        b = office(w, stack, "ctl")
        with ctl(6, "--quick", "--bridge", b.welcome["session"]) as (terminal, out):
            asked = b.expect("probe.start")
            b.call("probe.progress", probe=asked["probe"], done=1, of=2)
            seen = b""
            while b"1 of 2 rules" not in seen:
                seen += os.read(terminal, 1024)
            b.call("probe.done", probe=asked["probe"], report=LONG)
        equal((asked["quick"], out), (True, [TABLE]), "what is asked, and printed")
        with ctl(0, "-o", "json", "--bridge", b.welcome["session"]) as (_, out):
            asked = b.expect("probe.start")
            b.call("probe.done", probe=asked["probe"], report={**REPORT, "verdict": "PASS", "rules": [PASSES]})
        equal((asked["quick"], json.loads(out[0])), (False, Plane(w).probe(asked["probe"])), "what is asked, and printed")
        with ctl(1, "--bridge", b.welcome["session"]) as (terminal, out):
            b.call("probe.done", probe=b.expect("probe.start")["probe"], error="no relay was handed out")
            seen = b""
            while b"no relay was handed out" not in seen:
                seen += os.read(terminal, 1024)
        equal(out, [""], "what is printed")
        with ctl(3, "--bridge", "s0123456789abcdef"):
            pass


@embedded.case("the members of a report that are kept are those of its schema, and the REST API describes them")
def _(_w):
    with open(os.path.join(admin.SRCDIR, "docs", "probe-report.schema.json"), encoding="utf-8") as f:
        schema = json.load(f)
    described = admin.Document.of_tree().root["components"]["schemas"]
    for have, name, wants in ((REPORT, "ProbeReport", schema), (FAILS, "ProbeRule", schema["$defs"]["rule"]), (FAILS["measures"], "ProbeMeasures", schema["$defs"]["measures"])):
        equal((set(have), set(described[name]["properties"])), (set(wants["required"]), set(wants["properties"])), f"the members of {name}")


@embedded.case("S20 what a bridge says of a check is judged: another's, over, or a phone's, it is refused and changes nothing; malformed, its check has failed")
def _(w):
    plane = Plane(w)
    with contextlib.ExitStack() as stack:
        a, b = office(w, stack, "t1", "a"), office(w, stack, "t2", "b")
        p = stack.enter_context(w.signed_in(w.token("--scope", "phone", "--tenant", "t1", owner="alice"), "phone"))
        check(a.welcome["session"] in plane.start(422).detail, "those to choose from are not named")
        equal(plane.start(404, bridge="s0123456789abcdef").status, 404, "of a bridge that there is not")
        first, second = (plane.start(bridge=x.welcome["session"], quick=True).json["id"] for x in (a, b))
        equal([x["id"] for x in plane.list()[:2]], [second, first], "both go on, the newest first")
        before = [plane.probe(x) for x in (first, second)]
        for params in ({"probe": first}, {"probe": first, "done": 3, "of": 2}, {"probe": first, "done": 1}, {"probe": [], "done": 1, "of": 2}, {"probe": second, "done": 1, "of": 2}):
            equal(a.error("probe.progress", **params), "params", f"the reason for {params}")
        equal(a.error("probe.done", probe=second, report={}), "params", "the reason for a report that is another's")
        equal(p.error("probe.done", probe=first, error="x"), "method", "the reason for a phone")
        equal([plane.probe(x) for x in (first, second)], before, "what is there behind all of that")
        for report in ({}, {**REPORT, "verdict": "fine"}, {**REPORT, "rules": [{**FAILS, "code": "<script>"}]}, {**REPORT, "rules": [{**FAILS, "evidence": "a\x1b[31m"}]},
                       {**REPORT, "rules": [FAILS] * 65}, {**REPORT, "rules": [{**PASSES, "measures": {"stream": {"sent": 1}}}]}, [REPORT], "PASS"):
            equal(a.error("probe.done", probe=first, report=report), "params", f"the reason for {str(report)[:100]}")
            failed = plane.probe(first)
            check(failed["state"] == "failed" and "the bridge's report can't be read" in failed["error"], f"what has come of it: {failed}")
            first = plane.start(bridge=a.welcome["session"], quick=True).json["id"]
        a.call("probe.done", probe=first, error="no relay was handed out")
        equal([plane.probe(first)[k] for k in ("state", "error", "report", "verdict")], ["failed", "no relay was handed out", None, None], "what has failed")
        equal(a.error("probe.done", probe=first, report=REPORT), "state", "the reason for what is over")
        a.sock.close()
        tap.wait_until(lambda: not next(x for x in plane.get("/api/v1/bridges").json["items"] if x["id"] == a.welcome["session"])["connected"], "it is away")
        check("lost its connection" in plane.start(409, bridge=a.welcome["session"]).detail, "why a bridge that is away is not asked")
        b.notify("bye")
        tap.wait_until(lambda: plane.probe(second)["state"] == "failed", "it ends with its bridge")
        check("hangup" in plane.probe(second)["error"], plane.probe(second)["error"])


@embedded.case("a server that stops tells both sides of a call so")
def _(w):
    with contextlib.ExitStack() as stack:
        _, p, b = w.pair(stack, "stop")
        call = w.call(p, b)
        w.daemon.stop()
        for side in (p, b):
            ended = side.expect("call.ended")
            equal((ended["call"], ended["reason"]), (call, "shutdown"), "the end")
            equal(side.closed()[0], 1001, "the code")


tap.main()
