#!/usr/bin/env python3
"""The metrics as Prometheus takes them, and what is shipped for it: alert rules, and a dashboard of Grafana."""
import contextlib
import json
import os
import re
import subprocess

from lib import admin, call, daemon, net, redis, tap
from lib.tap import check, equal

tap.need("openssl", "prometheus", "promtool", "redis-server")
net.need_namespaces()
daemon.need_daemon()

S = net.Standard
PORT = 9090
GRAFANA = os.path.join(os.path.abspath(admin.SRCDIR), "packaging", "grafana")
ALERTS = os.path.join(GRAFANA, "alerts.yml")
# "No label by user or session": what may be one.
LABELS = {"transport", "family", "result", "method", "direction", "path", "reason", "le", "worker", "version", "certificate", "status", "role"}


def promtool(*words, text=None):
    p = subprocess.run(["promtool", *words], input=text, capture_output=True, text=True, timeout=60, check=False)
    equal((p.returncode, p.stderr if text else ""), (0, ""), f"what promtool {' '.join(words[:2])} says: {p.stdout}{p.stderr}")


def families(text):
    """Name to type."""
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))


def series(text):
    """Names that can be asked for."""
    out = {"up"}
    for name, kind in families(text).items():
        out |= {f"{name}_{x}" for x in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    return out


def grafana():
    """Every question of the dashboard, with its variables filled in."""
    with open(os.path.join(GRAFANA, "turnpike.json"), encoding="utf-8") as f:
        d = json.load(f)
    out = [t["expr"] for p in d["panels"] for t in p["targets"]] + [v["definition"] for v in d["templating"]["list"] if v["type"] == "query"]
    return [q.replace("$__rate_interval", "5s").replace("$job", ".*").replace("$instance", ".*") for q in out]


class Prometheus:
    """A real one, in a namespace of its own making; it scrapes the relay each second, over TLS with a token."""

    def __init__(self, plane):
        self.ns, self.directory = plane.net.cli, daemon.Directory()
        token = self.directory.file("token", plane.token["read"])
        config = self.directory.file("prometheus.yml", f"""
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: [{ALERTS}]
scrape_configs:
  - job_name: turnpike
    scheme: https
    tls_config: {{ca_file: {plane.ca}}}
    authorization: {{credentials_file: {token}}}
    static_configs: [{{targets: ["{S.SERVER}:{admin.PORT}"]}}]
""")
        self.log_path = self.directory.file("log")
        command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={self.directory.file('data')}",
                   f"--web.listen-address=127.0.0.1:{PORT}", "--log.level=warn"]
        with open(self.log_path, "wb") as log:
            self.process = self.ns.popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory.path)
        self.client = admin.Client(ns=self.ns, address=("127.0.0.1", PORT))

    def __enter__(self):
        try:
            tap.wait_until(self.answers, "Prometheus serves", 30, process=self.process)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.directory.__exit__()

    def answers(self):
        try:
            return self.client.call("GET", "/-/ready").status == 200
        except OSError:
            return False

    def ask(self, question):
        """Values of an instant query."""
        a = self.client.call("GET", f"/api/v1/query?query={admin.quoted(question)}")
        equal(a.status, 200, f"the answer to {question} ({a.body[:300]!r})")
        return [float(r["value"][1]) for r in a.json["data"]["result"]]


@tap.group
def metrics():
    with net.Standard() as n, redis.Server(n.srv), contextlib.ExitStack() as stack:
        yield admin.Plane(stack, n, {"redis": "redis://127.0.0.1:6379", "total-quota": 100})


@metrics.case("metrics: promtool finds nothing wrong; every name has a type and a text, all that are promised are there")
def _(w):
    with call.Call(w):
        text = w.tls("read").get("/metrics").body.decode()
    promtool("check", "metrics", text=text)
    promised = """build_info allocations_active allocate_results_total requests_total relay_bytes_total relay_packets_total drops_total
        auth_failures_total auth_seconds session_seconds redis_up worker_busy_ratio certificate_expiry_seconds connect_connections
        connect_clients connect_calls connect_calls_ended_total connect_refusals_total""".split()
    missing = {f"turnpike_{p}" for p in promised} - set(families(text))
    check(not missing, f"{missing} are not there")
    check(all(name.startswith("turnpike_") for name in families(text)), f"names are {sorted(families(text))}")


@metrics.case("metrics: no label tells of a user or a session")
def _(w):
    with call.Call(w) as c:
        text = w.tls("read").get("/metrics").body.decode()
        labels = set(re.findall(r'[{,](\w+)="', text))
        check(labels <= LABELS, f"labels are {labels}")
        for secret in (c.client.user, c.client.address[0], c.peer.address[0]):
            check(f'"{secret}' not in text, f"{secret} is told")


@metrics.case("metrics: the alert rules are right, fire for a relay in trouble, and leave one that is well alone")
def _(_w):
    promtool("check", "rules", ALERTS)
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "alerts.yml"), encoding="utf-8") as f, daemon.Directory() as d:
        promtool("test", "rules", d.file("test.yml", f.read().replace("RULES", ALERTS)))


@metrics.case("metrics: alert rules and the dashboard of Grafana name only what is there")
def _(w):
    there = series(w.tls("read").get("/metrics").body.decode())
    with open(ALERTS, encoding="utf-8") as f:
        rules = f.read()
    for place, questions in (("alerts.yml", re.findall(r"^ *expr: (.*)$", rules, re.M)), ("turnpike.json", grafana())):
        check(len(questions) > 7, f"{place} asks {questions}")
        names = {n for q in questions for n in re.findall(r"\b(?:turnpike_\w+|process_\w+|up)\b(?!=)", q)}
        check(names <= there, f"{place} names {names - there}")


@metrics.case("metrics: a real Prometheus sees turnpike_relay_bytes_total rise during a call, not after it", seconds=180)
def _(w):
    with Prometheus(w) as p:
        def relayed():
            """A busy machine may be late for a scrape, and then there is nothing until the next one."""
            return sum(tap.wait_until(lambda: p.ask("turnpike_relay_bytes_total"), "the bytes are scraped", 20, process=p.process))

        tap.wait_until(lambda: p.ask('up{job="turnpike"}') == [1.0], "it is scraped", 30, process=p.process)
        before = relayed()
        with call.Call(w) as c:
            seen = [before]

            def rise():
                now = relayed()
                return now > seen[-1] and seen.append(now) is None

            for _ in range(3):
                tap.wait_until(rise, f"more than {seen[-1]} bytes", 20, process=p.process)
                check(c.failure is None, f"the call has ended: {c.failure}")
        print(f"# seen during the call: {seen}", flush=True)

        def settled():
            """Scraped since the call ended: then it is all that there will be."""
            return p.ask("sum(turnpike_allocations_active)") == [0.0]

        tap.wait_until(settled, "the end of the call is seen", 20, process=p.process)
        after = relayed()
        scrapes = p.ask('sum(count_over_time(up{job="turnpike"}[1h]))')[0]
        tap.wait_until(lambda: p.ask('sum(count_over_time(up{job="turnpike"}[1h]))')[0] >= scrapes + 2, "two scrapes more", 20, process=p.process)
        equal(relayed(), after, "the bytes after the call")
        for question in [q for q in grafana() if not q.startswith("label_values")]:
            p.ask(question)  # Prometheus understands it
        tap.wait_until(lambda: p.ask('ALERTS{alertname!~"TurnpikeCertificate.*"}') == [], "there is no alert of a relay that is well", 20, process=p.process)


tap.main()
