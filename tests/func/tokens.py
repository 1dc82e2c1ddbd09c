#!/usr/bin/env python3
"""Credentials in Redis: tokens, coturn's users and secrets, revocation on two nodes, and what happens without Redis (F1 to F3)."""
import contextlib
import json
import os
import re
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import call, daemon, net, redis, stun, tap, world  # noqa: E402 # pylint: disable=wrong-import-position
from lib.meter import passed_most  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tap import check, equal  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tokens import REVOKED_S, Fleet, Stream, rest  # noqa: E402 # pylint: disable=wrong-import-position

tap.need("redis-server", "turnadmin", "nft")
net.need_namespaces()
daemon.need_daemon()

S = net.Standard
SECRET = "northwind"
CUT_S = 3.0
LOOKUP_S = 2.0  # a look-up's deadline


@tap.group
def fleet():
    with contextlib.ExitStack() as stack:
        n = stack.enter_context(S())
        server = stack.enter_context(redis.Server(n.srv, bind="127.0.0.1 127.0.0.2"))
        yield Fleet(stack, n, server)


@fleet.case("a token's record comes into the store in one command, and with its end")
def _(f):
    asked = []

    def reply(words):
        asked.append(words)
        return b":1\r\n"

    with redis.Fake(f.net.srv, reply, port=6390), daemon.Directory() as directory:
        config = directory.file("conf", f"realm={daemon.REALM}\nredis=redis://127.0.0.1:6390\n")
        made = json.loads(f.ctl("--config", config, "--offline", "token", "issue", "--json", "--owner", "acme", "--expires", "1h"))
    named = [words for words in asked if any(w == f"tp:token:{{{made['id']}}}".encode() for w in words)]
    equal(len(named), 1, "commands with the record's key")
    ends = [int(w) - time.time() for w in named[0] if re.fullmatch(rb"\d{10}", w)]
    check(any(89000 < s <= 90000 for s in ends), f"its end is not in {named[0]}")
    for options, low, high in ((("--expires", "1h"), 89000, 90000), ((), -1, -1)):
        tap.within(f.redis.call("TTL", f"tp:token:{{{f.token(*options)[0]}}}"), low, high, f"the life of the record with {options}")


@fleet.case("a token is the id and the password that were shown; a wrong password, another realm, scope or time is 401")
def _(f):
    good = f.token("--label", 'a "label" %s', "--expires", "1h")
    f.client(good).allocate()
    f.client(good, node=1, transport="tcp").allocate()
    for options in (["--scope", "phone"], ["--realm", "elsewhere"], ["--not-before", "1h"], ["--expires", "@1"]):
        if options[0] == "--expires":
            equal("over already" in f.ctl("token", "issue", "--owner", "acme", *options, status=2), True, "an expiry in the past is refused")
            continue
        equal(f.client(f.token(*options)).refuse_allocate(), 401, f"the error with {options}")
    check("--ttl does not go with token issue" in f.ctl("token", "issue", "--owner", "acme", "--ttl", "1h", status=2), "a stray option")
    equal(f.client((good[0], "wrong")).refuse_allocate(), 401, "the error with a wrong password")
    equal(f.client(("tnobody", "x")).refuse_allocate(), 401, "the error of an id that never was")
    listed = {t["id"]: t for t in json.loads(f.ctl("token", "list", "--json"))}
    check(good[0] in listed and "password" not in listed[good[0]], f"the list: {listed}")
    equal(json.loads(f.ctl("token", "show", good[0], "--json"))["label"], 'a "label" %s', "the label")
    stored = b" ".join(f.redis.call("HGETALL", f"tp:token:{{{good[0]}}}"))
    check(good[1].encode() not in stored, "S24: the password is in the store")
    for w in f.nodes:
        check(good[1] not in w.daemon.log(), "S24: the password is in the log")


