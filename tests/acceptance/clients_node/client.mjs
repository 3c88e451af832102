// A client of Node before the backend: `LIBRARY URL CANARY TOKEN`; `fetch` is that of undici. See test_clients.py.
import { Readable } from 'node:stream';

const [library, url, canary, token] = process.argv.slice(2);
const old = `${url}/api/v1/messages`;
const api = `${url}/api/v1/enhanced-messages`;
const text = `${canary} "q" \\ / < > & ü \u{1f30d}`;
const authorization = `Bearer ${token}`;
const axios = library === 'axios' ? (await import('axios')).default : undefined;

function tell(name, status, kind, body) {
  process.stdout.write(`${name}\t${status}\t${kind}\t${body.toString('base64')}\n`);
  return body.toString('latin1');
}

// Send one message: `body` is an object (JSON), a FormData, or a stream of pieces.
async function send(name, method, where, body) {
  const headers = { authorization };
  if (axios) {
    if (body instanceof Readable) headers['content-type'] = 'application/json';
    const answer = await axios({
      method, url: where, data: body, headers, responseType: 'arraybuffer', validateStatus: () => true,
    });
    return tell(name, answer.status, answer.headers['content-type'], Buffer.from(answer.data));
  }
  const options = { method, headers };
  if (body instanceof FormData) {
    options.body = body;
  } else if (body instanceof Readable) {
    Object.assign(options, { body: Readable.toWeb(body), duplex: 'half' });
    headers['content-type'] = 'application/json';
  } else if (body !== undefined) {
    options.body = JSON.stringify(body);
    headers['content-type'] = 'application/json';
  }
  const answer = await fetch(where, options);
  return tell(name, answer.status, answer.headers.get('content-type'), Buffer.from(await answer.arrayBuffer()));
}

const number = (found, member) => new RegExp(`"${member}":(\\d+)`).exec(found)[1];

function form() {
  const scan = Buffer.concat(Array(400).fill(Buffer.concat([Buffer.from(canary), Buffer.from([...Array(256).keys()])])));
  const made = new FormData();
  made.append('note', 'one');
  made.append('files', new Blob([scan], { type: 'application/octet-stream' }), 'scan.bin');
  made.append('files', new Blob([text], { type: 'text/plain; charset=utf-8' }), `Röntgen ${canary}.txt`);
  return made;
}

let found = await send('create', 'POST', old, { content: text, subject: canary });
await send('in pieces', 'POST', old, Readable.from([Buffer.from('{"content": "'), Buffer.from(`${canary} in pieces"`), Buffer.from('}')]));
await send('group', 'POST', `${api}/group`, { content: text, conversationId: 'c1' });
await send('edit', 'PUT', `${api}/${number(found, 'id')}`, { content: `${text} edited` });
await send('invalid', 'POST', old, { content: text, priority: 'high' });
await send('history', 'GET', `${api}/history`);
found = await send('upload', 'POST', `${api}/upload`, form());
await send('download', 'GET', `${api}/files/${number(found, 'number')}`);
await send('events', 'GET', `${old}/events`);
await Promise.all([...Array(16).keys()].map((one) => send(`together ${one}`, 'POST', old, { content: `${canary} ${one}` })));
