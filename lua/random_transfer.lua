-- Transfers between random pairs of accounts: two rows per request, and many concurrent pairs that share a row or have
-- the opposite direction.
--
--     wrk -t2 -c64 -d10s -s lua/random_transfer.lua http://localhost:3000/approach/pessimistic/transfer
--     wrk ... http://localhost:3000/approach/pessimistic/transfer -- --users 10 --amount 5
--
-- Options, after --:
--     --users N     users 1 to N take part (100, the number in the seed transfer; bench has 1000)
--     --amount N    the amount that each request moves (1)
--
-- wrk counts every answer above 399 under "Non-2xx or 3xx responses", among them refusals (409) and unknown users (404).
-- With the seed transfer an account may run out of money; with bench none does.

local prepared = 10000 -- requests that each thread keeps, of some 200 bytes

local function fail(complaint)
   io.stderr:write("random_transfer.lua: ", complaint, "; known: --users N, --amount N\n")
   os.exit(2)
end

-- The digits stay text, so that no number is rounded in the body.
local function parse(args)
   local options = { users = "100", amount = "1" }
   for i = 1, #args, 2 do
      local name, value = args[i]:match("^%-%-(%a+)$"), args[i + 1]
      if not options[name or ""] then
         fail("unknown argument " .. args[i])
      elseif not value or not value:match("^[1-9]%d*$") then
         fail(args[i] .. " needs a positive integer" .. (value and ", not " .. value or ""))
      else
         options[name] = value
      end
   end
   options.users = tonumber(options.users)
   if options.users < 2 or options.users > 1000000 then
      fail("--users can be from 2 to 1000000")
   end
   return options
end

local thread_count = 0

function setup(thread)
   thread_count = thread_count + 1
   thread:set("thread_id", thread_count)
end

local requests = {}

-- Every request is built here, once, so that the hot path only looks it up.
function init(args)
   local options = parse(args)
   -- As in random_user.lua: threads must not use the same sequence.
   math.randomseed(os.time() + 7919 * thread_id)
   for _ = 1, 10 do
      math.random()
   end
   wrk.headers["Content-Type"] = "application/json"
   for number = 1, prepared do
      local from = math.random(options.users)
      -- Each other account is equally likely.
      local to = math.random(options.users - 1)
      if to >= from then
         to = to + 1
      end
      local body = string.format('{"from":%d,"to":%d,"amount":%s}', from, to, options.amount)
      requests[number] = wrk.format("POST", nil, nil, body)
   end
end

local random = math.random

function request()
   return requests[random(#requests)]
end

function done(summary)
   local errors = summary.errors
   print("Answers:")
   print(string.format("  %9d  below 400: 2xx, accepted", summary.requests - errors.status))
   print(string.format("  %9d  above 399: 409 refused, or failed", errors.status))
   print(string.format("  %9d  none: connect %d, read %d, write %d, timeout %d",
      errors.connect + errors.read + errors.write + errors.timeout,
      errors.connect, errors.read, errors.write, errors.timeout))
end
