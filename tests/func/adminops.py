#!/usr/bin/env python3
"""What the admin plane's operations do to the relay: allocations shown and closed, credentials, peers, limits, draining, reload; on both stores."""
import contextlib
import itertools
import os
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import admin, daemon, net, redis, stun, tap  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tap import check, equal  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tokens import REVOKED_S, Watch, rest  # noqa: E402 # pylint: disable=wrong-import-position

tap.need("redis-server", "openssl")
net.need_namespaces()
daemon.need_daemon()

S = net.Standard
V = "/api/v1"
SECRET = "northstar"
UNAVAILABLE_S = 9.5 if not tap.SANITIZER else 30.0  # for an operation that gets no answer: it has eight
UDP = (stun.REQUESTED_TRANSPORT, stun.UDP)
TRIES = itertools.count()


class Relay(admin.Plane):
    def __init__(self, stack, n, settings):
        super().__init__(stack, n, {"static-auth-secret": SECRET, **settings})

    def ask(self, method, path, body=None, status=200, **kw):
        a = self.socket.call(method, V + path, body, **kw)
        equal(a.status, status, f"the status of {method} {path} ({a.body[:300]!r})")
        return a.json if a.body else None

    def a_client(self, name, password, **kw):
        return self.client(next(TRIES) % S.CLIENTS, user=name, password=password, **kw)

    def served(self, name, password, **kw):
        """A client with an allocation, within a moment of what was done last."""

        def served():
            c = self.a_client(name, password, **kw)
            if c.request(stun.ALLOCATE, UDP).cls == stun.SUCCESS:
                return c
            c.close()
            return None

        return tap.wait_until(served, f"{name} is served")

    def refused(self, name, password, error=401):
        def refused():
            with self.a_client(name, password) as c:
                return c.request(stun.ALLOCATE, UDP).error == error

        tap.wait_until(refused, f"{name} is refused with {error}")

    def ended(self, c):
        """This client's allocation is gone."""
        self.daemon.wait_log(f"event=allocation_deleted user={c.user} client={c.address[0]}:{c.address[1]} ")

    def items(self, path):
        found, cursor = [], ""
        while cursor is not None:
            page = self.ask("GET", path + (f"{'&' if '?' in path else '?'}cursor={admin.quoted(cursor)}" if cursor else ""))
            check(page["items"] or not cursor or page["next"] is not None, f"an empty page at the end of {path}")
            found += page["items"]
            cursor = page["next"]
        return found


def embedded():
    with contextlib.ExitStack() as stack:
        yield Relay(stack, stack.enter_context(S()), {})


def in_redis():
    with contextlib.ExitStack() as stack:
        n = stack.enter_context(S())
        server = stack.enter_context(redis.Server(n.srv))
        w = Relay(stack, n, {"redis": "redis://127.0.0.1:6379"})
        w.redis = server
        yield w


embedded, in_redis = tap.group(embedded), tap.group(in_redis)


def case(title, groups=(embedded, in_redis)):
    def add(function):
        for g, store in ((embedded, "embedded"), (in_redis, "Redis")):
            if g in groups:
                g.case(f"{title} ({store})")(function)
        return function

    return add


# ---- Allocations. ----