@fleet.case("C48 a token's own limits: allocations of its owner, and bits a second")
def _(f):
    few = f.token("--max-allocations", "2", "--max-bps", "80k", owner="small")
    first, second, third = (f.client(few, i=i) for i in range(3))
    first.allocate()
    second.allocate()
    equal(third.refuse_allocate(), 486, "the error of the third")
    peer = f.nodes[0].peer()
    first.bind(0x4000, peer.address)
    start = time.monotonic()
    for i in range(200):
        first.send_channel(0x4000, b"%03d" % i + bytes(997))
    first.exchange(stun.encode(stun.BINDING, stun.REQUEST))
    calm = f.client(f.token(), i=4)
    calm.allocate()
    calm.bind(0x4000, peer.address)
    calm.send_channel(0x4000, b"calm")
    got = 0
    while peer.receive().source != calm.relayed[0]:
        got += 1
    tap.within(got, 1, passed_most(start), "packets of 200 that came up")


@fleet.case("a revoked token's calls end on every node within a second, and it is refused; another's go on")
def _(f):
    doomed, other = f.token(), f.token()
    with Stream(f.nodes[0], f.client(doomed)) as a, Stream(f.nodes[1], f.client(doomed, node=1, transport="tcp")) as b:
        with Stream(f.nodes[0], f.client(other, i=2)) as c:
            start = time.monotonic()
            f.ctl("token", "revoke", doomed[0])
            watch = f.watch()
            a.ended(f.nodes[0])
            b.ended(f.nodes[1])
            last = max(a.last, b.last)
            print(f"# from the command to the last packet: {(last - start) * 1000:.0f} ms")
            watch.within(REVOKED_S, "from the command's end to the last packet", last)
            before = c.count
            tap.wait_until(lambda: c.count > before + 20, "the other's packets come")
    f.heard("credential_revoked", doomed[0])
    for node in range(2):
        equal(f.client(doomed, node=node, i=3).refuse_allocate(), 401, f"the error on node {node}")
    f.ctl("token", "revoke", doomed[0])  # twice is fine
    check("no such token" in f.ctl("token", "revoke", "tnobody", status=3), "revoking what never was")


@fleet.case("a revocation reaches a node that was cut off from Redis meanwhile, at most a second after it is back")
def _(f):
    doomed = f.token()
    with Stream(f.nodes[0], f.client(doomed)) as a, Stream(f.nodes[1], f.client(doomed, node=1)) as b:
        with f.cut(1):
            start = time.monotonic()
            f.ctl("token", "revoke", doomed[0])
            a.ended(f.nodes[0])
            tap.wait_until(lambda: time.monotonic() > start + CUT_S, "the cut has lasted")
            before = b.count
            tap.wait_until(lambda: b.count > before + 5, "the call goes on where nobody knows")
        back = f.watch()
        b.ended(f.nodes[1])
        print(f"# from the end of the cut to the last packet: {(b.last - back.start) * 1000:.0f} ms")
        back.within(REVOKED_S, "from the end of the cut to the last packet", b.last)


@fleet.case("an event that was lost is made up for by the markers, when the connection is back")
def _(f):
    doomed = f.token()
    with Stream(f.nodes[1], f.client(doomed, node=1)) as b:
        lost = len(f.nodes[1].daemon.events("revocations_unavailable"))
        with f.cut(1):
            f.ctl("token", "revoke", doomed[0])
            f.redis.call("DEL", "tp:events")  # as if it had been trimmed, or lost by a failover
            tap.wait_until(lambda: len(f.nodes[1].daemon.events("revocations_unavailable")) > lost, "the node notices")
        b.ended(f.nodes[1])


