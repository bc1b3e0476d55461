/*
 * cause_counts.h
 *		Why records were lost, and how many for each cause.
 */
#ifndef ACTEON_CAUSE_COUNTS_H
#define ACTEON_CAUSE_COUNTS_H

#include "datatype/timestamp.h"

#include "audit/record.h"
#include "query/query.h"
#include "replay/eligibility.h"

/* Tenants of a cause that are named. */
#define NAMED_TENANTS 3

/* Records of one provider, with one outcome, whose errors have one signature. */
typedef struct Cause
{
	text *provider;
	text *outcome;
	char *signature;
	int signature_len;
	uint32 number; /* of the causes, from 0 */
	int64 matched;
	int64 replayable;
	TimestampTz first;
	TimestampTz last;
	int64 tenants;
	text *named[NAMED_TENANTS]; /* the first of these by their bytes; NULL: there are no more */
	uint64 last_tenant;         /* hashed */
	text *sample;               /* action id of the last record, of several the greatest */
	Size sample_room;
} Cause;

/* Counts by cause; see MakeCauseCounts. */
typedef struct CauseCounts CauseCounts;

extern CauseCounts *MakeCauseCounts(const ReplayQuery *query);
extern void CountCause(CauseCounts *counts, const AuditRecord *record, Reason reason);
extern int TopCauses(CauseCounts *counts, Cause ***causes);
extern int64 UncountedCauses(const CauseCounts *counts);

#endif /* ACTEON_CAUSE_COUNTS_H */
