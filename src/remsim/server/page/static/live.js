// SPDX-License-Identifier: Apache-2.0
// Keeps the page honest: ages that go on, and a bar as soon as the server is not heard any more.
//
// htmx and its extension for server-sent events put new HTML in place. This file watches that they do: a stream that
// breaks, or is silent for SILENCE_MS, makes all that is shown old ("was …"), until the first beat behind a new
// connection says that everything has been caught up with.
"use strict";
window.remsim = (() => {
  const SILENCE_MS = 5000;
  const live = document.getElementById("live");
  const bar = document.getElementById("broken");
  let heardAt = performance.now();
  let heardWall = new Date();
  let brokenSince = null;
  // What the server's clock shows when performance.now() is 0; the page's own clock may be wrong.
  let serverZero = Date.now() - performance.now();
  let isLeaving = false;

  const now = () => serverZero + performance.now();

  function age(since) {
    const s = Math.max(0, Math.round((now() - since) / 1000));
    if (s < 60) return `${s} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min`;
    if (s < 86400) return `${Math.floor(s / 3600)} h`;
    return `${Math.floor(s / 86400)} d`;
  }

  const moments = new Map();
  function momentOf(since) {
    let found = moments.get(since);
    if (found === undefined) {
      if (moments.size > 5000) moments.clear();
      found = Date.parse(since);
      moments.set(since, found);
    }
    return found;
  }

  function showAge(element) {
    const since = element.dataset.since;
    // Without a time: since before the server was started.
    const text = since ? age(momentOf(since)) : "earlier";
    if (element.textContent !== text) element.textContent = text;
    if (since && element.dateTime !== since) element.dateTime = since;
  }

  // Those that are new since a swap, and so empty.
  function showNewAges() {
    for (const element of document.querySelectorAll("time.age:empty")) showAge(element);
  }

  // All of them once a second, in portions, so that whatever is pressed meanwhile need not wait for thousands.
  const PORTION = 200;
  let waiting = [];
  function showAges() {
    waiting = [...document.querySelectorAll("time.age")];
    showPortion();
  }

  function showPortion() {
    for (const element of waiting.splice(-PORTION)) showAge(element);
    if (waiting.length) setTimeout(showPortion);
  }

  function showBar() {
    const seconds = Math.max(0, Math.round((performance.now() - heardAt) / 1000));
    const clock = heardWall.toLocaleTimeString([], { hour12: false });
    bar.textContent = `No word from the server since ${clock} (${seconds} s). What you see was so then.`;
  }

  function breakOff() {
    if (isLeaving) return;
    if (brokenSince === null) {
      brokenSince = heardAt;
      document.body.classList.add("stale");
      delete document.body.dataset.live;
      bar.hidden = false;
    }
    showBar();
  }

  function mend() {
    brokenSince = null;
    document.body.classList.remove("stale");
    bar.hidden = true;
  }

  function end(reason) {
    isLeaving = true;
    const next = location.pathname + location.search;
    location.href = `/login?why=${encodeURIComponent(reason)}&next=${encodeURIComponent(next)}`;
  }

  // What has the focus may be gone with the next swap, or with a dialog: then what is nearest to its place gets it, so
  // that one who works by keyboard need not begin at the top again.
  const FOCUSABLE = "a[href], button:not(:disabled), input, select, [tabindex='0']";
  let focused = null;
  let around = [];
  function noteFocus() {
    focused = document.activeElement === document.body ? null : document.activeElement;
    around = [];
    for (let at = focused?.parentElement; at; at = at.parentElement) if (at.id) around.push(at.id);
  }

  function mendFocus() {
    if (!focused || focused.isConnected || document.activeElement !== document.body) return;
    for (const id of around) {
      const found = [...(document.getElementById(id)?.querySelectorAll(FOCUSABLE) ?? [])];
      const next = found.find((element) => element.checkVisibility());
      if (next) {
        next.focus();
        return;
      }
    }
    document.getElementById("main").focus();
  }
  document.addEventListener("close", () => {
    if (document.activeElement === document.body) document.getElementById("main").focus();
  }, true);

  if (live) {
    live.addEventListener("htmx:sse:before:message", () => {
      heardAt = performance.now();
      heardWall = new Date();
      noteFocus();
    });
    live.addEventListener("beat", (event) => {
      const found = JSON.parse(event.detail.data);
      serverZero = found.now - performance.now();
      if (brokenSince !== null) mend();
      document.body.dataset.live = "";
    });
    live.addEventListener("ended", (event) => end(event.detail.data.trim()));
    live.addEventListener("htmx:sse:before:connection", (event) => {
      if (event.detail.connection.attempt > 0) breakOff();
    });
    live.addEventListener("htmx:sse:close", breakOff);
    live.addEventListener("htmx:sse:error", (event) => {
      breakOff();
      if (event.detail.status === 401) end("ended");
    });
    live.addEventListener("htmx:after:swap", () => {
      showNewAges();
      mendFocus();
      document.dispatchEvent(new CustomEvent("remsim:changed"));
    });
  }
  // htmx looks at the page in a timer of its own, maybe before its extension is there: it is told of the stream in a
  // later one, so that it connects once.
  document.addEventListener("DOMContentLoaded", () => setTimeout(() => {
    if (!live) return;
    live.setAttribute("hx-sse:connect", live.dataset.stream);
    htmx.process(live);
  }));
  addEventListener("pagehide", () => { isLeaving = true; });
  addEventListener("pageshow", () => { isLeaving = false; });

  setInterval(() => {
    if (live) {
      if (brokenSince !== null) showBar();
      else if (performance.now() - heardAt > SILENCE_MS) breakOff();
      // The first connection may have failed; then the extension does not try again by itself.
      if (brokenSince !== null && !live._htmx?.sse && !document.hidden) htmx.trigger(live, "reconnect");
    }
    showAges();
  }, 1000);
  showAges();

  const keys = document.getElementById("keys");
  document.getElementById("keys-show").addEventListener("click", () => keys.showModal());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    if (event.key === "/") {
      event.preventDefault();
      document.getElementById("search").focus();
    } else if (event.key === "?") {
      event.preventDefault();
      keys.showModal();
    } else if (event.key === "z") {
      [...document.querySelectorAll("#toasts .undo")].pop()?.click();
    }
  });

  return { now, showAges, end, isStale: () => brokenSince !== null };
})();
