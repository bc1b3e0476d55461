/*
 * notification.h
 *		Notifications about batches: what was set, and what they are about.
 */
#ifndef ACTEON_NOTIFICATION_H
#define ACTEON_NOTIFICATION_H

#include "utils/array.h"
#include "utils/jsonb.h"

#include "access/grants.h"

/* What of a batch is told; their names are in notification.c. */
typedef enum BatchEvent
{
	EVENT_FINISHED,
	EVENT_CANCELLED,
	EVENT_PAUSED,      /* by its circuit breaker */
	EVENT_CANARY,      /* paused by its canary: a person opens the next step */
	EVENT_APPROVAL,    /* it waits for approval */
	EVENT_INTERRUPTED, /* the call that enqueued it has ended too early */
	EVENT_HELD         /* actions of it are held in doubt */
} BatchEvent;

#define NUM_BATCH_EVENTS (EVENT_HELD + 1)

/* The names of those that are no states; the others are called by their state. */
#define EVENT_NAME_CANARY "canary"
#define EVENT_NAME_APPROVAL "approval"

#define EVENT_BIT(event) (1u << (event))
#define ALL_EVENTS (EVENT_BIT(NUM_BATCH_EVENTS) - 1)

/* Those with which a batch is over. */
#define ENDING_EVENTS (EVENT_BIT(EVENT_FINISHED) | EVENT_BIT(EVENT_CANCELLED))

/* A row of acteon_replay_notify. */
typedef struct Notification
{
	char *name;
	text *provider; /* of the action that tells; so are the next three and the payload */
	text *action_type;
	text *namespace;
	text *tenant;
	Jsonb *payload;     /* the template */
	uint32 events;      /* bits of those that are told */
	ArrayType *tenants; /* of the batches that are told about; NULL: any */
	ArrayType *namespaces;
	int min_actions; /* of a batch whose end is told */
	Oid set_by;
} Notification;

/* The label of an action that tells of a batch: the name of its notification. */
#define NOTIFY_LABEL "acteon_notify"

extern const char *const BatchEventNames[NUM_BATCH_EVENTS];

extern bool MayNotifyOfAll(Grants *grants);
extern bool AnyNotification(Oid schema);
extern Notification *ReadNotifications(Oid schema, int *count);
extern bool NotificationConcerns(const Notification *notification, Jsonb *scope, Jsonb *query);
extern bool IsNotificationQuery(Jsonb *query);
extern uint32 EventsFromArray(ArrayType *array);
extern ArrayType *EventsToArray(uint32 events);

#endif /* ACTEON_NOTIFICATION_H */
