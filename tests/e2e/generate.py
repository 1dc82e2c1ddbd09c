#!/usr/bin/env python3
"""turnpike-probe --generate: what it writes, loaded into the firewalls of the picture, is enough for a call, and nothing of it is too much."""
import contextlib
import json
import os
import re
import select
import shlex
import socket
import subprocess

import picture
import firewall
from picture import APP, CONNECT, HOME, OFFICE, RELAY, RULES, STRANGER

from lib import admin, daemon, stun, tap
from lib.tap import check, equal

picture.need_picture("iptables-restore", "ip6tables-restore", "nft")
daemon.need_daemon()

PROBE = os.environ.get("TURNPIKE_PROBE", os.path.join(daemon.BUILDDIR, "turnpike-probe"))
if not os.access(PROBE, os.X_OK):
    tap.skip_all(f"{PROBE} is not built")

HOSTS = ["--relay", RELAY, "--connect", CONNECT, "--app", APP]
SIDES = {"office": ("office", OFFICE, "server"), "home": ("browser", HOME, "browser")}  # whose place: side, host, role
PATIENCE_S = 60  # a run of the probe's, though nothing of it waits for long
ELSEWHERE = [(RELAY, "udp", 3479), (RELAY, "udp", 50000), (RELAY, "tcp", 3478), (CONNECT, "udp", 3478), (STRANGER, "tcp", 443), (STRANGER, "udp", 3478)]

# What of one port comes to a firewall, from each side, and what of that goes on: before and behind all that it may be told.
WATCH = """
table ip watch {
    counter out { }
    counter went { }
    counter back { }
    counter came { }
    chain first { type filter hook forward priority -300; }
    chain last { type filter hook forward priority 300; }
}
"""
OUT, BACK = ("out", "went"), ("back", "came")
REFUSE = "add rule inet turnpike forward reject with icmpx admin-prohibited\n"  # what no line lets pass: a probe hears of it, and need not wait


def generate(*words, hosts=HOSTS):
    p = subprocess.run([PROBE, "--generate", *words, *hosts], capture_output=True, text=True, timeout=tap.PATIENCE_S, check=False)
    equal((p.returncode, p.stderr), (0, ""), f"what generating {' '.join(words)} ends with")
    return p.stdout


@contextlib.contextmanager
def asking(ns, source, to, protocol, port, watch=lambda port: None):
    """Begins a connection, or sends a Binding request: a function that tells whether it was answered. `watch` hears its port before."""
    with ns.socket(socket.AF_INET, socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM) as s:
        s.setblocking(False)
        s.bind((source, 0))
        watch(s.getsockname()[1])
        s.connect_ex((to, port))
        if protocol == "udp":
            s.send(stun.encode(stun.BINDING, stun.REQUEST))
            yield lambda: bool(select.select([s], [], [], 0)[0])
        else:
            yield lambda: bool(select.select([], [s], [], 0)[1]) and s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


