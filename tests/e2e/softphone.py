#!/usr/bin/env python3
"""The softphone page in Chromium, as people use it, before a service that plays its part and every fault; the office is a second peer connection."""
import json
import os
import socket

import browser
import devtools
import fakeservice

from lib import daemon, net, tap
from lib.tap import check, equal

net.need_namespaces()
daemon.need_daemon()
browser.need_chromium()

SERVER, BROWSER = "198.51.100.1", "198.51.100.10"
CALL = "c1"
HOSTILE = '<img src=x onerror="window.hit=1">'
HERE = os.path.dirname(os.path.abspath(__file__))
MESSAGE_S = 10 * (4 if tap.SANITIZER else 1)  # within which a call that can't be is told of


class Phone:
    def __init__(self, n, d, service, page):
        self.net, self.daemon, self.service, self.page = n, d, service, page
        self.turn = service.ice["iceServers"]

    def open(self, token=None):
        """A fresh page, signed in."""
        p, s = self.page, self.service
        s.refusal, s.deaf, s.rude, s.bridges, s.calls, s.ice["iceServers"] = None, False, False, 1, [], self.turn
        p.evaluate("window.office?.close()")
        if p.evaluate("location.protocol !== 'about:'"):
            p.evaluate("localStorage.clear(); sessionStorage.clear()")
            if p.evaluate("!document.getElementById('phone')?.hidden"):
                p.click("#sign-out")
        p.open("about:blank#away")
        p.open(s.url)
        s.forget()
        p.wait("document.activeElement.id === 'username'", "the page asks who it is")
        with open(os.path.join(HERE, "office.js"), encoding="utf-8") as f:
            p.evaluate(f.read() + "; null")
        if token is not None:
            self.sign_in(token)

    def sign_in(self, token=None, keep=False):
        p, token = self.page, token or fakeservice.TOKEN
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
        self.service.tell("call.answer", call=CALL, sdp=self.office(f"answer({json.dumps(sdp)}, {json.dumps(options)})"))

    def dial(self, number="200", **options):
        """Until the office has answered the offer; None: it is left unanswered."""
        p, s = self.page, self.service
        p.fill("#number", number)
        p.click("#place")
        start = s.expect("call.start")
        s.answer(start, {"call": CALL})
        self.answer(start["sdp"], **options)
        self.candidates()
        return start

    def talk(self, **options):
        self.dial(**options)
        self.service.tell("call.ringing", call=CALL)
        self.page.wait_text("#call-state", "Ringing")
        self.service.tell("call.answered", call=CALL)
        self.page.wait_text("#call-state", "In call")
        self.page.wait("document.getElementById('path').dataset.local", "the way is known")

    def end(self):
        self.page.click("#hang-up")
        self.page.wait("!document.getElementById('dial').hidden", "the call has ended")

    def reoffer(self, **options):
        """The phone's next offer, answered; the offer."""
        sdp = self.service.expect("call.offer")["sdp"]
        self.service.tell("call.answer", call=CALL, sdp=self.office(f"again({json.dumps(sdp)}, {json.dumps(options)})"))
        return sdp

    def trouble(self, name, *words):
        p = self.page
        p.wait(f"!document.getElementById('trouble').hidden && document.getElementById('trouble').dataset.name === {json.dumps(name)}",
               f"it is told of {name}", seconds=MESSAGE_S)
        for w in words:
            p.wait_text("#trouble", w)


@tap.group
def softphone():
    with net.Net("browser", "srv") as n:
        n.link(n.browser, "eth0", [f"{BROWSER}/24"], n.srv, "eth0", [f"{SERVER}/24"])
        n.browser.ip(f"route add default via {SERVER}")
        with daemon.Daemon(n.srv, {"listening-port": 0}) as d:
            turn = [{"urls": [f"turn:{SERVER}:{d.port()}?transport=udp"], "username": daemon.USER, "credential": daemon.PASSWORD}]
            with fakeservice.Service(n.browser, turn) as service, devtools.Page(n.browser) as page:
                page.viewport(360, 740)
                page.media(prefers_color_scheme="light", prefers_reduced_motion="reduce")
                yield Phone(n, d, service, page)


