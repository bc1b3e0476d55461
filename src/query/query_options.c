/*
 * query_options.c
 *		What a replay can be told: one table.
 *
 * It is read by whatever takes a query or writes one down: the arguments of the
 * SQL functions (arguments.c), whose order is the order here, the gateway's wire
 * form (query_json.c), and the checks (query.c).
 */
#include "postgres.h"

#include <limits.h>

#include "query/query.h"

#define FILTER(name, filter) \
	{ \
		.argument = name, .key = name, .type = OPTION_TEXT, \
		.offset = offsetof(ReplayQuery, filters) + (filter) * sizeof(char *) \
	}
#define SAME_NAME(field, option_type) \
	.argument = #field, .key = #field, .type = option_type, .offset = offsetof(ReplayQuery, field)
#define TEXT(field) \
	{ \
		SAME_NAME(field, OPTION_TEXT) \
	}
#define SWITCH(field) \
	{ \
		SAME_NAME(field, OPTION_BOOLEAN) \
	}
#define NUMBER(field) \
	{ \
		SAME_NAME(field, OPTION_NUMBER) \
	}
#define NO_LIMIT_HINT "Leave it out for the default; pass a large number for no limit."

const QueryOption ReplayOptions[NUM_REPLAY_OPTIONS] = {
	FILTER("namespace", FILTER_NAMESPACE),
	FILTER("tenant", FILTER_TENANT),
	FILTER("provider", FILTER_PROVIDER),
	FILTER("action_type", FILTER_ACTION_TYPE),
	FILTER("outcome", FILTER_OUTCOME),
	FILTER("verdict", FILTER_VERDICT),
	FILTER("matched_rule", FILTER_MATCHED_RULE),
	{.argument = "from_time",
	 .key = "from",
	 .type = OPTION_TIME,
	 .offset = offsetof(ReplayQuery, from)},
	{.argument = "to_time", .key = "to", .type = OPTION_TIME, .offset = offsetof(ReplayQuery, to)},
	{.argument = "max_records",
	 .key = "limit",
	 .type = OPTION_INTEGER,
	 .offset = offsetof(ReplayQuery, max_records),
	 .otherwise = MAX_RECORDS_DEFAULT,
	 .least = 1,
	 .most = INT_MAX},
	FILTER("caller_id", FILTER_CALLER_ID),
	FILTER("chain_id", FILTER_CHAIN_ID),
	SWITCH(include_replayed),
	SWITCH(allow_redacted),
	SWITCH(newest_first),
	{.argument = "cursor",
	 .key = "cursor",
	 .type = OPTION_TEXT,
	 .offset = offsetof(ReplayQuery, cursor_text)},
	NUMBER(rate),
	{SAME_NAME(start_at, OPTION_TIME)},
	TEXT(reason),
	SWITCH(allow_partial),
	TEXT(dedup),
	TEXT(provider_override),
	{SAME_NAME(max_generation, OPTION_INTEGER), .otherwise = MAX_GENERATION_DEFAULT, .least = 1,
	 .most = INT_MAX, .hint = NO_LIMIT_HINT},
	{SAME_NAME(max_depth, OPTION_INTEGER), .otherwise = MAX_DEPTH_DEFAULT, .least = 1,
	 .most = INT_MAX, .hint = NO_LIMIT_HINT},
	{SAME_NAME(breaker_window, OPTION_INTEGER), .otherwise = BREAKER_WINDOW_DEFAULT, .least = 0,
	 .most = BREAKER_WINDOW_LIMIT,
	 .hint = "It is a number of deliveries; 0 turns the circuit breaker off."},
	NUMBER(breaker_share),
	SWITCH(ramp),
	SWITCH(lost),
	SWITCH(certain),
	SWITCH(allow_effective),
	SWITCH(allow_unproven),
	TEXT(on_doubt),
};

/*
 * The name by which the caller knows an argument.
 */
const char *
ArgumentName(const ReplayQuery *query, const char *argument)
{
	if (query->wire_form)
	{
		for (int i = 0; i < NUM_REPLAY_OPTIONS; i++)
		{
			if (strcmp(ReplayOptions[i].argument, argument) == 0)
				return ReplayOptions[i].key;
		}
	}
	return argument;
}
