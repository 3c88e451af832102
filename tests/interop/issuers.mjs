// Two real issuers over TLS: prints what they issue as one line of JSON, and serves their keys
// until its input ends.
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { createInterface } from "node:readline";
import { exportJWK, generateKeyPair } from "jose";
import { OAuth2Server } from "oauth2-mock-server";
import { Provider } from "oidc-provider";

console.info = console.error; // notices of the provider
const [certificate, key, authority] = process.argv.slice(2);
const tls = { cert: readFileSync(certificate), key: readFileSync(key) };
const ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"];

async function privateKey(alg) {
  const made = await generateKeyPair(alg, { extractable: true });
  return { ...(await exportJWK(made.privateKey)), use: "sig", alg, kid: `oidc-${alg}` };
}

// oidc-provider: access tokens as JWTs (RFC 9068) for a resource, one algorithm for each.
const server = createServer(tls);
await new Promise((listening) => server.listen(0, "localhost", listening));
const issuer = `https://localhost:${server.address().port}`;
const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "doctor",
      client_secret: "secret",
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    },
  ],
  jwks: { keys: await Promise.all(ALGORITHMS.map(privateKey)) },
  extraTokenClaims: () => ({ roles: ["doctor"], org: "clinic" }),
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_, resource) => ({
        scope: "read",
        audience: "messages",
        accessTokenFormat: "jwt",
        jwt: { sign: { alg: new URL(resource).pathname.slice(1) } },
      }),
    },
  },
});
server.on("request", provider.callback());

process.env.NODE_EXTRA_CA_CERTS ??= authority;
async function issued(alg) {
  const answer = await fetch(`${issuer}/token`, {
    method: "POST",
    headers: { Authorization: `Basic ${btoa("doctor:secret")}` },
    body: new URLSearchParams({
      grant_type: "client_credentials",
      resource: `https://messages.example/${alg}`,
      scope: "read",
    }),
  });
  const said = await answer.json();
  if (!said.access_token) throw new Error(JSON.stringify(said));
  return said.access_token;
}

const mock = new OAuth2Server(key, certificate);
await mock.issuer.keys.generate("ES256");
await mock.start(0, "localhost");
const roles = { roles: ["doctor"], org: "lab" };
const claims = (_, payload) => Object.assign(payload, { aud: "messages", sub: "grace", ...roles });

console.log(
  JSON.stringify({
    oidc: {
      issuer,
      jwks: `${issuer}/jwks`,
      tokens: Object.fromEntries(
        await Promise.all(ALGORITHMS.map(async (alg) => [alg, await issued(alg)])),
      ),
    },
    mock: {
      issuer: mock.issuer.url,
      jwks: `${mock.issuer.url}/jwks`,
      tokens: { ES256: await mock.issuer.buildToken({ scopesOrTransform: claims }) },
    },
  }),
);
createInterface({ input: process.stdin }).on("close", () => process.exit());
