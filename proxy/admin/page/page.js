'use strict';
// The status page. Data from a response is inserted as text, never as markup.
const KEPT = 40, WAIT = 2000, SPARK = 60, CLIMB = 10;
const $ = (id) => document.getElementById(id);
const store = window.sessionStorage;
let token = store.getItem('token') || '';
let climbed = 0, stop = null, turn = 0, paused = false, waiting = [], rates = [], before = null;

function make(tag, className, ...inside) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  for (const one of inside) {
    if (one !== null && one !== undefined) made.append(one.nodeType ? one : String(one));
  }
  return made;
}
function fill(node, ...inside) { node.replaceChildren(...inside); }
function many(number, one, more) { return number.toLocaleString('en') + ' ' + (number === 1 ? one : more || one + 's'); }
function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return s + ' s';
  if (s < 3600) return Math.floor(s / 60) + ' min';
  const min = Math.floor(s % 3600 / 60);
  if (s < 172800) return Math.floor(s / 3600) + ' h' + (min ? ' ' + min + ' min' : '');
  return Math.floor(s / 86400) + ' days';
}
const now = () => Date.now() / 1000;
function bytes(n) { return n < 1024 ? n + ' B' : n < 1048576 ? (n / 1024).toFixed(1) + ' KiB' : (n / 1048576).toFixed(1) + ' MiB'; }

// --- requests ---------------------------------------------------------------------------------

function ask(path, more) {
  const headers = token ? { Authorization: 'Bearer ' + token } : {};
  return fetch(path, { ...more, headers: { ...headers, ...(more && more.headers) }, cache: 'no-store', credentials: 'omit' });
}
function link(state, text) { $('link').className = 'link ' + state; $('link-text').textContent = text; }
function gate(message) {
  $('gate').hidden = false; $('all').hidden = true;
  $('gate-error').textContent = message;
  link('', 'not connected'); $('token').focus();
}
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function watch() { // one at a time: a later call ends earlier ones
  if (stop) stop.abort();
  const mine = ++turn;
  while (mine === turn) {
    stop = new AbortController();
    try {
      const response = await ask('/v1/status/follow?status', { signal: stop.signal });
      if (response.status === 401 || response.status === 403) {
        store.removeItem('token');
        return gate(token ? 'The token is wrong, or lacks the scope `read`.' : '');
      }
      if (response.ok) await read(response.body);
      else if (response.status === 404) await poll();
      else link('', 'rate limited, retrying');
    } catch { /* disconnected or unreachable: retried below */ }
    if (mine !== turn) return;
    link('', 'connection lost, retrying');
    await pause(WAIT);
  }
}
async function read(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split('\n');
    rest = lines.pop();
    for (const line of lines) if (line) take(JSON.parse(line));
  }
}
async function poll() { // the tap is off: all but the traffic
  $('silent').textContent = 'The tap is off. Set `admin.tap: true` to see messages by kind and size.';
  for (;;) {
    const response = await ask('/v1/status', { signal: stop.signal });
    if (!response.ok) return;
    take({ status: await response.json() });
    await pause(WAIT);
  }
}
function take(event) {
  $('gate').hidden = true; $('all').hidden = false; link('live', 'live');
  if (event.status) { status(event.status); climb().catch(() => {}); }
  if (event.messages) traffic(event);
}

// --- status ---------------------------------------------------------------------------------

