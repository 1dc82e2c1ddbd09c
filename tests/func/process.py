#!/usr/bin/env python3
"""Configuration and process: what is refused and how it is said, weights, container variables, reload, logs, secrets, the end."""
import json
import os
import re
import signal
import socket
import stat
import subprocess
import tempfile

from lib import client, daemon, net, stun, tap
from lib.daemon import Daemon, Directory, run_daemon
from lib.tap import check, equal

net.need_namespaces()
daemon.need_daemon()

S = net.Standard
STARTS = {"listening-port": 0, "workers": 1}  # what every start of this file says


@tap.group
def command_line():
    """No network: a daemon that starts here by mistake finds nothing but a loopback interface."""
    with net.Net("alone") as n, Directory() as d:
        n.directory = d
        yield n


def checks(n, text, *args, env=None):
    path = n.directory.file("turnpiked.conf", text)
    status, out, err = run_daemon(["--config", path, "--check-config", *args], env, n.alone)
    return status, out + err


def refused(n, text, *said, args=(), env=None):
    """Status 2 from a check and from a start, and the error says all of this."""
    for way in (checks, starts_not):
        status, output = way(n, text, *args, env=env)
        equal(status, 2, f"the status for {text!r} {args} ({output.strip()})")
        for s in said:
            check(s in output, f"{s!r} is not in {output!r}")


def starts_not(n, text, *args, env=None):
    path, ready = n.directory.file("turnpiked.conf", text), n.directory.file("ready")
    try:
        status, out, err = run_daemon(["--config", path, "--ready-file", ready, *args], env, n.alone)
    except tap.Failure as e:
        raise tap.Failure(f"{text!r} {args} is taken: {e}") from None
    finally:
        if os.path.exists(ready):
            os.unlink(ready)
    return status, out + err


GOOD = """# a comment
realm = example.org
listening-port=0
user=alice:secret
user=bob:0x0123456789abcdef0123456789abcdef
static-auth-secret=one
static-auth-secret=two
min-port=50000
max-port=50100
allowed-peer-ip=10.1.0.0/16
allowed-peer-ip=192.168.1.7:5000-5010/udp
denied-peer-ip=8.8.8.8-8.8.8.10
max-bps=64k
external-ip=192.0.2.1
log-format=json
"""


@command_line.case("--check-config: a good file is status 0, and nothing starts")
def _(n):
    status, output = checks(n, GOOD)
    equal((status, "fine" in output), (0, True), f"the status, and the word ({output})")


@command_line.case("an unknown key: file, line, the key and the nearest known one, status 2")
def _(n):
    refused(n, "realm=example.org\n\nlistning-port=3478\n", "turnpiked.conf:3", "listning-port", "listening-port")
    refused(n, "static-auth-secrets=hush\n", "turnpiked.conf:1", "static-auth-secret")
    refused(n, "extrnal-ip=192.0.2.1\n", "turnpiked.conf:1", "external-ip")


@command_line.case("a value that cannot be read: file and line, status 2")
def _(n):
    for line in (
        "listening-port=65536",
        "listening-port=-1",
        "listening-port=3478x",
        "listening-ip=198.51.100.300",
        "relay-ip=everywhere",
        "external-ip=192.0.2.1/2001:db8::1",
        "min-port=abc",
        "max-lifetime=soon",
        "max-bps=12q",
        "workers=many",
        "log-level=loud",
        "log-format=xml",
        "xdp=perhaps",
        "strict-channel-range=maybe",
        "user=nocolon",
        "user=:nopart",
        "rest-api-separator=ab",
        "allowed-peer-ip=10.0.0.0/33",
        "denied-peer-ip=10.0.0.9-10.0.0.1",
        "allowed-peer-ip=10.0.0.1:70000/udp",
        "denied-peer-ip=2001:db8::/129",
        "connect-listen=443",
        "realm=",
        "just words",
    ):
        refused(n, f"# one\n# two\n{line}\n", "turnpiked.conf:3")


