/*
 * relay.c
 *		Consumers by numbers.
 *
 * Which consumer has delivered an action, and where, is kept with each delivery.  So the
 * names stand in a table of their own, and deliveries have a number: a hash of the name,
 * the target and the address, or the next number that is free.  A row is written when a
 * consumer is first handed something out, and never changes.  If consumers have ever new
 * names, those of old ones are purged.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/catalog.h"
#include "base/target.h"
#include "base/text.h"
#include "queue/relay.h"

/*
 * A row that is there already is one of the same name, or of another one with the same
 * hash; which, is seen afterwards.  %s is the extension's schema.
 */
#define ADD_RELAY \
	"INSERT INTO %s.acteon_dispatch_relay (id, name, target, gateway) VALUES ($1, $2, $3, $4) " \
	"ON CONFLICT DO NOTHING"

/* Another target than $2 to which something was delivered at the address $1. */
#define FIND_OTHER_TARGET \
	"SELECT r.target FROM %s.acteon_dispatch_relay AS r WHERE r.gateway = $1 AND r.target <> $2 " \
	"ORDER BY r.first_claim_at DESC LIMIT 1"

/* Rows that are older than a purge, up to which they stay. */
#define OLD_RELAYS "1000"

/*
 * Delete the rows that nothing refers to and that are older than $1, if there are many: all
 * deliveries are read for that, once.  A consumer that wakes up at this moment after such a
 * time leases under a number whose row goes; its next claim adds the row again.
 */
#define PURGE_RELAYS \
	"WITH used AS MATERIALIZED (" \
	"	SELECT relay FROM %1$s.acteon_dispatch_segment UNION SELECT relay FROM %1$s.acteon_dispatch_delivery) " \
	"DELETE FROM %1$s.acteon_dispatch_relay AS r WHERE first_claim_at < $1" \
	"	AND NOT EXISTS (SELECT FROM used AS u WHERE u.relay = r.id)"

#define ANY_OLD_RELAYS \
	"SELECT FROM %1$s.acteon_dispatch_relay WHERE first_claim_at < $1 OFFSET " OLD_RELAYS " LIMIT 1"

/*
 * An address as it is kept: as much of it as there is room for, as what is too long must
 * not keep a consumer from delivering.
 */
text *
ClipGateway(text *gateway)
{
	int len = (int) VARSIZE_ANY_EXHDR(gateway);

	if (len <= GATEWAY_MAXLEN)
		return gateway;
	return cstring_to_text_with_len(VARDATA_ANY(gateway),
									pg_mbcliplen(VARDATA_ANY(gateway), len, GATEWAY_MAXLEN));
}

/*
 * Another target than a given one (NULL: production) for which consumers that deliver to an
 * address, as it is kept, have been handed out actions, the latest; NULL if there is none.
 * The current user must be the owner of our tables.
 */
