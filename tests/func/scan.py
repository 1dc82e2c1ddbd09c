#!/usr/bin/env python3
"""S16: a user who looks for services in private networks through the relay finds none, fast, and changes nothing."""
import contextlib
import ipaddress
import socket

from lib import daemon, net, stun, tap, world
from lib.client import Endpoint
from lib.tap import equal

net.need_namespaces()
daemon.need_daemon()

S = net.Standard
PRIVATE = [ipaddress.ip_network(n) for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "fc00::/7")]
PORTS = (53, 80, 161)  # DNS, HTTP, SNMP
HOSTS = 16  # of each network: with its ports more than an allocation may have channels or permissions
WINDOW = 64  # requests that are sent before an answer is read: what a socket's buffer holds
_ETH_P_ALL, _PACKET_OUTGOING = 3, 4


def targets():
    for n in PRIVATE:
        step = n.num_addresses // HOSTS
        for i in range(HOSTS):
            for port in PORTS:
                yield str(n[i * step + 1]), port


class Sniffer:
    """What arrives at the peers' interface for anybody in a private network, and a datagram of ours that shows that all has arrived."""

    def __init__(self, ns):
        self.sock = ns.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.sock.settimeout(tap.PATIENCE_S)
        self.sock.bind(("eth0", _ETH_P_ALL))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def until(self, fence):
        found = set()
        while True:
            raw, address = self.sock.recvfrom(65536)
            if address[2] == _PACKET_OUTGOING or raw[0] >> 4 not in (4, 6):
                continue
            if fence in raw:
                return found
            to = ipaddress.ip_address(raw[16:20] if raw[0] >> 4 == 4 else raw[24:40])
            if any(to in n for n in PRIVATE):
                found.add(str(to))


@tap.group
def private_networks():
    with world.standard() as w:
        # They are all behind the peers' host, and the server has a route to them: only the policy is in the way.
        w.net.srv.ip(*[f"route add {n} via {S.PEER6 if n.version == 6 else S.PEER}" for n in PRIVATE])
        yield w


def all_refused(c, raws):
    """Each is answered with 403, in this order, and before the Binding request behind them: nothing waits."""
    for i in range(0, len(raws), WINDOW):
        batch = raws[i : i + WINDOW]
        fence = stun.encode(stun.BINDING, stun.REQUEST)
        for raw in (*batch, fence):
            c.send_raw(raw)
        answers = [c.receive("an answer") for _ in range(len(batch) + 1)]
        equal([a.txid for a in answers], [raw[8:20] for raw in (*batch, fence)], "the order of the answers")
        equal({a.error for a in answers[:-1]}, {403}, "the errors")


@private_networks.case("S16 a scan of private networks: each request is 403 at once, no packet leaves, and the allocation works on")
def _(w):
    with contextlib.ExitStack() as stack:
        sniffer = stack.enter_context(Sniffer(w.net.peer))
        for ip, source in (("10.1.2.3", S.RELAY), ("fd00::1", S.RELAY6)):  # where the server itself may send, a packet arrives
            stack.enter_context(Endpoint(w.net.srv, source)).send(b"a packet of the host's", (ip, 53))
        for transport in ("udp", "tcp"):
            c = w.client(0, transport)
            v4 = next(a for a in c.allocate((stun.ADDITIONAL_ADDRESS_FAMILY, stun.IPV6)).addresses if ":" not in a[0])
            peer, late = w.peer(), w.peer(S.PEER_2)
            c.bind(0x4000, peer.address)
            all_refused(c, [c.signed(stun.CREATE_PERMISSION, [stun.peer((ip, 0))]) for ip in {ip for ip, _ in targets()}])
            all_refused(c, [c.signed(stun.CREATE_PERMISSION, [stun.peer((S.PEER_2, 0)), stun.peer(to)]) for to in targets()])
            all_refused(c, [c.signed(stun.CHANNEL_BIND, [stun.channel_number(0x4001), stun.peer(to)]) for to in targets()])
            for to in targets():
                c.send_to(to, b"version.bind?")
                c.send_channel(0x4001, b"version.bind?")
            c.silent()
            c.send_channel(0x4000, b"on we go")
            peer.expect(b"on we go", v4)
            peer.send(b"so we do", v4)
            c.expect_channel(0x4000, b"so we do")
            c.bind(0x4001, late.address)  # neither the channel nor a permission is taken
            c.send_channel(0x4001, b"behind the scan by " + transport.encode())
            if transport == "udp":
                equal(sniffer.until(b"behind the scan by udp"), {"10.1.2.3", "fd00::1"}, "what arrived in private networks")
            else:
                equal(sniffer.until(b"behind the scan by tcp"), set(), "what arrived in private networks")
            c.refresh(0)
    w.daemon.stop()
    stats = w.daemon.worker_stats()[0]
    n = 2 * len(list(targets()))
    equal(stats.get("drop_policy", 0) + stats.get("drop_no_permission", 0), n, "the number of Send indications that were dropped and counted")
    equal(stats.get("drop_no_channel", 0), n, "the number of ChannelData that were dropped and counted")
    equal({k: v for k, v in stats.items() if k.startswith("drop_parked")}, {}, "the requests that waited")
    equal(stats["errors"], 2 * n + 2 * len(PRIVATE) * HOSTS, "the number of errors")


tap.main()
