// Key packages, private keys and keyrings. See wire_reader.mjs.
import {
  constants, createHash, createPrivateKey, createPublicKey, diffieHellman, pbkdf2Sync, privateDecrypt, verify,
} from "node:crypto";
import { decapsulate } from "./ml_kem.mjs";
import { SKEW, bytes, expand, from64, hmac, join, openGcm, refuse, same, sha256, to64, u16, u32, unwrapKey } from "./wire_notation.mjs";

// ---- Key packages

function thumbprint(jwk) {
  const members = { RSA: ["e", "kty", "n"], OKP: ["crv", "kty", "x"], AKP: ["alg", "kty", "pub"] }[jwk.kty];
  return to64(sha256(bytes(JSON.stringify(Object.fromEntries(members.map((one) => [one, jwk[one]]))))));
}

const publicPart = ({ kty, n, e, crv, x }) => createPublicKey({ key: kty === "RSA" ? { kty, n, e } : { kty, crv, x }, format: "jwk" });

function ecdh(mine, epk) {
  const z = diffieHellman({
    privateKey: createPrivateKey({ key: mine, format: "jwk" }),
    publicKey: createPublicKey({ key: { kty: "OKP", crv: "X25519", x: epk.x }, format: "jwk" }),
  });
  return sha256(join(u32(1), z, u32(14), "ECDH-ES+A256KW", u32(0), u32(0), u32(256)));
}

function x25519(privateBytes, publicBytes) {
  const der = join(Buffer.from("302e020100300506032b656e04220420", "hex"), privateBytes);
  return diffieHellman({
    privateKey: createPrivateKey({ key: der, format: "der", type: "pkcs8" }),
    publicKey: createPublicKey({ key: { kty: "OKP", crv: "X25519", x: to64(publicBytes) }, format: "jwk" }),
  });
}

function openHpke(wrapped, jwk, kid) { // X-Wing, then RFC 9180 section 5
  const seed = createHash("shake256", { outputLength: 96 }).update(from64(jwk.priv)).digest();
  const [enc, ct] = [wrapped.subarray(0, 1120), wrapped.subarray(1120)];
  const pub = from64(jwk.pub);
  const lattice = decapsulate(seed.subarray(0, 64), pub.subarray(0, 1184), enc.subarray(0, 1088));
  const point = x25519(seed.subarray(64), enc.subarray(1088));
  const label = Buffer.from("5c2e2f2f5e5c", "hex");
  const shared = createHash("sha3-256").update(join(lattice, point, enc.subarray(1088), pub.subarray(1184), label)).digest();
  const suite = join("HPKE", u16(0x647a), u16(1), u16(2));
  const extract = (salt, name, ikm) => hmac(salt.length ? salt : Buffer.alloc(32), join("HPKE-v1", suite, name, ikm));
  const expandLabeled = (prk, name, info, size) => expand(prk, join(u16(size), "HPKE-v1", suite, name, info), size);
  const none = Buffer.alloc(0);
  const info = join("sealyard/v1/x-wing", Buffer.of(0), "A256GCM", Buffer.of(0), kid);
  const schedule = join(Buffer.of(0), extract(none, "psk_id_hash", none), extract(none, "info_hash", info));
  const secret = extract(shared, "secret", none);
  const key = expandLabeled(secret, "key", schedule, 32);
  return openGcm(key, expandLabeled(secret, "base_nonce", schedule, 12), ct, none);
}

export function verifyJws(text, jwk, typ) {
  const [head, payload, signature, ...more] = text.split(".");
  if (signature === undefined || more.length) refuse("JWS");
  const alg = jwk.kty === "RSA" ? "PS256" : "EdDSA";
  const expected = JSON.stringify({ typ, alg, kid: thumbprint(jwk) });
  if (from64(head).toString("latin1") !== expected) refuse("JWS header");
  const key = publicPart(jwk);
  const options = { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 };
  const signed = bytes(`${head}.${payload}`);
  const good = alg === "PS256" ? verify("sha256", signed, options, from64(signature)) : verify(null, signed, key, from64(signature));
  if (!good) refuse("signature");
  return JSON.parse(from64(payload).toString("utf8"));
}

const equal = (a, b) => JSON.stringify(a) === JSON.stringify(b);

