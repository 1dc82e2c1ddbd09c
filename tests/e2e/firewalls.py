#!/usr/bin/env python3
"""The firewalls of the picture pass what the five rules say, count it, and pass nothing else in either direction."""
import socket
import struct

import picture
from picture import APP, CONNECT, HOME, HOME_PUBLIC, OFFICE, OFFICE_PUBLIC, RELAY, RULES, STRANGER

from lib import tap
from lib.tap import check, equal

picture.need_picture()

KINDS = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM}
ELSEWHERE = [  # what no rule names, for whoever asks
    (RELAY, "tcp", 3478), (RELAY, "udp", 443), (RELAY, "udp", 3479), (RELAY, "udp", 50000), (RELAY, "tcp", 443), (RELAY, "tcp", 80),
    (CONNECT, "udp", 3478), (CONNECT, "udp", 443), (CONNECT, "tcp", 444), (APP, "udp", 3478), (APP, "tcp", 80),
    (STRANGER, "tcp", 443), (STRANGER, "udp", 3478), (STRANGER, "udp", 53),
]  # fmt: skip


def socket_of(ns, protocol, ip="", port=0):
    """Closed, it is gone: a connection's last words, sent again and again, are not to be dropped in the middle of what comes next."""
    s = ns.socket(socket.AF_INET, KINDS[protocol])
    if protocol == "tcp":
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((ip, port))
    s.setblocking(False)
    return s


def received(s):
    try:
        return s.recvfrom(100)
    except (BlockingIOError, ConnectionError):
        return None


def accepted(s):
    try:
        return s.accept()
    except BlockingIOError:
        return None


def lost(fw, before):
    """Has the firewall dropped something since?"""
    now = fw.counts()
    return now["dropped"] + now["here"] > before["dropped"] + before["here"]


def udp_passes(fw, ours, theirs, to):
    before = fw.counts()
    ours.sendto(b"hello", to)
    came = tap.wait_until(lambda: received(theirs) or lost(fw, before), "a datagram is received or dropped")
    return came is not True and came


def passes(n, fw, ns, ip, to, protocol):
    """Whether `ip`, which is in `ns`, reaches (address, port) on the internet, and is answered; the source that was seen there."""
    with socket_of(ns, protocol, ip) as ours, socket_of(n.internet, protocol, *to) as theirs:
        if protocol == "udp":
            came = udp_passes(fw, ours, theirs, to)
            if came:
                theirs.sendto(b"answer", came[1])
                tap.wait_until(lambda: received(ours), "the answer comes back")
            return came and came[1]
        theirs.listen()
        before = fw.counts()
        ours.connect_ex(to)
        came = tap.wait_until(lambda: accepted(theirs) or lost(fw, before), "a connection is made or dropped")
        if came is True:
            return False
        with came[0] as s:
            s.sendall(b"answer")
            tap.wait_until(lambda: received(ours), "the answer comes back")
        return came[1]


SIDES = {"office": (OFFICE, OFFICE_PUBLIC), "home": (HOME, HOME_PUBLIC)}


def side(n, who):
    return {"office": (n.office_firewall, n.office), "home": (n.home_firewall, n.home)}[who]


@tap.group
def five_rules():
    with picture.Picture() as n:
        n.office.ip("addr add 10.20.0.99/24 dev eth0")
        n.home.ip("addr add 192.168.178.99/24 dev eth0")
        yield n


for number, (who, address, protocol, port) in RULES.items():

    @five_rules.case(f"rule {number}: the {who} reaches {address}, {port}/{protocol}, and is answered, behind one public address")
    def _(n, number=number, who=who, address=address, protocol=protocol, port=port):
        fw, ns = side(n, who)
        seen = passes(n, fw, ns, SIDES[who][0], (address, port), protocol)
        check(seen and seen[0] == SIDES[who][1], f"it was seen as {seen}")
        counts = fw.counts()
        check(counts[f"rule{number}"] > 0 and counts[f"rule{number}back"] > 0, f"the rule's counters: {counts}")
        equal(counts["else"], 0, "what else has passed")


@five_rules.case("nothing else goes out, not even what is another's rule")
def _(n):
    for who, (ip, _) in SIDES.items():
        fw, ns = side(n, who)
        foreign = [tuple(rule) for source, *rule in RULES.values() if source != who and tuple(rule) not in fw.rules.values()]
        for address, protocol, port in ELSEWHERE + foreign:
            check(not passes(n, fw, ns, ip, (address, port), protocol), f"the {who} reaches {address}, {port}/{protocol}")
        equal(fw.counts()["else"], 0, "what else has passed")


@five_rules.case("no other host of the same network goes out")
def _(n):
    for who, ip in (("office", "10.20.0.99"), ("home", "192.168.178.99")):
        fw, ns = side(n, who)
        for address, protocol, port in fw.rules.values():
            check(not passes(n, fw, ns, ip, (address, port), protocol), f"{ip} reaches {address}, {port}/{protocol}")


