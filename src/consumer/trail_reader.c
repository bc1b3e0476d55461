/*
 * trail_reader.c
 *		Reading what is there and what is linked, row by row, and telling the observer of a
 *		check what is found.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "consumer/trail_reader.h"

/* Rows that are fetched at once. */
#define FETCH_ROWS 1000

/* ----------------------------------------------------------------
 * Findings
 * ----------------------------------------------------------------
 */

/*
 * Tell of a violation; id 0: of no action; number: what it is about, 0: nothing that has one.
 */
void
ReportTrail(TrailCheck *check, const char *violation, int64 id, int64 number, const char *detail)
{
	TrailFinding finding = {.violation = violation,
							.outbox_id = id,
							.number = number,
							.detail = detail};

	check->observer->found(check->observer->argument, &finding);
}

/*
 * Return a violation of a thing that has a number.
 */
void
ReportTrailNumber(TrailCheck *check, const char *what, const char *how, int64 number,
				  const char *because)
{
	StringInfoData detail;

	initStringInfo(&detail);
	appendStringInfo(&detail, "%s " INT64_FORMAT " %s.", what, number, because);
	detail.data[0] = pg_toupper((unsigned char) detail.data[0]);
	ReportTrail(check, psprintf("%s %s", what, how), 0, number, detail.data);
	pfree(detail.data);
}

/* ----------------------------------------------------------------
 * Reading
 * ----------------------------------------------------------------
 */

/*
 * Begin to read what a statement finds: about the range ($1 and $2) and with a text ($3), if
 * there are that many values, or with a text alone ($1).
 */
void
OpenTrailReader(TrailCheck *check, TrailReader *reader, const char *statement, int count,
				Datum *values)
{
	Oid types[] = {INT8OID, INT8OID, TEXTOID};

	memset(reader, 0, sizeof(*reader));
	reader->context = check->row_context;
	reader->portal =
		SPI_cursor_open_with_args(NULL, psprintf(statement, check->schema), count,
								  count == 1 ? &types[2] : types, values, NULL, true, 0);
}

/*
 * The next row; NULL at the end, after which there must be no other call.  Leaves the
 * context of a row current, in which there is nothing any more of the row before.
 */
HeapTuple
NextTrailRow(TrailReader *reader)
{
	CHECK_FOR_INTERRUPTS();
	if (reader->at == reader->count)
	{
		if (reader->fetched != NULL)
			SPI_freetuptable(reader->fetched);
		SPI_cursor_fetch(reader->portal, true, FETCH_ROWS);
		reader->fetched = SPI_tuptable;
		reader->count = SPI_processed;
		reader->at = 0;
	}
	MemoryContextSwitchTo(reader->context);
	MemoryContextReset(reader->context);
	return reader->count == 0 ? NULL : reader->fetched->vals[reader->at++];
}

/*
 * Read no more.
 */
void
CloseTrailReader(TrailReader *reader)
{
	if (reader->fetched != NULL)
		SPI_freetuptable(reader->fetched);
	SPI_cursor_close(reader->portal);
}

/*
 * The number in the first column of a row that a reader has read.
 */
int64
TrailRowNumber(const TrailReader *reader, HeapTuple row)
{
	bool isnull;

	return DatumGetInt64(SPI_getbinval(row, reader->fetched->tupdesc, 1, &isnull));
}
