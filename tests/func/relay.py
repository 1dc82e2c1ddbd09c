#!/usr/bin/env python3
"""Refresh, permissions, Send and Data, channels, and where a relay may send (RFC 8656 sections 8 to 12)."""
import ipaddress
import struct

from lib import daemon, net, stun, tap, world
from lib.client import Endpoint
from lib.stun import CHANNEL_NUMBER, DATA, LIFETIME, REQUESTED_ADDRESS_FAMILY, XOR_PEER_ADDRESS
from lib.tap import check, equal

net.need_namespaces()
daemon.need_daemon()

S = net.Standard
BOTH = (stun.ADDITIONAL_ADDRESS_FAMILY, stun.IPV6)
V4, V6 = (REQUESTED_ADDRESS_FAMILY, stun.IPV4), (REQUESTED_ADDRESS_FAMILY, stun.IPV6)


@tap.group
def usual():
    with world.standard() as w:
        yield w


def dual(w, **kw):
    """A client with both families: (client, its IPv4 relayed address, its IPv6 one)."""
    c = w.client(**kw)
    relayed = c.allocate(BOTH).addresses
    return c, next(a for a in relayed if ":" not in a[0]), next(a for a in relayed if ":" in a[0])


def passes(c, relayed, peer, text):
    """Data go both ways."""
    c.send_to(peer.address, b"to " + text)
    peer.expect(b"to " + text, relayed)
    peer.send(b"from " + text, relayed)
    c.expect_data(b"from " + text, peer.address)


def unheard(c, relayed, fence, *peers):
    """What these peers send to the relayed address is dropped: `fence`, which has a permission, sends last and is heard first."""
    for peer in peers:
        peer.send(b"should be dropped", relayed)
    fence.send(b"behind what should be dropped", relayed)
    c.expect_data(b"behind what should be dropped", fence.address)


@usual.case("C53 without an allocation: requests get 437, indications and ChannelData are dropped")
def _(w):
    c, peer = w.client(), w.peer()
    for method, items in (
        (stun.REFRESH, []),
        (stun.REFRESH, [stun.lifetime(0)]),
        (stun.CREATE_PERMISSION, [stun.peer((S.PEER, 0))]),
        (stun.CREATE_PERMISSION, []),
        (stun.CHANNEL_BIND, [stun.channel_number(0x4000), stun.peer(peer.address)]),
    ):
        equal(c.error(method, *items), 437, f"the error of method {method}")
    c.silent(
        stun.encode(stun.SEND, stun.INDICATION, [stun.peer(peer.address), (DATA, b"x")]),
        stun.encode(stun.DATA_METHOD, stun.INDICATION, [stun.peer(peer.address), (DATA, b"x")]),
        stun.channel_data(0x4000, b"x"),
    )


@usual.case("C54 Refresh 0: the relayed address, permissions and channels are gone at once")
def _(w):
    for transport in ("udp", "tcp"):
        c, peer = w.client(transport=transport), w.peer()
        relayed = c.allocate().addresses[0]
        c.bind(0x4000, peer.address)
        passing = w.refusals(relayed)
        peer.send(b"alive", relayed)
        c.expect_channel(0x4000, b"alive")
        equal(c.refresh(0).lifetime, 0, "the lifetime in the answer")
        check(passing.refused_at_once(), "no ICMP error came from the relayed port")
        # A new allocation on the same 5-tuple starts with nothing.
        again = c.allocate().addresses[0]
        c.send_channel(0x4000, b"an old channel")
        c.send_to(peer.address, b"an old permission")
        c.permit(S.PEER_2)
        unheard(c, again, w.peer(S.PEER_2), peer)
        c.permit(S.PEER)
        passes(c, again, peer, b"the new allocation")


@usual.case("C54 Refresh 0 a hundred times: no port lives on")
def _(w):
    c = w.client()
    for _ in range(100):
        relayed = c.allocate().addresses[0]
        c.refresh(0)
        with_socket = w.refusals(relayed)
        check(with_socket.refused_at_once(), f"{relayed} lives on")
        with_socket.sock.close()


