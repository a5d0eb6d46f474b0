"""The scripts that keep a cached account whole, run by Redis itself so that nothing comes between.

The keys of an account and its channel share a hash tag, so on a cluster they share a slot.

`{acct:17}:orders`, a hash: `generation`, `filling`, `sequence`, `account`, `balance`, `margin`,
`in_margin_call` (1 or 0), and one field an order, by its id. It is written whole or not at all;
that it exists means it is complete. Filled under one `filling`, the id of a window, and at one
`sequence`, it is the same entry.

`{acct:17}:filling`, a hash: `id` and `sequence`. It is there while somebody reads the database to
fill the entry, and takes the sequence of every event that comes meanwhile: a fill from a snapshot
older than that is refused, as is one whose window is gone or another's. Who joins a window does not
prolong it: it may know of events that a database restored from a backup does not have.
"""

import hashlib

# KEYS entry, window, and the channel, so that the server knows that it has all three; ARGV for each
# event: sequence, balance, margin, in margin call, order id ('' if it has none), order as JSON (''
# when it has ended), the event as JSON.
# Returns how many events were applied, found no entry, were repeated, removed the entry.
APPLY_EVENTS = """
local entry, window = KEYS[1], KEYS[2]
local sequence = tonumber(redis.call('HGET', entry, 'sequence'))
local applied, absent, repeated, removed, last = 0, 0, 0, 0, 0
for i = 1, #ARGV, 7 do
  local next = tonumber(ARGV[i])
  if next > last then last = next end
  if not sequence then
    absent = absent + 1
  elseif next <= sequence then
    repeated = repeated + 1
  elseif next > sequence + 1 then
    redis.call('DEL', entry)
    sequence = nil
    removed = removed + 1
  else
    sequence = next
    redis.call('HSET', entry, 'sequence', next, 'balance', ARGV[i + 1], 'margin', ARGV[i + 2],
      'in_margin_call', ARGV[i + 3])
    if ARGV[i + 5] ~= '' then
      redis.call('HSET', entry, ARGV[i + 4], ARGV[i + 5])
    elseif ARGV[i + 4] ~= '' then
      redis.call('HDEL', entry, ARGV[i + 4])
    end
    applied = applied + 1
  end
  redis.call('SPUBLISH', KEYS[3], ARGV[i + 6])
end
local noted = redis.call('HGET', window, 'sequence')
if noted and tonumber(noted) < last then
  redis.call('HSET', window, 'sequence', last)
end
return {applied, absent, repeated, removed}
"""

# KEYS window; ARGV a new id, seconds to live. Returns the window's id: a reader may join another's.
OPEN_FILL = """
local id = redis.call('HGET', KEYS[1], 'id')
if not id then
  id = ARGV[1]
  redis.call('HSET', KEYS[1], 'id', id, 'sequence', 0)
  redis.call('EXPIRE', KEYS[1], ARGV[2])
end
return id
"""

# KEYS entry, window; ARGV generation, window id, sequence, seconds to live, then fields and values.
# Returns 1 when the entry was written.
FILL = """
local known = redis.call('HMGET', KEYS[1], 'generation', 'sequence')
local sequence = tonumber(ARGV[3])
if known[1] == ARGV[1] then
  if tonumber(known[2]) >= sequence then return 0 end
else
  local window = redis.call('HMGET', KEYS[2], 'id', 'sequence')
  if window[1] ~= ARGV[2] or tonumber(window[2]) > sequence then return 0 end
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'generation', ARGV[1], 'filling', ARGV[2], 'sequence', ARGV[3])
for i = 5, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
"""

# KEYS entry; ARGV generation, then filling and sequence as they were last read ('' if never).
# Returns 1 where they still are, or the fields and values of an entry of that generation, or none.
READ_CHANGED = """
local known = redis.call('HMGET', KEYS[1], 'generation', 'filling', 'sequence')
if known[1] ~= ARGV[1] then return {} end
if known[2] == ARGV[2] and known[3] == ARGV[3] then return 1 end
return redis.call('HGETALL', KEYS[1])
"""

SCRIPTS = (APPLY_EVENTS, OPEN_FILL, FILL, READ_CHANGED)


def digest(script: str) -> str:
    """Return the name Redis gives a loaded script."""
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
