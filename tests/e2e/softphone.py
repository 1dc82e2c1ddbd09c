#!/usr/bin/env python3
"""The softphone page in Chromium, as people use it, before a service that plays its part and every fault; the office is a second peer connection."""
import socket

import browser
import fakeservice
import phone
from phone import CALL, SERVER

from lib import daemon, net, tap
from lib.tap import check, equal

net.need_namespaces()
daemon.need_daemon()
browser.need_chromium()

HOSTILE = '<img src=x onerror="window.hit=1">'


@tap.group
def softphone():
    with phone.phone() as w:
        yield w


@softphone.case("softphone: a wrong token is told so and kept nowhere; the right one stays in the tab only when it is asked to", seconds=120)
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
    p.reload()
    p.wait("document.activeElement.id === 'username'", "it is asked for again")
    w.sign_in(keep=True)
    p.wait_text("#pill", "Ready")
    p.reload()
    p.wait_text("#pill", "Ready")
    s.forget()
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
    p.wait("document.getElementById('clock').innerText > '00:00'", "the clock runs")
    tap.wait_until(lambda: (h := w.office("heardHere()"))["db"] > -60 and 590 < h["hz"] < 610, "the office's tone is heard here")
    tap.wait_until(lambda: w.office("heardThere()")["energy"] > 0, "the microphone is heard there")
    p.wait_text("#path-words", "Direct")
    p.wait("/\\d ms/.test(document.getElementById('rtt').innerText) && document.getElementById('loss').innerText === '0.0 %'", "figures")
    equal(p.text("#codec"), "PCMA", "the codec")
    media = s.expect("call.media")
    while "local" not in media or "audio_ms" not in media["setup"]:
        check(None not in media["setup"].values(), f"the setup that is told of is {media['setup']}")
        media = s.expect("call.media")
    equal((media["state"], media["call"]), ("connected", CALL), "what the phone says of its media")
    check(media["setup"]["signalling_ms"] <= media["setup"]["ice_ms"] <= media["setup"]["dtls_ms"], f"the setup took {media['setup']}")
    while not (stats := s.expect("call.stats"))["received"]:
        check(None not in stats.values(), f"the figures are {stats}")
    check(None not in stats.values(), f"the figures are {stats}")
    s.tell("call.stats", call=CALL, rtt_ms=12, lost=0, received=100, jitter_ms=6.84, bytes=1000)
    p.wait_text("#jitter-office", "7 ms")
    p.evaluate("RTCPeerConnection.prototype.getStats = async () => new Map(); null")
    while (stats := s.expect("call.stats"))["received"]:
        pass
    equal(stats, {"call": CALL, "lost": 0, "received": 0, "bytes": 0}, "the figures where not all are known")
    w.end()
    equal(s.expect("call.hangup"), {"reason": "hangup", "call": CALL}, "how it ended")
    p.wait_text("#outcome", "The call has ended.")


