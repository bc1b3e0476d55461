/*
 * help_batches.h
 *		What acteon_replay_help says of batches.
 */
#ifndef ACTEON_HELP_BATCHES_H
#define ACTEON_HELP_BATCHES_H

#include "help/help_rows.h"

extern void HelpOnBatches(Help *help);

#endif /* ACTEON_HELP_BATCHES_H */