export function openPackage({ package: made, mine, sender, parts, now }) {
  if (from64(made.protected).toString("latin1") !== '{"typ":"sy1-package","enc":"A256GCM"}') refuse("header");
  const kid = thumbprint(mine);
  const entry = made.recipients.find((one) => one.header.kid === kid) ?? refuse("not for us");
  const wrapped = from64(entry.encrypted_key);
  let contentKey;
  if (mine.kty === "RSA" && entry.header.alg === "RSA-OAEP-256") {
    const key = createPrivateKey({ key: mine, format: "jwk" });
    contentKey = privateDecrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" }, wrapped);
  } else if (mine.crv === "X25519" && entry.header.alg === "ECDH-ES+A256KW") {
    contentKey = unwrapKey(ecdh(mine, entry.header.epk), wrapped);
  } else if (mine.kty === "AKP" && entry.header.alg === "x-sealyard-HPKE-X-Wing") {
    contentKey = openHpke(wrapped, mine, kid);
  } else {
    refuse("alg");
  }
  const sealed = join(from64(made.ciphertext), from64(made.tag));
  const jws = openGcm(contentKey, from64(made.iv), sealed, bytes(made.protected)).toString("latin1");
  const claims = verifyJws(jws, sender, "sy1-package");
  const kids = made.recipients.map((one) => one.header.kid);
  if (claims.iss !== thumbprint(sender) || !equal([...claims.aud].sort(), [...kids].sort())) refuse("issuer or audience");
  if (!equal(claims.tenant, parts.tenant) || !equal(claims.cid, parts.conversation)) refuse("another conversation");
  if (claims.iat > now + SKEW || now > claims.exp + SKEW) refuse("times");
  return { key: from64(claims.jwk.k).toString("hex"), sid: claims.jwk.kid };
}

// ---- Private keys, keyrings: JWE Compact under a passphrase or a key

function openJwe(text, { passphrase, key, cty }) {
  const [head, wrapped, iv, ct, tag, ...more] = text.trim().split(".");
  if (tag === undefined || more.length) refuse("JWE");
  const header = JSON.parse(from64(head).toString("utf8"));
  if (header.enc !== "A256GCM" || header.cty !== cty) refuse("JWE header");
  let wrapping = key;
  if (passphrase !== undefined) {
    if (header.alg !== "PBES2-HS512+A256KW" || !(header.p2c >= 220000 && header.p2c <= 1000000)) refuse("alg or p2c");
    const salt = join("PBES2-HS512+A256KW", Buffer.of(0), from64(header.p2s));
    wrapping = pbkdf2Sync(bytes(passphrase), salt, header.p2c, 32, "sha512");
  } else if (header.alg !== "A256KW") {
    refuse("alg");
  }
  return openGcm(unwrapKey(wrapping, from64(wrapped)), from64(iv), join(from64(ct), from64(tag)), bytes(head));
}

export function openPrivateKey({ jwe, passphrase, record_key: recordKey }) {
  const key = recordKey && expand(Buffer.from(recordKey, "hex"), bytes("sealyard/v1/private-key"), 32);
  return { jwk: JSON.parse(openJwe(jwe, { passphrase, key, cty: "jwk+json" }).toString("utf8")) };
}

const sorted = (value) => (value && typeof value === "object" && !Array.isArray(value)
  ? Object.fromEntries(Object.keys(value).sort().map((name) => [name, sorted(value[name])]))
  : Array.isArray(value) ? value.map(sorted) : value);

export function openKeyring({ file, passphrase, root_key: root }) {
  const rootKey = root === undefined ? undefined : from64(root);
  const { mac, signatures, ...rest } = JSON.parse(file); // signatures are over the head, not under the MAC
  const wanted = passphrase === undefined ? "file" : "passphrase";
  const { jwe } = (rest.wrappings ?? refuse("no wrappings")).find((one) => one.kind === wanted) ?? refuse("no such wrapping");
  const inside = openJwe(jwe, { passphrase, key: rootKey, cty: "octet-stream" });
  if (inside.length !== 49 || inside[0] !== 1 || to64(inside.subarray(1, 17)) !== rest.id) refuse("wrapping");
  const opened = inside.subarray(17);
  const expected = hmac(expand(opened, bytes("sealyard/v1/keyring-mac"), 32), bytes(JSON.stringify(sorted(rest))));
  if (!same(expected, from64(mac))) refuse("MAC");
  const set = JSON.parse(openJwe(rest.keyring, { key: opened, cty: "jwk-set+json" }).toString("utf8"));
  const identity = from64(set.keys.find((one) => one.use === "identity").k);
  if (to64(expand(identity, bytes("sealyard/v1/keyring-id"), 16)) !== rest.id) refuse("id");
  const hex = (use) => from64(set.keys.find((one) => one.use === use).k).toString("hex");
  const keks = set.keys.filter((one) => one.use === "kek")
    .map(({ kid, number, created, state, k }) => ({ id: kid, number, created, state, key: from64(k).toString("hex") }));
  return { keks, name_key: hex("name"), record_key: hex("record") };
}
