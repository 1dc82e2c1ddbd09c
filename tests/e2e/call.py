#!/usr/bin/env python3
"""A call from a browser at home to a telephone in the office, and the other way: through two firewalls that pass the five rules and nothing else."""
import contextlib
import os
import subprocess
import sys

import company
import pbx
from company import LINE, MESSAGE_S, SLOW
from picture import CONNECT, HOME_PUBLIC, OFFICE_PUBLIC, RELAY

from lib import daemon, tap
from lib.tap import check, equal

company.need_company()

RELAYED = (["relay"], ["relay"])
SEEN = ["srflx", "prflx"]  # by the outer address of a firewall
DIRECT = (["host", *SEEN], SEEN)
EXPIRES_S = 15 * SLOW  # a token that is to end in a call
RING_S = 10  # a call that nobody answers
MOVES_S = 40 * SLOW  # until a call whose way was cut, or is back, has taken another


@tap.group
def calls():
    with contextlib.ExitStack() as stack:
        yield company.Company(stack, bridge={"ring-seconds": RING_S})


def in_call(c):
    """Alice talks to the phone: the call of the case before, or a new one."""
    if not c.softphone.talks():
        c.fresh()
        c.softphone.dial()
        c.softphone.wait_state("In call", 30 * SLOW)
        c.phone.wait("CALL_ESTABLISHED")


def is_relayed(c):
    """Both sides say so, and the firewalls: nothing else has passed them."""
    c.softphone.wait_path(*RELAYED)
    pair = c.softphone.ears.pair()
    equal((pair["local"]["address"], pair["remote"]["address"], pair["dtls"]), (RELAY, RELAY, "connected"), "the pair in the browser")
    last = c.bridge.events("call_media")[-1]
    equal((last["local"], last["remote"]), ("relay", "relay"), "the pair in the bridge")
    c.net.nothing_else_passed()
    equal(c.net.host_firewall.counts()["else"], 0, "what came to other ports of the relay's host")


def cut(ns, address):
    """The host's connections to this address break."""
    out = ns.run(["ss", "-K", "-H", "-t", "dst", address])
    if address not in out:
        raise tap.Skip("this kernel closes no connection of another's (ss -K)")


@calls.case("the browser calls the phone: answered, relay to relay on both sides, tones both ways, nothing else passes", seconds=120)
def _(c):
    c.net.host_firewall.shut()
    in_call(c)
    c.wait_tones()
    is_relayed(c)
    for f, number in ((c.net.office_firewall, 4), (c.net.home_firewall, 5)):
        f.wait_passed(50, f"rule{number}", f"rule{number}back")
    call = c.bridge.events("call_media")[-1]["call"]

    def named():
        """Whose allocations the relay's log says to be this call's."""
        return {e["client"].split(":")[0] for e in c.turnpiked.events("allocation_call") if e["call"] == call}

    tap.wait_until(lambda: named() == {OFFICE_PUBLIC, HOME_PUBLIC}, lambda: f"the relay's log names {call} for both sides: {named()}")
    c.turnpiked.wait_log(f"event=call_answered call={call} ")


@calls.case("digits go both ways during the call", seconds=60)
def _(c):
    in_call(c)
    p = c.softphone.page
    p.click("#keys")
    for digit in "5#":
        p.click(f'#pad [data-key="{digit}"]')
    tap.wait_until(lambda: c.phone.digits() == "5#", lambda: f"the phone is told of 5#: {c.phone.digits()!r}", 20 * SLOW)
    c.phone.tell("sndcode", "7")
    p.wait_text("#toast", "has pressed 7")
    p.click("#keys")


@calls.case("the browser holds and goes on; the phone holds and goes on", seconds=120)
def _(c):
    in_call(c)
    p = c.softphone.page
    with pbx.Wire(c.net.pbx) as wire:

        def both_hear():
            wire.wait_hears(company.VOICE_HZ, pbx.HUM_HZ)
            c.softphone.ears.wait_hears(pbx.HUM_HZ, company.VOICE_HZ, 3 * tap.PATIENCE_S)

        p.click("#hold")
        c.softphone.wait_state("On hold")
        c.softphone.ears.wait_silence(20 * SLOW)
        p.click("#hold")
        c.softphone.wait_state("In call")
        both_hear()
        c.phone.tell("hold")
        c.softphone.wait_state("The other side holds")
        c.phone.tell("resume")
        c.softphone.wait_state("In call")
        both_hear()


@calls.case("the browser hangs up, and the phone is told", seconds=60)
def _(c):
    in_call(c)
    c.softphone.hang_up()
    c.phone.wait("CALL_CLOSED")


