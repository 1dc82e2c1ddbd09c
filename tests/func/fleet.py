#!/usr/bin/env python3
"""Three nodes and one Redis: quotas of the fleet, nodes that die, drain and are full, and what is left of it without Redis."""
import contextlib
import json
import os
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import daemon, net, redis, redissets, stun, tap, tokens  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tap import check, equal  # noqa: E402 # pylint: disable=wrong-import-position

tap.need("redis-server", "nft")
net.need_namespaces()
daemon.need_daemon()

S = net.Standard
NODES = 3
UDP = (stun.REQUESTED_TRANSPORT, stun.UDP)
DEAD_S = 5  # a dead node's record and its shares live for so long
SLACK_S = 4 if not tap.SANITIZER else 10
AT_ONCE_S = 1.0 if not tap.SANITIZER else 5.0  # for what is not told with the next round
DRAIN_S = 6.0 if not tap.SANITIZER else 30.0  # from the command to the node that drains: it looks each second


class Fleet(tokens.Fleet):
    def __init__(self, stack, n, server, **more):
        super().__init__(stack, n, server, count=NODES, **more)
        for i in range(NODES):
            self.wait_nodes(i)

    def settings(self, i):
        return {**super().settings(i), "node-id": f"n{i}"}

    def wait_nodes(self, i):
        """Node i knows the others."""
        tap.wait_until(lambda: len(self.nodes[i].daemon.events("node_up")) >= NODES - 1, f"node {i} knows the others")

    def listed(self):
        return {n["id"]: n for n in json.loads(self.ctl("nodes", "--json"))}

    def wait_states(self, **states):
        """What a node has said of itself is there with its next beat."""
        tap.wait_until(lambda: {i: n["state"] for i, n in self.listed().items()} == states, f"the nodes are {states}")

    def share(self, owner, node):
        """What a node holds of an owner, as Redis has it."""
        value = self.redis.call("GET", f"tp:quota:{{{owner}}}:n{node}")
        return int(value.split()[0]) if value else 0

    def ice(self, *options):
        """The hosts and ports that a list of ICE servers names, and its credentials."""
        servers = json.loads(self.ctl("ice-servers", *options))["iceServers"]
        turn = servers[1]
        return {int(u.split("?")[0].rsplit(":", 1)[1]) for s in servers for u in s["urls"]}, (turn["username"], turn["credential"])

    @contextlib.contextmanager
    def draining(self, i):
        d = self.nodes[i].daemon
        before = len(d.events("draining")), len(d.events("drain_ended"))
        start = time.monotonic()
        self.ctl("drain", "--node", f"n{i}")
        tap.wait_until(lambda: len(d.events("draining")) > before[0], "the node drains")
        took = time.monotonic() - start
        print(f"# from the command to the node that drains: {took * 1000:.0f} ms")
        try:
            check(took < DRAIN_S, f"it took {took:.2f} s")
            yield
        finally:
            self.ctl("drain", "--node", f"n{i}", "--off")
            tap.wait_until(lambda: len(d.events("drain_ended")) > before[1], "the node drains no more")

    def allocated(self, clients):
        """Allocates of all at the same moment: those who got one; the others were refused with 486."""
        raws = [(c, c.signed(stun.ALLOCATE, [UDP])) for c in clients]
        for c, raw in raws:
            c.send_raw(raw)
        answers = [(c, c.answer(raw[8:20])) for c, raw in raws]
        for c, a in answers:
            check(a.verify(c.key) and (a.cls == stun.SUCCESS or a.error == 486), f"{a} is neither a success nor 486")
        return [c for c, a in answers if a.cls == stun.SUCCESS]


@tap.group
def fleet():
    with contextlib.ExitStack() as stack:
        n = stack.enter_context(S())
        server = stack.enter_context(redis.Server(n.srv, bind="127.0.0.1 127.0.0.2 127.0.0.3"))
        yield Fleet(stack, n, server)


