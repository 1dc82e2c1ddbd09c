"""A Chromium that a test uses as a person would: mouse, keys, eyes. It speaks the DevTools protocol over a pair of pipes."""
import base64
import contextlib
import fcntl
import json
import os
import queue
import threading
import time

from browser import Chromium

from lib import tap

SPARE_FD = 20  # where our ends are moved, so that they are never 3 or 4 themselves
KEYS = {"Tab": (9, None), "Enter": (13, "\r"), "Escape": (27, None), "Space": (32, " "), "ArrowDown": (40, None)}
SHIFT = 8
MOST_TABS = 80  # in all of a view: more than this is a trap
START_S = max(100.0, 3 * tap.PATIENCE_S)  # three seconds of CPU, for which it took 18 to 30 s beside thirty others
HERE = os.path.dirname(os.path.abspath(__file__))

# What an element says to a person: where its middle is, once it is in view, and what covers it there. Who aims at it is told by aimed.end()
# what became of the click; one that comes down beside it, because the page has moved meanwhile, clicks nothing.
PLACE = """(selector => {
  const e = document.querySelector(selector);
  if (!e) return {why: "is not there"};
  e.scrollIntoView({block: "center", inline: "center", behavior: "instant"});
  const r = e.getBoundingClientRect(), x = r.left + r.width / 2, y = r.top + r.height / 2;
  if (!r.width || !r.height) return {why: "is not seen"};
  if (e.disabled || e.ariaDisabled === "true") return {why: "is disabled"};
  if (e.ariaBusy === "true") return {why: "is busy"};
  const hit = document.elementFromPoint(x, y);
  if (!hit || !(e.contains(hit) || hit.contains(e))) return {why: "is covered by " + (hit ? hit.outerHTML.slice(0, 100) : "nothing")};
  const come = new Set(), kinds = ["pointerdown", "mousedown", "click"];
  const judge = event => {
    const fits = e.contains(event.target) || event.target === hit;
    come.add(fits ? event.type : "miss");
    if (fits) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  window.aimed?.end();
  for (const kind of kinds) window.addEventListener(kind, judge, true);
  window.aimed = {end() {
    for (const kind of kinds) window.removeEventListener(kind, judge, true);
    return come.has("click") && !come.has("miss");
  }};
  return {x, y};
})(%s)"""

# Tells the page that it is seen, or is not.
HIDDEN = 'Object.defineProperty(document, "hidden", {configurable: true, get: () => %s}); document.dispatchEvent(new Event("visibilitychange"))'

# What fits is sent when it is released, not before; releasing ends when it was answered, and the page has had time to take it.
HOLD = """(() => {
  const real = window.fetch, waiting = [], answers = [];
  const whole = async answer => new Response(answer.status === 204 ? null : await answer.arrayBuffer(), answer);
  window.fetch = (url, options) => {
    if (!%s.test(`${options?.method ?? "GET"} ${url}`)) return real(url, options);
    const answer = new Promise(go => waiting.push(go)).then(() => real(url, options)).then(whole);
    answers.push(answer);
    return answer;
  };
  window.held = () => waiting.length;
  window.release = async () => {
    window.fetch = real;
    waiting.forEach(go => go());
    await Promise.allSettled(answers);
    await new Promise(done => setTimeout(done, 100));
  };
})()"""


class Navigated(tap.Failure):
    """The page went while it was asked."""


