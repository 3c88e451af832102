"""The traffic port: where messages arrive, are decided upon, and are forwarded or refused."""

from ..process.lean import lean_aiohttp

# Before any module here imports it: of aiohttp, its client is not needed.
lean_aiohttp()