@softphone.case("softphone: a call in: it rings, with name and number; declined, given up, answered elsewhere, and accepted", seconds=120)
def _(w):
    p, s = w.page, w.service
    w.ready()
    w.incoming()
    p.wait_text("#incoming", "+493099")
    p.wait("document.documentElement.dataset.tone === 'ring' && document.title.includes('Bob')", "it rings")
    p.click("#decline")
    equal(s.expect("call.hangup"), {"call": CALL, "reason": "declined"}, "what the phone says")
    for reason, words in (("cancelled", "The caller has hung up"), ("elsewhere", "another phone")):
        w.incoming()
        s.tell("call.ended", call=CALL, reason=reason, by="bridge")
        p.wait_text("#outcome", words)
        equal(p.evaluate("document.documentElement.dataset.tone"), None, "the tone afterwards")
    w.incoming(name=HOSTILE)
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
    quiet = """(async () => {
      const first = await office.heardThere();
      await new Promise(done => setTimeout(done, 1200));
      const second = await office.heardThere();
      return second.packets > first.packets && second.energy - first.energy < 1e-6;
    })()"""
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
        w.start()
        s.tell("call.ended", call=CALL, reason=reason, by="bridge")
        p.wait_text("#outcome", words)
    for reason, text, words in (("pbx_down", "", "telephone system does not answer"), ("pbx_error", "488 Not Acceptable Here", "488"), ("shutdown", "", "service stops"),
                                ("media_failed", "no path: rule 4 is missing", "Rule 4"), ("bridge_lost", "", "Rule 1")):
        w.start()
        s.tell("call.ended", call=CALL, reason=reason, text=text, by="bridge")
        w.trouble(reason if reason != "media_failed" else "office_blocked", words)
        p.click("#trouble-close")
    w.start()
    p.click("#hang-up")
    equal(s.expect("call.hangup"), {"call": CALL, "reason": "cancelled"}, "what the caller says who gives up")
    p.click("#place")
    start = s.expect("call.start")
    p.click("#hang-up")
    s.answer(start, {"call": CALL})
    equal(s.expect("call.hangup"), {"call": CALL, "reason": "cancelled"}, "what is said of a call that nobody wants any more when it begins")
    w.start()
    s.tell("call.answer", call=CALL, sdp="v=0\r\n\u00fc" + "x" * 300 + "\r\n")
    end = s.expect("call.hangup")
    equal(end["reason"], "media_failed", "the reason where the answer can't be read")
    check(end["text"].isascii() and "SessionDescription" in end["text"] and len(end["text"]) <= 200, f"the text is {end['text']}")
    w.trouble("media_failed")
    p.click("#trouble-close")
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
    p.wait_text("#pill", "Ready")
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
    p.wait_text("#call-state", "Looking for another way")
    p.wait_text("#path-words", "another one is looked for")
    again = s.expect("call.offer")["sdp"]
    ufrag = [next(line for line in o.splitlines() if line.startswith("a=ice-ufrag")) for o in (first, again)]
    check(ufrag[0] != ufrag[1], "the offer has the old credentials")
    while s.expect("call.media")["state"] != "reconnecting":
        pass
    w.end()


@softphone.case("softphone: what was lost with the connection is made good: an answer, an end, an offer, an acceptance", seconds=120)
def _(w):
    p, s = w.page, w.service

    def resumed(*calls):
        s.calls = [{"call": c, "state": state} for c, state in calls]
        s.cut()
        while "resume" not in s.expect("hello"):
            pass

    w.ready()
    start = w.start()
    resumed((CALL, "ringing"), ("c9", "offered"))  # the office's answer has gone astray
    again = s.expect("call.offer")
    equal((again["call"], again["sdp"].splitlines()[1]), (CALL, start["sdp"].splitlines()[1]), "what is offered again")
    equal(s.expect("call.hangup"), {"call": "c9", "reason": "cancelled"}, "what becomes of a call that nobody knows")
    w.answer(again["sdp"])
    w.candidates()
    resumed((CALL, "answered"))  # and that it was answered
    p.wait_text("#call-state", "In call")
    resumed()
    p.wait_text("#outcome", "The call has ended.")
    w.incoming()
    p.click("#answer")
    accept = s.expect("call.accept")
    resumed((CALL, "offered"))
    s.tell("call.incoming", call=CALL, **{"from": "200"})
    again = s.expect("call.accept")
    equal((again["call"], again["sdp"].splitlines()[1]), (CALL, accept["sdp"].splitlines()[1]), "what is accepted again")
    w.end()


