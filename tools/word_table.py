"""Write the frozen table of word breaks, `proxy/core/search/word_table.py`, to standard output.

    python -m tools.word_table > proxy/core/search/word_table.py

Perl knows the properties of Unicode 15.0 (5.38 and later); only characters that Unicode 14.0 has
are taken, which every Python that Sealyard runs on knows. The table is part of the form of tags:
it never changes, so this runs once.
"""

from __future__ import annotations

import subprocess
import sys
from itertools import groupby
from typing import Final

_PERL: Final = r"""
use strict; use warnings; no warnings 'utf8';
for my $at (0 .. 0x10ffff) {
  my $one = chr $at;
  my $class =
      $one !~ /\p{Present_In: 14.0}/ ? 'U'
    : $one =~ /[\p{WB=Format}\p{WB=ZWJ}\p{VS}\x{200c}]/ ? 'I'
    : $one =~ /\p{WB=Extend}/ ? 'E'
    : $one =~ /\p{WB=ALetter}/ ? 'A'
    : $one =~ /\p{WB=Hebrew_Letter}/ ? 'H'
    : $one =~ /\p{WB=Numeric}/ ? 'N'
    : $one =~ /\p{WB=MidLetter}/ ? ($one eq ':' ? 'O' : 'L')
    : $one =~ /\p{WB=MidNumLet}/ ? 'B'
    : $one =~ /\p{WB=MidNum}/ ? 'M'
    : $one =~ /\p{WB=ExtendNumLet}/ ? 'X'
    : $one =~ /\p{WB=Single_Quote}/ ? 'S'
    : $one =~ /\p{WB=Double_Quote}/ ? 'D'
    : $one =~ /[\p{WB=Katakana}\p{L}]/ ? 'K'
    : 'O';
  print $class;
}
"""
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_WIDTH: Final = 92
_HEAD: Final = '''"""Frozen table of word breaks, made by `tools/word_table.py`; it never changes.

How many characters in a row have a class, in base 36, and the class, from U+0000 on. `A` and `H`
are letters (`H` of Hebrew), `N` digits, `E` extends what it follows, `I` is ignored. `K` is a
letter of a script without breaks between words, `U` no character of Unicode 14.0. `L`, `B`, `M`,
`S` and `D` may stand within a word, `X` joins; `O` is all else. These are the values of Word_Break
(UAX #29), but a colon parts words, which it joins in Swedish alone.
"""

from typing import Final

RUNS: Final = (
'''


def main() -> None:
    """Print the module."""
    classes = subprocess.run(  # noqa: S603 - a constant
        ["/usr/bin/perl", "-e", _PERL], check=True, capture_output=True, text=True
    ).stdout
    runs = "".join(_base36(len(list(group))) + name for name, group in groupby(classes))
    lines = (f'    "{runs[at : at + _WIDTH]}"\n' for at in range(0, len(runs), _WIDTH))
    sys.stdout.write("".join((_HEAD, *lines, ")\n")))


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = _DIGITS[rest] + digits
    return digits


if __name__ == "__main__":
    main()
