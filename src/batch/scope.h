/*
 * scope.h
 *		What a batch is about.
 */
#ifndef ACTEON_SCOPE_H
#define ACTEON_SCOPE_H

#include "utils/jsonb.h"

#include "audit/record.h"

/* The distinct kinds of records that a batch touched; see NewScope. */
typedef struct Scope Scope;

extern Scope *NewScope(const char *provider_override);
extern bool AddToScope(Scope *scope, const AuditRecord *record);
extern int ScopeSize(const Scope *scope);
extern Scope *ScopeFromJsonb(Jsonb *json, const char *provider_override);
extern Jsonb *ScopeToJsonb(const Scope *scope);

#endif /* ACTEON_SCOPE_H */