@case("allocations: found by user, client, peer and transport; each shows permissions, channels, counters and what goes on now", (embedded,))
def _(w):
    peer, other = w.peer(), w.peer(S.PEER_2)
    udp, tcp = w.client(1), w.client(2, "tcp", user=daemon.USER_2, password=daemon.PASSWORD_2)
    for c in (udp, tcp):
        c.allocate()
    udp.bind(0x4001, peer.address)
    tcp.permit(S.PEER_2)

    def found(query):
        return {i["client"] for i in w.items(f"/allocations?{query}")}

    def where(c):
        return f"{c.address[0]}:{c.address[1]}"

    equal(found(f"user={daemon.USER_2}"), {where(tcp)}, "allocations of a user")
    equal(found(f"client={udp.address[0]}"), {where(udp)}, "allocations of a client")
    equal(found(f"peer={S.PEER}"), {where(udp)}, "allocations with a peer")
    equal(found(f"peer={S.PEER_2}"), {where(tcp)}, "allocations with another peer")
    equal(found("transport=tcp"), {where(tcp)}, "allocations by TCP")
    equal(found(f"transport=tcp&user={daemon.USER}"), set(), "allocations of both")
    equal(found("user=nobody"), set(), "allocations of nobody")
    for query in ("client=x", "peer=10.0.0.0/8", "transport=sctp", "user=%00"):
        w.ask("GET", f"/allocations?{query}", status=400)
    (item,) = w.items(f"/allocations?client={udp.address[0]}")
    for i in range(10):
        udp.send_channel(0x4001, bytes(100))
        peer.receive()
        peer.send(bytes(50), udp.relayed[0])
        udp.expect_channel(0x4001, bytes(50))
    one = w.ask("GET", f"/allocations/{item['id']}")
    equal((one["user"], one["owner"], one["transport"], one["server"]), (daemon.USER, daemon.USER, "udp", f"{S.SERVER}:3478"), "it")
    equal(one["relayed"], [f"{ip}:{port}" for ip, port in udp.relayed], "its relayed addresses")
    equal((one["packets_up"], one["bytes_up"], one["packets_down"], one["bytes_down"]), (10, 1000, 10, 500), "its counters")
    equal([c["number"] for c in one["channels"]], ["0x4001"], "its channels")
    equal(one["channels"][0]["peer"], f"{S.PEER}:{peer.address[1]}", "the channel's peer")
    equal([p["peer"] for p in one["permissions"]], [S.PEER], "its permissions")
    tap.within(one["expires_in_s"], 500, 600, "the seconds that it has")
    tap.within(one["permissions"][0]["expires_in_s"], 250, 300, "the seconds that the permission has")

    def rates():
        udp.send_channel(0x4001, bytes(1000))
        return w.ask("GET", f"/allocations/{item['id']}")["bps_up"] > 1000

    tap.wait_until(rates, "its rate is told while it sends")
    tap.wait_until(lambda: w.ask("GET", f"/allocations/{item['id']}")["bps_up"] == 0, "and is 0 when it does not")
    equal(other.address[0], S.PEER_2, "the other peer")


@case("an allocation that is closed is gone at once, with the reason in the log; the other lives; twice is 404", (embedded,))
def _(w):
    one, two = w.client(3), w.client(4)
    for c in (one, two):
        c.allocate()
    (item,) = w.items(f"/allocations?client={one.address[0]}")
    w.ask("DELETE", f"/allocations/{item['id']}", status=204)
    equal(one.request(stun.REFRESH).error, 437, "the error of its client's Refresh")
    two.refresh()
    w.daemon.wait_log('event=allocation_deleted user=alice .*reason="closed by the administrator"')
    w.ask("DELETE", f"/allocations/{item['id']}", status=404)
    w.ask("GET", f"/allocations/{item['id']}", status=404)


@case("pages: each entry comes once, of allocations on two workers, tokens, users and settings", (embedded,))
def _(w):
    clients = [w.client(i) for i in range(S.CLIENTS)]
    for c in clients:
        c.allocate()
    whole = [i["id"] for i in w.items("/allocations?limit=1000")]
    check(len(whole) >= len(clients), f"{len(whole)} allocations")
    paged = [i["id"] for i in w.items("/allocations?limit=3")]
    equal(sorted(paged), sorted(whole), "allocations in pages of three")
    for c in clients:
        c.refresh(0)
    made = {w.ask("POST", "/tokens", {"owner": "pager", "ttl": 3600 + i, "label": str(i % 2)}, 201)["id"] for i in range(7)}
    listed = [i["id"] for i in w.items("/tokens?owner=pager&limit=2")]
    equal((len(listed), set(listed)), (7, made), "tokens in pages of two")
    equal({i["label"] for i in w.items("/tokens?owner=pager&label=1&limit=1")}, {"1"}, "labels of one")
    names = {f"pager{i}" for i in range(5)}
    for name in names:
        w.ask("PUT", f"/users/{name}", {}, 201)
    listed = [i["id"] for i in w.items("/users?limit=2")]
    check(names <= set(listed) and len(listed) == len(set(listed)), f"users in pages of two: {listed}")
    settings = [i["id"] for i in w.items("/config?limit=7")]
    check(len(settings) == len(set(settings)) and {"realm", "admin-listen", "min-port"} <= set(settings), f"settings: {settings}")
    for name in names:
        w.ask("DELETE", f"/users/{name}", status=204)


