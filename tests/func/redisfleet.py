#!/usr/bin/env python3
"""The client of Redis behind three sentinels with a failover in the middle (F4), and on a Cluster of six whose slots move."""
import contextlib
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import net, redis, tap  # noqa: E402 # pylint: disable=wrong-import-position
from lib.redis import STALL_MS  # noqa: E402 # pylint: disable=wrong-import-position
from lib.redissets import CLUSTER_URL, SENTINEL_URL as URL, Cluster, Sentinels  # noqa: E402 # pylint: disable=wrong-import-position

tap.need("redis-server", "redis-sentinel", "redis-cli")
net.need_namespaces()


@tap.group
def sentinels():
    with net.Net("srv") as n, contextlib.ExitStack() as stack:
        yield Sentinels(n.srv, stack)


@sentinels.case("redis: the sentinels name the master; a sentinel that stands still or is gone is passed over")
def _(w):
    with redis.Drive(w.ns) as d:
        d.new(URL).ready()
        tap.equal(d.do("SET", "a", "1"), "OK", "SET")
        with w.servers[7000].link() as link:
            link.call("SELECT", "1")
            tap.equal(link.call("GET", "a"), b"1", "the key in database 1 of the master")
    w.sentinels[0].pause()
    with redis.Drive(w.ns) as d:
        d.new(URL, connect_ms=300).ready()
        tap.equal(d.do("GET", "a"), "1", "GET with the first sentinel standing still")
    w.sentinels[0].go_on()
    with redis.Drive(w.ns) as d:
        d.new(URL.replace("127.0.0.1:26379", "127.0.0.1:1")).ready()


@sentinels.case("redis: a master that no sentinel knows, and wrong passwords: not ready, with the reason (S24)")
def _(w):
    for change, reason in (("/mymaster", "knows no such master"), ("zzsentinel", "the sentinel refuses the user's name or password"),
                           ("zzdata", "127.0.0.1:7000: the server refuses the user's name or password")):
        with redis.Drive(w.ns) as d:
            d.new(URL.replace(change, change + "x")).unready(reason)
            tap.check("zz" not in "".join(d.text), "a password was written")


@sentinels.case("F4 the sentinels switch the master: followed, nothing is lost that was not written", seconds=90)
def _(w):
    with redis.Drive(w.ns) as d:
        d.new(URL).ready()
        before = w.master()
        w.switch()
        tap.wait_until(lambda: w.master() not in (None, before), "another master", 30)
        start = time.monotonic()
        tap.wait_until(lambda: d.do("SET", "b", "2", deadline=5000) == "OK", "SET on the new master")
        took = time.monotonic() - start
        with w.servers[w.master()].link() as link:
            link.call("SELECT", "1")
            tap.equal(link.call("GET", "b"), b"2", "the key on the new master")
        d.ready()
        print(f"# the new master served {took * 1000:.0f} ms after the sentinels agreed", flush=True)
    w.settle()


@sentinels.case("F4 the master dies: commands wait for the next one; reconnects are few", seconds=90)
def _(w):
    with redis.Drive(w.ns) as d:
        d.new(URL).ready()
        before = w.master()
        w.kill(before)
        d.unready("cannot connect|closed|lost|not the master")
        start = time.monotonic()
        waiting = d.send("INCR", "counted", repeat=200, deadline=40000)
        got = d.answer(waiting, 45)
        took = time.monotonic() - start
        tap.equal((got["ok"], got["errors"]), (200, 0), "answered and not")
        tap.wait_until(lambda: w.master() not in (None, before), "the master is another one")
        w.calm()
        tap.equal(d.do("GET", "counted"), "200", "the counter")
        d.ready()
        stats = d.stats()
        tap.within(stats["reconnects"], 1, 60, "reconnects")
        tap.within(stats["stall_ms"], 0, STALL_MS, "the longest stall (ms)")
        print(f"# commands waited {took:.1f} s for the new master, {stats['reconnects']} reconnects", flush=True)
        # The old one comes back, and is not taken for the master.
        w.servers[before].start()
        tap.wait_until(lambda: w.is_replica(before), "the old master is a replica", 30)
        tap.equal(d.do("INCR", "counted"), 201, "the counter")


