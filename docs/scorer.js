// How the results of the site's search are ordered; Sphinx's searchtools.js calls `score`.
//
// Tasks come before decisions, and a heading that has the words of the query before a text that
// happens to have them. tests/site/test_site.py asks the questions of queries.tsv, which names the wanted pages.
"use strict";

const FOLDERS = [
  ["docs/adr/", -30],
  ["docs/benchmarks", 0],
  ["docs/scorecard", 0],
  ["CHANGELOG", 0],
  ["CONTRIBUTING", 0],
  ["docs/reference/", 12],
  ["docs/explanation/", 16],
  ["docs/runbooks/", 14],
  ["", 20],
];
const TITLE = 60;
const HEADING = 30;

var Scorer = {
  objNameMatch: 0,
  objPartialMatch: 0,
  objPrio: {},
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
  headings: undefined, // of each page, as sets of stems: [page's own, the others]
  stems(text) {
    const stemmer = new Stemmer();
    const words = splitQuery(text.toLowerCase()).filter((word) => !stopwords.has(word));
    return new Set(words.map((word) => stemmer.stemWord(word)));
  },
  learn() {
    const index = Search._index;
    Scorer.headings = new Map(index.docnames.map((name) => [name, []]));
    for (const [heading, places] of Object.entries(index.alltitles))
      for (const [file] of places) {
        const own = index.titles[file] === heading;
        Scorer.headings.get(index.docnames[file]).push([own ? TITLE : HEADING, Scorer.stems(heading)]);
      }
  },
  // The part of the query that a heading has, less for what the heading says beyond it.
  likeness(asked, heading) {
    const met = [...asked].filter((word) => heading.has(word)).length;
    return met && (met / asked.size) * (0.6 + (0.4 * met) / heading.size);
  },
  score([docname, , , , score]) {
    if (Scorer.headings === undefined) Scorer.learn();
    const asked = Scorer.stems(new URLSearchParams(window.location.search).get("q") || "");
    const headings = Scorer.headings.get(docname) || [];
    const best = Math.max(0, ...headings.map(([weight, one]) => weight * Scorer.likeness(asked, one)));
    return score + best + FOLDERS.find(([folder]) => docname.startsWith(folder))[1];
  },
};
