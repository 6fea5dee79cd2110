"use strict";
(function () {
  const all = (selector, inside) => Array.from((inside || document).querySelectorAll(selector));
  const byId = (id) => document.getElementById(id);
  const make = (name, text, kind) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    if (kind) element.className = kind;
    return element;
  };

  // Tables: show the first rows; show more on request. Thousands of rows at once block the browser for seconds.
  const STEP = 200;
  const tables = new Map();
  const fitting = (table) => Array.from(table.tBodies[0].rows).filter((row) => !tables.get(table).out.has(row));

  function lay(table) {
    const state = tables.get(table), rows = fitting(table);
    state.out.forEach((row) => { row.hidden = true; });
    rows.forEach((row, place) => { row.hidden = place >= state.limit; });
    const left = rows.length - state.limit;
    state.more.hidden = left <= 0;
    state.more.textContent = "Show " + Math.min(STEP, left) + " more of " + Math.max(left, 0).toLocaleString("en");
  }

  // A click on a heading sorts the table. Unknown values stay last in both directions.
  const asNumber = (text) => parseFloat(text.replace(/,/g, "").replace("−", "-"));
  const collator = new Intl.Collator("en");

  function sortBy(table, th, say) {
    const column = th.cellIndex, numeric = th.classList.contains("n");
    const was = th.getAttribute("aria-sort");
    const down = was === "none" ? numeric : was === "ascending";
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
    all("th", table.tHead).forEach((other) => other.setAttribute("aria-sort", "none"));
    th.setAttribute("aria-sort", down ? "descending" : "ascending");
    const order = document.createDocumentFragment();
    rows.forEach((entry) => order.append(entry.row));
    table.tBodies[0].append(order);
    lay(table);
    say.textContent = "sorted by " + th.textContent.trim() + ", " + th.getAttribute("aria-sort");
    table.dispatchEvent(new Event("sorted"));
  }

  all("table.sortable").forEach((table) => {
    const say = document.createElement("p");
    say.className = "hush";
    say.setAttribute("aria-live", "polite");
    const more = make("button");
    more.type = "button";
    more.addEventListener("click", () => { tables.get(table).limit += STEP; lay(table); });
    table.closest(".scroll").after(say);
    table.closest(".scroll").append(more);
    tables.set(table, { limit: STEP, out: new Set(), more });
    lay(table);
    all("thead th", table).forEach((th) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...th.childNodes);
      th.append(button);
      if (!th.hasAttribute("aria-sort")) th.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => sortBy(table, th, say));
    });
  });

  // The filter hides landslides in the list and on the map.
  const list = byId("list"), records = list && JSON.parse(byId("records").textContent);
  const field = (number, name) => {
    const place = records.varies.indexOf(name);
    return place < 0 ? records.same[name] : records.values[number][place];
  };
  function filterList() {
    const form = byId("filter"), find = byId("find"), least = byId("least"), most = byId("most");
    const selects = all("select[data-field]", form), marks = all(".marks a");
    const read = () => Array.from(list.tBodies[0].rows).map((row) => {
      const number = +row.dataset.slide;
      const words = [row.textContent, ...records.searched.map((name) => field(number, name) || "")];
      return { row, number, text: words.join(" ").toLowerCase(), area: field(number, "area_m2") };
    });
    let rows = null;
    const filter = () => {
      rows = rows || read();
      const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
      const low = least.value === "" ? -Infinity : +least.value, high = most.value === "" ? Infinity : +most.value;
      const asked = selects.filter((select) => select.value).map((select) => [select.dataset.field, select.value]);
      let shown = 0;
      rows.forEach(({ row, number, text, area }) => {
        const fits = area >= low && area <= high && words.every((word) => text.includes(word))
          && asked.every(([name, value]) => field(number, name) === value);
        if (fits) tables.get(list).out.delete(row);
        else tables.get(list).out.add(row);
        if (marks[number]) marks[number].toggleAttribute("hidden", !fits);
        shown += fits;
      });
      // the white rims of all marks are one path, so they are shown only if all marks are shown
      document.querySelector(".marks .under").toggleAttribute("hidden", shown < rows.length);
      byId("count").textContent = shown.toLocaleString("en") + " of " + rows.length.toLocaleString("en") + " shown";
      tables.get(list).limit = STEP;
      lay(list);
      list.dispatchEvent(new Event("filtered"));
    };
    let waits = 0;
    form.addEventListener("input", () => { clearTimeout(waits); waits = setTimeout(filter, 120); });
    // the fields are empty only after the event
    form.addEventListener("reset", () => setTimeout(filter));
    form.addEventListener("submit", (event) => event.preventDefault());
    const count = records.values.length.toLocaleString("en");
    byId("count").textContent = count + " of " + count + " shown";
    form.hidden = false;
  }
  if (list) filterList();

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
    // without Ctrl or Meta, the wheel scrolls the page
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
    // the end of a drag is not a click on a landslide
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

  // The selected landslide is marked on the map, in the panel and in the list.
  let picked = [], selected = -1;
  const panel = byId("panel"), titles = panel && JSON.parse(panel.dataset.titles);
  const metres = (look) => look.side * parseFloat(panel.dataset.resolution);
  const NS = "http://www.w3.org/2000/svg";
  const drawing = (name, attributes, ...inside) => {
    const element = document.createElementNS(NS, name);
    Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
    element.append(...inside);
    return element;
  };
  const formatted = (value, digits, unit) => value === null || value === undefined || value === "" ? "–"
    : typeof value !== "number" ? value
    : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }) + (unit || "");

  function fact(term, value, title) {
    const row = make("div"), dt = make("dt", term);
    if (title) dt.title = title;
    row.append(dt, make("dd", value));
    if (String(value).length > 14) row.className = "wide";
    return row;
  }

  // One JPEG contains all images of a landslide side by side; each figure shows one part.
  function figures(look, id) {
    const uri = "data:image/jpeg;base64," + look.strip, side = look.side;
    return look.kinds.map((kind, place) => {
      const title = titles[kind], figure = make("figure");
      const image = drawing("image", { href: uri, x: -place * side, width: look.kinds.length * side, height: side, preserveAspectRatio: "none" });
      figure.append(
        drawing("svg", { viewBox: "0 0 " + side + " " + side, role: "img", "aria-label": id + ": " + title + ", " + formatted(metres(look), 0) + " m wide" },
          image, drawing("path", { class: "under", d: look.outline }), drawing("path", { d: look.outline })),
        make("figcaption", title));
      return figure;
    });
  }

  function fields(number) {
    const out = [];
    let group = "", rows = null;
    records.fields.forEach(([name, its, unit, meaning]) => {
      if (its !== group) {
        group = its;
        rows = make("dl", undefined, "attributes");
        out.push(make("p", group, "groups"), rows);
      }
      const value = field(number, name);
      const text = value === null || value === "" ? "–" : typeof value === "number" ? +value.toPrecision(7) + (unit && unit !== "1" ? " " + unit : "") : value;
      rows.append(fact(name, text, meaning));
    });
    return out;
  }

  function fill(number) {
    const get = (name) => field(number, name), id = get("landslide_id");
    const text = byId("look" + number), look = text && JSON.parse(text.textContent), many = +panel.dataset.looks;
    byId("panel-title").replaceChildren(id, make("span", get("status"), "tag"), make("span", get("review_state"), "tag"));
    const sure = get("date_confidence");
    byId("panel-dates").textContent = "Between " + get("date_earliest") + " and " + get("date_latest") + " (" + get("date_method")
      + (sure === null ? "" : ", confidence " + formatted(sure, 2)) + ")";
    byId("panel-looks").replaceChildren(...(look ? figures(look, id) : []));
    byId("panel-note").textContent = !look ? number < many ? "Loading images." : "No images: this page has images of the " + many.toLocaleString("en") + " largest landslides only."
      : look.kinds.length ? "Images are " + formatted(metres(look), 0) + " m wide; north is up." : "This place was not observed.";
    byId("panel-key").hidden = !look || !look.kinds.length;
    const rows = [
      fact("area", formatted(get("area_m2"), 0, " m²")), fact("confidence", formatted(get("confidence"))),
      fact("length", formatted(get("length_m"), 0, " m")), fact("width", formatted(get("width_m"), 0, " m")),
      fact("relief", formatted(get("relief_m"), 0, " m")), fact("mean slope", formatted(get("slope_mean_deg"), 0, "°")),
      fact("dNDVI", formatted(get("dndvi_mean"), 2)), fact("VV change", formatted(get("dvv_mean_db"), 1, " dB")),
      fact("VH change", formatted(get("dvh_mean_db"), 1, " dB")), fact("probability", formatted(get("probability_mean"), 2)),
    ];
    if (get("parent_ids")) rows.push(fact("parent landslides", get("parent_ids")));
    if (get("reviewer")) rows.push(fact("reviewer", get("reviewer")));
    if (get("comment")) rows.push(fact("comment", get("comment")));
    byId("panel-facts").replaceChildren(...rows);
    const edge = get("unobserved_edge_px");
    byId("panel-edge").textContent = edge ? formatted(edge, 0) + (edge === 1 ? " of its pixels borders" : " of its pixels border") + " on unobserved ground. The landslide may be larger." : "";
    byId("panel-fields").replaceChildren();
    if (byId("panel-more").open) byId("panel-fields").replaceChildren(...fields(number));
  }

  // The landslides that the list shows, in its order; `next` and `previous` follow this order.
  const order = () => fitting(list).map((row) => +row.dataset.slide);
  function showPlace() {
    const shown = order(), at = shown.indexOf(selected);
    byId("previous").disabled = at === 0 || !shown.length;
    byId("next").disabled = at === shown.length - 1;
    byId("place").textContent = (at < 0 ? "not in the list of " : (at + 1).toLocaleString("en") + " of ") + shown.length.toLocaleString("en");
  }

  function pick(number) {
    picked.forEach((element) => element.classList.remove("picked"));
    picked = all('[data-slide="' + number + '"]');
    picked.forEach((element) => element.classList.add("picked"));
    selected = number;
    fill(number);
    showPlace();
    byId("panel-said").textContent = "Selected " + field(number, "landslide_id") + ", " + formatted(field(number, "area_m2"), 0, " square metres");
    return picked.find((element) => element.namespaceURI === NS);
  }

  function goTo(number) {
    const mark = pick(number);
    byId("show-marks").checked = true;
    byId("show-marks").dispatchEvent(new Event("change"));
    if (!mark || mark.hasAttribute("hidden")) return;
    const box = mark.getBBox(), w = Math.max(full.w / 10, 4 * Math.max(box.width, box.height * full.w / full.h));
    show({ x: box.x + box.width / 2 - w / 2, y: box.y + box.height / 2 - (w * full.h) / full.w / 2, w });
  }

  function step(by) {
    const shown = order(), at = shown.indexOf(selected);
    const next = at < 0 ? shown[0] : shown[at + by];
    if (next !== undefined) goTo(next);
  }

  function select() {
    const linked = () => { const found = /^#l(\d+)$/.exec(location.hash); return found && +found[1] < records.values.length ? +found[1] : -1; };
    pick(Math.max(0, linked()));
    window.addEventListener("hashchange", () => { if (linked() >= 0) goTo(linked()); });
    byId("panel-said").textContent = "";
    panel.hidden = false;
    // the images are at the end of the page
    document.addEventListener("DOMContentLoaded", () => fill(selected));
    list.addEventListener("sorted", showPlace);
    list.addEventListener("filtered", showPlace);
    byId("previous").addEventListener("click", () => step(-1));
    byId("next").addEventListener("click", () => step(1));
    byId("panel-more").addEventListener("toggle", () => {
      byId("panel-fields").replaceChildren(...(byId("panel-more").open ? fields(selected) : []));
    });
    byId("to-list").addEventListener("click", () => {
      const row = byId("l" + selected), state = tables.get(list), at = fitting(list).indexOf(row);
      if (at < 0) byId("filter").reset();
      if (at >= state.limit) {
        state.limit = Math.ceil((at + 1) / STEP) * STEP;
        lay(list);
      }
      row.scrollIntoView({ block: "center" });
      row.querySelector("a").focus({ preventScroll: true });
    });
    byId("show-outlines").addEventListener("change", (event) => byId("panel-looks").classList.toggle("plain", !event.target.checked));
    document.addEventListener("click", (event) => {
      const link = event.target.closest("a[data-show], .marks a");
      if (!link) return;
      event.preventDefault();
      if (link.dataset.show === undefined) {
        pick(+link.dataset.slide);
        return;
      }
      goTo(+link.dataset.show);
      map.scrollIntoView({ block: "nearest" });
      byId("panel-title").focus({ preventScroll: matchMedia("(min-width: 1001px)").matches });
    });
  }
  if (list) select();
  show(full);
})();
