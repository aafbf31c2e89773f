// SPDX-License-Identifier: Apache-2.0
// A login link carries its secret behind "#", which is not sent to anybody. Take it from there, so that it does not
// stay in the history, and send it as the form does.
"use strict";
(() => {
  const secret = location.hash.slice(1);
  if (!/^[0-9a-f]{12}\.[0-9a-f]{64}$/.test(secret)) return;
  history.replaceState(null, "", location.pathname);
  const form = document.getElementById("login");
  form.elements.link.value = secret;
  form.submit();
})();
