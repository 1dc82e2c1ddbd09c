#!/usr/bin/env python3
"""`./quickstart call`: the whole picture on this machine, a call through it, and what became of it, in words. Its last line is the result."""
import contextlib
import sys
import time

import company
import pbx
from company import PAGE, PHONE, SERVICE
from picture import HOME, HOME_PUBLIC, OFFICE, OFFICE_PUBLIC, PBX, RELAY, RULES, TURN_PORT

from lib import tap


def say(text):
    print(f"call: {text}", flush=True)


def introduce():
    say(f"the office's bridge {OFFICE} and its PBX {PBX} are behind {OFFICE_PUBLIC}, the browser {HOME} behind {HOME_PUBLIC}")
    say(f"on the internet: relay {RELAY}:{TURN_PORT}, connect service {SERVICE}, softphone page {PAGE}")
    say("both firewalls drop everything, in and out, but for:")
    for number, (who, address, protocol, port) in RULES.items():
        say(f"  rule {number}: the {who} to {address}, {port}/{protocol}")
    say(f"the relay's own host takes {TURN_PORT}/udp and 443/tcp, and drops everything else")


def place(c):
    """A call that is answered and heard on both sides: what each hears."""
    start = time.monotonic()
    c.softphone.dial(PHONE)
    c.softphone.wait_state("In call")
    say(f"alice has called {PHONE}, and was answered {time.monotonic() - start:.1f} s after the click")
    return c.wait_tones()


def account(c):
    """The way, as the browser and the firewalls know it; relay-relay?"""
    c.softphone.wait_path(["relay"], ["relay", "host", "srflx", "prflx"])
    pair = c.softphone.ears.pair()
    say("candidates, as the browser has them:")
    for line in c.softphone.ears.candidates():
        say(f"  {line}")
    local, remote = pair["local"], pair["remote"]
    say(f"the pair: browser, {local['kind']} {local['address']}:{local['port']} <-> {remote['kind']} {remote['address']}:{remote['port']}, bridge")
    say(f"{pair['packets']} packets came to the browser, {pair['lost']} were lost; DTLS is {pair['dtls']}")
    for event in c.bridge.events("call_media")[-1:]:
        say("the bridge says: " + ", ".join(f"{k} {v}" for k, v in event.items() if k in ("local", "remote") or k.endswith(("_ms", "_s"))))
    for name, f in (("office", c.net.office_firewall), ("home", c.net.home_firewall)):
        counts = f.counts()
        passed = ", ".join(f"rule {n} {counts[f'rule{n}']} out {counts[f'rule{n}back']} back" for n in f.rules)
        say(f"packets through the firewall of the {name}: {passed}; anything else {counts['else']}; dropped {counts['dropped']}")
    return f"{local['kind']}-{remote['kind']}"


def main():
    introduce()
    with contextlib.ExitStack() as stack:
        c = company.Company(stack)
        c.net.host_firewall.shut()
        say(f"extension {company.LINE} of the PBX is the bridge's, {PHONE} a telephone's, which hums {pbx.HUM_HZ} Hz")
        c.fresh()
        say(f"alice is signed in at the softphone page; her microphone hears {company.VOICE_HZ} Hz")
        phone, page = place(c)
        way = account(c)
        say(f"the telephone hears {phone[0]} Hz at {phone[1]:.1f} dB of full scale")
        say(f"the browser hears {page[0]} Hz at {page[1]:.1f} dB of full scale")
        c.softphone.hang_up()
        c.phone.wait("CALL_CLOSED")
        c.net.nothing_else_passed()
        tap.equal(way, "relay-relay", "the way")
    say(f"{way}, both ways heard")


try:
    company.need_company()
except SystemExit:
    say("failed: something that it needs is not here")
    sys.exit(1)
try:
    main()
except (tap.Failure, OSError) as e:
    say(f"failed: {e}")
    sys.exit(1)
