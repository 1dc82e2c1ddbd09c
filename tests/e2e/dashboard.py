#!/usr/bin/env python3
"""The dashboard in Chromium, as people use it: every control, with real traffic, by mouse and by keyboard, on a wide and a narrow screen."""
import json

import browser
import devtools
from desk import Splice, desk

from lib import call, daemon, net, redis, tap
from lib.tap import check, equal

net.need_namespaces()
daemon.need_daemon()
browser.need_chromium()
tap.need("openssl", "redis-server")

S = net.Standard
VIEWS = ("overview", "allocations", "credentials", "peers", "firewall", "relay", "events")
HOSTILE = '<img src=x onerror="window.hit=1">'


@tap.group
def dashboard():
    with desk() as d:
        yield d


def row(table, text):
    """A selector of the row of a table in which this is read; the row is marked."""
    return f"""(() => {{
      document.querySelectorAll(".tested").forEach(r => r.classList.remove("tested"));
      const r = [...document.querySelectorAll("#{table} tbody tr")].find(r => r.innerText.includes({json.dumps(text)}));
      r?.classList.add("tested");
      return Boolean(r);
    }})()"""


def click_in_row(p, table, text, button):
    p.wait(row(table, text), f"a row with {text!r}")
    p.click(f"#{table} tr.tested button.{button}" if button else f"#{table} tr.tested button")


def confirm(p, words):
    """The question is asked; yes."""
    p.wait_text("#confirm", words)
    p.click("#confirm-yes")
    p.wait("!document.getElementById('confirm').open", "the dialog has closed")


@dashboard.case("S22 dashboard: who has no token is asked for one; a wrong one is told so; it is kept in the tab alone", seconds=120)
def _(d):
    p = d.page
    p.click("#sign-out")
    p.wait("!document.getElementById('sign-in').hidden && document.activeElement.name === 'token'", "the page asks who it is")
    check(p.evaluate("[...document.querySelectorAll('.view, nav')].every(e => e.hidden)"), "something is seen")
    for token in ("wrong", "expired"):
        p.fill("#sign-in input", d.plane.token[token])
        p.click("#sign-in button")
        detail = d.plane.tls(token).get("/api/v1/status", 401).detail
        p.wait_text("#sign-in .problem", detail)
        equal(p.evaluate("sessionStorage.length"), 0, "what is kept of a token that is no good")
    d.sign_in()
    equal(p.evaluate("[sessionStorage.length, localStorage.length, document.cookie]"), [1, 0, ""], "what is kept where")


@dashboard.case("dashboard: live traffic: rates, charts and the relay-relay share move while calls go on", seconds=120)
def _(d):
    p = d.page
    with call.Call(d.plane), Splice(d.plane):
        p.wait_text("#tile-allocations", "3")
        p.wait("/^[1-9][\\d.]* k?bit/.test(document.getElementById('tile-up').innerText)", "bits a second from clients")
        p.wait("/^[1-9][\\d.]* k?bit/.test(document.getElementById('tile-down').innerText)", "bits a second to clients")
        p.wait("/^[1-9]\\d* %/.test(document.getElementById('tile-splice').innerText)", "the share of relay to relay")
        share = int(p.text("#tile-splice").split()[0])
        check(30 < share <= 100, f"the relay-relay share is {share} %")
        p.wait("document.querySelector('#chart-traffic path.line.up')?.getAttribute('d').includes('L')", "a line of the chart")
        p.wait("/from clients [1-9].*bit/.test(document.getElementById('chart-traffic').getAttribute('aria-label'))", "the chart in words")
        p.wait("/active 3/.test(document.getElementById('chart-allocations').getAttribute('aria-label'))", "the chart in words")
    equal(p.text("#health-title"), "Ready", "the health")


@dashboard.case("dashboard: addresses to copy, and what this relay is", seconds=120)
def _(d):
    p = d.page
    status = d.answer("/status")
    equal(p.evaluate("[...document.querySelectorAll('#uris code')].map(c => c.innerText)"), status["urls"], "the addresses")
    p.click("#uris li:last-child button")
    p.wait_text("#toast", "copied")
    equal(p.evaluate("navigator.clipboard.readText()"), status["urls"][-1], "what was copied")
    p.click("#copy-uris")
    p.wait_text("#toast", "All addresses copied")
    equal(p.evaluate("navigator.clipboard.readText()"), "\n".join(status["urls"]), "what was copied")
    facts = p.text("#facts")
    for fact in (status["version"], status["node"], status["realm"], "user space", "embedded store", f"UDP {S.SERVER}:3478", S.RELAY):
        check(fact in facts, f"{fact} is not among the facts: {facts}")


