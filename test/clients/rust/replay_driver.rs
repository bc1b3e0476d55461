//! Replays with tokio-postgres: the actions that are named, then those that match.

// snippet: begin
use serde_json::{json, Value};
use tokio_postgres::{error::SqlState, Client, Error, NoTls};

async fn replay(client: &Client, action_id: &str) -> Result<String, Error> {
    let statement = "SELECT new_action_id::text, success, error FROM acteon_replay($1, reason => $2)";
    match client.query_one(statement, &[&action_id, &"INC-42: provider's down"]).await {
        Ok(row) if row.get("success") => Ok(format!("replayed as {}", row.get::<_, &str>("new_action_id"))),
        Ok(row) => Ok(row.get("error")),
        Err(error) => match error.as_db_error() {
            // P0002: no such record, 42501: no grant for it
            Some(refusal) if [SqlState::NO_DATA_FOUND, SqlState::INSUFFICIENT_PRIVILEGE].contains(refusal.code()) => {
                Ok(format!("{} {}", refusal.code().code(), refusal.message()))
            }
            _ => Err(error),
        },
    }
}

fn query() -> Value {
    json!({"provider": "email", "outcome": "failed", "from": "2026-01-15T12:00:00Z", "to": "2026-01-15T13:00:00Z",
           "limit": 500, "reason": "INC-42: provider's down"})
}

async fn plan(client: &Client) -> Result<Value, Error> {
    Ok(client.query_one("SELECT acteon_replay_preview($1::jsonb)", &[&query()]).await?.get(0))
}

async fn replay_all(client: &Client) -> Result<Value, Error> {
    Ok(client.query_one("SELECT acteon_replay_bulk($1::jsonb)", &[&query()]).await?.get(0))
}
// snippet: end

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (client, connection) = tokio_postgres::connect(&std::env::var("DATABASE_URL")?, NoTls).await?;
    tokio::spawn(connection);
    for action_id in std::env::args().skip(1) {
        println!("{}: {}", action_id, replay(&client, &action_id).await?);
    }
    let planned = plan(&client).await?;
    println!("would replay {} of {}", planned["replayable"], planned["matched"]);
    let answer = replay_all(&client).await?;
    println!("replayed {}, failed {}, skipped {}", answer["replayed"], answer["failed"], answer["skipped"]);
    Ok(())
}
