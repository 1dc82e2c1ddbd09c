#!/usr/bin/env python3
"""The page that checks a firewall, in Chromium: what it says of each rule, when all is well and when one thing is in the way."""
import contextlib
import os
import re

import browser
import checkpage
import phone
from phone import SERVER

from lib import admin, daemon, net, tap
from lib.tap import check, equal

net.need_namespaces()
daemon.need_daemon()
browser.need_chromium()

LOST_EVERY = 20  # packets, of which one is dropped
DEAD = 4443  # a port on which nothing listens; browsers refuse some others by themselves
SLOW_CLOCK = "const wait = setTimeout; window.setTimeout = (f, ms) => wait(f, Math.max(ms, 1000))"  # as a page has it that is not in front
NAMELESS = """window.RTCPeerConnection = class extends RTCPeerConnection {
  set onicecandidateerror(f) { f({ errorCode: 701, errorText: "TURN host lookup received error." }); }
}"""  # as Chromium says it of a name; without a name server it takes its time
SHUT = "window.WebSocket = class { constructor() { throw new DOMException('none from here', 'SecurityError'); } }"  # as a browser has it of ws: on a page by https:
FIREFOX = """window.RTCPeerConnection = class extends RTCPeerConnection {
  set onicecandidate(f) { super.onicecandidate = (e) => { if (!e.candidate) f({ candidate: { candidate: "" } }); f(e); }; }
}"""  # which tells the end twice
IMPATIENT = "const wait = setTimeout; window.setTimeout = (f, ms) => (ms < 10000 ? wait(f, ms) : 0)"  # the time for a pair never ends
VOICE_MIN = 200  # bytes of a datagram: those that are measured have more, what SCTP says of itself less


@tap.group
def checks():
    with phone.phone() as w:
        yield w


def begin(w, place="browser", token=None, before=None):
    token = token or w.service.token
    checkpage.begin(w.page, w.service.url, (token["username"], token["password"]), place, before)


def ask(w, *how, **kw):
    """The page's findings: {rule: (verdict, code, text)}."""
    begin(w, *how, **kw)
    return checkpage.findings(w.page)


def verdicts(findings):
    return {rule: (verdict, code) for rule, (verdict, code, _) in findings.items()}


@contextlib.contextmanager
def rule(w, text):
    """A rule of nft in the way of what reaches the relay's host."""
    w.net.srv.run(["nft", "-f", "-"], f"table ip way {{\n chain c {{\n  type filter hook input priority 0;\n  {text}\n }}\n}}\n")
    try:
        yield
    finally:
        w.net.srv.run(["nft", "delete", "table", "ip", "way"])


@checks.case("check: all is well: rules 2, 3 and 5 at home and 1 and 4 in the office pass, with figures of relay to relay", seconds=120)
def _(w):
    found = ask(w)
    equal(verdicts(found), {2: ("PASS", ""), 3: ("PASS", ""), 5: ("PASS", "")}, "what is found")
    check(re.search(r"relayed address 198\.51\.100\.1 .* relay to relay: \d+ ms there and back, jitter \d+ ms, lost [0-2]\.\d % and [0-2]\.\d %, reordered \d\b", found[5][2]), found[5][2])
    check(f"{SERVER} udp/{w.daemon.port()}" in found[5][2], found[5][2])
    w.page.wait_text("#pill", "All rules pass")
    found = ask(w, "office", before=SLOW_CLOCK)
    equal(verdicts(found), {1: ("PASS", ""), 4: ("PASS", "")}, f"what is found in the office, where the page is not in front: {found}")
    w.page.wait("document.activeElement.id === 'findings-title'", "the result has the focus")
    w.page.tab_to("#copy")
    kept = w.page.evaluate("[location.href, document.documentElement.outerHTML, JSON.stringify([{...localStorage}, {...sessionStorage}])].join()")
    check(w.service.token["password"] not in kept, f"the password is kept in {kept}")


