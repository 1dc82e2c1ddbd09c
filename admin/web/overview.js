// The first view: is the relay well, what passes through it, and what clients need to know.

import { Chart } from "/dashboard/chart.js";
import { $, copy, copyLine, el, setLamp, setList, setText } from "/dashboard/dom.js";
import { bits, count, duration, percent, when } from "/dashboard/format.js";
import * as probes from "/dashboard/probes.js";

const RECENT_S = 10; // what "now" means for a share

const traffic = new Chart($("chart-traffic"), {
  series: [{ name: "from clients", class: "up" }, { name: "to clients", class: "down" }], format: bits, least: 10000,
});
const allocations = new Chart($("chart-allocations"), {
  series: [{ name: "active", class: "up" }], format: count, least: 10, steps: true,
});
$("chart-traffic").dataset.title = "Throughput";
$("chart-allocations").dataset.title = "Allocations";

// What a reason of /readyz means for calls, by the word that it begins with.
const MEANING = {
  redis: "Calls go on, and clients that were known before Redis went can refresh theirs. New users of tokens are refused until it is back; fixed users are served.",
  store: "Calls go on. Credentials can't be looked up or changed until it is back.",
  certificate: "What is encrypted with it is refused by clients. Put a valid one in its place, then reload.",
  draining: "Calls go on, new clients are sent elsewhere.",
  memory: "Calls go on, new ones are refused until there is room.",
  workers: "The calls of the worker that hangs stand still. Those of others go on.",
};

const OFFLOAD = {
  off: "off: packets pass through user space",
  native: "XDP in the driver",
  generic: "XDP in the kernel's generic path",
};

let last = null, recent = [];

function sum(t, side) {
  return ["user", "splice", "xdp"].reduce((n, path) => n + (t[path]?.[`bytes_${side}`] ?? 0), 0);
}

// Rates between this answer and the one before.
function rates(status) {
  const now = { t: status.now_ms / 1000, start: status.started_at, up: sum(status.traffic, "up"), down: sum(status.traffic, "down") };
  now.splice = (status.traffic.splice?.bytes_up ?? 0) + (status.traffic.splice?.bytes_down ?? 0);
  const before = last;
  last = now;
  if (!before || before.start !== now.start || before.t >= now.t) {
    if (before && before.start !== now.start) forget();
    return null;
  }
  const s = now.t - before.t;
  recent.push({ t: now.t, all: now.up + now.down - before.up - before.down, splice: now.splice - before.splice });
  recent = recent.filter((r) => r.t > now.t - RECENT_S);
  return { t: now.t, up: (8 * (now.up - before.up)) / s, down: (8 * (now.down - before.down)) / s };
}

function forget() {
  recent = [];
  traffic.clear();
  allocations.clear();
}

function showHealth(status) {
  const reasons = [...status.reasons];
  if (status.draining) {
    const until = status.drain_deadline_at ? `until ${when(status.drain_deadline_at)}, then what still lives is closed` : "without a deadline";
    reasons.splice(0, reasons.length, ...reasons.filter((r) => !r.startsWith("draining")), `draining: ${until}`);
  }
  const broken = reasons.some((r) => !r.startsWith("draining") && !r.startsWith("memory"));
  const state = broken ? "bad" : reasons.length || !status.ready ? "warn" : "good";
  const word = broken ? "Not ready" : status.draining ? "Draining" : state === "warn" ? "Nearly full" : "Ready";
  $("health").dataset.state = $("pill").dataset.state = state;
  setText($("health-title"), word);
  setText($("pill-text"), word);
  setList($("health-text"), reasons.length ? reasons : [""], (r) => {
    if (!r) return el("p", {}, "Clients are served, credentials can be looked up, all listeners are up.");
    const meaning = MEANING[r.split(":")[0].toLowerCase()];
    return el("p", {}, el("strong", {}, `${r[0].toUpperCase()}${r.slice(1)}${r.endsWith(".") ? "" : "."}`), meaning ? ` ${meaning}` : "");
  });
}

export function showLost(error, since) {
  $("pill").dataset.state = "bad";
  setText($("pill-text"), "No answer");
  $("health").dataset.state = "bad";
  setText($("health-title"), error.message);
  setList($("health-text"), [`Nothing is known since ${since}; this page asks again every two seconds. Calls do not depend on it.`], (t) => el("p", {}, t));
}

