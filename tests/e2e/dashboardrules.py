#!/usr/bin/env python3
"""The dashboard's page of firewall rules in Chromium, before a real relay at whose connect service a bridge is played."""
import json

import browser
import playedbridge
from desk import URL
from playedbridge import FORGOTTEN, REACHED, RELAYED, Bridge, filtered

from lib import daemon, net, tap
from lib.tap import check, equal

net.need_namespaces()
daemon.need_daemon()
browser.need_chromium()
tap.need("openssl")

HOSTILE = '<script>window.hit = 1</script><img src=x onerror="window.hit = 1">'
NO_STATUS = """const usual = fetch; window.mute = true;
window.fetch = (url, ...more) => (window.mute && url.endsWith("/status") ? Promise.reject(new TypeError("muted")) : usual(url, ...more));"""
ON, BUTTON = "headquarters", "#firewall-bridges .check button"


@tap.group
def rules():
    with playedbridge.at_desk() as d:
        yield d


def lamps(p, place="#firewall-bridges"):
    """What each light says: {rule: (verdict, word)}."""
    return {int(n): tuple(v) for n, v in p.evaluate(
        f"[...document.querySelectorAll('{place} .lights li')].map(l => [l.dataset.rule, [l.dataset.verdict, l.querySelector('.lamp').innerText]])")}


def state(p, text):
    p.wait_text("#firewall-bridges [role=status]", text)


def ask(p):
    """The page asks now, as when somebody comes to the view, and not in two seconds."""
    p.evaluate("window.dispatchEvent(new Event('hashchange'))")


def unchecked(p):
    ask(p)
    state(p, "Never checked")


def nobody(p):
    ask(p)
    p.wait("document.getElementById('firewall-none').checkVisibility()", "it says that there is no bridge")


def prove(d, bridge, *found):
    """A check from the button to the verdict."""
    d.page.click(BUTTON)
    bridge.asked()
    bridge.done(*found)


@rules.case("dashboard: rules: without a bridge it says so, with the cure; of one that comes nothing was checked yet; a browser's rules have the page's address", seconds=120)
def _(d):
    p = d.page
    p.wait_text("#overview-rules", "no bridge is connected")
    d.view("firewall")
    nobody(p)
    p.wait_text("#firewall-none", "turnpikectl bridge status")
    p.wait_text("#firewall-none", "--scope bridge")
    equal(lamps(p, "#firewall-at-users"), {n: ("SKIP", "seen there") for n in (2, 3, 5)}, "the lights of the user's place")
    equal(p.evaluate("document.querySelector('#firewall-page a').href"), playedbridge.PAGE, "where its page is")
    with Bridge(d, ON):
        unchecked(p)
        equal(lamps(p), {1: ("SKIP", "not tried"), 4: ("SKIP", "not tried")}, "the lights")
        check("udp/3478" in p.text("#firewall-bridges [data-rule='4']") and "tcp/443" in p.text("#firewall-bridges [data-rule='1']"), "it does not say where the rules lead")
        check(p.evaluate("document.getElementById('firewall-none').hidden"), "it says that there is no bridge")
    nobody(p)


@rules.case("dashboard: rules: checked by keyboard: its steps, the rule that fails and the line to copy; then a warning; then all pass; the focus stays; markup is text", seconds=120)
def _(d):
    p = d.page
    d.view("firewall")
    with Bridge(d, ON) as bridge:
        unchecked(p)
        p.choose("#firewall-bridges select", "1")
        p.tab_to(BUTTON)
        p.key("Enter")
        bridge.asked()
        check(bridge.quick, "it is not quick")
        state(p, "Checking")
        p.key("Enter")  # once is enough
        p.hold("/GET .*probes/")  # steps are told by events
        bridge.progress(1, 2)
        state(p, "1 of 2 rules")
        p.evaluate("release()")
        equal(p.evaluate("[(e => e.hidden ? null : e.value / e.max)(document.querySelector('#firewall-bridges progress')), document.activeElement.textContent.slice(0, 40)]"), [0.5, "Check now"], "the bar, and the focus")
        check(p.evaluate("document.querySelector('#firewall-bridges .problem').hidden"), "a second check was asked for")
        bridge.done(REACHED, filtered(HOSTILE))
        state(p, "Rule 4 does not hold. Checked")
        state(p, ", quick")
        equal(lamps(p), {1: ("PASS", "PASS"), 4: ("FAIL", "FAIL")}, "the lights")
        p.wait_text("#firewall-bridges [data-rule='4']", HOSTILE)
        p.wait_text("#firewall-bridges [data-rule='4']", "Open the rule in each firewall on the way.")
        equal(p.evaluate("[window.hit, document.querySelectorAll('img[src=x]').length]"), [None, 0], "what the markup did")
        p.tab_to("[data-rule='4'] .add button")
        p.key("Enter")
        p.wait_text("#toast", "copied")
        equal(p.evaluate("navigator.clipboard.readText()"), playedbridge.ADD, "what was copied")
        equal([x["state"] for x in d.answer("/probes")["items"]], ["done"], "the checks that there were")
        d.view("overview")
        p.wait_text("#overview-rules", "FAIL")
        p.wait_text("#overview-rules", ON)
        p.click("#overview-rules a")
        p.wait("!document.getElementById('firewall').hidden", "the view is seen, and has taken the focus")
        p.evaluate("document.querySelector('[data-rule=\"4\"] .add button').focus()")
        bridge.id = d.answer("/probes")["items"][0]["bridge"]
        equal(d.admin.call("POST", "/api/v1/probes", {"bridge": bridge.id}).status, 202, "somebody else's check")
        bridge.asked()
        bridge.done(REACHED, FORGOTTEN)
        state(p, "Rule 4 holds, with a warning")
        equal(lamps(p)[4], ("WARN", "WARN"), "the light")
        equal(p.evaluate("document.activeElement.textContent.slice(0, 40)"), f"{ON}, acme", "where the focus is, as the line is there no more")
        prove(d, bridge, REACHED, RELAYED)
        state(p, "The office's rules hold.")
        equal(lamps(p), {1: ("PASS", "PASS"), 4: ("PASS", "PASS")}, "the lights")
        d.view("events")
        p.choose("#events-filter select", "probe")
        p.wait_text("#events-list", "a check of the firewall says PASS")
        p.choose("#events-filter select", "")
        d.view("firewall")


