// The page: who is signed in, what goes on, what is seen of it. The call is call.js's, the connection link.js's.

import { Call, RESUMED_MS } from "./call.js";
import * as devices from "./devices.js";
import { $, announce, setText } from "./dom.js";
import { Link } from "./link.js";
import * as pad from "./pad.js";
import { prefs, token } from "./prefs.js";
import * as quality from "./quality.js";
import * as ring from "./ring.js";
import * as trouble from "./trouble.js";

const LOOK_MS = 1000; // between two looks at the statistics
const REFRESH = 0.5; // of the time that ICE servers are good for
const REFRESH_MAX_MS = 2 ** 31 - 1; // of setTimeout
const NUMBER = /^[0-9*#+a-zA-Z._-]{1,64}$/;

const WORDS = {
  calling: "Calling …",
  ringing: "Ringing …",
  incoming: "Incoming call",
  answering: "Answering …",
  talking: "In call",
};
const ENDS = {
  hangup: "The call has ended.",
  busy: "Busy.",
  declined: "Declined.",
  no_answer: "Nobody answers.",
  unknown_number: "There is no such number.",
  cancelled: "The caller has hung up.",
  elsewhere: "Answered on another phone.",
  params: "This is no number that can be called.",
};

let link = null, call = null, looking = null, servers = [], connect = null, refresher = null, bridges = 0, complained = null;

// ---- signing in and out ----
function refuse(text) {
  $("sign-in-problem").hidden = !text;
  setText($("sign-in-problem"), text ?? "");
}

function pill(state, text) {
  $("pill").dataset.state = state;
  setText($("pill-text"), text);
}

function showSignIn(yes) {
  $("sign-in").hidden = !yes;
  $("phone").hidden = $("sign-out").hidden = yes;
}

function signIn(credentials) {
  link?.close();
  refuse(null);
  pill("unknown", "Connecting");
  $("sign-in-button").setAttribute("aria-busy", "true");
  link = new Link(connect, credentials, { up, down, refused, message });
  link.open();
}

function up(hello, resumed) {
  const first = !$("sign-in").hidden;
  $("sign-in-button").removeAttribute("aria-busy");
  $("sign-in-form").reset();
  showSignIn(false);
  setText($("who"), hello.user);
  take(hello.ice);
  complained = null;
  trouble.hide("service_silent", "service_closed", "unavailable");
  present(hello.bridges ?? bridges);
  if (!resumed) call?.lose();
  else catchUp(hello.calls);
  if (first) rest();
  render();
}

// The service repeats what rings; what we know nothing of a moment later was begun when the connection broke.
function catchUp(calls) {
  const mine = link;
  call?.resume(calls.find(({ call: id }) => id === call.id)?.state);
  setTimeout(() => {
    for (const { call: id } of calls) if (id !== call?.id && mine === link) link.notify("call.hangup", { call: id, reason: "cancelled" });
  }, RESUMED_MS);
}

function down(why) {
  if ($("sign-in").hidden) pill("warn", "Reconnecting");
  else pill("bad", "No connection");
  if (why !== "lost" && why !== complained) trouble.show(why === "unavailable" ? why : `service_${why}`);
  if (why !== "lost") complained = why; // once: who has read it, and closed it, need not read it with every try
  render();
}

function refused(error) {
  token.forget();
  if (call?.live) call.lose();
  leave();
  refuse({ unauthorized: "The token is not known, has expired, or the password is wrong.", forbidden: "This token is not meant for a phone." }[error.reason] ?? error.message);
}

function leave() {
  link?.close();
  link = null;
  clearTimeout(refresher);
  trouble.hide();
  $("sign-in-button").removeAttribute("aria-busy");
  pill("unknown", "Signed out");
  setText($("who"), "");
  showSignIn(true);
  render();
}

// ICE servers, and new ones before they are stale.
function take(ice) {
  if (!ice) return;
  servers = ice.iceServers;
  trouble.know({ servers });
  clearTimeout(refresher);
  refresher = setTimeout(probe, Math.min(1000 * REFRESH * ice.ttl, REFRESH_MAX_MS));
}

async function probe() {
  take(await link?.probe());
}

function present(n) {
  bridges = n;
  if (bridges) trouble.hide("no_bridge");
  pill(bridges ? "good" : "warn", bridges ? "Ready" : "Office offline");
}

// ---- messages ----
function message(method, params) {
  if (method === "presence" && params.bridges !== undefined) present(params.bridges);
  else if (method === "call.incoming") incoming(params);
  else if (call && params.call === call.id) call.hear(method, params);
}

function incoming({ call: id, from, name }) {
  if (call?.live) {
    if (id === call.id) call.again();
    else link.notify("call.hangup", { call: id, reason: "busy" });
    return;
  }
  start({ id, from, name });
  call.ring();
  $("answer").focus();
}

// ---- the call ----
const settings = {
  servers: () => servers,
  get relayOnly() {
    return prefs.get("relay", false);
  },
};

const events = {
  change: () => render(),
  ended,
  heard: (stream) => {
    $("remote").srcObject = stream;
    devices.listenWith($("remote"));
  },
  office: (what) => quality.said(what),
  digits: (digits) => announce(`The other side has pressed ${digits}.`),
  trouble: (name, said) => (name ? trouble.show(name, said) : trouble.hide()),
};

function start(what) {
  trouble.hide();
  quality.reset();
  setText($("outcome"), "");
  $("keys").setAttribute("aria-pressed", "false");
  call = new Call(link, settings, events, what);
  looking = setInterval(look, LOOK_MS);
  render();
}

function dial() {
  const typed = $("number").value.trim(), to = /^[\d\s()/.+*#-]+$/.test(typed) ? typed.replace(/[\s()/.-]/g, "") : typed;
  if (!NUMBER.test(to)) {
    setText($("outcome"), to ? "A number has digits, * and #, or is a name without spaces." : "Type a number first.");
    $("number").focus();
    return;
  }
  start({ to });
  $("hang-up").focus();
  call.dial();
}

async function look() {
  const mine = call, figures = await mine?.stats();
  if (figures && mine === call) quality.show(figures, call.media, call.setup);
  if (figures?.received && call.state === "ringing") ring.stop(); // the office sends a tone of its own
  clock();
}

function ended({ end }) {
  clearInterval(looking);
  $("remote").srcObject = null;
  $("remote").pause();
  if (end.reason === "busy" && end.by !== "phone") ring.play("busy");
  const own = end.by === "phone" && ["cancelled", "declined"].includes(end.reason);
  setText($("outcome"), own && !end.trouble ? ENDS.hangup : (ENDS[end.reason] ?? `The call has failed${end.text && !end.trouble ? `: ${end.text}` : "."}`));
  if (end.trouble) trouble.show(end.trouble, end.said ?? (end.by === "phone" ? null : end.text));
  render();
  if (end.trouble) $("trouble").focus();
  else rest();
}

// Where the next number is typed; on a telephone's screen that would bring up its keyboard, over our keys.
function rest() {
  (matchMedia("(pointer: coarse)").matches ? $("content") : $("number")).focus();
}

// ---- what is seen ----
const two = (n) => String(n).padStart(2, "0");

function clock() {
  const s = call?.since ? Math.floor((performance.now() - call.since) / 1000) : 0, h = Math.floor(s / 3600);
  setText($("clock"), call?.since ? `${h ? `${h}:` : ""}${two(Math.floor(s / 60) % 60)}:${two(s % 60)}` : "");
}

function status() {
  if (call.state === "talking" && call.media === "checking") return "Connecting the sound …";
  if (call.media === "reconnecting") return "Looking for another way …";
  if (call.isHeld) return "On hold";
  if (call.isHeldThere) return "The other side holds";
  return call.isMuted && call.state === "talking" ? "Muted" : WORDS[call.state];
}

function toggle(id, on, words) {
  $(id).setAttribute("aria-pressed", String(on));
  setText($(`${id}-text`), words[on ? 1 : 0]);
}

let toned = null;

// Each state has its tone; it begins once.
function sound(state) {
  if (toned === state) return;
  toned = state;
  if (state === "ringing") ring.play("ringback");
  else if (state === "incoming") ring.play("ring");
  else if (state !== "ended" && state !== null) ring.stop();
  else if (document.documentElement.dataset.tone !== "busy") ring.stop();
}

function render() {
  const live = Boolean(call?.live), state = live ? call.state : null, talking = state === "talking";
  $("phone").dataset.state = state ?? "idle";
  $("dial").hidden = live;
  $("call").hidden = $("quality").hidden = !live || state === "incoming";
  $("incoming").hidden = state !== "incoming";
  $("pad").hidden = live && $("keys").getAttribute("aria-pressed") !== "true";
  for (const id of ["mute", "hold", "keys"]) $(id).disabled = !talking;
  $("clean").disabled = live;
  document.title = state === "incoming" ? `${call.name || call.number} is calling` : "Turnpike phone";
  if (live) {
    const who = call.name || call.number;
    setText($("party"), who);
    setText($("caller"), who);
    setText($("party-number"), call.name ? call.number : "");
    setText($("caller-number"), call.name ? call.number : "");
    setText($("call-state"), status());
    toggle("mute", call.isMuted, ["Mute", "Unmute"]);
    toggle("hold", call.isHeld, ["Hold", "Resume"]);
  }
  if (!testing) watch(live ? call.stream : null);
  clock();
  sound(live ? state : call ? "ended" : null);
}

let watched = null;

function watch(stream) {
  if (watched === stream) return;
  watched = stream;
  devices.watch(stream);
}

// ---- hands ----
let testing = null, tests = 0; // microphones that were asked for: only the last one counts

// The level without a call.
async function test(on) {
  const mine = ++tests;
  devices.close(testing);
  testing = null;
  $("test").setAttribute("aria-pressed", String(on));
  if (on) {
    try {
      const stream = await devices.open();
      if (mine !== tests) {
        devices.close(stream);
        return;
      }
      testing = stream;
      trouble.hide("mic_denied", "mic_missing", "mic_busy", "insecure");
    } catch (error) {
      if (mine !== tests) return;
      $("test").setAttribute("aria-pressed", "false");
      trouble.show(error.trouble ?? "mic_busy", error.message);
    }
  }
  watch(testing ?? call?.stream ?? null);
}

function press(key) {
  if (call?.live) {
    if (key !== "+") call.dtmf(key);
    setText($("sent"), ($("sent").textContent + key).slice(-16));
    return;
  }
  $("number").value += key; // at the end: a field that was tabbed through is selected as a whole
}

function typed(event) {
  const busy = event.target.closest("input, select, textarea, dialog") || event.ctrlKey || event.metaKey || event.altKey;
  if (!busy && call?.state === "talking" && /^[0-9*#]$/.test(event.key)) press(event.key);
}

function wire() {
  $("sign-in-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const form = new FormData(event.target), credentials = { username: form.get("username").trim(), password: form.get("password").trim() };
    if (form.get("keep")) token.keep(credentials);
    signIn(credentials);
  });
  $("sign-out").addEventListener("click", () => {
    call?.hangUp();
    token.forget();
    leave();
  });
  $("dial").addEventListener("submit", (event) => {
    event.preventDefault();
    dial();
  });
  const clicks = {
    "answer": () => {
      call?.accept();
      $("hang-up").focus();
    },
    "decline": () => call?.hangUp(),
    "hang-up": () => call?.hangUp(),
    "mute": () => call?.mute(!call.isMuted),
    "hold": () => call?.hold(!call.isHeld),
    "trouble-close": () => trouble.hide(),
    "test": () => test($("test").getAttribute("aria-pressed") !== "true"),
    "erase": () => {
      $("number").value = $("number").value.slice(0, -1);
      $("number").focus();
    },
    "keys": () => {
      setText($("sent"), "");
      $("keys").setAttribute("aria-pressed", String($("keys").getAttribute("aria-pressed") !== "true"));
      render();
    },
  };
  for (const [id, work] of Object.entries(clicks)) $(id).addEventListener("click", work);
  $("relay").checked = prefs.get("relay", false);
  $("relay").addEventListener("change", () => prefs.set("relay", $("relay").checked));
  document.addEventListener("keydown", typed);
  addEventListener("online", probe);
  addEventListener("pagehide", () => link?.close());
  addEventListener("pageshow", (event) => event.persisted && location.reload()); // out of the browser's cache, signed out without a word
  addEventListener("beforeunload", (event) => call?.live && event.preventDefault());
  document.addEventListener("visibilitychange", () => document.hidden || probe());
  pad.start(press);
  devices.start({
    microphone: () => (testing ? test(true) : call?.changeMicrophone()),
    speaker: () => devices.listenWith($("remote")),
  });
}

async function begin() {
  wire();
  quality.reset();
  if (!window.isSecureContext || !navigator.mediaDevices) trouble.show("insecure");
  try {
    connect = (await (await fetch("config.json", { cache: "no-store" })).json()).connect;
  } catch {
    pill("bad", "No connection");
    refuse("The page's own server does not tell where the service is. Load the page again.");
    return;
  }
  trouble.know({ connect });
  const kept = token.get();
  showSignIn(true);
  pill("unknown", "Signed out");
  if (kept) signIn(kept);
  else $("username").focus();
}

begin();
