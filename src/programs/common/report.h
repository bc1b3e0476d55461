/*
 * report.h
 *		--check: what is well and what is not, one line each on stdout.
 */
#ifndef REPORT_H
#define REPORT_H

#include <libpq-fe.h>

#include "common/extension.h"

extern void ReportGood(const char *format, ...) __attribute__((format(printf, 1, 2)));
extern void ReportBad(const char *what, const char *why, const char *hint);
extern int ReportStatus(void);

extern PGconn *ReportConnection(const char *conninfo, const char *program, const char *what);
extern char *
ReportExtension(PGconn *conn, const char *program, const char *oldest, ExtensionSkills *skills);

#endif
