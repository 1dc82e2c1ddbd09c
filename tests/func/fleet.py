#!/usr/bin/env python3
"""Three nodes and one Redis: quotas of the fleet, nodes that die, drain and are full, and what is left of it without Redis."""
import contextlib
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import daemon, net, redis, stun, tap, tokens  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tap import check, equal  # noqa: E402 # pylint: disable=wrong-import-position

tap.need("redis-server", "nft")
net.need_namespaces()
daemon.need_daemon()

S = net.Standard
NODES = 3
UDP = (stun.REQUESTED_TRANSPORT, stun.UDP)
SHARE_S = 10  # a dead node's share lives for so long,
DEAD_S = 5  # and its record


class Fleet(tokens.Fleet):
    def __init__(self, stack, n, server, **more):
        super().__init__(stack, n, server, count=NODES, **more)
        for i in range(NODES):
            self.wait_nodes(i)

    def settings(self, i):
        return {**super().settings(i), "node-id": f"n{i}", "workers": 2}

    def wait_nodes(self, i):
        """Node i knows the others."""
        tap.wait_until(lambda: len(self.nodes[i].daemon.events("node_up")) >= NODES - 1, f"node {i} knows the others")

    def listed(self):
        return {n["id"]: n for n in json.loads(self.ctl("nodes", "--json"))}

    def share(self, owner, node):
        """What a node holds of an owner, as Redis has it."""
        value = self.redis.call("GET", f"tp:quota:{{{owner}}}:n{node}")
        return int(value.split()[0]) if value else 0

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
    clients[1].refresh(0)
    tap.wait_until(lambda: f.share("few", 1) == 0, "the end has been told", 1 if not tap.SANITIZER else 5)
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


tap.main()
