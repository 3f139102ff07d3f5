// The page: the table, and what leads into it.

const table = new Table(document.getElementById("table"));

for (const button of document.querySelectorAll("button[data-group]")) {
  const group = Number(button.dataset.group);
  button.hidden = false;
  button.addEventListener("click", () =>
    table.restrict(data.groups[group], (unit) => unit.group === group));
}

if (data.spans.length > 0) {
  const names = new Set(data.lanes.map(([name]) => name));
  document.getElementById("timeline-section").hidden = false;
  new Timeline(document.getElementById("timeline"), document.getElementById("readout"), (span) => {
    const [name] = data.lanes[span[LANE]];
    const unit = unitOf.get(span[UNIT]);
    if (span[NUMBER] === 1 && unit !== undefined) {
      table.reveal(unit);
      return;
    }
    const [begin, end] = [span[BEGIN], span[BEGIN] + span[LENGTH]];
    // The last lane may be that of all hosts and workers without one of their own.
    table.restrict(`${name || "here"}, ${sinceBegin(begin)}`, (one) =>
      (laneOf(one) === name || !names.has(laneOf(one))) && one.begin >= begin && one.begin <= end);
  });
}
