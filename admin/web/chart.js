// A small line chart of the last five minutes, drawn as SVG; it fits its place, and says in words what it shows.

const NS = "http://www.w3.org/2000/svg";
const SPAN_S = 300;
const GAP_S = 10; // where nothing was known for longer, the line is broken
const LEFT = 4, RIGHT = 4, TOP = 20, BOTTOM = 22;

function svg(tag, attributes = {}, text) {
  const node = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

// The next round number that is not below.
function ceiling(n) {
  const power = 10 ** Math.floor(Math.log10(n));
  return [1, 2, 3, 4, 6, 8, 10].find((m) => m * power >= n) * power;
}

export class Chart {
  // series: [{name, class}]; `least` is the lowest top of the scale.
  constructor(place, { series, format, least, steps }) {
    this.place = place;
    Object.assign(this, { series, format, least, steps });
    this.samples = [];
    this.root = svg("svg", { "aria-hidden": "true" });
    place.replaceChildren(this.root);
    new ResizeObserver(() => this.draw()).observe(place);
  }

  // `t` in seconds; one value a series.
  add(t, values) {
    this.samples.push({ t, values });
    this.samples = this.samples.filter((s) => s.t >= t - SPAN_S - GAP_S);
    this.draw();
  }

  clear() {
    this.samples = [];
    this.draw();
  }

  draw() {
    const width = this.place.clientWidth, height = this.place.clientHeight;
    if (!width || !height) return;
    const now = this.samples.at(-1)?.t ?? 0;
    const top = ceiling(Math.max(this.least, ...this.samples.flatMap((s) => s.values)));
    const x = (t) => width - RIGHT - ((now - t) / SPAN_S) * (width - LEFT - RIGHT);
    const y = (v) => height - BOTTOM - (v / top) * (height - TOP - BOTTOM);
    const nodes = [0, 0.5, 1].map((f) => svg("line", { class: f ? "grid" : "axis", x1: LEFT, x2: width - RIGHT, y1: y(f * top), y2: y(f * top) }));
    nodes.push(svg("text", { class: "scale", x: LEFT, y: TOP - 6 }, this.format(top)));
    nodes.push(svg("text", { class: "scale", x: LEFT, y: height - 5 }, "5 min ago"));
    nodes.push(svg("text", { class: "scale end", x: width - RIGHT, y: height - 5 }, "now"));
    const seen = this.samples.filter((s) => s.t >= now - SPAN_S);
    this.series.forEach((one, i) => nodes.push(...this.#line(one, seen.map((s) => [s.t, s.values[i]]), x, y)));
    this.root.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.root.replaceChildren(...nodes);
    const last = this.samples.at(-1);
    const words = last ? this.series.map((s, i) => `${s.name} ${this.format(last.values[i])}, at most ${this.format(Math.max(...seen.map((p) => p.values[i])))}`) : ["nothing yet"];
    this.place.setAttribute("aria-label", `${this.place.dataset.title}, last five minutes: ${words.join("; ")}`);
  }

  #line(one, points, x, y) {
    const parts = [];
    points.forEach(([t, v], i) => {
      if (i === 0 || t - points[i - 1][0] > GAP_S) parts.push([]);
      parts.at(-1).push([x(t), y(v)]);
    });
    const nodes = [];
    for (const part of parts) {
      const path = part.map(([px, py], i) => {
        const at = `${px.toFixed(1)} ${py.toFixed(1)}`;
        return i === 0 ? `M${at}` : this.steps ? `H${px.toFixed(1)}V${py.toFixed(1)}` : `L${at}`;
      }).join("");
      nodes.push(svg("path", { class: `fill ${one.class}`, d: `${path}V${y(0).toFixed(1)}H${part[0][0].toFixed(1)}Z` }));
      nodes.push(svg("path", { class: `line ${one.class}`, d: path }));
    }
    if (points.length) {
      const [t, v] = points.at(-1);
      nodes.push(svg("circle", { class: `dot ${one.class}`, cx: x(t) - 1, cy: y(v), r: 3 }));
    }
    return nodes;
  }
}
