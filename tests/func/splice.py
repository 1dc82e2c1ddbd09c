#!/usr/bin/env python3
"""Relay-relay: what A sends to a relayed address of ours arrives at its owner as if it had come on its relay socket from A's."""
from lib import daemon, net, stun, tap, world
from lib.client import Channel
from lib.tap import check, equal

net.need_namespaces()
daemon.need_daemon()

S = net.Standard
PUBLIC, PUBLIC6 = "192.0.2.200", "2001:db8:3::200"  # no host has them, no route leads there
V6 = (stun.REQUESTED_ADDRESS_FAMILY, stun.IPV6)
PAIRS = 16  # that all of them fall on one worker of two has a chance of 1 in 2^31
KINDS = (("udp", "udp"), ("udp", "tcp"), ("tcp", "udp"), ("tcp", "tcp"))


def setup(workers, name, **settings):
    """A daemon that may relay to nobody but its own live relayed addresses."""

    def enter():
        with world.standard({"workers": workers, "allowed-peer-ip": None, **settings}) as w:
            w.workers = workers
            yield w

    enter.__name__ = f"{name}, {workers} worker{'s' if workers > 1 else ''}"
    return tap.group(enter)


def pair(w, i, kinds, *items):
    """Two clients with an allocation each."""
    out = [w.client((2 * i + j) % 20, kind) for j, kind in enumerate(kinds)]
    for c in out:
        c.allocate(*items)
    return out


def connect(a, b):
    """Channels both ways."""
    a.bind(0x4000, b.relayed[0])
    b.bind(0x5001, a.relayed[0])


def both_ways(a, b, text):
    a.send_channel(0x4000, b"to b " + text)
    b.expect_channel(0x5001, b"to b " + text)
    b.send_channel(0x5001, b"to a " + text)
    a.expect_channel(0x4000, b"to a " + text)


def settle(a, witnesses):
    """Whatever `a` sent before has been dealt with by every worker: what it sends to the witnesses, who are spread over the workers,
    takes the same ways and comes behind."""
    for i, c in enumerate(witnesses):
        a.send_to(c.relayed[0], b"witness %d" % i)
    for i, c in enumerate(witnesses):
        c.expect_data(b"witness %d" % i, a.relayed[0])


def witnesses(w):
    out = [w.client(i) for i in range(10)]
    for c in out:
        c.allocate()
        c.permit(c.relayed[0][0])
    return out


