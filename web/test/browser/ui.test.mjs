import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { axe, Between, launch, Model, person, Provider, Server, shots, signIn } from "./harness.mjs";

let server;
let browser;
let model;
before(async () => {
  model = await Model.start("Seen.");
  [server, browser] = await Promise.all([Server.start(model.env), launch()]);
});
after(async () => {
  await browser?.close();
  model?.stop();
  await server?.stop();
});

/** Everybody's check at the end: nothing ran, nobody else was asked, the policy held. */
async function leave({ context, bad }) {
  await context.close();
  assert.deepEqual(bad, []);
}

describe("signing in", () => {
  test("a wrong key is told, the right one opens what was asked for, and nothing keeps it", async () => {
    const me = await person(browser, server);
    const { page } = me;
    await page.goto(server.url + "/ui/settings/browser");
    await page.getByLabel("API key").fill("errand_wrong");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").waitFor();
    await page.getByLabel("API key").fill(server.key);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Settings" }).waitFor();
    const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href]));
    assert.ok(!kept.includes(server.key), kept);
    assert.equal(await page.evaluate(() => document.cookie), "");
    const [cookie] = await me.context.cookies();
    assert.ok(cookie.httpOnly && cookie.sameSite === "Strict" && !cookie.value.includes(server.key));
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("API key").waitFor();
    await leave(me);
  });

  test("a link signs in once, leads to its page, and its code is kept nowhere", async () => {
    const { path } = await server.api("POST", "/v1/session/links", { next: "/ui/settings/browser" });
    const code = path.split("#code=")[1];
    const me = await person(browser, server);
    await me.page.goto("about:blank");
    await me.page.goto(server.url + path);
    await me.page.getByRole("heading", { name: "Settings" }).waitFor();
    const kept = await me.page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, location.href]));
    assert.ok(!kept.includes(code), kept);
    const visited = await me.page.context().newCDPSession(me.page).then((cdp) => cdp.send("Page.getNavigationHistory"));
    const urls = visited.entries.map((e) => e.url);
    assert.ok(urls.length > 1 && !urls.some((u) => u.includes(code)), urls.join());
    await me.page.goto("about:blank"); // who is signed in already goes on to the page all the same
    await me.page.goto(server.url + path);
    await me.page.getByRole("heading", { name: "Settings" }).waitFor();
    await leave(me);

    const late = await person(browser, server);
    await late.page.goto(server.url + path);
    await late.page.getByRole("alert").filter({ hasText: "once, within 10 minutes" }).waitFor();
    assert.equal(await late.page.evaluate(() => location.hash), "");
    await late.page.getByLabel("API key").fill(server.key);
    await late.page.keyboard.press("Enter");
    await late.page.getByRole("heading", { name: "Settings" }).waitFor();
    await leave(late);
  });

  test("a link of another key signs in only if that is meant", async () => {
    const other = await server.api("POST", "/v1/keys", { name: "of another", role: "user" });
    const link = async () => (await fetch(server.url + "/v1/session/links", { method: "POST", headers: { "x-api-key": other.key, "Content-Type": "application/json" }, body: '{"next": "/ui/settings/keys"}' }).then((r) => r.json())).path;
    const me = await person(browser, server);
    const { page } = me;
    await signIn(page, server);
    const path = await link();
    await page.goto("about:blank");
    await page.goto(server.url + path);
    await page.getByRole("heading", { name: "Sign in as somebody else?" }).waitFor();
    assert.equal(await page.evaluate(() => location.hash), "");
    await page.screenshot({ path: join(shots, "sign-in-replace-light-1440.png") });
    assert.deepEqual(await axe(page), []);
    await page.getByRole("button", { name: "Stay admin" }).click();
    await page.getByRole("heading", { name: "API keys" }).waitFor();
    await page.goto("about:blank");
    await page.goto(server.url + path); // it was not used up
    await page.getByRole("button", { name: "Sign in with the link" }).click();
    await page.getByText("For admins").waitFor();
    await page.getByText("of another").first().waitFor();
    await leave(me);
  });

  test("a key that is revoked signs its pages out", async () => {
    const key = await server.api("POST", "/v1/keys", { name: "of a while", role: "user" });
    const me = await person(browser, server);
    await signIn(me.page, server, "/ui/settings/keys", key.key);
    await me.page.getByText("For admins").waitFor();
    await server.api("DELETE", `/v1/keys/${key.id}`);
    // The page hears of it by itself, perhaps before anybody clicks.
    await me.page.getByRole("link", { name: "Agents" }).first().click({ timeout: 2000 }).catch(() => {});
    await me.page.getByLabel("API key").waitFor();
    await leave(me);
  });

  test("only own paths are gone to afterwards", async () => {
    const me = await person(browser, server);
    for (const next of ["https://evil.example/", "//evil.example", "/ui//evil.example", "/v1/docs"]) {
      await signIn(me.page, server, `/ui/sign-in?next=${encodeURIComponent(next)}`);
      await me.page.waitForURL((u) => u.pathname === "/ui/tasks");
      await me.context.clearCookies();
    }
    await leave(me);
  });
});

test("people sign in with a provider of another site, and are told why not", async () => {
  const provider = await Provider.prepare();
  const theirs = await Server.start(provider.env);
  try {
    const me = await person(browser, theirs);
    const { page } = me;
    const go = page.getByRole("link", { name: "Sign in with Example" });
    await page.goto(theirs.url + "/ui/settings/browser");
    await go.click(); // before the provider is there
    await page.getByText("Not signed in. The provider cannot be reached").waitFor();
    await provider.start(theirs);
    await go.click();
    await page.getByRole("link", { name: "eve" }).click();
    await page.getByText("have no role here").waitFor();
    await page.getByText("Request ").waitFor();
    assert.deepEqual(await axe(page), []);
    await page.screenshot({ path: join(shots, "sign-in-refused-light-1440.png") });
    await me.context.clearCookies({ domain: "localhost" }); // the provider would know her again
    await go.click();
    await page.getByRole("link", { name: "anna" }).click();
    await page.getByRole("heading", { name: "Settings" }).waitFor(); // what was asked for at first
    await page.getByText("Anna Adams").first().waitFor();
    const cookie = (await me.context.cookies(theirs.url)).find((c) => /^errand_[0-9a-f]{8}$/.test(c.name));
    assert.ok(cookie.httpOnly && cookie.sameSite === "Strict");
    await page.reload();
    await page.getByText("Anna Adams").first().waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("button", { name: "Yes" }).click(); // at the provider, too
    await page.waitForURL(theirs.url + "/ui/sign-in");
    await go.waitFor();
    await page.getByLabel("API key").fill(theirs.key); // keys are as ever
    await page.keyboard.press("Enter");
    await page.getByRole("link", { name: "Settings" }).first().waitFor();
    me.bad = me.bad.filter((b) => !b.startsWith(`asked elsewhere: ${provider.issuer}/`));
    await leave(me);
  } finally {
    provider.stop();
    await theirs.stop();
  }
});

