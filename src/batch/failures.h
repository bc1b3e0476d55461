/*
 * failures.h
 *		Why records of a batch failed.
 */
#ifndef ACTEON_FAILURES_H
#define ACTEON_FAILURES_H

#include "utils/jsonb.h"

/* Distinct reasons for failing that are told apart; there are fewer. */
#define MAX_FAILURE_REASONS 64

/* Why records failed, and how many. */
typedef struct Failures
{
	int count;
	const char *reasons[MAX_FAILURE_REASONS];
	int64 counts[MAX_FAILURE_REASONS];
} Failures;

extern void AddFailure(Failures *failures, const char *reason, int64 count);
extern Jsonb *FailuresToJsonb(const Failures *failures);
extern Failures *FailuresFromJsonb(Jsonb *json);

#endif /* ACTEON_FAILURES_H */
