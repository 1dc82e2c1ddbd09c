#!/usr/bin/env python3
"""TCP clients: framing of a stream, what closes it, and what goes when it closes (C39, C68)."""
import os
import signal
import socket
import struct

from lib import daemon, net, stun, tap, world
from lib.call import Call, countable, given_back
from lib.client import Channel
from lib.tap import check, equal

net.need_namespaces()
daemon.need_daemon()

S = net.Standard


@tap.group
def streams():
    with world.standard() as w:
        yield w


def binding():
    return stun.encode(stun.BINDING, stun.REQUEST)


@streams.case("C39 pipelined requests are answered in order")
def _(w):
    for v6 in (False, True):
        c = w.client(transport="tcp", v6=v6)
        requests = [binding() for _ in range(200)]
        c.send_raw(b"".join(requests))
        for r in requests:
            answer = c.receive("an answer")
            equal((answer.txid, answer.address(stun.XOR_MAPPED_ADDRESS)), (r[8:20], c.address), "the answer")


@streams.case("C39 a challenge, an Allocate and a Binding request in one segment: each in turn")
def _(w):
    c = w.client(transport="tcp")
    c.challenge()
    raws = [
        stun.encode(stun.ALLOCATE, stun.REQUEST, [(stun.REQUESTED_TRANSPORT, stun.UDP)]),
        c.signed(stun.ALLOCATE, [(stun.REQUESTED_TRANSPORT, stun.UDP)]),
        c.signed(stun.CREATE_PERMISSION, [stun.peer((S.PEER, 0))]),
        c.signed(stun.REFRESH, [stun.lifetime(0)]),
        c.signed(stun.REFRESH),
        binding(),
    ]
    c.send_raw(b"".join(raws))
    answers = [c.receive("an answer") for _ in raws]
    equal([a.txid for a in answers], [r[8:20] for r in raws], "the order of the answers")
    equal([a.error for a in answers], [401, None, None, None, 437, None], "their errors")


@streams.case("C39 frames that straddle segments in every way")
def _(w):
    c, peer = w.client(transport="tcp"), w.peer()
    c.allocate()
    c.bind(0x4001, peer.address)
    datas = [bytes([i]) * (i * 7 % 97) for i in range(60)]
    stream = b"".join(stun.channel_data(0x4001, d, padded=True) for d in datas)
    at, step = 0, 1
    while at < len(stream):
        c.send_raw(stream[at : at + step])
        at, step = at + step, step * 5 % 131
    for d in datas:
        peer.expect(d)


@streams.case("C39 after an allocation, what is neither STUN nor ChannelData closes the stream, and the allocation goes with it")
def _(w):
    for bad in (b"\x80" * 20, b"\xff" * 20, b"\x16\x03\x01\x02\x00"):
        c = w.client(transport="tcp")
        relayed = c.allocate().addresses[0]
        c.send_raw(bad)
        c.closed()
        gone = w.refusals(relayed)
        tap.wait_until(gone.refused, "the relayed address is closed")


@streams.case("C39 when the client closes, with FIN or RST, its relayed address is closed")
def _(w):
    for reset in (False, True):
        c = w.client(transport="tcp")
        relayed = c.allocate().addresses[0]
        gone = w.refusals(relayed)
        check(not gone.refused(), "the relayed address was not open")
        if reset:
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        c.close()
        tap.wait_until(gone.refused, "the relayed address is closed")


@streams.case("C39 a half frame, then the end: the stream is closed and nothing else happens")
def _(w):
    for half in (binding()[:10], binding()[:1], b"\x00\x01\x01\x00"):
        c = w.client(transport="tcp")
        c.send_raw(half)
        c.sock.shutdown(socket.SHUT_WR)
        equal(c.closed(), b"", "what came")


@streams.case("C68 ChannelData on TCP is padded to 4 in both directions, outside of Length")
def _(w):
    c, peer = w.client(transport="tcp"), w.peer()
    relayed = c.allocate().addresses[0]
    c.bind(0x4001, peer.address)
    for size in (*range(10), 171, 172, 173, 1399, 1400, 1401):
        data = bytes(range(256)) * 6
        c.send_channel(0x4001, data[:size])
        peer.expect(data[:size], relayed)
        peer.send(data[:size], relayed)
        c.expect_channel(0x4001, data[:size])  # the padding is judged on receipt


@streams.case("C68 the largest ChannelData and the largest Data on a stream")
def _(w):
    c, peer = w.client(transport="tcp"), w.peer()
    relayed = c.allocate().addresses[0]
    c.permit(S.PEER)
    data = bytes(i * i % 251 for i in range(9000))
    c.send_to(peer.address, data)
    peer.expect(data, relayed)
    peer.send(data, relayed)
    c.expect_data(data, peer.address)
    c.bind(0x4001, peer.address)
    for size in (9000, 20000):
        data = bytes(i * i % 251 for i in range(size))
        c.send_channel(0x4001, data)
        peer.expect(data, relayed)
        peer.send(data, relayed)
        c.expect_channel(0x4001, data)


