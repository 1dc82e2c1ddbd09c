// The sound of one call: one RTCPeerConnection. The page always makes the offer; only one waits for its answer at a time.

import { read } from "./stats.js";

const DTMF_MS = [100, 70]; // a key's tone, and the pause behind it
const SETTLE_MS = 1000; // a pair that answers again by itself needs no new one
const FIRST_MS = 20; // between looks for the first sound: one packet
const LOST_MS = 20000; // without any path
const BETTER_S = [10, 20, 40, 60]; // between looks whether the direct way is back

// Its own kind in a candidate's line: host, srflx, prflx, relay.
const kindOf = (candidate) => candidate.match(/ typ (\w+)/)?.[1];

export class Media {
  #connection;
  #on;
  #sender = null;
  #transceiver = null;
  #pending = false; // an offer waits for its answer
  #again = false; // another one is wanted then
  #early = []; // candidates from the office before its answer
  #kinds = { local: new Set(), remote: new Set() };
  #errors = []; // of relays that answered, but gave nothing
  #state = "checking";
  #timers = {};
  #wasDirect = false;
  #looks = 0;

  // on: {offer(sdp), candidate(candidate, mid), state(state), track(stream), mark(name), restart()}; `state` is the protocol's.
  constructor({ servers, relayOnly, on }) {
    this.#on = on;
    const c = (this.#connection = new RTCPeerConnection({ iceServers: servers, iceTransportPolicy: relayOnly ? "relay" : "all", bundlePolicy: "max-bundle" }));
    c.onicecandidate = ({ candidate }) => this.#found(candidate);
    c.onicecandidateerror = (e) => e.url?.startsWith("turn") && e.errorCode < 700 && this.#errors.push(`${e.errorCode} ${e.errorText}`);
    c.onconnectionstatechange = () => this.#changed(c.connectionState);
    c.oniceconnectionstatechange = () => ["connected", "completed"].includes(c.iceConnectionState) && on.mark("ice");
    c.ontrack = ({ track, streams }) => {
      on.track(streams[0] ?? new MediaStream([track]));
    };
  }

  get state() {
    return this.#state;
  }

  // What is known of why there is no path.
  get evidence() {
    const { local, remote } = this.#kinds;
    return { relayed: local.has("relay"), officeRelayed: remote.has("relay"), relayError: this.#errors.at(-1) ?? null };
  }

  // The first offer.
  async begin(stream) {
    this.#transceiver = this.#connection.addTransceiver(stream.getAudioTracks()[0], { direction: "sendrecv", streams: [stream] });
    this.#sender = this.#transceiver.sender;
    this.#pending = true;
    await this.#connection.setLocalDescription();
    return this.sdp;
  }

  // An offer, or its answer, may have been lost with a connection.
  repeat() {
    if (this.#connection.signalingState === "have-local-offer") this.#on.offer(this.sdp);
  }

  get sdp() {
    return this.#connection.localDescription?.sdp ?? null;
  }

  async answer(sdp) {
    if (!this.#pending) return;
    await this.#connection.setRemoteDescription({ type: "answer", sdp });
    for (const line of sdp.match(/^a=candidate:.*$/gm) ?? []) this.#kinds.remote.add(kindOf(line));
    this.#pending = false;
    for (const [candidate, mid] of this.#early.splice(0)) this.candidate(candidate, mid);
    if (this.#again) this.#negotiate();
  }

  candidate(candidate, mid) {
    if (candidate === null) return;
    this.#kinds.remote.add(kindOf(candidate));
    if (this.#pending) this.#early.push([candidate, mid]);
    else this.#connection.addIceCandidate({ candidate, sdpMid: mid ?? "0" }).catch(() => {}); // one of an earlier generation, or of a kind that is new to us
  }

  hold(on) {
    this.#transceiver.direction = on ? "inactive" : "sendrecv";
    this.#negotiate();
  }

  // New candidates on both sides; the sound goes on over the old ones until there is a pair of new ones.
  restart(servers) {
    if (servers) this.#connection.setConfiguration({ ...this.#connection.getConfiguration(), iceServers: servers });
    this.#connection.restartIce();
    this.#negotiate();
  }

  // False: not by the media path.
  dtmf(digits) {
    const keys = this.#sender?.dtmf;
    if (!keys?.canInsertDTMF) return false;
    keys.insertDTMF(keys.toneBuffer + digits, ...DTMF_MS);
    return true;
  }

  replace(stream) {
    return this.#sender?.replaceTrack(stream.getAudioTracks()[0]);
  }

  async stats() {
    const figures = await read(this.#connection);
    this.#look(figures.path);
    return figures;
  }

  close() {
    Object.values(this.#timers).forEach(clearTimeout);
    this.#connection.onconnectionstatechange = null;
    this.#connection.close();
  }

  #found(candidate) {
    if (candidate?.candidate === "") return;
    if (candidate) this.#kinds.local.add(kindOf(candidate.candidate));
    this.#on.candidate(candidate?.candidate ?? null, candidate?.sdpMid ?? "0");
  }

  async #negotiate() {
    this.#again = this.#pending;
    if (this.#pending) return;
    this.#pending = true;
    try {
      await this.#connection.setLocalDescription();
      this.#on.offer(this.sdp);
    } catch (error) {
      if (this.#connection.signalingState !== "closed") throw error;
    }
  }

  #changed(state) {
    if (state === "connected") {
      this.#on.mark("dtls");
      clearTimeout(this.#timers.settle);
      clearTimeout(this.#timers.lost);
      delete this.#timers.lost;
      this.#timers.first ??= setInterval(() => this.#listen(), FIRST_MS);
      this.#tell("connected");
    } else if (state === "disconnected" || state === "failed") {
      this.#reconnect(state === "failed" ? 0 : SETTLE_MS);
    }
  }

  // The first sound that is played. A track's `unmute` comes with the description, before any packet.
  #listen() {
    if (!this.#transceiver.receiver.getSynchronizationSources().length) return;
    clearInterval(this.#timers.first);
    this.#on.mark("audio");
  }

  #tell(state) {
    if (this.#state === state) return;
    this.#state = state;
    this.#on.state(state);
  }

  // A call that has never been connected is watched over by its call.
  #reconnect(wait) {
    if (this.#state === "checking") return;
    this.#tell("reconnecting");
    this.#timers.lost ??= setTimeout(() => this.#tell("failed"), LOST_MS);
    clearTimeout(this.#timers.settle);
    this.#timers.settle = setTimeout(() => this.#on.restart(), wait);
  }

  // A call that once went the direct way is not left on the relay for good.
  #look(path) {
    if (!path || this.#state !== "connected") return;
    const direct = path.local !== "relay" && path.remote !== "relay";
    this.#wasDirect ||= direct;
    if (direct) {
      this.#looks = 0;
      clearTimeout(this.#timers.better);
      delete this.#timers.better;
    } else if (this.#wasDirect && this.#timers.better === undefined) {
      this.#timers.better = setTimeout(() => {
        delete this.#timers.better;
        if (this.#state === "connected") this.#on.restart();
      }, 1000 * BETTER_S[Math.min(this.#looks++, BETTER_S.length - 1)]);
    }
  }
}
