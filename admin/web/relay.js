// The nodes of the fleet, and what can be done to this one: drain, log level, reload.

import { call, get, newKey } from "/dashboard/api.js";
import { $, announce, confirm, el, onSubmit, setText, showProblem, Table } from "/dashboard/dom.js";
import { count, percent, when } from "/dashboard/format.js";
import { guard } from "/dashboard/rights.js";

const table = new Table($("nodes-table"), "Nodes", [
  { label: "Node", cell: (n) => n.id },
  { label: "State", cell: (n) => el("span", { class: "state", "data-state": n.state }, n.state) },
  { label: "Allocations", number: true, cell: (n) => count(n.allocations) },
  { label: "Load", number: true, cell: (n) => (n.load === null ? "–" : percent(n.load)) },
  { label: "Version", cell: (n) => n.version },
  { label: "Started", cell: (n) => when(n.started_at) },
  { label: "Addresses", cell: (n) => n.addresses.join("\n") },
], "No node is known.");

const level = $("log-level").elements.level;
let levelSeen = null;

export function showStatus(status) {
  setText($("drain-state"), !status.draining ? "This relay takes new clients."
    : `No new clients since it drains; calls go on${status.drain_deadline_at ? `, at most until ${when(status.drain_deadline_at)}` : ""}.`);
  setText($("drain-count"), `Allocations that go on: ${count(status.allocations.active)}`); // changes all the time: not read out
  $("drain-count").hidden = !status.draining;
  $("drain-end").hidden = !status.draining;
  if (levelSeen !== status.log_level) level.value = levelSeen = status.log_level;
}

async function refresh() {
  try {
    table.update((await get("/nodes")).items);
    showProblem($("nodes-problem"), null);
  } catch (error) {
    if (error.status === 401) return;
    if (error.status !== 0) table.forget("Not shown.");
    showProblem($("nodes-problem"), error);
  }
}

$("drain").addEventListener("submit", (event) => {
  event.preventDefault();
  const minutes = Number($("drain").elements.minutes.value);
  showProblem($("drain"), null);
  confirm({
    title: "Drain this relay?",
    text: `New clients are sent to another node, or refused if there is none. Calls go on${minutes ? `; after ${minutes} min those that still live are closed` : ""}.`,
    yes: "Start draining",
    work: async () => {
      await call("POST", "/drain", { body: minutes ? { deadline_s: 60 * minutes } : {}, key: newKey() });
      announce("The relay drains.");
    },
  });
});

$("drain-end").addEventListener("click", () => {
  confirm({
    title: "End draining?",
    text: "The relay takes new clients again.",
    yes: "End draining",
    work: async () => {
      await call("DELETE", "/drain");
      announce("The relay takes new clients.");
    },
  });
});

onSubmit($("log-level"), async (form) => {
  levelSeen = (await call("PUT", "/log-level", { body: { level: form.get("level") } })).level;
  announce(`The log level is ${levelSeen}.`);
});

onSubmit($("reload"), async () => {
  setText($("reload-result"), "");
  const result = await call("POST", "/reload", { key: newKey() });
  setText($("reload-result"), result.needs_restart.length ? `In force, but for what needs a restart: ${result.needs_restart.join(", ")}.` : "The file was read again, and is in force.");
});

guard($("drain"));
guard($("log-level"));
guard($("reload"));

export async function poll() {
  await refresh();
}
