/// <reference lib="webworker" />
import { Hub, type Ask, type Told } from "./hub";
import { readStream } from "./stream";

/** All tabs of a browser share this worker, and with it one stream. */
const hub = new Hub(readStream);
/** How long a tab may say nothing: one that was closed without a word, or is frozen, is forgotten. */
const patience = 70_000;
const heard = new Map<MessagePort, number>();

(self as unknown as SharedWorkerGlobalScope).onconnect = (e) => {
  const port = e.ports[0] as MessagePort;
  const join = (): void => {
    heard.set(port, Date.now());
    hub.join(port, (told) => port.postMessage(told));
  };
  join();
  port.onmessage = ({ data }: MessageEvent<Ask>) => {
    if (!heard.has(port)) {
      join(); // it was frozen, and is back
      if (!("want" in data) && !("bye" in data)) port.postMessage({ again: true } satisfies Told);
    }
    heard.set(port, Date.now());
    hub.ask(port, data);
    if ("bye" in data) heard.delete(port);
  };
};

setInterval(() => {
  for (const [port, at] of heard) {
    if (Date.now() - at > patience) {
      heard.delete(port);
      hub.leave(port);
    } else port.postMessage({ ping: true });
  }
}, 20_000);
