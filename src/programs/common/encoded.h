/*
 * encoded.h
 *		Bytes that are written as text: base64, and keys.
 */
#ifndef ENCODED_H
#define ENCODED_H

#include <stdbool.h>
#include <stddef.h>

/* The keys for AES-256 and the seeds for Ed25519 are so long. */
#define KEY_BYTES 32

extern bool DecodeBase64(const char *text, size_t len, unsigned char *out, size_t *out_len);
extern bool DecodeKey(const char *text, size_t len, unsigned char key[KEY_BYTES]);

#endif
