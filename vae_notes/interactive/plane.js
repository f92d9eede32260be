// The decoders, with the weights they were trained to: the tests compare them with vae.decode.
const activations = {
  linear: (u) => u,
  relu: (u) => Math.max(u, 0),
  elu: (u) => (u > 0 ? u : Math.expm1(u)),
  tanh: Math.tanh,
  sigmoid: (u) => 1 / (1 + Math.exp(-u)),
  softplus: (u) => Math.max(u, 0) + Math.log1p(Math.exp(-Math.abs(u))),
  silu: (u) => u / (1 + Math.exp(-u)),
};

const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const floats = (text) => {
  const view = new DataView(bytes(text).buffer);
  return range(view.byteLength / 4).map((i) => view.getFloat32(4 * i, true));
};

// Whole numbers of so many bits each, one after another; they are stored without a sign.
const unpacked = (text, bits, count) => {
  const from = bytes(text);
  const found = new Float32Array(count);
  let [next, kept, have] = [0, 0, 0];
  for (let i = 0; i < count; i++) {
    for (; have < bits; have += 8) kept = (kept << 8) | from[next++];
    have -= bits;
    found[i] = (kept >> have) - (2 ** (bits - 1) - 1);
    kept &= (1 << have) - 1;
  }
  return found;
};

const unpackedLayers = (layers, bits) => {
  let inputs = 2;
  return layers.map(({ units, activation, levels, scale, bias }) => {
    const steps = floats(scale);
    const weights = unpacked(levels, bits, inputs * units).map((w, i) => w * steps[i % units]);
    inputs = units;
    return { units, weights, bias: floats(bias), activate: activations[activation] };
  });
};

const decode = (layers, point) =>
  layers.reduce((h, { units, weights, bias, activate }) => {
    const sums = Float64Array.from(bias);
    h.forEach((value, i) => {
      if (value) for (let j = 0; j < units; j++) sums[j] += value * weights[i * units + j];
    });
    return sums.map(activate);
  }, point);

// Pixels as a canvas takes them; 0 is black and 1 is white.
const paint = (canvas, image, [height, width, channels], left = 0, top = 0) => {
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) {
      pixels.data[4 * i + c] = Math.round(255 * image[i * channels + (c % channels)]);
    }
    pixels.data[4 * i + 3] = 255;
  }
  context.putImageData(pixels, left, top);
};

