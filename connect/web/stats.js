// What a connection's statistics say of a call, in the protocol's units.

const ms = (seconds) => (seconds === undefined ? null : Math.round(1000 * seconds));

// {path: {local, remote, protocol} or null, rtt_ms, lost, received, jitter_ms, bytes, codec}; what is not known yet is null.
export async function read(connection) {
  const all = await connection.getStats();
  const of = (type) => [...all.values()].find((s) => s.type === type) ?? {};
  const pair = all.get(of("transport").selectedCandidatePairId), inbound = of("inbound-rtp");
  const local = all.get(pair?.localCandidateId), remote = all.get(pair?.remoteCandidateId);
  return {
    path: local && remote ? { local: local.candidateType, remote: remote.candidateType, protocol: local.relayProtocol ?? local.protocol } : null,
    rtt_ms: ms(of("remote-inbound-rtp").roundTripTime ?? pair?.currentRoundTripTime),
    lost: Math.max(inbound.packetsLost ?? 0, 0),
    received: inbound.packetsReceived ?? 0,
    jitter_ms: ms(inbound.jitter),
    bytes: inbound.bytesReceived ?? 0,
    codec: all.get(inbound.codecId)?.mimeType.replace("audio/", "") ?? null,
  };
}
