// The shapes once more, for the reader's settings: the tests compare them with vae_notes.schedules.
const logistic = (u) => 1 / (1 + Math.exp(-u));
const curves = {
  linear: (t) => t,
  cosine: (t) => (1 - Math.cos(Math.PI * t)) / 2,
  sigmoid: (t) => (logistic(12 * t - 6) - logistic(-6)) / (logistic(6) - logistic(-6)),
};
const weightAt = ({ shape, start, length }, epoch) =>
  shape === "cyclical"
    ? Math.min(1, (epoch % length) / (length / 2))
    : curves[shape](clamp((epoch - start) / length, 0, 1));
// At the end of every epoch past `start` the post's callback adds 1/length, in float32.
const published = ({ start, length, epochs }) => {
  let weight = 0;
  return range(epochs).map((epoch) => {
    if (epoch - 1 > start) weight = Math.min(Math.fround(weight + Math.fround(1 / length)), 1);
    return weight;
  });
};

// "0 through epoch 40, 0.05 in epoch 41 and full from epoch 60"
const told = (weights, full) => {
  const first = weights.findIndex((weight) => weight > 0);
  const top = weights.findIndex((weight) => weight >= 1);
  if (first < 0) return "0 in every epoch";
  const parts = first ? [`0 through epoch ${first - 1}`] : [];
  if (weights[first] < 1) parts.push(`${short(weights[first])} in epoch ${first}`);
  parts.push(
    top < 0 ? `only ${short(weights.at(-1))} in the last epoch` : `${full} from epoch ${top}`,
  );
  const last = parts.pop();
  return parts.length ? `${parts.join(", ")} and ${last}` : last;
};

// Neighbours of one weight as one bar: [first epoch, one past the last, weight].
const runs = (weights) => {
  const found = [];
  weights.forEach((weight, epoch) => {
    const last = found.at(-1);
    if (last && last[2] === weight) last[1] = epoch + 1;
    else found.push([epoch, epoch + 1, weight]);
  });
  return found;
};

