#!/usr/bin/env python3
"""What the admin plane asks of the store (programs/storeops.c), with two nodes that serve by it."""
import contextlib
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import daemon, net, redis, stun, tap  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tap import check, equal  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tokens import REVOKED_S, Fleet, Stream  # noqa: E402 # pylint: disable=wrong-import-position

tap.need("redis-server", "turnadmin")
net.need_namespaces()
daemon.need_daemon()

S = net.Standard
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
        f = Fleet(stack, n, server)
        f.ops = stack.enter_context(Operations(n.srv, "redis", "redis://127.0.0.1:6379"))
        yield f


def served(f, credentials, node=0, error=None):
    """Wait until an Allocate is granted (then it is given back), or refused with this error."""

    def is_so():
        with f.client(credentials, node, i=5) as c:
            said = c.request(stun.ALLOCATE, (stun.REQUESTED_TRANSPORT, stun.UDP))
            if said.cls == stun.SUCCESS:
                c.refresh(0)
            return said.error == error

    tap.wait_until(is_so, f"an Allocate of {credentials[0]} on node {node} ends with {error}", REVOKED_S)


@fleet.case("a user in Redis is served by every node at once, though one has just said that there is none")
def _(f):
    for node in range(2):
        equal(f.client(("carol", "x"), node).refuse_allocate(), 401, "the error before")
    made = f.ops.ask(201, "putUser", id="carol", body={"owner": "acme", "label": "desk"})
    for node in range(2):
        served(f, ("carol", made["password"]), node)
    equal(f.ops.ask(200, "getUser", id="carol")["owner"], "acme", "the owner")
    equal([u["id"] for u in f.ops.every("listUsers")], ["carol"], "the users")
    equal(f.ops.every("listTokens"), [], "the tokens")
    check("no such token" in f.ops.ask(404, "getToken", id="carol"), "a user is no token")
    f.ops.ask(404, "revokeToken", id="carol")
    check("no such user" in f.ops.ask(404, "getUser", id=f.token()[0]), "a token is no user")
    equal(f.redis.call("TTL", "tp:token:{carol}"), -1, "the life of a user without an end")


@fleet.case("a user's new limits hold from the next Allocate on, and end nothing; a new password ends what the old one has begun")
def _(f):
    password = f.ops.ask(201, "putUser", id="dave", body={})["password"]
    with Stream(f.nodes[0], f.client(("dave", password))) as a, Stream(f.nodes[1], f.client(("dave", password), node=1, i=1)) as b:
        f.ops.ask(200, "putUser", id="dave", body={"max_allocations": 1})
        served(f, ("dave", password), error=486)
        before = a.count, b.count
        tap.wait_until(lambda: a.count > before[0] + 20 and b.count > before[1] + 20, "packets go on")
        start = time.monotonic()
        f.ops.ask(200, "putUser", id="dave", body={"password": "another"})
        a.ended(f.nodes[0])
        b.ended(f.nodes[1])
        took = max(a.last, b.last) - start
        print(f"# from the new password to the last packet: {took * 1000:.0f} ms")
        check(took < REVOKED_S, f"the last packet came after {took:.2f} s")
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


@fleet.case("who has used up his bytes comes back with a larger limit, and keeps what he has used")
def _(f):
    password = f.ops.ask(201, "putUser", id="frank", body={"max_bytes": 100})["password"]
    with Stream(f.nodes[0], f.client(("frank", password))) as a:
        a.ended(f.nodes[0])
    equal(f.client(("frank", password), i=1).refuse_allocate(), 401, "the error when all is used")
    tap.wait_until(lambda: f.ops.ask(200, "getUser", id="frank")["state"] == "revoked", "the record says so")
    f.ops.ask(200, "putUser", id="frank", body={"max_bytes": 1000000000})
    served(f, ("frank", password))
    used = f.ops.every("usage", owner="frank")
    check(used[0]["bytes_up"] >= 100, f"the usage is {used}")


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


tap.main()
