"""A registrar (kamailio), a PBX that does what a test says word by word, and our SIP user agent in a process of its own."""
import os
import re
import select
import signal
import socket
import tempfile
import time

from . import daemon, drive, tap

PROGRAM = "tests/func/sipdrive"
DRIVE = os.path.join(daemon.BUILDDIR, PROGRAM)
REALM = "office"
SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n"
ANSWER = SDP.replace("4000", "5000")
CONFIG = """#!KAMAILIO
debug=0
log_stderror=yes
children=1
tcp_children=1
dns=no
rev_dns=no
listen=udp:%(ip)s:5060
listen=tcp:%(ip)s:5060
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
modparam("usrloc", "db_mode", 0)
modparam("registrar", "min_expires", 1)
request_route {
    if (is_method("CANCEL")) {
        t_relay();
        exit;
    }
    if (has_totag()) {
        if (loose_route() || is_method("ACK")) t_relay();
        exit;
    }
    if (is_method("REGISTER")) {
        if (!pv_www_authenticate("%(realm)s", "%(password)s", "0")) {
            www_challenge("%(realm)s", "0");
            exit;
        }
        save("location");
        exit;
    }
    if (is_method("INVITE")) {
        if (!pv_proxy_authenticate("%(realm)s", "%(password)s", "0")) {
            proxy_challenge("%(realm)s", "0");
            exit;
        }
        consume_credentials();
        record_route();
    }
    if (!lookup("location")) {
        sl_send_reply("404", "Unknown");
        exit;
    }
    t_relay();
}
"""


class Registrar:
    """kamailio, where every extension has the same password."""

    def __init__(self, ns, ip="127.0.0.1", password="s3cret"):
        self.ns, self.ip = ns, ip
        self.directory = tempfile.TemporaryDirectory(prefix="sip")
        self.config = os.path.join(self.directory.name, "kamailio.cfg")
        with open(self.config, "w", encoding="ascii") as f:
            f.write(CONFIG % {"ip": ip, "realm": REALM, "password": password})
        self.process = None
        self.start()

    def start(self):
        home = self.directory.name
        command = ["kamailio", "-DD", "-E", "-f", self.config, "-w", home, "-Y", home, "-m", "32", "-M", "8"]
        with open(os.path.join(home, "log"), "ab") as log:
            self.process = self.ns.popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            tap.wait_until(self._listens, "kamailio listens", 30, self.process)
        except tap.Failure as e:
            raise tap.Failure(f"{e}: {self.log()}") from None

    def _listens(self):
        with self.ns.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
            return s.connect_ex((self.ip, 5060)) == 0

    def log(self):
        with open(os.path.join(self.directory.name, "log"), encoding="utf-8", errors="replace") as f:
            return f.read()[-2000:]

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        tap.wait_until(lambda: not self.ns.bound(self.ip, 5060), "kamailio's other processes have let go of its port")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        self.directory.cleanup()


class Drive(drive.Drive):
    """Our user agent."""

    def __init__(self, ns, registrar="127.0.0.1:5060", lines=({"user": "100"},), ip="127.0.0.1:0", expires=300, ring=60, **options):
        super().__init__(ns, PROGRAM)
        self.order(new=ip, registrar=registrar, lines=list(lines), expires=expires, ring=ring, **options)
        self.started = self.wait("new")

    @property
    def port(self):
        return int(self.started["address"].rsplit(":", 1)[1])

    def judge(self, kind, got):
        tap.check("within" not in got and (kind == "error" or "error" not in got), f"the driver says: {''.join(self.text[-3:])}")


class Message:
    """A SIP message; `header` has the first of each name, in lower case."""

    def __init__(self, raw, source):
        head, _, self.body = raw.decode("utf-8", "replace").partition("\r\n\r\n")
        self.first, *lines = head.split("\r\n")
        self.all = [tuple(x.strip() for x in line.split(":", 1)) for line in lines]
        self.header = {}
        for name, value in self.all:
            self.header.setdefault({"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length",
                                    "c": "content-type", "x": "session-expires"}.get(name.lower(), name.lower()), value)
        self.source = source
        self.is_request = not self.first.startswith("SIP/")
        self.method = self.first.split()[0] if self.is_request else self.header["cseq"].split()[1]
        self.status = 0 if self.is_request else int(self.first.split()[1])

    def __repr__(self):
        return f"{self.first} ({self.header.get('cseq')})"


