/*
 * stored_query.h
 *		Options of a query as it is stored with its batch.
 */
#ifndef ACTEON_STORED_QUERY_H
#define ACTEON_STORED_QUERY_H

#include "utils/jsonb.h"

#include "query/options.h"

extern bool StoredOption(Jsonb *query, OptionId id, JsonbValue *value);
extern char *StoredText(Jsonb *query, OptionId id);
extern bool StoredFlag(Jsonb *query, OptionId id);
extern text *StoredFilter(Jsonb *query, OptionId id);
extern char *StoredTarget(Jsonb *query);

#endif /* ACTEON_STORED_QUERY_H */
