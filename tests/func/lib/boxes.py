"""What stands between two hosts and does what it should not: proxies, address translations, helpers, servers that are not who they seem."""
import contextlib
import queue
import socket
import ssl
import struct
import threading
import time

SIZE = 65536


def serve(function, *words):
    threading.Thread(target=function, args=words, daemon=True).start()


def quietly(function):
    """For threads whose other side goes away when it likes."""

    def run(*words):
        with contextlib.suppress(OSError, ValueError):
            function(*words)

    return run


def listener(ns, address, port, kind=socket.SOCK_STREAM):
    s = ns.socket(socket.AF_INET, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, port))
    if kind == socket.SOCK_STREAM:
        s.listen(16)
    return s


def connection(ns, to):
    s = ns.socket(socket.AF_INET, socket.SOCK_STREAM)
    s.connect(to)
    return s


def read_head(s):
    head = b""
    while b"\r\n\r\n" not in head and (more := s.recv(SIZE)):
        head += more
    return head


def tls_server(cert, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


def tls_to(s):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(s)


@quietly
def pipe(a, b, idle_s=None):
    """One way. With `idle_s` both are closed after as much silence in this direction and the other."""
    try:
        a.settimeout(idle_s)
        while data := a.recv(SIZE):
            b.sendall(data)
    finally:
        for s in (a, b):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)


def join(a, b, idle_s=None):
    serve(pipe, a, b, idle_s)
    pipe(b, a, idle_s)


class Tcp:
    """A TCP server: `function(socket)` for each connection, behind TLS if there is a context."""

    def __init__(self, ns, address, port, function, tls=None):
        self.listener, self.function, self.tls = listener(ns, address, port), quietly(function), tls
        serve(quietly(self._accept))

    def _accept(self):
        while True:
            s, _ = self.listener.accept()
            serve(self._one, s)

    @quietly
    def _one(self, s):
        with self.tls.wrap_socket(s, server_side=True) if self.tls else s as open_socket:
            self.function(open_socket)

    def close(self):
        self.listener.close()


class Udp:
    """Between clients and a relay, as an address translation is. `client(data)` and `server(data)` say what becomes of a datagram (None: nothing); who has
    been silent for `idle_s` is forgotten, and has another port then if `anew`; what comes back is `late_s` late."""

    def __init__(self, ns, address, to, client=lambda d: d, server=lambda d: d, idle_s=3600, anew=False, late_s=0):
        self.ns, self.to, self.client, self.server, self.idle_s, self.anew, self.late_s = ns, to, client, server, idle_s, anew, late_s
        self.front = listener(ns, address, to[1], socket.SOCK_DGRAM)
        self.flows = {}
        serve(quietly(self._outwards))

    def _outwards(self):
        while True:
            data, source = self.front.recvfrom(SIZE)
            if source not in self.flows or (self.anew and not self._lives(source)):
                back = self.ns.socket(socket.AF_INET, socket.SOCK_DGRAM)
                back.connect(self.to)
                self.flows[source] = [back, 0]
                late = queue.SimpleQueue()
                serve(quietly(self._inwards), source, back, late)
                serve(quietly(self._deliver), source, late)
            self.flows[source][1] = time.monotonic()
            if (data := self.client(data)) is not None:
                self.flows[source][0].send(data)

    def _lives(self, source):
        return time.monotonic() - self.flows[source][1] < self.idle_s

    def _inwards(self, source, back, late):
        while True:
            data = self.server(back.recv(SIZE))
            if data is not None and self.flows[source][0] is back and self._lives(source):
                late.put((time.monotonic() + self.late_s, data))

    def _deliver(self, source, late):
        while True:
            due, data = late.get()
            time.sleep(max(0, due - time.monotonic()))
            self.front.sendto(data, source)

    def close(self):
        self.front.close()
        for back, _ in self.flows.values():
            back.close()


class Dns:
    """`names`: their addresses, in order; all else does not exist."""

    def __init__(self, ns, address, names):
        self.socket, self.names = listener(ns, address, 53, socket.SOCK_DGRAM), names
        serve(quietly(self._serve))

    def _serve(self):
        while True:
            query, source = self.socket.recvfrom(512)
            end = query.index(b"\0", 12)
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1 : at + 1 + query[at]].decode())
                at += 1 + query[at]
            ips = self.names.get(".".join(labels).lower())
            family = {1: socket.AF_INET, 28: socket.AF_INET6}.get(kind := struct.unpack_from("!H", query, end + 1)[0])
            found = [socket.inet_pton(family, ip) for ip in ips or () if family == (socket.AF_INET6 if ":" in ip else socket.AF_INET)]
            head = query[:2] + struct.pack("!HHHHH", 0x8180 if ips is not None else 0x8183, 1, len(found), 0, 0)
            answer = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(ip)) + ip for ip in found)
            self.socket.sendto(head + query[12 : end + 5] + answer, source)

    def close(self):
        self.socket.close()


class Sip:
    """Who answers SIP: by UDP any request, at 5060 and 5061 by TCP with nothing but the connection."""

    def __init__(self, ns, address):
        self.streams = [listener(ns, address, port) for port in (5060, 5061)]
        self.socket = listener(ns, address, 5060, socket.SOCK_DGRAM)
        serve(quietly(self._serve))

    def _serve(self):
        while True:
            request, source = self.socket.recvfrom(SIZE)
            kept = [line for line in request.split(b"\r\n") if line.split(b":")[0] in (b"Via", b"From", b"To", b"Call-ID", b"CSeq")]
            if request.startswith(b"OPTIONS sip:") and len(kept) == 5:
                self.socket.sendto(b"\r\n".join([b"SIP/2.0 200 OK", *kept, b"Content-Length: 0", b"", b""]), source)

    def close(self):
        for s in (self.socket, *self.streams):
            s.close()
