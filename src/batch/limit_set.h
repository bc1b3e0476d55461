/*
 * limit_set.h
 *		Who may limit a provider or tenant.
 */
#ifndef ACTEON_LIMIT_SET_H
#define ACTEON_LIMIT_SET_H

#include "access/grants.h"
#include "queue/segment.h"

extern bool MayLimit(Grants *grants, LimitKind kind, const text *name);

#endif /* ACTEON_LIMIT_SET_H */
