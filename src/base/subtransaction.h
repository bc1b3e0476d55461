/*
 * subtransaction.h
 *		Doing something that may fail, or be taken back.
 */
#ifndef ACTEON_SUBTRANSACTION_H
#define ACTEON_SUBTRANSACTION_H

/* What is done in a subtransaction.  Returns whether that is kept. */
typedef bool (*SubtransactionWork)(void *argument);

extern ErrorData *
TryInSubtransaction(SubtransactionWork work, void *argument, MemoryContext errors);
extern bool EndsTransaction(const ErrorData *error);

#endif /* ACTEON_SUBTRANSACTION_H */
