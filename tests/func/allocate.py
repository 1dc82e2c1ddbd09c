#!/usr/bin/env python3
"""Allocate and its attributes, in the order of RFC 8656 section 7.2, reservations, quotas, ports and lifetimes."""
import os

from lib import daemon, net, stun, tap, world

from lib.stun import (
    ADDITIONAL_ADDRESS_FAMILY,
    ADDRESS_ERROR_CODE,
    DONT_FRAGMENT,
    EVEN_PORT,
    IPV4,
    IPV6,
    REQUESTED_ADDRESS_FAMILY,
    REQUESTED_TRANSPORT,
    RESERVATION_TOKEN,
)
from lib.tap import check, equal, within

net.need_namespaces()
daemon.need_daemon()

S = net.Standard
UDP = (REQUESTED_TRANSPORT, stun.UDP)
V4, V6 = (REQUESTED_ADDRESS_FAMILY, IPV4), (REQUESTED_ADDRESS_FAMILY, IPV6)
BOTH = (ADDITIONAL_ADDRESS_FAMILY, IPV6)
EVEN, EVEN_AND_NEXT = (EVEN_PORT, b"\x00"), (EVEN_PORT, b"\x80")


def token(value):
    return RESERVATION_TOKEN, value


@tap.group
def usual():
    with world.standard() as w:
        yield w


@usual.case("C36 a retransmitted Allocate gets the same success; a new transaction gets 437")
def _(w):
    for transport in ("udp", "tcp"):
        for algorithm in (None, stun.SHA256):
            c = w.client(transport=transport, algorithm=algorithm)
            c.challenge()
            raw = c.signed(stun.ALLOCATE, [UDP, stun.lifetime(1000)])
            first = c.exchange(raw)
            equal((first.cls, first.lifetime), (stun.SUCCESS, 1000), "the class and the lifetime")
            again = [c.exchange(raw)]
            equal(c.refuse_allocate(stun.lifetime(1000)), 437, "the error of a new transaction")
            again.append(c.exchange(raw))
            for answer in again:
                check(answer.verify(c.key), "the answer to a retransmission is not signed")
                within(answer.lifetime, 900, 1000, "the lifetime that is left")
                for kind in (stun.XOR_RELAYED_ADDRESS, stun.XOR_MAPPED_ADDRESS):
                    equal(answer.address(kind), first.address(kind), f"attribute {kind:#x} of the answer to a retransmission")


@usual.case("C36 two Allocates of the same transaction sent at once make one allocation")
def _(w):
    for algorithm in (None, stun.SHA256):
        c = w.client(algorithm=algorithm)
        c.challenge()
        raw = c.signed(stun.ALLOCATE, [UDP])
        for _ in range(5):
            c.send_raw(raw)
        answers = [c.receive() for _ in range(5)]
        equal({a.address(stun.XOR_RELAYED_ADDRESS) for a in answers}, {answers[0].address(stun.XOR_RELAYED_ADDRESS)}, "the relayed addresses")


@usual.case("C37 Refresh 0 again: 437, or the success again")
def _(w):
    c = w.client()
    c.allocate()
    raw = c.signed(stun.REFRESH, [stun.lifetime(0)])
    equal(c.exchange(raw).cls, stun.SUCCESS, "the class")
    check(c.exchange(raw).error in (None, 437), "another error")
    c.allocate()


@usual.case("C40 5-tuple in use is 437, before what is wrong with the request itself")
def _(w):
    c = w.client()
    c.allocate()
    for bad in (
        [],
        [(REQUESTED_TRANSPORT, b"\x06\0\0\0")],
        [UDP, V4, BOTH],
        [UDP, token(b"x" * 8), EVEN],
        [UDP, (REQUESTED_ADDRESS_FAMILY, b"\x07\0\0\0")],
    ):
        equal(c.error(stun.ALLOCATE, *bad), 437, f"the error with {bad}")


