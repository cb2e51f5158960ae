// The cost of watching a run. The same run is repeated without a viewer, with its streams followed (live page and locks), and with both pages open
// in a real browser on the same machine. The three variants alternate in rotating order, and each ratio is taken within a round. The result is the
// median over the rounds.
//
//     make bench-dashboard                       9 rounds of 4 s for each
//     ROUNDS=3 SECONDS_EACH=2 make bench-dashboard
//
// Prints a Markdown table with its conditions. It only measures and never fails, because the noise of the machine can be larger than the effect.

import { readFileSync, readdirSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { launch, open, serve, WAIT_MAX } from "../harness.mjs";

const ROUNDS = Number(process.env.ROUNDS ?? 9);
const SECONDS = Number(process.env.SECONDS_EACH ?? 4);
const APPROACHES = ["pessimistic", "group-commit"];
const PAGES = ["/lab/experiment", "/lab/locks"];
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

const finished = (folder) => {
  try {
    return readdirSync(folder).filter((run) => readdirSync(join(folder, run)).includes("run.json"));
  } catch {
    return [];
  }
};

/** Runs once and returns the answers per second by approach. It waits by reading the run folder, which costs the server nothing. */
async function run({ url, runs }) {
  const before = new Set(finished(runs));
  const body = { kind: "run", scenario: "withdrawal", approaches: APPROACHES, durationS: SECONDS, concurrency: 64 };
  const headers = { "content-type": "application/json" };
  const until = Date.now() + WAIT_MAX;
  // The run before may still be releasing its database.
  for (;;) {
    const answer = await fetch(`${url}/lab/experiments`, { method: "POST", headers, body: JSON.stringify(body) });
    if (answer.status === 201) break;
    if (answer.status !== 409 || Date.now() > until) throw new Error(`${answer.status}: ${await answer.text()}`);
    await pause(100);
  }
  const deadline = Date.now() + WAIT_MAX + APPROACHES.length * SECONDS * 1000;
  for (;;) {
    const made = finished(runs).find((name) => !before.has(name));
    if (made) {
      const { results } = JSON.parse(readFileSync(join(runs, made, "run.json"), "utf8"));
      return Object.fromEntries(results.map(({ approach, rounds }) => [approach, rounds[0].rate_per_s]));
    }
    if (Date.now() > deadline) throw new Error("the run does not end");
    await pause(200);
  }
}

/** Follows a stream and discards its events: a browser that draws nothing. */
function watch(url) {
  const stop = new AbortController();
  const read = async () => {
    const answer = await fetch(url, { signal: stop.signal });
    for await (const _ of answer.body);
  };
  read().catch((error) => { if (!stop.signal.aborted) throw error; });
  return () => stop.abort();
}

const median = (figures) => {
  const sorted = [...figures].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

const server = await serve();
const browser = await launch();
const watchers = {
  "no viewer": async () => async () => {},
  "streams followed": async () => {
    const stops = PAGES.map((page) => watch(`${server.url}${page}/events`));
    return async () => stops.forEach((stop) => stop());
  },
  "open in a browser here": async () => {
    const pages = await Promise.all(PAGES.map((page) => open(browser, server.url + page)));
    return async () => { for (const page of pages) await page.close(); };
  },
};
const names = Object.keys(watchers);
const rates = Object.fromEntries(names.map((name) => [name, []]));
try {
  await run(server); // Warm-up: starts PostgreSQL and creates files.
  for (let round = 0; round < ROUNDS; round++) {
    for (let turn = 0; turn < names.length; turn++) {
      const name = names[(turn + round) % names.length];
      const leave = await watchers[name]();
      rates[name].push(await run(server));
      await leave();
      process.stderr.write(`round ${round + 1} of ${ROUNDS}: ${name}\n`);
    }
  }
} finally {
  await browser.close();
  await server.stop();
}
console.log(`withdrawal, 64 clients on one row, ${SECONDS} s a run, ${ROUNDS} rounds, ${cpus().length} cores (${cpus()[0].model.trim()}), server, load, PostgreSQL and browser on them\n`);
console.log("| approach | viewers | requests/s, median | relative to no viewer, median (smallest to largest) |\n|---|---|--:|--:|");
for (const approach of APPROACHES) {
  for (const name of names) {
    const ratios = rates[name].map((rate, round) => rate[approach] / rates[names[0]][round][approach]);
    const percent = (ratio) => `${(100 * ratio).toFixed(1)} %`;
    const spread = name === names[0] ? "" : `${percent(median(ratios))} (${percent(Math.min(...ratios))} to ${percent(Math.max(...ratios))})`;
    console.log(`| ${approach} | ${name} | ${Math.round(median(rates[name].map((rate) => rate[approach])))} | ${spread} |`);
  }
}
