// An Express with its usual middleware, as lax as it comes: node app.mjs PORT RECORD
import { appendFileSync } from "node:fs";
import express from "express";
import methodOverride from "method-override";

const [port, record] = process.argv.slice(2);
const app = express();
app.use(methodOverride("X-HTTP-Method-Override", { methods: null }));
app.use(express.raw({ type: () => true, inflate: true }));
app.post("/api/pay", (request, response) => {
  const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
  const target = Buffer.from(request.originalUrl);
  appendFileSync(record, `${target.toString("hex")} ${body.toString("hex")}\n`);
  response.send("paid");
});
app.listen(Number(port), "127.0.0.1");
