// The routes that a server declares, as JSON: parse|pouchdb. It writes where it is started.
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const makers = {
  parse() {
    const { default: ParseServer } = require('parse-server/lib/ParseServer.js');
    return ParseServer.app({ appId: 'clinic', serverURL: 'http://127.0.0.1/parse', maxUploadSize: '20mb', pages: {} });
  },
  pouchdb() {
    const PouchDB = require('pouchdb-core').defaults({ prefix: './db-' });
    return require('express-pouchdb')(PouchDB, { mode: 'minimumForPouchDB', inMemoryConfig: true });
  },
};

const found = [];
function collect({ stack }) {
  for (const { route, handle } of stack) {
    if (route) for (const method of Object.keys(route.methods)) found.push([method.toUpperCase(), route.path]);
    else if (handle?.stack) collect(handle);
  }
}
const app = makers[process.argv[2]]();
collect(app._router ?? app.router);
process.stdout.write(JSON.stringify(found), () => process.exit(0));
