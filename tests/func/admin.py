#!/usr/bin/env python3
"""The admin plane against its own description: every path and method of openapi.json, as each role and as none, on both stores.

Each answer is held against its schema. What each operation is asked so that it succeeds stands in SUCCEEDS; what must fail is made from
the description.
"""
import contextlib
import itertools
import json
import os
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import admin, daemon, net, redis, tap, websocket  # noqa: E402 # pylint: disable=wrong-import-position
from lib.admin import ROLES  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tap import check, equal  # noqa: E402 # pylint: disable=wrong-import-position

tap.need("redis-server", "openssl")
admin.need_jsonschema()
net.need_namespaces()
daemon.need_daemon()

S = net.Standard
V = "/api/v1"
TREE = admin.Document.of_tree()
ORIGIN = "https://app.example.org"
BODY_MAX = 65536
UNKNOWN = "tnobodyhasthisidanywhere0"  # an id that there is not
NUMBERS = itertools.count(1)


class Walk(admin.Plane):
    """A relay with calls, credentials and a description."""

    def __init__(self, stack, n, settings):
        super().__init__(stack, n, {"admin-origin": ORIGIN, "connect-listen": "127.0.0.1:0", **settings})
        self.office, self.session = None, None
        self.document = admin.Document(self.socket.get("/openapi.json").json)
        self.caller = {role: self.tls(role) for role in (None, "wrong", "expired", *ROLES)}
        self.walked = set()
        self.calls = []
        for i, transport in enumerate(("udp", "udp", "tcp")):
            c, peer = self.client(i, transport), self.peer()
            c.allocate()
            c.bind(0x4000, peer.address)
            c.send_channel(0x4000, b"x" * 100)
            peer.expect(b"x" * 100)
            self.calls.append((c, peer))

    def ask(self, method, path, body=None, caller=None, **kw):
        return (caller or self.socket).call(method, path, body, **kw)

    def judged(self, op, path, body=None, caller=None, **kw):
        """The answer, which the document knows."""
        self.walked.add(op.name)
        return op.judge(self.ask(op.method, path, body, caller, **kw))

    def must(self, method, path, body=None, status=200):
        a = self.ask(method, path, body)
        equal(a.status, status, f"the status of {method} {path} ({a.body[:300]!r})")
        return a.json if a.body else None

    # ---- What operations are asked about: each made anew, since an operation may end it. ----
    def allocation(self):
        """The id of a new one."""
        c = self.client(next(NUMBERS) % S.CLIENTS)
        c.allocate()
        client = f"{c.address[0]}:{c.address[1]}"
        return next(a["id"] for a in self.all(f"{V}/allocations?client={c.address[0]}") if a["client"] == client)

    def a_token(self, **more):
        return self.must("POST", f"{V}/tokens", {"owner": "acme", "ttl": 3600, **more}, 201)

    def a_bridge(self):
        """The session of one that is connected, and checks nothing now."""
        if not self.office:
            self.office = self.signed_in(self.a_token(scope="bridge", tenant="t"))
        for probe in self.all(f"{V}/probes"):
            if probe["state"] == "running":
                self.office.call("probe.done", probe=probe["id"], error="it is over")
        return self.session

    def signed_in(self, token):
        """A bridge at the connect service. A token is known a moment after it was made."""
        port = self.daemon.ready["connect"]["port"]
        hello = {"token": {k: token[k] for k in ("username", "password")}, "role": "bridge"}

        def known():
            ws = websocket.WebSocket(websocket.connect(("127.0.0.1", port), self.net.srv), f"127.0.0.1:{port}")
            a = ws.answer(ws.ask("hello", **hello))
            if "result" in a:
                self.session = a["result"]["session"]
                return ws
            ws.sock.close()
            return None

        return tap.wait_until(known, "the bridge is signed in")

    def a_probe(self):
        return self.must("POST", f"{V}/probes", {"bridge": self.a_bridge()}, 202)["id"]

    def a_user(self):
        name = f"user{next(NUMBERS)}"
        self.must("PUT", f"{V}/users/{name}", {}, 201)
        return name

    def pages(self, path):
        cursor = None
        while True:
            more = f"{'&' if '?' in path else '?'}cursor={admin.quoted(cursor)}" if cursor else ""
            page = self.must("GET", path + more)
            yield page["items"]
            cursor = page["next"]
            if cursor is None:
                return

    def all(self, path):
        return list(itertools.chain.from_iterable(self.pages(path)))


