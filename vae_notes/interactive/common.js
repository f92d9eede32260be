// What the figures share. All of it lives inside one function: nothing reaches the page.
const build = (node, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
};
const h = (tag, attributes = {}, ...children) =>
  build(document.createElement(tag), attributes, children);
const s = (tag, attributes = {}, ...children) =>
  build(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

// 0.5, 12.3, 12,800: three digits, as the text around says them.
const short = (value) => value.toLocaleString("en-GB", { maximumSignificantDigits: 3 });
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const range = (count) => Array.from({ length: count }, (_, i) => i);

// A group of radio buttons; options are [value, label] pairs.
const choice = (group, legend, options, chosen, changed) => {
  const pills = options.map(([value, label]) => {
    const input = h("input", { type: "radio", name: group, value });
    input.checked = value === chosen;
    input.addEventListener("change", () => changed(value));
    return h("label", {}, input, h("span", {}, label));
  });
  return h("fieldset", {}, h("legend", {}, legend), h("div", { class: "pills" }, ...pills));
};

// A native slider with its name and value; `say` puts the value into words.
const slider = (name, { min, max, value, step = 1, say = String, changed }) => {
  const shown = h("b", { "aria-hidden": "true" });
  const label = h("span", {}, name);
  const input = h("input", { type: "range", min, max, step, "aria-label": name });
  input.value = value;
  const tell = () => {
    shown.textContent = say(Number(input.value));
    input.setAttribute("aria-valuetext", say(Number(input.value)));
  };
  input.addEventListener("input", () => {
    tell();
    changed(Number(input.value));
  });
  tell();
  const node = h("label", { class: "slider" }, h("span", { class: "name" }, label, shown), input);
  const set = (to) => {
    input.value = to;
    tell();
  };
  const rename = (to) => {
    label.textContent = to;
    input.setAttribute("aria-label", to);
  };
  return { node, input, set, rename };
};

// Calls `to` with the position of mouse, pen or finger on the node, in parts of its size.
const drag = (node, to) => {
  const at = (event) => {
    const box = node.getBoundingClientRect();
    to((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height, event);
  };
  node.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    node.setPointerCapture(event.pointerId);
    at(event);
  });
  node.addEventListener("pointermove", (event) => {
    if (node.hasPointerCapture(event.pointerId)) at(event);
  });
};

// Draws now and whenever the width changes, so that letters keep their size on a telephone.
const fitted = (box, redraw) => {
  let width = 0;
  const look = () => {
    if (box.clientWidth && box.clientWidth !== width) redraw((width = box.clientWidth));
  };
  new ResizeObserver(look).observe(box);
};

const start = (key, make, numbers) => {
  for (const root of document.querySelectorAll(`[data-figure="${key}"]:not([data-live])`)) {
    const live = h("div", { class: "live", role: "group" });
    // A notebook takes plain keys for its own commands; Escape and shortcuts may pass.
    live.addEventListener("keydown", (event) => {
      const passes = event.key === "Escape" || event.ctrlKey || event.metaKey || event.altKey;
      if (!passes) event.stopPropagation();
    });
    const group = `${key}-${document.querySelectorAll(".vae-notes[data-live]").length}`;
    const report = (detail) => root.dispatchEvent(new CustomEvent("vae-notes", { detail }));
    root.append(live);
    root.dataset.live = "";
    make(live, numbers, group, report);
  }
};