def add_cases(g):
    for kinds in KINDS:
        name = "-".join(k.upper() for k in kinds)

        @g.case(f"C83 {name}: channel to channel, both ways, IPv4 and IPv6")
        def _(w, kinds=kinds):
            for items in ((), (V6,)):
                for i in range(PAIRS):
                    a, b = pair(w, i, kinds, *items)
                    connect(a, b)
                    both_ways(a, b, b"%d" % i)
                    for c in (a, b):
                        c.refresh(0)

        @g.case(f"C83 {name}: Send to Data, Send to channel, channel to Data, with the sender's relayed address")
        def _(w, kinds=kinds):
            for i in range(PAIRS):
                a, b = pair(w, i, kinds)
                a.permit(b.relayed[0][0])
                b.permit(a.relayed[0][0])
                a.send_to(b.relayed[0], b"send to data")
                b.expect_data(b"send to data", a.relayed[0])
                b.bind(0x5001, a.relayed[0])
                a.send_to(b.relayed[0], b"send to channel")
                b.expect_channel(0x5001, b"send to channel")
                b.send_channel(0x5001, b"channel to data")
                a.expect_data(b"channel to data", b.relayed[0])
                for c in (a, b):
                    c.refresh(0)

        @g.case(f"C61 C63 C68 {name}: sizes from nothing to a whole packet, a burst in order, none lost, none twice")
        def _(w, kinds=kinds):
            for i in range(4):
                a, b = pair(w, i, kinds)
                connect(a, b)
                for size in (0, 1, 2, 3, 4, 5, 172, 1200, 1395, 1396):
                    both_ways(a, b, bytes(size))
                a.send_channel(0x4000, b"")
                b.expect_channel(0x5001, b"")
                burst = [b"%04d" % n + bytes(n % 7) for n in range(100)]
                for data in burst:
                    a.send_channel(0x4000, data)
                for data in burst:
                    equal(b.receive(), Channel(0x5001, data), "what came")
                both_ways(a, b, b"nothing is left over")
                for c in (a, b):
                    c.refresh(0)

        @g.case(f"C59 {name}: without a permission on the receiver's side everything is dropped")
        def _(w, kinds=kinds):
            around = witnesses(w)
            for i in range(4):
                a, b = pair(w, i, kinds)
                a.bind(0x4000, b.relayed[0])
                a.send_channel(0x4000, b"not permitted by b")
                a.send_to(b.relayed[0], b"not permitted by b")
                settle(a, around)
                b.permit(a.relayed[0][0])
                a.send_channel(0x4000, b"permitted")
                b.expect_data(b"permitted", a.relayed[0])
                for c in (a, b):
                    c.refresh(0)
            for c in around:
                c.refresh(0)

        @g.case(f"C60 {name}: without a permission on the sender's side everything is dropped")
        def _(w, kinds=kinds):
            for i in range(4):
                a, b = pair(w, i, kinds)
                b.permit(a.relayed[0][0])
                for _ in range(3):
                    a.send_to(b.relayed[0], b"not permitted by a")
                if kinds[0] == "udp":
                    a.send_channel(0x4000, b"no channel")
                a.permit(b.relayed[0][0])
                a.send_to(b.relayed[0], b"permitted")
                b.expect_data(b"permitted", a.relayed[0])
                for c in (a, b):
                    c.refresh(0)

        @g.case(f"C54 {name}: after Refresh 0 of one side the other's packets are dropped, and the other lives on")
        def _(w, kinds=kinds):
            around = witnesses(w)
            for i in range(4):
                a, b = pair(w, i, kinds)
                connect(a, b)
                both_ways(a, b, b"alive")
                old = b.relayed[0]
                b.refresh(0)
                a.send_channel(0x4000, b"to the dead")
                a.send_to(old, b"to the dead")
                settle(a, around)
                b.allocate()
                while b.relayed[0] == old:  # by chance: a's channel would lead there rightly
                    b.refresh(0)
                    b.allocate()
                b.permit(a.relayed[0][0])
                a.send_channel(0x4000, b"to the dead")
                settle(a, around)
                a.refresh()
                a.bind(0x4001, b.relayed[0])
                a.send_channel(0x4001, b"to the new one")
                b.expect_data(b"to the new one", a.relayed[0])
                equal(a.error(stun.CHANNEL_BIND, stun.channel_number(0x4002), stun.peer(old)), 403, "the error of a relayed address that is dead")
                for c in (a, b):
                    c.refresh(0)
            for c in around:
                c.refresh(0)

    @g.case("a client that sends to its own relayed address hears itself")
    def _(w):
        for transport in ("udp", "tcp"):
            c = w.client(transport=transport)
            c.allocate()
            c.bind(0x4000, c.relayed[0])
            c.send_channel(0x4000, b"echo")
            c.expect_channel(0x4000, b"echo")
            c.refresh(0)

    @g.case("a stream that closes: the other's packets are dropped, the other lives on")
    def _(w):
        for i in range(4):
            a, b = pair(w, i, ("udp", "tcp"))
            connect(a, b)
            both_ways(a, b, b"alive")
            b.close()

            a.bind(0x4001, a.relayed[0])
            tap.wait_until(lambda: a.request(stun.CHANNEL_BIND, stun.channel_number(0x4000), stun.peer(b.relayed[0])).error == 403, "b is gone")
            a.send_channel(0x4000, b"to the closed")
            a.send_channel(0x4001, b"still alive")
            a.expect_channel(0x4001, b"still alive")
            a.refresh(0)

    @g.case("families do not mix: an IPv4 allocation cannot reach an IPv6 relayed address")
    def _(w):
        a, b = w.client(), w.client(1)
        a.allocate()
        b.allocate(V6)
        equal(a.error(stun.CHANNEL_BIND, stun.channel_number(0x4000), stun.peer(b.relayed[0])), 443, "the error")

    @g.case("the splice took them all, and every worker took part")
    def _(w):
        w.daemon.stop()
        stats = w.daemon.worker_stats()
        for name in ("packets_up", "packets_down", "splice_local"):
            check(min(s[name] for s in stats) > 0, f"{name} of the workers: {[s[name] for s in stats]}")
        handed, taken = sum(s["splice_out"] for s in stats), sum(s["splice_in"] for s in stats)
        equal(handed, taken, "the packets handed to other workers, against those taken from them")
        if w.workers > 1:
            check(min(s["splice_in"] for s in stats) > 0, f"splice_in of the workers: {[s['splice_in'] for s in stats]}")
            check(min(s["splice_out"] for s in stats) > 0, f"splice_out of the workers: {[s['splice_out'] for s in stats]}")
        else:
            equal(handed, 0, "the packets handed to other workers")


