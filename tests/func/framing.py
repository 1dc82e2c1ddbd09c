#!/usr/bin/env python3
"""Framing and Binding on a host with several addresses: what is answered, from where, and what is dropped."""
import itertools
import socket
import struct

from lib import daemon, net, stun, tap, world
from lib.client import Client, Endpoint
from lib.tap import check, equal

net.need_namespaces()
daemon.need_daemon()

S = net.Standard


@tap.group
def multihomed():
    """No listening-ip: all addresses."""
    with world.standard({"listening-ip": None}) as w:
        yield w


def binding(w, ip, to, **kw):
    with Client(w.net.cli, ip, (to, 3478), **kw) as c:
        answer = c.exchange(stun.encode(stun.BINDING, stun.REQUEST))  # its source is compared on receipt
        equal(answer.cls, stun.SUCCESS, "the answer's class")
        equal(answer.address(stun.XOR_MAPPED_ADDRESS), c.address, "XOR-MAPPED-ADDRESS")
        return answer


@multihomed.case("C10 the answer leaves from the address that was asked, and says the source that was seen")
def _(w):
    for to in (S.SERVER, S.SERVER_2, S.RELAY):
        binding(w, w.net.client_ip(0), to)
    for to in (S.SERVER6, S.SERVER6_2, S.RELAY6):
        binding(w, w.net.client_ip6(0), to)


@multihomed.case("C10 a TURN client on each address is answered from it, Data and ChannelData too")
def _(w):
    for to, relay_to, v6 in ((S.SERVER_2, S.PEER, False), (S.SERVER6_2, S.PEER6, True)):
        ip = w.net.client_ip6(0) if v6 else w.net.client_ip(0)
        peer = w.peer(relay_to)
        with Client(w.net.cli, ip, (to, 3478)) as c:
            relayed = c.allocate(*([(stun.REQUESTED_ADDRESS_FAMILY, stun.IPV6)] if v6 else [])).addresses[0]
            c.permit(relay_to)
            peer.send(b"data", relayed)
            c.expect_data(b"data", peer.address)
            c.bind(0x4000, peer.address)
            peer.send(b"channel", relayed)
            c.expect_channel(0x4000, b"channel")


@multihomed.case("C10 over TCP, one request and several in a segment")
def _(w):
    for to in (S.SERVER, S.SERVER_2):
        binding(w, w.net.client_ip(0), to, transport="tcp")
    with Client(w.net.cli, w.net.client_ip6(0), (S.SERVER6_2, 3478), "tcp") as c:
        requests = [stun.encode(stun.BINDING, stun.REQUEST) for _ in range(10)]
        c.send_raw(b"".join(requests))
        equal([c.receive().txid for _ in requests], [r[8:20] for r in requests], "the order of the answers")


@multihomed.case("C10 link-local clients, on two links with the same address and port: each is answered on its own link")
def _(w):
    here, there, peer = "fe80::1", "fe80::77", w.peer(S.PEER6)
    clients = []
    for ns, interface in ((w.net.cli, "cli0"), (w.net.peer, "peer0")):
        w.net.srv.ip(f"addr add {here}/64 dev {interface} nodad")
        ns.ip(f"addr add {there}/64 dev eth0 nodad")
        with ns.inside():
            scope = socket.if_nametoindex("eth0")
        clients += [Client(ns, there, (here, 3478, 0, scope), t, port=4000, scope=scope) for t in ("udp", "tcp")]
    for c in clients:
        equal(c.exchange(stun.encode(stun.BINDING, stun.REQUEST)).address(stun.XOR_MAPPED_ADDRESS), (there, 4000), "XOR-MAPPED-ADDRESS")
        c.allocate((stun.REQUESTED_ADDRESS_FAMILY, stun.IPV6))
        c.bind(0x4000, peer.address)
    for c in clients:
        c.send_channel(0x4000, b"up")
        peer.expect(b"up", c.relayed[0])
        peer.send(b"down", c.relayed[0])
        c.expect_channel(0x4000, b"down")
    for c in clients:
        c.refresh(0)
        c.close()


