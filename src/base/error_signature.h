/*
 * error_signature.h
 *		What errors that differ only in their details have in common.
 */
#ifndef ACTEON_ERROR_SIGNATURE_H
#define ACTEON_ERROR_SIGNATURE_H

/* Bytes that a signature has at most. */
#define SIGNATURE_BYTES 512

/* Rules by which details are taken out, as bits. */
typedef unsigned SignatureRules;

extern SignatureRules ReadSignatureRules(const char *names);
extern int MakeSignature(char *signature, const char *error, int len, SignatureRules rules);

#endif /* ACTEON_ERROR_SIGNATURE_H */
