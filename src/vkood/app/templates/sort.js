let key = null, ascending = true;
const value = (row, name) => name === "fact" ? row.dataset.fact : Number(row.dataset[name]);
const compare = (a, b) => typeof a === "string" ? a.localeCompare(b, "en") : a - b;
function sort() {
  if (key === null) return;
  for (const head of element.querySelectorAll("th[data-key]")) {
    if (head.dataset.key === key) head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    else head.removeAttribute("aria-sort");
  }
  const body = element.querySelector("tbody");
  const rows = [...body.querySelectorAll("tr[data-place]")];
  rows.sort((a, b) => (ascending ? 1 : -1) * compare(value(a, key), value(b, key)) || a.dataset.place - b.dataset.place);
  body.append(...rows);
}
element.addEventListener("click", event => {
  const head = event.target.closest("th[data-key]");
  if (!head) return;
  ascending = head.dataset.key === key ? !ascending : head.dataset.key === "fact" || head.dataset.key === "score";
  key = head.dataset.key;
  sort();
});
watch("value", sort);
