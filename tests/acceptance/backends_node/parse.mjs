// Parse Server's own SDK in use, with LiveQuery: BASE_URL CANARY
import Parse from 'parse/node';
import { check, finish, until } from './checks.mjs';

const [base, canary] = process.argv.slice(2);
Parse.initialize('clinic');
Parse.User.enableUnsafeCurrentUser(); // one user, as in a browser
Parse.serverURL = `${base}/parse`;
const Message = Parse.Object.extend('Message');
const text = `${canary} "ü" \u2028 \u{1F600}`;
const room = `room ${Math.random()}`;
const told = (one) => ({ content: one.get('content'), meta: one.get('meta'), mine: one.get('room') === room });
const username = `ada ${room}`;
let id;

await check('sign up', async () => (await Parse.User.signUp(username, 'password-of-ada')).get('username') === username);
await check('sign out', async () => {
  await Parse.User.logOut();
  return Parse.User.current();
});
await check('nothing is read by strangers', async () => {
  try {
    return await new Parse.Query(Message).find();
  } catch (error) {
    return error.code;
  }
});
await check('sign in', async () => {
  const user = await Parse.User.logIn(username, 'password-of-ada');
  return [user.get('username') === username, (await Parse.User.become(user.getSessionToken())).authenticated()];
});

const seen = [];
let subscription;
await check('subscribe with LiveQuery', async () => {
  subscription = await new Parse.Query(Message).equalTo('room', room).subscribe(Parse.User.current().getSessionToken());
  for (const event of ['create', 'update', 'delete']) subscription.on(event, (one) => seen.push([event, told(one)]));
});
await check('save', async () => {
  const one = await new Message({ room, content: text, meta: 'calm' }).save();
  id = one.id;
  return told(one);
});
await check('get', async () => told(await new Parse.Query(Message).get(id)));
await check('fetch', async () => told(await Message.createWithoutData(id).fetch()));
await check('change', async () => {
  const one = await new Parse.Query(Message).get(id);
  await one.save({ content: `${text} again` });
  return told(await new Parse.Query(Message).get(id));
});
await check('find', async () => (await new Parse.Query(Message).equalTo('room', room).find()).map(told));
await check('select', async () => (await new Parse.Query(Message).equalTo('room', room).select('content').find())
  .map((one) => one.get('content')));
await check('count', async () => new Parse.Query(Message).equalTo('room', room).count());
await check('save several in a batch', async () => {
  const all = [1, 2].map((n) => new Message({ room, content: `${text} ${n}` }));
  const saved = await Parse.Object.saveAll(all);
  const found = await new Parse.Query(Message).equalTo('room', room).ascending('createdAt').find();
  return [saved.map(told), found.map((one) => told(one).content).sort()];
});
const kept = async (acl) => {
  const one = new Message({ room: 'private', content: text });
  one.setACL(acl);
  const found = await new Parse.Query(Message).get((await one.save()).id);
  return [found.get('content'), found.getACL().getPublicReadAccess(), found.getACL().getPublicWriteAccess()];
};
await check('an ACL is kept', async () => {
  const acl = new Parse.ACL();
  acl.setPublicReadAccess(true);
  return kept(acl);
});
await check('an ACL that names a user', async () => {
  try {
    return await kept(new Parse.ACL(Parse.User.current()));
  } catch (error) {
    return error.code;
  }
});
await check('a wrong type is refused', async () => {
  try {
    return told(await new Message({ room: 1, content: text }).save());
  } catch (error) {
    return error.code;
  }
});
await check('delete', async () => {
  await Message.createWithoutData(id).destroy();
  try {
    return told(await new Parse.Query(Message).get(id));
  } catch (error) {
    return error.code;
  }
});
await check('LiveQuery told of all of it', async () => {
  await until(seen, 5);
  const batch = seen.slice(2, 4).map(([event, { content }]) => [event, content]).sort();
  return [seen[0], seen[1], batch, seen[4]];
});
await check('search in a sealed field', async () => {
  try {
    return (await new Parse.Query(Message).equalTo('content', `${text} 1`).find()).map(told);
  } catch (error) {
    return error.code;
  }
});
finish();
