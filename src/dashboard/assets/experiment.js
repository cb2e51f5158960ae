// Starting, watching and stopping an experiment. The forms may stand on any page; the rest is on the page of the live experiment.

import { follow, say, send } from "./lab.js";

/** What a form asks for: fields left empty are left out, so that the server's own defaults count. */
function asked(form) {
  const order = { kind: form.dataset.order };
  for (const field of form.elements) {
    if (!field.name) continue;
    if (field.type === "checkbox") order[field.name] = field.checked;
    else if ("list" in field.dataset) order[field.name] = field.value ? [field.value] : [];
    else if (field.value === "") continue;
    else order[field.name] = "number" in field.dataset ? Number(field.value) : field.value;
  }
  return order;
}

for (const form of document.querySelectorAll("form[data-order]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const said = form.querySelector(".said");
    const button = form.querySelector("button[type=submit]");
    // Twice would only be told that one is under way.
    button.disabled = true;
    say(said, "Starting …");
    try {
      location.assign((await send("/lab/experiments", asked(form))).url);
    } catch (error) {
      say(said, error.message, true);
      button.disabled = false;
      // Somebody was faster: the way to what is under way is shown.
      if (error.status === 409) for (const link of document.querySelectorAll("a[data-under-way]")) link.closest(".why-not").hidden = false;
    }
  });
}

const stop = document.getElementById("experiment-stop");
const phase = () => document.querySelector("#experiment-phase [data-phase]")?.dataset.phase;
const isUnderWay = () => ["starting", "running"].includes(phase());

/** What can be pressed now. A button that cannot is not disabled in the browser's sense: whoever has tabbed to it would be thrown out. */
function update() {
  const line = document.querySelector(".progress-line");
  if (line) line.hidden = phase() === "none";
  stop?.setAttribute("aria-disabled", String(!isUnderWay()));
  const isFree = ["none", "ended"].includes(phase());
  for (const note of document.querySelectorAll("a[data-under-way]")) note.closest(".why-not").hidden = isFree;
  for (const button of document.querySelectorAll("form[data-order] button[data-free]")) button.disabled = !isFree;
}

stop?.addEventListener("click", async () => {
  if (!isUnderWay()) return;
  const said = document.getElementById("experiment-said");
  say(said, "");
  try {
    await send("/lab/experiment/stop", {});
  } catch (error) {
    say(said, error.message, true);
  }
});

const phaseElement = document.getElementById("experiment-phase");
if (phaseElement) {
  const said = document.getElementById("experiment-said");
  let wasUnderWay = isUnderWay();
  follow("/lab/experiment/events", {
    onPart() {
      update();
      // What it found is on this page, which is made anew for it.
      if (wasUnderWay && phase() === "ended" && "reload" in phaseElement.dataset) location.reload();
      wasUnderWay ||= isUnderWay();
    },
    onState: (isThere) => said && say(said, isThere ? "" : "The connection is lost; what is shown is old. Trying again …", !isThere),
  });
  update();
}