for n in (1, 2):
    add_cases(setup(n, "relay-relay"))


# ---- behind a 1:1 NAT that does not hairpin ----
def add_nat_cases(g):
    @g.case("external-ip: the relayed address is the public one")
    def _(w):
        for transport in ("udp", "tcp"):
            c = w.client(transport=transport)
            equal(c.allocate().addresses[0][0], PUBLIC, "the relayed IPv4 address")
            c.refresh(0)
            equal(c.allocate(V6).addresses[0][0], PUBLIC6, "the relayed IPv6 address")
            c.refresh(0)

    @g.case("external-ip: peers by the public address of a NAT that does not hairpin, UDP and TCP, Send and channels")
    def _(w):
        for kinds in KINDS:
            for items in ((), (V6,)):
                for i in range(4):
                    a, b = pair(w, i, kinds, *items)
                    a.permit(b.relayed[0][0])
                    b.permit(a.relayed[0][0])
                    a.send_to(b.relayed[0], b"send")
                    b.expect_data(b"send", a.relayed[0])
                    connect(a, b)
                    both_ways(a, b, b"%d" % i)
                    for c in (a, b):
                        c.refresh(0)

    @g.case("external-ip: peers by the local address reach the same allocation")
    def _(w):
        for i in range(8):
            a, b = pair(w, i, ("udp", "udp"))
            for c in (a, b):
                c.permit(PUBLIC, S.RELAY)
            a.send_to((S.RELAY, b.relayed[0][1]), b"by the local address")
            message = b.expect_data(b"by the local address")
            source = message.address(stun.XOR_PEER_ADDRESS)
            check(source in (a.relayed[0], (S.RELAY, a.relayed[0][1])), f"the source is {source}")
            for c in (a, b):
                c.refresh(0)

    @g.case("external-ip: a public address with a port that is not live is denied; a peer beyond the NAT is relayed to")
    def _(w):
        a, b = pair(w, 0, ("udp", "udp"))
        dead = b.relayed[0]
        b.refresh(0)
        equal(a.error(stun.CHANNEL_BIND, stun.channel_number(0x4000), stun.peer(dead)), 403, "the error of a dead relayed address")
        equal(a.error(stun.CHANNEL_BIND, stun.channel_number(0x4000), stun.peer((PUBLIC, 3478))), 403, "the error of the service's port")
        peer = w.peer(S.PUBLIC)
        a.permit(S.PUBLIC)
        a.send_to(peer.address, b"out")
        peer.expect(b"out", (S.RELAY, a.relayed[0][1]))
        peer.send(b"in", (S.RELAY, a.relayed[0][1]))
        a.expect_data(b"in", peer.address)


for n in (1, 2):
    add_nat_cases(setup(n, "a 1:1 NAT", **{"external-ip": [f"{PUBLIC}/{S.RELAY}", f"{PUBLIC6}/{S.RELAY6}"]}))


@tap.group
def one_address():
    """relay-ip and the listening address are one, as on most hosts; external-ip without a local part."""
    with world.standard({"listening-ip": S.SERVER, "relay-ip": None, "external-ip": PUBLIC, "allowed-peer-ip": None}) as w:
        yield w


@one_address.case("external-ip without a local address, the listening address as the relay's: two clients hear each other")
def _(w):
    a, b = pair(w, 0, ("udp", "tcp"))
    equal({c.relayed[0][0] for c in (a, b)}, {PUBLIC}, "the relayed addresses")
    connect(a, b)
    both_ways(a, b, b"hello")


tap.main()
