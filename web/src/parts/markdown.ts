import { lexer, type Token, type Tokens } from "marked";

/** A block of a text: its tokens, and the text that they were made of. */
export interface Block {
  key: number;
  raw: string;
  token: Token;
}

/**
 * The blocks of a text that grows. Only what stands behind the last closed block is read again, so that
 * a long answer costs what its last paragraph does.
 */
export class Blocks {
  #closed: Block[] = [];
  #closedTo = 0;
  #text = "";
  #keys = 0;

  read(text: string): Block[] {
    if (!text.startsWith(this.#text.slice(0, this.#closedTo))) {
      this.#closed = [];
      this.#closedTo = 0;
    }
    this.#text = text;
    const rest = text.slice(this.#closedTo);
    const tail = lex(rest);
    // All but the last three may be closed: a line of "===" or a table's rule still changes the last paragraph,
    // and a list may go on behind a space. What the lexer does not say again letter by letter stays open.
    let sure = Math.max(0, tail.length - 3);
    if (!rest.startsWith(tail.slice(0, sure).map((t) => t.raw).join(""))) sure = 0;
    for (const token of tail.slice(0, sure)) {
      this.#closed.push({ key: this.#keys++, raw: token.raw, token });
      this.#closedTo += token.raw.length;
    }
    return [...this.#closed, ...tail.slice(sure).map((token, i) => ({ key: this.#keys + i, raw: token.raw, token }))];
  }
}

function lex(text: string): Token[] {
  try {
    // Programs and models end lines for a reason: what they say on two stays on two.
    return lexer(text, { gfm: true, breaks: true });
  } catch {
    return [{ type: "text", raw: text, text } as Tokens.Text];
  }
}

/** Where a link may lead; "" for where none may. */
export function safeHref(href: string): string {
  const trimmed = href.trim();
  return /^(https?:\/\/|mailto:)/i.test(trimmed) ? trimmed : "";
}

const entities: Record<string, string> = { "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'", "&amp;": "&" };

/** Undoes the escapes that the lexer writes into texts: here they are texts, never HTML. */
export const unescaped = (text: string): string => text.replace(/&(?:lt|gt|quot|#39|amp);/g, (e) => entities[e] ?? e);
