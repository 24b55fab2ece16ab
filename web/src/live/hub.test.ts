import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Fault } from "../api/client";
import { Hub, nothing, type Told, type Want } from "./hub";
import { retryIn, type Frame, type Reader } from "./stream";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A stream that the test speaks. */
class Fake {
  over = false;
  constructor(
    readonly url: URL,
    readonly signal: AbortSignal,
    readonly frames: (f: Frame[]) => void,
    readonly end: (f: Fault | null) => void,
  ) {}
  say(...all: [string, unknown][]): void {
    if (!this.signal.aborted) this.frames(all.map(([event, data]) => ({ event, data: JSON.stringify(data) })));
  }
  hello(): void {
    this.say(["hello", { version: "1" }]);
  }
  log(...ids: number[]): void {
    this.say(...ids.map((id): [string, unknown] => ["log", { id, type: "chunk", task_id: "t", data: `w${id}` }]));
  }
  async cut(fault: Fault | null = null): Promise<void> {
    this.over = true;
    this.end(fault);
    await vi.advanceTimersByTimeAsync(0);
  }
}

function start(): { hub: Hub; streams: Fake[]; open: () => Fake[]; tab: (w?: Partial<Want>) => Promise<Tab> } {
  const streams: Fake[] = [];
  const read: Reader = (url, signal, frames) =>
    new Promise((end) => {
      streams.push(new Fake(new URL(url, "http://x"), signal, frames, end));
      signal.addEventListener("abort", () => end(null));
    });
  const hub = new Hub(read);
  return {
    hub,
    streams,
    open: () => streams.filter((s) => !s.signal.aborted && !s.over),
    tab: async (w = {}) => {
      const t = new Tab(hub);
      t.want(w);
      await vi.advanceTimersByTimeAsync(20);
      return t;
    },
  };
}

class Tab {
  told: Told[] = [];
  constructor(readonly hub: Hub) {
    hub.join(this, (t) => this.told.push(t));
  }
  want(w: Partial<Want>): void {
    this.hub.ask(this, { want: { ...nothing, ...w } });
  }
  get frames(): Frame[] {
    return this.told.flatMap((t) => ("frames" in t ? t.frames : []));
  }
  get log(): number[] {
    return this.frames.filter((f) => f.event === "log").map((f) => (JSON.parse(f.data) as { id: number }).id);
  }
  get live(): boolean[] {
    return this.told.flatMap((t) => ("live" in t ? [t.fresh] : []));
  }
  get line(): string | undefined {
    return this.told.flatMap((t) => ("line" in t ? [t.line.state] : [])).at(-1);
  }
}
const log = (after: number, nth = 1): Partial<Want> => ({ logs: { t: { after, nth } } });
const last = <T>(all: T[]): T => all.at(-1) as T;

test("tabs share one stream, and a wider one is open before the narrower is closed", async () => {
  const { streams, open, tab } = start();
  const a = await tab({ list: "agent_id=x", counts: true });
  expect(last(streams).url.search).toBe("?agent_id=x&rows=true&counts=true");
  last(streams).hello();
  expect(a.live).toEqual([true]);
  const b = await tab(log(5));
  expect(open().length).toBe(2);
  expect(last(streams).url.search).toBe("?agent_id=x&rows=true&counts=true&log=t%7E5");
  streams[0]?.say(["row", { item: { id: "r" } }]);
  last(streams).hello();
  expect(open().length).toBe(1);
  expect([a.live, b.live]).toEqual([[true, false], [true]]);
  expect([a.frames.length, b.frames.length]).toEqual([1, 0]);
  // Another list is one of all tasks, of which each takes its own.
  await tab({ list: "agent_id=y" });
  expect(last(streams).url.search).toBe("?rows=true&counts=true&log=t%7E5");
});

test("approvals and workers are told to the tabs that show them, and those of all agents", async () => {
  const { streams, tab } = start();
  const a = await tab({ list: "agent_id=x", approvals: true });
  expect(last(streams).url.search).toBe("?agent_id=x&rows=true&approvals=true");
  last(streams).hello();
  const b = await tab({ approvals: true, workers: true });
  // Of a list of one agent a stream tells of that one's workers alone.
  expect(last(streams).url.search).toBe("?rows=true&approvals=true&workers=true");
  last(streams).hello();
  const c = await tab({ logs: { t: { after: 0, nth: 1 } } });
  last(streams).hello();
  expect(streams.length).toBe(3);
  last(streams).say(["approval", { id: "q" }], ["workers", { items: [] }], ["row", { item: { id: "r" } }], ["reset", { what: "approvals" }], ["reset", { what: "workers" }], ["reset", { what: "rows" }]);
  const names = (t: Tab): string[] => t.frames.map((f) => (f.event === "reset" ? f.data : f.event));
  expect(names(a)).toEqual(["approval", "row", '{"what":"approvals"}', '{"what":"rows"}']);
  expect(names(b)).toEqual(["approval", "workers", '{"what":"approvals"}', '{"what":"workers"}']);
  expect(names(c)).toEqual([]);
  expect([a.live, b.live]).toEqual([[true, false, false], [true, false]]);
});

