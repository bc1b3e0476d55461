/*
 * canary_judge.h
 *		Judging a step of a canary.
 */
#ifndef ACTEON_CANARY_JUDGE_H
#define ACTEON_CANARY_JUDGE_H

#include "batch/batch_row.h"

/* What a step is found to be. */
typedef enum StepVerdict
{
	STEP_UNFINISHED, /* actions wait or are in flight */
	STEP_IN_DOUBT,   /* all others have ended, and it depends on those in doubt */
	STEP_UNRECORDED, /* all have, and records are missing that may still come */
	STEP_UNSENT,     /* none of its actions was sent: there is nothing to judge */
	STEP_GOOD,
	STEP_BAD
} StepVerdict;

/* The judgement of a step. */
typedef struct StepJudgement
{
	StepVerdict verdict;
	int64 actions;    /* that count: all but those that are not sent */
	int64 good;       /* took effect, or will */
	int64 bad;        /* failed, or are in doubt */
	int64 unrecorded; /* have no record, and were judged by their answers */
	char *reason;     /* of a bad step: what is wrong; in the current memory context */
} StepJudgement;

extern void JudgeStep(StepJudgement *judgement, Oid schema, const BatchRow *batch, TimestampTz now);

#endif /* ACTEON_CANARY_JUDGE_H */
