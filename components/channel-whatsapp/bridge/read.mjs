// A message of WhatsApp as a line for the host.

import { downloadMediaMessage, getContentType, jidNormalizedUser, normalizeMessageContent } from "@whiskeysockets/baileys";

/** A larger file does not fit into a line of 10 MiB. */
export const FILE_MOST = 7 * 1024 * 1024;
const DOWNLOAD_MS = 60_000;

const FILES = {
  imageMessage: "image/jpeg",
  videoMessage: "video/mp4",
  ptvMessage: "video/mp4",
  audioMessage: "audio/ogg",
  documentMessage: "application/octet-stream",
  stickerMessage: "image/webp",
};

/** Without what tells one of a person's devices from another. */
export function plain(jid) {
  return jid ? jidNormalizedUser(jid) : "";
}

/** Whether it is something that a person says. */
export function isSaid(message) {
  const chat = message.key?.remoteJid ?? "";
  if (message.key?.fromMe || !/@(s\.whatsapp\.net|lid|g\.us)$/u.test(chat)) return false;
  const { kind, body } = content(message);
  return Boolean(body) && (kind in FILES || words(kind, body) !== "");
}

function content(message) {
  const inner = normalizeMessageContent(message.message);
  const kind = getContentType(inner);
  return { kind, body: kind ? inner[kind] : undefined };
}

function words(kind, body) {
  const card = (one) => `👤 ${one.displayName ?? ""}, ${/waid=(\d+)/u.exec(one.vcard ?? "")?.[1] ?? ""}`;
  switch (kind) {
    case "conversation":
      return body;
    case "extendedTextMessage":
      return body.text ?? "";
    case "locationMessage":
    case "liveLocationMessage":
      return [`📍 ${body.degreesLatitude}, ${body.degreesLongitude}`, body.name, body.address].filter(Boolean).join(", ");
    case "contactMessage":
      return card(body);
    case "contactsArrayMessage":
      return (body.contacts ?? []).map(card).join("\n");
    default:
      return body.caption ?? "";
  }
}

/** The line. `number`: finds the phone number behind a hidden id, if WhatsApp tells it. */
export async function told(message, ack, { me, number, socket, logger }) {
  const { key } = message;
  const { kind, body } = content(message);
  const group = key.remoteJid.endsWith("@g.us");
  const visible = async (jid, other) => {
    if (!jid?.endsWith("@lid")) return plain(jid);
    return plain(other?.endsWith("@s.whatsapp.net") ? other : ((await number(jid)) ?? jid));
  };
  const sender = await visible(group ? key.participant : key.remoteJid, group ? key.participantAlt : key.remoteJidAlt);
  const about = typeof body === "object" ? body.contextInfo : undefined;
  const text = words(kind, body);
  const line = {
    type: "message",
    ack,
    id: `${plain(key.remoteJid)}/${key.id}`,
    chat: group ? key.remoteJid : sender,
    group,
    sender,
    name: message.pushName ?? "",
    text,
    at: Number(message.messageTimestamp ?? 0) * 1000,
    me,
    mentions: (about?.mentionedJid ?? []).map(plain),
    answers: plain(about?.participant),
    handle: JSON.stringify({ id: key.id, sender: key.participant || key.remoteJid, text: [...text].slice(0, 200).join("") }),
  };
  if (kind in FILES) {
    const name = body.fileName || undefined;
    const size = Number(body.fileLength ?? 0);
    try {
      if (size > FILE_MOST) throw new Error(`it has ${Math.ceil(size / 2 ** 20)} MiB, and 7 MiB is the most here`);
      const data = await download(message, socket, logger);
      if (data.length > FILE_MOST) throw new Error("it has more than 7 MiB, the most here");
      line.media = { mime: (body.mimetype ?? FILES[kind]).split(";")[0].trim(), name, data: data.toString("base64") };
    } catch (error) {
      line.text = `${text}\n[a file was left out (${name ?? kind.replace("Message", "")}): ${error.message}]`.trim();
    }
  }
  return line;
}

async function download(message, socket, logger) {
  const context = { reuploadRequest: (one) => socket().updateMediaMessage(one), logger };
  let late;
  const limit = new Promise((_, reject) => {
    late = setTimeout(() => reject(new Error("it did not come in time")), DOWNLOAD_MS);
  });
  try {
    return await Promise.race([downloadMediaMessage(message, "buffer", {}, context), limit]);
  } finally {
    clearTimeout(late);
  }
}
