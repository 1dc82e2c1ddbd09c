#!/usr/bin/env python3
"""Two nodes and turnpikectl behind sentinels, on a Cluster and over TLS: tokens are issued, used and revoked before, while and after the
servers of Redis change (F4)."""
import contextlib
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import call, daemon, net, redis, tap, world  # noqa: E402 # pylint: disable=wrong-import-position
from lib.redissets import SENTINEL_URL, Cluster, Sentinels  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tap import check, equal  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tokens import REVOKED_S, Fleet, Stream  # noqa: E402 # pylint: disable=wrong-import-position

tap.need("redis-server", "redis-sentinel", "redis-cli", "openssl")
net.need_namespaces()
daemon.need_daemon()

CLUSTER_URL = "redis+cluster://127.0.0.1:7000,127.0.0.1:7001,127.0.0.1:7002"  # turnpikectl starts anew each time: one may be dead
CHANGE_S = 30.0  # for sentinels or a Cluster to agree on another master


class Doomed:
    """A token with a call on each node."""

    def __init__(self, f, stack, i):
        self.fleet, self.credentials = f, f.token()
        self.streams = [stack.enter_context(Stream(w, f.client(self.credentials, node, i))) for node, w in enumerate(f.nodes)]

    def revoke(self, when):
        """Its calls end on both nodes within a second of the command's end: while no server may be there to take it, it is tried again."""
        if when == "while":
            tap.wait_until(lambda: self.fleet.run_ctl("token", "revoke", self.credentials[0])[0] == 0, "turnpikectl has revoked", CHANGE_S)
        else:
            self.fleet.ctl("token", "revoke", self.credentials[0])
        watch = self.fleet.watch()
        for w, s in zip(self.fleet.nodes, self.streams):
            s.ended(w)
        last = max(s.last for s in self.streams)
        print(f"# {when} the change: the last packet {(last - watch.start) * 1000:.0f} ms after the command's end", flush=True)
        watch.within(REVOKED_S, f"{when} the change: from the command's end to the last packet", last)

    def refused(self):
        for node in range(2):
            equal(self.fleet.client(self.credentials, node, i=9).refuse_allocate(), 401, f"the error on node {node}")


def through(f, change, over):
    """A change of servers, and what must hold around it: `change` begins it, `over` waits for its end."""
    known, later = f.token(), f.token()
    with contextlib.ExitStack() as stack:
        doomed = [Doomed(f, stack, 3 + i) for i in range(3)]
        talk, calm = stack.enter_context(call.Call(f.nodes[0], f.client(known))), f.client(known, node=1)
        calm.allocate()
        doomed[0].revoke("before")
        change()
        talk.go_on()
        calm.refresh()
        doomed[1].revoke("while")
        f.serves(CHANGE_S, (0, 1))
        over()
        talk.go_on()
        calm.refresh()
        for node in range(2):
            f.client(later, node, i=7).allocate()
            f.client(f.token(), node, i=8).allocate()
        doomed[2].revoke("after")
        for d in doomed:
            d.refused()
        talk.go_on()


@tap.group
def sentinels():
    with contextlib.ExitStack() as stack:
        n = stack.enter_context(net.Standard())
        yield Fleet(stack, n, Sentinels(n.srv, stack), SENTINEL_URL)


@sentinels.case("F4 the sentinels switch the master: tokens are issued, used and revoked as before, and calls go on", seconds=120)
def _(f):
    before = f.redis.master()

    def change():
        f.redis.switch()
        # What the old master takes after its replica was promoted is lost with it, as the documentation says: so not sooner.
        tap.wait_until(lambda: f.redis.master() not in (None, before), "another master", CHANGE_S)

    def over():
        tap.wait_until(lambda: f.redis.is_replica(before), "the old master is a replica", CHANGE_S)

    through(f, change, over)
    f.redis.settle()


@sentinels.case("F4 the master dies: who is known refreshes, the next one serves tokens and revocations; the old one comes back", seconds=120)
def _(f):
    before = f.redis.master()

    def over():
        f.redis.calm()
        f.redis.servers[before].start()
        tap.wait_until(lambda: f.redis.is_replica(before), "the old master is a replica", CHANGE_S)

    through(f, lambda: f.redis.kill(before), over)


