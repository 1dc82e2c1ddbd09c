#!/usr/bin/env python3
"""The softphone page and a bridge meet at turnpiked's connect service, over TLS, each with a token of its own. The sound is Chromium's on both sides."""
import contextlib
import json

import browser
import desk
import devtools
import phone
from phone import SERVER

from lib import admin, daemon, net, tap, websocket
from lib.tap import check, equal
from lib.tokens import CTL

net.need_namespaces()
daemon.need_daemon()
browser.need_chromium()
tap.need("openssl")

OWNER = "alice"
APP_PORT = 8443  # the page and the service are on ports of their own: the page has to be told where the service is


class Bridge:
    """What stands in the office: a client of the service. To the page's test it is what is behind the service."""

    def __init__(self, ns, tls, token):
        self.url = f"https://{SERVER}:{APP_PORT}/"
        self.token = None
        self._connect = lambda: websocket.WebSocket(websocket.connect((SERVER, 443), ns, tls), SERVER)
        self._bridge_token, self.socket, self.hello = token, None, None

    def fresh(self):
        self.leave()
        self.socket = self._connect()
        self.hello = self.socket.call("hello", token=self._bridge_token, role="bridge", name="office")

    def leave(self):
        if self.socket:
            self.socket.notify("bye")
            self.socket.sock.close()
            self.socket = None

    def expect(self, method):
        return self.socket.expect(method)

    def tell(self, method, **params):
        self.socket.notify(method, **params)


class Phone(phone.Phone):
    """Whose calls the service gives their names."""

    def start(self, number="200"):
        self.page.fill("#number", number)
        self.page.click("#place")
        incoming = self.service.expect("call.incoming")
        self.call = incoming["call"]
        return incoming

    def incoming(self, number="+493099", name="Bob at the desk"):
        self.call = self.service.socket.call("call.start", user=OWNER, **{"from": number, "name": name})["call"]
        self.page.wait_text("#incoming", name)
        equal(self.service.expect("call.ringing")["call"], self.call, "the call that rings")

    def ctl(self, *words):
        out = self.net.srv.run([CTL, "--config", self.daemon.config_path, *words])
        return json.loads(out) if "--json" in words else out

    def issue(self, scope):
        """A token that the service knows, which it does a moment later: a page asks once."""
        made = self.ctl("token", "issue", "--json", "--owner", OWNER, "--tenant", "acme", "--scope", scope)
        token, sources = {"username": made["id"], "password": made["password"]}, websocket.sources()
        other = "phone" if scope == "bridge" else "bridge"  # what it is not for: it makes no session

        def known():
            s = websocket.connect((SERVER, 443), self.net.srv, self.tls, source=next(sources))
            with websocket.WebSocket(s, SERVER) as ws:
                return ws.error("hello", token=token, role=other) == "forbidden"

        tap.wait_until(known, f"the token for {scope} is known")
        return token


@tap.group
def rendezvous():
    with contextlib.ExitStack() as stack:
        n = stack.enter_context(net.Net("browser", "srv"))
        n.link(n.browser, "eth0", [f"{phone.BROWSER}/24"], n.srv, "eth0", [f"{SERVER}/24"])
        n.browser.ip(f"route add default via {SERVER}")
        directory = stack.enter_context(daemon.Directory())
        cert, key = admin.certificate(directory, SERVER)
        settings = {"listening-ip": SERVER, "listening-port": 3478, "cert": cert, "pkey": key, "connect-listen": f"{SERVER}:443",
                    "app-listen": f"{SERVER}:{APP_PORT}"}
        d = stack.enter_context(daemon.Daemon(n.srv, settings))
        page = stack.enter_context(devtools.Page(n.browser, desk.pin(cert)))
        page.viewport(360, 740)
        w = Phone(n, d, None, page, None)
        w.tls = websocket.tls_context(cert)
        w.service = Bridge(n.browser, w.tls, w.issue("bridge"))
        stack.callback(w.service.leave)
        w.service.token = w.issue("phone")
        yield w


@rendezvous.case("rendezvous: the page comes by https and finds the service; who may be a phone is signed in; the office is seen to come and go")
def _(w):
    p = w.page
    w.open()
    w.service.leave()
    w.sign_in({**w.service.token, "password": "wrong"})
    p.wait_text("#sign-in-problem", "not known")
    w.sign_in(w.issue("turn"))
    p.wait_text("#sign-in-problem", "not meant for a phone")
    w.sign_in()
    p.wait_text("#pill", "Office offline")
    equal(p.text("#who"), OWNER, "who is signed in")
    p.fill("#number", "200")
    p.click("#place")
    w.trouble("no_bridge", f"Rule 1: out, TCP 443 to {SERVER}")
    w.service.fresh()
    p.wait_text("#pill", "Ready")


@rendezvous.case("rendezvous: a call out, relay to relay, by the servers that the service names: tones, hold, keys, figures, the end", seconds=120)
def _(w):
    p, b = w.page, w.service
    w.ready()
    p.click("#relay")
    w.talk(relay=True, servers=b.hello["ice"]["iceServers"])
    p.wait_text("#path-words", "Relayed on both sides")
    heard = {}

    def hears():  # where the tone begins, it is loud before its pitch can be told
        heard.update(w.office("heardHere()"))
        return heard["db"] > -60 and 590 <= heard["hz"] <= 610

    tap.wait_until(hears, lambda: f"a tone of 600 Hz is heard here: {heard}", 3 * tap.PATIENCE_S)
    tap.wait_until(lambda: w.office("heardThere()")["energy"] > 0, "the microphone is heard there")
    while "audio_ms" not in (media := b.expect("call.media")).get("setup", {}) or "local" not in media:
        pass
    equal((media["state"], media["local"], media["remote"]), ("connected", "relay", "relay"), "what the phone says of its media")
    check(b.expect("call.stats")["received"] > 0, "no packets are told of")
    p.click("#hold")
    check("a=inactive" in w.reoffer(), "the offer does not hold")
    p.click("#hold")
    w.reoffer()
    b.tell("call.hold", call=w.call, on=True)
    p.wait_text("#call-state", "The other side holds")
    b.tell("call.dtmf", call=w.call, digits="5")
    p.wait_text("#toast", "has pressed 5")
    w.end()
    end = b.expect("call.ended")
    equal((end["reason"], end["by"]), ("hangup", "phone"), "how it ended")


@rendezvous.case("rendezvous: a call in, answered and ended by the office; one that is declined", seconds=120)
def _(w):
    p, b = w.page, w.service
    w.ready()
    w.incoming()
    p.click("#decline")
    equal(b.expect("call.ended")["reason"], "declined", "the reason")
    w.incoming()
    p.click("#answer")
    w.answer(b.expect("call.accept")["sdp"])
    w.candidates()
    b.tell("call.answered", call=w.call)
    p.wait_text("#call-state", "In call")
    tap.wait_until(lambda: w.office("heardThere()")["energy"] > 0, "the microphone is heard there")
    b.tell("call.hangup", call=w.call, reason="hangup")
    p.wait_text("#outcome", "The call has ended.")


@rendezvous.case("rendezvous: the phone's token is revoked in a call: it ends on both sides, and the page says why", seconds=120)
def _(w):
    p, b = w.page, w.service
    token = w.issue("phone")
    w.ready(token=token)
    w.talk()
    w.ctl("token", "revoke", token["username"])
    p.wait_text("#sign-in-problem", "expired or was revoked")
    equal(b.expect("call.ended")["reason"], "token_ended", "the reason")


tap.main()
