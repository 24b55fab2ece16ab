import { get, once, part, post } from "../api/client";
import type { Task } from "../api/types";

/** What a task was asked and under which terms, as far as the server tells it: secrets it does not. */
const terms = [
  "agent_id", "agent_version", "title", "tags", "source", "output_format", "output_schema", "expected_output", "additional_context",
  "instructions_override", "payload_extension", "triggering_agent_id", "mcp_servers", "client_tools", "think_mode", "events_streaming",
  "disable_attachment_injection", "llm_model_provider", "llm_model_name", "llm_reasoning_effort", "harness_cli", "permission_mode",
  "tool_call_limit", "max_attempts", "timeout", "expires_in", "priority", "budget",
] as const;

/** Whose tasks are done by a program of `errand run`, which has gone with its run. */
const programAgent = "program";

/**
 * The body that asks for the same once more: by itself and not below another, now and not when that one was to begin, and by
 * whichever worker there is. Files that a Python client has attached are files.
 */
export function sameAgain(t: Task): Record<string, unknown> {
  if (t.agent_id === programAgent) throw new Error("It was done by a program that has gone with its run: type errand run again, with the program behind --");
  const told = t as unknown as Record<string, unknown>;
  const { text, files, user } = t.input;
  const attached = (t.input as { attachments?: { url: string }[] | null }).attachments ?? [];
  const body: Record<string, unknown> = { input: filled({ text: text ?? "", files: [...(files ?? []), ...attached.map((a) => a.url)], user }) };
  for (const name of terms) body[name] = told[name];
  return filled(body);
}

/** Without members that say nothing. */
const filled = (o: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(o).filter(([, v]) => v !== null && v !== undefined && v !== "" && !(Array.isArray(v) && v.length === 0)));

/** Runs a task once more, as another task. */
export const runAgain = async (id: string): Promise<Task> => post<Task>("/v1/tasks", sameAgain(await get<Task>(`/v1/tasks/${part(id)}`)), { headers: { "Idempotency-Key": once() } });
