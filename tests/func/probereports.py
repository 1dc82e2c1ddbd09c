#!/usr/bin/env python3
"""What turnpike-probe has found, as other programs read it: JSON by the schema in docs/, JUnit by an XSD, Prometheus by promtool; all tell the same."""
import json
import os
import re
import subprocess
import xml.etree.ElementTree as ET

from lib import admin, daemon, net, tap
from lib.tap import check, equal

tap.need("promtool", "xmllint")
admin.need_jsonschema()
net.need_namespaces()
daemon.need_daemon()

S = net.Standard
PROBE = os.environ.get("TURNPIKE_PROBE", os.path.join(daemon.BUILDDIR, "turnpike-probe"))
if not os.access(PROBE, os.X_OK):
    tap.skip_all(f"{PROBE} is not built")

SETTINGS = {"relay-ip": "11.0.0.1", "allowed-peer-ip": "198.51.100.0/24"}  # relayed addresses are public; the client may be sent to
TEXT = "<b>&amp; 'it' \\ {it} \u00fc"
VERDICTS = {2: "SKIP", 3: "FAIL", 5: "WARN", 6: "PASS"}  # no host; nobody listens; there is no firewall; all is well
PATIENCE_S = 60


def rules(port):
    return f"""
2 out browser app tcp/443 http "{TEXT}"
3 out browser connect tcp/1 websocket "{TEXT}"
5 out browser relay udp/{port} stun,turn "{TEXT}"
6 out browser {S.SERVER} udp/{port} stun "{TEXT}"
"""


FORMS = {"json": ["-o", "json"], "junit": ["-o", "junit"], "strict": ["-o", "junit", "--strict"], "prometheus": ["-o", "prometheus"]}


class World:
    """The same run in each form, all at the same time."""

    def __init__(self, n, d, directory):
        self.net, self.directory = n, directory
        path = directory.file("rules", rules(d.port()))
        password = directory.file("password", daemon.PASSWORD + "\n")
        self.command = [PROBE, "--role", "browser", "--quick", "--rules", path, "--relay", S.SERVER, "--connect", S.SERVER]
        self.command += ["--user", daemon.USER, "--password-file", password]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        runs = {name: n.cli.popen(self.command + words, **pipes) for name, words in FORMS.items()}
        self.said = {}
        for name, run in runs.items():
            out, err = run.communicate(timeout=PATIENCE_S)
            equal((run.returncode, err), (2, ""), f"what the run for {name} ends with, and says")
            self.said[name] = out
        self.rules = {r["number"]: r for r in json.loads(self.said["json"])["rules"]}


@tap.group
def reports():
    with net.Standard() as n, daemon.Daemon(n.srv, SETTINGS) as d, daemon.Directory() as directory:
        yield World(n, d, directory)


def source(*path):
    with open(os.path.join(admin.SRCDIR, *path), encoding="utf-8") as f:
        return f.read()


def faults(report):
    """What the schema finds wrong."""
    import jsonschema  # pylint: disable=import-outside-toplevel # need_jsonschema has looked

    schema = json.loads(source("docs", "probe-report.schema.json"))
    jsonschema.Draft202012Validator.check_schema(schema)
    errors = jsonschema.Draft202012Validator(schema).iter_errors(report)
    return "; ".join(f"{'/'.join(map(str, e.absolute_path))}: {e.message[:200]}" for e in errors)


@reports.case("JSON is as its schema says; each verdict is there")
def _(w):
    report = json.loads(w.said["json"])
    equal(faults(report), "", "what the schema finds wrong")
    equal({n: r["verdict"] for n, r in w.rules.items()}, VERDICTS, "the verdicts")
    equal((w.rules[3]["code"], w.rules[5]["code"]), ("tcp_rst", "open_too_wide"), "the codes")
    check(w.rules[5]["measures"]["stream"]["received"] > 0, f"no stream: {w.rules[5]['measures']}")


@reports.case("the schema refuses what the program must not write")
def _(w):
    for path, value in (
        (("rules", 0, "number"), 0),
        (("rules", 1, "code"), "no_such_code"),
        (("rules", 1, "code"), None),
        (("rules", 3, "code"), "udp_timeout"),
        (("rules", 2, "measures", "stream", "loss_percent"), 101),
        (("rules", 2, "measures", "relayed"), "11.0.0.1"),
        (("rules", 2, "stage"), "names"),
        (("began_at",), "yesterday"),
        (("verdict",), "GOOD"),
        (("role",), None),
    ):
        broken = json.loads(w.said["json"])
        at = broken
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value
        check(faults(broken), f"{path} may be {value!r}")
    for member in ("rules", "quick", "took_ms"):
        broken = json.loads(w.said["json"])
        del broken[member]
        check(faults(broken), f"{member} may be missing")


def read_junit(w, name):
    """The cases by the number of the rule, once the validator has found nothing wrong."""
    path = w.directory.file(f"{name}.xml", w.said[name])
    schema = os.path.join(admin.SRCDIR, "tests", "func", "junit.xsd")
    p = subprocess.run(["xmllint", "--noout", "--nonet", "--schema", schema, path], capture_output=True, text=True, timeout=tap.PATIENCE_S, check=False)
    equal(p.returncode, 0, f"xmllint's status, with {p.stderr}")
    root = ET.fromstring(w.said[name])
    cases = root.findall("testsuite/testcase")
    for counted in (root, root[0]):
        have = tuple(int(counted.get(k)) for k in ("tests", "failures", "errors", "skipped"))
        equal(have, (len(cases), len(root.findall(".//failure")), 0, len(root.findall(".//skipped"))), "the counts")
    return {int(re.match(r"rule (\d+): ", c.get("name"))[1]): c for c in cases}


