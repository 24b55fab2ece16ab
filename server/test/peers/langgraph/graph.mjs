// The agent: a graph of one step, which tells that it has begun, says a word, and is done.
import { createSocket } from "node:dgram";
import { Annotation, END, START, StateGraph } from "@langchain/langgraph";

const socket = createSocket("udp4").unref();

function work({ asked }, config) {
  socket.send(asked, process.env.BEGUN_PORT, "127.0.0.1");
  config.writer?.(performance.timeOrigin + performance.now());
  return { result: "done" };
}

export const graph = new StateGraph(Annotation.Root({ asked: Annotation(), result: Annotation() }))
  .addNode("work", work).addEdge(START, "work").addEdge("work", END).compile();
