#!/usr/bin/env python3
"""What the admin plane asks of the store (programs/storeops.c), with two nodes that serve by it."""
import contextlib
import itertools
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import daemon, net, redis, stun, tap, world  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tap import check, equal  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tokens import MARK, REVOKED_S, Fleet, Stream, each_try, rest  # noqa: E402 # pylint: disable=wrong-import-position

tap.need("redis-server", "turnadmin")
net.need_namespaces()
daemon.need_daemon()

S = net.Standard
SECRET = "northstar"
PACKETS = 100  # twice what a bucket holds
MOMENT_S = 1.0 if not tap.SANITIZER else 4.0  # for what has been told: a look that nobody tells to comes each five seconds
SHARED_S = 3.0 if not tap.SANITIZER else 10.0  # until what an owner holds on one node is known to all
DRIVE = os.path.join(daemon.BUILDDIR, "tests", "func", "storedrive")


class Operations:
    """The program that runs them, a request after the other."""

    def __init__(self, ns, *store):
        self.process = ns.popen([DRIVE, *store], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(tap.PATIENCE_S)
        self.process.stdout.close()

    def ask(self, status, operation, **members):
        """Its body, or else its detail."""
        self.process.stdin.write(json.dumps({"operation": operation, **members}) + "\n")
        self.process.stdin.flush()
        said = json.loads(self.process.stdout.readline())
        equal(said["status"], status, f"the status of {operation} {members} ({said['detail']})")
        check("sha256" not in json.dumps(said) and "md5" not in json.dumps(said), f"{operation} tells keys")
        return said.get("body") if status < 400 else said["detail"]

    def every(self, operation, **query):
        """All pages of a list."""
        items, cursor = [], {}
        while True:
            page = self.ask(200, operation, query={**query, **cursor})
            items += page["items"]
            if page["next"] is None:
                return items
            cursor = {"cursor": page["next"]}


@tap.group
def fleet():
    with contextlib.ExitStack() as stack:
        n = stack.enter_context(S())
        server = stack.enter_context(redis.Server(n.srv, bind="127.0.0.1 127.0.0.2"))
        f = Fleet(stack, n, server, **{"static-auth-secret": SECRET})
        f.ops = stack.enter_context(Operations(n.srv, "redis", "redis://127.0.0.1:6379"))
        yield f


class Alone(Fleet):
    """One node, and the embedded store."""

    def __init__(self, stack, n):
        self.net, self.url = n, None
        self.dir = stack.enter_context(daemon.Directory()).path
        self.config = {**self.settings(0), "redis": None, "state-dir": self.dir, "static-auth-secret": SECRET}
        self.ops = stack.enter_context(Operations(n.srv, "embedded", self.dir))
        self.start(stack)

    def start(self, stack):
        w = world.World(self.net, stack.enter_context(daemon.Daemon(self.net.srv, self.config)))
        stack.callback(w.close)
        self.nodes = [w]


@tap.group
def alone():
    with contextlib.ExitStack() as stack:
        yield Alone(stack, stack.enter_context(S()))


def served(f, credentials, node=0, error=None, seconds=MOMENT_S):
    """Soon an Allocate is granted (then it is given back), or refused with this error."""
    tries = each_try()

    def is_so():
        with f.client(credentials, node, i=next(tries)) as c:
            said = c.request(stun.ALLOCATE, (stun.REQUESTED_TRANSPORT, stun.UDP))
            if said.cls == stun.SUCCESS:
                c.refresh(0)
            return said.error == error

    f.soon(is_so, f"an Allocate of {credentials[0]} on node {node} ends with {error}", seconds)


@fleet.case("a user in Redis is served by every node at once, though one has just said that there is none")
def _(f):
    for node in range(2):
        for i in range(6):  # each worker has said so, and remembers
            equal(f.client(("carol", "x"), node, i=i).refuse_allocate(), 401, "the error before")
    made = f.ops.ask(201, "putUser", id="carol", body={"owner": "carols", "label": "desk"})
    f.heard("credential_changed", "carol")
    for node in range(2):
        served(f, ("carol", made["password"]), node)
        for i in range(6):
            f.client(("carol", made["password"]), node, i=i).allocate()
    equal(f.ops.ask(200, "getUser", id="carol")["owner"], "carols", "the owner")
    equal([u["id"] for u in f.ops.every("listUsers")], ["carol"], "the users")
    equal(f.ops.every("listTokens"), [], "the tokens")
    check("no such token" in f.ops.ask(404, "getToken", id="carol"), "a user is no token")
    f.ops.ask(404, "revokeToken", id="carol")
    token = f.token()[0]
    check("no such user" in f.ops.ask(404, "getUser", id=token), "a token is no user")
    check("already" in f.ops.ask(409, "putUser", id=token, body={}), "and keeps its name")
    equal(f.redis.call("TTL", "tp:token:{carol}"), -1, "the life of a user without an end")


@fleet.case("a user's new limits hold from the next Allocate on, and end nothing; a new password ends what the old one has begun")
def _(f):
    password = f.ops.ask(201, "putUser", id="dave", body={})["password"]
    with Stream(f.nodes[0], f.client(("dave", password))) as a, Stream(f.nodes[1], f.client(("dave", password), node=1, i=1)) as b:
        f.ops.ask(200, "putUser", id="dave", body={"max_allocations": 1})
        served(f, ("dave", password), error=486)
        before = a.count, b.count
        tap.wait_until(lambda: a.count > before[0] + 20 and b.count > before[1] + 20, "packets go on")
        watch = f.watch()
        f.ops.ask(200, "putUser", id="dave", body={"password": "another"})
        a.ended(f.nodes[0])
        b.ended(f.nodes[1])
        last = max(a.last, b.last)
        print(f"# from the new password to the last packet: {(last - watch.start) * 1000:.0f} ms")
        watch.within(REVOKED_S, "from the new password to the last packet", last)
    f.heard("credential_revoked", "dave")
    for node in range(2):
        equal(f.client(("dave", password), node, i=2).refuse_allocate(), 401, "the error of the old password")
        served(f, ("dave", "another"), node)


@fleet.case("a user who is removed is refused, and his allocations end; the name may be given again")
def _(f):
    password = f.ops.ask(201, "putUser", id="erin", body={"ttl": 3600})["password"]
    tap.within(f.redis.call("TTL", "tp:token:{erin}"), 89000, 90000, "the life of his record")
    with Stream(f.nodes[1], f.client(("erin", password), node=1)) as a:
        f.ops.ask(204, "deleteUser", id="erin")
        a.ended(f.nodes[1])
    equal(f.client(("erin", password), i=1).refuse_allocate(), 401, "the error afterwards")
    f.ops.ask(404, "deleteUser", id="erin")
    check("erin" not in [u["id"] for u in f.ops.every("listUsers")], "the list has him")
    again = f.ops.ask(201, "putUser", id="erin", body={})["password"]
    for node in range(2):
        served(f, ("erin", again), node)


@fleet.case("a user's new password, or his end, that could not be told is told when it is asked for again")
def _(f):
    password = f.ops.ask(201, "putUser", id="kate", body={})["password"]
    f.redis.call("ACL", "SETUSER", "mute", "on", ">pw", "~*", "+@all", "-xadd")
    with Operations(f.net.srv, "redis", "redis://mute:pw@127.0.0.1:6379") as mute:
        with Stream(f.nodes[0], f.client(("kate", password))) as a:
            mute.ask(502, "putUser", id="kate", body={"password": "another"})
            f.ops.ask(200, "putUser", id="kate", body={"password": "another"})
            a.ended(f.nodes[0])
        served(f, ("kate", "another"), node=1)
        with Stream(f.nodes[1], f.client(("kate", "another"), node=1, i=1)) as a:
            f.ops.ask(200, "putUser", id="kate", body={"password": "another"})  # nothing that is to end, and it was told before
            mute.ask(502, "deleteUser", id="kate")
            equal([e[1][1] for e in f.redis.call("XREVRANGE", "tp:events", "+", "-", "COUNT", "1")], [b"change"], "the last word")
            f.ops.ask(404, "deleteUser", id="kate")
            a.ended(f.nodes[1])


@fleet.case("who has used up his bytes comes back with a larger limit, and keeps what he has used")
def _(f):
    password = f.ops.ask(201, "putUser", id="frank", body={"max_bytes": 100})["password"]
    with Stream(f.nodes[0], f.client(("frank", password))) as a:
        a.ended(f.nodes[0])
    f.heard("credential_revoked", "frank")
    equal(f.client(("frank", password), i=1).refuse_allocate(), 401, "the error when all is used")
    tap.wait_until(lambda: f.ops.ask(200, "getUser", id="frank")["state"] == "revoked", "the record says so")
    f.ops.ask(200, "putUser", id="frank", body={"max_bytes": 1000000000})
    served(f, ("frank", password))
    used = f.ops.every("usage", owner="frank")
    check(used[0]["bytes_up"] >= 100, f"the usage is {used}")


@fleet.case("a user and the time-limited names of his name: neither is revoked, or comes back, with the other")
def _(f):
    password = f.ops.ask(201, "putUser", id="gail", body={})["password"]
    f.ops.ask(200, "revokeCredentials", id="gail", body={})
    served(f, ("gail", password))
    f.client(("gail", password), node=1, i=1).allocate()
    before = f.redis.call("GET", "tp:revoked-names:{gail}")
    f.ops.ask(200, "putUser", id="gail", body={"max_allocations": 9})
    f.ops.ask(204, "deleteUser", id="gail")
    again = f.ops.ask(201, "putUser", id="gail", body={})["password"]
    equal(f.redis.call("GET", "tp:revoked-names:{gail}"), before, "until when his names are revoked")
    tap.within(f.redis.call("TTL", "tp:revoked-names:{gail}"), 86000, 86400, "the time for which it is kept")
    served(f, ("gail", again))


@fleet.case("coturn's users stay coturn's: they are served, not listed, and neither replaced nor removed")
def _(f):
    f.net.srv.run(["turnadmin", "-a", "-N", "ip=127.0.0.1 port=6379", "-r", daemon.REALM, "-u", "grace", "-p", "hush"])
    f.client(("grace", "hush")).allocate()
    check("grace" not in [u["id"] for u in f.ops.every("listUsers")], "the list has him")
    f.ops.ask(404, "getUser", id="grace")
    f.ops.ask(404, "deleteUser", id="grace")
    f.client(("grace", "hush"), i=1).allocate()


@fleet.case("pages of tokens in Redis by owner and label; what is handed out names nodes that serve")
def _(f):
    for i in range(30):
        f.ops.ask(201, "issueToken", body={"owner": "other" if i % 3 == 0 else "pager", "label": str(i), "ttl": 1000 + i})
    equal([t["label"] for t in f.ops.every("listTokens", owner="other", limit="3")], [str(i) for i in range(0, 30, 3)], "the labels")
    equal([t["owner"] for t in f.ops.every("listTokens", label="7")], ["pager"], "the owners of a label")
    servers = f.ops.ask(201, "generateIceServers", body={"ttl": 60})["iceServers"]
    check(all(u.startswith(f"turn:{S.SERVER}:") for u in servers[1]["urls"]) and servers[1]["urls"], f"the URLs are {servers}")
    served(f, (servers[1]["username"], servers[1]["credential"]))
    nodes = f.ops.ask(200, "listNodes")["items"]
    equal([n["state"] for n in nodes], ["serving", "serving"], "the states")
    check("no such node lives" in f.ops.ask(404, "drain", body={"node": "nobody"}), "a node that is not there")
    equal(f.redis.call("KEYS", "tp:drain:*"), [], "what is wished of it")
    f.ops.ask(202, "drain", body={"node": nodes[0]["id"]})
    tap.wait_until(lambda: f.ops.ask(200, "listNodes")["items"][0]["state"] == "draining", "it drains")
    f.ops.ask(200, "endDrain", query={"node": nodes[0]["id"]})
    tap.wait_until(lambda: f.ops.ask(200, "listNodes")["items"][0]["state"] == "serving", "it serves")


@fleet.case("a Redis that is not there is a 503 with the cure, one that refuses a 502")
def _(f):
    with Operations(f.net.srv, "redis", "redis://127.0.0.1:6399") as away:
        check("is the store that redis= names up" in away.ask(503, "listTokens"), "the cure")
    f.redis.call("ACL", "SETUSER", "reader", "on", ">pw", "~*", "+@read", "+auth", "+ping")
    with Operations(f.net.srv, "redis", "redis://reader:pw@127.0.0.1:6379") as reader:
        check("see ACL in turnpiked.conf(5)" in reader.ask(502, "putUser", id="heidi", body={}), "the cure")


def denied(f, c, peer, wanted):
    f.soon(lambda: c.denied(peer) == wanted, f"CreatePermission and ChannelBind for {peer} end with {wanted}", MOMENT_S)


def rules(f):
    """Stored peers hold on every node within a moment, and end what flows."""
    token = f.token(owner="rules")
    served(f, token)
    clients = [f.client(token, node=i, i=i) for i in range(len(f.nodes))]
    peer = f.nodes[0].peer()
    for c in clients:
        c.allocate()
        c.bind(0x4000, peer.address)
    shown = f.ops.ask(200, "putPeers", body={"allow": ["10.77.0.1:5060/udp"], "deny": [S.PEER + "/32"]})
    equal((shown["allow"], shown["deny"]), (["10.77.0.1:5060/udp"], [S.PEER + "/32"]), "what is stored")
    for c in clients:
        denied(f, c, peer.address, (403, 403))
        equal(c.denied(("10.77.0.1", 5060)), (None, None), "what is allowed")
        equal(c.denied(("10.77.0.1", 5061)), (None, 403), "its other ports")
        c.send_channel(0x4000, b"denied")
    f.ops.ask(200, "putPeers", body={"allow": [], "deny": []})
    for c in clients:
        denied(f, c, ("10.77.0.1", 5060), (403, 403))
        c.permit(S.PEER)
        c.refresh(0)


def limits(f):
    """An owner's limits hold for a token, a user and a time-limited name, from the next Allocate on."""
    name = rest(f"{int(time.time()) + 3600}:acme", SECRET)
    user = ("limited", f.ops.ask(201, "putUser", id="limited", body={"owner": "acme"})["password"])
    token = f.token(owner="acme")
    served(f, token)
    held = f.client(token)
    held.allocate()
    f.ops.ask(200, "putQuota", id="acme", body={"max_allocations": 1})
    for credentials in (name, user, f.token("--max-allocations", "9", owner="acme")):
        served(f, credentials, error=486)
    held.refresh()  # what lives goes on
    for node in range(1, len(f.nodes)):
        served(f, user, node, 486, SHARED_S)
    served(f, f.token(owner="another"))
    f.ops.ask(200, "putQuota", id="acme", body={"max_allocations": 2})
    for node in range(len(f.nodes)):
        served(f, name, node)
    f.ops.ask(200, "putQuota", id="acme", body={"max_bps": 8000})
    f.soon(lambda: relayed(f, user) < PACKETS * 3 / 4, "an owner's bandwidth holds", MOMENT_S)
    f.ops.ask(200, "putQuota", id="acme", body={})
    f.soon(lambda: relayed(f, user) == PACKETS, "there is no limit any more", MOMENT_S)
    held.refresh(0)


def relayed(f, credentials):
    """Of PACKETS those that come to a peer."""
    peer = f.nodes[0].peer()
    with f.client(credentials, i=6) as c:
        c.allocate()
        c.bind(0x4000, peer.address)
        for _ in range(PACKETS):
            c.send_channel(0x4000, b"x" * 1200)
        c.exchange_binding()
        c.refresh(0)
    peer.send(MARK, peer.address)
    return next(n for n in itertools.count() if peer.receive().data == MARK)


def peaks(f):
    """Of one owner on one node, by the hour and in all; what comes later is less and changes nothing."""
    token = f.token("--label", "a b", owner="peaks")
    served(f, token)
    clients = [f.client(token, i=i) for i in range(3)]
    for c in clients:
        c.allocate()

    def shown(by):
        return [(u["label"], u["peak"]) for u in f.ops.every("usage", owner="peaks", by=by)]

    tap.wait_until(lambda: shown("total") == [("a b", 3)], "the peak is told")
    for c in clients[1:]:
        c.refresh(0)
    before = f.ops.every("usage", owner="peaks")[0]["seconds"]
    tap.wait_until(lambda: f.ops.every("usage", owner="peaks")[0]["seconds"] > before + 1, "time goes on")
    for by in ("total", "hour", "day"):
        check(("a b", 3) in shown(by), f"by {by}: {shown(by)}")
    clients[0].refresh(0)


@fleet.case("usage tells the most allocations at the same time, in Redis")
def _(f):
    peaks(f)


@alone.case("usage tells the most allocations at the same time, in the embedded store")
def _(f):
    peaks(f)


@fleet.case("S21 stored rules for peers, in Redis, hold on both nodes within a moment")
def _(f):
    rules(f)


@alone.case("S21 stored rules for peers, in the embedded store, hold within a moment")
def _(f):
    rules(f)


@fleet.case("S21 an owner's limits, in Redis, hold for all his credentials and for both nodes together")
def _(f):
    limits(f)


@alone.case("S21 an owner's limits, in the embedded store, hold for all his credentials")
def _(f):
    limits(f)


@fleet.case("F17 stored rules that can't be read are told, and what was there before stays")
def _(f):
    c = f.client(f.token(owner="f17"))
    c.allocate()
    f.ops.ask(200, "putPeers", body={"allow": [], "deny": [S.PEER]})
    f.ops.ask(200, "putQuota", id="f17", body={"max_allocations": 1})
    denied(f, c, (S.PEER, 9), (403, 403))
    f.redis.call("HSET", "tp:peers", "deny", "10.0.0.0/33")
    f.redis.call("HSET", "tp:quotas", "f17", "%s", "other", "-1 0")
    f.redis.call("XADD", "tp:events", "*", "kind", "policy")
    for w in f.nodes:
        w.daemon.wait_log("event=peers_refused source=stored reason=\"peer entry '10.0.0.0/33' can't be read")
        w.daemon.wait_log('event=stored_rules_refused reason="tp:quotas: the limits of an owner are no numbers"')
    equal(c.denied((S.PEER, 9)), (403, 403), "what was denied before")
    served(f, f.token(owner="f17"), error=486)
    f.ops.ask(502, "getQuota", id="f17")
    f.redis.call("SET", "tp:peers", "no hash")
    f.redis.call("DEL", "tp:quotas")
    f.redis.call("XADD", "tp:events", "*", "kind", "quota")
    for w in f.nodes:
        w.daemon.wait_log('event=stored_rules_refused reason="tp:peers: WRONGTYPE')
    served(f, f.token(owner="f17"))
    equal(c.denied((S.PEER, 9)), (403, 403), "what was denied before, again")
    f.redis.call("DEL", "tp:peers")
    f.redis.call("XADD", "tp:events", "*", "kind", "policy")
    f.soon(lambda: c.denied((S.PEER, 9))[0] is None, "nothing is denied any more", MOMENT_S)
    told = f.nodes[0].daemon.events("stored_rules_refused")
    equal(len(told), len({str(e["reason"]) for e in told}), "what is told of each")
    f.redis.call("SET", "tp:peers", "no hash")
    f.redis.call("XADD", "tp:events", "*", "kind", "policy")
    f.soon(lambda: len(f.nodes[0].daemon.events("stored_rules_refused")) > len(told), "what is wrong again is told again", MOMENT_S)
    f.redis.call("DEL", "tp:peers")


@alone.case("rules and limits in the embedded store are there when the daemon starts")
def _(f):
    f.ops.ask(200, "putPeers", body={"allow": [], "deny": [S.PEER]})
    f.ops.ask(200, "putQuota", id="early", body={"max_allocations": 1})
    f.nodes[0].daemon.stop()
    with contextlib.ExitStack() as stack:
        f.start(stack)
        token = f.token(owner="early")
        served(f, token)
        c = f.client(token)
        c.allocate()
        equal(c.denied((S.PEER, 9)), (403, 403), "what is denied")
        served(f, token, error=486)


tap.main()