test("a log has no gap and tells nothing twice, through two streams and a cut", async () => {
  const { streams, tab, open } = start();
  const a = await tab(log(0));
  last(streams).hello();
  last(streams).log(1, 2, 3);
  const b = await tab(log(1));
  expect(last(streams).url.search).toBe("?log=t%7E1");
  streams[0]?.log(4);
  last(streams).log(2, 3);
  last(streams).hello();
  last(streams).log(4, 5);
  expect([a.log, b.log]).toEqual([[1, 2, 3, 4, 5], [2, 3, 4, 5]]);
  await last(streams).cut();
  expect(a.line).toBe("cut");
  await vi.advanceTimersByTimeAsync(700);
  expect(last(streams).url.search).toBe("?log=t%7E5");
  last(streams).hello();
  last(streams).log(6);
  expect([a.log.at(-1), b.log.at(-1), a.line, open().length]).toEqual([6, 6, "open", 1]);
});

test("the end of a log is told once, and a next turn is asked for anew", async () => {
  const { streams, tab } = start();
  const a = await tab(log(0));
  last(streams).hello();
  last(streams).log(1, 2);
  last(streams).say(["log_end", { task_id: "t" }]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(streams.length).toBe(1);
  expect(a.frames.filter((f) => f.event === "log_end").length).toBe(1);
  a.want(log(2, 2));
  await vi.advanceTimersByTimeAsync(20);
  expect(last(streams).url.search).toBe("?log=t%7E2");
  last(streams).hello();
  last(streams).log(3);
  expect(a.log).toEqual([1, 2, 3]);
});

test("what is lost is tried again, later each time, and at once when somebody looks", async () => {
  const { hub, streams, tab } = start();
  const a = await tab({ list: "" });
  last(streams).hello();
  for (let n = 1; n < 5; n++) await last(streams).cut().then(() => vi.advanceTimersByTimeAsync(12_600));
  expect(streams.length).toBe(5);
  await last(streams).cut();
  hub.ask(a, { now: true });
  expect(streams.length).toBe(6);
  last(streams).hello();
  expect(a.live).toEqual([true, true]); // its list may have changed meanwhile
  expect([retryIn(1, 0.5), retryIn(2, 0.5), retryIn(9, 0.5), retryIn(9, 0), retryIn(9, 1)]).toEqual([500, 1000, 10_000, 7500, 12_500]);
});

test("who is signed out is asked nothing more, until somebody signs in", async () => {
  const { hub, streams, tab, open } = start();
  const a = await tab({ list: "" });
  last(streams).hello();
  last(streams).say(["bye", { reason: "signed_out" }]);
  expect(a.told.some((t) => "signedOut" in t)).toBe(true);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(open().length).toBe(0);
  hub.ask(a, { signed: true });
  await vi.advanceTimersByTimeAsync(20);
  expect(open().length).toBe(1);
  await last(streams).cut({ status: 403, message: "no" } as Fault);
  await vi.advanceTimersByTimeAsync(60_000);
  expect([a.line, streams.length]).toEqual(["refused", 2]);
});

test("a stream tells of twenty logs at most: those that somebody looks at", async () => {
  const { hub, streams, tab } = start();
  const tabs: Tab[] = [];
  for (let i = 0; i < 21; i++) tabs.push(await tab({ logs: { [`t${i}`]: { after: 0, nth: 1 } } }));
  const logs = (): string[] => last(streams).url.searchParams.getAll("log");
  expect([logs().length, logs().includes("t0~0"), logs().includes("t20~0")]).toEqual([20, false, true]);
  last(streams).hello();
  hub.ask(tabs[0] as Tab, { now: true });
  await vi.advanceTimersByTimeAsync(20);
  expect(logs().includes("t0~0")).toBe(true);
  for (const t of tabs) hub.leave(t);
  await vi.advanceTimersByTimeAsync(20);
  expect(last(streams).signal.aborted).toBe(true);
});
