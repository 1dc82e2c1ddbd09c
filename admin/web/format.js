// Numbers and times as people read them.

const STEPS = ["", "k", "M", "G", "T", "P"];

function scaled(n, unit) {
  let step = 0;
  while (n >= 999.5 && step < STEPS.length - 1) {
    n /= 1000;
    step++;
  }
  const digits = step === 0 ? 0 : n < 9.995 ? 2 : n < 99.95 ? 1 : 0;
  return `${n.toFixed(digits)} ${STEPS[step]}${unit}`;
}

export const bits = (n) => scaled(n, "bit/s");
export const bytes = (n) => (n < 999.5 ? `${Math.round(n)} bytes` : scaled(n, "B"));
export const count = (n) => Math.round(n).toLocaleString("en");
export const percent = (part) => `${(100 * part).toFixed(part > 0 && part < 0.1 ? 1 : 0)} %`;
export const orNone = (n, format) => (n === null || n === undefined ? "none" : format(n));

const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

// The two largest units: "3 h 20 min".
export function duration(seconds) {
  let rest = Math.max(0, Math.round(seconds));
  const first = UNITS.findIndex(([, size]) => rest >= size);
  if (first < 0) return "0 s";
  return UNITS.slice(first, first + 2).map(([name, size]) => {
    const n = Math.floor(rest / size);
    rest -= n * size;
    return n || size === UNITS[first][1] ? `${n} ${name}` : "";
  }).filter((t) => t).join(" ");
}

const two = (n) => String(n).padStart(2, "0");

export function time(at) {
  const d = new Date(at * 1000);
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

// In the reader's own time zone.
export function when(at) {
  const d = new Date(at * 1000);
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${two(d.getHours())}:${two(d.getMinutes())}`;
}
