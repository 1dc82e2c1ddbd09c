#!/usr/bin/env python3
"""Faults at the admin plane: callers that are slow or never read (F26), a worker that hangs (F31)."""
import contextlib
import ctypes
import os
import select
import ssl
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import admin, daemon, net, tap  # noqa: E402 # pylint: disable=wrong-import-position
from lib.call import Call  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tap import check, equal  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tokens import rest  # noqa: E402 # pylint: disable=wrong-import-position

tap.need("openssl")
net.need_namespaces()
daemon.need_daemon()

V = "/api/v1"
SECRET = "northstar"
REQUEST_S = 10.0  # from a connection's first byte to the end of its request
SLOW_S = 2 * REQUEST_S if not tap.SANITIZER else 40.0
CUT_OFF_S = 60 if not tap.SANITIZER else 240
SOON_S = 1.0  # less than is waited for a worker


@tap.group
def plane():
    with admin.plane({"static-auth-secret": SECRET}) as w:
        w.caller = w.tls()
        yield w


def slow(w):
    """Connections whose request does not come to an end: what each does, and its socket."""
    unfinished = {
        "a header without an end": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ",
        "no byte at all": b"",
        "a body without an end": f"POST {V}/tokens HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {w.token['admin']}\r\nContent-Length: 100\r\n\r\n{{".encode(),
    }
    for what, data in unfinished.items():
        for name, s in (("TLS", w.caller.connect()), ("the Unix socket", w.socket.connect())):
            s.sendall(data)
            yield f"{what} over {name}", s, data[-1:] == b" "
    s = w.caller.connect(plain=True)
    s.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")  # the beginning of a ClientHello
    yield "half a ClientHello", s, False
    yield "a TLS connection that says nothing", w.caller.connect(plain=True), False


def drained(s):
    """True when the relay has closed it; what it says before is thrown away."""
    with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError):
        try:
            while s.recv(65536):
                pass
        except (ConnectionError, ssl.SSLError) as e:
            if isinstance(e, ssl.SSLWantReadError):
                raise
        return True
    return False


@plane.case("F26 slow headers, bodies and handshakes, and a header of one byte a second, are timed out; others are served, and a call loses nothing", seconds=90)
def _(w):
    with Call(w) as call:
        start = time.monotonic()
        open_ = list(slow(w))
        for _, s, _ in open_:
            s.setblocking(False)
        while open_:
            w.caller.get("/healthz")
            w.socket.get("/healthz")
            call.go_on(20)
            took = time.monotonic() - start
            for what, s, drips in list(open_):
                if drips and took < REQUEST_S / 2:
                    with contextlib.suppress(OSError):
                        s.send(b"y")
                if drained(s):
                    check(took > REQUEST_S / 4, f"{what} was closed after {took:.1f} s")
                    s.close()
                    open_.remove((what, s, drips))
            check(took < SLOW_S, f"{', '.join(o[0] for o in open_)}: still open after {took:.1f} s")
        print(f"# all were closed within {time.monotonic() - start:.1f} s")


@plane.case("F26 a reader of events that never reads is cut off, another reads on, and a call loses nothing", seconds=90)
def _(w):
    with Call(w) as call, w.socket.connect() as lazy, w.socket.events("?type=admin") as other:
        lazy.sendall(f"GET {V}/events HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        check(lazy.recv(12) == b"HTTP/1.1 200", "it is no reader")
        lazy.setblocking(False)
        user, password = rest("4000000000:" + "x" * 480, SECRET)
        clients = [w.client(i, user=user, password=password) for i in range(4)]
        count = [0]

        def cut_off():
            for c in clients:
                c.allocate()
                c.refresh(0)
                count[0] += 2
            poll = select.poll()
            poll.register(lazy, 0)
            return any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(0))

        tap.wait_until(cut_off, lambda: f"it is cut off, after {count[0]} events", CUT_OFF_S)
        print(f"# cut off after {count[0]} events")
        call.go_on()
        w.socket.call("PUT", f"{V}/log-level", {"level": "debug"})
        equal(other.next()[2]["operation"], "setLogLevel", "what the other reads")