class Place:
    """Behind a firewall that has the generated rules."""

    def __init__(self, w, who, ns, fw):
        self.side, self.host, self.role = SIDES[who]
        self.who, self.ns, self.fw, self._w = who, ns, fw, w
        self.rules = [n for n, rule in RULES.items() if rule[0] == who]
        fw.nft.run("flush chain ip picture forward\nadd chain ip picture forward { policy accept; }\nflush chain ip picture here_out\n")
        fw.nft.run("add rule ip picture here_out icmp type destination-unreachable accept\n" + WATCH)
        fw.nft.ns.sysctl("net.ipv4.icmp_ratelimit", 0)
        self.text = generate("nftables", "--side", self.side, "--from", self.host)
        fw.nft.run(self.text)

    def _count(self, name):
        return json.loads(self.fw.nft.run(f"list counter ip watch {name}"))["nftables"][1]["counter"]["packets"]

    def _watch(self, port):
        """From now on these packets are counted and no others: what another connection's end still sends is not taken for this one's."""
        lines = []
        for chain, out, back in (("first", "out", "back"), ("last", "went", "came")):
            lines.append(f"flush chain ip watch {chain}")
            lines.append(f"add rule ip watch {chain} iifname {firewall.LAN} meta l4proto {{ tcp, udp }} th sport {port} counter name {out}")
            lines.append(f"add rule ip watch {chain} iifname {firewall.WAN} meta l4proto {{ tcp, udp }} th dport {port} counter name {back}")
        self.fw.nft.run("\n".join(lines))

    def passes(self, to, protocol, port, way=OUT):
        """Is (address, port) reached, and is what comes from there let in? The firewall tells what it has dropped of that way, so nobody waits for it."""
        before = []

        def watch(own):
            self._watch(own)
            before.extend(self._count(name) for name in way)

        def dropped():
            tried = self._count(way[0]) - before[0]  # first: what passes meanwhile is in the other one
            return tried > self._count(way[1]) - before[1]

        with asking(self.ns, self.host, to, protocol, port, watch) as answered:
            tap.wait_until(lambda: answered() or dropped(), f"{to}, {port}/{protocol} answers, or is dropped")
            return answered()

    def open_rules(self, way=OUT):
        return [n for n in self.rules if self.passes(*RULES[n][1:], way)]

    def probe(self, *words):
        command = [PROBE, "--role", self.role, *HOSTS, "--quick", "--ca", self._w.ca, "-o", "json", *words]
        return self.ns.popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


class World:
    def __init__(self, stack):
        self.directory = stack.enter_context(daemon.Directory())
        self.net = n = stack.enter_context(picture.Picture())
        cert, key, self.ca = picture.authority(self.directory)
        self.password = self.directory.file("password", daemon.PASSWORD + "\n")
        settings = {
            "listening-ip": RELAY, "listening-port": picture.TURN_PORT, "connect-listen": f"{CONNECT}:{picture.TLS_PORT}",
            "app-listen": f"{APP}:{picture.TLS_PORT}", "cert": cert, "pkey": key, "workers": 1,
        }  # fmt: skip
        stack.enter_context(daemon.Daemon(n.internet, settings))
        self.office = Place(self, "office", n.office, n.office_firewall)
        self.home = Place(self, "home", n.home, n.home_firewall)
        self.places = (self.office, self.home)

    def probes(self, *words):
        """Both ends at once: what they say of each rule."""
        runs = [p.probe(*words) for p in self.places]
        said = {}
        for run in runs:
            out, err = run.communicate(timeout=PATIENCE_S)
            daemon.check_log(err)
            check(out.startswith("{"), f"the probe ended with {run.returncode}: {out}{err}")
            said |= {r["number"]: r for r in json.loads(out)["rules"]}
        equal(sorted(said), sorted(RULES), "the rules that were tried")
        return said

    def prove(self):
        """As far as media from relayed address to relayed address."""
        for number, r in self.probes("--user", daemon.USER, "--password-file", self.password).items():
            check(r["verdict"] == "PASS", f"rule {number}: {r['verdict']} {r['code']} at {r['stage']}: {r['evidence']}")
            stream = r["measures"]["stream"] or {"received": 0}
            equal(stream["received"] > 0, r["destination"] == "relay", f"whether rule {number} has relayed a call's packets ({r['measures']})")


@tap.group
def generated():
    with contextlib.ExitStack() as stack:
        yield World(stack)


def without(text, part):
    """The text without the one line that has this part."""
    lines = text.splitlines(keepends=True)
    equal(sum(part in line for line in lines), 1, f"lines with '{part}'")
    return "".join(line for line in lines if part not in line)


def rule_lines(text):
    return re.findall(r'comment "(turnpike rule [0-9]+)"', text)