class Pbx:
    """Speaks SIP by hand, one message at a time, and answers nothing by itself but what a test has left aside."""

    def __init__(self, ns, ip="127.0.0.1", port=5060, tcp=False):
        self.ip, self.tcp = ip, tcp
        self.listener = ns.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((ip, port))
        self.port = self.listener.getsockname()[1]
        self.socket = None if tcp else self.listener
        if tcp:
            self.listener.listen(5)
        self.buffer = b""
        self.seen = set()
        self.kept = []
        self.tag, self.cseq = "pbx1", 100

    def close(self):
        if self.socket is not None:
            self.socket.close()
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _raw(self, deadline):
        """One message, or None when the time is over."""
        while True:
            m = re.match(rb"(?s)(.*?\r\n\r\n)", self.buffer)
            if m and self.tcp:
                length = int(re.search(rb"(?im)^(?:content-length|l)\s*:\s*(\d+)", m[1])[1])
                if len(self.buffer) >= len(m[1]) + length:
                    raw, self.buffer = self.buffer[:len(m[1]) + length], self.buffer[len(m[1]) + length:]
                    return raw, None
            wait = self.socket or self.listener
            if not select.select([wait], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return None
            if self.socket is None:
                self.socket, _ = self.listener.accept()
            elif self.tcp:
                data = self.socket.recv(65536)
                tap.check(data, "the connection of the user agent is there")
                self.buffer += data
            else:
                return self.socket.recvfrom(65536)

    def expect(self, what, seconds=None):
        """The next message of a method or with a status; a repetition of what was seen is no news."""
        deadline = time.monotonic() + (seconds or tap.PATIENCE_S)
        while True:
            for m in self.kept:
                if what == (m.method if m.is_request else m.status):
                    self.kept.remove(m)
                    return m
            got = self._raw(deadline)
            tap.check(got, f"{what} did not come, but {self.kept}")
            m = Message(*got)
            key = (m.first, m.header["call-id"], m.header["cseq"], m.header["via"], m.header.get("to"))
            if key not in self.seen or m.method == "ACK":
                self.seen.add(key)
                self.kept.append(m)

    def send(self, text, to=None):
        if self.tcp:
            self.socket.sendall(text.encode())
        else:
            self.socket.sendto(text.encode(), to)

    @staticmethod
    def _message(first, headers, body):
        lines = [first] + [f"{k}: {v}" for k, v in headers]
        if body:
            lines.append("Content-Type: application/sdp" if body.startswith("v=") else "Content-Type: application/dtmf-relay")
        return "\r\n".join(lines + [f"Content-Length: {len(body)}", "", body])

    def reply(self, m, status, body="", *more):
        to = m.header["to"] + ("" if "tag=" in m.header["to"] or status == 100 else f";tag={self.tag}")
        headers = [("Via", v) for k, v in m.all if k.lower() in ("via", "v")]
        headers += [("From", m.header["from"]), ("To", to), ("Call-ID", m.header["call-id"]), ("CSeq", m.header["cseq"])]
        headers += [("Contact", f"<sip:pbx@{self.ip}:{self.port}{';transport=tcp' if self.tcp else ''}>")]
        self.send(self._message(f"SIP/2.0 {status} Whatever", headers + list(more), body), m.source)

    def request(self, method, target, local, remote, call, to, body="", *more, cseq=None, branch=None):
        """A request of ours: `local` and `remote` are From and To; `to` is the socket's address."""
        if cseq is None:
            self.cseq += 1
        number = self.cseq if cseq is None else cseq
        branch = branch or f"z9hG4bK{method}{number}{call}"
        headers = [("Via", f"SIP/2.0/{'TCP' if self.tcp else 'UDP'} {self.ip}:{self.port};branch={branch};rport"),
                   ("From", local), ("To", remote), ("Call-ID", call), ("CSeq", f"{number} {method}"), ("Max-Forwards", "70"),
                   ("Contact", f"<sip:pbx@{self.ip}:{self.port}{';transport=tcp' if self.tcp else ''}>")]
        self.send(self._message(f"{method} {target} SIP/2.0", headers + list(more), body), to)

    def within(self, invite, method, body="", *more, **kw):
        """A request in the dialog of an INVITE that we have got (its 200 had our tag)."""
        target = re.search(r"<([^>]+)>", invite.header["contact"])[1]
        self.request(method, target, f"{invite.header['to']};tag={self.tag}", invite.header["from"], invite.header["call-id"],
                     invite.source, body, *more, **kw)


class Caller:
    """A call from the PBX to the user agent."""

    def __init__(self, pbx, port, user="100", call="in1", body=SDP, more=(), caller='"Bob \\"B\\" Ross" <sip:4711@office>'):
        self.pbx, self.call = pbx, call
        self.to = ("127.0.0.1", port)
        self.target = f"sip:{user}@127.0.0.1:{port}"
        self.local, self.remote = f"{caller};tag={call}", f"<{self.target}>"
        pbx.request("INVITE", self.target, self.local, self.remote, call, self.to, body, *more, cseq=1)

    def expect(self, status, seconds=None):
        m = self.pbx.expect(status, seconds)
        if "tag=" in m.header["to"]:
            self.remote = m.header["to"]
        return m

    def ack(self, m, body=""):
        final = m.status >= 300
        number = int(m.header["cseq"].split()[0])
        branch = re.search(r"branch=([^;\s]+)", m.header["via"])[1] if final else None
        self.request("ACK", body, cseq=number, branch=branch)

    def request(self, method, body="", *more, **kw):
        self.pbx.request(method, self.target, self.local, self.remote, self.call, self.to, body, *more, **kw)

    def cancel(self):
        self.pbx.request("CANCEL", self.target, self.local, f"<{self.target}>", self.call, self.to, cseq=1,
                         branch=f"z9hG4bKINVITE1{self.call}")
