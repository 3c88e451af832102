// An Express that reports what it reads, as lax as its middleware comes:
// node express.mjs PORT RECORD CONTRACT FOLDER-OF-PACKAGES
import { appendFileSync } from "node:fs";
import { createRequire } from "node:module";

const [port, record, contract, packages] = process.argv.slice(2);
const require = createRequire(packages + "/app.mjs");
const express = require("express");
const methodOverride = require("method-override");
const multer = require("multer");

const app = express();
app.set("query parser", "extended");
app.use(methodOverride("X-HTTP-Method-Override", { methods: null }));
app.use(methodOverride("_method", { methods: null }));
const verify = (request, response, buffer) => (request.raw = buffer);
const lax = (request) => !/^(application\/x-www-form-urlencoded|multipart\/)/i.test(request.headers["content-type"] ?? "");
app.use(multer().any());
app.use(express.urlencoded({ extended: true, verify }));
app.use(express.json({ type: lax, strict: false, verify }));
app.use((error, request, response, next) => next()); // what is no JSON has no body

const object = (value) => (value && typeof value === "object" ? value : {});
const parse = (text) => {
  try {
    return object(JSON.parse(text));
  } catch {
    return {};
  }
};

// `user.card` is a member of a member.
const dig = (bag, name) => name.split(".").reduce((value, one) => value?.[one], bag);

function reading(route, idiom, bag, request, query) {
  const name = route.conversation;
  const conversation = {
    json: () => dig(bag, name),
    query: () => query[name],
    header: () => request.get(name),
    path: () => request.params[name],
    "": () => null,
  }[route.source]();
  const values = {};
  for (const field of route.fields) values[field] = field.startsWith("x-") ? request.get(field) : dig(bag, field);
  for (const file of request.files ?? [])
    if (route.fields.includes(file.fieldname))
      values[file.fieldname] = [values[file.fieldname], file.originalname, file.buffer.toString("latin1")];
  return { i: idiom, c: conversation ?? null, v: values, w: route.when ? bag[route.when] : null };
}

const report = (route) => (request, response) => {
  const raw = request.raw?.toString() ?? "";
  const body = object(request.body);
  const query = object(request.query);
  const merged = Object.assign({}, query, body);
  const readings = [
    reading(route, "body", body, request, query),
    reading(route, "json", parse(raw), request, query),
    reading(route, "merged", merged, request, merged),
    reading(route, "query last", { ...body, ...query }, request, { ...body, ...query }),
  ];
  if (/ndjson/i.test(request.headers["content-type"] ?? ""))
    for (const line of raw.split("\n")) readings.push(reading(route, "records", parse(line), request, query));
  if (route.fields[0] === "body") readings.push(reading(route, "whole", { body: raw }, request, query));
  const told = JSON.stringify({ h: route.name, r: readings }) + "\n";
  appendFileSync(record, told);
  response.type("text").send(told);
};

for (const route of JSON.parse(contract))
  app[route.method.toLowerCase()](route.path.replace(/\{(\w+)\}/g, ":$1"), report(route));
app.use((error, request, response, next) => response.status(400).send("bad"));
app.listen(Number(port), "127.0.0.1");
