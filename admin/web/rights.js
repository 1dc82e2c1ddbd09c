// A control whose use the caller has no right to is switched off, and says why.

import { session } from "/dashboard/api.js";

const guarded = []; // [element, roles]

function apply([node, roles]) {
  const allowed = session.may(...roles), waits = "waits" in node.dataset;
  for (const control of node.matches("button, input, select, textarea") ? [node] : node.querySelectorAll("button, input, select, textarea")) {
    control.disabled = !allowed || waits;
    control.title = allowed ? "" : reason(roles);
  }
  if (node.matches("form")) {
    let line = node.querySelector(":scope > .denied");
    if (!allowed && !line) {
      line = document.createElement("p");
      line.className = "denied";
      line.id = `${node.id}-denied`;
      node.append(line);
      node.setAttribute("aria-describedby", line.id);
    }
    if (line) {
      line.textContent = allowed ? "" : reason(roles);
      line.hidden = allowed;
    }
  }
}

function reason(roles) {
  return `Needs a token with the role ${[...roles, "admin"].join(" or ")}; yours has ${(session.roles ?? []).join(", ") || "none"}.`;
}

// For elements that stay; roles beside admin. While one has a data-waits, it is off for everybody.
export function guard(node, ...roles) {
  guarded.push([node, roles]);
  apply(guarded.at(-1));
}

// For elements that are made again and again.
export function guardNow(node, ...roles) {
  apply([node, roles]);
  return node;
}

export function rightsChanged() {
  guarded.forEach(apply);
}
