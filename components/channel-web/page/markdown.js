// Markdown as DOM nodes. Text of a model is never parsed as HTML: every piece of it becomes a text node, every element
// is made here. Known: code blocks, headings, lists, quotes, rules, paragraphs; inline code, bold, italics, links.

const SAFE = /^https?:\/\//i;

/** The nodes of a text. An unclosed code block (the text is still growing) reaches to the end. */
export function render(text) {
  const out = document.createDocumentFragment();
  const lines = text.split('\n');
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    const fence = line.match(/^\s*(`{3,}|~{3,})/);
    if (fence) {
      const end = new RegExp('^\\s*' + fence[1][0] + '{' + fence[1].length + ',}\\s*$');
      const code = [];
      for (at += 1; at < lines.length && !end.test(lines[at]); at += 1) code.push(lines[at]);
      at += 1;
      const pre = element('pre', element('code', code.join('\n')));
      pre.tabIndex = 0;
      out.append(pre);
      continue;
    }
    const heading = line.match(/^(#{1,6})\s+(.*)$/);
    if (heading) {
      // The page has its own h1; the text's headings stand below it.
      out.append(element('h' + Math.min(heading[1].length + 2, 6), ...inline(heading[2])));
      at += 1;
      continue;
    }
    if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(line)) {
      out.append(element('hr'));
      at += 1;
      continue;
    }
    if (bullet(line) || numbered(line)) {
      const kind = bullet(line) ? bullet : numbered;
      const list = element(kind === bullet ? 'ul' : 'ol');
      if (kind === numbered) list.start = Number(line.match(/\d+/)[0]);
      for (; at < lines.length && (kind(lines[at]) || /^\s{2,}\S/.test(lines[at])); at += 1) {
        const item = kind(lines[at]);
        if (item) list.append(element('li', ...inline(item[1])));
        else list.lastChild.append(element('br'), ...inline(lines[at].trim()));
      }
      out.append(list);
      continue;
    }
    if (/^\s*>/.test(line)) {
      const quoted = [];
      for (; at < lines.length && /^\s*>/.test(lines[at]); at += 1) quoted.push(lines[at].replace(/^\s*>\s?/, ''));
      out.append(element('blockquote', ...broken(quoted)));
      continue;
    }
    if (line.trim() === '') {
      at += 1;
      continue;
    }
    const words = [];
    for (; at < lines.length && lines[at].trim() !== '' && !starts(lines[at]); at += 1) words.push(lines[at]);
    if (words.length === 0) { words.push(lines[at]); at += 1; }
    out.append(element('p', ...broken(words)));
  }
  return out;
}

const bullet = (line) => line.match(/^\s*[-*+]\s+(.*)$/);
const numbered = (line) => line.match(/^\s*\d{1,9}[.)]\s+(.*)$/);
const starts = (line) => /^\s*(`{3,}|~{3,}|>|#{1,6}\s)/.test(line) || bullet(line) || numbered(line);

function broken(lines) {
  return lines.flatMap((line, at) => (at === 0 ? inline(line) : [element('br'), ...inline(line)]));
}

const INLINE = /(`+)(.+?)\1(?!`)|\*\*(.+?)\*\*|\*([^\s*](?:[^*]*[^\s*])?)\*|\[([^\]]+)\]\(([^\s)]+)\)|(https?:\/\/[^\s<>"')\]]+[^\s<>"')\].,;:!?])/g;

function inline(text) {
  const nodes = [];
  let from = 0;
  for (const found of text.matchAll(INLINE)) {
    nodes.push(text.slice(from, found.index));
    from = found.index + found[0].length;
    const [whole, , code, bold, italic, label, target, bare] = found;
    if (code !== undefined) nodes.push(element('code', code.trim() || code));
    else if (bold !== undefined) nodes.push(element('strong', ...inline(bold)));
    else if (italic !== undefined) nodes.push(element('em', ...inline(italic)));
    else if (bare !== undefined) nodes.push(link(bare, bare));
    else if (SAFE.test(target)) nodes.push(link(target, label));
    else nodes.push(whole);
  }
  nodes.push(text.slice(from));
  return nodes.filter((node) => node !== '');
}

function link(target, label) {
  const anchor = element('a', label);
  anchor.href = target;
  anchor.rel = 'noopener noreferrer';
  anchor.target = '_blank';
  return anchor;
}

function element(name, ...children) {
  const made = document.createElement(name);
  made.append(...children);
  return made;
}
