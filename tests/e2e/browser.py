"""A headless Chromium in a network namespace, and the server of the page that it opens. The page tells its result by POST /result."""
import http.server
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "func"))

from lib import daemon, tap  # noqa: E402

# A machine of its own: nothing goes out, nothing is asked of the user, a microphone that beeps, real addresses instead of mDNS names. What
# nobody sees is not begun: the pages of the address line and those who keep crashes are a fifth of the start.
FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --no-default-browser-check --disable-background-networking
--disable-component-update --disable-default-apps --disable-extensions --disable-sync --disable-dev-shm-usage --metrics-recording-only
--disable-breakpad --disable-crash-reporter --use-fake-device-for-media-stream --use-fake-ui-for-media-stream --mute-audio
--disable-features=WebRtcHideLocalIpsWithMdns,OptimizationHints,MediaRouter,DialMediaRouteProvider,WebUIOmniboxPopup,WebUIOmniboxAimPopup
--autoplay-policy=no-user-gesture-required""".split()


class Page:
    """Serves one HTML file on localhost of a namespace, and takes results. `settings` is what GET /settings answers."""

    def __init__(self, ns, path):
        self.settings = {}
        self.results = queue.Queue()
        with open(path, "rb") as f:
            html = f.read()
        page = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if self.path == "/":
                    self.reply("text/html; charset=utf-8", html)
                elif self.path == "/settings":
                    self.reply("application/json", json.dumps(page.settings).encode())
                else:
                    self.send_error(404)

            def do_POST(self):
                page.results.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.reply("text/plain", b"")

            def reply(self, kind, body):
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = ns.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._server.server_bind()
        self._server.server_activate()
        self.url = f"http://localhost:{self._server.server_address[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def result(self, seconds):
        """What the page posts."""
        try:
            return self.results.get(timeout=seconds)
        except queue.Empty:
            raise tap.Failure("the page did not post a result") from None

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Chromium:
    """A Chromium with a fresh profile. `before` is put in front of its command."""

    def __init__(self, ns, *arguments, before=(), **kw):
        self.directory = daemon.Directory()
        self.log_path = self.directory.file("chromium.log")
        env = {**os.environ, "HOME": self.directory.path, "XDG_RUNTIME_DIR": self.directory.path}
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            env.pop(name, None)
        command = [*before, "chromium", *FLAGS, f"--user-data-dir={self.directory.path}/profile", *arguments]
        try:
            with open(self.log_path, "wb") as log:
                self.process = ns.popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, start_new_session=True, **kw)
        except BaseException:
            self.directory.__exit__()
            raise

    def __enter__(self):
        return self

    def tail(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return "\n".join(f.read().splitlines()[-30:])

    def __exit__(self, *_):
        # The session is ours alone: it ends as a whole.
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.directory.__exit__()


def need_chromium():
    if shutil.which("chromium") is None:
        tap.skip_all("chromium is not installed")
