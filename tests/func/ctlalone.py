#!/usr/bin/env python3
"""turnpikectl by itself: what it reads, writes and refuses where no relay is asked."""
import contextlib
import json
import os
import re
import socket
import stat
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import admin, daemon, net, tap  # noqa: E402 # pylint: disable=wrong-import-position
from lib.ctl import CTL, ended, run  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tap import check, equal  # noqa: E402 # pylint: disable=wrong-import-position

net.need_namespaces()
daemon.need_daemon()

EXAMPLE = "/etc/turnserver.conf"  # Debian's, of the package coturn


@tap.group
def alone():
    """No server."""
    with daemon.Directory() as d:
        yield d


# ---- import-coturn ----


def imported(d, text):
    """The keys of what becomes of it, as (name, value), and what is told, by line."""
    out = run("import-coturn", d.file("turnserver.conf", text))
    equal(out[0], 0, f"the status ({out[2]})")
    kept = [tuple(line.split("=", 1)) for line in out[1].splitlines() if not line.startswith("#")]
    checked = daemon.run_daemon(["--config", d.file("ours.conf", out[1]), "--check-config"])
    equal(checked[0], 0, f"turnpiked's word ({checked[2]})")
    told = {int(m[1]): m[2] for m in re.finditer(r"^turnserver\.conf:(\d+): (.*)$", out[2], re.M)}
    return kept, told, out[2]


@alone.case("import-coturn: values are carried over, bytes become bits, the last of two is in force, and quotes and blanks are read")
def _(d):
    kept, told, _ = imported(d, 'listening-ip=127.0.0.1\nlistening-ip 127.0.0.2\nrealm="first.example"\nrealm = example.org \nmax-bps=1000\nbps-capacity=5000\n'
                             'relay-threads=0\nuser=a:b c\nuser=a:d "e"\nmax-allocate-lifetime=900\nno-software-attribute\nVerbose=1\nmin-port=20000\nmax-port=30000\n')
    equal(kept, [("listening-ip", "127.0.0.1"), ("listening-ip", "127.0.0.2"), ("realm", "example.org"), ("max-bps", "8000"), ("bps-capacity", "40000"), ("workers", "1"),
                 ("user", '"a:d "e""'), ("max-lifetime", "900"), ("software", ""), ("log-level", "debug"), ("min-port", "20000"), ("max-port", "30000")], "what is kept")
    equal(sorted(told), [3, 5, 6, 8], "the lines that are told of")


@alone.case("import-coturn: every line that is not carried over is told of, with the reason, and no secret is")
def _(d):
    lines = ["static-auth-secret=zzsecret", "user=x:zzpassword", "frob=zzvalue", "cert=/zz", "min-port=70000", "max-port=2000", "cli-password=zzcli", "syslog", "no-cli=0",
             "listening-ip=::1", "listening-ip=0::1", "denied-peer-ip=10.0.0.0/33", "log-file=stdout", "static-auth-secret", "user=zznocolon", "total-quota=x"]
    kept, told, err = imported(d, "# a comment\n" + "\n".join(lines) + "\n")
    equal([k for k, _ in kept], ["static-auth-secret", "user", "listening-ip"], "what is kept")
    equal(sorted(told), [n for n in range(2, len(lines) + 2) if n not in (2, 3, 11)], "the lines that are told of")
    check(not re.search("zz(secret|password|value|cli)", err), f"S24: a secret is told: {err}")
    check("nothing to carry over" in told[10], "a switch that is off")


@alone.case("import-coturn: a line that is refused takes no other of its key with it")
def _(d):
    lines = ["denied-peer-ip=10.0.0.0/33", "denied-peer-ip=192.0.2.1", "denied-peer-ip=nonsense", "denied-peer-ip=192.0.2.2", "user=nocolon", "user=a:b", "user=c:", "user=d:e",
             "listening-ip=::1", "listening-ip=0::1", "listening-ip=127.0.0.1", "min-port=70000", "max-port=65535"]
    kept, told, err = imported(d, "\n".join(lines) + "\n")
    equal(kept, [tuple(lines[i].split("=")) for i in (1, 3, 5, 7, 8, 10, 12)], f"what is kept ({err})")
    equal(sorted(told), [1, 3, 5, 7, 10, 12], "the lines that are told of")


