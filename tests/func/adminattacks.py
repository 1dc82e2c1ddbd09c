#!/usr/bin/env python3
"""Attacks at the admin plane: who may (S22), what it gives away (S24), what it writes (S12), what hostile names do (S7); events and the
audit log."""
import contextlib
import os
import re
import signal
import socket
import ssl
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import admin, daemon, net, tap  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tap import check, equal  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tokens import rest  # noqa: E402 # pylint: disable=wrong-import-position

tap.need("openssl")
net.need_namespaces()
daemon.need_daemon()

S = net.Standard
V = "/api/v1"
ORIGIN = "https://app.example.org"
SECRET = "zz-shared-secret"
BODY_MAX = 65536
CONNECTIONS_SOURCE, CONNECTIONS_MAX = 64, 128
REFUSED_S = 0.5 if not tap.SANITIZER else 5.0  # beyond the limit in all a connection waits for its turn
PROMPTLY_S = 8.0  # for each refusal: what does not end by itself is cut off after ten


@tap.group
def plane():
    with admin.plane({"admin-origin": ORIGIN, "static-auth-secret": SECRET, "log-level": "debug"}) as w:
        w.caller = w.tls()
        yield w


# ---- Who may. ----


@plane.case("S22 beyond loopback it does not start without TLS, and says what is missing; on loopback it wants a token")
def _(w):
    with daemon.Directory() as d:
        for where in (f"{S.SERVER}:9443", "0.0.0.0:9443", "[::]:9443", f"[{S.SERVER6}]:9443"):
            path = d.file("conf", daemon.config_text({**daemon.defaults(d), "listening-port": 0, "admin-listen": where}))
            status, out, err = daemon.run_daemon(["--config", path], ns=w.net.srv)
            equal(status, 2, f"the status with admin-listen={where} ({out}{err})")
            check("admin-cert" in out + err, f"it does not say what is missing: {out}{err}")
        tokens = admin.Tokens(d)
        with daemon.Daemon(w.net.srv, {"listening-port": 0, "state-dir": d.path, "admin-listen": "127.0.0.1:9080"}) as other:
            address = ("127.0.0.1", 9080)
            equal(admin.Client(ns=w.net.srv, address=address).call("GET", f"{V}/status").status, 401, "the status without a token")
            token = tokens.add("reader", "read")
            admin.Client(ns=w.net.srv, address=address, token=token).get(f"{V}/status")
            check(token not in other.log(), "the token is in the log")


@plane.case("S22 a token comes in the Authorization header alone, as a bearer; its scheme's case does not matter")
def _(w):
    c, token = w.tls(), w.token["read"]
    for value in (f"bearer {token}", f"BEARER {token}"):
        c.get(f"{V}/status", headers={"Authorization": value})
    for value in (f"Basic {token}", token, "Bearer", "Bearer ", f"Bearer {token}x", f"Bearer {token[:-1]}", f"Bearer x {token}", "Bearer " + "x" * 5000, "Bearer \xff"):
        c.get(f"{V}/status", 401, headers={"Authorization": value})
    c.get(f"{V}/status?access_token={token}", 401)
    c.get(f"{V}/status", 401, headers={"Cookie": f"token={token}"})


@plane.case("S22 tokens are replaced without a restart: a new one serves at once, one taken away is refused; a broken file changes nothing")
def _(w):
    first = w.tokens.add("script", "read")
    old = admin.Client(ns=w.net.cli, address=(S.SERVER, admin.PORT), ca=w.ca, token=first)
    old.get(f"{V}/status")
    second = w.tokens.add("script-2", "read")
    new = admin.Client(ns=w.net.cli, address=(S.SERVER, admin.PORT), ca=w.ca, token=second)
    new.get(f"{V}/status")
    w.tokens.remove("script")
    old.get(f"{V}/status", 401)
    with open(w.tokens.path, "a", encoding="ascii") as f:
        f.write("broken line\n")
    new.get(f"{V}/status")
    old.get(f"{V}/status", 401)
    w.daemon.wait_log("event=admin_tokens_refused")
    w.tokens.remove("script-2")
    new.get(f"{V}/status", 401)
    with open(w.tokens.path, encoding="ascii") as f:
        check(first not in f.read(), "a token is in the file")


