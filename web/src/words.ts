import type { Row, Status, Task, Tokens } from "./api/types";

/** A status in the words of the pages. */
export const statusWord: Record<Status | "needs", string> = {
  pending: "Waiting",
  executing: "Running",
  paused: "Paused",
  completed: "Completed",
  failed: "Failed",
  error: "Error",
  stopped: "Stopped",
  needs: "Needs you",
};

/** Why a turn ended, in words. */
export const endWords: Record<string, string> = {
  completed: "Completed",
  failed: "The agent could not do it",
  schema_mismatch: "Result does not match its schema",
  budget: "Budget used up",
  worker_error: "Worker error",
  worker_lost: "Worker lost",
  timeout: "Ran out of time",
  expired: "Waited for too long",
  stopped: "Stopped",
};

const grouped = new Intl.NumberFormat("en-US");
/** A number with its thousands apart. */
export const count = (n: number): string => grouped.format(n);

/** One of something, or several. */
export const many = (n: number, one: string, more = one + "s"): string => `${count(n)} ${n === 1 ? one : more}`;

/** A size in bytes, as people say it. */
export function size(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  for (const unit of ["kB", "MB", "GB"]) {
    bytes /= 1000;
    if (bytes < 999.95) return `${bytes < 10 ? bytes.toFixed(1) : Math.round(bytes)} ${unit}`;
  }
  return `${(bytes / 1000).toFixed(1)} TB`;
}

/** A length of time in ms, as people say it. */
export function span(ms: number): string {
  if (!Number.isFinite(ms)) return "";
  ms = Math.max(0, ms);
  if (ms < 950) return `${Math.round(ms)} ms`;
  if (ms < 9_950) return `${(ms / 1000).toFixed(1)} s`;
  const s = Math.round(ms / 1000);
  if (s < 60) return `${s} s`;
  const two = (n: number): string => String(n).padStart(2, "0");
  if (s < 3600) return `${Math.floor(s / 60)} m ${two(s % 60)} s`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${two(Math.floor((s % 3600) / 60))} m`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
}

/** How long ago, in one word and a unit. */
export function age(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} m`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86_400)} d`;
}

export const tokensOf = (t: Tokens | null | undefined): number => (t ? t.prompt_tokens + t.completion_tokens : 0);

/** Makes marks visible that would turn the order of a text round, or hide a part of it. */
export function plain(text: string): string {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g, "\u25af");
}

/** The same for text within JSON, where such marks have a spelling. */
export const escaped = (text: string): string =>
  text.replace(/[\u007f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));

/** What people call a task: its title, or the first line of what was asked. */
export function titleOf(t: { title: string | null; prompt?: string | null; input?: { text: string | null }; id: string }): string {
  return plain(firstLine(t.title || t.prompt || t.input?.text || "").slice(0, 300)) || `Task ${t.id.slice(0, 13)}`;
}

export interface Why {
  tone: "" | "bad" | "warn" | "you";
  lead: string;
  more: string;
}

const why = (lead: string, more = "", tone: Why["tone"] = ""): Why => ({ tone, lead: plain(lead), more: plain(more) });

/** What a task does, or why it does not. The first thing that is there to say is said. */
export function whyOf(r: Row): Why {
  if (r.approval) return why(r.approval.title, r.approval.deadline ? "" : "no deadline", "you");
  switch (r.status) {
    case "pending":
      return waits(r);
    case "paused":
      return why(r.waiting?.message ? sentence(r.waiting.message) : "Paused", r.internal_status ?? "");
    case "executing":
      return runs(r);
    case "completed":
      return why(resultWords(r), r.internal_status ?? "");
    case "stopped":
      return stopped(r);
    default: {
      const lead = endWords[r.end_reason ?? ""] ?? statusWord[r.status];
      const attempts = r.max_attempts > 1 && r.attempt > 1 ? `${r.attempt} of ${r.max_attempts} attempts` : "";
      const tone = r.status === "error" ? "bad" : "warn";
      if (r.failure) return why(r.failure, attempts, tone);
      return why(lead, attempts || (r.end_reason === "schema_mismatch" ? r.result_check?.errors[0] : "") || (r.internal_status ?? ""), tone);
    }
  }
}

function waits(r: Row): Why {
  const w = r.waiting;
  if (!w) return why(r.attempt > 1 ? `attempt ${r.attempt} of ${r.max_attempts}` : "Waits for a worker", r.internal_status ?? "");
  const alone = w.reason === "no_worker" || w.reason === "pinned_worker_absent";
  return why(sentence(w.message), "", alone ? "warn" : "");
}

/** The last words of a text, without marks of Markdown and without half a word before them. */
export function lastWords(text: string): string {
  const bare = text.replace(/[*_`#|>]+/g, "").replace(/\s+/g, " ").trim();
  if (!bare) return "";
  return text.length < 120 || !bare.includes(" ") ? `\u201c${bare}\u201d` : `\u201c\u2026${bare.slice(bare.indexOf(" ") + 1)}\u201d`;
}

/** The first line of a text that says something. */
const firstLine = (text: string): string => text.trim().split("\n", 1)[0]?.trim() ?? "";

function runs(r: Row): Why {
  const said = lastWords(r.last_text ?? "");
  if (r.plan && r.plan.total > 0 && r.plan.now) return why(`Step ${r.plan.done + 1} of ${r.plan.total}: ${r.plan.now}`, said);
  if (r.internal_status) return why(r.internal_status, said);
  if (r.children && r.children.total > 0) return why(`${r.children.total - r.children.open} of ${many(r.children.total, "sub-task")} done`, said);
  if (r.attempt > 1) return why(`attempt ${r.attempt} of ${r.max_attempts}`, said);
  return said ? why(said) : why("At work", r.worker_id && r.worker_id !== "server" ? `on ${r.worker_id}` : "");
}

function stopped(r: Row): Why {
  const who = r.stop?.by ? `Stopped by ${r.stop.by.replace(/^key /, "")}` : "Stopped";
  if (r.stop?.abandoned_at) return why(who, "the worker never confirmed it", "warn");
  if (!r.worker_id) return why(who);
  if (r.stop?.confirmed_at) return why(who, `worker confirmed after ${span(Date.parse(r.stop.confirmed_at) - Date.parse(r.stop.requested_at))}`);
  return why(who, r.stop ? "not yet confirmed" : "");
}

function resultWords(r: Row): string {
  const bytes = r.result_bytes ? size(r.result_bytes) : "";
  if (r.result_check?.state === "valid") return `valid JSON${bytes && " \u00b7 " + bytes}`;
  if (r.result_check?.state === "repaired") return `valid JSON after ${many(r.result_check.rounds, "repair")}${bytes && " \u00b7 " + bytes}`;
  return bytes ? `Result of ${bytes}` : "Completed";
}

export const sentence = (words: string): string => words.charAt(0).toUpperCase() + words.slice(1);

/** How long a task has run: until its end, or until now. */
export function ranFor(t: { started_at: string | null; finished_at: string | null; status: Status }, now: number): number | null {
  if (!t.started_at) return null;
  return (t.finished_at ? Date.parse(t.finished_at) : now) - Date.parse(t.started_at);
}

/** A file's name out of its URL. */
export function fileName(url: string): string {
  try {
    return plain(decodeURIComponent(new URL(url, "http://x").pathname.split("/").pop() || url));
  } catch {
    return plain(url);
  }
}