test("the list is live, and nothing moves while something is ticked", async () => {
  await server.agent("lister");
  const first = await server.create("lister", "The first one");
  const me = await person(browser, server);
  const { page } = me;
  await signIn(page, server, "/ui/tasks?agent=lister");
  const row = (name) => page.getByRole("row", { name });
  await row("The first one").waitFor();
  await server.create("lister", "The second one");
  await row("The second one").waitFor();
  await page.keyboard.press("j");
  await page.keyboard.press("x");
  await page.getByText("1 ticked").waitFor();
  await server.create("lister", "The third one");
  await page.getByRole("button", { name: "1 new task" }).waitFor();
  assert.deepEqual(await page.locator("tbody a.title").allInnerTexts(), ["The second one", "The first one"]);
  await page.keyboard.press("Escape");
  await row("The third one").waitFor();
  await server.api("POST", `/v1/tasks/${first.id}/stop`);
  await row("The first one").getByText("Stopped by").waitFor();
  // Chips are filters, and a filter is an address.
  await page.getByRole("button", { name: /^Stopped/ }).click();
  await page.waitForURL(/status=stopped/);
  await row("The second one").waitFor({ state: "detached" });
  await leave(me);
});

test("a task is created with a file and watched to its end", async () => {
  const me = await person(browser, server);
  const { page } = me;
  await signIn(page, server, "/ui/new?agent=profile");
  await page.getByLabel("What is to be done?").fill("Look at it");
  await page.locator("input[type=file]").setInputFiles({ name: "sales.csv", mimeType: "text/csv", buffer: Buffer.from("region,net\nnorth,1\nsouth,2\n") });
  await page.getByText("27 B").waitFor();
  await page.getByRole("button", { name: "Create and watch" }).click();
  await page.waitForURL(/\/ui\/tasks\/.+/);
  await page.locator(".pill.completed").waitFor();
  await page.getByRole("tab", { name: "Result" }).click();
  await page.getByRole("heading", { name: "Data profile" }).waitFor();
  await page.getByRole("tab", { name: "Story" }).click();
  await page.getByText("sales.csv", { exact: true }).first().waitFor();
  await leave(me);
});

test("text that streams is whole: the line is cut, the server killed, and not a byte is lost or told twice", async () => {
  await server.agent("teller", { lease_seconds: 600 });
  const { id } = await server.create("teller", "Tell it");
  const run = await server.claim("teller");
  const me = await person(browser, server);
  const { page } = me;
  await signIn(page, server, `/ui/tasks/${id}?view=story`);
  let n = 0;
  const some = (many) => run.text(...Array.from({ length: many }, () => `w${n++}\u00e4\u20ac\u{1f600} `));
  await some(200);
  await page.getByText("w199\u00e4").waitFor();
  // A server that is killed as it speaks.
  const speaking = (async () => {
    try {
      for (;;) await some(20);
    } catch {
      // it is gone
    }
  })();
  await page.getByText("w420\u00e4").waitFor();
  await server.kill();
  await speaking;
  await page.getByText("Not connected since").waitFor();
  assert.equal(await page.getByRole("button", { name: /^Stop/ }).isDisabled(), true);
  await server.up();
  n = 10_000;
  await some(100);
  await page.getByText("w10099\u00e4").waitFor({ timeout: 30_000 });
  const log = await server.log(id);
  const text = log.filter((e) => e.type === "chunk").map((e) => e.data).join("");
  assert.equal((await page.locator(".md").innerText()).trimEnd(), text.trimEnd());
  await page.getByRole("tab", { name: "Raw" }).click();
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: /NDJSON/ }).click()]);
  const lines = readFileSync(await download.path(), "utf8").trimEnd().split("\n").map((l) => JSON.parse(l));
  assert.deepEqual(lines.filter((e) => e.type === "chunk").map((e) => e.data).join(""), text);
  assert.deepEqual(lines.map((e) => e.id), log.map((e) => e.id));
  await run.finish("completed", "all told");
  await page.locator(".pill.completed").waitFor();
  await leave(me);
});

test("a stop has three faces: asked, confirmed, never confirmed; and a late write is shown", async () => {
  await server.agent("stopper", { lease_seconds: 3 });
  const me = await person(browser, server);
  const { page } = me;
  await signIn(page, server);
  const open = async () => {
    const { id } = await server.create("stopper", "Work");
    const run = await server.claim("stopper");
    await run.text("so far");
    await page.goto(`${server.url}/ui/tasks/${id}?view=story`);
    await page.getByText("so far").waitFor();
    await page.keyboard.press("s");
    await page.getByRole("button", { name: "Stop it" }).click();
    await page.getByText("not yet confirmed", { exact: false }).first().waitFor();
    return run;
  };
  const good = await open();
  await good.finish("stopped", "");
  await page.getByText(/Stop confirmed after/).first().waitFor();
  const bad = await open();
  await page.getByText(/did not answer for/).first().waitFor();
  await bad.finish("completed", "too late").catch(() => {});
  await page.reload();
  await page.getByText(/Refused: a late end/).waitFor();
  await leave(me);
});

test("an attempt that is lost is told, and the next one goes on", async () => {
  await server.agent("loser", { lease_seconds: 1 });
  const { id } = await server.create("loser", "Work");
  const lost = await server.claim("loser", "w-lost");
  await lost.text("half ");
  const me = await person(browser, server);
  const { page } = me;
  await signIn(page, server, `/ui/tasks/${id}?view=story`);
  await page.getByText(/Attempt 1 is over/).waitFor();
  const next = await server.claim("loser", "w-next");
  await next.finish("completed", "whole");
  await page.locator(".pill.completed").waitFor();
  await page.getByText("half").waitFor();
  assert.match(await page.locator(".ruler").innerText(), /w-lost · lost/);
  await leave(me);
});

test("a thread goes on with its next turn", async () => {
  await server.agent("talker");
  const { id } = await server.create("talker", "Say one");
  await (await server.claim("talker")).finish("completed", "one");
  const me = await person(browser, server);
  const { page } = me;
  await signIn(page, server, `/ui/tasks/${id}`);
  await page.getByLabel("Message that begins the next turn").fill("And two?");
  await page.getByRole("button", { name: /Send/ }).click();
  await page.locator(".pill.pending").waitFor();
  const run = await server.claim("talker");
  await run.text("two it is");
  await page.getByText("two it is").waitFor();
  await run.finish("completed", "two");
  await page.locator(".pill.completed").waitFor();
  assert.deepEqual(await page.getByRole("article").filter({ hasText: "asked · turn" }).count(), 2);
  await leave(me);
});