@dashboard.case("dashboard: an allocation is found by its user, looked into, and disconnected after a question", seconds=120)
def _(d):
    p = d.page
    a, b = d.plane.client(0), d.plane.client(1, user=daemon.USER_2, password=daemon.PASSWORD_2)
    for c in (a, b):
        c.allocate()
    a.permit(S.PEER)
    a.bind(0x4005, (S.PEER_2, 4000))
    d.view("allocations")
    mine, other = [f"{c.address[0]}:{c.address[1]}" for c in (a, b)]
    p.wait(row("allocations-table", mine))
    p.wait(row("allocations-table", other))
    for field, value in (("user", daemon.USER), ("client", a.address[0]), ("peer", S.PEER_2)):
        p.fill(f"#allocations-filter [name={field}]", value)
        p.click("#allocations-filter button:not([type])")
        p.wait(f"{row('allocations-table', mine)} && !{row('allocations-table', other)}", f"found by {field}")
        p.click("#allocations-filter button[type=reset]")
        p.wait(row("allocations-table", other), "all are shown")
    p.choose("#allocations-filter select", "tcp")
    p.click("#allocations-filter button:not([type])")
    p.wait_text("#allocations-table", "Nobody has an allocation that fits.")
    p.fill("#allocations-filter [name=client]", "nonsense")
    p.click("#allocations-filter button:not([type])")
    p.wait_text("#allocations > .problem", "client")
    p.click("#allocations-filter button[type=reset]")
    click_in_row(p, "allocations-table", mine, "")
    for text in (mine, f"{a.relayed[0][0]}:{a.relayed[0][1]}", S.PEER, "0x4005", f"{S.PEER_2}:4000"):
        p.wait_text("#details", text)
    p.click("#details-close")
    click_in_row(p, "allocations-table", mine, "danger")
    p.click("#confirm-no")
    equal(len(d.answer("/allocations")["items"]), 2, "allocations after a no")
    click_in_row(p, "allocations-table", mine, "danger")
    confirm(p, mine)
    p.wait_text("#toast", "is disconnected")
    p.wait(f"!{row('allocations-table', mine)}", "its row is gone")
    equal(a.error(0x004), 437, "the error of a Refresh of what was disconnected")
    b.refresh(0)


def issue(d, owner, **fields):
    """By the dialog; (user name, password) as they are shown."""
    p = d.page
    p.click("#issue")
    p.wait("document.activeElement.name === 'owner'")
    p.type(owner)
    for name, value in fields.items():
        p.fill(f"#issue-form [name={name}]", value)
    p.click("#issue-form .main")
    p.wait("!document.getElementById('issued').hidden", "the credential is shown")
    return tuple(p.evaluate("[...document.querySelectorAll('#issued-values code')].slice(0, 2).map(c => c.innerText)"))


