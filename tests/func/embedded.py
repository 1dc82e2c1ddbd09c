#!/usr/bin/env python3
"""Credentials in the embedded store: what turnpikectl writes beside a daemon that serves, and what kill -9 and a full disk do to it."""
import collections
import contextlib
import ctypes
import glob
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import call, daemon, net, stun, tap, world  # noqa: E402 # pylint: disable=wrong-import-position
from lib.meter import Flood, Meter, passed_most, settle, without_time  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tap import check, equal  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tokens import CTL, REVOKED_S, Fleet, Stream, Watch, each_try, rest  # noqa: E402 # pylint: disable=wrong-import-position

tap.need("unshare", "mount")
net.need_namespaces()
daemon.need_daemon()

S = net.Standard
SECRET = "northstar"
KNOWN_S = 1.0 if not tap.SANITIZER else 10.0  # from the end of the command to the first Allocate that is served
MANY = 100000
KEPT_S = 2.5 if not tap.SANITIZER else 4.0  # from a packet to when kill -9 cannot take it back: two steps, a second each
BUSY_S = 0.5  # of these a busy machine may make more
OVERSHOOT_S = 2.5 if not tap.SANITIZER else 8.0  # from the last byte that was paid for to the end
LOAD_S = 5.0 if not tap.SANITIZER else 100.0  # for so many, at the start


class Node(Fleet):
    """One daemon without Redis; its store lies in a directory that outlives it."""

    def __init__(self, stack, n, directory=None, **more):
        self.net, self.nodes, self.url = n, [], None
        self.dir = directory or stack.enter_context(daemon.Directory()).path
        self.config = {**self.settings(0), "redis": None, "state-dir": self.dir, **more}
        self.start(stack)

    def start(self, stack):
        d = stack.enter_context(daemon.Daemon(self.net.srv, self.config))
        w = world.World(self.net, d)
        stack.callback(w.close)
        self.nodes = [w]

    @property
    def daemon(self):
        return self.nodes[0].daemon

    @property
    def path(self):
        return os.path.join(self.dir, "turnpike.db")

    def user(self, name, *options, password=None):
        """Add one; with a password by standard input."""
        command = [CTL, "--config", self.daemon.config_path, "user", "add", name, "--json", *options]
        if password is None:
            return name, json.loads(self.net.srv.run(command))["password"]
        made = json.loads(self.net.srv.run([*command, "--password-stdin"], password + "\n"))
        check("password" not in made, "a password that was given is shown")
        return name, password

    def served(self, credentials, i=0, transport="udp", seconds=KNOWN_S, **kw):
        """A client that is served within a moment of what was done last."""
        tries = each_try(i)

        def served():
            c = self.nodes[0].client(next(tries), transport, user=credentials[0], password=credentials[1], **kw)
            if c.request(stun.ALLOCATE, (stun.REQUESTED_TRANSPORT, stun.UDP)).cls == stun.SUCCESS:
                return c
            c.close()
            return None

        return self.soon(served, f"{credentials[0]} is known", seconds)

    def usage(self, owner, *options):
        """Sums by label."""
        sums = collections.defaultdict(collections.Counter)
        for entry in json.loads(self.ctl("usage", "--json", "--owner", owner, *options)):
            sums[entry["label"] or ""].update({k: v for k, v in entry.items() if isinstance(v, int) and k != "from"})
        return sums

    def used(self, token):
        """A token's own."""
        shown = json.loads(self.ctl("token", "show", token[0], "--json"))
        return collections.Counter({k: shown["usage"][k] for k in ("allocations", "packets_up", "packets_down", "bytes_up", "bytes_down")})

    def kill_hard(self):
        self.daemon.kill(signal.SIGKILL)
        self.daemon.process.wait()
        self.daemon.stopped = True

    def refused(self, credentials, i=0):
        return tap.wait_until(
            lambda: self.client(credentials, i=i).request(stun.ALLOCATE, (stun.REQUESTED_TRANSPORT, stun.UDP)).error == 401,
            f"{credentials[0]} is refused",
        )


@tap.group
def node():
    with contextlib.ExitStack() as stack:
        yield Node(stack, stack.enter_context(S()))


