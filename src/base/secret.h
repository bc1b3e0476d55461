/*
 * secret.h
 *		Texts that only this installation can have written.
 */
#ifndef ACTEON_SECRET_H
#define ACTEON_SECRET_H

#include "postgres_ext.h"

/* Length of a signature as text, without a terminator: 128 bits. */
#define TEXT_SEAL_LEN 32

extern void SealText(Oid schema, char *seal, const char *text, size_t len);
extern bool TextIsSealed(Oid schema, const char *seal, const char *text, size_t len);

#endif /* ACTEON_SECRET_H */
