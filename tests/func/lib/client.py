"""TURN clients and peers over real sockets."""
import collections
import select
import socket
import struct
import time

from . import daemon, stun, tap

Relayed = collections.namedtuple("Relayed", "addresses lifetime mapped token message")
Channel = collections.namedtuple("Channel", "number data")
Packet = collections.namedtuple("Packet", "data source tos ttl")

# Not in Python's socket module.
IP_MTU_DISCOVER, IP_PMTUDISC_DONT, IP_PMTUDISC_DO = 10, 0, 2
IPV6_MTU_DISCOVER = 23
IP_RECVTTL = 12


def family_of(ip):
    return socket.AF_INET6 if ":" in ip else socket.AF_INET


def local(ip, port, scope):
    """What bind() wants; `scope` is the interface of a link-local address."""
    return (ip, port, 0, scope) if family_of(ip) == socket.AF_INET6 else (ip, port)


class Endpoint:
    """A UDP socket that tells the header of what it takes, and sets that of what it sends."""

    def __init__(self, ns, ip, port=0, scope=0):
        self.family = family_of(ip)
        self.sock = ns.socket(self.family, socket.SOCK_DGRAM)
        self.v6 = self.family == socket.AF_INET6
        if self.v6:
            self.sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self.sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
            self.sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        else:
            self.sock.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
            self.sock.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.sock.bind(local(ip, port, scope))
        self.address = self.sock.getsockname()[:2]

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def tos(self, value):
        if self.v6:
            self.sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, value)
        else:
            self.sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, value)

    def ttl(self, value):
        if self.v6:
            self.sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, value)
        else:
            self.sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, value)

    def dont_fragment(self, on):
        if self.v6:
            self.sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, IP_PMTUDISC_DO if on else IP_PMTUDISC_DONT)
        else:
            self.sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO if on else IP_PMTUDISC_DONT)

    def send(self, data, to):
        self.sock.sendto(data, to)

    def receive(self, what="a datagram", seconds=None):
        """The next datagram as a Packet."""
        self.sock.settimeout(seconds or tap.PATIENCE_S)
        try:
            data, ancillary, _, source = self.sock.recvmsg(65536, 256)
        except TimeoutError:
            raise tap.Failure(f"{what} did not come to {self.address}") from None
        tos = ttl = None
        for level, kind, value in ancillary:
            if (level, kind) in ((socket.IPPROTO_IP, socket.IP_TOS), (socket.IPPROTO_IPV6, socket.IPV6_TCLASS)):
                tos = value[0]
            elif (level, kind) in ((socket.IPPROTO_IP, socket.IP_TTL), (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT)):
                ttl = struct.unpack("i", value)[0]
        return Packet(data, source[:2], tos, ttl)

    def expect(self, data, source=None):
        """The next datagram is this one: whatever should have been dropped before it was."""
        packet = self.receive(f"{data[:40]!r}")
        tap.equal(packet.data, data, f"what came to {self.address} from {packet.source}")
        if source is not None:
            tap.equal(packet.source, source, "its source")
        return packet


