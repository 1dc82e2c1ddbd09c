// Put into the page before its own scripts, behind ears.js: notes when what happens in the setup of a call, by the clock of performance.now().
"use strict";
{
  const LOUD = 0.05; // of full scale: a tone, and no rest of a filter
  const LOOK_MS = 4; // between looks for the first sound
  const clock = (window.clock = { marks: {} });
  const mark = (name) => (clock.marks[name] ??= performance.now());
  const ofRelay = (text) => / typ relay/.test(text ?? "");

  document.addEventListener("click", (e) => e.target.closest("#place") && (clock.marks = { click: performance.now() }), true);

  // What is said to the service and comes from it.
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (text) {
    if (/"call\.start"/.test(text)) mark("started");
    return send.call(this, text);
  };
  const Socket = window.WebSocket;
  window.WebSocket = class extends Socket {
    constructor(...words) {
      super(...words);
      this.addEventListener("message", ({ data }) => {
        const method = /"method":"call\.(\w+)"/.exec(data)?.[1];
        if (method === "answer" || method === "answered" || method === "ringing") mark(method);
      });
    }
  };

  // The first sound that is played, not the first packet.
  function listen(track) {
    const context = new AudioContext({ sampleRate: 48000 }), analyser = new AnalyserNode(context, { fftSize: 256 }), samples = new Float32Array(256);
    context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
    const look = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      const over = track.readyState === "ended";
      if (!over && !samples.some((x) => Math.abs(x) > LOUD)) return;
      if (!over) mark("sound");
      clearInterval(look);
      context.close();
    }, LOOK_MS);
  }

  const Connection = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Connection {
    constructor(...words) {
      super(...words);
      this.addEventListener("icecandidate", ({ candidate }) => ofRelay(candidate?.candidate) && mark("ours"));
      this.addEventListener("iceconnectionstatechange", () => /connected|completed/.test(this.iceConnectionState) && mark("pair"));
      this.addEventListener("connectionstatechange", () => this.connectionState === "connected" && mark("keys"));
      this.addEventListener("track", ({ track }) => listen(track));
    }
    async setRemoteDescription(description) {
      await super.setRemoteDescription(description);
      mark("described");
      if (ofRelay(description.sdp)) mark("theirs");
    }
    async addIceCandidate(candidate) {
      await super.addIceCandidate(candidate);
      if (ofRelay(candidate?.candidate)) mark("theirs");
    }
  };
}
