-- One hot row: every request changes the balance of the same user.
--
--     wrk -t2 -c64 -d10s -s lua/patch_request.lua http://localhost:3000/approach/atomic-returning/balance
--     wrk ... http://localhost:3000/approach/atomic-returning/balance -- --amount 1 --user 7
--
-- Options, after --:
--     --user N      the user whose balance changes (1)
--     --amount N    the amount that each request adds (-2)
--     --statuses    count each status separately; costs wrk about a third of its speed
--
-- wrk counts every answer above 399 under "Non-2xx or 3xx responses", refusals (409) included. A balance of 10000 allows
-- 5000 withdrawals of 2; after those, nearly every answer is a refusal, as it should be. To measure changes and not
-- refusals, use a seed with more money (bench) or a positive amount.

local function fail(complaint)
   io.stderr:write("patch_request.lua: ", complaint, "; known: --user N, --amount N, --statuses\n")
   os.exit(2)
end

-- The digits stay text, so that no number is rounded in the body.
local function parse(args)
   local options = { user = "1", amount = "-2", statuses = false }
   local form = { user = "^[1-9]%d*$", amount = "^%-?%d+$" }
   local kind = { user = "a positive integer", amount = "an integer" }
   local i = 1
   while i <= #args do
      local name, value = args[i]:match("^%-%-(%a+)$"), args[i + 1]
      if name == "statuses" then
         options.statuses = true
         i = i + 1
      elseif not form[name or ""] then
         fail("unknown argument " .. args[i])
      elseif not value or not value:match(form[name]) then
         fail(args[i] .. " needs " .. kind[name] .. (value and ", not " .. value or ""))
      else
         options[name] = value:gsub("^(%-?)0+(%d)", "%1%2") -- JSON knows no leading zeros
         i = i + 2
      end
   end
   return options
end

-- wrk calls setup and done in its main thread, and init in each other thread. These share no variables with it.
local threads = {}

function setup(thread)
   table.insert(threads, thread)
end

-- Without a function request(), wrk builds the request once from these fields and does not call Lua again.
function init(args)
   local options = parse(args)
   wrk.method = "PATCH"
   wrk.headers["Content-Type"] = "application/json"
   wrk.body = string.format('{"userId":%s,"amount":%s}', options.user, options.amount)
   if options.statuses then
      statuses = {} -- global: done asks for it by name
      -- Defined only with --statuses, because then wrk passes every answer, headers and body, to Lua.
      function response(status)
         statuses[status] = (statuses[status] or 0) + 1
      end
   end
end

local function print_by_status()
   local total = {}
   for _, thread in ipairs(threads) do
      for status, count in pairs(thread:get("statuses") or {}) do
         total[status] = (total[status] or 0) + count
      end
   end
   local order = {}
   for status in pairs(total) do
      table.insert(order, status)
   end
   table.sort(order)
   for _, status in ipairs(order) do
      print(string.format("  %9d  status %d", total[status], status))
   end
end

function done(summary)
   local errors = summary.errors
   print("Answers:")
   print(string.format("  %9d  below 400: 2xx, accepted", summary.requests - errors.status))
   print(string.format("  %9d  above 399: 409 refused, or failed", errors.status))
   print(string.format("  %9d  none: connect %d, read %d, write %d, timeout %d",
      errors.connect + errors.read + errors.write + errors.timeout,
      errors.connect, errors.read, errors.write, errors.timeout))
   print_by_status()
end
