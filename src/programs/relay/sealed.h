/*
 * sealed.h
 *		Payloads that the gateway has encrypted, and the keys that open them.
 */
#ifndef SEALED_H
#define SEALED_H

#include <stdbool.h>

#include "common/buffer.h"
#include "common/options.h"

/* The keys of some files. */
typedef struct Keyring Keyring;

typedef enum Unsealed
{
	NOT_SEALED, /* nothing to do */
	OPENED,
	CANNOT_OPEN
} Unsealed;

extern Keyring *KeyringRead(const TextList *files, char **error);
extern void KeyringFree(Keyring *ring);
extern int KeyringCount(const Keyring *ring);

extern Unsealed OpenSealedPayload(const Keyring *ring, const char *action, size_t len,
								  Buffer *opened, Buffer *error);

#endif
