/*
 * action_index.h
 *		Reading the record of an action straight from a table's index on action ids.
 */
#ifndef ACTEON_ACTION_INDEX_H
#define ACTEON_ACTION_INDEX_H

#include "audit/audit_table.h"
#include "datatype/timestamp.h"

/* What decides between several records of an action. */
typedef struct ActionRank
{
	TimestampTz dispatched_at;
	bool is_intent;
	text *id;
} ActionRank;

/* A search for the record of an action, and what it has found so far. */
typedef struct ActionSearch
{
	Datum action_id;     /* a text */
	const char *outcome; /* NULL: any */
	bool at_any_time;    /* in one table; else between these times, both inclusive */
	TimestampTz from;    /* after a record was found: its time, since none before it counts */
	TimestampTz to;
	Oid found_in; /* the table that has the record; InvalidOid: none was found */
	ActionRank best;
	Datum values[NUM_RECORD_COLUMNS]; /* of the row; may be toasted */
	bool nulls[NUM_RECORD_COLUMNS];
} ActionSearch;

extern bool SearchActionIndex(const AuditTable *table, ActionSearch *search);

#endif /* ACTEON_ACTION_INDEX_H */
