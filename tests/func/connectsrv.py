#!/usr/bin/env python3
"""The port of the connect service: TLS, HTTP, frames, limits and ends, whoever is behind it (S20, S26, F19)."""
import contextlib
import json
import os
import re
import socket
import ssl
import struct
import time
import warnings

from lib import admin, daemon, faulty, net, tap, websocket, world
from lib.tap import check, equal
from lib.websocket import BINARY, CONTINUATION, PING, PONG, TEXT, WebSocket, frame

tap.need("openssl")
net.need_namespaces()
daemon.need_daemon()
faulty.need()

S = net.Standard
HOST, ORIGIN = f"{S.SERVER}:443", "https://phone.example"
HEAD_MAX, FIELDS_MAX, MESSAGE_MAX, FRAGMENTS_MAX = 8192, 100, 65536, 64
SOURCE_MAX, HEAD_S, PING_S, SILENCE_S = 256, 10, 25, 60
LENIENT = "openssl_conf=init\n[init]\nssl_conf=ssl\n[ssl]\nsystem_default=all\n[all]\nMinProtocol=TLSv1\nCipherString=DEFAULT@SECLEVEL=0\n"  # a host that would speak anything
HELLO = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ice.servers", "params": {}})  # before a hello: answered with an error


class Service(world.World):
    """A daemon whose connect service and page share a port with TLS."""

    def __init__(self, stack, n, settings=None, **kw):
        self.directory = stack.enter_context(daemon.Directory())
        cert, key = admin.certificate(self.directory, S.SERVER, "connect")
        usual = {"listening-ip": S.SERVER, "cert": cert, "pkey": key, "connect-listen": HOST, "app-listen": HOST, "connect-origin": ORIGIN}
        usual.update(settings or {})
        super().__init__(n, stack.enter_context(daemon.Daemon(n.srv, usual, **kw)))
        stack.callback(self.close)
        self.tls = websocket.tls_context(cert)

    def connect(self, plain=False, port=443):
        return websocket.connect((S.SERVER, port), self.net.cli, None if plain else self.tls)

    def websocket(self, **kw):
        return WebSocket(self.connect(), HOST, **kw)

    def ask(self, data, plain=False, port=443):
        """The head and the body that come back for these bytes; the connection is closed then."""
        with self.connect(plain, port) as s:
            s.sendall(data)
            head = websocket.read_head(s)
            body = head.rest
            with contextlib.suppress(ConnectionError):
                while not data.startswith(b"HEAD") and len(body) < int(head.headers.get("content-length", 0)) and (more := s.recv(65536)):
                    body += more
            return head, body

    def get(self, path, status=200, method="GET", port=443, **headers):
        lines = "".join(f"{k.replace('_', '-')}: {v}\r\n" for k, v in {"Host": HOST, **headers}.items())
        head, body = self.ask(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode(), port=port)
        equal(head.status, status, f"the status of {method} {path}")
        return head, body

    def token(self, role):
        """A token for a phone or a bridge, as `hello` wants it; served a moment later."""
        command = [os.path.join(daemon.BUILDDIR, "turnpikectl"), "--config", self.daemon.config_path]
        made = json.loads(self.net.srv.run(command + ["token", "issue", "--json", "--owner", "alice", "--tenant", "acme", "--scope", role]))
        return {"username": made["id"], "password": made["password"]}

    @contextlib.contextmanager
    def signed_in(self, role, connect=None):
        """A client behind its hello. The token is served a moment after it was made, and who fails ten times is not asked for a while."""
        token = self.token(role)
        for _ in range(9):
            with contextlib.ExitStack() as stack:
                ws = stack.enter_context(WebSocket((connect or self.connect)(), HOST))
                answer = ws.answer(ws.ask("hello", token=token, role=role))
                if "result" in answer:
                    stack.pop_all()
                    break
            equal(answer["error"]["data"]["reason"], "unauthorized", "the reason of a refusal")
            time.sleep(tap.PATIENCE_S / 40)
        else:
            raise tap.Failure("the token is not served")
        with ws:
            yield ws

    def refused(self):
        """Refusals by reason."""
        text = admin.Client(path=self.daemon.settings["admin-socket"]).get("/metrics").body.decode()
        return {k: int(v) for k, v in re.findall(r'^turnpike_connect_refusals_total\{reason="(\w+)"\} (\d+)$', text, re.M)}

    @contextlib.contextmanager
    def counts(self, reason, by=1):
        before = self.refused()[reason]
        yield
        tap.wait_until(lambda: self.refused()[reason] == before + by, lambda: f"{reason}: {self.refused()}, {before} and {by} more")


