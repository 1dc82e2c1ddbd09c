"""A client of the connect service: WebSocket frames (RFC 6455) over a socket, plain or TLS, one at a time."""
import base64
import collections
import hashlib
import itertools
import json
import os
import socket
import ssl
import struct

from . import tap

PROTOCOL = "turnpike.connect.v1"
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

Head = collections.namedtuple("Head", "status headers rest")  # names in lower case; `rest`: what came behind it
Frame = collections.namedtuple("Frame", "opcode payload fin")


class Closed(tap.Failure):
    """The other side has closed: with a code and a reason, or with nothing (code None)."""

    def __init__(self, code, reason=""):
        super().__init__(f"the WebSocket was closed: {code} {reason}")
        self.code, self.reason = code, reason


def tls_context(ca):
    return ssl.create_default_context(cafile=ca)


def sources():
    """Addresses of loopback without end, another one for each try of a credential: one that has tried ten times is a guesser's (S15)."""
    return (f"127.0.0.{i}" for i in itertools.cycle(range(2, 250)))


def connect(address, ns=None, tls=None, name=None, seconds=None, source=None):
    """A connected socket to (ip, port); from a namespace and an address of it, if there is one; with TLS if there is a context."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    s = ns.socket(family, socket.SOCK_STREAM) if ns else socket.socket(family, socket.SOCK_STREAM)
    try:
        s.settimeout(seconds or tap.PATIENCE_S)
        if source:
            s.bind((source, 0))
        s.connect(address)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return tls.wrap_socket(s, server_hostname=name or address[0]) if tls else s
    except BaseException:
        s.close()
        raise


def read_head(sock):
    """The head of an answer."""
    got = b""
    while b"\r\n\r\n" not in got:
        more = sock.recv(65536)
        if not more:
            raise ConnectionError(f"closed before the end of a head: {got[:200]!r}")
        got += more
    head, rest = got.split(b"\r\n\r\n", 1)
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines)}
    return Head(int(first.split()[1]), headers, rest)


def request(host, path="/connect", key=None, headers=None):
    """The bytes of an opening handshake; `headers` replaces fields, None takes one away."""
    fields = {
        "Host": host,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": key or base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": PROTOCOL,
    }
    fields.update(headers or {})
    lines = [f"{k}: {v}\r\n" for k, v in fields.items() if v is not None]
    return f"GET {path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode()


class WebSocket:
    """`sock` is connected, with TLS if that is wanted; the handshake has to succeed."""

    def __init__(self, sock, host="localhost", path="/connect", headers=None):
        self.sock, self.next_id = sock, 0
        self.pending = collections.deque()  # messages that `result` has passed over
        key = base64.b64encode(os.urandom(16)).decode()
        try:
            sock.sendall(request(host, path, key, headers))
            head = read_head(sock)
            tap.check(head.status == 101, f"the handshake was answered with {head.status}")
            accept = base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()
            tap.equal(head.headers.get("sec-websocket-accept"), accept, "Sec-WebSocket-Accept")
            tap.equal(head.headers.get("sec-websocket-protocol"), PROTOCOL, "the subprotocol")
        except BaseException:
            sock.close()
            raise
        self.head, self.buffer = head, head.rest

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    # ---- frames ----

    def send_frame(self, opcode, payload=b"", fin=True, mask=True, rsv=0):
        self.sock.sendall(frame(opcode, payload, fin, mask, rsv))

    def _take(self, n):
        while len(self.buffer) < n:
            more = self.sock.recv(65536)
            if not more:
                raise Closed(None)
            self.buffer += more
        got, self.buffer = self.buffer[:n], self.buffer[n:]
        return got

    def recv_frame(self):
        """The next frame, whatever it is."""
        first, second = self._take(2)
        tap.check(not second & 0x80, "the server has masked a frame")
        tap.check(not first & 0x70, "the server has set a reserved bit")
        length = second & 0x7F
        if length == 126:
            length = struct.unpack(">H", self._take(2))[0]
        elif length == 127:
            length = struct.unpack(">Q", self._take(8))[0]
        return Frame(first & 15, self._take(length), bool(first & 0x80))

    # ---- messages ----

    def send(self, message):
        """A text as it is, anything else as JSON."""
        text = message if isinstance(message, str) else json.dumps(message)
        self.send_frame(TEXT, text.encode())

    def recv(self):
        """The next message's text; pings are answered, a close is raised."""
        while True:
            f = self.recv_frame()
            if f.opcode == PING:
                self.send_frame(PONG, f.payload)
            elif f.opcode == CLOSE:
                code = struct.unpack(">H", f.payload[:2])[0] if len(f.payload) > 1 else 1005
                raise Closed(code, f.payload[2:].decode())
            elif f.opcode == TEXT:
                tap.check(f.fin, "the server has cut a message")
                return f.payload.decode()

    def recv_json(self):
        return self.pending.popleft() if self.pending else json.loads(self.recv())

    def close(self, code=1000, reason=""):
        self.send_frame(CLOSE, struct.pack(">H", code) + reason.encode())

    def closed(self):
        """Waits for the close frame, whatever comes before it: (code, reason)."""
        try:
            while True:
                self.recv()
        except Closed as e:
            return e.code, e.reason
        except ConnectionError:
            return None, ""

    # ---- JSON-RPC ----

    def notify(self, method, **params):
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def ask(self, method, **params):
        """Sends a request; its id."""
        self.next_id += 1
        self.send({"jsonrpc": "2.0", "id": self.next_id, "method": method, "params": params})
        return self.next_id

    def answer(self, number):
        """The answer with this id; notifications that come before it are kept for `recv_json` and `expect`."""
        kept = []
        try:
            while True:
                m = self.recv_json()
                if m.get("id") == number and "method" not in m:
                    return m
                kept.append(m)
        finally:
            self.pending.extendleft(reversed(kept))

    def call(self, method, **params):
        """The result of a request, which has to have one."""
        a = self.answer(self.ask(method, **params))
        tap.check("result" in a, f"{method} was answered with {a.get('error')}")
        return a["result"]

    def error(self, method, **params):
        """The reason of a request's error, which it has to have."""
        a = self.answer(self.ask(method, **params))
        tap.check("error" in a, f"{method} was answered with {a.get('result')}")
        return a["error"].get("data", {}).get("reason")

    def expect(self, method):
        """The params of the next notification of this method; others before it are left out."""
        while True:
            m = self.recv_json()
            if m.get("method") == method:
                return m["params"]


def frame(opcode, payload=b"", fin=True, mask=True, rsv=0):
    """The bytes of a frame as a client sends it."""
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    bit = 0x80 if mask else 0
    if len(payload) < 126:
        head += bytes([bit | len(payload)])
    elif len(payload) < 65536:
        head += bytes([bit | 126]) + struct.pack(">H", len(payload))
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", len(payload))
    if not mask:
        return head + payload
    key = os.urandom(4)
    stream = (key * (len(payload) // 4 + 1))[: len(payload)]
    masked = (int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(payload), "big")
    return head + key + masked
