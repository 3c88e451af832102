"""Injection: a pod goes in, the same pod with its sidecar comes out."""

from ..process.lean import lean_aiohttp

# Before any module here imports it: of aiohttp, its client is not needed.
lean_aiohttp()
