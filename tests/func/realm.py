#!/usr/bin/env python3
"""What narrows a realm in Redis: a token's own peers."""
import contextlib
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import daemon, net, redis, tap  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tap import check, equal  # noqa: E402 # pylint: disable=wrong-import-position
from lib.tokens import Fleet  # noqa: E402 # pylint: disable=wrong-import-position

tap.need("redis-server")
net.need_namespaces()
daemon.need_daemon()

S = net.Standard


@tap.group
def tokens():
    with contextlib.ExitStack() as stack:
        n = stack.enter_context(S())
        server = stack.enter_context(redis.Server(n.srv, bind="127.0.0.1 127.0.0.2"))
        yield Fleet(stack, n, server)


@tokens.case("C57 C66 a token's own peers: 403 for all others, and each packet by its port, up and down, over UDP and TCP")
def _(f):
    w = f.nodes[0]
    peer, other, elsewhere = w.peer(), w.peer(), w.peer(S.PEER_2)
    token = f.token("--allow-peer", f"{peer.address[0]}:{peer.address[1]}/udp", "--allow-peer", "10.0.0.0/8")
    for transport in ("udp", "tcp"):
        c = f.client(token, transport=transport)
        c.allocate()
        equal(c.denied(elsewhere.address), (403, 403), "another address")
        equal(c.denied(other.address), (None, 403), "another port")
        equal(c.denied(("10.0.0.1", 9)), (403, 403), "what the token lists and the server denies")
        equal(c.denied(c.relayed[0]), (403, 403), "a relayed address")
        c.bind(0x4000, peer.address)
        c.send_channel(0x4000, b"up")
        peer.expect(b"up", c.relayed[0])
        c.send_to(other.address, b"never")
        c.send_to(peer.address, b"sent")
        peer.expect(b"sent", c.relayed[0])
        other.send(b"never", c.relayed[0])
        elsewhere.send(b"never", c.relayed[0])
        peer.send(b"down", c.relayed[0])
        c.expect_channel(0x4000, b"down")
        c.refresh(0)
    w.daemon.wait_log(f'event=peer_denied peer={elsewhere.address[0]}:{elsewhere.address[1]} entry="the credential\'s peers" user={token[0]}')


@tokens.case("C83 a token's own peers: another client of this server is reached, and reaches, when its relayed address is listed")
def _(f):
    friend, stranger = f.client(f.token()), f.client(f.token(), i=1)
    friend.allocate()
    stranger.allocate()
    c = f.client(f.token("--allow-peer", f"{S.RELAY}:{friend.relayed[0][1]}"), i=2)
    c.allocate()
    equal(c.denied(stranger.relayed[0]), (None, 403), "another client's relayed address")
    c.bind(0x4000, friend.relayed[0])
    for x in (friend, stranger):
        x.bind(0x4000, c.relayed[0])
    c.send_channel(0x4000, b"out")
    friend.expect_channel(0x4000, b"out")
    stranger.send_channel(0x4000, b"never")
    stranger.exchange_binding()
    friend.send_channel(0x4000, b"in")
    c.expect_channel(0x4000, b"in")


@tokens.case("a token whose peers can't be read: refused when it is issued, 500 when it is used")
def _(f):
    said = f.ctl("token", "issue", "--owner", "acme", "--allow-peer", "10.0.0.1", "--allow-peer", "10.0.0.0/33", status=2)
    check("--allow-peer=10.0.0.0/33: an address, CIDR or range is expected" in said, said)
    token = f.token()
    f.redis.call("HSET", f"tp:token:{{{token[0]}}}", "peers", "10.0.0.1 nonsense")
    equal(f.client(token).refuse_allocate(), 500, "the error")
    f.nodes[0].daemon.wait_log(f'event=request_refused method=Allocate code=500 reason="the credential\'s peers can\'t be read" user={token[0]}')


tap.main()