@command_line.case("a key twice where one is meant, a range upside down, a certificate without its key: status 2")
def _(n):
    refused(n, "realm=a\nrealm=b\n", "turnpiked.conf:2", "realm")
    refused(n, "min-port=50001\nmax-port=50000\n", "min-port", "max-port")
    refused(n, "min-port=80\n", "min-port")
    refused(n, "alt-listening-port=3478\n", "turnpiked.conf:1", "alt-listening-port")
    refused(n, "cert=/nowhere/cert.pem\n", "pkey")


@command_line.case("include: the included file's errors say its own name and line; one that is not there, a circle: status 2")
def _(n):
    n.directory.file("more.conf", "realm=example.org\nlisten-port=1\n")
    refused(n, "include=more.conf\n", "more.conf:2", "listening-port")
    refused(n, "\ninclude=not-there.conf\n", "not-there.conf")
    refused(n, "include=turnpiked.conf\n", "turnpiked.conf")
    n.directory.file("more.conf", "realm=example.org\n")
    equal(checks(n, "include=more.conf\nlistening-port=0\n")[0], 0, "the status of a good include")
    refused(n, "include=more.conf\nrealm=again\n", "turnpiked.conf:2", "realm")


@command_line.case("a file that is not there, or is none: status 2")
def _(n):
    for path in (n.directory.file("nothing.conf"), n.directory.path):
        status, _, err = run_daemon(["--config", path], None, n.alone)
        equal((status, path in err), (2, True), f"the status, and the name ({err})")


@command_line.case("S24 a secret as an option is refused, with the reason, and is not shown")
def _(n):
    for option in ("--user=alice:hush-hush", "--static-auth-secret=hush-hush", "--redis=redis://:hush-hush@127.0.0.1"):
        status, output = checks(n, GOOD, option)
        equal(status, 2, f"the status of {option} ({output})")
        check("hush-hush" not in output, f"the secret is in {output!r}")
        check(re.search(r"secret|arguments|process|visible|see", output), f"no reason in {output!r}")
    status, output = checks(n, GOOD, "--user", "alice:hush-hush")
    check(status == 2 and "hush-hush" not in output, output)


@command_line.case("an option that is not known or has no value, a word too many: status 2, with the nearest option")
def _(n):
    for args, said in (
        (["--listning-port=1"], "listening-port"),
        (["--realm"], "realm"),
        (["extra"], "extra"),
        (["--listening-port=x"], "--listening-port"),
    ):
        status, output = checks(n, GOOD, *args)
        equal((status, said in output), (2, True), f"the status of {args}, and {said!r} in {output!r}")


@command_line.case("S24 a value that cannot be read is not shown where it is a secret")
def _(n):
    for line in ("user=hush-hush", "user=alice:0xhush-hush", "redis=hush-hush"):
        status, output = checks(n, f"{line}\n")
        check("hush-hush" not in output, f"status {status}, {output!r}")


@command_line.case("--help and --version: status 0; the help names every key of the configuration")
def _(n):
    status, out, _ = run_daemon(["--version"], None, n.alone)
    equal((status, out.split()[0]), (0, "turnpiked"), "the status, and the name")
    status, out, _ = run_daemon(["--help"], None, n.alone)
    equal(status, 0, "the status")
    for key in """listening-ip listening-port tls-listening-port relay-ip external-ip min-port max-port realm unauthenticated-rate user
        static-auth-secret rest-api-separator redis redis-prefix redis-statsdb state-dir denied-peer-ip allowed-peer-ip max-lifetime user-quota
        source-quota total-quota max-bps user-max-bps bps-capacity workers cert pkey connect-listen connect-origin connect-url app-listen
        admin-socket admin-listen admin-cert admin-pkey xdp xdp-interface strict-channel-range log-level log-format log-file
        config check-config ready-file""".split():
        name = "TURNPIKE_" + key.upper().replace("-", "_")
        check(f"--{key}" in out or name in out, f"{key} is not in the help")