# ---- Credentials. ----


@case("a token serves until it is revoked: then its call ends within a second, and it is refused; what it has used is told")
def _(w):
    made = w.ask("POST", "/tokens", {"owner": "acme", "ttl": 3600, "max_allocations": 2, "peers": ["203.0.113.10/32"]}, 201)
    check(f"turn:{S.RELAY}:3478?transport=udp" in made["urls"] or f"turn:{S.SERVER}:3478?transport=udp" in made["urls"], f"urls: {made['urls']}")
    c = w.served(made["username"], made["password"])
    equal(c.request(stun.CREATE_PERMISSION, stun.peer((S.PEER_2, 0))).error, 403, "the error for a peer that is not its own")
    peer = w.peer()
    c.bind(0x4000, peer.address)
    c.send_channel(0x4000, bytes(1000))
    peer.receive()
    tap.wait_until(lambda: w.ask("GET", f"/tokens/{made['id']}")["usage"]["bytes_up"] == 1000, "its usage is told")
    w.ask("DELETE", f"/tokens/{made['id']}", status=204)
    watch = Watch(w.daemon)
    w.ended(c)
    watch.within(REVOKED_S, "the end of its call")
    w.refused(made["username"], made["password"])
    equal(w.ask("GET", f"/tokens/{made['id']}")["state"], "revoked", "its state")
    w.ask("DELETE", f"/tokens/{made['id']}", status=204)
    (used,) = [u for u in w.items("/usage?owner=acme") if u["label"] is None]
    check(used["bytes_up"] >= 1000 and used["allocations"] >= 1, f"the owner's usage: {used}")
    check(any(u["from"] for u in w.items("/usage?owner=acme&by=hour")), "usage by the hour")


@case("a user serves by his password, keeps it when he is replaced without one, and is gone when he is removed")
def _(w):
    made = w.ask("PUT", "/users/carol", {"owner": "acme"}, 201)
    c = w.served("carol", made["password"])
    check("password" not in w.ask("PUT", "/users/carol", {"owner": "acme", "max_allocations": 5}), "the password is shown again")
    c.refresh()
    w.served("carol", made["password"]).refresh(0)
    w.ask("PUT", "/users/carol", {"owner": "acme", "password": "another one"})
    w.refused("carol", made["password"])
    w.served("carol", "another one")
    w.ask("DELETE", "/users/carol", status=204)
    w.refused("carol", "another one")
    w.ask("GET", "/users/carol", status=404)


@case("what is made or changed of a user is no revocation to who follows the events")
def _(w):
    with w.socket.events("?type=revocation") as events:
        made = w.ask("PUT", "/users/ivan", {}, 201)
        w.ask("PUT", "/users/ivan", {"max_allocations": 5})
        w.served("ivan", made["password"]).refresh(0)
        w.ask("POST", "/credentials/judy/revoke", {})
        equal(events.next()[2]["user"], "judy", "the user of the first event")
        w.ask("DELETE", "/users/ivan", status=204)
        equal(events.next()[2]["user"], "ivan", "the user of the second event")


