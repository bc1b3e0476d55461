/*
 * compat.h
 *		Differences between PostgreSQL 15 and 18, and nothing else.
 */
#ifndef ACTEON_COMPAT_H
#define ACTEON_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "acteon_replay needs PostgreSQL 15 or later"
#endif

/* PostgreSQL 16 has what takes varlena values apart in a header of its own. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* PostgreSQL 18 hands the scan a place to count its index searches. */
#if PG_VERSION_NUM >= 180000
#define ActeonIndexBeginScan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, NULL, nkeys, 0)
#else
#define ActeonIndexBeginScan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, nkeys, 0)
#endif

/* PostgreSQL 16 added the last argument, for summarizing indexes on update. */
#if PG_VERSION_NUM >= 160000
#define ActeonInsertIndexTuples(rri, slot, estate) \
	ExecInsertIndexTuples(rri, slot, estate, false, false, NULL, NIL, false)
#else
#define ActeonInsertIndexTuples(rri, slot, estate) \
	ExecInsertIndexTuples(rri, slot, estate, false, false, NULL, NIL)
#endif

/* PostgreSQL 16 tells summarizing indexes apart when a row is updated. */
#if PG_VERSION_NUM >= 160000
#define ActeonUpdatedIndexes TU_UpdateIndexes
#define ActeonUpdateIndexTuples(rri, slot, estate, updated) \
	((updated) == TU_None ? NIL \
						  : ExecInsertIndexTuples(rri, slot, estate, false, false, NULL, NIL, \
												  (updated) == TU_Summarizing))
#else
#define ActeonUpdatedIndexes bool
#define ActeonUpdateIndexTuples(rri, slot, estate, updated) \
	((updated) ? ExecInsertIndexTuples(rri, slot, estate, false, false, NULL, NIL) : NIL)
#endif

/* PostgreSQL 16 tells members that may SET ROLE from those that only inherit. */
#if PG_VERSION_NUM >= 160000
#define ActeonMaySetRole(member, role) member_can_set_role(member, role)
#else
#define ActeonMaySetRole(member, role) is_member_of_role(member, role)
#endif

/* PostgreSQL 16 checks the privileges on all kinds of objects with one function. */
#if PG_VERSION_NUM >= 160000
#define ActeonMayUseSchema(schema, role) \
	(object_aclcheck(NamespaceRelationId, schema, role, ACL_USAGE) == ACLCHECK_OK)
#else
#define ActeonMayUseSchema(schema, role) \
	(pg_namespace_aclcheck(schema, role, ACL_USAGE) == ACLCHECK_OK)
#endif

/* PostgreSQL 18 renamed what marks a function that does not return; both forms go first. */
#if PG_VERSION_NUM >= 180000
#define ACTEON_NORETURN pg_noreturn
#else
#define ACTEON_NORETURN pg_attribute_noreturn()
#endif

/* In libpq/libpq.h, which needs the headers of GSSAPI if the server was built with it. */
extern bool pq_check_connection(void);

/* PostgreSQL 17 can also ask for a stronger lock. */
#if PG_VERSION_NUM >= 170000
#define ActeonHoldsLock(tag, mode) LockHeldByMe(tag, mode, false)
#else
#define ActeonHoldsLock(tag, mode) LockHeldByMe(tag, mode)
#endif

/* PostgreSQL 16 frees what a check hook keeps with guc_free. */
#if PG_VERSION_NUM >= 160000
#define ActeonGucMalloc(size) guc_malloc(LOG, size)
#else
#define ActeonGucMalloc(size) malloc(size)
#endif

/* PostgreSQL 18 renamed the prepared check constraints, and has some that are not enforced. */
#if PG_VERSION_NUM >= 180000
#define ActeonConstraintStates(rri) ((rri)->ri_CheckConstraintExprs)
#define ActeonIsEnforced(check) ((check)->ccenforced)
#else
#define ActeonConstraintStates(rri) ((rri)->ri_ConstraintExprs)
#define ActeonIsEnforced(check) true
#endif

/* PostgreSQL 18 has virtual generated columns, which are computed where they are read. */
#if PG_VERSION_NUM >= 180000
#define ActeonComputeColumns(node, rel) expand_generated_columns_in_expr(node, rel, 1)
#define ActeonHasComputed(desc) ((desc)->constr != NULL && (desc)->constr->has_generated_virtual)
#else
#define ActeonComputeColumns(node, rel) (node)
#define ActeonHasComputed(desc) false
#endif

/* PostgreSQL 17 can be asked for stronger locks as well. */
#if PG_VERSION_NUM >= 170000
#define ActeonLockHeldByMe(tag, mode) LockHeldByMe(tag, mode, false)
#else
#define ActeonLockHeldByMe(tag, mode) LockHeldByMe(tag, mode)
#endif

/* PostgreSQL 17 lets an index keep what its insertions have read. */
#if PG_VERSION_NUM >= 170000
#define ActeonIndexInsertCleanup(index, info) index_insert_cleanup(index, info)
#else
#define ActeonIndexInsertCleanup(index, info) ((void) 0)
#endif

/* PostgreSQL 17 has intervals without end. */
#if PG_VERSION_NUM >= 170000
#define ActeonIsEndless(interval) INTERVAL_NOT_FINITE(interval)
#else
#define ActeonIsEndless(interval) false
#endif

/* PostgreSQL 18 has bytes instead of characters on the one side of base64. */
#if PG_VERSION_NUM >= 180000
#define ActeonBase64Encode(src, len, dst, room) pg_b64_encode((const uint8 *) (src), len, dst, room)
#define ActeonBase64Decode(src, len, dst, room) pg_b64_decode(src, len, (uint8 *) (dst), room)
#else
#define ActeonBase64Encode(src, len, dst, room) pg_b64_encode(src, len, dst, room)
#define ActeonBase64Decode(src, len, dst, room) pg_b64_decode(src, len, dst, room)
#endif

/* PostgreSQL 17 has injection points, and 18 hands them an argument. */
#ifdef USE_INJECTION_POINTS
#include "utils/injection_point.h"
#if PG_VERSION_NUM >= 180000
#define ActeonInjectionPoint(name) INJECTION_POINT(name, NULL)
#else
#define ActeonInjectionPoint(name) INJECTION_POINT(name)
#endif
#endif

#endif /* ACTEON_COMPAT_H */