const draw = (live, numbers, group, report) => {
  const { shapes, most } = numbers;
  const state = { ...numbers, cursor: Math.min(numbers.start + 2, numbers.epochs - 1) };
  live.setAttribute("aria-label", "Schedule: the weight of the KL term, epoch by epoch");

  const says = h("p", { class: "says", role: "status", "aria-live": "polite" });
  const svg = s("svg", { height: 300, role: "img" });
  const box = h("div", {}, svg);
  const around = h("div", { class: "around" });
  let width = 0;

  const choose = (name) => (value) => {
    state[name] = value;
    update();
  };
  const lookAt = (epoch) => {
    state.cursor = clamp(Math.round(epoch), 0, state.epochs - 1);
    look.set(state.cursor);
    update();
  };
  const knob = (label, name, min) =>
    slider(label, { min, max: most[name], value: state[name], changed: choose(name) });
  const start = knob("Start (epoch)", "start", 0);
  const length = knob("Length of the ramp (epochs)", "length", 1);
  const epochs = knob("Epochs of training", "epochs", 10);
  const look = slider("Epoch to look at", {
    min: 0,
    max: state.epochs - 1,
    value: state.cursor,
    changed: choose("cursor"),
  });
  const shapeChoice = choice(
    `${group}-shape`,
    "Shape",
    shapes.map((shape) => [shape, shape]),
    state.shape,
    choose("shape"),
  );
  look.node.classList.add("wide");
  live.append(
    h("div", { class: "controls" }, shapeChoice, epochs.node, start.node, length.node),
    says,
    box,
    look.node,
    around,
    h(
      "p",
      { class: "note" },
      "Epochs count from 0, as in Keras. The weight is the fraction of the objective's KL weight " +
        "in force during an epoch.",
    ),
  );
  drag(svg, (part) => width && lookAt((part * width - 44) / ((width - 58) / state.epochs) - 0.5));

  const chart = (chosen, callback) => {
    const [left, right, top, bottom] = [44, width - 14, 12, 184];
    const x = (epoch) => left + ((right - left) * epoch) / state.epochs;
    const y = (weight) => bottom - (bottom - top) * weight;
    const path = (weights) =>
      runs(weights)
        .map(([from, to, w], i) => `${i ? "L" : "M"}${x(from)} ${y(w)}L${x(to)} ${y(w)}`)
        .join("");
    const strip = (weights, at, kind) => [
      ...runs(weights).map(([from, to, w]) =>
        s("rect", {
          class: kind,
          x: x(from),
          width: x(to) - x(from),
          y: at,
          height: 14,
          "fill-opacity": w,
        }),
      ),
      s("rect", { class: "frame", x: left, width: right - left, y: at, height: 14 }),
    ];
    const every = [1, 2, 5, 10, 20, 50, 100].find((n) => (right - left) / (state.epochs / n) > 44);
    const ticks = range(state.epochs + 1).filter((epoch) => epoch % every === 0);
    const named = (text, at, kind) => s("text", { class: `${kind} halo`, x: left + 4, y: at }, text);
    const plain = (text, at, kind) => s("text", { class: kind, x: left, y: at }, text);
    svg.replaceChildren(
      s("rect", {
        x: x(state.cursor),
        width: Math.max(x(1) - x(0), 1.5),
        y: top,
        height: 288 - top,
        fill: "var(--faint)",
      }),
      ...[0, 0.5, 1].flatMap((weight) => [
        s("line", { class: "grid", x1: left, x2: right, y1: y(weight), y2: y(weight) }),
        s("text", { x: left - 6, y: y(weight) + 4, "text-anchor": "end" }, weight),
      ]),
      ...ticks.map((e) => s("text", { x: x(e), y: bottom + 16, "text-anchor": "middle" }, e)),
      s("text", { x: right, y: bottom + 30, "text-anchor": "end" }, "epoch"),
      s("path", { class: "blue", d: path(chosen), "stroke-width": 2.5 }),
      ...(callback
        ? [s("path", {
            class: "orange", d: path(callback), "stroke-width": 2, "stroke-dasharray": "5 3",
          })]
        : []),
      plain(`${state.shape} schedule`, bottom + 46, "blue"),
      ...strip(chosen, bottom + 51, "strip"),
      ...(callback
        ? [plain("the post's callback", bottom + 84, "orange"),
            ...strip(callback, bottom + 89, "strip second")]
        : []),
      s("rect", { class: "catch", x: 0, y: 0, width, height: 300 }),
    );
  };

  const update = () => {
    const cyclical = state.shape === "cyclical";
    start.input.disabled = cyclical;
    start.node.classList.toggle("off", cyclical);
    length.rename(cyclical ? "Length of a cycle (epochs)" : "Length of the ramp (epochs)");
    look.input.max = state.epochs - 1;
    state.cursor = Math.min(state.cursor, state.epochs - 1);
    look.set(state.cursor);

    const every = range(state.epochs);
    const chosen = every.map((epoch) => weightAt(state, epoch));
    const callback = cyclical ? null : published(state);
    const full = chosen.filter((weight) => weight >= 1).length;
    const cycles = Math.ceil(state.epochs / state.length);
    const words = cyclical
      ? [
          h("b", {}, "The cyclical schedule"),
          ` rises from 0 to its full value in the first half of each cycle and keeps it for the ` +
            `second: ${cycles} cycle${cycles === 1 ? "" : "s"} in ${state.epochs} epochs. The ` +
            `post has no such schedule.`,
        ]
      : [
          h("b", {}, `The ${state.shape} schedule`),
          ` has weight ${told(chosen, "full weight")}. `,
          h("b", { class: "other" }, "The post's callback"),
          `, as written, has ${told(callback, "full weight")}.`,
        ];
    says.replaceChildren(
      ...words,
      ` The full objective is trained in ${full} of ${state.epochs} epochs.`,
    );

    const reach = width && width < 480 ? 2 : 4;
    const first = clamp(state.cursor - reach, 0, Math.max(state.epochs - 2 * reach - 1, 0));
    const shown = every.slice(first, first + 2 * reach + 1);
    const row = (name, cells) =>
      h(
        "tr",
        {},
        h("th", { scope: "row" }, name),
        ...shown.map((e) => h("td", { class: e === state.cursor ? "here" : null }, cells(e))),
      );
    around.replaceChildren(
      h(
        "table",
        { "aria-label": "Weight of the KL term in the epochs around the one looked at" },
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            h("th", { scope: "row" }, "epoch"),
            ...shown.map((e) =>
              h("th", { scope: "col", class: e === state.cursor ? "here" : null }, e),
            ),
          ),
        ),
        h(
          "tbody",
          {},
          row(`${state.shape} schedule`, (e) => short(chosen[e])),
          ...(callback ? [row("the post's callback", (e) => short(callback[e]))] : []),
        ),
      ),
    );
    svg.setAttribute(
      "aria-label",
      `Curve and timeline over ${state.epochs} epochs. ${says.textContent}`,
    );
    if (width) chart(chosen, callback);
    const { shape, start: from, length: ramp, epochs: total, cursor } = state;
    report({ shape, start: from, length: ramp, epochs: total, cursor, chosen, published: callback });
  };

  update();
  fitted(box, (found) => {
    width = found;
    update();
  });
};
