#!/usr/bin/env python3
"""The bridge's SIP user agent: against kamailio as registrar, against sipp, and against a PBX that does what each case says."""
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import net, sip, tap  # noqa: E402 # pylint: disable=wrong-import-position

tap.need("kamailio", "sipp")
if not os.path.exists(sip.DRIVE):
    tap.skip_all("built without the bridge")
net.need_namespaces()
SDP, ANSWER = sip.SDP, sip.ANSWER
LINE = {"user": "100", "password": "s3cret"}
OTHER = {"user": "200", "password": "s3cret"}


@tap.group
def registrar():
    with net.Net("office") as n:
        yield n.office


@registrar.case("a line registers with digest, over UDP and TCP, and a wrong password is told")
def _(ns):
    with sip.Registrar(ns):
        for tcp in (False, True):
            with sip.Drive(ns, lines=[LINE, {"user": "300", "password": "wrong"}], tcp=tcp) as d:
                d.wait("registered", registered=0, ok=True)
                got = d.wait("registered", registered=1, ok=False)
                tap.check("refuses the password of 300" in got["why"] and "s3cret" not in got["why"], f"the reason: {got}")
                d.order(invite=1, line=1, to="200", sdp=SDP)
                tap.equal(d.wait("error")["error"], "not connected", "a call from a line that is not registered")


@registrar.case("a call from line to line through the registrar: INVITE with digest, ringing, answer, hold, hang-up; by UDP and TCP")
def _(ns):
    with sip.Registrar(ns):
        for tcp in (False, True):
            with sip.Drive(ns, lines=[LINE, OTHER], tcp=tcp) as d:
                d.wait("registered", registered=0, ok=True)
                d.wait("registered", registered=1, ok=True)
                d.order(invite=1, line=0, to="200", sdp=SDP)
                got = d.wait("invited", invited=100)
                tap.equal((got["line"], got["from"], got["sdp"]), (1, "100", SDP), "what came in")
                d.order(ring=100)
                d.wait("ringing", ringing=1)
                d.order(answer=100, sdp=ANSWER)
                tap.equal(d.wait("answered", answered=1)["sdp"], ANSWER, "the answer's SDP")
                d.wait("answered", answered=100)
                d.order(reinvite=1, sdp=SDP.replace("t=0 0", "t=0 0\r\na=sendonly"))
                tap.check("sendonly" in d.wait("reoffered", reoffered=100)["sdp"], "the hold")
                d.order(answer=100, sdp=ANSWER)
                tap.equal(d.wait("reanswered", reanswered=1)["sdp"], ANSWER, "the hold's answer")
                d.order(digit=100, key="#")
                tap.equal(d.wait("digit", digit=1)["key"], "#", "the digit")
                d.order(hangup=100, status=0)
                tap.equal(d.wait("ended", ended=1)["reason"], "hangup", "the end")
                d.order(invite=2, line=0, to="999", sdp=SDP)
                tap.equal(d.wait("ended", ended=2)["reason"], "unknown_number", "an extension that is not there")


@registrar.case("the registrar goes and comes back: the line is down with the reason, then up again; it un-registers at the end")
def _(ns):
    with sip.Registrar(ns) as r:
        with sip.Drive(ns, lines=[LINE], expires=4) as d:
            d.wait("registered", ok=True)
            r.stop()
            tap.check("does not answer" in d.wait("registered", 60, ok=False)["why"], "the reason")
            r.start()
            d.wait("registered", 60, ok=True)
        with sip.Drive(ns, lines=[OTHER]) as d:
            d.wait("registered", ok=True)
            d.order(invite=1, line=0, to="100", sdp=SDP)
            tap.equal(d.wait("ended")["status"], 404, "a call to a line that has un-registered")


@registrar.case("sipp's own server and client: a call each way, with their headers and timing")
def _(ns):
    with ns.popen(["sipp", "-sn", "uas", "-i", "127.0.0.1", "-p", "5060", "-m", "1", "-nostdin"], stdout=-3, stderr=-3) as uas:
        try:
            tap.wait_until(lambda: ns.bound("127.0.0.1", 5060), "sipp is at its port", process=uas)
            with sip.Drive(ns) as d:
                d.order(invite=1, line=0, to="5551", sdp=SDP)
                d.wait("ringing")
                tap.check("m=audio" in d.wait("answered")["sdp"], "sipp's SDP")
                d.order(hangup=1, status=0)
                tap.wait_until(lambda: uas.poll() is not None, "sipp has seen the whole call", 30)
                tap.equal(uas.returncode, 0, "sipp's status")
        finally:
            uas.kill()
    with sip.Drive(ns) as d:
        command = ["sipp", "-sn", "uac", f"127.0.0.1:{d.port}", "-i", "127.0.0.1", "-s", "100", "-m", "1", "-d", "100", "-nostdin"]
        with ns.popen(command, stdout=-3, stderr=-3) as uac:
            try:
                d.wait("invited")
                d.order(ring=100)
                d.order(answer=100, sdp=ANSWER)
                d.wait("answered")
                tap.equal(d.wait("ended")["reason"], "hangup", "the end")
                tap.wait_until(lambda: uac.poll() is not None, "sipp has seen the whole call", 30)
                tap.equal(uac.returncode, 0, "sipp's status")
            finally:
                uac.kill()