@streams.case("C72 from a stream ECN is 0, whatever the stream had")
def _(w):
    c, peer = w.client(transport="tcp"), w.peer()
    c.allocate()
    c.bind(0x4001, peer.address)
    c.send_channel(0x4001, b"tos")
    equal(peer.expect(b"tos").tos & 3, 0, "ECN")


@streams.case("many streams at once, each its own allocation, no cross-talk")
def _(w):
    peer = w.peer()
    clients = [w.client(i % 20, "tcp") for i in range(60)]
    for i, c in enumerate(clients):
        c.allocate()
        c.bind(0x4000 + i, peer.address)
    for i, c in enumerate(clients):
        c.send_channel(0x4000 + i, b"%d" % i)
    seen = {}
    for _ in clients:
        p = peer.receive()
        seen[p.source] = p.data
    for i, c in enumerate(clients):
        equal(seen[c.relayed[0]], b"%d" % i, "the data from a relayed address")
        peer.send(b"back %d" % i, c.relayed[0])
    for i, c in enumerate(clients):
        equal(c.receive(), Channel(0x4000 + i, b"back %d" % i), "what came back")


MANY, TURN = 200, 64  # small frames, which fit a peer's queue; and of them those before others are served


def stopped(pid):
    threads = os.listdir(f"/proc/{pid}/task")
    for t in threads:
        with open(f"/proc/{pid}/task/{t}/stat", encoding="ascii") as f:
            if f.read().rsplit(")", 1)[1].split()[0] != "T":
                return False
    return True


@streams.case("S20 a stream with hundreds of small frames waiting lets others pass, and loses none")
def _(w):
    c, other, peer = w.client(0, "tcp"), w.client(1), w.peer()
    for x in (c, other):
        x.allocate()
        x.bind(0x4001, peer.address)
    w.daemon.kill(signal.SIGSTOP)
    try:
        tap.wait_until(lambda: stopped(w.daemon.pid), "all its threads have stopped")
        c.send_raw(b"".join(stun.channel_data(0x4001, b"%03d" % i, padded=True) for i in range(MANY)))
        other.send_channel(0x4001, b"other")
    finally:
        w.daemon.kill(signal.SIGCONT)
    came = [peer.receive().data for _ in range(MANY + 1)]
    check(came.index(b"other") <= TURN, f"the other had to wait for {came.index(b'other')} frames")
    came.remove(b"other")
    equal(came, [b"%03d" % i for i in range(MANY)], "what came of the stream")
    c.exchange_binding()  # it is read again
    c.refresh(0)


@tap.group
def faulty():
    with world.standard(countable(8)) as w:
        yield w


@faulty.case("C39 F27 a request and ChannelData, one byte a segment")
def _(w):
    with given_back(w), Call(w):
        c, peer = w.client(transport="tcp"), w.peer()
        for byte in binding():
            c.send_raw(bytes([byte]))
        equal(c.receive("an answer").cls, stun.SUCCESS, "the class")
        relayed = c.allocate().addresses[0]
        c.bind(0x4001, peer.address)
        for byte in stun.channel_data(0x4001, b"split", padded=True) + stun.channel_data(0x4001, b"again", padded=True):
            c.send_raw(bytes([byte]))
        peer.expect(b"split", relayed)
        peer.expect(b"again", relayed)
        c.close()


@faulty.case("C39 F27 S20 before an allocation exists, whatever is not STUN, or too long for a request, closes the stream")
def _(w):
    with given_back(w), Call(w):
        request = binding()
        for bad in (
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"POST ",
            stun.channel_data(0x4000, b"data", padded=True),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"\x80" * 20,
            b"\xff" * 20,
            request[:4] + bytes(4) + request[8:],
            request[:2] + b"\x00\x03" + request[4:],
            request[:2] + b"\x08\x00" + request[4:],  # 2048 bytes to come: more than any request has
        ):
            c = w.client(transport="tcp")
            c.send_raw(bad)
            equal(c.closed(), b"", f"what came after {bad}")
            c = w.client(transport="tcp")
            equal(c.exchange(request).cls, stun.SUCCESS, "the class")
            c.send_raw(bad)
            equal(c.closed(), b"", f"what came after a request and {bad}")


@faulty.case("C39 what closed a stream has been counted")
def _(w):
    w.daemon.stop()
    stats = w.daemon.worker_stats()[0]
    equal((stats.get("drop_not_stun"), stats.get("drop_stream_long")), (16, 2), "what is no STUN, and what is too long")


tap.main()