@generated.case("each side has its rules, a line each")
def _(w):
    equal(rule_lines(w.office.text), ["turnpike rule 1", "turnpike rule 4"], "the lines of the office's firewall")
    equal(rule_lines(w.home.text), ["turnpike rule 2", "turnpike rule 3", "turnpike rule 5"], "the lines of the browser's firewall")


for who in SIDES:

    @generated.case(f"{who}: any one line taken away, exactly its rule fails, and of all five the probes name that one")
    def _(w, who=who):
        place = getattr(w, who)
        equal(place.open_rules(), place.rules, "what passes with all lines")
        for number in place.rules:
            place.fw.nft.run(without(place.text, f'"turnpike rule {number}"'))
            equal(place.open_rules(), [n for n in place.rules if n != number], f"what passes without the line of rule {number}")
            place.fw.nft.run(REFUSE)
            said = {n: (r["verdict"], r["code"]) for n, r in w.probes().items()}
            equal(said, {n: ("FAIL", "icmp_admin_prohibited") if n == number else ("PASS", None) for n in RULES}, f"what the probes say without the line of rule {number}")
        place.fw.nft.run(without(place.text, "ct state established,related accept"))
        equal(place.open_rules(BACK), [], "what passes without the line that lets answers back")
        place.fw.nft.run(place.text)


@generated.case("nothing else passes: no other port, no other host, no other rule's destination")
def _(w):
    for place in w.places:
        mine = {RULES[n][1:] for n in place.rules}
        for address, protocol, port in {*ELSEWHERE, *(r[1:] for r in RULES.values())} - mine:
            check(not place.passes(address, protocol, port), f"the {place.who} reaches {address}, {port}/{protocol}")
    w.home.ns.ip("addr add 192.168.178.99/24 dev eth0")
    w.home.host = "192.168.178.99"
    equal(w.home.open_rules(), [], "what passes for another host than that of --from")
    w.home.host = HOME


@generated.case("loaded again, it stands there once")
def _(w):
    w.office.fw.nft.run(w.office.text)
    equal(len(rule_lines(w.office.fw.nft.ns.run(["nft", "list", "table", "inet", "turnpike"]))), 2, "the lines of rules that are in force")


@generated.case("iptables: the same rules pass, and any one line taken away fails exactly its rule")
def _(w):
    ns, nft = w.home.fw.nft.ns, w.home.fw.nft
    text = generate("iptables", "--side", "browser", "--from", HOME)
    nft.run("delete table inet turnpike")
    for number in (None, *w.home.rules):
        ns.run(["iptables-restore"], without(text, f'"turnpike rule {number}"') if number else text)
        equal(w.home.open_rules(), [n for n in w.home.rules if n != number], f"what passes without the line of rule {number}")
    nft.run("delete table ip filter\n" + w.home.text)


@generated.case("every side and place, with IPv4 and IPv6 in one file, is taken by the programs that it is for")
def _(w):
    nft = firewall.Nft(w.net.pbx)
    both = ["--relay", RELAY, "--connect", "2001:db8::2", "--app", "2001:db8::3"]
    for words in (["--side", "office"], ["--side", "browser", "--at", "host"], ["--side", "relay", "--peers-outside"]):
        nft.run(generate("nftables", *words, hosts=both))
        text = generate("iptables", *words, hosts=both)
        for program in ("iptables-restore", "ip6tables-restore"):
            w.net.pbx.run([program, "--test"], text)
    nft.close()


@generated.case("all of them at once, on both gateways, both hosts and the relay's own: every rule holds, media from relayed address to relayed address too")
def _(w):
    for place in w.places:
        nft = firewall.Nft(place.ns)
        nft.run(generate("nftables", "--side", place.side, "--at", "host"))
        nft.close()
        with place.ns.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            try:
                s.sendto(b"hello", (RELAY, 50000))
                raise tap.Failure(f"the host of the {place.who} sends elsewhere")
            except PermissionError:
                pass
    w.net.host_firewall.nft.run(generate("nftables", "--side", "relay"))
    w.prove()