ICE = {"ttl": 600, "owner": "acme", "label": "page"}
TOKEN = {"owner": "acme", "ttl": 3600, "label": "desk 7", "tenant": "t", "scope": "turn,phone", "not_before": 0, "max_allocations": 4, "max_bps": 2000000, "max_bytes": 1 << 40, "peers": ["203.0.113.0/24"]}
USER = {"password": "hush hush", "owner": "acme", "label": "media server", "ttl": 3600, "max_allocations": 200, "max_bps": 1000000, "max_bytes": 1 << 40, "peers": ["203.0.113.0/24"]}

# What makes an operation succeed: a function of the walk that gives path and body.
SUCCEEDS = {
    "dashboard": lambda w: ("/",),
    "dashboardFile": lambda w: ("/dashboard/style.css",),
    "description": lambda w: ("/openapi.json",),
    "health": lambda w: ("/healthz",),
    "readiness": lambda w: ("/readyz",),
    "metrics": lambda w: ("/metrics",),
    "status": lambda w: (f"{V}/status",),
    "listAllocations": lambda w: (f"{V}/allocations?limit=2",),
    "getAllocation": lambda w: (f"{V}/allocations/{w.allocation()}",),
    "deleteAllocation": lambda w: (f"{V}/allocations/{w.allocation()}",),
    "listTokens": lambda w: (f"{V}/tokens?owner=acme&limit=3",),
    "issueToken": lambda w: (f"{V}/tokens", TOKEN),
    "getToken": lambda w: (f"{V}/tokens/{w.a_token()['id']}",),
    "revokeToken": lambda w: (f"{V}/tokens/{w.a_token()['id']}",),
    "listUsers": lambda w: (f"{V}/users",),
    "getUser": lambda w: (f"{V}/users/{w.a_user()}",),
    "putUser": lambda w: (f"{V}/users/new{next(NUMBERS)}", USER),
    "deleteUser": lambda w: (f"{V}/users/{w.a_user()}",),
    "getCredentials": lambda w: (f"{V}/credentials?service=turn&username=acme&ttl=60",),
    "generateIceServers": lambda w: (f"{V}/credentials/generate-ice-servers", ICE),
    "generateIceServersPreflight": lambda w: (f"{V}/credentials/generate-ice-servers",),
    "revokeCredentials": lambda w: (f"{V}/credentials/dave/revoke", {"before": int(time.time()) + 3600}),
    "usage": lambda w: (f"{V}/usage?by=day",),
    "getPeers": lambda w: (f"{V}/peers",),
    "putPeers": lambda w: (f"{V}/peers", {"allow": ["10.1.2.3:10000-20000/udp"], "deny": ["11.0.0.7"]}),
    "testPeer": lambda w: (f"{V}/peers/test", {"peer": "10.1.2.3:5060/udp"}),
    "getQuota": lambda w: (f"{V}/quotas/acme",),
    "putQuota": lambda w: (f"{V}/quotas/acme", {"max_allocations": 500, "max_bps": 100000000}),
    "listNodes": lambda w: (f"{V}/nodes",),
    "listBridges": lambda w: (f"{V}/bridges?tenant=acme&limit=2",),
    "startProbe": lambda w: (f"{V}/probes", {"bridge": w.a_bridge(), "quick": True}),
    "listProbes": lambda w: (f"{V}/probes?limit=2",),
    "getProbe": lambda w: (f"{V}/probes/{w.a_probe()}",),
    "drain": lambda w: (f"{V}/drain", {"deadline_s": 3600}),
    "endDrain": lambda w: (f"{V}/drain",),
    "getConfig": lambda w: (f"{V}/config",),
    "checkConfig": lambda w: (f"{V}/config/check", {"text": "realm=example.org\n"}),
    "reload": lambda w: (f"{V}/reload",),
    "setLogLevel": lambda w: (f"{V}/log-level", {"level": "info"}),
    "events": lambda w: (f"{V}/events",),
}
PREFLIGHT = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization, content-type"}


