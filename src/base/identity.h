/*
 * identity.h
 *		As whom the extension acts: the caller, the audit table's owner, the
 *		owner of the extension's tables.
 */
#ifndef ACTEON_IDENTITY_H
#define ACTEON_IDENTITY_H

/* What SwitchIdentity saved for RestoreIdentity. */
typedef struct Identity
{
	Oid user;
	int sec_context;
	int guc_level;
} Identity;

extern void SwitchIdentity(Identity *saved, Oid user);
extern void SetLocally(const char *name, const char *value);
extern void RestoreIdentity(const Identity *saved);
extern Datum RoleName(Oid role);

#endif /* ACTEON_IDENTITY_H */
