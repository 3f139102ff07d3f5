// The table of units, and what stands around it: search, filters, pages, folded outputs.

const PAGE_ROWS = 200;
const PAGE_FOLDS = 50;

class Table {
  constructor(place) {
    this.place = place;
    this.choice = new Choice();
    this.open = new Set();
    this.isFolded = false;
    this.build();
    this.update();
    place.hidden = false;
  }

  // ---- its parts

  build() {
    this.search = make("input", { type: "search", id: "search", autocomplete: "off",
      placeholder: "item, message, output …", "aria-keyshortcuts": "/" });
    this.task = make("select", { id: "task" }, new Option("all tasks", ""),
      ...data.tasks.map((name, at) => new Option(name, at)));
    this.host = make("select", { id: "host" }, new Option("all hosts", ""),
      ...[...hosts].sort(byName).map((name) => new Option(name, name)));
    this.order = make("select", { id: "order" },
      ...HEADS.map(([name, words]) => new Option(words, name)));
    this.fold = make("button", { type: "button", "aria-pressed": "false" }, "Fold equal outputs");
    this.chips = make("div", { class: "chips", role: "group", "aria-label": "Show only" },
      ...this.buildChips());
    this.onlyPlace = make("span");
    this.result = make("p", { class: "result", role: "status" });
    // The roles are those that the elements have anyway, but not when a phone shows them as blocks.
    this.body = make("tbody", { role: "rowgroup" });
    this.heads = HEADS.map(([name, words]) => this.buildHead(name, words));
    this.table = make("table", { class: "units", role: "table" },
      make("caption", { class: "unseen" }, "Units; a button in each row shows its output"),
      make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...this.heads)), this.body);
    this.folds = make("div", { class: "folds" });
    this.pager = make("nav", { class: "pager", "aria-label": "Pages of the table" });
    const label = (target, words, more = "") =>
      make("label", { for: target.id, class: more || null }, make("span", {}, words), target);
    this.place.append(
      make("div", { class: "tools" }, label(this.search, "Search", "wide"),
        data.tasks.length > 1 ? label(this.task, "Task") : null,
        hosts.length > 1 ? label(this.host, "Host") : null,
        label(this.order, "Sort by", "narrow"), this.fold),
      this.chips, make("div", { class: "found" }, this.result, this.onlyPlace),
      this.table, this.folds, this.pager,
    );
    this.listen();
  }

  buildChips() {
    const chips = [];
    for (const [name, words, fits] of CHIPS) {
      const number = units.filter(fits).length;
      if (number > 0) {
        const chip = make("button", { type: "button", "aria-pressed": "false", "data-chip": name,
          class: `chip kind-${name.replace("_", "-")}` }, `${words} `,
        make("span", { class: "also" }, count(number)));
        chip.addEventListener("click", () => {
          chip.setAttribute("aria-pressed", this.choice.toggle(name));
          this.update();
        });
        chips.push(chip);
      }
    }
    return chips.length > 1 ? chips : [];
  }

  buildHead(name, words) {
    const button = make("button", { type: "button" }, words);
    button.addEventListener("click", () => this.sortBy(name));
    return make("th", { scope: "col", role: "columnheader", class: `of-${name}` }, button);
  }

  listen() {
    this.search.addEventListener("input", () => {
      this.choice.words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
      this.update();
    });
    this.task.addEventListener("change", () => {
      this.choice.task = this.task.value === "" ? null : Number(this.task.value);
      this.update();
    });
    this.host.addEventListener("change", () => {
      this.choice.host = this.host.value || null;
      this.update();
    });
    this.order.addEventListener("change", () => this.sortBy(this.order.value));
    this.fold.addEventListener("click", () => {
      this.isFolded = !this.isFolded;
      this.fold.setAttribute("aria-pressed", this.isFolded);
      this.update();
    });
    this.table.addEventListener("keydown", (event) => this.key(event));
    document.addEventListener("keydown", (event) => {
      if (event.key === "/" && !event.target.closest("input, select, textarea")) {
        event.preventDefault();
        this.search.focus();
      }
    });
  }

  /** Let the arrow keys go from row to row. */
  key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const buttons = [...this.body.querySelectorAll("button[aria-expanded]")];
    const at = buttons.indexOf(event.target);
    if (step && at >= 0) {
      event.preventDefault();
      buttons[Math.min(Math.max(at + step, 0), buttons.length - 1)].focus();
    }
  }

  // ---- what is shown

  sortBy(name) {
    this.choice.sortBy(name);
    this.update();
  }

  /** Show some units only, until people have enough of it. */
  restrict(words, fits) {
    this.clear();
    this.choice.only = { words, fits };
    this.update();
    this.goToTop();
  }

  /** Go where the rows begin, with the keyboard too. */
  goToTop() {
    this.place.scrollIntoView();
    this.place.focus({ preventScroll: true });
  }

  clear() {
    this.search.value = "";
    this.task.value = "";
    this.host.value = "";
    this.chips.querySelectorAll("button").forEach((chip) =>
      chip.setAttribute("aria-pressed", "false"));
    this.choice.clear();
  }

  /** Show one unit with its output. */
  reveal(unit) {
    this.clear();
    this.isFolded = false;
    this.fold.setAttribute("aria-pressed", "false");
    this.open.add(unit.number);
    this.found = this.choice.units();
    this.page = Math.floor(this.found.indexOf(unit) / PAGE_ROWS);
    this.render();
    const button = document.getElementById(`unit-${unit.number}`);
    button.scrollIntoView({ block: "center" });
    button.focus({ preventScroll: true });
  }

  update() {
    this.found = this.choice.units();
    this.page = 0;
    this.render();
  }

  render() {
    this.table.hidden = this.isFolded;
    this.folds.hidden = !this.isFolded;
    const { name, isDown } = this.choice.sort;
    this.order.value = name;
    this.heads.forEach((head, at) => {
      const order = isDown ? "descending" : "ascending";
      head.setAttribute("aria-sort", HEADS[at][0] === name ? order : "none");
    });
    this.result.textContent = units.length === this.found.length
      ? `${count(units.length)} units`
      : `${count(this.found.length)} of ${count(units.length)} listed units`;
    this.renderOnly();
    if (this.isFolded) {
      this.renderFolds();
    } else {
      this.renderRows();
    }
  }

  renderOnly() {
    const { only } = this.choice;
    if (only === null) {
      this.onlyPlace.replaceChildren();
      return;
    }
    const button = make("button", { type: "button", class: "chip" }, `${only.words} `,
      make("span", { "aria-hidden": "true" }, "×"), make("span", { class: "unseen" }, "show all"));
    button.addEventListener("click", () => {
      this.choice.only = null;
      this.update();
    });
    this.onlyPlace.replaceChildren(button);
  }

  renderRows() {
    const begin = this.page * PAGE_ROWS;
    const shown = this.found.slice(begin, begin + PAGE_ROWS);
    this.body.replaceChildren(...shown.flatMap((unit) => this.rowsOf(unit)));
    this.renderPager(this.found.length, PAGE_ROWS);
  }

  renderPager(number, size) {
    const pages = Math.ceil(number / size);
    this.pager.hidden = pages < 2;
    const go = (words, page) => {
      const button = make("button", { type: "button" }, words);
      button.disabled = page < 0 || page >= pages || page === this.page;
      button.addEventListener("click", () => {
        this.page = page;
        this.render();
        this.goToTop();
      });
      return button;
    };
    const end = Math.min((this.page + 1) * size, number);
    this.pager.replaceChildren(
      go("First", 0), go("Previous", this.page - 1),
      make("span", {}, `${count(this.page * size + 1)}–${count(end)} of ${count(number)}`),
      go("Next", this.page + 1), go("Last", pages - 1),
    );
  }

  // ---- rows

  rowsOf(unit) {
    const isOpen = this.open.has(unit.number);
    const status = make("span", { class: statusClass(unit) }, statusWords(unit));
    const button = make("button", { type: "button", id: `unit-${unit.number}`, class: "opener",
      "aria-expanded": isOpen }, status);
    const cut = (text) => (text ? make("span", { class: "cut" }, text) : "");
    const cell = (name, ...children) =>
      make("td", { class: `of-${name}`, role: "cell" }, ...children);
    const row = make("tr", { role: "row", class: isOpen ? "open" : null },
      cell("status", button), cell("task", cut(data.tasks[unit.task])),
      hosts.length > 0 ? cell("host", cut(unit.host)) : null, cell("item", unit.item),
      cell("message", cut(messageOf(unit))),
      cell("begin", unit.begin === null ? "" : sinceBegin(unit.begin)),
      cell("took", unit.begin === null ? "" : duration(unit.took)),
      cell("tries", unit.tries > 1 ? String(unit.tries) : ""), cell("worker", unit.worker));
    const rows = isOpen ? [row, details(unit, this)] : [row];
    row.addEventListener("click", () => {
      if (getSelection().isCollapsed) {
        this.turn(unit, row);
      }
    });
    return rows;
  }

  /** Open a row or close it. */
  turn(unit, row) {
    const isOpen = !this.open.delete(unit.number);
    if (isOpen) {
      this.open.add(unit.number);
      row.after(details(unit, this));
    } else {
      row.nextSibling.remove();
    }
    row.classList.toggle("open", isOpen);
    row.querySelector("button").setAttribute("aria-expanded", isOpen);
  }

  // ---- equal outputs

  renderFolds() {
    const found = groupBy(this.found, (unit) => `${statusWords(unit)} ${outputKey(unit)}`);
    const folds = [...found.values()].sort((a, b) =>
      a[0].weight - b[0].weight || b.length - a.length);
    const begin = this.page * PAGE_FOLDS;
    this.folds.replaceChildren(
      ...folds.slice(begin, begin + PAGE_FOLDS).map(foldOf));
    this.renderPager(folds.length, PAGE_FOLDS);
  }
}
