/*
 * action_body.c
 *		An action as the gateway takes it: the body of POST /v1/dispatch.
 *
 * But for the id, the text follows from the outbox row alone, which never changes,
 * so every attempt of an action sends the same bytes.
 */
#include "postgres.h"

#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/json_text.h"
#include "base/rfc3339.h"
#include "base/table_access.h"
#include "base/replay_id.h"
#include "queue/action_body.h"

/* A string constant and its length, which need not be counted for each action. */
#define LITERAL(text) (text), (int) (sizeof(text) - 1)

/*
 * Append a text column as a JSON string, or null.
 */
static void
append_text(StringInfo json, TupleTableSlot *row, const char *separator, int separator_len,
			AttrNumber column)
{
	bool isnull;
	Datum value = slot_getattr(row, column, &isnull);

	AppendBytes(json, separator, separator_len);
	if (isnull)
		AppendBytes(json, LITERAL("null"));
	else
	{
		text *string = DatumGetTextPP(value);

		AppendJsonString(json, VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string));
	}
}

/*
 * A jsonb column, which is never NULL.
 */
static Jsonb *
jsonb_column(TupleTableSlot *row, AttrNumber column)
{
	bool isnull;

	return DatumGetJsonbP(slot_getattr(row, column, &isnull));
}

/*
 * Append a jsonb.
 */
static void
append_jsonb(StringInfo json, const Jsonb *value, const char *separator, int separator_len)
{
	AppendBytes(json, separator, separator_len);
	AppendJsonb(json, value);
}

/*
 * Take a text that is no label out of the labels, if it is there.
 */
static Jsonb *
take_text(Jsonb *labels, const char *key, JsonbValue *value)
{
	value->type = jbvNull;
	if (getKeyJsonValueFromContainer(&labels->root, key, strlen(key), value) == NULL)
		return labels;
	return DatumGetJsonbP(
		DirectFunctionCall2(jsonb_delete, JsonbPGetDatum(labels), CStringGetTextDatum(key)));
}

/*
 * Take the exact form of a time column out of the labels, if it is there; else the
 * column has the time, or is NULL.
 */
static Jsonb *
take_exact_time(Jsonb *labels, TupleTableSlot *row, AttrNumber column, const char *key,
				JsonbValue *exact)
{
	exact->type = jbvNull;
	return slot_attisnull(row, column) ? labels : take_text(labels, key, exact);
}

/*
 * Append the trace in which an action was replayed, if there is one.
 */
static void
append_trace(StringInfo json, const JsonbValue *parent, const JsonbValue *state)
{
	if (parent->type != jbvString)
		return;
	AppendBytes(json, LITERAL(", \"trace_context\": {\"traceparent\": "));
	AppendJsonString(json, parent->val.string.val, parent->val.string.len);
	if (state->type == jbvString)
	{
		AppendBytes(json, LITERAL(", \"tracestate\": "));
		AppendJsonString(json, state->val.string.val, state->val.string.len);
	}
	AppendBytes(json, LITERAL("}"));
}

/*
 * Append a time: as it was written, or that of a column as an RFC 3339 string in UTC,
 * or null.
 */
static void
append_time(StringInfo json, TupleTableSlot *row, const char *separator, int separator_len,
			AttrNumber column, const JsonbValue *exact)
{
	bool isnull;
	Datum value = slot_getattr(row, column, &isnull);
	/* The actions of a batch were all made at one time. */
	static TimestampTz last_time = 0;
	static char last_text[RFC3339_MAXLEN] = "";

	AppendBytes(json, separator, separator_len);
	if (exact != NULL && exact->type == jbvString)
	{
		AppendJsonString(json, exact->val.string.val, exact->val.string.len);
		return;
	}
	if (isnull)
	{
		AppendBytes(json, LITERAL("null"));
		return;
	}
	if (last_text[0] == '\0' || DatumGetTimestampTz(value) != last_time)
	{
		last_text[0] = '\0'; /* in case of an error */
		last_time = DatumGetTimestampTz(value);
		FormatRfc3339(last_text, last_time);
	}
	AppendBytes(json, LITERAL("\""));
	AppendBytes(json, last_text, strlen(last_text));
	AppendBytes(json, LITERAL("\""));
}

/*
 * Append the action in a row of the outbox, under the id with which it is sent.
 */
void
AppendActionJson(StringInfo json, TupleTableSlot *row, const pg_uuid_t *sent_id)
{
	char id[UUID_TEXT_LEN];
	Jsonb *labels;
	JsonbValue starts_at, ends_at, traceparent, tracestate;

	slot_getallattrs(row);
	labels = take_exact_time(jsonb_column(row, Anum_outbox_labels), row, Anum_outbox_starts_at,
							 EXACT_STARTS_AT, &starts_at);
	labels = take_exact_time(labels, row, Anum_outbox_ends_at, EXACT_ENDS_AT, &ends_at);
	labels = take_text(labels, TRACEPARENT_LABEL, &traceparent);
	labels = take_text(labels, TRACESTATE_LABEL, &tracestate);
	UuidToText(id, sent_id);
	AppendBytes(json, LITERAL("{\"id\": \""));
	AppendBytes(json, id, UUID_TEXT_LEN);
	append_text(json, row, LITERAL("\", \"namespace\": "), Anum_outbox_namespace);
	append_text(json, row, LITERAL(", \"tenant\": "), Anum_outbox_tenant);
	append_text(json, row, LITERAL(", \"provider\": "), Anum_outbox_provider);
	append_text(json, row, LITERAL(", \"action_type\": "), Anum_outbox_action_type);
	append_jsonb(json, jsonb_column(row, Anum_outbox_payload), LITERAL(", \"payload\": "));
	append_jsonb(json, labels, LITERAL(", \"metadata\": "));
	append_text(json, row, LITERAL(", \"dedup_key\": "), Anum_outbox_dedup_key);
	append_text(json, row, LITERAL(", \"status\": "), Anum_outbox_status);
	append_text(json, row, LITERAL(", \"fingerprint\": "), Anum_outbox_fingerprint);
	append_time(json, row, LITERAL(", \"starts_at\": "), Anum_outbox_starts_at, &starts_at);
	append_time(json, row, LITERAL(", \"ends_at\": "), Anum_outbox_ends_at, &ends_at);
	append_trace(json, &traceparent, &tracestate);
	append_time(json, row, LITERAL(", \"created_at\": "), Anum_outbox_created_at, NULL);
	AppendBytes(json, LITERAL("}"));
}
