#!/usr/bin/env python3
"""turnpike-probe proves the rules of a firewall: one fault in the way each time, and exactly that rule fails, with exactly that code; the line it suggests, applied, cures it.

Everything is reached by an address of its own on the far side, where it is translated to the one service, so that the faults don't meet
and all probes run side by side: most of them wait for answers that don't come.
"""
import contextlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time

from lib import admin, boxes, daemon, net, stun, tap
from lib.tap import check, equal, within

net.need_namespaces()
daemon.need_daemon()
tap.need("nft", "openssl", "prlimit")

PROBE = os.environ.get("TURNPIKE_PROBE", os.path.join(daemon.BUILDDIR, "turnpike-probe"))
CTL = os.path.join(daemon.BUILDDIR, "turnpikectl")
if not os.access(PROBE, os.X_OK):
    tap.skip_all(f"{PROBE} is not built")

HOME, GATE, OUTSIDE, FAR = "11.0.9.20", "11.0.9.1", "11.0.2.1", "11.0.2.2"
OFFICE, OFFICE_GATE = "11.0.20.20", "11.0.20.1"
HOME_STRAIGHT, OFFICE_STRAIGHT, STRAIGHT = "11.0.9.21", "11.0.20.21", "11.0.0.10"  # their addresses towards this relay: between these two more may be open
RELAY, CONNECT, APP = "11.0.0.1", "11.0.0.2", "11.0.0.3"
SMALL, NARROW, WIDE, LATE = "11.0.0.5", "11.0.0.6", "11.0.0.7", "11.0.0.11"  # further relays, and a slow way to one
TWIN, TWIN_2 = "11.0.0.8", "11.0.0.9"  # one with two addresses and two ports
LIARS = {"11.0.3.60": ("11.0.3.60", False), "11.0.3.61": (TWIN_2, True)}  # the second address that they tell; do they answer CHANGE-REQUEST?
NOBODY = "11.0.9.77"  # at home, but not there
DNS, PROXY, NOWHERE, HIDDEN, PRIVATE = "11.0.3.53", "10.1.2.80", "11.0.8.1", "10.1.2.3", "10.1.2.4"
SIP = "11.0.3.59"  # who answers it, at whatever address that is no relay's
HOSTS = {"browser": {2: "--app", 3: "--connect", 5: "--relay"}, "server": {1: "--connect", 4: "--relay"}}  # where a role's rules lead to
LOSS = 5.0  # per cent: one of 20
STREAM = 172 + 4 + 28  # bytes of an IP packet that carries a call's payload to the relay
SECONDS = 120  # for whatever waits to the end
NAMES = {
    "relay.example": [RELAY], "hidden.example": [HIDDEN], "private.example": [PRIVATE], "proxy.example": [PROXY], "empty.example": [],
    "connect.example": [CONNECT], "several.example": [NOWHERE, RELAY], "dual.example": [NOWHERE, "::1"],
}  # fmt: skip

# The firewall: what the probe has asked to open, then what is open beyond the rules, the faults, and the five rules. The host's own likewise.
TABLE = f"""
table ip probe {{
    set opened {{ typeof ip daddr . meta l4proto . th dport; }}
    chain too_wide {{ }}
    chain straight {{ }}
    chain faults {{ }}
    chain forward {{
        type filter hook forward priority filter; policy drop;
        ip daddr . meta l4proto . th dport @opened accept
        jump too_wide
        jump straight
        jump faults
        ct state established,related accept
        iifname {{ lan0, lan1 }} udp dport 3478 accept
        iifname {{ lan0, lan1 }} tcp dport {{ 443, 3128 }} accept
        iifname lan0 ip daddr {DNS} udp dport 53 accept
    }}
}}
"""
OWN = """
table ip probe {
    set opened { typeof ip daddr . meta l4proto . th dport; }
    chain faults { }
    chain output {
        type filter hook output priority filter; policy accept;
        ip daddr . meta l4proto . th dport @opened accept
        jump faults
    }
}
"""
FAR_SIDE = f"""
table ip probe {{
    chain translate {{
        type nat hook prerouting priority dstnat;
        ip daddr {{ 11.0.1.0/24, {PRIVATE}, {STRAIGHT} }} meta l4proto {{ tcp, udp }} th dport 3478 dnat to {RELAY}
        ip daddr {{ 11.0.1.0/24, 11.0.3.0/24 }} meta l4proto {{ tcp, udp }} th dport {{ 5060, 5061 }} dnat to {SIP}
        ip daddr {{ 11.0.1.0/24 }} tcp dport 443 dnat to {CONNECT}
    }}
}}
"""

# Hosts behind a NAT each: ports kept, ports at random, all that comes let in, and an address for each host that is sent to, which may then answer from any port; and one without a NAT, whose
# firewall knows the relay's first address alone. What the probe has to say of them: mapping, filter, words.
ANSWERS = "address_and_port_dependent"
NATS = {
    "kept": ("endpoint_independent", ANSWERS, "NAT: same address for all destinations (lets in answers only)"),
    "random": ("address_and_port_dependent", ANSWERS, "NAT: another address for each destination (lets in answers only)"),
    "cone": ("endpoint_independent", "endpoint_independent", "NAT: same address for all destinations (lets in packets from anywhere)"),
    "hosts": ("address_dependent", "address_dependent", "NAT: another address for each host (lets in hosts that were sent to)"),
    "shut": ("none", None, ""),
}
CONE, HOST_A, HOST_B = "11.0.2.13", "11.0.2.14", "11.0.2.15"  # addresses outside
INSIDE = {name: f"11.0.{10 + i}" for i, name in enumerate(NATS)}
NAT_TABLE = f"""
table ip nats {{
    chain out {{
        type nat hook postrouting priority srcnat;
        ip saddr {INSIDE["kept"]}.20 masquerade
        ip saddr {INSIDE["random"]}.20 masquerade fully-random
        ip saddr {INSIDE["cone"]}.20 snat to {CONE}
        ip saddr {INSIDE["hosts"]}.20 ip daddr {TWIN} snat to {HOST_A}
        ip saddr {INSIDE["hosts"]}.20 snat to {HOST_B}
    }}
    chain in {{
        type nat hook prerouting priority dstnat;
        ip daddr {CONE} dnat to {INSIDE["cone"]}.20
        ip daddr {{ {HOST_A}, {HOST_B} }} dnat to {INSIDE["hosts"]}.20
    }}
}}
table ip probe {{
    set sent {{ typeof ip daddr . udp sport; size 16; flags dynamic; }}
    chain forward {{
        iifname "hosts" add @sent {{ ip daddr . udp sport }} accept
        oifname "hosts" ip saddr . udp dport @sent accept
        oifname "cone" accept
        iifname {{ "kept", "random", "cone" }} accept
        iifname "shut" ip daddr {TWIN} udp dport 3478 accept
    }}
}}
"""


