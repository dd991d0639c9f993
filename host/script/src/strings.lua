-- Functions of `string` and `table` that would run for seconds without an interrupt if they are given
-- long texts or large tables. Small ones are left to Luau. This is compiled without line numbers, so
-- that what Luau refuses has no position here.

local host = ...
local string, table = string, table
local find, match, gmatch, gsub, sub = string.find, string.match, string.gmatch, string.gsub, string.sub
local sort, concat, create = table.sort, table.concat, table.create
local type, pcall, error, select, tonumber, tostring = type, pcall, error, select, tonumber, tostring
local rawget, rawlen, next = rawget, rawlen, next
local floor, ceil, info = math.floor, math.ceil, debug.info
local is_long, locate, has_magic, search, expand =
  host.is_long, host.locate, host.has_magic, host.search, host.expand

-- Bytes of the text times those of the pattern that Luau may handle in any case.
local PRODUCT_MAX = host.PRODUCT_MAX
-- Bytes of a replacement with `%` that Luau may handle.
local REPLACEMENT_MAX = 2 ^ 16
-- Elements that Luau sorts, at most: of any type; texts of at most a number of bytes; numbers.
local SORTED_MAX, SORTED_TEXTS_MAX, SORTED_TEXT_BYTES_MAX, SORTED_NUMBERS_MAX = 4, 2 ^ 14, 2 ^ 10, 2 ^ 17
-- Arguments of any length, at most; if there are more, bytes of all of them.
local ARGUMENTS_MAX, ARGUMENTS_BYTES_MAX = 4, 2 ^ 26
-- Pieces of a text that are joined at a time.
local PIECES_MAX = 4096

-- Raises what a function refused, with the position of the caller of its caller.
local function checked(ok, ...)
  if ok then
    return ...
  end
  error((...), 3)
end

-- The first place that is searched, as Luau computes it; `nil` if it is after the end.
local function first_place(text, init)
  if init == nil then
    return 1
  end
  init = tonumber(init)
  init = if init < 0 then ceil(init) else floor(init)
  if init < 0 then
    init = #text + init + 1
  end
  if init < 1 then
    return 1
  end
  return if init > #text + 1 then nil else init
end

-- The result of `match` and of an iteration: the captures, or else the whole match.
local function captured(text, from, to, ...)
  if not from then
    return nil
  elseif select("#", ...) == 0 then
    return sub(text, from, to)
  end
  return ...
end

-- The results of `search`, of which there is one `nil` if nothing was found.
local function found(from, ...)
  if not from then
    return nil
  end
  return from, ...
end

