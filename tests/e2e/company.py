"""A company with telephones, and somebody at home with a browser: the picture with everything of ours in its place.

turnpiked stands on the internet, with relay, connect service and softphone page on an address each; turnpike-bridge in the office, as
extension 100 of its PBX; the page is alice's. A phone in the office is extension 200.
"""
import json
import os
import subprocess

import browser
import ears
import pbx
import picture
import tones
from picture import APP, CONNECT, PBX, RELAY

from lib import daemon, tap

BRIDGE = os.environ.get("TURNPIKE_BRIDGE", os.path.join(daemon.BUILDDIR, "turnpike-bridge"))
CTL = os.path.join(daemon.BUILDDIR, "turnpikectl")
USER, TENANT = "alice", "acme"
LINE, PHONE = "100", "200"  # extensions: hers, by the bridge, and the one on the desk
VOICE_HZ = 1000  # what her microphone hears; the phone hums pbx.HUM_HZ
PAGE, SERVICE = f"https://{APP}/", f"wss://{CONNECT}/connect"
SLOW = 4 if tap.SANITIZER else 1
MESSAGE_S = 10 * SLOW  # within which a call that can't be is told of


def need_company():
    pbx.need_phones()
    daemon.need_daemon()
    browser.need_chromium()
    if not os.access(BRIDGE, os.X_OK):
        tap.skip_all(f"{BRIDGE} is not built")


class Softphone:
    """The page, as alice uses it."""

    def __init__(self, page):
        self.page, self.ears = page, ears.Ears(page)

    def load(self):
        """The page, afresh: it asks who it is."""
        self.page.open("about:blank#away")
        self.page.open(PAGE)
        self.page.wait("document.activeElement.id === 'username'", "the page asks who it is")

    def open(self, token):
        """Signed in, and the office is there."""
        self.load()
        self.sign_in(token)
        self.ready()
        if self.page.evaluate("document.getElementById('clean').checked"):
            self.page.click("#clean")  # a tone is noise to be taken out

    def sign_in(self, token):
        for field, word in zip(("#username", "#sign-in [name=password]"), token):
            self.page.fill(field, "")
            self.page.paste(word)
        self.page.click("#sign-in-button")

    def ready(self, seconds=None):
        self.page.wait_text("#pill", "Ready", seconds)

    def is_ready(self):
        return self.page.evaluate("document.getElementById('phone')?.hidden === false && document.getElementById('pill').innerText === 'Ready'")

    def talks(self):
        return self.page.evaluate("document.getElementById('phone')?.dataset.state === 'talking'")

    def free(self):
        """Whatever call goes on is over: a page that is in one asks before it goes."""
        state = self.page.evaluate("document.getElementById('phone')?.dataset.state ?? 'idle'")
        if state != "idle":
            self.page.click("#decline" if state == "incoming" else "#hang-up")

    def dial(self, number=PHONE):
        self.page.wait("!document.getElementById('dial').hidden", "no call goes on")
        self.page.fill("#number", number)
        self.page.click("#place")

    def wait_state(self, words, seconds=None):
        self.page.wait_text("#call-state", words, seconds)

    def wait_ring(self):
        self.page.wait("document.getElementById('phone').dataset.state === 'incoming'", "the page rings")

    def hang_up(self):
        self.page.click("#hang-up")
        self.wait_end("ended")

    def wait_end(self, words, seconds=None):
        """Until no call goes on, and this is told."""
        self.page.wait("document.getElementById('phone').dataset.state === 'idle'", "the call has ended", seconds)
        self.page.wait_text("#outcome", words)

    def wait_trouble(self, name, *words, seconds=None):
        """Until the page tells what is in the way."""
        p = self.page
        told = f"!document.getElementById('trouble').hidden && document.getElementById('trouble').dataset.name === {json.dumps(name)}"
        p.wait(told, f"it is told of {name}", seconds or MESSAGE_S)
        for w in words:
            p.wait_text("#trouble", w)

    def wait_path(self, local, remote, seconds=None):
        """Until the page shows a pair of these kinds; so does the browser itself."""
        data = "document.getElementById('path').dataset"
        self.page.wait(f"{json.dumps(local)}.includes({data}.local) && {json.dumps(remote)}.includes({data}.remote)", f"the path is {local} to {remote}", seconds)
        tap.wait_until(lambda: (k := self.ears.kinds()) and k[0] in local and k[1] in remote, lambda: f"the pair is {self.ears.kinds()}, not of {local} and {remote}")


