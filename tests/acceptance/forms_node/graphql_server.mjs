// One schema behind GraphQL Yoga, which reads uploads itself, and behind graphql-upload with Express.
import { appendFileSync } from "node:fs";
import { createServer } from "node:http";
import express from "express";
import { buildSchema, graphql } from "graphql";
import GraphQLUpload from "graphql-upload/GraphQLUpload.mjs";
import graphqlUploadExpress from "graphql-upload/graphqlUploadExpress.mjs";
import { createSchema, createYoga } from "graphql-yoga";

const [kind, port, kept] = process.argv.slice(2);
const typeDefs = `
  type Attached { name: String!, type: String!, size: Int!, path: String! }
  type Message { text: String!, files: [Attached!]! }
  type Room { roomId: ID!, messages: [Message!]! }
  type Query { room(roomId: ID!): Room! }
  type Mutation { send(roomId: ID!, text: String!, files: [Upload!]!): Room! }
  scalar Upload
`;
const rooms = new Map();
const stored = new Map();

function add(roomId, text, files) {
  const messages = rooms.get(roomId) ?? [];
  rooms.set(roomId, messages);
  const attached = files.map(({ name, type, bytes }) => {
    const path = `/files/${roomId}/${stored.size}`;
    stored.set(path, { type, bytes });
    appendFileSync(kept, bytes);
    return { name, type, size: bytes.length, path };
  });
  messages.push({ text, files: attached });
  appendFileSync(kept, `${JSON.stringify(messages.at(-1))}\n`);
  return { roomId, messages: messages.slice(-1) };
}

const room = (roomId) => ({ roomId, messages: rooms.get(roomId) ?? [] });

async function ofFile(file) {
  const bytes = Buffer.from(await file.arrayBuffer());
  return { name: file.name, type: file.type, bytes };
}

async function ofUpload(upload) {
  const { filename, mimetype, createReadStream } = await upload;
  const pieces = [];
  for await (const piece of createReadStream()) pieces.push(piece);
  return { name: filename, type: mimetype, bytes: Buffer.concat(pieces) };
}

function yoga() {
  const resolvers = {
    Query: { room: (_, { roomId }) => room(roomId) },
    Mutation: {
      send: async (_, { roomId, text, files }) =>
        add(roomId, text, await Promise.all(files.map(ofFile))),
    },
  };
  const schema = createSchema({ typeDefs, resolvers });
  return createYoga({ schema, logging: false, graphiql: false });
}

function upload() {
  const schema = buildSchema(typeDefs);
  Object.assign(schema.getType("Upload"), { parseValue: GraphQLUpload.parseValue });
  const rootValue = {
    room: ({ roomId }) => room(roomId),
    send: async ({ roomId, text, files }) =>
      add(roomId, text, await Promise.all(files.map(ofUpload))),
  };
  const app = express();
  app.post("/graphql", express.json(), graphqlUploadExpress(), async (request, response) => {
    const { query, variables, operationName } = request.body;
    const asked = { schema, source: query, rootValue, variableValues: variables, operationName };
    response.json(await graphql(asked));
  });
  return app;
}

const answer = kind === "yoga" ? yoga() : upload();
const server = createServer((request, response) => {
  const found = stored.get(request.url);
  if (found === undefined) return answer(request, response);
  response.setHeader("Content-Type", found.type);
  return response.end(found.bytes);
});
server.listen(Number(port), "127.0.0.1");
