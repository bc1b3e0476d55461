/*
 * target.h
 *		Targets: where the actions of a batch are delivered to.
 */
#ifndef ACTEON_TARGET_H
#define ACTEON_TARGET_H

#include "nodes/pg_list.h"

#include "base/target_name.h"

extern bool IsTargetName(const char *name);
extern const char *CheckTarget(const char *name);
extern const char *NameOfTarget(const char *target);
extern bool IsTargetList(const char *list);
extern List *ListedTargets(const char *list);
extern bool IsListedTarget(const char *list, const char *target);

#endif /* ACTEON_TARGET_H */
