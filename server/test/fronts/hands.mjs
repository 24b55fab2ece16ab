// The released clients of user interfaces, which do what is asked of them by lines on standard input, each with a
// number, and answer by lines with the same number: `events` as they come, and what there is in the end as `done`.

import { createInterface } from "node:readline";
import { HttpAgent as Current } from "@ag-ui/client";
import { HttpAgent as Before } from "@ag-ui/client-0";
import { AbstractChat, DefaultChatTransport, lastAssistantMessageIsCompleteWithApprovalResponses, lastAssistantMessageIsCompleteWithToolCalls } from "ai";

const say = (n, what) => process.stdout.write(`${JSON.stringify({ n, ...what })}\n`);
const words = (error) => (error ? String(error.message ?? error) : null);

// --- AG-UI ---------------------------------------------------------------------

const agents = {
  "1.0.0": (ask) => new Current(options(ask)),
  "0.0.59": (ask) => new Before(options(ask)),
};

const options = ({ url, key, thread, messages, state }) => ({
  url, threadId: thread, initialMessages: messages, initialState: state, headers: { Authorization: `Bearer ${key}` },
});

const running = new Map();

async function agui(n, ask) {
  const agent = agents[ask.client](ask);
  agent.pendingInterrupts = ask.pending ?? [];
  running.set(n, agent);
  let failed = null;
  try {
    await agent.runAgent({ runId: ask.run, tools: ask.tools, context: ask.context, resume: ask.resume, forwardedProps: ask.props }, {
      onEvent: ({ event }) => say(n, { event }),
    });
  } catch (error) {
    failed = words(error);
  }
  running.delete(n);
  say(n, { done: { messages: agent.messages, state: agent.state, pending: agent.pendingInterrupts, error: failed } });
}

// CopilotKit's runtime stands between a user interface and the agent; it is asked as its own client asks it.
const runtimes = new Map();

async function copilotkit(n, ask) {
  if (!runtimes.has(ask.url)) {
    const { CopilotRuntime, createCopilotRuntimeHandler } = await import("@copilotkit/runtime/v2");
    const runtime = new CopilotRuntime({ agents: { it: new Before({ url: ask.url, headers: { Authorization: `Bearer ${ask.key}` } }) } });
    runtimes.set(ask.url, createCopilotRuntimeHandler({ runtime, basePath: "/api" }));
  }
  const agent = new Before({
    url: "http://ui.invalid/api/agent/it/run", threadId: ask.thread, initialMessages: ask.messages, initialState: ask.state,
  });
  agent.fetch = (url, init) => runtimes.get(ask.url)(new Request(url, init));
  agents.it = () => agent;
  await agui(n, { ...ask, client: "it" });
}

// --- AI SDK --------------------------------------------------------------------

class State {
  status = "ready";
  error = undefined;
  constructor(n) {
    this.n = n;
    this.messages = [];
  }
  tell() {
    say(this.n, { messages: this.messages });
  }
  pushMessage = (message) => {
    this.messages = [...this.messages, message];
    this.tell();
  };
  popMessage = () => {
    this.messages = this.messages.slice(0, -1);
  };
  replaceMessage = (at, message) => {
    this.messages = this.messages.map((m, i) => (i === at ? structuredClone(message) : m));
    this.tell();
  };
  snapshot = (x) => structuredClone(x);
}

class Chat extends AbstractChat {
  constructor(init) {
    super(init);
    this.told = init.state;
  }
}

const chats = new Map();

function chatOf(n, { chat, url, key, query, messages, body }) {
  if (!chats.has(chat)) {
    const state = new State(n);
    state.messages = messages ?? [];
    chats.set(chat, new Chat({
      id: chat, state,
      transport: new DefaultChatTransport({
        api: url, headers: { Authorization: `Bearer ${key}` }, body, fetch: (url, init) => fetch(`${url}${query}`, init),
      }),
      onFinish: ({ finishReason, isAbort, isDisconnect, isError }) => { state.finish = { finishReason, isAbort, isDisconnect, isError }; },
      sendAutomaticallyWhen: (x) => lastAssistantMessageIsCompleteWithApprovalResponses(x) || lastAssistantMessageIsCompleteWithToolCalls(x),
    }));
  }
  chats.get(chat).told.n = n;
  return chats.get(chat);
}

const verbs = {
  send: (chat, ask) => chat.sendMessage({ text: ask.text, files: ask.files, messageId: ask.instead }),
  resume: (chat) => chat.resumeStream(),
  regenerate: (chat, ask) => chat.regenerate({ messageId: ask.id }),
  approve: (chat, ask) => chat.addToolApprovalResponse({ id: ask.id, approved: ask.approved, reason: ask.reason }),
  output: (chat, ask) => chat.addToolOutput({ tool: ask.tool, toolCallId: ask.id, output: ask.output }),
  stop: (chat) => chat.stop(),
};

async function chat(n, ask) {
  const it = chatOf(n, ask);
  it.told.finish = undefined;
  await verbs[ask.verb](it, ask);
  while (it.status === "submitted" || it.status === "streaming") await new Promise((go) => setTimeout(go, 5));
  say(n, { done: { messages: it.messages, status: it.status, error: words(it.error), finish: it.told.finish } });
}

// -------------------------------------------------------------------------------

const lines = createInterface({ input: process.stdin });
process.on("unhandledRejection", (error) => say(0, { unhandled: words(error) }));
lines.on("line", (line) => {
  const { n, ...ask } = JSON.parse(line);
  if (ask.do === "abort") return void running.get(ask.of)?.abortRun();
  if (ask.do === "forget") return void chats.delete(ask.chat);
  const work = ask.do === "chat" ? chat(n, ask) : ask.client === "copilotkit" ? copilotkit(n, ask) : agui(n, ask);
  work.catch((error) => say(n, { done: { error: words(error), messages: [] } }));
});
lines.on("close", () => process.exit(0));
say(0, { ready: true });
