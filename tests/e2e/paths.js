// One side of a call between two pages that have no service: the test carries what they say to each other.
"use strict";
window.side = {
  found: [],

  async open(iceServers) {
    const connection = (side.connection = new RTCPeerConnection({ iceServers }));
    connection.onicecandidate = ({ candidate }) => candidate?.candidate && side.found.push(candidate.toJSON());
    const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    const stream = await navigator.mediaDevices.getUserMedia({ audio: plain });
    stream.getTracks().forEach((track) => connection.addTrack(track, stream));
  },

  async offer(restart) {
    if (restart) side.connection.restartIce();
    await side.connection.setLocalDescription();
    return side.connection.localDescription.toJSON();
  },

  async take(description) {
    await side.connection.setRemoteDescription(description);
    if (description.type !== "offer") return null;
    await side.connection.setLocalDescription();
    return side.connection.localDescription.toJSON();
  },

  drain: () => side.found.splice(0),
  add: (candidates) => Promise.all(candidates.map((c) => side.connection.addIceCandidate(c))),
};