@dashboard.case("dashboard: a credential is issued, shown once, works, is measured, and is revoked: its call ends", seconds=120)
def _(d):
    p = d.page
    d.view("credentials")
    user, password = issue(d, "acme", label="desk 7", max_allocations="4", max_kbps="2000", max_mb="500", peers=f"{S.RELAY}\n11.0.0.0/24")
    p.click("#issued-values li:nth-child(2) button")
    p.wait_text("#toast", "Password copied")
    equal(p.evaluate("navigator.clipboard.readText()"), password, "what was copied")
    p.click("#issued-json")
    p.wait_text("#toast", "iceServers copied")
    ice = json.loads(p.evaluate("navigator.clipboard.readText()"))["iceServers"]
    equal((ice[-1]["username"], ice[-1]["credential"]), (user, password), "the credential of the iceServers")
    equal([u for s in ice for u in s["urls"]], d.answer("/status")["urls"], "their addresses")
    p.click("#issued-close")
    p.wait(f"!document.documentElement.outerHTML.includes({json.dumps(password)})", "the password is not in the page any more")
    token = d.answer(f"/tokens/{user}")
    equal([token[k] for k in ("owner", "label", "max_allocations", "max_bps", "max_bytes", "peers")],
          ["acme", "desk 7", 4, 2000000, 500000000, [S.RELAY, "11.0.0.0/24"]], "the token")
    equal(token["expires_at"] - token["issued_at"], 8 * 3600, "how long it is good")
    with Splice(d.plane, user, password) as s:
        p.fill("#tokens-filter [name=owner]", "acme")
        p.fill("#tokens-filter [name=label]", "desk 7")
        p.click("#tokens-filter button:not([type])")
        p.wait(row("tokens-table", user))
        check("4 allocations\n2.00 Mbit/s\n500 MB\npeers" in p.text("#tokens-table tr.tested"), f"the row says {p.text('#tokens-table tr.tested')}")
        click_in_row(p, "tokens-table", user, "")
        p.wait_text("#details", "From its clients")
        p.wait_text("#details", user)
        p.click("#details-close")
        click_in_row(p, "tokens-table", user, "danger")
        confirm(p, "acme, desk 7")
        p.wait(f"{row('tokens-table', user)} && document.querySelector('#tokens-table tr.tested').innerText.includes('revoked')")
        tap.wait_until(lambda: not d.answer(f"/allocations?user={user}")["items"], "the call has ended")
        s.cut = True
    check(p.evaluate("document.querySelector('#tokens-table tr.tested .danger').hidden"), "it can be revoked again")
    tap.wait_until(lambda: any(u["owner"] == "acme" for u in d.answer("/usage")["items"]), "what acme has used is written down")
    for by in ("day", "hour", "total"):
        p.choose("#usage-by", by)
        p.wait(f"{row('usage-table', 'acme')} && document.querySelector('#usage-table tr.tested').innerText.includes('the start') === {str(by == 'total').lower()}")
    p.click("#tokens-filter button[type=reset]")


@dashboard.case("dashboard: what is wrong in a new credential is said in the dialog, and nothing is issued; for ever is for ever", seconds=120)
def _(d):
    p = d.page
    d.view("credentials")
    before = len(d.answer("/tokens")["items"])
    p.click("#issue")
    p.type("acme")
    p.fill("#issue-form [name=peers]", "300.1.2.3")
    p.click("#issue-form .main")
    p.wait_text("#issue-form .problem", "300.1.2.3")
    p.click("#issue-cancel")
    equal(len(d.answer("/tokens")["items"]), before, "the number of tokens")
    p.click("#issue")
    p.type("acme")
    p.choose("#issue-form select", "")
    p.click("#issue-form .main")
    p.wait("!document.getElementById('issued').hidden")
    user = p.evaluate("document.querySelector('#issued-values code').innerText")
    p.key("Escape")
    p.wait("!document.getElementById('issue-dialog').open")
    equal(d.answer(f"/tokens/{user}")["expires_at"], None, "when it ends")


@dashboard.case("dashboard: the names of a user part are revoked", seconds=120)
def _(d):
    p = d.page
    d.view("credentials")
    p.fill("#revoke-user input", "mallory")
    p.click("#revoke-user button")
    confirm(p, "mallory")
    p.wait_text("#toast", "The names of mallory are revoked")
    d.view("events")
    p.wait_text("#events-list", "mallory is revoked")


@dashboard.case("S7 dashboard: names that hold markup are shown as they are", seconds=120)
def _(d):
    p = d.page
    d.view("credentials")
    issue(d, HOSTILE, label=HOSTILE)
    p.wait_text("#issued-title", HOSTILE)
    p.click("#issued-close")
    p.wait(row("tokens-table", HOSTILE))
    click_in_row(p, "tokens-table", HOSTILE, "danger")
    confirm(p, HOSTILE)
    p.wait_text("#toast", HOSTILE)
    equal(p.evaluate("[window.hit, document.querySelectorAll('img[src=x]').length]"), [None, 0], "what the markup did")


