/*
 * gateway_record.h
 *		A record as the gateway's own interface shows it.
 */
#ifndef ACTEON_GATEWAY_RECORD_H
#define ACTEON_GATEWAY_RECORD_H

#include "access/htup.h"
#include "access/tupdesc.h"

#include "audit/statement.h"

/* A row that SelectGatewayRecords has selected, with what is needed besides its JSON. */
typedef struct GatewayRow
{
	GrantTarget target; /* NULL where the record lacks it */
	text *id;           /* the same */
	TimestampTz dispatched_at;
	bool has_time;
} GatewayRow;

extern void SelectGatewayRecords(Statement *st, const AuditTable *table);
extern void ReadGatewayRow(GatewayRow *row, HeapTuple tuple, TupleDesc desc);
extern bool GrantsCoverRow(Grants *grants, const GatewayRow *row);
extern void AppendGatewayRecord(StringInfo out, HeapTuple tuple, TupleDesc desc);

#endif /* ACTEON_GATEWAY_RECORD_H */