@node.case("a token is served a moment after turnpikectl has made the store and it; wrong password, realm, scope or time is 401")
def _(f):
    check(not os.path.exists(f.path), "a daemon that only serves has made a store")
    good = f.token("--label", 'a "label" %s', "--expires", "1h")
    start = time.monotonic()
    f.served(good)
    print(f"# from the end of the command to the first success: {(time.monotonic() - start) * 1000:.0f} ms")
    f.served(good, transport="tcp", algorithm=stun.SHA256)
    bad = [f.token(*options) for options in (["--scope", "phone"], ["--realm", "elsewhere"], ["--not-before", "1h"])]
    f.served(f.token())
    for token in bad:
        equal(f.client(token).refuse_allocate(), 401, f"the error of {token}")
    equal(f.client((good[0], "wrong")).refuse_allocate(), 401, "the error with a wrong password")
    listed = {t["id"]: t for t in json.loads(f.ctl("token", "list", "--json"))}
    check(good[0] in listed and "password" not in listed[good[0]], f"the list: {listed}")
    equal(json.loads(f.ctl("token", "show", good[0], "--json"))["label"], 'a "label" %s', "the label")


@node.case("C26 a user of the store: by name and by USERHASH, with MD5 and SHA-256; removed and added again with another password")
def _(f):
    carol, dave = f.user("carol", password="caf\u00e9 'noir'"), f.user("d ave\"%s'")
    f.served(carol)
    f.served(dave)
    for algorithm in (stun.MD5, stun.SHA256):
        c = f.nodes[0].client(1, user=carol[0], password=carol[1], algorithm=algorithm)
        c.challenge()
        c.allocate(userhash=True)
    check("already" in f.ctl("user", "add", "carol", status=5), "a second carol")
    equal(sorted(u["id"] for u in json.loads(f.ctl("user", "list", "--json"))), sorted([carol[0], dave[0]]), "the users")
    check(carol[0] not in f.ctl("token", "list"), "a user is no token")
    with Stream(f.nodes[0], f.client(carol, i=3)) as live:
        f.ctl("user", "remove", "carol")
        again = f.user("carol", password="another")
        live.ended(f.nodes[0])
    f.served(again)
    f.refused(carol)
    check("no such user" in f.ctl("user", "remove", "nobody", status=3), "removing who never was")


@node.case("C48 C57 a token's own limits: allocations of its owner, bits a second, peers")
def _(f):
    peer, other = f.nodes[0].peer(), f.nodes[0].peer(S.PEER_2)
    few = f.token("--max-allocations", "2", "--max-bps", "80k", "--allow-peer", peer.address[0], owner="small")
    first = f.served(few, i=1)
    f.served(few, i=2)
    equal(f.client(few, i=3).refuse_allocate(), 486, "the error of the third")
    equal(first.denied(other.address), (403, 403), "a peer that is not its own")
    first.bind(0x4000, peer.address)
    start = time.monotonic()
    for i in range(200):
        first.send_channel(0x4000, b"%03d" % i + bytes(997))
    first.exchange(stun.encode(stun.BINDING, stun.REQUEST))
    calm = f.served(f.token(), i=4)
    calm.bind(0x4000, peer.address)
    calm.send_channel(0x4000, b"calm")
    got = 0
    while peer.receive().data != b"calm":
        got += 1
    tap.within(got, 1, passed_most(start), "packets of 200 that came up")


@node.case("a revoked token's calls end within a second over UDP and TCP, and it is refused; another's go on")
def _(f):
    doomed, other = f.token(), f.token()
    f.served(other).refresh(0)
    with Stream(f.nodes[0], f.client(doomed)) as a, Stream(f.nodes[0], f.client(doomed, i=1, transport="tcp")) as b:
        with Stream(f.nodes[0], f.client(other, i=2)) as c:
            start = time.monotonic()
            f.ctl("token", "revoke", doomed[0])
            watch = f.watch()
            a.ended(f.nodes[0])
            b.ended(f.nodes[0])
            print(
                f"# from the command's begin to the last packet: UDP {(a.last - start) * 1000:.0f} ms, TCP {(b.last - start) * 1000:.0f} ms"
                f" (the command took {(watch.start - start) * 1000:.0f} ms)"
            )
            watch.within(REVOKED_S, "from the command's end to the last packet", max(a.last, b.last))
            before = c.count
            tap.wait_until(lambda: c.count > before + 20, "the other's packets come")
    equal(f.client(doomed, i=3).refuse_allocate(), 401, "the error after it")
    f.ctl("token", "revoke", doomed[0])  # twice is fine
    check("no such token" in f.ctl("token", "revoke", "tnobody", status=3), "revoking what never was")