@command_line.case("every program: what can't be written to standard output is told, and a status of failure")
def _(n):
    faults = {"turnpiked": 1, "turnpike-bridge": 1, "turnpikectl": 1, "turnpike-bench": 1, "turnpike-probe": 3}
    programs = {p: os.path.join(daemon.BUILDDIR, p) for p in faults if os.access(os.path.join(daemon.BUILDDIR, p), os.X_OK)}
    with open("/dev/full", "w", encoding="ascii") as full:
        for name, *words in [*((p, option) for p in programs for option in ("--help", "--version")), ("turnpiked", "--config", n.directory.file("c", GOOD), "--check-config")]:
            p = subprocess.run([programs[name], *words], stdout=full, stderr=subprocess.PIPE, text=True, env=daemon.clean_environment(), check=False)
            check(p.returncode == faults[name] and p.stderr.startswith(f"{name}: standard output: can't be written: "), f"{name} {words}: {p.returncode} {p.stderr}")


@command_line.case("an environment variable that cannot be read: status 2, with its name")
def _(n):
    refused(n, GOOD, "TURNPIKE_MAX_PORT", env={"TURNPIKE_MAX_PORT": "lots"})


@command_line.case("a fault that is none of the configuration's text: status 1")
def _(n):
    n.directory.file("turnpiked.conf", f"listening-port=0\nuser=a:b\nstate-dir={n.directory.path}\n")
    status, _, err = run_daemon(
        ["--config", n.directory.file("turnpiked.conf"), "--ready-file", n.directory.file("no/such/folder/ready")], None, n.alone
    )
    equal(status, 1, f"the status ({err})")


@command_line.case("an address that is not the host's: the start fails and names it")
def _(n):
    status, output = starts_not(n, f"listening-ip=192.0.2.99\nlistening-port=0\nuser=a:b\nstate-dir={n.directory.path}\n")
    check(status in (1, 2) and "192.0.2.99" in output, f"status {status}, {output!r}")


@command_line.case("a port that is taken, the first or the second one: the start fails, and names it and the key to set")
def _(n):
    text = f"listening-ip=127.0.0.1\nlistening-ip=127.0.0.2\nlistening-port=3478\nalt-listening-port=3479\nuser=a:b\nstate-dir={n.directory.path}\n"
    for port, key in ((3478, "listening-port"), (3479, "alt-listening-port")):
        with n.alone.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.1", port))
            status, output = starts_not(n, text)
        check(status == 1 and f"127.0.0.1:{port}: " in output and f"or set {key})" in output, f"status {status}, {output!r}")


@command_line.case("no configuration at all is fine: it serves all addresses, with a generated password")
def _(n):
    if os.path.exists("/etc/turnpike/turnpiked.conf"):
        raise tap.Skip("this host has a configuration")
    ready, log = n.directory.file("ready"), n.directory.file("log")
    with open(log, "wb") as out:
        p = n.alone.popen(
            [daemon.TURNPIKED, "--ready-file", ready, "--listening-port=0", "--state-dir", n.directory.path],
            stdout=out,
            stderr=out,
            env=daemon.clean_environment(),
        )
    try:
        tap.wait_until(lambda: os.path.exists(ready), "it is ready", process=p)
        with open(ready, encoding="utf-8") as f:
            port = json.load(f)["listeners"][0]["port"]
        with client.Client(n.alone, "127.0.0.1", ("127.0.0.1", port)) as c:
            equal(c.exchange(stun.encode(stun.BINDING, stun.REQUEST)).cls, stun.SUCCESS, "the class")
    finally:
        p.terminate()
        equal(p.wait(tap.PATIENCE_S), 0, "the status at the end")


# ---- running ----
@tap.group
def hosts():
    with S() as n, Directory() as d:
        n.directory = d
        yield n


def serving(n, settings=None, **kw):
    return Daemon(n.srv, {**STARTS, "listening-ip": S.SERVER, "relay-ip": S.RELAY, **(settings or {})}, **kw)


def talk(n, d, **kw):
    return client.Client(n.cli, n.client_ip(0), d.listeners("udp")[0], **kw)


