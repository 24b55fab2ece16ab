import { get, part, whole } from "../api/client";
import { count, many } from "../words";

/** One thing that an agent was given of a file. Numbers are 0 where they do not apply. */
export interface GivenPart {
  as: "text" | "table" | "picture" | "link" | "nothing";
  name: string;
  chars: number;
  tokens: number;
  pages: number;
  rows: number;
  columns: number;
  width: number;
  height: number;
  why: string;
}

/** A file of a task, and what its agent was given of it. */
export interface GivenFile {
  id: string;
  name: string;
  size: number;
  content_type: string;
  state: "waiting" | "given" | "failed" | "unread";
  reason: string;
  given: GivenPart[];
}

export interface GivenText { page: number; pages: number; text: string; cut: boolean }
export interface GivenTable { page: number; pages: number; name: string; columns: string[]; rows: string[][] }

export const readGiven = (id: string): Promise<GivenFile[]> => whole<GivenFile>(`/v1/tasks/${part(id)}/files`, { limit: 100 });

const path = (task: string, f: GivenFile, what: string): string => `/v1/tasks/${part(task)}/files/${part(f.id)}/${what}`;
export const readText = (task: string, f: GivenFile, page: number): Promise<GivenText> => get<GivenText>(path(task, f, "text"), { query: { page } });
export const readTable = (task: string, f: GivenFile, page: number): Promise<GivenTable> => get<GivenTable>(path(task, f, "table"), { query: { page } });
/** Where a picture is that the server has made for the agent. */
export const picturePath = (task: string, f: GivenFile, page: number): string => `${path(task, f, "picture")}?page=${page}`;

export type GivenFace = "table" | "text" | "picture";

/** As what a file can be looked at, the best first. */
export const givenFaces = (f: GivenFile): GivenFace[] => (["table", "picture", "text"] as const).filter((as) => f.given.some((p) => p.as === as));

/** What an agent was given of a file, in words; the second is what it was not given. */
export function givenWords(f: GivenFile): { given: string; not: string } {
  if (f.state === "failed") return { given: "", not: `Could not be read: ${f.reason}` };
  if (f.state === "waiting") return { given: "The agent has not read it yet", not: "" };
  if (f.state === "unread") return { given: "The turn ended before it was read", not: "" };
  if (f.given.some((p) => p.as === "link")) return { given: "Given as a link: the agent reads it itself", not: "" };
  const given = f.given.filter((p) => p.as !== "nothing").map(partWords);
  const not = f.given.map((p) => p.why).filter(Boolean).join("; ");
  return { given: given.slice(0, 4).join("; ") + (given.length > 4 ? `; ${count(given.length - 4)} more` : ""), not: given.length ? not : `Not given${not && `. ${not}`}` };
}

function partWords(p: GivenPart): string {
  const pages = p.pages ? `${many(p.pages, "page")}, ` : "";
  const name = p.name ? `${p.name}: ` : "";
  if (p.as === "table") return `${name}${count(p.rows)} rows × ${many(p.columns, "column")}`;
  if (p.as === "picture") return `${name}${pages}picture of ${count(p.width)} × ${count(p.height)}`;
  return `${name}${pages}${many(p.chars, "character")} of text${p.tokens ? `, about ${many(p.tokens, "token")}` : ""}`;
}