@usual.case("C54 C50 a Refresh without LIFETIME means 600 s; a malformed one is 400 and changes nothing")
def _(w):
    c = w.client()
    c.allocate(stun.lifetime(3000))
    equal(c.refresh().lifetime, 600, "the lifetime")
    for bad in (b"", b"\0\0\0", bytes(8)):
        equal(c.error(stun.REFRESH, (LIFETIME, bad)), 400, f"the error of LIFETIME {bad}")
    c.refresh()


@usual.case("C55 Refresh with a family that the allocation has not: 443; unknown: 440 or 443")
def _(w):
    c = w.client()
    c.allocate()
    equal(c.error(stun.REFRESH, V6), 443, "the error")
    equal(c.error(stun.REFRESH, stun.lifetime(0), V6), 443, "the error")
    check(c.error(stun.REFRESH, (REQUESTED_ADDRESS_FAMILY, b"\x05\0\0\0")) in (400, 440, 443), "an unknown family was taken")
    c.refresh(None, V4)


@usual.case("C55 a dual allocation deletes one family, the other lives on")
def _(w):
    for transport in ("udp", "tcp"):
        for gone in (V4, V6):
            c, r4, r6 = dual(w, transport=transport)
            peers = {V4: w.peer(), V6: w.peer(S.PEER6)}
            relayed = {V4: r4, V6: r6}
            c.permit(S.PEER, S.PEER6)
            for family in (V4, V6):
                passes(c, relayed[family], peers[family], b"both")
            equal(c.refresh(0, gone).lifetime, 0, "the lifetime in the answer")
            ip = S.PEER if gone is V4 else S.PEER6
            check(w.refusals(relayed[gone], ip).refused_at_once(), "the deleted half lives on")
            kept = V6 if gone is V4 else V4
            passes(c, relayed[kept], peers[kept], b"the other half")
            equal(c.error(stun.REFRESH, gone), 443, "the error of refreshing what was deleted")
            equal(c.error(stun.CREATE_PERMISSION, stun.peer((ip, 0))), 443, "the error of permitting a peer of what was deleted")
            c.refresh(0, kept)
            equal(c.error(stun.REFRESH), 437, "the error when both are gone")
            c.allocate()


@usual.case("C57 CreatePermission: none, or one that is malformed: 400")
def _(w):
    c = w.client()
    c.allocate()
    equal(c.error(stun.CREATE_PERMISSION), 400, "the error without a peer")
    good = stun.xor_address((S.PEER, 0))
    for bad in (b"", good[:7], good + bytes(4), b"\0\x02" + good[2:], b"\0\x03" + good[2:], b"\0\0" + good[2:]):
        check(c.error(stun.CREATE_PERMISSION, (XOR_PEER_ADDRESS, bad)) in (400, 443), f"peer {bad.hex()} was taken")


@usual.case("C57 several peers, one of them bad: 400, 443 or 403, and none is installed")
def _(w):
    good = stun.peer((S.PEER, 0))
    for bad, error in (
        ((XOR_PEER_ADDRESS, stun.xor_address((S.PEER, 0))[:6]), 400),
        (stun.peer((S.PEER6, 0)), 443),
        (stun.peer(("192.168.1.1", 0)), 403),
        (stun.peer(("::ffff:127.0.0.1", 0)), 403),
    ):
        for items in ([good, bad], [bad, good], [good, good, bad]):
            c, peer = w.client(), w.peer()
            relayed = c.allocate().addresses[0]
            equal(c.error(stun.CREATE_PERMISSION, *items), error, "the error")
            c.send_to(peer.address, b"up, without permission")
            c.permit(S.PEER_2)
            unheard(c, relayed, w.peer(S.PEER_2), peer)
            c.permit(S.PEER)
            passes(c, relayed, peer, b"with permission")
            c.refresh(0)


@usual.case("C57 several good peers, of both families, in one request")
def _(w):
    c, r4, r6 = dual(w)
    c.permit(S.PEER, S.PEER_2, S.PEER6)
    for peer, relayed in ((w.peer(), r4), (w.peer(S.PEER_2), r4), (w.peer(S.PEER6), r6)):
        passes(c, relayed, peer, b"one of three")