@hosts.case("a port of 0 takes a free one, the same for UDP and TCP; the ready file names every address")
def _(n):
    with serving(n, {"listening-ip": [S.SERVER, S.SERVER6], "relay-ip": None}) as d:
        ports = {p for t in ("udp", "tcp") for _, p in d.listeners(t)}
        check(len(ports) == 1 and 0 not in ports, f"the ports are {ports}")
        for t in ("udp", "tcp"):
            equal(sorted(a for a, _ in d.listeners(t)), sorted([S.SERVER, S.SERVER6]), f"the {t} addresses")
        equal((d.ready["pid"], d.ready["realm"]), (d.pid, daemon.REALM), "pid and realm")
        for transport in ("udp", "tcp"):
            with client.Client(n.cli, n.client_ip6(0), (S.SERVER6, ports.copy().pop()), transport) as c:
                c.allocate((stun.REQUESTED_ADDRESS_FAMILY, stun.IPV6))


@hosts.case("the ready file is there only while the daemon serves; it is one process")
def _(n):
    with serving(n) as d:
        with open(f"/proc/{d.pid}/task/{d.pid}/children", encoding="ascii") as f:
            equal(f.read(), "", "its children")
        d.stop()
        check(not os.path.exists(d.ready_path), "the ready file was left behind")


@hosts.case("SIGTERM and SIGINT: status 0 within 2 s, with allocations, idle and half-open streams")
def _(n):
    for number in (signal.SIGTERM, signal.SIGINT):
        with tempfile.TemporaryDirectory(dir="/dev/shm") as state, serving(n, {"workers": 2, "state-dir": state}) as d:  # no disk's time is measured
            for i in range(20):
                c = client.Client(n.cli, n.client_ip(i), d.listeners("tcp")[0], "tcp")
                n.keep = getattr(n, "keep", []) + [c]
                if i % 3 == 0:
                    c.allocate()
                elif i % 3 == 1:
                    c.send_raw(b"\x00\x01\x00")
            with talk(n, d) as c:
                c.allocate()
            d.stop(number, 2.0 if not tap.SANITIZER else daemon.STOP_S)


@hosts.case("weight: option, environment, file, default")
def _(n):
    plain = {"realm": "from-the-file"}
    for args, env, settings, want in (
        (["--realm=from-the-option"], {"TURNPIKE_REALM": "from-the-environment"}, plain, "from-the-option"),
        ([], {"TURNPIKE_REALM": "from-the-environment"}, plain, "from-the-environment"),
        ([], {}, plain, "from-the-file"),
        ([], {}, {"realm": None}, os.uname().nodename),
    ):
        with serving(n, settings, args=args, env=env) as d:
            equal(d.ready["realm"], want, "the realm")


@hosts.case("users and secrets from the environment, several, one a line")
def _(n):
    env = {"TURNPIKE_USER": "carol:one\ndave:two", "TURNPIKE_STATIC_AUTH_SECRET": "shared"}
    with serving(n, {"user": None}, env=env) as d:
        for user, password in (("carol", "one"), ("dave", "two"), ("4000000000:x", stun.shared_secret_password("shared", "4000000000:x"))):
            with talk(n, d, user=user, password=password) as c:
                c.allocate()


@hosts.case("the vendor's container variables work; a configuration file wins over none of ours")
def _(n):
    env = {
        "EXTERNAL_IP_ADDRESS": "192.0.2.55",
        "LISTENING_IP_ADDRESS": S.SERVER_2,
        "TURN_PORT": "34780",
        "TURN_USERNAME": "vendor",
        "TURN_PASSWORD": "vendor's password",
        "LOG_LEVEL": "debug",
    }
    bare = {"listening-port": None, "user": None, "listening-ip": None, "relay-ip": None}
    with serving(n, bare, env=env) as d:
        equal(d.listeners("udp"), [(S.SERVER_2, 34780)], "the listeners")
        with talk(n, d, user="vendor", password="vendor's password") as c:
            equal(c.allocate().addresses[0][0], "192.0.2.55", "the relayed address")
        check("vendor's password" not in d.log(), "the password is in the log")


