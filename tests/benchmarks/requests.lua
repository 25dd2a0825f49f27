-- What wrk sends: puts or gets, one by one or in batches, of keys bench/000000 … chosen at random, for ringkv or for etcd's
-- JSON gateway, each as one ready string so that the load generator costs both the same.
--
--   wrk … URL -- SYSTEM OPERATION KEYS VALUE_BYTES SEED
--
-- Keys are nine or more bytes in groups of three, so base64 needs only a table of groups.

local ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function base64(text)
   local out = {}
   for i = 1, #text, 3 do
      local a, b, c = text:byte(i, i + 2)
      local bits = a * 65536 + (b or 0) * 256 + (c or 0)
      for shift = 3, 0, -1 do
         local digit = math.floor(bits / 64 ^ shift) % 64 + 1
         out[#out + 1] = ALPHABET:sub(digit, digit)
      end
      if not c then out[#out] = "=" end
      if not b then out[#out - 1] = "=" end
   end
   return table.concat(out)
end

local function head(line, body_bytes)
   local length = body_bytes > 0 and "Content-Length: " .. body_bytes .. "\r\n" or ""
   return line .. " HTTP/1.1\r\nHost: localhost\r\n" .. length .. "\r\n"
end

local function for_ringkv(operation, groups, values)
   if operation == "get" then
      local tail = head("", 0)
      return function(high, low)
         return "GET /v1/kv/bench/" .. groups[high] .. groups[low] .. tail
      end
   end
   local tails = {}
   for i, value in ipairs(values) do tails[i] = head("", #value) .. value end
   return function(high, low, i)
      return "PUT /v1/kv/bench/" .. groups[high] .. groups[low] .. tails[i]
   end
end

-- A hundred puts, or gets, in one request; some of these are made, and sent again and again.
local function batches(operation, groups, values)
   local made = {}
   for i = 1, 256 do
      local ops = {}
      for j = 1, 100 do
         local key = '"key":"bench/' .. groups[math.random(0, 99)] .. groups[math.random(0, 999)] .. '"'
         if operation == "batch" then
            ops[j] = '{"op":"put",' .. key .. ',"value":"' .. values[math.random(64)] .. '"}'
         else
            ops[j] = '{"op":"get",' .. key .. "}"
         end
      end
      local body = '{"ops":[' .. table.concat(ops, ",") .. "]}"
      local line = "POST /v1/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      made[i] = line .. "Content-Length: " .. #body .. "\r\n\r\n" .. body
   end
   return function() return made[math.random(256)] end
end

local function for_etcd(operation, groups, values)
   local prefix, encoded = base64("bench/"), {}
   for i = 0, 999 do encoded[i] = base64(groups[i]) end
   if operation == "get" then
      local opening, closing = '{"key":"' .. prefix, '"}'
      local start = head("POST /v3/kv/range", #opening + 8 + #closing) .. opening
      return function(high, low) return start .. encoded[high] .. encoded[low] .. closing end
   end
   local opening, tails = '{"key":"' .. prefix, {}
   for i, value in ipairs(values) do tails[i] = '","value":"' .. base64(value) .. '"}' end
   local start = head("POST /v3/kv/put", #opening + 8 + #tails[1]) .. opening
   return function(high, low, i) return start .. encoded[high] .. encoded[low] .. tails[i] end
end

local keys, build

function init(args)
   local system, operation = args[1], args[2]
   keys = tonumber(args[3])
   math.randomseed(tonumber(args[5]))
   local groups, values = {}, {}
   for i = 0, 999 do groups[i] = string.format("%03d", i) end
   for i = 1, 64 do
      local letters = {}
      for j = 1, tonumber(args[4]) do letters[j] = string.char(math.random(33, 126)) end
      values[i] = table.concat(letters)
   end
   if operation == "batch" or operation == "batch-get" then
      for i = 1, 64 do values[i] = values[i]:gsub('["\\]', "x") end
      build = batches(operation, groups, values)
      return
   end
   build = (system == "etcd" and for_etcd or for_ringkv)(operation, groups, values)
end

function request()
   local key = math.random(0, keys - 1)
   return build(math.floor(key / 1000), key % 1000, math.random(64))
end

function done(summary, latency)
   local errors = summary.errors
   local transport = errors.connect + errors.read + errors.write + errors.timeout
   print("summary", summary.requests, summary.duration, errors.status, transport)
   for i = 1, #latency do
      local microseconds, count = latency(i)
      print("latency", string.format("%d", microseconds), string.format("%d", count))
   end
end
