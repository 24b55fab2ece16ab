import { get } from "../api/client";
import type { Agent, Worker } from "../api/types";

/** The workers that are there. */
export const readWorkers = async (): Promise<Worker[]> => present((await get<{ items: Worker[] }>("/v1/workers")).items);

export const present = (all: Worker[]): Worker[] => all.filter((w) => w.connected);

/** The workers of an agent. */
export const of = (all: Worker[] | null, agent: string): Worker[] => (all ?? []).filter((w) => w.agents.includes(agent));

/** Whether tasks of an agent need workers; the others are done in the server. */
export const needsWorkers = (a: Agent): boolean => !a.runtime || a.runtime === "worker";

export const slotsOf = (all: Worker[]): number => all.reduce((n, w) => n + w.slots, 0);

/** How many tasks they have in their hands. */
export const atWork = (all: Worker[]): number => all.reduce((n, w) => n + w.at_work, 0);
