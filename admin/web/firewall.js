// The five rules as traffic lights: those of each bridge's place, which it proves when it is asked; those of a browser's place, where only a browser can.

import { get, session } from "/dashboard/api.js";
import { $, copy, copyLine, el, onSubmit, setLamp, setList, setText, showProblem } from "/dashboard/dom.js";
import { onProbe } from "/dashboard/events.js";
import { when } from "/dashboard/format.js";
import * as probes from "/dashboard/probes.js";

const RULES = [
  { number: 1, source: "server", destination: "connect" },
  { number: 2, source: "browser", destination: "app" },
  { number: 3, source: "browser", destination: "connect" },
  { number: 4, source: "server", destination: "relay" },
  { number: 5, source: "browser", destination: "relay" },
];
const SOURCES = { server: "office", browser: "browser" };
const DESTINATIONS = { connect: "connect service", app: "web app", relay: "relay" };

// ---- where things are, by what the relay says of itself ----
const CONFIG_MS = 60000; // a reload may change it
let status = null, connectUrl = null, askedAt = -CONFIG_MS;

const portOf = (address) => address?.match(/:(\d+)$/)?.[1];

function serviceOf(destination) {
  if (destination === "relay") {
    const [, host, port] = status.urls.find((u) => !/^turns|transport=tcp/.test(u))?.match(/^\w+:(\[[^\]]+\]|[^:?]+)(?::(\d+))?/) ?? [];
    return { host, protocol: "udp", port: port ?? "3478" };
  }
  return { protocol: "tcp", port: portOf(destination === "app" ? status.connect.app_listen : status.connect.listen) ?? "443" };
}

// The page for a browser's rules; null: at which host it is reached, only people know.
function pageUrl() {
  const { listen, app_listen: app, certificate } = status.connect, scheme = certificate ? "https" : "http";
  if (!app) return null;
  if (connectUrl && app === listen) return `${scheme}://${new URL(connectUrl).host}/check`;
  return /^(0\.0\.0\.0|\[::\]):/.test(app) ? null : `${scheme}://${app.replace(certificate ? /:443$/ : /:80$/, "")}/check`;
}

function showPage() {
  const url = pageUrl(), none = !status.connect.app_listen;
  setList($("firewall-page"), url ? [url] : [], (u) => {
    const line = copyLine(u);
    line.firstChild.replaceChildren(el("a", { href: u, target: "_blank", rel: "noopener" }, u));
    return line;
  });
  setText($("firewall-page-words"), url ? "Whoever is to call opens this page there, with the name and password of a phone's token:"
    : none ? "This relay delivers no page (app-listen); turnpike-probe --role browser proves the same there."
    : "Whoever is to call opens /check there, on the host of the softphone page, with the name and password of a phone's token.");
}

// ---- one rule ----
function wayOf(rule) {
  const service = rule.port ? rule : serviceOf(rule.destination), to = DESTINATIONS[rule.destination];
  const host = service.host ?? service.address?.replace(/:\d+$/, "");
  return `${SOURCES[rule.source]} → ${[to ?? (host ? null : rule.destination), host].filter((t) => t).join(" ")}, ${service.protocol}/${service.port}`;
}

const sentence = (text) => (text ? `${text[0].toUpperCase()}${text.slice(1)}.` : "");

class Line {
  constructor(number) {
    this.lamp = el("strong", { class: "lamp" });
    this.way = el("span", { class: "way" });
    this.evidence = el("p", { class: "muted evidence" });
    this.cure = el("p", {}, el("code", { class: "code" }), el("span", {}));
    this.added = el("code", {});
    this.copy = el("button", { type: "button", class: "small", onclick: () => copy(this.added.textContent, "The line") }, "Copy");
    this.copy.setAttribute("aria-label", `Copy the line for rule ${number}`);
    this.add = el("p", { class: "add" }, "Add: ", this.added, this.copy);
    this.node = el("li", { "data-rule": number }, this.lamp, el("div", {}, el("p", {}, el("strong", {}, `Rule ${number}`), " ", this.way), this.evidence, this.cure, this.add));
  }

  show(rule, verdict, words) {
    this.node.dataset.verdict = verdict;
    setLamp(this.lamp, verdict, words);
    setText(this.way, wayOf(rule));
    for (const [node, text] of [[this.evidence, rule.evidence], [this.cure.lastChild, sentence(rule.cure)], [this.cure.firstChild, rule.code], [this.added, rule.add]]) setText(node, text ?? "");
    this.evidence.hidden = !rule.evidence;
    this.cure.hidden = !rule.code;
    this.add.hidden = !rule.add;
  }
}

// Those of the office, and whatever else its bridge has proven.
function rulesOf(report) {
  const found = new Map((report?.rules ?? []).map((r) => [r.number, r]));
  const untried = RULES.filter((r) => r.source === "server" && !found.has(r.number));
  return [...untried, ...found.values()].sort((a, b) => a.number - b.number);
}

// ---- one bridge ----
function summary(report) {
  const of = (verdict) => report.rules.filter((r) => r.verdict === verdict).map((r) => r.number);
  const said = (numbers, one, many) => `Rule${numbers.length > 1 ? "s" : ""} ${numbers.join(", ")} ${numbers.length > 1 ? many : one}`;
  const failed = of("FAIL"), warned = of("WARN"), untried = of("SKIP");
  if (failed.length) return `${said(failed, "does", "do")} not hold.`;
  if (warned.length) return `${said(warned, "holds", "hold")}, with a warning.`;
  return untried.length ? `${said(untried, "was", "were")} not tried.` : "The office's rules hold.";
}

