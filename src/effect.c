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

/*
 * The effect with a name.
 */
Effect
EffectByName(const text *name)
{
	for (Effect effect = EFFECT_DONE; effect < NUM_EFFECTS; effect++)
	{
		if (VARSIZE_ANY_EXHDR(name) == strlen(EffectNames[effect]) &&
			memcmp(VARDATA_ANY(name), EffectNames[effect], VARSIZE_ANY_EXHDR(name)) == 0)
			return effect;
	}
	return EFFECT_UNKNOWN;
}
