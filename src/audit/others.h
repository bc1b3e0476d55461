/*
 * others.h
 *		What the other records of their actions say of the records of a page.
 */
#ifndef ACTEON_OTHERS_H
#define ACTEON_OTHERS_H

#include "executor/spi.h"

#include "audit/audit_sql.h"

extern uint64 DropKnownOtherwise(const AuditTable *table, const ReplayQuery *query,
								 SPITupleTable *rows, uint64 count);

#endif /* ACTEON_OTHERS_H */
