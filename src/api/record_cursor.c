/*
 * record_cursor.c
 *		Where a list of records continues, as the gateway writes it.
 *
 * A cursor is JSON in base64url: {"v":1,"k":"ts","t":…,"i":"…"} with the time, in
 * milliseconds since 1970, and the id of the last record of a page.  That is the gateway's
 * form, so either side continues what the other has begun.  A cursor has no microseconds;
 * they are read from the record again, where the gateway itself leaves out what is
 * left of the millisecond.
 */
#include "postgres.h"

#include "common/int.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "api/record_cursor.h"
#include "base/base64url.h"
#include "base/compat.h"
#include "base/damaged.h"
#include "base/json_text.h"
#include "base/rfc3339.h"

#define CURSOR_VERSION 1
#define KIND_OF_TIMES "ts"

#define USECS_PER_MSEC 1000
#define UNIX_EPOCH ((UNIX_EPOCH_JDATE - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY)

/* A cursor that is being read. */
typedef struct CursorReader
{
	char *json;
	bool is_good;
	int64 milliseconds;
	char *id;
} CursorReader;

/*
 * Make the cursor for what is behind a record.
 */
char *
MakeRecordCursor(const ListPlace *place)
{
	int64 since = place->dispatched_at - UNIX_EPOCH;
	int64 milliseconds = since / USECS_PER_MSEC - (since % USECS_PER_MSEC < 0 ? 1 : 0);
	StringInfoData json;
	char *utf8;

	initStringInfo(&json);
	appendStringInfo(&json, "{\"v\":%d,\"k\":\"" KIND_OF_TIMES "\",\"t\":" INT64_FORMAT ",\"i\":",
					 CURSOR_VERSION, milliseconds);
	AppendJsonString(&json, VARDATA_ANY(place->id), VARSIZE_ANY_EXHDR(place->id));
	appendStringInfoChar(&json, '}');
	utf8 = pg_server_to_any(json.data, json.len, PG_UTF8);
	return Base64UrlEncode(utf8, strlen(utf8));
}

/*
 * A member of an object, if it is of this type; else NULL.
 */
static JsonbValue *
find_member(const Jsonb *object, const char *name, int type)
{
	JsonbValue *value =
		JB_ROOT_IS_OBJECT(object)
			? getKeyJsonValueFromContainer(unconstify(JsonbContainer *, &object->root), name,
										   strlen(name), NULL)
			: NULL;

	return value != NULL && value->type == type ? value : NULL;
}

/*
 * A number as an integer.  Raises the server's own error if it is too large.
 */
static int64
read_integer(const JsonbValue *value)
{
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(value->val.numeric)));
}

/*
 * Read the JSON of a cursor.
 */
static void
read_json(void *argument)
{
	CursorReader *reader = argument;
	char *text = pg_any_to_server(reader->json, strlen(reader->json), PG_UTF8);
	Jsonb *json = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
	JsonbValue *version = find_member(json, "v", jbvNumeric);
	JsonbValue *kind = find_member(json, "k", jbvString);
	JsonbValue *time = find_member(json, "t", jbvNumeric);
	JsonbValue *id = find_member(json, "i", jbvString);

	reader->is_good = version != NULL && read_integer(version) == CURSOR_VERSION && kind != NULL &&
					  kind->val.string.len == strlen(KIND_OF_TIMES) &&
					  memcmp(kind->val.string.val, KIND_OF_TIMES, kind->val.string.len) == 0 &&
					  time != NULL && id != NULL;
	if (!reader->is_good)
		return;
	reader->milliseconds = read_integer(time);
	reader->id = pnstrdup(id->val.string.val, id->val.string.len);
}

/*
 * The time of so many milliseconds since 1970.  Returns false if it is none that a record
 * can have.
 */
static bool
time_of(int64 milliseconds, TimestampTz *time)
{
	if (pg_mul_s64_overflow(milliseconds, USECS_PER_MSEC, time) ||
		pg_add_s64_overflow(*time, UNIX_EPOCH, time))
		return false;
	return IsRfc3339Time(*time);
}

/*
 * Find the place that a cursor names.  If its record is gone, or is none that the caller
 * may read, the list continues with those of its millisecond: rather one twice than none.
 * Raises invalid_parameter_value.  Needs an SPI connection.
 */
void
FindRecordCursor(ListPlace *place, const AuditTable *table, const char *cursor)
{
	CursorReader reader = {.json = Base64UrlDecode(cursor, strlen(cursor))};
	TimestampTz first;

	if (reader.json == NULL || RunGuarded(read_json, &reader) != NULL || !reader.is_good ||
		!time_of(reader.milliseconds, &first))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("cursor is malformed"),
						errhint("Pass next_cursor of the page before unchanged, or leave it out "
								"to start over.")));
	if (FindListPlace(place, table, reader.id, first, first + USECS_PER_MSEC))
		return;
	place->given = true;
	place->dispatched_at = first + USECS_PER_MSEC;
	place->id = NULL;
}
