// Put into a page before its own scripts: what comes to it from the other side can be measured. The page knows nothing of it.
"use strict";
{
  const Real = window.RTCPeerConnection, SIZE = 32768, STEP = 6; // samples at 48000 Hz; every sixth is kept: 8000 Hz, as telephones have
  const ears = (window.ears = { connections: [], analyser: null });
  let context = null;

  function listen(track) {
    const stream = new MediaStream([track]), player = new Audio();
    player.muted = true;
    player.srcObject = stream; // Chromium decodes for a player only
    player.play().catch(() => {});
    context ??= new AudioContext({ sampleRate: 48000 });
    ears.analyser = new AnalyserNode(context, { fftSize: SIZE });
    context.createMediaStreamSource(stream).connect(ears.analyser);
    ears.player = player;
  }

  window.RTCPeerConnection = class extends Real {
    constructor(...words) {
      super(...words);
      ears.connections.push(this);
      this.addEventListener("track", ({ track }) => track.kind === "audio" && listen(track));
    }
  };

  // What was heard at the end, 16 bits each.
  ears.samples = () => {
    if (!ears.analyser) return [];
    const all = new Float32Array(SIZE);
    ears.analyser.getFloatTimeDomainData(all);
    return Array.from(all.filter((_, i) => i % STEP === 0), (x) => Math.round(32767 * Math.max(-1, Math.min(1, x))));
  };

  // The pair that is used now: kinds, addresses and states; null: none.
  ears.pair = async () => {
    const connection = ears.connections.at(-1), all = new Map();
    if (!connection) return null;
    (await connection.getStats()).forEach((s) => all.set(s.id, s));
    const of = (type) => [...all.values()].find((s) => s.type === type) ?? {};
    const transport = of("transport"), pair = all.get(transport.selectedCandidatePairId);
    if (!pair) return null;
    const end = ({ candidateType, address, port, relayProtocol }) => ({ kind: candidateType, address, port, relayProtocol });
    return {
      local: end(all.get(pair.localCandidateId) ?? {}), remote: end(all.get(pair.remoteCandidateId) ?? {}),
      ice: connection.iceConnectionState, dtls: transport.dtlsState, packets: of("inbound-rtp").packetsReceived ?? 0,
      lost: of("inbound-rtp").packetsLost ?? 0,
    };
  };

  ears.candidates = async () => {
    const found = [];
    (await ears.connections.at(-1)?.getStats())?.forEach((s) => {
      if (/-candidate$/.test(s.type)) found.push({ side: s.type.split("-")[0], kind: s.candidateType, address: s.address, port: s.port });
    });
    return found;
  };
}
