// Experiments from a page: started, watched by several viewers, reloaded, stopped, read; and which requests may start one.

import assert from "node:assert/strict";
import { test } from "node:test";
import { forAllTests, open, serious, serve } from "./harness.mjs";

const both = forAllTests();

const form = (page, name) => page.getByRole("form", { name });
const phase = (page, name) => page.locator(`#experiment-phase [data-phase=${name}]`);

/** Fills a form and sends it; the live page opens. */
async function start(page, name, fields, button) {
  for (const [field, value] of Object.entries(fields)) {
    const control = form(page, name).locator(`[name=${field}]`);
    if ((await control.evaluate((element) => element.tagName)) === "SELECT") await control.selectOption(value);
    else await control.fill(value);
  }
  await form(page, name).getByRole("button", { name: button }).click();
  await page.waitForURL("**/lab/experiment");
}

test("a scenario is run from the page, and its verdict read", async () => {
  const { page, faults, close } = await open(both.browser, both.server.url);
  assert.match(await page.locator("main").innerText(), /press/i, "without results the page says what to press");
  await start(page, "Run a scenario", { scenario: "withdrawal", requests: "600", thinkTimeMs: "1", concurrency: "32" }, "Run");
  await phase(page, "ended").waitFor();
  assert.match(await phase(page, "ended").innerText(), /as claimed/);
  const done = await page.locator("#experiment-results").innerText();
  assert.match(done, /BROKEN/);
  assert.match(done, /correct/);
  await page.locator("#experiment-saved").click();
  await page.waitForURL("**/lab/runs/*");
  const run = await page.locator("main").innerText();
  for (const shown of ["naive", "BROKEN", "pessimistic", "correct", "lost update"]) assert.ok(run.includes(shown), shown);
  // The overview shows the result: a broken approach with its evidence and without a cost; a safe one with its cost.
  await page.goto(both.server.url);
  const cell = (approach) => page.locator(`tr:has(th:has-text("${approach}"))`).first().innerText();
  assert.match(await cell("naive"), /broke/i);
  assert.doesNotMatch(await cell("naive"), /\/s/);
  assert.match(await cell("pessimistic"), /\/s/);
  assert.deepEqual(faults, []);
  await close();
});

test("interleavings are explored from the page, and a violating schedule links to the player", async () => {
  const { page, faults, close } = await open(both.browser, both.server.url);
  await start(page, "Explore all interleavings", { scenario: "last-money", approaches: "naive" }, "Explore");
  await phase(page, "ended").waitFor();
  await page.locator("#experiment-results a[href*='/lab/player']").first().click();
  await page.waitForURL("**/lab/player?*");
  await page.locator("#player-board .ending .verdict.bad").waitFor({ state: "attached" });
  assert.deepEqual(faults, []);
  await close();
});

