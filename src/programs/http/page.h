/*
 * page.h
 *		The page for people.
 */
#ifndef PAGE_H
#define PAGE_H

#include "http/request.h"

extern void PageAnswer(Request *request, const char *if_none_match);

#endif