class Refusals:
    """A UDP socket connected to one address, to see the ICMP error that comes when nothing listens there."""

    def __init__(self, ns, ip, to):
        self.sock = ns.socket(family_of(ip), socket.SOCK_DGRAM)
        self.sock.bind((ip, 0))
        self.sock.connect(to)
        self.sock.setblocking(False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def refused(self):
        """Send one; True if an ICMP error came back by now."""
        try:
            self.sock.send(b"anybody there?")
            select.select([self.sock], [], [], 0.05)
            self.sock.recv(1)
        except ConnectionRefusedError:
            return True
        except BlockingIOError:
            return False
        return False

    def refused_at_once(self):
        """One datagram, one ICMP error. In namespaces it is back before send() returns, or very soon after."""
        try:
            self.sock.send(b"anybody there?")
            if not select.select([self.sock], [], [], tap.PATIENCE_S)[0]:
                return False
            self.sock.recv(1)
        except ConnectionRefusedError:
            return True
        return False


class Client:
    """A TURN client on its own 5-tuple. `algorithm` None is RFC 5389's way (MD5 and MESSAGE-INTEGRITY)."""

    def __init__(self, ns, ip, server, transport="udp", user=daemon.USER, password=daemon.PASSWORD, algorithm=None, port=0, scope=0):
        self.user, self.password, self.algorithm = user, password, algorithm
        self.server, self.transport = server, transport
        self.realm = self.nonce = self.algorithms = None
        self.inbox = collections.deque()
        self._buffer = b""
        if transport == "udp":
            self.endpoint = Endpoint(ns, ip, port, scope)
            self.sock = self.endpoint.sock
        else:
            self.endpoint = None
            self.sock = ns.socket(family_of(ip), socket.SOCK_STREAM)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sock.bind(local(ip, port, scope))
            self.sock.settimeout(tap.PATIENCE_S)
            self.sock.connect(server)
        self.address = self.sock.getsockname()[:2]

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- bytes ----
    def send_raw(self, data):
        if self.transport == "udp":
            self.sock.sendto(data, self.server)
        else:
            self.sock.sendall(data)

    def _take(self, kind):
        """Bytes to a stun.Message or a Channel."""
        return stun.decode(kind) if kind[0] < 64 else self._channel(kind)

    def _channel(self, raw):
        number, length = struct.unpack("!HH", raw[:4])
        pad = raw[4 + length :]
        tap.check(len(raw) >= 4 + length, f"ChannelData of {len(raw)} bytes says that it has {length}")
        tap.check(len(pad) == (-length % 4 if self.transport == "tcp" else 0) and not any(pad), f"ChannelData is padded with {pad.hex()!r}")
        return Channel(number, raw[4 : 4 + length])

    def _frame(self):
        if len(self._buffer) < 4:
            return None
        length = struct.unpack("!H", self._buffer[2:4])[0]
        size = 20 + length if self._buffer[0] < 64 else 4 + length + -length % 4
        if len(self._buffer) < size:
            return None
        frame, self._buffer = self._buffer[:size], self._buffer[size:]
        return frame

    def _receive_new(self, what, deadline):
        if self.transport == "udp":
            packet = self.endpoint.receive(what, max(deadline - time.monotonic(), 0.001))
            tap.equal(packet.source, self.server[:2], "the source of an answer")
            return self._take(packet.data), packet
        while True:
            frame = self._frame()
            if frame is not None:
                return self._take(frame), None
            self.sock.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                more = self.sock.recv(65536)
            except TimeoutError:
                raise tap.Failure(f"{what} did not come to {self.address}") from None
            tap.check(more, f"{what} did not come: the stream was closed")
            self._buffer += more

    def receive(self, what="anything", seconds=None):
        """The next message or ChannelData, those kept first."""
        if self.inbox:
            return self.inbox.popleft()
        return self._receive_new(what, time.monotonic() + (seconds or tap.PATIENCE_S))[0]

    def receive_packet(self, what="anything"):
        """The next one with its Packet (UDP)."""
        tap.check(not self.inbox, f"{self.inbox} came before")
        return self._receive_new(what, time.monotonic() + tap.PATIENCE_S)

    def answer(self, txid, what="an answer"):
        """The response of a transaction; what comes before it is kept for receive()."""
        deadline = time.monotonic() + tap.PATIENCE_S
        while True:
            message = self._receive_new(what, deadline)[0]
            if isinstance(message, stun.Message) and message.txid == txid and message.cls in (stun.SUCCESS, stun.ERROR):
                return message
            self.inbox.append(message)

    def exchange(self, raw, what="an answer"):
        self.send_raw(raw)
        return self.answer(raw[8:20], what)

    def silent(self, *raws):
        """None of these is answered, or has any effect that this client sees: the next that comes is the answer to the Binding
        request sent behind them, and one 5-tuple's messages are handled in order."""
        tap.check(not self.inbox, f"{self.inbox} came before")
        for raw in raws:
            self.send_raw(raw)
        fence = stun.encode(stun.BINDING, stun.REQUEST)
        self.send_raw(fence)
        message = self.receive("the answer to a Binding request")
        tap.check(isinstance(message, stun.Message) and message.txid == fence[8:20], f"{message} came where nothing should")

    def closed(self):
        """Wait until the server has closed the stream; what it still sent is returned."""
        rest = self._buffer
        self._buffer = b""
        self.sock.settimeout(tap.PATIENCE_S)
        try:
            while True:
                more = self.sock.recv(65536)
                if not more:
                    return rest
                rest += more
        except ConnectionResetError:
            return rest
        except TimeoutError:
            raise tap.Failure("the server did not close the stream") from None

    # ---- authentication ----
    @property
    def key(self):
        return stun.key(self.user, self.realm, self.password, self.algorithm or stun.MD5)

    def learn(self, challenge):
        """Take REALM and NONCE from a 401 or 438."""
        self.realm = challenge.get(stun.REALM).decode()
        self.nonce = challenge.get(stun.NONCE)
        self.algorithms = challenge.get(stun.PASSWORD_ALGORITHMS)

    def challenge(self):
        answer = self.exchange(stun.encode(stun.ALLOCATE, stun.REQUEST, [(stun.REQUESTED_TRANSPORT, stun.UDP)]))
        tap.equal(answer.error, 401, "the error of an unauthenticated Allocate")
        self.learn(answer)
        return answer

    def credentials(self, userhash=False):
        if userhash:
            name = (stun.USERHASH, stun.userhash(self.user, self.realm))
        else:
            name = (stun.USERNAME, self.user.encode())
        out = [name, (stun.REALM, self.realm.encode()), (stun.NONCE, self.nonce)]
        if self.algorithm is not None:
            out += [
                (stun.PASSWORD_ALGORITHMS, self.algorithms),
                (stun.PASSWORD_ALGORITHM, stun.password_algorithms(self.algorithm)),
            ]
        return out

    def signed(self, method, attributes=(), txid=None, userhash=False, integrity=None, **kw):
        """Bytes of an authenticated request."""
        if self.nonce is None:
            self.challenge()
        if integrity is None:
            integrity = [stun.MESSAGE_INTEGRITY if self.algorithm is None else stun.MESSAGE_INTEGRITY_SHA256]
        return stun.encode(method, stun.REQUEST, [*attributes, *self.credentials(userhash)], txid, self.key, integrity, **kw)

    def request(self, method, *attributes, **kw):
        """An authenticated request and its answer, whose integrity is right if it has one."""
        answer = self.exchange(self.signed(method, attributes, **kw))
        if answer.error == 438:
            self.learn(answer)
            answer = self.exchange(self.signed(method, attributes, **kw))
        if answer.signed():
            tap.check(answer.verify(self.key), f"{answer} is signed wrongly")
        else:
            tap.check(answer.error in (400, 401, 438, 500), f"{answer} is not signed")
        return answer

    def success(self, method, *attributes, **kw):
        answer = self.request(method, *attributes, **kw)
        tap.check(answer.cls == stun.SUCCESS, f"{answer} where a success should be")
        return answer

    def error(self, method, *attributes, **kw):
        """The error of a request that must fail."""
        answer = self.request(method, *attributes, **kw)
        tap.check(answer.cls == stun.ERROR, f"{answer} where an error should be")
        return answer.error

    # ---- TURN ----
    def allocate(self, *attributes, **kw):
        if not any(k == stun.REQUESTED_TRANSPORT for k, _ in attributes):
            attributes = ((stun.REQUESTED_TRANSPORT, stun.UDP), *attributes)
        answer = self.success(stun.ALLOCATE, *attributes, **kw)
        self.relayed = answer.addresses(stun.XOR_RELAYED_ADDRESS)
        return Relayed(self.relayed, answer.lifetime, answer.address(stun.XOR_MAPPED_ADDRESS), answer.get(stun.RESERVATION_TOKEN), answer)

    def refuse_allocate(self, *attributes, **kw):
        """The error of an Allocate that must fail."""
        if not any(k == stun.REQUESTED_TRANSPORT for k, _ in attributes):
            attributes = ((stun.REQUESTED_TRANSPORT, stun.UDP), *attributes)
        return self.error(stun.ALLOCATE, *attributes, **kw)

    def refresh(self, seconds=None, *attributes):
        return self.success(stun.REFRESH, *([] if seconds is None else [stun.lifetime(seconds)]), *attributes)

    def permit(self, *ips):
        return self.success(stun.CREATE_PERMISSION, *[stun.peer((ip, 0)) for ip in ips])

    def bind(self, number, address):
        return self.success(stun.CHANNEL_BIND, stun.channel_number(number), stun.peer(address))

    def denied(self, address):
        """The errors of CreatePermission and ChannelBind for this peer; None: a success."""
        answers = (self.request(stun.CREATE_PERMISSION, stun.peer((address[0], 0))), self.request(stun.CHANNEL_BIND, stun.channel_number(0x4FFF), stun.peer(address)))
        return tuple(a.error for a in answers)

    def exchange_binding(self):
        """What was sent before this has been read when it returns."""
        self.exchange(stun.encode(stun.BINDING, stun.REQUEST))

    def send_to(self, address, data, *attributes):
        """A Send indication."""
        self.send_raw(stun.encode(stun.SEND, stun.INDICATION, [stun.peer(address), *attributes, (stun.DATA, data)]))

    def send_channel(self, number, data):
        self.send_raw(stun.channel_data(number, data, self.transport == "tcp"))

    def expect_data(self, data, source=None):
        """The next that comes is a Data indication with this."""
        message = self.receive(f"a Data indication of {data[:40]!r}")
        tap.check(isinstance(message, stun.Message) and message.method == stun.DATA_METHOD and message.cls == stun.INDICATION, f"{message} came")
        tap.equal(message.get(stun.DATA), data, "DATA")
        if source is not None:
            tap.equal(message.address(stun.XOR_PEER_ADDRESS), source, "XOR-PEER-ADDRESS")
        return message

    def expect_channel(self, number, data):
        """The next that comes is ChannelData with this."""
        tap.equal(self.receive(f"ChannelData of {data[:40]!r}"), Channel(number, data), "what came")