@usual.case("C58 C59 a permission is by address only; other addresses are dropped, both ways")
def _(w):
    c, a, b, other = w.client(), w.peer(), w.peer(), w.peer(S.PEER_2)
    relayed = c.allocate().addresses[0]
    c.permit(S.PEER)
    passes(c, relayed, a, b"the first port")
    c.send_to(other.address, b"another address")
    unheard(c, relayed, a, other)
    passes(c, relayed, b, b"the second port")
    c.permit(S.PEER_2)
    passes(c, relayed, other, b"now permitted")


@usual.case("C60 Send: needs a peer and DATA; empty data are data; without permission dropped, and no permission comes of it")
def _(w):
    for transport in ("udp", "tcp"):
        c, peer, other = w.client(transport=transport), w.peer(), w.peer(S.PEER_2)
        relayed = c.allocate().addresses[0]
        c.permit(S.PEER)
        for bad in (
            [stun.peer(peer.address)],
            [(DATA, b"no peer")],
            [(XOR_PEER_ADDRESS, b"\0\x01\0\0"), (DATA, b"half a peer")],
            [stun.peer((S.PEER6, 9)), (DATA, b"another family")],
            [stun.peer(peer.address), (DATA, b"unknown attribute"), (0x7000, b"")],
            [stun.peer(other.address), (DATA, b"no permission")],
        ):
            c.send_raw(stun.encode(stun.SEND, stun.INDICATION, bad))
        other.send(b"no permission either", relayed)
        c.send_to(peer.address, b"")
        peer.expect(b"", relayed)
        peer.send(b"", relayed)
        c.expect_data(b"", peer.address)
        c.permit(S.PEER_2)
        passes(c, relayed, other, b"the other")


@usual.case("C60 Send and Data of many sizes, padding and all")
def _(w):
    c, peer = w.client(), w.peer()
    relayed = c.allocate().addresses[0]
    c.permit(S.PEER)
    for size in (*range(9), 171, 172, 173, 1200, 1399, 1400):
        passes(c, relayed, peer, bytes(i & 255 for i in range(size)))


@usual.case("C61 from a peer with a channel comes ChannelData, from another port Data")
def _(w):
    c, peer, other = w.client(), w.peer(), w.peer()
    relayed = c.allocate().addresses[0]
    c.permit(S.PEER)
    passes(c, relayed, peer, b"before the bind")
    c.bind(0x4003, peer.address)
    peer.send(b"bound", relayed)
    c.expect_channel(0x4003, b"bound")
    other.send(b"not bound", relayed)
    c.expect_data(b"not bound", other.address)
    c.send_to(peer.address, b"Send goes on")
    peer.expect(b"Send goes on", relayed)


@usual.case("C63 empty ChannelData is an empty datagram, and the other way round")
def _(w):
    for transport in ("udp", "tcp"):
        c, peer = w.client(transport=transport), w.peer()
        relayed = c.allocate().addresses[0]
        c.bind(0x4000, peer.address)
        c.send_channel(0x4000, b"")
        peer.expect(b"", relayed)
        peer.send(b"", relayed)
        c.expect_channel(0x4000, b"")


@usual.case("C64 channels 0x4000 to 0x7FFF; any other number is 400, and data on it are dropped")
def _(w):
    c = w.client()
    relayed = c.allocate().addresses[0]
    for number in (0x4000, 0x4FFF, 0x5000, 0x6ABC, 0x7FFF):
        peer = w.peer()
        c.bind(number, peer.address)
        c.send_channel(number, b"%x" % number)
        peer.expect(b"%x" % number, relayed)
        peer.send(b"%x" % number, relayed)
        c.expect_channel(number, b"%x" % number)
    peer = w.peer()
    for number in (0, 1, 0x3FFF, 0x8000, 0xFFFF):
        equal(c.error(stun.CHANNEL_BIND, stun.channel_number(number), stun.peer(peer.address)), 400, f"the error of channel {number:#x}")
        c.silent(stun.channel_data(number, b"data"))


