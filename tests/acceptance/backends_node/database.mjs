// The table of messages in PostgreSQL that servers of these tests have: DATABASE_URI
import knex from 'knex';

export async function database(connection) {
  const db = knex({ client: 'pg', connection, pool: { min: 1, max: 4 } });
  await db.schema.createTable('messages', (table) => {
    table.increments('id');
    table.string('room', 100).notNullable();
    table.string('title', 1000).unique();
    table.text('text').notNullable();
    table.text('scan');
  });
  return db;
}
