// The page: what is shown of a session, and what the person does. Frames are documented in docs/components.md.

import { Link, Queue, randomId } from './link.js';
import { render } from './markdown.js';

const at = (id) => document.getElementById(id);
const root = new URL(document.body.dataset.root, location.href);
const encoder = new TextEncoder();
const decoder = new TextDecoder();

let session = location.pathname.match(/\/s\/([A-Za-z0-9_-]{1,64})$/)?.[1];
let queue;
let seen = 0;
/** Elements of what is said or done now; a replay brings the same from the history and takes their place. */
let provisional = [];
/** Ids of messages that are on the page. */
let shown = new Set();
let tools = new Map();
let questions = new Map();
let draft = null;
let running = false;
let replaying = false;
/** This connection shows the session that the page shows: before that, frames are those of the one it left. */
let joined = false;
/** Texts of the person in the replay that runs, and what was said just before it. */
let replayed = new Set();
let saidBefore = [];
let following = true;
let titles = [];

// The token of a printed link is used once and leaves the address before anything else happens.
const token = new URLSearchParams(location.hash.slice(1)).get('token');
if (token !== null) history.replaceState(null, '', location.pathname + location.search);
// The browser fetches the icon late, and would look for it below the address that the page has by then.
document.querySelector('link[rel=icon]').href = new URL('assets/icon.svg', root).href;
if (session === undefined) {
  session = randomId();
  history.replaceState({ session }, '', address(session));
}

const socketUrl = new URL('ws', root);
socketUrl.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
const link = new Link(socketUrl.href, { frame: take, open: () => {}, state: showState });

function address(id) {
  return new URL(`s/${id}`, root).pathname;
}

// ---- signing in

async function signIn(secret) {
  const answer = await fetch(new URL('auth', root), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ token: secret }),
    credentials: 'same-origin',
  });
  return answer.ok ? '' : (await answer.text()).trim() || `The daemon answered ${answer.status}.`;
}

function askToSignIn(problem) {
  link.close();
  showState('signed-out');
  at('sign-in-problem').textContent = problem;
  if (!at('sign-in').open) at('sign-in').showModal();
  at('token').focus();
}

at('sign-in-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  try {
    const problem = await signIn(at('token').value.trim());
    if (problem) return askToSignIn(problem);
  } catch {
    return askToSignIn('The daemon does not answer.');
  }
  at('token').value = '';
  at('sign-in').close();
  link.open();
});
at('sign-in').addEventListener('cancel', (event) => event.preventDefault());

// ---- frames

const frames = {
  'sign-in': () => askToSignIn(''),
  welcome: () => hello(),
  hello: (frame) => { joined = frame.session === session; if (joined) beginReplay(); },
  entry: (frame) => showEntry(frame),
  ready: () => endReplay(),
  said: (frame) => said(frame),
  refused: (frame) => refused(frame),
  working: () => setRunning(true),
  draft: (frame) => grow(frame),
  activity: (frame) => showActivity(frame),
  media: (frame) => { seal(); append(line('assistant', mediaPart(frame.part))); },
  reply: (frame) => showReply(frame),
  failed: (frame) => { endTurn(); append(line('failed', `❌ ${frame.text}`)); },
  notice: (frame) => append(line('notice', frame.text)),
  error: (frame) => append(line('notice', frame.text)),
  approval: (frame) => showQuestion(frame),
  decided: (frame) => showDecision(frame),
  sessions: (frame) => { titles = frame.sessions; showSessions(); },
  models: (frame) => showModels(frame.models),
  changed: (frame) => link.send({ type: frame.what }),
};

const ALWAYS = new Set(['sign-in', 'welcome', 'hello', 'sessions', 'models', 'changed', 'error']);

function take(frame) {
  if (!joined && !ALWAYS.has(frame.type)) return;
  frames[frame.type]?.(frame);
  follow();
}

function hello() {
  joined = false;
  link.send({ type: 'hello', session, seen });
}