test("a task's page shows its files, its sub-tasks as they go on, what was said, and leads to an event", async () => {
  await server.agent("maker", { lease_seconds: 600 });
  await server.agent("helper", { lease_seconds: 600 });
  const { id } = await server.create("maker", "Make a table");
  const run = await server.claim("maker");
  const me = await person(browser, server);
  const { page } = me;
  await signIn(page, server, `/ui/tasks/${id}?view=story`);
  await page.getByRole("article").filter({ hasText: "Make a table" }).waitFor();
  const child = await server.create("helper", "Look up the rates", { parent_execution: id });
  const side = page.getByRole("complementary", { name: "About this task" });
  await side.getByRole("link", { name: "Look up the rates" }).waitFor();
  await server.create("helper", "Below that", { parent_execution: child.id });
  await side.getByRole("button", { name: "Show its sub-tasks" }).click();
  await side.getByRole("link", { name: "Below that" }).waitFor();
  const help = await server.claim("helper");
  const row = side.getByRole("listitem").filter({ hasText: "Look up the rates" });
  await row.getByText("Running").waitFor({ state: "attached" });
  await help.finish("completed", "1.1");
  await row.getByText("Completed").waitFor({ state: "attached" });
  await fetch(`${server.url}/v1/tasks/${id}/outputs/table.csv`, { method: "PUT", headers: { "x-api-key": server.key, "X-Errand-Lease-Token": run.token }, body: "a,b\n1,2\n" });
  await page.getByText("Wrote table.csv").waitFor();
  const [download] = await Promise.all([page.waitForEvent("download"), side.getByRole("link", { name: "table.csv" }).click()]);
  assert.equal(readFileSync(await download.path(), "utf8"), "a,b\n1,2\n");
  await run.emit(["think", { title: "Hm", thought: "not to be said" }], ["step", { name: "made" }]);
  await run.finish("completed", "It is made.");
  await page.locator(".pill.completed").waitFor();
  await page.getByRole("tab", { name: "Chat" }).click();
  const said = page.getByRole("feed", { name: "What was said" });
  await said.getByText("It is made.").waitFor();
  assert.equal(await said.getByText("not to be said").count(), 0);
  await page.screenshot({ path: join(shots, "tasks-chat-light-1440.png") });
  await page.getByRole("tab", { name: "Result" }).click();
  await page.getByRole("region", { name: "Files it made" }).getByText("8 B").waitFor();
  const event = (await server.log(id)).find((e) => e.type === "output").id;
  await page.goto(`${server.url}/ui/tasks/${id}#e${event}`);
  await page.locator(`#e${event}.lit`).waitFor();
  // Its outline leads to what it names, and stands in a tab of its own where there is no room beside the log.
  const outline = page.getByRole("navigation", { name: "Outline" });
  await outline.getByRole("link", { name: /Attempt 1 on w-1/ }).click();
  await page.locator(".lit").filter({ hasText: "Attempt 1 began" }).waitFor();
  await page.setViewportSize({ width: 390, height: 844 });
  await page.getByRole("tab", { name: "About" }).click();
  await outline.getByRole("link", { name: /Completed: ?Turn 1: Make a table/ }).click();
  await page.locator(".lit").filter({ hasText: "asked · turn 1" }).waitFor();
  await page.setViewportSize({ width: 1440, height: 900 });
  // From one task of a list to the next.
  await page.goto(`${server.url}/ui/tasks?agent=helper`);
  await page.getByRole("link", { name: "Below that" }).click();
  await page.getByText("task 1 of 2 listed").waitFor();
  await page.keyboard.press("Shift+J");
  await page.getByRole("heading", { name: "Look up the rates" }).waitFor();
  await leave(me);
});

test("an approval is answered in the inbox, a question on its task's page, and the agent reads both", async () => {
  await server.agent("asker", { lease_seconds: 600 });
  const me = await person(browser, server);
  const { page } = me;
  const { id } = await server.create("asker", "Refund the duplicates");
  let run = await server.claim("asker");
  const ask = (body) => server.api("POST", `/v1/tasks/${id}/approvals`, { lease_token: run.token, ...body });
  await ask({ key: "refund", kind: "approval", title: "Refund \u20ac 1,284.00?", message: "Three orders were paid twice.", payload: { orders: [88121, 88124] }, deadline: new Date(Date.now() + 3_600_000).toISOString(), default: { answer: "decline" } });
  await signIn(page, server, "/ui/inbox");
  await page.getByRole("heading", { name: "Refund" }).waitFor();
  await page.getByLabel("Note to the agent").fill("but only these");
  await page.screenshot({ path: join(shots, "inbox-open-light-1440.png") });
  assert.deepEqual(await axe(page), []);
  await page.getByRole("button", { name: "Approve" }).click();
  await page.getByText("approved by").waitFor();
  run = await server.claim("asker");
  const first = await ask({ key: "refund", kind: "approval", message: "again" });
  assert.deepEqual([first.answered.answer, first.answered.note], ["approve", "but only these"]);
  await ask({ key: "vat", kind: "question", title: "Which VAT id?", message: "It is not on the invoice.", schema: { type: "object", required: ["id"], properties: { id: { type: "string", title: "VAT id" } } } });
  await page.goto(`${server.url}/ui/tasks/${id}`);
  await page.locator(".pill.needs").waitFor();
  await page.getByRole("textbox", { name: "VAT id" }).fill("CZ123");
  await page.screenshot({ path: join(shots, "tasks-needs-you-light-1440.png") });
  assert.deepEqual(await axe(page), []);
  await page.getByRole("button", { name: "Answer" }).click();
  await page.getByRole("heading", { name: "Which VAT id?" }).waitFor({ state: "detached" });
  run = await server.claim("asker");
  assert.deepEqual((await ask({ key: "vat", message: "again" })).answered.value, { id: "CZ123" });
  await run.finish("completed", "refunded");
  await page.locator(".pill.completed").waitFor();
  await leave(me);
});

test("workers, and what people are asked, are pushed to pages and badges: nothing is asked for", async (t) => {
  await server.agent("pushed", { lease_seconds: 600 });
  const between = await Between.start(server);
  t.after(() => between.stop());
  const me = await person(browser, between);
  const { page } = me;
  await signIn(page, between, "/ui/workers");
  await page.getByRole("heading", { name: "Workers" }).waitFor();
  await page.getByText("Live", { exact: true }).waitFor();
  await page.waitForLoadState("networkidle", { timeout: 3000 }).catch(() => {});
  between.asked.length = 0;
  const { id } = await server.create("pushed", "Pay it");
  const run = await server.claim("pushed", "w-pushed");
  const row = page.getByRole("row", { name: /w-pushed/ });
  await row.getByRole("link", { name: id.slice(0, 13) }).waitFor();
  await page.screenshot({ path: join(shots, "workers-light-1440.png") });
  await server.api("POST", `/v1/tasks/${id}/approvals`, { lease_token: run.token, key: "pay", kind: "approval", title: "Pay the bill?" });
  await page.getByLabel("1 need you").waitFor();
  await row.getByRole("link", { name: id.slice(0, 13) }).waitFor({ state: "detached" });
  assert.deepEqual(between.asked, []);
  const [ask] = (await server.api("GET", `/v1/tasks/${id}/approvals`)).items;
  await server.api("POST", `/v1/approvals/${ask.id}/answer`, { answer: "decline" });
  await page.getByLabel("1 need you").waitFor({ state: "detached" });
  assert.deepEqual(between.asked, []);
  assert.deepEqual(await axe(page), []);
  await page.emulateMedia({ colorScheme: "dark" });
  assert.deepEqual(await axe(page), []);
  await leave(me);
});