@node.case("usage: what was relayed over UDP, TCP and a splice is kept to the byte, by label, token, hour and day, and turnpikectl shows it")
def _(f):
    desk, lobby = f.token("--label", "desk", owner="books"), f.token("--label", "lobby", owner="books")
    quiet = f.token(owner="books")
    f.served(desk).refresh(0)
    f.served(lobby).refresh(0)
    meters = [Meter(f, desk, i=1), Meter(f, desk, i=2, transport="tcp"), Meter(f, lobby, i=3, transport="tcp"), Meter(f, desk, i=4)]
    for m in meters[:2]:
        m.bind()
        m.up(30)
        m.down(20)
    a, b = meters[2:]
    a.bind(b.client.relayed[0])
    b.bind(a.client.relayed[0])
    a.up(25, b)
    b.up(15, a)
    one = collections.Counter(allocations=1)  # of those that asked whether the token is known
    wants = {"desk": meters[0].used + meters[1].used + b.used + one, "lobby": a.used + one}
    for token, label in ((desk, "desk"), (lobby, "lobby")):
        settle(lambda label=label: f.usage("books")[label], wants[label], f"the usage of {label} while its calls go on")
        equal(without_time(f.used(token)), without_time(wants[label]), f"the usage of the token of {label}")
    for m in meters:
        m.end()
    start = time.monotonic()
    last = Meter(f, desk, i=5).bind()
    last.up(1)
    last.end()
    wants["desk"] += last.used
    settle(lambda: f.usage("books")["desk"], wants["desk"], "the usage of desk after the end")
    print(f"# what has ended is in the store after {(time.monotonic() - start) * 1000:.0f} ms")
    for options in (("--by", "hour"), ("--by", "day"), ("--by", "hour", "--since", "2h")):
        sums = f.usage("books", *options)
        equal({k: without_time(v) for k, v in sums.items()}, {k: without_time(v) for k, v in wants.items()}, f"usage {options}")
    with contextlib.closing(sqlite3.connect(f.path)) as db:
        check(db.execute("SELECT min(ms) FROM usage WHERE owner = 'books' AND allocations > 0").fetchone()[0] > 50, "no time was counted")
    check("bytes up" not in f.ctl("token", "show", quiet[0]), "a token that has used nothing")
    check("Nothing has been used." in f.ctl("usage", "--owner", "nobody"), "the usage of who has used nothing")


@node.case("usage: max_bytes ends a token's calls, and it is refused from then on; another's go on")
def _(f):
    most = 200000
    token, other = f.token("--max-bytes", str(most), owner="small"), f.token(owner="small")
    f.served(other).refresh(0)  # and so the one before it is known, too
    flood, calm = Flood(f, token, 0, 6), Meter(f, other, i=7).bind()
    ended = len(f.daemon.events("credential_exhausted"))
    sent, reached = 0, None
    deadline = time.monotonic() + 3 * tap.PATIENCE_S
    while not flood.gone():
        flood.meter.client.send_channel(0x4000, bytes(1000))
        sent += 1000
        if reached is None and sent >= most:
            reached = f.watch()
        calm.up()
        check(time.monotonic() < deadline, "the token goes on")
        time.sleep(0.005)
    took = time.monotonic() - reached.start
    reached.within(OVERSHOOT_S, "from the last byte that was paid for to the end")
    kept = f.used(token)
    print(f"# the call ended {took * 1000:.0f} ms after the last byte that was paid for, {kept['bytes_up']} bytes of {most} were kept by then")
    equal(f.client(token, i=8).refuse_allocate(), 401, "the error after it")
    calm.up(10)
    f.client(other, i=9).allocate()
    check(json.loads(f.ctl("token", "show", token[0], "--json"))["revoked_at"], "the token is not marked in its record")
    equal(len(f.daemon.events("credential_exhausted")), ended + 1, "how often it was told")


