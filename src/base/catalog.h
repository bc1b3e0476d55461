/*
 * catalog.h
 *		The extension's own tables: names and columns.
 */
#ifndef ACTEON_CATALOG_H
#define ACTEON_CATALOG_H

#define GRANTS_TABLE "acteon_grants"
#define INSTALLATION_TABLE "acteon_replay_installation"
#define BATCH_TABLE "acteon_replay_batch"
#define BATCH_SEQUENCE "acteon_replay_batch_id_seq"
#define OUTBOX_TABLE "acteon_dispatch_outbox"
#define OUTBOX_SEQUENCE "acteon_dispatch_outbox_id_seq"
#define SEGMENT_TABLE "acteon_dispatch_segment"
#define DELIVERY_TABLE "acteon_dispatch_delivery"
#define TALLY_TABLE "acteon_replay_tally"
#define LOG_TABLE "acteon_replay_log"
#define LOG_SEQUENCE "acteon_replay_log_id_seq"
#define API_KEYS_TABLE "acteon_api_keys"
#define API_KEYS_SEQUENCE "acteon_api_keys_id_seq"
#define API_ANSWERS_TABLE "acteon_api_answers"
#define BEGUN_TABLE "acteon_replay_begun"
#define ACTION_TABLE "acteon_dispatch_action"
#define LIMIT_TABLE "acteon_replay_limit"
#define RELAY_TABLE "acteon_dispatch_relay"
#define REFUSED_TABLE "acteon_replay_refused"
#define SECRET_TABLE "acteon_replay_secret"
#define NOTIFY_TABLE "acteon_replay_notify"
#define POLICY_TABLE "acteon_replay_policy"
#define POLICY_PROVIDER_TABLE "acteon_replay_policy_provider"
#define TRAIL_TABLE "acteon_replay_trail"
#define TRAIL_HEAD_TABLE "acteon_replay_trail_head"
#define REMOVAL_TABLE "acteon_replay_removal"
#define REMOVAL_SEQUENCE "acteon_replay_removal_id_seq"

/* Rows of a segment at most; the increment of the outbox's sequence. */
#define SEGMENT_ACTIONS 100
#define SQL_SEGMENT_ACTIONS CppAsString2(SEGMENT_ACTIONS)

/* Columns, as sql/acteon_replay--*.sql creates them. */
enum
{
	Anum_grants_id = 1,
	Anum_grants_grantee,
	Anum_grants_role,
	Anum_grants_tenants,
	Anum_grants_namespaces,
	Anum_grants_providers,
	Anum_grants_actions
};

enum
{
	Anum_installation_singleton = 1,
	Anum_installation_namespace,
	Anum_installation_server,
	Anum_installation_database,
	Anum_installation_folded_batch,
	Natts_installation = Anum_installation_folded_batch
};

enum
{
	Anum_batch_id = 1,
	Anum_batch_created_at,
	Anum_batch_requested_by,
	Anum_batch_requested_by_oid,
	Anum_batch_session_role,
	Anum_batch_reason,
	Anum_batch_query,
	Anum_batch_replayed,
	Anum_batch_failed,
	Anum_batch_skipped,
	Anum_batch_scope,
	Anum_batch_passed_over,
	Anum_batch_failures,
	Anum_batch_matched,
	Anum_batch_chunk,
	Anum_batch_cursor,
	Anum_batch_last_chunk_at,
	Anum_batch_is_complete,
	Anum_batch_first_outbox_id,
	Anum_batch_last_outbox_id,
	Anum_batch_start_at,
	Anum_batch_rate,
	Anum_batch_paced_until,
	Anum_batch_breaker_window,
	Anum_batch_breaker_share,
	Anum_batch_breaker_since,
	Anum_batch_stopped,
	Anum_batch_stopped_at,
	Anum_batch_stopped_by,
	Anum_batch_stop_reason,
	Anum_batch_on_doubt,
	Anum_batch_canary,
	Anum_batch_canary_step,
	Anum_batch_canary_first_id,
	Anum_batch_canary_last_id,
	Anum_batch_canary_actions,
	Anum_batch_canary_held,
	Anum_batch_canary_unrecorded,
	Anum_batch_plan,
	Anum_batch_awaits_until,
	Anum_batch_approved_at,
	Anum_batch_approved_by,
	Anum_batch_session_role_oid,
	Anum_batch_parts,
	Anum_batch_owner_oid,
	Anum_batch_api_key,
	Anum_batch_rows_hash,
	Anum_batch_told,
	Anum_batch_probe_of,
	Anum_batch_patches,
	Natts_batch = Anum_batch_patches
};

enum
{
	Anum_secret_id = 1,
	Anum_secret_key,
	Anum_secret_made_at
};

enum
{
	Anum_outbox_id = 1,
	Anum_outbox_batch_id,
	Anum_outbox_created_at,
	Anum_outbox_action_id,
	Anum_outbox_generation,
	Anum_outbox_original_action_id,
	Anum_outbox_namespace,
	Anum_outbox_tenant,
	Anum_outbox_provider,
	Anum_outbox_action_type,
	Anum_outbox_payload,
	Anum_outbox_labels,
	Anum_outbox_dedup_key,
	Anum_outbox_status,
	Anum_outbox_fingerprint,
	Anum_outbox_starts_at,
	Anum_outbox_ends_at,
	Anum_outbox_expires_at,
	Anum_outbox_target,
	Anum_outbox_hash,
	Natts_outbox = Anum_outbox_hash
};

