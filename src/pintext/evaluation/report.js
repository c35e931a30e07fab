"use strict";
// Tables sort by the column whose heading is pressed; numbers are in data-value.
for (const button of document.querySelectorAll("thead button")) {
  button.addEventListener("click", () => {
    const heading = button.parentElement;
    const body = heading.closest("table").tBodies[0];
    const column = heading.cellIndex;
    const down = heading.getAttribute("aria-sort") !== "descending";
    for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const compare = (a, b) =>
      isNaN(value(a)) || isNaN(value(b)) ? value(a).localeCompare(value(b)) : value(a) - value(b);
    const rows = [...body.rows].sort((a, b) => (down ? compare(b, a) : compare(a, b)));
    body.append(...rows);
  });
}
// One slice of a question is shown at a time.
for (const select of document.querySelectorAll("select[data-slices]")) {
  const show = () => {
    for (const option of select.options) {
      document.getElementById(option.value).hidden = !option.selected;
    }
  };
  select.addEventListener("change", show);
  show();
}
