// The timeline: a lane for each host or worker, a bar for each attempt or for several that are near.

const SVG = "http://www.w3.org/2000/svg";
// Of a span: lane, begin and length in ms, first unit, attempts, those that did not end well, ms
// that all of them took.
const [LANE, BEGIN, LENGTH, UNIT, NUMBER, BAD, BUSY] = [0, 1, 2, 3, 4, 5, 6];
// Letters of a name that are shown, and what each takes in pixels.
const [LEAST_LETTERS, MOST_LETTERS, LETTER] = [13, 26, 6];
// Width of the margin on the right in pixels, where it says how busy they were.
const RIGHT = 46;
const AXIS = 22;
const MOST_HEIGHT = 22;
// So many pixels beside a bar still mean it.
const NEAR = 8;

function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) {
    element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

/** Choose a step of round numbers, so that marks are some hundred pixels apart. */
function niceStep(wholeMs, pixels) {
  const wanted = wholeMs / Math.max(pixels / 110, 1);
  const nice = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5,
    6e5, 9e5, 18e5, 36e5, 72e5, 108e5, 216e5, 432e5, 864e5];
  return nice.find((step) => step >= wanted) ?? Math.ceil(wanted / 864e5) * 864e5;
}

class Timeline {
  constructor(place, readout, choose) {
    this.place = place;
    this.readout = readout;
    this.choose = choose;
    this.current = -1;
    const ends = data.spans.map((span) => span[BEGIN] + span[LENGTH]);
    // The clock of a machine may be set while a run goes on; how long it took is known.
    this.wholeMs = Math.max(data.took_ms ?? Math.max(0, ...ends), 1);
    const longest = Math.max(0, ...data.lanes.map(([name]) => name.length));
    this.letters = Math.min(Math.max(longest, LEAST_LETTERS), MOST_LETTERS);
    this.left = 14 + this.letters * LETTER;
    const room = 560 / Math.max(data.lanes.length, 1);
    this.height = Math.max(Math.min(room, MOST_HEIGHT), 8);
    this.drawing = svg("svg", {
      tabindex: "0",
      role: "application",
      "aria-roledescription": "timeline",
      "aria-label": "Timeline of hosts and workers. Arrow keys go from attempt to attempt, " +
        "Enter shows it in the table.",
    });
    place.append(this.drawing);
    this.hint = "Point at a bar, or use the arrow keys; a click shows it in the table.";
    readout.textContent = this.hint;
    this.listen();
    new ResizeObserver(() => this.draw()).observe(place);
    this.draw();
  }

  x(ms) {
    const inside = Math.min(Math.max(ms, 0), this.wholeMs);
    return this.left + (inside / this.wholeMs) * this.width;
  }

  draw() {
    const whole = Math.max(this.place.clientWidth, 240);
    if (whole === this.whole) {
      return;
    }
    this.whole = whole;
    this.width = whole - this.left - RIGHT;
    const height = data.lanes.length * this.height + AXIS;
    this.drawing.setAttribute("viewBox", `0 0 ${whole} ${height}`);
    this.drawing.setAttribute("width", whole);
    this.drawing.setAttribute("height", height);
    this.bars = data.spans.map((span) => this.bar(span));
    const marks = data.spans.filter((span) => span[BAD] > 0).map((span) => this.mark(span));
    this.cursor = svg("rect", { class: "cursor", visibility: "hidden" });
    this.drawing.replaceChildren(
      ...this.axis(height), ...data.lanes.flatMap((lane, at) => this.lane(lane, at)),
      ...this.bars, ...marks, this.cursor,
    );
    this.show(this.current);
  }

  axis(height) {
    const step = niceStep(this.wholeMs, this.width);
    const drawn = [];
    for (let at = 0; at <= this.wholeMs; at += step) {
      const x = this.x(at);
      drawn.push(
        svg("line", { class: "tick", x1: x, x2: x, y1: 0, y2: height - AXIS + 4 }),
        svg("text", { class: "axis", x, y: height - 5 }, at ? duration(at) : "0"),
      );
    }
    return drawn;
  }

  lane([name, attempts, busyMs], at) {
    const y = at * this.height;
    const middle = y + this.height / 2 + 4;
    const drawn = [
      svg("line", { class: "rail", x1: this.left, x2: this.left + this.width, y1: y + this.height - 0.5,
        y2: y + this.height - 0.5 }),
    ];
    // Names that would cover each other are left out; the readout has them.
    if (at % Math.ceil(13 / this.height) === 0) {
      const busy = `${Math.min(Math.round((100 * busyMs) / this.wholeMs), 100)} %`;
      const short = name.length > this.letters ? `${name.slice(0, this.letters - 1)}…` : name;
      const label = svg("text", { class: "lane", x: this.left - 8, y: middle, "text-anchor": "end" },
        short || "here");
      label.append(svg("title", {}, `${name || "here"}: ${count(attempts)} attempts`));
      drawn.push(label, svg("text", { class: "lane", x: this.left + this.width + 6, y: middle }, busy));
    }
    return drawn;
  }