function status(s) {
  const half = s.checks.some((one) => one.degraded);
  const pill = $('ready');
  const word = s.draining ? 'Draining' : !s.ready ? 'Not ready' : half ? 'Ready, degraded' : 'Ready';
  if (pill.textContent !== word) pill.textContent = word;
  pill.className = 'pill ' + (!s.ready || s.draining ? 'no' : half ? 'half' : 'good');
  document.title = word + ' · Sealyard';
  $('about').textContent = 'version ' + s.version + ' · up ' + span(s.uptime_s) + (s.workers ? ' · ' + many(s.workers.length, 'worker') : '');
  totals(s.rules);
  rules(s.rules);
  keys(s.keys);
  health(s);
  if (s.demo && s.demo.length && $('demo').hidden) buttons(s.demo);
}
function sum(all, ...names) { return all.reduce((n, one) => n + names.reduce((m, name) => m + (one.counts[name] || 0), 0), 0); }
function totals(all) {
  const messages = sum(all, 'forwarded', 'refused', 'failed', 'aborted'), refused = sum(all, 'refused', 'failed');
  const show = (id, n) => { $(id).textContent = n.toLocaleString('en'); };
  show('n-messages', messages); show('n-sealed', sum(all, 'sealed'));
  show('n-opened', sum(all, 'opened')); show('n-refused', refused);
  $('n-refused').parentNode.classList.toggle('some', refused > 0);
  const at = performance.now();
  if (before && messages >= before.messages) {
    const rate = (messages - before.messages) / ((at - before.at) / 1000);
    rates.push(rate); rates = rates.slice(-SPARK);
    $('n-rate').textContent = (rate < 10 ? rate.toFixed(1) : Math.round(rate).toLocaleString('en')) + ' per second';
    const top = Math.max(1, ...rates);
    const points = rates.map((r, i) => (120 - (rates.length - 1 - i) * (120 / SPARK)).toFixed(1) + ' ' + (26 - r / top * 22).toFixed(1));
    if (rates.length > 2) $('spark-line').setAttribute('d', 'M' + points.join('L'));
    if (rates.length > 2) $('spark-area').setAttribute('d', 'M' + points.join('L') + 'L120 28L' + points[0].split(' ')[0] + ' 28Z');
  }
  before = { messages, at };
}
function heads(id, from) { // in a narrow window each cell has its heading
  const names = [...$(id).parentNode.querySelectorAll('th')].map((one) => one.textContent);
  for (const row of $(id).rows) {
    for (const one of [...row.cells].slice(from)) if (one.textContent) one.dataset.label = names[one.cellIndex];
  }
}
function rules(all) {
  const cell = (n, kind) => make('td', 'n ' + (n ? kind : 'zero'), (n || 0).toLocaleString('en'));
  fill($('rules'), ...all.map((one) => {
    const c = one.counts, matched = sum([one], 'forwarded', 'refused', 'failed', 'aborted');
    const name = make('td', '', make('strong', '', one.rule === null ? 'no rule' : one.rule), make('span', 'does', one.does.join(' · ') || 'passes'));
    const takes = make('td', 'mono', ...(one.rule === null ? [make('span', 'takes quiet', 'everything else on ' + one.listener)] : one.match.map((m) => make('span', 'takes', m))));
    const last = one.rule === null ? '' : one.last_matched ? span(now() - one.last_matched) + ' ago' : make('span', 'tag', 'never');
    return make('tr', '', name, takes, cell(matched, ''), cell(c.sealed, 'seal'), cell(c.opened, 'open'), cell((c.plain || 0) + (c.kept || 0) + (c.in_markup || 0), 'no'), cell((c.refused || 0) + (c.failed || 0), 'no'), make('td', 'quiet', last));
  }));
  heads('rules', 2);
}
async function climb() { // what has been counted of each day changes slowly
  if (now() - climbed < CLIMB) return;
  climbed = now();
  const [steps, leaks] = await Promise.all([ask('/v1/status/steps'), ask('/v1/status/leaks')]);
  if (steps.ok) ladder(await steps.json());
  if (leaks.ok) unruled((await leaks.json()).sensitive || []);
}
function ladder(l) {
  $('ladder-note').textContent = 'Counted in each mode, since ' + new Date(l.counted_since * 1000).toLocaleDateString('en-GB') + (l.kept ? '' : ', the start of the process') + '. `sealyard status --steps` tells whether a step up is safe.';
  fill($('ladder'), ...l.rules.map((one) => {
    const refused = one.would_refuse.sort((a, b) => b.messages - a.messages).map((r) => make('span', 'takes', r.messages.toLocaleString('en') + ' ' + r.direction + ' ' + r.reason + (r.client_name ? ' from ' + r.client_name : '')));
    const mode = one.mode + (one.mode === 'permissive' ? ' until ' + new Date(one.until * 1000).toLocaleDateString('en-GB') : '');
    return make('tr', '', make('td', '', make('strong', '', one.rule || 'beside the rules'), make('span', 'does', one.listener)), make('td', '', mode), make('td', 'quiet', (one.seen ? '' : 'at least ') + span(l.at - one.since)),
      make('td', 'n' + (one.messages ? '' : ' zero'), one.messages.toLocaleString('en'), ...(one.plain ? [make('span', 'does', many(one.plain, 'plain value'))] : [])), make('td', 'mono', ...refused));
  }));
  heads('ladder', 1);
}
function unruled(members) {
  fill($('unruled'), ...members.sort((a, b) => b.number - a.number).map((one) => make('li', 'half', make('span', 'sign', '!'),
    make('span', '', make('strong', 'mono', one.member), ' looks sensitive (' + one.kind + ') and no rule seals it: ' + one.listener + ', ' + (one.rule || one.method + ' ' + one.shape) + ', ' + many(one.number, one.direction)))));
}
function bar(share, late) {
  const inside = make('span'), outside = make('div', 'due' + (late ? ' late' : ''), inside);
  inside.style.width = (100 * Math.min(1, Math.max(0.01, share))).toFixed(1) + '%';
  return outside;
}
function keys(k) {
  const year = 365 * 86400;
  $('keys-note').textContent = k.mode + ' sessions for ' + span(k.ttl_s) + ', store: ' + k.store + k.keyrings.map((one) => ', keyring ' + one.id + ', generation ' + one.generation).join('') + k.keyring_states.map((one) => ', ' + one).join('');
  fill($('keks'), ...k.keks.map((one) => {
    const age = now() - one.created;
    return make('li', '',
      make('div', 'line', make('span', '', make('strong', 'mono', one.kek), ' ', make('span', 'tag' + (one.state === 'primary' ? ' seal' : ''), one.state)), make('span', 'quiet', span(age) + ' old, due after a year')),
      bar(age / year, age > year),
      make('p', 'quiet', many(one.opened, 'value') + ' opened' + (one.last_opened ? ', last ' + span(now() - one.last_opened) + ' ago' : '')));
  }));
  const shown = k.sessions.map((one) => {
    const left = one.soft_end - now(), whole = one.soft_end - one.created;
    return make('li', '',
      make('div', 'line', make('span', 'mono', one.sid), make('span', 'quiet', many(one.sealed, 'value') + ' sealed · ' + (left > 0 ? 'due in ' + span(left) : 'due now'))),
      bar(1 - left / whole, left < whole / 10));
  });
  if (k.sealing > shown.length) shown.push(make('li', 'quiet', 'and ' + (k.sealing - shown.length).toLocaleString('en') + ' more'));
  fill($('sessions'), ...(shown.length ? shown : [make('li', 'quiet', 'none: no value has been sealed yet')]));
}
function health(s) {
  fill($('checks'), ...s.checks.map((one) => make('li', !one.ok ? 'no' : one.degraded ? 'half' : 'good',
    make('span', 'sign', !one.ok ? '✕' : one.degraded ? '!' : '✓'), make('span', '', make('strong', '', one.name), one.detail ? ' ' + one.detail : ''))));
  const each = s.workers || [s], facts = [];
  const connected = each.reduce((n, one) => n + Object.values(one.connections || {}).reduce((a, b) => a + b, 0), 0);
  for (const one of s.listeners) facts.push([one.name, one.listen + ' → ' + one.upstream]);
  facts.push(['Client connections', connected], ['Configuration loaded', new Date(s.configuration.loaded_at * 1000).toLocaleString('en-GB')]);
  facts.push(['SHA-256', s.configuration.sha256.slice(0, 16)], ['File', s.configuration.file]);
  if (s.last_reload && !s.last_reload.accepted) facts.push(['Last reload', 'refused: ' + s.last_reload.problems.join('; ')]);
  fill($('facts'), ...facts.flatMap(([name, value]) => [make('dt', '', name), make('dd', '', value)]));
}

