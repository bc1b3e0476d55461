/*
 * kept_plan.c
 *		Plans of statements that are asked again and again.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/kept_plan.h"

/*
 * The plan of a statement: the kept one as long as the statement is the same, else a
 * new one, which is kept instead.  Needs an SPI connection.
 */
SPIPlanPtr
KeepPlan(KeptPlan *kept, const char *sql, int nargs, const Oid *types, int cursor_options)
{
	SPIPlanPtr plan;

	if (kept->sql != NULL && strcmp(kept->sql, sql) == 0)
		return kept->plan;
	plan = SPI_prepare_cursor(sql, nargs, unconstify(Oid *, types), cursor_options);
	if (plan == NULL)
		elog(ERROR, "could not prepare a statement: %s", SPI_result_code_string(SPI_result));
	if (kept->sql != NULL)
	{
		pfree(kept->sql);
		kept->sql = NULL;
		SPI_freeplan(kept->plan);
	}
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "could not keep a plan");
	kept->plan = plan;
	kept->sql = MemoryContextStrdup(TopMemoryContext, sql);
	return plan;
}
