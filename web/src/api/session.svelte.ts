import { call, Fault, faultOf, send, refusal, onSignedOut } from "./client";
import { link } from "./link";
import type { Session } from "./types";

/** Who is signed in here. The key itself is kept by nobody but the person. */
class Signed {
  who = $state<Session | null>(null);
  /** Whether the server has said yet who it is. */
  known = $state(false);
  /** A server of another version than this page has answered. */
  newer = $state("");
  admin = $derived(this.who?.key.role === "admin");
  /** Who is signed in while a link was opened that stands for another key: it is asked which of them is meant. */
  replaces = $state.raw<Session | null>(null);
  /** Why a link that was opened has not signed in. */
  refused = $state<Fault | null>(null);
  /** Called when somebody has signed in or out here. */
  changed = (): void => {};
  #first = "";
  #code = link.code;

  constructor() {
    onSignedOut(() => {
      this.who = null;
      this.known = true;
    });
  }

  /** Asks who is signed in; throws only if the server cannot be reached. */
  async ask(): Promise<void> {
    if (this.#code && !(await this.#inPlaceOf())) return;
    const res = await send("GET", "/v1/session");
    if (res.ok) this.#take((await res.json()) as Session);
    else if (res.status === 401) this.who = null;
    else throw await refusal(res);
    this.known = true;
  }

  async signIn(key: string): Promise<void> {
    await call<void>("POST", "/v1/session", { body: { key } });
    await this.ask();
    this.changed();
    if (!this.who) throw new Fault(401, "unauthenticated", "this browser does not keep the cookie that signs you in");
  }

  /** Signs in with the link that was opened; false if somebody else is signed in, and has to say so first. */
  async #inPlaceOf(): Promise<boolean> {
    const res = await send("GET", "/v1/session");
    if (res.status >= 500) throw await refusal(res);
    if (!res.ok) await this.#follow();
    else {
      const now = (await res.json()) as Session;
      if (now.key.id !== link.key) {
        this.replaces = now;
        return false;
      }
      this.#code = ""; // that is who is signed in
    }
    return true;
  }

  /** Goes on with the link that was opened, or without it. */
  async replace(follow: boolean): Promise<void> {
    if (follow) await this.#follow();
    this.#code = "";
    await this.ask();
    this.replaces = null;
  }

  /** Signs in with the link that was opened: once, whatever comes of it. */
  async #follow(): Promise<void> {
    try {
      await call<void>("POST", "/v1/session", { body: { code: this.#code } });
      this.changed();
    } catch (err) {
      const told = faultOf(err);
      if (told.status === 0) throw told; // it may still be good
      this.refused = told;
    }
    this.#code = "";
  }

  async signOut(): Promise<void> {
    const on = this.who?.sign_out;
    try {
      await call<void>("DELETE", "/v1/session");
    } catch (err) {
      if (faultOf(err).status !== 401) throw err;
    }
    this.who = this.refused = null;
    this.changed();
    if (on) location.assign(on); // the provider's own end
  }

  /** Notes the version of a server that answers now. */
  heard(version: string): void {
    if (this.#first && version && version !== this.#first) this.newer = version;
    this.#first ||= version;
  }

  #take(s: Session): void {
    this.who = s;
    this.heard(s.version);
  }
}

export const session = new Signed();
