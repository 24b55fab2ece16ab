import { part, whole } from "../api/client";

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

/** Where a file is fetched from, by whoever is signed in. */
export const outputPath = (id: string, o: { name: string }): string => `/v1/tasks/${part(id)}/outputs/${part(o.name)}`;

/** Hands over a text as a file. */
export function save(name: string, type: string, parts: BlobPart[]): void {
  const url = URL.createObjectURL(new Blob(parts, { type }));
  const a = document.createElement("a");
  a.href = url;
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