@sentinels.case("redis: without any sentinel the connection to the master goes on")
def _(w):
    with redis.Drive(w.ns) as d:
        d.new(URL).ready()
        for s in w.sentinels:
            s.kill()
        tap.equal(d.do("SET", "c", "1"), "OK", "SET without sentinels")
        tap.check(d.health[-1]["ready"], "ready without sentinels")
    with redis.Drive(w.ns) as d:
        d.new(URL).unready("sentinel 127.0.0.1:2638.: cannot connect")


@tap.group
def cluster():
    with net.Net("srv") as n, contextlib.ExitStack() as stack:
        yield Cluster(n.srv, stack)


@cluster.case("redis: keys of a Cluster go to their masters, tagged keys together; one seed that answers is enough")
def _(w):
    with redis.Drive(w.ns) as d:
        d.new(CLUSTER_URL).ready()
        for i in range(300):
            d.send("SET", f"k{i}", str(i))
        tap.equal(d.do("MSET", "{tag}a", "1", "{tag}b", "2", key="{tag}c"), "OK", "MSET of one tag")
        tap.equal(d.do("MGET", "{tag}a", "{tag}b"), ["1", "2"], "MGET of one tag")
        tap.equal([d.do("GET", f"k{i}") for i in range(300)], [str(i) for i in range(300)], "the values")
        tap.check(all(a[0]["err"] == "" for a in d.answers.values() if "err" in a[0]), "every SET was answered")
        held = [s.call("DBSIZE") for p, s in w.nodes.items() if p in w.masters()]
        tap.equal(sum(held), 302, "keys on the masters")
        tap.check(all(held), f"each master holds some: {held}")
        tap.equal(d.do("PING", key=""), "PONG", "a command for any node")
        moved = sum(int(line.split(b"count=")[1].split(b",")[0]) for s in w.nodes.values()
                    for line in s.call("INFO", "errorstats").split(b"\r\n") if line.startswith(b"errorstat_MOVED"))
        tap.equal(moved, 0, "MOVED answers with the right table")


@cluster.case("redis: ASK while a slot is on its way, TRYAGAIN until it is there, MOVED once it is")
def _(w):
    with redis.Drive(w.ns) as d:
        d.new(CLUSTER_URL).ready()
        for name in ("{ask}a", "{ask}b", "{ask}c"):
            d.do("SET", name, name)
        with w.migrating("{ask}a") as (source, target):
            source.call("MIGRATE", "127.0.0.1", target.port, "{ask}a", 0, 5000)
            tap.equal(d.do("GET", "{ask}a"), "{ask}a", "a key that has moved (ASK)")
            tap.equal(d.do("GET", "{ask}b"), "{ask}b", "a key that has not")
            tap.equal(d.do("SET", "{ask}new", "n"), "OK", "a new key (ASK)")
            both = d.send("MGET", "{ask}a", "{ask}b", deadline=20000)
            tap.equal(d.do("GET", "{ask}c"), "{ask}c", "another key meanwhile")
            tap.wait_until(lambda: b"errorstat_TRYAGAIN" in source.call("INFO", "errorstats"), "TRYAGAIN was answered")
        tap.equal(d.answer(both)["reply"], ["{ask}a", "{ask}b"], "MGET once both are there")
        tap.equal(d.do("GET", "{ask}new"), "n", "the new key after the move (MOVED)")
        tap.check(b"errorstat_MOVED" in source.call("INFO", "errorstats"), "MOVED was answered")
        tap.check(b"errorstat_ASK" in source.call("INFO", "errorstats"), "ASK was answered")


