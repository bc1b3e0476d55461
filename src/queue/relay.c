/*
 * relay.c
 *		Consumers by numbers.
 *
 * Which consumer has delivered an action, and where, is kept with each delivery.  So the
 * names stand in a table of their own, and deliveries have a number: a hash of the name,
 * the target and the address, or the next number that is free.  A row is written when a
 * consumer is first handed something out, and never changes.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
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
 * (NULL: unknown).  Notes consumers that are new.  The current user must be the owner of
 * our tables.
 */
int32
RelayNumber(Oid schema, const text *name, const char *target, const text *gateway)
{
	text *target_text = cstring_to_text(target == NULL ? PRODUCTION : target);
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
					elog(ERROR, "the row of a consumer has gone");
			}
			if (found_is(&relays, name, target_text, gateway))
				break;
		}
		number = (int32) ((uint32) number + 1);
	}
	CloseFinder(&relays);
	return number;
}
