// A client of Directus, with its WebSocket: BASE_URL CANARY
import { WebSocket } from 'ws';
import { asking, flow, status } from './flow.mjs';

const [base, canary] = process.argv.slice(2);
const headers = {};
const ask = asking(base, headers);
const told = ({ id, room, text }) => ({ id, room, text });
const listed = async (query) => (await ask('GET', `/items/messages?${new URLSearchParams(query)}`)).data.map(told);
const of = (room) => ({ 'filter[room][_eq]': room });
const write = async (method, path, body) => told((await ask(method, `/items/messages${path}`, body)).data);

await flow(canary, {
  async begin() {
    const refused = await status(() => listed({}));
    const { data } = await ask('POST', '/auth/login', { email: 'ada@example.com', password: 'password-of-ada' });
    const fresh = await ask('POST', '/auth/refresh', { refresh_token: data.refresh_token, mode: 'json' });
    headers.authorization = `Bearer ${fresh.data.access_token}`;
    return refused;
  },
  listen: (seen) => new Promise((done, failed) => {
    const socket = new WebSocket(`${base.replace('http', 'ws')}/websocket`);
    const send = (one) => socket.send(JSON.stringify(one));
    socket.on('open', () => send({ type: 'auth', access_token: headers.authorization.split(' ')[1] }));
    socket.on('error', failed);
    socket.on('message', (bytes) => {
      const { type, event, data, error } = JSON.parse(bytes);
      if (error) failed(new Error(error.message));
      if (type === 'auth') send({ type: 'subscribe', collection: 'messages' });
      if (type === 'ping') send({ type: 'pong' });
      if (event === 'init') done('subscribed');
      else if (type === 'subscription' && event !== 'delete') for (const one of data) seen(event, told(one));
    });
  }),
  live: 5,
  create: (room, text) => write('POST', '', { room, text }),
  several: async (room, texts) => (await ask('POST', '/items/messages', texts.map((text) => ({ room, text })))).data.map(told),
  list: (room) => listed(of(room)),
  page: (room, page, limit) => listed({ ...of(room), page, limit }),
  get: (id) => write('GET', `/${id}`),
  change: (id, text) => write('PATCH', `/${id}`, { text }),
  remove: (id) => ask('DELETE', `/items/messages/${id}`),
  async upload(room, name, bytes) {
    const form = new FormData();
    form.append('title', room);
    form.append('file', new Blob([bytes], { type: 'text/plain' }), name);
    return (await ask('POST', '/files', form)).data.id;
  },
  download: (_, id) => ask('GET', `/assets/${id}`),
  async refused() {
    return [await status(() => write('POST', '', { room: null, text: canary })), await status(() => write('GET', '/0'))];
  },
  costs: {
    'search in a sealed field': async (room, text) => (await listed({ ...of(room), search: text.slice(0, 20) })).length,
    'filter by a sealed field': async (room, text) => (await listed({ ...of(room), 'filter[text][_eq]': text })).length,
    'order by a sealed field': async (room) => (await listed({ ...of(room), sort: '-text' })).map(({ text }) => text),
    async 'unique sealed field'(room, text) {
      const body = { room: `${room}-unique`, text, title: room };
      return [await write('POST', '', body), await write('POST', '', body)].length;
    },
  },
});