class Run:
    """One probe that runs, and what it has said."""

    def __init__(self, ns, *words, role="browser", quick=True, env=None):
        command = [PROBE, "--role", role, "-o", "json", *(["--quick"] if quick else []), *words]
        self.process = ns.popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=daemon.clean_environment(env))
        self._report = None

    def wait(self):
        if self._report is None:
            out, err = self.process.communicate(timeout=SECONDS)
            daemon.check_log(err)
            check(out.startswith("{"), f"it has ended with {self.process.returncode}, and said: {out}{err}")
            self._report = json.loads(out)
        return self._report

    def rule(self, number):
        return next(r for r in self.wait()["rules"] if r["number"] == number)


class Fault:
    """Something in the way of one rule, and what the probe has to say. `words` are the probe's; `faults`, `own`: lines of the firewall's and of the host's own rules, where AT is the
    address that is this fault's alone; `wide`: lines that open more than the rules, and go in the end. The other rules whose hosts are given have to hold."""

    def __init__(self, code, number, words, faults=(), own=(), wide=(), box=None, stage=None, says="", verdict="FAIL", cured=False, title="", env=None):
        self.code, self.number, self.words, self.faults, self.own, self.wide, self.box = code, number, words, faults, own, wide, box
        self.stage, self.says, self.verdict, self.cured, self.title, self.env = stage, says, verdict, cured, title, env
        self.first = self.again = None
        self.role = "server" if number in HOSTS["server"] else "browser"

    def others(self):
        """Verdicts of the other rules, by their numbers."""
        return {n: "PASS" if option in self.words else "SKIP" for n, option in HOSTS[self.role].items() if n != self.number}


def five(relay, *words):
    """All three hosts, of which a role's rules need two or three."""
    return ["--relay", relay, "--connect", CONNECT, "--app", APP, *words]


def udp(*words):
    return five("AT", *words)


def tcp(*words):
    return ["--connect", "AT", "--relay", RELAY, "--app", APP, *words]


def too_wide(number, words, wide, **kw):
    return Fault("open_too_wide", number, words, wide=[wide], stage="quality", verdict="WARN", **kw)


USER = ["--user", daemon.USER]
FORGED = {}  # what the boxes need, and the world fills in


def changed(data):
    """As a helper does that takes the masked address for something else."""
    at = data.find(b"\x00\x20\x00\x08") + 11  # the last byte of XOR-MAPPED-ADDRESS
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] if at > 11 else data


def only_requests(data):
    return None if data[0] & 0xC0 == 0x40 else data


def strip(s):
    """A proxy that opens TLS and knows no Upgrade."""
    head = re.sub(rb"(?i)(upgrade|connection):[^\r]*\r\n", b"", boxes.read_head(s))
    with boxes.tls_to(boxes.connection(FORGED["far"], (CONNECT, 443))) as there:
        there.sendall(head)
        boxes.join(s, there)


def forget_soon(s):
    boxes.join(s, boxes.connection(FORGED["far"], (CONNECT, 443)), idle_s=4)


def tell_time(s, ahead_s):
    boxes.read_head(s)
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + ahead_s))
    s.sendall(f"HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n".encode())


def page(s):
    boxes.read_head(s)
    s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def overloaded(s):
    boxes.read_head(s)
    s.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")


def hang_up(s):
    s.recv(1)


def once_only():
    """The service for whoever tries the WebSocket, and then no more room for whoever signs in."""
    first = threading.Lock()

    def answer(s):
        if not first.acquire(blocking=False):
            overloaded(s)
            return
        with boxes.tls_to(boxes.connection(FORGED["far"], (CONNECT, 443))) as there:
            there.sendall(boxes.read_head(s))
            boxes.join(s, there)

    return answer


def proxy(status):
    def answer(s):
        host, port = boxes.read_head(s).split()[1].decode().split(":")
        if status != 200:
            s.sendall(f"HTTP/1.1 {status} no\r\n\r\n".encode())
            return
        there = boxes.connection(FORGED["far"], (host, int(port)))
        s.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        boxes.join(s, there)

    return answer


def tcp_box(function, tls=None, port=443):
    return lambda at: boxes.Tcp(FORGED["far"], at, port, function, FORGED[tls] if tls else None)


def udp_box(**kw):
    return lambda at: boxes.Udp(FORGED["far"], at, (RELAY, 3478), **kw)


