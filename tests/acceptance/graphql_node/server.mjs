// A chat of GraphQL Yoga that keeps all that it gets in a file: over HTTP, WebSockets and event streams.
// node server.mjs PORT FILE
import { createServer } from "node:http";
import { appendFileSync } from "node:fs";
import { createPubSub, createSchema, createYoga } from "graphql-yoga";
import { useServer } from "graphql-ws/use/ws";
import { WebSocketServer } from "ws";

const [port, file] = process.argv.slice(2);
const messages = [];
const pubSub = createPubSub();

function store(message) {
  const stored = { ...message, id: String(messages.length + 1) };
  messages.push(stored);
  appendFileSync(file, `\n${JSON.stringify(stored)}`);
  pubSub.publish("sent", message.conversationId, { messageSent: stored });
  return stored;
}

const yoga = createYoga({
  batching: true,
  maskedErrors: false,
  schema: createSchema({
    typeDefs: /* GraphQL */ `
      type Message {
        id: ID!
        conversationId: ID!
        text: String!
      }
      input NewMessage {
        conversationId: ID!
        text: String!
      }
      type Query {
        messages(conversationId: ID!): [Message!]!
      }
      type Mutation {
        sendMessage(conversationId: ID!, text: String!): Message!
        send(input: NewMessage!): Message!
        note(text: String!): Message!
      }
      type Subscription {
        messageSent(conversationId: ID!): Message!
      }
    `,
    resolvers: {
      Query: { messages: (_, { conversationId }) => messages.filter((one) => one.conversationId === conversationId) },
      Mutation: {
        sendMessage: (_, message) => store(message),
        send: (_, { input }) => store(input),
        note: (_, { text }) => store({ conversationId: "notes", text }),
      },
      Subscription: { messageSent: { subscribe: (_, { conversationId }) => pubSub.subscribe("sent", conversationId) } },
    },
  }),
});

const http = createServer(async (request, response) => {
  console.log(request.method, request.url, JSON.stringify(request.headers));
  await yoga(request, response);
});
const enveloped = ({ executionArgs, params }) => yoga.getEnveloped({ params, args: executionArgs });
useServer(
  {
    execute: (args) => args.rootValue.execute(args),
    subscribe: (args) => args.rootValue.subscribe(args),
    onSubscribe: async (_context, _id, params) => {
      appendFileSync(file, `\n${JSON.stringify(params)}`);
      const { schema, execute, subscribe, contextFactory, parse, validate } = enveloped({ params });
      const args = {
        schema,
        operationName: params.operationName,
        document: parse(params.query),
        variableValues: params.variables,
        contextValue: await contextFactory(),
        rootValue: { execute, subscribe },
      };
      const errors = validate(args.schema, args.document);
      return errors.length ? errors : args;
    },
  },
  new WebSocketServer({ server: http, path: yoga.graphqlEndpoint }),
);
http.listen(Number(port), "127.0.0.1");
