// The page that checks a firewall: whom it asks, in which order, and how its findings read. What is checked is checks.js's.

import * as checks from "./checks.js";
import { $, announce, el, setText } from "./dom.js";
import { isTcp, ofRelay, ofService } from "./where.js";

// The rules that a place needs, in the order in which a call does.
const RULES = {
  2: { from: "browser", to: "app" },
  3: { from: "browser", to: "connect" },
  5: { from: "browser", to: "relay" },
  1: { from: "office", to: "connect" },
  4: { from: "office", to: "relay" },
};
const NAMES = { app: "web app", connect: "connect service", relay: "relay" };
const PLACES = { browser: [2, 3, 5], office: [1, 4] };

// What turnpike-probe says of the same codes, for who sits at a browser.
const CURES = {
  tcp_timeout: "A firewall drops it.",
  tcp_rst: "A firewall refuses it, nothing listens there, or somebody else's certificate stands before it.",
  ws_upgrade_stripped: `Allow WebSocket (the Upgrade header) in the proxy or firewall for this destination, and except it from inspection. The service itself may refuse this page, too, if its connect-origin does not name ${location.origin}.`,
  ws_idle_killed: "Let idle connections to this destination live for two minutes at least; where nothing on the way cuts them, see the service's log.",
  token_refused: "Use a token with the scope phone that is still good.",
  dns_failed: "Enter the relay's name in the DNS that this computer asks.",
  udp_timeout: "A firewall drops UDP.",
  turn_401: "The relay does not know the credentials that the service hands out: see the relay's log.",
  turn_486_quota: "Wait until old calls have ended, or raise the quota of this user.",
  turn_refused: "See the relay's log.",
  relay_pair_failed: "See that the token's own peers have the relay's address; else something on the way drops data, but no requests.",
  loss_high: "Look for a line that is full, Wi-Fi that is weak, or a firewall's limit of packets.",
};
const ADDS_RULE = new Set(["tcp_timeout", "tcp_rst", "udp_timeout"]);

let connect = null, stun = null, place = "browser";
const findings = new Map(); // by their rules

// ---- where things are ----
const where = { app: null, connect: null, relay: { host: "", protocol: "UDP", port: 3478 } };

// By what the page's own server tells first, and then the service.
function know(urls) {
  where.relay = ofRelay(urls.filter((u) => /^(stun|turn):/.test(u) && !isTcp(u))) ?? where.relay;
}

function addressOf(to) {
  const { host, protocol, port } = where[to], service = `${protocol.toLowerCase()}/${port}`;
  return host ? `${host} ${service}` : service;
}

function addition(rule) {
  const { from, to } = RULES[rule], { host, protocol, port } = where[to];
  return `allow out ${protocol.toLowerCase()} ${from} -> ${host}:${port}`;
}

// ---- what is seen ----
function pill(state, text) {
  $("pill").dataset.state = state;
  setText($("pill-text"), text);
}

function line(rule, { verdict, code, evidence }) {
  const { from, to } = RULES[rule], adds = code && ADDS_RULE.has(code);
  return el("li", { id: `rule-${rule}`, "data-verdict": verdict, "data-code": code || null },
    el("p", {}, el("strong", { class: "verdict" }, verdict === "RUN" ? "…" : verdict), ` Rule ${rule}: ${from} to the ${NAMES[to]}, ${addressOf(to)}`),
    el("p", { class: "muted" }, code ? `${evidence} (${code})` : evidence),
    code && CURES[code] ? el("p", {}, CURES[code]) : null,
    adds ? el("p", {}, el("code", {}, addition(rule))) : null);
}

function show(rule, finding) {
  const old = $(`rule-${rule}`), fresh = line(rule, finding);
  if (old) old.replaceWith(fresh);
  else $("rules").append(fresh);
}

function found(rule, finding) {
  findings.set(rule, finding);
  show(rule, finding);
}

// The heaviest of all findings; a rule that could not be tried is no rule that passes.
function verdict() {
  const of = (verdict) => [...findings].filter(([, f]) => f.verdict === verdict).map(([rule]) => rule);
  const say = (rules, one, many) => (rules.length > 1 ? `Rules ${rules.join(" and ")} ${many}` : `Rule ${rules[0]} ${one}`);
  const failed = of("FAIL"), skipped = of("SKIP");
  if (failed.length) return ["bad", say(failed, "fails", "fail")];
  if (skipped.length) return ["warn", say(skipped, "was not tried", "were not tried")];
  return of("WARN").length ? ["warn", "All rules pass, with a warning"] : ["good", "All rules pass"];
}

function conclude() {
  const [state, words] = verdict();
  pill(state, words);
  setText($("findings-title"), words);
  for (const id of ["again", "copy"]) $(id).disabled = false;
  $("findings-title").focus();
}

// As turnpike-probe's table has it.
function text() {
  return [...findings].map(([rule, { verdict, code, evidence }]) => {
    const { from, to } = RULES[rule];
    return `${verdict}  ${rule}  ${from} -> ${to} ${addressOf(to)}  ${code ? `${code}: ` : ""}${evidence}${code && ADDS_RULE.has(code) ? `  add: ${addition(rule)}` : ""}`;
  }).join("\n") + "\n";
}

// ---- a run ----
// What a browser throws is no finding about the firewall.
const stuck = (error) => checks.skip(`this browser can't go on: ${error.message}`);

async function run(token) {
  const rules = PLACES[place], [toConnect, toRelay] = rules.slice(-2);
  findings.clear();
  $("rules").replaceChildren();
  $("ask").hidden = true;
  $("findings").hidden = false;
  for (const id of ["again", "copy"]) $(id).disabled = true;
  setText($("findings-title"), "Checking …");
  pill("unknown", "Checking");
  for (const rule of rules) show(rule, { verdict: "RUN", evidence: "" });
  if (place === "browser") found(2, checks.page());
  const { finding, hello, link, cut } = await checks.service(connect, token).catch((error) => ({ finding: stuck(error) })); // it opens no WebSocket to there
  const servers = hello?.ice?.iceServers ?? [];
  found(toConnect, finding);
  try {
    know(servers.flatMap((s) => s.urls).filter((u) => u.startsWith("turn:")));
    found(toRelay, hello ? await checks.relay(servers, (evidence) => show(toRelay, { verdict: "RUN", evidence })) : await checks.binding(stun));
  } catch (error) {
    found(toRelay, stuck(error)); // what it has of WebRTC is older, or less, than a call needs
  }
  if (cut?.()) found(toConnect, cut());
  link?.close();
  conclude();
}

async function begin() {
  $("ask-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    place = form.get("place");
    run({ username: form.get("username").trim(), password: form.get("password").trim() });
  });
  $("again").addEventListener("click", () => {
    $("findings").hidden = true;
    $("ask").hidden = false;
    pill("unknown", "Ready");
    $("start").focus();
  });
  $("copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text());
      announce("Copied.");
    } catch {
      announce("This browser does not let the page copy: mark the text instead.");
    }
  });
  try {
    ({ connect, stun } = await (await fetch("config.json", { cache: "no-store" })).json());
  } catch {
    pill("bad", "No connection");
    $("ask-problem").hidden = false;
    setText($("ask-problem"), "The page's own server does not tell where the service is. Load the page again.");
    return;
  }
  where.app = ofService(location.href);
  where.connect = ofService(connect);
  know(stun ? [stun] : []);
  pill("unknown", "Ready");
  $("start").disabled = false;
  $("username").focus();
}

begin();
