/*
 * secret.c
 *		Texts that only this installation can have written.
 *
 * Such a text is given out with its seal, a truncated HMAC-SHA-256, and needs no row
 * anywhere: a standby and a read-only transaction can make one, too.  The key is in
 * acteon_replay_secret, which only its owner can read, and which the extension's script
 * fills.  It may have several rows, after a new one was added to replace an old one:
 * one of them seals, and a seal by any of them is valid.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "common/hmac.h"
#include "common/sha2.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/error_reason.h"
#include "base/own_table.h"
#include "base/secret.h"

/*
 * Make the seal of a text with a key: TEXT_SEAL_LEN digits and a terminator.
 */
static void
make_seal(const bytea *key, char *seal, const char *text, size_t len)
{
	uint8 mac[PG_SHA256_DIGEST_LENGTH];
	pg_hmac_ctx *context = pg_hmac_create(PG_SHA256);

	if (context == NULL ||
		pg_hmac_init(context, (const uint8 *) VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key)) < 0 ||
		pg_hmac_update(context, (const uint8 *) text, len) < 0 ||
		pg_hmac_final(context, mac, sizeof(mac)) < 0)
		elog(ERROR, "could not compute an HMAC: %s", pg_hmac_error(context));
	pg_hmac_free(context);
	hex_encode((const char *) mac, TEXT_SEAL_LEN / 2, seal);
	seal[TEXT_SEAL_LEN] = '\0';
}

/*
 * Whether two seals are the same, in a time that does not tell where they differ.
 */
static bool
same_seal(const char *a, const char *b)
{
	unsigned char difference = 0;

	for (int i = 0; i < TEXT_SEAL_LEN; i++)
		difference |= (unsigned char) a[i] ^ (unsigned char) b[i];
	return difference == 0;
}

/*
 * Go through the keys.  Without a seal to compare, make one with the first of them;
 * with one, find out whether any of them has made it.  Returns whether it was made, or
 * is valid.
 */
static bool
use_keys(Oid schema, char *made, const char *seal, const char *text, size_t len)
{
	Relation rel = table_open(OwnTable(schema, SECRET_TABLE), AccessShareLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);
	bool done = false;

	while (!done && table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool isnull;
		Datum key = slot_getattr(slot, Anum_secret_key, &isnull);

		make_seal(DatumGetByteaPP(key), made, text, len);
		done = seal == NULL || same_seal(made, seal);
	}
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, AccessShareLock);
	return done;
}

/*
 * Make the seal of a text: TEXT_SEAL_LEN digits and a terminator.
 */
void
SealText(Oid schema, char *seal, const char *text, size_t len)
{
	if (!use_keys(schema, seal, NULL, text, len))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errreason(CODE_BROKEN_INSTALLATION), errmsg("table \"%s\" is empty", SECRET_TABLE),
				 errhint("Its owner can make a new secret: INSERT INTO %s DEFAULT VALUES.",
						 SECRET_TABLE)));
}

/*
 * Whether a seal of TEXT_SEAL_LEN digits is that of a text.
 */
bool
TextIsSealed(Oid schema, const char *seal, const char *text, size_t len)
{
	char made[TEXT_SEAL_LEN + 1];

	return use_keys(schema, made, seal, text, len);
}
