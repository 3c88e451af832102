// Parse Server with LiveQuery: PORT DATABASE_URI. It keeps files and logs where it is started.
import { createServer } from 'node:http';
import express from 'express';
import { ParseServer } from 'parse-server';

const [port, databaseURI] = process.argv.slice(2);
const server = new ParseServer({
  databaseURI,
  appId: 'clinic',
  masterKey: 'master key of the tests',
  maintenanceKey: 'maintenance key of the tests',
  serverURL: `http://127.0.0.1:${port}/parse`,
  liveQuery: { classNames: ['Message'] },
  allowClientClassCreation: false,
  schema: {
    strict: true,
    definitions: [
      {
        className: 'Message',
        fields: {
          room: { type: 'String' },
          content: { type: 'String' },
          contentIndex: { type: 'String' },
          meta: { type: 'String' },
          scan: { type: 'File' },
        },
        classLevelPermissions: Object.fromEntries(
          ['find', 'count', 'get', 'create', 'update', 'delete'].map((one) => [one, { requiresAuthentication: true }])),
      },
    ],
  },
  fileUpload: { enableForAuthenticatedUser: true, fileExtensions: ['*'] },
  verbose: true,
});
await server.start();
const app = express();
app.use('/parse', server.app);
const web = createServer(app);
await ParseServer.createLiveQueryServer(web);
web.listen(Number(port), '127.0.0.1');
