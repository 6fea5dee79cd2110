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

  // Tables: show the first rows; show more on request. Thousands of rows at once block the browser for seconds.
  const STEP = 200;
  const tables = new Map();

  function lay(table) {
    const state = tables.get(table), rows = Array.from(table.tBodies[0].rows);
    rows.forEach((row, place) => { row.hidden = place >= state.limit; });
    const left = rows.length - state.limit;
    state.more.hidden = left <= 0;
    state.more.textContent = "Show " + Math.min(STEP, left) + " more of " + Math.max(left, 0).toLocaleString("en");
  }

  // A click on a heading sorts the table. Unknown values stay last in both directions.
  const asNumber = (text) => parseFloat(text.replace(/,/g, "").replace("−", "-"));
  const unknown = (value) => value === null || value === undefined || value === "" || value === "–" || Number.isNaN(value);
  function compare(a, b, down) {
    if (unknown(a) || unknown(b)) return unknown(a) - unknown(b);
    // not by a collator, which takes seconds for 50,000 texts
    const order = a < b ? -1 : a > b ? 1 : 0;
    return down ? -order : order;
  }

  // Make a button of each heading; `sort` is called with the heading and the direction.
  function headings(table, sort) {
    const say = document.createElement("p");
    say.className = "hush";
    say.setAttribute("aria-live", "polite");
    table.closest(".scroll").after(say);
    all("thead th", table).forEach((th) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...th.childNodes);
      th.append(button);
      if (!th.hasAttribute("aria-sort")) th.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const was = th.getAttribute("aria-sort"), down = was === "none" ? th.classList.contains("n") : was === "ascending";
        all("th", table.tHead).forEach((other) => other.setAttribute("aria-sort", "none"));
        th.setAttribute("aria-sort", down ? "descending" : "ascending");
        sort(th, down);
        say.textContent = "sorted by " + th.textContent.trim() + ", " + th.getAttribute("aria-sort");
      });
    });
  }

  function sortRows(table, th, down) {
    const column = th.cellIndex, numeric = th.classList.contains("n");
    const rows = Array.from(table.tBodies[0].rows).map((row) => {
      const text = row.cells[column].textContent.trim();
      return { row, value: numeric ? asNumber(text) : text };
    });
    rows.sort((a, b) => compare(a.value, b.value, down));
    const order = document.createDocumentFragment();
    rows.forEach((entry) => order.append(entry.row));
    table.tBodies[0].append(order);
    lay(table);
  }

  all("table.sortable").forEach((table) => {
    const more = make("button");
    more.type = "button";
    more.addEventListener("click", () => { tables.get(table).limit += STEP; lay(table); });
    table.closest(".scroll").append(more);
    tables.set(table, { limit: STEP, more });
    lay(table);
    headings(table, (th, down) => sortRows(table, th, down));
  });

  // The landslides: columns of values, which are packed. All of them are searched, sorted and drawn; the list has one
  // page of rows at a time, because the browser needs a second for some thousand rows.
  const list = byId("list");
  let records = null;
  const field = (number, name) => (name in records.same ? records.same[name] : records.columns[name][number]);
  const state = { order: [], shown: [], drawn: [], inList: null, page: 0 };
  let selected = -1;

  async function unpack(text) {
    const packed = atob(text), bytes = new Uint8Array(packed.length);
    for (let i = 0; i < bytes.length; i += 1) bytes[i] = packed.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  }

  function row(number) {
    const out = make("tr");
    out.id = "l" + number;
    out.dataset.slide = number;
    out.classList.toggle("picked", number === selected);
    all("thead th", list).forEach((th) => {
      const name = th.dataset.field, value = field(number, name), numeric = th.classList.contains("n");
      const text = numeric ? formatted(value === null ? null : value * (th.dataset.times || 1), +(th.dataset.digits || 0)) : value;
      const cell = make("td", text, numeric ? "n" : name.startsWith("date") || name === "landslide_id" ? "nowrap" : undefined);
      if (name === "landslide_id") {
        const link = make("a", text);
        link.href = "#l" + number;
        link.dataset.show = number;
        cell.replaceChildren(link);
      }
      out.append(cell);
    });
    return out;
  }

  function showPage(page) {
    const last = Math.max(0, Math.ceil(state.shown.length / STEP) - 1), count = (n) => n.toLocaleString("en");
    state.page = Math.min(last, Math.max(0, page));
    const first = state.page * STEP, numbers = state.shown.slice(first, first + STEP);
    list.tBodies[0].replaceChildren(...numbers.map(row));
    byId("list-view").scrollTop = 0;
    byId("pages").hidden = !last;
    byId("page-place").textContent = "landslides " + count(first + 1) + " to " + count(first + numbers.length) + " of " + count(state.shown.length);
    byId("first-page").disabled = byId("page-before").disabled = !state.page;
    byId("last-page").disabled = byId("page-after").disabled = state.page === last;
  }

  function refresh(fits) {
    if (fits) {
      state.inList = new Uint8Array(records.count);
      state.order.forEach((number) => { state.inList[number] = fits(number); });
    }
    state.shown = state.order.filter((number) => state.inList[number]);
    byId("count").textContent = state.shown.length.toLocaleString("en") + " of " + records.count.toLocaleString("en") + " shown";
    showPage(0);
    if (fits) drawMarks();
    if (selected >= 0) showPlace();
  }

  function filterList() {
    const form = byId("filter"), find = byId("find"), least = byId("least"), most = byId("most");
    const selects = all("select[data-field]", form);
    const names = [...all("thead th:not(.n)", list).map((th) => th.dataset.field), ...records.searched];
    let texts = null;
    const filter = () => {
      const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
      const low = least.value === "" ? -Infinity : +least.value, high = most.value === "" ? Infinity : +most.value;
      const asked = selects.filter((select) => select.value).map((select) => [select.dataset.field, select.value]);
      if (words.length) texts = texts || Array.from({ length: records.count }, (_, number) => names.map((name) => field(number, name) || "").join(" ").toLowerCase());
      refresh((number) => {
        const area = field(number, "area_m2");
        return area >= low && area <= high && words.every((word) => texts[number].includes(word))
          && asked.every(([name, value]) => field(number, name) === value);
      });
    };
    let waits = 0;
    form.addEventListener("input", () => { clearTimeout(waits); waits = setTimeout(filter, 120); });
    // the fields are empty only after the event
    form.addEventListener("reset", () => setTimeout(filter));
    form.addEventListener("submit", (event) => event.preventDefault());
    form.hidden = false;
  }

  function startList() {
    headings(list, (th, down) => {
      const keys = Array.from({ length: records.count }, (_, number) => field(number, th.dataset.field));
      state.order.sort((a, b) => compare(keys[a], keys[b], down) || a - b);
      refresh();
    });
    byId("first-page").addEventListener("click", () => showPage(0));
    byId("page-before").addEventListener("click", () => showPage(state.page - 1));
    byId("page-after").addEventListener("click", () => showPage(state.page + 1));
    byId("last-page").addEventListener("click", () => showPage(Infinity));
    state.order = Array.from({ length: records.count }, (_, number) => number);
    boxes = extents();
    filterList();
    refresh(() => true);
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
    if (state.shown.length > MOST_MARKS) drawMarks();
  }

  function zoom(factor, cx, cy) {
    const x = cx === undefined ? view.x + view.w / 2 : cx, y = cy === undefined ? view.y + view.h / 2 : cy;
    const w = Math.min(full.w, Math.max(full.w / MOST, view.w * factor)), ratio = w / view.w;
    show({ x: x - (x - view.x) * ratio, y: y - (y - view.y) * ratio, w });
  }

  const distance = (metres) => (metres >= 1000 ? +(metres / 1000).toPrecision(2) + " km" : +metres.toPrecision(2) + " m");
  function drawScale() {
    const perPixel = parseFloat(map.dataset.metres) / (svg.getScreenCTM() || { a: 1 }).a;
    const target = Math.min(140, svg.clientWidth / 3) * perPixel;
    const power = 10 ** Math.floor(Math.log10(target));
    const length = [5, 2, 1].find((step) => step * power <= target) * power;
    byId("scale-bar").style.width = length / perPixel + "px";
    byId("scale-text").textContent = distance(+length.toPrecision(1));
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
    if (drag && drag.far) return;
    const at = place(event), number = slideAt(at);
    if (number >= 0) pick(number);
    else if (event.target.closest(".cells rect")) zoom(0.25, at.x, at.y);
  });
  svg.addEventListener("mousemove", (event) => {
    if (drag) return;
    const number = slideAt(place(event));
    map.classList.toggle("over", number >= 0);
    byId("map-hint").textContent = number < 0 ? "" : field(number, "landslide_id") + ", " + formatted(field(number, "area_m2"), 0, " m²");
  });
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

  // The marks: small landslides are dots of one path, the others outlines of another one. If more landslides are in
  // view than MOST_MARKS, their number in each cell is drawn instead: their marks would cover each other, and the
  // browser needs a second to draw 50,000.
  const MOST_MARKS = 2000, CELLS = 32;
  const isDot = (outline) => outline.endsWith("h0");
  const middle = (number) => [(boxes[4 * number] + boxes[4 * number + 2]) / 2, (boxes[4 * number + 1] + boxes[4 * number + 3]) / 2];

  function drawMarks() {
    const many = state.shown.length > MOST_MARKS;
    const seen = many ? state.shown.filter(inView) : state.shown;
    state.drawn = seen.length > MOST_MARKS ? [] : seen;
    drawPaths(state.drawn.map((number) => records.outlines[number]));
    drawCells(seen.length > MOST_MARKS ? seen : []);
    drawPicked();
  }

  function inView(number) {
    const i = 4 * number;
    return boxes[i] < view.x + view.w && boxes[i + 2] > view.x && boxes[i + 1] < view.y + view.h && boxes[i + 3] > view.y;
  }

  function drawPaths(outlines) {
    const paths = { ".shapes": outlines.filter((outline) => !isDot(outline)), ".dot": outlines.filter(isDot) };
    // a line for each landslide
    Object.entries(paths).forEach(([kind, some]) => all(".marks g " + kind, svg).forEach((path) => path.setAttribute("d", some.join("\n"))));
  }

  function drawCells(numbers) {
    // cells stay in place when the map is moved
    const side = full.w / CELLS / 2 ** Math.round(Math.log2(full.w / view.w)), counts = new Map();
    numbers.forEach((number) => {
      const [col, row] = middle(number).map((value) => Math.floor(value / side)), key = col + " " + row;
      counts.set(key, (counts.get(key) || 0) + 1);
    });
    const most = Math.max(...counts.values(), 1);
    svg.querySelector(".cells").replaceChildren(...Array.from(counts, ([key, count]) => {
      const [x, y] = key.split(" ").map((value) => value * side), title = drawing("title", {});
      title.textContent = count.toLocaleString("en") + (count === 1 ? " landslide" : " landslides");
      return drawing("rect", { x, y, width: side, height: side, "fill-opacity": 0.2 + 0.6 * Math.log(count + 1) / Math.log(most + 1), "data-count": count }, title);
    }));
    byId("cells-key").hidden = !numbers.length;
    byId("marks-key").hidden = Boolean(numbers.length);
    byId("cells-text").textContent = "up to " + most.toLocaleString("en") + " landslides in a square of " + distance(side * parseFloat(map.dataset.metres)) + "; zoom in to see single landslides";
  }

  function drawPicked() {
    const path = svg.querySelector(".marks .picked"), seen = selected >= 0 && state.inList[selected];
    path.setAttribute("d", seen ? records.outlines[selected] : "");
    path.classList.toggle("dot", Boolean(seen) && isDot(records.outlines[selected]));
    return seen ? path : null;
  }

  let boxes = null;
  function extents() {
    const out = new Float32Array(4 * records.count);
    records.outlines.forEach((outline, number) => {
      let x0 = Infinity, y0 = Infinity, x1 = -Infinity, y1 = -Infinity;
      for (const [, x, y] of outline.matchAll(/(-?[\d.]+) (-?[\d.]+)/g)) {
        x0 = Math.min(x0, x); x1 = Math.max(x1, x); y0 = Math.min(y0, y); y1 = Math.max(y1, y);
      }
      out.set([x0, y0, x1, y1], 4 * number);
    });
    return out;
  }

  // The landslide at a place of the map: one that contains it, or else the nearest one within some pixels; or -1.
  const NEAR_PX = 6;
  const probe = drawing("path", {});
  function slideAt(point) {
    const near = NEAR_PX / svg.getScreenCTM().a;
    let best = -1, least = near;
    for (const number of state.drawn) {
      const i = 4 * number;
      const dx = Math.max(boxes[i] - point.x, 0, point.x - boxes[i + 2]), dy = Math.max(boxes[i + 1] - point.y, 0, point.y - boxes[i + 3]);
      if (dx > near || dy > near) continue;
      probe.setAttribute("d", records.outlines[number]);
      if (!isDot(records.outlines[number]) && probe.isPointInFill(point)) return number;
      const far = Math.hypot(dx, dy);
      if (far < least) { least = far; best = number; }
    }
    return best;
  }

  // The selected landslide is marked on the map, in the panel and in the list.
  const panel = byId("panel"), titles = panel && JSON.parse(panel.dataset.titles);
  const metres = (look) => look.side * parseFloat(panel.dataset.resolution);
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

  // `next` and `previous` follow the order of the list.
  function showPlace() {
    const shown = state.shown, at = shown.indexOf(selected);
    byId("previous").disabled = at === 0 || !shown.length;
    byId("next").disabled = at === shown.length - 1;
    byId("place").textContent = (at < 0 ? "not in the list of " : (at + 1).toLocaleString("en") + " of ") + shown.length.toLocaleString("en");
  }

  function pick(number) {
    selected = number;
    all("tr", list.tBodies[0]).forEach((element) => element.classList.toggle("picked", +element.dataset.slide === number));
    fill(number);
    showPlace();
    byId("panel-said").textContent = "Selected " + field(number, "landslide_id") + ", " + formatted(field(number, "area_m2"), 0, " square metres");
    return drawPicked();
  }

  function goTo(number) {
    const mark = pick(number);
    byId("show-marks").checked = true;
    byId("show-marks").dispatchEvent(new Event("change"));
    if (!mark) return;
    const box = mark.getBBox(), w = Math.max(full.w / 10, 4 * Math.max(box.width, box.height * full.w / full.h));
    show({ x: box.x + box.width / 2 - w / 2, y: box.y + box.height / 2 - (w * full.h) / full.w / 2, w });
  }

  function step(by) {
    const at = state.shown.indexOf(selected);
    const next = at < 0 ? state.shown[0] : state.shown[at + by];
    if (next !== undefined) goTo(next);
  }

  function select() {
    const linked = () => { const found = /^#l(\d+)$/.exec(location.hash); return found && +found[1] < records.count ? +found[1] : -1; };
    pick(Math.max(0, linked()));
    window.addEventListener("hashchange", () => { if (linked() >= 0) goTo(linked()); });
    byId("panel-said").textContent = "";
    panel.hidden = false;
    byId("previous").addEventListener("click", () => step(-1));
    byId("next").addEventListener("click", () => step(1));
    byId("panel-more").addEventListener("toggle", () => {
      byId("panel-fields").replaceChildren(...(byId("panel-more").open ? fields(selected) : []));
    });
    byId("to-list").addEventListener("click", () => {
      const show = () => {
        showPage(Math.floor(state.shown.indexOf(selected) / STEP));
        byId("l" + selected).scrollIntoView({ block: "center" });
        byId("l" + selected).querySelector("a").focus({ preventScroll: true });
      };
      if (state.inList[selected]) return show();
      byId("filter").reset();
      // after the list is shown again
      setTimeout(show);
    });
    byId("show-outlines").addEventListener("change", (event) => byId("panel-looks").classList.toggle("plain", !event.target.checked));
    document.addEventListener("click", (event) => {
      const link = event.target.closest("a[data-show]");
      if (!link) return;
      event.preventDefault();
      goTo(+link.dataset.show);
      map.scrollIntoView({ block: "nearest" });
      byId("panel-title").focus({ preventScroll: matchMedia("(min-width: 1001px)").matches });
    });
  }
  async function start() {
    try {
      records = await unpack(byId("records").textContent);
    } catch (error) {
      byId("list-fault").textContent = "This browser cannot unpack the list of landslides (" + error.message + "). The files contain all landslides.";
      byId("list-fault").hidden = false;
      return;
    }
    startList();
    select();
    document.documentElement.dataset.ready = "yes";
  }
  show(full);
  if (list) start();
  // the images are at the end of the page
  document.addEventListener("DOMContentLoaded", () => { if (selected >= 0) fill(selected); });
})();