def liar(at, other, answers):
    """A STUN server that tells of another address, and takes no notice of CHANGE-REQUEST, or does not answer it."""
    s = boxes.listener(FORGED["far"], at, 3478, socket.SOCK_DGRAM)
    told = struct.pack("!HH4s", 1, other[1], socket.inet_aton(other[0]))

    @boxes.quietly
    def run():
        while True:
            data, source = s.recvfrom(boxes.SIZE)
            request = stun.decode(data)
            if answers or request.get(stun.CHANGE_REQUEST) is None:
                items = [(stun.XOR_MAPPED_ADDRESS, source), (stun.OTHER_ADDRESS, told)]
                s.sendto(stun.encode(stun.BINDING, stun.SUCCESS, items, request.txid, fingerprint=True), source)

    boxes.serve(run)
    return s


REJECT = "ip daddr AT udp dport 3478 reject with icmp type"
FAULTS = [
    Fault("udp_timeout", 5, udp(), ["ip daddr AT udp dport 3478 drop", "ip daddr AT tcp dport 3478 accept"], stage="reach", says="UDP is filtered", cured=True),
    Fault("udp_timeout", 5, udp(), ["ip daddr AT drop"], stage="reach", says="does not answer either", title="all of it is dropped", cured=True),
    Fault("icmp_admin_prohibited", 5, udp(), [f"{REJECT} admin-prohibited"], stage="reach", says=f"{GATE} says", cured=True),
    Fault("icmp_port_unreachable", 5, udp(), [f"{REJECT} port-unreachable"], stage="reach", says=f"{GATE} says", cured=True),
    Fault("net_unreachable", 5, udp(), [f"{REJECT} host-unreachable"], stage="reach", says=f"{GATE} says"),
    Fault("udp_timeout", 4, udp(), ["ip daddr AT udp dport 3478 drop"], stage="reach", cured=True, title="for the UC server"),
    Fault("net_unreachable", 5, five(NOWHERE), stage="reach", title="a route that is missing"),
    Fault("net_unreachable", 5, five(NOBODY), stage="reach", says="next hop", title="nobody answers to ARP"),
    Fault("net_unreachable", 3, ["--connect", NOBODY, "--relay", RELAY, "--app", APP], stage="reach", says="next hop", title="nobody answers to ARP, by TCP"),
    Fault("local_blocked", 5, udp(), own=["ip daddr AT udp dport 3478 drop"], stage="reach", cured=True),
    Fault("local_blocked", 3, tcp(), own=["ip daddr AT tcp dport 443 drop"], stage="reach", cured=True, title="by TCP"),
    Fault("tcp_timeout", 3, tcp(), ["ip daddr AT tcp dport 443 drop"], stage="reach", cured=True),
    Fault("tcp_timeout", 1, tcp(), ["ip daddr AT tcp dport 443 drop"], stage="reach", cured=True, title="for the UC server"),
    Fault("tcp_rst", 3, tcp(), ["ip daddr AT tcp dport 443 reject with tcp reset"], stage="reach", cured=True),
    Fault(
        "tcp_rst",
        3,
        tcp(),
        ["ip daddr AT tcp dport 443 reject with tcp reset"],
        wide=["ip daddr AT udp dport 5060 accept"],
        stage="reach",
        says=", sip/udp 5060 of 11.0.1.",
        cured=True,
        title="and SIP at its host, which is told all the same",
    ),
    Fault("icmp_admin_prohibited", 3, tcp(), ["ip daddr AT tcp dport 443 reject with icmp type admin-prohibited"], stage="reach", cured=True, title="by TCP"),
    Fault("icmp_port_unreachable", 3, tcp(), ["ip daddr AT tcp dport 443 reject"], stage="reach", cured=True, title="by TCP"),
    Fault("dns_nxdomain", 5, five("no.such.example", "--dns", DNS), stage="name"),
    Fault("dns_failed", 5, five("empty.example", "--dns", DNS), stage="name", says="knows no address", title="a name without addresses"),
    Fault("dns_private_answer", 5, five("dual.example", "--dns", DNS), stage="name", says="is ::1", title="IPv6, where there is no way for IPv4"),
    Fault("dns_failed", 5, five("relay.example", "--dns", "11.0.3.54"), stage="name"),
    Fault("dns_private_answer", 5, five("hidden.example", "--dns", DNS), stage="name", says=HIDDEN),
    Fault("tls_intercepted", 3, tcp(), box=tcp_box(hang_up, "intercepted"), stage="protocol", says="CN = ??2Jadmin"),
    Fault("tls_failed", 3, tcp(), box=tcp_box(hang_up), stage="protocol"),
    Fault("http_refused", 2, ["--app", CONNECT, "--connect", CONNECT, "--relay", RELAY], stage="protocol", says="404"),
    Fault("ws_upgrade_stripped", 3, tcp(), box=tcp_box(strip, "tls"), stage="protocol", says="426"),
    Fault("ws_idle_killed", 3, ["--connect", "AT", "--app", APP, "--token-file", "TOKEN", "--idle", "12"], box=tcp_box(forget_soon), stage="auth"),
    Fault("token_refused", 3, ["--connect", CONNECT, "--app", APP], stage="auth", env={"TURNPIKE_PROBE_TOKEN": "nobody:wrong"}),
    Fault("proxy_auth_required", 3, ["--connect", CONNECT, "--relay", RELAY, "--proxy", "http://AT:3128"], box=tcp_box(proxy(407), port=3128), stage="protocol"),
    Fault("proxy_refused", 3, ["--connect", CONNECT, "--relay", RELAY, "--proxy", "http://AT:3128"], box=tcp_box(proxy(403), port=3128), stage="protocol", says="403"),
    Fault("http_refused", 3, tcp(), box=tcp_box(overloaded, "tls"), stage="protocol", says="503", title="a service that has no room"),
    Fault("http_refused", 3, tcp("--token-file", "TOKEN"), box=tcp_box(once_only(), "tls"), stage="auth", says="503", title="room for one only"),
    Fault("stun_altered", 5, udp(), box=udp_box(server=changed), stage="protocol", says="FINGERPRINT"),
    Fault("turn_401", 5, five(RELAY, "--user", daemon.USER, "--password", "wrong"), stage="auth"),
    Fault("turn_401", 5, five(RELAY, "--user", "1500000000:alice", "--password", "x"), stage="auth", says="was good until", title="a name that has ended"),
    Fault(
        "turn_clock_skew",
        5,
        ["--relay", RELAY, "--app", "AT", "--user", f"{int(time.time()) + 3600}:alice", "--password", "x"],
        box=tcp_box(lambda s: tell_time(s, 86400), "tls"),
        stage="auth",
        says="ahead",
    ),
    Fault(
        "turn_401",
        5,
        ["--relay", RELAY, "--app", "AT", "--user", f"{int(time.time()) - 3600}:alice", "--password", "x"],
        box=tcp_box(lambda s: tell_time(s, -86400), "tls"),
        stage="auth",
        says="this time-limited name",
        title="a name that has ended by this host's clock alone",
    ),
    Fault("turn_403_peer_denied", 5, ["--relay", RELAY, "--app", APP, "--token-file", "BOUND"], stage="relay"),
    Fault("turn_486_quota", 5, five(SMALL, *USER), stage="relay"),
    Fault("turn_refused", 5, five(NARROW, *USER), stage="relay", says="508"),
    Fault("relay_pair_failed", 5, udp(*USER), box=udp_box(client=only_requests), stage="pair"),
    Fault("loss_high", 5, udp(*USER), [f"ip daddr AT meta length {STREAM} numgen inc mod 20 0 drop"], stage="quality", says="are lost over the relay"),
    Fault("mtu_low", 5, udp(*USER), ["ip daddr AT meta length > 1250 drop"], stage="quality", says="1200"),
    too_wide(5, five(WIDE, *USER), f"ip daddr {WIDE} udp dport 49152-65535 accept", says=f"UDP passes to {WIDE}:", title="a relayed address"),
    too_wide(5, udp(*USER), "ip daddr AT udp dport 5060 accept", says="sip/udp 5060 of 11.0.1.", title="SIP at the relay's host"),
    too_wide(3, tcp("--relay", "AT"), "ip daddr AT tcp dport 5060 accept", says="sip/tcp 5060 of 11.0.1.", title="SIP by TCP at a host of two rules"),
    too_wide(2, ["--app", "AT", "--connect", CONNECT, "--relay", RELAY], "ip daddr AT tcp dport 5061 accept", box=tcp_box(page, "tls"), says="sip/tcp 5061 of 11.0.3.", title="SIP by TLS at the app's"),
    Fault("udp_idle_short", 5, udp(*USER, "--idle", "4"), box=udp_box(idle_s=3), stage="quality", verdict="WARN", says="is below 4 s"),
    Fault("udp_idle_short", 5, udp(*USER, "--idle", "6"), box=udp_box(idle_s=5, anew=True), stage="quality", verdict="WARN", says="is below 6 s", title="another port then"),
    Fault("other_end_missing", 5, five(RELAY, "--token-file", "LONELY", "--both"), stage="pair", verdict="WARN"),
    Fault("dns_private_answer", 5, five("private.example", "--dns", DNS), verdict="WARN", title="which is reached", stage="name"),
]


