#!/usr/bin/env python3
"""What a stranger can provoke, and what a user may send: rates, amplification, bandwidth (S15, S19, S21)."""
import contextlib
import select
import time

from lib import daemon, net, stun, tap, world
from lib.meter import passed_most
from lib.tap import check, equal, within

net.need_namespaces()
daemon.need_daemon()

HEADERS = 28  # IPv4 and UDP
RATE, BURST = 10, 50  # answers a second, and at once: unauthenticated-rate, and five times that


@tap.group
def slow_answers():
    with world.standard({"unauthenticated-rate": RATE, "workers": 1}) as w:  # one queue: what is sent behind a flood is read behind it
        yield w


def calm(w, i):
    """The answer to a source that asks again when a full queue has dropped what it asked."""
    c, raw = w.client(i), stun.encode(stun.BINDING, stun.REQUEST)

    def answered():
        c.send_raw(raw)
        return select.select([c.sock], [], [], 0.5)[0]  # its first retransmission, RFC 8489 section 6.2.1

    tap.wait_until(answered, "another source has an answer")
    return c.answer(raw[8:20], "an answer")


def arrived(c):
    """How many datagrams wait for this client."""
    c.sock.setblocking(False)
    n = 0
    with contextlib.suppress(BlockingIOError):
        while c.sock.recv(1500):
            n += 1
    return n


@slow_answers.case("S19 a flood from one source is answered up to a burst, another source is not disturbed, IPv6 counts by /64")
def _(w):
    binding = stun.encode(stun.BINDING, stun.REQUEST)
    allocate = stun.encode(stun.ALLOCATE, stun.REQUEST, [(stun.REQUESTED_TRANSPORT, stun.UDP)])
    for raw, first, v6, sources in ((binding, 0, False, 1), (allocate, 1, False, 1), (binding, 2, True, 2)):
        flooding = [w.client(first + i, v6=v6) for i in range(sources)]
        start = time.monotonic()
        for _ in range(BURST + 200):
            for c in flooding:
                c.send_raw(raw)
        equal(calm(w, first + 5).cls, stun.SUCCESS, "the class of another source's answer")  # and the flood has been read
        check(select.select([c.sock for c in flooding], [], [], tap.PATIENCE_S)[0], "not one answer")  # IPv4 and IPv6 are two queues
        answered = sum(arrived(c) for c in flooding)
        within(answered, 1, BURST + RATE * (time.monotonic() - start) + 1, f"the number of answers to {sources} of a kind")


@slow_answers.case("S19 a source with a valid credential is not limited")
def _(w):
    c = w.client(10)
    c.allocate()
    for _ in range(3 * BURST):
        c.refresh()
        c.exchange(stun.encode(stun.BINDING, stun.REQUEST))


@tap.group
def amplification():
    with world.standard() as w:
        yield w


@amplification.case("S19 the answer to a Binding request is at most 1.6 times its packet, a 401 at most 3.6 times a bare Allocate's")
def _(w):
    for v6, headers in ((False, HEADERS), (True, HEADERS + 20)):
        c = w.client(v6=v6)
        for method, items, most in ((stun.BINDING, [], 1.6), (stun.ALLOCATE, [(stun.REQUESTED_TRANSPORT, stun.UDP)], 3.6)):
            raw = stun.encode(method, stun.REQUEST, items)
            answer = c.exchange(raw)
            ratio = (len(answer.raw) + headers) / (len(raw) + headers)
            check(ratio <= most, f"method {method} (IPv6: {v6}): {len(raw)} bytes are answered with {len(answer.raw)}, {ratio:.2f} times")


GUESSES = 10  # wrong passwords, before a user and a source are not answered for a minute


@tap.group
def guessing():
    with world.standard() as w:
        yield w


@guessing.case("S15 a user and a source fall silent after ten wrong passwords; the user elsewhere, and others there, are served")
def _(w):
    c, elsewhere, other = w.client(1), w.client(2), w.client(1)
    c.challenge()
    wrong = stun.encode(
        stun.ALLOCATE, stun.REQUEST, [(stun.REQUESTED_TRANSPORT, stun.UDP), *c.credentials()], key=bytes(16), integrity=[stun.MESSAGE_INTEGRITY]
    )
    for _ in range(GUESSES):
        equal(c.exchange(wrong).error, 401, "the error")
    c.silent(wrong, c.signed(stun.ALLOCATE, [(stun.REQUESTED_TRANSPORT, stun.UDP)]))
    w.daemon.wait_log("event=credentials_throttled user=alice")
    elsewhere.allocate()
    other.user, other.password = daemon.USER_2, daemon.PASSWORD_2
    other.allocate()