@node.case("S7 S24 names of any characters are 401 and change nothing; no password in the store, no key in the log, the file is its owner's")
def _(f):
    token, user = f.token("--label", "'; DELETE FROM credential; --"), f.user("erin")
    f.served(token)
    f.served(user)
    before = f.ctl("token", "list", "--json")
    for name in ("%s%n", "a b", "' OR 1=1 --", '"\'\\', "x" * 500, "\u00fc\u4e16", "'); DROP TABLE credential; --"):
        equal(f.client((name, "x")).refuse_allocate(), 401, f"the error of {name!r}")
    equal(f.ctl("token", "list", "--json"), before, "the list")
    for path in glob.glob(f.path + "*"):
        equal(os.stat(path).st_mode & 0o777, 0o600, f"the mode of {path}")
        with open(path, "rb") as file:
            kept = file.read()
        for secret in (token[1], user[1]):
            check(secret.encode() not in kept, f"a password is in {path}")
    key = stun.key(token[0], daemon.REALM, token[1], stun.MD5).hex()
    for secret in (token[1], user[1], key):
        check(secret not in f.daemon.log(), "a secret is in the log")


@node.case("F17 another state-dir at a reload is told, and the store of the start goes on")
def _(f):
    token = f.token()
    with daemon.Directory() as other:
        f.daemon.reload({"state-dir": other.path})
        f.daemon.wait_log("event=reload_needs_restart key=state-dir")
        f.served(token)
        f.daemon.reload({"state-dir": f.dir})


@tap.group
def secret():
    with contextlib.ExitStack() as stack:
        yield Node(stack, stack.enter_context(S()), **{"static-auth-secret": SECRET, "user": None})


@secret.case("a revoked user part: its names that end before the time are refused and their calls end, the secret being turnpiked's own")
def _(f):
    soon, later = int(time.time()) + 3600, int(time.time()) + 7200
    names = [rest(f"{soon}:dave", SECRET), rest(f"{later}:dave", SECRET), rest(f"{soon}:erin", SECRET), rest(f"dave:{soon}", SECRET)]
    with Stream(f.nodes[0], f.client(names[0])) as doomed, Stream(f.nodes[0], f.client(names[2], i=1)) as other:
        f.ctl("user", "revoke", "dave", "--before", f"@{later}")
        doomed.ended(f.nodes[0])
        before = other.count
        tap.wait_until(lambda: other.count > before + 20, "the other's packets come")
    for i, (name, status) in enumerate(zip(names, (401, None, None, 401))):
        c = f.client(name, i=2 + i)
        if status:
            equal(c.refuse_allocate(), status, f"the error of {name[0]}")
        else:
            c.allocate()
    f.ctl("user", "revoke", "dave", "--before", "30m")  # the one that reaches further stays
    f.served(f.token())
    equal(f.client(names[0], i=7).refuse_allocate(), 401, "the error of a name after a lesser revocation")


@tap.group
def hosts():
    with S() as n:
        yield n


@hosts.case("F15 kill -9: every token, user and revocation is there afterwards, also those of the last moment")
def _(n):
    with contextlib.ExitStack() as stack:
        f = Node(stack, n, **{"static-auth-secret": SECRET})
        soon = int(time.time()) + 3600
        kept, doomed, carol, dave = f.token(), f.token(), f.user("carol"), rest(f"{soon}:dave", SECRET)
        f.served(kept)
        f.ctl("token", "revoke", doomed[0])
        f.ctl("user", "revoke", "dave")
        last = f.token()
        f.kill_hard()
        unserved = f.token()  # the store needs no server
        f.start(stack)
        for credentials in (kept, carol, last, unserved):
            f.client(credentials).allocate()
        for credentials in (doomed, dave):
            equal(f.client(credentials).refuse_allocate(), 401, f"the error of {credentials[0]}")


