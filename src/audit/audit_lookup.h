/*
 * audit_lookup.h
 *		What the audit table says of actions that were sent.
 */
#ifndef ACTEON_AUDIT_LOOKUP_H
#define ACTEON_AUDIT_LOOKUP_H

#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "audit/audit_table.h"
#include "queue/effect.h"

/* An action to look for: all ids under which it may have been sent. */
typedef struct LookupKey
{
	const pg_uuid_t *ids;
	int id_count;
	const text *namespace;
	const text *tenant;
	const text *dedup_key; /* NULL: none */
} LookupKey;

/*
 * What was found of it.  An id decides that has a record with effect done, else
 * the one that was made last of those that have records; for an id decides a
 * record with effect done, else the newest that is not later, else a later one.
 */
typedef struct Finding
{
	bool has_intent;  /* one of the ids has an intent that no outcome has followed */
	bool has_outcome; /* the record that decides is none such */
	Effect effect;    /* of it; none or decided only if no other id may have an effect */
	int id;           /* the one that decides */
	int done_ids;     /* ids with a record whose effect is done: more than one is a contradiction */
	Jsonb *answer; /* the record that decides, in the form of an answer; in the caller's context */
	bool damaged;  /* a record cannot be read, and counts as an intent */
	TimestampTz dispatched_at; /* of the record that decides */
	Datum *record_ids; /* texts: for each id, of the record that decides for it; 0: it has none */
} Finding;

/* Whether a missing record can tell anything. */
typedef enum AuditTells
{
	AUDIT_TELLS,
	AUDIT_NOT_LIVE,   /* acteon_replay.audit_is_live is off, or the table is a copy */
	AUDIT_SILENT,     /* no record of anything that was sent later */
	AUDIT_PRUNED,     /* no record is left from the time of sending */
	AUDIT_UNREADABLE, /* there is no audit table, or it cannot be read */
	NUM_AUDIT_TELLS
} AuditTells;

/* Actions that are best looked up at once, and at most. */
#define LOOKUP_KEYS 1000

/* A reader of the audit table for consumers; see OpenLookup. */
typedef struct Lookup Lookup;

extern Lookup *OpenLookup(Oid schema);
extern void LookUpActions(Lookup *lookup, const LookupKey *keys, int count, Finding *findings);
extern AuditTells WhatAuditTells(Lookup *lookup, TimestampTz sent_at, TimestampTz later_than);
extern bool TimesAreByOutcome(const AuditTable *table);
extern bool HasOutcomesByTime(const AuditTable *table);
extern bool AuditIsReadable(Lookup *lookup);
extern bool AuditIsKept(Lookup *lookup, TimestampTz time);
extern const char *AuditTellsText(AuditTells tells);
extern void CloseLookup(Lookup *lookup);

#endif /* ACTEON_AUDIT_LOOKUP_H */
