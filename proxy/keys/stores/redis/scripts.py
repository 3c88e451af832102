"""The store's operations as Lua scripts: each is atomic, on Redis' clock, within one hash slot.

A value is a record. A script cannot tell whether one is authentic, so it does not decide by its
contents: it replaces a record only if it is the one that the caller has `seen` and verified with
the record key.

Each answer begins with the last argument, a mark that no other call has, and Redis' time: an answer
to an earlier call is recognized, and every answer tells how far our clock is from that of Redis.
"""

from __future__ import annotations

import hashlib
from typing import Final

CLOCK_REFUSED: Final = b"clock"
FENCE_REFUSED: Final = b"fence"
PROBE: Final = "probe"
"""A name that no conversation has, to check whether Redis does what it must."""


class Script:
    """A script, and the digest by which Redis knows it once it was sent."""

    def __init__(self, text: str) -> None:
        """Take the script as it is."""
        self.text = text
        # Redis fixes SHA-1 for that.
        self.digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def marked(body: str) -> Script:
    """Return a script whose answer begins with the mark, ARGV's last, and with Redis' time."""
    begin = "local time = redis.call('TIME')\nlocal function answer()"
    return Script(f"{begin}{body}end\nreturn {{ARGV[#ARGV], time, answer()}}\n")


# A value that is no string was not written by Sealyard: it is read as an empty record, which has no
# MAC. `others` is true for a record that is not the one that the caller has seen (`=` and a record,
# or an empty text for none).
_READ: Final = """
local function read(key)
  local value = redis.pcall('GET', key)
  if type(value) ~= 'table' then
    return value
  end
  return string.find(value.err, 'WRONGTYPE', 1, true) and '' or redis.call('GET', key)
end
local function others(held, seen)
  return held and seen ~= '=' .. held
end
"""

# `fenced` returns what refuses to keep something: nothing, or the fence that stands, if one does.
# It is given what the caller has seen (`=` and a record, `-` for none, or an empty text to compare
# nothing) and the first fence, which is written where none was seen and none stands. A fence stands
# as long as what is kept under it, and longer.
# `list` adds a key id to the list of those under a name: `id end` for each, with a space behind.
_KEEPING: Final = """
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function fenced(key, seen, first, ms)
  if seen == '' then
    return nil
  end
  local stands = read(key)
  if seen ~= (stands and '=' .. stands or '-') then
    return {'', 0, false, 'fence', stands}
  end
  if not stands or redis.call('PTTL', key) < tonumber(ms) then
    redis.call('SET', key, stands or first, 'PX', ms)
  end
end
local function list(key, id, ms)
  local ends, kept = now + ms, {}
  local last = ends
  for one, at in string.gmatch(read(key) or '', '(%S+) (%d+) ') do
    at = tonumber(at)
    if one ~= id and at > now then
      kept[#kept + 1] = one .. ' ' .. string.format('%.0f', at) .. ' '
      last = math.max(last, at)
    end
  end
  kept[#kept + 1] = id .. ' ' .. string.format('%.0f', ends) .. ' '
  redis.call('SET', key, table.concat(kept), 'PX', string.format('%.0f', last - now))
end
"""

# KEYS  current session, revocation, fence, list of keys, and for an ephemeral session its key
# ARGV  record, ttl ms, keep ms, made ms (0: not compared), most skew ms, channel, name, seen, fence
#       seen, first fence, ms of the fence, key id
_BEGIN: Final = (
    _READ
    + _KEEPING
    + """
local made = tonumber(ARGV[4])
if made > 0 and math.abs(now - made) > tonumber(ARGV[5]) then
  return {'', 0, false, 'clock'}
end
local revocation = read(KEYS[2])
local held = read(KEYS[1])
local left = held and redis.call('PTTL', KEYS[1]) or 0
"""
)
_KEEP: Final = """
local refused = fenced(KEYS[3], ARGV[9], ARGV[10], ARGV[11])
if refused then
  return refused
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if KEYS[5] then
  redis.call('SET', KEYS[5], ARGV[1], 'PX', ARGV[3])
  list(KEYS[4], ARGV[12], ARGV[3])
end
"""
# A user who may not publish still agrees: others then find out when they ask again.
_PUBLISH: Final = """
redis.pcall('PUBLISH', {channel}, {name})
"""

