// Starts crabline's Slack with an address for its events, which its command line has no option for.
import { writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const { PACKAGE, READY, RECORDER, BOT_TOKEN, SIGNING_SECRET, EVENTS } = process.env;
const { startSlackServer } = await import(pathToFileURL(`${PACKAGE}/dist/src/servers/slack.js`));
const server = await startSlackServer({
  adminToken: "admin",
  botToken: BOT_TOKEN,
  signingSecret: SIGNING_SECRET,
  eventsRequestUrl: EVENTS,
  recorderPath: RECORDER,
});
writeFileSync(READY, JSON.stringify(server.manifest));
