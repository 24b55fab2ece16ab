// A real server, a real Chromium, and a worker that the test itself plays.
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHTTP, request } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

export const root = join(dirname(fileURLToPath(import.meta.url)), "../../..");
const binary = process.env.ERRAND_BIN ?? join(root, ".tmp/errand");
export const shots = process.env.ERRAND_SHOTS ?? join(root, ".tmp/ui-shots");
mkdirSync(shots, { recursive: true });

const adminKey = "errand_browser-tests-" + "0".repeat(30);

function freePort() {
  return new Promise((resolve, reject) => {
    const s = createServer();
    s.once("error", reject);
    s.listen(0, "127.0.0.1", () => {
      const { port } = s.address();
      s.close(() => resolve(port));
    });
  });
}

/** A server with data of its own, which can be killed and started again. */
export class Server {
  static async start(env = {}) {
    const s = new Server();
    s.env = env;
    s.port = await freePort();
    s.url = `http://127.0.0.1:${s.port}`;
    s.key = adminKey;
    s.data = mkdtempSync(join(tmpdir(), "errand-ui-"));
    await s.up();
    return s;
  }

  async up() {
    this.child = spawn(binary, ["serve", "--addr", `127.0.0.1:${this.port}`, "--data", this.data], {
      env: { PATH: process.env.PATH, HOME: this.data, ERRAND_ADMIN_KEY: adminKey, ...this.env },
      stdio: ["ignore", "ignore", "pipe"],
    });
    let said = "";
    this.child.stderr.on("data", (d) => (said = (said + d).slice(-4000)));
    for (let tries = 0; ; tries++) {
      const ok = await fetch(this.url + "/readyz").then((r) => r.ok, () => false);
      if (ok) return;
      if (this.child.exitCode !== null || tries > 300) throw new Error(`the server does not start: ${said}`);
      await new Promise((r) => setTimeout(r, 100));
    }
  }

  /** Ends the process as a loss of power would. */
  kill() {
    const gone = new Promise((r) => this.child.once("exit", r));
    this.child.kill("SIGKILL");
    return gone;
  }

  async stop() {
    if (this.child.exitCode === null && this.child.signalCode === null) await this.kill();
    rmSync(this.data, { recursive: true, force: true });
  }

