// Shared by the tests: a server of their own, a real Chromium, and pages that must report no fault.

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

/** Paths of Chromium or Chrome; scripts/setup.sh test installs it. */
const BROWSERS = [
  "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome", "/snap/bin/chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/** Longest wait for the server's first line, and for anything on a page, in ms: long, because test machines are shared. */
const START_MAX = 60_000;
export const WAIT_MAX = 60_000;

/** Starts `serve` on a database and a run folder of its own. `stop()` ends it and removes both. */
export async function serve(options = [], listen = "127.0.0.1:0") {
  const folder = mkdtempSync(join(tmpdir(), "lab-browser-"));
  // If the tests run as root, PostgreSQL runs as another user, which must be able to enter the folder.
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
 * A browser and a server for all tests of a file: started before the first, stopped after the last. `prepare` receives both.
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
 * Opens a page in a context of its own. `faults` collects what a page must never do: an error on the console (where the content security
 * policy reports), an exception, a request to another origin.
 */
export async function open(browser, url, { width = 1280, height = 900, colorScheme = "light" } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, reducedMotion: "reduce" });
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT_MAX);
  const origin = new URL(url).origin;
  const faults = [];
  // The browser reports answers that a test provokes: refusals, which the page shows.
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
 * The serious and critical findings of axe-core, in words; of these rules only, if given. It is run by the browser and not loaded by the page,
 * because the page's policy forbids foreign scripts.
 */
export async function serious(page, rules) {
  await page.evaluate(axe);
  const options = { resultTypes: ["violations"], ...(rules && { runOnly: rules }) };
  const { violations } = await page.evaluate((options) => globalThis.axe.run(document, options), options);
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.target} ${node.failureSummary}`));
}

/** How many pixels a page is wider than its window, so that it would scroll sideways. */
export function overflow(page) {
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}
