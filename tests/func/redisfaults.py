#!/usr/bin/env python3
"""The client of Redis against one real server, and what must happen when that fails (F1, F3 to F8)."""
import contextlib
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import net, redis, tap  # noqa: E402 # pylint: disable=wrong-import-position
from lib.redis import STALL_MS  # noqa: E402 # pylint: disable=wrong-import-position

tap.need("redis-server", "nft", "openssl")
net.need_namespaces()

URL = "redis://127.0.0.1:6379/0"
BEAT_MS = 1.0 if not tap.SANITIZER else 2.5  # of a processor, from one beat of the driver to the next, five milliseconds later: it does little more than count them


class World:
    def __init__(self, ns):
        self.ns = ns


@tap.group
def one_server():
    with net.Net("srv") as n:
        yield World(n.srv)


@one_server.case("F1 Redis is not there at the start: not ready with the reason; commands wait until their deadline, or until it comes")
def _(w):
    with redis.Server(w.ns, up=False) as s, redis.Drive(w.ns) as d:
        d.new(URL)
        d.unready("127.0.0.1:6379: cannot connect: Connection refused")
        tap.equal(d.do("PING", deadline=200), "!timed out", "the answer without a server")
        waiting = d.send("SET", "early", "bird", deadline=20000)
        s.start()
        tap.equal(d.answer(waiting)["reply"], "OK", "the answer to what was asked before the server came")
        d.ready()
        stats = d.stats()
        tap.equal((stats["pending"], stats["timeouts"]), (0, 1), "pending and timed out")


@one_server.case("S23 arguments of any bytes arrive as they are")
def _(w):
    with redis.Server(w.ns) as s, redis.Drive(w.ns) as d:
        d.new(URL)
        name = "a\r\nSET hacked 1\r\n\0 %s%n \"'{}\xff"
        tap.equal(d.do("SET", name, "v\r\n\0"), "OK", "SET")
        tap.equal(d.do("GET", name), "v\r\n\0", "GET")
        tap.equal(s.call("KEYS", "*"), [name.encode("latin-1")], "the keys")
        tap.equal(d.do("SET", "", ""), "OK", "SET of an empty key")
        tap.equal(d.do("GET", ""), "", "GET of an empty key")
        got = d.do("HGET", name, "x")
        tap.check(got["error"].startswith("WRONGTYPE"), f"Redis's own error is a reply: {got}")
        tap.equal(d.do("GET", "nothing"), None, "nil")
        tap.equal(d.do("EVAL", "return {1, {2, 'x'}, false}", "0"), [1, [2, "x"], None], "an array")
        number = d.send("SET", "k", "x" * 70000)
        d.wait(lambda: d.answers.get(number), "an answer")
        tap.equal(d.answers[number][0].get("refused"), "invalid value", "a command that is too long")


@one_server.case("redis: the database, the name and an ACL user are set; a unix socket serves too")
def _(w):
    with redis.Server(w.ns, settings=["user turn on >s3cret/@ ~tp:* +@all -@dangerous -ping"]) as s:
        with redis.Drive(w.ns) as d:
            d.new("redis://turn:s3cret%2F%40@127.0.0.1/3").ready()
            tap.equal(d.do("SET", "tp:a", "1"), "OK", "SET")
            tap.check("NOPERM" in d.do("SET", "other", "1")["error"], "a key beyond the ACL is refused")
            tap.equal(s.call("GET", "tp:a"), None, "the key in database 0")
            tap.check(b"name=turnpike" in s.call("CLIENT", "LIST"), "the connection has our name")
        with redis.Drive(w.ns) as d:
            d.new(f"redis+unix://turn:s3cret%2F%40@{s.socket}?db=3").ready()
            tap.equal(d.do("GET", "tp:a"), "1", "GET over the unix socket")
            s.kill()
            d.unready("/s: ")
            s.start()
            d.ready()
        with redis.Drive(w.ns) as d:
            d.new(f"redis+unix://{s.socket}.not").unready("s.not: cannot connect: not found")


