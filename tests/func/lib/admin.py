"""The admin plane as its callers see it: HTTP over the Unix socket and over TCP, bearer tokens, the OpenAPI document, and what comes by it."""
import collections
import contextlib
import hashlib
import http.client
import json
import os
import re
import secrets
import socket
import ssl
import subprocess
import urllib.parse

from . import daemon, net, tap, world

S = net.Standard
PORT = 8443
ROLES = ("read", "credentials", "admin")
SRCDIR = os.environ.get("TP_SRCDIR", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", ".."))


class Answer(collections.namedtuple("Answer", "status headers body")):
    """`headers` have names in lower case; of one that comes twice, the last."""

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def kind(self):
        return self.headers.get("content-type", "").split(";")[0].strip()

    @property
    def detail(self):
        return self.json.get("detail", "")


class _Connection(http.client.HTTPConnection):
    def __init__(self, connect):
        super().__init__("localhost", timeout=tap.PATIENCE_S)
        self._open = connect
        self.reconnected = -1

    def connect(self):
        self.sock = self._open()
        self.reconnected += 1


class Client:
    """`path` is a Unix socket; or `address` is where to connect from a namespace, with TLS if there is a `ca`."""

    def __init__(self, path=None, ns=None, address=None, ca=None, token=None):
        self.path, self.ns, self.address, self.token = path, ns, address, token
        self.tls = ssl.create_default_context(cafile=ca) if ca else None

    def connect(self, plain=False):
        """A connected socket; `plain` without TLS."""
        if self.path:
            s = socket.socket(socket.AF_UNIX)
        else:
            s = self.ns.socket(socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET, socket.SOCK_STREAM)
        try:
            s.settimeout(tap.PATIENCE_S)
            s.connect(self.path or self.address)
            if self.tls and not plain:
                s = self.tls.wrap_socket(s, server_hostname=self.address[0])
        except BaseException:
            s.close()
            raise
        return s

    def request(self, connection, method, path, body=None, headers=None):
        """`body`: bytes are sent as they are, all else as JSON; `headers` may take one away by None."""
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        all_headers = {"Host": "localhost", "Authorization": f"Bearer {self.token}" if self.token else None}
        if raw is not None:
            all_headers["Content-Type"] = "application/json"
        all_headers.update(headers or {})
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has answered without waiting for the body
            connection.request(method, path, raw, {k: v for k, v in all_headers.items() if v is not None})
        return connection.getresponse()

    def call(self, method, path, body=None, headers=None, connection=None):
        """One request; on a connection of its own, unless one is lent."""
        c = connection or _Connection(self.connect)
        try:
            response = self.request(c, method, path, body, headers)
            data = response.read()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, data)
        finally:
            if not connection:
                c.close()

    def get(self, path, status=200, **kw):
        a = self.call("GET", path, **kw)
        tap.check(a.status == status, f"GET {path} answered {a.status}, not {status}: {a.body[:500]!r}")
        return a

    def connection(self):
        """To be lent to several calls."""
        return _Connection(self.connect)

    def raw(self, data, plain=False):
        """What comes back for these bytes, until the relay closes."""
        got = b""
        with self.connect(plain) as s, contextlib.suppress(ConnectionError):  # it may close with bytes of ours unread
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # before all is sent, and what it has said can be read all the same
                s.sendall(data)
            while more := s.recv(65536):
                got += more
        return got

    def events(self, query="", last=None):
        return Events(self, query, last)


class Events:
    """A reader of /api/v1/events."""

    def __init__(self, client, query="", last=None):
        self.connection = _Connection(client.connect)
        try:
            self.response = client.request(self.connection, "GET", f"/api/v1/events{query}", headers={"Last-Event-ID": last, "Accept": "text/event-stream"})
            tap.equal(self.response.status, 200, "the status of /api/v1/events")
            tap.equal(self.response.getheader("Content-Type").split(";")[0], "text/event-stream", "its type")
        except BaseException:
            self.connection.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def next(self):
        """(id, type, data, the lines as they came) of the next event; comments are passed over. None: the relay has closed."""
        fields, lines = {}, []
        while True:
            line = self.response.readline().decode()
            if not line:
                return None
            line = line.rstrip("\n")
            if line == "" and fields:
                break
            if line == "" or line.startswith(":"):
                continue
            name, _, value = line.partition(": ")
            tap.check(name in ("id", "event", "data"), f"the line {line!r}")
            lines.append(line)
            fields[name] = value
        return int(fields.get("id", 0)), fields["event"], json.loads(fields["data"]), lines

    def until(self, kind, wanted=lambda data: True):
        """The next event of this type for which `wanted` holds."""
        while True:
            event = self.next()
            tap.check(event is not None, f"the relay closed before an event {kind} came")
            if event[1] == kind and wanted(event[2]):
                return event


class Tokens:
    """STATE-DIR/admin-tokens, written whole as turnpikectl does."""

    def __init__(self, directory):
        self.path = directory.file("admin-tokens")
        self.lines = {}

    def add(self, name, *roles, expires=0):
        token = "tpa_" + secrets.token_urlsafe(32)
        self.lines[name] = f"{name} {','.join(roles)} {expires} {hashlib.sha256(token.encode()).hexdigest()}\n"
        self.write()
        return token

    def remove(self, name):
        del self.lines[name]
        self.write()

    def write(self):
        with open(self.path + ".new", "w", encoding="ascii") as f:
            os.chmod(f.fileno(), 0o600)
            f.write("# name roles expires sha256\n" + "".join(self.lines.values()))
        os.rename(self.path + ".new", self.path)


