/*
 * kept_plan.h
 *		Plans of statements that are asked again and again.
 */
#ifndef ACTEON_KEPT_PLAN_H
#define ACTEON_KEPT_PLAN_H

#include "executor/spi.h"

/* A plan, kept for the session; all zero: none yet. */
typedef struct KeptPlan
{
	char *sql;
	SPIPlanPtr plan;
} KeptPlan;

extern SPIPlanPtr
KeepPlan(KeptPlan *kept, const char *sql, int nargs, const Oid *types, int cursor_options);

#endif /* ACTEON_KEPT_PLAN_H */
