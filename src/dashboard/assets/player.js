// The interleaving player: shows the first steps of a schedule that the server has played as a whole. To take another step, or another way,
// is to ask for another schedule; so the page's address, which holds it, shows anybody the same.

import { say, send } from "./lab.js";

/** How long a step stays when they are played one after the other, in ms. */
const BEAT = 900;

const root = document.getElementById("player");
if (root) begin(root);

function begin(root) {
  const board = document.getElementById("player-board");
  const stage = document.getElementById("player-stage");
  const said = document.getElementById("player-said");
  const told = document.getElementById("player-step");
  const control = (name) => root.querySelector(`[data-control="${name}"]`);
  const calm = matchMedia("(prefers-reduced-motion: reduce)");

  /** What the server has played: its answer to a schedule. */
  let known = null;
  /** How many of its steps are shown. */
  let at = 0;
  /** The timer of what is played by itself. */
  let timer = 0;
  /** Of several questions, only the answer to the last one counts. */
  let ticket = 0;

  const chosen = () => {
    const { approach, scenario, clients, servers, isolation } = root.dataset;
    return { approach, scenario, clients: Number(clients), servers, ...(isolation && { isolation }) };
  };

  /** Asks for a schedule, and shows so many of its steps; all if it is not said. Resolves to whether there was an answer. */
  async function load(schedule, { show: wanted, ...rest } = {}) {
    const mine = ++ticket;
    const focused = board.contains(document.activeElement) ? document.activeElement.dataset.actor : undefined;
    root.setAttribute("aria-busy", "true");
    if (!known) say(said, "Setting the stage …");
    try {
      const answer = await send("/lab/player/positions", { ...chosen(), schedule, ...rest });
      if (mine !== ticket) return false;
      known = answer;
      board.innerHTML = answer.html;
      stage.hidden = false;
      document.getElementById("player-empty").hidden = true;
      say(said, "");
      show(wanted ?? answer.steps);
      if (focused) refocus(focused);
      return true;
    } catch (error) {
      if (mine === ticket) {
        pause();
        say(said, known ? error.message : `${error.message}. The buttons above begin anew.`, true);
      }
      return false;
    } finally {
      if (mine === ticket) root.removeAttribute("aria-busy");
    }
  }

  /** Shows the first steps of what is known. */
  function show(step) {
    at = Number.isInteger(step) ? Math.max(0, Math.min(step, known.steps)) : known.steps;
    for (const row of board.querySelectorAll("[data-step]")) {
      const its = Number(row.dataset.step);
      row.hidden = its > at;
      row.classList.toggle("now", its === at);
    }
    for (const part of board.querySelectorAll("[data-stop]")) part.hidden = Number(part.dataset.stop) !== at;
    // A violation is told from the step on with which it is there, and not only when the last answer has come.
    const ending = board.querySelector(".ending");
    if (ending && known.violation !== null) ending.hidden = at < known.violation;
    told.textContent = `Step ${at} of ${known.steps}${known.ended ? "" : " so far"}: ${known.said[at]}`;
    for (const [name, off] of [
      ["first", at === 0],
      ["back", at === 0],
      ["forward", known.ended && at === known.steps],
      ["last", known.ended && at === known.steps],
      ["violation", known.violation === null],
    ]) {
      // Who has no button any more would have to find the way back.
      if (off && document.activeElement === control(name)) control("play").focus();
      control(name).disabled = off;
    }
    const address = new URLSearchParams({ ...chosen(), schedule: known.schedule, at });
    history.replaceState(null, "", `/lab/player?${address}`);
    board.querySelector("tr.now")?.scrollIntoView({ block: "nearest", behavior: calm.matches ? "auto" : "smooth" });
  }

  /** After a click the button is another one: the focus goes where it was. */
  function refocus(actor) {
    const there = board.querySelector(`tr:not([hidden]) [data-actor="${actor}"]`) ?? board.querySelector("tr:not([hidden]) [data-actor]");
    (there ?? control("back")).focus();
  }

  /** Lets somebody go from where it stands: what came after is gone. */
  const drive = (actor) => {
    // Who presses again before the answer is there means the position that is not yet shown.
    if (!root.hasAttribute("aria-busy")) load(known.schedule.slice(0, at) + actor);
  };

  /** To the end: beyond the schedule, the first who can go goes. */
  const complete = (show) => load(known.schedule, { toEnd: true, show });

  async function forward() {
    if (at < known.steps) show(at + 1);
    else if (!known.ended) await load(known.schedule + known.next[0]);
  }

  async function last() {
    if (known.ended) show(known.steps);
    else await complete();
  }

  async function play() {
    if (timer) return pause();
    if (!known.ended && !(await complete(at))) return;
    if (at === known.steps) show(0);
    playing(true);
    const beat = () => {
      show(at + 1);
      if (at < known.steps) timer = setTimeout(beat, BEAT);
      else pause();
    };
    timer = setTimeout(beat, BEAT);
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
      say(said, "The link is copied.");
    } catch {
      say(said, "The browser does not let this page copy; the link is the page's address.", true);
    }
  }

  async function hunt() {
    const button = root.querySelector('[data-idea="violation"]');
    button.disabled = true;
    say(said, "Running interleavings; at most 20 s …");
    try {
      const found = await send("/lab/player/violation", chosen());
      if (found.schedule !== null && !(await load(found.schedule))) return;
      if (known && found.schedule !== null) show(known.violation ?? known.steps);
      say(said, found.said);
    } catch (error) {
      say(said, error.message, true);
    } finally {
      button.disabled = false;
    }
  }

  // What is chosen above is not what is on the stage until it is set.
  document.getElementById("choice").addEventListener("change", () => {
    pause();
    for (const button of root.querySelectorAll(".ideas button")) button.disabled = true;
    say(document.getElementById("choice-said"), "Press “Set the stage” to play what is chosen.");
  });

  const ideas = {
    yourself: () => load(""),
    serial: () => load("", { toEnd: true, show: 0 }),
    turns: () => load("", { toEnd: true, byTurns: true, show: 0 }),
    violation: hunt,
  };
  const controls = {
    first: () => show(0),
    back: () => show(at - 1),
    forward,
    last,
    violation: () => show(known.violation),
    link: copy,
  };

  root.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const { idea, control: name, actor } = button.dataset;
    if (name === "play") return play();
    if (name !== "link") pause();
    if (idea) ideas[idea]();
    else if (name) controls[name]();
    else if (actor) drive(actor);
  });

  document.addEventListener("keydown", (event) => {
    if (!known || event.ctrlKey || event.metaKey || event.altKey) return;
    const element = event.target;
    if (element.matches?.("input, select, textarea, [contenteditable]")) return;
    // There the browser scrolls or presses.
    if (event.key === " " && element.matches?.("button, a, summary")) return;
    const keys = { ArrowLeft: "back", ArrowRight: "forward", Home: "first", End: "last", " ": "play" };
    const button = keys[event.key]
      ? control(keys[event.key])
      : /^[a-z]$/i.test(event.key) && actorOf(event.key);
    if (!button) return;
    event.preventDefault();
    if (!button.disabled) button.click();
  });

  /** Clients have capital letters and writers small ones, which no client has. */
  const actorOf = (key) =>
    [...board.querySelectorAll("tr:not([hidden]) [data-actor]")].find((button) => button.dataset.actor.toLowerCase() === key.toLowerCase());

  if (root.dataset.schedule !== undefined) {
    load(root.dataset.schedule, { show: root.dataset.at === undefined ? undefined : Number(root.dataset.at) });
  }
}
