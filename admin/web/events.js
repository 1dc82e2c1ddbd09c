// What happens, as it happens: server-sent events, read by fetch because an EventSource can't carry a bearer token.

import { headers, problemOf, session } from "/dashboard/api.js";
import { $, el, setText, showProblem } from "/dashboard/dom.js";
import { time } from "/dashboard/format.js";

const KEPT = 500;
const LATEST = 5;
const AGAIN_MS = 3000;
const SILENCE_MS = 45000; // three times what the relay leaves between two signs of life: the way to it is broken

const events = []; // newest first
let lastId = null, reader = null, held = false;
let live = null; // true or false, once it is known
let probeHeard = () => {};

// What an administrator has done, by operationId.
const DEEDS = {
  deleteAllocation: "disconnected a client",
  putUser: "changed a user",
  deleteUser: "removed a user",
  issueToken: "issued a credential",
  revokeToken: "revoked a credential",
  generateIceServers: "handed out a credential",
  revokeCredentials: "revoked the names of a user",
  putPeers: "changed the stored peers",
  putQuota: "changed the limits of an owner",
  drain: "began draining",
  endDrain: "ended draining",
  reload: "reloaded the configuration",
  setLogLevel: "changed the log level",
  startProbe: "started a check of the firewall",
};

const FAULTS = {
  redis: "Redis can't be asked",
  redis_ready: "Redis is back",
  store: "The store can't be asked",
  store_ready: "The store is back",
  node_down: "A node is gone",
  node_id_taken: "Another node has this one's id",
  worker_hangs: "A worker hangs",
  worker_hangs_over: "The worker is back",
  memory_short: "Memory is short",
  memory_short_over: "There is memory again",
  certificate_expired: "The certificate has expired",
  certificate_expired_over: "There is a valid certificate",
};

const isOver = (e) => e.type === "fault" && /_(ready|over)$/.test(e.data.what);

const WORDS = {
  allocation: (e) => [`${e.user || "somebody"} ${e.what === "created" ? "has an allocation" : "has left"}`, e.client, e.what === "deleted" ? e.reason : null],
  auth_failure: (e) => [`${e.user || "somebody"} is refused`, e.client, e.reason],
  revocation: (e) => [`${e.user} is revoked`],
  quota: (e) => [`${e.owner} has reached a limit`, e.limit === undefined || e.limit === null ? null : String(e.limit)],
  drain: (e) => [`${e.node || "this relay"} ${e.draining ? "drains" : "takes new clients"}`],
  probe: (e) => [e.what === "started" ? "a bridge checks the firewall" : e.error ? "a check of the firewall came to no end" : `a check of the firewall says ${e.verdict}`, e.bridge, e.error],
  gap: () => ["some events were missed"],
  fault: (e) => [FAULTS[e.what] ?? e.what, e.reason],
  admin: (e) => {
    const deed = DEEDS[e.operation] ?? e.operation;
    return e.status < 400 ? [`${e.caller} has ${deed}`] : [`${e.caller} has not ${deed}`, `refused with ${e.status}`];
  },
};

const NAMES = { auth_failure: "auth failure" };

function line(e) {
  const words = (WORDS[e.type]?.(e.data) ?? [JSON.stringify(e.data)]).filter((w) => w);
  return el("li", { "data-type": isOver(e) ? "fault-over" : e.type }, el("time", {}, e.data.at ? time(e.data.at) : ""), el("span", { class: "kind" }, NAMES[e.type] ?? e.type),
    el("span", { class: "words" }, words.join(" · ")));
}

// Who shows how far a check of the firewall has come: what each event says of it.
export function onProbe(heard) {
  probeHeard = heard;
}

function wanted(e) {
  const type = $("events-filter").elements.type.value;
  return !type || e.type === type;
}

function showAll() {
  $("events-list").replaceChildren(...events.filter(wanted).map(line));
}

function add(e) {
  if (e.type === "probe") probeHeard(e.data);
  if (e.type === "probe" && e.data.what === "progress") return; // a step of what is told already
  events.unshift(e);
  if (events.length > KEPT) events.pop();
  $("latest").prepend(line(e));
  while ($("latest").children.length > LATEST) $("latest").lastChild.remove();
  if (held || !wanted(e)) return;
  $("events-list").prepend(line(e));
  while ($("events-list").children.length > KEPT) $("events-list").lastChild.remove();
}

// Blocks of "field: value" lines, each ended by an empty line.
class Parser {
  rest = "";

  feed(text) {
    const blocks = (this.rest + text).replaceAll("\r\n", "\n").split("\n\n");
    this.rest = blocks.pop();
    for (const block of blocks) {
      const e = { type: "message", data: "" };
      for (const row of block.split("\n")) {
        const [, field, value] = /^(\w*): ?(.*)$/.exec(row) ?? [];
        if (field === "id") e.id = value;
        if (field === "event") e.type = value;
        if (field === "data") e.data += value;
      }
      if (e.id !== undefined) lastId = e.id;
      if (!e.data) continue; // a comment that keeps the connection open
      try {
        e.data = JSON.parse(e.data);
      } catch {
        continue;
      }
      add(e);
    }
  }
}

function tell(now) {
  live = now;
  setText($("events-state"), live === null ? "" : !live ? "Interrupted, trying again" : held ? "Held" : "Live");
}

// One attempt: it ends with the connection, when nothing is heard, not even an answer, or when somebody aborts it.
async function follow(attempt) {
  let timer;
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => attempt.abort(), SILENCE_MS);
  };
  heard();
  try {
    const response = await fetch("/api/v1/events", {
      headers: headers({ Accept: "text/event-stream", ...(lastId === null ? {} : { "Last-Event-ID": lastId }) }), cache: "no-store", signal: attempt.signal,
    });
    if (!response.ok) throw await problemOf(response);
    showProblem($("events"), null);
    tell(true);
    const parser = new Parser(), text = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await text.read();
      if (done) return;
      heard();
      parser.feed(value);
    }
  } finally {
    clearTimeout(timer);
    attempt.abort();
  }
}

export async function start() {
  if (reader) return;
  const mine = (reader = {});
  while (reader === mine) {
    try {
      mine.attempt = new AbortController();
      await follow(mine.attempt);
    } catch (error) {
      if (reader !== mine) return;
      if (error.status === 401 || error.status === 403) {
        tell(null);
        showProblem($("events"), error);
        if (error.status === 401) session.onUnauthorized(error);
        reader = null;
        return;
      }
    }
    if (reader !== mine) return;
    tell(false);
    await new Promise((done) => setTimeout(done, AGAIN_MS));
  }
}

export function stop() {
  reader?.attempt.abort();
  reader = null;
  tell(null);
}

export function forget() {
  stop();
  events.length = 0;
  lastId = null;
  $("latest").replaceChildren();
  showAll();
}

$("events-filter").elements.type.addEventListener("change", showAll);
$("events-filter").addEventListener("submit", (event) => event.preventDefault());
$("events-hold").addEventListener("click", () => {
  held = !held;
  $("events-hold").setAttribute("aria-pressed", String(held));
  tell(live);
  if (!held) showAll();
});
$("events-clear").addEventListener("click", () => {
  events.length = 0;
  showAll();
});

export async function poll() {}