def certificate(directory, ip, name="admin", subject="/CN=admin"):
    """A fresh one that signs itself: paths of certificate and key."""
    cert, key = directory.file(f"{name}.pem"), directory.file(f"{name}.key")
    words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-utf8", "-subj", subject]
    words += ["-addext", f"subjectAltName=IP:{ip}", "-keyout", key, "-out", cert]
    subprocess.run(["openssl", *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return cert, key


class Plane(world.World):
    """A daemon with an admin plane on its Unix socket and, with TLS, on its address towards the clients, and a token of each role."""

    def __init__(self, stack, n, settings=None, **kw):
        self.directory = stack.enter_context(daemon.Directory())
        self.tokens = Tokens(self.directory)
        self.token = {role: self.tokens.add(f"a-{role}", role) for role in ROLES}
        self.token["expired"] = self.tokens.add("an-expired", *ROLES, expires=1000000000)
        self.token["wrong"] = "tpa_" + secrets.token_urlsafe(32)
        cert, key = certificate(self.directory, S.SERVER)
        usual = {
            "listening-ip": [S.SERVER, S.SERVER6],
            "listening-port": 3478,
            "relay-ip": [S.RELAY, S.RELAY6],
            "allowed-peer-ip": list(S.PEER_NETS),
            "state-dir": self.directory.path,
            "admin-listen": f"{S.SERVER}:{PORT}",
            "admin-cert": cert,
            "admin-pkey": key,
            "workers": 2,
        }
        usual.update(settings or {})
        super().__init__(n, stack.enter_context(daemon.Daemon(n.srv, usual, **kw)))
        stack.callback(self.close)
        self.ca = cert
        self.socket = Client(path=self.daemon.settings["admin-socket"])

    def tls(self, role=None):
        """A caller with a token of this role, or with none; over TLS."""
        return Client(ns=self.net.cli, address=(S.SERVER, PORT), ca=self.ca, token=self.token.get(role))

    def ctl(self, *words):
        """turnpikectl's output."""
        return self.net.srv.run([os.path.join(daemon.BUILDDIR, "turnpikectl"), "--config", self.daemon.config_path, *words])


@contextlib.contextmanager
def plane(settings=None, **kw):
    with contextlib.ExitStack() as stack:
        yield Plane(stack, stack.enter_context(S()), settings, **kw)


# ---- The document. ----

METHODS = ("get", "put", "post", "delete", "patch", "head", "options")


class Operation:
    def __init__(self, document, path, method):
        self.document, self.path, self.method = document, path, method.upper()
        item = document.root["paths"][path]
        self.what = item[method]
        self.name = self.what["operationId"]
        self.roles = self.what.get("x-roles")
        self.parameters = [document.resolve(p) for p in [*item.get("parameters", []), *self.what.get("parameters", [])]]
        body = self.what.get("requestBody")
        self.body = document.resolve(body["content"]["application/json"]["schema"]) if body else None
        self.body_needed = bool(body and body["required"])
        self.pattern = re.compile(re.sub(r"\\\{\w+\\\}", "[^/?]+", re.escape(path)) + r"(\?.*)?")

    def has(self, name):
        """A parameter of this name."""
        return any(p["name"] == name for p in self.parameters)

    def answers(self):
        """The statuses that it may answer."""
        return {int(s) for s in self.what["responses"]}

    def judge(self, answer):
        """Is this answer one that the document knows?"""
        where = f"{self.method} {self.path} answered {answer.status}"
        response = self.what["responses"].get(str(answer.status))
        tap.check(response is not None, f"{where}, of which the document does not know: {answer.body[:300]!r}")
        content = self.document.resolve(response).get("content")
        if content is None:
            tap.equal(answer.body, b"", f"the body where {where}")
            return answer
        tap.check(answer.kind in content, f"{where} as {answer.kind!r}, not {list(content)}: {answer.body[:300]!r}")
        if answer.kind.endswith("json"):
            self.document.validate(content[answer.kind]["schema"], answer.json, where)
        if answer.kind == "application/problem+json":
            tap.equal(answer.json["status"], answer.status, f"the status inside, where {where}")
        for name, header in self.document.resolve(response).get("headers", {}).items():
            tap.check(name.lower() in answer.headers or not header.get("required"), f"{where} without {name}")
        return answer


class Document:
    def __init__(self, root):
        self.root = root
        self.operations = [Operation(self, p, m) for p, item in root["paths"].items() for m in item if m in METHODS]
        self.by_name = {o.name: o for o in self.operations}

    @classmethod
    def of_tree(cls):
        with open(os.path.join(SRCDIR, "admin", "openapi.json"), encoding="utf-8") as f:
            return cls(json.load(f))

    def resolve(self, what):
        while "$ref" in what:
            at = self.root
            for word in what["$ref"].removeprefix("#/").split("/"):
                at = at[word]
            what = at
        return what

    def validate(self, schema, value, where):
        import jsonschema  # pylint: disable=import-outside-toplevel # only those who validate need it

        whole = {**schema, "components": self.root["components"]}
        errors = sorted(jsonschema.Draft202012Validator(whole).iter_errors(value), key=lambda e: list(e.absolute_path))
        said = "; ".join(f"{'/'.join(map(str, e.absolute_path)) or 'all'}: {e.message[:300]}" for e in errors[:5])
        tap.check(not errors, f"{where}, which its schema does not allow: {said}")

    def allowed(self, path):
        """The methods of this path, in capitals."""
        return {m.upper() for m in self.root["paths"][path] if m in METHODS}


def need_jsonschema():
    try:
        import jsonschema  # noqa: F401 # pylint: disable=import-outside-toplevel,unused-import
    except ImportError:
        tap.skip_all("python3-jsonschema is not installed")


def quoted(text):
    return urllib.parse.quote(text, safe="")
