// Print the pages that the search of the built site finds for each query, the best first.
//
// node search.js FOLDER_OF_THE_SITE < QUERIES, one a line; prints JSON, a list for each.
// It runs the site's own files, as a browser does; only what writes into the page has nowhere to go.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const vm = require("node:vm");

const root = process.argv[2];
const files = ["base-stemmer.js", "english-stemmer.js", "language_data.js", "scorer.js", "searchtools.js"];
const nowhere = { addEventListener() {}, getElementById: () => null, documentElement: { dataset: { content_root: "./" } } };
const location = { search: "" };
const window = { location };
const page = vm.createContext({ window, location, document: nowhere, localStorage: { setItem() {} }, SPHINX_HIGHLIGHT_ENABLED: false, URLSearchParams, console });
page._ready = () => {};
const run = (name) => vm.runInContext(fs.readFileSync(path.join(root, name), "utf-8"), page);
for (const file of files) {
  if (fs.existsSync(path.join(root, "_static", file))) run(path.join("_static", file));
  for (const [name, value] of Object.entries(window)) page[name] ??= value;
}
vm.runInContext("globalThis.Search = Search", page);
run("searchindex.js");
const found = (query) => {
  location.search = "?q=" + encodeURIComponent(query);
  const results = page.Search._performSearch(...page.Search._parseQuery(query));
  return [...new Set(results.reverse().map((one) => one[0]))];
};
const queries = fs.readFileSync(0, "utf-8").split("\n").filter(Boolean);
process.stdout.write(JSON.stringify(queries.map(found)));
