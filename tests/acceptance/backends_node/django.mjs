// A client of Django REST framework with simplejwt: BASE_URL CANARY
import { asking, flow, status } from './flow.mjs';

const [base, canary] = process.argv.slice(2);
const headers = {};
const ask = asking(base, headers);
const told = ({ id, room, text }) => ({ id, room, text });
const listed = async (query) => (await ask('GET', `/api/messages/?${new URLSearchParams(query)}`)).results.map(told);
const write = async (method, path, body) => told(await ask(method, `/api/messages/${path}`, body));

await flow(canary, {
  async begin() {
    const refused = await status(() => listed({}));
    const { refresh } = await ask('POST', '/api/token/', { username: 'ada', password: 'password-of-ada' });
    const { access } = await ask('POST', '/api/token/refresh/', { refresh });
    headers.authorization = `Bearer ${access}`;
    return refused;
  },
  create: (room, text) => write('POST', '', { room, text, title: `${text} ${room}` }),
  list: (room) => listed({ room }),
  async page(room, page, page_size) {
    let found = await ask('GET', `/api/messages/?${new URLSearchParams({ room, page_size })}`);
    for (let at = 1; at < page; at += 1) {
      const { pathname, search } = new URL(found.next); // the links of the backend itself
      found = await ask('GET', `${pathname}${search}`);
    }
    return found.results.map(told);
  },
  get: (id) => write('GET', `${id}/`),
  replace: (id, room, text) => write('PUT', `${id}/`, { room, text }),
  change: (id, text) => write('PATCH', `${id}/`, { text }),
  remove: (id) => ask('DELETE', `/api/messages/${id}/`),
  async upload(room, name, bytes) {
    const form = new FormData();
    form.append('scan', new Blob([bytes], { type: 'text/plain' }), name);
    const { id } = await write('POST', '', { room, text: canary });
    return new URL((await ask('PATCH', `/api/messages/${id}/`, form)).scan, base).pathname;
  },
  download: (_, place) => ask('GET', place),
  async refused() {
    const mistake = async (body) => {
      try {
        return await ask('POST', '/api/messages/', body);
      } catch (error) {
        return [error.status, error.message];
      }
    };
    return [await mistake({ room: 'no slug!', text: canary }), await status(() => write('GET', '0/'))];
  },
  costs: {
    'search in a sealed field': async (room, text) => (await listed({ room, search: text.slice(0, 20) })).length,
    'filter by a sealed field': async (room, text) => (await listed({ room, text })).length,
    'order by a sealed field': async (room) => (await listed({ room, ordering: '-text' })).map(({ text }) => text),
    async 'unique sealed field'(room, text) {
      const body = { room: `${room}-unique`, text, title: room };
      return [await ask('POST', '/api/messages/', body), await ask('POST', '/api/messages/', body)].length;
    },
  },
});
