/*
 * tls.h
 *		The server's certificate.
 */
#ifndef TLS_H
#define TLS_H

#include <stdbool.h>

#include "common/buffer.h"
#include "http/settings.h"

/* What is the matter with a certificate and its key. */
typedef struct TlsFault
{
	const char *text;   /* NULL: nothing */
	bool is_only_dated; /* it could be used, but for its dates */
} TlsFault;

extern TlsFault TlsFind(const Buffer *cert, const Buffer *key);
extern bool TlsLoad(const Settings *settings);
extern int TlsGeneration(void);
extern void TlsForget(int oldest);
extern void TlsEnd(void);

/* For MHD_OPTION_HTTPS_CERT_CALLBACK. */
extern void *TlsChooser(void);

#endif
