// SPDX-License-Identifier: Apache-2.0
// How long the commands of a slot took in the last ten minutes: a chart, one sentence, and a table with the same
// figures. Drawn from what REST v2 tells of both ends: the card's time by the bank, round trip and network by the
// client. Of a client that does not tell what the network took, it has what the card leaves of the round trip.
"use strict";
(() => {
  const panel = document.getElementById("latency");
  if (!panel) return;
  const LOOK_MS = 2000;
  const SHOWN_S = 600;
  const LEAST_S = 60;
  const ROWS = 12;
  const slot = panel.dataset.slot;
  const place = document.getElementById("latency-chart");
  const said = document.getElementById("latency-said");
  const rows = document.getElementById("latency-rows");
  let plot = null;
  let first = 0;
  let drawn = "";

  const say = (text) => { if (said.textContent !== text) said.textContent = text; };
  const ms = (value) => (value === null || value === undefined ? "–" : `${value.toFixed(value < 1 ? 2 : value < 10 ? 1 : 0)} ms`);
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const middle = (values) => {
    const sorted = values.filter((value) => value !== null).sort((one, other) => one - other);
    return sorted.length ? sorted[Math.floor(sorted.length / 2)] : null;
  };

  // One row for each report of either end: time in s; card, median and 99 %; network, median; time held in s; by what
  // the network's time is known.
  function table(courses) {
    const card = courses.find((one) => one.measures === "card")?.points ?? [];
    const trip = courses.find((one) => one.measures === "round_trip")?.points ?? [];
    const all = [...card.map((point) => [point, true]), ...trip.map((point) => [point, false])]
      .map(([point, isCard]) => ({ at: Date.parse(point.at) / 1000, point, isCard }))
      .sort((one, other) => one.at - other.at);
    let newest = null;
    const found = [];
    for (const { at, point, isCard } of all) {
      if (isCard) newest = point.p50_us;
      const rest = newest !== null ? Math.max(0, point.p50_us - newest) : null;
      const us = point.network_p50_us ?? rest;
      const network = !isCard && us !== null ? us / 1000 : null;
      const row = found.at(-1)?.[0] === at ? found.pop() : [at, null, null, null, null, null];
      // Whose session was held, its client knows; without one that tells, the bank does.
      const hold = !isCard || !trip.length ? point.hold_ms / 1000 : row[4];
      found.push(isCard ? [at, point.p50_us / 1000, point.p99_us / 1000, row[3], hold, row[5]] : [at, row[1], row[2], network, hold, point.network_by ?? "rest"]);
    }
    return found;
  }

  const BY = { commands: "", pings: ", by PING", rest: ", as the rest of the round trip" };
  const NAMES = ["Card, median", "Card, 99 %", "Network, median", "Held"];

  // From the first figure to now, within bounds.
  function shown() {
    const now = remsim.now() / 1000;
    return [Math.max(Math.min(first, now - LEAST_S), now - SHOWN_S), now];
  }

  function build(width) {
    const soft = color("--soft");
    const axis = { stroke: soft, grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line"), width: 1 } };
    const line = (label, name, more = {}) => ({ label, stroke: color(name), width: 2, spanGaps: true, points: { show: true, size: 5 }, value: (_, value) => ms(value), ...more });
    return new uPlot({
      width,
      height: 220,
      cursor: { drag: { x: false, y: false } },
      legend: { markers: { dash: (_, number) => (number === 2 ? "dashed" : "solid") } },
      scales: { x: { time: true, range: shown }, y: { range: (_, __, most) => [0, Math.max(1, most * 1.1)] }, s: { range: (_, __, most) => [0, Math.max(1, most * 1.1)] } },
      axes: [
        { ...axis, space: 80, incrs: [10, 30, 60, 120], values: "{HH}:{mm}:{ss}" },
        { ...axis, size: 60, values: (_, ticks) => ticks.map((tick) => `${tick} ms`) },
        { ...axis, scale: "s", side: 1, size: 50, grid: { show: false }, values: (_, ticks) => ticks.map((tick) => `${tick} s`) },
      ],
      series: [
        { label: "Time", value: (_, at) => (at === null ? "–" : new Date(at * 1000).toLocaleTimeString([], { hour12: false })) },
        line(NAMES[0], "--accent"),
        line(NAMES[1], "--accent", { dash: [4, 4] }),
        line(NAMES[2], "--waiting"),
        line(NAMES[3], "--problem", { scale: "s", paths: uPlot.paths.bars({ size: [0.6, 8] }), fill: color("--problem"), value: (_, value) => (value === null ? "–" : `${value.toFixed(1)} s`) }),
      ],
    }, [[], [], [], [], []], place);
  }

  function draw(found) {
    first = found[0][0];
    if (!plot) plot = build(place.clientWidth);
    plot.setData([0, 1, 2, 3, 4].map((column) => found.map((row) => row[column])));
  }

  function cells(row) {
    const clock = new Date(row[0] * 1000).toLocaleTimeString([], { hour12: false });
    return [clock, ms(row[1]), ms(row[2]), ms(row[3]), row[4] === null ? "–" : `${row[4].toFixed(1)} s`];
  }

  function write(found) {
    rows.replaceChildren(...found.slice(-ROWS).reverse().map((row) => {
      const line = document.createElement("tr");
      for (const [number, text] of cells(row).entries()) {
        const cell = document.createElement("td");
        cell.className = number ? "num" : "at";
        cell.textContent = text;
        line.append(cell);
      }
      return line;
    }));
    const of = (column) => found.map((row) => row[column]);
    const most = Math.max(...of(2).map((value) => value ?? 0));
    const held = of(4).reduce((sum, value) => sum + (value ?? 0), 0);
    const [card, network] = [middle(of(1)), middle(of(3))];
    const parts = [
      ...(card === null ? [] : [`card ${ms(card)} in the median, 99 % below ${ms(most)}`]),
      ...(network === null ? [] : [`network ${ms(network)} in the median${BY[of(5).findLast((by) => by !== null)]}`]),
      `held for ${held.toFixed(1)} s`,
    ];
    say(`In the last ten minutes: ${parts.join("; ")}.`);
  }

  async function look() {
    if (document.hidden || remsim.isStale()) return;
    try {
      const found = table((await remsim.order("GET", `/latency/${slot}`)).body.courses);
      place.hidden = !found.length;
      panel.querySelector("details").hidden = !found.length;
      if (!found.length) {
        say("Nothing is told of the last ten minutes: no commands, or programs that do not tell.");
        return;
      }
      draw(found);
      const key = JSON.stringify(found.at(-1)) + found.length;
      if (key === drawn) return;
      drawn = key;
      write(found);
    } catch (error) {
      if (!(error instanceof remsim.Refusal)) throw error;
      say(`The times cannot be shown: ${error.message}.`);
    }
  }

  function anew() {
    plot?.destroy();
    plot = null;
    look();
  }
  new ResizeObserver(() => { if (plot && place.clientWidth) plot.setSize({ width: place.clientWidth, height: 220 }); }).observe(place);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", anew);
  setInterval(look, LOOK_MS);
  look();
})();
