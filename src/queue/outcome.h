/*
 * outcome.h
 *		Which endings count as failures.
 */
#ifndef ACTEON_OUTCOME_H
#define ACTEON_OUTCOME_H

#include "queue/action_state.h"
#include "queue/effect.h"

extern bool IsFailure(ActionState state, const char *outcome, Effect effect);

#endif /* ACTEON_OUTCOME_H */
