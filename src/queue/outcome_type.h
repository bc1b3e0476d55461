/*
 * outcome_type.h
 *		The type acteon_outcome: how the outcome of a delivery is stored.
 */
#ifndef ACTEON_OUTCOME_TYPE_H
#define ACTEON_OUTCOME_TYPE_H

#include "utils/jsonb.h"

extern Datum PackOutcome(Datum outcome);
extern Jsonb *UnpackOutcome(Datum stored);

#endif /* ACTEON_OUTCOME_TYPE_H */
