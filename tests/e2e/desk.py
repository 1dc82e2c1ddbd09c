"""Somebody before the dashboard: a relay with an admin plane, a Chromium that trusts its certificate, and traffic to look at."""
import base64
import contextlib
import hashlib
import subprocess
import threading

import devtools

from lib import admin, daemon, net
from lib.client import Channel
from lib.tap import equal

S = net.Standard
URL = f"https://{S.SERVER}:{admin.PORT}/"
PACE_S = 0.01


class Splice:
    """Two clients who talk relay to relay, all the time."""

    def __init__(self, w, user=daemon.USER, password=daemon.PASSWORD):
        self.a, self.b = w.client(3, user=user, password=password), w.client(4, transport="tcp", user=user, password=password)
        for c in (self.a, self.b):
            c.allocate()
        self.a.bind(0x4000, self.b.relayed[0])
        self.b.bind(0x4001, self.a.relayed[0])
        self.stop = threading.Event()
        self.failure, self.cut = None, False  # cut: by the relay, as it should be
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            while not self.stop.wait(PACE_S):
                self.a.send_channel(0x4000, bytes(400))
                equal(self.b.receive(), Channel(0x4001, bytes(400)), "what came")
        except Exception as e:  # pylint: disable=broad-exception-caught
            self.failure = e

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        if not self.cut:
            equal(self.failure, None, "what went wrong between the two")
            for c in (self.a, self.b):
                c.refresh(0)


def pin(cert):
    """What Chromium is told so that it trusts this certificate, and no other."""
    key = subprocess.run(["openssl", "x509", "-in", cert, "-pubkey", "-noout"], check=True, capture_output=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], input=key, check=True, capture_output=True).stdout
    return "--ignore-certificate-errors-spki-list=" + base64.b64encode(hashlib.sha256(der).digest()).decode()


class Desk:
    """A plane, and the browser before which somebody sits."""

    def __init__(self, stack, plane):
        self.plane = plane
        self.page = stack.enter_context(devtools.Page(plane.net.cli, pin(plane.ca)))
        self.page.viewport(1440, 900)
        self.page.media(prefers_color_scheme="light", prefers_reduced_motion="reduce")
        self.page.call("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
        self.admin = plane.tls("admin")

    def sign_in(self, role="admin"):
        """Afresh, on the overview."""
        p = self.page
        p.open("about:blank#away")
        p.open(URL)
        if p.evaluate("sessionStorage.length"):
            p.click("#sign-out")
        p.wait("!document.getElementById('sign-in').hidden", "the page asks who it is")
        p.click("#sign-in input")
        p.paste(self.plane.token[role])
        p.click("#sign-in button")
        p.wait("!document.getElementById('nav').hidden", "somebody is signed in")

    def view(self, name):
        self.page.evaluate("document.querySelectorAll('dialog[open]').forEach(d => d.close())")
        self.page.click(f'nav a[href="#{name}"]')
        self.page.wait(f"!document.getElementById('{name}').hidden")

    def answer(self, path):
        return self.admin.get(f"/api/v1{path}").json


@contextlib.contextmanager
def desk(settings=None, before=lambda n, stack: None):
    with contextlib.ExitStack() as stack:
        n = stack.enter_context(S())
        before(n, stack)
        d = Desk(stack, admin.Plane(stack, n, settings))
        d.sign_in()
        yield d
