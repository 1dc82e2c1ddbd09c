#!/usr/bin/env python3
"""What narrows a realm in Redis: a token's own peers; coturn's options of the realm, as turnadmin writes them, and its lists of peers; and what is told of allocations, as coturn tells it."""
import contextlib
import hashlib
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import client, daemon, net, redis, tap  # noqa: E402 # pylint: disable=wrong-import-position
from lib.meter import passed_most  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tap import check, equal  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tokens import Fleet, rest  # noqa: E402 # pylint: disable=wrong-import-position

tap.need("redis-server", "turnadmin", "turnserver")
net.need_namespaces()
daemon.need_daemon()

S = net.Standard


@tap.group
def tokens():
    with contextlib.ExitStack() as stack:
        n = stack.enter_context(S())
        server = stack.enter_context(redis.Server(n.srv, bind="127.0.0.1 127.0.0.2"))
        yield Fleet(stack, n, server)


@tokens.case("C57 C66 a token's own peers: 403 for all others, and each packet by its port, up and down, over UDP and TCP")
def _(f):
    w = f.nodes[0]
    peer, other, elsewhere = w.peer(), w.peer(), w.peer(S.PEER_2)
    token = f.token("--allow-peer", f"{peer.address[0]}:{peer.address[1]}/udp", "--allow-peer", "10.0.0.0/8")
    for transport in ("udp", "tcp"):
        c = f.client(token, transport=transport)
        c.allocate()
        equal(c.denied(elsewhere.address), (403, 403), "another address")
        equal(c.denied(other.address), (None, 403), "another port")
        equal(c.denied(("10.0.0.1", 9)), (403, 403), "what the token lists and the server denies")
        equal(c.denied(c.relayed[0]), (403, 403), "a relayed address")
        c.bind(0x4000, peer.address)
        c.send_channel(0x4000, b"up")
        peer.expect(b"up", c.relayed[0])
        c.send_to(other.address, b"never")
        c.send_to(peer.address, b"sent")
        peer.expect(b"sent", c.relayed[0])
        other.send(b"never", c.relayed[0])
        elsewhere.send(b"never", c.relayed[0])
        peer.send(b"down", c.relayed[0])
        c.expect_channel(0x4000, b"down")
        c.refresh(0)
    w.daemon.wait_log(f'event=peer_denied peer={elsewhere.address[0]}:{elsewhere.address[1]} entry="the credential\'s peers" user={token[0]}')


@tokens.case("C83 a token's own peers: another client of this server is reached, and reaches, when its relayed address is listed")
def _(f):
    friend, stranger = f.client(f.token()), f.client(f.token(), i=1)
    friend.allocate()
    stranger.allocate()
    c = f.client(f.token("--allow-peer", f"{S.RELAY}:{friend.relayed[0][1]}"), i=2)
    c.allocate()
    equal(c.denied(stranger.relayed[0]), (None, 403), "another client's relayed address")
    c.bind(0x4000, friend.relayed[0])
    for x in (friend, stranger):
        x.bind(0x4000, c.relayed[0])
    c.send_channel(0x4000, b"out")
    friend.expect_channel(0x4000, b"out")
    stranger.send_channel(0x4000, b"never")
    stranger.exchange_binding()
    friend.send_channel(0x4000, b"in")
    c.expect_channel(0x4000, b"in")


@tokens.case("a token whose peers can't be read: refused when it is issued, 500 when it is used")
def _(f):
    said = f.ctl("token", "issue", "--owner", "acme", "--allow-peer", "10.0.0.1", "--allow-peer", "10.0.0.0/33", status=2)
    check("peers: 10.0.0.0/33: an address, CIDR or range is expected" in said, said)
    token = f.token()
    f.redis.call("HSET", f"tp:token:{{{token[0]}}}", "peers", "10.0.0.1 nonsense")
    equal(f.client(token).refuse_allocate(), 500, "the error")
    f.nodes[0].daemon.wait_log(f'event=request_refused method=Allocate code=500 reason="the credential\'s peers can\'t be read" user={token[0]}')