@softphone.case("softphone: of microphones that are asked for in quick succession none stays open; an offer that can't be made ends the call with its reason", seconds=120)
def _(w):
    p, s = w.page, w.service
    w.ready()
    p.evaluate("""window.tracks = []; window.real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      navigator.mediaDevices.getUserMedia = async (wanted) => { const s = await real(wanted); tracks.push(...s.getTracks()); return s; }; null""")
    p.evaluate("for (let i = 0; i < 3; i++) document.getElementById('test').click(); null")
    p.wait("tracks.length === 2 && tracks.filter(t => t.readyState === 'live').length === 1", "one is open")
    p.click("#test")
    p.wait("tracks.every(t => t.readyState === 'ended')", "none is open")
    w.talk()
    p.evaluate("for (let i = 0; i < 3; i++) document.getElementById('microphone').dispatchEvent(new Event('change')); null")
    p.wait("tracks.length === 6 && tracks.filter(t => t.readyState === 'live').length === 1", "one is open in the call")
    w.end()
    s.expect("call.hangup")
    p.wait("tracks.every(t => t.readyState === 'ended')", "none is open behind it")
    p.evaluate("RTCPeerConnection.prototype.setLocalDescription = async () => { throw new DOMException('played', 'OperationError'); }; null")
    w.incoming()
    p.click("#answer")
    hangup = s.expect("call.hangup")
    equal((hangup["reason"], hangup["text"]), ("media_failed", "played"), "what the office is told")
    w.trouble("media_failed")


@softphone.case("softphone: a browser that keeps nothing of the site is served, and a page out of its cache is loaded again", seconds=120)
def _(w):
    p = w.page
    w.open()
    p.evaluate("""for (const name of ['localStorage', 'sessionStorage'])
      Object.defineProperty(window, name, { get() { throw new DOMException('played', 'SecurityError'); } }); null""")
    w.sign_in(keep=True)
    p.wait_text("#pill", "Ready")
    p.click("#sign-out")
    p.wait("!document.getElementById('sign-in').hidden", "it is signed out")
    p.evaluate("window.before = true; dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true })); null")
    p.wait("window.before === undefined && document.activeElement.id === 'username'", "it is loaded again")


@softphone.case("softphone: relay to relay: in words and as a picture", seconds=120)
def _(w):
    p = w.page
    w.ready()
    p.click("#relay")
    w.talk(relay=True, servers=w.turn)
    p.wait_text("#path-words", "Relayed on both sides")
    equal(p.evaluate("[...document.querySelectorAll('#path text')].map(t => t.textContent)"), ["You", "Relay", "Relay", "Office"], "the picture")
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
    w.incoming()
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
        p.wait_text("#pill", "Ready")
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
    equal(end["reason"], "media_failed", "the reason")
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
            (refused, True, "relay_refused", "401", "gives no address"),
            ([], True, "no_relay", "names no relay", "no relay"),
        ):
            s.ice["iceServers"] = servers
            s.forget()
            s.cut()  # the next hello has them
            s.expect("hello")
            p.wait_text("#pill", "Ready")
            if p.evaluate("document.getElementById('relay').checked") != relay:
                p.click("#relay")
            w.answer(w.start()["sdp"], silent=True)
            w.trouble(trouble, words)
            end = s.expect("call.hangup")
            equal(end["reason"], "media_failed", "the reason")
            check(rule in end["text"], f"the office is told {end['text']}")


def tab_and_press(p, selector, key="Enter"):
    p.tab_to(selector)
    p.key(key)