class World:
    """Home, its firewall, and the far side with everything that is reached."""

    def __init__(self, stack):
        self.stack = stack
        self.straight = self.again = None
        self.directory = stack.enter_context(daemon.Directory())
        self.net = n = stack.enter_context(net.Net("home", "office", "fw", "far", *NATS))
        self._cable()
        self.at = {f: f"11.0.{3 if f.box else 1}.{100 + i}" for i, f in enumerate(FAULTS)}
        n.far.ip(*[f"addr add {ip}/32 dev lo" for ip in (RELAY, CONNECT, APP, SMALL, NARROW, WIDE, LATE, TWIN, TWIN_2, *LIARS, DNS, PROXY, SIP, *(self.at[f] for f in FAULTS if f.box))])
        names = [CONNECT, APP, *self.at.values()]
        self.ca, key = admin.certificate(self.directory, ",IP:".join(names) + ",DNS:connect.example", "far")
        FORGED.update(far=n.far, tls=boxes.tls_server(self.ca, key), intercepted=boxes.tls_server(*admin.certificate(self.directory, ",IP:".join(names), "other", "/CN=\u009b2Jadmin")))
        stack.enter_context(contextlib.closing(boxes.Dns(n.far, DNS, NAMES)))
        stack.enter_context(contextlib.closing(boxes.Sip(n.far, SIP)))
        service = {"connect-listen": f"{CONNECT}:443", "app-listen": f"{APP}:443", "connect-origin": f"https://{APP}", "cert": self.ca, "pkey": key}
        self.daemon = self._relay(RELAY, **service)
        self._relay(SMALL, **{"user-quota": 1})
        self._relay(NARROW, **{"min-port": 50000, "max-port": 50000})
        self._relay(WIDE)
        self._relay([TWIN, TWIN_2], **{"alt-listening-port": 3479})
        self.files = {
            "TOKEN": self.directory.file("token", self._token("phone")),
            "LONELY": self.directory.file("lonely", self._token("phone", tenant="lonely")),
            "BRIDGE": self.directory.file("bridge", self._token("bridge")),
            "STRAIGHT": self.directory.file("straight", self._token("phone", tenant="straight")),
            "STRAIGHT_BRIDGE": self.directory.file("straight_bridge", self._token("bridge", tenant="straight")),
            "BOUND": self.directory.file("bound", self._token("turn", "--allow-peer", "192.0.2.1")),
        }
        self.ended = self._token("turn")
        self.password = self.directory.file("password", daemon.PASSWORD + "\n")

    def _cable(self):
        n = self.net
        n.link(n.home, "eth0", [f"{HOME}/24", f"{HOME_STRAIGHT}/24"], n.fw, "lan0", [f"{GATE}/24"])
        n.link(n.office, "eth0", [f"{OFFICE}/24", f"{OFFICE_STRAIGHT}/24"], n.fw, "lan1", [f"{OFFICE_GATE}/24"])
        n.link(n.fw, "wan0", [f"{OUTSIDE}/24"], n.far, "eth0", [f"{FAR}/24"])
        n.fw.sysctl("net.ipv4.ip_forward", 1)
        for key in ("icmp_ratelimit", "icmp_ratemask"):
            n.fw.sysctl(f"net.ipv4.{key}", 0)
        n.home.ip(f"route add default via {GATE}", f"route add unreachable {NOWHERE}/32", f"route add {STRAIGHT}/32 via {GATE} src {HOME_STRAIGHT}")
        n.office.ip(f"route add default via {OFFICE_GATE}", f"route add {STRAIGHT}/32 via {OFFICE_GATE} src {OFFICE_STRAIGHT}")
        n.fw.ip(f"route add default via {FAR}")
        n.far.ip(f"route add default via {OUTSIDE}")
        for name, inside in INSIDE.items():
            n.link(getattr(n, name), "eth0", [f"{inside}.20/24"], n.fw, name, [f"{inside}.1/24"])
            getattr(n, name).ip(f"route add default via {inside}.1")
        n.fw.ip(*[f"addr add {ip}/24 dev wan0" for ip in (CONE, HOST_A, HOST_B)])
        for ns, text in ((n.fw, TABLE), (n.fw, NAT_TABLE), (n.home, OWN), (n.far, FAR_SIDE)):
            ns.run(["nft", "-f", "-"], text)

    def _relay(self, ip, **settings):
        return self.stack.enter_context(daemon.Daemon(self.net.far, {"listening-ip": ip, "listening-port": 3478, **settings}))

    def _token(self, scope, *words, tenant="acme"):
        words = ["token", "issue", "--json", "--scope", scope, "--owner", "alice", "--tenant", tenant, *words]
        made = json.loads(self.net.far.run([CTL, "--config", self.daemon.config_path, *words]))
        return f"{made['id']}:{made['password']}\n"

    def start(self, *words, ns=None, **kw):
        return Run(ns or self.net.home, "--ca", self.ca, "--password-file", self.password, *words, **kw)

    def start_both(self, relay, browser, server):
        """Each in its place, with the files of their tokens."""
        words = ["--relay", relay, "--connect", CONNECT, "--both", "--token-file"]
        return {
            "browser": self.start(*words, self.files[browser]),
            "server": self.start(*words, self.files[server], role="server", ns=self.net.office),
        }

    def closed(self):
        """Both ends again, once, when nothing is open between them any more."""
        if self.again is None:
            for run in self.straight.values():
                run.wait()
            self.net.fw.run(["nft", "flush chain ip probe straight"])
            self.again = self.start_both(STRAIGHT, "STRAIGHT", "STRAIGHT_BRIDGE")
        return self.again

    def put_in_the_way(self):
        """Every fault's boxes and rules."""
        lines = {self.net.fw: [], self.net.home: []}
        for f in FAULTS:
            if f.box:
                self.stack.enter_context(contextlib.closing(f.box(self.at[f])))
            for ns, chain, rules in ((self.net.fw, "faults", f.faults), (self.net.home, "faults", f.own), (self.net.fw, "too_wide", f.wide)):
                lines[ns] += [f"add rule ip probe {chain} {rule.replace('AT', self.at[f])}" for rule in rules]
        for ns, text in lines.items():
            ns.run(["nft", "-f", "-"], "\n".join(text) + "\n")

    def start_fault(self, f):
        return self.start(*[self.files.get(w) or w.replace("AT", self.at[f]) for w in f.words], role=f.role, env=f.env)

    def apply(self, suggested):
        """What the probe suggests, in the firewall and on the host."""
        found = [re.fullmatch(r"allow out (udp|tcp) (?:browser|office) -> ([0-9.]+):(\d+)", line or "") for line in suggested]
        check(all(found), f"the lines to add are {suggested}")
        elements = ", ".join(f"{m[2]} . {m[1]} . {m[3]}" for m in found)
        for ns in (self.net.fw, self.net.home):
            ns.run(["nft", f"add element ip probe opened {{ {elements} }}"])