@five_rules.case("nothing comes in: to the public address, nor to an inner one by whoever knows the way")
def _(n):
    n.internet.ip(f"route add {OFFICE}/32 via {OFFICE_PUBLIC}", f"route add {HOME}/32 via {HOME_PUBLIC}")
    for who, targets in SIDES.items():
        fw, ns = side(n, who)
        for source, port in ((RELAY, 3478), (RELAY, 50000), (CONNECT, 443), (STRANGER, 40000)):
            with socket_of(n.internet, "udp", source, port) as theirs, socket_of(ns, "udp", targets[0], 40000) as ours:
                for ip in targets:
                    check(not udp_passes(fw, theirs, ours, (ip, 40000)), f"{source}:{port} reaches {ip}")
    n.internet.ip(f"route del {OFFICE}/32", f"route del {HOME}/32")


@five_rules.case("home and office do not reach each other, though both send at the same time")
def _(n):
    with socket_of(n.office, "udp", OFFICE, 40000) as a, socket_of(n.home, "udp", HOME, 40001) as b:
        check(not udp_passes(n.office_firewall, a, b, (HOME_PUBLIC, 40001)), "the office reaches the home")
        check(not udp_passes(n.home_firewall, b, a, (OFFICE_PUBLIC, 40000)), "the home reaches the office")


for number in RULES:

    @five_rules.case(f"rule {number} is taken away: what it carried ends at once, all else goes on")
    def _(n, number=number):
        n.of_rule(number).remove(number)
        for other, (who, address, protocol, port) in RULES.items():
            fw, ns = side(n, who)
            seen = passes(n, fw, ns, SIDES[who][0], (address, port), protocol)
            equal(bool(seen), other != number, f"whether rule {other} passes")
        n.restore()


@five_rules.case("a flow that a rule carries is cut with the rule, and goes on with it, both ways")
def _(n):
    fw = n.home_firewall
    with socket_of(n.home, "udp", HOME, 40002) as ours, socket_of(n.internet, "udp", RELAY, 3478) as theirs:
        seen = udp_passes(fw, ours, theirs, (RELAY, 3478))
        check(seen and udp_passes(fw, theirs, ours, seen[1]), "the flow passes")
        fw.remove(5)
        check(not udp_passes(fw, ours, theirs, (RELAY, 3478)), "the flow still passes outwards")
        check(not udp_passes(fw, theirs, ours, seen[1]), "the flow still passes inwards")
        fw.restore()
        check(udp_passes(fw, theirs, ours, seen[1]), "the flow does not go on")


@five_rules.case("the relay's own host, shut: 3478 by UDP and 443 by TCP, and nothing else, not even to itself")
def _(n):
    n.host_firewall.shut()
    with socket_of(n.internet, "udp", STRANGER) as ours, socket_of(n.internet, "udp", RELAY, 50000) as theirs:
        try:
            ours.sendto(b"hello", (RELAY, 50000))
            raise tap.Failure("a datagram to another port was sent")
        except PermissionError:
            pass
        equal(received(theirs), None, "what was received")
    for who, address, protocol, port in RULES.values():
        fw, ns = side(n, who)
        check(passes(n, fw, ns, SIDES[who][0], (address, port), protocol), f"the {who} does not reach {address}")
    equal(n.host_firewall.counts()["else"], 0, "what else came to the host")
    n.host_firewall.shut(False)


@five_rules.case("nothing but UDP 3478 and TCP 443 has passed so far")
def _(n):
    n.nothing_else_passed()


@five_rules.case("the open case: both sides send, and reach each other through both translations; shut again, they are cut")
def _(n):
    for f in n.firewalls:
        f.open()
    with socket_of(n.office, "udp", OFFICE, 40003) as a, socket_of(n.home, "udp", HOME, 40004) as b:
        check(not udp_passes(n.home_firewall, a, b, (HOME_PUBLIC, 40004)), "the first datagram finds a way in")
        seen = udp_passes(n.office_firewall, b, a, (OFFICE_PUBLIC, 40003))
        equal(seen and seen[1], (HOME_PUBLIC, 40004), "where the home's datagram comes from")
        seen = udp_passes(n.home_firewall, a, b, (HOME_PUBLIC, 40004))
        equal(seen and seen[1], (OFFICE_PUBLIC, 40003), "where the office's datagram comes from")
        check(n.home_firewall.counts()["open"] > 0 and n.home_firewall.counts()["else"] > 0, "nobody has counted it")
        n.restore()
        check(not udp_passes(n.office_firewall, a, b, (HOME_PUBLIC, 40004)), "it still passes")
        check(not udp_passes(n.home_firewall, b, a, (OFFICE_PUBLIC, 40003)), "it still passes")


@five_rules.case("one side is open: it reaches a port of the relay's, the other does not")
def _(n):
    n.office_firewall.open()
    check(passes(n, n.office_firewall, n.office, OFFICE, (RELAY, 50000), "udp"), "the office does not reach it")
    check(not passes(n, n.office_firewall, n.office, OFFICE, (STRANGER, 3478), "udp"), "rule 4 is no rule any more")
    check(not passes(n, n.home_firewall, n.home, HOME, (RELAY, 50000), "udp"), "the home reaches it")
    n.restore()


tap.main()
