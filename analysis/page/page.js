"use strict";
// Sorts, filters and opens the rows of the table, copies commands, and points out methods in the charts.
const data = JSON.parse(document.getElementById("data").textContent);
const body = document.querySelector("#cells tbody");
const rows = [...body.rows];
const filters = document.getElementById("filters");
const cellOf = (row) => data.cells[Number(row.dataset.i)];

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// Sorting: numbers by size, names by the alphabet, what is missing always last.
let sorted = { key: null, sign: 1 };

function valueOf(row, key) {
  const cell = cellOf(row);
  return key === "method" ? cell.key : key === "setting" ? data.settings[cell.setting].title : cell[key];
}

function order(a, b) {
  const [x, y] = [valueOf(a, sorted.key), valueOf(b, sorted.key)];
  if (x === null || y === null) return (x === null) - (y === null) || a.dataset.i - b.dataset.i;
  const found = typeof x === "string" ? x.localeCompare(y, "en") : x - y;
  return sorted.sign * found || a.dataset.i - b.dataset.i;
}

function sortBy(key) {
  sorted = { key, sign: sorted.key === key ? -sorted.sign : 1 };
  for (const button of document.querySelectorAll("#cells thead button")) {
    const state = button.dataset.sort !== key ? "none" : sorted.sign > 0 ? "ascending" : "descending";
    button.closest("th").setAttribute("aria-sort", state);
  }
  for (const row of [...rows].sort(order)) {
    const detail = detailOf(row);
    body.append(row);
    if (detail) body.append(detail);
  }
}

// Filtering: every word that was typed, and the choices.
function filter() {
  const chosen = new FormData(filters);
  const words = chosen.get("text").toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const row of rows) {
    const cell = cellOf(row);
    const text = `${row.cells[0].textContent} ${row.cells[1].textContent} ${row.cells[3].textContent}`.toLowerCase();
    const shown =
      words.every((word) => text.includes(word)) &&
      (chosen.get("setting") === "" || Number(chosen.get("setting")) === cell.setting) &&
      (chosen.get("method") === "" || chosen.get("method") === cell.key) &&
      (!chosen.get("binary") || cell.binary);
    row.hidden = !shown;
    const detail = detailOf(row);
    if (detail) detail.hidden = !shown;
    count += shown;
  }
  document.getElementById("shown").textContent = `${count} of ${rows.length} rows`;
}

// Details of a cell: made when they are first asked for.
const detailOf = (row) => document.getElementById(`detail-${row.dataset.i}`);

function toggle(row, button) {
  const open = button.getAttribute("aria-expanded") !== "true";
  button.setAttribute("aria-expanded", String(open));
  if (open) row.after(detail(row));
  else detailOf(row).remove();
}

function detail(row) {
  const cell = cellOf(row);
  const inner = element("div", { class: "inner" });
  const add = (title, ...content) => inner.append(element("h4", {}, title), ...content);
  const config = Object.entries(cell.config).map(([name, value]) => [`method.${name}`, value]);
  add("Configuration of the method", pairs(Object.fromEntries(config)));
  add("Data, net and budget", pairs(data.settings[cell.setting].config));
  add("Records", runsTable(cell));
  const published = publishedTable(cell);
  add("Published figures", published || element("p", {}, "None that this benchmark has noted for this method and data set."));
  return element("tr", { class: "detail", id: `detail-${row.dataset.i}` }, element("td", { colspan: "9" }, inner));
}

function pairs(config) {
  const items = Object.entries(config).map(([name, value]) => element("code", {}, `${name}=${value}`));
  return element("p", { class: "pairs" }, ...(items.length ? items : ["as each run's own settings say"]));
}

function tableOf(name, head, lines) {
  const top = element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text)));
  const list = lines.map((line) => element("tr", {}, ...line.map((content) => element("td", {}, content))));
  const table = element("table", {}, element("thead", {}, top), element("tbody", {}, ...list));
  return element("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": name }, table);
}

