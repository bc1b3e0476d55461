/*
 * digest.h
 *		Hashes of rows, the same wherever the rows are.
 */
#ifndef ACTEON_DIGEST_H
#define ACTEON_DIGEST_H

#include "common/cryptohash.h"
#include "lib/stringinfo.h"
#include "utils/array.h"

/* Bytes of the hash of a row, and of a link of the chain. */
#define ROW_HASH_BYTES 16
#define LINK_HASH_BYTES 32

/* A hash that is being computed, and then others; see OpenDigest. */
typedef struct Digest
{
	pg_cryptohash_ctx *hash;
	StringInfoData bytes; /* not hashed yet */
	bool converts;        /* texts, into UTF-8 */
} Digest;

extern void OpenDigest(Digest *digest);
extern void CloseDigest(Digest *digest);
extern void BeginDigest(Digest *digest, const char *kind);
extern void AddBytesToDigest(Digest *digest, const void *bytes, int len);
extern void AddNumberToDigest(Digest *digest, int64 number);
extern void AddToDigest(Digest *digest, Oid type, Datum value, bool isnull);
extern void EndDigest(Digest *digest, uint8 *result, int len);
extern const int64 *StoredNumbers(const ArrayType *array, int *count);

#endif /* ACTEON_DIGEST_H */
