// The peer policy: all entries in order, what decides about an address, and the entries that are stored.

import { call, get, getTagged } from "/dashboard/api.js";
import { $, announce, lines, onSubmit, setText, showProblem, el, Table } from "/dashboard/dom.js";
import { guard, rightsChanged } from "/dashboard/rights.js";

const table = new Table($("peers-table"), "The peer policy", [
  { label: "Network", cell: (e) => el("code", {}, e.entry) },
  { label: "Action", cell: (e) => el("span", { class: "state", "data-state": e.action }, e.action) },
  { label: "From", cell: (e) => e.source },
], "There is no entry.");

const edit = $("peers-edit");
let stored = null, etag = null;

const text = (list) => list.join("\n");

function isEdited() {
  return stored !== null && (edit.elements.allow.value !== text(stored.allow) || edit.elements.deny.value !== text(stored.deny));
}

function take(peers, tag) {
  table.update(peers.items);
  if (isEdited()) return; // what somebody is typing is his; the ETag tells whether it was overtaken
  stored = peers;
  etag = tag;
  edit.elements.allow.value = edit.elements.allow.defaultValue = text(peers.allow);
  edit.elements.deny.value = edit.elements.deny.defaultValue = text(peers.deny);
  if (!("waits" in edit.dataset)) return;
  delete edit.dataset.waits; // what is stored is known: it can't be replaced unseen
  rightsChanged();
}

async function refresh() {
  try {
    const [peers, tag] = await getTagged("/peers");
    take(peers, tag);
    showProblem($("peers-problem"), null);
  } catch (error) {
    if (error.status === 401) return;
    if (error.status !== 0) table.forget("Not shown.");
    showProblem($("peers-problem"), error);
  }
}

onSubmit(edit, async (form) => {
  try {
    await call("PUT", "/peers", { body: { allow: lines(form.get("allow")), deny: lines(form.get("deny")) }, etag });
  } catch (error) {
    if (error.status === 412) error.message = "Somebody else has changed the entries meanwhile. Undo shows theirs.";
    throw error;
  }
  stored = null;
  announce("The stored entries are changed.");
  await refresh();
});

edit.addEventListener("reset", (event) => {
  event.preventDefault();
  stored = null;
  showProblem(edit, null);
  refresh();
});

onSubmit($("peers-test"), async (form) => {
  const verdict = $("peers-verdict");
  verdict.dataset.state = "";
  setText(verdict, "");
  const answer = await call("POST", "/peers/test", { body: { peer: form.get("peer").trim() } });
  verdict.dataset.state = answer.allowed ? "allow" : "deny";
  setText(verdict, `${answer.peer} is ${answer.allowed ? "allowed" : "denied"}${answer.entry ? ` by ${answer.entry}` : ""}.`);
});

guard($("peers-test"), "read");
guard(edit);

export async function poll() {
  await refresh();
}
