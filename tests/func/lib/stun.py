"""A STUN and TURN codec that shares nothing with the daemon's: written from RFC 8489 and RFC 8656, strict in what it takes.

decode() refuses what a server must never send: padding or reserved bits that are not zero, a length that is not the datagram's, a
FINGERPRINT that is wrong or not last. So every answer in every test is looked at for stray bytes.
"""
import base64
import hashlib
import hmac
import os
import socket
import struct
import zlib

COOKIE = 0x2112A442

BINDING, ALLOCATE, REFRESH, SEND, DATA_METHOD, CREATE_PERMISSION, CHANNEL_BIND = 1, 3, 4, 6, 7, 8, 9
REQUEST, INDICATION, SUCCESS, ERROR = 0, 1, 2, 3

MAPPED_ADDRESS, CHANGE_REQUEST, USERNAME, MESSAGE_INTEGRITY, ERROR_CODE, UNKNOWN_ATTRIBUTES = 0x0001, 0x0003, 0x0006, 0x0008, 0x0009, 0x000A
CHANNEL_NUMBER, LIFETIME, XOR_PEER_ADDRESS, DATA, REALM, NONCE = 0x000C, 0x000D, 0x0012, 0x0013, 0x0014, 0x0015
XOR_RELAYED_ADDRESS, REQUESTED_ADDRESS_FAMILY, EVEN_PORT, REQUESTED_TRANSPORT = 0x0016, 0x0017, 0x0018, 0x0019
DONT_FRAGMENT, MESSAGE_INTEGRITY_SHA256, PASSWORD_ALGORITHM, USERHASH = 0x001A, 0x001C, 0x001D, 0x001E
XOR_MAPPED_ADDRESS, RESERVATION_TOKEN = 0x0020, 0x0022
ADDITIONAL_ADDRESS_FAMILY, ADDRESS_ERROR_CODE, PASSWORD_ALGORITHMS = 0x8000, 0x8001, 0x8002
ICMP, SOFTWARE, ALTERNATE_SERVER, FINGERPRINT, RESPONSE_ORIGIN, OTHER_ADDRESS = 0x8004, 0x8022, 0x8023, 0x8028, 0x802B, 0x802C

IPV4, IPV6 = b"\x01\0\0\0", b"\x02\0\0\0"  # values of the address family attributes
UDP = b"\x11\0\0\0"  # value of REQUESTED-TRANSPORT
MD5, SHA256 = 1, 2  # password algorithms

_INTEGRITY = {MESSAGE_INTEGRITY: ("sha1", 20), MESSAGE_INTEGRITY_SHA256: ("sha256", 32)}
_ADDRESSES = (XOR_PEER_ADDRESS, XOR_RELAYED_ADDRESS, XOR_MAPPED_ADDRESS)


class Malformed(AssertionError):
    """A message that a server must never send."""


def _require(condition, text):
    if not condition:
        raise Malformed(text)


def message_type(method, cls):
    return (method & 0xF) | (method & 0x70) << 1 | (method & 0xF80) << 2 | (cls & 1) << 4 | (cls & 2) << 7


def new_txid():
    return os.urandom(12)


def attribute(kind, value, pad=0):
    return struct.pack("!HH", kind, len(value)) + value + bytes([pad]) * (-len(value) % 4)


