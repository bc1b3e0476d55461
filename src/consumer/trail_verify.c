/*
 * trail_verify.c
 *		acteon_replay_verify: whether everything is as it was linked, for an auditor.
 *
 * It reports what trail_check.c finds, compares the chain with witnesses (trail_witness.c),
 * and says at the end what was checked, up to where, and what cannot be known.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/identity.h"
#include "base/rfc3339.h"
#include "consumer/trail_witness.h"

/* The first column of a row. */
#define VERDICT_VIOLATION "violation"
#define VERDICT_CHECKED "checked"
#define VERDICT_UNKNOWN "unknown"

/* A verification under way. */
typedef struct Verification
{
	ReturnSetInfo *result;
	TrailWitness *witnesses; /* by position */
	int witness_count;
	int next;          /* witness, whose position is not reached yet */
	int64 witnessed;   /* the last link of which there is a witness that is right */
	const char *since; /* … of that time */
	int64 links;
	TimestampTz last_linked_at;
} Verification;

PG_FUNCTION_INFO_V1(acteon_replay_verify);

/*
 * Return a row; number 0: about nothing that has one.
 */
static void
add_row(Verification *verification, const char *verdict, const char *subject, int64 number,
		const char *detail)
{
	Datum values[] = {CStringGetTextDatum(verdict), CStringGetTextDatum(subject),
					  Int64GetDatum(number), CStringGetTextDatum(detail)};
	bool nulls[] = {false, false, number == 0, false};

	tuplestore_putvalues(verification->result->setResult, verification->result->setDesc, values,
						 nulls);
}

/*
 * Return a violation.
 */
static void
add_violation(void *argument, const TrailFinding *finding)
{
	add_row(argument, VERDICT_VIOLATION, finding->violation, finding->number, finding->detail);
}

/*
 * Tell of witnesses of links before a position, exclusively, that are not there.
 */
static void
report_missing(Verification *verification, int64 position)
{
	while (verification->next < verification->witness_count &&
		   verification->witnesses[verification->next].position < position)
	{
		const TrailWitness *witness = &verification->witnesses[verification->next++];

		add_row(verification, VERDICT_VIOLATION, "witness missing", witness->position,
				psprintf("Link " INT64_FORMAT ", of which the witness of %s is, is not there.",
						 witness->position, witness->linked_at));
	}
}

/*
 * Compare a link with the witnesses of its position.
 */
static void
compare_link(void *argument, const TrailLink *link, const uint8 *hash)
{
	Verification *verification = argument;
	char digits[2 * LINK_HASH_BYTES + 1];

	report_missing(verification, link->position);
	verification->links = link->position;
	verification->last_linked_at = link->linked_at;
	while (verification->next < verification->witness_count &&
		   verification->witnesses[verification->next].position == link->position)
	{
		TrailWitness *witness = &verification->witnesses[verification->next++];

		hex_encode((const char *) hash, LINK_HASH_BYTES, digits);
		digits[2 * LINK_HASH_BYTES] = '\0';
		if (strcmp(digits, witness->hash) == 0)
		{
			add_row(verification, VERDICT_CHECKED, "witness", witness->position,
					psprintf("The chain has the link of the witness of %s.", witness->linked_at));
			verification->witnessed = witness->position;
			verification->since = witness->linked_at;
		}
		else
			add_row(verification, VERDICT_VIOLATION, "witness differs", witness->position,
					psprintf("Link " INT64_FORMAT " is not the one of the witness of %s: the chain"
							 " was computed again from this link or an earlier one on, or has"
							 " lost its end and gone on otherwise.",
							 witness->position, witness->linked_at));
	}
}

/*
 * Tell of witnesses of other installations, and leave them out.
 */
static void
leave_out_others(Verification *verification, const char *installation)
{
	int kept = 0;

	for (int i = 0; i < verification->witness_count; i++)
	{
		const TrailWitness *witness = &verification->witnesses[i];

		if (strspn(witness->installation, "0") == INSTALLATION_DIGITS ||
			strcmp(witness->installation, installation) == 0)
			verification->witnesses[kept++] = *witness;
		else
			add_row(verification, VERDICT_VIOLATION, "witness of another installation",
					witness->position,
					psprintf("The witness of %s is of installation %s, and this is installation "
							 "%s.",
							 witness->linked_at, witness->installation, installation));
	}
	verification->witness_count = kept;
}

static int
compare_witnesses(const void *a, const void *b)
{
	int64 pa = ((const TrailWitness *) a)->position;
	int64 pb = ((const TrailWitness *) b)->position;

	return pa < pb ? -1 : pa > pb;
}

