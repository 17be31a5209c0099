// The connection to the daemon: opened again by itself, with a queue of what was said and not yet acknowledged.

const FIRST = 1000;
const LONGEST = 30000;
/** After so many attempts in a row a person has to ask for the next one. */
const ATTEMPTS = 12;
const PING = 20000;
/** Without any frame for so long the line is dead, whatever the browser thinks. */
const SILENCE = 50000;

/** Calls `on.frame(frame)`, `on.open()` and `on.state(name)`: connecting, open, waiting, given-up. */
export class Link {
  constructor(url, on) {
    this.url = url;
    this.on = on;
    this.attempt = 0;
    this.heard = 0;
    this.socket = null;
    this.timer = 0;
    window.addEventListener('online', () => this.now());
    document.addEventListener('visibilitychange', () => { if (!document.hidden) this.now(); });
    setInterval(() => this.watch(), 5000);
  }

  get isOpen() {
    return this.socket !== null && this.socket.readyState === WebSocket.OPEN;
  }

  open() {
    clearTimeout(this.timer);
    this.close();
    this.on.state('connecting');
    const socket = new WebSocket(this.url);
    this.socket = socket;
    this.heard = Date.now();
    socket.onopen = () => { if (socket === this.socket) this.on.open(); };
    socket.onmessage = (event) => {
      if (socket !== this.socket) return;
      this.heard = Date.now();
      this.on.frame(JSON.parse(event.data));
    };
    socket.onclose = () => { if (socket === this.socket) this.lost(); };
  }

  /** The daemon knows us: the next loss begins with the shortest wait again. */
  settled() {
    this.attempt = 0;
    this.on.state('open');
  }

  close() {
    const socket = this.socket;
    this.socket = null;
    if (socket) socket.close();
  }

  send(frame) {
    if (!this.isOpen) return false;
    this.socket.send(JSON.stringify(frame));
    return true;
  }

  /** At once, if it is not open. */
  now() {
    if (this.socket === null && this.timer) this.open();
  }

  lost() {
    this.socket = null;
    this.attempt += 1;
    if (this.attempt > ATTEMPTS) {
      this.timer = 0;
      this.on.state('given-up');
      return;
    }
    const wait = Math.min(LONGEST, FIRST * 2 ** (this.attempt - 1));
    this.on.state('waiting');
    // Up to a quarter less, so that many pages do not come back in the same moment.
    this.timer = setTimeout(() => this.open(), wait * (0.75 + Math.random() / 4));
  }

  watch() {
    if (!this.isOpen) return;
    const silent = Date.now() - this.heard;
    if (silent > SILENCE) {
      this.close();
      this.lost();
    } else if (silent > PING) {
      this.send({ type: 'ping' });
    }
  }
}

/** What was said and has no `said` yet; survives a reload of the page. */
export class Queue {
  constructor(session) {
    this.key = `openpista-queue-${session}`;
    try {
      this.items = JSON.parse(sessionStorage.getItem(this.key)) ?? [];
    } catch {
      this.items = [];
    }
  }

  add(item) {
    this.items.push(item);
    this.keep();
  }

  remove(id) {
    this.items = this.items.filter((item) => item.id !== id);
    this.keep();
  }

  keep() {
    sessionStorage.setItem(this.key, JSON.stringify(this.items));
  }
}

/** 96 random bits as 16 characters that may stand in an address. */
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_');
}
