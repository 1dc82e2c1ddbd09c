#!/usr/bin/env python3
"""How long a call takes from the click to the first sound, and where that time goes: a browser at home calls a telephone in the office.

The picture is the most restrictive one (tests/e2e/picture.py): both firewalls pass the five rules and nothing else, so that each call goes from
relay to relay. Each is a call of the softphone page in Chromium to a baresip behind kamailio, which answers at once. Times are those of the
page (clock.js), of the cable before the telephone, and of the bridge's log (event=call_setup). It fails when a pair was found more than 500 ms
after both relay candidates were known, in any call.
"""
import argparse
import contextlib
import json
import os
import statistics
import struct
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "func"), os.path.join(HERE, "..", "e2e")]
import company  # noqa: E402  pylint: disable=wrong-import-position
import pbx  # noqa: E402  pylint: disable=wrong-import-position
import tones  # noqa: E402  pylint: disable=wrong-import-position
from lib import tap  # noqa: E402  pylint: disable=wrong-import-position

PAIR_MS = 500.0  # from both relay candidates known to a pair: the promise
LOUD = 1600  # of 32768: a sample of a tone, and no comfort noise
RTP_PORTS = range(10000, 10100, 2)  # of the telephone
CALL_S = 30.0
MARKS = ("click", "started", "described", "ours", "theirs", "pair", "keys", "answered", "sound")  # of clock.js

PARTS = {  # name: what it is, and in which of the call's times it begins and ends
    "signalling": ("click to the SDP answer known", "click", "described"),
    "microphone": ("  of it: click to the offer sent", "click", "started"),
    "candidates": ("click to both relay candidates known", "click", "known"),
    "ice": ("ICE: both known to a pair", "known", "pair"),
    "dtls": ("DTLS: the pair to the keys", "pair", "keys"),
    "sound": ("keys to the first sound in the browser", "keys", "sound"),
    "answered": ("click to the telephone's answer", "click", "answered"),
    "browser": ("click to first sound in the browser", "click", "sound"),
    "telephone": ("click to first sound at the telephone", "click", "phone"),
}
BRIDGE = ("signalling_ms", "relays_ms", "ice_ms", "dtls_ms", "audio_ms")


class FirstSound(pbx.Cable):
    """When the first sound came to the telephone, by the monotonic clock: the first packet of RTP with a loud sample in it."""

    OUTGOING = 4  # linux/if_packet.h PACKET_OUTGOING

    def __init__(self, ns):
        super().__init__(ns)
        self.heard = None

    def hear(self, packet, udp, kind):
        now = time.monotonic()
        if self.heard is not None or kind == self.OUTGOING or struct.unpack_from("!H", udp, 2)[0] not in RTP_PORTS:
            return
        if len(udp) > 20 and udp[9] & 127 == 8 and max(map(abs, tones.of_alaw(udp[20:]))) > LOUD:
            self.heard = now


def page_clock(page):
    """What to add to the page's milliseconds to have those of the monotonic clock: the best of some tries."""
    best = None
    for _ in range(10):
        before = time.monotonic()
        there = page.evaluate("performance.now()")
        after = time.monotonic()
        if best is None or after - before < best[0]:
            best = (after - before, 1e3 * (before + after) / 2 - there)
    return best[1]


def call(c):
    """One call: its times in the page's clock, and what the bridge says of it."""
    c.fresh()
    page, before = c.softphone.page, len(c.bridge.events("call_setup"))
    with FirstSound(c.net.pbx) as cable:
        c.softphone.dial()
        page.wait("clock.marks.sound && clock.marks.answered && clock.marks.pair", "the browser hears the telephone", CALL_S)
        tap.wait_until(lambda: cable.heard, "the telephone hears the browser", CALL_S)
        tap.wait_until(lambda: len(c.bridge.events("call_setup")) > before, "the bridge tells how the call was set up", CALL_S)
        times = page.evaluate("clock.marks")
        times["phone"] = 1e3 * cable.heard - page_clock(page)
    c.softphone.wait_path(["relay"], ["relay"])
    c.net.nothing_else_passed()
    c.softphone.hang_up()
    c.phone.wait("CALL_CLOSED")
    missing = [m for m in MARKS if m not in times]
    tap.check(not missing, f"the page did not see {missing} of the call: {times}")
    times["known"] = max(times["ours"], times["theirs"])
    bridge = c.bridge.events("call_setup")[-1]
    return {
        "parts_ms": {name: times[end] - times[begin] for name, (_, begin, end) in PARTS.items()},
        "bridge": {name: int(bridge[name]) for name in BRIDGE},
    }


def run(count):
    calls = []
    with contextlib.ExitStack() as stack:
        c = company.Company(stack)
        c.net.host_firewall.shut()
        with open(os.path.join(HERE, "clock.js"), encoding="utf-8") as f:
            c.softphone.page.call("Page.addScriptToEvaluateOnNewDocument", source=f.read())
        for i in range(count):
            calls.append(call(c))
            p = calls[-1]["parts_ms"]
            print(f"  call {i + 1} of {count}: sound after {p['browser']:.0f} ms in the browser, {p['telephone']:.0f} ms at the telephone; pair "
                  f"{p['ice']:.0f} ms after both candidates", file=sys.stderr, flush=True)
    return calls


def summary(calls):
    def of(values):
        return {"median": statistics.median(values), "worst": max(values), "best": min(values)}

    late = [i + 1 for i, c in enumerate(calls) if c["parts_ms"]["ice"] > PAIR_MS or c["bridge"]["ice_ms"] - c["bridge"]["relays_ms"] > PAIR_MS]
    return {
        "calls": calls,
        "parts_ms": {name: of([c["parts_ms"][name] for c in calls]) for name in PARTS},
        "bridge": {name: of([c["bridge"][name] for c in calls]) for name in BRIDGE},
        "late_pairs": late,
    }


def table(r):
    n = len(r["calls"])
    print(f"{n} calls of the browser to the telephone, relay to relay{'median ms':>12} {'worst':>8} {'best':>8}")
    for name, (what, _, _) in PARTS.items():
        print(f"  {what:<52} {r['parts_ms'][name]['median']:9.0f} {r['parts_ms'][name]['worst']:8.0f} {r['parts_ms'][name]['best']:8.0f}")
    print("as the bridge has logged it")
    for name in BRIDGE:
        print(f"  {name:<52} {r['bridge'][name]['median']:9.0f} {r['bridge'][name]['worst']:8.0f} {r['bridge'][name]['best']:8.0f}")
    holds = f"holds in all {n} calls" if not r["late_pairs"] else f"does not hold in {len(r['late_pairs'])} of {n} calls: {r['late_pairs']}"
    print(f"a pair from relay to relay within {PAIR_MS:.0f} ms of both candidates known: {holds}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20, help="one after the other, 1 to 200 (default 20)")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table", help="how the result is printed (default table)")
    o = parser.parse_args()
    if not 1 <= o.calls <= 200:
        parser.error("--calls is from 1 to 200")
    company.need_company()
    try:
        r = summary(run(o.calls))
    except tap.Failure as e:
        print(f"bench-setup: {e}", file=sys.stderr)
        sys.exit(1)
    if o.output == "json":
        print(json.dumps(r, indent=1))
    else:
        table(r)
    sys.exit(1 if r["late_pairs"] else 0)


main()
