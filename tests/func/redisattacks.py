#!/usr/bin/env python3
"""Attacks on a node whose users are in Redis: names of any bytes (S7), enumeration (S14), brute force (S15), a store that lies (S23), secrets (S24)."""
import contextlib
import hashlib
import os
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import call, daemon, net, redis, stun, tap  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tap import check, equal  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tokens import Fleet, rest  # noqa: E402 # pylint: disable=wrong-import-position

tap.need("redis-server")
net.need_namespaces()
daemon.need_daemon()

R = daemon.REALM
UDP = (stun.REQUESTED_TRANSPORT, stun.UDP)
PASSWORD = "zzredis/@ password"
SECRET = "zzsecret-northstar"
GUESSES = 10  # wrong passwords, before a user and a source are not answered for a minute
LOOKUP = ("hgetall", "get")  # what a look-up asks; the shared secrets besides, when they were last read some seconds ago, whoever asks


@tap.group
def store():
    with contextlib.ExitStack() as stack:
        n = stack.enter_context(net.Standard())
        acl = [f"user node on >{PASSWORD.replace(' ', '_')} ~tp:* ~turn/* +@all -@dangerous -@admin +client|setname +info"]
        server = stack.enter_context(redis.Server(n.srv, settings=acl))
        url = f"redis://node:{PASSWORD.replace(' ', '_').replace('/', '%2F').replace('@', '%40')}@127.0.0.1:6379"
        f = Fleet(stack, n, server, url, **{"log-level": "debug"})
        server.call("SADD", f"turn/realm/{R}/secret", SECRET)
        server.call("SET", f"turn/realm/{R}/user/carol/key", hashlib.md5(f"carol:{R}:zzcarol".encode()).hexdigest())
        yield f


def wrong(c, name):
    """An Allocate by this name, signed with a key that nobody has."""
    return stun.encode(stun.ALLOCATE, stun.REQUEST, [UDP, (stun.USERNAME, name), (stun.REALM, R.encode()), (stun.NONCE, c.nonce)], key=bytes(16),
                       integrity=[stun.MESSAGE_INTEGRITY])


@store.case("S7 names of any bytes are one word of a command with our prefix, whole lines in the log, and change nothing in Redis")
def _(f):
    names = (b"a\r\nSET hacked 1\r\n", b"*1\r\n$8\r\nFLUSHALL\r\n", b"%s%n%s", b'"\'\\ x', b"}{tp:events}", b"a{b}c", b"nul\0nul", b"\xff\xfe", b"x" * 763,
             "\u00fc\u4e16".encode(), b"* ?", b"../../x")
    before = f.redis.keys()
    with f.redis.link() as monitor:
        monitor.call("MONITOR")
        for i, name in enumerate(names):
            c = f.client(("x", "x"), i=i)
            c.challenge()
            check(c.exchange(wrong(c, name)).error in (400, 401), f"the error of {name}")
        f.redis.call("ECHO", "the end")
        keys = []
        while b'"ECHO" "the end"' not in (line := monitor.file.readline()):
            words = line.split(b'] ', 1)[1].split(b'" "') if b"] " in line else []
            if words and words[0].strip(b'"').lower().decode() in LOOKUP:
                keys.append(words[1])
    check(any(b"SET hacked" in k for k in keys) or len(keys) > 6, f"the look-ups: {keys}")
    for key in keys:
        check(key.startswith((b"tp:", b"turn/realm/")), f"a key beyond our prefixes: {key}")
    equal(f.redis.keys(), before, "the keys")
    equal(f.redis.call("EXISTS", "hacked"), 0, "a name's command was carried out")
    lines = [line for line in f.nodes[0].daemon.log().splitlines() if " event=" not in f" {line}"]
    equal(lines, [], "log lines without an event")


def bare(answer):
    """An answer without what differs between any two: transaction, nonce, checksum."""
    return [(k, v) for k, v, _ in answer.attributes if k not in (stun.NONCE, stun.FINGERPRINT)], len(answer.get(stun.NONCE)), len(answer.raw)


@store.case("S14 known, unknown, revoked, expired, of another realm or scope: the same answer, one each, for the same questions to Redis")
def _(f):
    now = int(time.time())
    revoked, soon = f.token(), f.token("--expires", "1s")
    f.ctl("token", "revoke", revoked[0])
    tap.wait_until(lambda: time.time() > now + 3, "the token is over")
    known = [f.token()[0], f.token("--scope", "phone")[0], f.token("--realm", "elsewhere")[0], f.token("--not-before", "1h")[0], soon[0], revoked[0], "carol"]
    unknown = ["t" + "n" * (len(known[0]) - 1), "nobody"]
    timed = [rest(f"{now + 3600}:dave", SECRET)[0], f"{now - 5}:dave", f"{now + 3600}:nobody"]
    for names in (known + unknown, timed):  # a time-limited name is another question: whether it is one, everybody sees
        seen = {}
        for i, name in enumerate(names):
            c = f.client(("x", "x"), i=i)
            c.challenge()
            answers = []

            def guess(c=c, name=name, answers=answers):
                answers += [c.exchange(wrong(c, name.encode())) for _ in range(3)]
                c.silent()

            questions = f.redis.asked(LOOKUP, guess)
            equal([a.error for a in answers], [401] * 3, f"the errors of {name}")
            seen[name] = [bare(a) for a in answers], questions
        first = seen[names[0]]
        for name, what in seen.items():
            equal(what, first, f"what {name} gets and costs")


