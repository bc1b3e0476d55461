/*
 * tls.c
 *		The server's certificate.
 *
 * libmicrohttpd asks for it in each handshake, so another one can take its place while the
 * server runs.  GnuTLS uses a certificate until the handshake is over, without
 * holding it: one that was replaced is kept until no connection is left that began before
 * that.
 */
#include "http/tls.h"

#include <stdlib.h>
#include <string.h>

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "common/log.h"
#include "common/secret.h"

/* Certificates of a chain, at most. */
#define MAX_CHAIN 16

typedef struct TlsIdentity
{
	int generation;
	unsigned count;
	gnutls_pcert_st chain[MAX_CHAIN];
	gnutls_privkey_t key;
	struct TlsIdentity *next; /* the one before it */
} TlsIdentity;

static TlsIdentity *current;

/*
 * Keys that need a password are not for a server that starts by itself.
 */
static int
no_password(char *password, int size, int writing, void *owner)
{
	(void) password;
	(void) size;
	(void) writing;
	(void) owner;
	return -1;
}

/*
 * What is wrong with a certificate and its key, in PEM.
 */
TlsFault
TlsFind(const Buffer *cert, const Buffer *key)
{
	BIO *cert_text = BIO_new_mem_buf(cert->data, (int) cert->len);
	BIO *key_text = BIO_new_mem_buf(key->data, (int) key->len);
	X509 *x509 = PEM_read_bio_X509(cert_text, NULL, no_password, NULL);
	EVP_PKEY *private = PEM_read_bio_PrivateKey(key_text, NULL, no_password, NULL);
	TlsFault fault = {NULL, false};

	if (x509 == NULL)
		fault.text = "--tls-cert contains no certificate in PEM format";
	else if (private == NULL)
		fault.text = "--tls-key contains no private key in PEM format without a password";
	else if (X509_check_private_key(x509, private) != 1)
		fault.text = "the key does not belong to the certificate";
	else if (X509_cmp_current_time(X509_get0_notAfter(x509)) < 0)
		fault = (TlsFault){"the certificate has expired", true};
	else if (X509_cmp_current_time(X509_get0_notBefore(x509)) > 0)
		fault = (TlsFault){"the certificate is not valid yet", true};
	X509_free(x509);
	EVP_PKEY_free(private);
	BIO_free(cert_text);
	BIO_free(key_text);
	return fault;
}

/*
 * Give an identity back.
 */
static void
free_identity(TlsIdentity *identity)
{
	for (unsigned i = 0; i < identity->count; i++)
		gnutls_pcert_deinit(&identity->chain[i]);
	if (identity->key != NULL)
		gnutls_privkey_deinit(identity->key);
	free(identity);
}

/*
 * Have GnuTLS read a certificate with its chain, and the key.  Returns NULL if it does not
 * take them, with the reason in *error.
 */
static TlsIdentity *
read_identity(const Buffer *cert, const Buffer *key, const char **error)
{
	const gnutls_datum_t cert_text = {(unsigned char *) cert->data, (unsigned) cert->len};
	const gnutls_datum_t key_text = {(unsigned char *) key->data, (unsigned) key->len};
	TlsIdentity *identity = Allocate(sizeof(TlsIdentity));
	unsigned count = MAX_CHAIN;
	int status;

	*identity = (TlsIdentity){0};
	status = gnutls_pcert_list_import_x509_raw(identity->chain, &count, &cert_text,
											   GNUTLS_X509_FMT_PEM, GNUTLS_X509_CRT_LIST_SORT);
	if (status >= 0)
	{
		identity->count = count;
		status = gnutls_privkey_init(&identity->key);
	}
	if (status >= 0)
		status =
			gnutls_privkey_import_x509_raw(identity->key, &key_text, GNUTLS_X509_FMT_PEM, NULL, 0);
	if (status >= 0)
		return identity;
	*error = gnutls_strerror(status);
	free_identity(identity);
	return NULL;
}

/*
 * Use an identity from now on.
 */
static void
use(TlsIdentity *identity)
{
	identity->generation = current != NULL ? current->generation + 1 : 1;
	identity->next = current;
	current = identity;
}

/*
 * Read the certificate and the key, and use them from now on.  If they cannot be used,
 * say why, and leave what there is; then the dates count, too.
 */
bool
TlsLoad(const Settings *settings)
{
	Buffer cert = {0}, key = {0};
	TlsIdentity *identity = NULL;
	TlsFault fault = {NULL, false};
	const char *error = NULL;
	char *unread = NULL;

	SecretWarnIfExposed(settings->tls_key);
	if (!SecretRead(settings->tls_cert, &cert, &unread) ||
		!SecretRead(settings->tls_key, &key, &unread))
		error = unread;
	else
	{
		fault = TlsFind(&cert, &key);
		if (fault.text != NULL && (current != NULL || !fault.is_only_dated))
			error = fault.text;
		else
			identity = read_identity(&cert, &key, &error);
	}
	BufferFree(&cert);
	BufferWipe(&key);
	if (identity == NULL)
		Log(LOG_ERROR,
			current != NULL ? "the new certificate cannot be used, the old one is kept"
							: "cannot speak TLS",
			LogText("error", error), LogText("cert", settings->tls_cert),
			LogText("key", settings->tls_key));
	else
	{
		if (fault.text != NULL)
			Log(LOG_WARNING, fault.text, LogText("cert", settings->tls_cert));
		use(identity);
	}
	free(unread);
	return identity != NULL;
}

/*
 * The number of the certificate that handshakes which begin now get.
 */
int
TlsGeneration(void)
{
	return current != NULL ? current->generation : 0;
}

/*
 * Give back what was replaced, but for what a connection may still use which began when the
 * certificate with this number was used, or one that came later.
 */
void
TlsForget(int oldest)
{
	if (current == NULL)
		return;
	for (TlsIdentity **link = &current->next; *link != NULL;)
	{
		TlsIdentity *identity = *link;

		if (identity->generation >= oldest)
			link = &identity->next;
		else
		{
			*link = identity->next;
			free_identity(identity);
		}
	}
}

/*
 * Give all back.  No connection may be left.
 */
void
TlsEnd(void)
{
	while (current != NULL)
	{
		TlsIdentity *identity = current;

		current = identity->next;
		free_identity(identity);
	}
}

/*
 * GnuTLS asks for the certificate of a handshake.
 */
static int
choose(gnutls_session_t session, const gnutls_datum_t *authorities, int authority_count,
	   const gnutls_pk_algorithm_t *algorithms, int algorithm_count, gnutls_pcert_st **chain,
	   unsigned *count, gnutls_privkey_t *key)
{
	(void) session;
	(void) authorities;
	(void) authority_count;
	(void) algorithms;
	(void) algorithm_count;
	*chain = current->chain;
	*count = current->count;
	*key = current->key;
	return 0;
}

/*
 * The function that GnuTLS is to ask.
 */
void *
TlsChooser(void)
{
	return (void *) choose;
}
