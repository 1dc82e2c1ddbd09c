"""A part of ours in a process of its own, which is driven by lines of JSON: an order in, what has happened out."""
import json
import os
import queue
import subprocess
import threading
import time

from . import daemon, tap


class Drive:
    """Every line that it writes is kept in `seen` until a test has waited for it."""

    def __init__(self, ns, program):
        command = [os.path.join(daemon.BUILDDIR, program)]
        self.process = ns.popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines = queue.Queue()
        self.text, self.seen = [], []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.text.append(line)
            self.lines.put(line)
        self.lines.put(None)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            self.process.stdin.close()
            status = self.process.wait(timeout=daemon.STOP_S + 5)
        except (subprocess.TimeoutExpired, OSError):
            status = "still running"
        finally:
            self.process.kill()
            self.process.wait()
            self.reader.join()
        if kind is None:
            tap.equal(status, 0, f"the driver's status ({''.join(self.text[-20:])})")

    def order(self, **order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def wait(self, kind, seconds=None, **wanted):
        """The first line of this kind (and with these values) that no one has waited for yet."""
        deadline = time.monotonic() + (seconds or tap.PATIENCE_S)
        while True:
            for got in self.seen:
                if kind in got and all(got.get(k) == v for k, v in wanted.items()):
                    self.seen.remove(got)
                    return got
            try:
                line = self.lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise tap.Failure(f"{kind} {wanted}: did not come; the last lines: {''.join(self.text[-8:])}") from None
            if line is None or not line.startswith("{"):
                raise tap.Failure(f"{kind}: the driver says: {''.join(self.text[-60:])}")
            got = json.loads(line)
            self.judge(kind, got)
            self.seen.append(got)

    def judge(self, kind, got):
        """What may never come."""