/*
 * Say of a kind of things how many were checked, and of how many nothing can be known yet.
 */
static void
sum_up(Verification *verification, const TrailCount *count, const char *subject)
{
	StringInfoData detail;

	initStringInfo(&detail);
	appendStringInfo(&detail, INT64_FORMAT " in all", count->there);
	if (count->last != 0)
		appendStringInfo(&detail, ", the last one " INT64_FORMAT, count->last);
	appendStringInfoChar(&detail, '.');
	add_row(verification, VERDICT_CHECKED, subject, count->last, detail.data);
	if (count->unlinked > 0)
		add_row(verification, VERDICT_UNKNOWN, subject, 0,
				psprintf(INT64_FORMAT " of them are not linked yet.", count->unlinked));
	pfree(detail.data);
}

/*
 * Say what was checked, and what cannot be known.
 */
static void
add_summary(Verification *verification, const TrailSeen *seen)
{
	char time[RFC3339_MAXLEN];

	sum_up(verification, &seen->rows, "rows");
	if (seen->unhashed > 0)
		add_row(verification, VERDICT_UNKNOWN, "rows", 0,
				psprintf(INT64_FORMAT " of them have no hash: version 1.0 has enqueued them.",
						 seen->unhashed));
	if (seen->removed > 0)
		add_row(verification, VERDICT_UNKNOWN, "rows", 0,
				psprintf(INT64_FORMAT " others were linked and are not there: they were purged, as "
									  "acteon_replay_removal says, and so were their deliveries.",
						 seen->removed));
	sum_up(verification, &seen->deliveries, "deliveries");
	sum_up(verification, &seen->batches, "batches");
	sum_up(verification, &seen->log, "log entries");
	sum_up(verification, &seen->removals, "removals");
	if (verification->links == 0)
	{
		add_row(verification, VERDICT_UNKNOWN, "chain", 0, "It has no links yet.");
		return;
	}
	if (IsRfc3339Time(verification->last_linked_at))
		FormatRfc3339(time, verification->last_linked_at);
	else
		strlcpy(time, "an unknown time", sizeof(time));
	add_row(verification, VERDICT_CHECKED, "chain", verification->links,
			psprintf("It ends with link " INT64_FORMAT ", of %s.", verification->links, time));
	if (verification->witnessed == 0)
		add_row(verification, VERDICT_UNKNOWN, "chain", 0,
				"Without a witness, nothing tells whether it was computed again, or has lost its "
				"end together with what that is about.");
	else if (verification->witnessed < verification->links)
		add_row(verification, VERDICT_UNKNOWN, "chain", verification->witnessed,
				psprintf("Of the links after that of %s there is no witness: nothing tells whether "
						 "they were computed again, or others are lost.",
						 verification->since));
}

/*
 * acteon_replay_verify(witness text) → setof (verdict, subject, reference, detail)
 *
 * Compares everything that is linked with the chain, and the chain with witnesses.  Returns
 * a row for each violation, and then rows that say what was checked and what cannot be
 * known.  Reads only.  Raises insufficient_privilege and invalid_parameter_value.
 */
Datum
acteon_replay_verify(PG_FUNCTION_ARGS)
{
	Verification verification = {.result = (ReturnSetInfo *) fcinfo->resultinfo};
	TrailObserver observer = {.argument = &verification,
							  .found = add_violation,
							  .linked = compare_link};
	char installation[INSTALLATION_DIGITS + 1];
	ConsumerCall call;
	TrailSeen seen;

	InitMaterializedSRF(fcinfo, 0);
	verification.witnesses =
		ReadWitnesses(PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0), &verification.witness_count);
	BeginTrailCall(&call, fcinfo, "acteon_replay_verify()");
	SetLocally("jit", "off"); /* compiling takes longer than what it speeds up */
	/* A nested loop over all of a range would be wrong as long as there are no statistics. */
	SetLocally("enable_nestloop", "off");
	SetLocally("enable_seqscan", "off");
	NameInstallation(call.schema, installation);
	leave_out_others(&verification, installation);
	qsort(verification.witnesses, verification.witness_count, sizeof(TrailWitness),
		  compare_witnesses);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	CheckTrail(&observer, call.schema, PG_INT64_MIN + SEGMENT_ACTIONS, PG_INT64_MAX, true, &seen);
	SPI_finish();
	report_missing(&verification, PG_INT64_MAX);
	add_summary(&verification, &seen);
	EndConsumerCall(&call);
	return (Datum) 0;
}
