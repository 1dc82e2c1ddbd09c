"""What passes an interface, seen while other people's programs talk: counted in a thread of its own."""
import collections
import contextlib
import select
import socket
import struct
import threading

from . import stun

_ETH_P_ALL, _PACKET_OUTGOING = 3, 4


@contextlib.contextmanager
def counting(ns, interface, port):
    """A Counter of what UDP carries to and from a port: ("out" or "in", method, class), ("out", "even pair"), ("in", "token"),
    ("out", "redeem"), ("in", "two relayed addresses"), ("out" or "in", "ChannelData" or "malformed")."""
    counter = collections.Counter()
    sock = ns.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    sock.bind((interface, _ETH_P_ALL))
    stop_read, stop_write = socket.socketpair()

    def run():
        while True:
            ready = select.select([sock, stop_read], [], [])[0]
            if sock in ready:
                raw, address = sock.recvfrom(65536)
                payload = _udp_payload(raw, port)
                if payload:
                    _count(counter, "out" if address[2] == _PACKET_OUTGOING else "in", payload)
            elif stop_read in ready:  # and nothing is left to read
                return

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield counter
    finally:
        stop_write.close()
        thread.join()
        stop_read.close()
        sock.close()


def _udp_payload(raw, port):
    if raw[0] >> 4 == 4 and raw[9] == socket.IPPROTO_UDP and not struct.unpack("!H", raw[6:8])[0] & 0x1FFF:
        udp = raw[(raw[0] & 15) * 4 :]
    elif raw[0] >> 4 == 6 and raw[6] == socket.IPPROTO_UDP:
        udp = raw[40:]
    else:
        return None
    return udp[8 : struct.unpack("!H", udp[4:6])[0]] if port in struct.unpack("!HH", udp[:4]) else None


def _count(counter, way, payload):
    if payload[0] & 0xC0:
        counter[way, "ChannelData"] += 1
        return
    try:
        message = stun.decode(payload)
    except stun.Malformed:
        counter[way, "malformed"] += 1
        return
    counter[way, message.method, message.cls] += 1
    if way == "out" and message.cls == stun.REQUEST:
        counter[way, "even pair"] += message.get(stun.EVEN_PORT) == b"\x80"
        counter[way, "redeem"] += message.get(stun.RESERVATION_TOKEN) is not None
    elif way == "in" and message.cls == stun.SUCCESS:
        counter[way, "token"] += message.get(stun.RESERVATION_TOKEN) is not None
        counter[way, "two relayed addresses"] += len(message.all(stun.XOR_RELAYED_ADDRESS)) == 2