@checks.case("check: rule 5: UDP is dropped: udp_timeout, that TCP passes, and the line to add; the relay's 401; no relay over UDP", seconds=120)
def _(w):
    port = w.daemon.port()
    w.service.ice["iceServers"] = [{**w.turn[0], "urls": [*w.turn[0]["urls"], f"turn:{SERVER}:{w.daemon.port('tcp')}?transport=tcp"]}]
    with rule(w, f"udp dport {port} drop"):
        found = ask(w)
    equal(verdicts(found), {2: ("PASS", ""), 3: ("PASS", ""), 5: ("FAIL", "udp_timeout")}, "what is found")
    for part in ("by TCP the relay answers: UDP is filtered", f"allow out udp browser -> {SERVER}:{port}"):
        check(part in found[5][2], f"{part!r} is not in {found[5][2]!r}")
    w.page.wait_text("#pill", "Rule 5 fails")
    for scheme in ("light", "dark"):
        w.page.media(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
        check(w.page.looks() > 10, "next to nothing is seen")
    w.service.fresh()
    w.service.ice["iceServers"] = [{**w.turn[0], "credential": "wrong"}]
    equal(verdicts(ask(w))[5], ("FAIL", "turn_401"), "with a wrong password")
    w.service.ice["iceServers"] = []
    equal(verdicts(ask(w))[5], ("SKIP", ""), "without a relay")
    w.page.wait_text("#pill", "Rule 5 was not tried")
    w.service.fresh()


@checks.case("check: a browser that has no WebRTC, an old one, one that does not tell why it finds nothing: the rule is not tried, and nothing passes for it; a relay without an address", seconds=120)
def _(w):
    w.service.ice["iceServers"] = [{**w.turn[0], "credential": "wrong"}]
    for what, says in (
        ("delete window.RTCPeerConnection", "no WebRTC"),
        ("window.RTCPeerConnection = class { constructor() { throw new Error('too old'); } }", "can't go on: too old"),
        ("window.RTCPeerConnection = class extends RTCPeerConnection { set onicecandidateerror(f) {} }", "does not tell why"),
    ):
        found = ask(w, before=what)
        equal(verdicts(found), {2: ("PASS", ""), 3: ("PASS", ""), 5: ("SKIP", "")}, f"what is found after {what}")
        check(says in found[5][2], f"{says!r} is not in {found[5][2]!r}")
        w.page.wait_text("#pill", "Rule 5 was not tried")
    equal(verdicts(ask(w, before=NAMELESS))[5], ("FAIL", "dns_failed"), "of a relay whose name has no address")
    found = ask(w, before=SHUT)
    equal(verdicts(found), {2: ("PASS", ""), 3: ("SKIP", ""), 5: ("SKIP", "")}, "what is found without a WebSocket")
    check("can't go on: none from here" in found[3][2], found[3][2])
    w.page.wait_text("#pill", "Rules 3 and 5 were not tried")
    w.service.fresh()


@checks.case("check: the pair: relay_pair_failed when only requests pass, loss_high when packets are dropped, turn_486_quota; a WebSocket that is cut meanwhile", seconds=120)
def _(w):
    with rule(w, f"udp dport {w.daemon.port()} udp length > {VOICE_MIN} numgen inc mod {LOST_EVERY} == 0 drop"):
        begin(w)
        w.page.wait_text("#rule-5", "relay to relay …")
        w.service.cut()
        found = checkpage.findings(w.page)
    equal(verdicts(found), {2: ("PASS", ""), 3: ("FAIL", "ws_idle_killed"), 5: ("FAIL", "loss_high")}, "what is found when packets are lost, and the WebSocket is")
    check(re.search(r"hello in \d+ ms, and cut after \d+\.\d s", found[3][2]), found[3][2])
    w.page.wait_text("#pill", "Rules 3 and 5 fail")
    lost = [float(x) for x in re.search(r"lost ([\d.]+) % and ([\d.]+) %", found[5][2]).groups()]
    check(4 <= sum(lost) <= 25, f"lost there and back: {lost} %, not 10 % together, or what that is where a busy machine sends several at once")
    with daemon.Daemon(w.net.srv, {"listening-port": 0, "user-quota": 1}) as d:
        other = {**w.turn[0], "urls": [f"turn:{SERVER}:{d.port()}?transport=udp"]}
        w.service.ice["iceServers"] = [*w.turn, {**other, "credential": "wrong"}]
        with rule(w, f"udp dport {w.daemon.port()} @th,64,16 {{ 0x0016, 0x4000-0x4fff }} drop"):  # Send indications and ChannelData
            equal(verdicts(ask(w))[5], ("FAIL", "relay_pair_failed"), "what is found when data does not pass, and another relay refuses")
        w.service.ice["iceServers"] = [other]
        equal(verdicts(ask(w, before=f"{FIREFOX}; {IMPATIENT}"))[5], ("FAIL", "turn_486_quota"), "what is found at once when a second allocation is one too many")
    w.service.fresh()


@checks.case("check: rule 3, or 1: a WebSocket that is refused where HTTPS is answered, silence, a port that refuses, a token that is none, a store that does not answer", seconds=120)
def _(w):
    s = w.service
    s.rude = True
    found = ask(w)
    equal(verdicts(found), {2: ("PASS", ""), 3: ("FAIL", "ws_upgrade_stripped"), 5: ("SKIP", "")}, "what is found")
    s.fresh()
    s.deaf = True
    equal(verdicts(ask(w))[3], ("FAIL", "ws_upgrade_stripped"), "of a WebSocket that gets no answer")
    s.fresh()
    usual = s.connect
    try:
        s.connect = f"ws://{SERVER}:{DEAD}/connect"
        found = ask(w, "office")
        equal(verdicts(found), {1: ("FAIL", "tcp_rst"), 4: ("SKIP", "")}, "of a port that refuses")
        check(f"allow out tcp office -> {SERVER}:{DEAD}" in found[1][2], found[1][2])
        with rule(w, f"tcp dport {DEAD} drop"):
            equal(verdicts(ask(w))[3], ("FAIL", "tcp_timeout"), "of a port that is silent")
    finally:
        s.connect = usual
    equal(verdicts(ask(w, token={"username": "tphone", "password": "wrong"}))[3], ("FAIL", "token_refused"), "of a wrong password")
    s.refusal = (-32003, "unavailable")
    equal(verdicts(ask(w)), {2: ("PASS", ""), 3: ("WARN", ""), 5: ("SKIP", "")}, "of a service whose store of tokens does not answer")
    w.page.wait_text("#pill", "Rule 5 was not tried")
    s.fresh()


@checks.case("check: rule 5 by STUN alone, without the service: silence is udp_timeout; no address that is not the computer's own says nothing", seconds=120)
def _(w):
    wrong = {"username": "tphone", "password": "wrong"}
    w.service.told = {"stun": f"stun:{SERVER}:{w.daemon.port()}"}
    found = ask(w, token=wrong)
    equal(verdicts(found)[5], ("SKIP", ""), "of a relay that answers, with no translation on the way")
    check("no credentials" in found[5][2] and SERVER in found[5][2], found[5][2])
    with rule(w, f"udp dport {w.daemon.port()} drop"):
        found = ask(w, token=wrong)
    equal(verdicts(found)[5], ("FAIL", "udp_timeout"), "of silence")
    check(f"allow out udp browser -> {SERVER}:{w.daemon.port()}" in found[5][2], found[5][2])
    w.service.fresh()


@checks.case("check: the codes are turnpike-probe's; what is found can be copied as text, and asked again", seconds=120)
def _(w):
    def source(name):
        with open(os.path.join(admin.SRCDIR, name), encoding="utf-8") as f:
            return f.read()

    known = set(re.findall(r'\[CODE_\w+\] = \{"(\w+)"', source("probe/codes.c")))
    ours = set(re.findall(r'(?:fail|warn)\("(\w+)"', source("connect/web/checks.js"))) | set(re.findall(r'\d: "(turn_\w+)"', source("connect/web/checks.js")))
    check(len(ours) > 7 and ours <= known, f"codes that the probe does not have: {ours - known}")
    cures = set(re.findall(r"^  (\w+): [\"`]", source("connect/web/check.js").split("const CURES")[1].split("};")[0], re.M))
    equal(cures, ours | {"turn_refused"}, "codes with a cure")
    ask(w, "office", {"username": "tphone", "password": "wrong"})
    text = w.page.evaluate("fetch('check').then((answer) => answer.text())")
    check(re.search(r'<button id="start"[^>]* disabled>', text), "the page can be asked before its script is there, or though it never comes")
    w.page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }; null")
    w.page.click("#copy")
    text = w.page.evaluate("window.copied")
    check(re.fullmatch(r"FAIL  1  office -> connect localhost tcp/\d+  token_refused: .*\nSKIP  4  office -> relay .*\n", text), text)
    w.page.click("#again")
    w.page.wait("document.activeElement.id === 'start'", "it can be asked again")
    w.page.open(w.service.url)
    w.page.wait("document.activeElement.id === 'username'", "the softphone asks who it is")
    w.page.click("#sign-in a")
    w.page.wait_text("h1", "Does the firewall let a call through?")


tap.main()