class Host:
    """Our host on the internet, in the picture: turnpiked, which may be told more than the usual."""

    def __init__(self, stack, settings=None):
        self.stack, self.directory = stack, stack.enter_context(daemon.Directory())
        self.net = stack.enter_context(picture.Picture())
        self.cert, self.key, self.ca = picture.authority(self.directory)
        self.settings = {**self._turnpiked(), **(settings or {})}
        self.serve()

    def serve(self):
        """turnpiked, on the store that the one before has left."""
        self.turnpiked = self.stack.enter_context(daemon.Daemon(self.net.internet, self.settings))

    def _turnpiked(self):
        return {
            "state-dir": self.directory.path,
            "listening-ip": RELAY,
            "listening-port": picture.TURN_PORT,
            "connect-listen": f"{CONNECT}:{picture.TLS_PORT}",
            "app-listen": f"{APP}:{picture.TLS_PORT}",
            "connect-origin": PAGE.rstrip("/"),
            "cert": self.cert,
            "pkey": self.key,
            "workers": 2,
        }

    def ctl(self, *words):
        """What turnpikectl says, on turnpiked's host."""
        command = [CTL, "--config", self.turnpiked.config_path, *words]
        with self.net.internet.popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
            out, err = p.communicate(timeout=tap.PATIENCE_S)
        tap.equal(p.returncode, 0, f"the status of {' '.join(words)} ({out}{err})")
        return out

    def issue(self, scope, owner, *options):
        """A token: its name and its password."""
        made = json.loads(self.ctl("token", "issue", "--json", "--scope", scope, "--owner", owner, "--tenant", TENANT, *options))
        return made["id"], made["password"]

    def revoke(self, token):
        self.ctl("token", "revoke", token[0])


class Company(Host):
    """All of it; the bridge is at its place at the service and at the PBX. `turnpiked` and `bridge` are settings beside the usual ones."""

    def __init__(self, stack, turnpiked=None, bridge=None):
        super().__init__(stack, turnpiked)
        n = self.net
        self.registrar = stack.enter_context(pbx.Kamailio(n.pbx))
        self.phone = stack.enter_context(pbx.Phone(n.pbx, PHONE))
        self.token = self.issue("phone", USER)
        self.bridge = stack.enter_context(daemon.Daemon(n.office, {**self._bridge(), **(bridge or {})}, plain=True, program=BRIDGE))
        wav = tones.write(self.directory.file("voice.wav"), VOICE_HZ)
        self.softphone = Softphone(stack.enter_context(n.page(self.cert, wav)))

    def _bridge(self):
        token = self.directory.file("bridge-token", ":".join(self.issue("bridge", "office")) + "\n")
        lines = self.directory.file("lines", f"{LINE}:{LINE}:{pbx.EXTENSIONS[LINE]}:{USER}\n")
        for path in (token, lines):
            os.chmod(path, 0o600)
        return {
            "connect-url": SERVICE,
            "connect-ca": self.ca,
            "token-file": token,
            "lines-file": lines,
            "name": "office",
            "sip-registrar": f"{PBX}:{pbx.SIP_PORT}",
        }

    def fresh(self):
        """The most restrictive case, the page ready, nobody in a call: whatever became of the last one."""
        self.net.restore()
        self.softphone.free()
        if not self.softphone.is_ready():
            self.softphone.open(self.token)
        if self._talks():
            self.phone.hangup()
            tap.wait_until(lambda: not self._talks(), "the phone has hung up")  # what it tells of that is not of the next call
        self.phone.forget()

    def _talks(self):
        return len(self.phone.seen("CALL_CLOSED")) < len(self.phone.seen("CALL_ESTABLISHED"))

    def wait_tones(self, seconds=None):
        """Both hear the other's tone, and not their own: (frequency, level) in the phone, in the page."""
        patience = seconds or 3 * tap.PATIENCE_S
        return self.phone.wait_hears(VOICE_HZ, pbx.HUM_HZ, patience), self.softphone.ears.wait_hears(pbx.HUM_HZ, VOICE_HZ, patience)
