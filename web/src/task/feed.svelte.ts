import { get, part } from "../api/client";
import { ended, type Row, type Task, type TaskEvent } from "../api/types";
import { live } from "../live/live.svelte";
import { Log } from "../live/log";
import { OutlineOf } from "./outline";
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
  outline = new OutlineOf();
  /** Grows with each frame in which something has come. */
  version = $state(0);
  /** Whether all that was there when the page was opened has been read. */
  whole = $state(false);
  /** Whether what comes is told. */
  told = $state(false);
  /** The task was deleted. */
  gone = $state(false);
  #id: string;
  #closed = false;
  #stop = (): void => {};
  #due = false;
  /** How long nothing is drawn after what took long, so that the page does other things, too. In ms. */
  #rest = 0;
  #ended: () => void;

  constructor(id: string, ended: () => void) {
    this.#id = id;
    this.#ended = ended;
  }

  /** Reads what is there, then follows. Throws what the first read throws. */
  async open(): Promise<void> {
    for (;;) {
      const page = await get<EventPage>(`/v1/tasks/${part(this.#id)}/events`, { query: { after: this.log.last, turns: this.log.last ? null : "all", limit: 1000 } });
      if (this.#closed) return;
      for (const e of page.items) this.#take(e);
      if (page.items.length < 1000 && (page.done || page.items.length === 0)) break;
    }
    this.whole = true;
    this.version++; // what is there is shown now, and can be gone to
    this.follow();
  }

  /** Follows from where the log ends. */
  follow(): void {
    if (this.#closed) return;
    this.#stop();
    this.told = true;
    this.#stop = live.follow(this.#id, this.log.last, {
      event: (e) => {
        if (this.#take(e) === "gap") this.#reread();
      },
      end: (how) => {
        this.told = false;
        if (how === "again") return this.#reread();
        this.gone = how === "gone";
        this.#ended();
      },
    });
  }

  /** Takes note of the task's row: one that tells of more than an ended log has a new turn, or a late write. */
  heard(r: Row): void {
    if (this.whole && !this.told && !this.gone && r.last_event_seq > this.log.last) this.follow();
  }

  /** Whether the turn is over and told of to its end. */
  get over(): boolean {
    return !this.told && ended(this.log.fold.status || undefined);
  }

  close(): void {
    this.#closed = true;
    this.#stop();
  }

  /** The task was deleted, and its id is used again; or something was lost on the way. */
  #reread(): void {
    this.#stop();
    this.log = new Log();
    this.ruler = new RulerOf();
    this.outline = new OutlineOf();
    this.version++;
    void this.open().catch(() => setTimeout(() => this.#reread(), 2000));
  }

  #take(e: TaskEvent): "taken" | "old" | "gap" {
    const what = this.log.add(e);
    if (what === "taken") {
      this.ruler.add(e);
      this.outline.add(e);
      if (!this.#due) {
        this.#due = true;
        const draw = (): void => {
          this.#due = false;
          const at = performance.now();
          this.version++;
          setTimeout(() => (this.#rest = Math.min(2000, 2 * (performance.now() - at))));
        };
        if (document.visibilityState !== "visible") setTimeout(draw, 250);
        else if (this.#rest > 50) setTimeout(draw, this.#rest);
        else requestAnimationFrame(draw);
      }
    }
    return what;
  }
}

/** What a task waits for is said by the server alone: the log does not know of workers. */
export const readTask = (id: string): Promise<Task> => get<Task>(`/v1/tasks/${part(id)}`);

/** The top of the tree that a task is in. */
export async function rootOf(t: Task): Promise<string> {
  if (!t.parent_execution) return t.id;
  const rows = (await get<{ items: (Row & { root_id?: string })[] }>("/v1/tasks", { query: { view: "row", parent_task_id: t.parent_execution, per_page: 200 } })).items;
  return rows.find((r) => r.id === t.id)?.root_id ?? t.id;
}