function wordsOf({ newest, proven, report }) {
  const last = report ? `${summary(report)} Checked ${when(proven.ended)}${proven.quick ? ", quick: short waits and no idle times" : ""}.` : "";
  if (newest?.state === "running") {
    return [newest.of ? `Checking: ${newest.done} of ${newest.of} rules have their verdict` : "Checking …", last && `Before: ${last}`];
  }
  if (newest?.state === "failed") return [`The check of ${when(newest.ended)} came to no end: ${newest.error}`, last && `Before: ${last}`];
  return [last || "Never checked since this relay was started."];
}

class Card {
  constructor(bridge) {
    this.id = bridge.id;
    this.title = el("h2", { id: `bridge-${bridge.id}`, tabindex: "-1" });
    this.lamp = el("strong", { class: "lamp" });
    this.state = el("p", { role: "status" });
    this.before = el("p", { class: "muted" });
    this.progress = el("progress", { "aria-label": "Steps of the check" });
    this.button = el("button", { class: "main" }, "Check now");
    this.form = el("form", { class: "actions check" },
      el("label", { class: "inline" }, "Check", el("select", { name: "quick" }, el("option", { value: "" }, "all, some minutes"), el("option", { value: "1" }, "quick, some seconds"))), this.button,
      el("p", { class: "problem", role: "alert", hidden: true }));
    this.list = el("ul", { class: "lights" });
    this.lines = new Map();
    this.node = el("section", { class: "card bridge", "aria-labelledby": this.title.id },
      el("div", { class: "title" }, this.title, this.lamp), this.state, this.progress, this.before, this.form, this.list);
    onSubmit(this.form, (form) => this.check(form.get("quick") === "1"));
  }

  async check(quick) {
    if (this.button.getAttribute("aria-disabled") === "true") return;
    await probes.start(this.id, quick);
    draw();
  }

  show(place) {
    const { bridge, newest, report } = place, running = newest?.state === "running", [state, before] = wordsOf(place);
    const at = this.node.contains(document.activeElement) ? document.activeElement : null;
    setText(this.title, [bridge.name || "Bridge", bridge.tenant].filter((t) => t).join(", "));
    setLamp(this.lamp, running ? "SKIP" : probes.verdictOf(place), running ? "checking" : null);
    setText(this.state, bridge.connected ? state : `This bridge has lost its connection. ${state}`);
    setText(this.before, before ?? "");
    this.before.hidden = !before;
    this.progress.hidden = !running;
    if (running && newest.of) Object.assign(this.progress, { max: newest.of, value: newest.done });
    else this.progress.removeAttribute("value");
    this.form.hidden = !session.may();
    this.button.setAttribute("aria-disabled", String(running || !bridge.connected)); // not `disabled`: it keeps the focus
    this.showRules(rulesOf(report));
    if (at && !(at.isConnected && at.checkVisibility())) this.title.focus({ preventScroll: true }); // the line that was to be copied is there no more
  }

  showRules(rules) {
    const wanted = new Set(rules.map((r) => r.number));
    for (const [number, line] of this.lines) {
      if (wanted.has(number)) continue;
      line.node.remove();
      this.lines.delete(number);
    }
    rules.forEach((rule, i) => {
      if (!this.lines.has(rule.number)) this.lines.set(rule.number, new Line(rule.number));
      const line = this.lines.get(rule.number);
      line.show(rule, rule.verdict ?? "SKIP");
      if (this.list.children[i] !== line.node) this.list.insertBefore(line.node, this.list.children[i] ?? null);
    });
  }
}

// ---- the view ----
const cards = new Map();
const others = RULES.filter((r) => r.source === "browser").map((rule) => ({ rule, line: new Line(rule.number) }));
$("firewall-others").append(...others.map(({ line }) => line.node));

function showCards(places) {
  const wanted = new Set(places.map((p) => p.bridge.id));
  for (const [id, card] of cards) {
    if (wanted.has(id)) continue;
    if (card.node.contains(document.activeElement)) $("content").focus({ preventScroll: true });
    card.node.remove();
    cards.delete(id);
  }
  places.forEach((place, i) => {
    if (!cards.has(place.bridge.id)) cards.set(place.bridge.id, new Card(place.bridge));
    const card = cards.get(place.bridge.id), list = $("firewall-bridges");
    card.show(place);
    if (list.children[i] !== card.node) list.insertBefore(card.node, list.children[i] ?? null);
  });
}

function draw(known = true) {
  const places = probes.places();
  showCards(places);
  $("firewall-none").hidden = !known || places.length > 0;
  $("firewall-denied").hidden = session.may() || places.length === 0;
}

async function getUrl() {
  if (Date.now() - askedAt < CONFIG_MS) return;
  const { items } = await get("/config", { limit: 1000 });
  connectUrl = items.find((i) => i.id === "connect-url")?.value ?? null;
  askedAt = Date.now();
}

export function showStatus(now) {
  status = now;
  const there = Boolean(now.connect?.listen);
  $("firewall-away").hidden = there;
  for (const id of ["firewall-bridges", "firewall-at-users"]) $(id).hidden = !there;
  if (!there) $("firewall-none").hidden = true;
}

export async function poll() {
  if (!status?.connect?.listen) return; // an event may come before the relay has said what it is
  try {
    await getUrl();
    showPage();
    for (const { rule, line } of others) line.show(rule, "SKIP", "seen there");
    if (await probes.refresh(true)) draw();
    showProblem($("firewall"), null);
  } catch (error) {
    if (error.status === 401) return;
    if (error.status !== 0) {
      probes.forget();
      draw(false);
    }
    showProblem($("firewall"), error);
  }
}

// Between two questions: the steps as they are done; what a check has found is asked for at once.
onProbe((event) => {
  if ($("firewall").hidden) return;
  if (event.state === "running" && probes.take(event)) draw();
  else poll();
});