function runsTable(cell) {
  const lines = cell.replicates.flatMap(([number, words, runs]) =>
    runs.map(([hash, seed, error], place) => {
      const id = `${data.settings[cell.setting].ids}-s${seed}-${hash}`;
      const link = element("a", { href: `${data.results}/runs/${cell.method}/${id}.json` }, id);
      const copy = copyButton(commandOf(cell, words, seed), `Copy the command of seed ${seed}`);
      const own = place === 0 ? element("code", {}, words || "–") : "";
      return [number === null ? "–" : String(number), String(seed), error.toFixed(2), link, own, copy];
    }),
  );
  return tableOf("Records", ["Replicate", "Seed", "Test error, %", "Record", "Its own settings", "Command"], lines);
}

const commandOf = (cell, words, seed) => [cell.words, words, `seed=${seed}`].filter(Boolean).join(" ");

function fillCommand(row) {
  const cell = cellOf(row);
  if (!cell.replicates.length) return;
  const [, words, [[, seed]]] = cell.replicates[0];
  const command = commandOf(cell, words, seed);
  row.cells[8].append(element("code", {}, command), copyButton(command, `Copy the command of ${cell.key}`));
}

function publishedTable(cell) {
  const tables = data.sources[cell.method] || [];
  const dataset = data.settings[cell.setting].dataset;
  const found = data.published.filter((row) => tables.includes(row[0]) && row[1].replace(/ \(.*/, "") === dataset);
  if (!found.length) return null;
  const lines = found.map(([, name, method, error, spread, binary, net, epochs, source]) => {
    const value = error.toFixed(2) + (spread ? ` ± ${spread.toFixed(2)}` : "");
    return [method, name, value, binary, net, epochs, source];
  });
  return tableOf("Published figures", ["Method", "Data set", "Test error, %", "±1 activations", "Net", "Epochs", "Source"], lines);
}

// Copying: the clipboard where the browser allows it, else the old way.
function copyButton(text, label) {
  const button = element("button", { type: "button", class: "copy", "aria-label": label }, "Copy");
  button.addEventListener("click", () => copy(text, button));
  return button;
}

async function copy(text, button) {
  let copied = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = element("textarea", { class: "hidden" });
    area.value = text;
    document.body.append(area);
    area.select();
    copied = document.execCommand("copy");
    area.remove();
    button.focus();
  }
  button.textContent = copied ? "Copied" : "Failed";
  document.getElementById("said").textContent = copied ? "Command copied" : "The browser does not allow to copy";
  setTimeout(() => (button.textContent = "Copy"), 2000);
}

// Charts: the chosen methods stand out, the others fade.
function pointOut() {
  const chosen = new Set([...document.querySelectorAll('.chip[aria-pressed="true"]')].map((chip) => chip.dataset.key));
  for (const series of document.querySelectorAll("#charts .series")) {
    series.classList.toggle("dim", chosen.size > 0 && !chosen.has(series.dataset.key));
  }
}

for (const row of rows) {
  const name = row.querySelector(".name");
  const button = element("button", { type: "button", class: "open", "aria-expanded": "false" }, name.textContent);
  button.addEventListener("click", () => toggle(row, button));
  name.replaceWith(button);
  fillCommand(row);
}
for (const button of document.querySelectorAll("#cells thead button")) {
  button.addEventListener("click", () => sortBy(button.dataset.sort));
}
for (const chip of document.querySelectorAll(".chip")) {
  chip.addEventListener("click", () => {
    chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
    pointOut();
  });
}
filters.addEventListener("input", filter);
filters.addEventListener("reset", () => setTimeout(filter));
filters.addEventListener("submit", (event) => event.preventDefault());
for (const part of document.querySelectorAll("#filters, .chips")) part.hidden = false;
filter();

// A link to a chart opens it.
function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.tagName === "DETAILS") target.open = true;
}
addEventListener("hashchange", openTarget);
openTarget();

// In print every chart is shown.
let closed = [];
addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details:not([open])")];
  for (const part of closed) part.open = true;
});
addEventListener("afterprint", () => closed.forEach((part) => (part.open = false)));