@dashboard.case("dashboard: an address is tested; stored entries are changed, and never over somebody else's change", seconds=120)
def _(d):
    p = d.page
    d.view("peers")
    for peer, verdict, state in (("10.1.2.3:5060/udp", "denied", "deny"), (f"{S.PEER}:4000/udp", "allowed", "allow")):
        p.fill("#peers-test input", peer)
        p.key("Enter")
        p.wait(f"document.getElementById('peers-verdict').dataset.state === '{state}'", verdict)
        p.wait_text("#peers-verdict", f"is {verdict} by ")
    p.fill("#peers-test input", "nonsense")
    p.click("#peers-test button")
    p.wait_text("#peers-test .problem", "an address is expected")
    p.fill("#peers-edit [name=allow]", "10.1.2.3:5060/udp")
    p.fill("#peers-edit [name=deny]", "9.9.9.0/24")
    p.click("#peers-edit .main")
    p.wait_text("#toast", "The stored entries are changed")
    p.wait(f"{row('peers-table', '9.9.9.0/24')} && document.querySelector('#peers-table tr.tested').innerText.includes('stored')")
    equal([d.answer("/peers")[k] for k in ("allow", "deny")], [["10.1.2.3:5060/udp"], ["9.9.9.0/24"]], "what is stored")
    p.fill("#peers-test input", "10.1.2.3:5060/udp")
    p.key("Enter")
    p.wait("document.getElementById('peers-verdict').dataset.state === 'allow'", "what is stored is in force")
    p.fill("#peers-edit [name=deny]", "300.0.0.0/8")
    p.click("#peers-edit .main")
    p.wait_text("#peers-edit .problem", "300.0.0.0/8")
    p.fill("#peers-edit [name=deny]", "8.8.8.0/24")
    equal(d.admin.call("PUT", "/api/v1/peers", {"allow": [], "deny": ["7.7.7.0/24"]}).status, 200, "somebody else's change")
    p.click("#peers-edit .main")
    p.wait_text("#peers-edit .problem", "Somebody else has changed the entries")
    p.click("#peers-edit button[type=reset]")
    p.wait("document.querySelector('#peers-edit [name=deny]').value === '7.7.7.0/24'", "theirs are shown")
    p.fill("#peers-edit [name=deny]", "")
    p.click("#peers-edit .main")
    p.wait(f"!{row('peers-table', '7.7.7.0/24')}", "nothing is stored any more")


@dashboard.case("F20 dashboard: draining, with a deadline, and its end; F17 a reload, and one with an error; the log level", seconds=120)
def _(d):
    p = d.page
    d.view("relay")
    p.wait(row("nodes-table", d.answer("/status")["node"]))
    p.choose("#log-level select", "debug")
    p.click("#log-level .main")
    p.wait_text("#toast", "The log level is debug")
    equal(d.answer("/status")["log_level"], "debug", "the log level")
    p.click("#reload .main")
    p.wait_text("#reload-result", "in force")
    d.plane.daemon.directory.file("turnpiked.conf", daemon.config_text({**d.plane.daemon.settings, "max-lifetim": 3}))
    p.click("#reload .main")
    p.wait_text("#reload .problem", "max-lifetim")
    d.plane.daemon.directory.file("turnpiked.conf", daemon.config_text(d.plane.daemon.settings))
    p.fill("#drain input", "5")
    p.click("#drain .main")
    confirm(p, "5 min")
    p.wait_text("#drain-state", "at most until")
    p.wait_text("#pill", "Draining")
    equal(d.plane.client(2).refuse_allocate(), 508, "the error of a new Allocate")
    p.click("#drain-end")
    confirm(p, "takes new clients again")
    p.wait_text("#drain-state", "This relay takes new clients")
    p.wait_text("#pill", "Ready")


