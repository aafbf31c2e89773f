// SPDX-License-Identifier: Apache-2.0
// Webhooks in the view of access: add, test, pause, delete. Their state is kept up to date by the stream.
"use strict";
(() => {
  const form = document.getElementById("webhook-add");
  if (!form) return;
  const url = document.getElementById("webhook-url");
  const kinds = document.getElementById("webhook-kinds");
  const made = document.getElementById("webhook-made");

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const wanted = kinds.value.split(/[\s,]+/).filter(Boolean);
    try {
      const found = (await remsim.order("POST", "/webhooks", { url: url.value.trim(), ...(wanted.length ? { kinds: wanted } : {}) })).body;
      document.getElementById("webhook-secret").textContent = found.secret;
      made.hidden = false;
      form.reset();
      remsim.toast(`Webhook ${found.id} is told of what happens from now on.`);
    } catch (error) {
      remsim.refuse(error);
    }
  });

  async function test(number) {
    remsim.toast(`Webhook ${number} is sent a test …`);
    const found = (await remsim.order("POST", `/webhooks/${number}/test`)).body;
    if (found.state === "delivered") remsim.toast(`Webhook ${number} took the test.`);
    else remsim.toast(`The test of webhook ${number} is not delivered yet.`, { hint: found.outcome || "others wait before it", isBad: true });
  }

  async function pause(number) {
    await remsim.order("POST", `/webhooks/${number}/pause`);
    remsim.toast(`Webhook ${number} is paused.`, { hint: "What happens waits for it.", undo: () => tried(() => resume(number)) });
  }

  async function resume(number) {
    await remsim.order("POST", `/webhooks/${number}/resume`);
    remsim.toast(`Webhook ${number} goes on.`);
  }

  async function tried(work) {
    try {
      await work();
    } catch (error) {
      remsim.refuse(error);
    }
  }

  async function remove(number) {
    await remsim.order("DELETE", `/webhooks/${number}`);
    remsim.toast(`Webhook ${number} is deleted, with all that waited for it.`);
  }

  document.getElementById("main").addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-hook-act]");
    if (!button) return;
    const number = button.closest("[data-webhook]").dataset.webhook;
    const act = button.dataset.hookAct;
    if (act === "delete" && !(await remsim.confirm(`Delete webhook ${number}?`, "What waits for it is dropped. This cannot be undone.", "Delete"))) return;
    await tried(() => ({ test, pause, resume, delete: remove })[act](number));
  });
})();