@tap.group
def faults():
    with contextlib.ExitStack() as stack:
        w = World(stack)
        w.good = {role: w.start(*five(RELAY, *USER), role=role) for role in HOSTS}
        w.signed_in = w.start("--connect", CONNECT, "--relay", RELAY, "--token-file", w.files["TOKEN"], "--idle", "3")
        stack.enter_context(contextlib.closing(tcp_box(proxy(200), port=3128)(PROXY)))
        w.at_once = w.start("--connect", CONNECT, "--relay", RELAY, "--token-file", w.files["TOKEN"])
        w.proxied = w.start("--app", APP, "--connect", CONNECT, "--proxy", "http://proxy.example:3128", "--dns", DNS)
        stack.enter_context(contextlib.closing(udp_box(late_s=0.8)(LATE)))
        w.late = w.start("--relay", LATE, *USER)
        w.named_service = w.start("--connect", "connect.example", "--dns", DNS, "--token-file", w.files["TOKEN"])
        w.several = w.start("--relay", "several.example", "--dns", DNS)
        w.both = w.start_both(RELAY, "TOKEN", "BRIDGE")
        w.nats = {name: Run(getattr(w.net, name), "--relay", TWIN, quick=False) for name in NATS}
        w.nats["none"] = w.start("--relay", TWIN, *USER)
        for at, (other, answers) in LIARS.items():
            stack.enter_context(contextlib.closing(liar(at, (other, 3479), answers)))
        w.liars = [w.start("--relay", at) for at in LIARS]
        w.put_in_the_way()
        straight = f"ip saddr {{ {HOME_STRAIGHT}, {OFFICE_STRAIGHT} }} ip daddr {{ {HOME_STRAIGHT}, {OFFICE_STRAIGHT} }} udp dport 1024-65535 accept"
        w.net.fw.run(["nft", f"add rule ip probe straight {straight}"])
        sip = next(f for f in FAULTS if f.number == 3 and f.code == "open_too_wide")
        rules = w.directory.file("rules", "3 out browser connect tcp/443 websocket\n6 out browser connect tcp/5060 http\n")
        w.named = w.start("--connect", w.at[sip], "--rules", rules, "--only", "3")
        w.inside = w.start("--connect", w.at[sip], role="server")
        rules = w.directory.file("own_host", f"3 out browser {CONNECT} tcp/443 websocket\n5 out browser relay udp/3478 turn\n")
        w.unshown = w.start("--relay", RELAY, "--rules", rules, "--token", w.ended.strip())
        w.straight = w.start_both(STRAIGHT, "STRAIGHT", "STRAIGHT_BRIDGE")
        for f in FAULTS:
            f.first = w.start_fault(f)
        yield w