@alone.case("import-coturn: all keys of Debian's turnserver.conf, none lost without a word")
def _(d):
    if not os.path.exists(EXAMPLE):
        raise tap.Skip(f"there is no {EXAMPLE} (package coturn)")
    with open(EXAMPLE, encoding="utf-8") as f:
        text = f.read()
    text = re.sub(r"^# ?(?=[A-Za-z][\w-]*(=\S.*| \".*\")?$)", "", text, flags=re.M)
    wanted = {n: line.split("=")[0].split()[0] for n, line in enumerate(text.splitlines(), 1) if line.strip() and not line.startswith("#")}
    check(len(wanted) > 110, f"{len(wanted)} keys")
    kept, told, err = imported(d, text)
    equal(len(kept) + len([t for t in told.values() if "bits" not in t]), len(wanted), "lines that are carried over or told of")
    check("has no such key" not in err, err)


# ---- admin-token ----


@alone.case("admin-token: issued once, kept as a hash in a file of mode 0600, listed, revoked; a second makes a rotation")
def _(d):
    config = ["--config", d.file("conf", f"state-dir={d.path}\n")]
    equal(json.loads(ended(0, *config, "admin-token", "list", "--json")), [], "the list of none")
    first = json.loads(ended(0, *config, "admin-token", "issue", "ops", "--role", "admin,read", "--expires", "1h", "--json"))
    check(re.fullmatch(r"tpa_[A-Za-z0-9_-]{43}", first["token"]), "the token")
    with open(d.file("admin-tokens"), "a", encoding="ascii") as f:
        f.write("# kept\n")
    second = re.search(r"^token +(tpa_\S+)$", ended(0, *config, "admin-token", "issue", "ops2", "--role", "read"), re.M)[1]
    check(second != first["token"], "two tokens are one")
    mode = os.stat(d.file("admin-tokens"))
    equal((stat.S_IMODE(mode.st_mode), mode.st_uid), (0o600, os.geteuid()), "mode and owner")
    listed = json.loads(ended(0, *config, "admin-token", "list", "--json"))
    equal([(t["name"], t["roles"], t["state"]) for t in listed], [("ops", "read,admin", "valid"), ("ops2", "read", "valid")], "the list")
    tap.within(listed[0]["expires_at"] - time.time(), 3500, 3600, "its life")
    with open(d.file("admin-tokens"), encoding="ascii") as f:
        text = f.read()
    check(first["token"] not in text and second not in text, "S24: a token is in the file")
    equal([len(line.split()) for line in text.splitlines()], [4, 2, 4], "words of its lines")
    check("already" in ended(5, *config, "admin-token", "issue", "ops", "--role", "read"), "a second of that name")
    ended(0, *config, "admin-token", "revoke", "ops")
    check("no such token" in ended(3, *config, "admin-token", "revoke", "ops"), "revoking what is not there")
    check("ops2" in ended(0, *config, "admin-token", "list"), "the other one")
    for words in (["issue", "x"], ["issue", "x", "--role", "root"], ["issue", "a b", "--role", "read"], ["issue", "x", "--role", "read", "--expires", "@1"], ["issue", "--role", "read"]):
        ended(2, *config, "admin-token", *words)


@alone.case("admin-token: a line that is none is told of by its number, and nothing is written over it; ten at once lose nothing")
def _(d):
    config = ["--config", d.file("conf", f"state-dir={d.path}\n")]
    d.file("admin-tokens", "# one\nops root 0 12\n")
    check("admin-tokens:2:" in ended(2, *config, "admin-token", "issue", "x", "--role", "read"), "the line")
    with open(d.file("admin-tokens"), encoding="ascii") as f:
        equal(f.read(), "# one\nops root 0 12\n", "the file")
    os.unlink(d.file("admin-tokens"))
    command = [CTL, *config, "admin-token", "issue", "--role", "read"]
    with contextlib.ExitStack() as stack:
        many = [stack.enter_context(subprocess.Popen([*command, f"n{i}"], stdout=subprocess.DEVNULL)) for i in range(10)]
    equal({p.returncode for p in many}, {0}, "their status")
    equal(len(json.loads(ended(0, *config, "admin-token", "list", "--json"))), 10, "the tokens")
    check("no such directory" in ended(1, "--config", d.file("conf2", f"state-dir={d.path}/none\n"), "admin-token", "issue", "x", "--role", "read"), "no directory")


# ---- bash completion ----

COMPLETION = os.path.join(admin.SRCDIR, "packaging", "completion", "turnpikectl")


