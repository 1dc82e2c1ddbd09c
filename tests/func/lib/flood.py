"""Datagrams of strangers, at a rate, from as many sources as they like to claim."""
import ipaddress
import socket
import struct
import threading
import time

from . import stun

STEP_S = 0.001  # between two bursts


def _packet(source, source_port, server, port, payload):
    """An IPv4 packet with a UDP datagram; the kernel fills in length, identification and checksum, and UDP needs none."""
    udp = struct.pack("!HHHH", source_port, port, 8 + len(payload), 0) + payload
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 64, socket.IPPROTO_UDP, 0, source.packed, ipaddress.ip_address(server).packed) + udp


def packets(network, server, port, count):
    """Requests without a credential and with a forged one, from the hosts of a network."""
    transport = [(stun.REQUESTED_TRANSPORT, stun.UDP)]
    forged = [(stun.USERNAME, b"alice"), (stun.REALM, b"example.org"), (stun.NONCE, b"obMatJos2AAAD" + b"0" * 40)]
    payloads = (
        stun.encode(stun.BINDING, stun.REQUEST),
        stun.encode(stun.ALLOCATE, stun.REQUEST, transport),
        stun.encode(stun.ALLOCATE, stun.REQUEST, transport + forged, key=b"k" * 16, integrity=(stun.MESSAGE_INTEGRITY,)),
        stun.channel_data(0x4000, bytes(172)),
    )
    hosts = ipaddress.ip_network(network)
    return [_packet(hosts[1 + i * 37 % (hosts.num_addresses - 2)], 1024 + i % 60000, server, port, payloads[i % len(payloads)]) for i in range(count)]


class Flood:
    """`with Flood(ns, packets, server, rate, seconds)` floods in a thread until its time is over; `sent` counts."""

    def __init__(self, ns, what, server, rate, seconds):
        self.socket = ns.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self.what, self.to, self.rate, self.seconds = what, (server, 0), rate, seconds
        self.sent = 0
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        start = time.monotonic()
        while (now := time.monotonic() - start) < self.seconds:
            due = int(now * self.rate) - self.sent
            for _ in range(due):
                self.socket.sendto(self.what[self.sent % len(self.what)], self.to)
                self.sent += 1
            if due == 0:
                time.sleep(STEP_S)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.thread.join()
        self.socket.close()
