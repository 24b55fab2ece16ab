import { createParser } from "eventsource-parser";
import { Fault, refusal } from "../api/client";

/** A frame of a stream: its name, its data as text, and its id if it has one. */
export interface Frame {
  event: string;
  data: string;
  id: string;
}

/** How a stream stands. */
export type Line =
  | { state: "connecting" }
  | { state: "open" }
  | { state: "cut"; since: number; retryAt: number }
  | { state: "refused"; fault: Fault }
  | { state: "ended" };

export interface Follow {
  /** Asked anew for each connection, with what was read until then. */
  url: () => string;
  frame: (f: Frame) => void;
  line?: (l: Line) => void;
  /** Whether an end of the stream is an end, and no cut. */
  done?: () => boolean;
}

/** How long to wait before the nth try in a row, in ms: half a second, doubled to ten, jittered by a quarter. */
export function retryIn(tries: number, random = Math.random()): number {
  return Math.min(500 * 2 ** Math.max(0, tries - 1), 10_000) * (0.75 + random / 2);
}

/** A server that says nothing for this long, not even a ping, is gone: pings come every 15 s. */
const silence = 40_000;

/**
 * Reads a stream of server-sent events until it has ended or is closed. A cut is mended by connecting
 * again, where `url` says. Answers a function to close it, and one that tries again at once.
 */
export function follow(f: Follow): { close: () => void; now: () => void } {
  const stop = new AbortController();
  let tries = 0;
  let wake: (() => void) | null = null;
  let cutAt = 0;

  async function once(): Promise<"over" | "again"> {
    const quiet = new AbortController();
    let timer = setTimeout(() => quiet.abort(), silence);
    try {
      const res = await fetch(f.url(), {
        headers: { Accept: "text/event-stream" },
        cache: "no-store",
        credentials: "same-origin",
        signal: AbortSignal.any([stop.signal, quiet.signal]),
      });
      if (!res.ok || !res.body) {
        const fault = await refusal(res);
        if (fault.passing) return "again";
        f.line?.({ state: "refused", fault });
        return "over";
      }
      f.line?.({ state: "open" });
      const parser = createParser({
        onEvent: (e) => f.frame({ event: e.event ?? "message", data: e.data, id: e.id ?? "" }),
      });
      const reader = res.body.getReader();
      const text = new TextDecoder(); // keeps the half of a letter that a piece ends with
      for (;;) {
        const { done, value } = await reader.read();
        clearTimeout(timer);
        if (done) break;
        timer = setTimeout(() => quiet.abort(), silence);
        tries = 0;
        cutAt = 0;
        parser.feed(text.decode(value, { stream: true }));
      }
    } catch {
      // a cut, of whatever kind
    } finally {
      clearTimeout(timer);
    }
    return stop.signal.aborted || f.done?.() ? "over" : "again";
  }

  void (async () => {
    f.line?.({ state: "connecting" });
    while ((await once()) === "again") {
      cutAt ||= Date.now();
      const wait = retryIn(++tries);
      f.line?.({ state: "cut", since: cutAt, retryAt: Date.now() + wait });
      await new Promise<void>((go) => {
        const timer = setTimeout(go, wait);
        wake = () => {
          clearTimeout(timer);
          go();
        };
      });
      wake = null;
      if (stop.signal.aborted) return;
      f.line?.({ state: "connecting" });
    }
    if (!stop.signal.aborted && f.done?.()) f.line?.({ state: "ended" });
  })();

  return {
    close: () => {
      stop.abort();
      wake?.();
    },
    now: () => wake?.(),
  };
}
