import type { Row } from "../api/types";

/** The rows of a list that changes while somebody looks at it. */
export interface Rows {
  /** What is shown, in its order. */
  shown: Row[];
  /** Tasks that have come while the list held still, newest first. */
  fresh: Row[];
  /** Those of the shown that do not belong there any more, and stay until the list may move. */
  left: ReadonlySet<string>;
}

export const empty: Rows = { shown: [], fresh: [], left: new Set() };

/**
 * Takes the newest state of a row. A row that is shown changes in its place; a new one comes in at
 * the top, unless the list is `held` (something is ticked or open, or it has been scrolled): then it waits
 * in `fresh`. A state that is older than what is known is left out.
 */
export function put(rows: Rows, row: Row, held: boolean): Rows {
  const at = rows.shown.findIndex((r) => r.id === row.id);
  if (at >= 0) {
    if (older(row, rows.shown[at] as Row)) return rows;
    return { ...rows, shown: rows.shown.with(at, row), left: rows.left.has(row.id) ? new Set([...rows.left].filter((id) => id !== row.id)) : rows.left };
  }
  const waits = rows.fresh.findIndex((r) => r.id === row.id);
  if (waits >= 0) {
    if (older(row, rows.fresh[waits] as Row)) return rows;
    return { ...rows, fresh: rows.fresh.with(waits, row) };
  }
  const last = rows.shown.at(-1);
  if (last && row.created_at < last.created_at) return rows; // belongs to a part that was not read
  return held ? { ...rows, fresh: insert(rows.fresh, row) } : { ...rows, shown: insert(rows.shown, row) };
}

/** Takes away a task that is gone or does not match any more. While the list is held it stays, greyed by its caller. */
export function drop(rows: Rows, id: string, held: boolean, row?: Row): Rows {
  const fresh = rows.fresh.filter((r) => r.id !== id);
  if (!rows.shown.some((r) => r.id === id)) return fresh.length === rows.fresh.length ? rows : { ...rows, fresh };
  if (!held) return { ...rows, fresh, shown: rows.shown.filter((r) => r.id !== id) };
  return { shown: row ? rows.shown.map((r) => (r.id === id ? row : r)) : rows.shown, fresh, left: new Set([...rows.left, id]) };
}

/** Shows what has come meanwhile, and lets go what has left. */
export function release(rows: Rows): Rows {
  const shown = rows.shown.filter((r) => !rows.left.has(r.id));
  return { ...empty, shown: rows.fresh.reduceRight(insert, shown) };
}

/** Takes over a list that was read: new rows only as `put` would, rows that it does not have any more stay out. */
export function merge(rows: Rows, read: Row[], held: boolean): Rows {
  if (!held || rows.shown.length === 0) return { ...empty, shown: read };
  let next = rows;
  for (const row of read.toReversed()) next = put(next, row, true);
  return next;
}

/** Adds a further part of the list below. */
export function append(rows: Rows, more: Row[]): Rows {
  const known = new Set(rows.shown.map((r) => r.id));
  return { ...rows, shown: [...rows.shown, ...more.filter((r) => !known.has(r.id))] };
}

const older = (a: Row, b: Row): boolean => a.updated_at < b.updated_at || (a.updated_at === b.updated_at && (a.last_event_seq ?? 0) < (b.last_event_seq ?? 0));

function insert(list: Row[], row: Row): Row[] {
  const at = list.findIndex((r) => r.created_at < row.created_at || (r.created_at === row.created_at && r.id < row.id));
  return at < 0 ? [...list, row] : list.toSpliced(at, 0, row);
}
