"""A PBX of a test's own: SIP over UDP (RFC 3261), just enough to take registrations, be called, call, and say what a test wants said."""
import collections
import queue
import re
import secrets
import socket
import threading

from . import tap

SDP = "v=0\r\no=pbx 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na={direction}\r\n"


def sdp(ip="127.0.0.1", port=40000, direction="sendrecv"):
    return SDP.format(ip=ip, port=port, direction=direction)


class Message:
    """A request or an answer; `source` is where it came from."""

    def __init__(self, data, source):
        head, _, self.body = data.decode("utf-8", "replace").partition("\r\n\r\n")
        self.first, *lines = head.split("\r\n")
        self.headers = [tuple(x.strip() for x in line.split(":", 1)) for line in lines if ":" in line]
        self.source = source
        self.status = int(self.first.split()[1]) if self.first.startswith("SIP/2.0") else None
        self.method = self.first.split()[0] if self.status is None else self.get("CSeq").split()[1]

    def all(self, name):
        short = {"via": "v", "from": "f", "to": "t", "call-id": "i", "contact": "m", "content-type": "c"}.get(name.lower())
        return [v for k, v in self.headers if k.lower() in (name.lower(), short)]

    def get(self, name):
        return (self.all(name) or [""])[0]

    @property
    def user(self):
        """Whom a request is for."""
        return re.match(r"\S+ sips?:([^@;>]*)", self.first)[1]


class Call:
    """A dialog, as the PBX sees it."""

    def __init__(self, pbx, call_id, target, remote, local, source, cseq=0):
        self.pbx, self.call_id, self.target, self.remote, self.local, self.source, self.cseq = pbx, call_id, target, remote, local, source, cseq

    def request(self, method, body=None, kind="application/sdp", cseq=None):
        if cseq is None:
            self.cseq += 1
        branch = f"z9hG4bK{secrets.token_hex(6)}"
        self.pbx.send_request(method, self.target, self.local, self.remote, self.call_id, cseq or self.cseq, branch, body, kind, self.source)

    def bye(self):
        self.request("BYE")
        self.pbx.answer("BYE", 200)


