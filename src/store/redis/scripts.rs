//! The scripts: what the server does in one step. Each script uses the keys of one entry, or one
//! index, which a cluster has on one node.

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
    PUBLISH: RECORD PUBLISH_TEXT;
    UPDATE: RECORD UPDATE_TEXT;
    REMOVE: RECORD REMOVE_TEXT;
    STAGE: STAGE_TEXT;
    TOUCH: TOUCH_TEXT;
    ADD: INDEX ADD_TEXT;
    DROP: INDEX DROP_TEXT;
    PAGE: INDEX PAGE_TEXT;
}

/// Reads a record's header (`record.rs` has the offsets) and sets times to live.
const RECORD: &str = r"
local function header(key)
  local h = redis.pcall('GETRANGE', key, 0, 63)
  if type(h) ~= 'string' or #h < 64 or h:byte(1) ~= 1 then return false end
  local tags = h:byte(59) + 256 * h:byte(60)
  if tags > 0 then h = redis.call('GETRANGE', key, 0, 63 + 16 * tags) end
  return h
end
local function version(h) return h:sub(7, 14) end
local function body(key, h)
  if h:sub(2, 2) == 'c' then return key .. '.' .. h:sub(23, 38) end
end
local function keep(key, at)
  if at == '' then redis.call('PERSIST', key) else redis.call('PEXPIREAT', key, at) end
end
local function linger(key, h, ms)
  local b = body(key, h)
  if b then redis.call('PEXPIRE', b, ms) end
end
";

/// Publishes `record` and the staged body as the entry. Returns the header of the replaced entry.
const PUBLISH_TEXT: &str = r"
local record, at, body_at, ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if KEYS[2] and redis.call('HLEN', KEYS[2]) ~= tonumber(ARGV[5]) then
  return redis.error_reply('LARDERGONE the body is not there any more')
end
local old = header(KEYS[1])
redis.call('SET', KEYS[1], record)
if KEYS[2] then
  redis.call('RENAME', KEYS[2], KEYS[3])
  keep(KEYS[3], body_at)
end
keep(KEYS[1], at)
if not old or version(old) == version(record) then return false end
linger(KEYS[1], old, ms)
return old
";

/// Replaces header and head of the entry, if it has the version that was seen. Returns the old
/// header.
const UPDATE_TEXT: &str = r"
local seen, front, at, body_at, inline = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local old = header(KEYS[1])
if not old or version(old) ~= seen then return false end
local b = body(KEYS[1], old)
if b then
  redis.call('SET', KEYS[1], front)
  keep(b, body_at)
else
  redis.call('SET', KEYS[1], front .. redis.call('GETRANGE', KEYS[1], inline, -1))
end
keep(KEYS[1], at)
return old
";

/// Removes the entry, if it has the version that was seen or any is accepted. Returns its header,
/// empty if it has none.
const REMOVE_TEXT: &str = r"
local seen, ms = ARGV[1], ARGV[2]
local old = header(KEYS[1])
if seen ~= '' and (not old or version(old) ~= seen) then return false end
if redis.call('UNLINK', KEYS[1]) == 0 then return false end
if old then linger(KEYS[1], old, ms) end
return old or ''
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

/// An index is a sorted set. It drops entries that the server expired more than a minute ago, and
/// expires an hour after the last of its members. A grace of -1 means forever.
const INDEX: &str = r"
local function tidy(key, grace)
  local t = redis.call('TIME')
  local now = t[1] * 1000 + math.floor(t[2] / 1000)
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
";

const ADD_TEXT: &str = r"
local added = redis.pcall('ZADD', KEYS[1], ARGV[2], ARGV[3])
if type(added) == 'table' and added.err then
  if not string.find(added.err, 'WRONGTYPE', 1, true) then return added end
  redis.call('UNLINK', KEYS[1])
  redis.call('ZADD', KEYS[1], ARGV[2], ARGV[3])
end
tidy(KEYS[1], tonumber(ARGV[1]))
return 1
";

const DROP_TEXT: &str = r"
redis.call('ZREM', KEYS[1], unpack(ARGV, 2))
tidy(KEYS[1], tonumber(ARGV[1]))
return 1
";

const PAGE_TEXT: &str = r"
tidy(KEYS[1], tonumber(ARGV[1]))
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[2], 'LIMIT', ARGV[3], ARGV[4])
";
