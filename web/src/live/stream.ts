import { createParser } from "eventsource-parser";
import { refusal, type Fault } from "../api/client";

/** A frame of a stream: its name, and its data as text. */
export interface Frame {
  event: string;
  data: string;
}

/** How the stream stands. */
export type Line =
  | { state: "none" }
  | { state: "connecting" }
  | { state: "open" }
  | { state: "cut"; since: number; retryAt: number }
  | { state: "refused"; status: number; message: string };

/** How long to wait before the nth try in a row, in ms: half a second, doubled to ten, jittered by a quarter. */
export function retryIn(tries: number, random = Math.random()): number {
  return Math.min(500 * 2 ** Math.max(0, tries - 1), 10_000) * (0.75 + random / 2);
}

/** A server that says nothing for this long, not even a ping, is gone: pings come every 15 s. */
const silence = 40_000;

/** Reads streams of server-sent events; another one stands in for it in tests. */
export type Reader = (url: string, signal: AbortSignal, frames: (f: Frame[]) => void) => Promise<Fault | null>;

/**
 * Reads one stream to its end, and hands over what came together together. Answers why it was refused, or null when it
 * has ended or was cut, in whatever way: what is told in it says where to go on.
 */
export const readStream: Reader = async (url, signal, frames) => {
  const quiet = new AbortController();
  let timer = setTimeout(() => quiet.abort(), silence);
  try {
    const res = await fetch(url, {
      headers: { Accept: "text/event-stream" },
      cache: "no-store",
      credentials: "same-origin",
      signal: AbortSignal.any([signal, quiet.signal]),
    });
    if (!res.ok || !res.body) {
      const fault = await refusal(res);
      return fault.passing ? null : fault;
    }
    let came: Frame[] = [];
    const parser = createParser({ onEvent: (e) => came.push({ event: e.event ?? "message", data: e.data }) });
    const reader = res.body.getReader();
    const text = new TextDecoder(); // keeps the half of a letter that a piece ends with
    for (;;) {
      const { done, value } = await reader.read();
      clearTimeout(timer);
      if (done) return null;
      timer = setTimeout(() => quiet.abort(), silence);
      parser.feed(text.decode(value, { stream: true }));
      if (came.length && !signal.aborted) frames(came);
      came = [];
    }
  } catch {
    return null; // a cut, of whatever kind
  } finally {
    clearTimeout(timer);
  }
};
