// A chat server of Socket.IO that keeps all that it gets in a file, and sends it to all.
// node server.mjs PORT FILE
import { createServer } from "node:http";
import { appendFileSync } from "node:fs";
import { Server } from "socket.io";

const [port, file] = process.argv.slice(2);
const keep = (one) => appendFileSync(file, one);

const http = createServer();
const io = new Server(http, { maxHttpBufferSize: 4e6 });

// Upgrades take their time, as on a slow network: so messages are sent before, meanwhile and after.
const [upgrade] = http.listeners("upgrade");
http.removeAllListeners("upgrade");
http.on("upgrade", (...asked) => setTimeout(() => upgrade(...asked), 200));

function kept(value) {
  if (Buffer.isBuffer(value)) {
    keep(Buffer.concat([Buffer.from("\nbinary "), value]));
  } else if (value !== null && typeof value === "object") {
    Object.values(value).forEach(kept);
  } else {
    keep(`\n${value}`);
  }
}

io.on("connection", (socket) => {
  socket.on("message:send", (message, done) => {
    kept(message);
    io.emit("message:new", message);
    // What the server has not got from a client: its own binary, and what came before.
    // A message whose sender asks for no answer comes without `done`.
    done?.({ stored: true, conversationId: message.conversationId, file: message.file });
  });
});
http.listen(Number(port), "127.0.0.1");