@tap.group
def cluster():
    with contextlib.ExitStack() as stack:
        n = stack.enter_context(net.Standard())
        yield Fleet(stack, n, Cluster(n.srv, stack), CLUSTER_URL)


def redirected(server, kind):
    return b"errorstat_%s" % kind in server.call("INFO", "errorstats")


@cluster.case("F4 the slot of a token moves: it is asked for where it is on its way (ASK) and where it has arrived (MOVED)", seconds=120)
def _(f):
    credentials = f.token()
    key = f"tp:token:{{{credentials[0]}}}"
    with f.redis.migrating(key) as (source, target):
        source.call("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
        f.client(credentials).allocate()
        check(redirected(source, b"ASK"), "ASK was answered")
    with contextlib.ExitStack() as stack:
        f.client(credentials, node=1).allocate()
        check(redirected(source, b"MOVED"), "MOVED was answered")
        streams = [stack.enter_context(Stream(w, f.client(credentials, node, 2))) for node, w in enumerate(f.nodes)]
        f.ctl("token", "revoke", credentials[0])
        watch = f.watch()
        for w, s in zip(f.nodes, streams):
            s.ended(w)
        last = max(s.last for s in streams)
        print(f"# from the command's end to the last packet: {(last - watch.start) * 1000:.0f} ms", flush=True)
        watch.within(REVOKED_S, "from the command's end to the last packet", last)


@cluster.case("F4 the slot of the event stream moves: revocations reach both nodes while it does and when it has", seconds=120)
def _(f):
    with contextlib.ExitStack() as stack:
        moving = stack.enter_context(contextlib.ExitStack())

        def change():
            moving.enter_context(f.redis.migrating("tp:events"))

        through(f, change, moving.close)


@cluster.case("F4 the master with the event stream dies: its replica serves revocations, tokens of other masters are served all the time", seconds=120)
def _(f):
    slot = f.redis.nodes[7000].call("CLUSTER", "KEYSLOT", "tp:events")
    dead = f.redis.owner(slot)[0]
    asked = next(p for p in f.redis.PORTS if p != dead)

    def over():
        f.redis.nodes[dead].start()
        tap.wait_until(lambda: b"role:slave" in f.redis.nodes[dead].call("INFO", "replication"), "the old master is a replica", CHANGE_S)
        tap.wait_until(lambda: f.redis.owner(slot, asked)[0] != dead, "the slot has another master", CHANGE_S)

    through(f, f.redis.nodes[dead].kill, over)


@tap.group
def tls():
    with contextlib.ExitStack() as stack:
        n = stack.enter_context(net.Standard())
        directory = stack.enter_context(daemon.Directory())
        redis.certificates(directory)
        keeping = ["appendonly yes", "appendfsync always"]
        server = stack.enter_context(redis.Server(n.srv, port=0, settings=[*redis.tls_settings(directory, "server", "yes"), *keeping]))
        of_ours = f"cert={directory.file('client.pem')}&key={directory.file('client.key')}"
        f = Fleet(stack, n, server, f"rediss://127.0.0.1:6380?cacert={directory.file('ca.pem')}&{of_ours}")
        f.stranger = f"rediss://127.0.0.1:6380?cacert={directory.file('other.pem')}&{of_ours}"
        yield f


@tls.case("redis: over TLS, with the right authority and our own certificate, a restart in the middle")
def _(f):
    def change():
        f.redis.kill()
        f.redis.start()

    through(f, change, lambda: None)


@tls.case("redis: a node that trusts another authority says so, and has 500 for everybody")
def _(f):
    credentials = f.token()
    with daemon.Daemon(f.net.srv, {**f.settings(2), "redis": f.stranger}) as d, contextlib.closing(world.World(f.net, d)) as w:
        d.wait_log("event=redis_unavailable .*TLS: the server's certificate is refused")
        equal(w.client(user=credentials[0], password=credentials[1]).refuse_allocate(), 500, "the error")


tap.main()
