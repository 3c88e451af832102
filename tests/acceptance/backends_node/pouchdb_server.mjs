// PouchDB as a server: PORT. It writes its databases, configuration and log where it is started.
import express from 'express';
import expressPouchDB from 'express-pouchdb';
import PouchDB from 'pouchdb-core';
import leveldb from 'pouchdb-adapter-leveldb';
import mapreduce from 'pouchdb-mapreduce';
import replication from 'pouchdb-replication';

PouchDB.plugin(leveldb).plugin(mapreduce).plugin(replication);
const app = express();
app.use(expressPouchDB(PouchDB.defaults({ prefix: './db-' }), { mode: 'minimumForPouchDB' }));
app.listen(Number(process.argv[2]), '127.0.0.1');
