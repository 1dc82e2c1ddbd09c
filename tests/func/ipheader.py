#!/usr/bin/env python3
"""The IP header of what is relayed (RFC 8656 sections 14 and 15): DSCP, ECN, TTL, DF, fragments."""
import select
import socket
import struct

from lib import daemon, net, stun, tap, world
from lib.tap import check, equal

net.need_namespaces()
daemon.need_daemon()

S = net.Standard
BOTH = (stun.ADDITIONAL_ADDRESS_FAMILY, stun.IPV6)
DONT_FRAGMENT = (stun.DONT_FRAGMENT, b"")
EF, AF41, CS1 = 46 << 2, 34 << 2, 8 << 2
NOT_ECT, ECT1, ECT0, CE = range(4)


class Wire:
    """The IPv4 headers of the UDP datagrams that come to a host, as they were on the wire: first fragments and others."""

    PACKET_OUTGOING = 4

    def __init__(self, ns, interface):
        self.sock = ns.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        self.sock.bind((interface, 0x0800))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def packets(self, port):
        """What has come for a UDP port: (DF, fragmented, TTL) of each first fragment, in order."""
        found = []
        while select.select([self.sock], [], [], 0)[0]:
            raw, address = self.sock.recvfrom(65536)
            ihl = (raw[0] & 15) * 4
            flags = struct.unpack("!H", raw[6:8])[0]
            if address[2] != self.PACKET_OUTGOING and raw[9] == socket.IPPROTO_UDP and not flags & 0x1FFF:
                if struct.unpack("!H", raw[ihl + 2 : ihl + 4])[0] == port:
                    found.append((bool(flags & 0x4000), bool(flags & 0x2000), raw[8]))
        return found


@tap.group
def usual():
    with world.standard() as w:
        yield w


def client_to(w, transport="udp", v6=False, **kw):
    """A client with relayed addresses of both families, and for each family: peer, relayed address, channel."""
    c = w.client(transport=transport, v6=v6, **kw)
    relayed = c.allocate(BOTH).addresses
    ways = []
    for number, ip in ((0x4000, S.PEER), (0x4001, S.PEER6)):
        peer = w.peer(ip)
        c.bind(number, peer.address)
        own = next(a for a in relayed if (":" in a[0]) == (":" in ip))
        ways.append((peer, own, number))
    return c, ways


@usual.case("C69 DSCP and ECN are copied from client to peer: ChannelData and Send, IPv4 and IPv6, across families too")
def _(w):
    for v6 in (False, True):
        c, ways = client_to(w, v6=v6)
        for peer, _, number in ways:
            for dscp in (0, EF, AF41, CS1):
                for ecn in (NOT_ECT, ECT1, ECT0, CE):
                    c.endpoint.tos(dscp | ecn)
                    c.send_channel(number, b"channel")
                    equal(peer.expect(b"channel").tos, dscp | ecn, f"the peer's TOS (client IPv6: {v6})")
                    c.send_to(peer.address, b"send")
                    equal(peer.expect(b"send").tos, dscp | ecn, f"the peer's TOS of a Send (client IPv6: {v6})")


@usual.case("C69 DSCP and ECN are copied from peer to client: ChannelData and Data, IPv4 and IPv6, across families too")
def _(w):
    for v6 in (False, True):
        c, ways = client_to(w, v6=v6)
        for peer, relayed, _ in ways:
            other = w.peer(peer.address[0])
            for dscp in (0, EF, AF41, CS1):
                for ecn in (NOT_ECT, ECT1, ECT0, CE):
                    for p in (peer, other):
                        p.tos(dscp | ecn)
                        p.send(b"data", relayed)
                        _, packet = c.receive_packet("data")
                        equal(packet.tos, dscp | ecn, f"the client's TOS (client IPv6: {v6}, peer {p.address})")


@usual.case("C69 each packet has its own mark: one packet's does not stick to the next, nor to an answer")
def _(w):
    c, ways = client_to(w)
    peer, relayed, number = ways[0]
    marks = [EF | ECT0, 0, AF41, CE, 0, EF | CE, CS1 | ECT1, 0] * 4
    for mark in marks:
        c.endpoint.tos(mark)
        c.send_channel(number, b"%d" % mark)
    for mark in marks:
        equal(peer.expect(b"%d" % mark).tos, mark, "the TOS")
    for mark in marks:
        peer.tos(mark)
        peer.send(b"%d" % mark, relayed)
    for mark in marks:
        message, packet = c.receive_packet("data")
        equal((message.data, packet.tos), (b"%d" % mark, mark), "the data and their TOS")
    c.endpoint.tos(CE)
    c.send_raw(stun.encode(stun.BINDING, stun.REQUEST))
    equal(c.receive_packet("an answer")[1].tos & 3, NOT_ECT, "the ECN of an answer to a request with CE")


