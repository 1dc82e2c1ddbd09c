#!/usr/bin/env python3
"""Faults under a running call: it loses nothing that the fault doesn't explain, and afterwards all is back (F9, F10, F12, F28, F30, F33)."""
import contextlib
import fcntl
import os
import resource
import struct
import subprocess
import termios

from lib import daemon, net, stun, tap, world
from lib.call import Call, countable, descriptors, given_back
from lib.client import Endpoint
from lib.tap import check, equal

net.need_namespaces()
daemon.need_daemon()

S = net.Standard
PORTS = 8  # of the small range, and allocations of a user
PIPE_BYTES = 4096  # the smallest pipe: a few lines of log fill it


@tap.group
def faults():
    with world.standard({"listening-port": 0, **countable(PORTS)}) as w:
        yield w


@faults.case("F9 out of descriptors: 508, calls go on, accept does not spin; with descriptors again all is served")
def _(w):
    pid = w.daemon.pid
    with given_back(w), Call(w) as call:
        c = w.client(0)
        c.challenge()
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (descriptors(pid), limits[1]))
        equal(c.refuse_allocate(), 508, "the error")
        waits = w.client(1, "tcp")  # the kernel has accepted it, the daemon can't
        waits.send_raw(stun.encode(stun.BINDING, stun.REQUEST))
        call.go_on_calmly(pid)
        w.daemon.wait_log("event=accept_rests ")
        (told,) = w.daemon.events("accept_rests")  # however often it did
        check("LimitNOFILE" in told["cure"], "the log tells no cure")
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        equal(waits.receive().cls, stun.SUCCESS, "the class of the answer that had to wait")
        c.allocate()
        c.refresh(0)
        waits.close()


@faults.case("F12 a peer that is not there hurts nobody but itself")
def _(w):
    dead = w.peer(S.PEER_2)
    with given_back(w), Call(w) as call:
        c, alive = w.client(0), w.peer()
        c.allocate()
        c.bind(0x4000, dead.address)
        c.bind(0x4001, alive.address)
        gone = w.refusals(c.relayed[0], S.PEER_2)  # keeps the address in use, and hears no data
        dead.close()
        for i in range(200):
            c.send_channel(0x4000, b"nobody hears this")
            c.send_channel(0x4001, b"%d" % i)
            alive.expect(b"%d" % i, c.relayed[0])
            alive.send(b"%d" % i, c.relayed[0])
            c.expect_channel(0x4001, b"%d" % i)
        gone.sock.close()
        back = Endpoint(w.net.peer, *dead.address)
        c.send_channel(0x4000, b"is it back?")
        back.expect(b"is it back?", c.relayed[0])
        back.close()
        call.go_on()
        c.refresh(0)


@faults.case("F33 a client whose NAT gives it another port: 437, a new allocation, and the old one dies alone")
def _(w):
    with given_back(w), Call(w) as call:
        old, new, peer = w.client(0), w.client(0), w.peer()
        old.allocate()
        old.bind(0x4000, peer.address)
        new.challenge()
        equal(new.error(stun.REFRESH), 437, "the error of a Refresh")
        new.silent(stun.channel_data(0x4000, b"from nowhere"))
        new.allocate()
        new.bind(0x4000, peer.address)
        peer.send(b"to the new one", new.relayed[0])
        new.expect_channel(0x4000, b"to the new one")
        new.silent()  # and what goes to the old one does not come here
        old.refresh(0)
        gone = w.refusals(old.relayed[0])
        tap.wait_until(gone.refused, "the old relayed address is closed")
        call.go_on()
        new.refresh(0)


