"use strict";
(function () {
  const all = (selector, inside) => Array.from((inside || document).querySelectorAll(selector));
  const byId = (id) => document.getElementById(id);

  // Tables: a click on a heading sorts. Unknown values stay last, whichever way.
  const asNumber = (text) => parseFloat(text.replace(/,/g, "").replace("−", "-"));
  const collator = new Intl.Collator("en", { numeric: true });

  function sortBy(table, th, say) {
    const column = th.cellIndex, numeric = th.classList.contains("n");
    const down = th.ariaSort === null || th.ariaSort === "none" ? numeric : th.ariaSort === "ascending";
    const rows = Array.from(table.tBodies[0].rows).map((row) => {
      const text = row.cells[column].textContent.trim();
      return { row, value: numeric ? asNumber(text) : text };
    });
    const unknown = (value) => (numeric ? Number.isNaN(value) : value === "" || value === "–");
    rows.sort((a, b) => {
      if (unknown(a.value) || unknown(b.value)) return unknown(a.value) - unknown(b.value);
      const order = numeric ? a.value - b.value : collator.compare(a.value, b.value);
      return down ? -order : order;
    });
    all("th", table.tHead).forEach((other) => other.ariaSort = "none");
    th.ariaSort = down ? "descending" : "ascending";
    table.tBodies[0].append(...rows.map((entry) => entry.row));
    say.textContent = "sorted by " + th.textContent.trim() + ", " + th.ariaSort;
  }

  all("table.sortable").forEach((table) => {
    const say = document.createElement("p");
    say.className = "hush";
    say.setAttribute("aria-live", "polite");
    table.closest(".scroll").after(say);
    all("thead th", table).forEach((th) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...th.childNodes);
      th.append(button);
      th.ariaSort = "none";
      button.addEventListener("click", () => sortBy(table, th, say));
    });
  });

  // The list of landslides: only those whose text or area fits.
  const list = byId("list"), find = byId("find"), least = byId("least");
  if (list && find) {
    const rows = Array.from(list.tBodies[0].rows).map((row) => ({
      row, text: row.textContent.toLowerCase(), area: asNumber(row.cells[1].textContent),
    }));
    const filter = () => {
      const words = find.value.toLowerCase().split(/\s+/).filter(Boolean), area = parseFloat(least.value) || 0;
      let shown = 0;
      rows.forEach(({ row, text, area: own }) => {
        row.hidden = !(own >= area && words.every((word) => text.includes(word)));
        shown += !row.hidden;
      });
      byId("count").textContent = shown.toLocaleString("en") + " of " + rows.length.toLocaleString("en") + " shown";
    };
    find.addEventListener("input", filter);
    least.addEventListener("input", filter);
    filter();
    byId("filter").hidden = false;
  }

  // The map.
  const map = byId("map"), svg = map.querySelector("svg");
  const whole = svg.viewBox.baseVal, full = { x: 0, y: 0, w: whole.width, h: whole.height };
  const MOST = 40;
  let view = { ...full };

  function show(next) {
    const w = Math.min(full.w, Math.max(full.w / MOST, next.w)), h = (w * full.h) / full.w;
    const x = Math.min(full.w - w, Math.max(0, next.x)), y = Math.min(full.h - h, Math.max(0, next.y));
    view = { x, y, w, h };
    svg.setAttribute("viewBox", [x, y, w, h].join(" "));
    map.classList.toggle("near", w < full.w * 0.999);
    byId("nearer").disabled = w <= full.w / MOST * 1.001;
    byId("farther").disabled = byId("everything").disabled = w >= full.w * 0.999;
    drawScale();
  }

  function zoom(factor, cx, cy) {
    const x = cx === undefined ? view.x + view.w / 2 : cx, y = cy === undefined ? view.y + view.h / 2 : cy;
    const w = Math.min(full.w, Math.max(full.w / MOST, view.w * factor)), ratio = w / view.w;
    show({ x: x - (x - view.x) * ratio, y: y - (y - view.y) * ratio, w });
  }

  function drawScale() {
    const perPixel = parseFloat(map.dataset.metres) / (svg.getScreenCTM() || { a: 1 }).a;
    const target = Math.min(140, svg.clientWidth / 3) * perPixel;
    const power = 10 ** Math.floor(Math.log10(target));
    const length = [5, 2, 1].find((step) => step * power <= target) * power;
    byId("scale-bar").style.width = length / perPixel + "px";
    byId("scale-text").textContent = length >= 1000 ? length / 1000 + " km" : +length.toPrecision(1) + " m";
  }

  function place(event) {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    return point;
  }

  byId("nearer").addEventListener("click", () => zoom(0.5));
  byId("farther").addEventListener("click", () => zoom(2));
  byId("everything").addEventListener("click", () => show(full));
  map.querySelector(".buttons").hidden = false;
  window.addEventListener("resize", drawScale);
  svg.addEventListener("wheel", (event) => {
    // a bare wheel scrolls the page
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const at = place(event);
    zoom(event.deltaY < 0 ? 0.7 : 1 / 0.7, at.x, at.y);
  }, { passive: false });

  let drag = null;
  svg.addEventListener("pointerdown", (event) => {
    if (event.button === 0) drag = { x: event.clientX, y: event.clientY, view: { ...view }, far: false };
  });
  window.addEventListener("pointermove", (event) => {
    if (!drag || view.w >= full.w) return;
    const dx = event.clientX - drag.x, dy = event.clientY - drag.y, scale = svg.getScreenCTM().a;
    drag.far = drag.far || Math.hypot(dx, dy) > 4;
    if (drag.far) show({ x: drag.view.x - dx / scale, y: drag.view.y - dy / scale, w: view.w });
  });
  window.addEventListener("pointerup", () => { setTimeout(() => { drag = null; }); });
  window.addEventListener("pointercancel", () => { drag = null; });
  svg.addEventListener("dragstart", (event) => event.preventDefault());
  svg.addEventListener("click", (event) => {
    // the end of a drag is no click on a landslide
    if (drag && drag.far) event.preventDefault();
  }, true);
  map.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "+" || event.key === "=") zoom(0.5);
    else if (event.key === "-") zoom(2);
    else if (event.key === "0") show(full);
    else if (step && view.w < full.w) show({ x: view.x + step[0] * view.w / 5, y: view.y + step[1] * view.h / 5, w: view.w });
    else return;
    event.preventDefault();
  });

  all("input[name=base]").forEach((input) => input.addEventListener("change", () => {
    all("image[data-base]", svg).forEach((image) => image.toggleAttribute("hidden", image.dataset.base !== input.value));
  }));
  const layer = (box, target) => {
    if (!box) return;
    const update = () => target.toggleAttribute("hidden", !box.checked);
    box.addEventListener("change", update);
    update();
  };
  layer(byId("show-grid"), svg.querySelector(".grid"));
  layer(byId("show-marks"), svg.querySelector(".marks"));
  byId("layers").hidden = false;

  // Selection: a landslide is the same on the map, in the pictures and in the list.
  let picked = [];
  function pick(number) {
    picked.forEach((element) => element.classList.remove("picked"));
    picked = all('[data-slide="' + number + '"]');
    picked.forEach((element) => element.classList.add("picked"));
    return picked.find((element) => element.namespaceURI.endsWith("svg"));
  }
  function follow() {
    const found = /^#[lq](\d+)$/.exec(location.hash);
    if (found) pick(found[1]);
  }
  window.addEventListener("hashchange", follow);
  follow();
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-show]");
    if (!link) return;
    event.preventDefault();
    const mark = pick(link.dataset.show), box = mark.getBBox();
    byId("show-marks").checked = true;
    byId("show-marks").dispatchEvent(new Event("change"));
    const w = Math.max(full.w / 10, 4 * Math.max(box.width, box.height * full.w / full.h));
    show({ x: box.x + box.width / 2 - w / 2, y: box.y + box.height / 2 - (w * full.h) / full.w / 2, w });
    map.scrollIntoView({ block: "nearest" });
    map.focus({ preventScroll: true });
  });

  const outlines = byId("show-outlines");
  if (outlines) {
    outlines.addEventListener("change", () => byId("cards").classList.toggle("plain", !outlines.checked));
    byId("outline-control").hidden = false;
  }
  show(full);
})();
