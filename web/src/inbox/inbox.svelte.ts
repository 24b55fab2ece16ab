import { faultOf, type Fault } from "../api/client";
import type { Row } from "../api/types";
import { atMost } from "../live/live.svelte";
import { openOnes, urgent, type Approval } from "./approvals";

/** What waits for people, of all tasks: the badge and the inbox. */
class Inbox {
  open = $state.raw<Approval[]>([]);
  read = $state(false);
  fault = $state.raw<Fault | null>(null);

  /** Is told of rows: a task that begins or ends to wait for somebody changes what is open. */
  heard(r: Row): void {
    const asks = r.waiting?.reason === "approval" || r.waiting?.reason === "person";
    if (asks !== this.open.some((a) => a.task_id === r.id)) this.#again();
  }
  #again = atMost(1000, () => void this.load());

  async load(): Promise<void> {
    try {
      this.open = urgent((await openOnes()).items);
      this.fault = null;
      this.read = true;
    } catch (err) {
      this.fault = faultOf(err);
    }
  }
}

export const inbox = new Inbox();