@usual.case("C64 ChannelBind without its attributes, or malformed: 400")
def _(w):
    c, peer = w.client(), w.peer()
    c.allocate()
    number, to = stun.channel_number(0x4000), stun.peer(peer.address)
    for items in ([], [number], [to], [(CHANNEL_NUMBER, b"\x40\x00"), to], [(CHANNEL_NUMBER, b""), to], [number, (XOR_PEER_ADDRESS, b"\0\1\0\0")]):
        equal(c.error(stun.CHANNEL_BIND, *items), 400, f"the error of {items}")
    answer = c.request(stun.CHANNEL_BIND, (CHANNEL_NUMBER, b"\x40\x00\xff\xff"), to)  # "RFFU ... MUST be ignored on reception"
    equal(answer.cls, stun.SUCCESS, "the class with reserved bits set")


@usual.case("C65 a channel of another peer, a peer of another channel: 400, and the old binding stays; the same again is good")
def _(w):
    c, a, b = w.client(), w.peer(), w.peer()
    relayed = c.allocate().addresses[0]
    c.bind(0x4000, a.address)
    equal(c.error(stun.CHANNEL_BIND, stun.channel_number(0x4000), stun.peer(b.address)), 400, "the error")
    equal(c.error(stun.CHANNEL_BIND, stun.channel_number(0x4001), stun.peer(a.address)), 400, "the error")
    c.bind(0x4000, a.address)
    c.bind(0x4001, b.address)
    for number, peer in ((0x4000, a), (0x4001, b)):
        c.send_channel(number, b"%x" % number)
        peer.expect(b"%x" % number, relayed)
        peer.send(b"%x" % number, relayed)
        c.expect_channel(number, b"%x" % number)


@usual.case("C65 ChannelBind makes the permission too, for the whole address")
def _(w):
    c, a, b = w.client(), w.peer(), w.peer()
    relayed = c.allocate().addresses[0]
    c.bind(0x4000, a.address)
    passes(c, relayed, b, b"another port")


@usual.case("C66 ChannelBind: another family 443, a denied peer 403, 403 before 443")
def _(w):
    c = w.client()
    c.allocate()
    for address, error in (((S.PEER6, 9), 443), (("10.1.1.1", 9), 403), (("127.0.0.1", 9), 403), (("::ffff:10.1.1.1", 9), 403), (("::1", 9), 403)):
        equal(c.error(stun.CHANNEL_BIND, stun.channel_number(0x4000), stun.peer(address)), error, f"the error for {address}")


@usual.case("C67 S13 ChannelData that is shorter than it says, or of no channel, relays nothing")
def _(w):
    c, peer = w.client(), w.peer()
    relayed = c.allocate().addresses[0]
    c.bind(0x4000, peer.address)
    for raw in (
        struct.pack("!HH", 0x4000, 35510) + b"short",
        struct.pack("!HH", 0x4000, 0xFFFF) + b"short" * 200,
        struct.pack("!HH", 0x4000, 6) + b"short",
        struct.pack("!HH", 0x4000, 1),
        struct.pack("!H", 0x4000),
        b"\x40",
        stun.channel_data(0x4001, b"no channel"),
        stun.channel_data(0x7FFF, b"no channel"),
    ):
        c.silent(raw)
    c.send_channel(0x4000, b"whole")
    peer.expect(b"whole", relayed)


@usual.case("C68 on UDP padded ChannelData is taken, and none is sent")
def _(w):
    c, peer = w.client(), w.peer()
    relayed = c.allocate().addresses[0]
    c.bind(0x4000, peer.address)
    for size in range(8):
        c.send_raw(stun.channel_data(0x4000, b"x" * size, padded=True))
        peer.expect(b"x" * size, relayed)
        peer.send(b"x" * size, relayed)
        c.expect_channel(0x4000, b"x" * size)  # padding would be refused


