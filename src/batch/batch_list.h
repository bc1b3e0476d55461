/*
 * batch_list.h
 *		What is shown of batches and of their actions.
 */
#ifndef ACTEON_BATCH_LIST_H
#define ACTEON_BATCH_LIST_H

#include "access/visibility.h"

extern bool SeesBatch(Viewer *viewer, int64 batch_id);

#endif /* ACTEON_BATCH_LIST_H */