def completed(*words):
    """What bash offers for the last of these words."""
    script = f'. {COMPLETION}; COMP_WORDS=(turnpikectl "$@"); COMP_CWORD=$#; _turnpikectl; printf "%s\\n" "${{COMPREPLY[@]}}"'
    env = {**daemon.clean_environment(), "PATH": f"{daemon.BUILDDIR}:{os.environ['PATH']}"}
    p = subprocess.run(["bash", "-uc", script, "bash", *words], capture_output=True, text=True, env=env, timeout=tap.PATIENCE_S, check=True)
    equal(p.stderr, "", "what bash says")
    return set(p.stdout.split())


def commands():
    """Each command of --help, as a list of words."""
    lines = re.findall(r"^  ([a-z].*?)(?: {2,}|$)", ended(0, "--help").split("\n\n")[1], re.M)
    return [[w for w in line.split() if w.islower()] for line in lines]


@alone.case("completion and the manual page have every command of --help")
def _(_d):
    with open(os.path.join(admin.SRCDIR, "docs", "turnpikectl.8"), encoding="utf-8") as f:
        items = [re.sub(r"\b(Cm|Op|Oo)\b ", "", line[4:]) for line in f if line.startswith(".It Cm")]
    check(len(commands()) > 30, "commands")
    check({words[0] for words in commands()} == completed(""), "the first words")
    for noun in {words[0] for words in commands() if len(words) > 1}:
        equal(completed(noun, ""), {words[1] for words in commands() if words[0] == noun}, f"the second words of {noun}")
    for words in commands():
        check(any(re.match(" ".join(words) + r"\b", item.strip()) for item in items), f"{words} is not in the manual page")


@alone.case("completion: ids and values, by -o json of the store; a name that would be a command of the shell is a name")
def _(d):
    config = ["--config", d.file("conf", f"state-dir={d.path}\n")]
    made = json.loads(ended(0, *config, "token", "issue", "--owner", "$(touch hostile)", "-o", "json"))
    ended(0, *config, "user", "add", "carol")
    equal(completed(*config, "token", "show", ""), {made["id"]}, "the ids")
    equal(completed("user", "remove", *config, "c"), {"carol"}, "the users")
    check(any("touch" in w for w in completed(*config, "quota", "show", "")), "the owners")
    check(not os.path.exists("hostile"), "it has run a name")
    equal((completed("usage", "--by", ""), completed("-o", "j"), completed("log-level", "d")), ({"hour", "day"}, {"json"}, {"debug"}), "values")


# ---- whom it asks, and what it refuses ----


@alone.case("a socket that is not ours is an error with the cure, and no reason to use the store")
def _(d):
    path = d.file("locked.sock")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as s:
        s.bind(path)
        s.listen()
        os.chmod(d.path, 0o755)
        os.chmod(path, 0o600)
        config = d.file("locked.conf", f"state-dir={d.path}\nadmin-socket={path}\n")
        try:
            p = subprocess.run([CTL, "--config", config, "token", "list"], capture_output=True, text=True, user=65534, env=daemon.clean_environment(), check=False)
        except (PermissionError, OSError) as e:
            raise tap.Skip(f"nobody else can be become here: {e}") from None
        equal(p.returncode, 4, f"the status ({p.stdout}{p.stderr})")
        check("permission denied: use sudo" in p.stderr, p.stderr)


@alone.case("what can't be written to standard output is a fault, and not said to be done")
def _(d):
    config = ["--config", d.file("conf", f"state-dir={d.path}\n")]
    for words in (["--help"], [*config, "admin-token", "list"], [*config, "token", "list", "-o", "json"], ["import-coturn", d.file("turnserver.conf", "realm=x\n")]):
        with open("/dev/full", "w", encoding="ascii") as full:
            p = subprocess.run([CTL, *words], stdout=full, stderr=subprocess.PIPE, text=True, env=daemon.clean_environment(), timeout=tap.PATIENCE_S, check=False)
        check(p.returncode == 1 and "turnpikectl: standard output: " in p.stderr, f"{words}: {p.returncode} {p.stderr}")