@case("S7 a user of hostile bytes is one user, listed as he is")
def _(w):
    for name in ('"\\ %s%n', "a/b?c#d", "<b>\u00fc\u4e16</b>", "a b", "'; DROP TABLE token; --", "{}", "*", "..", "%2e%2e"):
        made = w.ask("PUT", f"/users/{admin.quoted(name)}", {}, 201)
        equal(made["id"], name, "his name")
        w.served(name, made["password"]).refresh(0)
        check(name in {u["id"] for u in w.items("/users")}, f"{name!r} is not listed")
        w.ask("DELETE", f"/users/{admin.quoted(name)}", status=204)


@case("what is handed out for browsers, and in the shape of the TURN REST API, serves; the names of a shared secret can be revoked")
def _(w):
    stun_part, turn_part = w.ask("POST", "/credentials/generate-ice-servers", {"ttl": 600}, 201)["iceServers"]
    check(all(u.startswith("stun:") for u in stun_part["urls"]) and all(u.startswith("turn:") for u in turn_part["urls"]), "urls")
    w.served(turn_part["username"], turn_part["credential"]).refresh(0)
    given = w.ask("GET", "/credentials?service=turn&username=acme&ttl=60")
    equal((given["ttl"], w.ask("GET", f"/tokens/{given['username']}")["owner"]), (60, "acme"), "the life and the owner")
    w.served(given["username"], given["password"]).refresh(0)
    w.ask("GET", "/credentials?service=mail", status=400)
    name, password = rest(f"{int(time.time()) + 3600}:dave", SECRET)
    c = w.served(name, password)
    w.ask("POST", "/credentials/dave/revoke", {"before": int(time.time()) + 7200})
    w.ended(c)
    w.refused(name, password)


@case("a token, a browser's credential and a user serve at once: the first Allocate behind the answer")
def _(w):
    for i in range(10):
        token = w.ask("POST", "/tokens", {"owner": "acme", "ttl": 600}, 201)
        ice = w.ask("POST", "/credentials/generate-ice-servers", {"ttl": 600}, 201)["iceServers"][1]
        user = w.ask("PUT", f"/users/first{i}", {}, 201)
        for name, password in ((token["username"], token["password"]), (ice["username"], ice["credential"]), (user["id"], user["password"])):
            with w.a_client(name, password) as c:
                equal(c.request(stun.ALLOCATE, UDP).cls, stun.SUCCESS, f"{name}, try {i}")
                c.refresh(0)


@case("a POST that is repeated with its Idempotency-Key makes one token; with another body it is refused")
def _(w):
    body = {"owner": "twice", "ttl": 60}
    first, again = (w.ask("POST", "/tokens", body, 201, headers={"Idempotency-Key": "k1"}) for _ in range(2))
    equal(again, first, "the second answer")
    equal(len(w.items("/tokens?owner=twice")), 1, "tokens that were made")
    w.ask("POST", "/tokens", {**body, "ttl": 61}, 422, headers={"Idempotency-Key": "k1"})
    check(w.ask("POST", "/tokens", body, 201, headers={"Idempotency-Key": "k2"})["id"] != first["id"], "another key")


# ---- Peers and limits. ----


