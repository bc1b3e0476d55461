/*
 * record.c
 *		What the columns of a record say: the effect of its action, and whether that
 *		was lost.
 *
 * effect.c determines the effect of an outcome; here this is done for records.
 * It needs the details of the outcome, so it is done only where it matters.  An action
 * is lost by a record that says that it had no effect, or that it failed (IsLost); that no
 * other record says more is for searches to find out (audit_sql.c, others.c).
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "audit/record.h"
#include "base/text.h"

/* Providers that only a chain's own records have. */
#define CHAIN_PROVIDER "chain"
#define PARALLEL_PROVIDER "parallel"

/* A short text as a string; what is longer is cut, and is none of those that we know. */
typedef struct ShortString
{
	char data[NAMEDATALEN];
} ShortString;

static const char *
shorten(ShortString *string, const text *value)
{
	size_t len = Min(VARSIZE_ANY_EXHDR(value), sizeof(string->data) - 1);

	memcpy(string->data, VARDATA_ANY(value), len);
	string->data[len] = '\0';
	return string->data;
}

/*
 * What a grant must cover to cover a record.
 */
GrantTarget
RecordTarget(const AuditRecord *record)
{
	GrantTarget target = {.tenant = record->tenant,
						  .namespace = record->namespace,
						  .provider = record->provider,
						  .action_type = record->action_type};

	return target;
}

/*
 * Whether grants cover a record for a purpose.  None covers a record that lacks one of its
 * columns; who needs no grant has it all the same.
 */
bool
GrantsCoverRecord(Grants *grants, GrantPurpose purpose, const AuditRecord *record)
{
	GrantTarget target = RecordTarget(record);

	return record->missing != NULL ? GrantsEverything(grants)
								   : GrantsCover(grants, purpose, &target);
}

/*
 * What a record says about the effect of its action.  It must have all its columns.
 */
static Effect
record_effect(const AuditRecord *record)
{
	ShortString outcome, provider, action_type;
	RecordOutcome tells = {.outcome = shorten(&outcome, record->outcome),
						   .provider = shorten(&provider, record->provider),
						   .action_type = shorten(&action_type, record->action_type),
						   .has_duration = record->has_duration,
						   .duration_ms = record->duration_ms};

	if (record->has_details)
		tells.details = DatumGetJsonbP(record->details);
	return EffectOfRecord(&tells);
}

/*
 * Whether a record's action took effect, or will, or was taken for one that did.
 * One that was executed did unless the record says that it had none.
 */
bool
TookEffect(const AuditRecord *record)
{
	RecordOutcome named = {0};
	ShortString outcome;
	Effect effect;

	if (TextIs(record->outcome, EXECUTED_OUTCOME))
		return record_effect(record) != EFFECT_NONE;
	/* What the others' details tell is at best that nothing happened. */
	named.outcome = shorten(&outcome, record->outcome);
	effect = EffectOfRecord(&named);
	return effect == EFFECT_DONE || effect == EFFECT_LATER || IsDeduplicated(named.outcome);
}

/*
 * Whether a record's action was lost: it had no effect, or failed.  Sets *effect.
 */
bool
IsLost(const AuditRecord *record, Effect *effect)
{
	*effect = record_effect(record);
	return *effect == EFFECT_NONE || TextIs(record->outcome, FAILED_OUTCOME);
}

/*
 * Whether a record is one of the gateway's own, and no client's action.
 */
bool
IsInternal(const AuditRecord *record)
{
	ShortString provider, action_type;

	return IsInternalRecord(shorten(&provider, record->provider),
							shorten(&action_type, record->action_type));
}

/*
 * Whether a record is of a step or of the end of a chain.  Its action is that which
 * started the chain, but what it holds is the step's.
 */
bool
IsChainPart(const AuditRecord *record)
{
	ShortString outcome;

	if (TextIs(record->provider, CHAIN_PROVIDER) || TextIs(record->provider, PARALLEL_PROVIDER) ||
		(record->is_intent && record->is_of_chain))
		return true;
	return IsChainOutcome(shorten(&outcome, record->outcome));
}
