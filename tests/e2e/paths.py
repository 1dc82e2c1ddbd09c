#!/usr/bin/env python3
"""The ways of the sound: a browser at home and one in the office's place find, through both firewalls, the best way that these leave them."""
import contextlib
import json
import os

import browser
import devtools
import ears
import picture
import tones
from picture import HOME_PUBLIC, OFFICE_PUBLIC, RELAY

from lib import daemon, tap
from lib.tap import equal

picture.need_picture()
daemon.need_daemon()
browser.need_chromium()

HOME_HZ, OFFICE_HZ = 1000, 600
HERE = os.path.dirname(os.path.abspath(__file__))
SERVERS = [
    {"urls": [f"stun:{RELAY}:{picture.TURN_PORT}"]},
    {"urls": [f"turn:{RELAY}:{picture.TURN_PORT}?transport=udp"], "username": daemon.USER, "credential": daemon.PASSWORD},
]
PATIENCE_S = 30


class Side:
    """A browser with a tone in its microphone."""

    def __init__(self, stack, ns, tone, directory):
        wav = tones.write(directory.file(f"{tone}.wav"), tone)
        self.page = stack.enter_context(devtools.Page(ns, f"--use-file-for-fake-audio-capture={wav}"))
        self.ears = ears.Ears(self.page)
        self.here = stack.enter_context(browser.Page(ns, directory.file("page.html", "<!DOCTYPE html><title>a side</title>")))
        with open(os.path.join(HERE, "paths.js"), encoding="utf-8") as f:
            self.page.call("Page.addScriptToEvaluateOnNewDocument", source=f.read())

    def do(self, call, *words):
        return self.page.evaluate(f"side.{call}({', '.join(map(json.dumps, words))})")

    def open(self):
        self.page.open(self.here.url)
        self.do("open", SERVERS)


class World:
    def __init__(self, stack):
        self.net = n = stack.enter_context(picture.Picture())
        self.daemon = stack.enter_context(daemon.Daemon(n.internet, {"listening-ip": RELAY, "listening-port": picture.TURN_PORT, "workers": 2}))
        directory = stack.enter_context(daemon.Directory())
        self.home = Side(stack, n.home, HOME_HZ, directory)
        self.office = Side(stack, n.office, OFFICE_HZ, directory)

    def call(self):
        for side in (self.home, self.office):
            side.open()
        self.offer()

    def offer(self, restart=False):
        self.home.do("take", self.office.do("take", self.home.do("offer", restart)))

    def exchange(self):
        """What candidates there are since the last time, carried to the other side."""
        for a, b in ((self.home, self.office), (self.office, self.home)):
            if found := a.do("drain"):
                b.do("add", found)

    def wait_path(self, home, office):
        """Until both use pairs of these kinds (local, remote)."""

        def there():
            self.exchange()
            a, b = self.home.ears.kinds(), self.office.ears.kinds()
            return a and b and a[0] in home[0] and a[1] in home[1] and b[0] in office[0] and b[1] in office[1]

        def what():
            sides = [(s.ears.kinds(), s.ears.candidates()) for s in (self.home, self.office)]
            return f"the pairs are {home} and {office}: {sides}\n{self.daemon.tail()}"

        tap.wait_until(there, what, PATIENCE_S * (4 if tap.SANITIZER else 1))

    def talk(self):
        """Both hear the other's tone."""
        self.home.ears.wait_hears(OFFICE_HZ, HOME_HZ, PATIENCE_S)
        self.office.ears.wait_hears(HOME_HZ, OFFICE_HZ, PATIENCE_S)


RELAYED = (["relay"], ["relay"])
SEEN = ["srflx", "prflx"]  # by the outer address of a firewall
DIRECT = (["host", *SEEN], SEEN)


@tap.group
def paths():
    with contextlib.ExitStack() as stack:
        yield World(stack)


@paths.case("the most restrictive case: relay to relay, tones both ways, nothing but UDP 3478 passes, the relay's own host being shut", seconds=120)
def _(w):
    w.net.host_firewall.shut()
    w.call()
    w.wait_path(RELAYED, RELAYED)
    w.talk()
    pair = w.home.ears.pair()
    equal((pair["local"]["address"], pair["remote"]["address"], pair["dtls"]), (RELAY, RELAY, "connected"), "the pair")
    w.net.nothing_else_passed()
    for f, number in ((w.net.office_firewall, 4), (w.net.home_firewall, 5)):
        f.wait_passed(50, f"rule{number}", f"rule{number}back")
        equal(f.counts()["tcp443"], 0, "what passed by TCP 443")
    equal(w.net.host_firewall.counts()["else"], 0, "what came to other ports of the relay's host")
    w.net.host_firewall.shut(False)


@paths.case("both firewalls are opened in the middle of the call: the next look finds the direct way, and it is heard", seconds=120)
def _(w):
    for f in w.net.firewalls:
        f.open()
    w.offer(restart=True)
    w.wait_path(DIRECT, DIRECT)
    w.talk()
    pair = w.home.ears.pair()
    equal(pair["remote"]["address"], OFFICE_PUBLIC, "where the home sends")
    equal(w.office.ears.pair()["remote"]["address"], HOME_PUBLIC, "where the office sends")


@paths.case("the direct way is cut in the middle of the call: by the relay it goes on", seconds=120)
def _(w):
    w.net.restore()
    w.offer(restart=True)
    w.wait_path(RELAYED, RELAYED)
    w.talk()


@paths.case("one side is open: its own address on that side, the relay's on the other", seconds=120)
def _(w):
    w.net.office_firewall.open()
    w.call()
    w.wait_path((["relay"], SEEN), (["host", *SEEN], ["relay"]))
    w.talk()
    equal(w.home.ears.pair()["remote"]["address"], OFFICE_PUBLIC, "where the relay sends for the home")
    w.net.restore()


tap.main(alone=True)
