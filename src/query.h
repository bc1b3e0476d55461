/*
 * query.h
 *		What a bulk replay is asked for.
 */
#ifndef ACTEON_QUERY_H
#define ACTEON_QUERY_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

/* Records that one call attempts at most, and unless told otherwise. */
#define MAX_RECORDS_LIMIT 1000
#define MAX_RECORDS_DEFAULT 50

/* Filters that compare a column of the audit table with a text. */
typedef enum TextFilter
{
	FILTER_NAMESPACE,
	FILTER_TENANT,
	FILTER_PROVIDER,
	FILTER_ACTION_TYPE,
	FILTER_OUTCOME,
	FILTER_VERDICT,
	FILTER_MATCHED_RULE,
	FILTER_CALLER_ID,
	FILTER_CHAIN_ID,
	NUM_TEXT_FILTERS
} TextFilter;

/* Name of each as argument, key and column. */
extern const char *const TextFilterNames[NUM_TEXT_FILTERS];

/* A time that may be absent. */
typedef struct OptionalTime
{
	bool given;
	TimestampTz time;
} OptionalTime;

/* A place in the ordered records; see query.c. */
typedef struct ReplayCursor
{
	TimestampTz dispatched_at;
	char *id;
} ReplayCursor;

typedef struct ReplayQuery
{
	bool wire_form;                  /* came as jsonb: some arguments have other names */
	char *filters[NUM_TEXT_FILTERS]; /* NULL: any value */
	OptionalTime from;               /* inclusive, both */
	OptionalTime to;
	int max_records;
	bool include_replayed;
	bool allow_redacted;
	bool newest_first;
	char *cursor_text;   /* NULL: from the start */
	ReplayCursor cursor; /* what cursor_text says */
	Numeric rate;        /* actions a second; NULL: no limit */
	double rate_value;   /* the same; 0: no limit */
	OptionalTime start_at;
	char *reason;
} ReplayQuery;

extern void InitReplayQuery(ReplayQuery *query);
extern void ReadReplayQuery(ReplayQuery *query, Jsonb *json);
extern double RateValue(Numeric rate);
extern void CheckReplayQuery(ReplayQuery *query);
extern Jsonb *QueryToJsonb(const ReplayQuery *query);
extern char *MakeCursor(const ReplayQuery *query, TimestampTz dispatched_at, const text *id);

#endif /* ACTEON_QUERY_H */
