// Refreshes the page in place: focus, open details and the place of the reader stay.
"use strict";
(function () {
  const seconds = Number(document.currentScript.dataset.seconds);
  async function refresh() {
    if (document.hidden) return;
    const stale = document.getElementById("stale");
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.status);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("live"), old = document.getElementById("live");
      if (!fresh) throw new Error("no content");
      const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
      for (const d of old.querySelectorAll("details[open]")) {
        const same = fresh.querySelector("#" + CSS.escape(d.id));
        if (same) same.open = true;
      }
      const scrolled = [...old.querySelectorAll(".scroll[id]")].map((e) => [e.id, e.scrollLeft]);
      old.replaceWith(fresh);
      for (const [id, left] of scrolled) {
        const same = document.getElementById(id);
        if (same) same.scrollLeft = left;
      }
      const again = focused && document.getElementById(focused);
      if (again) again.focus({ preventScroll: true });
      stale.hidden = true;
    } catch (e) {
      stale.hidden = false;
    }
  }
  setInterval(refresh, seconds * 1000);
})();
