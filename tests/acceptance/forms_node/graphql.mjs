// Apollo Client with apollo-upload-client. Prints what each step gave.
import { createHash } from "node:crypto";
import { ApolloClient, gql, InMemoryCache } from "@apollo/client";
import UploadHttpLink from "apollo-upload-client/UploadHttpLink.mjs";

const [server, canary] = process.argv.slice(2);
const client = new ApolloClient({
  cache: new InMemoryCache(),
  defaultOptions: { query: { fetchPolicy: "no-cache" } },
  link: new UploadHttpLink({ uri: `${server}/graphql` }),
});
const SEND = gql`
  mutation Send($roomId: ID!, $text: String!, $files: [Upload!]!) {
    send(roomId: $roomId, text: $text, files: $files) { roomId messages { text files { name } } }
  }
`;
const ROOM = gql`
  query Room($roomId: ID!) {
    room(roomId: $roomId) { roomId messages { text files { name path } } }
  }
`;
const told = {};

const digest = (bytes) => createHash("sha256").update(bytes).digest("hex");
const read = async (roomId) =>
  (await client.query({ query: ROOM, variables: { roomId } })).data.room.messages;
const send = async (variables) =>
  (await client.mutate({ mutation: SEND, variables })).data.send.messages;

const files = [
  new File([`${canary} of a file\r\n--x--\r\n`], `${canary}.txt`, { type: "text/plain" }),
  new File([new Uint8Array([0, 255, 13, 10]), canary], "sc\u00e4n.png", { type: "image/png" }),
  new File([canary.repeat(20_000)], "large.bin", { type: "application/octet-stream" }),
];
const bytes = await Promise.all(files.map((one) => one.arrayBuffer()));
told.files = bytes.map((one) => digest(Buffer.from(one)));
told.sent = await send({ roomId: "r1", text: `${canary} "quoted" \u2028 \u{1f600}`, files });
told.without_files = await send({ roomId: "r1", text: canary, files: [] });
told.room = await read("r1");
told.other = await read("r2");
told.downloads = [];
for (const { path } of told.room[0].files) {
  const found = await fetch(`${server}${path}`);
  const bytes = Buffer.from(await found.arrayBuffer());
  told.downloads.push([found.status, found.headers.get("content-type"), digest(bytes)]);
}
const four = [...files, new File([canary], "fourth.txt")];
told.four = await send({ roomId: "r1", text: canary, files: four }).then(
  (found) => found[0].files.length,
  (error) => error.errors?.map(({ extensions: told }) => [told.code, told.status]) ?? String(error),
);

process.stdout.write(JSON.stringify(told));
process.exit(0);
