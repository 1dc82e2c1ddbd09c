#!/usr/bin/env python3
"""turnpike-probe in a browser's place, beside a browser there: whatever the firewall does, both say the same of each rule, and find the same candidates.

What the browser says is what the page /check finds, and what candidates it gathers itself, with the same credentials as the probe. What is
silent is silent for twelve seconds, so the topologies are asked in three places at once, each with a firewall, a relay and a browser of its own.
"""
import contextlib
import json
import os
import subprocess

import browser
import checkpage
import company
import picture
from picture import APP, CONNECT, HOME_OTHER, HOME_PUBLIC, RELAY

from lib import daemon, tap
from lib.tap import check, equal

PROBE = os.environ.get("TURNPIKE_PROBE", os.path.join(daemon.BUILDDIR, "turnpike-probe"))

picture.need_picture("nft")
daemon.need_daemon()
browser.need_chromium()
if not os.access(PROBE, os.X_OK):
    tap.skip_all(f"{PROBE} is not built")

RULES = (2, 3, 5)
TRIES = 3  # when a busy machine loses packets by itself

# What the probe says, and what a browser does, which is told less: whatever does not stand here is the same code.
ALIKE = {
    "icmp_admin_prohibited": "udp_timeout",  # a page hears of no ICMP
}

TOPOLOGIES = [  # the place; what is done to its firewall, codes of the rules that fail, and from where what passes is seen to come
    (0, "all five rules hold", lambda f: None, {}, HOME_PUBLIC),
    (1, "the NAT is symmetric, with another address", lambda f: f.translate(HOME_OTHER), {}, HOME_OTHER),
    (2, "UDP to the relay is refused with ICMP", lambda f: f.reject(5), {5: "icmp_admin_prohibited"}, None),
    (0, "UDP to the relay is dropped", lambda f: f.remove(5), {5: "udp_timeout"}, None),
    (1, "TCP to the connect service is dropped", lambda f: f.remove(3), {3: "tcp_timeout"}, HOME_PUBLIC),
]
PLACES = 3
SERVERS = [{"urls": f"stun:{RELAY}"}, {"urls": f"turn:{RELAY}?transport=udp", "username": daemon.USER, "credential": daemon.PASSWORD}]

# The addresses of the candidates that the browser has found up to now, by their type, and whether these are all: it gives silence up after 40 s only.
GATHER = """window.gathered = {found: {srflx: [], relay: []}, all: false};
{
  const c = new RTCPeerConnection({iceServers: %s});
  c.onicecandidate = ({candidate}) => {
    if (candidate === null) { gathered.all = true; c.close(); }
    else gathered.found[candidate.type]?.push(candidate.address);
  };
  c.createDataChannel("gathers");
  c.setLocalDescription();
} null"""


class Place(company.Host):
    """A home with a probe and a browser in it. What it is asked is begun as soon as what was asked before has come to its end."""

    def __init__(self, stack, number):
        super().__init__(stack)
        self.net.homefw.sysctl("net.ipv4.icmp_ratelimit", 0)  # both are to be told
        self.token = self.issue("phone", company.USER)
        self.page, self.chromium = None, self.net.page(self.cert)  # it begins beside the others
        stack.push(self.chromium)
        self.queue = [t for t in TOPOLOGIES if t[0] == number]
        self.begun, self.probe = None, None
        stack.callback(self.stop)

    def stop(self):
        if self.probe:
            self.probe.kill()
            self.probe.communicate()
            self.probe = None

    def begin(self, topology):
        """The firewall is changed, probe and browser are asked."""
        _, _, change, _, _ = topology
        self.stop()
        self.begun = None
        self.page = self.page or self.chromium.__enter__()
        self.net.restore()
        change(self.net.home_firewall)
        self.probe = self._start_probe()
        checkpage.begin(self.page, company.PAGE, self.token)
        self.page.evaluate(GATHER % json.dumps(SERVERS))
        self.begun = topology

    def _start_probe(self):
        words = ["--role", "browser", "--quick", "-o", "json", "--relay", RELAY, "--connect", CONNECT, "--app", APP, "--user", daemon.USER, "--ca", self.ca]
        env = daemon.clean_environment({"TURNPIKE_PROBE_PASSWORD": daemon.PASSWORD, "TURNPIKE_PROBE_TOKEN": ":".join(self.token)})
        return self.net.home.popen([PROBE, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)

    def ask(self, topology):
        """What the probe says, and what the browser does. The next topology is begun then, for the time in which this one is judged."""
        passes = topology[-1] is not None
        for _ in range(TRIES):
            if self.begun is not topology:
                self.begin(topology)
            browsers, probes = self._of_browser(passes), self._of_probe()
            self.begun = None
            if ("FAIL", "loss_high") not in (*probes[0].values(), *browsers[0].values()):
                break
        self.net.nothing_else_passed()
        later = self.queue[self.queue.index(topology) + 1 :]
        if later:
            self.begin(later[0])
        return probes, browsers

    def _of_probe(self):
        """What it says of each rule, (verdict, code), and addresses by the type of a candidate."""
        out, err = self.probe.communicate(timeout=6 * tap.PATIENCE_S)
        daemon.check_log(err)
        check(out.startswith("{"), f"the probe has ended with {self.probe.returncode}, and said: {out}{err}")
        self.probe = None
        rules = {r["number"]: r for r in json.loads(out)["rules"]}
        m = rules[5]["measures"]
        return {n: (r["verdict"], r["code"] or "") for n, r in rules.items()}, {"srflx": ip_of(m["mapped"]), "relay": ip_of(m["relayed"])}, rules

    def _of_browser(self, passes):
        """Likewise. What is silent is silent for as long as the page's own check takes, which is twelve seconds then."""
        says = checkpage.findings(self.page)
        if passes:
            self.page.wait("gathered.all", "the browser has all candidates", seconds=6 * tap.PATIENCE_S)
        found = self.page.evaluate("gathered.found")
        return {n: (verdict, code) for n, (verdict, code, _) in says.items()}, {kind: set(addresses) for kind, addresses in found.items()}, says


def ip_of(text):
    return {text.rsplit(":", 1)[0]} if text else set()


@tap.group
def probe_and_browser():
    with contextlib.ExitStack() as stack:
        yield [Place(stack, number) for number in range(PLACES)]


@probe_and_browser.case("in each place Chromium begins, and is asked for the first time", seconds=240)
def _(places):
    for place in places:
        place.begin(place.queue[0])


for asked in TOPOLOGIES:

    @probe_and_browser.case(f"{asked[1]}: the same verdicts, the same relayed and server-reflexive addresses", seconds=200)
    def _(places, asked=asked):
        number, _, _, fails, seen = asked
        (said, found, rules), (page_says, page_found, texts) = places[number].ask(asked)
        equal(said, {n: ("FAIL", fails[n]) if n in fails else ("PASS", "") for n in RULES}, f"what the probe says ({rules})")
        equal(page_says, {n: (verdict, ALIKE.get(code, code)) for n, (verdict, code) in said.items()}, f"what the page says ({texts})")
        equal(found, {"srflx": {seen} if seen else set(), "relay": {RELAY} if seen else set()}, "the addresses that the probe finds")
        equal(page_found, found, "the addresses that the browser finds")


tap.main()
