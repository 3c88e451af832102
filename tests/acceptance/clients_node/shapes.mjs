// A client of Node that sends JSON, a form and files, each to its path: `LIBRARY URL`. See tests/acceptance/shapes/record.py.
const [library, url] = process.argv.slice(2);
const text = 'café "q" \\ / <b> & \u{1F600}';
const message = { conversationId: 'c1', content: text, draft: false, n: 1.5, replyTo: null };
const form = { content: text, title: 'a b' };
const [name, type] = ['grüße a.txt', 'text/plain'];

function made(Kind, file, ...more) {
  const data = new Kind();
  for (const [field, value] of Object.entries(form)) data.append(field, value);
  data.append('file', file, ...more);
  return data;
}
const blob = new Blob(['text'], { type });

const clients = {
  async undici() {
    const post = (path, body, headers) => fetch(url + path, { method: 'POST', body, headers });
    await post('/api/messages', JSON.stringify(message), { 'content-type': 'application/json' });
    await post('/posts', new URLSearchParams(form));
    await post('/upload', made(FormData, blob, name));
  },
  async axios() {
    const { default: axios } = await import('axios');
    const { default: Data } = await import('form-data');
    await axios.post(`${url}/api/messages`, message);
    await axios.post(`${url}/posts`, new URLSearchParams(form));
    await axios.post(`${url}/upload`, made(Data, Buffer.from('text'), { filename: name, contentType: type }));
    await axios.post(`${url}/upload`, made(FormData, blob, name));
  },
  async got() {
    const { default: got } = await import('got');
    await got.post(`${url}/api/messages`, { json: message });
    await got.post(`${url}/posts`, { form });
    await got.post(`${url}/upload`, { body: made(FormData, blob, name) });
  },
  async superagent() {
    const { default: agent } = await import('superagent');
    await agent.post(`${url}/api/messages`).send(message);
    await agent.post(`${url}/posts`).type('form').send(form);
    await agent.post(`${url}/upload`).field(form).attach('file', Buffer.from('text'), { filename: name, contentType: type });
  },
};
await clients[library]();
