// The interleaving player: shows the first steps of a schedule that the server has played as a whole. Each further step, and each other
// continuation, is a request for another schedule. The page's address contains the schedule, so a link shows the same to every viewer.

import { send, showMessage } from "./lab.js";

/** How long each step is shown while the steps are played, in ms. */
const STEP_MS = 900;

const root = document.getElementById("player");
if (root) begin(root);

function begin(root) {
  const board = document.getElementById("player-board");
  const view = document.getElementById("player-view");
  const message = document.getElementById("player-message");
  const stepText = document.getElementById("player-step");
  const control = (name) => root.querySelector(`[data-control="${name}"]`);
  const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

  /** The server's answer to the last schedule. */
  let position = null;
  /** How many of its steps are shown. */
  let at = 0;
  /** The timer of the next step while the steps are played. */
  let timer = 0;
  /** The number of the last request: answers to earlier ones are ignored. */
  let requests = 0;

  const chosen = () => {
    const { approach, scenario, clients, servers, isolation } = root.dataset;
    return { approach, scenario, clients: Number(clients), servers, ...(isolation && { isolation }) };
  };

  /** Requests a schedule and shows its first steps, or all of them. Resolves to whether the server has played it. */
  async function load(schedule, { show: wanted, ...rest } = {}) {
    const mine = ++requests;
    const focused = board.contains(document.activeElement) ? document.activeElement.dataset.actor : undefined;
    root.setAttribute("aria-busy", "true");
    if (!position) showMessage(message, "Starting the player …");
    try {
      const answer = await send("/lab/player/positions", { ...chosen(), schedule, ...rest });
      if (mine !== requests) return false;
      position = answer;
      board.innerHTML = answer.html;
      view.hidden = false;
      document.getElementById("player-empty").hidden = true;
      showMessage(message, "");
      show(wanted ?? answer.steps);
      if (focused) refocus(focused);
      return true;
    } catch (error) {
      if (mine === requests) {
        pause();
        showMessage(message, position ? error.message : `${error.message}. Press one of the buttons above to start over.`, true);
      }
      return false;
    } finally {
      if (mine === requests) root.removeAttribute("aria-busy");
    }
  }

  /** Shows the first steps of the position. */
  function show(step) {
    at = Number.isInteger(step) ? Math.max(0, Math.min(step, position.steps)) : position.steps;
    for (const row of board.querySelectorAll("[data-step]")) {
      const its = Number(row.dataset.step);
      row.hidden = its > at;
      row.classList.toggle("now", its === at);
    }
    for (const part of board.querySelectorAll("[data-stop]")) part.hidden = Number(part.dataset.stop) !== at;
    // A violation is shown from the step on that causes it, not only after the last answer.
    const ending = board.querySelector(".ending");
    if (ending && position.violation !== null) ending.hidden = at < position.violation;
    stepText.textContent = `Step ${at} of ${position.steps}${position.ended ? "" : " so far"}: ${position.stepTexts[at]}`;
    for (const [name, off] of [
      ["first", at === 0],
      ["back", at === 0],
      ["forward", position.ended && at === position.steps],
      ["last", position.ended && at === position.steps],
      ["violation", position.violation === null],
    ]) {
      // A disabled button loses the keyboard's focus, so it is moved.
      if (off && document.activeElement === control(name)) control("play").focus();
      control(name).disabled = off;
    }
    const address = new URLSearchParams({ ...chosen(), schedule: position.schedule, at });
    history.replaceState(null, "", `/lab/player?${address}`);
    board.querySelector("tr.now")?.scrollIntoView({ block: "nearest", behavior: reducedMotion.matches ? "auto" : "smooth" });
  }

  /** A click replaces the buttons: the focus goes to the new button of the same actor. */
  function refocus(actor) {
    const button = board.querySelector(`tr:not([hidden]) [data-actor="${actor}"]`) ?? board.querySelector("tr:not([hidden]) [data-actor]");
    (button ?? control("back")).focus();
  }

  /** Lets an actor take the next step after the shown position. Later steps are discarded. */
  const takeStep = (actor) => {
    // A click while a request is pending is ignored: it would refer to a position that is not shown yet.
    if (!root.hasAttribute("aria-busy")) load(position.schedule.slice(0, at) + actor);
  };

  /** Plays to the end: beyond the schedule, the first actor that can go takes the next step. */
  const complete = (show) => load(position.schedule, { toEnd: true, show });

  async function forward() {
    if (at < position.steps) show(at + 1);
    else if (!position.ended) await load(position.schedule + position.next[0]);
  }

  async function last() {
    if (position.ended) show(position.steps);
    else await complete();
  }

  async function play() {
    if (timer) return pause();
    if (!position.ended && !(await complete(at))) return;
    if (at === position.steps) show(0);
    playing(true);
    const next = () => {
      show(at + 1);
      if (at < position.steps) timer = setTimeout(next, STEP_MS);
      else pause();
    };
    timer = setTimeout(next, STEP_MS);
  }

  function pause() {
    clearTimeout(timer);
    timer = 0;
    playing(false);
  }

  function playing(on) {
    control("play").textContent = on ? "❚❚ Pause" : "▶ Play";
    control("play").setAttribute("aria-pressed", String(on));
  }

  async function copy() {
    try {
      await navigator.clipboard.writeText(location.href);
      showMessage(message, "The link is copied.");
    } catch {
      showMessage(message, "The browser does not allow copying here. The link is the address of this page.", true);
    }
  }

  async function findViolation() {
    const button = root.querySelector('[data-start="violation"]');
    button.disabled = true;
    showMessage(message, "Searching for a violation; this takes at most 20 s …");
    try {
      const found = await send("/lab/player/violation", chosen());
      if (found.schedule !== null && !(await load(found.schedule))) return;
      if (position && found.schedule !== null) show(position.violation ?? position.steps);
      showMessage(message, found.message);
    } catch (error) {
      showMessage(message, error.message, true);
    } finally {
      button.disabled = false;
    }
  }

  // The new choice applies only after it is loaded, so the buttons are disabled until then.
  document.getElementById("choice").addEventListener("change", () => {
    pause();
    for (const button of root.querySelectorAll(".starts button")) button.disabled = true;
    showMessage(document.getElementById("choice-message"), "Press “Load” to play this choice.");
  });

  const starts = {
    empty: () => load(""),
    serial: () => load("", { toEnd: true, show: 0 }),
    turns: () => load("", { toEnd: true, byTurns: true, show: 0 }),
    violation: findViolation,
  };
  const controls = {
    first: () => show(0),
    back: () => show(at - 1),
    forward,
    last,
    violation: () => show(position.violation),
    link: copy,
  };

  root.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const { start, control: name, actor } = button.dataset;
    if (name === "play") return play();
    if (name !== "link") pause();
    if (start) starts[start]();
    else if (name) controls[name]();
    else if (actor) takeStep(actor);
  });

  document.addEventListener("keydown", (event) => {
    if (!position || event.ctrlKey || event.metaKey || event.altKey) return;
    const element = event.target;
    if (element.matches?.("input, select, textarea, [contenteditable]")) return;
    // On these elements the browser itself uses the space key.
    if (event.key === " " && element.matches?.("button, a, summary")) return;
    const keys = { ArrowLeft: "back", ArrowRight: "forward", Home: "first", End: "last", " ": "play" };
    const button = keys[event.key]
      ? control(keys[event.key])
      : /^[a-z]$/i.test(event.key) && actorOf(event.key);
    if (!button) return;
    event.preventDefault();
    if (!button.disabled) button.click();
  });

  /** The button of an actor. Clients have upper-case letters and batch writers lower-case ones, and no letter is used twice. */
  const actorOf = (key) =>
    [...board.querySelectorAll("tr:not([hidden]) [data-actor]")].find((button) => button.dataset.actor.toLowerCase() === key.toLowerCase());

  if (root.dataset.schedule !== undefined) {
    load(root.dataset.schedule, { show: root.dataset.at === undefined ? undefined : Number(root.dataset.at) });
  }
}
