#!/usr/bin/env python3
"""Pictures of the softphone for docs/: idle, ringing, in a call relay to relay, and where a firewall lets nothing out to the relay. `make screenshots`."""
import socket
import sys

import browser
import phone
import shots
from phone import CALL

from lib import daemon, net, tap

net.need_namespaces()
daemon.need_daemon()
browser.need_chromium()


def office_says(w, n):
    """What a bridge tells once a second; two tellings make a rate."""
    w.service.tell("call.stats", call=CALL, rtt_ms=12, lost=0, received=50 * n, jitter_ms=3, bytes=8000 * n)


def main():
    with phone.phone() as w:
        p, s = w.page, w.service
        p.call("Emulation.setScrollbarsHidden", hidden=True)
        w.ready()
        p.fill("#number", "+49 30 1234")
        shots.both(p, "softphone-idle")
        w.dial("+49 30 1234")
        s.tell("call.ringing", call=CALL)
        p.wait_text("#call-state", "Ringing")
        p.wait("/^[0-9.]+ %/.test(document.getElementById('loss').innerText)", "figures")
        shots.both(p, "softphone-ringing")
        w.end()
        p.click("#relay")
        w.talk(relay=True, servers=w.turn)
        for n in (1, 2):
            office_says(w, n)
        p.wait_text("#path-words", "Relayed on both sides")
        p.wait("/^[0-9.]+ %/.test(document.getElementById('loss').innerText) && /%/.test(document.getElementById('loss-office').innerText)", "figures")
        p.wait("document.getElementById('clock').innerText >= '00:12'", "the call has gone on for a while")
        shots.both(p, "softphone-relayed")
        w.end()
        with w.net.srv.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind((phone.SERVER, 3478))
            s.ice["iceServers"] = [{"urls": [f"turn:{phone.SERVER}:3478?transport=udp"], "username": "a", "credential": "b"}]
            s.forget()
            s.cut()  # the next hello names it
            s.expect("hello")
            p.wait_text("#pill", "Ready")
            w.start("+49 30 1234")
            w.trouble("relay_blocked", "Rule 5")
            shots.both(p, "softphone-blocked")


try:
    main()
except tap.Failure as e:
    sys.exit(str(e))
