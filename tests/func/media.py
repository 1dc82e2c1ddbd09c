#!/usr/bin/env python3
"""The bridge's media: a browser's end and a PBX's (tests/func/mediadrive.c) around it, over a direct pair and over this relay."""
import json
import os
import queue
import signal
import subprocess
import threading
import time

from lib import daemon, net, tap
from lib.tap import check, equal, within

net.need_namespaces()
daemon.need_daemon()

S = net.Standard
DRIVE = os.path.join(daemon.BUILDDIR, "tests", "func", "mediadrive")
BRIDGE, BROWSER, PBX, STRANGER = (f"198.51.100.{n}" for n in (10, 11, 12, 13))
PCMU, PCMA = 0, 8
if not os.access(DRIVE, os.X_OK):
    tap.skip_all("built without the bridge")


class Drive:
    """One call's ends in a process of their own; `events` are what the bridge and the browser's end have told."""

    def __init__(self, ns, *relay):
        self.process = ns.popen([DRIVE, BRIDGE, BROWSER, PBX, STRANGER, *relay], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answers = queue.Queue()
        self.events = []
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            told = json.loads(line)
            if told["event"] == "done":
                self.answers.put(told)
            else:
                self.events.append(told)
        self.answers.put(None)

    def close(self):
        self.process.stdin.close()
        try:
            status = self.process.wait(tap.PATIENCE_S)
        finally:
            self.process.kill()
            self.process.wait()
        equal(status, 0, "the driver's status")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def order(self, what, **rest):
        self.process.stdin.write(json.dumps({"do": what, **rest}) + "\n")
        self.process.stdin.flush()
        answer = self.answers.get(timeout=tap.PATIENCE_S)
        check(answer is not None, f"the driver has ended after {what}")
        return answer

    def well(self, what, **rest):
        answer = self.order(what, **rest)
        equal(answer["err"], 0, f"the error of {what} ({answer['why']})")
        return answer

    def states(self):
        return [e["state"] for e in self.events if e["event"] == "state"]

    def paths(self):
        return [(e["local"], e["remote"]) for e in self.events if e["event"] == "state" and e["state"] == "connected"]

    def digits(self):
        return "".join(e["digit"] for e in self.events if e["event"] == "digit")

    def wait(self, condition, what, seconds=None):
        return tap.wait_until(condition, what, seconds, self.process)

    def begin(self, profiles="SRTP_AEAD_AES_128_GCM", types="8 0 101"):
        """A new call: answered on both sides, and somebody speaks at either end."""
        self.well("begin", profiles=profiles)
        self.events.clear()  # with what the call before has told to its end
        self.well("offer", direction="sendrecv")
        self.well("pbx_offer", direction="sendrecv", types=types)
        self.wait(lambda: "connected" in self.states(), lambda: f"connected: {self.events}")
        self.speak()
        return self

    def speak(self):
        for who in ("browser", "pbx"):
            self.well("speak", who=who, on=True)

    def heard(self, who, more, kind="same"):
        """So many frames more, byte for byte what the other end has said (or mapped to the other law)."""
        begin = self.order("stats")[who][kind]
        self.wait(lambda: self.order("stats")[who][kind] >= begin + more, lambda: f"{who} hears: {self.order('stats')}")


@tap.group
def direct_pair():
    with S() as n, Drive(n.cli) as d:
        d.net = n
        yield d


@direct_pair.case("what either end says arrives at the other, byte for byte and without a gap")
def _(d):
    d.begin()
    equal(d.paths()[0], ("host", "host"), "the path")
    d.heard("browser", 25)
    d.heard("pbx", 25)
    stats = d.order("stats")
    for who in ("browser", "pbx"):
        for what in ("other", "mapped", "seq_gaps", "new_ssrcs"):
            equal(stats[who][what], 0, f"{what} of the {who}")
        equal(stats[f"leg_{who}"]["lost"], 0, "lost")
    within(stats["ice_s"], 0, stats["dtls_s"], "ice_s")
    within(stats["dtls_s"], 0, stats["audio_s"], "dtls_s")


@direct_pair.case("the same under AES_CM_128_HMAC_SHA1_80, with a PBX that has mu-law alone: bytes are mapped")
def _(d):
    d.begin("SRTP_AES128_CM_SHA1_80", "0 101")
    d.well("speak", who="pbx", on=True, type=PCMU)
    d.heard("pbx", 10, "mapped")  # the browser speaks A-law
    d.heard("browser", 10)  # it has both
    equal(d.order("stats")["pbx"]["other"], 0, "frames that are nothing")


@direct_pair.case("digits both ways, and those that the bridge presses, each once")
def _(d):
    d.begin()
    d.heard("pbx", 5)
    check("telephone-event" in d.well("offer", direction="sendrecv")["sdp"], "the PBX has keys, and the browser is given none")
    d.well("press", who="browser", digits="12")
    d.wait(lambda: d.order("stats")["pbx"]["digits"] == "12", "the PBX hears the browser's keys")
    d.well("press", who="pbx", digits="9#")
    d.wait(lambda: d.order("stats")["browser"]["digits"] == "9#" and d.digits() == "9#", "the browser hears the PBX's keys, and they are told")
    d.well("press", who="bridge", digits="4D")
    d.wait(lambda: d.order("stats")["pbx"]["digits"] == "124D", lambda: f"the PBX hears the bridge's keys: {d.order('stats')['pbx']}")
    d.heard("pbx", 10)
    stats = d.order("stats")
    equal(stats["pbx"]["ends"], 12, "ends of four keys")
    equal(stats["pbx"]["seq_gaps"], 0, "gaps around the keys")
    equal(d.digits(), "9#", "digits that were told")
    check(d.order("press", who="bridge", digits="1x")["err"] < 0, "a key that no telephone has was taken")
    d.well("pbx_offer", direction="sendrecv", types="8 0")
    check(d.order("press", who="bridge", digits="1")["err"] < 0, "keys were taken for a PBX that has none")
    check("telephone-event" not in d.well("offer", direction="sendrecv")["sdp"], "the browser is given keys, and the PBX has none")


@direct_pair.case("another source of the PBX's goes on in one stream: SSRC, numbers")
def _(d):
    d.begin()
    d.heard("browser", 10)
    d.well("speak", who="pbx", on=True, new=True)
    d.heard("browser", 10)
    stats = d.order("stats")
    equal((stats["browser"]["seq_gaps"], stats["browser"]["new_ssrcs"], stats["browser"]["other"]), (0, 0, 0), "gaps, sources, other frames")


@direct_pair.case("hold: who wants to hear nothing is sent nothing, and both go on afterwards")
def _(d):
    d.begin()
    d.heard("browser", 5)
    answer = d.well("offer", direction="inactive")
    check("a=inactive" in answer["sdp"], "the answer is not inactive")
    offer = d.well("pbx_offer", hold=True, direction="recvonly")
    check("a=sendonly" in offer["sdp"], "the PBX is not offered sendonly")
    before = d.order("stats")["browser"]["heard"]
    d.heard("pbx", 10)  # the time in which the browser would have been sent ten
    within(d.order("stats")["browser"]["heard"] - before, 0, 1, "frames in hold")
    d.well("offer", direction="sendrecv")
    d.well("pbx_offer", direction="sendrecv")
    d.heard("browser", 10)
    d.heard("pbx", 10)
    # the PBX holds
    equal(d.well("pbx_offered", direction="sendonly")["held"], True, "held")
    before = d.order("stats")["pbx"]["heard"]
    d.heard("browser", 10)  # its music
    within(d.order("stats")["pbx"]["heard"] - before, 0, 1, "frames to a PBX that holds")
    equal(d.well("pbx_offered", direction="sendrecv", mux=True)["held"], False, "held")
    d.heard("pbx", 10)
    equal(d.states().count("reconnecting"), 0, "reconnections")


@direct_pair.case("comfort noise passes where the PBX has it, and is left out without a gap where it hasn't")
def _(d):
    d.begin()
    d.heard("browser", 5)
    d.well("speak", who="pbx", on=False)
    d.well("comfort", who="pbx")
    d.well("speak", who="pbx", on=True)
    d.heard("browser", 5)
    stats = d.order("stats")["browser"]
    equal((stats["comfort"], stats["seq_gaps"]), (0, 0), "comfort noise, gaps")
    d.well("pbx_offered", direction="sendrecv", types="8 0 13 101")
    check(" 13 126" in d.well("offer", direction="sendrecv")["sdp"], "CN is not in the answer")
    d.well("comfort", who="pbx")
    d.wait(lambda: d.order("stats")["browser"]["comfort"] == 1, "the browser gets comfort noise")


@direct_pair.case("an ICE restart while both speak: a frame on its way at most is lost, none is another's")
def _(d):
    d.begin()
    d.heard("browser", 10)
    for i in range(2):
        before = len(d.paths())
        d.well("offer", direction="sendrecv", restart=True)
        d.wait(lambda n=before: len(d.paths()) > n, "the new path")
        d.heard("browser", 10)
        d.heard("pbx", 10)
    stats = d.order("stats")
    equal((stats["browser"]["other"], stats["pbx"]["other"], stats["browser"]["new_ssrcs"]), (0, 0, 0), "other frames, sources")
    within(stats["browser"]["seq_gaps"] + stats["pbx"]["seq_gaps"], 0, 4, "gaps of two restarts, both ways")
    equal(set(d.states()), {"checking", "connected"}, "states")


@direct_pair.case("ICE restarts are bounded, and one that is refused changes nothing")
def _(d):
    d.begin()
    told = [d.order("offer", direction="sendrecv", restart=True) for _i in range(12)]
    refused = [t for t in told if t["err"]]
    check(refused and "too many ICE restarts" in refused[0]["why"], f"none was refused: {told}")
    check(not told[0]["err"], "the first was refused")
    before = len(d.events)
    d.heard("pbx", 10)
    check("failed" not in d.states(), f"what was told since {before}: {d.events}")


def quiet(d):
    """The browser's end says nothing more, and what it has said has arrived."""
    d.well("speak", who="browser", on=False)
    d.wait(lambda: (lambda s: s["pbx"]["heard"] >= s["browser"]["sent"])(d.order("stats")), "all has arrived")
    return d.order("stats")


@direct_pair.case("a packet that comes twice goes on once, and strangers at the PBX's side are not heard")
def _(d):
    d.begin()
    d.heard("pbx", 5)
    before = quiet(d)
    for _i in range(3):
        d.well("replay")
    d.well("stranger")
    d.wait(lambda: d.order("stats")["strangers"] == 1, "the stranger's packet is thrown away")
    d.well("speak", who="browser", on=True)
    d.heard("pbx", 5)
    after = quiet(d)
    equal(after["pbx"]["heard"] - before["pbx"]["heard"], after["browser"]["sent"] - before["browser"]["sent"], "packets that went on")
    equal(after["leg_browser"]["packets_in"], after["browser"]["sent"], "packets that were taken")
    equal(after["browser"]["other"], 0, "frames of a stranger")


@direct_pair.case("a certificate that is not the offer's ends in `failed`, and no frame passes")
def _(d):
    d.well("begin")
    d.events.clear()
    d.well("offer", direction="sendrecv", wrong=True)
    d.well("pbx_offer", direction="sendrecv")
    d.speak()
    d.wait(lambda: "failed" in d.states(), lambda: f"failed: {d.events}")
    stats = d.order("stats")
    equal((stats["browser"]["heard"], stats["pbx"]["heard"]), (0, 0), "frames")
    check("connected" not in d.states(), "it was connected")


@direct_pair.case("without a path the call says so before ten seconds are over, and not after eight")
def _(d):
    for seconds, states in ((8, ["checking"]), (10, ["checking", "failed"])):
        d.well("begin")
        d.events.clear()
        d.well("offer", direction="sendrecv", later_s=seconds)
        d.wait(lambda n=len(states): len(d.states()) >= n, "the states")
        equal(d.states()[: len(states)], states, "states")


@direct_pair.case("reports end at the bridge on both legs, and tell the round trip")
def _(d):
    d.begin()
    d.wait(lambda: (lambda s: s["browser"]["reports"] and s["pbx"]["reports"] and s["leg_browser"]["rtt_s"] >= 0)(d.order("stats")),
           lambda: f"reports on both legs: {d.order('stats')}", 2 * tap.PATIENCE_S)
    within(d.order("stats")["leg_browser"]["rtt_s"], 0, 1, "the round trip")


def cut(d):
    """Nothing passes between the two ends any more, but by the relay."""
    d.net.cli.run(["nft", "-f", "-"], "table ip cut {\n chain o { type filter hook output priority 0; "
                  f"ip saddr {{ {BRIDGE}, {BROWSER} }} ip daddr {{ {BRIDGE}, {BROWSER} }} drop; }}\n}}\n")


def world(*force):
    def enter():
        settings = {"listening-ip": [S.SERVER], "listening-port": 3478, "relay-ip": [S.RELAY], "user": "alice:secret"}
        with S() as n, daemon.Daemon(n.srv, settings) as server, \
                Drive(n.cli, S.SERVER, str(server.port()), "alice", "secret", *force) as d:
            d.net, d.server = n, server
            yield d

    enter.__name__ = "with a relay" + (", and nothing else" if force else "")
    return tap.group(enter)


relayed = world("relay")


@relayed.case("over a relay-relay pair both are heard, byte for byte")
def _(d):
    begin = time.monotonic()
    d.begin()
    took = time.monotonic() - begin
    equal(d.paths()[0], ("relay", "relay"), "the path")
    d.heard("browser", 25)
    d.heard("pbx", 25)
    stats = d.order("stats")
    equal((stats["browser"]["other"], stats["pbx"]["other"]), (0, 0), "other frames")
    print(f"# pair {stats['ice_s']:.3f} s, keys {stats['dtls_s']:.3f} s, both heard {stats['audio_s']:.3f} s; {took:.3f} s in all", flush=True)


def allocations(d):
    """Of the bridge's, now."""
    made, gone = ([e for e in d.server.events(name) if e["client"].startswith(f"{BRIDGE}:")] for name in ("allocation_created", "allocation_deleted"))
    return len(made) - len(gone)


@relayed.case("an allocation ends with its call, not with its lifetime")
def _(d):
    d.wait(lambda: 1 <= allocations(d) <= 8, lambda: f"allocations of a call: {allocations(d)}")
    d.well("begin")  # ends the call before
    d.wait(lambda: allocations(d) == 0, "no allocation is left")


def descriptors(d):
    """Of the driver, once the bridge's agents are closed: "begin" has ended the call before, and has made no agent yet."""
    d.well("begin")
    return len(os.listdir(f"/proc/{d.process.pid}/fd"))


@relayed.case("descriptors and memory of an agent go with its call, also where the relay doesn't answer any more", 90)
def _(d):
    d.begin()
    d.well("begin")
    d.wait(lambda: allocations(d) == 0, "no allocation is left")
    before = tap.wait_until(lambda: (lambda n: n if n == descriptors(d) else None)(descriptors(d)), "as many descriptors twice")
    for _i in range(3):
        d.begin()
        d.well("offer", direction="sendrecv", restart=True)
    d.wait(lambda: descriptors(d) <= before, lambda: f"no more than {before} descriptors: {descriptors(d)}")
    d.begin()
    d.server.kill(signal.SIGSTOP)
    try:
        d.wait(lambda: descriptors(d) <= before, lambda: f"no more than {before} descriptors without an answer: {descriptors(d)}")
    finally:
        d.server.kill(signal.SIGCONT)


both = world()


@both.case("the direct way is cut during the call: it says `reconnecting`, and a restart moves it to the relay")
def _(d):
    d.begin()
    equal(d.paths()[0], ("host", "host"), "the path")
    d.heard("browser", 10)
    d.order("stats", reset=True)
    cut(d)
    d.wait(lambda: d.states()[-1] == "reconnecting", lambda: f"reconnecting: {d.events}")
    d.well("offer", direction="sendrecv", restart=True)
    d.wait(lambda: d.states()[-1] == "connected" and "relay" in d.paths()[-1], lambda: f"moved to the relay: {d.events}")
    d.heard("browser", 10)
    d.heard("pbx", 10)
    stats = d.order("stats")
    print(f"# the browser heard nothing for {stats['browser']['longest_gap_s']:.2f} s, the PBX for {stats['pbx']['longest_gap_s']:.2f} s", flush=True)
    equal((stats["browser"]["other"], stats["pbx"]["other"], stats["browser"]["new_ssrcs"]), (0, 0, 0), "other frames, sources")


tap.main()
