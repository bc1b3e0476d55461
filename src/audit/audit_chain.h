/*
 * audit_chain.h
 *		The chain of hashes that the gateway makes of a tenant's records.
 */
#ifndef ACTEON_AUDIT_CHAIN_H
#define ACTEON_AUDIT_CHAIN_H

#include "audit/audit_table.h"
#include "base/optional_time.h"

/* What can be wrong with a chain; see audit_chain.c. */
typedef enum ChainFault
{
	FAULT_BEGINNING, /* the first records are missing, as after their expiry */
	FAULT_GAP,       /* records between others are missing */
	FAULT_END,       /* so are the last ones, one of which was known */
	FAULT_WITNESS,   /* the record that was known has another hash */
	FAULT_DUPLICATE, /* a record has the number of another one */
	FAULT_NUMBER,    /* a number is none of a chain */
	FAULT_LINK,      /* a record does not name the hash of the one before it */
	FAULT_CONTENT    /* a record does not have the hash of what is in it */
} ChainFault;

#define NUM_CHAIN_FAULTS (FAULT_CONTENT + 1)

/* Something that is wrong. */
typedef struct ChainFinding
{
	ChainFault fault;
	int64 records;   /* that it is about */
	bool has_number; /* sequence_number is known; */
	int64 number;    /* for what is missing, the first such */
	const text *id;  /* of the record, these three; NULL: there is none */
	const text *action_id;
	const text *record_hash;
	OptionalTime dispatched_at;
	const text *broken_at; /* id of the record where it shows: this one, or the one behind what
							* is missing; NULL: there is none */
	const char *detail;
} ChainFinding;

/* A part of a chain that is checked; see CheckChain. */
typedef struct ChainCheck
{
	const text *namespace;
	const text *tenant;
	OptionalTime from; /* of dispatched_at, both inclusive */
	OptionalTime to;
	bool has_known; /* a record that was there, with the number */
	int64 known;
	const text *known_hash; /* NULL: whatever it has */
	int64 most;             /* records */
	OptionalTime until;     /* when to end, after a record at least */
	void (*report)(void *arg, const ChainFinding *finding);
	void *arg;

	int64 checked; /* records that were */
	int64 faults;
	bool has_first; /* at least one was */
	int64 first;    /* its number, */
	const text *first_id;
	bool has_last; /* this is known of the last one: */
	int64 last;
	const text *last_hash;
	const text *last_id;
	OptionalTime last_time;
	bool is_complete; /* the end was reached */
	bool leaves_out;  /* not all numbers below 0 were looked at */
	int64 unchained;  /* records that have neither number nor hash, by time from the one that was
					   * known to the last one, or to the end if it was reached */
	bool has_more_unchained; /* or some more: the time was over */
} ChainCheck;

extern void CheckChain(ChainCheck *check, const AuditTable *table);

#endif /* ACTEON_AUDIT_CHAIN_H */
