-- Posts the bodies of a file, one a line, by turns, with the headers of acteon-relay.
local requests = {}
local last = 0

function init(args)
	local headers = { ["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. args[2] }

	for body in io.lines(args[1]) do
		requests[#requests + 1] = wrk.format("POST", nil, headers, body)
	end
end

function request()
	last = last % #requests + 1
	return requests[last]
end
