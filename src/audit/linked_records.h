/*
 * linked_records.h
 *		Whether single records are as the gateway wrote them into its chain.
 */
#ifndef ACTEON_LINKED_RECORDS_H
#define ACTEON_LINKED_RECORDS_H

#include "datatype/timestamp.h"

#include "audit/audit_table.h"

/* What is wrong with a record; see FindLinkFaults. */
typedef enum LinkFault
{
	LINK_HOLDS,
	LINK_NO_HASH, /* it is in no chain */
	LINK_CHANGED, /* it does not have the hash of what is in it */
	LINK_BROKEN   /* the record before it is not there, or has another hash than it names */
} LinkFault;

/* A record that is to be looked at. */
typedef struct LinkedRecord
{
	text *id;
	TimestampTz dispatched_at;
	LinkFault fault;
} LinkedRecord;

extern void FindLinkFaults(const AuditTable *table, LinkedRecord *records, int count);

#endif /* ACTEON_LINKED_RECORDS_H */
