import { expect, test } from "vitest";
import type { Task } from "../api/types";
import { sameAgain } from "./again";

test("a task that is run again is asked the same, as a task of its own", () => {
  const t = {
    id: "t", agent_id: "x", agent_version: "3", status: "failed", result: "no", title: "T", tags: ["q3"], parent_execution: "p", run_at: "2026-01-01T00:00:00Z",
    input: { text: "Do it", files: ["/v1/files/f"], user: null }, output_schema: null, timeout: 60, priority: 0, worker_id: "w-last", pinned_worker_id: null, budget: { tokens: 5 },
    user_tokens: null, run_locally: false,
  } as unknown as Task;
  expect(sameAgain(t)).toEqual({
    input: { text: "Do it", files: ["/v1/files/f"] }, agent_id: "x", agent_version: "3", title: "T", tags: ["q3"], timeout: 60, priority: 0, budget: { tokens: 5 },
  });
  expect(sameAgain({ ...t, pinned_worker_id: "w-9" } as unknown as Task).worker_id).toBeUndefined(); // it may have gone
  const attached = { ...t, input: { text: "Do it", files: [], attachments: [{ url: "/f/a.csv", name: "a.csv" }] } } as unknown as Task;
  expect(sameAgain(attached).input).toEqual({ text: "Do it", files: ["/f/a.csv"] });
  expect(() => sameAgain({ ...t, agent_id: "program" } as unknown as Task)).toThrow("gone with its run");
});
