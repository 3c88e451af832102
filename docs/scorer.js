// How the results of the site's search are ordered; Sphinx's searchtools.js calls `score`.
//
// Tasks come before decisions, a heading that has the words of the query before a text that
// happens to have them, and a page with most words before one with few: Sphinx alone finds only
// pages that have every word, so that a question in a reader's own words finds none. tests/site/test_site.py asks the questions of queries.tsv, which names the wanted pages.
"use strict";

const FOLDERS = [
  ["docs/adr/", -30],
  ["docs/benchmarks", -10],
  ["docs/scorecard", -10],
  ["CHANGELOG", 0],
  ["CONTRIBUTING", 0],
  ["docs/reference/", 12],
  ["docs/explanation/", 16],
  ["docs/runbooks/", 14],
  ["", 20],
];
const TITLE = 60;
const HEADING = 30;
const WORDS = 60;

const NEAR = 0.3; // of the words' weight that the best page has: less is not shown

const every = Search.performTermsSearch;
Search.performTermsSearch = (asked, excluded) => {
  const pages = new Map();
  for (const word of asked) {
    const found = every(new Set([word]), excluded);
    const rarity = 1 + Math.log(Search._index.docnames.length / (1 + found.length));
    for (const one of found) {
      const page = pages.get(one[0]) ?? { one, weight: 0, best: 0 };
      page.weight += rarity;
      page.best = Math.max(page.best, one[4]);
      pages.set(one[0], page);
    }
  }
  const most = Math.max(...[...pages.values()].map((page) => page.weight));
  return [...pages.values()]
    .filter((page) => page.weight >= NEAR * most)
    .map(({ one, weight, best }) => one.with(4, best + WORDS * (weight / most - 1)));
};

var Scorer = {
  objNameMatch: 0,
  objPartialMatch: 0,
  objPrio: {},
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
  headings: undefined, // of each page: {weight, stems, text, anchor}
  stems(text) {
    const stemmer = new Stemmer();
    const words = splitQuery(text.toLowerCase()).filter((word) => !stopwords.has(word));
    return new Set(words.map((word) => stemmer.stemWord(word)));
  },
  learn() {
    const index = Search._index;
    Scorer.headings = new Map(index.docnames.map((name) => [name, []]));
    for (const [heading, places] of Object.entries(index.alltitles))
      for (const [file, id] of places) {
        const own = index.titles[file] === heading;
        const [weight, text, anchor] = own ? [TITLE, "", ""] : [HEADING, ` > ${heading}`, `#${id}`];
        Scorer.headings.get(index.docnames[file]).push({ weight, stems: Scorer.stems(heading), text, anchor });
      }
  },
  // The part of the query that a heading has, less for what the heading says beyond it.
  likeness(asked, heading) {
    const met = [...asked].filter((word) => heading.has(word)).length;
    return met && (met / asked.size) * (0.6 + (0.4 * met) / heading.size);
  },
  // A page is shown from the section whose heading has most of the query, unless two have as much.
  score(result) {
    if (Scorer.headings === undefined) Scorer.learn();
    const [docname, title, anchor, , score] = result;
    const asked = Scorer.stems(new URLSearchParams(window.location.search).get("q") || "");
    const none = { like: 0, text: "", anchor: "" };
    const best = Scorer.headings.get(docname).reduce((most, one) => {
      const like = one.weight * Scorer.likeness(asked, one.stems);
      if (like === most.like) return { ...none, like };
      return like > most.like ? { ...one, like } : most;
    }, none);
    if (anchor === "" && best.like >= HEADING / 2) result.splice(1, 2, title + best.text, best.anchor);
    return score + best.like + FOLDERS.find(([folder]) => docname.startsWith(folder))[1];
  },
};
