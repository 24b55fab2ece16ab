// What OpenAI's client and the AI SDK make of Errand: each line of standard input's JSON is one scenario's arguments.
import OpenAI from "openai";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";

const [url, key, what, given] = JSON.parse(process.env.SCENARIO);
const client = new OpenAI({ baseURL: `${url}/openai/v1`, apiKey: key });
const provider = createOpenAI({ baseURL: `${url}/openai/v1`, apiKey: key });

const scenarios = {
  async create() {
    const made = await client.responses.create(given);
    return { id: made.id, status: made.status, text: made.output_text, types: made.output.map((x) => x.type) };
  },
  async stream() {
    const raw = [];
    for await (const event of await client.responses.create({ ...given, stream: true })) raw.push(event);
    const id = raw[0].response.id;
    const again = [];
    for await (const event of await client.responses.retrieve(id, { stream: true })) again.push(event);
    const rest = [];
    for await (const event of await client.responses.retrieve(id, { stream: true, starting_after: raw[3].sequence_number })) rest.push(event);
    const whole = await client.responses.stream(given).finalResponse();
    const later = await client.responses.stream({ response_id: whole.id }).finalResponse();
    return { same: JSON.stringify(raw) === JSON.stringify(again), rest: JSON.stringify(raw.slice(4)) === JSON.stringify(rest), text: whole.output_text, later: later.output_text };
  },
  async cut() {
    const { then, ...asked } = given;
    const events = [];
    const text = () => events.filter((e) => e.type === "response.output_text.delta").map((e) => e.delta).join("");
    let raised;
    try {
      for await (const event of await client.responses.create({ ...asked, stream: true })) events.push(event);
    } catch (e) {
      raised = e.message;
    }
    const before = text();
    const direct = new OpenAI({ baseURL: `${then}/openai/v1`, apiKey: key });
    const rest = await direct.responses.retrieve(events[0].response.id, { stream: true, starting_after: events.at(-1).sequence_number });
    for await (const event of rest) events.push(event);
    return { raised, before, text: text(), last: events.at(-1).type };
  },
  async more() {
    const made = await client.responses.create({ ...given, background: true });
    let now = made;
    while (["queued", "in_progress"].includes(now.status)) now = await client.responses.retrieve(made.id);
    const parsed = await client.responses.parse({ model: "actor", input: 'say {"size": 7}', text: { format: { type: "json_schema", name: "s", schema: { type: "object" } } } });
    const next = await client.responses.create({ model: "actor", input: "say Two", previous_response_id: made.id });
    const items = [];
    for await (const item of client.responses.inputItems.list(made.id, { limit: 1 })) items.push(item.content[0].text);
    const stopping = await client.responses.create({ model: "actor", input: "wait never", background: true });
    const stopped = await client.responses.cancel(stopping.id);
    const file = await client.files.create({ file: new File(["a\n1\n"], "js.csv"), purpose: "user_data" });
    const named = await client.responses.create({ model: "actor", input: [{ role: "user", content: [{ type: "input_file", file_id: file.id }] }] });
    const models = [];
    for await (const model of client.models.list()) models.push(model.id);
    let refusal;
    await client.responses.create({ model: "none", input: "Hm" }).catch((e) => (refusal = `${e.status} ${e.message}`));
    return { first: now.output_text, parsed: parsed.output_parsed, next: next.output_text, items, stopped: stopped.status, named: named.output_text, models, refusal };
  },
  async converse() {
    const { id } = await client.conversations.create();
    const made = await client.responses.create({ ...given, conversation: id });
    const updated = await client.conversations.update(id, { metadata: { topic: "tea" } });
    const same = JSON.stringify(await client.conversations.retrieve(id)) === JSON.stringify(updated);
    const items = [];
    for await (const item of client.conversations.items.list(id, { limit: 1 })) items.push(item);
    const one = await client.conversations.items.retrieve(items[0].id, { conversation_id: id });
    const refusals = [];
    for (const call of [
      () => client.conversations.items.create(id, { items: [{ role: "user", content: "Hm" }] }),
      () => client.conversations.items.delete(one.id, { conversation_id: id }),
    ]) await call().catch((e) => refusals.push(e.status));
    const { deleted } = await client.conversations.delete(id);
    return { text: made.output_text, metadata: updated.metadata, same, said: items.map((x) => x.content[0].text), one: one.content[0].text, refusals, deleted };
  },
  async generate() {
    const tools = given.tool && { weather: tool({ inputSchema: jsonSchema({ type: "object", properties: { city: { type: "string" } } }), execute: async ({ city }) => `rain in ${city}` }) };
    const made = await generateText({ model: provider.responses("" + given.model), prompt: given.prompt, tools, stopWhen: stepCountIs(5), maxRetries: 0 });
    return { text: made.text, finish: made.finishReason, reasoning: made.reasoningText, steps: made.steps.length };
  },
  async chat() {
    const model = provider.responses("actor");
    const asked = { role: "user", content: "say Good day to you." };
    const first = await generateText({ model, messages: [asked] });
    const messages = [asked, ...first.response.messages, { role: "user", content: "task additional_context" }];
    return (await generateText({ model, messages })).text;
  },
  async streamed() {
    const parts = [];
    const made = streamText({ model: provider.responses("" + given.model), prompt: given.prompt, maxRetries: 0, onError() {} });
    for await (const part of made.fullStream) parts.push(part);
    const text = parts.filter((p) => p.type === "text-delta").map((p) => p.text).join("");
    return { text, types: [...new Set(parts.map((p) => p.type))], finish: parts.at(-1).finishReason };
  },
};

console.log(JSON.stringify((await scenarios[what]().catch((e) => ({ raised: `${e.name}: ${e.message}` }))) ?? null));
