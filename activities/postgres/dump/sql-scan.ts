/**
 * Reads the SQL of a dump as it streams by: whether it is whole, what it needs to be there, how many rows each table has. Memory is bounded
 * whatever the rows look like.
 */
import { CODE, lexLine, type LexState } from './sql-lexer.js';
import {
  connectedDatabase,
  copiedTable,
  databaseStatement,
  extensionMade,
  roleMade,
  rolesNeeded,
} from './sql-statements.js';

export type ScanFacts = {
  kind: 'database' | 'cluster' | 'unknown';
  /** The last line that pg_dump writes was there, and nothing was open when the text ended. */
  complete: boolean;
  rawBytes: number;
  serverVersion: string | null;
  toolVersion: string | null;
  startedAt: string | null;
  createDatabase: string | null;
  changesDatabase: boolean;
  rolesNeeded: string[];
  rolesMade: string[];
  extensions: string[];
  databaseSettings: string[];
  notValidConstraints: number;
  tables: number;
  rows: number;
  /** A command to psql that pg_dump does not write: it could run a program on this host. */
  foreignCommand: string | null;
  /** Rows of the COPY blocks by database (the first one is '') and table as pg_dump writes its name. */
  rowsOf: Map<string, Map<string, number>>;
};

const NEWLINE = 10;
const BACKSLASH = 92;
const END_OF_ROWS = Buffer.from('\\.\n');
/** Longer lines are rows of `--inserts`; of those only their end is needed. */
const LONGEST_LINE = 1024 * 1024;

