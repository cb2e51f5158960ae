-- Many rows: every request changes the balance of a random user, so requests seldom want the same row, and contention is
-- not part of the cost. (patch_request.lua is the opposite: one hot row.)
--
--     wrk -t2 -c64 -d10s -s lua/random_user.lua http://localhost:3000/approach/atomic-returning/balance
--     wrk ... http://localhost:3000/approach/atomic-returning/balance -- --users 100 --amount 1
--
-- Options, after --:
--     --users N     users 1 to N take part (1000, the number in the seed bench, which has enough money)
--     --amount N    the amount that each request adds to a balance (-2)
--
-- wrk counts every answer above 399 under "Non-2xx or 3xx responses", among them refusals (409) and unknown users (404).

local max_users = 100000 -- each thread keeps a request of some 200 bytes for every user

local function fail(complaint)
   io.stderr:write("random_user.lua: ", complaint, "; known: --users N, --amount N\n")
   os.exit(2)
end

-- The digits stay text, so that no number is rounded in the body.
local function parse(args)
   local options = { users = "1000", amount = "-2" }
   local form = { users = "^[1-9]%d*$", amount = "^%-?%d+$" }
   local kind = { users = "a positive integer", amount = "an integer" }
   for i = 1, #args, 2 do
      local name, value = args[i]:match("^%-%-(%a+)$"), args[i + 1]
      if not form[name or ""] then
         fail("unknown argument " .. args[i])
      elseif not value or not value:match(form[name]) then
         fail(args[i] .. " needs " .. kind[name] .. (value and ", not " .. value or ""))
      end
      options[name] = value:gsub("^(%-?)0+(%d)", "%1%2") -- JSON knows no leading zeros
   end
   options.users = tonumber(options.users)
   if options.users > max_users then
      fail("--users can be " .. max_users .. " at most")
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
   -- Threads that start in the same second must not use the same sequence of users. The factor is a prime that keeps
   -- the seeds of neighbouring threads and seconds apart. The first numbers after a seed still resemble each other.
   math.randomseed(os.time() + 7919 * thread_id)
   for _ = 1, 10 do
      math.random()
   end
   wrk.headers["Content-Type"] = "application/json"
   for user = 1, options.users do
      local body = string.format('{"userId":%d,"amount":%s}', user, options.amount)
      requests[user] = wrk.format("PATCH", nil, nil, body)
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