@plane.case("S26 TLS 1.2 at least, and no plain HTTP where TLS is")
def _(w):
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.load_verify_locations(w.ca)
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with w.tls().connect(plain=True) as s:
        try:
            old.wrap_socket(s, server_hostname=S.SERVER)
        except (ssl.SSLError, ConnectionError):
            pass
        else:
            check(False, "TLS 1.1 was spoken")
    with contextlib.suppress(ConnectionError):
        check(b"HTTP/1" not in w.tls().raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", plain=True), "plain HTTP was answered")
    w.tls().get("/healthz")


@plane.case("S22 a body, a header and a line that are too large, and requests that say two things, are refused at once")
def _(w):
    def ask(text, body=b""):
        start = time.monotonic()
        said = w.socket.raw(text.replace("\n", "\r\n").encode() + b"\r\n" + body)
        check(time.monotonic() - start < PROMPTLY_S, f"{text[:100]!r} took its time")
        return said

    head = f"POST {V}/tokens HTTP/1.1\nHost: x\nConnection: close\n"
    check(b" 413 " in ask(head + f"Content-Length: {BODY_MAX + 1}\n", bytes(BODY_MAX + 1))[:20], "a body that is too large")
    for length in ("99999999999", "9223372036854775807"):
        check(ask(head + f"Content-Length: {length}\n", b"{}")[:13] == b"HTTP/1.1 413 ", f"a body of {length} bytes")
    check(b" 413 " in ask(head + "Transfer-Encoding: chunked\n", b"10000\r\n" + bytes(65536) + b"\r\n10000\r\n" + bytes(65536) + b"\r\n0\r\n\r\n")[:20], "chunks")
    for length in ("-1", "x", "99999999999999999999999"):
        check(re.match(rb"HTTP/1.1 4\d\d ", ask(head + f"Content-Length: {length}\n", b"{}")), f"Content-Length: {length}")
    for what in ("X: " + "y" * 40000 + "\n", "".join(f"X{i}: y\n" for i in range(8000))):
        check(re.match(rb"HTTP/1.1 4\d\d |$", ask("GET /healthz HTTP/1.1\nHost: x\n" + what)), "headers that are too large")
    check(re.match(rb"HTTP/1.1 4\d\d |$", ask(f"GET /{'x' * 40000} HTTP/1.1\nHost: x\n")), "a line that is too large")
    for what in (f"{head}Content-Length: 2\nTransfer-Encoding: chunked\n", "GET /healthz HTTP/1.1\nHost : x\nConnection: close\n", "GET /healthz HTTP/9.9\nHost: x\n"):
        check(re.match(rb"HTTP/1.[01] [45]\d\d |$", ask(what, b"0\r\n\r\n")), f"{what!r}")
    w.socket.get("/healthz")


@plane.case("S22 the body of a request that is refused is read, so that the refusal is heard and the connection goes on")
def _(w):
    for path, caller, status in ((f"{V}/nothing", w.socket, 404), (f"{V}/status", w.socket, 405), (f"{V}/tokens", w.tls(), 401), (f"{V}/drain", w.tls("read"), 403)):
        c = caller.connection()
        for _ in range(2):
            equal(caller.call("POST", path, {"owner": "x" * 1000}, connection=c).status, status, f"POST {path}")
        equal(caller.call("GET", "/healthz", connection=c).status, 200, "the next request on that connection")
        equal(c.reconnected, 0, "the times that it was closed")
        c.close()


@plane.case("S22 connections are bounded by source and in all; those that are known and the Unix socket go on")
def _(w):
    held = []
    kept = w.caller.connection()
    w.caller.get("/healthz", connection=kept)
    try:

        def more(i, seconds=tap.PATIENCE_S):
            """One from the i-th client; True if it is served."""
            s = w.net.cli.socket(socket.AF_INET, socket.SOCK_STREAM)
            held.append(s)
            s.settimeout(seconds)
            s.bind((w.net.client_ip(i), 0))
            try:
                s.connect((S.SERVER, admin.PORT))
                held[-1] = w.caller.tls.wrap_socket(s, server_hostname=S.SERVER)
                held[-1].sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                return held[-1].recv(13) == b"HTTP/1.1 200 "
            except (ssl.SSLError, ConnectionError, TimeoutError):
                return False

        served = 0
        while more(1) and served <= CONNECTIONS_SOURCE:  # one too many is closed at once
            served += 1
        equal(served, CONNECTIONS_SOURCE, "connections of one source that are served")
        check(more(2), "another source is not served")
        for i in range(CONNECTIONS_MAX - CONNECTIONS_SOURCE - 2):  # with that one, and the one that is kept
            check(more(3 + i % 8), f"only {CONNECTIONS_SOURCE + 2 + i} of {CONNECTIONS_MAX} are served")
        check(not more(12, REFUSED_S), "there is no limit in all")
        w.caller.get("/healthz", connection=kept)
        w.socket.get("/healthz")
    finally:  # all go at once: there is room, and nothing else happens that would let the server look
        w.daemon.kill(signal.SIGSTOP)
        os.waitid(os.P_PID, w.daemon.pid, os.WSTOPPED)
        kept.close()
        for s in held:
            s.close()
        w.daemon.kill(signal.SIGCONT)

    def back():
        try:
            return w.tls().call("GET", "/healthz").status == 200
        except OSError:
            return False

    tap.wait_until(back, "new connections are served again")


@plane.case("S22 no CORS, but for generate-ice-servers and the origins that are configured")
def _(w):
    ice, admin_caller = f"{V}/credentials/generate-ice-servers", w.tls("admin")

    def cors(a):
        return {k: v for k, v in a.headers.items() if k.startswith("access-control-")}

    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    for caller in (w.socket, admin_caller):
        for path in ("/", "/healthz", "/metrics", "/openapi.json", f"{V}/status", f"{V}/tokens", f"{V}/nothing"):
            equal(cors(caller.call("GET", path, headers={"Origin": ORIGIN})), {}, f"CORS of {path}")
            a = caller.call("OPTIONS", path, headers={"Origin": ORIGIN, **asks})
            equal((a.status in (404, 405), cors(a)), (True, {}), f"the preflight of {path}, {a.status},")
        for origin in ("https://evil.example", ORIGIN + ".evil.example", ORIGIN.replace("https", "http"), "null", "*", "", ORIGIN + "/"):
            equal(cors(caller.call("POST", ice, {}, headers={"Origin": origin})), {}, f"CORS for {origin}")
            equal(cors(caller.call("OPTIONS", ice, headers={"Origin": origin, **asks})), {}, f"the preflight for {origin}")
        a = caller.call("POST", ice, {}, headers={"Origin": ORIGIN})
        equal((a.status, cors(a)), (201, {"access-control-allow-origin": ORIGIN}), "CORS for the configured origin")
        check("origin" in a.headers.get("vary", "").lower(), f"Vary: {a.headers.get('vary')}")
    a = w.tls().call("OPTIONS", ice, headers={"Origin": ORIGIN, **asks})
    equal((a.status, cors(a).get("access-control-allow-origin")), (204, ORIGIN), "the preflight, which has no token")
    check("POST" in cors(a)["access-control-allow-methods"], f"{cors(a)}")
    allowed = {x.strip().lower() for x in cors(a)["access-control-allow-headers"].split(",")}
    check({"authorization", "content-type"} <= allowed, f"{allowed}")
    check("access-control-allow-credentials" not in cors(a), "cookies are asked for")
    a = w.tls().call("POST", ice, {}, headers={"Origin": ORIGIN})
    equal((a.status, cors(a)), (401, {"access-control-allow-origin": ORIGIN}), "a page without a token, which may read why")


@plane.case("S22 the dashboard's policy forbids inline script, outside hosts and frames; no answer is sniffed, and none with data is kept")
def _(w):
    a = w.tls().get("/")
    policy = dict((d.strip().split(" ", 1) + [""])[:2] for d in a.headers["content-security-policy"].split(";") if d.strip())
    equal(policy["default-src"], "'none'", "default-src")
    for name in ("script-src", "style-src", "connect-src"):
        equal(policy[name], "'self'", name)
    for name in ("base-uri", "form-action", "frame-ancestors"):
        equal(policy[name], "'none'", name)
    check(set(policy.get("img-src", "'self'").split()) <= {"'self'", "data:"}, f"img-src: {policy.get('img-src')}")
    check("unsafe" not in str(policy) and "*" not in str(policy) and "http" not in str(policy), f"{policy}")
    page = a.body.decode()
    check(not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=|javascript:|https?://(?!www\.w3\.org/2000/svg)", page), "inline script or style, or another host")
    for name in re.findall(r'(?:src|href)="(/[^"]*)"', page):
        check(w.tls().get(name).headers["x-content-type-options"] == "nosniff", f"{name} may be sniffed")
    for path in (f"{V}/status", f"{V}/tokens", f"{V}/nothing", "/metrics"):
        a = w.socket.call("GET", path)
        equal((a.headers.get("x-content-type-options"), a.headers.get("cache-control")), ("nosniff", "no-store"), f"headers of {path}")
        check("server" not in a.headers, "it says what it is")


# ---- What it writes, and what it gives away. ----


def files_below(*folders):
    return {os.path.join(f, name) for folder in folders for f, _, names in os.walk(folder) for name in names}


@plane.case("S12 config/check opens no file that the text names and makes none: include, log-file, state-dir, cert, admin-socket")
def _(w):
    d = w.directory
    secret = d.file("private", "realm=from-a-file\nnonsense-of-a-file\n")
    w.socket.call("POST", f"{V}/config/check", {})  # whatever is made once is made
    before = files_below(d.path, w.daemon.directory.path)
    for line in (f"include={secret}", f"include ={secret}", "include=/etc/shadow", "include=/dev/zero", "include=../private"):
        a = w.socket.call("POST", f"{V}/config/check", {"text": f"realm=x\n{line}\n"})
        told = a.body.decode()
        check(a.status == 400 or (a.status == 200 and not a.json["valid"]), f"{line}: {a.status} {told}")
        check("include" in told and "nonsense" not in told and "root:" not in told, f"{line}: {told}")
    for key in ("log-file", "state-dir", "admin-socket", "cert", "pkey", "admin-cert"):
        w.socket.call("POST", f"{V}/config/check", {"text": f"{key}={d.file('made')}/x\n"})
        w.socket.call("POST", f"{V}/config/check", {"text": f"{key}={d.file('made')}\n"})
    equal(files_below(d.path, w.daemon.directory.path) - before, set(), "files that were made")
    check(not os.path.exists(d.file("made")), "a folder was made")
    a = w.socket.call("POST", f"{V}/config/check", {"text": "realm=x\nlistening-prt=3478\n"})
    equal((a.json["valid"], "2" in a.json["error"], "listening-port" in a.json["error"]), (False, True, True), f"the verdict {a.json}")
    a = w.socket.call("POST", f"{V}/config/check", {"text": "user=alice:zz-hidden-password\nlistening-port=zz-hidden\nstatic-auth-secret=\n"})
    check("zz-hidden-password" not in a.body.decode(), f"S24: the verdict {a.json}")


@plane.case("S12 paths that lead out of where they begin, or are no paths, are 404 and no file; a name may be one")
def _(w):
    before = files_below(w.directory.path, w.daemon.directory.path)
    for path in (
        "/dashboard/../../../../etc/passwd",
        "/dashboard/..%2f..%2f..%2fetc%2fpasswd",
        "/dashboard/%2e%2e/%2e%2e/etc/passwd",
        "/dashboard//etc/passwd",
        "/dashboard/%2fetc%2fpasswd",
        "/dashboard/style.css%00.html",
        "/dashboard/style.css/",
        "/dashboard/./style.css",
        "/../../etc/passwd",
        "/%2e%2e/etc/passwd",
        "/api/v1/../../etc/passwd",
        "/openapi.json/../x",
        f"{V}/tokens/..%2f..%2fetc%2fpasswd",
        f"{V}/tokens/%00",
        f"{V}/tokens/%zz",
        f"{V}/tokens/%",
        f"{V}/tokens/a%0d%0aX:y",
        f"{V}/tokens/" + "x" * 2000,
        f"{V}/allocations/..",
        f"{V}/allocations/99999999999999999999999999",
        f"{V}/users/%ff%fe",
        "/a\\..\\b",
    ):
        a = w.socket.call("GET", path)
        check(a.status in (400, 404) and b"root:" not in a.body, f"GET {path} answered {a.status}: {a.body[:200]!r}")
    name = admin.quoted("../../tmp/a \"user\" <b>%s")
    equal(w.socket.call("PUT", f"{V}/users/{name}", {"password": "zz-of-a-path"}).status, 201, "the status of a user with such a name")
    equal(w.socket.get(f"{V}/users/{name}").json["id"], "../../tmp/a \"user\" <b>%s", "his name")
    equal(w.socket.call("DELETE", f"{V}/users/{name}").status, 204, "the status of his removal")
    after = {f for f in files_below(w.directory.path, w.daemon.directory.path) if not re.search(r"turnpike\.db(-wal|-shm|-journal)?$", f)}
    equal(after - before, set(), "files that were made")


@plane.case("S24 no secret in /config, /metrics, /status, events, log and arguments: configured ones, bearer tokens, what was issued")
def _(w):
    secrets_ = [SECRET, daemon.PASSWORD, daemon.PASSWORD_2, *(t for t in w.token.values())]
    with w.socket.events() as events:
        made = w.socket.call("POST", f"{V}/tokens", {"owner": "acme", "ttl": 60}).json
        ice = w.socket.call("POST", f"{V}/credentials/generate-ice-servers", {"ttl": 60}).json
        turn = w.socket.get(f"{V}/credentials?service=turn&username=x").json
        user = w.socket.call("PUT", f"{V}/users/zz-user", {}).json
        own = w.socket.call("PUT", f"{V}/users/zz-user", {"password": "zz-own-password"})
        check("zz-own-password" not in own.body.decode(), "a password that was sent is answered")
        secrets_ += [made["password"], ice["iceServers"][1]["credential"], turn["password"], user["password"], "zz-own-password"]
        w.socket.call("PUT", f"{V}/users/zz-user", {"pasword": "zz-misspelt"})
        w.socket.call("POST", f"{V}/tokens", b'{"owner":"zz-broken')
        w.tls("wrong").get(f"{V}/status", 401)
        w.socket.call("POST", f"{V}/reload")
        w.socket.call("DELETE", f"{V}/users/zz-user")
        told = []
        while not told or told[-1][2].get("operation") != "deleteUser":
            told.append(events.until("admin"))
    seen = {path: w.socket.get(path).body.decode() for path in (f"{V}/config?limit=1000", "/metrics", f"{V}/status", f"{V}/tokens", f"{V}/users", f"{V}/tokens/{made['id']}", f"{V}/usage")}
    with open(f"/proc/{w.daemon.pid}/cmdline", encoding="utf-8") as f:
        seen["cmdline"] = f.read()
    seen["events"] = str(told)
    seen["log"] = w.daemon.log()
    for where, text in seen.items():
        for secret in secrets_:
            check(secret not in text, f"{secret} is in {where}")
    check("sha256" not in seen[f"{V}/users"].lower() and "md5" not in seen[f"{V}/tokens"].lower(), "a key is shown")
    values = {e["id"]: e["value"] for e in w.socket.get(f"{V}/config?limit=1000").json["items"]}
    equal(str(values["static-auth-secret"]).strip("[]'"), "********", "static-auth-secret")
    for a in (w.socket.call("POST", f"{V}/tokens", {"owner": "acme", "ttl": 60}),):
        equal(a.headers.get("cache-control"), "no-store", "Cache-Control of an answer with a password")


HOSTILE = ("<script>alert(1)</script>", 'a"b\\c', "%s%n%x", "a'b; DROP TABLE tokens", "data: x", "{}[]", "\u00fc\u4e16\U0001f600", "a,b=c d")


@plane.case("S7 hostile user names are text and nothing else in lists, events, metrics and the log")
def _(w):
    with w.socket.events("?type=allocation,auth_failure") as events:
        for i, name in enumerate(HOSTILE):
            user, password = rest(f"4000000000:{name}", SECRET)
            c = w.client(i, user=user, password=password)
            c.allocate()
            (item,) = w.socket.get(f"{V}/allocations?user={admin.quoted(user)}").json["items"]
            equal((item["user"], item["owner"]), (user, name), "the allocation")
            equal(w.socket.get(f"{V}/allocations/{item['id']}").json["user"], user, "its user")
            _, _, data, lines = events.until("allocation", lambda data, user=user: data["user"] == user)
            equal((data["what"], len(lines)), ("created", 3), "the event")
            c.refresh(0)
            equal(w.client(i, user=f"{user}-", password="x").refuse_allocate(), 401, "an unknown user")
    for line in w.daemon.log().splitlines():
        check(re.fullmatch(r'[\w.-]+=("(?:[^"\\]|\\.)*"|\S*)( [\w.-]+=("(?:[^"\\]|\\.)*"|\S*))*', line), f"a line of the log: {line!r}")
    metrics = w.socket.get("/metrics").body.decode()
    check(not any(text in metrics for text in ("4000000000:", "alert", "DROP TABLE", daemon.USER)), "a user is in the metrics")
    for path in ("/metrics", f"{V}/allocations?user={admin.quoted('<script>')}&limit=x", f"{V}/tokens/%3Cscript%3E"):
        check("html" not in w.socket.call("GET", path).kind, f"{path} is a page")


# ---- Events, and the audit log. ----


def churn(w, n, i=0):
    """Allocations made and ended, one after another."""
    c = w.client(i)
    for _ in range(n):
        c.allocate()
        c.refresh(0)
    c.close()


@plane.case("events: ids rise without a gap, Last-Event-ID goes on behind it, a type is only that type, an id that is gone says so")
def _(w):
    with w.socket.events() as events:
        churn(w, 3)
        first = [events.next() for _ in range(6)]
    ids = [e[0] for e in first]
    equal(ids, list(range(ids[0], ids[0] + 6)), "the ids")
    churn(w, 2)
    with w.socket.events(last=str(ids[2])) as events:
        again = [events.next() for _ in range(7)]
    equal([e[0] for e in again], list(range(ids[3], ids[3] + 7)), "the ids behind the last one")
    equal(again[:3], first[3:], "the events that had been read")
    with w.socket.events("?type=admin", last=str(ids[0])) as events:
        equal(w.socket.call("PUT", f"{V}/log-level", {"level": "debug"}).status, 200, "the status of a change")
        _, kind, data, _ = events.next()
        equal((kind, data["operation"], data["caller"], data["status"]), ("admin", "setLogLevel", "socket", 200), "the event")
    with w.socket.events(last="1") as events:
        equal(events.next()[1], "gap", "what comes first behind an id that is gone")
    for query in ("?type=nonsense", "?type=allocation,,", "?tpye=allocation"):
        w.socket.get(f"{V}/events{query}", 400)


@plane.case("every change is in the audit log: operation, caller, what it was about, status; what only reads is not")
def _(w):
    token = w.socket.call("POST", f"{V}/tokens", {"owner": "acme", "ttl": 60}).json["id"]
    w.tls("credentials").call("DELETE", f"{V}/tokens/{token}")
    w.tls("read").call("DELETE", f"{V}/tokens/{token}")
    w.socket.get(f"{V}/tokens")
    w.socket.call("PUT", f"{V}/log-level", {"level": "debug"})

    def told():
        """From the token's issue on: what was done before may be written late. None: the last line is not there yet."""
        lines = [{k: v.strip('"') for k, v in e.items()} for e in w.daemon.events("audit")]
        have = [(e["operation"], e["caller"], e.get("id", ""), e["status"]) for e in lines]
        first = next((i for i, e in enumerate(have) if e[2] == token), len(have))
        return have[first:] if ("setLogLevel", "socket", "", "200") in have[first:] else None

    have = tap.wait_until(told, "the last line is written")
    want = [
        ("issueToken", "socket", token, "201"),
        ("revokeToken", "a-credentials", token, "204"),
        ("setLogLevel", "socket", "", "200"),
    ]
    equal(have, want, "the audit lines")


tap.main()