test("what needs somebody stands on top of the list, however old, and is answered there", async () => {
  await server.agent("needy", { lease_seconds: 600 });
  const { id } = await server.create("needy", "Write to the suppliers", { title: "Write to the three late suppliers" });
  const run = await server.claim("needy");
  const ask = (body) => server.api("POST", `/v1/tasks/${id}/approvals`, { lease_token: run.token, ...body });
  await ask({ key: "send", kind: "approval", title: "Wants to send an e-mail", message: "To three suppliers.", deadline: new Date(Date.now() + 3_600_000).toISOString(), default: { answer: "decline" } });
  await server.api("POST", "/v1/tasks/batch", { tasks: Array.from({ length: 60 }, (_, i) => ({ agent_id: "needy", input: { text: `Later ${i}` } })) });
  const me = await person(browser, server);
  const { page } = me;
  await signIn(page, server, "/ui/tasks?agent=needy");
  await page.getByText("Needs you, next deadline first").waitFor();
  assert.equal(await page.locator("tbody a.title").first().innerText(), "Write to the three late suppliers");
  await page.screenshot({ path: join(shots, "tasks-needs-light-1440.png") });
  await page.setViewportSize({ width: 390, height: 844 });
  await page.emulateMedia({ colorScheme: "dark" });
  await page.screenshot({ path: join(shots, "tasks-needs-dark-390.png") });
  assert.deepEqual(await axe(page), []);
  await page.setViewportSize({ width: 1440, height: 900 });
  await page.emulateMedia({ colorScheme: "light" });
  await page.getByRole("button", { name: /^Needs you/ }).click();
  await page.waitForURL(/needs=you/);
  await page.getByRole("row", { name: /Later/ }).first().waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Decide: Write to the three late suppliers" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Note to the agent").fill("only to two");
  await page.screenshot({ path: join(shots, "tasks-answer-light-1440.png") });
  assert.deepEqual(await axe(page), []);
  await dialog.getByRole("button", { name: "Approve" }).click();
  await dialog.waitFor({ state: "detached" });
  await page.mouse.move(0, 0);
  await page.getByText("none waits for a person").waitFor();
  const [given] = (await server.api("GET", `/v1/tasks/${id}/approvals`)).items;
  assert.deepEqual([given.answered.answer, given.answered.note], ["approve", "only to two"]);
  await leave(me);
});