ALT_PORT, ADVERTISED = 3479, "11.0.0.7"  # the second port; what S.SERVER_2 is known by


def change_request(flags):
    return stun.encode(stun.BINDING, stun.REQUEST, [(stun.CHANGE_REQUEST, struct.pack("!I", flags))])


@tap.group
def alternates():
    """Two addresses of each family, and a second port, for RFC 5780."""
    settings = {"listening-ip": [S.SERVER, S.SERVER_2, S.SERVER6, S.SERVER6_2], "alt-listening-port": ALT_PORT, "external-ip": f"{ADVERTISED}/{S.SERVER_2}"}
    with world.standard({**settings, "workers": 2}) as w:
        yield w


@alternates.case("C80 each flag of CHANGE-REQUEST: the answer comes from there, and tells both addresses as clients know them; IPv4 and IPv6")
def _(w):
    ports = (3478, ALT_PORT)
    for local, ips in ((w.net.client_ip(0), (S.SERVER, S.SERVER_2)), (w.net.client_ip6(0), (S.SERVER6, S.SERVER6_2))):
        known = [ADVERTISED if ip == S.SERVER_2 else ip for ip in ips]
        for ip, port, flags in itertools.product((0, 1), (0, 1), (0, 2, 4, 6)):
            with Endpoint(w.net.cli, local) as e:  # another port may be another worker's
                e.send(change_request(flags), (ips[ip], ports[port]))
                packet = e.receive(f"the answer of {ips[ip]}:{ports[port]} to flags {flags}")
                answer = stun.decode(packet.data)
                from_ip, from_port = ip ^ (flags >> 2), port ^ (flags >> 1 & 1)
                equal(packet.source, (ips[from_ip], ports[from_port]), f"the source of an answer to flags {flags}")
                equal(answer.plain_address(stun.RESPONSE_ORIGIN), (known[from_ip], ports[from_port]), "RESPONSE-ORIGIN")
                equal(answer.plain_address(stun.OTHER_ADDRESS), (known[1 - ip], ports[1 - port]), "OTHER-ADDRESS")
                equal(answer.address(stun.XOR_MAPPED_ADDRESS), e.address, "XOR-MAPPED-ADDRESS")
                equal(answer.plain_address(stun.MAPPED_ADDRESS), e.address, "MAPPED-ADDRESS")


@alternates.case("C80 by TCP nothing is changed; the second port serves what the first one does")
def _(w):
    for port in (3478, ALT_PORT):
        for transport in ("udp", "tcp"):
            with Client(w.net.cli, w.net.client_ip(0), (S.SERVER_2, port), transport) as c:
                if transport == "tcp":
                    equal(c.exchange(change_request(2)).error, 420, "the error by TCP")
                    equal(c.exchange(stun.encode(stun.BINDING, stun.REQUEST)).get(stun.OTHER_ADDRESS), None, "OTHER-ADDRESS by TCP")
                c.allocate()
                c.refresh(0)
    listed = [(x["address"], x["port"]) for x in w.daemon.ready["listeners"] if x["transport"] == "udp"]
    equal(sorted(listed), sorted(itertools.product((S.SERVER, S.SERVER_2, S.SERVER6, S.SERVER6_2), (3478, ALT_PORT))), "what it says that it listens on")


@tap.group
def one_address():
    with world.standard() as w:
        yield w


@one_address.case("C13 S18 SOFTWARE tells no version, in any kind of answer")
def _(w):
    c = w.client()
    answers = [c.exchange(stun.encode(stun.BINDING, stun.REQUEST)), c.challenge(), c.allocate().message]
    answers += [c.request(stun.ALLOCATE, (stun.REQUESTED_TRANSPORT, stun.UDP)), c.refresh(0)]
    for a in answers:
        text = (a.get(stun.SOFTWARE) or b"").decode()
        check(not any(ch.isdigit() for ch in text), f"SOFTWARE is {text!r}")
        check(b"0.1.0" not in a.raw, f"{a} has the version in it")


