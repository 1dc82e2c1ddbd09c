"""The office's telephones: kamailio as registrar with digest authentication, baresip as a phone that hums and records, sipp as a trunk."""
import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import picture
import tones
from picture import OFFICE, PBX, PHONE, TRUNK

from lib import daemon, tap

SIP_PORT = 5060
HUM_HZ = 600  # what a phone says
REGISTERED_S = 600  # longer than any test: no phone registers again by itself
EXTENSIONS = {"100": "the bridge's word", "200": "the phone's word", "201": "another phone's word", "299": "nobody's word"}
BUSY, DECLINED, UNKNOWN, ABSENT, TRUNK_PREFIX = "486", "603", "404", "299", "7"  # numbers that always end the same way
HERE = os.path.dirname(os.path.abspath(__file__))
MODULES = "/usr/lib/baresip/modules"


class Process:
    """A program in a namespace, its log, its directory."""

    def __init__(self, ns, command, directory):
        self.directory = directory
        self.log_path = directory.file("log")
        with open(self.log_path, "wb") as log:
            self.process = ns.popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=directory.path)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def end(self):
        """All of its processes."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def sip_answers(ns, to):
    """Whether a SIP server answers OPTIONS there."""
    with ns.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(0.2)
        s.connect(to)
        ip, port = s.getsockname()
        lines = [
            f"OPTIONS sip:{to[0]} SIP/2.0", f"Via: SIP/2.0/UDP {ip}:{port};rport;branch=z9hG4bKready", "Max-Forwards: 5", f"From: <sip:ready@{ip}>;tag=1",
            f"To: <sip:{to[0]}>", f"Call-ID: ready@{ip}", "CSeq: 1 OPTIONS", "Content-Length: 0",
        ]  # fmt: skip
        try:
            s.send("\r\n".join([*lines, "", ""]).encode())
            return s.recv(2000).startswith(b"SIP/2.0 200")
        except OSError:
            return False


class Kamailio:
    """The registrar, at PBX:5060 by UDP and TCP."""

    def __init__(self, ns, extensions=None):
        self.ns = ns
        self.directory = daemon.Directory()
        with open(os.path.join(HERE, "pbx", "kamailio.cfg"), encoding="utf-8") as f:
            text = f.read()
        passwords = "\n    ".join(f'$sht(password=>{n}) = "{p}";' for n, p in (extensions or EXTENSIONS).items())
        for name, value in (("ADDRESS", PBX), ("TRUNK", TRUNK), ("EXTENSIONS", passwords)):
            text = text.replace(f"@{name}@", value)
        path = self.directory.file("kamailio.cfg", text)
        self.command = ["kamailio", "-f", path, "-DD", "-E", "-m", "32", "-M", "4", "-Y", self.directory.path, "-w", self.directory.path]
        self.server = None

    def start(self):
        self.server = Process(self.ns, self.command, self.directory)
        try:
            tap.wait_until(lambda: sip_answers(self.ns, (PBX, SIP_PORT)), "kamailio answers", process=self.server.process)
        except tap.Failure as e:
            raise tap.Failure(f"{e}\n{self.server.log()[-3000:]}") from None

    def stop(self):
        self.server.end()
        tap.wait_until(lambda: not self.ns.bound(PBX, SIP_PORT), "kamailio's other processes have let go of its port")

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.server is not None:
            self.stop()
        self.directory.__exit__()


CONFIG = """
poll_method epoll
sip_listen {ip}:{sip}
call_max_calls 4
call_local_timeout 120
audio_source ausine,{hum}
audio_player aubridge,sink
audio_alert aubridge,alert
ausrc_srate 48000
ausrc_channels 2
audio_buffer 20-160
rtp_ports {rtp}-{rtp_last}
jitter_buffer_delay 2-10
module_path {modules}
module g711.so
module ausine.so
module aubridge.so
module sndfile.so
module_tmp account.so
module_app menu.so
module ctrl_tcp.so
ctrl_tcp_listen {ip}:{control}
snd_path {directory}
statmode_default off
"""


class Phone:
    """A baresip that is registered at an extension, hums HUM_HZ, writes down what it hears, and does as it is told."""

    def __init__(self, ns, extension="200", ip=PHONE, answer="auto", hum=HUM_HZ, word=None, sip=5060, control=4444, rtp=10000):
        self.ns, self.ip, self.extension = ns, ip, extension
        self.directory = daemon.Directory()
        self.events = []
        self._rest, self._token, self._answers = b"", 0, {}
        self.directory.file(
            "config",
            CONFIG.format(
                ip=ip, sip=sip, hum=hum, rtp=rtp, rtp_last=rtp + 98, control=control, modules=MODULES, directory=self.directory.path
            ),
        )
        self.word = EXTENSIONS[extension] if word is None else word  # another than the extension's: registration is refused
        parts = [f"<sip:{extension}@{PBX}>", f"auth_user={extension}", f'auth_pass="{self.word}"', f"answermode={answer}", f"regint={REGISTERED_S}"]
        self.directory.file("accounts", ";".join([*parts, "audio_codecs=PCMA/8000/1,PCMU/8000/1", "ptime=20"]) + "\n")
        self.directory.file("contacts", "")
        self.control = (ip, control)
        self.program, self.socket = None, None

    def __enter__(self):
        try:
            self.program = Process(self.ns, ["baresip", "-4", "-f", self.directory.path], self.directory)
            self.socket = self._connect()
            # Told in its log: the event may have come before there was anybody to hear it.
            if self.word == EXTENSIONS[self.extension]:
                tap.wait_until(lambda: "200 OK" in self.program.log(), "the phone is registered", process=self.program.process)
        except BaseException as e:
            log = self.program.log() if self.program else ""
            self.__exit__()
            if isinstance(e, tap.Failure):
                raise tap.Failure(f"{e}\n{log[-3000:]}") from None
            raise
        return self

    def __exit__(self, *_):
        if self.socket is not None:
            self.socket.close()
        if self.program is not None:
            self.program.end()
        self.directory.__exit__()

    def _connect(self):
        s = self.ns.socket(socket.AF_INET, socket.SOCK_STREAM)
        tap.wait_until(lambda: s.connect_ex(self.control) in (0, 106), "the phone can be told", process=self.program.process)
        s.setblocking(False)
        return s

    def _read(self):
        """Netstrings of JSON: what happened, and answers to what was told."""
        try:
            self._rest += self.socket.recv(1 << 16)
        except BlockingIOError:
            pass
        while found := re.match(rb"(\d+):", self._rest):
            start, end = found.end(), found.end() + int(found[1])
            if len(self._rest) <= end:
                break
            message = json.loads(self._rest[start:end])
            self._rest = self._rest[end + 1 :]
            if message.get("event"):
                self.events.append(message)
            else:
                self._answers[message.get("token")] = message

    def tell(self, command, params=""):
        """Does a command of baresip's menu."""
        self._token += 1
        text = json.dumps({"command": command, "params": params, "token": str(self._token)}).encode()
        self.socket.sendall(b"%d:%s," % (len(text), text))

        def answered():
            self._read()
            return self._answers.pop(str(self._token), None)

        return tap.wait_until(answered, f"the phone has done {command}", process=self.program.process)

    def seen(self, kind):
        """The events of a kind, since they were last forgotten."""
        self._read()
        return [e for e in self.events if e["type"] == kind]

    def forget(self):
        self._read()
        self.events.clear()

    def wait(self, kind, what=None, seconds=None):
        return tap.wait_until(lambda: self.seen(kind), what or f"the phone says {kind}", seconds, process=self.program.process)[-1]

    def dial(self, number):
        self.tell("dial", f"sip:{number}@{PBX}")

    def hangup(self):
        self.tell("hangup")

    def digits(self):
        """What was keyed at the other side, as far as it came."""
        return "".join(e["param"] for e in self.seen("CALL_DTMF_START"))

    # ---- its ears ----
    def recording(self):
        """What it hears in its latest call; None: nothing yet."""
        return max(glob.glob(os.path.join(self.directory.path, "dump-*-dec.wav")), key=os.path.getmtime, default=None)

    def hears(self, frequency, other=None):
        path = self.recording()
        return tones.heard(path, frequency, other) if path else None

    def wait_hears(self, frequency, other=None, seconds=None):
        """Frequency and level of the tone that it hears at the end."""
        return tap.wait_until(lambda: self.hears(frequency, other), lambda: f"the phone hears {frequency} Hz: {self._hears_now()}", seconds)

    def _hears_now(self):
        path = self.recording()
        rate, samples = tones.last(path) if path else (tones.RATE, [])
        return f"it hears {tones.loudest(samples, rate)}" if samples else "it hears nothing"


