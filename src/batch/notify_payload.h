/*
 * notify_payload.h
 *		Payloads of notifications.
 */
#ifndef ACTEON_NOTIFY_PAYLOAD_H
#define ACTEON_NOTIFY_PAYLOAD_H

#include "utils/jsonb.h"

#include "batch/batch_row.h"
#include "batch/notification.h"

extern void CheckTemplate(Jsonb *template);
extern Jsonb *FillTemplate(const Notification *notification, Oid schema, const BatchRow *batch,
						   BatchEvent event, TimestampTz now);

#endif /* ACTEON_NOTIFY_PAYLOAD_H */
