import { get, query } from "../api/client";
import { plain } from "../words";

/** Something that is wrong now. */
export interface Wrong {
  kind: string;
  severity: "error" | "warning";
  message: string;
  help: string;
  since: string | null;
  count: number;
  count_is_capped: boolean;
  filter: { agent_id?: string; worker_id?: string; waiting_reason?: string; status?: string[] } | null;
}

export const readTrouble = async (): Promise<Wrong[]> => (await get<{ items: Wrong[] }>("/v1/trouble")).items;

/** Where the tasks are listed that it is about, "" for nowhere. */
export const listOf = (w: Wrong): string =>
  w.filter ? "/ui/tasks" + query({ agent: w.filter.agent_id, worker: w.filter.worker_id, why: w.filter.waiting_reason, status: w.filter.status }) : "";

/** What it says, as a sentence. */
export const said = (text: string): string => plain(text.charAt(0).toUpperCase() + text.slice(1));
