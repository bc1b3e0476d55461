/*
 * secret.h
 *		Files that hold secrets.
 */
#ifndef SECRET_H
#define SECRET_H

#include <stdbool.h>

#include "common/buffer.h"

extern bool SecretRead(const char *path, Buffer *secret, char **error);
extern bool SecretReadApiKey(const char *path, Buffer *key, char **error);
extern bool
SecretReadLines(const char *path, bool (*take)(void *owner, const char *line, size_t len),
				void *owner, const char *expected, char **error);
extern bool SecretIsExposed(const char *path);
extern void SecretWarnIfExposed(const char *path);

#endif
