//! The scripts: what the server does in one step. On a cluster, each script uses the keys of one
//! entry, or one index, which are on one node.

use std::sync::LazyLock;

/// A script and its digest.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) text: String,
    pub(super) hash: String,
}

impl Script {
    fn new(parts: &[&str]) -> Self {
        let text = parts.concat();
        let hash = redis::Script::new(&text).get_hash().to_owned();
        Self { text, hash }
    }
}

macro_rules! scripts {
    ($($name:ident: $($part:ident)+;)*) => {
        $(pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(&[$($part),+]));)*
    };
}

scripts! {
    PUBLISH: RECORD INDEX ENTRY PUBLISH_TEXT;
    UPDATE: RECORD INDEX ENTRY UPDATE_TEXT;
    REMOVE: RECORD INDEX ENTRY REMOVE_TEXT;
    STAGE: STAGE_TEXT;
    TOUCH: TOUCH_TEXT;
    ABANDON: RECORD ABANDON_TEXT;
    ADD: INDEX ADD_TEXT;
    DROP: INDEX DROP_TEXT;
    PAGE: INDEX PAGE_TEXT;
}

/// Reads a record's header (`record.rs` has the offsets), and names its body.
const RECORD: &str = r"
local function header(key)
  local h = redis.pcall('GETRANGE', key, 0, 63)
  if type(h) ~= 'string' or #h < 64 or h:byte(1) ~= 1 then return false end
  local tags = h:byte(59) + 256 * h:byte(60)
  if tags > 0 then h = redis.call('GETRANGE', key, 0, 63 + 16 * tags) end
  return h
end
local function version(h) return h:sub(7, 14) end
local function body(key, mark, h)
  if h:sub(2, 2) == 'c' then return key .. mark .. h:sub(23, 38) end
end
local function keep(key, at)
  if at == '' then redis.call('PERSIST', key) else redis.call('PEXPIREAT', key, at) end
end
";

/// An index is a sorted set. It drops entries that the server expired more than a minute ago, and
/// expires an hour after the last of its members. A grace of -1 means forever.
const INDEX: &str = r"
local now
local function tidy(key, grace)
  if not now then
    local t = redis.call('TIME')
    now = t[1] * 1000 + math.floor(t[2] / 1000)
  end
  if grace >= 0 then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', now - grace - 60000))
  end
  local last = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2]
  if not last then return end
  local at = tonumber(last)
  if grace < 0 or last == 'inf' or not at or at > 9e15 then
    redis.call('PERSIST', key)
  else
    redis.call('PEXPIREAT', key, string.format('%.0f', math.max(at, now) + grace + 3600000))
  end
end
local function add(key, score, hint)
  local added = redis.pcall('ZADD', key, score, hint)
  if type(added) == 'table' then
    if string.find(added.err, 'WRONGTYPE', 1, true) then redis.call('UNLINK', key) end
    -- Raises any other error again.
    redis.call('ZADD', key, score, hint)
  end
end
";

/// What publishes and removes entries. `KEYS[1]` is the entry. On a server with all keys, the
/// entry's index by expiry and the new version's indexes by tag follow, and the script writes and
/// drops the hints. `names.rs` and `index.rs` have the formats of names and hints.
const ENTRY: &str = r"
local entry, ms, grace, hint = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3]
local changed = {}
local function announce()
  local expires, last = ARGV[4], ARGV[5]
  if KEYS[2] and expires ~= '' then
    add(KEYS[2], expires, hint)
    changed[KEYS[2]] = grace
  end
  for i = 3, #KEYS do
    add(KEYS[i], last, hint)
    changed[KEYS[i]] = 0
  end
end
local function linger(h)
  local b = body(entry, '.', h)
  if b then redis.call('PEXPIRE', b, ms) end
