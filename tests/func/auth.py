#!/usr/bin/env python3
"""Authentication on the wire (RFC 8489 section 9.2.4): challenges, nonces, algorithms, fixed users, shared secrets."""
import base64
import hashlib
import hmac
import time

from lib import daemon, net, stun, tap, world
from lib.stun import MESSAGE_INTEGRITY, MESSAGE_INTEGRITY_SHA256, NONCE, PASSWORD_ALGORITHM, PASSWORD_ALGORITHMS, REALM, USERNAME
from lib.tap import check, equal

net.need_namespaces()
daemon.need_daemon()

UDP = (stun.REQUESTED_TRANSPORT, stun.UDP)


def is_challenge(answer, error, algorithms):
    equal(answer.error, error, "the error")
    equal(answer.get(REALM), daemon.REALM.encode(), "REALM")
    check(answer.get(NONCE), "there is no NONCE")
    equal(answer.get(PASSWORD_ALGORITHMS), algorithms, "PASSWORD-ALGORITHMS")
    equal(answer.signed(), [], "the signatures of a challenge")


def is_bare(answer, error):
    equal(answer.error, error, "the error")
    for kind in (REALM, NONCE, PASSWORD_ALGORITHMS):
        equal(answer.get(kind), None, f"attribute {kind:#x}")
    equal(answer.signed(), [], "its signatures")


@tap.group
def fixed_users():
    odd = "Jos\u00e9:\u00fcmlaut p\u00e4ss"
    with world.standard({"user": [f"{daemon.USER}:{daemon.PASSWORD}", f"{daemon.USER_2}:{daemon.PASSWORD_2}", odd]}) as w:
        yield w


@fixed_users.case("C16 without integrity: 401 with REALM, NONCE and PASSWORD-ALGORITHMS, unsigned")
def _(w):
    c = w.client()
    for method in (stun.ALLOCATE, stun.REFRESH, stun.CREATE_PERMISSION, stun.CHANNEL_BIND):
        answer = c.exchange(stun.encode(method, stun.REQUEST, [UDP]))
        is_challenge(answer, 401, answer.get(PASSWORD_ALGORITHMS))
        check(answer.get(PASSWORD_ALGORITHMS), "the nonce's bit is set, and there are no PASSWORD-ALGORITHMS")
    c.learn(answer)
    unsigned = stun.encode(stun.ALLOCATE, stun.REQUEST, [UDP, *c.credentials()])
    is_challenge(c.exchange(unsigned), 401, c.algorithms)


@fixed_users.case("C17 integrity without USERNAME, REALM or NONCE: 400, unsigned, without REALM and NONCE")
def _(w):
    c = w.client(1)
    c.challenge()
    for missing in (USERNAME, REALM, NONCE):
        for integrity in (MESSAGE_INTEGRITY, MESSAGE_INTEGRITY_SHA256):
            items = [UDP] + [x for x in c.credentials() if x[0] != missing]
            is_bare(c.exchange(stun.encode(stun.ALLOCATE, stun.REQUEST, items, key=c.key, integrity=[integrity])), 400)


@fixed_users.case("C18 another source gets another nonce, and one's nonce is no good for another")
def _(w):
    a, b, other = w.client(2), w.client(2), w.client(3)
    for c in (a, b, other):
        c.challenge()
    equal(len({a.nonce, b.nonce, other.nonce}), 3, "the number of different nonces")
    for c in (b, other):
        c.nonce, own = a.nonce, c.nonce
        answer = c.exchange(c.signed(stun.ALLOCATE, [UDP]))
        is_challenge(answer, 438, c.algorithms)
        c.nonce = own
        equal(c.exchange(c.signed(stun.ALLOCATE, [UDP])).cls, stun.SUCCESS, "the class with its own nonce")