function showFacts(status) {
  const facts = [
    ["Version", status.version],
    ["Node", status.node],
    ["Realm", status.realm],
    ["Up for", duration(status.uptime_s)],
    ["Workers", String(status.workers)],
    ["Offload", OFFLOAD[status.offload.mode] ?? status.offload.mode],
    ["Credentials", (status.store.kind === "redis" ? "Redis" : "embedded store") + (status.store.ready ? "" : ": not there")],
    ["Certificate", status.certificate ? `until ${when(status.certificate.expires_at)}` : "none"],
    ["Dropped packets", count(status.drops)],
    ["Failed log-ins", count(status.auth_failures)],
    ["Log level", status.log_level],
    ["Listens on", [...new Set(status.listeners.map((l) => `${l.transport.toUpperCase()} ${l.address.includes(":") ? `[${l.address}]` : l.address}:${l.port}`))].join("\n")],
    ["Relays from", status.relays.map((r) => (r.advertised && r.advertised !== r.address ? `${r.address}, as ${r.advertised}` : r.address)).join("\n")],
  ];
  setList($("facts"), facts.map(([name]) => name), (name) => el("div", {}, el("dt", {}, name), el("dd", {})));
  facts.forEach(([, value], i) => setText($("facts").children[i].lastChild, value));
}

// ---- the lamp ----
const LAMP_MS = 6000; // what it tells changes seldom
let lampAt = 0, hasBridges = false;

function lampWords(places) {
  if (!places.length) return "no bridge is connected";
  if (places.some((p) => p.newest?.state === "running")) return "a check goes on";
  const worst = probes.worst(places.map(probes.verdictOf)), here = places.filter((p) => probes.verdictOf(p) === worst);
  const names = here.map((p) => p.bridge.name || p.bridge.tenant).filter((n) => n).join(", "), last = here.map((p) => p.newest?.ended).filter((t) => t);
  return [names, last.length ? `checked ${when(Math.max(...last))}` : "never checked"].filter((t) => t).join(" · ");
}

async function showLamp() {
  const line = $("overview-rules");
  try {
    await probes.refresh(false);
    const places = probes.places();
    setLamp(line.firstChild, probes.worst(places.map(probes.verdictOf)));
    setText(line.lastChild, lampWords(places));
    line.hidden = false;
  } catch {
    line.hidden = true; // who may not ask, or an answer that does not come, which the status tells of
  }
}

export async function poll() {
  if (!hasBridges || Date.now() - lampAt < LAMP_MS) return;
  lampAt = Date.now();
  await showLamp();
}

export function showStatus(status) {
  hasBridges = Boolean(status.connect?.listen);
  if (!hasBridges) $("overview-rules").hidden = true;
  setText($("node"), status.node);
  const title = `Turnpike ${status.node}`;
  if (document.title !== title) document.title = title;
  showHealth(status);
  const a = status.allocations, r = rates(status);
  setText($("tile-allocations"), count(a.active));
  setText($("tile-allocations-more"), a.limit ? `of ${count(a.limit)} at most` : `${count(a.created)} since the start`);
  if (r) {
    setText($("tile-up"), bits(r.up));
    setText($("tile-down"), bits(r.down));
    traffic.add(r.t, [r.up, r.down]);
    const all = recent.reduce((n, x) => n + x.all, 0), splice = recent.reduce((n, x) => n + x.splice, 0);
    setText($("tile-splice"), all > 0 ? percent(Math.min(1, splice / all)) : "–");
    setText($("tile-splice-more"), all > 0 ? "handed over inside the relay" : "nothing is relayed now");
  }
  setText($("tile-up-more"), `${count(["user", "splice", "xdp"].reduce((n, p) => n + (status.traffic[p]?.packets_up ?? 0), 0))} packets`);
  setText($("tile-down-more"), `${count(["user", "splice", "xdp"].reduce((n, p) => n + (status.traffic[p]?.packets_down ?? 0), 0))} packets`);
  allocations.add(status.now_ms / 1000, [a.active]);
  setList($("uris"), status.urls, (u) => copyLine(u));
  $("copy-uris").onclick = () => copy(status.urls.join("\n"), "All addresses");
  showFacts(status);
}
