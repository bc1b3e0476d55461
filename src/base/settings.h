/*
 * settings.h
 *		The settings acteon_replay.*.
 */
#ifndef ACTEON_SETTINGS_H
#define ACTEON_SETTINGS_H

extern char *AuditTableSetting;
extern char *RedactionPlaceholder;
extern int IntentGrace; /* seconds */
extern int MaxAttempts;
extern int GatewayPatience; /* seconds */

extern bool AuditIsLive;       /* what is missing in the audit table can tell something */
extern bool AuditIsLiveIsSaid; /* it was set explicitly */
extern bool HoldDoubts;        /* whatever on_doubt of a batch is */
extern bool TraceActions;      /* see queue/action_trace.c */

/* When consumers are woken up. */
typedef enum NotifyWhen
{
	NOTIFY_OFF,
	NOTIFY_ON,
	NOTIFY_SMART /* if one sleeps */
} NotifyWhen;

extern int NotifySetting;
extern bool RequireReason;
extern int PlanAbove;
extern int ApprovalAbove;
extern char *AllowedTargets; /* besides production */
extern char *Traceparent;    /* see trace.c */
extern char *Tracestate;

extern void DefineSettings(void);

#endif /* ACTEON_SETTINGS_H */