STORE = ["-N", "ip=127.0.0.1 port=6379", "-r", daemon.REALM]
REALM = f"turn/realm/{daemon.REALM}"
COTURN_PORT = 3490
STATUS_S = 2.2  # the deadline of a status event, and a little
PERIOD_S = 4.5  # a look follows the one before after five seconds


class Realm:
    """A node and coturn, which read the same database, filled by turnadmin. Entries of the realm are written as its own manual says."""

    def __init__(self, stack, n, server):
        self.net, self.redis = n, server
        n.srv.run(["turnadmin", "-a", *STORE, "-u", "carol", "-p", "hush"])
        n.srv.run(["turnadmin", "-a", *STORE, "-u", "dave", "-p", "quiet"])
        n.srv.run(["turnadmin", "-s", "northstar", *STORE])
        self.fleet = Fleet(stack, n, server, **{"user-quota": 5, "denied-peer-ip": S.PEER_2})
        self.node = self.fleet.nodes[0]
        self.nodes = [w.daemon for w in self.fleet.nodes]

    def client(self, i=0, user="carol", password="hush", **kw):
        return self.node.client(i, user=user, password=password, **kw)

    def options(self, **fields):
        """Wait until the nodes say that these hold."""
        want = " ".join(f"{k}={v}" for k, v in fields.items())
        for d in self.nodes:
            d.wait_log(f"event=realm_options realm={daemon.REALM} {want}")

    def change(self, *commands):
        """Change the database, all at once (a look may come at any time), and tell the nodes."""
        with self.redis.link() as link:
            for c in (("MULTI",), *commands, ("EXEC",)):
                link.call(*c)
        self.redis.call("XADD", "tp:events", "*", "kind", "policy")

    def changed(self, *commands):
        """The same, until the nodes have taken it."""
        before = [len(d.events("realm_options")) for d in self.nodes]
        self.change(*commands)
        for d, n in zip(self.nodes, before):
            tap.wait_until(lambda d=d, n=n: len(d.events("realm_options")) > n, "the nodes have read it")


