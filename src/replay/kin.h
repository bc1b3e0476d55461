/*
 * kin.h
 *		Of one action and its replays, which record is replayed as lost.
 */
#ifndef ACTEON_KIN_H
#define ACTEON_KIN_H

#include "audit/audit_table.h"
#include "replay/eligibility.h"

extern bool LockKin(Oid schema);
extern bool JudgeKin(Oid schema, const AuditTable *table, const ReplayQuery *query,
					 ReplayItem *items, int count, Snapshot snapshot);

#endif /* ACTEON_KIN_H */
