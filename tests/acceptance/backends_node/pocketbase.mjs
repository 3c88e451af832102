// PocketBase's own SDK in use: BASE_URL CANARY
import PocketBase from 'pocketbase';
import { EventSource } from 'eventsource';
import { check, finish, until } from './checks.mjs';

globalThis.EventSource = EventSource;
const [base, canary] = process.argv.slice(2);
const pb = new PocketBase(base);
pb.autoCancellation(false);
const messages = pb.collection('messages');
const text = `${canary} "ü" \u2028 \u{1F600}`;
const plain = ({ room, body, note, meta }) => ({ room, body, note, meta });
const email = `ada${Date.now()}@example.com`;
const password = 'password-of-ada';
let id;

await check('sign up', async () => {
  const user = await pb.collection('users').create({ email, password, passwordConfirm: password, name: 'Ada' });
  return user.name;
});
await check('sign in', async () => {
  const { record } = await pb.collection('users').authWithPassword(email, password);
  return record.name;
});
await check('refresh', async () => (await pb.collection('users').authRefresh()).record.name);

const seen = [];
await check('subscribe', async () => {
  await messages.subscribe('*', ({ action, record }) => seen.push([action, plain(record)]));
});
await check('create', async () => {
  const made = await messages.create({ room: 'one', body: text, note: `<p>${canary}</p>`, meta: { mood: canary } });
  id = made.id;
  return plain(made);
});
await check('read', async () => plain(await messages.getOne(id)));
await check('read some fields', async () => messages.getOne(id, { fields: 'room,body' }));
await check('list', async () => {
  const page = await messages.getList(1, 1, { sort: '-created,-id' });
  return [page.page, page.perPage, page.items.map(plain)];
});
await check('list one room', async () => {
  const all = await messages.getFullList({ room: 'one', sort: 'created' });
  return all.map(plain);
});
await check('change', async () => plain(await messages.update(id, { body: `${text} again` })));
await check('realtime', async () => until(seen, 2));

const png = Uint8Array.from(Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64'));
const large = new TextEncoder().encode(`${canary} `.repeat(9000));

async function through(bytes, name, type) {
  const made = await messages.create({ room: 'two', body: canary, scan: new File([bytes], name, { type }) });
  const answer = await fetch(pb.files.getURL(made, made.scan));
  const back = new Uint8Array(await answer.arrayBuffer());
  return [answer.status, Buffer.compare(back, bytes), answer.headers.get('content-type'), plain(made)];
}
await check('upload and download a picture', () => through(png, 'scan.png', 'image/png'));
await check('upload and download 200 KiB', () => through(large, 'scan.txt', 'text/plain; charset=utf-8'));
await check('a record of another room is not found', async () => {
  try {
    return await messages.getOne('nonexistent00000');
  } catch (error) {
    return error.status;
  }
});
await check('an invalid record is refused', async () => {
  try {
    return plain(await messages.create({ room: 'x'.repeat(300), body: canary }));
  } catch (error) {
    return [error.status, Object.keys(error.response.data)];
  }
});
await check('batch', async () => {
  const batch = pb.createBatch();
  batch.collection('messages').create({ room: 'three', body: `${text} 1`, note: canary, meta: [canary] });
  batch.collection('messages').update(id, { body: `${text} 2` });
  batch.collection('messages').upsert({ id: 'abcdefghijklmno', room: 'three', body: `${text} 3` });
  batch.collection('messages').delete('abcdefghijklmno');
  return (await batch.send()).map((one) => [one.status, one.body && plain(one.body)]);
});
await check('a batch with files', async () => {
  const batch = pb.createBatch();
  const files = [new File([png], 'a.png', { type: 'image/png' }), new File([large], 'b.txt', { type: 'text/plain' })];
  for (const scan of files) batch.collection('messages').create({ room: 'three', body: canary, scan });
  const made = (await batch.send()).map((one) => one.body);
  const back = await Promise.all(made.map(async (one) => (await fetch(pb.files.getURL(one, one.scan))).arrayBuffer()));
  return [back.map((one, at) => Buffer.compare(Buffer.from(one), [png, large][at])), made.map(plain)];
});
await check('delete', () => messages.delete(id));
await check('unsubscribe', () => messages.unsubscribe());
finish();
