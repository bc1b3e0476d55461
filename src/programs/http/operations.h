/*
 * operations.h
 *		What stands behind a path that is one call of a function.
 */
#ifndef OPERATIONS_H
#define OPERATIONS_H

#include <stdbool.h>

#include "common/database.h"
#include "http/parameters.h"
#include "http/statements.h"

extern bool OperationAddValues(Statement *statement, StatementId id, const char *name,
							   const Parameters *parameters);

#endif
