/** Rows of texts, under the names of their columns where they have such. */
export interface Table {
  columns: string[];
  rows: string[][];
}

/** How many columns are told apart; what is further right is not shown. */
const widest = 500;

const shown = (v: unknown): string => (v === null || v === undefined ? "" : typeof v === "string" ? v : JSON.stringify(v));
const isRecord = (v: unknown): v is Record<string, unknown> => typeof v === "object" && v !== null && !Array.isArray(v);

/** The table that a list of objects, or a list of lists, is; null for anything else. */
export function tableOfJSON(value: unknown): Table | null {
  if (!Array.isArray(value) || value.length === 0) return null;
  if (value.every(isRecord)) {
    const columns = [...new Set(value.flatMap((r) => Object.keys(r)))].slice(0, widest);
    return columns.length ? { columns, rows: value.map((r) => columns.map((c) => shown(r[c]))) } : null;
  }
  if (value.every(Array.isArray)) return { columns: [], rows: (value as unknown[][]).map((r) => r.slice(0, widest).map(shown)) };
  return null;
}

/** The table that a text is, with a comma, a semicolon or a tab between its cells; null if it is none: rows of different lengths, or of one cell. */
export function tableOfText(text: string): Table | null {
  const body = text.replace(/^\ufeff/, "");
  for (const mark of ["\t", ";", ","]) {
    const rows = cells(body, mark);
    const [first = []] = rows ?? [];
    if (rows && rows.length > 1 && first.length > 1 && rows.every((r) => r.length === first.length)) return { columns: first, rows: rows.slice(1) };
  }
  return null;
}

/** The lines of JSON that a text is, as a list; undefined if one of them is none. */
export function linesOfJSON(text: string): unknown[] | undefined {
  try {
    return text.split("\n").filter((l) => l.trim()).map((l) => JSON.parse(l) as unknown);
  } catch {
    return undefined;
  }
}

/** Reads cells as RFC 4180 has them; null if a quotation mark is left open or stands within a cell. */
function cells(text: string, mark: string): string[][] | null {
  const rows: string[][] = [];
  let row: string[] = [];
  for (let at = 0; at < text.length; ) {
    let cell = "";
    if (text[at] === '"') {
      for (at++; ; ) {
        const end = text.indexOf('"', at);
        if (end < 0) return null;
        cell += text.slice(at, end);
        at = end + 1;
        if (text[at] !== '"') break;
        cell += '"';
        at++;
      }
      if (at < text.length && text[at] !== mark && text[at] !== "\n" && text[at] !== "\r") return null;
    } else {
      const from = at;
      while (at < text.length && text[at] !== mark && text[at] !== "\n" && text[at] !== "\r") at++;
      cell = text.slice(from, at);
    }
    row.push(cell);
    if (text[at] === mark) {
      if (++at === text.length) row.push("");
      else if (text[at] === "\n" || text[at] === "\r") row.push("");
      else continue;
    }
    if (text[at] === "\r") at++;
    if (text[at] === "\n") at++;
    if (row.length > 1 || row[0] !== "") rows.push(row);
    row = [];
  }
  if (row.length) rows.push(row);
  return rows;
}

/** Which columns hold numbers alone, as far as they hold anything. */
export function numeric(t: Table): boolean[] {
  const width = Math.max(t.columns.length, ...t.rows.slice(0, 100).map((r) => r.length));
  return Array.from({ length: width }, (_, c) => {
    const filled = t.rows.slice(0, 100).map((r) => r[c] ?? "").filter(Boolean);
    return filled.length > 0 && filled.every((v) => /^[-+]?[\d.,\u202f\u00a0 ]*\d\s?%?$/.test(v));
  });
}

/** The ways in which a text can be looked at, the best first. */
export type Face = "table" | "tree" | "read" | "text";

export interface Faces {
  all: Face[];
  table: Table | null;
  value: unknown;
}

/** How much is read as a table or as JSON; a longer text is only a text. In letters. */
const longest = 5_000_000;

/** Says how a text can be looked at. Its name tells what its letters do not. */
export function facesOf(text: string, name = ""): Faces {
  const ext = /\.(\w+)$/.exec(name)?.[1]?.toLowerCase() ?? "";
  const none: Faces = { all: ext && ext !== "md" ? ["text"] : ["read", "text"], table: null, value: undefined };
  if (text.length > longest) return none;
  if (/^\s*[[{]/.test(text)) {
    const value = ext === "ndjson" || ext === "jsonl" ? linesOfJSON(text) : (parsed(text) ?? undefined);
    if (value === undefined) return none;
    const table = tableOfJSON(value);
    return { all: table ? ["table", "tree", "text"] : ["tree", "text"], table, value };
  }
  const table = ext === "md" ? null : tableOfText(text);
  if (!table) return none;
  // Prose may look like a table: it is read first, and a file of tables is not.
  return { all: ext ? ["table", "text"] : ["read", "table", "text"], table, value: undefined };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
