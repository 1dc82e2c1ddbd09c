// Credentials: issued, listed, revoked; and what their owners have used.

import { call, get, newKey } from "/dashboard/api.js";
import { $, announce, confirm, copy, copyLine, el, lines, onSubmit, setText, showProblem, Table } from "/dashboard/dom.js";
import { bits, bytes, count, duration, orNone, when } from "/dashboard/format.js";
import { Pager } from "/dashboard/pager.js";
import { guard, guardNow } from "/dashboard/rights.js";

// ---- the list ----
const table = new Table($("tokens-table"), "Credentials", [
  { label: "Owner", cell: (t) => t.owner },
  { label: "Label", cell: (t) => t.label ?? "" },
  { label: "User name", cell: (t) => el("code", {}, t.id) },
  { label: "State", cell: (t) => el("span", { class: "state", "data-state": t.state }, t.state) },
  { label: "Expires", cell: (t) => orNone(t.expires_at, when).replace("none", "never") },
  { label: "Limits", cell: limits },
  { label: "", make: (t, row) => [
    el("button", { type: "button", class: "small", onclick: () => showUse(row.item) }, "Usage"),
    el("button", { type: "button", class: "small danger", onclick: () => revoke(row.item) }, "Revoke"),
  ], renew: (cell, t) => {
    cell.firstChild.setAttribute("aria-label", `Usage of ${t.owner}, ${t.label ?? t.id}`);
    cell.lastChild.setAttribute("aria-label", `Revoke the credential of ${t.owner}, ${t.label ?? t.id}`);
    guardNow(cell.lastChild, "credentials");
    cell.lastChild.hidden = t.state === "revoked" || t.state === "expired";
  } },
], "No credential fits.");

function limits(t) {
  const out = [];
  if (t.max_allocations) out.push(`${count(t.max_allocations)} allocations`);
  if (t.max_bps) out.push(bits(t.max_bps));
  if (t.max_bytes) out.push(bytes(t.max_bytes));
  if (t.peers.length) out.push(`peers ${t.peers.join(", ")}`);
  return out.join("\n") || "none";
}

const pager = new Pager("tokens", refresh);

async function refresh() {
  const wanted = pager.state();
  try {
    const page = await get("/tokens", { ...wanted.query, limit: 50 });
    if (!pager.isStill(wanted)) return;
    table.update(page.items);
    pager.show(page);
    showProblem($("credentials"), null);
  } catch (error) {
    if (error.status === 401 || !pager.isStill(wanted)) return;
    pager.fail();
    if (error.status !== 0) table.forget("Not shown.");
    showProblem($("credentials"), error);
  }
}

function revoke(t) {
  confirm({
    title: "Revoke this credential?",
    text: `${t.owner}${t.label ? `, ${t.label}` : ""}: it is refused from now on, on every node, and its calls end at once. This can't be undone.`,
    yes: "Revoke it",
    work: async () => {
      await call("DELETE", `/tokens/${encodeURIComponent(t.id)}`);
      announce(`The credential of ${t.owner} is revoked.`);
      await refresh();
    },
  });
}

let useShown = null; // an answer that comes late is not shown under another name

async function showUse(t) {
  const dialog = $("details"), body = $("details-body"), mine = (useShown = {});
  setText($("details-title"), `${t.owner}${t.label ? `, ${t.label}` : ""}`);
  body.replaceChildren();
  showProblem(dialog, null);
  dialog.showModal();
  $("details-close").focus();
  try {
    const one = await get(`/tokens/${encodeURIComponent(t.id)}`), use = one.usage;
    if (useShown !== mine || !dialog.open) return;
    const facts = [
      ["User name", one.id], ["Serves for", one.scope], ["Issued", orNone(one.issued_at, when)],
      ["From its clients", `${bytes(use.bytes_up)} in ${count(use.packets_up)} packets`],
      ["To its clients", `${bytes(use.bytes_down)} in ${count(use.packets_down)} packets`],
      ["Allocations", `${count(use.allocations)}, ${duration(use.seconds)} in all`], ["Limits", limits(one)],
    ];
    body.replaceChildren(el("dl", { class: "facts" }, ...facts.map(([n, v]) => el("div", {}, el("dt", {}, n), el("dd", {}, v)))));
  } catch (error) {
    if (useShown === mine) showProblem(dialog, error);
  }
}

$("details").addEventListener("close", () => $("details").open || (useShown = null)); // it is told late: another may be shown by then

// ---- a new one ----
let key; // of the one that is being issued: pressed twice, or tried again, it is still one

const number = (form, name, factor = 1) => (form.get(name) ? Math.round(Number(form.get(name)) * factor) : undefined);

