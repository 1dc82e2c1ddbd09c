// A list that comes in pages, with a filter: the form "NAME-filter" (if there is one), the buttons "NAME-first" and "NAME-next".

import { $ } from "/dashboard/dom.js";

export class Pager {
  constructor(name, refresh) {
    this.form = $(`${name}-filter`);
    this.first = $(`${name}-first`);
    this.next = $(`${name}-next`);
    this.refresh = refresh;
    this.query = {};
    this.cursor = "";
    this.nextCursor = null;
    this.turn = 0;
    this.first.addEventListener("click", () => this.go(""));
    this.next.addEventListener("click", () => this.go(this.nextCursor));
    this.form?.addEventListener("submit", (event) => {
      event.preventDefault();
      this.query = Object.fromEntries([...new FormData(this.form)].map(([k, v]) => [k, v.trim()]));
      this.go("");
    });
    this.form?.addEventListener("reset", () => {
      this.query = {};
      this.go("");
    });
    this.show({ next: null });
  }

  go(cursor) {
    this.cursor = cursor ?? "";
    this.turn++;
    return this.refresh();
  }

  state() {
    return { turn: this.turn, query: { ...this.query, cursor: this.cursor } };
  }

  // An answer that comes after the page was turned is not shown.
  isStill(state) {
    return state.turn === this.turn;
  }

  show(page) {
    this.nextCursor = page.next;
    this.first.disabled = this.cursor === "";
    this.next.disabled = page.next === null;
    this.first.parentNode.hidden = this.first.disabled && this.next.disabled;
  }

  // The page that was wanted is not there: there is a way back.
  fail() {
    this.first.disabled = this.cursor === "";
    this.first.parentNode.hidden = this.first.disabled && this.next.disabled;
  }
}