@one_server.case("redis: a name is looked up without blocking")
def _(w):
    with redis.Server(w.ns), redis.Drive(w.ns) as d:
        d.new("redis://localhost").ready()
        d.free()
        d.health.clear()
        d.new("redis://no-such-name.invalid", connect_ms=400).unready("cannot be resolved|looking up the name")
        tap.within(d.stats()["stall_ms"], 0, STALL_MS, "the longest stall (ms)")
        d.free()


@one_server.case("redis: at most 4096 commands are pending; what is beyond is refused at once")
def _(w):
    with redis.Server(w.ns) as s, redis.Drive(w.ns) as d:
        d.new(URL).ready()
        tap.equal(d.burst(4096, "INCR", "n"), (4096, 0), "answered and not")
        s.pause()
        tap.equal(d.burst(5000, "INCR", "n", deadline=1500), (0, 5000), "answered and not")
        stats = d.stats()
        tap.equal((stats["refused"], stats["timeouts"], stats["pending"]), (904, 4096, 4096), "refused, timed out, and owed still")
        s.go_on()
        tap.wait_until(lambda: d.stats()["pending"] == 0, "the late answers are taken")
        tap.equal(d.do("GET", "n"), "8192", "the counter: late answers do not stand for others")


@one_server.case("F3 Redis answers late: ERR_TIMEDOUT at the deadline, the late reply is dropped, the next one is right, nothing blocks")
def _(w):
    with redis.Server(w.ns) as s, redis.Drive(w.ns) as d:
        d.new(URL).ready()
        s.call("SET", "late", "1")
        d.stats()
        s.pause()
        start = time.monotonic()
        late = d.send("GET", "late", deadline=300)
        tap.equal(d.answer(late)["err"], "timed out", "the late answer")
        tap.within(time.monotonic() - start, 0.29, tap.PATIENCE_S / 2, "the time to the deadline (s)")
        mine = d.send("ECHO", "mine")
        s.go_on()
        tap.equal(d.answer(mine)["reply"], "mine", "the answer behind the late one")
        tap.equal(len(d.answers[late]), 1, "answers to the late one")
        stats = d.stats()
        tap.within(stats["stall_ms"], 0, STALL_MS, "the longest stall (ms)")
        tap.equal(stats["reconnects"], 0, "connections lost")


def _black_hole(d, begin, end):
    d.ready()
    begin()
    start = d.stats()
    tap.equal(d.do("GET", "x", deadline=300), "!timed out", "the answer out of a black hole")
    d.unready("no answer for more than 800 ms")
    d.unready("no answer in 400 ms while (connecting|logging in)")
    time.sleep(1.0)  # not for a result: a second in which nothing should be spent
    stop = d.stats()
    tap.within((stop["cpu_ms"] - start["cpu_ms"]) / (stop["beats"] - start["beats"]), 0, BEAT_MS, "processor time of a beat in the black hole (ms)")
    tap.within(stop["stall_ms"], 0, STALL_MS, "the longest stall (ms)")
    end()

    def answered():
        """On a busy machine 800 ms are soon over again: then it says that it is not connected."""
        got = d.do("GET", "x", deadline=15000, seconds=20)
        tap.check(got in (None, "!not connected"), f"the answer after it is {got!r}")
        return got is None

    tap.wait_until(answered, "an answer after it", 20)
    d.ready()


@one_server.case("F6 a server that stands still: time-out, the connection is given up, no busy loop, and back when it goes on")
def _(w):
    with redis.Server(w.ns) as s, redis.Drive(w.ns) as d:
        d.new(URL, silence_ms=800, connect_ms=400)
        _black_hole(d, s.pause, s.go_on)