@hosts.case("F15 usage: kill -9 in the middle loses what the last second has brought, and counts nothing twice; SIGTERM loses nothing")
def _(n):
    with contextlib.ExitStack() as stack:
        f = Node(stack, n)
        token = f.token("--label", "x")
        f.served(token).refresh(0)
        settle(lambda: f.used(token), collections.Counter(allocations=1), "the first allocation")
        kept = f.used(token)
        for i in range(4):
            m, sure, watch = Meter(f, token, i=1 + i).bind(), collections.deque(), f.watch()
            end = time.monotonic() + KEPT_S + BUSY_S + 0.3 * (1 + i)  # the kill meets the transaction, which comes once a second, at another moment each time
            while time.monotonic() < end:
                m.up()
                m.down()
                sure.append((time.monotonic(), m.used.copy()))
            at, patience = time.monotonic(), KEPT_S + min(watch.waited(), BUSY_S)
            f.kill_hard()
            now = f.used(token)
            least = [used for when, used in sure if when < at - patience][-1:]
            check(least, "nothing had the time to be kept")
            gained = now - kept
            lost = m.used["packets_up"] - gained["packets_up"]
            since = at - next((when for when, used in sure if used["packets_up"] > gained["packets_up"]), at)
            print(f"# kill -9 lost {lost} of {m.used['packets_up']} packets up, those of the last {since * 1000:.0f} ms")
            for k, v in m.used.items():
                tap.within(gained[k], least[0][k], v, f"{k} that were kept")
            kept = now
            equal(without_time(f.usage("acme")["x"]), without_time(now), "the label's usage beside the token's")
            f.start(stack)
            equal(f.used(token), kept, "the usage after the start")
        m = Meter(f, token, i=7).bind()
        m.up(20)
        f.daemon.stop()
        equal(without_time(f.used(token)), without_time(kept + m.used), "the usage after SIGTERM")
        check(not f.daemon.events("usage_lost"), "usage_lost was logged")


@hosts.case("usage: serving makes no store and is no trouble without one; once there is one, fixed users are counted, too")
def _(n):
    with contextlib.ExitStack() as stack:
        f = Node(stack, n)
        fixed = (daemon.USER, daemon.PASSWORD)
        m = Meter(f, fixed).bind()
        end = time.monotonic() + KEPT_S
        while time.monotonic() < end:
            m.up()
        check(not os.path.exists(f.path), "who serves has made a store")
        f.token()
        before = m.used.copy()
        m.up(5)
        tap.wait_until(lambda: f.usage(daemon.USER)[""]["bytes_up"] >= (m.used - before)["bytes_up"], "the usage of a fixed user")
        check(f.usage(daemon.USER)[""]["packets_up"] < m.used["packets_up"], "what was used before there was a store is kept, too")
        check(not f.daemon.events("usage_unavailable"), "usage_unavailable was logged")


@hosts.case("with Redis the embedded store is not opened")
def _(n):
    with contextlib.ExitStack() as stack, daemon.Directory() as d:
        with open(os.path.join(d.path, "turnpike.db"), "w", encoding="ascii") as file:
            file.write("no store")
        Node(stack, n, d.path, redis="redis://127.0.0.1:1")


@hosts.case("a store that is damaged at the start is a clear error, and left as it is; one that is damaged later is reported, and calls go on")
def _(n):
    with contextlib.ExitStack() as stack:
        f = Node(stack, n)
        token = f.token()
        f.served(token)
        good = f.path + ".good"
        with contextlib.closing(sqlite3.connect(f.path)) as db:
            db.execute("VACUUM INTO ?", (good,))
        with call.Call(f.nodes[0], f.client(token, i=1)) as talk:
            broken = f.path + ".new"
            with open(broken, "wb") as file:
                file.write(b"noise" * 1000)
            for path in (f.path + "-wal", f.path + "-shm"):  # SQLite would read the old log over the new file
                os.unlink(path)
            os.rename(broken, f.path)
            f.daemon.wait_log("event=store_unavailable reason=.*turnpike.db: it is damaged")
            talk.go_on()
            f.client(token, i=2).allocate()
            check("damaged" in f.ctl("token", "issue", "--owner", "acme", status=1), "what turnpikectl says")
            config = f.daemon.directory.file("again.conf", daemon.config_text({**f.config, "listening-port": 0}))
            status, _, err = daemon.run_daemon(["--config", config], ns=n.srv)
            equal(status, 1, "the status of a start")
            check("turnpike.db: it is damaged, or none of Turnpike's; nothing has been changed" in err, err)
            with open(f.path, "rb") as file:
                equal(file.read(), b"noise" * 1000, "the file")
            os.rename(good, f.path)
            f.daemon.wait_log("event=store_ready")
            talk.go_on()


