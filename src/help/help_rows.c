/*
 * help_rows.c
 *		The rows of acteon_replay_help.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "help/help_rows.h"

/* Columns of a row. */
#define NUM_HELP_COLUMNS 3

/*
 * Add a row.
 */
void
PutHelp(Help *help, const char *topic, const char *statement, const char *why)
{
	Datum values[NUM_HELP_COLUMNS] = {CStringGetTextDatum(topic), CStringGetTextDatum(statement),
									  CStringGetTextDatum(why)};
	bool nulls[NUM_HELP_COLUMNS] = {0};

	tuplestore_putvalues(help->result->setResult, help->result->setDesc, values, nulls);
	help->rows++;
}