@softphone.case("softphone: a wrong token is told so and kept nowhere; the right one stays in the tab only when it is asked to")
def _(w):
    p, s = w.page, w.service
    w.open()
    w.sign_in({"username": "tphone", "password": "wrong"})
    p.wait_text("#sign-in-problem", "wrong")
    s.refusal = (-32002, "forbidden")
    w.sign_in()
    p.wait_text("#sign-in-problem", "not meant for a phone")
    s.refusal = None
    w.sign_in()
    p.wait_text("#pill", "Ready")
    equal(p.text("#who"), "alice", "who is signed in")
    equal(p.evaluate("[sessionStorage.length, document.cookie, JSON.stringify(localStorage).includes('password')]"), [0, "", False], "what is kept")
    p.evaluate("location.reload()")
    p.wait("document.activeElement.id === 'username'", "it is asked for again")
    w.sign_in(keep=True)
    p.wait_text("#pill", "Ready")
    p.evaluate("location.reload()")
    p.wait("performance.navigation.type === 1 && document.getElementById('pill').innerText === 'Ready'", "it was kept")
    p.click("#sign-out")
    equal(p.evaluate("sessionStorage.length"), 0, "what is kept of who has signed out")
    s.expect("bye")


@softphone.case("softphone: a call out: ringing, answered, tones both ways, figures, hung up", seconds=120)
def _(w):
    p, s = w.page, w.service
    w.ready()
    start = w.dial("+49 30 (123) 456-78")
    equal(start["to"], "+493012345678", "the number")
    s.tell("call.ringing", call=CALL)
    p.wait_text("#call-state", "Ringing")
    s.tell("call.answered", call=CALL)
    p.wait_text("#call-state", "In call")
    p.wait("/^00:0[1-9]/.test(document.getElementById('clock').innerText)", "the clock runs")
    heard = tap.wait_until(lambda: (h := w.office("heardHere()"))["db"] > -60 and h, "a tone is heard here")
    tap.within(heard["hz"], 590, 610, "the tone that is heard here")
    tap.wait_until(lambda: w.office("heardThere()")["energy"] > 0, "the microphone is heard there")
    p.wait_text("#path-words", "Direct")
    p.wait("/\\d ms/.test(document.getElementById('rtt').innerText) && document.getElementById('loss').innerText === '0.0 %'", "figures")
    media = s.expect("call.media")
    while "local" not in media or "audio_ms" not in media["setup"]:
        media = s.expect("call.media")
    equal((media["state"], media["call"]), ("connected", CALL), "what the phone says of its media")
    check(media["setup"]["signalling_ms"] <= media["setup"]["ice_ms"] <= media["setup"]["dtls_ms"], f"the setup took {media['setup']}")
    check(s.expect("call.stats")["received"] > 0, "no packets are told of")
    s.tell("call.stats", call=CALL, rtt_ms=12, lost=0, received=100, jitter_ms=7, bytes=1000)
    p.wait_text("#jitter-office", "7 ms")
    w.end()
    equal(s.expect("call.hangup"), {"reason": "hangup", "call": CALL}, "how it ended")
    p.wait_text("#outcome", "The call has ended.")


def incoming(w, number="+493099", name="Bob at the desk"):
    w.service.tell("call.incoming", call=CALL, **{"from": number, "name": name})
    w.page.wait_text("#incoming", name)
    equal(w.service.expect("call.ringing"), {"call": CALL}, "what the phone says first")


@softphone.case("softphone: a call in: it rings, with name and number; declined, given up, answered elsewhere, and accepted", seconds=120)
def _(w):
    p, s = w.page, w.service
    w.ready()
    incoming(w)
    p.wait_text("#incoming", "+493099")
    p.wait("document.documentElement.dataset.tone === 'ring' && document.title.includes('Bob')", "it rings")
    p.click("#decline")
    equal(s.expect("call.hangup"), {"call": CALL, "reason": "declined"}, "what the phone says")
    for reason, words in (("cancelled", "The caller has hung up"), ("elsewhere", "another phone")):
        incoming(w)
        s.tell("call.ended", call=CALL, reason=reason, by="bridge")
        p.wait_text("#outcome", words)
        equal(p.evaluate("document.documentElement.dataset.tone"), None, "the tone afterwards")
    incoming(w, name=HOSTILE)
    p.click("#answer")
    accept = s.expect("call.accept")
    w.answer(accept["sdp"])
    w.candidates()
    s.tell("call.answered", call=CALL)
    p.wait_text("#call-state", "In call")
    p.wait("document.getElementById('path').dataset.local", "the way is known")
    s.tell("call.incoming", call="c2", **{"from": "201"})
    equal(s.expect("call.hangup"), {"call": "c2", "reason": "busy"}, "what a second caller is told")
    tap.wait_until(lambda: w.office("heardThere()")["energy"] > 0, "the microphone is heard there")
    s.tell("call.ended", call=CALL, reason="hangup", by="bridge")
    p.wait_text("#outcome", "The call has ended.")
    equal(p.evaluate("[window.hit, document.querySelectorAll('img[src=x]').length]"), [None, 0], "what the markup did")