@reports.case("JUnit: a validator reads it; a failure has its code, what was seen, and the line to add")
def _(w):
    cases = read_junit(w, "junit")
    equal(sorted(cases), sorted(VERDICTS), "the cases")
    failed = {n: c.find("failure") for n, c in cases.items() if c.find("failure") is not None}
    equal(list(failed), [3], "the failures")
    equal(failed[3].get("type"), "tcp_rst", "its type")
    for word in (w.rules[3]["evidence"], w.rules[3]["cure"], w.rules[3]["add"]):
        check(word in failed[3].text, f"{word!r} is not in {failed[3].text!r}")
    check(cases[2].find("skipped") is not None, "a rule without a host isn't skipped")
    check(cases[5].find("system-out").text.startswith("warning: open_too_wide at the stage "), "a warning is not told")


@reports.case("JUnit with --strict: a warning is a failure")
def _(w):
    failed = {n: c.find("failure").get("type") for n, c in read_junit(w, "strict").items() if c.find("failure") is not None}
    equal(failed, {3: "tcp_rst", 5: "open_too_wide"}, "the failures")


@reports.case("Prometheus: promtool finds nothing wrong, and the samples are what the JSON says")
def _(w):
    text = w.said["prometheus"]
    p = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=tap.PATIENCE_S, check=False)
    equal((p.returncode, p.stdout, p.stderr), (0, "", ""), "what promtool says")
    ok = {int(n): int(v) for n, v in re.findall(r'^turnpike_probe_rule_ok\{rule="(\d+)",.*\} (\d)$', text, re.M)}
    equal(ok, {3: 0, 5: 1, 6: 1}, "which rules hold")
    for part in ('rule_code{rule="3",from="browser",to="connect",stage="reach",code="tcp_rst"} 1', f'rule_ok{{rule="6",from="browser",to="{S.SERVER}"}} 1', 'loss_ratio{rule="5"'):
        check(f"turnpike_probe_{part}" in text, f"{part} is not in {text}")
    check('rtt_seconds{rule="6"' not in text, "a rule without a stream has a round trip")


def completed(*words):
    """What bash offers for the last of these words."""
    script = f'. {os.path.join(admin.SRCDIR, "packaging", "completion", "turnpike-probe")}; COMP_WORDS=(turnpike-probe "$@"); COMP_CWORD=$#; '
    script += '_turnpike_probe; printf "%s\\n" "${COMPREPLY[@]}"'
    p = subprocess.run(["bash", "-uc", script, "bash", *words], capture_output=True, text=True, timeout=tap.PATIENCE_S, check=True)
    equal(p.stderr, "", "what bash says")
    return set(p.stdout.split())


@reports.case("the guide, the schema and turnpike-probe(1) have every code, and no other")
def _(_w):
    codes = set(re.findall(r'\[CODE_\w+\] = \{"(\w+)"', source("probe", "codes.c")))
    check(len(codes) > 20, f"the codes are {codes}")
    guide = source("docs", "firewall.md").split("## What a reason means")[1]
    equal(set(re.findall(r"^\| `(\w+)` \|", guide, re.M)), codes, "those of the guide")
    equal(set(json.loads(source("docs", "probe-report.schema.json"))["$defs"]["code"]["enum"]), codes | {None}, "those of the schema")
    reasons = source("docs", "turnpike-probe.1").split(".Sh REASONS")[1].split(".Sh ")[0]
    equal(set(re.findall(r"\w+", " ".join(re.findall(r"^\.It Cm (.*)$", reasons, re.M)))), codes, "those of the manual page")


@reports.case("--help, the manual page and bash's completion have the options of the program, and their words")
def _(_w):
    said = subprocess.run([PROBE, "--help"], capture_output=True, text=True, timeout=tap.PATIENCE_S, check=True).stdout
    taken = set(re.findall(r'\{"([a-z-]+)", [012], NULL', source("programs", "turnpike-probe.c"))) - {"output"}  # which is -o
    check(len(taken) > 20, f"the program takes {taken}")
    equal(set(re.findall(r"(?<![\w-])--([a-z][a-z-]+)", said)), taken, "the options of --help")
    equal(set(re.findall(r"Fl Fl ([a-z][a-z-]+)", source("docs", "turnpike-probe.1"))), taken, "those of the manual page")
    equal(completed("--"), {f"--{option}" for option in taken}, "those of the completion")
    equal((completed("--role", ""), completed("--role", "="), completed("--side", "=", "o")), ({"browser", "server"}, {"browser", "server"}, {"office"}), "words")
    equal(completed("-o", ""), set(FORMS) - {"strict"} | {"table"}, "forms of the result")


@reports.case("a result that can't be written is status 3, in each form")
def _(w):
    command = [PROBE, "--role", "browser", "--quick", "--connect", f"{S.SERVER}:1"]
    for words in ([], *FORMS.values(), ["--generate", "text", "--side", "relay"]):
        with open("/dev/full", "w", encoding="ascii") as full, w.net.cli.popen(command + words, stdout=full, stderr=subprocess.PIPE, text=True) as p:
            said = p.communicate(timeout=PATIENCE_S)[1]
        equal(p.returncode, 3, f"the status of {words}")
        check("can't be written" in said, f"{words} says {said!r}")


tap.main()