def xor_address(address, txid=bytes(12)):
    """The value of an XOR address attribute for (ip, port); an IPv6 one needs the transaction."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    raw = socket.inet_pton(family, address[0])
    mask = struct.pack("!I", COOKIE) + txid
    return struct.pack("!BBH", 0, 2 if len(raw) == 16 else 1, address[1] ^ COOKIE >> 16) + bytes(a ^ b for a, b in zip(raw, mask))


def _address(value, txid):
    _require(len(value) in (8, 20) and value[0] == 0, f"an address of bytes {value.hex()}")
    _require(value[1] == (1 if len(value) == 8 else 2), f"an address of family {value[1]} and {len(value)} bytes")
    mask = struct.pack("!I", COOKIE) + txid
    raw = bytes(a ^ b for a, b in zip(value[4:], mask))
    port = struct.unpack("!H", value[2:4])[0] ^ COOKIE >> 16
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw), port


def peer(address):
    """XOR-PEER-ADDRESS for encode(), which knows the transaction."""
    return XOR_PEER_ADDRESS, address


def lifetime(seconds):
    return LIFETIME, struct.pack("!I", seconds)


def channel_number(number):
    return CHANNEL_NUMBER, struct.pack("!HH", number, 0)


def password_algorithms(*numbers):
    return b"".join(struct.pack("!HH", n, 0) for n in numbers)


def encode(method, cls, attributes=(), txid=None, key=None, integrity=(), fingerprint=False, after=(), pad=0):
    """Bytes of a message. `attributes` are (type, value); a value that is (ip, port) is XORed. `integrity` names the integrity
    attributes to sign with `key`, in order; `after` are attributes put behind them; `pad` is the byte that pads."""
    txid = txid or new_txid()
    head = struct.pack("!H", message_type(method, cls))
    body = b""

    def header(length):
        return head + struct.pack("!HI", length, COOKIE) + txid

    def add(items):
        return b"".join(attribute(t, xor_address(v, txid) if isinstance(v, tuple) else v, pad) for t, v in items)

    body += add(attributes)
    for kind in integrity:
        digest, size = _INTEGRITY[kind]
        mac = hmac.new(key, header(len(body) + 4 + size) + body, digest).digest()
        body += attribute(kind, mac)
    body += add(after)
    if fingerprint:
        crc = zlib.crc32(header(len(body) + 8) + body) ^ 0x5354554E
        body += attribute(FINGERPRINT, struct.pack("!I", crc))
    return header(len(body)) + body


class Message:
    def __init__(self, raw):
        self.raw = raw
        kind, length, cookie = struct.unpack("!HHI", raw[:8])
        _require(kind >> 14 == 0 and cookie == COOKIE and length == len(raw) - 20 and length % 4 == 0, f"a header of {raw[:8].hex()}")
        self.cls = kind >> 4 & 1 | kind >> 7 & 2
        self.method = kind & 0xF | kind >> 1 & 0x70 | kind >> 2 & 0xF80
        self.txid = raw[8:20]
        self.attributes = []  # (type, value, offset)
        at = 20
        while at < len(raw):
            _require(at + 4 <= len(raw), "an attribute that overruns")
            kind, length = struct.unpack("!HH", raw[at : at + 4])
            end = at + 4 + length
            _require(end + -length % 4 <= len(raw), f"attribute {kind:#06x} overruns")
            _require(not any(raw[end : end + -length % 4]), f"attribute {kind:#06x} is padded with {raw[end:end + -length % 4].hex()}")
            self.attributes.append((kind, raw[at + 4 : end], at))
            at = end + -length % 4
        self._look()

    def _look(self):
        kinds = [k for k, _, _ in self.attributes]
        _require(FINGERPRINT not in kinds[:-1], "FINGERPRINT is not last")
        for kind, value, at in self.attributes:
            if kind == FINGERPRINT:
                crc = zlib.crc32(self.raw[:at]) ^ 0x5354554E
                _require(value == struct.pack("!I", crc), "a wrong FINGERPRINT")
            elif kind in _ADDRESSES:
                _address(value, self.txid)
            elif kind in (ERROR_CODE, ADDRESS_ERROR_CODE):
                _require(len(value) >= 4 and value[1] == 0 and 3 <= value[2] <= 6 and value[3] <= 99, f"an error of {value[:4].hex()}")
                _require(kind == ADDRESS_ERROR_CODE or value[0] == 0, f"an error of {value[:4].hex()}")
                _require(len(value[4:].decode("utf-8")) < 128, "a phrase of 128 characters or more")
            elif kind == PASSWORD_ALGORITHMS:
                _require(len(value) % 4 == 0 and value, f"PASSWORD-ALGORITHMS of {value.hex()}")
            elif kind in (LIFETIME, CHANNEL_NUMBER):
                _require(len(value) == 4 and (kind == LIFETIME or value[2:] == b"\0\0"), f"attribute {kind:#06x} of {value.hex()}")
        if self.cls in (SUCCESS, ERROR):
            _require(len(self.raw) < 548, f"a message of {len(self.raw)} bytes")

    def get(self, kind):
        return next((v for k, v, _ in self.attributes if k == kind), None)

    def all(self, kind):
        return [v for k, v, _ in self.attributes if k == kind]

    def address(self, kind):
        value = self.get(kind)
        return None if value is None else _address(value, self.txid)

    def plain_address(self, kind):
        """One that is not xored, as (ip, port)."""
        value = self.get(kind)
        _require(value is None or (len(value), value[:2]) in ((8, b"\0\1"), (20, b"\0\2")), f"a plain address of bytes {value and value.hex()}")
        return value and (socket.inet_ntop(socket.AF_INET if len(value) == 8 else socket.AF_INET6, value[4:]), int.from_bytes(value[2:4], "big"))

    def addresses(self, kind):
        return [_address(v, self.txid) for v in self.all(kind)]

    @property
    def error(self):
        """The number of ERROR-CODE; None in a success."""
        value = self.get(ERROR_CODE)
        return None if value is None else value[2] * 100 + value[3]

    @property
    def lifetime(self):
        value = self.get(LIFETIME)
        return None if value is None else struct.unpack("!I", value)[0]

    @property
    def unknown(self):
        """The types that UNKNOWN-ATTRIBUTES lists."""
        value = self.get(UNKNOWN_ATTRIBUTES) or b""
        return list(struct.unpack(f"!{len(value) // 2}H", value))

    def signed(self):
        """The integrity attributes that are there."""
        return [k for k, _, _ in self.attributes if k in _INTEGRITY]

    def verify(self, key):
        """Every integrity attribute is right for the key, and there is one."""
        signed = 0
        for kind, value, at in self.attributes:
            if kind in _INTEGRITY:
                digest, size = _INTEGRITY[kind]
                text = self.raw[:2] + struct.pack("!H", at - 20 + 4 + size) + self.raw[4:at]
                if not hmac.compare_digest(value, hmac.new(key, text, digest).digest()):
                    return False
                signed += 1
        return signed > 0

    def __repr__(self):
        name = f"method {self.method:#x} class {self.cls}"
        return f"<{name}{f' error {self.error}' if self.error else ''} {[hex(k) for k, _, _ in self.attributes]}>"


def decode(raw):
    _require(len(raw) >= 20, f"a message of {len(raw)} bytes")
    return Message(raw)


def key(user, realm, password, algorithm=MD5):
    text = f"{user}:{realm}:{password}".encode()
    return hashlib.sha256(text).digest() if algorithm == SHA256 else hashlib.md5(text).digest()


def userhash(user, realm):
    return hashlib.sha256(f"{user}:{realm}".encode()).digest()


def shared_secret_password(secret, user):
    return base64.b64encode(hmac.new(secret.encode(), user.encode(), "sha1").digest()).decode()


def channel_data(number, data, padded=False):
    return struct.pack("!HH", number, len(data)) + data + bytes(-len(data) % 4 if padded else 0)