  async api(method, path, body, headers = {}) {
    const res = await fetch(this.url + path, {
      method,
      headers: { "x-api-key": this.key, ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await res.text();
    if (!res.ok) throw new Error(`${method} ${path}: ${res.status} ${text}`);
    return text && JSON.parse(text);
  }

  agent(id, record = {}) {
    return this.api("PUT", `/v1/agents/${id}`, { name: id, ...record });
  }

  create(agent, text, more = {}) {
    return this.api("POST", "/v1/tasks", { agent_id: agent, input: { text }, ...more });
  }

  /** Takes the agent's next task as a worker does. */
  async claim(agent, worker = "w-1") {
    const { claims } = await this.api("POST", "/v1/claim", { agent_ids: [agent], worker_id: worker, wait: 10 });
    if (!claims.length) throw new Error(`no task of ${agent} to claim`);
    return new Attempt(this, claims[0]);
  }

  async upload(name, content, type) {
    const form = new FormData();
    form.append("file", new Blob([content], { type }), name);
    const res = await fetch(this.url + "/v1/files", { method: "POST", headers: { "x-api-key": this.key }, body: form });
    return (await res.json()).url;
  }

  async log(id) {
    const all = [];
    for (;;) {
      const page = await this.api("GET", `/v1/tasks/${id}/events?after=${all.at(-1)?.id ?? 0}&limit=1000`);
      all.push(...page.items);
      if (page.items.length < 1000) return all;
    }
  }
}

/** A language model that says the same to everybody. */
export class Model {
  static async start(words) {
    const m = new Model();
    m.http = createHTTP((req, res) => {
      req.resume().on("end", () => {
        res.writeHead(200, { "Content-Type": "text/event-stream" });
        const say = (choices, more = {}) => res.write(`data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", model: "m", choices, ...more })}\n\n`);
        say([{ index: 0, delta: { role: "assistant", content: words } }]);
        say([{ index: 0, delta: {}, finish_reason: "stop" }], { usage: { prompt_tokens: 9, completion_tokens: 3 } });
        res.end("data: [DONE]\n\n");
      });
    });
    await new Promise((r) => m.http.listen(0, "127.0.0.1", r));
    const host = `127.0.0.1:${m.http.address().port}`;
    m.env = { OPENAI_API_KEY: "k", OPENAI_BASE_URL: `http://${host}/v1`, ERRAND_ALLOW_MODEL_HOST: host };
    return m;
  }
  stop() {
    this.http.closeAllConnections();
    this.http.close();
  }
}

/** A real provider with which people sign in, and the configuration of a server that is to use it. */
export class Provider {
  static async prepare() {
    const p = new Provider();
    p.port = await freePort();
    p.issuer = `http://localhost:${p.port}`;
    p.folder = mkdtempSync(join(tmpdir(), "errand-oidc-"));
    const config = join(p.folder, "errand.yaml");
    writeFileSync(config, JSON.stringify({ oidc: { issuer: p.issuer, client_id: "errand", name: "Example", scopes: ["profile", "email", "groups"], people: [{ group: "research", role: "user" }], end_session: true } }));
    p.env = { ERRAND_CONFIG: config, ERRAND_OIDC_CLIENT_SECRET: "the-client-s-secret-of-the-tests" };
    return p;
  }
  async start(server) {
    this.child = spawn(process.execPath, [join(root, "web/test/provider.mjs"), String(this.port), server.url + "/v1/session/oidc/callback"], { stdio: ["ignore", "pipe", "inherit"] });
    await new Promise((resolve, reject) => {
      this.child.stdout.once("data", resolve);
      this.child.once("exit", () => reject(new Error("the provider does not start")));
    });
  }
  stop() {
    this.child?.kill("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Stands between browsers and a server: counts what is asked, and cuts lines. */
export class Between {
  static async start(server) {
    const b = new Between();
    b.key = server.key;
    /** What was asked, one "METHOD /path" each. */
    b.asked = [];
    /** The streams that are open. */
    b.streams = new Set();
    /** The most that were open at once. */
    b.most = 0;
    b.down = false;
    b.http = createHTTP((req, res) => {
      if (b.down) return req.socket.destroy();
      b.asked.push(`${req.method} ${req.url}`);
      const onward = request({ host: "127.0.0.1", port: server.port, method: req.method, path: req.url, headers: req.headers }, (answer) => {
        res.writeHead(answer.statusCode, answer.headers);
        answer.pipe(res);
        if (req.url.startsWith("/v1/events") && answer.statusCode === 200) {
          b.streams.add(res);
          b.most = Math.max(b.most, b.streams.size);
          res.once("close", () => b.streams.delete(res));
        }
        answer.once("error", () => res.destroy());
      });
      onward.once("error", () => res.destroy());
      res.once("close", () => onward.destroy());
      req.pipe(onward);
    });
    await new Promise((r) => b.http.listen(0, "127.0.0.1", r));
    b.url = `http://127.0.0.1:${b.http.address().port}`;
    return b;
  }
  /** Cuts all lines, and lets nobody through until `up`. */
  cut() {
    this.down = true;
    this.http.closeAllConnections();
  }
  up() {
    this.down = false;
  }
  stop() {
    this.http.closeAllConnections();
    this.http.close();
  }
}

/** An attempt that the test executes. */
export class Attempt {
  constructor(server, { task, lease }) {
    this.server = server;
    this.id = task.id;
    this.token = lease.token;
  }
  emit(...events) {
    return this.server.api("POST", `/v1/tasks/${this.id}/events`, { lease_token: this.token, events: events.map(([type, data]) => ({ type, data })) });
  }
  text(...pieces) {
    return this.emit(...pieces.map((p) => ["chunk", p]));
  }
  say(internal_status) {
    return this.server.api("POST", `/v1/tasks/${this.id}/heartbeat`, { lease_token: this.token, internal_status });
  }
  finish(status, result, more = {}) {
    return this.server.api("POST", `/v1/tasks/${this.id}/finish`, { lease_token: this.token, status, result, ...more });
  }
}

export const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });

/** A browser of one person. What must not happen is gathered in `bad`. */
export async function person(browser, server, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  context.setDefaultTimeout(20_000);
  const bad = [];
  context.on("page", (page) => {
    page.on("pageerror", (e) => bad.push(`error: ${e.message}`));
    page.on("dialog", (d) => {
      bad.push(`dialog: ${d.message()}`);
      void d.dismiss();
    });
    page.on("console", (m) => {
      if (/Content Security Policy|TrustedHTML|TrustedScript/.test(m.text())) bad.push(`policy: ${m.text()}`);
    });
    page.on("request", (r) => {
      if (!/^(blob|data):/.test(r.url()) && !r.url().startsWith(server.url + "/")) bad.push(`asked elsewhere: ${r.url()}`);
    });
  });
  const page = await context.newPage();
  return { context, page, bad };
}

export async function signIn(page, server, path = "/ui/tasks", key = server.key) {
  await page.goto(server.url + path);
  const field = page.getByLabel("API key");
  for (let n = 1; ; n++) { // the page may be drawn anew while somebody types
    await field.fill(key);
    await field.press("Enter");
    try {
      return await page.locator("main#main").waitFor({ timeout: n < 3 ? 7000 : 20_000 });
    } catch (err) {
      if (n === 3 || !(await field.isVisible())) throw err;
    }
  }
}

const axeSource = readFileSync(join(root, "web/node_modules/axe-core/axe.min.js"), "utf8");

/** What axe finds against WCAG 2.2 AA, in lines. */
export async function axe(page) {
  await page.evaluate(axeSource);
  const found = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }));
  return found.violations.flatMap((v) => v.nodes.map((n) => `${v.id}: ${n.target.join(" ")}: ${n.failureSummary?.split("\n")[1]?.trim() ?? ""}`));
}