@generated.case("the relay's own host: 3478 and 443 are open; relayed ports with --peers-outside alone")
def _(w):
    nft = w.net.host_firewall.nft
    for ns in (w.net.home, w.net.homefw):  # nothing on the way holds anything back
        ns.run(["nft", "-f", "-"], "table inet turnpike\ndelete table inet turnpike\n")
    nft.run(generate("nftables", "--side", "relay") + "add counter inet turnpike refused\nadd rule inet turnpike input counter name refused")
    with w.net.internet.socket(socket.AF_INET, socket.SOCK_DGRAM) as inside, w.net.home.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside:
        inside.bind((RELAY, 50000))
        outside.sendto(b"hello", (RELAY, 50000))
        tap.wait_until(lambda: nft.counters()["refused"] > 0, "the datagram is refused")
        check(not select.select([inside], [], [], 0)[0], "a datagram to a relayed port came in")
        nft.run(generate("nftables", "--side", "relay", "--peers-outside=50000-50010"))
        outside.sendto(b"again", (RELAY, 50000))
        tap.wait_until(lambda: select.select([inside], [], [], 0)[0], "a datagram to a relayed port comes in")
        equal(inside.recv(100), b"again", "what came in")
    for address, protocol, port in ((RELAY, "udp", 3478), (RELAY, "tcp", 3478), (CONNECT, "tcp", 443)):
        with asking(w.net.home, HOME, address, protocol, port) as answered:
            tap.wait_until(answered, f"{address}, {port}/{protocol} answers")


@generated.case("docs/firewall.md: each of its commands that generate is taken as it stands, and the table is what comes out")
def _(_world):
    with open(os.path.join(admin.SRCDIR, "docs", "firewall.md"), encoding="utf-8") as f:
        guide = f.read()
    written = {}
    for command in re.findall(r"^turnpike-probe (--generate .*)$", guide, re.M):
        p = subprocess.run([PROBE, *shlex.split(command)], capture_output=True, text=True, timeout=tap.PATIENCE_S, check=False)
        equal((p.returncode, p.stderr), (0, ""), f"what {command} ends with")
        written[command] = p.stdout
    check(len(written) > 5, f"commands in the guide: {list(written)}")
    table = next(iter(written.values())).partition("\n\n")[2]
    check(f"```\n{table}```\n" in guide, f"the guide's table is not:\n{table}")


@generated.case("what can't be used is refused in one line, with status 3")
def _(_world):
    for words, says in (
        (["--generate", "pf"], "--generate can't be read: pf"),
        (["--generate", "text"], "--generate needs --side office, browser or relay"),
        (["--generate", "text", "--side", "home"], "--side can't be read: home"),
        (["--generate", "text", "--side", "office", "--connect", CONNECT], "rule 4 is about the relay host: name it with --relay"),
        (["--generate", "text", "--side", "office", *HOSTS, "--from", "office"], "'office' is neither an IP address nor a network"),
        (["--generate", "text", "--side", "office", *HOSTS, "--peers-outside"], "--peers-outside is for --side relay"),
        (["--generate", "text", "--side", "relay", "--peers-outside=5-4"], "--peers-outside can't be read: 5-4"),
        (["--generate", "nftables", "--side", "office", *HOSTS, "--connect", "a;flush"], "--connect can't be read: a;flush"),
        (["--side", "office", "--role", "server", *HOSTS], "are for --generate"),
    ):
        p = subprocess.run([PROBE, *words], capture_output=True, text=True, timeout=tap.PATIENCE_S, check=False)
        equal((p.returncode, p.stdout, p.stderr.count("\n")), (3, "", 1), f"what {words} ends with, and says: {p.stderr}")
        check(says in p.stderr, f"{words} says {p.stderr!r}, not {says!r}")


tap.main()