faults.seconds = 3 * SECONDS  # most of a hundred programs are started


@faults.case("the five rules hold: those of the browser, with a relay-relay pair", seconds=SECONDS)
def _(w):
    report = w.good["browser"].wait()
    equal([(r["number"], r["verdict"], r["code"]) for r in report["rules"]], [(2, "PASS", None), (3, "PASS", None), (5, "PASS", None)], "what it says")
    equal(w.good["browser"].process.returncode, 0, "its status")
    m = report["rules"][2]["measures"]
    equal((m["stream"]["sent"], m["mtu"], m["nat"], m["nat_filter"]), (300, 1500, "none", None), "what was measured")
    within(m["stream"]["received"], 297, 300, "how many packets were received")
    check(m["mapped"].startswith(f"{HOME}:") and m["relayed"].startswith(f"{RELAY}:") and m["stream"]["rtt_ms"] > 0, f"the measures are {m}")


@faults.case("the five rules hold: those of the UC server")
def _(w):
    report = w.good["server"].wait()
    equal([(r["number"], r["verdict"], r["stage"]) for r in report["rules"]], [(1, "PASS", "auth"), (4, "PASS", "quality")], "what it says")


@faults.case("a token signs in, the WebSocket is held while it is idle, and what the service hands out is good for the relay")
def _(w):
    r = w.signed_in.rule(3)
    equal((r["verdict"], r["measures"]["idle_s"]), ("PASS", 3), f"what it says ({r['evidence']})")
    equal([x["verdict"] for x in w.signed_in.wait()["rules"]], ["SKIP", "PASS", "PASS"], f"the verdicts, one of a rule without a host ({w.signed_in.rule(5)['evidence']})")
    check(w.signed_in.rule(5)["measures"]["udp_idle_s"] == 3, f"the relay's rule: {w.signed_in.rule(5)['evidence']}")
    equal(w.at_once.rule(5)["verdict"], "PASS", f"the relay's rule, without a time to be idle ({w.at_once.rule(5)['evidence']})")


@faults.case("a token is shown to no relay where a rule leads to the connect service, whatever host that is")
def _(w):
    equal(w.unshown.rule(3)["code"], "token_refused", f"what the service has made of it ({w.unshown.rule(3)['evidence']})")
    r = w.unshown.rule(5)
    equal((r["verdict"], r["measures"]["relayed"]), ("PASS", None), f"the relay's rule ({r['evidence']})")
    check("relaying not tried: the connect service has handed out no credentials" in r["evidence"], f"the evidence is {r['evidence']!r}")


@faults.case("the name server that is named is asked for the sign-in, too")
def _(w):
    r = w.named_service.rule(3)
    equal((r["verdict"], r["stage"]), ("PASS", "auth"), f"what it says ({r['evidence']})")


@faults.case("SIGINT in the middle gives back what the relay has given")
def _(w):
    def held():
        return len(json.loads(w.net.far.run([CTL, "--config", w.daemon.config_path, "allocations", "--json", "--user", w.ended.split(":")[0]])))

    run = w.start("--relay", RELAY, "--token", w.ended.strip(), quick=False)
    tap.wait_until(lambda: held() == 2, "both ends' allocations")
    run.process.send_signal(signal.SIGINT)
    out, err = run.process.communicate(timeout=SECONDS)
    check(run.process.returncode == 3 and not out and "ended by a signal" in err, f"it ended with {run.process.returncode}, and said {out}{err}")
    tap.wait_until(lambda: held() == 0, "the end of the allocations")


@faults.case("a proxy that opens the way is no fault")
def _(w):
    equal([r["verdict"] for r in w.proxied.wait()["rules"]], ["PASS", "PASS", "SKIP"], f"the verdicts ({w.proxied.rule(2)['evidence']})")


@faults.case("a way that takes most of a second is no loss, and passes large packets")
def _(w):
    r = w.late.rule(5)
    equal((r["verdict"], r["code"], r["measures"]["mtu"]), ("PASS", None, 1500), f"what it says ({r['evidence']})")
    check(r["measures"]["stream"]["rtt_ms"] >= 800, f"the delay is {r['measures']['stream']['rtt_ms']}")


@faults.case("of several addresses one is tried that this host has a way to, and that it is one of several is said")
def _(w):
    r = w.several.rule(5)
    equal((r["verdict"], r["address"]), ("PASS", f"{RELAY}:3478"), f"what it says ({r['evidence']})")
    check(f"{RELAY}, one of 2 addresses" in r["evidence"], f"the evidence is {r['evidence']!r}")