@tap.group
def scripted():
    with net.Net("office") as n:
        yield n.office


REASONS = ((486, "busy"), (600, "busy"), (603, "declined"), (480, "no_answer"), (408, "no_answer"), (404, "unknown_number"),
           (484, "unknown_number"), (604, "unknown_number"), (503, "pbx_down"), (500, "pbx_error"), (488, "pbx_error"), (403, "pbx_error"))


@scripted.case("each final answer of the PBX has its reason, with the status as text")
def _(ns):
    with sip.Pbx(ns) as p, sip.Drive(ns) as d:
        for i, (status, reason) in enumerate(REASONS):
            d.order(invite=i, line=0, to=f"7{i}", sdp=SDP)
            m = p.expect("INVITE")
            tap.equal(m.body, SDP, "the offer")
            tap.check(m.first.startswith(f"INVITE sip:7{i}@127.0.0.1") and "X-Turnpike-Call" in dict(m.all), f"the request {m.first}")
            p.reply(m, status)
            p.expect("ACK")
            got = d.wait("ended", ended=i)
            tap.equal((got["reason"], got["status"]), (reason, status), f"the reason of {status}")
            tap.check(got["text"].startswith(f"{status} "), f"the text {got['text']}")


@scripted.case("a PBX that says nothing is down within ten seconds; one that rings for ever is no answer after ring_s")
def _(ns):
    with sip.Pbx(ns, ip="127.0.0.2"), sip.Drive(ns, registrar="127.0.0.2:5060") as silent:
        silent.order(invite=1, line=0, to="71", sdp=SDP)
        with sip.Pbx(ns) as p, sip.Drive(ns, ring=4) as d:  # while the other one waits
            d.order(invite=1, line=0, to="71", sdp=SDP)
            m = p.expect("INVITE")
            p.reply(m, 180)
            d.wait("ringing")
            tap.equal(d.wait("ended", ended=1)["reason"], "no_answer", "the reason")
            p.reply(p.expect("CANCEL"), 200)
            p.reply(m, 487)
            p.expect("ACK")
        tap.equal(silent.wait("ended", 20)["reason"], "pbx_down", "the reason")


@scripted.case("provisional answers with and without SDP; the answer's SDP; BYE from the PBX")
def _(ns):
    with sip.Pbx(ns) as p, sip.Drive(ns) as d:
        d.order(invite=1, line=0, to="71", sdp=SDP)
        m = p.expect("INVITE")
        p.reply(m, 100)
        p.reply(m, 180)
        tap.equal(d.wait("ringing")["sdp"], None, "180's SDP")
        p.reply(m, 183, ANSWER)
        tap.equal(d.wait("ringing")["sdp"], ANSWER, "183's SDP")
        p.reply(m, 200, ANSWER)
        tap.equal(p.expect("ACK").body, "", "the ACK's body")
        tap.equal(d.wait("answered")["sdp"], ANSWER, "200's SDP")
        p.within(m, "BYE")
        p.expect(200)
        tap.equal(d.wait("ended")["reason"], "hangup", "the reason")


@scripted.case("CANCEL and the PBX's 200 cross: the call is acknowledged and ended, and nothing more is told")
def _(ns):
    with sip.Pbx(ns) as p, sip.Drive(ns) as d:
        d.order(invite=1, line=0, to="71", sdp=SDP)
        m = p.expect("INVITE")
        p.reply(m, 180)
        d.wait("ringing")
        d.order(hangup=1, status=0)
        c = p.expect("CANCEL")
        p.reply(m, 200, ANSWER)
        p.reply(c, 200)
        p.expect("ACK")
        p.reply(p.expect("BYE"), 200)
        d.order(invite=2, line=0, to="72", sdp=SDP)
        p.reply(p.expect("INVITE"), 486)
        d.wait("ended", ended=2)
        tap.equal(d.seen, [], "what else was told")