@one_server.case("F6 an idle connection into a black hole is noticed without a command")
def _(w):
    with redis.Server(w.ns) as s, redis.Drive(w.ns) as d:
        d.new(URL, silence_ms=800, connect_ms=400).ready()
        s.pause()
        d.unready("no answer for more than 800 ms")
        s.go_on()
        d.ready()
        tap.equal(d.stats()["commands"], 0, "commands")


@one_server.case("redis: what was written and not answered ends with ERR_NOTCONN; what waited is carried out once")
def _(w):
    with redis.Server(w.ns, settings=["appendonly yes", "appendfsync always"]) as s, redis.Drive(w.ns) as d:
        d.new(URL).ready()
        blocked = d.send("BLPOP", "never", "0", deadline=30000)
        tap.wait_until(lambda: b"cmd=blpop" in s.call("CLIENT", "LIST"), "BLPOP waits")
        s.kill()
        tap.equal(d.answer(blocked)["err"], "not connected", "the answer to what was written")
        d.unready("Connection re|closed by the server|No such")
        waiting = d.send("INCR", "once", repeat=100, deadline=20000)
        s.start()
        tap.equal(d.answer(waiting)["ok"], 100, "answers to what waited")
        tap.equal(s.call("GET", "once"), b"100", "the counter")


@one_server.case("redis: cancelled is silent; a client may be freed in its own callback, with commands pending")
def _(w):
    with redis.Server(w.ns) as s, redis.Drive(w.ns) as d:
        d.new(URL).ready()
        s.pause()
        number = d.send_and_cancel("SET", "a", "1", deadline=200)
        tap.equal(d.do("PING", deadline=500), "!timed out", "another one")
        tap.check(number not in d.answers, "a cancelled call was answered")
        s.go_on()
        tap.equal(d.do("GET", "a"), "1", "what was sent is carried out")
        tap.check(number not in d.answers, "a cancelled call was answered")
        s.pause()
        first = d.send("GET", "a", free=True)
        rest = [d.send("GET", "a") for _ in range(3)]
        d.stats()
        s.go_on()
        tap.equal(d.answer(first)["reply"], "1", "the answer that frees")
        d.health.clear()
        d.new(URL).ready()
        tap.equal(d.do("GET", "a"), "1", "the next client")
        tap.check(not any(n in d.answers for n in rest), "a call of a freed client was answered")


@one_server.case("F5 Redis restarts and drops connections again and again: descriptors and memory stay flat", seconds=180)
def _(w):
    restarts, drops = int(os.environ.get("TP_REDIS_RESTARTS", "12")), int(os.environ.get("TP_REDIS_DROPS", "60"))
    with redis.Server(w.ns) as s, redis.Drive(w.ns) as d:
        d.new(URL).ready()
        d.burst(100, "INCR", "n")
        before = None
        for i in range(restarts + drops):
            if i < restarts:
                s.kill()
                s.start()
            else:
                s.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            tap.wait_until(lambda: d.do("INCR", "n", deadline=5000) not in ("!not connected", "!timed out"), "it serves again")
            if i == restarts // 2:
                before = d.descriptors(), d.memory_kb()
        tap.equal(d.descriptors(), before[0], "descriptors at the end")
        tap.within(d.memory_kb() - before[1], -4096, 20000 if tap.SANITIZER else 1024, "growth of memory (KiB)")
        tap.within(d.stats()["reconnects"], restarts, 100000, "connections lost")