@fleet.case("C48 an owner's limit holds for all nodes together, and what has ended is free for the others at once")
def _(f):
    few = f.token("--max-allocations", "3", owner="few")
    clients = [f.client(few, node=i % NODES, i=i, transport="tcp" if i == 4 else "udp") for i in range(5)]
    for c in clients[:3]:
        c.allocate()
    for c in clients[3:]:
        equal(c.refuse_allocate(), 486, "the error of the fourth and fifth")
    equal([f.share("few", i) for i in range(NODES)], [1, 1, 1], "what the nodes hold")
    clients[0].refresh()
    watch = f.watch()
    clients[1].refresh(0)
    tap.wait_until(lambda: f.share("few", 1) == 0, "the end has been told")
    watch.within(AT_ONCE_S, "until the end was told")
    clients[3].allocate()
    equal(clients[4].refuse_allocate(), 486, "the error of the fifth")
    free = f.token(owner="free")
    for i in range(NODES):
        f.client(free, node=i, i=6).allocate()
    equal(f.redis.call("KEYS", "tp:quota:{free}*"), [], "keys of an owner without a limit")


@fleet.case("C48 Allocates at the same moment on all nodes: exactly as many as the limit says")
def _(f):
    limit = 4
    for round_number in range(5):
        t = f.token("--max-allocations", str(limit), owner=f"race{round_number}")
        clients = [f.client(t, node=i % NODES, i=i) for i in range(3 * NODES)]
        for c in clients:
            c.challenge()
        got = f.allocated(clients)
        equal(len(got), limit, f"allocations of {len(clients)} clients in round {round_number}")
        for c in got:
            c.refresh(0)


@fleet.case("C48 owners of any name have their limit, too")
def _(f):
    for owner in ("a b", "{a}", "}x", "%n", "\u00fc:1"):
        t = f.token("--max-allocations", "1", owner=owner)
        f.client(t).allocate()
        equal(f.client(t, node=1).refuse_allocate(), 486, f"the error of the second of {owner!r}")


def alternate(answer):
    """Port of ALTERNATE-SERVER, whose address is the server's."""
    value = answer.get(stun.ALTERNATE_SERVER)
    equal((value[:2], socket.inet_ntoa(value[4:])), (b"\0\1", S.SERVER), "family and address of ALTERNATE-SERVER")
    return int.from_bytes(value[2:4], "big")


@fleet.case("F20 C34 a node that drains sends new clients to another one that does not, goes on with what it has, and takes new ones again")
def _(f):
    t = f.token(owner="drained")
    old, late = f.client(t), f.client(t, i=1, transport="tcp")
    old.allocate()
    with f.draining(0):
        f.wait_states(n0="draining", n1="serving", n2="serving")
        a = late.request(stun.ALLOCATE, UDP)
        equal(a.error, 300, "the error of a new one")
        check(a.signed(), "C34: it is not signed")
        port = alternate(a)
        check(port in (3479, 3480), f"the other server is on port {port}")
        f.client(t, node=port - 3478, i=2).allocate()
        old.refresh()
        old.permit(S.PEER)
        tap.wait_until(lambda: 3478 not in f.ice()[0], "no list of ICE servers names the node that drains")
        with f.draining(1), f.draining(2):
            tap.wait_until(lambda: late.refuse_allocate() == 508, "the error when all drain is 508")
            tap.wait_until(lambda: "no node" in f.run_ctl("ice-servers")[2], "there is no list of ICE servers without a node")
    late.allocate()


@fleet.case("a list of ICE servers: nodes and a token that serves there until it ends")
def _(f):
    f.wait_states(n0="serving", n1="serving", n2="serving")
    tap.wait_until(lambda: len(f.ice()[0]) == 2, "a list of two nodes")
    ports, credentials = f.ice("--ttl", "1h", "--owner", "page")
    check(len(ports) == 2 and ports < {3478, 3479, 3480}, f"the list names {ports}")
    for port in ports:
        check(0 < f.client(credentials, node=port - 3478).allocate().lifetime <= 3600, "the lifetime")
    shown = json.loads(f.ctl("token", "show", credentials[0], "--json"))
    equal((shown["owner"], shown["scope"]), ("page", "turn"), "owner and scope of its token")
    check(shown["expires_at"] - shown["issued_at"] == 3600, "its end")


