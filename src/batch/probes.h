/*
 * probes.h
 *		Batches that only find out whether a provider works.
 */
#ifndef ACTEON_PROBES_H
#define ACTEON_PROBES_H

#include "datatype/timestamp.h"

extern void MarkProbe(Oid schema, int64 batch_id, const char *policy);
extern void PurgeProbes(Oid schema, TimestampTz before, int64 most);

#endif /* ACTEON_PROBES_H */