end
-- Drops the hints for a version that is gone. Returns its header, if they are left.
local function forget(h)
  if not KEYS[2] or #h > 64 + 16 * 64 then return h end
  -- A hint begins with the key.
  local old = hint:sub(1, 32) .. h:sub(7, 22)
  local function drop(key, grace)
    if type(redis.pcall('ZREM', key, old)) == 'number' then changed[key] = grace end
  end
  if h:byte(61) % 2 == 1 then drop(KEYS[2], grace) end
  local prefix, hex = entry:sub(1, -67) .. '{tag.', string.rep('%02x', 16)
  for i = 65, #h - 15, 16 do drop(prefix .. hex:format(h:byte(i, i + 15)) .. '}', 0) end
  return ''
end
local function tidy_changed()
  for key, grace in pairs(changed) do tidy(key, grace) end
end
";

/// Publishes `record` and the staged body as the entry. Returns the header of the replaced entry,
/// if its hints are left.
const PUBLISH_TEXT: &str = r"
local record, at, body_at, chunks = ARGV[6], ARGV[7], ARGV[8], tonumber(ARGV[9])
local staged = body(entry, '~', record)
if staged and redis.call('HLEN', staged) ~= chunks then
  return redis.error_reply('LARDERGONE the body is not there any more')
end
local old = header(entry)
announce()
redis.call('SET', entry, record)
if staged then
  local b = body(entry, '.', record)
  redis.call('RENAME', staged, b)
  keep(b, body_at)
end
if at ~= '' then keep(entry, at) end
local left = false
if old and version(old) ~= version(record) then
  linger(old)
  left = forget(old)
end
tidy_changed()
return left
";

/// Replaces header and head of the entry, if it has the version that was seen. Returns the old
/// header, empty if its hints are dropped.
const UPDATE_TEXT: &str = r"
local seen, front, at, body_at, inline = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local old = header(entry)
if not old or version(old) ~= seen then return false end
announce()
local b = body(entry, '.', old)
if b then
  redis.call('SET', entry, front)
  keep(b, body_at)
else
  redis.call('SET', entry, front .. redis.call('GETRANGE', entry, inline, -1))
end
if at ~= '' then keep(entry, at) end
local left = forget(old)
tidy_changed()
return left
";

/// Removes the entry, if it has the version that was seen or any is accepted. Returns its header,
/// empty if it has none or its hints are dropped.
const REMOVE_TEXT: &str = r"
local seen = ARGV[6]
local old = header(entry)
if seen ~= '' and (not old or version(old) ~= seen) then return false end
if redis.call('UNLINK', entry) == 0 then return false end
if not old then return '' end
linger(old)
local left = forget(old)
tidy_changed()
return left
";

/// Adds a chunk to a body that nothing refers to yet.
const STAGE_TEXT: &str = r"
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
";

/// Keeps an expiring body while it is being read.
const TOUCH_TEXT: &str = r"
local left = redis.call('PTTL', KEYS[1])
if left >= 0 and left < tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return left
";

/// Lets a body expire, unless its entry refers to it. A body that expires sooner anyway is not kept
/// longer.
const ABANDON_TEXT: &str = r"
local h = header(KEYS[1])
if not h or body(KEYS[1], '.', h) ~= KEYS[2] then
  local left = redis.call('PTTL', KEYS[2])
  if left < 0 or left > tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[2], ARGV[1]) end
end
return 1
";

const ADD_TEXT: &str = r"
add(KEYS[1], ARGV[2], ARGV[3])
tidy(KEYS[1], tonumber(ARGV[1]))
return 1
";

const DROP_TEXT: &str = r"
redis.call('ZREM', KEYS[1], unpack(ARGV, 2))
tidy(KEYS[1], tonumber(ARGV[1]))
return 1
";

/// Returns the next members after one that was passed. Without it, those before it are gone too.
const PAGE_TEXT: &str = r"
tidy(KEYS[1], tonumber(ARGV[1]))
local rank = redis.call('ZRANK', KEYS[1], ARGV[3])
local from = rank and rank + 1 or 0
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[2], 'LIMIT', from, ARGV[4])
";