@calls.case("the phone calls the browser: it rings, is answered, tones both ways, the phone hangs up", seconds=120)
def _(c):
    c.fresh()
    c.phone.dial(LINE)
    c.softphone.wait_ring()
    c.phone.wait("CALL_RINGING")
    c.softphone.page.click("#answer")
    c.softphone.wait_state("In call")
    c.phone.wait("CALL_ESTABLISHED")
    c.wait_tones()
    is_relayed(c)
    c.phone.hangup()
    c.softphone.wait_end("ended")


for number, words in ((pbx.BUSY, "Busy."), (pbx.DECLINED, "Declined."), (pbx.UNKNOWN, "There is no such number.")):

    @calls.case(f"the browser calls {number}: {words}", seconds=60)
    def _(c, number=number, words=words):
        c.fresh()
        c.softphone.dial(number)
        c.softphone.wait_end(words)


@calls.case("the browser declines, and the phone is told", seconds=60)
def _(c):
    c.fresh()
    c.phone.dial(LINE)
    c.softphone.wait_ring()
    c.softphone.page.click("#decline")
    why = c.phone.wait("CALL_CLOSED")["param"]
    check(why.startswith("603"), f"the phone is told {why}")


@calls.case("the phone gives up while the browser rings", seconds=60)
def _(c):
    c.fresh()
    c.phone.dial(LINE)
    c.softphone.wait_ring()
    c.phone.hangup()
    c.softphone.wait_end("The caller has hung up.")


@calls.case("nobody answers: both are told; who calls the browser meanwhile hears that it is busy", seconds=90)
def _(c):
    c.fresh()
    with pbx.Phone(c.net.pbx, "201", answer="manual", sip=5062, control=4445, rtp=11000) as other:
        c.softphone.dial(other.extension)
        c.softphone.wait_state("Ringing")
        c.phone.dial(LINE)
        why = c.phone.wait("CALL_CLOSED")["param"]
        check(why.startswith("486"), f"the second caller is told {why}")
        c.softphone.wait_end("Nobody answers.", (RING_S + 10) * SLOW)
        other.wait("CALL_CLOSED")


@calls.case("the way to the service breaks on both sides: the sound goes on, the sessions come back, and hanging up is heard of", seconds=120)
def _(c):
    in_call(c)
    c.net.of_rule(1).remove(1)
    c.net.of_rule(3).remove(3)
    for ns in (c.net.home, c.net.office):
        cut(ns, CONNECT)
    c.softphone.page.wait_text("#pill", "Reconnecting")
    c.wait_tones()
    c.net.restore()
    c.softphone.ready(30 * SLOW)
    tap.wait_until(lambda: c.bridge.events("connected")[-1]["resumed"] == "1", "the bridge has resumed its session", 30 * SLOW)
    c.wait_tones()
    c.phone.hangup()
    c.softphone.wait_end("ended")


# ---- a rule is missing ----
@calls.case("without rule 2 the page does not load; one that is there goes on, and calls", seconds=120)
def _(c):
    c.fresh()
    c.net.home_firewall.remove(2)
    c.softphone.dial()
    c.softphone.wait_state("In call")
    c.wait_tones()
    c.softphone.hang_up()
    fw = c.net.home_firewall
    before = fw.counts()
    c.softphone.page.evaluate(f"fetch({company.PAGE!r}, {{cache: 'no-store'}}).catch(() => null); null")
    tap.wait_until(lambda: fw.counts()["dropped"] > before["dropped"], "what asks for the page is dropped")
    equal(fw.counts()["rule2back"], before["rule2back"], "what came back of the page")


TROUBLES = {  # which rule is missing, what the page tells of, and how it names it
    5: ("relay_blocked", f"Rule 5: out, UDP 3478 to {RELAY}"),
    4: ("office_blocked", f"Rule 4: out, UDP 3478 to {RELAY}"),
    1: ("bridge_silent", f"Rule 1: out, TCP 443 to {CONNECT}"),
}

for rule, (trouble, text) in TROUBLES.items():

    @calls.case(f"without rule {rule} a call fails within 10 s, and the page names the rule", seconds=90)
    def _(c, rule=rule, trouble=trouble, text=text):
        c.fresh()
        c.net.of_rule(rule).remove(rule)
        c.softphone.dial()
        c.softphone.wait_trouble(trouble, text, seconds=MESSAGE_S)
        c.net.restore()
        closed, established = (lambda kind=kind: len(c.phone.seen(kind)) for kind in ("CALL_CLOSED", "CALL_ESTABLISHED"))
        tap.wait_until(lambda: closed() == established(), "the phone has hung up too", 20 * SLOW)


@calls.case("without rule 3 signing in fails within 10 s, and the page names the rule; with it again it goes on by itself", seconds=90)
def _(c):
    c.fresh()
    c.softphone.load()
    c.net.home_firewall.remove(3)
    c.softphone.sign_in(c.token)
    c.softphone.wait_trouble("service_silent", f"Rule 3: out, TCP 443 to {CONNECT}", seconds=MESSAGE_S)
    c.net.restore()
    c.softphone.ready(30 * SLOW)


