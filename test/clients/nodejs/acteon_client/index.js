// The part of the gateway's Node.js SDK that replays: the same names, the same
// requests, and answers read the same way.

export class ActeonError extends Error {
	isRetryable() {
		return false;
	}
}

// The server was not reached.
export class ConnectionError extends ActeonError {
	isRetryable() {
		return true;
	}
}

// The server answered with a status that is no success.
export class HttpError extends ActeonError {
	constructor(status, message) {
		super(`HTTP ${status}: ${message}`);
		this.status = status;
	}

	isRetryable() {
		return this.status >= 500;
	}
}

const parameterNames = {
	namespace: "namespace", tenant: "tenant", provider: "provider", actionType: "action_type", outcome: "outcome",
	verdict: "verdict", matchedRule: "matched_rule", from: "from", to: "to", limit: "limit",
};

function replayQueryToParams(query) {
	const params = new URLSearchParams();
	for (const [name, parameter] of Object.entries(parameterNames)) {
		if (query[name] !== undefined) params.set(parameter, query[name].toString());
	}
	return params;
}

function parseReplayResult(data) {
	return { originalActionId: data.original_action_id, newActionId: data.new_action_id, success: data.success, error: data.error };
}

export class ActeonClient {
	constructor(baseUrl, options = {}) {
		this.baseUrl = baseUrl.replace(/\/$/, "");
		this.timeout = options.timeout ?? 30000;
		this.apiKey = options.apiKey;
	}

	async post(path, params) {
		const headers = { "Content-Type": "application/json" };
		if (this.apiKey) headers["Authorization"] = `Bearer ${this.apiKey}`;
		try {
			return await fetch(this.baseUrl + path + (params ? `?${params}` : ""),
				{ method: "POST", headers, signal: AbortSignal.timeout(this.timeout) });
		} catch (error) {
			throw new ConnectionError(error.message);
		}
	}

	// The id is not escaped, but for what fetch() does.
	async replayAction(actionId) {
		const response = await this.post(`/v1/audit/${actionId}/replay`);
		if (response.ok) return parseReplayResult(await response.json());
		if (response.status === 404) throw new HttpError(404, `Audit record not found: ${actionId}`);
		if (response.status === 422) throw new HttpError(422, "No stored payload available for replay");
		throw new HttpError(response.status, "Failed to replay action");
	}

	async replayAudit(query) {
		const response = await this.post("/v1/audit/replay", query && replayQueryToParams(query));
		if (!response.ok) throw new HttpError(response.status, "Failed to replay audit");
		const { replayed, failed, skipped, results } = await response.json();
		return { replayed, failed, skipped, results: results.map(parseReplayResult) };
	}
}