// --- traffic --------------------------------------------------------------------------------

function traffic(seen) {
  if (seen.values) $('traffic-note').textContent = 'This is the demo: its chat is fictitious, so values are shown. Elsewhere, only kinds and sizes.';
  if (seen.missed) $('foot').textContent = many(seen.missed, 'message') + ' passed but are not shown.';
  waiting = waiting.concat(seen.messages).slice(-KEPT);
  if (!paused) show();
}
function show() {
  const list = $('messages'), fresh = waiting.map(message).reverse();
  waiting = [];
  if (!fresh.length) return;
  $('silent').hidden = true;
  list.prepend(...fresh);
  while (list.children.length > KEPT) list.lastChild.remove();
}
function message(m) {
  const f = m.outcomes, what = make('div', 'what');
  const at = make('time', '', new Date(m.at * 1000).toLocaleTimeString('en-GB'));
  what.append(at, make('strong', 'mono', m.method || '?'), make('span', '', m.rule === null || m.rule === undefined ? 'no rule' : m.rule));
  const tag = (n, kind, word) => { if (n) what.append(make('span', 'tag ' + kind, n + ' ' + word)); };
  tag(f.sealed, 'seal', 'sealed'); tag(f.opened, 'open', 'opened'); tag(f.plain, 'no', 'plain'); tag(f.kept, 'no', 'kept'); tag(f.in_markup, 'no', 'kept in markup'); tag(f.cut, 'no', 'cut'); tag(f.masked, 'open', 'masked'); tag(f.token, 'seal', 'kept as tokens'); tag(f.absent, 'seal', 'left out'); tag(f.searched, 'seal', 'searched'); tag(f.found, 'open', 'found'); tag(f.filtered, 'no', 'filtered'); tag(f.unsealed, 'no', 'unsealed'); tag(f.unread, 'no', 'unread');
  if (m.chapter) what.append(make('span', 'tag', m.chapter));
  if (m.error) what.append(make('span', 'tag no', 'refused: ' + m.error));
  what.append(make('span', 'end', m.part ? m.part + (m.direction === 'request' ? ' to the backend' : ' to the reader') : m.status + ' · ' + m.ms + ' ms'));
  if (m.part) return make('li', 'message new', what, piece(m));
  const whole = (n) => n ? bytes(n) : 'no body';
  const asks = m.sent > 0 || m.client;
  const stopped = m.error && m.direction === 'request';
  const cells = make('div', 'cells',
    cell('Client sent', '', m.client, null, asks ? whole(m.sent) : 'a request without a body'),
    stopped ? cell('Backend got', 'mid', null, null, 'nothing: it was refused')
      : asks ? cell('Backend got', 'mid', m.backend, m.client, m.backend ? size(m.backend_bytes) : whole(m.sent) + ', unchanged')
      : cell('Backend sent', 'mid', m.answer, null, m.answer ? size(m.answer_bytes) : whole(m.got) + ', unchanged'),
    m.error ? cell('Reader gets', '', null, null, 'an error, without the message') : cell('Reader gets', '', m.reader, m.answer, whole(m.got)));
  return make('li', 'message new' + (m.error ? ' refusal' : ''), what, cells);
}
function size(n) { return n === null ? 'streamed' : bytes(n); }
function piece(m) { // one message of a WebSocket, or one piece of a stream
  const up = m.direction === 'request', none = () => make('div');
  return make('div', 'cells',
    up ? cell('Client sent', '', m.client, null, size(m.client_bytes)) : none(),
    up ? cell('Backend got', 'mid', m.backend, m.client, size(m.backend_bytes)) : cell('Backend sent', 'mid', m.answer, null, size(m.answer_bytes)),
    up ? none() : cell('Reader gets', '', m.reader, m.answer, size(m.reader_bytes)));
}
function cell(title, kind, rows, was, size) {
  const made = make('div', 'cell ' + kind, make('h3', '', title), make('div', 'size', size));
  (rows || []).forEach((row, i) => {
    const old = was && was.length === rows.length ? was[i] : null;
    made.append(line(row, old));
  });
  return made;
}
function line([depth, name, kind, size, value], old) {
  if (kind === 'more') return make('div', 'row quiet', '…');
  if (kind === 'object' && name === null) return make('div', 'gap');
  const opened = old && (old[2] === 'sealed' || old[2] === 'stream') && kind !== old[2];
  const made = make('div', 'row d' + Math.min(depth, 3) + (kind === 'sealed' || kind === 'stream' ? ' seal' : opened ? ' opened' : ''));
  if (name !== null) made.append(make('span', 'key', name));
  const words = { list: many(size || 0, 'element'), object: '{ }', flag: 'true or false', more: '…' };
  if (value !== undefined) {
    made.append(make('span', 'text', value));
    if (kind === 'sealed') made.append(make('span', 'much', size + ' characters'));
  } else if (kind === 'text' || kind === 'sealed' || kind === 'body' || kind === 'stream' || kind === 'form') {
    const ink = make('span', 'ink');
    ink.style.width = size === null ? '40%' : Math.round(8 + 13 * Math.log2(1 + size)) + 'px';
    made.append(ink, make('span', 'much', (kind === 'text' ? '' : kind + ' ') + (size === null ? '' : size + (kind === 'body' || kind === 'stream' ? ' bytes' : ''))));
  } else made.append(make('span', 'much', words[kind] || kind));
  return made;
}

