#!/usr/bin/env python3
"""docs/operators-guide.md: each of its commands is run as it stands there, against a live relay."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import admin, daemon, net, tap  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tap import check, equal  # noqa: E402 # pylint: disable=wrong-import-position

tap.need("bash", "curl", "jq", "openssl")
net.need_namespaces()
daemon.need_daemon()

with open(os.path.join(admin.SRCDIR, "docs", "operators-guide.md"), encoding="utf-8") as guide:
    BLOCKS = re.findall(r"^## (.*?)\n|^```(.*)\n((?:.*\n)*?)```\n", guide.read(), re.M)


@tap.group
def relay():
    with admin.plane({"admin-origin": "https://app.example.com"}) as w:
        d = w.directory
        wrapper = d.file("turnpikectl", f'#!/bin/sh\nexec {daemon.BUILDDIR}/turnpikectl --config {w.daemon.config_path} "$@"\n')
        os.chmod(wrapper, 0o755)
        d.file("token", w.token["read"] + "\n")
        d.file("turnpike-token", w.token["read"] + "\n")
        for name in ("ca.pem", "turnpike-ca.pem"):
            os.symlink(w.ca, d.file(name))
        for i in range(2):
            w.client(i).allocate()
        yield w


def here(w, text):
    """The guide's names of what this test has elsewhere."""
    for name, there in (
        ("/run/turnpike/admin.sock", w.daemon.settings["admin-socket"]),
        ("relay.example.com:8443", f"{admin.S.SERVER}:{admin.PORT}"),
        ("/etc/prometheus", w.directory.path),
    ):
        text = text.replace(name, there)
    return text


def run(w, ns, script):
    env = daemon.clean_environment({"PATH": f"{w.directory.path}:{os.environ['PATH']}"})
    with ns.popen(["bash", "-euo", "pipefail", "-c", script], cwd=w.directory.path, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                  stderr=subprocess.STDOUT, text=True) as p:
        out, _ = p.communicate(timeout=3 * tap.PATIENCE_S)  # some ask often
    return p.returncode, out


def add_cases():
    setup, title = "", ""
    for heading, kind, text in BLOCKS:
        if heading:
            title = heading
        elif kind == "sh setup":
            setup = text
        elif kind in ("sh", "sh remote"):
            first = text.splitlines()[0]

            @relay.case(f"the guide, {title}: {first if len(first) < 60 else first[:57] + '...'}")
            def _(w, text=text, setup=setup, remote=kind == "sh remote"):
                for command in [text] if "\n  " in text or "\nfor" in text or re.search(r"^\w+=", text, re.M) else text.splitlines():
                    status, out = run(w, w.net.cli if remote else w.net.srv, here(w, setup + command))
                    equal(status, 0, f"the status of {command!r} ({out})")
        elif kind == "yaml":

            @relay.case(f"the guide, {title}: the configuration is one that Prometheus takes")
            def _(w, text=text):
                if not any(os.access(os.path.join(p, "promtool"), os.X_OK) for p in os.environ["PATH"].split(":")):
                    raise tap.Skip("promtool is not installed")
                status, out = run(w, w.net.srv, f"promtool check config {w.directory.file('prometheus.yml', here(w, text))}")
                equal(status, 0, f"the status of promtool ({out})")


add_cases()
check(len([b for b in BLOCKS if b[1].startswith("sh")]) > 10, "the guide has no commands")


@relay.case("the guide's way to revoke all tokens of an owner leaves none that is valid")
def _(w):
    states = {t["state"] for t in w.socket.get("/api/v1/tokens?owner=acme&limit=1000").json["items"] if t["label"] == "desk 7"}
    equal(states, {"revoked"}, "the states of the tokens that the guide has issued")


@relay.case("the guide's token of the role read is one that may look, and no more")
def _(w):
    equal(w.tls("read").call("POST", "/api/v1/drain", {}).status, 403, "the status of a drain")


tap.main()
