// One call, from the click to its end: who may do what, when, and what is said to the service. media.js gets the sound through.
//
//            dial              call.ringing        call.answered
//   (none) ───────▶ calling ───────────────▶ ringing ───────────▶ talking
//      │ call.incoming             accept                            ▲
//      └──────────────▶ incoming ──────────▶ answering ──────────────┘        from each of them ──▶ ended

import * as devices from "./devices.js";
import { Media } from "./media.js";
import { byRule, hasRelay, isTrouble, sentence } from "./trouble.js";

// Each of these ends a call with a reason within ten seconds of the click.
const ANSWER_MS = 8000; // until the office has answered the offer
const MEDIA_MS = 7500; // from its answer until there is a way for the sound
const GATHER_MS = 6000; // until there is an address of the relay, if nothing else may be used
const TEXT_MAX = 200; // of what is said to the office beside a reason: a line
export const RESUMED_MS = 2000; // for what has waited at the service while the connection was lost
const RELAY_MS = 3000; // after which a relay that can be reached has given one

// What is not known yet is not said.
const known = (figures) => Object.fromEntries(Object.entries(figures).filter(([, value]) => value !== null));

export class Call {
  #link;
  #settings;
  #on;
  #media = null;
  #stream = null;
  #held = []; // what is to be said once the service knows the call
  #known = false;
  #clicked = 0;
  #opened = 0; // microphones that were asked for: only the last one counts
  #timers = {};

  // settings: {servers(): ICE servers now, relayOnly}. on: {change(), ended(call), heard(stream), office(what), digits(digits), trouble(name, said): null is none}.
  constructor(link, settings, on, { id = null, to = null, from = null, name = null }) {
    this.#link = link;
    this.#settings = settings;
    this.#on = on;
    this.id = id;
    this.number = to ?? from;
    this.name = name;
    this.state = id ? "incoming" : "calling";
    this.isMuted = this.isHeld = this.isHeldThere = false;
    this.setup = { signalling_ms: null, ice_ms: null, dtls_ms: null, audio_ms: null };
    this.since = null; // performance.now() of the answer
    this.end = null; // {reason, text, trouble}
  }

  get live() {
    return this.state !== "ended";
  }

  get media() {
    return this.#media?.state ?? null;
  }

  get stream() {
    return this.#stream;
  }