function beginReplay() {
  replaying = true;
  replayed = new Set();
  saidBefore = provisional.filter((made) => made.matches('.person:not(.waiting)'));
  for (const element of provisional) element.remove();
  provisional = [];
  draft = null;
  tools.clear();
  questions.clear();
  setRunning(false);
}

function endReplay() {
  replaying = false;
  link.settled();
  // A message that waits for its turn is taken, but not in the history yet.
  for (const made of saidBefore) if (!replayed.has(made.textContent)) append(made);
  saidBefore = [];
  for (const item of queue.items) {
    const there = provisional.some((made) => made.dataset.id === item.id);
    if (!there) showPerson(item.id, item.text, true);
    link.send({ type: 'say', ...item });
  }
  follow(true);
}

function showEntry(frame) {
  if (frame.cursor <= seen) return;
  seen = frame.cursor;
  let made;
  if (frame.author === 'tool') {
    made = tool(frame.name ?? 'tool', '', 'done');
    made.querySelector('pre').append(frame.parts.map((part) => part.text ?? '').join('\n'));
    made = line('', made, ...frame.parts.filter((part) => part.text === undefined).map(mediaPart));
  } else {
    const parts = frame.parts.map((part) => {
      if (part.text === undefined) return mediaPart(part);
      if (frame.author === 'person') replayed.add(part.text);
      return frame.author === 'person' ? part.text : render(part.text);
    });
    made = line(frame.author, ...parts);
  }
  made.title = new Date(frame.at).toLocaleString();
  at('messages').append(made);
}

// ---- messages

function line(kind, ...children) {
  const made = document.createElement('li');
  if (kind) made.className = kind;
  made.append(...children);
  return made;
}

function append(made) {
  at('messages').append(made);
  provisional.push(made);
  return made;
}

function mediaPart(part) {
  if (part.image === undefined) return Object.assign(document.createElement('p'), { textContent: `📎 ${part.file}` });
  const image = document.createElement('img');
  image.className = 'shown';
  image.alt = part.name;
  image.src = part.image;
  image.onload = () => follow();
  return image;
}

function showPerson(id, text, waiting) {
  const made = line('person', text);
  made.dataset.id = id;
  made.classList.toggle('waiting', waiting);
  shown.add(id);
  append(made);
}

function said(frame) {
  queue.remove(frame.id);
  const own = [...document.querySelectorAll('.person.waiting')].find((made) => made.dataset.id === frame.id);
  if (own) own.classList.remove('waiting');
  else if (!shown.has(frame.id)) showPerson(frame.id, frame.text, false);
  if (!frame.text.startsWith('/')) setRunning(true);
}

function refused(frame) {
  queue.remove(frame.id);
  append(line('failed', `❌ ${frame.text}`));
}

function grow(frame) {
  if (frame.text === '' && frame.since === 0 && !frame.reasoning) return;
  setRunning(true);
  draft ??= { text: '', reasoning: '', from: 0, element: null };
  // `since` counts bytes of the whole text of the turn.
  const have = encoder.encode(draft.text);
  if (frame.since > have.length) {
    link.send({ type: 'running' });
    return;
  }
  draft.text = decoder.decode(have.subarray(0, frame.since)) + frame.text;
  if (frame.reasoning) draft.reasoning = frame.reasoning;
  if (draft.text.length < draft.from) draft.from = 0;
  draft.element ??= append(line('assistant'));
  paint(draft.element, draft.text.slice(draft.from), draft.reasoning);
}

function paint(element, text, reasoning) {
  element.replaceChildren();
  if (reasoning) {
    const details = document.createElement('details');
    details.className = 'reasoning';
    details.append(Object.assign(document.createElement('summary'), { textContent: 'Thinking' }), reasoning);
    element.append(details);
  }
  element.append(render(text));
}

/** The text so far stays where it is; what comes later stands below the tool that is shown next. */
function seal() {
  if (draft === null || draft.element === null) return;
  draft.from = draft.text.length;
  draft.reasoning = '';
  draft.element = null;
}

