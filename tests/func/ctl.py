#!/usr/bin/env python3
"""turnpikectl: what each command asks, shows and ends with."""
import contextlib
import itertools
import json
import os
import pty
import re
import select
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import admin, daemon, net, redis, stun, tap  # noqa: E402 # pylint: disable=wrong-import-position
from lib.ctl import CTL, ended, run  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tap import check, equal  # noqa: E402 # pylint: disable=wrong-import-position

tap.need("redis-server", "openssl")
net.need_namespaces()
daemon.need_daemon()

S = net.Standard


@tap.group
def alone():
    """No server."""
    with daemon.Directory() as d:
        yield d


# ---- whom it asks ----


class Fake:
    """A server on a Unix socket: `answer` has the method, the path and the headers, and gives status, type and body; then it closes."""

    def __init__(self, path, answer):
        self.path, self.answer = path, answer
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                c, _ = self.listener.accept()
                with c, contextlib.suppress(OSError), c.makefile("rb") as f:
                    method, target, _ = f.readline().decode().split()
                    headers = {}
                    for line in iter(f.readline, b"\r\n"):
                        name, _, value = line.decode().partition(":")
                        headers[name.lower()] = value.strip()
                    f.read(int(headers.get("content-length", 0)))
                    status, kind, body = self.answer(method, target, headers)
                    c.sendall(f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n{body}".encode())

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()
        os.unlink(self.path)


@alone.case("each status of the admin plane has its exit code, and its sentence is told; what is no JSON is a fault")
def _(d):
    path = d.file("s")
    said = []

    def answer(*_):
        status, kind, body = said[0]
        return status, kind, body

    with Fake(path, answer):
        for status, code in ((400, 2), (401, 4), (403, 4), (404, 3), (409, 5), (412, 5), (413, 2), (422, 2), (500, 1), (502, 1), (503, 1)):
            said[:] = [(status, "application/problem+json", json.dumps({"title": "t", "status": status, "detail": f"why {status}"}))]
            check(f"turnpikectl: why {status}" in ended(code, "--socket", path, "token", "revoke", "x"), f"what it says of {status}")
        said[:] = [(500, "text/html", "<p>")]
        check("status 500" in ended(1, "--socket", path, "status"), "what it says of another server")
        said[:] = [(200, "text/html", "<p>")]
        check("no JSON" in ended(1, "--socket", path, "status"), "what it says of no JSON")
        said[:] = [(200, "application/json", json.dumps({"items": [{"id": "1", "user": "\x1b[2J\x9bx\u2028", "client": "a\nb"}], "next": None}))]
        out = ended(0, "--socket", path, "allocations")
        check("?[2J??x" in out and "a?b" in out and "\x1b" not in out and "\x9b" not in out, f"S7: what would move a cursor is passed on: {out!r}")


@alone.case("events: after a break it goes on behind the last one that it has seen; a refusal ends it")
def _(d):
    path, asked = d.file("s"), []

    def answer(_method, target, headers):
        n = len(asked)
        asked.append((target, headers.get("last-event-id")))
        if n in (2, 4):
            return 403, "application/problem+json", json.dumps({"detail": "not you"})
        return 200, "text/event-stream", f': hello\n\nid: {7 + n}\nevent: fault\ndata: {{"type":"fault","at":1.5,"what":"x y","n":{n}}}\n\n'

    with Fake(path, answer):
        status, out, err = run("--socket", path, "events", "--type", "fault", "--since", "6", "-o", "json")
        equal(status, 4, f"the status ({err})")
        equal([json.loads(line) for line in out.splitlines()], [{"event_id": str(7 + n), "type": "fault", "at": 1.5, "what": "x y", "n": n} for n in range(2)], "the events")
        equal(asked, [("/api/v1/events?type=fault", "6"), ("/api/v1/events?type=fault", "7"), ("/api/v1/events?type=fault", "8")], "what was asked")
        check("not you" in err and "trying again" in err, err)
        equal(run("--socket", path, "events")[1].splitlines()[0], '1970-01-01T00:00:01Z fault what="x y" n=3', "the line")


@alone.case("where no relay runs the store answers, and what needs a relay says so; --offline refuses that, --socket takes nothing in place of a relay")
def _(d):
    os.mkdir(d.file("fresh"))
    config = ["--config", d.file("conf", f"state-dir={d.path}/fresh\nadmin-socket={d.path}/admin.sock\n")]
    made = json.loads(ended(0, *config, "token", "issue", "--owner", "acme", "-o", "json"))
    equal([t["id"] for t in json.loads(ended(0, *config, "token", "list", "-o", "json"))], [made["id"]], "the tokens")
    equal(json.loads(ended(0, *config, "config", "check", "-o", "json"))["valid"], True, "the configuration")
    ended(0, *config, "user", "add", "carol")
    equal(json.loads(ended(0, *config, "user", "set", "carol", "--label", "x", "-o", "json"))["label"], "x", "what is changed of a user")
    equal(json.loads(ended(0, *config, "quota", "set", "acme", "--max-bps", "1M", "-o", "json"))["max_bps"], 1000000, "the quota")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as s:
        s.bind(d.file("admin.sock"))  # nobody listens: as a relay that was killed leaves it
        ended(0, *config, "token", "list")
    check(f"no relay listens on {d.path}/admin.sock" in ended(1, *config, "status"), "what it says")
    check("asked of a relay that runs" in ended(2, *config, "--offline", "status"), "what --offline says")
    check("no relay listens" in ended(1, "--socket", d.file("none.sock"), "token", "list"), "what --socket says")
    check("trying again" not in ended(1, *config, "events"), "events of nobody")
    os.unlink(d.file("admin.sock"))


# ---- a relay that runs, on either store ----


class Relay:
    def __init__(self, stack, with_redis):
        n = stack.enter_context(S())
        self.late = []
        stack.callback(lambda: [p.kill() or p.wait() or p.stdout.close() or p.stderr.close() for p in self.late])
        self.redis = stack.enter_context(redis.Server(n.srv)) if with_redis else None
        self.plane = admin.Plane(stack, n, {"redis": "redis://127.0.0.1:6379", "node-id": "here"} if with_redis else {"node-id": "here"})
        self.addresses = itertools.count(3)
        self.net, self.config = n, ["--config", self.plane.daemon.config_path]

    def run(self, *words, ns=None, text_in="", whom=None):
        command = [CTL, *(self.config if whom is None else whom), *words]
        with (ns or self.net.srv).popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
            out, err = p.communicate(text_in, timeout=tap.PATIENCE_S)
        daemon.check_log(out + err)
        return p.returncode, out, err

    def ctl(self, *words, status=0, **kw):
        got, out, err = self.run(*words, **kw)
        equal(got, status, f"the status of {' '.join(words)} ({out}{err})")
        return out if status == 0 else err

    def json(self, *words, **kw):
        return json.loads(self.ctl(*words, "-o", "json", **kw))

    def serves(self, user, password):
        """Is this who somebody is? Each try has an address of its own: no guesser's (S15)."""
        with self.plane.client(next(self.addresses) % S.CLIENTS, user=user, password=password) as c:
            c.challenge()
            return c.exchange(c.signed(stun.ALLOCATE, [(stun.REQUESTED_TRANSPORT, stun.UDP)])).cls == stun.SUCCESS

    def reading(self, *words):
        """A command that goes on."""
        return self.net.srv.popen([CTL, *self.config, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@tap.group
def embedded():
    with contextlib.ExitStack() as stack:
        yield Relay(stack, False)


@tap.group
def shared():
    with contextlib.ExitStack() as stack:
        yield Relay(stack, True)


def both(title):
    def add(function):
        for g in (embedded, shared):
            g.case(f"{title} ({g.name})")(function)
        return function

    return add


@both("status, allocations, kick: what a relay does now, by user, client, peer and id")
def _(r):
    users = [(daemon.USER, daemon.PASSWORD), (daemon.USER_2, daemon.PASSWORD_2)]
    clients = [r.plane.client(i, user=u, password=p) for i, (u, p) in enumerate([*users, users[0]])]
    peer = r.plane.peer()
    for c in clients:
        c.allocate()
    clients[1].bind(0x4000, peer.address)
    clients[1].send_channel(0x4000, bytes(1000))
    peer.expect(bytes(1000))
    s = r.json("status")
    equal((s["node"], s["ready"], s["allocations"]["active"], s["store"]["kind"]), ("here", True, 3, "redis" if r.redis else "embedded"), "the status")
    lines = r.ctl("status")
    check(re.search(r"^state +ready$", lines, re.M) and re.search(r"^allocations +3$", lines, re.M), lines)
    listed = r.json("allocations")
    equal(sorted(a["user"] for a in listed), sorted([daemon.USER, daemon.USER, daemon.USER_2]), "the allocations")
    (bobs,) = r.json("allocations", "--user", daemon.USER_2)
    for options, wants in ((("--peer", peer.address[0]), {bobs["id"]}), (("--client", r.net.client_ip(1)), {bobs["id"]}), (("--transport", "tcp"), set()),
                           (("--user", "nobody"), set())):
        equal({a["id"] for a in r.json("allocations", *options)}, wants, f"the allocations with {options}")
    table = r.ctl("allocations").splitlines()
    equal((len(table), table[0].split()[:3]), (4, ["ID", "USER", "CLIENT"]), "the table")
    check("There are no allocations." in r.ctl("allocations", "--user", "nobody"), "an empty table")
    one = r.json("allocations", bobs["id"])
    equal((one["user"], [c["number"] for c in one["channels"]]), (daemon.USER_2, ["0x4000"]), "one of them")
    check(re.search(r"^0x4000 +" + re.escape(f"{peer.address[0]}:{peer.address[1]}"), r.ctl("allocations", bobs["id"]), re.M), "its channel")
    r.ctl("kick", bobs["id"])
    r.plane.daemon.wait_log(f"event=allocation_deleted user={daemon.USER_2} ")
    check("no such allocation" in r.ctl("kick", bobs["id"], status=3), "kicking who has gone")
    r.ctl("allocations", bobs["id"], status=3)
    equal(len(r.json("kick", "--user", daemon.USER)), 2, "closed of one user")
    r.ctl("kick", "--user", daemon.USER, status=3)
    tap.wait_until(lambda: r.json("allocations") == [], "all have gone")


@both("token, user, credentials, ice-servers, usage: made, shown, used, changed and ended")
def _(r):
    made = r.json("token", "issue", "--owner", "acme", "--label", "desk 7", "--expires", "1h", "--max-allocations", "4", "--max-bps", "2M", "--max-bytes", "1G",
                  "--allow-peer", "203.0.113.0/24", "--allow-peer", "10.0.0.1:5060/udp")
    equal([made[k] for k in ("owner", "label", "max_allocations", "max_bps", "max_bytes", "peers", "state")],
          ["acme", "desk 7", 4, 2000000, 1000000000, ["203.0.113.0/24", "10.0.0.1:5060/udp"], "valid"], "the token")
    equal(made["expires_at"] - made["issued_at"], 3600, "its life")
    check(made["urls"], "where to use it")
    tap.wait_until(lambda: r.serves(made["id"], made["password"]), "it serves")
    equal(r.json("allocations", "--user", made["id"])[0]["owner"], "acme", "who pays")
    others = [r.json("token", "issue", "--owner", "else", "--label", "x")["id"] for _ in range(2)]
    equal({t["id"] for t in r.json("token", "list", "--owner", "else")}, set(others), "the tokens of an owner")
    equal([t["id"] for t in r.json("token", "list", "--label", "desk 7")], [made["id"]], "the tokens of a label")
    check(re.search(rf"^{made['id']} +valid +\S+Z +acme +desk 7$", r.ctl("token", "list"), re.M), "the table")
    r.ctl("kick", "--user", made["id"])
    tap.wait_until(lambda: r.json("token", "show", made["id"])["usage"]["allocations"], "its usage is there")
    (used,) = r.json("usage", "--owner", "acme", "--label", "desk 7")
    check(used["allocations"], "the usage")
    check(len(r.json("usage", "--owner", "acme", "--by", "hour", "--since", "2h")) >= 1, "the usage by the hour")
    equal(r.json("--offline", "token", "list", "--owner", "else"), r.json("token", "list", "--owner", "else"), "what the store says itself")
    r.ctl("token", "revoke", made["id"])
    equal(r.json("token", "show", made["id"])["state"], "revoked", "its state")
    for words in (("token", "show", "tnone"), ("token", "revoke", "tnone"), ("user", "show", "none"), ("user", "remove", "none"), ("user", "set", "none")):
        r.ctl(*words, status=3)
    check("owner" in r.ctl("token", "issue", status=2), "a token of nobody")
    carol = r.json("user", "add", "carol/x y", "--max-bps", "1M", "--label", "a")
    r.ctl("user", "add", "carol/x y", status=5)
    check("password" not in r.json("user", "set", "carol/x y", "--max-bps", "none", "--expires", "2h"), "a new password nobody asked for")
    shown = r.json("user", "show", "carol/x y")
    equal((shown["max_bps"], shown["label"], shown["owner"]), (None, "a", "carol/x y"), "what is left")
    tap.within(shown["expires_at"] - time.time(), 7100, 7200, "its life")
    tap.wait_until(lambda: r.serves("carol/x y", carol["password"]), "the password is the old one")
    check("password" not in r.json("user", "set", "carol/x y", "--password-stdin", text_in="hush\n"), "a password that was given is shown")
    tap.wait_until(lambda: r.serves("carol/x y", "hush"), "the new password")
    r.ctl("user", "add", "dave", "--password-stdin", status=2)
    equal([u["id"] for u in r.json("user", "list")], ["carol/x y"], "the users")
    r.ctl("user", "remove", "carol/x y")
    check("There are no users." in r.ctl("user", "list"), "no users")
    later = int(time.time()) + 7200
    equal(r.json("user", "revoke", "erin", "--before", f"@{later}"), {"username": "erin", "before": later}, "what is revoked")
    ice = r.json("ice-servers", "--ttl", "1h", "--owner", "page")["iceServers"]
    equal(r.json("token", "show", ice[1]["username"])["owner"], "page", "whose it is")
    rest = r.json("credentials", "bob", "--ttl", "1h")
    equal((rest["ttl"], set(rest)), (3600, {"username", "password", "ttl", "uris"}), "the TURN REST shape")
    equal(r.json("token", "show", rest["username"])["owner"], "bob", "whose it is")


@both("peers, quota: shown, tested, set and taken back; what is not named of a quota stays")
def _(r):
    def stored():
        return {(e["entry"], e["action"]) for e in r.json("peers")["items"] if e["source"] == "stored"}

    check(re.search(r"^10\.0\.0\.0/8 +deny +built in$", r.ctl("peers"), re.M), "the table")
    check("10.1.2.3:5060/udp is denied: " in r.ctl("peers", "test", "10.1.2.3:5060/udp"), "what denies it")
    answer = r.json("peers", "set", "--allow", "10.1.0.0/16", "--allow", "10.2.0.0/16:5060/udp", "--deny", "9.9.9.9")
    equal((answer["allow"], answer["deny"]), (["10.1.0.0/16", "10.2.0.0/16:5060/udp"], ["9.9.9.9"]), "what is stored")
    tap.wait_until(lambda: r.json("peers", "test", "10.1.2.3:5060/udp")["allowed"], "it is in force")
    check(("10.1.0.0/16", "allow") in stored(), "what is listed")
    check("9.9.9.9 is denied: " in r.ctl("peers", "test", "9.9.9.9"), "what denies it")
    r.ctl("peers", "set", "--deny", "10.0.0.0/33", status=2)
    r.ctl("peers", "test", "nonsense", status=2)
    r.ctl("peers", "set", "--clear")
    tap.wait_until(lambda: not stored(), "nothing is stored")
    equal([r.json("quota", "show", "acme x/y")[k] for k in ("max_allocations", "max_bps")], [None, None], "the quota of nobody")
    r.ctl("quota", "set", "acme x/y", "--max-allocations", "3")
    r.ctl("quota", "set", "acme x/y", "--max-bps", "2M")
    equal([r.json("quota", "show", "acme x/y")[k] for k in ("owner", "max_allocations", "max_bps")], ["acme x/y", 3, 2000000], "the quota")
    check(re.search(r"^max bps +none$", r.ctl("quota", "set", "acme x/y", "--max-bps", "none"), re.M), "the lines")
    equal(r.json("quota", "show", "acme x/y")["max_allocations"], 3, "what was not named")
    r.ctl("quota", "set", "acme x/y", "--max-bps", "fast", status=2)


@both("nodes, drain, reload, log-level, config: the relay itself")
def _(r):
    (node,) = tap.wait_until(lambda: r.json("nodes"), "the node is listed")
    equal((node["id"], node["state"]), ("here", "serving"), "the node")
    check("set connect-listen" in r.ctl("bridge", "status"), "what a relay without a connect service says of bridges")
    equal(r.json("bridge", "status"), [], "its bridges")
    check("set connect-listen" in r.ctl("bridge", "check", status=1), "and of their checks")
    check("here drains" in r.ctl("drain", "--deadline", "1h"), "what drain says")
    tap.wait_until(lambda: r.json("status")["draining"], "it drains")
    check("takes new allocations" in r.ctl("drain", "--off"), "what its end says")
    tap.wait_until(lambda: not r.json("status")["draining"], "it drains no more")
    equal((r.json("log-level", "debug"), r.ctl("log-level")), ({"level": "debug"}, "debug\n"), "the level")
    r.ctl("log-level", "loud", status=2)
    equal(r.json("reload")["reloaded"], True, "what reload says")
    values = {k["id"]: k["value"] for k in r.json("config", "show")}
    check(values["realm"] == daemon.REALM and daemon.PASSWORD not in json.dumps(values), f"S24: the configuration: {values}")
    equal(r.json("config", "check")["valid"], True, "the configuration")
    bad = r.plane.directory.file("bad.conf", "relm=x\n")
    check("realm" in r.ctl("config", "check", bad, status=2), "what is wrong")


@embedded.case("--watch: a line of JSON each time, and on a terminal in place; events: what happens, as it happens")
def _(r):
    with contextlib.ExitStack() as stack:
        lines = stack.enter_context(r.reading("status", "--watch", "-o", "json"))
        stack.callback(lines.kill)
        events = r.reading("events", "--type", "admin", "-o", "json")
        r.late.append(events)  # it reads on while the relay ends
        parent, child = pty.openpty()
        terminal = stack.enter_context(r.net.srv.popen([CTL, *r.config, "allocations", "--watch"], stdin=child, stdout=child, stderr=child))
        stack.callback(terminal.kill)
        os.close(child)
        stack.callback(os.close, parent)

        def told():
            r.ctl("log-level", "info")
            return select.select([events.stdout], [], [], 0.05)[0]

        tap.wait_until(told, "an event comes")
        e = json.loads(events.stdout.readline())
        equal((e["type"], e["operation"], e["event_id"].isdigit()), ("admin", "setLogLevel", True), "the event")
        first, second = (json.loads(lines.stdout.readline()) for _ in range(2))
        check(second["uptime_s"] > first["uptime_s"], "the second look is later")
        screen = b""

        def drawn():
            nonlocal screen
            if select.select([parent], [], [], 0)[0]:
                screen += os.read(parent, 65536)
            return screen.count(b"\x1b[H\x1b[2J") >= 2

        tap.wait_until(drawn, "it is drawn twice")
        check(b"There are no allocations." in screen, f"the screen: {screen}")


@embedded.case("--url: over TLS with a bearer token from a file; a role that may not, no token, another authority; none of it among the arguments")
def _(r):
    def asked(role, *words, ca=r.plane.ca, status=0):
        token = r.plane.directory.file("token", r.plane.token[role] + "\n")
        return r.ctl(*words, status=status, ns=r.net.cli, whom=["--url", f"https://{S.SERVER}:{admin.PORT}", "--token-file", token, "--cacert", ca])

    equal(json.loads(asked("read", "status", "-o", "json"))["node"], "here", "the status")
    asked("read", "token", "issue", "--owner", "x", status=4)
    asked("credentials", "token", "issue", "--owner", "x")
    asked("wrong", "status", status=4)
    asked("expired", "status", status=4)
    other, _ = admin.certificate(r.plane.directory, S.SERVER, "other")
    check("certificate" in asked("read", "status", ca=other, status=1), "another authority")
    r.ctl("status", status=4, ns=r.net.cli, whom=["--url", f"https://{S.SERVER}:{admin.PORT}", "--cacert", r.plane.ca])
    r.ctl("status", status=2, ns=r.net.cli, whom=["--url", f"http://{S.SERVER}:{admin.PORT}", "--token-file", r.plane.directory.file("token")])
    file = r.plane.directory.file("good.conf", "realm=x\nlog-level=loud\n")
    check("log-level" in asked("admin", "config", "check", file, status=2), "a file that is judged there")


@embedded.case("events over TLS: a reload with a new certificate ends them; they go on behind the last one, and so does the relay")
def _(r):
    token = r.plane.directory.file("token", r.plane.token["read"] + "\n")
    whom = ["--url", f"https://{S.SERVER}:{admin.PORT}", "--token-file", token, "--cacert", r.plane.ca]
    with r.net.cli.popen([CTL, *whom, "events", "-o", "json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
        try:
            for _ in range(2):

                def told():
                    r.ctl("log-level", "info")
                    return select.select([p.stdout], [], [], 0.05)[0]

                tap.wait_until(told, "an event comes")
                admin.certificate(r.plane.directory, S.SERVER)
                r.ctl("reload")
                check("trying again" in p.stderr.readline(), "the end is told")
                while json.loads(p.stdout.readline()).get("operation") != "reload":
                    pass
        finally:
            p.kill()


@embedded.case("admin-token: what was issued serves at once, and is refused once it is revoked")
def _(r):
    token = r.plane.directory.file("ops", r.json("admin-token", "issue", "ops", "--role", "read")["token"] + "\n")
    whom = ["--url", f"https://{S.SERVER}:{admin.PORT}", "--token-file", token, "--cacert", r.plane.ca]
    r.ctl("status", ns=r.net.cli, whom=whom)
    r.ctl("admin-token", "revoke", "ops")
    r.ctl("status", ns=r.net.cli, whom=whom, status=4)


tap.main()
