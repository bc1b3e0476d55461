/*
 * credentials.h
 *		The API key that a request carries.
 */
#ifndef CREDENTIALS_H
#define CREDENTIALS_H

#include <stdbool.h>

#include "common/buffer.h"

#define SHA256_BYTES 32

extern bool CredentialsStart(void);
extern bool CredentialsHash(const char *authorization, const char *x_api_key, unsigned char *hash);
extern void Sha256(const void *data, size_t len, unsigned char *hash);

#endif