@tap.group
def bandwidth():
    with world.standard({"max-bps": "80k"}) as w:
        yield w


@bandwidth.case("S21 max-bps holds in each direction, for each allocation by itself, and what is within it passes")
def _(w):
    flood = [b"%03d" % i + bytes(997) for i in range(200)]  # twenty seconds of it, at once
    for transport in ("udp", "tcp"):
        c, calm, peer = w.client(0, transport), w.client(1), w.peer()
        for x in (c, calm):
            x.allocate()
            x.bind(0x4000, peer.address)
        start = time.monotonic()
        for data in flood:
            c.send_channel(0x4000, data)
        c.exchange(stun.encode(stun.BINDING, stun.REQUEST))
        calm.send_channel(0x4000, b"calm")
        got = 0
        while peer.receive().source != calm.relayed[0]:
            got += 1
        within(got, 1, passed_most(start), f"packets of 200 that came up over {transport}")
        start = time.monotonic()
        for data in flood:
            peer.send(data, c.relayed[0])
        peer.send(b"calm", calm.relayed[0])
        calm.expect_channel(0x4000, b"calm")
        c.exchange(stun.encode(stun.BINDING, stun.REQUEST))
        within(len(c.inbox), 1, passed_most(start), f"packets of 200 that came down over {transport}")
        c.inbox.clear()


@bandwidth.case("S21 max-bps holds on the relay-relay way too, on both sides")
def _(w):
    a, b = w.client(2), w.client(3)
    for c in (a, b):
        c.allocate()
    a.bind(0x4000, b.relayed[0])
    b.bind(0x4000, a.relayed[0])
    start = time.monotonic()
    for i in range(200):
        a.send_channel(0x4000, b"%03d" % i + bytes(997))
    a.exchange(stun.encode(stun.BINDING, stun.REQUEST))
    b.exchange(stun.encode(stun.BINDING, stun.REQUEST))
    within(len(b.inbox), 1, passed_most(start), "packets of 200 that came")


@tap.group
def user_bandwidth():
    with world.standard({"user-max-bps": "80k", "max-bps": "8M", "bps-capacity": "24M", "workers": 2}) as w:
        yield w


@user_bandwidth.case("S21 user-max-bps: all allocations of a user share one bandwidth; bps-capacity: 508 when nothing is left; a reload changes both")
def _(w):
    peer, mine = w.peer(), [w.client(i) for i in range(2)]
    other = w.client(2)
    other.user, other.password = daemon.USER_2, daemon.PASSWORD_2
    for c in (*mine, other):
        c.allocate()
        c.bind(0x4000, peer.address)
    equal(w.client(3).refuse_allocate(), 508, "the error of the fourth, with three times 8M of 24M set aside")
    start = time.monotonic()
    for i in range(200):
        for c in mine:
            c.send_channel(0x4000, b"%03d" % i + bytes(997))
    for c in mine:
        c.exchange(stun.encode(stun.BINDING, stun.REQUEST))
    other.send_channel(0x4000, b"calm")
    got = 0
    while peer.receive().source != other.relayed[0]:
        got += 1
    within(got, 1, passed_most(start), "packets of two times 200 that came up")
    w.daemon.reload({"user-max-bps": "1G", "bps-capacity": "32M"})
    w.client(4).allocate()
    fresh, numbers = w.peer(), [b"%03d" % i + bytes(997) for i in range(100)]
    mine[0].bind(0x4001, fresh.address)
    while not select.select([fresh.sock], [], [], 0.01)[0]:  # the bucket was empty
        mine[0].send_channel(0x4001, b"first")
    for data in numbers:
        mine[0].send_channel(0x4001, data)
    came = [fresh.receive().data]
    while len(came) < 100 or came[-1] != numbers[-1]:
        came.append(fresh.receive().data)
    equal([x for x in came if x != b"first"], numbers, "what comes up under the new limit")


tap.main()
