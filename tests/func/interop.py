#!/usr/bin/env python3
"""The daemon and Debian's coturn clients: turnutils_stunclient and turnutils_uclient, without loss."""
import contextlib
import os
import re
import subprocess

from lib import daemon, net, stun, tap, wire, world
from lib.tap import check, equal

net.need_namespaces()
daemon.need_daemon()
tap.need("turnutils_uclient", "turnutils_stunclient", "turnutils_natdiscovery", "turnutils_peer", "ss")

S = net.Standard
SECRET = "north"
PEER_PORT = 3480


def hurry(pid):
    """Before what else runs on this machine, where that is allowed: its socket has room for what comes in some 40 ms, and no message may be lost."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(1))


def with_peer(workers, name):
    def enter():
        with world.standard({"workers": workers, "static-auth-secret": SECRET, "listening-port": 0}) as w:
            echo = w.net.peer.popen(
                ["turnutils_peer", "-L", S.PEER, "-L", S.PEER6, "-p", str(PEER_PORT)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            hurry(echo.pid)
            try:
                w.runs = 0
                tap.wait_until(lambda: w.net.peer.run(["ss", "-Huln"]).count(f":{PEER_PORT} ") == 2, "the peer is there", process=echo)
                yield w
            finally:
                echo.kill()
                echo.wait()

    enter.__name__ = f"{name}, {workers} worker{'s' if workers > 1 else ''}"
    return tap.group(enter)


def uclient(w, clients, messages, *options, v6=False, credentials=("-u", daemon.USER, "-w", daemon.PASSWORD), seen=None):
    """Runs turnutils_uclient; every message that it sent came back. Returns what was seen on the wire (UDP)."""
    # -z 5: a message each 5 ms and session. An address of its own for each run: the one before has left its allocations behind, and a
    # port that the kernel gives again would be a 5-tuple with an allocation (437).
    local = w.net.client_ip6(w.runs) if v6 else w.net.client_ip(w.runs)
    w.runs += 1
    command = ["turnutils_uclient", "-n", str(messages), "-m", str(clients), "-z", "5", "-L", local, *options]
    command += ["-p", str(w.daemon.port()), *credentials, w.server6 if v6 else w.server]
    with wire.counting(w.net.cli, "eth0", w.daemon.port()) as counter:
        out = w.net.cli.run(command, seconds=100 * (4 if tap.SANITIZER else 1))
    totals = re.findall(r"start_mclient: tot_send_msgs=(\d+), tot_recv_msgs=(\d+)", out)
    check(totals, f"no totals in {out[-2000:]}")
    sent, received = map(int, totals[-1])
    lost = re.search(r"Total lost packets (\d+) .*total send dropped (\d+)", out)
    check(lost, f"no summary in {out[-2000:]}")
    equal((sent, received), (messages * clients, messages * clients), "messages sent and received")
    equal((int(lost[1]), int(lost[2])), (0, 0), "messages lost and dropped")
    # uclient closes its first sockets without a Refresh 0; when the kernel gives it such a port again it gets 437 and takes another.
    errors = [line for line in out.splitlines() if "error" in line.lower() and "error 437" not in line]
    check(not errors or "-G" in options, "\n".join(errors))  # -G asks for peers that are denied, too
    equal(counter["in", "malformed"], 0, "malformed messages from the daemon")
    if "-t" not in options:
        for what in seen or ():
            check(counter[what] > 0, f"{what} was not seen, but {dict(counter)}")
    return counter


CHANNELS = [("out", "ChannelData"), ("in", "ChannelData")]


def add_everywhere(g):
    @g.case("turnutils_stunclient: the address of this client, IPv4 and IPv6")
    def _(w):
        for ip, want in ((w.server, r"198\.51\.100\.\d+:\d+"), (w.server6, r"2001:db8:1::\w+:\d+")):
            out = w.net.cli.run(["turnutils_stunclient", "-p", str(w.daemon.port()), ip])
            check(re.search(rf"reflexive addr: {want}", out), out)

    @g.case("turnutils_uclient: ChannelData and even-port pairs", seconds=150)
    def _(w):
        pairs = [("out", "even pair"), ("in", "token"), ("out", "redeem")]
        seen = uclient(w, 20, 200, "-e", S.PEER, seen=CHANNELS + pairs)
        equal(seen["out", stun.SEND, stun.INDICATION], 0, "the number of Send indications")

    @g.case("turnutils_uclient: Send and Data (-s)", seconds=150)
    def _(w):
        data = [("out", stun.SEND, stun.INDICATION), ("in", stun.DATA_METHOD, stun.INDICATION)]
        seen = uclient(w, 20, 200, "-s", "-e", S.PEER, seen=data)
        equal(seen["out", "ChannelData"] + seen["in", "ChannelData"], 0, "the number of ChannelData")

    @g.case("turnutils_uclient: client to client (-y)", seconds=150)
    def _(w):
        uclient(w, 20, 200, "-y", seen=CHANNELS)

    @g.case("turnutils_uclient: TCP, client to client (-t -y)", seconds=150)
    def _(w):
        uclient(w, 8, 100, "-t", "-y")


def add_more(g):
    @g.case("turnutils_uclient: client to client, Send and Data (-y -s)", seconds=150)
    def _(w):
        uclient(w, 8, 100, "-y", "-s", seen=[("out", stun.SEND, stun.INDICATION), ("in", stun.DATA_METHOD, stun.INDICATION)])

    @g.case("turnutils_uclient: TCP (-t)", seconds=150)
    def _(w):
        uclient(w, 8, 100, "-t", "-e", S.PEER)

    @g.case("turnutils_uclient: TCP, Send and Data (-t -s)", seconds=150)
    def _(w):
        uclient(w, 8, 100, "-t", "-s", "-e", S.PEER)

    @g.case("turnutils_uclient: an IPv6 relayed address (-x), IPv4 and IPv6 clients", seconds=150)
    def _(w):
        uclient(w, 8, 100, "-x", "-e", S.PEER6, seen=CHANNELS)
        uclient(w, 8, 100, "-x", "-e", S.PEER6, v6=True, seen=CHANNELS)

    @g.case("turnutils_uclient: dual allocation, client to client (-Z -y)", seconds=150)
    def _(w):
        uclient(w, 8, 100, "-Z", "-y", seen=CHANNELS + [("in", "two relayed addresses")])

    @g.case("turnutils_uclient: shared secret (-W)", seconds=150)
    def _(w):
        uclient(w, 8, 100, "-e", S.PEER, credentials=("-u", "carol", "-W", SECRET), seen=CHANNELS)

    @g.case("turnutils_uclient: DONT-FRAGMENT (-g), padded ChannelData (-D), extra requests (-G), single allocations (-c)", seconds=150)
    def _(w):
        for option in ("-g", "-D", "-G", "-c"):
            uclient(w, 4, 50, option, "-e", S.PEER, seen=CHANNELS)


@tap.group
def alternates():
    """Two addresses and two ports."""
    with world.standard({"workers": 2, "listening-ip": [S.SERVER, S.SERVER_2], "alt-listening-port": 3479}) as w:
        yield w


@alternates.case("C80 turnutils_natdiscovery: mapping (-m) and filtering (-f), nothing in the way")
def _(w):
    out = w.net.cli.run(["turnutils_natdiscovery", "-m", "-f", S.SERVER])
    check("Endpoint Independent Mapping!" in out and "Endpoint Independent Filtering!" in out and "ALG detected" not in out, out)
    for origin in ((S.SERVER, 3478), (S.SERVER_2, 3478), (S.SERVER_2, 3479)):
        check(f"Response origin: : {origin[0]}:{origin[1]}" in out, f"{origin} is not in {out}")


one = with_peer(1, "coturn's clients")
add_everywhere(one)
add_more(one)
add_everywhere(with_peer(2, "coturn's clients"))

tap.main()
