"""Replays with psycopg: the actions that are named, then those that match."""

import sys

# snippet: begin
import psycopg
from psycopg.errors import InsufficientPrivilege, NoDataFound
from psycopg.types.json import Jsonb

connection = psycopg.connect(autocommit=True)  # PGHOST, PGDATABASE, PGUSER, ..., or a connection string


def replay(action_id):
    try:
        new_id, success, error = connection.execute(
            "SELECT new_action_id, success, error FROM acteon_replay(%s, reason => %s)", (action_id, "INC-42: provider's down")
        ).fetchone()
        return f"replayed as {new_id}" if success else error
    except (NoDataFound, InsufficientPrivilege) as refusal:  # P0002: no such record, 42501: no grant for it
        return f"{refusal.sqlstate} {refusal.diag.message_primary}"


query = Jsonb({"provider": "email", "outcome": "failed", "from": "2026-01-15T12:00:00Z", "to": "2026-01-15T13:00:00Z",
               "limit": 500, "reason": "INC-42: provider's down"})


def plan():
    return connection.execute("SELECT acteon_replay_preview(%s::jsonb)", (query,)).fetchone()[0]


def replay_all():
    return connection.execute("SELECT acteon_replay_bulk(%s::jsonb)", (query,)).fetchone()[0]
# snippet: end


for action_id in sys.argv[1:]:
    print(f"{action_id}: {replay(action_id)}")
print("would replay {replayable} of {matched}".format(**plan()))
print("replayed {replayed}, failed {failed}, skipped {skipped}".format(**replay_all()))