@faults.case("F30 with 30 % of all packets lost, and each sent twice, everything ends as it should", seconds=120)
def _(w):
    with given_back(w):
        # In turn, not by chance, and never two in a row: with four sessions no request is unlucky seven times.
        rule = "numgen inc mod 10 { 0, 4, 7 } drop"
        for ns in (w.net.cli, w.net.srv):  # one each way
            ns.run(["nft", "-f", "-"], "table ip loss {\n chain i { type filter hook input priority 0; %s; }\n}\n" % rule)
        try:
            command = [daemon.BENCH, "relay-relay", "--server", f"{w.server}:{w.daemon.port()}", "--user", daemon.USER, "--client-ip", w.net.client_ip(3)]
            command += ["--sessions", "4", "--rate", "50", "--duration", "2"]
            env = {**os.environ, "TURNPIKE_BENCH_PASSWORD": daemon.PASSWORD}
            with w.net.cli.popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as p:
                out, _ = p.communicate(timeout=100)
            check(p.returncode == 0, out)
        finally:
            for ns in (w.net.cli, w.net.srv):
                ns.run(["nft", "delete", "table", "ip", "loss"])
        c = w.client(4)
        c.challenge()
        for method, attributes in (
            (stun.ALLOCATE, [(stun.REQUESTED_TRANSPORT, stun.UDP)]),
            (stun.CREATE_PERMISSION, [stun.peer((S.PEER, 0))]),
            (stun.CHANNEL_BIND, [stun.channel_number(0x4000), stun.peer((S.PEER, 9))]),
            (stun.REFRESH, [stun.lifetime(700)]),
        ):
            raw = c.signed(method, attributes)
            first, second = c.exchange(raw), c.exchange(raw)
            equal((first.cls, second.cls), (stun.SUCCESS, stun.SUCCESS), f"the classes of method {method}")
            equal(second.addresses(stun.XOR_RELAYED_ADDRESS), first.addresses(stun.XOR_RELAYED_ADDRESS), f"the address in the second answer to method {method}")
        c.refresh(0)


@tap.group
def few_ports():
    with world.standard({"listening-port": 0, **countable(PORTS)}) as w:
        yield w


@few_ports.case("F10 relay ports run out: 508, calls go on; the first free port is given again")
def _(w):
    with given_back(w), Call(w) as call:
        clients = [w.client(i, user=daemon.USER_2, password=daemon.PASSWORD_2) for i in range(PORTS)]  # whose quota is large enough
        for c in clients[:-1]:
            c.allocate()
        for _ in range(3):
            equal(clients[-1].refuse_allocate(), 508, "the error")
        call.go_on()
        freed = clients[0].relayed
        clients[0].refresh(0)
        equal(clients[-1].allocate().addresses, freed, "the relayed address")
        for c in clients[1:]:
            c.refresh(0)


@contextlib.contextmanager
def with_log(path):
    with world.standard({"listening-port": 0, "log-level": "debug", "log-file": path, **countable(PORTS)}) as w:
        yield w


@tap.group
def log_full():
    with with_log("/dev/full") as w:
        yield w


def work(w, n):
    """What writes many lines."""
    for i in range(n):
        c = w.client(i % 10)
        c.allocate()
        c.refresh(0)
        c.close()


@log_full.case("F28 no room for the log: the relay works on, and ends as it should")
def _(w):
    with given_back(w), Call(w) as call:
        work(w, 100)
        call.go_on()


@tap.group
def log_blocked():
    with daemon.Directory() as d:
        path = d.file("log.fifo")
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        with with_log(path) as w:
            w.reader = reader
            yield w
        os.close(reader)


@log_blocked.case("F28 nobody reads the log: the relay works on, and ends in time")
def _(w):
    with given_back(w), Call(w) as call:
        work(w, 200)

        def waiting():
            return struct.unpack("i", fcntl.ioctl(w.reader, termios.FIONREAD, bytes(4)))[0]

        # What fits is written by several lines at a time, or not.
        tap.wait_until(lambda: waiting() > PIPE_BYTES // 2, lambda: f"the pipe is full: {waiting()} bytes wait")
        call.go_on()
    w.daemon.stop()  # nor does the end wait for a reader


tap.main()
