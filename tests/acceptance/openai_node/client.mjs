// Streams with the client of OpenAI for Node; prints what it was told as JSON: BASE_URL CANARY MODEL...
import OpenAI from 'openai';

const [baseURL, canary, ...models] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: 'k', maxRetries: 0, timeout: 60_000 });
const TOOLS = [{ type: 'function', function: { name: 'give', parameters: { type: 'object' } } }];

const asked = (model, more = {}) => ({
  model,
  user: 'room-1',
  messages: [
    { role: 'system', content: `be kind ${canary}` },
    {
      role: 'assistant',
      content: null,
      tool_calls: [
        { id: 'call-0', type: 'function', function: { name: 'give', arguments: JSON.stringify({ to: canary }) } },
      ],
    },
    { role: 'tool', tool_call_id: 'call-0', content: canary },
    { role: 'user', content: [{ type: 'text', text: `ü ${canary}` }] },
  ],
  ...more,
});

async function told(request) {
  const found = { texts: {}, arguments: '', reasons: [], usage: null, deltas: 0 };
  for await (const chunk of await client.chat.completions.create({ ...request, stream: true })) {
    found.usage = chunk.usage?.total_tokens ?? found.usage;
    for (const choice of chunk.choices) {
      if (typeof choice.delta.content === 'string') {
        found.deltas += choice.delta.content ? 1 : 0;
        found.texts[choice.index] = (found.texts[choice.index] ?? '') + choice.delta.content;
      }
      for (const call of choice.delta.tool_calls ?? []) found.arguments += call.function.arguments;
      if (choice.finish_reason) found.reasons.push(choice.finish_reason);
    }
  }
  return found;
}

const found = {};
for (const model of models) {
  found[model] = {
    text: await told(asked(model, { stream_options: { include_usage: true } })),
    two: await told(asked(model, { n: 2 })),
    tools: await told(asked(model, { tools: TOOLS })),
  };
}
const helper = client.chat.completions.stream(asked(models[0]));
found.helper = await helper.finalContent();
found.once = (await client.chat.completions.create(asked('whole'))).choices[0].message.content;
try {
  await client.chat.completions.create({ model: 'whole', user: 'room-1', messages: [{ role: 'user', content: 'fail' }] });
} catch (error) {
  found.failure = error.error.message;
}
found.models = [];
for await (const one of client.models.list()) found.models.push(one.id);
process.stdout.write(JSON.stringify(found));
