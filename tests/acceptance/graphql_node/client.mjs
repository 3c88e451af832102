// A client of GraphQL: sends texts in every way that clients have, and tells what came back.
// node client.mjs PORT CANARY
import { createClient as createSocket } from "graphql-ws";
import { createClient as createStream } from "graphql-sse";
import { WebSocket } from "ws";

const [port, canary] = process.argv.slice(2);
const url = `http://127.0.0.1:${port}/graphql`;
const socket = createSocket({ url: `ws://127.0.0.1:${port}/graphql`, webSocketImpl: WebSocket, retryAttempts: 0 });
const stream = createStream({ url, retryAttempts: 0 });
const conversationId = `c-${canary.slice(-6)}`;

async function post(body) {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json" },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: await response.json().catch(() => null) };
}

const heard = { socket: [], stream: [] };
const errors = [];
const listening = "subscription On($c: ID!) { messageSent(conversationId: $c) { id said: text } }";
const ends = [socket, stream].map((client, at) =>
  client.subscribe(
    { query: listening, variables: { c: conversationId } },
    {
      next: (one) => heard[at ? "stream" : "socket"].push(one),
      error: (error) => errors.push(String(error?.reason ?? error?.message ?? JSON.stringify(error))),
      complete: () => {},
    },
  ),
);
await new Promise((done) => setTimeout(done, 1500));

const text = (name) => `${canary} ${name} "é😀"\n`;
const answers = {
  variables: await post({
    operationName: "Send",
    query: "mutation Send($c: ID!, $t: String!) { sendMessage(conversationId: $c, text: $t) { id text } }",
    variables: { c: conversationId, t: text("variables") },
  }),
  literals: await post({
    query: `# é\n mutation { x: sendMessage(text: ${JSON.stringify(text("literals"))}, conversationId: "${conversationId}") { said: text } }`,
  }),
  input: await post({
    query: "mutation ($i: NewMessage!) { send(input: $i) { ...M } } fragment M on Message { id text }",
    variables: { i: { conversationId, text: text("input") } },
  }),
  mixed: await post({
    query: "mutation ($t: String!, $c: ID!) { send(input: {text: $t, conversationId: $c}) { text } }",
    variables: { c: conversationId, t: text("mixed") },
  }),
  batch: await post(
    ["one", "two"].map((name) => ({
      query: "mutation ($c: ID!, $t: String!) { sendMessage(conversationId: $c, text: $t) { text } }",
      variables: { c: conversationId, t: text(name) },
    })),
  ),
};
answers.socket = await new Promise((done, failed) => {
  let result;
  socket.subscribe(
    {
      query: `mutation ($t: String!) { sendMessage(conversationId: "${conversationId}", text: $t) { text } }`,
      variables: { t: text("socket") },
    },
    { next: (one) => (result = one), error: failed, complete: () => done(result) },
  );
});
answers.query = await post({
  query: "query All($c: ID!) { all: messages(conversationId: $c) { id said: text } }",
  variables: { c: conversationId },
});
const until = Date.now() + 8000;
while ((heard.socket.length < 7 || heard.stream.length < 7) && Date.now() < until)
  await new Promise((done) => setTimeout(done, 20));
process.stdout.write(JSON.stringify({ answers, heard, errors }));
for (const end of ends) end();
await socket.dispose();
stream.dispose();
process.exit(0);