@rules.case("dashboard: rules: a check that comes to no end says why, beside what was found before; a bridge that signs in anew has what it had proven; a refusal is told", seconds=120)
def _(d):
    p = d.page
    d.view("firewall")
    with Bridge(d, "branch") as bridge:
        unchecked(p)
        prove(d, bridge, REACHED, RELAYED)
        state(p, "hold")
        p.click(BUTTON)
        bridge.asked()
        bridge.fail("the probe has no descriptors left")
        state(p, "came to no end: the probe has no descriptors left")
        p.wait_text("#firewall-bridges .bridge", "Before: The office's rules hold.")
        equal(p.text("#firewall-bridges .title .lamp"), "WARN", "its light")
        p.hold("/POST .*probes$/")
        p.click(BUTTON)
        p.wait("held() === 1", "a check is asked for")
        equal(d.admin.call("POST", "/api/v1/probes", {"bridge": bridge.id}).status, 202, "somebody else's check")
        bridge.asked()
        p.evaluate("release()")
        p.wait_text("#firewall-bridges .problem", d.admin.call("POST", "/api/v1/probes", {"bridge": bridge.id}).detail)
    nobody(p)
    with Bridge(d, "branch") as bridge:
        ask(p)
        state(p, "came to no end: the bridge has gone")
        prove(d, bridge, REACHED)
        state(p, "The office's rules hold")
        equal(lamps(p)[4], ("SKIP", "not tried"), "the light of a rule that is not in the report")


@rules.case("dashboard: rules: a check ends before the relay has answered what it is: the page goes on, and shows it then", seconds=120)
def _(d):
    p = d.page
    with Bridge(d, "depot") as bridge:
        before = p.call("Page.addScriptToEvaluateOnNewDocument", source=NO_STATUS)["identifier"]
        p.open("about:blank#away")
        p.open(f"{URL}#firewall")
        p.call("Page.removeScriptToEvaluateOnNewDocument", identifier=before)
        p.wait("document.getElementById('events-state').textContent === 'Live'", "events are heard")
        equal(d.admin.call("POST", "/api/v1/probes", {"bridge": bridge.id}).status, 202, "somebody's check")
        bridge.asked()
        bridge.done(REACHED, RELAYED)
        p.wait("document.getElementById('latest').textContent.includes('says PASS')", "its end is heard")
        equal(p.complaints, [], "what the page complains of")
        p.evaluate("window.mute = false; null")
        ask(p)
        state(p, "The office's rules hold.")


@rules.case("S22 dashboard: rules: the role read sees what was found, and has no button; wide and narrow, light and dark", seconds=120)
def _(d):
    p = d.page
    d.view("firewall")
    with Bridge(d, "warehouse") as bridge:
        unchecked(p)
        prove(d, bridge, REACHED, filtered())
        state(p, "Rule 4 does not hold")
        for width in (1440, 360):
            p.viewport(width, 740)
            for scheme in ("light", "dark"):
                p.media(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
                check(p.looks() > 20, "next to nothing is seen")
        p.viewport(1440, 900)
        d.sign_in("read")
        d.view("firewall")
        state(p, "Rule 4 does not hold")
        p.wait_text("#firewall-denied", "role admin")
        check(p.evaluate(f"!document.querySelector({json.dumps(BUTTON)}).checkVisibility()"), "there is a button")
        d.sign_in("credentials")
        d.view("firewall")
        p.wait_text("#firewall > .problem", d.plane.tls("credentials").get("/api/v1/bridges", 403).detail)
        check(p.evaluate("document.getElementById('firewall-none').hidden"), "it says that there is no bridge")


tap.main()
