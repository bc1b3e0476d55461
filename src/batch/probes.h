/*
 * probes.h
 *		Batches that only find out whether a provider works.
 */
#ifndef ACTEON_PROBES_H
#define ACTEON_PROBES_H

#include "datatype/timestamp.h"

extern void MarkProbe(Oid schema, int64 batch_id, const char *policy);
extern int PurgeProbes(Oid schema, TimestampTz before, int64 most, Datum **numbers);

#endif /* ACTEON_PROBES_H */