@usual.case("C83 Binding works on an allocation's 5-tuple, and two clients relay to each other")
def _(w):
    for transports in (("udp", "udp"), ("udp", "tcp"), ("tcp", "tcp")):
        a, b = (w.client(i, t) for i, t in enumerate(transports))
        for c in (a, b):
            c.allocate()
            answer = c.exchange(stun.encode(stun.BINDING, stun.REQUEST))
            equal(answer.address(stun.XOR_MAPPED_ADDRESS), c.address, "XOR-MAPPED-ADDRESS")
        a.permit(S.RELAY)
        b.permit(S.RELAY)
        a.send_to(b.relayed[0], b"from a")
        b.expect_data(b"from a", a.relayed[0])
        b.send_to(a.relayed[0], b"from b")
        a.expect_data(b"from b", b.relayed[0])


@usual.case("S8 attributes behind MESSAGE-INTEGRITY have no effect: LIFETIME, peers, a channel")
def _(w):
    for algorithm in (None, stun.SHA256):
        c, peer, other = w.client(algorithm=algorithm), w.peer(), w.peer(S.PEER_2)
        relayed = c.allocate().addresses[0]
        equal(c.exchange(c.signed(stun.REFRESH, after=[stun.lifetime(0)])).lifetime, 600, "the lifetime")
        equal(c.exchange(c.signed(stun.REFRESH, [stun.lifetime(700)], after=[stun.lifetime(900)])).lifetime, 700, "the lifetime")
        equal(c.exchange(c.signed(stun.CREATE_PERMISSION, after=[stun.peer((S.PEER, 0))])).error, 400, "the error")
        raw = c.signed(stun.CREATE_PERMISSION, [stun.peer((S.PEER, 0))], after=[stun.peer((S.PEER_2, 0)), stun.peer(("127.0.0.1", 0))])
        equal(c.exchange(raw).cls, stun.SUCCESS, "the class")
        raw = c.signed(stun.CHANNEL_BIND, [stun.channel_number(0x4000)], after=[stun.peer(peer.address)])
        equal(c.exchange(raw).error, 400, "the error")
        other.send(b"no permission", relayed)
        passes(c, relayed, peer, b"the permitted one")
        late = w.client(algorithm=algorithm)
        late.challenge()
        answer = late.exchange(late.signed(stun.ALLOCATE, after=[(stun.REQUESTED_TRANSPORT, stun.UDP)]))
        equal(answer.error, 400, "the error of an Allocate whose transport is not signed")
        equal(c.exchange(c.signed(stun.REFRESH, after=[(0x7001, b"unknown")])).cls, stun.SUCCESS, "the class with an unknown attribute behind")


@usual.case("C5 of a duplicate attribute the first counts")
def _(w):
    c = w.client()
    equal(c.allocate(stun.lifetime(1000), stun.lifetime(2000)).lifetime, 1000, "the lifetime")
    equal(c.request(stun.REFRESH, stun.lifetime(800), stun.lifetime(0)).lifetime, 800, "the lifetime")


# ---- where a relay may send ----
DENIED4 = """0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.1 127.255.255.255 169.254.0.1 169.254.169.254
172.16.0.0 172.31.255.255 192.0.0.0 192.0.0.255 192.0.2.0 192.0.2.255 192.88.99.1 192.168.0.1 192.168.255.255 198.18.0.0 198.19.255.255
198.51.100.0 198.51.100.255 224.0.0.1 239.255.255.255 240.0.0.0 255.255.255.255""".split()
ALLOWED4 = """1.0.0.1 9.255.255.255 11.0.0.10 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 169.253.255.255 169.255.0.0 172.15.255.255
172.32.0.0 191.255.255.255 192.0.1.0 192.0.3.0 192.88.98.255 192.88.100.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0
198.51.99.255 198.51.101.0 223.255.255.255""".split()
DENIED6 = """:: ::1 ::7f00:1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:8.8.8.8 ::ffff:0:8.8.8.8 ::ffff:0:7f00:1 64:ff9b::7f00:1
64:ff9b::8.8.8.8 64:ff9b:1::1 100::1 2001::1 2001:0:7f00:1:0:0:80ff:fffe 2001:1ff:ffff::1 2001:db8::1 2001:db8:ffff::1 2002:7f00:1::1
2002:a00:1::1 2002:808:808::1 3fff::1 3fff:fff::1 fc00::1 fdff::1 fe80::1 febf::1 fec0::1 feff::1 ff02::1 ffff::1""".split()
ALLOWED6 = "2400:0:0:1::10 2001:200::1 2001:db7::1 2001:db9::1 2003::1 2600::1 3ffe::1 3fff:1000::1".split()


