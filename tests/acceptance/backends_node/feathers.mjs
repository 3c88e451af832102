// Clients of FeathersJS, by REST and by its client for Socket.IO: BASE_URL CANARY
import { feathers } from '@feathersjs/feathers';
import socketio from '@feathersjs/socketio-client';
import { io } from 'socket.io-client';
import { asking, flow, status } from './flow.mjs';

const [base, canary] = process.argv.slice(2);
const ask = asking(base);
const app = feathers().configure(socketio(io(base, { transports: ['websocket'] })));
const socket = app.service('messages');
const told = ({ id, room, text }) => ({ id, room, text });
const listed = async (query) => (await ask('GET', `/messages?${new URLSearchParams(query)}`)).data.map(told);
const write = async (method, path, body) => told(await ask(method, `/messages${path}`, body));

await flow(canary, {
  begin: () => new Promise((done) => app.io.on('connect', () => done('connected'))),
  listen(seen) {
    for (const kind of ['created', 'updated', 'patched', 'removed']) socket.on(kind, (one) => seen(kind, told(one)));
  },
  live: 8,
  create: (room, text) => write('POST', '', { room, text }),
  several: async (room, texts) => (await ask('POST', '/messages', texts.map((text) => ({ room, text })))).map(told),
  list: (room) => listed({ room }),
  order: (room) => listed({ room, '$sort[id]': -1 }),
  page: (room, page, $limit) => listed({ room, '$sort[id]': 1, $limit, $skip: (page - 1) * $limit }),
  get: async (id) => told(await socket.get(id)),
  replace: (id, room, text) => write('PUT', `/${id}`, { room, text }),
  change: (id, text) => write('PATCH', `/${id}`, { text }),
  remove: (id) => write('DELETE', `/${id}`),
  async upload(room, _, bytes) {
    const { id } = await socket.create({ room, text: canary, scan: bytes.toString('base64') });
    return id;
  },
  download: async (_, id) => Buffer.from((await ask('GET', `/messages/${id}`)).scan, 'base64'),
  refused: async () => [await status(() => ask('GET', '/messages/0')), await status(() => socket.get(0))],
  costs: {
    'search in a sealed field': async (room, text) => (await listed({ room, 'text[$like]': `${text.slice(0, 20)}%` })).length,
    'filter by a sealed field': async (room, text) => (await listed({ room, text })).length,
    'order by a sealed field': async (room) => (await listed({ room, '$sort[text]': -1 })).map(({ text }) => text),
    async 'unique sealed field'(room, text) {
      const body = { room: `${room}-unique`, text, title: room };
      return [await ask('POST', '/messages', body), await ask('POST', '/messages', body)].length;
    },
  },
});