enum
{
	Anum_segment_first_id = 1,
	Anum_segment_last_id,
	Anum_segment_batch_id,
	Anum_segment_due_at,
	Anum_segment_attempt,
	Anum_segment_was_claimed,
	Anum_segment_lane,
	Anum_segment_lease_token,
	Anum_segment_holder,
	Anum_segment_resend,
	Anum_segment_sent_at,
	Anum_segment_id_refused,
	Anum_segment_unproven,
	Anum_segment_doubt_since,
	Anum_segment_doubt,
	Anum_segment_held,
	Anum_segment_provider,
	Anum_segment_provider_limit,
	Anum_segment_tenant_limit,
	Anum_segment_parked_at,
	Anum_segment_expires_at,
	Anum_segment_stopped,
	Anum_segment_pace,
	Anum_segment_target,
	Anum_segment_relay,
	Natts_segment = Anum_segment_relay
};

enum
{
	Anum_delivery_outbox_id = 1,
	Anum_delivery_finished_at,
	Anum_delivery_attempts,
	Anum_delivery_state,
	Anum_delivery_outcome,
	Anum_delivery_error,
	Anum_delivery_effect,
	Anum_delivery_resend,
	Anum_delivery_unproven,
	Anum_delivery_known_by,
	Anum_delivery_relay,
	Natts_delivery = Anum_delivery_relay
};

enum
{
	Anum_tally_batch_id = 1,
	Anum_tally_finished_at,
	Anum_tally_state,
	Anum_tally_outcome,
	Anum_tally_actions,
	Anum_tally_effect,
	Anum_tally_id,
	Anum_tally_provider,
	Natts_tally = Anum_tally_provider
};

enum
{
	Anum_refused_batch_id = 1,
	Anum_refused_number,
	Anum_refused_action_id,
	Anum_refused_namespace,
	Anum_refused_tenant,
	Anum_refused_provider,
	Anum_refused_action_type,
	Anum_refused_reason,
	Anum_refused_error,
	Natts_refused = Anum_refused_error
};

enum
{
	Anum_action_action_id = 1,
	Anum_action_outbox_id,
	Natts_action = Anum_action_outbox_id
};

enum
{
	Anum_limit_key = 1,
	Anum_limit_kind,
	Anum_limit_name,
	Anum_limit_rate,
	Anum_limit_concurrency,
	Anum_limit_tokens,
	Anum_limit_refilled_at,
	Anum_limit_breaker_window,
	Anum_limit_breaker_share,
	Anum_limit_breaker_since,
	Anum_limit_opened_at,
	Anum_limit_open_reason,
	Anum_limit_retry_at,
	Anum_limit_backoff,
	Anum_limit_trial_id,
	Anum_limit_released_at,
	Anum_limit_set_by,
	Anum_limit_set_at,
	Anum_limit_reason,
	Natts_limit = Anum_limit_reason
};

enum
{
	Anum_notify_name = 1,
	Anum_notify_provider,
	Anum_notify_action_type,
	Anum_notify_namespace,
	Anum_notify_tenant,
	Anum_notify_payload,
	Anum_notify_events,
	Anum_notify_tenants,
	Anum_notify_namespaces,
	Anum_notify_min_actions,
	Anum_notify_set_by,
	Anum_notify_set_at,
	Anum_notify_reason,
	Natts_notify = Anum_notify_reason
};

enum
{
	Anum_relay_id = 1,
	Anum_relay_name,
	Anum_relay_target,
	Anum_relay_gateway,
	Anum_relay_first_claim_at,
	Natts_relay = Anum_relay_first_claim_at
};

enum
{
	Anum_log_id = 1,
	Anum_log_logged_at,
	Anum_log_event,
	Anum_log_batch_id,
	Anum_log_role_name,
	Anum_log_role_oid,
	Anum_log_session_role,
	Anum_log_reason,
	Anum_log_details,
	Anum_log_api_key,
	Natts_log = Anum_log_api_key
};

enum
{
	Anum_trail_position = 1,
	Anum_trail_linked_at,
	Anum_trail_kind,
	Anum_trail_reference,
	Anum_trail_batch_id,
	Anum_trail_offsets,
	Anum_trail_hashes,
	Anum_trail_hash,
	Natts_trail = Anum_trail_hash
};

enum
{
	Anum_trail_head_singleton = 1,
	Anum_trail_head_hashed_from
};

enum
{
	Anum_removal_id = 1,
	Anum_removal_removed_at,
	Anum_removal_event,
	Anum_removal_first_id,
	Anum_removal_last_id,
	Anum_removal_part,
	Anum_removal_ids,
	Anum_removal_hashes,
	Natts_removal = Anum_removal_hashes
};

enum
{
	Anum_api_keys_id = 1,
	Anum_api_keys_name,
	Anum_api_keys_key_sha256,
	Anum_api_keys_role,
	Anum_api_keys_created_at,
	Anum_api_keys_created_by,
	Anum_api_keys_last_used_at,
	Anum_api_keys_expires_at,
	Anum_api_keys_revoked_at,
	Natts_api_keys = Anum_api_keys_revoked_at
};

#endif /* ACTEON_CATALOG_H */