@dashboard.case("dashboard: events come as they happen, by type; held and cleared; none is missed, none is asked for, while the page is hidden", seconds=120)
def _(d):
    p = d.page
    d.view("events")
    p.wait_text("#events-state", "Live")

    def allocate(i):
        c = d.plane.client(i)
        c.allocate()
        c.refresh(0)
        c.close()
        return f"{c.address[0]}:{c.address[1]}"

    first = allocate(10)
    p.wait(f"document.getElementById('events-list').innerText.split({json.dumps(first)}).length === 3", "it came and went")
    p.choose("#events-filter select", "admin")
    p.wait("![...document.querySelectorAll('#events-list li')].some(l => l.dataset.type !== 'admin')", "one type only")
    p.choose("#events-filter select", "")
    p.click("#events-hold")
    held = allocate(11)
    p.wait(f"document.getElementById('latest').textContent.split({json.dumps(held)}).length === 3", "it is known that it came and went")
    check(held not in p.text("#events-list"), "it is shown while the list is held")
    p.click("#events-hold")
    p.wait_text("#events-list", held)
    p.click("#events-clear")
    equal(p.text("#events-list"), "", "the list when it was cleared")

    p.evaluate("performance.clearResourceTimings(); new Promise(done => setTimeout(done, 0))")
    p.hide(True)
    before, missed = p.asked("/status"), [allocate(i) for i in (12, 13)]
    p.evaluate("new Promise(done => setTimeout(done, 2500))")  # more than the time between two questions
    check(p.asked("/status") <= before + 1, "it asks while it is hidden")  # one may have been on its way
    check(missed[0] not in p.text("#events-list"), "it listens while it is hidden")
    p.hide(False)
    for m in missed:
        p.wait(f"document.getElementById('events-list').innerText.split({json.dumps(m)}).length === 3", "each is there once")
    tap.wait_until(lambda: p.asked("/status") > before + 1, "it asks again")


@dashboard.case("dashboard: opened behind another tab it asks nothing, and all once it is seen", seconds=120)
def _(d):
    p = d.page
    d.view("relay")
    p.tab_to(".skip")
    p.key("Enter")
    p.wait("document.activeElement.id === 'content'")
    script = p.call("Page.addScriptToEvaluateOnNewDocument", source=devtools.HIDDEN % "true")["identifier"]
    url = p.evaluate("location.href")
    p.open("about:blank#away")
    p.open(url)
    p.call("Page.removeScriptToEvaluateOnNewDocument", identifier=script)
    equal((p.asked("/status"), p.text("#pill")), (0, "Connecting"), "what it has asked, and what it says")
    p.hide(False)
    p.wait("!document.getElementById('nav').hidden && !document.getElementById('relay').hidden", "the view that was seen last")


@dashboard.case("dashboard: what is answered late stands under no other name, in no dialog that was left; and nothing unknown is replaced", seconds=120)
def _(d):
    p = d.page
    d.sign_in()
    p.hold("/GET .*peers$/")
    d.view("peers")
    p.wait("held() > 0", "the stored entries are asked for")
    check(p.evaluate("[...document.getElementById('peers-edit').elements].every(e => e.disabled)"), "entries can be changed before they are known")
    p.evaluate("release()")
    p.wait("[...document.getElementById('peers-edit').elements].every(e => !e.disabled)", "they can be changed")
    p.click("#sign-out")
    p.wait("!document.getElementById('sign-in').hidden", "the page asks who it is")
    p.hold("/GET .*peers$/")
    p.click("#sign-in input")
    p.paste(d.plane.token["admin"])
    p.key("Enter")
    p.wait("held() === 1", "somebody is signed in")
    p.click("#peers-test input")
    p.evaluate("release()")
    equal(p.evaluate("document.activeElement.name"), "peer", "where the focus is, as the view has come late")
    first, second = [d.admin.call("POST", "/api/v1/tokens", {"owner": f"late {i}", "ttl": 600}).json["username"] for i in (1, 2)]
    d.view("credentials")
    p.hold(f"/GET .*{first}$/")
    click_in_row(p, "tokens-table", first, "")
    p.wait("held() === 1", "one usage is asked for")
    p.wait(row("tokens-table", second))
    p.evaluate("document.getElementById('details-close').click(); document.querySelector('#tokens-table tr.tested button').click()")  # before the end of the first is told
    p.wait_text("#details-body", second)
    p.evaluate("release()")
    check(first not in p.text("#details-body"), "it stands under another name")
    p.click("#details-close")
    p.hold("/POST .*tokens$/")
    p.click("#issue")
    p.wait("document.activeElement.name === 'owner'")
    p.type("left alone")
    p.click("#issue-form .main")
    p.wait("held() === 1", "it is asked for")
    p.click("#issue-cancel")
    p.evaluate("release()")
    p.wait_text("#toast", "A credential of left alone is issued, but not shown")
    p.wait(row("tokens-table", "left alone"))
    equal(p.evaluate("document.getElementById('issued-values').children.length"), 0, "what is kept in the dialog")
    p.hold("/DELETE/")
    click_in_row(p, "tokens-table", first, "danger")
    p.click("#confirm-yes")
    p.wait("held() === 1", "it is being revoked")
    p.key("Escape")
    p.wait("!document.getElementById('confirm').open", "the dialog is left")
    click_in_row(p, "tokens-table", second, "danger")
    p.evaluate("release()")
    p.wait(f"{row('tokens-table', first)} && document.querySelector('#tokens-table tr.tested').innerText.includes('revoked')")
    p.wait_text("#confirm", "late 2")
    confirm(p, "late 2")