@one_address.case("C14 a request without the magic cookie is not answered")
def _(w):
    c = w.client()
    good = stun.encode(stun.BINDING, stun.REQUEST)
    c.silent(good[:4] + bytes(4) + good[8:], good[:4] + b"\x21\x12\xa4\x43" + good[8:], good[:4] + good[8:24] + good[4:8])


@one_address.case("C15 by the first byte: what is neither STUN nor ChannelData of a client is dropped")
def _(w):
    c = w.client()
    for first in range(256):
        c.silent(*[bytes([first]) + tail for tail in (b"", b"\x00\x00\x10", b"\x01" + bytes(18), b"\x01\x00\x08" + b"\xff" * 600)])


@one_address.case("C1 C3 a header or an attribute whose length lies is dropped")
def _(w):
    c = w.client()
    good = stun.encode(stun.BINDING, stun.REQUEST, [(stun.SOFTWARE, b"a client")])
    for length in (0, 4, 11, 13, 14, 16, 0xFFFC, 0xFFFF):
        c.silent(good[:2] + struct.pack("!H", length) + good[4:])
    for cut in range(1, len(good)):
        c.silent(good[:cut])
    for length in (9, 13, 0x7FFF, 0xFFFF):  # behind it there are 8 bytes
        c.silent(good[:22] + struct.pack("!H", length) + good[24:])
    c.silent(good[:2] + struct.pack("!H", 2) + good[4:20] + b"\x80\x22")


@one_address.case("C2 an unknown method, a class that the method has not: dropped")
def _(w):
    c = w.client()
    known = {stun.BINDING, stun.ALLOCATE, stun.REFRESH, stun.CREATE_PERMISSION, stun.CHANNEL_BIND}
    unknown = [stun.encode(m, stun.REQUEST) for m in range(0x1000) if m not in known | {0xA, 0xB, 0xC}]
    for at in range(0, len(unknown), 64):
        c.silent(*unknown[at : at + 64])
    for m in known | {stun.SEND, stun.DATA_METHOD}:
        for cls in (stun.INDICATION, stun.SUCCESS, stun.ERROR):
            c.silent(stun.encode(m, cls))
    c.silent(stun.encode(stun.SEND, stun.REQUEST), stun.encode(stun.DATA_METHOD, stun.REQUEST))


@one_address.case("C4 padding that is not zero is ignored")
def _(w):
    c = w.client()
    answer = c.exchange(stun.encode(stun.BINDING, stun.REQUEST, [(stun.SOFTWARE, b"odd")], pad=0x20, fingerprint=True))
    equal(answer.cls, stun.SUCCESS, "the class")


@one_address.case("C7 C8 unknown attributes: 420 lists every one, after the authentication; an indication is dropped")
def _(w):
    c = w.client()
    odd = [(0x7ABC, b"x"), (0x0035, b""), (0x7FFF, b"long" * 10), (0x8ABC, b"may be ignored")]
    answer = c.exchange(stun.encode(stun.BINDING, stun.REQUEST, odd))
    equal((answer.error, sorted(answer.unknown)), (420, [0x0035, 0x7ABC, 0x7FFF]), "Binding's answer")
    request = [(stun.REQUESTED_TRANSPORT, stun.UDP), *odd]
    equal(c.exchange(stun.encode(stun.ALLOCATE, stun.REQUEST, request)).error, 401, "without credentials")
    answer = c.request(stun.ALLOCATE, *request)
    equal((answer.error, sorted(answer.unknown)), (420, [0x0035, 0x7ABC, 0x7FFF]), "with credentials")
    c.silent(stun.encode(stun.BINDING, stun.INDICATION, odd), stun.encode(stun.BINDING, stun.INDICATION))


