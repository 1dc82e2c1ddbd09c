#!/usr/bin/env python3
"""Chromium, relay candidates only: two peer connections reach a relay-relay pair through the daemon, and hear each other."""
import os

import browser
import devtools

from lib import daemon, net, tap
from lib.tap import check, equal

net.need_namespaces()
daemon.need_daemon()
browser.need_chromium()

SERVER, SERVER6, BROWSER, BROWSER6 = "198.51.100.1", "2001:db8:1::1", "198.51.100.10", "2001:db8:1::10"
PACKETS = 150  # three seconds of audio
PATIENCE_S = 60 * (4 if tap.SANITIZER else 1)


class World:
    def __init__(self, d, page, chromium):
        self.daemon, self.page, self.chromium = d, page, chromium


def setup(workers, **settings):
    def enter():
        with net.Net("browser", "srv") as n:
            n.link(n.browser, "eth0", [f"{BROWSER}/24", f"{BROWSER6}/64"], n.srv, "eth0", [f"{SERVER}/24", f"{SERVER6}/64"])
            n.browser.ip(f"route add default via {SERVER}", f"route add default via {SERVER6}")
            here = os.path.dirname(os.path.abspath(__file__))
            with daemon.Daemon(n.srv, {"workers": workers, "listening-port": 0, **settings}) as d:
                with browser.Page(n.browser, os.path.join(here, "chromium_relay.html")) as page, devtools.Page(n.browser) as chromium:
                    yield World(d, page, chromium)

    enter.__name__ = f"chromium, {workers} worker{'s' if workers > 1 else ''}"
    return tap.group(enter)


def talk(w, transport, ip=SERVER):
    """Both sides' stats, after some seconds of audio each way."""
    host = f"[{ip}]" if ":" in ip else ip
    url = f"turn:{host}:{w.daemon.port()}?transport={transport}"
    w.page.settings = {
        "iceServers": [{"urls": [url], "username": daemon.USER, "credential": daemon.PASSWORD}],
        "packets": PACKETS,
        "patience": PATIENCE_S,
    }
    w.chromium.open("about:blank#away")
    w.chromium.open(w.page.url)
    result = w.page.result(PATIENCE_S + 30)
    check("second" in result, f"the page says {result}\n{w.daemon.tail()}\n{w.chromium.tail()}")
    return result


def judge(result, transport, relay_ips):
    for first, second in zip(result["first"], result["second"]):
        equal(second["state"], "connected", "the state of a connection")
        for side in ("local", "remote"):
            equal(second[side].get("candidateType"), "relay", f"the type of the selected {side} candidate")
            check(second[side].get("address") in relay_ips, f"the selected {side} candidate is {second[side]}")
        equal(second["local"].get("relayProtocol"), transport, "the transport towards the relay")
        check(all(" typ relay " in c for c in second["candidates"]), f"candidates {second['candidates']}")
        check(second["packetsReceived"] >= 2 * PACKETS, f"{second['packetsReceived']} packets were received")
        check(second["bytesReceived"] > first["bytesReceived"] > 0, "the bytes received do not rise")
        check(second["totalAudioEnergy"] > first["totalAudioEnergy"] > 0, "there is no sound in what is received")
        equal(second["packetsLost"], 0, "the packets lost")


def add_cases(g, relay4, relay6):
    for transport in ("udp", "tcp"):

        @g.case(f"Chromium: relay-relay over {transport.upper()}, audio both ways, no loss", seconds=120)
        def _(w, transport=transport):
            judge(talk(w, transport), transport, {relay4, relay6})

    @g.case("Chromium: relay-relay, the relay asked over IPv6", seconds=120)
    def _(w):
        judge(talk(w, "udp", SERVER6), "udp", {relay4, relay6})

    @g.case("Chromium's packets went through the splice")
    def _(w):
        w.daemon.stop()
        stats = w.daemon.worker_stats()
        spliced = sum(s["splice_local"] + s["splice_in"] for s in stats)
        check(spliced >= 3 * 4 * PACKETS, f"{spliced} packets were spliced")


add_cases(setup(1), SERVER, SERVER6)
add_cases(setup(2, **{"external-ip": "192.0.2.200"}), "192.0.2.200", SERVER6)

tap.main(alone=True)
