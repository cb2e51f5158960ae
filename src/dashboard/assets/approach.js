// The page of an approach: one real request, and its statements as bars; commands to copy.

import { say } from "./lab.js";

const SVG = "http://www.w3.org/2000/svg";

const form = document.getElementById("try-form");
const said = document.getElementById("try-said");
const result = document.getElementById("try-result");
const workload = form.elements.workload;

// Of the fields, those of the chosen workload; the others are disabled, or they would be asked for.
function choose() {
  for (const fields of form.querySelectorAll("fieldset[data-workload]")) {
    const chosen = fields.dataset.workload === workload.value;
    fields.hidden = !chosen;
    fields.disabled = !chosen;
  }
}
workload.addEventListener("change", choose);
// A browser that comes back to the page may remember another choice than the page was made with.
choose();

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button[type=submit]");
  button.disabled = true;
  say(said, "Sent, waiting for the answer …");
  result.replaceChildren();
  try {
    const request = requested();
    const began = performance.now();
    const answer = await fetch(request.path, request.options);
    const body = await answer.text();
    show(request, answer, body, performance.now() - began);
    say(said, `${answer.status} ${answer.statusText}${answer.status === 404 ? `: ${seeded(request.seed)}` : ""}`, answer.status >= 500);
  } catch {
    say(said, "The server does not answer.", true);
  } finally {
    button.disabled = false;
  }
});

/** What helps when the data that are served have no such row. */
function seeded(seed) {
  return `the data that are served have no such row. curl -X POST '${location.origin}/reset?seed=${seed}' replaces them by some that do.`;
}

/** What the form says, as a request: numbers in the path where it has a place for them, the others in the body. */
function requested() {
  const fields = form.querySelector("fieldset[data-workload]:not(:disabled)");
  const { method, path: template, seed } = fields.dataset;
  let path = form.dataset.base + template;
  const body = {};
  for (const input of fields.querySelectorAll("input")) {
    const place = `{${input.name}}`;
    if (path.includes(place)) path = path.replace(place, input.value);
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
  const told = (name, value) => value && list.append(element("div", element("dt", name), element("dd", value)));
  told("request", `${request.method} ${request.path} ${request.options.body ?? ""}`);
  told("status", `${answer.status} ${answer.statusText}`);
  told("body", body || "(empty)");
  told("Lab-Attempts", answer.headers.get("lab-attempts"));
  told("Lab-Versions", answer.headers.get("lab-versions"));
  told("round trip", `${took.toFixed(1)} ms, as this browser saw it`);
  result.append(list);
  const metrics = serverTiming(answer.headers.get("server-timing") ?? "");
  if (metrics.length > 0) result.append(timeline(metrics));
}

/**
 * The metrics of a Server-Timing header, `name;dur=1.5;desc="…"` separated by commas. A description is SQL, so there may be
 * commas and semicolons within its quotes.
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

/** A row for each statement, and its bar where it stood in the whole: they were sent one after the other. */
function timeline(metrics) {
  const total = metrics.reduce((sum, metric) => sum + metric.ms, 0);
  const table = element("table");
  table.id = "try-timeline";
  const head = element("tr", element("th", "step"), element("th", "time ms"), element("th", "when"), element("th", "what was sent"));
  head.children[1].className = "figure";
  for (const cell of head.children) cell.scope = "col";
  const rows = element("tbody");
  let from = 0;
  for (const { name, ms, text } of metrics) {
    const time = element("td", ms.toFixed(3));
    time.className = "figure";
    const step = element("th", name);
    step.scope = "row";
    const sent = element("td", element("code", text));
    sent.className = "sent";
    rows.append(element("tr", step, time, element("td", bar(from, ms, total)), sent));
    from += ms;
  }
  const sum = element("td", total.toFixed(3));
  sum.className = "figure";
  const name = element("th", "in all");
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
  // Thinner than this nobody would see it.
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
      say(copied, "Copied.");
    } catch {
      // Browsers give the clipboard to pages of localhost and https only.
      getSelection().selectAllChildren(source);
      say(copied, "Selected: copy it with the keyboard.");
    }
  });
}
