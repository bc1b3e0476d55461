/*
 * signer.h
 *		Who has signed an action.
 */
#ifndef ACTEON_SIGNER_H
#define ACTEON_SIGNER_H

#include "access/grants.h"

extern char *FindSigner(Oid schema, const char *action_id, const text *namespace,
						const text *tenant, Grants *grants);

#endif /* ACTEON_SIGNER_H */
