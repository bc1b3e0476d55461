//! Replays with the gateway's SDK: the actions that are named, then those that match.

// snippet: begin
use acteon_client::{ActeonClient, ActeonClientBuilder, Error, ReplayQuery, ReplaySummary};

fn connect() -> Result<ActeonClient, Box<dyn std::error::Error>> {
    Ok(ActeonClientBuilder::new(std::env::var("ACTEON_URL")?).api_key(std::env::var("ACTEON_API_KEY")?).build()?)
}

async fn replay(client: &ActeonClient, action_id: &str) -> Result<String, Error> {
    match client.replay_action(action_id).await {
        Ok(result) if result.success => Ok(format!("replayed as {}", result.new_action_id)),
        Ok(result) => Ok(result.error.unwrap_or_default()),
        Err(Error::Http { status, .. }) => Ok(status.to_string()), // 404: no such record, 403: no grant for it
        Err(error) => Err(error),
    }
}

async fn replay_all(client: &ActeonClient) -> Result<ReplaySummary, Error> {
    let query = ReplayQuery {
        provider: Some("email".into()),
        outcome: Some("failed".into()),
        from: Some("2026-01-15T13:00:00+01:00".into()),
        to: Some("2026-01-15T14:00:00+01:00".into()),
        limit: Some(500),
        ..Default::default()
    };
    client.replay_audit(&query).await
}
// snippet: end

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = connect()?;
    for action_id in std::env::args().skip(1) {
        println!("{}: {}", action_id, replay(&client, &action_id).await?);
    }
    let summary = replay_all(&client).await?;
    println!("replayed {}, failed {}, skipped {}", summary.replayed, summary.failed, summary.skipped);
    Ok(())
}
