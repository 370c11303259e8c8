// What a page does beyond HTML: it stays live, tells times in the reader's zone, and lets a graph be zoomed and moved.
// Without it every page works, and is as it was when it was loaded.
"use strict";

(() => {
  const PERIOD = 2000; // milliseconds between two looks at what runs
  const SETTLED_PERIOD = 15000; // at what has ended: somebody may retry it
  const LONGEST = 30000; // while the server does not answer
  const AGAIN = 5000; // until a page that could not be made is asked for again

  // --- times in the reader's zone -------------------------------------------------------------------------------

  const format = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "medium" });
  const zone = new Intl.DateTimeFormat(undefined, { timeZoneName: "short" })
    .formatToParts(new Date())
    .find((part) => part.type === "timeZoneName").value;

  function localise(root) {
    const times = root.matches?.("time[data-local]") ? [root] : (root.querySelectorAll?.("time[data-local]") ?? []);
    for (const time of times) {
      const at = new Date(time.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      time.title = time.dateTime;
      time.textContent = `${format.format(at)} ${zone}`;
    }
  }

  // --- live -----------------------------------------------------------------------------------------------------

  const shown = document.querySelector("[data-live-state]");
  let pause = PERIOD;
  let timer = 0;

  function say(text, kind) {
    if (!shown) return;
    shown.hidden = false;
    if (shown.textContent !== text) shown.textContent = text;
    shown.className = `live ${kind}`;
  }

  function isLive() {
    return document.querySelector("#live[hx-get]") !== null;
  }

  function wait() {
    clearTimeout(timer);
    const settled = document.querySelector("#live[data-settled]") !== null;
    timer = setTimeout(tick, Math.max(pause, settled ? SETTLED_PERIOD : PERIOD));
  }

  function isSelecting() {
    const selection = document.getSelection();
    return selection && !selection.isCollapsed && document.getElementById("live")?.contains(selection.anchorNode);
  }

  function tick() {
    if (document.hidden) return wait(); // nobody looks
    if (isSelecting()) {
      say("held while you select", "is-still"); // somebody is about to copy
      return wait();
    }
    document.body.dispatchEvent(new Event("tick"));
    wait();
  }

  function lost(text) {
    pause = Math.min(pause * 2, LONGEST);
    say(text, "is-lost");
  }

  document.addEventListener("htmx:afterRequest", (event) => {
    const status = event.detail.xhr?.status ?? 0;
    const problem = status ? event.detail.xhr.getResponseHeader("baton-problem") : null;
    if (event.detail.successful) {
      pause = PERIOD;
      say("live", "is-live");
    } else if (status === 401 || status === 403) {
      lost("access lost");
    } else if (problem) {
      lost(problem.toLowerCase());
    } else {
      lost(status ? `error ${status}` : "no connection");
    }
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && isLive()) tick();
  });

  // What the reader has done to the page stays: opened details, and the zoom of the graph.
  function keep(name, node) {
    if (name === "open" && node.tagName === "DETAILS") return false;
    return !((name === "style" || name === "width" || name === "height") && node.classList.contains("drawing"));
  }

  if (window.Idiomorph) {
    Object.assign(Idiomorph.defaults.callbacks, {
      beforeAttributeUpdated: (name, node) => keep(name, node),
      beforeNodeAdded: (node) => localise(node),
      beforeNodeMorphed: (_old, fresh) => {
        if (fresh.nodeType === 1 && fresh.matches("time[data-local]")) localise(fresh);
      },
    });
  }
  document.addEventListener("htmx:afterSettle", () => zoomable());

  // --- the graph ------------------------------------------------------------------------------------------------

  let scale = 0; // 0: as it fits

  function zoomable() {
    const drawing = document.querySelector(".drawing");
    const frame = document.querySelector(".graph");
    if (!drawing || !frame) return;
    for (const button of document.querySelectorAll("[data-zoom]")) button.hidden = false;
    const width = Number(drawing.dataset.width);
    const height = Number(drawing.dataset.height);
    const [wide, high] = [frame.clientWidth - 18, innerHeight * 0.62 - 18];
    const fitting = Math.min(1, Math.max(0.6, Math.min(wide / width, high / height)));
    const used = scale || fitting;
    drawing.setAttribute("width", String(Math.round(width * used)));
    drawing.setAttribute("height", String(Math.round(height * used)));
    return { drawing, frame, used };
  }

  function zoom(factor, at) {
    const found = zoomable();
    if (!found) return;
    const { frame, used } = found;
    const x = (frame.scrollLeft + (at?.x ?? frame.clientWidth / 2)) / used;
    const y = (frame.scrollTop + (at?.y ?? frame.clientHeight / 2)) / used;
    scale = factor === 0 ? 0 : Math.min(3, Math.max(0.05, used * factor));
    const after = zoomable();
    frame.scrollLeft = x * after.used - (at?.x ?? frame.clientWidth / 2);
    frame.scrollTop = y * after.used - (at?.y ?? frame.clientHeight / 2);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-zoom]");
    if (button) zoom({ in: 1.25, out: 0.8, fit: 0 }[button.dataset.zoom]);
  });
  document.addEventListener(
    "wheel",
    (event) => {
      const frame = event.target.closest?.(".graph");
      if (!frame || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      const box = frame.getBoundingClientRect();
      zoom(event.deltaY < 0 ? 1.15 : 0.87, { x: event.clientX - box.left, y: event.clientY - box.top });
    },
    { passive: false },
  );
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !event.target.closest?.(".graph")) return;
    const factor = { "+": 1.25, "=": 1.25, "-": 0.8, 0: 0 }[event.key];
    if (factor !== undefined) {
      event.preventDefault();
      zoom(factor);
    }
  });

  let held = null;
  document.addEventListener("pointerdown", (event) => {
    const frame = event.target.closest?.(".graph");
    if (!frame || event.button !== 0 || event.pointerType !== "mouse") return; // a finger scrolls by itself
    held = { frame, x: event.clientX, y: event.clientY, left: frame.scrollLeft, top: frame.scrollTop, moved: false };
  });
  document.addEventListener("pointermove", (event) => {
    if (!held) return;
    const [dx, dy] = [event.clientX - held.x, event.clientY - held.y];
    if (!held.moved && Math.hypot(dx, dy) < 5) return;
    held.moved = true;
    held.frame.classList.add("is-dragged");
    held.frame.scrollLeft = held.left - dx;
    held.frame.scrollTop = held.top - dy;
  });
  document.addEventListener("pointerup", () => {
    held?.frame.classList.remove("is-dragged");
    const moved = held?.moved;
    held = null;
    if (moved) {
      // the click that ends a drag opens nothing; it comes at once, if it comes
      const swallow = (event) => event.preventDefault();
      document.addEventListener("click", swallow, { capture: true, once: true });
      setTimeout(() => document.removeEventListener("click", swallow, { capture: true }), 0);
    }
  });
  document.addEventListener("dragstart", (event) => {
    if (event.target.closest?.(".graph")) event.preventDefault();
  });
  window.addEventListener("resize", () => zoomable());

  // A page that could not be made for want of a database. A form is not sent again: the page it came from is loaded.
  const failed = document.querySelector("[data-again]");
  if (failed) {
    failed.querySelector("[data-again-told]").hidden = false;
    setTimeout(() => location.replace(location.href), AGAIN);
  }

  localise(document);
  zoomable();
  if (isLive()) {
    say("live", "is-live");
    wait();
  }
})();