@case("stored peers are in force within a second, shown by their prefix with their source, and taken back; test says which entry decides")
def _(w):
    c = w.client(5)
    c.allocate()
    equal(c.denied(("10.1.2.3", 5060)), (403, 403), "the errors for a private peer")
    verdict = w.ask("POST", "/peers/test", {"peer": "10.1.2.3:5060/udp"})
    check(not verdict["allowed"] and "10.0.0.0/8" in verdict["entry"] and "built in" in verdict["entry"], f"{verdict}")
    a = w.socket.get(f"{V}/peers")
    w.ask("PUT", "/peers", {"allow": ["10.1.2.3:5000-6000/udp"], "deny": ["203.0.113.11"]}, headers={"If-Match": a.headers["etag"]})
    tap.wait_until(lambda: c.denied(("10.1.2.3", 5060)) == (None, None), "the peer is allowed")
    equal(c.denied(("203.0.113.11", 5060)), (403, 403), "the errors for a peer that is denied")
    equal(c.request(stun.CHANNEL_BIND, stun.channel_number(0x4FFE), stun.peer(("10.1.2.3", 7000))).error, 403, "the error for another port")
    now = w.ask("GET", "/peers")
    entries = {(e["entry"], e["action"], e["source"]) for e in now["items"]}
    check({("10.1.2.3:5000-6000/udp", "allow", "stored"), ("203.0.113.11", "deny", "stored"), ("10.0.0.0/8", "deny", "built in")} <= entries, f"{entries}")
    check(("203.0.113.0/24", "allow", "configuration") in entries, f"{entries}")
    verdict = w.ask("POST", "/peers/test", {"peer": "10.1.2.3:5060/udp"})
    check(verdict["allowed"] and "10.1.2.3" in verdict["entry"] and "stored" in verdict["entry"], f"{verdict}")
    w.ask("PUT", "/peers", {"allow": [], "deny": []}, 412, headers={"If-Match": a.headers["etag"]})
    w.ask("PUT", "/peers", {"allow": ["10.0.0.0/40"], "deny": []}, 400)
    w.ask("PUT", "/peers", {"allow": [], "deny": []})
    tap.wait_until(lambda: c.denied(("10.1.2.3", 5060)) == (403, 403), "the peer is denied again")
    for peer in ("x", "10.1.2.3:99999", "10.1.2.3/8", ""):
        w.ask("POST", "/peers/test", {"peer": peer}, 400)


@case("an owner's limit holds for his next Allocate, whatever credential he has; what he holds is told; and is taken back")
def _(w):
    w.ask("PUT", "/quotas/small", {"max_allocations": 1})
    made = w.ask("POST", "/tokens", {"owner": "small", "ttl": 60}, 201)
    c = w.served(made["username"], made["password"])
    w.refused(made["username"], made["password"], 486)
    w.refused(*rest(f"{int(time.time()) + 600}:small", SECRET), 486)
    quota = w.ask("GET", "/quotas/small")
    equal(quota, {"owner": "small", "max_allocations": 1, "max_bps": None, "allocations": 1}, "the quota")
    w.ask("PUT", "/quotas/small", {})
    d = w.served(made["username"], made["password"])
    for x in (c, d):
        x.refresh(0)


# ---- Running it. ----


@case("F20 a drain refuses new allocations, refreshes and counts the old ones, is told by /status and events, ends; at its deadline it closes", (embedded,))
def _(w):
    c = w.client(6)
    c.allocate()
    with w.socket.events("?type=drain") as events:
        equal(w.ask("POST", "/drain", {}, 202)["deadline_at"], None, "its deadline")
        status = w.ask("GET", "/status")
        equal((status["draining"], status["drain_deadline_at"]), (True, None), "the status")
        equal(events.next()[2]["draining"], True, "the event")
        tap.wait_until(lambda: w.client(7).request(stun.ALLOCATE, UDP).error in (300, 508), "new allocations are refused")
        c.refresh()
        equal(w.ask("DELETE", "/drain")["draining"], False, "the end")
        equal(events.next()[2]["draining"], False, "the event of its end")
    w.served(daemon.USER, daemon.PASSWORD).refresh(0)
    before = time.time()
    at = w.ask("POST", "/drain", {"deadline_s": 1}, 202)["deadline_at"]
    tap.within(at, int(before) + 1, time.time() + 2, "the deadline")
    w.ended(c)
    check(w.ask("GET", "/status")["draining"], "it drains no more")
    w.ask("DELETE", "/drain")
    w.served(daemon.USER, daemon.PASSWORD).refresh(0)