@usual.case("C41 REQUESTED-TRANSPORT missing or malformed: 400")
def _(w):
    c = w.client()
    equal(c.error(stun.ALLOCATE), 400, "the error without it")
    for bad in (b"", b"\x11", stun.UDP * 2, b"\x11\0\0\0\0"):
        equal(c.error(stun.ALLOCATE, (REQUESTED_TRANSPORT, bad)), 400, f"the error with {bad}")


@usual.case("C41 S17 of all 256 transports UDP is taken, every other is 442")
def _(w):
    for transport in ("udp", "tcp"):
        c = w.client(transport=transport)
        for number in range(256):
            if number != 17:
                equal(c.error(stun.ALLOCATE, (REQUESTED_TRANSPORT, bytes([number, 0, 0, 0]))), 442, f"the error of transport {number}")
        c.allocate()
        c.refresh(0)
    reserved = (REQUESTED_TRANSPORT, b"\x11\xff\xff\xff")  # "RFFU ... MUST be ignored on reception"
    equal(w.client().request(stun.ALLOCATE, reserved).cls, stun.SUCCESS, "the class with reserved bits set")


@usual.case("C42 DONT-FRAGMENT in Allocate can be honoured here")
def _(w):
    w.client().allocate((DONT_FRAGMENT, b""))
    w.client(v6=True).allocate((DONT_FRAGMENT, b""), V6)


@usual.case("C43 RESERVATION-TOKEN with EVEN-PORT or an address family: 400; unknown or malformed: 508 or 400")
def _(w):
    c, holder = w.client(), w.client()
    good = holder.allocate(EVEN_AND_NEXT).token
    for other in (EVEN, EVEN_AND_NEXT, V4, V6, BOTH):
        equal(c.refuse_allocate(token(good), other), 400, f"the error with {other}")
    for bad in (os.urandom(8), bytes(8), b"\xff" * 8):
        equal(c.refuse_allocate(token(bad)), 508, f"the error of token {bad}")
    for bad in (b"", good[:7], good + b"\0"):
        check(c.refuse_allocate(token(bad)) in (400, 508), f"token {bad} was taken")
    equal(c.allocate(token(good)).addresses[0][1], holder.relayed[0][1] + 1, "the reserved port, after all that")


@usual.case("C43 a used token: 508")
def _(w):
    holder, c, late = w.client(), w.client(), w.client()
    t = holder.allocate(EVEN_AND_NEXT).token
    c.allocate(token(t))
    equal(late.refuse_allocate(token(t)), 508, "the error")
    c.refresh(0)
    equal(late.refuse_allocate(token(t)), 508, "the error after the allocation has gone")


@usual.case("C44 REQUESTED- and ADDITIONAL-ADDRESS-FAMILY together: 400")
def _(w):
    c = w.client()
    for family in (V4, V6):
        equal(c.refuse_allocate(family, BOTH), 400, "the error")


@usual.case("C45 families: an unknown one is 440, none asked means IPv4")
def _(w):
    for v6 in (False, True):
        c = w.client(v6=v6)
        for number in (0, 3, 4, 0x7F, 0xFF):
            equal(c.refuse_allocate((REQUESTED_ADDRESS_FAMILY, bytes([number, 0, 0, 0]))), 440, f"the error of family {number}")
        for bad in (b"", b"\x01", IPV4 * 2):
            check(c.refuse_allocate((REQUESTED_ADDRESS_FAMILY, bad)) in (400, 440), f"family {bad} was taken")
        equal(c.allocate().addresses[0][0], S.RELAY, "the relayed address when none was asked")
        c.refresh(0)
        for family, ip in ((V4, S.RELAY), (V6, S.RELAY6)):
            equal([a[0] for a in c.allocate(family).addresses], [ip], "the relayed address")
            c.refresh(0)


