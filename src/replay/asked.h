/*
 * asked.h
 *		Queries for many records that must be made explicitly.
 */
#ifndef ACTEON_ASKED_H
#define ACTEON_ASKED_H

#include "audit/audit_table.h"
#include "base/compat.h"
#include "base/error_codes.h"
#include "query/query.h"

/* The error of a query that is not explicit enough. */
typedef struct Refusal
{
	const char *message;
	const char *detail; /* NULL: none */
	const char *hint;
	ErrorCode code;
} Refusal;

extern bool IsRefused(const ReplayQuery *query, Refusal *refusal);
extern void CheckAsked(const AuditTable *table, const ReplayQuery *query);
ACTEON_NORETURN extern void ReportAuditTellsNothing(const AuditTable *table);

#endif /* ACTEON_ASKED_H */