@hosts.case("a container variable that cannot be read is warned about and left alone")
def _(n):
    env = {"TURN_PORT": "tcp://10.96.0.17:3478", "EXTERNAL_IP_ADDRESS": "auto", "LISTENING_IP_ADDRESS": "eth0", "LOG_LEVEL": "chatty"}
    with serving(n, env=env) as d:
        for name in env:
            d.wait_log(name, f"a warning about {name}")
        with talk(n, d) as c:
            c.allocate()


def printed_password(d):
    return d.wait_log(r"(?im)^\s*password:?\s+(\S+)\s*$", "the password is printed").group(1)


@hosts.case("a password that is missing is generated, printed and usable; the next start has the same; its file is private")
def _(n):
    with Directory() as state:
        passwords = []
        for _ in range(2):
            with serving(n, {"user": None, "state-dir": state.path}, env={"TURN_USERNAME": "vendor"}) as d:
                passwords.append(printed_password(d))
                d.wait_log(rf"stun:{S.RELAY}:{d.port()}|stun:{S.SERVER}:{d.port()}", "the STUN URI is printed")
                d.wait_log(r"turn:\S+\?transport=tcp", "the TURN URI is printed")
                d.wait_log(r"(?im)^\s*user name:?\s+vendor\s*$", "the user is printed")
                with talk(n, d, user="vendor", password=passwords[-1], algorithm=stun.SHA256) as c:
                    c.allocate()
                with open(f"/proc/{d.pid}/cmdline", "rb") as f:
                    check(passwords[-1].encode() not in f.read(), "the password is in the process's arguments")
        equal(passwords[0], passwords[1], "the password of the first start, against the second's")
        check(len(passwords[0]) >= 16, "the password is short")
        for folder, _, files in os.walk(state.path):
            for name in files:
                path = os.path.join(folder, name)
                with open(path, "rb") as f:
                    if passwords[0].encode() in f.read():
                        equal(stat.S_IMODE(os.stat(path).st_mode) & 0o077, 0, f"the rights of others to {path}")


@hosts.case("without any credential a user is made; a configured password is never printed")
def _(n):
    with serving(n, {"user": None}) as d:
        user = d.wait_log(r"(?im)^\s*user name:?\s+(\S+)\s*$").group(1)
        with talk(n, d, user=user, password=printed_password(d)) as c:
            c.allocate()
    with serving(n, {"user": "configured:never printed"}) as d:
        d.stop()
        check("never printed" not in d.log(), d.log())


@hosts.case("S24 no secret in arguments, environment of others, or the log, at log-level debug, after a reload and a bad reload")
def _(n):
    secrets = ["password-of-alice", "first-shared-secret", "second-shared-secret"]
    settings = {"user": f"alice:{secrets[0]}", "static-auth-secret": secrets[1:], "log-level": "debug"}
    with serving(n, settings) as d:
        with talk(n, d, password=secrets[0]) as c:
            c.allocate()
        with talk(n, d, password="wrong") as c:
            equal(c.refuse_allocate(), 401, "the error")
        d.kill(signal.SIGHUP)
        d.wait_log("event=reloaded")
        d.directory.file("turnpiked.conf", daemon.config_text({**d.settings, "user": f"{secrets[0]}", "static-auth-secret": None}))
        d.kill(signal.SIGHUP)
        d.wait_log("event=reload_refused")
        with open(f"/proc/{d.pid}/cmdline", "rb") as f:
            seen = f.read().decode()
        d.stop()
        for secret in secrets:
            check(secret not in seen + d.log(), f"{secret} is in\n{d.log()}")


@hosts.case("log-format: every line is logfmt with an event, or one JSON object; log-file and its rotation")
def _(n):
    for form in ("logfmt", "json"):
        path = n.directory.file(f"log.{form}")
        with serving(n, {"log-format": form, "log-file": path, "log-level": "debug"}) as d:
            with talk(n, d) as c:
                c.allocate()
            os.rename(path, path + ".1")
            d.kill(signal.SIGHUP)
            tap.wait_until(lambda: os.path.exists(path) and "reloaded" in open(path, encoding="utf-8").read(), "the new file has lines")
            d.stop()
        lines = []
        for name in (path + ".1", path):
            with open(name, encoding="utf-8") as f:
                lines += f.read().splitlines()
        check(len(lines) >= 4, f"{lines}")
        for line in lines:
            if form == "json":
                check("event" in json.loads(line), line)
            else:
                check(re.fullmatch(r'[\w.-]+=("(?:[^"\\]|\\.)*"|\S*)( [\w.-]+=("(?:[^"\\]|\\.)*"|\S*))*', line) and " event=" in f" {line}", line)


