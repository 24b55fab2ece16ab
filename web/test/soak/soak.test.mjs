// Pages that 50 events a second come to: memory is steady, and nothing holds them up. SOAK_SECONDS says for how long.
import assert from "node:assert/strict";
import { test } from "node:test";
import { launch, person, Server, signIn } from "../browser/harness.mjs";

const seconds = Number(process.env.SOAK_SECONDS ?? 600);
/** What an event of 100 bytes may take: it stays, for the page to show and to save. */
const perEvent = 1500;
/** What else may grow, in bytes. */
const slack = 6 << 20;

/** How much a page holds, in bytes, after everything was let go that could be. */
async function heap(cdp) {
  for (let i = 0; i < 3; i++) await cdp.send("HeapProfiler.collectGarbage");
  return (await cdp.send("Runtime.getHeapUsage")).usedSize;
}

test(`50 events a second for ${seconds} s`, async (t) => {
  const [server, browser] = await Promise.all([Server.start(), launch()]);
  t.after(async () => {
    await browser.close();
    await server.stop();
  });
  await server.agent("busy", { lease_seconds: 3600 });
  const runs = [];
  for (let i = 0; i < 10; i++) {
    await server.create("busy", `Work ${i}`);
    runs.push(await server.claim("busy"));
  }
  const me = await person(browser, server);
  const open = async (path) => {
    const page = me.page.url() === "about:blank" ? me.page : await me.context.newPage();
    await page.addInitScript(() => {
      window.worst = 0;
      new PerformanceObserver((l) => l.getEntries().forEach((e) => (window.worst = Math.max(window.worst, e.duration)))).observe({ type: "longtask" });
    });
    if (page === me.page) await signIn(page, server, path);
    else await page.goto(server.url + path);
    const cdp = await me.context.newCDPSession(page);
    await cdp.send("HeapProfiler.enable");
    return { page, cdp };
  };
  const list = await open("/ui/tasks");
  const task = await open(`/ui/tasks/${runs[0].id}?view=story`);
  let sent = 0;
  const words = "and so it goes on, word for word, as a model says it, until all of it has been said once more; ";
  const begun = Date.now();
  // Half of them are of the task that is looked at, half of the other nine.
  const speak = async () => {
    for (let n = 0; Date.now() - begun < seconds * 1000; n++) {
      const other = runs[1 + (n % 9)];
      await Promise.all([
        runs[0].emit(...Array.from({ length: 5 }, (_, i) => (i ? ["chunk", words + (n % 40 ? "" : "\n\n")] : ["think", { title: "On", thought: words }]))),
        other.text(...Array.from({ length: 5 }, () => words)),
      ]);
      sent += 5;
      await new Promise((r) => setTimeout(r, Math.max(0, begun + (n + 1) * 200 - Date.now())));
    }
  };
  const speaking = speak();
  await new Promise((r) => setTimeout(r, Math.min(60_000, seconds * 250)));
  const sentBefore = sent;
  const before = [await heap(list.cdp), await heap(task.cdp)];
  await speaking;
  await task.page.getByText(new RegExp(`event ${(await server.log(runs[0].id)).length.toLocaleString("en-US")}`)).waitFor();
  const after = [await heap(list.cdp), await heap(task.cdp)];
  const grown = after.map((n, i) => n - before[i]);
  const [nodes, worst] = [await task.page.evaluate(() => document.querySelectorAll("*").length), [await list.page.evaluate(() => window.worst), await task.page.evaluate(() => window.worst)]];
  console.log(`soak: ${sent} events on the page, heap ${after.map((n) => (n / 1e6).toFixed(1))} MB, grown by ${grown.map((n) => (n / 1e6).toFixed(1))} MB (list, task), ${nodes} elements, longest task ${worst.map(Math.round)} ms`);
  assert.ok(grown[0] < slack, `the list has grown by ${grown[0]} bytes`);
  assert.ok(grown[1] < slack + (sent - sentBefore) * perEvent, `the task's page has grown by ${grown[1]} bytes in ${sent - sentBefore} events`);
  assert.ok(nodes < 1500, `${nodes} elements`);
  assert.deepEqual(me.bad, []);
});