  // ---- what the user does ----
  async dial() {
    if (!(await this.#begin())) return;
    const sdp = await this.#offer();
    if (!this.live) return;
    try {
      const { call } = await this.#link.request("call.start", { to: this.number, sdp });
      this.id = call;
      if (this.live) this.#offered();
      else this.#link.notify("call.hangup", { call, reason: "cancelled" });
    } catch (error) {
      this.#finish({ reason: error.reason ?? "error", text: error.message, trouble: this.#troubleOf(error.reason) });
    }
  }

  ring() {
    this.#known = true;
    this.#say("call.ringing");
  }

  async accept() {
    if (this.state !== "incoming") return;
    this.#change("answering");
    if (!(await this.#begin())) return;
    this.#on.trouble(null);
    this.#known = false;
    const sdp = await this.#offer();
    if (!this.live) return;
    this.#link.notify("call.accept", { call: this.id, sdp });
    this.#offered();
  }

  // What it means depends on how far it is.
  hangUp(reason) {
    const words = { incoming: "declined", answering: "declined", talking: "hangup" };
    this.#leave({ reason: reason ?? words[this.state] ?? "cancelled" });
  }

  mute(on) {
    this.isMuted = on;
    this.#listen();
  }

  hold(on) {
    if (this.state !== "talking") return;
    this.isHeld = on;
    this.#listen();
    this.#media.hold(on);
  }

  dtmf(key) {
    if (this.state === "talking" && !this.#media.dtmf(key)) this.#say("call.dtmf", { digits: key });
  }

  // Another microphone was chosen, or the old one is gone.
  async changeMicrophone() {
    if (!this.#media) return;
    const old = this.#stream;
    if (!(await this.#open((trouble, said) => this.#on.trouble(trouble, said)))) return;
    await this.#media.replace(this.#stream);
    devices.close(old);
    this.#on.change();
  }

  async restart() {
    if (!this.#media || !this.live) return;
    const ice = await this.#link.probe();
    if (this.live) this.#media.restart(ice?.iceServers);
  }

  async stats() {
    const figures = await this.#media?.stats();
    if (!figures || !this.live) return null;
    const { path, codec, ...rest } = figures;
    if (this.state === "talking") this.#say("call.stats", known(rest));
    if (path && `${path.local} ${path.remote}` !== this.path) {
      this.path = `${path.local} ${path.remote}`;
      this.#tellMedia(path);
    }
    return figures;
  }

  // The session goes on. What was said into the dead connection is lost on both sides; `state` is the service's, undefined: it has no such call.
  resume(state) {
    if (!this.live || !this.id) return;
    clearTimeout(this.#timers.resume);
    this.#timers.resume = setTimeout(() => {
      if (state === undefined) this.#finish({ reason: "hangup" });
      else if (state === "answered") this.#talk();
      if (this.live && this.#known) this.#media?.repeat();
    }, RESUMED_MS);
  }

  // The service says once more that it rings: what we have answered has not arrived.
  again() {
    if (this.state === "answering" && this.#known) this.#link.notify("call.accept", { call: this.id, sdp: this.#media.sdp });
    else if (this.state === "incoming") this.ring();
  }

  // The session is not resumed: whatever went on, the service knows nothing of it.
  lose() {
    this.#finish({ reason: "phone_lost", trouble: "phone_lost" });
  }

  // ---- what the service says ----
  hear(method, params) {
    const handler = Call.#HANDLERS[method];
    if (handler && this.live) handler(this, params);
  }

  static #HANDLERS = {
    "call.answer": (c, { sdp }) => c.#answered(sdp),
    "call.candidate": (c, { candidate, mid }) => c.#media?.candidate(candidate, mid),
    "call.ringing": (c) => c.state === "calling" && c.#change("ringing"),
    "call.answered": (c) => c.#talk(),
    "call.restart": (c) => c.restart(),
    "call.hold": (c, { on }) => {
      c.isHeldThere = on;
      c.#on.change();
    },
    "call.dtmf": (c, { digits }) => c.#on.digits(digits),
    "call.media": (c, params) => c.#on.office(params),
    "call.stats": (c, params) => c.#on.office(params),
    "call.ended": (c, { reason, text, by }) => c.#finish({ reason, text, by, trouble: c.#troubleOf(reason, text) }),
  };

  // ---- how ----
  async #begin() {
    this.#clicked = performance.now();
    return this.#open((trouble, said) => {
      if (!this.id) return this.#leave({ reason: "cancelled", trouble, said });
      this.#change("incoming"); // it rings on: there is time for another try
      return this.#on.trouble(trouble, said);
    });
  }

  async #open(fail) {
    const mine = ++this.#opened;
    try {
      const stream = await devices.open();
      if (!this.live || mine !== this.#opened) {
        devices.close(stream);
        return false;
      }
      this.#stream = stream;
      stream.getAudioTracks()[0].onended = () => this.#on.trouble("mic_gone");
      this.#listen();
      return true;
    } catch (error) {
      if (this.live && mine === this.#opened) fail(error.trouble ?? "mic_busy", error.message);
      return false;
    }
  }

  // Null: it has failed, and the call with it.
  async #offer() {
    try {
      this.#connect();
      return await this.#media.begin(this.#stream);
    } catch (error) {
      this.#leave({ reason: "media_failed", text: error.message, trouble: "media_failed", said: error.message });
      return null;
    }
  }

  #connect() {
    const servers = this.#settings.servers();
    this.#media = new Media({
      servers, relayOnly: this.#settings.relayOnly,
      on: {
        offer: (sdp) => this.#say("call.offer", { sdp }),
        candidate: (candidate, mid) => this.#found(candidate, mid),
        state: (state) => this.#onMedia(state),
        track: (stream) => this.#on.heard(stream),
        mark: (name) => this.#mark(name),
        restart: () => this.restart(),
      },
    });
    if (this.#settings.relayOnly) this.#timers.gather = setTimeout(() => this.#media.evidence.relayed || this.#failMedia(), GATHER_MS);
  }

  #found(candidate, mid) {
    this.#say("call.candidate", { candidate, mid });
    if (candidate === null && this.#settings.relayOnly && !this.#media.evidence.relayed) this.#failMedia(); // nothing else will come
  }

  #offered() {
    this.#known = true;
    this.#held.splice(0).forEach(([method, params]) => this.#say(method, params));
    this.#timers.answer = setTimeout(() => this.#leave({ reason: "media_failed", text: sentence("bridge_silent"), trouble: "bridge_silent" }), ANSWER_MS);
    this.#on.change();
  }

  async #answered(sdp) {
    const first = this.setup.signalling_ms === null;
    this.#mark("signalling");
    clearTimeout(this.#timers.answer);
    try {
      await this.#media?.answer(sdp);
    } catch (error) {
      this.#leave({ reason: "media_failed", text: error.message, trouble: "media_failed" });
    }
    if (first && this.live && this.media === "checking") this.#timers.media = setTimeout(() => this.#failMedia(), MEDIA_MS);
  }

  #talk() {
    if (this.state === "talking") return;
    this.since = performance.now();
    this.#change("talking");
  }

  #onMedia(state) {
    clearTimeout(this.#timers.media);
    clearTimeout(this.#timers.gather);
    if (state === "failed") {
      this.#leave({ reason: "media_lost", trouble: "media_lost" });
      return;
    }
    this.#tellMedia();
    this.#on.change();
  }

  #tellMedia(path) {
    const [local, remote] = path ? [path.local, path.remote] : (this.path?.split(" ") ?? []);
    this.#say("call.media", { state: this.media, ...(local && { local, remote }), setup: known(this.setup) });
  }

  #failMedia() {
    const { relayed, officeRelayed, relayError } = this.#media.evidence;
    let trouble = "no_path";
    if (!hasRelay(this.#settings.servers())) trouble = "no_relay";
    else if (!relayed) trouble = relayError ? "relay_refused" : "relay_blocked";
    else if (!officeRelayed) trouble = "office_blocked";
    this.#leave({ reason: "media_failed", text: sentence(trouble), trouble, said: relayError });
  }

  // The office may know of a rule that we can't know of; that we have no relay, we know best.
  #troubleOf(reason, text) {
    if (reason === "late" || reason === "lost") return "service_silent";
    if (reason === "media_failed") {
      const late = performance.now() - this.#clicked > RELAY_MS;
      const blocked = late && this.#media && !this.#media.evidence.relayed && hasRelay(this.#settings.servers());
      return blocked ? "relay_blocked" : (byRule(text) ?? "media_failed");
    }
    return isTrouble(reason) ? reason : null;
  }

  // Of a duration from the click on, the first time only.
  #mark(name) {
    this.setup[`${name}_ms`] ??= Math.round(performance.now() - this.#clicked);
    if (name === "audio") this.#tellMedia();
  }

  #listen() {
    const track = this.#stream?.getAudioTracks()[0];
    if (track) track.enabled = !this.isMuted && !this.isHeld;
    this.#on.change();
  }

  #say(method, params = {}) {
    if (!this.#known) this.#held.push([method, params]);
    else if (this.live) this.#link.notify(method, { call: this.id, ...params });
  }

  #change(state) {
    this.state = state;
    this.#on.change();
  }

  // We end it.
  #leave(end) {
    if (!this.live) return;
    const { reason, text } = end;
    if (this.id) this.#link.notify("call.hangup", { call: this.id, reason, ...(text && { text: text.replace(/[^\x20-\x7e]+/g, " ").slice(0, TEXT_MAX) }) });
    this.#finish({ by: "phone", ...end });
  }

  #finish(end) {
    if (!this.live) return;
    this.end = end;
    Object.values(this.#timers).forEach(clearTimeout);
    this.#media?.close();
    devices.close(this.#stream);
    this.#change("ended");
    this.#on.ended(this);
  }
}