/** A reply holds the whole text of the turn, or, of one with tools, what was said after them. */
function showReply(frame) {
  const goesOn = draft !== null && frame.text.startsWith(draft.text.slice(0, draft.from));
  const text = goesOn ? frame.text.slice(draft.from) : frame.text;
  const element = draft?.element ?? append(line('assistant'));
  paint(element, text, draft?.reasoning ?? '');
  const about = document.createElement('p');
  about.className = 'about';
  const tokens = frame.tokens.in + frame.tokens.out;
  about.textContent = frame.model + (tokens > 0 ? ` · ${tokens.toLocaleString()} tokens` : '');
  element.append(about);
  endTurn();
}

function endTurn() {
  draft = null;
  setRunning(false);
}

// ---- tools and questions

function tool(name, args, state) {
  const details = document.createElement('details');
  details.className = 'tool';
  details.dataset.state = state;
  const summary = document.createElement('summary');
  const label = document.createElement('strong');
  label.textContent = name;
  const shownArguments = document.createElement('span');
  shownArguments.className = 'arguments';
  shownArguments.textContent = ` ${args}`;
  const mark = document.createElement('span');
  mark.className = 'mark';
  summary.append(label, shownArguments, mark);
  details.append(summary, document.createElement('pre'));
  return details;
}

function shorten(json) {
  let text = json;
  try {
    const value = JSON.parse(json);
    const values = Object.values(value);
    text = values.length === 1 && typeof values[0] === 'string' ? values[0] : Object.entries(value).map(([name, v]) => `${name}=${typeof v === 'string' ? v : JSON.stringify(v)}`).join(' ');
  } catch { /* The model's arguments may be broken; then they are shown as they are. */ }
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

function showActivity(frame) {
  setRunning(true);
  let made = tools.get(frame.call);
  if (!made) {
    made = tool(frame.tool, frame.state === 'started' ? shorten(frame.text) : '', frame.state);
    tools.set(frame.call, made);
    seal();
    append(line('', made));
  }
  made.dataset.state = frame.state;
  made.querySelector('.mark').textContent = { started: ' …', progress: ' …', done: ' ✓', failed: ' ✗' }[frame.state];
  const output = made.querySelector('pre');
  if (frame.state === 'started') return;
  if (frame.state === 'progress') {
    made.open = true;
    output.textContent = frame.text;
  } else {
    made.open = false;
    output.textContent = [output.textContent, frame.text].filter((text) => text !== '').join('\n');
  }
}

function showQuestion(frame) {
  if (questions.has(frame.id)) return;
  const card = document.createElement('section');
  card.className = 'approval';
  card.setAttribute('aria-label', 'Approval');
  const heading = Object.assign(document.createElement('h2'), { textContent: `Allow ${frame.tool}?` });
  const summary = Object.assign(document.createElement('p'), { textContent: frame.summary });
  const args = Object.assign(document.createElement('pre'), { textContent: pretty(frame.arguments) });
  const choices = document.createElement('div');
  choices.className = 'choices';
  for (const [decision, label, kind] of [
    ['once', 'Allow', ''], ['session', 'Allow for this session', 'second'], ['deny', 'Deny', 'danger'],
  ]) {
    const button = Object.assign(document.createElement('button'), { type: 'button', textContent: label, className: kind });
    button.addEventListener('click', () => {
      if (!link.send({ type: 'approve', id: frame.id, decision })) return;
      for (const other of choices.children) other.disabled = true;
    });
    choices.append(button);
  }
  card.append(heading, summary, args, choices);
  questions.set(frame.id, card);
  seal();
  append(line('', card));
}

function pretty(json) {
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    return json;
  }
}

function showDecision(frame) {
  const card = questions.get(frame.id);
  if (!card) return;
  const words = { once: '✓ Allowed.', session: '✓ Allowed for this session.', deny: '✗ Denied.' };
  const text = words[frame.decision] ?? 'No longer open.';
  card.classList.add('decided');
  card.querySelector('.choices').replaceChildren(text + (frame.by ? ` (${frame.by})` : ''));
}

// ---- sessions and models

