// The office's end of a call, in the same page: a peer connection that answers, sends a tone, and listens. Evaluated in the page by softphone.py.
window.office = (() => {
  const SILENCE_DB = -200; // what has not begun yet is infinitely far below, and JSON has no such number
  let connection = null;
  const ear = new Audio(); // what nobody plays is not decoded

  function tone() {
    const context = new AudioContext(), pitch = context.createOscillator(), out = context.createMediaStreamDestination();
    pitch.frequency.value = 600;
    pitch.connect(out);
    pitch.start();
    return out.stream;
  }

  // PCMA, PCMU and telephone-event alone, as a bridge takes them.
  function plain(sdp) {
    const event = sdp.match(/^a=rtpmap:(\d+) telephone-event\/8000/m)[1];
    return sdp.replace(/^(m=audio \d+ \S+) .*$/m, `$1 8 0 ${event}`)
      .replace(/^a=(?:rtpmap|fmtp|rtcp-fb):(\d+) .*\r\n/gm, (line, type) => (["8", "0", event].includes(type) ? line : ""));
  }

  // The pitch that is loudest in a stream, and how loud it is (dB below the loudest that there is).
  async function listen(heard, seconds = 0.3) {
    const context = new AudioContext(), analyser = context.createAnalyser();
    analyser.fftSize = 8192;
    context.createMediaStreamSource(heard).connect(analyser);
    await new Promise((done) => setTimeout(done, 1000 * seconds));
    const bins = new Float32Array(analyser.frequencyBinCount);
    analyser.getFloatFrequencyData(bins);
    const loudest = bins.indexOf(Math.max(...bins)), hz = (loudest * context.sampleRate) / analyser.fftSize;
    context.close();
    return { hz, db: Math.max(bins[loudest], SILENCE_DB) };
  }

  return {
    async answer(sdp, { servers = [], relay = false, dtmf = true, silent = false } = {}) {
      connection?.close();
      connection = new RTCPeerConnection({ iceServers: servers, iceTransportPolicy: relay ? "relay" : "all" });
      connection.ontrack = (e) => {
        ear.srcObject = e.streams[0];
        ear.play();
      };
      await connection.setRemoteDescription({ type: "offer", sdp: plain(sdp) });
      connection.getTransceivers()[0].sender.replaceTrack(tone().getAudioTracks()[0]);
      return this.again(null, { dtmf, silent });
    },
    // A later offer; null: the first.
    async again(sdp, { dtmf = true, silent = false } = {}) {
      if (sdp) await connection.setRemoteDescription({ type: "offer", sdp: plain(sdp) });
      const direction = connection.getTransceivers()[0];
      if (direction.direction === "recvonly" || !sdp) direction.direction = "sendrecv";
      await connection.setLocalDescription();
      while (connection.iceGatheringState !== "complete") await new Promise((done) => setTimeout(done, 20));
      let answer = connection.localDescription.sdp;
      if (silent) answer = answer.replace(/^a=candidate:.*\r\n/gm, "");
      if (!dtmf) answer = answer.replace(/^a=(rtpmap|fmtp):\d+ telephone-event.*\r\n/gm, "");
      return answer;
    },
    candidate: (candidate, mid) => connection.addIceCandidate({ candidate, sdpMid: mid }),
    heardHere: () => listen(document.getElementById("remote").srcObject),
    // What the phone's sound has been so far: packets, and energy.
    async heardThere() {
      const inbound = [...(await connection.getStats()).values()].find((s) => s.type === "inbound-rtp") ?? {};
      return { packets: inbound.packetsReceived ?? 0, energy: inbound.totalAudioEnergy ?? 0 };
    },
    state: () => connection.connectionState,
    close: () => connection?.close(),
    kinds: async () => {
      const all = await connection.getStats(), of = (id) => all.get(id)?.candidateType;
      const pair = all.get([...all.values()].find((s) => s.type === "transport").selectedCandidatePairId);
      return [of(pair?.localCandidateId), of(pair?.remoteCandidateId)];
    },
  };
})();