@softphone.case("softphone: mute, hold and resume on both sides, keys as tones and as messages, another microphone", seconds=120)
def _(w):
    p, s = w.page, w.service
    w.ready()
    w.talk()
    quiet = f"""(async () => {{
      const first = await office.heardThere();
      await new Promise(done => setTimeout(done, 1200));
      const second = await office.heardThere();
      return second.packets > first.packets && second.energy - first.energy < 1e-6;
    }})()"""
    p.click("#mute")
    p.wait_text("#call-state", "Muted")
    tap.wait_until(lambda: p.evaluate(quiet), "packets without sound arrive there")
    p.click("#mute")
    before = w.office("heardThere()")["energy"]
    tap.wait_until(lambda: w.office("heardThere()")["energy"] > before, "the microphone is heard there again")

    p.click("#hold")
    p.wait_text("#call-state", "On hold")
    check("a=inactive" in w.reoffer(), "the offer does not hold")
    p.click("#hold")
    check("a=sendrecv" in w.reoffer(), "the offer does not go on")
    p.wait_text("#call-state", "In call")
    p.wait_text("#hold", "Hold")
    tap.wait_until(lambda: w.office("heardHere()")["db"] > -60, "a tone is heard here again")
    s.tell("call.hold", call=CALL, on=True)
    p.wait_text("#call-state", "The other side holds")
    s.tell("call.hold", call=CALL, on=False)
    p.wait_text("#call-state", "In call")

    p.evaluate("""(() => { const real = RTCDTMFSender.prototype.insertDTMF; window.tones = [];
      RTCDTMFSender.prototype.insertDTMF = function (digits, ...more) { window.tones.push(digits); return real.call(this, digits, ...more); }; })()""")
    p.click("#keys")
    for key in "5", "#":
        p.click(f'#pad [data-key="{key}"]')
    p.type("7")
    p.wait("window.tones.length === 3 && window.tones.at(-1).endsWith('7')", "they were sent as tones")
    p.wait_text("#sent", "5#7")
    s.tell("call.dtmf", call=CALL, digits="9")
    p.wait_text("#toast", "has pressed 9")
    p.choose("#microphone", p.evaluate("document.querySelector('#microphone option:last-child').value"))
    before = w.office("heardThere()")["energy"]
    tap.wait_until(lambda: w.office("heardThere()")["energy"] > before, "the other microphone is heard there")
    p.wait("document.getElementById('level').value > 0", "the level moves")
    w.end()
    s.forget()
    w.talk(dtmf=False)
    p.click("#keys")
    p.click('#pad [data-key="3"]')
    equal(s.expect("call.dtmf"), {"call": CALL, "digits": "3"}, "the key, where no tone can be sent")
    w.end()


@softphone.case("softphone: how a call can end, in words", seconds=120)
def _(w):
    p, s = w.page, w.service
    w.ready()
    for reason, words in (("busy", "Busy."), ("declined", "Declined."), ("no_answer", "Nobody answers."), ("unknown_number", "no such number")):
        w.dial()
        s.tell("call.ended", call=CALL, reason=reason, by="bridge")
        p.wait_text("#outcome", words)
    for reason, text, words in (("pbx_down", "", "telephone system does not answer"), ("pbx_error", "488 Not Acceptable Here", "488"), ("shutdown", "", "service stops"),
                                ("media_failed", "no path: rule 4 is missing", "Rule 4"), ("bridge_lost", "", "Rule 1")):
        w.dial()
        s.tell("call.ended", call=CALL, reason=reason, text=text, by="bridge")
        w.trouble(reason if reason != "media_failed" else "office_blocked", words)
        p.click("#trouble-close")
    w.dial()
    p.click("#hang-up")
    equal(s.expect("call.hangup"), {"call": CALL, "reason": "cancelled"}, "what the caller says who gives up")
    p.fill("#number", "not a number!")
    p.click("#place")
    p.wait_text("#outcome", "without spaces")