class Pbx:
    """Registrations are taken at once, OPTIONS and BYE answered; everything else waits for the test."""

    def __init__(self, ns=None, ip="127.0.0.1", register=200):
        self.socket = ns.socket(socket.AF_INET, socket.SOCK_DGRAM) if ns else socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((ip, 0))
        self.ip, self.port = self.socket.getsockname()
        self.register = register  # the status that REGISTER gets
        self.contacts = {}  # user to (uri, source)
        self.counts = collections.Counter()
        self._waiting = queue.Queue()
        self._seen = set()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.sendto(b"", (self.ip, self.port))  # wakes it up
        self._thread.join()
        self.socket.close()

    @property
    def address(self):
        return f"{self.ip}:{self.port}"

    def _run(self):
        while True:
            data, source = self.socket.recvfrom(65536)
            if not data:
                return
            if data.strip(b"\r\n\0"):
                self._take(Message(data, source))

    def _take(self, m):
        self.counts[m.status or m.method] += 1
        if m.status is None and m.method == "REGISTER":
            self._registered(m)
        elif m.status is None and m.method in ("OPTIONS", "BYE"):
            self.reply(m, 200)
            self._waiting.put(m)
        else:
            key = (m.first, m.get("Call-ID"), m.get("CSeq"), m.get("Via"))
            if key not in self._seen:  # no repetition
                self._seen.add(key)
                self._waiting.put(m)

    def _registered(self, m):
        uri = re.search(r"<([^>]*)>", m.get("Contact") or "")
        user = re.search(r"sips?:([^@>;]*)@", m.get("To"))[1]
        if self.register != 200:
            self.reply(m, self.register)
            return
        gone = re.search(r"expires=0\b", m.get("Contact")) or m.get("Expires") == "0"
        if gone:
            self.contacts.pop(user, None)
        elif uri:
            self.contacts[user] = (uri[1], m.source)
        self.reply(m, 200, headers=[("Contact", m.get("Contact")), ("Expires", m.get("Expires") or "300")])

    # ---- what the test does ----

    def next(self, *wanted, seconds=None):
        """The next message of one of these methods or statuses; others are passed over."""
        while True:
            try:
                m = self._waiting.get(timeout=seconds or tap.PATIENCE_S)
            except queue.Empty:
                raise tap.Failure(f"SIP: {wanted} did not come") from None
            if (m.status or m.method) in wanted:
                return m

    def answer(self, method, status):
        """Waits for the answer to a request of ours."""
        while True:
            m = self.next(status)
            if m.method == method:
                return m

    def reply(self, request, status, body=None, headers=()):
        text = {100: "Trying", 180: "Ringing", 183: "Session Progress", 200: "OK", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 480: "Temporarily Unavailable",
                486: "Busy Here", 487: "Request Terminated", 503: "Service Unavailable", 603: "Decline"}.get(status, "Status")
        to = request.get("To")
        if status > 100 and "tag=" not in to:
            to += f";tag=pbx{abs(hash(request.get('Call-ID'))) % 10**9}"
        lines = [f"SIP/2.0 {status} {text}", *(f"Via: {v}" for v in request.all("Via")), f"From: {request.get('From')}", f"To: {to}", f"Call-ID: {request.get('Call-ID')}",
                 f"CSeq: {request.get('CSeq')}", *(f"{k}: {v}" for k, v in headers)]
        if request.method == "INVITE" and status >= 180:
            lines.append(f"Contact: <sip:pbx@{self.address}>")
        if body:
            lines.append("Content-Type: application/sdp")
        lines += [f"Content-Length: {len(body or '')}", "", body or ""]
        self.socket.sendto("\r\n".join(lines).encode(), request.source)
        if request.method == "INVITE" and status < 300:
            return Call(self, request.get("Call-ID"), re.search(r"<([^>]*)>", request.get("Contact"))[1], request.get("From"), to, request.source, cseq=1000)
        return None

    def send_request(self, method, uri, local, remote, call_id, cseq, branch, body, kind, to):
        lines = [f"{method} {uri} SIP/2.0", f"Via: SIP/2.0/UDP {self.address};branch={branch};rport", "Max-Forwards: 70", f"From: {local}", f"To: {remote}", f"Call-ID: {call_id}",
                 f"CSeq: {cseq} {method}", f"Contact: <sip:pbx@{self.address}>"]
        if body:
            lines.append(f"Content-Type: {kind}")
        lines += [f"Content-Length: {len(body or '')}", "", body or ""]
        self.socket.sendto("\r\n".join(lines).encode(), to)

    def call(self, user, body=None, caller="0301234", name="Carol"):
        """INVITE to a registered line; returns an Outgoing."""
        uri, source = self.contacts[user]
        return Outgoing(self, uri, source, f'"{name}" <sip:{caller}@{self.address}>', f"<sip:{user}@{self.address}>", sdp() if body is None else body)


class Outgoing:
    """A call that the PBX makes."""

    def __init__(self, pbx, uri, source, local, remote, body):
        self.pbx, self.uri, self.source, self.remote = pbx, uri, source, remote
        self.local = f"{local};tag=pbx{secrets.token_hex(4)}"
        self.call_id, self.branch = secrets.token_hex(8), f"z9hG4bK{secrets.token_hex(6)}"
        pbx.send_request("INVITE", uri, self.local, remote, self.call_id, 1, self.branch, body, "application/sdp", source)

    def next(self, *statuses):
        """The next of these statuses; a final one is acknowledged."""
        m = self.pbx.next(*statuses)
        if m.status >= 200:
            branch = self.branch if m.status >= 300 else f"z9hG4bK{secrets.token_hex(6)}"
            self.pbx.send_request("ACK", self.uri, self.local, m.get("To"), self.call_id, 1, branch, None, None, self.source)
        return m

    def cancel(self):
        self.pbx.send_request("CANCEL", self.uri, self.local, self.remote, self.call_id, 1, self.branch, None, None, self.source)
