/*
 * error_codes.h
 *		What can go wrong, for programs: the shape of the table in error_codes.def.
 *
 * The extension and the programs include it, so it needs none of the server's
 * headers.
 */
#ifndef ACTEON_ERROR_CODES_H
#define ACTEON_ERROR_CODES_H

typedef enum ErrorCode
{
	CODE_NONE, /* no error, or one that nothing more is known of */
#define CODE(id, ...) CODE_##id,
#include "base/error_codes.def"
#undef CODE
	NUM_ERROR_CODES
} ErrorCode;

#endif /* ACTEON_ERROR_CODES_H */
