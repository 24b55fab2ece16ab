import { get, part } from "../api/client";
import type { Page, Row } from "../api/types";

/** The sub-tasks of a task, and those of theirs that were asked for. What is told of them is put in. */
export class Tree {
  #rows = $state.raw<ReadonlyMap<string, Row>>(new Map());
  #known = $state.raw<ReadonlySet<string>>(new Set());

  /** Those of which sub-tasks were told that were not asked for. */
  #more = $state.raw<ReadonlySet<string>>(new Set());

  /** Reads the sub-tasks of a task: up to 200 of them. */
  async read(of: string): Promise<void> {
    const page = await get<Page<Row>>(`/v1/tasks/${part(of)}/children`, { query: { view: "row", per_page: 200 } });
    const rows = new Map(this.#rows);
    for (const r of page.items) rows.set(r.id, r);
    this.#rows = rows;
    this.#known = new Set([...this.#known, of]);
  }

  /** Whether a task has sub-tasks that are not shown. */
  folded(r: Row): boolean {
    return !this.#known.has(r.id) && ((r.children?.total ?? 0) > 0 || this.#more.has(r.id));
  }

  get size(): number {
    return this.#rows.size;
  }

  get all(): Row[] {
    return [...this.#rows.values()];
  }

  /** Takes the newest state of a row that belongs here. */
  heard(r: Row): void {
    const was = this.#rows.get(r.id);
    const parent = r.parent_task_id ?? "";
    if (!was && this.#rows.has(parent) && !this.#known.has(parent)) this.#more = new Set([...this.#more, parent]);
    if (was ? was.last_event_seq > r.last_event_seq : !this.#known.has(parent)) return;
    this.#rows = new Map(this.#rows).set(r.id, r);
  }

  /** The rows below a task, each behind its parent and the older ones first, and how far below. */
  below(id: string, depth = 1): { row: Row; depth: number }[] {
    const own = this.all.filter((r) => r.parent_task_id === id).sort((a, b) => a.created_at.localeCompare(b.created_at));
    return own.flatMap((row) => [{ row, depth }, ...(depth < 30 ? this.below(row.id, depth + 1) : [])]);
  }
}
