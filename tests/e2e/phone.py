"""Somebody with the softphone page in a Chromium, before a service that plays its part, and an office that is a second peer connection of the page."""
import contextlib
import json
import os

import devtools
import fakeservice

from lib import daemon, net, tap
from lib.tap import equal

SERVER, BROWSER = "198.51.100.1", "198.51.100.10"
CALL = "c1"
HERE = os.path.dirname(os.path.abspath(__file__))
MESSAGE_S = 10 * (4 if tap.SANITIZER else 1)  # within which a call that can't be is told of


class Phone:
    def __init__(self, n, d, service, page, turn):
        self.net, self.daemon, self.service, self.page = n, d, service, page
        self.turn = turn
        self.call = CALL
        self.offered = None  # the `o=` of the offer that was answered last

    def open(self):
        """A fresh page that asks who it is."""
        p = self.page
        p.evaluate("window.office?.close()")
        if p.evaluate("location.protocol !== 'about:'"):
            p.evaluate("localStorage.clear(); sessionStorage.clear()")
            if p.evaluate("!document.getElementById('phone')?.hidden"):
                p.click("#sign-out")
        p.open("about:blank#away")
        p.open(self.service.url)
        self.service.fresh()
        p.wait("document.activeElement.id === 'username'", "the page asks who it is")
        with open(os.path.join(HERE, "office.js"), encoding="utf-8") as f:
            p.evaluate(f.read() + "; null")

    def sign_in(self, token=None, keep=False):
        p, token = self.page, token or self.service.token
        p.fill("#username", token["username"])
        p.fill("#sign-in [name=password]", token["password"])
        if keep:
            p.click("#sign-in [name=keep]")
        p.click("#sign-in-button")

    def ready(self, **kw):
        self.open()
        self.sign_in(**kw)
        self.page.wait_text("#pill", "Ready")

    def office(self, expression):
        return self.page.evaluate(f"office.{expression}")

    def candidates(self):
        """All that the phone finds are handed over."""
        while (c := self.service.expect("call.candidate"))["candidate"] is not None:
            self.office(f"candidate({json.dumps(c['candidate'])}, {json.dumps(c['mid'])}).catch(() => null)")

    def answer(self, sdp, **options):
        self.service.tell("call.answer", call=self.call, sdp=self.office(f"answer({json.dumps(sdp)}, {json.dumps(options)})"))

    def start(self, number="200"):
        """Until the service has taken the call; what was said then."""
        self.page.fill("#number", number)
        self.page.click("#place")
        start = self.service.expect("call.start")
        self.service.answer(start, {"call": self.call})
        return start

    def dial(self, number="200", **options):
        """Until the office has answered, and has all candidates."""
        start = self.start(number)
        self.answer(start["sdp"], **options)
        self.candidates()
        return start

    def talk(self, **options):
        self.dial(**options)
        self.service.tell("call.ringing", call=self.call)
        self.page.wait_text("#call-state", "Ringing")
        self.service.tell("call.answered", call=self.call)
        self.page.wait_text("#call-state", "In call")
        self.page.wait("document.getElementById('path').dataset.local", "the way is known")

    def end(self):
        self.page.click("#hang-up")
        self.page.wait("!document.getElementById('dial').hidden", "the call has ended")

    def reoffer(self, **options):
        """The phone's next offer, answered; the offer. One that it repeats, because nobody has answered in time, is none."""
        while (version := (sdp := self.service.expect("call.offer")["sdp"]).splitlines()[1]) == self.offered:
            pass
        self.offered = version
        self.service.tell("call.answer", call=self.call, sdp=self.office(f"again({json.dumps(sdp)}, {json.dumps(options)})"))
        return sdp

    def trouble(self, name, *words):
        p = self.page
        p.wait(f"!document.getElementById('trouble').hidden && document.getElementById('trouble').dataset.name === {json.dumps(name)}",
               f"it is told of {name}", seconds=MESSAGE_S)
        for w in words:
            p.wait_text("#trouble", w)

    def incoming(self, number="+493099", name="Bob at the desk"):
        self.service.tell("call.incoming", call=self.call, **{"from": number, "name": name})
        self.page.wait_text("#incoming", name)
        equal(self.service.expect("call.ringing"), {"call": self.call}, "what the phone says first")


@contextlib.contextmanager
def phone():
    with net.Net("browser", "srv") as n:
        n.link(n.browser, "eth0", [f"{BROWSER}/24"], n.srv, "eth0", [f"{SERVER}/24"])
        n.browser.ip(f"route add default via {SERVER}")
        with daemon.Daemon(n.srv, {"listening-port": 0}) as d:
            turn = [{"urls": [f"turn:{SERVER}:{d.port()}?transport=udp"], "username": daemon.USER, "credential": daemon.PASSWORD}]
            with fakeservice.Service(n.browser, turn) as service, devtools.Page(n.browser) as page:
                page.viewport(360, 740)
                page.media(prefers_color_scheme="light", prefers_reduced_motion="reduce")
                yield Phone(n, d, service, page, turn)
