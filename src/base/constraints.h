/*
 * constraints.h
 *		Check constraints of our tables and conditions of their partial indexes, read
 *		once a session.
 */
#ifndef ACTEON_CONSTRAINTS_H
#define ACTEON_CONSTRAINTS_H

#include "nodes/execnodes.h"

extern void PrepareConstraints(ResultRelInfo *rri, EState *estate);

#endif /* ACTEON_CONSTRAINTS_H */
