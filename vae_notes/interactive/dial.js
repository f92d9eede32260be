// The law once more, for the reader's settings: the tests compare it with Objective and theory.
const noiseVariance = ({ reconstruction, kl, weight, latentDim }, dataDim) =>
  (weight * (reconstruction === "mean" ? dataDim : 1)) / (kl === "mean" ? latentDim : 1) / 2;

const survivors = (spectrum, variance, latentDim) =>
  spectrum.slice(0, latentDim).filter((value) => value > variance);

const nats = (kept, variance) =>
  kept.reduce((sum, value) => sum + Math.log(value / variance) / 2, 0);

// Ten stops a decade from 0.00001 to 100, and the weight that the figure opened with.
const weightStops = (extra) => {
  const digits = [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8];
  const decades = [-5, -4, -3, -2, -1, 0, 1];
  const stops = decades.flatMap((power) => digits.map((d) => Number(`${d}e${power}`)));
  return [...new Set([...stops, 100, extra])].sort((a, b) => a - b);
};

const formula = ({ reconstruction, kl, weight, latentDim }, dataDim, variance) => {
  const errors = reconstruction === "mean";
  const units = kl === "mean";
  const letters = `w${errors ? " N" : ""} / ${units ? "(2 D)" : "2"}`;
  const times = errors ? ` × ${dataDim}` : "";
  const over = units ? `(2 × ${latentDim})` : "2";
  return `σ² = ${letters} = ${short(weight)}${times} / ${over} = ${short(variance)}`;
};

