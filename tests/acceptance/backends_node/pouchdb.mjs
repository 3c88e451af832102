// PouchDB replicates: BASE_URL CANARY
import PouchDB from 'pouchdb-core';
import http from 'pouchdb-adapter-http';
import memory from 'pouchdb-adapter-memory';
import mapreduce from 'pouchdb-mapreduce';
import replication from 'pouchdb-replication';
import { check, finish, until } from './checks.mjs';

PouchDB.plugin(http).plugin(memory).plugin(mapreduce).plugin(replication);
const [base, canary] = process.argv.slice(2);
const remote = new PouchDB(`${base}/clinic`, { skip_setup: true });
const [phone, tablet] = ['phone', 'tablet'].map((name) => new PouchDB(name, { adapter: 'memory' }));
const prefix = Math.random().toString(36).slice(2, 8);
const id = (name) => `${prefix}-${name}`;
const text = (n) => `${canary} ${n} "ü" \u2028 \u{1F600}`;
const told = (doc) => ({ ...doc, _id: doc._id?.replace(prefix, ''), _rev: doc._rev?.split('-')[0] });
const mine = (doc) => doc._id.startsWith(prefix);

await check('put before the first replication', async () => {
  await phone.bulkDocs([1, 2, 3].map((n) => ({ _id: id(n), room: 'one', content: text(n) })));
  await phone.put({ _id: id('json'), room: 'two', content: { mood: [canary, 1, null] } });
});
await check('replicate to the server', async () => {
  const { ok, docs_written: written, doc_write_failures: failures } = await phone.replicate.to(remote);
  return [ok, written, failures];
});
await check('replicate from the server', async () => {
  await tablet.replicate.from(remote);
  const { rows } = await tablet.allDocs({ include_docs: true });
  return rows.map((row) => row.doc).filter(mine).map(told);
});
await check('the same revisions on both sides', async () => {
  const [one, other] = await Promise.all([phone.get(id(1)), tablet.get(id(1))]);
  return one._rev === other._rev;
});
await check('a second replication has nothing to do', async () => {
  const { docs_written: up } = await phone.replicate.to(remote);
  return up;
});

const arrived = [];
const live = tablet.sync(remote, { live: true, retry: false });
live.on('error', (error) => arrived.push(String(error)));
tablet.changes({ live: true, since: 'now', include_docs: true })
  .on('change', ({ doc }) => mine(doc) && arrived.push(told(doc)));
await check('live replication brings a change', async () => {
  const doc = await phone.get(id(2));
  await phone.put({ ...doc, content: text('changed') });
  await phone.replicate.to(remote);
  return until(arrived, 1);
});
await check('live replication brings a deletion', async () => {
  await phone.remove(await phone.get(id(3)));
  await phone.replicate.to(remote);
  return (await until(arrived, 2))[1];
});
live.cancel();

await check('a conflict has both revisions', async () => {
  const [one, other] = await Promise.all([phone.get(id(1)), tablet.get(id(1))]);
  await phone.put({ ...one, content: text('of the phone') });
  await tablet.put({ ...other, content: text('of the tablet') });
  await phone.replicate.to(remote);
  await tablet.replicate.to(remote);
  await phone.replicate.from(remote);
  const found = await phone.get(id(1), { conflicts: true });
  const loser = await phone.get(id(1), { rev: found._conflicts[0] });
  return [found.content, loser.content].sort();
});

await check('the server as a database: put and get', async () => {
  const { ok } = await remote.put({ _id: id('direct'), room: 'one', content: text('direct') });
  return [ok, told(await remote.get(id('direct')))];
});
await check('post and several at once', async () => {
  const results = await remote.bulkDocs([{ _id: id('b1'), room: 'r', content: text('b1') }, { _id: id('b2'), room: 'r' }]);
  const { ok } = await remote.post({ _id: id('posted'), room: 'r', content: text('posted') });
  return [results.map((one) => one.ok), ok];
});
await check('all documents', async () => {
  const { rows } = await remote.allDocs({ include_docs: true });
  return rows.map((row) => row.doc).filter(mine).map(told).map(({ _id, content }) => [_id, typeof content]);
});
await check('some documents', async () => {
  const { rows } = await remote.allDocs({ include_docs: true, keys: [id('b1'), id('b2')] });
  return rows.map((row) => told(row.doc));
});
await check('changes with documents', async () => {
  const { results } = await remote.changes({ include_docs: true, doc_ids: [id('direct')] });
  return results.map((one) => told(one.doc));
});
await check('an old revision is a conflict', async () => {
  try {
    return await remote.put({ _id: id('direct'), room: 'one', content: text('again') });
  } catch (error) {
    return [error.status, error.name];
  }
});
const bytes = (name) => Buffer.concat([Buffer.from(`${canary} ${name} `), Buffer.from([0, 255, 13, 10, 128])]);
const attached = async (db, doc) => {
  const [{ content_type: type, stub, length }] = Object.values((await db.get(doc))._attachments);
  const found = Buffer.from(await db.getAttachment(doc, 'scan'));
  return [type, stub, length === found.length, found.toString('latin1')];
};
await check('replicate an attachment', async () => {
  await phone.put({
    _id: id('scan'),
    room: 'one',
    content: text('see the scan'),
    _attachments: { scan: { content_type: 'image/png', data: bytes('phone').toString('base64') } },
  });
  await phone.replicate.to(remote);
  await tablet.replicate.from(remote);
  return attached(tablet, id('scan'));
});
await check('read an attachment from the server', async () => {
  const found = Buffer.from(await remote.getAttachment(id('scan'), 'scan'));
  const { data } = (await remote.get(id('scan'), { attachments: true }))._attachments.scan;
  return [found.toString('latin1'), Buffer.from(data, 'base64').toString('latin1')];
});
await check('the server\'s length and digest of an attachment', async () => {
  const { length, digest } = (await remote.get(id('scan')))._attachments.scan;
  return [length, digest];
});
finish();
