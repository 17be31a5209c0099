// The services of several vendors behind one address: aimock, which answers by the script's fixtures whoever shows the
// right key. In front of it stands a listener that keeps each request as it came, for aimock keeps its own reading of it.
// Writes its address; when standard input ends, it writes the requests that came and ends.

import { createServer, request } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';

const require = createRequire(join(process.env.OPENPISTA_NPM, 'package.json'));
const { LLMock } = require('@copilotkit/aimock');

const script = JSON.parse(process.argv[2]);
const service = new LLMock({ host: '127.0.0.1', port: 0, chunkSize: 8, auth: { apiKeys: [script.key] } });
for (const fixture of script.fixtures) {
  service.addFixture({ ...fixture, match: { endpoint: 'chat', ...fixture.match } });
}
await service.start();

const requests = [];
const front = createServer(async (incoming, answer) => {
  const body = await buffer(incoming);
  const kept = {
    method: incoming.method,
    path: incoming.url,
    headers: incoming.headers,
    body: body.length ? JSON.parse(body) : null,
    status: null,
  };
  requests.push(kept);
  const headers = { ...incoming.headers, host: new URL(service.url).host };
  const onward = request(new URL(incoming.url, service.url), { method: incoming.method, headers }, (response) => {
    kept.status = response.statusCode;
    answer.writeHead(response.statusCode, response.headers);
    // One that breaks off in the middle breaks off for the one who asked, too, behind what came until then.
    response.on('error', () => setImmediate(() => answer.socket?.end())).pipe(answer);
  });
  onward.on('error', () => answer.destroy());
  onward.end(body);
});
front.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${front.address().port}`));

await text(process.stdin);
console.log(JSON.stringify(requests));
// Streams that nobody reads any more are not waited for.
process.exit(0);
