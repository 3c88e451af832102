// Reads documents as graphql-js does, and tells what their only operation gives to its fields.
// node read.mjs < documents.json > readings.json
import { readFileSync } from "node:fs";
import { parse } from "graphql";

function value(node) {
  switch (node.kind) {
    case "Variable":
      return { variable: node.name.value };
    case "ListValue":
      return node.values.map(value);
    case "ObjectValue":
      return { members: node.fields.map((one) => [one.name.value, value(one.value)]) };
    case "NullValue":
      return { spelled: "null" };
    case "EnumValue":
      return { string: node.value };
    case "StringValue":
      return { string: node.value };
    default:
      return { spelled: String(node.value) };
  }
}

function fields(set, fragments, root) {
  const found = [];
  for (const one of set?.selections ?? []) {
    if (one.kind !== "Field") {
      const inner = one.kind === "InlineFragment" ? one : fragments[one.name.value];
      found.push(...fields(inner.selectionSet, fragments, root));
      continue;
    }
    const given = one.arguments.map((each) => [each.name.value, value(each.value)]);
    const below = fields(one.selectionSet, fragments, false);
    if (root || given.length || below.length) found.push([one.name.value, given, below]);
  }
  return found;
}

function reading(document) {
  let definitions;
  try {
    definitions = parse(document).definitions;
  } catch {
    return null;
  }
  const operations = definitions.filter((one) => one.kind === "OperationDefinition");
  const fragments = {};
  for (const one of definitions) if (one.kind === "FragmentDefinition") fragments[one.name.value] = one;
  if (operations.length !== 1 || definitions.length !== 1 + Object.keys(fragments).length) return null;
  const [operation] = operations;
  try {
    return {
      type: operation.operation,
      name: operation.name?.value ?? null,
      variables: operation.variableDefinitions.map((one) => [
        one.variable.name.value,
        one.defaultValue ? value(one.defaultValue) : null,
      ]),
      fields: fields(operation.selectionSet, fragments, true),
    };
  } catch {
    return null; // a fragment is missing, or within itself
  }
}

process.stdout.write(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(reading)));