@usual.case("C46 EVEN-PORT: the port is even; with R a token; with ADDITIONAL-ADDRESS-FAMILY and R 400")
def _(w):
    for _ in range(8):
        c = w.client()
        got = c.allocate(EVEN)
        equal((got.addresses[0][1] % 2, got.token), (0, None), "odd or even, and the token without R")
        c = w.client()
        got = c.allocate(EVEN_AND_NEXT)
        equal((got.addresses[0][1] % 2, len(got.token)), (0, 8), "odd or even, and the token's size")
    c = w.client()
    equal(c.refuse_allocate(EVEN_AND_NEXT, BOTH), 400, "the error")
    for bad in (b"", b"\x80\0"):
        equal(c.refuse_allocate((EVEN_PORT, bad)), 400, f"the error of EVEN-PORT {bad}")
    got = w.client(v6=True).allocate(EVEN_AND_NEXT, V6)
    equal((got.addresses[0][0], got.addresses[0][1] % 2), (S.RELAY6, 0), "an even IPv6 port")
    got2 = w.client(v6=True).allocate(token(got.token))
    equal(got2.addresses, [(S.RELAY6, got.addresses[0][1] + 1)], "its reserved neighbour")


@usual.case("C47 ADDITIONAL-ADDRESS-FAMILY: IPv4 is 400; IPv6 gives two relayed addresses")
def _(w):
    for transport in ("udp", "tcp"):
        c = w.client(transport=transport)
        equal(c.refuse_allocate((ADDITIONAL_ADDRESS_FAMILY, IPV4)), 400, "the error")
        got = c.allocate(BOTH)
        equal(sorted(a[0] for a in got.addresses), sorted([S.RELAY, S.RELAY6]), "the relayed addresses")
        equal(got.message.get(ADDRESS_ERROR_CODE), None, "ADDRESS-ERROR-CODE")


@usual.case("C49 ports: 49152 to 65535, not in a row")
def _(w):
    ports = []
    for _ in range(40):
        ports.append(w.client().allocate().addresses[0][1])
        within(ports[-1], 49152, 65535, "a relayed port")
    steps = [b - a for a, b in zip(ports, ports[1:])]
    check(len(set(ports)) == 40, "a port was given twice")
    check(len(set(steps)) > 20 and max(ports) - min(ports) > 4000, f"ports {ports} are no random ones")


@usual.case("C50 lifetimes: at least 600, at most 3600, else what was asked")
def _(w):
    for asked, got in ((None, 600), (0, 600), (1, 600), (599, 600), (601, 601), (3600, 3600), (3601, 3600), (0xFFFFFFFF, 3600)):
        c = w.client()
        equal(c.allocate(*([] if asked is None else [stun.lifetime(asked)])).lifetime, got, f"the lifetime when {asked} was asked")
        if asked != 0:
            equal(c.refresh(asked).lifetime, got, f"the lifetime when a Refresh asked {asked}")
    c = w.client()
    for bad in (b"", b"\0\0\x02", bytes(5)):
        equal(c.refuse_allocate((stun.LIFETIME, bad)), 400, f"the error of LIFETIME {bad}")


@usual.case("C51 a success has the relayed and the mapped address and the lifetime")
def _(w):
    for transport, v6 in (("udp", False), ("tcp", False), ("udp", True), ("tcp", True)):
        c = w.client(transport=transport, v6=v6)
        got = c.allocate()
        equal((len(got.addresses), got.mapped, got.lifetime, got.token), (1, c.address, 600, None), "the answer")


@usual.case("C52 a token is redeemed from another 5-tuple, another address, another transport")
def _(w):
    for transport in ("udp", "tcp"):
        for other in ("udp", "tcp"):
            holder = w.client(transport=transport).allocate(EVEN_AND_NEXT)
            c = w.client(5, other)
            equal(c.allocate(token(holder.token)).addresses[0], (S.RELAY, holder.addresses[0][1] + 1), "the relayed address")
            peer = w.peer()
            c.permit(S.PEER)
            peer.send(b"to the reserved port", c.relayed[0])
            c.expect_data(b"to the reserved port", peer.address)
            c.send_to(peer.address, b"and back")
            peer.expect(b"and back", c.relayed[0])


