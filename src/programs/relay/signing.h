/*
 * signing.h
 *		Signatures of actions, and the keys that make them.
 */
#ifndef SIGNING_H
#define SIGNING_H

#include <stdbool.h>

#include "common/buffer.h"

/* The keys of a file. */
typedef struct Signers Signers;

typedef enum Signature
{
	SIGNED,
	NO_SIGNER,   /* no key is for its tenant and namespace */
	CANNOT_SIGN, /* the gateway cannot read it */
	NO_SIGNATURE /* OpenSSL makes none */
} Signature;

extern Signers *SignersRead(const char *path, char **error);
extern void SignersFree(Signers *signers);
extern int SignersCount(const Signers *signers);

extern Signature
SignAction(const Signers *signers, const char *action, size_t len, Buffer *members, Buffer *error);
extern void SignatureAppend(Buffer *body, const Buffer *members);

#endif
