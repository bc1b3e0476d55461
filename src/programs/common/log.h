/*
 * log.h
 *		What the program has to say: one line an event on stderr.
 */
#ifndef LOG_H
#define LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum LogLevel
{
	LOG_ERROR,
	LOG_WARNING,
	LOG_INFO,
	LOG_DEBUG
} LogLevel;

/* One key=value of a line: a text, or a number where text is NULL. */
typedef struct LogField
{
	const char *key;
	const char *text;
	int64_t number;
} LogField;

#define LogText(key, value) ((LogField){(key), (value) != NULL ? (value) : "", 0})
#define LogNumber(key, value) ((LogField){(key), NULL, (value)})

/* Log(LOG_INFO, "what happened", LogNumber("actions", 3), LogText("why", why)); */
#define Log(level, event, ...) \
	do \
	{ \
		if ((level) <= log_level) \
		{ \
			const LogField log_fields[] = {{NULL, NULL, 0}, ##__VA_ARGS__}; \
			LogWrite((level), (event), log_fields + 1, \
					 sizeof(log_fields) / sizeof(log_fields[0]) - 1); \
		} \
	} while (0)

extern LogLevel log_level;

extern void LogStart(LogLevel level);
extern bool LogParseLevel(const char *name, LogLevel *level);
extern void LogWrite(LogLevel level, const char *event, const LogField *fields, size_t count);
extern void LogStatus(const char *text);
extern void LogLibmicrohttpd(void *owner, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

#endif
