// ML-KEM-768 (FIPS 203), decapsulation alone, in plain JavaScript: node's crypto has none yet. Slow, and not
// in constant time: it is for tests.
import { createHash } from "node:crypto";

const [Q, N, K, ETA, DU, DV] = [3329, 256, 3, 2, 10, 4];
const shake256 = (data, size) => createHash("shake256", { outputLength: size }).update(data).digest();
const sha3 = (bits, data) => createHash(`sha3-${bits}`).update(data).digest();
const mod = (value) => ((value % Q) + Q) % Q;

function power(base, exponent) {
  let [made, square] = [1, base];
  for (let left = exponent; left; left >>= 1) {
    if (left & 1) made = (made * square) % Q;
    square = (square * square) % Q;
  }
  return made;
}

const reversed = (value) => Array.from({ length: 7 }, (_, bit) => ((value >> bit) & 1) << (6 - bit)).reduce((a, b) => a | b);
const ZETAS = Array.from({ length: 128 }, (_, at) => power(17, reversed(at)));
const GAMMAS = Array.from({ length: 128 }, (_, at) => power(17, 2 * reversed(at) + 1));

function ntt(poly) {
  const f = [...poly];
  let i = 1;
  for (let length = 128; length >= 2; length >>= 1) {
    for (let start = 0; start < N; start += 2 * length) {
      const zeta = ZETAS[i++];
      for (let j = start; j < start + length; j += 1) {
        const t = (zeta * f[j + length]) % Q;
        f[j + length] = mod(f[j] - t);
        f[j] = mod(f[j] + t);
      }
    }
  }
  return f;
}

function inverseNtt(poly) {
  const f = [...poly];
  let i = 127;
  for (let length = 2; length <= 128; length <<= 1) {
    for (let start = 0; start < N; start += 2 * length) {
      const zeta = ZETAS[i--];
      for (let j = start; j < start + length; j += 1) {
        const t = f[j];
        f[j] = mod(t + f[j + length]);
        f[j + length] = mod(zeta * (f[j + length] - t));
      }
    }
  }
  return f.map((value) => (value * 3303) % Q);
}

function multiply(a, b) {
  const made = new Array(N);
  for (let i = 0; i < 128; i += 1) {
    const [a0, a1, b0, b1] = [a[2 * i], a[2 * i + 1], b[2 * i], b[2 * i + 1]];
    made[2 * i] = mod(a0 * b0 + ((a1 * b1) % Q) * GAMMAS[i]);
    made[2 * i + 1] = mod(a0 * b1 + a1 * b0);
  }
  return made;
}

const add = (a, b) => a.map((value, at) => mod(value + b[at]));

function decode(data, bits) { // ByteDecode
  return Array.from({ length: N }, (_, at) => {
    let value = 0;
    for (let bit = 0; bit < bits; bit += 1) {
      const place = at * bits + bit;
      value |= ((data[place >> 3] >> (place & 7)) & 1) << bit;
    }
    return bits === 12 ? value % Q : value;
  });
}

function encode(poly, bits) { // ByteEncode
  const data = Buffer.alloc((N * bits) / 8);
  poly.forEach((value, at) => {
    for (let bit = 0; bit < bits; bit += 1) {
      const place = at * bits + bit;
      data[place >> 3] |= ((value >> bit) & 1) << (place & 7);
    }
  });
  return data;
}

const compress = (poly, bits) => poly.map((value) => Math.floor((value * 2 ** bits * 2 + Q) / (2 * Q)) % 2 ** bits);
const decompress = (poly, bits) => poly.map((value) => Math.floor((value * Q * 2 + 2 ** bits) / 2 ** (bits + 1)));

function noise(seed, number) { // SamplePolyCBD of PRF
  const data = shake256(Buffer.concat([seed, Buffer.of(number)]), 64 * ETA);
  const bit = (at) => (data[at >> 3] >> (at & 7)) & 1;
  return Array.from({ length: N }, (_, at) => {
    const start = 2 * at * ETA;
    return mod(bit(start) + bit(start + 1) - bit(start + 2) - bit(start + 3));
  });
}

function uniform(rho, j, i) { // SampleNTT
  const data = createHash("shake128", { outputLength: 3 * 1024 }).update(Buffer.concat([rho, Buffer.of(j, i)])).digest();
  const made = [];
  for (let at = 0; made.length < N; at += 3) {
    const one = data[at] + 256 * (data[at + 1] % 16);
    const other = (data[at + 1] >> 4) + 16 * data[at + 2];
    if (one < Q) made.push(one);
    if (other < Q && made.length < N) made.push(other);
  }
  return made;
}

function encrypt(ek, message, coins) { // K-PKE.Encrypt
  const t = Array.from({ length: K }, (_, i) => decode(ek.subarray(384 * i, 384 * (i + 1)), 12));
  const rho = ek.subarray(384 * K);
  const y = Array.from({ length: K }, (_, i) => ntt(noise(coins, i)));
  const u = Array.from({ length: K }, (_, i) => {
    const sum = y.map((one, j) => multiply(uniform(rho, i, j), one)).reduce(add); // the transpose of A
    return add(inverseNtt(sum), noise(coins, K + i));
  });
  const mu = decompress(decode(message, 1), 1);
  const v = add(add(inverseNtt(t.map((one, i) => multiply(one, y[i])).reduce(add)), noise(coins, 2 * K)), mu);
  return Buffer.concat([...u.map((one) => encode(compress(one, DU), DU)), encode(compress(v, DV), DV)]);
}

/** Returns the shared secret of a ciphertext, for the key of a seed (d, z) whose public key is `ek`. */
export function decapsulate(seed, ek, ciphertext) {
  const sigma = sha3(512, Buffer.concat([seed.subarray(0, 32), Buffer.of(K)])).subarray(32);
  const s = Array.from({ length: K }, (_, i) => ntt(noise(sigma, i)));
  const u = Array.from({ length: K }, (_, i) => decompress(decode(ciphertext.subarray(32 * DU * i, 32 * DU * (i + 1)), DU), DU));
  const v = decompress(decode(ciphertext.subarray(32 * DU * K), DV), DV);
  const inner = inverseNtt(s.map((one, i) => multiply(one, ntt(u[i]))).reduce(add));
  const message = encode(compress(v.map((value, at) => mod(value - inner[at])), 1), 1);
  const secret = sha3(512, Buffer.concat([message, sha3(256, ek)]));
  if (encrypt(ek, message, secret.subarray(32)).equals(ciphertext)) return secret.subarray(0, 32);
  return shake256(Buffer.concat([seed.subarray(32, 64), ciphertext]), 32);
}
