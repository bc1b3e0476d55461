// Replays with node-postgres: the actions that are named, then those that match.

// snippet: begin
const { Client } = require("pg");

const client = new Client(); // PGHOST, PGDATABASE, PGUSER, ..., or a connection string

async function replay(actionId) {
	try {
		const { rows: [result] } = await client.query(
			"SELECT new_action_id, success, error FROM acteon_replay($1, reason => $2)", [actionId, "INC-42: provider's down"]);
		return result.success ? `replayed as ${result.new_action_id}` : result.error;
	} catch (refusal) {
		if (!["P0002", "42501"].includes(refusal.code)) throw refusal; // P0002: no such record, 42501: no grant for it
		return `${refusal.code} ${refusal.message}`;
	}
}

const query = { provider: "email", outcome: "failed", from: "2026-01-15T12:00:00Z", to: "2026-01-15T13:00:00Z",
	limit: 500, reason: "INC-42: provider's down" };

async function plan() {
	return (await client.query("SELECT acteon_replay_preview($1::jsonb) AS answer", [query])).rows[0].answer;
}

async function replayAll() {
	return (await client.query("SELECT acteon_replay_bulk($1::jsonb) AS answer", [query])).rows[0].answer;
}
// snippet: end

async function main() {
	await client.connect();
	for (const actionId of process.argv.slice(2)) console.log(`${actionId}: ${await replay(actionId)}`);
	const planned = await plan();
	console.log(`would replay ${planned.replayable} of ${planned.matched}`);
	const answer = await replayAll();
	console.log(`replayed ${answer.replayed}, failed ${answer.failed}, skipped ${answer.skipped}`);
	await client.end();
}

main().catch((error) => {
	console.error(error);
	process.exit(1);
});