def succeed(w, op, caller=None, **kw):
    """What the operation answers when all is right."""
    path, body = (*SUCCEEDS[op.name](w), None)[:2]
    if op.name == "events":  # has no end
        with (caller or w.socket).events():
            w.walked.add(op.name)
        return None
    a = w.judged(op, path, body, caller, headers=PREFLIGHT if op.method == "OPTIONS" else None, **kw)
    check(200 <= a.status < 300, f"{op.name} answered {a.status}: {a.body[:500]!r}")
    return a


def refused(w, op, status, path, body=None, caller=None, says=None, **kw):
    a = w.judged(op, path, body, caller, **kw)
    equal(a.status, status, f"the status of {op.method} {path} with {str(body)[:100]} ({a.body[:300]!r})")
    if says:
        check(says in a.detail, f"{says!r} is not named in {a.detail!r}")
    return a


def ask_as_each(w, op):
    """The roles that may succeed; the others, no token, a wrong one and an expired one do not."""
    for role in ROLES:
        if op.roles is None or role in op.roles:
            succeed(w, op, w.caller[role])
        else:
            refused(w, op, 403, *(*SUCCEEDS[op.name](w), None)[:2], w.caller[role])
    if op.roles is None:
        succeed(w, op, w.caller[None])
        return
    path, body = (*SUCCEEDS[op.name](w), None)[:2]
    for role in (None, "wrong", "expired"):
        a = refused(w, op, 401, path, body, w.caller[role])
        check(a.headers.get("www-authenticate", "").startswith("Bearer"), f"WWW-Authenticate of a 401: {a.headers}")


def wrong_values(schema, document):
    """Values that this schema does not allow."""
    schema = document.resolve(schema)
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if "enum" in schema:
        return [7, "no such word"]
    wrong = [{"a": 1}, "so-so" if "boolean" in kinds else True]
    if "integer" in kinds:
        wrong += ["1", 1.5, [1], schema.get("minimum", 0) - 1]
    if "string" in kinds:
        wrong += [7, ["x"]]
    if "array" in kinds:
        wrong += ["x", [7], [None]]
    return wrong


def ask_wrongly(w, op):
    """Bodies that are none, too large, with a member that is unknown or not as it should be."""
    path, good = SUCCEEDS[op.name](w)
    for raw in (b"{", b"[]", b'"text"', b"nonsense", b'{"a":1}{"b":2}', b"\xff{}", json.dumps(good).encode()[:-1]):
        refused(w, op, 400, path, raw)
    refused(w, op, 400, path, {**good, "max_alocations": 1}, says="max_alocations")
    refused(w, op, 413, path, b" " * BODY_MAX + b"{}")
    for name, schema in op.body["properties"].items():
        for value in wrong_values(schema, w.document):
            refused(w, op, 400, path, {**good, name: value}, says=name)
    for name in op.body.get("required", []):
        refused(w, op, 400, path, {k: v for k, v in good.items() if k != name}, says=name)
    if op.body_needed:
        refused(w, op, 400, path)


def ask_for_nothing(w, op):
    """An id that there is not."""
    body = (*SUCCEEDS[op.name](w), None)[1]
    refused(w, op, 404, re.sub(r"\{\w+\}", UNKNOWN, op.path), body)


def ask_with_conditions(w, op):
    """If-Match with another ETag changes nothing; with the right one it changes."""
    path, body = SUCCEEDS[op.name](w)
    w.must("PUT", path, body, 201 if op.name == "putUser" else 200)
    before = w.must("GET", path)
    refused(w, op, 412, path, body, headers={"If-Match": '"other"'})
    equal(w.must("GET", path), before, "what is there after a 412")
    for what in ("%s", "*", '"other", %s'):
        value = what.replace("%s", w.socket.get(path).headers["etag"])  # a change may make another: a user has a time
        equal(w.judged(op, path, body, headers={"If-Match": value}).status, 200, f"the status with If-Match: {value}")
    if op.name == "putUser":
        refused(w, op, 412, path + "x", body, headers={"If-Match": "*"})


def ask_twice(w, op):
    """A repeated Idempotency-Key gives the first answer again."""
    path, body = (*SUCCEEDS[op.name](w), None)[:2]
    key = f"key {next(NUMBERS)}"
    first = w.judged(op, path, body, headers={"Idempotency-Key": key})
    again = w.judged(op, path, body, headers={"Idempotency-Key": key})
    equal((again.status, again.body), (first.status, first.body), "the second answer")
    path, body = (*SUCCEEDS[op.name](w), None)[:2]
    other = w.judged(op, path, body, headers={"Idempotency-Key": key + "x"})
    check(200 <= other.status < 300, f"another key: {other.status}")


