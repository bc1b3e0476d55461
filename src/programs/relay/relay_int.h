/*
 * relay_int.h
 *		What the parts of the relay share.
 *
 * relay.c starts and stops it, claims.c handles the database, sender.c what
 * takes the actions, and watch.c those who watch it.
 */
#ifndef RELAY_INT_H
#define RELAY_INT_H

#include "common/clock.h"
#include "common/database.h"
#include "common/loop.h"
#include "relay/figures.h"
#include "relay/held.h"
#include "relay/listener.h"
#include "relay/metrics.h"
#include "relay/progress.h"
#include "relay/results.h"
#include "relay/sealed.h"
#include "relay/settings.h"
#include "relay/signing.h"
#include "relay/sink.h"
#include "relay/statements.h"
#include "relay/throttle.h"

#define PROGRAM "acteon-relay"

/* Nothing more is claimed or sent while so much is unrecorded. */
#define MAX_RESULT_BYTES (64 * 1024 * 1024)

typedef struct Relay
{
	const Settings *settings;
	Database *work;
	DatabaseSession session; /* what the work needs of it */
	Listener listener;
	Sink *sink;
	Keyring *keys;
	Signers *signers;    /* NULL: actions are not signed */
	bool told_unsigned;  /* that no key is for an action, since they were read */
	uint64_t files_seen; /* the files with secrets as they were when they were last read */
	Throttle throttle;

	/* Actions, from the claim until their result is recorded. */
	Held held;
	Results results;
	Buffer text; /* of the result that is being made */
	Buffer tag;  /* of the outcome that has just come */

	/* The statements. */
	Queue queue;
	bool verified;          /* the extension on this connection is ours */
	int64_t statement_from; /* none is sent before */
	Backoff trouble;
	char complaint[6];    /* SQLSTATE of the trouble that was reported last */
	bool complained;      /* about the trouble, until it is over */
	ResultKind finishing; /* what the statement under way records */
	int finishing_count;
	bool trying;           /* whether it is what the first result of that kind says */
	int64_t told_at;       /* when we last said that a result cannot be recorded */
	int64_t asked_at;      /* when the statement under way was sent */
	int asked_for;         /* how many actions the claim under way wants */
	int64_t claim_from;    /* there may be something to claim */
	int64_t claim_soonest; /* not before, whatever we are told */
	int claim_most;        /* how many actions can be claimed in time, */
	int extend_most;       /* and leases be extended */
	size_t claimed_size;   /* of an action, on average, in the last claim; 0 before the first */
	int extending;         /* how many are */
	bool looking;          /* the claim under way is the last one before we sleep */
	bool found_nothing;    /* the last claim */
	bool idle;             /* and nothing is held */
	int64_t ready_at;      /* when the work could last be done */
	int64_t stats_from;    /* a drain asks whether anything is left */
	int64_t dead_before;   /* this relay; -1 if that is not known */
	Figures figures;

	/* Its life. */
	LoopTimer wake;
	Progress progress;
	int64_t started;
	bool has_claimed; /* ever */
	int64_t metrics_from;
	int64_t probe_from;  /* find out whether the sink can be reached */
	int64_t done_before; /* actions that had ended */
	int64_t done_at;     /* and when that was */
	bool drained;
	bool stopping;
	bool forced; /* something was left undone */
	int64_t stop_at;
} Relay;

/* claims.c */
extern int ClaimAtOnce(int most, size_t size);
extern void QueueSideStart(Relay *relay);
extern void QueueSideAdvance(Relay *relay, int64_t now, int64_t *wake);

/* sender.c */
extern bool SendSideStart(Relay *relay);
extern void SendSideAdvance(Relay *relay, int64_t now, int64_t *wake);
extern void SendSideReload(Relay *relay);
extern void SendSideReloadChanged(Relay *relay);

/* watch.c */
extern bool RelayIsWatched(const Settings *settings);
extern bool WatchStart(Relay *relay);
extern void WatchAdvance(Relay *relay, int64_t now, int64_t *wake);
extern void WatchEnd(Relay *relay);

#endif
