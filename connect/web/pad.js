// The twelve keys. A long press of 0 is a plus.

import { $, el } from "./dom.js";

const KEYS = [["1", ""], ["2", "ABC"], ["3", "DEF"], ["4", "GHI"], ["5", "JKL"], ["6", "MNO"], ["7", "PQRS"], ["8", "TUV"], ["9", "WXYZ"], ["*", ""], ["0", "+"], ["#", ""]];
const NAMES = { "*": "star", "#": "hash", 0: "0, hold for plus" };
const LONG_MS = 500;

// press(key): "+" is one, too.
export function start(press) {
  for (const [key, more] of KEYS) {
    let timer = null, long = false;
    const down = () => {
      if (key !== "0" || timer) return;
      long = false;
      timer = setTimeout(() => {
        long = true;
        press("+");
      }, LONG_MS);
    };
    const up = () => {
      clearTimeout(timer);
      timer = null;
    };
    const button = el("button", {
      type: "button", "data-key": key, "aria-label": NAMES[key] ?? key, onpointerdown: down, onpointerup: up, onpointercancel: up, onpointerleave: up,
      onkeydown: (e) => {
        if (e.repeat) e.preventDefault(); // one press is one digit
        else if (e.key === " ") down();
      },
      onkeyup: up, onblur: up, oncontextmenu: (e) => e.preventDefault(),
      onclick: () => {
        if (!long) press(key);
        long = false;
      },
    }, key, "*#".includes(key) ? null : el("small", { "aria-hidden": "true" }, more));
    $("pad").append(button);
  }
}
