#!/usr/bin/env python3
"""Usage: what credentials have relayed, kept in Redis to the byte, whatever breaks in between; and tokens that end when it is used up."""
import collections
import contextlib
import json
import os
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import client, daemon, net, redis, tap  # noqa: E402 # pylint: disable=wrong-import-position
from lib.meter import Flood, Meter, settle, without_time  # noqa: E402 # pylint: disable=wrong-import-position
from lib.redissets import Cluster  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tap import check, equal  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tokens import Fleet, rest  # noqa: E402 # pylint: disable=wrong-import-position

tap.need("redis-server", "redis-cli", "nft")
net.need_namespaces()
daemon.need_daemon()

S = net.Standard
SECRET = "northstar"
CLUSTER_URL = "redis+cluster://127.0.0.1:7000,127.0.0.1:7001"
DURABLE = ["appendonly yes", "appendfsync always"]
OVERSHOOT_S = 2.5 if not tap.SANITIZER else 8.0  # from the last byte that was paid for to the end


def numbers(reply, label=None):
    """The counters of one label of a hash; None: of a token's."""
    fields = dict(zip(reply[::2], reply[1::2]))
    suffix = b"" if label is None else b":" + label.encode()
    return collections.Counter({k[: len(k) - len(suffix)].decode(): int(v) for k, v in fields.items() if k.endswith(suffix) and (suffix or b":" not in k)})


class Books:
    """What the store says of an owner."""

    def __init__(self, f, owner, written=None):
        self.f, self.key = f, f"tp:usage:{{{written or owner}}}"

    def all(self, label=""):
        return numbers(self.f.redis.call("HGETALL", self.key), label)

    def token(self, token):
        return numbers(self.f.redis.call("HGETALL", f"{self.key}:token:{token}"))

    def spans(self, label, digits):
        """The sums of the hours (10 digits) or days (8), and the TTLs of their keys."""
        keys = [k for k in self.f.redis.call("KEYS", f"{self.key}:{'[0-9]' * digits}")]
        total = collections.Counter()
        for k in keys:
            of_key = numbers(self.f.redis.call("HGETALL", k), label)
            peak = max(total["peak"], of_key["peak"])
            total.update(of_key)
            total["peak"] = peak
        return total, [self.f.redis.call("TTL", k) for k in keys]

    def add_up(self, label, digits):
        """Wait until the hours or days are all there is: the time of what has just ended may come between the two reads."""

        def difference():
            have, want = self.spans(label, digits)[0], self.all(label)
            return "" if have == want else f"{have}, not {want}"

        tap.wait_until(lambda: not difference(), lambda: f"the sum of keys of {digits} digits is {difference()}")


@tap.group
def fleet():
    with contextlib.ExitStack() as stack:
        n = stack.enter_context(S())
        server = stack.enter_context(redis.Server(n.srv, bind="127.0.0.1 127.0.0.2", settings=DURABLE))
        yield Fleet(stack, n, server, **{"static-auth-secret": SECRET})


