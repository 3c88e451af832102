"""The traffic port: where messages arrive, are decided upon, and are forwarded or refused."""

from ..process.deferred import defer

# Before any module here imports it: of aiohttp, its client is not needed.
defer("aiohttp")
