// Apollo Client with graphql-ws: BASE_URL CANARY
import { ApolloClient, HttpLink, InMemoryCache, gql } from '@apollo/client';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { asking, flow } from './flow.mjs';

const [base, canary] = process.argv.slice(2);
const ask = asking(base);
const options = { cache: new InMemoryCache(), defaultOptions: { query: { fetchPolicy: 'no-cache' }, mutate: { fetchPolicy: 'no-cache' } } };
const client = new ApolloClient({ ...options, link: new HttpLink({ uri: `${base}/graphql` }) });
const socket = createClient({ url: `${base.replace('http', 'ws')}/graphql`, webSocketImpl: WebSocket });
const live = new ApolloClient({ ...options, link: new GraphQLWsLink(socket) });
const told = ({ room, message }) => ({ id: message.id, room, text: message.text });
const all = ({ room, messages }) => messages.map((message) => told({ room, message }));
const failed = (error) => {
  const [first] = error.errors ?? [];
  throw Object.assign(error, { status: first?.extensions?.code ?? error.statusCode ?? first?.message ?? error.message });
};

const types = { room: 'ID!', id: 'ID!', text: 'String!', title: 'String', texts: '[String!]!', first: 'Int', skip: 'Int', newest: 'Boolean', words: 'String', by: 'Field' };
function operation(kind, field, variables, shape, nullable = {}) {
  const names = Object.keys(variables);
  const declared = names.map((name) => `$${name}: ${nullable[name] ?? types[name]}`).join(', ');
  return gql(`${kind} (${declared}) { ${field}(${names.map((name) => `${name}: $${name}`).join(', ')}) { room ${shape} } }`);
}
async function listed(variables) {
  const query = operation('query', 'messages', variables, 'messages { id text }', { text: 'String' });
  const { data } = await client.query({ query, variables }).catch(failed);
  return all(data.messages);
}
async function mutated(field, variables, shape = 'message { id text }') {
  const mutation = operation('mutation', field, variables, shape);
  return (await client.mutate({ mutation, variables }).catch(failed)).data[field];
}
let within;
const get = async (id, room = within) => {
  const variables = { room, id };
  const query = operation('query', 'message', variables, 'message { id text }');
  return told((await client.query({ query, variables }).catch(failed)).data.message);
};

await flow(canary, {
  listen: (seen, room) => new Promise((done) => {
    within = room;
    const query = operation('subscription', 'created', { room }, 'message { id text }');
    live.subscribe({ query, variables: { room } }).subscribe(({ data }) => seen('created', told(data.created)));
    socket.on('connected', () => setTimeout(() => done('connected'), 500));
  }),
  live: 4,
  create: async (room, text) => told(await mutated('createMessage', { room, text })),
  several: async (room, texts) => all(await mutated('createMessages', { room, texts }, 'messages { id text }')),
  list: (room) => listed({ room }),
  order: (room) => listed({ room, newest: true }),
  page: (room, page, first) => listed({ room, first, skip: (page - 1) * first }),
  get,
  change: async (id, text) => told(await mutated('changeMessage', { room: within, id, text })),
  remove: (id) => mutated('deleteMessage', { room: within, id }),
  async upload(room, name, bytes) {
    const form = new FormData();
    form.append('scan', new Blob([bytes], { type: 'text/plain' }), name);
    return (await ask('POST', `/files/${room}`, form)).name;
  },
  download: (room, name) => ask('GET', `/files/${room}/${name}`),
  async refused(room) {
    const answer = await fetch(`${base}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query: 'query ($room: ID!) { messages(room: $room) { room nothing } }', variables: { room } }),
    });
    return [answer.status, (await answer.json()).errors.map((one) => one.message)];
  },
  costs: {
    'search in a sealed field': async (room, text) => (await listed({ room, words: text.slice(0, 20) })).length,
    'filter by a sealed field': async (room, text) => (await listed({ room, text })).length,
    'order by a sealed field': async (room) => (await listed({ room, by: 'text', newest: true })).map(({ text }) => text),
    async 'unique sealed field'(room, text) {
      const body = { room: `${room}-unique`, text, title: room };
      return [await mutated('createMessage', body), await mutated('createMessage', body)].length;
    },
  },
});
