#!/usr/bin/env python3
"""The client that a bridge dials with, at the real connect service: over TLS, through a proxy, cut off, and refused."""
import contextlib
import os
import select
import socket
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import admin, daemon, net, tap, world  # noqa: E402 # pylint: disable=wrong-import-position
from lib.drive import Drive  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tap import check, equal  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tokens import Fleet  # noqa: E402 # pylint: disable=wrong-import-position

tap.need("openssl")
net.need_namespaces()
daemon.need_daemon()

S = net.Standard
URL = f"wss://{S.SERVER}/connect"


class Service(Fleet):
    """A daemon with a connect service and the embedded store."""

    def __init__(self, stack, n):
        self.net, self.redis, self.url = n, None, None
        directory = stack.enter_context(daemon.Directory())
        self.ca, key = admin.certificate(directory, S.SERVER, "connect")
        config = {**self.settings(0), "redis": None, "cert": self.ca, "pkey": key, "connect-listen": f"{S.SERVER}:443"}
        d = stack.enter_context(daemon.Daemon(n.srv, config))
        w = world.World(n, d)
        stack.callback(w.close)
        self.nodes = [w]

    def start(self, stack, token, role="bridge", **options):
        d = stack.enter_context(Drive(self.net.cli, "tests/func/clientdrive"))
        d.order(new=URL, ca=self.ca, role=role, token=token, **options)
        equal(d.wait("new")["new"], "", "the new client's error")
        return d

    def up(self, stack, token, role="bridge", **options):
        """One that has said hello, and the answer. On a busy machine it may have come first before its token was known: that is forgotten."""
        d = self.start(stack, token, role, **options)
        hello = d.wait("up")["up"]
        for x in d.seen:
            check("refuses the token" in x.get("down", ""), f"what came before the hello: {x}")
        d.seen.clear()
        return d, hello


class Proxy:
    """A proxy that lets CONNECT pass, and can cut what it carries."""

    def __init__(self, ns, ip):
        self.listener = ns.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.bind((ip, 0))
        self.listener.listen(8)
        self.ns, self.url = ns, "http://%s:%d" % self.listener.getsockname()
        self.heads, self.pairs = [], []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                s, _ = self.listener.accept()
                threading.Thread(target=self._carry, args=(s,), daemon=True).start()

    def _carry(self, s):
        head = b""
        with contextlib.suppress(OSError, ValueError):
            while b"\r\n\r\n" not in head:
                data = s.recv(4096)
                if not data:
                    raise OSError("closed")
                head += data
            self.heads.append(head.decode())
            host, port = head.split()[1].decode().rsplit(":", 1)
            t = self.ns.socket(socket.AF_INET, socket.SOCK_STREAM)
            t.connect((host, int(port)))
            self.pairs.append((s, t))
            s.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            while True:
                for x in select.select([s, t], [], [])[0]:
                    data = x.recv(65536)
                    if not data:
                        raise OSError("closed")
                    (t if x is s else s).sendall(data)
        s.close()

    def cut(self):
        for pair in self.pairs:
            for s in pair:
                with contextlib.suppress(OSError):
                    s.shutdown(socket.SHUT_RDWR)
        self.pairs = []

    def close(self):
        self.listener.close()
        self.cut()


@tap.group
def service():
    with contextlib.ExitStack() as stack:
        yield Service(stack, stack.enter_context(S()))


def bridge_token(w, tenant):
    return w.token("--scope", "bridge", "--tenant", tenant, owner="office")


@service.case("hello over TLS, a call through two clients, and the end by bye")
def _(w):
    with contextlib.ExitStack() as stack:
        b, hello = w.up(stack, bridge_token(w, "t1"))
        equal((hello["tenant"], hello["user"], hello["resume_s"]), ("t1", "office", 30), "who we are")
        p, _ = w.up(stack, w.token("--scope", "phone", "--tenant", "t1", owner="alice"), role="phone")
        p.order(request="call.start", id=7, params={"to": "12", "sdp": "offer"})
        call = p.wait("answer", answer=7)["result"]["call"]
        equal(b.wait("message", message="call.incoming")["params"]["call"], call, "the call that the bridge hears of")
        b.order(notify="call.answer", params={"call": call, "sdp": "answer"})
        equal(p.wait("message", message="call.answer")["params"]["sdp"], "answer", "the answer")
        p.order(free=True)
        equal(b.wait("message", message="call.ended")["params"]["call"], call, "the call that has ended")


@service.case("through a proxy: a connection that is cut comes back, the session and its calls go on, and what was said meanwhile arrives")
def _(w):
    with contextlib.ExitStack() as stack:
        proxy = Proxy(w.net.cli, w.net.client_ip(3))
        stack.callback(proxy.close)
        token = bridge_token(w, "t2")
        b, _ = w.up(stack, token, proxy=proxy.url)
        check(proxy.heads[0].startswith(f"CONNECT {S.SERVER}:443 HTTP/1.1\r\n") and token[1] not in proxy.heads[0], proxy.heads[0])
        p, _ = w.up(stack, w.token("--scope", "phone", "--tenant", "t2", owner="alice"), role="phone")
        p.order(request="call.start", id=1, params={"to": "12", "sdp": "offer"})
        call = b.wait("message", message="call.incoming")["params"]["call"]
        proxy.cut()
        equal(b.wait("down")["lost"], False, "lost")
        b.order(notify="call.ringing", params={"call": call})
        up = b.wait("up")
        equal((up["resumed"], [c["call"] for c in up["up"]["calls"]]), (True, [call]), "what is resumed")
        equal(p.wait("message", message="call.ringing")["params"]["call"], call, "what was said meanwhile")


@service.case("a token of another scope, and one that is revoked, are told with the cure; so is a service that stops")
def _(w):
    with contextlib.ExitStack() as stack:
        wrong = w.start(stack, w.token("--scope", "phone", "--tenant", "t3", owner="alice"))
        tap.wait_until(lambda: "scope bridge" in wrong.wait("down")["down"], "the scope is told; a busy machine may have come first, before the token was known")
        token = bridge_token(w, "t3")
        b, _ = w.up(stack, token)
        w.ctl("token", "revoke", token[0])
        got = b.wait("down")
        check(got["lost"] and "token" in got["down"], f"the end by the revocation: {got}")
        other, _ = w.up(stack, bridge_token(w, "t3"))
        w.nodes[0].daemon.stop()
        check("stops" in other.wait("down")["down"], "the reason")
        check("can't be reached" in other.wait("down")["down"], "the reason")


tap.main()
