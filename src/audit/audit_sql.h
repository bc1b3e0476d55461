/*
 * audit_sql.h
 *		The statements that search the audit table.
 */
#ifndef ACTEON_AUDIT_SQL_H
#define ACTEON_AUDIT_SQL_H

#include "utils/array.h"
#include "utils/portal.h"

#include "audit/statement.h"
#include "base/operators.h"
#include "queue/effect.h"

/* Why a record that the filters match is no candidate. */
typedef enum LeftOut
{
	LEFT_OUT_INTENT,   /* an intent, and those are not asked for */
	LEFT_OUT_YOUNG,    /* an intent that the gateway may still be executing */
	LEFT_OUT_FINISHED, /* an intent with a companion, which has the outcome */
	LEFT_OUT_STEP,     /* the intent of a chain's step, whose outcome has another action id */
	LEFT_OUT_FUTURE,   /* it is later than the end that the query was given */
	LEFT_OUT_NO_PLACE  /* it has no id or no time, by which records are ordered */
} LeftOut;

#define NUM_LEFT_OUT (LEFT_OUT_NO_PLACE + 1)

/* Records that are named: by their ids, and within times that are theirs. */
typedef struct NamedRecords
{
	ArrayType *ids;
	TimestampTz first;
	TimestampTz last;
} NamedRecords;

/* What candidates are selected for. */
typedef struct CandidateUse
{
	bool in_order;             /* they are read in the query's order, and perhaps not all */
	bool alone;                /* other records of their actions are checked by the caller */
	bool picked_apart;         /* which actions are picked by hand is checked by the caller */
	bool left_out_apart;       /* the same for those alone that are left out so */
	ArrayType *among;          /* action ids that they must have; NULL: any */
	const NamedRecords *named; /* NULL: any */
	OptionalTime first;        /* times between which they are searched for, besides the query's */
	OptionalTime last;
} CandidateUse;

/* How far an index has the records in the order of a query. */
typedef enum IndexOrder
{
	ORDER_BY_NOTHING,
	ORDER_BY_TIME,
	ORDER_BY_TIME_AND_ID
} IndexOrder;

extern char *OutcomeTest(const AuditTable *table, const char *alias, const char *outcome);
extern char *LostTest(const AuditTable *table, const char *alias);
extern void SelectRecords(Statement *st, const AuditTable *table, const ReplayQuery *query);
extern void SelectOutcomes(Statement *st, const AuditTable *table, const ReplayQuery *query);
extern void AddRecords(Statement *st, const AuditTable *table);
extern void AddCandidates(Statement *st, const AuditTable *table, const ReplayQuery *query,
						  const CandidateUse *use);
extern void AddOrder(Statement *st, const AuditTable *table, const ReplayQuery *query);
extern bool
AddLeftOut(Statement *st, const AuditTable *table, const ReplayQuery *query, LeftOut which);
extern bool HasIndexOn(const AuditTable *table, RecordColumn column);
extern bool DependsOnOthers(const ReplayQuery *query);
extern void AddKnownOtherwise(Statement *st, const AuditTable *table, const ReplayQuery *query,
							  const char *source);
extern IndexOrder OrderOfIndexes(const AuditTable *table, const ReplayQuery *query);
extern void GuidePlanner(const AuditTable *table, const ReplayQuery *query);
extern void ReadByIndexes(const AuditTable *table, Statement *st, long most);
extern uint64 FetchRows(const AuditTable *table, Portal portal, long most);

#endif /* ACTEON_AUDIT_SQL_H */