@fixed_users.case("C19 the nonce says password algorithms and user anonymity, in both bit orders")
def _(w):
    c = w.client(4)
    c.challenge()
    equal(c.nonce[:13], b"obMatJos2wAAD", "the nonce's cookie and features")
    listed = {c.algorithms[i : i + 4] for i in range(0, len(c.algorithms), 4)}
    equal(listed, {stun.password_algorithms(stun.MD5), stun.password_algorithms(stun.SHA256)}, "PASSWORD-ALGORITHMS")


@fixed_users.case("C20 no algorithm attributes mean MD5; else both, the list as it was sent, the choice in it")
def _(w):
    equal(w.client(5).allocate().message.signed(), [MESSAGE_INTEGRITY], "the answer's signatures")
    for algorithm in (stun.MD5, stun.SHA256):
        c = w.client(5, algorithm=algorithm)
        equal(c.allocate().message.signed(), [MESSAGE_INTEGRITY_SHA256], "the answer's signatures")
    c = w.client(5)
    c.challenge()
    choice = (PASSWORD_ALGORITHM, stun.password_algorithms(stun.SHA256))
    whole = (PASSWORD_ALGORITHMS, c.algorithms)
    sha256 = stun.key(c.user, c.realm, c.password, stun.SHA256)
    for extra in (
        [choice],
        [whole],
        [(PASSWORD_ALGORITHMS, stun.password_algorithms(stun.SHA256)), choice],
        [(PASSWORD_ALGORITHMS, stun.password_algorithms(stun.MD5)), (PASSWORD_ALGORITHM, stun.password_algorithms(stun.MD5))],
        [(PASSWORD_ALGORITHMS, c.algorithms + b"\0\x03\0\0"), choice],
        [(PASSWORD_ALGORITHMS, b""), choice],
        [whole, (PASSWORD_ALGORITHM, stun.password_algorithms(3))],
        [whole, (PASSWORD_ALGORITHM, stun.password_algorithms(0))],
        [whole, (PASSWORD_ALGORITHM, b"\0\x02")],
    ):
        items = [UDP, *c.credentials(), *extra]
        answer = c.exchange(stun.encode(stun.ALLOCATE, stun.REQUEST, items, key=sha256, integrity=[MESSAGE_INTEGRITY_SHA256]))
        equal(answer.error, 400, f"the error with {extra}")


@fixed_users.case("C21 a nonce with altered feature bits: 438")
def _(w):
    c = w.client(6)
    c.challenge()
    own = c.nonce
    for features in (b"AAAA", b"gAAB", b"gAAA", b"QAAC", b"////"):
        c.nonce = own[:9] + features + own[13:]
        is_challenge(c.exchange(c.signed(stun.ALLOCATE, [UDP])), 438, c.algorithms)


@fixed_users.case("C22 with MESSAGE-INTEGRITY-SHA256 only that is judged; a failure is 401 with a new challenge")
def _(w):
    for i, algorithm in enumerate((stun.MD5, stun.SHA256)):
        c = w.client(7, algorithm=algorithm)
        c.challenge()
        base = [UDP, *c.credentials()]
        wrong = [(MESSAGE_INTEGRITY, bytes(20))]
        answer = c.exchange(stun.encode(stun.ALLOCATE, stun.REQUEST, base + wrong, key=c.key, integrity=[MESSAGE_INTEGRITY_SHA256]))
        equal(answer.cls, stun.SUCCESS, "the class when only MESSAGE-INTEGRITY is wrong")
        d = w.client(7, algorithm=algorithm)
        d.challenge()
        base = [UDP, *d.credentials()]
        wrong = [(MESSAGE_INTEGRITY_SHA256, bytes([i]) * 32)]
        is_challenge(
            d.exchange(stun.encode(stun.ALLOCATE, stun.REQUEST, base, key=d.key, integrity=[MESSAGE_INTEGRITY], after=wrong)), 401, d.algorithms
        )
        both = d.exchange(stun.encode(stun.ALLOCATE, stun.REQUEST, base, key=d.key, integrity=[MESSAGE_INTEGRITY, MESSAGE_INTEGRITY_SHA256]))
        equal(both.cls, stun.SUCCESS, "the class when both are right")


