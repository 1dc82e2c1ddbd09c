#!/usr/bin/env python3
"""Pictures of the dashboard for docs/, of a real relay: a firewall without a rule, idle, with five minutes of traffic, and with Redis down.
`make screenshots`; six minutes."""
import subprocess
import sys
import time

import browser
import playedbridge
import shots
from desk import desk

from lib import daemon, net, redis, tap

net.need_namespaces()
daemon.need_daemon()
browser.need_chromium()
tap.need("openssl", "redis-server")

S = net.Standard
SPAN_S = 300  # what a chart shows
OWNERS = (("acme", "headquarters"), ("acme", "home offices"), ("globex", "contact centre"), ("initech", "warehouse"))
# When a load begins and ends (seconds), its mode, its sessions. Some go on behind the last picture.
LOADS = (
    (0, 340, "up", 18),
    (0, 340, "down", 14),
    (20, 340, "relay-relay", 24),
    (70, 150, "up", 12),
    (95, 210, "relay-relay", 30),
    (120, 240, "down", 16),
    (185, 340, "relay-relay", 12),
    (230, 270, "up", 20),
)


def bench(d, names, start, until, mode, sessions):
    command = [daemon.BENCH, mode, "--server", S.SERVER, "--credentials", names, "--sessions", str(sessions), "--duration", str(until - start),
               "--client-ip", d.plane.net.client_ip(0)]
    if mode != "relay-relay":
        command += ["--peer-ip", d.plane.net.client_ip(1)]
    return d.plane.net.cli.popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def firewall():
    with playedbridge.at_desk({"node-id": "relay-1"}) as d, playedbridge.Bridge(d, "headquarters") as bridge:
        p = d.page
        p.call("Emulation.setScrollbarsHidden", hidden=True)
        d.view("firewall")
        p.click("#firewall-bridges .check button")
        bridge.asked()
        bridge.done(playedbridge.REACHED, playedbridge.filtered())
        p.wait_text("#firewall-bridges", "does not hold")
        p.wait("!document.querySelector('.toast.shown')")
        shots.both(p, "dashboard-firewall")


def main():
    servers = []
    settings = {"redis": "redis://127.0.0.1:6379", "allowed-peer-ip": [*S.PEER_NETS, "198.51.100.0/24"], "total-quota": 1000, "node-id": "relay-1"}
    with desk(settings, lambda n, stack: servers.append(stack.enter_context(redis.Server(n.srv)))) as d:
        p = d.page
        p.call("Emulation.setScrollbarsHidden", hidden=True)
        lines = []
        for owner, label in OWNERS:
            token = d.admin.call("POST", "/api/v1/tokens", {"owner": owner, "label": label, "ttl": 86400, "max_bps": 20000000}).json
            lines.append(f"{token['username']} {token['password']}\n")
        names = d.plane.directory.file("names", "".join(lines))
        p.wait("document.querySelector('#chart-traffic path')", "two answers, so that there is a rate")
        p.wait("document.querySelectorAll('#latest li').length > 3")
        shots.both(p, "dashboard-idle")

        started, running, loads = time.monotonic(), [], sorted(LOADS)
        while (now := time.monotonic() - started) < SPAN_S - 10:
            while loads and loads[0][0] <= now:
                running.append(bench(d, names, *loads.pop(0)))
            p.wait(f"performance.now() > {p.evaluate('performance.now()') + 800}")
        d.view("credentials")
        p.wait("document.querySelectorAll('#usage-table tbody tr').length >= 3")
        shots.both(p, "dashboard-credentials")
        d.view("allocations")
        p.fill("#allocations-filter [name=user]", lines[0].split()[0])
        p.key("Enter")
        p.wait(f"[...document.querySelectorAll('#allocations-table tbody tr')].every(r => r.innerText.includes({lines[0].split()[0]!r}))")
        shots.both(p, "dashboard-allocations")
        d.view("overview")
        shots.both(p, "dashboard-live")
        servers[0].kill()
        p.wait_text("#pill", "Not ready")
        shots.both(p, "dashboard-redis-down")
        for r in running:
            r.kill()
            r.wait()


try:
    firewall()
    main()
except tap.Failure as e:
    sys.exit(str(e))
