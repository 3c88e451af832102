// Print the sections that the search of the built site finds for each query, the best first: PAGE or PAGE#SECTION.
//
// node search.js FOLDER_OF_THE_SITE < QUERIES, one a line; prints JSON, a list for each.
// It runs the site's own files, as a browser does; only what writes into the page has nowhere to go.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const vm = require("node:vm");

const root = process.argv[2];
const shown = fs.readFileSync(path.join(root, "search", "index.html"), "utf-8");
const files = [...shown.matchAll(/<script src="\.\.\/_static\/((?:searchtools|language_data)\.js)/g)].map((one) => one[1]);
const nowhere = { addEventListener() {}, getElementById: () => null, documentElement: { dataset: { content_root: "./" } } };
const location = { search: "" };
const window = { location };
const page = vm.createContext({ window, location, document: nowhere, localStorage: { setItem() {} }, SPHINX_HIGHLIGHT_ENABLED: false, URLSearchParams, console });
page._ready = () => {};
const run = (name) => vm.runInContext(fs.readFileSync(path.join(root, name), "utf-8"), page);
for (const file of files) {
  run(path.join("_static", file));
  for (const [name, value] of Object.entries(window)) page[name] ??= value;
}
vm.runInContext("globalThis.Search = Search", page);
run("searchindex.js");
const found = (query) => {
  location.search = "?q=" + encodeURIComponent(query);
  const results = page.Search._performSearch(...page.Search._parseQuery(query));
  return results.reverse().map((one) => one[0] + one[2]);
};
const queries = fs.readFileSync(0, "utf-8").split("\n").filter(Boolean);
process.stdout.write(JSON.stringify(queries.map(found)));
