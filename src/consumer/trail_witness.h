/*
 * trail_witness.h
 *		Witnesses of the trail: lines that are kept elsewhere.
 */
#ifndef ACTEON_TRAIL_WITNESS_H
#define ACTEON_TRAIL_WITNESS_H

#include "base/rfc3339.h"
#include "consumer/call.h"
#include "consumer/trail.h"

/* Hexadecimal digits that tell installations apart. */
#define INSTALLATION_DIGITS 16

/* What a line says: the chain has, or had, a link with this hash at this position. */
typedef struct TrailWitness
{
	char installation[INSTALLATION_DIGITS + 1]; /* zeros: not known then */
	int64 position;
	char hash[2 * LINK_HASH_BYTES + 1]; /* in hexadecimal digits */
	char linked_at[RFC3339_MAXLEN];
} TrailWitness;

extern void BeginTrailCall(ConsumerCall *call, FunctionCallInfo fcinfo, const char *function);
extern void NameInstallation(Oid schema, char *name);
extern TrailWitness *ReadWitnesses(const text *lines, int *count);

#endif /* ACTEON_TRAIL_WITNESS_H */
