#!/usr/bin/env python3
"""TCP clients that say nothing, not enough, do not read, or vanish: bounded in number, memory and time (S20, F24, F25)."""
import resource
import socket
import threading

from lib import daemon, net, stun, tap, world
from lib.call import Call, countable, descriptors, given_back, resident
from lib.tap import check, equal

net.need_namespaces()
daemon.need_daemon()

S = net.Standard
STRANGERS_MAX = 1024  # streams without an allocation from one source, a worker
SLOWEST_S = 120  # for what closes by itself after half a minute


def connect(w, i=0):
    s = w.net.cli.socket(socket.AF_INET, socket.SOCK_STREAM)
    s.settimeout(tap.PATIENCE_S)
    s.bind((w.net.client_ip(i), 0))
    s.connect((w.server, w.daemon.port("tcp")))
    return s


def ended(s):
    """Has the server closed it? Waits for nothing."""
    s.setblocking(False)
    try:
        return s.recv(4096) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


@tap.group
def streams():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    with world.standard(countable(16)) as w:
        yield w
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def strangers_come(w, call):
    """As many as may, and one more, beside clients that are known."""
    c, other = w.client(0, "tcp"), w.client(1, "tcp")
    c.allocate()  # and is none of them any more
    before = descriptors(w.daemon.pid)
    strangers = [connect(w) for _ in range(STRANGERS_MAX)]
    tap.wait_until(lambda: descriptors(w.daemon.pid) >= before + STRANGERS_MAX, "they are accepted")
    one_more = connect(w)
    tap.wait_until(lambda: ended(one_more), "one more is closed")
    check(not ended(strangers[0]), "it was closed like the others, for its silence")
    other.allocate()
    c.refresh()
    call.go_on()
    c.refresh(0)  # which makes it a stranger again
    now = descriptors(w.daemon.pid)
    strangers.pop().close()
    tap.wait_until(lambda: descriptors(w.daemon.pid) < now, "one is gone")
    instead = connect(w)
    tap.wait_until(lambda: ended(instead), "nobody takes its place: who has ended an allocation counts")
    for s in (*strangers, one_more, instead):
        s.close()
    tap.wait_until(lambda: descriptors(w.daemon.pid) < before + 20, "the descriptors are back")
    again = w.client(0, "tcp")
    again.allocate()
    for x in (c, other, again):
        x.close()


@streams.case("S20 streams without an allocation are bounded by source; calls and other sources are not touched")
def _(w):
    with Call(w) as call:
        strangers_come(w, call)  # the heap grows to what they take, once
    with given_back(w), Call(w) as call:
        strangers_come(w, call)


@streams.case("S20 F24 who says nothing, sends a byte now and then, or vanishes is closed; a silent call goes on", seconds=SLOWEST_S)
def _(w):
    with given_back(w), Call(w):
        silent, trickle = connect(w, 2), connect(w, 2)
        quiet, lost, peer = w.client(3, "tcp"), w.client(4, "tcp"), w.peer()
        for c in (quiet, lost):
            c.allocate()
            c.bind(0x4000, peer.address)
        gone = w.refusals(lost.relayed[0])
        w.net.cli.run(["nft", "-f", "-"], "table ip t {\n chain i { type filter hook input priority 0; ip daddr %s drop; }\n}\n" % w.net.client_ip(4))
        frame = iter(stun.encode(stun.BINDING, stun.REQUEST, [(stun.USERNAME, bytes(400))]))
        stop = threading.Event()

        def talk():
            while not stop.wait(0.5):
                peer.send(b"media", lost.relayed[0])
                try:
                    trickle.send(bytes([next(frame)]))
                except OSError:
                    pass

        thread = threading.Thread(target=talk)
        thread.start()
        try:
            for condition, what in (
                (lambda: ended(silent), "the silent one is closed"),
                (gone.refused, "the relayed address of the one that vanished is closed"),
                (lambda: ended(trickle), "the one that trickles is closed"),
            ):
                tap.wait_until(condition, what, seconds=SLOWEST_S / 2)
        finally:
            stop.set()
            thread.join()
            w.net.cli.run(["nft", "delete", "table", "ip", "t"])
        peer.send(b"still here", quiet.relayed[0])
        quiet.expect_channel(0x4000, b"still here")
        for x in (quiet, lost, silent, trickle):
            x.close()


@streams.case("F25 a client that does not read: a bounded queue, what is more is dropped and counted, and nobody else notices")
def _(w):
    with given_back(w), Call(w):
        slow, other, peer = w.client(5, "tcp"), w.client(6), w.peer()
        for c in (slow, other):
            c.allocate()
            c.bind(0x4000, peer.address)
        before = resident(w.daemon.pid)
        for _ in range(100):
            for _ in range(100):
                peer.send(bytes(1200), slow.relayed[0])
            peer.send(b"beside it", other.relayed[0])
            other.expect_channel(0x4000, b"beside it")
        check(resident(w.daemon.pid) - before < 2 << 20, f"{resident(w.daemon.pid) - before} bytes more are resident")
        slow.close()
        gone = w.refusals(slow.relayed[0])
        tap.wait_until(gone.refused, "its relayed address is closed")
        other.refresh(0)


@streams.case("S20 F25 what was refused and dropped has been counted")
def _(w):
    w.daemon.stop()
    stats = w.daemon.worker_stats()[0]
    for name in ("drop_streams_source", "drop_stream_slow", "drop_stream_full", "drop_stream_silent"):
        check(stats[name] > 0, f"{name} is {stats[name]}")
    equal(stats.get("drop_no_memory", 0), 0, "drop_no_memory")


tap.main()