const draw = (live, numbers, group, report) => {
  const { shape, bits, extent, side } = numbers;
  const [height, width] = shape;
  const point = [1, 0.5];
  live.setAttribute("aria-label", "Latent plane: what a point decodes to");

  const signed = (value) => value.toFixed(1).replace("-", "\u2212");
  const where = () => `first unit ${signed(point[0])}, second unit ${signed(point[1])}`;
  const move = (first, second) => {
    point[0] = clamp(Math.round(first * 20) / 20, -extent, extent);
    point[1] = clamp(Math.round(second * 20) / 20, -extent, extent);
    update();
  };
  // From parts of a square, counted from its top left, to the plane.
  const dragged = (part, down) => move((2 * part - 1) * extent, (1 - 2 * down) * extent);

  // The pad: 100 of its units are one standard deviation.
  const reach = extent * 100;
  const cross = [s("line", { class: "orange" }), s("line", { class: "orange" })];
  const handle = s("circle", { class: "knob", r: 22 });
  const rings = range(Math.floor(extent)).map((i) => [
    s("circle", { class: "axis", r: 100 * (i + 1), "stroke-dasharray": "8 8" }),
    s("text", { class: "halo", y: 100 * (i + 1) + 9, "text-anchor": "middle" }, `${i + 1}`),
  ]);
  const pad = s(
    "svg",
    {
      class: "pad",
      viewBox: `${-reach - 30} ${-reach - 30} ${2 * reach + 60} ${2 * reach + 60}`,
      tabindex: 0,
      role: "slider",
      "aria-label": "Point in the latent plane; arrow keys move it, Home centres it",
      "aria-valuemin": -extent,
      "aria-valuemax": extent,
    },
    s("rect", {
      class: "frame",
      x: -reach,
      y: -reach,
      width: 2 * reach,
      height: 2 * reach,
    }),
    ...cross,
    ...rings.map(([ring]) => ring),
    ...rings.map(([, text]) => text),
    handle,
  );
  drag(pad, (part, down) => {
    const wider = (reach + 30) / reach;
    dragged(0.5 + (part - 0.5) * wider, 0.5 + (down - 0.5) * wider);
  });
  pad.addEventListener("keydown", (event) => {
    const by = event.shiftKey ? 0.5 : 0.1;
    const steps = {
      ArrowLeft: [-by, 0],
      ArrowRight: [by, 0],
      ArrowDown: [0, -by],
      ArrowUp: [0, by],
      Home: [-point[0], -point[1]],
    };
    const step = steps[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    move(point[0] + step[0], point[1] + step[1]);
  });

  const along = (i, name) =>
    slider(name, {
      min: -extent,
      max: extent,
      step: 0.05,
      value: point[i],
      say: signed,
      changed: (value) => (i ? move(point[0], value) : move(value, point[1])),
    });
  const sliders = [along(0, "First latent unit"), along(1, "Second latent unit")];
  const centre = h("button", { type: "button" }, "Centre");
  centre.addEventListener("click", () => move(0, 0));
  const sample = h("button", { type: "button" }, "Draw from the prior");
  const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(7 * Math.random());
  sample.addEventListener("click", () => move(normal(), normal()));

  const grid = range(side).map((i) => (2 * i * extent) / (side - 1) - extent);
  const panels = numbers.decoders.map(({ name, moves, layers: stored }) => {
    const layers = unpackedLayers(stored, bits);
    const middle = decode(layers, [0, 0]);
    const canvas = h("canvas", { width, height, role: "img" });
    const size = { width: side * (width + 1) - 1, height: side * (height + 1) - 1 };
    const over = h("canvas", { ...size, role: "img" });
    grid.forEach((second, row) =>
      grid.forEach((first, column) => {
        const at = [column * (width + 1), row * (height + 1)];
        paint(over, decode(layers, [first, -second]), shape, ...at);
      }),
    );
    const shown = (value) => clamp(value, 0, 1);
    const kind = moves ? "different pictures" : "nearly the same picture everywhere";
    over.setAttribute("aria-label", `Map of the plane as ${name} decodes it: ${kind}`);
    const mark = h("i");
    const map = h("div", { class: "map" }, over, mark);
    drag(map, dragged);
    const far = h("p", { class: "note" });
    const node = h("div", { class: "panel" }, h("p", { class: "title" }, name), canvas, far, map);
    return { name, layers, middle, canvas, mark, far, node, shown, moves };
  });

  const listed = (chosen) => chosen.map(({ name }) => name).join(" and ");
  const [moving, still] = [panels.filter((p) => p.moves), panels.filter((p) => !p.moves)];
  const says = h("p", { class: "says", role: "status", "aria-live": "polite" });
  live.append(
    says,
    h(
      "div",
      { class: "plane" },
      h(
        "div",
        {},
        pad,
        ...sliders.map(({ node }) => node),
        h("div", { class: "pills" }, centre, sample),
      ),
      h("div", { class: "panels" }, ...panels.map(({ node }) => node)),
    ),
    h(
      "p",
      { class: "note" },
      "Above, what the point decodes to; below it, the whole plane as a map. The plane is spanned " +
        "by the two units that move a decoder's picture most, in standard deviations of the " +
        "prior; its other units are 0. The circles are 1 and 2 standard deviations.",
    ),
  );

  const update = () => {
    const [first, second] = point;
    handle.setAttribute("cx", 100 * first);
    handle.setAttribute("cy", -100 * second);
    build(cross[0], { x1: -reach, x2: reach, y1: -100 * second, y2: -100 * second }, []);
    build(cross[1], { x1: 100 * first, x2: 100 * first, y1: -reach, y2: reach }, []);
    pad.setAttribute("aria-valuenow", first);
    pad.setAttribute("aria-valuetext", where());
    sliders.forEach((one, i) => one.set(point[i]));
    const drawn = panels.map(({ name, layers, middle, canvas, mark, far, shown }) => {
      const image = decode(layers, point);
      paint(canvas, image, shape);
      const off = Math.max(...range(image.length).map((i) =>
        Math.abs(shown(image[i]) - shown(middle[i])),
      ));
      far.textContent = `Pixels differ from the centre's by up to ${off.toFixed(2)}.`;
      canvas.setAttribute(
        "aria-label",
        `What ${name} decodes the point to: its pixels differ by up to ${off.toFixed(2)} from ` +
          `those at the centre, on a scale from black 0 to white 1`,
      );
      // Points of the map lie in the middle of their images.
      const inner = (side - 1) / side;
      mark.style.left = `${50 + (50 * inner * first) / extent}%`;
      mark.style.top = `${50 - (50 * inner * second) / extent}%`;
      return { name, image: [...image] };
    });
    says.replaceChildren(
      "At ",
      h("b", { class: "other" }, where()),
      ...(moving.length
        ? [": ", h("b", {}, listed(moving)), ` answer${moving.length > 1 ? "" : "s"} to the point`]
        : []),
      ...(still.length
        ? [
            moving.length ? "; " : ": ",
            h("b", {}, listed(still)),
            ` draw${still.length > 1 ? "" : "s"} nearly the same picture wherever it is`,
          ]
        : []),
      ".",
    );
    report({ point: [...point], drawn });
  };

  update();
};
