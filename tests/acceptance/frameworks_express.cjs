// An application of Express as docs/how-to/backends/express.md has it: PORT KEPT PACKAGES
const fs = require('node:fs');
const [port, kept, packages] = process.argv.slice(2);
const express = require(`${packages}/express`);
const multer = require(`${packages}/multer`);

const rows = [];
const keep = (answer, row) => {
  rows[row.id - 1] = row;
  fs.writeFileSync(kept, JSON.stringify(rows));
  answer.json(row);
};
const app = express();
app.use(express.json({ limit: '200kb' }));
app.post('/api/messages', (ask, answer) => keep(answer, { ...ask.body, id: rows.length + 1 }));
app.get('/api/messages/:id', (ask, answer) => answer.json(rows[ask.params.id - 1]));
app.patch('/api/messages/:id', (ask, answer) => keep(answer, { ...rows[ask.params.id - 1], ...ask.body }));
app.post('/api/rooms/:room/files', multer().single('file'), (ask, answer) =>
  keep(answer, { id: rows.length + 1, kind: ask.body.kind, file: ask.file.buffer.toString('latin1') }));
app.listen(port, '127.0.0.1');
