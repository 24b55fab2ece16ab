import { get, part, post } from "../api/client";
import type { Approval, Page } from "../api/types";

export const openOnes = (): Promise<Page<Approval>> => get<Page<Approval>>("/v1/approvals", { query: { status: "open", limit: 100 } });
export const answeredOnes = (limit: number): Promise<Page<Approval>> => get<Page<Approval>>("/v1/approvals", { query: { status: "answered", limit } });
export const readApproval = (id: string): Promise<Approval> => get<Approval>(`/v1/approvals/${part(id)}`);
export const ofTask = (id: string): Promise<Page<Approval>> => get<Page<Approval>>(`/v1/tasks/${part(id)}/approvals`, { query: { limit: 100 } });
export const answer = (id: string, reply: { answer: "approve" | "decline"; value?: unknown; note?: string }): Promise<Approval> =>
  post<Approval>(`/v1/approvals/${part(id)}/answer`, reply);

/** The next deadline first, then those without one, the oldest first. */
export const urgent = (list: Approval[]): Approval[] =>
  list.toSorted((a, b) => (a.deadline ?? "9").localeCompare(b.deadline ?? "9") || a.created_at.localeCompare(b.created_at));

/** What somebody is asked, in one line. */
export const headline = (a: Approval): string => (a.title || a.message.split("\n", 1)[0] || a.tool_name || (a.kind === "question" ? "A question" : "An approval")).slice(0, 200);

export interface Field {
  name: string;
  label: string;
  kind: "text" | "number" | "integer" | "boolean" | "choice";
  choices: (string | number)[];
  required: boolean;
  hint: string;
}

/**
 * The form of a schema: an object of plain members, or one plain value (its field has no name). Null for what
 * needs JSON to be written.
 */
export function formOf(schema: unknown): Field[] | null {
  if (!schema || typeof schema !== "object") return null;
  const s = schema as Record<string, unknown>;
  if (s.type === "object" && s.properties && typeof s.properties === "object") {
    const required = Array.isArray(s.required) ? (s.required as unknown[]) : [];
    const fields = Object.entries(s.properties as Record<string, unknown>).map(([name, v]) => fieldOf(name, v, required.includes(name)));
    return fields.every((f) => f !== null) && fields.length > 0 ? (fields as Field[]) : null;
  }
  const one = fieldOf("", schema, true);
  return one && [one];
}

function fieldOf(name: string, schema: unknown, required: boolean): Field | null {
  if (!schema || typeof schema !== "object") return null;
  const s = schema as Record<string, unknown>;
  const base = { name, label: typeof s.title === "string" ? s.title : name || "Answer", required, hint: typeof s.description === "string" ? s.description : "", choices: [] };
  if (Array.isArray(s.enum) && s.enum.every((x) => typeof x === "string" || typeof x === "number")) return { ...base, kind: "choice", choices: s.enum as (string | number)[] };
  if (s.type === "string") return { ...base, kind: "text" };
  if (s.type === "number" || s.type === "integer" || s.type === "boolean") return { ...base, kind: s.type };
  return null;
}

/** The value that a filled form stands for; a field that was left empty and need not be there is left out. */
export function valueOf(fields: Field[], filled: Record<string, string | number | boolean | undefined>): unknown {
  const out: Record<string, unknown> = {};
  for (const f of fields) {
    const v = filled[f.name];
    if (f.kind === "boolean") out[f.name] = v === true;
    else if (v === undefined || v === "" || v === null) {
      if (f.required && f.kind === "text") out[f.name] = "";
    } else out[f.name] = f.kind === "number" || f.kind === "integer" ? Number(v) : v;
  }
  return fields.length === 1 && fields[0]?.name === "" ? out[""] : out;
}
