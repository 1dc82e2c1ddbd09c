"""The whole picture on one machine: office, its PBX, its firewall, the internet with our one host, another firewall, a home.

    pbx ---- office ---- officefw ---- internet ---- homefw ---- home
    phone    bridge      rules 1, 4    turnpiked     2, 3, 5     browser

Each is a network namespace. Nobody has IPv6, nobody has names: what is reached is reached by its address. Between office and PBX nothing
is filtered. The firewalls (firewall.py) let pass the five rules and nothing else; the tests may open one, or take a rule away.
"""
import contextlib
import os
import subprocess

import devtools
import firewall
from desk import pin

from lib import net, tap

OFFICE, PBX, PHONE, TRUNK = "10.20.0.3", "10.20.0.2", "10.20.0.4", "10.20.0.5"
HOME = "192.168.178.20"
RELAY, CONNECT, APP, STRANGER = "11.0.0.1", "11.0.0.2", "11.0.0.3", "11.0.0.9"  # a public range: what is private is denied to relays
OFFICE_PUBLIC, HOME_PUBLIC, HOME_OTHER = "11.0.1.2", "11.0.2.2", "11.0.2.3"  # the last is not used before it is asked for
TURN_PORT, TLS_PORT = 3478, 443

RULES = {  # who begins, whom it reaches
    1: ("office", CONNECT, "tcp", TLS_PORT),
    2: ("home", APP, "tcp", TLS_PORT),
    3: ("home", CONNECT, "tcp", TLS_PORT),
    4: ("office", RELAY, "udp", TURN_PORT),
    5: ("home", RELAY, "udp", TURN_PORT),
}


def need_picture(*tools):
    net.need_namespaces()
    tap.need("nft", "openssl", *tools)  # the first for its library


def authority(directory):
    """A certificate for our host, and that of the authority that has signed it: paths of certificate, key, authority."""
    ca, ca_key, cert, key = (directory.file(n) for n in ("ca.pem", "ca.key", "host.pem", "host.key"))
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ",".join(f"IP:{ip}" for ip in (RELAY, CONNECT, APP))
    mine = ["-CA", ca, "-CAkey", ca_key, "-addext", f"subjectAltName={names}", "-addext", "basicConstraints=critical,CA:FALSE"]
    for words in (["-subj", "/CN=an authority", "-keyout", ca_key, "-out", ca], ["-subj", "/CN=our host", "-keyout", key, "-out", cert, *mine]):
        subprocess.run([*new, *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return cert, key, ca


class Picture(net.Net):
    def __init__(self):
        super().__init__("office", "pbx", "officefw", "internet", "homefw", "home")
        for ns in self.all:
            for which in ("all", "default"):
                with contextlib.suppress(OSError):  # a kernel without IPv6
                    ns.sysctl(f"net.ipv6.conf.{which}.disable_ipv6", 1)
        for ns in (self.officefw, self.internet, self.homefw):
            ns.sysctl("net.ipv4.ip_forward", 1)
        self._cable()
        of = {who: {n: tuple(rule) for n, (source, *rule) in RULES.items() if source == who} for who in ("office", "home")}
        self.office_firewall = firewall.Firewall(self.officefw, OFFICE, of["office"])
        self.home_firewall = firewall.Firewall(self.homefw, HOME, of["home"])
        self.host_firewall = firewall.HostFirewall(self.internet)

    def _cable(self):
        # The office's host has one address, though the PBX hangs on a cable of its own: a candidate less that leads nowhere.
        self.link(self.office, "eth0", [f"{OFFICE}/24"], self.officefw, firewall.LAN, ["10.20.0.1/24"])
        self.link(self.office, "eth1", [], self.pbx, "eth0", [f"{ip}/24" for ip in (PBX, PHONE, TRUNK)])
        self.link(self.officefw, firewall.WAN, [f"{OFFICE_PUBLIC}/24"], self.internet, "office0", ["11.0.1.1/24"])
        self.link(self.homefw, firewall.WAN, [f"{ip}/24" for ip in (HOME_PUBLIC, HOME_OTHER)], self.internet, "home0", ["11.0.2.1/24"])
        self.link(self.home, "eth0", [f"{HOME}/24"], self.homefw, firewall.LAN, ["192.168.178.1/24"])
        self.office.ip("route add default via 10.20.0.1", *[f"route add {ip}/32 dev eth1 src {OFFICE}" for ip in (PBX, PHONE, TRUNK)])
        self.officefw.ip("route add default via 11.0.1.1")
        self.homefw.ip("route add default via 11.0.2.1")
        self.home.ip("route add default via 192.168.178.1")
        self.internet.ip(*[f"addr add {ip}/32 dev lo" for ip in (RELAY, CONNECT, APP, STRANGER)])

    def __exit__(self, *args):
        for f in (*self.firewalls, self.host_firewall):
            f.close()
        super().__exit__(*args)

    @property
    def firewalls(self):
        return (self.office_firewall, self.home_firewall)

    def of_rule(self, number):
        """The firewall that has this rule."""
        return next(f for f in self.firewalls if number in f.rules)

    def restore(self):
        """The most restrictive case again."""
        for f in self.firewalls:
            f.restore()

    def nothing_else_passed(self):
        """Fails if a firewall has ever let through what is neither UDP 3478 nor TCP 443."""
        for name, f in zip(("office", "home"), self.firewalls):
            tap.equal(f.counts()["else"], 0, f"what else passed the firewall of the {name}")

    def page(self, cert, microphone=None, *arguments, ns=None):
        """A Chromium at home that trusts this certificate and hears `microphone`, a WAV file."""
        if microphone is not None:
            arguments = (*arguments, f"--use-file-for-fake-audio-capture={os.path.abspath(microphone)}")
        return devtools.Page(ns or self.home, pin(cert), *arguments)
