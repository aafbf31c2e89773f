// SPDX-License-Identifier: Apache-2.0
// Gives cards to clients: by drag, by two clicks, by keyboard ("m", type, Enter). Only for those who may; others have
// none of the elements that this file works on.
"use strict";
(() => {
  const picked = document.getElementById("picked");
  if (!picked) return;
  const overview = document.getElementById("overview");
  const dialog = document.getElementById("mapper");
  const input = document.getElementById("mapper-input");
  const list = document.getElementById("mapper-list");
  let first = null;
  let dragged = null;
  let wanted = null;
  const isCard = (slot) => slot.startsWith("B");
  const element = (slot) => document.getElementById(remsim.idOf(slot));

  function join(one, other) {
    if (isCard(one) === isCard(other)) return false;
    const [card, client] = isCard(one) ? [one, other] : [other, one];
    remsim.map(card, client);
    return true;
  }

  // Two clicks
  function pick(slot) {
    for (const old of document.querySelectorAll('.pick[aria-pressed="true"]')) old.setAttribute("aria-pressed", "false");
    first = slot;
    picked.hidden = slot === null;
    if (slot === null) return;
    const chosen = element(slot);
    chosen.querySelector(".pick").setAttribute("aria-pressed", "true");
    const other = isCard(slot) ? "a client" : "a card";
    document.getElementById("picked-text").textContent = `${slot} is chosen. Click ${other} to map, or press m.`;
    document.getElementById("picked-open").href = chosen.querySelector("a.nr").href;
    document.getElementById("picked-unmap").hidden = !chosen.dataset.to;
  }

  overview.addEventListener("click", (event) => {
    const target = event.target.closest(".pick");
    if (target) choose(target.closest("li").dataset.slot);
  });
  function choose(slot) {
    if (first === slot) pick(null);
    else if (first !== null && join(first, slot)) pick(null);
    else pick(slot);
  }
  document.getElementById("picked-clear").addEventListener("click", () => pick(null));
  document.getElementById("picked-unmap").addEventListener("click", () => {
    const chosen = element(first);
    remsim.unmap(isCard(first) ? chosen.dataset.to : first);
    pick(null);
  });

  // Drag
  overview.addEventListener("dragstart", (event) => {
    const item = event.target.closest?.(".tile, .client");
    if (!item) return;
    dragged = item.dataset.slot;
    event.dataTransfer.setData("text/plain", dragged);
    event.dataTransfer.effectAllowed = "link";
    overview.dataset.dragging = isCard(dragged) ? "card" : "client";
  });
  const aim = (event) => {
    const item = event.target.closest?.(".tile, .client");
    return dragged && item && isCard(item.dataset.slot) !== isCard(dragged) ? item : null;
  };
  overview.addEventListener("dragover", (event) => {
    const item = aim(event);
    for (const old of overview.querySelectorAll(".aimed")) if (old !== item) old.classList.remove("aimed");
    if (!item) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "link";
    item.classList.add("aimed");
  });
  overview.addEventListener("drop", (event) => {
    const item = aim(event);
    if (!item) return;
    event.preventDefault();
    join(dragged, item.dataset.slot);
  });
  overview.addEventListener("dragend", () => {
    dragged = null;
    delete overview.dataset.dragging;
    for (const old of overview.querySelectorAll(".aimed")) old.classList.remove("aimed");
  });

  // Keyboard
  function candidates() {
    const words = input.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const items = wanted === null || isCard(wanted) ? remsim.rows() : remsim.tiles();
    const fit = [...items].filter((item) => words.every((word) => item.textContent.toLowerCase().includes(word)));
    // Those that fit exactly, then those that are free.
    const rank = (item) => (item.dataset.slot.toLowerCase() === words.join("") ? 0 : item.dataset.to ? 2 : 1);
    return fit.sort((one, other) => rank(one) - rank(other)).slice(0, 8);
  }

  function refresh() {
    const found = candidates();
    list.replaceChildren(...found.map((item, number) => {
      const option = document.createElement("li");
      option.role = "option";
      option.id = `mapper-${number}`;
      option.dataset.choice = item.dataset.slot;
      option.setAttribute("aria-selected", String(number === 0));
      const name = item.querySelector(".what, .name")?.textContent ?? "";
      option.textContent = `${item.dataset.slot}  ${name}${item.dataset.to ? `  (has ${item.dataset.to})` : ""}`;
      option.addEventListener("click", () => take(item.dataset.slot));
      return option;
    }));
    if (found.length) input.setAttribute("aria-activedescendant", "mapper-0");
    else input.removeAttribute("aria-activedescendant");
    input.setAttribute("aria-expanded", String(found.length > 0));
  }

  function ask(slot) {
    wanted = slot;
    const what = slot === null || isCard(slot) ? "Client" : "Card";
    document.getElementById("mapper-head").textContent = slot === null ? "Map a client" : `Map ${slot}`;
    document.getElementById("mapper-label").textContent = what;
    input.value = "";
    refresh();
    if (!dialog.open) dialog.showModal();
    input.focus();
  }

  function take(slot) {
    if (wanted === null) {
      ask(slot);
      return;
    }
    dialog.close();
    join(wanted, slot);
    pick(null);
  }

  input.addEventListener("input", refresh);
  input.addEventListener("keydown", (event) => {
    const options = [...list.children];
    const at = options.findIndex((option) => option.getAttribute("aria-selected") === "true");
    if (event.key === "Enter") {
      event.preventDefault();
      if (at >= 0) take(options[at].dataset.choice);
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const next = options[at + (event.key === "ArrowDown" ? 1 : -1)];
      if (!next) return;
      options[at]?.setAttribute("aria-selected", "false");
      next.setAttribute("aria-selected", "true");
      input.setAttribute("aria-activedescendant", next.id);
      next.scrollIntoView({ block: "nearest" });
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.target.closest("input, textarea, select")) return;
    const item = event.target.closest(".tile, .client");
    if (event.key === "m") {
      event.preventDefault();
      ask(item?.dataset.slot ?? first);
    } else if (event.key === "u" && item?.dataset.to) {
      event.preventDefault();
      remsim.unmap(isCard(item.dataset.slot) ? item.dataset.to : item.dataset.slot);
    } else if (event.key === " " && event.target.matches(".pick")) {
      event.preventDefault();
      choose(item.dataset.slot);
    } else if (event.key === "Escape" && first !== null) {
      pick(null);
    }
  });
})();
