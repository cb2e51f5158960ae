// The page of an approach: sends one request and draws its statements as bars; copies the curl commands.

import { showMessage } from "./lab.js";

const SVG = "http://www.w3.org/2000/svg";

const form = document.getElementById("try-form");
const message = document.getElementById("try-message");
const result = document.getElementById("try-result");
const workload = form.elements.workload;

// Shows the fields of the chosen workload. The others are disabled, because hidden required fields would block the form.
function showFields() {
  for (const fields of form.querySelectorAll("fieldset[data-workload]")) {
    const chosen = fields.dataset.workload === workload.value;
    fields.hidden = !chosen;
    fields.disabled = !chosen;
  }
}
workload.addEventListener("change", showFields);
// A browser that returns to the page may restore another choice than the page's default.
showFields();

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button[type=submit]");
  button.disabled = true;
  showMessage(message, "Waiting for the answer …");
  result.replaceChildren();
  try {
    const request = requestOfForm();
    const began = performance.now();
    const answer = await fetch(request.path, request.options);
    const body = await answer.text();
    show(request, answer, body, performance.now() - began);
    showMessage(message, `${answer.status} ${answer.statusText}${answer.status === 404 ? `: ${resetHint(request.seed)}` : ""}`, answer.status >= 500);
  } catch {
    showMessage(message, "The server does not answer.", true);
  } finally {
    button.disabled = false;
  }
});

/** What to do if the served data has no such row. */
function resetHint(seed) {
  return `the served data has no such row. This command replaces the data by one that has it: curl -X POST '${location.origin}/reset?seed=${seed}'`;
}

/** The request of the form: a number goes into the path if the path has a placeholder for it, otherwise into the body. */
function requestOfForm() {
  const fields = form.querySelector("fieldset[data-workload]:not(:disabled)");
  const { method, path: template, seed } = fields.dataset;
  let path = form.dataset.base + template;
  const body = {};
  for (const input of fields.querySelectorAll("input")) {
    const placeholder = `{${input.name}}`;
    if (path.includes(placeholder)) path = path.replace(placeholder, input.value);
    else body[input.name] = input.valueAsNumber;
  }
  const headers = { "lab-trace": "1" };
  const pause = form.elements.thinkTime;
  if (!pause.disabled && pause.valueAsNumber > 0) headers["lab-think-time"] = pause.value;
  const options = { method, headers };
  if (Object.keys(body).length > 0) {
    headers["content-type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  return { method, path, options, seed };
}

function show(request, answer, body, took) {
  const list = element("dl");
  const add = (name, value) => value && list.append(element("div", element("dt", name), element("dd", value)));
  add("request", `${request.method} ${request.path} ${request.options.body ?? ""}`);
  add("status", `${answer.status} ${answer.statusText}`);
  add("body", body || "(empty)");
  add("Lab-Attempts", answer.headers.get("lab-attempts"));
  add("Lab-Versions", answer.headers.get("lab-versions"));
  add("round trip", `${took.toFixed(1)} ms, measured in this browser`);
  result.append(list);
  const metrics = serverTiming(answer.headers.get("server-timing") ?? "");
  if (metrics.length > 0) result.append(timeline(metrics));
}

/**
 * The metrics of a Server-Timing header, `name;dur=1.5;desc="…"`, separated by commas. A description is SQL, so its quotes can contain
 * commas and semicolons.
 */
export function serverTiming(header) {
  const pieces = (text, separator) => {
    const found = [];
    let [piece, quoted] = ["", false];
    for (const letter of text) {
      if (letter === '"') quoted = !quoted;
      if (letter === separator && !quoted) {
        found.push(piece.trim());
        piece = "";
      } else {
        piece += letter;
      }
    }
    found.push(piece.trim());
    return found.filter((one) => one !== "");
  };
  return pieces(header, ",").map((metric) => {
    const [name, ...parameters] = pieces(metric, ";");
    const value = (key) => parameters.find((one) => one.startsWith(`${key}=`))?.slice(key.length + 1);
    return { name, ms: Number(value("dur") ?? 0), text: (value("desc") ?? "").replace(/^"|"$/g, "") };
  });
}

/** A row for each statement, with a bar that shows its part of the total time; statements are sent one after the other. */
function timeline(metrics) {
  const total = metrics.reduce((sum, metric) => sum + metric.ms, 0);
  const table = element("table");
  table.id = "try-timeline";
  const head = element("tr", element("th", "step"), element("th", "time ms"), element("th", "part of the total time"), element("th", "statement"));
  head.children[1].className = "figure";
  for (const cell of head.children) cell.scope = "col";
  const rows = element("tbody");
  let from = 0;
  for (const { name, ms, text } of metrics) {
    const time = element("td", ms.toFixed(3));
    time.className = "figure";
    const step = element("th", name);
    step.scope = "row";
    const statement = element("td", element("code", text));
    statement.className = "statement";
    rows.append(element("tr", step, time, element("td", bar(from, ms, total)), statement));
    from += ms;
  }
  const sum = element("td", total.toFixed(3));
  sum.className = "figure";
  const name = element("th", "total");
  name.scope = "row";
  rows.append(element("tr", name, sum, element("td"), element("td")));
  table.append(element("thead", head), rows);
  const wide = element("div", table);
  wide.className = "wide";
  wide.tabIndex = 0;
  wide.setAttribute("role", "region");
  wide.setAttribute("aria-label", "Statements and their times");
  return wide;
}

function bar(from, ms, total) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "span");
  svg.setAttribute("viewBox", "0 0 100 10");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const rect = document.createElementNS(SVG, "rect");
  const share = total > 0 ? 100 / total : 0;
  rect.setAttribute("x", String(from * share));
  // A thinner bar would not be visible.
  rect.setAttribute("width", String(Math.max(ms * share, 0.8)));
  rect.setAttribute("y", "1");
  rect.setAttribute("height", "8");
  svg.append(rect);
  return svg;
}

function element(name, ...children) {
  const made = document.createElement(name);
  made.append(...children);
  return made;
}

const copied = document.getElementById("copied");
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent);
      showMessage(copied, "Copied.");
    } catch {
      // Browsers allow the clipboard only on localhost and over HTTPS.
      getSelection().selectAllChildren(source);
      showMessage(copied, "The browser does not allow copying here. The command is selected: copy it with the keyboard.");
    }
  });
}