@faults.case("two probes meet at the connect service, and measure the way between them, both ways")
def _(w):
    for role, number in (("browser", 5), ("server", 4)):
        r = w.both[role].rule(number)
        equal((r["verdict"], r["stage"]), ("PASS", "quality"), f"what the {role}'s says ({r['evidence']})")
        check(re.search("to the other end loss [01]\\.[0-9] %, from it [01]\\.[0-9] %", r["evidence"]), f"what the {role}'s has measured: {r['evidence']}")
        equal(r["measures"]["stream"]["sent"], 300, "the packets of both")
        check(0 < r["measures"]["stream"]["rtt_ms"] < 1000, f"the delay is {r['measures']['stream']['rtt_ms']}")


for kind, expected in {**NATS, "none": ("none", ANSWERS, "no NAT (lets in answers only)")}.items():

    @faults.case(f"what the NAT does, and its filter: {kind}")
    def _(w, kind=kind, expected=expected):
        r = w.nats[kind].rule(5)
        equal((r["verdict"], r["measures"]["nat"], r["measures"]["nat_filter"]), ("PASS", *expected[:2]), f"what it says ({r['evidence']})")
        check(expected[2] in r["evidence"] and ("NAT" in r["evidence"]) == bool(expected[2]), f"the evidence is {r['evidence']!r}")


@faults.case("a relay that tells its own address as the other one, or answers from where it should not, is not believed")
def _(w):
    for run in w.liars:
        r = run.rule(5)
        equal((r["verdict"], r["measures"]["nat"], r["measures"]["nat_filter"]), ("PASS", "none", None), f"what it says ({r['evidence']})")


ENDS = {"browser": (5, HOME_STRAIGHT, OFFICE_STRAIGHT), "server": (4, OFFICE_STRAIGHT, HOME_STRAIGHT)}  # who hears whom


@faults.case("open_too_wide, UDP straight from end to end: exactly this, at each end for the relay's rule alone", seconds=SECONDS)
def _(w):
    for role, (number, own, other) in ENDS.items():
        r = w.straight[role].rule(number)
        equal((r["verdict"], r["code"], r["stage"]), ("WARN", "open_too_wide", "quality"), f"what the {role}'s says ({r['evidence']})")
        check(re.search(f"straight from {other}:[0-9]+ to {own}:[0-9]+ here", r["evidence"]), f"the {role}'s evidence is {r['evidence']!r}")
        equal([x["verdict"] for x in w.straight[role].wait()["rules"] if x["number"] != number], ["SKIP", "PASS"] if role == "browser" else ["PASS"], "the others")
    w.closed()  # goes on beside the cases that follow


for fault in FAULTS:

    @faults.case(f"{fault.code}{', ' + fault.title if fault.title else ''}: exactly this, for rule {fault.number} alone", seconds=SECONDS)
    def _(w, f=fault):
        r = f.first.rule(f.number)
        equal((r["verdict"], r["code"], r["stage"]), (f.verdict, f.code, f.stage), f"what it says ({r['evidence']})")
        check(f.says in r["evidence"], f"the evidence is {r['evidence']!r}")
        others = {x["number"]: x["verdict"] for x in f.first.wait()["rules"] if x["number"] != f.number}
        equal(others, f.others(), f"the other rules ({f.first.wait()['rules']})")
        equal(f.first.process.returncode, 2 if f.verdict == "FAIL" else 0, "its status")
        equal(r["add"] is not None, f.cured, "whether a line is suggested")
        check(r["verdict"] != "FAIL" or r["stage"] not in ("name", "reach") or not r["measures"]["connect_ms"], f"what was not reached took {r['measures']['connect_ms']} ms")


@faults.case("each code has such a fault")
def _(_w):
    with open(os.path.join(admin.SRCDIR, "probe", "codes.c"), encoding="utf-8") as f:
        codes = set(re.findall(r'\[CODE_\w+\] = \{"(\w+)"', f.read()))
    equal(codes - {f.code for f in FAULTS}, {"internal"}, "the codes without one")  # that one is of no firewall


