// express-pouchdb: the HTTP API of CouchDB over PouchDB, its databases in files.
import express from "express";
import expressPouchDB from "express-pouchdb";
import PouchDB from "pouchdb";

const [port, folder] = process.argv.slice(2);
const app = express();
const Stored = PouchDB.defaults({ prefix: `${folder}/` });
app.use(expressPouchDB(Stored, { inMemoryConfig: true, logPath: `${folder}/couchdb.log` }));
app.listen(Number(port), "127.0.0.1");
