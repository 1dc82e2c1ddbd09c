"""An office whose bridge somebody plays at the connect service of a relay: what it is asked, and what it says of the firewall before it."""
import contextlib

from desk import desk

from lib import admin, daemon, net, websocket
from lib.tap import equal

S = net.Standard
HOST = f"{S.SERVER}:443"
PAGE = f"https://{S.SERVER}/check"
ADD = f"allow out udp office -> {S.SERVER}:3478"
MEASURES = dict.fromkeys(("connect_ms", "open_ms", "idle_s", "mapped", "relayed", "stream", "mtu", "udp_idle_s", "nat"))


@contextlib.contextmanager
def at_desk(settings=None):
    """A desk before a relay that has a connect service and the page, both on 443."""
    with daemon.Directory() as directory:
        cert, key = admin.certificate(directory, S.SERVER, "connect")
        with desk({"cert": cert, "pkey": key, "connect-listen": HOST, "app-listen": HOST, **(settings or {})}) as d:
            d.connect_ca = cert
            yield d


def rule(number, verdict, evidence, code=None, cure=None, add=None):
    to, protocol, port = {1: ("connect", "tcp", 443), 4: ("relay", "udp", 3478)}[number]
    return {"number": number, "text": "", "source": "server", "destination": to, "protocol": protocol, "port": port, "host": S.SERVER, "address": f"{S.SERVER}:{port}",
            "verdict": verdict, "stage": "reach" if code else "quality", "code": code, "evidence": evidence, "cure": cure, "add": add, "measures": MEASURES}


REACHED = rule(1, "PASS", "TLS 1.3, WebSocket 101 in 41 ms")
RELAYED = rule(4, "PASS", "relayed address 198.51.100.1; relay to relay: 3 ms there and back")
FORGOTTEN = rule(4, "WARN", "UDP idle time-out 20 s", "udp_idle_short", "let UDP live for 30 s at least in the firewall's state table")


def filtered(evidence="no answer to 7 requests in 39.5 s; tcp/3478 answers: UDP is filtered"):
    return rule(4, "FAIL", evidence, "udp_timeout", "open the rule in each firewall on the way", ADD)


class Bridge:
    """Signed in, with a token that nobody else has."""

    def __init__(self, d, name, tenant="acme"):
        token = d.admin.call("POST", "/api/v1/tokens", {"owner": name, "ttl": 3600, "tenant": tenant, "scope": "bridge"})
        equal(token.status, 201, "the status of a new token")
        self.ws = websocket.WebSocket(websocket.connect((S.SERVER, 443), d.plane.net.cli, websocket.tls_context(d.connect_ca)), HOST)
        said = self.ws.call("hello", token={k: token.json[k] for k in ("username", "password")}, role="bridge", name=name)
        self.id, self.probe, self.quick = said["session"], None, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.ws.notify("bye")  # else it would be listed for half a minute more
            self.ws.closed()
        self.ws.__exit__()

    def asked(self):
        """Waits until it is asked to prove its rules."""
        params = self.ws.expect("probe.start")
        self.probe, self.quick = params["probe"], params["quick"]

    def progress(self, done, of):
        self.ws.notify("probe.progress", probe=self.probe, done=done, of=of)

    def done(self, *rules):
        worst = max((r["verdict"] for r in rules), key=("SKIP", "PASS", "WARN", "FAIL").index)
        self.ws.notify("probe.done", probe=self.probe, report={"role": "server", "quick": self.quick, "began_at": "2026-01-01T00:00:00Z", "took_ms": 41000, "verdict": worst, "rules": rules})

    def fail(self, error):
        self.ws.notify("probe.done", probe=self.probe, error=error)
