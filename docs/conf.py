"""Settings of Sphinx for the documentation site; `./dev docs --build` makes it.

The source folder is the repository, so that links between pages and to files mean the same on the
site as in a checkout.
"""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

project = "Sealyard"
author = "The Sealyard project"
root_doc = "docs/index"
include_patterns = ["*.md", "deploy/*.md", "docs/*.md", "docs/**/*.md"]
extensions = ["myst_parser", "sphinx_copybutton"]
myst_heading_anchors = 4

nitpicky = True
html_theme = "furo"
html_title = "Sealyard"
html_copy_source = False
html_show_copyright = False
html_extra_path = ["site"]
html_search_scorer = str(Path(__file__).with_name("scorer.js"))

FOLDERS = ("docs/adr/README", "docs/how-to/backends/README", "docs/runbooks/README")
"""Pages that lead to all others of their folder."""

_LINK = re.compile(r"\[([^\]]+)\]\(([^)#:]+)\)")


def fit(app: Sphinx, docname: str, source: list[str]) -> None:
    """Fit a page to the site: folders have no page, and those of FOLDERS list what they hold."""
    here = (Path(app.srcdir) / docname).parent

    def shown(link: re.Match[str]) -> str:
        return link[1] if (here / link[2]).is_dir() else link[0]

    source[0] = _LINK.sub(shown, source[0])
    if docname in FOLDERS:  # GitHub would show these lines as code
        source[0] += "\n```{toctree}\n:hidden:\n:glob:\n\n*\n```\n"


def setup(app: Sphinx) -> None:
    """Connect to what Sphinx does."""
    app.connect("source-read", fit)
