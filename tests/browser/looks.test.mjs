// Every page at two widths, in light and dark: no sideways scrolling, no serious finding of axe-core, everything reachable by keyboard.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { forAllTests, open, overflow, program, serious } from "./harness.mjs";

let pages;
const both = forAllTests(async ({ browser, server }) => {
  // Content for the pages: two runs and an exploration, made by the commands.
  const lab = (...options) => execFileSync(program, options, { cwd: server.folder, stdio: ["ignore", "pipe", "ignore"] });
  const run = ["run", "--approach=naive,pessimistic,group-commit", "--requests=400", "--think-time=1ms", `--out=${server.runs}`];
  lab(...run);
  lab(...run);
  mkdirSync(join(server.runs, "1700000000-1"));
  const options = ["explore", "last-money", "--approach=naive,pessimistic", "--format=json"];
  writeFileSync(join(server.runs, "1700000000-1", "explore.json"), lab(...options));
  const { page, close } = await open(browser, `${server.url}/lab/runs`);
  const found = await page.locator("a[href^='/lab/runs/']").evaluateAll((links) => links.map((link) => link.getAttribute("href")));
  await close();
  const runs = [...new Set(found)].filter((path) => /^\/lab\/runs\/\d+-\d+$/.test(path));
  assert.equal(runs.length, 3, "the history lists all three");
  const [one, other] = runs.filter((path) => !path.endsWith("/1700000000-1")).map((path) => path.split("/").pop());
  pages = [
    "/", "/lab/experiment", "/lab/runs", ...runs, `/lab/runs/compare?one=${one}&other=${other}`, "/lab/approaches/pessimistic",
    "/lab/approaches/naive", "/lab/player", "/lab/player?approach=naive&scenario=last-money&clients=2&schedule=ABBA", "/lab/locks",
    "/lab/runs/1-1",
  ];
});

for (const [width, colorScheme] of [[1600, "light"], [1600, "dark"], [390, "light"], [390, "dark"]]) {
  test(`all pages at ${width} px, ${colorScheme}`, async () => {
    for (const path of pages) {
      const { page, faults, close } = await open(both.browser, both.server.url + path, { width, colorScheme });
      await page.locator("h1").waitFor();
      if (path.includes("schedule=")) await page.locator("#player-board table").waitFor();
      assert.ok((await overflow(page)) <= 0, `${path} is wider than ${width} px by ${await overflow(page)}`);
      // The dark scheme changes only colours.
      assert.deepEqual(await serious(page, colorScheme === "dark" ? ["color-contrast"] : undefined), [], path);
      const dark = await page.evaluate(() => {
        const [red, green, blue] = getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number);
        return red + green + blue < 3 * 128;
      });
      assert.equal(dark, colorScheme === "dark", `${path} is ${colorScheme}`);
      assert.deepEqual(faults.filter((fault) => !/404/.test(fault)), [], path);
      await close();
    }
  });
}

test("the keyboard reaches the skip link first, and then everything else", async () => {
  const { page, close } = await open(both.browser, both.server.url);
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
  const reached = new Set();
  for (let press = 0; press < 200; press++) {
    await page.keyboard.press("Tab");
    const name = await page.evaluate(() => {
      const element = document.activeElement;
      return element === document.body ? null : element.name || element.textContent.trim().slice(0, 40);
    });
    if (name === null) break;
    reached.add(name);
  }
  for (const name of ["Runs", "scenario", "Run", "Explore", "pessimistic"]) assert.ok(reached.has(name), `${name} in ${[...reached]}`);
  await close();
});

test("a request is tried from an approach's page, and its statements are drawn", async () => {
  const { page, faults, close } = await open(both.browser, `${both.server.url}/lab/approaches/pessimistic`);
  assert.match(await page.locator("main").innerText(), /curl/);
  await page.locator("#try").getByRole("button", { name: "Send" }).click();
  const result = page.locator("#try-result");
  await result.filter({ hasText: "commit" }).waitFor();
  const text = await result.innerText();
  for (const shown of ["200", "begin", "lock", "write", "commit", "ms"]) assert.ok(text.includes(shown), `${shown}: ${text}`);
  assert.deepEqual(faults, []);
  await close();
});
