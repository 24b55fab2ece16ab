import { part, refusal, send, whole, withPass } from "../api/client";

/** A file that an attempt has written. */
export interface Output {
  name: string;
  file_id: string;
  size: number;
  content_type: string;
  turn: number;
  event_id: number;
  time: string;
}

export const readOutputs = (id: string): Promise<Output[]> => whole<Output>(`/v1/tasks/${part(id)}/outputs`, { limit: 100 });

/** Where a file is read from. */
const pathOf = (id: string, o: { name: string }): string => `/v1/tasks/${part(id)}/outputs/${part(o.name)}`;

/** Where a link fetches a file from, for whoever is signed in, or has a token for the task. */
export const outputPath = (id: string, o: { name: string }): string => withPass(pathOf(id, o));

export async function readOutput(id: string, o: Output): Promise<string> {
  const res = await send("GET", pathOf(id, o));
  if (!res.ok) throw await refusal(res);
  return res.text();
}

/** Hands over a text as a file. */
export function save(name: string, type: string, parts: BlobPart[]): void {
  const url = URL.createObjectURL(new Blob(parts, { type }));
  const a = document.createElement("a");
  a.href = url;
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** How large a file is at most that is looked at here. In bytes. */
const largest = 5_000_000;

/** Whether a file is text that can be looked at here: pictures are those that the server has made, and no others. */
export const readable = (o: Output): boolean =>
  o.size > 0 && o.size <= largest && (/^text\/|^application\/(json|x-ndjson|xml|yaml|toml)\b/.test(o.content_type) || /\.(csv|tsv|json|ndjson|jsonl|md|txt|log|ya?ml|xml|html?)$/i.test(o.name));