@softphone.case("softphone: by keyboard alone: signed in, a number typed, keys during the call, held, hung up; a call answered", seconds=120)
def _(w):
    p, s = w.page, w.service
    w.open()
    p.type(f"{fakeservice.TOKEN['username']}")
    p.tab_to("#sign-in [name=password]")
    p.type(f"{fakeservice.TOKEN['password']}\n")
    p.wait("document.activeElement.id === 'number'", "the number can be typed")
    p.type("2")
    tab_and_press(p, '#pad [data-key="0"]')
    tab_and_press(p, '#pad [data-key="5"]', "Space")
    tab_and_press(p, "#place")
    start = s.expect("call.start")
    equal(start["to"], "205", "the number")
    s.answer(start, {"call": CALL})
    w.answer(start["sdp"])
    w.candidates()
    p.wait("document.activeElement.id === 'hang-up'", "it can be given up")
    s.tell("call.answered", call=CALL)
    p.wait_text("#call-state", "In call")
    tab_and_press(p, "#keys")
    tab_and_press(p, '#pad [data-key="9"]')
    p.wait_text("#sent", "9")
    tab_and_press(p, "#hold")
    w.reoffer()
    p.wait_text("#call-state", "On hold")
    tab_and_press(p, "#hang-up")
    equal(s.expect("call.hangup")["reason"], "hangup", "the reason")
    p.wait("document.activeElement.id === 'number'", "the next number can be typed")
    w.incoming()
    p.wait("document.activeElement.id === 'answer'", "it can be answered")
    p.key("Enter")
    s.expect("call.accept")
    p.wait("document.activeElement.id === 'hang-up'", "it can be ended")
    p.key("Enter")
    s.expect("call.hangup")


@softphone.case("softphone: a long press of 0 is a plus; the last digit is erased; the microphone is tried out, and the system's is offered at once", seconds=120)
def _(w):
    p = w.page
    w.ready()
    p.hold_down('#pad [data-key="0"]', "document.getElementById('number').value === '+'")
    p.click('#pad [data-key="4"]')
    p.click('#pad [data-key="0"]')
    equal(p.evaluate("document.getElementById('number').value"), "+40", "the number")
    p.click("#erase")
    equal(p.evaluate("document.getElementById('number').value"), "+4", "the number")
    p.click("#test")
    p.wait("document.getElementById('level').value > 0", "the level moves")
    p.click("#test")
    equal(p.evaluate("document.getElementById('level').value"), 0, "the level afterwards")
    slow = p.call("Page.addScriptToEvaluateOnNewDocument", source="if (navigator.mediaDevices) navigator.mediaDevices.enumerateDevices = () => new Promise(() => {})")
    w.ready()
    equal(p.evaluate("[document.getElementById('microphone').innerText, document.getElementById('speaker').innerText]"), ["The system's microphone", "The system's speaker"], "what can be chosen before the browser has told")
    p.call("Page.removeScriptToEvaluateOnNewDocument", identifier=slow["identifier"])


@softphone.case("softphone: on a wide and a narrow screen, by day and by night: enough contrast, nothing too wide", seconds=120)
def _(w):
    p, s = w.page, w.service

    def look():
        for width, height in ((1440, 900), (360, 740)):
            p.viewport(width, height)
            for scheme in ("light", "dark"):
                p.media(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
                check(p.looks() > 5, "next to nothing is seen")

    w.open()
    look()
    w.ready()
    look()
    w.incoming("+493012345678901234567890", "A rather long name of somebody who calls from " + "far" * 20)
    look()
    p.click("#answer")
    accept = s.expect("call.accept")
    w.answer(accept["sdp"])
    look()
    s.tell("call.answered", call=CALL)
    p.wait_text("#call-state", "In call")
    p.click("#keys")
    p.click("summary")
    p.wait("document.getElementById('rtt').innerText !== '–'", "figures")
    look()
    s.tell("call.ended", call=CALL, reason="media_failed", text="no path: rule 4 is missing", by="bridge")
    w.trouble("office_blocked")
    look()


@softphone.case("S22 softphone: what is not its own, the page does not load", seconds=120)
def _(w):
    p = w.page
    w.open()
    p.evaluate("""(() => { const s = document.createElement("script"); s.textContent = "window.hit = 1"; document.body.append(s);
      const i = new Image(); i.src = "http://127.0.0.1:1/x.png"; document.body.append(i); })()""")
    tap.wait_until(lambda: len(p.complaints) >= 2, "both are refused")
    check(all("Content Security Policy" in c for c in p.complaints), f"it complains {p.complaints}")
    p.complaints.clear()
    equal(p.evaluate("window.hit ?? null"), None, "what the script did")


tap.main()