@cluster.case("redis: a slot moves under load: every command is answered", seconds=90)
def _(w):
    with redis.Drive(w.ns) as d:
        d.new(CLUSTER_URL).ready()
        bursts = [d.send("INCR", "{load}n", repeat=500, deadline=20000)]
        with w.migrating("{load}n"):
            bursts += [d.send("INCR", "{load}n", repeat=500, deadline=20000) for _ in range(3)]
            # An answer first, so that the move happens between the bursts and not behind all of them.
            tap.equal(d.answer(bursts[1])["ok"], 500, "answers during the move")
        bursts += [d.send("INCR", "{load}n", repeat=500, deadline=20000) for _ in range(3)]
        for b in bursts:
            got = d.answer(b, 25)
            tap.equal((got["ok"], got["errors"]), (500, 0), "answered and not")
        tap.equal(d.do("GET", "{load}n"), "3500", "the counter: no command twice, none lost")


@cluster.case("F4 a Cluster's master dies: its keys wait for the replica, the others go on", seconds=120)
def _(w):
    with redis.Drive(w.ns) as d:
        d.new(CLUSTER_URL).ready()
        w.settle()
        dead = w.owner(w.nodes[7000].call("CLUSTER", "KEYSLOT", "{dead}n"))[0]
        asked = next(p for p in w.PORTS if p != dead)
        alive = next(f"k{i}" for i in range(300) if w.owner(w.nodes[7000].call("CLUSTER", "KEYSLOT", f"k{i}"))[0] != dead)
        tap.equal(d.do("SET", alive, alive[1:]), "OK", f"SET of {alive}")
        w.nodes[dead].kill()
        d.unready(f"127.0.0.1:{dead}: ")  # what was written before the client saw the end would have been lost with its server
        start = time.monotonic()
        waiting = d.send("INCR", "{dead}n", repeat=100, deadline=40000)
        tap.equal(d.do("GET", alive), alive[1:], "a key of another master meanwhile")
        got = d.answer(waiting, 45)
        tap.equal((got["ok"], got["errors"]), (100, 0), "answered and not")
        print(f"# the dead master's keys were back after {time.monotonic() - start:.1f} s", flush=True)
        d.ready(30)
        tap.check(w.owner(w.nodes[asked].call("CLUSTER", "KEYSLOT", "{dead}n"), asked)[0] != dead, "the slot has another master")
        tap.within(d.stats()["stall_ms"], 0, STALL_MS, "the longest stall (ms)")


@cluster.case("F6 a Cluster's master stands still: the others go on, and its replica serves once the Cluster has chosen it", seconds=120)
def _(w):
    with redis.Drive(w.ns) as d:
        d.new(CLUSTER_URL, silence_ms=1000, connect_ms=500).ready()
        w.settle()
        alive = next(p for p in w.PORTS if w.nodes[p].process)
        slots = {f"k{i}": w.owner(w.nodes[alive].call("CLUSTER", "KEYSLOT", f"k{i}"), alive)[0] for i in range(50)}
        still = next(p for p in slots.values() if p != alive and w.replicas(p, alive))
        stuck, other = (next(k for k, p in slots.items() if (p == still) == same) for same in (True, False))
        for key in (stuck, other):  # a master that has died in another case may have taken them with it
            tap.equal(d.do("SET", key, key[1:]), "OK", f"SET of {key}")
        w.settle()
        w.nodes[still].pause()
        tap.equal(d.do("GET", stuck, deadline=300), "!timed out", "a key of the one that stands still")
        tap.equal(d.do("GET", other), other[1:], "a key of another master")
        start = time.monotonic()
        tap.wait_until(lambda: d.do("GET", stuck, deadline=1000) == stuck[1:], "the replica serves", 30)
        print(f"# served again after {time.monotonic() - start:.1f} s", flush=True)
        d.ready(30)
        w.nodes[still].go_on()
        tap.wait_until(lambda: d.do("SET", stuck, "back", deadline=5000) == "OK", "SET once it is back")


@cluster.case("redis: a server that is no Cluster is not taken for one")
def _(w):
    with redis.Server(w.ns, 6379), redis.Drive(w.ns) as d:
        d.new("redis+cluster://127.0.0.1").unready("not part of a Cluster")
        tap.equal(d.do("GET", "x", deadline=300), "!timed out", "a command")


tap.main()
