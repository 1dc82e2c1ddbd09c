#!/usr/bin/env python3
"""Faults that a test can't make from outside, put between the daemon and its libraries: sends that fail (F11), memory that runs out
(F13), a wall clock that is set (F22), a machine that was suspended (F23). See tests/func/faulty.c."""
import contextlib
import errno
import select
import signal
import time

from lib import daemon, faulty, net, stun, tap, world
from lib.call import Call, all_is_served, countable, descriptors, given_back
from lib.stun import LIFETIME, REQUESTED_TRANSPORT, UDP
from lib.tap import check, equal

net.need_namespaces()
daemon.need_daemon()
faulty.need()

S = net.Standard
SECRET = "a shared secret"
PACKETS = 300
EVERY = 3  # so manieth send fails
HOUR = 3600
STREAMS = 20
SUSPENDED_S = 600
STRANGER_S = 120  # of a stream without an allocation
DYING = 300  # more than a worker logs at once


@contextlib.contextmanager
def with_faults(settings=None):
    with daemon.Directory() as d:
        control = faulty.Control(d)
        usual = {"listening-port": 0, "static-auth-secret": SECRET, **countable(8), **(settings or {})}
        with world.standard(usual, program=faulty.TURNPIKED, env=control.environment()) as w:
            w.control = control
            yield w
            control.clear()  # before it has to end


def rest_client(w, i, expires):
    """A client whose credential ends at this time of the real clock."""
    name = f"{int(expires)}:eve"
    return w.client(i, user=name, password=stun.shared_secret_password(SECRET, name))


def deleted(w):
    return w.daemon.events("allocation_deleted")


# ---- F11 ----


@tap.group
def sends():
    with with_faults() as w:
        yield w


