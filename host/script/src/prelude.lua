-- Runs once in a new state, before any script: what is easier to write in Lua. It gets the functions
-- of the host and returns those that the host calls.

local host = ...
local error, type, pairs, tostring = error, type, pairs, tostring
local info = debug.info

-- The function that executes commands. Its first argument says what it is to do, its second one how
-- many more there are.
local raw = host.execute
local CALL, ALLOWED, LOG = host.CALL, host.ALLOWED, host.LOG

-- Raises what a function of the host refused, with the position of its caller.
local function checked(ok, ...)
  if ok then
    return ...
  end
  error((...), 3)
end

local function guard(of_host)
  return function(...)
    return checked(of_host(...))
  end
end

local redis = {
  LOG_DEBUG = 0, LOG_VERBOSE = 1, LOG_NOTICE = 2, LOG_WARNING = 3,
  REPL_NONE = 0, REPL_AOF = 1, REPL_SLAVE = 2, REPL_REPLICA = 2, REPL_ALL = 3,
  REDIS_VERSION = host.version,
  REDIS_VERSION_NUM = host.version_number,
}

-- An error that a command or one of the functions below returned is a table.
local function refused(text)
  error({ err = text }, 0)
end

function redis.call(...)
  local ok, value = raw(CALL, select("#", ...), ...)
  if ok then
    return value
  end
  error(value, 0)
end

function redis.pcall(...)
  local _, value = raw(CALL, select("#", ...), ...)
  return value
end

function redis.error_reply(...)
  local text = ...
  if select("#", ...) ~= 1 or type(text) ~= "string" then
    return { err = "ERR wrong number or type of arguments" }
  end
  if text == "" then
    text = "ERR"
  elseif text:sub(1, 1) == "-" then
    text = text:sub(2)
  end
  if not text:find(" ", 1, true) and text ~= "ERR" then
    text = "ERR " .. text
  end
  return { err = text }
end

function redis.status_reply(...)
  local text = ...
  if select("#", ...) ~= 1 or type(text) ~= "string" then
    return { err = "ERR wrong number or type of arguments" }
  end
  return { ok = text }
end

function redis.sha1hex(...)
  if select("#", ...) ~= 1 then
    refused("ERR wrong number of arguments")
  end
  return host.sha1hex(tostring((...)))
end

function redis.log(level, ...)
  if type(level) ~= "number" or select("#", ...) == 0 then
    refused("ERR redis.log() requires two arguments or more.")
  end
  if level < 0 or level > 3 then
    refused("ERR Invalid debug level.")
  end
  raw(LOG, 1 + select("#", ...), level, ...)
end

function redis.setresp(...)
  local version = ...
  if select("#", ...) ~= 1 then
    refused("ERR redis.setresp() requires one argument.")
  end
  if version ~= 2 and version ~= 3 then
    refused("ERR RESP version must be 2 or 3.")
  end
  host.setresp(version)
end

function redis.acl_check_cmd(...)
  if select("#", ...) == 0 then
    refused("ERR Please specify at least one argument for this redis.acl_check_cmd() call")
  end
  local ok, value = raw(ALLOWED, select("#", ...), ...)
  if ok then
    return value
  end
  error(value, 0)
end

-- Effects are always replicated, so these do nothing.
function redis.set_repl(...)
  local flags = ...
  if select("#", ...) ~= 1 then
    refused("ERR redis.set_repl() requires one argument.")
  end
  if type(flags) ~= "number" or flags < redis.REPL_NONE or flags > redis.REPL_ALL then
    refused("ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.")
  end
end
function redis.replicate_commands()
  return true
end
function redis.breakpoint()
  return false
end
function redis.debug() end

local function argument_of_register(value, name)
  if type(value) ~= "string" then
    refused("ERR " .. name .. " argument given to redis.register_function must be a string")
  end
  return value
end

local function register_function(...)
  local count, first, callback = select("#", ...), ...
  local name, flags, description
  if count == 1 then
    if type(first) ~= "table" then
      refused("ERR calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments).")
    end
    callback = nil
    for key, value in pairs(first) do
      if key == "function_name" then
        name = argument_of_register(value, "function_name")
      elseif key == "description" then
        description = argument_of_register(value, "description")
      elseif key == "callback" then
        if type(value) ~= "function" then
          refused("ERR callback argument given to redis.register_function must be a function")
        end
        callback = value
      elseif key == "flags" then
        if type(value) ~= "table" then
          refused("ERR flags argument to redis.register_function must be a table representing function flags")
        end
        flags = value
      else
        refused("ERR unknown argument given to redis.register_function")
      end
    end
    if not name then
      refused("ERR redis.register_function must get a function name argument")
    end
    if not callback then
      refused("ERR redis.register_function must get a callback argument")
    end
  elseif count == 2 then
    name = first
    if type(name) ~= "string" then
      refused("ERR first argument to redis.register_function must be a string")
    end
    if type(callback) ~= "function" then
      refused("ERR second argument to redis.register_function must be a function")
    end
  else
    refused("ERR wrong number of arguments to redis.register_function")
  end
  local failed = host.register(name, callback, flags or {}, description)
  if failed then
    refused(failed)
  end
end

-- Where an error arose: the first function that is of a script.
local function position()
  for level = 3, 20 do
    local source, line = info(level, "sl")
    if not source then
      return nil
    end
    if source ~= "[C]" and source ~= host.name then
      return source, line
    end
  end
end

-- Converts an uncaught error to an error reply.
local function uncaught(err)
  local source, line = position()
  if type(err) == "table" and type(err.err) == "string" then
    return { err = err.err, source = source, line = line, ignore_error_stats_update = err.ignore_error_stats_update }
  elseif type(err) == "string" then
    return { err = "ERR " .. err, source = source, line = line }
  end
  if err == nil then
    return { err = "ERR nil", source = source, line = line }
  end
  return { err = "ERR the script raised an error that is neither a string nor an error reply", source = source, line = line }
end

local xpcall, rawget = xpcall, rawget

-- Whether a table is a list: it has none of the fields that stand for other replies.
local function is_list(reply)
  return rawget(reply, "err") == nil and rawget(reply, "ok") == nil and rawget(reply, "double") == nil
    and rawget(reply, "map") == nil and rawget(reply, "set") == nil
    and rawget(reply, "big_number") == nil and rawget(reply, "verbatim_string") == nil
end

-- Returns whether the script ended without an error, what it returned or the error, and whether that
-- is a list.
local function run(script, keys, args)
  local ok, reply = xpcall(script, uncaught, keys, args)
  return ok, reply, ok and type(reply) == "table" and is_list(reply)
end

-- As in Redis, an error reply that `pcall` catches is its text. `xpcall` passes it as it is.
local pcall_of_lua = pcall

local function caught(ok, ...)
  local err = ...
  if not ok and type(err) == "table" and type(rawget(err, "err")) == "string" then
    return false, rawget(err, "err")
  end
  return ok, ...
end

_G.pcall = function(...)
  return caught(pcall_of_lua(...))
end

_G.redis = redis
_G.server = redis

-- A misspelt name is an error, not nil.
local protection = {
  __index = function(_, name)
    error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
  end,
}
setmetatable(_G, protection)

-- What the source of a library sees as `redis` while it is loaded.
local registering = setmetatable({
  register_function = register_function,
  log = redis.log,
  LOG_DEBUG = 0, LOG_VERBOSE = 1, LOG_NOTICE = 2, LOG_WARNING = 3,
  REDIS_VERSION = redis.REDIS_VERSION,
  REDIS_VERSION_NUM = redis.REDIS_VERSION_NUM,
}, protection)

return guard, run, protection, registering
