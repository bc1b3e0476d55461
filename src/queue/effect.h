/*
 * effect.h
 *		What an outcome says about the effect of an action.
 */
#ifndef ACTEON_EFFECT_H
#define ACTEON_EFFECT_H

#include "utils/jsonb.h"

/* Outcomes of records, by the names that the gateway writes; effect.c says what they mean. */
#define INTENT_OUTCOME "pending"
#define EXECUTED_OUTCOME "executed"
#define FAILED_OUTCOME "failed"
#define CIRCUIT_OPEN_OUTCOME "circuit_open"
#define SUPPRESSED_OUTCOME "suppressed"
#define SILENCED_OUTCOME "silenced"
#define MUTED_OUTCOME "muted"
#define REROUTED_OUTCOME "rerouted"
#define THROTTLED_OUTCOME "throttled"
#define QUOTA_EXCEEDED_OUTCOME "quota_exceeded"
#define DEDUPLICATED_OUTCOME "deduplicated"
#define SCHEDULED_OUTCOME "scheduled"
#define GROUPED_OUTCOME "grouped"
#define PENDING_APPROVAL_OUTCOME "pending_approval"
#define DRY_RUN_OUTCOME "dry_run"
#define CHAIN_ORIGIN_OUTCOME "chain_started"
/* What a chain records after its start; its effects are unknown. */
#define CHAIN_COMPLETED_OUTCOME "chain_completed"
#define CHAIN_FAILED_OUTCOME "chain_failed"
#define CHAIN_STEP_COMPLETED_OUTCOME "chain_step_completed"

/* The same in answers. */
#define FAILED_ANSWER "Failed"
#define CIRCUIT_OPEN_ANSWER "CircuitOpen"

/* Effects by their names, as in acteon_dispatch_delivery.effect. */
#define EFFECT_NAME_DONE "done"
#define EFFECT_NAME_NONE "none"
#define EFFECT_NAME_LATER "later"
#define EFFECT_NAME_DECIDED "decided"
#define EFFECT_NAME_UNKNOWN "unknown"

/* Those that statements ask for, as constants in SQL. */
#define SQL_EFFECT_DONE "'" EFFECT_NAME_DONE "'"
#define SQL_EFFECT_LATER "'" EFFECT_NAME_LATER "'"

/* Effect of an outcome. */
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