def certificate_of(w):
    """What is shown to a new connection; None: nothing is."""
    with contextlib.suppress(OSError), w.caller.connect(plain=True) as s:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(s) as t:
            return t.getpeercert(binary_form=True)
    return None


@plane.case("F19 a new certificate serves new connections after a reload; one that does not fit its key refuses the reload, and the old one stays")
def _(w):
    first = certificate_of(w)
    kept = w.caller.connection()
    w.caller.get("/healthz", connection=kept)
    w.socket.call("POST", f"{V}/reload")
    w.caller.get("/healthz", connection=kept)  # the same one cuts nobody off
    kept.close()
    cert, key = admin.certificate(w.directory, admin.S.SERVER)
    w.socket.call("POST", f"{V}/reload")
    second = tap.wait_until(lambda: (c := certificate_of(w)) and c != first and c, "the new one is shown")
    admin.certificate(w.directory, admin.S.SERVER, "other")
    os.rename(w.directory.file("other.key"), key)
    a = w.socket.call("POST", f"{V}/reload")
    equal((a.status, "admin-cert" in a.detail), (422, True), f"the answer of a reload with another's key: {a.detail}")
    with open(cert, "w", encoding="ascii") as f:
        f.write("no certificate")
    equal(w.socket.call("POST", f"{V}/reload").status, 422, "the status of a reload without a certificate")
    equal(certificate_of(w), second, "the certificate that is shown")
    tap.wait_until(lambda: sum("operation=reload " in line and "status=422" in line for line in w.daemon.log().splitlines()) == 2, "the log has both refusals")
    equal(len(w.daemon.events("admin_certificate_renewed")), 1, "renewals")


PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def ran_ns(pid):
    """For how long each thread has run."""
    found = {}
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/schedstat", encoding="ascii") as f:
            found[int(tid)] = int(f.read().split()[0])
    return found


def worker_of(w, c):
    """The thread that serves this client: the one that runs when it asks."""
    before = ran_ns(w.daemon.pid)
    for _ in range(500):
        c.exchange_binding()
    after = ran_ns(w.daemon.pid)
    return max((after[tid] - before.get(tid, 0), tid) for tid in after)[1]


@contextlib.contextmanager
def hung(tid):
    """This thread stands still, and no other."""
    if _libc.ptrace(PTRACE_SEIZE, tid, 0, 0) != 0:
        raise tap.Skip(f"a thread cannot be stopped here: {os.strerror(ctypes.get_errno())}")
    try:
        _libc.ptrace(PTRACE_INTERRUPT, tid, 0, 0)
        os.waitpid(tid, WALL)
        yield
    finally:
        _libc.ptrace(PTRACE_DETACH, tid, 0, 0)


@plane.case("F31 a worker that hangs makes /allocations 503 in time, and nothing else: /metrics, /status and tokens answer; it comes back")
def _(w):
    calls = [w.client(i) for i in range(8)]
    for c in calls:
        c.allocate()
    with hung(worker_of(w, calls[0])):
        start = time.monotonic()
        a = w.socket.call("GET", f"{V}/allocations?limit=1000")
        took = time.monotonic() - start
        equal((a.status, a.kind), (503, "application/problem+json"), f"the answer ({a.body[:200]!r})")
        check(took < tap.PATIENCE_S / 2, f"it took {took:.1f} s")

        def soon(path):
            start = time.monotonic()
            w.socket.get(path)
            return time.monotonic() - start < SOON_S

        for path in ("/metrics", f"{V}/status", f"{V}/tokens", "/healthz", "/"):
            tap.wait_until(lambda p=path: soon(p), f"{path} does not wait for the worker")  # a busy machine is slow once, the worker is away each time
        w.daemon.wait_log("event=worker_hangs")
    w.daemon.wait_log("event=worker_back")
    check(len(w.socket.get(f"{V}/allocations?limit=1000").json["items"]) >= 8, "allocations are missing")


tap.main()
