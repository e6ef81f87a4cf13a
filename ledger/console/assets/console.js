// Renews the live numbers every five seconds; every page works without it.
"use strict";
(function () {
  const spots = document.querySelectorAll("[data-live]");
  if (!spots.length) return;
  async function renew() {
    if (document.hidden) return;
    try {
      const r = await fetch("/console/live", { credentials: "same-origin", headers: { Accept: "application/json" } });
      if (!r.ok) return;
      const now = await r.json();
      for (const s of spots) if (now[s.dataset.live] !== undefined) s.textContent = now[s.dataset.live];
      const at = document.getElementById("at");
      if (at && now.at) at.textContent = now.at;
    } catch (e) { /* the switch is away: the time below says how old the numbers are */ }
  }
  setInterval(renew, 5000);
})();
