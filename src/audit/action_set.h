/*
 * action_set.h
 *		A compact set of actions.
 */
#ifndef ACTEON_ACTION_SET_H
#define ACTEON_ACTION_SET_H

#include "audit/record.h"

/* A set of actions, each as a hash; see InitActionSet. */
typedef struct ActionSet
{
	uint64 seed;
	struct actions_hash *actions;
} ActionSet;

extern void InitActionSet(ActionSet *set);
extern uint64 HashAction(const ActionSet *set, const AuditRecord *record);
extern bool ActionSetHas(const ActionSet *set, uint64 hash);
extern void ActionSetAdd(ActionSet *set, uint64 hash);

#endif /* ACTEON_ACTION_SET_H */