def by_default(text, *words, locked=False):
    """Status and standard error of a command where this is /etc/turnpike/turnpiked.conf, and no relay runs. `locked`: for who may not read it."""
    script = "mount -t tmpfs none /etc && mount -t tmpfs none /run && mkdir /etc/turnpike && cat >/etc/turnpike/turnpiked.conf && chmod 600 /etc/turnpike/turnpiked.conf || exit 99"
    user = ["setpriv", "--reuid=65534", "--clear-groups"] if locked else []
    p = subprocess.run(["unshare", "-m", "sh", "-c", script + '; exec "$@"', "sh", *user, CTL, *words], input=text, capture_output=True, text=True, env=daemon.clean_environment(), check=False)
    if p.returncode == 99 or p.stderr.startswith(("unshare", "setpriv")):
        raise tap.Skip(f"nothing can be mounted here, or nobody else become: {p.stderr}")
    daemon.check_log(p.stdout + p.stderr)
    return p.returncode, p.stderr


@alone.case("a configuration that is broken or not ours to read: the relay that runs is asked all the same, and what can't be without says why")
def _(d):
    broken, silent = "relm=x\n", "no relay listens on /run/turnpike/admin.sock"
    for words, ends, texts in (
        (["status"], 1, ["turnpiked.conf:1: relm: unknown key", "the configuration is left alone", silent]),
        (["token", "list"], 1, [silent]),
        (["--offline", "token", "list"], 2, ["relm: unknown key"]),
        (["admin-token", "list"], 2, ["relm: unknown key"]),
        (["config", "check"], 2, ["relm: unknown key"]),
        (["config", "check", d.file("good.conf", "realm=x\n")], 0, []),
    ):
        status, err = by_default(broken, *words)
        check(status == ends and all(t in err for t in texts), f"{words} of a broken one: {status} {err}")
        check(texts or not err, f"a file is judged by another: {err}")
    for words, ends, text in ((["status"], 1, silent), (["admin-token", "list"], 4, "turnpiked.conf"), (["--offline", "token", "list"], 4, "turnpiked.conf")):
        status, err = by_default("", *words, locked=True)
        check(status == ends and text in err, f"{words} of a locked one: {status} {err}")


@alone.case("S12: --url in the clear: no proxy of the environment's sees it, and a token goes to the loopback alone, whatever a URL looks like")
def _(d):
    env = daemon.clean_environment({"http_proxy": "http://127.0.0.1:9", "no_proxy": ""})
    p = subprocess.run([CTL, "--url", "http://127.0.0.1:1", "status"], capture_output=True, text=True, env=env, timeout=tap.PATIENCE_S, check=False)
    check(p.returncode == 1 and "port 1 " in p.stderr, f"another was asked: {p.stderr}")
    token = ["--token-file", d.file("token", "tpa_x\n")]
    for url in ("http://localhost:1@192.0.2.1:1", "http://localhost@192.0.2.1:1", "https://localhost:1@192.0.2.1:1", "http://[::1]@192.0.2.1:1", "http://[::1]x", "http://localhostx:1",
                "http://127.0.0.1.example", "http://", "https://"):
        check("https://HOST:PORT is expected" in ended(2, "--url", url, *token, "status"), f"{url} is taken")
    for url in ("http://localhost:1", "http://[::1]:1/", "http://127.0.0.1:1"):
        ended(1, "--url", url, *token, "status")


@alone.case("what does not go together is refused, each with its reason")
def _(_d):
    for words, text in (
        (["--url", "http://192.0.2.1:1", "--token-file", "/dev/null", "status"], "can't be read, or is empty"),
        (["--url", "ftp://x", "status"], "https://HOST:PORT is expected"),
        (["--url", "https://x", "--socket", "y", "status"], "one of them"),
        (["--token-file", "x", "status"], "go with --url"),
        (["-o", "xml", "status"], "json or table"),
        (["kick"], "ID of an allocation is needed"),
        (["kick", "1", "--user", "x"], "ID of an allocation is needed"),
        (["kick", "1", "2"], "one word too many"),
        (["peers", "set"], "--clear is for none"),
        (["quota", "set", "x"], "--max-allocations or --max-bps"),
        (["quota"], "no such command"),
        (["quota", "show"], "OWNER is missing"),
        (["drain", "--off", "--deadline", "1h"], "not both"),
        (["usage", "--watch", "--user", "x"], "--user does not go with usage"),
        (["status", "--max-bps", "1"], "does not go with"),
        (["credentials", "x", "--ttl", "never"], "these credentials end"),
        (["ice-servers", "--ttl", "never"], "these credentials end"),
        (["events", "--since", "1" * 64], "of at most 63 bytes"),
        ([], "Usage:"),
    ):
        said = ended(2, *words)
        check(text in said, f"{words} is refused otherwise: {said}")


tap.main()
