#!/usr/bin/env python3
"""Uses the client that openapi-generator makes, in the directory that is named: says what
a person would want to know of each call.  In the environment are ACTEON_URL and
ACTEON_API_KEY.
"""

import os
import sys

sys.path.insert(0, sys.argv[1])

import openapi_client

configuration = openapi_client.Configuration(host=os.environ["ACTEON_URL"], access_token=os.environ["ACTEON_API_KEY"])
client = openapi_client.ApiClient(configuration)
replay = openapi_client.ReplayApi(client)
batches = openapi_client.BatchesApi(client)

one = replay.replay_action("invoice/1", reason="generated")
print(f"one: {str(one.success).lower()} of {one.original_action_id}")
preview = replay.replay_audit(outcome="failed", provider="email", dry_run=True).actual_instance
print(f"preview: {preview.replayable} of {preview.matched}")
many = replay.replay_audit(outcome="failed", provider="email", reason="generated", rate=0.01).actual_instance
print(f"many: {many.replayed} replayed, {many.skipped} skipped, {many.results[0].original_action_id} first")
causes = replay.list_causes(outcome="failed")
print(f"causes: {causes.causes[0].records} records of {causes.causes[0].provider}")
number = batches.list_batches(limit=1).batches[0].batch_id
steered = batches.pause_batch(number, reason="wait")
print(f"paused: {steered.state}, {steered.waiting} waiting")
batch = batches.get_batch(number)
print(f"batch: {batch.state}, {batch.reason}")
items = batches.list_items(number)
print(f"items: {len(items.items)}, {items.items[0].state}")
steered = batches.cancel_batch(number, reason="no")
print(f"cancelled: {steered.state}, {steered.cancelled}")
try:
    replay.replay_action("nothing")
except openapi_client.ApiException as refusal:
    print(f"refused: {refusal.status} {refusal.reason} {refusal.body}")