function showSessions() {
  const items = titles.some((known) => known.id === session) ? titles : [{ id: session, title: 'New session' }, ...titles];
  at('sessions').replaceChildren(...items.map((known) => {
    const anchor = document.createElement('a');
    anchor.href = address(known.id);
    anchor.textContent = (known.busy ? '● ' : '') + (known.title || known.id);
    if (known.id === session) anchor.setAttribute('aria-current', 'page');
    anchor.addEventListener('click', (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey) return;
      event.preventDefault();
      history.pushState({}, '', anchor.href);
      enter(known.id);
    });
    const item = document.createElement('li');
    item.append(anchor);
    return item;
  }));
  const known = titles.find((one) => one.id === session);
  at('title').textContent = known?.title || 'openpista';
  if (known?.model) at('model').value = known.model;
}

function showModels(models) {
  at('model').hidden = models.length < 2;
  const current = titles.find((one) => one.id === session)?.model;
  at('model').replaceChildren(...models.map((model) => new Option(model.title, model.id, false, model.id === current)));
}

at('model').addEventListener('change', () => link.send({ type: 'model', model: at('model').value }));
at('new').addEventListener('click', () => {
  const id = randomId();
  history.pushState({}, '', address(id));
  enter(id);
});
window.addEventListener('popstate', () => {
  const id = location.pathname.match(/\/s\/([A-Za-z0-9_-]{1,64})$/)?.[1];
  if (id) enter(id);
});

function enter(id) {
  session = id;
  seen = 0;
  shown = new Set();
  provisional = [];
  saidBefore = [];
  draft = null;
  tools = new Map();
  questions = new Map();
  setRunning(false);
  joined = false;
  queue = new Queue(session);
  at('messages').replaceChildren();
  menu(false);
  showSessions();
  if (link.isOpen) hello();
  at('text').focus();
}

function menu(open) {
  document.body.classList.toggle('menu-open', open);
  at('menu').setAttribute('aria-expanded', String(open));
}
at('menu').addEventListener('click', () => menu(!document.body.classList.contains('menu-open')));

// ---- writing

function send() {
  const text = at('text').value.trim();
  if (text === '') return;
  at('text').value = '';
  grown();
  if (text === '/new') return at('new').click();
  const item = { id: randomId(), text };
  queue.add(item);
  showPerson(item.id, text, true);
  if (!replaying) link.send({ type: 'say', ...item });
  follow(true);
}

function stop() {
  if (running) link.send({ type: 'stop' });
}

function grown() {
  at('text').rows = Math.min(10, at('text').value.split('\n').length);
}

at('compose').addEventListener('submit', (event) => { event.preventDefault(); send(); });
at('text').addEventListener('input', grown);
at('text').addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send();
});
at('stop').addEventListener('click', stop);
document.addEventListener('keydown', (event) => {
  if (event.key !== 'Escape' || at('sign-in').open) return;
  if (document.body.classList.contains('menu-open')) menu(false);
  else stop();
});

function setRunning(now) {
  running = now;
  at('stop').hidden = !now;
  at('working').hidden = !now;
}

// ---- where the reader is

at('scroll').addEventListener('scroll', () => {
  const box = at('scroll');
  following = box.scrollHeight - box.scrollTop - box.clientHeight < 60;
  at('latest').hidden = following;
});
at('latest').addEventListener('click', () => follow(true));

function follow(whatever = false) {
  if (!whatever && !following) return;
  const box = at('scroll');
  box.scrollTop = box.scrollHeight;
}

function showState(state) {
  const place = at('state');
  const words = {
    connecting: 'connecting…', open: 'connected', waiting: 'no connection, trying again…', 'signed-out': 'not signed in',
  };
  place.classList.toggle('bad', state !== 'open' && state !== 'connecting');
  if (state === 'given-up') {
    const button = Object.assign(document.createElement('button'), { type: 'button', textContent: 'Connect again' });
    button.addEventListener('click', () => { link.attempt = 0; link.open(); });
    place.replaceChildren(button);
  } else {
    place.textContent = words[state];
  }
}

queue = new Queue(session);
showSessions();
if (token === null) {
  link.open();
} else {
  signIn(token).then(
    (problem) => (problem ? askToSignIn(problem) : link.open()),
    () => link.open(),
  );
}
