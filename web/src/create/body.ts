/** What the form holds, as texts. */
export interface Draft {
  agent: string;
  text: string;
  format: string;
  schema: string;
  title: string;
  tags: string;
  instructions: string;
  attempts: string | number;
  timeout: string | number;
  runAt: string;
  priority: string | number;
  worker: string;
}

/** The body of POST /v1/tasks that the form stands for, or what is wrong with the form. */
export function bodyOf(d: Draft, files: string[]): { value: Record<string, unknown> | null; wrong: string } {
  const body: Record<string, unknown> = { agent_id: d.agent, input: { text: d.text, ...(files.length ? { files } : {}) } };
  if (d.format) body.output_format = d.format;
  if (d.format === "json" && d.schema.trim()) {
    try {
      body.output_schema = JSON.parse(d.schema) as unknown;
    } catch (err) {
      return { value: body, wrong: `The schema is no JSON: ${err instanceof Error ? err.message : ""}` };
    }
  }
  if (d.title.trim()) body.title = d.title.trim();
  const tags = d.tags.split(",").map((t) => t.trim()).filter(Boolean);
  if (tags.length) body.tags = tags;
  if (d.instructions.trim()) body.instructions_override = d.instructions;
  for (const [name, value] of [["max_attempts", d.attempts], ["timeout", d.timeout], ["priority", d.priority]] as const) {
    if (value !== "" && value !== null && Number.isFinite(Number(value)) && Number(value) !== 0) body[name] = Number(value);
  }
  if (d.runAt) body.run_at = new Date(d.runAt).toISOString();
  if (d.worker.trim()) body.worker_id = d.worker.trim();
  return { value: body, wrong: "" };
}

/** A word for a POSIX shell. */
const shell = (text: string): string => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

/** The same call as programs make it. The key stands in none of them. */
export function calls(body: Record<string, unknown>, key: string): Record<"curl" | "Python" | "Go" | "errand", string> {
  const json = JSON.stringify(body, null, 2);
  const input = body.input as { text?: string; files?: string[] } | undefined;
  const text = input?.text ?? "";
  const files = input?.files ?? [];
  const go: string[] = [`\tAgentID: ${JSON.stringify(body.agent_id ?? "")},`, `\tPrompt:  ${JSON.stringify(text)},`];
  if (files.length) go.push(`\tFileURLs: []string{${files.map((f) => JSON.stringify(f)).join(", ")}},`);
  if (body.title) go.push(`\tTitle:   ${JSON.stringify(body.title)},`);
  if (body.tags) go.push(`\tTags:    []string{${(body.tags as string[]).map((t) => JSON.stringify(t)).join(", ")}},`);
  if (body.output_format) go.push(`\tOutputFormat: ${JSON.stringify(body.output_format)},`);
  const cli = ["errand task create --watch", `--agent ${shell(String(body.agent_id ?? ""))}`];
  if (body.title) cli.push(`--title ${shell(String(body.title))}`);
  for (const f of files) cli.push(`--file ${shell(f)}`);
  cli.push(shell(text));
  return {
    curl: `curl -s "$ERRAND_URL/v1/tasks" \\\n  -H "x-api-key: $ERRAND_API_KEY" \\\n  -H "Idempotency-Key: ${key}" \\\n  -H "Content-Type: application/json" \\\n  -d ${`'${json.replaceAll("'", `'\\''`)}'`}`,
    Python: `import json, os, urllib.request\n\nbody = json.loads(r"""${json.replaceAll('"""', '\\u0022\\u0022\\u0022')}""")\nrequest = urllib.request.Request(\n    os.environ["ERRAND_URL"] + "/v1/tasks",\n    json.dumps(body).encode(),\n    {\n        "x-api-key": os.environ["ERRAND_API_KEY"],\n        "Idempotency-Key": "${key}",\n        "Content-Type": "application/json",\n    },\n)\ntask = json.load(urllib.request.urlopen(request))\nprint(task["id"], task["status"])`,
    Go: `client, err := errand.NewClient()\n// …\ntask, err := client.Tasks.Create(ctx, errand.TaskRequest{\n${go.join("\n")}\n})`,
    errand: cli.join(" \\\n  "),
  };
}