@fleet.case("usage: what two nodes relayed over UDP, TCP and a splice is kept to the byte, by label and token, hour and day")
def _(f):
    desk, lobby = f.token("--label", "desk"), f.token("--label", "lobby")
    meters = [Meter(f, desk), Meter(f, desk, 1, 1, "tcp"), Meter(f, lobby, 0, 2, "tcp"), Meter(f, desk, 0, 3)]
    for m in meters[:2]:
        m.bind()
        m.up(30)
        m.down(20)
    a, b = meters[2:]
    a.bind(b.client.relayed[0])
    b.bind(a.client.relayed[0])
    a.up(25, b)
    b.up(15, a)
    wants = {desk: sum((m.used for m in (meters[0], meters[1], b)), collections.Counter()), lobby: a.used}
    books = Books(f, "acme")
    for (token, _), label in ((desk, "desk"), (lobby, "lobby")):
        want = wants[desk if label == "desk" else lobby]
        settle(lambda label=label: books.all(label), want, f"the usage of {label} while its calls go on")
        equal(without_time(books.token(token)), without_time(want), f"the usage of the token of {label}")
    for m in meters:
        m.end()
    start = time.monotonic()
    b2 = Meter(f, desk, 1, 4).bind()
    b2.up(1)
    b2.end()
    settle(lambda: books.all("desk"), wants[desk] + b2.used, "the usage of desk after the end")
    print(f"# what has ended is in the store after {(time.monotonic() - start) * 1000:.0f} ms")
    for digits, ttl in ((10, 35 * 86400), (8, 400 * 86400)):
        books.add_up("desk", digits)
        ttls = books.spans("desk", digits)[1]
        check(ttls and all(ttl - 600 < t <= ttl for t in ttls), f"TTLs: {ttls}")
    check(books.all("desk")["ms"] > 100 and books.all("lobby")["ms"] > 100, "no time was counted")
    tap.within(f.redis.call("TTL", books.key), 400 * 86400 - 600, 400 * 86400, "the TTL of the sums of all time")
    equal(f.redis.call("ZRANGE", "tp:owners", 0, -1), [b"acme"], "the owners")
    for k in f.redis.call("KEYS", "tp:usage:*:seq:*"):
        tap.within(f.redis.call("TTL", k), 80000, 86400, "the TTL of a sequence")


@fleet.case("usage: turnpikectl shows it by owner, label, hour and day, and beside a token")
def _(f):
    token = f.token("--label", "a b", owner="shown")
    quiet = f.token(owner="quiet")
    m = Meter(f, token, 0, 4).bind()
    m.up(3)
    m.down(2)
    m.end()
    other = Meter(f, f.token(owner="else"), 1, 3)
    settle(lambda: Books(f, "shown").all("a b"), m.used, "the usage")
    settle(Books(f, "else").all, other.used, "another owner's usage")

    def asked(*options):
        return json.loads(f.ctl("usage", "--json", *options))

    def total(entries):
        return without_time(sum((collections.Counter({k: v for k, v in e.items() if isinstance(v, int) and k != "from"}) for e in entries), collections.Counter()))

    everything = asked()
    check({("shown", "a b"), ("else", "")} <= {(e["owner"], e["label"] or "") for e in everything}, f"usage: {everything}")
    check("quiet" not in {e["owner"] for e in everything}, "who has used nothing is shown")
    for options in ((), ("--label", "a b"), ("--by", "hour"), ("--by", "day"), ("--by", "hour", "--since", "2h"), ("--by", "day", "--since", f"@{int(time.time())}")):
        entries = asked("--owner", "shown", *options)
        equal(total(entries), without_time(m.used), f"usage {options}")
        step = {"hour": 3600, "day": 86400}.get(options[1] if options and options[0] == "--by" else None)
        check(all(e["from"] % step == 0 and 0 <= time.time() - e["from"] < 2 * step if step else e["from"] is None for e in entries), f"times: {entries}")
    equal(asked("--owner", "shown", "--label", "a"), [], "usage of a label that nobody has")
    check(re.search(rf"^shown +a b +1 +(?:\d+|-) +\d+ +3 +2 +{m.used['bytes_up']} +{m.used['bytes_down']}$", f.ctl("usage", "--owner", "shown"), re.M), "the line")
    check("Nothing has been used." in f.ctl("usage", "--owner", "quiet"), "the usage of who has used nothing")
    shown = json.loads(f.ctl("token", "show", token[0], "--json"))
    equal({k: shown["usage"][k] for k in m.used}, dict(m.used), "what the token has used")
    check(re.search(rf"^bytes up +{m.used['bytes_up']}$", f.ctl("token", "show", token[0]), re.M), "the token's line")
    check("bytes up" not in f.ctl("token", "show", quiet[0]), "a token that has used nothing")
    for options, text in ((("--by", "week"), "hour or day"), (("--since", "7d"), "--by"), (("--by", "day", "--since", "x"), "--since=x"), (("show",), "one word too many")):
        check(text in f.ctl("usage", *options, status=2), f"{options} is refused with the reason")


