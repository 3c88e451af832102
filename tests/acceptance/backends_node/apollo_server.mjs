// Apollo Server with subscriptions, and files beside it: PORT DATABASE_URI
import { createServer } from 'node:http';
import { ApolloServer } from '@apollo/server';
import { expressMiddleware } from '@as-integrations/express4';
import { makeExecutableSchema } from '@graphql-tools/schema';
import express from 'express';
import { GraphQLError } from 'graphql';
import { PubSub } from 'graphql-subscriptions';
import { useServer } from 'graphql-ws/use/ws';
import multer from 'multer';
import { WebSocketServer } from 'ws';
import { database } from './database.mjs';

const [port, uri] = process.argv.slice(2);
const db = await database(uri);
const events = new PubSub();
const typeDefs = `
  enum Field { id text }
  type Message { id: ID!, text: String!, title: String }
  type One { room: ID!, message: Message! }
  type Several { room: ID!, messages: [Message!]!, total: Int }
  type Query {
    message(room: ID!, id: ID!): One!
    messages(room: ID!, first: Int, skip: Int, newest: Boolean, text: String, words: String, by: Field): Several!
  }
  type Mutation {
    createMessage(room: ID!, text: String!, title: String): One!
    createMessages(room: ID!, texts: [String!]!): Several!
    changeMessage(room: ID!, id: ID!, text: String!): One!
    deleteMessage(room: ID!, id: ID!): One!
  }
  type Subscription { created(room: ID!): One! }
`;
const rows = () => db('messages');

async function one(where) {
  const message = await rows().where(where).first();
  if (!message) throw new GraphQLError('no such message', { extensions: { code: 'NOT_FOUND' } });
  return { room: message.room, message };
}

async function create(record) {
  const [message] = await rows().insert(record).returning('*');
  events.publish(record.room, { created: { room: record.room, message } });
  return { room: record.room, message };
}

const resolvers = {
  Query: {
    message: (_, where) => one(where),
    async messages(_, { room, first, skip, newest, text, words, by }) {
      const found = rows().where({ room, ...(text === undefined ? {} : { text }) });
      if (words) found.whereLike('text', `%${words}%`);
      const total = async () => Number((await found.clone().count())[0].count);
      const page = found.clone().orderBy(by ?? 'id', newest ? 'desc' : 'asc').limit(first ?? 100).offset(skip ?? 0);
      return { room, messages: await page, total };
    },
  },
  Mutation: {
    createMessage: (_, record) => create(record),
    async createMessages(_, { room, texts }) {
      const made = await Promise.all(texts.map((text) => create({ room, text })));
      return { room, messages: made.map(({ message }) => message) };
    },
    async changeMessage(_, { text, ...where }) {
      await rows().where(where).update({ text });
      return one(where);
    },
    async deleteMessage(_, where) {
      const found = await one(where);
      await rows().where(where).del();
      return found;
    },
  },
  Subscription: { created: { subscribe: (_, { room }) => events.asyncIterableIterator(room) } },
};

const schema = makeExecutableSchema({ typeDefs, resolvers });
const apollo = new ApolloServer({ schema });
await apollo.start();
const app = express();
app.use('/graphql', express.json(), expressMiddleware(apollo));
const files = multer({ storage: multer.diskStorage({ destination: '.', filename: (_, file, done) => done(null, file.originalname) }) });
app.post('/files/:room', files.single('scan'), ({ file }, response) => response.json({ name: file.filename }));
app.get('/files/:room/:name', ({ params }, response) => response.sendFile(params.name, { root: '.' }));
const web = createServer(app);
useServer({ schema }, new WebSocketServer({ server: web, path: '/graphql' }));
web.listen(Number(port), '127.0.0.1');