@scripted.case("a CANCEL of ours before any answer waits for one, and the call ends with 487")
def _(ns):
    with sip.Pbx(ns) as p, sip.Drive(ns) as d:
        d.order(invite=1, line=0, to="71", sdp=SDP)
        m = p.expect("INVITE")
        d.order(hangup=1, status=0)
        p.reply(m, 100)
        p.reply(p.expect("CANCEL"), 200)
        p.reply(m, 487)
        p.expect("ACK")
        tap.equal(d.seen, [], "what was told")


@scripted.case("a call in: caller and name, ringing, answer, ACK; re-INVITE and UPDATE are offered, and answered once")
def _(ns):
    with sip.Pbx(ns) as p, sip.Drive(ns) as d:
        c = sip.Caller(p, d.port)
        got = d.wait("invited")
        tap.equal((got["from"], got["name"], got["sdp"], got["line"]), ("4711", 'Bob "B" Ross', SDP, 0), "what came in")
        d.order(ring=100)
        c.expect(180)
        d.order(answer=100, sdp=ANSWER)
        m = c.expect(200)
        tap.equal(m.body, ANSWER, "the answer")
        tap.check("sip:100@" in m.header["contact"], f"the Contact {m.header['contact']}")
        c.ack(m)
        tap.equal(d.wait("answered")["sdp"], None, "the ACK's SDP")
        for method in ("INVITE", "UPDATE"):
            c.request(method, SDP.replace("t=0 0", "t=0 0\r\na=sendonly"))
            tap.check("sendonly" in d.wait("reoffered")["sdp"], f"the offer of {method}")
            d.order(answer=100, sdp=ANSWER)
            m = c.expect(200)
            tap.equal(m.body, ANSWER, f"the answer to {method}")
            if method == "INVITE":
                c.ack(m)
        c.request("UPDATE")
        tap.equal(c.expect(200).body, "", "the answer to an UPDATE without SDP")
        d.order(hangup=100, status=0)
        p.reply(p.expect("BYE"), 200)
        tap.equal(d.seen, [], "what else was told")


@scripted.case("an INVITE without SDP: the 200 has our offer, the ACK their answer; so has a later one")
def _(ns):
    with sip.Pbx(ns) as p, sip.Drive(ns) as d:
        c = sip.Caller(p, d.port, body="")
        tap.equal(d.wait("invited")["sdp"], None, "the offer")
        d.order(answer=100, sdp=SDP)
        m = c.expect(200)
        tap.equal(m.body, SDP, "our offer")
        c.ack(m, ANSWER)
        tap.equal(d.wait("answered")["sdp"], ANSWER, "their answer")
        c.request("INVITE")
        m = c.expect(200)
        tap.equal(m.body, SDP, "our offer again")
        c.ack(m, ANSWER)
        tap.equal(d.wait("reanswered")["sdp"], ANSWER, "their answer again")
        c.request("BYE")
        tap.equal(d.wait("ended")["reason"], "hangup", "the reason")


@scripted.case("a call in is refused with the status asked for, or given up by the caller")
def _(ns):
    with sip.Pbx(ns) as p, sip.Drive(ns) as d:
        for i, status in enumerate((486, 480, 603, 500)):
            c = sip.Caller(p, d.port, call=f"r{status}")
            d.wait("invited")
            d.order(hangup=100 + i, status=status)
            c.ack(c.expect(status))
        c = sip.Caller(p, d.port, call="gone")
        d.wait("invited")
        d.order(ring=104)
        c.expect(180)
        c.cancel()
        c.ack(c.expect(487))
        got = d.wait("ended")
        tap.equal((got["ended"], got["reason"]), (104, "cancelled"), "the end")
        c = sip.Caller(p, d.port, user="nobody", call="none")
        c.ack(c.expect(404))
        tap.equal(d.seen, [], "what else was told")


@scripted.case("only the registrar's address may call")
def _(ns):
    with sip.Pbx(ns, ip="127.0.0.2") as stranger, sip.Pbx(ns) as p, sip.Drive(ns) as d:
        c = sip.Caller(stranger, d.port, call="stranger")
        c.ack(c.expect(403))
        c = sip.Caller(p, d.port, call="pbx")
        got = d.wait("invited")
        tap.equal(got["invited"], 100, "the first call that came in")
        d.order(hangup=100, status=486)
        c.ack(c.expect(486))


