// A person at the web page, in a real browser: opens the link, asks, allows the tool, reads, reloads. Writes what there
// was to see as one JSON object.

import { createRequire } from 'node:module';
import { join } from 'node:path';

const require = createRequire(join(process.env.OPENPISTA_NPM, 'package.json'));
const { chromium } = require('playwright-core');

const { link, question, ending, screenshot } = JSON.parse(process.argv[2]);
// A bound, not a measure: the machine may be busy.
const PATIENCE = 60_000;

const browser = await chromium.launch({
  executablePath: process.env.OPENPISTA_CHROMIUM,
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
  ],
});
try {
  const context = await browser.newContext({ viewport: { width: 1000, height: 800 }, colorScheme: 'light' });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  const complaints = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('response', (response) => {
    if (response.status() >= 400) complaints.push(`${response.status()} ${new URL(response.url()).pathname}`);
  });
  const elsewhere = [];
  page.on('request', (request) => {
    if (new URL(request.url()).host !== new URL(link).host) elsewhere.push(request.url());
  });

  await page.goto(link);
  await page.locator('#state', { hasText: /^connected$/ }).waitFor();
  const address = page.url();

  // Every change of the last answer's length, as the page's own reader would see it.
  await page.evaluate(() => {
    window.lengths = [];
    new MutationObserver(() => {
      const tool = document.querySelector('#messages .approval');
      const answers = [...document.querySelectorAll('#messages .assistant')];
      const answer = answers.at(-1);
      if (!tool || !answer || answer.querySelector('.about')) return;
      const length = answer.textContent.length;
      if (length > 0 && length !== window.lengths.at(-1)) window.lengths.push(length);
    }).observe(document.querySelector('#messages'), { childList: true, subtree: true, characterData: true });
  });

  await page.getByLabel('Message').fill(question);
  await page.keyboard.press('Enter');
  const card = page.getByRole('region', { name: 'Approval' });
  await card.getByRole('button', { name: 'Allow', exact: true }).waitFor();
  const asked = { heading: await card.locator('h2').textContent(), arguments: await card.locator('pre').textContent() };
  await card.getByRole('button', { name: 'Allow', exact: true }).click();

  const answer = page.locator('#messages > .assistant', { hasText: ending });
  await answer.locator('.about').waitFor();
  const lengths = await page.evaluate(() => window.lengths);
  const tool = page.locator('#messages details.tool');
  const seen = async () => ({
    person: await page.locator('#messages > .person').allTextContents(),
    tools: await tool.locator('summary strong').allTextContents(),
    output: (await tool.locator('pre').allTextContents()).join('\n'),
    answer: await page.locator('#messages > .assistant', { hasText: ending }).evaluateAll(
      (all) => all.map((one) => [...one.children].filter((part) => part.className !== 'about').map((part) => part.textContent).join('\n')),
    ),
    injected: await page.locator('#messages').locator('img, script, iframe').count(),
  });
  const live = await seen();
  const decided = await card.locator('.choices').textContent();
  await page.screenshot({ path: screenshot });
  let html = await page.content();

  await page.reload();
  await answer.waitFor();
  const reloaded = await seen();
  html += await page.content();
  const ran = await page.evaluate(() => window.injected === true);

  console.log(JSON.stringify({ address, asked, decided, lengths, live, reloaded, ran, complaints, elsewhere, html }));
} finally {
  await browser.close();
}
