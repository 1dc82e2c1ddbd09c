"""The daemon under test, and any other process of a test: started, waited for, ended, judged."""
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

from . import tap

BUILDDIR = os.environ.get("TP_BUILDDIR", os.getcwd())
TURNPIKED = os.environ.get("TURNPIKED", os.path.join(BUILDDIR, "turnpiked"))
BENCH = os.environ.get("TURNPIKE_BENCH", os.path.join(BUILDDIR, "turnpike-bench"))

REALM = "example.org"
USER, PASSWORD = "alice", "alice's password"
USER_2, PASSWORD_2 = "bob", "bob's password"

_REPORT = re.compile(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|SUMMARY: \w+Sanitizer")
# Two seconds are the daemon's, the others are for a machine that does much else, and a disk that is slow to sync. A sanitizer looks for leaks before the process ends.
STOP_S = 20.0 if tap.SANITIZER else 5.0


class Directory:
    """A directory that goes with the test."""

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix="turnpike-test-")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)

    def file(self, name, text=None):
        path = os.path.join(self.path, name)
        if text is not None:
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
        return path


def config_text(settings):
    """`settings` is a dict: a list repeats the key, None leaves it out."""
    lines = []
    for key, value in settings.items():
        for v in value if isinstance(value, (list, tuple)) else [value]:
            if v is not None:
                lines.append(f"{key}={v}")
    return "\n".join(lines) + "\n"


def defaults(directory):
    return {
        "realm": REALM,
        "user": [f"{USER}:{PASSWORD}", f"{USER_2}:{PASSWORD_2}"],
        "unauthenticated-rate": 0,
        "workers": 1,
        "state-dir": directory.path,
        "admin-socket": directory.file("admin.sock"),
    }


def clean_environment(extra=None):
    """This process's environment without what would configure the daemon."""
    vendor = {"EXTERNAL_IP_ADDRESS", "LISTENING_IP_ADDRESS", "TURN_PORT", "TURN_USERNAME", "TURN_PASSWORD", "LOG_LEVEL"}
    env = {k: v for k, v in os.environ.items() if not k.startswith("TURNPIKE_") and k not in vendor}
    env.update(extra or {})
    return env


class Daemon:
    """A running turnpiked. `settings` override the defaults; leaving it stops it and judges how it ended."""

    def __init__(self, ns, settings=None, args=(), env=None, plain=False, program=TURNPIKED):
        self.directory = Directory()
        try:
            d = self.directory
            self.settings = {} if plain else defaults(d)
            self.settings.update(settings or {})
            self.ready_path = d.file("ready.json")
            self.log_path = d.file("log")
            self.config_path = d.file("turnpiked.conf", config_text(self.settings))
            command = [program, "--config", self.config_path, "--ready-file", self.ready_path, *args]
            with open(self.log_path, "wb") as log:
                self.process = ns.popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=clean_environment(env))
        except BaseException:
            self.directory.__exit__()
            raise
        self.stopped = False

    def __enter__(self):
        try:
            tap.wait_until(lambda: os.path.exists(self.ready_path), "the daemon is ready", process=self.process)
            with open(self.ready_path, encoding="utf-8") as f:
                self.ready = json.load(f)
        except BaseException as e:
            tail = self.tail()
            self._kill()
            self.directory.__exit__()
            if isinstance(e, tap.Failure):
                raise tap.Failure(f"{e}\n{tail}") from None
            raise
        return self

    def __exit__(self, kind, *_):
        try:
            if not self.stopped and kind is None:
                self.stop()
        finally:
            self._kill()
            self.directory.__exit__()

    def _kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    @property
    def pid(self):
        return self.process.pid

    def listeners(self, transport="udp"):
        return [(x["address"], x["port"]) for x in self.ready["listeners"] if x["transport"] == transport]

    def port(self, transport="udp"):
        ports = {p for _, p in self.listeners(transport)}
        tap.check(len(ports) == 1, f"{transport} listeners are on ports {ports}")
        return ports.pop()

    def whole_log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def log(self):
        """Its whole lines: one that is being written has not all of its fields yet."""
        text = self.whole_log()
        return text[: text.rfind("\n") + 1]

    def tail(self):
        return "\n".join(self.whole_log().splitlines()[-30:])

    def wait_log(self, pattern, what=None):
        """The first match of a regular expression in the log."""
        return tap.wait_until(
            lambda: re.search(pattern, self.log()), what or f"the log has a line that matches {pattern}", process=self.process
        )

    def events(self, name):
        """The fields of every line with this event, in logfmt."""
        found = []
        for line in self.log().splitlines():
            fields = dict(re.findall(r'([\w.-]+)=("(?:[^"\\]|\\.)*"|\S*)', line))
            if fields.get("event") == name:
                found.append(fields)
        return found

    def kill(self, number):
        os.kill(self.process.pid, number)

    def reload(self, settings):
        """These settings beside the others, in force when this returns."""
        self.settings.update(settings)
        before = len(self.events("reloaded"))
        self.directory.file("turnpiked.conf", config_text(self.settings))
        self.kill(signal.SIGHUP)
        tap.wait_until(lambda: len(self.events("reloaded")) > before, "the daemon has reloaded", process=self.process)

    def stop(self, number=signal.SIGTERM, seconds=STOP_S):
        """SIGTERM; judge the exit status, the time it took, and what a sanitizer may have said."""
        self.stopped = True
        early = self.process.poll()
        tap.check(early is None, f"the daemon had ended by itself with status {early}:\n{self.tail()}")
        start = time.monotonic()
        self.kill(number)
        try:
            status = self.process.wait(tap.PATIENCE_S + STOP_S)
        except subprocess.TimeoutExpired:
            self._kill()
            raise tap.Failure(f"the daemon did not end on signal {number}:\n{self.tail()}") from None
        took = time.monotonic() - start
        check_log(self.whole_log())
        tap.check(status == 0, f"the daemon ended with status {status}:\n{self.tail()}")
        tap.check(took <= seconds, f"the daemon took {took:.1f} s to end")

    def worker_stats(self):
        """What each worker counted, once the daemon has ended: a dict of numbers a worker."""
        stats = [{k: int(v) for k, v in f.items() if v.isdigit()} for f in self.events("worker_stats")]
        tap.check(len(stats) == int(self.settings["workers"]), f"worker_stats of {len(stats)} workers:\n{self.tail()}")
        return stats


def check_log(text):
    found = _REPORT.search(text)
    tap.check(found is None, f"a sanitizer's report:\n{text[found.start() if found else 0:][:8000]}")


def run_daemon(args, env=None, ns=None, seconds=None):
    """Run the daemon to its end (--check-config and the like): (status, stdout, stderr)."""
    kw = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": clean_environment(env)}
    command = [TURNPIKED, *args]
    with ns.popen(command, **kw) if ns else subprocess.Popen(command, **kw) as p:
        try:
            out, err = p.communicate(timeout=seconds or tap.PATIENCE_S)
        except subprocess.TimeoutExpired:
            p.kill()
            out, err = p.communicate()
            raise tap.Failure(f"{' '.join(command)} did not end:\n{out}{err}") from None
        except BaseException:
            p.kill()
            raise
    check_log(out + err)
    return p.returncode, out, err


def need_daemon():
    if not os.access(TURNPIKED, os.X_OK):
        tap.skip_all(f"{TURNPIKED} is not built")