char *
OtherTarget(Oid schema, const char *target, const text *gateway)
{
	MemoryContext context = CurrentMemoryContext;
	Oid types[] = {TEXTOID, TEXTOID};
	Datum values[] = {PointerGetDatum(gateway), CStringGetTextDatum(NameOfTarget(target))};
	char *sql = psprintf(FIND_OTHER_TARGET, quote_identifier(get_namespace_name(schema)));
	char *other = NULL;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(sql, lengthof(types), types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the consumers: %s", SPI_result_code_string(SPI_result));
	if (SPI_processed > 0)
		other = MemoryContextStrdup(context,
									SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	SPI_finish();
	return other;
}

/*
 * The hash of a consumer, with which the search for its number begins.
 */
static int32
hash_of(const text *name, const text *target, const text *gateway)
{
	uint32 hash = hash_combine(DatumGetUInt32(hash_any((const unsigned char *) VARDATA_ANY(name),
													   VARSIZE_ANY_EXHDR(name))),
							   DatumGetUInt32(hash_any((const unsigned char *) VARDATA_ANY(target),
													   VARSIZE_ANY_EXHDR(target))));

	if (gateway != NULL)
		hash =
			hash_combine(hash, DatumGetUInt32(hash_any((const unsigned char *) VARDATA_ANY(gateway),
													   VARSIZE_ANY_EXHDR(gateway))));
	return (int32) hash;
}

/*
 * Whether the row that was found is of a consumer.
 */
static bool
found_is(TableFinder *relays, const text *name, const text *target, const text *gateway)
{
	bool isnull;
	Datum found = FoundColumn(relays, Anum_relay_gateway, &isnull);

	if (!SameOptionalText(isnull ? NULL : DatumGetTextPP(found), gateway))
		return false;
	return SameText(DatumGetTextPP(FoundColumn(relays, Anum_relay_name, &isnull)), name) &&
		   SameText(DatumGetTextPP(FoundColumn(relays, Anum_relay_target, &isnull)), target);
}

/*
 * Find the row with a number as it is now.
 */
static bool
find_number(TableFinder *relays, int32 number)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	bool found = FindRow(relays, F_INT4EQ, Int32GetDatum(number), snapshot);

	UnregisterSnapshot(snapshot);
	return found;
}

/*
 * Add a row.  Waits for another session that is adding the same one.
 */
static void
add_relay(Oid schema, int32 number, const text *name, const text *target, const text *gateway)
{
	Oid types[] = {INT4OID, TEXTOID, TEXTOID, TEXTOID};
	Datum values[] = {Int32GetDatum(number), PointerGetDatum(name), PointerGetDatum(target),
					  PointerGetDatum(gateway)};
	char nulls[] = {' ', ' ', ' ', gateway == NULL ? 'n' : ' '};
	char *sql = psprintf(ADD_RELAY, quote_identifier(get_namespace_name(schema)));

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(sql, lengthof(types), types, values, nulls, false, 0) !=
		SPI_OK_INSERT)
		elog(ERROR, "could not note a consumer");
	SPI_finish();
}

/*
 * The number of a consumer, which delivers to a target (NULL: production) at an address
 * (NULL: unknown).  Notes consumers that are new.  Raises object_not_in_prerequisite_state if
 * a trigger prevents that.  The current user must be the owner of our tables.
 */
int32
RelayNumber(Oid schema, const text *name, const char *target, const text *gateway)
{
	text *target_text = cstring_to_text(NameOfTarget(target));
	int32 number = hash_of(name, target_text, gateway);
	TableFinder relays;

	OpenFinder(&relays, OwnTable(schema, RELAY_TABLE), Anum_relay_id);
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		if (number != NO_RELAY)
		{
			if (!find_number(&relays, number))
			{
				add_relay(schema, number, name, target_text, gateway);
				if (!find_number(&relays, number))
					ereport(ERROR,
							(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							 errmsg("a row that was inserted into table \"%s\" is not there",
									RELAY_TABLE),
							 errhint("Drop the trigger that keeps consumers out of the table.")));
			}
			if (found_is(&relays, name, target_text, gateway))
				break;
		}
		number = (int32) ((uint32) number + 1);
	}
	CloseFinder(&relays);
	return number;
}

/*
 * Delete the rows of consumers that were first handed something out before a time, and of
 * which nothing is left, if there are many.  Acts as the current user, who must own the
 * tables.  Needs an SPI connection.
 */
void
PurgeRelays(Oid schema, TimestampTz before)
{
	Oid type = TIMESTAMPTZOID;
	Datum value = TimestampTzGetDatum(before);
	const char *quoted = quote_identifier(get_namespace_name(schema));

	if (SPI_execute_with_args(psprintf(ANY_OLD_RELAYS, quoted), 1, &type, &value, NULL, false, 0) !=
		SPI_OK_SELECT)
		elog(ERROR, "could not read the consumers: %s", SPI_result_code_string(SPI_result));
	if (SPI_processed > 0 && SPI_execute_with_args(psprintf(PURGE_RELAYS, quoted), 1, &type, &value,
												   NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not purge consumers: %s", SPI_result_code_string(SPI_result));
}
