import type { Page } from "./types";

/** An answer that is not what was asked for, in the server's words. */
export class Fault extends Error {
  constructor(
    /** The HTTP status; 0 when the server could not be reached. */
    readonly status: number,
    readonly code: string,
    message: string,
    readonly field = "",
    readonly requestId = "",
  ) {
    super(message);
  }
  /** Nothing is wrong with the request: the same one may succeed later. */
  get passing(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** Says what went wrong, whatever was thrown. */
export function faultOf(err: unknown): Fault {
  if (err instanceof Fault) return err;
  return new Fault(-1, "internal", err instanceof Error ? err.message : String(err));
}

type Values = Record<string, string | number | boolean | string[] | null | undefined>;

/** The query string of what is given, "" for nothing. A list stands as often as it is long. */
export function query(values: Values): string {
  const q = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (Array.isArray(value)) for (const one of value) q.append(name, one);
    else if (value !== undefined && value !== null && value !== "" && value !== false) q.set(name, String(value));
  }
  const text = q.toString();
  return text && "?" + text;
}

let whenSignedOut = (): void => {};

/** What is to happen when the server no longer knows this browser. */
export function onSignedOut(then: () => void): void {
  whenSignedOut = then;
}

export interface Asked {
  query?: Values;
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal | undefined;
}

let pass = "";

/** Asks everything from now on with a token that reads one task, and as nobody who may be signed in here. */
export function showPass(token: string): void {
  pass = token;
}

/** A path of the API for links and pictures, which show such a token as well. */
export const withPass = (path: string): string => (pass ? `${path}${path.includes("?") ? "&" : "?"}token=${part(pass)}` : path);

/** Sends a request and answers the response, whatever its status. */
export async function send(method: string, path: string, asked: Asked = {}): Promise<Response> {
  const form = asked.body instanceof FormData;
  try {
    return await fetch(withPass(path + query(asked.query ?? {})), {
      method,
      credentials: pass ? "omit" : "same-origin",
      cache: "no-store",
      signal: asked.signal ?? null,
      headers: { Accept: "application/json", ...(asked.body === undefined || form ? {} : { "Content-Type": "application/json" }), ...asked.headers },
      body: asked.body === undefined ? null : form ? (asked.body as FormData) : JSON.stringify(asked.body),
    });
  } catch (err) {
    if (asked.signal?.aborted) throw err;
    throw new Fault(0, "unavailable", "the server cannot be reached");
  }
}

/** What an answer says that is not a good one. */
export async function refusal(res: Response): Promise<Fault> {
  let told: { detail?: string; code?: string; field?: string; request_id?: string } = {};
  try {
    told = (await res.json()) as typeof told;
  } catch {
    // a proxy's own page: the status says enough
  }
  return new Fault(res.status, told.code ?? "", told.detail ?? res.statusText, told.field, told.request_id ?? res.headers.get("X-Request-Id") ?? "");
}

/** Calls the API. Throws a Fault for every answer that is not good. */
export async function call<T>(method: string, path: string, asked: Asked = {}): Promise<T> {
  const res = await send(method, path, asked);
  if (!res.ok) {
    if (res.status === 401 && path !== "/v1/session") whenSignedOut();
    throw await refusal(res);
  }
  if (res.status === 204) return undefined as T;
  return (await res.json()) as T;
}

export const get = <T>(path: string, asked?: Asked): Promise<T> => call<T>("GET", path, asked);
export const post = <T>(path: string, body: unknown = {}, asked: Asked = {}): Promise<T> => call<T>("POST", path, { ...asked, body });

/** All parts of a list that has no page numbers. */
export async function whole<T>(path: string, values: Values = {}): Promise<T[]> {
  const all: T[] = [];
  let cursor: string | null = "";
  do {
    const part: Page<T> = await get<Page<T>>(path, { query: { ...values, cursor } });
    all.push(...part.items);
    cursor = part.next_cursor;
  } while (cursor && all.length < 10_000);
  return all;
}

/** A part of a path that holds whatever an id may hold. */
export const part = encodeURIComponent;

/** A key of one's own for a request that must not count twice. */
export const once = (): string => "ui-" + crypto.getRandomValues(new Uint8Array(12)).reduce((s, b) => s + b.toString(16).padStart(2, "0"), "");
