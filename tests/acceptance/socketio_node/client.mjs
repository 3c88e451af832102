// A client of Socket.IO: sends files over one transport, or over an upgrade, and tells what came.
// node client.mjs URL CANARY polling|websocket|upgrade [preview]
import { io } from "socket.io-client";

const [url, canary, how, preview] = process.argv.slice(2);
const transports = { polling: ["polling"], websocket: ["websocket"] }[how] ?? ["polling", "websocket"];
const socket = io(url, { transports, reconnection: false, forceNew: true });
const news = [];
const used = new Set();
const errors = [];

socket.on("message:new", (message) => news.push(message));
for (const name of ["connect_error", "disconnect"]) socket.on(name, (one) => errors.push(String(one?.message ?? one)));

const file = (number, size) => Buffer.concat([Buffer.from(`${canary} ${number} `), Buffer.alloc(size, number)]);
const shown = (value) => {
  if (Buffer.isBuffer(value) || value instanceof ArrayBuffer) return { binary: Buffer.from(value).toString("base64") };
  if (Array.isArray(value)) return value.map(shown);
  if (value && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, shown(one)]));
  return value;
};

async function send(number) {
  const message = {
    conversationId: `c${number % 3}`,
    content: `${canary} text ${number}`,
    file: file(number, [0, 10, 3000, 200000][number % 4]),
    name: `${canary}.bin`,
  };
  if (preview) message.preview = Buffer.from(`public ${number}`);
  used.add(socket.io.engine.transport.name);
  return shown(await socket.timeout(20000).emitWithAck("message:send", message));
}

const upgraded = new Promise((done) => socket.io.engine.once("upgrade", done));
await new Promise((done, failed) => {
  socket.on("connect", done);
  socket.on("connect_error", failed);
});
const acks = [];
if (how === "upgrade") {
  // Some before, some during, some after the upgrade.
  const waiting = [];
  let over = false;
  upgraded.then(() => (over = true));
  for (let number = 0; number < 100 && !over; number++) {
    waiting.push(send(number % 3));
    await new Promise((done) => setTimeout(done, 5));
  }
  await upgraded;
  for (let number = 0; number < 4; number++) waiting.push(send(number));
  acks.push(...(await Promise.all(waiting)));
} else {
  for (let number = 0; number < 8; number++) acks.push(await send(number));
  acks.push(...(await Promise.all([8, 9, 10, 11].map(send))));
}
const until = Date.now() + 10000;
while (news.length < acks.length && Date.now() < until) await new Promise((done) => setTimeout(done, 20));
process.stdout.write(
  JSON.stringify({ acks, news: news.map(shown), used: [...used].sort(), errors: [...errors], last: socket.io.engine.transport.name }),
);
socket.disconnect();
