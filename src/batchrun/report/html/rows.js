// What is shown of single units, and of those that wrote the same.

const HEADS = [
  ["status", "Status"], ["task", "Task"], ...(hosts.length > 0 ? [["host", "Host"]] : []),
  ["item", "Item"], ["message", "Message"],
  ["begin", "Began"], ["took", "Took"], ["tries", "Tries"], ["worker", "Worker"],
];
const NAMED_ITEMS = 12;
// Characters of a text that its row may have cut.
const LONG = 30;

/** Show what a unit wrote, stream by stream. */
function outputElements(unit) {
  if (!hasOutput(unit)) {
    return [make("p", { class: "remark" }, "No output.")];
  }
  const shown = [];
  for (const name of ["stdout", "stderr"]) {
    if (unit[name] !== NOTHING) {
      shown.push(make("p", { class: "stream" }, name), outputElement(unit[name]));
    }
  }
  return shown;
}

/** Make the row below a row: all that is known of a unit. */
function details(unit, table) {
  const task = data.tasks[unit.task];
  const pairs = [["Unit", count(unit.number)], ...(task.length > LONG ? [["Task", task]] : [])];
  if (unit.begin !== null) {
    pairs.push(["Began", moment(unit.begin)], ["Took", duration(unit.took)]);
  }
  pairs.push(["Tries", String(unit.tries)]);
  if (unit.worker) {
    pairs.push(["Worker", unit.worker]);
  }
  const facts = make("dl", { class: "facts" }, ...pairs.map(([name, value]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, value))));
  const known = texts(unit);
  const output = hasOutput(unit) || known.length === 0 ? outputElements(unit) : [];
  const shown = [facts, ...known, ...output, ...same(unit, table)];
  const cell = make("td", { colspan: HEADS.length, role: "cell" }, ...shown);
  return make("tr", { class: "details", role: "row" }, cell);
}

function texts(unit) {
  const isLong = messageOf(unit).length > LONG;
  const shown = isLong ? [make("p", { class: "why" }, unit.message)] : [];
  const { warnings = [], diff = "", traceback = "" } = unit.more ?? {};
  if (warnings.length > 0) {
    shown.push(make("ul", { class: "notes" }, ...warnings.map((sentence) =>
      make("li", { class: "note-warning" }, make("b", {}, "warning: "), sentence))));
  }
  if (diff) {
    const kinds = { "+": "plus", "-": "minus", "@": "place" };
    shown.push(make("p", { class: "stream" }, "diff"), make("pre", {},
      ...diff.split("\n").map((line) => make("span", { class: kinds[line[0]] }, `${line}\n`))));
  }
  if (traceback) {
    shown.push(make("p", { class: "stream" }, "traceback"), make("pre", {}, traceback));
  }
  return shown;
}

/** Say who else wrote the same. */
function same(unit, table) {
  const all = unitsOfOutput.get(outputKey(unit)) ?? [];
  if (all.length < 2) {
    return [];
  }
  const members = new Set(all);
  const button = make("button", { type: "button" },
    `Show the ${count(all.length)} units with this output`);
  button.addEventListener("click", (event) => {
    event.stopPropagation();
    table.restrict("the same output", (one) => members.has(one));
  });
  return [make("p", {}, button)];
}

/** Make the block of units that ended alike and wrote the same. */
function foldOf(members) {
  const [first] = members;
  const names = members.slice(0, NAMED_ITEMS).map((unit) => whoOf(unit) || data.tasks[unit.task]);
  const more = members.length - names.length;
  const items = names.join(", ") + (more > 0 ? ` and ${count(more)} more` : "");
  const words = `${count(members.length)} unit${members.length === 1 ? "" : "s"}`;
  return make("details", { class: "fold", open: "" },
    make("summary", {}, make("span", { class: statusClass(first) }, statusWords(first)),
      make("b", {}, ` ${words} `), make("span", { class: "items" }, items)),
    ...outputElements(first));
}
