/*
 * effect.c
 *		What an outcome says about the effect of an action.
 */
#include "postgres.h"

#include "effect.h"

const char *const EffectNames[NUM_EFFECTS] = {
	[EFFECT_DONE] = "done",       [EFFECT_NONE] = "none",       [EFFECT_LATER] = "later",
	[EFFECT_DECIDED] = "decided", [EFFECT_UNKNOWN] = "unknown",
};
