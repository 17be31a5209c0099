// The model's service: aimock, which speaks Chat Completions and streams in pieces, to whoever shows the right key.
// Writes its address; when standard input ends, it writes the requests that came and ends.

import { createRequire } from 'node:module';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

const require = createRequire(join(process.env.OPENPISTA_NPM, 'package.json'));
const { LLMock } = require('@copilotkit/aimock');

const script = JSON.parse(process.argv[2]);
const service = new LLMock({
  host: '127.0.0.1', port: 0, latency: 60, chunkSize: 24, auth: { apiKeys: [script.key] },
});
service.addFixture({
  match: { endpoint: 'chat', userMessage: script.question, hasToolResult: true },
  response: { content: script.answer },
});
service.addFixture({
  match: { endpoint: 'chat', userMessage: script.question },
  response: { toolCalls: [script.call] },
});
await service.start();
console.log(service.url);

await text(process.stdin);
const requests = service.getRequests().map(({ method, path, response, body }) => ({
  method,
  path,
  status: response.status,
  stream: body?.stream ?? null,
  model: body?.model ?? null,
  last: body?.messages?.at(-1) ?? null,
}));
console.log(JSON.stringify(requests));
await service.stop();