# ---- a few ports ----
@tap.group
def four_ports():
    with world.standard({"min-port": 50000, "max-port": 50003}) as w:
        yield w


@four_ports.case("C46 R=0 reserves nothing, R=1 reserves the next port")
def _(w):
    a, b, c, d, e = (w.client(i) for i in range(5))
    p = a.allocate(EVEN_AND_NEXT)
    q = b.allocate(EVEN)
    equal(q.token, None, "a token")
    equal({p.addresses[0][1], q.addresses[0][1]}, {50000, 50002}, "the even ports")
    free = q.addresses[0][1] + 1
    equal(c.allocate().addresses[0][1], free, "the only port that is free")
    equal(d.refuse_allocate(), 508, "the error when the last port is reserved")
    equal(e.allocate(token(p.token)).addresses[0][1], p.addresses[0][1] + 1, "the reserved port")
    for x in (a, b, c, e):
        x.refresh(0)


@four_ports.case("C46 S10 no pair to be had: 508, and nothing is lost by it")
def _(w):
    clients = [w.client(i) for i in range(4)]
    ports = {c.allocate().addresses[0][1]: c for c in clients}
    equal(set(ports), {50000, 50001, 50002, 50003}, "the ports")
    late = w.client(5)
    for items in ([], [EVEN], [EVEN_AND_NEXT]):
        equal(late.refuse_allocate(*items), 508, f"the error with {items}")
    got = late.allocate(BOTH)
    equal([a[0] for a in got.addresses], [S.RELAY6], "the half of a dual allocation that can be had")
    equal(got.message.get(ADDRESS_ERROR_CODE)[:4], b"\x01\x00\x05\x08", "ADDRESS-ERROR-CODE for the other")
    late.refresh(0)
    for odd in (50001, 50003):
        ports[odd].refresh(0)
    for _ in range(20):
        equal(late.refuse_allocate(EVEN), 508, "the error when only odd ports are free")
        equal(late.refuse_allocate(EVEN_AND_NEXT), 508, "the error when only odd ports are free")
    ports[50000].refresh(0)
    ports[50001] = w.client(6)
    while True:  # take 50001 again: 50000 and 50003 are free too
        taken = ports[50001].allocate().addresses[0][1]
        if taken == 50001:
            break
        ports[50001].refresh(0)
    for _ in range(20):
        equal(late.refuse_allocate(EVEN_AND_NEXT), 508, "the error when an even port is free and its neighbour is not")
    equal(late.allocate(EVEN).addresses[0][1], 50000, "the even port, still there")
    equal(w.client(7).allocate().addresses[0][1], 50003, "the last port, still there")
    equal(w.client(8).refuse_allocate(), 508, "the error when all ports are taken")


@tap.group
def ports_come_back():
    with world.standard({"min-port": 50000, "max-port": 50003}) as w:
        yield w


@ports_come_back.case("S10 allocate, reserve, redeem and delete many times: every port comes back")
def _(w):
    a, b = w.client(1), w.client(2)
    for i in range(100):
        t = a.allocate(EVEN_AND_NEXT).token
        b.allocate(token(t), *([] if i % 2 else [stun.lifetime(700)]))
        a.refresh(0)
        b.refresh(0)
    equal({w.client(3 + i).allocate().addresses[0][1] for i in range(4)}, set(range(50000, 50004)), "the ports that are free at the end")


# ---- families that are not there ----
@tap.group
def ipv4_only():
    with world.standard({"relay-ip": [S.RELAY], "max-lifetime": 1200}) as w:
        yield w


@ipv4_only.case("C45 an IPv6 relayed address where there is none: 440")
def _(w):
    equal(w.client().refuse_allocate(V6), 440, "the error")


@ipv4_only.case("C47 a dual allocation that is partly possible: success with ADDRESS-ERROR-CODE 440 for IPv6")
def _(w):
    got = w.client().allocate(BOTH)
    equal([a[0] for a in got.addresses], [S.RELAY], "the relayed addresses")
    value = got.message.get(ADDRESS_ERROR_CODE)
    equal(value[:4], b"\x02\x00\x04\x28", "ADDRESS-ERROR-CODE")