@usual.case("C69 a relay-relay packet keeps its DSCP and ECN")
def _(w):
    a, b = w.client(1), w.client(2)
    for c in (a, b):
        c.allocate()
    a.bind(0x4000, b.relayed[0])
    b.bind(0x4000, a.relayed[0])
    for mark in (EF | ECT0, 0, AF41 | CE, NOT_ECT):
        a.endpoint.tos(mark)
        a.send_channel(0x4000, b"%d" % mark)
        message, packet = b.receive_packet("data")
        equal((message.data, packet.tos), (b"%d" % mark, mark), "the data and their TOS")


@usual.case("C72 C69 from a stream to a peer: ECN 0; from a peer with CE to a stream: it arrives")
def _(w):
    c, ways = client_to(w, "tcp")
    for peer, relayed, number in ways:
        c.send_channel(number, b"up")
        equal(peer.expect(b"up").tos & 3, NOT_ECT, "ECN")
        peer.tos(EF | CE)
        peer.send(b"down", relayed)
        c.expect_channel(number, b"down")


@usual.case("C70 DONT-FRAGMENT in Send sets DF; without it, and for ChannelData of a client that sets no DF, DF is 0")
def _(w):
    for v6 in (False, True):
        c, ways = client_to(w, v6=v6)
        c.endpoint.dont_fragment(False)
        peer, _, number = ways[0]
        with Wire(w.net.peer, "eth0") as wire:
            plan = [True, False, False, True, True, False]
            for df in plan:
                c.send_to(peer.address, b"send", *([DONT_FRAGMENT] if df else []))
                c.send_channel(number, b"channel")
            for _ in plan:
                peer.expect(b"send")
                peer.expect(b"channel")
            want = []
            for df in plan:
                want += [df, False]
            equal([p[0] for p in wire.packets(peer.address[1])], want, f"DF of each packet (client IPv6: {v6})")


@usual.case("C70 DF of what a peer sent is copied to the client, or 0")
def _(w):
    c, ways = client_to(w)
    peer, relayed, number = ways[0]
    peer.dont_fragment(False)
    with Wire(w.net.cli, "eth0") as wire:
        for _ in range(4):
            peer.send(b"down", relayed)
            c.expect_channel(number, b"down")
        equal([p[0] for p in wire.packets(c.address[1])], [False] * 4, "DF of each packet")


@usual.case("C70 larger than the MTU: passes in fragments, both ways, with ChannelData, Send and Data")
def _(w):
    for v6 in (False, True):
        c, ways = client_to(w, v6=v6)
        c.endpoint.dont_fragment(False)
        for peer, relayed, number in ways:
            peer.dont_fragment(False)
            data = bytes(i * i % 251 for i in range(1472))  # whole towards the peer, too large with a header in front
            for size in (1380, 1440, 1460, 1472):
                c.send_channel(number, data[:size])
                peer.expect(data[:size])
                c.send_to(peer.address, data[:size])
                peer.expect(data[:size])
                peer.send(data[:size], relayed)
                c.expect_channel(number, data[:size])
                other = w.peer(peer.address[0])
                other.send(data[:size], relayed)
                c.expect_data(data[:size], other.address)


@usual.case("C70 a Send with DONT-FRAGMENT that is larger than the path: dropped, and the next ones pass")
def _(w):
    c, ways = client_to(w)
    peer = ways[0][0]
    c.endpoint.dont_fragment(False)
    for _ in range(3):
        c.send_to(peer.address, bytes(1600), DONT_FRAGMENT)
        c.send_to(peer.address, b"small", DONT_FRAGMENT)
        peer.expect(b"small")
        c.send_to(peer.address, bytes(1600))
        peer.expect(bytes(1600))


@usual.case("C71 TTL: one less than it came with, or the system's default")
def _(w):
    for v6 in (False, True):
        c, ways = client_to(w, v6=v6)
        for peer, relayed, number in ways:
            for ttl in (200, 64, 30):
                c.endpoint.ttl(ttl)
                c.send_channel(number, b"up")
                check(peer.expect(b"up").ttl in (ttl - 1, 64), f"the TTL at the peer when the client sent with {ttl}")
                peer.ttl(ttl)
                peer.send(b"down", relayed)
                _, packet = c.receive_packet("data")
                check(packet.ttl in (ttl - 1, 64), f"the TTL at the client is {packet.ttl} when the peer sent with {ttl}")


tap.main()
