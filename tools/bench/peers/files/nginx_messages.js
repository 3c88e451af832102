// Seals and opens messages with AES-256-GCM of njs' WebCrypto.
//
// A sealed value is the base64 of nonce, ciphertext and tag. njs gives every request a machine of
// its own, so no key object can outlive one: the key is imported once a request.

const NONCE = 12;

function theKey(r) {
  const bytes = Buffer.from(r.variables.key, 'hex');
  return crypto.subtle.importKey('raw', bytes, { name: 'AES-GCM' }, false, ['encrypt', 'decrypt']);
}

async function seal(key, plaintext) {
  const nonce = crypto.getRandomValues(new Uint8Array(NONCE));
  const parameters = { name: 'AES-GCM', iv: nonce };
  const sealed = await crypto.subtle.encrypt(parameters, key, Buffer.from(plaintext));
  return Buffer.concat([Buffer.from(nonce), Buffer.from(sealed)]).toString('base64');
}

async function open(key, sealed) {
  const bytes = Buffer.from(sealed, 'base64');
  const parameters = { name: 'AES-GCM', iv: bytes.slice(0, NONCE) };
  const plaintext = await crypto.subtle.decrypt(parameters, key, bytes.slice(NONCE));
  return Buffer.from(plaintext).toString();
}

function answer(r, reply, body) {
  r.headersOut['Content-Type'] = reply.headersOut['Content-Type'];
  r.return(reply.status, body);
}

async function field(r) {
  const key = await theKey(r);
  const message = JSON.parse(r.requestText);
  message.content = await seal(key, message.content);
  const options = { method: r.method, body: JSON.stringify(message) };
  const reply = await r.subrequest('/backend' + r.uri, options);
  const answered = JSON.parse(reply.responseText);
  answered.content = await open(key, answered.content);
  answer(r, reply, JSON.stringify(answered));
}

async function list(r) {
  const key = await theKey(r);
  const reply = await r.subrequest('/backend' + r.uri, { method: r.method });
  const answered = JSON.parse(reply.responseText);
  for (let i = 0; i < answered.data.length; i++) {
    answered.data[i].content = await open(key, answered.data[i].content);
  }
  answer(r, reply, JSON.stringify(answered));
}

async function body(r) {
  const key = await theKey(r);
  const sealed = await seal(key, r.requestText);
  const reply = await r.subrequest('/backend' + r.uri, { method: r.method, body: sealed });
  const opened = await open(key, reply.responseText);
  answer(r, reply, opened);
}

export default { field, list, body };
