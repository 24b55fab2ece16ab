import { faultOf, type Fault } from "../api/client";
import { openOnes, urgent, type Approval } from "./approvals";

/** What waits for people, of all tasks: the badge and the inbox. */
class Inbox {
  open = $state.raw<Approval[]>([]);
  read = $state(false);
  fault = $state.raw<Fault | null>(null);

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