@store.case("S15 ten wrong passwords for a token silence it there, an unknown id likewise, without further questions; elsewhere it is served")
def _(f):
    good, other = f.token(), f.token()
    for i, name in ((11, good[0]), (12, "t" + "u" * (len(good[0]) - 1))):
        c = f.client((name, "x"), i=i)
        c.challenge()
        for _ in range(GUESSES):
            equal(c.exchange(wrong(c, name.encode())).error, 401, f"the error of {name}")
        c.password = good[1]
        questions = f.redis.asked(LOOKUP, lambda c=c, name=name: c.silent(wrong(c, name.encode()), c.signed(stun.ALLOCATE, [UDP])))
        equal(questions, dict.fromkeys(LOOKUP, 0), "questions to Redis of who is not listened to")
    f.client(good, i=13).allocate()
    f.client(good, node=1, i=11).allocate()
    f.client(other, i=11).allocate()


def of_process(w, what):
    with open(f"/proc/{w.daemon.pid}/{what}", "rb") as f:
        return f.read().decode(errors="replace")


@store.case("S24 no secret in the log at level debug, in arguments or in the limits of a core file; the store has no password")
def _(f):
    made = f.token("--label", "S24")
    f.client(made).allocate()
    f.client(("carol", "zzcarol"), i=1).allocate()
    name = rest(f"{int(time.time()) + 600}:erin", SECRET)
    f.client(name, i=2).allocate()
    f.client((made[0], "wrong"), i=3).refuse_allocate()
    with f.redis.link() as link:
        link.call("ACL", "SETUSER", "node", "off")
        link.call("CLIENT", "KILL", "USER", "node")
        f.nodes[0].daemon.wait_log("event=redis_unavailable .*WRONGPASS")
        equal(f.run_ctl("token", "list")[0], 1, "the status of turnpikectl")
        refused = f.run_ctl("token", "list")
        link.call("ACL", "SETUSER", "node", "on")
    f.serves(20.0)
    fields = f.redis.call("HGETALL", f"tp:token:{{{made[0]}}}")
    record = dict(zip(fields[::2], fields[1::2]))
    check(made[1].encode() not in b" ".join(fields), "the password is in the store")
    secrets = [made[1], PASSWORD.replace(" ", "_"), SECRET, name[1], "zzcarol", record[b"md5"].decode(), record[b"sha256"].decode(),
               hashlib.md5(f"carol:{R}:zzcarol".encode()).hexdigest()]
    for w in f.nodes:
        seen = w.daemon.log() + "".join(refused[1:])
        for what in ("cmdline", "environ"):
            seen += of_process(w, what)
        equal(re.search(r"Max core file size +(\d+) +(\d+)", of_process(w, "limits")).groups(), ("0", "0"), "the limits of a core file")
        for secret in secrets:
            check(secret not in seen, f"{secret} is told")


# What a lying store may say of a token: the field, and what it is set to.
LIES = (("md5", "12"), ("sha256", "zz" * 32), ("owner", "a\r\nb"), ("owner", "x" * 5000), ("scope", "root"), ("expires_at", "-1"), ("expires_at", "9" * 30),
        ("max_bps", "1e9"), ("max_allocations", "18446744073709551616"), ("realm", ""), ("label", "\0nul"), ("peers", "\xff\xfe"))


@store.case("S23 records that lie and events that make no sense: 500 or ignored, and calls, users and revocations go on")
def _(f):
    good, doomed = f.token(), f.token()
    with call.Call(f.nodes[0], f.client(good)) as talk:
        victim = f.client(doomed, node=1, i=2)
        victim.allocate()
        for field, value in LIES:
            bad = f.token()[0]
            f.redis.call("HSET", f"tp:token:{{{bad}}}", field, value.encode("latin-1"))
            equal(f.client((bad, "x"), i=3).refuse_allocate(), 500, f"the error with {field} {value[:20]!r}")
        for words in (("SET", "tp:token:{tlist}", "x"), ("RPUSH", "tp:token:{tpush}", "a", "b"), ("SET", f"turn/realm/{R}/user/thex/key", "zz" * 16)):
            f.redis.call(*words)
        for name in ("tlist", "tpush", "thex"):
            equal(f.client((name, "x"), i=4).refuse_allocate(), 500, f"the error of {name}")
        for fields in (("kind", "revoke"), ("kind", "revoke", "name", ""), ("kind", "revoke", "name", "x" * 5000), ("kind", "revoke", "name", "a\0b"),
                       ("kind", "revoke", "name", good[0], "before", "-5"), ("name", good[0]), ("kind", "shutdown"), ("kind", "%s%n", "x", "y")):
            f.redis.call("XADD", "tp:events", "*", *fields)
        talk.go_on()
        victim.refresh()
        f.ctl("token", "revoke", doomed[0])
        f.nodes[1].daemon.wait_log(f'event=allocation_deleted user={doomed[0]} .*reason="credential revoked"')
        talk.go_on()


tap.main()