@contextlib.contextmanager
def coturn(n, *options):
    directory = daemon.Directory()
    log_path = directory.file("log")
    command = ["turnserver", "-n", "-L", S.SERVER, "-p", str(COTURN_PORT), "-E", S.RELAY, "-a", "-r", daemon.REALM, "-m", "1", "--no-cli"]
    command += ["--no-tls", "--no-dtls", "--redis-userdb", "ip=127.0.0.1 port=6379", "--log-file", "stdout", "--simple-log"]
    with open(log_path, "wb") as log:
        p = n.srv.popen([*command, "--pidfile", directory.file("pid"), *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        tap.wait_until(lambda: f":{COTURN_PORT} " in n.srv.run(["ss", "-Huln"]), "coturn listens", process=p)
        yield (S.SERVER, COTURN_PORT)
    finally:
        p.kill()
        p.wait()
        directory.__exit__()


@tap.group
def realm():
    with contextlib.ExitStack() as stack:
        n = stack.enter_context(S())
        server = stack.enter_context(redis.Server(n.srv, bind="127.0.0.1 127.0.0.2"))
        yield Realm(stack, n, server)


@realm.case("a database that turnadmin has filled: a user's key and a shared secret give what they give at coturn's")
def _(r):
    until = int(time.time()) + 3600
    good = [("carol", "hush"), ("dave", "quiet")]
    bad = [("carol", "quiet"), ("erin", "hush"), rest(f"{until}:erin", "south")]
    with coturn(r.net) as where:
        for i, (user, password) in enumerate([*good, *bad]):
            ours = r.client(i, user, password)
            theirs = client.Client(r.net.cli, r.net.client_ip(i), where, user=user, password=password)
            if (user, password) in good:
                ours.allocate()
                theirs.allocate()
                ours.refresh(0)
            else:
                equal((ours.refuse_allocate(), theirs.refuse_allocate()), (401, 401), f"the errors of {user}")
            theirs.close()
    user, password = rest(f"{until}:erin", "northstar")
    with coturn(r.net, "--use-auth-secret") as where:
        ours = r.client(6, user, password)
        ours.allocate()
        ours.refresh(0)
        with client.Client(r.net.cli, r.net.client_ip(7), where, user=user, password=password) as theirs:
            theirs.allocate()


@realm.case("C48 the realm's quotas, as turnadmin sets them: the smaller of those and ours is in force, on a reload too, and they end again")
def _(r):
    r.net.srv.run(["turnadmin", "-g", *STORE, "--user-quota", "2", "--total-quota", "3", "--max-bps", "10000"])
    r.options(max_bps=80000, user_quota=2, total_quota=3)
    carol = [r.client(i) for i in range(3)]
    for c in carol[:2]:
        c.allocate()
    equal(carol[2].refuse_allocate(), 486, "the error of the user's third")
    reloads = len(r.node.daemon.events("reloaded"))
    r.node.daemon.kill(1)
    tap.wait_until(lambda: len(r.node.daemon.events("reloaded")) > reloads, "it has read its configuration again")
    equal(carol[2].refuse_allocate(), 486, "the error after a reload")
    dave = [r.client(i, "dave", "quiet") for i in range(3, 5)]
    dave[0].allocate()
    equal(dave[1].refuse_allocate(), 300, "the error of the realm's fourth: the other node has room")
    r.net.srv.run(["turnadmin", "-g", *STORE, "--user-quota", "9", "--total-quota", "0", "--max-bps", "0"])
    r.options(max_bps=0, user_quota=9, total_quota=0)
    carol += [r.client(i) for i in range(5, 8)]
    for c in carol[2:5]:
        c.allocate()
    equal(carol[5].refuse_allocate(), 486, "the error of the user's sixth, by the configuration")
    for c in carol[:5] + dave[:1]:
        c.refresh(0)


@realm.case("C48 the realm's max-bps counts bytes, as coturn's does: bits here, and it holds for calls that go on")
def _(r):
    peer = r.node.peer()
    c = r.client()
    c.allocate()
    c.bind(0x4000, peer.address)
    r.changed(("SET", f"{REALM}/max-bps", 20000))
    r.options(max_bps=160000)
    start = time.monotonic()
    for i in range(200):
        c.send_channel(0x4000, b"%03d" % i + bytes(997))
    c.exchange_binding()
    r.changed(("DEL", f"{REALM}/max-bps"))
    c.send_channel(0x4000, b"calm")
    got = 0
    while peer.receive().data != b"calm":
        got += 1
    tap.within(got, 60, passed_most(start, 20), "packets of 200 that came up")
    c.refresh(0)


@realm.case("S1 C57 the realm's peers and the configuration's make one list: the longest prefix decides, at equal length deny; calls that go on obey")
def _(r):
    peer, second, elsewhere = r.node.peer(), r.node.peer(), r.node.peer(S.PEER_2)
    c = r.client()
    c.allocate()
    c.bind(0x4000, peer.address)
    equal(c.denied(elsewhere.address), (403, 403), "what the configuration denies")
    r.changed(("SADD", f"{REALM}/denied-peer-ip", f"{S.PEER}-{S.PEER}"))
    c.send_channel(0x4000, b"never")
    peer.send(b"never", c.relayed[0])
    equal(c.denied(peer.address), (403, 403), "what the realm denies")
    r.node.daemon.wait_log(f"event=peer_denied peer={peer.address[0]}:[0-9]+ entry=\"denied-peer-ip={S.PEER}/32 [(]realm[)]\"")
    r.changed(("SADD", f"{REALM}/allowed-peer-ip", S.PEER, f"{S.PEER_2}-{S.PEER_2}"))  # as long as what denies them
    equal((c.denied(peer.address), c.denied(elsewhere.address)), ((403, 403), (403, 403)), "at equal length")
    start = time.monotonic()
    r.changed(("SREM", f"{REALM}/denied-peer-ip", f"{S.PEER}-{S.PEER}"), ("SADD", f"{REALM}/denied-peer-ip", f"{S.PEER}:{second.address[1]}", "203.0.113.0/24"))
    check(time.monotonic() - start < PERIOD_S, "the event was not heeded: the change was seen by the next look")
    c.send_channel(0x4000, b"again")
    peer.expect(b"again", c.relayed[0])
    peer.send(b"back", c.relayed[0])
    c.expect_channel(0x4000, b"back")
    equal(c.denied(second.address), (None, 403), "a port that the realm denies")
    equal(c.denied(("10.0.0.1", 9)), (403, 403), "what nobody has opened")
    r.changed(("SADD", f"{REALM}/allowed-peer-ip", "10.0.0.0/24"))
    c.permit("10.0.0.1")
    r.changed(("DEL", f"{REALM}/allowed-peer-ip", f"{REALM}/denied-peer-ip"))
    equal(c.denied(("10.0.0.1", 9)), (403, 403), "what is closed again")
    c.refresh(0)


@realm.case("the realm's peers in coturn's own form are judged as coturn judges them")
def _(r):
    r.changed(("SADD", f"{REALM}/denied-peer-ip", "11.0.0.12-11.0.0.15"), ("SADD", f"{REALM}/allowed-peer-ip", "11.0.0.12"))
    with coturn(r.net) as where:
        ours, theirs = r.client(), client.Client(r.net.cli, r.net.client_ip(9), where, user="carol", password="hush")
        ours.allocate()
        theirs.allocate()
        for ip in (S.PUBLIC, "11.0.0.12", "11.0.0.13", "11.0.0.15", "11.0.0.16"):
            equal(ours.denied((ip, 9))[0], theirs.denied((ip, 9))[0], f"what ours says of {ip}, and coturn's")
        theirs.close()
    r.changed(("DEL", f"{REALM}/allowed-peer-ip", f"{REALM}/denied-peer-ip"))
    ours.refresh(0)


@realm.case("F17 what can't be read is told with its text, and what was there before stays; the rest holds")
def _(r):
    c = r.client()
    c.allocate()
    r.changed(("SADD", f"{REALM}/denied-peer-ip", S.PEER))
    r.change(("SADD", f"{REALM}/denied-peer-ip", "10.0.0.0/33"), ("SREM", f"{REALM}/denied-peer-ip", S.PEER), ("SET", f"{REALM}/max-bps", 5000))
    for d in r.nodes:
        d.wait_log("event=peers_refused source=realm reason=\"peer entry '10.0.0.0/33' can't be read")
    r.options(max_bps=40000)
    equal(c.denied((S.PEER, 9)), (403, 403), "what was denied before")
    r.changed(("SREM", f"{REALM}/denied-peer-ip", "10.0.0.0/33"))
    c.permit(S.PEER)
    for key, command, why in (
        ("max-bps", ("SET", f"{REALM}/max-bps", "%s\n5"), "'%s\\\\n5' is no number, or too large"),
        ("user-quota", ("SET", f"{REALM}/user-quota", "4294967296"), "'4294967296' is no number, or too large"),
        ("total-quota", ("SADD", f"{REALM}/total-quota", "1"), "WRONGTYPE"),
        ("allowed-peer-ip", ("SET", f"{REALM}/allowed-peer-ip", "10.0.0.1"), "WRONGTYPE"),
        ("denied-peer-ip", ("SADD", f"{REALM}/denied-peer-ip", *[f"10.0.{i // 256}.{i % 256}" for i in range(1025)]), "more than 1024 entries"),
    ):
        r.changed(command)
        for d in r.nodes:
            d.wait_log(f'event=realm_option_refused reason="{REALM}/{key}: {why}')
            equal(d.events("realm_options")[-1]["max_bps"], "40000" if key == "max-bps" else "0", f"max-bps with {key} unread")
        r.changed(("DEL", f"{REALM}/{key}"))
    r.change(("DEL", f"{REALM}/max-bps"))
    c.permit(S.PEER)
    c.refresh(0)


@realm.case("F2 Redis away: the options of the realm that were known last stay; a change meanwhile is seen when it is back, without a word")
def _(r):
    r.changed(("SADD", f"{REALM}/denied-peer-ip", S.PEER))
    c = r.client()
    c.allocate()
    before = [len(d.events("realm_options")) for d in r.nodes]
    r.redis.kill()
    tap.wait_until(lambda: len(r.node.daemon.events("revocations_unavailable")) > 0, "the node notices")
    equal(c.denied((S.PEER, 9)), (403, 403), "what was denied before")
    r.redis.start()  # as empty as it was at first
    for d, n in zip(r.nodes, before):
        tap.wait_until(lambda d=d, n=n: len(d.events("realm_options")) > n, "the nodes have read it")
    c.permit(S.PEER)


class Listener:
    """What is published about allocations, in order, and the keys that are there."""

    def __init__(self, stack, n, server):
        self.redis, self.link = server, stack.enter_context(redis.Link(n.srv, server.socket))
        self.link.call("PSUBSCRIBE", f"{REALM}/user/*/allocation/*")

    def take(self, count):
        """The next ones: (user, id, last part, text)."""
        got = []
        for _ in range(count):
            _, _, channel, text = (x.decode() for x in self.link._read())
            user, rest_of = channel[len(f"{REALM}/user/") :].split("/allocation/")
            number, last = rest_of.split("/", 1)
            got.append((user, number, last, text))
        return got

    def keys(self):
        found = {}
        for key in self.redis.call("KEYS", f"{REALM}/user/*/allocation/*"):
            found[key.decode()] = (self.redis.call("GET", key).decode(), self.redis.call("TTL", key))
        return found


class Told:
    def __init__(self, stack, n, server):
        self.net, self.redis = n, server
        for user, password in (("carol", "hush"), ("dave", "quiet")):
            n.srv.run(["turnadmin", "-a", *STORE, "-u", user, "-p", password])
        self.fleet = Fleet(stack, n, server, **{"redis-statsdb": "ip=127.0.0.1 port=6379 connect_timeout=3"})
        self.node = self.fleet.nodes[0]
        self.node.daemon.wait_log("event=status_ready")
        self.listener = Listener(stack, n, server)


@tap.group
def told():
    with contextlib.ExitStack() as stack:
        n = stack.enter_context(S())
        server = stack.enter_context(redis.Server(n.srv, bind="127.0.0.1 127.0.0.2"))
        yield Told(stack, n, server)


def call_of(t, where, i, transport, v6=False, user="carol", password="hush"):
    """Allocate, relay, refresh, end; what was told of it, with what differs between two calls made equal."""
    peer = t.node.peer()
    c = client.Client(t.net.cli, t.net.client_ip(i), where, transport, user=user, password=password)
    c.allocate()
    keys = [t.listener.take(1), t.listener.keys()]
    c.bind(0x4000, peer.address)
    for _ in range(5):
        c.send_channel(0x4000, bytes(100))
        peer.expect(bytes(100))
    for _ in range(3):
        peer.send(bytes(52), c.relayed[0])
        c.expect_channel(0x4000, bytes(52))
    c.refresh(700)
    keys += [t.listener.take(1), t.listener.keys()]
    c.refresh(0)
    told_last = t.listener.take(6)
    tap.wait_until(lambda: not t.listener.keys(), "the key is deleted")
    c.close()
    number = told_last[0][1]
    ttl = [next(iter(k.values()))[1] for k in (keys[1], keys[3])]

    def plain(x):
        return repr(x).replace(number, "ID").replace(f":{c.address[1]},", ":PORT,").replace(f":{where[1]},", ":3478,").replace(c.address[0], "CLIENT")

    lines = [plain(x) for x in keys[0] + keys[2] + told_last]
    return lines, [plain(list(k.items())[0][0]) for k in (keys[1], keys[3])], [list(k.values())[0][0].split(",")[0] for k in (keys[1], keys[3])], ttl, number


@told.case("status events are coturn's, text for text: made, refreshed, ended, over UDP and TCP")
def _(t):
    with coturn(t.net, "--redis-statsdb", "ip=127.0.0.1 port=6379") as where:
        for i, (transport, user, password) in enumerate((("udp", "carol", "hush"), ("tcp", "carol", "hush"), ("udp", "dave", "quiet"))):
            ours = call_of(t, (t.node.server, t.node.daemon.port()), i, transport, user=user, password=password)
            theirs = call_of(t, where, i + 5, transport, user=user, password=password)
            traffic = [k for k, line in enumerate(theirs[0]) if "traffic'" in line]  # the client's side: coturn counts requests and heads, too
            for k, (a, b) in enumerate(zip(ours[0], theirs[0], strict=True)):
                equal(re.sub(r"\d+", "N", a) if k in traffic else a, re.sub(r"\d+", "N", b) if k in traffic else b, f"event {k}, and coturn's")
            check(all("rcvp=5, rcvb=500, sentp=3, sentb=156" in ours[0][k] for k in traffic), f"the client's traffic: {ours[0]}")
            equal(ours[1:3], theirs[1:3], "the keys, and what coturn's hold")
            equal(len(ours[4]), len(theirs[4]), "the digits of an id")
            tap.within(ours[3][0], 600, 660, "seconds that the first key lives")
            tap.within(ours[3][1], 700, 760, "seconds that the second key lives")


@told.case("S7 status events of names of any characters")
def _(t):
    for user in ('a %s%n "b"', "turn/realm/x", "}{\\", "\u00fc\u4e16"):
        t.redis.call("SET", f"{REALM}/user/{user}/key", hashlib.md5(f"{user}:{daemon.REALM}:x".encode()).hexdigest())
        c = t.fleet.client((user, "x"))
        c.allocate()
        equal(t.listener.take(1)[0][::2], (user, "status"), "what was told")
        c.refresh(0)
        equal({x[0] for x in t.listener.take(6)}, {user}, "whose end was told")


@told.case("status events: a stream that closes, a lifetime that ends, and a token that is revoked end what was told; ids are each allocation's own")
def _(t):
    token = t.fleet.token()
    a, b = t.fleet.client(token), t.fleet.client(token, node=1, transport="tcp")
    a.allocate()
    (first,) = t.listener.take(1)
    b.allocate()
    (second,) = t.listener.take(1)
    check(first[1] != second[1] and first[0] == second[0] == token[0], f"{first}, {second}")
    equal(len(t.listener.keys()), 2, "the number of keys")
    b.close()
    equal([x[1:4:2] for x in t.listener.take(5) if x[2] == "status"], [(second[1], "deleted")], "what ends with the stream")
    t.fleet.ctl("token", "revoke", token[0])
    equal([x[1:4:2] for x in t.listener.take(5) if x[2] == "status"], [(first[1], "deleted")], "what ends with the token")
    tap.wait_until(lambda: not t.listener.keys(), "the keys are deleted")


@told.case("status events: a node that is stopped tells the end of all that it had")
def _(t):
    with contextlib.ExitStack() as stack:
        d = stack.enter_context(
            daemon.Daemon(t.net.srv, {**t.fleet.settings(2), "redis": "redis://127.0.0.1:6379", "redis-statsdb": "ip=127.0.0.1 port=6379"})
        )
        d.wait_log("event=status_ready")
        clients = [client.Client(t.net.cli, t.net.client_ip(i % 8), (S.SERVER, d.port()), user="carol", password="hush") for i in range(40)]
        for c in clients:
            stack.callback(c.close)
            c.allocate()
        made = {x[1] for x in t.listener.take(len(clients))}
        equal(len(t.listener.keys()), len(clients), "the number of keys")
        d.stop(seconds=2.0 if not tap.SANITIZER else daemon.STOP_S)
        last = t.listener.take(5 * len(clients))
        equal({x[1] for x in last if x[2:] == ("status", "deleted")}, made, "whose end was told")
        tap.wait_until(lambda: not t.listener.keys(), "the keys are deleted")


@told.case("F2 status events: without Redis no request waits; what it does not take in time is lost and counted, and the rest comes")
def _(t):
    c = t.fleet.client(t.fleet.token())
    c.allocate()
    t.listener.take(1)
    t.redis.pause()
    start = time.monotonic()
    for _ in range(5):
        c.refresh()
    check(time.monotonic() - start < tap.PATIENCE_S / 2, "requests waited")
    t.redis.go_on()
    c.refresh(0)
    texts = []
    while not texts or texts[-1] != "deleted":
        texts += [x[3] for x in t.listener.take(1)]
    c.allocate()
    t.redis.kill()
    t.node.daemon.wait_log("event=status_unavailable")
    c.refresh()
    start = time.monotonic()
    tap.wait_until(lambda: time.monotonic() > start + STATUS_S, "it is too old to be told")
    t.redis.start()
    t.node.daemon.wait_log("event=status_ready lost=[1-9]")


tap.main()