@ipv4_only.case("C50 max-lifetime")
def _(w):
    c = w.client()
    equal(c.allocate(stun.lifetime(3600)).lifetime, 1200, "the lifetime")
    equal(c.refresh(3600).lifetime, 1200, "the lifetime")


@tap.group
def ipv6_only():
    with world.standard({"relay-ip": [S.RELAY6]}) as w:
        yield w


@ipv6_only.case("C45 none asked means IPv4: 440 where there is none")
def _(w):
    c = w.client()
    equal(c.refuse_allocate(), 440, "the error when none was asked")
    equal(c.refuse_allocate(V4), 440, "the error")
    equal(c.allocate(V6).addresses[0][0], S.RELAY6, "the relayed address")


@ipv6_only.case("C47 a dual allocation where IPv4 is not there: success with ADDRESS-ERROR-CODE 440 for IPv4")
def _(w):
    got = w.client().allocate(BOTH)
    equal([a[0] for a in got.addresses], [S.RELAY6], "the relayed addresses")
    equal(got.message.get(ADDRESS_ERROR_CODE)[:4], b"\x01\x00\x04\x28", "ADDRESS-ERROR-CODE")


# ---- quotas ----
BOB = {"user": daemon.USER_2, "password": daemon.PASSWORD_2}
CAROL = {"user": "carol", "password": "carol's password"}


@tap.group
def quotas():
    users = [f"{daemon.USER}:{daemon.PASSWORD}", f"{daemon.USER_2}:{daemon.PASSWORD_2}", "carol:carol's password"]
    with world.standard({"user": users, "user-quota": 2, "total-quota": 4, "source-quota": 3}) as w:
        yield w


@quotas.case("C48 user-quota: 486, and an allocation that ends gives its place back")
def _(w):
    a, b, c = (w.client(i) for i in range(3))
    a.allocate()
    b.allocate()
    equal(c.refuse_allocate(), 486, "the error of the third")
    a.refresh(0)
    c.allocate()
    stream = w.client(3, "tcp", **BOB)
    stream.allocate()
    equal(a.refuse_allocate(), 486, "the error")
    for x in (b, c, stream):
        x.refresh(0)


@quotas.case("S21 source-quota: 486; total-quota: 508")
def _(w):
    clients = [w.client(4), w.client(4), w.client(4, **BOB)]
    for c in clients:
        c.allocate()
    d = w.client(4, **BOB)
    equal(d.refuse_allocate(), 486, "the error of a source's fourth")
    elsewhere, last = w.client(5, **BOB), w.client(6, **CAROL)
    elsewhere.allocate()
    equal(last.refuse_allocate(), 508, "the error of the fifth in all")
    clients[0].refresh(0)
    last.allocate()
    for x in (clients[1], clients[2], elsewhere, last):
        x.refresh(0)


@quotas.case("C48 S10 a refused Allocate, whatever the reason, takes no place")
def _(w):
    c = w.client(7)
    family, transport = (REQUESTED_ADDRESS_FAMILY, b"\x09\0\0\0"), (REQUESTED_TRANSPORT, b"\x06\0\0\0")
    for items in ([UDP, family], [UDP, token(bytes(8))], [UDP, V4, BOTH], [UDP, EVEN_AND_NEXT, BOTH], [transport]):
        for _ in range(5):
            c.error(stun.ALLOCATE, *items)
    for x in (c, w.client(8)):
        x.allocate()
    c.refresh(0)
    x.refresh(0)


@quotas.case("C48 a stream that closes gives its place back")
def _(w):
    for _ in range(5):
        pair = [w.client(6, "tcp"), w.client(7, "tcp")]
        for c in pair:
            tap.wait_until(lambda x=c: x.request(stun.ALLOCATE, UDP).error is None, "there is a place")
        for c in pair:
            c.close()


