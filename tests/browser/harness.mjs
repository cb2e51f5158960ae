// What the tests share: a real server of our own, a real Chromium, and pages that must not complain.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
export const program = process.env.LAB_PROGRAM ?? join(root, "target", "debug", "concurrency-lab");
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Where Chromium or Chrome may be; scripts/setup.sh test installs it. */
const BROWSERS = [
  "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome", "/snap/bin/chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/** Longest wait for the server's first word, and for anything on a page, in ms: these machines are shared. */
const START_MAX = 60_000;
export const WAIT_MAX = 60_000;

/** Starts `serve` on a database and a run folder of its own. `stop()` ends it and removes both. */
export async function serve(options = [], listen = "127.0.0.1:0") {
  const folder = mkdtempSync(join(tmpdir(), "lab-browser-"));
  // As root, PostgreSQL runs as somebody else, who must be able to enter.
  chmodSync(folder, 0o755);
  const runs = join(folder, "runs");
  const environment = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith("LAB_") && name !== "DATABASE_URL"),
  );
  const server = spawn(
    program,
    ["serve", `--listen=${listen}`, "--data-dir", join(folder, "data"), "--runs", runs, ...options],
    { cwd: folder, env: environment, stdio: ["ignore", "pipe", "pipe"] },
  );
  let errors = "";
  server.stderr.on("data", (text) => { errors += text; });
  const timer = setTimeout(() => server.kill("SIGKILL"), START_MAX);
  const [line] = await Promise.race([
    once(createInterface({ input: server.stdout }), "line"),
    once(server, "exit").then(() => [`nothing: ${errors}`]),
  ]);
  clearTimeout(timer);
  const found = /http:\/\/\S+/.exec(line);
  assert.ok(found, `the server said ${line}`);
  const url = found[0].replace("0.0.0.0", "127.0.0.1");
  return {
    url,
    folder,
    runs,
    async stop() {
      server.kill("SIGTERM");
      const [code] = server.exitCode === null ? await once(server, "exit") : [server.exitCode];
      rmSync(folder, { recursive: true, force: true });
      assert.equal(code, 0, `the server ended with ${code}: ${errors}`);
    },
  };
}

/**
 * A browser and a server for all tests of a file, there before the first and gone after the last. `prepare` is given both.
 */
export function forAllTests(prepare = async () => {}) {
  const both = { browser: null, server: null };
  before(async () => {
    both.browser = await launch();
    both.server = await serve();
    await prepare(both);
  });
  after(async () => {
    await both.browser?.close();
    await both.server?.stop();
  });
  return both;
}

/** Starts the browser. */
export function launch() {
  const executablePath = BROWSERS.find(existsSync);
  assert.ok(executablePath, "Chromium or Chrome is not installed; scripts/setup.sh test installs it");
  const quiet = ["disable-gpu", "disable-quic", "no-first-run", "disable-background-networking", "disable-component-update", "disable-sync"];
  const sandbox = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  return chromium.launch({ executablePath, args: [...quiet.map((name) => `--${name}`), ...sandbox] });
}

/**
 * Opens a page in a context of its own. Everything that a page must never do is noted in `faults`: an error on the console (the
 * content security policy reports there), an exception, a request that leaves the origin.
 */
export async function open(browser, url, { width = 1280, height = 900, colorScheme = "light" } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, reducedMotion: "reduce" });
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT_MAX);
  const origin = new URL(url).origin;
  const faults = [];
  // What the browser says of an answer that a test provokes: a refusal, told in the page.
  const refused = /the server responded with a status of (401|403|409|422|503)/;
  page.on("console", (message) => {
    const text = message.text();
    if (["error", "warning"].includes(message.type()) && !refused.test(text)) faults.push(`console: ${text}`);
  });
  page.on("pageerror", (error) => faults.push(`exception: ${error.message}`));
  page.on("request", (request) => {
    const target = request.url();
    if (!target.startsWith(`${origin}/`) && !/^(data|blob|about):/.test(target)) faults.push(`request: ${target}`);
  });
  await page.goto(url);
  return { page, faults, close: () => context.close() };
}

/**
 * What axe-core finds serious or critical, in words; by these rules only, if they are given. It runs beside the page, whose policy
 * forbids foreign scripts.
 */
export async function serious(page, rules) {
  await page.evaluate(axe);
  const options = { resultTypes: ["violations"], ...(rules && { runOnly: rules }) };
  const { violations } = await page.evaluate((options) => globalThis.axe.run(document, options), options);
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.target} ${node.failureSummary}`));
}

/** How many pixels a page is wider than its window: what would have to be scrolled sideways. */
export function overflow(page) {
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}
