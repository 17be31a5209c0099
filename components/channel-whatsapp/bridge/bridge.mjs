#!/usr/bin/env node
// The bridge between openpista's channel-whatsapp and WhatsApp Web, by Baileys. It is started by the host in a folder of its
// own, in which it keeps the session; `--folder` names another one. `--url` leads to another server than WhatsApp's.
//
// Each line of standard output is one of
//   {"type":"qr","qr":TEXT}                        to be scanned with the phone, for about 20 seconds
//   {"type":"connected","me":[JID,…]}              the account, by number and by hidden id
//   {"type":"offline","why":TEXT}                  it tries again by itself, with back-off
//   {"type":"logged-out","why":TEXT}               it waits: a new start shows a new code
//   {"type":"message","ack":NAME,"id","chat","group","sender","name","text","at","me","mentions","answers","handle",
//    "media":{"mime","name","data"}}               said by a person; again at each start until it is acknowledged
//   {"type":"sent","id":ID}, {"type":"failed","id":ID,"why":TEXT,"never":BOOL}     the end of a "show"
// and each line of standard input one of
//   {"type":"ack","ack":NAME}                      the host has stored that message
//   {"type":"show","id":ID,"key":KEY,"chat":JID,"parts":[{"text"} or {"media":{"mime","name","data"}},…],"quote":HANDLE}
//     Part N is the message KEY/N: sent if it is not known, edited if it shows something else, else left alone. Without
//     an id nothing is reported.
//   {"type":"typing","chat":JID}
// Bytes are in base64. It ends when standard input does. What goes wrong is said on standard error.

import { createHash } from "node:crypto";
import { mkdirSync } from "node:fs";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import * as baileys from "@whiskeysockets/baileys";
import { Orders, Sent, Session, Waiting, note } from "./kept.mjs";
import { isSaid, plain, told } from "./read.mjs";

/** WhatsApp takes edits for 15 minutes. */
const EDIT_MS = 14 * 60_000;
/** WhatsApp's word that it has a message comes within this, or the open connection has to be enough. */
const ACK_MS = 10_000;
const BACKOFF_MOST = 60_000;
/** Messages are kept for people's phones that ask for one again. */
const AGAIN_MOST = 500;

process.umask(0o077);
const { values } = parseArgs({ options: { url: { type: "string" }, folder: { type: "string", default: "." } } });
const { url } = values;
mkdirSync(values.folder, { recursive: true });
process.chdir(values.folder);
const log = (level) => (about, words) => {
  // The words only: what they are about may hold keys or what people wrote.
  if (level !== "debug") note(`${level}: ${typeof about === "string" ? about : (words ?? "")}`);
};
const quiet = log("debug");
const logger = { level: "warn", child: () => logger, trace: quiet, debug: quiet, info: quiet, warn: log("warn"), error: log("error") };

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const waiting = new Waiting(".", baileys.BufferJSON);
const sent = new Sent(".");
const orders = new Orders(".");
const again = new Map();
let socket;
let open = false;
let failures = 0;
let version;

function me() {
  const { id, lid } = socket?.authState?.creds?.me ?? {};
  return [plain(id), plain(lid)].filter(Boolean);
}

// --- what comes ---

let reading = Promise.resolve();
function read(name) {
  reading = reading.then(async () => {
    const message = waiting.get(name);
    if (!message) return;
    const number = (jid) => socket?.signalRepository?.lidMapping?.getPNForLID(jid);
    say(await told(message, name, { me: me(), number, socket: () => socket, logger }));
  }).catch((error) => note(`a message cannot be read: ${error.message}`));
}

// --- what goes ---

const chats = new Map();
/** What is shown in a chat stays in order; chats go side by side. */
function inOrder(chat, work) {
  const mine = (chats.get(chat) ?? Promise.resolve()).then(work);
  chats.set(chat, mine);
  return mine.finally(() => chats.get(chat) === mine && chats.delete(chat));
}

const digest = (text) => createHash("sha256").update(text).digest("hex");

/** Until WhatsApp has taken a message. */
function taken(id) {
  const connection = socket;
  return new Promise((resolve, reject) => {
    const end = (settle, value) => {
      clearTimeout(late);
      connection.ws.off("CB:ack,class:message", onAck);
      connection.ws.off("close", onClose);
      settle(value);
    };
    const onAck = (node) => {
      if (node.attrs.id !== id) return;
      const { error } = node.attrs;
      end(error ? reject : resolve, error ? new Error(`WhatsApp refuses it (${error})`) : undefined);
    };
    const onClose = () => end(reject, new Error("the connection broke off"));
    const late = setTimeout(() => end(resolve), ACK_MS);
    connection.ws.on("CB:ack,class:message", onAck);
    connection.ws.on("close", onClose);
  });
}

function content({ text, media }) {
  if (!media) return { text };
  const data = Buffer.from(media.data, "base64");
  const [family] = media.mime.split("/");
  if (["image/jpeg", "image/png"].includes(media.mime)) return { image: data, mimetype: media.mime };
  if (family === "video" || family === "audio") return { [family]: data, mimetype: media.mime };
  return { document: data, mimetype: media.mime, fileName: media.name ?? "file" };
}

