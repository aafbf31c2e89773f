// SPDX-License-Identifier: Apache-2.0
// The overview: filter and search without asking the server, wall or table, arrow keys, links between cards and
// clients. What is filtered is kept in the address.
"use strict";
(() => {
  const KEEP_MS = 400;
  const FOLLOW_MS = 500;
  const TYPING_MS = 100;
  const overview = document.getElementById("overview");
  const banks = document.getElementById("banks");
  const clients = document.getElementById("clients");
  const search = document.getElementById("search");
  const byLabel = document.getElementById("filter-label");
  const byBank = document.getElementById("filter-bank");
  const found = document.getElementById("found");
  const link = document.querySelector("#links path");
  const given = new URLSearchParams(location.search);
  const filter = {
    q: given.get("q") || "",
    state: given.get("state") || "",
    label: given.get("label") || "",
    bank: given.get("bank") || "",
    view: given.get("view") === "table" ? "table" : "wall",
  };
  const tiles = () => banks.querySelectorAll(".tile");
  const rows = () => clients.querySelectorAll(".client");
  const labels = (element) => (element.dataset.labels ? element.dataset.labels.split("\t") : []);
  const idOf = (slot) => (slot.startsWith("B") ? "s" : "c") + slot.slice(1).replace(":", "-");

  // A number of a card is shown shortened; one that is typed in full is compared with what is shown of it.
  function words() {
    return filter.q.toLowerCase().split(/\s+/).filter(Boolean).map((word) =>
      /^[0-9a-e]{15,20}$/.test(word) ? `${word.slice(0, 6)}…${word.slice(-4)}` : word);
  }

  function fits(element, wanted) {
    if (filter.state && element.dataset.state !== filter.state) return false;
    if (filter.bank && element.dataset.bank !== filter.bank) return false;
    if (filter.label && !labels(element).includes(filter.label)) return false;
    if (wanted.length) {
      const text = element.textContent.toLowerCase();
      if (!wanted.every((word) => text.includes(word))) return false;
    }
    return true;
  }

  // Everything is looked through once; what is as it was is not touched, since each touch is paid for with layout.
  function apply(isAnew) {
    const wanted = words();
    const counts = {};
    const known = new Set();
    const later = [];
    let room = isAnew ? screenful() : Infinity;
    let heard = 0;
    let shown = 0;
    let all = 0;
    for (const row of clients.children) {
      const fit = !wanted.length || wanted.every((word) => row.textContent.toLowerCase().includes(word));
      hide(row, !fit);
      heard += fit;
    }
    for (const bank of banks.children) {
      let ofBank = 0;
      const hasRoom = room > 0;
      const list = bank.querySelector(".tiles").children;
      for (const tile of list) {
        const { state, labels: named } = tile.dataset;
        counts[state] = (counts[state] || 0) + 1;
        if (named) for (const name of named.split("\t")) known.add(name);
        const fit = fits(tile, wanted);
        hide(tile, !fit || room <= 0);
        if (fit && room <= 0) later.push(tile);
        room -= fit;
        ofBank += fit;
      }
      all += list.length;
      shown += ofBank;
      hide(bank, list.length > 0 && (ofBank === 0 || !hasRoom));
    }
    showing = later;
    keepFocus();
    showMore();
    const isFiltered = Boolean(filter.q || filter.state || filter.label || filter.bank);
    say(found, isFiltered ? `${shown} of ${all} slots` : `${all} slots`);
    say(document.getElementById("clients-count"), String(heard));
    document.getElementById("nothing").hidden = shown > 0;
    for (const count of document.querySelectorAll("[data-count]")) {
      say(count, String(count.dataset.count ? counts[count.dataset.count] || 0 : all));
    }
    const bulk = document.getElementById("bulk");
    if (bulk) {
      const hadFocus = document.activeElement === bulk;
      bulk.disabled = !isFiltered || shown === 0;
      // What cannot be pressed cannot keep the focus: the filter is what helps now.
      if (hadFocus && bulk.disabled) document.querySelector('[data-filter-state][aria-pressed="true"]').focus();
    }
    offer(byLabel, [...known].sort(), filter.label);
    offer(byBank, [...banks.querySelectorAll(".bank-head")].map((head) => head.dataset.bank), filter.bank);
  }

  function hide(element, isHidden) {
    if (element.hidden !== isHidden) element.hidden = isHidden;
  }

  // A slot that has the focus and does not fit any more hands it on to the next one.
  function keepFocus() {
    const stop = document.activeElement;
    if (!stop?.matches(".stop") || !stop.closest("[hidden]")) return;
    const stops = [...stop.closest("#banks, #clients").querySelectorAll(".stop")];
    const isShown = (other) => !other.closest("[hidden]");
    const at = stops.indexOf(stop);
    const next = stops.slice(at).find(isShown) ?? stops.slice(0, at).findLast(isShown);
    if (next) focus(next);
    else search.focus();
  }

  // After a choice, a screenful is shown first and the rest follows, as much in each frame: slots that come into view are
  // laid out and painted, and with all of them at once, a key that is pressed meanwhile would wait for a tenth of a second.
  const screenful = () => Math.ceil(innerHeight / 74) * (filter.view === "table" ? 3 : Math.ceil(banks.clientWidth / 132));
  let showing = [];
  let isShowing = false;
  function showMore() {
    if (isShowing) return;
    isShowing = showing.length > 0;
    if (!isShowing) rove();
    else afterPicture(() => {
      isShowing = false;
      settle(screenful());
      showMore();
    });
  }

  // What is done in a frame's own callback would still be part of its picture.
  const afterPicture = (work) => requestAnimationFrame(() => setTimeout(work));

  // All of them, for what asks which slots are shown.
  function settle(most = Infinity) {
    for (const tile of showing.splice(0, most)) {
      hide(tile, false);
      hide(tile.closest(".bank"), false);
    }
  }

  function say(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  function offer(select, values, chosen) {
    const wanted = chosen && !values.includes(chosen) ? [...values, chosen] : values;
    const known = [...select.options].slice(1).map((option) => option.value);
    if (known.join("\t") !== wanted.join("\t")) {
      select.replaceChildren(select.options[0], ...wanted.map((value) => new Option(value, value)));
    }
    if (select.value !== chosen) select.value = chosen;
  }

  function press() {
    overview.dataset.view = filter.view;
    for (const button of document.querySelectorAll("[data-view][aria-pressed]")) {
      button.setAttribute("aria-pressed", String(button.dataset.view === filter.view));
    }
    for (const chip of document.querySelectorAll("[data-filter-state]")) {
      chip.setAttribute("aria-pressed", String(chip.dataset.filterState === filter.state));
    }
  }

  // What is typed is applied and kept when the typing pauses; a choice at once, so that a reload right after it shows the
  // same.
  function show(isTyped = false) {
    press();
    clearTimeout(pausing);
    if (isTyped) pausing = setTimeout(soon, TYPING_MS);
    else soon();
    clearTimeout(keeping);
    keeping = setTimeout(keep, isTyped ? KEEP_MS : 0);
  }

  // Browsers take their time for it, and allow it so many times only.
  let pausing = 0;
  let keeping = 0;
  function keep() {
    const kept = Object.entries(filter).filter(([name, value]) => value && !(name === "view" && value === "wall"));
    const query = new URLSearchParams(kept).toString();
    history.replaceState(null, "", query ? `/?${query}` : "/");
  }

  // What was pressed or typed is painted first, then the slots are looked through: there may be thousands.
  let isDue = false;
  function soon() {
    if (isDue) return;
    isDue = true;
    afterPicture(() => {
      isDue = false;
      apply(true);
    });
  }

  // Slots that the stream has changed are up to date by then; filter, counts and choices follow a little later.
  let following = 0;
  function follow() {
    following ||= setTimeout(() => {
      following = 0;
      if (isDue || isShowing) follow();
      else apply(false);
    }, FOLLOW_MS);
  }

  // One stop for the tabulator in each list; arrow keys go on from there.
  function rove() {
    for (const list of [banks, clients]) {
      const current = list.querySelector('.stop[tabindex="0"]');
      // Whether it is shown is read from attributes: to ask for its place would lay out the whole page.
      if (current && !current.closest("[hidden]")) continue;
      if (current) current.tabIndex = -1;
      const first = [...list.querySelectorAll(".stop")].find((stop) => !stop.closest("[hidden]"));
      if (first) first.tabIndex = 0;
    }
  }

  function focus(stop) {
    const list = stop.closest("#banks, #clients");
    for (const other of list.querySelectorAll('.stop[tabindex="0"]')) other.tabIndex = -1;
    stop.tabIndex = 0;
    stop.focus();
  }

  function step(stop, key) {
    settle();
    const list = stop.closest("#banks, #clients");
    const stops = [...list.querySelectorAll("li:not([hidden]) > .stop")];
    const at = stops.indexOf(stop);
    if (key === "Home") return stops[0];
    if (key === "End") return stops[stops.length - 1];
    if (key === "ArrowRight") return stops[at + 1];
    if (key === "ArrowLeft") return stops[at - 1];
    const from = stop.closest("li").getBoundingClientRect();
    const ahead = key === "ArrowDown" ? stops.slice(at + 1) : stops.slice(0, at).reverse();
    const isBeyond = (box) => (key === "ArrowDown" ? box.top >= from.bottom - 1 : box.bottom <= from.top + 1);
    let best = null;
    for (const other of ahead) {
      const box = other.closest("li").getBoundingClientRect();
      if (!isBeyond(box)) continue;
      if (best && Math.abs(box.top - best.top) > 2) break;
      const off = Math.abs(box.left - from.left);
      if (!best || off < best.off) best = { other, off, top: box.top };
    }
    return best?.other;
  }

  document.addEventListener("keydown", (event) => {
    const stop = event.target.closest(".stop");
    if (!stop || event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^(Arrow(Up|Down|Left|Right)|Home|End)$/.test(event.key)) {
      const next = step(stop, event.key);
      event.preventDefault();
      if (next) focus(next);
    } else if (event.key === "Enter" && stop.matches(".pick")) {
      event.preventDefault();
      location.href = stop.parentElement.querySelector("a.nr").href;
    }
  });

  // What belongs together.
  function join(element) {
    for (const other of document.querySelectorAll(".joined")) other.classList.remove("joined");
    link.setAttribute("d", "");
    const other = element?.isConnected && element.dataset.to ? document.getElementById(idOf(element.dataset.to)) : null;
    if (!other || other.hidden) return;
    element.classList.add("joined");
    other.classList.add("joined");
    const [tile, row] = element.matches(".tile") ? [element, other] : [other, element];
    const frame = overview.getBoundingClientRect();
    const list = clients.getBoundingClientRect();
    const from = tile.getBoundingClientRect();
    const to = row.getBoundingClientRect();
    const isSeen = to.bottom > list.top && to.top < list.bottom && to.left > from.right;
    if (!isSeen) return;
    const [x1, y1] = [from.right - frame.left, from.top + from.height / 2 - frame.top];
    const [x2, y2] = [to.left - frame.left, to.top + to.height / 2 - frame.top];
    const bend = Math.max(24, (x2 - x1) / 2);
    link.setAttribute("d", `M${x1} ${y1} C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`);
  }
  // Once a frame, for the last that was pointed at: to ask for places in the middle of one lays out the page once more.
  let pointed = null;
  let isJoining = false;
  function joinSoon(element) {
    pointed = element;
    if (isJoining) return;
    isJoining = true;
    afterPicture(() => {
      isJoining = false;
      join(pointed);
    });
  }
  const entry = (event) => event.target.closest?.(".tile, .client") ?? null;
  overview.addEventListener("pointerover", (event) => joinSoon(entry(event)));
  overview.addEventListener("pointerleave", () => joinSoon(null));
  overview.addEventListener("focusin", (event) => joinSoon(entry(event)));
  overview.addEventListener("focusout", () => joinSoon(null));
  clients.addEventListener("scroll", () => joinSoon(null), { passive: true });

  for (const chip of document.querySelectorAll("[data-filter-state]")) {
    chip.addEventListener("click", () => {
      filter.state = chip.dataset.filterState;
      show();
    });
  }
  for (const button of document.querySelectorAll("[data-view][aria-pressed]")) {
    button.addEventListener("click", () => {
      filter.view = button.dataset.view;
      show();
    });
  }
  byLabel.addEventListener("change", () => { filter.label = byLabel.value; show(); });
  byBank.addEventListener("change", () => { filter.bank = byBank.value; show(); });
  search.addEventListener("input", () => { filter.q = search.value.trim(); show(true); });
  search.form.addEventListener("submit", (event) => {
    event.preventDefault();
    show();
  });
  search.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      search.value = "";
      filter.q = "";
      show();
      search.blur();
    }
  });
  document.addEventListener("remsim:changed", () => {
    follow();
    // A slot that has changed looks as the server writes it: without its mark.
    if (pointed) joinSoon(pointed);
  });

  // What the filter shows; what has not come into view yet is part of that.
  const shown = () => {
    settle();
    return [...banks.querySelectorAll(".tile:not([hidden])")];
  };

  search.value = filter.q;
  press();
  keep();
  apply(false);
  Object.assign(remsim, { idOf, tiles, rows, labelsOf: labels, shown });
})();
