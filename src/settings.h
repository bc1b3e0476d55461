/*
 * settings.h
 *		The settings acteon_replay.*, defined in acteon_replay.c.
 */
#ifndef ACTEON_SETTINGS_H
#define ACTEON_SETTINGS_H

extern char *AuditTableSetting;
extern char *RedactionPlaceholder;
extern int IntentGrace; /* seconds */
extern int MaxAttempts;
extern bool RequireReason;

#endif /* ACTEON_SETTINGS_H */
