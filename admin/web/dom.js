// What every view is made of: elements, tables that change in place, dialogs, messages. Text becomes text nodes, never markup.

export const $ = (id) => document.getElementById(id);

// el("p", {class: "x", onclick: f, disabled: true}, "text", node, ...)
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((c) => c !== null && c !== undefined));
  return node;
}

// Changes nothing that is as it should be: a screen reader hears of changes only, and a selection stays.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setList(node, texts, make) {
  const key = JSON.stringify(texts);
  if (node.dataset.key === key) return;
  node.dataset.key = key;
  node.replaceChildren(...texts.map(make));
}

// A traffic light: a colour, a shape and a word, each of which is enough.
export function setLamp(node, verdict, words) {
  node.dataset.verdict = verdict;
  setText(node, words ?? (verdict === "SKIP" ? "not tried" : verdict));
}

let toastTimer;
const TOAST_MS = 6000;

// Tells what was done, to eyes and to screen readers. What lies behind an open dialog is told to nobody, so the message goes where people are.
export function announce(text) {
  const toast = $("toast"), place = document.querySelector("dialog[open]") ?? document.body;
  if (toast.parentNode !== place) place.append(toast);
  toast.textContent = text;
  toast.classList.add("shown");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => toast.classList.remove("shown"), TOAST_MS);
}

for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("close", () => {
    const toast = $("toast");
    if (toast.parentNode !== dialog) return;
    document.body.append(toast);
    if (toast.classList.contains("shown")) announce(toast.textContent);
  });
}

// A problem, in place: in the ".problem" within `scope`. null takes it away.
export function showProblem(scope, error) {
  const line = scope.matches(".problem") ? scope : scope.querySelector(":scope > .problem");
  setText(line, error ? error.message : "");
  line.hidden = !error;
}

// Runs what a button is for: it can't be pressed twice, and what goes wrong is shown in `scope`. True when all went well.
export async function act(button, scope, work) {
  if (button.getAttribute("aria-busy") === "true") return false;
  button.setAttribute("aria-busy", "true");
  try {
    showProblem(scope, null);
    await work();
    return true;
  } catch (error) {
    showProblem(scope, error);
    return false;
  } finally {
    button.removeAttribute("aria-busy");
  }
}

export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    announce(`${what} copied.`);
  } catch {
    announce("The browser does not let this page copy; select the text instead.");
  }
}

// A value that is there to be copied.
export function copyLine(value, name) {
  return el("li", {}, el("code", {}, value),
    el("button", { type: "button", class: "small", "aria-label": `Copy ${name ?? value}`, onclick: () => copy(value, name ?? value) }, "Copy"));
}

// In its place, as it was at first. One that is busy yet, for a question that was left, has no say in the next.
function renew(node) {
  const fresh = node.cloneNode();
  fresh.removeAttribute("aria-busy");
  node.replaceWith(fresh);
  return fresh;
}

// Asks; `work` is done when the answer is yes, and what it runs into is shown in the dialog, which then stays, or told if it was left.
export function confirm({ title, text, yes, work }) {
  const dialog = $("confirm"), button = renew($("confirm-yes")), problem = renew(dialog.querySelector(".problem"));
  const isAsked = () => dialog.open && button.isConnected;
  setText($("confirm-title"), title);
  setText($("confirm-text"), text);
  setText(button, yes);
  showProblem(problem, null);
  button.onclick = async () => {
    if (!(await act(button, problem, work))) {
      if (!isAsked()) announce(problem.textContent);
    } else if (isAsked()) {
      dialog.close();
    }
  };
  $("confirm-no").onclick = () => dialog.close();
  dialog.showModal();
  $("confirm-no").focus();
}

// A table whose rows are kept by the id of their items, so that focus and selection outlive a refresh.
// columns: [{label, cell: (item) => text or element, make: (item) => element once a row, number: true, address: true}]
export class Table {
  constructor(place, caption, columns, empty) {
    this.columns = columns;
    this.rows = new Map();
    this.body = el("tbody", { role: "rowgroup" });
    this.empty = el("p", { class: "muted empty" }, "Loading …");
    this.emptyText = empty;
    this.table = el("table", { role: "table", hidden: true }, el("caption", { class: "unseen" }, caption),
      el("thead", { role: "rowgroup" }, el("tr", { role: "row" },
        ...columns.map((c) => el("th", { scope: "col", role: "columnheader", class: c.number ? "number" : null },
          c.label || el("span", { class: "unseen" }, "Actions"))))), this.body);
    place.replaceChildren(this.table, this.empty);
  }

  update(items) {
    const wanted = new Set(items.map((i) => i.id));
    for (const [id, row] of this.rows) {
      if (!wanted.has(id)) {
        row.remove();
        this.rows.delete(id);
      }
    }
    items.forEach((item, i) => {
      let row = this.rows.get(item.id);
      if (!row) this.rows.set(item.id, (row = this.#make(item)));
      row.item = item;
      this.columns.forEach((c, n) => c.cell && this.#fill(row.cells[n], c.cell(item)));
      this.columns.forEach((c, n) => c.renew && c.renew(row.cells[n], item));
      if (this.body.children[i] !== row) this.body.insertBefore(row, this.body.children[i] ?? null);
    });
    this.table.hidden = items.length === 0;
    this.empty.hidden = items.length > 0;
    setText(this.empty, this.emptyText);
  }

  // What is shown is not known to be true any more.
  forget(text) {
    this.update([]);
    setText(this.empty, text);
  }

  #make(item) {
    const row = el("tr", { role: "row" });
    for (const c of this.columns) {
      const cell = el("td", { role: "cell", "data-label": c.label || null, class: c.number ? "number" : c.address ? "address" : c.label ? null : "buttons" });
      if (c.make) cell.append(...[c.make(item, row)].flat());
      row.append(cell);
    }
    return row;
  }

  #fill(cell, value) {
    if (value instanceof Node) {
      if (cell.dataset.key !== value.textContent) {
        cell.dataset.key = value.textContent;
        cell.replaceChildren(value);
      }
    } else {
      setText(cell, value);
    }
  }
}

// Forms never go anywhere by themselves.
export function onSubmit(form, work) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const button = event.submitter ?? form.querySelector("button:not([type])");
    act(button, form, () => work(new FormData(form)));
  });
}

export function lines(text) {
  return text.split("\n").map((l) => l.trim()).filter((l) => l);
}
