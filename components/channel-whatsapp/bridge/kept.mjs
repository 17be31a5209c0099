// What the bridge keeps in its folder: the session, the messages that the host has not acknowledged, and what was sent.
//
// Every file is written beside its place and renamed, so that a kill leaves the old one or the new one, and only the
// owner can read it (the bridge sets its umask).

import { appendFileSync, existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

// A library that Baileys uses writes keys with these, and standard output is the host's.
for (const way of ["log", "info", "debug", "warn", "error"]) console[way] = () => {};

/** A word for the log. */
export function note(words) {
  process.stderr.write(`${words}\n`);
}

/** So many unacknowledged messages are kept; then the oldest is dropped. */
const WAITING_MOST = 2_000;
/** So many sent messages are known again. */
const SENT_MOST = 2_000;

function put(path, text) {
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}

/** Keys and credentials, a file for each, in the form that Baileys wants. `codec`: its reviver and replacer. */
export class Session {
  constructor(folder, { initAuthCreds, BufferJSON, proto }) {
    this.folder = join(folder, "session");
    this.codec = BufferJSON;
    mkdirSync(this.folder, { recursive: true });
    const creds = { ...initAuthCreds(), ...this.read("creds") };
    const keys = {
      get: (type, ids) => {
        const found = {};
        for (const id of ids) {
          const value = this.read(`${type}-${id}`);
          found[id] =
            value && type === "app-state-sync-key" ? proto.Message.AppStateSyncKeyData.fromObject(value) : value;
        }
        return found;
      },
      set: (all) => {
        for (const [type, values] of Object.entries(all)) {
          for (const [id, value] of Object.entries(values)) this.write(`${type}-${id}`, value);
        }
      },
    };
    this.state = { creds, keys };
  }

  path(name) {
    return join(this.folder, `${encodeURIComponent(name)}.json`);
  }

  read(name) {
    try {
      return JSON.parse(readFileSync(this.path(name), "utf8"), this.codec.reviver);
    } catch (error) {
      if (error.code === "ENOENT") return undefined;
      throw new Error(`${this.path(name)} cannot be read: ${error.message}`);
    }
  }

  write(name, value) {
    if (value === null || value === undefined) rmSync(this.path(name), { force: true });
    else put(this.path(name), JSON.stringify(value, this.codec.replacer));
  }

  save() {
    this.write("creds", this.state.creds);
  }

  /** Puts a session aside that WhatsApp has ended. */
  retire() {
    const old = `${this.folder}.old`;
    rmSync(old, { recursive: true, force: true });
    renameSync(this.folder, old);
  }
}

/** Messages that came and that the host has not acknowledged, in order. */
export class Waiting {
  constructor(folder, codec) {
    this.folder = join(folder, "inbox");
    this.codec = codec;
    mkdirSync(this.folder, { recursive: true });
    this.names = readdirSync(this.folder).filter((name) => name.endsWith(".json")).sort();
    this.next = Number.parseInt(this.names.at(-1) ?? "0", 10) + 1;
  }

  /** Keeps a message; its name. */
  add(message) {
    const name = `${String(this.next++).padStart(12, "0")}.json`;
    put(join(this.folder, name), JSON.stringify(message, this.codec.replacer));
    this.names.push(name);
    if (this.names.length > WAITING_MOST) {
      note("too many messages wait for the host: the oldest is dropped");
      this.done(this.names[0]);
    }
    return name;
  }

  get(name) {
    const path = join(this.folder, name);
    return existsSync(path) ? JSON.parse(readFileSync(path, "utf8"), this.codec.reviver) : undefined;
  }

  done(name) {
    const at = this.names.indexOf(name);
    if (at < 0) return;
    this.names.splice(at, 1);
    rmSync(join(this.folder, name), { force: true });
  }
}

/** What was sent: under the host's key, the id of the message, a hash of what it shows, and when. */
export class Sent {
  constructor(folder) {
    this.path = join(folder, "sent.jsonl");
    const text = existsSync(this.path) ? readFileSync(this.path, "utf8") : "";
    this.known = new Map();
    for (const line of text.split("\n")) {
      try {
        const [key, one] = JSON.parse(line);
        this.set(key, one);
      } catch {
        // The last line of a process that was killed.
      }
    }
    this.compact();
  }

  set(key, one) {
    this.known.delete(key);
    this.known.set(key, one);
    if (this.known.size > SENT_MOST) this.known.delete(this.known.keys().next().value);
  }

  compact() {
    put(this.path, [...this.known].map((entry) => `${JSON.stringify(entry)}\n`).join(""));
    this.lines = this.known.size;
  }

  get(key) {
    return this.known.get(key);
  }

  note(key, one) {
    this.set(key, one);
    appendFileSync(this.path, `${JSON.stringify([key, one])}\n`);
    if (++this.lines > 3 * SENT_MOST) this.compact();
  }
}

/** Orders of the host of which it was not told the end. */
export class Orders {
  constructor(folder) {
    this.folder = join(folder, "orders");
    mkdirSync(this.folder, { recursive: true });
  }

  /** Those of a process that was killed: nobody else knows that they came to nothing. */
  left() {
    return readdirSync(this.folder).map(decodeURIComponent);
  }

  begin(id) {
    writeFileSync(join(this.folder, encodeURIComponent(id)), "");
  }

  end(id) {
    rmSync(join(this.folder, encodeURIComponent(id)), { force: true });
  }
}
