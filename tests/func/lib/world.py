"""What most groups of cases need: the three hosts in a row, a daemon on the middle one, clients and peers on demand."""
import contextlib

from . import client, daemon, net


class World:
    def __init__(self, n, d, server=net.Standard.SERVER, server6=net.Standard.SERVER6):
        self.net, self.daemon = n, d
        self.server, self.server6 = server, server6
        self._stack = contextlib.ExitStack()

    def close(self):
        self._stack.close()

    def client(self, i=0, transport="udp", v6=False, **kw):
        """A client on the i-th address of the clients' host, with a port of its own."""
        ip = self.net.client_ip6(i) if v6 else self.net.client_ip(i)
        server = (self.server6 if v6 else self.server, self.daemon.port(transport))
        return self._stack.enter_context(client.Client(self.net.cli, ip, server, transport, **kw))

    def peer(self, ip=net.Standard.PEER, port=0):
        return self._stack.enter_context(client.Endpoint(self.net.peer, ip, port))

    def refusals(self, to, ip=net.Standard.PEER):
        return self._stack.enter_context(client.Refusals(self.net.peer, ip, to))


@contextlib.contextmanager
def standard(settings=None, **kw):
    """The usual daemon: it listens on the clients' side, relays from the peers' side, and may relay to the peers' networks."""
    S = net.Standard
    usual = {
        "listening-ip": [S.SERVER, S.SERVER6],
        "listening-port": 3478,
        "relay-ip": [S.RELAY, S.RELAY6],
        "allowed-peer-ip": list(S.PEER_NETS),
    }
    usual.update(settings or {})
    with S() as n, daemon.Daemon(n.srv, usual, **kw) as d:
        w = World(n, d)
        try:
            yield w
        finally:
            w.close()