@one_address.case("C8 attributes from 0x8000 are ignored")
def _(w):
    answer = w.client().exchange(stun.encode(stun.BINDING, stun.REQUEST, [(0x8ABC, b"abc"), (0xFFFF, b"")]))
    equal(answer.cls, stun.SUCCESS, "the class")


@one_address.case("C80 without a second address CHANGE-REQUEST is 420, and none is told of")
def _(w):
    for v6 in (False, True):
        c = w.client(v6=v6)
        answer = c.exchange(change_request(6))
        equal((answer.error, answer.unknown), (420, [stun.CHANGE_REQUEST]), "the error, and what is not understood")
        answer = c.exchange(stun.encode(stun.BINDING, stun.REQUEST))
        equal([k for k, _, _ in answer.attributes if k != stun.SOFTWARE], [stun.XOR_MAPPED_ADDRESS], "the attributes")


@one_address.case("C9 FINGERPRINT: a right one is answered with one, a wrong one or one that is not last is dropped")
def _(w):
    c = w.client()
    answer = c.exchange(stun.encode(stun.BINDING, stun.REQUEST, fingerprint=True))
    check(answer.get(stun.FINGERPRINT), "the answer has no FINGERPRINT")
    good = stun.encode(stun.BINDING, stun.REQUEST, fingerprint=True)
    c.silent(good[:-1] + bytes([good[-1] ^ 1]), good[:8] + bytes(12) + good[20:])


@one_address.case("C11 C12 S6 every kind of answer is small and exact: padding and reserved bits zero, twice the same bytes")
def _(w):
    # What the codec refuses in any answer is listed in lib/stun.py; here each kind is provoked twice and compared.
    def twice(make):
        a, b = make(), make()
        equal(a.raw[:8] + a.raw[20:], b.raw[:8] + b.raw[20:], f"the second of {a}")

    c = w.client()
    txid = stun.new_txid()
    twice(lambda: c.exchange(stun.encode(stun.BINDING, stun.REQUEST, txid=txid)))
    twice(lambda: c.exchange(stun.encode(stun.BINDING, stun.REQUEST, [(0x7000, b"")])))
    c.allocate()
    for make in (
        lambda: c.request(stun.ALLOCATE, (stun.REQUESTED_TRANSPORT, stun.UDP), txid=txid),
        lambda: c.request(stun.REFRESH, stun.lifetime(600), txid=txid),
        lambda: c.request(stun.CREATE_PERMISSION, stun.peer((S.PEER, 0)), txid=txid),
        lambda: c.request(stun.CREATE_PERMISSION, stun.peer(("127.0.0.1", 0)), txid=txid),
        lambda: c.request(stun.CREATE_PERMISSION, stun.peer((S.PEER6, 0)), txid=txid),
        lambda: c.request(stun.CREATE_PERMISSION, txid=txid),
        lambda: c.request(stun.CHANNEL_BIND, stun.channel_number(0x4001), stun.peer((S.PEER, 9)), txid=txid),
    ):
        twice(make)


@one_address.case("C10 C11 an IPv6 client's answer fits a packet of 1280 bytes, and its address is right")
def _(w):
    c = w.client(v6=True)
    answer = c.exchange(stun.encode(stun.BINDING, stun.REQUEST))
    equal(answer.address(stun.XOR_MAPPED_ADDRESS), c.address, "XOR-MAPPED-ADDRESS")
    check(len(answer.raw) + 48 <= 1280, "the answer is too large")


@one_address.case("C10 only listening-ip is served")
def _(w):
    with Endpoint(w.net.cli, w.net.client_ip(0)) as e:
        e.sock.connect((S.SERVER_2, 3478))

        def refused():
            try:
                e.sock.send(stun.encode(stun.BINDING, stun.REQUEST))
                e.sock.settimeout(1)
                raise tap.Failure(f"another address was answered: {e.sock.recv(1500)!r}")
            except ConnectionRefusedError:
                return True
            except TimeoutError:  # how many errors a host tells in a second is limited
                return False

        tap.wait_until(refused, "nobody listens there")


tap.main()