$("issue").addEventListener("click", () => {
  key = newKey();
  $("issue-form").reset();
  $("issue-form").hidden = false;
  $("issued").hidden = true;
  showProblem($("issue-form"), null);
  $("issue-form").elements.ttl.disabled = false;
  $("issue-dialog").showModal();
  $("issue-form").elements.owner.focus();
});

$("issue-form").elements.unit.addEventListener("change", (event) => {
  $("issue-form").elements.ttl.disabled = event.target.value === "";
});
$("issue-form").addEventListener("input", () => (key = newKey()));

onSubmit($("issue-form"), async (form) => {
  const body = {
    owner: form.get("owner"), ttl: form.get("unit") ? number(form, "ttl", Number(form.get("unit"))) : null,
    label: form.get("label") || undefined, max_allocations: number(form, "max_allocations"),
    max_bps: number(form, "max_kbps", 1000), max_bytes: number(form, "max_mb", 1000000), peers: lines(form.get("peers")),
  };
  if (!body.peers.length) delete body.peers;
  const mine = key, issued = await call("POST", "/tokens", { body, key: mine });
  if ($("issue-dialog").open && key === mine) showIssued(issued);
  else announce(`A credential of ${issued.owner} is issued, but not shown: revoke it.`);
  await refresh();
});

function showIssued(t) {
  const ice = { iceServers: [{ urls: t.urls.filter((u) => u.startsWith("stun")) },
    { urls: t.urls.filter((u) => !u.startsWith("stun")), username: t.username, credential: t.password }].filter((s) => s.urls.length) };
  const values = [["User name", t.username], ["Password", t.password], ...t.urls.map((u) => ["Address", u])];
  $("issued-values").replaceChildren(...values.map(([name, value]) => {
    const line = copyLine(value, name === "Address" ? undefined : name);
    line.prepend(el("span", { class: "muted" }, name));
    return line;
  }));
  $("issued-json").onclick = () => copy(JSON.stringify(ice, null, 2), "The iceServers");
  setText($("issued-title"), `The credential of ${t.owner}`);
  $("issue-form").hidden = true;
  $("issue-form").reset();
  $("issued").hidden = false;
  $("issued-title").focus();
}

// The password does not outlive the dialog.
$("issue-dialog").addEventListener("close", () => {
  $("issued-values").replaceChildren();
  $("issued-json").onclick = null;
});
$("issue-cancel").addEventListener("click", () => $("issue-dialog").close());
$("issued-close").addEventListener("click", () => $("issue-dialog").close());

// ---- time-limited names ----
$("revoke-user").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = $("revoke-user"), user = form.elements.user.value.trim();
  showProblem(form, null);
  confirm({
    title: `Revoke the names of ${user}?`,
    text: "Every time-limited name of this user that was handed out until now is refused, and its calls end. Names that are handed out later are served.",
    yes: "Revoke them",
    work: async () => {
      await call("POST", `/credentials/${encodeURIComponent(user)}/revoke`, { body: {}, key: newKey() });
      form.reset();
      announce(`The names of ${user} are revoked.`);
    },
  });
});

// ---- usage ----
const usage = new Table($("usage-table"), "Usage by owner", [
  { label: "Owner", cell: (u) => u.owner },
  { label: "Label", cell: (u) => u.label ?? "" },
  { label: "From", cell: (u) => (u.from === null ? "the start" : when(u.from)) },
  { label: "From clients", number: true, cell: (u) => bytes(u.bytes_up) },
  { label: "To clients", number: true, cell: (u) => bytes(u.bytes_down) },
  { label: "Allocations", number: true, cell: (u) => count(u.allocations) },
  { label: "Time", number: true, cell: (u) => duration(u.seconds) },
  { label: "Peak", number: true, cell: (u) => orNone(u.peak, count).replace("none", "–") },
], "Nobody has used anything yet.");

const USAGE_MS = 6000; // sums over all owners: asked for less often
let usageAt = 0;

const usagePager = new Pager("usage", refreshUsage);

async function refreshUsage() {
  const wanted = usagePager.state();
  usageAt = Date.now();
  try {
    const page = await get("/usage", { by: $("usage-by").value, ...wanted.query, limit: 50 });
    if (!usagePager.isStill(wanted)) return;
    usage.update(page.items);
    usagePager.show(page);
    showProblem($("usage-problem"), null);
  } catch (error) {
    if (error.status === 401 || !usagePager.isStill(wanted)) return;
    usagePager.fail();
    if (error.status !== 0) usage.forget("Not shown.");
    showProblem($("usage-problem"), error);
  }
}

$("usage-by").addEventListener("change", () => usagePager.go(""));

guard($("issue"), "credentials");
guard($("revoke-user"), "credentials");

export async function poll() {
  await Promise.all([refresh(), Date.now() - usageAt >= USAGE_MS ? refreshUsage() : null]);
}
