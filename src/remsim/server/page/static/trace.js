// SPDX-License-Identifier: Apache-2.0
// The live trace of one slot: v2's stream of records as rows, the newest first. A pause stops the rows, not the stream.
"use strict";
(() => {
  const panel = document.getElementById("trace");
  if (!panel) return;
  const MOST = 500;
  const slot = panel.dataset.slot;
  const start = document.getElementById("trace-start");
  const pause = document.getElementById("trace-pause");
  const save = document.getElementById("trace-save");
  const filter = document.getElementById("trace-filter");
  const rows = document.getElementById("trace-rows");
  const said = document.getElementById("trace-said");
  const box = document.getElementById("trace-box");
  let stream = null;
  let isPaused = false;
  let records = [];

  const say = (text) => { if (said.textContent !== text) said.textContent = text; };
  const words = (one) => {
    if (one.kind === "left_out") return `${one.left_out} records were left out: too many at once`;
    if (one.kind === "atr") return `ATR ${(one.response || "").toUpperCase()}`;
    return one.words || one.command || one.kind.replace("_", " ");
  };
  const fits = (one, wanted) => !wanted || `${words(one)} ${one.answer || ""} ${one.command || ""} ${one.origin || ""}`.toLowerCase().includes(wanted);
  const ms = (value) => (value === undefined || value === null ? "" : value.toFixed(value < 1 ? 2 : 1));

  function row(one) {
    const line = document.createElement("tr");
    for (const [text, kind] of [
      [one.at.slice(11, 23), "at"],
      [words(one), "detail"],
      [one.answer || "", ""],
      [ms(one.card_ms), "num"],
      [ms(one.total_ms), "num"],
      [one.origin || "", ""],
    ]) {
      const cell = document.createElement("td");
      cell.className = kind;
      cell.textContent = text;
      line.append(cell);
    }
    if (one.command) line.title = `${one.command} → ${one.response || ""}`;
    return line;
  }

  function show() {
    const wanted = filter.value.trim().toLowerCase();
    rows.replaceChildren(...records.filter((one) => fits(one, wanted)).map(row));
  }

  function take(event) {
    const one = JSON.parse(event.data);
    records.unshift(one);
    if (records.length > MOST) records.length = MOST;
    save.disabled = false;
    if (isPaused) {
      say(`Paused; ${records.length} records are here.`);
      return;
    }
    if (fits(one, filter.value.trim().toLowerCase())) rows.prepend(row(one));
    while (rows.children.length > MOST) rows.lastElementChild.remove();
  }

  function watch() {
    stream = new EventSource(`/api/v2/traces/${slot}`);
    box.hidden = false;
    start.textContent = "Stop";
    pause.disabled = false;
    say("Watching …");
    stream.addEventListener("record", take);
    stream.addEventListener("ends", (event) => {
      const ends = JSON.parse(event.data).ends;
      const told = ends.map((end) => (end.traces ? `${end.slot} tells` : `${end.slot}: ${end.problem || "does not tell"}`));
      say(told.join("; ") || "Nobody can tell of this slot.");
    });
    stream.addEventListener("missed", () => say("Some records were missed."));
    stream.addEventListener("error", () => say("The trace has stopped; it is tried again."));
  }

  function stop() {
    stream.close();
    stream = null;
    start.textContent = "Watch";
    pause.disabled = true;
    isPaused = false;
    pause.textContent = "Pause";
    say("Not watched now.");
  }

  start.addEventListener("click", () => (stream ? stop() : watch()));
  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.textContent = isPaused ? "Go on" : "Pause";
    if (!isPaused) show();
  });
  filter.addEventListener("input", show);
  save.addEventListener("click", () => {
    const text = records.toReversed().map((one) => JSON.stringify(one)).join("\n");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([`${text}\n`], { type: "application/jsonl" }));
    link.download = `${slot.replace(":", "-")}-trace.jsonl`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
  addEventListener("pagehide", () => stream?.close());
})();
