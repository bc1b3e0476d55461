/*
 * error_reason.h
 *		The reason of an error, for programs.
 */
#ifndef ACTEON_ERROR_REASON_H
#define ACTEON_ERROR_REASON_H

#include "base/error_codes.h"

extern int errreason(ErrorCode code);
extern int errreason_name(const char *name);

#endif /* ACTEON_ERROR_REASON_H */
