"""Replays with the gateway's SDK: the actions that are named, then those that match."""

import sys

# snippet: begin
import os
from acteon_client import ActeonClient, HttpError, ReplayQuery

client = ActeonClient(os.environ["ACTEON_URL"], api_key=os.environ["ACTEON_API_KEY"])


def replay(action_id):
    try:
        result = client.replay_action(action_id)
        return f"replayed as {result.new_action_id}" if result.success else result.error
    except HttpError as refusal:  # 404: no such record, 403: no grant for it
        return str(refusal.status)


def replay_all():
    return client.replay_audit(ReplayQuery(provider="email", outcome="failed", limit=500,
                                           from_time="2026-01-15T13:00:00+01:00", to_time="2026-01-15T14:00:00+01:00"))
# snippet: end


for action_id in sys.argv[1:]:
    print(f"{action_id}: {replay(action_id)}")
summary = replay_all()
print(f"replayed {summary.replayed}, failed {summary.failed}, skipped {summary.skipped}")
