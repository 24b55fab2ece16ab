/** What the API answers, as far as the pages read it. */

export const statuses = ["pending", "executing", "paused", "completed", "failed", "error", "stopped"] as const;
export type Status = (typeof statuses)[number];

export const ended = (s: Status | undefined): boolean =>
  s === "completed" || s === "failed" || s === "error" || s === "stopped";

export interface Waiting {
  reason: string;
  message: string;
  worker_id: string | null;
  until: string | null;
  last_seen: string | null;
  ahead: number;
  busy: number;
}

export interface Stop {
  requested_at: string;
  by: string | null;
  confirmed_at: string | null;
  abandoned_at: string | null;
}

export interface Tokens {
  prompt_tokens: number;
  completion_tokens: number;
  cache_read_tokens?: number;
  cache_write_tokens?: number;
}

export interface ResultCheck {
  state: "valid" | "repaired" | "invalid";
  rounds: number;
  errors: string[];
}

export interface Plan {
  enabled: boolean;
  tasks: { id: string; title: string; completed: boolean }[];
}

export interface Input {
  text: string | null;
  files: string[] | null;
  user: { id?: string; email?: string; first_name?: string } | null;
}

export interface Task {
  id: string;
  agent_id: string;
  agent_version: string | null;
  organization_id: string;
  owner?: string;
  group?: string;
  turn: number;
  input: Input;
  status: Status;
  end_reason: string | null;
  internal_status: string | null;
  title: string | null;
  result: string | null;
  created_at: string;
  updated_at: string;
  started_at: string | null;
  paused_at: string | null;
  finished_at: string | null;
  waiting: Waiting | null;
  stop: Stop | null;
  last_event_seq: number;
  attempt: number;
  execution_attempts: number;
  max_attempts: number;
  worker_id: string | null;
  priority: number;
  run_at: string | null;
  timeout: number;
  expires_in: number;
  tags: string[];
  tokens: Tokens | null;
  used_tools: string[];
  duration: number;
  adjusted: string[];
  result_check: ResultCheck | null;
  parent_execution: string | null;
  sub_executions: string[];
  source: string | null;
  output_format: string | null;
  output_schema: unknown;
  expected_output: string | null;
  instructions_override: string | null;
  deep_planning: Plan | null;
  llm_model_name: string | null;
}

/** A task as a list shows it (`view=row`). */
export interface Row {
  id: string;
  agent_id: string;
  status: Status;
  internal_status: string | null;
  parent_task_id: string | null;
  user_id: string | null;
  created_at: string;
  updated_at: string;
  title: string | null;
  prompt: string | null;
  tags: string[];
  turn: number;
  attempt: number;
  max_attempts: number;
  started_at: string | null;
  finished_at: string | null;
  end_reason: string | null;
  waiting: Waiting | null;
  stop: Stop | null;
  tokens: Tokens | null;
  budget?: { tokens?: number } | null;
  worker_id: string | null;
  created_by: string | null;
  result_bytes: number | null;
  result_check: ResultCheck | null;
  children: { total: number; open: number } | null;
  plan: { done: number; total: number; now: string | null } | null;
  last_text: string | null;
  failure: string;
  approval: { id: string; kind: "approval" | "question"; title: string; deadline: string | null } | null;
  last_event_seq: number;
}

/** What an attempt asks of people, and what came of it. */
export interface Approval {
  id: string;
  task_id: string;
  agent_id: string;
  seq: number;
  kind: "approval" | "question";
  status: "open" | "answered" | "expired" | "closed";
  title: string;
  message: string;
  tool_name: string;
  payload: unknown;
  schema: unknown;
  default: { answer?: string } | null;
  deadline: string | null;
  approvers: string[] | null;
  created_at: string;
  answered: { by: string; at: string; answer: "approve" | "decline"; value: unknown; note: string; by_default: boolean } | null;
}

/** Somebody who takes tasks. */
export interface Worker {
  id: string;
  agents: string[];
  kind: "fenced" | "python";
  node: string;
  address: string;
  /** How many tasks it can have at a time; 0 while that is not known. */
  slots: number;
  /** How many it has, and the first of them. */
  at_work: number;
  tasks: string[];
  /** It takes nothing more now. */
  busy: boolean;
  connected: boolean;
  since: string;
  last_heard: string | null;
  lost_24h: number;
}

export interface TaskEvent {
  id: number;
  type: string;
  task_id: string;
  turn: number;
  time: string;
  author: { attempt?: number; by?: string };
  data: unknown;
}

export interface Agent {
  id: string;
  version: number;
  name: string;
  runtime?: string;
  command?: string;
  description?: string;
  instructions?: { role?: string[]; goal?: string[]; general?: string };
  model_provider?: string;
  model_name?: string;
  tools?: string[];
  output_format?: string;
  output_schema?: unknown;
  lease_seconds?: number;
  max_attempts?: number;
  created_at: string;
  updated_at: string;
}

export interface Key {
  id: string;
  name: string;
  role: "admin" | "user" | "worker";
  agents: string[] | null;
  sees?: string;
  group?: string;
  /** As whom somebody acts who signs in with the provider; empty for any other key. */
  person?: string;
  created_at: string;
  /** When it ends by itself; null for never. */
  expires_at: string | null;
  revoked_at: string | null;
  last_used_at?: string | null;
  created_by: string;
  key?: string;
}

export interface Session {
  key: { id: string; name: string; role: "admin" | "user" | "worker"; agents?: string[] | null };
  organization_id: string;
  expires_at: string;
  version: string;
  /** As whom a person acts who has signed in with the provider; empty for a key. */
  user: string;
  /** Where to go after signing out; empty for nowhere. */
  sign_out: string;
  ui: string;
}

/** A provider with which people sign in. */
export interface Way {
  name: string;
  path: string;
  problem: string;
}

export interface Page<T> {
  items: T[];
  next_cursor: string | null;
  total?: number;
  total_is_capped?: boolean;
}

/** A place in a task that has the words of a search. */
export interface Found {
  task_id: string;
  agent_id: string;
  status: Status;
  title: string | null;
  prompt: string;
  created_at: string;
  part: "title" | "prompt" | "result" | "event";
  event_id: number;
  snippet: { text: string; hit: boolean }[];
}

export interface Counts {
  by_status: Partial<Record<Status, number>>;
  needs_you: number;
  next_deadline: string | null;
}