# ---- more than the rules ----
@calls.case("one side is restricted: the office's own address there, the relay's at home", seconds=120)
def _(c):
    c.fresh()
    c.net.host_firewall.shut(False)  # where the relay sends, and from, are its relayed ports now
    c.net.office_firewall.open()
    c.softphone.dial()
    c.softphone.wait_state("In call")
    c.softphone.wait_path(["relay"], SEEN, seconds=30 * SLOW)
    c.wait_tones()
    equal(c.softphone.ears.pair()["remote"]["address"], OFFICE_PUBLIC, "where the relay sends")


@calls.case("the open case: a direct way is chosen", seconds=120)
def _(c):
    c.fresh()
    for f in c.net.firewalls:
        f.open()
    c.softphone.dial()
    c.softphone.wait_state("In call")
    c.softphone.wait_path(*DIRECT, seconds=30 * SLOW)
    c.wait_tones()
    equal(c.softphone.ears.pair()["remote"]["address"], OFFICE_PUBLIC, "where the browser sends")
    c.net.home_firewall.wait_passed(50, "open")  # the sound goes the direct way


@calls.case("the direct way is cut in the call: it moves to the relay, and both are heard again", seconds=180)
def _(c):
    check(c.softphone.talks(), "no call goes on")
    with pbx.Gap(c.net.pbx) as gap:
        c.net.restore()
        c.softphone.wait_path(*RELAYED, seconds=MOVES_S)
        c.wait_tones(MOVES_S)
        print(f"# the phone heard nothing for {gap.longest():.1f} s")


@calls.case("the direct way is back: the call moves to it again", seconds=180)
def _(c):
    check(c.softphone.talks(), "no call goes on")
    with pbx.Gap(c.net.pbx) as gap:
        for f in c.net.firewalls:
            f.open()
        c.softphone.wait_path(*DIRECT, seconds=2 * MOVES_S)
        c.wait_tones()
        print(f"# the phone heard nothing for {gap.longest():.1f} s")
    c.softphone.hang_up()


# ---- somebody goes ----
@calls.case("the token is revoked in the call: it ends at both sides, and the page says why", seconds=90)
def _(c):
    c.fresh()
    token = c.issue("phone", company.USER)
    c.softphone.open(token)
    c.softphone.dial()
    c.softphone.wait_state("In call")
    c.phone.wait("CALL_ESTABLISHED")
    c.revoke(token)
    c.softphone.page.wait_text("#sign-in-problem", "revoked", 20 * SLOW)
    c.phone.wait("CALL_CLOSED", seconds=20 * SLOW)


@calls.case("the token expires in the call: it ends at both sides, and the page says why", seconds=120)
def _(c):
    c.fresh()
    c.softphone.load()  # the token is made when all is there that takes its time
    c.softphone.sign_in(c.issue("phone", company.USER, "--expires", f"{EXPIRES_S}s"))
    c.softphone.ready()
    c.softphone.dial()
    c.phone.wait("CALL_ESTABLISHED")
    c.softphone.page.wait_text("#sign-in-problem", "expired", EXPIRES_S + 20 * SLOW)
    c.phone.wait("CALL_CLOSED", seconds=20 * SLOW)


@calls.case("turnpiked ends in the call: both sides are told; another one starts, both come back, and the next call works", seconds=180)
def _(c):
    in_call(c)
    c.turnpiked.stop()
    c.softphone.wait_trouble("shutdown", "service stops", seconds=20 * SLOW)
    c.phone.wait("CALL_CLOSED", seconds=20 * SLOW)
    c.serve()
    c.softphone.ready(40 * SLOW)
    in_call(c)
    c.wait_tones()


@calls.case("the PBX is down: the browser is told so", seconds=120)
def _(c):
    c.fresh()
    c.registrar.stop()
    c.softphone.dial()
    c.softphone.wait_trouble("pbx_down", seconds=40 * SLOW)


@tap.group
def demonstration():
    yield os.path.join(os.path.dirname(os.path.abspath(__file__)), "demonstration.py")


def demonstrate(path, **environment):
    """Its status, and its last line."""
    p = subprocess.run([sys.executable, "-B", path], capture_output=True, text=True, env={**os.environ, **environment}, timeout=90 * SLOW, check=False)
    daemon.check_log(p.stdout + p.stderr)
    return p.returncode, p.stdout.splitlines()[-1]


@demonstration.case("./quickstart call: its last line is that both ways are heard, relay to relay, and its status 0", seconds=120)
def _(path):
    equal(demonstrate(path), (0, "call: relay-relay, both ways heard"), "status and last line")


@demonstration.case("it fails, and says so, when there is no call", seconds=120)
def _(path):
    status, line = demonstrate(path, TURNPIKE_BRIDGE="/bin/false")
    check(status == 1 and not line.endswith("heard"), f"status {status}, {line}")


tap.main(alone=True)