def fill(path, n, like):
    """So many tokens more, in one transaction, each with the word of it that turnpikectl would leave: all have the keys of that one."""
    db = sqlite3.connect(path, isolation_level=None)
    with contextlib.closing(db):
        db.execute("BEGIN IMMEDIATE")
        columns = [row[1] for row in db.execute("PRAGMA table_info(credential)")]
        rest_of = ", ".join(c for c in columns if c != "name")
        first = db.execute("SELECT count(*) FROM credential").fetchone()[0]
        db.execute(
            f"WITH RECURSIVE n (i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO credential (name, {rest_of})"
            f" SELECT printf('tmany%020d', i), {rest_of} FROM n, (SELECT * FROM credential WHERE name = ?)",
            (first, first + n - 1, like[0]),
        )
        db.execute("INSERT INTO change (at, about, what) SELECT ?, 0, name FROM credential WHERE name >= ?", (int(time.time()), f"tmany{first:020}"))
        db.execute("COMMIT")
    return f"tmany{first + n - 1:020}"


def with_keys(path, name, token):
    """The same token under this name: its keys are derived anew."""
    md5, sha256 = (stun.key(name, daemon.REALM, token[1], a) for a in (stun.MD5, stun.SHA256))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE credential SET md5 = ?, sha256 = ? WHERE name = ?", (md5, sha256, name))
        db.execute("INSERT INTO change (at, about, what) VALUES (?, 0, ?)", (int(time.time()), name))
    return name, token[1]


@hosts.case("100,000 tokens: read at the start within seconds; 20,000 more beside a call, which goes on; the last one is served", seconds=240)
def _(n):
    with contextlib.ExitStack() as stack:
        f = Node(stack, n)
        token = f.token()
        f.daemon.stop()
        last = with_keys(f.path, fill(f.path, MANY, token), token)
        start = time.monotonic()
        f.start(stack)
        took, waited = time.monotonic() - start, Watch.of_its_life(f.daemon)
        with open(f"/proc/{f.daemon.pid}/status", encoding="ascii") as status:
            memory = next(line.split()[1] for line in status if line.startswith("VmRSS"))
        print(f"# {MANY} tokens: the start took {took * 1000:.0f} ms, {int(memory) // 1024} MB are resident")
        check(took < LOAD_S + waited, f"the start took {took:.1f} s, {waited:.1f} s of waiting for a processor among them")
        f.client(last).allocate()
        with call.Call(f.nodes[0], f.client(token, i=1)) as talk:
            newest = fill(f.path, 20000, token)
            start = time.monotonic()
            credentials = with_keys(f.path, newest, token)
            f.served(credentials, seconds=LOAD_S)
            print(f"# 20000 more at once: the last one was served after {(time.monotonic() - start) * 1000:.0f} ms")
            talk.go_on()


@contextlib.contextmanager
def small_disk(kilobytes):
    """A directory on a file system of its own, in a mount namespace that this process and its children see."""
    clone_newns = 0x00020000
    libc = ctypes.CDLL(None, use_errno=True)
    with daemon.Directory() as d:
        if libc.unshare(clone_newns) != 0:
            raise tap.Skip(f"no mount namespace: {os.strerror(ctypes.get_errno())}")
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k,mode=0700", "turnpike", d.path], check=True)
        try:
            yield d.path
        finally:
            subprocess.run(["umount", d.path], check=True)


@hosts.case("F28 a full disk: issuing and revoking say so and lose nothing, the daemon serves what it knows; with room again all goes on")
def _(n):
    with contextlib.ExitStack() as stack:
        path = stack.enter_context(small_disk(1024))
        f = Node(stack, n, path)
        token, carol = f.token(), f.user("carol")
        f.served(token)
        with call.Call(f.nodes[0], f.client(token, i=1)) as talk:
            filler = os.path.join(path, "filler")
            with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))
            said = f.ctl("token", "issue", "--owner", "acme", status=1)
            check("turnpike.db: the disk is full" in said, said)
            check("the disk is full" in f.ctl("token", "revoke", token[0], status=1), "what revoking says")
            equal([t["id"] for t in json.loads(f.ctl("token", "list", "--json"))], [token[0]], "the tokens")
            talk.go_on()
            f.client(carol, i=2).allocate()
            books = Meter(f, carol, i=5).bind()
            books.up(5)
            f.daemon.wait_log("event=usage_unavailable reason=.*the disk is full")
            books.up(5)
            os.unlink(filler)
            f.daemon.wait_log("event=usage_ready")
            settle(lambda: f.usage("carol")[""], books.used + collections.Counter(allocations=1), "what was used while the disk was full")
            f.served(f.token(), i=3)
            f.client(token, i=4).allocate()
            talk.go_on()


tap.main()