@softphone.case("softphone: the connection is lost in a call: it is resumed, the call goes on, and what was said meanwhile is not lost; too late, and it has ended", seconds=120)
def _(w):
    p, s = w.page, w.service
    w.ready()
    w.talk()
    hello = s.expect("hello")
    check("resume" not in hello, "the first hello resumes something")
    s.calls, s.refusal = [{"call": CALL, "state": "answered"}], (-32003, "unavailable")
    s.cut()
    p.wait_text("#pill", "Reconnecting")
    p.click("#hold")
    p.wait_text("#call-state", "On hold")
    s.refusal = None
    p.wait_text("#pill", "Ready", seconds=30)
    while "resume" not in (hello := s.expect("hello")):
        pass
    equal(hello["resume"], {"session": "s1", "secret": "secret"}, "what is resumed")
    check("a=inactive" in w.reoffer(), "what was done meanwhile is lost")
    p.click("#hold")
    w.reoffer()
    p.wait_text("#call-state", "In call")
    tap.wait_until(lambda: w.office("heardHere()")["db"] > -60, "a tone is heard here")
    s.calls, s.refusal = [], (-32004, "no_session")
    s.cut()
    while "resume" not in s.expect("hello"):
        pass
    s.refusal = None
    w.trouble("phone_lost", "30 seconds")
    s.calls = [{"call": "c9", "state": "offered"}]
    s.cut()
    equal(s.expect("call.hangup"), {"call": "c9", "reason": "cancelled"}, "what becomes of a call that nobody knows")
    s.sockets[-1].close(4001)
    p.wait_text("#sign-in-problem", "expired or was revoked")


@softphone.case("softphone: the way breaks: the office or the page asks for new candidates, and the sound goes on", seconds=120)
def _(w):
    p, s = w.page, w.service
    w.ready()
    w.talk()
    s.tell("call.restart", call=CALL)
    first = w.reoffer()
    w.candidates()
    tap.wait_until(lambda: w.office("heardHere()")["db"] > -60, "a tone is heard here")
    check("a=ice-ufrag" in first, "an offer")
    s.forget()
    w.office("close()")
    p.wait_text("#call-state", "Looking for another way", seconds=20)
    p.wait_text("#path-words", "another one is looked for")
    again = s.expect("call.offer")["sdp"]
    ufrag = [next(line for line in o.splitlines() if line.startswith("a=ice-ufrag")) for o in (first, again)]
    check(ufrag[0] != ufrag[1], "the offer has the old credentials")
    while s.expect("call.media")["state"] != "reconnecting":
        pass
    w.end()


@softphone.case("softphone: relay to relay: in words and as a picture", seconds=120)
def _(w):
    p = w.page
    w.ready()
    p.click("#relay")
    w.talk(relay=True, servers=w.turn)
    p.wait_text("#path-words", "Relayed on both sides")
    equal(p.evaluate("[...document.querySelectorAll('#path text')].map(t => t.textContent)"), ["This browser", "Relay", "Relay", "Office"], "the picture")
    equal(w.office("kinds()"), ["relay", "relay"], "the pair as the office sees it")
    equal(p.evaluate("[document.getElementById('path').dataset.local, document.getElementById('path').dataset.remote]"), ["relay", "relay"], "the pair")
    w.end()
    p.click("#relay")


