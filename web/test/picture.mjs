// Takes the README's picture, docs/ui.png: a run on a real server of a worker that reads the sales data,
// in which one attempt is lost, its late result refused, and a helper asked.
//
//   go build -o .tmp/errand ./server/cmd/errand && cd web && node test/picture.mjs
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pass } from "node:timers/promises";
import { launch, person, root, Server, signIn } from "./browser/harness.mjs";

const file = readFileSync(join(root, "examples/data/sales_data.csv"), "utf8");
const [names, ...lines] = file.trim().split("\n").map((line) => line.split(","));
const sales = lines.map((cells) => Object.fromEntries(names.map((name, i) => [name, cells[i]])));
const quarter = (q) => sales.filter((s) => Math.ceil(Number(s.date.slice(5, 7)) / 3) === q);
const sums = (of, by) => {
  const all = new Map();
  for (const s of of) all.set(s[by], (all.get(s[by]) ?? 0) + Number(s.revenue));
  return [...all].sort((a, b) => b[1] - a[1]);
};
const money = (n) => n.toLocaleString("en", { maximumFractionDigits: 0 });
const change = (now, before) => `${now < before ? "−" : "+"}${Math.abs((now / before - 1) * 100).toFixed(1)} %`;

const before = new Map(sums(quarter(2), "region"));
const regions = sums(quarter(3), "region");
const total = (all) => all.reduce((sum, [, net]) => sum + net, 0);
const was = total([...before]);
const report = `Sales of the third quarter came to **${money(total(regions))}**, ${change(total(regions), was)} against the quarter before.

| Region | Q2 | Q3 | Change |
| :-- | --: | --: | --: |
${regions.map(([region, net]) => `| ${region} | ${money(before.get(region))} | ${money(net)} | ${change(net, before.get(region))} |`).join("\n")}
`;

const server = await Server.start();
const browser = await launch();
try {
  await server.agent("researcher", { lease_seconds: 4, max_attempts: 3, deep_planning: true });
  await server.agent("helper", { lease_seconds: 600 });
  const { key } = await server.api("POST", "/v1/keys", { name: "anna", role: "user" });
  const anna = (method, path, body) => server.api(method, path, body, { "x-api-key": key });
  const { id } = await anna("POST", "/v1/tasks", {
    agent_id: "researcher", title: "Analyze the sales data of the third quarter and say what to do", tags: ["quarterly", "board"],
    input: { text: "Analyze the sales data of the third quarter and say what to do. Compare it with the quarter before, and look at the products on their own.", files: [await server.upload("sales_data.csv", file, "text/csv")] },
  });
  const tool = async (run, name, payload, result, ms) => {
    const request_id = `${name}-${run.token.slice(0, 6)}-${Date.now()}`;
    await run.emit(["tool_call_request", { request_id, operation_id: name, payload }]);
    await pass(ms);
    await run.emit(["tool_call_result", { request_id, operation_id: name, result }]);
  };
  const planned = (run, done) => run.emit(["plan_updated", {
    enabled: true, started: true,
    tasks: ["Read the file", "Group sales by region", "Compare with the quarter before", "Look at the products", "Write what to do"].map((title, i) => ({ id: String(i + 1), title, completed: i < done })),
  }]);

  const lost = await server.claim("researcher", "w-1");
  await tool(lost, "read_file", { name: "sales_data.csv" }, { rows: sales.length, columns: names.length }, 900);
  await planned(lost, 1);
  const run = await server.claim("researcher", "w-3"); // when the lease of the first has run out
  await lost.finish("completed", "Sales are up in all regions").catch(() => {});
  await run.emit(["think", { title: "Thought", thought: `The file has ${sales.length} rows, each with a date and a region: I group by region first.` }]);
  await pass(1200);
  await tool(run, "query_table", { sql: "select region, sum(revenue) from sales where quarter = 3 group by region" }, regions.map(([region, revenue]) => ({ region, revenue: Number(revenue.toFixed(2)) })), 1500);
  await planned(run, 3);
  await run.say("Looking at the products");
  const child = await server.create("helper", "Which products fell?", { parent_execution: id });
  await run.emit(["sub_agent_trigger", { agent_id: "helper", task_id: child.id, query: "Which products fell?" }]);
  const help = await server.claim("helper", "w-2");
  await pass(1500);
  const products = new Map(sums(quarter(2), "product"));
  const fell = sums(quarter(3), "product").filter(([product, net]) => net < (products.get(product) ?? 0)).map(([product]) => product);
  await help.finish("completed", fell.join(", "), { tokens: { prompt_tokens: 1840, completion_tokens: 96 } });
  await run.text(report);
  await planned(run, 4);

  const { context, page } = await person(browser, server, { viewport: { width: 1440, height: 1100 } });
  await signIn(page, server, `/ui/tasks/${id}?view=story`);
  await page.getByText("Sales of the third quarter came to").waitFor();
  await page.getByRole("complementary").getByRole("link", { name: "Which products fell?", exact: true }).waitFor();
  await page.screenshot({ path: join(root, "docs/ui.png") });
  await context.close();
} finally {
  await browser.close();
  await server.stop();
}
