// What the eye needs, measured: texts whose contrast is below 4.5, and what is wider than the screen. Evaluated in the page by devtools.py.
(() => {
  const scope = document.querySelector("dialog[open]") ?? document.body;

  const parse = (color) => {
    const n = color.match(/[\d.]+/g).map(Number);
    return color.startsWith("color(srgb") ? [n[0] * 255, n[1] * 255, n[2] * 255, n[3] ?? 1] : [n[0], n[1], n[2], n[3] ?? 1];
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a)];
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };

  const ground = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) {
      const color = parse(getComputedStyle(e).backgroundColor);
      layers.push(color);
      if (color[3] === 1) break;
    }
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };

  const faint = [], seen = [];
  const judge = (element, color, text) => {
    const below = ground(element), above = over(parse(color), below);
    const [high, low] = [luminance(above), luminance(below)].sort((a, b) => b - a), contrast = (high + 0.05) / (low + 0.05);
    seen.push(text);
    if (contrast < 4.5) faint.push(`${contrast.toFixed(2)}: ${text.trim().slice(0, 40)}`);
  };
  const hidden = (e) => e.closest(".unseen, .skip") || !e.checkVisibility({ opacityProperty: true, visibilityProperty: true });

  const walker = document.createTreeWalker(scope, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, style = getComputedStyle(element);
    if (!walker.currentNode.data.trim() || hidden(element) || element.closest("select, script, noscript")) continue;
    judge(element, element instanceof SVGElement ? style.fill : style.color, walker.currentNode.data);
  }
  for (const field of scope.querySelectorAll("input, select, textarea")) {
    if (hidden(field)) continue;
    judge(field, getComputedStyle(field).color, field.value || field.name);
    if (field.placeholder) judge(field, getComputedStyle(field, "::placeholder").color, field.placeholder);
  }

  const width = document.documentElement.clientWidth;
  const wide = [...scope.querySelectorAll("*")].filter((e) => !hidden(e) && !(e instanceof SVGElement))
    .filter((e) => e.getBoundingClientRect().right > width + 0.5 || (e.matches(".table, dialog, pre") && e.scrollWidth > e.clientWidth))
    .map((e) => e.outerHTML.slice(0, 80));
  if (document.documentElement.scrollWidth > width) wide.push("the page");
  return { faint, wide, texts: seen.length };
})()