class Page(Chromium):
    """One page. What it, or its policy of content, complains of is in `complaints`: leaving it with any of them is a failure."""

    def __init__(self, ns, *arguments):
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        theirs = [fcntl.fcntl(fd, fcntl.F_DUPFD, SPARE_FD) for fd in (to_read, to_write)]
        os.close(to_read)
        os.close(to_write)
        before = ("bash", "-c", f'exec "$@" 3<&{theirs[0]} 4>&{theirs[1]} {theirs[0]}<&- {theirs[1]}>&-', "bash")
        try:
            super().__init__(ns, "--remote-debugging-pipe", *arguments, "about:blank", before=before, pass_fds=theirs)
        finally:
            for fd in theirs:
                os.close(fd)
        self.complaints = []
        self._number = 0
        self._answers = {}  # a queue for each call that waits, made before it is sent: one made when it is looked for could be made by both threads
        self._deaf = False
        self._patience_s = START_S
        self._session = None
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def __enter__(self):
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(t["targetId"] for t in targets if t["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self._patience_s = 3 * tap.PATIENCE_S
        return self

    def __exit__(self, kind, *_):
        super().__exit__()
        os.close(self._write)
        self._thread.join()
        os.close(self._read)
        if kind is None:
            tap.check(not self.complaints, f"the page complains: {self.complaints}")

    # ---- the protocol ----
    def _listen(self):
        rest = b""
        try:
            while more := os.read(self._read, 1 << 16):
                *whole, rest = (rest + more).split(b"\0")
                for message in map(json.loads, whole):
                    if "id" in message:
                        self._answers[message["id"]].put(message)
                    else:
                        self._event(message["method"], message["params"])
        finally:
            self._deaf = True
            for answer in list(self._answers.values()):
                answer.put(None)  # nothing will come any more

    def _event(self, method, p):
        if method == "Runtime.exceptionThrown":
            e = p["exceptionDetails"]
            self.complaints.append(e.get("exception", {}).get("description", e["text"]))
        elif method == "Runtime.consoleAPICalled" and p["type"] in ("error", "warning", "assert"):
            self.complaints.append(" ".join(str(a.get("value", a.get("description"))) for a in p["args"]))
        elif method == "Log.entryAdded" and p["entry"]["level"] in ("error", "warning") and p["entry"]["source"] != "network":
            self.complaints.append(p["entry"]["text"])

    def call(self, method, **params):
        return self._answer(*self._ask(method, params))

    def _ask(self, method, params):
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        waits = self._answers[number] = queue.Queue()
        with contextlib.suppress(BrokenPipeError):  # then nobody listens either
            os.write(self._write, json.dumps(message).encode() + b"\0")
        if self._deaf:
            waits.put(None)
        return method, number, waits

    def _answer(self, method, number, waits):
        try:
            answer = waits.get(timeout=self._patience_s)
        except queue.Empty:
            raise tap.Failure(f"Chromium does not answer {method}, call {number}, for {self._patience_s:.0f} s\n{self.tail()}") from None
        if answer is None:
            raise tap.Failure(f"Chromium has gone, and has not answered {method}\n{self.tail()}")
        del self._answers[number]
        if any(words in answer.get("error", {}).get("message", "") for words in ("navigated", "default execution context")):
            raise Navigated(f"{method}: {answer['error']}")
        tap.check("error" not in answer, f"{method}: {answer.get('error')}")
        return answer["result"]

    # ---- eyes ----
    def evaluate(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        tap.check("exceptionDetails" not in answer, f"{expression[:200]}: {answer.get('exceptionDetails')}")
        return answer["result"].get("value")

    def text(self, selector):
        """What is read there, without what is hidden; None: there is nothing."""
        return self.evaluate(f"document.querySelector({json.dumps(selector)})?.innerText")

    def wait(self, expression, what=None, seconds=None):
        """Until an expression is true; its value."""
        deadline = time.monotonic() + (seconds or 3 * tap.PATIENCE_S)
        promise = f"""new Promise(done => {{
          const until = performance.now() + 1000;
          const look = () => {{
            const value = (() => {{ try {{ return {expression}; }} catch {{ return null; }} }})();
            if (value || performance.now() > until) done(value || null);
            else setTimeout(look, 20);
          }};
          look();
        }})"""
        while time.monotonic() < deadline:
            with contextlib.suppress(Navigated):  # the page that is there now is asked
                if (value := self.evaluate(promise)) is not None:
                    return value
        raise tap.Failure(f"{what or expression}: did not come true; the page says {self.text('body')}\nand complains {self.complaints}")

    def wait_text(self, selector, part, seconds=None):
        """Until this text is seen there."""
        self.wait(f"document.querySelector({json.dumps(selector)})?.innerText.includes({json.dumps(part)})", f"{part!r} in {selector}", seconds)

    def looks(self):
        """Judges contrast and width; how many texts were seen."""
        with open(os.path.join(HERE, "looks.js"), encoding="utf-8") as f:
            found = self.evaluate(f.read())
        tap.equal((found["faint"], found["wide"]), ([], []), "what has too little contrast, and what is too wide")
        return found["texts"]

    def screenshot(self, path):
        with open(path, "wb") as f:
            f.write(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    # ---- surroundings ----
    def _leave(self, how):
        """Until the page that is there has gone, and the next one is loaded."""
        self.wait("window.left = true", "there is a page")
        how()
        self.wait("document.readyState === 'complete' && !window.left", "the page is loaded")

    def open(self, url):
        if url.startswith("about:blank#") and self.wait("location.href").startswith("about:blank"):
            return  # nothing would be loaded
        self._leave(lambda: self.call("Page.navigate", url=url))

    def reload(self):
        self._leave(lambda: self.call("Page.reload"))

    def viewport(self, width, height, scale=1):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False)
        self.wait(f"innerWidth === {width} && innerHeight === {height}", f"the page is {width} pixels wide, and {height} high")

    def media(self, **features):
        """prefers_color_scheme="dark" and the like."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": k.replace("_", "-"), "value": v} for k, v in features.items()])

    def hide(self, hidden):
        """As another tab in front of it does."""
        self.evaluate(HIDDEN % str(hidden).lower())

    def hold(self, pattern):
        """A slow way to the relay: requests that fit wait. In the page, held() tells how many, release() lets them go."""
        self.evaluate(HOLD % pattern)

    def asked(self, path):
        """How often; a browser remembers some 250 resources only, so that who counts clears them first."""
        return self.evaluate(f"performance.getEntriesByType('resource').filter(e => e.name.endsWith({json.dumps(path)})).length")

    # ---- hands ----
    def _place(self, selector):
        """Once it is there, is seen, and can be pressed."""
        deadline = time.monotonic() + 3 * tap.PATIENCE_S
        while True:
            place = {"why": "is on a page that goes"}
            with contextlib.suppress(Navigated):
                place = self.evaluate(PLACE % json.dumps(selector))
                if "why" not in place:
                    return place
                self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            tap.check(time.monotonic() < deadline, f"{selector} {place['why']}")

    def _mouse(self, place, *kinds):
        """One behind the other, and none waits for an answer to the one before: a press is short, however busy the machine is."""
        asked = [self._ask("Input.dispatchMouseEvent", {"type": kind, "x": place["x"], "y": place["y"], "button": "none" if kind == "mouseMoved" else "left", "clickCount": 1})
                 for kind in kinds]
        for one in asked:
            self._answer(*one)

    def _aimed(self):
        """Has the click hit what it was meant for? One that the page is left by has."""
        with contextlib.suppress(Navigated):
            return self.evaluate("window.aimed?.end()") is not False
        return True

    def click(self, selector):
        deadline = time.monotonic() + 3 * tap.PATIENCE_S
        while True:
            self._mouse(self._place(selector), "mouseMoved", "mousePressed", "mouseReleased")
            if self._aimed():
                return
            tap.check(time.monotonic() < deadline, f"{selector} does not stay where it is clicked")

    def hold_down(self, selector, until):
        """The button stays down until an expression is true."""
        place = self._place(selector)
        self._mouse(place, "mouseMoved", "mousePressed")
        self.wait(until)
        self._mouse(place, "mouseReleased")
        self._aimed()

    def key(self, name, shift=False):
        code, text = KEYS[name]
        key = {"key": " " if name == "Space" else name, "code": name, "windowsVirtualKeyCode": code, "modifiers": SHIFT if shift else 0}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **key, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **key)

    def tab_to(self, selector):
        """By Tab alone, and whatever has the focus on the way shows that it has."""
        for _ in range(MOST_TABS):
            self.key("Tab")
            at = self.evaluate(f"""(e => ({{there: e.matches({json.dumps(selector)}), shown: getComputedStyle(e).outlineStyle !== "none",
              name: e.outerHTML.slice(0, 100)}}))(document.activeElement)""")
            tap.check(at["shown"] or at["name"].startswith(("<body", "<html")), f"nothing shows that {at['name']} has the focus")
            if at["there"]:
                return
        raise tap.Failure(f"{selector} is not reached by Tab")

    def type(self, text):
        for c in text:
            key = {"key": "Enter", "text": "\r", "windowsVirtualKeyCode": 13} if c == "\n" else {"key": c, "text": c}
            self.call("Input.dispatchKeyEvent", type="keyDown", **key)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=key["key"])

    def paste(self, text):
        self.call("Input.insertText", text=text)

    def fill(self, selector, text):
        """Clicks there, and types in place of what was there."""
        self.click(selector)
        self.evaluate(f"document.querySelector({json.dumps(selector)}).select()")
        if text:
            self.type(text)
        else:
            self.call("Input.dispatchKeyEvent", type="rawKeyDown", key="Delete", code="Delete", windowsVirtualKeyCode=46)

    def choose(self, selector, value):
        """An entry of a <select>, by its value. A headless Chromium opens no list, so the change is made as the list would."""
        self._place(selector)
        self._aimed()
        self.evaluate(f"""(e => {{ e.focus(); e.value = {json.dumps(value)}; e.dispatchEvent(new Event("input", {{bubbles: true}}));
          e.dispatchEvent(new Event("change", {{bubbles: true}})); }})(document.querySelector({json.dumps(selector)}))""")
