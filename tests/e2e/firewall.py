"""The firewall between a company, or a home, and the internet: address translation, a few rules outwards, and nothing else in either direction.

A packet is judged by the rules as they are now, not by what a connection once was allowed: a rule that goes ends what it carried. What
passed is counted twice: by the rule that let it, and by a chain behind all of them that looks at nothing but protocol and port.
"""
import ctypes
import json

from lib import tap

LAN, WAN = "lan0", "wan0"
FREE = "1024-65535"  # the open case: UDP between any of these ports

TABLE = """
table ip picture {{
    {counters}
    chain forward {{ type filter hook forward priority filter; policy drop; }}
    chain here_in {{ type filter hook input priority filter; policy drop; counter name here; }}
    chain here_out {{ type filter hook output priority filter; policy drop; }}
    chain passed {{
        type filter hook forward priority filter + 10; policy accept;
        udp dport 3478 counter name udp3478 accept
        udp sport 3478 counter name udp3478 accept
        tcp dport 443 counter name tcp443 accept
        tcp sport 443 counter name tcp443 accept
        counter name else
    }}
    chain translate {{ type nat hook postrouting priority srcnat; }}
}}
"""


class Nft:
    """The rules of a namespace, by the library behind nft(8): tests look at counters often, and a process each time takes its time."""

    JSON = 1 << 4

    def __init__(self, ns):
        self.ns = ns
        self._lib = ctypes.CDLL("libnftables.so.1")
        self._lib.nft_ctx_new.restype = ctypes.c_void_p
        for function in ("output", "error"):
            getattr(self._lib, f"nft_ctx_get_{function}_buffer").restype = ctypes.c_char_p
        with ns.inside():  # its socket stays there
            self._context = ctypes.c_void_p(self._lib.nft_ctx_new(0))
        self._lib.nft_ctx_buffer_output(self._context)
        self._lib.nft_ctx_buffer_error(self._context)
        self._lib.nft_ctx_output_set_flags(self._context, ctypes.c_uint(self.JSON))

    def run(self, text):
        with self.ns.inside():
            status = self._lib.nft_run_cmd_from_buffer(self._context, text.encode())
        output = self._lib.nft_ctx_get_output_buffer(self._context).decode()
        error = self._lib.nft_ctx_get_error_buffer(self._context).decode()
        tap.check(status == 0, f"nft: {error} in\n{text}")
        return output

    def counters(self):
        """Packets by the name of a counter."""
        listed = json.loads(self.run("list counters"))["nftables"]
        return {c["counter"]["name"]: c["counter"]["packets"] for c in listed if "counter" in c}

    def close(self):
        if self._context:
            self._lib.nft_ctx_free(self._context)
            self._context = None


class Firewall:
    """`rules`: number -> (address, "udp" or "tcp", port), what `host` of the LAN may begin to talk to."""

    def __init__(self, ns, host, rules):
        self.nft, self.host, self.rules = Nft(ns), host, rules
        self._as_at_first()
        names = [f"rule{n}{way}" for n in rules for way in ("", "back")] + ["open", "dropped", "here", "udp3478", "tcp443", "else"]
        self.nft.run(TABLE.format(counters="\n    ".join(f"counter {n} {{ }}" for n in names)))
        self._apply()

    def _as_at_first(self):
        self.removed, self.rejected, self.free, self.outer = set(), set(), False, None

    def _apply(self):
        """All rules at once; the counters go on."""
        lines = [f"flush chain ip picture {chain}" for chain in ("forward", "here_out", "translate")]

        def add(match, counter, verdict="accept"):
            lines.append(f"add rule ip picture forward {match} counter name {counter} {verdict}")

        for number, (address, protocol, port) in self.rules.items():
            if number in self.rejected:
                add(f"iifname {LAN} ip daddr {address} {protocol} dport {port}", "dropped", "reject with icmp type admin-prohibited")
            elif number not in self.removed:
                add(f"iifname {LAN} oifname {WAN} ip saddr {self.host} ip daddr {address} {protocol} dport {port}", f"rule{number}")
                add(
                    f"iifname {WAN} oifname {LAN} ct direction reply ct state established ip saddr {address} ip daddr {self.host} {protocol} sport {port}",
                    f"rule{number}back",
                )
        if self.free:
            for end in ("sport", "dport"):
                add(f"udp {end} 3478", "dropped", "drop")
            add(f"udp sport {FREE} udp dport {FREE}", "open")
        add("", "dropped", "drop")
        if self.rejected:
            lines.append("add rule ip picture here_out icmp type destination-unreachable accept")
        lines.append("add rule ip picture here_out counter name here")
        lines.append(f"add rule ip picture translate oifname {WAN} " + (f"snat to {self.outer} fully-random" if self.outer else "masquerade"))
        self.nft.run("\n".join(lines) + "\n")

    def remove(self, number):
        self.removed.add(number)
        self._apply()

    def reject(self, number):
        """What the rule would let pass is refused, and who sends it is told."""
        self.rejected.add(number)
        self._apply()

    def translate(self, outer):
        """What begins now comes from this outer address, and from another port for each destination: a symmetric NAT."""
        self.outer = outer
        self._apply()

    def restore(self):
        """The rules as they were at first, and no more."""
        self._as_at_first()
        self._apply()

    def open(self, free=True):
        """UDP is free, both ways, but for the relay's own port, which stays the rules' business."""
        self.free = free
        self._apply()

    def counts(self):
        return self.nft.counters()

    def wait_passed(self, packets, *names):
        """Until each of these counters is beyond so many: half a second of a tone is heard before as many have come."""
        tap.wait_until(lambda: min(self.counts()[n] for n in names) > packets, lambda: f"more than {packets} packets pass by {names}: {self.counts()}")

    def close(self):
        self.nft.close()


HOST_TABLE = """
table ip host {{
    counter udp3478 {{ }}
    counter tcp443 {{ }}
    counter else {{ }}
    chain in {{
        type filter hook input priority filter; policy {policy};
        udp dport 3478 counter name udp3478 accept
        tcp dport 443 counter name tcp443 accept
        counter name else
    }}
    chain out {{
        type filter hook output priority filter; policy {policy};
        udp sport 3478 accept
        tcp sport 443 accept
    }}
}}
"""


class HostFirewall:
    """The one of the relay's own host. Until it is shut it counts only."""

    def __init__(self, ns):
        self.nft = Nft(ns)
        self.nft.run(HOST_TABLE.format(policy="accept"))

    def shut(self, closed=True):
        """In and out, loopback too: 3478 by UDP, 443 by TCP, and nothing else. Counting begins anew."""
        self.nft.run("delete table ip host\n" + HOST_TABLE.format(policy="drop" if closed else "accept"))

    def counts(self):
        return self.nft.counters()

    def close(self):
        self.nft.close()