GET_OR_CREATE: Final = marked(
    _BEGIN
    + """
if held and left > 0 then
  return {held, left, revocation}
end
"""
    + _KEEP
    + """
return {ARGV[1], tonumber(ARGV[2]), revocation}
"""
)

REPLACE: Final = marked(
    _BEGIN
    + """
if left > 0 and others(held, ARGV[8]) then
  return {held, left, revocation}
end
"""
    + _KEEP
    + _PUBLISH.format(channel="ARGV[6]", name="ARGV[7]")
    + """
return {ARGV[1], tonumber(ARGV[2]), revocation}
"""
)

# KEYS  revocation, then keys of ephemeral sessions, or whatever else ends
FIND: Final = marked(
    _READ
    + """
local found = {read(KEYS[1])}
for at = 2, #KEYS do
  local held = read(KEYS[at])
  found[at] = held and {held, redis.call('PTTL', KEYS[at])} or false
end
return found
"""
)

# KEYS  revocation;  ARGV  record, the time that it says (seconds), channel, name, most skew s, seen
REVOKE: Final = marked(
    _READ
    + """
local latest = time[1] + tonumber(ARGV[5])
if tonumber(ARGV[2]) > latest then
  return {'clock'}
end
local held = read(KEYS[1])
if others(held, ARGV[6]) then
  return held
end
redis.call('SET', KEYS[1], ARGV[1])
"""
    + _PUBLISH.format(channel="ARGV[3]", name="ARGV[4]")
    + """
return ARGV[1]
"""
)

# KEYS  a mark, revocation;  ARGV  ms of the mark
# Answers with the revocation that stands: who has the mark behind it has it, too.
SETTLE: Final = marked(
    _READ
    + """
redis.call('SET', KEYS[1], '', 'PX', ARGV[1])
return read(KEYS[2])
"""
)

# KEYS  what is kept, revocation, fence, list of keys
# ARGV  record, keep ms, seen, fence seen, first fence, ms of the fence, key id
KEEP: Final = marked(
    _READ
    + _KEEPING
    + """
local revocation = read(KEYS[2])
local held = read(KEYS[1])
local left = held and redis.call('PTTL', KEYS[1]) or 0
if left > 0 and others(held, ARGV[3]) then
  return {held, left, revocation}
end
local refused = fenced(KEYS[3], ARGV[4], ARGV[5], ARGV[6])
if refused then
  return refused
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
list(KEYS[4], ARGV[7], ARGV[2])
return {ARGV[1], tonumber(ARGV[2]), revocation}
"""
)

# KEYS  note;  ARGV  `=` and the record (or an empty text to read only), channel or nothing, name,
#       seen
NOTE: Final = marked(
    _READ
    + """
local held = read(KEYS[1])
if ARGV[1] == '' or others(held, ARGV[4]) then
  return held
end
local record = string.sub(ARGV[1], 2)
redis.call('SET', KEYS[1], record)
if ARGV[2] ~= '' then
"""
    + _PUBLISH.format(channel="ARGV[2]", name="ARGV[3]")
    + """
end
return record
"""
)

# KEYS  fence, list of keys, then what is destroyed
# ARGV  channel, what is published, fence, ms of the fence, fence seen, then the ids of the keys
# Answers with the list of keys that are left, all of which were kept under a former fence, and what
# was destroyed.
ERASE: Final = marked(
    _READ
    + """
local stands = read(KEYS[1])
if others(stands, ARGV[5]) then
  return {'', 0, false, 'fence', stands}
end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
local left, destroyed, gone = {}, {}, {''}
for at = 6, #ARGV - 1 do
  destroyed[ARGV[at]] = true
end
if #KEYS > 2 then
  for one, ends in string.gmatch(read(KEYS[2]) or '', '(%S+) (%d+) ') do
    if not destroyed[one] then
      left[#left + 1] = one .. ' ' .. ends .. ' '
    end
  end
  local ms = redis.call('PTTL', KEYS[2])
  gone[1] = table.concat(left)
  for at = 3, #KEYS do
    gone[at - 1] = read(KEYS[at])
  end
  redis.call('DEL', KEYS[2], unpack(KEYS, 3))
  if gone[1] ~= '' and ms > 0 then
    redis.call('SET', KEYS[2], gone[1], 'PX', ms)
  end
end
"""
    + _PUBLISH.format(channel="ARGV[1]", name="ARGV[2]")
    + """
return gone
"""
)
