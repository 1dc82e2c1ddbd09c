// The allocations that live now: found by user or address, looked into, closed.

import { call, get } from "/dashboard/api.js";
import { $, announce, confirm, el, setText, showProblem, Table } from "/dashboard/dom.js";
import { bits, bytes, count, duration } from "/dashboard/format.js";
import { Pager } from "/dashboard/pager.js";
import { guardNow } from "/dashboard/rights.js";

const table = new Table($("allocations-table"), "Allocations that live now", [
  { label: "User", cell: (a) => (a.user === a.owner ? a.user : el("div", {}, el("div", {}, a.owner), el("code", { class: "muted" }, a.user))) },
  { label: "Client", address: true, cell: (a) => `${a.client}/${a.transport}` },
  { label: "Relayed address", address: true, cell: (a) => a.relayed.join("\n") },
  { label: "From client", number: true, cell: (a) => bits(a.bps_up) },
  { label: "To client", number: true, cell: (a) => bits(a.bps_down) },
  { label: "Relayed", number: true, cell: (a) => bytes(a.bytes_up + a.bytes_down) },
  { label: "Age", number: true, cell: (a) => duration(a.age_s) },
  { label: "", make: (a, row) => [
    el("button", { type: "button", class: "small", onclick: () => showDetails(row.item) }, "Details"),
    el("button", { type: "button", class: "small danger", onclick: () => kick(row.item) }, "Disconnect"),
  ], renew: (cell, a) => {
    cell.firstChild.setAttribute("aria-label", `Details of ${a.user}, ${a.client}`);
    cell.lastChild.setAttribute("aria-label", `Disconnect ${a.user}, ${a.client}`);
    guardNow(cell.lastChild);
  } },
], "Nobody has an allocation that fits.");

const pager = new Pager("allocations", refresh);

async function refresh() {
  const wanted = pager.state();
  try {
    const page = await get("/allocations", { ...wanted.query, limit: 50 });
    if (!pager.isStill(wanted)) return;
    table.update(page.items);
    pager.show(page);
    showProblem($("allocations"), null);
  } catch (error) {
    if (error.status === 401 || !pager.isStill(wanted)) return;
    pager.fail();
    if (error.status !== 0) table.forget("Not shown.");
    showProblem($("allocations"), error);
  }
}

function kick(a) {
  confirm({
    title: "Disconnect this client?",
    text: `The call of ${a.user} from ${a.client} through ${a.relayed[0]} ends at once. The user can start a new one.`,
    yes: "Disconnect",
    work: async () => {
      try {
        await call("DELETE", `/allocations/${encodeURIComponent(a.id)}`);
      } catch (error) {
        if (error.status !== 404) throw error; // it has ended by itself
      }
      announce(`${a.user} is disconnected.`);
      await refresh();
    },
  });
}

let shown = null;

function facts(a) {
  return [
    ["User", a.user], ["Owner", a.owner], ["Client", `${a.client} over ${a.transport.toUpperCase()}, at ${a.server}`],
    ["Relayed address", a.relayed.join("\n")], ["Age", duration(a.age_s)], ["Expires in", duration(a.expires_in_s)],
    ["From the client", `${bits(a.bps_up)}, ${bytes(a.bytes_up)} in ${count(a.packets_up)} packets`],
    ["To the client", `${bits(a.bps_down)}, ${bytes(a.bytes_down)} in ${count(a.packets_down)} packets`],
    ["Worker", String(a.worker)],
  ];
}

function build(a) {
  const list = el("dl", { class: "facts" }, ...facts(a).map(([name]) => el("div", {}, el("dt", {}, name), el("dd", {}))));
  const permissions = el("div", { class: "table" }), channels = el("div", { class: "table" });
  $("details-body").replaceChildren(list, el("h3", {}, "Permissions"), permissions, el("h3", {}, "Channels"), channels);
  shown.list = list;
  shown.permissions = new Table(permissions, "Permissions", [
    { label: "Peer", cell: (p) => p.peer }, { label: "Expires in", number: true, cell: (p) => duration(p.expires_in_s) }], "None.");
  shown.channels = new Table(channels, "Channels", [
    { label: "Number", cell: (c) => c.number }, { label: "Peer", cell: (c) => c.peer },
    { label: "Expires in", number: true, cell: (c) => duration(c.expires_in_s) }], "None.");
}

async function refreshDetails() {
  const mine = shown;
  try {
    const a = await get(`/allocations/${encodeURIComponent(mine.id)}`);
    if (shown !== mine) return;
    if (!mine.list) build(a);
    facts(a).forEach(([, value], i) => setText(mine.list.children[i].lastChild, value));
    mine.permissions.update(a.permissions.map((p) => ({ id: p.peer, ...p })));
    mine.channels.update(a.channels.map((c) => ({ id: c.number, ...c })));
    showProblem($("details"), null);
  } catch (error) {
    if (shown === mine) showProblem($("details"), error.status === 404 ? new Error("This allocation has ended.") : error);
  }
}

async function showDetails(a) {
  const dialog = $("details");
  shown = { id: a.id };
  setText($("details-title"), `Allocation of ${a.user}`);
  $("details-body").replaceChildren();
  showProblem(dialog, null);
  dialog.showModal();
  $("details-close").focus();
  await refreshDetails();
}

$("details").addEventListener("close", () => $("details").open || (shown = null)); // it is told late: another may be shown by then
$("details-close").addEventListener("click", () => $("details").close());

export async function poll() {
  await Promise.all([refresh(), shown ? refreshDetails() : null]);
}