def served(ws):
    """It is answered, so it is open."""
    equal(ws.error("ice.servers"), "state", "the reason of what comes before a hello")


def ended(sock):
    """The other side has closed: what had come before that."""
    got = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while more := sock.recv(65536):
            got += more
    return got


@tap.group
def service():
    with contextlib.ExitStack() as stack:
        yield Service(stack, stack.enter_context(S()), env={"OPENSSL_CONF": stack.enter_context(daemon.Directory()).file("openssl.cnf", LENIENT)})


# ---- The handshake. ----


@service.case("a WebSocket is opened over TLS, answers, and ends with the client's close frame")
def _(w):
    with w.websocket() as ws:
        served(ws)
        ws.close(1000, "done")
        equal(ws.closed()[0], 1000, "the code")
        equal(ended(ws.sock), b"", "what follows")


HANDSHAKES = (
    ("no subprotocol", {"Sec-WebSocket-Protocol": None}, 400),
    ("another subprotocol", {"Sec-WebSocket-Protocol": "chat, turnpike.connect.v2"}, 400),
    ("an old version", {"Sec-WebSocket-Version": "8"}, 426),
    ("no version", {"Sec-WebSocket-Version": None}, 426),
    ("no key", {"Sec-WebSocket-Key": None}, 400),
    ("a short key", {"Sec-WebSocket-Key": "c2hvcnQ="}, 400),
    ("no upgrade", {"Upgrade": None}, 426),
    ("no connection upgrade", {"Connection": "keep-alive"}, 426),
    ("no host", {"Host": None}, 400),
    ("a body", {"Content-Length": "5"}, 413),
)


@service.case("a handshake that lacks something is answered with the status that says what")
def _(w):
    for what, headers, status in HANDSHAKES:
        head, body = w.ask(websocket.request(HOST, headers=headers))
        equal((head.status, head.headers["connection"], len(body) > 1), (status, "close", True), what)
        if status == 426:
            equal((head.headers["upgrade"], head.headers["sec-websocket-version"]), ("websocket", "13"), f"what {what} is told")


@service.case("a page of another origin may not open a WebSocket; one of connect-origin and one of the service itself may, and who is no browser")
def _(w):
    for origin in ("https://evil.example", "null", f"http://{S.SERVER}", f"https://{S.SERVER}.evil.example", ORIGIN + "/", ORIGIN + ":443"):
        with w.counts("origin"):
            equal(w.ask(websocket.request(HOST, headers={"Origin": origin}))[0].status, 403, f"the status for {origin}")
    for origin, host in ((ORIGIN, HOST), (f"https://{S.SERVER}", S.SERVER), (f"https://{HOST}", HOST), (None, HOST)):
        with WebSocket(w.connect(), host, headers={"Origin": origin}) as ws:
            served(ws)


# ---- HTTP. ----


@service.case("/config.json tells the page where the service is; what is not there is 404, other methods 405")
def _(w):
    for host, url in ((HOST, f"wss://{HOST}/connect"), ("relay.example", "wss://relay.example/connect")):
        head, body = w.get("/config.json", Host=host)
        equal((json.loads(body), head.headers["cache-control"]), ({"connect": url, "stun": f"stun:{S.SERVER}:{w.daemon.port()}"}, "no-store"), "the configuration of the page")
    head, body = w.get("/config.json", method="HEAD")
    equal((head.headers["content-length"], body), (str(len(w.get("/config.json")[1])), b""), "HEAD")
    for path in ("/nothing.js", "/../etc/passwd", "/%2e%2e/", "/connect/"):
        w.get(path, 404)
    for method in ("POST", "PUT", "OPTIONS", "TRACE"):
        equal(w.get("/config.json", 405, method)[0].headers["allow"], "GET, HEAD", f"what {method} is told")


