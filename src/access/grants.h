/*
 * grants.h
 *		Who may replay and read what.
 */
#ifndef ACTEON_GRANTS_H
#define ACTEON_GRANTS_H

#include "nodes/pg_list.h"

#include "access/grant_index.h"

/* The rights of one role, loaded once a call; see LoadGrants. */
typedef struct Grants Grants;

/* What a caller wants to do with a record. */
typedef enum GrantPurpose
{
	GRANT_REPLAY, /* admin, operator */
	GRANT_READ,   /* admin, operator, viewer */
	GRANT_STEER,  /* admin */
	GRANT_PATCH   /* admin; operator, if the grant says so */
} GrantPurpose;

/* What a grant is compared with. */
typedef struct GrantTarget
{
	const text *tenant;
	const text *namespace;
	const text *provider;
	const text *action_type;
} GrantTarget;

extern Grants *LoadGrants(Oid role, Oid schema);
extern List *ListGrantees(Oid schema);
extern bool GrantsMayReplay(const Grants *grants);
extern bool GrantsMayPatch(const Grants *grants);
extern bool GrantsMayDeliver(const Grants *grants);
extern bool GrantsMayRead(const Grants *grants);
extern GrantPurpose PreviewPurpose(const Grants *grants);
extern bool GrantsEverything(const Grants *grants);
extern bool GrantsCover(Grants *grants, GrantPurpose purpose, const GrantTarget *target);
extern bool GrantsCoverTenant(Grants *grants, const text *tenant);
extern bool GrantedValues(const Grants *grants, GrantField field, Datum **values, int *count);

#endif /* ACTEON_GRANTS_H */
