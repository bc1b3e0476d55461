/*
 * steady_plan.c
 *		Plans that do not depend on statistics.
 *
 * A table that has just been filled has none yet, and a plan that is good for a few
 * rows can take minutes with millions.  Where only one kind of plan is good, the
 * others are switched off while a statement is planned and executed.
 */
#include "postgres.h"

#include "utils/guc.h"

#include "base/steady_plan.h"

/*
 * Switch a setting off until AllowPlans.
 */
static void
switch_off(const char *setting)
{
	(void) set_config_option(setting, "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
}

/*
 * Deny the planner some ways of reading.  Returns what AllowPlans takes; an error that
 * ends the transaction or subtransaction allows them again, too.
 */
int
DenyPlans(int ways)
{
	int nesting = NewGUCNestLevel();

	/* What must be read in a way that is denied costs a fortune, and seems worth compiling. */
	switch_off("jit");
	if (ways & DENY_SEQSCAN)
		switch_off("enable_seqscan");
	if (ways & DENY_INDEXSCAN)
	{
		switch_off("enable_indexscan");
		switch_off("enable_indexonlyscan");
	}
	if (ways & DENY_NESTLOOP)
		switch_off("enable_nestloop");
	return nesting;
}

/*
 * Allow the planner what it was denied.
 */
void
AllowPlans(int nesting)
{
	AtEOXact_GUC(true, nesting);
}
