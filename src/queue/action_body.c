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
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "base/json_text.h"
#include "base/rfc3339.h"
#include "base/table_access.h"
#include "base/uuid.h"
#include "queue/action_body.h"

/*
 * Append a text column as a JSON string, or null.
 */
static void
append_text(StringInfo json, TupleTableSlot *row, const char *separator, AttrNumber column)
{
	bool isnull;
	Datum value = slot_getattr(row, column, &isnull);

	appendStringInfoString(json, separator);
	if (isnull)
		appendStringInfoString(json, "null");
	else
	{
		text *string = DatumGetTextPP(value);

		AppendJsonString(json, VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string));
	}
}

/*
 * Append a jsonb column, which is never NULL.
 */
static void
append_jsonb(StringInfo json, TupleTableSlot *row, const char *separator, AttrNumber column)
{
	bool isnull;
	Jsonb *value = DatumGetJsonbP(slot_getattr(row, column, &isnull));

	appendStringInfoString(json, separator);
	AppendJsonb(json, value);
}

/*
 * Append a time column as an RFC 3339 string in UTC, or null.
 */
static void
append_time(StringInfo json, TupleTableSlot *row, const char *separator, AttrNumber column)
{
	bool isnull;
	Datum value = slot_getattr(row, column, &isnull);
	char time[RFC3339_MAXLEN];

	appendStringInfoString(json, separator);
	if (isnull)
	{
		appendStringInfoString(json, "null");
		return;
	}
	FormatRfc3339(time, DatumGetTimestampTz(value));
	appendStringInfoChar(json, '"');
	appendStringInfoString(json, time);
	appendStringInfoChar(json, '"');
}

/*
 * Append the action in a row of the outbox, under the id with which it is sent.
 */
void
AppendActionJson(StringInfo json, TupleTableSlot *row, const pg_uuid_t *sent_id)
{
	char id[UUID_TEXT_LEN];

	slot_getallattrs(row);
	UuidToText(id, sent_id);
	appendStringInfoString(json, "{\"id\": \"");
	appendBinaryStringInfo(json, id, UUID_TEXT_LEN);
	append_text(json, row, "\", \"namespace\": ", Anum_outbox_namespace);
	append_text(json, row, ", \"tenant\": ", Anum_outbox_tenant);
	append_text(json, row, ", \"provider\": ", Anum_outbox_provider);
	append_text(json, row, ", \"action_type\": ", Anum_outbox_action_type);
	append_jsonb(json, row, ", \"payload\": ", Anum_outbox_payload);
	append_jsonb(json, row, ", \"metadata\": ", Anum_outbox_labels);
	append_text(json, row, ", \"dedup_key\": ", Anum_outbox_dedup_key);
	append_text(json, row, ", \"status\": ", Anum_outbox_status);
	append_text(json, row, ", \"fingerprint\": ", Anum_outbox_fingerprint);
	append_time(json, row, ", \"starts_at\": ", Anum_outbox_starts_at);
	append_time(json, row, ", \"ends_at\": ", Anum_outbox_ends_at);
	append_time(json, row, ", \"created_at\": ", Anum_outbox_created_at);
	appendStringInfoChar(json, '}');
}