@usual.case("S1 S2 every special range and every embedding of IPv4 is denied: CreatePermission and ChannelBind 403, Send dropped")
def _(w):
    c = w.client()
    c.allocate(BOTH)
    for ip in DENIED4 + DENIED6:
        equal(c.error(stun.CREATE_PERMISSION, stun.peer((ip, 0))), 403, f"CreatePermission's error for {ip}")
        equal(c.error(stun.CHANNEL_BIND, stun.channel_number(0x4000), stun.peer((ip, 3478))), 403, f"ChannelBind's error for {ip}")
        c.silent(stun.encode(stun.SEND, stun.INDICATION, [stun.peer((ip, 3478)), (DATA, stun.encode(stun.BINDING, stun.REQUEST))]))


@usual.case("S1 the neighbours of the special ranges are allowed")
def _(w):
    c = w.client()
    c.allocate(BOTH)
    for ip in ALLOWED4 + ALLOWED6:
        c.permit(ip)
    for i, ip in enumerate(ALLOWED4 + ALLOWED6):
        c.bind(0x4000 + i, (ip, 40000))


@usual.case("S2 403 wins over 443: an embedded IPv4 address is judged first, on an IPv4-only allocation too")
def _(w):
    c = w.client()
    c.allocate()
    for ip in ("::ffff:127.0.0.1", "::ffff:192.168.0.1", "2002:7f00:1::1", "64:ff9b::a00:1", "::1"):
        equal(c.error(stun.CREATE_PERMISSION, stun.peer((ip, 0))), 403, f"the error for {ip}")
    c6 = w.client(v6=True)
    c6.allocate(V6)
    equal(c6.error(stun.CREATE_PERMISSION, stun.peer(("127.0.0.1", 0))), 403, "the error")
    equal(c6.error(stun.CREATE_PERMISSION, stun.peer((S.PEER, 0))), 443, "the error")


@usual.case("S16 the server's own addresses are denied, with every port that is no relayed address of ours")
def _(w):
    c, other = w.client(), w.client(1)
    c.allocate(BOTH)
    other.allocate()
    for ip in (S.SERVER, S.SERVER_2, "11.0.0.1", S.SERVER6, "2400:0:0:1::1"):
        equal(c.error(stun.CREATE_PERMISSION, stun.peer((ip, 0))), 403, f"CreatePermission's error for {ip}")
        for port in (22, 3478, 50000):
            equal(c.error(stun.CHANNEL_BIND, stun.channel_number(0x4000), stun.peer((ip, port))), 403, f"ChannelBind's error for {ip}:{port}")
    for ip in (S.RELAY, S.RELAY6):
        for port in (22, 3478):
            equal(c.error(stun.CHANNEL_BIND, stun.channel_number(0x4000), stun.peer((ip, port))), 403, f"ChannelBind's error for {ip}:{port}")
    c.permit(S.RELAY)  # there are live relayed addresses
    with Endpoint(w.net.srv, S.RELAY) as service, Endpoint(w.net.srv, S.SERVER) as service2:
        for to in (service.address, service2.address):
            c.send_to(to, b"to a service of the server's host")
        c.permit(S.PEER)
        passes(c, next(a for a in c.relayed if a[0] == S.RELAY), w.peer(), b"a peer behind it")
        for e in (service, service2):
            e.sock.setblocking(False)
            try:
                tap.check(False, f"{e.sock.recv(100)} came to a service of the server's host")
            except BlockingIOError:
                pass


