/*
 * effect.h
 *		What an outcome says about the effect of an action.
 */
#ifndef ACTEON_EFFECT_H
#define ACTEON_EFFECT_H

#include "utils/jsonb.h"

/* Outcomes of records that are asked for by name elsewhere; effect.c has all of them. */
#define INTENT_OUTCOME "pending"
#define EXECUTED_OUTCOME "executed"
#define CHAIN_ORIGIN_OUTCOME "chain_started"
#define FAILED_OUTCOME "failed"
#define CIRCUIT_OPEN_OUTCOME "circuit_open"
#define THROTTLED_OUTCOME "throttled"
#define QUOTA_EXCEEDED_OUTCOME "quota_exceeded"

/* The same in answers. */
#define FAILED_ANSWER "Failed"
#define CIRCUIT_OPEN_ANSWER "CircuitOpen"

/*
 * Effect of an outcome.  The words are those of acteon_dispatch_delivery.effect,
 * in lower case.
 */
typedef enum Effect
{
	EFFECT_DONE,    /* executed with success */
	EFFECT_NONE,    /* nothing was executed, or nothing can have been */
	EFFECT_LATER,   /* the gateway goes on with it */
	EFFECT_DECIDED, /* the gateway chose not to execute it */
	EFFECT_UNKNOWN, /* the outcome does not tell */
	NUM_EFFECTS
} Effect;

/* What a consumer's call has to do with an answer besides keeping it. */
typedef enum AnswerClass
{
	ANSWER_FINAL,    /* it ends the action, with its effect */
	ANSWER_DEFERRED, /* Throttled, QuotaExceeded: known not executed, again later, under a new id */
	ANSWER_DUPLICATE,   /* AlreadyDispatched, as a consumer reports a 409: the id was seen before */
	ANSWER_DEDUPLICATED /* ends it, unless an earlier id may have taken the dedup key */
} AnswerClass;

/* What is read out of an answer of the gateway. */
typedef struct AnswerReading
{
	char name[NAMEDATALEN]; /* of the outcome, as the gateway writes it; empty: there is none */
	Effect effect;
	AnswerClass kind;
	int64 retry_after; /* of a deferred one, in microseconds; -1: it does not say */
} AnswerReading;

/* What decides the effect of a record of the audit table. */
typedef struct RecordOutcome
{
	const char *outcome;     /* as stored: executed, failed, … */
	Jsonb *details;          /* outcome_details; NULL: none */
	const char *provider;    /* NULL: unknown */
	const char *action_type; /* NULL: unknown */
	bool has_duration;       /* duration_ms is known */
	int64 duration_ms;       /* how long the gateway took */
} RecordOutcome;

/* The one that statements ask for. */
#define EFFECT_NAME_DONE "done"

extern const char *const EffectNames[NUM_EFFECTS];

extern Effect EffectByName(const text *name);
extern void ReadAnswer(Jsonb *answer, AnswerReading *reading);
extern Effect EffectOfRecord(const RecordOutcome *record);
extern bool IsInternalRecord(const char *provider, const char *action_type);
extern bool IsRecordOfNoAction(const char *provider, const char *action_type);
extern bool IsChainOutcome(const char *outcome);
extern bool IsDeduplicated(const char *outcome);
extern bool IsKnownOutcome(const char *outcome);
extern Jsonb *RecordAsAnswer(const RecordOutcome *record);

#endif /* ACTEON_EFFECT_H */
