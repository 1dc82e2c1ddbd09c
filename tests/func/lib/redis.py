"""Real servers of Redis, and the program that drives our client of it (tests/func/redisdrive.c)."""
import contextlib
import json
import os
import queue
import re
import signal
import socket
import subprocess
import threading
import time

from . import daemon, drive, tap

DRIVE = os.path.join(daemon.BUILDDIR, "tests", "func", "redisdrive")
STALL_MS = 3000 if tap.SANITIZER else 250  # the loop of a client that never blocks comes round in less, on a busy machine too


class Error(Exception):
    """An error reply."""


class Link:
    """A plain connection to a server, for what the test itself has to say to it."""

    def __init__(self, ns, address):
        with ns.inside():
            self.socket = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.socket.settimeout(tap.PATIENCE_S)
        self.socket.connect(address)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def call(self, *words):
        parts = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        self.socket.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))
        return self._read()

    def _read(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("closed")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise Error(rest.decode())
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        n = int(rest)
        if kind == b"$":
            return None if n < 0 else self.file.read(n + 2)[:-2]
        return None if n < 0 else [self._read() for _ in range(n)]


class Server:
    """redis-server (or redis-sentinel) with its own directory, on loopback in a namespace. Leaving it kills it."""

    def __init__(self, ns, port=6379, settings=(), binary="redis-server", admin=None, bind="127.0.0.1", up=True):
        self.ns, self.port, self.binary, self.up = ns, port, binary, up
        self.directory = daemon.Directory()
        self.socket = self.directory.file("s")
        self.admin = admin  # words of AUTH for the test's own connection
        self.process = None
        lines = [f"port {port}", f"bind {bind}", f"dir {self.directory.path}", "protected-mode no", "daemonize no"]
        if binary == "redis-server":
            lines += ['save ""', "appendonly no", "enable-debug-command yes", f"unixsocket {self.socket}", "repl-diskless-sync-delay 0"]
        self.config = self.directory.file("conf", "\n".join([*lines, *settings]) + "\n")

    def __enter__(self):
        try:
            if self.up:
                self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.kill()
        self.directory.__exit__()

    def start(self):
        with open(self.directory.file("log"), "ab") as log:
            self.process = self.ns.popen([self.binary, self.config], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        tap.wait_until(self.answers, f"{self.binary} answers", process=self.process)
        return self

    def answers(self):
        try:
            with self.link() as link:
                return link.call("PING") == b"PONG"
        except (OSError, Error):
            return False

    def asked(self, names, what):
        """How often each of these commands is given while `what` runs, but for what nodes ask by the clock: of each other, and the realm's options."""
        by_the_clock = re.compile(rb'tp:node|turn/realm/[^"]*/(max-bps|user-quota|total-quota|allowed-peer-ip|denied-peer-ip)')
        found = dict.fromkeys(names, 0)
        with self.link() as monitor:
            monitor.call("MONITOR")
            what()
            self.call("ECHO", "the end")
            while b'"ECHO" "the end"' not in (line := monitor.file.readline()):
                if b" lua] " in line:  # what a script asks
                    continue
                words = line.split(b'] ', 1)[1].split(b'" "') if b"] " in line else []
                name = words[0].strip(b'"\r\n').lower().decode() if words else ""
                if name in found and not by_the_clock.match(words[1]):
                    found[name] += 1
        return found

    def link(self):
        link = Link(self.ns, ("127.0.0.1", self.port) if self.binary != "redis-server" else self.socket)
        try:
            if self.admin:
                link.call("AUTH", *self.admin)
        except BaseException:
            link.__exit__()
            raise
        return link

    def call(self, *words):
        with self.link() as link:
            return link.call(*words)

    def keys(self):
        """Those that are there, but for what nodes tell by the clock: their records and shares, and what was used."""
        return {k for k in self.call("KEYS", "*") if not re.match(rb"tp:(nodes?|quota|usage|owners)\b", k)}

    def signal(self, number):
        self.process.send_signal(number)

    def pause(self):
        self.signal(signal.SIGSTOP)
        path = f"/proc/{self.process.pid}/stat"
        tap.wait_until(lambda: open(path, encoding="ascii").read().rsplit(")", 1)[1].split()[0] == "T", "the server stands still")

    def go_on(self):
        self.signal(signal.SIGCONT)

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


class Fake:
    """Answers the log-in as Redis does, and everything else with what `reply(words)` returns (None: nothing). No real server breaks its own protocol."""

    def __init__(self, ns, reply, ping=b"+PONG\r\n", port=6379):
        self.reply, self.ping = reply, ping
        self.listener = ns.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen()
        self.connections = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                c, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(c)
            threading.Thread(target=self._serve, args=(c,), daemon=True).start()

    def _serve(self, c):
        with contextlib.suppress(OSError, ValueError), c.makefile("rb") as f:
            while line := f.readline():
                words = []
                for _ in range(int(line[1:])):
                    size = int(f.readline()[1:])
                    words.append(f.read(size + 2)[:-2])
                if words[0] in (b"CLIENT", b"AUTH", b"SELECT"):
                    answer = b"+OK\r\n"
                else:
                    answer = self.ping if words[0] == b"PING" else self.reply(words)
                if answer:
                    c.sendall(answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for c in self.connections:
            with contextlib.suppress(OSError):
                c.shutdown(socket.SHUT_RDWR)  # its thread closes it
            c.close()


class Proxy:
    """Stands before a Server, at 127.0.0.3:6379; what the server says passes `delay` seconds later."""

    def __init__(self, ns, server):
        self.server, self.delay, self.ending = server, 0.0, threading.Event()
        self.listener = ns.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.3", 6379))
        self.listener.listen()
        self._start(self._accept)

    @staticmethod
    def _start(target, *args):
        threading.Thread(target=target, args=args, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.socket(socket.AF_UNIX)
                late = queue.Queue()
                try:
                    server.connect(self.server.socket)
                except OSError:
                    client.close()
                    continue
                self._start(self._read, client, lambda data, s=server: s.sendall(data) if data else s.shutdown(socket.SHUT_WR))
                self._start(self._read, server, lambda data, q=late: q.put((time.monotonic() + self.delay, data)))
                self._start(self._write_late, late, client, server)

    @staticmethod
    def _read(source, take):
        data = b"x"
        while data:
            try:
                data = source.recv(65536)
            except OSError:
                data = b""
            with contextlib.suppress(OSError):
                take(data)

    def _write_late(self, late, client, server):
        with contextlib.suppress(OSError):
            while True:
                due, data = late.get()
                self.ending.wait(max(0.0, due - time.monotonic()))
                if not data or self.ending.is_set():
                    break
                client.sendall(data)
        for s in (client, server):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def _openssl(directory, *words):
    subprocess.run(["openssl", *words], cwd=directory, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def certificates(directory):
    """In a daemon.Directory: the authorities ca.pem and other.pem, and of the first server, wrong (another name) and client (.pem and .key each)."""
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    for ca in ("ca", "other"):
        _openssl(directory.path, "req", "-x509", *new_key, "-days", "2", "-subj", f"/CN={ca}", "-keyout", f"{ca}.key", "-out", f"{ca}.pem")
    for name, san in (("server", "DNS:localhost,IP:127.0.0.1"), ("wrong", "DNS:elsewhere.example"), ("client", "DNS:client")):
        _openssl(directory.path, "req", *new_key, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        ext = directory.file(f"{name}.ext", f"subjectAltName={san}\n")
        _openssl(directory.path, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                 "-extfile", ext, "-out", f"{name}.pem")


def tls_settings(directory, name, clients="no"):
    """Settings of a server that speaks TLS on port 6380, with the certificate of this name."""
    return ["tls-port 6380", f"tls-cert-file {directory.file(name + '.pem')}", f"tls-key-file {directory.file(name + '.key')}",
            f"tls-ca-cert-file {directory.file('ca.pem')}", f"tls-auth-clients {clients}"]


class Drive(drive.Drive):
    """Our client in a process of its own. Every line that it writes is kept in `text`."""

    def __init__(self, ns):
        super().__init__(ns, DRIVE)
        self.health = []  # all that was reported
        self.answers = {}
        self.number = 0

    def _take(self, deadline, what):
        try:
            line = self.lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise tap.Failure(f"{what}: did not come; the last lines: {''.join(self.text[-8:])}") from None
        if line is None:
            raise tap.Failure(f"{what}: the driver has ended: {''.join(self.text[-40:])}")
        try:
            got = json.loads(line)
        except ValueError:
            raise tap.Failure(f"the driver says: {line}{''.join(self.text[-40:])}") from None
        if "health" in got:
            self.health.append(got["health"])
        elif "id" in got:
            self.answers.setdefault(got["id"], []).append(got)
        else:
            self.last = got

    def wait(self, condition, what, seconds=None):
        deadline = time.monotonic() + (seconds or tap.PATIENCE_S)
        while not condition():
            self._take(deadline, what)

    def new(self, url, **options):
        self.last = None
        self.order(new=url, **options)
        self.wait(lambda: self.last, "a new client")
        tap.equal(self.last["new"], "", f"the new client's error ({self.last['why']})")
        return self

    def free(self):
        self.order(free=True)

    def ready(self, seconds=None):
        self.wait(lambda: self.health and self.health[-1]["ready"], "ready", seconds)
        return self

    def unready(self, pattern, seconds=None):
        """Waits until it is not ready for a reason that fits."""
        self.wait(lambda: self.health and not self.health[-1]["ready"] and re.search(pattern, self.health[-1]["reason"]),
                  f"not ready because of /{pattern}/", seconds)

    def _command(self, words, deadline=int(tap.PATIENCE_S * 1000), key=None, **options):
        self.number += 1
        if key is None and len(words) > 1:
            key = words[1]
        return {"id": self.number, "argv": list(words), "key": key, "deadline": deadline, **options}

    def send(self, *words, **options):
        self.order(**self._command(words, **options))
        return self.number

    def send_and_cancel(self, *words, **options):
        """Both orders come to the driver at once: the deadline cannot lie between them."""
        both = self._command(words, **options), {"cancel": self.number}
        self.process.stdin.write("".join(json.dumps(order) + "\n" for order in both))
        self.process.stdin.flush()
        return self.number

    def answer(self, number, seconds=None):
        self.wait(lambda: self.answers.get(number), f"the answer to {number}", seconds)
        return self.answers[number][0]

    def do(self, *words, seconds=None, **options):
        """The reply; an error of the client is a string that begins with '!'."""
        got = self.answer(self.send(*words, **options), seconds)
        return "!" + got["err"] if got.get("err") else got.get("reply")

    def burst(self, count, *words, seconds=None, **options):
        got = self.answer(self.send(*words, repeat=count, **options), seconds)
        return got["ok"], got["errors"]

    def stats(self):
        self.number += 1
        self.order(stats=self.number)
        return self.answer(self.number)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def memory_kb(self):
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
