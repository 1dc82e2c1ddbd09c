"""Network namespaces and veth pairs that vanish with the test.

The namespaces have no name: a descriptor of this process holds each, and every process started in one is killed by the kernel when
this process ends. So nothing is left behind, however the test ends, and two tests never meet. (To look inside while one runs:
`nsenter --net=/proc/PID/fd/N`.)
"""
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys

from . import tap

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1


def _call(function, *args):
    if function(*args) != 0:
        e = ctypes.get_errno()
        raise OSError(e, os.strerror(e))


def need_namespaces():
    """Be root, or become root of a user namespace, or skip the whole file."""
    tap.need("ip", "unshare")
    if os.geteuid() == 0:
        try:
            Netns("trial").close()
            return
        except OSError as e:
            tap.skip_all(f"network namespaces cannot be made here: {e.strerror}")
    if subprocess.run(["unshare", "-rn", "true"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        tap.skip_all("needs root, or user namespaces that anybody may make")
    os.execvp("unshare", ["unshare", "-r", sys.executable, "-B", *sys.argv])


class Netns:
    def __init__(self, name):
        self.name = name
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _call(_libc.unshare, _CLONE_NEWNET)
            self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            _call(_libc.setns, home, _CLONE_NEWNET)
        finally:
            os.close(home)
        self.path = f"/proc/{os.getpid()}/fd/{self.fd}"

    def close(self):
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None

    @contextlib.contextmanager
    def inside(self):
        """The calling thread is in the namespace; what it opens there stays there."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _call(_libc.setns, self.fd, _CLONE_NEWNET)
            yield self
        finally:
            _call(_libc.setns, home, _CLONE_NEWNET)
            os.close(home)

    def socket(self, family, kind, protocol=0):
        with self.inside():
            return socket.socket(family, kind, protocol)

    def popen(self, command, **kw):
        def enter():
            _call(_libc.setns, self.fd, _CLONE_NEWNET)
            _call(_libc.prctl, _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

        return subprocess.Popen(command, preexec_fn=enter, **kw)  # pylint: disable=subprocess-popen-preexec-fn

    def run(self, command, text_in=None, seconds=None):
        """Runs to the end; returns what it wrote. A status other than 0 is a failure."""
        with self.popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as p:
            try:
                out, _ = p.communicate(text_in, timeout=seconds or tap.PATIENCE_S)
            except BaseException:
                p.kill()
                raise
        tap.check(p.returncode == 0, f"{' '.join(command)} ended with {p.returncode}: {out}")
        return out

    def ip(self, *lines):
        self.run(["ip", "-batch", "-"], "\n".join(lines) + "\n")

    def bound(self, ip, port):
        """Has somebody a UDP socket at this IPv4 address and port, or listens there by TCP? Asking disturbs nobody."""
        wanted = f"{int.from_bytes(socket.inet_aton(ip), sys.byteorder):08X}:{port:04X}"
        for protocol, states in (("udp", ("01", "07")), ("tcp", ("0A",))):  # net/tcp_states.h: those of UDP; TCP_LISTEN
            with self.inside(), open(f"/proc/thread-self/net/{protocol}", encoding="ascii") as f:
                if any((words := line.split())[1] == wanted and words[3] in states for line in f):
                    return True
        return False

    def sysctl(self, key, value):
        with self.inside(), open("/proc/sys/" + key.replace(".", "/"), "w", encoding="ascii") as f:
            f.write(str(value))


class Net:
    """Some namespaces; leaving it closes them."""

    def __init__(self, *names):
        self.all = []
        for name in names:
            ns = Netns(name)
            self.all.append(ns)
            setattr(self, name, ns)
            ns.ip("link set lo up")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for ns in self.all:
            ns.close()

    @staticmethod
    def link(a, a_if, a_addresses, b, b_if, b_addresses):
        """A veth pair with addresses (with prefix length) that can be used at once: no duplicate address detection."""
        a.ip(f"link add {a_if} type veth peer name {b_if} netns {b.path}")
        for ns, dev, addresses in ((a, a_if, a_addresses), (b, b_if, b_addresses)):
            ns.ip(*[f"addr add {x} dev {dev}{' nodad' if ':' in x else ''}" for x in addresses], f"link set {dev} up")
        for ns, dev in ((a, a_if), (b, b_if)):  # the kernel starts to send a moment after the carrier came
            tap.wait_until(lambda n=ns, d=dev: " UP " in n.run(["ip", "-br", "link", "show", "dev", d]), f"{dev} is up")


class Standard(Net):
    """Clients, the server, peers: three hosts in a row. The server forwards nothing, so what reaches a peer was relayed.

    All but PUBLIC* lie in ranges that are denied by default.
    """

    CLIENTS = 20
    SERVER = "198.51.100.1"
    SERVER_2 = "198.51.100.3"
    SERVER6 = "2001:db8:1::1"
    SERVER6_2 = "2001:db8:1::3"
    RELAY = "203.0.113.1"
    RELAY6 = "2001:db8:2::1"
    PEER = "203.0.113.10"
    PEER_2 = "203.0.113.11"
    PEER6 = "2001:db8:2::10"
    PUBLIC = "11.0.0.10"
    PUBLIC6 = "2400:0:0:1::10"
    PEER_NETS = ("203.0.113.0/24", "2001:db8:2::/64")

    def __init__(self):
        super().__init__("cli", "srv", "peer")
        self.link(
            self.cli,
            "eth0",
            [f"198.51.100.{10 + i}/24" for i in range(self.CLIENTS)] + [f"2001:db8:1::{10 + i}/64" for i in range(self.CLIENTS)],
            self.srv,
            "cli0",
            [f"{self.SERVER}/24", f"{self.SERVER_2}/24", f"{self.SERVER6}/64", f"{self.SERVER6_2}/64"],
        )
        self.link(
            self.srv,
            "peer0",
            [f"{self.RELAY}/24", "11.0.0.1/24", f"{self.RELAY6}/64", "2400:0:0:1::1/64"],
            self.peer,
            "eth0",
            [f"{self.PEER}/24", f"{self.PEER_2}/24", f"{self.PUBLIC}/24", f"{self.PEER6}/64", "2001:db8:2::11/64", f"{self.PUBLIC6}/64"],
        )
        for key, value in (
            ("net.ipv4.icmp_ratelimit", 0),  # tests look for ICMP errors more often than once a second
            ("net.ipv4.icmp_ratemask", 0),  # nor are they within the whole machine's limit
            ("net.ipv6.icmp.ratelimit", 0),
            ("net.ipv4.icmp_msgs_per_sec", 100000),
            ("net.ipv4.icmp_msgs_burst", 10000),
        ):
            with contextlib.suppress(OSError):  # before Linux 6.13 the last two are the whole machine's, not a namespace's
                self.srv.sysctl(key, value)
        for ns, via, via6 in ((self.cli, self.SERVER, self.SERVER6), (self.peer, self.RELAY, self.RELAY6)):
            ns.ip(f"route add default via {via}", f"route add default via {via6}")

    def client_ip(self, i):
        return f"198.51.100.{10 + i}"

    def client_ip6(self, i):
        return f"2001:db8:1::{10 + i}"
