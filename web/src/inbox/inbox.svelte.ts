import { faultOf, type Fault } from "../api/client";
import type { Approval } from "../api/types";
import { live } from "../live/live.svelte";
import { answeredOnes, openOnes, urgent } from "./approvals";

/** How many of those that were answered are shown. */
const most = 20;

/** What people are asked, of all tasks: the badge, the inbox, and what lists show of it. */
class Inbox {
  open = $state.raw<Approval[]>([]);
  /** Those that were answered lately. */
  answered = $state.raw<Approval[]>([]);
  read = $state(false);
  fault = $state.raw<Fault | null>(null);
  /** Grows with each that was told of: what is read meanwhile may be older. */
  #told = 0;

  /** Follows what is asked and answered; answers what ends it. */
  watch(): () => void {
    return live.watch({ again: () => void this.load(), approval: (a) => this.heard(a) });
  }

  /** Takes the newest state of one. */
  heard(a: Approval): void {
    this.#told++;
    const others = this.open.filter((x) => x.id !== a.id);
    this.open = a.status === "open" ? urgent([...others, a]) : others;
    const past = this.answered.filter((x) => x.id !== a.id);
    this.answered = a.status === "answered" ? [a, ...past].slice(0, most) : past;
  }

  async load(): Promise<void> {
    const told = this.#told;
    try {
      const [open, answered] = await Promise.all([openOnes(), answeredOnes(most)]);
      if (told !== this.#told) return this.load();
      this.open = urgent(open.items);
      this.answered = answered.items;
      this.fault = null;
      this.read = true;
    } catch (err) {
      this.fault = faultOf(err);
    }
  }

  /** What is asked in a task first; undefined for nothing, and for one that is beyond those that were read. */
  of(task: string): Approval | undefined {
    return this.open.find((a) => a.task_id === task);
  }
}

export const inbox = new Inbox();