@fixed_users.case("C23 a truncated MESSAGE-INTEGRITY-SHA256 is refused")
def _(w):
    c = w.client(8, algorithm=stun.SHA256)
    c.challenge()
    for size in (16, 20, 28):
        # The MAC of the message as its length field says it, cut short: what RFC 8489 section 14.6 allows and TURN does not.
        items = [UDP, *c.credentials()]
        head = stun.encode(stun.ALLOCATE, stun.REQUEST, items + [(MESSAGE_INTEGRITY_SHA256, bytes(size))])
        mac = hmac.new(c.key, head[: len(head) - size - 4], "sha256").digest()
        raw = head[:-size] + mac[:size]
        answer = c.exchange(raw)
        check(answer.error in (400, 401), f"{answer} with {size} bytes")


@fixed_users.case("C26 a USERHASH stands for a user name")
def _(w):
    for algorithm in (stun.MD5, stun.SHA256):
        c = w.client(9, algorithm=algorithm)
        answer = c.request(stun.ALLOCATE, UDP, userhash=True)
        equal(answer.cls, stun.SUCCESS, "the class")
    c.user = "nobody"
    equal(c.error(stun.REFRESH, userhash=True), 401, "the error of an unknown hash")


@fixed_users.case("C27 an unknown user and a wrong password get the same 401, byte for byte")
def _(w):
    def refused(i, user, password, algorithm=None):
        c = w.client(i, user=user, password=password, algorithm=algorithm)
        answer = c.request(stun.ALLOCATE, UDP)
        is_challenge(answer, 401, c.algorithms)
        nonce = answer.get(NONCE)
        return answer.raw[:8] + answer.raw[20:].replace(nonce, b""), len(answer.raw)

    for algorithm in (None, stun.MD5, stun.SHA256):
        equal(
            refused(10, "nobody", "x", algorithm),
            refused(11, daemon.USER, "not alice's password", algorithm),
            "the answer to an unknown user, against that to a wrong password",
        )


@fixed_users.case("C28 a nonce that the server did not make: 438 with a nonce that works")
def _(w):
    c = w.client(12, algorithm=stun.SHA256)
    c.challenge()
    own = c.nonce
    for nonce in (b"x", b"obMatJos2wAAD" + b"0" * 32, own[:-1] + (b"A" if own[-1:] != b"A" else b"B"), own + b"A", b"0" * 127):
        c.nonce = nonce
        answer = c.exchange(c.signed(stun.ALLOCATE, [UDP]))
        is_challenge(answer, 438, c.algorithms)
    c.learn(answer)
    equal(c.exchange(c.signed(stun.ALLOCATE, [UDP])).cls, stun.SUCCESS, "the class with the new nonce")


@fixed_users.case("C29 answers after authentication are signed, errors too, as the request was")
def _(w):
    for algorithm, want in ((None, [MESSAGE_INTEGRITY]), (stun.MD5, [MESSAGE_INTEGRITY_SHA256]), (stun.SHA256, [MESSAGE_INTEGRITY_SHA256])):
        c = w.client(13, algorithm=algorithm)
        for answer in (
            c.request(stun.REFRESH),
            c.request(stun.ALLOCATE),
            c.request(stun.ALLOCATE, (stun.REQUESTED_TRANSPORT, b"\x06\0\0\0")),
            c.request(stun.ALLOCATE, UDP, (0x7000, b"")),
            c.request(stun.ALLOCATE, UDP),
            c.request(stun.CREATE_PERMISSION, stun.peer(("127.0.0.1", 0))),
            c.request(stun.CHANNEL_BIND),
            c.request(stun.REFRESH, stun.lifetime(0)),
        ):
            equal(answer.signed(), want, f"the signatures of {answer}")