@case("F17 a reload takes the file, tells what needs a restart, and refuses a bad one with file and line; the level of the log changes", (embedded,))
def _(w):
    good = dict(w.daemon.settings)
    w.daemon.directory.file("turnpiked.conf", daemon.config_text({**good, "realm": "other.example", "user": ["alice:alice's password", "eve:new"]}))
    equal(w.ask("POST", "/reload")["needs_restart"], ["realm"], "what needs a restart")
    w.served("eve", "new").refresh(0)
    text = daemon.config_text(good) + "realmm=x\n"
    w.daemon.directory.file("turnpiked.conf", text)
    detail = w.socket.call("POST", f"{V}/reload").json["detail"]
    check(f"turnpiked.conf:{text.count(chr(10))}" in detail and "realm" in detail, detail)
    verdict = w.ask("POST", "/config/check", {})
    equal((verdict["valid"], "realmm" in verdict["error"]), (False, True), f"the verdict {verdict}")
    w.served("eve", "new").refresh(0)
    w.daemon.directory.file("turnpiked.conf", daemon.config_text(good))
    w.ask("POST", "/reload")
    equal(w.ask("PUT", "/log-level", {"level": "error"})["level"], "error", "the level")
    equal(w.ask("GET", "/status")["log_level"], "error", "the level in the status")
    w.daemon.wait_log("event=audit .*operation=setLogLevel ")  # and so has been all that was told before
    before = len(w.daemon.events("allocation_created"))
    w.served(daemon.USER, daemon.PASSWORD).refresh(0)
    w.ask("PUT", "/log-level", {"level": "info"})
    tap.wait_until(lambda: len([e for e in w.daemon.events("audit") if e["operation"] == "setLogLevel"]) == 2, "what is told whatever the level is")
    equal(len(w.daemon.events("allocation_created")), before, "lines below the level")


@case("a HEAD is a GET without the body; /healthz and /readyz want no token, and /metrics speaks OpenMetrics when it is asked to", (embedded,))
def _(w):
    for path in ("/", "/healthz", f"{V}/status", "/metrics", "/openapi.json"):
        a = w.socket.call("HEAD", path)
        equal((a.status, a.body), (200, b""), f"HEAD {path}")
        check(int(a.headers["content-length"]) > 10, f"Content-Length of HEAD {path}")
    for path in ("/healthz", "/readyz"):
        w.tls().get(path)
    plain, open_ = w.socket.get("/metrics"), w.socket.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    equal((plain.kind, open_.kind), ("text/plain", "application/openmetrics-text"), "the types")
    check(open_.body.endswith(b"# EOF\n") and b"# EOF" not in plain.body, "the end of OpenMetrics")
    check(re.search(rb'^turnpike_relay_bytes_total\{[^}]*\} \d+$', plain.body, re.M), "bytes are not counted")


@in_redis.case("F2 without Redis: /readyz says why, what asks the store is 503 with cause and cure in time; the rest answers; then all is well again")
def _(w):
    token = w.ask("POST", "/tokens", {"owner": "acme", "ttl": 60}, 201)
    w.redis.kill()
    for method, path, body in (("GET", f"/tokens/{token['id']}", None),):
        start = time.monotonic()
        a = w.socket.call(method, V + path, body)
        equal((a.status, a.kind), (503, "application/problem+json"), f"{method} {path} without Redis ({a.body[:300]!r})")
        check("redis" in a.detail.lower(), a.detail)
        print(f"# {method} {path} without Redis took {time.monotonic() - start:.1f} s: {a.detail}")
        check(time.monotonic() - start < UNAVAILABLE_S, f"it took {time.monotonic() - start:.1f} s")
    tap.wait_until(lambda: w.socket.call("GET", "/readyz").status == 503, "it is not ready")
    check(any("redis" in r.lower() for r in w.socket.get("/readyz", 503).json["reasons"]), "no reason")
    for path in ("/healthz", "/metrics", f"{V}/status", f"{V}/allocations", "/"):
        w.socket.get(path)
    check(b"turnpike_redis_up 0" in w.socket.get("/metrics").body, "turnpike_redis_up")
    w.redis.start()
    tap.wait_until(lambda: w.socket.call("GET", "/readyz").status == 200, "it is ready again")
    w.ask("GET", "/tokens")
    made = w.ask("POST", "/tokens", {"owner": "acme", "ttl": 60}, 201)
    w.served(made["username"], made["password"]).refresh(0)


tap.main()
