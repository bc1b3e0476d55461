/*
 * installation.h
 *		The namespace from which this installation's action ids are derived.
 */
#ifndef ACTEON_INSTALLATION_H
#define ACTEON_INSTALLATION_H

#include "utils/uuid.h"

extern bool ReadNamespace(Oid schema, pg_uuid_t *namespace);
extern bool ReadServer(Oid schema, char **server, Oid *database);
extern int64 FirstHashedId(Oid schema);
extern void RefuseForgotten(Oid schema);
extern void EnsureNamespace(Oid schema, pg_uuid_t *namespace);

#endif /* ACTEON_INSTALLATION_H */
