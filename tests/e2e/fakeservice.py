"""A connect service that does what a test tells it: it serves the softphone's page, speaks WebSocket, and plays faults. docs/connect-protocol.md is its text."""
import base64
import contextlib
import hashlib
import http.server
import json
import os
import queue
import select
import socket
import struct
import threading

from lib import admin, tap

WEB = os.path.join(admin.SRCDIR, "connect", "web")
KINDS = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
TEXT, CLOSE = 1, 8
TOKEN = {"username": "tphone", "password": "the token's password"}


class Socket:
    """The server's end of one WebSocket: whole, short frames are all that a browser sends here."""

    def __init__(self, connection, reader):
        self.connection, self.reader = connection, reader
        self._lock = threading.Lock()
        self._closing = False

    def _frame(self, opcode, payload):
        n = len(payload)
        head = struct.pack("!BB", 0x80 | opcode, n) if n < 126 else struct.pack("!BBH", 0x80 | opcode, 126, n)
        with self._lock, contextlib.suppress(OSError):
            self.connection.sendall(head + payload)

    def send(self, message):
        self._frame(TEXT, json.dumps({"jsonrpc": "2.0", **message}).encode())

    def close(self, code):
        if not self._closing:
            self._closing = True
            self._frame(CLOSE, struct.pack("!H", code))

    def cut(self):
        """Without a word, as a network does."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _read(self, n):
        data = self.reader.read(n)
        if len(data) < n:
            raise EOFError("cut within a frame, or between two")
        return data

    def messages(self):
        while True:
            head = self._read(2)
            n = head[1] & 0x7F
            if n == 126:
                (n,) = struct.unpack("!H", self._read(2))
            mask = self._read(4)
            payload = bytes(b ^ mask[i % 4] for i, b in enumerate(self._read(n)))
            if head[0] & 0x0F == TEXT:
                yield json.loads(payload)
            elif head[0] & 0x0F == CLOSE:
                self.close(1000)
                return


class Service:
    """On a free port of localhost of a namespace. What phones say is to be had by `expect`; `ice` is what they are given."""

    def __init__(self, ns, ice):
        self.token = TOKEN
        self._usual = ice
        self._said = queue.Queue()
        self.sockets = []
        self.fresh()
        self.policy = "microphone=(self)"
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                if self.path == "/connect":
                    service._upgrade(self)
                elif self.path == "/config.json":
                    self.reply("application/json", json.dumps({"connect": service.connect, **service.told}).encode())
                else:
                    self.file({"/": "index.html", "/check": "check.html"}.get(self.path, self.path))

            def file(self, name):
                path = os.path.join(WEB, os.path.basename(name))
                if not os.path.isfile(path):
                    self.send_error(404)
                    return
                with open(path, "rb") as f:
                    self.reply(KINDS[os.path.splitext(path)[1]], f.read())

            def reply(self, kind, body):
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", "no-store")
                self.send_header("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
                                 f"connect-src 'self' {service.connect.rsplit('/', 1)[0]} {service.connect.rsplit('/', 1)[0].replace('ws', 'http', 1)}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
                self.send_header("Permissions-Policy", service.policy)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
        self._server.daemon_threads, self._server.block_on_close = True, False
        self._server.socket.close()
        self._server.socket = ns.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._server.server_bind()
        self._server.server_activate()
        self.port = self._server.server_address[1]
        self.url, self.connect = f"http://localhost:{self.port}/", f"ws://localhost:{self.port}/connect"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.cut()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def fresh(self):
        """No fault is played any more, and nothing that was said before is expected: whoever was there has gone."""
        self.ice = {"iceServers": self._usual, "ttl": 3600}
        self.told = {}  # beside its own address, in the page's configuration
        self.bridges = 1
        self.calls = []
        self.refusal = None  # (code, reason): of every hello
        self.deaf = False  # takes connections, and says nothing: as a firewall does that drops
        self.rude = False  # answers every WebSocket with 403
        tap.wait_until(lambda: not self.sockets, "those who were there have gone")
        self.forget()

    # ---- the WebSocket ----
    def _upgrade(self, request):
        request.close_connection = True
        if self.rude:
            request.send_error(403)
            return
        if self.deaf:
            while self.deaf and not select.select([request.connection], [], [], 0.05)[0]:
                pass
            return
        key = request.headers["Sec-WebSocket-Key"] + GUID
        request.send_response(101)
        request.send_header("Upgrade", "websocket")
        request.send_header("Connection", "Upgrade")
        request.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        request.send_header("Sec-WebSocket-Protocol", request.headers["Sec-WebSocket-Protocol"])
        request.end_headers()
        s = Socket(request.connection, request.rfile)
        self.sockets.append(s)
        try:
            with contextlib.suppress(OSError, EOFError):
                for message in s.messages():
                    self._take(s, message)
        finally:
            self.sockets.remove(s)

    def _take(self, s, message):
        if message["method"] == "hello":
            self._hello(s, message)
        elif message["method"] == "ice.servers":
            s.send({"id": message["id"], "result": self.ice})
        self._said.put(message)

    def _hello(self, s, message):
        refusal = self.refusal
        if message["params"]["token"] != TOKEN:
            refusal = (-32001, "unauthorized")
        if message["params"].get("resume", {}).get("secret", "secret") != "secret":
            refusal = (-32004, "no_session")
        if refusal:
            s.send({"id": message["id"], "error": {"code": refusal[0], "message": f"No: {refusal[1]}.", "data": {"reason": refusal[1]}}})
            if refusal[1] == "unauthorized":
                s.close(4001)
            return
        result = {"session": "s1", "secret": "secret", "tenant": "acme", "user": "alice", "resume_s": 30, "ice": self.ice,
                  "calls": self.calls, "bridges": self.bridges}
        s.send({"id": message["id"], "result": result})

    # ---- what a test does ----
    def expect(self, method, seconds=None):
        """The params of the next message with this method; the id of a request is in "id". What comes between stays for later."""
        for m in self._rest:
            if m["method"] == method:
                self._rest.remove(m)
                return {**m.get("params", {}), **({"id": m["id"]} if "id" in m else {})}
        while True:
            try:
                m = self._said.get(timeout=seconds or tap.PATIENCE_S)
            except queue.Empty:
                raise tap.Failure(f"the phone did not say {method}, but {[m['method'] for m in self._rest]}") from None
            if m["method"] == method:
                return {**m.get("params", {}), **({"id": m["id"]} if "id" in m else {})}
            self._rest.append(m)

    def forget(self):
        self._rest = []
        while not self._said.empty():
            self._said.get()

    def answer(self, request, result=None, error=None):
        if error:
            self.sockets[-1].send({"id": request["id"], "error": {"code": -32000, "message": f"No: {error}.", "data": {"reason": error}}})
        else:
            self.sockets[-1].send({"id": request["id"], "result": result})

    def tell(self, method, **params):
        self.sockets[-1].send({"method": method, "params": params})

    def cut(self):
        for s in list(self.sockets):
            s.cut()
