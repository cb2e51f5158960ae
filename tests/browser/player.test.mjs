// The interleaving player: stepping, choosing each step by hand, sharing by address.

import assert from "node:assert/strict";
import { test } from "node:test";
import { forAllTests, open, serious } from "./harness.mjs";

const both = forAllTests();

const player = (approach, rest = "") => `${both.server.url}/lab/player?approach=${approach}&scenario=last-money&clients=2${rest}`;
const step = (page, text) => page.locator("#player-step", { hasText: text }).waitFor();
const shown = (page) => page.locator("#player-board tbody.events tr:visible").count();

test("a lost update is found, and stepped through forward and back", async () => {
  const { page, faults, close } = await open(both.browser, player("naive"));
  await page.getByRole("button", { name: "Find a violation" }).click();
  await page.locator("#player-view").waitFor();
  await page.locator("#player-message", { hasText: /interleaving/ }).waitFor();
  await page.getByRole("button", { name: "To the beginning" }).click();
  await step(page, "Step 0 of 4");
  assert.equal(await shown(page), 0);
  const forward = page.getByRole("button", { name: "One step forward" });
  const texts = [];
  for (let number = 1; number <= 4; number++) {
    await forward.click();
    await step(page, `Step ${number} of 4`);
    texts.push(await page.locator("#player-step").innerText());
  }
  const reads = texts.filter((text) => /[AB] read: balance\s=\s10,/.test(text));
  assert.equal(reads.length, 2, `both read 10: ${texts}`);
  assert.match(await page.locator("#player-board .ending").innerText(), /broken: lost-update/);
  await page.getByRole("button", { name: "One step back" }).click();
  await step(page, "Step 3 of 4");
  assert.equal(await page.locator("#player-board .ending").isVisible(), false, "not yet");
  await page.getByRole("button", { name: "Jump to the violation" }).click();
  await step(page, "Step 4 of 4");
  await page.keyboard.press("Home");
  await step(page, "Step 0 of 4");
  await page.keyboard.press("ArrowRight");
  await step(page, "Step 1 of 4");
  assert.deepEqual(await serious(page), []);
  assert.deepEqual(faults, []);
  await close();
});

test("the address contains the schedule: another viewer sees the same", async () => {
  const { page, faults, close } = await open(both.browser, player("naive"));
  await page.getByRole("button", { name: "Choose every step yourself" }).click();
  for (const [number, actor] of ["A", "B", "B", "A"].entries()) {
    await page.locator(`#player-board button[data-actor=${actor}]:visible`).click();
    await step(page, `Step ${number + 1}`);
  }
  await page.locator("#player-board .ending").waitFor();
  await page.keyboard.press("ArrowLeft");
  await step(page, "Step 3 of 4");
  const address = page.url();
  assert.match(address, /schedule=ABBA&at=3/);
  const other = await open(both.browser, address);
  await step(other.page, "Step 3 of 4");
  assert.equal(await other.page.locator("#player-step").innerText(), await page.locator("#player-step").innerText());
  assert.equal(await shown(other.page), 3);
  assert.deepEqual([...faults, ...other.faults], []);
  await close();
  await other.close();
});

test("a step by hand shows a real lock that blocks the other client and then releases it", async () => {
  const { page, faults, close } = await open(both.browser, player("pessimistic"));
  await page.getByRole("button", { name: "Choose every step yourself" }).click();
  const go = (actor) => page.locator(`#player-board button[data-actor=${actor}]:visible`);
  // A: begin, lock; B: begin, lock, which waits.
  for (const [actor, text] of [["A", "Step 1"], ["A", "Step 2"], ["B", "Step 3"], ["B", "Step 4"]]) {
    await go(actor).click();
    await step(page, text);
  }
  assert.match(await page.locator("#player-step").innerText(), /waits for A/);
  assert.equal(await go("B").count(), 0, "a waiting client has no button");
  await page.locator("#player-board tr:visible .wait", { hasText: "waits for A" }).first().waitFor();
  await page.keyboard.press("a");
  await step(page, "Step 5");
  await page.locator("#player-board td.blocked:visible").first().waitFor();
  await page.getByRole("button", { name: "To the end" }).click();
  await page.locator("#player-board .ending", { hasText: "holds" }).waitFor();
  assert.deepEqual(await serious(page), []);
  assert.deepEqual(faults, []);
  await close();
});

test("three clients have three columns; a schedule that cannot be played is refused with its step", async () => {
  const three = await open(both.browser, `${both.server.url}/lab/player?approach=naive&scenario=last-money&clients=3&schedule=ABC&at=3`);
  await step(three.page, "Step 3");
  assert.equal(await three.page.locator("#player-board thead th").count(), 4);
  const wrong = await open(both.browser, player("naive", "&schedule=AAAAAA"));
  await wrong.page.locator("#player-message.bad").waitFor();
  assert.match(await wrong.page.locator("#player-message").innerText(), /step 3: A cannot go/);
  assert.deepEqual([...three.faults, ...wrong.faults], []);
  await three.close();
  await wrong.close();
});
