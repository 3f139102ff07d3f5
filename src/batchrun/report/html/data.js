// The data of the page as objects, and how they are written. All text goes through textContent.

const data = JSON.parse(document.getElementById("data").textContent);

// The order of Listing._row().
const COLUMNS = [
  "number", "task", "host", "item", "kind", "flags", "begin", "took", "tries", "worker", "message",
  "stdout", "stderr", "group", "more",
];
const CHANGED = 1;
const IGNORED = 2;
// Instead of the place of an output.
const NOTHING = -1;
const NO_ROOM = -2;
// What people look for first.
const WEIGHT = {
  failed: 0, timed_out: 1, unreachable: 2, lost: 3, cancelled: 4, aborted: 5, ok: 7, skipped: 8,
};

const units = data.units.map((row) => {
  const unit = Object.fromEntries(COLUMNS.map((name, at) => [name, row[at]]));
  unit.kind = data.kinds[unit.kind][0];
  unit.changed = (unit.flags & CHANGED) !== 0;
  unit.ignored = (unit.flags & IGNORED) !== 0;
  unit.weight = unit.changed ? 6 : WEIGHT[unit.kind] + (unit.ignored ? 0.5 : 0);
  return unit;
});
const hosts = [...new Set(units.map((unit) => unit.host))].filter(Boolean);
const unitOf = new Map(units.map((unit) => [unit.number, unit]));
const kindWords = new Map(data.kinds);

function groupBy(members, keyOf) {
  const groups = new Map();
  for (const member of members) {
    const key = keyOf(member);
    if (!groups.has(key)) {
      groups.set(key, []);
    }
    groups.get(key).push(member);
  }
  return groups;
}

/** Make an element; children are nodes or text, never markup. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) {
      element.setAttribute(key, value);
    }
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function count(number) {
  return String(number).replace(/\B(?=(\d{3})+$)/g, " ");
}

/** Write how long something takes, as the recap does. */
function duration(ms) {
  const seconds = ms / 1000;
  if (seconds < 0.0995) {
    return `${Math.round(Math.max(ms, 0))} ms`;
  }
  if (seconds < 59.95) {
    return `${seconds.toFixed(1).replace(/\.0$/, "")} s`;
  }
  const two = (number) => String(number).padStart(2, "0");
  if (seconds < 3599.5) {
    const whole = Math.round(seconds);
    return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  }
  if (seconds < 86370) {
    const minutes = Math.round(seconds / 60);
    return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
  }
  const hours = Math.round(seconds / 3600);
  return `${count(Math.floor(hours / 24))} d ${two(hours % 24)} h`;
}

/** Write when in the run something began; always with a digit behind the point, for columns. */
function sinceBegin(ms) {
  const seconds = Math.max(ms, 0) / 1000;
  return `+${seconds < 59.95 ? `${seconds.toFixed(1)} s` : duration(ms)}`;
}

/** Write a moment in the time of the machine that the report comes from. */
function moment(ms) {
  const local = new Date(data.began_ms + data.offset_s * 1000 + ms);
  const minutes = Math.round(Math.abs(data.offset_s) / 60);
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  const offset = `${data.offset_s < 0 ? "-" : "+"}${two(minutes / 60)}:${two(minutes % 60)}`;
  const words = Number.isNaN(local.getTime()) ? "" : local.toISOString();
  return `${words.slice(0, 10)} ${words.slice(11, 23)} ${minutes ? offset : "UTC"}`;
}

function statusWords(unit) {
  const words = unit.changed ? data.changed : kindWords.get(unit.kind);
  return unit.ignored ? `${words}, ignored` : words;
}

function statusClass(unit) {
  const name = unit.changed ? "changed" : unit.kind.replace("_", "-");
  return `status kind-${unit.ignored ? "ignored" : name}`;
}

/** Name the lane of the timeline in which a unit is. */
function laneOf(unit) {
  return unit.host || unit.worker;
}

/** Name a unit among those of its task; empty: it is the only one. */
function whoOf(unit) {
  return unit.host && unit.item ? `${unit.host} ${unit.item}` : unit.host || unit.item;
}

function nameOf(unit) {
  const task = data.tasks[unit.task];
  return whoOf(unit) ? `${task}  ${whoOf(unit)}` : task;
}

/** Return why a unit ended so, without the host and item that stand beside it. */
function messageOf(unit) {
  let { message } = unit;
  for (const name of [unit.host, unit.item]) {
    if (name !== "" && message.startsWith(`${name}: `)) {
      message = message.slice(name.length + 2);
    }
  }
  return message;
}

/** Return an output as one text, for search and comparison. */
function plainText(place) {
  const text = place >= 0 ? data.texts[place] : "";
  return Array.isArray(text) ? `${text[0]}\n${text[2]}` : text;
}

/** Show an output; what was left out is said where it was. */
function outputElement(place) {
  if (place === NO_ROOM) {
    return make("p", { class: "remark" }, "Not kept in this page: there was too much output.");
  }
  const text = data.texts[place];
  if (!Array.isArray(text)) {
    return make("pre", {}, text);
  }
  const gap = make("span", { class: "gap" }, `${count(text[1])} bytes are left out here`);
  return make("pre", {}, text[0], gap, text[2]);
}
