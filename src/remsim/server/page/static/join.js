// SPDX-License-Identifier: Apache-2.0
// A new bank or client: makes its code, shows what to run on its host, and waits until it is connected. The first start
// is three steps, which the stream ticks off.
"use strict";
(() => {
  const place = document.querySelector(".joining");
  if (!place) return;
  const hasAuthority = place.dataset.authority === "yes";
  const host = location.hostname;
  const joiner = document.getElementById("joiner");
  const set = (id, text) => {
    const element = document.getElementById(id);
    if (element.textContent !== text) element.textContent = text;
  };
  let awaited = null;

  async function join(kind, number, form) {
    const identity = `${kind}/${number}`;
    try {
      let code = null;
      if (hasAuthority) code = (await remsim.order("POST", "/codes", { identity })).body;
      const isBank = kind === "bank";
      const server = `${host.includes(":") ? `[${host}]` : host}:${place.dataset.rspro}`;
      const plain = hasAuthority ? "" : " --plaintext";
      set("joiner-head", `${isBank ? "Bank" : "Client"} ${number}`);
      set("joiner-enroll", `remsim enroll ${location.origin} -`);
      set("joiner-code", code ? code.code : "");
      for (const id of ["joiner-enroll-text", "joiner-enroll", "joiner-code-text", "joiner-code"]) {
        document.getElementById(id).hidden = !code;
      }
      set("joiner-start", isBank
        ? `remsim bankd --server ${server} --bank-id ${number} --auto${plain}`
        : `remsim client --server ${server} --client ${number}:0${plain}`);
      const own = form.parentElement.querySelector(".joiner-place");
      if (own) own.append(joiner);
      joiner.hidden = false;
      awaited = { kind, number, since: Date.now() };
      wait(false);
      look();
    } catch (error) {
      remsim.refuse(error);
    }
  }

  function wait(isThere) {
    const { kind, number, since } = awaited;
    const seconds = Math.round((Date.now() - since) / 1000);
    document.getElementById("joiner-sy").textContent = isThere ? "●" : "◔";
    joiner.classList.toggle("st-active", isThere);
    joiner.classList.toggle("st-waiting", !isThere);
    document.getElementById("joiner-state").classList.add("claim");
    set("joiner-state", isThere ? `${kind} ${number} is connected.` : `Waiting for ${kind} ${number} (${seconds} s) …`);
  }

  async function isConnected(kind, number) {
    try {
      const found = (await remsim.order("GET", `/${kind}s/${number}`)).body;
      if (kind === "bank") return found.link.state === "connected";
      return found.slots.some((slot) => slot.link.state === "connected");
    } catch (error) {
      if (error.status === 404 || error.status === 0) return false;
      throw error;
    }
  }

  async function look() {
    if (awaited) wait(await isConnected(awaited.kind, awaited.number));
  }

  for (const form of document.querySelectorAll("form.join")) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      join(form.dataset.kind, Number(form.querySelector("input").value), form);
    });
  }

  // The stream says how far each step has come.
  const steps = document.getElementById("steps");
  function tick() {
    for (const [number, step] of [...steps.children].entries()) {
      const isDone = step.querySelector("[data-done]").dataset.done === "yes";
      step.classList.toggle("is-done", isDone);
      const mark = step.querySelector(".mark");
      const wanted = isDone ? "✓" : String(number + 1);
      if (mark.textContent !== wanted) mark.textContent = wanted;
    }
  }

  const map = document.getElementById("first-map");
  map?.addEventListener("submit", (event) => {
    event.preventDefault();
    remsim.map(document.getElementById("first-card").value.trim(), document.getElementById("first-client").value.trim());
  });

  // The awaited one is looked for at each change, and once a second while there is none.
  let isLooking = false;
  async function lookAgain() {
    if (isLooking || !awaited || remsim.isStale()) return;
    isLooking = true;
    try {
      await look();
    } catch (error) {
      if (!(error instanceof remsim.Refusal)) throw error;
    } finally {
      isLooking = false;
    }
  }
  document.addEventListener("remsim:changed", () => {
    if (steps) tick();
    lookAgain();
  });
  setInterval(lookAgain, 1000);
  if (steps) tick();
})();
