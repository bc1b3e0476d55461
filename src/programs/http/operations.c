/*
 * operations.c
 *		What stands behind a path that is one call of a function: which parameters of the
 *		request are those of the statement, in their order.
 */
#include "http/operations.h"

/* The name in the path, and the end of a list. */
#define NAME (-1)
#define END (-2)

/* A statement has this many parameters at most. */
#define MOST 8

/* Of a part of a batch. */
#define PART OPTION_PART_TENANT, OPTION_PART_PROVIDER, OPTION_PART_ACTION_IDS

static const struct
{
	StatementId statement;
	int values[MOST + 1];
} operations[] = {
	{STATEMENT_PAUSE, {NAME, OPTION_REASON, PART, END}},
	{STATEMENT_RESUME, {NAME, OPTION_REASON, PART, OPTION_PARTS, END}},
	{STATEMENT_CANCEL, {NAME, OPTION_REASON, PART, END}},
	{STATEMENT_PAUSE_ALL, {OPTION_REASON, END}},
	{STATEMENT_RESUME_ALL, {OPTION_REASON, END}},
	{STATEMENT_BATCH, {NAME, END}},
	{STATEMENT_RATE, {NAME, OPTION_REASON, PART, OPTION_NEW_RATE, END}},
	{STATEMENT_START, {NAME, OPTION_REASON, OPTION_NEW_START, END}},
	{STATEMENT_SETTLE, {NAME, OPTION_REASON, OPTION_DECISION, OPTION_SETTLED_IDS, END}},
	{STATEMENT_APPROVE, {NAME, OPTION_REASON, OPTION_APPROVED_PLAN, END}},
	{STATEMENT_HAND_OVER, {NAME, OPTION_REASON, OPTION_NEW_OWNER, END}},
	{STATEMENT_CONTINUE, {NAME, OPTION_REASON, OPTION_NEXT_CHUNK, END}},
	{STATEMENT_PATCH,
	 {NAME, OPTION_REASON, PART, OPTION_PATCH, OPTION_PATCH_PATH, OPTION_PATCH_VALUE, END}},
	{STATEMENT_BATCH_LOG, {OPTION_LOG_BEFORE, OPTION_LOG_LIMIT, NAME, END}},
	{STATEMENT_LOG, {OPTION_LOG_BEFORE, OPTION_LOG_LIMIT, END}},
	{STATEMENT_LINEAGE,
	 {NAME, OPTION_LINEAGE_TARGET, OPTION_LISTED_LIMIT, OPTION_LISTED_CURSOR, END}},
	{STATEMENT_DEAD_LETTERS,
	 {OPTION_DEAD_BEFORE, OPTION_DEAD_LIMIT, OPTION_DEAD_BATCH, OPTION_DEAD_TENANT,
	  OPTION_DEAD_PROVIDER, END}},
	{STATEMENT_REDRIVE,
	 {OPTION_DEAD_IDS, OPTION_DEAD_BATCH, OPTION_DEAD_TENANT, OPTION_DEAD_PROVIDER,
	  OPTION_MAX_REDRIVEN, OPTION_REDRIVE_RATE, OPTION_REASON, END}},
	{STATEMENT_MAY, {NAME, END}},
	{STATEMENT_LIMITS, {OPTION_LISTED_LIMIT, OPTION_LISTED_CURSOR, END}},
	{STATEMENT_LIMIT_SET,
	 {OPTION_LIMITED_PROVIDER, OPTION_LIMITED_TENANT, OPTION_REASON, OPTION_LIMIT_RATE,
	  OPTION_LIMIT_CONCURRENCY, OPTION_LIMIT_BREAKER_WINDOW, OPTION_LIMIT_BREAKER_SHARE, END}},
	{STATEMENT_LIMIT_REMOVE, {OPTION_LIMITED_PROVIDER, OPTION_LIMITED_TENANT, OPTION_REASON, END}},
	{STATEMENT_ME, {END}},
};

/*
 * Add the parameters of a statement, of which there are the name in the path and the
 * parameters of the request.  False if the statement is not one of those here.
 */
bool
OperationAddValues(Statement *statement, StatementId id, const char *name,
				   const Parameters *parameters)
{
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
	{
		if (operations[i].statement != id)
			continue;
		for (const int *value = operations[i].values; *value != END; value++)
			StatementAddText(statement, *value == NAME ? name : parameters->values[*value]);
		return true;
	}
	return false;
}