@hosts.case("events that log-level hides are not told as suppressed, and take no warning's place")
def _(n):
    with serving(n, {"log-level": "warning"}) as d:
        for _ in range(200):
            with talk(n, d) as c:
                c.allocate()
                c.refresh(0)
        with talk(n, d, password="wrong") as c:
            for _ in range(10):
                equal(c.refuse_allocate(), 401, "the error")
        d.wait_log("event=credentials_throttled")
        check("events_suppressed" not in d.log(), d.tail())


def text_of(path):
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as f:
        text = f.read()
    return text[: text.rfind("\n") + 1]  # whole lines


@hosts.case("SIGHUP: log-file names another file from then on; one that cannot be opened refuses the reload, and nothing changes")
def _(n):
    first, second = n.directory.file("first.log"), n.directory.file("second.log")
    with serving(n, {"log-file": first}) as d:

        def reload(log_file):
            new = {**d.settings, "log-file": log_file, "user": "carol:new"}
            d.directory.file("turnpiked.conf", daemon.config_text(new))
            d.kill(signal.SIGHUP)

        reload(n.directory.file("no/such/folder/log"))
        tap.wait_until(lambda: "event=reload_refused" in text_of(first), "the reload is refused")
        check("log-file" in text_of(first), text_of(first))
        with talk(n, d) as c:
            c.allocate()
        tap.wait_until(lambda: "event=allocation_created user=alice" in text_of(first), "the old file goes on")
        reload(second)
        tap.wait_until(lambda: "event=reloaded" in text_of(second), "the new file begins")
        with talk(n, d) as c:
            equal(c.refuse_allocate(), 401, "the error of a user who has gone")
        with talk(n, d, user="carol", password="new") as c:
            c.allocate()
        tap.wait_until(lambda: "event=allocation_created user=carol" in text_of(second), "the new file goes on")
        check("carol" not in text_of(first), text_of(first))


@hosts.case("SIGHUP: users, secrets and peer rules change at once, allocations and their data go on")
def _(n):
    settings = {"user": ["alice:one"], "allowed-peer-ip": "203.0.113.10"}
    with (
        serving(n, settings) as d,
        talk(n, d, password="one") as c,
        client.Endpoint(n.peer, S.PEER) as peer,
        client.Endpoint(n.peer, S.PEER_2) as other,
    ):
        relayed = c.allocate().addresses[0]
        c.bind(0x4000, peer.address)
        equal(c.error(stun.CREATE_PERMISSION, stun.peer((S.PEER_2, 0))), 403, "the error before the reload")
        new = {"user": ["alice:one", "carol:new"], "static-auth-secret": "fresh", "allowed-peer-ip": "203.0.113.0/24", "max-lifetime": 900}
        d.directory.file("turnpiked.conf", daemon.config_text({**d.settings, **new}))
        d.kill(signal.SIGHUP)
        d.wait_log("event=reloaded")
        c.send_channel(0x4000, b"still there")
        peer.expect(b"still there", relayed)
        c.permit(S.PEER_2)
        other.send(b"now allowed", relayed)
        c.expect_data(b"now allowed", other.address)
        equal(c.refresh(3000).lifetime, 900, "the lifetime")
        for user, password in (("carol", "new"), ("4000000000:x", stun.shared_secret_password("fresh", "4000000000:x"))):
            with talk(n, d, user=user, password=password) as late:
                late.allocate()
        new = {"user": ["carol:new"], "allowed-peer-ip": "203.0.113.11"}
        d.directory.file("turnpiked.conf", daemon.config_text({**d.settings, **new}))
        d.kill(signal.SIGHUP)
        tap.wait_until(lambda: len(d.events("reloaded")) == 2, "the second reload is done")
        with talk(n, d, password="one") as late:
            equal(late.refuse_allocate(), 401, "the error of a user who has gone")
        c.send_channel(0x4000, b"not allowed any more")
        peer.send(b"not allowed any more", relayed)
        other.send(b"still allowed", relayed)
        c.expect_data(b"still allowed", other.address)
        c.send_to(other.address, b"and up")
        other.expect(b"and up", relayed)
        peer.sock.setblocking(False)
        try:
            check(False, f"{peer.sock.recv(100)} came to a peer that is not allowed any more")
        except BlockingIOError:
            pass


