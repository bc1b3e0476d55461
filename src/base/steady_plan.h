/*
 * steady_plan.h
 *		Plans that do not depend on statistics.
 */
#ifndef ACTEON_STEADY_PLAN_H
#define ACTEON_STEADY_PLAN_H

/* Ways of reading that a planner may be denied. */
#define DENY_SEQSCAN 0x01
#define DENY_INDEXSCAN 0x02 /* by order, not by bitmap */
#define DENY_NESTLOOP 0x04

extern int DenyPlans(int ways);
extern void AllowPlans(int nesting);

#endif /* ACTEON_STEADY_PLAN_H */
