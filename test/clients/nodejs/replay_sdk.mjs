// Replays with the gateway's SDK: the actions that are named, then those that match.

// snippet: begin
import { ActeonClient, HttpError } from "@acteon/client";

const client = new ActeonClient(process.env.ACTEON_URL, { apiKey: process.env.ACTEON_API_KEY });

async function replay(actionId) {
	try {
		const result = await client.replayAction(actionId);
		return result.success ? `replayed as ${result.newActionId}` : result.error;
	} catch (refusal) {
		if (!(refusal instanceof HttpError)) throw refusal; // 404: no such record, 403: no grant for it
		return String(refusal.status);
	}
}

function replayAll() {
	return client.replayAudit({ provider: "email", outcome: "failed", limit: 500,
		from: "2026-01-15T13:00:00+01:00", to: "2026-01-15T14:00:00+01:00" });
}
// snippet: end

for (const actionId of process.argv.slice(2)) console.log(`${actionId}: ${await replay(actionId)}`);
const summary = await replayAll();
console.log(`replayed ${summary.replayed}, failed ${summary.failed}, skipped ${summary.skipped}`);