@hosts.case("F17 a bad reload keeps the old configuration and says file and line")
def _(n):
    with serving(n, {"allowed-peer-ip": "203.0.113.10"}) as d, talk(n, d) as c:
        c.allocate()
        for number, (line, said) in enumerate((("realmm=x", "realm"), ("allowed-peer-ip=10.0.0.0/40", "allowed-peer-ip"), ("user=broken", "user"))):
            text = daemon.config_text({**d.settings, "allowed-peer-ip": None, "user": None})
            at = text.count("\n") + 1
            d.directory.file("turnpiked.conf", text + line + "\n")
            d.kill(signal.SIGHUP)
            tap.wait_until(lambda want=number + 1: len(d.events("reload_refused")) == want, "the reload is refused")
            reason = d.events("reload_refused")[-1]["reason"]
            check(f"turnpiked.conf:{at}" in reason and said in reason, f"the reason is {reason}, the line {at}")
        c.permit(S.PEER)
        with talk(n, d) as late:
            late.allocate()


@hosts.case("what a reload cannot change is told, and stays: external-ip, realm, ports, workers, addresses")
def _(n):
    new = {
        "external-ip": "192.0.2.99",
        "realm": "other.example",
        "listening-port": 33333,
        "listening-ip": S.SERVER_2,
        "relay-ip": S.SERVER,
        "min-port": 60000,
        "max-port": 60001,
        "workers": 2,
        "redis": "redis://127.0.0.1:1",
        "redis-statsdb": "redis://127.0.0.1:1",
        "redis-prefix": "other:",
        "node-id": "other",
    }
    with serving(n, {"external-ip": "192.0.2.55", "max-port": 50000, "user": [f"{daemon.USER}:{daemon.PASSWORD}"]}) as d:
        d.reload({**new, "user": [f"{daemon.USER}:{daemon.PASSWORD}", "carol:new"]})
        equal({e["key"] for e in d.events("reload_needs_restart")}, set(new), "the keys that are told")
        for user, password in ((daemon.USER, daemon.PASSWORD), ("carol", "new")):
            with talk(n, d, user=user, password=password) as c:
                ((ip, port),) = c.allocate().addresses
                equal(ip, "192.0.2.55", "the relayed address")
                check(port <= 50000, f"its port is {port}")
                equal(c.realm, daemon.REALM, "the realm")
        d.settings["workers"] = 1


@hosts.case("C33 F17 a reload keeps the separator of the names of shared secrets, and tells")
def _(n):
    with serving(n, {"user": None, "static-auth-secret": "s"}) as d:
        d.reload({"rest-api-separator": "|", "static-auth-secret": "t"})
        d.wait_log("event=reload_needs_restart key=rest-api-separator")
        user = "4102444800:u"
        with talk(n, d, user=user, password=stun.shared_secret_password("t", user)) as c:
            c.allocate()


@hosts.case("S24 a reload tells another Redis, by the password alone if need be, and shows none")
def _(n):
    url = "redis://:first@127.0.0.1:1?connect_timeout=1"
    with serving(n, {"redis": url, "redis-statsdb": url}) as d:
        d.reload({"software": "x"})
        equal(d.events("reload_needs_restart"), [], "what needs a restart")
        d.reload({"redis": url.replace("first", "second")})
        equal([e["key"] for e in d.events("reload_needs_restart")], ["redis"], "what needs a restart")
        check("first@" not in d.log() and "second@" not in d.log(), "a password is in the log")


tap.main()
