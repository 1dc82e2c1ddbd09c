"""The frame of a functional test: groups of cases over one set-up, each case a TAP line.

    @group
    def relay():
        with net.Standard() as n, daemon.Daemon(n.srv) as d:
            yield World(n, d)

    @relay.case("C59 a peer's datagram without permission is dropped")
    def _(w): ...

    tap.main()

A group's set-up is entered once, its cases run in order, then it is left; leaving it is a case too, because that is where a daemon
shows whether it ends as it should.
"""
import contextlib
import fcntl
import os
import select
import shutil
import signal
import sys
import time
import traceback


class Failure(AssertionError):
    """What a check raises: its text is the whole diagnosis, so no stack is printed below the line that checked."""


class Skip(Exception):
    """Raised by a group's set-up or by a case that needs what is not there."""


# A sanitizer makes the daemon slower, never the test's judgement different: only the patience grows.
SANITIZER = os.environ.get("TP_SANITIZER", "") not in ("", "no")
PATIENCE_S = 40.0 if SANITIZER else 10.0


def check(condition, text):
    if not condition:
        raise Failure(text)


def equal(have, want, what):
    if have != want:
        raise Failure(f"{what} is {have!r}, not {want!r}")


def within(have, low, high, what):
    if not low <= have <= high:
        raise Failure(f"{what} is {have!r}, not in {low!r}..{high!r}")


def wait_until(condition, what, seconds=None, process=None):
    """Wait for a condition; ends early when `process` (a Popen) has ended, because then it cannot come true."""
    deadline = time.monotonic() + (PATIENCE_S if seconds is None else seconds)
    pidfd = os.pidfd_open(process.pid) if process is not None and process.poll() is None else None
    try:
        while True:
            result = condition()
            if result:
                return result
            if process is not None and process.poll() is not None:
                raise Failure(f"{what}: the process ended with status {process.returncode} first")
            if time.monotonic() > deadline:
                raise Failure(f"{what() if callable(what) else what}: did not come true")
            select.select([pidfd] if pidfd is not None else [], [], [], 0.01)
    finally:
        if pidfd is not None:
            os.close(pidfd)


def need(*tools):
    """Skip the whole file when a tool is missing."""
    for tool in tools:
        if shutil.which(tool) is None:
            skip_all(f"{tool} is not installed")


def skip_all(reason):
    print(f"1..0 # SKIP {reason}")
    sys.exit(0)


class Group:
    def __init__(self, setup):
        self.name = setup.__name__.replace("_", " ")
        self.setup = contextlib.contextmanager(setup)
        self.seconds = 120  # that it may take
        self.cases = []

    def case(self, title, seconds=60):
        def add(function):
            self.cases.append((title, function, seconds))
            return function

        return add


_groups = []


def group(setup):
    g = Group(setup)
    _groups.append(g)
    return g


class _Report:
    def __init__(self):
        self.count = 0
        self.failed = 0

    def line(self, ok, title, tail=""):
        self.count += 1
        self.failed += not ok
        print(f"{'ok' if ok else 'not ok'} {self.count} - {title}{tail}", flush=True)

    def note(self, text):
        for line in text.rstrip().splitlines():
            print(f"# {line}", flush=True)

    def run(self, title, function, seconds):
        """True when it passed or was skipped."""
        patience = int(seconds * (4 if SANITIZER else 1))
        signal.alarm(patience)
        try:
            function()
        except Skip as e:
            self.line(True, title, f" # SKIP {e}")
        except Exception as e:
            signal.alarm(0)
            self.line(False, title)
            self.note(_diagnosis(e))
            return False
        else:
            self.line(True, title)
        finally:
            signal.alarm(0)
        return True


def _diagnosis(error):
    """One line for what a check said, and the way to it; the frame's own functions are left out."""
    text = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
    way = [f"{os.path.basename(f.filename)}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
    return f"{text}\nat {' > '.join(way)}"


def _alarm(_signal, _frame):
    raise Failure("took too long")


def _ended(number, _frame):
    sys.exit(128 + number)  # SystemExit: every `with` on the way out cleans up


def _run_group(report, g, wanted):
    cases = [c for c in g.cases if not wanted or any(c[0].startswith(w) or w == g.name for w in wanted)]
    if not cases:
        return
    with contextlib.ExitStack() as stack:
        world = []

        def enter():
            world.append(stack.enter_context(g.setup()))

        signal.alarm(int(g.seconds * (4 if SANITIZER else 1)))
        try:
            enter()
        except Skip as e:
            for title, _, _ in cases:
                report.line(True, title, f" # SKIP {e}")
            return
        except Exception as e:
            report.note(_diagnosis(e))
            for title, _, _ in cases:
                report.line(False, title, " (its set-up failed)")
            return
        finally:
            signal.alarm(0)
        for title, function, seconds in cases:
            report.run(title, lambda f=function: f(world[0]), seconds)
        report.run(f"{g.name}: all that was started ends as it should", stack.pop_all().close, 60)


def _take_turn(alone):
    """`make -j check` runs several files at once; one that measures the server under load has the machine for itself."""
    lock = open(os.path.join(os.environ.get("TP_BUILDDIR", "."), "tests.lock"), "a", encoding="ascii")
    fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
    return lock  # held until the process ends


def main(alone=False):
    """Run every group; arguments choose cases by the start of their titles, or groups by name."""
    turn = _take_turn(alone)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _ended)
    signal.signal(signal.SIGALRM, _alarm)
    report = _Report()
    for g in _groups:
        _run_group(report, g, sys.argv[1:])
    print(f"1..{report.count}", flush=True)
    turn.close()
    sys.exit(1 if report.failed else 0)
