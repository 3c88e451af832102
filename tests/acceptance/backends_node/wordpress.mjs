// A client of the REST API of WordPress, which signs in by an application password: BASE_URL CANARY
import { asking, flow, status } from './flow.mjs';

const [base, canary] = process.argv.slice(2);
const api = '/wp-json/wp/v2';
const ask = asking(base, { authorization: `Basic ${btoa('ada:passwordofada')}` });
const [posts, rooms] = [new Map(), new Map()];
async function post(room) {
  if (!posts.has(room)) {
    const { id } = await ask('POST', `${api}/posts`, { title: room, status: 'publish' });
    posts.set(room, id);
    rooms.set(id, room);
  }
  return posts.get(room);
}
const told = (one) => ({ id: one.id, room: rooms.get(one.post), text: one.content.raw });
const listed = async (room, query = {}) => {
  const all = new URLSearchParams({ post: await post(room), context: 'edit', orderby: 'id', order: 'asc', ...query });
  return (await ask('GET', `${api}/comments?${all}`)).map(told);
};
const create = async (room, content) => told(await ask('POST', `${api}/comments`, { post: await post(room), content }));

await flow(canary, {
  begin: () => status(() => asking(base)('POST', `${api}/posts`, { title: 'x' })),
  create,
  list: (room) => listed(room),
  order: (room) => listed(room, { order: 'desc' }),
  page: (room, page, per_page) => listed(room, { page, per_page }),
  get: async (id) => told(await ask('GET', `${api}/comments/${id}?context=edit`)),
  replace: async (id, _, content) => told(await ask('PUT', `${api}/comments/${id}`, { content })),
  change: async (id, content) => told(await ask('PATCH', `${api}/comments/${id}`, { content })),
  remove: (id) => ask('DELETE', `${api}/comments/${id}?force=true`),
  async refused() {
    const comment = { post: 999999, content: canary };
    return [await status(() => ask('POST', `${api}/comments`, comment)), await status(() => ask('GET', `${api}/comments/0`))];
  },
  costs: {
    'search in a sealed field': async (room, text) => (await listed(room, { search: text.split(' ')[0] })).length,
    'unique sealed field': async (room, text) => [await create(room, `${text} 2`), await create(room, `${text} 2`)].length,
  },
});