def third_fails(w, port, number, send, receive):
    """Of packets to this port every third one gets an error, and only that one is lost."""
    w.control.sends = w.control.sends_failed = 0
    w.control.send_port, w.control.send_errno, w.control.send_every = port, number, EVERY
    for i in range(1, PACKETS + 1):
        send(b"%d" % i)
        if i % EVERY:
            receive(b"%d" % i)
    tap.wait_until(lambda: w.control.sends == PACKETS, "all have been tried")
    w.control.send_every = 0
    send(b"behind the fault")
    receive(b"behind the fault")
    equal(w.control.sends_failed, PACKETS // EVERY, "the number of sends that have failed")
    return PACKETS // EVERY


@sends.case("F11 ENOBUFS and EAGAIN on send: that packet is lost and counted; nobody is disconnected, others lose nothing")
def _(w):
    up = down = 0
    with given_back(w), Call(w) as call:
        for number in (errno.ENOBUFS, errno.EAGAIN):
            for transport in ("udp", "tcp"):
                c, peer = w.client(0, transport), w.peer()
                c.allocate()
                c.bind(0x4000, peer.address)
                relayed = c.relayed[0]
                up += third_fails(w, peer.address[1], number, lambda d, x=c: x.send_channel(0x4000, d), lambda d, p=peer: p.expect(d, relayed))
                call.go_on()
                if transport == "udp":
                    down += third_fails(w, c.address[1], number, lambda d, p=peer: p.send(d, relayed), lambda d, x=c: x.expect_channel(0x4000, d))
                    call.go_on()
                c.refresh()
                c.refresh(0)
                c.close()
    w.daemon.stop()
    equal({e["reason"] for e in deleted(w)}, {'"refreshed with 0"'}, "the reasons of the ends of allocations")
    stats = w.daemon.worker_stats()[0]
    equal((stats.get("drop_peer_send"), stats.get("drop_client_send")), (up, down), "the packets to peers and to clients that were counted as lost")


# ---- F13 ----


@tap.group
def memory():
    with with_faults() as w:
        yield w


def attempt(c, method, *attributes):
    """The error of a request, 0 for a success, None for no answer: the Binding request behind it needs no memory."""
    raw, fence = c.signed(method, attributes), stun.encode(stun.BINDING, stun.REQUEST)
    c.send_raw(raw)
    c.send_raw(fence)
    error = None
    while True:
        m = c.receive("the answer to a Binding request")
        if m.txid == fence[8:20]:
            return error
        check(m.txid == raw[8:20], f"{m} came")
        error = m.error or 0


@memory.case("F13 each n-th allocation of memory fails: requests fail, a call loses nothing, and afterwards all is back", seconds=120)
def _(w):
    seen = set()
    with given_back(w), Call(w) as call:
        for every in (1, 2, 3, 5, 8, 13, 21, 34, 55, 89):
            clients = [w.client(0), w.client(1), rest_client(w, 2, time.time() + HOUR)]
            for c in clients:
                c.challenge()
            w.control.memory_failed, w.control.memory_every = 0, every
            for c in clients:
                error = attempt(c, stun.ALLOCATE, (REQUESTED_TRANSPORT, UDP))
                seen.add(error)
                check(error in (500, 508, None) or (error == 0 and every > 1), f"Allocate gets {error}")
                for i in range(20):
                    error = attempt(c, stun.CHANNEL_BIND, stun.channel_number(0x4000 + i), stun.peer((S.PEER, 1000 + i)))
                    check(error in (0, 437, 500, 508, None), f"ChannelBind gets {error}")
                call.go_on(5)
            check(w.control.memory_failed > 0, "no allocation of memory has failed")
            w.control.memory_every = 0
            for c in clients:
                error = attempt(c, stun.REFRESH, stun.lifetime(0))
                check(error in (0, 437), f"Refresh gets {error}")
                c.close()
            call.go_on()
    check({0, 508} <= seen, f"Allocate has only seen {seen}")


def served_or_closed(stream):
    """A stream that is neither would keep its client waiting."""
    try:
        stream.exchange(stun.encode(stun.BINDING, stun.REQUEST))
    except OSError:
        pass
    except tap.Failure as e:
        check("closed" in str(e), str(e))
    stream.close()


def allocation_fails(w, nth):
    """The nth allocation of memory fails while a stream comes. False: it took less of them."""
    w.control.memory = w.control.memory_failed = 0
    w.control.memory_every = nth
    stream = w.client(0, "tcp")
    stream.send_raw(stun.encode(stun.BINDING, stun.REQUEST))
    tap.wait_until(lambda: w.control.memory_failed or select.select([stream.sock], [], [], 0)[0], "an allocation fails, or none is left")
    w.control.memory_every = 0
    served_or_closed(stream)
    return w.control.memory_failed > 0


@memory.case("F13 each allocation of memory fails once while a stream comes: it is served or closed, and none is left over")
def _(w):
    before = descriptors(w.daemon.pid)
    streams = []
    for _ in range(STREAMS):  # with more of them libevent's tables grow
        nth = 1
        while allocation_fails(w, nth):
            nth += 1
        check(5 < nth < 100, f"a stream takes {nth} allocations")
        tap.wait_until(lambda: descriptors(w.daemon.pid) <= before + len(streams), "the descriptors are back")
        streams.append(w.client(1, "tcp"))
        equal(streams[-1].exchange(stun.encode(stun.BINDING, stun.REQUEST)).cls, stun.SUCCESS, "the class of an answer")
    for s in streams:
        s.close()
    tap.wait_until(lambda: descriptors(w.daemon.pid) <= before, "the descriptors are back")
    all_is_served(w)


# ---- F22, F23 ----


@tap.group
def clocks():
    with with_faults() as w:
        yield w


@clocks.case("F22 the wall clock is set by an hour: timers go on as they were, credentials expire by the new time")
def _(w):
    now = time.time()
    with given_back(w), Call(w) as call:
        fixed, soon, late = w.client(0), rest_client(w, 1, now + HOUR / 2), rest_client(w, 2, now + 3 * HOUR)
        peer = w.peer()
        for c in (fixed, soon, late):
            c.allocate()
            c.bind(0x4000, peer.address)
        past = rest_client(w, 3, now - HOUR / 2)
        equal(past.refuse_allocate(), 401, "the error of a credential that has expired")
        for ahead, refused, served in ((HOUR, soon, late), (-HOUR, None, soon), (0, past, soon)):
            w.control.wall_ahead_s = ahead
            for c in (fixed, soon, late):  # whoever has an allocation keeps it
                c.send_channel(0x4000, b"still here")
                peer.expect(b"still here", c.relayed[0])
            equal(fixed.refresh().lifetime, 600, f"LIFETIME with the clock at {ahead} s")
            equal(served.refresh().lifetime, 600, f"LIFETIME with the clock at {ahead} s")
            if refused:
                equal(refused.error(stun.REFRESH), 401, f"the error with the clock at {ahead} s")
            else:
                past.allocate()
                past.refresh(0)
            call.go_on()
        for c in (fixed, soon, late):
            c.refresh(0)
    equal({e["reason"] for e in deleted(w)}, {'"refreshed with 0"'}, "the reasons of the ends of allocations")


@clocks.case("S20 a stream without an allocation is closed after two minutes, however much it says; from the end of an allocation they count anew")
def _(w):
    with given_back(w), Call(w):
        talks, calls = w.client(0, "tcp"), w.client(1, "tcp")
        calls.allocate()
        talks.exchange_binding()
        for seconds in range(0, STRANGER_S, 30):
            w.control.boot_ahead_s = seconds
            talks.exchange_binding()
            calls.refresh()
        w.control.boot_ahead_s = begun = STRANGER_S + 1
        talks.send_raw(stun.encode(stun.BINDING, stun.REQUEST))
        talks.closed()
        calls.refresh(0)
        calls.exchange_binding()
        w.control.boot_ahead_s = begun + STRANGER_S - 30
        calls.exchange_binding()
        w.control.boot_ahead_s = begun + STRANGER_S + 1
        calls.send_raw(stun.encode(stun.BINDING, stun.REQUEST))
        calls.closed()


@tap.group
def suspended():
    with with_faults(countable(DYING + 4)) as w:
        yield w


def suspend(w):
    """For ten minutes, as its clocks tell."""
    w.daemon.kill(signal.SIGSTOP)
    w.control.boot_ahead_s = w.control.wall_ahead_s = SUSPENDED_S
    w.daemon.kill(signal.SIGCONT)


@suspended.case("F23 suspended for ten minutes: one pass ends all that has expired, the rest lives, and the log stays short")
def _(w):
    with given_back(w):
        lasting = [w.client(i) for i in range(3)]
        for c in lasting:
            c.allocate((LIFETIME, HOUR.to_bytes(4, "big")))
        kept = descriptors(w.daemon.pid)
        dying = [w.client(i % 20) for i in range(DYING)]
        for c in dying:
            c.allocate()
        equal(descriptors(w.daemon.pid), kept + DYING, "the number of descriptors with all the allocations")
        lines = len(w.daemon.log().splitlines())
        suspend(w)
        tap.wait_until(lambda: descriptors(w.daemon.pid) < kept + DYING, "something has expired")
        lasting[0].exchange(stun.encode(stun.BINDING, stun.REQUEST))  # behind the pass
        equal(descriptors(w.daemon.pid), kept, "the number of descriptors after one pass")
        tap.wait_until(lambda: any(e["reason"] == "expired" for e in deleted(w)), "the log tells of it")
        with Call(w) as call:
            call.go_on_calmly(w.daemon.pid)
            lines = len(w.daemon.log().splitlines()) - lines
            check(lines < DYING, f"{lines} lines in the log")
            equal(dying[0].error(stun.REFRESH), 437, "the error of what has expired")
            peer = w.peer()
            for c in lasting:
                c.bind(0x4000, peer.address)
                c.send_channel(0x4000, b"still here")
                peer.expect(b"still here", c.relayed[0])
                c.refresh(0)
            for c in dying:
                c.allocate()
                c.refresh(0)
    w.daemon.stop()
    equal(w.daemon.worker_stats()[0]["allocations_deleted"], w.daemon.worker_stats()[0]["allocations_created"], "allocations that have ended")


tap.main()