@fleet.case("usage: redis-server is killed and started again and again in the middle, and nothing is lost or counted twice", seconds=120)
def _(f):
    books, token = Books(f, "durable"), f.token("--label", "x", owner="durable")
    meters = [Meter(f, token, node, 5 + node).bind() for node in range(2)]
    for i in range(6):
        end = time.monotonic() + 0.4 + 0.35 * i  # the kill meets the flush, which comes once a second, at another moment each time
        while time.monotonic() < end:
            for m in meters:
                m.up()
                m.down()
        f.redis.kill()
        for m in meters:
            m.up(3)
        f.redis.start()
    for m in meters:
        m.end()
    want = meters[0].used + meters[1].used
    settle(lambda: books.all("x"), want, "the usage", 20)
    settle(lambda: books.token(token[0]), want, "the token's usage", 20)
    for w in f.nodes:
        check(w.daemon.events("usage_unavailable"), "the node has not noticed")


@contextlib.contextmanager
def mute(f):
    """What Redis answers the first node vanishes; what it is told arrives."""
    f.net.srv.run(["nft", "-f", "-"],
                  "table ip mute {\n chain c {\n  type filter hook input priority 0;\n  ip saddr 127.0.0.1 tcp sport 6379 drop\n }\n}\n")
    try:
        yield
    finally:
        f.net.srv.run(["nft", "delete", "table", "ip", "mute"])


@fleet.case("usage: a flush whose answer is lost is sent again, and counted once", seconds=90)
def _(f):
    books, token = Books(f, "mute"), f.token("--label", "x", owner="mute")
    m = Meter(f, token, 0, 7).bind()
    m.up(5)
    settle(lambda: books.all("x"), m.used, "the usage before")
    troubles = len(f.nodes[0].daemon.events("usage_unavailable"))
    with mute(f):
        m.up(10)
        tap.wait_until(lambda: books.all("x")["packets_up"] > 5, "a flush is counted whose answer vanishes")
        m.up(7)  # goes into the next flush
        tap.wait_until(lambda: len(f.nodes[0].daemon.events("usage_unavailable")) > troubles, "the node notices", 20)
    settle(lambda: books.all("x"), m.used, "the usage afterwards", 20)
    m.up(3)
    settle(lambda: books.all("x"), m.used, "the usage at the end", 20)
    settle(lambda: books.token(token[0]), m.used, "the token's usage", 20)


@fleet.case("usage: an owner whom Redis lists twice, as it may while the list grows, is shown once")
def _(f):
    scans = iter([b"$1\r\n7\r\n*4\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n1\r\n", b"$1\r\n0\r\n*4\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nc\r\n$1\r\n1\r\n"])
    answers = {b"ZREMRANGEBYSCORE": lambda: b":0\r\n", b"ZSCAN": lambda: b"*2\r\n" + next(scans), b"HGETALL": lambda: b"*2\r\n$9\r\nbytes_up:\r\n$1\r\n5\r\n"}
    with redis.Fake(f.net.srv, lambda words: answers[words[0]](), port=6390), daemon.Directory() as directory:
        config = directory.file("conf", f"realm={daemon.REALM}\nredis=redis://127.0.0.1:6390\n")
        shown = [u["owner"] for u in json.loads(f.ctl("--config", config, "--offline", "usage", "--json"))]
    equal(shown, ["a", "b", "c"], "the owners")


@fleet.case("usage: a node trims the lists of owners and tokens, and leaves what has use or a record")
def _(f):
    now = int(time.time())
    f.redis.call("ZADD", "tp:owners", now - 401 * 86400, "gone", now - 399 * 86400, "rare")
    f.redis.call("ZADD", "tp:tokens", now - 90000, "tgone", now - 80000, "texpired", "+inf", "tendless")
    with daemon.Daemon(f.net.srv, {**f.settings(0), "listening-port": 3490}):
        tap.wait_until(lambda: f.redis.call("ZSCORE", "tp:owners", "gone") is None, "the list of owners is trimmed")
        tap.wait_until(lambda: f.redis.call("ZSCORE", "tp:tokens", "tgone") is None, "the list of tokens is trimmed")
    check(f.redis.call("ZSCORE", "tp:owners", "rare"), "an owner of last year is gone")
    check(all(f.redis.call("ZMSCORE", "tp:tokens", "texpired", "tendless")), "tokens with a record are gone")
    f.redis.call("ZREM", "tp:owners", "rare")
    f.redis.call("ZREM", "tp:tokens", "texpired", "tendless")