@service.case("the page comes with a policy that lets it reach the service and nothing else, and is not sent twice")
def _(w):
    if not os.path.exists(os.path.join(admin.SRCDIR, "connect/web/index.html")):
        raise tap.Skip("there is no page")
    head, body = w.get("/")
    with open(os.path.join(admin.SRCDIR, "connect/web/index.html"), "rb") as f:
        check(body == f.read(), "it is another page")
    policy = head.headers["content-security-policy"]
    for part in ("default-src 'none'", "script-src 'self'", f"connect-src 'self' wss://{HOST} https://{HOST}", "frame-ancestors 'none'"):
        check(part in policy, f"{part} is not in {policy}")
    check("microphone=(self)" in head.headers["permissions-policy"], "the page may not use the microphone")
    equal((head.headers["content-type"], head.headers["x-content-type-options"]), ("text/html; charset=utf-8", "nosniff"), "its type")
    tag = head.headers["etag"]
    head, body = w.get("/index.html", 304, If_None_Match=f'"other", {tag}')
    equal((head.headers["etag"], body), (tag, b""), "the second time")
    w.get("/", If_None_Match='"other"')
    head, body = w.get("/", method="HEAD")
    equal((int(head.headers["content-length"]) > 1000, body), (True, b""), "HEAD")
    check("evil" not in w.get("/", 400, Host="evil;script-src *")[0].headers.get("content-security-policy", ""), "a policy of the client's")


@service.case("requests of one connection are answered one after the other, and one whose client has closed its side as well")
def _(w):
    one = f"GET /config.json HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
    last = f"GET /config.json HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode()
    with w.connect() as s:
        s.sendall(one + one + last + b"GET /late HTTP/1.1\r\n\r\n")
        got = ended(s)
        equal((got.count(b"HTTP/1.1 200 OK"), got.count(b"HTTP/1.1"), got.count(b"keep-alive")), (3, 3, 2), "the answers")
    with w.connect() as s:
        s.sendall(last)
        socket.socket.shutdown(s, socket.SHUT_WR)  # below TLS, which has no half of a connection
        equal(ended(s).count(b"HTTP/1.1 200 OK"), 1, "the answers")


@service.case("S20 a head of one byte a segment is read; one that is too large, has too many fields or is none is refused; no answer is cut short")
def _(w):
    with w.connect() as s:
        for byte in websocket.request(HOST):
            s.sendall(bytes([byte]))
        equal(websocket.read_head(s).status, 101, "the status, byte by byte")
    begin = f"GET /connect HTTP/1.1\r\nHost: {HOST}\r\n"
    for what, data, status in (
        ("a long field", begin + "X: " + "a" * HEAD_MAX, 431),
        ("a long target", "GET /" + "a" * HEAD_MAX, 414),
        ("many fields", begin + "X: a\r\n" * FIELDS_MAX + "\r\n", 431),
        ("a folded line", begin + "X: a\r\n b\r\n\r\n", 400),
        ("two hosts", begin + f"Host: {HOST}\r\n\r\n", 400),
        ("bare line feeds", f"GET / HTTP/1.1\nHost: {HOST}\n\n\r\n\r\n", 505),
        ("a body behind it", begin + "Content-Length: 100000\r\n\r\n" + "a" * 100000, 413),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ):
        with w.counts("request"):
            head, body = w.ask(data.encode())
            equal((head.status, body[-1:]), (status, b"\n"), what)


# ---- TLS and the first bytes. ----