@fixed_users.case("C31 user names: prepared (OpaqueString), at most 763 bytes, hostile ones are just unknown")
def _(w):
    c = w.client(14, user="Jos\u00e9", password="\u00fcmlaut p\u00e4ss")
    c.allocate()
    decomposed = w.client(14, user="Jose\u0301", password="\u00fcmlaut p\u00e4ss")
    decomposed.challenge()
    key = stun.key("Jos\u00e9", daemon.REALM, "\u00fcmlaut p\u00e4ss")
    items = [UDP, *decomposed.credentials()]
    answer = decomposed.exchange(stun.encode(stun.ALLOCATE, stun.REQUEST, items, key=key, integrity=[MESSAGE_INTEGRITY]))
    equal(answer.cls, stun.SUCCESS, "the class for a decomposed name")
    check(answer.verify(key), "its signature")
    c = w.client(14, user="u" * 764, password="x")
    check(c.error(stun.ALLOCATE, UDP) in (400, 401), "a name of 764 bytes was taken")


@fixed_users.case("S7 control characters, NUL, quotes, formats in USERNAME and REALM: 401 or 400, and no broken log line")
def _(w):
    names = [b"%s%n%s%n", b"a\r\nevent=forged level=info", b"nul\0nul", b'quo"te\' \\ ', b"\xff\xfe\xc0\x80", b"a b c", b""]
    for i, name in enumerate(names):
        c = w.client(i)
        c.challenge()
        for user, realm in ((name, daemon.REALM.encode()), (daemon.USER.encode(), name)):
            items = [UDP, (USERNAME, user), (REALM, realm), (NONCE, c.nonce)]
            answer = c.exchange(stun.encode(stun.ALLOCATE, stun.REQUEST, items, key=bytes(16), integrity=[MESSAGE_INTEGRITY]))
            check(answer.error in (400, 401, 438), f"{answer} for {user} and {realm}")
    check("event=forged" not in [x for line in w.daemon.log().splitlines() for x in line.split()[:3]], w.daemon.log())
    equal([line for line in w.daemon.log().splitlines() if "event=" not in line], [], "log lines without an event")


@fixed_users.case("C33 another user on an allocation: 441")
def _(w):
    c = w.client(16)
    c.allocate()
    c.user, c.password = daemon.USER_2, daemon.PASSWORD_2
    for method, items in (
        (stun.REFRESH, []),
        (stun.REFRESH, [stun.lifetime(0)]),
        (stun.CREATE_PERMISSION, [stun.peer((net.Standard.PEER, 0))]),
        (stun.CHANNEL_BIND, [stun.channel_number(0x4000), stun.peer((net.Standard.PEER, 7))]),
    ):
        equal(c.error(method, *items), 441, f"the error of method {method}")
    c.user, c.password = daemon.USER, daemon.PASSWORD
    c.refresh()


@tap.group
def md5_users():
    key = hashlib.md5(f"{daemon.USER}:{daemon.REALM}:{daemon.PASSWORD}".encode()).hexdigest()
    with world.standard({"user": [f"{daemon.USER}:0x{key}", f"{daemon.USER_2}:{daemon.PASSWORD_2}"]}) as w:
        yield w


@md5_users.case("C19 C32 a user known by its MD5 key logs in, and then SHA-256 is not offered")
def _(w):
    c = w.client()
    c.challenge()
    check(stun.password_algorithms(stun.SHA256) not in (c.algorithms or b""), f"PASSWORD-ALGORITHMS is {c.algorithms}")
    c.allocate()
    w.client(1, user=daemon.USER_2, password=daemon.PASSWORD_2).allocate()


SECRET, SECRET_2 = "the first secret", "north"


def by_secret(w, i, user, secret=SECRET, **kw):
    return w.client(i, user=user, password=stun.shared_secret_password(secret, user), **kw)


@tap.group
def shared_secrets():
    with world.standard({"static-auth-secret": [SECRET, SECRET_2]}) as w:
        yield w