class Wire:
    """What goes to the phone by RTP (PCMA), as it is on the wire: baresip 1.0.0 writes nothing down any more when a hold was short."""

    OUTGOING = 4  # linux/if_packet.h PACKET_OUTGOING

    def __init__(self, ns, rtp=10000):
        self.ports = range(rtp, rtp + 100, 2)
        self.samples = []
        self.sock = ns.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        self.sock.setblocking(False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def _listen(self):
        while True:
            try:
                packet, (_, _, kind, *_) = self.sock.recvfrom(2048)
            except BlockingIOError:
                return
            udp = packet[4 * (packet[0] & 15) :]
            if kind != self.OUTGOING and packet[9] == socket.IPPROTO_UDP and int.from_bytes(udp[2:4], "big") in self.ports and udp[9] & 127 == 8:
                self.samples = (self.samples + list(tones.of_alaw(udp[20:])))[-tones.WINDOW :]

    def wait_hears(self, frequency, other):
        """From now on half a second of this tone, and not the other."""
        self._listen()
        self.samples = []

        def heard():
            self._listen()
            return len(self.samples) == tones.WINDOW and tones.heard_in(tones.RATE, self.samples, frequency, other)

        return tap.wait_until(heard, lambda: f"{frequency} Hz goes to the phone: {tones.loudest(self.samples, tones.RATE) if self.samples else 'nothing'} does", 3 * tap.PATIENCE_S)


class Trunk:
    """One call of sipp's, at TRUNK:5060: "calls" a number, or "answers"; it echoes what it hears."""

    def __init__(self, ns, what, *arguments):
        self.ns, self.what, self.arguments = ns, what, arguments
        self.directory = daemon.Directory()
        self.program = None

    def __enter__(self):
        scenario = os.path.join(HERE, "pbx", f"{self.what}.xml")
        command = ["sipp", "-sf", scenario, "-i", TRUNK, "-p", str(SIP_PORT), "-mi", TRUNK, "-m", "1", "-nostdin", "-rtp_echo", *self.arguments]
        self.program = Process(self.ns, [*command, f"{PBX}:{SIP_PORT}"], self.directory)
        return self

    def __exit__(self, *_):
        self.program.end()
        self.directory.__exit__()

    def done(self):
        """The call went as it should, to its end."""
        tap.wait_until(lambda: self.program.process.poll() is not None, "the trunk's call is over")
        tap.equal(self.program.process.returncode, 0, f"sipp's status ({self.program.log()[-2000:]})")


class Cable:
    """Listens to what passes at an end of a cable: `hear(packet, udp, kind)` has each UDP packet over IPv4, and what it carries with its head."""

    def __init__(self, ns, interface=None):
        with ns.inside():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
            if interface:
                self.socket.bind((interface, 0x0800))
        self.socket.settimeout(0.1)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self._over.is_set():
            try:
                packet, (_, _, kind, *_) = self.socket.recvfrom(2048)
            except TimeoutError:
                continue
            if packet[9] == socket.IPPROTO_UDP:
                self.hear(packet, packet[4 * (packet[0] & 15) :], kind)

    def hear(self, packet, udp, kind):
        raise NotImplementedError

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
        self.socket.close()


class Gap(Cable):
    """How long no sound came to the office's phones: RTP that comes from the bridge's host."""

    def __init__(self, ns, ports=(10000, 10098)):
        super().__init__(ns, "eth0")
        self.ports = ports
        self._last, self._longest = time.monotonic(), 0.0

    def hear(self, packet, udp, kind):
        if packet[12:16] == socket.inet_aton(OFFICE) and self.ports[0] <= int.from_bytes(udp[2:4], "big") <= self.ports[1]:
            now = time.monotonic()
            self._longest = max(self._longest, now - self._last)
            self._last = now

    def longest(self):
        """Seconds, between two packets or since the last."""
        return max(self._longest, time.monotonic() - self._last)


def need_phones():
    picture.need_picture("kamailio", "baresip")
    if not os.path.isdir(MODULES):
        tap.skip_all(f"{MODULES} is not there")


def need_sipp():
    if shutil.which("sipp") is None:
        tap.skip_all("sipp is not installed")
