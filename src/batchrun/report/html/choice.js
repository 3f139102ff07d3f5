// Which units are shown, and in which order: search, filters, sorting, equal outputs.

const byName = new Intl.Collator("en", { numeric: true }).compare;
const SORTED_BY = {
  status: (a, b) => a.weight - b.weight,
  task: (a, b) => a.task - b.task,
  host: (a, b) => byName(a.host, b.host),
  item: (a, b) => byName(a.item, b.item),
  message: (a, b) => byName(a.message, b.message),
  begin: (a, b) => (a.begin ?? Infinity) - (b.begin ?? Infinity) || 0,
  took: (a, b) => a.took - b.took,
  tries: (a, b) => a.tries - b.tries,
  worker: (a, b) => byName(a.worker, b.worker),
};
// What the buttons above the table let through, in their order.
const CHIPS = [
  ...data.kinds.filter(([kind]) => kind !== "ok" && kind !== "skipped")
    .map(([kind, words]) => [kind, words, (unit) => unit.kind === kind]),
  ["ok", "ok", (unit) => unit.kind === "ok"],
  ["changed", data.changed, (unit) => unit.changed],
  ["skipped", "skipped", (unit) => unit.kind === "skipped"],
  ["ignored", "ignored", (unit) => unit.ignored],
  ["retried", "retried", (unit) => unit.tries > 1],
  ["warned", "with warnings", (unit) => (unit.more?.warnings.length ?? 0) > 0],
];

// ---- equal outputs ------------------------------------------------------------------------------

const firstPlace = new Map();
data.texts.forEach((text, at) => {
  const key = JSON.stringify(text);
  firstPlace.set(key, firstPlace.get(key) ?? at);
});
const samePlace = data.texts.map((text) => firstPlace.get(JSON.stringify(text)));

function hasOutput(unit) {
  return unit.stdout !== NOTHING || unit.stderr !== NOTHING;
}

/** Return what is the same for units that wrote the same. */
function outputKey(unit) {
  return [unit.stdout, unit.stderr].map((place) => samePlace[place] ?? place).join(" ");
}

// Of outputs that are not in the page nobody knows.
const unitsOfOutput = groupBy(
  units.filter((unit) => hasOutput(unit) && unit.stdout !== NO_ROOM && unit.stderr !== NO_ROOM),
  outputKey,
);

// ---- search -------------------------------------------------------------------------------------

const lowerTexts = [];

function lowerText(place) {
  return place < 0 ? "" : (lowerTexts[place] ??= plainText(place).toLowerCase());
}

function holds(unit, word) {
  unit.words ??= [unit.host, unit.item, data.tasks[unit.task], unit.message, unit.worker, statusWords(unit),
    ...(unit.more?.warnings ?? [])].join("\n").toLowerCase();
  return unit.words.includes(word) || lowerText(unit.stdout).includes(word) ||
    lowerText(unit.stderr).includes(word);
}

// ---- the choice ---------------------------------------------------------------------------------

/** What people have chosen to see. */
class Choice {
  constructor() {
    this.sort = { name: "status", isDown: false };
    this.clear();
  }

  clear() {
    this.words = [];
    this.task = null;
    this.host = null;
    this.chips = new Set();
    // Units that were asked for elsewhere in the page: words for people, and which they are.
    this.only = null;
  }

  sortBy(name) {
    this.sort = { name, isDown: this.sort.name === name && !this.sort.isDown };
  }

  /** Let a chip count, or no longer; return whether it does. */
  toggle(name) {
    const isOn = !this.chips.delete(name);
    if (isOn) {
      this.chips.add(name);
    }
    return isOn;
  }

  /** Return the units, those with equal keys in the order of planning. */
  units() {
    const chosen = CHIPS.filter(([name]) => this.chips.has(name)).map(([, , fits]) => fits);
    const { name, isDown } = this.sort;
    return units
      .filter((unit) =>
        (this.task === null || unit.task === this.task) &&
        (this.host === null || unit.host === this.host) &&
        (chosen.length === 0 || chosen.some((fits) => fits(unit))) &&
        (this.only === null || this.only.fits(unit)) &&
        this.words.every((word) => holds(unit, word)))
      .sort((a, b) => (isDown ? -1 : 1) * SORTED_BY[name](a, b) || a.number - b.number);
  }
}
