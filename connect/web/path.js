// The way that the sound takes, as a picture and in words.

import { svg } from "./dom.js";

// Four stops are as wide as a telephone's screen has room for.
const WIDTH = 300, HEIGHT = 70, EDGE = 36, Y = 24, R = 17, STEP_MAX = 104;

// In a square of 24 by 24 each: a head with a headset, two arrows that meet, a house of offices, a plug.
const ICONS = {
  you: "M5 14v-2a7 7 0 0 1 14 0v2M5 13h2.5v5H5zM16.5 13H19v5h-2.5zM19 18c0 2-2 3-5 3",
  relay: "M4 9h7M8.5 6l3 3-3 3M20 15h-7M15.5 12l-3 3 3 3",
  office: "M6 20V4h12v16M3.5 20h17M9.5 8h1M13.5 8h1M9.5 12h1M13.5 12h1M10.5 20v-4h3v4",
  service: "M9 3v5M15 3v5M6.5 8h11v3a5.5 5.5 0 0 1-11 0zM12 16.5V21",
};
const NAMES = { you: "You", relay: "Relay", office: "Office", service: "Service" };

const step = (stops) => Math.min((WIDTH - 2 * EDGE) / (stops.length - 1), STEP_MAX);
const middle = (stops, i) => EDGE + i * step(stops);

function cross(x) {
  return svg("g", { class: "cross" }, svg("circle", { cx: x, cy: Y, r: 9 }), svg("path", { d: `M${x - 4} ${Y - 4}l8 8m0-8l-8 8` }));
}

// stops: names of ICONS in their order; broken: the number of the step that does not pass, if one does not; words: all of it, for those who see no picture.
export function draw(place, { stops, broken = null, words, moving = false }) {
  const key = JSON.stringify([stops, broken, words, moving]);
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  const width = 2 * EDGE + (stops.length - 1) * step(stops), parts = [];
  for (let i = 0; i + 1 < stops.length; i++) {
    const [from, to] = [middle(stops, i) + R + 4, middle(stops, i + 1) - R - 4], bad = i === broken, cut = broken !== null && i >= broken;
    parts.push(svg("path", { class: bad ? "way bad" : cut ? "way cut" : moving ? "way moving" : "way", d: `M${from} ${Y}H${to}` }));
    if (bad) parts.push(cross((from + to) / 2));
  }
  stops.forEach((stop, i) => {
    const x = middle(stops, i);
    parts.push(svg("g", { class: `stop ${stop}` }, svg("circle", { cx: x, cy: Y, r: R }),
      svg("path", { d: ICONS[stop], transform: `translate(${x - 12} ${Y - 12})` }), svg("text", { x, y: HEIGHT - 6 }, NAMES[stop])));
  });
  place.replaceChildren(svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": words }, ...parts));
}

// Types of candidates, in words.
const KINDS = {
  host: "its own address",
  srflx: "its address behind NAT",
  prflx: "an address that was found on the way",
  relay: "an address of the relay",
};

export const kind = (type) => KINDS[type] ?? type;

// {stops, words} of a selected pair. `office`: what the bridge calls its own side, which knows better than we do.
export function describe({ local, remote, protocol }, office) {
  const mine = local === "relay", theirs = remote === "relay" || office === "relay";
  const stops = ["you", ...(mine ? ["relay"] : []), ...(theirs ? ["relay"] : []), "office"];
  const tcp = protocol === "tcp" || protocol === "tls" ? " over TCP" : "";
  if (mine && theirs) return { stops, words: `Relayed on both sides${tcp}: the sound goes to the relay, is handed over inside it, and goes on to the office.` };
  if (mine) return { stops, words: `Relayed for this browser${tcp}: the office is reached by the relay.` };
  if (theirs) return { stops, words: "Relayed for the office: the relay passes the sound on to it." };
  return { stops, words: local === "host" && remote === "host" ? "Direct, within one network." : "Direct: no relay between." };
}
