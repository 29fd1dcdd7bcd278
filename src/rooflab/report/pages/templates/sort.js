for (const th of document.querySelectorAll("th")) {
  const key = (row) => {
    const cell = row.cells[th.cellIndex], figure = cell.dataset.v;
    return figure === undefined ? cell.textContent : figure === "" ? NaN : parseFloat(figure);
  };
  const sort = () => {
    const up = th.getAttribute("aria-sort") !== "ascending", body = th.closest("table").tBodies[0];
    for (const other of th.parentNode.cells) other.removeAttribute("aria-sort");
    th.setAttribute("aria-sort", up ? "ascending" : "descending");
    const order = (a, b) => {
      const x = key(a), y = key(b);
      if (x !== x || y !== y) return (x !== x) - (y !== y);
      return (x > y ? 1 : x < y ? -1 : 0) * (up ? 1 : -1);
    };
    body.append(...Array.from(body.rows).sort(order));
  };
  th.tabIndex = 0;
  th.addEventListener("click", sort);
  th.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
}
