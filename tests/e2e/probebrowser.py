#!/usr/bin/env python3
"""turnpike-probe in a browser's place, beside a browser there: whatever the firewall does, both say the same of each rule, and find the same candidates.

What the browser says is what the page /check finds, and what candidates it gathers itself, with the same credentials as the probe.
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

TOPOLOGIES = [  # what is done to the firewall, codes of the rules that fail, and from where what passes is seen to come
    ("all five rules hold", lambda f: None, {}, HOME_PUBLIC),
    ("UDP to the relay is dropped", lambda f: f.remove(5), {5: "udp_timeout"}, None),
    ("TCP to the connect service is dropped", lambda f: f.remove(3), {3: "tcp_timeout"}, HOME_PUBLIC),
    ("UDP to the relay is refused with ICMP", lambda f: f.reject(5), {5: "icmp_admin_prohibited"}, None),
    ("the NAT is symmetric, with another address", lambda f: f.translate(HOME_OTHER), {}, HOME_OTHER),
]

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


@tap.group
def probe_and_browser():
    with contextlib.ExitStack() as stack:
        host = company.Host(stack)
        host.net.homefw.sysctl("net.ipv4.icmp_ratelimit", 0)  # both are to be told
        host.token = host.issue("phone", company.USER)
        host.page = stack.enter_context(host.net.page(host.cert))
        yield host


def start_probe(w):
    words = ["--role", "browser", "--quick", "-o", "json", "--relay", RELAY, "--connect", CONNECT, "--app", APP, "--user", daemon.USER, "--ca", w.ca]
    env = daemon.clean_environment({"TURNPIKE_PROBE_PASSWORD": daemon.PASSWORD, "TURNPIKE_PROBE_TOKEN": ":".join(w.token)})
    return w.net.home.popen([PROBE, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


def ip_of(text):
    return {text.rsplit(":", 1)[0]} if text else set()


def of_probe(process):
    """What it says of each rule, (verdict, code), and addresses by the type of a candidate."""
    out, err = process.communicate(timeout=6 * tap.PATIENCE_S)
    daemon.check_log(err)
    check(out.startswith("{"), f"the probe has ended with {process.returncode}, and said: {out}{err}")
    rules = {r["number"]: r for r in json.loads(out)["rules"]}
    m = rules[5]["measures"]
    return {n: (r["verdict"], r["code"] or "") for n, r in rules.items()}, {"srflx": ip_of(m["mapped"]), "relay": ip_of(m["relayed"])}, rules


def of_browser(page, passes):
    """Likewise. What is silent is silent for as long as the page's own check takes, which is twelve seconds then."""
    says = checkpage.findings(page)
    if passes:
        page.wait("gathered.all", "the browser has all candidates", seconds=6 * tap.PATIENCE_S)
    found = page.evaluate("gathered.found")
    return {n: (verdict, code) for n, (verdict, code, _) in says.items()}, {kind: set(addresses) for kind, addresses in found.items()}, says


def ask_both(w, passes):
    """Side by side, what the probe says and what the browser does."""
    servers = [{"urls": f"stun:{RELAY}"}, {"urls": f"turn:{RELAY}?transport=udp", "username": daemon.USER, "credential": daemon.PASSWORD}]
    for _ in range(TRIES):
        with start_probe(w) as process:
            try:
                checkpage.begin(w.page, company.PAGE, w.token)
                w.page.evaluate(GATHER % json.dumps(servers))
                browsers, probes = of_browser(w.page, passes), of_probe(process)
            except BaseException:
                process.kill()
                raise
        if ("FAIL", "loss_high") not in (*probes[0].values(), *browsers[0].values()):
            break
    return probes, browsers


for title, change, fails, seen in TOPOLOGIES:

    @probe_and_browser.case(f"{title}: the same verdicts, the same relayed and server-reflexive addresses", seconds=100)
    def _(w, change=change, fails=fails, seen=seen):
        w.net.restore()
        change(w.net.home_firewall)
        (said, found, rules), (page_says, page_found, texts) = ask_both(w, seen is not None)
        equal(said, {n: ("FAIL", fails[n]) if n in fails else ("PASS", "") for n in RULES}, f"what the probe says ({rules})")
        equal(page_says, {n: (verdict, ALIKE.get(code, code)) for n, (verdict, code) in said.items()}, f"what the page says ({texts})")
        equal(found, {"srflx": {seen} if seen else set(), "relay": {RELAY} if seen else set()}, "the addresses that the probe finds")
        equal(page_found, found, "the addresses that the browser finds")
        w.net.nothing_else_passed()


tap.main()