// --- the demo -------------------------------------------------------------------------------

function buttons(all) {
  fill($('d-acts'), ...all.map((one) => {
    const made = make('button', '', one.label);
    made.type = 'button';
    made.addEventListener('click', () => act(one, made));
    return made;
  }));
  $('demo').hidden = false;
}
async function act(one, button) {
  const all = [...$('d-acts').children], sign = (holds) => make('span', 'sign', holds ? '✓' : '✕');
  for (const each of all) each.disabled = true;
  let told;
  try {
    const response = await ask('/demo', { method: 'POST', body: JSON.stringify({ act: one.name, text: $('d-text').value }), headers: { 'Content-Type': 'application/json' } });
    told = await response.json();
    if (!response.ok) throw new Error(told.detail || told.title);
    fill($('d-answer'), make('h3', '', one.label), make('p', 'quiet', one.meaning),
      make('ul', 'checks', ...told.claims.map(([holds, text]) => make('li', holds ? 'good' : 'no', sign(holds), text))));
  } catch (error) { fill($('d-answer'), make('p', 'bad', error.message)); }
  for (const each of all) each.disabled = false;
  button.focus();
}

// --- the reader -----------------------------------------------------------------------------

$('gate-form').addEventListener('submit', (event) => {
  event.preventDefault();
  token = $('token').value.trim();
  $('token').value = '';
  store.setItem('token', token);
  watch();
});
$('pause').addEventListener('click', () => {
  paused = !paused;
  $('pause').setAttribute('aria-pressed', String(paused));
  $('pause').textContent = paused ? 'Resume' : 'Pause';
  if (!paused) show();
});
document.addEventListener('visibilitychange', () => {
  if (!document.hidden && $('gate').hidden) watch();
  else if (document.hidden && stop) { turn += 1; stop.abort(); link('', 'paused while hidden'); }
});
watch();