def ask_for_pages(w, op):
    """Limits and cursors that are none."""
    for query in ("limit=0", "limit=1001", "limit=x", "limit=-1", "cursor=%21nonsense%21"):
        refused(w, op, 400, f"{op.path}?{query}", says=query.split("=", maxsplit=1)[0])


def add_walk(group, store):
    for tree_op in TREE.operations:

        @group.case(f"S22 {tree_op.method} {tree_op.path} is as described: for each role and none, with bodies, ids and conditions that are wrong ({store})")
        def _(w, name=tree_op.name):
            op = w.document.by_name[name]
            succeed(w, op)
            ask_as_each(w, op)
            if op.body:
                ask_wrongly(w, op)
            if "{" in op.path and 404 in op.answers():
                ask_for_nothing(w, op)
            if op.has("If-Match"):
                ask_with_conditions(w, op)
            if op.has("Idempotency-Key"):
                ask_twice(w, op)
            if op.has("cursor"):
                ask_for_pages(w, op)
            if name == "drain":
                w.must("DELETE", f"{V}/drain")

    @group.case(f"every path and method of the description was walked, and it is the tree's ({store})")
    def _(w):
        check(w.document.root == TREE.root, "what is served at /openapi.json is not the tree's")
        equal({o.name for o in w.document.operations} - w.walked, set(), "operations that were not walked")
        described = {(o.method, o.path): set(o.roles or ()) for o in w.document.operations if o.method != "OPTIONS"}
        equal(described, dict(routes()), "what is described, and the routes that there are")
        equal(set(SUCCEEDS), {o.name for o in w.document.operations}, "operations that this test knows")


def routes():
    """The table of routes in the source: (method, path) and the roles that may."""
    with open(os.path.join(admin.SRCDIR, "admin", "route.c"), encoding="utf-8") as f:
        for method, api, path, what in re.findall(r'^    \{"([A-Z]+)", (API )?"([^"]+)",([^}]*)', f.read(), re.M):
            roles = {r.lower() for r in re.findall(r" (READ|CREDENTIALS|ADMIN)\b", what)}
            yield (method, (V if api else "") + path), roles | {"admin"} if roles else set()


def add_others(group, store):
    @group.case(f"another method is 405 with Allow, another path 404: each a problem ({store})")
    def _(w):
        for path in w.document.root["paths"]:
            allowed = w.document.allowed(path)
            concrete = re.sub(r"\{\w+\}", "style.css" if "dashboard" in path else "x", path)
            for method in ("GET", "PUT", "POST", "DELETE", "PATCH", "TRACE", "BREW"):
                if method in allowed:
                    continue
                a = w.ask(method, concrete, {} if method in ("PUT", "POST", "PATCH") else None)
                equal((a.status, a.kind), (405, "application/problem+json"), f"{method} {concrete} ({a.body[:200]!r})")
                told = {m.strip() for m in a.headers["allow"].split(",")}
                equal(told - {"HEAD", "OPTIONS"}, allowed - {"OPTIONS"}, f"Allow of {method} {concrete}")
        for path in ("/api/v1", "/api/v1/", "/api/v2/status", "/api/v1/nothing", "/api/v1/tokens/a/b", "/api/v1/tokens/", "//healthz", "/metrics/", "/index.html", "/status"):
            for caller in (w.socket, w.caller["admin"]):
                a = w.ask("GET", path, caller=caller)
                equal((a.status, a.kind), (404, "application/problem+json"), f"GET {path} ({a.body[:200]!r})")


def walk_embedded():
    with contextlib.ExitStack() as stack:
        yield Walk(stack, stack.enter_context(S()), {})


def walk_redis():
    with contextlib.ExitStack() as stack:
        n = stack.enter_context(S())
        server = stack.enter_context(redis.Server(n.srv))
        w = Walk(stack, n, {"redis": "redis://127.0.0.1:6379"})
        w.redis = server
        yield w


embedded, in_redis = tap.group(walk_embedded), tap.group(walk_redis)
for g, s in ((embedded, "embedded"), (in_redis, "Redis")):
    add_walk(g, s)
    add_others(g, s)

tap.main()
