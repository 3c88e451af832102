// What every client of records does: the adapter of a backend says how, and what the backend hasn't is left out.
//
// A record is { id, room, text, title } to the driver. An adapter gives some of:
//   begin()                    accounts and the like; says what the client was told
//   create(room, text)         → record        several(room, texts) → records
//   list(room)                 → records       filter(room)        → records
//                                                   order(room)         → records, the newest first
//   page(room, number, size)   → records       get(id)              → record
//   replace(id, room, text)    → record        change(id, text)     → record
//   remove(id)                                 refused()            → what a mistake is told
//   upload(room, name, bytes)  → place         download(room, place) → bytes
//   listen(seen, room)         calls seen(kind, record) for what is live
//   costs                      named checks of what a sealed field costs, called with (room, text)
import { check, finish, until } from './checks.mjs';

export async function flow(canary, backend) {
  const room = `room-${Math.random().toString(36).slice(2)}`;
  const text = (name) => `${canary} ${name} "ü" \u2028 \u{1F600} <b>`;
  const told = (one) => ({ mine: one.room === room, text: one.text });
  const has = (name, run) => (backend[name] ? check(name, run) : undefined);
  const live = [];
  let id;

  await has('begin', () => backend.begin());
  await has('listen', () => backend.listen((kind, one) => one.room === room && live.push([kind, told(one)]), room));
  await has('create', async () => {
    const made = await backend.create(room, text('first'));
    id = made.id;
    return told(made);
  });
  for (const name of ['c', 'd', 'e']) await backend.create(room, text(name));
  await has('list', async () => (await backend.list(room)).map(told));
  await has('filter', async () => (await backend.filter(room)).map(told));
  await has('order', async () => (await backend.order(room)).map(told));
  await has('page', async () => {
    const [one, two] = [await backend.page(room, 1, 2), await backend.page(room, 2, 2)];
    return [one, two].map((page) => page.map(told));
  });
  await has('several', async () => {
    const [made, found] = [await backend.several(`${room}-2`, ['a', 'b'].map(text)), await backend.list(`${room}-2`)];
    return [made, found].map((all) => all.map((one) => one.text).sort());
  });
  await has('get', async () => told(await backend.get(id)));
  await has('replace', async () => told(await backend.replace(id, room, text('replaced'))));
  await has('change', async () => told(await backend.change(id, text('changed'))));
  if (backend.get) await check('get again', async () => told(await backend.get(id)));
  await has('upload', async () => {
    const bytes = Buffer.concat([Buffer.from(`${canary} `.repeat(2000)), Buffer.from([0, 255, 13, 10, 128])]);
    const place = await backend.upload(room, 'scan.txt', bytes);
    return bytes.equals(Buffer.from(await backend.download(room, place)));
  });
  await has('refused', () => backend.refused(room));
  await has('remove', async () => {
    await backend.remove(id);
    return status(() => backend.get(id));
  });
  await has('live', async () => until(live, backend.live));
  for (const [name, run] of Object.entries(backend.costs ?? {})) await check(name, () => status(() => run(room, text('c'))));
  finish();
}

// What a call returns, or the status that it is refused with.
export async function status(run) {
  try {
    return await run();
  } catch (error) {
    return error.status ?? error.code ?? error.message;
  }
}

// ask METHOD PATH: the JSON that a server answers; an error has the status and the body.
export function asking(base, headers = {}) {
  return async (method, path, body) => {
    const form = body instanceof FormData;
    const answer = await fetch(base + path, {
      method,
      headers: { ...(body === undefined || form ? {} : { 'content-type': 'application/json' }), ...headers },
      body: body === undefined || form ? body : JSON.stringify(body),
    });
    const found = Buffer.from(await answer.arrayBuffer());
    const text = found.toString();
    if (!answer.ok) throw Object.assign(new Error(text.slice(0, 300)), { status: answer.status });
    return (answer.headers.get('content-type') ?? '').includes('json') ? JSON.parse(text) : found;
  };
}