test("many are stopped by a filter or by what is ticked, and counted before", async () => {
  await server.agent("bulky", { lease_seconds: 600 });
  const made = await server.api("POST", "/v1/tasks/batch", { tasks: Array.from({ length: 60 }, (_, i) => ({ agent_id: "bulky", input: { text: `Bulk ${i}` }, tags: ["q3", "bulk"] })) });
  await server.create("bulky", "Of another kind", { tags: ["q4"] });
  const parent = made.results[0].id;
  await server.create("bulky", "Below the first", { parent_execution: parent });
  const me = await person(browser, server);
  const { page } = me;
  await signIn(page, server, "/ui/tasks");
  await page.getByLabel("Filter").fill("tag:q3 agent:bulky");
  await page.keyboard.press("Enter");
  await page.waitForURL(/agent=bulky.*tag=q3|tag=q3.*agent=bulky/);
  await page.getByText("50 of 60 shown").waitFor();
  await page.getByRole("checkbox", { name: "Tick Bulk 59" }).check();
  await page.getByRole("checkbox", { name: "Tick Bulk 58" }).check();
  await page.getByRole("button", { name: "Stop\u2026" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("heading", { name: "Stop 2 tasks?" }).waitFor();
  await dialog.getByText("No sub-task stops with them.").waitFor();
  await page.screenshot({ path: join(shots, "tasks-stop-ticked-light-1440.png") });
  await dialog.getByRole("button", { name: "Stop 2 tasks" }).click();
  await dialog.waitFor({ state: "detached" });
  await page.getByRole("row", { name: "Bulk 59" }).getByText("Stopped by").waitFor();
  await page.getByRole("checkbox", { name: "Tick Bulk 57" }).check();
  await page.getByRole("button", { name: "Take all 58 that match" }).click();
  await page.getByRole("checkbox", { name: "Tick Bulk 57" }).uncheck(); // which is to be spared
  await page.getByRole("checkbox", { name: "Tick Bulk 56" }).check();
  await page.getByRole("button", { name: "Stop\u2026" }).click();
  await dialog.getByRole("heading", { name: "Stop 1 task?" }).waitFor();
  await dialog.getByRole("button", { name: /^Keep them/ }).click();
  await page.getByRole("button", { name: "Take all 58 that match" }).click();
  await page.getByRole("button", { name: "Stop\u2026" }).click();
  await dialog.getByRole("heading", { name: "Stop 58 tasks?" }).waitFor();
  await dialog.getByText("1 sub-task of theirs stops with them.").waitFor();
  await dialog.getByText("and 55 more").waitFor();
  await page.screenshot({ path: join(shots, "tasks-stop-all-light-1440.png") });
  assert.deepEqual(await axe(page), []);
  const late = await server.create("bulky", "Come since it was counted", { tags: ["q3"] });
  await dialog.getByRole("button", { name: "Stop 58 tasks" }).click();
  await dialog.waitFor({ state: "detached" });
  const { by_status } = await server.api("GET", "/v1/tasks/counts?agent_id=bulky&tag=q3");
  assert.deepEqual([by_status.stopped, by_status.pending], [60, 1]);
  assert.equal((await server.api("GET", `/v1/tasks/${late.id}`)).status, "pending");
  await leave(me);
});

test("the failed run of an hour ago is found, seen why, and run again", async () => {
  await server.agent("again", { lease_seconds: 600 });
  await server.create("again", "Read the meter photographs", { title: "Meters", tags: ["nov"], timeout: 60 });
  await (await server.claim("again")).finish("failed", "the photographs are black");
  const me = await person(browser, server);
  const { page } = me;
  await signIn(page, server, "/ui/tasks?agent=again");
  await page.getByRole("link", { name: "tasks ended, a minute: 1 end in an hour, 1 of them wrong" }).waitFor();
  assert.deepEqual(await axe(page), []);
  // Its row says why, and runs it again: by a click, or by a key, once though that is a double click or is held down.
  const row = page.getByRole("row", { name: "Meters" }).filter({ hasText: "the photographs are black" });
  await row.waitFor();
  await page.getByRole("button", { name: /^Failed/ }).click();
  await row.getByRole("button", { name: "Run again: Meters" }).click({ clickCount: 2, delay: 100 });
  const begun = page.getByRole("status").filter({ hasText: "Runs again:" }).getByRole("link", { name: "Meters" });
  const first = await begun.getAttribute("href");
  await page.mouse.move(0, 0);
  await page.keyboard.press("j");
  await page.screenshot({ path: join(shots, "tasks-failed-again-light-1440.png") });
  await page.keyboard.down("r");
  await page.waitForFunction((href) => !document.querySelector(`[role=status] a[href="${href}"]`) && document.querySelector("[role=status] a"), first);
  await page.keyboard.down("r"); // goes on
  await page.keyboard.up("r");
  for (const href of [first, await begun.getAttribute("href")]) await server.api("POST", `/v1/tasks/${href.split("/").pop()}/stop`);
  await page.keyboard.press("Escape");
  await begun.waitFor({ state: "detached" });
  const { by_status: again } = await server.api("GET", "/v1/tasks/counts?agent_id=again");
  assert.deepEqual([again.failed, again.stopped, again.pending], [1, 2, 0]);
  await page.getByRole("link", { name: "Meters" }).click();
  await page.getByText("the photographs are black").first().waitFor();
  const before = page.url();
  await page.getByRole("button", { name: /^Run again/ }).click();
  await page.locator(".pill.pending").waitFor();
  assert.notEqual(page.url(), before);
  const { task } = (await server.api("POST", "/v1/claim", { agent_ids: ["again"], worker_id: "w", wait: 10 })).claims[0];
  assert.deepEqual([task.input.text, task.title, task.tags, task.timeout], ["Read the meter photographs", "Meters", ["nov"], 60]);
  await page.locator(".pill.executing").waitFor();
  // The list has an address that can be opened, and a name under which this browser finds it again.
  await page.goto(`${server.url}/ui/tasks?agent=again&status=failed&status=error`);
  const views = page.locator("details.views");
  await views.locator("summary").click();
  await page.getByLabel("Name of this view").fill("Went wrong again");
  await page.keyboard.press("Enter");
  await page.goto(server.url + "/ui/tasks");
  await views.locator("summary").click();
  await views.getByRole("link", { name: "Went wrong again" }).click();
  await page.waitForURL((url) => url.search === "?agent=again&status=failed&status=error");
  await page.getByText("1 of 1 shown").waitFor();
  await page.getByRole("checkbox", { name: "Tick Meters" }).check();
  await page.screenshot({ path: join(shots, "tasks-ticked-light-1440.png") });
  await page.getByRole("toolbar").getByRole("button", { name: "Run again" }).click();
  await page.getByRole("button", { name: /^Waiting 1/ }).waitFor();
  await leave(me);
});

test("the overview shows what happened, by eye, by keys and as a table, and what is wrong with the way to it", async () => {
  await server.agent("plotted");
  await server.agent("deserted");
  for (const status of ["completed", "failed"]) {
    await server.create("plotted", "Draw a line");
    await (await server.claim("plotted")).finish(status, "done", { tokens: { prompt_tokens: 1200, completion_tokens: 34 } });
  }
  const { id } = await server.create("deserted", "Nobody comes for this");
  const me = await person(browser, server);
  const { page } = me;
  await signIn(page, server, "/ui/overview");
  await page.getByRole("button", { name: "24 h" }).click();
  await page.waitForURL((url) => url.search === "?range=24h");
  const plot = page.getByRole("group", { name: /^Tasks ended, half an hour\. [\d,]+ ends, [1-9]/ });
  await plot.locator("rect.failed").last().waitFor({ state: "attached" });
  await plot.focus();
  await page.keyboard.press("End");
  await plot.getByText(/completed [1-9].* · failed [1-9]/).waitFor();
  await page.getByRole("button", { name: "Tokens, half an hour, as a table" }).click();
  const tokens = page.getByRole("region", { name: "Tokens, half an hour" });
  assert.match(await tokens.locator("tbody tr").first().innerText(), /k$/);
  // All of it is of one agent when that is chosen, also by the address.
  await page.getByLabel("Agent", { exact: true }).selectOption("plotted");
  await page.waitForURL((url) => url.search === "?range=24h&agent=plotted");
  await page.getByRole("group", { name: "Tasks ended, half an hour. 2 ends, 1 of them wrong. Arrow" }).waitFor();
  await page.getByRole("link").filter({ hasText: /Went wrong\s*1\s*of 2 ends/ }).waitFor();
  await page.getByLabel("Agent", { exact: true }).selectOption("All agents");
  const trouble = page.getByRole("listitem").filter({ hasText: "Agent deserted has no worker" });
  await trouble.getByRole("link", { name: "See it" }).click();
  await page.waitForURL((url) => url.search === "?agent=deserted&why=no_worker");
  await page.getByRole("link", { name: "Nobody comes for this" }).waitFor();
  await server.api("POST", `/v1/tasks/${id}/stop`);
  await leave(me);
});

test("the files of a task are looked at as its agent was given them", async () => {
  await server.agent("reader", { runtime: "model", model_provider: "openai", model_name: "gpt-4o" });
  const picture = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAABAAAAAJCAIAAAC0SDtlAAABCUlEQVR42g3LodWGEQCA0X+cbwADGMAABjCAKCiaoxKFp2iOShQMYADD/O/t9+/nEA7pUA7tMA7r8I7oKA4c3bEcx3Edz/H3C4iADKiADpiADfhADJQAgR5YgRO4gRe+kBAJmVAJnTAJm/CJmCgJEj2xEidxEy99ISMyMqMyOmMyNuMzMVMyZHpmZU7mZl7+QkVUZEVVdMVUbMVXYqVUqPTKqpzKrbz6hYZoyIZq6IZp2IZvxEZp0OiN1TiN23jtCwMxkAM10AMzsAM/iIMyYNAHa3AGd/DGFyZiIidqoidmYid+EidlwqRP1uRM7uTNL2zERm7URm/Mxm78Jm7Khk3frM3Z3M3b/APu2vrhVaT10gAAAABJRU5ErkJggg==", "base64");
  const files = await Promise.all([
    server.upload("sales.csv", "region,net\n" + Array.from({ length: 250 }, (_, i) => `r${i},${i}.50`).join("\n") + "\n", "text/csv"),
    server.upload("notes.txt", "<b>not bold</b> " + "words ".repeat(20_000), "text/plain"),
    server.upload("map.png", picture, "image/png"),
    server.upload("odd.bin", "\0\x01\x02", "application/octet-stream"),
  ]);
  const { id } = await server.create("reader", "Read them", { input: { text: "Read them", files } });
  const me = await person(browser, server);
  const { page } = me;
  await signIn(page, server, `/ui/tasks/${id}`);
  await page.locator(".pill.completed").waitFor();
  const side = page.getByRole("complementary", { name: "About this task" });
  await side.getByText("Files, as the agent saw them").waitFor();
  await side.getByRole("link", { name: "sales.csv" }).click();
  const seen = page.getByRole("region", { name: "As the agent saw it" });
  await seen.getByRole("cell", { name: "r0", exact: true }).waitFor();
  await page.screenshot({ path: join(shots, "tasks-file-table-light-1440.png") });
  assert.deepEqual(await axe(page), []);
  await side.getByText("It is an image").waitFor();
  // What models are given of pictures is played: this one reads none.
  await page.route(/\/files\?/, async (route) => {
    const res = await route.fetch();
    const list = await res.json();
    const of = (f) => (f.name === "map.png" ? { ...f, given: [{ ...f.given[0], as: "picture", why: "" }] } : f);
    await route.fulfill({ response: res, json: { ...list, items: list.items.map(of) } });
  });
  await page.route(/\/files\/1-3\/picture/, (route) => route.fulfill({ contentType: "image/png", body: picture }));
  await page.reload();
  await page.getByRole("button", { name: /map.png/ }).click();
  await seen.getByRole("img").waitFor();
  assert.ok((await seen.getByRole("img").evaluate((i) => i.decode().then(() => i.naturalWidth))) > 0);
  await page.screenshot({ path: join(shots, "tasks-file-picture-light-1440.png") });
  await page.getByRole("button", { name: /notes.txt/ }).click();
  await seen.getByText("<b>not bold</b>").waitFor();
  await seen.getByRole("button", { name: "The next page" }).click();
  await seen.getByText("page 2 of 2").waitFor();
  await page.reload(); // the page is in the address
  await seen.getByText("page 2 of 2").waitFor();
  await page.unrouteAll({ behavior: "wait" }); // else a list that is under way fails nobody knows where
  // The profiler is given tables.
  const { id: other } = await server.create("profile", "Profile it", { input: { text: "Profile it", files: [files[0]] } });
  await page.goto(`${server.url}/ui/tasks/${other}?view=files`);
  await seen.getByRole("columnheader", { name: "net" }).waitFor();
  await seen.getByRole("button", { name: "The next page" }).click();
  await seen.getByRole("cell", { name: "r100", exact: true }).waitFor();
  await page.goto(`${server.url}/ui/tasks/${id}?view=files&file=1-2`);
  await page.emulateMedia({ colorScheme: "dark" });
  await page.setViewportSize({ width: 390, height: 844 });
  await seen.getByText("<b>not bold</b>").waitFor();
  await page.screenshot({ path: join(shots, "tasks-file-text-dark-390.png") });
  assert.deepEqual(await axe(page), []);
  assert.ok((await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)) <= 0);
  await leave(me);
});

test("a result that is a table, and files that are, are looked at as tables", async () => {
  await server.agent("tabler", { lease_seconds: 600 });
  const { id } = await server.create("tabler", "List them");
  const run = await server.claim("tabler");
  const put = (name, body) => fetch(`${server.url}/v1/tasks/${id}/outputs/${name}`, { method: "PUT", headers: { "x-api-key": server.key, "X-Errand-Lease-Token": run.token }, body });
  await put("rows.csv", 'name,net\n"a, <script>",1.5\nb,2\n');
  await put("page.html", "<script>window.pwned = 1</script>");
  await run.finish("completed", JSON.stringify(Array.from({ length: 230 }, (_, i) => ({ region: `r${i}`, net: i * 10, note: i % 2 ? "odd" : null }))));
  const me = await person(browser, server);
  const { page } = me;
  await signIn(page, server, `/ui/tasks/${id}`);
  const result = page.getByRole("region", { name: "Result" }).first();
  await result.getByRole("columnheader", { name: "region" }).waitFor();
  assert.equal(await result.locator("tbody tr").count(), 100);
  await page.screenshot({ path: join(shots, "tasks-result-table-light-1440.png") });
  await result.getByRole("button", { name: "The next page" }).click();
  await result.getByRole("button", { name: "The next page" }).click();
  await result.getByRole("cell", { name: "r229" }).waitFor();
  await result.getByRole("button", { name: "Tree" }).click();
  await result.getByText("230 items").waitFor();
  const made = page.getByRole("region", { name: "Files it made" });
  await made.getByRole("button", { name: "Look at rows.csv" }).click();
  await made.getByRole("cell", { name: "a, <script>" }).waitFor();
  await made.getByRole("button", { name: "Look at page.html" }).click();
  await made.getByText("window.pwned = 1").waitFor();
  assert.equal(await page.evaluate(() => window.pwned), undefined);
  assert.deepEqual(await axe(page), []);
  await leave(me);
});

test("a task is shared by a link that reads it alone, live, until it is revoked", async () => {
  await server.agent("sharer", { lease_seconds: 600 });
  const { id } = await server.create("sharer", "Tell everybody");
  const run = await server.claim("sharer");
  await run.text("so far ");
  const me = await person(browser, server);
  await signIn(me.page, server, `/ui/tasks/${id}`);
  await me.page.getByRole("button", { name: "Share" }).click();
  const dialog = me.page.getByRole("dialog");
  await dialog.getByRole("button", { name: "Make a link" }).click();
  const url = await dialog.locator("code").first().innerText();
  await dialog.getByText("1 link is good").waitFor();
  await me.page.screenshot({ path: join(shots, "tasks-share-light-1440.png") });
  assert.deepEqual(await axe(me.page), []);
  const guest = await person(browser, server);
  await guest.page.goto(url);
  await guest.page.getByText("so far").waitFor();
  await run.text("and on");
  await guest.page.getByText("so far and on").waitFor();
  await fetch(`${server.url}/v1/tasks/${id}/outputs/rows.csv`, { method: "PUT", headers: { "x-api-key": server.key, "X-Errand-Lease-Token": run.token }, body: "a,b\n1,2\n" });
  await run.finish("completed", "Told.");
  await guest.page.locator(".pill.completed").waitFor();
  await guest.page.getByText("Told.").waitFor();
  await guest.page.screenshot({ path: join(shots, "shared-light-1440.png") });
  assert.deepEqual(await axe(guest.page), []);
  await guest.page.getByRole("button", { name: "Look at rows.csv" }).click();
  await guest.page.getByRole("columnheader", { name: "b" }).waitFor();
  const [download] = await Promise.all([guest.page.waitForEvent("download"), guest.page.getByRole("link", { name: "rows.csv" }).click()]);
  assert.equal(readFileSync(await download.path(), "utf8"), "a,b\n1,2\n");
  assert.deepEqual(await guest.context.cookies(), []);
  await guest.page.setViewportSize({ width: 390, height: 844 });
  await guest.page.emulateMedia({ colorScheme: "dark" });
  await guest.page.getByRole("button", { name: "Story" }).click();
  await guest.page.getByText("so far and on").waitFor();
  assert.deepEqual(await axe(guest.page), []);
  await dialog.getByRole("button", { name: "Revoke" }).click();
  await dialog.getByText("1 link is good").waitFor({ state: "detached" });
  await guest.page.reload();
  await guest.page.getByText("This link is good no more").waitFor();
  await leave(guest);
  await leave(me);
});

test("keys end by themselves, and say when they were used last", async () => {
  const me = await person(browser, server);
  const { page } = me;
  await signIn(page, server, "/ui/settings/keys");
  await page.getByRole("button", { name: "New key" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill("for a week");
  await dialog.getByLabel("Ends").selectOption({ label: "in 7 days" });
  await dialog.getByRole("button", { name: "Make it" }).click();
  const row = page.getByRole("row", { name: /for a week/ });
  await row.getByText(/^in (6|7) d$/).waitFor();
  await row.getByText("never").waitFor();
  await page.screenshot({ path: join(shots, "keys-ends-light-1440.png") });
  const { key } = { key: await page.locator(".keycode").innerText() };
  assert.equal((await fetch(server.url + "/v1/tasks", { headers: { "x-api-key": key } })).status, 200);
  assert.deepEqual(await axe(page), []);
  await leave(me);
});

test("what tasks say runs nowhere, asks nobody, and turns no text round", async () => {
  await server.agent("evil", { lease_seconds: 600 });
  const html = `<img src=x onerror="window.pwned=1"><script>window.pwned=1</script><svg onload=alert(1)><a href="javascript:window.pwned=1">x</a>`;
  const markdown = `# ${html}\n\n[click](javascript:window.pwned=1) ![p](https://evil.example/x.png) [data](data:text/html,<script>window.pwned=1</script>) <https://evil.example/>\n\n${html}\n\n| ${html} | b |\n| - | - |\n| \`${html}\` | ${html} |\n\n\u202egnp.exe\u2066`;
  const { id } = await server.create("evil", html + "\u202eturned", { title: html + "\u202e", tags: [html.slice(0, 60)] });
  const run = await server.claim("evil", "w-x");
  await run.emit(
    ["think", { title: html, thought: html }],
    ["tool_call_request", { request_id: "r", operation_id: "t", tool_name: html, payload: { [html]: html } }],
    ["tool_call_result", { request_id: "r", operation_id: "t", tool_name: html, result: html, is_error: true }],
    ["plan_updated", { enabled: true, tasks: [{ id: "1", title: html, completed: false }] }],
    ["sub_agent_trigger", { agent_id: html, task_id: "../../v1/docs", query: html, reasoning: {} }],
    ["chunk", markdown],
    ["chunk", "x".repeat(100_000)],
  );
  await run.say(html.slice(0, 200));
  await run.finish("completed", markdown + "\n\n" + "y".repeat(900_000));
  const me = await person(browser, server);
  const { page } = me;
  await signIn(page, server);
  for (const view of ["story", "all", "raw", "result"]) {
    await page.goto(`${server.url}/ui/tasks/${id}?view=${view}`);
    await page.locator("#panel").waitFor();
    await page.locator(".pill.completed").waitFor();
    assert.equal(await page.evaluate(() => window.pwned), undefined, view);
    for (const href of await page.locator("main a[href]").evaluateAll((all) => all.map((a) => a.getAttribute("href")))) {
      assert.match(href, /^(\/ui\/|https?:|mailto:|#|blob:)/, `${view}: ${href}`);
    }
    assert.equal(await page.locator("main img").count(), 0, view);
    assert.doesNotMatch(await page.locator("main").innerText(), /[\u202a-\u202e\u2066-\u2069]/, view);
  }
  await page.goto(server.url + "/ui/tasks?agent=evil");
  await page.getByRole("row", { name: /img src/ }).waitFor();
  await page.goto(server.url + "/ui/agents/" + encodeURIComponent(html));
  await page.getByText("No such agent").waitFor();
  assert.equal(await page.evaluate(() => window.pwned), undefined);
  await leave(me);
});

test("eight tabs are live on one connection, and an idle one asks nothing", async (t) => {
  await server.agent("many", { lease_seconds: 600 });
  const between = await Between.start(server);
  t.after(() => between.stop());
  const me = await person(browser, between);
  await signIn(me.page, between, "/ui/tasks?agent=many");
  await me.page.getByText("No task matches").or(me.page.getByText("No tasks yet")).waitFor();
  const tabs = [];
  for (let i = 0; i < 8; i++) {
    const { id } = await server.create("many", `Task ${i}`);
    const run = await server.claim("many");
    await run.text(`begin${i} `);
    const page = await me.context.newPage();
    await page.goto(`${between.url}/ui/tasks/${id}?view=story`);
    await page.getByText(`begin${i}`).waitFor();
    tabs.push({ page, run });
  }
  for (const { page } of tabs) await page.getByText(/Live · event/).waitFor();
  // A wider stream is open before the narrower one is closed: two for a moment, then one.
  for (let tries = 0; between.streams.size > 1 && tries < 100; tries++) await new Promise((r) => setTimeout(r, 100));
  assert.equal(between.streams.size, 1);
  assert.ok(between.most <= 2, `${between.most} streams at once`);
  await new Promise((r) => setTimeout(r, 6000)); // what the last tab begins with, and a stream that tells of less
  between.asked.length = 0;
  await Promise.all(tabs.map(({ run }, i) => run.text(`more${i}`)));
  for (const [i, { page }] of tabs.entries()) {
    await page.bringToFront();
    await page.getByText(`more${i}`).waitFor();
  }
  await me.page.getByText("\u201cbegin7 more7\u201d").waitFor();
  await new Promise((r) => setTimeout(r, 6000));
  assert.deepEqual(between.asked, []);
  assert.equal(between.streams.size, 1);
  // The line is cut, and after it all tabs go on.
  between.cut();
  await tabs[0].page.getByText("Not connected since").waitFor();
  await Promise.all(tabs.map(({ run }, i) => run.text(` last${i}`)));
  between.up();
  await tabs[0].page.evaluate(() => dispatchEvent(new Event("focus"))); // at once, and not when it is due
  for (const [i, { page }] of tabs.entries()) assert.equal((await page.getByText(`begin${i} more${i} last${i}`).innerText()).trim(), `begin${i} more${i} last${i}`);
  assert.equal(between.streams.size, 1);
  await leave(me);
});

test("a browser without shared workers has a stream while somebody looks", async (t) => {
  await server.agent("alone", { lease_seconds: 600 });
  const { id } = await server.create("alone", "Work");
  const run = await server.claim("alone");
  const between = await Between.start(server);
  t.after(() => between.stop());
  const me = await person(browser, between);
  const { page } = me;
  await page.addInitScript(() => {
    delete window.SharedWorker;
    let state = "visible";
    Object.defineProperty(document, "visibilityState", { get: () => state });
    window.look = (now) => {
      state = now;
      document.dispatchEvent(new Event("visibilitychange"));
    };
  });
  await signIn(page, between, `/ui/tasks/${id}?view=story`);
  await run.text("begun ");
  await page.getByText("begun").waitFor();
  await page.clock.install();
  await page.evaluate(() => window.look("hidden"));
  await page.clock.runFor(29_000);
  assert.equal(between.streams.size, 1);
  await page.clock.runFor(2000);
  for (let tries = 0; between.streams.size > 0 && tries < 50; tries++) await new Promise((r) => setTimeout(r, 100));
  assert.equal(between.streams.size, 0);
  await run.text("and done");
  await page.evaluate(() => window.look("visible"));
  await page.clock.resume();
  await page.getByText("begun and done").waitFor();
  assert.equal(between.streams.size, 1);
  await leave(me);
});

test("10,000 events are shown soon, and few elements hold them", async () => {
  await server.agent("long", { lease_seconds: 600 });
  const { id } = await server.create("long", "A long one");
  const run = await server.claim("long");
  for (let i = 0; i < 10; i++) {
    await run.emit(...Array.from({ length: 1000 }, (_, k) => (k % 4 ? ["think", { title: `t${i}-${k}`, thought: "a thought" }] : ["agent_message", `m${i}-${k}`])));
  }
  await run.finish("completed", "done");
  const me = await person(browser, server);
  const { page } = me;
  await signIn(page, server, `/ui/tasks/${id}?view=raw`);
  await page.getByText(/all 10,0\d\d events/).waitFor();
  // What the page itself takes: the machine's other work does not count.
  const cdp = await me.context.newCDPSession(page);
  await cdp.send("Performance.enable", { timeDomain: "threadTicks" });
  const worked = async () => (await cdp.send("Performance.getMetrics")).metrics.find((m) => m.name === "TaskDuration").value * 1000;
  for (const [view, shown] of [["Story", "#e1"], ["Everything", "#e1"]]) {
    const before = await worked();
    await page.getByRole("tab", { name: new RegExp(view) }).click();
    await page.locator(shown).waitFor();
    const took = (await worked()) - before;
    const elements = await page.evaluate(() => document.querySelectorAll("*").length);
    console.log(`10,000 events as ${view}: ${Math.round(took)} ms of work, ${elements} elements`);
    assert.ok(elements < 1500, `${view}: ${elements} elements`);
    assert.ok(took < 300, `${view}: ${took} ms`);
  }
  await page.goto(`${server.url}/ui/tasks/${id}?view=all#e7000`);
  await page.locator("#e7000").waitFor();
  await leave(me);
});

test("100 kB of text that streams hold nothing up", async () => {
  await server.agent("wordy", { lease_seconds: 600 });
  const { id } = await server.create("wordy", "Say much");
  const run = await server.claim("wordy");
  const me = await person(browser, server);
  const { page } = me;
  await signIn(page, server, `/ui/tasks/${id}?view=story`);
  await page.getByText(/Live \u00b7 event/).waitFor();
  const cdp = await me.context.newCDPSession(page);
  await cdp.send("Performance.enable", { timeDomain: "threadTicks" });
  const worked = async () => (await cdp.send("Performance.getMetrics")).metrics.find((m) => m.name === "TaskDuration").value * 1000;
  const before = await worked();
  const block = "## Part\n\nWords that *say* something, with `code` and a [link](https://example.com/).\n\n| a | b |\n| - | - |\n| 1 | 2 |\n\n";
  let said = 0;
  for (let n = 0; said < 100_000; n++) {
    const pieces = (block + `part ${n}\n\n`).match(/[^]{1,12}/g);
    await run.text(...pieces);
    said += pieces.join("").length;
  }
  await run.text("and that was all");
  await page.getByText("and that was all").waitFor();
  const took = (await worked()) - before;
  const frames = said / 1000;
  console.log(`100 kB streamed: ${Math.round(took)} ms of work for ${said} letters`);
  assert.ok(took < frames * 100, `${took} ms of work`);
  await leave(me);
});

test("at 200 % nothing is cut off, and all can be reached", async () => {
  await server.agent("large");
  const { id } = await server.create("large", "A task that is looked at from near");
  const me = await person(browser, server, { viewport: { width: 720, height: 450 }, deviceScaleFactor: 2 });
  const { page } = me;
  await signIn(page, server);
  const faults = [];
  for (const path of ["tasks", `tasks/${id}`, "new", "inbox", "agents/large", "overview", "settings/browser"]) {
    await page.goto(`${server.url}/ui/${path}`);
    await page.locator("main h1").first().waitFor();
    await page.waitForLoadState("networkidle", { timeout: 1200 }).catch(() => {});
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (wide > 0) faults.push(`${path}: ${wide} px too wide`);
    faults.push(...(await axe(page)).map((f) => `${path}: ${f}`));
    await page.screenshot({ path: join(shots, `zoom-${path.replace(id, "task").replace(/[^a-z]+/g, "-")}.png`) });
  }
  await page.goto(`${server.url}/ui/tasks/${id}`);
  await page.getByRole("button", { name: /^Stop/ }).click();
  await page.getByRole("button", { name: "Stop it" }).click();
  await page.locator(".pill.stopped").waitFor();
  assert.deepEqual(faults, []);
  await leave(me);
});

test("the way of a task by keys alone", async () => {
  await server.agent("keys");
  await server.create("keys", "By keys");
  const me = await person(browser, server);
  const { page } = me;
  await signIn(page, server, "/ui/tasks?agent=keys");
  await page.getByRole("row", { name: "By keys" }).waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("nsj?"); // none of these acts while one types
  assert.equal(await page.getByLabel("Filter").inputValue(), "nsj?");
  await page.keyboard.press("Escape");
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/ui\/tasks\/.+/);
  await page.getByRole("button", { name: /^Stop/ }).waitFor();
  await page.keyboard.press("s");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.keyboard.press("Control+k");
  await page.getByRole("combobox").fill("this browser");
  await page.keyboard.press("Enter");
  await page.waitForURL(/settings/);
  await leave(me);
});

test("a task is found by what was asked, wherever one is", async () => {
  await server.agent("zoo");
  const { id } = await server.create("zoo", "Count the okapis of the zoo", { title: "Animals" });
  while (!(await server.api("GET", "/v1/search?q=okapis")).items.length);
  const me = await person(browser, server);
  const { page } = me;
  await signIn(page, server, "/ui/workers");
  await page.keyboard.press("Control+k");
  await page.getByRole("combobox").fill("okapis");
  await page.getByRole("option", { name: "Count the okapis of the zoo" }).waitFor();
  await page.keyboard.press("Enter");
  await page.waitForURL((url) => url.pathname === `/ui/tasks/${id}`);
  // The list's filter box looks for words as well, beside its tokens and chips, and has them in the address.
  await page.goto(server.url + "/ui/tasks?agent=zoo");
  await page.getByText("1 of 1 shown").waitFor();
  await page.keyboard.press("j");
  await page.getByLabel("Filter").fill("okapis agent:zoo why:me");
  await page.keyboard.press("Enter");
  await page.waitForURL((url) => url.search === "?agent=zoo&q=okapis");
  await page.getByText("“why:me” is no filter").waitFor();
  const found = page.getByRole("row", { name: "Animals" });
  await found.getByRole("link", { name: "asked: Count the okapis of the zoo" }).waitFor();
  // Keys do nothing to the list that was there before.
  await page.keyboard.press("Escape");
  await page.keyboard.press("s");
  assert.equal(await page.getByRole("dialog").count(), 0);
  assert.deepEqual(await axe(page), []);
  await page.screenshot({ path: join(shots, "tasks-found-light-1440.png") });
  await page.getByRole("button", { name: /^Failed/ }).click();
  await page.getByRole("heading", { name: "No task has these words" }).waitFor();
  await page.getByRole("button", { name: /^Waiting/ }).click();
  await found.waitFor();
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await page.waitForURL((url) => url.pathname === `/ui/tasks/${id}`);
  await leave(me);
});

test("each page, in both themes and at three widths, is without a fault that axe knows", async () => {
  await server.agent("shown", { description: "Answers questions about our data, with tables and a recommendation.", lease_seconds: 600 });
  const done = await server.create("shown", "Compare the offers", { title: "Compare the offers of Q2 and Q3", tags: ["q3"] });
  const one = await server.claim("shown");
  await one.emit(["tool_call_request", { request_id: "a", operation_id: "query", payload: { sql: "select 1" } }], ["tool_call_result", { request_id: "a", operation_id: "query", result: [{ region: "north", net: 1 }] }]);
  await one.text("## Offers\n\n| a | b |\n| - | -: |\n| x | 1 |\n\n- one\n- two\n");
  await one.finish("completed", JSON.stringify({ quarter: "2026-Q3", regions: [{ region: "north", net: 1284310.5 }], actions: ["Ask the west"] }));
  const failed = await server.create("shown", "Read the meter photographs");
  await (await server.claim("shown")).finish("failed", "the photographs are black");
  await server.create("shown", "Analyze the sales data of the third quarter and say what to do");
  const run = await server.claim("shown", "w-2");
  await run.emit(["think", { title: "Thought for 9 s.", thought: "Columns first." }], ["chunk", "Net sales came to **\u20ac 2.91 million**."]);
  await run.say("Comparing with last year");
  const names = { [done.id]: "done", [failed.id]: "failed", [run.id]: "live" };
  const pages = ["tasks", "tasks?status=failed", "tasks?needs=you", "workers", "tasks?agent=nobody", `tasks/${done.id}`, `tasks/${done.id}?view=story`, `tasks/${done.id}?view=all`, `tasks/${done.id}?view=raw`, `tasks/${done.id}?view=about`, `tasks/${failed.id}?view=story`, `tasks/${run.id}`, "tasks/none", "inbox", "new", "agents", "agents/shown", "agents/shown/versions", "agents/shown/call", "overview", "overview?range=7d", "settings/keys", "settings/server", "settings/browser", "none"];
  const faults = [];
  for (const [width, height] of [[1440, 900], [820, 1100], [390, 844]]) {
    for (const colorScheme of ["light", "dark"]) {
      const me = await person(browser, server, { viewport: { width, height }, colorScheme });
      const { page } = me;
      const look = async (name) => {
        await page.screenshot({ path: join(shots, `${name}-${colorScheme}-${width}.png`) });
        faults.push(...(await axe(page)).map((f) => `${name} ${colorScheme} ${width}: ${f}`));
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        if (wide > 0) faults.push(`${name} ${width}: ${wide} px too wide`);
      };
      await page.goto(server.url + "/ui/");
      await page.getByLabel("API key").waitFor();
      await look("sign-in");
      await signIn(page, server);
      for (const path of pages) {
        await page.goto(`${server.url}/ui/${path}`);
        await page.locator("main h1").first().waitFor();
        await page.waitForLoadState("networkidle", { timeout: 1200 }).catch(() => {});
        const name = Object.entries(names).reduce((text, [id, word]) => text.replace(id, word), path).replace(/[^a-z]+/g, "-");
        await look(name);
      }
      await leave(me);
    }
  }
  assert.deepEqual([...new Set(faults)], []);
});