@softphone.case("softphone: no microphone: denied, missing, taken; what to do, and the call is not begun", seconds=120)
def _(w):
    p, s = w.page, w.service
    s.policy = "microphone=()"
    w.ready()
    p.fill("#number", "200")
    p.click("#place")
    w.trouble("mic_denied", "icon beside the page's address", "NotAllowedError")
    tap.wait_until(lambda: p.complaints, "Chromium tells of the policy")
    check("microphone is not allowed" in p.complaints.pop(), "it complains of something else")
    s.policy = "microphone=(self)"
    w.ready()
    played = "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('played', '%s'); }"
    p.evaluate(f"window.real = navigator.mediaDevices.getUserMedia; {played % 'NotAllowedError'}; null")
    incoming(w)
    p.click("#answer")
    w.trouble("mic_denied")
    p.wait_text("#incoming", "Bob")
    p.evaluate("navigator.mediaDevices.getUserMedia = window.real; null")
    p.click("#answer")
    s.expect("call.accept")
    p.wait("document.getElementById('trouble').hidden", "it is not told of any more")
    p.click("#hang-up")
    p.fill("#number", "200")
    for name, trouble, words in (("NotFoundError", "mic_missing", "headset"), ("NotReadableError", "mic_busy", "Another program")):
        p.evaluate(f"{played % name}; null")
        p.click("#place")
        w.trouble(trouble, words)
        p.click("#trouble-close")
        p.click("#test")
        w.trouble(trouble, words)
    equal([m["method"] for m in s._rest if m["method"] == "call.start"], [], "calls that were begun")


@softphone.case("softphone: rule 3: the service is silent, or lets no WebSocket pass: told by name, and it goes on when it does", seconds=120)
def _(w):
    p, s = w.page, w.service
    for fault, trouble, words in (("deaf", "service_silent", "is blocked"), ("rude", "service_closed", "WebSocket")):
        w.open()
        setattr(s, fault, True)
        w.sign_in()
        w.trouble(trouble, words, f"Rule 3: out, TCP {s.port} to localhost, from this network")
        p.wait_text("#pill", "No connection")
        setattr(s, fault, False)
        p.wait_text("#pill", "Ready", seconds=30)
        p.wait("document.getElementById('trouble').hidden", "it is not told of any more")


@softphone.case("softphone: rule 1: no bridge is there, or it says nothing", seconds=120)
def _(w):
    p, s = w.page, w.service
    w.ready()
    s.tell("presence", bridges=0)
    p.wait_text("#pill", "Office offline")
    p.fill("#number", "200")
    p.click("#place")
    s.answer(s.expect("call.start"), error="no_bridge")
    w.trouble("no_bridge", f"Rule 1: out, TCP {s.port} to localhost, from the office's media bridge")
    s.tell("presence", bridges=1)
    p.wait("document.getElementById('trouble').hidden", "it is not told of any more")
    p.click("#place")
    s.answer(s.expect("call.start"), {"call": CALL})
    w.trouble("bridge_silent", "Rule 1")
    end = s.expect("call.hangup")
    equal(end["reason"], "bridge_lost", "the reason")
    check("rule 1" in end["text"], f"the text is {end['text']}")


@softphone.case("softphone: rules 4 and 5: no sound gets through: which of them, told by name on both sides; a relay that refuses", seconds=120)
def _(w):
    p, s = w.page, w.service
    silent = w.net.srv.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with silent:
        silent.bind((SERVER, 0))
        w.ready()
        blocked = [{"urls": [f"turn:{SERVER}:{silent.getsockname()[1]}"], "username": "a", "credential": "b"}]
        refused = [{**w.turn[0], "credential": "wrong"}]
        for servers, relay, trouble, words, rule in (
            (blocked, False, "relay_blocked", f"Rule 5: out, UDP {silent.getsockname()[1]} to {SERVER}, from this network", "rule 5"),
            (blocked, True, "relay_blocked", "Rule 5", "rule 5"),
            (w.turn, False, "office_blocked", f"Rule 4: out, UDP {w.daemon.port()} to {SERVER}, from the office's media bridge", "rule 4"),
            (refused, False, "relay_refused", "401", "gives no address"),
            ([], False, "no_relay", "names no relay", "no relay"),
        ):
            s.ice["iceServers"] = servers
            s.cut()  # the next hello has them
            s.forget()
            s.expect("hello")
            p.wait_text("#pill", "Ready")
            if p.evaluate("document.getElementById('relay').checked") != relay:
                p.click("#relay")
            p.fill("#number", "200")
            p.click("#place")
            start = s.expect("call.start")
            s.answer(start, {"call": CALL})
            w.answer(start["sdp"], silent=True)
            w.trouble(trouble, words)
            end = s.expect("call.hangup")
            equal(end["reason"], "media_failed", "the reason")
            check(rule in end["text"], f"the office is told {end['text']}")


tap.main()