@fleet.case("usage: SIGTERM flushes the rest; a process that starts anew begins its sequences anew, and is counted")
def _(f):
    books, token = Books(f, "twice"), f.token("--label", "x", owner="twice")
    used = collections.Counter()
    for _ in range(2):
        with daemon.Daemon(f.net.srv, {**f.settings(0), "listening-port": 3490}) as d, contextlib.ExitStack() as stack:
            node = f.nodes[0]
            c = stack.enter_context(client.Client(f.net.cli, f.net.client_ip(8), (S.SERVER, d.port()), user=token[0], password=token[1]))
            peer = node.peer()
            c.allocate()
            c.bind(0x4000, peer.address)
            for _ in range(5):
                c.send_channel(0x4000, b"12345")
                peer.expect(b"12345")
            used.update(bytes_up=25, packets_up=5, allocations=1)
            d.stop()
            equal(without_time(books.all("x")), without_time(used), "the usage when the process has ended")
            check(not d.events("usage_lost"), "usage_lost was logged")


@fleet.case("usage: max_bytes ends a token's calls on every node, and it is refused from then on; another's go on")
def _(f):
    most = 200000
    token, other = f.token("--max-bytes", str(most), owner="small"), f.token(owner="small")
    floods, calm = [Flood(f, token, node, 9 + node) for node in range(2)], Meter(f, other, 0, 11).bind()
    sent, reached = 0, None
    deadline = time.monotonic() + 3 * tap.PATIENCE_S
    while not all(x.gone() for x in floods):
        for x in floods:
            x.meter.client.send_channel(0x4000, bytes(1000))
            sent += 1000
        if reached is None and sent >= most:
            reached = f.watch()
        calm.up()
        check(time.monotonic() < deadline, "the token goes on")
        time.sleep(0.005)
    took = time.monotonic() - reached.start
    total = sum(v for k, v in Books(f, "small").token(token[0]).items() if k.startswith("bytes"))
    print(f"# the calls ended {took * 1000:.0f} ms after the last byte that was paid for, {total} bytes of {most} were kept by then")
    reached.within(OVERSHOOT_S, "from the last byte that was paid for to the end")
    f.heard("credential_revoked", token[0])
    for node in range(2):
        equal(f.client(token, node=node, i=12).refuse_allocate(), 401, f"the error on node {node}")
    check(sum(len(w.daemon.events("credential_exhausted")) for w in f.nodes) >= 1, "no node has logged it")
    calm.up(10)
    f.client(other, i=13).allocate()
    check(f.redis.call("HGET", f"tp:token:{{{token[0]}}}", "revoked_at"), "the token is not marked in its record")
    check(f.redis.call("TTL", f"tp:revoked:{{{token[0]}}}") > 0, "there is no marker with a TTL")


@fleet.case("S7 usage: owners with braces, percent signs and none at all have keys of their own, with one hash tag")
def _(f):
    soon = int(time.time()) + 3600
    for i, (owner, written) in enumerate((("a}b{%", "a%7Db%7B%25"), ("}", "%7D"), ("", "%"), ("b c:d\u00fc", "b c:d\u00fc"))):
        name = f"{soon}:{owner}" if owner else f"{soon}"
        m = Meter(f, rest(name, SECRET), i % 2, 14 + i).bind()
        m.up(2)
        m.end()
        books = Books(f, owner, written)
        settle(books.all, m.used, f"the usage of {owner!r}")
        check(f.redis.call("ZSCORE", "tp:owners", owner), f"{owner!r} is not listed")
        equal(f.redis.call("KEYS", f"{books.key}:token:*"), [], "keys of time-limited names")


