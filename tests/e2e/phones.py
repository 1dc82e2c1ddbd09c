#!/usr/bin/env python3
"""The office's PBX and telephones, before anything of ours has a part in it: they register, call, are refused, and hear each other."""
import contextlib
import os

import pbx
import picture
import tones
from picture import PBX

from lib import daemon, tap
from lib.tap import check, equal

pbx.need_phones()
pbx.need_sipp()
LOW, HIGH = pbx.HUM_HZ, 1000


class World:
    def __init__(self, stack):
        self.net = stack.enter_context(picture.Picture())
        self.registrar = stack.enter_context(pbx.Kamailio(self.net.pbx))
        self.phone = stack.enter_context(pbx.Phone(self.net.pbx))
        self.other = stack.enter_context(pbx.Phone(self.net.pbx, "201", answer="manual", hum=HIGH, sip=5062, control=4445, rtp=11000))

    def forget(self):
        self.phone.forget()
        self.other.forget()


@tap.group
def phones():
    with contextlib.ExitStack() as stack:
        yield World(stack)


@phones.case("one phone calls another: each hears the other's tone, and not its own")
def _(w):
    w.other.dial(w.phone.extension)
    w.other.wait("CALL_ESTABLISHED")
    w.phone.wait_hears(HIGH, LOW)
    w.other.wait_hears(LOW, HIGH)


@phones.case("digits of the one come to the other")
def _(w):
    for digit in "5#":
        w.other.tell("sndcode", digit)
    tap.wait_until(lambda: w.phone.digits() == "5#", lambda: f"the digits come: {w.phone.digits()!r}")


@phones.case("hanging up ends the call at both")
def _(w):
    w.other.hangup()
    w.phone.wait("CALL_CLOSED")
    w.forget()


@phones.case("a phone that is answered by hand rings, and the caller may give up")
def _(w):
    w.phone.dial(w.other.extension)
    w.phone.wait("CALL_RINGING")
    w.other.wait("CALL_INCOMING")
    equal(w.other.seen("CALL_ESTABLISHED"), [], "calls that were answered")
    w.phone.hangup()
    w.other.wait("CALL_CLOSED")
    w.forget()


@phones.case("it is answered by hand")
def _(w):
    w.phone.dial(w.other.extension)
    w.other.wait("CALL_INCOMING")
    w.other.tell("accept")
    w.phone.wait("CALL_ESTABLISHED")
    w.other.wait_hears(LOW, HIGH)
    w.other.hangup()
    w.phone.wait("CALL_CLOSED")
    w.forget()


for number, status in ((pbx.BUSY, "486"), (pbx.DECLINED, "603"), (pbx.UNKNOWN, "404"), (pbx.ABSENT, "480")):

    @phones.case(f"number {number} is refused with {status}")
    def _(w, number=number, status=status):
        w.phone.dial(number)
        why = w.phone.wait("CALL_CLOSED")["param"]
        check(why.startswith(status), f"it was refused with {why}")
        w.forget()


@phones.case("a trunk calls a phone, which hears its own echo")
def _(w):
    with pbx.Trunk(w.net.pbx, "calls", "-s", w.phone.extension, "-d", "3000") as trunk:
        w.phone.wait("CALL_ESTABLISHED")
        w.phone.wait_hears(LOW, HIGH)
        trunk.done()
    w.phone.wait("CALL_CLOSED")
    w.forget()


@phones.case("a phone calls a trunk, and hears its own echo")
def _(w):
    with pbx.Trunk(w.net.pbx, "answers") as trunk:
        w.phone.dial(pbx.TRUNK_PREFIX + "123")
        w.phone.wait("CALL_ESTABLISHED")
        w.phone.wait_hears(LOW, HIGH)
        w.phone.hangup()
        trunk.done()
    w.forget()


@phones.case("a wrong password neither registers nor calls")
def _(w):
    with pbx.Phone(w.net.pbx, "100", word="wrong", sip=5064, control=4446, rtp=12000) as stranger:
        tap.wait_until(lambda: "401" in stranger.program.log(), "the registration is refused", process=stranger.program.process)
        stranger.dial(w.phone.extension)
        why = stranger.wait("CALL_CLOSED")["param"]
        check(why.startswith("407"), f"the call was refused with {why}")
        equal(w.phone.seen("CALL_INCOMING"), [], "calls that came")


@phones.case("the registrar goes and comes back, without its memory; a phone registers anew before it is called again")
def _(w):
    w.registrar.stop()
    check(not pbx.sip_answers(w.net.pbx, (PBX, pbx.SIP_PORT)), "it still answers")
    w.registrar.start()
    w.other.dial(w.phone.extension)
    check(w.other.wait("CALL_CLOSED")["param"].startswith("480"), "it has kept its memory")


@phones.case("Goertzel: a tone's frequency and level, in silence, and beside another tone")
def _(_w):
    with daemon.Directory() as d:
        for frequency, amplitude, db in ((600, 1.0, 0.0), (1000, 0.5, -6.0), (590, 0.1, -20.0)):
            rate, samples = tones.read(tones.write(d.file("tone.wav"), frequency, 1, amplitude, tones.RATE))
            found, level = tones.loudest(samples, rate)
            tap.within(found, frequency - 2, frequency + 2, "the frequency")
            tap.within(level, db - 0.5, db + 0.5, "the level")
            check(tones.level(samples, rate, 1400) < -60, "another frequency is heard too")
            equal(bool(tones.heard(d.file("tone.wav"), 600, 1000)), frequency == 600, f"whether 600 Hz is heard in {frequency} Hz")
        silence = d.file("silence.wav")
        tones.write(silence, 600, 1, 0.0)
        equal(tones.heard(silence, 600), None, "what is heard in silence")
        with open(silence, "r+b") as f:
            os.truncate(f.fileno(), 30)
        equal(tones.heard(silence, 600), None, "what is heard before it begins")


tap.main()