  bar(span) {
    const x = this.x(span[BEGIN]);
    const width = Math.max(this.x(span[BEGIN] + span[LENGTH]) - x, 1);
    const inset = this.height > 12 ? 4 : 1;
    return svg("rect", {
      class: span[BAD] === span[NUMBER] ? "span bad" : "span",
      x, y: span[LANE] * this.height + inset, width, height: this.height - 2 * inset,
      // Several attempts with time between them are paler.
      "fill-opacity": span[NUMBER] === 1 ? 1 : 0.3 + 0.7 * Math.min(span[BUSY] / span[LENGTH], 1),
    });
  }

  /** A failure has a mark of its own shape, for those who see no colours and for thin bars. */
  mark(span) {
    const x = this.x(span[BEGIN] + span[LENGTH] / 2);
    const y = span[LANE] * this.height;
    const size = this.height > 12 ? 4 : 3;
    const d = `M${x - size} ${y}h${2 * size}l${-size} ${size * 1.5}z`;
    return svg("path", { class: "mark", d });
  }

  /** Choose a bar and say what it is; -1: none. */
  show(at) {
    this.current = at;
    const span = data.spans[at];
    this.cursor.setAttribute("visibility", span ? "visible" : "hidden");
    this.readout.replaceChildren(...(span ? this.words(span) : [this.hint]));
    if (span) {
      for (const name of ["x", "width"]) {
        this.cursor.setAttribute(name, this.bars[at].getAttribute(name));
      }
      this.cursor.setAttribute("y", span[LANE] * this.height + 0.5);
      this.cursor.setAttribute("height", this.height - 1);
    }
  }

  words(span) {
    const unit = unitOf.get(span[UNIT]);
    const name = data.lanes[span[LANE]][0] || "here";
    const when = `${name}, ${sinceBegin(span[BEGIN])}, ${duration(span[LENGTH])}`;
    if (span[NUMBER] > 1) {
      const bad = span[BAD] ? `, ${count(span[BAD])} of them not well` : "";
      return [`${when}: ${count(span[NUMBER])} attempts${bad}`];
    }
    if (unit === undefined) {
      return [`${when}: unit ${count(span[UNIT])}, which is not listed`];
    }
    const status = make("span", { class: statusClass(unit) }, statusWords(unit));
    return [status, ` ${nameOf(unit)}`, make("span", { class: "also" }, when)];
  }

  listen() {
    this.drawing.addEventListener("pointermove", (event) => {
      const at = this.under(event);
      if (at >= 0 && at !== this.current) {
        this.show(at);
      }
    });
    this.drawing.addEventListener("click", (event) => {
      const at = this.under(event);
      if (at >= 0) {
        this.show(at);
        this.choose(data.spans[at]);
      }
    });
    this.drawing.addEventListener("keydown", (event) => this.key(event));
  }

  /** Return the bar at the pointer, or one so near that it was meant; -1: none. */
  under(event) {
    const { left, top } = this.drawing.getBoundingClientRect();
    const lane = Math.floor((event.clientY - top) / this.height);
    const x = event.clientX - left;
    let best = -1;
    let far = NEAR;
    data.spans.forEach((span, at) => {
      if (span[LANE] === lane) {
        const [begin, end] = [this.x(span[BEGIN]), this.x(span[BEGIN] + span[LENGTH])];
        const away = Math.max(begin - x, x - end, 0);
        if (away < far || (away === 0 && span[BAD] > 0)) {
          [best, far] = [at, away];
        }
      }
    });
    return best;
  }

  key(event) {
    const moves = { ArrowRight: 1, ArrowLeft: -1 };
    if (event.key in moves) {
      const next = Math.max(this.current + moves[event.key], 0);
      this.show(Math.min(next, data.spans.length - 1));
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      this.show(this.neighbour(event.key === "ArrowDown" ? 1 : -1));
    } else if (event.key === "Enter" && this.current >= 0) {
      this.choose(data.spans[this.current]);
    } else if (event.key === "Escape") {
      this.show(-1);
    } else {
      return;
    }
    event.preventDefault();
  }

  /** Return the bar of another lane that is nearest in time. */
  neighbour(step) {
    const from = data.spans[this.current];
    if (from === undefined) {
      return 0;
    }
    let best = this.current;
    let far = Infinity;
    data.spans.forEach((span, at) => {
      const away = Math.abs(span[BEGIN] - from[BEGIN]);
      if (span[LANE] === from[LANE] + step && away < far) {
        [best, far] = [at, away];
      }
    });
    return best;
  }
}