def ended(w, *words, env=None, before=()):
    """Status, standard output and error."""
    with w.net.home.popen([*before, PROBE, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=daemon.clean_environment(env)) as p:
        out, err = p.communicate(timeout=SECONDS)
    daemon.check_log(err)
    return p.returncode, out, err


@faults.case("internal: exactly this, for the one rule that gets no socket", seconds=SECONDS)
def _(w):
    words = ["--role", "server", "--quick", "--relay", RELAY, "--connect", CONNECT, "--ca", w.ca, "-o", "json"]
    for limit in range(8, 64):  # from where it can't begin up to where all rules hold
        status, out, err = ended(w, *words, before=["prlimit", f"--nofile={limit}"])
        rules = json.loads(out)["rules"] if out.startswith("{") else []
        if [r["verdict"] for r in rules] == ["PASS", "FAIL"]:
            equal((status, rules[1]["code"], rules[1]["add"]), (2, "internal", None), f"what it says ({rules[1]['evidence']}{err})")
            return
    check(False, f"no number of descriptors is enough for one rule alone; the last run ended with {status}, and said {out}{err}")


@faults.case("every reason has a case here")
def _(_):
    with open(os.path.join(admin.SRCDIR, "docs", "probe-report.schema.json"), encoding="utf-8") as f:
        reasons = set(json.load(f)["$defs"]["code"]["enum"])
    equal(reasons - {f.code for f in FAULTS}, {None, "internal"}, "the reasons without a fault that yields them")


@faults.case("SIP that a rule names is no warning, and neither is what answers the UC server", seconds=SECONDS)
def _(w):
    for probe, number in ((w.named, 3), (w.inside, 1)):
        r = probe.rule(number)
        equal((r["verdict"], r["code"]), ("PASS", None), f"rule {number} ({r['evidence']})")


@faults.case("--strict makes a warning status 1, and --only leaves the other rules out")
def _(w):
    words = ["--role", "browser", "--quick", "--relay", "private.example", "--dns", DNS, "--connect", NOWHERE, "--only", "5"]
    status, out, err = ended(w, *words, "--strict")
    check(status == 1 and out.startswith("WARN    5  browser -> relay udp/3478"), f"it ended with {status}, and said {out}{err}")
    equal(ended(w, *words)[0], 0, "the status without it")


@faults.case("the table has the evidence, the reason and the line to add")
def _(w):
    status, out, _ = ended(w, "--role", "browser", "--quick", "--connect", w.at[FAULTS[0]], "--relay", NOWHERE)
    check(status == 2 and "net_unreachable" in out and "cure: " in out, f"it ended with {status}, and said {out}")
    for f in FAULTS:
        if f.code == "icmp_port_unreachable" and f.number == 3:
            _, out, _ = ended(w, "--role", "browser", "--connect", w.at[f], "--quick")
            check(f"reach: {f.code}: " in out and f"add: allow out tcp browser -> {w.at[f]}:443" in out, f"it said {out}")
    _, out, _ = ended(w, "--role", "browser", "--relay", HOME, "--quick")
    check("reach: icmp_port_unreachable: " in out, f"where nothing listens on this very host it said {out}")


@faults.case("what can't be is refused with status 3, and what is expected")
def _(w):
    usual = ["--role", "browser", "--relay", RELAY]
    for words, says in (
        ([], "--role"),
        (["--role", "browser"], "--relay, --connect or --app"),
        (["--role", "home", "--relay", RELAY], "--role can't be read"),
        (["--role", "server", "--app", APP], "no rule could be tried"),
        ([*usual, "--user", "alice"], "the password of --user"),
        ([*usual, "--both"], "--both needs"),
        ([*usual, "--only", "4"], "no such rule"),
        ([*usual, "--only", "x"], "--only can't be read"),
        ([*usual, "--relay", "a/b"], "--relay can't be read"),
        ([*usual, "--relay", "a\x1b[2J"], "--relay can't be read"),
        ([*usual, "--relay", f"{RELAY}:0"], "--relay can't be read"),
        ([*usual, "--relay", f"{RELAY}:65536"], "--relay can't be read"),
        ([*usual, "--relay", "203.000.113.010"], "--relay can't be read"),
        ([*usual, "--generate", "text", "--side", "office", "--only", "4"], "--only tries one rule"),
        ([*usual, "--token", "x"], "NAME:PASSWORD"),
        ([*usual, "--ca", "/nonexistent"], "authorities"),
        ([*usual, "--dns", "x y"], "name server"),
        ([*usual, "--proxy", "socks://x"], "proxy"),
        ([*usual, "--rules", "/nonexistent"], "cannot be read"),
        ([*usual, "more"], "an argument that is no option"),
    ):
        status, out, err = ended(w, *words)
        check(status == 3 and says in err, f"{words}: it ended with {status}, and said {out}{err}")


@faults.case("each suggested line, applied, makes its rule hold, and so does closing what is open too wide", seconds=SECONDS)
def _(w):
    cured = [f for f in FAULTS if f.cured or f.wide]
    w.apply([f.first.rule(f.number)["add"] for f in cured if f.cured])
    for f in cured:
        f.first.wait()
    w.net.fw.run(["nft", "flush chain ip probe too_wide"])
    for f in cured:
        f.again = w.start_fault(f)
    for role, (number, *_) in ENDS.items():
        r = w.closed()[role].rule(number)
        equal((r["verdict"], r["code"]), ("PASS", None), f"the {role}'s, with nothing straight to the other end ({r['evidence']})")
    for f in cured:
        r = f.again.rule(f.number)
        equal((r["verdict"], r["code"]), ("PASS", None), f"rule {f.number} without {f.code} ({r['evidence']})")


@faults.case("5 % loss is measured as 5 % +- 1")
def _(w):
    r = next(f for f in FAULTS if f.code == "loss_high").first.rule(5)
    within(r["measures"]["stream"]["loss_percent"], LOSS - 1, LOSS + 1, "the loss")


@faults.case("--watch goes on: the table comes again when something has changed, and a signal ends it with the last status", seconds=SECONDS)
def _(w):
    words = ["--role", "browser", "--quick", "--app", APP, "--watch", "1"]
    with w.net.home.popen([PROBE, "--ca", w.ca, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as p:
        try:
            lines = iter(p.stdout.readline, "")
            check(any(line.startswith("PASS    2") for line in lines), "the first run says nothing of rule 2")
            syn = f"add rule ip probe faults ip daddr {APP} tcp dport 443 tcp flags syn / syn,ack"
            w.net.fw.run(["nft", "-f", "-"], f"{syn} counter\n")
            tap.wait_until(lambda: re.search(r"counter packets ([2-9]|\d\d)", w.net.fw.run(["nft", "list", "chain", "ip", "probe", "faults"])), "two more runs")
            w.net.fw.run(["nft", "-f", "-"], f"{syn} reject with tcp reset\n")
            said = []
            check(any(said.append(line) or line.startswith("FAIL    2") for line in lines), f"it does not tell of the change: {said}")
            check(not any(line.startswith("PASS") for line in said), f"it tells of what has not changed: {said}")
            check(any(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\n", line) for line in said), f"the time is not in {said}")
        finally:
            p.terminate()
        equal(p.wait(tap.PATIENCE_S), 2, "its status")
    equal(ended(w, *words, "-o", "junit")[0], 3, "the status with a document")


tap.main()
