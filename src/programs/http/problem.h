/*
 * problem.h
 *		Answers that are errors.
 */
#ifndef PROBLEM_H
#define PROBLEM_H

#include "http/request.h"
#include "http/status_map.h"

extern void AnswerProblem(Request *request, ErrorCode code, const char *text, const char *detail,
						  const char *hint);
extern void AnswerCode(Request *request, ErrorCode code);

#endif
