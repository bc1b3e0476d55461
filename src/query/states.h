/*
 * states.h
 *		The names of the states of batches and of replayed actions.
 *
 * The extension, the table of options and the programs include it, so it needs none
 * of the server's headers.  What decides the state of a batch is in
 * batch/batch_state.h, and of an action in queue/action_state.h.
 */
#ifndef ACTEON_STATES_H
#define ACTEON_STATES_H

/* The states of a batch, in the order in which it can have them. */
#define BATCH_STATE_AWAITING_APPROVAL "awaiting approval"
#define BATCH_STATE_ENQUEUING "enqueuing"
#define BATCH_STATE_INTERRUPTED "interrupted"
#define BATCH_STATE_SCHEDULED "scheduled"
#define BATCH_STATE_RUNNING "running"
#define BATCH_STATE_IN_DOUBT "in doubt"
#define BATCH_STATE_PAUSED "paused"
#define BATCH_STATE_CANCELLED "cancelled"
#define BATCH_STATE_FINISHED "finished"

/* All of them, for an array of strings. */
#define BATCH_STATE_NAMES \
	BATCH_STATE_AWAITING_APPROVAL, BATCH_STATE_ENQUEUING, BATCH_STATE_INTERRUPTED, \
		BATCH_STATE_SCHEDULED, BATCH_STATE_RUNNING, BATCH_STATE_IN_DOUBT, BATCH_STATE_PAUSED, \
		BATCH_STATE_CANCELLED, BATCH_STATE_FINISHED

/* Those of which nothing is waiting, as the text of an array in SQL. */
#define BATCH_STATES_OVER "{" BATCH_STATE_CANCELLED "," BATCH_STATE_FINISHED "}"

/* What a batch is: a replay of one action, of many at once, or of any number in chunks, an
 * action that tells about another batch, or one that a policy tries. */
#define BATCH_KIND_SINGLE "single"
#define BATCH_KIND_BULK "bulk"
#define BATCH_KIND_ALL "all"
#define BATCH_KIND_NOTIFICATION "notification"
#define BATCH_KIND_PROBE "probe"
#define BATCH_KIND_NAMES \
	BATCH_KIND_SINGLE, BATCH_KIND_BULK, BATCH_KIND_ALL, BATCH_KIND_NOTIFICATION, BATCH_KIND_PROBE

/* The states of an action. */
#define STATE_WAITING "waiting"
#define STATE_RUNNING "running"
#define STATE_IN_DOUBT "in_doubt"
#define STATE_DELIVERED "delivered"
#define STATE_DEAD "dead"
#define STATE_CANCELLED "cancelled"
#define STATE_EXPIRED "expired"

/* And of a record that could not be replayed. */
#define STATE_REFUSED "refused"

/* What else the items of a batch can be asked for by: in doubt and held, and counted as failures. */
#define STATE_HELD "held"
#define STATE_FAILED "failed"

/* All that they can be asked for by, for an array of strings. */
#define ITEM_STATE_NAMES \
	STATE_WAITING, STATE_RUNNING, STATE_IN_DOUBT, STATE_HELD, STATE_DELIVERED, STATE_DEAD, \
		STATE_CANCELLED, STATE_EXPIRED, STATE_FAILED, STATE_REFUSED

/* The formats in which they can be had over HTTP. */
#define ITEM_FORMAT_JSON "json"
#define ITEM_FORMAT_LINES "jsonl"
#define ITEM_FORMAT_CSV "csv"

/* The same as constants in SQL. */
#define SQL_WAITING "'" STATE_WAITING "'"
#define SQL_RUNNING "'" STATE_RUNNING "'"
#define SQL_IN_DOUBT "'" STATE_IN_DOUBT "'"
#define SQL_DELIVERED "'" STATE_DELIVERED "'"
#define SQL_DEAD "'" STATE_DEAD "'"
#define SQL_CANCELLED "'" STATE_CANCELLED "'"
#define SQL_EXPIRED "'" STATE_EXPIRED "'"
#define SQL_REFUSED "'" STATE_REFUSED "'"
#define SQL_HELD "'" STATE_HELD "'"
#define SQL_FAILED "'" STATE_FAILED "'"

/* What a person can decide about actions in doubt. */
#define DECISION_RESEND "resend"
#define DECISION_DELIVERED "delivered"
#define DECISION_CANCEL "cancel"
#define DECISION_NAMES DECISION_RESEND, DECISION_DELIVERED, DECISION_CANCEL

#endif /* ACTEON_STATES_H */