const draw = (live, numbers, group, report) => {
  const { sets, mostUnits } = numbers;
  const state = { ...numbers, set: 0 };
  const stops = weightStops(numbers.weight);
  live.setAttribute("aria-label", "Dial: which latent units a loss keeps");

  const says = h("p", { class: "says", role: "status", "aria-live": "polite" });
  const worked = h("p", { class: "formula" });
  const lamps = h("div", { class: "lamps", "aria-hidden": "true" });
  const svg = s("svg", { height: 300, role: "img" });
  const box = h("div", {}, svg);
  let chart = null;

  const choose = (name) => (value) => {
    state[name] = value;
    update();
  };
  const weight = slider("KL weight w", {
    min: 0,
    max: stops.length - 1,
    value: stops.indexOf(state.weight),
    say: (i) => short(stops[i]),
    changed: (i) => choose("weight")(stops[i]),
  });
  const units = slider("Latent units D", {
    min: 1,
    max: mostUnits,
    value: state.latentDim,
    changed: choose("latentDim"),
  });
  const dataSets = sets.map(({ name, dim }, i) => [i, `${name}, N = ${dim}`]);
  const reductions = (what, over) => [
    ["sum", "summed"],
    ["mean", `averaged over ${over}`],
  ];
  const data = choice(`${group}-set`, "Data (they set N)", dataSets, 0, (i) => {
    state.set = i;
    layOut();
  });
  data.className = "wide";
  live.append(
    h(
      "div",
      { class: "controls" },
      data,
      choice(
        `${group}-errors`,
        "Squared errors over the N data dimensions",
        reductions("errors", "N"),
        state.reconstruction,
        choose("reconstruction"),
      ),
      choice(
        `${group}-kl`,
        "KL over the D latent units",
        reductions("KL", "D"),
        state.kl,
        choose("kl"),
      ),
      weight.node,
      units.node,
    ),
    says,
    worked,
    lamps,
    box,
    h(
      "p",
      { class: "note" },
      "A filled dot is a latent unit that survives, a hollow one a unit that collapses; grey dots " +
        "are directions for which there is no unit. Drag the line, or move the controls.",
    ),
  );

  // Everything that depends on the data set or the width.
  const layOut = (width = chart?.width) => {
    if (!width) return;
    const { spectrum } = sets[state.set];
    const [left, right, top, bottom] = [46, width - 14, 30, 262];
    const high = Math.ceil(Math.log10(spectrum[0]) + 1.3);
    const low = high - 6;
    // Both scales are logarithmic: the first directions are those that matter.
    const across = (right - left - 48) / Math.max(Math.log(spectrum.length), 1);
    const x = (i) => left + 14 + across * Math.log(i + 1);
    const y = (value) =>
      clamp(top + ((high - Math.log10(value)) / (high - low)) * (bottom - top), top, bottom);
    const decades = range(high - low + 1).map((i) => low + i);
    const rows = decades.flatMap((power) => [
      s("line", { class: "grid", x1: left, x2: right, y1: y(10 ** power), y2: y(10 ** power) }),
      s(
        "text",
        { x: left - 6, y: y(10 ** power) + 4, "text-anchor": "end" },
        short(10 ** power),
      ),
    ]);
    const marks = range(7)
      .map((power) => 2 ** power)
      .filter((rank) => rank <= spectrum.length)
      .map((rank) => s("text", { x: x(rank - 1), y: bottom + 16, "text-anchor": "middle" }, rank));
    const radius = (i) => clamp((x(i + 1) - x(i)) * 0.4, 1.8, 6);
    const drawn = spectrum.map((value, i) => {
      const at = { cx: x(i), cy: y(value) };
      return {
        stem: s("line", { class: "blue", x1: x(i), x2: x(i), y1: y(value), "stroke-width": 2 }),
        glow: s("circle", { class: "glow", ...at, r: radius(i) * 2 }),
        dot: s("circle", { class: "dot", ...at }),
      };
    });
    const line = s("line", { class: "orange", x1: left, x2: right, "stroke-width": 2 });
    const label = s("text", { class: "orange halo", "text-anchor": "end", x: right - 14 });
    const knob = s("circle", { class: "knob", cx: right, r: 6 });
    const grip = s("rect", { class: "grip", x: left, width: right - left + 14, height: 28 });
    svg.replaceChildren(
      ...rows,
      ...marks,
      s("text", { x: 0, y: 12 }, "variance (squared data units)"),
      s(
        "text",
        { x: (left + right) / 2, y: bottom + 34, "text-anchor": "middle" },
        "direction of the data, largest variance first",
      ),
      ...drawn.flatMap(({ stem }) => stem),
      line,
      ...drawn.flatMap(({ glow, dot }) => [glow, dot]),
      label,
      knob,
      grip,
    );
    const pull = (dy) => {
      const power = high - ((dy - top) / (bottom - top)) * (high - low);
      const wanted = 10 ** power / noiseVariance({ ...state, weight: 1 }, sets[state.set].dim);
      const distance = (stop) => Math.abs(Math.log(stop / wanted));
      const nearest = stops.reduce((a, b) => (distance(b) < distance(a) ? b : a));
      weight.set(stops.indexOf(nearest));
      choose("weight")(nearest);
    };
    drag(grip, (_, __, event) => pull(event.clientY - svg.getBoundingClientRect().top));
    chart = { width, y, top, bottom, radius, drawn, line, label, knob, grip, high, low };
    update();
  };

  const update = () => {
    const { name, dim, spectrum } = sets[state.set];
    const variance = noiseVariance(state, dim);
    const kept = survivors(spectrum, variance, state.latentDim);
    const carried = nats(kept, variance);
    const dead = state.latentDim - kept.length;
    const count = `${kept.length} of ${state.latentDim}`;
    says.replaceChildren(
      `The effective noise variance is `,
      h("b", { class: "other" }, short(variance)),
      ". ",
      h("b", {}, `${count} latent unit${state.latentDim === 1 ? "" : "s"}`),
      ` survive${kept.length === 1 || state.latentDim === 1 ? "s" : ""}`,
      kept.length
        ? `, with a KL of ${short(carried)} nats an example in all.`
        : dead > 1
          ? ": all of them collapse."
          : ": it collapses.",
    );
    worked.textContent = formula(state, dim, variance);
    lamps.replaceChildren(
      ...range(state.latentDim).map((i) =>
        h("span", { class: i < kept.length ? "lamp lit" : "lamp" }),
      ),
    );
    report({
      set: name,
      reconstruction: state.reconstruction,
      kl: state.kl,
      weight: state.weight,
      dataDim: dim,
      latentDim: state.latentDim,
      noiseVariance: variance,
      activeUnits: kept.length,
      nats: carried,
    });
    if (!chart) return;
    const { y, top, bottom, radius, drawn, line, label, knob, grip, high, low } = chart;
    svg.setAttribute(
      "aria-label",
      `Eigenvalues of ${name}, from ${short(spectrum[0])} down, with a line at the noise ` +
        `variance ${short(variance)}: ${count} latent units lie above it.`,
    );
    const at = y(variance);
    drawn.forEach(({ stem, glow, dot }, i) => {
      const lit = i < kept.length;
      const spare = i >= state.latentDim;
      stem.setAttribute("y2", lit ? at : stem.getAttribute("y1"));
      glow.classList.toggle("lit", lit);
      dot.classList.toggle("lit", lit);
      dot.classList.toggle("spare", spare);
      dot.setAttribute("r", spare ? Math.min(radius(i), 2.5) : radius(i));
      dot.classList.toggle("gone", spare && spectrum[i] < 10 ** low);
    });
    for (const end of ["y1", "y2"]) line.setAttribute(end, at);
    knob.setAttribute("cy", at);
    grip.setAttribute("y", at - 14);
    const beyond =
      variance > 10 ** high ? ", above the chart" : variance < 10 ** low ? ", below the chart" : "";
    label.textContent = `noise variance ${short(variance)}${beyond}`;
    label.setAttribute("y", at < top + 24 ? at + 18 : at - 8);
    line.setAttribute("stroke-dasharray", beyond ? "3 4" : "none");
  };

  update();
  fitted(box, layOut);
};
