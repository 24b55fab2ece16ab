import { get } from "../api/client";
import { ended, type Task, type TaskEvent } from "../api/types";
import { takeSlot } from "../live/slots";
import { follow, type Line } from "../live/stream";
import { Log } from "../live/log";
import { RulerOf } from "./ruler";

interface EventPage {
  items: TaskEvent[];
  next_after: number;
  done: boolean;
}

/** A task's log as it is and as it grows. What has come is shown once a frame. */
export class TaskFeed {
  log = new Log();
  ruler = new RulerOf();
  /** Grows with each frame in which something has come. */
  version = $state(0);
  line = $state.raw<Line>({ state: "connecting" });
  /** Whether all that was there when the page was opened has been read. */
  whole = $state(false);
  #id: string;
  #closed = false;
  #stream: ReturnType<typeof follow> | null = null;
  #due = false;
  #ended: () => void;

  constructor(id: string, ended: () => void) {
    this.#id = id;
    this.#ended = ended;
    document.addEventListener("visibilitychange", this.#seen);
  }

  /** A browser has six connections for a server: a page that nobody looks at holds none, and goes on where it was. */
  #seen = (): void => {
    clearTimeout(this.#rest);
    if (document.visibilityState === "visible") {
      if (this.#resting) {
        this.#resting = false;
        this.follow();
      }
    } else if (this.line.state !== "ended") {
      this.#rest = setTimeout(() => {
        this.#resting = true;
        this.#letGo();
      }, 1000);
    }
  };
  #rest: ReturnType<typeof setTimeout> | undefined;
  #resting = false;

  /** Reads what is there, then follows. Throws what the first read throws. */
  async open(): Promise<void> {
    const path = `/v1/tasks/${encodeURIComponent(this.#id)}/events`;
    for (;;) {
      const page = await get<EventPage>(path, { query: { after: this.log.last, turns: this.log.last ? null : "all", limit: 1000 } });
      if (this.#closed) return;
      for (const e of page.items) this.#take(e);
      if (page.items.length < 1000 && (page.done || page.items.length === 0)) break;
    }
    this.whole = true;
    this.follow();
  }

  /** Follows from where the log ends. */
  follow(): void {
    if (this.#closed) return;
    this.#letGo();
    const turn = ++this.#turn;
    void takeSlot().then((free) => {
      if (turn !== this.#turn || this.#closed) return free?.();
      this.#free = free;
      if (free) this.#listen();
      else this.#ask(turn);
    });
  }

  #listen(): void {
    this.#stream = follow({
      url: () => `/v1/tasks/${encodeURIComponent(this.#id)}/events?after=${this.log.last}`,
      frame: (f) => {
        if (!f.data) return;
        const e = JSON.parse(f.data) as TaskEvent;
        if (typeof e.id === "number" && this.#take(e) === "gap") queueMicrotask(() => this.follow());
      },
      line: (l) => {
        this.line = l;
        if (l.state !== "ended") return;
        this.#letGo();
        this.#ended();
      },
      done: this.#over,
    });
  }

  /** Reads on every second, as long as other tabs have all places for streams. */
  #ask(turn: number): void {
    this.#asking = setTimeout(async () => {
      if (turn !== this.#turn) return;
      try {
        const page = await get<EventPage>(`/v1/tasks/${encodeURIComponent(this.#id)}/events`, { query: { after: this.log.last, limit: 1000 } });
        if (turn !== this.#turn) return;
        for (const e of page.items) this.#take(e);
        if (this.#over() && page.items.length < 1000) {
          this.line = { state: "ended" };
          return this.#ended();
        }
        this.line = { state: "open" };
      } catch {
        const since = this.line.state === "cut" ? this.line.since : Date.now();
        this.line = { state: "cut", since, retryAt: Date.now() + 1000 };
      }
      if (turn === this.#turn) this.follow();
    }, 1000);
  }

  #over = (): boolean => ended(this.log.fold.status || undefined);

  /** Gives up the stream, and its place. */
  #letGo(): void {
    this.#turn++;
    clearTimeout(this.#asking);
    this.#stream?.close();
    this.#stream = null;
    this.#free?.();
    this.#free = null;
  }
  #turn = 0;
  #asking: ReturnType<typeof setTimeout> | undefined;
  #free: (() => void) | null = null;

  now(): void {
    this.#stream?.now();
  }

  close(): void {
    this.#closed = true;
    document.removeEventListener("visibilitychange", this.#seen);
    clearTimeout(this.#rest);
    this.#letGo();
  }

  #take(e: TaskEvent): "taken" | "old" | "gap" {
    const what = this.log.add(e);
    if (what === "taken") {
      this.ruler.add(e);
      if (!this.#due) {
        this.#due = true;
        const draw = (): void => {
          this.#due = false;
          this.version++;
        };
        if (document.visibilityState === "visible") requestAnimationFrame(draw);
        else setTimeout(draw, 250);
      }
    }
    return what;
  }
}

/** What a task waits for is said by the server alone: the log does not know of workers. */
export const readTask = (id: string): Promise<Task> => get<Task>(`/v1/tasks/${encodeURIComponent(id)}`);
