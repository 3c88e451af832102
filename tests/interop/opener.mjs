// Opens compact JWEs with the `jose` package: reads [{"jwk": ..., "token": ...}] from stdin and
// writes the plaintexts in hex, or the codes of the errors, as JSON.
import { compactDecrypt, importJWK } from "jose";

let text = "";
for await (const chunk of process.stdin) text += chunk;

const answers = [];
for (const { jwk, token } of JSON.parse(text)) {
  try {
    const key = await importJWK(jwk, "dir");
    const { plaintext, protectedHeader } = await compactDecrypt(token, key);
    answers.push({ plaintext: Buffer.from(plaintext).toString("hex"), header: protectedHeader });
  } catch (error) {
    answers.push({ error: error.code ?? error.name });
  }
}
process.stdout.write(JSON.stringify(answers));