test("a run is watched by two viewers, reloaded half-way and stopped; a second experiment is refused", async () => {
  const first = await open(both.browser, both.server.url);
  await start(first.page, "Run a scenario", { scenario: "withdrawal", approaches: "pessimistic", durationS: "30" }, "Run");
  await phase(first.page, "running").waitFor();
  const second = await open(both.browser, `${both.server.url}/lab/experiment`);
  for (const { page } of [first, second]) await page.locator("#experiment-now svg").first().waitFor();

  // The next update reaches both viewers: the figures change.
  const figures = (page) => page.locator("#experiment-now").innerHTML();
  const seen = await Promise.all([figures(first.page), figures(second.page)]);
  for (const [number, { page }] of [first, second].entries()) {
    const changed = ([before]) => document.getElementById("experiment-now").innerHTML !== before;
    await page.waitForFunction(changed, [seen[number]]);
  }
  await first.page.reload();
  await phase(first.page, "running").waitFor();
  await first.page.locator("#experiment-now svg").first().waitFor();
  assert.deepEqual(await serious(first.page), []);

  // A second experiment: the button is disabled, and a request is refused with the name of the experiment under way.
  assert.ok(await form(second.page, "Run a scenario").getByRole("button", { name: "Run" }).isDisabled());
  // The player is refused too, because playing would distort the figures.
  for (const [path, body] of [
    ["/lab/experiments", { kind: "explore", scenario: "last-money", approaches: [] }],
    ["/lab/player/positions", { approach: "naive", scenario: "last-money", clients: 2, schedule: "AB" }],
  ]) {
    const refused = await second.page.evaluate(async ([path, body]) => {
      const headers = { "content-type": "application/json" };
      const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
      return { status: answer.status, ...(await answer.json()) };
    }, [path, body]);
    assert.equal(refused.status, 409, path);
    assert.match(refused.error, /withdrawal/);
  }

  // The button keeps the focus while the figures change.
  const stop = second.page.getByRole("button", { name: "Stop" });
  await stop.focus();
  await second.page.keyboard.press("Enter");
  for (const { page } of [first, second]) {
    await phase(page, "ended").waitFor();
    assert.match(await phase(page, "ended").innerText(), /Stopped/);
  }
  assert.ok(await stop.evaluate((button) => button === document.activeElement), "the button has kept the focus");
  await first.page.reload();
  assert.match(await phase(first.page, "ended").innerText(), /Stopped/, "the last state stays");
  for (const { faults, close } of [first, second]) {
    assert.deepEqual(faults, []);
    await close();
  }
});

test("a real wait for a lock is shown, with its statement and its approach", async () => {
  const { page, faults, close } = await open(both.browser, both.server.url);
  const locks = await open(both.browser, `${both.server.url}/lab/locks`);
  await locks.page.getByText("No session waits for a lock").first().waitFor();
  const fields = { scenario: "withdrawal", approaches: "pessimistic", durationS: "30", thinkTimeMs: "20" };
  await start(page, "Run a scenario", fields, "Run");
  const waiter = locks.page.locator("li[data-waits-for]", { hasText: "pessimistic" }).first();
  await waiter.waitFor();
  assert.match(await waiter.innerText(), /lock/);
  assert.match(await waiter.innerText(), /ms|\bs\b/);
  assert.deepEqual(await serious(locks.page), []);
  await page.getByRole("button", { name: "Stop" }).click();
  await phase(page, "ended").waitFor();
  assert.deepEqual([...faults, ...locks.faults], []);
  await close();
  await locks.close();
});

test("on an address that is not loopback, no experiment starts without the token", async () => {
  const [closed, guarded] = await Promise.all([
    serve([], "0.0.0.0:0"),
    serve(["--admin-token=s3cret-s3cret-s3cret"], "0.0.0.0:0"),
  ]);
  const one = await open(both.browser, closed.url);
  assert.match(await one.page.locator("main").innerText(), /cannot be started from a page/);
  assert.ok(await form(one.page, "Run a scenario").getByRole("button", { name: "Run" }).isDisabled());
  assert.deepEqual(one.faults, []);

  const { page, faults, close } = await open(both.browser, guarded.url);
  await form(page, "Run a scenario").locator("[name=requests]").fill("50");
  await form(page, "Run a scenario").getByRole("button", { name: "Run" }).click();
  const message = form(page, "Run a scenario").getByRole("alert");
  await message.filter({ hasText: "admin-token" }).waitFor();
  await page.locator("#token").fill("wrong");
  await form(page, "Run a scenario").getByRole("button", { name: "Run" }).click();
  await message.filter({ hasText: "not the" }).waitFor();
  await page.locator("#token").fill("s3cret-s3cret-s3cret");
  await start(page, "Run a scenario", { approaches: "pessimistic" }, "Run");
  await phase(page, "ended").waitFor();
  assert.deepEqual(faults, []);
  await one.close();
  await close();
  await Promise.all([closed.stop(), guarded.stop()]);
});