@fleet.case("S23 usage: a key that is no hash counts nothing until it is gone, and then everything; labels without end end")
def _(f):
    token = f.token("--label", "x", owner="spoiled")
    books = Books(f, "spoiled")
    f.redis.call("SET", f"{books.key}:token:{token[0]}", "no hash")
    m = Meter(f, token, 0, 18).bind()
    m.up(5)
    f.nodes[0].daemon.wait_log('event=usage_unavailable reason="WRONGTYPE')
    equal(f.redis.call("EXISTS", books.key), 0, "sums of a flush that was refused")
    other, others = f.token(owner="sound"), Books(f, "sound")
    calm = Meter(f, other, 0, 19).bind()
    calm.up(1)
    settle(others.all, calm.used, "another owner's usage meanwhile")
    f.redis.call("DEL", f"{books.key}:token:{token[0]}")
    settle(lambda: books.all("x"), m.used, "the usage afterwards")
    f.redis.call("HSET", others.key, *[x for i in range(7000) for x in (f"old{i}", "1")])
    fresh = f.token("--label", "one too many", owner="sound")
    n = Meter(f, fresh, 1, 0).bind()
    n.up(2)
    settle(others.all, calm.used + n.used, "the usage under no label")
    settle(lambda: others.token(fresh[0]), n.used, "the token's usage")


@fleet.case("S23 usage: a store that takes nothing is not asked about every owner each second; what waited is counted once it takes it")
def _(f):
    owners = [f"waits{i}" for i in range(300)]
    soon = int(time.time()) + 3600

    def refused():
        stats = f.redis.call("INFO", "commandstats").decode()
        return sum(int(n) for n in re.findall(r"cmdstat_eval:.*rejected_calls=(\d+)", stats))

    f.redis.call("ACL", "SETUSER", "default", "-eval")
    for owner in owners:
        c = f.client(rest(f"{soon}:{owner}", SECRET))
        c.allocate()
        c.refresh(0)
        c.close()
    start, before = time.monotonic(), refused()
    tap.wait_until(lambda: refused() > before + 3 * len(owners), "many are refused", 30)
    took = time.monotonic() - start
    print(f"# {refused() - before} were refused in {took:.1f} s")
    f.redis.call("ACL", "SETUSER", "default", "+eval")
    check(took > 4.5, f"{3 * len(owners)} were sent in {took:.1f} s")
    for owner in owners:
        settle(Books(f, owner).all, {"allocations": 1}, f"the usage of {owner}")


@tap.group
def cluster():
    with contextlib.ExitStack() as stack:
        n = stack.enter_context(S())
        yield Fleet(stack, n, Cluster(n.srv, stack), CLUSTER_URL, **{"static-auth-secret": SECRET})


@cluster.case("usage: on a Cluster each owner's keys lie together, and a token's max_bytes ends it there, too", seconds=90)
def _(f):
    small = f.token("--max-bytes", "5000", "--label", "x", owner="small")
    m = Meter(f, small, 1, 0).bind()
    names = [rest(f"{int(time.time()) + 3600}:{owner}" if owner else f"{int(time.time()) + 3600}", SECRET) for owner in ("", "}{", "c", "d", "e")]
    others = [Meter(f, name, i % 2, 1 + i).bind() for i, name in enumerate(names)]
    for o in others:
        o.up(3)
        o.end()
    while m.used["bytes_up"] < 5000:
        m.up()
    f.nodes[1].daemon.wait_log(f'event=allocation_deleted user={small[0]} .*reason="credential revoked"')
    wants = {("small", "x"): m.used, **{(owner, ""): o.used for owner, o in zip(("", "}{", "c", "d", "e"), others)}}

    def shown():
        return {(e["owner"], e["label"] or ""): without_time({k: v for k, v in e.items() if isinstance(v, int) and k != "from"}) for e in json.loads(f.ctl("usage", "--json"))}

    tap.wait_until(lambda: shown() == {k: without_time(v) for k, v in wants.items()}, lambda: f"usage: {shown()} instead of {wants}")


tap.main()