@one_server.case("F7 a wrong password, none, an unknown user or database: not ready, with a clear reason; ready once it is right (S24)")
def _(w):
    with redis.Server(w.ns, settings=["requirepass zzright"], admin=["zzright"]) as s:
        for url, reason in (("redis://:zzwrong@127.0.0.1", "refuses the user's name or password .WRONGPASS"),
                            ("redis://zznobody:zzwrong@127.0.0.1", "WRONGPASS"),
                            ("redis://127.0.0.1", "wants a password .NOAUTH"),
                            ("redis://:zzright@127.0.0.1/99", "no such database")):
            with redis.Drive(w.ns) as d:
                d.new(url).unready(reason)
                tap.equal(d.do("GET", "x", deadline=200), "!timed out", "a command")
                tap.check("zz" not in "".join(d.text), "a user or password was written")
        with redis.Drive(w.ns) as d:
            d.new("redis://:zzlater@127.0.0.1").unready("WRONGPASS")
            s.call("CONFIG", "SET", "requirepass", "zzlater")
            d.ready()
    with redis.Server(w.ns), redis.Drive(w.ns) as d:
        d.new("redis://:zzpass@127.0.0.1").unready("refuses AUTH")
        tap.check("zz" not in "".join(d.text), "a password was written")


@one_server.case("F4 a server that has become a replica: the command waits, and is carried out once it is a master again")
def _(w):
    with redis.Server(w.ns) as s, redis.Drive(w.ns) as d:
        d.new(URL).ready()
        s.call("REPLICAOF", "127.0.0.1", "1")
        waiting = d.send("SET", "a", "1", deadline=20000)
        d.unready("READONLY")
        tap.equal(d.do("SET", "b", "1", deadline=400), "!timed out", "a write to the replica")
        s.call("REPLICAOF", "NO", "ONE")
        tap.equal(d.answer(waiting)["reply"], "OK", "the answer")
        d.ready()
        tap.within(d.stats()["reconnects"], 1, 60, "reconnects, with back-off between them")


@one_server.case("F8 S23 what is no protocol, too large, too deep, or not asked for closes the connection with a reason and is counted")
def _(w):
    big = b"x" * (3 << 20)
    for what, answer, reason in (
            ("garbage", b"HTTP/1.1 400 Bad Request\r\n\r\n", "not Redis's protocol"),
            ("a huge string", b"$3145728\r\n" + big + b"\r\n", "too large"),
            ("a string of a lying length", b"$99999999999999999999\r\n", "not Redis's protocol"),
            ("a negative length", b"$-7\r\n", "not Redis's protocol"),
            ("a line without an end", b"+" + big, "too large"),
            ("a huge array", b"*2147483647\r\n", "too large"),
            ("an array of a lying length", b"*9223372036854775807\r\n", "not Redis's protocol"),
            ("many strings", b"*60000\r\n" + b"$40\r\n" + b"y" * 40 + b"\r\n" * 1 + (b"$40\r\n" + b"y" * 40 + b"\r\n") * 59999, "too large"),
            ("wide arrays in arrays", b"*60000\r\n*60000\r\n" + b":1\r\n" * 70000, "too large"),
            ("deep arrays", b"*1\r\n" * 20, "not Redis's protocol"),
            ("two answers", b"$1\r\na\r\n$1\r\nb\r\n", "an answer to no question")):
        with redis.Fake(w.ns, lambda words, a=answer: a), redis.Drive(w.ns) as d:
            d.new(URL).ready()
            got = d.do("GET", "x")
            tap.check(got in ("!not connected", "a"), f"{what}: the answer is {got!r}")
            d.unready(reason)
            tap.check(d.stats()["broken"] >= 1, f"{what}: not counted")
            tap.within(d.memory_kb(), 0, 400000 if tap.SANITIZER else 60000, f"{what}: memory (KiB)")
            tap.within(d.stats()["reconnects"], 1, 8, f"{what}: connections, with back-off between them")


def only_client(s):
    """A connection that a server which takes one has taken: it may not have seen yet that the one before is closed."""

    def taken():
        link = s.link()
        with contextlib.suppress(OSError, redis.Error):
            if link.call("PING") == b"PONG":
                return link
        link.__exit__()
        return None

    return tap.wait_until(taken, "the server takes us")


