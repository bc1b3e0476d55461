/*
 * window.h
 *		How far a call reads.
 */
#ifndef ACTEON_WINDOW_H
#define ACTEON_WINDOW_H

#include "audit/audit_scan.h"
#include "query/query.h"
#include "replay/eligibility.h"

/* What a call reads, window by window; see BeginWindows. */
typedef struct Windows
{
	AuditScan *scan;
	Judge *judge;
	const ReplayQuery *query;
	int64 places;    /* that are left */
	int64 look_at;   /* so many records are looked at, at most */
	int64 looked_at; /* of these */
	bool has_found;  /* something to replay; and so many were looked at since: */
	int64 since_found;
} Windows;

extern void BeginWindows(Windows *windows, AuditScan *scan, Judge *judge, const ReplayQuery *query,
						 int64 look_at);
extern int NextWindow(Windows *windows, AuditRecord **records);
extern void CountWindow(Windows *windows, const ReplayItem *items, int count);

#endif /* ACTEON_WINDOW_H */
