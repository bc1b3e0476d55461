/*
 * failure.h
 *		Which endings count as failures.
 */
#ifndef ACTEON_FAILURE_H
#define ACTEON_FAILURE_H

#include "queue/action_state.h"
#include "queue/effect.h"

extern bool IsFailure(ActionState state, const char *outcome, Effect effect);

#endif /* ACTEON_FAILURE_H */
