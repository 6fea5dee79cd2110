"use strict";
(function () {
  const table = document.querySelector("table.sortable");
  if (!table) return;
  const body = table.tBodies[0], choice = document.getElementById("year");

  // A click on a heading sorts the table. Unknown values stay last in both directions.
  const asNumber = (text) => parseFloat(text.replace(/,/g, ""));
  function sort(th, down) {
    const column = th.cellIndex, numeric = th.classList.contains("n");
    const rows = Array.from(body.rows).map((row) => {
      const text = row.cells[column].textContent.trim();
      return { row, value: numeric ? asNumber(text) : text };
    });
    const unknown = (value) => Number.isNaN(value);
    rows.sort((a, b) => {
      if (unknown(a.value) || unknown(b.value)) return unknown(a.value) - unknown(b.value);
      const order = a.value < b.value ? -1 : a.value > b.value ? 1 : 0;
      return down ? -order : order;
    });
    const order = document.createDocumentFragment();
    rows.forEach((entry) => order.append(entry.row));
    body.append(order);
  }
  Array.from(table.tHead.rows[0].cells).forEach((th) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...th.childNodes);
    th.append(button);
    th.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const was = th.getAttribute("aria-sort"), down = was === "none" ? th.classList.contains("n") : was === "ascending";
      Array.from(th.parentNode.cells).forEach((other) => other.setAttribute("aria-sort", "none"));
      th.setAttribute("aria-sort", down ? "descending" : "ascending");
      sort(th, down);
    });
  });

  // One year, or all of them.
  function show() {
    Array.from(body.rows).forEach((row) => { row.hidden = choice.value !== "" && row.dataset.year !== choice.value; });
  }
  choice.addEventListener("change", show);
  show();
})();