@shared_secrets.case("C19 with shared secrets there is no user anonymity, SHA-256 still is")
def _(w):
    c = w.client()
    c.challenge()
    equal(c.nonce[:13], b"obMatJos2gAAB", "the nonce's cookie and features")
    check(stun.password_algorithms(stun.SHA256) in [c.algorithms[i : i + 4] for i in range(0, len(c.algorithms), 4)], "SHA-256 is not offered")


@shared_secrets.case("shared secret: expiry:user, user:expiry and a bare expiry, each secret, each algorithm, beside fixed users")
def _(w):
    later = int(time.time()) + 3600
    for i, name in enumerate((f"{later}:alice", f"carol:{later}", f"{later}", f"4711:{later}", f"a:b:{later}", f"{later}:a:b")):
        for secret in (SECRET, SECRET_2):
            for algorithm in (None, stun.MD5, stun.SHA256):
                by_secret(w, i, name, secret, algorithm=algorithm).allocate()
    w.client(7).allocate()
    w.client(7, user=daemon.USER_2, password=daemon.PASSWORD_2, algorithm=stun.SHA256).allocate()


@shared_secrets.case("shared secret: an expired one, a wrong one, a name that is none: 401")
def _(w):
    now = int(time.time())
    for i, (name, secret) in enumerate(
        (
            (f"{now - 1}:alice", SECRET),
            (f"alice:{now - 1}", SECRET_2),
            (f"{now - 1}", SECRET),
            (f"{now + 3600}:alice", "another secret"),
            ("alice", SECRET),
            ("999999999:alice", SECRET),
            (f"{now + 3600}.alice", SECRET),
        )
    ):
        c = by_secret(w, 8 + i, name, secret)
        equal(c.error(stun.ALLOCATE, UDP), 401, f"the error for {name}")


@shared_secrets.case("C50 no lifetime reaches beyond the credential's expiry, which wins over the 600 s")
def _(w):
    c = by_secret(w, 16, f"{int(time.time()) + 100}:dave")
    tap.within(c.allocate().lifetime, 90, 100, "LIFETIME")
    tap.within(c.refresh(3000).lifetime, 90, 100, "LIFETIME")
    tap.within(c.refresh().lifetime, 90, 100, "LIFETIME")
    c = by_secret(w, 16, f"{int(time.time()) + 1800}:dave")
    tap.within(c.allocate(stun.lifetime(3600)).lifetime, 1790, 1800, "LIFETIME")
    equal(c.refresh(700).lifetime, 700, "LIFETIME")


@shared_secrets.case("C33 the same user part with another expiry is another user name: 441")
def _(w):
    now = int(time.time())
    c = by_secret(w, 17, f"{now + 100}:erin")
    c.allocate()
    c.user = f"{now + 200}:erin"
    c.password = stun.shared_secret_password(SECRET, c.user)
    equal(c.error(stun.REFRESH), 441, "the error")


@tap.group
def separator():
    with world.standard({"static-auth-secret": SECRET, "rest-api-separator": "|", "user": None}) as w:
        yield w


@separator.case("shared secret: rest-api-separator")
def _(w):
    later = int(time.time()) + 3600
    for name in (f"{later}|alice", f"alice|{later}", f"{later}", f"{later}|a:b"):
        by_secret(w, 0, name).allocate()
    equal(by_secret(w, 1, f"{later}:alice").error(stun.ALLOCATE, UDP), 401, "the error with the usual separator")


@separator.case("S24 no password, key or secret in the log or the process's arguments")
def _(w):
    with open(f"/proc/{w.daemon.pid}/cmdline", "rb") as f:
        seen = f.read().decode() + w.daemon.log()
    for secret in (SECRET, base64.b64encode(SECRET.encode()).decode(), stun.shared_secret_password(SECRET, "x")):
        check(secret not in seen, f"{secret} is in\n{seen}")


tap.main()
