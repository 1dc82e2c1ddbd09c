"""The page that checks a firewall, before somebody who asks it."""
from lib import tap

FINDINGS = "[...document.querySelectorAll('#rules li')].map((li) => [li.id, li.dataset.verdict, li.dataset.code ?? '', li.innerText])"


def begin(page, url, token, place="browser", before=None):
    """The page at this address is asked; `token` is a name and a password. `before` is done in the page first."""
    if page.evaluate("location.protocol") != "about:":  # the page that is there would look as if it had come
        page.open("about:blank#away")
    page.open(url + "check")
    page.wait_text("#pill", "Ready")
    page.click(f"[name=place][value={place}]")
    page.fill("#username", token[0])
    page.fill("[name=password]", token[1])
    if before:
        page.evaluate(before + "; null")
    page.click("#start")


def findings(page):
    """What it has found in the end: {rule: (verdict, code, text)}."""
    page.wait("!document.getElementById('again').disabled", "the check comes to an end", seconds=4 * tap.PATIENCE_S)
    return {int(i.removeprefix("rule-")): (verdict, code, text) for i, verdict, code, text in page.evaluate(FINDINGS)}