@tap.group
def ranges():
    """IPv6 ranges whose last byte falls where the one before it rises, ports, protocols, the longest prefix, deny over allow."""
    allowed = [
        "203.0.113.10:20000-20010/udp",
        "203.0.113.11",
        "192.168.7.0/24",
        "2001:db8:2::ff-2001:db8:2::1:10",
        "10.9.0.0/16:5060/tcp",
    ]
    denied = ["192.168.7.64/26", "192.168.7.100-192.168.7.100", "11.0.0.0/8", "192.168.8.8", "2001:db8:2::100-2001:db8:2::103"]
    with world.standard({"allowed-peer-ip": allowed + ["192.168.8.8", "192.168.7.70"], "denied-peer-ip": denied}) as w:
        yield w


@ranges.case("S3 ranges of IPv6 addresses are compared as numbers")
def _(w):
    c = w.client(v6=True)
    c.allocate(V6)
    inside = ["::ff", "::104", "::200", "::fff", "::1:0", "::1:1", "::1:10"]
    outside = ["::", "::2", "::fe", "::1:11", "::1:ff", "::2:0", "::100", "::101", "::103"]
    for tail in inside + outside:
        ip = str(ipaddress.ip_address(int(ipaddress.ip_address("2001:db8:2::")) + int(ipaddress.ip_address(tail))))
        if tail in inside:
            c.permit(ip)
        else:
            equal(c.error(stun.CREATE_PERMISSION, stun.peer((ip, 0))), 403, f"the error for {ip}")


@ranges.case("denied-peer-ip and allowed-peer-ip: the longest prefix decides, deny wins at equal length")
def _(w):
    c = w.client()
    c.allocate()
    for ip in ("192.168.7.1", "192.168.7.63", "192.168.7.128", "192.168.7.70", "203.0.113.11"):
        c.permit(ip)
    for ip in ("192.168.7.64", "192.168.7.127", "192.168.7.100", "192.168.8.8", "192.168.6.255", "11.0.0.10", "203.0.113.12"):
        equal(c.error(stun.CREATE_PERMISSION, stun.peer((ip, 0))), 403, f"the error for {ip}")


@ranges.case("an entry with ports: the permission is by address, the flow is judged with its port, both ways")
def _(w):
    c, inside, outside = w.client(), w.peer(S.PEER, 20005), w.peer(S.PEER, 20011)
    relayed = c.allocate().addresses[0]
    c.permit(S.PEER)
    c.bind(0x4000, inside.address)
    equal(c.error(stun.CHANNEL_BIND, stun.channel_number(0x4001), stun.peer(outside.address)), 403, "the error of another port")
    outside.send(b"from another port", relayed)
    c.send_to(outside.address, b"to another port")
    c.send_to(inside.address, b"to the right one")
    inside.expect(b"to the right one", relayed)
    inside.send(b"and back", relayed)
    c.expect_channel(0x4000, b"and back")
    outside.send(b"again", relayed)
    inside.send(b"and back again", relayed)
    c.expect_channel(0x4000, b"and back again")


@ranges.case("an entry for TCP allows no UDP")
def _(w):
    c = w.client()
    c.allocate()
    equal(c.error(stun.CHANNEL_BIND, stun.channel_number(0x4000), stun.peer(("10.9.0.1", 5060))), 403, "the error")


@tap.group
def strict_channels():
    with world.standard({"strict-channel-range": "on"}) as w:
        yield w


@strict_channels.case("C64 strict-channel-range: 0x5000 to 0x7FFF are 400, and data on them are dropped")
def _(w):
    c, peer = w.client(), w.peer()
    c.allocate()
    for number in (0x5000, 0x6ABC, 0x7FFF, 0x3FFF):
        equal(c.error(stun.CHANNEL_BIND, stun.channel_number(number), stun.peer(peer.address)), 400, f"the error of channel {number:#x}")
        c.silent(stun.channel_data(number, b"x"))
    c.bind(0x4FFF, peer.address)
    c.send_channel(0x4FFF, b"the last one")
    peer.expect(b"the last one")


tap.main()