@dashboard.case("S22 dashboard: the policy of content stops an inline script, an inline handler and an image from elsewhere", seconds=120)
def _(d):
    p = d.page
    blocked = p.evaluate("""new Promise(done => {
      const found = [];
      document.addEventListener("securitypolicyviolation", (e) => { found.push(e.effectiveDirective); if (found.length === 3) done(found.sort()); });
      const script = document.createElement("script");
      script.textContent = "window.hit = 1";
      const image = document.createElement("img");
      image.src = "https://192.0.2.1/x.png";
      const handler = document.createElement("p");
      handler.setAttribute("onclick", "window.hit = 1");
      document.body.append(script, image, handler);
      handler.click();
      setTimeout(() => done(found.sort()), 10000);
    })""")
    equal(blocked, ["img-src", "script-src-attr", "script-src-elem"], "what was stopped")
    equal(p.evaluate("window.hit"), None, "what the scripts did")
    tap.wait_until(lambda: len(p.complaints) >= 3, lambda: f"the console has all of it: {p.complaints}")  # and would fail any other case
    p.complaints.clear()
    d.sign_in()


@dashboard.case("S22 dashboard: what a role may not do is switched off, with the reason", seconds=120)
def _(d):
    p = d.page
    d.sign_in("read")
    for view, control in (("credentials", "#issue"), ("credentials", "#revoke-user button"), ("peers", "#peers-edit .main"), ("relay", "#drain .main"),
                          ("relay", "#log-level .main"), ("relay", "#reload .main")):
        d.view(view)
        p.wait(f"document.querySelector('{control}').disabled", f"{control} is off")
        check("role" in p.evaluate(f"document.querySelector('{control}').title"), f"{control} does not say why")
    p.wait_text("#drain .denied", "Needs a token with the role admin; yours has read.")
    d.view("peers")
    p.wait("!document.querySelector('#peers-test button').disabled")
    d.sign_in("credentials")
    d.view("credentials")
    p.wait("!document.getElementById('issue').disabled")
    issue(d, "globex")
    p.click("#issued-close")
    p.wait(row("tokens-table", "globex"))
    d.view("allocations")
    p.wait_text("#allocations > .problem", d.plane.tls("credentials").get("/api/v1/allocations", 403).detail)


@dashboard.case("S22 dashboard: a token that ends while the page is open: it asks again, and shows nothing", seconds=120)
def _(d):
    p = d.page
    d.plane.token["leaver"] = d.plane.tokens.add("leaver", "admin")
    tap.wait_until(lambda: d.plane.tls("leaver").call("GET", "/api/v1/status").status == 200, "the token is known")
    d.sign_in("leaver")
    p.hold("/GET .*(tokens|usage)[?]/")
    d.view("credentials")
    p.wait("held() === 2", "two things are asked for at once")
    p.click("#issue")
    d.plane.tokens.remove("leaver")
    tap.wait_until(lambda: d.plane.tls("leaver").call("GET", "/api/v1/status").status == 401, "the token is known no more")
    p.evaluate("release()")
    p.wait("!document.getElementById('sign-in').hidden && !document.querySelector('dialog[open]')", "the page asks who it is")
    check(p.text("#sign-in .problem"), "it does not say why")
    check(p.evaluate("[...document.querySelectorAll('.view, nav')].every(e => e.hidden)"), "something is seen")
    d.sign_in()


