// FeathersJS with REST and Socket.IO on a table: PORT DATABASE_URI
import { feathers } from '@feathersjs/feathers';
import { bodyParser, errorHandler, koa, rest } from '@feathersjs/koa';
import { KnexService } from '@feathersjs/knex';
import socketio from '@feathersjs/socketio';
import { database } from './database.mjs';

const [port, uri] = process.argv.slice(2);
const app = koa(feathers());
app.use(errorHandler());
app.use(bodyParser({ jsonLimit: '4mb' }));
app.configure(rest());
app.configure(socketio());
app.use('messages', new KnexService({
  Model: await database(uri),
  name: 'messages',
  multi: ['create'],
  filters: { $like: true },
  operators: ['$like'],
  paginate: { default: 100, max: 100 },
}));
app.hooks({
  error: { all: [async ({ method, error, data }) => console.log(method, error.message, JSON.stringify(data))] },
});
app.on('connection', (connection) => app.channel('everybody').join(connection));
app.publish(() => app.channel('everybody'));
await app.listen(Number(port), '127.0.0.1');
