/*
 * gateway_record.c
 *		A record as the gateway's own interface shows it.
 *
 * It is a JSON object whose members are the columns, ordered by their names, without
 * blanks.  What is in a record is shown as it is stored: redacted or encrypted where the
 * gateway has done that.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "audit/gateway_record.h"
#include "base/compact_json.h"
#include "base/gateway_json.h"
#include "base/json_text.h"
#include "base/message.h"

/* The columns whose values are needed besides: places in the table below. */
enum
{
	PLACE_ACTION_TYPE = 2,
	PLACE_DISPATCHED_AT = 9,
	PLACE_ID = 12,
	PLACE_NAMESPACE = 16,
	PLACE_PROVIDER = 20,
	PLACE_TENANT = 25
};

/* A member of the object. */
typedef struct MemberColumn
{
	const char *name;
	Oid type;
	const char *absent;  /* what a table without the column shows; NULL: it must have it */
	bool hides_if_empty; /* it is an array, which is only shown with elements */
} MemberColumn;

static const MemberColumn columns[] = {
	{"action_id", TEXTOID},
	{"action_payload", JSONBOID},
	{"action_type", TEXTOID},
	{"attachment_metadata", JSONBOID, "NULL::pg_catalog.jsonb", true},
	{"auth_method", TEXTOID, "''::pg_catalog.text"},
	{"caller_id", TEXTOID, "''::pg_catalog.text"},
	{"canonical_hash", TEXTOID, "NULL::pg_catalog.text"},
	{"chain_id", TEXTOID, "NULL::pg_catalog.text"},
	{"completed_at", TIMESTAMPTZOID},
	{"dispatched_at", TIMESTAMPTZOID},
	{"duration_ms", INT8OID},
	{"expires_at", TIMESTAMPTZOID, "NULL::pg_catalog.timestamptz"},
	{"id", TEXTOID},
	{"kid", TEXTOID, "NULL::pg_catalog.text"},
	{"matched_rule", TEXTOID},
	{"metadata", JSONBOID},
	{"namespace", TEXTOID},
	{"outcome", TEXTOID},
	{"outcome_details", JSONBOID},
	{"previous_hash", TEXTOID, "NULL::pg_catalog.text"},
	{"provider", TEXTOID},
	{"record_hash", TEXTOID, "NULL::pg_catalog.text"},
	{"sequence_number", INT8OID, "NULL::pg_catalog.int8"},
	{"signature", TEXTOID, "NULL::pg_catalog.text"},
	{"signer_id", TEXTOID, "NULL::pg_catalog.text"},
	{"tenant", TEXTOID},
	{"verdict", TEXTOID},
	{"verdict_details", JSONBOID},
};

/*
 * Begin a statement that selects all columns of "a", which is to follow.  Raises
 * undefined_column or datatype_mismatch if the table is not as the gateway makes it.
 */
void
SelectGatewayRecords(Statement *st, const AuditTable *table)
{
	BeginStatement(st);
	appendStringInfoString(&st->sql, "SELECT a.action_id");
	for (int i = 1; i < lengthof(columns); i++)
	{
		if (columns[i].absent != NULL && AuditColumn(table, columns[i].name) == InvalidAttrNumber)
		{
			appendStringInfo(&st->sql, ", %s AS %s", columns[i].absent, columns[i].name);
			continue;
		}
		CheckAuditColumn(table, columns[i].name, columns[i].type);
		appendStringInfo(&st->sql, ", a.%s", columns[i].name);
	}
}

static text *
text_or_null(const Datum *values, const bool *nulls, int place)
{
	return nulls[place] ? NULL : DatumGetTextPP(values[place]);
}

/*
 * Read from a row what is needed besides its JSON, in the current memory context.
 */
void
ReadGatewayRow(GatewayRow *row, HeapTuple tuple, TupleDesc desc)
{
	Datum values[lengthof(columns)];
	bool nulls[lengthof(columns)];

	heap_deform_tuple(tuple, desc, values, nulls);
	row->target.tenant = text_or_null(values, nulls, PLACE_TENANT);
	row->target.namespace = text_or_null(values, nulls, PLACE_NAMESPACE);
	row->target.provider = text_or_null(values, nulls, PLACE_PROVIDER);
	row->target.action_type = text_or_null(values, nulls, PLACE_ACTION_TYPE);
	row->id = text_or_null(values, nulls, PLACE_ID);
	row->has_time = !nulls[PLACE_DISPATCHED_AT];
	row->dispatched_at =
		row->has_time ? DatumGetTimestampTz(values[PLACE_DISPATCHED_AT]) : DT_NOBEGIN;
}

/*
 * Whether a grant to read covers a row.  None covers one that lacks something of what
 * grants are about; who needs no grant has it all the same.
 */
bool
GrantsCoverRow(Grants *grants, const GatewayRow *row)
{
	const GrantTarget *target = &row->target;

	if (GrantsEverything(grants))
		return true;
	return target->tenant != NULL && target->namespace != NULL && target->provider != NULL &&
		   target->action_type != NULL && GrantsCover(grants, GRANT_READ, target);
}

/*
 * Append a value of a column.
 */
static void
append_value(StringInfo out, Oid type, Datum value)
{
	text *string;

	switch (type)
	{
		case TEXTOID:
			string = DatumGetTextPP(value);
			AppendJsonString(out, VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string));
			break;
		case JSONBOID:
			AppendCompactJsonb(out, DatumGetJsonbP(value), AppendGatewayNumber);
			break;
		case TIMESTAMPTZOID:
			AppendGatewayTime(out, DatumGetTimestampTz(value));
			break;
		default: /* it is unsigned to the gateway */
			appendStringInfo(out, UINT64_FORMAT, (uint64) DatumGetInt64(value));
			break;
	}
}

/*
 * Whether a value is nothing but an array with elements.
 */
static bool
is_filled_array(Datum value)
{
	Jsonb *json = DatumGetJsonbP(value);

	return JB_ROOT_IS_ARRAY(json) && !JB_ROOT_IS_SCALAR(json) && JB_ROOT_COUNT(json) > 0;
}

/*
 * Append a row as an object.
 */
void
AppendGatewayRecord(StringInfo out, HeapTuple tuple, TupleDesc desc)
{
	Datum values[lengthof(columns)];
	bool nulls[lengthof(columns)];

	heap_deform_tuple(tuple, desc, values, nulls);
	for (int i = 0; i < lengthof(columns); i++)
	{
		if (columns[i].hides_if_empty && (nulls[i] || !is_filled_array(values[i])))
			continue;
		appendStringInfo(out, "%c\"%s\":", i == 0 ? '{' : ',', columns[i].name);
		if (nulls[i])
			appendStringInfoString(out, "null");
		else
			append_value(out, columns[i].type, values[i]);
	}
	appendStringInfoChar(out, '}');
}