@dashboard.case("dashboard: by keyboard alone: sign in, issue a credential, revoke it; the focus is always seen", seconds=120)
def _(d):
    p = d.page
    p.click("#sign-out")
    p.wait("document.activeElement.name === 'token'")
    p.type(d.plane.token["admin"])
    p.key("Enter")
    p.wait("!document.getElementById('nav').hidden")
    p.evaluate("document.activeElement.blur()")
    p.tab_to(".skip")
    check(p.evaluate("document.querySelector('.skip').getBoundingClientRect().top >= 0"), "the skip link is not seen")
    p.key("Enter")
    p.wait("document.activeElement.id === 'content'")
    p.key("Tab", shift=True)
    p.tab_to("#copy-uris")
    p.evaluate("document.activeElement.blur()")
    p.tab_to('nav a[href="#credentials"]')
    p.key("Enter")
    p.wait("document.activeElement.id === 'content'")
    p.tab_to("#issue")
    p.key("Enter")
    p.wait("document.activeElement.name === 'owner'")
    p.type("by keys")
    p.tab_to("[name=label]")
    p.type("desk 9")
    p.tab_to("#issue-form .main")
    p.key("Space")
    p.wait("document.activeElement.id === 'issued-title'", "what is read out is the credential")
    p.tab_to("#issued-close")
    p.key("Enter")
    p.wait("document.activeElement.id === 'issue'", "the focus is back")
    p.wait(row("tokens-table", "by keys"))
    p.tab_to("tr.tested .danger")
    p.key("Enter")
    p.wait("document.activeElement.id === 'confirm-no'", "the focus is on what does no harm")
    p.key("Escape")
    p.wait("document.activeElement.matches('tr.tested .danger')", "the focus is back")
    p.key("Enter")
    p.wait("document.activeElement.id === 'confirm-no'")
    p.key("Tab", shift=True)
    p.key("Enter")
    p.wait(f"{row('tokens-table', 'by keys')} && document.querySelector('tr.tested').innerText.includes('revoked')")


@dashboard.case("dashboard: 360 and 1440 pixels, light and dark: nothing is too wide, every text has a contrast of 4.5 at least", seconds=120)
def _(d):
    p = d.page
    with call.Call(d.plane), Splice(d.plane):
        for view in VIEWS:
            d.view(view)
            if view == "firewall":
                p.wait("document.getElementById('firewall-away').checkVisibility()", "it says that there is no connect service")
            if view != "overview":
                p.wait(f"!document.querySelector('#{view} table')?.hidden || document.querySelector('#events-list li')", "something is shown")
            for width, height in ((1440, 900), (360, 740)):
                p.viewport(width, height)
                for scheme in ("light", "dark"):
                    p.media(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
                    check(p.looks() > 15, "next to nothing is seen")
            p.viewport(1440, 900)
        d.view("credentials")
        issue(d, "acme", label="to be looked at")
        p.looks()
        p.click("#issued-close")
        for opener in ("#issue", "#tokens-table button.danger:not([hidden])", "#tokens-table button"):
            p.click(opener)
            for width in (1440, 360):
                p.viewport(width, 740)
                for scheme in ("light", "dark"):
                    p.media(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
                    p.looks()
            p.viewport(1440, 900)
            p.key("Escape")


@dashboard.case("dashboard: a relay that does not answer any more is told of, and what it said last stays", seconds=120)
def _(d):
    p = d.page
    d.view("overview")
    d.plane.daemon.stop()
    p.wait_text("#pill", "No answer")
    p.wait_text("#health", "cannot be reached")
    p.looks()


@tap.group
def with_redis():
    server = []

    def before(n, stack):
        server.append(stack.enter_context(redis.Server(n.srv)))

    with desk({"redis": "redis://127.0.0.1:6379"}, before) as d:
        d.redis = server[0]
        yield d


@with_redis.case("F2 dashboard: Redis goes: it says what that means, the call goes on; Redis is back: ready", seconds=120)
def _(d):
    p = d.page
    with call.Call(d.plane) as c:
        p.wait_text("#health-title", "Ready")
        d.redis.kill()
        p.wait_text("#health-title", "Not ready")
        p.wait_text("#health", "Redis: ")
        p.wait_text("#health", "Calls go on")
        p.wait_text("#pill", "Not ready")
        c.go_on()
        p.looks()
        d.redis.start()
        p.wait_text("#health-title", "Ready")


tap.main()