/** Commands to psql that pg_dump and pg_dumpall write; a backtick or a second backslash in their line would run something. */
const OWN_COMMANDS = /^\\(?:connect [^\\`]+|restrict [A-Za-z0-9]+|unrestrict [A-Za-z0-9]+)$/;
const SHOWN_CHARACTERS = 60;

const LAST_LINES: Readonly<Record<ScanFacts['kind'], string | null>> = {
  database: '-- PostgreSQL database dump complete',
  cluster: '-- PostgreSQL database cluster dump complete',
  unknown: null,
};

export type SqlScanner = { push(chunk: Buffer): void; end(): ScanFacts };

/** A scanner for one dump. */
export function createSqlScanner(): SqlScanner {
  return new Scanner();
}

class Scanner implements SqlScanner {
  #rest: Buffer | null = null;
  #parts: Buffer[] = [];
  #partBytes = 0;
  #line: string | null = null;
  #state: LexState = CODE;
  #copy: { table: string; rows: number } | null = null;
  #midRow = false;
  #database = '';
  #trailer = false;
  readonly #needed = new Set<string>();
  readonly #made = new Set<string>();
  readonly #extensions = new Set<string>();
  readonly #facts: Omit<ScanFacts, 'complete' | 'rolesNeeded' | 'rolesMade' | 'extensions'> = {
    kind: 'unknown',
    rawBytes: 0,
    serverVersion: null,
    toolVersion: null,
    startedAt: null,
    createDatabase: null,
    changesDatabase: false,
    databaseSettings: [],
    notValidConstraints: 0,
    tables: 0,
    rows: 0,
    foreignCommand: null,
    rowsOf: new Map(),
  };

  push(chunk: Buffer): void {
    this.#facts.rawBytes += chunk.length;
    const data = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = null;
    for (let at = 0; at < data.length;) at = this.#copy === null ? this.#readLine(data, at) : this.#readRows(data, at);
  }

  end(): ScanFacts {
    if (this.#partBytes > 0) this.#endLine(Buffer.alloc(0));
    const complete = this.#trailer && this.#copy === null && this.#state.in === 'code' && this.#rest === null;
    return {
      ...this.#facts,
      complete,
      rolesNeeded: [...this.#needed].sort(),
      rolesMade: [...this.#made].sort(),
      extensions: [...this.#extensions].sort(),
    };
  }

  #readLine(data: Buffer, from: number): number {
    const end = data.indexOf(NEWLINE, from);
    const piece = data.subarray(from, end < 0 ? data.length : end);
    if (end >= 0) {
      this.#endLine(piece);
      return end + 1;
    }
    this.#parts.push(Buffer.from(piece));
    this.#partBytes += piece.length;
    if (this.#partBytes > LONGEST_LINE) this.#cutLine();
    return data.length;
  }

  /** A line too long to keep: what it is was said by its beginning, and the lexer goes on from here. */
  #cutLine(): void {
    const text = Buffer.concat(this.#parts).toString('latin1');
    this.#line ??= '';
    this.#state = this.#lex(this.#state, text);
    this.#parts = [];
    this.#partBytes = 0;
  }

  #endLine(last: Buffer): void {
    const whole = this.#parts.length === 0 ? last : Buffer.concat([...this.#parts, last]);
    const wasCut = this.#line !== null;
    this.#parts = [];
    this.#partBytes = 0;
    this.#line = null;
    const text = whole.toString('utf8').replace(/\r$/, '');
    const before = this.#state;
    const isMeta = before.in === 'code' && !wasCut && text.startsWith('\\');
    if (!isMeta) this.#state = this.#lex(before, text);
    if (before.in === 'code' && !wasCut && text !== '') this.#note(text);
  }

  #lex(before: LexState, text: string): LexState {
    return lexLine(before, text, () => (this.#facts.foreignCommand ??= text.slice(0, SHOWN_CHARACTERS)));
  }

  #note(line: string): void {
    if (line.startsWith('--')) this.#noteComment(line);
    else if (line.startsWith('\\')) this.#noteConnect(line);
    else this.#noteStatement(line);
  }

  #noteComment(line: string): void {
    const facts = this.#facts;
    if (line === '-- PostgreSQL database cluster dump') facts.kind = 'cluster';
    if (line === '-- PostgreSQL database dump' && facts.kind === 'unknown') facts.kind = 'database';
    // In a dump of a cluster the end of each database is not the end.
    if (line.endsWith('dump complete')) this.#trailer = line === LAST_LINES[facts.kind];
    this.#noteHeader(line);
  }

  #noteHeader(line: string): void {
    const facts = this.#facts;
    facts.serverVersion ??= valueIn(/^-- Dumped from database version (\S+)/, line);
    facts.toolVersion ??= valueIn(/^-- Dumped by pg_dump(?:all)? version (\S+)/, line);
    facts.startedAt ??= startedAt(line);
  }

  #noteConnect(line: string): void {
    if (!OWN_COMMANDS.test(line)) this.#facts.foreignCommand ??= line.slice(0, SHOWN_CHARACTERS);
    const database = connectedDatabase(line);
    if (database === null) return;
    this.#database = database;
    this.#facts.changesDatabase = true;
  }

  #noteStatement(line: string): void {
    this.#trailer = false;
    const table = copiedTable(line);
    if (table !== null) {
      this.#copy = { table, rows: 0 };
      this.#midRow = false;
      return;
    }
    for (const role of rolesNeeded(line)) this.#needed.add(role);
    const made = roleMade(line);
    if (made !== null) this.#made.add(made);
    const extension = extensionMade(line);
    if (extension !== null) this.#extensions.add(extension);
    this.#noteObjects(line);
  }

  #noteObjects(line: string): void {
    const facts = this.#facts;
    if (/^CREATE (?:UNLOGGED |FOREIGN )?TABLE /.test(line)) facts.tables += 1;
    if (line.startsWith('CREATE DATABASE ')) facts.createDatabase ??= line;
    if (/^ {4}ADD CONSTRAINT .* NOT VALID;$/.test(line)) facts.notValidConstraints += 1;
    const setting = databaseStatement(line);
    if (setting !== null) facts.databaseSettings.push(setting);
  }

  /** Rows until the line that ends them. A row may be as long as it likes: nothing of it is kept. */
  #readRows(data: Buffer, from: number): number {
    let at = from;
    while (at < data.length) {
      if (!this.#midRow && data[at] === BACKSLASH) {
        if (data.length - at < END_OF_ROWS.length) {
          this.#rest = Buffer.from(data.subarray(at));
          return data.length;
        }
        if (END_OF_ROWS.compare(data, at, at + END_OF_ROWS.length) === 0) {
          this.#endRows();
          return at + END_OF_ROWS.length;
        }
      }
      const end = data.indexOf(NEWLINE, at);
      this.#midRow = end < 0;
      if (end < 0) return data.length;
      if (this.#copy !== null) this.#copy.rows += 1;
      at = end + 1;
    }
    return at;
  }

  #endRows(): void {
    if (this.#copy === null) return;
    const { table, rows } = this.#copy;
    const tables = this.#facts.rowsOf.get(this.#database) ?? new Map<string, number>();
    tables.set(table, (tables.get(table) ?? 0) + rows);
    this.#facts.rowsOf.set(this.#database, tables);
    this.#facts.rows += rows;
    this.#copy = null;
  }
}

function valueIn(pattern: RegExp, line: string): string | null {
  return pattern.exec(line)?.[1] ?? null;
}

/** Written by `pg_dump --verbose`; a time in another zone than UTC is known by its name only, which is not enough. */
function startedAt(line: string): string | null {
  const found = /^-- Started on (\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) (?:UTC|GMT)$/.exec(line);
  return found === null ? null : `${found[1] ?? ''}T${found[2] ?? ''}Z`;
}
