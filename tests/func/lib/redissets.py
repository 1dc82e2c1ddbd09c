"""Sets of Redis servers: a master with replicas and sentinels, and a Cluster."""
import contextlib

from . import redis, tap

SENTINELS = "127.0.0.1:26379,127.0.0.1:26380,127.0.0.1:26381"
SENTINEL_URL = f"redis+sentinel://:zzdata@{SENTINELS}/mymaster/1?sentinel_password=zzsentinel"
CLUSTER_URL = "redis+cluster://127.0.0.1:1,127.0.0.1:7001"
DOWN_MS, CALM_MS = 500, 10000  # of silence, until a sentinel thinks that a master is down: where one is to die, and where a busy machine is to kill none


class Sentinels:
    """A master, two replicas, three sentinels."""

    def __init__(self, ns, stack):
        self.ns = ns
        auth = ["requirepass zzdata", "masterauth zzdata"]
        self.servers = {port: stack.enter_context(redis.Server(ns, port, auth + ([] if port == 7000 else ["replicaof 127.0.0.1 7000"]), admin=["zzdata"]))
                        for port in (7000, 7001, 7002)}
        tap.wait_until(lambda: self.servers[7000].call("INFO", "replication").count(b"state=online") == 2, "both replicas are in step")
        settings = ["requirepass zzsentinel", "sentinel sentinel-pass zzsentinel", "sentinel monitor mymaster 127.0.0.1 7000 2",
                    "sentinel auth-pass mymaster zzdata", f"sentinel down-after-milliseconds mymaster {CALM_MS}", "sentinel failover-timeout mymaster 4000"]
        self.sentinels = [stack.enter_context(redis.Server(ns, port, settings, "redis-sentinel", ["zzsentinel"])) for port in (26379, 26380, 26381)]
        self.settle()

    def settle(self):
        """Every sentinel knows the others and both replicas, so that a failover can be agreed on."""
        for s in self.sentinels:
            tap.wait_until(lambda s=s: self.knows(s) == (2, 2), "the sentinels know each other and the replicas", 20)

    @staticmethod
    def knows(sentinel):
        reply = sentinel.call("SENTINEL", "master", "mymaster")
        fields = dict(zip(reply[::2], reply[1::2]))
        return int(fields[b"num-other-sentinels"]), int(fields[b"num-slaves"])

    def is_replica(self, port):
        try:
            return b"role:slave" in self.servers[port].call("INFO", "replication")
        except ConnectionError:  # the sentinels end its connections when they turn it round
            return False

    def kill(self, port):
        """The master: from now on the sentinels notice soon, until calm()."""
        self._down_after(DOWN_MS)
        self.servers[port].kill()

    def calm(self):
        self._down_after(CALM_MS)

    def _down_after(self, ms):
        for s in self.sentinels:
            if s.process:
                s.call("SENTINEL", "SET", "mymaster", "down-after-milliseconds", ms)

    def switch(self):
        """Begins to make another one the master, which the sentinel refuses while it has not heard from a replica for some seconds."""

        def begun():
            try:
                return self.sentinels[1].call("SENTINEL", "FAILOVER", "mymaster") == b"OK"
            except redis.Error:
                return False

        tap.wait_until(begun, "the sentinels begin to switch", 20)

    def master(self):
        """What all sentinels agree on."""
        ports = {int(s.call("SENTINEL", "get-master-addr-by-name", "mymaster")[1]) for s in self.sentinels if s.process}
        return ports.pop() if len(ports) == 1 else None


class Cluster:
    PORTS = range(7000, 7006)

    def __init__(self, ns, stack):
        self.ns = ns
        settings = ["cluster-enabled yes", "cluster-node-timeout 3000", "cluster-replica-validity-factor 0"]
        self.nodes = {port: stack.enter_context(redis.Server(ns, port, settings)) for port in self.PORTS}
        ns.run(["redis-cli", "--cluster", "create", *[f"127.0.0.1:{p}" for p in self.PORTS], "--cluster-replicas", "1", "--cluster-yes"], seconds=40)
        self.settle()

    def settle(self):
        """A replica that has copied nothing yet, or copies anew because the Cluster chose another master while the machine was busy, would be chosen
        with an empty database."""
        for s in self.nodes.values():
            if s.process:
                tap.wait_until(lambda s=s: b"cluster_state:ok" in s.call("CLUSTER", "INFO"), "the Cluster is whole", 30)
                tap.wait_until(lambda s=s: b"master_link_status:down" not in s.call("INFO", "replication"), "the replicas have their copies", 30)

    def owner(self, slot, asked=None):
        """(port, id) of the master of a slot."""
        for first, last, node, *_ in self.nodes[asked or 7000].call("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return node[1], node[2].decode()
        return None

    def replicas(self, port, asked):
        """How many living replicas the master at this port has, as another node sees it."""
        return sum(len([r for r in rest if self.nodes[r[1]].process]) for _, _, node, *rest in self.nodes[asked].call("CLUSTER", "SLOTS")
                   if node[1] == port)

    def masters(self):
        return {node[1]: node[2].decode() for _, _, node, *_ in self.nodes[7000].call("CLUSTER", "SLOTS")}

    @contextlib.contextmanager
    def migrating(self, key):
        """A slot on its way: yields (slot, from, to) servers; at the end it has arrived."""
        slot = self.nodes[7000].call("CLUSTER", "KEYSLOT", key)
        source, source_id = self.owner(slot)
        target, target_id = next((p, i) for p, i in self.masters().items() if p != source)
        self.nodes[target].call("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        self.nodes[source].call("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
        yield self.nodes[source], self.nodes[target]
        for name in self.nodes[source].call("CLUSTER", "GETKEYSINSLOT", slot, 100):
            self.nodes[source].call("MIGRATE", "127.0.0.1", target, name, 0, 5000)
        for port in (target, source):
            self.nodes[port].call("CLUSTER", "SETSLOT", slot, "NODE", target_id)
