/*
 * invariant.h
 *		Assertions that are named after the invariants in doc/development.md.
 *
 * One stands where the code keeps the invariant, as far as a look at what is at hand shows that it
 * does.  acteon_outbox_check shows more, after the fact, and the models all.  test/names holds
 * the names against the table.
 */
#ifndef ACTEON_INVARIANT_H
#define ACTEON_INVARIANT_H

/*
 * In a server with assertions, check the condition, and have the message of its failure begin with
 * the name; in others, nothing.
 */
#define AssertInvariant(name, condition) Assert(((void) #name, (condition)))

#endif /* ACTEON_INVARIANT_H */
