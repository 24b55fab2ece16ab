import { faultOf, get } from "../api/client";

/** A worker that is connected, or was heard lately. */
export interface Worker {
  id: string;
  agents: string[];
  kind: string;
  client?: string | null;
  host?: string | null;
  slots: number;
  busy: number;
  connected?: boolean;
  last_heard?: string | null;
  since?: string | null;
  draining?: boolean;
}

let missing = false;

/** The workers, or null of a server that does not tell of them. */
export async function readWorkers(): Promise<Worker[] | null> {
  if (missing) return null;
  try {
    const all = (await get<{ items: Worker[] }>("/v1/workers")).items;
    return all.filter((w) => w.connected !== false);
  } catch (err) {
    const f = faultOf(err);
    if (f.status === 404 || f.status === 403) {
      missing = true;
      return null;
    }
    throw err;
  }
}