@one_server.case("F4 a server that is loading, or full: not ready with the reason, ready when that is over")
def _(w):
    with redis.Fake(w.ns, lambda words: b"$1\r\nv\r\n", ping=b"-LOADING Redis is loading the dataset in memory\r\n") as f, redis.Drive(w.ns) as d:
        d.new(URL).unready("LOADING")
        waiting = d.send("GET", "x", deadline=20000)
        f.ping = b"+PONG\r\n"
        tap.equal(d.answer(waiting)["reply"], "v", "the answer once it has loaded")
    with redis.Server(w.ns, settings=["maxclients 1"]) as s, redis.Drive(w.ns) as d:
        with only_client(s):
            d.new(URL).unready("as many clients as it takes")
        d.ready()


@tap.group
def two_hosts():
    with net.Net("srv", "cli") as n:
        n.link(n.srv, "s0", ["192.0.2.1/24"], n.cli, "c0", ["192.0.2.2/24"])
        yield n


@two_hosts.case("F6 a network that drops everything: time-out, no busy loop, and back when it delivers again")
def _(n):
    with redis.Server(n.srv, bind="192.0.2.1"), redis.Drive(n.cli) as d:
        d.new("redis://192.0.2.1", silence_ms=800, connect_ms=400)
        _black_hole(d, lambda: n.srv.run(["nft", "add table inet hole; add chain inet hole in { type filter hook input priority 0; policy drop; }"]),
                    lambda: n.srv.run(["nft", "delete table inet hole"]))


@tap.group
def tls():
    with net.Net("srv") as n, redis.daemon.Directory() as d:
        redis.certificates(d)
        w = World(n.srv)
        w.file = d.file
        yield w


def _tls_server(w, name, clients="no"):
    return redis.Server(w.ns, port=0, settings=redis.tls_settings(w, name, clients))


@tls.case("redis: TLS with the right authority and name serves, by IP and by name, also with many bytes")
def _(w):
    with _tls_server(w, "server") as s:
        for host in ("127.0.0.1", "localhost"):
            with redis.Drive(w.ns) as d:
                d.new(f"rediss://{host}:6380?cacert={w.file('ca.pem')}").ready()
                tap.equal(d.do("SET", "a", "x" * 60000), "OK", "SET")
                tap.equal(d.do("GET", "a"), "x" * 60000, "GET")
                tap.equal(d.burst(2000, "INCR", "n"), (2000, 0), "answered and not")
                s.kill()
                d.unready("closed|cannot connect|lost|TLS")
                s.start()
                d.ready()


@tls.case("redis: TLS refuses another authority, another name, and tells why; and a server that wants a certificate gets ours")
def _(w):
    with _tls_server(w, "server", "yes"):
        with redis.Drive(w.ns) as d:
            d.new(f"rediss://127.0.0.1:6380?cacert={w.file('other.pem')}").unready("TLS: the server's certificate is refused: .*(issuer|self)")
            tap.equal(d.do("GET", "x", deadline=200), "!timed out", "a command")
        with redis.Drive(w.ns) as d:
            d.new("rediss://127.0.0.1:6380").unready("TLS: the server's certificate is refused")
        with redis.Drive(w.ns) as d:
            d.new(f"rediss://127.0.0.1:6380?cacert={w.file('missing.pem')}").unready("TLS: the authorities' certificates .cacert. cannot be read")
        with redis.Drive(w.ns) as d:
            d.new(f"rediss://127.0.0.1:6380?cacert={w.file('ca.pem')}").unready("TLS|closed|lost")
            d.free()
            d.health.clear()
            d.new(f"rediss://127.0.0.1:6380?cacert={w.file('ca.pem')}&cert={w.file('client.pem')}&key={w.file('client.key')}").ready()
    with _tls_server(w, "wrong"), redis.Drive(w.ns) as d:
        d.new(f"rediss://127.0.0.1:6380?cacert={w.file('ca.pem')}").unready("TLS: the server's certificate is refused: .*mismatch")


tap.main()
