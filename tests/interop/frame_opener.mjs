// Opens frames with nothing but WebCrypto, as a browser would: reads
// [{"sk": hex, "context": hex, "frame": base64}] from stdin, and writes for each the media type and
// the plaintext in hex, or an error, as JSON. `sk` is the session key, `context` is CONTEXT.
import { webcrypto } from "node:crypto";

const { subtle } = webcrypto;
const CHUNK = 16 * 1024;
const TAG = 16;
const MAGIC = Buffer.from("SYST\x01", "latin1");
const LABEL = Buffer.from("c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0");

const aes = (key) => subtle.importKey("raw", key, "AES-GCM", false, ["decrypt"]);

async function open(key, iv, sealed, additionalData = new Uint8Array()) {
  const algorithm = { name: "AES-GCM", iv, additionalData };
  return Buffer.from(await subtle.decrypt(algorithm, key, sealed));
}

// HKDF-Expand (RFC 5869 section 2.3) by hand: WebCrypto's HKDF always extracts first.
async function expand(key, info, size) {
  const mac = await subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-512" }, false, ["sign"]);
  let block = Buffer.alloc(0);
  let made = Buffer.alloc(0);
  for (let at = 1; made.length < size; at += 1) {
    block = Buffer.from(await subtle.sign("HMAC", mac, Buffer.concat([block, info, Buffer.of(at)])));
    made = Buffer.concat([made, block]);
  }
  return made.subarray(0, size);
}

// J is a compact JWE with `dir` and `A256GCM` (RFC 7516).
async function openStreamKey(token, sk) {
  const [head, none, iv, sealed, tag] = token.split(".");
  const header = JSON.parse(Buffer.from(head, "base64url"));
  if (header.alg !== "dir" || header.enc !== "A256GCM" || header.cty !== "stream-key" || none) {
    throw new Error("not a stream key");
  }
  const parts = Buffer.concat([Buffer.from(sealed, "base64url"), Buffer.from(tag, "base64url")]);
  return open(await aes(sk), Buffer.from(iv, "base64url"), parts, Buffer.from(head, "latin1"));
}

async function* openChunks(streamKey, bound, sealed) {
  const salt = sealed.subarray(0, 24);
  const derived = await expand(streamKey, Buffer.concat([LABEL, salt, bound]), 32 + 12 + 32);
  if (sealed.length < 56 || !derived.subarray(44).equals(sealed.subarray(24, 56))) {
    throw new Error("another key or context");
  }
  const key = await aes(derived.subarray(0, 32));
  for (let number = 0, at = 56; ; number += 1, at += CHUNK + TAG) {
    const nonce = Buffer.from(derived.subarray(32, 44));
    nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ number) >>> 0, 8); // enough for 64 TiB
    const plaintext = await open(key, nonce, sealed.subarray(at, at + CHUNK + TAG));
    yield plaintext;
    if (plaintext.length < CHUNK) return; // only the last chunk is shorter; behind it stands nothing
  }
}

async function openFrame({ sk, context, frame }) {
  const bytes = Buffer.from(frame, "base64");
  if (!bytes.subarray(0, 5).equals(MAGIC)) throw new Error("not a frame");
  const end = 7 + bytes.readUInt16BE(5);
  const token = bytes.subarray(7, end).toString("latin1");
  const secret = await openStreamKey(token, Buffer.from(sk, "hex"));
  const bound = Buffer.concat([bytes.subarray(0, end), Buffer.from(context, "hex")]);
  const plaintext = [];
  for await (const chunk of openChunks(secret.subarray(0, 32), bound, bytes.subarray(end))) {
    plaintext.push(chunk);
  }
  return {
    mediaType: secret.subarray(32).toString("latin1"),
    plaintext: Buffer.concat(plaintext).toString("hex"),
  };
}

let text = "";
for await (const piece of process.stdin) text += piece;

const answers = [];
for (const asked of JSON.parse(text)) {
  try {
    answers.push(await openFrame(asked));
  } catch (error) {
    answers.push({ error: error.name });
  }
}
process.stdout.write(JSON.stringify(answers));
