// How good a call is: its way in words and as a picture, round trip, loss, jitter, of both directions.

import { $, setText } from "./dom.js";
import { describe, draw, kind } from "./path.js";

const UNKNOWN = "–";
const WINDOW = 10; // looks, a second each, that loss is told of
const GOOD = { loss: 0.02, rtt: 300, jitter: 40 }; // beyond: words get lost, or people begin to speak at the same time

// Of what should have come in the last seconds, the part that did not.
class Loss {
  #seen = [];

  add({ lost, received }) {
    this.#seen.push({ lost, received });
    if (this.#seen.length > WINDOW + 1) this.#seen.shift();
    const first = this.#seen[0], gone = lost - first.lost, come = received - first.received;
    return gone + come > 0 ? Math.max(gone, 0) / (gone + come) : null;
  }
}

let heard = new Loss(), sent = new Loss(), office = {};

const percent = (part) => (part === null ? UNKNOWN : `${(100 * part).toFixed(1)} %`);
const millis = (n) => (n === null || n === undefined ? UNKNOWN : `${Math.round(n)} ms`);

function tile(id, text, bad) {
  setText($(id), text);
  $(id).dataset.state = bad ? "bad" : "";
}

export function reset() {
  heard = new Loss();
  sent = new Loss();
  office = {};
  for (const id of ["rtt", "loss", "jitter", "loss-office", "jitter-office", "pair", "codec", "setup"]) tile(id, UNKNOWN, false);
  way(null);
}

// What the office's bridge says of itself: call.media, call.stats.
export function said(more) {
  office = { ...office, ...more };
  if (more.received === undefined) return;
  tile("loss-office", percent(sent.add(office)), false);
  tile("jitter-office", millis(office.jitter_ms), office.jitter_ms > GOOD.jitter);
}

// Without a path: it is looked for, or looked for again.
function way(path, state) {
  $("path").dataset.local = path?.local ?? "";
  $("path").dataset.remote = path?.remote ?? "";
  if (path && state !== "reconnecting") {
    const { stops, words } = describe(path, office.local);
    draw($("path"), { stops, words });
    setText($("path-words"), words);
    setText($("pair"), `${path.local} to ${path.remote}: ${kind(path.local)}; at the office ${kind(path.remote)}`);
    return;
  }
  const words = state === "reconnecting" ? "The way is broken; another one is looked for." : "A way is looked for.";
  draw($("path"), { stops: ["you", "office"], words, moving: true });
  setText($("path-words"), words);
}

// setup: {signalling_ms, ice_ms, dtls_ms, audio_ms}, from the click on.
export function show(figures, state, setup) {
  way(figures.path, state);
  const loss = heard.add(figures);
  tile("rtt", millis(figures.rtt_ms), figures.rtt_ms > GOOD.rtt);
  tile("loss", percent(loss), loss > GOOD.loss);
  tile("jitter", millis(figures.jitter_ms), figures.jitter_ms > GOOD.jitter);
  setText($("codec"), figures.codec ?? UNKNOWN);
  setText($("setup"), ["signalling", "ice", "dtls", "audio"].map((n) => `${n === "ice" || n === "dtls" ? n.toUpperCase() : n} ${millis(setup[`${n}_ms`])}`).join(", "));
}