@fleet.case("a database that turnadmin has filled: users and shared secrets, as they are; the secret's names can be revoked")
def _(f):
    store = ["-N", "ip=127.0.0.1 port=6379", "-r", daemon.REALM]
    f.net.srv.run(["turnadmin", "-a", *store, "-u", "carol", "-p", "hush"])
    f.net.srv.run(["turnadmin", "-s", "northstar", *store])
    check(f.redis.call("EXISTS", f"turn/realm/{daemon.REALM}/user/carol/key") == 1, "turnadmin has written a user")
    f.client(("carol", "hush")).allocate()
    equal(f.client(("carol", "hash")).refuse_allocate(), 401, "the error with a wrong password")
    soon, later = int(time.time()) + 3600, int(time.time()) + 7200
    names = [rest(f"{soon}:dave", "northstar"), rest(f"{later}:dave", "northstar"), rest(f"{soon}:erin", "northstar")]
    clients = [f.client(c, i=i) for i, c in enumerate(names)]
    for c in clients:
        c.allocate()
    equal(f.client(rest(f"{soon}:dave", "south")).refuse_allocate(), 401, "the error with another secret")
    f.ctl("user", "revoke", "dave", "--before", f"@{later}")
    f.nodes[0].daemon.wait_log(f'event=allocation_deleted user={soon}:dave .*reason="credential revoked"')
    equal(f.client(names[0], i=4).refuse_allocate(), 401, "the error of a revoked name")
    f.client(names[1], i=5).allocate()
    for c in clients[1:]:
        c.refresh()
    f.redis.call("SET", "tp:revoked-names:{zoe}", later)  # no event tells of it
    equal(f.client(rest(f"{soon}:zoe", "northstar"), i=6).refuse_allocate(), 401, "the error of a name whose marker is found")


@fleet.case("two revocations of one user at the same moment: the one that reaches further stays, and is what both tell")
def _(f):
    later = int(time.time()) + 7200
    with f.redis.link() as link, contextlib.ExitStack() as stack:
        known = {c["id"] for c in clients_of(link)}
        link.call("CLIENT", "PAUSE", 60000, "WRITE")  # both have read what there is before either writes
        runs = []
        stack.callback(link.call, "CLIENT", "UNPAUSE")
        for n, before in enumerate((later, later - 3600), start=1):
            runs.append(threading.Thread(target=f.ctl, args=("--offline", "user", "revoke", "frank", "--before", f"@{before}")))
            runs[-1].start()
            tap.wait_until(lambda n=n: sum("b" in c["flags"] and c["id"] not in known for c in clients_of(link)) == n, "it waits to write")
    for r in runs:
        r.join()
    equal(int(f.redis.call("GET", "tp:revoked-names:{frank}")), later, "what stays")
    tap.within(f.redis.call("TTL", "tp:revoked-names:{frank}"), 7100, 7200, "the time for which it stays")
    told = [dict(zip(fields[::2], fields[1::2])) for _, fields in f.redis.call("XRANGE", "tp:events", "-", "+")]
    equal([int(e[b"before"]) for e in told if e[b"name"] == b"frank"], [later] * 2, "what was told")


def clients_of(link):
    return [dict(word.split("=", 1) for word in line.split()) for line in link.call("CLIENT", "LIST").decode().splitlines()]


@fleet.case("S7 S23 names of any characters and records that are no tokens: 401 or 500, and nothing else changes")
def _(f):
    before = f.redis.keys()
    for name in ("%s%n", "a b", "a{b}c", "}{", '"\'\\', "x" * 500, "\u00fc\u4e16"):
        equal(f.client((name, "x")).refuse_allocate(), 401, f"the error of {name!r}")
    f.redis.call("SET", "tp:token:{tstring}", "no hash")
    f.redis.call("HSET", "tp:token:{tshort}", "owner", "x", "realm", daemon.REALM, "md5", "12")
    f.redis.call("SET", f"turn/realm/{daemon.REALM}/user/thex/key", "no hex digits")
    for name in ("tstring", "tshort", "thex"):
        equal(f.client((name, "x")).refuse_allocate(), 500, f"the error of {name}")
    for key in ("tp:token:{tstring}", "tp:token:{tshort}", f"turn/realm/{daemon.REALM}/user/thex/key"):
        f.redis.call("DEL", key)
    equal(f.redis.keys(), before, "the keys")


@fleet.case("a flood of one unknown name is one look-up, and forged nonces are none")
def _(f):
    def five():
        raws = [c.signed(stun.ALLOCATE, [(stun.REQUESTED_TRANSPORT, stun.UDP)]) for _ in range(5)]
        for raw in raws:
            c.send_raw(raw)
        for _ in raws:
            equal(c.receive("an answer").error, 401, "the error")

    def forged():
        c.nonce = c.nonce[:-4] + b"AAAA"
        for i in range(20):
            c.user = f"tforged{i}"
            equal(c.exchange(c.signed(stun.ALLOCATE, [(stun.REQUESTED_TRANSPORT, stun.UDP)])).error, 438, "the error with a forged nonce")

    c = f.client(("tunknown", "x"))
    c.challenge()
    equal(f.redis.asked(("hgetall",), five), {"hgetall": 1}, "look-ups of five requests")
    equal(f.redis.asked(("hgetall",), forged), {"hgetall": 0}, "look-ups with forged nonces")


