-- Posts single replays, each of another action.  Arguments: the first action's number, the API key, milliseconds
-- between two requests of a connection, at random around that (0: at once), and "close" for a connection each.
local number, pause, headers
local prefix = "/v1/audit/5b1e1d9c-0000-4000-8000-"

function init(args)
	number = 100000000000 + tonumber(args[1])
	headers = { ["Authorization"] = "Bearer " .. args[2] }
	pause = tonumber(args[3])
	if args[4] == "close" then
		headers["Connection"] = "close"
	end
	if pause > 0 then
		delay = function() return math.random(0, math.floor(2 * pause)) end
	end
	math.randomseed(42)
end

function request()
	number = number + 1
	return wrk.format("POST", string.format("%s%d/replay", prefix, number), headers)
end