function quoted(chat, handle) {
  if (!handle) return undefined;
  const { id, sender, text } = JSON.parse(handle);
  return { key: { remoteJid: chat, fromMe: false, id, participant: sender }, message: { conversation: text } };
}

async function post(chat, body, id, options = {}) {
  if (!open) throw new Error("there is no connection to WhatsApp");
  const has = taken(id);
  // Both may fail, and one failure is enough.
  has.catch(() => {});
  const message = await socket.sendMessage(chat, body, { messageId: id, ...options });
  again.set(id, message?.message);
  if (again.size > AGAIN_MOST) again.delete(again.keys().next().value);
  await has;
}

async function show({ key, chat, parts, quote }) {
  for (const [place, part] of parts.entries()) {
    const name = `${key}/${place}`;
    const hash = digest(JSON.stringify(part));
    const known = sent.get(name);
    if (known?.hash === hash) continue;
    // The same each time: whoever gets it twice shows it once.
    const id = `3EB0${digest(known ? `${name} ${hash}` : name).slice(0, 18).toUpperCase()}`;
    const editable = known && part.text !== undefined && Date.now() - known.at < EDIT_MS;
    if (editable) {
      await post(chat, { text: part.text, edit: { remoteJid: chat, fromMe: true, id: known.id } }, id);
      sent.note(name, { ...known, hash });
    } else {
      await post(chat, content(part), id, { quoted: place === 0 ? quoted(chat, quote) : undefined });
      sent.note(name, { id, hash, at: Date.now() });
    }
  }
}

// --- the host ---

// What WhatsApp refuses for good, by the status that Baileys gives its error. The others (408, 428, 429, 440, 5xx) are
// about the connection.
function never(error) {
  const status = error?.output?.statusCode ?? 0;
  return status >= 400 && status < 500 && ![401, 408, 428, 429, 440].includes(status);
}

function ended(id, error) {
  say(error ? { type: "failed", id, why: error.message || String(error), never: never(error) } : { type: "sent", id });
  orders.end(id);
}

function obey(order) {
  const { type, id, chat } = order;
  if (type === "ack") waiting.done(order.ack);
  if (type === "typing" && open) socket.sendPresenceUpdate("composing", chat).catch(() => {});
  if (type === "show") {
    if (id) orders.begin(id);
    inOrder(chat, async () => {
      const failed = await show(order).then(() => undefined, (error) => error || new Error("nobody knows why"));
      if (id) ended(id, failed);
    });
  }
}

const lines = createInterface({ input: process.stdin, crlfDelay: Infinity });
lines.on("line", (line) => {
  try {
    obey(JSON.parse(line));
  } catch (error) {
    note(`a line of the host is passed over: ${error.message}`);
  }
});
// Everything that is kept is written at once, so there is nothing to wait for.
lines.on("close", () => process.exit(0));

// --- WhatsApp ---

async function connect() {
  const session = new Session(".", { ...baileys, initAuthCreds: baileys.initAuthCreds });
  const { creds, keys } = session.state;
  socket = baileys.makeWASocket({
    auth: { creds, keys: baileys.makeCacheableSignalKeyStore(keys, logger) },
    logger,
    emitOwnEvents: false,
    markOnlineOnConnect: false,
    syncFullHistory: false,
    shouldIgnoreJid: (jid) => baileys.isJidBroadcast(jid) || baileys.isJidNewsletter(jid),
    getMessage: async ({ id }) => again.get(id),
    ...(url && { waWebSocketUrl: url }),
    ...(version && { version }),
  });
  const mine = socket;
  mine.ev.on("creds.update", () => session.save());
  mine.ev.on("messages.upsert", ({ messages }) => {
    for (const message of messages.filter(isSaid)) read(waiting.add(message));
  });
  mine.ev.on("connection.update", ({ connection, qr, lastDisconnect }) => {
    if (qr) say({ type: "qr", qr });
    if (connection === "open") {
      [open, failures] = [true, 0];
      session.save();
      say({ type: "connected", me: me() });
    }
    if (connection === "close") {
      open = false;
      closed(session, lastDisconnect?.error).catch((error) => note(`error: ${error.message}`));
    }
  });
}

async function closed(session, error) {
  const code = error?.output?.statusCode;
  const why = error?.message ?? "the connection broke off";
  // A server in between may refuse the websocket with the same number; only WhatsApp itself can log out.
  if ([401, 403].includes(code) && !why.startsWith("WebSocket Error")) {
    session.retire();
    return say({ type: "logged-out", why });
  }
  if (code === 515) return connect();
  if (code === 405 && !url) ({ version } = await baileys.fetchLatestWaWebVersion({}));
  say({ type: "offline", why: code === 440 ? "another program uses this session" : why });
  setTimeout(connect, Math.min(1_000 * 2 ** failures++, BACKOFF_MOST));
}

for (const id of orders.left()) ended(id, new Error("the bridge was started anew"));
for (const name of waiting.names) read(name);
await connect();