@tap.group
def configured():
    """Nodes with a shared secret of their own, beside Redis."""
    with contextlib.ExitStack() as stack:
        n = stack.enter_context(S())
        server = stack.enter_context(redis.Server(n.srv, bind="127.0.0.1 127.0.0.2"))
        yield Fleet(stack, n, server, **{"static-auth-secret": SECRET})


@contextlib.contextmanager
def started(f, address):
    """One more node, that reaches Redis by this address."""
    settings = {**f.settings(len(f.nodes)), "redis": f"redis://{address}:6379", "static-auth-secret": SECRET}
    with daemon.Daemon(f.net.srv, settings) as d:
        w = world.World(f.net, d)
        f.nodes.append(w)
        try:
            yield w
        finally:
            f.nodes.remove(w)
            w.close()


def names_of(user):
    """Two names of it, with a time between their ends."""
    now = int(time.time())
    return rest(f"{now + 3600}:{user}", SECRET), rest(f"{now + 7200}:{user}", SECRET), f"@{now + 7200}"


@configured.case("a revoked user part, the secret being the configuration's: its calls end and its names are refused on every node; others are served")
def _(f):
    (doomed, longer, before), (other, _, _) = names_of("dave"), names_of("erin")
    with Stream(f.nodes[0], f.client(doomed)) as a, Stream(f.nodes[1], f.client(doomed, node=1, transport="tcp")) as b:
        f.ctl("user", "revoke", "dave", "--before", before)
        watch = f.watch()
        a.ended(f.nodes[0])
        b.ended(f.nodes[1])
        watch.within(REVOKED_S, "from the command's end to the last packet", max(a.last, b.last))
    f.heard("credential_revoked", "dave")
    for node in range(2):
        for i in range(4):  # of several workers
            equal(f.client(doomed, node=node, i=i).refuse_allocate(), 401, f"the error on node {node}")
        f.client(longer, node=node, i=4).allocate()
        f.client(other, node=node, i=5).allocate()


@configured.case("a node that starts later knows whose names were revoked before, and nothing else of what has happened")
def _(f):
    doomed, longer, before = names_of("frank")
    early, late = f.token(), f.token()
    f.ctl("token", "revoke", early[0])
    f.redis.call("XADD", "tp:events", "*", "kind", "revoke", "name", "over", "before", int(time.time()) - 1)
    for _ in range(600):  # more than one answer brings
        f.redis.call("XADD", "tp:events", "*", "kind", "policy")
    f.ctl("user", "revoke", "frank", "--before", before)
    with started(f, "127.0.0.1") as w:
        w.daemon.wait_log("event=credential_revoked user=frank ")
        for i in range(4):
            equal(f.client(doomed, node=2, i=i).refuse_allocate(), 401, "the error on the new node")
        f.client(longer, node=2, i=4).allocate()
        f.ctl("token", "revoke", late[0])
        w.daemon.wait_log(f"event=credential_revoked user={late[0]} ")
        told = {e["user"] for e in w.daemon.events("credential_revoked")}
        check("frank" in told and not told & {early[0], "over"}, f"told: {told}")


@configured.case("F1 a node that starts without Redis serves a revoked name, and ends its call when Redis is there")
def _(f):
    doomed, _, before = names_of("grace")
    f.ctl("user", "revoke", "grace", "--before", before)
    with contextlib.ExitStack() as cut:
        cut.enter_context(f.cut(1))
        with started(f, "127.0.0.2") as w, Stream(w, f.client(doomed, node=2)) as a:
            cut.close()
            a.ended(w)
            equal(f.client(doomed, node=2, i=3).refuse_allocate(), 401, "the error when Redis is there")


