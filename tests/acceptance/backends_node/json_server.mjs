// A client of json-server: BASE_URL CANARY
import { asking, flow } from './flow.mjs';

const [base, canary] = process.argv.slice(2);
const ask = asking(base);
const told = ({ id, room, content }) => ({ id, room, text: content });
const all = (found) => found.map(told);
const listed = async (query) => all(await ask('GET', `/messages?${new URLSearchParams(query)}`));

await flow(canary, {
  create: async (room, content) => told(await ask('POST', '/messages', { room, author: 'ada', content })),
  list: (room) => listed({ room }),
  filter: (room) => listed({ room, author: 'ada' }),
  page: (room, _page, _limit) => listed({ room, _page, _limit }),
  get: async (id) => told(await ask('GET', `/messages/${id}`)),
  replace: async (id, room, content) => told(await ask('PUT', `/messages/${id}`, { room, author: 'ada', content })),
  change: async (id, content) => told(await ask('PATCH', `/messages/${id}`, { content })),
  remove: (id) => ask('DELETE', `/messages/${id}`),
  costs: {
    'search in a sealed field': async (room, text) => (await listed({ room, q: text.slice(0, 20) })).length,
    'filter by a sealed field': async (room, content) => (await listed({ room, content })).length,
    'order by a sealed field': async (room) =>
      (await listed({ room, _sort: 'content', _order: 'desc' })).map(({ text }) => text),
  },
});
