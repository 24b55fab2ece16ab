// Measures how soon the lists of UIs stand in a browser that has seen none of them before, and what they ask
// for: the table of docs/UI.md. Each UI is given as NAME=ADDRESS=TEXT, where the text is one of a row.
//
//   node test/beside.mjs 'Errand=http://127.0.0.1:4747/ui/tasks=week 150' 'River=http://127.0.0.1:8080/jobs=work'
//
// ERRAND_KEY signs in to ours, whose pages are closed. Each is opened nine times, in turn; the medians are printed.
import { launch, person } from "./browser/harness.mjs";

const times = 9;
const uis = process.argv.slice(2).map((arg) => {
  const [, name, address, text] = arg.match(/^(.*?)=(.*)=(.*)$/); // an address may have "=" in it
  return { name, address, text, runs: [] };
});
const browser = await launch();

async function open({ address, text }) {
  const me = await person(browser, { url: new URL(address).origin });
  if (new URL(address).pathname.startsWith("/ui/") && process.env.ERRAND_KEY) {
    await me.context.request.post(new URL("/v1/session", address).href, { data: { key: process.env.ERRAND_KEY } });
  }
  const cdp = await me.context.newCDPSession(me.page);
  await cdp.send("Network.enable");
  const seen = { requests: 0, bytes: 0 };
  cdp.on("Network.requestWillBeSent", () => seen.requests++);
  cdp.on("Network.loadingFinished", (e) => (seen.bytes += e.encodedDataLength));
  const begun = performance.now();
  await me.page.goto(address, { waitUntil: "commit" });
  await me.page.getByText(text).first().waitFor();
  const row = performance.now() - begun;
  const paint = await me.page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? NaN);
  await me.page.waitForLoadState("networkidle", { timeout: 3000 }).catch(() => {}); // what asks or listens on is never idle
  await me.context.close();
  return { paint, row, kB: seen.bytes / 1000, requests: seen.requests };
}

for (let n = 0; n < times; n++) for (const ui of uis) ui.runs.push(await open(ui));
await browser.close();
const median = (of) => of.sort((a, b) => a - b)[times >> 1];
console.log("| | first paint, ms | first row, ms | kB | requests |\n|---|---|---|---|---|");
for (const { name, runs } of uis) {
  console.log(`| ${[name, ...["paint", "row", "kB", "requests"].map((what) => Math.round(median(runs.map((r) => r[what]))))].join(" | ")} |`);
}