@configured.case("a token that is revoked before a node has begun to read the events: its call ends when it does")
def _(f):
    doomed = f.token()
    f.redis.call("ACL", "SETUSER", "default", "-xrevrange")
    try:
        with started(f, "127.0.0.1") as w, Stream(w, f.client(doomed, node=2)) as a:
            f.ctl("token", "revoke", doomed[0])
            before = a.count
            tap.wait_until(lambda: a.count > before + 20, "the call goes on where nobody knows")
            f.redis.call("ACL", "SETUSER", "default", "+xrevrange")
            a.ended(w)
    finally:
        f.redis.call("ACL", "SETUSER", "default", "+xrevrange")


@configured.case("F2 Redis dies: whose names were revoked is refused all the same, others of the secret are served")
def _(f):
    (doomed, longer, before), (other, _, _) = names_of("heidi"), names_of("ivan")
    f.ctl("user", "revoke", "heidi", "--before", before)
    for w in f.nodes:
        w.daemon.wait_log("event=credential_revoked user=heidi ")
    told = [len(w.daemon.events("redis_unavailable")) for w in f.nodes]
    f.redis.kill()
    for node, w in enumerate(f.nodes):
        tap.wait_until(lambda w=w, n=told[node]: len(w.daemon.events("redis_unavailable")) > n, "the node notices")
        equal(f.client(doomed, node=node).refuse_allocate(), 401, f"the error on node {node} without Redis")
        f.client(longer, node=node, i=1).allocate()
        f.client(other, node=node, i=2).allocate()


@tap.group
def lonely():
    """One node whose Redis the cases start and stop."""
    with contextlib.ExitStack() as stack:
        n = stack.enter_context(S())
        server = stack.enter_context(redis.Server(n.srv, bind="127.0.0.1 127.0.0.2", up=False))
        yield Fleet(stack, n, server)


@lonely.case("F1 Redis down at the start: Binding works, an Allocate is 500 after a bounded wait; when Redis comes, all is well")
def _(f):
    c = f.client(("tanybody", "x"))
    equal(c.exchange(stun.encode(stun.BINDING, stun.REQUEST)).cls, stun.SUCCESS, "the class of the answer")
    f.nodes[0].daemon.wait_log('event=redis_unavailable reason="127.0.0.1:6379: cannot connect: Connection refused"')
    start = time.monotonic()
    equal(c.refuse_allocate(), 500, "the error without Redis")
    check(time.monotonic() - start < LOOKUP_S + tap.PATIENCE_S / 2, "the answer took too long")
    f.redis.start()
    f.nodes[0].daemon.wait_log("event=redis_ready")
    f.client(f.token()).allocate()


@lonely.case("F2 Redis dies during calls: media goes on, who is known refreshes, who is new gets 500; it comes back and serves")
def _(f):
    known, new = f.token(), f.token()
    c = f.client(known)
    c.allocate()
    with call.Call(f.nodes[0], f.client(known, i=2)) as talk:
        f.redis.kill()
        talk.go_on()
        c.refresh()
        equal(f.client(new, i=3).refuse_allocate(), 500, "the error of who is new")
        talk.go_on()
        ready = len(f.nodes[0].daemon.events("redis_ready"))
        f.redis.start()
        fresh = f.token()
        tap.wait_until(lambda: len(f.nodes[0].daemon.events("redis_ready")) >= ready + 2, "both workers have their connections")
        f.client(fresh, i=4).allocate()
        talk.go_on()


@lonely.case("F3 F6 Redis says nothing: new ones get 500 at the deadline, calls go on; it speaks again and serves")
def _(f):
    known, new = f.token(), f.token()
    with call.Call(f.nodes[0], f.client(known)) as talk:
        f.redis.pause()
        equal(f.client(new, i=3).refuse_allocate(), 500, "the error at the deadline")
        talk.go_on()
        f.redis.go_on()
        tap.wait_until(lambda: f.client(new, i=4).request(stun.ALLOCATE, (stun.REQUESTED_TRANSPORT, stun.UDP)).cls == stun.SUCCESS, "it serves again")
        talk.go_on()


tap.main()
