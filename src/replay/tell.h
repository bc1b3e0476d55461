/*
 * tell.h
 *		Telling of what happens to batches.
 */
#ifndef ACTEON_TELL_H
#define ACTEON_TELL_H

#include "datatype/timestamp.h"

/* What it writes, besides what claims write (table_access.h). */
#define WRITES_OF_TELLING (WRITES_OUTBOX | WRITES_IDS)

extern bool TellingWaits(Oid schema);
extern void TellOfBatches(Oid schema, TimestampTz now, bool at_once);

#endif /* ACTEON_TELL_H */
