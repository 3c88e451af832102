"""The admin API and the health listener: on their own ports, never on that of the traffic."""

from ..process.lean import lean_aiohttp

# Before any module here imports it: of aiohttp, its client is not needed.
lean_aiohttp()
