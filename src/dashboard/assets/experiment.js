// Starting, watching and stopping an experiment. The forms can be on any page; everything else is on the page of the live experiment.

import { follow, send, showMessage } from "./lab.js";

/** The request of a form. Empty fields are left out, so that the server's defaults apply. */
function requestOf(form) {
  const request = { kind: form.dataset.kind };
  for (const field of form.elements) {
    if (!field.name) continue;
    if (field.type === "checkbox") request[field.name] = field.checked;
    else if ("list" in field.dataset) request[field.name] = field.value ? [field.value] : [];
    else if (field.value === "") continue;
    else request[field.name] = "number" in field.dataset ? Number(field.value) : field.value;
  }
  return request;
}

for (const form of document.querySelectorAll("form[data-kind]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const message = form.querySelector(".message");
    const button = form.querySelector("button[type=submit]");
    // A second click would only be refused, because an experiment is under way then.
    button.disabled = true;
    showMessage(message, "Starting …");
    try {
      location.assign((await send("/lab/experiments", requestOf(form))).url);
    } catch (error) {
      showMessage(message, error.message, true);
      button.disabled = false;
      // Another viewer started an experiment first: show the link to it.
      if (error.status === 409) for (const link of document.querySelectorAll("a[data-under-way]")) link.closest(".blocked-note").hidden = false;
    }
  });
}

const stop = document.getElementById("experiment-stop");
const phase = () => document.querySelector("#experiment-phase [data-phase]")?.dataset.phase;
const isUnderWay = () => ["starting", "running"].includes(phase());

/** Enables and disables buttons. The stop button only gets aria-disabled, because a disabled button would lose the keyboard's focus. */
function update() {
  const line = document.querySelector(".progress-line");
  if (line) line.hidden = phase() === "none";
  stop?.setAttribute("aria-disabled", String(!isUnderWay()));
  const isFree = ["none", "ended"].includes(phase());
  for (const note of document.querySelectorAll("a[data-under-way]")) note.closest(".blocked-note").hidden = isFree;
  for (const button of document.querySelectorAll("form[data-kind] button[data-waits]")) button.disabled = !isFree;
}

stop?.addEventListener("click", async () => {
  if (!isUnderWay()) return;
  const message = document.getElementById("experiment-message");
  showMessage(message, "");
  try {
    await send("/lab/experiment/stop", {});
  } catch (error) {
    showMessage(message, error.message, true);
  }
});

const phaseElement = document.getElementById("experiment-phase");
if (phaseElement) {
  const message = document.getElementById("experiment-message");
  let wasUnderWay = isUnderWay();
  follow("/lab/experiment/events", {
    onPart() {
      update();
      // This page shows the results, so it is loaded again.
      if (wasUnderWay && phase() === "ended" && "reload" in phaseElement.dataset) location.reload();
      wasUnderWay ||= isUnderWay();
    },
    onConnection: (isConnected) => message && showMessage(message, isConnected ? "" : "The connection to the server is lost, so this page shows an old state. Reconnecting …", !isConnected),
  });
  update();
}