@service.case("S26 TLS 1.2 at least; plain HTTP is told so; what is neither HTTP nor TLS is closed, and TURN told apart")
def _(w):
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with w.counts("tls"), w.connect(plain=True) as s:
        try:
            old.wrap_socket(s)
        except ssl.SSLError as e:
            equal(e.reason, "TLSV1_ALERT_PROTOCOL_VERSION", "why TLS 1.1 is refused")
        else:
            check(False, "TLS 1.1 was spoken")
    for version, cipher in ((ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-GCM-SHA256"), (ssl.TLSVersion.TLSv1_3, None)):
        some = websocket.tls_context(w.daemon.settings["cert"])
        some.minimum_version = some.maximum_version = version
        some.set_alpn_protocols(["h2", "http/1.1"])
        if cipher:
            some.set_ciphers(cipher)
        with some.wrap_socket(w.connect(plain=True), server_hostname=S.SERVER) as s:
            equal(s.selected_alpn_protocol(), "http/1.1", "what was agreed on")
    with w.counts("class"):
        head, body = w.ask(websocket.request(HOST), plain=True)
        equal((head.status, b"TLS" in body), (400, True), "the answer to plain HTTP")
    binding = struct.pack(">HHI12s", 1, 0, 0x2112A442, os.urandom(12))
    for what, data, reason, plain in (
        ("TURN over TCP", binding, "turn", True),
        ("TURN over TLS", binding, "turn", False),
        ("ChannelData", b"\x40\x00\x00\x04abcd", "turn", False),
        ("nothing that is known", b"\xffabc", "class", True),
        ("TLS in TLS", b"\x16\x03\x01\x00\x05hello", "class", False),
        ("no TLS behind its first byte", b"\x16\x03\x01\x00\x05hello", "tls", True),
    ):
        with w.counts(reason), w.connect(plain) as s:
            s.sendall(data)
            check(not ended(s).startswith(b"HTTP"), f"{what} was answered")


def certificate_of(w):
    with w.connect() as s:
        return s.getpeercert(binary_form=True)


@service.case("F19 a new certificate serves new connections after a reload, and cuts nobody off; one that can't be used refuses the reload, and the old one stays")
def _(w):
    first = certificate_of(w)
    with w.websocket() as kept:
        cert, key = admin.certificate(w.directory, S.SERVER, "connect")
        trust = ssl.create_default_context(cafile=cert)
        w.tls, old = trust, w.tls
        w.daemon.reload({})
        second = tap.wait_until(lambda: certificate_of_any(w, old, trust) != first and certificate_of(w), "the new one is shown")
        other = admin.certificate(w.directory, S.SERVER, "other")
        os.rename(other[1], key)
        for spoil in (lambda: None, lambda: open(cert, "w", encoding="ascii").close(), lambda: os.unlink(cert)):
            spoil()
            before = len(w.daemon.events("reload_refused"))
            w.daemon.kill(1)
            tap.wait_until(lambda: len(w.daemon.events("reload_refused")) > before, "the reload is refused", process=w.daemon.process)
            check(re.search(r"\b(cert|pkey) ", w.daemon.events("reload_refused")[-1]["reason"]), "the reason names no file")
            equal(certificate_of(w), second, "the certificate afterwards")
        served(kept)
        w.daemon.settings["cert"], w.daemon.settings["pkey"] = admin.certificate(w.directory, S.SERVER, "connect")
        w.daemon.reload({})
        w.tls = ssl.create_default_context(cafile=w.daemon.settings["cert"])
        tap.wait_until(lambda: certificate_of_any(w, trust, w.tls) != second, "the last one is shown")
        served(kept)


def certificate_of_any(w, *contexts):
    """Whichever of them trusts it."""
    for tls in contexts:
        with contextlib.suppress(ssl.SSLError), websocket.connect((S.SERVER, 443), w.net.cli, tls) as s:
            return s.getpeercert(binary_form=True)
    return None


@service.case("connect-origin and connect-url are taken over by a reload")
def _(w):
    url = "wss://connect.example/connect"
    w.daemon.reload({"connect-origin": ["https://new.example", "https://Newer.Example"], "connect-url": url})
    tap.wait_until(lambda: json.loads(w.get("/config.json")[1])["connect"] == url, "the new URL is told")
    equal(w.ask(websocket.request(HOST, headers={"Origin": ORIGIN}))[0].status, 403, "the status for the old origin")
    with w.websocket(headers={"Origin": "https://newer.example"}) as ws:
        served(ws)
    w.daemon.reload({"connect-origin": ORIGIN, "connect-url": None})
    tap.wait_until(lambda: json.loads(w.get("/config.json")[1])["connect"] != url, "the old URL is told")


# ---- Frames. ----

FRAMES = (
    ("a frame that is not masked", frame(TEXT, HELLO.encode(), mask=False), 1002),
    ("a reserved bit", frame(TEXT, b"a", rsv=4), 1002),
    ("an unknown opcode", frame(3, b"a"), 1002),
    ("a continuation of nothing", frame(CONTINUATION, b"a"), 1002),
    ("a message within a message", frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002),
    ("a ping that is cut", frame(PING, b"a", fin=False), 1005),
    ("a ping that is too long", frame(PING, b"a" * 126), 1005),
    ("binary", frame(BINARY, b"a"), 1003),
    ("binary in pieces", frame(BINARY, b"a", fin=False), 1003),
    ("text that is no UTF-8", frame(TEXT, b'"\xff\xfe"'), 1007),
    ("a message that is too large", frame(TEXT, b"a" * (MESSAGE_MAX + 1)), 1009),
    ("a message that says that it is too large", struct.pack(">BBQI", 0x81, 0xFF, 1 << 40, 0) + b"a", 1009),
    ("pieces that are too large together", frame(TEXT, b"a" * MESSAGE_MAX, fin=False) + frame(CONTINUATION, b"a"), 1009),
    ("a message in too many pieces", frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"a", fin=False) * FRAGMENTS_MAX, 1008),
    ("an endless message of empty pieces", frame(TEXT, b"", fin=False) + frame(CONTINUATION, b"", fin=False) * FRAGMENTS_MAX, 1008),
    ("too many pings", frame(PING, b"") * 200, 1008),
    ("too many pongs", frame(PONG, b"") * 200, 1008),
)


@service.case("S20 frames and messages that are not allowed end the connection with the code that says why, and are counted")
def _(w):
    for what, data, code in FRAMES:
        with w.counts("frame"), w.websocket() as ws:
            ws.sock.sendall(data)
            try:
                equal(ws.closed()[0], code, f"the code for {what}")
            except TimeoutError:
                check(False, f"{what} is waited for")
            ended(ws.sock)


@service.case("messages in pieces and bytes, up to 65536 bytes, with pings between them, are read")
def _(w):
    whole = HELLO.encode()
    with w.websocket() as ws:
        ws.sock.sendall(frame(TEXT, whole[:5], fin=False) + frame(CONTINUATION, b"", fin=False) + frame(PING, b"x"))
        equal(ws.recv_frame()[:2], (PONG, b"x"), "the answer to a ping")
        ws.sock.sendall(frame(CONTINUATION, whole[5:]))
        equal(ws.answer(1)["error"]["data"]["reason"], "state", "the answer")
        for byte in frame(TEXT, whole):
            ws.sock.sendall(bytes([byte]))
        equal(ws.answer(1)["error"]["data"]["reason"], "state", "the answer")
        ws.sock.sendall(frame(TEXT, whole.ljust(MESSAGE_MAX)) * 3)
        for _ in range(3):
            equal(ws.answer(1)["error"]["data"]["reason"], "state", "the answer")
        served(ws)


@service.case("frames that come with the handshake are read")
def _(w):
    with w.connect() as s:
        s.sendall(websocket.request(HOST) + frame(TEXT, HELLO.encode()))
        head = websocket.read_head(s)
        equal(head.status, 101, "the status")
        got = head.rest
        while b"state" not in got:
            more = s.recv(4096)
            check(more, "it was closed")
            got += more


# ---- Strangers. ----


def connections(w):
    return admin.Client(path=w.daemon.settings["admin-socket"]).get("/api/v1/status").json["connect"]["connections"]


def is_served(w):
    with contextlib.suppress(OSError, tap.Failure), w.websocket() as ws:
        served(ws)
        return True
    return False


@service.case("S20 one source may have 256 connections without a hello, another is served beside them")
def _(w):
    with contextlib.ExitStack() as stack:
        crowd = []
        before = w.refused()["source"]
        while w.refused()["source"] == before:
            check(len(crowd) < 2 * SOURCE_MAX, f"{len(crowd)} connections, none refused")
            crowd += [stack.enter_context(w.connect(plain=True)) for _ in range(32)]
            tap.wait_until(lambda: connections(w) >= len(crowd) or w.refused()["source"] > before, "those are taken, or refused")
        check(len(crowd) >= SOURCE_MAX, f"refused after {len(crowd)}")
        with WebSocket(websocket.connect((S.SERVER, 443), w.net.cli, w.tls, source=w.net.client_ip(5)), HOST) as ws:
            served(ws)
    tap.wait_until(lambda: is_served(w), "the first one is served again")


@service.case("S20 a client that does not read what it is sent is closed, and others are served")
def _(w):
    def small():
        s = w.net.cli.socket(socket.AF_INET, socket.SOCK_STREAM)
        s.settimeout(tap.PATIENCE_S)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect((S.SERVER, 443))
        return w.tls.wrap_socket(s, server_hostname=S.SERVER)

    with w.counts("slow"), w.signed_in("bridge", small) as deaf, w.signed_in("phone") as phone:
        with contextlib.suppress(OSError):
            for _ in range(5000):  # of 6000 messages at once
                deaf.ask("ice.servers")
        tap.wait_until(lambda: w.refused()["slow"], "the one that reads nothing is closed")
        equal(phone.error("hello"), "state", "the reason, on the connection that reads")


@service.case("status and metrics tell of the service")
def _(w):
    client = admin.Client(path=w.daemon.settings["admin-socket"])
    with w.websocket() as ws:
        served(ws)
        # the phone of the case before has gone without a word
        status = tap.wait_until(lambda: (s := client.get("/api/v1/status").json["connect"])["phones"] == 0 and s, "no phone is there")
        equal((status["listen"], status["app_listen"], status["calls"]), (HOST, HOST, 0), "the status")
        check(status["connections"] >= 1 and status["certificate"]["expires_at"] > time.time(), f"the status is {status}")
    text = client.get("/metrics").body.decode()
    for name in ("turnpike_connect_connections ", 'turnpike_connect_clients{role="phone"} ', "turnpike_connect_calls ", 'turnpike_connect_calls_ended_total{reason="media_failed"} 0', 'certificate_expiry_seconds{certificate="connect"}'):
        check(name in text, f"{name} is not in the metrics")
    equal((w.daemon.ready["connect"], w.daemon.ready["app"]), ({"address": S.SERVER, "port": 443},) * 2, "the ready file")


# ---- Two addresses; the end. ----


@tap.group
def apart():
    with contextlib.ExitStack() as stack:
        yield Service(stack, stack.enter_context(S()), {"app-listen": f"{S.SERVER}:8443", "connect-listen": "[::]:443"})


@apart.case("page and service on addresses of their own: each serves its own, the page is told the other, and its origin may use it")
def _(w):
    equal(json.loads(w.get("/config.json", port=8443, Host=f"{S.SERVER}:8443")[1])["connect"], f"wss://{S.SERVER}/connect", "the page's configuration")
    w.get("/connect", 404, port=8443)
    w.get("/config.json", 404)
    w.get("/", 404)
    with w.websocket(headers={"Origin": f"https://{S.SERVER}:8443"}) as ws:
        served(ws)


@apart.case("S15 on a port for both families, ten wrong passwords from one IPv4 address lock that user out from there, and from no other one")
def _(w):
    def reason(ns):
        with WebSocket(websocket.connect((S.SERVER, 443), ns, w.tls), HOST) as ws:
            return ws.answer(ws.ask("hello", token={"username": "alice", "password": "wrong"}, role="phone"))["error"]["data"]["reason"]

    equal([reason(w.net.srv) for _ in range(11)], 10 * ["unauthorized"] + ["limit"], "the reasons of refusals")
    equal(reason(w.net.cli), "unauthorized", "the reason of a refusal elsewhere")


@apart.case("the end of the server is told to its clients (1001, or TLS's last word), and comes in time though some don't listen")
def _(w):
    with contextlib.ExitStack() as stack:
        idle = stack.enter_context(w.tls.wrap_socket(w.connect(True, 8443), server_hostname=S.SERVER, suppress_ragged_eofs=False))
        idle.sendall(f"HEAD /config.json HTTP/1.1\r\nHost: {S.SERVER}:8443\r\n\r\n".encode())
        equal(websocket.read_head(idle).headers["connection"], "keep-alive", "what the idle one was told")
        clients = [stack.enter_context(w.websocket()) for _ in range(3)]
        stack.enter_context(w.connect(plain=True))
        stack.enter_context(w.connect())
        for ws in clients:
            served(ws)
        w.daemon.stop()
        for ws in clients:
            equal(ws.closed()[0], 1001, "the code")
        equal(idle.recv(1), b"", "what the idle one hears")  # if it was cut, it is an SSLEOFError


# ---- Clocks that jump, memory that runs out. ----


@contextlib.contextmanager
def with_faults(settings=None):
    with contextlib.ExitStack() as stack:
        control = faulty.Control(stack.enter_context(daemon.Directory()))
        w = Service(stack, stack.enter_context(S()), settings, program=faulty.TURNPIKED, env=control.environment())
        w.control = control
        yield w
        control.clear()


@tap.group
def clocks():
    with with_faults() as w:
        yield w


@clocks.case("S20 a handshake, a head or a next request that does not come in time ends the connection")
def _(w):
    def half(data, plain=False):
        s = w.connect(plain)
        s.sendall(data)
        return s

    head = websocket.request(HOST)
    with w.counts("late", 4), contextlib.ExitStack() as stack:
        waiting = [half(b"", True), half(b"\x16\x03\x01", True), half(b""), half(head[:40])]
        done = half(f"GET /config.json HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        for s in waiting + [done]:
            stack.enter_context(s)
        equal(websocket.read_head(done).status, 200, "the status")
        tap.wait_until(lambda: connections(w) == 5, "all are there")
        w.control.boot_ahead_s += HEAD_S + 1
        for s in waiting + [done]:
            ended(s)


@clocks.case("S20 a client that said hello is asked by pings whether it is there: an answer keeps it, silence for a minute ends it")
def _(w):
    with w.signed_in("phone") as ws, w.counts("slow"):
        for _ in range(4):
            w.control.boot_ahead_s += PING_S
            while ws.recv_frame().opcode != PING:
                pass
            ws.send_frame(PONG)
            served_known(ws)
        w.control.boot_ahead_s += SILENCE_S + 1
        equal(ws.closed()[0], 1008, "the code")


def served_known(ws):
    equal(ws.error("hello"), "state", "the reason of a second hello")


LOCAL = ("127.0.0.1", 8080)


@tap.group
def memory():
    # Without TLS: libevent 2.1.12 breaks when there is no memory for a session of its own.
    with with_faults({"cert": None, "pkey": None, "connect-listen": "%s:%d" % LOCAL, "app-listen": "%s:%d" % LOCAL}) as w:
        yield w


def tries(w, seconds=None):
    """Is it served, within this time?"""
    with contextlib.suppress(OSError, tap.Failure), WebSocket(websocket.connect(LOCAL, w.net.srv, seconds=seconds), "127.0.0.1:8080") as ws:
        served(ws)
        return True
    return False


@memory.case("without memory connections are refused, and nothing else happens: there is some again, and they are served")
def _(w):
    check(tries(w), "it is not served")
    for every in (1, 2, 3, 5, 8, 13, 21, 34):
        w.control.memory_every = every
        for _ in range(4):
            tries(w, 0.2)
    w.control.memory_every = 0
    tap.wait_until(lambda: tries(w), "it is served")


@memory.case("without TLS on loopback, a page of any name that leads there may not open a WebSocket")
def _(w):
    for host, status in (("127.0.0.1:8080", 101), ("localhost:8080", 101), ("evil.example:8080", 403)):
        with websocket.connect(LOCAL, w.net.srv) as s:
            s.sendall(websocket.request(host, headers={"Origin": f"http://{host}"}))
            equal(websocket.read_head(s).status, status, f"the status for {host}")


tap.main()