# ---- several workers ----
@tap.group
def two_workers():
    with world.standard({"workers": 2, "min-port": 50000, "max-port": 50199}) as w:
        yield w


@two_workers.case("C46 C52 tokens are redeemed whichever worker the 5-tuple belongs to, over UDP and TCP")
def _(w):
    # 48 pairs whose ports are random: that all of them stay on one worker has a chance of 1 in 2^48.
    peer = w.peer()
    pairs = []
    for i in range(48):
        holder = w.client(i % 20, ("udp", "tcp")[i % 2])
        got = holder.allocate(EVEN_AND_NEXT)
        c = w.client((i + 7) % 20, ("udp", "tcp")[i // 2 % 2])
        equal(c.allocate(token(got.token)).addresses, [(S.RELAY, got.addresses[0][1] + 1)], "the reserved address")
        for x in (holder, c):
            x.bind(0x4000, peer.address)
            x.send_channel(0x4000, b"up %d" % i)
            peer.expect(b"up %d" % i, x.relayed[0])
            peer.send(b"down %d" % i, x.relayed[0])
            x.expect_channel(0x4000, b"down %d" % i)
        pairs.append((holder, c))
    for x, y in pairs:
        x.refresh(0)
        equal(y.refresh().lifetime, 600, "the lifetime of the redeemed one, when the other has gone")
        y.refresh(0)


@two_workers.case("C36 while a token is fetched from another worker: retransmissions make no second allocation, a later request waits its turn")
def _(w):
    for i in range(16):
        t = w.client(i % 20).allocate(EVEN_AND_NEXT).token
        c = w.client((i + 1) % 20)
        c.challenge()
        raw = c.signed(stun.ALLOCATE, [UDP, token(t)])
        for _ in range(3):
            c.send_raw(raw)
        equal(c.exchange(c.signed(stun.REFRESH)).error, None, "the error of a Refresh sent behind the Allocate")
        equal({m.txid for m in c.inbox}, {raw[8:20]}, "the transactions that were answered before it")
        equal(len({m.address(stun.XOR_RELAYED_ADDRESS) for m in c.inbox}), 1, "the number of relayed addresses")


@two_workers.case("C43 a token that two clients redeem at once is given to one of them")
def _(w):
    for i in range(16):
        t = w.client(i % 20).allocate(EVEN_AND_NEXT).token
        rivals = [w.client((i + j) % 20) for j in range(4)]
        raws = []
        for r in rivals:
            r.challenge()
            raws.append(r.signed(stun.ALLOCATE, [UDP, token(t)]))
        for r, raw in zip(rivals, raws):
            r.send_raw(raw)
        errors = [r.answer(raw[8:20]).error for r, raw in zip(rivals, raws)]
        equal(sorted(errors, key=str), [508, 508, 508, None], "the answers")
        for r in rivals:
            r.request(stun.REFRESH, stun.lifetime(0))


@two_workers.case("C49 all ports of the range can be had, once each, whichever worker asks")
def _(w):
    used = set()
    first = w.client().allocate().addresses[0][1]
    used.add(first)
    refused = 0
    for i in range(240):
        answer = w.client(i % 20).request(stun.ALLOCATE, UDP)
        if answer.error == 508:
            refused += 1
            if refused == 3:
                break
            continue
        port = answer.address(stun.XOR_RELAYED_ADDRESS)[1]
        check(port not in used, f"port {port} was given twice")
        used.add(port)
    equal(refused, 3, "the number of refusals when the ports are used up")
    check(all(50000 <= p <= 50199 for p in used), "a port outside of the range")


@two_workers.case("two workers share the 5-tuples, and both count what they did")
def _(w):
    w.daemon.stop()
    stats = w.daemon.worker_stats()
    for name in ("requests", "packets_up", "packets_down"):
        check(min(s[name] for s in stats) > 0, f"{name} of the workers: {[s[name] for s in stats]}")


tap.main()