@scripted.case("OPTIONS is answered, REFER and what we don't know is refused, and the call goes on; digits by INFO, both types")
def _(ns):
    with sip.Pbx(ns) as p, sip.Drive(ns) as d:
        to = ("127.0.0.1", d.port)
        p.request("OPTIONS", f"sip:100@127.0.0.1:{d.port}", "<sip:pbx@office>;tag=o", "<sip:100@office>", "opt", to)
        m = p.expect(200)
        tap.check("REFER" not in m.header["allow"] and "INFO" in m.header["allow"], f"what is allowed: {m.header['allow']}")
        c = sip.Caller(p, d.port)
        d.wait("invited")
        d.order(answer=100, sdp=ANSWER)
        c.ack(c.expect(200))
        d.wait("answered")
        c.request("REFER", "", ("Refer-To", "<sip:1@office>"))
        c.expect(405)
        c.request("INFO", "Signal=5\r\nDuration=100\r\n")
        c.expect(200)
        tap.equal(d.wait("digit")["key"], "5", "the digit")
        d.order(digit=100, key="*")
        m = p.expect("INFO")
        tap.check(m.body.startswith("Signal=*\r\n") and m.header["content-type"] == "application/dtmf-relay", f"our INFO: {m.body}")
        p.reply(m, 200)
        d.order(hangup=100, status=0)
        p.reply(p.expect("BYE"), 200)
        tap.equal(d.seen, [], "what else was told")


@scripted.case("a re-INVITE of ours: answered, refused (the old holds), and crossed by one of theirs")
def _(ns):
    with sip.Pbx(ns) as p, sip.Drive(ns) as d:
        d.order(invite=1, line=0, to="71", sdp=SDP)
        m = p.expect("INVITE")
        p.reply(m, 200, ANSWER)
        p.expect("ACK")
        d.wait("answered")
        d.order(reinvite=1, sdp=SDP)
        p.reply(p.expect("INVITE"), 200, ANSWER)
        p.expect("ACK")
        tap.equal(d.wait("reanswered")["sdp"], ANSWER, "the answer")
        d.order(reinvite=1, sdp=SDP)
        p.reply(p.expect("INVITE"), 488)
        p.expect("ACK")
        tap.equal(d.wait("reanswered")["sdp"], None, "the refusal")
        d.order(reinvite=1, sdp=SDP.replace("t=0 0", "t=0 0\r\na=sendonly"))
        crossing = p.expect("INVITE")
        begin = time.monotonic()
        p.reply(crossing, 491)
        p.expect("ACK")
        p.within(m, "INVITE", cseq=5)  # what was refused is not what holds
        got = p.expect(200)
        tap.equal(got.body, SDP, "our description")
        p.within(m, "ACK", ANSWER, cseq=5)
        tap.equal(d.wait("reanswered")["sdp"], ANSWER, "their answer")
        d.wait("crossed")
        tap.check(time.monotonic() - begin >= 2, "RFC 3261 section 14.1: whoever has called waits 2.1 s at least")
        d.order(reinvite=1, sdp=SDP)
        ours = p.expect("INVITE")
        p.within(m, "INVITE", SDP, cseq=7)
        p.expect(491)
        p.within(m, "ACK", cseq=7, branch=f"z9hG4bKINVITE7{m.header['call-id']}")
        p.reply(ours, 200, ANSWER)
        p.expect("ACK")
        tap.equal(d.wait("reanswered")["sdp"], ANSWER, "ours, after all")
        p.within(m, "BYE")
        p.expect(200)
        d.wait("ended")


@scripted.case("a session timer is offered, and the PBX's refresh is agreed to (RFC 4028)")
def _(ns):
    with sip.Pbx(ns) as p, sip.Drive(ns) as d:
        d.order(invite=1, line=0, to="71", sdp=SDP)
        m = p.expect("INVITE")
        tap.check("timer" in m.header["supported"] and m.header["session-expires"].startswith("1800"), "what we offer")
        p.reply(m, 200, ANSWER, ("Session-Expires", "1800;refresher=uas"), ("Require", "timer"))
        p.expect("ACK")
        d.wait("answered")
        p.within(m, "UPDATE", "", ("Session-Expires", "1800;refresher=uac"), ("Supported", "timer"))
        tap.check("session-expires" in p.expect(200).header, "the refresh is agreed to")
        p.within(m, "BYE")
        p.expect(200)
        d.wait("ended")


@scripted.case("the end with a call that the PBX no longer answers for does not wait for it")
def _(ns):
    with sip.Pbx(ns) as p, sip.Drive(ns) as d:
        d.order(invite=1, line=0, to="71", sdp=SDP)
        p.reply(p.expect("INVITE"), 200, ANSWER)
        p.expect("ACK")
        d.wait("answered")
        d.order(free=True)
        d.wait("freed", 5)
        p.expect("BYE")
        tap.equal(d.seen, [], "what else was told")


tap.main()
