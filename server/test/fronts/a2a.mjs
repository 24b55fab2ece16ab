// What the check of A2A's client for JavaScript does: `a2a.mjs BASE KEY BINDING`, with a script that waits on standard input.
import { createInterface } from "node:readline/promises";
import { Role, TaskState } from "@a2a-js/sdk";
import { ClientFactory, DefaultAgentCardResolver, JsonRpcTransportFactory, RestTransportFactory } from "@a2a-js/sdk/client";

const [base, key, binding] = process.argv.slice(2);
setTimeout(() => process.exit(1), 120_000).unref();
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const line = async () => (await lines.next()).value.replaceAll("|", "\n");

const fetchImpl = (url, init = {}) => {
  const headers = new Headers(init.headers);
  headers.set("Authorization", `Bearer ${key}`);
  return fetch(url, { ...init, headers });
};
const Transport = binding === "JSONRPC" ? JsonRpcTransportFactory : RestTransportFactory;
const cardResolver = new DefaultAgentCardResolver({ fetchImpl });
const client = await new ClientFactory({ transports: [new Transport({ fetchImpl })], cardResolver }).createFromUrl(base);

const asked = (words, { configuration, ...more } = {}) => ({
  message: { messageId: crypto.randomUUID(), role: Role.ROLE_USER, parts: [{ content: { $case: "text", value: words } }], ...more },
  configuration,
});
const text = (parts) => parts.map((part) => part.content.value).join("");
const stands = (task) => [TaskState[task.status.state], ...(task.artifacts ?? []).map((artifact) => text(artifact.parts))];
const told = ({ payload: { $case, value } }) =>
  $case === "artifactUpdate" ? (value.append ? "+" : "") + text(value.artifact.parts) : TaskState[value.status.state];
const say = (...what) => console.log(JSON.stringify(what));

say("hello", ...stands(await client.sendMessage(asked("say Hello"))));
const stream = [];
for await (const update of client.sendMessageStream(asked("say Hello\nsay , you"))) stream.push(told(update));
say("stream", ...stream);

const question = await client.sendMessage(asked("question which"));
say("question", ...stands(question));
say("answer", ...stands(await client.sendMessage(asked("blue", { taskId: question.id, contextId: question.contextId }))));

const running = await client.sendMessage(asked(await line(), { configuration: { returnImmediately: true } }));
say("cancel", ...stands(await client.cancelTask({ id: running.id })));
await client.cancelTask({ id: running.id }).catch((refusal) => say("again", refusal.name));
await client.getTask({ id: "nobody~1" }).catch((refusal) => say("nobody", refusal.name));
const { tasks, totalSize } = await client.listTasks({ contextId: running.contextId, pageSize: 1, status: TaskState.TASK_STATE_UNSPECIFIED });
say("list", tasks.length, totalSize, tasks[0].id === running.id);

let task;
try {
  for await (const update of client.sendMessageStream(asked(await line()))) {
    task ??= update.payload.value.id;
    if (told(update) === "Hello") say("kill");
  }
} catch {
  say("broken");
}
await line();
const rest = [];
for await (const update of client.resubscribeTask({ id: task })) rest.push(told(update));
say("rest", rest.at(-1));
say("end", ...stands(await client.getTask({ id: task })));
process.exit();
