"""turnpikectl as a test runs it: one command to its end."""
import os
import subprocess

from . import daemon, tap
from .tap import equal

CTL = os.path.join(daemon.BUILDDIR, "turnpikectl")


def run(*words, text_in=""):
    """Status, standard output and error of one command."""
    p = subprocess.run([CTL, *words], input=text_in, capture_output=True, text=True, timeout=tap.PATIENCE_S, env=daemon.clean_environment(), check=False)
    daemon.check_log(p.stdout + p.stderr)
    return p.returncode, p.stdout, p.stderr


def ended(status, *words, **kw):
    """Its standard output, or with another status than 0 its standard error."""
    got, out, err = run(*words, **kw)
    equal(got, status, f"the status of {' '.join(words)} ({out}{err})")
    return out if status == 0 else err
