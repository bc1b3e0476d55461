/*
 * failure.c
 *		Which endings count as failures.
 *
 * Circuit breakers of batches and of providers, canaries, policies and the items of a
 * batch that are called failed all ask here: IsFailure in C, acteon_is_failure in SQL.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "base/message.h"
#include "queue/failure.h"

PG_FUNCTION_INFO_V1(acteon_is_failure);

/*
 * Whether a result counts as a failure: dead, an outcome without effect
 * whatever its name, Failed unless it is known to have had its effect, or a doubt.
 * Deliveries of version 1.0 have no effect: for them the name alone decides.
 */
bool
IsFailure(ActionState state, const char *outcome, Effect effect)
{
	if (effect == EFFECT_DONE)
		return false;
	return state == ACTION_DEAD || state == ACTION_IN_DOUBT ||
		   (state == ACTION_DELIVERED &&
			(effect == EFFECT_NONE || strcmp(outcome, FAILED_ANSWER) == 0 ||
			 strcmp(outcome, CIRCUIT_OPEN_ANSWER) == 0));
}

/*
 * The state of a name.  Raises invalid_parameter_value if there is none.
 */
static ActionState
state_by_name(const char *name)
{
	for (int state = 0; state < NUM_ACTION_STATES; state++)
	{
		if (strcmp(name, ActionStateNames[state]) == 0)
			return state;
	}
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("unknown state \"%s\"", ClipForMessage(name, strlen(name))),
					errhint("Use %s.", ListNames(ActionStateNames, NUM_ACTION_STATES))));
}

/*
 * acteon_is_failure(state text, outcome text, effect text) → boolean
 *
 * Whether an ending counts as a failure, for the statements that show what the
 * circuit breaker sees.  An action without a state, or that has not ended, is none.  Raises
 * invalid_parameter_value for what is not a state.
 */
Datum
acteon_is_failure(PG_FUNCTION_ARGS)
{
	char outcome[NAMEDATALEN] = "";

	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(false);
	if (!PG_ARGISNULL(1))
		text_to_cstring_buffer(PG_GETARG_TEXT_PP(1), outcome, sizeof(outcome));
	PG_RETURN_BOOL(
		IsFailure(state_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0))), outcome,
				  PG_ARGISNULL(2) ? EFFECT_UNKNOWN : EffectByName(PG_GETARG_TEXT_PP(2))));
}
