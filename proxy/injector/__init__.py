"""Injection: a pod goes in, the same pod with its sidecar comes out."""

from ..process.deferred import defer

# Before any module here imports it: of aiohttp, its client is not needed.
defer("aiohttp")