@fleet.case("a node that is stopped takes its record and shares with it; one that is killed leaves them for their TTL")
def _(f):
    t = f.token("--max-allocations", "2", owner="mortal")
    f.client(t, node=1).allocate()
    f.client(t, node=2).allocate()
    equal(f.client(t).refuse_allocate(), 486, "the error of the third")
    f.nodes[1].daemon.stop()
    equal(f.redis.call("EXISTS", "tp:node:{n1}", "tp:quota:{mortal}:n1"), 0, "what is left of a node that was stopped")
    survivor = f.client(t)
    survivor.allocate()
    equal(f.client(t, i=1).refuse_allocate(), 486, "the error of the third")
    f.nodes[2].daemon.process.kill()
    f.nodes[2].daemon.stopped = True
    start = time.monotonic()
    last = f.client(t, i=2)
    tap.wait_until(lambda: "n2" not in f.listed(), "the dead node is not listed any more", DEAD_S + SLACK_S)
    tap.wait_until(lambda: f.ice()[0] == {3478}, "a list of ICE servers names the living node alone")
    tap.wait_until(lambda: last.request(stun.ALLOCATE, UDP).cls == stun.SUCCESS, "the dead node's share is free", DEAD_S + SLACK_S)
    took = time.monotonic() - start
    print(f"# from the kill to the first Allocate in its place: {took:.1f} s")
    check(took < DEAD_S + SLACK_S, f"it took {took:.1f} s")
    survivor.refresh()
    equal(f.client(t, i=3).refuse_allocate(), 486, "the error of the third")
    f.nodes[0].daemon.wait_log("event=node_down node=n2")


@tap.group
def lonely():
    """Nodes whose Redis the cases stop; they may hold two allocations each."""
    with contextlib.ExitStack() as stack:
        n = stack.enter_context(S())
        server = stack.enter_context(redis.Server(n.srv, bind="127.0.0.1 127.0.0.2 127.0.0.3"))
        yield Fleet(stack, n, server, **{"total-quota": 2, "workers": 1})  # who is known is so by worker


@lonely.case("C34 a node that is full names one that has room; when none has, it is 508")
def _(f):
    t = f.token()
    clients = [f.client(t, i=i) for i in range(3)]
    for c in clients[:2]:
        c.allocate()
    port = alternate(clients[2].request(stun.ALLOCATE, UDP))
    check(port in (3479, 3480), f"the other server is on port {port}")
    others = [f.client(t, node=1 + i % 2, i=i) for i in range(4)]
    for c in others:
        c.allocate()
    tap.wait_until(lambda: all(n["state"] == "full" for n in f.listed().values()), "all are full")
    tap.wait_until(lambda: clients[2].refuse_allocate() == 508, "the error when all are full is 508")
    others[0].refresh(0)
    tap.wait_until(lambda: clients[2].request(stun.ALLOCATE, UDP).error == 300, "the one that has room again is named")
    for c in clients[:2] + others[1:]:
        c.refresh(0)


@lonely.case("F2 without Redis each node goes on with its own limit, for users that it knows; when it is back, the fleet's is in force again")
def _(f):
    t = f.token("--max-allocations", "1", owner="cut")
    known = [f.client(t, node=i, i=5) for i in range(2)]
    known[0].allocate()
    equal(known[1].refuse_allocate(), 486, "the error of the second")
    lost = len(f.nodes[1].daemon.events("fleet_unavailable"))
    f.redis.kill()
    tap.wait_until(lambda: len(f.nodes[1].daemon.events("fleet_unavailable")) > lost, "the node notices")
    known[0].refresh()
    known[1].allocate()
    equal(f.client(t, node=1, i=6).refuse_allocate(), 486, "the error of the second of one node")
    f.redis.start()
    tap.wait_until(lambda: f.share("cut", 0) + f.share("cut", 1) == 2, "what lives is told again")
    known[1].refresh(0)
    tap.wait_until(lambda: f.share("cut", 1) == 0, "its end is told")


@tap.group
def cluster():
    with contextlib.ExitStack() as stack:
        n = stack.enter_context(S())
        yield Fleet(stack, n, redissets.Cluster(n.srv, stack), redis_url="redis+cluster://127.0.0.1:7000,127.0.0.1:7001")


@cluster.case("C48 F20 nodes, quotas and draining on a Cluster, where each owner lies elsewhere")
def _(f):
    equal(sorted(f.listed()), ["n0", "n1", "n2"], "the nodes")
    for owner in ("a", "b", "}c", "d e", "%"):
        t = f.token("--max-allocations", "2", owner=owner)
        clients = [f.client(t, node=i % NODES, i=i) for i in range(2 * NODES)]
        for c in clients:
            c.challenge()
        equal(len(f.allocated(clients)), 2, f"allocations of {owner!r}")
    with f.draining(0):
        equal(f.client(t, i=9).request(stun.ALLOCATE, UDP).error, 300, "the error of a node that drains")
    for w in f.nodes:
        equal(w.daemon.events("fleet_refused"), [], "what Redis has refused")


tap.main()
