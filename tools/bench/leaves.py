"""What the leaves of the core cost in each form: `python -m tools.bench.leaves`.

Instructions of one call, counted by callgrind: the same on a busy machine and on an idle one. The
native leaves must be built.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, Final

import sealyard_native

from proxy.core.leaves import base64url, heads, masks, spans, strings, tokens, values
from tests.linear.callgrind import counted

SIZES: Final = (100, 1024, 16_384)
CALLS: Final = 50
MANY: Final = 50

Leaf = Callable[..., Any]


def _calls(size: int) -> dict[str, tuple[Leaf, tuple[object, ...]]]:
    """Return each leaf in Python, and what it is called with: values of so many bytes."""
    data = bytes(at * 7 % 251 for at in range(size))
    text = (b"The quick brown fox. " * (size // 21 + 1))[:size]
    literal = b'"%s"' % text
    body = b'{"conversationId":"c1","text":%s,"id":1}' % literal
    place = [body.index(literal), body.index(literal) + len(literal)]
    head = tokens.JWE_PREFIX + b"A" * 180
    token = tokens.token_text(head, bytes(12), data + bytes(16))
    ends = range(1, MANY * (len(token) + 3) + 2, len(token) + 3)
    block = b"Content-Type: text/plain\r\n" * (size // 26 + 1) + b"\r\n"
    listed = b"[%s]" % b",".join([b'"%s"' % token] * MANY)
    return {
        "encode": (base64url.encode, (data,)),
        "decode": (base64url.decode, (base64url.encode(data),)),
        "token_text": (tokens.token_text, (head, bytes(12), data + bytes(16))),
        "token_parts": (tokens.token_parts, (token,)),
        f"tokens_at, {MANY}": (
            tokens.tokens_at,
            (listed, [at for start, end in pairwise(ends) for at in (start, end - 1)]),
        ),
        "candidates": (tokens.candidates, (body, 0, len(body))),
        "fields": (heads.fields, (block, 0, len(block))),
        "masking": (masks.masking, (data, b"\x37\xfa\x21\x3d")),
        "quote": (strings.quote, (text,)),
        "unquote": (strings.unquote, (literal,)),
        "splice": (spans.splice, (body, place, [token])),
        "texts_at": (values.texts_at, (body, place)),
        "put_texts": (values.put_texts, (body, place, [text])),
        "put_tokens": (
            values.put_tokens,
            (body, place, [head], bytes(12), [data + bytes(16)]),
        ),
    }


def _work(name: str, size: int) -> Callable[[], object]:
    leaf, form = name.rsplit(" ", 1)
    function, arguments = _calls(size)[leaf]
    if form == "native":
        function = getattr(sealyard_native, function.__name__)
    return partial(function, *arguments)


def _run(sizes: str, *names: str) -> None:
    """Call each leaf with values of each size, between two calls of `os.getloadavg`."""
    gc.disable()
    for name in names:
        for size in map(int, sizes.split(",")):
            work = _work(name, size)
            work()
            os.getloadavg()
            for _ in range(CALLS):
                work()
            os.getloadavg()


def _show() -> None:
    leaves = list(_calls(1))
    names = [f"{leaf} {form}" for leaf in leaves for form in ("python", "native")]
    counts = counted(names, SIZES, module="tools.bench.leaves")
    lines = ["| leaf |" + "".join(f" {size:,} bytes |" for size in SIZES)]
    lines.append("|---|" + "--:|" * len(SIZES))
    for leaf in leaves:
        pairs = zip(counts[f"{leaf} python"], counts[f"{leaf} native"], strict=True)
        cells = [f" {slow // CALLS:,} → {fast // CALLS:,} |" for slow, fast in pairs]
        lines.append(f"| `{leaf}` |" + "".join(cells))
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    _run(*sys.argv[1:]) if len(sys.argv) > 1 else _show()