function string.find(text, pattern, init, is_plain)
  if type(text) ~= "string" or type(pattern) ~= "string" then
    return checked(pcall(find, text, pattern, init, is_plain))
  elseif #text * #pattern <= PRODUCT_MAX then
    return find(text, pattern, init, is_plain)
  end
  -- Refuses what is no number.
  find("", "", init)
  local first = first_place(text, init)
  if not first then
    return nil
  elseif is_plain or not has_magic(pattern) then
    local at = locate(text, pattern, first)
    if at then
      return at, at + #pattern - 1
    end
    return nil
  elseif not checked(is_long(#text, pattern)) then
    return find(text, pattern, init)
  end
  return found(checked(search(text, pattern, first, true)))
end

function string.match(text, pattern, init)
  if type(text) ~= "string" or type(pattern) ~= "string" then
    return checked(pcall(match, text, pattern, init))
  elseif #text * #pattern <= PRODUCT_MAX or not checked(is_long(#text, pattern)) then
    return match(text, pattern, init)
  end
  find("", "", init)
  local first = first_place(text, init)
  if not first then
    return nil
  end
  return captured(text, checked(search(text, pattern, first, true)))
end

function string.gmatch(text, pattern)
  if type(text) ~= "string" or type(pattern) ~= "string" then
    return checked(pcall(gmatch, text, pattern))
  elseif #text * #pattern <= PRODUCT_MAX or not checked(is_long(#text, pattern)) then
    return gmatch(text, pattern)
  end
  local first = 1
  local function next_of(from, to, ...)
    if not from then
      first = #text + 2
      return nil
    end
    first = if to < from then from + 1 else to + 1
    return captured(text, from, to, ...)
  end
  return function()
    if first > #text + 1 then
      return nil
    end
    return next_of(checked(search(text, pattern, first, false)))
  end
end

string.gfind = string.gmatch

-- What replaces a match.
local function replacement(new, text, from, to, ...)
  local whole = sub(text, from, to)
  local kind = type(new)
  if kind == "string" then
    return checked(expand(new, whole, ...))
  end
  local value
  if kind == "function" then
    value = if select("#", ...) == 0 then new(whole) else new(...)
  else
    value = if select("#", ...) == 0 then new[whole] else new[(...)]
  end
  if not value then
    return whole
  elseif type(value) ~= "string" and type(value) ~= "number" then
    error("invalid replacement value (a " .. type(value) .. ")", 3)
  end
  return tostring(value)
end

-- A list of pieces of a text, joined now and then: there may be as many as the text has bytes.
local function push(pieces, piece)
  local count = #pieces + 1
  pieces[count] = piece
  if count == PIECES_MAX then
    local joined = pieces.joined
    joined[#joined + 1] = concat(pieces)
    local new = create(PIECES_MAX)
    new.joined = joined
    return new
  end
  return pieces
end

local function gsub_long(text, pattern, new, max)
  local is_anchored = sub(pattern, 1, 1) == "^"
  if type(new) == "number" then
    new = tostring(new)
  end
  local pieces = { joined = {} }
  local count, first = 0, 1
  local function replace(from, to, ...)
    if not from then
      return false
    end
    count = count + 1
    pieces = push(pieces, sub(text, first, from - 1))
    pieces = push(pieces, replacement(new, text, from, to, ...))
    if to < from then
      pieces = push(pieces, sub(text, from, from))
      first = from + 1
    else
      first = to + 1
    end
    return not is_anchored
  end
  while count < max and first <= #text + 1 do
    if not replace(checked(search(text, pattern, first, true))) then
      break
    end
  end
  pieces = push(pieces, sub(text, first))
  return concat(pieces.joined) .. concat(pieces), count
end

function string.gsub(text, pattern, new, max)
  if type(text) ~= "string" or type(pattern) ~= "string" then
    return checked(pcall(gsub, text, pattern, new, max))
  elseif
    (#text * #pattern <= PRODUCT_MAX or not checked(is_long(#text, pattern)))
    and (type(new) ~= "string" or #new <= REPLACEMENT_MAX or not find(new, "%", 1, true))
  then
    return gsub(text, pattern, new, max)
  end
  -- Refuses other types.
  gsub("", "x", new, max)
  return gsub_long(text, pattern, new, if max == nil then #text + 1 else tonumber(max))
end

-- Whether Luau sorts this without an interrupt for too long.
local function sorts_long(list, count)
  if count <= SORTED_MAX then
    return false
  elseif count > SORTED_NUMBERS_MAX then
    return true
  end
  for at = 1, count do
    local value = list[at]
    if type(value) ~= "number" then
      if type(value) ~= "string" or #value > SORTED_TEXT_BYTES_MAX or count > SORTED_TEXTS_MAX then
        return true
      end
    end
  end
  return false
end

local function less(a, b)
  return a < b
end

function table.sort(list, is_less)
  if type(list) ~= "table" or is_less ~= nil and type(is_less) ~= "function" then
    return checked(pcall(sort, list, is_less))
  elseif is_less then
    if info(is_less, "s") == "[C]" then
      local of_host = is_less
      is_less = function(a, b)
        return of_host(a, b)
      end
    end
    sort(list, is_less)
  elseif sorts_long(list, rawlen(list)) then
    local ok, text = pcall(sort, list, less)
    if not ok then
      -- The position of `less` is of no use.
      error(if type(text) == "string" then (gsub(text, "^" .. host.name .. ":[^:]*: ", "")) else text, 0)
    end
  else
    sort(list)
  end
end

function table.foreachi(list, call)
  if type(list) ~= "table" or type(call) ~= "function" then
    error("table and function expected", 2)
  end
  for at = 1, rawlen(list) do
    local result = call(at, rawget(list, at))
    if result ~= nil then
      return result
    end
  end
end

function table.foreach(list, call)
  if type(list) ~= "table" or type(call) ~= "function" then
    error("table and function expected", 2)
  end
  for key, value in next, list do
    local result = call(key, value)
    if result ~= nil then
      return result
    end
  end
end

-- A function that reads texts as numbers, for each argument, does it without an interrupt.
local function with_short_arguments(name, call)
  return function(...)
    local count = select("#", ...)
    if count > ARGUMENTS_MAX then
      local bytes = 0
      for _, value in { ... } do
        if type(value) == "string" then
          bytes = bytes + #value
        end
      end
      if bytes > ARGUMENTS_BYTES_MAX then
        error("arguments of '" .. name .. "' are too long", 2)
      end
    end
    return call(...)
  end
end

string.format = with_short_arguments("format", string.format)

-- Numbers do not get here: Luau compiles such calls to instructions.
local function with_position(call)
  return function(...)
    return checked(pcall(call, ...))
  end
end

string.char = with_position(with_short_arguments("char", string.char))
math.max = with_position(with_short_arguments("max", math.max))
math.min = with_position(with_short_arguments("min", math.min))
