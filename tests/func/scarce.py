#!/usr/bin/env python3
"""F14: the memory limit is near. New allocations are refused, those that live go on; and with room again all is served."""
import os
import resource

from lib import daemon, net, stun, tap, world
from lib.call import Call, countable, given_back
from lib.tap import check, equal

net.need_namespaces()
daemon.need_daemon()

S = net.Standard
USED_PERCENT = 95  # of the limit that is set
SIZE, DATA = 0, 5  # fields of /proc/PID/statm


def pages(pid, field):
    with open(f"/proc/{pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[field]) * os.sysconf("SC_PAGESIZE")


@tap.group
def memory():
    with world.standard({"listening-port": 0, **countable(8)}) as w:
        yield w


def allocates(c):
    """Is an Allocate served? What it made is given back."""
    error = c.request(stun.ALLOCATE, (stun.REQUESTED_TRANSPORT, stun.UDP)).error
    check(error in (None, 508), f"Allocate gets {error}")
    if error is None:
        c.refresh(0)
    return error is None


@memory.case("F14 with RLIMIT_AS or RLIMIT_DATA near, Allocate gets 508, calls go on; when it is raised all is served again")
def _(w):
    pid = w.daemon.pid
    with given_back(w), Call(w) as call:
        lives, new, peer = w.client(0), w.client(1), w.peer()
        lives.allocate()
        for number, (which, field) in enumerate(((resource.RLIMIT_AS, SIZE), (resource.RLIMIT_DATA, DATA)), 0x4000):
            before = resource.prlimit(pid, which)
            resource.prlimit(pid, which, (pages(pid, field) * 100 // USED_PERCENT, before[1]))
            tap.wait_until(lambda: not allocates(new), "an Allocate is refused")
            call.go_on(100)
            lives.refresh()
            to = peer if number == 0x4000 else w.peer(S.PEER_2)
            lives.bind(number, to.address)
            lives.send_channel(number, b"still here")
            to.expect(b"still here", lives.relayed[0])
            check(not allocates(new), "an Allocate was served")
            resource.prlimit(pid, which, before)
            tap.wait_until(lambda: allocates(new), "an Allocate is served")
        lives.refresh(0)
    w.daemon.stop()
    (told,) = w.daemon.events("memory_short")  # and no second one within a minute
    equal(told["limit"], "RLIMIT_AS", "the limit that the log tells of")
    check("MemoryMax" in told["cure"], "the log tells no cure")
    equal(len(w.daemon.events("memory_recovered")), 1, "the lines that say that it is over")
    check(w.daemon.worker_stats()[0]["refused_memory_short"] >= 4, "what was refused is counted")


tap.main()
